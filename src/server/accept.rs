//! Accepting, and what to do when the host has run out of descriptors. Knows nothing of what clients say.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::Loop;
use super::entrance::Entrant;

/// The most connections that are accepted from one listener in one turn: a storm of them must not keep the clients that
/// are there waiting.
const ACCEPTS_PER_TURN: usize = 256;

/// When accepting fails for want of something, it is tried again after this time, or as soon as a connection has
/// closed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The least time between two lines about it in the log.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Keeps the loop from spinning when a connection waits and cannot be accepted: no further event would come for it, and
/// polling again at once would find it still waiting.
#[derive(Debug, Default)]
pub struct Gate {
    closed: Option<Closed>,
    /// Failures that have not been told.
    failures: u64,
    /// This episode, from the first failure until a listener has nobody waiting, has been told.
    told: bool,
    told_at: Option<Duration>,
}

#[derive(Debug)]
struct Closed {
    until: Duration,
    connections: usize,
}

/// Descriptors that the server itself needs, and a few for connections that are being ended.
const DESCRIPTORS_RESERVED: usize = 32;

/// Says so if the system allows fewer descriptors than `max_clients` connections would need.
pub fn compare_descriptors(max_clients: usize) {
    // Where there is no such file the limit shows when it is reached.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit =
        line.and_then(|line| line.split_whitespace().next()).and_then(|limit| limit.parse::<usize>().ok());
    if let Some(limit) = limit.filter(|&limit| limit < max_clients.saturating_add(DESCRIPTORS_RESERVED)) {
        log::warn!(
            "the limit of {limit} open files is too low for --max-clients {max_clients} and {DESCRIPTORS_RESERVED} more: \
             raise the one (ulimit -n, or LimitNOFILE= of systemd) or lower the other"
        );
    }
}

impl Loop {
    /// Accepts from all listeners that have somebody waiting.
    pub(super) fn accept(&mut self, now: Duration) {
        if let Some(closed) = &self.gate.closed
            && now < closed.until
            && self.connections_len() >= closed.connections
        {
            return;
        }
        self.gate.closed = None;
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                if !self.accept_one(index, now) {
                    break;
                }
            }
        }
    }

    /// When to try again: at once, after a time, or not before an event.
    pub(super) fn next_accept(&self) -> Option<Duration> {
        let waiting = self.listeners.iter().any(|listener| listener.ready);
        let closed = self.gate.closed.as_ref().filter(|closed| self.connections_len() >= closed.connections);
        waiting.then(|| closed.map_or(Duration::ZERO, |closed| closed.until))
    }

    /// Accepts one connection. Whether to go on with this listener.
    fn accept_one(&mut self, index: usize, now: Duration) -> bool {
        let Some(listener) = self.listeners.get_mut(index).filter(|listener| listener.ready) else {
            return false;
        };
        let error = match listener.accept() {
            Ok((socket, peer)) => {
                let (behind_proxy, spoken) = (listener.is_behind_proxy(), listener.spoken());
                match self.take_in(Entrant { socket, peer, spoken, reason: None }, behind_proxy, now) {
                    Ok(()) => return true,
                    // It may be counted until the end of the turn; that it goes then is no reason to try again.
                    Err(error) => {
                        return self.close_gate(&error, self.connections_len().saturating_sub(1), now);
                    }
                }
            }
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::WouldBlock => {
                listener.ready = false;
                self.end_of_episode(now);
                false
            }
            // These are that one connection's, which has gone before it was accepted.
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut => true,
            _ => self.close_gate(&error, self.connections_len(), now),
        }
    }

    /// Accepts no more until the time is over or fewer connections are left. Whether to go on all the same.
    fn close_gate(&mut self, error: &io::Error, connections: usize, now: Duration) -> bool {
        // Somebody who has not said for a while who he is makes room for the next.
        if self.entrance.close_stale(now) {
            return true;
        }
        self.gate.closed = Some(Closed { until: now + RETRY_AFTER, connections });
        self.gate.failures += 1;
        if !self.gate.told && self.gate.may_tell(now) {
            self.gate.told = true;
            log::warn!(
                "cannot accept connections with {connections} open: {error}; new ones wait until one is closed"
            );
        }
        false
    }

    /// Nobody waits any more. What cannot be told so soon after the last line is told with the next.
    fn end_of_episode(&mut self, now: Duration) {
        if std::mem::take(&mut self.gate.told) && self.gate.may_tell(now) {
            let failures = std::mem::take(&mut self.gate.failures);
            log::info!("accepting connections again, after {failures} failures");
        }
    }
}

impl Gate {
    /// Whether a line may be logged now.
    fn may_tell(&mut self, now: Duration) -> bool {
        let may = self.told_at.is_none_or(|told_at| now >= told_at + TOLD_EVERY);
        if may {
            self.told_at = Some(now);
        }
        may
    }
}
