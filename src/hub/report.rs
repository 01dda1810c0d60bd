//! What is counted, and what is logged: never a line for each message. With `--log info` and above no client
//! can make the log grow faster than a line a second for each reason; with `--log debug` there is a line for
//! each who comes and for each who goes.

use std::cmp::Reverse;
use std::fmt::{self, Display};
use std::time::Duration;

use super::Hub;
use crate::chat::ClientId;
use crate::dispatch::{Action, RequestCounters};
use crate::logging::{Limiter, quoted};
use crate::outbox::Outbox;
use crate::protocol::DisconnectReason;
use crate::transport::Transport;

/// How many clients and addresses SIGUSR1 lists.
const LISTED: usize = 10;

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, those refused with `Too many clients` included.
    pub accepted: u64,
    /// Lines that got a reply.
    pub requests: u64,
    /// Of them, those that got an ERROR.
    pub errors: u64,
    /// Of `requests`: by action, in the order of [`Action::ALL`], carried out and refused.
    pub by_action: [[u64; 2]; Action::ALL.len()],
    /// Messages sent to rooms.
    pub messages: u64,
    /// Messages times the members of their rooms.
    pub deliveries: u64,
    /// Bytes read from clients.
    pub bytes_read: u64,
    /// Bytes written to clients.
    pub bytes_written: u64,
    /// Calls of `read`.
    pub reads: u64,
    /// Calls of `write`.
    pub writes: u64,
    /// Connections that the server has ended, by the [kind](DisconnectReason::kind) of the reason.
    pub disconnected: [u64; DisconnectReason::WORDS.len()],
}

impl Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "accepted {}, requests {}, errors {}, ", self.accepted, self.requests, self.errors)?;
        write!(f, "messages {}, deliveries {}, ", self.messages, self.deliveries)?;
        write!(f, "read {} bytes in {} calls, ", self.bytes_read, self.reads)?;
        write!(f, "written {} bytes in {} calls, ended", self.bytes_written, self.writes)?;
        for (words, count) in DisconnectReason::WORDS.iter().zip(self.disconnected) {
            write!(f, " \"{words}\" {count}")?;
        }
        Ok(())
    }
}

/// Keeps the log from growing faster than a line a second for each reason to end a connection.
#[derive(Debug, Default)]
pub(super) struct LogLimiter {
    by_reason: [Limiter; DisconnectReason::WORDS.len()],
    /// Clients that were closed without a word, because they had vanished or took nothing any more.
    closed: Limiter,
}

impl LogLimiter {
    /// Logs how many lines were left out, when the time has come, or when it is `the_end`.
    pub fn log_left_out(&mut self, now: Duration, the_end: bool) {
        let limiters = self.by_reason.iter_mut().zip(DisconnectReason::WORDS.iter().copied());
        for (limiter, words) in limiters.chain([(&mut self.closed, "closed")]) {
            let left_out = limiter.take_due(now, the_end);
            if left_out > 0 {
                log::info!("disconnected {left_out} more: {words}");
            }
        }
    }

    /// When there is something to be told.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.by_reason.iter().chain([&self.closed]).filter_map(Limiter::deadline).min()
    }
}

impl<T: Transport> Hub<T> {
    /// What has happened until now.
    pub fn counters(&self) -> Counters {
        let RequestCounters { requests, errors, by_action, messages, deliveries } = self.dispatch.counters;
        Counters { requests, errors, by_action, messages, deliveries, ..self.counters }
    }

    /// Clients that are connected, those included that have closed their side and still have output to take.
    pub fn clients_len(&self) -> usize {
        self.clients
    }

    /// Connections that have been ended and are kept for their last words.
    pub fn lingering_len(&self) -> usize {
        self.lingering_len
    }

    /// Bytes that wait to be written, those that wait for several clients counted for each. Looks at all clients.
    pub fn all_output_bytes(&self) -> usize {
        self.connections.iter().map(|(slot, _)| self.output_bytes(slot as ClientId)).sum()
    }

    /// Logs a line of counters.
    pub fn log_counters(&self) {
        let (clients, rooms, memory) = (self.clients, self.chat().rooms_len(), self.memory_bytes());
        let ending = self.connections.len() - self.clients;
        log::info!(
            "clients {clients}, rooms {rooms}, ending {ending}, waiting {memory} bytes; {}",
            self.counters()
        );
    }

    /// Logs the clients for which most waits, and the addresses with most clients.
    pub fn log_largest(&self) {
        let waiting = self.connections.iter().map(|(slot, _)| (self.waiting_bytes(slot as ClientId), slot));
        let mut waiting: Vec<_> = waiting.filter(|&(bytes, _)| bytes > 0).collect();
        waiting.sort_unstable_by_key(|&(bytes, slot)| (Reverse(bytes), slot));
        for &(bytes, slot) in waiting.iter().take(LISTED) {
            let Some(connection) = self.connections.get(slot) else { continue };
            let output = self.output_bytes(slot as ClientId);
            let (peer, name) = (connection.peer, self.name(slot as ClientId));
            log::info!("{peer}: {bytes} bytes wait, {output} to be written, {name}");
        }
        if waiting.is_empty() {
            log::info!("nothing waits for any client");
        }
        let names = self.dispatch.chat.long_name_bytes();
        if names > 0 {
            log::info!("long names of rooms take {names} bytes of what is said to wait");
        }
        let mut addresses = std::collections::HashMap::new();
        for (_, connection) in self.connections.iter().filter(|(_, connection)| connection.is_client()) {
            let address = connection.peer.ip().map(crate::ip_key::IpKey::from);
            *addresses.entry(address).or_insert(0) += 1;
        }
        let mut addresses: Vec<_> = addresses.into_iter().collect();
        addresses.sort_unstable_by_key(|&(address, count)| (Reverse(count), address));
        for (address, count) in addresses.into_iter().take(LISTED) {
            let address = address.map_or("Unix sockets".to_string(), |address| address.to_string());
            log::info!("{address}: {count} {}", if count == 1 { "client" } else { "clients" });
        }
    }

    /// A client has come.
    pub(super) fn log_connected(&self, client: ClientId) {
        if let Some(connection) = self.connections.get(client as usize) {
            log::debug!("{}: connected, {}", connection.peer, self.name(client));
        }
    }

    /// The server ends a connection.
    pub(super) fn log_disconnect(&mut self, client: ClientId, reason: DisconnectReason) {
        let limiter = self.log_limiter.by_reason.get_mut(reason.kind());
        if let Some(left_out) = limiter.and_then(|limiter| limiter.admit(self.now.into())) {
            self.log_ended(client, reason.words(), left_out);
        }
    }

    /// A client that has closed its side is given up, because it takes nothing of what waits for it.
    pub(super) fn log_gave_up(&mut self, client: ClientId) {
        if self.stop_at.is_none()
            && let Some(left_out) = self.log_limiter.closed.admit(self.now.into())
        {
            self.log_ended(client, "has closed its side and takes nothing", left_out);
        }
    }

    /// A peer has not answered.
    pub(super) fn log_vanished(&mut self, client: ClientId) {
        if let Some(left_out) = self.log_limiter.closed.admit(self.now.into()) {
            self.log_ended(client, "has not answered", left_out);
        }
    }

    fn log_ended(&self, client: ClientId, why: &str, left_out: u64) {
        let Some(connection) = self.connections.get(client as usize) else { return };
        let (peer, waited, name) = (connection.peer, self.waiting_bytes(client), self.name(client));
        let before = if left_out > 0 { format!("{left_out} more before, ") } else { String::new() };
        log::info!("{peer}: disconnected: {why}, {waited} bytes waited, {before}{name}");
    }

    /// A client is about to be taken out of the tables: it leaves of itself, or the server ends it.
    pub(super) fn log_left(&self, client: ClientId) {
        let was_client = !self.chat().nickname(client).is_empty();
        if let Some(connection) = self.connections.get(client as usize).filter(|_| was_client) {
            log::debug!("{}: left, {}", connection.peer, self.name(client));
        }
    }

    /// The nickname as it can stand at the end of a line of the log.
    fn name(&self, client: ClientId) -> String {
        let spelling = [b"\"", self.chat().nickname(client), b"\""].concat();
        quoted(&serde_json::from_slice::<String>(&spelling).unwrap_or_default()).to_string()
    }

    fn output_bytes(&self, client: ClientId) -> usize {
        let held = self.connections.get(client as usize).map_or(0, |connection| connection.transport.held());
        self.dispatch.fanout.waiting(client).map_or(0, Outbox::len) + held
    }

    /// Bytes that wait in both directions.
    fn waiting_bytes(&self, client: ClientId) -> usize {
        let input = self.connections.get(client as usize).map_or(0, |connection| connection.input_bytes());
        input + self.output_bytes(client)
    }
}
