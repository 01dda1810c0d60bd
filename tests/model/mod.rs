//! The reference model: PROTOCOL.md once more, as obviously as it can be said. It is told who connects, what each
//! client writes and who goes, and says which lines each client gets. It shares nothing with the server's code and
//! knows nothing of sockets, of buffers or of time.

// Each test program uses another part of this.
#![allow(dead_code)]

mod expected;
pub mod json;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use expected::{Expected, Room, author};

/// How the tests tell clients apart.
pub type Id = usize;

/// The options that change what the model says.
#[derive(Clone, Debug)]
pub struct Rules {
    pub max_line: usize,
    pub max_rooms: usize,
    pub members_only: bool,
}

impl From<&parlor::options::Options> for Rules {
    fn from(options: &parlor::options::Options) -> Rules {
        let &parlor::options::Options { max_line, max_rooms, members_only, .. } = options;
        Rules { max_line, max_rooms, members_only }
    }
}

/// Why a request was not carried out: the words of the error, and the members that its detail may name.
type Fault = (&'static str, Vec<&'static str>);

/// Who is connected and who is where, after all that the model was told.
#[derive(Clone, Debug)]
pub struct Model {
    rules: Rules,
    /// `None`: a guest whose name nobody has seen yet.
    nicknames: BTreeMap<Id, Option<String>>,
    subscribed: BTreeSet<(Room, Id)>,
    /// Who has not yet been judged by what its connection begins with, with the bytes that are not decided.
    openings: BTreeMap<Id, Vec<u8>>,
    /// Who has not yet written a line that is not blank.
    silent: BTreeSet<Id>,
}

impl Model {
    pub fn new(rules: impl Into<Rules>) -> Model {
        Model {
            rules: rules.into(),
            nicknames: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            openings: BTreeMap::new(),
            silent: BTreeSet::new(),
        }
    }

    /// A client comes. It has a guest name, but which one is the server's choice: see [`Model::learn`].
    pub fn connect(&mut self, id: Id) {
        assert!(self.nicknames.insert(id, None).is_none(), "client {id} is connected already");
        self.openings.insert(id, Vec::new());
        self.silent.insert(id);
    }

    /// The client goes, in whatever way, or the server has decided that it goes.
    pub fn disconnect(&mut self, id: Id) {
        assert!(self.nicknames.remove(&id).is_some(), "client {id} is not connected");
        self.subscribed.retain(|(_, member)| *member != id);
        self.openings.remove(&id);
        self.silent.remove(&id);
    }

    /// The client was seen to have this name: an error if it cannot have been given it.
    pub fn learn(&mut self, id: Id, name: &str) -> Result<(), String> {
        if let Some(known) = &self.nicknames[&id] {
            return (known == name).then_some(()).ok_or(format!("{id} is called {known:?}, not {name:?}"));
        }
        let number =
            name.strip_prefix("guest-").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if number.is_none() {
            return Err(format!("{name:?} is not of the form guest-N"));
        }
        if self.owner(name).is_some() {
            return Err(format!("{name:?} was given to {id} while another client had it"));
        }
        self.nicknames.insert(id, Some(name.into()));
        Ok(())
    }

    /// The client's nickname; `None` while it is a guest's that nobody has seen.
    pub fn nickname(&self, id: Id) -> Option<&str> {
        self.nicknames[&id].as_deref()
    }

    /// The clients that are connected.
    pub fn clients(&self) -> impl Iterator<Item = Id> + '_ {
        self.nicknames.keys().copied()
    }

    /// Whether the client is still connected: one that speaks another protocol is no more when it has been told so.
    pub fn is_connected(&self, id: Id) -> bool {
        self.nicknames.contains_key(&id)
    }

    /// Whoever asks has judged the client's first bytes itself: these are lines.
    pub fn speaks_lines(&mut self, id: Id) {
        self.openings.remove(&id);
    }

    /// The client's messages come over WebSocket: nothing is mistaken for another protocol.
    pub fn speaks_messages(&mut self, id: Id) {
        self.openings.remove(&id);
        self.silent.remove(&id);
    }

    /// The client writes a line (given without its `\n`). Who gets what because of it, in order.
    pub fn line(&mut self, id: Id, line: &[u8]) -> Vec<(Id, Expected)> {
        assert!(self.is_connected(id), "client {id} is not connected");
        let Some(mut opening) = self.openings.remove(&id) else { return self.judged_line(id, line) };
        opening.extend(line);
        opening.push(b'\n');
        match words::first_bytes(&opening) {
            words::FirstBytes::Undecided => {
                self.openings.insert(id, opening);
                vec![]
            }
            words::FirstBytes::Foreign => self.wrong_protocol(id),
            words::FirstBytes::Lines => self.held_lines(id, &opening),
        }
    }

    /// The client closes its sending side: what was not decided is lines.
    pub fn end_of_input(&mut self, id: Id) -> Vec<(Id, Expected)> {
        let opening = self.openings.remove(&id).unwrap_or_default();
        self.held_lines(id, &opening)
    }

    fn held_lines(&mut self, id: Id, lines: &[u8]) -> Vec<(Id, Expected)> {
        let lines = lines.strip_suffix(b"\n").map(|lines| lines.split(|byte| *byte == b'\n'));
        lines.into_iter().flatten().flat_map(|line| self.judged_line(id, line)).collect()
    }

    fn wrong_protocol(&mut self, id: Id) -> Vec<(Id, Expected)> {
        self.disconnect(id);
        vec![(id, Expected::last_line("Wrong protocol"))]
    }

    /// A line of which it is known that it does not begin as TLS or PROXY.
    fn judged_line(&mut self, id: Id, line: &[u8]) -> Vec<(Id, Expected)> {
        if !self.is_connected(id) {
            return vec![];
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t'));
        let is_too_long = line.len() > self.rules.max_line;
        if (!is_blank || is_too_long) && self.silent.remove(&id) && words::is_http(line, self.rules.max_line)
        {
            return self.wrong_protocol(id);
        }
        let error = |request: &str, (words, members): Fault| {
            vec![(id, Expected::Error { request: request.into(), words, members })]
        };
        if is_too_long {
            return error("null", ("Line too long", vec![]));
        }
        if is_blank {
            return vec![];
        }
        let Some(request) = json::value(line) else {
            return error("null", ("Invalid JSON", vec![]));
        };
        match self.carry_out(id, request) {
            Ok(messages) => {
                let reply = (id, Expected::Response { request: request.into() });
                [reply].into_iter().chain(messages).collect()
            }
            Err(fault) => error(request, fault),
        }
    }

    /// The messages that the request causes, or why it cannot be carried out.
    fn carry_out(&mut self, id: Id, request: &str) -> Result<Vec<(Id, Expected)>, Fault> {
        let members = json::members(request).ok_or(("Not a JSON object", vec![]))?;
        let values = |name| members.iter().filter(move |(n, _)| n == name).map(|(_, value)| *value);

        let mut duplicates = vec!["action", "nickname", "room_id", "text"];
        duplicates.retain(|name| values(*name).count() > 1);
        if !duplicates.is_empty() {
            return Err(("Invalid parameter", duplicates));
        }

        let get = |name| values(name).next().ok_or(("Missing parameter", vec![name]));
        let string = |name| json::string(get(name)?).ok_or(("Invalid parameter", vec![name]));
        let room = || {
            let value = get("room_id")?;
            let room = json::string(value).map(Room::Text).or(json::integer(value).map(Room::Integer));
            room.ok_or(("Invalid parameter", vec!["room_id"]))
        };
        match string("action")?.as_str() {
            "LOGIN NICK" => self.login(id, string("nickname")?).map(|()| vec![]),
            "JOIN ROOM" => self.join(id, room()?).map(|()| vec![]),
            "LEFT ROOM" => self.left(id, room()?).map(|()| vec![]),
            "SEND MESSAGE" => self.send(id, room()?, string("text")?),
            _ => Err(("Unknown action", vec![])),
        }
    }

    fn login(&mut self, id: Id, nickname: String) -> Result<(), Fault> {
        if !words::is_nickname(&nickname) {
            return Err(("Invalid nickname", vec![]));
        }
        // A guest whose name nobody has seen may have this one: then the model does not know, and says so.
        let unsure = nickname.starts_with("guest-") && self.nicknames.iter().any(|(_, name)| name.is_none());
        assert!(!unsure, "learn every guest's name before one of that form is asked for");
        match self.owner(&nickname) {
            Some(owner) if owner != id => Err(("Nickname already in use", vec![])),
            _ => {
                self.nicknames.insert(id, Some(nickname));
                Ok(())
            }
        }
    }

    fn join(&mut self, id: Id, room: Room) -> Result<(), Fault> {
        let place = (room, id);
        let joined = self.subscribed.iter().filter(|(_, member)| *member == id).count();
        if !self.subscribed.contains(&place) && joined >= self.rules.max_rooms {
            return Err(("Too many rooms", vec![]));
        }
        self.subscribed.insert(place);
        Ok(())
    }

    fn left(&mut self, id: Id, room: Room) -> Result<(), Fault> {
        self.must_exist(&room)?;
        self.subscribed.remove(&(room, id)).then_some(()).ok_or(("Not in this room", vec![]))
    }

    fn send(&mut self, id: Id, room: Room, text: String) -> Result<Vec<(Id, Expected)>, Fault> {
        self.must_exist(&room)?;
        let members: Vec<Id> =
            self.subscribed.iter().filter(|(r, _)| *r == room).map(|(_, id)| *id).collect();
        if self.rules.members_only && !members.contains(&id) {
            return Err(("Not in this room", vec![]));
        }
        let message = Expected::Message { room, sender: id, author: self.nicknames[&id].clone(), text };
        Ok(members.into_iter().map(|member| (member, message.clone())).collect())
    }

    /// A room exists as long as someone is in it.
    fn must_exist(&self, room: &Room) -> Result<(), Fault> {
        let exists = self.subscribed.iter().any(|(r, _)| r == room);
        exists.then_some(()).ok_or(("Room not found", vec![]))
    }

    fn owner(&self, nickname: &str) -> Option<Id> {
        self.nicknames.iter().find(|(_, name)| name.as_deref() == Some(nickname)).map(|(id, _)| *id)
    }
}
