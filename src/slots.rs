//! Numbered records in pages. Knows nothing of what they are.
//!
//! A `Vec` or a slab that has to grow copies itself, and one that was large once stays large as long as its last record
//! is there. Here the records lie in pages that never move: a page is made when its first record comes and given back
//! when its last one goes, so that neither a storm of clients nor its end keeps anybody waiting, and memory comes back.
//! Free slots on the first pages are taken first, so that the last pages become empty.

use std::collections::BTreeSet;

const PAGE_SLOTS: usize = 256;

/// The table.
#[derive(Debug)]
pub struct Slots<T> {
    pages: Vec<Page<T>>,
    /// The pages that are not full.
    with_room: BTreeSet<usize>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    /// `PAGE_SLOTS` of them, or none when all are free.
    records: Box<[Option<T>]>,
    /// A bit for each slot that is taken.
    taken: [u64; PAGE_SLOTS / 64],
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { pages: Vec::new(), with_room: BTreeSet::new(), len: 0 }
    }
}

impl<T> Slots<T> {
    /// Puts a record into a free slot.
    pub fn insert(&mut self, record: T) -> u32 {
        let page = self.with_room.first().copied().unwrap_or(self.pages.len());
        let slot = page * PAGE_SLOTS + self.pages.get(page).map_or(0, Page::first_free);
        self.put(slot as u32, record);
        slot as u32
    }

    /// Puts a record into the slot of this number, which must be free.
    pub fn put(&mut self, slot: u32, record: T) {
        let (index, place) = split(slot);
        while self.pages.len() <= index {
            self.with_room.insert(self.pages.len());
            self.pages.push(Page { records: Box::default(), taken: [0; PAGE_SLOTS / 64] });
        }
        let Some(page) = self.pages.get_mut(index) else { return };
        if page.records.is_empty() {
            page.records = std::iter::repeat_with(|| None).take(PAGE_SLOTS).collect();
        }
        page.mark(place, true);
        if page.is_full() {
            self.with_room.remove(&index);
        }
        if let Some(free) = page.records.get_mut(place) {
            debug_assert!(free.is_none(), "slot {slot} is taken");
            *free = Some(record);
            self.len += 1;
        }
    }

    /// Takes the record out of its slot, which is free then.
    pub fn take(&mut self, slot: u32) -> Option<T> {
        let (index, place) = split(slot);
        let page = self.pages.get_mut(index)?;
        let record = page.records.get_mut(place)?.take()?;
        self.len -= 1;
        if page.is_full() {
            self.with_room.insert(index);
        }
        page.mark(place, false);
        if page.is_empty() {
            page.records = Box::default();
            while self.pages.last().is_some_and(Page::is_empty) {
                self.pages.pop();
                self.with_room.remove(&self.pages.len());
            }
        }
        Some(record)
    }

    /// The record in a slot.
    pub fn get(&self, slot: u32) -> Option<&T> {
        let (page, place) = split(slot);
        self.pages.get(page)?.records.get(place)?.as_ref()
    }

    /// The record in a slot.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (page, place) = split(slot);
        self.pages.get_mut(page)?.records.get_mut(place)?.as_mut()
    }

    /// All records with their numbers, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let pages = self.pages.iter().enumerate();
        pages.flat_map(|(page, slots)| {
            let records = slots.records.iter().enumerate();
            records.filter_map(move |(place, record)| {
                Some(((page * PAGE_SLOTS + place) as u32, record.as_ref()?))
            })
        })
    }

    /// Records that are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no record is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All records have a lower number than this.
    pub fn bound(&self) -> usize {
        self.pages.len() * PAGE_SLOTS
    }
}

impl<T> Page<T> {
    fn first_free(&self) -> usize {
        let word = self.taken.iter().position(|&word| word != u64::MAX).unwrap_or_default();
        word * 64 + self.taken.get(word).map_or(0, |word| word.trailing_ones() as usize)
    }

    fn mark(&mut self, place: usize, taken: bool) {
        if let Some(word) = self.taken.get_mut(place / 64) {
            *word = *word & !(1 << (place % 64)) | u64::from(taken) << (place % 64);
        }
    }

    fn is_full(&self) -> bool {
        self.taken == [u64::MAX; PAGE_SLOTS / 64]
    }

    fn is_empty(&self) -> bool {
        self.taken == [0; PAGE_SLOTS / 64]
    }
}

fn split(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE_SLOTS, slot as usize % PAGE_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Against a map; and the lowest free slot on the first page with room is the one that is taken.
        #[test]
        fn like_a_map(steps in proptest::collection::vec((0u32..1500, any::<bool>()), 0..3000)) {
            let (mut slots, mut map) = (Slots::default(), BTreeMap::new());
            for (number, remove) in steps {
                if remove {
                    prop_assert_eq!(slots.take(number), map.remove(&number));
                } else {
                    let slot = slots.insert(number);
                    prop_assert_eq!(Some(slot), (0..).find(|slot| !map.contains_key(slot)));
                    map.insert(slot, number);
                }
                prop_assert_eq!(slots.len(), map.len());
                prop_assert!(slots.bound() >= map.last_key_value().map_or(0, |(&last, _)| last as usize + 1));
                prop_assert!(slots.bound() <= map.last_key_value().map_or(0, |(&last, _)| last as usize + PAGE_SLOTS));
            }
            prop_assert!(slots.iter().map(|(slot, &record)| (slot, record)).eq(map));
        }
    }

    #[test]
    fn pages_are_given_back() {
        let mut slots = Slots::default();
        for number in 0..10_000 {
            assert_eq!(slots.insert(number), number);
        }
        for number in 0..9_999 {
            assert_eq!(slots.take(number), Some(number));
        }
        assert_eq!(slots.pages.iter().filter(|page| !page.records.is_empty()).count(), 1);
        assert_eq!(slots.take(9_999), Some(9_999));
        assert_eq!((slots.bound(), slots.with_room.len()), (0, 0));
        assert_eq!(slots.take(9_999), None);
    }
}
