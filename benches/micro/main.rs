//! What each layer of the server costs by itself, from bytes to a whole turn of the hub; the kernel has no part in it.
//!
//!     cargo bench --bench micro                  # all, in under two minutes
//!     cargo bench --bench micro -- parse         # those whose name matches
//!     cargo bench --bench micro -- --save-baseline before
//!     cargo bench --bench micro -- --baseline before
//!
//! Where something is done many times over in one measured pass, `elem/s` tells how often it is done in a second.

mod encode;
mod framing;
#[path = "../made_up/mod.rs"]
mod made_up;
mod parse;
mod tables;
mod turns;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// Short measurements of many things. Criterion tells how sure it is of each, and can be asked for longer ones.
fn quick() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(30)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
}

criterion_group! {
    name = layers;
    config = quick();
    targets = framing::bench, parse::bench, encode::bench, tables::bench, turns::bench
}
criterion_main!(layers);
