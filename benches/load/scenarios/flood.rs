//! `flood`: newcomers come in masses, shake hands and go, or do not even finish. What do those who talk notice?
//!
//! The flood runs on a thread of its own, which gets only the time that the generator itself does not need: else what is
//! measured would be how the two share their CPU.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Site;
use super::chat::one_room;
use super::talk::Pace;
use crate::dialects::Frame;
use crate::fault::Fault;
use crate::measure::{DELIVERY, Figure, Outcome, latency};
use crate::process;
use crate::swarm::{Clients, Handler, Swarm};
use crate::transport::Endpoint;

/// So often is measured without and with the flood, in turn, lest something else on the host meets only one of them.
const TURNS: usize = 2;

/// The next wave comes after this time even if the one before is not through.
const LONGEST_WAVE: Duration = Duration::from_secs(2);

/// The longest that a flood waits for events at once.
const PAUSE: Duration = Duration::from_millis(20);

/// One room of `receivers`, `rate` messages a second, without and with waves of `newcomers` at once. The latency is that
/// with them.
pub fn flood(site: &Site<'_>, receivers: usize, rate: f64, newcomers: usize) -> Result<Outcome, Fault> {
    let (mut swarm, mut talk) = one_room(site, receivers)?;
    let (mut without, mut with) = (latency(), latency());
    let (mut done, mut seconds) = (Done::default(), 0.0);
    let mut measured = talk.run(&mut swarm, site, Pace::Rate(rate))?;
    for turn in 0..TURNS {
        if turn > 0 {
            talk.run(&mut swarm, site, Pace::Rate(rate))?;
        }
        without += &talk.meter.latency;
        let (talked, flooded) = beside(site, newcomers, || talk.run(&mut swarm, site, Pace::Rate(rate)));
        (measured, done) = (talked?, done.and(flooded?));
        seconds += site.duration.as_secs_f64();
        with += &talk.meter.latency;
    }
    let milliseconds = |nanoseconds| nanoseconds as f64 / 1e6;
    let p99 = [&without, &with].map(|latency| milliseconds(latency.value_at_quantile(0.99)));
    talk.meter.latency = with;
    let mut outcome = Outcome::of_load(DELIVERY, &measured, talk.meter).led_by("p99").noting(swarm.short_of);
    // Most of what the server does is not for deliveries.
    outcome.figures.retain(|figure| figure.name != DELIVERY.cpu);
    let late = milliseconds(talk.lateness.value_at_quantile(0.99));
    outcome.figures.extend([
        Figure::neither("p99 without", "ms", p99[0]),
        Figure::less("ratio", "×", p99[1] / p99[0].max(f64::MIN_POSITIVE)),
        Figure::neither("handshakes", "/s", done.handshakes as f64 / seconds),
        Figure::neither("unfinished", "/s", done.unfinished as f64 / seconds),
        Figure::neither("sent late p99", "ms", late),
    ]);
    let unyielding = "the flood could not be told to yield to those who talk (chrt is missing)".to_owned();
    Ok(outcome.noting((!done.yielded).then_some(unyielding)))
}

/// Runs `talk` while there is a flood.
fn beside<T>(site: &Site<'_>, newcomers: usize, talk: impl FnOnce() -> T) -> (T, Result<Done, Fault>) {
    let over = AtomicBool::new(false);
    let (dialect, endpoint, is_over) = (site.dialect, site.endpoint, &over);
    let sources = endpoint.sources.others();
    let (address, others, via) = (endpoint.address, endpoint.others, endpoint.via);
    thread::scope(|scope| {
        let flood = scope.spawn(move || {
            let yielded = process::yield_to_others();
            let endpoint = Endpoint { address, others, via, sources: &sources };
            let mut newcomers = Newcomers::new(newcomers);
            let flooded = newcomers.flood(&mut Swarm::new(dialect, endpoint)?, is_over);
            flooded.map(|()| Done { yielded, ..newcomers.done })
        });
        let talked = talk();
        over.store(true, Ordering::Relaxed);
        let died = |_| Err(Fault::Host("the flood has died".to_owned()));
        (talked, flood.join().unwrap_or_else(died))
    })
}

/// What a flood has done.
#[derive(Clone, Copy, Debug)]
struct Done {
    handshakes: u64,
    unfinished: u64,
    /// Whether it ran only when nothing else wanted to.
    yielded: bool,
}

impl Default for Done {
    fn default() -> Done {
        Done { handshakes: 0, unfinished: 0, yielded: true }
    }
}

impl Done {
    fn and(self, other: Done) -> Done {
        Done {
            handshakes: self.handshakes + other.handshakes,
            unfinished: self.unfinished + other.unfinished,
            yielded: self.yielded && other.yielded,
        }
    }
}

/// How far a newcomer goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Far {
    /// To the end of the handshake; then it leaves.
    Whole,
    /// It says what it should say first, which is work for the server, and is deaf to the answer.
    Deaf,
    /// It sends the first half of that.
    Half,
    /// It connects and is silent.
    Nowhere,
}

const FAR: [Far; 4] = [Far::Whole, Far::Half, Far::Deaf, Far::Nowhere];

struct Newcomers {
    at_once: usize,
    wave: u64,
    /// By connection: its wave, and how far it goes.
    there: Vec<Option<(u64, Far)>>,
    /// Those who shake hands and are not through.
    under_way: usize,
    done: Done,
}

impl Newcomers {
    fn new(at_once: usize) -> Newcomers {
        Newcomers { at_once, wave: 0, there: Vec::new(), under_way: 0, done: Done::default() }
    }

    /// Wave after wave, until it is over. Those who do not finish stay for one wave more.
    fn flood(&mut self, swarm: &mut Swarm<'_>, over: &AtomicBool) -> Result<(), Fault> {
        let mut before = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let unfinished = self.come(swarm)?;
            self.done.unfinished += unfinished.len() as u64;
            let nobody_came = unfinished.is_empty() && self.under_way == 0;
            let begin = swarm.now();
            while self.under_way > 0
                && !over.load(Ordering::Relaxed)
                && swarm.now() - begin < LONGEST_WAVE.as_nanos() as u64
            {
                swarm.turn(Some(PAUSE), self)?;
            }
            for id in std::mem::replace(&mut before, unfinished) {
                // It may have gone by itself, and its number be that of another.
                if matches!(self.there.get(id), Some(Some((wave, _))) if *wave < self.wave) {
                    self.leave(&mut swarm.clients, id);
                }
            }
            swarm.turn(Some(if nobody_came { PAUSE } else { Duration::ZERO }), self)?;
        }
        Ok(())
    }

    /// The next wave comes. Who does not finish.
    fn come(&mut self, swarm: &mut Swarm<'_>) -> Result<Vec<usize>, Fault> {
        self.wave += 1;
        let mut unfinished = Vec::new();
        for far in FAR.into_iter().cycle().take(self.at_once) {
            let id = match swarm.connect(None) {
                Ok(id) => id,
                // The wave is smaller; how many there were in all is told.
                Err(Fault::OutOfPorts(_)) => break,
                Err(fault) => return Err(fault),
            };
            if self.there.len() <= id {
                self.there.resize(id + 1, None);
            }
            self.there[id] = Some((self.wave, far));
            swarm.clients.read(id, far != Far::Deaf);
            match far {
                Far::Whole => self.under_way += 1,
                _ => unfinished.push(id),
            }
        }
        Ok(unfinished)
    }

    fn far(&self, id: usize) -> Option<Far> {
        self.there.get(id).copied().flatten().map(|(_, far)| far)
    }

    fn leave(&mut self, clients: &mut Clients, id: usize) {
        if let Some(far) = self.far(id) {
            self.there[id] = None;
            self.under_way -= usize::from(far == Far::Whole);
            clients.close(id);
        }
    }
}

impl Handler for Newcomers {
    /// Without a layer to connect is all the handshake there is.
    fn connected(&mut self, clients: &mut Clients, id: usize) {
        if self.far(id) == Some(Far::Whole) {
            self.leave(clients, id);
            self.done.handshakes += 1;
        }
    }

    fn opening(&mut self, id: usize, wire: &mut Vec<u8>) {
        match self.far(id) {
            Some(Far::Half) => wire.truncate(wire.len() / 2),
            Some(Far::Nowhere) => wire.clear(),
            _ => {}
        }
    }

    fn frame(&mut self, _: &mut Clients, _: usize, _: Frame<'_>, _: &[u8], _: u64) -> Result<(), Fault> {
        Ok(())
    }

    fn refused(&mut self, clients: &mut Clients, id: usize, _: &str) -> Result<(), Fault> {
        self.leave(clients, id);
        Ok(())
    }

    /// The server may end those who do not finish, whenever it wants.
    fn closed(&mut self, clients: &mut Clients, id: usize, _: &str) -> Result<(), Fault> {
        self.leave(clients, id);
        Ok(())
    }
}
