//! What the engine says: answers, matched with their questions in order, and publications.

use super::life::PAUSE_MAX;
use super::{Client, LEASE, Link, Node, RENEW_EVERY, UnderWay};
use crate::chat::ClientId;
use crate::cluster::keys::{Envelope, Publication};
use crate::cluster::question::{About, Answer, Answered, Asked, Heard, What};
use crate::cluster::resp::{Decoder, Value};

impl Node {
    /// Takes the input out, to be heard value by value; it has to be put back.
    pub fn take_input(&mut self) -> Decoder {
        std::mem::take(&mut self.input)
    }

    /// Puts the rest of the input back, unless the link was lost over it.
    pub fn put_back(&mut self, input: Decoder) {
        if self.has_connection() {
            self.input = input;
        }
    }

    /// Understands what the engine has said.
    ///
    /// # Errors
    /// Why the link cannot be trusted any more.
    pub fn hear<'a>(&mut self, value: &Value<'a>) -> Result<Heard<'a>, String> {
        let Value::Push(parts) = value else { return self.answer(value) };
        let text = |index: usize| parts.get(index).and_then(Value::text);
        match (text(0), text(1), text(2)) {
            (Some(b"message"), Some(channel), Some(payload)) => self.message(channel, payload),
            (Some(b"subscribe" | b"unsubscribe"), ..) => {
                if self.link == Link::Leaving {
                    return Ok(Heard::Nothing);
                }
                let expected = self.queue.front().and_then(|asked| asked.about.push());
                if expected.map(str::as_bytes) != text(0) {
                    return Err("the engine has ended a subscription".into());
                }
                self.answer(value)
            }
            _ => Err("the engine says something that is not understood".into()),
        }
    }

    fn message<'a>(&mut self, channel: &'a [u8], payload: &'a [u8]) -> Result<Heard<'a>, String> {
        let Some(room) = channel.strip_prefix(&*self.rooms_prefix) else { return Ok(Heard::Nothing) };
        let (envelope, line) = match Envelope::read(payload) {
            Publication::Message(envelope, line) => (envelope, line),
            Publication::Unknown => {
                return Err("another node is of a version that this one does not know".into());
            }
            Publication::Foreign => return Ok(Heard::Nothing),
        };
        let (mut sender, mut answer) = (None, None);
        if envelope.node == self.id {
            let is_sender = |client: &Client| client.last_sent == envelope.question;
            sender = Some(envelope.client).filter(|&client| self.client(client).is_some_and(is_sender));
            let index =
                envelope.question.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            if let Some(Asked { about, .. }) = index.and_then(|index| self.queue.get_mut(index))
                && let About::Client { action, echo, what: What::Send { answered, .. }, .. } = about
                && !std::mem::replace(answered, true)
            {
                let echo = std::mem::take(echo);
                answer = Some(Answer { client: sender, action: *action, echo, outcome: Answered::Sent });
            }
        }
        Ok(Heard::Message { room, line, sender, answer })
    }

    /// The answer to the question that stands first.
    fn answer(&mut self, value: &Value) -> Result<Heard<'static>, String> {
        let Some(asked) = self.queue.pop_front() else { return Err("an answer to no question".into()) };
        self.first += 1;
        self.waiting_bytes -= asked.bytes;
        if self.link == Link::Leaving {
            // UNSUBSCRIBE is answered by as many pushes as there were rooms: pushes are passed over, with those
            // questions that wait for one.
            return if asked.about.push().is_some() { self.answer(value) } else { Ok(Heard::Nothing) };
        }
        if let Value::Error(error) = value
            && !matches!(asked.about, About::Greeting(_))
        {
            return Err(format!("the engine refuses: {}", String::from_utf8_lossy(error)));
        }
        match asked.about {
            About::Greeting(step) => self.greeted(step, asked.at, value)?,
            About::Lease if *value == Value::Null => {
                return Err(self.lose_lease());
            }
            About::Lease => self.lease_until = self.lease_until.max(asked.at + LEASE),
            About::Unsubscribe(room) => self.left(&room),
            // Its client may just have gone, and have freed it.
            About::Free | About::Refresh => {}
            About::Client { client, serial, action, echo, what } => {
                let client =
                    Some(client).filter(|&client| self.client(client).is_some_and(|it| it.serial == serial));
                if let Some(outcome) = self.outcome(client, what, value)? {
                    return Ok(Heard::Answer(Answer { client, action, echo, outcome }));
                }
            }
        }
        Ok(Heard::Nothing)
    }

    /// Others have perhaps lost theirs too, and find out only when they renew it. Until then they have clients whose
    /// nicknames seem to be free, so this node pauses for longer than that, as after many attempts.
    fn lose_lease(&mut self) -> String {
        const { assert!(PAUSE_MAX.as_millis() / 2 > RENEW_EVERY.as_millis()) };
        self.attempts = u32::MAX;
        "the engine has lost this node's lease".into()
    }

    fn outcome(
        &mut self,
        client: Option<ClientId>,
        what: What,
        value: &Value,
    ) -> Result<Option<Answered>, String> {
        let record = client.and_then(|client| self.client_mut(client));
        Ok(Some(match (what, value) {
            (What::Claim(name), Value::Integer(granted @ 0..=1)) => {
                let granted = *granted == 1;
                if let Some(record) = record {
                    record.claiming = None;
                    record.claimed = if granted { Some(name.clone()) } else { record.claimed.take() };
                }
                if granted { Answered::Named(name) } else { Answered::NicknameInUse }
            }
            (What::Claim(_), Value::Integer(-1)) => {
                return Err(self.lose_lease());
            }
            (What::BeGuest(name), Value::Integer(_)) => {
                if let Some(record) = record {
                    record.claimed = None;
                }
                Answered::Named(name)
            }
            (What::Join(room), Value::Push(_)) => {
                self.end(&room, |under_way| under_way.joins -= 1);
                Answered::Joined(room)
            }
            (What::Leave(room), Value::Push(_)) => {
                self.left(&room);
                Answered::Left(room)
            }
            (What::Find, Value::List(parts)) => match parts.get(1) {
                Some(Value::Integer(0)) => Answered::RoomNotFound,
                Some(Value::Integer(_)) => Answered::NotInThisRoom,
                _ => return Err("NUMSUB was not answered with a number".into()),
            },
            (What::Send { answered: true, .. }, Value::Integer(_)) => return Ok(None),
            (What::Send { subscribed: true, .. }, Value::Integer(0)) => {
                return Err("the engine has lost a subscription".into());
            }
            (What::Send { .. }, Value::Integer(0)) => Answered::RoomNotFound,
            (What::Send { .. }, Value::Integer(_)) => Answered::Sent,
            (what, value) => return Err(format!("{what:?} was answered with {value:?}")),
        }))
    }

    fn left(&mut self, room: &[u8]) {
        self.end(room, |under_way| under_way.leaves -= 1);
    }

    fn end(&mut self, room: &[u8], count: impl FnOnce(&mut UnderWay)) {
        if let Some(under_way) = self.under_way.get_mut(room) {
            count(under_way);
            if under_way.joins == 0 && under_way.leaves == 0 {
                self.under_way.remove(room);
            }
        }
    }
}
