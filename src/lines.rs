//! Bytes become lines, with a limit. Knows nothing of JSON, nor of sockets.
//!
//! Bytes come in a buffer that the caller uses for all its clients; only what cannot be used up at once (an unfinished
//! line, or lines that the caller does not want yet) is copied and held for the client. Each byte is looked at once
//! and copied at most twice however the stream is cut into pieces, so a line that comes byte by byte costs linear time.

use std::io::BufRead;

/// What is held of one client's input.
#[derive(Debug, Default)]
pub struct Lines {
    /// Input that has not been handed out; what is before `start` has.
    held: Vec<u8>,
    start: usize,
    /// There is no line end in `held[start..searched]`.
    searched: usize,
    /// The rest of a line that was too long is being skipped.
    skipping: bool,
}

/// What [`Lines::next`] finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A line, without its line end.
    Line(&'a [u8]),
    /// A line is longer than the limit. It is told once for each line, as soon as it is known, with as many bytes of its
    /// beginning as the limit and one more.
    TooLong(&'a [u8]),
}

impl Found<'_> {
    /// How many bytes there are to look at.
    pub fn bytes(&self) -> usize {
        let (Found::Line(bytes) | Found::TooLong(bytes)) = self;
        bytes.len()
    }
}

/// Whether a line, given without its line end, is one that gets no reply: empty, or of spaces and tabs alone.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

impl Lines {
    /// The next line of what is held followed by `fresh`, which is moved on. `None` when there is no whole line: then
    /// `fresh` is used up, and the unfinished line is held.
    ///
    /// A line ends in `\n`, and a `\r` before it is ignored. A line may have `limit` bytes, its line end not counted.
    pub fn next<'a, 'f: 'a>(&'a mut self, fresh: &mut &'f [u8], limit: usize) -> Option<Found<'a>> {
        if self.skipping && !self.skip(fresh) {
            return None;
        }
        if self.start < self.held.len() {
            return self.next_held(fresh, limit);
        }
        self.forget();
        let line = take_line(fresh);
        if line.is_empty() {
            // Only at the end of `fresh`: an empty line still has its `\n`.
            return None;
        }
        if line.ends_with(b"\n") {
            return Some(within(line, limit));
        }
        if is_too_long(line, limit) {
            self.skipping = true;
            return Some(too_long(line, limit));
        }
        self.held.extend_from_slice(line);
        self.searched = self.held.len();
        None
    }

    /// The next line where something is held already.
    fn next_held<'a, 'f: 'a>(&'a mut self, fresh: &mut &'f [u8], limit: usize) -> Option<Found<'a>> {
        let mut unsearched = self.held.get(self.searched..).unwrap_or_default();
        self.searched += take_line(&mut unsearched).len();
        if self.held.get(self.start..self.searched).is_some_and(|line| !line.ends_with(b"\n")) {
            debug_assert_eq!(self.searched, self.held.len());
            // More than the limit, a `\r` and a `\n` need not be copied to know that it is too much.
            let room = limit.saturating_add(2).saturating_sub(self.len());
            let piece = take_line(&mut fresh.get(..room).unwrap_or(fresh));
            *fresh = fresh.get(piece.len()..).unwrap_or_default();
            self.compact();
            self.held.extend_from_slice(piece);
            self.searched = self.held.len();
        }
        let line = self.held.get(self.start..self.searched).unwrap_or_default();
        let has_ended = line.ends_with(b"\n");
        if !has_ended && !is_too_long(line, limit) {
            return None;
        }
        // The rest of a line that was too long is skipped by the next call, which also gives the memory back.
        self.skipping = !has_ended;
        self.start = self.searched;
        Some(within(line, limit))
    }

    /// Ends the input: what is left is a last line without its line end, if there is one. A `\r` at its end is ignored here
    /// too.
    pub fn finish(&mut self, limit: usize) -> Option<Found<'_>> {
        debug_assert_eq!(self.searched, self.held.len(), "whole lines are taken first");
        let line = self.held.get(self.start..).unwrap_or_default();
        self.start = self.held.len();
        (!line.is_empty()).then(|| within(line, limit))
    }

    /// Holds input that was not taken, until it is asked for with `next` again.
    pub fn hold(&mut self, fresh: &[u8]) {
        if !fresh.is_empty() {
            self.compact();
            self.held.extend_from_slice(fresh);
        }
    }

    /// Whether something is held that is not known to be only the beginning of a line.
    pub fn has_unsearched(&self) -> bool {
        self.searched < self.held.len()
    }

    /// Whether there is nothing to be kept for this client.
    pub fn is_idle(&self) -> bool {
        self.start == self.held.len() && !self.skipping
    }

    /// Bytes held that are still wanted.
    pub fn len(&self) -> usize {
        self.held.len() - self.start
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated for them.
    pub fn allocated_bytes(&self) -> usize {
        self.held.capacity()
    }

    /// Gives memory back where much of it is not used.
    pub fn trim(&mut self) {
        if self.held.capacity() > 4096 && self.len() < self.held.capacity() / 4 {
            self.held.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
            self.held.shrink_to_fit();
        }
    }

    /// Drops all that is held, and its memory.
    pub fn clear(&mut self) {
        *self = Lines::default();
    }

    /// Moves past the rest of a line that was too long; whether its end has been found.
    fn skip(&mut self, fresh: &mut &[u8]) -> bool {
        // What is held comes first. While skipping nothing is held but what `hold` was given.
        let mut held = self.held.get(self.start..).unwrap_or_default();
        let skipped = take_line(&mut held);
        self.start += skipped.len();
        self.searched = self.start;
        let ended = skipped.ends_with(b"\n") || take_line(fresh).ends_with(b"\n");
        if self.is_empty() {
            self.clear();
        }
        self.skipping = !ended;
        ended
    }

    /// Closes the gap that used lines have left, when it is at least as large as what has to be moved for it.
    fn compact(&mut self) {
        if self.start >= self.held.len() - self.start {
            self.held.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
    }

    /// Starts anew; the memory is kept for the next unfinished line, or given back with the whole.
    fn forget(&mut self) {
        self.held.clear();
        self.start = 0;
        self.searched = 0;
    }
}

/// Cuts the first line off `bytes`, with its `\n`; all of them where there is none.
fn take_line<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let all = *bytes;
    // The one fast search for a byte that the standard library has to offer for a slice. It cannot fail.
    let length = bytes.skip_until(b'\n').unwrap_or_default();
    all.get(..length).unwrap_or_default()
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_too_long(line: &[u8], limit: usize) -> bool {
    without_line_end(line).len() > limit
}

fn within(line: &[u8], limit: usize) -> Found<'_> {
    if is_too_long(line, limit) { too_long(line, limit) } else { Found::Line(without_line_end(line)) }
}

fn too_long(line: &[u8], limit: usize) -> Found<'_> {
    Found::TooLong(line.get(..limit.saturating_add(1)).unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 8;

    /// A line, or the beginning of one that is too long.
    type Told = Result<Vec<u8>, Vec<u8>>;

    /// What the stream says, by a plain reading of the rules.
    fn expected(stream: &[u8]) -> Vec<Told> {
        let mut pieces: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
        if pieces.last().is_some_and(|last| last.is_empty()) {
            pieces.pop();
        }
        let text = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        let told =
            |line: Vec<u8>| if line.len() <= LIMIT { Ok(line) } else { Err(line[..LIMIT + 1].to_vec()) };
        pieces.into_iter().map(text).map(told).collect()
    }

    /// What `Lines` says when the stream comes in pieces of these sizes, and the caller takes at most `budget` lines
    /// of each piece at once.
    fn read(stream: &[u8], sizes: &[usize], budget: usize) -> Vec<Told> {
        fn owned(found: Found) -> Told {
            match found {
                Found::Line(line) => Ok(line.to_vec()),
                Found::TooLong(begin) => Err(begin.to_vec()),
            }
        }
        let mut lines = Lines::default();
        let mut result = Vec::new();
        let mut rest = stream;
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let (mut fresh, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            rest = later;
            let mut left = budget;
            while left > 0 {
                let Some(found) = lines.next(&mut fresh, LIMIT) else { break };
                result.push(owned(found));
                left -= 1;
            }
            lines.hold(fresh);
        }
        while let Some(found) = lines.next(&mut &[][..], LIMIT) {
            result.push(owned(found));
        }
        result.extend(lines.finish(LIMIT).map(owned));
        assert!(lines.is_empty());
        result
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Any way of cutting the stream gives the same lines.
        #[test]
        fn cuts_do_not_matter(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(b'a'), any::<u8>()], 0..200),
            sizes in proptest::collection::vec(1usize..40, 1..8),
            budget in 1usize..6,
        ) {
            prop_assert_eq!(read(&stream, &sizes, budget), expected(&stream));
        }
    }

    #[test]
    fn the_line_end_does_not_count() {
        for (stream, good) in [
            ("12345678\n", true),
            ("12345678\r\n", true),
            ("12345678\r", true),
            ("12345678\r\r", false),
            ("\r", true),
            ("123456789\n", false),
            ("12345678\r\r\n", false),
            ("         \n", false),
        ] {
            for size in 1..12 {
                let lines = read(stream.as_bytes(), &[size], 9);
                assert_eq!(lines.len(), 1, "{stream:?} in pieces of {size}");
                assert_eq!(lines[0].is_ok(), good, "{stream:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_told_once_and_takes_no_memory() {
        let mut lines = Lines::default();
        let piece = [b'x'; 1000];
        let mut told = 0;
        for _ in 0..1000 {
            let mut fresh = &piece[..];
            while let Some(found) = lines.next(&mut fresh, 100) {
                assert_eq!(found, Found::TooLong(&piece[..101]));
                told += 1;
            }
            assert!(lines.is_empty() && lines.allocated_bytes() <= 1000);
        }
        assert_eq!(told, 1);
        let mut fresh = &b"tail\n{}\n"[..];
        assert_eq!(lines.next(&mut fresh, 100), Some(Found::Line(b"{}")));
    }
}
