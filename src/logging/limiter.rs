//! How often a thing may be logged. Knows nothing of what it is.

use std::time::Duration;

/// The least time between two lines of one kind.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Lets one line a second through, and counts those that it does not: one limiter for each kind of line.
///
/// Times are those of a clock that begins anywhere.
///
/// ```
/// use std::time::Duration;
///
/// let second = Duration::from_secs;
/// let mut refusals = parlor::logging::Limiter::default();
/// assert_eq!(refusals.admit(second(5)), Some(0));
/// assert_eq!(refusals.admit(second(5)), None);
/// assert_eq!(refusals.deadline(), Some(second(6)));
/// assert_eq!(refusals.take_due(second(6), false), 1);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Limiter {
    told_at: Option<Duration>,
    left_out: u64,
}

impl Limiter {
    /// Whether a line may be logged now, and then how many were left out since the last. One that may not is counted.
    pub fn admit(&mut self, now: Duration) -> Option<u64> {
        let may = self.is_due(now);
        if may {
            self.told_at = Some(now);
            return Some(std::mem::take(&mut self.left_out));
        }
        self.left_out += 1;
        None
    }

    /// How many lines were left out, if that is to be told now: the time has come, or it is `the_end`. Where there were
    /// some it counts as the line that is logged.
    pub fn take_due(&mut self, now: Duration, the_end: bool) -> u64 {
        if self.left_out > 0 && (the_end || self.is_due(now)) {
            self.told_at = Some(now);
            return std::mem::take(&mut self.left_out);
        }
        0
    }

    /// When [`Limiter::take_due`] will have something to tell.
    pub fn deadline(&self) -> Option<Duration> {
        self.told_at.filter(|_| self.left_out > 0).map(|told_at| told_at + TOLD_EVERY)
    }

    fn is_due(&self, now: Duration) -> bool {
        self.told_at.is_none_or(|told_at| now >= told_at + TOLD_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_all_others_are_counted_once() {
        let mut limiter = Limiter::default();
        assert_eq!((limiter.deadline(), limiter.take_due(Duration::ZERO, true)), (None, 0));
        let (mut lines, mut told) = (0, 0);
        for step in 0..1000 {
            let now = Duration::from_millis(7 * step);
            if let Some(left_out) = limiter.admit(now) {
                lines += 1;
                told += 1 + left_out;
            }
        }
        assert_eq!(lines, 7);
        let end = Duration::from_millis(6999);
        assert_eq!(told + limiter.take_due(end, true), 1000);
        assert_eq!((limiter.take_due(end, true), limiter.deadline()), (0, None));
    }

    #[test]
    fn what_was_left_out_is_due_a_second_after_the_last_line() {
        let at = Duration::from_millis;
        let mut limiter = Limiter::default();
        assert_eq!(limiter.admit(at(100)), Some(0));
        assert_eq!((limiter.admit(at(200)), limiter.admit(at(300))), (None, None));
        assert_eq!(limiter.deadline(), Some(at(1100)));
        assert_eq!(limiter.take_due(at(1099), false), 0);
        assert_eq!(limiter.take_due(at(1100), false), 2);
        assert_eq!(limiter.deadline(), None);
        assert_eq!(limiter.admit(at(2099)), None, "telling of those left out was a line");
        assert_eq!(limiter.admit(at(2100)), Some(1));
    }
}
