//! What chance comes upon too seldom.

use std::cell::Cell;
use std::io::{self};
use std::rc::Rc;
use std::time::Duration;

use parlor::Options;
use parlor::chat::ClientId;
use parlor::hub::{Event, Hub};
use parlor::protocol::DisconnectReason;
use parlor::transport::{Peer, Received, Sent, Transport};

/// Gives the same input again and again, as often as it is told to, and takes all output.
struct Talker {
    input: Rc<Vec<u8>>,
    times: usize,
    writes: Rc<Cell<usize>>,
    bytes: Rc<Cell<usize>>,
}

impl Transport for Talker {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        if self.times == 0 {
            return Ok(Received::Nothing);
        }
        self.times -= 1;
        buffer[..self.input.len()].copy_from_slice(&self.input);
        Ok(Received::Bytes { count: self.input.len(), drained: false })
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
    let options = Options { max_clients: clients, ..Options::default() };
    let mut hub = Hub::new(&options);
    let (writes, bytes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut ids = Vec::new();
    for number in 0..clients {
        let input = Rc::new(first(number).into_bytes());
        let talker = Talker { input, times: 1, writes: writes.clone(), bytes: bytes.clone() };
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
