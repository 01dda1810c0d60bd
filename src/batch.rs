//! What a room says in one go: lines that all its members share. Knows nothing of who they are.
//!
//! A [`Batch`] is a handle, as an `Rc` would be: it can be cloned, and the bytes go with the last of them. They lie in a
//! table, because an `Rc` for each batch would be a small block of the heap between large ones. glibc's allocator keeps
//! some freed small blocks back, and one of them at the end of the heap keeps everything below it from going back to the
//! system: 45 MB stayed after all had been read, and now it is 2.
//!
//! Also here: [`Memory`], which counts what is allocated for all that waits.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use slab::Slab;

/// A buffer that stays after a turn is at least so large: more than what glibc's allocator keeps back.
pub const KEPT_BYTES_MIN: usize = 1040;

/// There is room for so many batches from the start, low in the heap: the table too could keep what is below it.
const ENTRIES_RESERVED: usize = 1024;

/// How many bytes are allocated for what waits. Everything that is counted holds a clone of this and takes its bytes
/// off again when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory(Rc<Cell<usize>>);

impl Memory {
    /// Bytes allocated now.
    pub fn bytes(&self) -> usize {
        self.0.get()
    }

    fn change(&self, before: usize, after: usize) {
        self.0.set(self.0.get() + after - before);
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
            self.memory.change(before, bytes);
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

/// The table of all batches.
#[derive(Clone, Debug)]
pub struct Batches(Rc<Table>);

#[derive(Debug)]
struct Table {
    entries: RefCell<Slab<Entry>>,
    memory: Memory,
}

#[derive(Debug, Default)]
struct Entry {
    bytes: Vec<u8>,
    handles: u32,
    /// Positions count from the batch's beginning, also when bytes that nobody waits for any more have been cut off.
    cut_off: u32,
    counted: usize,
}

/// Lines of one room, shared by its members.
#[derive(Debug)]
pub struct Batch {
    table: Rc<Table>,
    index: u32,
}

impl Batches {
    /// An empty table.
    pub fn new(memory: &Memory) -> Self {
        let entries = RefCell::new(Slab::with_capacity(ENTRIES_RESERVED));
        Batches(Rc::new(Table { entries, memory: memory.clone() }))
    }

    /// A new, empty batch.
    pub fn create(&self) -> Batch {
        let entry = Entry { bytes: Vec::with_capacity(KEPT_BYTES_MIN), handles: 1, ..Entry::default() };
        let index = self.0.entries.borrow_mut().insert(entry) as u32;
        Batch { table: self.0.clone(), index }
    }
}

impl Batch {
    /// Appends what `write` writes: whole lines.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.change(|entry| {
            write(&mut entry.bytes);
            debug_assert!(entry.bytes.ends_with(b"\n"));
        });
    }

    /// The position of the end.
    pub fn end(&self) -> u32 {
        let entries = self.table.entries.borrow();
        entries.get(self.index as usize).map_or(0, |entry| entry.cut_off + entry.bytes.len() as u32)
    }

    /// How many handles there are.
    pub fn handles(&self) -> usize {
        self.table.entries.borrow().get(self.index as usize).map_or(0, |entry| entry.handles as usize)
    }

    /// Empties it for its next use, for which it keeps at most so many bytes, and which are not counted until then.
    /// Nobody else has a handle.
    pub fn reset(&self, kept_bytes: u32) {
        debug_assert_eq!(self.handles(), 1);
        self.change(|entry| {
            entry.bytes.clear();
            entry.bytes.shrink_to(kept_bytes as usize);
            entry.cut_off = 0;
        });
        self.count(0);
    }

    /// Gives back memory that is not used, where that is much: the batch has to wait.
    pub fn shrink(&self) {
        self.change(|entry| {
            if entry.bytes.capacity() > 2 * entry.bytes.len() + KEPT_BYTES_MIN {
                let wanted = entry.bytes.len().max(KEPT_BYTES_MIN);
                entry.bytes.shrink_to(wanted);
            }
        });
    }

    /// Cuts off what stands before `position`, where that is most of it. To be called only if nobody waits for that.
    pub fn cut_off_before(&self, position: u32) {
        self.change(|entry| {
            let gone = entry.bytes.len().min((position - entry.cut_off) as usize);
            if entry.bytes.capacity() > 2 * KEPT_BYTES_MIN && gone > entry.bytes.len() / 3 * 2 {
                entry.bytes.drain(..gone);
                entry.cut_off = position;
            }
        });
        self.shrink();
    }

    /// The bytes from one position to another.
    pub fn range(&self, start: u32, end: u32) -> Ref<'_, [u8]> {
        Ref::map(self.table.entries.borrow(), |entries| {
            let range = entries.get(self.index as usize).and_then(|entry| {
                let (start, end) = (start.checked_sub(entry.cut_off)?, end.checked_sub(entry.cut_off)?);
                entry.bytes.get(start as usize..end as usize)
            });
            debug_assert!(range.is_some(), "a range outside of its batch");
            range.unwrap_or_default()
        })
    }

    /// What tells this batch from the others.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Bytes allocated.
    pub fn allocated_bytes(&self) -> usize {
        self.table.entries.borrow().get(self.index as usize).map_or(0, |entry| entry.counted)
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.table.entries.borrow_mut();
        let Some(entry) = entries.get_mut(self.index as usize) else { return };
        change(entry);
        let capacity = entry.bytes.capacity();
        self.table.memory.change(std::mem::replace(&mut entry.counted, capacity), capacity);
    }

    fn count(&self, bytes: usize) {
        let mut entries = self.table.entries.borrow_mut();
        let Some(entry) = entries.get_mut(self.index as usize) else { return };
        self.table.memory.change(std::mem::replace(&mut entry.counted, bytes), bytes);
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Batch) -> bool {
        self.index == other.index
    }
}

impl Clone for Batch {
    fn clone(&self) -> Batch {
        if let Some(entry) = self.table.entries.borrow_mut().get_mut(self.index as usize) {
            entry.handles += 1;
        }
        Batch { table: self.table.clone(), index: self.index }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut entries = self.table.entries.borrow_mut();
        let index = self.index as usize;
        let Some(entry) = entries.get_mut(index) else { return };
        entry.handles -= 1;
        if entry.handles == 0 {
            self.table.memory.change(entry.counted, 0);
            entries.remove(index);
            if entries.is_empty() && entries.capacity() > 2 * ENTRIES_RESERVED {
                *entries = Slab::with_capacity(ENTRIES_RESERVED);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_go_with_the_last_handle() {
        let memory = Memory::default();
        let batches = Batches::new(&memory);
        let batch = batches.create();
        batch.append(|out| out.extend_from_slice(b"one\ntwo\n"));
        let other = batch.clone();
        assert_eq!((batch.handles(), memory.bytes()), (2, KEPT_BYTES_MIN));
        drop(batch);
        assert_eq!(&*other.range(4, 8), b"two\n");
        drop(other);
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn positions_stay_when_the_beginning_is_cut_off() {
        let memory = Memory::default();
        let batch = Batches::new(&memory).create();
        batch.append(|out| out.extend_from_slice(&b"0123456789abcde\n".repeat(1000)));
        let before = memory.bytes();
        batch.cut_off_before(16 * 100);
        assert_eq!(memory.bytes(), before, "too little to be worth it");
        batch.cut_off_before(16 * 990);
        assert!(memory.bytes() < before / 4, "{} of {before}", memory.bytes());
        assert_eq!(&*batch.range(16 * 999, 16 * 1000), b"0123456789abcde\n");
        assert_eq!(batch.end(), 16_000);
        batch.reset(0);
        assert_eq!((batch.end(), memory.bytes()), (0, 0));
    }
}
