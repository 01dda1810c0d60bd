//! Sockets that are made up. They keep the contract of a kernel under an edge-triggered poll, and use all the freedom that
//! it leaves:
//!
//! - Receiving gives what has arrived, or less, or nothing for the hub at all; it says whether the socket was emptied at
//!   that moment. Whatever arrives later, be it a moment later, makes a new event.
//! - Some take lines whole, as a transport with frames does, or more than there is room for, and hold it back.
//! - The end of the input can be a goodbye, behind which the end of the socket is still to come, or come too early.
//! - A write takes as much as it likes of what there is room for. Only after `WouldBlock` an event comes when there is
//!   room again, and not before there is a good deal of it.
//! - What the peer has sent before it closed has all arrived when writing begins to fail, and can be read then.
//! - Events may come without reason; none is ever missing.
//!
//! A socket carries lines, or, if it has a [`WebPeer`], the frames of a WebSocket. Then what is read and written is noted by the
//! transport around it, as lines.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use parlor::batch::Memory;
use parlor::protocol::DisconnectReason;
use parlor::transport::{End, Event, Received, Sent, Transport};

use crate::common::random::Random;
use crate::peer::WebPeer;
use crate::trace::{self, Entry, Who};
#[cfg(feature = "web")]
use crate::web::WebStream;

/// How often things go wrong: once in so many calls.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub interrupted: usize,
    pub short_write: usize,
    /// `WouldBlock` although there would be something, or room.
    pub refused: usize,
    pub zero_write: usize,
    /// Something arrives just before or after it is asked for.
    pub just_then: usize,
    /// Less is received than has arrived.
    pub short_read: usize,
}

impl Faults {
    pub const NONE: Faults = Faults {
        interrupted: usize::MAX,
        short_write: usize::MAX,
        refused: usize::MAX,
        zero_write: usize::MAX,
        just_then: usize::MAX,
        short_read: usize::MAX,
    };
}

/// What stands between the lines and the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    /// Lines are taken whole.
    pub whole_lines: bool,
    /// More is taken than there is room for.
    pub takes_more: bool,
    /// How the input ends.
    pub end: Option<End>,
}

/// The kernel's side of one connection, with the peer behind it.
pub struct Socket {
    who: Who,
    random: Random,
    pub faults: Faults,
    /// Sent by the peer, and under way.
    pub in_flight: VecDeque<u8>,
    /// Here, and not read yet.
    pub arrived: VecDeque<u8>,
    /// The peer has closed its sending side; then also: that has arrived, behind everything else.
    pub closing: bool,
    pub closed: bool,
    /// Bytes written by the hub that the peer has not taken yet, and how many of them there may be.
    pub unread: usize,
    pub capacity: usize,
    /// The hub has been told `WouldBlock`, and of no room since.
    pub blocked: bool,
    /// The peer does not listen any more: writing fails as soon as all that it had sent has arrived.
    pub deaf: bool,
    /// Reading fails, once everything that has arrived is read.
    pub reset: bool,
    /// An event is due.
    pub edge: bool,
    /// The hub has closed its sending side.
    pub shut_down: bool,
    /// What the hub says about it.
    pub stalled: bool,
    pub kind: Kind,
    /// Taken, and not out yet.
    pub held: usize,
    /// It carries frames. Bytes that were read, and those that the transport around this holds, with those held here.
    pub peer: Option<WebPeer>,
    pub read_bytes: u64,
    pub framed: usize,
    /// There is no room for the goodbye.
    pub goodbye_waits: bool,
    said_goodbye: bool,
    write_failed: bool,
}

impl Socket {
    pub fn new(who: Who, capacity: usize, faults: Faults, seed: u64) -> Socket {
        Socket {
            who,
            random: Random::from_seed(seed),
            faults,
            in_flight: VecDeque::new(),
            arrived: VecDeque::new(),
            closing: false,
            closed: false,
            unread: 0,
            capacity,
            blocked: false,
            deaf: false,
            reset: false,
            // The first event comes at once: there is room.
            edge: true,
            shut_down: false,
            stalled: false,
            kind: Kind::default(),
            held: 0,
            peer: None,
            read_bytes: 0,
            framed: 0,
            goodbye_waits: false,
            said_goodbye: false,
            write_failed: false,
        }
    }

    /// Some of what is under way arrives.
    pub fn arrive(&mut self, bytes: usize) {
        let bytes = bytes.min(self.in_flight.len());
        self.edge |= bytes > 0;
        self.arrived.extend(self.in_flight.drain(..bytes));
        if self.closing && self.in_flight.is_empty() && !self.closed {
            self.closed = true;
            self.edge = true;
        }
    }

    /// The peer says these lines.
    pub fn say(&mut self, lines: &[u8]) {
        match &mut self.peer {
            // Whatever is sent behind a gap would mean something else.
            Some(_) if self.reset => {}
            Some(peer) => peer.say(lines, &mut self.in_flight),
            None => self.in_flight.extend(lines),
        }
    }

    /// The peer ends what it says, as WebSocket has it or against its rules.
    pub fn end_frames(&mut self) {
        if let Some(peer) = &mut self.peer
            && !self.closing
            && !self.reset
        {
            peer.end(&mut self.in_flight);
        }
    }

    /// The peer reads.
    pub fn take(&mut self, bytes: usize) {
        self.unread -= bytes.min(self.unread);
        self.edge |= self.blocked && self.has_room();
        if self.unread == 0
            && !self.closing
            && !self.reset
            && let Some(peer) = &mut self.peer
        {
            peer.answer(&mut self.in_flight);
        }
    }

    /// Bytes that were taken and are not out, here or in the transport around this.
    pub fn holds(&self) -> usize {
        if self.peer.is_some() { self.framed } else { self.held }
    }

    /// The peer has gone, with or without what it had sent.
    pub fn break_down(&mut self, lost: bool) {
        if lost {
            self.arrived.clear();
        }
        self.in_flight.clear();
        self.reset = true;
        self.edge = true;
    }

    /// The event that is due, if one is.
    pub fn event(&mut self) -> Option<Event> {
        if !std::mem::take(&mut self.edge) {
            return None;
        }
        let hung_up = self.closed || self.reset;
        let writable = self.has_room() || self.writing_fails();
        self.blocked &= !writable;
        let is_first = self.peer.as_ref().is_some_and(WebPeer::begins);
        let readable = hung_up || !self.arrived.is_empty() || is_first;
        Some(Event { readable, writable, hung_up, urgent: false })
    }

    /// Whether a read would find anything: bytes, the end, or an error.
    pub fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.closed || self.reset || self.has_end_to_tell()
    }

    /// Whether the transport around this has read an end and not told it.
    pub fn has_end_to_tell(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.has_ended_by(self.read_bytes))
    }

    fn writing_fails(&self) -> bool {
        self.reset || (self.deaf && self.closed)
    }

    /// As Linux has it: an event comes when a third is free.
    fn has_room(&self) -> bool {
        self.unread <= self.capacity - self.capacity.div_ceil(3)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        assert!(!buffer.is_empty(), "reading into nothing looks like the end of the stream");
        if self.random.once_in(self.faults.interrupted) {
            return Ok(Received::Bytes { count: 0, drained: false });
        }
        if self.random.once_in(self.faults.refused) && !self.write_failed {
            self.edge |= self.is_readable();
            return Ok(Received::Nothing);
        }
        self.arrive_just_then();
        if self.arrived.is_empty() {
            if self.reset {
                trace::note(Entry::ReadFailed(self.who));
                return Err(ErrorKind::ConnectionReset.into());
            }
            return Ok(if self.closed { Received::End(self.end()) } else { Received::Nothing });
        }
        let mut bytes = self.arrived.len().min(buffer.len());
        if self.random.once_in(self.faults.short_read) {
            bytes = self.random.below(bytes) + 1;
        }
        for (place, byte) in buffer.iter_mut().zip(self.arrived.drain(..bytes)) {
            *place = byte;
        }
        self.read_bytes += bytes as u64;
        if self.peer.is_none() {
            trace::note(Entry::Read(self.who, buffer[..bytes].to_vec()));
        }
        let drained = self.arrived.is_empty() && !self.closed && !self.reset && self.random.below(4) > 0;
        self.arrive_just_then();
        Ok(Received::Bytes { count: bytes, drained })
    }

    fn end(&mut self) -> End {
        let end = match self.kind.end {
            Some(End::Goodbye) if self.said_goodbye => End::Closed,
            end => end.unwrap_or(End::Closed),
        };
        self.said_goodbye = true;
        if self.peer.is_none() {
            trace::note(Entry::ReadEnd(self.who, end));
        }
        end
    }

    fn arrive_just_then(&mut self) {
        if self.random.once_in(self.faults.just_then) {
            let bytes = self.random.below(self.in_flight.len() + 1);
            self.arrive(bytes);
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        assert!(!bytes.is_empty(), "there is something to be sent");
        assert!(self.peer.is_some() || bytes.ends_with(b"\n"), "what is sent ends with a line");
        assert!(!self.shut_down, "written after the sending side was closed");
        assert!(!self.write_failed, "written after writing has failed");
        if self.writing_fails() {
            self.write_failed = true;
            trace::note(Entry::WriteFailed(self.who));
            let kind = if self.reset { ErrorKind::ConnectionReset } else { ErrorKind::BrokenPipe };
            return Err(kind.into());
        }
        if self.random.once_in(self.faults.zero_write) {
            // Whoever cannot be written to has gone.
            (self.write_failed, self.deaf, self.closing) = (true, true, true);
            self.arrive(usize::MAX);
            trace::note(Entry::WriteFailed(self.who));
            return Err(ErrorKind::WriteZero.into());
        }
        self.send_held();
        let room = self.capacity - self.unread;
        if room == 0 || self.held > 0 || self.random.once_in(self.faults.refused) {
            return Ok(self.block());
        }
        let mut length = bytes.len().min(room);
        if self.random.once_in(self.faults.short_write) {
            length = self.random.below(length) + 1;
        }
        self.unread += length;
        let mut taken = length;
        if self.kind.takes_more {
            taken += self.random.below(bytes.len() - length + 1);
        }
        if self.kind.whole_lines {
            let line_end = bytes[taken - 1..].iter().position(|&byte| byte == b'\n');
            taken += line_end.expect("what is sent ends with a line");
        }
        self.held = taken - length;
        match &mut self.peer {
            Some(peer) => peer.wire.extend(&bytes[..taken]),
            None => trace::note(Entry::Wrote(self.who, bytes[..taken].to_vec())),
        }
        Ok(Sent::Bytes(taken))
    }

    fn block(&mut self) -> Sent {
        self.blocked = true;
        trace::note(Entry::Full(self.who));
        Sent::Blocked
    }

    /// What is held goes out as far as there is room.
    fn send_held(&mut self) {
        let sent = self.held.min(self.capacity - self.unread);
        self.held -= sent;
        self.unread += sent;
    }

    fn flush(&mut self) -> io::Result<bool> {
        if self.writing_fails() {
            self.write_failed = true;
            trace::note(Entry::WriteFailed(self.who));
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.send_held();
        if self.held > 0 {
            self.block();
        }
        Ok(self.held == 0)
    }

    fn finish(&mut self) -> io::Result<bool> {
        assert!(!self.shut_down, "closed twice");
        if self.reset {
            trace::note(Entry::ShutDownFailed(self.who));
            return Err(ErrorKind::NotConnected.into());
        }
        self.send_held();
        if self.held > 0 || (self.kind.takes_more && self.unread == self.capacity) {
            // There is no room for the goodbye.
            self.goodbye_waits = true;
            self.block();
            return Ok(false);
        }
        self.goodbye_waits = false;
        self.shut_down = true;
        Ok(true)
    }
}

/// What the hub has of it.
pub struct MadeUpStream(Rc<RefCell<Socket>>);

impl MadeUpStream {
    pub fn new(socket: &Rc<RefCell<Socket>>) -> MadeUpStream {
        MadeUpStream(socket.clone())
    }

    fn socket(&self) -> RefMut<'_, Socket> {
        self.0.borrow_mut()
    }
}

impl Transport for MadeUpStream {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        self.socket().receive(buffer)
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        self.socket().send(bytes)
    }

    fn held(&self) -> usize {
        self.socket().held
    }

    fn flush(&mut self) -> io::Result<bool> {
        self.socket().flush()
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        self.socket().finish()
    }

    fn set_stalled(&mut self, stalled: bool) {
        let mut socket = self.socket();
        assert_ne!(socket.stalled, stalled, "a system call for nothing");
        socket.stalled = stalled;
    }
}

impl Drop for MadeUpStream {
    fn drop(&mut self) {
        trace::note(Entry::Closed(self.socket().who));
    }
}
impl std::fmt::Debug for MadeUpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "peer {}", self.socket().who)
    }
}

/// What the hub has of a client of either kind.
#[derive(Debug)]
pub enum Stream {
    Lines(MadeUpStream),
    #[cfg(feature = "web")]
    Web(Box<WebStream>),
}

impl Stream {
    #[cfg(feature = "web")]
    pub fn new(who: Who, socket: &Rc<RefCell<Socket>>, memory: &Memory) -> Stream {
        if socket.borrow().peer.is_some() {
            return Stream::Web(Box::new(WebStream::new(who, socket, memory)));
        }
        Stream::Lines(MadeUpStream::new(socket))
    }

    #[cfg(not(feature = "web"))]
    pub fn new(_who: Who, socket: &Rc<RefCell<Socket>>, _memory: &Memory) -> Stream {
        Stream::Lines(MadeUpStream::new(socket))
    }
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Lines($inner) => $call,
            #[cfg(feature = "web")]
            Stream::Web($inner) => $call,
        }
    };
}

impl Transport for Stream {
    fn ready(&mut self, event: Event) {
        either!(self, inner => inner.ready(event));
    }
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        either!(self, inner => inner.receive(buffer))
    }
    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent> {
        either!(self, inner => inner.send(bytes, scratch))
    }
    fn held(&self) -> usize {
        either!(self, inner => inner.held())
    }
    fn input_bytes(&self) -> usize {
        either!(self, inner => inner.input_bytes())
    }
    fn flush(&mut self) -> io::Result<bool> {
        either!(self, inner => inner.flush())
    }
    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool> {
        either!(self, inner => inner.finish(reason))
    }
    fn set_stalled(&mut self, stalled: bool) {
        either!(self, inner => inner.set_stalled(stalled));
    }
    fn can_ping(&self) -> bool {
        either!(self, inner => inner.can_ping())
    }
    fn speaks_lines(&self) -> bool {
        either!(self, inner => inner.speaks_lines())
    }
    fn ping(&mut self) {
        either!(self, inner => inner.ping());
    }
}
