//! What has to be known of the engine before the link stands: that it is what it must be, and that it allows all that a
//! node does.

use std::rc::Rc;

use super::{Config, LEASE, Link, Node, RENEW_EVERY};
use crate::cluster::keys::{self, NodeId};
use crate::cluster::question::{About, Step};
use crate::cluster::resp::{self, Value};
use crate::deadlines::Moment;

impl Node {
    pub(super) fn greet(&mut self) {
        let Config { user, password, db, .. } = self.config.clone();
        self.tell(About::Greeting(Step::Hello), |out| match (user, password) {
            (None, None) => resp::command(out, &[b"HELLO", b"3"]),
            // An engine can have users that need no password, and takes any from them.
            (user, password) => {
                let (user, password) = (user.as_deref().unwrap_or("default"), password.unwrap_or_default());
                resp::command(out, &[b"HELLO", b"3", b"AUTH", user.as_bytes(), password.as_bytes()]);
            }
        });
        if db > 0 {
            let db = db.to_string();
            self.tell(About::Greeting(Step::Select), |out| resp::command(out, &[b"SELECT", db.as_bytes()]));
        }
        self.tell(About::Greeting(Step::Policy), |out| {
            resp::command(out, &[b"CONFIG", b"GET", b"maxmemory-policy"]);
        });
        if let Some(old) = self.old_id {
            let key = self.config.keys.node(old);
            self.tell(About::Greeting(Step::DeleteOldLease), |out| {
                resp::command(out, &[b"DEL", key.as_bytes()])
            });
        }
        self.take_id();
    }

    /// Asks for a number that no node has.
    fn take_id(&mut self) {
        let id = NodeId(self.next_random() >> 16);
        let (key, life) = (self.config.keys.node(id), keys::LEASE_MS.to_string());
        self.tell(About::Greeting(Step::TakeId(id)), |out| {
            resp::command(out, &[b"SET", key.as_bytes(), b"1", b"NX", b"PX", life.as_bytes()]);
        });
    }

    /// Tries out all that a node does, each under its own number.
    fn probe(&mut self) {
        let channel = self.config.keys.probe(self.id);
        let channel = channel.as_bytes();
        let mut probe = |step, arguments: &[&[u8]]| {
            self.tell(About::Greeting(step), |out| resp::command(out, arguments));
        };
        probe(Step::Subscribe, &[b"SUBSCRIBE", channel]);
        probe(Step::Publish, &[b"PUBLISH", channel, b"probe"]);
        probe(Step::CountSubscribers, &[b"PUBSUB", b"NUMSUB", channel]);
        probe(Step::Unsubscribe, &[b"UNSUBSCRIBE", channel]);
        // Nobody can be called so, for this node's guests count from 1.
        let name: Rc<[u8]> = format!("{}0", keys::guests(self.id)).into_bytes().into();
        self.tell_claim(About::Greeting(Step::Claim), &name, 0, None);
        let key = self.config.keys.nickname(&name);
        self.tell_refresh(About::Greeting(Step::Refresh), &key);
        self.tell_free(About::Greeting(Step::Free), &name, 0);
    }

    pub(super) fn greeted(&mut self, step: Step, asked_at: Moment, value: &Value) -> Result<(), String> {
        if let Value::Error(error) = value {
            let error = String::from_utf8_lossy(error);
            match step {
                Step::Policy => {
                    self.tell(About::Greeting(Step::PolicyFromInfo), |out| {
                        resp::command(out, &[b"INFO", b"memory"]);
                    });
                }
                // It may not be read. The operator has been told in the manual.
                Step::PolicyFromInfo => {}
                step => return Err(format!("the engine refuses {}: {error}", step.command())),
            }
        }
        match step {
            Step::Hello => check_hello(value)?,
            Step::Policy => check_policy(value.get("maxmemory-policy").and_then(Value::text))?,
            Step::PolicyFromInfo => {
                let lines = value.text().unwrap_or_default().split(|&byte| byte == b'\n');
                check_policy(lines.filter_map(|line| line.strip_prefix(b"maxmemory_policy:")).next())?;
            }
            Step::TakeId(_) if *value == Value::Null => self.take_id(),
            Step::TakeId(id) => {
                (self.id, self.old_id) = (id, Some(id));
                (self.lease_until, self.renew_at) = (asked_at + LEASE, asked_at + RENEW_EVERY);
                self.probe();
            }
            Step::Publish if *value == Value::Integer(0) => {
                return Err("a publication does not come back from the engine".into());
            }
            Step::Claim | Step::Refresh if *value != Value::Integer(1) => {
                return Err("the engine does not keep a nickname".into());
            }
            _ => {}
        }
        if self.queue.is_empty() && self.link == Link::Greeting {
            self.link = Link::Up;
            if self.told {
                log::info!(
                    "the cluster's link stands again, after {} attempts; this is node {}",
                    self.attempts,
                    self.id
                );
            } else {
                log::info!("joined the cluster as node {}", self.id);
            }
            (self.attempts, self.told) = (0, false);
        }
        Ok(())
    }
}

impl Step {
    /// The command that was refused.
    fn command(self) -> &'static str {
        match self {
            Step::Hello => "HELLO 3",
            Step::Select => "SELECT",
            Step::Policy => "CONFIG GET",
            Step::PolicyFromInfo => "INFO",
            Step::DeleteOldLease => "DEL",
            Step::TakeId(_) => "SET",
            Step::Subscribe => "SUBSCRIBE",
            Step::Publish => "PUBLISH",
            Step::CountSubscribers => "PUBSUB NUMSUB",
            Step::Unsubscribe => "UNSUBSCRIBE",
            Step::Claim | Step::Free => "EVAL",
            Step::Refresh => "EXPIRE",
        }
    }
}

/// Whether this is an engine that can join nodes.
fn check_hello(value: &Value) -> Result<(), String> {
    let field = |name| value.get(name).and_then(Value::text).map(String::from_utf8_lossy).unwrap_or_default();
    let (version, mode, role) = (field("version"), field("mode"), field("role"));
    if role != "master" {
        return Err(format!("the engine is no primary, its role is {role:?}"));
    }
    if mode != "standalone" {
        return Err(format!("the engine is not standalone, its mode is {mode:?}"));
    }
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 7 {
        return Err(format!("the engine's version is {version:?}, and 7.0 is the oldest that will do"));
    }
    Ok(())
}

/// Nicknames and leases must stay until they are deleted or expire.
fn check_policy(policy: Option<&[u8]>) -> Result<(), String> {
    match policy.map(<[u8]>::trim_ascii) {
        None | Some(b"noeviction") => Ok(()),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(format!("the engine's maxmemory-policy is {other}, and must be noeviction"))
        }
    }
}
