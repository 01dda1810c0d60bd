//! A client's half of the protocol: requests become bytes, and bytes become events. Knows nothing of sockets, clocks or
//! screens; whoever has a connection moves the bytes. Built with the feature `chat`.
//!
//! Replies carry no number, they come in the order of the requests. [`Client`] keeps that order, so each reply is
//! handed out together with the request that it belongs to. It also remembers the nickname and the rooms, so that after
//! a lost connection one call asks for all of them again.
//!
//! ```
//! use parlor::client::{Client, Event, Request};
//!
//! let mut client = Client::new();
//! let number = client.request(Request::Join { room: "ops".into() });
//! assert_eq!(client.output(), b"{\"action\":\"JOIN ROOM\",\"room_id\":\"ops\"}\n");
//! client.sent(client.output().len());
//!
//! let mut received = &b"{\"action\":\"RESPONSE\",\"request\":{},\"message\":\"OK\"}\n"[..];
//! let heard = client.hear(&mut received).unwrap();
//! assert_eq!(heard.event, Event::Done { number, request: Request::Join { room: "ops".into() } });
//! ```

mod line;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::mem;

use crate::lines::{Found, Lines, is_blank};
use line::ServerLine;
pub use room::Room;
use serde_json::json;

/// The longest line of the server that is taken in, in bytes. A line of a server with its default options has less than
/// 64 KiB.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// LOGIN NICK
    Login {
        /// The nickname to take.
        nickname: String,
    },
    /// JOIN ROOM
    Join {
        /// The room to join.
        room: Room,
    },
    /// LEFT ROOM
    Leave {
        /// The room to leave.
        room: Room,
    },
    /// SEND MESSAGE
    Send {
        /// The room that gets it.
        room: Room,
        /// What to say there.
        text: String,
    },
}

impl Request {
    /// The line that says so, with its line end.
    fn line(&self) -> String {
        let value = match self {
            Request::Login { nickname } => json!({"action": "LOGIN NICK", "nickname": nickname}),
            Request::Join { room } => json!({"action": "JOIN ROOM", "room_id": room.to_json()}),
            Request::Leave { room } => json!({"action": "LEFT ROOM", "room_id": room.to_json()}),
            Request::Send { room, text } => {
                json!({"action": "SEND MESSAGE", "room_id": room.to_json(), "text": text})
            }
        };
        format!("{value}\n")
    }
}

/// What the server has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was carried out.
    Done {
        /// What [`Client::request`] returned for it.
        number: u64,
        /// The request.
        request: Request,
    },
    /// A request was not carried out.
    Refused {
        /// What [`Client::request`] returned for it.
        number: u64,
        /// The request.
        request: Request,
        /// The server's words.
        why: String,
    },
    /// A message in a room.
    Message {
        /// Where.
        room: Room,
        /// Whose.
        author: String,
        /// What it says.
        text: String,
        /// It is this client's own message that comes back.
        own: bool,
    },
    /// Why the server is about to close the connection.
    LastWords(String),
    /// What no server that keeps to the protocol says. Nothing follows from it.
    Strange(Strange),
}

/// In which way something is not of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    /// The line is no JSON object with an action.
    NotProtocol,
    /// The action is none of the three that are known, or something is missing.
    NotKnown,
    /// A reply, and nothing was asked.
    NotAsked,
    /// The line is longer than [`MAX_LINE_BYTES`].
    TooLong,
}

/// An event, and the line that it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What was said.
    pub event: Event,
    /// The line as the server sent it, without its line end; empty for one that is too long.
    pub line: Vec<u8>,
}

/// One client. What belongs to a connection is forgotten by [`Client::lost`]; the nickname and the rooms stay.
#[derive(Debug, Default)]
pub struct Client {
    lines: Lines,
    output: Vec<u8>,
    /// How much of `output` is sent.
    sent: usize,
    talk: Talk,
}

/// What is remembered of what was said.
#[derive(Debug, Default)]
struct Talk {
    last_number: u64,
    /// What is not answered yet, in order.
    waiting: VecDeque<(u64, Request)>,
    /// Messages that were carried out in rooms that this connection has joined; they come back, in this order.
    coming_back: VecDeque<(Room, String)>,
    joined: HashSet<Room>,
    nickname: Option<String>,
    wanted_nickname: Option<String>,
    wanted_rooms: Vec<Room>,
}

impl Client {
    /// A client that has asked for nothing yet.
    pub fn new() -> Client {
        Client::default()
    }

    /// Asks for something, behind all that was asked before. Returns a number that comes back with the reply.
    pub fn request(&mut self, request: Request) -> u64 {
        self.output.extend_from_slice(request.line().as_bytes());
        self.talk.asked(request)
    }

    /// Bytes that wait to be sent.
    pub fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes of [`Client::output`] have been sent.
    pub fn sent(&mut self, count: usize) {
        debug_assert!(count <= self.output().len());
        self.sent = self.output.len().min(self.sent.saturating_add(count));
        // What was sent is forgotten once it is most of what is kept.
        if self.sent > self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// The next event in what is held of earlier bytes, followed by `received`, which is moved on. `None` when all of
    /// it is used up; the beginning of a line is held.
    pub fn hear(&mut self, received: &mut &[u8]) -> Option<Heard> {
        loop {
            let line = match self.lines.next(received, MAX_LINE_BYTES)? {
                Found::Line(line) => line.to_vec(),
                Found::TooLong(_) => {
                    return Some(Heard { event: Event::Strange(Strange::TooLong), line: Vec::new() });
                }
            };
            if !is_blank(&line) {
                let event = match ServerLine::parse(&line) {
                    Ok(said) => self.talk.heard(said),
                    Err(strange) => Event::Strange(strange),
                };
                return Some(Heard { event, line });
            }
        }
    }

    /// How many requests have no reply yet.
    pub fn unanswered(&self) -> usize {
        self.talk.waiting.len()
    }

    /// Whether messages of this client's own are still to come back.
    pub fn expects_own_messages(&self) -> bool {
        !self.talk.coming_back.is_empty()
    }

    /// The nickname that this connection has, if it is known. The server gives a guest's name without telling; it
    /// is learned from the first own message that comes back.
    pub fn nickname(&self) -> Option<&str> {
        self.talk.nickname.as_deref()
    }

    /// The nickname that was given to this client last, whether or not the present connection has it.
    pub fn wanted_nickname(&self) -> Option<&str> {
        self.talk.wanted_nickname.as_deref()
    }

    /// The rooms to be in, in the order in which they were asked for.
    pub fn rooms(&self) -> &[Room] {
        &self.talk.wanted_rooms
    }

    /// Whether this connection has joined the room.
    pub fn is_in(&self, room: &Room) -> bool {
        self.talk.joined.contains(room)
    }

    /// The connection is gone. Returns the requests of which nobody knows whether they were carried out.
    pub fn lost(&mut self) -> Vec<Request> {
        self.lines = Lines::default();
        self.output = Vec::new();
        self.sent = 0;
        let talk = &mut self.talk;
        talk.coming_back.clear();
        talk.joined.clear();
        talk.nickname = None;
        let unanswered: Vec<Request> =
            mem::take(&mut talk.waiting).into_iter().map(|(_, request)| request).collect();
        for request in &unanswered {
            if let Request::Login { nickname } = request {
                talk.wanted_nickname.get_or_insert_with(|| nickname.clone());
            }
        }
        unanswered
    }

    /// There is a new connection: asks for the nickname and for all rooms again.
    pub fn again(&mut self) {
        debug_assert!(self.talk.waiting.is_empty() && self.output.is_empty());
        if let Some(nickname) = self.talk.wanted_nickname.clone() {
            self.request(Request::Login { nickname });
        }
        for room in self.talk.wanted_rooms.clone() {
            self.request(Request::Join { room });
        }
    }
}

impl Talk {
    fn asked(&mut self, request: Request) -> u64 {
        match &request {
            Request::Join { room } if !self.wanted_rooms.contains(room) => {
                self.wanted_rooms.push(room.clone());
            }
            Request::Leave { room } => self.wanted_rooms.retain(|wanted| wanted != room),
            _ => {}
        }
        self.last_number += 1;
        self.waiting.push_back((self.last_number, request));
        self.last_number
    }

    fn heard(&mut self, said: ServerLine) -> Event {
        match said {
            ServerLine::Message { room, author, text } => self.message(room, author, text),
            ServerLine::Response => match self.waiting.pop_front() {
                Some((number, request)) => self.done(number, request),
                None => Event::Strange(Strange::NotAsked),
            },
            ServerLine::Error { why, of_nothing } if of_nothing && !is_reply_to_a_line(&why) => {
                Event::LastWords(why)
            }
            ServerLine::Error { why, of_nothing } => match self.waiting.pop_front() {
                Some((number, request)) => self.refused(number, request, why),
                None if of_nothing => Event::LastWords(why),
                None => Event::Strange(Strange::NotAsked),
            },
        }
    }

    fn message(&mut self, room: Room, author: String, text: String) -> Event {
        // Between the reply to a message and that message, the room says nothing else.
        let first = self.coming_back.front();
        let own = first.is_some_and(|(own_room, own_text)| *own_room == room && *own_text == text);
        if own {
            self.coming_back.pop_front();
            self.nickname = Some(author.clone());
        }
        Event::Message { room, author, text, own }
    }

    fn done(&mut self, number: u64, request: Request) -> Event {
        match &request {
            Request::Login { nickname } => {
                self.nickname = Some(nickname.clone());
                self.wanted_nickname = Some(nickname.clone());
            }
            Request::Join { room } => {
                self.joined.insert(room.clone());
            }
            Request::Leave { room } => {
                self.joined.remove(room);
            }
            Request::Send { room, text } => {
                if self.joined.contains(room) {
                    self.coming_back.push_back((room.clone(), text.clone()));
                }
            }
        }
        Event::Done { number, request }
    }

    fn refused(&mut self, number: u64, request: Request, why: String) -> Event {
        if let Request::Join { room } = &request {
            self.wanted_rooms.retain(|wanted| wanted != room);
        }
        Event::Refused { number, request, why }
    }
}

/// The two errors that answer a line although they cannot repeat it. All others without a request are last words.
fn is_reply_to_a_line(why: &str) -> bool {
    why.starts_with("Line too long") || why.starts_with("Invalid JSON")
}
