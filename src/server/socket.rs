//! A client's socket, TCP or Unix, as the hub wants it. Knows nothing of lines.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};

use crate::connection::Stream;

/// A client whose output waits is given this many times as long to take something.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STALLED_FACTOR: u64 = 10;

/// A connected stream that does not block.
#[derive(Debug)]
pub enum Socket {
    /// From a TCP listener.
    Tcp {
        /// The socket.
        stream: TcpStream,
        /// How long sent data may stay unacknowledged while the peer reads, in seconds; 0 leaves it to the system.
        user_timeout_s: u32,
    },
    /// From a Unix listener.
    Unix(UnixStream),
}

impl Socket {
    /// What the poll registers.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp { stream, .. } => stream,
            Socket::Unix(stream) => stream,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp { stream, .. } => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp { stream, .. } => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp { stream, .. } => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Linux applies TCP_USER_TIMEOUT to a peer that acknowledges but has no room, too, and there is no portable way to
    /// ask which of the two it is. A client may take its time to read, so it gets ten times as long while its output
    /// waits here; for ever would be too long, for then one that has vanished with its output waiting would keep its
    /// nickname. Who is so little behind that the kernel holds it all is not known here, and has the usual time.
    fn set_stalled(&mut self, stalled: bool) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Socket::Tcp { stream, user_timeout_s: seconds @ 1.. } = self {
            let factor = if stalled { STALLED_FACTOR } else { 1 };
            let timeout = std::time::Duration::from_secs(u64::from(*seconds) * factor);
            // A socket that refuses is about to break anyway.
            let _ = socket2::SockRef::from(&*stream).set_tcp_user_timeout(Some(timeout));
        }
    }

    fn peer(&self) -> String {
        match self {
            Socket::Tcp { stream, .. } => {
                stream.peer_addr().map_or_else(|_| "an address unknown".into(), |a| a.to_string())
            }
            Socket::Unix(_) => "a Unix socket".into(),
        }
    }
}
