//! A client of the simulation: what it has asked, what it has got, and what it makes of that. It complains of whatever
//! the protocol does not allow.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

use parlor::chat::ClientId;
use parlor::protocol::DisconnectReason;
use parlor::transport::{End, Received, Sent, Transport};
use serde_json::{Value, json};

/// A made-up socket: what the client has sent waits here, and what the hub has written.
#[derive(Default)]
pub struct Pipe {
    pub to_hub: VecDeque<u8>,
    pub from_hub: Vec<u8>,
    pub closed: bool,
    pub finished: bool,
}

#[derive(Clone, Default)]
pub struct Socket(pub Rc<RefCell<Pipe>>);

impl Transport for Socket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut pipe = self.0.borrow_mut();
        if pipe.to_hub.is_empty() {
            return Ok(if pipe.closed { Received::End(End::Closed) } else { Received::Nothing });
        }
        let count = buffer.len().min(pipe.to_hub.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.to_hub.drain(..count)) {
            *place = byte;
        }
        Ok(Received::Bytes { count, drained: pipe.to_hub.is_empty() && !pipe.closed })
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        self.0.borrow_mut().from_hub.extend_from_slice(bytes);
        Ok(Sent::Bytes(bytes.len()))
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        self.0.borrow_mut().finished = true;
        Ok(true)
    }
}

/// A stay in a room: what was heard there.
pub struct Stay {
    pub room: String,
    /// How many messages the engine had published there when the reply to JOIN came.
    pub joined_at: usize,
    pub heard: Vec<String>,
    /// LEFT has been asked for.
    pub leaving: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    Login(String),
    Join(String),
    Leave(String),
    Send(String, String),
}

pub struct Talker {
    pub name: usize,
    pub node: usize,
    pub id: ClientId,
    pub socket: Socket,
    /// Requests without a reply.
    pub asked: VecDeque<(u64, Wish)>,
    next_id: u64,
    pub stays: BTreeMap<String, Stay>,
    pub past: Vec<Stay>,
    /// The nickname that it was granted.
    pub nickname: Option<String>,
    /// Messages that were granted, and those that were refused.
    pub sent: Vec<String>,
    pub refused: Vec<String>,
    /// Its last words, if it has got any.
    pub last_words: Option<String>,
    pub replies: u64,
}

impl Talker {
    pub fn new(name: usize, node: usize, id: ClientId, socket: Socket) -> Talker {
        Talker {
            name,
            node,
            id,
            socket,
            asked: VecDeque::new(),
            next_id: 0,
            stays: BTreeMap::new(),
            past: Vec::new(),
            nickname: None,
            sent: Vec::new(),
            refused: Vec::new(),
            last_words: None,
            replies: 0,
        }
    }

    /// Sends a request.
    pub fn ask(&mut self, wish: Wish) {
        self.next_id += 1;
        let id = self.next_id;
        let request = match &wish {
            Wish::Login(name) => json!({"action": "LOGIN NICK", "nickname": name, "id": id}),
            Wish::Join(room) => json!({"action": "JOIN ROOM", "room_id": room, "id": id}),
            Wish::Leave(room) => json!({"action": "LEFT ROOM", "room_id": room, "id": id}),
            Wish::Send(room, text) => {
                json!({"action": "SEND MESSAGE", "room_id": room, "text": text, "id": id})
            }
        };
        if let Wish::Leave(room) = &wish
            && let Some(stay) = self.stays.get_mut(room)
        {
            stay.leaving = true;
        }
        self.asked.push_back((id, wish));
        self.socket.0.borrow_mut().to_hub.extend(format!("{request}\n").bytes());
    }

    /// A text that nobody else sends.
    pub fn new_text(&self) -> String {
        format!("{}.{}", self.name, self.next_id + 1)
    }

    /// Reads all that has come. `published`: how many messages the engine has published in a room.
    pub fn listen(&mut self, published: impl Fn(&str) -> usize) {
        let bytes = std::mem::take(&mut self.socket.0.borrow_mut().from_hub);
        for line in std::str::from_utf8(&bytes).expect("UTF-8").lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert!(self.last_words.is_none(), "client {}: {line} after its last words", self.name);
            match line["action"].as_str().unwrap() {
                "GET MESSAGE" => self.hear(&line),
                "ERROR" if line["request"].is_null() => {
                    self.last_words = Some(line["message"].as_str().unwrap().into());
                    self.past.extend(std::mem::take(&mut self.stays).into_values());
                }
                action => {
                    let error = (action == "ERROR").then(|| line["message"].as_str().unwrap());
                    self.learn(&line, error, &published);
                }
            }
        }
    }

    fn hear(&mut self, line: &Value) {
        let (room, text) = (line["room_id"].as_str().unwrap(), line["text"].as_str().unwrap());
        let name = self.name;
        let stay =
            self.stays.get_mut(room).unwrap_or_else(|| panic!("client {name} is not in {room}: {line}"));
        stay.heard.push(text.into());
        // The reply stands before the message.
        let waits = self.asked.iter().any(|(_, wish)| matches!(wish, Wish::Send(_, asked) if asked == text));
        assert!(!waits, "client {name} hears its message before the reply: {line}");
    }

    fn learn(&mut self, line: &Value, error: Option<&str>, published: &impl Fn(&str) -> usize) {
        let (id, wish) = self.asked.pop_front().expect("a reply to a request");
        assert_eq!(line["request"]["id"], id, "client {}: replies come in order", self.name);
        self.replies += 1;
        match (wish, error) {
            (Wish::Login(name), None) => self.nickname = Some(name),
            (Wish::Login(_), Some("Nickname already in use")) => {}
            (Wish::Join(room), None) => {
                let stay = Stay {
                    room: room.clone(),
                    joined_at: published(&room),
                    heard: Vec::new(),
                    leaving: false,
                };
                self.stays.entry(room).or_insert(stay);
            }
            (Wish::Leave(room), None) => {
                let stay = self.stays.remove(&room).expect("only a member can leave");
                self.past.push(stay);
            }
            (Wish::Leave(room), Some("Room not found" | "Not in this room")) => {
                assert!(!self.stays.contains_key(&room), "client {}: {line}", self.name);
            }
            (Wish::Send(_, text), None) => self.sent.push(text),
            (Wish::Send(room, text), Some("Room not found" | "Not in this room")) => {
                assert!(!self.stays.contains_key(&room), "client {}: {line}", self.name);
                self.refused.push(text);
            }
            (wish, error) => panic!("client {}: {wish:?} was answered with {error:?}", self.name),
        }
    }
}
