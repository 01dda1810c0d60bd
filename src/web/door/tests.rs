//! Visitors on made-up transports: whatever comes at once, and whatever is taken at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;

use super::*;
use crate::transport::End;
use crate::web::site::File;
use proptest::prelude::*;

const FILE: File = File { path: "/", content_type: "text/html", bytes: b"<!doctype html>" };
const SECOND: Duration = Duration::from_secs(1);

/// What has happened on a transport, seen from outside.
#[derive(Debug, Default)]
struct Wire {
    /// Pieces that have come.
    coming: VecDeque<Vec<u8>>,
    /// The peer has closed its side behind them.
    ended: bool,
    /// Bytes of them that were taken.
    read: usize,
    sent: Vec<u8>,
    /// How much is taken a call; 0 is that there is no room now.
    appetite: VecDeque<usize>,
    finished: bool,
    dropped: bool,
    broken: bool,
}

#[derive(Debug)]
struct MadeUp(Rc<RefCell<Wire>>);

impl Drop for MadeUp {
    fn drop(&mut self) {
        self.0.borrow_mut().dropped = true;
    }
}

impl Transport for MadeUp {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        assert!(!buffer.is_empty());
        let mut wire = self.0.borrow_mut();
        if wire.broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let Some(mut piece) = wire.coming.pop_front() else {
            return Ok(if wire.ended { Received::End(End::Closed) } else { Received::Nothing });
        };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        wire.read += count;
        if count < piece.len() {
            wire.coming.push_front(piece.split_off(count));
        }
        Ok(Received::Bytes { count, drained: wire.coming.is_empty() && !wire.ended })
    }

    fn send(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> io::Result<Sent> {
        let mut wire = self.0.borrow_mut();
        assert!(!bytes.is_empty() && !wire.finished);
        let most = wire.appetite.pop_front().unwrap_or(usize::MAX);
        if most == 0 {
            return Ok(Sent::Blocked);
        }
        let taken = most.min(bytes.len());
        wire.sent.extend_from_slice(&bytes[..taken]);
        Ok(Sent::Bytes(taken))
    }

    fn finish(&mut self, _: Option<crate::protocol::DisconnectReason>) -> io::Result<bool> {
        self.0.borrow_mut().finished = true;
        Ok(true)
    }
}

type Wired = Rc<RefCell<Wire>>;

fn door() -> Door<MadeUp> {
    Door::new(Site::new(&[FILE], Vec::new()))
}

fn enter(door: &mut Door<MadeUp>, now: Duration) -> (usize, Wired) {
    let wire = Wired::default();
    (door.enter(MadeUp(wire.clone()), Peer::Unix, Service::Page, now), wire)
}

/// Tells the door that something has happened.
fn event(door: &mut Door<MadeUp>, visitor: usize, now: Duration) -> Option<Entrant<MadeUp>> {
    door.event(visitor, Event::default(), now, &mut || "some_metric 1\n".into())
}

/// What the visitor was told.
fn said(wire: &Wired) -> String {
    String::from_utf8(wire.borrow().sent.clone()).unwrap()
}

/// Lets a whole request come in one piece.
fn ask(door: &mut Door<MadeUp>, request: &str) -> (usize, Wired, Option<Entrant<MadeUp>>) {
    let (visitor, wire) = enter(door, Duration::ZERO);
    wire.borrow_mut().coming.push_back(request.into());
    let entrant = event(door, visitor, Duration::ZERO);
    (visitor, wire, entrant)
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_visitor_gets_its_response_and_the_end() {
    let mut door = door();
    let (visitor, wire, _) = ask(&mut door, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(
        said(&wire).starts_with("HTTP/1.1 200 OK\r\n") && said(&wire).ends_with("\r\n\r\n<!doctype html>")
    );
    assert!(wire.borrow().finished && !wire.borrow().dropped, "the peer has not read it yet");
    wire.borrow_mut().ended = true;
    event(&mut door, visitor, Duration::ZERO);
    assert!(wire.borrow().dropped && door.is_empty() && door.next_deadline().is_none());
}

#[test]
fn metrics_are_made_when_they_are_asked_for() {
    let mut door = door();
    for (request, body) in [("GET", "\r\n\r\nsome_metric 1\n"), ("HEAD", "\r\nContent-Length: 14\r\n")] {
        let wire = Wired::default();
        let visitor = door.enter(MadeUp(wire.clone()), Peer::Unix, Service::Metrics, Duration::ZERO);
        wire.borrow_mut().coming.push_back(format!("{request} /metrics HTTP/1.0\r\n\r\n").into());
        event(&mut door, visitor, Duration::ZERO);
        assert!(said(&wire).starts_with("HTTP/1.1 200 OK\r\n"), "{}", said(&wire));
        assert!(said(&wire).contains(body), "{}", said(&wire));
    }
}

#[test]
fn what_is_not_http_is_told_so_at_once() {
    for bytes in ["\x16\x03\x01\x02", "{\"action\":\"LOGIN NICK\"}\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"] {
        let (_, wire, _) = ask(&mut door(), bytes);
        assert!(said(&wire).starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bytes:?}: {}", said(&wire));
    }
}

#[test]
fn a_client_takes_along_what_came_behind_its_request() {
    let mut door = door();
    let (_, wire, entrant) = ask(&mut door, &format!("{UPGRADE}frames"));
    let entrant = entrant.expect("a client");
    assert_eq!(entrant.begun, b"frames");
    assert!(
        said(&wire).starts_with("HTTP/1.1 101 Switching Protocols\r\n") && said(&wire).ends_with("\r\n\r\n")
    );
    assert!(!wire.borrow().finished && !wire.borrow().dropped && door.is_empty());
    drop(entrant);
    assert!(wire.borrow().dropped);
}

#[test]
fn no_more_is_read_than_a_head_may_have() {
    let mut door = door();
    let (_, wire, entrant) = ask(&mut door, &format!("{UPGRADE}{}", "x".repeat(1 << 20)));
    assert!(entrant.is_some() && wire.borrow().read <= HEAD_BYTES_MAX);
    let (_, wire, _) = ask(&mut door, &"x".repeat(HEAD_BYTES_MAX));
    assert!(said(&wire).starts_with("HTTP/1.1 431 "), "{}", said(&wire));
}

#[test]
fn what_comes_behind_the_response_is_thrown_away_within_a_bound() {
    let mut door = door();
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
    let (visitor, wire, _) = ask(&mut door, &format!("{post}{}", "x".repeat(100_000)));
    assert!(said(&wire).starts_with("HTTP/1.1 405 ") && wire.borrow().coming.is_empty());
    assert!(!wire.borrow().dropped);
    wire.borrow_mut().coming.push_back(vec![b'x'; 1 << 20]);
    event(&mut door, visitor, Duration::ZERO);
    assert!(wire.borrow().dropped && wire.borrow().read < 400_000);
}

#[test]
fn who_is_slow_is_told_and_goes() {
    let mut door = door();
    let (visitor, wire) = enter(&mut door, SECOND);
    let (_, silent) = enter(&mut door, 2 * SECOND);
    wire.borrow_mut().coming.push_back(b"GET / HTTP/1.1\r\n".to_vec());
    event(&mut door, visitor, 9 * SECOND);
    assert_eq!(door.next_deadline(), Some(11 * SECOND));
    door.expire(11 * SECOND - Duration::from_nanos(1));
    assert_eq!(said(&wire), "");
    door.expire(11 * SECOND);
    assert!(said(&wire).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert!(wire.borrow().finished && !wire.borrow().dropped && said(&silent).is_empty());
    door.expire(12 * SECOND);
    assert!(wire.borrow().dropped && said(&silent).starts_with("HTTP/1.1 408 "));
    door.expire(13 * SECOND);
    assert!(silent.borrow().dropped && door.is_empty());
}

#[test]
fn who_does_not_take_its_response_or_does_not_close_goes_too() {
    let mut door = door();
    let (visitor, stuck) = enter(&mut door, Duration::ZERO);
    stuck.borrow_mut().appetite = [7, 0].into();
    stuck.borrow_mut().coming.push_back(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec());
    event(&mut door, visitor, Duration::ZERO);
    let (_, open, _) = ask(&mut door, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    door.expire(LINGER);
    assert!(open.borrow().dropped && !stuck.borrow().dropped);
    door.expire(VISIT);
    assert!(stuck.borrow().dropped && said(&stuck) == "HTTP/1." && door.is_empty());
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    let mut door = door();
    let wires: Vec<Wired> =
        (0..VISITORS_MAX + 10).map(|at| enter(&mut door, Duration::from_millis(at as u64)).1).collect();
    assert_eq!(door.len(), VISITORS_MAX);
    let dropped: Vec<bool> = wires.iter().map(|wire| wire.borrow().dropped).collect();
    assert!(dropped[..10].iter().all(|&dropped| dropped) && !dropped[10..].contains(&true));
}

#[test]
fn ends_and_errors() {
    let mut door = door();
    let (visitor, wire) = enter(&mut door, Duration::ZERO);
    wire.borrow_mut().ended = true;
    event(&mut door, visitor, Duration::ZERO);
    assert!(wire.borrow().dropped && said(&wire).is_empty());
    let (visitor, wire) = enter(&mut door, Duration::ZERO);
    wire.borrow_mut().coming.push_back(b"GET / HTTP".to_vec());
    wire.borrow_mut().ended = true;
    event(&mut door, visitor, Duration::ZERO);
    assert!(said(&wire).starts_with("HTTP/1.1 400 ") && wire.borrow().dropped);
    let (visitor, wire) = enter(&mut door, Duration::ZERO);
    wire.borrow_mut().broken = true;
    event(&mut door, visitor, Duration::ZERO);
    assert!(wire.borrow().dropped && door.is_empty());
    assert!(event(&mut door, visitor, Duration::ZERO).is_none(), "an event for nobody");
}

#[test]
fn a_server_that_stops_says_so() {
    let mut door = door();
    door.stop();
    let (_, wire, _) = ask(&mut door, "GET /healthz HTTP/1.1\r\n\r\n");
    assert!(said(&wire).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
}

proptest! {
    /// However the request comes and the response is taken, the response is the same, and no frame is lost.
    #[test]
    fn cuts_do_not_matter(
        sizes in proptest::collection::vec(1usize..60, 1..6),
        appetite in proptest::collection::vec(0usize..60, 0..9),
        behind in proptest::collection::vec(any::<u8>(), 0..80),
        upgrades in any::<bool>(),
    ) {
        let request = if upgrades { UPGRADE } else { "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" };
        let (_, whole, _) = ask(&mut door(), request);
        let mut door = door();
        let (visitor, wire) = enter(&mut door, Duration::ZERO);
        wire.borrow_mut().appetite = appetite.into();
        let stream = [request.as_bytes(), &behind].concat();
        let mut rest = &stream[..];
        let mut entrant = None;
        for size in sizes.iter().cycle() {
            if rest.is_empty() || entrant.is_some() {
                break;
            }
            let (piece, later) = rest.split_at((*size).min(rest.len()));
            wire.borrow_mut().coming.push_back(piece.to_vec());
            rest = later;
            entrant = event(&mut door, visitor, Duration::ZERO);
        }
        for _ in 0..10 {
            entrant = entrant.or_else(|| event(&mut door, visitor, Duration::ZERO));
        }
        prop_assert_eq!(&wire.borrow().sent, &whole.borrow().sent);
        prop_assert_eq!(entrant.is_some(), upgrades);
        if let Some(entrant) = entrant {
            let unread: Vec<u8> = wire.borrow().coming.iter().flatten().copied().collect();
            prop_assert_eq!([entrant.begun.as_slice(), &unread, rest].concat(), behind);
        }
    }
}
