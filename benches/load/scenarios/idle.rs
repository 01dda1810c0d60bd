//! `idle`: clients that are logged in and in a room, and do nothing. What memory each takes, and whether they cost CPU.

use std::time::Duration;

use super::gather::{Guest, gather};
use super::{Live, Site};
use crate::dialects::Frame;
use crate::fault::Fault;
use crate::measure::{COUNT, Figure, Outcome};
use crate::process::Memory;
use crate::swarm::{Clients, Handler, Swarm};

/// Nothing should come; what the protocol says besides may.
struct Silence;

impl Handler for Silence {
    fn frame(&mut self, _: &mut Clients, id: usize, frame: Frame<'_>, _: &[u8], _: u64) -> Result<(), Fault> {
        match frame {
            Frame::Other => Ok(()),
            _ => Err(Fault::Garbled(format!("client {id} has asked for nothing and got {frame:?}"))),
        }
    }
}

/// `clients` in rooms of ten. The memory for each is the difference between half of them and all, so that what the
/// server takes for itself does not count; between none and all, if the server lets in no more than half.
pub fn idle(site: &Site<'_>, clients: usize) -> Result<Outcome, Fault> {
    let mut swarm = site.swarm()?;
    let guests: Vec<Guest> = (0..clients).map(|client| Guest::member(client as u32 / 10)).collect();
    let (first, second) = guests.split_at(clients / 2);
    let empty = site.watched.memory();
    let begin = swarm.now();
    let mut counted = gather(&mut swarm, site, first)?.len();
    let mut seconds = (swarm.now() - begin) as f64 / 1e9;
    let mut before = empty;
    if swarm.short_of.is_none() {
        let half = after_a_while(&mut swarm, site, Duration::from_millis(500))?;
        let begin = swarm.now();
        let more = gather(&mut swarm, site, second)?.len();
        seconds += (swarm.now() - begin) as f64 / 1e9;
        if more > 0 {
            (before, counted) = (half, more);
        }
    }
    let all = after_a_while(&mut swarm, site, Duration::from_millis(500))?;

    let cpu_before = site.watched.cpu();
    after_a_while(&mut swarm, site, site.duration)?;
    let cpu_after = site.watched.cpu();

    let mut outcome = Outcome::default();
    if let Some((before, all)) = before.zip(all) {
        let grown = all.own as f64 - before.own as f64;
        outcome.figures.push(Figure::less("memory/client", "B", grown / counted as f64));
        outcome.figures.push(Figure::less("memory in all", "MiB", all.resident as f64 / f64::from(1 << 20)));
    }
    if let Some((before, after)) = cpu_before.zip(cpu_after) {
        let busy = after.saturating_sub(before) as f64 / 1e3 / site.duration.as_secs_f64();
        outcome.figures.push(Figure::less("CPU while idle", "µs/s", busy));
    }
    let there = swarm.clients.len() as f64;
    outcome.figures.push(Figure::neither("clients", COUNT, there));
    outcome.figures.push(Figure::neither("came in", "/s", there / seconds.max(1e-9)));
    Ok(outcome.noting(swarm.short_of))
}

/// The server's memory, after it has had time to come to rest.
fn after_a_while(swarm: &mut Swarm<'_>, site: &Site<'_>, while_: Duration) -> Result<Option<Memory>, Fault> {
    let begin = swarm.now();
    let length = while_.as_nanos() as u64;
    while swarm.now() - begin < length {
        let left =
            Duration::from_nanos(length.saturating_sub(swarm.now() - begin)) + Duration::from_millis(1);
        swarm.turn(Some(left.min(Duration::from_millis(100))), &mut Silence)?;
        (site.progress)(Live::Silence);
    }
    Ok(site.watched.memory())
}
