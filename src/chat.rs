//! Who is who and who is where: the nickname table and the room table. No I/O, no JSON, no clock.
//!
//! A client is a number that the caller chooses (the hub uses the slot of the connection), so that a walk over a room's
//! members leads straight to the connections. Names are opaque here, and kept as bytes: they are only compared, and
//! copied into messages. [`crate::protocol`] sees to it that equal names are equal byte for byte.
//!
//! Every operation costs the same however many clients and rooms there are. Only what concerns a client's memberships
//! looks through the list of its rooms or, where that is shorter, of a room's members.

pub mod directory;
mod list;
mod tables;
#[cfg(test)]
mod tests;

use directory::{Directory, Entry, Records};
use list::List;
use tables::{Client, Clients, Joined, Room, Rooms};

/// A client: the caller's number for it.
pub type ClientId = u32;

/// A room, until it is removed.
pub type RoomId = u32;

/// Why nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another client has this nickname.
    NicknameInUse,
    /// No such room.
    RoomNotFound,
    /// The client is not in this room.
    NotInThisRoom,
    /// The client is in as many rooms as it may be.
    TooManyRooms,
}

/// A client that is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub client: ClientId,
    /// Where this room stands in the client's list.
    place: u32,
}

/// The tables.
#[derive(Debug)]
pub struct Chat {
    clients: Clients,
    rooms: Rooms,
    nicknames: Directory,
    room_names: Directory,
    guests: u64,
    long_name_bytes: usize,
    max_rooms: usize,
}

/// Of a room's name, so many bytes are taken as part of the fixed cost of a room.
const UNCOUNTED_NAME_BYTES: usize = 64;

impl Chat {
    /// Empty tables. A client may be in `max_rooms` rooms at once.
    pub fn new(max_rooms: usize) -> Self {
        Chat {
            clients: Clients::default(),
            rooms: Rooms::default(),
            nicknames: Directory::default(),
            room_names: Directory::default(),
            guests: 0,
            long_name_bytes: 0,
            max_rooms,
        }
    }

    /// A new client, which gets the next nickname of the form `guest-N` that nobody has.
    pub fn connect(&mut self, client: ClientId) {
        let nickname = loop {
            self.guests += 1;
            let nickname = format!("guest-{}", self.guests);
            if self.nicknames.find(&self.clients, nickname.as_bytes()).is_none() {
                break self.nicknames.entry(nickname.as_bytes());
            }
        };
        self.clients.put(client, Client { nickname, rooms: List::default() });
        self.nicknames.link(&mut self.clients, client);
    }

    /// The client goes: it has left its rooms, and its nickname is free.
    pub fn disconnect(&mut self, client: ClientId) {
        while let Some(last) = self.joined(client).last() {
            self.remove_member(last.room, last.position);
        }
        self.nicknames.unlink(&mut self.clients, client);
        self.clients.take(client);
    }

    /// The client takes another nickname; the old one is free at once.
    pub fn login(&mut self, client: ClientId, nickname: &str) -> Result<(), Refusal> {
        match self.nicknames.find(&self.clients, nickname.as_bytes()) {
            Some(holder) if holder == client => return Ok(()),
            Some(_) => return Err(Refusal::NicknameInUse),
            None => {}
        }
        self.nicknames.unlink(&mut self.clients, client);
        if let Some(entry) = self.clients.entry_mut(client) {
            *entry = self.nicknames.entry(nickname.as_bytes());
        }
        self.nicknames.link(&mut self.clients, client);
        Ok(())
    }

    /// The client subscribes to a room, which is created if it is not there. To join twice changes nothing.
    pub fn join(&mut self, client: ClientId, name: &str) -> Result<(), Refusal> {
        let found = self.find_room(name);
        if found.is_some_and(|room| self.is_member(client, room)) {
            return Ok(());
        }
        if self.joined(client).len() >= self.max_rooms {
            return Err(Refusal::TooManyRooms);
        }
        let room = found.unwrap_or_else(|| self.create_room(name));
        let Some(members) = self.rooms.get_mut(room).map(|room| &mut room.members) else {
            return Ok(());
        };
        let joined = Joined { room, position: members.len() as u32 };
        if let Some(rooms) = self.clients.get_mut(client).map(|client| &mut client.rooms) {
            members.push(Member { client, place: rooms.len() as u32 });
            rooms.push(joined);
        }
        Ok(())
    }

    /// The client unsubscribes. A room left empty is removed.
    pub fn leave(&mut self, client: ClientId, name: &str) -> Result<(), Refusal> {
        let room = self.find_room(name).ok_or(Refusal::RoomNotFound)?;
        let joined = self.joined(client).iter().find(|joined| joined.room == room);
        let position = joined.ok_or(Refusal::NotInThisRoom)?.position;
        self.remove_member(room, position);
        Ok(())
    }

    /// The room of that name, asked for by this client. A client that is in one room usually talks there, and to compare
    /// that name takes half the time of a look into the directory.
    pub fn find_room_for(&self, client: ClientId, name: &str) -> Option<RoomId> {
        match self.joined(client) {
            [only] if self.room_name(only.room) == name.as_bytes() => Some(only.room),
            _ => self.find_room(name),
        }
    }

    /// The room of that name.
    pub fn find_room(&self, name: &str) -> Option<RoomId> {
        self.room_names.find(&self.rooms, name.as_bytes())
    }

    /// The name of a room; empty for one that does not exist.
    pub fn room_name(&self, room: RoomId) -> &[u8] {
        self.rooms.entry(room).map_or(&[], Entry::name)
    }

    /// Whether the client is in the room. Looks through the shorter of the two lists that say so.
    pub fn is_member(&self, client: ClientId, room: RoomId) -> bool {
        let (joined, members) = (self.joined(client), self.members(room));
        if joined.len() <= members.len() {
            joined.iter().any(|joined| joined.room == room)
        } else {
            members.iter().any(|member| member.client == client)
        }
    }

    /// The members of a room, each once, in no order that means anything.
    pub fn members(&self, room: RoomId) -> &[Member] {
        self.rooms.get(room).map_or(&[], |room| room.members.as_slice())
    }

    /// The rooms that a client is in.
    pub fn rooms_of(&self, client: ClientId) -> impl Iterator<Item = RoomId> + '_ {
        self.joined(client).iter().map(|joined| joined.room)
    }

    /// The client's nickname; empty for one that is not connected.
    pub fn nickname(&self, client: ClientId) -> &[u8] {
        self.clients.entry(client).map_or(&[], Entry::name)
    }

    /// Clients connected.
    pub fn clients_len(&self) -> usize {
        self.nicknames.len()
    }

    /// Rooms that exist.
    pub fn rooms_len(&self) -> usize {
        self.room_names.len()
    }

    /// All rooms have a lower number than this.
    pub fn room_ids(&self) -> usize {
        self.rooms.bound()
    }

    /// What long room names take: the one thing in these tables whose size a client chooses. In bytes.
    pub fn long_name_bytes(&self) -> usize {
        self.long_name_bytes
    }

    /// The part of [`Chat::long_name_bytes`] that goes with this client, if nobody else is in its rooms.
    pub fn long_name_bytes_of(&self, client: ClientId) -> usize {
        self.rooms_of(client).map(|room| self.rooms.entry(room).map_or(0, long_bytes)).sum()
    }

    fn joined(&self, client: ClientId) -> &[Joined] {
        let found = self.clients.get(client);
        found.map_or(&[], |client| client.rooms.as_slice())
    }

    fn create_room(&mut self, name: &str) -> RoomId {
        let name = self.room_names.entry(name.as_bytes());
        self.long_name_bytes += long_bytes(&name);
        let room = self.rooms.insert(Room { name, members: List::default() });
        self.room_names.link(&mut self.rooms, room);
        room
    }

    /// Takes one member out of both lists. The last of each list moves into the gap, and is told where it is now.
    fn remove_member(&mut self, room: RoomId, position: u32) {
        let Some(members) = self.rooms.get_mut(room).map(|room| &mut room.members) else { return };
        let Some(removed) = members.swap_remove(position as usize) else {
            debug_assert!(false, "no member at {position}");
            return;
        };
        if let Some(moved) = members.as_slice().get(position as usize)
            && let Some(joined) = self.clients.joined_mut(moved.client, moved.place)
        {
            joined.position = position;
        }
        let is_empty = members.len() == 0;

        if let Some(rooms) = self.clients.get_mut(removed.client).map(|client| &mut client.rooms) {
            rooms.swap_remove(removed.place as usize);
            if let Some(moved) = rooms.as_slice().get(removed.place as usize)
                && let Some(other) = self.rooms.get_mut(moved.room)
                && let Some(member) = other.members.as_mut_slice().get_mut(moved.position as usize)
            {
                member.place = removed.place;
            }
        }
        if is_empty {
            self.room_names.unlink(&mut self.rooms, room);
            if let Some(room) = self.rooms.remove(room) {
                self.long_name_bytes -= long_bytes(&room.name);
            }
        }
    }

    /// Panics if the tables do not agree with each other. For tests: it looks at everything.
    pub fn check(&self) {
        let mut memberships = 0;
        for (client, record) in self.clients.iter() {
            let name = record.nickname.name();
            assert_eq!(
                self.nicknames.find(&self.clients, name),
                Some(client),
                "nickname {}",
                name.escape_ascii()
            );
            assert!(record.rooms.len() <= self.max_rooms);
            for (place, joined) in record.rooms.as_slice().iter().enumerate() {
                let member = self.members(joined.room)[joined.position as usize];
                assert_eq!(member, Member { client, place: place as u32 });
                memberships += 1;
            }
        }
        let mut long_name_bytes = 0;
        for (room, record) in self.rooms.iter() {
            assert!(record.members.len() > 0, "an empty room is removed");
            assert_eq!(self.room_names.find(&self.rooms, record.name.name()), Some(room));
            memberships -= record.members.len();
            long_name_bytes += long_bytes(&record.name);
        }
        assert_eq!(memberships, 0, "every membership stands in both tables");
        assert_eq!(self.nicknames.len(), self.clients.len());
        assert_eq!(self.room_names.len(), self.rooms.len());
        assert_eq!(self.long_name_bytes, long_name_bytes);
    }
}

/// What a name takes beyond the fixed cost of its record.
fn long_bytes(name: &Entry) -> usize {
    name.name().len().saturating_sub(UNCOUNTED_NAME_BYTES)
}
