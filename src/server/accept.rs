//! Accepting, and what to do when the host has run out of descriptors. Knows nothing of what clients say.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::Loop;
use super::entrance::Entrant;
use super::listener::Listener;
use crate::hub::LINGERING_MAX;
use crate::logging::Limiter;

/// The most connections that are accepted from one listener in one turn: a storm of them must not keep the clients that
/// are there waiting.
const ACCEPTS_PER_TURN: usize = 256;

/// Likewise where TLS is spoken: one step of one handshake is done in a turn, so that more could only wait.
const TLS_ACCEPTS_PER_TURN: usize = 16;

/// When accepting fails for want of something, it is tried again after this time, or as soon as a connection has
/// closed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Errors that are a single connection's own, which has gone before it was accepted. So many in a row are something
/// else: a policy that forbids to accept at all, say, and then the same connection waits for ever.
const OWN_FAULTS_MAX: u32 = 16;

/// When a descriptor is missing, so many of those connections are closed that only wait for their peer's end.
const CLOSED_AT_ONCE: usize = 16;

/// Keeps the loop from spinning when a connection waits and cannot be accepted: no further event would come for it, and
/// polling again at once would find it still waiting.
#[derive(Debug, Default)]
pub struct BackOff {
    pause: Option<Pause>,
    /// Errors in a row that were a single connection's own.
    own_faults: u32,
    /// Failures of this episode, which lasts until a listener has nobody waiting.
    failures: u64,
    limiter: Limiter,
    /// Its beginning has been logged, so its end is.
    is_logged: bool,
}

#[derive(Debug)]
struct Pause {
    until: Duration,
    connections: usize,
}

/// Descriptors that the server itself needs.
const DESCRIPTORS_RESERVED: usize = 32;

/// Says so if the system allows fewer descriptors than `max_clients` connections would need, and as many that are kept
/// for their last words. There can be more of the latter, but they go first when descriptors are short.
pub fn compare_descriptors(max_clients: usize) {
    // Where there is no such file the limit shows when it is reached.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit =
        line.and_then(|line| line.split_whitespace().next()).and_then(|limit| limit.parse::<usize>().ok());
    let more = DESCRIPTORS_RESERVED + LINGERING_MAX.min(max_clients);
    if let Some(limit) = limit.filter(|&limit| limit < max_clients.saturating_add(more)) {
        log::warn!(
            "the limit of {limit} open files is too low for --max-clients {max_clients} and {more} more, most of them \
             for clients that are being ended: raise the one (ulimit -n, or LimitNOFILE= of systemd) or lower the other"
        );
    }
}

impl Loop {
    /// Accepts from all listeners that have somebody waiting.
    pub(super) fn accept(&mut self, now: Duration) {
        if let Some(pause) = &self.back_off.pause
            && now < pause.until
            && self.connections_len() >= pause.connections
        {
            return;
        }
        self.back_off.pause = None;
        // One from each in turn, and each time another is the first: where descriptors are short, no listener gets all.
        if let [_, _, ..] = self.listeners[..] {
            self.listeners.rotate_left(1);
        }
        for round in 0..ACCEPTS_PER_TURN {
            let mut goes_on = false;
            for index in 0..self.listeners.len() {
                goes_on |= self.accept_one(index, round, now);
            }
            if !goes_on {
                break;
            }
        }
    }

    /// When to try again: at once, after a time, or not before an event.
    pub(super) fn next_accept(&self) -> Option<Duration> {
        let waiting = self.listeners.iter().filter(|listener| listener.ready);
        let place = waiting.filter_map(|listener| self.place_from(listener)).min()?;
        let pause = self.back_off.pause.as_ref();
        let pause = pause.filter(|pause| self.connections_len() >= pause.connections);
        Some(pause.map_or(place, |pause| pause.until.max(place)))
    }

    /// From when on there is a place for one more of a listener; see the entrance.
    fn place_from(&self, listener: &Listener) -> Option<Duration> {
        self.entrance.place_from(listener.address.is_behind_proxy(), listener.address.spoken())
    }

    /// Accepts one connection, the `round`th of this turn. Whether to go on with this listener.
    fn accept_one(&mut self, index: usize, round: usize, now: Duration) -> bool {
        let has_place = |listener: &Listener| self.place_from(listener).is_some_and(|from| from <= now);
        let has_place = self.listeners.get(index).is_some_and(has_place);
        let Some(listener) = self.listeners.get_mut(index) else { return false };
        let may_accept = round
            < if listener.address.spoken().is_encrypted() { TLS_ACCEPTS_PER_TURN } else { ACCEPTS_PER_TURN };
        if !listener.ready || !may_accept || !has_place || self.back_off.pause.is_some() {
            return false;
        }
        let error = match listener.accept() {
            Ok((socket, peer)) => {
                let (behind_proxy, spoken) = (listener.address.is_behind_proxy(), listener.address.spoken());
                match self.take_in(Entrant { socket, peer, spoken, reason: None }, behind_proxy, now) {
                    Ok(()) => {
                        self.back_off.own_faults = 0;
                        return true;
                    }
                    // It may be counted until the end of the turn; that it goes then is no reason to try again.
                    Err(error) => {
                        return self.make_room(&error, self.connections_len().saturating_sub(1), now);
                    }
                }
            }
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::WouldBlock => {
                listener.ready = false;
                self.back_off.end_of_episode(now);
                false
            }
            ErrorKind::Interrupted => true,
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
                if self.back_off.own_faults < OWN_FAULTS_MAX =>
            {
                self.back_off.own_faults += 1;
                true
            }
            _ => self.make_room(&error, self.connections_len(), now),
        }
    }

    /// Accepting has failed, as a rule for want of a descriptor: those make room that need theirs least. Whether to go
    /// on at once.
    fn make_room(&mut self, error: &io::Error, connections: usize, now: Duration) -> bool {
        // Somebody who has not said for a while who he is makes room for the next.
        if self.entrance.close_stale(now) {
            return true;
        }
        self.back_off.begin(error, connections, now);
        // Their descriptors are free after this turn, and then the pause is over.
        for _ in 0..CLOSED_AT_ONCE {
            if !self.hub.close_oldest_lingering() {
                break;
            }
        }
        false
    }
}

impl BackOff {
    /// Nothing is accepted until the time is over or fewer connections are left.
    fn begin(&mut self, error: &io::Error, connections: usize, now: Duration) {
        self.pause = Some(Pause { until: now + RETRY_AFTER, connections });
        self.own_faults = 0;
        self.failures += 1;
        if !self.is_logged && self.limiter.admit(now).is_some() {
            self.is_logged = true;
            log::warn!(
                "cannot accept connections with {connections} open: {error}; new ones wait until one is closed"
            );
        }
    }

    /// Nobody waits any more. What cannot be logged so soon after the last line is logged with the next.
    fn end_of_episode(&mut self, now: Duration) {
        self.own_faults = 0;
        if std::mem::take(&mut self.is_logged) && self.limiter.admit(now).is_some() {
            log::info!("accepting connections again, after {} failures", std::mem::take(&mut self.failures));
        }
    }
}
