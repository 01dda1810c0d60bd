//! Time-outs without scanning: lists of slots, each ordered by time because all its entries wait equally long. Knows
//! nothing of what is in a slot.
//!
//! The links stand in the connections, so that a client that is heard of moves to the end of its list at once, and a
//! time-out takes no memory of its own.

use std::time::Duration;

const NONE: u32 = u32::MAX;

/// The part of a record by which it hangs in a list.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    before: u32,
    after: u32,
    since_ns: u64,
    kind: Option<Kind>,
}

/// What a connection waits for; it is in at most one of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something from a client, for `--idle-timeout`.
    Idle,
    /// Progress, of a client that has closed its side and still has output to take.
    Finishing,
    /// The end, of a connection that has got its last words.
    Lingering,
}

impl Default for Timer {
    fn default() -> Self {
        Timer { before: NONE, after: NONE, since_ns: 0, kind: None }
    }
}

impl Timer {
    /// Which list this is in.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }
}

/// Where the records are.
pub trait Timed {
    /// The timer of the record in `slot`.
    fn timer_mut(&mut self, slot: u32) -> Option<&mut Timer>;
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: usize,
    wait_ns: u64,
}

/// The lists. Times are those of the caller's clock.
#[derive(Debug)]
pub struct Timers {
    lists: [List; 3],
}

impl Timers {
    /// Empty lists, with how long an entry of each waits. Zero is never, for the idle.
    pub fn new(idle: Duration, finishing: Duration, lingering: Duration) -> Self {
        let list = |wait| List { first: NONE, last: NONE, len: 0, wait_ns: nanoseconds(wait) };
        Timers { lists: [list(idle), list(finishing), list(lingering)] }
    }

    /// Puts a record at the end of a list, after taking it out of the one that it is in.
    pub fn start(&mut self, records: &mut impl Timed, slot: u32, kind: Kind, now: Duration) {
        if kind == Kind::Idle && self.list(kind).wait_ns == 0 {
            return;
        }
        self.stop(records, slot);
        let last = self.list(kind).last;
        let Some(timer) = records.timer_mut(slot) else { return };
        *timer = Timer { before: last, after: NONE, since_ns: nanoseconds(now), kind: Some(kind) };
        match records.timer_mut(last) {
            Some(before) => before.after = slot,
            None => self.list(kind).first = slot,
        }
        self.list(kind).last = slot;
        self.list(kind).len += 1;
    }

    /// Takes a record out of the list that it is in.
    pub fn stop(&mut self, records: &mut impl Timed, slot: u32) {
        let Some(timer) = records.timer_mut(slot) else { return };
        let Timer { before, after, kind, .. } = std::mem::take(timer);
        let Some(kind) = kind else { return };
        match records.timer_mut(before) {
            Some(before) => before.after = after,
            None => self.list(kind).first = after,
        }
        match records.timer_mut(after) {
            Some(after) => after.before = before,
            None => self.list(kind).last = before,
        }
        self.list(kind).len -= 1;
    }

    /// The record that has waited longest in a list, if its time has come.
    pub fn due(&mut self, records: &mut impl Timed, kind: Kind, now: Duration) -> Option<u32> {
        let List { first, wait_ns, .. } = *self.list(kind);
        let since_ns = records.timer_mut(first)?.since_ns;
        (since_ns.saturating_add(wait_ns) <= nanoseconds(now)).then_some(first)
    }

    /// The record that has waited longest in a list.
    pub fn oldest(&mut self, kind: Kind) -> Option<u32> {
        Some(self.list(kind).first).filter(|&slot| slot != NONE)
    }

    /// When the next record of any list is due.
    pub fn next_deadline(&mut self, records: &mut impl Timed) -> Option<Duration> {
        let deadline =
            |list: &List| Some(records.timer_mut(list.first)?.since_ns.saturating_add(list.wait_ns));
        self.lists.iter().filter_map(deadline).min().map(Duration::from_nanos)
    }

    /// Records in a list.
    pub fn len(&mut self, kind: Kind) -> usize {
        self.list(kind).len
    }

    /// Changes how long the entries of a list wait, those that are in it included.
    pub fn set_wait(&mut self, kind: Kind, wait: Duration) {
        self.list(kind).wait_ns = nanoseconds(wait);
    }

    fn list(&mut self, kind: Kind) -> &mut List {
        let [idle, finishing, lingering] = &mut self.lists;
        match kind {
            Kind::Idle => idle,
            Kind::Finishing => finishing,
            Kind::Lingering => lingering,
        }
    }
}

/// Enough for 584 years.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timed for Vec<Timer> {
        fn timer_mut(&mut self, slot: u32) -> Option<&mut Timer> {
            self.get_mut(slot as usize)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_to_come_is_the_first_to_be_due() {
        let mut records = vec![Timer::default(); 4];
        let mut timers = Timers::new(3 * SECOND, SECOND, SECOND);
        for slot in 0..4 {
            timers.start(&mut records, slot, Kind::Idle, SECOND * slot);
        }
        timers.start(&mut records, 1, Kind::Idle, 4 * SECOND);
        timers.stop(&mut records, 2);
        assert_eq!(timers.len(Kind::Idle), 3);
        assert_eq!(timers.due(&mut records, Kind::Idle, 2 * SECOND), None);
        assert_eq!(timers.next_deadline(&mut records), Some(3 * SECOND));
        let mut order = Vec::new();
        while let Some(slot) = timers.due(&mut records, Kind::Idle, 9 * SECOND) {
            timers.start(&mut records, slot, Kind::Lingering, 9 * SECOND);
            order.push(slot);
        }
        assert_eq!(order, [0, 3, 1]);
        assert_eq!((timers.len(Kind::Idle), timers.len(Kind::Lingering)), (0, 3));
        assert_eq!(timers.next_deadline(&mut records), Some(10 * SECOND));
        assert_eq!(timers.oldest(Kind::Lingering), Some(0));
        timers.set_wait(Kind::Lingering, Duration::ZERO);
        assert_eq!(timers.due(&mut records, Kind::Lingering, 9 * SECOND), Some(0));
    }

    #[test]
    fn never_is_never() {
        let mut records = vec![Timer::default()];
        let mut timers = Timers::new(Duration::ZERO, SECOND, SECOND);
        timers.start(&mut records, 0, Kind::Idle, SECOND);
        assert_eq!(timers.next_deadline(&mut records), None);
    }
}
