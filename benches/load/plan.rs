//! Which scenarios there are, with which numbers, and how one of them is run once.

use std::fs;
use std::time::Duration;

use crate::ledger::Fault;
use crate::measure::{Figure, Outcome};
use crate::process::{Cpus, Process};
use crate::scenarios::capacity::{Search, capacity};
use crate::scenarios::{Site, chat, churn::churn, idle::idle, requests::requests, slow::slow};
use crate::servers::{Kind, Server};

/// In the order in which they run.
pub const NAMES: [&str; 11] = [
    "fanout",
    "fanout-single",
    "paced",
    "rooms",
    "rooms-many",
    "requests",
    "churn",
    "idle",
    "slow",
    "capacity",
    "start",
];

/// Numbers from the command line, for those scenarios that have them; what is missing is the scenario's own.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    pub clients: Option<usize>,
    pub rooms: Option<usize>,
    pub members: Option<usize>,
    pub window: Option<u32>,
    pub rate: Option<f64>,
    pub text: Option<usize>,
    pub slow_percent: Option<usize>,
    pub bound: Option<Duration>,
    /// Everything small.
    pub smoke: bool,
}

/// A scenario with its numbers.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    /// One line that says what happens.
    pub about: String,
    /// Bytes of text in a message.
    pub text: usize,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Fanout { receivers: usize, window: u32 },
    Paced { receivers: usize, rate: f64 },
    Rooms { rooms: usize, members: usize, window: u32 },
    Requests { clients: usize, window: u32 },
    Churn { clients: usize },
    Idle { clients: usize },
    Slow { receivers: usize, rate: f64, share: f64 },
    Capacity(Search),
    Start,
}

impl Plan {
    /// `descriptors`: how many this process may have, and so may a server.
    pub fn new(name: &str, sizes: &Sizes, descriptors: usize) -> Plan {
        let small = |usual: usize, smoke: usize| if sizes.smoke { smoke } else { usual };
        let most = descriptors.saturating_sub(200).max(10);
        let clients = |usual, smoke| sizes.clients.unwrap_or(small(usual, smoke)).min(most);
        let window = |usual| sizes.window.unwrap_or(usual);
        let rate = |usual| sizes.rate.unwrap_or(usual);
        let mut text = sizes.text.unwrap_or(64);
        let (work, about) = match name {
            "fanout" | "fanout-single" => {
                let (receivers, window) = (clients(1000, 50), window(if name == "fanout" { 64 } else { 1 }));
                let about = format!("one publisher, one room of {receivers}, messages under way: {window}");
                (Work::Fanout { receivers, window }, about)
            }
            "paced" => {
                let (receivers, rate) = (clients(1000, 50), rate(50.0));
                (
                    Work::Paced { receivers, rate },
                    format!("one room of {receivers}, {rate} messages a second on a schedule"),
                )
            }
            "rooms" | "rooms-many" => {
                let (rooms, members) =
                    if name == "rooms" { (small(200, 20), 10) } else { (small(4000, 50), 4) };
                let members = sizes.members.unwrap_or(members);
                let rooms = sizes.rooms.unwrap_or(rooms).min(most / members).max(1);
                let window = window(1);
                let about = format!(
                    "{rooms} rooms of {members}, everybody talks; messages under way in each: {window}"
                );
                (Work::Rooms { rooms, members, window }, about)
            }
            "requests" => {
                let (clients, window) = (clients(50, 10), window(16));
                let about = format!(
                    "{clients} clients, each with {window} requests under way that reach nobody else"
                );
                (Work::Requests { clients, window }, about)
            }
            "churn" => {
                let clients = clients(50, 10);
                let about = format!("connect, log in, join, send, leave, disconnect; {clients} at a time");
                (Work::Churn { clients }, about)
            }
            "idle" => {
                let clients = clients(16_000, 400);
                (Work::Idle { clients }, format!("{clients} silent clients in rooms of ten"))
            }
            "slow" => {
                text = sizes.text.unwrap_or(1024);
                let (receivers, rate) = (clients(100, 20), rate(1000.0));
                let percent = sizes.slow_percent.unwrap_or(10);
                let about = format!(
                    "one room of {receivers}, {rate} messages a second; {percent} % more who never read"
                );
                (Work::Slow { receivers, rate, share: percent as f64 / 100.0 }, about)
            }
            "capacity" => {
                let receivers = clients(1000, 50);
                let bound = sizes.bound.unwrap_or(Duration::from_millis(50));
                let (most_clients, step) = (small(most, 200).min(most), small(1000, 100));
                let about = format!(
                    "the load that one room of {receivers} carries with a p99 of at most {} ms, and how many one room may have",
                    bound.as_millis()
                );
                (Work::Capacity(Search { receivers, bound, most_clients, step }), about)
            }
            _ => (Work::Start, "from its start until the server can be connected to".to_owned()),
        };
        let about = if matches!(work, Work::Idle { .. } | Work::Start) {
            about
        } else {
            format!("{about}; {text} bytes of text")
        };
        Plan { name: name.to_owned(), about, text, work }
    }

    /// Whether a server is to be started for it at all: `start` does that by itself.
    pub fn needs_server(&self) -> bool {
        !matches!(self.work, Work::Start)
    }

    /// How much longer than the usual it takes, for the progress bar.
    pub fn weight(&self) -> f64 {
        match self.work {
            Work::Slow { .. } => 3.0,
            Work::Capacity(_) => 10.0,
            Work::Idle { .. } => 2.0,
            Work::Start => 0.2,
            _ => 1.0,
        }
    }

    /// Runs it against a server that is there.
    pub fn run(&self, site: &Site<'_>) -> Result<Outcome, Fault> {
        match self.work {
            Work::Fanout { receivers, window } => chat::fanout(site, receivers, window),
            Work::Paced { receivers, rate } => chat::paced(site, receivers, rate),
            Work::Rooms { rooms, members, window } => chat::rooms(site, rooms, members, window),
            Work::Requests { clients, window } => requests(site, clients, window),
            Work::Churn { clients } => churn(site, clients),
            Work::Idle { clients } => idle(site, clients),
            Work::Slow { receivers, rate, share } => slow(site, receivers, rate, share),
            Work::Capacity(search) => {
                // Many short steps instead of one long run.
                let step = site.duration.div_f64(3.0).max(Duration::from_millis(100));
                capacity(&Site { duration: step, ..*site }, search)
            }
            Work::Start => unreachable!("start has no server to run against"),
        }
    }
}

/// Starts the server a few times. It shares the generator's CPU, which sleeps meanwhile: starting it through `taskset`
/// would count that program's start too.
pub fn start(kind: Kind, descriptors: usize, extra: &[String]) -> Result<Outcome, Fault> {
    const TIMES: usize = 5;
    let broken = |error: std::io::Error| Fault::Broken(error.to_string());
    let mut outcome = Outcome::default();
    let mut times = Vec::new();
    let mut memory = None;
    for _ in 0..TIMES {
        let server = Server::start(kind, None::<Cpus>, descriptors, extra).map_err(broken)?;
        times.push(server.started_within.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(100));
        memory = Process::memory(server.process());
    }
    times.sort_by(f64::total_cmp);
    outcome.figures.push(Figure::less("listens after", "ms", times[TIMES / 2]));
    if let Some(memory) = memory {
        outcome.figures.push(Figure::less("memory", "MiB", memory.resident as f64 / f64::from(1 << 20)));
    }
    if let Some(size) = kind.program().ok().and_then(|program| fs::metadata(program).ok()) {
        outcome.figures.push(Figure::less("program", "KiB", size.len() as f64 / 1024.0));
    }
    Ok(outcome)
}
