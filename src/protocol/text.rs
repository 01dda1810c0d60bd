//! JSON strings as they are written: what their escapes mean, and the one spelling in which the server writes them.
//!
//! All functions here take a string that has already been found to be valid JSON, with its quotes, unless they say
//! otherwise.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether the server writes this character as an escape although JSON would allow it as it is: many line readers split
/// at some of these, and terminals take others for commands. (What is below U+0020 JSON itself forbids.)
fn is_always_escaped(char: char) -> bool {
    matches!(char, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

/// Whether every `\u` escape of a surrogate stands in a pair, high before low. `json` is any text; for one that is
/// no JSON the answer has no meaning, but there is one.
pub fn surrogates_are_paired(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        rest = &rest[at..];
        match code_unit(rest) {
            Some(0xD800..=0xDBFF) => match rest.get(6..).and_then(code_unit) {
                Some(0xDC00..=0xDFFF) => rest = &rest[12..],
                _ => return false,
            },
            Some(0xDC00..=0xDFFF) => return false,
            Some(_) => rest = &rest[6..],
            // A short escape: two characters, of which the second may be another backslash.
            None => rest = rest.get(2..).unwrap_or_default(),
        }
    }
    true
}

/// The code unit of the `\uXXXX` at the very start of `text`.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    // `from_str_radix` would also take a sign.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(digits, 16).ok()
}

/// The text between the quotes, still escaped.
pub fn without_quotes(raw: &str) -> &str {
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}

/// What the string says.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    let inner = without_quotes(raw);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    // It cannot fail: the string was valid when the line was read, and its surrogates are paired.
    let unescaped = serde_json::from_str(raw);
    debug_assert!(unescaped.is_ok(), "an invalid string got through: {raw}");
    Cow::Owned(unescaped.unwrap_or_default())
}

/// The canonical spelling, with quotes: nothing is escaped but what must be, and that always in the same way.
pub fn canonical(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return escape_controls(raw);
    }
    let spelling = serde_json::Value::String(unescape(raw).into_owned()).to_string();
    Cow::Owned(escape_controls(&spelling).into_owned())
}

/// The same string, with the characters that are [always escaped](is_always_escaped) written so. It becomes at most three
/// times as long.
pub fn escape_controls(raw: &str) -> Cow<'_, str> {
    // ASCII, the usual case, is recognised several times faster than the characters are searched for.
    if raw.is_ascii() || !raw.contains(is_always_escaped) {
        return Cow::Borrowed(raw);
    }
    let mut escaped = String::with_capacity(raw.len() + raw.len() / 4);
    for char in raw.chars() {
        if is_always_escaped(char) {
            let _cannot_fail = write!(escaped, "\\u{:04x}", u32::from(char));
        } else {
            escaped.push(char);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn surrogates() {
        for paired in ["", r"\\ud800", r#""\ud83e\udd80""#, r"\n\u00e9", r"\\\\", r"\", r"\u12", r"\u+123"] {
            assert!(surrogates_are_paired(paired), "{paired}");
        }
        for lone in [r"\ud800", r"\udc00", r"\ud83e\\udd80", r"\ud83e\ud83e\udd80", r"\\\ud800", r"\uDFFF"] {
            assert!(!surrogates_are_paired(lone), "{lone}");
        }
    }

    #[test]
    fn what_is_no_json_does_not_panic() {
        assert!(surrogates_are_paired("\\é\\"));
        assert!(surrogates_are_paired("\\u00é\\"));
    }

    #[test]
    fn controls_and_line_ends_are_always_escaped() {
        let raw = "\"a\u{85}b\u{2028}c\u{2029}d\u{80}\u{9b}31m\u{9f}\u{a0} é\u{7f}\"";
        let escaped = "\"a\\u0085b\\u2028c\\u2029d\\u0080\\u009b31m\\u009f\u{a0} é\u{7f}\"";
        assert_eq!(escape_controls(raw), escaped);
        assert_eq!(canonical(raw), escaped);
        assert_eq!(canonical(r#""\u009b\u009B""#), canonical("\"\u{9b}\u{9b}\""));
    }

    proptest! {
        /// However a string is spelled, there is one canonical spelling, and it says the same.
        #[test]
        fn canonical_spelling(text in "[\\x00-\\x20a\"\\\\/\u{7f}-\u{a0}\u{2027}-\u{202a}é🦀]{0,20}|.{0,20}", escape in proptest::collection::vec(any::<bool>(), 64)) {
            let plain = serde_json::to_string(&text).unwrap();
            let mut spelled = String::from("\"");
            for (index, char) in text.chars().enumerate() {
                let must = char < ' ' || char == '"' || char == '\\';
                if must || escape[index % escape.len()] {
                    let mut units = [0; 2];
                    for unit in char.encode_utf16(&mut units) {
                        spelled.push_str(&format!("\\u{unit:04x}"));
                    }
                } else {
                    spelled.push(char);
                }
            }
            spelled.push('"');
            prop_assert!(surrogates_are_paired(&spelled));
            prop_assert_eq!(unescape(&spelled), text.as_str());
            prop_assert_eq!(canonical(&spelled), canonical(&plain));
            prop_assert_eq!(serde_json::from_str::<String>(&canonical(&spelled)).unwrap(), text);
            prop_assert!(!canonical(&spelled).contains(is_always_escaped));
            prop_assert!(canonical(&spelled).len() <= 3 * spelled.len());
        }
    }
}
