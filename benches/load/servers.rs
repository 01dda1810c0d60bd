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

use socket2::{Domain, Protocol, Socket, Type};

use crate::dialects::{
    Dialect, floor::Floor, irc::Irc, mqtt::Mqtt, nats::Nats, parlor::Parlor, redis::Redis,
};
use crate::process::{Cpus, Process};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Parlor,
    /// The least a server can do, with lines as long as parlor's.
    Floor,
    /// The same with the shortest lines.
    FloorShort,
    Redis,
    Nats,
    Mosquitto,
    Ngircd,
}

pub const ALL: [Kind; 7] =
    [Kind::Parlor, Kind::Floor, Kind::FloorShort, Kind::Redis, Kind::Nats, Kind::Mosquitto, Kind::Ngircd];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Parlor => "parlor",
            Kind::Floor => "floor",
            Kind::FloorShort => "floor-short",
            Kind::Redis => "redis",
            Kind::Nats => "nats",
            Kind::Mosquitto => "mosquitto",
            Kind::Ngircd => "ngircd",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn dialect(self) -> Box<dyn Dialect> {
        match self {
            Kind::Parlor => Box::new(Parlor),
            Kind::Floor => Box::new(Floor { as_long_as_parlor: true }),
            Kind::FloorShort => Box::new(Floor { as_long_as_parlor: false }),
            Kind::Redis => Box::new(Redis),
            Kind::Nats => Box::new(Nats),
            Kind::Mosquitto => Box::new(Mqtt),
            Kind::Ngircd => Box::new(Irc),
        }
    }

    /// The longest text that fits a message, in bytes.
    pub fn longest_text(self) -> usize {
        match self {
            Kind::Ngircd => 400, // a line of IRC ends at 512 bytes, names included
            _ => crate::message::LONGEST,
        }
    }

    /// The program, or how to get it.
    pub fn program(self) -> Result<PathBuf, String> {
        let (program, package) = match self {
            Kind::Parlor => return Ok(PathBuf::from(env!("CARGO_BIN_EXE_parlor"))),
            Kind::Floor | Kind::FloorShort => {
                return std::env::current_exe().map_err(|error| error.to_string());
            }
            Kind::Redis => ("redis-server", "redis-server"),
            Kind::Nats => ("nats-server", "nats-server"),
            Kind::Mosquitto => ("mosquitto", "mosquitto"),
            Kind::Ngircd => ("ngircd", "ngircd"),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        std::env::split_paths(&path)
            .chain(system)
            .map(|directory| directory.join(program))
            .find(|file| file.is_file())
            .ok_or_else(|| {
                format!("{} is not installed; on Debian and Ubuntu: apt install {package}", self.name())
            })
    }

    /// The first line of what the program says of its version.
    pub fn version(self) -> Option<String> {
        let argument = match self {
            Kind::Floor | Kind::FloorShort => return None,
            Kind::Mosquitto => "-h",
            _ => "--version",
        };
        let output = Command::new(self.program().ok()?).arg(argument).stdin(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    }

    /// The arguments that make it listen at `address` with room for `descriptors`; what it wants as a file is written
    /// to `directory`.
    fn arguments(
        self,
        address: SocketAddr,
        directory: &Path,
        descriptors: usize,
    ) -> io::Result<Vec<OsString>> {
        let port = address.port();
        let file = directory.join("config");
        let clients = descriptors.saturating_sub(100);
        let words = |text: String| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let with_file = |options: &str, text: String| -> io::Result<Vec<OsString>> {
            fs::write(&file, text)?;
            Ok(words(options.to_owned()).into_iter().chain([file.clone().into()]).collect())
        };
        match self {
            Kind::Parlor => Ok(words(format!("--listen {address} --max-clients {clients}"))),
            Kind::Floor | Kind::FloorShort => Ok(words(format!("--floor-server {address}"))),
            Kind::Redis => with_file("", redis(port, clients)),
            Kind::Nats => with_file("-c", nats(address)),
            Kind::Mosquitto => with_file("-c", mosquitto(port)),
            Kind::Ngircd => with_file("-n -f", ngircd(port)),
        }
    }
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
    pub address: SocketAddr,
    /// From its start until it could be connected to.
    pub started_within: Duration,
}

impl Server {
    /// Starts it and waits until it can be connected to.
    pub fn start(kind: Kind, cpus: Option<Cpus>, descriptors: usize, extra: &[String]) -> io::Result<Server> {
        let program = kind.program().map_err(io::Error::other)?;
        let directory = temporary_directory()?;
        let address = free_address()?;
        let mut command = match cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(cpus.server.to_string());
                // If the generator is killed, the server goes with it.
                command.args(["setpriv", "--pdeathsig", "KILL"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(kind.arguments(address, &directory, descriptors)?);
        if kind == Kind::Parlor {
            command.args(extra);
        }
        let said = File::create(directory.join("output"))?;
        command.env("GOMAXPROCS", "1").current_dir(&directory).stdin(Stdio::null());
        command.stdout(said.try_clone()?).stderr(said);
        let begin = Instant::now();
        let child = command.spawn()?;
        let mut server = Server { child, directory, address, started_within: Duration::ZERO };
        server.wait_until_it_listens(begin)?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self, begin: Instant) -> io::Result<()> {
        while !listens(self.address) {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begin.elapsed() > Duration::from_secs(10) {
                let said = fs::read_to_string(self.directory.join("output")).unwrap_or_default();
                let why = ended.map_or("it does not listen".to_owned(), |status| status.to_string());
                return Err(io::Error::other(format!("the server did not start ({why}): {}", said.trim())));
            }
            sleep(Duration::from_micros(100));
        }
        self.started_within = begin.elapsed();
        Ok(())
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

/// Whether somebody listens there. Asked from another address: as long as nobody listens, the kernel may choose the very
/// port as the source, and a connection with itself is one that stands. After a churn few ports are free.
fn listens(address: SocketAddr) -> bool {
    let ask = || -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        // Not every system has more than one such address; then it is asked from the same.
        let _ = socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into());
        socket.connect(&address.into())
    };
    ask().is_ok()
}

/// A port that was free a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
