//! What the server has to say to its clients, encoded once and shared by all who get it. Knows nothing of sockets.
//!
//! What a room says is encoded once, into the *batch* of the room that speaks. Whoever asks for something is
//! *caught up* first: it gets queued what it has not got of the batch; then its reply, and its own copy
//! behind that. So everybody hears everything in the order in which it was caused, a burst of one room leaves
//! as one range and one `write`, and slow clients share the bytes.
//!
//! A batch is *sealed* when every member has been sent all of it, or has it queued. It is *closed* when it is
//! sealed and nothing more is appended to it. It is closed when another room speaks, when somebody joins or
//! leaves that room, and before the next message once it has 64 KB. When all have been read it is sealed: the
//! hub writes straight from the batch to members for which nothing else waits, and queues it for the others.
//! Then it is closed too, unless slow members still wait for it.
//!
//! An example. Ann, Bob and Cem are in one room. In one turn Ann sends "hi", Bob sends "hello", and Ann sends "bye":
//!
//! ```text
//! request          the batch             Ann's queue              Bob's queue
//! Ann: "hi"        hi                    RESPONSE, hi
//! Bob: "hello"     hi hello              RESPONSE, hi             hi, RESPONSE, hello
//! Ann: "bye"       hi hello bye          RESPONSE, hi, hello,     hi, RESPONSE, hello
//!                                        RESPONSE, bye
//! all are read     (sealed)              nothing is missing       + bye
//! ```
//!
//! Each word of a queue but RESPONSE is a range of the one batch. Cem has no queue: "hi hello bye" is written
//! to it straight from the batch. Bob was caught up ("hi") before he got his reply: that is what keeps the
//! order.

use std::collections::VecDeque;

use crate::batch::{Batch, Batches, Memory};
use crate::budget::Budget;
use crate::chat::{Chat, ClientId, RoomId};
use crate::outbox::Outbox;

/// A batch that has grown to this size is closed, and another begun.
const BATCH_BYTES: u32 = 64 << 10;

/// How many outboxes are kept for their next use: so many clients can talk in each turn, and nothing is allocated.
const SPARES_MAX: usize = 2048;

/// So many of them may keep large buffers, for clients that ask for much in each turn.
const LARGE_SPARES_MAX: usize = 64;

/// Nothing is kept for its next use while so much waits. It would lie in the heap above what waits, and when that is
/// freed it could not go back to the system.
const KEEP_NOTHING_BYTES: usize = 256 << 10;

/// How many batches are kept for their next use.
const SPARE_BATCHES_MAX: usize = 512;

/// The room that speaks.
#[derive(Debug)]
struct Open {
    room: RoomId,
    batch: Batch,
    /// What stands before this is sealed.
    base: u32,
    /// Slow members have kept it open. It is not used again, for the reason given at [`KEEP_NOTHING_BYTES`].
    has_waited: bool,
}

/// The outboxes of all clients, and the batch of the room that speaks.
#[derive(Debug)]
pub struct Fanout {
    /// By client: what waits for it, if anything does.
    outboxes: Vec<Option<Box<Outbox>>>,
    /// Outboxes for their next use. The large ones are at the back, and used first: who comes first in a turn is
    /// somebody who asks for something, and they need them.
    spares: VecDeque<Box<Outbox>>,
    large_spares: usize,
    /// Whether more than [`KEEP_NOTHING_BYTES`] waited after the last turn.
    much_waits: bool,
    open: Option<Open>,
    /// Batches that were closed in this turn.
    closed: Vec<Batch>,
    batches: Batches,
    spare_batches: Vec<Batch>,
    /// To be written to. An entry can be out of date; what counts is the flag in the outbox.
    list: VecDeque<ClientId>,
    memory: Memory,
    /// What this turn may still do.
    pub budget: Budget,
}

impl Fanout {
    /// Nothing to say. `memory` counts what is allocated.
    pub fn new(memory: &Memory) -> Self {
        Fanout {
            outboxes: Vec::new(),
            spares: VecDeque::new(),
            large_spares: 0,
            much_waits: false,
            open: None,
            closed: Vec::new(),
            batches: Batches::new(memory),
            spare_batches: Vec::new(),
            list: VecDeque::new(),
            memory: memory.clone(),
            budget: Budget::default(),
        }
    }

    /// A line for one client alone, which `write` writes: a reply, or its last words.
    pub fn reply(&mut self, chat: &Chat, client: ClientId, write: impl FnOnce(&mut Vec<u8>)) {
        self.catch_up(chat, client);
        self.outbox(client).line(write);
    }

    /// A message to a room, which `write` writes. The reply to its sender goes first, as a rule just before.
    pub fn say(&mut self, chat: &Chat, sender: ClientId, room: RoomId, write: impl FnOnce(&mut Vec<u8>)) {
        let members = chat.members(room);
        let own = chat.is_member(sender, room);
        if own && members.len() == 1 {
            self.catch_up(chat, sender);
            // Nobody shares it. One `write` then takes reply and message together: 126 ns instead of 145 in user space.
            return self.outbox(sender).line(write);
        }
        if self.open.as_ref().is_none_or(|open| open.room != room || open.batch.end() >= BATCH_BYTES) {
            self.close(chat);
            let batch = self.spare_batches.pop().unwrap_or_else(|| self.batches.create());
            self.open = Some(Open { room, batch, base: 0, has_waited: false });
        }
        // As a rule this does nothing: the reply has just caught the sender up. Where a message comes back
        // later than its reply was given, as it can in a cluster, others may have spoken between the two.
        // What they said is queued here, so that it does not count as the sender's own.
        self.catch_up(chat, sender);
        let Some(open) = &self.open else { return };
        let (batch, base, start) = (open.batch.clone(), open.base, open.batch.end());
        batch.append(write);
        let end = batch.end();
        self.budget.spend_bytes((end - start) as usize * members.len());
        if own {
            self.outbox(sender).range(&batch, base, end, true);
        }
    }

    /// If the client is in the room that speaks, queues what it has not got of it.
    fn catch_up(&mut self, chat: &Chat, client: ClientId) {
        let Some(open) = &self.open else { return };
        let (end, base) = (open.batch.end(), open.base);
        if end == base || !chat.is_member(client, open.room) {
            return;
        }
        let batch = open.batch.clone();
        self.outbox(client).range(&batch, base, end, false);
    }

    /// Seals: queues what the room that speaks has said for each of its members.
    fn seal(&mut self, chat: &Chat) {
        let Some(open) = &mut self.open else { return };
        let (batch, room, base, end) = (open.batch.clone(), open.room, open.base, open.batch.end());
        open.base = end;
        if base == end {
            return;
        }
        let members = chat.members(room);
        self.budget.spend_pieces(members.len());
        for &member in members {
            self.queue_range(member, &batch, base, end);
        }
    }

    /// What the room that speaks has said and not sealed: the room, the batch, and from where to where.
    pub fn unsealed(&self) -> Option<(RoomId, Batch, u32, u32)> {
        let open = self.open.as_ref()?;
        let (base, end) = (open.base, open.batch.end());
        (base < end).then(|| (open.room, open.batch.clone(), base, end))
    }

    /// Queues what is not sealed for a member.
    pub fn queue_range(&mut self, member: ClientId, batch: &Batch, base: u32, end: u32) {
        let outbox = self.outbox(member);
        outbox.range(batch, base, end, false);
        outbox.got = 0;
    }

    /// A member has been sent a part of what is not sealed, and can be sent no more now: the rest waits for it.
    pub fn queue_rest(&mut self, member: ClientId, batch: &Batch, start: u32, end: u32) {
        self.outbox(member).rest(batch, start, end);
    }

    /// What the room that speaks has said is sealed from here on: every member has been sent it, or has it
    /// queued.
    pub fn mark_sealed(&mut self) {
        if let Some(open) = &mut self.open {
            open.base = open.batch.end();
        }
    }

    /// Closes the batch of the room that speaks.
    fn close(&mut self, chat: &Chat) {
        self.seal(chat);
        self.closed.extend(self.open.take().map(|open| open.batch));
    }

    /// Whether a room has said something that is not sealed yet, or may go on with its batch.
    pub fn is_speaking(&self) -> bool {
        self.open.is_some()
    }

    /// To be called before a member comes or goes: who is in the room now gets what was said until now.
    /// Closes the batch, if it is this room's.
    pub fn seal_room(&mut self, chat: &Chat, room: RoomId) {
        if self.open.as_ref().is_some_and(|open| open.room == room) {
            self.close(chat);
        }
    }

    /// Everybody has been written to. Batches that nobody waits for are used again. The batch of the room that spoke
    /// last stays open where it has slow members: what the room says next then makes their ranges longer, and no new
    /// ones.
    pub fn end_of_flush(&mut self, chat: &Chat) {
        debug_assert!(self.unsealed().is_none());
        match &mut self.open {
            Some(open) if open.batch.handles() > 1 && open.batch.end() < BATCH_BYTES => {
                open.batch.shrink();
                open.has_waited = true;
            }
            Some(open) if open.has_waited => self.open = None,
            _ => self.close(chat),
        }
        for batch in self.closed.drain(..) {
            if batch.handles() > 1 {
                batch.shrink();
            } else if !self.much_waits && self.spare_batches.len() < SPARE_BATCHES_MAX {
                // A few may be large, for a room that is busy; the others are for many rooms.
                batch.reset(if self.spare_batches.len() < 4 { 2 * BATCH_BYTES } else { 4 << 10 });
                self.spare_batches.push(batch);
            }
        }
        self.much_waits = self.memory.bytes() > KEEP_NOTHING_BYTES;
        self.closed.shrink_to(4 * SPARE_BATCHES_MAX);
        self.list.shrink_to(4 * SPARES_MAX);
    }

    /// The next client to be written to.
    pub fn next_to_write(&mut self) -> Option<ClientId> {
        while let Some(client) = self.list.pop_front() {
            if let Some(outbox) = self.outbox_mut(client)
                && std::mem::take(&mut outbox.listed)
            {
                return Some(client);
            }
        }
        None
    }

    /// Whether anybody is still to be written to.
    pub fn has_list(&self) -> bool {
        !self.list.is_empty()
    }

    /// Puts a client on the list of those to be written to. It has an outbox then, which can be empty.
    pub fn list(&mut self, client: ClientId) {
        self.outbox(client);
    }

    /// The outbox of a client, if it has one, to be changed. Does not put the client on the list.
    pub fn outbox_mut(&mut self, client: ClientId) -> Option<&mut Outbox> {
        self.outboxes.get_mut(client as usize)?.as_deref_mut()
    }

    /// The transport of a client holds so many bytes, perhaps of its own: an answer to a ping. They go out at the end of the
    /// turn, or count with what waits until there is room.
    pub fn transport_holds(&mut self, client: ClientId, bytes: usize, has_room: bool) {
        if bytes > 0 && has_room {
            self.list(client);
        } else if let Some(outbox) = self.outbox_mut(client).filter(|_| bytes > 0) {
            outbox.set_held(bytes);
        }
    }

    /// The outbox of a client, if it has one. It can be empty: a client can be on the list for what its
    /// transport holds.
    pub fn waiting(&self, client: ClientId) -> Option<&Outbox> {
        self.outboxes.get(client as usize)?.as_deref()
    }

    /// Nothing waits for this client any more, or it has gone: it has no outbox.
    pub fn release(&mut self, client: ClientId) {
        let Some(mut outbox) = self.outboxes.get_mut(client as usize).and_then(Option::take) else { return };
        if self.spares.len() >= SPARES_MAX || outbox.has_waited() || self.much_waits {
            return;
        }
        outbox.reset(self.large_spares < LARGE_SPARES_MAX);
        if outbox.is_large() {
            self.large_spares += 1;
            self.spares.push_back(outbox);
        } else {
            self.spares.push_front(outbox);
        }
    }

    /// Gives memory back: all clients have a lower number than this.
    pub fn shrink(&mut self, clients: usize) {
        if self.outboxes.len() > 1024 && clients < self.outboxes.len() / 4 {
            self.outboxes.truncate(clients);
            self.outboxes.shrink_to_fit();
        }
    }

    /// Keeps nothing for its next use.
    pub fn drop_spares(&mut self) {
        (self.spares, self.large_spares) = (VecDeque::new(), 0);
        (self.spare_batches, self.closed) = (Vec::new(), Vec::new());
        self.list.shrink_to_fit();
    }

    /// The client's outbox, made if need be. The client is on the list then.
    fn outbox(&mut self, client: ClientId) -> &mut Outbox {
        let index = client as usize;
        if self.outboxes.len() <= index {
            self.outboxes.resize_with(index + 1, || None);
        }
        let Fanout { outboxes, spares, large_spares, list, memory, much_waits, .. } = self;
        let outbox = outboxes[index].get_or_insert_with(|| {
            let spare = spares.pop_back().unwrap_or_else(|| Box::new(Outbox::new(memory, *much_waits)));
            *large_spares -= usize::from(spare.is_large());
            spare
        });
        if !std::mem::replace(&mut outbox.listed, true) {
            list.push_back(client);
        }
        outbox
    }

    /// Panics if anything does not add up, between turns. Bytes that the outboxes and their batches take. For tests.
    pub fn check(&self) -> usize {
        let mut batches = std::collections::HashMap::new();
        let mut bytes = 0;
        for outbox in self.outboxes.iter().flatten() {
            outbox.check(&mut batches);
            assert_eq!(outbox.got, 0, "all that was said is queued");
            bytes += outbox.allocated_bytes();
        }
        bytes + batches.values().sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
