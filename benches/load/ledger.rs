//! The books: what was sent, and who has got it. Every delivery is checked here: each message once, in order, the
//! right room and author, and not one byte different from what the others got.
//!
//! For each stream (a room; or, where a protocol promises no more, a sender) there is a log of the messages that are
//! still on their way, in the order in which the first receiver got them, and for each receiver its place in that log.
//! The first delivery of a message is taken apart and compared with what was sent; all later ones must be the same
//! bytes at the same place. So "once", "in order" and "all in the same order" are one comparison.
//!
//! Knows nothing of sockets, and of time only what it is told.

use std::collections::VecDeque;

use crate::dialects::{Dialect, Frame};
use crate::fault::Fault;
use crate::message::{Message, Texts};
use crate::names::Names;

/// A message that has reached all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    pub sender: u32,
    pub room: u32,
}

/// What one delivery meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// When the message was due, in nanoseconds of the run's clock.
    pub due: u64,
    /// This was its last receiver.
    pub complete: Option<Complete>,
}

/// A client as the books see it.
struct Client {
    room: u32,
    /// The place among its room's members; `None` if it only sends.
    seat: Option<usize>,
    /// The number of its next message, of the next that somebody gets, and of the next that is answered.
    next_sent: u32,
    next_seen: u32,
    next_answered: u32,
    /// When its messages were due that nobody has got yet.
    due: VecDeque<u64>,
}

/// A message that somebody has got and somebody has not.
struct Entry {
    message: Message,
    due: u64,
    missing: u32,
    frame: Vec<u8>,
}

#[derive(Default)]
struct Stream {
    /// The number of entries that have left the log, complete.
    done: u64,
    log: VecDeque<Entry>,
    /// For each seat, how many messages of this stream it has got.
    got: Vec<u64>,
}

/// The books of one run.
pub struct Ledger {
    names: Names,
    texts: Texts,
    clients: Vec<Client>,
    /// For each room its members.
    rooms: Vec<Vec<u32>>,
    streams: Vec<Stream>,
    /// The rules of the protocol.
    one_order: bool,
    echoes: bool,
    answers: bool,
    /// Messages that are not yet complete, and sends that are not yet answered.
    under_way: u64,
    unanswered: u64,
}

impl Ledger {
    /// `text_length` is in bytes.
    pub fn new(dialect: &dyn Dialect, names: Names, text_length: usize) -> Ledger {
        Ledger {
            names,
            texts: Texts::new(text_length),
            clients: Vec::new(),
            rooms: Vec::new(),
            streams: Vec::new(),
            one_order: dialect.one_order(),
            echoes: dialect.echoes(),
            answers: dialect.answers_sends(),
            under_way: 0,
            unanswered: 0,
        }
    }

    /// Enters the next client, whose number is the count of those before it. Nothing may be under way in its room.
    pub fn enter(&mut self, room: u32, member: bool) {
        let number = self.clients.len() as u32;
        if self.rooms.len() <= room as usize {
            self.rooms.resize_with(room as usize + 1, Vec::new);
        }
        let members = &mut self.rooms[room as usize];
        let seat = member.then_some(members.len());
        if member {
            members.push(number);
        }
        let zero = VecDeque::new();
        self.clients.push(Client { room, seat, next_sent: 0, next_seen: 0, next_answered: 0, due: zero });
        let streams = if self.one_order { self.rooms.len() } else { self.clients.len() };
        self.streams.resize_with(streams.max(self.streams.len()), Stream::default);
    }

    /// The next message of this client, due at `due`, and its text. It is to be sent now.
    pub fn send(&mut self, sender: u32, due: u64) -> &[u8] {
        let client = &mut self.clients[sender as usize];
        let number = client.next_sent;
        client.next_sent += 1;
        client.due.push_back(due);
        self.under_way += 1;
        self.unanswered += u64::from(self.answers);
        self.texts.write(Message { sender, number })
    }

    /// What a request has for text; nobody gets it but in its answer.
    pub fn request(&mut self, sender: u32) -> &[u8] {
        let client = &mut self.clients[sender as usize];
        let number = client.next_sent;
        client.next_sent += 1;
        self.unanswered += 1;
        self.texts.write(Message { sender, number })
    }

    /// A reply has come; `quoted` is the text of the request that it repeats, if it does.
    pub fn answered(&mut self, client: u32, quoted: Option<&[u8]>) -> Result<(), Fault> {
        let books = &mut self.clients[client as usize];
        let number = books.next_answered;
        if number >= books.next_sent {
            return Err(Fault::Repeated(format!("a reply to client {client}, which had asked for none")));
        }
        books.next_answered += 1;
        self.unanswered -= 1;
        let Some(text) = quoted else { return Ok(()) };
        match self.texts.read(text) {
            Some(message) if message == (Message { sender: client, number }) => Ok(()),
            Some(Message { number: other, .. }) => {
                let what = format!("the reply to request {number} of client {client}; that to {other} came");
                Err(if other < number { Fault::Repeated(what) } else { Fault::Gap(what) })
            }
            None => {
                Err(Fault::Garbled(format!("a reply to client {client}: {}", String::from_utf8_lossy(text))))
            }
        }
    }

    /// A message has come to `receiver`: `frame`, whose bytes are `raw`.
    pub fn delivered(
        &mut self,
        dialect: &dyn Dialect,
        receiver: u32,
        frame: &Frame<'_>,
        raw: &[u8],
    ) -> Result<Delivered, Fault> {
        let Frame::Delivery { room, author, text } = *frame else {
            unreachable!("only deliveries are entered")
        };
        let garbled = || {
            Fault::Garbled(format!("for client {receiver}: {}", String::from_utf8_lossy(raw).escape_debug()))
        };
        let message = self.texts.read(text).ok_or_else(garbled)?;
        let books = self.clients.get(receiver as usize).ok_or_else(garbled)?;
        let seat = books.seat.ok_or_else(garbled)?;
        let sender = self.clients.get(message.sender as usize).ok_or_else(garbled)?;
        if sender.room != books.room {
            return Err(Fault::Garbled(format!(
                "client {receiver} got a message of another room: {message:?}"
            )));
        }
        let own_room = books.room;
        let stream = if self.one_order { own_room } else { message.sender };
        let at = self.place(stream, seat);
        if at == self.streams[stream as usize].log.len() {
            // Nobody has got this one yet: it is compared with what was sent.
            let named = room == dialect.room_name(self.names.room(own_room)).as_slice()
                && author.is_none_or(|author| {
                    author == dialect.author_name(self.names.client(message.sender)).as_slice()
                });
            if !named {
                return Err(garbled());
            }
            self.first(stream, receiver, message, raw)?;
        }
        self.count(stream, seat, at, receiver, message, raw)
    }

    /// How far into the log of the stream this receiver is.
    fn place(&mut self, stream: u32, seat: usize) -> usize {
        let stream = &mut self.streams[stream as usize];
        if stream.got.len() <= seat {
            // Whoever comes while nothing is under way begins with the next message, and none is done without it.
            stream.got.resize(seat + 1, stream.done);
        }
        (stream.got[seat] - stream.done) as usize
    }

    /// The first delivery of a message: it must be the sender's next, and it becomes the pattern for the others.
    fn first(&mut self, stream: u32, receiver: u32, message: Message, raw: &[u8]) -> Result<(), Fault> {
        let members = self.rooms[self.clients[receiver as usize].room as usize].len();
        let sender = &mut self.clients[message.sender as usize];
        let expected = sender.next_seen;
        if message.number != expected {
            return Err(wrong_place(receiver, Message { number: expected, ..message }, message));
        }
        let Some(due) = sender.due.pop_front() else {
            return Err(Fault::Garbled(format!("client {receiver} got {message:?}, which was never sent")));
        };
        sender.next_seen += 1;
        let own = usize::from(!self.echoes && sender.seat.is_some());
        let missing = (members - own) as u32;
        self.streams[stream as usize].log.push_back(Entry { message, due, missing, frame: raw.to_vec() });
        Ok(())
    }

    /// Compares a delivery with the first one and counts it.
    fn count(
        &mut self,
        stream: u32,
        seat: usize,
        at: usize,
        receiver: u32,
        message: Message,
        raw: &[u8],
    ) -> Result<Delivered, Fault> {
        let entry = &self.streams[stream as usize].log[at];
        if entry.message != message {
            return Err(wrong_place(receiver, entry.message, message));
        }
        if entry.frame != raw {
            let bytes = String::from_utf8_lossy(raw);
            let what = format!("client {receiver} got other bytes than the rest: {}", bytes.escape_debug());
            return Err(Fault::Garbled(what));
        }
        Ok(self.tally(stream, seat, at))
    }

    /// If the input begins with the very bytes that must come next for this receiver, because others have got them
    /// already, counts that delivery and says how long it is. Only a shortcut: for all but the first receiver of a
    /// message it spares taking the frame apart.
    pub fn foreseen(&mut self, receiver: u32, input: &[u8]) -> Option<(usize, Delivered)> {
        let client = self.clients.get(receiver as usize).filter(|_| self.one_order)?;
        let (stream, seat) = (client.room, client.seat?);
        let at = self.place(stream, seat);
        let frame = &self.streams[stream as usize].log.get(at)?.frame;
        let length = frame.len();
        input.starts_with(frame).then(|| (length, self.tally(stream, seat, at)))
    }

    /// One more receiver has got the message at this place of the stream.
    fn tally(&mut self, stream: u32, seat: usize, at: usize) -> Delivered {
        let stream = &mut self.streams[stream as usize];
        stream.got[seat] += 1;
        let Entry { message, due, ref mut missing, .. } = stream.log[at];
        *missing -= 1;
        if *missing > 0 {
            return Delivered { due, complete: None };
        }
        // Nobody can get a message before the one ahead of it, so it is always the oldest that is complete.
        stream.log.pop_front();
        stream.done += 1;
        self.under_way -= 1;
        let room = self.clients[message.sender as usize].room;
        Delivered { due, complete: Some(Complete { sender: message.sender, room }) }
    }

    /// Whether everything that was sent has come to all, and every reply too.
    pub fn settled(&self) -> bool {
        self.under_way == 0 && self.unanswered == 0
    }

    /// What is still missing, to be said when it was waited for in vain.
    pub fn missing(&self) -> Fault {
        let entry =
            self.streams.iter().enumerate().find_map(|(number, stream)| Some((number, stream.log.front()?)));
        let example = match entry {
            Some((stream, Entry { message, missing, .. })) => {
                let waiting =
                    self.streams[stream].got.iter().position(|got| *got == self.streams[stream].done);
                let room = &self.rooms[self.clients[message.sender as usize].room as usize];
                let who = waiting
                    .and_then(|seat| room.get(seat))
                    .map_or(String::new(), |who| format!(", among them client {who}"));
                format!(
                    "; message {} of client {} did not come to {missing} clients{who}",
                    message.number, message.sender
                )
            }
            None => String::new(),
        };
        let (under_way, unanswered) = (self.under_way, self.unanswered);
        Fault::Missing(format!("{under_way} messages and {unanswered} replies were still under way{example}"))
    }

    /// What the clients and rooms are called.
    pub fn names(&self) -> Names {
        self.names
    }

    /// The members of the room.
    pub fn members(&self, room: u32) -> &[u32] {
        self.rooms.get(room as usize).map_or(&[], Vec::as_slice)
    }
}

fn wrong_place(receiver: u32, expected: Message, got: Message) -> Fault {
    let Message { sender, number } = expected;
    let what = format!(
        "client {receiver} should have got message {number} of client {sender} and got {} of client {}",
        got.number, got.sender
    );
    let before = got.sender == sender && got.number < number;
    if before { Fault::Repeated(what) } else { Fault::Gap(what) }
}
