//! The command line, as [`Options`]. Knows nothing of sockets: an address is only checked for its form here.
//!
//! [`parse`] turns arguments into an [`Invocation`]. [`usage`] is what `--help` prints, [`manual`] the manual page, and
//! [`completions`] what a shell completes. All read the one table of options in `options/flags.rs`, so an option, its
//! range and its help cannot drift apart.

mod completions;
mod flags;
mod help;
mod hints;
mod host;
mod listen;
mod parts;
mod values;

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use completions::{Shell, completions};
use flags::Value;
pub use help::{manual, usage};
pub use host::HostName;
pub use listen::{Listen, Place, Spoken};
#[cfg(feature = "web")]
pub use parts::built_in;
pub use parts::version;

/// The longest line that can be allowed: an escape can make a message three times as long as its line, and positions in
/// a batch have 32 bits, on a 32-bit machine 31.
pub const MAX_LINE_BYTES: usize = if cfg!(target_pointer_width = "64") { 1 << 30 } else { 1 << 28 };

/// Everything an operator can set. [`Options::default`] is what the server runs with when it is given no option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to listen; at least one.
    pub listen: Vec<Listen>,
    /// Clients at once.
    pub max_clients: usize,
    /// Clients at once for one address, which is an IPv4 address or a /64 of IPv6; 0 is no limit of its own.
    pub max_clients_per_ip: usize,
    /// Requests per second carried out for one client in the long run; 0 is no limit.
    pub rate: usize,
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
    /// The permissions of the files of Unix sockets; `None` leaves them to the umask.
    pub unix_mode: Option<u32>,
    /// How often to log a line of counters; zero is never.
    pub stats: Duration,
    /// Least severe level that is logged.
    pub log: log::LevelFilter,
    /// Names under which browsers may reach the page; for the part `web`.
    pub hosts: Vec<HostName>,
    /// The file of the certificate chain; for the part `tls`.
    pub tls_cert: Option<PathBuf>,
    /// The file of the private key; likewise.
    pub tls_key: Option<PathBuf>,
    /// The file of the certificates that sign those of clients; likewise.
    pub tls_client_ca: Option<PathBuf>,
    /// Where the engine is that joins several nodes; for the part `cluster`.
    pub cluster: Option<String>,
    /// How every key and channel there begins; likewise.
    pub cluster_prefix: String,
    /// The file of the password for it; likewise.
    pub cluster_password_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: vec![Listen::tcp("127.0.0.1:7878")],
            max_clients: 10_000,
            max_clients_per_ip: 0,
            rate: 0,
            max_line: 16 << 10,
            max_rooms: 128,
            max_pending: 1 << 20,
            max_memory: 256 << 20,
            members_only: false,
            idle_timeout: Duration::ZERO,
            keepalive: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            unix_mode: None,
            stats: Duration::ZERO,
            log: log::LevelFilter::Info,
            hosts: Vec::new(),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            cluster: None,
            cluster_prefix: "parlor:".into(),
            cluster_password_file: None,
        }
    }
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run the server.
    Serve(Box<Options>),
    /// Print [`usage`].
    Help,
    /// Print [`version`].
    Version,
    /// Print [`manual`].
    Manual,
    /// Print [`completions`].
    Completions(Shell),
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

impl From<UsageError> for String {
    fn from(error: UsageError) -> String {
        error.0
    }
}

/// Reads the arguments of the program, its own name not among them.
///
/// An option that is not given keeps its value of [`Options::default`]. `--help`, `--version`, `--man` and
/// `--completions` win, in this order, over everything but an option that does not exist, is given twice, or lacks its
/// value.
///
/// # Errors
/// The first mistake that is found.
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
    for (name, invocation) in
        [("help", Invocation::Help), ("version", Invocation::Version), ("man", Invocation::Manual)]
    {
        if matches.opt_present(name) {
            return Ok(invocation);
        }
    }
    if let Some(shell) = matches.opt_str("completions") {
        let shell = shell.parse().map_err(|why| UsageError(format!("--completions {shell:?}: {why}")))?;
        return Ok(Invocation::Completions(shell));
    }
    if let Some(stray) = matches.free.first() {
        return Err(UsageError(format!("{stray:?}: belongs to no option{}", hints::for_stray(stray))));
    }
    let options = read_values(&matches)?;
    check_combinations(&options)?;
    Ok(Invocation::Serve(options.into()))
}

/// Sets what is given, each value checked by itself.
fn read_values(matches: &getopts::Matches) -> Result<Options, UsageError> {
    let defaults = Options::default();
    let mut options = Options { listen: Vec::new(), ..defaults.clone() };
    for (flag, part) in flags::all().filter(|(flag, _)| matches.opt_present(flag.long)) {
        if let Some(why) = parts::missing(part.as_slice()) {
            return Err(UsageError(format!("--{}: {why}", flag.long)));
        }
        if let Value::Switch(field) = flag.value {
            *field(&mut options) = true;
        }
        for value in matches.opt_strs(flag.long) {
            let refused = |why| UsageError(format!("--{} {value:?}: {why}", flag.long));
            flag.value.read(&value, &mut options).map_err(refused)?;
        }
    }
    if options.listen.is_empty() {
        options.listen = defaults.listen;
    }
    Ok(options)
}

/// Refuses what is right by itself and cannot work together.
fn check_combinations(options: &Options) -> Result<(), UsageError> {
    let has_both = options.tls_cert.is_some() && options.tls_key.is_some();
    if let Some(listen) = options.listen.iter().find(|listen| listen.spoken().is_encrypted() && !has_both) {
        return Err(UsageError(format!("--listen {:?}: needs --tls-cert and --tls-key", listen.to_string())));
    }
    #[cfg(feature = "cluster")]
    if let Some(Err(why)) = options.cluster.as_deref().map(crate::cluster::Url::parse) {
        return Err(UsageError(format!("--cluster: {why}")));
    }
    let given = [
        ("--tls-cert", &options.tls_cert),
        ("--tls-key", &options.tls_key),
        ("--tls-client-ca", &options.tls_client_ca),
    ];
    match given.iter().find(|(_, file)| file.is_some()) {
        Some((name, _)) if !has_both => {
            Err(UsageError(format!("{name}: --tls-cert and --tls-key are given together, or neither is")))
        }
        _ => Ok(()),
    }
}

/// Cuts the arguments into options and their values, which are not looked at yet.
fn matches(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<getopts::Matches, UsageError> {
    let mut parser = getopts::Options::new();
    for (flag, _) in flags::all() {
        match flag.value {
            Value::Ask | Value::Switch(_) => parser.optflag(flag.short, flag.long, ""),
            Value::Address(_) | Value::Host(_) => parser.optmulti(flag.short, flag.long, "", ""),
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
        ArgumentMissing(name) => (name, "its value is missing".into()),
        UnrecognizedOption(name) => {
            (name.clone(), format!("there is no such option{}", hints::for_option(&name)))
        }
        OptionMissing(name) => (name, "it must be given".into()),
        OptionDuplicated(name) => (name, "given more than once".into()),
        UnexpectedArgument(name) => (name, "it takes no value".into()),
    };
    let part = flags::all().find(|(flag, _)| flag.long == name).and_then(|(_, part)| part);
    let why = parts::missing(part.as_slice()).unwrap_or(why);
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    format!("{dashes}{}: {why}", name.escape_debug())
}

#[cfg(test)]
mod tests;
