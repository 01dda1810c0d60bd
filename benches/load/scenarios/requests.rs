//! `requests`: what a request costs that reaches nobody else. Each client has so many of them under way.

use std::collections::VecDeque;
use std::time::Duration;

use super::Site;
use super::gather::{Guest, gather_for};
use crate::dialects::{Dialect, Frame};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::measure::{Meter, Outcome, REQUEST};
use crate::names::Names;
use crate::swarm::{Clients, Handler};

struct Requests<'d> {
    dialect: &'d dyn Dialect,
    names: Names,
    ledger: Ledger,
    /// For each client, when its unanswered requests were sent.
    asked: Vec<VecDeque<u64>>,
    meter: Meter,
    over: bool,
}

/// `clients`, each alone in its room, with `window` requests under way.
pub fn requests(site: &Site<'_>, clients: usize, window: u32) -> Result<Outcome, Fault> {
    let mut swarm = site.swarm()?;
    let names = swarm.names;
    let mut ledger = Ledger::new(site.dialect, names, site.text);
    let member = site.dialect.requests_need_room();
    let guests: Vec<Guest> =
        (0..clients as u32).map(|room| Guest { member, ..Guest::publisher(room) }).collect();
    let there = gather_for(&mut swarm, site, &guests, &mut ledger)?;

    let begin = swarm.now();
    let meter = Meter::new(site.watched, begin, site.warm_up());
    let asked = vec![VecDeque::new(); clients];
    let mut requests = Requests { dialect: site.dialect, names, ledger, asked, meter, over: false };
    for client in there {
        (0..window).for_each(|_| requests.ask(&mut swarm.clients, client, begin));
    }
    while swarm.now() - begin < site.duration() {
        swarm.turn(Some(Duration::from_millis(50)), &mut requests)?;
        site.tick(&mut requests.meter, &swarm);
    }
    let measured = requests.meter.stop(swarm.now(), swarm.waited());
    requests.over = true;
    let mut last = swarm.now();
    while !requests.ledger.settled() {
        if swarm.turn(Some(Duration::from_millis(50)), &mut requests)? {
            last = swarm.now();
        } else if swarm.now() - last > site.patience() {
            return Err(requests.ledger.missing());
        }
    }
    Ok(Outcome::of_load(REQUEST, &measured, requests.meter).noting(swarm.short_of))
}

impl Requests<'_> {
    fn ask(&mut self, clients: &mut Clients, client: usize, now: u64) {
        let number = client as u32;
        let text = match self.dialect.requests_need_room() {
            true => self.ledger.send(number, now),
            false => self.ledger.request(number),
        };
        let (name, room) = (self.names.client(number), self.names.room(number));
        self.dialect.request(name, room, text, clients.out(client));
        self.asked[client].push_back(now);
    }
}

impl Handler for Requests<'_> {
    fn frame(
        &mut self,
        clients: &mut Clients,
        id: usize,
        frame: Frame<'_>,
        raw: &[u8],
        now: u64,
    ) -> Result<(), Fault> {
        match frame {
            Frame::Done(quoted) => {
                self.ledger.answered(id as u32, quoted)?;
                if let Some(asked) = self.asked[id].pop_front() {
                    self.meter.count(now - asked);
                }
                if !self.over {
                    self.ask(clients, id, now);
                }
                Ok(())
            }
            Frame::Delivery { .. } => self.ledger.delivered(self.dialect, id as u32, &frame, raw).map(|_| ()),
            _ => Ok(()),
        }
    }
}
