//! Every kind of misbehaviour is found every time, and nothing is found where there is none.

use std::time::Duration;

use super::stand_in::{ONE_IN, StandIn, Vice, start};
use super::{DEADLINE, usual};
use crate::fault::Fault;
use crate::measure::Meter;
use crate::scenarios::talk::Pace;
use crate::scenarios::{Site, chat, churn::churn, requests::requests};

/// What the bench has to say about a stand-in that has misbehaved at least once.
fn found(vice: Vice, seed: u64, rooms: usize, pace: Pace) -> Result<(), Fault> {
    let (address, shared) = start(StandIn::with_vice(vice, seed));
    let site = Site { patience: Duration::from_secs(1), ..usual(address, DEADLINE) };
    let (mut swarm, mut talk) = match rooms {
        1 => chat::one_room(&site, 20)?,
        _ => chat::many_rooms(&site, rooms, 4)?,
    };
    // With one message under way in each room, a room stands still after a loss while the others go on: it is found
    // at the end of the run.
    let enough = |_: &Meter| rooms > 1 && shared.lock().unwrap().misdeeds > 0;
    let outcome = talk.run_until(&mut swarm, &site, pace, &enough);
    let misdeeds = shared.lock().unwrap().misdeeds;
    assert!(
        misdeeds > 0,
        "{vice:?}, seed {seed}: the stand-in did nothing wrong, and the bench says {outcome:?}"
    );
    outcome.map(|_| ())
}

/// Some seeds are fixed, so that they are there every time, and one is new in each run.
fn seeds() -> Vec<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    vec![1, 77, 499, u64::from(now.subsec_nanos())]
}

fn is_found_everywhere(vice: Vice) {
    for seed in seeds() {
        for (rooms, pace) in [(1, Pace::Window(16)), (1, Pace::Rate(2000.0)), (10, Pace::Window(1))] {
            let outcome = found(vice, seed, rooms, pace);
            assert!(outcome.is_err(), "{vice:?} was not found with seed {seed}, {rooms} rooms, {pace:?}");
        }
    }
}

#[test]
fn a_lost_delivery_is_found() {
    is_found_everywhere(Vice::Loses);
}

#[test]
fn a_doubled_delivery_is_found() {
    is_found_everywhere(Vice::Doubles);
}

#[test]
fn deliveries_out_of_order_are_found() {
    is_found_everywhere(Vice::Reorders);
}

#[test]
fn a_garbled_delivery_is_found() {
    is_found_everywhere(Vice::Garbles);
}

#[test]
fn a_lost_reply_is_found() {
    is_found_everywhere(Vice::LosesReplies);
}

#[test]
fn a_doubled_reply_is_found() {
    is_found_everywhere(Vice::DoublesReplies);
}

#[test]
fn the_fault_has_the_right_name() {
    let busy = Pace::Window(16);
    assert!(matches!(found(Vice::Loses, 5, 1, busy), Err(Fault::Gap(_))));
    assert!(matches!(found(Vice::Doubles, 5, 1, busy), Err(Fault::Repeated(_))));
    assert!(matches!(found(Vice::Reorders, 5, 1, busy), Err(Fault::Gap(_))));
    assert!(matches!(found(Vice::Garbles, 5, 1, busy), Err(Fault::Garbled(_))));
}

#[test]
fn nothing_is_wrong_with_a_server_that_does_no_wrong() {
    let (address, shared) = start(StandIn::default());
    let site = usual(address, Duration::from_millis(400));
    for outcome in [
        chat::fanout(&site, 20, 16),
        chat::paced(&site, 20, 500.0),
        chat::rooms(&site, 10, 4, 2),
        requests(&site, 5, 4),
        churn(&site, 5),
    ] {
        let outcome = outcome.unwrap();
        assert!(outcome.latency.is_some_and(|latency| !latency.is_empty()));
    }
    let server = shared.lock().unwrap();
    assert!(server.deliveries > ONE_IN, "only {} deliveries: too few to prove anything", server.deliveries);
}
