//! Several hubs, one engine, what lies between, and what may go wrong there.
//!
//! What is checked all the time: the tables; that no two clients have one nickname, but on a node that the engine does
//! not take for alive any more and that has not run since. What is checked at the end: see [`World::judge`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use parlor::cluster::keys::{self, Envelope, Keys, Publication};
use parlor::cluster::{Config, Node};
use parlor::hub::{Event, Hub};
use parlor::options::Options;
use parlor::transport::Peer;

use crate::common::random::Random;
use crate::engine::{ConnectionId, Engine};
use crate::talker::{Socket, Stay, Talker, Wish};

const ROOMS: [&str; 4] = ["hall", "flood", "7", "secret"];
const NAMES: [&str; 6] = ["Ann", "Bob", "Cem", "Dora", "Eve", "Fay"];

/// Why a link may be lost here. That a subscription or an answer is not as a node expects is never the engine's fault.
const LOSSES: [&str; 6] = [
    "it broke",
    "refused",
    "not answered for 5",
    "lease has run out",
    "this node's lease",
    "connection within 5",
];

/// A node, and the two directions of its link.
struct Place {
    hub: Hub<Socket>,
    connection: Option<ConnectionId>,
    to_engine: VecDeque<u8>,
    to_node: VecDeque<u8>,
    /// Nothing moves on the link before that.
    stalled_until: Duration,
    /// The node stands still until then.
    frozen_until: Duration,
    ran_at: Duration,
    /// The engine has forgotten everything: that this node hears of it late is not what is looked at here.
    must_notice: bool,
    /// It was asked to stop.
    is_stopping: bool,
}

pub struct World {
    random: Random,
    engine: Engine,
    places: Vec<Option<Place>>,
    talkers: Vec<Talker>,
    now: Duration,
    /// When the engine answers again.
    engine_stands_until: Duration,
    /// Connections that nodes have given up, and that the engine does not know to be gone.
    half_open: Vec<(Duration, ConnectionId, VecDeque<u8>)>,
    talkers_max: usize,
    /// Little may wait for the engine.
    is_narrow: bool,
    members_only: bool,
    gone: Vec<Talker>,
    pub faults: BTreeMap<&'static str, usize>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = Random::from_seed(seed);
        let mut engine = Engine::default();
        engine.number_first = random.once_in(2);
        engine.output_limit = if random.once_in(4) { 4 << 10 } else { usize::MAX };
        let nodes = 1 + random.below(4);
        let mut world = World {
            engine,
            places: Vec::new(),
            talkers: Vec::new(),
            now: Duration::from_secs(1),
            engine_stands_until: Duration::ZERO,
            half_open: Vec::new(),
            talkers_max: 2 + random.below(16),
            is_narrow: random.once_in(3),
            members_only: random.once_in(3),
            gone: Vec::new(),
            faults: BTreeMap::new(),
            random,
        };
        for _ in 0..nodes {
            let place = world.new_place();
            world.places.push(Some(place));
        }
        world
    }

    fn new_place(&mut self) -> Place {
        let keys = Keys::new("parlor:", 0);
        let window_bytes = if self.is_narrow { 2000 } else { 1 << 20 };
        let config = Config { keys, db: 0, user: None, password: None, window_bytes };
        let node = Node::new(config, self.random.number());
        let mut hub = Hub::new(&Options { members_only: self.members_only, ..Options::default() });
        hub.join_cluster(node);
        Place {
            hub,
            connection: None,
            to_engine: VecDeque::new(),
            to_node: VecDeque::new(),
            stalled_until: Duration::ZERO,
            frozen_until: Duration::ZERO,
            ran_at: Duration::ZERO,
            must_notice: false,
            is_stopping: false,
        }
    }

    /// Lets things happen, good and bad, then heals everything, waits, and judges.
    pub fn run(&mut self, steps: usize) -> usize {
        for _ in 0..steps {
            self.step();
        }
        self.heal();
        self.judge();
        self.talkers.iter().chain(&self.gone).map(|talker| talker.replies as usize).sum()
    }

    fn step(&mut self) {
        let pause = [0, 0, 0, 1, 3, 20, 200][self.random.below(7)];
        self.advance(Duration::from_millis(pause));
        match self.random.below(400) {
            0 => self.fault("a link stalls", |world, index| {
                let time = Duration::from_millis(world.random.number() % 15_000);
                world.place(index).stalled_until = world.now + time;
            }),
            1 => self.fault("a link breaks", |world, index| world.break_link(index)),
            2 => self.fault("a node stands still", |world, index| {
                let time = Duration::from_millis(world.random.number() % 15_000);
                world.place(index).frozen_until = world.now + time;
            }),
            3 => self.fault("a node dies", |world, index| world.kill(index)),
            4 if self.random.once_in(4) => {
                *self.faults.entry("the engine stands still").or_default() += 1;
                self.engine_stands_until = self.now + Duration::from_millis(self.random.number() % 8000);
            }
            5 if self.random.once_in(4) => {
                *self.faults.entry("the engine starts anew").or_default() += 1;
                self.engine.restart();
                self.places.iter_mut().flatten().for_each(|place| place.must_notice = true);
                (0..self.places.len()).for_each(|index| self.run_node(index));
            }
            6 => self.fault("a node is stopped", |world, index| {
                let now = world.now;
                if !std::mem::replace(&mut world.place(index).is_stopping, true) {
                    world.place(index).hub.stop(now);
                }
            }),
            7..60 => self.come(),
            60..70 => self.go(),
            70..200 => self.talk(),
            _ => {}
        }
        self.move_bytes();
        for index in 0..self.places.len() {
            if self.random.once_in(2) {
                self.run_node(index);
            }
        }
        self.check();
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.engine.set_now(self.now);
        let now = self.now;
        for (_, id, rest) in self.half_open.extract_if(.., |(until, ..)| *until <= now).collect::<Vec<_>>() {
            // What was under way may still arrive.
            if self.random.once_in(2) && self.engine.is_open(id) {
                self.engine.receive(id, &rest.into_iter().collect::<Vec<_>>());
            }
            self.engine.close(id);
        }
    }

    fn place(&mut self, index: usize) -> &mut Place {
        self.places[index].as_mut().expect("a node")
    }

    fn fault(&mut self, what: &'static str, cause: impl Fn(&mut World, usize)) {
        let index = self.random.below(self.places.len());
        if self.places[index].is_some() {
            *self.faults.entry(what).or_default() += 1;
            cause(self, index);
        }
    }

    fn break_link(&mut self, index: usize) {
        if let Some(connection) = self.place(index).connection {
            self.engine.close(connection);
        }
    }

    /// The process ends. The engine learns it at once, or not for a while.
    fn kill(&mut self, index: usize) {
        let Some(place) = self.places[index].take() else { return };
        let pause = if self.random.once_in(2) { 0 } else { self.random.number() % 20_000 };
        if let Some(connection) = place.connection {
            self.half_open.push((self.now + Duration::from_millis(pause), connection, place.to_engine));
        }
        let (dead, alive) = std::mem::take(&mut self.talkers).into_iter().partition(|it| it.node == index);
        self.talkers = alive;
        self.gone.extend::<Vec<Talker>>(dead);
        // Another comes in its place.
        let place = self.new_place();
        self.places[index] = Some(place);
    }

    fn come(&mut self) {
        let node = self.random.below(self.places.len());
        let now = self.now;
        if self.talkers.len() >= self.talkers_max
            || self.place(node).frozen_until > now
            || self.place(node).is_stopping
        {
            return;
        }
        let socket = Socket::default();
        let id = self.place(node).hub.connect(socket.clone(), Peer::Unix, now);
        let name = self.talkers.len() + self.gone.len();
        self.talkers.push(Talker::new(name, node, id, socket));
    }

    /// A client goes without a word.
    fn go(&mut self) {
        if !self.talkers.is_empty() {
            let index = self.random.below(self.talkers.len());
            if self.random.once_in(2) {
                self.talkers[index].socket.0.borrow_mut().closed = true;
                self.tell(index);
            } else {
                // At once, also while it waits for the engine: as a client that is too slow, or for want of memory.
                let (node, id) = (self.talkers[index].node, self.talkers[index].id);
                self.place(node).hub.abandon(id);
            }
            self.leave(index);
        }
    }

    fn leave(&mut self, index: usize) {
        let talker = self.talkers.swap_remove(index);
        talker.socket.0.borrow_mut().closed = true;
        self.gone.push(talker);
    }

    fn tell(&mut self, index: usize) {
        let (node, id, now) = (self.talkers[index].node, self.talkers[index].id, self.now);
        let readable = Event { readable: true, ..Event::default() };
        self.place(node).hub.event(id, readable, now);
    }

    fn talk(&mut self) {
        if self.talkers.is_empty() {
            return;
        }
        let index = self.random.below(self.talkers.len());
        if self.talkers[index].asked.len() > 4 {
            return;
        }
        let room = ROOMS[self.random.below(ROOMS.len())].to_string();
        let wish = match self.random.below(10) {
            0 | 1 => Wish::Login(NAMES[self.random.below(NAMES.len())].into()),
            2 | 3 => Wish::Join(room),
            4 => Wish::Leave(room),
            _ => Wish::Send(room, self.talkers[index].new_text()),
        };
        self.talkers[index].ask(wish);
        self.tell(index);
    }

    /// Some of what is under way arrives.
    fn move_bytes(&mut self) {
        for index in 0..self.places.len() {
            let Some(place) = &mut self.places[index] else { continue };
            let Some(connection) = place.connection else { continue };
            if place.stalled_until > self.now || !self.engine.is_open(connection) {
                continue;
            }
            let count = if self.random.once_in(3) { 1 + self.random.below(200) } else { usize::MAX };
            if self.engine_stands_until <= self.now {
                let bytes: Vec<u8> = place.to_engine.drain(..count.min(place.to_engine.len())).collect();
                self.engine.receive(connection, &bytes);
            }
            let count = if self.random.once_in(3) { 1 + self.random.below(200) } else { usize::MAX };
            let output = self.engine.output(connection);
            place.to_node.extend(output.drain(..count.min(output.len())));
        }
    }

    /// A turn of a node, with what its socket does before and after it.
    fn run_node(&mut self, index: usize) {
        let (now, stands) = (self.now, self.engine_stands_until > self.now);
        let Some(place) = self.places[index].as_mut().filter(|place| place.frozen_until <= now) else {
            return;
        };
        let node = place.hub.node_mut().unwrap();
        node.set_now(now.into());
        if node.wants_to_connect() {
            if stands {
                node.lose("refused");
            } else {
                (place.connection, place.to_engine, place.to_node) =
                    (Some(self.engine.accept()), [].into(), [].into());
                node.connected();
            }
        }
        if node.has_connection()
            && place.connection.is_some_and(|connection| !self.engine.is_open(connection))
        {
            // What had come before may be read first, or not.
            if place.must_notice || self.random.once_in(2) || place.to_node.is_empty() {
                node.lose("it broke");
            }
        }
        place.must_notice = false;
        while !place.to_node.is_empty() && node.wants_input() {
            let count = place.to_node.len().min(1 + self.random.below(300));
            let bytes: Vec<u8> = place.to_node.drain(..count).collect();
            node.receive(&bytes, place.to_node.is_empty());
        }
        place.hub.turn(now);
        place.ran_at = now;
        let node = place.hub.node_mut().unwrap();
        let output = node.output().to_vec();
        let taken = if self.random.once_in(8) { self.random.below(output.len() + 1) } else { output.len() };
        place.to_engine.extend(&output[..taken]);
        node.sent(taken);
        if !node.has_connection()
            && let Some(connection) = place.connection.take()
        {
            let pause = Duration::from_millis(self.random.number() % 3000);
            let rest = std::mem::take(&mut place.to_engine);
            self.half_open.push((now + pause, connection, rest));
        }
        place.hub.check();
        let why = place.hub.node().unwrap().why();
        assert!(why.is_empty() || LOSSES.iter().any(|loss| why.contains(loss)), "node {index}: {why}");
        let is_done = place.is_stopping && place.hub.is_empty();
        self.listen();
        if is_done {
            self.kill(index);
        }
    }

    /// All clients read, and those that were ended go.
    fn listen(&mut self) {
        let Engine { published, .. } = &self.engine;
        let count = |room: &str| {
            let channel = format!("parlor:0:room:\"{room}\"");
            published.iter().filter(|(other, _)| *other == channel.as_bytes()).count()
        };
        self.talkers.iter_mut().for_each(|talker| talker.listen(count));
        while let Some(index) = self.talkers.iter().position(|talker| talker.last_words.is_some()) {
            let words = self.talkers[index].last_words.clone().unwrap();
            match (&*words, self.place(self.talkers[index].node).is_stopping) {
                ("Server shutting down", true) => {}
                ("Cluster link lost", _) => *self.faults.entry("a client is told").or_default() += 1,
                _ => panic!("{words}"),
            }
            self.talkers[index].socket.0.borrow_mut().closed = true;
            self.tell(index);
            self.leave(index);
        }
    }

    /// The nickname of each client in the tables, on all nodes that may hold nicknames.
    fn check(&mut self) {
        let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            let Some(place) = place else { continue };
            let id = place.hub.node_mut().unwrap().id();
            let key = Keys::new("parlor:", 0).node(id);
            // The engine does not take it for alive, and it has not run since.
            if !self.engine.has_key(key.as_bytes()) && place.ran_at < self.now {
                continue;
            }
            for talker in self.talkers.iter().chain(&self.gone).filter(|talker| talker.node == index) {
                // The number of one that has gone may be another's.
                let its_own = |it: &mut Socket| Rc::ptr_eq(&it.0, &talker.socket.0);
                if !place.hub.transport_mut(talker.id).is_some_and(its_own) {
                    continue;
                }
                // A rename that is under way may have freed the name already.
                let is_asking = place.hub.node_mut().unwrap().is_asking(talker.id);
                if is_asking && talker.asked.iter().any(|(_, wish)| matches!(wish, Wish::Login(_))) {
                    continue;
                }
                let name = place.hub.chat().nickname(talker.id);
                if !name.is_empty() {
                    let other = seen.insert(name.into(), index);
                    let keys: Vec<_> = self
                        .engine
                        .keys()
                        .map(|(key, value)| {
                            format!("{} {}", String::from_utf8_lossy(key), String::from_utf8_lossy(value))
                        })
                        .collect();
                    let (now, ran_at) = (self.now, place.ran_at);
                    assert!(
                        other.is_none(),
                        "{:?} on {other:?} and {index} ({id}, up {}, now {now:?}, ran at {ran_at:?}): {keys:#?}",
                        String::from_utf8_lossy(name),
                        place.hub.is_linked(),
                    );
                }
            }
        }
    }

    /// Nothing goes wrong any more, until nothing moves any more.
    fn heal(&mut self) {
        self.engine_stands_until = Duration::ZERO;
        for place in self.places.iter_mut().flatten() {
            (place.stalled_until, place.frozen_until) = (Duration::ZERO, Duration::ZERO);
        }
        for round in 0..3000 {
            if round == 1500 {
                self.talk_everywhere();
            }
            self.advance(Duration::from_millis(10));
            self.move_bytes();
            (0..self.places.len()).for_each(|index| self.run_node(index));
            self.check();
        }
    }

    /// Whoever is in a room says something there: a room that is not subscribed to would show.
    fn talk_everywhere(&mut self) {
        for index in 0..self.talkers.len() {
            let rooms: Vec<String> = self.talkers[index].stays.keys().cloned().collect();
            for room in rooms {
                let text = self.talkers[index].new_text();
                self.talkers[index].ask(Wish::Send(room, text));
            }
            self.tell(index);
        }
    }

    /// What has to hold when all is over and all links stand.
    fn judge(&mut self) {
        let mut log: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (channel, payload) in &self.engine.published {
            let room = std::str::from_utf8(channel).unwrap().strip_prefix("parlor:0:room:").unwrap();
            let Publication::Message(_, line) = Envelope::read(payload) else { panic!("an envelope") };
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            log.entry(room.trim_matches('"').into()).or_default().push(line["text"].as_str().unwrap().into());
        }
        let empty = Vec::new();
        for talker in self.talkers.iter().chain(&self.gone) {
            for stay in talker.past.iter().chain(talker.stays.values()) {
                judge_stay(talker, stay, log.get(&stay.room).unwrap_or(&empty));
            }
            let times = |text: &String| log.values().flatten().filter(|other| *other == text).count();
            talker.sent.iter().for_each(|text| assert_eq!(times(text), 1, "{text} was granted"));
            for text in &talker.refused {
                assert!(times(text) <= 1);
            }
        }
        for talker in &self.talkers {
            assert!(talker.asked.is_empty(), "client {} waits for {:?}", talker.name, talker.asked);
            for stay in talker.stays.values() {
                let log = log.get(&stay.room).unwrap_or(&empty);
                let missed = log.len() - stay.joined_at;
                assert!(
                    stay.heard.len() >= missed,
                    "client {} has missed the end of {}",
                    talker.name,
                    stay.room
                );
            }
        }
        self.judge_engine();
    }

    /// What the engine holds is what the nodes hold.
    fn judge_engine(&mut self) {
        let (mut channels, mut names, mut nodes) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for (index, place) in self.places.iter_mut().enumerate() {
            let Some(place) = place else { continue };
            let node = place.hub.node_mut().unwrap();
            assert!(!place.is_stopping, "node {index} does not stop");
            assert!(node.is_up(), "node {index}: {}", node.why());
            assert!(node.held_bytes() < 1000, "something waits");
            nodes.insert(node.id().to_string());
            let id = node.id().to_string();
            let chat = place.hub.chat();
            for room in ROOMS {
                let channel = format!("parlor:0:room:\"{room}\"");
                if chat.find_room(&format!("\"{room}\"")).is_some() {
                    channels.insert(channel.into_bytes());
                }
            }
            for talker in self.talkers.iter().filter(|talker| talker.node == index) {
                let name = String::from_utf8(chat.nickname(talker.id).into()).unwrap();
                assert_eq!(*talker.nickname.as_ref().unwrap_or(&name), name, "client {}", talker.name);
                if !keys::is_guest_of_a_node(&name) {
                    names.insert(format!("parlor:nick:{name}"), id.clone());
                }
            }
        }
        assert_eq!(self.engine.channels(), channels);
        for (key, value) in self.engine.keys() {
            let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
            let node = value.split(':').next().unwrap();
            if key.starts_with("parlor:nick:") && nodes.contains(node) {
                assert_eq!(names.remove(&*key).as_deref(), Some(node), "{key} is held");
            }
        }
        assert!(names.is_empty(), "{names:?} are not held in the engine");
    }
}

/// A stay hears a run of the room's one order, without a gap, that begins no later than it has joined.
fn judge_stay(talker: &Talker, stay: &Stay, log: &[String]) {
    let Some(first) = stay.heard.first() else { return };
    let start = log.iter().position(|text| text == first);
    let start = start.unwrap_or_else(|| panic!("client {} hears {first} in {}", talker.name, stay.room));
    assert!(start <= stay.joined_at, "client {} has missed the beginning in {}", talker.name, stay.room);
    let run = log.get(start..start + stay.heard.len());
    assert_eq!(run, Some(&stay.heard[..]), "client {} in {}", talker.name, stay.room);
}
