//! The transports of a plain build: TCP and Unix sockets. They know nothing of lines.

use std::io;
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};

use crate::protocol::DisconnectReason;
use crate::transport::{Event, Received, Sent, Transport, receive_from, send_to};
#[cfg(feature = "web")]
use crate::web::socket::WebSocket;

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
    /// From an HTTP listener, after the handshake.
    #[cfg(feature = "web")]
    Web(Box<WebSocket<Socket>>),
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
            #[cfg(feature = "web")]
            Socket::Web(socket) => socket.inner_mut().source(),
        }
    }
}

impl Transport for Socket {
    fn ready(&mut self, event: Event) {
        match self {
            Socket::Tcp(tcp) => tcp.short_reads_drain &= !event.urgent && !event.hung_up,
            Socket::Unix(_) => {}
            #[cfg(feature = "web")]
            Socket::Web(socket) => socket.ready(event),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match self {
            Socket::Tcp(tcp) => receive_from(&mut tcp.stream, buffer, tcp.short_reads_drain),
            // A read of a Unix socket stops where a descriptor was sent along.
            Socket::Unix(stream) => receive_from(stream, buffer, false),
            #[cfg(feature = "web")]
            Socket::Web(socket) => socket.receive(buffer),
        }
    }

    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent> {
        #[cfg(not(feature = "web"))]
        let _ = scratch;
        match self {
            Socket::Tcp(tcp) => send_to(&mut tcp.stream, bytes),
            Socket::Unix(stream) => send_to(stream, bytes),
            #[cfg(feature = "web")]
            Socket::Web(socket) => socket.send(bytes, scratch),
        }
    }

    #[cfg(feature = "web")]
    fn held(&self) -> usize {
        if let Socket::Web(socket) = self { socket.held() } else { 0 }
    }

    #[cfg(feature = "web")]
    fn flush(&mut self) -> io::Result<bool> {
        if let Socket::Web(socket) = self { socket.flush() } else { Ok(true) }
    }

    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool> {
        #[cfg(not(feature = "web"))]
        let _ = reason;
        match self {
            Socket::Tcp(tcp) => tcp.stream.shutdown(Shutdown::Write)?,
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write)?,
            #[cfg(feature = "web")]
            Socket::Web(socket) => return socket.finish(reason),
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
        #[cfg(feature = "web")]
        if let Socket::Web(socket) = self {
            socket.set_stalled(stalled);
        }
    }

    #[cfg(feature = "web")]
    fn can_ping(&self) -> bool {
        matches!(self, Socket::Web(_))
    }

    #[cfg(feature = "web")]
    fn ping(&mut self) {
        if let Socket::Web(socket) = self {
            socket.ping();
        }
    }

    #[cfg(feature = "web")]
    fn speaks_lines(&self) -> bool {
        !matches!(self, Socket::Web(_))
    }
}
