//! Requests that have to ask the engine, and what is done when it has answered.
//!
//! The tables are those of this node. A request that they can answer never comes here any further than the first match.

use std::rc::Rc;

use super::keys;
use super::question::{Answer, Answered, Heard, Question};
use super::resp::Value;
use crate::chat::ClientId;
use crate::dispatch::{Action, Dispatch, Executed};
use crate::lines::Found;
use crate::protocol::{Error, Request};

/// In the place of a message's sender that is no client of this node.
const NOBODY: ClientId = ClientId::MAX;

impl Dispatch {
    /// What the engine has to be asked before this request can be carried out; `None`: nothing.
    ///
    /// # Errors
    /// Why the request is refused, where that is already known.
    pub(crate) fn question<'a>(
        &self,
        client: ClientId,
        request: &Request<'a>,
    ) -> Result<Option<Question<'a>>, Error> {
        let Some(node) = &self.cluster else { return Ok(None) };
        let name = |name: &str| Rc::<[u8]>::from(name.as_bytes());
        Ok(match request {
            Request::Login { nickname } if self.chat.nickname(client) == nickname.as_bytes() => None,
            Request::Login { nickname }
                if node.guest(client).is_some_and(|it| **it == *nickname.as_bytes()) =>
            {
                Some(Question::BeGuest(name(nickname)))
            }
            Request::Login { nickname } if keys::is_guest_of_a_node(nickname) => {
                return Err(Error::NicknameInUse);
            }
            Request::Login { nickname } => Some(Question::Claim(name(nickname))),
            Request::Join { room } => match self.chat.find_room(room) {
                Some(id) if self.chat.is_member(client, id) || !node.is_leaving(room.as_bytes()) => None,
                _ if self.chat.has_all_rooms(client) => None,
                _ => Some(Question::Join(name(room))),
            },
            Request::Leave { room } => match self.chat.find_room(room) {
                None => Some(Question::Find(name(room))),
                Some(id) => {
                    let is_last = self.chat.members(id) == [client] && !node.is_joining(room.as_bytes());
                    is_last.then(|| Question::Leave(name(room)))
                }
            },
            Request::Send { room, text } => match self.chat.find_room_for(client, room) {
                Some(id) if self.members_only && !self.chat.is_member(client, id) => None,
                None if self.members_only => Some(Question::Find(name(room))),
                found => {
                    let subscribed = found.is_some() && !node.is_leaving(room.as_bytes());
                    Some(Question::Send { room: room.clone(), text, subscribed })
                }
            },
        })
    }

    /// Asks the engine. The client waits from here on.
    pub(crate) fn ask(
        &mut self,
        client: ClientId,
        action: Action,
        echo: &str,
        question: Question,
    ) -> Executed {
        if let Some(node) = &mut self.cluster {
            node.ask(client, self.chat.nickname(client), action, echo, question);
        }
        Executed::Asked
    }

    /// Acts on what the engine has said. The client whose request has got its reply, if it is one.
    ///
    /// # Errors
    /// Why the link cannot be trusted any more.
    pub(crate) fn hear(&mut self, value: &Value) -> Result<Option<ClientId>, String> {
        let Some(node) = &mut self.cluster else { return Ok(None) };
        match node.hear(value)? {
            Heard::Nothing => Ok(None),
            Heard::Answer(answer) => Ok(self.answered(answer)),
            Heard::Message { room, line, sender, answer } => {
                let replied = answer.and_then(|answer| self.answered(answer));
                let room = std::str::from_utf8(room).ok().and_then(|room| self.chat.find_room(room));
                if let Some(room) = room {
                    self.fanout
                        .say(&self.chat, sender.unwrap_or(NOBODY), room, |out| out.extend_from_slice(line));
                    self.counters.deliveries += self.chat.members(room).len() as u64;
                }
                Ok(replied)
            }
        }
    }

    /// Carries out a request whose answer is there, and replies.
    fn answered(&mut self, answer: Answer) -> Option<ClientId> {
        let Answer { client, action, echo, outcome } = answer;
        let changed = client.map(|client| self.change(client, &outcome));
        if let (Answered::Joined(room), None | Some(Err(_))) = (&outcome, &changed) {
            self.desert_if_empty(room);
        }
        let (client, changed) = (client?, changed?);
        if let Some(node) = &mut self.cluster {
            node.stop_asking(client);
        }
        if outcome == Answered::Sent {
            self.counters.messages += 1;
        }
        let echo = String::from_utf8_lossy(&echo);
        self.reply(client, action, &echo, changed.err());
        Some(client)
    }

    /// Changes the tables as the request had asked.
    fn change(&mut self, client: ClientId, outcome: &Answered) -> Result<(), Error> {
        let text = |name: &Rc<[u8]>| String::from_utf8_lossy(name).into_owned();
        match outcome {
            Answered::Named(name) => self.chat.login(client, &text(name))?,
            Answered::Joined(room) => {
                let room = text(room);
                self.close_batch_of(&room);
                self.chat.join(client, &room)?;
            }
            Answered::Left(room) => {
                let room = text(room);
                self.close_batch_of(&room);
                self.chat.leave(client, &room)?;
            }
            Answered::Sent => {}
            Answered::NicknameInUse => return Err(Error::NicknameInUse),
            Answered::RoomNotFound => return Err(Error::RoomNotFound),
            Answered::NotInThisRoom => return Err(Error::NotInThisRoom),
        }
        Ok(())
    }

    /// Whoever wanted to join has gone: the room may have nobody here.
    fn desert_if_empty(&mut self, room: &[u8]) {
        let is_empty = std::str::from_utf8(room).is_ok_and(|room| self.chat.find_room(room).is_none());
        if let Some(node) = self.cluster.as_mut().filter(|_| is_empty) {
            node.desert(room);
        }
    }

    /// Carries out requests that waited for room in the window. Those who have got a reply.
    pub(crate) fn retry(&mut self) -> Vec<ClientId> {
        let mut replied = Vec::new();
        while let Some((client, line)) = self.cluster.as_mut().and_then(|node| node.take_parked()) {
            if self.execute(client, Found::Line(&line)) != Executed::Asked {
                if let Some(node) = &mut self.cluster {
                    node.stop_asking(client);
                }
                replied.push(client);
            }
        }
        replied
    }

    /// A client has come.
    pub(crate) fn admit(&mut self, client: ClientId) {
        if let Some(node) = &mut self.cluster {
            node.admit(client, self.chat.nickname(client));
        }
    }

    /// A client is about to go: the engine is told what that frees.
    pub(crate) fn say_farewell(&mut self, client: ClientId) {
        let Some(node) = &mut self.cluster else { return };
        for room in self.chat.rooms_of(client) {
            if self.chat.members(room).len() == 1 {
                node.desert(self.chat.room_name(room));
            }
        }
        node.depart(client);
    }
}

/// The longest request line that keeps a publication below 1 MB: a room's name can be nearly all of it, stands in both
/// channel and line, and can become three times as long.
pub const MAX_LINE_BYTES: usize = 128 << 10;

const _: () = assert!(2 * 3 * MAX_LINE_BYTES + (64 << 10) < 1 << 20);
