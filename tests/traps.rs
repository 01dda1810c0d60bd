//! The traps of an edge-triggered loop, each with the test that fails without its cure. The hub is driven by hand, with
//! sockets that are made up: they do just what a test tells them, so nothing here waits or races.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use parlor::Options;
use parlor::chat::ClientId;
use parlor::hub::{Event, Hub};
use parlor::protocol::DisconnectReason;
use parlor::transport::{Peer, Received, Sent, Transport, receive_from, send_to};

const NOW: Duration = Duration::from_secs(1);
const READABLE: Event = Event { readable: true, writable: false, hung_up: false, urgent: false };
const WRITABLE: Event = Event { readable: false, writable: true, hung_up: false, urgent: false };
const HUNG_UP: Event = Event { readable: true, writable: false, hung_up: true, urgent: false };

/// The far side of a made-up socket.
#[derive(Default)]
struct Wire {
    input: VecDeque<u8>,
    /// What a read finds after the input.
    ended: bool,
    /// An event has told that the input has an end: a short read proves nothing.
    near_end: bool,
    output: Vec<u8>,
    /// How much more the socket takes; `None` is as much as there is.
    room: Option<usize>,
    /// What a write finds, when it is not room.
    broken: Option<ErrorKind>,
    takes_zero: bool,
    /// How many more writes find no room, whatever there is.
    refusals: usize,
    reads: usize,
    writes: usize,
}

#[derive(Clone, Default)]
struct MadeUp(Rc<RefCell<Wire>>);

impl Read for MadeUp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.reads += 1;
        match wire.input.read(buffer)? {
            0 if !wire.ended => Err(ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for MadeUp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.writes += 1;
        if let Some(kind) = wire.broken {
            return Err(kind.into());
        }
        if wire.takes_zero {
            return Ok(0);
        }
        if wire.refusals > 0 {
            wire.refusals -= 1;
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = bytes.len().min(wire.room.unwrap_or(usize::MAX));
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.output.extend_from_slice(&bytes[..taken]);
        wire.room = wire.room.map(|room| room - taken);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for MadeUp {
    fn ready(&mut self, event: Event) {
        self.0.borrow_mut().near_end |= event.hung_up;
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let near_end = self.0.borrow().near_end;
        receive_from(self, buffer, !near_end)
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        send_to(self, bytes)
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

impl MadeUp {
    fn sends(&self, text: &str) {
        self.0.borrow_mut().input.extend(text.as_bytes());
    }

    /// What has come out since the last time, a word for each line: OK, the error, or the text of the message.
    fn gets(&self) -> Vec<String> {
        let output = std::mem::take(&mut self.0.borrow_mut().output);
        let word = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            line.get("message")
                .or(line.get("text"))
                .and_then(|word| word.as_str())
                .expect("a string")
                .to_owned()
        };
        String::from_utf8(output).unwrap().lines().map(word).collect()
    }
}

/// A hub, and a client that has done this.
fn hub() -> Hub<MadeUp> {
    Hub::new(&Options::default())
}

fn client(hub: &mut Hub<MadeUp>, requests: &str) -> (ClientId, MadeUp) {
    let socket = MadeUp::default();
    socket.sends(requests);
    let client = hub.connect(socket.clone(), Peer::Unix, NOW);
    hub.event(client, READABLE, NOW);
    turn(hub);
    assert!(socket.gets().iter().all(|word| word == "OK"));
    (client, socket)
}

fn turn(hub: &mut Hub<MadeUp>) {
    hub.turn(NOW);
    hub.check();
}

fn join(room: &str) -> String {
    format!("{{\"action\":\"JOIN ROOM\",\"room_id\":\"{room}\"}}\n")
}

fn send(room: &str, text: &str) -> String {
    format!("{{\"action\":\"SEND MESSAGE\",\"room_id\":\"{room}\",\"text\":\"{text}\"}}\n")
}

#[test]
fn whoever_has_had_his_share_of_a_turn_is_come_back_to_without_an_event() {
    let mut hub = hub();
    let (flood, socket) = client(&mut hub, "");
    let (other, other_socket) = client(&mut hub, "");
    socket.sends(&"0\n".repeat(5000));
    other_socket.sends("0\n");
    hub.event(flood, READABLE, NOW);
    hub.event(other, READABLE, NOW);
    turn(&mut hub);
    assert_eq!(other_socket.gets().len(), 1, "the other need not wait for all of the flood");
    let mut answered = socket.gets().len();
    while answered < 5000 {
        assert_eq!(hub.wait(NOW), Some(Duration::ZERO), "the loop must not wait with {answered} answered");
        turn(&mut hub);
        let more = socket.gets().len();
        assert!((1..5000).contains(&more), "{more} in one turn");
        answered += more;
    }
    assert_eq!((answered, hub.wait(NOW)), (5000, None));
    assert_eq!(hub.memory_bytes(), 0);
}

#[test]
fn whoever_was_stopped_by_back_pressure_goes_on_without_an_event_for_his_input() {
    let mut hub = hub();
    let (client, socket) = client(&mut hub, "");
    socket.0.borrow_mut().room = Some(0);
    socket.sends(&"[\"a request of some length, which is no object\"]\n".repeat(20_000));
    hub.event(client, READABLE, NOW);
    let mut turns = 0;
    while hub.wait(NOW) == Some(Duration::ZERO) {
        turn(&mut hub);
        turns += 1;
        assert!(turns < 1000, "it is read from without end");
    }
    let unread = socket.0.borrow().input.len();
    assert!(unread > 500_000, "only {unread} bytes are left unread");
    assert!(hub.memory_bytes() < 600_000, "{} bytes held", hub.memory_bytes());
    socket.0.borrow_mut().room = None;
    hub.event(client, WRITABLE, NOW);
    while hub.wait(NOW) == Some(Duration::ZERO) {
        turn(&mut hub);
    }
    assert_eq!(socket.gets().len(), 20_000);
    assert_eq!(hub.memory_bytes(), 0);
}

#[test]
fn whoever_reads_again_is_not_cut_for_what_has_gathered_since_the_last_event() {
    let mut hub = Hub::new(&Options { max_pending: 100_000, ..Options::default() });
    let (reader, its_socket) = client(&mut hub, &join("a"));
    its_socket.0.borrow_mut().refusals = 1;
    for _ in 0..4 {
        let (sender, socket) = client(&mut hub, "");
        socket.sends(&send("a", &"x".repeat(500)).repeat(100));
        hub.event(sender, READABLE, NOW);
    }
    turn(&mut hub);
    hub.event(reader, WRITABLE, NOW);
    assert_eq!(its_socket.gets().len(), 400, "all that was sent, and no `Too slow`");
}

#[test]
fn the_end_of_the_input_does_not_wait_for_the_rate() {
    let mut hub = Hub::new(&Options { rate: 1, ..Options::default() });
    let (leaver, socket) = client(&mut hub, &join("a").repeat(2));
    socket.0.borrow_mut().ended = true;
    hub.event(leaver, HUNG_UP, NOW);
    turn(&mut hub);
    assert!(hub.is_empty(), "it has used up its share, but nothing is left to carry out");
}

#[test]
fn a_slot_is_not_given_away_while_events_for_it_are_under_way() {
    let mut hub = hub();
    let (old, old_socket) = client(&mut hub, "");
    old_socket.0.borrow_mut().broken = Some(ErrorKind::ConnectionReset);
    old_socket.0.borrow_mut().ended = true;
    old_socket.sends("0\n");
    hub.event(old, HUNG_UP, NOW);
    let new_socket = MadeUp::default();
    let new = hub.connect(new_socket.clone(), Peer::Unix, NOW);
    assert_ne!(old, new);
    // Closed in this turn, and told of once more.
    hub.abandon(old);
    let newer = hub.connect(MadeUp::default(), Peer::Unix, NOW);
    assert_ne!(old, newer, "the slot is given away within the batch");
    hub.event(old, HUNG_UP, NOW);
    turn(&mut hub);
    assert_eq!(new_socket.0.borrow().reads, 0, "the new client was read from for an event of the old one");
    assert_eq!(hub.chat().clients_len(), 2);
    hub.event(old, HUNG_UP, NOW);
    turn(&mut hub);
}

#[test]
fn a_member_that_breaks_during_the_walk_costs_the_others_nothing() {
    let mut hub = hub();
    let sockets: Vec<_> = (0..5).map(|_| client(&mut hub, &join("r"))).collect();
    sockets[2].1.0.borrow_mut().broken = Some(ErrorKind::BrokenPipe);
    sockets[2].1.0.borrow_mut().ended = true;
    let (sender, socket) = client(&mut hub, "");
    for text in ["one", "two"] {
        socket.sends(&send("r", text));
        hub.event(sender, READABLE, NOW);
        turn(&mut hub);
        for (index, (_, socket)) in sockets.iter().enumerate() {
            assert_eq!(socket.gets(), if index == 2 { vec![] } else { vec![text] });
        }
    }
    assert_eq!(hub.chat().clients_len(), 5, "the broken one has gone");
}

#[test]
fn what_was_sent_before_a_client_vanished_is_carried_out() {
    let mut hub = hub();
    let (_, reader) = client(&mut hub, &join("r"));
    let (client, socket) = client(&mut hub, "");
    // It sends more than one read takes, and is gone before the first reply.
    socket.sends(&send("r", "x").repeat(3000));
    socket.0.borrow_mut().broken = Some(ErrorKind::BrokenPipe);
    socket.0.borrow_mut().ended = true;
    hub.event(client, HUNG_UP, NOW);
    while hub.wait(NOW) == Some(Duration::ZERO) {
        turn(&mut hub);
    }
    assert_eq!(reader.gets().len(), 3000);
    assert_eq!(hub.chat().clients_len(), 1);
}

/// A kernel without memory tells no event after it, and a short read proves that there is no more.
#[test]
fn who_cannot_be_written_to_is_gone_when_all_is_carried_out() {
    let mut hub = hub();
    let (_, reader) = client(&mut hub, &join("r"));
    let (client, socket) = client(&mut hub, "");
    socket.0.borrow_mut().broken = Some(ErrorKind::OutOfMemory);
    socket.sends(&send("r", "first"));
    hub.event(client, READABLE, NOW);
    hub.turn(NOW);
    socket.sends(&send("r", "second"));
    while hub.wait(NOW) == Some(Duration::ZERO) {
        turn(&mut hub);
    }
    assert_eq!(reader.gets(), ["first", "second"]);
    assert_eq!(hub.chat().clients_len(), 1);
}

#[test]
fn a_short_write_goes_on_where_it_stopped() {
    let mut hub = hub();
    let (reader, reader_socket) = client(&mut hub, &join("r"));
    let (sender, socket) = client(&mut hub, "");
    reader_socket.0.borrow_mut().room = Some(7);
    let texts: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for text in &texts {
        socket.sends(&send("r", text));
        hub.event(sender, READABLE, NOW);
        turn(&mut hub);
    }
    while reader_socket.0.borrow().output.len() < 3000 {
        reader_socket.0.borrow_mut().room = Some(31);
        hub.event(reader, WRITABLE, NOW);
        turn(&mut hub);
    }
    reader_socket.0.borrow_mut().room = None;
    hub.event(reader, WRITABLE, NOW);
    turn(&mut hub);
    assert_eq!(reader_socket.gets(), texts);
    assert_eq!(hub.memory_bytes(), 0, "what waited is given back");
}

#[test]
fn a_write_of_zero_bytes_is_an_end_and_does_not_spin() {
    let mut hub = hub();
    let (reader, socket) = client(&mut hub, "");
    socket.0.borrow_mut().takes_zero = true;
    socket.0.borrow_mut().ended = true;
    socket.sends("0\n");
    hub.event(reader, READABLE, NOW);
    for _ in 0..9 {
        turn(&mut hub);
    }
    assert!(hub.is_empty());
    assert!(socket.0.borrow().writes < 5);
}

#[test]
fn one_read_for_each_event_and_one_write_for_each_client_and_turn() {
    let mut hub = hub();
    let sockets: Vec<_> = (0..10).map(|_| client(&mut hub, &join("r"))).collect();
    let before = hub.counters();
    for (client, socket) in &sockets {
        socket.sends(&send("r", "a").repeat(20));
        hub.event(*client, READABLE, NOW);
    }
    turn(&mut hub);
    let after = hub.counters();
    assert_eq!(after.reads - before.reads, 10);
    assert_eq!(after.writes - before.writes, 10);
    assert!(sockets.iter().all(|(_, socket)| socket.gets().len() == 20 + 200));
}

#[test]
fn an_end_that_comes_with_the_data_is_not_missed() {
    let mut hub = hub();
    let (client, socket) = client(&mut hub, &join("r"));
    // The read is short; only the event says that there is more to know.
    socket.sends(&format!("{}0", send("r", "bye")));
    socket.0.borrow_mut().ended = true;
    hub.event(client, HUNG_UP, NOW);
    while hub.wait(NOW) == Some(Duration::ZERO) {
        turn(&mut hub);
    }
    assert_eq!(socket.gets(), ["OK", "bye", "Not a JSON object"], "and the end is not yet the end");
    assert!(hub.is_empty());
}

#[test]
fn at_the_end_all_that_waits_still_goes_out() {
    let mut hub = hub();
    let (client, socket) = client(&mut hub, "");
    socket.0.borrow_mut().room = Some(10);
    socket.0.borrow_mut().ended = true;
    socket.sends(&"0\n".repeat(100));
    hub.event(client, HUNG_UP, NOW);
    while hub.wait(NOW) == Some(Duration::ZERO) {
        turn(&mut hub);
    }
    assert!(!hub.is_empty() && hub.chat().clients_len() == 0, "it has left, and is not closed");
    socket.0.borrow_mut().room = None;
    hub.event(client, WRITABLE, NOW);
    turn(&mut hub);
    assert_eq!(socket.gets().len(), 100);
    assert!(hub.is_empty());
}

#[test]
fn an_idle_client_owns_no_buffer() {
    let mut hub = hub();
    let (client, socket) = client(&mut hub, &join("r"));
    socket.sends("{\"action\":");
    hub.event(client, READABLE, NOW);
    turn(&mut hub);
    assert!(hub.memory_bytes() > 0, "an unfinished line is held");
    socket.sends("\"LEFT ROOM\",\"room_id\":\"r\"}\n");
    hub.event(client, READABLE, NOW);
    turn(&mut hub);
    assert_eq!((socket.gets(), hub.memory_bytes()), (vec!["OK".to_owned()], 0));
}

#[test]
fn bytes_that_many_wait_for_are_in_memory_once() {
    let mut hub = hub();
    let readers: Vec<_> = (0..100).map(|_| client(&mut hub, &join("r"))).collect();
    for (_, socket) in &readers {
        socket.0.borrow_mut().room = Some(0);
    }
    let (sender, socket) = client(&mut hub, "");
    socket.sends(&send("r", &"x".repeat(15_000)));
    hub.event(sender, READABLE, NOW);
    turn(&mut hub);
    assert!(hub.memory_bytes() < 250_000, "{} bytes for 100 clients", hub.memory_bytes());
}
