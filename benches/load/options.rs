//! The command line of the load bench.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use getopts::{Matches, Options as Getopts};

use crate::cluster::{Engine, MOST_NODES};
use crate::message::{LONGEST, SHORTEST};
use crate::plan::{SCENARIOS, Scenario, Sizes, scenario};
use crate::process::Process;
use crate::servers::Kind;
use crate::transport::{Address, Via};

/// What was asked for.
pub struct Options {
    /// In the order in which they run.
    pub scenarios: Vec<&'static Scenario>,
    pub target: Target,
    /// What is spoken with parlor.
    pub via: Via,
    /// Where connections come from; the kernel's choice if empty.
    pub sources: Vec<IpAddr>,
    pub against: Vec<Kind>,
    /// The engine that joins several nodes, if one runs already.
    pub engine: Option<Engine>,
    pub rounds: usize,
    pub duration: Duration,
    pub patience: Duration,
    pub sizes: Sizes,
    pub pin: bool,
    /// The parlor to start.
    pub binary: PathBuf,
    /// Another one, to be measured in turn with it.
    pub before: Option<PathBuf>,
    /// Further arguments for parlor.
    pub parlor: Vec<String>,
    /// Where to write the results; `-` is standard output.
    pub json: Option<PathBuf>,
    pub html: Option<PathBuf>,
    /// Earlier results to lay beside these.
    pub compare: Option<PathBuf>,
    pub smoke: bool,
    /// A host that is not quiet is an error.
    pub strict: bool,
}

/// What is measured first.
pub enum Target {
    /// A parlor that this program starts.
    Own,
    /// One that runs already, and its process where it is known.
    Running(Address, Option<u32>),
}

/// What the command line comes to.
pub enum Call {
    Run(Box<Options>),
    /// Lay two results beside each other, and run nothing.
    Compare(PathBuf, PathBuf),
    Help(String),
    /// This process is to be the floor server itself.
    Floor(SocketAddr),
}

const INTRODUCTION: &str = "\
Measures what a chat server carries, with up to some 20,000 clients from one core.

Usage: cargo bench --bench load -- [SCENARIO...] [OPTIONS]

Without options it starts a parlor of its own, runs every scenario against it for a few seconds each (two to three minutes
in all), and prints a table. Every delivery is checked: each message once, in order, for each receiver. What is lost,
doubled, reordered or garbled is an error, and the exit status is 1. So is a scenario that parlor does not get through;
where another server does not, that is a note beside its row.

Scenarios:
";

/// Parses the arguments, the program's name not among them. None at all, not even the one that `cargo bench` passes,
/// is `cargo test --all-targets`: that wants to know whether it works.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Call, String> {
    let flags = flags();
    let mut arguments: Vec<String> = arguments.collect();
    if arguments.is_empty() {
        arguments.push("--smoke".to_owned());
    }
    let matches = flags.parse(arguments).map_err(|error| format!("{error}; try --help"))?;
    if matches.opt_present("help") {
        return Ok(Call::Help(flags.usage(&(INTRODUCTION.to_owned() + &scenarios_in_words()))));
    }
    if let Some(address) = matches.opt_str("floor-server") {
        return address.parse().map(Call::Floor).map_err(|_| format!("{address} is no address"));
    }
    match &matches.opt_strs("compare")[..] {
        [before, after] => compare(&matches, before, after),
        [] | [_] => options(&matches).map(|options| Call::Run(Box::new(options))),
        _ => Err("--compare takes one file, or two".to_owned()),
    }
}

/// Name and text of each scenario, wrapped.
fn scenarios_in_words() -> String {
    const INDENT: usize = 18;
    const WIDTH: usize = 118;
    let mut text = String::new();
    for Scenario { name, about, meaning, .. } in &SCENARIOS {
        let mut line = format!("  {name:<16}");
        for word in about.split(' ').chain(meaning.split(' ')) {
            if line.chars().count() + word.chars().count() > WIDTH {
                text += line.trim_end();
                text.push('\n');
                line = " ".repeat(INDENT);
            }
            line += word;
            line.push(' ');
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn flags() -> Getopts {
    let mut flags = Getopts::new();
    flags
        .optopt("", "connect", "Drive the parlor that listens there instead of starting one: HOST:PORT, unix:PATH, tls:HOST:PORT, or http:HOST:PORT for its WebSocket.", "ADDR")
        .optopt("", "pid", "The process of that server, or of --engine, if it runs on this host: then its CPU time is measured too.", "PID")
        .optopt("", "via", "What is spoken with parlor: tcp (the default), unix, ws (WebSocket; parlor needs its feature web), or tls (with --features tls before the --): each handshake is a full one then, but with tls-resumed. Other servers are spoken to as ever.", "TRANSPORT")
        .optopt("", "nodes", "Measure so many parlors (1 to 8) that an engine joins to one server, in turn with one without engine, the clients spread over them; 1,2,4 measures several such clusters. parlor needs its feature cluster.", "NUMBERS")
        .optopt("", "engine", "The engine of --nodes: redis://HOST:PORT, or whatever parlor's --cluster takes; without it a redis-server is started.", "URL")
        .optopt("", "source", "Connect from these addresses of this host in turn. From one address there are some 28,000 ports towards a server.", "ADDRESSES")
        .optopt("", "against", "Measure these servers in turn with parlor and give the ratios: redis, nats, mosquitto, ngircd; ws, a chat of thirty lines on node with the npm package ws; and floor, which is the least a server can do: it forwards lines as long as parlor's and looks at nothing in them. floor-short does so with the shortest lines. plain is parlor over TCP; nginx and haproxy end TLS in front of that one, with --via tls. Those that are not installed are left out.", "NAMES")
        .optopt("", "before", "Measure this program of parlor too, in turn with the other, as the server before.", "PROGRAM")
        .optopt("", "binary", "The program of parlor to start; without it the one that cargo built with this bench.", "PROGRAM")
        .optopt("", "rounds", "Repeat everything so often, the servers taking turns, and give the median and the spread (default 1; with --against, --before or --compare 3).", "N")
        .optopt("", "seconds", "How long each scenario runs, a sixth of it to warm up (default 3).", "S")
        .optopt("", "clients", "How many clients take part; the default depends on the scenario.", "N")
        .optopt("", "rooms", "How many rooms there are in rooms and rooms-many.", "N")
        .optopt("", "members", "How many members each of them has.", "N")
        .optopt("", "window", "How many messages or requests are under way.", "N")
        .optopt("", "rate", "How many messages a second are sent in paced, in slow and in flood.", "N")
        .optopt("", "text", "Bytes of text in each message, from 16 to 4096 (default 64; slow: 1024).", "BYTES")
        .optopt("", "slow", "How many per cent of the clients in slow never read (default 10).", "PERCENT")
        .optopt("", "flood", "How many newcomers come at once in flood (default 200).", "N")
        .optopt("", "bound", "Which p99 the load may reach in capacity, in milliseconds (default 50).", "MS")
        .optopt("", "patience", "How long to wait for a delivery until it counts as lost (default 10).", "S")
        .optmulti("", "parlor", "A further argument for the parlor that is started, as in --parlor=--max-pending=4M. May be given several times.", "ARGUMENT")
        .optflag("", "no-pin", "Do not pin generator and server to a CPU each.")
        .optflag("", "strict", "End with an error where the host was not quiet. Without it ratios are then shown in brackets, and no winner.")
        .optflag("", "smoke", "Run every scenario for a moment, with few clients: this shows that everything works, and measures nothing.")
        .optopt("", "json", "Write all results to this file; - is standard output.", "FILE")
        .optopt("", "html", "Write a report with plots to this file, which needs nothing else to be shown.", "FILE")
        .optmulti("", "compare", "Lay these earlier results (of --json) beside those of this run, and say what has changed. Given twice, nothing is run, and the second file is compared with the first.", "FILE")
        .optflag("", "bench", "Ignored: cargo passes it to every bench.")
        .optflag("h", "help", "Print this.");
    // Not for people: this program is its own floor server.
    flags.optopt(
        "",
        "floor-server",
        "Be the floor server at this address, until killed. --against floor does this by itself.",
        "IP:PORT",
    );
    flags
}

/// Options that only some scenarios make use of.
const OF_SCENARIOS: [&str; 11] = [
    "clients", "rooms", "members", "window", "rate", "text", "slow", "flood", "bound", "seconds", "patience",
];

fn options(matches: &Matches) -> Result<Options, String> {
    let mut against = match matches.opt_str("against") {
        Some(names) => names.split(',').map(kind).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let before = matches.opt_str("before").map(|program| absolute(&program)).transpose()?;
    if before.is_some() {
        against.insert(0, Kind::Before);
    }
    let (nodes, engine) = nodes(matches)?;
    // They stand next to the one that they are compared with.
    against.splice(0..0, nodes);
    let compare = matches.opt_str("compare").map(PathBuf::from);
    let smoke = matches.opt_present("smoke");
    let seconds: f64 = number(matches, "seconds")?.unwrap_or(if smoke { 0.3 } else { 3.0 });
    if !(0.05..=86_400.0).contains(&seconds) {
        return Err("--seconds must lie between 0.05 and 86400".into());
    }
    let (target, via) = target(matches)?;
    let sources = match matches.opt_str("source") {
        Some(list) => list
            .split(',')
            .map(|text| text.trim().parse().map_err(|_| format!("--source: {text} is no IP address")))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    if !via.is_encrypted() && against.iter().any(|kind| kind.is_proxy()) {
        return Err("nginx and haproxy end TLS in front of parlor: --against them needs --via tls".into());
    }
    if via == Via::Tcp && against.contains(&Kind::Plain) {
        return Err("plain is parlor over TCP: --against plain needs another --via".into());
    }
    if !sources.is_empty() && via == Via::Unix {
        return Err("--source is for TCP, not for Unix sockets".into());
    }
    let scenarios = scenarios(matches, &target)?;
    let one_round = smoke || against.is_empty() && compare.is_none();
    Ok(Options {
        scenarios,
        rounds: positive(matches, "rounds")?.unwrap_or(if one_round { 1 } else { 3 }),
        target,
        via,
        sources,
        against,
        engine,
        duration: Duration::from_secs_f64(seconds),
        patience: Duration::from_secs(number(matches, "patience")?.unwrap_or(10)),
        sizes: sizes(matches, smoke)?,
        pin: !matches.opt_present("no-pin"),
        binary: absolute(&matches.opt_str("binary").unwrap_or(env!("CARGO_BIN_EXE_parlor").to_owned()))?,
        before,
        parlor: matches.opt_strs("parlor"),
        json: matches.opt_str("json").map(PathBuf::from),
        html: matches.opt_str("html").map(PathBuf::from),
        compare,
        smoke,
        strict: matches.opt_present("strict"),
    })
}

/// Servers are started in another folder.
fn absolute(program: &str) -> Result<PathBuf, String> {
    std::path::absolute(program).map_err(|error| format!("{program}: {error}"))
}

fn sizes(matches: &Matches, smoke: bool) -> Result<Sizes, String> {
    let text = positive(matches, "text")?;
    if text.is_some_and(|text| !(SHORTEST..=LONGEST).contains(&text)) {
        return Err(format!("--text must lie between {SHORTEST} and {LONGEST}"));
    }
    Ok(Sizes {
        clients: positive(matches, "clients")?,
        rooms: positive(matches, "rooms")?,
        members: positive(matches, "members")?,
        window: number_above_zero::<u32>(matches, "window")?,
        rate: positive(matches, "rate")?.map(|rate| rate as f64),
        text,
        slow_percent: positive(matches, "slow")?,
        flood: positive(matches, "flood")?,
        bound: positive(matches, "bound")?.map(|bound| Duration::from_millis(bound as u64)),
        smoke,
    })
}

/// Which server, and what is spoken with it.
fn target(matches: &Matches) -> Result<(Target, Via), String> {
    let via = matches.opt_str("via").map(|name| Via::named(&name)).transpose()?;
    let Some(address) = matches.opt_str("connect") else {
        if matches.opt_present("pid") && !matches.opt_present("engine") {
            return Err("--pid belongs to --connect and to --engine".into());
        }
        return Ok((Target::Own, via.unwrap_or(Via::Tcp)));
    };
    for option in ["parlor", "binary", "nodes"] {
        if matches.opt_present(option) {
            return Err(format!(
                "--{option} is for a server that is started; with --connect one runs already"
            ));
        }
    }
    let (address, spoken) = match address.split_once(':') {
        Some(("http", rest)) => (Address::parse(rest)?, Via::Ws),
        Some(("tls", rest)) => {
            let tls = via.filter(|via| via.is_encrypted()).map_or_else(|| Via::named("tls"), Ok)?;
            (Address::parse(rest)?, tls)
        }
        _ => match Address::parse(&address)? {
            address @ Address::Unix(_) => (address, Via::Unix),
            address => (address, via.filter(|via| *via != Via::Unix).unwrap_or(Via::Tcp)),
        },
    };
    if let Some(via) = via.filter(|via| *via != spoken) {
        return Err(format!("--via {} does not fit --connect {address}", via.name()));
    }
    Ok((Target::Running(address, number(matches, "pid")?), spoken))
}

/// Those that were named, or all; `start` needs a server of one's own. An option that none of them makes use of is an
/// error: who gives it expects something else.
fn scenarios(matches: &Matches, target: &Target) -> Result<Vec<&'static Scenario>, String> {
    let names = || SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    let named = matches.free.iter().map(|name| {
        scenario(name).ok_or_else(|| format!("there is no scenario {name}; there are {}", names()))
    });
    let mut chosen = named.collect::<Result<Vec<_>, _>>()?;
    let running = matches!(target, Target::Running(..));
    if running && chosen.iter().any(|scenario| scenario.name == "start") {
        return Err("start and --connect exclude each other".into());
    }
    let nodes = matches.opt_present("nodes");
    let fits = |scenario: &Scenario| !nodes || scenario.uses.contains(&"nodes");
    if let Some(other) = chosen.iter().find(|scenario| !fits(scenario)) {
        return Err(format!("{} is not for --nodes; those that are: {}", other.name, users("nodes")));
    }
    if chosen.is_empty() {
        let all = SCENARIOS.iter().filter(|scenario| fits(scenario));
        chosen = all.filter(|scenario| !(running && scenario.name == "start")).collect();
    }
    for option in OF_SCENARIOS {
        if matches.opt_present(option) && !chosen.iter().any(|scenario| scenario.uses.contains(&option)) {
            let users = users(option);
            return Err(format!("--{option} is not used by what was chosen; it belongs to {users}"));
        }
    }
    Ok(chosen)
}

/// The scenarios that make use of this option.
fn users(option: &str) -> String {
    let users = SCENARIOS.iter().filter(|scenario| scenario.uses.contains(&option));
    users.map(|scenario| scenario.name).collect::<Vec<_>>().join(", ")
}

/// Clusters of so many nodes, and what joins them.
fn nodes(matches: &Matches) -> Result<(Vec<Kind>, Option<Engine>), String> {
    let engine = matches.opt_str("engine");
    let Some(list) = matches.opt_str("nodes") else {
        return engine.map_or(Ok((Vec::new(), None)), |_| Err("--engine belongs to --nodes".to_owned()));
    };
    let count = |text: &str| match text.trim().parse() {
        Ok(count) if (1..=MOST_NODES).contains(&count) => Ok(Kind::Nodes(count)),
        _ => Err(format!("--nodes takes numbers from 1 to {MOST_NODES}, not {text}")),
    };
    let kinds = list.split(',').map(count).collect::<Result<Vec<_>, _>>()?;
    if (1..kinds.len()).any(|place| kinds[..place].contains(&kinds[place])) {
        return Err(format!("--nodes: there is a number twice in {list}"));
    }
    let process = number(matches, "pid")?.map(Process);
    Ok((kinds, engine.map(|url| Engine { url, process })))
}

/// Two files: nothing is run, so nothing else makes sense.
fn compare(matches: &Matches, before: &str, after: &str) -> Result<Call, String> {
    let alone = matches.free.is_empty()
        && ["connect", "against", "before", "nodes", "rounds", "json", "html", "smoke", "strict"]
            .iter()
            .chain(&OF_SCENARIOS)
            .all(|option| !matches.opt_present(option));
    match alone {
        true => Ok(Call::Compare(before.into(), after.into())),
        false => Err("two files to --compare, and nothing is run: no other option makes sense".into()),
    }
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = Kind::named(name.trim()).filter(|kind| !(kind.is_own() || *kind == Kind::Before));
    known.ok_or_else(|| {
        format!(
            "--against knows redis, nats, mosquitto, ngircd, ws, floor, floor-short, plain, nginx and haproxy, not {name}"
        )
    })
}

fn number<T: FromStr>(matches: &Matches, name: &str) -> Result<Option<T>, String> {
    let parse = |text: String| text.parse().map_err(|_| format!("--{name} needs a number, not {text}"));
    matches.opt_str(name).map(parse).transpose()
}

fn number_above_zero<T: FromStr + Default + PartialEq>(
    matches: &Matches,
    name: &str,
) -> Result<Option<T>, String> {
    match number(matches, name)? {
        Some(zero) if zero == T::default() => Err(format!("--{name} must be at least 1")),
        other => Ok(other),
    }
}

fn positive(matches: &Matches, name: &str) -> Result<Option<usize>, String> {
    number_above_zero(matches, name)
}
