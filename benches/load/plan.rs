//! Which scenarios there are, with which numbers, and how one of them is run once.

use std::fs;
use std::time::Duration;

use crate::fault::Fault;
use crate::measure::{Figure, Outcome};
use crate::process::Process;
use crate::scenarios::capacity::{Search, capacity};
use crate::scenarios::{Site, chat, churn::churn, flood::flood, idle::idle, requests::requests, slow::slow};
use crate::servers::{Kind, Launch, Server};

/// What people are told of a scenario.
pub struct Scenario {
    pub name: &'static str,
    /// What happens, with the default numbers.
    pub about: &'static str,
    /// What the figures mean.
    pub meaning: &'static str,
    /// The options that it makes use of.
    pub uses: &'static [&'static str],
}

/// In the order in which they run.
pub const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "fanout",
        about: "One publisher, one room of --clients (1000), and --window (64) messages under way: the next is sent when one has reached everybody.",
        meaning: "What a delivery costs in a busy room, where messages leave together.",
        uses: &["clients", "window", "text", "seconds", "patience", "nodes"],
    },
    Scenario {
        name: "fanout-single",
        about: "The same with a single message under way.",
        meaning: "What a delivery costs where each message leaves by itself: mostly a system call.",
        uses: &["clients", "window", "text", "seconds", "patience", "nodes"],
    },
    Scenario {
        name: "paced",
        about: "One publisher, one room of --clients (1000), --rate (50) messages a second on a fixed schedule, whatever the server does.",
        meaning: "How long a message takes to reach everybody. Counted from when it was due, so that a stall is not hidden.",
        uses: &["clients", "rate", "text", "seconds", "patience", "nodes"],
    },
    Scenario {
        name: "rooms",
        about: "--rooms (200) rooms of --members (10). Everybody talks in turn, --window (1) messages are under way in each room.",
        meaning: "What a delivery costs where many small groups talk, as people do.",
        uses: &["rooms", "members", "window", "text", "seconds", "patience", "nodes"],
    },
    Scenario {
        name: "rooms-many",
        about: "The same with 4000 rooms of 4.",
        meaning: "The same with so many clients that the tables no longer fit the processor's cache.",
        uses: &["rooms", "members", "window", "text", "seconds", "patience", "nodes"],
    },
    Scenario {
        name: "requests",
        about: "--clients (50), each with --window (16) requests under way that reach nobody else: for parlor a message in a room of one's own, for redis and nats a publication without subscribers, for mosquitto one of QoS 1, for ngircd a message to oneself.",
        meaning: "What it costs to read a request and to answer it.",
        uses: &["clients", "window", "text", "seconds", "patience"],
    },
    Scenario {
        name: "churn",
        about: "--clients (50) at any time connect, log in, join a room, send, leave and disconnect, each step after the reply to the one before.",
        meaning: "What one such visit costs, from connecting to disconnecting.",
        uses: &["clients", "text", "seconds", "patience"],
    },
    Scenario {
        name: "idle",
        about: "--clients (16,000) that are logged in and in rooms of ten, and silent.",
        meaning: "What memory a silent client takes (the difference between half of them and all), and whether it costs any CPU.",
        uses: &["clients", "seconds", "patience"],
    },
    Scenario {
        name: "slow",
        about: "One room of --clients (100), --rate (1000) messages a second of 1 KiB; after a while --slow (10) per cent more join who never read.",
        meaning: "What those who read notice of some who do not, and what becomes of those.",
        uses: &["clients", "rate", "slow", "text", "seconds", "patience"],
    },
    Scenario {
        name: "flood",
        about: "One room of --clients (200), --rate (100) messages a second, without and with --flood (200) newcomers at once, again and again: a quarter of them shake hands (TCP, and what --via puts upon it) and go, the others do not finish.",
        meaning: "What those who talk notice of handshakes in masses.",
        uses: &["clients", "rate", "flood", "text", "seconds", "patience"],
    },
    Scenario {
        name: "capacity",
        about: "Raises the load step by step: deliveries a second in a room of --clients (1000) until the p99 passes --bound (50) milliseconds, and clients in one room, with four messages under way, while the p95 is at most 500 milliseconds.",
        meaning: "The last load that the server held.",
        uses: &["clients", "bound", "text", "seconds", "patience"],
    },
    Scenario {
        name: "start",
        about: "Starts the server a few times.",
        meaning: "How soon it can be connected to, what memory it takes then, and how large its program is.",
        uses: &[],
    },
];

/// The scenario of this name.
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

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
    pub flood: Option<usize>,
    pub bound: Option<Duration>,
    /// Everything small.
    pub smoke: bool,
}

/// A scenario with its numbers.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: &'static str,
    /// One line that says what happens.
    pub about: String,
    /// What its figures mean.
    pub meaning: &'static str,
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
    Flood { receivers: usize, rate: f64, newcomers: usize },
    Capacity(Search),
    Start,
}

impl Plan {
    /// `descriptors`: how many this process may have, and so may a server.
    pub fn new(scenario: &'static Scenario, sizes: &Sizes, descriptors: usize) -> Plan {
        let most = descriptors.saturating_sub(200).max(10);
        let text = sizes.text.unwrap_or(if scenario.name == "slow" { 1024 } else { 64 });
        let work = Work::of(scenario.name, sizes, most);
        let mut about = work.about(scenario.name);
        if !matches!(work, Work::Idle { .. } | Work::Start) {
            about = format!("{about}; {text} bytes of text");
        }
        Plan { name: scenario.name, about, meaning: scenario.meaning, text, work }
    }

    /// Whether a server is to be started for it at all: `start` does that by itself.
    pub fn needs_server(&self) -> bool {
        !matches!(self.work, Work::Start)
    }

    /// About how many seconds it takes if a load lasts `seconds`, to begin an estimate with: found by measuring.
    pub fn usual_seconds(&self, seconds: f64) -> f64 {
        match self.work {
            Work::Slow { .. } => 3.0 * seconds + 0.5,
            Work::Flood { .. } => 4.0 * seconds + 0.5,
            // The number of steps depends on the server; each is a third as long as a load.
            Work::Capacity(_) => 11.0 * seconds + 10.0,
            Work::Idle { .. } => seconds + 3.0,
            Work::Start => 1.0,
            Work::Rooms { rooms, members, .. } => seconds + 0.3 + (rooms * members) as f64 / 10_000.0,
            _ => seconds + 0.5,
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
            Work::Flood { receivers, rate, newcomers } => flood(site, receivers, rate, newcomers),
            Work::Capacity(search) => {
                // Many short steps instead of one long run.
                let step = site.duration.div_f64(3.0).max(Duration::from_millis(100));
                capacity(&Site { duration: step, ..*site }, search)
            }
            Work::Start => unreachable!("start has no server to run against"),
        }
    }
}

impl Work {
    /// `most`: how many clients there may be.
    fn of(name: &str, sizes: &Sizes, most: usize) -> Work {
        let small = |usual: usize, smoke: usize| if sizes.smoke { smoke } else { usual };
        let clients = |usual, smoke| sizes.clients.unwrap_or(small(usual, smoke)).min(most);
        let window = |usual| sizes.window.unwrap_or(usual);
        let rate = |usual| sizes.rate.unwrap_or(usual);
        let rooms = |rooms: usize, members: usize| {
            let members = sizes.members.unwrap_or(members);
            let rooms = sizes.rooms.unwrap_or(rooms).min(most / members).max(1);
            Work::Rooms { rooms, members, window: window(1) }
        };
        match name {
            "fanout" => Work::Fanout { receivers: clients(1000, 50), window: window(64) },
            "fanout-single" => Work::Fanout { receivers: clients(1000, 50), window: window(1) },
            "paced" => Work::Paced { receivers: clients(1000, 50), rate: rate(50.0) },
            "rooms" => rooms(small(200, 20), 10),
            "rooms-many" => rooms(small(4000, 50), 4),
            "requests" => Work::Requests { clients: clients(50, 10), window: window(16) },
            "churn" => Work::Churn { clients: clients(50, 10) },
            "idle" => Work::Idle { clients: clients(16_000, 400).max(2) },
            "slow" => {
                let share = sizes.slow_percent.unwrap_or(10) as f64 / 100.0;
                Work::Slow { receivers: clients(100, 20), rate: rate(1000.0), share }
            }
            "flood" => {
                let newcomers = sizes.flood.unwrap_or(small(200, 20)).min(most / 2);
                Work::Flood { receivers: clients(200, 20), rate: rate(100.0), newcomers }
            }
            "capacity" => {
                let bound = sizes.bound.unwrap_or(Duration::from_millis(50));
                let (most_clients, step) = (small(most, 200).min(most), small(1000, 100));
                Work::Capacity(Search { receivers: clients(1000, 50), bound, most_clients, step })
            }
            _ => Work::Start,
        }
    }

    /// What happens, with the numbers of this run.
    fn about(self, name: &str) -> String {
        match self {
            Work::Fanout { receivers, window } => {
                format!("one publisher, one room of {receivers}, messages under way: {window}")
            }
            Work::Paced { receivers, rate } => {
                format!("one room of {receivers}, {rate} messages a second on a schedule")
            }
            Work::Rooms { rooms, members, window } => {
                format!("{rooms} rooms of {members}, everybody talks; messages under way in each: {window}")
            }
            Work::Requests { clients, window } => {
                format!("{clients} clients, each with {window} requests under way that reach nobody else")
            }
            Work::Churn { clients } => {
                format!("connect, log in, join, send, leave, disconnect; {clients} at a time")
            }
            Work::Idle { clients } => format!("{clients} silent clients in rooms of ten"),
            Work::Slow { receivers, rate, share } => format!(
                "one room of {receivers}, {rate} messages a second; {} % more who never read",
                share * 100.0
            ),
            Work::Flood { receivers, rate, newcomers } => format!(
                "one room of {receivers}, {rate} messages a second; {newcomers} newcomers at once, again and again"
            ),
            Work::Capacity(Search { receivers, bound, .. }) => format!(
                "the load that one room of {receivers} carries with a p99 of at most {} ms, and how many one room may have",
                bound.as_millis()
            ),
            Work::Start => {
                debug_assert_eq!(name, "start", "every scenario has its work");
                "from its start until the server can be connected to".to_owned()
            }
        }
    }
}

/// Starts the server a few times. It shares the generator's CPU, which sleeps meanwhile: starting it through `taskset`
/// would count that program's start too.
pub fn start(kind: Kind, launch: &Launch) -> Result<Outcome, Fault> {
    const TIMES: usize = 5;
    if kind.is_proxy() {
        return Err(Fault::Host(
            "start measures one program, and a proxy in front of parlor is two".to_owned(),
        ));
    }
    let broken = |error: std::io::Error| Fault::Host(error.to_string());
    let program = kind.program(launch).map_err(Fault::Host)?;
    let here = Launch {
        cpus: None,
        binary: launch.binary.clone(),
        before: launch.before.clone(),
        extra: launch.extra.clone(),
        engine: launch.engine.clone(),
        ..*launch
    };
    let mut outcome = Outcome::default();
    let mut times = Vec::new();
    let mut memory = None;
    for _ in 0..TIMES {
        let server = Server::start(kind, &here).map_err(broken)?;
        times.push(server.started_within.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(100));
        memory = Process::memory(server.process());
    }
    times.sort_by(f64::total_cmp);
    outcome.figures.push(Figure::less("listens after", "ms", times[TIMES / 2]));
    if let Some(memory) = memory {
        outcome.figures.push(Figure::less("memory", "MiB", memory.resident as f64 / f64::from(1 << 20)));
    }
    if let Ok(size) = fs::metadata(program) {
        outcome.figures.push(Figure::less("program", "KiB", size.len() as f64 / 1024.0));
    }
    Ok(outcome)
}
