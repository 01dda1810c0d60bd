//! Every connection, and what a turn of the loop (one iteration) does with them. Does not poll, and knows no
//! clock: it is told what has happened and what time it is, so the same code runs under the poll loop and
//! under a simulation.
//!
//! The life of a connection, and where to read about it:
//!
//! 1. [`Hub::connect`]: it becomes a client, or is told `Too many clients`.
//! 2. [`Hub::event`] notes what its socket has become ready for.
//! 3. [`Hub::turn`] reads and executes what it asks for (`hub/read.rs`),
//! 4. then writes to each client for which something waits, once (`hub/write.rs`),
//! 5. and ends those that are to be ended (`hub/end.rs`).
//!
//! What a turn does has a bound ([`Budget`](crate::budget::Budget)). When reading has used it up, those who
//! were not read come first in the next turn. When writing has, it goes on in the next turn, in order, and
//! nobody is read in that. A client that asks for more than its share of a turn waits behind those who ask
//! for little: a crowd that sends as fast as it can does not keep the others waiting for its own size.
//!
//! Nothing is removed while anything is walked: a connection that must go is marked, and its slot is free after the
//! turn. What is logged and counted on the way is in `hub/report.rs`.

mod end;
#[cfg(feature = "cluster")]
mod link;
mod memory;
mod read;
mod report;
mod write;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use slab::Slab;

use crate::batch::Memory;
use crate::chat::{Chat, ClientId};
use crate::connection::{Connection, Input, Phase, Reading, Source, Writing};
use crate::deadlines::{Deadlines, Moment};
use crate::dispatch::Dispatch;
use crate::ip_key::IpKey;
use crate::options::{self, Options};
use crate::outbox::{Outbox, Scratch};
use crate::protocol::{ClientLimit, DisconnectReason};
use crate::transport::{Peer, Transport};

pub use crate::transport::Event;
pub use end::LINGERING_MAX;
pub use report::Counters;
use report::LogLimiter;

/// The most that one read takes. A turn reads once from each client.
const READ_BYTES: usize = 64 << 10;

/// The most that one read takes while many wait to be read from: what is not carried out at once has to be held.
const CROWD_READ_BYTES: usize = 8 << 10;

/// So many are a crowd.
const CROWD: usize = 16;

/// There is room for so many connections from the start, if so many may come: no pause of growth up to here.
const RESERVED_CONNECTIONS_MAX: usize = 32_768;

/// Lists of connections have room for so many from the start. So they lie low in memory, and as a rule stay there: a
/// list that grows while much waits would lie above all that, and keep it from going back to the system.
const RESERVED_LISTED: usize = 1024;

/// What an [observer](Hub::observe) is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The next request of this client has been executed.
    Executed(ClientId),
    /// This client has left: from here on it is in no room, and its nickname is free.
    Left(ClientId),
}

/// Hears of what the hub does, as it does it.
#[derive(Default)]
struct Observer(Option<Box<dyn FnMut(Notice)>>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// The connections and all that they share.
#[derive(Debug)]
pub struct Hub<T> {
    options: Options,
    connections: Slab<Connection<T>>,
    dispatch: Dispatch,
    memory: Memory,
    deadlines: Deadlines,
    /// The time of this turn, on a clock of the caller's; when that was zero does not matter.
    now: Moment,
    /// What `--max-clients` limits: connections that the server has not ended, and that have not been closed.
    clients: usize,
    /// For `--max-clients-per-ip`: how many clients each address has.
    clients_at: HashMap<IpKey, usize>,
    /// To be read from: an edge-triggered poll does not say it twice. Each entry stands for a connection
    /// whose [`Reading`] says that it is listed. One that was closed in this turn may still stand here;
    /// `reap` takes it out before its slot is used again.
    ready: VecDeque<ClientId>,
    /// Likewise, those who have had their share of a turn and have more, and those who could not be read from
    /// until now: `--rate` had stopped them, they were held back, or they waited for an answer of Redis.
    /// They come after those in `ready`. A connection is in one of the two at most.
    ready_again: VecDeque<ClientId>,
    /// Those that linger, the oldest first, with the time until which they do. An entry with another time is stale.
    lingering: VecDeque<(Moment, ClientId)>,
    lingering_len: usize,
    /// To be removed at the end of the turn.
    closed: Vec<ClientId>,
    /// The last turn could not write all that it had to.
    writes_are_left: bool,
    /// What is known of a burst of output.
    burst: memory::Burst,
    /// When the last words are over, once the server stops.
    stop_at: Option<Moment>,
    read_buffer: Vec<u8>,
    spare_input: Option<Box<Input>>,
    scratch: Scratch,
    counters: Counters,
    log_limiter: LogLimiter,
    observer: Observer,
}

impl<T: Transport> Hub<T> {
    /// A hub without connections.
    pub fn new(options: &Options) -> Self {
        // Positions in a batch have 32 bits.
        let options = Options { max_line: options.max_line.min(options::MAX_LINE_BYTES), ..options.clone() };
        let memory = Memory::default();
        Hub {
            connections: Slab::with_capacity(options.max_clients.min(RESERVED_CONNECTIONS_MAX)),
            dispatch: Dispatch::new(&options, &memory),
            deadlines: Deadlines::default(),
            now: Moment::default(),
            clients: 0,
            clients_at: HashMap::new(),
            ready: VecDeque::with_capacity(RESERVED_LISTED),
            ready_again: VecDeque::with_capacity(RESERVED_LISTED),
            lingering: VecDeque::with_capacity(RESERVED_LISTED),
            lingering_len: 0,
            closed: Vec::with_capacity(RESERVED_LISTED),
            writes_are_left: false,
            burst: memory::Burst::default(),
            stop_at: None,
            options,
            memory,
            read_buffer: vec![0; READ_BYTES],
            spare_input: None,
            scratch: Scratch::default(),
            counters: Counters::default(),
            log_limiter: LogLimiter::default(),
            observer: Observer::default(),
        }
    }

    /// Takes a connection that has been accepted. One too many is told so and lingers. The number returned is the
    /// connection's until the end of the turn in which it is closed; events are told under it.
    pub fn connect(&mut self, transport: T, peer: Peer, now: Duration) -> ClientId {
        let (client, from_there) = self.insert(transport, peer, now);
        #[cfg(feature = "cluster")]
        if !self.is_linked() && self.stop_at.is_none() {
            self.disconnect(client, DisconnectReason::ClusterLinkLost);
            return client;
        }
        if self.stop_at.is_some() {
            self.disconnect(client, DisconnectReason::ShuttingDown);
        } else if self.clients > self.options.max_clients {
            self.disconnect(client, DisconnectReason::TooManyClients(ClientLimit::Server));
        } else if from_there > self.options.max_clients_per_ip {
            self.disconnect(client, DisconnectReason::TooManyClients(ClientLimit::Address));
        } else {
            self.log_connected(client);
            self.enter_deadline(client);
        }
        client
    }

    /// Takes a connection that has shown before that it is no client, to tell it why and end it.
    pub fn refuse(&mut self, transport: T, peer: Peer, reason: DisconnectReason, now: Duration) -> ClientId {
        let (client, _) = self.insert(transport, peer, now);
        self.disconnect(client, reason);
        client
    }

    /// A new connection, counted first, so that one that is refused goes the way of all that are ended. With it comes how
    /// many its address has.
    fn insert(&mut self, transport: T, peer: Peer, now: Duration) -> (ClientId, usize) {
        self.now = now.into();
        let client = self.connections.insert(Connection::new(transport, peer, now.into())) as ClientId;
        self.counters.accepted += 1;
        self.clients += 1;
        self.dispatch.chat.connect(client);
        #[cfg(feature = "cluster")]
        self.dispatch.admit(client);
        (client, self.count_address(&peer))
    }

    /// Counts one more client for its address. How many that are; 0 if it does not matter.
    fn count_address(&mut self, peer: &Peer) -> usize {
        let Some(ip) = peer.ip().filter(|_| self.options.max_clients_per_ip > 0) else { return 0 };
        let count = self.clients_at.entry(ip.into()).or_default();
        *count += 1;
        *count
    }

    /// The transport of a connection, for the poll to register.
    pub fn transport_mut(&mut self, client: ClientId) -> Option<&mut T> {
        self.connections.get_mut(client as usize).map(|connection| &mut connection.transport)
    }

    /// Gives a connection up, without a word.
    pub fn abandon(&mut self, client: ClientId) {
        self.close(client);
    }

    /// Notes an event; one for a connection that is no more is ignored. The work is done by [`Hub::turn`].
    pub fn event(&mut self, client: ClientId, event: Event, now: Duration) {
        self.now = now.into();
        let Some(connection) = self.connections.get_mut(client as usize) else { return };
        connection.transport.ready(event);
        if event.writable && matches!(connection.writing, Writing::Blocked | Writing::Closing) {
            if connection.writing == Writing::Blocked {
                connection.writing = Writing::Open;
            }
            self.dispatch.fanout.schedule_write(client);
        }
        let may_have_more = !matches!(connection.source, Source::Ended(_));
        if (event.readable || event.hung_up || event.urgent) && may_have_more {
            connection.source = Source::Unread;
            if connection.reading == Reading::Idle {
                self.queue(client);
            }
        }
    }

    /// One turn of the loop, after all its events have been told.
    pub fn turn(&mut self, now: Duration) {
        self.now = now.into();
        self.dispatch.fanout.budget.renew();
        #[cfg(feature = "cluster")]
        self.hear_engine();
        // What the last turn could not write goes first.
        if self.may_read() {
            self.read_ready();
        }
        self.flush();
        self.expire();
        self.write_list();
        self.reap();
        self.log_limiter.log_left_out(now, self.stop_at.is_some() && self.is_empty());
        #[cfg(debug_assertions)]
        self.check_turn();
    }

    /// Whether clients are read from in this turn.
    fn may_read(&self) -> bool {
        #[cfg(feature = "cluster")]
        if self.is_engine_first() {
            return false;
        }
        !self.writes_are_left
    }

    /// How long the loop may wait for events: not at all when somebody is still ready, until the next time-out, or for
    /// ever (`None`).
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        let somebody_is_ready = !self.ready.is_empty() || !self.ready_again.is_empty();
        if somebody_is_ready && self.may_read() || self.dispatch.fanout.has_to_write() {
            return Some(Duration::ZERO);
        }
        #[cfg(feature = "cluster")]
        let engine = self.engine_deadline().map(Duration::from);
        #[cfg(not(feature = "cluster"))]
        let engine = None;
        let deadlines = [self.deadlines.next().map(Duration::from), self.log_limiter.next_deadline(), engine];
        deadlines.into_iter().flatten().min().map(|deadline| deadline.saturating_sub(now))
    }

    /// What the hub knows of a connection, for the message of a test that fails.
    pub fn describe(&self, client: ClientId) -> String {
        let Some(connection) = self.connections.get(client as usize) else { return "no connection".into() };
        let Connection { phase, source, reading, writing, heard_at, entered_for, .. } = connection;
        let (input, output) =
            (connection.input_bytes(), self.dispatch.fanout.waiting(client).map(Outbox::len));
        format!(
            "{phase:?}, {source:?}, {reading:?}, {writing:?}, heard at {heard_at:?}, entered for {entered_for:?}, \
             {input} bytes of input, {output:?} of output, now {:?}, listed {:?}",
            self.now,
            self.is_listed(client)
        )
    }

    /// Tells `observer` what the hub does from here on. For tests.
    pub fn observe(&mut self, observer: impl FnMut(Notice) + 'static) {
        self.observer = Observer(Some(Box::new(observer)));
    }

    fn notify(&mut self, notice: Notice) {
        if let Some(observer) = &mut self.observer.0 {
            observer(notice);
        }
    }

    /// Connections that are open, those included that are about to be closed.
    pub fn connections_len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is left.
    pub fn is_empty(&self) -> bool {
        #[cfg(feature = "cluster")]
        if self.is_leaving_cluster() {
            return false;
        }
        self.connections.is_empty()
    }

    /// The tables, to look at.
    pub fn chat(&self) -> &Chat {
        &self.dispatch.chat
    }

    /// Bytes allocated for what waits, and for long names: what `--max-memory` bounds.
    pub fn memory_bytes(&self) -> usize {
        self.memory.bytes() + self.dispatch.chat.long_name_bytes()
    }

    /// Where transports count what they allocate.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Puts the connection on the list of those to be read from.
    fn queue(&mut self, client: ClientId) {
        if self.mark_queued(client) {
            self.ready.push_back(client);
        }
    }

    /// Likewise one that has had its share of this turn, or has been stopped because it wanted more than it may.
    fn queue_again(&mut self, client: ClientId) {
        if self.mark_queued(client) {
            self.ready_again.push_back(client);
        }
    }

    fn mark_queued(&mut self, client: ClientId) -> bool {
        let connection = self.connections.get_mut(client as usize);
        let Some(connection) = connection.filter(|connection| !connection.reading.is_listed()) else {
            return false;
        };
        connection.reading = Reading::Queued;
        true
    }

    fn is_listed(&self, client: ClientId) -> bool {
        self.ready.contains(&client) || self.ready_again.contains(&client)
    }

    /// How much may wait for a client of what it has caused itself before it is no longer read from.
    fn own_bytes_max(&self) -> usize {
        READ_BYTES.min(self.options.max_pending)
    }

    fn check_turn(&self) {
        debug_assert!(self.closed.is_empty());
        debug_assert!(self.clients <= self.connections.len());
        debug_assert!(self.dispatch.chat.clients_len() <= self.clients);
    }

    /// Panics if anything does not agree with anything else. For tests, between turns: it looks at everything.
    pub fn check(&self) {
        self.dispatch.chat.check();
        self.check_turn();
        let mut held = self.dispatch.fanout.check();
        #[cfg(feature = "cluster")]
        {
            held += self.check_node();
        }
        let (mut clients, mut active, mut lingering) = (0, 0, 0);
        for (slot, connection) in &self.connections {
            let client = slot as ClientId;
            let Connection { phase, reading, source, .. } = connection;
            let is_active = *phase == Phase::Active;
            assert_eq!(is_active, !self.chat().nickname(client).is_empty(), "client {client}: {phase:?}");
            active += usize::from(is_active);
            clients += usize::from(connection.is_client());
            lingering += usize::from(matches!(phase, Phase::Lingering { .. }));
            held += connection.input.as_ref().map_or(0, |input| input.allocated_bytes());
            held += connection.transport.input_bytes();
            assert!(
                !self.is_too_slow(client) || self.dispatch.fanout.has_to_write(),
                "client {client} is too slow"
            );
            assert_ne!(*phase, Phase::Closed, "closed connections are reaped");
            let is_queued = reading.is_listed();
            assert!(!is_queued || self.is_listed(client), "client {client} would be forgotten");
            let is_forgotten = *reading == Reading::Idle && *source == Source::Unread;
            assert!(!is_forgotten, "client {client} has input and waits for an event");
            assert!(is_active || connection.input_bytes() == 0, "client {client} keeps its input");
        }
        assert_eq!((self.clients, self.chat().clients_len()), (clients, active));
        assert_eq!(self.lingering_len, lingering);
        if !self.dispatch.fanout.has_to_write() {
            assert_eq!(self.memory.bytes(), held, "memory adds up");
        }
    }
}
