//! Bytes of a terminal become keys.
//!
//! crossterm could do this, but its reader waits for the rest of a key of which only the beginning has come (Alt-[ is
//! such a beginning), and runs in circles when the terminal is gone. This one never waits: the loop hands it what has
//! come, and tells it when nothing followed for a moment.

/// A key, or what else a terminal sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Ctrl with a letter, in lower case.
    Ctrl(char),
    /// Alt with a character.
    Alt(char),
    Enter,
    Tab,
    BackTab,
    Backspace,
    AltBackspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    WordLeft,
    WordRight,
    Home,
    End,
    PageUp,
    PageDown,
    Help,
    Escape,
    WheelUp,
    WheelDown,
    /// A text that was pasted.
    Paste(String),
}

/// Longer control sequences mean nothing.
const MAX_SEQUENCE_BYTES: usize = 64;
/// What is pasted beyond this is dropped.
const MAX_PASTE_BYTES: usize = 1 << 20;
const PASTE_END: &[u8] = b"\x1b[201~";

/// Takes bytes in whatever pieces they come.
#[derive(Debug, Default)]
pub struct Keys {
    held: Vec<u8>,
    paste: Option<Vec<u8>>,
}

/// What stands at the beginning of the held bytes.
enum Next {
    /// A key, or nothing that matters, of so many bytes.
    Key(Option<Key>, usize),
    PasteBegins(usize),
    /// The beginning of something.
    Unfinished,
}

impl Keys {
    /// Takes these bytes, and returns the keys that they complete.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.held.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while !self.held.is_empty() {
            if self.paste.is_some() {
                let Some(key) = self.go_on_pasting() else { break };
                keys.push(key);
                continue;
            }
            match next(&self.held) {
                Next::Key(key, length) => {
                    self.held.drain(..length.min(self.held.len()));
                    keys.extend(key);
                }
                Next::PasteBegins(length) => {
                    self.held.drain(..length.min(self.held.len()));
                    self.paste = Some(Vec::new());
                }
                Next::Unfinished => break,
            }
        }
        keys
    }

    /// Whether something has begun and is waited for; if nothing follows soon, [`Keys::time_out`] is to be called.
    pub fn is_pending(&self) -> bool {
        !self.held.is_empty() || self.paste.is_some()
    }

    /// Whether a paste has begun and not ended.
    pub fn is_pasting(&self) -> bool {
        self.paste.is_some()
    }

    /// Nothing followed: what was held is all there is.
    pub fn time_out(&mut self) -> Vec<Key> {
        if let Some(mut paste) = self.paste.take() {
            paste.append(&mut self.held);
            return vec![Key::Paste(String::from_utf8_lossy(&paste).into_owned())];
        }
        let held = std::mem::take(&mut self.held);
        match held.split_first() {
            Some((0x1b, [])) => vec![Key::Escape],
            Some((0x1b, [b'['])) => vec![Key::Alt('[')],
            Some((0x1b, [b'O'])) => vec![Key::Alt('O')],
            _ => Vec::new(),
        }
    }

    /// Moves what is held to the paste; the paste when its end has come.
    fn go_on_pasting(&mut self) -> Option<Key> {
        let paste = self.paste.as_mut()?;
        let end = self.held.windows(PASTE_END.len()).position(|window| window == PASTE_END);
        // Without an end, the last bytes may be the beginning of it.
        let length = end.unwrap_or((self.held.len() + 1).saturating_sub(PASTE_END.len()));
        let room = MAX_PASTE_BYTES.saturating_sub(paste.len());
        paste.extend(self.held.drain(..length).take(room));
        end?;
        self.held.drain(..PASTE_END.len().min(self.held.len()));
        self.paste.take().map(|paste| Key::Paste(String::from_utf8_lossy(&paste).into_owned()))
    }
}

fn next(bytes: &[u8]) -> Next {
    match bytes {
        [] | [0x1b] => Next::Unfinished,
        [0x1b, b'[', rest @ ..] => control_sequence(rest),
        [0x1b, b'O', rest @ ..] => match rest.first() {
            None => Next::Unfinished,
            Some(last) => Next::Key(cursor_key(*last, false), 3),
        },
        // Escape twice is Escape, and whatever the second one begins.
        [0x1b, 0x1b, ..] => Next::Key(Some(Key::Escape), 1),
        [0x1b, 0x7f | 0x08, ..] => Next::Key(Some(Key::AltBackspace), 2),
        [0x1b, 0x00..=0x1f, ..] => Next::Key(Some(Key::Escape), 1),
        [0x1b, rest @ ..] => character(rest, Key::Alt, 1),
        [byte @ 0x00..=0x1f, ..] | [byte @ 0x7f, ..] => Next::Key(control_character(*byte), 1),
        _ => character(bytes, Key::Char, 0),
    }
}

fn control_character(byte: u8) -> Option<Key> {
    match byte {
        b'\r' | b'\n' => Some(Key::Enter),
        b'\t' => Some(Key::Tab),
        0x08 | 0x7f => Some(Key::Backspace),
        0x01..=0x1a => Some(Key::Ctrl(char::from(byte - 1 + b'a'))),
        _ => None,
    }
}

/// A character of UTF-8, with so many bytes before it. What is none is passed over.
fn character(bytes: &[u8], key: impl Fn(char) -> Key, before: usize) -> Next {
    let piece = bytes.get(..4).unwrap_or(bytes);
    let valid = match std::str::from_utf8(piece) {
        Ok(text) => text,
        Err(error) => {
            let valid = piece.get(..error.valid_up_to()).unwrap_or_default();
            match (std::str::from_utf8(valid), error.error_len()) {
                (Ok(""), None) => return Next::Unfinished,
                (Ok(""), Some(_)) | (Err(_), _) => return Next::Key(None, before + 1),
                (Ok(text), _) => text,
            }
        }
    };
    match valid.chars().next() {
        Some(c) if c.is_control() => Next::Key(None, before + c.len_utf8()),
        Some(c) => Next::Key(Some(key(c)), before + c.len_utf8()),
        None => Next::Unfinished,
    }
}

/// What follows `ESC [`.
fn control_sequence(rest: &[u8]) -> Next {
    // The Linux console's F1 to F5.
    if let [b'[', key @ ..] = rest {
        return match key.first() {
            None => Next::Unfinished,
            Some(b'A') => Next::Key(Some(Key::Help), 4),
            Some(_) => Next::Key(None, 4),
        };
    }
    let Some(length) = rest.iter().position(|byte| !matches!(byte, 0x20..=0x3f)) else {
        let is_too_long = rest.len() > MAX_SEQUENCE_BYTES;
        return if is_too_long { Next::Key(None, rest.len() + 2) } else { Next::Unfinished };
    };
    let parameters = rest.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let last = rest.get(length).copied().unwrap_or_default();
    let whole = length + 3;
    if !matches!(last, 0x40..=0x7e) {
        // Broken off; what has come instead is looked at by itself.
        return Next::Key(None, whole - 1);
    }
    let mut numbers = parameters.split(';');
    let first = numbers.next().unwrap_or_default();
    let modifiers = numbers.next().and_then(|text| text.parse::<u8>().ok()).unwrap_or(1);
    let by_word = modifiers.saturating_sub(1) & 0b110 != 0;
    match (first, last) {
        ("200", b'~') => Next::PasteBegins(whole),
        ("1" | "7", b'~') => Next::Key(Some(Key::Home), whole),
        ("4" | "8", b'~') => Next::Key(Some(Key::End), whole),
        ("3", b'~') => Next::Key(Some(Key::Delete), whole),
        ("5", b'~') => Next::Key(Some(Key::PageUp), whole),
        ("6", b'~') => Next::Key(Some(Key::PageDown), whole),
        ("11", b'~') => Next::Key(Some(Key::Help), whole),
        ("<64", b'M') => Next::Key(Some(Key::WheelUp), whole),
        ("<65", b'M') => Next::Key(Some(Key::WheelDown), whole),
        ("", b'M') => old_mouse(rest, whole),
        ("", b'Z') => Next::Key(Some(Key::BackTab), whole),
        ("" | "1", last) => Next::Key(cursor_key(last, by_word), whole),
        _ => Next::Key(None, whole),
    }
}

/// A mouse that was asked for the newer form and has only the older one: three bytes follow.
fn old_mouse(rest: &[u8], whole: usize) -> Next {
    match rest.get(1..4) {
        None => Next::Unfinished,
        Some([b'`', ..]) => Next::Key(Some(Key::WheelUp), whole + 3),
        Some([b'a', ..]) => Next::Key(Some(Key::WheelDown), whole + 3),
        Some(_) => Next::Key(None, whole + 3),
    }
}

fn cursor_key(last: u8, by_word: bool) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if by_word => Key::WordRight,
        b'D' if by_word => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'P' => Key::Help,
        b'M' => Key::Enter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        let mut read = keys.read(bytes);
        if keys.is_pending() {
            read.extend(keys.time_out());
        }
        // However the bytes are cut, they are the same keys.
        let mut cut = Keys::default();
        let mut pieces: Vec<Key> = bytes.iter().flat_map(|byte| cut.read(&[*byte])).collect();
        if cut.is_pending() {
            pieces.extend(cut.time_out());
        }
        assert_eq!(pieces, read, "{bytes:?}");
        read
    }

    #[test]
    fn keys_are_told_apart() {
        use Key::*;
        for (bytes, expected) in [
            (&b"a\xc3\xa9"[..], vec![Char('a'), Char('é')]),
            ("😀\r".as_bytes(), vec![Char('😀'), Enter]),
            (b"\x01\x1a\x08\x7f\t", vec![Ctrl('a'), Ctrl('z'), Backspace, Backspace, Tab]),
            (b"\x1bb\x1b1\x1b\x7f", vec![Alt('b'), Alt('1'), AltBackspace]),
            (b"\x1b", vec![Escape]),
            (b"\x1b[", vec![Alt('[')]),
            (b"\x1b\x1b[A", vec![Escape, Up]),
            (b"\x1b[A\x1bOB\x1b[1;5C\x1b[1;3D\x1b[C", vec![Up, Down, WordRight, WordLeft, Right]),
            (b"\x1b[H\x1b[4~\x1b[3~\x1b[5~\x1b[6~\x1b[Z", vec![Home, End, Delete, PageUp, PageDown, BackTab]),
            (b"\x1bOP\x1b[11~\x1b[[A", vec![Help, Help, Help]),
            (b"\x1b[<64;10;5M\x1b[<65;1;1M\x1b[<0;1;1M\x1b[<0;1;1m", vec![WheelUp, WheelDown]),
            (b"\x1b[M`!!x", vec![WheelUp, Char('x')]),
            (b"\x1b[200~two\nlines\x1b[201~x", vec![Paste("two\nlines".into()), Char('x')]),
            (b"\x1b[200~never ends", vec![Paste("never ends".into())]),
            (b"\xff\xc3x\x1b[99;99;99yz", vec![Char('x'), Char('z')]),
            (b"\x1b[1\x1b[A", vec![Up]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_paste_has_a_limit() {
        let mut keys = Keys::default();
        keys.read(b"\x1b[200~");
        (0..3).for_each(|_| assert_eq!(keys.read(&[b'x'; 1 << 19]), []));
        let Some(Key::Paste(text)) = keys.read(b"y\x1b[201~").pop() else { panic!("no paste") };
        assert_eq!(text.len(), MAX_PASTE_BYTES);
    }

    proptest! {
        #[test]
        fn nothing_is_held_for_ever(bytes in proptest::collection::vec(prop_oneof![
            Just(0x1b), Just(b'['), Just(b'O'), Just(b'2'), Just(b'~'), any::<u8>()
        ], 0..200)) {
            keys(&bytes);
        }
    }
}
