//! Brings clients in: connect, log in, join a room; many at a time, until all are there, or the server lets in no more.

use std::time::Duration;

use super::{Live, Site};
use crate::dialects::{Dialect, Frame};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::names::Names;
use crate::swarm::{Clients, Handler, Swarm};

/// A client to bring in.
#[derive(Clone, Copy)]
pub struct Guest {
    pub room: u32,
    /// Whether it joins the room, or only sends to it.
    pub member: bool,
    /// Bytes that the kernel may hold for it, if not the usual.
    pub receive_buffer: Option<usize>,
}

impl Guest {
    pub fn member(room: u32) -> Guest {
        Guest { room, member: true, receive_buffer: None }
    }

    pub fn publisher(room: u32) -> Guest {
        Guest { room, member: false, receive_buffer: None }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Connecting,
    LoggingIn,
    Joining,
    There,
    Refused,
}

struct Gathering<'d> {
    dialect: &'d dyn Dialect,
    names: Names,
    /// The number of the first of these guests.
    first: usize,
    guests: Vec<(Guest, Stage)>,
    /// How many of them need nothing more.
    settled: usize,
    /// Why no more are to come.
    refusal: Option<Fault>,
}

/// Brings `guests` in, whose numbers follow those of the clients that are there, and gives the numbers of those who are
/// in. If those are not all, [`Swarm::short_of`] says why, and nobody else is to be brought in, for numbers have gaps
/// then. If nobody is there at all, that is the fault.
pub fn gather(swarm: &mut Swarm<'_>, site: &Site<'_>, guests: &[Guest]) -> Result<Vec<usize>, Fault> {
    let first = swarm.clients.len();
    let at_once = site.dialect.connect_at_once();
    let (dialect, names) = (swarm.dialect(), swarm.names);
    let mut gathering = Gathering { dialect, names, first, guests: Vec::new(), settled: 0, refusal: None };
    let (mut last, mut told) = (swarm.now(), 0);
    loop {
        while gathering.wants_more(guests.len(), at_once) {
            let guest = guests[gathering.guests.len()];
            match swarm.connect(guest.receive_buffer) {
                Ok(id) => {
                    assert_eq!(id, first + gathering.guests.len(), "no client leaves while others come");
                    gathering.guests.push((guest, Stage::Connecting));
                }
                Err(fault @ Fault::OutOfPorts(_)) => gathering.refusal = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        let all = if gathering.refusal.is_some() { gathering.guests.len() } else { guests.len() };
        if gathering.settled == all {
            return gathering.finish(swarm, guests.len());
        }
        if swarm.turn(Some(Duration::from_millis(100)), &mut gathering)? {
            last = swarm.now();
        } else if swarm.now() - last > site.patience() {
            return Err(Fault::Missing(format!(
                "only {} of {all} clients could log in and join",
                gathering.settled
            )));
        }
        if swarm.now() - told > 100_000_000 {
            told = swarm.now();
            (site.progress)(Live::Gathering { there: first + gathering.settled, all: first + guests.len() });
        }
    }
}

/// The same, and enters them into the books. Who was not let in stands there as one that is in no room.
pub fn gather_for(
    swarm: &mut Swarm<'_>,
    site: &Site<'_>,
    guests: &[Guest],
    ledger: &mut Ledger,
) -> Result<Vec<usize>, Fault> {
    let first = swarm.clients.len();
    let there = gather(swarm, site, guests)?;
    let last = there.last().map_or(0, |last| last + 1 - first);
    for (place, guest) in guests[..last].iter().enumerate() {
        let is_there = there.binary_search(&(first + place)).is_ok();
        ledger.enter(guest.room, guest.member && is_there);
    }
    Ok(there)
}

impl Gathering<'_> {
    fn wants_more(&self, all: usize, at_once: usize) -> bool {
        self.refusal.is_none() && self.guests.len() < all && self.guests.len() - self.settled < at_once
    }

    /// Nobody is on the way any more.
    fn finish(self, swarm: &mut Swarm<'_>, wanted: usize) -> Result<Vec<usize>, Fault> {
        let is_there = |(_, (_, stage)): &(usize, &(Guest, Stage))| *stage == Stage::There;
        let there = self.guests.iter().enumerate().filter(is_there).map(|(place, _)| self.first + place);
        let there: Vec<usize> = there.collect();
        if let Some(refusal) = self.refusal {
            let (in_all, wanted) = (self.first + there.len(), self.first + wanted);
            if in_all == 0 {
                return Err(refusal);
            }
            swarm.short_of = Some(format!("{refusal}: measured with {in_all} clients instead of {wanted}"));
        }
        Ok(there)
    }
}

impl Handler for Gathering<'_> {
    fn connected(&mut self, clients: &mut Clients, id: usize) {
        self.guests[id - self.first].1 = Stage::LoggingIn;
        self.dialect.login(self.names.client(id as u32), clients.out(id));
    }

    fn frame(
        &mut self,
        clients: &mut Clients,
        id: usize,
        frame: Frame<'_>,
        _: &[u8],
        _: u64,
    ) -> Result<(), Fault> {
        match frame {
            Frame::Other => return Ok(()),
            Frame::Done(_) if id >= self.first => {}
            _ => return Err(Fault::Garbled(format!("before anybody has spoken, client {id} got {frame:?}"))),
        }
        let (guest, stage) = &mut self.guests[id - self.first];
        *stage = match *stage {
            Stage::LoggingIn if guest.member => {
                self.dialect.join(self.names.room(guest.room), clients.out(id));
                Stage::Joining
            }
            Stage::LoggingIn | Stage::Joining => {
                self.settled += 1;
                Stage::There
            }
            Stage::Connecting | Stage::There | Stage::Refused => {
                return Err(Fault::Repeated(format!("client {id} got a reply that it had not asked for")));
            }
        };
        Ok(())
    }

    fn refused(&mut self, _: &mut Clients, id: usize, why: &str) -> Result<(), Fault> {
        let fault = Fault::Full(why.to_owned());
        match self.guests.get_mut(id.wrapping_sub(self.first)) {
            Some((_, stage)) if *stage != Stage::There => *stage = Stage::Refused,
            _ => return Err(fault),
        }
        self.settled += 1;
        self.refusal = Some(fault);
        Ok(())
    }
}
