//! The clock of the hub. It does not count time in which the process stood still: stopped, suspended, or without a
//! processor. Nobody's time-out is to come nearer by that, for what a client has sent meanwhile has not been read.

use std::time::{Duration, Instant};

/// While any time-out is pending, the poll waits no longer than this at once, so that a longer time between two looks
/// at the clock is known to be none of waiting.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A turn of the loop may take so long, beside waiting, and still count.
const TURN_MAX: Duration = Duration::from_millis(100);

/// The clock.
#[derive(Debug)]
pub struct Clock {
    looked_at: Instant,
    now: Duration,
}

impl Clock {
    /// A clock that begins at zero.
    pub fn start() -> Clock {
        Clock { looked_at: Instant::now(), now: Duration::ZERO }
    }

    /// The time when it was last looked at.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// How much time has passed since.
    #[cfg(feature = "web")]
    pub fn in_turn(&self) -> Duration {
        self.looked_at.elapsed()
    }

    /// How long the poll is to wait, if so long a wait is wanted.
    pub fn wait(wanted: Option<Duration>) -> Option<Duration> {
        wanted.map(|wanted| wanted.min(WAIT_MAX))
    }

    /// Looks at the clock after a poll that was to wait so long. Without an end to that, there was no time-out pending,
    /// and all of it counts.
    pub fn look(&mut self, waited: Option<Duration>) -> Duration {
        let passed = self.looked_at.elapsed();
        self.looked_at += passed;
        self.now += waited.map_or(passed, |waited| passed.min(waited + TURN_MAX));
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_beyond_the_wait_is_not_counted() {
        let mut clock = Clock::start();
        clock.looked_at -= Duration::from_secs(60);
        let waited = Clock::wait(Some(Duration::from_secs(9)));
        assert_eq!(clock.look(waited), WAIT_MAX + TURN_MAX);
        clock.looked_at -= Duration::from_secs(60);
        assert!(clock.look(None) >= Duration::from_secs(61), "an idle server's time counts");
        assert_eq!(clock.now(), clock.now);
    }
}
