//! `--max-memory`: who has to go when there is too much; and when memory that a burst has taken is worth giving back.

use super::Hub;
use crate::chat::ClientId;
use crate::connection::Phase;
use crate::protocol::DisconnectReason;
use crate::transport::Transport;

/// Last words of this size may stay whatever the limit of memory: with `LINGERING_MAX` (end.rs) that is a bound of its own.
/// They can stand behind the rest of a line.
const LAST_WORDS_BYTES: usize = 4 << 10;

/// When so much has waited, memory is worth giving back to the system afterwards.
const BURST_BYTES: usize = 1 << 20;

/// So many turns after a burst, those that had a part in it have let go of what they had left.
const TURNS_AFTER_BURST: u8 = 8;

/// Much that has waited, and is to be given back to the system.
#[derive(Clone, Copy, Debug, Default)]
pub enum Burst {
    /// Nothing of the kind.
    #[default]
    No,
    /// Much waits.
    Waits,
    /// Little is left.
    Ebbs,
    /// Nothing is left, for so many turns more.
    Over(u8),
}

/// So little counts as nearly nothing.
const LITTLE_BYTES: usize = 16 << 10;

impl<T: Transport> Hub<T> {
    /// Whether much has waited, and nearly nothing does any more. It says so three times: when that is so first, when
    /// nothing waits at all, and a few turns later. What goes last may lie above everything else.
    pub(super) fn advance_burst(&mut self) -> bool {
        let waiting = self.memory.bytes();
        let (burst, is_over) = match self.burst {
            _ if waiting > BURST_BYTES => (Burst::Waits, false),
            Burst::Waits if waiting < LITTLE_BYTES => (Burst::Ebbs, true),
            Burst::Ebbs if waiting == 0 => (Burst::Over(TURNS_AFTER_BURST), true),
            Burst::Over(1) => (Burst::No, true),
            Burst::Over(turns) => (Burst::Over(turns - 1), false),
            as_it_was => (as_it_was, false),
        };
        self.burst = burst;
        is_over
    }

    /// Whether `--max-memory` is passed. At the end nobody is read from, and what waits is not to be dropped.
    pub fn has_little_memory(&self) -> bool {
        self.memory_bytes() > self.options.max_memory && self.stop_at.is_none()
    }

    /// `--max-memory`: while there is too much, ends the connection for which most waits. Walks all connections, but
    /// only when somebody has to go.
    pub(super) fn free_memory(&mut self) {
        let mut holders: Vec<(usize, ClientId)> = Vec::new();
        for (slot, connection) in &self.connections {
            let client = slot as ClientId;
            let outbox = self.dispatch.fanout.waiting(client);
            #[cfg(feature = "cluster")]
            let parked = self.parked_bytes(client);
            #[cfg(not(feature = "cluster"))]
            let parked = 0;
            let holds = outbox.map_or(0, |outbox| outbox.others_bytes() + outbox.allocated_bytes())
                + parked
                + connection.input.as_ref().map_or(0, |input| input.allocated_bytes())
                + connection.transport.input_bytes()
                + self.dispatch.chat.long_name_bytes_of(client);
            if holds > 0 && connection.phase != Phase::Closed {
                holders.push((holds, client));
            }
        }
        holders.sort_unstable_by(|a, b| b.cmp(a));
        for &(_, client) in &holders {
            if !self.has_little_memory() {
                return;
            }
            // One that lingers is no client: `disconnect` passes it over, so it is closed if it holds much.
            self.close_if_long(client);
            self.disconnect(client, DisconnectReason::OutOfMemory);
            self.dispatch.fanout.end_of_flush(&self.dispatch.chat);
        }
        // Everybody who waited has gone. What is left are last words, behind the rest of a line that can be long.
        for &(_, client) in &holders {
            self.close_if_long(client);
        }
    }

    /// Closes a connection whose last words stand behind so much that they could not be let stay.
    fn close_if_long(&mut self, client: ClientId) {
        if self.has_little_memory()
            && let Some(connection) = self.connections.get(client as usize)
            && matches!(connection.phase, Phase::Lingering { .. })
            && self
                .dispatch
                .fanout
                .waiting(client)
                .is_some_and(|outbox| outbox.unsent_bytes() > LAST_WORDS_BYTES)
        {
            self.close(client);
        }
    }
}
