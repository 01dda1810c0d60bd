//! How far away memory is: what following a pointer takes, when the next one is known only once this one has come. Knows
//! nothing of the hub.
//!
//! Finding a client, its room, the members' list and the members is such a chain of pointers, so this is what to hold
//! beside the ratios of the hub's own figures.

use std::hint::black_box;

use super::stopwatch::Stopwatch;

/// Where to go next, in a cache line of its own.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    next: u32,
}

const STEPS: usize = 1_000_000;

/// The time of one step through so much memory, in nanoseconds. `random` gives a number below its argument.
pub fn step_ns(bytes: usize, mut random: impl FnMut(usize) -> usize, stopwatch: &mut Stopwatch) -> f64 {
    let mut lines: Vec<Line> =
        (0..(bytes / size_of::<Line>()).max(2)).map(|index| Line { next: index as u32 }).collect();
    // Sattolo's shuffle: one cycle through all of them.
    for last in (1..lines.len()).rev() {
        let other = random(last);
        let next = lines[last].next;
        lines[last].next = std::mem::replace(&mut lines[other].next, next);
    }
    let mut at = 0;
    let mut walk = |steps: usize| (0..steps).for_each(|_| at = lines[at].next as usize);
    // What fits into the caches is in them then.
    walk(lines.len().min(STEPS));
    let passed_ns = stopwatch.time(|| walk(STEPS));
    black_box(at);
    passed_ns / STEPS as f64
}
