//! Listening sockets: bound, accepted from, and gone at the end with their files. How an address is bound stands in
//! `listener/tcp.rs` and `listener/unix.rs`. Knows nothing of what is spoken, but hands on what was asked for.

mod tcp;
mod unix;

use std::io;
use std::path::Path;

use mio::Token;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};

use super::socket::{self, Socket, Tcp};
use crate::options::{Listen, Options, Place, Spoken};
use crate::transport::Peer;
use unix::SocketFile;

/// Connections that may wait to be accepted; the system may allow fewer. mio's own choice is too few for a storm.
const BACKLOG: i32 = 4096;

/// A listening socket. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens: in numbers, with the port that was really bound.
    pub address: Listen,
    kind: Kind,
    /// Under which the poll tells of it.
    pub token: Token,
    /// An edge-triggered poll says once that somebody waits: this is remembered until nobody does.
    pub ready: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp {
        listener: TcpListener,
        user_timeout_s: u16,
    },
    /// The file goes first: one whose listener has gone could be taken over, and then removed under its new owner.
    Unix {
        _file: SocketFile,
        listener: UnixListener,
    },
}

impl Listener {
    /// Binds all that `listen` stands for, and listens: a name may have several addresses, which get one port.
    ///
    /// # Errors
    /// A name that cannot be resolved, an address that cannot be bound. The error says which, and why.
    pub fn bind(listen: &Listen, options: &Options) -> io::Result<Vec<Listener>> {
        let bound = match listen.place() {
            Place::Tcp(address) => bind_tcp(address, listen, options),
            Place::Unix(path) => bind_unix(path, listen, options),
        };
        bound.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))
    }

    fn new(address: Listen, kind: Kind) -> Listener {
        Listener { address, kind, token: Token(usize::MAX), ready: false }
    }

    /// Whether it serves until the server has ended: then somebody may still ask how it is.
    pub fn answers_to_the_end(&self) -> bool {
        matches!(self.address.spoken(), Spoken::Http | Spoken::Https | Spoken::Metrics)
    }

    /// What the poll registers.
    pub fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp { listener, .. } => listener,
            Kind::Unix { listener, .. } => listener,
        }
    }

    /// The next connection, and where it comes from.
    ///
    /// # Errors
    /// `WouldBlock` when nobody waits; others as the system says.
    pub fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.kind {
            Kind::Tcp { listener, user_timeout_s } => {
                let (stream, from) = listener.accept()?;
                // Elsewhere than on Linux, what was set for the listener need not hold for what it accepts.
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                let _ = stream.set_nodelay(true);
                let user_timeout_s = *user_timeout_s;
                Ok((Socket::Tcp(Tcp::new(stream, user_timeout_s)), Peer::from(from)))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept()?;
                Ok((Socket::Unix(socket::Unix::new(stream)), Peer::Unix))
            }
        }
    }
}

fn bind_tcp(address: &str, listen: &Listen, options: &Options) -> io::Result<Vec<Listener>> {
    let user_timeout_s = u16::try_from(options.keepalive.as_secs()).unwrap_or(u16::MAX);
    let listeners = tcp::bind_all(&tcp::resolve(address)?, options.keepalive)?;
    let listener = |listener: std::net::TcpListener| {
        let bound = listen.at(listener.local_addr()?);
        let kind = Kind::Tcp { listener: TcpListener::from_std(listener), user_timeout_s };
        Ok(Listener::new(bound, kind))
    };
    listeners.into_iter().map(listener).collect()
}

fn bind_unix(path: &Path, listen: &Listen, options: &Options) -> io::Result<Vec<Listener>> {
    let (file, listener) = unix::bind(path, options.unix_mode)?;
    let kind = Kind::Unix { _file: file, listener: UnixListener::from_std(listener) };
    Ok(vec![Listener::new(listen.clone(), kind)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::time::Duration;

    /// The listener sets them once, and nothing is set for each connection: if that stopped to hold, every connection
    /// would be slow to answer, would never be found dead, and would take megabytes of the kernel.
    #[test]
    #[cfg(target_os = "linux")]
    fn connections_inherit_the_options_of_their_listener() {
        let options = Options { keepalive: Duration::from_secs(60), ..Options::default() };
        let listeners = Listener::bind(&Listen::tcp("127.0.0.1:0"), &options).unwrap();
        let address = listeners[0].address.socket_address().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (socket, _) = listeners[0].accept().unwrap();
        let Socket::Tcp(tcp) = socket else { panic!("a TCP stream") };
        let options = SockRef::from(tcp.stream());
        assert!(options.tcp_nodelay().unwrap());
        assert!(options.keepalive().unwrap());
        assert_eq!(options.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(options.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
        assert_eq!(options.tcp_keepalive_retries().unwrap(), tcp::KEEPALIVE_PROBES);
        assert_eq!(options.tcp_notsent_lowat().unwrap(), tcp::UNSENT_BYTES);
        assert_eq!(options.recv_buffer_size().unwrap(), 2 * tcp::RECEIVE_BUFFER_BYTES);
        assert_eq!(options.send_buffer_size().unwrap(), 2 * tcp::SEND_BUFFER_BYTES);
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
    }
}
