//! One client: a stream, its unfinished input, its outbox. Knows nothing of rooms, nor of other clients.
//!
//! An idle client owns no buffer. What it takes is this one small entry; the buffers are made when something is left
//! over, and given back when it is done.

use std::io::{self, Read, Write};

use crate::lines::Lines;
use crate::outbox::{Memory, Outbox, Written};
use crate::timers::Timer;

/// What the hub needs of a socket, beside reading and writing without blocking.
pub trait Stream: Read + Write {
    /// Closes the sending side: the peer reads what is under way, then the end.
    ///
    /// # Errors
    /// The socket's. The connection is closed then.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// The peer has stopped reading, or reads again. If it is alive it should be given more time to acknowledge.
    fn set_stalled(&mut self, stalled: bool);

    /// Who is on the other side, for the log.
    fn peer(&self) -> String;
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A client.
    Active,
    /// The client has closed its sending side and has left; what waits for it goes out, then the connection is closed.
    Finishing,
    /// The server has ended it: its last words go out, what it still sends is discarded, until it closes its side.
    Lingering,
    /// Closed. The entry goes at the end of the turn, so that no event of this turn can meet another client in it.
    Closed,
}

/// A connection of the hub.
#[derive(Debug)]
pub struct Connection<S> {
    /// The socket.
    pub stream: S,
    buffers: Option<Box<Buffers>>,
    /// The time-out that applies, if one does.
    pub timer: Timer,
    /// For `--rate`: up to when the client has used up its share, in nanoseconds of the hub's clock.
    pub paid_until_ns: u64,
    /// Where in its life.
    pub phase: Phase,
    /// The kernel may have input: an event came, and no read since has emptied the socket.
    pub readable: bool,
    /// An event said that the input has an end: a short read does not mean that the socket is empty.
    pub hung_up: bool,
    /// The end of the input has been read.
    pub ended: bool,
    /// It is on the list of those to be read from.
    pub queued: bool,
    /// `--rate` has stopped the reading for a while.
    pub throttled: bool,
    /// Writing has failed: nobody gets what is written, but what the client has sent is still carried out.
    pub mute: bool,
    /// `Stream::set_stalled` has been told.
    stalled: bool,
    /// Input thrown away since it stopped being a client.
    pub discarded_bytes: u32,
}

/// What a connection has when something is left over.
#[derive(Debug, Default)]
struct Buffers {
    lines: Lines,
    outbox: Outbox,
    /// What [`Memory`] knows of these buffers, the outbox's chunks aside.
    counted_bytes: usize,
}

impl<S: Stream> Connection<S> {
    /// A client that has just come.
    pub fn new(stream: S) -> Self {
        Connection {
            stream,
            buffers: None,
            timer: Timer::default(),
            paid_until_ns: 0,
            phase: Phase::Active,
            readable: false,
            hung_up: false,
            ended: false,
            queued: false,
            throttled: false,
            mute: false,
            stalled: false,
            discarded_bytes: 0,
        }
    }

    /// The outbox, if something waits.
    pub fn outbox(&self) -> Option<&Outbox> {
        self.buffers.as_ref().map(|buffers| &buffers.outbox).filter(|outbox| !outbox.is_empty())
    }

    /// The outbox, made if need be. [`Connection::account`] must follow.
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.buffers.get_or_insert_default().outbox
    }

    /// The held input, taken out so that it can be walked while the hub works. [`Connection::put_lines`] must follow.
    pub fn take_lines(&mut self) -> Lines {
        self.buffers.as_mut().map(|buffers| std::mem::take(&mut buffers.lines)).unwrap_or_default()
    }

    /// Puts the held input back.
    pub fn put_lines(&mut self, mut lines: Lines, memory: &mut Memory) {
        if !lines.is_idle() {
            lines.trim();
            self.buffers.get_or_insert_default().lines = lines;
        }
        self.account(memory);
    }

    /// Whether lines are held that can be carried out without reading.
    pub fn has_lines(&self) -> bool {
        self.buffers.as_ref().is_some_and(|buffers| buffers.lines.has_unsearched())
    }

    /// Bytes that wait in both directions.
    pub fn waiting_bytes(&self) -> usize {
        self.input_bytes() + self.output_bytes()
    }

    /// Bytes that wait to be written.
    pub fn output_bytes(&self) -> usize {
        self.outbox().map_or(0, Outbox::len)
    }

    /// Writes what waits. The calls that it took and their bytes.
    ///
    /// # Errors
    /// As [`Outbox::write_to`]; nothing waits any more then.
    pub fn pump(&mut self, scratch: &mut Vec<u8>, memory: &mut Memory) -> io::Result<Written> {
        let Some(buffers) = &mut self.buffers else {
            return Ok(Written { bytes: 0, calls: 0 });
        };
        let result = buffers.outbox.write_to(&mut self.stream, scratch, memory);
        if result.is_err() {
            buffers.outbox.clear(memory);
        }
        self.account(memory);
        result
    }

    /// Drops all that waits.
    pub fn drop_output(&mut self, memory: &mut Memory) {
        if let Some(buffers) = &mut self.buffers {
            buffers.outbox.clear(memory);
        }
        self.account(memory);
    }

    /// Drops what waits, but for the rest of a line that has begun to go out.
    pub fn cut_output(&mut self, memory: &mut Memory) {
        if let Some(buffers) = &mut self.buffers {
            buffers.outbox.cut(memory);
        }
        self.account(memory);
    }

    /// Drops the input that is held.
    pub fn drop_input(&mut self, memory: &mut Memory) {
        if let Some(buffers) = &mut self.buffers {
            buffers.lines.clear();
        }
        self.account(memory);
    }

    /// Gives back the buffers that are empty, and tells what the others take.
    pub fn account(&mut self, memory: &mut Memory) {
        let stalled = self.outbox().is_some();
        if stalled != self.stalled {
            self.stalled = stalled;
            self.stream.set_stalled(stalled);
        }
        let Some(buffers) = &mut self.buffers else { return };
        let counted = if buffers.outbox.is_empty() && buffers.lines.is_idle() {
            0
        } else {
            size_of::<Buffers>() + buffers.lines.allocated_bytes()
        };
        memory.resized(buffers.counted_bytes, counted);
        buffers.counted_bytes = counted;
        if counted == 0 {
            self.buffers = None;
        }
    }

    /// Bytes of input that are held.
    pub fn input_bytes(&self) -> usize {
        self.buffers.as_ref().map_or(0, |buffers| buffers.lines.len())
    }

    /// Bytes allocated for this connection alone: its input and the queue of its output, the chunks aside.
    pub fn counted_bytes(&self) -> usize {
        self.buffers.as_ref().map_or(0, |b| b.counted_bytes + b.outbox.allocated_bytes())
    }
}
