//! The time of day, as the user has it.

use time::{OffsetDateTime, UtcOffset};

/// Knows how far local time is from UTC.
#[derive(Debug)]
pub struct Clock {
    offset: UtcOffset,
}

impl Clock {
    pub fn new() -> Clock {
        Clock { offset: UtcOffset::UTC }
    }

    /// Hours and minutes, as in `09:05`.
    pub fn now(&mut self) -> String {
        let now = OffsetDateTime::now_utc();
        // The offset changes twice a year. While a host name is being looked up, by a second thread, it is not to be
        // had; the one of before will do.
        self.offset = UtcOffset::local_offset_at(now).unwrap_or(self.offset);
        let now = now.to_offset(self.offset);
        format!("{:02}:{:02}", now.hour(), now.minute())
    }
}
