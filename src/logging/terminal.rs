//! A terminal as standard error. One that is not read, as behind a connection that stalls, makes its writer wait in the
//! middle of a line, although it had room when it was asked; so it is opened anew, to be written to without waiting,
//! and its lines are made here, as `simple_logger` makes them. The open file that others share stays as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use log::Metadata;

/// Not to wait, as Linux has it: what cannot be written at once is not.
const O_NONBLOCK: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0x80 } else { 0o4000 };

/// Standard error, if it is a terminal that can be opened anew. Elsewhere than on Linux that would change the open file
/// of others, too.
pub fn open() -> Option<File> {
    let is_one = cfg!(target_os = "linux") && io::stderr().is_terminal();
    let open = || OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open("/proc/self/fd/2").ok();
    is_one.then(open).flatten()
}

/// Writes a line, with the time in UTC. Whether all of it was.
pub fn write(mut terminal: &File, metadata: &Metadata, text: &str) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let line = format!("{} {:<5} [{}] {text}\n", date(now), metadata.level(), metadata.target());
    terminal.write(line.as_bytes()).is_ok_and(|written| written == line.len())
}

/// The date and the time of day, so long after the beginning of 1970.
fn date(since_1970: Duration) -> String {
    let (days, second) = (since_1970.as_secs() / 86400, since_1970.as_secs() % 86400);
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milliseconds = since_1970.subsec_millis();
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(date(Duration::from_millis(milliseconds)), expected);
        }
    }
}
