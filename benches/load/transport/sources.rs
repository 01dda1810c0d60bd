//! Where the generator's TCP connections come from.
//!
//! A connection is four numbers: both addresses and both ports. From one address there are some 28,000 ports towards a
//! server, and one that was used stays taken for a minute. On loopback each connection gets a source of its own, out of
//! 250 addresses with 50,000 ports each; left to itself the kernel would search for a free one, and after some 20,000
//! connections that takes longer than all else. Towards another host `--source` gives more than one address.

use std::cell::Cell;
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

/// Gives each connection its source. Shared by all swarms of the process, so that none meets what another has left.
pub struct Sources {
    /// None: the kernel chooses.
    addresses: Vec<IpAddr>,
    /// None: the kernel chooses.
    ports: Option<Range<u16>>,
    next: Cell<u64>,
}

impl Sources {
    /// Those for a server at `address`: from `given`, if there are any.
    pub fn towards(address: &Address, given: &[IpAddr]) -> Sources {
        let loopback =
            matches!(address, Address::Tcp(address) if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST));
        if given.is_empty() && loopback {
            let all = (1..=ADDRESSES).map(|last| Ipv4Addr::new(127, 0, 0, last).into()).collect();
            // Two generators at once hardly ever begin at the same place.
            let begin = RandomState::new().hash_one(std::process::id()) >> 32;
            return Sources { next: Cell::new(begin), ..Sources::exactly(all, PORTS) };
        }
        Sources { addresses: given.to_vec(), ports: None, next: Cell::new(0) }
    }

    /// These and no others.
    pub fn exactly(addresses: Vec<IpAddr>, ports: Range<u16>) -> Sources {
        Sources { addresses, ports: Some(ports), next: Cell::new(0) }
    }

    /// How many sources may be found taken, one after the other, before there are none left.
    pub fn tries(&self) -> u64 {
        let addresses = (self.addresses.len() as u64).max(1);
        let ports = self.ports.as_ref().map_or(1, |ports| u64::from(ports.end - ports.start));
        let enough = if addresses == 1 { ports } else { ports.min(TAKEN_BEFORE_MOVING) };
        addresses * enough
    }

    /// The last source was found taken, which happened so often in a row.
    pub fn taken(&self, in_a_row: u64) {
        if let (Some(ports), true) = (&self.ports, in_a_row.is_multiple_of(TAKEN_BEFORE_MOVING)) {
            self.next.set(self.next.get().wrapping_add(u64::from(ports.end - ports.start)));
        }
    }

    /// Gives a new socket its source.
    pub fn bind(&self, socket: &Socket) -> io::Result<()> {
        if self.addresses.is_empty() {
            return Ok(());
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let count = self.addresses.len() as u64;
        let source = match &self.ports {
            Some(ports) => {
                // One that ended a while ago is no obstacle.
                socket.set_reuse_address(true)?;
                let range = u64::from(ports.end - ports.start);
                let address = self.addresses[(number / range % count) as usize];
                SocketAddr::new(address, ports.start + (number % range) as u16)
            }
            None => SocketAddr::new(self.addresses[(number % count) as usize], 0),
        };
        socket.bind(&source.into())
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
