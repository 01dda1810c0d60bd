//! Writing: what a turn has to say goes out, once for each client, and what the kernel would not take waits.

use std::io::{self, ErrorKind, Write};

use super::Hub;
use crate::chat::ClientId;
use crate::connection::{Connection, Phase, Stream};
use crate::protocol::DisconnectReason;
use crate::timers::Kind;

impl<S: Stream> Hub<S> {
    /// Gives everybody what the turn has for them, and begins a new one.
    pub(super) fn flush(&mut self) {
        while let Some(room) = self.turn.next_room() {
            self.turn.settle(room, self.chat.members(room));
        }
        let clients = self.turn.take_clients();
        for &client in &clients {
            self.deliver(client);
        }
        self.turn.clear(clients, &mut self.memory);
        while let Some(client) = self.too_slow.pop() {
            // Its socket may have room again since the last write; only the next poll would say so.
            self.pump(client);
            if self.is_too_slow(client) {
                self.say_farewell(client, DisconnectReason::TooSlow);
            }
        }
        while let Some(client) = self.finishing.pop() {
            self.close_if_done(client);
        }
    }

    /// Writes one client's share. What does not go out now is kept for it.
    fn deliver(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client) else { return };
        let is_client = matches!(connection.phase, Phase::Active | Phase::Finishing);
        if !is_client || connection.mute {
            return;
        }
        self.turn.lay_out(client);
        let mut written = 0;
        if connection.outbox().is_none() {
            let bytes = self.turn.share_bytes();
            match write_until_full(&mut connection.stream, bytes, &mut self.counters.writes) {
                Ok(bytes_written) => written = bytes_written,
                Err(_) => return self.stop_writing(client),
            }
            self.counters.bytes_written += written as u64;
            if written == bytes.len() {
                return;
            }
        }
        self.turn.keep_rest(written, connection.outbox_mut(), &mut self.memory);
        connection.account(&mut self.memory);
        if self.is_too_slow(client) {
            self.too_slow.push(client);
        }
    }

    /// Whether more of others' messages waits for a client than may. One line alone always may.
    pub(super) fn is_too_slow(&self, client: ClientId) -> bool {
        let connection = self.connections.get(client);
        let outbox =
            connection.filter(|connection| connection.phase == Phase::Active).and_then(Connection::outbox);
        outbox.is_some_and(|outbox| {
            outbox.others_bytes() > self.options.max_pending && outbox.others_lines_are_many()
        })
    }

    /// Writes what waits for a client whose socket has room again.
    pub(super) fn pump(&mut self, client: ClientId) {
        let had_back_pressure = self.has_back_pressure(client);
        let Some(connection) = self.connections.get_mut(client) else { return };
        if connection.outbox().is_none() {
            return;
        }
        match connection.pump(&mut self.scratch, &mut self.memory) {
            Err(_) => return self.stop_writing(client),
            Ok(written) => {
                self.counters.writes += written.calls as u64;
                self.counters.bytes_written += written.bytes as u64;
                if connection.phase == Phase::Finishing && written.bytes > 0 && !self.stopping {
                    self.timers.start(&mut self.connections, client, Kind::Finishing, self.now);
                }
            }
        }
        self.close_if_done(client);
        if had_back_pressure && !self.has_back_pressure(client) {
            self.resume(client);
        }
    }

    /// Nothing can be written to this client any more. What it has sent is still carried out: a client may send and
    /// close at once, and the first reply then meets a closed socket while its requests wait to be read.
    fn stop_writing(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client) else { return };
        if connection.phase != Phase::Active {
            return self.close(client);
        }
        connection.mute = true;
        connection.readable = true;
        connection.hung_up = true;
        connection.drop_output(&mut self.memory);
        self.queue(client);
    }
}

/// Writes until all is out or the kernel takes no more. Only `WouldBlock` says that an event will come.
fn write_until_full(stream: &mut impl Write, bytes: &[u8], calls: &mut u64) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        *calls += 1;
        match stream.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
