//! Reading, and carrying out what is asked for.

use std::cmp::Reverse;
use std::io::ErrorKind;
use std::time::Duration;

use super::{Hub, READ_BYTES};
use crate::chat::{ClientId, Refusal, RoomId};
use crate::connection::{Phase, Stream};
use crate::lines::{Found, Lines};
use crate::outbox::Outbox;
use crate::protocol::{self, Error, Request};
use crate::timers::{Kind, nanoseconds};

/// The most lines of one client that a turn carries out; the rest waits until the others have had theirs. A read holds
/// fewer usual lines than that; as many of the shortest take a third of a millisecond.
const LINES_PER_TURN: usize = 1024;

/// How much a client that the server has ended may still send before it is given up.
const DISCARD_BYTES_MAX: u32 = 16 << 20;

/// `--rate`: as many requests as are allowed in this time may come at once.
const BURST: Duration = Duration::from_secs(2);

/// Why a client's reading ends for this turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// No whole line is left of what has been read.
    NoMoreLines,
    /// It has had its share of the turn.
    Budget,
    /// `--rate`: it may go on then.
    Throttled(Duration),
    /// It is a client no more.
    Gone,
}

impl<S: Stream> Hub<S> {
    /// Reads from one connection, once, and carries out what has come.
    pub(super) fn read(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client) else { return };
        // The list can still name the slot of a connection that was closed after it had been put there.
        if !std::mem::take(&mut connection.queued) {
            return;
        }
        match connection.phase {
            Phase::Active => self.read_requests(client),
            Phase::Finishing | Phase::Lingering => self.discard(client),
            Phase::Closed => {}
        }
    }

    fn read_requests(&mut self, client: ClientId) {
        if self.has_back_pressure(client) {
            return;
        }
        // Both are taken out of the hub for as long as lines are borrowed from them.
        let mut buffer = std::mem::take(&mut self.read_buffer);
        if let Some(read) = self.fill(client, &mut buffer)
            && let Some(connection) = self.connections.get_mut(client)
        {
            let mut lines = connection.take_lines();
            let mut fresh = buffer.get(..read).unwrap_or_default();
            let mut stop = self.carry_out_lines(client, &mut lines, &mut fresh);
            lines.hold(fresh);
            let ended = self.connections.get(client).is_some_and(|connection| connection.ended);
            if stop == Stop::NoMoreLines && ended {
                stop = self.carry_out_last_line(client, &mut lines);
            }
            self.go_on_later(client, lines, stop);
        }
        self.read_buffer = buffer;
    }

    /// Reads into the buffer, unless there are lines enough from the last time. How much has come; `None` if the
    /// connection has broken.
    fn fill(&mut self, client: ClientId, buffer: &mut [u8]) -> Option<usize> {
        let connection = self.connections.get_mut(client)?;
        if !connection.readable || connection.ended || connection.has_lines() {
            return Some(0);
        }
        self.counters.reads += 1;
        match connection.stream.read(buffer) {
            Ok(0) => {
                connection.ended = true;
                connection.readable = false;
                Some(0)
            }
            Ok(read) => {
                // A short read has emptied the socket; what comes later comes with an event of its own. Asking once
                // more would cost a system call for each event.
                connection.readable = read == buffer.len() || connection.hung_up;
                self.counters.bytes_read += read as u64;
                self.timers.start(&mut self.connections, client, Kind::Idle, self.now);
                Some(read)
            }
            // A mute client has nothing more to wait for when its socket is empty: it falls through and is closed.
            Err(error) if error.kind() == ErrorKind::WouldBlock && !connection.mute => {
                connection.readable = false;
                Some(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Some(0),
            Err(_) => {
                self.close(client);
                None
            }
        }
    }

    fn carry_out_lines(&mut self, client: ClientId, lines: &mut Lines, fresh: &mut &[u8]) -> Stop {
        // Others may have filled the first turn that is sent out early; the second is this client's alone.
        let mut filled_one = false;
        for _ in 0..LINES_PER_TURN {
            if self.turn.is_full() {
                self.flush();
                if !self.is_active(client)
                    || self.has_back_pressure(client)
                    || std::mem::replace(&mut filled_one, true)
                {
                    return Stop::Budget;
                }
            }
            // Where nothing is left to pay for, `--rate` must not hold up the end of the input.
            if lines.is_empty() && fresh.is_empty() {
                return Stop::NoMoreLines;
            }
            if let Some(until) = self.throttled_until(client) {
                return Stop::Throttled(until);
            }
            match lines.next(fresh, self.options.max_line) {
                Some(found) => self.carry_out(client, found),
                None => return Stop::NoMoreLines,
            }
        }
        Stop::Budget
    }

    /// The end of the input: what is left is a last line without its line end. With it the client leaves.
    fn carry_out_last_line(&mut self, client: ClientId, lines: &mut Lines) -> Stop {
        if let Some(found) = lines.finish(self.options.max_line) {
            self.carry_out(client, found);
        }
        self.finish(client);
        Stop::Gone
    }

    /// Puts back what is left of the input, and sees to it that the client is come back to.
    fn go_on_later(&mut self, client: ClientId, mut lines: Lines, stop: Stop) {
        let Some(connection) = self.connections.get_mut(client) else { return };
        if connection.phase != Phase::Active {
            lines.clear();
        }
        connection.put_lines(lines, &mut self.memory);
        match stop {
            Stop::NoMoreLines if connection.readable => self.queue(client),
            Stop::Budget => self.queue(client),
            // Nothing can be written to it any more: its sender has gone, and its nickname is not to be held for as
            // long as it would take to carry out bit by bit what it has left behind.
            Stop::Throttled(_) if connection.mute => self.close(client),
            Stop::Throttled(until) => {
                connection.throttled = true;
                self.throttled.push(Reverse((until, client)));
            }
            Stop::NoMoreLines | Stop::Gone => {}
        }
    }

    /// A line becomes a reply, and perhaps a message.
    fn carry_out(&mut self, client: ClientId, found: Found) {
        let parsed = match found {
            Found::TooLong(_) => Some(protocol::Parsed { echo: "null", request: Err(Error::LineTooLong) }),
            Found::Line(line) => protocol::parse(line),
        };
        let Some(protocol::Parsed { echo, request }) = parsed else { return };
        self.pay(client);
        self.counters.requests += 1;
        // The simulation reads this line.
        log::trace!("client {client}: request");
        match request.and_then(|request| self.apply(client, request)) {
            Err(error) => {
                self.counters.errors += 1;
                self.turn.reply(client, |out| protocol::error(out, echo, error));
            }
            Ok(message) => {
                self.turn.reply(client, |out| protocol::response(out, echo));
                if let Some((room, text)) = message {
                    self.post(client, room, text);
                }
            }
        }
    }

    /// Changes the tables as the request asks. For SEND MESSAGE, the room and the text: the reply goes first.
    fn apply<'a>(
        &mut self,
        client: ClientId,
        request: Request<'a>,
    ) -> Result<Option<(RoomId, &'a str)>, Error> {
        match request {
            Request::Login { nickname } => self.chat.login(client, &nickname)?,
            Request::Join { room } => {
                self.settle_room(&room);
                self.chat.join(client, &room)?;
            }
            Request::Leave { room } => {
                self.settle_room(&room);
                self.chat.leave(client, &room)?;
            }
            Request::Send { room, text } => {
                let room = self.chat.find_room_for(client, &room).ok_or(Error::RoomNotFound)?;
                if self.options.members_only && !self.chat.is_member(client, room) {
                    return Err(Error::NotInThisRoom);
                }
                return Ok(Some((room, text)));
            }
        }
        Ok(None)
    }

    fn post(&mut self, client: ClientId, room: RoomId, text: &str) {
        let own = self.chat.is_member(client, room).then_some(client);
        let (name, author) = (self.chat.room_name(room), self.chat.nickname(client));
        let members = self.chat.members(room).len();
        self.turn.message(room, members, own, |out| protocol::get_message(out, name, author, text));
        self.counters.messages += 1;
        self.counters.deliveries += members as u64;
    }

    /// Before the members of a room change, what was sent in this turn is handed to those that it was sent to.
    fn settle_room(&mut self, name: &str) {
        if self.turn.has_news()
            && let Some(room) = self.chat.find_room(name)
        {
            self.turn.settle(room, self.chat.members(room));
        }
    }

    fn is_active(&self, client: ClientId) -> bool {
        self.connections.get(client).is_some_and(|connection| connection.phase == Phase::Active)
    }

    /// Whether the client has to read its replies before more is read from it.
    pub(super) fn has_back_pressure(&self, client: ClientId) -> bool {
        let outbox = self.connections.get(client).and_then(|connection| connection.outbox());
        outbox.map_or(0, Outbox::own_bytes) > self.own_bytes_max()
    }

    /// Reads on from a connection that was stopped, if there is anything to read.
    pub(super) fn resume(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get(client) else { return };
        if connection.readable || connection.ended || connection.has_lines() {
            self.queue(client);
        }
        if self.is_active(client) {
            self.timers.start(&mut self.connections, client, Kind::Idle, self.now);
        }
    }

    /// Throws away what a connection sends that is a client no more. Unread input would turn the end of the connection
    /// into a reset, and that can destroy what is still on its way to the peer.
    fn discard(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client) else { return };
        if !connection.readable || connection.ended && !connection.hung_up {
            return;
        }
        self.counters.reads += 1;
        match connection.stream.read(&mut self.read_buffer) {
            Ok(0) => {
                connection.readable = false;
                connection.ended = true;
                self.close_if_done(client);
            }
            Ok(read) => {
                connection.readable = read == READ_BYTES || connection.hung_up;
                connection.discarded_bytes = connection.discarded_bytes.saturating_add(read as u32);
                if connection.discarded_bytes > DISCARD_BYTES_MAX {
                    self.close(client);
                } else if connection.readable {
                    self.queue(client);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.queue(client),
            Err(_) => self.close(client),
        }
    }

    /// `--rate` as a clock that each request puts forward: when the client may go on, if it may not now.
    fn throttled_until(&self, client: ClientId) -> Option<Duration> {
        let cost_ns = self.request_cost_ns()?;
        let paid_until_ns = self.connections.get(client)?.paid_until_ns;
        let next_ns = paid_until_ns.max(nanoseconds(self.now)) + cost_ns;
        let until = Duration::from_nanos(next_ns).saturating_sub(BURST);
        (until > self.now).then_some(until)
    }

    fn pay(&mut self, client: ClientId) {
        if let Some(cost_ns) = self.request_cost_ns()
            && let Some(connection) = self.connections.get_mut(client)
        {
            connection.paid_until_ns = connection.paid_until_ns.max(nanoseconds(self.now)) + cost_ns;
        }
    }

    fn request_cost_ns(&self) -> Option<u64> {
        1_000_000_000_u64.checked_div(self.options.rate.into())
    }

    /// Reads on from those whose time has come.
    pub(super) fn wake_throttled(&mut self) {
        while let Some(&Reverse((until, client))) = self.throttled.peek()
            && until <= self.now
        {
            self.throttled.pop();
            if let Some(connection) = self.connections.get_mut(client)
                && std::mem::take(&mut connection.throttled)
            {
                self.resume(client);
            }
        }
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
