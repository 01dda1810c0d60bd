//! Random conversations over TLS on made-up streams, which give and take as little as they like, at every place: the hub
//! does with them just what it does when the same lines come plain. `PARLOR_SEED=17 cargo test --test tls conversations`
//! replays
//! the one seed; `PARLOR_SEEDS=5000` runs so many more.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parlor::chat::ClientId;
use parlor::hub::{Hub, Notice};
use parlor::options::Options;
use parlor::protocol::DisconnectReason;
use parlor::tls::{Acceptor, Files, Progress, Tls};
use parlor::transport::{End, Event, Peer, Received, Sent, Transport};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::client::usual;
use crate::common::random::Random;
use crate::common::requests::Speech;
use crate::{SHARED, VERSIONS};

const CONVERSATIONS: usize = 60;
const LINES: usize = 40;
const MAX_LINE: usize = 2000;

/// Nothing here takes any time.
const NOW: Duration = Duration::ZERO;

/// A stream between a client and the hub, under an edge-triggered poll.
struct Stream {
    random: Random,
    /// It does not give and take all that it could.
    is_moody: bool,
    /// Under way to the hub, and there.
    in_flight: VecDeque<u8>,
    arrived: VecDeque<u8>,
    closing: bool,
    closed: bool,
    /// On the way to the client, and how much may be.
    sent: VecDeque<u8>,
    capacity: usize,
    blocked: bool,
    shut_down: bool,
    /// An event is due.
    edge: bool,
}

impl Stream {
    fn arrive(&mut self, count: usize) {
        let count = count.min(self.in_flight.len());
        self.arrived.extend(self.in_flight.drain(..count));
        self.edge |= count > 0;
        if self.closing && self.in_flight.is_empty() && !self.closed {
            (self.closed, self.edge) = (true, true);
        }
    }

    /// Once in so many times, and never if it is in a good mood.
    fn feels_like_it(&mut self, times: usize) -> bool {
        self.is_moody && self.random.once_in(times)
    }

    fn arrive_just_then(&mut self) {
        if self.feels_like_it(5) {
            let count = self.random.below(self.in_flight.len() + 1);
            self.arrive(count);
        }
    }

    /// What the client takes.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.sent.len());
        self.edge |= self.blocked;
        self.sent.drain(..count).collect()
    }

    fn event(&mut self) -> Option<Event> {
        if !std::mem::take(&mut self.edge) {
            return None;
        }
        let writable = self.sent.len() < self.capacity;
        self.blocked &= !writable;
        let readable = self.closed || !self.arrived.is_empty();
        Some(Event { readable, writable, hung_up: self.closed, urgent: false })
    }
}

/// The hub's end of it.
#[derive(Clone)]
struct Ours(Rc<RefCell<Stream>>);

impl Ours {
    fn new(random: &mut Random, is_moody: bool) -> Ours {
        Ours(Rc::new(RefCell::new(Stream {
            is_moody,
            capacity: if is_moody { *random.one_of(&[&10, &300, &5000, &100_000]) } else { 1 << 20 },
            random: Random::from_seed(random.number()),
            in_flight: VecDeque::new(),
            arrived: VecDeque::new(),
            closing: false,
            closed: false,
            sent: VecDeque::new(),
            blocked: false,
            shut_down: false,
            edge: true,
        })))
    }

    fn stream(&self) -> RefMut<'_, Stream> {
        self.0.borrow_mut()
    }
}

impl Transport for Ours {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut stream = self.stream();
        if stream.feels_like_it(6) {
            stream.edge |= stream.closed || !stream.arrived.is_empty();
            return Ok(Received::Nothing);
        }
        stream.arrive_just_then();
        let mut count = stream.arrived.len().min(buffer.len());
        if count == 0 {
            return Ok(if stream.closed { Received::End(End::Closed) } else { Received::Nothing });
        }
        if stream.feels_like_it(2) {
            count = stream.random.below(count) + 1;
        }
        for (place, byte) in buffer.iter_mut().zip(stream.arrived.drain(..count)) {
            *place = byte;
        }
        let drained = stream.arrived.is_empty() && !stream.closed && stream.feels_like_it(2);
        stream.arrive_just_then();
        Ok(Received::Bytes { count, drained })
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        let mut stream = self.stream();
        assert!(!stream.shut_down, "written behind the end");
        let mut count = bytes.len().min(stream.capacity - stream.sent.len());
        if count == 0 || stream.feels_like_it(6) {
            stream.blocked = true;
            stream.edge |= count > 0;
            return Ok(Sent::Blocked);
        }
        if stream.feels_like_it(2) {
            count = stream.random.below(count) + 1;
        }
        stream.sent.extend(&bytes[..count]);
        Ok(Sent::Bytes(count))
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        self.stream().shut_down = true;
        Ok(true)
    }
}

/// How a client ends what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Goodbye,
    Truncation,
}

/// A client over TLS.
struct Talker {
    tls: ClientConnection,
    stream: Ours,
    script: Vec<u8>,
    /// So much of the script is encrypted, and the most that one record holds of it.
    said: usize,
    piece: usize,
    /// Where records end: in all that was sent, and in the script.
    records: Vec<(usize, usize)>,
    sent: usize,
    ending: Ending,
    is_over: bool,
    heard: Vec<u8>,
}

impl Talker {
    fn new(random: &mut Random) -> Talker {
        let version = VERSIONS[random.below(2)];
        let mut config = ClientConfig::clone(&usual(version));
        let fragment = *random.one_of(&[&32, &100, &1000, &16_384]);
        config.max_fragment_size = Some(fragment);
        let name = ServerName::try_from("localhost").unwrap();
        let speech = Speech::new(MAX_LINE);
        let mut script = Vec::new();
        for _ in 0..random.below(LINES) + 1 {
            script.extend(speech.line(random));
            script.push(b'\n');
        }
        if random.once_in(2) {
            script.pop();
        }
        Talker {
            tls: ClientConnection::new(Arc::new(config), name).unwrap(),
            stream: Ours::new(random, true),
            script,
            said: 0,
            piece: *random.one_of(&[&1, &11, &11, &(fragment - 21)]),
            records: vec![(0, 0)],
            sent: 0,
            ending: if random.once_in(3) { Ending::Truncation } else { Ending::Goodbye },
            is_over: false,
            heard: Vec::new(),
        }
    }

    /// Sends what is encrypted.
    fn pump(&mut self) {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        self.sent += records.len();
        let mut stream = self.stream.stream();
        if !stream.closing {
            stream.in_flight.extend(records);
        }
    }

    fn say(&mut self, random: &mut Random) {
        if self.is_over || self.said == self.script.len() || self.stream.stream().in_flight.len() > 50_000 {
            return;
        }
        let rest = &self.script[self.said..];
        if random.once_in(20) {
            // New keys, which 1.2 does not have.
            let _ = self.tls.refresh_traffic_keys();
        }
        let piece = &rest[..rest.len().min(random.below(self.piece) + 1)];
        self.tls.writer().write_all(piece).unwrap();
        self.said += piece.len();
        self.pump();
        self.records.push((self.sent, self.said));
    }

    fn hear(&mut self, count: usize) {
        let records = self.stream.stream().take(count);
        let mut records = &records[..];
        while !records.is_empty() {
            self.tls.read_tls(&mut records).unwrap();
            self.tls.process_new_packets().unwrap();
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = self.tls.reader().read(&mut buffer) {
                self.heard.extend_from_slice(&buffer[..count]);
            }
        }
        self.pump();
    }

    /// Says no more.
    fn end(&mut self, random: &mut Random) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        match self.ending {
            Ending::Goodbye => {
                self.tls.send_close_notify();
                self.pump();
                self.stream.stream().closing = random.once_in(2);
            }
            Ending::Truncation => {
                let mut stream = self.stream.stream();
                let lost = random.below(stream.in_flight.len() + 1);
                let left = stream.in_flight.len() - lost;
                stream.in_flight.truncate(left);
                stream.closing = true;
                self.sent -= lost;
                drop(stream);
                // A line that was not finished, or whose record was cut, is no line; unless it is too long already, which is
                // told at once.
                let arrived = self.records.iter().rev().find(|(end, _)| *end <= self.sent).unwrap().1;
                self.script.truncate(arrived);
                let whole = self.script.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
                let unfinished = &self.script[whole..];
                if unfinished.strip_suffix(b"\r").unwrap_or(unfinished).len() <= MAX_LINE {
                    self.script.truncate(whole);
                }
            }
        }
    }
}

/// What a hub does, told in order; by the numbers of its clients.
fn observed<T: Transport>(hub: &mut Hub<T>) -> Rc<RefCell<Vec<Notice>>> {
    let notices = Rc::new(RefCell::new(Vec::new()));
    let noted = notices.clone();
    hub.observe(move |notice| noted.borrow_mut().push(notice));
    notices
}

fn options() -> Options {
    Options {
        max_line: MAX_LINE,
        tls_cert: Some(SHARED.directory.file("server.crt")),
        tls_key: Some(SHARED.directory.file("server.key")),
        ..Options::default()
    }
}

fn shake_hands(talker: &mut Talker, mut server: Tls<Ours>, random: &mut Random) -> Tls<Ours> {
    loop {
        talker.pump();
        let piece = *random.one_of(&[&1, &10, &1000, &100_000]);
        talker.stream.stream().arrive(random.below(piece) + 1);
        match server.handshake() {
            Progress::Done => break,
            Progress::Wait | Progress::GoOn => {}
            other => panic!("{other:?}"),
        }
        talker.hear(random.below(piece) + 1);
    }
    // In 1.2 the last word of the handshake is the server's; what its client says before would wait in the client.
    while talker.tls.is_handshaking() {
        server.flush().unwrap();
        talker.hear(usize::MAX);
    }
    server
}

fn turn<T: Transport>(hub: &mut Hub<T>, clients: &[ClientId], mut event: impl FnMut(usize) -> Option<Event>) {
    for (who, &client) in clients.iter().enumerate() {
        if let Some(event) = event(who) {
            hub.event(client, event, NOW);
        }
    }
    hub.turn(NOW);
}

/// A conversation over TLS: who has said and heard what, and in which order it was carried out.
fn over_tls(random: &mut Random) -> (Vec<Talker>, Vec<ClientId>, Vec<Notice>) {
    let options = options();
    let acceptor = Acceptor::load(&Files::of(&options).unwrap()).unwrap();
    let mut hub = Hub::new(&options);
    let notices = observed(&mut hub);
    let mut talkers: Vec<Talker> = (0..random.below(4) + 2).map(|_| Talker::new(random)).collect();
    let clients: Vec<ClientId> = talkers
        .iter_mut()
        .map(|talker| {
            let server = acceptor.begin(talker.stream.clone(), false, hub.memory()).unwrap();
            let server = shake_hands(talker, server, random);
            let client = hub.connect(server, Peer::Unix, NOW);
            hub.event(client, Event { readable: true, ..Event::default() }, NOW);
            client
        })
        .collect();
    let mut settling = 0;
    while !hub.is_empty() {
        let who = random.below(talkers.len());
        let talker = &mut talkers[who];
        match random.below(8) {
            0..3 => talker.say(random),
            3 | 4 => {
                let piece = *random.one_of(&[&3, &100, &20_000]);
                talker.stream.stream().arrive(random.below(piece) + 1);
            }
            5 | 6 => talker.hear(random.below(20_000)),
            _ => {
                let has_said_all = talker.said == talker.script.len();
                if has_said_all || talker.ending == Ending::Truncation && random.once_in(300) {
                    talker.end(random);
                }
                let mut stream = talker.stream.stream();
                stream.closing |= stream.shut_down && stream.sent.is_empty();
            }
        }
        if random.once_in(3) {
            turn(&mut hub, &clients, |who| talkers[who].stream.stream().event());
        }
        settling += 1;
        assert!(settling < 10_000_000, "it goes on for ever");
    }
    assert_eq!(hub.memory_bytes(), 0);
    talkers.iter_mut().for_each(|talker| talker.hear(usize::MAX));
    let notices = notices.take();
    (talkers, clients, notices)
}

/// The same lines plain, carried out in the same order. What each client hears, and what was carried out.
fn plain(talkers: &[Talker], order: &[Notice], clients: &[ClientId]) -> (Vec<Vec<u8>>, Vec<Notice>) {
    let mut hub = Hub::new(&options());
    let notices = observed(&mut hub);
    let mut random = Random::from_seed(0);
    let streams: Vec<Ours> = talkers.iter().map(|_| Ours::new(&mut random, false)).collect();
    for (stream, &client) in streams.iter().zip(clients) {
        assert_eq!(hub.connect(stream.clone(), Peer::Unix, NOW), client);
    }
    let mut said = vec![0; talkers.len()];
    let mut heard = vec![Vec::new(); talkers.len()];
    let mut run = |heard: &mut Vec<Vec<u8>>| {
        for _ in 0..4 {
            turn(&mut hub, clients, |who| streams[who].stream().event());
            for (stream, heard) in streams.iter().zip(heard.iter_mut()) {
                heard.extend(stream.stream().take(usize::MAX));
            }
        }
    };
    for notice in order {
        let (Notice::Executed(client) | Notice::Left(client)) = notice;
        let who = clients.iter().position(|other| other == client).unwrap();
        let is_left = matches!(notice, Notice::Left(_));
        let before = notices.borrow().len();
        if is_left && streams[who].stream().closing {
            continue;
        }
        while notices.borrow().len() == before {
            let rest = &talkers[who].script[said[who]..];
            let line = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |length| length + 1);
            let line = if is_left { rest } else { &rest[..line] };
            said[who] += line.len();
            let mut stream = streams[who].stream();
            assert!(!stream.closing, "there is nothing left to carry out");
            stream.in_flight.extend(line);
            // A last line without its end needs the end of the input.
            stream.closing = is_left || line.is_empty();
            stream.arrive(usize::MAX);
            drop(stream);
            run(&mut heard);
        }
    }
    let notices = notices.take();
    (heard, notices)
}

#[test]
fn conversations_over_tls_are_those_over_plain_streams() {
    let mut seeds = Random::from_environment();
    let replayed = std::env::var("PARLOR_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let (mut executed, mut truncated) = (0, 0);
    let more = std::env::var("PARLOR_SEEDS").ok().map_or(0, |more| more.parse::<usize>().unwrap());
    for _ in 0..if replayed.is_some() { 1 } else { CONVERSATIONS + more } {
        let seed = replayed.unwrap_or_else(|| seeds.number());
        println!("this one: PARLOR_SEED={seed}");
        let (talkers, clients, order) = over_tls(&mut Random::from_seed(seed));
        let (heard, order_of_plain) = plain(&talkers, &order, &clients);
        assert_eq!(order, order_of_plain);
        for (who, (talker, heard)) in talkers.iter().zip(&heard).enumerate() {
            let (encrypted, plain) = (String::from_utf8_lossy(&talker.heard), String::from_utf8_lossy(heard));
            assert_eq!(encrypted, plain, "client {who}");
            assert!(talker.stream.stream().shut_down);
            truncated += usize::from(talker.ending == Ending::Truncation);
        }
        executed += order.len();
    }
    println!("{executed} requests and ends, {truncated} truncations");
}
