//! Writing: what waits goes out, in one write for each client as a rule.

use super::Hub;
use crate::chat::ClientId;
use crate::connection::{Phase, Reading, Source, Writing};
use crate::dispatch::Dispatch;
use crate::outbox::Outbox;
use crate::protocol::DisconnectReason;
use crate::transport::{End, Transport};

impl<T: Transport> Hub<T> {
    /// Gives everybody what there is for them, as far as the turn's budget goes; the rest follows in the next turn.
    pub(super) fn flush(&mut self) {
        self.write_to_room();
        self.write_list();
        if !self.writes_are_left {
            self.dispatch.fanout.end_of_flush(&self.dispatch.chat);
            if self.has_little_memory() {
                self.free_memory();
            }
        }
    }

    /// Most members of the room that speaks last in a turn have nothing else to get. They are written to
    /// straight from the batch, and own nothing; only for the others it is queued. After that the batch is
    /// sealed. (With an outbox for each of a thousand members, a message alone in its turn took a tenth
    /// more.)
    fn write_to_room(&mut self) {
        let Some((room, batch, start, end)) = self.dispatch.fanout.take_unsealed() else { return };
        let Hub { connections, dispatch, scratch, counters, .. } = self;
        let Dispatch { chat, fanout, .. } = dispatch;
        let mut failed = Vec::new();
        for &member in chat.members(room) {
            let Some(connection) = connections.get_mut(member as usize) else { continue };
            let is_free = connection.writing == Writing::Open && connection.transport.held() == 0;
            if !is_free || fanout.waiting(member).is_some() || fanout.budget.writes_are_over() {
                fanout.queue_range(member, &batch, start, end);
                continue;
            }
            let Ok(written) = scratch.send_all(&mut connection.transport, &batch.bytes(start, end)) else {
                failed.push(member);
                continue;
            };
            counters.writes += u64::from(written.calls);
            counters.bytes_written += written.bytes as u64;
            fanout.budget.spend_write(written.calls, written.bytes);
            let got = start + written.bytes as u32;
            if got < end {
                connection.writing = Writing::Blocked;
                connection.tell_stalled(true);
                fanout.queue_range(member, &batch, got, end);
            } else if connection.transport.held() > 0 {
                fanout.schedule_write(member);
            }
        }
        failed.into_iter().for_each(|member| self.stop_writing(member));
    }

    /// Writes to those that are listed, in order.
    pub(super) fn write_list(&mut self) {
        while !self.dispatch.fanout.budget.writes_are_over()
            && let Some(client) = self.dispatch.fanout.next_to_write()
        {
            self.write(client);
        }
        self.writes_are_left = self.dispatch.fanout.has_to_write();
    }

    /// Writes to one client, and sees what follows from that.
    fn write(&mut self, client: ClientId) {
        let is_too_slow = self.is_too_slow(client);
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        match connection.writing {
            // No room, as far as is known.
            Writing::Blocked if !is_too_slow => return,
            Writing::Closing => {
                self.dispatch.fanout.release(client);
                return self.close_if_done(client);
            }
            Writing::Failed | Writing::Finished => {
                let was_held_back = connection.reading == Reading::HeldBack;
                self.dispatch.fanout.release(client);
                if was_held_back {
                    self.resume(client);
                }
                return;
            }
            // Blocked, but about to be ended: one more try. Its socket may have room again, and only the next
            // poll would say so.
            Writing::Open | Writing::Blocked => {}
        }
        let Some(outbox) = self.dispatch.fanout.outbox_mut(client) else { return };
        let written = match outbox.write_to(&mut connection.transport, &mut self.scratch) {
            Ok(written) => written,
            Err(_) => return self.stop_writing(client),
        };
        let flushed = if outbox.is_empty() && connection.transport.held() > 0 {
            match connection.transport.flush() {
                Ok(flushed) => flushed,
                Err(_) => return self.stop_writing(client),
            }
        } else {
            outbox.is_empty()
        };
        outbox.set_held(connection.transport.held());
        self.counters.writes += u64::from(written.calls);
        self.counters.bytes_written += written.bytes as u64;
        if let Phase::Finishing { progress_at } = &mut connection.phase
            && written.bytes > 0
        {
            *progress_at = self.now;
        }
        connection.writing = if flushed { Writing::Open } else { Writing::Blocked };
        connection.tell_stalled(!flushed);
        let is_held_back = connection.reading == Reading::HeldBack;
        self.dispatch.fanout.budget.spend_write(written.calls, written.bytes);
        if is_held_back && !self.is_held_back(client) {
            self.resume(client);
        }
        if flushed {
            self.dispatch.fanout.release(client);
            self.close_if_done(client);
        } else if self.is_too_slow(client) {
            self.disconnect(client, DisconnectReason::TooSlow);
        }
    }

    /// Whether more of others' messages waits for a client than may. One line alone always may.
    pub(super) fn is_too_slow(&self, client: ClientId) -> bool {
        let too_much = |outbox: &&Outbox| outbox.others_bytes() > self.options.max_pending;
        let outbox = self.dispatch.fanout.waiting(client).filter(too_much);
        let connection = self.connections.get(client as usize);
        connection.is_some_and(|connection| connection.phase == Phase::Active)
            && outbox.is_some_and(Outbox::has_lines_of_others)
    }

    /// Nothing can be written to this client any more. What it has sent is still executed: a client may send and close
    /// at once, and the first reply then meets a closed socket while its requests wait to be read.
    fn stop_writing(&mut self, client: ClientId) {
        self.dispatch.fanout.release(client);
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        if connection.phase != Phase::Active {
            return self.close(client);
        }
        connection.writing = Writing::Failed;
        if !matches!(connection.source, Source::Ended(_)) {
            connection.source = Source::Unread;
        }
        self.resume(client);
    }

    /// Closes a connection that has nothing more to wait for: all is written, the transport has said its goodbye, and
    /// the end of the input is read.
    pub(super) fn close_if_done(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        let waits = self.dispatch.fanout.waiting(client).is_some_and(|outbox| !outbox.is_empty());
        let has_said_goodbye = matches!(connection.writing, Writing::Closing | Writing::Finished);
        if waits || (connection.transport.held() > 0 && !has_said_goodbye) {
            return;
        }
        let reason = match connection.phase {
            Phase::Active | Phase::Closed => return,
            // Both sides have said all.
            Phase::Finishing { .. } if connection.source == Source::Ended(End::Closed) => {
                return self.close(client);
            }
            Phase::Finishing { .. } => None,
            Phase::Lingering { reason, .. } => reason,
        };
        if connection.writing != Writing::Finished {
            match connection.transport.finish(reason) {
                Ok(true) => {
                    connection.writing = Writing::Finished;
                    connection.tell_stalled(false);
                    self.goodbye_is_said(client);
                }
                Ok(false) => {
                    connection.writing = Writing::Closing;
                    connection.tell_stalled(true);
                }
                Err(_) => return self.close(client),
            }
        }
        let Some(connection) = self.connections.get(client as usize) else { return };
        if connection.writing == Writing::Finished && matches!(connection.source, Source::Ended(_)) {
            self.close(client);
        }
    }
}
