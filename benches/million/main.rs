//! A million clients: what each takes, and whether the server is slower for so many.
//!
//! Real sockets end at the limit of descriptors, so the clients are made up; all else is the server's own code. Each
//! client is logged in and in one room of ten. The same is measured in a house of 1,000 clients, which is in the
//! caches as a whole.
//!
//!     cargo bench --bench million
//!     cargo bench --bench million -- --clients 200000

mod house;
#[path = "../made_up/mod.rs"]
mod made_up;
mod memory;
mod stopwatch;
mod table;

use std::alloc::System;
use std::process::exit;

use house::House;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use stopwatch::{Stopwatch, median};
use table::Table;

/// The system's allocator, which can grow a large block without copying it; only the counting is added.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SMALL: usize = 1_000;
const MILLION: usize = 1_000_000;
const SMOKE: usize = 10_000;

/// A pause of the server's own is there whenever the house fills, one of the machine's is not: of the longest turns of
/// each filling the median is told. A house that fills again also meets an allocator that is no longer fresh.
const FILLINGS: usize = 3;

/// So long a turn may be at most, in microseconds.
const TURN_US: f64 = 5_000.0;

/// In the smaller of the two houses this comes close to a client in each room.
const LEAST: usize = 100;

fn main() {
    let clients = match clients() {
        Ok(Some(clients)) => clients,
        Ok(None) => return,
        Err(why) => {
            eprintln!("million: {why}");
            exit(2);
        }
    };
    // The first house pays for what a process has to pay once.
    let mut stopwatch = Stopwatch::new();
    Figures::measure(SMALL, &mut stopwatch);
    let small = Figures::measure(SMALL, &mut stopwatch);
    let large = Figures::measure(clients, &mut stopwatch);
    print(&small, &large);
}

/// How many clients to make up; `None` if help was asked for.
fn clients() -> Result<Option<usize>, String> {
    let mut options = getopts::Options::new();
    options.optopt("", "clients", "so many clients (default: 1000000)", "N");
    options.optflag("", "smoke", "only 10000, to see that it works");
    options.optflag("h", "help", "print this help");
    options.optflag("", "bench", "no effect: cargo bench passes it");
    let matches = options.parse(std::env::args_os().skip(1)).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        print!(
            "{}",
            options.usage("What a million clients cost.\n\nUsage: cargo bench --bench million -- [OPTIONS]")
        );
        return Ok(None);
    }
    // Figures of unoptimised code mean nothing: `cargo test --all-targets` gets here.
    let default = if matches.opt_present("smoke") || cfg!(debug_assertions) { SMOKE } else { MILLION };
    let clients =
        matches.opt_get_default("clients", default).map_err(|error| format!("--clients: {error}"))?;
    if clients < LEAST || clients > u32::MAX as usize / 2 {
        return Err(format!("--clients: at least {LEAST}, and at most {}", u32::MAX / 2));
    }
    Ok(Some(clients))
}

/// What is measured of one house. Times in nanoseconds.
struct Figures {
    clients: usize,
    /// For each client.
    bytes: f64,
    heap_blocks: f64,
    /// For each, medians of many rounds.
    delivery_ns: f64,
    connect_ns: f64,
    disconnect_ns: f64,
    /// Turns, the longest of their kind.
    longest_building_ns: f64,
    longest_changing_ns: f64,
    longest_emptying_ns: f64,
    /// When all have left.
    bytes_left: f64,
    /// Following a pointer through as much memory as all clients take.
    memory_ns: f64,
}

impl Figures {
    fn measure(clients: usize, stopwatch: &mut Stopwatch) -> Figures {
        let mut house = House::new(clients);
        let empty = ALLOCATOR.stats();
        let building = house.build(stopwatch);
        let full = ALLOCATOR.stats();
        let talking = house.talk(stopwatch);
        let (leaving, coming) = house.change(stopwatch);
        let emptying = house.empty(stopwatch);
        let left = ALLOCATOR.stats();
        let (mut filling, mut emptying) = (vec![building.longest_ns()], vec![emptying.longest_ns()]);
        for _ in 1..FILLINGS {
            filling.push(house.build(stopwatch).longest_ns());
            emptying.push(house.empty(stopwatch).longest_ns());
        }

        let bytes = |stats: stats_alloc::Stats| stats.bytes_allocated as f64 - stats.bytes_deallocated as f64;
        let blocks = |stats: stats_alloc::Stats| stats.allocations as f64 - stats.deallocations as f64;
        Figures {
            clients,
            bytes: (bytes(full) - bytes(empty)) / clients as f64,
            heap_blocks: (blocks(full) - blocks(empty)) / clients as f64,
            delivery_ns: talking.median_ns(),
            connect_ns: coming.median_ns(),
            disconnect_ns: leaving.median_ns(),
            longest_building_ns: median(filling),
            longest_changing_ns: coming.longest_ns().max(leaving.longest_ns()),
            longest_emptying_ns: median(emptying),
            bytes_left: bytes(left) - bytes(empty),
            memory_ns: memory::step_ns((bytes(full) - bytes(empty)) as usize, house::random(), stopwatch),
        }
    }
}

fn print(small: &Figures, large: &Figures) {
    println!("The hub with made-up clients, each logged in and in one room of ten.\n");
    let mut table = Table::new(small, large);
    table.row("memory for each client, bytes", |house| house.bytes).at_most(200.0);
    table.row("heap blocks for each client", |house| house.heap_blocks);
    table.row("a delivery, ns", |house| house.delivery_ns).ratio_at_most(1.5);
    table.row("connect, log in, join, ns", |house| house.connect_ns).ratio_at_most(1.5);
    table.row("disconnect, ns", |house| house.disconnect_ns).ratio_at_most(1.5);
    table.row("following one pointer, ns", |house| house.memory_ns).show_ratio();
    table.row("longest turn: filling, µs", |house| house.longest_building_ns / 1e3).at_most(TURN_US);
    table.row("longest turn: changing, µs", |house| house.longest_changing_ns / 1e3).at_most(TURN_US);
    table.row("longest turn: emptying, µs", |house| house.longest_emptying_ns / 1e3).at_most(TURN_US);
    table.row("memory left when empty, KiB", |house| house.bytes_left / 1024.0).at_most(1024.0);
    table.print();
}
