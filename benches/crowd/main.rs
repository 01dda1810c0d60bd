//! Many clients at once: what each takes, and what a turn costs when there are so many.
//!
//! Real sockets end at the limit of descriptors, so the clients are made up; all else is the server's own code. Each
//! client is logged in and in one room of ten. The same is measured with 1,000 clients, whose tables fit into the
//! caches as a whole. These are figures to look at; none of them passes or fails.
//!
//!     cargo bench --bench crowd
//!     cargo bench --bench crowd -- --clients 20000

mod crowd;
#[path = "../made_up/mod.rs"]
mod made_up;
mod memory;
mod stopwatch;
mod table;

use std::alloc::System;
use std::process::exit;

use crowd::Crowd;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use stopwatch::{Stopwatch, median};
use table::Table;

/// The system's allocator, which can grow a large block without copying it; only the counting is added.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SMALL: usize = 1_000;
const LARGE: usize = 100_000;
const SMOKE: usize = 10_000;

/// A pause of the server's own is there whenever the clients come, one of the machine's is not. So they come several
/// times, and the median of the longest turns is told. From the second time on the allocator is no longer fresh.
const FILLINGS: usize = 3;

/// Fewer would be hardly any rooms.
const LEAST: usize = 100;

fn main() {
    let clients = match clients() {
        Ok(Some(clients)) => clients,
        Ok(None) => return,
        Err(why) => {
            eprintln!("crowd: {why}");
            exit(2);
        }
    };
    // The first crowd pays for what a process has to pay once.
    let mut stopwatch = Stopwatch::new();
    Figures::measure(SMALL, &mut stopwatch);
    let small = Figures::measure(SMALL, &mut stopwatch);
    let large = Figures::measure(clients, &mut stopwatch);
    print(&small, &large);
}

/// How many clients to make up; `None` if help was asked for.
fn clients() -> Result<Option<usize>, String> {
    let mut options = getopts::Options::new();
    options.optopt("", "clients", "so many clients (default: 100000)", "N");
    options.optflag("", "smoke", "only 10000, to see that it works");
    options.optflag("h", "help", "print this help");
    options.optflag("", "bench", "no effect: cargo bench passes it");
    let matches = options.parse(std::env::args_os().skip(1)).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        print!(
            "{}",
            options.usage("What many clients cost.\n\nUsage: cargo bench --bench crowd -- [OPTIONS]")
        );
        return Ok(None);
    }
    // Figures of unoptimised code mean nothing: `cargo test --all-targets` gets here.
    let default = if matches.opt_present("smoke") || cfg!(debug_assertions) { SMOKE } else { LARGE };
    let clients =
        matches.opt_get_default("clients", default).map_err(|error| format!("--clients: {error}"))?;
    if clients < LEAST || clients > u32::MAX as usize / 2 {
        return Err(format!("--clients: at least {LEAST}, and at most {}", u32::MAX / 2));
    }
    Ok(Some(clients))
}

/// What is measured of one crowd. Times in nanoseconds.
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
        let mut crowd = Crowd::new(clients);
        let empty = ALLOCATOR.stats();
        let building = crowd.build(stopwatch);
        let full = ALLOCATOR.stats();
        let talking = crowd.talk(stopwatch);
        let (leaving, coming) = crowd.change(stopwatch);
        let emptying = crowd.empty(stopwatch);
        let left = ALLOCATOR.stats();
        let (mut filling, mut emptying) = (vec![building.longest_ns()], vec![emptying.longest_ns()]);
        for _ in 1..FILLINGS {
            filling.push(crowd.build(stopwatch).longest_ns());
            emptying.push(crowd.empty(stopwatch).longest_ns());
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
            memory_ns: memory::step_ns((bytes(full) - bytes(empty)) as usize, crowd::random(), stopwatch),
        }
    }
}

fn print(small: &Figures, large: &Figures) {
    println!("The hub with made-up clients, each logged in and in one room of ten.\n");
    let mut table = Table::new(small, large);
    table.row("memory for each client, bytes", |figures| figures.bytes);
    table.row("heap blocks for each client", |figures| figures.heap_blocks);
    table.row("a delivery, ns", |figures| figures.delivery_ns).show_ratio();
    table.row("connect, log in, join, ns", |figures| figures.connect_ns).show_ratio();
    table.row("disconnect, ns", |figures| figures.disconnect_ns).show_ratio();
    table.row("following one pointer, ns", |figures| figures.memory_ns).show_ratio();
    table.row("longest turn: filling, µs", |figures| figures.longest_building_ns / 1e3);
    table.row("longest turn: changing, µs", |figures| figures.longest_changing_ns / 1e3);
    table.row("longest turn: emptying, µs", |figures| figures.longest_emptying_ns / 1e3);
    table.row("memory left when empty, KiB", |figures| figures.bytes_left / 1024.0);
    table.print();
}
