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

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::keys::{self, Envelope, Keys, NodeId, Publication};
use super::question::{About, Answer, Answered, Asked, Heard, Question, Step, What};
use super::resp::{self, Decoder, Value};
use crate::chat::ClientId;
use crate::deadlines::Moment;
use crate::dispatch::Action;
use crate::outbox::{Counted, Memory};
use crate::protocol;

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

/// With each renewal of the lease a part of the nicknames is kept from expiring, so that all have had their turn after
/// so many: two hours.
const RENEWALS_PER_ROUND: usize = 3600;

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
    lost_at: Option<Moment>,
    /// This loss has been logged.
    told: bool,
    /// When the server was asked to stop.
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
            lost_at: None,
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

    // --- The link, for whoever has the socket.

    /// What time it is.
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
            (self.lost, self.lost_at, self.told) = (true, Some(self.now), true);
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

    /// Whether the link was lost since this was last asked.
    pub fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Whether it was, and nobody has asked yet.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether it was last lost after that time.
    pub fn was_lost_after(&self, time: Moment) -> bool {
        self.lost_at.is_some_and(|at| at > time)
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

    // --- The greeting.

    fn greet(&mut self) {
        let Config { user, password, db, .. } = self.config.clone();
        self.tell(About::Greeting(Step::Hello), |out| match password {
            None => resp::command(out, &[b"HELLO", b"3"]),
            Some(password) => {
                let user = user.as_deref().unwrap_or("default");
                resp::command(out, &[b"HELLO", b"3", b"AUTH", user.as_bytes(), password.as_bytes()]);
            }
        });
        if db > 0 {
            let db = db.to_string();
            self.tell(About::Greeting(Step::Select), |out| resp::command(out, &[b"SELECT", db.as_bytes()]));
        }
        self.tell(About::Greeting(Step::Policy), |out| {
            resp::command(out, &[b"CONFIG", b"GET", b"maxmemory-policy"]);
        });
        if let Some(old) = self.old_id {
            let key = self.config.keys.node(old);
            self.tell(About::Greeting(Step::DeleteOldLease), |out| {
                resp::command(out, &[b"DEL", key.as_bytes()])
            });
        }
        self.take_id();
    }

    /// Asks for a number that no node has.
    fn take_id(&mut self) {
        let id = NodeId(self.next_random() >> 16);
        let (key, life) = (self.config.keys.node(id), keys::LEASE_MS.to_string());
        self.tell(About::Greeting(Step::TakeId(id)), |out| {
            resp::command(out, &[b"SET", key.as_bytes(), b"1", b"NX", b"PX", life.as_bytes()]);
        });
    }

    /// Tries out all that a node does, each under its own number.
    fn probe(&mut self) {
        let channel = self.config.keys.probe(self.id);
        let channel = channel.as_bytes();
        let mut probe = |step, arguments: &[&[u8]]| {
            self.tell(About::Greeting(step), |out| resp::command(out, arguments));
        };
        probe(Step::Subscribe, &[b"SUBSCRIBE", channel]);
        probe(Step::Publish, &[b"PUBLISH", channel, b"probe"]);
        probe(Step::CountSubscribers, &[b"PUBSUB", b"NUMSUB", channel]);
        probe(Step::Unsubscribe, &[b"UNSUBSCRIBE", channel]);
        // Nobody can be called so, for this node's guests count from 1.
        let name: Rc<[u8]> = format!("{}0", keys::guests(self.id)).into_bytes().into();
        self.tell_claim(About::Greeting(Step::Claim), &name, 0, None);
        let key = self.config.keys.nickname(&name);
        self.tell_refresh(About::Greeting(Step::Refresh), &key);
        self.tell_free(About::Greeting(Step::Free), &name, 0);
    }

    fn greeted(&mut self, step: Step, asked_at: Moment, value: &Value) -> Result<(), String> {
        if let Value::Error(error) = value {
            let error = String::from_utf8_lossy(error);
            match step {
                Step::Policy => {
                    self.tell(About::Greeting(Step::PolicyFromInfo), |out| {
                        resp::command(out, &[b"INFO", b"memory"]);
                    });
                }
                // It may not be read. The operator has been told in the manual.
                Step::PolicyFromInfo => {}
                step => return Err(format!("the engine refuses {}: {error}", step.command())),
            }
        }
        match step {
            Step::Hello => check_hello(value)?,
            Step::Policy => check_policy(value.get("maxmemory-policy").and_then(Value::text))?,
            Step::PolicyFromInfo => {
                let lines = value.text().unwrap_or_default().split(|&byte| byte == b'\n');
                check_policy(lines.filter_map(|line| line.strip_prefix(b"maxmemory_policy:")).next())?;
            }
            Step::TakeId(_) if *value == Value::Null => self.take_id(),
            Step::TakeId(id) => {
                (self.id, self.old_id) = (id, Some(id));
                (self.lease_until, self.renew_at) = (asked_at + LEASE, asked_at + RENEW_EVERY);
                self.probe();
            }
            Step::Publish if *value == Value::Integer(0) => {
                return Err("a publication does not come back from the engine".into());
            }
            Step::Claim | Step::Refresh if *value != Value::Integer(1) => {
                return Err("the engine does not keep a nickname".into());
            }
            _ => {}
        }
        if self.queue.is_empty() && self.link == Link::Greeting {
            self.link = Link::Up;
            if self.told {
                log::info!(
                    "the cluster's link stands again, after {} attempts; this is node {}",
                    self.attempts,
                    self.id
                );
            } else {
                log::info!("joined the cluster as node {}", self.id);
            }
            (self.attempts, self.told) = (0, false);
        }
        Ok(())
    }

    // --- Commands.

    /// Puts a question into the queue.
    fn tell(&mut self, about: About, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.output.len();
        write(&mut self.output);
        let echo = if let About::Client { echo, .. } = &about { echo.len() } else { 0 };
        let bytes = self.output.len() - before + echo;
        self.waiting_bytes += bytes;
        self.queue.push_back(Asked { about, bytes, at: self.now });
    }

    fn tell_claim(&mut self, about: About, name: &[u8], serial: u64, old: Option<&[u8]>) {
        let keys = &self.config.keys;
        let (own, nodes, life) = (keys.node(self.id), keys.nodes(), keys::NICKNAME_S.to_string());
        let (new, old) = (keys.nickname(name), old.map(|old| keys.nickname(old)));
        let holder = keys::holder(self.id, serial);
        let mut arguments: Vec<&[u8]> = vec![b"EVAL", keys::CLAIM.as_bytes()];
        arguments.push(if old.is_some() { b"2" } else { b"1" });
        arguments.push(&new);
        arguments.extend(old.as_deref());
        arguments.extend([holder.as_bytes(), own.as_bytes(), nodes.as_bytes(), life.as_bytes()]);
        self.tell(about, |out| resp::command(out, &arguments));
    }

    fn tell_free(&mut self, about: About, name: &[u8], serial: u64) {
        let (key, holder) = (self.config.keys.nickname(name), keys::holder(self.id, serial));
        self.tell(about, |out| {
            resp::command(out, &[b"EVAL", keys::FREE.as_bytes(), b"1", &key, holder.as_bytes()]);
        });
    }

    fn tell_refresh(&mut self, about: About, key: &[u8]) {
        let life = keys::NICKNAME_S.to_string();
        self.tell(about, |out| resp::command(out, &[b"EXPIRE", key, life.as_bytes()]));
    }

    fn tell_channel(&mut self, about: About, command: &[&[u8]], room: &[u8]) {
        let prefix = self.rooms_prefix.clone();
        self.tell(about, |out| {
            resp::begin(out, command.len() + 1);
            command.iter().for_each(|word| resp::blob(out, &[word]));
            resp::blob(out, &[&prefix, room]);
        });
    }

    fn renew_lease(&mut self) {
        self.renew_at = self.now + RENEW_EVERY;
        let (key, life) = (self.config.keys.node(self.id), keys::LEASE_MS.to_string());
        self.tell(About::Lease, |out| {
            resp::command(out, &[b"SET", key.as_bytes(), b"1", b"XX", b"PX", life.as_bytes()]);
        });
    }

    /// Keeps the next few nicknames from expiring.
    fn refresh_nicknames(&mut self) {
        for _ in 0..=self.clients.len() / RENEWALS_PER_ROUND {
            self.refreshed = if self.refreshed < self.clients.len() { self.refreshed + 1 } else { 0 };
            let client = self.clients.get(self.refreshed).and_then(Option::as_ref);
            if let Some(name) = client.and_then(|client| client.claimed.clone()) {
                let key = self.config.keys.nickname(&name);
                self.tell_refresh(About::Refresh, &key);
            }
        }
    }

    // --- Clients.

    /// A client has come. Its guest name is noted.
    pub fn admit(&mut self, client: ClientId, guest: &[u8]) {
        let index = client as usize;
        if self.clients.len() <= index {
            self.clients.resize_with(index + 1, || None);
        }
        self.serials += 1;
        let record = Client {
            serial: self.serials,
            guest: guest.into(),
            claimed: None,
            claiming: None,
            last_sent: 0,
            asking: false,
            parked: None,
        };
        if let Some(slot) = self.clients.get_mut(index) {
            *slot = Some(record);
        }
    }

    /// A client has gone. What it holds is freed, and so is what it has asked for: the engine carries out the freeing
    /// after that.
    pub fn depart(&mut self, client: ClientId) {
        let Some(gone) = self.clients.get_mut(client as usize).and_then(Option::take) else { return };
        while matches!(self.clients.last(), Some(None)) {
            self.clients.pop();
        }
        self.asking -= usize::from(gone.asking);
        self.parked_bytes -= gone.parked.map_or(0, |line| line.len());
        if self.link == Link::Up {
            for name in gone.claimed.into_iter().chain(gone.claiming) {
                self.departures_bytes += name.len();
                self.departures.push_back(Departure::Nickname { name, serial: gone.serial });
            }
            self.tell_departures();
        }
    }

    /// A room has lost its last member here, without having asked first.
    pub fn desert(&mut self, room: &[u8]) {
        if self.link != Link::Up {
            return;
        }
        let room: Rc<[u8]> = room.into();
        let under_way = self.under_way.entry(room.clone()).or_default();
        // A join that is under way keeps it; a leave that is under way, with no join behind it, has seen to it.
        if under_way.joins == 0 && under_way.leaves == 0 {
            under_way.leaves += 1;
            self.departures_bytes += room.len();
            self.departures.push_back(Departure::Room(room));
            self.tell_departures();
        }
    }

    /// Tells the engine who has gone, as far as the window has room.
    fn tell_departures(&mut self) {
        while self.waiting_bytes < self.config.window_bytes
            && let Some(departure) = self.departures.pop_front()
        {
            match departure {
                Departure::Nickname { name, serial } => {
                    self.departures_bytes -= name.len();
                    self.tell_free(About::Free, &name, serial);
                }
                Departure::Room(room) => {
                    self.departures_bytes -= room.len();
                    self.tell_channel(About::Unsubscribe(room.clone()), &[b"UNSUBSCRIBE"], &room);
                }
            }
        }
    }

    /// The client's name as a guest.
    pub fn guest(&self, client: ClientId) -> Option<&Rc<[u8]>> {
        self.client(client).map(|client| &client.guest)
    }

    /// How many joins and leaves are under way for a room.
    pub fn is_joining(&self, room: &[u8]) -> bool {
        self.under_way.get(room).is_some_and(|under_way| under_way.joins > 0)
    }

    /// See [`Node::is_joining`].
    pub fn is_leaving(&self, room: &[u8]) -> bool {
        self.under_way.get(room).is_some_and(|under_way| under_way.leaves > 0)
    }

    /// Whether the client waits for the engine.
    pub fn is_asking(&self, client: ClientId) -> bool {
        self.client(client).is_some_and(|client| client.asking)
    }

    /// How many clients do.
    pub fn asking_len(&self) -> usize {
        self.asking
    }

    fn client(&self, client: ClientId) -> Option<&Client> {
        self.clients.get(client as usize)?.as_ref()
    }

    fn client_mut(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(client as usize)?.as_mut()
    }

    /// The client waits from here on. Its request is put as a question, or kept until there is room for one. `author`
    /// is its nickname.
    pub fn ask(&mut self, client: ClientId, author: &[u8], action: Action, echo: &str, question: Question) {
        let has_room = self.waiting_bytes < self.config.window_bytes && self.departures.is_empty();
        let number = self.first + self.queue.len() as u64;
        let Some(record) = self.client_mut(client) else { return };
        let serial = record.serial;
        let was_asking = std::mem::replace(&mut record.asking, true);
        let mut old = None;
        if !has_room {
            record.parked = Some(echo.into());
        } else {
            match &question {
                Question::Claim(name) => record.claiming = Some(name.clone()),
                Question::Send { .. } => record.last_sent = number,
                _ => {}
            }
            old = record.claimed.clone();
        }
        self.asking += usize::from(!was_asking);
        if !has_room {
            self.parked_bytes += echo.len();
            return self.parked.push_back((client, serial));
        }
        let about = |what| About::Client { client, serial, action, echo: echo.into(), what };
        match question {
            Question::Claim(name) => {
                self.tell_claim(about(What::Claim(name.clone())), &name, serial, old.as_deref());
            }
            Question::BeGuest(name) => {
                self.tell_free(about(What::BeGuest(name)), old.as_deref().unwrap_or_default(), serial);
            }
            Question::Join(room) => {
                self.under_way.entry(room.clone()).or_default().joins += 1;
                self.tell_channel(about(What::Join(room.clone())), &[b"SUBSCRIBE"], &room);
            }
            Question::Leave(room) => {
                self.under_way.entry(room.clone()).or_default().leaves += 1;
                self.tell_channel(about(What::Leave(room.clone())), &[b"UNSUBSCRIBE"], &room);
            }
            Question::Find(room) => self.tell_channel(about(What::Find), &[b"PUBSUB", b"NUMSUB"], &room),
            Question::Send { room, text, subscribed } => {
                let mut envelope = String::new();
                Envelope { node: self.id, question: number, client }.write(&mut envelope);
                let (mut line, prefix) = (std::mem::take(&mut self.line), self.rooms_prefix.clone());
                line.clear();
                protocol::get_message(&mut line, room.as_bytes(), author, text);
                self.tell(about(What::Send { subscribed, answered: false }), |out| {
                    resp::begin(out, 3);
                    resp::blob(out, &[b"PUBLISH"]);
                    resp::blob(out, &[&prefix, room.as_bytes()]);
                    resp::blob(out, &[envelope.as_bytes(), &line]);
                });
                line.shrink_to(KEPT_BYTES);
                self.line = line;
            }
        }
    }

    /// The next request that was kept for want of room, if there is room now.
    pub fn take_parked(&mut self) -> Option<(ClientId, Vec<u8>)> {
        while self.link == Link::Up
            && self.waiting_bytes < self.config.window_bytes
            && self.departures.is_empty()
        {
            let (client, serial) = self.parked.pop_front()?;
            let record = self.client_mut(client).filter(|record| record.serial == serial);
            if let Some(line) = record.and_then(|record| record.parked.take()) {
                self.parked_bytes -= line.len();
                return Some((client, line));
            }
        }
        None
    }

    /// The client waits no longer.
    pub fn stop_asking(&mut self, client: ClientId) {
        if self.client_mut(client).is_some_and(|client| std::mem::take(&mut client.asking)) {
            self.asking -= 1;
        }
    }

    // --- Answers.

    /// Takes the input out, to be heard value by value; it has to be put back.
    pub fn take_input(&mut self) -> Decoder {
        std::mem::take(&mut self.input)
    }

    /// Puts the rest of the input back, unless the link was lost over it.
    pub fn put_back(&mut self, input: Decoder) {
        if self.has_connection() {
            self.input = input;
        }
    }

    /// Understands what the engine has said.
    ///
    /// # Errors
    /// Why the link cannot be trusted any more.
    pub fn hear<'a>(&mut self, value: &Value<'a>) -> Result<Heard<'a>, String> {
        let Value::Push(parts) = value else { return self.answer(value) };
        let text = |index: usize| parts.get(index).and_then(Value::text);
        match (text(0), text(1), text(2)) {
            (Some(b"message"), Some(channel), Some(payload)) => self.message(channel, payload),
            (Some(b"subscribe" | b"unsubscribe"), ..) => {
                if self.link == Link::Leaving {
                    return Ok(Heard::Nothing);
                }
                let expected = self.queue.front().and_then(|asked| asked.about.push());
                if expected.map(str::as_bytes) != text(0) {
                    return Err("the engine has ended a subscription".into());
                }
                self.answer(value)
            }
            _ => Err("the engine says something that is not understood".into()),
        }
    }

    fn message<'a>(&mut self, channel: &'a [u8], payload: &'a [u8]) -> Result<Heard<'a>, String> {
        let Some(room) = channel.strip_prefix(&*self.rooms_prefix) else { return Ok(Heard::Nothing) };
        let (envelope, line) = match Envelope::read(payload) {
            Publication::Message(envelope, line) => (envelope, line),
            Publication::Unknown => {
                return Err("another node is of a version that this one does not know".into());
            }
            Publication::Foreign => return Ok(Heard::Nothing),
        };
        let (mut sender, mut answer) = (None, None);
        if envelope.node == self.id {
            let is_sender = |client: &Client| client.last_sent == envelope.question;
            sender = Some(envelope.client).filter(|&client| self.client(client).is_some_and(is_sender));
            let index =
                envelope.question.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            if let Some(Asked { about, .. }) = index.and_then(|index| self.queue.get_mut(index))
                && let About::Client { action, echo, what: What::Send { answered, .. }, .. } = about
                && !std::mem::replace(answered, true)
            {
                let echo = std::mem::take(echo);
                answer = Some(Answer { client: sender, action: *action, echo, outcome: Answered::Sent });
            }
        }
        Ok(Heard::Message { room, line, sender, answer })
    }

    /// The answer to the question that stands first.
    fn answer(&mut self, value: &Value) -> Result<Heard<'static>, String> {
        let Some(asked) = self.queue.pop_front() else { return Err("an answer to no question".into()) };
        self.first += 1;
        self.waiting_bytes -= asked.bytes;
        if self.link == Link::Leaving {
            // UNSUBSCRIBE is answered by as many pushes as there were rooms: pushes are passed over, with those
            // questions that wait for one.
            return if asked.about.push().is_some() { self.answer(value) } else { Ok(Heard::Nothing) };
        }
        if let Value::Error(error) = value
            && !matches!(asked.about, About::Greeting(_))
        {
            return Err(format!("the engine refuses: {}", String::from_utf8_lossy(error)));
        }
        match asked.about {
            About::Greeting(step) => self.greeted(step, asked.at, value)?,
            About::Lease if *value == Value::Null => {
                return Err("the engine has lost this node's lease".into());
            }
            About::Lease => self.lease_until = self.lease_until.max(asked.at + LEASE),
            About::Unsubscribe(room) => self.left(&room),
            // Its client may just have gone, and have freed it.
            About::Free | About::Refresh => {}
            About::Client { client, serial, action, echo, what } => {
                let client =
                    Some(client).filter(|&client| self.client(client).is_some_and(|it| it.serial == serial));
                if let Some(outcome) = self.outcome(client, what, value)? {
                    return Ok(Heard::Answer(Answer { client, action, echo, outcome }));
                }
            }
        }
        Ok(Heard::Nothing)
    }

    fn outcome(
        &mut self,
        client: Option<ClientId>,
        what: What,
        value: &Value,
    ) -> Result<Option<Answered>, String> {
        let record = client.and_then(|client| self.client_mut(client));
        Ok(Some(match (what, value) {
            (What::Claim(name), Value::Integer(granted @ 0..=1)) => {
                let granted = *granted == 1;
                if let Some(record) = record {
                    record.claiming = None;
                    record.claimed = if granted { Some(name.clone()) } else { record.claimed.take() };
                }
                if granted { Answered::Named(name) } else { Answered::NicknameInUse }
            }
            (What::Claim(_), Value::Integer(-1)) => {
                return Err("the engine has lost this node's lease".into());
            }
            (What::BeGuest(name), Value::Integer(_)) => {
                if let Some(record) = record {
                    record.claimed = None;
                }
                Answered::Named(name)
            }
            (What::Join(room), Value::Push(_)) => {
                self.end(&room, |under_way| under_way.joins -= 1);
                Answered::Joined(room)
            }
            (What::Leave(room), Value::Push(_)) => {
                self.left(&room);
                Answered::Left(room)
            }
            (What::Find, Value::List(parts)) => match parts.get(1) {
                Some(Value::Integer(0)) => Answered::RoomNotFound,
                Some(Value::Integer(_)) => Answered::NotInThisRoom,
                _ => return Err("NUMSUB was not answered with a number".into()),
            },
            (What::Send { answered: true, .. }, Value::Integer(_)) => return Ok(None),
            (What::Send { subscribed: true, .. }, Value::Integer(0)) => {
                return Err("the engine has lost a subscription".into());
            }
            (What::Send { .. }, Value::Integer(0)) => Answered::RoomNotFound,
            (What::Send { .. }, Value::Integer(_)) => Answered::Sent,
            (what, value) => return Err(format!("{what:?} was answered with {value:?}")),
        }))
    }

    fn left(&mut self, room: &[u8]) {
        self.end(room, |under_way| under_way.leaves -= 1);
    }

    fn end(&mut self, room: &[u8], count: impl FnOnce(&mut UnderWay)) {
        if let Some(under_way) = self.under_way.get_mut(room) {
            count(under_way);
            if under_way.joins == 0 && under_way.leaves == 0 {
                self.under_way.remove(room);
            }
        }
    }

    // --- The end.

    /// The server is to stop as soon as it may. When this was asked for first.
    pub fn ask_to_stop(&mut self) -> Moment {
        *self.stop_asked_at.get_or_insert(self.now)
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

    // --- Numbers.

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Tells [`Memory`] what waits here, in bytes.
    pub fn recount(&self) {
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

impl Step {
    /// The command that was refused.
    fn command(self) -> &'static str {
        match self {
            Step::Hello => "HELLO 3",
            Step::Select => "SELECT",
            Step::Policy => "CONFIG GET",
            Step::PolicyFromInfo => "INFO",
            Step::DeleteOldLease => "DEL",
            Step::TakeId(_) => "SET",
            Step::Subscribe => "SUBSCRIBE",
            Step::Publish => "PUBLISH",
            Step::CountSubscribers => "PUBSUB NUMSUB",
            Step::Unsubscribe => "UNSUBSCRIBE",
            Step::Claim | Step::Free => "EVAL",
            Step::Refresh => "EXPIRE",
        }
    }
}

/// Whether this is an engine that can join nodes.
fn check_hello(value: &Value) -> Result<(), String> {
    let field = |name| value.get(name).and_then(Value::text).map(String::from_utf8_lossy).unwrap_or_default();
    let (version, mode, role) = (field("version"), field("mode"), field("role"));
    if role != "master" {
        return Err(format!("the engine is no primary, its role is {role:?}"));
    }
    if mode != "standalone" {
        return Err(format!("the engine is not standalone, its mode is {mode:?}"));
    }
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 7 {
        return Err(format!("the engine's version is {version:?}, and 7.0 is the oldest that will do"));
    }
    Ok(())
}

/// Nicknames and leases must stay until they are deleted or expire.
fn check_policy(policy: Option<&[u8]>) -> Result<(), String> {
    match policy.map(<[u8]>::trim_ascii) {
        None | Some(b"noeviction") => Ok(()),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(format!("the engine's maxmemory-policy is {other}, and must be noeviction"))
        }
    }
}
