//! `slow`: some clients never read. What do the others notice, and what becomes of those?

use std::time::Duration;

use super::Site;
use super::chat::one_room;
use super::gather::{Guest, gather};
use super::talk::Pace;
use crate::fault::Fault;
use crate::measure::{COUNT, DELIVERY, Figure, Outcome};
use crate::swarm::Swarm;

/// The slow ones' kernel holds little, so that it is soon the server's turn to hold it for them.
const RECEIVE_BUFFER: usize = 4096;

/// One room of `receivers`, `rate` messages a second; first all of them read, then as many again as `share` (from 0 to
/// 1) says join and never read. The latency counts for those that do read.
pub fn slow(site: &Site<'_>, receivers: usize, rate: f64, share: f64) -> Result<Outcome, Fault> {
    let (mut swarm, mut talk) = one_room(site, receivers)?;
    talk.run(&mut swarm, site, Pace::Rate(rate))?;
    let undisturbed = talk.meter.latency.value_at_quantile(0.99) as f64 / 1e6;

    let count = (receivers as f64 * share).ceil() as usize;
    let guests = vec![Guest { receive_buffer: Some(RECEIVE_BUFFER), ..Guest::member(0) }; count];
    // Where not even the others were all let in, there is no room for these.
    let slow = if swarm.short_of.is_none() { gather(&mut swarm, site, &guests)? } else { Vec::new() };
    let count = slow.len();
    slow.iter().for_each(|client| swarm.clients.read(*client, false));

    // What waits has to pass the buffers of the kernel first.
    let longer = Site { duration: site.duration * 2, ..*site };
    let measured = talk.run(&mut swarm, &longer, Pace::Rate(rate))?;
    let mut outcome =
        Outcome::of_load(DELIVERY, &measured, talk.meter).led_by("p99").noting(swarm.short_of.take());
    outcome.figures.push(Figure::neither("p99 before", "ms", undisturbed));
    let cut_off = count - still_open(&mut swarm, slow);
    outcome.figures.push(Figure::neither("slow clients", COUNT, count as f64));
    outcome.figures.push(Figure::neither("of them cut off", COUNT, cut_off as f64));
    Ok(outcome)
}

/// How many of these clients the server has not closed. Those that were cut off have to read to the end to see it, and
/// the end may still be on its way.
fn still_open(swarm: &mut Swarm<'_>, mut clients: Vec<usize>) -> usize {
    for _ in 0..50 {
        clients.retain(|client| !swarm.discard_unread(*client));
        if clients.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    clients.len()
}
