//! One connection, of whatever kind: TCP, a Unix socket, or TLS. Nothing here waits.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use mio::event;
use mio::net::{TcpStream, UnixStream};
use socket2::{SockRef, TcpKeepalive};

#[cfg(feature = "tls")]
use crate::tls;

/// After so long without a word, the system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A socket that is connected, or about to be.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<tls::TlsStream>),
}

impl Stream {
    /// What is registered with a poll.
    pub fn source(&mut self) -> &mut dyn event::Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.socket_mut(),
        }
    }

    #[cfg(feature = "tls")]
    fn shake_hands(&mut self) -> io::Result<bool> {
        match self {
            Stream::Tls(stream) => stream.shake_hands(),
            _ => Ok(true),
        }
    }

    /// Whether it has taken bytes that the socket has not; [`Write::flush`] goes on with them.
    pub fn holds_output(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.holds_output(),
        }
    }

    /// Tells the server that this is the end, where there is a word for it.
    pub fn say_goodbye(&mut self) {
        #[cfg(feature = "tls")]
        if let Stream::Tls(stream) = self {
            stream.say_goodbye();
        }
    }

    /// Whether the connection stands; an error if it never will.
    pub fn go_on_connecting(&mut self) -> io::Result<bool> {
        let (error, peer) = match self {
            Stream::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Stream::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => (stream.socket().take_error()?, stream.socket().peer_addr().map(drop)),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            #[cfg(feature = "tls")]
            (None, Ok(())) if matches!(self, Stream::Tls(_)) => self.shake_hands(),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// Sets what is good to have. A system that refuses it does not matter.
    pub fn prepare(&self) {
        let stream = match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(_) => return,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.socket(),
        };
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
        let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => Ok(()),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
