//! Where the records of the two tables lie: clients under the numbers that the caller gives them, rooms in a slab.

use slab::Slab;

use super::directory::{Entry, Records};
use super::{ClientId, Member, RoomId};

/// A room that a client is in.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// Which.
    pub room: RoomId,
    /// Where the client stands in the room's list.
    pub position: u32,
}

/// The rooms of one client. Most are in one, and that needs no memory of its own.
#[derive(Debug)]
pub enum JoinedRooms {
    One(Joined),
    Many(Vec<Joined>),
}

#[derive(Debug)]
pub struct Client {
    pub nickname: Entry,
    pub rooms: JoinedRooms,
}

#[derive(Debug)]
pub struct Room {
    pub name: Entry,
    pub members: Vec<Member>,
}

#[derive(Debug, Default)]
pub struct Clients(pub Vec<Option<Client>>);

#[derive(Debug, Default)]
pub struct Rooms(pub Slab<Room>);

impl Clients {
    pub fn put(&mut self, client: ClientId, record: Client) {
        let index = client as usize;
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        if let Some(place) = self.0.get_mut(index) {
            debug_assert!(place.is_none(), "client {client} is there already");
            *place = Some(record);
        }
    }

    /// Empties the slot, and gives memory back when those at the end are empty.
    pub fn take(&mut self, client: ClientId) {
        if let Some(place) = self.0.get_mut(client as usize) {
            *place = None;
        }
        while let Some(None) = self.0.last() {
            self.0.pop();
        }
        if self.0.capacity() > 1024 && self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    pub fn rooms_mut(&mut self, client: ClientId) -> Option<&mut JoinedRooms> {
        Some(&mut self.0.get_mut(client as usize)?.as_mut()?.rooms)
    }

    pub fn joined_mut(&mut self, client: ClientId, place: u32) -> Option<&mut Joined> {
        self.rooms_mut(client)?.as_mut_slice().get_mut(place as usize)
    }
}

impl Records for Clients {
    fn entry(&self, slot: u32) -> Option<&Entry> {
        Some(&self.0.get(slot as usize)?.as_ref()?.nickname)
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        Some(&mut self.0.get_mut(slot as usize)?.as_mut()?.nickname)
    }
}

impl Records for Rooms {
    fn entry(&self, slot: u32) -> Option<&Entry> {
        Some(&self.0.get(slot as usize)?.name)
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        Some(&mut self.0.get_mut(slot as usize)?.name)
    }
}

impl JoinedRooms {
    pub fn as_slice(&self) -> &[Joined] {
        match self {
            JoinedRooms::One(joined) => std::slice::from_ref(joined),
            JoinedRooms::Many(rooms) => rooms,
        }
    }

    pub fn as_mut_slice(&mut self) -> &mut [Joined] {
        match self {
            JoinedRooms::One(joined) => std::slice::from_mut(joined),
            JoinedRooms::Many(rooms) => rooms,
        }
    }

    pub fn push(&mut self, joined: Joined) {
        match self {
            JoinedRooms::One(first) => *self = JoinedRooms::Many(vec![*first, joined]),
            JoinedRooms::Many(rooms) if rooms.is_empty() => *self = JoinedRooms::One(joined),
            JoinedRooms::Many(rooms) => rooms.push(joined),
        }
    }

    pub fn swap_remove(&mut self, place: usize) {
        match self {
            JoinedRooms::One(_) => *self = JoinedRooms::Many(Vec::new()),
            JoinedRooms::Many(rooms) if place < rooms.len() => {
                rooms.swap_remove(place);
                if let [last] = rooms[..] {
                    *self = JoinedRooms::One(last);
                } else if rooms.len() < rooms.capacity() / 4 {
                    rooms.shrink_to(rooms.len() * 2);
                }
            }
            JoinedRooms::Many(_) => debug_assert!(false, "no room at place {place}"),
        }
    }
}
