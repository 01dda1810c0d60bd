//! The link's socket: connects without blocking, reads and writes for the [`Node`]. Knows nothing of what is said.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::clock::Instant;
use super::keys::Keys;
use super::node::{Config, Node, WINDOW_BYTES};
use super::url::{Place, Url};
use crate::options::Options;

/// How long the start waits for the engine, at each step.
const START: Duration = Duration::from_secs(5);

/// One read takes at most so much.
const READ_BYTES: usize = 64 << 10;

/// The most that is read in one turn, in reads.
const READS_PER_TURN: usize = 4;

/// The socket, if there is one, and where to connect to.
#[derive(Debug)]
pub struct Link {
    url: Url,
    /// Where HOST was found at the start. They are tried in turn.
    addresses: Vec<SocketAddr>,
    next_address: usize,
    socket: Option<Socket>,
    buffer: Vec<u8>,
    /// The node's time counts from here. It is not the time of the hub, which stands still when the process does.
    started: Instant,
}

#[derive(Debug)]
struct Socket {
    stream: Stream,
    connecting: bool,
    /// What an edge-triggered poll has said once.
    readable: bool,
    writable: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Link {
    /// Connects to the engine that the options name, and looks whether it is what it must be. Blocks, for a few seconds
    /// at most. `None`: the options name none.
    ///
    /// # Errors
    /// There is no engine there, or it cannot be used. The text says why.
    pub fn open(options: &Options) -> io::Result<Option<(Link, Node)>> {
        let Some(text) = &options.cluster else { return Ok(None) };
        let mut url = Url::parse(text).map_err(|why| invalid(format!("--cluster: {why}")))?;
        if let Some(file) = &options.cluster_password_file {
            let password = std::fs::read_to_string(file);
            let named =
                |error| in_context(&error, format_args!("--cluster-password-file {}", file.display()));
            let password = password.map_err(named)?;
            url.password = Some(password.trim_end_matches(['\r', '\n']).to_owned());
        }
        let keys = Keys::new(&options.cluster_prefix, url.db);
        let (user, password) = (url.user.clone(), url.password.clone());
        let config = Config { keys, db: url.db, user, password, window_bytes: WINDOW_BYTES };
        let mut node = Node::new(config, RandomState::new().hash_one("node"));
        let mut link = Link {
            addresses: Vec::new(),
            next_address: 0,
            socket: None,
            buffer: vec![0; READ_BYTES],
            started: Instant::now(),
            url,
        };
        let opened = link.resolve().and_then(|()| link.greet(&mut node));
        match opened {
            Ok(()) => Ok(Some((link, node))),
            Err(error) => Err(in_context(&error, format_args!("cannot join the cluster at {}", link.url))),
        }
    }

    fn resolve(&mut self) -> io::Result<()> {
        if let Place::Tcp(address) = &self.url.place {
            self.addresses = address.to_socket_addrs()?.collect();
            if self.addresses.is_empty() {
                return Err(invalid("the name has no address"));
            }
        }
        Ok(())
    }

    /// The first link, in a blocking way.
    fn greet(&mut self, node: &mut Node) -> io::Result<()> {
        let started = self.started;
        node.set_now(started.elapsed().into());
        node.wants_to_connect();
        let stream = match &self.url.place {
            Place::Unix(path) => {
                let mut stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_read_timeout(Some(START))?;
                stream.set_write_timeout(Some(START))?;
                greet(&mut stream, node, started)?;
                stream.set_nonblocking(true)?;
                Stream::Unix(UnixStream::from_std(stream))
            }
            Place::Tcp(_) => {
                let mut stream = self.connect_to_any()?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(START))?;
                stream.set_write_timeout(Some(START))?;
                greet(&mut stream, node, started)?;
                stream.set_nonblocking(true)?;
                Stream::Tcp(TcpStream::from_std(stream))
            }
        };
        // The poll tells what it has become ready for.
        self.socket = Some(Socket { stream, connecting: false, readable: true, writable: true });
        Ok(())
    }

    fn connect_to_any(&mut self) -> io::Result<std::net::TcpStream> {
        let mut last = invalid("the name has no address");
        for (index, address) in self.addresses.iter().enumerate() {
            match std::net::TcpStream::connect_timeout(address, START) {
                Ok(stream) => {
                    self.next_address = index;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Registers a connection that stands.
    ///
    /// # Errors
    /// The system's.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Some(socket) => {
                registry.register(socket.stream.source(), token, Interest::READABLE | Interest::WRITABLE)
            }
            None => Ok(()),
        }
    }

    /// Notes an event.
    pub fn event(&mut self, event: &mio::event::Event) {
        if let Some(socket) = &mut self.socket {
            socket.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            socket.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        }
    }

    /// Before a turn: connects if it is time, and reads.
    pub fn before_turn(&mut self, node: &mut Node, registry: &Registry, token: Token) {
        node.set_now(self.started.elapsed().into());
        if node.wants_to_connect() {
            // One that was lost in this turn is closed here.
            self.socket = None;
            if let Err(error) = self.connect(registry, token) {
                node.lose(error.to_string());
            }
        }
        if let Some(socket) = &mut self.socket
            && let Err(error) = socket.read(node, &mut self.buffer)
        {
            node.lose(error.to_string());
        }
        self.close_if_lost(node);
    }

    /// After a turn: writes what the turn has asked.
    pub fn after_turn(&mut self, node: &mut Node) {
        if let Some(socket) = &mut self.socket
            && let Err(error) = socket.write(node)
        {
            node.lose(error.to_string());
        }
        self.close_if_lost(node);
    }

    /// How long the poll may wait because of the link.
    pub fn wait(&self, node: &Node) -> Option<Duration> {
        Some(node.deadline()?.since(self.started.elapsed().into()))
    }

    fn close_if_lost(&mut self, node: &Node) {
        if !node.has_connection() && self.socket.take().is_some() {
            self.next_address = self.next_address.wrapping_add(1);
        }
    }

    /// Begins to connect.
    fn connect(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut stream = match &self.url.place {
            Place::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Place::Tcp(_) => {
                let index = self.next_address.checked_rem(self.addresses.len()).unwrap_or(0);
                let address = self.addresses.get(index).ok_or_else(|| invalid("the name has no address"))?;
                self.next_address = index;
                Stream::Tcp(TcpStream::connect(*address)?)
            }
        };
        registry.register(stream.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        self.socket = Some(Socket { stream, connecting: true, readable: false, writable: false });
        Ok(())
    }
}

impl Socket {
    fn read(&mut self, node: &mut Node, buffer: &mut [u8]) -> io::Result<()> {
        if self.connecting {
            if !self.writable || !self.stream.is_connected()? {
                return Ok(());
            }
            self.connecting = false;
            node.connected();
        }
        for _ in 0..READS_PER_TURN {
            if !self.readable || !node.wants_input() {
                break;
            }
            match self.stream.read(buffer) {
                Ok(0) => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "the engine has closed the connection",
                    ));
                }
                Ok(count) => node.receive(buffer.get(..count).unwrap_or_default(), false),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    node.receive(&[], true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, node: &mut Node) -> io::Result<()> {
        while self.writable && !self.connecting && !node.output().is_empty() {
            match self.stream.write(node.output()) {
                Ok(count) => node.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Stream {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }

    /// Whether a connection that was begun stands now.
    fn is_connected(&self) -> io::Result<bool> {
        let error = match self {
            Stream::Tcp(stream) => stream.take_error()?,
            Stream::Unix(stream) => stream.take_error()?,
        };
        if let Some(error) = error {
            return Err(error);
        }
        match self {
            Stream::Tcp(stream) => match stream.peer_addr() {
                Ok(_) => {
                    // It would be slow without, and right.
                    let _ = stream.set_nodelay(true);
                    Ok(true)
                }
                Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
                Err(error) => Err(error),
            },
            Stream::Unix(_) => Ok(true),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }
}

/// Sends and receives until the link stands.
fn greet(stream: &mut (impl Read + Write), node: &mut Node, started: Instant) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    node.connected();
    while !node.is_up() {
        let output = node.output();
        let count = output.len();
        stream.write_all(output)?;
        node.sent(count);
        let count = match stream.read(&mut buffer) {
            Ok(0) => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the engine has closed the connection"));
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(io::Error::new(ErrorKind::TimedOut, "the engine has not answered for 5 seconds"));
            }
            Err(error) => return Err(error),
        };
        node.receive(buffer.get(..count).unwrap_or_default(), true);
        node.set_now(started.elapsed().into());
        let mut input = node.take_input();
        loop {
            match input.value() {
                Ok(None) => break,
                Ok(Some(value)) => {
                    node.hear(&value).map_err(io::Error::other)?;
                }
                Err(_) => return Err(io::Error::other("the engine does not speak RESP3")),
            }
        }
        node.put_back(input);
    }
    Ok(())
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why.into())
}

fn in_context(error: &io::Error, context: impl std::fmt::Display) -> io::Error {
    io::Error::new(error.kind(), format!("{context}: {error}"))
}
