//! The command line, as [`Options`]. Knows nothing of sockets: an address is only checked for its form here.
//!
//! [`parse`] turns arguments into an [`Invocation`], and [`usage`] is what `--help` prints. Both read the one table of
//! options in `options/flags.rs`, so an option, its range and its help cannot drift apart.

mod flags;

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddrV6;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub use flags::usage;
use flags::{FLAGS, Value};

/// The longest line that can be allowed: an escape can make a message three times as long as its line, and the bytes of
/// a turn's messages are counted with 32 bits, on a 32-bit machine with 31.
pub const MAX_LINE_BYTES: usize = if cfg!(target_pointer_width = "64") { 1 << 30 } else { 1 << 28 };

/// Where to listen.
///
/// Written and read as on the command line: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `HOST:PORT`, not yet resolved. Port 0 picks a free one.
    Tcp(String),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = UsageError;

    /// Checks the form alone; whether a host name exists or a path is free shows when the server binds.
    fn from_str(text: &str) -> Result<Self, UsageError> {
        let wrong = |why: &str| Err(UsageError(why.into()));
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                wrong("the path is missing")
            } else {
                Ok(Listen::Unix(path.into()))
            };
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("neither HOST:PORT nor unix:PATH");
        };
        // `u16::from_str` alone would let a sign through.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
            return wrong("the port must be a number from 0 to 65535");
        }
        if host.is_empty() {
            return wrong("the host is missing; 0.0.0.0 is every IPv4 address and [::] every IPv6 address");
        }
        if host.starts_with('[') {
            return match text.parse::<SocketAddrV6>() {
                Ok(_) => Ok(Listen::Tcp(text.into())),
                Err(_) => wrong("what stands in the brackets is not an IPv6 address"),
            };
        }
        if host.contains(':') {
            return wrong("an IPv6 address must stand in brackets, as in [::1]:7878");
        }
        if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong("a host has no white space");
        }
        Ok(Listen::Tcp(text.into()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => f.write_str(address),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
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

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run the server.
    Serve(Options),
    /// Print [`usage`].
    Help,
    /// Print the version.
    Version,
}

/// What is wrong with a command line, in one line: the option, the value and why. Whatever the arguments hold, there is
/// no control character in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Reads the arguments of the program, its own name not among them.
///
/// An option that is not given keeps its value of [`Options::default`]. `--help` and `--version` win over everything
/// but an option that does not exist, is given twice, or lacks its value.
///
/// ```
/// use parlor::options::{Invocation, parse};
///
/// let Ok(Invocation::Serve(options)) = parse(["--listen", "[::1]:0", "--max-line=4k"]) else { unreachable!() };
/// assert_eq!(options.listen[0].to_string(), "[::1]:0");
/// assert_eq!(options.max_line, 4096);
/// ```
pub fn parse(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<Invocation, UsageError> {
    let matches = matches(arguments)?;
    if matches.opt_present("help") {
        return Ok(Invocation::Help);
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Version);
    }
    if let Some(stray) = matches.free.first() {
        return Err(UsageError(format!("{stray:?}: belongs to no option")));
    }

    let defaults = Options::default();
    let mut options = Options { listen: Vec::new(), ..defaults.clone() };
    for flag in FLAGS {
        if let Value::Switch(field) = flag.value {
            *field(&mut options) = matches.opt_present(flag.long);
        }
        for value in matches.opt_strs(flag.long) {
            let outcome = flag.value.read(&value, &mut options);
            outcome.map_err(|why| UsageError(format!("--{} {value:?}: {why}", flag.long)))?;
        }
    }
    if options.listen.is_empty() {
        options.listen = defaults.listen;
    }
    Ok(Invocation::Serve(options))
}

/// Cuts the arguments into options and their values, which are not looked at yet.
fn matches(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<getopts::Matches, UsageError> {
    let mut parser = getopts::Options::new();
    for flag in FLAGS {
        match flag.value {
            Value::Ask | Value::Switch(_) => parser.optflag(flag.short, flag.long, ""),
            Value::Address(_) => parser.optmulti(flag.short, flag.long, "", ""),
            _ => parser.optopt(flag.short, flag.long, "", ""),
        };
    }
    let mut texts = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref();
        // getopts would call this an unknown option.
        let text = argument.to_str().ok_or_else(|| UsageError(format!("{argument:?}: not valid UTF-8")))?;
        texts.push(text.to_owned());
    }
    parser.parse(texts).map_err(|fail| UsageError(explain(fail)))
}

/// One line for what getopts refuses. It gives names without their dashes.
fn explain(fail: getopts::Fail) -> String {
    use getopts::Fail::*;
    let (name, why) = match fail {
        ArgumentMissing(name) => (name, "its value is missing"),
        UnrecognizedOption(name) => (name, "there is no such option"),
        OptionMissing(name) => (name, "it must be given"),
        OptionDuplicated(name) => (name, "given more than once"),
        UnexpectedArgument(name) => (name, "it takes no value"),
    };
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    format!("{dashes}{}: {why}", name.escape_debug())
}

#[cfg(test)]
mod tests;
