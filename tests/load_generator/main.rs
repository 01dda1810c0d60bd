//! Who checks the checker? The load bench claims to notice every delivery that is lost, doubled, out of order or
//! garbled. Here it drives a stand-in for the server, written in the plainest way, which does one of these to one
//! delivery in 500, and must find it every time; and it must find nothing wrong with one that does not.

#![allow(dead_code)] // The bench has more than is needed here.

#[path = "../benches/load/dialects/mod.rs"]
mod dialects;
#[path = "../benches/load/ledger.rs"]
mod ledger;
#[path = "../benches/load/measure.rs"]
mod measure;
#[path = "../benches/load/message.rs"]
mod message;
#[path = "../benches/load/process.rs"]
mod process;
#[path = "../benches/load/scenarios/mod.rs"]
mod scenarios;
#[path = "../benches/load/swarm.rs"]
mod swarm;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dialects::{Dialect, Frame};
use dialects::{floor::Floor, irc::Irc, mqtt::Mqtt, nats::Nats, parlor::Parlor, redis::Redis};
use ledger::{Fault, Ledger};
use message::{Message, Texts};
use scenarios::talk::Pace;
use scenarios::{Site, chat, churn::churn, requests::requests};

/// What the stand-in does to one line in 500.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Vice {
    Loses,
    Doubles,
    Reorders,
    Garbles,
    /// The same for replies.
    LosesReplies,
    DoublesReplies,
}

const ONE_IN: u64 = 500;

/// Knows of the protocol what the bench makes use of.
#[derive(Default)]
struct StandIn {
    vice: Option<Vice>,
    /// Where in each 500 the bad one lies, and which byte of it is garbled.
    seed: u64,
    deliveries: u64,
    replies: u64,
    misdeeds: u64,
    members: HashMap<u64, Vec<usize>>,
    names: Vec<String>,
    streams: Vec<TcpStream>,
    /// Deliveries that wait to be overtaken.
    held: HashMap<usize, Vec<u8>>,
}

type Shared = Arc<Mutex<StandIn>>;

/// Starts it; it ends with the test's process.
fn stand_in(vice: Option<Vice>, seed: u64) -> (SocketAddr, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new(Mutex::new(StandIn { vice, seed, ..StandIn::default() }));
    let server = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, shared) = (stream.unwrap(), server.clone());
            thread::spawn(move || serve(stream, &shared));
        }
    });
    (address, shared)
}

fn serve(stream: TcpStream, shared: &Shared) {
    let id = {
        let mut server = shared.lock().unwrap();
        server.streams.push(stream.try_clone().unwrap());
        server.names.push(String::new());
        server.streams.len() - 1
    };
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        shared.lock().unwrap().carry_out(id, &line);
    }
    shared.lock().unwrap().members.values_mut().for_each(|members| members.retain(|member| *member != id));
}

impl StandIn {
    fn carry_out(&mut self, id: usize, line: &str) {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        let room = request["room_id"].as_u64().unwrap_or_default();
        self.reply(id, line);
        match request["action"].as_str().unwrap() {
            "LOGIN NICK" => self.names[id] = request["nickname"].as_str().unwrap().to_owned(),
            "JOIN ROOM" => self.members.entry(room).or_default().push(id),
            "LEFT ROOM" => self.members.entry(room).or_default().retain(|member| *member != id),
            _ => {
                let (author, text) = (&self.names[id], request["text"].as_str().unwrap());
                let line = format!(
                    "{{\"action\":\"GET MESSAGE\",\"room_id\":{room},\"author\":\"{author}\",\"text\":\"{text}\"}}\n"
                );
                for member in self.members.get(&room).cloned().unwrap_or_default() {
                    self.deliver(member, line.clone().into_bytes());
                }
            }
        }
    }

    /// Replies to logins and joins are left alone: without them the scenario would not begin.
    fn reply(&mut self, id: usize, request: &str) {
        let reply =
            format!("{{\"action\":\"RESPONSE\",\"request\":{request},\"message\":\"OK\"}}\n").into_bytes();
        let to_send = request.contains("SEND MESSAGE");
        self.replies += u64::from(to_send);
        let bad = to_send && self.replies % ONE_IN == self.seed % ONE_IN;
        match self.vice {
            Some(Vice::LosesReplies) if bad => self.misdeeds += 1,
            Some(Vice::DoublesReplies) if bad => {
                self.misdeeds += 1;
                self.write(id, &reply.repeat(2));
            }
            _ => self.write(id, &reply),
        }
    }

    fn deliver(&mut self, id: usize, mut line: Vec<u8>) {
        self.deliveries += 1;
        let bad = self.deliveries % ONE_IN == self.seed % ONE_IN;
        let held = self.held.remove(&id).unwrap_or_default();
        match self.vice {
            Some(Vice::Loses) if bad => line.clear(),
            Some(Vice::Doubles) if bad => line = line.repeat(2),
            Some(Vice::Reorders) if bad => {
                self.held.insert(id, std::mem::take(&mut line));
            }
            Some(Vice::Garbles) if bad => {
                let place = (self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % (line.len() - 1);
                line[place] ^= 1;
            }
            _ => {
                line.extend(held);
                return self.write(id, &line);
            }
        }
        self.misdeeds += 1;
        line.extend(held);
        self.write(id, &line);
    }

    /// A client that is gone does not matter.
    fn write(&mut self, id: usize, bytes: &[u8]) {
        let _ = self.streams[id].write_all(bytes);
    }
}

fn site(address: SocketAddr, duration: Duration) -> Site<'static> {
    let patience = Duration::from_secs(1);
    Site { dialect: &Parlor, address, process: None, duration, patience, text: 64, progress: &|_| {} }
}

/// The longest that a run may take; it ends as soon as the fault is found.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the bench has to say about a stand-in that has misbehaved at least once.
fn found(vice: Vice, seed: u64, rooms: usize, pace: Pace) -> Result<(), Fault> {
    let (address, shared) = stand_in(Some(vice), seed);
    let site = site(address, DEADLINE);
    let (mut swarm, mut talk) = match rooms {
        1 => chat::one_room(&site, 20)?,
        _ => chat::many_rooms(&site, rooms, 4)?,
    };
    // With one message under way in each room, a room stands still after a loss while the others go on: it is found
    // at the end of the run.
    let enough = |_: &measure::Meter| rooms > 1 && shared.lock().unwrap().misdeeds > 0;
    let outcome = talk.run_until(&mut swarm, &site, pace, &enough);
    let misdeeds = shared.lock().unwrap().misdeeds;
    assert!(
        misdeeds > 0,
        "{vice:?}, seed {seed}: the stand-in did nothing wrong, and the bench says {outcome:?}"
    );
    outcome.map(|_| ())
}

/// Some seeds are fixed, so that they are there every time, and one is new in each run.
fn seeds() -> Vec<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    vec![1, 77, 499, u64::from(now.subsec_nanos())]
}

fn is_found_everywhere(vice: Vice) {
    for seed in seeds() {
        for (rooms, pace) in [(1, Pace::Window(16)), (1, Pace::Rate(2000.0)), (10, Pace::Window(1))] {
            let outcome = found(vice, seed, rooms, pace);
            assert!(outcome.is_err(), "{vice:?} was not found with seed {seed}, {rooms} rooms, {pace:?}");
        }
    }
}

#[test]
fn a_lost_delivery_is_found() {
    is_found_everywhere(Vice::Loses);
}

#[test]
fn a_doubled_delivery_is_found() {
    is_found_everywhere(Vice::Doubles);
}

#[test]
fn deliveries_out_of_order_are_found() {
    is_found_everywhere(Vice::Reorders);
}

#[test]
fn a_garbled_delivery_is_found() {
    is_found_everywhere(Vice::Garbles);
}

#[test]
fn a_lost_reply_is_found() {
    is_found_everywhere(Vice::LosesReplies);
}

#[test]
fn a_doubled_reply_is_found() {
    is_found_everywhere(Vice::DoublesReplies);
}

#[test]
fn the_fault_has_the_right_name() {
    let busy = Pace::Window(16);
    assert!(matches!(found(Vice::Loses, 5, 1, busy), Err(Fault::Gap(_))));
    assert!(matches!(found(Vice::Doubles, 5, 1, busy), Err(Fault::Repeated(_))));
    assert!(matches!(found(Vice::Reorders, 5, 1, busy), Err(Fault::Gap(_))));
    assert!(matches!(found(Vice::Garbles, 5, 1, busy), Err(Fault::Garbled(_))));
}

#[test]
fn nothing_is_wrong_with_a_server_that_does_no_wrong() {
    let (address, shared) = stand_in(None, 0);
    let site = site(address, Duration::from_millis(400));
    for outcome in [
        chat::fanout(&site, 20, 16),
        chat::paced(&site, 20, 500.0),
        chat::rooms(&site, 10, 4, 2),
        requests(&site, 5, 4),
        churn(&site, 5),
    ] {
        let outcome = outcome.unwrap();
        assert!(outcome.latency.is_some_and(|latency| !latency.is_empty()));
    }
    let server = shared.lock().unwrap();
    assert!(server.deliveries > ONE_IN, "only {} deliveries: too few to prove anything", server.deliveries);
}

/// What a server of each kind says when the first message of client 3 comes to a member of room 5.
fn samples() -> Vec<(Box<dyn Dialect>, Vec<u8>)> {
    let text = Texts::new(20).write(FIRST).to_vec();
    let text = String::from_utf8(text).unwrap();
    let json =
        format!("{{\"action\":\"GET MESSAGE\",\"room_id\":5,\"author\":\"u3\",\"text\":\"{text}\"}}\n");
    vec![
        (Box::new(Parlor), json.into_bytes()),
        (Box::new(Floor { as_long_as_parlor: true }), format!("S00000005{text}....\n").into_bytes()),
        (Box::new(Redis), format!(">3\r\n$7\r\nmessage\r\n$2\r\nr5\r\n$20\r\n{text}\r\n").into_bytes()),
        (Box::new(Nats), format!("MSG r5 5 20\r\n{text}\r\n").into_bytes()),
        (Box::new(Mqtt), format!("\x30\x18\0\x02r5{text}").into_bytes()),
        (Box::new(Irc), format!(":u3!~u@host PRIVMSG #r5 :{text}\r\n").into_bytes()),
    ]
}

const FIRST: Message = Message { sender: 3, number: 0 };

#[test]
fn every_dialect_waits_for_the_whole_frame_and_takes_it_apart() {
    for (dialect, bytes) in samples() {
        for end in 0..bytes.len() {
            let parsed = dialect.parse(&bytes[..end]);
            assert_eq!(parsed, Ok(None), "after {end} bytes of {:?}", String::from_utf8_lossy(&bytes));
        }
        let (length, frame) = dialect.parse(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let Frame::Delivery { room, author, text } = frame else { panic!("no delivery: {frame:?}") };
        assert_eq!(room, dialect.room_name(5));
        assert!(author.is_none_or(|author| author == dialect.author_name(3)));
        assert_eq!(Texts::new(20).read(text), Some(FIRST));
    }
}

/// Whether these bytes pass for the delivery of the first message of client 3 to client 1.
fn passes(dialect: &dyn Dialect, bytes: &[u8]) -> bool {
    let mut books = Ledger::new(dialect, 20);
    (0..4).for_each(|client| books.enter(5, client != 3));
    books.send(3, 0);
    match dialect.parse(bytes) {
        Ok(Some((_, frame @ Frame::Delivery { .. }))) => books.delivered(dialect, 1, &frame, bytes).is_ok(),
        _ => false,
    }
}

#[test]
fn every_dialect_notices_any_wrong_byte() {
    for (dialect, bytes) in samples() {
        assert!(passes(&*dialect, &bytes), "{:?}", String::from_utf8_lossy(&bytes));
        for place in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[place] ^= 1;
            // Which user and host IRC names behind the nickname, the generator cannot know.
            let unknown = bytes.starts_with(b":u3!") && (4..11).contains(&place);
            assert!(
                unknown || !passes(&*dialect, &wrong),
                "byte {place}: {:?}",
                String::from_utf8_lossy(&wrong)
            );
        }
    }
}

#[test]
fn the_floor_writes_lines_as_long_as_parlors() {
    let floor = Floor { as_long_as_parlor: true };
    let text = Texts::new(64).write(Message { sender: 1, number: 2 }).to_vec();
    let length = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = b"before".to_vec();
        write(&mut out);
        assert!(out.starts_with(b"before") && floor.parse(&out[6..]).unwrap().is_some());
        out.len() - "before".len()
    };
    for (client, room) in [(0, 0), (9, 10), (10, 9), (99, 100), (100, 99), (12_345, 1_000_000)] {
        let response = |request: &dyn Fn(&mut Vec<u8>)| {
            let (mut echo, mut out) = (Vec::new(), Vec::new());
            request(&mut echo);
            parlor::protocol::response(&mut out, std::str::from_utf8(&echo).unwrap().trim_end());
            out.len()
        };
        let mut message = Vec::new();
        let quoted = format!("\"{}\"", String::from_utf8_lossy(&text));
        let author = format!("u{client}");
        parlor::protocol::get_message(&mut message, room.to_string().as_bytes(), author.as_bytes(), &quoted);
        assert_eq!(length(&|out| floor.send(client, room, &text, out)), message.len());
        assert_eq!(length(&|out| floor.login(client, out)), response(&|out| Parlor.login(client, out)));
        assert_eq!(length(&|out| floor.join(room, out)), response(&|out| Parlor.join(room, out)));
        assert_eq!(length(&|out| floor.leave(room, out)), response(&|out| Parlor.leave(room, out)));
        let both = response(&|out| Parlor.send(client, room, &text, out)) + message.len();
        assert_eq!(length(&|out| floor.request(client, room, &text, out)), both);
    }
}

#[test]
fn a_server_that_gives_a_client_up_is_not_taken_for_one_that_garbles() {
    let line = |message| format!("{{\"action\":\"ERROR\",\"request\":null,\"message\":\"{message}\"}}\n");
    let last_words = line("Too slow");
    assert_eq!(
        Parlor.parse(last_words.as_bytes()),
        Ok(Some((last_words.len(), Frame::Farewell(b"Too slow"))))
    );
    assert!(Parlor.parse(line("Invalid JSON").as_bytes()).is_err());
    assert_eq!(
        Nats.parse(b"-ERR 'Slow Consumer'\r\n").map(|parsed| parsed.map(|(length, _)| length)),
        Ok(Some(22))
    );
    assert!(Nats.parse(b"-ERR 'Unknown Protocol Operation'\r\n").is_err());
}
