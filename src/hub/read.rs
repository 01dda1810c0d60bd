//! Reading, and executing what is asked for.

use std::time::Duration;

use super::{CROWD, CROWD_READ_BYTES, Hub, Notice, READ_BYTES};
use crate::chat::ClientId;
use crate::connection::{Connection, Input, Phase, Reading, Source, Writing};
use crate::deadlines::Moment;
use crate::dispatch::Executed;
use crate::lines::Found;
use crate::outbox::Outbox;
use crate::protocol::{DisconnectReason, FirstBytes, Foreign};
use crate::transport::{End, Received, Transport};

/// The most lines of one client that a turn executes, if its share of the turn does not end before; the rest
/// waits until the others have had theirs. One read holds so many lines of 64 bytes. By the
/// [budget](crate::budget) they take a third of a millisecond, without what is written because of them.
const LINES_PER_TURN: usize = 1024;

/// How much a client that the server has ended may still send before it is given up.
const DISCARD_BYTES_MAX: u32 = 16 << 20;

/// `--rate`: as many requests as are allowed in this time may come at once.
const RATE_TOLERANCE: Duration = Duration::from_secs(2);

/// Why a client's reading ends for this turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// No whole line is left of what has been read.
    NoMoreLines,
    /// It, or everybody together, has had enough of this turn.
    Budget,
    /// `--rate`: it may go on later.
    Throttled,
    /// This is no client of ours.
    Foreign(Foreign),
    /// Its request waits for an answer of the Redis that joins several nodes.
    #[cfg(feature = "cluster")]
    Asked,
}

impl<T: Transport> Hub<T> {
    /// Reads from those that are ready, in order, until what they ask for is enough for one turn: first from those who
    /// may want little, each of whom has an equal share of the turn, and then from those who are known to want more,
    /// each of whom may take what is left of it. How much a request costs is seen only afterwards, so those who want much cannot be found out and put first.
    pub(super) fn read_ready(&mut self) {
        // Whoever is put on a list from here on is read from in the next turn at the earliest, behind all who
        // are on that list by then.
        let (first, again) = (self.ready.len(), self.ready_again.len());
        for _ in 0..first {
            let Some(client) = self.ready.pop_front() else { break };
            self.dispatch.fanout.budget.begin_share(first + again);
            self.read(client, first + again);
            if self.turn_is_over() {
                return;
            }
            if again > 0 && self.dispatch.fanout.budget.first_are_over() {
                break;
            }
        }
        for _ in 0..again {
            let Some(client) = self.ready_again.pop_front() else { return };
            self.dispatch.fanout.budget.begin_share(1);
            self.read(client, first + again);
            if self.turn_is_over() {
                return;
            }
        }
    }

    fn turn_is_over(&self) -> bool {
        self.dispatch.fanout.budget.requests_are_over() || self.has_little_memory()
    }

    /// Reads from one connection, one of so many that are ready, once, and executes what has come.
    fn read(&mut self, client: ClientId, ready_len: usize) {
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        // A guard: `reap` takes freed slots off the lists before they are used again. One that was closed in
        // this turn is passed over below, by its phase.
        if !connection.reading.is_listed() {
            return;
        }
        let was = std::mem::replace(&mut connection.reading, Reading::Idle);
        match connection.phase {
            Phase::Active => self.read_requests(client, was == Reading::LastLook, ready_len),
            Phase::Lingering { .. } => self.discard(client),
            Phase::Finishing { .. } | Phase::Closed => {}
        }
        self.enter_deadline(client);
    }

    fn read_requests(&mut self, client: ClientId, is_last_look: bool, ready_len: usize) {
        if self.is_held_back(client) {
            return self.set_reading(client, Reading::HeldBack);
        }
        // Taken out of the hub for as long as lines are borrowed from it.
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let bytes = if ready_len < CROWD { READ_BYTES } else { CROWD_READ_BYTES };
        let room = buffer.get_mut(..bytes).unwrap_or_default();
        let room_bytes = room.len();
        if let Some(count) = self.receive(client, room, is_last_look) {
            let stop = self.execute_lines(client, buffer.get(..count).unwrap_or_default());
            self.go_on_later(client, stop, count == room_bytes);
        }
        self.read_buffer = buffer;
    }

    fn set_reading(&mut self, client: ClientId, reading: Reading) {
        if let Some(connection) = self.connections.get_mut(client as usize) {
            connection.reading = reading;
        }
    }

    /// Reads into the buffer, unless there are lines enough from the last time. How much has come; `None` if the
    /// connection is no client's any more.
    fn receive(&mut self, client: ClientId, buffer: &mut [u8], is_last_look: bool) -> Option<usize> {
        let connection = self.connections.get_mut(client as usize)?;
        if connection.source != Source::Unread || connection.has_lines() {
            return Some(0);
        }
        self.counters.reads += 1;
        let received = connection.transport.receive(buffer);
        self.dispatch.fanout.budget.spend_read(connection.transport.receive_ns());
        let has_room = connection.writing == Writing::Open;
        self.dispatch.fanout.transport_holds(client, connection.transport.held(), has_room);
        match received {
            Ok(Received::Bytes { count, drained }) => {
                connection.source = if drained { Source::Drained } else { Source::Unread };
                (connection.alive_at, connection.pinged) = (self.now, false);
                if count > 0 {
                    connection.heard_at = self.now;
                } else if is_last_look {
                    self.ready.push_back(client);
                    connection.reading = Reading::LastLook;
                    connection.source = Source::Unread;
                    return None;
                }
                self.counters.bytes_read += count as u64;
                Some(count)
            }
            Ok(Received::Nothing) => {
                connection.source = Source::Drained;
                if is_last_look {
                    self.time_out(client);
                    return None;
                }
                Some(0)
            }
            Ok(Received::End(end)) => {
                connection.source = Source::Ended(end);
                Some(0)
            }
            Err(_) => {
                self.close(client);
                None
            }
        }
    }

    /// Executes the lines of what is held and of what has come. What is left over is held.
    fn execute_lines(&mut self, client: ClientId, mut fresh: &[u8]) -> Stop {
        let Some(connection) = self.connections.get_mut(client as usize) else { return Stop::NoMoreLines };
        let ended = matches!(connection.source, Source::Ended(_));
        let input = connection.input.take().or_else(|| self.spare_input.take());
        let mut input = input.unwrap_or_else(|| Box::new(Input::new(&self.memory)));
        if ended {
            // What could have become another protocol has not.
            input.lines.hold(connection.beginning.end_of_input());
        }
        let stop = match begin(connection, &mut input, &mut fresh) {
            Some(foreign) => Stop::Foreign(foreign),
            None => self.execute_each(client, &mut input, &mut fresh),
        };
        input.lines.hold(fresh);
        let stop =
            if stop == Stop::NoMoreLines && ended { self.execute_last(client, &mut input) } else { stop };
        if matches!(stop, Stop::Foreign(_)) {
            input.lines.clear();
        }
        input.settle();
        if input.lines.is_idle() {
            input.lines.clear();
            self.spare_input = Some(input);
        } else if let Some(connection) = self.connections.get_mut(client as usize) {
            connection.input = Some(input);
        }
        stop
    }

    fn execute_each(&mut self, client: ClientId, input: &mut Input, fresh: &mut &[u8]) -> Stop {
        for number in 0..LINES_PER_TURN {
            // Where nothing is left to pay for, `--rate` must not hold up the end of the input.
            if input.lines.is_empty() && fresh.is_empty() {
                return Stop::NoMoreLines;
            }
            let has_had_its_share = number > 0 && self.dispatch.fanout.budget.share_is_over();
            if has_had_its_share || self.is_held_back(client) {
                return Stop::Budget;
            }
            if self.throttled_until(client) > self.now {
                return Stop::Throttled;
            }
            let Some(found) = input.lines.next(fresh, self.options.max_line) else {
                return Stop::NoMoreLines;
            };
            self.dispatch.fanout.budget.spend_request(found.bytes());
            if let Some(stop) = self.execute(client, found) {
                return stop;
            }
        }
        Stop::Budget
    }

    /// The end of the input: what is left is a last line without its line end.
    fn execute_last(&mut self, client: ClientId, input: &mut Input) -> Stop {
        let Some(connection) = self.connections.get_mut(client as usize) else { return Stop::NoMoreLines };
        if matches!(connection.source, Source::Ended(End::Truncated | End::Broken)) {
            input.lines.clear();
        }
        let last = input.lines.finish(self.options.max_line);
        last.and_then(|found| self.execute(client, found)).unwrap_or(Stop::NoMoreLines)
    }

    /// Executes one line. If no other is to be executed after it: why.
    fn execute(&mut self, client: ClientId, found: Found) -> Option<Stop> {
        let connection = self.connections.get_mut(client as usize)?;
        if !connection.beginning.is_over()
            && let Some(foreign) = connection.beginning.first_line(&found)
        {
            return Some(Stop::Foreign(foreign));
        }
        let executed = self.dispatch.execute(client, found);
        if executed != Executed::Blank {
            self.pay(client);
        }
        match executed {
            Executed::Blank => None,
            Executed::Replied => {
                self.notify(Notice::Executed(client));
                None
            }
            #[cfg(feature = "cluster")]
            Executed::Asked => Some(Stop::Asked),
        }
    }

    /// Sees to it that the client is come back to. `wants_much`: the read was full.
    fn go_on_later(&mut self, client: ClientId, stop: Stop, wants_much: bool) {
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        let writing = connection.writing;
        match (stop, connection.source) {
            (Stop::Foreign(foreign), _) => self.disconnect(client, DisconnectReason::WrongProtocol(foreign)),
            (Stop::NoMoreLines, Source::Ended(_)) => self.finish(client),
            // Nothing can be written to it, and all that it has sent is executed. No event need come any more.
            (Stop::NoMoreLines, Source::Drained) if writing == Writing::Failed => self.close(client),
            (Stop::NoMoreLines, Source::Drained) => {}
            // There may be more, but as a rule there is not.
            (Stop::NoMoreLines, Source::Unread) if !wants_much => self.queue(client),
            (Stop::NoMoreLines, Source::Unread) | (Stop::Budget, _) => self.queue_again(client),
            // Nothing can be written to it any more: its sender has gone, and its nickname is not to be held for as
            // long as it would take to execute bit by bit what it has left behind.
            (Stop::Throttled, _) if writing == Writing::Failed => self.close(client),
            (Stop::Throttled, _) => connection.reading = Reading::Throttled,
            #[cfg(feature = "cluster")]
            (Stop::Asked, _) => connection.reading = Reading::Asking,
        }
    }

    /// Whether the client has to take more of what it has caused itself before more is executed for it.
    pub(super) fn is_held_back(&self, client: ClientId) -> bool {
        let own_bytes = self.dispatch.fanout.waiting(client).map_or(0, Outbox::own_bytes);
        own_bytes > self.own_bytes_max()
    }

    /// Lets a connection be read from again that was stopped (by `--rate`, by back-pressure, by a question to
    /// the engine), or that cannot be written to any more. It is put on a list if there may be anything to
    /// read or lines are held. Time in which it was stopped does not count as idle. One that is on a list
    /// stays where it is.
    pub(super) fn resume(&mut self, client: ClientId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        if connection.reading.is_listed() {
            return;
        }
        #[cfg(feature = "cluster")]
        if connection.reading == Reading::Asking {
            return;
        }
        connection.reading = Reading::Idle;
        (connection.heard_at, connection.alive_at) = (now, now);
        if connection.source != Source::Drained || connection.has_lines() {
            self.queue_again(client);
        }
        self.enter_deadline(client);
    }

    /// Throws away what a connection sends that is a client no more. Unread input would turn the end of the connection
    /// into a reset, and that can destroy what is still on its way to the peer.
    fn discard(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        if connection.source != Source::Unread {
            return;
        }
        self.counters.reads += 1;
        let received = connection.transport.receive(&mut self.read_buffer);
        self.dispatch.fanout.budget.spend_read(connection.transport.receive_ns());
        match received {
            // The end of the socket is still to come, perhaps behind bytes that mean nothing.
            Ok(Received::End(End::Goodbye | End::Broken)) => self.queue_again(client),
            Ok(Received::End(end)) => {
                connection.source = Source::Ended(end);
                self.close_if_done(client);
            }
            Ok(Received::Bytes { count, drained }) => {
                connection.source = if drained { Source::Drained } else { Source::Unread };
                connection.discarded_bytes = connection.discarded_bytes.saturating_add(count as u32);
                if connection.discarded_bytes > DISCARD_BYTES_MAX {
                    self.close(client);
                } else if !drained {
                    self.queue_again(client);
                }
            }
            Ok(Received::Nothing) => connection.source = Source::Drained,
            Err(_) => self.close(client),
        }
    }

    /// `--rate` as a clock that each request puts forward: when the client may go on. (A token bucket, in the
    /// form that is known as GCRA: `paid_until` is its theoretical arrival time, [`RATE_TOLERANCE`] its tolerance.)
    pub(super) fn throttled_until(&self, client: ClientId) -> Moment {
        let (Some(cost), Some(connection)) = (self.request_cost(), self.connections.get(client as usize))
        else {
            return Moment::default();
        };
        (connection.paid_until.max(self.now) + cost).before(RATE_TOLERANCE)
    }

    fn pay(&mut self, client: ClientId) {
        if let Some(cost) = self.request_cost()
            && let Some(connection) = self.connections.get_mut(client as usize)
        {
            connection.paid_until = connection.paid_until.max(self.now) + cost;
        }
    }

    fn request_cost(&self) -> Option<Duration> {
        1_000_000_000_u64.checked_div(self.options.rate as u64).map(Duration::from_nanos)
    }
}

/// Judges the first bytes of a connection. The other protocol that it speaks, if it does.
fn begin<T>(connection: &mut Connection<T>, input: &mut Input, fresh: &mut &[u8]) -> Option<Foreign> {
    if !connection.beginning.wants_bytes() || fresh.is_empty() {
        return None;
    }
    match connection.beginning.first_bytes(fresh) {
        FirstBytes::Undecided => *fresh = &[],
        FirstBytes::Lines(earlier) => input.lines.hold(earlier),
        FirstBytes::Foreign(foreign) => return Some(foreign),
    }
    None
}
