//! A made-up engine: as much of Redis as a node uses, with made-up time, and with the freedom that versions have: a
//! connection's own publication comes before PUBLISH's number, or after it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use parlor::cluster::keys::{CLAIM, FREE};
use parlor::cluster::resp::{Decoder, Value};

pub type ConnectionId = usize;

#[derive(Default)]
struct Connection {
    input: Decoder,
    output: VecDeque<u8>,
    channels: BTreeSet<Vec<u8>>,
    is_open: bool,
}

struct Entry {
    value: Vec<u8>,
    expires_at: Option<Duration>,
}

#[derive(Default)]
pub struct Engine {
    connections: Vec<Connection>,
    keys: BTreeMap<Vec<u8>, Entry>,
    now: Duration,
    /// A connection's own publication comes after the number, as in 7.2.
    pub number_first: bool,
    /// Output of a connection beyond this ends it.
    pub output_limit: usize,
    /// All publications to rooms, in order: the channel and the payload.
    pub published: Vec<(Vec<u8>, Vec<u8>)>,
    pub commands: usize,
}

fn blob(out: &mut VecDeque<u8>, bytes: &[u8]) {
    out.extend(format!("${}\r\n", bytes.len()).bytes());
    out.extend(bytes);
    out.extend(b"\r\n");
}

fn push(out: &mut VecDeque<u8>, kind: &str, channel: Option<&[u8]>, last: Result<&[u8], usize>) {
    out.extend(b">3\r\n");
    blob(out, kind.as_bytes());
    match channel {
        Some(channel) => blob(out, channel),
        None => out.extend(b"_\r\n"),
    }
    match last {
        Ok(payload) => blob(out, payload),
        Err(count) => out.extend(format!(":{count}\r\n").bytes()),
    }
}

impl Engine {
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
        self.keys.retain(|_, entry| entry.expires_at.is_none_or(|at| at > now));
    }

    pub fn accept(&mut self) -> ConnectionId {
        self.connections.push(Connection { is_open: true, ..Connection::default() });
        self.connections.len() - 1
    }

    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.connections[id].is_open
    }

    /// The connection is gone, with its subscriptions.
    pub fn close(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id];
        connection.is_open = false;
        connection.channels.clear();
    }

    /// Everything is forgotten, and every connection broken.
    pub fn restart(&mut self) {
        (0..self.connections.len()).for_each(|id| self.close(id));
        self.keys.clear();
    }

    /// What waits to be sent to this connection.
    pub fn output(&mut self, id: ConnectionId) -> &mut VecDeque<u8> {
        &mut self.connections[id].output
    }

    pub fn keys(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.keys.iter().map(|(key, entry)| (&key[..], &entry.value[..]))
    }

    pub fn has_key(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }

    /// How many open connections are subscribed to a channel.
    pub fn subscribers(&self, channel: &[u8]) -> usize {
        self.connections.iter().filter(|connection| connection.channels.contains(channel)).count()
    }

    /// All channels that somebody is subscribed to.
    pub fn channels(&self) -> BTreeSet<Vec<u8>> {
        self.connections.iter().flat_map(|connection| connection.channels.iter().cloned()).collect()
    }

    /// Bytes have arrived from a node.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.connections[id].input);
        input.fill(bytes);
        while let Some(value) = input.value().expect("nodes speak RESP") {
            let Value::List(arguments) = value else { panic!("a command is an array") };
            let arguments: Vec<Vec<u8>> = arguments.iter().map(|it| it.text().unwrap().to_vec()).collect();
            if self.is_open(id) {
                self.commands += 1;
                self.execute(id, &arguments.iter().map(|argument| &argument[..]).collect::<Vec<_>>());
            }
        }
        self.connections[id].input = input;
    }

    fn execute(&mut self, id: ConnectionId, arguments: &[&[u8]]) {
        let answer = match arguments {
            [b"HELLO", b"3"] => {
                "%3\r\n+version\r\n+7.0.15\r\n+mode\r\n+standalone\r\n+role\r\n+master\r\n".into()
            }
            [b"CONFIG", ..] => "%1\r\n+maxmemory-policy\r\n+noeviction\r\n".into(),
            [b"SET", key, value, condition @ (b"NX" | b"XX"), b"PX", life] => {
                if self.keys.contains_key(*key) == (*condition == b"XX") {
                    let life = Duration::from_millis(number(life));
                    let entry = Entry { value: value.to_vec(), expires_at: Some(self.now + life) };
                    self.keys.insert(key.to_vec(), entry);
                    "+OK\r\n".into()
                } else {
                    "_\r\n".into()
                }
            }
            [b"DEL", key] => integer(usize::from(self.keys.remove(*key).is_some())),
            [b"EXPIRE", key, life] => match self.keys.get_mut(*key) {
                Some(entry) => {
                    entry.expires_at = Some(self.now + Duration::from_secs(number(life)));
                    integer(1)
                }
                None => integer(0),
            },
            [b"EVAL", script, rest @ ..] if *script == CLAIM.as_bytes() => self.claim(rest),
            [b"EVAL", script, b"1", key, holder] if *script == FREE.as_bytes() => {
                let is_held = self.keys.get(*key).is_some_and(|entry| entry.value == *holder);
                integer(usize::from(is_held && self.keys.remove(*key).is_some()))
            }
            [b"SUBSCRIBE", channel] => {
                let Connection { channels, output, .. } = &mut self.connections[id];
                channels.insert(channel.to_vec());
                return push(output, "subscribe", Some(channel), Err(channels.len()));
            }
            [b"UNSUBSCRIBE", channel] => {
                let Connection { channels, output, .. } = &mut self.connections[id];
                channels.remove(*channel);
                return push(output, "unsubscribe", Some(channel), Err(channels.len()));
            }
            [b"UNSUBSCRIBE"] => {
                let Connection { channels, output, .. } = &mut self.connections[id];
                if channels.is_empty() {
                    return push(output, "unsubscribe", None, Err(0));
                }
                while let Some(channel) = channels.pop_first() {
                    push(output, "unsubscribe", Some(&channel), Err(channels.len()));
                }
                return;
            }
            [b"PUBSUB", b"NUMSUB", channel] => {
                let count = self.subscribers(channel);
                let output = &mut self.connections[id].output;
                output.extend(b"*2\r\n");
                blob(output, channel);
                integer(count)
            }
            [b"PUBLISH", channel, payload] => return self.publish(id, channel, payload),
            other => panic!("{:?}", other.iter().map(|it| String::from_utf8_lossy(it)).collect::<Vec<_>>()),
        };
        self.connections[id].output.extend(answer.bytes());
    }

    fn claim(&mut self, arguments: &[&[u8]]) -> String {
        let (new, old, rest) = match arguments {
            [b"1", new, rest @ ..] => (new, None, rest),
            [b"2", new, old, rest @ ..] => (new, Some(old), rest),
            _ => panic!("keys of a claim"),
        };
        let [holder, own, nodes, life] = rest else { panic!("arguments of a claim") };
        if !self.has_key(own) {
            return ":-1\r\n".into();
        }
        if let Some(entry) = self.keys.get(*new).filter(|entry| entry.value != *holder) {
            let node = entry.value.split(|&byte| byte == b':').next().unwrap();
            if self.has_key(&[nodes, node].concat()) {
                return integer(0);
            }
        }
        let expires_at = Some(self.now + Duration::from_secs(number(life)));
        self.keys.insert(new.to_vec(), Entry { value: holder.to_vec(), expires_at });
        if let Some(old) = old
            && self.keys.get(*old).is_some_and(|entry| entry.value == *holder)
        {
            self.keys.remove(*old);
        }
        integer(1)
    }

    fn publish(&mut self, id: ConnectionId, channel: &[u8], payload: &[u8]) {
        let count = self.subscribers(channel);
        if self.number_first {
            self.connections[id].output.extend(integer(count).bytes());
        }
        for other in 0..self.connections.len() {
            let connection = &mut self.connections[other];
            if connection.channels.contains(channel) {
                push(&mut connection.output, "message", Some(channel), Ok(payload));
                if connection.output.len() > self.output_limit {
                    self.close(other);
                }
            }
        }
        if !self.number_first {
            self.connections[id].output.extend(integer(count).bytes());
        }
        if payload != b"probe" {
            self.published.push((channel.to_vec(), payload.to_vec()));
        }
    }
}

fn integer(value: usize) -> String {
    format!(":{value}\r\n")
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}
