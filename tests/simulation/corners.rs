//! What chance comes upon too seldom.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use parlor::Options;
use parlor::hub::Hub;
use parlor::transport::Peer;

use crate::socket::{Faults, MadeUpStream, Socket};

/// A flush in the middle of a turn finds too slow the very client whose requests have filled the turn. What is left of
/// its input is neither carried out nor kept.
#[test]
fn who_is_found_too_slow_in_its_own_share_of_a_turn() {
    let options = Options { max_pending: 20_000, ..Options::default() };
    let mut hub = Hub::new(&options);
    let now = Duration::ZERO;
    let sockets =
        [10, 1 << 20].map(|capacity| Rc::new(RefCell::new(Socket::new(0, capacity, Faults::NONE, 0))));
    let slots = [0, 1].map(|who| hub.connect(MadeUpStream::new(&sockets[who]), Peer::Unix, now));
    let say = |hub: &mut Hub<MadeUpStream>, who: usize, lines: &[u8]| {
        let event = {
            let mut socket = sockets[who].borrow_mut();
            socket.in_flight.extend(lines);
            socket.arrive(usize::MAX);
            socket.event().unwrap()
        };
        hub.event(slots[who], event, now);
    };
    let join = r#"{"action":"JOIN ROOM","room_id":7}"#;
    say(&mut hub, 0, format!("{join}\n").as_bytes());
    hub.turn(now);

    // In one turn: messages that alone do not fill it, and then enough replies.
    let long = "x".repeat(14_000);
    let message = format!("{{\"action\":\"SEND MESSAGE\",\"room_id\":7,\"text\":\"{long}\"}}\n");
    say(&mut hub, 1, message.repeat(2).as_bytes());
    say(&mut hub, 0, format!("\"{long}\"\n").repeat(4).as_bytes());
    hub.turn(now);
    hub.check();
    assert_eq!(hub.counters().disconnected[1], 1, "it is too slow");
    assert_eq!(hub.counters().requests, 1 + 2 + 1, "the one that filled the turn was the last");

    // It gets its last words, and while the hub waits for the end nothing is kept for it.
    for _ in 0..100 {
        let event = {
            let mut socket = sockets[0].borrow_mut();
            socket.take(usize::MAX);
            socket.event()
        };
        event.into_iter().for_each(|event| hub.event(slots[0], event, now));
        hub.turn(now);
    }
    assert!(sockets[0].borrow().shut_down);
    assert_eq!((hub.connections_len(), hub.memory_bytes()), (2, 0));
}
