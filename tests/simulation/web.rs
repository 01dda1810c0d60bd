//! A client over WebSocket: the server's own transport, on a made-up socket. What the hub reads and writes through it is
//! noted as lines, as with any other client, so that whoever judges need not know of frames.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use parlor::batch::Memory;
use parlor::protocol::DisconnectReason;
use parlor::transport::{End, Event, Received, Sent, Transport};
use parlor::web::socket::WebSocket;

use crate::socket::{MadeUpStream, Socket};
use crate::trace::{self, Entry, Who};

pub struct WebStream {
    who: Who,
    inner: WebSocket<MadeUpStream>,
    socket: Rc<RefCell<Socket>>,
}

impl WebStream {
    /// The socket has a peer.
    pub fn new(who: Who, socket: &Rc<RefCell<Socket>>, memory: &Memory) -> WebStream {
        let begun = socket.borrow().peer.as_ref().map_or(Vec::new(), |peer| peer.begun.clone());
        let inner = WebSocket::new(MadeUpStream::new(socket), begun, memory);
        WebStream { who, inner, socket: socket.clone() }
    }

    /// Lets the peer look at what has gone out, and at what is held.
    fn look(&self) {
        let framed = self.inner.held();
        let mut socket = self.socket.borrow_mut();
        socket.framed = framed;
        let held = socket.framed - socket.held;
        self.told(socket.peer.as_mut().unwrap().look(held));
    }

    fn told(&self, result: Result<(), String>) {
        result.unwrap_or_else(|why| panic!("client {}: {why}", self.who));
    }

    fn note_received(&self, received: Received, buffer: &[u8], must_end: bool) {
        let mut socket = self.socket.borrow_mut();
        let read = socket.read_bytes;
        let peer = socket.peer.as_mut().unwrap();
        let is_told = peer.end_is_told;
        assert!(
            !must_end || received == Received::End(End::Broken),
            "client {}: its end is not told",
            self.who
        );
        match received {
            // Behind the end nothing has a meaning.
            Received::Bytes { .. } if is_told => {}
            Received::Bytes { count, .. } => {
                self.told(peer.was_read(&buffer[..count], read));
                trace::note(Entry::Alive(self.who));
                if count > 0 {
                    trace::note(Entry::Read(self.who, buffer[..count].to_vec()));
                }
            }
            Received::Nothing => {}
            Received::End(end) => {
                match end {
                    End::Broken => self.told(peer.has_ended(read)),
                    End::Closed | End::Goodbye => self.told(peer.has_closed()),
                    End::Truncated => {}
                }
                trace::note(Entry::ReadEnd(self.who, end));
            }
        }
    }
}

impl Transport for WebStream {
    fn ready(&mut self, event: Event) {
        self.inner.ready(event);
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let must_end = self.socket.borrow().has_end_to_tell();
        let received = self.inner.receive(buffer)?;
        self.note_received(received, buffer, must_end);
        self.look();
        Ok(received)
    }

    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent> {
        assert!(bytes.ends_with(b"\n"), "what is sent ends with a line");
        let sent = self.inner.send(bytes, scratch)?;
        if let Sent::Bytes(count) = sent {
            assert!(count > 0);
            trace::note(Entry::Wrote(self.who, bytes[..count].to_vec()));
            self.socket.borrow_mut().peer.as_mut().unwrap().took(&bytes[..count]);
        }
        self.look();
        Ok(sent)
    }

    fn held(&self) -> usize {
        self.inner.held()
    }

    fn input_bytes(&self) -> usize {
        self.inner.input_bytes()
    }

    fn flush(&mut self) -> io::Result<bool> {
        let flushed = self.inner.flush()?;
        self.look();
        Ok(flushed)
    }

    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool> {
        let finished = self.inner.finish(reason)?;
        self.look();
        let closed = self.socket.borrow().peer.as_ref().unwrap().closed;
        assert!(!finished || closed.is_some(), "client {}: the end without a Close", self.who);
        Ok(finished)
    }

    fn set_stalled(&mut self, stalled: bool) {
        self.inner.set_stalled(stalled);
    }

    fn can_ping(&self) -> bool {
        self.inner.can_ping()
    }

    fn speaks_lines(&self) -> bool {
        self.inner.speaks_lines()
    }

    fn ping(&mut self) {
        trace::note(Entry::Pinged(self.who));
        self.inner.ping();
        self.look();
    }
}

impl fmt::Debug for WebStream {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WebSocket peer {}", self.who)
    }
}
