//! One client: its transport, its unfinished input, and where in its life it is. Knows nothing of rooms, nor of other
//! clients.
//!
//! An idle client owns no buffer: this one small record is all that it takes beside its entries in the
//! tables. Its state is four enums above all, one for each question: where in its life it is ([`Phase`]),
//! what its socket may still have ([`Source`]), what reading does next ([`Reading`]), and whether it can be
//! written to ([`Writing`]).

use crate::batch::{Counted, Memory};
use crate::deadlines::Moment;
use crate::lines::Lines;
use crate::protocol::{Beginning, DisconnectReason};
use crate::transport::{End, Peer, Transport};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A client.
    Active,
    /// Half-closed, and draining: the client has ended its input and has left; what waits for it goes out,
    /// then the connection is closed.
    Finishing {
        /// When it last took something of that.
        progress_at: Moment,
    },
    /// What it still sends is thrown away, until it closes its side: the server has ended it, or all is said.
    Lingering {
        /// It is closed then at the latest.
        until: Moment,
        /// Why the server has ended it, if it has.
        reason: Option<DisconnectReason>,
    },
    /// Closed. The record goes at the end of the turn, so that no event of this turn can meet another client in it.
    Closed,
}

/// What the socket may still have for us. (Nothing to do with mio's `event::Source`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing, until an event says otherwise.
    Drained,
    /// Something, perhaps: an event came, and nothing since has said that it is drained.
    Unread,
    /// Nothing more, ever.
    Ended(End),
}

/// What reading does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It waits for an event.
    Idle,
    /// The connection is on the list of those to be read from.
    Queued,
    /// It is on that list, and a time-out has come. It is read from once more; if that finds nothing, it is ended.
    LastLook,
    /// `--rate`: it waits for its deadline.
    Throttled,
    /// Back-pressure: it waits until the client has taken more of what it has caused itself.
    HeldBack,
    /// It waits for an answer of the Redis that joins several nodes.
    #[cfg(feature = "cluster")]
    Asking,
}

impl Reading {
    /// Whether the connection is on the list of those to be read from.
    pub fn is_listed(self) -> bool {
        matches!(self, Reading::Queued | Reading::LastLook)
    }
}

/// Whether the client can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Yes, as far as is known.
    Open,
    /// Not before an event says that there is room.
    Blocked,
    /// All is said, and the goodbye waits for room. Nothing may follow it.
    Closing,
    /// All is said, the goodbye too, and the sending side is closed.
    Finished,
    /// Writing has failed. What the client has sent is still carried out.
    Failed,
}

/// A connection of the hub. Times are those of the hub's clock.
#[derive(Debug)]
pub struct Connection<T> {
    /// The socket.
    pub transport: T,
    /// Who is on the other side.
    pub peer: Peer,
    /// Where in its life.
    pub phase: Phase,
    /// What its socket may still have.
    pub source: Source,
    /// What reading does next.
    pub reading: Reading,
    /// Whether it can be written to.
    pub writing: Writing,
    /// Whether the transport was told that its peer does not read.
    stalled: bool,
    /// A ping has been sent since something came last.
    pub pinged: bool,
    /// How far it is known that the connection speaks lines.
    pub beginning: Beginning,
    /// Input that has not been used up.
    pub input: Option<Box<Input>>,
    /// When something for the hub last came: for `--idle-timeout`.
    pub heard_at: Moment,
    /// When anything last came: for pings.
    pub alive_at: Moment,
    /// For `--rate`, a token bucket: up to when the client has used up its share.
    pub paid_until: Moment,
    /// The time of its live entry among the deadlines; [`Moment::NEVER`] if it has none.
    pub entered_for: Moment,
    /// Input thrown away since it stopped being a client.
    pub discarded_bytes: u32,
}

/// What a connection has only while something of its input is left over.
#[derive(Debug)]
pub struct Input {
    /// The lines.
    pub lines: Lines,
    counted: Counted,
}

impl Input {
    /// Nothing is held.
    pub fn new(memory: &Memory) -> Self {
        Input { lines: Lines::default(), counted: Counted::new(memory) }
    }

    /// Gives back what is not used, and tells [`Memory`] what is allocated.
    pub fn settle(&mut self) {
        self.lines.trim();
        let bytes = if self.lines.is_idle() { 0 } else { size_of::<Input>() + self.lines.allocated_bytes() };
        self.counted.set(bytes);
    }

    /// Bytes allocated.
    pub fn allocated_bytes(&self) -> usize {
        self.counted.get()
    }
}

impl<T: Transport> Connection<T> {
    /// A client that has just come.
    pub fn new(transport: T, peer: Peer, now: Moment) -> Self {
        let beginning = if transport.speaks_lines() { Beginning::default() } else { Beginning::over() };
        Connection {
            transport,
            peer,
            phase: Phase::Active,
            source: Source::Drained,
            reading: Reading::Idle,
            writing: Writing::Open,
            stalled: false,
            pinged: false,
            beginning,
            input: None,
            heard_at: now,
            alive_at: now,
            paid_until: Moment::default(),
            entered_for: Moment::NEVER,
            discarded_bytes: 0,
        }
    }

    /// Whether lines are held that can be carried out without reading.
    pub fn has_lines(&self) -> bool {
        self.input.as_ref().is_some_and(|input| input.lines.has_unsearched())
    }

    /// Bytes of input that are held.
    pub fn input_bytes(&self) -> usize {
        self.input.as_ref().map_or(0, |input| input.lines.len())
    }

    /// Whether it counts as a client.
    pub fn is_client(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::Finishing { .. })
    }

    /// Tells the transport whether its peer reads, if that has changed.
    pub fn tell_stalled(&mut self, stalled: bool) {
        if std::mem::replace(&mut self.stalled, stalled) != stalled {
            self.transport.set_stalled(stalled);
        }
    }
}
