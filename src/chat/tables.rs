//! Where the records of the two tables lie.

use slab::Slab;

use super::directory::{Entry, Records};
use super::list::List;
use super::{ClientId, Member, RoomId};
use crate::slots::Slots;

/// A room that a client is in.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// Which.
    pub room: RoomId,
    /// Where the client stands in the room's list.
    pub position: u32,
}

#[derive(Debug)]
pub struct Client {
    pub nickname: Entry,
    pub rooms: List<Joined, 2>,
}

#[derive(Debug)]
pub struct Room {
    pub name: Entry,
    pub members: List<Member, MEMBERS_AT_FIRST>,
}

/// glibc keeps smaller blocks that were freed in its fastbins, and merges them all at once: when a million clients
/// left, that made one turn of 20 ms where now the longest takes 4.
const MEMBERS_AT_FIRST: usize = 16;

/// The clients' records, under the numbers that the caller gives them.
pub type Clients = Slots<Client>;

impl Clients {
    /// The entry at this place of the client's list of rooms.
    pub fn joined_mut(&mut self, client: ClientId, place: u32) -> Option<&mut Joined> {
        self.get_mut(client)?.rooms.as_mut_slice().get_mut(place as usize)
    }
}

impl Records for Clients {
    fn entry(&self, slot: u32) -> Option<&Entry> {
        Some(&self.get(slot)?.nickname)
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        Some(&mut self.get_mut(slot)?.nickname)
    }
}

/// The rooms' records. They lie in a slab and not in pages as the clients do: a single request makes a room and another
/// removes it, and that should not cost a page.
#[derive(Debug, Default)]
pub struct Rooms {
    slab: Slab<Room>,
    /// Rooms removed since the slab was made smaller for the last time.
    removed: usize,
}

impl Rooms {
    pub fn insert(&mut self, room: Room) -> RoomId {
        self.slab.insert(room) as RoomId
    }

    /// Removes a room. Once in a while memory is given back: making the slab smaller walks all of it, so that has to be
    /// paid for by as many removals.
    pub fn remove(&mut self, room: RoomId) -> Option<Room> {
        let removed = self.slab.try_remove(room as usize)?;
        self.removed += 1;
        let slots = self.slab.capacity();
        let is_sparse = slots > 1024 && self.slab.len() < slots / 4;
        if is_sparse && (self.removed > slots / 4 || self.slab.is_empty()) {
            self.slab.shrink_to_fit();
            self.removed = 0;
        }
        Some(removed)
    }

    pub fn get(&self, room: RoomId) -> Option<&Room> {
        self.slab.get(room as usize)
    }

    pub fn get_mut(&mut self, room: RoomId) -> Option<&mut Room> {
        self.slab.get_mut(room as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = (RoomId, &Room)> {
        self.slab.iter().map(|(room, record)| (room as RoomId, record))
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// All rooms have a lower number than this.
    pub fn bound(&self) -> usize {
        self.slab.capacity()
    }
}

impl Records for Rooms {
    fn entry(&self, slot: u32) -> Option<&Entry> {
        Some(&self.get(slot)?.name)
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        Some(&mut self.get_mut(slot)?.name)
    }
}
