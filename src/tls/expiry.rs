//! When a certificate expires. Neither `rustls` nor `webpki` tells it.
//!
//! A certificate is a tree of DER, and its last day of validity stands at a fixed place in it: eight steps, each over or
//! into one element. A parser of whole certificates (`x509-parser` is 31 packages with all that it needs, `x509-cert` 10)
//! would be much for one date. The certificate has been parsed by `webpki` before, so that what is looked at here is well
//! formed; what is not has no date.

use std::fmt;
use std::time::Duration;

/// Tags of DER.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

const DAY_S: u64 = 24 * 60 * 60;

/// A moment, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Now, by the clock of the host.
    pub fn now() -> Moment {
        // A clock before 1970 is 1970.
        Moment(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs())
    }

    /// How long until `later`; `None` if it is past.
    pub fn until(self, later: Moment) -> Option<Duration> {
        later.0.checked_sub(self.0).map(Duration::from_secs)
    }

    /// A moment in UTC. `None` if there is none such, or it is before 1970.
    fn at(date: [u64; 3], time: [u64; 3]) -> Option<Moment> {
        let ([year, month, day], [hour, minute, second]) = (date, time);
        let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        if !is_date || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // Years that begin with March end with the leap day; 719,468 days from the first of them to 1970.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
        Some(Moment(days.checked_sub(719_468)? * DAY_S + hour * 3600 + minute * 60 + second))
    }
}

/// The day, as in `2026-11-25`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let days = self.0 / DAY_S + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        write!(f, "{:04}-{month:02}-{day:02}", era * 400 + year_of_era + next_year)
    }
}

/// When this certificate, in DER, expires. `None` if it is no certificate.
pub fn not_after(certificate: &[u8]) -> Option<Moment> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, signed, _) = element(certificate)? else { return None };
    // Version (which may be missing), serial number, signature algorithm, issuer; then the validity.
    let (tag, _, rest) = element(signed)?;
    let rest = match tag {
        VERSION => element(rest)?.2,
        INTEGER => rest,
        _ => return None,
    };
    let (_, _, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?;
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (_not_before, _, rest) = element(validity)?;
    let (tag, not_after, _) = element(rest)?;
    time(tag, not_after)
}

/// The first element: its tag, what is in it, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // So many bytes of length follow. More than a certificate can have are none.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (
                length
                    .iter()
                    .try_fold(0_usize, |sum, &byte| sum.checked_mul(256)?.checked_add(byte.into()))?,
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, where 50 is 1950, or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<Moment> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (pairs, []) = rest.as_chunks::<2>() else { return None };
    let &[month, day, hour, minute, second] = pairs else { return None };
    let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(|pair| number(&pair));
    Moment::at([year, month?, day?], [hour?, minute?, second?])
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["chat.example".into()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_date_is_found_in_both_forms() {
        // From 2050 on it is written in the longer one.
        for (year, month, day, seconds) in [
            (1999, 12, 31, 946_598_400),
            (2024, 2, 29, 1_709_164_800),
            (2026, 11, 25, 1_795_564_800),
            (2049, 12, 31, 2_524_521_600),
            (2050, 1, 1, 2_524_608_000),
            (2100, 3, 1, 4_107_542_400),
            (9999, 12, 31, 253_402_214_400),
        ] {
            let moment = not_after(&certificate(year, month, day)).unwrap();
            assert_eq!(moment, Moment(seconds));
            assert_eq!(moment.to_string(), format!("{year:04}-{month:02}-{day:02}"));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_date() {
        let whole = certificate(2040, 1, 1);
        let inner = element(&whole).unwrap().1.len();
        for cut in 0..whole.len() {
            assert_eq!(not_after(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..inner.min(200) {
            for byte in [0, 0x30, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                // Whatever it says: a moment or none.
                let _moment = not_after(&broken);
            }
        }
        assert_eq!(not_after(b""), None);
    }

    #[test]
    fn times_that_are_none() {
        let good: &[(u8, &str, u64)] = &[
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20500101000001Z", 2_524_608_001),
        ];
        for &(tag, text, seconds) in good {
            assert_eq!(time(tag, text.as_bytes()), Some(Moment(seconds)), "{text}");
        }
        for (tag, text) in [
            (UTC_TIME, "500101000000Z"),
            (UTC_TIME, "20500101000000Z"),
            (UTC_TIME, "2401010000Z"),
            (UTC_TIME, "240101000000"),
            (UTC_TIME, "240001000000Z"),
            (UTC_TIME, "24130100000xZ"),
            (UTC_TIME, "240132000000Z"),
            (UTC_TIME, "240101240000Z"),
            (GENERALIZED_TIME, "500101000000Z"),
            (GENERALIZED_TIME, "20500101000000+0100"),
            (0x04, "240101000000Z"),
        ] {
            assert_eq!(time(tag, text.as_bytes()), None, "{text}");
        }
    }
}
