//! The hub with clients of both kinds on made-up transports, by chance: pieces of every size, short writes, no room,
//! pings and fragments in between. Everybody gets the replies to its requests in order, and each room's messages in one
//! order and without gaps.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use parlor::hub::Hub;
use parlor::options::Options;
use parlor::protocol::DisconnectReason;
use parlor::transport::{End, Event, Peer, Received, Sent, Transport};
use parlor::web::socket::WebSocket;
use serde_json::{Value, json};

use crate::client::frame;
use crate::common::random::Random;

/// A connection, seen from the peer's side.
struct Wire {
    random: Random,
    coming: VecDeque<u8>,
    ended: bool,
    sent: Vec<u8>,
    room: usize,
    blocked: bool,
    /// An event is due.
    edge: bool,
    finished: bool,
}

#[derive(Clone)]
struct MadeUp(Rc<RefCell<Wire>>);

impl Transport for MadeUp {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut wire = self.0.borrow_mut();
        if wire.coming.is_empty() {
            return Ok(if wire.ended { Received::End(End::Closed) } else { Received::Nothing });
        }
        if wire.random.once_in(10) {
            wire.edge = true;
            return Ok(Received::Nothing);
        }
        let most = wire.coming.len().min(buffer.len());
        let count = if wire.random.once_in(2) { most } else { 1 + wire.random.below(most) };
        for (place, byte) in buffer.iter_mut().zip(wire.coming.drain(..count)) {
            *place = byte;
        }
        Ok(Received::Bytes { count, drained: wire.coming.is_empty() && !wire.ended })
    }

    fn send(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> io::Result<Sent> {
        let mut wire = self.0.borrow_mut();
        assert!(!bytes.is_empty() && !wire.finished);
        if wire.room == 0 || wire.random.once_in(20) {
            wire.blocked = true;
            wire.edge |= wire.room > 0;
            return Ok(Sent::Blocked);
        }
        let most = bytes.len().min(wire.room);
        let count = if wire.random.once_in(2) { most } else { 1 + wire.random.below(most) };
        wire.room -= count;
        wire.sent.extend_from_slice(&bytes[..count]);
        Ok(Sent::Bytes(count))
    }

    fn finish(&mut self, _: Option<DisconnectReason>) -> io::Result<bool> {
        self.0.borrow_mut().finished = true;
        Ok(true)
    }
}

/// A client of either kind.
enum Either {
    Lines(MadeUp),
    Web(WebSocket<MadeUp>),
}

macro_rules! either {
    ($either:expr, $transport:ident => $call:expr) => {
        match $either {
            Either::Lines($transport) => $call,
            Either::Web($transport) => $call,
        }
    };
}

impl Transport for Either {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        either!(self, transport => transport.receive(buffer))
    }
    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent> {
        either!(self, transport => transport.send(bytes, scratch))
    }
    fn held(&self) -> usize {
        either!(self, transport => transport.held())
    }
    fn flush(&mut self) -> io::Result<bool> {
        either!(self, transport => transport.flush())
    }
    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool> {
        either!(self, transport => transport.finish(reason))
    }
    fn can_ping(&self) -> bool {
        either!(self, transport => transport.can_ping())
    }
    fn ping(&mut self) {
        either!(self, transport => transport.ping());
    }
    fn speaks_lines(&self) -> bool {
        either!(self, transport => transport.speaks_lines())
    }
}

struct Client {
    number: u32,
    is_web: bool,
    wire: Rc<RefCell<Wire>>,
    /// What the peer has sent and has not arrived.
    under_way: VecDeque<u8>,
    asked: Vec<String>,
    pings: usize,
}

impl Client {
    fn ask(&mut self, request: &Value, random: &mut Random) {
        let request = request.to_string();
        if self.is_web {
            if random.once_in(3) {
                self.under_way.extend(frame(0x89, [self.pings as u8]));
                self.pings += 1;
            }
            let (one, two) = request.as_bytes().split_at(random.below(request.len()));
            if random.once_in(2) {
                self.under_way.extend(frame(0x01, one));
                if random.once_in(3) {
                    self.under_way.extend(frame(0x89, [self.pings as u8]));
                    self.pings += 1;
                }
                self.under_way.extend(frame(0x80, two));
            } else {
                self.under_way.extend(frame(0x81, &request));
            }
        } else {
            self.under_way.extend(request.bytes().chain([b'\n']));
        }
        self.asked.push(request);
    }

    /// The lines that have come, and whether a Close was the last thing.
    fn got(&self) -> (Vec<Value>, bool) {
        let wire = self.wire.borrow();
        if !self.is_web {
            assert!(wire.sent.is_empty() || wire.sent.ends_with(b"\n"));
            let lines = wire.sent.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            return (lines.map(|line| serde_json::from_slice(line).unwrap()).collect(), false);
        }
        let (mut bytes, mut lines, mut closed, mut last_pong) = (&wire.sent[..], Vec::new(), false, None);
        while let [first, second, ..] = *bytes {
            assert!(!closed, "nothing follows a Close");
            let (length, at) = match second {
                126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
                short => (usize::from(short), 2),
            };
            let payload = &bytes[at..at + length];
            match first {
                0x81 => lines.push(serde_json::from_slice(payload).unwrap()),
                0x8a => {
                    assert!(last_pong < Some(payload[0]), "pongs come in order");
                    last_pong = Some(payload[0]);
                }
                0x88 => closed = true,
                other => panic!("{other:#x}"),
            }
            bytes = &bytes[at + length..];
        }
        assert_eq!(
            last_pong.map_or(0, |last| usize::from(last) + 1),
            self.pings,
            "the last ping is answered"
        );
        (lines, closed)
    }
}

struct House {
    hub: Hub<Either>,
    clients: Vec<Client>,
    random: Random,
    now: Duration,
}

impl House {
    fn new(seed: u64) -> House {
        let options = Options { max_pending: 1 << 30, keepalive: Duration::ZERO, ..Options::default() };
        let mut house = House {
            hub: Hub::new(&options),
            clients: Vec::new(),
            random: Random::from_seed(seed),
            now: Duration::ZERO,
        };
        for number in 0..12 {
            let random = Random::from_seed(seed ^ number);
            let wire = Wire {
                random,
                coming: VecDeque::new(),
                ended: false,
                sent: Vec::new(),
                room: 0,
                blocked: false,
                edge: true,
                finished: false,
            };
            let wire = Rc::new(RefCell::new(wire));
            let is_web = number % 2 == 1;
            let transport = MadeUp(wire.clone());
            let transport = match is_web {
                true => Either::Web(WebSocket::new(transport, Vec::new())),
                false => Either::Lines(transport),
            };
            let number = house.hub.connect(transport, Peer::Unix, house.now);
            house.clients.push(Client {
                number,
                is_web,
                wire,
                under_way: VecDeque::new(),
                asked: Vec::new(),
                pings: 0,
            });
        }
        house
    }

    /// Tells the events that are due, and lets the hub have a turn.
    fn turn(&mut self) {
        for client in &self.clients {
            let mut wire = client.wire.borrow_mut();
            if std::mem::take(&mut wire.edge) {
                let writable = wire.room > 0;
                wire.blocked &= !writable;
                drop(wire);
                let event = Event { readable: true, writable, ..Event::default() };
                self.hub.event(client.number, event, self.now);
            }
        }
        self.now += Duration::from_millis(1);
        self.hub.turn(self.now);
        self.hub.check();
    }

    fn arrive(&mut self, which: usize, bytes: usize) {
        let client = &mut self.clients[which];
        let bytes = bytes.min(client.under_way.len());
        let mut wire = client.wire.borrow_mut();
        wire.coming.extend(client.under_way.drain(..bytes));
        wire.edge |= bytes > 0;
    }

    fn make_room(&mut self, which: usize, bytes: usize) {
        let mut wire = self.clients[which].wire.borrow_mut();
        wire.room += bytes;
        wire.edge |= wire.blocked && bytes > 0;
    }

    fn edges(&self) -> Vec<(u32, bool, usize, bool)> {
        let wire = |client: &Client| {
            let wire = client.wire.borrow();
            (client.number, wire.edge, wire.coming.len(), wire.blocked)
        };
        self.clients.iter().map(wire).collect()
    }

    /// Until nothing is under way and nothing waits.
    fn settle(&mut self) {
        for which in 0..self.clients.len() {
            self.arrive(which, usize::MAX);
            self.make_room(which, 1 << 40);
        }
        let is_quiet = |house: &House| {
            house.clients.iter().all(|client| !client.wire.borrow().edge)
                && house.hub.wait(house.now) != Some(Duration::ZERO)
        };
        for turn in 0.. {
            self.turn();
            if is_quiet(self) {
                return;
            }
            assert!(
                turn < 10_000,
                "it does not come to rest: {:?}, {:?}",
                self.hub.wait(self.now),
                self.edges()
            );
        }
    }
}

fn run(seed: u64) {
    let mut house = House::new(seed);
    let mut said = 0;
    // The first is in all rooms from the beginning to the end: what it hears is the order.
    for room in 0..3 {
        let join = json!({"action": "JOIN ROOM", "room_id": room});
        let House { clients, random, .. } = &mut house;
        clients[0].ask(&join, random);
    }
    house.settle();
    for client in &house.clients {
        client.wire.borrow_mut().room = 0;
    }
    for _ in 0..400 {
        let which = house.random.below(house.clients.len());
        let room = house.random.below(3);
        let request = match house.random.below(8) {
            0..=1 => json!({"action": "JOIN ROOM", "room_id": room}),
            2 if which > 0 => json!({"action": "LEFT ROOM", "room_id": room}),
            _ => {
                said += 1;
                let length =
                    if house.random.once_in(4) { house.random.below(3000) } else { house.random.below(90) };
                json!({"action": "SEND MESSAGE", "room_id": room, "text": format!("{said} {}", "é".repeat(length))})
            }
        };
        let House { clients, random, .. } = &mut house;
        clients[which].ask(&request, random);
        for _ in 0..3 {
            let which = house.random.below(house.clients.len());
            let bytes = house.random.below(400);
            house.arrive(which, bytes);
            let which = house.random.below(house.clients.len());
            let bytes = if house.random.once_in(4) { 5000 } else { house.random.below(40) };
            house.make_room(which, bytes);
        }
        if house.random.once_in(2) {
            house.turn();
        }
    }
    house.settle();
    let order = orders(&house.clients[0]);
    for client in &house.clients {
        check(client, &order, seed);
    }
    // Everybody says goodbye, and gets an answer to it.
    for which in 0..house.clients.len() {
        let client = &mut house.clients[which];
        if client.is_web {
            client.under_way.extend(frame(0x88, 4000u16.to_be_bytes()));
        }
        house.arrive(which, usize::MAX);
    }
    house.settle();
    for client in house.clients.iter().filter(|client| client.is_web) {
        assert!(client.got().1 && client.wire.borrow().finished);
    }
}

/// What each room has said, as this client heard it.
fn orders(client: &Client) -> HashMap<u64, Vec<String>> {
    let mut orders: HashMap<u64, Vec<String>> = HashMap::new();
    for line in client.got().0 {
        if line["action"] == "GET MESSAGE" {
            let text = line["text"].as_str().unwrap().to_owned();
            orders.entry(line["room_id"].as_u64().unwrap()).or_default().push(text);
        }
    }
    orders
}

fn check(client: &Client, order: &HashMap<u64, Vec<String>>, seed: u64) {
    let mut asked = client.asked.iter();
    // Of each room that it is in: the place in the order of the message that comes next, once one has come.
    let mut inside: HashMap<u64, Option<usize>> = HashMap::new();
    for line in client.got().0 {
        let room = |value: &Value| value["room_id"].as_u64().unwrap();
        if line["action"] == "GET MESSAGE" {
            let (room, text) = (room(&line), line["text"].as_str().unwrap());
            let place = order[&room].iter().position(|other| other == text).unwrap();
            let next = inside.get_mut(&room).unwrap_or_else(|| panic!("seed {seed}: not in room {room}"));
            assert!(next.is_none_or(|next| next == place), "seed {seed}: {next:?}, but {place} came");
            *next = Some(place + 1);
            continue;
        }
        let request: Value = serde_json::from_str(asked.next().expect("a request for each reply")).unwrap();
        assert_eq!(line["request"], request, "seed {seed}");
        match (line["message"] == "OK", request["action"].as_str().unwrap()) {
            (true, "JOIN ROOM") => drop(inside.entry(room(&request)).or_default()),
            (true, "LEFT ROOM") => drop(inside.remove(&room(&request))),
            _ => {}
        }
    }
    assert_eq!(asked.next(), None, "seed {seed}: a reply for each request");
    for (room, next) in inside {
        let order = order.get(&room).map_or(0, Vec::len);
        assert!(
            next.is_none_or(|next| next == order),
            "seed {seed}: the last messages of room {room} are missing"
        );
    }
}

#[test]
fn everybody_gets_everything_in_order() {
    let mut random = Random::from_environment();
    for _ in 0..60 {
        run(random.number());
    }
}
