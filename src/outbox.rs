//! What waits to be written to one client. Knows nothing of rooms, nor of the other clients.
//!
//! Two kinds of lines wait here. Those that are for this client alone, its replies, lie in a [`Batch`] of its own. What
//! a room says lies in a batch that all members of the room share. The client's queue consists of *ranges* of both, in
//! the order in which they go out:
//!
//! ```text
//! a batch of room 7     [ Ann: hi | Bob: hello | me: hey | Ann: bye ]
//! lines of my own       [ RESPONSE to my SEND MESSAGE ]
//!
//! my queue              room 7, "hi, hello"    not mine, counts for --max-pending
//!                       lines, "RESPONSE"      mine
//!                       room 7, "hey"          mine: my own message coming back
//!                       room 7, "bye"          not mine
//! ```
//!
//! A thousand clients that do not read hold the bytes of a batch once, and 24 bytes for each range.

use std::cell::Ref;
use std::collections::VecDeque;
use std::io::{self, BufRead};

use crate::batch::{Batch, Counted, Memory};
use crate::transport::{Sent, Transport};

/// The most that is copied together for one write, where what waits is in small pieces. One `write` of 64 lines takes
/// 5.2 µs; copying them together before it makes 5.9; a `writev` of 64 pieces takes 8.0.
const GATHER_BYTES: usize = 64 << 10;

/// From this size on a piece is written from where it lies: the copy would cost more than a system call saves.
const DIRECT_BYTES: usize = 16 << 10;

/// Among so many pieces, the first ones, the others of a batch are looked for: there can be a hundred thousand.
const CUT_OFF_PIECES: usize = 64;

/// When a client's own lines have come to this size, the next ones go into another batch: those that are out can go.
const LINES_BYTES: u32 = 64 << 10;

/// A range of a batch. It ends with a line's end.
#[derive(Debug)]
struct Piece {
    batch: Batch,
    start: u32,
    end: u32,
    /// The client has caused it itself.
    own: bool,
}

impl Piece {
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    fn bytes(&self) -> Ref<'_, [u8]> {
        self.batch.bytes(self.start, self.end)
    }
}

/// The queue of one client.
#[derive(Debug)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// Lines for this client alone. Those that wait are among the pieces.
    lines: Batch,
    /// How much waits of what the client has caused itself, and of what others have.
    own_bytes: usize,
    others_bytes: usize,
    /// Bytes that the transport has taken and holds.
    held: usize,
    /// Up to this position of the open batch everything is queued for the client. It is 0 when all that was said is
    /// sealed; then the next range begins where the open batch's unsealed part does (`base`, see `fanout.rs`).
    pub got: u32,
    /// It is on the list of those to be written to.
    pub is_scheduled: bool,
    memory: Memory,
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
            written.note(transport.send(rest, &mut self.framed)?);
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

impl Written {
    fn note(&mut self, sent: Sent) {
        self.calls += 1;
        match sent {
            Sent::Bytes(bytes) => self.bytes += bytes,
            Sent::Blocked => self.blocked = true,
        }
    }
}

impl Outbox {
    /// An empty outbox.
    pub fn new(memory: &Memory) -> Self {
        Outbox {
            pieces: VecDeque::new(),
            lines: Batch::new(memory),
            own_bytes: 0,
            others_bytes: 0,
            held: 0,
            got: 0,
            is_scheduled: false,
            memory: memory.clone(),
            counted: Counted::new(memory),
        }
    }

    /// Queues a line for this client alone, which `write` writes.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.lines.end() >= LINES_BYTES {
            self.lines = Batch::new(&self.memory);
        }
        let range = self.lines.append(write);
        self.push(&self.lines.clone(), range.start, range.end, true);
    }

    /// Queues the range of a batch up to `end`, from where the client has got it, but not before `base`. `own`: the
    /// client has caused it itself. What it has got is noted.
    pub fn range(&mut self, batch: &Batch, base: u32, end: u32, own: bool) {
        let start = self.got.max(base);
        self.got = end;
        if start < end {
            self.push(batch, start, end, own);
        }
    }

    fn push(&mut self, batch: &Batch, start: u32, end: u32, own: bool) {
        *self.bytes_mut(own) += (end - start) as usize;
        match self.pieces.back_mut() {
            Some(last) if last.own == own && last.end == start && last.batch == *batch => last.end = end,
            _ => {
                self.pieces.push_back(Piece { batch: batch.clone(), start, end, own });
                self.recount();
            }
        }
    }

    fn bytes_mut(&mut self, own: bool) -> &mut usize {
        if own { &mut self.own_bytes } else { &mut self.others_bytes }
    }

    /// Writes until all is out or the transport takes no more.
    ///
    /// # Errors
    /// The transport's.
    pub fn write_to(&mut self, transport: &mut impl Transport, scratch: &mut Scratch) -> io::Result<Written> {
        let mut written = Written::default();
        while !self.is_empty() && !written.blocked {
            let before = written.bytes;
            written.note(self.send_front(transport, scratch)?);
            self.advance(written.bytes - before);
        }
        if self.is_empty() && transport.held() > 0 {
            // That can take long, and what is kept for the next use is not counted.
            (self.pieces, self.lines) = (VecDeque::new(), Batch::new(&self.memory));
        } else if self.is_empty() {
            self.lines.reset();
        } else {
            self.cut_off();
            self.lines.shrink();
        }
        self.recount();
        Ok(written)
    }

    /// Sends what comes first: one piece from where it lies, or several small ones copied together.
    fn send_front(&self, transport: &mut impl Transport, scratch: &mut Scratch) -> io::Result<Sent> {
        let Scratch { gathered, framed } = scratch;
        if let Some(first) = self.pieces.front()
            && (first.len() >= DIRECT_BYTES || self.pieces.len() == 1)
        {
            return transport.send(&first.bytes(), framed);
        }
        gathered.clear();
        for piece in &self.pieces {
            if gathered.len() + piece.len() > GATHER_BYTES && !gathered.is_empty() {
                break;
            }
            gathered.extend_from_slice(&piece.bytes());
        }
        transport.send(gathered, framed)
    }

    /// The first `bytes` of what waits have gone out.
    fn advance(&mut self, mut bytes: usize) {
        while bytes > 0
            && let Some(first) = self.pieces.front_mut()
        {
            let taken = bytes.min(first.len());
            bytes -= taken;
            first.start += taken as u32;
            let (own, is_out) = (first.own, first.len() == 0);
            *self.bytes_mut(own) -= taken;
            if is_out {
                self.pieces.pop_front();
            }
        }
        debug_assert_eq!(bytes, 0, "more was written than waited");
    }

    /// The last who waits for a batch cuts off what has gone out. While others share it, a copy would only cost more.
    fn cut_off(&self) {
        let Some(Piece { batch, start, .. }) = self.pieces.front() else { return };
        let nearest = self.pieces.iter().take(CUT_OFF_PIECES).map(|piece| &piece.batch);
        let mine = nearest.chain([&self.lines]).filter(|other| *other == batch);
        if mine.count() == batch.handles() {
            batch.cut_off_before(*start);
        }
    }

    /// Drops all but the rest of a line that has begun to go out.
    pub fn cut(&mut self) {
        let begun = self.pieces.front().filter(|first| first.batch.is_mid_line(first.start));
        let rest = begun.map(|first| {
            let mut rest = Vec::new();
            let _ = first.bytes().as_ref().read_until(b'\n', &mut rest);
            rest
        });
        (self.pieces, self.lines) = (VecDeque::new(), Batch::new(&self.memory));
        (self.own_bytes, self.others_bytes) = (0, 0);
        if let Some(rest) = rest {
            self.line(|out| *out = rest);
        }
        self.recount();
    }

    /// Empties it, for another client to use. What it keeps counts no more; returns how many bytes that are.
    pub fn reset(&mut self) -> usize {
        self.pieces.clear();
        (self.own_bytes, self.others_bytes, self.held) = (0, 0, 0);
        (self.got, self.is_scheduled) = (0, false);
        self.counted.set(0);
        self.queue_bytes() + self.lines.reset()
    }

    /// The transport holds so many bytes of what it has taken. They count as memory.
    pub fn set_held(&mut self, bytes: usize) {
        self.held = bytes;
        self.recount();
    }

    /// Tells [`Memory`] what is allocated. The batches tell it themselves.
    fn recount(&mut self) {
        let queue_bytes = if self.is_empty() { 0 } else { self.queue_bytes() };
        self.counted.set(queue_bytes + self.held);
    }

    fn queue_bytes(&self) -> usize {
        size_of::<Outbox>() + self.pieces.capacity() * size_of::<Piece>()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.own_bytes + self.others_bytes
    }

    /// Bytes that wait here or in the transport.
    pub fn unsent_bytes(&self) -> usize {
        self.len() + self.held
    }

    /// Of those that wait here, what the client has caused itself.
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Of those that wait here, messages of others.
    pub fn others_bytes(&self) -> usize {
        self.others_bytes
    }

    /// Bytes allocated for this client alone.
    pub fn allocated_bytes(&self) -> usize {
        self.counted.get() + self.lines.allocated_bytes()
    }

    /// Whether more than one line of others waits.
    pub fn has_lines_of_others(&self) -> bool {
        let mut lines = 0;
        for piece in self.pieces.iter().filter(|piece| !piece.own) {
            let bytes = piece.bytes();
            let mut rest = &bytes[..];
            let _ = rest.skip_until(b'\n');
            lines += 1 + usize::from(!rest.is_empty());
            if lines > 1 {
                return true;
            }
        }
        false
    }

    /// Panics if the sums are not those of the parts; notes each batch and its bytes. Bytes that the queue itself takes.
    /// For tests.
    pub fn check(&self, batches: &mut std::collections::HashMap<usize, usize>) -> usize {
        let sum = |own| self.pieces.iter().filter(|piece| piece.own == own).map(Piece::len).sum::<usize>();
        assert_eq!((sum(true), sum(false)), (self.own_bytes, self.others_bytes));
        for piece in &self.pieces {
            assert!(piece.bytes().ends_with(b"\n"));
        }
        for batch in self.pieces.iter().map(|piece| &piece.batch).chain([&self.lines]) {
            batches.insert(batch.address(), batch.allocated_bytes());
        }
        self.counted.get()
    }
}

#[cfg(test)]
mod tests;
