//! What comes from the network is made harmless before a terminal or a pipe gets it: control characters, the
//! bidirectional controls, zero-width and other invisible characters become escapes that one can see.
//!
//! Emoji are sequences with invisible characters in them. Where such a character stands as emoji have it, it is no
//! deceit: a line for a pipe keeps it. The screen leaves it out, since terminals do not agree on how wide the sequence
//! is, and shows the parts.

/// One line, for a pipe or a message: everything that is not printable is escaped, line ends too.
pub fn line(text: &str) -> String {
    visible(text, |c| c.escape_default().collect(), true)
}

/// One line for the screen, such as a name: everything that is not printable is escaped.
pub fn screen_line(text: &str) -> String {
    visible(text, |c| c.escape_default().collect(), false)
}

/// Text for the screen, in which line ends are kept and a tab is four spaces.
pub fn screen(text: &str) -> String {
    let show = |c| match c {
        '\n' => "\n".to_string(),
        '\t' => "    ".to_string(),
        c => c.escape_default().collect(),
    };
    visible(text.strip_suffix('\n').unwrap_or(text), show, false)
}

/// A line of JSON for a terminal: the same value, with JSON's own escapes for what is not printable.
pub fn json(line: &str) -> String {
    let show = |c: char| match c {
        // Outside strings it is white space, and inside it cannot stand.
        '\t' | '\r' => " ".to_string(),
        c => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    visible(line, show, true)
}

/// The text, with `show` applied to what cannot be printed. What belongs to an emoji is kept or left out.
fn visible(text: &str, show: impl Fn(char) -> String, keep_emoji: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut marks = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let joins = match c {
            '\u{fe0f}' => is_symbol(before),
            '\u{200d}' => {
                (is_symbol(before) || before == '\u{fe0f}' || is_skin_tone(before))
                    && chars.peek().is_some_and(|next| is_symbol(*next))
            }
            c => is_skin_tone(c) && is_symbol(before) && !keep_emoji,
        };
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if joins {
            if keep_emoji {
                out.push(c);
            }
        } else if !is_printable(c) || marks > MOST_MARKS {
            out.push_str(&show(c));
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}

/// A letter with more marks than this would be drawn over the lines around it.
const MOST_MARKS: u32 = 6;

fn is_mark(c: char) -> bool {
    !c.is_control() && !is_invisible(c) && unicode_width::UnicodeWidthChar::width(c) == Some(0)
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c) && !is_noncharacter(c)
}

/// Unicode's `Default_Ignorable_Code_Point`, and the line and annotation characters that are not in it.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// What emoji are made of, as the server has it for nicknames.
fn is_symbol(c: char) -> bool {
    matches!(c, '\u{203c}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}') && is_printable(c) && !c.is_whitespace()
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_printable_is_seen() {
        for (text, expected) in [
            ("plain \\ text, naïve 漢字 e\u{301}", "plain \\ text, naïve 漢字 e\u{301}"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{7f}\u{9b}", "\\u{7f}\\u{9b}"),
            ("x\u{202e}y\u{200b}z\u{feff}", "x\\u{202e}y\\u{200b}z\\u{feff}"),
            ("\u{2028}\u{fffe}\u{e0041}", "\\u{2028}\\u{fffe}\\u{e0041}"),
            ("a\u{200d}b\u{fe0f}", "a\\u{200d}b\\u{fe0f}"),
        ] {
            assert_eq!(line(text), expected);
        }
    }

    #[test]
    fn emoji_stay_whole_in_a_pipe_and_come_in_parts_to_the_screen() {
        let family = "👩\u{200d}💻 ❤\u{fe0f} 👍🏽";
        assert_eq!(line(family), family);
        assert_eq!(screen(family), "👩💻 ❤ 👍");
        assert_eq!(screen("❤\u{fe0f}\u{fe0f}\u{200d}"), "❤\\u{fe0f}\\u{200d}");
    }

    #[test]
    fn the_screen_has_lines_and_tabs() {
        assert_eq!(screen("a\n\tb\r\n"), "a\n    b\\r");
        assert_eq!(screen_line("a\n\tb\r\n"), "a\\n\\tb\\r\\n");
    }

    #[test]
    fn no_tower_of_marks() {
        let zalgo = format!("a{}b", "\u{301}".repeat(20));
        assert_eq!(screen(&zalgo).matches('\u{301}').count(), 6);
        assert_eq!(screen(&zalgo).matches("\\u{301}").count(), 14);
    }

    #[test]
    fn json_stays_the_same_value() {
        let line = "{\t\"a\":\"\u{202e}\u{e0041}\u{7f}é\"}";
        let escaped = json(line);
        assert_eq!(escaped, "{ \"a\":\"\\u202e\\udb40\\udc41\\u007fé\"}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&escaped), value(line));
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(char::is_control));
            prop_assert!(!screen(&text).chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(!screen(&text).chars().any(is_invisible));
            prop_assert!(!screen_line(&text).chars().any(|c| c.is_control() || is_invisible(c)));
        }
    }
}
