//! What is counted, and what is logged: never a line for each message, and no client can make the log grow.

use std::fmt;
use std::time::Duration;

use super::Hub;
use crate::connection::Stream;
use crate::protocol::DisconnectReason;

/// The least time between two lines about the same kind of event.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// How many clients SIGUSR1 lists: those for whom most waits.
const WAITING_LISTED: usize = 10;

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, those refused with `Too many clients` included.
    pub accepted: u64,
    /// Lines that got a reply.
    pub requests: u64,
    /// Of them, those that got an ERROR.
    pub errors: u64,
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
    /// Connections that the server has ended, by the reason, in the order of [`DisconnectReason::WORDS`].
    pub farewells: [u64; DisconnectReason::WORDS.len()],
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "accepted {}, requests {}, errors {}, ", self.accepted, self.requests, self.errors)?;
        write!(f, "messages {}, deliveries {}, ", self.messages, self.deliveries)?;
        write!(f, "read {} bytes in {} calls, ", self.bytes_read, self.reads)?;
        write!(f, "written {} bytes in {} calls, ended", self.bytes_written, self.writes)?;
        for (words, count) in DisconnectReason::WORDS.iter().zip(self.farewells) {
            write!(f, " \"{}\" {count}", words)?;
        }
        Ok(())
    }
}

/// Keeps the log from growing faster than a line a second for each reason.
#[derive(Debug, Default)]
pub(super) struct Notices {
    kinds: [Notice; DisconnectReason::WORDS.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Notice {
    told_at: Option<Duration>,
    left_out: u64,
}

impl Notices {
    /// Whether a line may be logged now. One that may not is counted.
    pub fn may_tell(&mut self, kind: DisconnectReason, now: Duration) -> bool {
        let notice = &mut self.kinds[kind.kind()];
        let may = notice.told_at.is_none_or(|told_at| now >= told_at + NOTICE_EVERY);
        if may {
            notice.told_at = Some(now);
        } else {
            notice.left_out += 1;
        }
        may
    }

    /// Logs how many lines were left out, when the time has come, or when it is `the_end`.
    pub fn tell_left_out(&mut self, now: Duration, the_end: bool) {
        for (words, notice) in DisconnectReason::WORDS.iter().zip(&mut self.kinds) {
            let is_due = notice.told_at.is_none_or(|told_at| now >= told_at + NOTICE_EVERY);
            if notice.left_out > 0 && (is_due || the_end) {
                log::info!("disconnected {} more: {}", notice.left_out, words);
                *notice = Notice { told_at: Some(now), left_out: 0 };
            }
        }
    }

    /// When there is something to be told.
    pub fn next_deadline(&self) -> Option<Duration> {
        let pending = self.kinds.iter().filter(|notice| notice.left_out > 0);
        pending.filter_map(|notice| notice.told_at).min().map(|told_at| told_at + NOTICE_EVERY)
    }
}

impl<S: Stream> Hub<S> {
    /// What has happened until now.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Logs a line of counters.
    pub fn log_counters(&self) {
        let (clients, rooms, memory) = (self.clients, self.chat.rooms_len(), self.memory_bytes());
        let ending = self.connections.len() - self.clients;
        log::info!(
            "clients {clients}, rooms {rooms}, ending {ending}, waiting {memory} bytes; {}",
            self.counters
        );
    }

    /// Logs those for whom most waits.
    pub fn log_waiting(&self) {
        let waiting =
            self.connections.iter().map(|(client, connection)| (connection.waiting_bytes(), client));
        let mut waiting: Vec<_> = waiting.filter(|&(bytes, _)| bytes > 0).collect();
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        for &(bytes, client) in waiting.iter().take(WAITING_LISTED) {
            let Some(connection) = self.connections.get(client) else { continue };
            let nickname = String::from_utf8_lossy(self.chat.nickname(client));
            let peer = connection.stream.peer();
            log::info!(
                "{bytes} bytes wait for \"{nickname}\" from {peer}, {} to be written",
                connection.output_bytes()
            );
        }
        if waiting.is_empty() {
            log::info!("nothing waits for any client");
        }
    }
}
