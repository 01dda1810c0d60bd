//! Time-outs of all kinds, in one heap. Knows nothing of what they are for.
//!
//! An entry says when a client should be looked at. A deadline that moves away, as most do with every line that comes,
//! leaves its entry where it is: the entry comes up too early, and the client is entered anew. One that comes nearer
//! gets a second entry, and the first is stale then. So nothing is ever searched for, and nothing is removed but at the
//! top. The client keeps the time for which it is entered; an entry with another time is stale.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::chat::ClientId;

/// The heap. Times are those of the caller's clock.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Duration, ClientId)>>,
}

impl Deadlines {
    /// Enters a client.
    pub fn push(&mut self, at: Duration, client: ClientId) {
        self.heap.push(Reverse((at, client)));
    }

    /// The time of the first entry.
    pub fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|&Reverse((at, _))| at)
    }

    /// Takes the first entry whose time has come.
    pub fn pop_due(&mut self, now: Duration) -> Option<(Duration, ClientId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Removes what is stale, if it can outweigh what is live: at most `live` entries are.
    pub fn sweep(&mut self, live: usize, is_live: impl Fn(Duration, ClientId) -> bool) {
        if self.heap.len() > 2 * live + 64 {
            self.heap.retain(|&Reverse((at, client))| is_live(at, client));
            self.heap.shrink_to(2 * live + 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_be_due_comes_first_and_stale_entries_are_swept_out() {
        let at = Duration::from_secs;
        let mut deadlines = Deadlines::default();
        for client in 0..100 {
            deadlines.push(at(100 - u64::from(client)), client);
            deadlines.push(at(200), client);
        }
        deadlines.push(at(1), 7);
        assert_eq!((deadlines.next(), deadlines.pop_due(Duration::ZERO)), (Some(at(1)), None));
        assert_eq!(deadlines.pop_due(at(1)), Some((at(1), 7)));
        deadlines.sweep(100, |_, _| panic!("they are not too many"));
        deadlines.sweep(10, |time, client| client < 10 && time < at(200));
        let order: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(at(500))).map(|(_, client)| client).collect();
        assert_eq!(order, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(deadlines.next(), None);
    }
}
