//! A server in the plainest way: a thread for each connection and one lock. On request it misbehaves, or is full.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tungstenite::Message;

/// What the stand-in does to one line in 500.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Vice {
    Loses,
    Doubles,
    Reorders,
    Garbles,
    /// The same for replies.
    LosesReplies,
    DoublesReplies,
}

pub const ONE_IN: u64 = 500;

/// Knows of the protocol what the bench makes use of.
#[derive(Default)]
pub struct StandIn {
    vice: Option<Vice>,
    /// Where in each 500 the bad one lies, and which byte of it is garbled.
    seed: u64,
    /// How many clients it lets in at once, if not all.
    seats: Option<usize>,
    pub deliveries: u64,
    pub misdeeds: u64,
    replies: u64,
    present: usize,
    members: HashMap<String, Vec<usize>>,
    names: Vec<String>,
    /// No name is ever free again, as if no connection were ever forgotten.
    taken: HashSet<String>,
    outlets: Vec<Box<dyn Write + Send>>,
    /// Deliveries that wait to be overtaken.
    held: HashMap<usize, Vec<u8>>,
}

pub type Shared = Arc<Mutex<StandIn>>;

pub const FULL: &str = "Too many clients: this stand-in has no seat left";

/// Starts it; it ends with the test's process.
pub fn start(stand_in: StandIn) -> (SocketAddr, Shared) {
    let shared = Arc::new(Mutex::new(stand_in));
    (start_another(&shared), shared)
}

/// One more address of the same server.
pub fn start_another(shared: &Shared) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, shared) = (stream.unwrap(), server.clone());
            let outlet = stream.try_clone().unwrap();
            // Seats are given away in the order in which clients come.
            let id = shared.lock().unwrap().enter(Box::new(outlet));
            thread::spawn(move || serve(stream, id, &shared));
        }
    });
    address
}

/// The same on a Unix socket.
pub fn start_unix(path: &Path) -> Shared {
    let listener = UnixListener::bind(path).unwrap();
    let shared = Shared::default();
    let server = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, shared) = (stream.unwrap(), server.clone());
            let outlet = stream.try_clone().unwrap();
            // Seats are given away in the order in which clients come.
            let id = shared.lock().unwrap().enter(Box::new(outlet));
            thread::spawn(move || serve(stream, id, &shared));
        }
    });
    shared
}

/// The same over WebSocket, whose framing is that of tungstenite.
pub fn start_web_socket(stand_in: StandIn) -> (SocketAddr, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new(Mutex::new(stand_in));
    let server = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, shared) = (stream.unwrap(), server.clone());
            thread::spawn(move || serve_web_socket(stream, &shared));
        }
    });
    (address, shared)
}

/// The same over TLS, by rustls, which gives tickets to resume sessions with.
#[cfg(feature = "tls")]
pub fn start_tls(stand_in: StandIn, config: Arc<rustls::ServerConfig>) -> (SocketAddr, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new(Mutex::new(stand_in));
    let server = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, shared, config) = (stream.unwrap(), server.clone(), config.clone());
            thread::spawn(move || serve_tls(stream, config, &shared));
        }
    });
    (address, shared)
}

fn serve(stream: impl Read, id: Option<usize>, shared: &Shared) {
    let Some(id) = id else { return };
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        shared.lock().unwrap().carry_out(id, &line);
    }
    shared.lock().unwrap().leave(id);
}

/// What the others say to this client comes through a channel, for a WebSocket cannot be shared between threads.
struct Outbox(Sender<Vec<u8>>);

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// As over WebSocket, a session cannot be shared between threads.
#[cfg(feature = "tls")]
fn serve_tls(stream: TcpStream, config: Arc<rustls::ServerConfig>, shared: &Shared) {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let session = rustls::ServerConnection::new(config).unwrap();
    let mut stream = rustls::StreamOwned::new(session, stream);
    let (outbox, waiting) = channel();
    let id = shared.lock().unwrap().enter(Box::new(Outbox(outbox)));
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => input.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = input.drain(..=end).collect();
            if let Some(id) = id {
                shared.lock().unwrap().carry_out(id, &String::from_utf8_lossy(&line[..end]));
            }
        }
        for lines in waiting.try_iter() {
            let _ = stream.write_all(&lines);
        }
        if id.is_none() && !stream.conn.is_handshaking() {
            break;
        }
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
    if let Some(id) = id {
        shared.lock().unwrap().leave(id);
    }
}

fn serve_web_socket(stream: TcpStream, shared: &Shared) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    let (outbox, waiting) = channel();
    // Between two reads it looks at what waits to be written.
    socket.get_ref().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let id = shared.lock().unwrap().enter(Box::new(Outbox(outbox)));
    let mut turns = 0u32;
    loop {
        match socket.read() {
            Ok(Message::Text(line)) => {
                if let Some(id) = id {
                    shared.lock().unwrap().carry_out(id, &line);
                }
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        turns += 1;
        if turns.is_multiple_of(7) {
            let _ = socket.write(Message::Ping("are you there?".into()));
        }
        for lines in waiting.try_iter() {
            for line in String::from_utf8_lossy(&lines).lines() {
                let _ = socket.write(Message::text(line));
            }
        }
        let _ = socket.flush();
        if id.is_none() {
            let _ = socket.close(None);
        }
    }
    if let Some(id) = id {
        shared.lock().unwrap().leave(id);
    }
}

impl StandIn {
    /// One that does this to one line in 500; `seed` says to which.
    pub fn with_vice(vice: Vice, seed: u64) -> StandIn {
        StandIn { vice: Some(vice), seed, ..StandIn::default() }
    }

    /// One that lets in no more than these at once.
    pub fn with_seats(seats: usize) -> StandIn {
        StandIn { seats: Some(seats), ..StandIn::default() }
    }

    /// A new client's number, or `None` if there is no seat for it, which it is told.
    fn enter(&mut self, mut outlet: Box<dyn Write + Send>) -> Option<usize> {
        if self.seats.is_some_and(|seats| self.present >= seats) {
            let line = format!("{{\"action\":\"ERROR\",\"request\":null,\"message\":\"{FULL}\"}}\n");
            let _ = outlet.write_all(line.as_bytes());
            return None;
        }
        self.present += 1;
        self.outlets.push(outlet);
        self.names.push(String::new());
        Some(self.outlets.len() - 1)
    }

    fn leave(&mut self, id: usize) {
        self.present -= 1;
        self.members.values_mut().for_each(|members| members.retain(|member| *member != id));
    }

    fn carry_out(&mut self, id: usize, line: &str) {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        let room = request["room_id"].to_string();
        match request["action"].as_str().unwrap() {
            "LOGIN NICK" => {
                let name = request["nickname"].as_str().unwrap().to_owned();
                if !self.taken.insert(name.clone()) {
                    let refusal = format!(
                        "{{\"action\":\"ERROR\",\"request\":{line},\"message\":\"Nickname already in use\"}}\n"
                    );
                    return self.write(id, refusal.as_bytes());
                }
                self.names[id] = name;
                self.reply(id, line);
            }
            "JOIN ROOM" => {
                self.reply(id, line);
                self.members.entry(room).or_default().push(id);
            }
            "LEFT ROOM" => {
                self.reply(id, line);
                self.members.entry(room).or_default().retain(|member| *member != id);
            }
            _ => {
                self.reply(id, line);
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
        let _ = self.outlets[id].write_all(bytes);
    }
}
