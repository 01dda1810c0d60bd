//! This node's side of the link to the engine. No I/O and no clock: bytes come in and go out, and it is told the time.
//!
//! All questions to the engine stand in one queue and are matched with their answers in order. SUBSCRIBE and
//! UNSUBSCRIBE stand there, too: their answers are pushes, their refusals ordinary errors, and both come in their turn.
//! Only publications come between.
//!
//! What is known here of a room is only what is under way. A room is subscribed to if it has members on this node and
//! no UNSUBSCRIBE is under way; the members are in [`Chat`](crate::chat::Chat).
//!
//! Whatever is not as it must be, the link is lost then, and everything is forgotten but the time of the next attempt.
//! The clients are told by the hub.

mod answers;
mod clients;
mod commands;
mod greeting;
mod life;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::keys::{self, Keys, NodeId};
use super::question::{About, Asked, What};
use super::resp::Decoder;
use crate::batch::{Counted, Memory};
use crate::chat::ClientId;
use crate::deadlines::Moment;

/// So many bytes of questions may wait for the engine before a client's question waits here.
pub const WINDOW_BYTES: usize = 1 << 20;

/// The node's life, from the sending of the last renewal that was granted.
const LEASE: Duration = Duration::from_millis(keys::LEASE_MS);

/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// The output buffer is given back when it is empty and larger than this.
const KEPT_BYTES: usize = 128 << 10;

/// Who this node is to the engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// How keys and channels are called.
    pub keys: Keys,
    /// The number of the database.
    pub db: u32,
    /// The engine's user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// So many bytes of questions may wait for the engine: [`WINDOW_BYTES`].
    pub window_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// There is none; it is tried again then.
    Down {
        until: Moment,
    },
    /// The socket is being connected.
    Connecting {
        since: Moment,
    },
    /// It is being looked whether the engine is what it must be.
    Greeting,
    Up,
    /// The server stops: the last commands are out.
    Leaving,
}

/// A client, as long as it is connected.
#[derive(Debug)]
struct Client {
    /// Its number among all clients that this node ever had.
    serial: u64,
    guest: Rc<[u8]>,
    /// The nickname that it holds in the engine.
    claimed: Option<Rc<[u8]>>,
    /// One that it has asked for.
    claiming: Option<Rc<[u8]>>,
    /// The number of its last question that was a message.
    last_sent: u64,
    asking: bool,
    /// A request that could not be asked yet.
    parked: Option<Vec<u8>>,
}

/// What is under way for a room.
#[derive(Debug, Default)]
struct UnderWay {
    joins: u32,
    leaves: u32,
}

/// Something to be told to the engine for a client that has gone.
#[derive(Debug)]
enum Departure {
    Nickname { name: Rc<[u8]>, serial: u64 },
    Room(Rc<[u8]>),
}

/// The node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    rooms_prefix: Rc<[u8]>,
    id: NodeId,
    /// The lease under this number may still be there.
    old_id: Option<NodeId>,
    random: u64,
    now: Moment,
    link: Link,
    /// The link was lost, and the clients do not know it yet.
    lost: bool,
    /// When the clients were told of the last loss, on the hub's clock.
    told_at: Option<Moment>,
    /// This loss has been logged.
    told: bool,
    /// When the server was asked to stop, on the hub's clock.
    stop_asked_at: Option<Moment>,
    attempts: u32,
    /// Why the last attempt or the link ended.
    why: String,
    queue: VecDeque<Asked>,
    /// The number of the first of them.
    first: u64,
    waiting_bytes: usize,
    lease_until: Moment,
    renew_at: Moment,
    refreshed: usize,
    input: Decoder,
    /// Nothing more of the link's input was there when it was last read.
    drained: bool,
    output: Vec<u8>,
    sent: usize,
    line: Vec<u8>,
    under_way: HashMap<Rc<[u8]>, UnderWay>,
    clients: Vec<Option<Client>>,
    serials: u64,
    asking: usize,
    parked: VecDeque<(ClientId, u64)>,
    parked_bytes: usize,
    departures: VecDeque<Departure>,
    departures_bytes: usize,
    counted: Counted,
}

impl Node {
    /// A node without a link. `random` decides its numbers and its pauses.
    pub fn new(config: Config, random: u64) -> Self {
        Node {
            rooms_prefix: config.keys.rooms(),
            config,
            id: NodeId(0),
            old_id: None,
            random,
            now: Moment::default(),
            link: Link::Down { until: Moment::default() },
            lost: false,
            told_at: None,
            told: false,
            stop_asked_at: None,
            attempts: 0,
            why: String::new(),
            queue: VecDeque::new(),
            first: 1,
            waiting_bytes: 0,
            lease_until: Moment::NEVER,
            renew_at: Moment::NEVER,
            refreshed: 0,
            input: Decoder::default(),
            drained: true,
            output: Vec::new(),
            sent: 0,
            line: Vec::new(),
            under_way: HashMap::new(),
            clients: Vec::new(),
            serials: 0,
            asking: 0,
            parked: VecDeque::new(),
            parked_bytes: 0,
            departures: VecDeque::new(),
            departures_bytes: 0,
            counted: Counted::new(&Memory::default()),
        }
    }

    /// What waits is counted there from now on, and questions take no more than a part of what there may be.
    pub fn count_in(&mut self, memory: &Memory, max_memory: usize) {
        self.config.window_bytes = self.config.window_bytes.min(max_memory / 4);
        self.counted = Counted::new(memory);
    }

    /// What time it is, on a clock that counts also the time in which this process stood still.
    pub fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    /// Something has come from the engine. `drained`: nothing more was there.
    pub fn receive(&mut self, bytes: &[u8], drained: bool) {
        self.input.fill(bytes);
        self.drained = drained;
    }

    /// Whether input of the link waits to be heard.
    pub fn has_input(&self) -> bool {
        self.has_connection() && (!self.drained || self.input.may_have_value())
    }

    /// Whether there is room for more input. What has come is to be heard first.
    pub fn wants_input(&self) -> bool {
        self.has_connection() && !self.input.may_have_value()
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes of it were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        debug_assert!(self.sent <= self.output.len());
        if self.sent == self.output.len() {
            self.output.clear();
            self.output.shrink_to(KEPT_BYTES);
            self.sent = 0;
        } else if self.sent > self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Tells [`Memory`] what waits here, in bytes.
    pub fn recount(&mut self) {
        self.counted.set(self.held_bytes());
    }

    /// What was told last.
    pub fn counted_bytes(&self) -> usize {
        self.counted.get()
    }

    /// Bytes that wait here, in both directions.
    pub fn held_bytes(&self) -> usize {
        // The command is among `waiting_bytes` also when it has gone out: its echo waits.
        self.waiting_bytes.max(self.output.len())
            + self.input.len()
            + self.parked_bytes
            + self.departures_bytes
    }

    /// Bytes that wait here because of this client alone.
    pub fn held_for(&self, client: ClientId) -> usize {
        self.client(client).and_then(|client| client.parked.as_ref()).map_or(0, Vec::len)
    }

    /// Panics if anything does not add up. For tests.
    pub fn check(&self) {
        assert_eq!(self.waiting_bytes, self.queue.iter().map(|asked| asked.bytes).sum::<usize>());
        let clients = || self.clients.iter().flatten();
        assert_eq!(self.asking, clients().filter(|client| client.asking).count());
        let parked = clients().filter_map(|client| client.parked.as_ref()).map(Vec::len);
        assert_eq!(self.parked_bytes, parked.sum::<usize>());
        let (mut joins, mut leaves) = (0, 0);
        for asked in &self.queue {
            match &asked.about {
                About::Client { what: What::Join(_), .. } => joins += 1,
                About::Client { what: What::Leave(_), .. } | About::Unsubscribe(_) => leaves += 1,
                _ => {}
            }
        }
        leaves +=
            self.departures.iter().filter(|departure| matches!(departure, Departure::Room(_))).count() as u32;
        if self.link == Link::Up {
            assert_eq!(self.under_way.values().map(|it| it.joins).sum::<u32>(), joins);
            assert_eq!(self.under_way.values().map(|it| it.leaves).sum::<u32>(), leaves);
        }
    }

    /// SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
