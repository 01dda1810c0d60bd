//! Several nodes as one server (feature `cluster`).
//!
//! First under a simulation: several hubs, one made-up engine, links that stall, break and come back, nodes that stand
//! still, all decided by one seed (`engine.rs`, `world.rs`, `talker.rs`).
//!
//! - `PARLOR_SEED=17 cargo test --features cluster --test cluster simulation` replays one seed.
//! - `PARLOR_SEEDS=5000 cargo test --release --features cluster --test cluster simulation` runs so many more.
//!
//! Then with a real engine (`real.rs`): these tests need `redis-server` or `valkey-server`, and are passed over where there
//! is none, unless `PARLOR_DEMAND_PROGRAMS` is set. `PARLOR_TEST_REDIS` names another program.

#![cfg(feature = "cluster")]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../common/process.rs"]
mod process;
#[path = "../common/redis.rs"]
mod redis;

mod engine;
mod real;
mod simulation;
mod talker;
mod world;
