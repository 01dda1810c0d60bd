//! Runs of the simulation.

use std::collections::BTreeMap;

use crate::world::World;

const SEEDS: u64 = 300;
const STEPS: usize = 2500;
const PARTS: u64 = 3;

fn run_part(part: u64) {
    let seed = |name| std::env::var(name).ok().map(|seed| seed.parse::<u64>().expect("a number"));
    if let Some(seed) = seed("PARLOR_SEED") {
        if part == 0 {
            World::new(seed).run(STEPS);
        }
        return;
    }
    let (mut replies, mut faults) = (0, BTreeMap::new());
    for seed in (part..SEEDS + seed("PARLOR_SEEDS").unwrap_or(0)).step_by(PARTS as usize) {
        println!("to repeat this: PARLOR_SEED={seed}");
        let mut world = World::new(seed);
        replies += world.run(STEPS);
        for (what, count) in &world.faults {
            *faults.entry(*what).or_insert(0) += count;
        }
    }
    println!("{replies} replies; {faults:?}");
    assert_eq!(faults.len(), 8, "everything that can go wrong has: {faults:?}");
}

#[test]
fn simulation_first_part() {
    run_part(0);
}

#[test]
fn simulation_second_part() {
    run_part(1);
}

#[test]
fn simulation_third_part() {
    run_part(2);
}
