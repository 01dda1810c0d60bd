//! The hub under a simulation: many clients, made-up sockets and a made-up clock, all decided by one seed.
//!
//! - `PARLOR_SEED=17 cargo test --test simulation` replays the one seed and prints all that happens.
//! - `PARLOR_SEEDS=5000 cargo test --release --test simulation` runs so many more.
//!
//! What a run checks is in `judge.rs`; what can happen is in `run.rs` and `socket.rs`. With the feature `web` some of the clients
//! come over WebSocket: `peer.rs` and `web.rs`.

#[path = "../common/mod.rs"]
mod common;
#[allow(unused_imports)]
#[path = "../model/mod.rs"]
mod model;

mod client;
mod corners;
mod floods;
mod judge;
mod options;
mod peer;
mod run;
mod script;
mod socket;
mod trace;
mod wanted;
#[cfg(feature = "web")]
mod web;

use run::Simulation;

const SEEDS: u64 = 256;
const STEPS: usize = 3000;

/// The seeds are shared out among so many tests, which run side by side.
const PARTS: u64 = 4;

fn run_part(part: u64) {
    let seed = |name| std::env::var(name).ok().map(|seed| seed.parse::<u64>().expect("a number"));
    if let Some(seed) = seed("PARLOR_SEED") {
        if part == 0 {
            Simulation::new(seed, true).run(STEPS);
        }
        return;
    }
    let (mut requests, mut disconnected, mut web) = (0, [0; 6], [0; 6]);
    for seed in (part..SEEDS + seed("PARLOR_SEEDS").unwrap_or(0)).step_by(PARTS as usize) {
        println!("to repeat this: PARLOR_SEED={seed}");
        let (counters, tally) = Simulation::new(seed, false).run(STEPS);
        requests += counters.requests;
        disconnected.iter_mut().zip(counters.disconnected).for_each(|(sum, count)| *sum += count);
        web.iter_mut().zip(tally.all()).for_each(|(sum, count)| *sum += count);
    }
    println!("{requests} requests were carried out; connections were ended: {disconnected:?}");
    println!("of clients over WebSocket: {web:?}");
    assert!(web.iter().all(|&count| (count > 0) == cfg!(feature = "web")), "they went through everything");
    assert!(disconnected.iter().all(|&count| count > 0), "every reason to end a connection has occurred");
}

#[test]
fn storms_of_connections() {
    let mut accepted = 0;
    for seed in 0..4 {
        println!("storm {seed}");
        accepted += Simulation::storm(seed, false).run(60).0.accepted;
    }
    assert!(accepted > 4000, "{accepted}");
}

#[test]
fn first_part() {
    run_part(0);
}

#[test]
fn second_part() {
    run_part(1);
}

#[test]
fn third_part() {
    run_part(2);
}

#[test]
fn fourth_part() {
    run_part(3);
}
