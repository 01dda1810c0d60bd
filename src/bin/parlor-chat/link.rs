//! The connection to the server: it is made without waiting, and moves bytes between the socket and a [`Client`].
//! Knows nothing of what the bytes say.
//!
//! Only the look-up of a host name may wait, so it has a short-lived thread of its own, which wakes the loop.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};
use std::{thread, vec};

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token, Waker, event};
use parlor::client::{Client, Heard};

use crate::options::{Options, Server};
use crate::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls;

/// How long one address is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// So many bytes are read before other things get their turn.
const READ_BUDGET: usize = 256 << 10;

/// What has become of the link.
#[derive(Debug)]
pub enum Change {
    /// It is connected.
    Connected,
    /// It is not, or no longer. The text says why.
    Ended(String),
}

/// A connection to one server, or the lack of it.
pub struct Link {
    server: Server,
    #[cfg(feature = "tls")]
    tls: Option<tls::Trust>,
    registry: Registry,
    token: Token,
    waker: Arc<Waker>,
    state: State,
    buffer: Box<[u8]>,
}

enum State {
    Down,
    Resolving(Receiver<io::Result<vec::IntoIter<SocketAddr>>>),
    Connecting {
        stream: Stream,
        others: vec::IntoIter<SocketAddr>,
        deadline: Instant,
    },
    Up(Up),
    /// Nothing came of it, for this reason.
    Failed(io::Error),
}

struct Up {
    stream: Stream,
    readable: bool,
    writable: bool,
    /// Writing has failed. What the server said before is still read.
    broken: Option<io::Error>,
}

impl Link {
    /// Not connected yet. Events of the socket come with `token`; `waker` must wake the same poll.
    pub fn new(options: &Options, registry: &Registry, token: Token, waker: Arc<Waker>) -> io::Result<Link> {
        Ok(Link {
            server: options.server.clone(),
            #[cfg(feature = "tls")]
            tls: match &options.server {
                Server::Tls(_) => Some(tls::Trust::new(options.ca.as_deref())?),
                _ => None,
            },
            registry: registry.try_clone()?,
            token,
            waker,
            state: State::Down,
            buffer: vec![0; 32 << 10].into(),
        })
    }

    /// Begins to connect. What comes of it is told by [`Link::turn`].
    pub fn connect(&mut self) {
        self.close();
        self.state = match &self.server {
            Server::Tcp(address) | Server::Tls(address) => {
                State::Resolving(resolve(address.clone(), self.waker.clone()))
            }
            Server::Unix(path) => match UnixStream::connect(path) {
                Ok(stream) => self.connecting(Stream::Unix(stream), Vec::new().into_iter()),
                Err(error) => State::Failed(error),
            },
        };
    }

    /// Closes the connection, if there is one.
    pub fn close(&mut self) {
        if let State::Connecting { stream, .. } | State::Up(Up { stream, .. }) = &mut self.state {
            stream.say_goodbye();
            let _ = self.registry.deregister(stream.source());
        }
        self.state = State::Down;
    }

    /// There was an event for the socket.
    pub fn note(&mut self, event: &event::Event) {
        if let State::Up(up) = &mut self.state {
            up.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            up.writable |= event.is_writable() || event.is_write_closed();
        }
    }

    /// Whether [`Link::turn`] has something to do although nothing new happens.
    pub fn is_ready(&self) -> bool {
        match &self.state {
            State::Failed(_) => true,
            State::Up(up) => up.readable,
            _ => false,
        }
    }

    /// When [`Link::turn`] has to be called although nothing new happens.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Connecting { deadline, .. } => Some(*deadline),
            _ => None,
        }
    }

    /// Goes on connecting, or reads, hands out what was heard, and writes what the client has to say.
    pub fn turn(&mut self, client: &mut Client, heard: impl FnMut(Heard)) -> Option<Change> {
        match &mut self.state {
            State::Down => None,
            State::Resolving(answer) => match answer.try_recv() {
                Ok(Ok(addresses)) => self.next_address(addresses, ErrorKind::AddrNotAvailable.into()),
                Ok(Err(error)) => Some(self.ended(error)),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(self.ended(ErrorKind::Other.into())),
            },
            State::Connecting { .. } => self.go_on_connecting(),
            State::Up(_) => self.exchange(client, heard),
            State::Failed(_) => match std::mem::replace(&mut self.state, State::Down) {
                State::Failed(error) => Some(self.ended(error)),
                _ => None,
            },
        }
    }

    fn connecting(&self, mut stream: Stream, others: vec::IntoIter<SocketAddr>) -> State {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self.registry.register(stream.source(), self.token, interest) {
            Ok(()) => State::Connecting { stream, others, deadline: Instant::now() + CONNECT_TIMEOUT },
            Err(error) => State::Failed(error),
        }
    }

    /// Tries the next address; `error` is what has become of the one before.
    fn next_address(&mut self, mut others: vec::IntoIter<SocketAddr>, error: io::Error) -> Option<Change> {
        self.close();
        let Some(address) = others.next() else { return Some(self.ended(error)) };
        self.state = match TcpStream::connect(address) {
            Ok(stream) => match self.over_tcp(stream) {
                Ok(stream) => self.connecting(stream, others),
                Err(error) => State::Failed(error),
            },
            Err(error) => return self.next_address(others, error),
        };
        None
    }

    /// What is spoken over a TCP connection to this server.
    fn over_tcp(&self, stream: TcpStream) -> io::Result<Stream> {
        #[cfg(feature = "tls")]
        if let (Server::Tls(address), Some(trust)) = (&self.server, &self.tls) {
            return Ok(Stream::Tls(Box::new(trust.stream(stream, address)?)));
        }
        Ok(Stream::Tcp(stream))
    }

    fn go_on_connecting(&mut self) -> Option<Change> {
        let State::Connecting { stream, others, deadline } = &mut self.state else { return None };
        let outcome = match stream.go_on_connecting() {
            Ok(false) if Instant::now() >= *deadline => Err(ErrorKind::TimedOut.into()),
            outcome => outcome,
        };
        match outcome {
            Ok(false) => None,
            Ok(true) => {
                let State::Connecting { stream, .. } = std::mem::replace(&mut self.state, State::Down) else {
                    return None;
                };
                stream.prepare();
                self.state = State::Up(Up { stream, readable: true, writable: true, broken: None });
                Some(Change::Connected)
            }
            Err(error) => {
                let others = std::mem::take(others);
                self.next_address(others, error)
            }
        }
    }

    fn exchange(&mut self, client: &mut Client, heard: impl FnMut(Heard)) -> Option<Change> {
        let State::Up(up) = &mut self.state else { return None };
        // What is heard may give the client something to say, so reading comes first.
        match up.read(&mut self.buffer, client, heard) {
            Ok(()) => up.write(client),
            Err(error) => return Some(self.ended(error)),
        }
        let broken = if up.readable { None } else { up.broken.take() };
        broken.map(|error| self.ended(error))
    }

    /// Writes what the client has to say, as far as the socket takes it now.
    pub fn write(&mut self, client: &mut Client) {
        if let State::Up(up) = &mut self.state {
            up.write(client);
        }
    }

    fn ended(&mut self, error: io::Error) -> Change {
        self.close();
        Change::Ended(match error.kind() {
            ErrorKind::UnexpectedEof => "the server has closed it".into(),
            ErrorKind::TimedOut => "no answer".into(),
            _ => without_number(&error.to_string()),
        })
    }
}

impl Up {
    /// Reads until nothing more is there, or the budget is spent. The end of the stream is an error.
    fn read(
        &mut self,
        buffer: &mut [u8],
        client: &mut Client,
        mut heard: impl FnMut(Heard),
    ) -> io::Result<()> {
        let mut budget = READ_BUDGET;
        while self.readable && budget > 0 {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    budget = budget.saturating_sub(count);
                    let mut received = buffer.get(..count).unwrap_or_default();
                    while let Some(event) = client.hear(&mut received) {
                        heard(event);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, client: &mut Client) {
        while self.writable && (self.stream.holds_output() || !client.output().is_empty()) {
            let written = if self.stream.holds_output() {
                self.stream.flush().map(|()| 0)
            } else {
                self.stream.write(client.output())
            };
            match written {
                Ok(count) => client.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // The server may have said why before it closed; the end of the stream is near.
                    self.writable = false;
                    self.readable = true;
                    self.broken = Some(error);
                }
            }
        }
    }
}

fn resolve(address: String, waker: Arc<Waker>) -> Receiver<io::Result<vec::IntoIter<SocketAddr>>> {
    let (sender, receiver) = mpsc::channel();
    // If there is no thread to be had, the sender goes, and the receiver tells of it.
    let _ = thread::Builder::new().name("resolver".into()).spawn(move || {
        let _ = sender.send(address.to_socket_addrs());
        let _ = waker.wake();
    });
    receiver
}

/// `Connection refused (os error 111)` without what only programmers want to know.
fn without_number(text: &str) -> String {
    text.split_once(" (os error").map_or(text, |(words, _)| words).into()
}
