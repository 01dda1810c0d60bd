//! Listening sockets: bound, accepted from, and gone at the end with their files. How an address is bound stands in
//! `listener/tcp.rs` and `listener/unix.rs`. Knows nothing of what is spoken, but hands on what was asked for.

mod tcp;
mod unix;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mio::Token;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};

use super::socket::{self, Socket, Tcp};
use crate::options::{self, Listen, Options, Place, Spoken};
use crate::transport::Peer;
use unix::SocketFile;

/// Connections that may wait to be accepted; the system may allow fewer. mio's own choice is too few for a storm.
const BACKLOG: i32 = 4096;

/// An address that is really listened on. Written as an address of the command line, in numbers, with its prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    proxy: bool,
    spoken: Spoken,
    bound: Bound,
}

/// What was bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// With the port that was really bound.
    Tcp(SocketAddr),
    /// The path of the socket.
    Unix(PathBuf),
}

impl Address {
    /// Whether each connection must begin with a PROXY header.
    pub fn is_behind_proxy(&self) -> bool {
        self.proxy
    }

    /// What is spoken there.
    pub fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// What was bound.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Address and port, if it is TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match &self.bound {
            Bound::Tcp(address) => Some(*address),
            Bound::Unix(_) => None,
        }
    }

    /// The path, if it is a Unix socket.
    pub fn unix(&self) -> Option<&Path> {
        match &self.bound {
            Bound::Tcp(_) => None,
            Bound::Unix(path) => Some(path),
        }
    }
}

/// Plain lines are spoken there.
impl From<Bound> for Address {
    fn from(bound: Bound) -> Address {
        Address { proxy: false, spoken: Spoken::Lines, bound }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        options::write_prefixes(self.proxy, self.spoken, f)?;
        match &self.bound {
            Bound::Tcp(address) => address.fmt(f),
            Bound::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A listening socket. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    proxy: bool,
    spoken: Spoken,
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
        file: SocketFile,
        listener: UnixListener,
    },
}

impl Listener {
    /// Binds all that `listen` stands for, and listens: a name may have several addresses, which get one port.
    ///
    /// # Errors
    /// A name that cannot be resolved, an address that cannot be bound. The error says which, and why.
    pub fn bind(listen: &Listen, options: &Options) -> io::Result<Vec<Listener>> {
        // A connection that was read as what it is not would be the worse answer.
        let is_served = match listen.spoken() {
            Spoken::Lines => true,
            Spoken::Http | Spoken::Metrics => cfg!(feature = "web"),
            Spoken::Tls => cfg!(feature = "tls"),
            Spoken::Https => cfg!(all(feature = "web", feature = "tls")),
        };
        let bound = match listen.place() {
            _ if !is_served => Err(io::Error::new(ErrorKind::Unsupported, "this build does not serve it")),
            Place::Tcp(address) => bind_tcp(address, options),
            Place::Unix(path) => unix::bind(path, options.unix_mode).map(|(file, listener)| {
                vec![Kind::Unix { file, listener: UnixListener::from_std(listener) }]
            }),
        };
        match bound {
            Ok(kinds) => {
                let (proxy, spoken) = (listen.is_behind_proxy(), listen.spoken());
                Ok(kinds
                    .into_iter()
                    .map(|kind| Listener { kind, proxy, spoken, token: Token(usize::MAX), ready: false })
                    .collect())
            }
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))),
        }
    }

    /// Whether each connection must begin with a PROXY header.
    pub fn is_behind_proxy(&self) -> bool {
        self.proxy
    }

    /// What is spoken there.
    pub fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// Whether it serves until the server has ended: then somebody may still ask how it is.
    pub fn answers_to_the_end(&self) -> bool {
        matches!(self.spoken, Spoken::Http | Spoken::Https | Spoken::Metrics)
    }

    /// What the poll registers.
    pub fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp { listener, .. } => listener,
            Kind::Unix { listener, .. } => listener,
        }
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        let bound = match &self.kind {
            Kind::Tcp { listener, .. } => Bound::Tcp(listener.local_addr()?),
            Kind::Unix { file, .. } => Bound::Unix(file.path().into()),
        };
        Ok(Address { proxy: self.proxy, spoken: self.spoken, bound })
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

fn bind_tcp(address: &str, options: &Options) -> io::Result<Vec<Kind>> {
    let user_timeout_s = u16::try_from(options.keepalive.as_secs()).unwrap_or(u16::MAX);
    let listeners = tcp::bind_all(&tcp::resolve(address)?, options.keepalive)?;
    let kind = |listener| Kind::Tcp { listener: TcpListener::from_std(listener), user_timeout_s };
    Ok(listeners.into_iter().map(kind).collect())
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
        let address = listeners[0].address().unwrap().tcp().unwrap();
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

    #[test]
    fn an_address_is_written_as_on_the_command_line() {
        let bound = Bound::Tcp(([127, 0, 0, 1], 80).into());
        assert_eq!(Address::from(bound.clone()).to_string(), "127.0.0.1:80");
        let address = Address { proxy: true, spoken: Spoken::Https, bound };
        assert_eq!(address.to_string(), "proxy+https:127.0.0.1:80");
        let address = Address { proxy: false, spoken: Spoken::Lines, bound: Bound::Unix("/run/x".into()) };
        assert_eq!(address.to_string(), "unix:/run/x");
    }
}
