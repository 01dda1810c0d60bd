//! Brings clients in: connect, log in, join a room; many at a time, until all are there.

use std::time::Duration;

use super::Site;
use crate::dialects::{Dialect, Frame};
use crate::ledger::{Fault, Ledger};
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
}

struct Gathering<'d> {
    dialect: &'d dyn Dialect,
    /// The number of the first of these guests.
    first: usize,
    guests: Vec<(Guest, Stage)>,
    there: usize,
}

/// Brings `guests` in, whose numbers follow those of the clients that are there.
pub fn gather(swarm: &mut Swarm<'_>, site: &Site<'_>, guests: &[Guest]) -> Result<(), Fault> {
    let first = swarm.clients.len();
    let at_once = site.dialect.connect_at_once();
    let mut gathering = Gathering { dialect: swarm.dialect(), first, guests: Vec::new(), there: 0 };
    let mut last = swarm.now();
    while gathering.there < guests.len() {
        while gathering.guests.len() < guests.len() && gathering.guests.len() - gathering.there < at_once {
            let guest = guests[gathering.guests.len()];
            let id = swarm.connect(guest.receive_buffer)?;
            assert_eq!(id, first + gathering.guests.len(), "no client leaves while others come");
            gathering.guests.push((guest, Stage::Connecting));
        }
        if swarm.turn(Some(Duration::from_millis(100)), &mut gathering)? {
            last = swarm.now();
        } else if swarm.now() - last > site.patience() {
            let (there, all) = (gathering.there, guests.len());
            return Err(Fault::Missing(format!("only {there} of {all} clients could log in and join")));
        }
    }
    Ok(())
}

/// The same, and enters them into the books.
pub fn gather_for(
    swarm: &mut Swarm<'_>,
    site: &Site<'_>,
    guests: &[Guest],
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    guests.iter().for_each(|guest| ledger.enter(guest.room, guest.member));
    gather(swarm, site, guests)
}

impl Handler for Gathering<'_> {
    fn connected(&mut self, clients: &mut Clients, id: usize) {
        self.guests[id - self.first].1 = Stage::LoggingIn;
        self.dialect.login(id as u32, clients.out(id));
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
                self.dialect.join(guest.room, clients.out(id));
                Stage::Joining
            }
            Stage::LoggingIn | Stage::Joining => {
                self.there += 1;
                Stage::There
            }
            Stage::Connecting | Stage::There => {
                return Err(Fault::Repeated(format!("client {id} got a reply that it had not asked for")));
            }
        };
        Ok(())
    }
}
