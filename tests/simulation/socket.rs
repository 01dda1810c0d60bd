//! Sockets that are made up. They keep the contract of a kernel under an edge-triggered poll, and use all the freedom that
//! it leaves:
//!
//! - A read gives what has arrived. One that is shorter than the buffer has emptied the socket at that moment; whatever
//!   arrives later, be it a moment later, makes a new event.
//! - A write takes as much as it likes of what there is room for. Only after `WouldBlock` an event comes when there is
//!   room again, and not before there is a good deal of it.
//! - What the peer has sent before it closed has all arrived when writing begins to fail, and can be read then.
//! - Events may come without reason; none is ever missing.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use parlor::connection::Stream;
use parlor::hub::Event;

use crate::common::random::Random;
use crate::trace::{self, Entry, Who};

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
}

impl Faults {
    pub const NONE: Faults = Faults {
        interrupted: usize::MAX,
        short_write: usize::MAX,
        refused: usize::MAX,
        zero_write: usize::MAX,
        just_then: usize::MAX,
    };
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

    /// The peer reads.
    pub fn take(&mut self, bytes: usize) {
        self.unread -= bytes.min(self.unread);
        self.edge |= self.blocked && self.has_room();
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
        Some(Event { readable: hung_up || !self.arrived.is_empty(), writable, hung_up })
    }

    /// Whether a read would find anything: bytes, the end, or an error.
    pub fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.closed || self.reset
    }

    fn writing_fails(&self) -> bool {
        self.reset || (self.deaf && self.closed)
    }

    /// As Linux has it: an event comes when a third is free.
    fn has_room(&self) -> bool {
        self.unread <= self.capacity - self.capacity.div_ceil(3)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "reading into nothing looks like the end of the stream");
        if self.random.once_in(self.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.random.once_in(self.faults.refused) && !self.write_failed {
            self.edge |= self.is_readable();
            return Err(ErrorKind::WouldBlock.into());
        }
        self.arrive_just_then();
        if self.arrived.is_empty() {
            if self.reset {
                trace::note(Entry::ReadFailed(self.who));
                return Err(ErrorKind::ConnectionReset.into());
            }
            if self.closed {
                trace::note(Entry::ReadEnd(self.who));
                return Ok(0);
            }
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = self.arrived.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.arrived.drain(..bytes)) {
            *place = byte;
        }
        trace::note(Entry::Read(self.who, buffer[..bytes].to_vec()));
        self.arrive_just_then();
        Ok(bytes)
    }

    fn arrive_just_then(&mut self) {
        if self.random.once_in(self.faults.just_then) {
            let bytes = self.random.below(self.in_flight.len() + 1);
            self.arrive(bytes);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "a system call for nothing");
        assert!(!self.shut_down, "written after the sending side was closed");
        assert!(!self.write_failed, "written after writing has failed");
        if self.random.once_in(self.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
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
            return Ok(0);
        }
        let room = self.capacity - self.unread;
        if room == 0 || self.random.once_in(self.faults.refused) {
            self.blocked = true;
            trace::note(Entry::Full(self.who));
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut length = bytes.len().min(room);
        if self.random.once_in(self.faults.short_write) {
            length = self.random.below(length) + 1;
        }
        self.unread += length;
        trace::note(Entry::Wrote(self.who, bytes[..length].to_vec()));
        Ok(length)
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

impl Read for MadeUpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket().read(buffer)
    }
}

impl Write for MadeUpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for MadeUpStream {
    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut socket = self.socket();
        if socket.reset {
            trace::note(Entry::ShutDownFailed(socket.who));
            return Err(ErrorKind::NotConnected.into());
        }
        socket.shut_down = true;
        Ok(())
    }

    fn set_stalled(&mut self, stalled: bool) {
        let mut socket = self.socket();
        assert_ne!(socket.stalled, stalled, "a system call for nothing");
        socket.stalled = stalled;
    }

    fn peer(&self) -> String {
        format!("peer {}", self.socket().who)
    }
}

impl Drop for MadeUpStream {
    fn drop(&mut self) {
        trace::note(Entry::Closed(self.socket().who));
    }
}
