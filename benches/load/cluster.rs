//! Several nodes of parlor as one server: so many processes, and the engine that joins them.
//!
//! The engine is one that runs already, or a `redis-server` (or `valkey-server`) that is started for a single round, over
//! TCP on this host. What it costs is measured apart from what the nodes cost. On a host with more than two CPUs nodes and
//! engine may use all but the generator's.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::{Cpus, Process, Watched};
use crate::servers::{self, Kind, Launch, Server};
use crate::transport::Address;

/// So many nodes at most: those of a report have a name and a colour each.
pub const MOST_NODES: usize = 8;

/// What starts an engine, the first that is installed.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// An engine that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// As parlor's `--cluster` takes it.
    pub url: String,
    /// Its process, if it runs on this host and is known.
    pub process: Option<Process>,
}

/// An engine's URL without user and password, to be shown. What is no such URL stays as it is.
pub fn without_password(url: &str) -> String {
    const SCHEME: &str = "redis://";
    match url.split_once(SCHEME).and_then(|(before, rest)| Some((before, rest.rsplit_once('@')?.1))) {
        Some((before, place)) => format!("{before}{SCHEME}{place}"),
        None => url.to_owned(),
    }
}

/// Running nodes. They end with this value, and so does their engine, if it was started for them.
pub struct Cluster {
    /// The nodes end before their engine.
    _running: (Vec<Server>, Option<Server>),
    /// Where the nodes listen.
    pub addresses: Vec<Address>,
    /// What is to be measured.
    pub watched: Watched,
}

impl Cluster {
    /// Starts so many nodes, and an engine unless one runs.
    pub fn start(count: usize, launch: &Launch) -> io::Result<Cluster> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let engine = launch.engine.is_none().then(|| start_engine(launch)).transpose()?;
        let (url, process) = match (&launch.engine, &engine) {
            (Some(running), _) => (running.url.clone(), running.process),
            (None, Some(started)) => (format!("redis://{}", started.address), Some(started.process())),
            (None, None) => unreachable!("an engine runs or was started"),
        };
        // At an engine that others use too, no two runs are one cluster.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("parlor-load-{}-{number}:", std::process::id());
        let more = ["--cluster", &url, "--cluster-prefix", &prefix].map(Into::into);
        let start = |_| Server::start_with(Kind::Nodes(count), launch, cpus(launch), &more);
        let mut nodes = (0..count).map(start).collect::<io::Result<Vec<Server>>>()?;
        nodes.iter_mut().try_for_each(Server::wait_until_it_serves)?;
        let watched = Watched {
            servers: nodes.iter().map(Server::process).collect(),
            engine: process,
            has_unseen: process.is_none(),
        };
        let addresses = nodes.iter().map(|node| node.address.clone()).collect();
        Ok(Cluster { _running: (nodes, engine), addresses, watched })
    }

    /// What to say beside the figures.
    pub fn note(&self) -> Option<String> {
        let note = "CPU is that of the nodes alone, for the engine's process is not known (--pid)";
        self.watched.has_unseen.then(|| note.to_owned())
    }
}

/// Whether nodes can be started, or what is missing.
pub fn is_there(launch: &Launch) -> Result<(), String> {
    let said = Command::new(&launch.binary).arg("--version").output();
    let parts = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    if !parts.contains("cluster") {
        return Err(format!(
            "{} is built without the feature cluster, which --nodes needs: cargo bench --features cluster",
            launch.binary.display()
        ));
    }
    match (&launch.engine, engine_program()) {
        (None, None) => Err("--nodes needs an engine: give --engine, or apt install redis-server".to_owned()),
        _ => Ok(()),
    }
}

/// What joins the nodes, for people.
pub fn engine_in_words(launch: &Launch) -> Option<String> {
    match &launch.engine {
        Some(running) => Some(without_password(&running.url)),
        None => {
            let said = Command::new(engine_program()?).arg("--version").output().ok()?;
            // The rest of the line is about how it was built.
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            Some(said.split(" sha=").next()?.trim().to_owned())
        }
    }
}

/// Where nodes and engine run.
fn cpus(launch: &Launch) -> Option<String> {
    launch.cpus.map(Cpus::all_servers)
}

fn engine_program() -> Option<PathBuf> {
    PROGRAMS.into_iter().find_map(servers::find)
}

fn start_engine(launch: &Launch) -> io::Result<Server> {
    let program = engine_program().ok_or_else(|| io::Error::other("there is no engine to start"))?;
    Server::start_program(&program, cpus(launch), |directory: &Path| {
        let (address, arguments) = Kind::Redis.arguments(directory, launch)?;
        // As the manual advises.
        let more =
            ["--maxmemory-policy", "noeviction", "--client-output-buffer-limit", "pubsub 256mb 64mb 30"];
        Ok((address, arguments.into_iter().chain(more.map(Into::into)).collect()))
    })
}
