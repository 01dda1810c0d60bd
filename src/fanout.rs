//! What the server has to say to its clients, encoded once and shared by all who get it. Knows nothing of sockets.
//!
//! What a room says is encoded once, into a *batch*. At any time at most one batch is *open*: that of the room in which
//! something was said last. We say that this room *speaks*. Each member's outbox knows up to which position of the open
//! batch it has been served (`got`). Whoever asks for something is *caught up* first: it gets queued what it has not
//! got of the batch; then its reply, and its own copy behind that. So everybody hears everything in the order in which
//! it was caused, a burst of one room leaves as one range and one `write`, and slow clients share the bytes.
//!
//! What a batch holds is *sealed* when every member has been sent it, or has it queued. A batch is *closed* when all of
//! it is sealed and nothing more will be appended. That happens before another room speaks, before somebody joins or
//! leaves that room, and before the next message once it has 64 KB. When all have been read the open batch is sealed:
//! the hub writes straight from it to members for which nothing else waits, and queues it for the others. Then it is
//! closed too, unless slow members still wait for it.
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

use crate::batch::{Batch, Memory};
use crate::budget::Budget;
use crate::chat::{Chat, ClientId, RoomId};
use crate::outbox::Outbox;

/// A batch that has grown to this size is closed, and another begun.
const BATCH_BYTES: u32 = 64 << 10;

/// Outboxes and batches are kept for their next use, of each kind so many bytes: so some 4,000 clients can talk in each
/// turn, and nothing is allocated.
const SPARE_BYTES: usize = 2 << 20;

/// None that is larger is kept, so that a few do not take the place of many.
const SPARE_BYTES_EACH: usize = 16 << 10;

/// All lists here have room for so many from the start, low in the heap: one that has grown in a burst would keep all
/// that is below it from going back to the system.
const RESERVED: usize = 1024;

/// The open batch.
#[derive(Debug)]
struct Open {
    /// The room that speaks.
    room: RoomId,
    batch: Batch,
    /// What stands before this is sealed.
    base: u32,
}

/// Things that are kept for their next use, each with its size in bytes.
#[derive(Debug)]
struct Spares<T> {
    kept: Vec<(T, usize)>,
    bytes: usize,
}

impl<T> Spares<T> {
    fn new() -> Self {
        Spares { kept: Vec::with_capacity(RESERVED), bytes: 0 }
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.kept.shrink_to(RESERVED);
        self.bytes = 0;
    }

    fn take(&mut self) -> Option<T> {
        let (thing, bytes) = self.kept.pop()?;
        self.bytes -= bytes;
        Some(thing)
    }

    fn keep(&mut self, thing: T, bytes: usize) {
        if bytes <= SPARE_BYTES_EACH && self.bytes + bytes <= SPARE_BYTES {
            self.bytes += bytes;
            self.kept.push((thing, bytes));
        }
    }
}

/// The outboxes of all clients, and the batch of the room that speaks.
#[derive(Debug)]
pub struct Fanout {
    /// By client: what waits for it, if anything does.
    outboxes: Vec<Option<Box<Outbox>>>,
    spare_outboxes: Spares<Box<Outbox>>,
    open: Option<Open>,
    /// Batches that were closed in this turn.
    closed: Vec<Batch>,
    spare_batches: Spares<Batch>,
    /// Those to be written to, in order. An entry can be out of date; what counts is the flag in the outbox.
    to_write: VecDeque<ClientId>,
    memory: Memory,
    /// What this turn has done so far, and whether it may do more.
    pub budget: Budget,
}

impl Fanout {
    /// Nothing to say. `memory` counts what is allocated.
    pub fn new(memory: &Memory) -> Self {
        Fanout {
            outboxes: Vec::with_capacity(RESERVED),
            spare_outboxes: Spares::new(),
            open: None,
            closed: Vec::with_capacity(RESERVED),
            spare_batches: Spares::new(),
            to_write: VecDeque::with_capacity(RESERVED),
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
        // As a rule the reply has just done this. But where a message comes back later than its reply was given, as it
        // can in a cluster, others may have spoken between the two.
        self.catch_up(chat, sender);
        let (members, is_member) = (chat.members(room).len(), chat.is_member(sender, room));
        if is_member && members == 1 {
            // Nobody shares it. One `write` then takes reply and message together: 126 ns instead of 145 in user space.
            return self.outbox(sender).line(write);
        }
        if self.open.as_ref().is_none_or(|open| open.room != room || open.batch.end() >= BATCH_BYTES) {
            self.close(chat);
            let batch = self.spare_batches.take().unwrap_or_else(|| Batch::new(&self.memory));
            self.open = Some(Open { room, batch, base: 0 });
        }
        let Some(open) = &self.open else { return };
        let (batch, base) = (open.batch.clone(), open.base);
        let said = batch.append(write);
        self.budget.spend_bytes(said.len() as u64 * members as u64);
        if is_member {
            self.outbox(sender).range(&batch, base, said.end, true);
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

    /// What the room that speaks has said and is not sealed: the room, the batch, and from where to where. From here on
    /// it counts as sealed: the caller sends it to each member, or queues it.
    pub fn take_unsealed(&mut self) -> Option<(RoomId, Batch, u32, u32)> {
        let open = self.open.as_mut()?;
        let end = open.batch.end();
        let start = std::mem::replace(&mut open.base, end);
        (start < end).then(|| (open.room, open.batch.clone(), start, end))
    }

    /// Queues for a member `start..end` of a batch, less what it has got. `start` can be where a direct write stopped.
    pub fn queue_range(&mut self, member: ClientId, batch: &Batch, start: u32, end: u32) {
        let outbox = self.outbox(member);
        outbox.range(batch, start, end, false);
        outbox.got = 0;
    }

    /// The room that speaks, if one does.
    pub fn speaking(&self) -> Option<RoomId> {
        self.open.as_ref().map(|open| open.room)
    }

    /// Seals and closes the open batch. To be called also before a member of the room that speaks comes or goes: who is
    /// in the room now gets what was said until now.
    pub fn close(&mut self, chat: &Chat) {
        if let Some((room, batch, start, end)) = self.take_unsealed() {
            let members = chat.members(room);
            self.budget.spend_pieces(members.len());
            for &member in members {
                self.queue_range(member, &batch, start, end);
            }
        }
        self.closed.extend(self.open.take().map(|open| open.batch));
    }

    /// Everybody has been written to. Batches that nobody waits for are used again. The batch of the room that spoke
    /// last stays open where it has slow members: what the room says next then makes their ranges longer, and no new
    /// ones.
    pub fn end_of_flush(&mut self, chat: &Chat) {
        debug_assert!(self.open.as_ref().is_none_or(|open| open.base == open.batch.end()));
        match &self.open {
            Some(open) if open.batch.handles() > 1 && open.batch.end() < BATCH_BYTES => open.batch.shrink(),
            _ => self.close(chat),
        }
        for batch in self.closed.drain(..) {
            if batch.handles() > 1 {
                batch.shrink();
            } else {
                let bytes = batch.reset();
                self.spare_batches.keep(batch, bytes);
            }
        }
    }

    /// The next client to be written to.
    pub fn next_to_write(&mut self) -> Option<ClientId> {
        while let Some(client) = self.to_write.pop_front() {
            if let Some(outbox) = self.outbox_mut(client)
                && std::mem::take(&mut outbox.is_scheduled)
            {
                return Some(client);
            }
        }
        None
    }

    /// Whether anybody is still to be written to.
    pub fn has_to_write(&self) -> bool {
        !self.to_write.is_empty()
    }

    /// The client is to be written to. It has an outbox then, which can be empty.
    pub fn schedule_write(&mut self, client: ClientId) {
        self.outbox(client);
    }

    /// The outbox of a client, if it has one, to be changed. Does not schedule a write.
    pub fn outbox_mut(&mut self, client: ClientId) -> Option<&mut Outbox> {
        self.outboxes.get_mut(client as usize)?.as_deref_mut()
    }

    /// The transport of a client holds so many bytes, perhaps of its own: an answer to a ping. They go out at the end of the
    /// turn, or count with what waits until there is room.
    pub fn transport_holds(&mut self, client: ClientId, bytes: usize, has_room: bool) {
        if bytes > 0 && has_room {
            self.schedule_write(client);
        } else if let Some(outbox) = self.outbox_mut(client).filter(|_| bytes > 0) {
            outbox.set_held(bytes);
        }
    }

    /// The outbox of a client, if it has one. It can be empty: a write can be scheduled for what the
    /// transport holds.
    pub fn waiting(&self, client: ClientId) -> Option<&Outbox> {
        self.outboxes.get(client as usize)?.as_deref()
    }

    /// Nothing waits for this client any more, or it has gone: it has no outbox.
    pub fn release(&mut self, client: ClientId) {
        if let Some(mut outbox) = self.outboxes.get_mut(client as usize).and_then(Option::take) {
            let bytes = outbox.reset();
            self.spare_outboxes.keep(outbox, bytes);
        }
    }

    /// Gives memory back: all clients have a lower number than this.
    pub fn shrink(&mut self, clients: usize) {
        if self.outboxes.len() > RESERVED && clients < self.outboxes.len() / 4 {
            self.outboxes.truncate(clients);
            self.outboxes.shrink_to(RESERVED);
        }
    }

    /// Keeps nothing for its next use.
    pub fn drop_spares(&mut self) {
        self.spare_outboxes.clear();
        self.spare_batches.clear();
        self.closed.clear();
        self.closed.shrink_to(RESERVED);
        self.to_write.shrink_to(RESERVED);
    }

    /// The client's outbox, made if need be. A write to the client is scheduled then.
    fn outbox(&mut self, client: ClientId) -> &mut Outbox {
        let index = client as usize;
        if self.outboxes.len() <= index {
            self.outboxes.resize_with(index + 1, || None);
        }
        let Fanout { outboxes, spare_outboxes, to_write, memory, .. } = self;
        let outbox = outboxes[index]
            .get_or_insert_with(|| spare_outboxes.take().unwrap_or_else(|| Box::new(Outbox::new(memory))));
        if !std::mem::replace(&mut outbox.is_scheduled, true) {
            to_write.push_back(client);
        }
        outbox
    }

    /// Panics if anything does not add up, between turns. Bytes that the outboxes and their batches take. For tests.
    pub fn check(&self) -> usize {
        let mut batches = std::collections::HashMap::new();
        let mut bytes = 0;
        for outbox in self.outboxes.iter().flatten() {
            bytes += outbox.check(&mut batches);
            assert_eq!(outbox.got, 0, "all that was said is queued");
        }
        bytes + batches.values().sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
