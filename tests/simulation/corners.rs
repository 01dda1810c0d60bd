//! What chance comes upon too seldom.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use parlor::Options;
use parlor::chat::ClientId;
use parlor::hub::{Event, Hub};
use parlor::protocol::DisconnectReason;
use parlor::transport::{End, Peer, Received, Sent, Transport};

/// Gives the same input again and again, as often as it is told to, and takes all output.
struct Talker {
    input: Rc<Vec<u8>>,
    /// So much of it has been read this time.
    at: usize,
    times: usize,
    writes: Rc<Cell<usize>>,
    bytes: Rc<Cell<usize>>,
}

impl Transport for Talker {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        if self.times == 0 {
            return Ok(Received::Nothing);
        }
        let count = (&self.input[self.at..]).read(buffer)?;
        self.at += count;
        if self.at == self.input.len() {
            (self.at, self.times) = (0, self.times - 1);
        }
        Ok(Received::Bytes { count, drained: false })
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        self.writes.set(self.writes.get() + 1);
        self.bytes.set(self.bytes.get() + bytes.len());
        Ok(Sent::Bytes(bytes.len()))
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

const NOW: Duration = Duration::from_secs(1);

/// What one turn may write, by the budget of a turn: calls, and bytes that go out in them.
const WRITES_MAX: usize = 13_000;
const BYTES_MAX: usize = 220 << 20;

/// A hub whose clients have said `first`, and are about to say `input`, so many times each.
fn crowd(clients: usize, first: impl Fn(usize) -> String, input: String, times: usize) -> Crowd {
    let options = Options { max_clients: clients + 1, ..Options::default() };
    crowd_with(options, clients, first, input, times)
}

fn crowd_with(
    options: Options,
    clients: usize,
    first: impl Fn(usize) -> String,
    input: String,
    times: usize,
) -> Crowd {
    let mut hub = Hub::new(&options);
    let (writes, bytes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut ids = Vec::new();
    for number in 0..clients {
        let input = Rc::new(first(number).into_bytes());
        let talker = Talker { input, at: 0, times: 1, writes: writes.clone(), bytes: bytes.clone() };
        ids.push(hub.connect(talker, Peer::Unix, NOW));
    }
    let mut crowd = Crowd { hub, ids, writes, bytes };
    crowd.wake();
    crowd.turn_until_quiet();
    let input = Rc::new(input.into_bytes());
    for &client in &crowd.ids {
        let talker = crowd.hub.transport_mut(client).unwrap();
        (talker.input, talker.times) = (input.clone(), times);
    }
    crowd
}

struct Crowd {
    hub: Hub<Talker>,
    ids: Vec<ClientId>,
    writes: Rc<Cell<usize>>,
    bytes: Rc<Cell<usize>>,
}

impl Crowd {
    fn wake(&mut self) {
        for &client in &self.ids {
            self.hub.event(client, Event { readable: true, ..Event::default() }, NOW);
        }
    }

    /// One turn. What it has written is within the bounds.
    fn turn(&mut self) {
        self.writes.set(0);
        self.bytes.set(0);
        self.hub.turn(NOW);
        let (writes, bytes) = (self.writes.get(), self.bytes.get());
        assert!(writes <= WRITES_MAX && bytes <= BYTES_MAX, "{writes} writes of {bytes} bytes in one turn");
    }

    fn turn_until_quiet(&mut self) {
        while self.hub.wait(NOW) == Some(Duration::ZERO) {
            self.turn();
        }
    }
}

fn join(room: usize) -> String {
    format!("{{\"action\":\"JOIN ROOM\",\"room_id\":{room}}}\n")
}

fn send(room: usize) -> String {
    format!("{{\"action\":\"SEND MESSAGE\",\"room_id\":{room},\"text\":\"{}\"}}\n", "x".repeat(100))
}

/// Everybody in a large room sends as much at once as a socket holds.
#[test]
fn a_crowd_that_talks_all_at_once_does_not_make_turns_long() {
    let lines = send(1).repeat(400);
    let mut crowd = crowd(300, |_| join(1), lines, 1);
    crowd.wake();
    crowd.turn_until_quiet();
    let counters = crowd.hub.counters();
    assert_eq!((counters.errors, counters.messages), (0, 300 * 400));
}

/// Senders that alternate between two large rooms: each line is another batch.
#[test]
fn a_crowd_that_alternates_between_rooms_does_not_make_turns_long() {
    let lines = (send(1) + &send(2)).repeat(100);
    let mut crowd = crowd(1000, |_| join(1) + &join(2), lines, 0);
    for &client in &crowd.ids[..50] {
        crowd.hub.transport_mut(client).unwrap().times = 1;
    }
    crowd.wake();
    crowd.turn_until_quiet();
    let counters = crowd.hub.counters();
    assert_eq!((counters.errors, counters.messages), (0, 50 * 200));
}

/// A room that is larger than what one turn may write to: the rest follows, in order, before anybody is read.
#[test]
fn a_flush_that_is_too_long_goes_on_in_the_next_turn() {
    let mut crowd = crowd(30_000, |_| join(1), send(1), 0);
    crowd.hub.transport_mut(crowd.ids[7]).unwrap().times = 1;
    crowd.wake();
    let before = crowd.hub.counters();
    crowd.turn();
    // What comes now waits until everybody has got the first.
    crowd.hub.transport_mut(crowd.ids[9]).unwrap().times = 1;
    crowd.hub.event(crowd.ids[9], Event { readable: true, ..Event::default() }, NOW);
    crowd.turn();
    assert_eq!(crowd.hub.counters().messages, before.messages + 1);
    crowd.turn_until_quiet();
    let after = crowd.hub.counters();
    assert_eq!(after.messages, before.messages + 2);
    assert!(after.writes - before.writes >= 60_000, "{}", after.writes - before.writes);
}

/// Lets an outsider ask something behind a crowd that has just become ready. So many turns pass until its answer.
fn turns_until_an_outsider_is_answered(mut crowd: Crowd) -> usize {
    let (writes, bytes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let input = Rc::new(b"[]\n".to_vec());
    let outsider = Talker { input, at: 0, times: 1, writes: writes.clone(), bytes };
    let outsider = crowd.hub.connect(outsider, Peer::Unix, NOW);
    crowd.wake();
    crowd.hub.event(outsider, Event { readable: true, ..Event::default() }, NOW);
    let mut turns = 0;
    while writes.get() == 0 {
        crowd.turn();
        turns += 1;
    }
    assert!(crowd.hub.wait(NOW) == Some(Duration::ZERO), "the crowd is quiet already: this shows nothing");
    // And again, now that those who wait are known to want much.
    crowd.hub.transport_mut(outsider).unwrap().times = 1;
    crowd.hub.event(outsider, Event { readable: true, ..Event::default() }, NOW);
    writes.set(0);
    crowd.turn();
    assert_eq!(writes.get(), 1, "whoever asks for little does not wait behind those who ask for much");
    turns
}

#[test]
fn an_outsider_does_not_wait_for_a_crowd_that_alternates_between_rooms() {
    let lines = (send(1) + &send(2)).repeat(100);
    let mut crowd = crowd(1000, |_| join(1) + &join(2), lines, 0);
    crowd.ids.drain(50..);
    for &client in &crowd.ids {
        crowd.hub.transport_mut(client).unwrap().times = 1;
    }
    let turns = turns_until_an_outsider_is_answered(crowd);
    assert!(turns <= 4, "{turns} turns");
}

#[test]
fn an_outsider_does_not_wait_for_all_that_a_room_has_to_say() {
    let crowd = crowd(1000, |_| join(1), send(1).repeat(400), 1);
    let turns = turns_until_an_outsider_is_answered(crowd);
    // Each of them has had one line carried out, or two.
    assert!(turns <= 4, "{turns} turns");
}

/// What many have sent and what is not carried out yet is not held, as far as it can stay where it is.
#[test]
fn of_a_crowd_that_has_to_wait_little_is_held() {
    let options = Options { max_clients: 1000, ..Options::default() };
    let mut crowd = crowd_with(options, 1000, |_| join(1) + &join(2), (send(1) + &send(2)).repeat(200), 1);
    crowd.wake();
    let mut most = 0;
    for _ in 0..50 {
        crowd.turn();
        most = most.max(crowd.hub.memory_bytes());
    }
    assert!(most < 24 << 20, "{most} bytes are held");
}

/// Those who want much come to their turn too, while others ask for little again and again.
#[test]
fn a_crowd_that_asks_for_little_again_and_again_does_not_starve_whoever_wants_much() {
    let mut crowd = crowd(1001, |_| join(1), send(1), usize::MAX);
    let much = crowd.ids.pop().unwrap();
    crowd.hub.transport_mut(much).unwrap().input = Rc::new(send(7).repeat(300).into_bytes());
    crowd.hub.event(much, Event { readable: true, ..Event::default() }, NOW);
    crowd.turn();
    let refused = crowd.hub.counters().errors;
    for _ in 0..200 {
        crowd.wake();
        crowd.turn();
    }
    let refused = crowd.hub.counters().errors - refused;
    assert!(refused >= 300 * 10, "only {refused} of its requests were carried out");
}

/// Says goodbye at once, and never closes its side.
struct Lingerer {
    said_goodbye: bool,
}

impl Transport for Lingerer {
    fn receive(&mut self, _buffer: &mut [u8]) -> io::Result<Received> {
        let said_goodbye = std::mem::replace(&mut self.said_goodbye, true);
        Ok(if said_goodbye { Received::Nothing } else { Received::End(End::Goodbye) })
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        Ok(Sent::Bytes(bytes.len()))
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

/// Those that the server waits for have a bound, also where they have ended the connection themselves.
#[test]
fn of_those_that_say_goodbye_and_stay_the_oldest_go() {
    let mut hub = Hub::new(&Options { max_clients: 10, ..Options::default() });
    for _ in 0..3000 {
        let client = hub.connect(Lingerer { said_goodbye: false }, Peer::Unix, NOW);
        hub.event(client, Event { readable: true, ..Event::default() }, NOW);
        hub.turn(NOW);
        hub.turn(NOW);
    }
    assert_eq!((hub.clients_len(), hub.connections_len()), (0, parlor::hub::LINGERING_MAX));
}

/// What a socket is to tell the hub, and what the hub has done with it. Its goodbye takes room.
#[derive(Default)]
struct Told {
    received: VecDeque<Received>,
    has_room: bool,
    says_goodbye: bool,
    input_bytes: usize,
    pings: usize,
    is_closed: bool,
}

struct Teller(Rc<RefCell<Told>>);

impl Transport for Teller {
    fn receive(&mut self, _buffer: &mut [u8]) -> io::Result<Received> {
        Ok(self.0.borrow_mut().received.pop_front().unwrap_or(Received::Nothing))
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        assert!(!self.0.borrow().says_goodbye, "something is said behind the goodbye");
        Ok(Sent::Bytes(bytes.len()))
    }

    fn held(&self) -> usize {
        let told = self.0.borrow();
        if told.says_goodbye && !told.has_room { 4 } else { 0 }
    }

    fn input_bytes(&self) -> usize {
        self.0.borrow().input_bytes
    }

    fn flush(&mut self) -> io::Result<bool> {
        Ok(self.held() == 0)
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        self.0.borrow_mut().says_goodbye = true;
        self.flush()
    }

    fn can_ping(&self) -> bool {
        true
    }

    fn ping(&mut self) {
        self.0.borrow_mut().pings += 1;
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.borrow_mut().is_closed = true;
    }
}

/// A hub with one connection of this sort. What it tells is read in the first turn.
fn teller(options: &Options, received: &[Received]) -> (Hub<Teller>, ClientId, Rc<RefCell<Told>>) {
    let told =
        Rc::new(RefCell::new(Told { received: received.iter().copied().collect(), ..Told::default() }));
    let mut hub = Hub::new(options);
    let client = hub.connect(Teller(told.clone()), Peer::Unix, Duration::ZERO);
    hub.event(client, Event { readable: true, ..Event::default() }, Duration::ZERO);
    hub.turn(Duration::ZERO);
    (hub, client, told)
}

/// A server that stood still for longer than `--keepalive` pings late, and the peer has time to answer all the same.
#[test]
fn whoever_is_pinged_late_has_time_to_answer() {
    let options = Options { keepalive: Duration::from_secs(60), ..Options::default() };
    let (mut hub, client, told) = teller(&options, &[]);
    for second in [70, 71, 99] {
        hub.turn(Duration::from_secs(second));
        hub.turn(Duration::from_secs(second));
        assert_eq!((told.borrow().pings, told.borrow().is_closed), (1, false), "after {second} s");
    }
    told.borrow_mut().received.push_back(Received::Bytes { count: 0, drained: true });
    hub.event(client, Event { readable: true, ..Event::default() }, Duration::from_secs(99));
    for (second, pings, is_closed) in [(99, 1, false), (130, 2, false), (158, 2, false), (160, 2, true)] {
        hub.turn(Duration::from_secs(second));
        hub.turn(Duration::from_secs(second));
        assert_eq!((told.borrow().pings, told.borrow().is_closed), (pings, is_closed), "after {second} s");
    }
}

/// Nothing follows a goodbye that waits for room, not even that memory is short.
#[test]
fn nothing_is_said_behind_a_goodbye_that_waits() {
    let options = Options { max_memory: 1, ..Options::default() };
    let (mut hub, client, told) = teller(&options, &[Received::End(End::Broken)]);
    assert!(told.borrow().says_goodbye && !told.borrow().is_closed);
    for _ in 0..3 {
        hub.event(client, Event { writable: true, ..Event::default() }, NOW);
        hub.turn(NOW);
        hub.turn(NOW);
    }
    assert!(!told.borrow().is_closed);
    // Somebody else has the beginning of a line, which is too much, and this one is the first to go.
    let other = Rc::new(RefCell::new(Told::default()));
    told.borrow_mut().input_bytes = 10_000;
    other.borrow_mut().received.push_back(Received::Bytes { count: 100, drained: true });
    let another = hub.connect(Teller(other), Peer::Unix, NOW);
    hub.event(another, Event { readable: true, ..Event::default() }, NOW);
    hub.turn(NOW);
    assert!(told.borrow().is_closed);
}

/// Unread input would turn the end into a reset, which destroys the last words: also what comes behind a goodbye is read.
#[test]
fn what_comes_behind_a_goodbye_is_read_before_the_end() {
    for end in [End::Goodbye, End::Broken] {
        let options = Options { max_clients: 0, ..Options::default() };
        let junk = Received::Bytes { count: 1000, drained: true };
        let (mut hub, client, told) = teller(&options, &[Received::End(end), junk]);
        told.borrow_mut().has_room = true;
        for _ in 0..5 {
            hub.turn(NOW);
        }
        assert!(told.borrow().received.is_empty() && !told.borrow().is_closed, "{end:?}");
        told.borrow_mut().received.push_back(Received::End(End::Closed));
        hub.event(client, Event { readable: true, ..Event::default() }, NOW);
        hub.turn(NOW);
        assert!(told.borrow().is_closed, "{end:?}");
    }
}
