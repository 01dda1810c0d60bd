//! The command line, as [`Options`]. Knows nothing of sockets: an address is only checked for its form here.

use std::path::PathBuf;
use std::time::Duration;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `HOST:PORT`, not yet resolved. Port 0 picks a free one.
    Tcp(String),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
}

/// Everything an operator can set. [`Options::default`] is what the server runs with when it is given no option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to listen; at least one.
    pub listen: Vec<Listen>,
    /// Clients at once.
    pub max_clients: usize,
    /// Clients at once for one IP address; 0 is no limit of its own.
    pub max_clients_per_ip: usize,
    /// Requests per second carried out for one client in the long run; 0 is no limit.
    pub rate: u32,
    /// Longest request line in bytes, its line end not counted.
    pub max_line: usize,
    /// Rooms one client may be in.
    pub max_rooms: usize,
    /// Bytes of others' messages that may wait for one client before it is disconnected.
    pub max_pending: usize,
    /// Bytes of all input and output buffers together.
    pub max_memory: usize,
    /// SEND MESSAGE only from clients that have joined the room.
    pub members_only: bool,
    /// Close a client from which nothing has come for that long; zero is never.
    pub idle_timeout: Duration,
    /// TCP keep-alive: how long until a peer that has vanished is found out; zero is off.
    pub keepalive: Duration,
    /// How long to go on flushing after a request to stop.
    pub drain: Duration,
    /// How often to log a line of counters; zero is never.
    pub stats: Duration,
    /// Least severe level that is logged.
    pub log: log::LevelFilter,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: vec![Listen::Tcp("127.0.0.1:7878".into())],
            max_clients: 10_000,
            max_clients_per_ip: 0,
            rate: 0,
            max_line: 64 << 10,
            max_rooms: 128,
            max_pending: 1 << 20,
            max_memory: 256 << 20,
            members_only: false,
            idle_timeout: Duration::ZERO,
            keepalive: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            stats: Duration::ZERO,
            log: log::LevelFilter::Info,
        }
    }
}
