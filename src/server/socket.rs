//! The transports of a plain build: TCP and Unix sockets. They know nothing of lines.

use std::io;
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};

use crate::protocol::DisconnectReason;
use crate::transport::{Event, Received, Sent, Transport, receive_from, send_to};

/// A client whose output waits is given this many times as long to take something.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STALLED_FACTOR: u64 = 10;

/// A connected stream that does not block.
#[derive(Debug)]
pub enum Socket {
    /// From a TCP listener.
    Tcp(Tcp),
    /// From a Unix listener.
    Unix(UnixStream),
}

/// A TCP connection.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    /// How long sent data may stay unacknowledged while the peer reads, in seconds; 0 leaves it to the system.
    user_timeout_s: u32,
    /// A read that is shorter than its buffer has emptied the socket, and asking once more would cost a system call
    /// for each event. That is not so where urgent data has come, at which a read stops, nor where the end is near.
    short_reads_drain: bool,
}

impl Tcp {
    /// A connection that has been accepted.
    pub fn new(stream: TcpStream, user_timeout_s: u32) -> Self {
        // Elsewhere nobody tells of urgent data.
        let short_reads_drain = cfg!(any(target_os = "linux", target_os = "android"));
        Tcp { stream, user_timeout_s, short_reads_drain }
    }

    /// The stream, to look at its options.
    #[cfg(test)]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Socket {
    /// What the poll registers.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(tcp) => &mut tcp.stream,
            Socket::Unix(stream) => stream,
        }
    }
}

impl Transport for Socket {
    fn ready(&mut self, event: Event) {
        if let Socket::Tcp(tcp) = self {
            tcp.short_reads_drain &= !event.urgent && !event.hung_up;
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match self {
            Socket::Tcp(tcp) => receive_from(&mut tcp.stream, buffer, tcp.short_reads_drain),
            // A read of a Unix socket stops where a descriptor was sent along.
            Socket::Unix(stream) => receive_from(stream, buffer, false),
        }
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        match self {
            Socket::Tcp(tcp) => send_to(&mut tcp.stream, bytes),
            Socket::Unix(stream) => send_to(stream, bytes),
        }
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        match self {
            Socket::Tcp(tcp) => tcp.stream.shutdown(Shutdown::Write)?,
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write)?,
        }
        Ok(true)
    }

    /// Linux applies TCP_USER_TIMEOUT to a peer that acknowledges but has no room, too, and there is no portable way to
    /// ask which of the two it is. A client may take its time to read, so it gets ten times as long while its output
    /// waits here; for ever would be too long, for then one that has vanished with its output waiting would keep its
    /// nickname. Who is so little behind that the kernel holds it all is not known here, and has the usual time.
    fn set_stalled(&mut self, stalled: bool) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Socket::Tcp(Tcp { stream, user_timeout_s: seconds @ 1.., .. }) = self {
            let factor = if stalled { STALLED_FACTOR } else { 1 };
            let timeout = std::time::Duration::from_secs(u64::from(*seconds) * factor);
            // A socket that refuses is about to break anyway.
            let _ = socket2::SockRef::from(&*stream).set_tcp_user_timeout(Some(timeout));
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = stalled;
    }
}
