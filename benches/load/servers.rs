//! The servers that can be measured: how each is found, configured and started, as a child process.
//!
//! None is handicapped: nothing is written to disk, logs are off, limits are as high as descriptors allow, Nagle's
//! algorithm is off, and each has one CPU, as parlor does with its one thread.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::certificate;
use crate::cluster::{self, Engine, MOST_NODES};
use crate::dialects::{
    Dialect, floor::Floor, irc::Irc, mqtt::Mqtt, nats::Nats, parlor::Parlor, redis::Redis,
};
use crate::process::{Cpus, Process};
use crate::proxies;
use crate::transport::{Address, Via};

/// How servers are started.
pub struct Launch {
    pub cpus: Option<Cpus>,
    /// How many a server may have.
    pub descriptors: usize,
    /// What is spoken with parlor.
    pub via: Via,
    /// parlor's own program.
    pub binary: PathBuf,
    /// Another program of parlor, to be measured in turn with it.
    pub before: Option<PathBuf>,
    /// Further arguments for parlor.
    pub extra: Vec<String>,
    /// The engine that joins several nodes, if one runs already.
    pub engine: Option<Engine>,
}

impl Launch {
    /// How many clients a server may let in.
    pub fn most_clients(&self) -> usize {
        self.descriptors.saturating_sub(100)
    }
}

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Parlor,
    /// Another program of parlor, usually one from before a change.
    Before,
    /// So many of parlor, joined by an engine.
    Nodes(usize),
    /// The least a server can do, with lines as long as parlor's.
    Floor,
    /// The same with the shortest lines.
    FloorShort,
    Redis,
    Nats,
    Mosquitto,
    Ngircd,
    /// A chat of thirty lines on node, with the npm package of this name.
    Ws,
    /// parlor over TCP, whatever is spoken with the other.
    Plain,
    /// That one behind a proxy that ends TLS.
    Nginx,
    /// The same with another proxy.
    Haproxy,
}

pub const ALL: [Kind; 12 + MOST_NODES] = [
    Kind::Parlor,
    Kind::Before,
    Kind::Nodes(1),
    Kind::Nodes(2),
    Kind::Nodes(3),
    Kind::Nodes(4),
    Kind::Nodes(5),
    Kind::Nodes(6),
    Kind::Nodes(7),
    Kind::Nodes(8),
    Kind::Floor,
    Kind::FloorShort,
    Kind::Redis,
    Kind::Nats,
    Kind::Mosquitto,
    Kind::Ngircd,
    Kind::Ws,
    Kind::Plain,
    Kind::Nginx,
    Kind::Haproxy,
];

/// What several nodes are called, by how many they are.
const NODES: [&str; MOST_NODES] =
    ["nodes-1", "nodes-2", "nodes-3", "nodes-4", "nodes-5", "nodes-6", "nodes-7", "nodes-8"];

const WS_PEER: &str = include_str!("peers/ws.js");

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Parlor => "parlor",
            Kind::Before => "before",
            Kind::Nodes(count) => NODES[(count - 1).min(MOST_NODES - 1)],
            Kind::Floor => "floor",
            Kind::FloorShort => "floor-short",
            Kind::Redis => "redis",
            Kind::Nats => "nats",
            Kind::Mosquitto => "mosquitto",
            Kind::Ngircd => "ngircd",
            Kind::Ws => "ws",
            Kind::Plain => "plain",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn dialect(self) -> Box<dyn Dialect> {
        match self {
            Kind::Floor => Box::new(Floor { as_long_as_parlor: true }),
            Kind::FloorShort => Box::new(Floor { as_long_as_parlor: false }),
            Kind::Redis => Box::new(Redis),
            Kind::Nats => Box::new(Nats),
            Kind::Mosquitto => Box::new(Mqtt),
            Kind::Ngircd => Box::new(Irc),
            _ => Box::new(Parlor),
        }
    }

    /// The longest text that fits a message, in bytes.
    pub fn longest_text(self) -> usize {
        match self {
            Kind::Ngircd => 400, // a line of IRC ends at 512 bytes, names included
            _ => crate::message::LONGEST,
        }
    }

    /// Whether it is what was to be measured, and not something to compare it with.
    pub fn is_own(self) -> bool {
        matches!(self, Kind::Parlor | Kind::Nodes(_))
    }

    /// Whether it is a proxy in front of parlor: two programs, which [`Proxied`](crate::proxies::Proxied) starts.
    pub fn is_proxy(self) -> bool {
        matches!(self, Kind::Nginx | Kind::Haproxy)
    }

    /// What is spoken with it, if `parlors` is spoken with parlor.
    pub fn via(self, parlors: Via) -> Via {
        match self {
            Kind::Parlor | Kind::Before | Kind::Nodes(_) | Kind::Nginx | Kind::Haproxy => parlors,
            Kind::Ws => Via::Ws,
            _ => Via::Tcp,
        }
    }

    /// The program, or how to get it.
    pub fn program(self, launch: &Launch) -> Result<PathBuf, String> {
        let name = match self {
            Kind::Parlor | Kind::Nodes(_) | Kind::Plain => return Ok(launch.binary.clone()),
            Kind::Before => return launch.before.clone().ok_or_else(|| "before needs --before".to_owned()),
            Kind::Floor | Kind::FloorShort => {
                return std::env::current_exe().map_err(|error| error.to_string());
            }
            Kind::Redis => "redis-server",
            Kind::Nats => "nats-server",
            Kind::Mosquitto => "mosquitto",
            Kind::Ngircd => "ngircd",
            Kind::Ws => "node",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
        };
        find(name).ok_or_else(|| {
            let package = if self == Kind::Ws { "nodejs node-ws" } else { name };
            format!("{} is not installed; on Debian and Ubuntu: apt install {package}", self.name())
        })
    }

    /// The first line of what the program says of its version. For `ws` it is also the question whether the package is
    /// there.
    pub fn version(self, launch: &Launch) -> Option<String> {
        let arguments: &[&str] = match self {
            Kind::Floor | Kind::FloorShort | Kind::Nodes(_) | Kind::Plain => return None,
            Kind::Mosquitto => &["-h"],
            Kind::Ws => &["-p", "`${require('ws/package.json').version} on node ${process.version}`"],
            Kind::Nginx | Kind::Haproxy => &["-v"],
            _ => &["--version"],
        };
        let mut command = Command::new(self.program(launch).ok()?);
        command.args(arguments).env("NODE_PATH", node_path()).stdin(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success() || self != Kind::Ws)?;
        // nginx says it where others complain.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).lines().next()?.trim().to_owned();
        // The name stands before it already.
        let said = said.trim_start_matches("nginx version: ").trim_start_matches("HAProxy version ");
        let without = said.strip_prefix(self.name()).and_then(|rest| rest.strip_prefix([' ', '/']));
        Some(without.unwrap_or(said).to_owned())
    }

    /// Whether it can be started, or how to get it.
    pub fn is_there(self, launch: &Launch) -> Result<(), String> {
        let program = self.program(launch)?;
        if self == Kind::Ws && self.version(launch).is_none() {
            return Err("ws is not installed; apt install node-ws, or npm install -g ws".to_owned());
        }
        if matches!(self, Kind::Nodes(_)) {
            return cluster::is_there(launch);
        }
        if self.is_proxy() {
            proxies::is_there(self)?;
        }
        if program.is_file() { Ok(()) } else { Err(format!("there is no program {}", program.display())) }
    }

    /// Where it shall listen, and the arguments that make it do so; what it wants as a file is written to `directory`.
    pub fn arguments(self, directory: &Path, launch: &Launch) -> io::Result<(Address, Vec<OsString>)> {
        let tcp = free_address()?;
        let port = tcp.port();
        let file = directory.join("config");
        let clients = launch.most_clients();
        let words = |text: String| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let with_file = |options: &str, text: String, more: String| -> io::Result<Vec<OsString>> {
            fs::write(&file, text)?;
            Ok([words(options.to_owned()), vec![file.clone().into()], words(more)].concat())
        };
        let mut address = Address::Tcp(tcp);
        let arguments = match self {
            Kind::Parlor | Kind::Before | Kind::Nodes(_) | Kind::Plain => {
                let mut certificate = Vec::new();
                let listen = match self.via(launch.via) {
                    Via::Tcp => tcp.to_string(),
                    Via::Ws => format!("http:{tcp}"),
                    Via::Tls | Via::TlsResumed => {
                        let files = certificate::write(directory)?;
                        certificate.extend(["--tls-cert".into(), files.certificate.into()]);
                        certificate.extend(["--tls-key".into(), files.key.into()]);
                        format!("tls:{tcp}")
                    }
                    Via::Unix => {
                        address = Address::Unix(directory.join("socket"));
                        address.to_string()
                    }
                };
                let mut arguments = vec!["--listen".into(), listen.into()];
                arguments.append(&mut certificate);
                arguments.extend(words(format!("--max-clients {clients}")));
                arguments.extend(launch.extra.iter().map(OsString::from));
                arguments
            }
            Kind::Floor | Kind::FloorShort => words(format!("--floor-server {tcp}")),
            Kind::Redis => with_file("", redis(port, clients), String::new())?,
            Kind::Nats => with_file("-c", nats(tcp), String::new())?,
            Kind::Mosquitto => with_file("-c", mosquitto(port), String::new())?,
            Kind::Ngircd => with_file("-n -f", ngircd(port), String::new())?,
            Kind::Ws => with_file("", WS_PEER.to_owned(), format!("{} {port}", tcp.ip()))?,
            Kind::Nginx | Kind::Haproxy => return Err(io::Error::other("there is nothing behind the proxy")),
        };
        Ok((address, arguments))
    }
}

/// The program of this name, where programs are.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let directories = std::env::split_paths(&path).chain(system);
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Where node finds packages that were installed for all.
fn node_path() -> OsString {
    let own = std::env::var_os("NODE_PATH").unwrap_or_default();
    let system = ["/usr/share/nodejs", "/usr/lib/node_modules", "/usr/local/lib/node_modules"];
    let all = std::env::split_paths(&own).chain(system.map(PathBuf::from));
    std::env::join_paths(all).unwrap_or(own)
}

fn redis(port: u16, clients: usize) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\nprotected-mode no\nsave \"\"\nappendonly no\nmaxclients {clients}\n\
         tcp-backlog 4096\nio-threads 1\nloglevel warning\n"
    )
}

fn nats(address: SocketAddr) -> String {
    format!(
        "listen: \"{address}\"\nmax_connections: 1000000\nping_interval: \"1h\"\nwrite_deadline: \"10s\"\n"
    )
}

fn mosquitto(port: u16) -> String {
    format!(
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
         max_queued_messages 0\nmax_inflight_messages 0\nsys_interval 0\nlog_type none\n"
    )
}

fn ngircd(port: u16) -> String {
    format!(
        "[Global]\nName = load.bench.local\nInfo = load\nMotdPhrase = load\nListen = 127.0.0.1\nPorts = {port}\n\
         ServerUID = root\nServerGID = root\n\
         [Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxJoins = 0\nMaxNickLength = 20\nMaxPenaltyTime = 0\n\
         PingTimeout = 3600\nPongTimeout = 3600\n\
         [Options]\nDNS = no\nIdent = no\nPAM = no\nSyslogFacility = local0\nScrubCTCP = no\n"
    )
}

/// A server that runs as a child process. It ends with this value.
pub struct Server {
    child: Child,
    directory: PathBuf,
    pub address: Address,
    /// From its start until it could be connected to.
    pub started_within: Duration,
}

impl Server {
    /// Starts it and waits until it can be connected to.
    pub fn start(kind: Kind, launch: &Launch) -> io::Result<Server> {
        let cpus = launch.cpus.map(|cpus| cpus.server.to_string());
        Server::start_with(kind, launch, cpus, &[])
    }

    /// The same on these CPUs, with some arguments more.
    pub fn start_with(
        kind: Kind,
        launch: &Launch,
        cpus: Option<String>,
        more: &[OsString],
    ) -> io::Result<Server> {
        let program = kind.program(launch).map_err(io::Error::other)?;
        Server::start_program(&program, cpus, |directory| {
            let (address, arguments) = kind.arguments(directory, launch)?;
            Ok((address, [&arguments, more].concat()))
        })
    }

    /// Starts this program. Where it shall listen and its arguments are told by `arguments`, which may write files into
    /// the folder that it is given.
    pub fn start_program(
        program: &Path,
        cpus: Option<String>,
        arguments: impl Fn(&Path) -> io::Result<(Address, Vec<OsString>)>,
    ) -> io::Result<Server> {
        let directory = temporary_directory()?;
        let (address, arguments) = arguments(&directory)?;
        let mut command = match cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(cpus);
                // If the generator is killed, the server goes with it.
                command.args(["setpriv", "--pdeathsig", "KILL"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let said = File::create(directory.join("output"))?;
        command.args(arguments).env("GOMAXPROCS", "1").env("NODE_PATH", node_path());
        command.current_dir(&directory).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let begin = Instant::now();
        let child = command.spawn().map_err(|error| {
            io::Error::other(format!("{} could not be started: {error}", program.display()))
        })?;
        let mut server = Server { child, directory, address, started_within: Duration::ZERO };
        server.wait(begin, |server| server.address.answers().is_ok())?;
        server.started_within = begin.elapsed();
        Ok(server)
    }

    /// A node's port can be connected to before it has joined the others; this is when it serves its clients.
    pub fn wait_until_it_serves(&mut self) -> io::Result<()> {
        self.wait(Instant::now(), |server| server.said().contains("listening on "))
    }

    fn wait(&mut self, begin: Instant, is_ready: impl Fn(&Server) -> bool) -> io::Result<()> {
        while !is_ready(self) {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begin.elapsed() > Duration::from_secs(10) {
                let why = ended.map_or("it does not listen".to_owned(), |status| status.to_string());
                return Err(io::Error::other(format!(
                    "the server did not start ({why}): {}",
                    self.said().trim()
                )));
            }
            sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    /// What it has written so far.
    fn said(&self) -> String {
        fs::read_to_string(self.directory.join("output")).unwrap_or_default()
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn temporary_directory() -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("parlor-load-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// A port that was free a moment ago.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
