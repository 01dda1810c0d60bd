//! What is shown of one room: its lines, how far one has scrolled back, and what has not been read. Everything in it is
//! harmless to a terminal already.

use std::collections::VecDeque;

use parlor::client::Room;

use super::wrap;
use crate::escape;

/// So many lines are kept for each room, and so many bytes of them.
const MAX_ENTRIES: usize = 5000;
const MAX_BYTES: usize = 4 << 20;
/// Of a longer text only the beginning is shown.
const MAX_TEXT_CHARS: usize = 20_000;
const MAX_NAME_CHARS: usize = 64;
/// So many names are remembered for completion.
const MAX_NAMES: usize = 200;

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Message {
        own: bool,
        mentions_me: bool,
    },
    Notice,
    /// Messages may be missing here.
    Gap,
}

/// One line, which may take several rows.
#[derive(Debug)]
pub struct Entry {
    pub kind: Kind,
    /// The time, the author and the text, one after the other.
    text: String,
    time_end: usize,
    author_end: usize,
}

/// A row on the screen, in its three parts.
#[derive(Debug)]
pub struct Row<'a> {
    pub is_first: bool,
    pub time: &'a str,
    pub author: &'a str,
    pub text: &'a str,
}

impl Entry {
    fn message(time: &str, author: &str, text: &str, own: bool, mentions_me: bool) -> Entry {
        let author = cut(&escape::screen_line(author), MAX_NAME_CHARS);
        let text = cut(&escape::screen(text), MAX_TEXT_CHARS);
        Entry::new(Kind::Message { own, mentions_me }, time, &format!("{author}: "), &text)
    }

    fn new(kind: Kind, time: &str, author: &str, text: &str) -> Entry {
        let time_end = time.len() + 1;
        let author_end = time_end + author.len();
        Entry { kind, text: format!("{time} {author}{text}"), time_end, author_end }
    }

    /// The author's name, of a message.
    pub fn author(&self) -> &str {
        let author = self.text.get(self.time_end..self.author_end).unwrap_or_default();
        author.strip_suffix(": ").unwrap_or_default()
    }

    /// The rows that it takes. Narrow screens do without the time.
    pub fn rows(&self, width: usize) -> Vec<Row<'_>> {
        let begin = if has_time(width) { 0 } else { self.time_end };
        let text = self.text.get(begin..).unwrap_or_default();
        let part = |from: usize, to: usize| text.get(from..to.max(from)).unwrap_or_default();
        let (time_end, author_end) = (self.time_end - begin.min(self.time_end), self.author_end - begin);
        let rows = wrap::rows(text, width, indent(width)).into_iter().enumerate();
        rows.map(|(number, row)| Row {
            is_first: number == 0,
            time: part(row.start, row.end.min(time_end)),
            author: part(row.start.max(time_end), row.end.min(author_end)),
            text: part(row.start.max(author_end), row.end),
        })
        .collect()
    }
}

fn has_time(width: usize) -> bool {
    width >= 30
}

/// Rows after the first begin further right, so no text can pass for a line of its own.
pub fn indent(width: usize) -> usize {
    if has_time(width) {
        6
    } else if width > 4 {
        2
    } else {
        0
    }
}

/// The row that is shown at the bottom, where one has scrolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The number of the entry, counted from the first that ever was.
    entry: usize,
    row: usize,
}

/// One room, or the place for what belongs to none.
#[derive(Debug)]
pub struct Pane {
    /// No room: the server's.
    pub room: Option<Room>,
    /// What the room is called on the screen.
    pub title: String,
    pub unread: usize,
    /// Somebody has said this client's name.
    pub is_called: bool,
    /// The room was joined once; the next time it is joined again.
    pub is_joined_before: bool,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// How many entries were there before the first.
    dropped: usize,
    place: Option<Place>,
    /// Who was heard here, the latest last.
    names: VecDeque<String>,
}

impl Pane {
    pub fn new(room: Option<Room>) -> Pane {
        let title = match &room {
            Some(room) => cut(&escape::screen_line(&room.to_string()), MAX_NAME_CHARS),
            None => "(server)".into(),
        };
        Pane {
            room,
            title,
            unread: 0,
            is_called: false,
            is_joined_before: false,
            entries: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            place: None,
            names: VecDeque::new(),
        }
    }

    pub fn message(&mut self, time: &str, author: &str, text: &str, own: bool, mentions_me: bool) {
        if !own {
            self.names.retain(|name| name != author);
            self.names.push_back(author.into());
            if self.names.len() > MAX_NAMES {
                self.names.pop_front();
            }
        }
        self.push(Entry::message(time, author, text, own, mentions_me));
    }

    /// A word of the client's own. Names in it are harmless already.
    pub fn notice(&mut self, time: &str, text: &str) {
        self.push(Entry::new(Kind::Notice, time, "", &format!("— {}", cut(text, MAX_TEXT_CHARS))));
    }

    pub fn gap(&mut self, time: &str, text: &str) {
        self.push(Entry::new(Kind::Gap, time, "", &format!("— {text} —")));
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.text.len();
        self.entries.push_back(entry);
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let Some(first) = self.entries.pop_front() else { break };
            self.bytes -= first.text.len();
            self.dropped += 1;
        }
    }

    /// The names that were heard here, the latest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().rev().map(String::as_str)
    }

    /// How many lines are below what is shown.
    pub fn lines_below(&self) -> usize {
        self.place.map_or(0, |place| (self.dropped + self.entries.len()).saturating_sub(place.entry + 1))
    }

    /// Whether one has scrolled back.
    pub fn is_scrolled(&self) -> bool {
        self.place.is_some()
    }

    /// Shows the latest lines again.
    pub fn scroll_to_end(&mut self) {
        self.place = None;
    }

    /// Scrolls so many rows, back or forth, in a window of this size.
    pub fn scroll(&mut self, rows: usize, back: bool, (width, height): (usize, usize)) {
        let Some(place) = self.bottom(width) else { return };
        let place = if back { self.above(place, rows, width) } else { self.below(place, rows, width) };
        // The window is not to show more than there is above.
        let top = self.above(place, height.saturating_sub(1), width);
        let lowest = self.below(top, height.saturating_sub(1), width);
        self.place = (Some(lowest) != self.end(width)).then_some(lowest);
    }

    /// The rows of a window of this size, the last row last.
    pub fn window(&self, width: usize, height: usize) -> Vec<(Row<'_>, &Entry)> {
        let mut window = Vec::new();
        let Some(bottom) = self.bottom(width) else { return window };
        let mut at = bottom.entry;
        let mut last = Some(bottom.row);
        while window.len() < height
            && let Some(entry) = self.entry(at)
        {
            let mut rows = entry.rows(width);
            rows.truncate(last.take().map_or(usize::MAX, |row| row + 1));
            window.extend(rows.into_iter().rev().map(|row| (row, entry)));
            let Some(before) = at.checked_sub(1) else { break };
            at = before;
        }
        window.truncate(height);
        window.reverse();
        window
    }

    fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries.get(number.checked_sub(self.dropped)?)
    }

    fn row_count(&self, number: usize, width: usize) -> usize {
        self.entry(number).map_or(0, |entry| entry.rows(width).len())
    }

    /// The last row of all.
    fn end(&self, width: usize) -> Option<Place> {
        let entry = (self.dropped + self.entries.len()).checked_sub(1)?;
        let row = self.row_count(entry, width).checked_sub(1)?;
        Some(Place { entry, row })
    }

    /// The row at the bottom of the window. What is gone, or was wrapped otherwise, is replaced by what is nearest.
    fn bottom(&self, width: usize) -> Option<Place> {
        let Some(place) = self.place else { return self.end(width) };
        if place.entry < self.dropped {
            return Some(Place { entry: self.dropped, row: 0 });
        }
        let last = self.row_count(place.entry, width).checked_sub(1)?;
        Some(Place { entry: place.entry, row: place.row.min(last) })
    }

    /// The place so many rows above, or the first one.
    fn above(&self, mut place: Place, mut rows: usize, width: usize) -> Place {
        while rows > place.row {
            rows -= place.row + 1;
            let before = place.entry.checked_sub(1).filter(|before| *before >= self.dropped);
            let Some(before) = before else { return Place { entry: place.entry, row: 0 } };
            place = Place { entry: before, row: self.row_count(before, width).saturating_sub(1) };
        }
        Place { entry: place.entry, row: place.row - rows }
    }

    /// The place so many rows below, or the last one.
    fn below(&self, mut place: Place, mut rows: usize, width: usize) -> Place {
        loop {
            let left = self.row_count(place.entry, width).saturating_sub(place.row + 1);
            if rows <= left {
                return Place { entry: place.entry, row: place.row + rows };
            }
            if self.entry(place.entry + 1).is_none() {
                return Place { entry: place.entry, row: place.row + left };
            }
            rows -= left + 1;
            place = Place { entry: place.entry + 1, row: 0 };
        }
    }
}

/// The first so many characters, and a word about the rest.
fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => {
            let (begin, rest) = text.split_at(end);
            let dropped = rest.chars().count();
            if chars > 1000 {
                format!("{begin}… ({dropped} characters more)")
            } else {
                format!("{begin}…")
            }
        }
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(pane: &Pane, width: usize, height: usize) -> Vec<String> {
        let rows = pane.window(width, height).into_iter();
        rows.map(|(row, _)| format!("{}{}{}", row.time, row.author, row.text)).collect()
    }

    fn talk(pane: &mut Pane, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| pane.message("12:00", "bob", &format!("number {number}"), false, false));
    }

    #[test]
    fn the_latest_lines_are_shown() {
        let mut pane = Pane::new(Some("ops".into()));
        assert!(shown(&pane, 40, 3).is_empty());
        talk(&mut pane, 0..5);
        assert_eq!(shown(&pane, 40, 2), ["12:00 bob: number 3", "12:00 bob: number 4"]);
        assert_eq!(shown(&pane, 16, 2), ["bob: number 3", "bob: number 4"], "without the time");
    }

    #[test]
    fn one_keeps_the_place_while_others_talk() {
        let mut pane = Pane::new(None);
        talk(&mut pane, 0..20);
        pane.scroll(5, true, (40, 3));
        let before = shown(&pane, 40, 3);
        assert_eq!(before.last().unwrap(), "12:00 bob: number 14");
        talk(&mut pane, 20..30);
        assert_eq!(shown(&pane, 40, 3), before);
        assert_eq!(pane.lines_below(), 15);
        pane.scroll(100, true, (40, 3));
        assert_eq!(shown(&pane, 40, 3).first().unwrap(), "12:00 bob: number 0");
        assert_eq!(shown(&pane, 40, 3).len(), 3, "no further than to the first line");
        pane.scroll(1, false, (40, 3));
        assert_eq!(shown(&pane, 40, 3).first().unwrap(), "12:00 bob: number 1");
        pane.scroll(100, false, (40, 3));
        assert!(!pane.is_scrolled());
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut pane = Pane::new(None);
        pane.message("12:00", "bob", "first", false, false);
        pane.scroll(1, true, (20, 1));
        talk(&mut pane, 0..MAX_ENTRIES + 10);
        assert_eq!(pane.entries.len(), MAX_ENTRIES);
        (0..300).for_each(|_| pane.message("12:00", "bob", &"\u{1b}".repeat(100_000), false, false));
        assert!(pane.bytes <= MAX_BYTES);
        assert!(!shown(&pane, 20, 1).is_empty());
    }

    #[test]
    fn a_text_cannot_pass_for_another_line() {
        let mut pane = Pane::new(None);
        pane.message("12:00", "eve", "x\n12:00 bob: y", false, false);
        let window = pane.window(40, 9);
        assert_eq!(window.iter().map(|(row, _)| row.is_first).collect::<Vec<_>>(), [true, false]);
    }

    proptest! {
        /// Whatever is scrolled at whatever sizes: the window is full whenever there is enough to fill it.
        #[test]
        fn scrolling_never_loses_the_way(
            texts in proptest::collection::vec(".{0,60}", 1..30),
            moves in proptest::collection::vec((0usize..30, any::<bool>(), 1usize..50, 1usize..12), 1..20),
        ) {
            let mut pane = Pane::new(None);
            texts.iter().for_each(|text| pane.message("12:00", "bob", text, false, false));
            for (rows, back, width, height) in moves {
                pane.scroll(rows, back, (width, height));
                let all: usize = pane.entries.iter().map(|entry| entry.rows(width).len()).sum();
                prop_assert_eq!(pane.window(width, height).len(), height.min(all));
            }
        }
    }
}
