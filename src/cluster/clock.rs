//! A clock that also counts the time in which the machine was suspended. A lease runs out in that time, too.

use std::time::Duration;

/// As `std::time::Instant`, which may stand still while the machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// The time now.
    pub fn now() -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let id = rustix::time::ClockId::Boottime;
        // Elsewhere this one counts it.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let id = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Instant(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// How long it is since then.
    pub fn elapsed(self) -> Duration {
        Instant::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_as_another_clock_does() {
        let (other, start) = (std::time::Instant::now(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let time = start.elapsed();
        assert!(time >= Duration::from_millis(20) && time <= other.elapsed(), "{time:?}");
    }
}
