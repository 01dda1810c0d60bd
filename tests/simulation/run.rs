//! One run: what may happen in each step, and how it comes to an end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use parlor::Options;
use parlor::chat::ClientId;
use parlor::hub::{Counters, Event, Hub};
use parlor::transport::{End, Peer};

use crate::client::Client;
use crate::common::random::Random;
use crate::model::Model;
use crate::options;
use crate::peer::{Tally, WebPeer};
use crate::script::{self, Nature, Reads, Script};
use crate::socket::{Faults, Kind, Socket, Stream};
use crate::trace::{self, Who};

/// A peer that is not read from sends no more than this.
const IN_FLIGHT_MAX: usize = 200_000;

pub struct Simulation {
    pub verbose: bool,
    pub random: Random,
    pub options: Options,
    pub faults: Faults,
    script: Script,
    /// Clients at once, as far as they are let in, and how many of them come at once.
    crowd: usize,
    comers: usize,
    /// Up to so much is done by clients in a step.
    bustle: usize,
    /// One step in so many brings a client trouble of some sort.
    trouble: usize,
    pub hub: Hub<Stream>,
    pub now: Duration,
    pub stopped_at: Option<Duration>,
    /// All that ever were; the open ones; and those by the hub's number.
    pub clients: Vec<Client>,
    pub open: Vec<Who>,
    pub by_slot: BTreeMap<ClientId, Who>,
    pub model: Model,
    pub requests: u64,
    pub vanished: u64,
}

impl Simulation {
    pub fn new(seed: u64, verbose: bool) -> Simulation {
        let mut random = Random::from_seed(seed);
        let options = options::random(&mut random);
        let faults = Faults {
            interrupted: *random.one_of(&[&usize::MAX, &40]),
            short_write: *random.one_of(&[&usize::MAX, &3, &10]),
            refused: *random.one_of(&[&usize::MAX, &usize::MAX, &20]),
            zero_write: *random.one_of(&[&usize::MAX, &usize::MAX, &2000]),
            just_then: *random.one_of(&[&usize::MAX, &4]),
            short_read: *random.one_of(&[&usize::MAX, &usize::MAX, &3]),
        };
        if verbose {
            println!("{options:#?} {faults:?}");
        }
        let mut hub = Hub::new(&options);
        hub.observe(trace::observe);
        trace::take();
        let mut script = Script::new(options.max_line);
        script.heavy = options.max_line > 4096 && !random.once_in(4);
        Simulation {
            verbose,
            crowd: *random.one_of(&[&2, &6, &20, &20]),
            bustle: if script.heavy { 12 } else { 3 },
            trouble: *random.one_of(&[&10, &50, &50, &400]),
            comers: 1,
            hub,
            now: Duration::ZERO,
            stopped_at: None,
            clients: Vec::new(),
            open: Vec::new(),
            by_slot: BTreeMap::new(),
            model: Model::new(&options),
            requests: 0,
            vanished: 0,
            script,
            random,
            options,
            faults,
        }
    }

    /// As above, with thousands of connections that come and go in hundreds.
    pub fn storm(seed: u64, verbose: bool) -> Simulation {
        Simulation { crowd: 3000, comers: 400, ..Simulation::new(seed, verbose) }
    }

    /// Runs it to its end. What has happened in it: by the hub's count, and by that of clients over WebSocket.
    pub fn run(mut self, steps: usize) -> (Counters, Tally) {
        for _ in 0..steps {
            self.step();
        }
        if self.random.once_in(2) {
            self.stop();
            for _ in 0..self.random.below(20) {
                self.step();
            }
        } else {
            self.settle();
            self.assert_all_is_said();
            self.everybody(|socket| socket.closing = true);
        }
        self.settle();
        self.assert_nothing_is_left();
        (self.hub.counters(), self.tally())
    }

    /// What clients over WebSocket have gone through.
    fn tally(&self) -> Tally {
        let mut tally = Tally { vanished: self.vanished, ..Tally::default() };
        for client in &self.clients {
            if let Some(peer) = &client.socket().peer {
                peer.count(&mut tally);
            }
        }
        tally
    }

    fn step(&mut self) {
        for _ in 0..=self.random.below(self.bustle) {
            if let Some(who) = self.any_client() {
                self.act(who);
            }
        }
        if !self.random.once_in(4) {
            let all = self.random.once_in(4);
            let place = self.crowd.saturating_sub(self.open.len()).min(self.comers);
            let come = if self.random.once_in(3) { self.random.below(place + 1) } else { 0 };
            self.let_time_pass();
            self.turn(all, if self.stopped_at.is_none() { come } else { 0 });
        }
    }

    fn any_client(&mut self) -> Option<Who> {
        (!self.open.is_empty()).then(|| self.open[self.random.below(self.open.len())])
    }

    /// A client does something.
    fn act(&mut self, who: Who) {
        let Simulation { random, clients, script, .. } = self;
        let client = &clients[who];
        let mut socket = client.socket();
        let Nature { reads, lines_at_once, piece, .. } = client.nature;
        match random.below(10) {
            0..3 if !socket.closing && socket.in_flight.len() < IN_FLIGHT_MAX => {
                socket.say(&script.lines(lines_at_once, random));
            }
            0..6 => {
                let piece = if piece == usize::MAX { piece } else { random.below(piece) + 1 };
                socket.arrive(piece);
            }
            _ => match reads {
                Reads::Eagerly => socket.take(usize::MAX),
                Reads::Slowly => socket.take(random.below(500)),
                Reads::Never => {}
            },
        }
        if socket.shut_down && socket.unread == 0 && random.once_in(3) {
            socket.closing = true;
        }
        if random.once_in(self.trouble) {
            if socket.peer.is_some() && random.once_in(2) {
                return socket.end_frames();
            }
            match random.below(6) {
                // A half-closed connection; sometimes behind half a line.
                0 | 1 => {
                    let kept = socket.in_flight.len().saturating_sub(random.below(2) * random.below(20));
                    socket.in_flight.truncate(kept);
                    socket.closing = true;
                }
                // It has closed both sides.
                2 => (socket.closing, socket.deaf) = (true, true),
                3 => socket.break_down(random.once_in(2)),
                // Others read again, or no more.
                _ => {
                    drop(socket);
                    let reads = [Reads::Eagerly, Reads::Slowly, Reads::Never][random.below(3)];
                    self.clients[who].nature.reads = reads;
                }
            }
        }
    }

    fn let_time_pass(&mut self) {
        self.now += Duration::from_micros(self.random.below(3000) as u64);
        let jump = match self.random.below(1000) {
            0 => Duration::from_secs(70),
            1..5 => Duration::from_secs(self.random.below(12) as u64),
            // Until the hub wants to be woken.
            5..30 => self.hub.wait(self.now).unwrap_or_default(),
            _ => return,
        };
        self.now += jump;
    }

    /// The loop of the server: events, perhaps a stop, accepting, the hub's turn.
    fn turn(&mut self, all: bool, come: usize) {
        let mut waiting = self.open.clone();
        for last in (1..waiting.len()).rev() {
            waiting.swap(last, self.random.below(last + 1));
        }
        for who in waiting {
            // The poll has room for so many events; the others come next time.
            if !all && self.random.once_in(5) {
                continue;
            }
            let (event, slot) = (self.clients[who].socket().event(), self.clients[who].slot);
            if let Some(event) = event {
                if self.verbose {
                    println!("{:?} client {who} (slot {slot}): {event:?}", self.now);
                }
                self.hub.event(slot, event, self.now);
            }
        }
        if self.random.once_in(100) {
            let stray = self.random.below(40) as ClientId;
            let nothing = Event { readable: true, writable: true, ..Event::default() };
            self.hub.event(stray, nothing, self.now);
        }
        for _ in 0..come {
            self.connect();
        }
        // Until the turn ends, nobody may come into the place of somebody whose events have not all been told.
        self.replay();
        assert!(
            self.open.iter().all(|&who| !self.clients[who].closed),
            "a socket was let go of between turns"
        );
        self.hub.turn(self.now);
        self.judge_turn();
    }

    fn connect(&mut self) {
        // What the events have led to belongs to those that were there.
        self.replay();
        self.compare_all();
        let who = self.clients.len();
        let nature = Nature::random(&mut self.random);
        let mut socket = Socket::new(who, nature.capacity, self.faults, self.random.number());
        socket.kind = Kind {
            whole_lines: self.random.once_in(4),
            takes_more: self.random.once_in(4),
            end: *self.random.one_of(&[&None, &None, &None, &Some(End::Goodbye), &Some(End::Truncated)]),
        };
        // Without the feature everything is as if there were no WebSocket.
        if cfg!(feature = "web") && self.random.once_in(2) {
            socket.kind.whole_lines = false;
            socket.peer = Some(WebPeer::new(Random::from_seed(self.random.number())));
        }
        if self.random.once_in(20) {
            socket.say(script::another_protocol(&mut self.random));
        }
        self.send_early(&mut socket);
        let socket = Rc::new(RefCell::new(socket));
        let address = (!self.random.once_in(4)).then(|| IpAddr::from([10, 0, 0, self.random.below(3) as u8]));
        let may = self.may_connect(address);
        let peer = address.map_or(Peer::Unix, |ip| SocketAddr::new(ip, 1).into());
        let slot = self.hub.connect(Stream::new(who, &socket, &self.hub.memory().clone()), peer, self.now);
        assert!(self.by_slot.insert(slot, who).is_none(), "slot {slot} was taken");
        let mut client = Client::new(who, socket, nature, address, slot, self.now);
        let nickname: String =
            serde_json::from_slice(&[b"\"", self.hub.chat().nickname(slot), b"\""].concat()).unwrap();
        client.refused = nickname.is_empty();
        client.allowance = 2.0 * (self.options.rate as f64);
        if self.verbose {
            println!("{:?} client {who} (slot {slot}) comes as {nickname:?}: {nature:?}", self.now);
        }
        // One that has closed its side may have been ended for want of memory, without a sign.
        let is_sure =
            !self.has_little_memory() || !self.open.iter().any(|&who| self.clients[who].is_finishing());
        assert!(may != client.refused || !is_sure, "client {who}: the limit of clients");
        if !client.refused {
            self.model.connect(who);
            if client.is_web {
                self.model.speaks_messages(who);
            } else {
                self.model.speaks_lines(who);
            }
            self.model.learn(who, &nickname).unwrap();
        }
        if self.random.once_in(300) {
            client.abandoned = true;
            self.clients.push(client);
            self.hub.abandon(slot);
        } else {
            self.clients.push(client);
        }
        self.open.push(who);
        self.replay();
    }

    /// What comes over WebSocket right behind the request for the upgrade.
    fn send_early(&mut self, socket: &mut Socket) {
        if socket.peer.is_some() && self.random.once_in(3) {
            socket.say(&self.script.lines(3, &mut self.random));
            let bytes = self.random.below(3000);
            let Socket { peer, in_flight, .. } = socket;
            peer.as_mut().unwrap().begin_with(in_flight, bytes);
        }
    }

    /// Whether there is a place for one more.
    fn may_connect(&self, address: Option<IpAddr>) -> bool {
        let counted = || self.open.iter().map(|&who| &self.clients[who]).filter(|client| client.counts());
        let from_there = counted().filter(|client| client.address == address).count();
        let per_ip = self.options.max_clients_per_ip;
        counted().count() < self.options.max_clients
            && (address.is_none() || per_ip == 0 || from_there < per_ip)
    }

    fn stop(&mut self) {
        if self.verbose {
            println!("{:?} stop", self.now);
        }
        self.stopped_at = Some(self.now);
        self.hub.stop(self.now);
        self.replay();
    }

    fn everybody(&mut self, act: impl Fn(&mut Socket)) {
        for &who in &self.open {
            act(&mut self.clients[who].socket());
        }
    }

    /// Nothing goes wrong any more, everybody reads, and nobody says anything new: until nothing happens.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.everybody(|socket| {
                socket.faults = Faults::NONE;
                socket.closing |= socket.shut_down;
                socket.arrive(usize::MAX);
                socket.capacity = socket.capacity.max(100_000);
                socket.take(usize::MAX);
            });
            let something_happens = self.open.iter().any(|&who| self.clients[who].socket().edge);
            if !something_happens {
                match self.hub.wait(self.now) {
                    Some(Duration::ZERO) => {}
                    Some(wait) if !self.is_all_said() => self.now += wait,
                    _ => return,
                }
            }
            self.turn(true, 0);
        }
        panic!("it goes on for ever");
    }

    fn is_all_said(&mut self) -> bool {
        let max_line = self.options.max_line;
        let Simulation { open, clients, .. } = self;
        open.iter().all(|&who| {
            let client = &mut clients[who];
            client.gone.is_none() && !client.has_line(max_line) && !client.socket().is_readable()
        })
    }

    /// Everybody who is still there has said all and got all.
    fn assert_all_is_said(&mut self) {
        assert!(self.is_all_said());
        for &who in &self.open {
            let client = &self.clients[who];
            assert!(
                client.wanted.is_empty() && client.unfinished.is_empty(),
                "client {who} waits for something"
            );
            assert!(client.socket().in_flight.is_empty());
            let unread = client.socket().peer.as_ref().and_then(WebPeer::unread);
            assert_eq!(unread, None, "client {who} has sent more than was read");
        }
    }

    fn assert_nothing_is_left(&mut self) {
        assert!(self.hub.is_empty() && self.open.is_empty(), "open: {:?}", self.open);
        self.hub.check();
        let left = (self.hub.memory_bytes(), self.hub.chat().clients_len(), self.hub.chat().rooms_len());
        assert_eq!(left, (0, 0, 0), "memory, clients, rooms");
        assert_eq!(self.hub.counters().requests, self.requests);
        assert_eq!(self.hub.counters().accepted as usize, self.clients.len());
    }
}
