//! How a connection ends: by itself, by the server's decision, or with the server.
//!
//! ```text
//! Active --its input has ended--> Finishing --all is out--> Closed --end of the turn--> the slot is free
//!   |                                 |                        ^
//!   | the server has ended it         | TLS and WebSocket      | the peer's end, or 5 seconds
//!   v                                 v said goodbye first     |
//!   +---------------------------> Lingering -------------------+
//! ```
//!
//! An error of the socket leads to Closed from anywhere; when only writing has failed, what the client had sent is
//! executed first. A client in Finishing that takes nothing for a minute is given up.

use std::time::Duration;

use super::{Hub, Notice};
use crate::chat::ClientId;
use crate::connection::{Phase, Reading, Source, Writing};
use crate::deadlines::Moment;
use crate::heap;
use crate::outbox::Scratch;
use crate::protocol::DisconnectReason;
use crate::transport::{End, STALLED_FACTOR, Transport};

/// The longest that a connection which the server ends is kept for its last words: the final line, which says
/// why.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// The most connections that are kept for their last words, beside the clients; past it the oldest is closed.
pub const LINGERING_MAX: usize = 1024;

/// A client that has closed its side is given up after taking nothing of what waits for it for this long.
const FINISH_WITHOUT_PROGRESS: Duration = Duration::from_secs(60);

/// When the server stops, a peer that has got everything has so long to close its side.
const CLOSE_AFTER_STOP: Duration = Duration::from_secs(1);

impl<T: Transport> Hub<T> {
    /// The client has ended its input and all that it sent has been executed: it has left. What waits for it still
    /// goes out.
    pub(super) fn finish(&mut self, client: ClientId) {
        self.leave_tables(client);
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        connection.phase = Phase::Finishing { progress_at: self.now };
        if connection.writing == Writing::Failed {
            return self.close(client);
        }
        self.dispatch.fanout.schedule_write(client);
        self.enter_deadline(client);
    }

    /// Ends a connection, and tells the client why. From here on it has left its rooms and its nickname is free.
    pub(super) fn disconnect(&mut self, client: ClientId, reason: DisconnectReason) {
        let Some(connection) = self.connections.get(client as usize).filter(|it| it.is_client()) else {
            return;
        };
        // Behind a goodbye that waits for room nothing can be said.
        let is_mute = matches!(connection.writing, Writing::Failed | Writing::Closing);
        self.counters.disconnected[reason.kind()] += 1;
        self.log_disconnect(client, reason);
        if is_mute {
            return self.close(client);
        }
        self.leave_tables(client);
        self.uncount(client);
        if matches!(reason, DisconnectReason::TooSlow | DisconnectReason::OutOfMemory)
            && let Some(outbox) = self.dispatch.fanout.outbox_mut(client)
        {
            outbox.cut();
        }
        self.dispatch.say_why(client, reason);
        self.linger(client, Some(reason));
    }

    /// How many connections are kept for their last words.
    fn lingering_max(&self) -> usize {
        // All clients of a node that has lost its engine are told so at once.
        #[cfg(feature = "cluster")]
        if self.is_telling_all() {
            return LINGERING_MAX + self.options.max_clients;
        }
        LINGERING_MAX
    }

    /// What still comes from this connection is thrown away from here on.
    fn linger(&mut self, client: ClientId, reason: Option<DisconnectReason>) {
        let until = self.stop_at.unwrap_or(self.now + LINGER);
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        connection.phase = Phase::Lingering { until, reason };
        connection.input = None;
        connection.transport.give_up_input();
        if matches!(connection.source, Source::Drained | Source::Ended(End::Goodbye | End::Broken)) {
            connection.source = Source::Unread;
        }
        self.lingering.push_back((until, client));
        self.lingering_len += 1;
        if self.stop_at.is_none() && self.lingering_len > self.lingering_max() {
            self.close_oldest_lingering();
        }
        self.queue(client);
        self.enter_deadline(client);
    }

    /// The last words and the goodbye are out; only the peer's end is missing.
    pub(super) fn goodbye_is_said(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        match (&mut connection.phase, self.stop_at) {
            (Phase::Finishing { .. }, _)
                if matches!(connection.source, Source::Ended(End::Goodbye | End::Broken)) =>
            {
                self.uncount(client);
                self.linger(client, None);
            }
            (Phase::Lingering { until, .. }, Some(stop_at)) => {
                let patience = if self.options.drain.is_zero() { Duration::ZERO } else { CLOSE_AFTER_STOP };
                // One that lingered before the stop (its `until` is earlier) has no more than what is left of its time.
                let enough = self.now.min(stop_at) + patience;
                *until = if *until < stop_at { enough.min(*until) } else { enough };
                self.enter_deadline(client);
            }
            _ => {}
        }
    }

    /// Closes the connection that has lingered longest. Whether there was one.
    pub fn close_oldest_lingering(&mut self) -> bool {
        while let Some((entered, client)) = self.lingering.pop_front() {
            let phase = self.connections.get(client as usize).map(|connection| connection.phase);
            if matches!(phase, Some(Phase::Lingering { until, .. }) if until == entered) {
                self.close(client);
                return true;
            }
        }
        false
    }

    /// Closes a connection without further words. Its slot is free at the end of the turn.
    pub(super) fn close(&mut self, client: ClientId) {
        self.leave_tables(client);
        self.uncount(client);
        self.dispatch.fanout.release(client);
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        let was = std::mem::replace(&mut connection.phase, Phase::Closed);
        connection.input = None;
        if matches!(was, Phase::Lingering { .. }) {
            self.lingering_len -= 1;
        }
        if was != Phase::Closed {
            self.closed.push(client);
        }
    }

    /// Frees the slots of what has been closed. Only now: an event of this turn may not meet a new client in an old
    /// slot.
    pub(super) fn reap(&mut self) {
        let mut was_listed = false;
        while let Some(client) = self.closed.pop() {
            let removed = self.connections.try_remove(client as usize);
            debug_assert!(removed.is_some(), "closed twice");
            was_listed |= removed.is_some_and(|removed| removed.reading.is_listed());
        }
        if was_listed {
            // The next client in that slot would be read from twice in a turn.
            let connections = &self.connections;
            let is_live = |client: ClientId| {
                connections.get(client as usize).is_some_and(|connection| connection.reading.is_listed())
            };
            self.ready.retain(|&client| is_live(client));
            self.ready_again.retain(|&client| is_live(client));
        }
        if self.connections.is_empty() && self.connections.capacity() > 2 * super::RESERVED_CONNECTIONS_MAX {
            self.connections.shrink_to_fit();
        }
        if self.lingering.len() > 2 * self.lingering_len + 64 {
            let connections = &self.connections;
            self.lingering.retain(|&(entered, client)| {
                let phase = connections.get(client as usize).map(|connection| connection.phase);
                matches!(phase, Some(Phase::Lingering { until, .. }) if until == entered)
            });
        }
        let connections = &self.connections;
        self.deadlines.sweep(connections.len(), |at, client| {
            connections.get(client as usize).is_some_and(|connection| connection.entered_for == at)
        });
        self.dispatch.fanout.shrink(connections.capacity());
        // Both are asked, always: each notes how far it is.
        let names_have_gone = self.dispatch.chat.long_names_have_gone();
        if self.advance_burst() || names_have_gone {
            // What is kept for its next use may lie above all that has been freed.
            self.spare_input = None;
            self.scratch = Scratch::default();
            self.dispatch.fanout.drop_spares();
            heap::settle();
        }
        if names_have_gone {
            self.dispatch.chat.renew_lists();
            heap::settle();
        }
    }

    /// When this connection has to be looked at, if at no other time.
    fn deadline(&self, client: ClientId) -> Option<Moment> {
        let connection = self.connections.get(client as usize)?;
        match connection.phase {
            Phase::Active => match connection.reading {
                Reading::Throttled => Some(self.throttled_until(client)),
                // Whoever waits for the server, or is held back, is not idle.
                Reading::Queued | Reading::LastLook | Reading::HeldBack => None,
                #[cfg(feature = "cluster")]
                Reading::Asking => None,
                Reading::Idle => [self.idle_at(client), self.ping_at(client)].into_iter().flatten().min(),
            },
            Phase::Finishing { progress_at } => {
                let without_progress = progress_at + FINISH_WITHOUT_PROGRESS;
                Some(self.stop_at.map_or(without_progress, |stop_at| stop_at.min(without_progress)))
            }
            Phase::Lingering { until, .. } => Some(until),
            Phase::Closed => None,
        }
    }

    fn idle_at(&self, client: ClientId) -> Option<Moment> {
        let connection = self.connections.get(client as usize)?;
        Some(connection.heard_at + self.options.idle_timeout).filter(|_| !self.options.idle_timeout.is_zero())
    }

    /// Whether an answer is awaited. Something may have come since the time-out, and much time have passed then.
    fn was_pinged(&self, client: ClientId) -> bool {
        self.connections.get(client as usize).is_some_and(|connection| connection.pinged)
    }

    /// When a peer that says nothing is to be asked for a sign of life, or, if it was, is given up.
    fn ping_at(&self, client: ClientId) -> Option<Moment> {
        let connection = self.connections.get(client as usize)?;
        if self.options.keepalive.is_zero() || !connection.transport.can_ping() {
            return None;
        }
        let patience = match connection.pinged {
            false => self.options.keepalive / 2,
            true if connection.writing == Writing::Blocked => self.options.keepalive * STALLED_FACTOR,
            true => self.options.keepalive,
        };
        Some(connection.alive_at + patience)
    }

    /// Enters the connection among the deadlines, unless it is there early enough.
    pub(super) fn enter_deadline(&mut self, client: ClientId) {
        let deadline = self.deadline(client);
        if let Some(at) = deadline
            && let Some(connection) = self.connections.get_mut(client as usize)
            && at < connection.entered_for
        {
            connection.entered_for = at;
            self.deadlines.push(at, client);
        }
    }

    /// Looks at those whose time has come.
    pub(super) fn expire(&mut self) {
        while let Some((at, client)) = self.deadlines.pop_due(self.now) {
            let Some(connection) = self.connections.get_mut(client as usize) else { continue };
            if connection.entered_for != at {
                continue;
            }
            connection.entered_for = Moment::NEVER;
            let phase = connection.phase;
            if self.deadline(client).is_none_or(|at| at > self.now) {
                self.enter_deadline(client);
                continue;
            }
            match phase {
                Phase::Active => self.expire_client(client),
                Phase::Finishing { .. } => {
                    self.log_gave_up(client);
                    self.close(client);
                }
                Phase::Lingering { .. } => self.close(client),
                Phase::Closed => {}
            }
        }
    }

    /// A time-out of a client. Before it is ended, its socket is read once more: what has arrived counts, also when
    /// the server itself stood still for a while.
    fn expire_client(&mut self, client: ClientId) {
        let now = self.now;
        let is_idle = self.idle_at(client).is_some_and(|at| at <= now);
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        if connection.reading == Reading::Throttled {
            return self.resume(client);
        }
        if !is_idle && !connection.pinged {
            // However late this is (the server stood still): the peer has as long to answer as if it were in time.
            connection.alive_at = connection.alive_at.max(now.before(self.options.keepalive / 2));
            connection.pinged = true;
            connection.transport.ping();
            let has_room = connection.writing == Writing::Open;
            self.dispatch.fanout.transport_holds(client, connection.transport.held(), has_room);
            return self.enter_deadline(client);
        }
        connection.reading = Reading::LastLook;
        connection.source = Source::Unread;
        self.ready.push_back(client);
    }

    /// The last look has found nothing.
    pub(super) fn time_out(&mut self, client: ClientId) {
        if self.idle_at(client).is_some_and(|at| at <= self.now) {
            self.disconnect(client, DisconnectReason::IdleTooLong);
        } else if self.was_pinged(client) && self.ping_at(client).is_some_and(|at| at <= self.now) {
            self.log_vanished(client);
            self.close(client);
        }
    }

    /// Stops: nothing more is executed. Everybody gets what waits and a last line, for at most `--drain`, and has
    /// a second more to close.
    pub fn stop(&mut self, now: Duration) {
        self.now = now.into();
        let asked_at = self.now;
        #[cfg(feature = "cluster")]
        let Some(asked_at) = self.leave_cluster(asked_at) else { return };
        let stop_at = asked_at + self.options.drain;
        self.stop_at = Some(stop_at);
        let clients: Vec<ClientId> = self.connections.iter().map(|(slot, _)| slot as ClientId).collect();
        for client in clients {
            let Some(connection) = self.connections.get_mut(client as usize) else { continue };
            match &mut connection.phase {
                Phase::Active => self.disconnect(client, DisconnectReason::ShuttingDown),
                Phase::Lingering { until, .. } => {
                    *until = stop_at.min(*until);
                    if connection.writing == Writing::Finished {
                        self.goodbye_is_said(client);
                    }
                }
                Phase::Finishing { .. } | Phase::Closed => {}
            }
            self.enter_deadline(client);
        }
    }

    /// Takes the client out of the tables.
    fn leave_tables(&mut self, client: ClientId) {
        self.log_left(client);
        if self.dispatch.remove_client(client) {
            self.notify(Notice::Left(client));
        }
    }

    /// It counts no longer as a client.
    fn uncount(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get(client as usize).filter(|it| it.is_client()) else {
            return;
        };
        self.clients -= 1;
        if let Some(ip) = connection.peer.ip()
            && let Some(count) = self.clients_at.get_mut(&ip.into())
        {
            *count -= 1;
            if *count == 0 {
                self.clients_at.remove(&ip.into());
            }
        }
    }
}
