//! The contract between the hub and a socket. Knows nothing of JSON, rooms or other clients.
//!
//! The hub never concludes from byte counts what only a socket can know. A [`Transport`] says it: whether there may be
//! more input now, whether it still holds output that it has taken, and how its side of the connection is ended. The
//! same contract serves TCP, Unix sockets, and whatever encrypts or frames the lines. The made-up transports of the
//! tests use every freedom that it leaves.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use crate::protocol::DisconnectReason;

/// A client whose output waits is given this many times as long to answer, or to take something.
pub const STALLED_FACTOR: u32 = 10;

/// What a socket has become ready for, as an edge-triggered poll tells it: once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// There may be input.
    pub readable: bool,
    /// There may be room for output.
    pub writable: bool,
    /// The peer has closed its side, or the connection is broken: the input is to be read to its end.
    pub hung_up: bool,
    /// TCP urgent data has come: a read stops before it, although there may be more behind it.
    pub urgent: bool,
}

/// What [`Transport::receive`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes are in the buffer. It can be none: something has come that is not for the hub.
    Bytes {
        /// How many.
        count: usize,
        /// There is nothing more now. An event will tell when there is.
        drained: bool,
    },
    /// Nothing has come. An event will tell when something has.
    Nothing,
    /// There is no more input, and there will be none.
    End(End),
}

/// How the input of a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer has closed its sending side.
    Closed,
    /// The peer has said that it is done, as TLS does with close_notify. Bytes may still come, which mean nothing.
    Goodbye,
    /// The peer has closed its sending side where it should have said first that it is done. An unfinished last line
    /// does not count.
    Truncated,
    /// As [`End::Goodbye`], but what has come of an unfinished last message does not count. Each end of a WebSocket is
    /// of this kind: a Close frame, or a peer that has broken the rules.
    Broken,
}

/// What [`Transport::send`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were taken, at least one.
    Bytes(usize),
    /// None can be taken now. An event will tell when there is room.
    Blocked,
}

/// A connected socket that does not block, with whatever stands between it and the lines.
///
/// An error of any method means that this direction of the connection is broken for good.
pub trait Transport {
    /// Hears of an event before the hub acts on it.
    fn ready(&mut self, _event: Event) {}

    /// Reads into `buffer`, which is not empty. Afterwards the transport may hold output of its own (an answer to a
    /// ping): see [`Transport::held`].
    ///
    /// # Errors
    /// The connection is broken.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Takes some of `bytes`, which end with a line's end, and begin at the start of a line or where the last call
    /// stopped. What is held goes out first. `scratch` may be used to put things together in.
    ///
    /// # Errors
    /// Nothing can be sent any more. What the peer has sent can still be received.
    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent>;

    /// Bytes that were taken, or are the transport's own, and have not gone out. They count as memory, and a connection
    /// is not done while there are any.
    fn held(&self) -> usize {
        0
    }

    /// Bytes allocated for input that waits in the transport. It counts them in the hub's
    /// [`Memory`](crate::batch::Memory) itself; here it tells for whom they are.
    fn input_bytes(&self) -> usize {
        0
    }

    /// How much work the last [`Transport::receive`] was beside the call of `read`, in nanoseconds as the
    /// [budget](crate::budget) counts them. Where a peer decides how much that is, it must not be free.
    fn receive_ns(&self) -> u64 {
        0
    }

    /// The input means nothing from here on: what waits of it in the transport is thrown away, and what still comes is
    /// only read so that the end is found.
    fn give_up_input(&mut self) {}

    /// Sends what is held. Whether nothing is held any more; if not, an event will tell when there is room.
    ///
    /// # Errors
    /// As [`Transport::send`].
    fn flush(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    /// Says goodbye as the transport does it, behind all that was taken, and closes the sending side. `None` is for a
    /// peer that has ended the connection itself. Whether that is done; if not, an event will tell when to call it
    /// again. Nothing is sent after it.
    ///
    /// # Errors
    /// As [`Transport::send`].
    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool>;

    /// The peer has stopped reading, or reads again. If it is alive it should be given more time to acknowledge. One that
    /// is closed while it does not read is not to leave its output behind in the kernel.
    fn set_stalled(&mut self, _stalled: bool) {}

    /// Whether this transport can ask its peer for a sign of life, and has to be told when.
    fn can_ping(&self) -> bool {
        false
    }

    /// Whether other protocols can be mistaken for lines here, and are to be looked for at the beginning.
    fn speaks_lines(&self) -> bool {
        true
    }

    /// Asks the peer for a sign of life. It is held until it can go out.
    fn ping(&mut self) {}
}

/// Who is on the other side. Smaller than a `SocketAddr`: every connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The address that a TCP connection comes from, or that a proxy has told. IPv4 that is written as IPv6 is IPv4.
    Tcp {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// A Unix socket: somebody on this machine.
    Unix,
}

impl Peer {
    /// The address without its port.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp { ip, .. } => Some(*ip),
            Peer::Unix => None,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Peer::Tcp { ip: address.ip().to_canonical(), port: address.port() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Peer::Tcp { ip, port } => SocketAddr::new(ip, port).fmt(f),
            Peer::Unix => f.write_str("a Unix socket"),
        }
    }
}

/// Reads once from a byte stream, for a [`Transport`] over it. `short_reads_drain`: there is nothing more
/// where fewer bytes came than there was room for.
///
/// # Errors
/// The stream's, but for `WouldBlock` and `Interrupted`.
pub fn receive_from(
    stream: &mut impl Read,
    buffer: &mut [u8],
    short_reads_drain: bool,
) -> io::Result<Received> {
    loop {
        return match stream.read(buffer) {
            Ok(0) => Ok(Received::End(End::Closed)),
            Ok(count) => {
                let drained = short_reads_drain && count < buffer.len();
                Ok(Received::Bytes { count, drained })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

/// Writes once to a byte stream, for a [`Transport`] over it. Only `WouldBlock` says that an event will come.
///
/// # Errors
/// As [`receive_from`]. A write of zero bytes is an error too.
pub fn send_to(stream: &mut impl Write, bytes: &[u8]) -> io::Result<Sent> {
    loop {
        return match stream.write(bytes) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(count) => Ok(Sent::Bytes(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Sent::Blocked),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}
