//! Over every transport everything arrives; and two generators can drive one server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::stand_in::{self, FULL, StandIn, Vice, start_unix, start_web_socket};
use super::{DEADLINE, figure, site, usual};
use crate::cluster::{Cluster, Engine};
use crate::fault::Fault;
use crate::scenarios::{Site, chat, churn::churn, flood::flood, requests::requests};
use crate::servers::{Kind, Launch, Server};
use crate::transport::{Address, Sources, Via};

pub const SHORT: Duration = Duration::from_millis(300);

/// Each of these checks every delivery by itself.
pub fn all_goes_well(site: &Site<'_>) {
    for outcome in
        [chat::fanout(site, 20, 16), chat::rooms(site, 5, 4, 2), requests(site, 5, 4), churn(site, 5)]
    {
        let outcome = outcome.unwrap_or_else(|fault| panic!("{fault}"));
        assert!(outcome.latency.is_some_and(|latency| !latency.is_empty()));
    }
}

/// Those who talk lose nothing in a flood, of which there was one: where others want the CPU it may need longer to begin.
pub fn flood_goes_well(site: &Site<'_>) {
    let begin = Instant::now();
    let mut duration = SHORT;
    let outcome = loop {
        let outcome = flood(&Site { duration, ..*site }, 10, 50.0, 40);
        let outcome = outcome.unwrap_or_else(|fault| panic!("{fault}"));
        if figure(&outcome, "handshakes") > 0.0 || begin.elapsed() > DEADLINE {
            break outcome;
        }
        duration *= 2;
    };
    for name in ["p99", "p99 without", "ratio", "handshakes", "unfinished"] {
        assert!(figure(&outcome, name) > 0.0, "{name} in {outcome:?}");
    }
    // What it is compared by.
    assert_eq!(outcome.figures[0].name, "p99");
}

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("parlor-generator-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn over_a_unix_socket() {
    let folder = Folder::new("unix");
    let path = folder.0.join("socket");
    let stand_in = start_unix(&path);
    let address = Address::parse(&format!("unix:{}", path.display())).unwrap();
    let sources = Sources::towards(&address, &[]);
    all_goes_well(&site(address, Via::Unix, sources, SHORT));
    assert!(stand_in.lock().unwrap().deliveries > 0);
}

fn over_web_socket(stand_in: StandIn, duration: Duration) -> Site<'static> {
    let address = Address::Tcp(start_web_socket(stand_in).0);
    let sources = Sources::towards(&address, &[]);
    site(address, Via::Ws, sources, duration)
}

/// The other side's frames are tungstenite's.
#[test]
fn over_web_socket_to_another_implementation() {
    all_goes_well(&over_web_socket(StandIn::default(), SHORT));
}

#[test]
fn over_web_socket_with_long_messages() {
    for text in [200, 4096] {
        all_goes_well(&Site { text, ..over_web_socket(StandIn::default(), SHORT) });
    }
}

#[test]
fn over_web_socket_misbehaviour_is_found_too() {
    let bad = StandIn::with_vice(Vice::Doubles, 3);
    let outcome = chat::fanout(&over_web_socket(bad, DEADLINE), 20, 16);
    assert!(matches!(outcome, Err(Fault::Repeated(_))), "{outcome:?}");
}

#[test]
fn over_web_socket_a_full_server_is_understood() {
    let full = StandIn::with_seats(9);
    // Whether the one who is to talk is among those that have come in is left to chance.
    let told = match chat::fanout(&over_web_socket(full, SHORT), 20, 4) {
        Ok(outcome) => outcome.notes.join("\n"),
        Err(Fault::Full(what)) => what,
        Err(fault) => panic!("{fault}"),
    };
    assert!(told.contains(FULL) && told.contains("with 9 clients"), "{told}");
}

#[test]
fn where_nobody_speaks_web_socket_that_is_said() {
    let parlor = Running::start(&[]);
    let site = site(parlor.address.clone(), Via::Ws, Sources::towards(&parlor.address, &[]), SHORT);
    let fault = chat::fanout(&site, 3, 1).unwrap_err();
    assert!(matches!(&fault, Fault::Lost(what) if what.contains("no WebSocket, but")), "{fault}");
}

pub fn launch(via: Via) -> Launch {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_parlor"));
    Launch { cpus: None, descriptors: 1000, via, binary, before: None, extra: Vec::new(), engine: None }
}

#[test]
fn the_bench_starts_parlor_on_tcp_and_unix() {
    for via in [Via::Tcp, Via::Unix] {
        let server = Server::start(Kind::Parlor, &launch(via)).unwrap();
        let sources = Sources::towards(&server.address, &[]);
        let site = site(server.address.clone(), via, sources, SHORT);
        all_goes_well(&site);
        flood_goes_well(&site);
    }
}

/// Newcomers for whom there is no seat end nothing.
#[test]
fn a_flood_meets_a_full_server() {
    let site = usual(stand_in::start(StandIn::with_seats(12)).0, SHORT);
    flood_goes_well(&site);
}

/// With the part that speaks WebSocket, parlor is driven over it; without it, that is said.
#[test]
fn the_bench_starts_parlor_with_its_web_socket() {
    match Server::start(Kind::Parlor, &launch(Via::Ws)) {
        Ok(server) => {
            let sources = Sources::towards(&server.address, &[]);
            all_goes_well(&site(server.address.clone(), Via::Ws, sources, SHORT));
        }
        Err(error) => {
            let version = Command::new(env!("CARGO_BIN_EXE_parlor")).arg("--version").output().unwrap();
            let parts = String::from_utf8_lossy(&version.stdout).into_owned();
            assert!(!parts.contains("web"), "{parts}: {error}");
            assert!(error.to_string().contains("the server did not start"), "{error}");
        }
    }
}

/// A site whose server listens at both addresses.
fn site_of_two(first: SocketAddr, second: SocketAddr) -> Site<'static> {
    let mut site = usual(first, SHORT);
    site.endpoint.others = Box::leak(Box::new([Address::Tcp(second)]));
    site
}

#[test]
fn clients_are_spread_over_all_nodes() {
    let (first, shared) = stand_in::start(StandIn::default());
    let second = stand_in::start_another(&shared);
    let site = site_of_two(first, second);
    for (client, address) in [(0, first), (1, second), (2, first), (7, second)] {
        assert_eq!(*site.endpoint.of_client(client).address, Address::Tcp(address));
    }
    all_goes_well(&site);
    // With nobody at the second address, those of the second node do not get in.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fault = chat::fanout(&site_of_two(first, nobody), 20, 4).unwrap_err();
    assert!(matches!(&fault, Fault::Lost(what) if what.contains(&nobody.to_string())), "{fault}");
}

#[test]
fn misbehaviour_of_a_server_of_two_addresses_is_found_too() {
    let (first, shared) = stand_in::start(StandIn::with_vice(Vice::Reorders, 5));
    let site = Site { duration: DEADLINE, ..site_of_two(first, stand_in::start_another(&shared)) };
    let outcome = chat::rooms(&site, 3, 6, 8);
    assert!(outcome.is_err_and(|fault| fault.is_wrong()));
}

/// Needs the feature `cluster` and a `redis-server`, and says so where one is missing.
#[test]
fn the_bench_starts_nodes_and_measures_their_engine_apart() {
    let launch = launch(Via::Tcp);
    if let Err(missing) = Kind::Nodes(3).is_there(&launch) {
        let of_parlor = missing.contains("the feature cluster");
        assert_eq!(of_parlor, !cfg!(feature = "cluster"), "{missing}");
        assert!(of_parlor || std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "{missing}");
        eprintln!("passed over: {missing}");
        return;
    }
    let nodes = Cluster::start(3, &launch).unwrap();
    assert_eq!((nodes.addresses.len(), nodes.watched.servers.len(), nodes.note()), (3, 3, None));
    let (first, others) = nodes.addresses.split_first().unwrap();
    let sources = Sources::towards(first, &[]);
    let mut site = Site { watched: &nodes.watched, ..site(first.clone(), Via::Tcp, sources, SHORT) };
    site.endpoint.others = others;
    for outcome in [chat::fanout(&site, 20, 16), chat::rooms(&site, 5, 4, 2), chat::paced(&site, 20, 200.0)] {
        let outcome = outcome.unwrap_or_else(|fault| panic!("{fault}"));
        let figure = |name: &str| outcome.figures.iter().find(|figure| figure.name == name).unwrap().value;
        for name in ["nodes/delivery", "engine/delivery", "nodes/message", "engine/message", "messages"] {
            assert!(figure(name) > 0.0, "{name}");
        }
        // Parts and whole agree, up to rounding.
        let parts = figure("nodes/delivery") + figure("engine/delivery");
        assert!((parts / figure("CPU/delivery") - 1.0).abs() < 1e-6, "{parts}");
    }
}

/// Its port can be connected to before it looks at the engine.
#[test]
fn nodes_that_do_not_start_tell_why() {
    let nowhere = Engine { url: "redis+unix:/nowhere".to_owned(), process: None };
    let launch = Launch { engine: Some(nowhere), ..launch(Via::Tcp) };
    if let Err(missing) = Kind::Nodes(2).is_there(&launch) {
        let is_built_in = cfg!(feature = "cluster");
        assert!(!is_built_in && missing.contains("the feature cluster"), "{missing}");
        return;
    }
    for _ in 0..5 {
        let why = Cluster::start(2, &launch).map(|_| ()).unwrap_err().to_string();
        assert!(why.contains("the server did not start") && why.contains("redis+unix:/nowhere"), "{why}");
    }
}

/// The chat on node that parlor is compared with; passed over where node or its package is missing.
#[test]
fn the_chat_on_node_passes_the_same_checks() {
    let launch = launch(Via::Tcp);
    if let Err(missing) = Kind::Ws.is_there(&launch) {
        assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "{missing}");
        eprintln!("passed over: {missing}");
        return;
    }
    let server = Server::start(Kind::Ws, &launch).unwrap();
    let sources = Sources::towards(&server.address, &[]);
    all_goes_well(&site(server.address.clone(), Kind::Ws.via(Via::Tcp), sources, SHORT));
}

/// A parlor that runs by itself, as one that is given to `--connect`.
pub struct Running {
    child: Child,
    pub address: Address,
}

impl Running {
    pub fn start(options: &[&str]) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_parlor"))
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it listened");
            if let Some((_, address)) = line.trim_end().split_once("listening on ") {
                break Address::parse(address).unwrap();
            }
        };
        // Somebody has to read the rest.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Running { child, address }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SERVER: &str = "PARLOR_GENERATORS_SERVER";

/// Not a test by itself: one of the two generators of the next one, in a process of its own.
#[test]
#[ignore = "run by two_generators_drive_one_server"]
fn a_generator() {
    let Some(address) = std::env::var(SERVER).ok() else { return };
    let Ok(Address::Tcp(address)) = Address::parse(&address) else { panic!("{address}") };
    for _ in 0..2 {
        all_goes_well(&usual(address, Duration::from_millis(400)));
    }
    println!("all went well");
}

/// Names, rooms and ports of the two must not meet; that they run at the same time is seen to by the length of each.
#[test]
fn two_generators_drive_one_server() {
    let parlor = Running::start(&[]);
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "transports::a_generator", "--ignored", "--nocapture"])
            .env(SERVER, parlor.address.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for generator in [start(), start(), start()] {
        let output = generator.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("all went well"), "{said}{complaint}");
    }
}

#[test]
fn an_address_is_understood_or_refused() {
    assert_eq!(Address::parse("unix:/run/a b"), Ok(Address::Unix(Path::new("/run/a b").into())));
    assert!(matches!(Address::parse("127.0.0.1:7878"), Ok(Address::Tcp(_))));
    assert!(Address::parse("unix:").is_err() && Address::parse("127.0.0.1").is_err());
}
