//! The floor: the least that a server can do, as the physical limit beside which others are measured.
//!
//! It reads, finds line ends, and sends all members of a room the bytes that are new in it, in one write each and
//! turn. Nothing is parsed but a verb and a room number at a fixed place ([`crate::dialects::floor`] writes them), no
//! name is kept, nothing is checked, no limit holds. It runs as a child process of the generator, like any server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use crate::dialects::floor::HEADER;
use crate::message::read_hex;

const LISTENER: Token = Token(usize::MAX);

struct Peer {
    stream: TcpStream,
    rooms: Vec<usize>,
    /// An unfinished line.
    partial: Vec<u8>,
    /// What the kernel would not take yet.
    backlog: Vec<u8>,
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// What was said in it in this turn.
    new: Vec<u8>,
}

#[derive(Default)]
struct Floor {
    peers: Slab<Peer>,
    rooms: Vec<Room>,
    /// The rooms in which something is new.
    talking: Vec<usize>,
    gone: Vec<usize>,
}

/// Serves until it is killed.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    let mut listener = TcpListener::from_std(socket.into());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor::default();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener, &poll)?,
                Token(id) => {
                    if event.is_writable() {
                        floor.write(id, &[]);
                    }
                    if event.is_readable() {
                        floor.read(id, &mut buffer, event.is_read_closed());
                    }
                }
            }
        }
        floor.deliver();
        floor.bury();
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let entry = self.peers.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Peer { stream, rooms: Vec::new(), partial: Vec::new(), backlog: Vec::new() });
        }
        Ok(())
    }

    fn read(&mut self, id: usize, buffer: &mut [u8], ending: bool) {
        loop {
            let Some(peer) = self.peers.get_mut(id) else { return };
            let kept = peer.partial.len();
            buffer[..kept].copy_from_slice(&peer.partial);
            peer.partial.clear();
            let filled = match peer.stream.read(&mut buffer[kept..]) {
                Ok(0) => return self.gone.push(id),
                Ok(bytes) => kept + bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return peer.partial.extend_from_slice(&buffer[..kept]);
                }
                Err(_) => return self.gone.push(id),
            };
            let mut done = 0;
            let mut reply = Vec::new();
            while let Some(end) = memchr::memchr(b'\n', &buffer[done..filled]) {
                let line = &buffer[done..done + end + 1];
                done += line.len();
                self.line(id, line, &mut reply);
            }
            if !reply.is_empty() {
                self.write(id, &reply);
            }
            if let Some(peer) = self.peers.get_mut(id) {
                peer.partial.extend_from_slice(&buffer[done..filled]);
            }
            if filled < buffer.len() && !ending {
                return;
            }
        }
    }

    /// One line: said in a room, or else repeated to the one it came from.
    fn line(&mut self, id: usize, line: &[u8], reply: &mut Vec<u8>) {
        let room = line.get(1..HEADER).and_then(read_hex).unwrap_or(0) as usize;
        if self.rooms.len() <= room {
            self.rooms.resize_with(room + 1, Room::default);
        }
        match line[0] {
            b'S' => {
                let room_said = &mut self.rooms[room];
                if room_said.new.is_empty() {
                    self.talking.push(room);
                }
                return room_said.new.extend_from_slice(line);
            }
            b'J' => {
                self.rooms[room].members.push(id);
                self.peers[id].rooms.push(room);
            }
            b'Q' => {
                self.rooms[room].members.retain(|member| *member != id);
                self.peers[id].rooms.retain(|joined| *joined != room);
            }
            _ => {}
        }
        reply.extend_from_slice(line);
    }

    /// Sends every room's members what is new in it.
    fn deliver(&mut self) {
        for room in std::mem::take(&mut self.talking) {
            let new = std::mem::take(&mut self.rooms[room].new);
            let members = std::mem::take(&mut self.rooms[room].members);
            for member in &members {
                self.write(*member, &new);
            }
            self.rooms[room].members = members;
            self.rooms[room].new = new;
            self.rooms[room].new.clear();
        }
    }

    /// Writes what waits for a peer and then `bytes`; what the kernel does not take, waits.
    fn write(&mut self, id: usize, bytes: &[u8]) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if !peer.backlog.is_empty() {
            peer.backlog.extend_from_slice(bytes);
            let sent = peer.stream.write(&peer.backlog).unwrap_or(0);
            peer.backlog.drain(..sent);
        } else if !bytes.is_empty() {
            let sent = peer.stream.write(bytes).unwrap_or(0);
            peer.backlog.extend_from_slice(&bytes[sent..]);
        }
    }

    /// Forgets those that have gone, once the batch of events is over.
    fn bury(&mut self) {
        while let Some(id) = self.gone.pop() {
            if let Some(peer) = self.peers.try_remove(id) {
                for room in peer.rooms {
                    self.rooms[room].members.retain(|member| *member != id);
                }
            }
        }
    }
}
