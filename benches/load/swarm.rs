//! The clients: any number of connections in one `mio` loop, on one thread.
//!
//! Connects, reads, cuts what was read into frames, and writes what a scenario has queued, each client's in one call.
//! Knows nothing of what the frames mean; that is the [`Handler`]'s affair.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use crate::dialects::{Dialect, Frame};
use crate::ledger::Fault;

/// What a scenario does with what happens.
pub trait Handler {
    /// A connection stands.
    fn connected(&mut self, _clients: &mut Clients, _id: usize) {}

    /// A frame has come; `raw` is all of its bytes, `now` in nanoseconds of the swarm's clock.
    fn frame(
        &mut self,
        clients: &mut Clients,
        id: usize,
        frame: Frame<'_>,
        raw: &[u8],
        now: u64,
    ) -> Result<(), Fault>;

    /// If the input begins with a frame that can be dealt with unseen, does so and says how long it is.
    fn foreseen(&mut self, _id: usize, _input: &[u8], _now: u64) -> Option<usize> {
        None
    }

    /// The server has closed the connection, which is gone after this call.
    fn closed(&mut self, _clients: &mut Clients, id: usize, why: &str) -> Result<(), Fault> {
        Err(Fault::Broken(format!("the connection of client {id} has ended: {why}")))
    }
}

struct Client {
    stream: TcpStream,
    connected: bool,
    /// Whether what comes is read; one that does not read is a slow client.
    reads: bool,
    queued: bool,
    /// The beginning of a frame whose rest has not come yet.
    partial: Vec<u8>,
    out: Vec<u8>,
}

/// The open connections, and what is to be written to them. Numbers count up from 0 as long as none is closed; the
/// number of a closed one is used again.
pub struct Clients {
    slots: Slab<Client>,
    /// Those with something to write.
    queue: Vec<usize>,
    closing: Vec<usize>,
}

impl Clients {
    /// Where to append what this client shall say. It is written by [`Swarm::flush`].
    pub fn out(&mut self, id: usize) -> &mut Vec<u8> {
        let client = &mut self.slots[id];
        if !client.queued {
            client.queued = true;
            self.queue.push(id);
        }
        &mut client.out
    }

    /// Closes the connection once this turn is over.
    pub fn close(&mut self, id: usize) {
        self.closing.push(id);
    }

    /// From now on what comes for this client is left in its socket, or not.
    pub fn read(&mut self, id: usize, reads: bool) {
        self.slots[id].reads = reads;
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

/// On loopback each connection has a source of its own, from the first of these ports on 127.0.0.1 to the last on
/// 127.0.0.250. A source that was used stays taken for a minute; left to itself the kernel would search for a free one, and
/// after some 20,000 connections that takes longer than all else.
const PORTS: Range<u64> = 10_000..60_000;
const SOURCE_ADDRESSES: u64 = 250;
/// How many in a row may be taken by somebody else before that is an error.
const TAKEN_IN_A_ROW: usize = 1000;
const READ_BUFFER: usize = 256 << 10;

/// The loop.
pub struct Swarm<'d> {
    poll: Poll,
    events: Events,
    dialect: &'d dyn Dialect,
    address: SocketAddr,
    pub clients: Clients,
    buffer: Vec<u8>,
    /// Sources used on loopback.
    sources: u64,
    started: Instant,
    waited: Duration,
}

impl<'d> Swarm<'d> {
    pub fn new(dialect: &'d dyn Dialect, address: SocketAddr) -> Result<Swarm<'d>, Fault> {
        Ok(Swarm {
            poll: Poll::new().map_err(|error| Fault::Broken(error.to_string()))?,
            events: Events::with_capacity(4096),
            dialect,
            address,
            clients: Clients { slots: Slab::new(), queue: Vec::new(), closing: Vec::new() },
            buffer: vec![0; READ_BUFFER],
            sources: 0,
            started: Instant::now(),
            waited: Duration::ZERO,
        })
    }

    /// Nanoseconds since the swarm was made.
    pub fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// How much of that was spent waiting, in nanoseconds; the rest is the generator's own work.
    pub fn waited(&self) -> u64 {
        self.waited.as_nanos() as u64
    }

    pub fn dialect(&self) -> &'d dyn Dialect {
        self.dialect
    }

    /// Begins to connect one more client. `receive_buffer`: bytes that the kernel may hold for it, if not the usual.
    pub fn connect(&mut self, receive_buffer: Option<usize>) -> Result<usize, Fault> {
        let broken = |error: io::Error| Fault::Broken(format!("cannot connect: {error}"));
        let mut taken = 0;
        let mut stream = loop {
            match self.open(receive_buffer) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
                        && taken < TAKEN_IN_A_ROW =>
                {
                    taken += 1;
                }
                result => break result.map_err(broken)?,
            }
        };
        let entry = self.clients.slots.vacant_entry();
        let id = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(id), interest).map_err(broken)?;
        let (partial, out) = (Vec::new(), Vec::new());
        entry.insert(Client { stream, connected: false, reads: true, queued: false, partial, out });
        Ok(id)
    }

    /// Where the next connection on loopback comes from.
    fn next_source(&mut self) -> SocketAddr {
        let ports = PORTS.end - PORTS.start;
        let address = Ipv4Addr::new(127, 0, 0, 1 + (self.sources / ports % SOURCE_ADDRESSES) as u8);
        let port = PORTS.start + self.sources % ports;
        self.sources += 1;
        SocketAddr::from((address, port as u16))
    }

    fn open(&mut self, receive_buffer: Option<usize>) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if self.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            // One that ended a while ago, in another scenario, is no obstacle.
            socket.set_reuse_address(true)?;
            socket.bind(&self.next_source().into())?;
        }
        if let Err(error) = socket.connect(&self.address.into())
            && !error.raw_os_error().is_some_and(|number| IN_PROGRESS.contains(&number))
            && error.kind() != ErrorKind::WouldBlock
        {
            return Err(error);
        }
        Ok(TcpStream::from_std(socket.into()))
    }

    /// Writes what is queued, waits for at most `timeout` (`None`: until something happens), and hands what has come
    /// to `handler`. Whether anything happened.
    pub fn turn(&mut self, timeout: Option<Duration>, handler: &mut impl Handler) -> Result<bool, Fault> {
        self.flush(handler)?;
        let before = Instant::now();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(Fault::Broken(error.to_string()));
            }
            _ => self.waited += before.elapsed(),
        }
        for event in &self.events {
            let id = event.token().0;
            let Some(client) = self.clients.slots.get_mut(id) else { continue };
            if !client.connected && (event.is_writable() || event.is_error()) {
                if let Some(error) = client.stream.take_error().ok().flatten() {
                    return Err(Fault::Broken(format!("cannot connect: {error}")));
                }
                client.connected = true;
                handler.connected(&mut self.clients, id);
            } else if event.is_writable() && !client.out.is_empty() && !client.queued {
                client.queued = true;
                self.clients.queue.push(id);
            }
            if event.is_readable() || event.is_read_closed() {
                let now = self.started.elapsed().as_nanos() as u64;
                let ending = event.is_read_closed();
                receive(self.dialect, &mut self.clients, id, &mut self.buffer, ending, now, handler)?;
            }
        }
        Ok(!self.events.is_empty())
    }

    /// Writes what was queued, and closes what was to be closed.
    fn flush(&mut self, handler: &mut impl Handler) -> Result<(), Fault> {
        let mut queue = std::mem::take(&mut self.clients.queue);
        for id in queue.drain(..) {
            let Some(client) = self.clients.slots.get_mut(id) else { continue };
            client.queued = false;
            if let Err(error) = send(client) {
                handler.closed(&mut self.clients, id, &error.to_string())?;
                self.clients.close(id);
            }
        }
        self.clients.queue = queue;
        while let Some(id) = self.clients.closing.pop() {
            self.clients.slots.try_remove(id);
        }
        Ok(())
    }

    /// Reads what has come for a client that did not read, and throws it away. Whether the server has closed it.
    pub fn discard_unread(&mut self, id: usize) -> bool {
        let Some(client) = self.clients.slots.get_mut(id) else { return true };
        loop {
            match client.stream.read(&mut self.buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }
}

/// "The connection is being made": the numbers of Linux, and of macOS and the BSDs.
const IN_PROGRESS: [i32; 2] = [115, 36];

fn send(client: &mut Client) -> io::Result<()> {
    let mut sent = 0;
    while client.connected && sent < client.out.len() {
        match client.stream.write(&client.out[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    client.out.drain(..sent);
    Ok(())
}

/// Reads all that has come for a client and hands over the frames. `ending`: the end of the stream has come too.
fn receive(
    dialect: &dyn Dialect,
    clients: &mut Clients,
    id: usize,
    buffer: &mut [u8],
    ending: bool,
    now: u64,
    handler: &mut impl Handler,
) -> Result<(), Fault> {
    loop {
        let client = &mut clients.slots[id];
        if !client.reads {
            return Ok(());
        }
        let kept = client.partial.len();
        if kept == buffer.len() {
            return Err(Fault::Garbled(format!(
                "{kept} bytes have come for client {id} without an end of a frame"
            )));
        }
        buffer[..kept].copy_from_slice(&client.partial);
        let read = match client.stream.read(&mut buffer[kept..]) {
            Ok(0) => return ended(clients, id, "end of stream", handler),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return ended(clients, id, &error.to_string(), handler),
        };
        let filled = kept + read;
        let used = frames(dialect, clients, id, &buffer[..filled], now, handler)?;
        let client = &mut clients.slots[id];
        client.partial.clear();
        client.partial.extend_from_slice(&buffer[used..filled]);
        // A short read has emptied the socket: that is one system call saved for each event.
        if filled < buffer.len() && !ending {
            return Ok(());
        }
    }
}

/// Hands over the complete frames of the input, and says how many bytes they were.
fn frames(
    dialect: &dyn Dialect,
    clients: &mut Clients,
    id: usize,
    input: &[u8],
    now: u64,
    handler: &mut impl Handler,
) -> Result<usize, Fault> {
    let mut used = 0;
    while used < input.len() {
        if let Some(length) = handler.foreseen(id, &input[used..], now) {
            used += length;
            continue;
        }
        match dialect.parse(&input[used..]) {
            Ok(None) => break,
            Ok(Some((length, Frame::Ping))) => {
                dialect.pong(clients.out(id));
                used += length;
            }
            Ok(Some((_, Frame::Farewell(why)))) => {
                let why = String::from_utf8_lossy(why);
                return Err(Fault::Broken(format!(
                    "the server has ended the connection of client {id}: {why}"
                )));
            }
            Ok(Some((length, frame))) => {
                handler.frame(clients, id, frame, &input[used..used + length], now)?;
                used += length;
            }
            Err(what) => return Err(Fault::Garbled(format!("for client {id}: {what}"))),
        }
    }
    Ok(used)
}

fn ended(clients: &mut Clients, id: usize, why: &str, handler: &mut impl Handler) -> Result<(), Fault> {
    handler.closed(clients, id, why)?;
    clients.close(id);
    Ok(())
}
