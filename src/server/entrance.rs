//! Connections that have been accepted and are no clients yet (the handshake stage): they have to say first
//! who they are. Knows nothing of lines and rooms, nor of the clients.
//!
//! What a connection has to do first is decided by its listener, stage by stage: behind a proxy it begins with a PROXY
//! header ([`Stage::Proxy`]), and where TLS is spoken the handshake follows ([`Stage::Handshake`]). Whoever is through
//! goes to the hub.
//!
//! Nobody can hold on to much here: at most [`WAITING_MAX`] connections wait in a stage, the oldest goes when one more
//! comes; each has [`PATIENCE`] for it; and it holds a few kilobytes. They are no clients: they do not count for
//! `--max-clients`, and hear nothing when they are closed.
//!
//! Who goes for others is somebody who lets the server wait. After a restart all clients come back at once, and nobody of
//! them is to be sent away for having come with too many others: those who wait for the server stay, and so do those who
//! have only just come. While there is no place for one more, nobody is accepted; the kernel keeps those who come.
//!
//! A handshake is work, half a millisecond and more, and clients must not wait for many. So a turn does one step of one
//! handshake; the others keep their places.

mod stage;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use mio::{Interest, Token};
use slab::Slab;

use super::socket::Socket;
use super::{FIRST_WAITING, Loop};
use crate::chat::ClientId;
use crate::logging::Limiter;
use crate::options::Spoken;
use crate::protocol::DisconnectReason;
use crate::proxy;
use crate::transport::{Event, Peer, Transport};
use stage::{STAGES, Stage, Step};

/// The most connections that wait in one stage.
const WAITING_MAX: usize = 256;

/// How long a stage may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who has been here for so long makes room when the host has no descriptor left. One that has just come is likely to go
/// on by itself.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// Who has been in his stage for less than this does not go for others: so long an answer may be under way.
const YOUNG_FOR: Duration = Duration::from_millis(250);

/// Who waits for the server does not go for others, but for somebody who has had so many steps: a handshake takes two or
/// three, and whoever sends it bit by bit takes them for ever.
const STEPS_MAX: u8 = 8;

/// How many steps of handshakes a turn does.
const WORK_PER_TURN: u32 = 1;

/// Who has to wait for the server when its time is over is looked at again after this.
const POSTPONED_BY: Duration = Duration::from_secs(1);

/// A connection that is through, or has just been accepted.
#[derive(Debug)]
pub struct Entrant {
    /// The connection. There may be input that no event will tell of any more.
    pub socket: Socket,
    /// Who it is, as far as is known.
    pub peer: Peer,
    /// What its listener speaks.
    pub spoken: Spoken,
    /// Why it cannot stay, if it cannot: it is told so.
    pub reason: Option<DisconnectReason>,
}

#[derive(Debug)]
struct Waiting {
    entrant: Entrant,
    stage: Stage,
    /// On the clock of the loop, which stands still while the process does.
    deadline: Duration,
    /// When the stage has begun.
    since: Duration,
    /// How often it was gone on with in this stage.
    steps: u8,
    /// It is on the list of those to be looked at.
    is_listed: bool,
}

impl Waiting {
    /// From when on it may go for others. `None`: not as long as it waits for the server.
    fn may_go_from(&self) -> Option<Duration> {
        let waits_for_server = self.is_listed && self.steps < STEPS_MAX;
        (!waits_for_server).then_some(self.since + YOUNG_FOR)
    }
}

/// All that wait.
#[derive(Debug, Default)]
pub struct Entrance {
    waiting: Slab<Waiting>,
    /// Those in each stage, the oldest first: all have the same time.
    by_deadline: [BTreeSet<(Duration, usize)>; STAGES],
    /// To be looked at: an edge-triggered poll does not say it twice.
    listed: VecDeque<usize>,
    /// The same, where it is much work.
    listed_work: VecDeque<usize>,
    /// Such steps that may still be done in this turn.
    work_left: u32,
    buffer: Vec<u8>,
    closed: Limiter,
}

impl Entrance {
    /// Connections that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// An event for a connection; one for a connection that is no more is ignored.
    pub fn event(&mut self, key: usize, event: Event) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.entrant.socket.ready(event);
            self.list(key);
        }
    }

    /// How long the loop may wait for events.
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        if !self.listed.is_empty() || !self.listed_work.is_empty() {
            return Some(Duration::ZERO);
        }
        let first = self.by_deadline.iter().filter_map(|stage| stage.first()).min();
        let waiting = first.map(|(deadline, _)| deadline.saturating_sub(now));
        let log = self.closed.deadline().map(|at| at.saturating_sub(now));
        [waiting, log].into_iter().flatten().min()
    }

    /// Closes whoever waits.
    pub fn clear(&mut self, now: Duration) {
        *self = Entrance { closed: std::mem::take(&mut self.closed), ..Entrance::default() };
        self.log_left_out(now, true);
    }

    /// Closes the oldest, if it has been here for a while. Whether there was one.
    pub fn close_stale(&mut self, now: Duration) -> bool {
        let stale = now + PATIENCE.saturating_sub(STALE_AFTER);
        let oldest = self.by_deadline.iter().filter_map(|stage| stage.first()).min().copied();
        let Some((_, key)) = oldest.filter(|&(deadline, _)| deadline <= stale) else { return false };
        self.close(key, Some("there are no descriptors left"), now);
        true
    }

    /// Closes the one that holds most of what has come, if one holds anything. Whether there was one.
    fn close_largest(&mut self, now: Duration) -> bool {
        let holders = self.waiting.iter().map(|(key, waiting)| (waiting.entrant.socket.input_bytes(), key));
        let Some((_, key)) = holders.max().filter(|&(bytes, _)| bytes > 0) else { return false };
        self.close(key, Some("there is too little memory"), now);
        true
    }

    /// A connection begins to wait. Its key; the oldest may have gone for it.
    fn add(&mut self, entrant: Entrant, stage: Stage, now: Duration) -> usize {
        let kind = stage.kind();
        let waiting =
            Waiting { entrant, stage, deadline: Duration::ZERO, since: now, steps: 0, is_listed: false };
        let key = self.waiting.insert(waiting);
        self.begin(key, kind, now);
        key
    }

    /// The time of a connection's stage begins.
    fn begin(&mut self, key: usize, kind: usize, now: Duration) {
        let who_goes = self.who_goes(kind, now);
        let Some(stage) = self.by_deadline.get_mut(kind) else { return };
        let deadline = now + PATIENCE;
        stage.insert((deadline, key));
        if let Some(waiting) = self.waiting.get_mut(key) {
            (waiting.deadline, waiting.since, waiting.steps) = (deadline, now, 0);
        }
        if let Some(who_goes) = who_goes {
            let why = self.waiting.get(who_goes).and_then(|waiting| waiting.stage.complaint()[1]);
            self.close(who_goes, why, now);
        }
    }

    /// Who has to go when one more comes to a stage, if somebody has to: the oldest, of those who may if there are any.
    fn who_goes(&self, kind: usize, now: Duration) -> Option<usize> {
        let stage = self.by_deadline.get(kind).filter(|stage| stage.len() >= WAITING_MAX)?;
        let mut oldest_first = stage.iter().map(|&(_, key)| key);
        let may_go = |&key: &usize| {
            self.waiting.get(key).and_then(Waiting::may_go_from).is_some_and(|from| from <= now)
        };
        oldest_first.clone().find(may_go).or_else(|| oldest_first.next())
    }

    /// From when on one more may be accepted by a listener. `None`: not before something has happened here.
    pub fn place_from(&self, behind_proxy: bool, spoken: Spoken) -> Option<Duration> {
        let first = Stage::first(behind_proxy, spoken);
        let second = first.as_ref().and_then(|first| first.next(spoken));
        let stages = first.iter().chain(&second).map(Stage::kind);
        stages
            .map(|kind| self.place_in_stage_from(kind))
            .try_fold(Duration::ZERO, |at, from| Some(at.max(from?)))
    }

    fn place_in_stage_from(&self, kind: usize) -> Option<Duration> {
        let Some(stage) = self.by_deadline.get(kind).filter(|stage| stage.len() >= WAITING_MAX) else {
            return Some(Duration::ZERO);
        };
        stage.iter().find_map(|&(_, key)| self.waiting.get(key)?.may_go_from())
    }

    fn list(&mut self, key: usize) {
        if let Some(waiting) = self.waiting.get_mut(key)
            && !std::mem::replace(&mut waiting.is_listed, true)
        {
            let list = if waiting.stage.is_work() { &mut self.listed_work } else { &mut self.listed };
            list.push_back(key);
        }
    }

    /// A turn begins.
    fn renew(&mut self) {
        self.work_left = WORK_PER_TURN;
    }

    /// The next connection that is through. Nothing when all that were ready have been looked at, or there was enough
    /// work for this turn.
    fn next_entrant(&mut self, now: Duration) -> Option<Entrant> {
        while let Some(key) = self.next_listed() {
            let entrant = self.go_on(key, now);
            if entrant.is_some() {
                return entrant;
            }
        }
        self.next_of_the_late(now)
    }

    fn next_listed(&mut self) -> Option<usize> {
        loop {
            let key = match self.listed.pop_front() {
                Some(key) => key,
                None if self.work_left > 0 => self.listed_work.pop_front()?,
                None => return None,
            };
            // The list can still name one that has been closed, and whoever has its key now.
            if let Some(waiting) = self.waiting.get_mut(key)
                && std::mem::take(&mut waiting.is_listed)
            {
                self.work_left = self.work_left.saturating_sub(u32::from(waiting.stage.is_work()));
                return Some(key);
            }
        }
    }

    /// Those whose time is over. What has arrived counts: it is looked at once more.
    fn next_of_the_late(&mut self, now: Duration) -> Option<Entrant> {
        for kind in 0..STAGES {
            while let Some(&(deadline, key)) = self.by_deadline.get(kind).and_then(BTreeSet::first)
                && deadline <= now
            {
                if self.waiting.get(key).is_some_and(|waiting| waiting.is_listed) {
                    // It waits for the server, not the server for it.
                    self.postpone(key, kind, deadline, now);
                    continue;
                }
                let entrant = self.go_on(key, now);
                if entrant.is_some() {
                    return entrant;
                }
                if let Some(waiting) = self.waiting.get(key).filter(|waiting| waiting.deadline == deadline) {
                    let [too_late, _] = waiting.stage.complaint();
                    self.close(key, too_late, now);
                }
            }
        }
        self.log_left_out(now, false);
        None
    }

    fn postpone(&mut self, key: usize, kind: usize, deadline: Duration, now: Duration) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        waiting.deadline = now + POSTPONED_BY;
        if let Some(stage) = self.by_deadline.get_mut(kind) {
            stage.remove(&(deadline, key));
            stage.insert((waiting.deadline, key));
        }
    }

    /// Does what can be done now for a connection.
    fn go_on(&mut self, key: usize, now: Duration) -> Option<Entrant> {
        self.buffer.resize(proxy::HEADER_BYTES_MAX, 0);
        loop {
            let waiting = self.waiting.get_mut(key)?;
            waiting.steps = waiting.steps.saturating_add(1);
            match waiting.stage.step(&mut waiting.entrant, &mut self.buffer) {
                Step::Wait => return None,
                Step::Done => {
                    let next = waiting.stage.next(waiting.entrant.spoken);
                    let Some(next) = next else { return self.remove(key) };
                    let is_work = next.is_work();
                    self.change(key, next, now);
                    if is_work {
                        self.list(key);
                        return None;
                    }
                }
                #[cfg(feature = "tls")]
                Step::GoOn => {
                    self.list(key);
                    return None;
                }
                #[cfg(feature = "tls")]
                Step::Refuse => return self.remove(key).map(without_tls),
                #[cfg(feature = "tls")]
                Step::Leave(why) => {
                    let peer = waiting.entrant.peer;
                    self.log_closed(peer, &why, now);
                    self.change(key, Stage::Leaving(0), now);
                }
                Step::Close(why) => {
                    self.close(key, Some(why), now);
                    return None;
                }
                Step::Gone => {
                    self.close(key, None, now);
                    return None;
                }
            }
        }
    }

    /// The next stage begins.
    fn change(&mut self, key: usize, next: Stage, now: Duration) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        let kind = next.kind();
        let before = std::mem::replace(&mut waiting.stage, next);
        let deadline = waiting.deadline;
        if let Some(stage) = self.by_deadline.get_mut(before.kind()) {
            stage.remove(&(deadline, key));
        }
        self.begin(key, kind, now);
    }

    fn remove(&mut self, key: usize) -> Option<Entrant> {
        let waiting = self.waiting.try_remove(key)?;
        if let Some(stage) = self.by_deadline.get_mut(waiting.stage.kind()) {
            stage.remove(&(waiting.deadline, key));
        }
        Some(waiting.entrant)
    }

    fn close(&mut self, key: usize, why: Option<&str>, now: Duration) {
        let Some(Entrant { peer, .. }) = self.remove(key) else { return };
        let Some(why) = why else { return log::debug!("{peer}: left before it was a client") };
        self.log_closed(peer, why, now);
    }

    fn log_closed(&mut self, peer: Peer, why: &str, now: Duration) {
        if let Some(left_out) = self.closed.admit(now) {
            tell_left_out(left_out);
            log::info!("{peer}: closed: {why}");
        }
    }

    fn log_left_out(&mut self, now: Duration, the_end: bool) {
        tell_left_out(self.closed.take_due(now, the_end));
    }
}

fn tell_left_out(left_out: u64) {
    if left_out > 0 {
        log::info!("closed {left_out} more that were no clients yet");
    }
}

/// A connection that began with something else than TLS, as it came.
#[cfg(feature = "tls")]
fn without_tls(entrant: Entrant) -> Entrant {
    match entrant.socket {
        Socket::Tls(tls) => Entrant { socket: tls.into_inner(), ..entrant },
        socket => Entrant { socket, ..entrant },
    }
}

/// What the poll tells of a connection: everything, for as long as it is there.
pub(super) fn interest() -> Interest {
    let both = Interest::READABLE | Interest::WRITABLE;
    // Urgent data has to be told of only where a read stops at it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let both = both | Interest::PRIORITY;
    both
}

impl Loop {
    /// Takes a connection that has been accepted. It becomes a client, or waits until it has said who it is.
    ///
    /// # Errors
    /// The poll's. The connection is closed then.
    pub(super) fn take_in(&mut self, entrant: Entrant, behind_proxy: bool, now: Duration) -> io::Result<()> {
        let Some(stage) = Stage::first(behind_proxy, entrant.spoken) else {
            return self.admit(entrant, false, now);
        };
        #[cfg(feature = "tls")]
        let Some(entrant) = self.encrypt(entrant) else { return Ok(()) };
        let key = self.entrance.add(entrant, stage, now);
        let Some(waiting) = self.entrance.waiting.get_mut(key) else { return Ok(()) };
        let token = Token(FIRST_WAITING.saturating_add(key));
        let registered = self.poll.registry().register(waiting.entrant.socket.source(), token, interest());
        if registered.is_err() {
            self.entrance.remove(key);
        }
        registered
    }

    /// Makes clients of those that are through, and closes those whose time is over. After the events of a turn.
    pub(super) fn let_in(&mut self, now: Duration) {
        self.entrance.renew();
        while let Some(entrant) = self.entrance.next_entrant(now) {
            // Who cannot be registered again is closed, and that is all.
            let _ = self.admit(entrant, true, now);
        }
        // Clients are not to go for those who are none yet.
        while self.hub.has_little_memory() && self.entrance.close_largest(now) {}
    }

    /// Hands on a connection that has said who it is. `again`: it was registered before, and of what has come until now no
    /// event tells again.
    fn admit(&mut self, entrant: Entrant, again: bool, now: Duration) -> io::Result<()> {
        #[cfg(feature = "web")]
        if matches!(entrant.spoken, Spoken::Http | Spoken::Https | Spoken::Metrics) {
            return self.visit(entrant, again, now);
        }
        if let Some(reason) = entrant.reason {
            let client = self.hub.refuse(entrant.socket, entrant.peer, reason, now);
            self.register(client, again)?;
            self.hub.event(client, Event { readable: true, ..Event::default() }, now);
            return Ok(());
        }
        self.connect(entrant.socket, entrant.peer, again, now)
    }

    /// Makes a client of a connection.
    pub(super) fn connect(
        &mut self,
        socket: Socket,
        peer: Peer,
        again: bool,
        now: Duration,
    ) -> io::Result<()> {
        let client = self.hub.connect(socket, peer, now);
        self.register(client, again)?;
        if again {
            self.hub.event(client, Event { readable: true, ..Event::default() }, now);
        }
        Ok(())
    }

    /// Registers a client of the hub, which may have had another token until now.
    fn register(&mut self, client: ClientId, again: bool) -> io::Result<()> {
        let Some(socket) = self.hub.transport_mut(client) else { return Ok(()) };
        let (registry, token) = (self.poll.registry(), Token(client as usize));
        let registered = if again {
            registry.reregister(socket.source(), token, interest())
        } else {
            registry.register(socket.source(), token, interest())
        };
        if registered.is_err() {
            self.hub.abandon(client);
        }
        registered
    }

    /// Connections that are open: clients, those that are being ended, and those that wait here.
    pub(super) fn connections_len(&self) -> usize {
        self.hub.connections_len() + self.entrance.len()
    }
}

#[cfg(test)]
mod tests;
