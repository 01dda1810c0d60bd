//! Lines that are encoded once and shared by all who get them. Knows nothing of who they are.
//!
//! Also here: [`Memory`], which counts what is allocated for all that waits.

use std::cell::{Cell, Ref, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// What a batch takes beside its bytes, with the two counters of its `Rc`.
const RECORD_BYTES: usize = size_of::<RefCell<Shared>>() + 2 * size_of::<usize>();

/// So much may be left unused where lines have to wait: giving back less is not worth a copy.
const SLACK_BYTES: usize = 1 << 10;

/// How many bytes are allocated for what waits. Everything that is counted holds a clone of this and takes its bytes
/// off again when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory(Rc<Cell<usize>>);

impl Memory {
    /// Bytes allocated now.
    pub fn bytes(&self) -> usize {
        self.0.get()
    }
}

/// A part of [`Memory`], told whenever it changes.
#[derive(Debug)]
pub struct Counted {
    bytes: usize,
    memory: Memory,
}

impl Counted {
    /// Nothing yet.
    pub fn new(memory: &Memory) -> Self {
        Counted { bytes: 0, memory: memory.clone() }
    }

    /// So many bytes are allocated now.
    pub fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if before != bytes {
            self.memory.0.set(self.memory.bytes() - before + bytes);
        }
    }

    /// What was set last.
    pub fn get(&self) -> usize {
        self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A handle for lines that are shared, as an `Rc` is one. More can be appended to them; nothing is changed. They are
/// referred to by their positions, which count from the beginning, also when bytes that nobody waits for any more have
/// been cut off there.
#[derive(Clone, Debug)]
pub struct Batch(Rc<RefCell<Shared>>);

#[derive(Debug)]
struct Shared {
    bytes: Vec<u8>,
    /// The position of the first byte.
    start: u32,
    counted: Counted,
}

impl Batch {
    /// No lines yet.
    pub fn new(memory: &Memory) -> Self {
        Batch(Rc::new(RefCell::new(Shared { bytes: Vec::new(), start: 0, counted: Counted::new(memory) })))
    }

    /// Appends what `write` writes: whole lines, or the rest of one. Returns where they are.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Range<u32> {
        let mut lines = self.0.borrow_mut();
        let start = lines.end();
        write(&mut lines.bytes);
        debug_assert!(lines.bytes.ends_with(b"\n"));
        lines.recount();
        start..lines.end()
    }

    /// The position of the end.
    pub fn end(&self) -> u32 {
        self.0.borrow().end()
    }

    /// The bytes between two positions.
    pub fn bytes(&self, start: u32, end: u32) -> Ref<'_, [u8]> {
        Ref::map(self.0.borrow(), |lines| {
            let range = (start.wrapping_sub(lines.start) as usize)..(end.wrapping_sub(lines.start) as usize);
            debug_assert!(lines.bytes.get(range.clone()).is_some(), "a range outside of its batch");
            lines.bytes.get(range).unwrap_or_default()
        })
    }

    /// Whether a position is within a line, and not where one begins.
    pub fn is_mid_line(&self, position: u32) -> bool {
        let lines = self.0.borrow();
        let before = position.wrapping_sub(lines.start + 1) as usize;
        lines.bytes.get(before).is_some_and(|&byte| byte != b'\n')
    }

    /// How many handles there are.
    pub fn handles(&self) -> usize {
        Rc::strong_count(&self.0)
    }

    /// Bytes allocated.
    pub fn allocated_bytes(&self) -> usize {
        self.0.borrow().counted.get()
    }

    /// What tells this batch from the others.
    pub fn address(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    /// Empties it for its next use. Nobody else has a handle. What it keeps is not counted while nobody uses it; returns
    /// how many bytes that are.
    pub fn reset(&self) -> usize {
        debug_assert_eq!(self.handles(), 1);
        let mut lines = self.0.borrow_mut();
        lines.bytes.clear();
        lines.start = 0;
        lines.counted.set(0);
        lines.bytes.capacity()
    }

    /// Gives back memory that is not used, where that is much: the lines have to wait.
    pub fn shrink(&self) {
        let mut lines = self.0.borrow_mut();
        if lines.bytes.capacity() > 2 * lines.bytes.len() + SLACK_BYTES {
            lines.bytes.shrink_to_fit();
            lines.recount();
        }
    }

    /// Cuts off what stands before `position`, where that is most of it. To be called only if nobody waits for that.
    pub fn cut_off_before(&self, position: u32) {
        let mut lines = self.0.borrow_mut();
        // The byte before stays: it tells whether the position is within a line.
        let gone = position.saturating_sub(lines.start + 1) as usize;
        if gone > SLACK_BYTES.max(lines.bytes.len() / 3 * 2) {
            lines.bytes.drain(..gone);
            lines.start += gone as u32;
            drop(lines);
            self.shrink();
        }
    }
}

impl Shared {
    fn end(&self) -> u32 {
        self.start + self.bytes.len() as u32
    }

    fn recount(&mut self) {
        self.counted.set(RECORD_BYTES + self.bytes.capacity());
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Batch) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_go_with_the_last_handle() {
        let memory = Memory::default();
        let batch = Batch::new(&memory);
        batch.append(|out| out.extend_from_slice(b"one\ntwo\n"));
        let other = batch.clone();
        assert!(batch.handles() == 2 && memory.bytes() >= 8);
        drop(batch);
        assert_eq!(&*other.bytes(4, 8), b"two\n");
        drop(other);
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn positions_stay_when_the_beginning_is_cut_off() {
        let memory = Memory::default();
        let batch = Batch::new(&memory);
        batch.append(|out| out.extend_from_slice(&b"0123456789abcde\n".repeat(1000)));
        let before = memory.bytes();
        batch.cut_off_before(16 * 100);
        assert_eq!(memory.bytes(), before, "too little to be worth it");
        batch.cut_off_before(16 * 990);
        assert!(memory.bytes() < before / 4, "{} of {before}", memory.bytes());
        assert_eq!(&*batch.bytes(16 * 999, 16 * 1000), b"0123456789abcde\n");
        assert_eq!(batch.end(), 16_000);
        batch.reset();
        assert_eq!((batch.end(), memory.bytes()), (0, 0));
    }
}
