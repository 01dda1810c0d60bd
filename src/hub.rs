//! Every connection, and what a turn of the loop does with them. Does not poll, and knows no clock: it is told what
//! has happened and what time it is, so the same code runs under the poll loop and under a simulation.
//!
//! The life of a connection, and where to read about it:
//!
//! 1. [`Hub::connect`]: it becomes a client, or is told `Too many clients`.
//! 2. [`Hub::event`] notes what its socket has become ready for.
//! 3. [`Hub::turn`] reads and carries out what it asks for (`hub/input.rs`), within a budget for each client,
//! 4. then writes each client that has something waiting, once (`hub/output.rs`),
//! 5. and ends those that are to be ended (`hub/ending.rs`).
//!
//! Nothing is removed while anything is walked: a connection that must go is marked, and its slot is free after the
//! turn. What is logged and counted on the way is in `hub/report.rs`.

mod ending;
mod input;
mod output;
mod report;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use crate::chat::{Chat, ClientId};
use crate::connection::{Connection, Phase, Stream};
use crate::options::{self, Options};
use crate::outbox::Memory;
use crate::protocol::{ClientLimit, DisconnectReason};
use crate::slots::Slots;
use crate::timers::{Kind, Timed, Timer, Timers};
use crate::turn::Turn;

pub use report::Counters;
use report::Notices;

/// The most that one read takes. A turn reads once from each client.
const READ_BYTES: usize = 64 << 10;

/// The longest that a connection which the server ends is kept for its last words.
const LINGER: Duration = Duration::from_secs(5);

/// A client that has closed its side is given up after taking nothing of what waits for it for this long.
const FINISH_WITHOUT_PROGRESS: Duration = Duration::from_secs(60);

/// What a socket has become ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// There may be input.
    pub readable: bool,
    /// There may be room for output.
    pub writable: bool,
    /// The input has an end: it has to be read up to that.
    pub hung_up: bool,
}

/// The connections and all that they share.
#[derive(Debug)]
pub struct Hub<S> {
    options: Options,
    connections: Slots<Connection<S>>,
    chat: Chat,
    turn: Turn,
    memory: Memory,
    timers: Timers,
    /// The time of this turn, on a clock of the caller's; when that was zero does not matter.
    now: Duration,
    /// What `--max-clients` limits: connections that the server has not ended, and that have not been closed.
    clients: usize,
    /// For `--max-clients-per-ip`: how many clients each address has.
    clients_at: HashMap<IpAddr, usize>,
    /// For the same: the address of each client.
    address_of: HashMap<ClientId, IpAddr>,
    /// To be read from in the next turn: an edge-triggered poll does not say it twice. A slot that is listed can have
    /// been freed since; what counts is the flag in the connection.
    ready: Vec<ClientId>,
    /// The list of the turn before, to be used again.
    reading: Vec<ClientId>,
    /// Stopped by `--rate`, by when they may go on.
    throttled: BinaryHeap<Reverse<(Duration, ClientId)>>,
    /// To be ended when the walk is over.
    too_slow: Vec<ClientId>,
    finishing: Vec<ClientId>,
    /// To be removed at the end of the turn.
    closed: Vec<ClientId>,
    stopping: bool,
    read_buffer: Vec<u8>,
    scratch: Vec<u8>,
    counters: Counters,
    notices: Notices,
}

impl<S> Timed for Slots<Connection<S>> {
    fn timer_mut(&mut self, slot: u32) -> Option<&mut Timer> {
        self.get_mut(slot).map(|connection| &mut connection.timer)
    }
}

impl<S: Stream> Hub<S> {
    /// A hub without connections.
    pub fn new(options: &Options) -> Self {
        // Offsets into what a turn writes have 32 bits.
        let options = Options { max_line: options.max_line.min(options::MAX_LINE_BYTES), ..options.clone() };
        Hub {
            connections: Slots::default(),
            chat: Chat::new(options.max_rooms),
            turn: Turn::default(),
            memory: Memory::default(),
            timers: Timers::new(options.idle_timeout, FINISH_WITHOUT_PROGRESS, LINGER),
            now: Duration::ZERO,
            clients: 0,
            clients_at: HashMap::new(),
            address_of: HashMap::new(),
            ready: Vec::new(),
            reading: Vec::new(),
            throttled: BinaryHeap::new(),
            too_slow: Vec::new(),
            finishing: Vec::new(),
            closed: Vec::new(),
            stopping: false,
            options,
            read_buffer: vec![0; READ_BYTES],
            scratch: Vec::with_capacity(READ_BYTES),
            counters: Counters::default(),
            notices: Notices::default(),
        }
    }

    /// Takes a connection that has been accepted. One too many is told so and lingers. The number returned is the
    /// connection's until the end of the turn in which it is closed; events are told under it.
    pub fn connect(&mut self, stream: S, address: Option<IpAddr>, now: Duration) -> ClientId {
        self.now = now;
        let client = self.connections.insert(Connection::new(stream));
        self.counters.accepted += 1;
        self.turn.admit(client);
        self.clients += 1;
        self.chat.connect(client);
        // Counted first, so that a connection that is refused goes the way of all that are ended.
        let mut from_there = 0;
        if let Some(address) = address.filter(|_| self.options.max_clients_per_ip > 0) {
            self.address_of.insert(client, address);
            let count = self.clients_at.entry(address).or_default();
            *count += 1;
            from_there = *count;
        }
        let too_many_from_there = from_there > self.options.max_clients_per_ip;
        if self.stopping || self.clients > self.options.max_clients || too_many_from_there {
            let limit = if too_many_from_there { ClientLimit::Address } else { ClientLimit::Server };
            self.say_farewell(client, DisconnectReason::TooManyClients(limit));
        } else {
            self.timers.start(&mut self.connections, client, Kind::Idle, now);
        }
        client
    }

    /// The stream of a connection, for the poll to register.
    pub fn stream_mut(&mut self, client: ClientId) -> Option<&mut S> {
        self.connections.get_mut(client).map(|connection| &mut connection.stream)
    }

    /// Gives a connection up, without a word.
    pub fn abandon(&mut self, client: ClientId) {
        self.close(client);
    }

    /// Notes an event; one for a connection that is no more is ignored. The work is done by [`Hub::turn`].
    pub fn event(&mut self, client: ClientId, event: Event, now: Duration) {
        self.now = now;
        if event.writable {
            self.pump(client);
        }
        let Some(connection) = self.connections.get_mut(client) else { return };
        connection.hung_up |= event.hung_up;
        if event.readable || event.hung_up {
            connection.readable = true;
            self.queue(client);
        }
    }

    /// One turn of the loop, after all its events have been told.
    pub fn turn(&mut self, now: Duration) {
        self.now = now;
        self.wake_throttled();
        // Whoever becomes ready from here on is read from in the next turn, after everybody else.
        let mut reading = std::mem::replace(&mut self.ready, std::mem::take(&mut self.reading));
        for client in reading.drain(..) {
            self.read(client);
            self.limit_memory();
        }
        self.reading = reading;
        self.flush();
        self.limit_memory();
        self.expire();
        self.reap();
        self.notices.tell_left_out(now, self.stopping && self.is_empty());
        #[cfg(debug_assertions)]
        self.check_turn();
    }

    /// How long the loop may wait for events: not at all when somebody is still ready, until the next time-out, or for
    /// ever (`None`).
    pub fn wait(&mut self, now: Duration) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let throttled = self.throttled.peek().map(|Reverse((until, _))| *until);
        let deadlines =
            [self.timers.next_deadline(&mut self.connections), throttled, self.notices.next_deadline()];
        deadlines.into_iter().flatten().min().map(|deadline| deadline.saturating_sub(now))
    }

    /// Connections that are open, those included that are about to be closed.
    pub fn connections_len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is left.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The tables, to look at.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Bytes allocated for what waits, and for long names: what `--max-memory` bounds.
    pub fn memory_bytes(&self) -> usize {
        self.memory.held() + self.chat.long_name_bytes()
    }

    /// Puts the connection on the list of those to be read from.
    fn queue(&mut self, client: ClientId) {
        if let Some(connection) = self.connections.get_mut(client)
            && !connection.queued
            && !connection.throttled
        {
            connection.queued = true;
            self.ready.push(client);
        }
    }

    /// How much may wait for a client of what it has caused itself before it is no longer read from.
    fn own_bytes_max(&self) -> usize {
        READ_BYTES.min(self.options.max_pending)
    }

    fn check_turn(&self) {
        debug_assert!(!self.turn.has_news() && self.closed.is_empty() && self.too_slow.is_empty());
        debug_assert!(self.clients <= self.connections.len());
        debug_assert!(self.chat.clients_len() <= self.clients);
    }

    /// Panics if anything does not agree with anything else. For tests, between turns: it looks at everything.
    pub fn check(&self) {
        self.chat.check();
        self.check_turn();
        let mut chunks = HashMap::new();
        let (mut held, mut clients, mut active) = (0, 0, 0);
        for (client, connection) in self.connections.iter() {
            let is_active = connection.phase == Phase::Active;
            assert_eq!(
                is_active,
                !self.chat.nickname(client).is_empty(),
                "client {client}: {:?}",
                connection.phase
            );
            active += usize::from(is_active);
            clients += usize::from(is_active || connection.phase == Phase::Finishing);
            held += connection.counted_bytes();
            if let Some(outbox) = connection.outbox() {
                outbox.check(&mut chunks);
            }
            assert!(!self.is_too_slow(client), "client {client} is too slow and still here");
            let kind = connection.timer.kind();
            assert_eq!(kind == Some(Kind::Lingering), connection.phase == Phase::Lingering || self.stopping);
            assert_ne!(connection.phase, Phase::Closed, "closed connections are reaped");
            assert!(!connection.queued || self.ready.contains(&client), "client {client} would be forgotten");
            assert!(is_active || connection.input_bytes() == 0, "client {client} keeps its input");
        }
        assert_eq!((self.clients, self.chat.clients_len()), (clients, active));
        assert_eq!(self.memory.held(), held + chunks.values().sum::<usize>(), "memory adds up");
        if self.options.max_clients_per_ip > 0 {
            assert_eq!(self.clients_at.values().sum::<usize>(), self.address_of.len());
        }
    }
}
