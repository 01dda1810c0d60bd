//! How the link lives: it is made, looked at, lost and tried again, and given up when the server stops.

use std::time::Duration;

use super::{Link, Node};
use crate::cluster::question::{About, Asked};
use crate::cluster::resp::{self, Decoder};
use crate::deadlines::Moment;

/// The engine has so long to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first pause before the link is tried again, and the longest.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(100);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Node {
    /// Whether a connection is to be made now. It is being made then, and [`Node::connected`] or [`Node::lose`] has to
    /// be told.
    pub fn wants_to_connect(&mut self) -> bool {
        let wants = matches!(self.link, Link::Down { until } if until <= self.now);
        if wants {
            self.link = Link::Connecting { since: self.now };
        }
        wants
    }

    /// The connection stands: the greeting begins.
    pub fn connected(&mut self) {
        if matches!(self.link, Link::Connecting { .. }) {
            self.link = Link::Greeting;
            self.greet();
        }
    }

    /// Whether there should be a connection, or is about to be. If not, it is to be closed.
    pub fn has_connection(&self) -> bool {
        !matches!(self.link, Link::Down { .. })
    }

    /// Whether clients can be served.
    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    /// Why the link does not stand, for a log.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The time at which something has to be done, if nothing happens before.
    pub fn deadline(&self) -> Option<Moment> {
        let answer = self.queue.front().map(|asked| asked.at + PATIENCE);
        match self.link {
            Link::Down { until } => Some(until),
            Link::Connecting { since } => Some(since + PATIENCE),
            Link::Greeting => Some(answer.map_or(self.lease_until, |answer| answer.min(self.lease_until))),
            Link::Up => Some(answer.unwrap_or(Moment::NEVER).min(self.renew_at).min(self.lease_until)),
            Link::Leaving => None,
        }
    }

    /// The link is lost, or could not be made. It is tried again after a pause that grows, and is random so that the
    /// nodes do not all come back at once.
    pub fn lose(&mut self, why: impl Into<String>) {
        if matches!(self.link, Link::Down { .. }) {
            return;
        }
        self.why = why.into();
        let was = self.link;
        let pause = PAUSE_MAX.min(PAUSE_MIN * (1 << self.attempts.min(10)));
        let pause = pause / 2 + Duration::from_nanos(self.next_random() % (pause.as_nanos() as u64 / 2));
        self.attempts = self.attempts.saturating_add(1);
        self.link = Link::Down { until: if was == Link::Leaving { Moment::NEVER } else { self.now + pause } };
        if was == Link::Up {
            (self.lost, self.told) = (true, true);
            log::warn!("cluster link lost: {}; all clients are told, and it is tried again", self.why);
        } else {
            log::debug!("no cluster link: {}", self.why);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.queue.clear();
        self.first += 1 << 32;
        self.waiting_bytes = 0;
        (self.lease_until, self.renew_at) = (Moment::NEVER, Moment::NEVER);
        (self.input, self.drained) = (Decoder::default(), true);
        (self.output, self.sent) = (Vec::new(), 0);
        self.under_way.clear();
        self.parked.clear();
        self.departures.clear();
        (self.parked_bytes, self.departures_bytes, self.asking) = (0, 0, 0);
        for client in self.clients.iter_mut().flatten() {
            (client.claimed, client.claiming, client.parked, client.asking) = (None, None, None, false);
        }
    }

    /// Whether the link was lost since this was last asked. Then the clients are told now, on the hub's clock.
    pub fn take_lost(&mut self, now: Moment) -> bool {
        let lost = std::mem::take(&mut self.lost);
        if lost {
            self.told_at = Some(now);
        }
        lost
    }

    /// Whether it was, and nobody has asked yet.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether clients were last told after that time.
    pub fn has_told_after(&self, time: Moment) -> bool {
        self.told_at.is_some_and(|at| at > time)
    }

    /// To be called before anything is read, from clients or from the link: this node may have stood still for longer
    /// than the others may take it for alive.
    pub fn check_lease(&mut self) {
        if self.now >= self.lease_until && self.has_connection() && self.link != Link::Leaving {
            self.lose("this node's lease has run out: it stood still, or its renewals came too late");
        }
    }

    /// To be called after what has come was heard: what is overdue, and what has its time.
    pub fn check_time(&mut self) {
        match self.link {
            Link::Connecting { since } if since + PATIENCE <= self.now => {
                self.lose("no connection within 5 seconds");
            }
            Link::Greeting | Link::Up if self.is_overdue() => {
                self.lose("the engine has not answered for 5 seconds");
            }
            _ => {}
        }
        if self.link == Link::Up {
            if self.renew_at <= self.now {
                self.renew_lease();
                self.refresh_nicknames();
            }
            self.tell_departures();
        }
    }

    /// Whether an answer has not come in time. One that has come and was not heard yet is in time.
    fn is_overdue(&self) -> bool {
        let is_late = |asked: &Asked| asked.at + PATIENCE <= self.now;
        self.drained && !self.input.may_have_value() && self.queue.front().is_some_and(is_late)
    }

    /// The server is to stop as soon as it may. When this was asked for first, on the hub's clock.
    pub fn ask_to_stop(&mut self, now: Moment) -> Moment {
        *self.stop_asked_at.get_or_insert(now)
    }

    /// When it was asked to stop.
    pub fn stop_asked_at(&self) -> Option<Moment> {
        self.stop_asked_at
    }

    /// The server stops: unsubscribes from everything and gives up the lease, which frees all nicknames in one step.
    pub fn leave(&mut self) {
        if self.link != Link::Up {
            // No attempt is made any more.
            self.link = Link::Down { until: Moment::NEVER };
            return self.forget();
        }
        // Answers that nobody waits for are not told apart any more, so they are only counted.
        resp::command(&mut self.output, &[b"UNSUBSCRIBE"]);
        let key = self.config.keys.node(self.id);
        self.tell(About::Free, |out| resp::command(out, &[b"DEL", key.as_bytes()]));
        self.departures.clear();
        self.departures_bytes = 0;
        self.link = Link::Leaving;
    }

    /// Whether something is still to be sent to the engine or heard from it before the server may end.
    pub fn is_leaving_cluster(&self) -> bool {
        self.link == Link::Leaving && !self.queue.is_empty()
    }
}
