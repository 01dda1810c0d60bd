//! A directory: which slot has this name? An index over records that live elsewhere, for nicknames and for rooms.
//!
//! Why not a `HashMap<Box<str>, u32>`? Two reasons, both measured with a million names of ten bytes:
//!
//! - **Size.** A map holds the name and has half of its places empty after it has grown: 84 bytes for each name. Here
//!   the name stands in its record, records are linked into chains by their numbers, and all of it takes 36 bytes.
//! - **No pause.** A map grows by doubling: one unlucky insertion moves every entry, for 0.2 s, while all clients wait.
//!   This is *linear hashing*: the table grows by one bucket with each insertion, which splits one chain of about one
//!   record. The longest insertion took 4 ms, when the vector of the chains' heads was moved.
//!
//! Names are the clients' to choose, so the hash is the standard library's, seeded at random: nobody can make all names
//! fall into one chain.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// The part of a record by which it is found.
#[derive(Debug)]
pub struct Entry {
    name: Name,
    hash: u32,
    next: u32,
}

/// A short name stands in its record: a block of the heap for each would take more than the name, and a million of them
/// that are freed one by one can make the allocator stop for 0.2 s to put them together.
#[derive(Debug)]
enum Name {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

const SHORT_BYTES: usize = 22;

impl Entry {
    /// The name; what it means is the caller's affair.
    pub fn name(&self) -> &[u8] {
        match &self.name {
            Name::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Name::Long(name) => name,
        }
    }
}

impl Name {
    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name);
                Name::Short { len: name.len() as u8, bytes }
            }
            None => Name::Long(name.into()),
        }
    }
}

/// Where the records are: by slot, the caller's number for a record.
pub trait Records {
    /// The entry of the record in `slot`; `None` only for a slot that is not taken.
    fn entry(&self, slot: u32) -> Option<&Entry>;
    /// As [`Records::entry`].
    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry>;
}

/// The index itself.
#[derive(Debug)]
pub struct Directory {
    /// The first slot of each chain. At least one chain.
    heads: Vec<u32>,
    len: usize,
    hasher: RandomState,
}

impl Default for Directory {
    fn default() -> Self {
        Directory { heads: vec![NONE], len: 0, hasher: RandomState::new() }
    }
}

impl Directory {
    /// An entry for a record that is about to be put into its slot and then [linked](Directory::link).
    pub fn entry(&self, name: &[u8]) -> Entry {
        Entry { name: Name::new(name), hash: self.hash(name), next: NONE }
    }

    /// The slot of the record with this name.
    pub fn find(&self, records: &impl Records, name: &[u8]) -> Option<u32> {
        let hash = self.hash(name);
        let mut slot = *self.heads.get(bucket(hash, self.heads.len()))?;
        while let Some(entry) = records.entry(slot) {
            if entry.hash == hash && entry.name() == name {
                return Some(slot);
            }
            slot = entry.next;
        }
        None
    }

    /// Makes the record in `slot` known. Its name must not be in the directory yet.
    pub fn link(&mut self, records: &mut impl Records, slot: u32) {
        debug_assert!(records.entry(slot).is_some_and(|entry| self.find(records, entry.name()).is_none()));
        self.push(records, slot);
        self.len += 1;
        if self.len > self.heads.len() {
            self.split(records);
        }
    }

    /// Forgets the record in `slot`, which must be known.
    pub fn unlink(&mut self, records: &mut impl Records, slot: u32) {
        let Some(entry) = records.entry(slot) else { return };
        let (hash, next) = (entry.hash, entry.next);
        let index = bucket(hash, self.heads.len());
        let Some(head) = self.heads.get_mut(index) else { return };
        if *head == slot {
            *head = next;
        } else {
            let mut before = *head;
            loop {
                let Some(entry) = records.entry_mut(before) else {
                    debug_assert!(false, "slot {slot} is not in the directory");
                    return;
                };
                if entry.next == slot {
                    entry.next = next;
                    break;
                }
                before = entry.next;
            }
        }
        self.len -= 1;
        // With room to spare, so that a name that comes and goes does not split and merge each time.
        while self.heads.len() > 2 * self.len + 1 {
            self.merge(records);
        }
    }

    /// Names known.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no name is known.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn hash(&self, name: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        // The low half: 32 bits tell names apart well enough before they are compared.
        hasher.finish() as u32
    }

    /// Puts the record at the head of its chain.
    fn push(&mut self, records: &mut impl Records, slot: u32) {
        let Some(entry) = records.entry_mut(slot) else { return };
        let chains = self.heads.len();
        if let Some(head) = self.heads.get_mut(bucket(entry.hash, chains)) {
            entry.next = std::mem::replace(head, slot);
        }
    }

    /// One more chain, which takes its share of the one chain that it was folded onto.
    fn split(&mut self, records: &mut impl Records) {
        let folded_onto = bucket(self.heads.len() as u32, self.heads.len());
        self.heads.push(NONE);
        self.rehang(records, folded_onto);
    }

    /// One chain less: the last is folded onto the one that it was split from.
    fn merge(&mut self, records: &mut impl Records) {
        let last = self.heads.len() - 1;
        let chain = self.heads.get(last).copied().unwrap_or(NONE);
        self.heads.truncate(last);
        self.hang(records, chain);
        if self.heads.capacity() > 4 * self.heads.len() {
            self.heads.shrink_to(2 * self.heads.len());
        }
    }

    fn rehang(&mut self, records: &mut impl Records, index: usize) {
        if let Some(head) = self.heads.get_mut(index) {
            let chain = std::mem::replace(head, NONE);
            self.hang(records, chain);
        }
    }

    /// Puts each record of a chain that has been taken off to where it belongs now.
    fn hang(&mut self, records: &mut impl Records, mut slot: u32) {
        while let Some(entry) = records.entry(slot) {
            let next = entry.next;
            self.push(records, slot);
            slot = next;
        }
    }
}

/// The chain of a hash when there are `chains` of them: its low bits, and one bit less where that chain is not there
/// yet.
fn bucket(hash: u32, chains: usize) -> usize {
    let span = chains.next_power_of_two();
    let index = hash as usize & (span - 1);
    if index < chains { index } else { index - span / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    impl Records for Vec<Option<Entry>> {
        fn entry(&self, slot: u32) -> Option<&Entry> {
            self.get(slot as usize)?.as_ref()
        }
        fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
            self.get_mut(slot as usize)?.as_mut()
        }
    }

    #[test]
    fn a_bucket_is_always_there() {
        for chains in 1..70 {
            for hash in 0..300 {
                let index = bucket(hash, chains);
                assert!(index < chains, "hash {hash}, {chains} chains");
            }
            assert_eq!(bucket(chains as u32, chains + 1), chains);
        }
    }

    proptest! {
        /// Against a map: names come and go, and each is found exactly while it is there.
        #[test]
        fn like_a_map(steps in proptest::collection::vec((any::<bool>(), 0u16..300), 0..2000)) {
            let mut directory = Directory::default();
            let mut records: Vec<Option<Entry>> = Vec::new();
            let mut map: HashMap<String, u32> = HashMap::new();
            for (come, number) in steps {
                let name = format!("name {number}");
                prop_assert_eq!(directory.find(&records, name.as_bytes()), map.get(&name).copied());
                match map.get(&name) {
                    None if come => {
                        let slot = records.len() as u32;
                        records.push(Some(directory.entry(name.as_bytes())));
                        directory.link(&mut records, slot);
                        map.insert(name, slot);
                    }
                    Some(&slot) if !come => {
                        directory.unlink(&mut records, slot);
                        records[slot as usize] = None;
                        map.remove(&name);
                    }
                    _ => {}
                }
                prop_assert_eq!(directory.len(), map.len());
                prop_assert!(directory.heads.len() <= 2 * map.len() + 1);
            }
            for (name, slot) in map {
                prop_assert_eq!(directory.find(&records, name.as_bytes()), Some(slot));
            }
        }
    }
}
