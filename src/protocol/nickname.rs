//! Which nicknames are allowed: no two of them should look the same because of characters that nobody sees.
//!
//! Knows nothing of JSON nor of who has which name.

/// The longest nickname, in bytes of UTF-8 before any escaping.
pub const BYTES_MAX: usize = 64;

/// What is wrong with a nickname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NicknameFault {
    /// It has no character.
    Empty,
    /// It has more than 64 bytes.
    TooLong,
    /// It has a control character (Unicode `Cc`).
    Control,
    /// It has a character that nobody sees.
    Invisible,
    /// It begins or ends with white space.
    WhiteSpace,
}

/// What may follow depends on the character before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The beginning, or a character that is no symbol.
    Other,
    /// A symbol: [`VARIATION_SELECTOR`] and [`JOINER`] may follow.
    Symbol,
    /// A symbol with its variation selector: [`JOINER`] may follow.
    SymbolWithSelector,
    /// A joiner: a symbol has to follow.
    Joiner,
}

/// Asks for the emoji form of the symbol before it.
const VARIATION_SELECTOR: char = '\u{fe0f}';

/// Makes one emoji of the symbols on both sides.
const JOINER: char = '\u{200d}';

/// Checks a nickname, unescaped.
///
/// # Errors
/// The first fault: of the length, then of the characters from left to right, then of the ends.
pub fn check(name: &str) -> Result<(), NicknameFault> {
    match name.len() {
        0 => return Err(NicknameFault::Empty),
        1..=BYTES_MAX => {}
        _ => return Err(NicknameFault::TooLong),
    }
    let mut before = Before::Other;
    for char in name.chars() {
        before = match (before, char) {
            (Before::Symbol, VARIATION_SELECTOR) => Before::SymbolWithSelector,
            (Before::Symbol | Before::SymbolWithSelector, JOINER) => Before::Joiner,
            _ if char.is_control() => return Err(NicknameFault::Control),
            _ if is_invisible(char) => return Err(NicknameFault::Invisible),
            _ if is_symbol(char) => Before::Symbol,
            // The joiner joins nothing.
            (Before::Joiner, _) => return Err(NicknameFault::Invisible),
            _ => Before::Other,
        };
    }
    if before == Before::Joiner {
        return Err(NicknameFault::Invisible);
    }
    if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
        return Err(NicknameFault::WhiteSpace);
    }
    Ok(())
}

/// A character that emoji are made of. The first range also holds white space and invisible characters.
fn is_symbol(char: char) -> bool {
    matches!(char, '\u{203c}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
        && !char.is_whitespace()
        && !is_invisible(char)
}

/// Whether a character takes no ink: the zero-width characters, those that change the direction of writing, fillers,
/// variation selectors, and the empty Braille pattern.
pub(crate) fn is_invisible(char: char) -> bool {
    // The usual names, without a search.
    char >= '\u{ad}' && INVISIBLE.iter().any(|&(first, last)| (first..=last).contains(&char))
}

/// `Default_Ignorable_Code_Point` of Unicode 16.0 (DerivedCoreProperties.txt), adjoining ranges put together, and what
/// the protocol adds to it.
const INVISIBLE: [(char, char); 20] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    // Added: the separators of lines and paragraphs, the empty Braille pattern, the marks of annotations.
    ('\u{2028}', '\u{2029}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{fff9}', '\u{fffb}'),
];

#[cfg(test)]
mod tests {
    use super::NicknameFault::{Control, Empty, Invisible, TooLong, WhiteSpace};
    use super::*;
    use std::sync::LazyLock;

    use regex::Regex;

    /// The rules once more, as a pattern over properties that come from other tables of Unicode.
    fn pattern() -> Regex {
        let invisible = r"\p{Default_Ignorable_Code_Point}\u{2028}\u{2029}\u{fff9}-\u{fffb}\u{2800}";
        let emoji = r"[\u{203c}-\u{2bff}\u{1f000}-\u{1faff}]";
        let symbol = format!(r"[{emoji}--[\p{{White_Space}}{invisible}]]\u{{fe0f}}?");
        let other = format!(r"[^\p{{Cc}}{invisible}]");
        let chars = format!(r"(?:{symbol}(?:\u{{200d}}{symbol})+|{symbol}|{other})*");
        Regex::new(&format!(r"(?s)\A{chars}\z")).unwrap()
    }

    fn is_trimmed(name: &str) -> bool {
        static ENDS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\A\p{White_Space}|\p{White_Space}\z").unwrap());
        !ENDS.is_match(name)
    }

    #[test]
    fn every_code_point_is_judged_as_another_table_of_unicode_has_it() {
        let pattern = pattern();
        for char in '\0'..=char::MAX {
            // Within, at each end, with what may follow a symbol, and between two symbols.
            for (begin, end) in
                [("a", "b"), ("", "b"), ("a", ""), ("", "\u{fe0f}"), ("❤\u{200d}", "\u{200d}❤")]
            {
                let name = format!("{begin}{char}{end}");
                let allowed = pattern.is_match(&name) && is_trimmed(&name);
                assert_eq!(check(&name).is_ok(), allowed, "{name:?}");
            }
        }
    }

    #[test]
    fn what_may_stand_in_a_row() {
        let pattern = pattern();
        let pieces =
            ["a", "1", "❤", "\u{1f468}", "\u{fe0f}", "\u{200d}", " ", "\u{20e3}", "\u{1f3fd}", "\u{e0067}"];
        let mut names = vec![String::new()];
        for length in 1..=5 {
            names = names.iter().flat_map(|name| pieces.map(|piece| format!("{name}{piece}"))).collect();
            for name in &names {
                let allowed = pattern.is_match(name) && is_trimmed(name);
                assert_eq!(check(name).is_ok(), allowed, "{name:?} of {length}");
            }
        }
    }

    #[test]
    fn names_of_the_protocols_page() {
        for good in [
            "a",
            "Bob B.",
            "🦀",
            "guest-7",
            "❤\u{fe0f}",
            "👩🏽\u{200d}🚀",
            "❤\u{fe0f}\u{200d}🔥",
            "👁\u{fe0f}\u{200d}🗨\u{fe0f}",
            "🇩🇪",
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for (bad, fault) in [
            ("", Empty),
            ("a\u{7}b", Control),
            ("a\u{85}", Control),
            ("Bob\u{200b}", Invisible),
            ("\u{202e}boB", Invisible),
            ("\u{3164}", Invisible),
            ("\u{2800}", Invisible),
            ("a\u{2028}b", Invisible),
            ("a\u{fff9}b", Invisible),
            ("1\u{fe0f}\u{20e3}", Invisible),
            ("❤\u{fe0f}\u{fe0f}", Invisible),
            ("❤\u{200d}", Invisible),
            ("❤\u{200d}a", Invisible),
            ("🏴\u{e0067}\u{e007f}", Invisible),
            (" a", WhiteSpace),
            ("a\u{3000}", WhiteSpace),
        ] {
            assert_eq!(check(bad), Err(fault), "{bad:?}");
        }
        assert_eq!(check(&"é".repeat(32)), Ok(()));
        assert_eq!(check(&("é".repeat(32) + "x")), Err(TooLong));
    }
}
