//! A hub whose clients are made up: everything that the server does in user space, and no kernel.
//!
//! What a client sends lies in one buffer that all of them share, so a made-up socket is 16 bytes small and reading
//! from it allocates nothing. What a client is sent is counted and forgotten.

// Each bench and test that includes this file uses a part of it.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use parlor::Options;
use parlor::chat::ClientId;
use parlor::hub::{Event, Hub};
use parlor::protocol::DisconnectReason;
use parlor::transport::{Peer, Received, Sent, Transport, receive_from, send_to};

/// What all made-up sockets of a hub share.
#[derive(Default)]
struct Wire {
    input: RefCell<Vec<u8>>,
    written_bytes: Cell<u64>,
}

/// The server's end of a connection that has no other end.
pub struct Socket {
    wire: Rc<Wire>,
    /// Where in the shared buffer its unread input begins.
    start: u32,
    len: u16,
    hung_up: bool,
}

const _: () = assert!(size_of::<Socket>() == 16);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.len == 0 {
            return if self.hung_up { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let (start, len) = (self.start as usize, buffer.len().min(self.len.into()));
        buffer[..len].copy_from_slice(&self.wire.input.borrow()[start..start + len]);
        self.start += len as u32;
        self.len -= len as u16;
        Ok(len)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.written_bytes.set(self.wire.written_bytes.get() + bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        receive_from(self, buffer, true)
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        send_to(self, bytes)
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

/// Input that lies in the shared buffer.
#[derive(Clone)]
pub struct Input(Range<usize>);

/// A hub, and the wire that its clients hang on.
pub struct MadeUpHub {
    pub hub: Hub<Socket>,
    wire: Rc<Wire>,
}

/// The hub's clock stands still: no time-out is a part of what is measured.
const NOW: Duration = Duration::ZERO;

impl MadeUpHub {
    /// A hub that takes so many clients.
    pub fn new(max_clients: usize) -> Self {
        let options = Options { max_clients, max_rooms: 1024, ..Options::default() };
        MadeUpHub { hub: Hub::new(&options), wire: Rc::default() }
    }

    /// A client comes.
    pub fn connect(&mut self) -> ClientId {
        let socket = Socket { wire: self.wire.clone(), start: 0, len: 0, hung_up: false };
        self.hub.connect(socket, Peer::Unix, NOW)
    }

    /// Lays lines into the shared buffer, for clients to send as often as they are asked to.
    pub fn lay(&mut self, lines: &str) -> Input {
        let mut input = self.wire.input.borrow_mut();
        let start = input.len();
        input.extend_from_slice(lines.as_bytes());
        Input(start..input.len())
    }

    /// Empties the shared buffer; its memory is kept for what is laid next.
    pub fn clear_input(&mut self) {
        self.wire.input.borrow_mut().clear();
    }

    /// A client sends; the hub reads it in its next turn.
    pub fn send(&mut self, client: ClientId, input: &Input) {
        if let Some(socket) = self.hub.transport_mut(client) {
            socket.start = input.0.start.try_into().expect("the shared buffer is that small");
            socket.len = input.0.len().try_into().expect("one read takes it all");
        }
        self.hub.event(client, Event { readable: true, ..Event::default() }, NOW);
    }

    /// A client goes; the hub finds out in its next turn.
    pub fn hang_up(&mut self, client: ClientId) {
        if let Some(socket) = self.hub.transport_mut(client) {
            socket.hung_up = true;
        }
        self.hub.event(client, Event { readable: true, hung_up: true, ..Event::default() }, NOW);
    }

    /// Turns of the hub until all that was sent is carried out: one, unless it is too much for one.
    pub fn turn(&mut self) {
        self.hub.turn(NOW);
        while self.hub.wait(NOW).is_some_and(|wait| wait.is_zero()) {
            self.hub.turn(NOW);
        }
    }

    /// A client sends lines, and the hub carries them out. For what is not measured.
    pub fn ask(&mut self, client: ClientId, lines: &str) {
        let input = self.lay(lines);
        self.send(client, &input);
        self.turn();
        assert_eq!(self.hub.counters().errors, 0, "{lines}");
        if input.0.start == 0 {
            self.clear_input();
        }
    }

    /// Bytes that all clients together have been sent.
    pub fn written_bytes(&self) -> u64 {
        self.wire.written_bytes.get()
    }
}

/// LOGIN NICK, as a line.
pub fn login(nickname: &str) -> String {
    format!("{{\"action\":\"LOGIN NICK\",\"nickname\":\"{nickname}\"}}\n")
}

/// JOIN ROOM, as a line.
pub fn join(room: usize) -> String {
    format!("{{\"action\":\"JOIN ROOM\",\"room_id\":\"room-{room}\"}}\n")
}

/// SEND MESSAGE with 64 bytes of text, as a line.
pub fn send(room: usize) -> String {
    let text = "0123456789abcdef".repeat(4);
    format!("{{\"action\":\"SEND MESSAGE\",\"room_id\":\"room-{room}\",\"text\":\"{text}\"}}\n")
}
