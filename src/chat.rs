//! Who is who and who is where: the nickname table and the room table. No I/O, no JSON, no clock.
//!
//! A client is a number that the caller chooses: the hub uses the slot of the connection, so that a walk over a room's
//! members leads straight to their connections. Names are opaque here. [`crate::protocol`] sees to it that equal names
//! are equal byte for byte; they are kept as bytes because they are only compared, and copied into messages.
//!
//! The tables are plain: records in vectors and a slab, and a `HashMap` from the name to the number for each of the
//! two. Only one thing is more than that: a client's membership knows its *position* in the room's list of members, so
//! that leaving a room of thousands does not search through it.

use std::collections::HashMap;
use std::rc::Rc;

use slab::Slab;

use crate::heap::NEVER_KEPT_ASIDE;

/// A client: the caller's number for it.
pub type ClientId = u32;

/// A room, until it is removed.
pub type RoomId = u32;

/// The tables have room for so many clients from the start, if so many may come. Growing to here one by one, a single
/// insertion would take 14 ms; memory that is not yet used is not yet taken from the system.
const RESERVED_CLIENTS_MAX: usize = 32_768;

/// Of a room's name, so many bytes are taken as part of the fixed cost of a room.
const UNCOUNTED_NAME_BYTES: usize = 64;

/// When more large names than this were there at once and have gone, memory is worth giving back to the system.
const MANY_LARGE_NAMES: usize = 64;

/// A list for so many rooms may stay when it is not needed.
const FEW_ROOMS: usize = 8;

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

#[derive(Debug)]
struct Client {
    nickname: Rc<[u8]>,
    memberships: Vec<Membership>,
}

/// A room that a client is in.
#[derive(Clone, Copy, Debug)]
struct Membership {
    room: RoomId,
    /// Where the client stands in the room's list.
    position: u32,
}

#[derive(Debug)]
struct Room {
    name: Rc<[u8]>,
    members: Vec<ClientId>,
}

/// The tables.
#[derive(Debug)]
pub struct Chat {
    /// By number.
    clients: Vec<Option<Client>>,
    rooms: Slab<Room>,
    nicknames: HashMap<Rc<[u8]>, ClientId>,
    room_names: HashMap<Rc<[u8]>, RoomId>,
    /// How the nicknames of guests begin; their number follows.
    guest_prefix: String,
    /// The number of the last guest.
    guests: u64,
    long_name_bytes: usize,
    /// Rooms with a name of at least [`NEVER_KEPT_ASIDE`].
    large_names: usize,
    /// They were more than [`MANY_LARGE_NAMES`] since [`Chat::long_names_have_gone`] said so.
    were_many: bool,
    max_rooms: usize,
    reserved: usize,
}

impl Chat {
    /// Empty tables, for so many clients, each of which may be in `max_rooms` rooms at once.
    pub fn new(max_clients: usize, max_rooms: usize) -> Self {
        let reserved = max_clients.min(RESERVED_CLIENTS_MAX);
        Chat {
            clients: Vec::with_capacity(reserved),
            rooms: Slab::with_capacity(reserved / 8),
            nicknames: HashMap::with_capacity(reserved),
            room_names: HashMap::with_capacity(reserved / 8),
            guest_prefix: "guest-".into(),
            guests: 0,
            long_name_bytes: 0,
            large_names: 0,
            were_many: false,
            max_rooms,
            reserved,
        }
    }

    /// Guests who come from here on are called this and a number.
    #[cfg(feature = "cluster")]
    pub fn set_guest_prefix(&mut self, prefix: String) {
        self.guest_prefix = prefix;
    }

    /// A new client, which gets the next nickname of the form `guest-N` that nobody has.
    pub fn connect(&mut self, client: ClientId) {
        let nickname: Rc<[u8]> = loop {
            self.guests += 1;
            let nickname = format!("{}{}", self.guest_prefix, self.guests);
            if !self.nicknames.contains_key(nickname.as_bytes()) {
                break nickname.as_bytes().into();
            }
        };
        self.nicknames.insert(nickname.clone(), client);
        let index = client as usize;
        if self.clients.len() <= index {
            self.clients.resize_with(index + 1, || None);
        }
        let before = self.clients[index].replace(Client { nickname, memberships: Vec::new() });
        debug_assert!(before.is_none(), "client {client} is there already");
    }

    /// The client goes: it has left its rooms, and its nickname is free.
    pub fn disconnect(&mut self, client: ClientId) {
        while let Some(last) = self.memberships(client).last().copied() {
            self.remove_member(client, last);
        }
        if let Some(gone) = self.clients.get_mut(client as usize).and_then(Option::take) {
            self.nicknames.remove(&gone.nickname);
        }
        while matches!(self.clients.last(), Some(None)) {
            self.clients.pop();
        }
        if is_sparse(self.nicknames.len(), self.nicknames.capacity(), self.reserved) {
            self.nicknames.shrink_to(self.reserved);
            self.clients.shrink_to(self.reserved);
        }
    }

    /// The client takes another nickname; the old one is free at once.
    pub fn login(&mut self, client: ClientId, nickname: &str) -> Result<(), Refusal> {
        let nickname = nickname.as_bytes();
        match self.nicknames.get(nickname) {
            Some(&holder) if holder == client => return Ok(()),
            Some(_) => return Err(Refusal::NicknameInUse),
            None => {}
        }
        if let Some(record) = self.client_mut(client) {
            let new: Rc<[u8]> = nickname.into();
            let old = std::mem::replace(&mut record.nickname, new.clone());
            self.nicknames.remove(&old);
            self.nicknames.insert(new, client);
        }
        Ok(())
    }

    /// The client subscribes to a room, which is created if it is not there. To join twice changes nothing.
    pub fn join(&mut self, client: ClientId, name: &str) -> Result<(), Refusal> {
        let found = self.find_room(name);
        if found.is_some_and(|room| self.is_member(client, room)) {
            return Ok(());
        }
        if self.memberships(client).len() >= self.max_rooms {
            return Err(Refusal::TooManyRooms);
        }
        let room = found.unwrap_or_else(|| self.create_room(name));
        if let (Some(record), Some(Room { members, .. })) = (
            self.clients.get_mut(client as usize).and_then(Option::as_mut),
            self.rooms.get_mut(room as usize),
        ) {
            let memberships = &mut record.memberships;
            let wanted = if found.is_none() { least_capacity::<Membership>(name.as_bytes()) } else { 0 };
            memberships.reserve_exact(wanted.saturating_sub(memberships.len()));
            memberships.push(Membership { room, position: members.len() as u32 });
            members.push(client);
        }
        Ok(())
    }

    /// The client unsubscribes. A room left empty is removed.
    pub fn leave(&mut self, client: ClientId, name: &str) -> Result<(), Refusal> {
        let room = self.find_room(name).ok_or(Refusal::RoomNotFound)?;
        let membership = self.memberships(client).iter().find(|membership| membership.room == room).copied();
        self.remove_member(client, membership.ok_or(Refusal::NotInThisRoom)?);
        Ok(())
    }

    /// The room of that name, asked for by this client. A client that is in one room usually talks there, and to compare
    /// that name takes half the time of a look into the table.
    pub fn find_room_for(&self, client: ClientId, name: &str) -> Option<RoomId> {
        match self.memberships(client) {
            [only] if self.room_name(only.room) == name.as_bytes() => Some(only.room),
            _ => self.find_room(name),
        }
    }

    /// The room of that name.
    pub fn find_room(&self, name: &str) -> Option<RoomId> {
        self.room_names.get(name.as_bytes()).copied()
    }

    /// The name of a room; empty for one that does not exist.
    pub fn room_name(&self, room: RoomId) -> &[u8] {
        self.rooms.get(room as usize).map_or(&[], |room| &room.name)
    }

    /// Whether the client is in the room. Looks through the shorter of the two lists that say so.
    pub fn is_member(&self, client: ClientId, room: RoomId) -> bool {
        let (memberships, members) = (self.memberships(client), self.members(room));
        if memberships.len() <= members.len() {
            memberships.iter().any(|membership| membership.room == room)
        } else {
            members.contains(&client)
        }
    }

    /// The members of a room, each once, in no order that means anything.
    pub fn members(&self, room: RoomId) -> &[ClientId] {
        self.rooms.get(room as usize).map_or(&[], |room| &room.members)
    }

    /// The rooms that a client is in.
    pub fn rooms_of(&self, client: ClientId) -> impl Iterator<Item = RoomId> + '_ {
        self.memberships(client).iter().map(|membership| membership.room)
    }

    /// Whether the client is in as many rooms as it may be.
    #[cfg(feature = "cluster")]
    pub fn has_all_rooms(&self, client: ClientId) -> bool {
        self.memberships(client).len() >= self.max_rooms
    }

    /// The client's nickname; empty for one that is not connected.
    pub fn nickname(&self, client: ClientId) -> &[u8] {
        self.client(client).map_or(&[], |client| &client.nickname)
    }

    /// Clients connected.
    pub fn clients_len(&self) -> usize {
        self.nicknames.len()
    }

    /// Rooms that exist.
    pub fn rooms_len(&self) -> usize {
        self.rooms.len()
    }

    /// What long room names take: the one thing in these tables whose size a client chooses. In bytes.
    pub fn long_name_bytes(&self) -> usize {
        self.long_name_bytes
    }

    /// The part of [`Chat::long_name_bytes`] that goes with this client, if nobody else is in its rooms.
    pub fn long_name_bytes_of(&self, client: ClientId) -> usize {
        self.rooms_of(client).map(|room| long_bytes(self.room_name(room))).sum()
    }

    /// Whether many large names were there, and all of them have gone. Says so once.
    pub fn long_names_have_gone(&mut self) -> bool {
        let have_gone = self.were_many && self.large_names == 0;
        self.were_many &= !have_gone;
        have_gone
    }

    /// Makes the lists anew that have grown while many large names were there: what is left of them may lie above all that
    /// was freed. The allocator should have [settled](crate::heap) before, so that the new ones lie low.
    pub fn renew_lists(&mut self) {
        // They may have grown, or have been made smaller again on the way.
        if self.rooms.len() <= self.reserved / 8 {
            self.rooms = std::mem::take(&mut self.rooms).into_iter().collect();
            self.room_names = std::mem::take(&mut self.room_names).into_iter().collect();
        }
        for memberships in self.clients.iter_mut().flatten().map(|client| &mut client.memberships) {
            if memberships.capacity() > FEW_ROOMS.max(4 * memberships.len()) {
                *memberships = memberships.to_vec();
            }
        }
    }

    fn client(&self, client: ClientId) -> Option<&Client> {
        self.clients.get(client as usize)?.as_ref()
    }

    fn client_mut(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(client as usize)?.as_mut()
    }

    fn memberships(&self, client: ClientId) -> &[Membership] {
        self.client(client).map_or(&[], |client| &client.memberships)
    }

    fn create_room(&mut self, name: &str) -> RoomId {
        let name: Rc<[u8]> = name.as_bytes().into();
        self.long_name_bytes += long_bytes(&name);
        self.large_names += usize::from(is_large(&name));
        self.were_many |= self.large_names > MANY_LARGE_NAMES;
        let members = Vec::with_capacity(least_capacity::<ClientId>(&name));
        let room = self.rooms.insert(Room { name: name.clone(), members }) as RoomId;
        self.room_names.insert(name, room);
        room
    }

    /// Takes a member out of both lists. The last of each list moves into the gap.
    fn remove_member(&mut self, client: ClientId, Membership { room, position }: Membership) {
        let Some(Room { members, .. }) = self.rooms.get_mut(room as usize) else { return };
        debug_assert_eq!(members.get(position as usize), Some(&client));
        members.swap_remove(position as usize);
        let (moved, is_empty) = (members.get(position as usize).copied(), members.is_empty());
        if members.capacity() > 64 && members.len() < members.capacity() / 4 {
            members.shrink_to(2 * members.len());
        }
        if let Some(record) = self.client_mut(client) {
            let memberships = &mut record.memberships;
            // From the back: a client that goes leaves its last room first, again and again.
            if let Some(index) = memberships.iter().rposition(|membership| membership.room == room) {
                memberships.swap_remove(index);
            }
            if memberships.is_empty() && memberships.capacity() > FEW_ROOMS {
                *memberships = Vec::new();
            }
        }
        let moved = moved.and_then(|moved| self.client_mut(moved));
        if let Some(record) = moved
            && let Some(membership) = record.memberships.iter_mut().find(|it| it.room == room)
        {
            membership.position = position;
        }
        if is_empty {
            self.remove_room(room);
        }
    }

    fn remove_room(&mut self, room: RoomId) {
        let Some(removed) = self.rooms.try_remove(room as usize) else { return };
        self.long_name_bytes -= long_bytes(&removed.name);
        self.large_names -= usize::from(is_large(&removed.name));
        self.room_names.remove(&removed.name);
        let reserved = self.reserved / 8;
        if is_sparse(self.room_names.len(), self.room_names.capacity(), reserved) {
            self.room_names.shrink_to(reserved);
        }
        if self.rooms.is_empty() && self.rooms.capacity() > 2 * reserved {
            self.rooms = Slab::with_capacity(reserved);
        }
    }

    /// Panics if the tables do not agree with each other. For tests: it looks at everything.
    pub fn check(&self) {
        let (mut clients, mut memberships) = (0, 0);
        for (client, record) in self.clients.iter().enumerate() {
            let Some(record) = record else { continue };
            clients += 1;
            assert_eq!(self.nicknames.get(&record.nickname), Some(&(client as ClientId)));
            assert!(record.memberships.len() <= self.max_rooms);
            for membership in &record.memberships {
                assert_eq!(self.members(membership.room)[membership.position as usize], client as ClientId);
                memberships += 1;
            }
        }
        let (mut long_name_bytes, mut large_names) = (0, 0);
        for (room, record) in &self.rooms {
            assert!(!record.members.is_empty(), "an empty room is removed");
            assert_eq!(self.room_names.get(&record.name), Some(&(room as RoomId)));
            memberships -= record.members.len();
            long_name_bytes += long_bytes(&record.name);
            large_names += usize::from(is_large(&record.name));
        }
        assert_eq!(memberships, 0, "every membership stands in both tables");
        assert_eq!((self.nicknames.len(), self.room_names.len()), (clients, self.rooms.len()));
        assert_eq!((self.long_name_bytes, self.large_names), (long_name_bytes, large_names));
    }
}

/// What a name takes beyond the fixed cost of its record.
fn long_bytes(name: &[u8]) -> usize {
    let list_bytes = if is_large(name) { NEVER_KEPT_ASIDE } else { 0 };
    name.len().saturating_sub(UNCOUNTED_NAME_BYTES) + list_bytes
}

/// The lists that are made together with a long name have this capacity from the start: a small block of the heap
/// between long ones could keep them from going back to the system, see [`NEVER_KEPT_ASIDE`].
fn least_capacity<T>(name: &[u8]) -> usize {
    if is_large(name) { NEVER_KEPT_ASIDE.div_ceil(size_of::<T>()) } else { 0 }
}

fn is_large(name: &[u8]) -> bool {
    name.len() >= NEVER_KEPT_ASIDE
}

/// Whether a table has grown far beyond what was reserved for it, and is nearly empty again.
fn is_sparse(len: usize, capacity: usize, reserved: usize) -> bool {
    capacity > 2 * reserved.max(64) && len < capacity / 8
}

#[cfg(test)]
mod tests;
