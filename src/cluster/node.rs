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

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::keys::{self, Keys, NodeId};
use super::question::{About, Asked, What};
use super::resp::{self, Decoder};
use crate::batch::{Counted, Memory};
use crate::chat::ClientId;
use crate::deadlines::Moment;

/// So many bytes of questions may wait for the engine before a client's question waits here.
pub const WINDOW_BYTES: usize = 1 << 20;

/// The engine has so long to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The node's life, from the sending of the last renewal that was granted.
const LEASE: Duration = Duration::from_millis(keys::LEASE_MS);

/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// The first pause before the link is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

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

    /// What waits is counted there from now on.
    pub fn count_in(&mut self, memory: &Memory) {
        self.counted = Counted::new(memory);
    }

    /// What time it is, on a clock that counts also the time in which this process stood still.
    pub fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    /// Whether a connection is to be made now. It is being made then, and [`Node::connected`] or [`Node::lose`] has to
    /// be told.
    pub fn wants_to_connect(&mut self) -> bool {
        let wants = matches!(self.link, Link::Down { until } if until <= self.now);
        if wants {
            self.link = Link::Connecting { since: self.now };
        }
        wants
    }

    /// The connection stands: the greeting begins.
    pub fn connected(&mut self) {
        if matches!(self.link, Link::Connecting { .. }) {
            self.link = Link::Greeting;
            self.greet();
        }
    }

    /// Whether there should be a connection, or is about to be. If not, it is to be closed.
    pub fn has_connection(&self) -> bool {
        !matches!(self.link, Link::Down { .. })
    }

    /// Whether clients can be served.
    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    /// Why the link does not stand, for a log.
    pub fn why(&self) -> &str {
        &self.why
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

    /// The time at which something has to be done, if nothing happens before.
    pub fn deadline(&self) -> Option<Moment> {
        let answer = self.queue.front().map(|asked| asked.at + PATIENCE);
        match self.link {
            Link::Down { until } => Some(until),
            Link::Connecting { since } => Some(since + PATIENCE),
            Link::Greeting => Some(answer.map_or(self.lease_until, |answer| answer.min(self.lease_until))),
            Link::Up => Some(answer.unwrap_or(Moment::NEVER).min(self.renew_at).min(self.lease_until)),
            Link::Leaving => None,
        }
    }

    /// The link is lost, or could not be made. It is tried again after a pause that grows, and is random so that the
    /// nodes do not all come back at once.
    pub fn lose(&mut self, why: impl Into<String>) {
        if matches!(self.link, Link::Down { .. }) {
            return;
        }
        self.why = why.into();
        let was = self.link;
        let pause = PAUSE_MAX.min(PAUSE_MIN * (1 << self.attempts.min(10)));
        let pause = pause / 2 + Duration::from_nanos(self.next_random() % (pause.as_nanos() as u64 / 2));
        self.attempts = self.attempts.saturating_add(1);
        self.link = Link::Down { until: if was == Link::Leaving { Moment::NEVER } else { self.now + pause } };
        if was == Link::Up {
            (self.lost, self.told) = (true, true);
            log::warn!("cluster link lost: {}; all clients are told, and it is tried again", self.why);
        } else {
            log::debug!("no cluster link: {}", self.why);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.queue.clear();
        self.first += 1 << 32;
        self.waiting_bytes = 0;
        (self.lease_until, self.renew_at) = (Moment::NEVER, Moment::NEVER);
        (self.input, self.drained) = (Decoder::default(), true);
        (self.output, self.sent) = (Vec::new(), 0);
        self.under_way.clear();
        self.parked.clear();
        self.departures.clear();
        (self.parked_bytes, self.departures_bytes, self.asking) = (0, 0, 0);
        for client in self.clients.iter_mut().flatten() {
            (client.claimed, client.claiming, client.parked, client.asking) = (None, None, None, false);
        }
    }

    /// Whether the link was lost since this was last asked. Then the clients are told now, on the hub's clock.
    pub fn take_lost(&mut self, now: Moment) -> bool {
        let lost = std::mem::take(&mut self.lost);
        if lost {
            self.told_at = Some(now);
        }
        lost
    }

    /// Whether it was, and nobody has asked yet.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether clients were last told after that time.
    pub fn has_told_after(&self, time: Moment) -> bool {
        self.told_at.is_some_and(|at| at > time)
    }

    /// To be called before anything is read, from clients or from the link: this node may have stood still for longer
    /// than the others may take it for alive.
    pub fn check_lease(&mut self) {
        if self.now >= self.lease_until && self.has_connection() && self.link != Link::Leaving {
            self.lose("this node's lease has run out: it stood still, or its renewals came too late");
        }
    }

    /// To be called after what has come was heard: what is overdue, and what has its time.
    pub fn check_time(&mut self) {
        match self.link {
            Link::Connecting { since } if since + PATIENCE <= self.now => {
                self.lose("no connection within 5 seconds");
            }
            Link::Greeting | Link::Up if self.is_overdue() => {
                self.lose("the engine has not answered for 5 seconds");
            }
            _ => {}
        }
        if self.link == Link::Up {
            if self.renew_at <= self.now {
                self.renew_lease();
                self.refresh_nicknames();
            }
            self.tell_departures();
        }
    }

    /// Whether an answer has not come in time. One that has come and was not heard yet is in time.
    fn is_overdue(&self) -> bool {
        let is_late = |asked: &Asked| asked.at + PATIENCE <= self.now;
        self.drained && !self.input.may_have_value() && self.queue.front().is_some_and(is_late)
    }

    /// The server is to stop as soon as it may. When this was asked for first, on the hub's clock.
    pub fn ask_to_stop(&mut self, now: Moment) -> Moment {
        *self.stop_asked_at.get_or_insert(now)
    }

    /// When it was asked to stop.
    pub fn stop_asked_at(&self) -> Option<Moment> {
        self.stop_asked_at
    }

    /// The server stops: unsubscribes from everything and gives up the lease, which frees all nicknames in one step.
    pub fn leave(&mut self) {
        if self.link != Link::Up {
            // No attempt is made any more.
            self.link = Link::Down { until: Moment::NEVER };
            return self.forget();
        }
        // Answers that nobody waits for are not told apart any more, so they are only counted.
        resp::command(&mut self.output, &[b"UNSUBSCRIBE"]);
        let key = self.config.keys.node(self.id);
        self.tell(About::Free, |out| resp::command(out, &[b"DEL", key.as_bytes()]));
        self.departures.clear();
        self.departures_bytes = 0;
        self.link = Link::Leaving;
    }

    /// Whether something is still to be sent to the engine or heard from it before the server may end.
    pub fn is_leaving_cluster(&self) -> bool {
        self.link == Link::Leaving && !self.queue.is_empty()
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
