//! What waits to be written to one client. Knows nothing of rooms, nor of the other clients.
//!
//! Two kinds of lines wait here. Those that are for this client alone, its replies, lie in a buffer of its own. What a
//! room says lies in a [`Batch`], which all members of the room share; each of them holds the *range* of it that it has
//! not been sent. The queue of pieces says in which order they go out:
//!
//! ```text
//! a batch of room 7     [ Ann: hi | Bob: hello | me: hey | Ann: bye ]
//! lines of my own       [ RESPONSE to my SEND MESSAGE ]
//!
//! my queue              range "hi, hello"    not mine, counts for --max-pending
//!                       lines "RESPONSE"     mine
//!                       range "hey"          mine: my own message coming back
//!                       range "bye"          not mine
//! ```
//!
//! A thousand clients that do not read hold the bytes of a batch once, and 24 bytes for each range.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use crate::batch::{Batch, Counted, KEPT_BYTES_MIN, Memory};
use crate::transport::{Sent, Transport};

/// The most that is copied together for one write, where what waits is in small pieces: 64 lines in one `write` take
/// 5.2 µs, copied together first 5.9 µs, as 64 pieces of a `writev` 8.0 µs.
const GATHER_BYTES: usize = 64 << 10;

/// From this size on a piece is written from where it lies: the copy would cost more than a system call saves.
const DIRECT_BYTES: usize = 16 << 10;

/// What an outbox may keep for its next use: bytes of lines, and pieces. Few may keep much.
const SPARE: (usize, usize) = (512, 8);
const LARGE_SPARE: (usize, usize) = (16 << 10, 256);

/// The least capacity of a queue that has to wait. See [`KEPT_BYTES_MIN`].
const KEPT_PIECES_MIN: usize = KEPT_BYTES_MIN.div_ceil(size_of::<Piece>());

/// A part of what waits, as an `iovec` is one of a `writev`. It ends with a line's end.
#[derive(Debug)]
enum Piece {
    /// The next so many bytes of the client's own lines.
    Lines { bytes: u32 },
    /// A range of a batch. `own`: the client has caused it itself.
    Range { batch: Batch, start: u32, end: u32, own: bool },
}

impl Piece {
    fn len(&self) -> usize {
        match *self {
            Piece::Lines { bytes } => bytes as usize,
            Piece::Range { start, end, .. } => (end - start) as usize,
        }
    }

    fn is_own(&self) -> bool {
        matches!(self, Piece::Lines { .. } | Piece::Range { own: true, .. })
    }
}

/// The queue of one client.
#[derive(Debug)]
pub struct Outbox {
    /// Lines for this client alone; those before `lines_start` have gone out.
    lines: Vec<u8>,
    lines_start: usize,
    /// How many of the lines stand in `pieces`. Those behind come after all pieces.
    lines_queued: usize,
    pieces: VecDeque<Piece>,
    own_bytes: usize,
    others_bytes: usize,
    /// Bytes that the transport has taken and holds.
    held: usize,
    /// The first line has begun to go out.
    mid_line: bool,
    /// Up to this position of the open batch everything is queued for the client. It is 0 when all that was
    /// said is sealed; then the batch's own record says from where the next range begins.
    pub got: u32,
    /// It is on the list of those to be written to.
    pub listed: bool,
    /// A write has left something, or it was made while much waited: it lies high in the heap, and is not kept.
    has_waited: bool,
    counted: Counted,
}

/// Two buffers that all clients share, for putting things together before a write.
#[derive(Debug, Default)]
pub struct Scratch {
    gathered: Vec<u8>,
    framed: Vec<u8>,
}

impl Scratch {
    /// Sends bytes from where they lie, until all are out or the transport takes no more.
    ///
    /// # Errors
    /// The transport's.
    pub fn send_all(&mut self, transport: &mut impl Transport, bytes: &[u8]) -> io::Result<Written> {
        let mut written = Written::default();
        while let Some(rest) = bytes.get(written.bytes..).filter(|rest| !rest.is_empty() && !written.blocked)
        {
            written.calls += 1;
            match transport.send(rest, &mut self.framed)? {
                Sent::Bytes(bytes) => written.bytes += bytes,
                Sent::Blocked => written.blocked = true,
            }
        }
        Ok(written)
    }
}

/// How writing went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes that the transport took.
    pub bytes: usize,
    /// Calls of `send`, the one included that was told that there is no room.
    pub calls: u32,
    /// There is no room now.
    pub blocked: bool,
}

impl Outbox {
    /// An empty outbox. `in_burst`: it is made while much waits, and is not for keeping.
    pub fn new(memory: &Memory, in_burst: bool) -> Self {
        Outbox {
            lines: Vec::new(),
            lines_start: 0,
            lines_queued: 0,
            pieces: VecDeque::new(),
            own_bytes: 0,
            others_bytes: 0,
            held: 0,
            mid_line: false,
            got: 0,
            listed: false,
            has_waited: in_burst,
            counted: Counted::new(memory),
        }
    }

    /// Appends a line for this client alone, which `write` writes.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.lines.len();
        write(&mut self.lines);
        debug_assert!(self.lines.ends_with(b"\n"));
        self.own_bytes += self.lines.len() - before;
    }

    /// Queues the range of a batch up to `end`, from where the client has got it, but not before `base`. `own`: the
    /// client has caused it itself. What it has got is noted.
    pub fn range(&mut self, batch: &Batch, base: u32, end: u32, own: bool) {
        let start = self.got.max(base);
        self.got = end;
        if start >= end {
            return;
        }
        *(if own { &mut self.own_bytes } else { &mut self.others_bytes }) += (end - start) as usize;
        self.queue_lines();
        match self.pieces.back_mut() {
            Some(Piece::Range { batch: last, end: last_end, own: last_own, .. })
                if *last_own == own && *last_end == start && last == batch =>
            {
                *last_end = end;
            }
            _ => self.pieces.push_back(Piece::Range { batch: batch.clone(), start, end, own }),
        }
    }

    /// Queues what a write has left of a batch, for a client for which nothing else waits.
    pub fn rest(&mut self, batch: &Batch, start: u32, end: u32) {
        debug_assert!(self.is_empty() && start < end);
        self.mid_line = start > 0 && !batch.range(start - 1, start).ends_with(b"\n");
        self.others_bytes += (end - start) as usize;
        self.pieces.push_back(Piece::Range { batch: batch.clone(), start, end, own: false });
        self.wait();
        self.recount();
    }

    /// A write has left something. What has to wait is no small block of the heap.
    fn wait(&mut self) {
        self.has_waited = true;
        if !self.pieces.is_empty() && self.pieces.capacity() < KEPT_PIECES_MIN {
            self.pieces.reserve_exact(KEPT_PIECES_MIN - self.pieces.len());
        }
        if !self.lines.is_empty() && self.lines.capacity() < KEPT_BYTES_MIN {
            self.lines.reserve_exact(KEPT_BYTES_MIN - self.lines.len());
        }
    }

    /// The lines that are not in the queue yet become a piece of it.
    fn queue_lines(&mut self) {
        let bytes = (self.lines.len() - self.lines_start - self.lines_queued) as u32;
        if bytes == 0 {
            return;
        }
        self.lines_queued += bytes as usize;
        match self.pieces.back_mut() {
            Some(Piece::Lines { bytes: last }) => *last += bytes,
            _ => self.pieces.push_back(Piece::Lines { bytes }),
        }
    }

    /// Writes until all is out or the transport takes no more.
    ///
    /// # Errors
    /// The transport's.
    pub fn write_to(&mut self, transport: &mut impl Transport, scratch: &mut Scratch) -> io::Result<Written> {
        let mut written = Written::default();
        if !self.pieces.is_empty() {
            self.queue_lines();
        }
        while !self.is_empty() && !written.blocked {
            written.calls += 1;
            match self.send_front(transport, scratch)? {
                Sent::Bytes(bytes) => {
                    written.bytes += bytes;
                    self.advance(bytes);
                }
                Sent::Blocked => written.blocked = true,
            }
        }
        if self.is_empty() {
            (self.lines_start, self.lines_queued) = (0, 0);
            self.lines.clear();
        } else {
            self.let_go();
            self.wait();
        }
        self.recount();
        Ok(written)
    }

    /// Sends what comes first: one piece from where it lies, or several small ones copied together.
    fn send_front(&self, transport: &mut impl Transport, scratch: &mut Scratch) -> io::Result<Sent> {
        let Scratch { gathered, framed } = scratch;
        let mut lines = self.lines.get(self.lines_start..).unwrap_or_default();
        let Some(first) = self.pieces.front() else { return transport.send(lines, framed) };
        if first.len() >= DIRECT_BYTES || self.pieces.len() == 1 {
            return match first {
                Piece::Lines { bytes } => {
                    transport.send(lines.get(..*bytes as usize).unwrap_or_default(), framed)
                }
                Piece::Range { batch, start, end, .. } => transport.send(&batch.range(*start, *end), framed),
            };
        }
        gathered.clear();
        for piece in &self.pieces {
            if gathered.len() + piece.len() > GATHER_BYTES && !gathered.is_empty() {
                break;
            }
            match piece {
                Piece::Lines { bytes } => {
                    let (these, rest) = lines.split_at_checked(*bytes as usize).unwrap_or((lines, &[]));
                    gathered.extend_from_slice(these);
                    lines = rest;
                }
                Piece::Range { batch, start, end, .. } => {
                    gathered.extend_from_slice(&batch.range(*start, *end));
                }
            }
        }
        transport.send(gathered, framed)
    }

    /// The first `bytes` of what waits have gone out.
    fn advance(&mut self, mut bytes: usize) {
        while let Some(first) = self.pieces.front_mut().filter(|_| bytes > 0) {
            let taken = bytes.min(first.len());
            bytes -= taken;
            let own = first.is_own();
            *(if own { &mut self.own_bytes } else { &mut self.others_bytes }) -= taken;
            match first {
                Piece::Lines { bytes } => {
                    *bytes -= taken as u32;
                    self.lines_start += taken;
                    self.lines_queued -= taken;
                    self.mid_line = ends_mid_line(&self.lines, self.lines_start);
                }
                Piece::Range { batch, start, .. } => {
                    let before = *start;
                    *start += taken as u32;
                    self.mid_line = !batch.range(before, *start).ends_with(b"\n");
                }
            }
            if first.len() == 0 {
                self.pieces.pop_front();
            }
        }
        if bytes > 0 {
            debug_assert!(bytes <= self.lines.len() - self.lines_start, "more was written than waited");
            self.own_bytes -= bytes;
            self.lines_start += bytes;
            self.mid_line = ends_mid_line(&self.lines, self.lines_start);
        }
    }

    /// Lets go of what has gone out, where it is much more than what waits.
    fn let_go(&mut self) {
        if self.lines_start > self.lines.len() / 2 {
            self.lines.drain(..self.lines_start);
            self.lines_start = 0;
        }
        if self.lines.capacity() > 4 * self.lines.len() + KEPT_BYTES_MIN {
            self.lines.shrink_to(self.lines.len().max(KEPT_BYTES_MIN));
        }
        let Some(Piece::Range { batch, start, .. }) = self.pieces.front() else { return };
        // The last who waits for a batch cuts it. While others share it, a copy would only cost more.
        let mine = |piece: &&Piece| matches!(piece, Piece::Range { batch: its, .. } if its == batch);
        let handles = batch.handles();
        if handles <= self.pieces.len() && handles == self.pieces.iter().filter(mine).count() {
            batch.cut_off_before(*start);
        }
    }

    /// Drops all but the rest of a line that has begun to go out.
    pub fn cut(&mut self) {
        let rest = if self.mid_line { self.rest_of_line() } else { Vec::new() };
        self.pieces = VecDeque::new();
        (self.own_bytes, self.others_bytes) = (rest.len(), 0);
        (self.lines, self.lines_start, self.lines_queued) = (rest, 0, 0);
        self.recount();
    }

    fn rest_of_line(&self) -> Vec<u8> {
        let until_line_end = |bytes: &[u8]| {
            let mut search = bytes;
            let length = search.skip_until(b'\n').unwrap_or_default();
            // Last words follow.
            let mut rest = Vec::with_capacity(length.max(KEPT_BYTES_MIN / 2) + KEPT_BYTES_MIN / 2);
            rest.extend_from_slice(bytes.get(..length).unwrap_or_default());
            rest
        };
        match self.pieces.front() {
            Some(Piece::Range { batch, start, end, .. }) => until_line_end(&batch.range(*start, *end)),
            _ => until_line_end(self.lines.get(self.lines_start..).unwrap_or_default()),
        }
    }

    /// Empties it, for another client to use. What it keeps counts no more.
    pub fn reset(&mut self, may_be_large: bool) {
        let (bytes, pieces) = if may_be_large { LARGE_SPARE } else { SPARE };
        self.mid_line = false;
        (self.got, self.listed, self.held, self.has_waited) = (0, false, 0, false);
        self.pieces.clear();
        self.pieces.shrink_to(pieces);
        self.lines.clear();
        self.lines.shrink_to(bytes);
        (self.lines_start, self.lines_queued, self.own_bytes, self.others_bytes) = (0, 0, 0, 0);
        self.counted.set(0);
    }

    /// Whether a write has left something since it was last empty and reset.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// Whether its buffers are larger than most clients need.
    pub fn is_large(&self) -> bool {
        self.lines.capacity() > SPARE.0 || self.pieces.capacity() > SPARE.1
    }

    /// The transport holds so many bytes of what it has taken. They count as memory.
    pub fn set_held(&mut self, bytes: usize) {
        self.held = bytes;
        self.recount();
    }

    /// Tells [`Memory`] what is allocated.
    pub fn recount(&mut self) {
        let queue = self.lines.capacity() + self.pieces.capacity() * size_of::<Piece>();
        let queue = if self.is_empty() { 0 } else { size_of::<Outbox>() + queue };
        self.counted.set(queue + self.held);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.own_bytes + self.others_bytes
    }

    /// And those with them that the transport holds.
    pub fn unsent_bytes(&self) -> usize {
        self.len() + self.held
    }

    /// Of those that wait here, what the client has caused itself.
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// And messages of others.
    pub fn others_bytes(&self) -> usize {
        self.others_bytes
    }

    /// Bytes allocated for this client alone.
    pub fn allocated_bytes(&self) -> usize {
        self.counted.get()
    }

    /// Whether more than one line of others waits.
    pub fn has_lines_of_others(&self) -> bool {
        let mut lines = 0;
        for piece in &self.pieces {
            let Piece::Range { batch, start, end, own: false } = piece else { continue };
            let range = batch.range(*start, *end);
            let mut bytes = &range[..];
            while lines < 2 && bytes.skip_until(b'\n').is_ok_and(|skipped| skipped > 0) {
                lines += 1;
            }
        }
        lines > 1
    }

    /// Panics if the sums are not those of the parts; notes each batch and its bytes. For tests.
    pub fn check(&self, batches: &mut std::collections::HashMap<u32, usize>) {
        let sum =
            |own| self.pieces.iter().filter(|piece| piece.is_own() == own).map(Piece::len).sum::<usize>();
        let unqueued = self.lines.len() - self.lines_start - self.lines_queued;
        assert_eq!((sum(true) + unqueued, sum(false)), (self.own_bytes, self.others_bytes));
        let queued = self.pieces.iter().filter(|piece| matches!(piece, Piece::Lines { .. })).map(Piece::len);
        assert_eq!(queued.sum::<usize>(), self.lines_queued);
        for piece in &self.pieces {
            assert!(piece.len() > 0);
            if let Piece::Range { batch, start, end, .. } = piece {
                assert!(batch.range(*start, *end).ends_with(b"\n"));
                batches.insert(batch.index(), batch.allocated_bytes());
            }
        }
    }
}

fn ends_mid_line(lines: &[u8], at: usize) -> bool {
    at > 0 && lines.get(at - 1) != Some(&b'\n')
}

#[cfg(test)]
mod tests;
