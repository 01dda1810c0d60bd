//! Clients say numbered messages in their rooms, at a pace, and the books are kept.

use std::time::Duration;

use super::Site;
use crate::dialects::{Dialect, Frame};
use crate::fault::Fault;
use crate::ledger::{Delivered, Ledger};
use crate::measure::{Latency, Measured, Meter, latency};
use crate::process::Watched;
use crate::swarm::{Clients, Handler, Swarm};

/// When the next message is said.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// In each room so many messages are under way at any time; one that has reached everybody makes place for the next.
    Window(u32),
    /// So many messages a second in all, on a schedule that does not wait for the server.
    Rate(f64),
}

/// A conversation in any number of rooms.
pub struct Talk<'d> {
    dialect: &'d dyn Dialect,
    pub ledger: Ledger,
    /// For each room, who speaks in it, in turn. Nobody, where nobody was let in.
    speakers: Vec<Vec<u32>>,
    turns: Vec<usize>,
    /// Rooms in which a message has reached everybody.
    free: Vec<u32>,
    pub meter: Meter,
    /// How much later than due the messages of a schedule were sent: the generator's own fault.
    pub lateness: Latency,
}

impl<'d> Talk<'d> {
    /// The speakers for each room are clients that `ledger` knows.
    pub fn new(dialect: &'d dyn Dialect, ledger: Ledger, speakers: Vec<Vec<u32>>) -> Talk<'d> {
        let turns = vec![0; speakers.len()];
        let meter = Meter::new(&Watched::default(), 0, 0);
        Talk { dialect, ledger, speakers, turns, free: Vec::new(), meter, lateness: latency() }
    }

    /// Lets them talk for as long as the site says, then waits until all has arrived.
    pub fn run(&mut self, swarm: &mut Swarm<'_>, site: &Site<'_>, pace: Pace) -> Result<Measured, Fault> {
        self.run_until(swarm, site, pace, &|_| false)
    }

    /// The same, but ends sooner where `enough`.
    pub fn run_until(
        &mut self,
        swarm: &mut Swarm<'_>,
        site: &Site<'_>,
        pace: Pace,
        enough: &dyn Fn(&Meter) -> bool,
    ) -> Result<Measured, Fault> {
        let begin = swarm.now();
        let mut schedule = Schedule::new(pace, begin);
        let mut last = begin;
        self.meter = Meter::new(site.watched, begin, site.warm_up());
        self.lateness.reset();
        self.free.clear();
        if let Pace::Window(window) = pace {
            let rooms = || 0..self.speakers.len() as u32;
            let with_speakers = |room: &u32| !self.speakers[*room as usize].is_empty();
            self.free.extend((0..window).flat_map(|_| rooms().filter(with_speakers)));
        }
        while swarm.now() - begin < site.duration() && !enough(&self.meter) {
            let now = swarm.now();
            for room in std::mem::take(&mut self.free) {
                if matches!(pace, Pace::Window(_)) {
                    self.say(&mut swarm.clients, room, now);
                }
            }
            while let Some((due, count)) = schedule.due(now) {
                self.lateness.saturating_record(now - due);
                self.say(&mut swarm.clients, (count % self.speakers.len() as u64) as u32, due);
            }
            if swarm.turn(schedule.wait(swarm.now()), self)? || self.ledger.settled() {
                last = swarm.now();
            } else if swarm.now() - last > site.patience() {
                return Err(self.ledger.missing());
            }
            site.tick(&mut self.meter, swarm);
        }
        let measured = self.meter.stop(swarm.now(), swarm.waited());
        self.settle(swarm, site)?;
        Ok(measured)
    }

    /// Waits for what is still under way, and a moment longer, lest something came twice.
    pub fn settle(&mut self, swarm: &mut Swarm<'_>, site: &Site<'_>) -> Result<(), Fault> {
        let mut last = swarm.now();
        while !self.ledger.settled() {
            if swarm.turn(Some(Duration::from_millis(50)), self)? {
                last = swarm.now();
            } else if swarm.now() - last > site.patience() {
                return Err(self.ledger.missing());
            }
        }
        while swarm.turn(Some(Duration::from_millis(20)), self)? {}
        Ok(())
    }

    fn count(&mut self, delivered: Delivered, now: u64) {
        self.meter.count(now.saturating_sub(delivered.due));
        if let Some(complete) = delivered.complete {
            self.meter.complete();
            self.free.push(complete.room);
        }
    }

    fn say(&mut self, clients: &mut Clients, room: u32, due: u64) {
        let speakers = &self.speakers[room as usize];
        let turn = &mut self.turns[room as usize];
        let speaker = speakers[*turn];
        *turn = (*turn + 1) % speakers.len();
        let names = self.ledger.names();
        let text = self.ledger.send(speaker, due);
        self.dialect.send(names.client(speaker), names.room(room), text, clients.out(speaker as usize));
    }
}

impl Handler for Talk<'_> {
    fn foreseen(&mut self, id: usize, input: &[u8], now: u64) -> Option<usize> {
        let (length, delivered) = self.ledger.foreseen(id as u32, input)?;
        self.count(delivered, now);
        Some(length)
    }

    fn frame(
        &mut self,
        _: &mut Clients,
        id: usize,
        frame: Frame<'_>,
        raw: &[u8],
        now: u64,
    ) -> Result<(), Fault> {
        match frame {
            Frame::Delivery { .. } => {
                let delivered = self.ledger.delivered(self.dialect, id as u32, &frame, raw)?;
                self.count(delivered, now);
                Ok(())
            }
            Frame::Done(quoted) => self.ledger.answered(id as u32, quoted),
            _ => Ok(()),
        }
    }
}

/// When messages are due. In nanoseconds.
struct Schedule {
    begin: u64,
    interval: Option<f64>,
    said: u64,
}

impl Schedule {
    fn new(pace: Pace, begin: u64) -> Schedule {
        let interval = match pace {
            Pace::Window(_) => None,
            Pace::Rate(rate) => Some(1e9 / rate),
        };
        Schedule { begin, interval, said: 0 }
    }

    fn next(&self) -> Option<u64> {
        Some(self.begin + (self.said as f64 * self.interval?) as u64)
    }

    /// When the next message was due, and the how-manieth it is, if it is due by now.
    fn due(&mut self, now: u64) -> Option<(u64, u64)> {
        let next = self.next().filter(|next| *next <= now)?;
        self.said += 1;
        Some((next, self.said - 1))
    }

    /// How long to wait for the server. `poll` knows only whole milliseconds and rounds up, so the last one before a
    /// message is due is spent without waiting.
    fn wait(&self, now: u64) -> Option<Duration> {
        const LONGEST: u64 = 50;
        let milliseconds =
            self.next().map_or(LONGEST, |next| next.saturating_sub(now + 1_000_000) / 1_000_000);
        Some(Duration::from_millis(milliseconds.min(LONGEST)))
    }
}
