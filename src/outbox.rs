//! What waits to be written to one client: ranges of shared bytes, in order. Knows nothing of where they come from.
//!
//! Bytes come here only when the kernel would not take them. They are shared: a message that a thousand slow clients
//! wait for is in memory once. [`Memory`] counts what is really allocated.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};
use std::ops::Range;
use std::rc::Rc;

/// What is allocated for the clients' input and output, in bytes.
#[derive(Debug, Default)]
pub struct Memory {
    held: usize,
}

/// The least that is allocated for a queue and for the rest of a chunk: more than glibc keeps in its lists of small
/// blocks. What lies in these lists is free for the server and taken for the system, and one such block keeps with the
/// process all that was allocated below it: up to 70 MB stayed after all had been read, now it is 3 to 6 MB as a rule.
const BLOCK_BYTES_MIN: usize = 1040;

/// The capacity of a new queue, in pieces.
const PIECES_AT_FIRST: usize = BLOCK_BYTES_MIN.div_ceil(size_of::<Waiting>());

/// Shared bytes that wait for somebody.
pub type Chunk = Rc<[u8]>;

/// Beside its bytes, a chunk has two reference counts.
const CHUNK_OVERHEAD_BYTES: usize = 2 * size_of::<usize>();

/// A rest of a chunk is copied out of it up to this size.
pub const COPY_OUT_BYTES_MAX: usize = 4 << 10;

/// The most that is copied together for one write, where what waits is in small pieces.
const GATHER_BYTES: usize = 64 << 10;

/// From this size on a piece is written from where it lies: the copy would cost more than a system call saves.
const DIRECT_BYTES: usize = 16 << 10;

impl Memory {
    /// Bytes allocated now.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Copies bytes out to where they can be shared.
    pub fn keep(&mut self, bytes: &[u8]) -> Chunk {
        self.held += bytes.len() + CHUNK_OVERHEAD_BYTES;
        bytes.into()
    }

    /// Every chunk goes back this way; the last to let go of it frees it.
    pub fn release(&mut self, chunk: Chunk) {
        if Rc::strong_count(&chunk) == 1 {
            self.held -= chunk.len() + CHUNK_OVERHEAD_BYTES;
        }
    }

    /// Something whose size changes by itself has grown or shrunk.
    pub fn resized(&mut self, before: usize, after: usize) {
        self.held = self.held + after - before;
    }
}

/// A range of a chunk that is still to be written. It ends with a line's end.
#[derive(Debug)]
struct Waiting {
    chunk: Chunk,
    start: u32,
    end: u32,
    /// The client has caused it itself: a reply, or its own message coming back.
    own: bool,
}

impl Waiting {
    fn bytes(&self) -> &[u8] {
        self.chunk.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Waiting>,
    own_bytes: usize,
    others_bytes: usize,
    /// The first line has begun to go out.
    mid_line: bool,
}

/// How writing went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes that the kernel took.
    pub bytes: usize,
    /// Calls of `write`, the one included that was told `WouldBlock`.
    pub calls: usize,
}

impl Outbox {
    /// Puts a range of a chunk behind what waits already. `mid_line`: its first line has begun to go out.
    pub fn push(&mut self, chunk: Chunk, range: Range<u32>, own: bool, mid_line: bool, memory: &mut Memory) {
        debug_assert!(
            chunk.get(range.start as usize..range.end as usize).is_some_and(|b| b.ends_with(b"\n"))
        );
        if self.waiting.is_empty() {
            self.mid_line = mid_line;
        }
        let bytes = (range.end - range.start) as usize;
        *(if own { &mut self.own_bytes } else { &mut self.others_bytes }) += bytes;
        match self.waiting.back_mut() {
            Some(last) if last.own == own && last.end == range.start && Rc::ptr_eq(&last.chunk, &chunk) => {
                last.end = range.end;
                memory.release(chunk);
            }
            _ => {
                let before = self.allocated_bytes();
                if self.waiting.capacity() == 0 {
                    self.waiting.reserve_exact(PIECES_AT_FIRST);
                }
                self.waiting.push_back(Waiting { chunk, start: range.start, end: range.end, own });
                memory.resized(before, self.allocated_bytes());
            }
        }
    }

    /// Writes until all is out or the kernel takes no more. `scratch` is for copying small pieces together.
    ///
    /// # Errors
    /// The stream's, but for `WouldBlock` and `Interrupted`. A write of zero bytes is an error too.
    pub fn write_to(
        &mut self,
        stream: &mut impl Write,
        scratch: &mut Vec<u8>,
        memory: &mut Memory,
    ) -> io::Result<Written> {
        let mut written = Written { bytes: 0, calls: 0 };
        while let Some(first) = self.waiting.front() {
            let result = if first.len() >= DIRECT_BYTES || self.waiting.len() == 1 {
                stream.write(first.bytes())
            } else {
                scratch.clear();
                for piece in &self.waiting {
                    let room = GATHER_BYTES - scratch.len();
                    scratch.extend_from_slice(piece.bytes().get(..room).unwrap_or(piece.bytes()));
                    if scratch.len() == GATHER_BYTES {
                        break;
                    }
                }
                stream.write(scratch)
            };
            written.calls += 1;
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    written.bytes += bytes;
                    self.advance(bytes, memory);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Drops all but the rest of a line that has begun to go out.
    pub fn cut(&mut self, memory: &mut Memory) {
        let first = self.waiting.front().filter(|_| self.mid_line);
        let rest = first.map_or(0, |first| match first.bytes().iter().position(|&byte| byte == b'\n') {
            Some(line_end) => line_end as u32 + 1,
            None => first.end - first.start,
        });
        let before = self.allocated_bytes();
        for (index, mut dropped) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if index == 0 && rest > 0 {
                dropped.end = dropped.start + rest;
                dropped.copy_out(memory);
                self.waiting.push_back(dropped);
            } else {
                memory.release(dropped.chunk);
            }
        }
        memory.resized(before, self.allocated_bytes());
        (self.own_bytes, self.others_bytes) = (rest as usize, 0);
        self.waiting.iter_mut().for_each(|kept| kept.own = true);
    }

    /// Drops everything. An outbox is cleared before it is dropped, or [`Memory`] would never hear of it.
    pub fn clear(&mut self, memory: &mut Memory) {
        self.mid_line = false;
        self.cut(memory);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.own_bytes + self.others_bytes
    }

    /// Of them, those that the client has caused itself.
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Of them, messages of others.
    pub fn others_bytes(&self) -> usize {
        self.others_bytes
    }

    /// Whether more than one line of others waits.
    pub fn others_lines_are_many(&self) -> bool {
        let mut lines = 0;
        for piece in self.waiting.iter().filter(|piece| !piece.own) {
            let mut bytes = piece.bytes();
            while lines < 2 && bytes.skip_until(b'\n').is_ok_and(|skipped| skipped > 0) {
                lines += 1;
            }
        }
        lines > 1
    }

    /// Panics if the sums are not those of the parts; notes each chunk and its bytes by its address. For tests.
    pub fn check(&self, chunks: &mut std::collections::HashMap<*const u8, usize>) {
        let sum = |own| self.waiting.iter().filter(|piece| piece.own == own).map(Waiting::len).sum::<usize>();
        assert_eq!((sum(true), sum(false)), (self.own_bytes, self.others_bytes));
        for piece in &self.waiting {
            assert!(piece.len() > 0 && piece.bytes().ends_with(b"\n"));
            chunks.insert(piece.chunk.as_ptr(), piece.chunk.len() + CHUNK_OVERHEAD_BYTES);
        }
    }

    /// Bytes allocated for the queue itself, the chunks not counted.
    pub fn allocated_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<Waiting>()
    }

    /// The first `bytes` of what waits have gone out.
    fn advance(&mut self, mut bytes: usize, memory: &mut Memory) {
        while let Some(first) = self.waiting.front_mut() {
            let taken = bytes.min(first.len());
            *(if first.own { &mut self.own_bytes } else { &mut self.others_bytes }) -= taken;
            bytes -= taken;
            if taken < first.len() {
                if taken > 0 {
                    self.mid_line = first.bytes().get(taken - 1) != Some(&b'\n');
                    first.start += taken as u32;
                }
                first.shrink(memory);
                return;
            }
            self.mid_line = false;
            if let Some(done) = self.waiting.pop_front() {
                memory.release(done.chunk);
            }
        }
        debug_assert_eq!(bytes, 0, "more was written than waited");
        let before = self.allocated_bytes();
        self.waiting = VecDeque::new();
        memory.resized(before, 0);
    }
}

impl Waiting {
    /// Copies a small rest out of a large chunk that nobody else waits for, so that no slow client keeps much more in
    /// memory than it is waiting for. What is copied is at most half of what was written since the last time.
    fn shrink(&mut self, memory: &mut Memory) {
        if self.copy_len() <= self.chunk.len() / 3 && Rc::strong_count(&self.chunk) == 1 {
            self.copy_out(memory);
        }
    }

    /// How much has to be copied to let go of the chunk: what waits, and so much around it that it is no small block.
    fn copy_len(&self) -> usize {
        self.len().max(BLOCK_BYTES_MIN)
    }

    /// Lets go of the chunk, but for what waits. A large rest stays where it is: others may share it.
    fn copy_out(&mut self, memory: &mut Memory) {
        let copied = self.copy_len();
        if copied < self.chunk.len() && self.len() <= COPY_OUT_BYTES_MAX {
            let from = (self.end as usize).saturating_sub(copied);
            let rest = memory.keep(self.chunk.get(from..from + copied).unwrap_or_default());
            memory.release(std::mem::replace(&mut self.chunk, rest));
            (self.start, self.end) = (self.start - from as u32, self.end - from as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes as many bytes at once as the list says, and then no more.
    struct Narrow {
        takes: Vec<usize>,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Some(takes) = self.takes.pop() else { return Err(io::ErrorKind::WouldBlock.into()) };
            let taken = takes.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        /// However little the kernel takes at once, all goes out in order, and the sums are right all the way.
        #[test]
        fn all_goes_out(
            lines in proptest::collection::vec((0usize..3000, any::<bool>(), any::<bool>()), 0..60),
            takes in proptest::collection::vec(1usize..9000, 0..80),
        ) {
            let (mut outbox, mut memory, mut expected) = (Outbox::default(), Memory::default(), Vec::new());
            let mut others = Vec::new();
            for (index, (length, own, shared)) in lines.into_iter().enumerate() {
                let mut line = vec![b'a' + (index % 26) as u8; length];
                line.push(b'\n');
                expected.extend_from_slice(&line);
                let chunk = memory.keep(&line);
                if shared {
                    others.push(chunk.clone());
                }
                outbox.push(chunk, 0..line.len() as u32, own, false, &mut memory);
            }
            let mut stream = Narrow { takes, taken: Vec::new() };
            outbox.write_to(&mut stream, &mut Vec::new(), &mut memory).unwrap();
            prop_assert_eq!(outbox.len(), expected.len() - stream.taken.len());
            outbox.check(&mut Default::default());
            let before = stream.taken.clone();
            stream.takes = vec![usize::MAX; 200];
            outbox.write_to(&mut stream, &mut Vec::new(), &mut memory).unwrap();
            prop_assert_eq!(&stream.taken, &expected);
            prop_assert!(stream.taken.starts_with(&before) && outbox.is_empty());
            others.into_iter().for_each(|chunk| memory.release(chunk));
            prop_assert_eq!(memory.held(), 0);
        }
    }

    #[test]
    fn a_stream_that_takes_nothing_is_at_its_end() {
        let (mut outbox, mut memory) = (Outbox::default(), Memory::default());
        let chunk = memory.keep(b"line\n");
        outbox.push(chunk, 0..5, true, false, &mut memory);
        let mut stream = Narrow { takes: vec![0], taken: Vec::new() };
        let error = outbox.write_to(&mut stream, &mut Vec::new(), &mut memory).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        outbox.clear(&mut memory);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn the_rest_of_a_line_does_not_keep_the_chunk_it_is_from() {
        let (mut outbox, mut memory) = (Outbox::default(), Memory::default());
        let chunk = memory.keep(&b"one line\n".repeat(5000));
        let length = chunk.len() as u32;
        outbox.push(chunk, 4..length, false, true, &mut memory);
        outbox.cut(&mut memory);
        assert_eq!(outbox.len(), "line\n".len());
        assert!(memory.held() < BLOCK_BYTES_MIN + 500, "{} bytes held", memory.held());
        let mut out = Vec::new();
        outbox.write_to(&mut out, &mut Vec::new(), &mut memory).unwrap();
        assert_eq!((&out[..], memory.held()), (&b"line\n"[..], 0));
    }

    #[test]
    fn a_small_rest_does_not_keep_a_large_chunk() {
        let (mut outbox, mut memory) = (Outbox::default(), Memory::default());
        let mut line = vec![b'x'; 60_000];
        line.push(b'\n');
        let chunk = memory.keep(&line);
        outbox.push(chunk, 0..line.len() as u32, false, false, &mut memory);
        let mut stream = Narrow { takes: vec![59_000], taken: Vec::new() };
        outbox.write_to(&mut stream, &mut Vec::new(), &mut memory).unwrap();
        assert_eq!(outbox.len(), 1001);
        assert!(memory.held() < 4000, "{} bytes held", memory.held());
        outbox.clear(&mut memory);
    }

    #[test]
    fn one_line_is_not_many() {
        let (mut outbox, mut memory) = (Outbox::default(), Memory::default());
        for (own, many) in [(false, false), (true, false), (false, true)] {
            let chunk = memory.keep(b"line\n");
            outbox.push(chunk, 0..5, own, false, &mut memory);
            assert_eq!(outbox.others_lines_are_many(), many);
        }
        outbox.clear(&mut memory);
    }
}
