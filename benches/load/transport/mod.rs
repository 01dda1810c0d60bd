//! How the generator's clients reach a server: the socket, and what is spoken between the socket and the dialect.
//!
//! TCP and Unix sockets carry a dialect's bytes as they are. Whatever wraps them (WebSocket, TLS) is a [`Layer`]: bytes of
//! the wire in, bytes of the dialect out, and the other way round. A layer does no input or output by itself and knows
//! nothing of dialects, so the swarm is the same for all.
//!
//! To add one: a variant of [`Via`], its name in [`Via::named`], its [`Layer`] in [`Via::layer`], and in
//! `servers.rs` the `--listen` with which parlor speaks it.

mod sources;
#[cfg(feature = "tls")]
mod tls;
mod ws;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket as Raw, Type};

pub use sources::Sources;

/// What is spoken between socket and dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Tcp,
    Unix,
    /// WebSocket over TCP, at the path `/ws`.
    Ws,
    /// TLS over TCP, each handshake a full one. Only in builds with the feature `tls`, as the next.
    Tls,
    /// The same, where clients resume the sessions of others.
    TlsResumed,
}

impl Via {
    /// By the name that `--via` gives it.
    pub fn named(name: &str) -> Result<Via, String> {
        match name {
            "tcp" => Ok(Via::Tcp),
            "unix" => Ok(Via::Unix),
            "ws" => Ok(Via::Ws),
            "tls" | "tls-resumed" if !cfg!(feature = "tls") => Err(format!(
                "{name} is not built into this load bench; try cargo bench --features tls --bench load -- --via {name}"
            )),
            "tls" => Ok(Via::Tls),
            "tls-resumed" => Ok(Via::TlsResumed),
            _ => Err(format!("--via knows tcp, unix, ws, tls and tls-resumed, not {name}")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Via::Tcp => "tcp",
            Via::Unix => "unix",
            Via::Ws => "ws",
            Via::Tls => "tls",
            Via::TlsResumed => "tls-resumed",
        }
    }

    /// Whether it is TLS, with whatever handshakes.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Via::Tls | Via::TlsResumed)
    }

    /// What wraps the dialect's bytes on a new connection to `address`, if anything does.
    pub fn layer(self, address: &Address) -> Option<Box<dyn Layer>> {
        match self {
            Via::Tcp | Via::Unix => None,
            Via::Ws => Some(Box::new(ws::WebSocket::new(&address.to_string()))),
            #[cfg(feature = "tls")]
            Via::Tls | Via::TlsResumed => Some(Box::new(tls::Tls::new(address, self == Via::TlsResumed))),
            #[cfg(not(feature = "tls"))]
            Via::Tls | Via::TlsResumed => unreachable!("it has no name in this build"),
        }
    }
}

/// What a layer has to tell beside bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer has closed the conversation in order, and said so.
    Closed(String),
    /// The peer does not want to begin one.
    Refused(String),
    /// The peer has broken the rules of the layer.
    Wrong(String),
}

/// One connection's state of what is spoken between the socket and the dialect.
pub trait Layer {
    /// The socket is connected: appends what the client says first.
    fn open(&mut self, wire: &mut Vec<u8>);

    /// Whether the dialect may begin.
    fn is_open(&self) -> bool;

    /// Whether it goes on with what an earlier connection has agreed upon. Known once it is open.
    fn is_resumed(&self) -> bool {
        false
    }

    /// Takes what has come from the socket. Appends what the dialect is to see to `plain`, and what must be answered
    /// to `wire`. On an ending, `plain` still holds what came before.
    fn receive(&mut self, input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Ending>;

    /// Takes all that the dialect has in `plain` and appends it, wrapped, to `wire`. Called only when open.
    fn send(&mut self, plain: &mut Vec<u8>, wire: &mut Vec<u8>);

    /// Appends what a client says before it leaves.
    fn close(&mut self, wire: &mut Vec<u8>);
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// `HOST:PORT` or `unix:PATH`.
    pub fn parse(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("unix: needs a path".to_owned())
            } else {
                Ok(Address::Unix(path.into()))
            };
        }
        let mut addresses = text.to_socket_addrs().map_err(|error| format!("{text}: {error}"))?;
        addresses.next().map(Address::Tcp).ok_or_else(|| format!("{text} has no address"))
    }

    /// Whether somebody listens there, asked with a connection that waits for the answer.
    pub fn answers(&self) -> io::Result<()> {
        match self {
            Address::Tcp(address) => sources::knock(*address),
            Address::Unix(path) => std::os::unix::net::UnixStream::connect(path).map(|_| ()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// All that is needed to connect.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    pub address: &'a Address,
    /// Where the same server listens too: the other nodes, if it is several.
    pub others: &'a [Address],
    pub via: Via,
    /// Where connections come from, if they are TCP.
    pub sources: &'a Sources,
}

impl<'a> Endpoint<'a> {
    /// The one for the client of this number: clients go to all nodes in turn.
    pub fn of_client(self, number: usize) -> Endpoint<'a> {
        let node = number % (self.others.len() + 1);
        let address = node.checked_sub(1).and_then(|other| self.others.get(other));
        Endpoint { address: address.unwrap_or(self.address), ..self }
    }
}

/// A connected socket, or one that is being connected.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Begins to connect. `receive_buffer`: bytes that the kernel may hold for it, if not the usual.
    pub fn open(endpoint: Endpoint<'_>, receive_buffer: Option<usize>) -> io::Result<Socket> {
        let domain = match endpoint.address {
            Address::Tcp(address) => Domain::for_address(*address),
            Address::Unix(_) => Domain::UNIX,
        };
        let protocol = matches!(endpoint.address, Address::Tcp(_)).then_some(Protocol::TCP);
        let socket = Raw::new(domain, Type::STREAM, protocol)?;
        socket.set_nonblocking(true)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        match endpoint.address {
            Address::Tcp(address) => {
                socket.set_tcp_nodelay(true)?;
                endpoint.sources.bind(&socket)?;
                under_way(socket.connect(&(*address).into()))?;
                Ok(Socket::Tcp(TcpStream::from_std(socket.into())))
            }
            // A Unix socket connects at once, or the server's queue is full and it has to be tried again.
            Address::Unix(path) => {
                socket.connect(&SockAddr::unix(path)?)?;
                Ok(Socket::Unix(UnixStream::from_std(socket.into())))
            }
        }
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Socket::Tcp(stream) => registry.register(stream, token, interest),
            Socket::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Why connecting has failed, if it has.
    pub fn take_error(&self) -> Option<io::Error> {
        match self {
            Socket::Tcp(stream) => stream.take_error(),
            Socket::Unix(stream) => stream.take_error(),
        }
        .ok()
        .flatten()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// "The connection is being made": the numbers of Linux, and of macOS and the BSDs.
const IN_PROGRESS: [i32; 2] = [115, 36];

/// That a connection is still being made is no error.
fn under_way(connected: io::Result<()>) -> io::Result<()> {
    match connected {
        Err(error)
            if error.raw_os_error().is_some_and(|number| IN_PROGRESS.contains(&number))
                || error.kind() == io::ErrorKind::WouldBlock =>
        {
            Ok(())
        }
        other => other,
    }
}
