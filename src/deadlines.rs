//! Time-outs of all kinds, in one heap. Knows nothing of what they are for.
//!
//! An entry says when a client should be looked at. A deadline that moves away, as most do with every line that comes,
//! leaves its entry where it is: the entry comes up too early, and the client is entered anew. One that comes nearer
//! gets a second entry, and the first is stale then. So nothing is ever searched for, and nothing is removed but at the
//! top. The client keeps the time for which it is entered; an entry with another time is stale.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Add;
use std::time::Duration;

use crate::chat::ClientId;

/// A time on the hub's clock, in nanoseconds since it was zero; enough for 584 years. Every connection has several of
/// these, and a `Duration` takes twice as much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Later than every other.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// How long it is from `earlier` to here; nothing, if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time so much earlier; zero, if the clock did not run then.
    pub fn before(self, time: Duration) -> Moment {
        Moment(self.0.saturating_sub(Moment::from(time).0))
    }
}

impl From<Duration> for Moment {
    fn from(since_zero: Duration) -> Self {
        Moment(u64::try_from(since_zero.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Moment> for Duration {
    fn from(moment: Moment) -> Self {
        Duration::from_nanos(moment.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(Moment::from(time).0))
    }
}

/// There is room for so many from the start.
const RESERVED: usize = 1024;

/// The heap.
#[derive(Debug)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Moment, ClientId)>>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines { heap: BinaryHeap::with_capacity(RESERVED) }
    }
}

impl Deadlines {
    /// Enters a client.
    pub fn push(&mut self, at: Moment, client: ClientId) {
        self.heap.push(Reverse((at, client)));
    }

    /// The time of the first entry.
    pub fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|&Reverse((at, _))| at)
    }

    /// Takes the first entry whose time has come.
    pub fn pop_due(&mut self, now: Moment) -> Option<(Moment, ClientId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Removes what is stale, if it can outweigh what is live: at most `live` entries are.
    pub fn sweep(&mut self, live: usize, is_live: impl Fn(Moment, ClientId) -> bool) {
        if self.heap.len() > 2 * live + 64 {
            self.heap.retain(|&Reverse((at, client))| is_live(at, client));
            self.heap.shrink_to(RESERVED.max(2 * live + 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_be_due_comes_first_and_stale_entries_are_swept_out() {
        let at = |seconds| Moment::from(Duration::from_secs(seconds));
        let mut deadlines = Deadlines::default();
        for client in 0..100 {
            deadlines.push(at(100 - u64::from(client)), client);
            deadlines.push(at(200), client);
        }
        deadlines.push(at(1), 7);
        assert_eq!((deadlines.next(), deadlines.pop_due(Moment::default())), (Some(at(1)), None));
        assert_eq!(deadlines.pop_due(at(1)), Some((at(1), 7)));
        deadlines.sweep(100, |_, _| panic!("they are not too many"));
        deadlines.sweep(10, |time, client| client < 10 && time < at(200));
        let order: Vec<_> =
            std::iter::from_fn(|| deadlines.pop_due(at(500))).map(|(_, client)| client).collect();
        assert_eq!(order, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(deadlines.next(), None);
    }
}
