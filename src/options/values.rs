//! How numbers are written on the command line.

/// The letters that may end a size, the largest first.
const UNITS: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

/// A number in plain digits: no sign, no blank. One past 64 bits becomes the largest, which is out of every range.
pub(super) fn count(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// A number of bytes, with or without one of [`UNITS`]. One past 64 bits becomes the largest, likewise.
pub(super) fn size(text: &str) -> Option<u64> {
    for (letter, unit) in UNITS {
        if let Some(digits) = text.strip_suffix([letter, letter.to_ascii_lowercase()]) {
            return count(digits).map(|number| number.saturating_mul(unit));
        }
    }
    count(text)
}

/// A number of bytes as one would type it.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    unit.map_or(bytes.to_string(), |(letter, unit)| format!("{}{letter}", bytes / unit))
}

/// What to add to the refusal of a size that is written as elsewhere: `64KB`, `1MiB`, `100 B`. Nothing for others.
pub(super) fn hint_for_size(text: &str) -> String {
    let bare = text.trim().trim_end_matches(['b', 'B']).trim_end_matches(['i', 'I']);
    let bare = bare.split_whitespace().collect::<String>().to_ascii_uppercase();
    if bare != text && size(text).is_none() && size(&bare).is_some() {
        format!("; did you mean {bare}?")
    } else {
        String::new()
    }
}

/// A number in octal digits: no sign, no prefix.
pub(super) fn octal(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    is_number.then(|| u32::from_str_radix(text, 8).unwrap_or(u32::MAX))
}
