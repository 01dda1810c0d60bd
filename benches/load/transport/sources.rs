//! Where the generator's TCP connections come from.
//!
//! A connection is four numbers: both addresses and both ports. From one address there are some 28,000 ports towards a
//! server, and one that the kernel has chosen stays taken for a minute after its connection. On loopback each connection
//! gets a source of its own, out of 250 addresses with 50,000 ports each; left to itself the kernel would search for a
//! free one, and after some 20,000 connections that takes longer than all else. Towards another host `--source` gives
//! addresses. Where a port is asked for by its number, Linux gives it again at once when its connection is over.

use std::cell::Cell;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use socket2::{Domain, Protocol, Socket, Type};

use super::Address;

const PORTS: Range<u16> = 10_000..60_000;
const ADDRESSES: u8 = 250;
/// After so many that are taken in a row, the next address is tried.
const TAKEN_BEFORE_MOVING: u64 = 64;

/// Gives each connection its source. Shared by all swarms of a run, so that none meets what another has left.
pub struct Sources {
    /// None: the kernel chooses address and port.
    addresses: Vec<IpAddr>,
    ports: Range<u16>,
    next: Cell<u64>,
}

impl Sources {
    /// Those for a server at `address`: from `given`, if there are any.
    pub fn towards(address: &Address, given: &[IpAddr]) -> Sources {
        let loopback =
            matches!(address, Address::Tcp(address) if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST));
        let sources = match (given, loopback) {
            ([], true) => {
                let all = (1..=ADDRESSES).map(|last| Ipv4Addr::new(127, 0, 0, last).into());
                Sources::exactly(all.collect(), PORTS)
            }
            _ => Sources::exactly(given.to_vec(), ephemeral_ports()),
        };
        sources.begin_anywhere();
        sources
    }

    /// The same once more, for another thread.
    pub fn others(&self) -> Sources {
        let sources = Sources::exactly(self.addresses.clone(), self.ports.clone());
        sources.begin_anywhere();
        sources
    }

    /// Two generators at once hardly ever begin at the same place.
    fn begin_anywhere(&self) {
        self.next.set(RandomState::new().hash_one(std::process::id()) >> 32);
    }

    /// These and no others.
    pub fn exactly(addresses: Vec<IpAddr>, ports: Range<u16>) -> Sources {
        Sources { addresses, ports, next: Cell::new(0) }
    }

    /// How many sources may be found taken, one after the other, before there are none left.
    pub fn tries(&self) -> u64 {
        match self.addresses.len() as u64 {
            0 => 1,
            1 => self.count(),
            addresses => addresses * self.count().min(TAKEN_BEFORE_MOVING),
        }
    }

    /// Ports of each address.
    fn count(&self) -> u64 {
        u64::from(self.ports.end.saturating_sub(self.ports.start)).max(1)
    }

    /// The last source was found taken, which happened so often in a row.
    pub fn taken(&self, in_a_row: u64) {
        if in_a_row.is_multiple_of(TAKEN_BEFORE_MOVING) {
            self.next.set(self.next.get().wrapping_add(self.count()));
        }
    }

    /// Gives a new socket its source.
    pub fn bind(&self, socket: &Socket) -> io::Result<()> {
        if self.addresses.is_empty() {
            return Ok(());
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let place = number / self.count() % self.addresses.len() as u64;
        let port = self.ports.start + (number % self.count()) as u16;
        // One whose connection is over is no obstacle.
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(self.addresses[place as usize], port).into())
    }
}

/// Those that the system gives to who asks for none.
fn ephemeral_ports() -> Range<u16> {
    const USUAL: Range<u16> = 32_768..61_000;
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let numbers: Vec<u16> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [first, last] if first < last => first..last.saturating_add(1),
        _ => USUAL,
    }
}

/// Connects and hangs up. From another address, where there is one: as long as nobody listens, the kernel may choose the
/// very port as the source, and a connection with itself is one that stands. After a churn few ports are free.
pub fn knock(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let _ = socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into());
    }
    socket.connect(&address.into())
}
