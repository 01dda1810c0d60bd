//! The transports of the server: TCP and Unix sockets, and what is around them in other builds. They know nothing of
//! lines.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use socket2::SockRef;

use crate::protocol::DisconnectReason;
#[cfg(feature = "tls")]
use crate::tls::Tls;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::transport::STALLED_FACTOR;
use crate::transport::{Event, Received, Sent, Transport, receive_from, send_to};
#[cfg(feature = "web")]
use crate::web::socket::WebSocket;

/// The peer of a connection that has been closed has so long to take what the kernel still holds for it, and up to as long
/// again: Linux counts from the moment that the peer has no room, also if it takes some now and then. At 2 KB/s that is
/// enough for a full send buffer.
#[cfg(any(target_os = "linux", target_os = "android"))]
const KEPT_AFTER_CLOSE: Duration = Duration::from_secs(20);

/// A connected stream that does not block.
#[derive(Debug)]
pub enum Socket {
    /// From a TCP listener.
    Tcp(Tcp),
    /// From a Unix listener.
    Unix(Unix),
    /// From an HTTP listener, after the handshake.
    #[cfg(feature = "web")]
    Web(Box<WebSocket<Socket>>),
    /// From a TLS listener.
    #[cfg(feature = "tls")]
    Tls(Box<Tls<Socket>>),
}

/// A connection over a Unix socket.
#[derive(Debug)]
pub struct Unix {
    stream: UnixStream,
    unread: Unread,
}

/// A TCP connection.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    unread: Unread,
    /// How long sent data may stay unacknowledged while the peer reads, in seconds; 0 leaves it to the system. It has 16
    /// bits so that a connection fits into 16 bytes.
    user_timeout_s: u16,
    /// A read that is shorter than its buffer has emptied the socket, and asking once more would cost a system call
    /// for each event. That is not so where urgent data has come, at which a read stops, nor where the end is near.
    short_reads_drain: bool,
    /// Output waits that the kernel does not take.
    stalled: bool,
}

impl Tcp {
    /// A connection that has been accepted.
    pub fn new(stream: TcpStream, user_timeout_s: u16) -> Self {
        // Elsewhere nobody tells of urgent data.
        let short_reads_drain = cfg!(any(target_os = "linux", target_os = "android"));
        Tcp { stream, unread: Unread::default(), user_timeout_s, short_reads_drain, stalled: false }
    }

    /// The stream, to look at its options.
    #[cfg(test)]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// What a closed connection has not sent, the kernel keeps for as long as TCP_USER_TIMEOUT says, or a quarter of an hour.
/// It is nobody's then: not a client's, nor in `--max-memory`.
impl Drop for Tcp {
    fn drop(&mut self) {
        let socket = SockRef::from(&self.stream);
        // A socket that refuses is broken, and its output is gone.
        if self.stalled {
            // The peer has had its time. It does not get the rest anyway, so it is reset, and the kernel keeps nothing.
            let _ = socket.set_linger(Some(Duration::ZERO));
        } else {
            // All is said, and under way.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let _ = socket.set_tcp_user_timeout(Some(KEPT_AFTER_CLOSE));
        }
    }
}

impl Unix {
    /// A connection that has been accepted.
    pub fn new(stream: UnixStream) -> Self {
        Unix { stream, unread: Unread::default() }
    }
}

impl Socket {
    /// What the poll registers.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(tcp) => &mut tcp.stream,
            Socket::Unix(unix) => &mut unix.stream,
            #[cfg(feature = "web")]
            Socket::Web(web) => web.inner_mut().source(),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.inner_mut().source(),
        }
    }

    /// Takes back bytes that were read from it and belong to whoever reads next. No event will tell of them.
    pub fn put_back(&mut self, bytes: &[u8]) {
        match self {
            Socket::Tcp(tcp) => tcp.unread.put(bytes),
            Socket::Unix(unix) => unix.unread.put(bytes),
            #[cfg(feature = "web")]
            Socket::Web(web) => web.inner_mut().put_back(bytes),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.inner_mut().put_back(bytes),
        }
    }

    /// The connection without the TLS that is around it.
    pub fn plain_mut(&mut self) -> &mut Socket {
        match self {
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.inner_mut(),
            plain => plain,
        }
    }
}

/// What was read from a socket and put back: what came behind a PROXY header, in the same read. Nearly nobody has that,
/// and then it is a null pointer.
#[derive(Debug, Default)]
#[allow(clippy::box_collection)]
struct Unread(Option<Box<Vec<u8>>>);

impl Unread {
    /// In front of what is there.
    fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let rest = self.0.take().unwrap_or_default();
            self.0 = Some(Box::new([bytes, &rest].concat()));
        }
    }

    /// Moves what fits into `buffer`. Nothing if there is nothing.
    fn take(&mut self, buffer: &mut [u8]) -> Option<Received> {
        let mut unread = self.0.take()?;
        let count = unread.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(unread.drain(..count)) {
            *place = byte;
        }
        self.0 = Some(unread).filter(|unread| !unread.is_empty());
        // The event that told of these may have told of more.
        Some(Received::Bytes { count, drained: false })
    }
}

impl Transport for Socket {
    fn ready(&mut self, event: Event) {
        match self {
            Socket::Tcp(tcp) => tcp.short_reads_drain &= !event.urgent && !event.hung_up,
            Socket::Unix(_) => {}
            #[cfg(feature = "web")]
            Socket::Web(web) => web.ready(event),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.ready(event),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match self {
            Socket::Tcp(Tcp { stream, unread, short_reads_drain, .. }) => match unread.take(buffer) {
                Some(received) => Ok(received),
                None => receive_from(stream, buffer, *short_reads_drain),
            },
            Socket::Unix(Unix { stream, unread }) => match unread.take(buffer) {
                Some(received) => Ok(received),
                // A read of a Unix socket stops where a descriptor was sent along.
                None => receive_from(stream, buffer, false),
            },
            #[cfg(feature = "web")]
            Socket::Web(web) => web.receive(buffer),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.receive(buffer),
        }
    }

    #[cfg_attr(not(any(feature = "web", feature = "tls")), allow(unused_variables))]
    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent> {
        match self {
            Socket::Tcp(tcp) => send_to(&mut tcp.stream, bytes),
            Socket::Unix(unix) => send_to(&mut unix.stream, bytes),
            #[cfg(feature = "web")]
            Socket::Web(web) => web.send(bytes, scratch),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.send(bytes, scratch),
        }
    }

    fn held(&self) -> usize {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => 0,
            #[cfg(feature = "web")]
            Socket::Web(web) => web.held(),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.held(),
        }
    }

    fn input_bytes(&self) -> usize {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => 0,
            #[cfg(feature = "web")]
            Socket::Web(web) => web.input_bytes(),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.input_bytes(),
        }
    }

    fn give_up_input(&mut self) {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => {}
            #[cfg(feature = "web")]
            Socket::Web(web) => web.give_up_input(),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.give_up_input(),
        }
    }

    fn receive_ns(&self) -> u64 {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => 0,
            #[cfg(feature = "web")]
            Socket::Web(web) => web.receive_ns(),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.receive_ns(),
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => Ok(true),
            #[cfg(feature = "web")]
            Socket::Web(web) => web.flush(),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.flush(),
        }
    }

    #[cfg_attr(not(any(feature = "web", feature = "tls")), allow(unused_variables))]
    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool> {
        match self {
            Socket::Tcp(tcp) => tcp.stream.shutdown(Shutdown::Write)?,
            Socket::Unix(unix) => unix.stream.shutdown(Shutdown::Write)?,
            #[cfg(feature = "web")]
            Socket::Web(web) => return web.finish(reason),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => return tls.finish(reason),
        }
        Ok(true)
    }

    /// Linux applies TCP_USER_TIMEOUT to a peer that acknowledges but has no room, too, and there is no portable way to
    /// ask which of the two it is. A client may take its time to read, so it gets ten times as long while its output
    /// waits here; for ever would be too long, for then one that has vanished with its output waiting would keep its
    /// nickname. Who is so little behind that the kernel holds it all is not known here, and has the usual time.
    fn set_stalled(&mut self, stalled: bool) {
        match self {
            Socket::Tcp(tcp) => {
                tcp.stalled = stalled;
                #[cfg(any(target_os = "linux", target_os = "android"))]
                if tcp.user_timeout_s > 0 {
                    let timeout = Duration::from_secs(tcp.user_timeout_s.into());
                    let timeout = if stalled { timeout * STALLED_FACTOR } else { timeout };
                    // A socket that refuses is about to break anyway.
                    let _ = SockRef::from(&tcp.stream).set_tcp_user_timeout(Some(timeout));
                }
            }
            Socket::Unix(_) => {}
            #[cfg(feature = "web")]
            Socket::Web(web) => web.set_stalled(stalled),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.set_stalled(stalled),
        }
    }

    #[cfg(feature = "web")]
    fn can_ping(&self) -> bool {
        matches!(self, Socket::Web(_))
    }

    #[cfg(feature = "web")]
    fn ping(&mut self) {
        if let Socket::Web(web) = self {
            web.ping();
        }
    }

    #[cfg(feature = "web")]
    fn speaks_lines(&self) -> bool {
        !matches!(self, Socket::Web(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_back_comes_first_and_once() {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let mut socket = Socket::Unix(Unix::new(stream));
        io::Write::write_all(&mut peer, b"later").unwrap();
        socket.put_back(b"second");
        socket.put_back(b"");
        socket.put_back(b"first ");
        let (mut all, mut buffer) = (Vec::new(), [0; 4]);
        while let Received::Bytes { count, drained } = socket.receive(&mut buffer).unwrap() {
            assert!(!drained);
            all.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(all, b"first secondlater");
    }
}
