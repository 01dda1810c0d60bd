//! The line that is being typed: editing, history, completion. Knows nothing of rooms or of the screen.

use tui_input::{Input, InputRequest};

use super::keys::Key;

/// So many lines are remembered.
const MAX_HISTORY: usize = 500;
/// Longer lines are not taken; servers allow less.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The line, and the lines before it.
#[derive(Debug, Default)]
pub struct InputLine {
    line: Input,
    history: Vec<String>,
    /// Which line of the history is shown, and what was being typed before.
    recalled: Option<(usize, String)>,
    completion: Option<Completion>,
}

/// A completion that can still be exchanged for the next one.
#[derive(Debug)]
struct Completion {
    before: String,
    after: String,
    choices: Vec<String>,
    chosen: usize,
}

impl InputLine {
    /// What is typed.
    pub fn text(&self) -> &str {
        self.line.value()
    }

    /// What is typed before the cursor.
    pub fn before_cursor(&self) -> &str {
        let text = self.line.value();
        let end = text.char_indices().nth(self.line.cursor()).map_or(text.len(), |(at, _)| at);
        text.get(..end).unwrap_or_default()
    }

    /// Takes the line away and remembers it.
    pub fn take(&mut self) -> String {
        let text = self.line.value_and_reset();
        self.recalled = None;
        self.completion = None;
        if !text.is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.clone());
            if self.history.len() > MAX_HISTORY {
                self.history.remove(0);
            }
        }
        text
    }

    /// Puts a text in the place of the line.
    pub fn set(&mut self, text: String) {
        self.line = std::mem::take(&mut self.line).with_value(text);
    }

    /// Puts a text at the cursor. Line ends become spaces; other control characters are left out.
    pub fn insert(&mut self, text: &str) {
        self.completion = None;
        let before = self.before_cursor().to_owned();
        let after = self.text().get(before.len()..).unwrap_or_default().to_owned();
        let room = MAX_LINE_BYTES.saturating_sub(self.text().len());
        let mut inserted = String::new();
        for c in text.chars() {
            let c = if matches!(c, '\t' | '\n') { ' ' } else { c };
            if !c.is_control() && inserted.len() + c.len_utf8() <= room {
                inserted.push(c);
            }
        }
        let cursor = before.chars().count() + inserted.chars().count();
        self.set(format!("{before}{inserted}{after}"));
        self.line.handle(InputRequest::SetCursor(cursor));
    }

    /// Edits the line; whether the key is one for that.
    pub fn edit(&mut self, key: &Key) -> bool {
        let request = match key {
            Key::Char(c) => {
                self.insert(c.encode_utf8(&mut [0; 4]));
                return true;
            }
            Key::Up => return self.recall(true),
            Key::Down => return self.recall(false),
            Key::Left | Key::Ctrl('b') => InputRequest::GoToPrevChar,
            Key::Right | Key::Ctrl('f') => InputRequest::GoToNextChar,
            Key::WordLeft | Key::Alt('b') => InputRequest::GoToPrevWord,
            Key::WordRight | Key::Alt('f') => InputRequest::GoToNextWord,
            Key::Home | Key::Ctrl('a') => InputRequest::GoToStart,
            Key::End | Key::Ctrl('e') => InputRequest::GoToEnd,
            Key::Backspace | Key::Ctrl('h') => InputRequest::DeletePrevChar,
            Key::Delete | Key::Ctrl('d') => InputRequest::DeleteNextChar,
            Key::Ctrl('w') | Key::AltBackspace => InputRequest::DeletePrevWord,
            Key::Alt('d') => InputRequest::DeleteNextWord,
            Key::Ctrl('u') => InputRequest::DeleteFromStart,
            Key::Ctrl('k') => InputRequest::DeleteTillEnd,
            Key::Ctrl('y') => InputRequest::Yank,
            _ => return false,
        };
        self.completion = None;
        self.line.handle(request);
        true
    }

    /// Goes through the history.
    fn recall(&mut self, back: bool) -> bool {
        self.completion = None;
        let at = self.recalled.as_ref().map_or(self.history.len(), |(at, _)| *at);
        let to = if back { at.checked_sub(1) } else { Some(at + 1) };
        let Some(to) = to.filter(|to| *to <= self.history.len()) else { return true };
        let typed = match self.recalled.take() {
            Some((_, typed)) => typed,
            None => self.text().to_owned(),
        };
        match self.history.get(to).cloned() {
            Some(line) => {
                self.recalled = Some((to, typed));
                self.set(line);
            }
            None => self.set(typed),
        }
        true
    }

    /// Completes what stands before the cursor, or takes the next choice if that was just done. `choices` is asked
    /// for what can stand there: it is given the text before the cursor, and returns how many bytes of it are kept
    /// and what may follow.
    pub fn complete(&mut self, backwards: bool, choices: impl FnOnce(&str) -> (usize, Vec<String>)) {
        let completion = match self.completion.take() {
            Some(mut completion) => {
                let count = completion.choices.len();
                let step = if backwards { count - 1 } else { 1 };
                completion.chosen = (completion.chosen + step) % count;
                completion
            }
            None => {
                let before = self.before_cursor();
                let (kept, choices) = choices(before);
                if choices.is_empty() {
                    return;
                }
                let after = self.text().get(before.len()..).unwrap_or_default().to_owned();
                let before = before.get(..kept).unwrap_or_default().to_owned();
                let chosen = if backwards { choices.len() - 1 } else { 0 };
                Completion { before, after, choices, chosen }
            }
        };
        let Some(choice) = completion.choices.get(completion.chosen) else { return };
        let before = format!("{}{choice}", completion.before);
        let cursor = before.chars().count();
        self.set(format!("{before}{}", completion.after));
        self.line.handle(InputRequest::SetCursor(cursor));
        self.completion = Some(completion);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> InputLine {
        let mut line = InputLine::default();
        text.chars().for_each(|c| assert!(line.edit(&Key::Char(c))));
        line
    }

    fn press(line: &mut InputLine, keys: &[Key]) {
        keys.iter().for_each(|key| assert!(line.edit(key), "{key:?}"));
    }

    #[test]
    fn the_usual_keys_edit() {
        let mut line = typed("one two three");
        press(&mut line, &[Key::Ctrl('w'), Key::Alt('b'), Key::Char('x')]);
        assert_eq!(line.text(), "one xtwo ");
        press(&mut line, &[Key::Ctrl('k')]);
        assert_eq!((line.text(), line.before_cursor()), ("one x", "one x"));
        press(&mut line, &[Key::Ctrl('a'), Key::Delete, Key::Alt('f'), Key::Ctrl('u')]);
        assert_eq!(line.text(), "x");
        press(&mut line, &[Key::Ctrl('e'), Key::Backspace, Key::Ctrl('d')]);
        assert_eq!(line.text(), "");
        let mut accent = typed("ae\u{301}");
        press(&mut accent, &[Key::Backspace]);
        assert_eq!(accent.text(), "a", "a letter goes with its marks");
    }

    #[test]
    fn a_text_is_put_at_the_cursor() {
        let mut line = typed("ad");
        press(&mut line, &[Key::Left]);
        line.insert("b\n\u{1b}c");
        assert_eq!((line.text(), line.before_cursor()), ("ab cd", "ab c"));
        line.insert(&"x".repeat(1 << 20));
        assert_eq!(line.text().len(), MAX_LINE_BYTES);
    }

    #[test]
    fn the_history_keeps_what_was_being_typed() {
        let mut line = typed("one");
        assert_eq!(line.take(), "one");
        press(&mut line, &[Key::Char('2'), Key::Up]);
        assert_eq!(line.text(), "one");
        press(&mut line, &[Key::Up, Key::Down, Key::Down]);
        assert_eq!(line.text(), "2");
    }

    #[test]
    fn completion_goes_round() {
        let mut line = typed("hi al");
        let choices = |before: &str| {
            assert_eq!(before, "hi al");
            (3, vec!["Alice ".to_string(), "Alan ".to_string()])
        };
        line.complete(false, choices);
        assert_eq!(line.text(), "hi Alice ");
        line.complete(false, |_| unreachable!());
        assert_eq!(line.text(), "hi Alan ");
        line.complete(false, |_| unreachable!());
        line.complete(true, |_| unreachable!());
        assert_eq!(line.text(), "hi Alan ");
        press(&mut line, &[Key::Char('x')]);
        line.complete(false, |_| (0, Vec::new()));
        assert_eq!(line.text(), "hi Alan x");
    }
}
