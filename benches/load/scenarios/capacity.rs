//! `capacity`: raises the load step by step until latency passes a bound, and says the last load that held.
//!
//! Whatever ends a search early is an answer and no fault: it becomes a note beside what was measured until then. Only
//! deliveries that were wrong make the run fail.

use std::time::Duration;

use super::Site;
use super::chat::one_room;
use super::gather::{Guest, gather_for};
use super::talk::{Pace, Talk};
use crate::fault::Fault;
use crate::measure::{COUNT, Curve, Figure, Outcome};
use crate::swarm::Swarm;

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Members of the room whose messages a second are raised.
    pub receivers: usize,
    /// The bound on its p99.
    pub bound: Duration,
    /// The most clients that one room may have, if latency allows: what descriptors are there for.
    pub most_clients: usize,
    /// How many more clients there are in each step.
    pub step: usize,
}

/// From one load to the next, first in large steps, then in small ones.
const STRIDES: [f64; 2] = [1.5, 1.1];
/// Deliveries a second to begin with.
const FIRST_LOAD: f64 = 20_000.0;
/// Broadcasts under way, and the bound on their p95, while the room grows: as in a well-known comparison of web socket
/// servers, so that its results can be laid beside these.
const WINDOW: u32 = 4;
const ROOM_BOUND: Duration = Duration::from_millis(500);
/// Where `step` clients need longer to come in, the room is not made larger. (IRC tells everybody who comes.)
const LONGEST_ENTRY: Duration = Duration::from_secs(8);
/// Broadcasts for each size of the room.
const SAMPLE: u64 = 40;

pub fn capacity(site: &Site<'_>, search: Search) -> Result<Outcome, Fault> {
    let mut outcome = Outcome::default();
    deliveries(site, search, &mut outcome)?;
    match clients(site, search, &mut outcome) {
        Ok(()) => Ok(outcome),
        Err(fault) if fault.is_wrong() => Err(fault),
        Err(fault) => Ok(outcome.noting(Some(format!("how many one room may have was not found: {fault}")))),
    }
}

/// How many deliveries a second the server can carry.
fn deliveries(site: &Site<'_>, search: Search, outcome: &mut Outcome) -> Result<(), Fault> {
    let mut points = Vec::new();
    let mut held = 0.0;
    let mut generator = false;
    let mut short_of = None;
    for stride in STRIDES {
        let (mut swarm, mut talk) = match one_room(site, search.receivers) {
            Err(fault) if held > 0.0 && !fault.is_wrong() => {
                outcome.notes.push(format!("the search for the load was cut short: {fault}"));
                break;
            }
            room => room?,
        };
        short_of = swarm.short_of.take().or(short_of);
        let receivers = talk.ledger.members(0).len();
        let mut load: f64 = if held == 0.0 { FIRST_LOAD } else { held * stride };
        loop {
            match carries_or_not(&mut swarm, &mut talk, site, search.bound, load / receivers as f64) {
                Ok(step) => {
                    points.push((load, step.p99));
                    outcome.disturbed = step.disturbance.or(outcome.disturbed.take());
                    if !step.held {
                        generator = step.generator;
                        break;
                    }
                }
                Err(fault) if fault.is_wrong() => return Err(fault),
                Err(fault) => {
                    outcome.notes.push(format!("at {} deliveries a second {fault}", load.round()));
                    break;
                }
            }
            held = load;
            load *= stride;
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    outcome.figures.push(Figure::more("deliveries held", "/s", held));
    let bound = search.bound.as_secs_f64() * 1e3;
    outcome.curves.push(Curve {
        title: "p99 by load",
        x: "deliveries a second",
        y: "p99, ms",
        bound,
        points,
    });
    outcome.notes.extend(short_of);
    if generator {
        outcome.notes.push("the generator was the bottleneck: the server might carry more deliveries".into());
    }
    Ok(())
}

struct Step {
    p99: f64,
    held: bool,
    generator: bool,
    disturbance: Option<String>,
}

/// One step, tried once more if it failed: a moment's disturbance on the host is not the server's limit.
fn carries_or_not(
    swarm: &mut Swarm<'_>,
    talk: &mut Talk<'_>,
    site: &Site<'_>,
    bound: Duration,
    rate: f64,
) -> Result<Step, Fault> {
    match carries(swarm, talk, site, bound, rate)? {
        step if step.held => Ok(step),
        _ => carries(swarm, talk, site, bound, rate),
    }
}

/// One try, at so many messages a second.
fn carries(
    swarm: &mut Swarm<'_>,
    talk: &mut Talk<'_>,
    site: &Site<'_>,
    bound: Duration,
    rate: f64,
) -> Result<Step, Fault> {
    // What is far beyond the bound will not come back, and need not pile up.
    let hopeless = bound.as_nanos() as u64 * 4;
    let measured = talk.run_until(swarm, site, Pace::Rate(rate), &|meter| meter.latency.max() > hopeless)?;
    let p99 = talk.meter.latency.value_at_quantile(0.99) as f64 / 1e6;
    let held = p99 <= bound.as_secs_f64() * 1e3;
    let generator = measured.generator_was_the_bottleneck();
    Ok(Step { p99, held, generator, disturbance: measured.disturbance() })
}

/// How many clients may be in one room.
fn clients(site: &Site<'_>, search: Search, outcome: &mut Outcome) -> Result<(), Fault> {
    let (mut swarm, mut talk) = one_room(site, search.step.min(search.most_clients))?;
    let mut points = Vec::new();
    let (mut held, mut held_p95) = (0, 0.0);
    let bound = ROOM_BOUND.as_secs_f64() * 1e3;
    loop {
        let receivers = talk.ledger.members(0).len();
        let p95 = match broadcasts_tried_twice(&mut swarm, &mut talk, site, bound) {
            Err(fault) if held > 0 && !fault.is_wrong() => {
                outcome.notes.push(format!("the room was not made larger than {held}: {fault}"));
                break;
            }
            p95 => p95?,
        };
        points.push((receivers as f64, p95));
        if p95 > bound {
            break;
        }
        (held, held_p95) = (receivers, p95);
        if let Some(why) = swarm.short_of.take() {
            outcome.notes.push(why);
            break;
        }
        let more = search.step.min(search.most_clients.saturating_sub(receivers));
        if more == 0 {
            outcome.notes.push(format!("the search ended at {held} clients in one room, not the server"));
            break;
        }
        let begin = swarm.now();
        match gather_for(&mut swarm, site, &vec![Guest::member(0); more], &mut talk.ledger) {
            Ok(more) if more.is_empty() => {
                outcome.notes.extend(swarm.short_of.take());
                break;
            }
            Ok(_) => {}
            Err(fault) if fault.is_wrong() => return Err(fault),
            Err(fault) => {
                outcome.notes.push(format!("the room was not made larger than {held}: {fault}"));
                break;
            }
        }
        if swarm.now() - begin > LONGEST_ENTRY.as_nanos() as u64 {
            outcome.notes.push(format!("the room was not made larger than {held}: coming in takes too long"));
            break;
        }
    }
    outcome.figures.push(Figure::more("clients in one room", COUNT, held as f64));
    outcome.figures.push(Figure::neither("p95 there", "ms", held_p95));
    outcome.curves.push(Curve {
        title: "p95 by size of the room",
        x: "clients in the room",
        y: "p95, ms",
        bound,
        points,
    });
    Ok(())
}

/// Tried once more if the bound was passed.
fn broadcasts_tried_twice(
    swarm: &mut Swarm<'_>,
    talk: &mut Talk<'_>,
    site: &Site<'_>,
    bound: f64,
) -> Result<f64, Fault> {
    let p95 = broadcasts(swarm, talk, site)?;
    if p95 > bound { Ok(broadcasts(swarm, talk, site)?.min(p95)) } else { Ok(p95) }
}

/// Some broadcasts to all that are in the room; their p95 in milliseconds.
fn broadcasts(swarm: &mut Swarm<'_>, talk: &mut Talk<'_>, site: &Site<'_>) -> Result<f64, Fault> {
    let enough = SAMPLE * talk.ledger.members(0).len() as u64;
    let patient = Site { duration: Duration::from_secs(10), ..*site };
    talk.run_until(swarm, &patient, Pace::Window(WINDOW), &|meter| meter.latency.len() >= enough)?;
    Ok(talk.meter.latency.value_at_quantile(0.95) as f64 / 1e6)
}
