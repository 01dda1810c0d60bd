//! What the node knows of its clients: who asks, who holds what in the engine, who has gone.

use std::rc::Rc;

use super::{Client, Departure, KEPT_BYTES, Link, Node};
use crate::chat::ClientId;
use crate::cluster::keys::Envelope;
use crate::cluster::question::{About, Question, What};
use crate::cluster::resp;
use crate::dispatch::Action;
use crate::protocol;

impl Node {
    /// A client has come. Its guest name is noted.
    pub fn admit(&mut self, client: ClientId, guest: &[u8]) {
        let index = client as usize;
        if self.clients.len() <= index {
            self.clients.resize_with(index + 1, || None);
        }
        self.serials += 1;
        let record = Client {
            serial: self.serials,
            guest: guest.into(),
            claimed: None,
            claiming: None,
            last_sent: 0,
            asking: false,
            parked: None,
        };
        if let Some(slot) = self.clients.get_mut(index) {
            *slot = Some(record);
        }
    }

    /// A client has gone. What it holds is freed, and so is what it has asked for: the engine carries out the freeing
    /// after that.
    pub fn depart(&mut self, client: ClientId) {
        let Some(gone) = self.clients.get_mut(client as usize).and_then(Option::take) else { return };
        while matches!(self.clients.last(), Some(None)) {
            self.clients.pop();
        }
        self.asking -= usize::from(gone.asking);
        self.parked_bytes -= gone.parked.map_or(0, |line| line.len());
        if self.link == Link::Up {
            for name in gone.claimed.into_iter().chain(gone.claiming) {
                self.departures_bytes += name.len();
                self.departures.push_back(Departure::Nickname { name, serial: gone.serial });
            }
            self.tell_departures();
        }
    }

    /// A room has lost its last member here, without having asked first.
    pub fn desert(&mut self, room: &[u8]) {
        if self.link != Link::Up {
            return;
        }
        let room: Rc<[u8]> = room.into();
        let under_way = self.under_way.entry(room.clone()).or_default();
        // A join that is under way keeps it; a leave that is under way, with no join behind it, has seen to it.
        if under_way.joins == 0 && under_way.leaves == 0 {
            under_way.leaves += 1;
            self.departures_bytes += room.len();
            self.departures.push_back(Departure::Room(room));
            self.tell_departures();
        }
    }

    /// Tells the engine who has gone, as far as the window has room.
    pub(super) fn tell_departures(&mut self) {
        while self.waiting_bytes < self.config.window_bytes
            && let Some(departure) = self.departures.pop_front()
        {
            match departure {
                Departure::Nickname { name, serial } => {
                    self.departures_bytes -= name.len();
                    self.tell_free(About::Free, &name, serial);
                }
                Departure::Room(room) => {
                    self.departures_bytes -= room.len();
                    self.tell_channel(About::Unsubscribe(room.clone()), &[b"UNSUBSCRIBE"], &room);
                }
            }
        }
    }

    /// The client's name as a guest.
    pub fn guest(&self, client: ClientId) -> Option<&Rc<[u8]>> {
        self.client(client).map(|client| &client.guest)
    }

    /// How many joins and leaves are under way for a room.
    pub fn is_joining(&self, room: &[u8]) -> bool {
        self.under_way.get(room).is_some_and(|under_way| under_way.joins > 0)
    }

    /// See [`Node::is_joining`].
    pub fn is_leaving(&self, room: &[u8]) -> bool {
        self.under_way.get(room).is_some_and(|under_way| under_way.leaves > 0)
    }

    /// Whether the client waits for the engine.
    pub fn is_asking(&self, client: ClientId) -> bool {
        self.client(client).is_some_and(|client| client.asking)
    }

    /// How many clients do.
    pub fn asking_len(&self) -> usize {
        self.asking
    }

    pub(super) fn client(&self, client: ClientId) -> Option<&Client> {
        self.clients.get(client as usize)?.as_ref()
    }

    pub(super) fn client_mut(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(client as usize)?.as_mut()
    }

    /// The client waits from here on. Its request is put as a question, or kept until there is room for one. `author`
    /// is its nickname.
    pub fn ask(&mut self, client: ClientId, author: &[u8], action: Action, echo: &str, question: Question) {
        let has_room = self.waiting_bytes < self.config.window_bytes && self.departures.is_empty();
        let number = self.first + self.queue.len() as u64;
        let Some(record) = self.client_mut(client) else { return };
        let serial = record.serial;
        let was_asking = std::mem::replace(&mut record.asking, true);
        let mut old = None;
        if !has_room {
            record.parked = Some(echo.into());
        } else {
            match &question {
                Question::Claim(name) => record.claiming = Some(name.clone()),
                Question::Send { .. } => record.last_sent = number,
                _ => {}
            }
            old = record.claimed.clone();
        }
        self.asking += usize::from(!was_asking);
        if !has_room {
            self.parked_bytes += echo.len();
            return self.parked.push_back((client, serial));
        }
        let about = |what| About::Client { client, serial, action, echo: echo.into(), what };
        match question {
            Question::Claim(name) => {
                self.tell_claim(about(What::Claim(name.clone())), &name, serial, old.as_deref());
            }
            Question::BeGuest(name) => {
                self.tell_free(about(What::BeGuest(name)), old.as_deref().unwrap_or_default(), serial);
            }
            Question::Join(room) => {
                self.under_way.entry(room.clone()).or_default().joins += 1;
                self.tell_channel(about(What::Join(room.clone())), &[b"SUBSCRIBE"], &room);
            }
            Question::Leave(room) => {
                self.under_way.entry(room.clone()).or_default().leaves += 1;
                self.tell_channel(about(What::Leave(room.clone())), &[b"UNSUBSCRIBE"], &room);
            }
            Question::Find(room) => self.tell_channel(about(What::Find), &[b"PUBSUB", b"NUMSUB"], &room),
            Question::Send { room, text, subscribed } => {
                let mut envelope = String::new();
                Envelope { node: self.id, question: number, client }.write(&mut envelope);
                let (mut line, prefix) = (std::mem::take(&mut self.line), self.rooms_prefix.clone());
                line.clear();
                protocol::get_message(&mut line, room.as_bytes(), author, text);
                self.tell(about(What::Send { subscribed, answered: false }), |out| {
                    resp::begin(out, 3);
                    resp::blob(out, &[b"PUBLISH"]);
                    resp::blob(out, &[&prefix, room.as_bytes()]);
                    resp::blob(out, &[envelope.as_bytes(), &line]);
                });
                line.shrink_to(KEPT_BYTES);
                self.line = line;
            }
        }
    }

    /// The next request that was kept for want of room, if there is room now.
    pub fn take_parked(&mut self) -> Option<(ClientId, Vec<u8>)> {
        while self.link == Link::Up
            && self.waiting_bytes < self.config.window_bytes
            && self.departures.is_empty()
        {
            let (client, serial) = self.parked.pop_front()?;
            let record = self.client_mut(client).filter(|record| record.serial == serial);
            if let Some(line) = record.and_then(|record| record.parked.take()) {
                self.parked_bytes -= line.len();
                return Some((client, line));
            }
        }
        None
    }

    /// The client waits no longer.
    pub fn stop_asking(&mut self, client: ClientId) {
        if self.client_mut(client).is_some_and(|client| std::mem::take(&mut client.asking)) {
            self.asking -= 1;
        }
    }
}
