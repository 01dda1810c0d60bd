//! What a client has chosen, such as its name, so that it cannot be taken for anything else in a log.

use std::fmt::{self, Write};

use crate::protocol::is_invisible;

/// `text` as it can stand in a line of the log: in quotes, with everything in it escaped that is not plainly printable.
/// Neither a quote, nor a control character, nor an invisible one, nor one that changes the direction of writing is
/// left, so nothing in it can be taken for the rest of the line.
///
/// ```
/// use parlor::logging::quoted;
///
/// assert_eq!(quoted("Zoë").to_string(), r#""Zoë""#);
/// assert_eq!(quoted("x\" from 203.0.113.9").to_string(), r#""x\" from 203.0.113.9""#);
/// assert_eq!(quoted("\u{202e}boB\u{200b}").to_string(), r#""\u{202e}boB\u{200b}""#);
/// ```
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// See [`quoted`].
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        // The standard library escapes quotes, backslashes, and what Unicode has as control, format, private or
        // unassigned characters and as white space; and a combining mark at the beginning, which would join the quote.
        for c in self.0.escape_debug() {
            if is_invisible(c) { write!(f, "{}", c.escape_unicode())? } else { f.write_char(c)? }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_have_stay_as_they_are() {
        for name in
            ["Bob", "guest-12", "Zoë", "Ольга", "李小龙", "محمد", "e\u{301}", "हिन्दी", "🦀", "a b", "<>&|;$`"]
        {
            assert_eq!(quoted(name).to_string(), format!("\"{name}\""));
        }
    }

    #[test]
    fn whatever_is_in_it_is_one_printable_word_in_quotes() {
        for c in ('\0'..=char::MAX).filter(|c| !c.is_alphanumeric() || is_invisible(*c)) {
            let text = quoted(&format!("a{c}b")).to_string();
            let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap();
            assert!(!inner.contains(|c: char| c.is_control() || is_invisible(c)), "{text:?}");
            assert!(!inner.contains(|c: char| c.is_whitespace() && c != ' '), "{text:?}");
            // A quote or backslash only as an escape.
            let unescaped = inner.replace("\\\\", "").replace("\\\"", "").replace("\\'", "");
            assert!(!unescaped.contains(['"', '\'']), "{text:?}");
            if c.is_control() || is_invisible(c) || "\"\\\u{feff}\u{e000}".contains(c) {
                assert!(inner.starts_with("a\\") && inner.is_ascii(), "{text:?}");
            }
        }
        assert_eq!(quoted("\u{301}").to_string(), r#""\u{301}""#);
        assert_eq!(
            quoted("\u{3164}\u{2800}\u{115f}\u{e0100}").to_string(),
            r#""\u{3164}\u{2800}\u{115f}\u{e0100}""#
        );
    }
}
