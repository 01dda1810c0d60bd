//! `fanout`, `paced` and `rooms`: people talk, and everybody gets everything.

use super::Site;
use super::gather::{Guest, gather_for};
use super::talk::{Pace, Talk};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::measure::{DELIVERY, Figure, Outcome};
use crate::swarm::Swarm;

/// One room of `receivers`, or of as many as the server lets in, and a publisher that is not in it.
pub fn one_room<'d>(site: &Site<'d>, receivers: usize) -> Result<(Swarm<'d>, Talk<'d>), Fault> {
    let mut swarm = site.swarm()?;
    let mut ledger = Ledger::new(site.dialect, swarm.names, site.text);
    let mut guests = vec![Guest::publisher(0)];
    guests.resize(receivers + 1, Guest::member(0));
    let there = gather_for(&mut swarm, site, &guests, &mut ledger)?;
    if there.first() != Some(&0) || there.len() < 2 {
        let why = swarm.short_of.unwrap_or_default();
        return Err(Fault::Full(format!("too few have come in to talk ({why})")));
    }
    Ok((swarm, Talk::new(site.dialect, ledger, vec![vec![0]])))
}

/// One publisher, one room, `window` messages under way.
pub fn fanout(site: &Site<'_>, receivers: usize, window: u32) -> Result<Outcome, Fault> {
    let (mut swarm, mut talk) = one_room(site, receivers)?;
    let measured = talk.run(&mut swarm, site, Pace::Window(window))?;
    Ok(Outcome::of_load(DELIVERY, &measured, talk.meter).noting(swarm.short_of))
}

/// One publisher, one room, `rate` messages a second, whatever the server does. Latency counts from when a message was
/// due.
pub fn paced(site: &Site<'_>, receivers: usize, rate: f64) -> Result<Outcome, Fault> {
    let (mut swarm, mut talk) = one_room(site, receivers)?;
    let measured = talk.run(&mut swarm, site, Pace::Rate(rate))?;
    let late = talk.lateness.value_at_quantile(0.99) as f64 / 1e6;
    let mut outcome = Outcome::of_load(DELIVERY, &measured, talk.meter).led_by("p99").noting(swarm.short_of);
    outcome.figures.push(Figure::neither("sent late p99", "ms", late));
    Ok(outcome)
}

/// `rooms` rooms of `members`, or as many as the server lets in, all of whom speak in turn.
pub fn many_rooms<'d>(site: &Site<'d>, rooms: usize, members: usize) -> Result<(Swarm<'d>, Talk<'d>), Fault> {
    let mut swarm = site.swarm()?;
    let mut ledger = Ledger::new(site.dialect, swarm.names, site.text);
    let guests: Vec<Guest> =
        (0..rooms * members).map(|client| Guest::member((client / members) as u32)).collect();
    gather_for(&mut swarm, site, &guests, &mut ledger)?;
    let speakers = (0..rooms).map(|room| ledger.members(room as u32).to_vec()).collect();
    Ok((swarm, Talk::new(site.dialect, ledger, speakers)))
}

/// Many rooms, with `window` messages under way in each.
pub fn rooms(site: &Site<'_>, rooms: usize, members: usize, window: u32) -> Result<Outcome, Fault> {
    let (mut swarm, mut talk) = many_rooms(site, rooms, members)?;
    let measured = talk.run(&mut swarm, site, Pace::Window(window))?;
    Ok(Outcome::of_load(DELIVERY, &measured, talk.meter).noting(swarm.short_of))
}
