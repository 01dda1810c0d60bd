//! The date of a run, for people to read.

/// The day and the time, as in `2026-11-25 22:24 UTC`.
pub fn now() -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let (days, minutes) = (since / 86_400, since / 60 % 1440);
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Year, month and day of so many days after 1970-01-01. Counted from a first of March, so that the leap day is the last
/// of its year, and in spans of 400 years, which all have as many days.
pub fn civil(days: u64) -> (u64, u64, u64) {
    const FROM_MARCH_OF_0: u64 = 719_468;
    let days = days + FROM_MARCH_OF_0;
    let (span, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (span * 400 + year + next, month, of_month)
}
