//! How a connection ends: by itself, by the server's decision, or with the server.

use std::time::Duration;

use super::Hub;
use crate::chat::ClientId;
use crate::connection::{Phase, Stream};
use crate::outbox::COPY_OUT_BYTES_MAX;
use crate::protocol::{self, DisconnectReason};
use crate::timers::Kind;

/// The most connections that are kept for their last words, beside the clients; past it the oldest is closed.
const LINGERING_MAX: usize = 1024;

/// Last words of this size may stay whatever the limit of memory: with the number above that is a bound of its own.
/// They can stand behind the rest of a line, and up to this size that rest keeps nothing in memory but itself.
const LAST_WORDS_BYTES: usize = COPY_OUT_BYTES_MAX;

impl<S: Stream> Hub<S> {
    /// The client has closed its sending side and all that it sent has been carried out: it has left. What waits for it
    /// still goes out.
    pub(super) fn finish(&mut self, client: ClientId) {
        self.leave(client);
        if let Some(connection) = self.connections.get_mut(client)
            && connection.phase == Phase::Active
        {
            connection.phase = Phase::Finishing;
            self.timers.start(&mut self.connections, client, Kind::Finishing, self.now);
            // Its share of this turn comes first.
            self.finishing.push(client);
        }
    }

    /// Ends a connection, and tells the client why. From here on it has left its rooms and its nickname is free.
    pub(super) fn say_farewell(&mut self, client: ClientId, why: DisconnectReason) {
        let Some(connection) = self.connections.get(client) else { return };
        if !matches!(connection.phase, Phase::Active | Phase::Finishing) {
            return;
        }
        self.counters.farewells[why.kind()] += 1;
        if self.notices.may_tell(why, self.now) {
            let nickname = String::from_utf8_lossy(self.chat.nickname(client));
            let (peer, waited) = (connection.stream.peer(), connection.waiting_bytes());
            log::info!("disconnected \"{nickname}\" from {peer}: {}, {waited} bytes waited", why.words());
        }
        if connection.mute {
            return self.close(client);
        }
        self.leave(client);
        self.uncount(client);
        let Some(connection) = self.connections.get_mut(client) else { return };
        connection.phase = Phase::Lingering;
        connection.drop_input(&mut self.memory);
        if matches!(why, DisconnectReason::TooSlow | DisconnectReason::OutOfMemory) {
            connection.cut_output(&mut self.memory);
        }
        self.scratch.clear();
        protocol::disconnect(&mut self.scratch, why);
        let words = self.memory.keep(&self.scratch);
        let length = words.len() as u32;
        connection.outbox_mut().push(words, 0..length, true, false, &mut self.memory);
        connection.account(&mut self.memory);
        connection.readable = true;
        connection.throttled = false;
        self.timers.start(&mut self.connections, client, Kind::Lingering, self.now);
        self.queue(client);
        self.pump(client);
        if !self.stopping
            && self.timers.len(Kind::Lingering) > LINGERING_MAX
            && let Some(oldest) = self.timers.oldest(Kind::Lingering)
        {
            self.close(oldest);
        }
    }

    /// Closes a connection that has nothing more to wait for. One that lingers has to see the end of its input too.
    pub(super) fn close_if_done(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client) else { return };
        if connection.outbox().is_some() {
            return;
        }
        match connection.phase {
            Phase::Finishing => self.close(client),
            Phase::Lingering if connection.ended => self.close(client),
            Phase::Lingering => {
                if connection.stream.shutdown_write().is_err() {
                    self.close(client);
                }
            }
            Phase::Active | Phase::Closed => {}
        }
    }

    /// Closes a connection without further words. Its slot is free at the end of the turn.
    pub(super) fn close(&mut self, client: ClientId) {
        self.leave(client);
        self.uncount(client);
        self.timers.stop(&mut self.connections, client);
        let Some(connection) = self.connections.get_mut(client) else { return };
        if connection.phase != Phase::Closed {
            connection.phase = Phase::Closed;
            connection.drop_output(&mut self.memory);
            connection.drop_input(&mut self.memory);
            self.closed.push(client);
        }
    }

    /// Frees the slots of what has been closed. Only now: an event of this turn may not meet a new client in an old
    /// slot.
    pub(super) fn reap(&mut self) {
        while let Some(client) = self.closed.pop() {
            let closed = self.connections.take(client);
            debug_assert!(
                closed.is_some_and(|closed| closed.counted_bytes() == 0),
                "its memory was given back"
            );
        }
        self.turn.shrink(self.connections.bound(), self.chat.room_ids());
    }

    /// Ends those whose time is over.
    pub(super) fn expire(&mut self) {
        while let Some(client) = self.timers.due(&mut self.connections, Kind::Idle, self.now) {
            // Whoever is not read from is not idle.
            let throttled = self.connections.get(client).is_some_and(|connection| connection.throttled);
            if throttled || self.has_back_pressure(client) {
                self.timers.start(&mut self.connections, client, Kind::Idle, self.now);
            } else {
                self.say_farewell(client, DisconnectReason::IdleTooLong);
            }
        }
        for kind in [Kind::Finishing, Kind::Lingering] {
            while let Some(client) = self.timers.due(&mut self.connections, kind, self.now) {
                let connection = self.connections.get(client);
                if let Some(connection) = connection.filter(|connection| connection.phase == Phase::Finishing)
                    && !self.stopping
                    && self.notices.may_tell(DisconnectReason::TooSlow, self.now)
                {
                    let (peer, waited) = (connection.stream.peer(), connection.output_bytes());
                    log::info!(
                        "gave up a client from {peer} that has closed its side and takes nothing of {waited} bytes"
                    );
                }
                self.close(client);
            }
        }
    }

    /// `--max-memory`: while there is too much, ends the connection that holds most. Walks all connections, but only
    /// when somebody has to go.
    pub(super) fn limit_memory(&mut self) {
        // At the end nobody is read from, and what waits is not to be dropped.
        if self.memory_bytes() <= self.options.max_memory || self.stopping {
            return;
        }
        // What the turn has for them is theirs, and may be what frees memory when it has gone out.
        self.flush();
        let mut holders: Vec<(usize, ClientId)> = Vec::new();
        for (client, connection) in self.connections.iter() {
            let holds = connection.output_bytes() + connection.counted_bytes();
            let holds = holds + self.chat.long_name_bytes_of(client);
            if holds > 0 && connection.phase != Phase::Closed {
                holders.push((holds, client));
            }
        }
        holders.sort_unstable_by(|a, b| b.cmp(a));
        for &(_, client) in &holders {
            if self.memory_bytes() <= self.options.max_memory {
                break;
            }
            // One that lingered already has been told.
            self.close_if_long(client);
            self.say_farewell(client, DisconnectReason::OutOfMemory);
        }
        // Everybody who waited has gone. What is left are last words, behind the rest of a line that can be long.
        for &(_, client) in &holders {
            self.close_if_long(client);
        }
    }

    /// Closes a connection whose last words stand behind so much that they could not be let stay.
    fn close_if_long(&mut self, client: ClientId) {
        if self.memory_bytes() > self.options.max_memory
            && let Some(connection) = self.connections.get(client)
            && connection.phase == Phase::Lingering
            && connection.output_bytes() > LAST_WORDS_BYTES
        {
            self.close(client);
        }
    }

    /// Stops: nobody is read from any more, everybody gets what waits and a last line. Connections are kept for at most
    /// `drain` from here.
    pub fn stop(&mut self, drain: Duration, now: Duration) {
        self.now = now;
        self.stopping = true;
        self.timers.set_wait(Kind::Lingering, drain);
        let clients: Vec<ClientId> = self.connections.iter().map(|(client, _)| client).collect();
        for client in clients {
            match self.connections.get(client).map(|connection| connection.phase) {
                Some(Phase::Active) => self.say_farewell(client, DisconnectReason::ShuttingDown),
                Some(Phase::Finishing) => {
                    self.timers.start(&mut self.connections, client, Kind::Lingering, now);
                }
                _ => {}
            }
        }
    }

    /// Takes the client out of the tables. Those who were in a room with it, and it itself, get what was sent until
    /// now.
    fn leave(&mut self, client: ClientId) {
        if self.chat.nickname(client).is_empty() {
            return;
        }
        if self.turn.has_news() {
            for room in self.chat.rooms_of(client) {
                self.turn.settle(room, self.chat.members(room));
            }
        }
        // The simulation reads this line.
        log::trace!("client {client}: gone");
        self.chat.disconnect(client);
    }

    /// It counts no longer as a client.
    fn uncount(&mut self, client: ClientId) {
        let phase = self.connections.get(client).map(|connection| connection.phase);
        if !matches!(phase, Some(Phase::Active | Phase::Finishing)) {
            return;
        }
        self.clients -= 1;
        if let Some(address) = self.address_of.remove(&client)
            && let Some(count) = self.clients_at.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.clients_at.remove(&address);
            }
        }
    }
}
