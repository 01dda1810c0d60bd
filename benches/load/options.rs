//! The command line of the load bench.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use getopts::{Matches, Options as Getopts};

use crate::plan::{NAMES, Sizes};
use crate::servers::Kind;

/// What was asked for.
pub struct Options {
    /// Names of scenarios, in the order in which they run.
    pub scenarios: Vec<String>,
    pub target: Target,
    pub against: Vec<Kind>,
    pub rounds: usize,
    pub duration: Duration,
    pub patience: Duration,
    pub sizes: Sizes,
    pub pin: bool,
    /// Further arguments for parlor.
    pub parlor: Vec<String>,
    /// Where to write the results; `-` is standard output.
    pub json: Option<PathBuf>,
    pub html: Option<PathBuf>,
    pub smoke: bool,
}

/// What is measured first.
pub enum Target {
    /// A parlor that this program starts.
    Own,
    /// One that runs already, and its process where it is known.
    Running(SocketAddr, Option<u32>),
}

/// What the command line comes to.
pub enum Call {
    Run(Box<Options>),
    Help(String),
    /// This process is to be the floor server itself.
    Floor(SocketAddr),
}

const INTRODUCTION: &str = "\
Measures what a chat server carries, with up to some 20,000 clients from one core.

Usage: cargo bench --bench load -- [SCENARIO...] [OPTIONS]

Without options it starts a parlor of its own, runs every scenario against it for a few seconds, and prints a table.
Every delivery is checked: each message once, in order, for each receiver. What is lost, doubled, reordered or garbled
is an error, and the exit status is 1.

Scenarios:
  fanout          One publisher, one room of --clients (1000), and --window (64) messages under way: the next is sent
                  when one has reached everybody.
  fanout-single   The same with a single message under way.
  paced           One publisher, one room of --clients (1000), --rate (50) messages a second on a fixed schedule,
                  whatever the server does. Latency counts from when a message was due, so that a stall is not hidden.
  rooms           --rooms (200) rooms of --members (10). Everybody talks in turn, --window (1) messages are under way in
                  each room.
  rooms-many      The same with 4000 rooms of 4.
  requests        --clients (50), each with --window (16) requests under way that reach nobody else: for parlor a message
                  in a room of one's own, for redis and nats a publication without subscribers, for mosquitto one of
                  QoS 1, for ngircd a message to oneself.
  churn           --clients (50) at any time connect, log in, join a room, send, leave and disconnect, each step after
                  the reply to the one before. What one such cycle costs.
  idle            --clients (16,000) that are logged in and in rooms of ten, and silent. What memory each takes (the
                  difference between half of them and all), and whether they cost any CPU.
  slow            One room of --clients (100), --rate (1000) messages a second of 1 KiB; after a while --slow (10) per
                  cent more join who never read. What the others notice, and what becomes of the slow ones.
  capacity        Raises the load step by step: deliveries a second in a room of --clients (1000) until the p99 passes
                  --bound (50) milliseconds, and clients in one room, with four messages under way, while the p95 is at
                  most 500 milliseconds. Says the last load that held.
  start           How soon after its start the server can be connected to, what memory it takes then, and how large its
                  program is.
";

/// Parses the arguments, the program's name not among them. None at all, not even the one that `cargo bench` passes,
/// is `cargo test --all-targets`: that wants to know whether it works.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Call, String> {
    let flags = flags();
    let mut arguments: Vec<String> = arguments.collect();
    if arguments.is_empty() {
        arguments.push("--smoke".to_owned());
    }
    let matches = flags.parse(arguments).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        return Ok(Call::Help(flags.usage(INTRODUCTION)));
    }
    if let Some(address) = matches.opt_str("floor-server") {
        return Ok(Call::Floor(resolve(&address)?));
    }
    options(&matches).map(|options| Call::Run(Box::new(options)))
}

fn flags() -> Getopts {
    let mut flags = Getopts::new();
    flags
        .optopt("", "connect", "Drive the parlor that runs at this address instead of starting one.", "HOST:PORT")
        .optopt("", "pid", "The process of that server, if it runs on this host: then its CPU time and memory are measured too.", "PID")
        .optopt("", "against", "Measure these servers in turn with parlor and give the ratios: redis, nats, mosquitto, ngircd, and floor, which is the least a server can do: it forwards lines as long as parlor's and looks at nothing in them. floor-short does so with the shortest lines. Those that are not installed are left out.", "NAMES")
        .optopt("", "rounds", "Repeat everything so often, the servers taking turns, and give the median and the spread (default 1, with --against 3).", "N")
        .optopt("", "seconds", "How long each scenario runs, a sixth of it to warm up (default 3).", "S")
        .optopt("", "clients", "How many clients take part; the default depends on the scenario.", "N")
        .optopt("", "rooms", "How many rooms there are in rooms.", "N")
        .optopt("", "members", "How many members each of them has.", "N")
        .optopt("", "window", "How many messages or requests are under way.", "N")
        .optopt("", "rate", "How many messages a second are sent in paced and in slow.", "N")
        .optopt("", "text", "Bytes of text in each message, from 16 to 4096 (default 64; slow: 1024).", "BYTES")
        .optopt("", "slow", "How many per cent of the clients in slow never read (default 10).", "PERCENT")
        .optopt("", "bound", "Which p99 the load may reach in capacity, in milliseconds (default 50).", "MS")
        .optopt("", "patience", "How long to wait for a delivery until it counts as lost (default 10).", "S")
        .optmulti("", "parlor", "A further argument for the parlor that is started, as in --parlor=--max-pending=4M. May be given several times.", "ARGUMENT")
        .optflag("", "no-pin", "Do not pin generator and server to a CPU each.")
        .optflag("", "smoke", "Run every scenario for a moment, with few clients: this shows that everything works, and measures nothing.")
        .optopt("", "json", "Write all results to this file; - is standard output.", "FILE")
        .optopt("", "html", "Write a report with plots to this file, which needs nothing else to be shown.", "FILE")
        .optflag("", "bench", "Ignored: cargo passes it to every bench.")
        .optflag("h", "help", "Print this.");
    // Not for people: this program is its own floor server.
    flags.optopt(
        "",
        "floor-server",
        "Be the floor server at this address, until killed. --against floor does this by itself.",
        "HOST:PORT",
    );
    flags
}

fn options(matches: &Matches) -> Result<Options, String> {
    let against = match matches.opt_str("against") {
        Some(names) => names.split(',').map(kind).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let smoke = matches.opt_present("smoke");
    let seconds: f64 = number(matches, "seconds")?.unwrap_or(if smoke { 0.3 } else { 3.0 });
    if !(0.05..=86_400.0).contains(&seconds) {
        return Err("--seconds must lie between 0.05 and 86400".into());
    }
    let target = match matches.opt_str("connect") {
        Some(address) => Target::Running(resolve(&address)?, number(matches, "pid")?),
        None => Target::Own,
    };
    Ok(Options {
        scenarios: scenarios(&matches.free, &target)?,
        rounds: number(matches, "rounds")?.unwrap_or(if against.is_empty() || smoke { 1 } else { 3 }).max(1),
        target,
        against,
        duration: Duration::from_secs_f64(seconds),
        patience: Duration::from_secs(number(matches, "patience")?.unwrap_or(10)),
        sizes: Sizes {
            clients: positive(matches, "clients")?,
            rooms: positive(matches, "rooms")?,
            members: positive(matches, "members")?,
            window: positive(matches, "window")?.map(|window| window as u32),
            rate: positive(matches, "rate")?.map(|rate| rate as f64),
            text: positive(matches, "text")?,
            slow_percent: positive(matches, "slow")?,
            bound: positive(matches, "bound")?.map(|bound| Duration::from_millis(bound as u64)),
            smoke,
        },
        pin: !matches.opt_present("no-pin"),
        parlor: matches.opt_strs("parlor"),
        json: matches.opt_str("json").map(PathBuf::from),
        html: matches.opt_str("html").map(PathBuf::from),
        smoke,
    })
}

/// Those that were named, or all. `start` needs a server of one's own.
fn scenarios(named: &[String], target: &Target) -> Result<Vec<String>, String> {
    if let Some(unknown) = named.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("there is no scenario {unknown}; there are {}", NAMES.join(", ")));
    }
    let running = matches!(target, Target::Running(..));
    if running && named.iter().any(|name| name == "start") {
        return Err("start and --connect exclude each other".into());
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    Ok(NAMES.iter().filter(|name| !(running && **name == "start")).map(|name| (*name).to_owned()).collect())
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::named(name.trim()).filter(|kind| *kind != Kind::Parlor).ok_or_else(|| {
        format!("--against knows redis, nats, mosquitto, ngircd, floor and floor-short, not {name}")
    })
}

fn number<T: FromStr>(matches: &Matches, name: &str) -> Result<Option<T>, String> {
    let parse = |text: String| text.parse().map_err(|_| format!("--{name} needs a number, not {text}"));
    matches.opt_str(name).map(parse).transpose()
}

fn positive(matches: &Matches, name: &str) -> Result<Option<usize>, String> {
    match number(matches, name)? {
        Some(0) => Err(format!("--{name} must be at least 1")),
        other => Ok(other),
    }
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    let mut addresses = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    addresses.next().ok_or_else(|| format!("{address} has no address"))
}
