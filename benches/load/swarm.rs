//! The clients: any number of connections in one `mio` loop, on one thread.
//!
//! Connects, reads, cuts what was read into frames, and writes what a scenario has queued, each client's in one call.
//! Knows nothing of what the frames mean; that is the [`Handler`]'s affair.

use std::io::{self, ErrorKind, Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use slab::Slab;

use crate::dialects::{Dialect, Frame};
use crate::fault::Fault;
use crate::names::Names;
use crate::transport::{Address, Ending, Endpoint, Layer, Socket};

/// What a scenario does with what happens.
pub trait Handler {
    /// A connection stands.
    fn connected(&mut self, _clients: &mut Clients, _id: usize) {}

    /// `wire` is what the connection's layer says first, before it is sent.
    fn opening(&mut self, _id: usize, _wire: &mut Vec<u8>) {}

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

    /// The server has said that it lets in no more clients, and so not this one, which is gone after this call.
    fn refused(&mut self, _clients: &mut Clients, _id: usize, why: &str) -> Result<(), Fault> {
        Err(Fault::Full(why.to_owned()))
    }

    /// The server has closed the connection, which is gone after this call.
    fn closed(&mut self, _clients: &mut Clients, id: usize, why: &str) -> Result<(), Fault> {
        Err(Fault::Lost(format!("that of client {id}: {why}")))
    }
}

struct Client {
    socket: Socket,
    layer: Option<Box<dyn Layer>>,
    connected: bool,
    /// Whether what comes is read; one that does not read is a slow client.
    reads: bool,
    queued: bool,
    /// It is to be closed, and nothing that comes for it counts.
    leaving: bool,
    /// The beginning of a frame whose rest has not come yet.
    partial: Vec<u8>,
    /// What the dialect says, not yet written; with a layer, not yet wrapped.
    out: Vec<u8>,
    /// With a layer: what is to be written.
    wire: Vec<u8>,
}

impl Client {
    /// Writes what waits, as far as the kernel takes it.
    fn send(&mut self) -> io::Result<()> {
        if !self.connected {
            return Ok(());
        }
        let waiting = match &mut self.layer {
            None => &mut self.out,
            Some(layer) => {
                if layer.is_open() && !self.out.is_empty() {
                    layer.send(&mut self.out, &mut self.wire);
                }
                &mut self.wire
            }
        };
        let mut sent = 0;
        while sent < waiting.len() {
            match self.socket.write(&waiting[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        waiting.drain(..sent);
        Ok(())
    }
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
        self.enqueue(id);
        &mut self.slots[id].out
    }

    fn enqueue(&mut self, id: usize) {
        let client = &mut self.slots[id];
        if !client.queued {
            client.queued = true;
            self.queue.push(id);
        }
    }

    /// Closes the connection once this turn is over. Nothing more comes from it.
    pub fn close(&mut self, id: usize) {
        if let Some(client) = self.slots.get_mut(id)
            && !client.leaving
        {
            client.leaving = true;
            self.closing.push(id);
        }
    }

    /// From now on what comes for this client is left in its socket, or not.
    pub fn read(&mut self, id: usize, reads: bool) {
        self.slots[id].reads = reads;
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

const READ_BUFFER: usize = 256 << 10;
/// How long a server may need to make room in its queue of connections.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);

/// The loop.
pub struct Swarm<'d> {
    poll: Poll,
    events: Events,
    dialect: &'d dyn Dialect,
    endpoint: Endpoint<'d>,
    pub clients: Clients,
    pub names: Names,
    /// Why not all clients are there that were wanted, if so.
    pub short_of: Option<String>,
    /// How many connections have resumed the session of an earlier one.
    pub resumed: u64,
    buffer: Vec<u8>,
    /// What a layer has taken out of the buffer.
    plain: Vec<u8>,
    started: Instant,
    waited: Duration,
}

impl<'d> Swarm<'d> {
    pub fn new(dialect: &'d dyn Dialect, endpoint: Endpoint<'d>) -> Result<Swarm<'d>, Fault> {
        Ok(Swarm {
            poll: Poll::new().map_err(|error| Fault::Host(error.to_string()))?,
            events: Events::with_capacity(4096),
            dialect,
            endpoint,
            clients: Clients { slots: Slab::new(), queue: Vec::new(), closing: Vec::new() },
            names: Names::unique(),
            short_of: None,
            resumed: 0,
            buffer: vec![0; READ_BUFFER],
            plain: Vec::new(),
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
        let begin = Instant::now();
        let mut taken = 0;
        let endpoint = self.endpoint.of_client(self.clients.slots.vacant_key());
        let mut socket = loop {
            match Socket::open(endpoint, receive_buffer) {
                Ok(socket) => break socket,
                Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {
                    taken += 1;
                    if taken >= self.endpoint.sources.tries() {
                        return Err(self.out_of_ports());
                    }
                    self.endpoint.sources.taken(taken);
                }
                // The queue of a Unix socket is full.
                Err(error) if error.kind() == ErrorKind::WouldBlock && begin.elapsed() < LONGEST_QUEUE => {
                    sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(self.cannot_connect(endpoint.address, &error)),
            }
        };
        let entry = self.clients.slots.vacant_entry();
        let id = entry.key();
        let registered = socket.register(self.poll.registry(), Token(id));
        registered.map_err(|error| Fault::Host(error.to_string()))?;
        entry.insert(Client {
            socket,
            layer: endpoint.via.layer(endpoint.address),
            connected: false,
            reads: true,
            queued: false,
            leaving: false,
            partial: Vec::new(),
            out: Vec::new(),
            wire: Vec::new(),
        });
        Ok(id)
    }

    fn out_of_ports(&self) -> Fault {
        let address = self.endpoint.address;
        Fault::OutOfPorts(format!("out of local ports towards {address}; give --source, or fewer clients"))
    }

    fn cannot_connect(&self, address: &Address, error: &io::Error) -> Fault {
        const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];
        if error.raw_os_error().is_some_and(|number| OUT_OF_DESCRIPTORS.contains(&number)) {
            let open = self.clients.len();
            return Fault::Host(format!("out of file descriptors with {open} connections: {error}"));
        }
        Fault::Lost(format!("cannot connect to {address}: {error}"))
    }

    /// Writes what is queued, waits for at most `timeout` (`None`: until something happens), and hands what has come
    /// to `handler`. Whether anything happened.
    pub fn turn(&mut self, timeout: Option<Duration>, handler: &mut impl Handler) -> Result<bool, Fault> {
        self.flush(handler)?;
        let before = Instant::now();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(Fault::Host(error.to_string()));
            }
            _ => self.waited += before.elapsed(),
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let id = event.token().0;
            let Some(client) = self.clients.slots.get_mut(id).filter(|client| !client.leaving) else {
                continue;
            };
            if !client.connected && (event.is_writable() || event.is_error()) {
                if let Some(error) = client.socket.take_error() {
                    let endpoint = self.endpoint.of_client(id);
                    return Err(self.cannot_connect(endpoint.address, &error));
                }
                client.connected = true;
                match &mut client.layer {
                    None => handler.connected(&mut self.clients, id),
                    Some(layer) => {
                        layer.open(&mut client.wire);
                        handler.opening(id, &mut client.wire);
                        self.clients.enqueue(id);
                    }
                }
            } else if event.is_writable() && !(client.out.is_empty() && client.wire.is_empty()) {
                self.clients.enqueue(id);
            }
            if event.is_readable() || event.is_read_closed() {
                self.receive(id, event.is_read_closed(), handler)?;
            }
        }
        let happened = !events.is_empty();
        self.events = events;
        Ok(happened)
    }

    /// Writes what was queued, and closes what was to be closed.
    fn flush(&mut self, handler: &mut impl Handler) -> Result<(), Fault> {
        let mut queue = std::mem::take(&mut self.clients.queue);
        for id in queue.drain(..) {
            let Some(client) = self.clients.slots.get_mut(id) else { continue };
            client.queued = false;
            if let Err(error) = client.send()
                && !client.leaving
            {
                handler.closed(&mut self.clients, id, &error.to_string())?;
                self.clients.close(id);
            }
        }
        self.clients.queue = queue;
        while let Some(id) = self.clients.closing.pop() {
            let Some(mut client) = self.clients.slots.try_remove(id) else { continue };
            if let Some(layer) = &mut client.layer {
                layer.close(&mut client.wire);
                let _ = client.send();
            }
        }
        Ok(())
    }

    /// Reads what has come for a client that did not read, and throws it away. Whether the server has closed it.
    pub fn discard_unread(&mut self, id: usize) -> bool {
        let Some(client) = self.clients.slots.get_mut(id) else { return true };
        loop {
            match client.socket.read(&mut self.buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    /// Reads all that has come for a client and hands over the frames. `ending`: the end of the stream has come too.
    fn receive(&mut self, id: usize, ending: bool, handler: &mut impl Handler) -> Result<(), Fault> {
        let now = self.now();
        loop {
            let client = &mut self.clients.slots[id];
            if !client.reads || client.leaving {
                return Ok(());
            }
            // Without a layer what was left stands before what is read; a layer keeps what it cannot use yet.
            let kept = if client.layer.is_none() { client.partial.len() } else { 0 };
            if client.partial.len() >= self.buffer.len() {
                return Err(Fault::Garbled(format!(
                    "{} bytes have come for client {id} without an end of a frame",
                    client.partial.len()
                )));
            }
            self.buffer[..kept].copy_from_slice(&client.partial[..kept]);
            let read = match client.socket.read(&mut self.buffer[kept..]) {
                Ok(0) => return self.ended(id, "end of stream", handler),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return self.ended(id, &error.to_string(), handler),
            };
            let filled = kept + read;
            if client.layer.is_some() {
                self.unwrap_and_hand_over(id, filled, now, handler)?;
            } else {
                let input = &self.buffer[..filled];
                let used = frames(self.dialect, &mut self.clients, id, input, now, handler)?;
                let client = &mut self.clients.slots[id];
                client.partial.clear();
                client.partial.extend_from_slice(&self.buffer[used..filled]);
            }
            // A short read has emptied the socket: that is one system call saved for each event.
            if filled < self.buffer.len() && !ending {
                return Ok(());
            }
        }
    }

    /// What was read into the buffer goes through the client's layer first.
    fn unwrap_and_hand_over(
        &mut self,
        id: usize,
        filled: usize,
        now: u64,
        handler: &mut impl Handler,
    ) -> Result<(), Fault> {
        let client = &mut self.clients.slots[id];
        let Some(layer) = &mut client.layer else { return Ok(()) };
        self.plain.clear();
        self.plain.append(&mut client.partial);
        let was_open = layer.is_open();
        let received = layer.receive(&self.buffer[..filled], &mut self.plain, &mut client.wire);
        let (is_open, answers) = (layer.is_open(), !client.wire.is_empty());
        self.resumed += u64::from(is_open && !was_open && layer.is_resumed());
        if answers {
            self.clients.enqueue(id);
        }
        if is_open && !was_open {
            handler.connected(&mut self.clients, id);
        }
        let used = frames(self.dialect, &mut self.clients, id, &self.plain, now, handler)?;
        let client = &mut self.clients.slots[id];
        client.partial.extend_from_slice(&self.plain[used..]);
        match received {
            Ok(()) => Ok(()),
            Err(_) if client.leaving => Ok(()),
            Err(Ending::Closed(why)) => self.ended(id, &why, handler),
            Err(Ending::Refused(why)) => Err(Fault::Lost(format!("that of client {id}: {why}"))),
            Err(Ending::Wrong(what)) => Err(Fault::Garbled(format!("for client {id}: {what}"))),
        }
    }

    fn ended(&mut self, id: usize, why: &str, handler: &mut impl Handler) -> Result<(), Fault> {
        handler.closed(&mut self.clients, id, why)?;
        self.clients.close(id);
        Ok(())
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
            Ok(Some((_, Frame::Full(why)))) => {
                handler.refused(clients, id, &String::from_utf8_lossy(why))?;
                clients.close(id);
                return Ok(input.len());
            }
            Ok(Some((_, Frame::Farewell(why)))) => {
                let why = String::from_utf8_lossy(why);
                return Err(Fault::Ended(format!("that of client {id}: {why}")));
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
