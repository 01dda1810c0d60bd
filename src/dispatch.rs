//! A request is carried out: it changes the tables, and something is to be said, to whom. Not generic, and without I/O:
//! a line comes in, and what it causes is queued in the [`Fanout`].

use std::fmt;

use crate::batch::Memory;
use crate::chat::{Chat, ClientId, Refusal, RoomId};
use crate::fanout::Fanout;
use crate::lines::Found;
use crate::options::Options;
use crate::protocol::{self, DisconnectReason, Error, Parsed, Request};

/// What a request that was carried out has led to.
enum Outcome<'a> {
    /// The tables are as the client wanted them.
    Done,
    /// A text is to be said in a room. The reply goes first.
    Message(RoomId, &'a str),
    /// Nothing has changed yet: the engine that joins several nodes has to be asked first.
    #[cfg(feature = "cluster")]
    Ask(crate::cluster::Question<'a>),
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It was blank, and gets no reply.
    Blank,
    /// It was a request, and has got its reply.
    Replied,
    /// The engine that joins several nodes is being asked. The client waits.
    #[cfg(feature = "cluster")]
    Asked,
}

/// What has been carried out since the start, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounters {
    /// Lines that got a reply.
    pub requests: u64,
    /// Of them, those that got an ERROR.
    pub errors: u64,
    /// Of `requests`: by action, in the order of [`Action::ALL`], carried out and refused.
    pub by_action: [[u64; 2]; Action::ALL.len()],
    /// Messages sent to rooms.
    pub messages: u64,
    /// Messages times the members of their rooms.
    pub deliveries: u64,
}

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// LOGIN NICK.
    Login,
    /// JOIN ROOM.
    Join,
    /// LEFT ROOM.
    Leave,
    /// SEND MESSAGE.
    Send,
    /// A line that could not be read as a request: no JSON, an unknown action, a wrong parameter.
    Unknown,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 5] = [Action::Login, Action::Join, Action::Leave, Action::Send, Action::Unknown];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Action::Login => "LOGIN NICK",
            Action::Join => "JOIN ROOM",
            Action::Leave => "LEFT ROOM",
            Action::Send => "SEND MESSAGE",
            Action::Unknown => "unknown",
        })
    }
}

/// The tables, what is to be said, and the rules.
#[derive(Debug)]
pub struct Dispatch {
    /// Who is who and who is where.
    pub chat: Chat,
    /// What is to be said.
    pub fanout: Fanout,
    /// What was carried out.
    pub counters: RequestCounters,
    pub(crate) members_only: bool,
    /// This server as one of several nodes.
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<Box<crate::cluster::Node>>,
}

impl Dispatch {
    /// Empty tables.
    pub fn new(options: &Options, memory: &Memory) -> Self {
        Dispatch {
            chat: Chat::new(options.max_clients, options.max_rooms),
            fanout: Fanout::new(memory),
            counters: RequestCounters::default(),
            members_only: options.members_only,
            #[cfg(feature = "cluster")]
            cluster: None,
        }
    }

    /// Carries out one line of a client.
    pub fn execute(&mut self, client: ClientId, found: Found) -> Executed {
        let parsed = match found {
            Found::TooLong(_) => Some(Parsed { echo: "null", request: Err(Error::LineTooLong) }),
            Found::Line(line) => protocol::parse(line),
        };
        let Some(Parsed { echo, request }) = parsed else { return Executed::Blank };
        let action = request.as_ref().map_or(Action::Unknown, action);
        let outcome = request.and_then(|request| self.apply(client, request));
        #[cfg(feature = "cluster")]
        if let Ok(Outcome::Ask(question)) = outcome {
            return self.ask(client, action, echo, question);
        }
        self.reply(client, action, echo, outcome.as_ref().err().copied());
        if let Ok(Outcome::Message(room, text)) = outcome {
            self.say(client, room, text);
        }
        Executed::Replied
    }

    /// The one reply to a request.
    pub(crate) fn reply(&mut self, client: ClientId, action: Action, echo: &str, error: Option<Error>) {
        self.counters.requests += 1;
        self.counters.by_action[action as usize][usize::from(error.is_some())] += 1;
        match error {
            Some(error) => {
                self.counters.errors += 1;
                self.fanout.reply(&self.chat, client, |out| protocol::error(out, echo, error));
            }
            None => self.fanout.reply(&self.chat, client, |out| protocol::response(out, echo)),
        }
    }

    /// Changes the tables as the request asks. Before the members of a room change, what was said in it until now is
    /// queued for those to whom it was said.
    fn apply<'a>(&mut self, client: ClientId, request: Request<'a>) -> Result<Outcome<'a>, Error> {
        #[cfg(feature = "cluster")]
        if let Some(question) = self.question(client, &request)? {
            return Ok(Outcome::Ask(question));
        }
        match request {
            Request::Login { nickname } => self.chat.login(client, &nickname)?,
            Request::Join { room } => {
                self.close_batch_of(&room);
                self.chat.join(client, &room)?;
            }
            Request::Leave { room } => {
                self.close_batch_of(&room);
                self.chat.leave(client, &room)?;
            }
            Request::Send { room, text } => {
                let room = self.chat.find_room_for(client, &room).ok_or(Error::RoomNotFound)?;
                if self.members_only && !self.chat.is_member(client, room) {
                    return Err(Error::NotInThisRoom);
                }
                return Ok(Outcome::Message(room, text));
            }
        }
        Ok(Outcome::Done)
    }

    fn say(&mut self, client: ClientId, room: RoomId, text: &str) {
        let (name, author) = (self.chat.room_name(room), self.chat.nickname(client));
        let write = |out: &mut Vec<u8>| protocol::get_message(out, name, author, text);
        self.fanout.say(&self.chat, client, room, write);
        self.counters.messages += 1;
        self.counters.deliveries += self.chat.members(room).len() as u64;
    }

    /// Before the members of a room change: what was said in it until now is for those who are there now.
    pub(crate) fn close_batch_of(&mut self, name: &str) {
        if self.fanout.speaking().is_some_and(|room| self.chat.room_name(room) == name.as_bytes()) {
            self.fanout.close(&self.chat);
        }
    }

    /// Queues the last words for a client that the server ends.
    pub fn say_why(&mut self, client: ClientId, reason: DisconnectReason) {
        self.fanout.reply(&self.chat, client, |out| protocol::disconnect(out, reason));
    }

    /// Takes the client out of the tables. Those who were in a room with it, and it itself, get what was said until
    /// now. Whether it was there.
    pub fn remove_client(&mut self, client: ClientId) -> bool {
        if self.chat.nickname(client).is_empty() {
            return false;
        }
        if self.fanout.speaking().is_some_and(|room| self.chat.is_member(client, room)) {
            self.fanout.close(&self.chat);
        }
        #[cfg(feature = "cluster")]
        self.say_farewell(client);
        self.chat.disconnect(client);
        true
    }
}

fn action(request: &Request) -> Action {
    match request {
        Request::Login { .. } => Action::Login,
        Request::Join { .. } => Action::Join,
        Request::Leave { .. } => Action::Leave,
        Request::Send { .. } => Action::Send,
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NicknameInUse => Error::NicknameInUse,
            Refusal::RoomNotFound => Error::RoomNotFound,
            Refusal::NotInThisRoom => Error::NotInThisRoom,
            Refusal::TooManyRooms => Error::TooManyRooms,
        }
    }
}
