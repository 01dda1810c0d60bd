//! The table of options, and how their values are read.
//!
//! A row says how an option is called, what kind of value it takes, within which range, where the value goes, and what
//! it is for. The default stands in [`Options::default`] alone: help reads it from there, through the same row. Help, the
//! manual page and the completions of shells are all made from this table.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::parts::Part;
use super::values::{count, hint_for_size, octal, show_size, size};
use super::{HostName, Listen, Options};

/// One option of the command line.
pub(super) struct Flag {
    /// The letter of the short form, or nothing.
    pub short: &'static str,
    /// The long form without its dashes.
    pub long: &'static str,
    /// What value it takes, and which field it sets.
    pub value: Value,
    /// What it does, in full sentences. Range and default are added where it is shown.
    pub help: &'static str,
}

/// The kinds of values, each with the range of what is allowed and the field of [`Options`] it is for.
pub(super) enum Value {
    /// None: it asks for a text instead of a server.
    Ask,
    /// The name of a shell: it asks for that one's completions.
    Shell,
    /// None: the option is there or not.
    Switch(Field<bool>),
    /// A plain number.
    Count(RangeInclusive<u64>, Field<usize>),
    /// A size in bytes.
    Bytes(RangeInclusive<u64>, Field<usize>),
    /// A time in whole seconds.
    Seconds(RangeInclusive<u64>, Field<Duration>),
    /// An address to listen on; may be given several times.
    Address(Field<Vec<Listen>>),
    /// A name that browsers use for the server; may be given several times.
    Host(Field<Vec<HostName>>),
    /// The permissions of a file.
    Mode(Field<Option<u32>>),
    /// The name of a log level.
    Level(Field<LevelFilter>),
    /// The path of a file.
    File(Field<Option<PathBuf>>),
    /// Where another server is.
    Url(Field<Option<String>>),
    /// Any text.
    Text(Field<String>),
}

/// How to get at a field: for writing what was given, and for reading the default.
type Field<T> = fn(&mut Options) -> &mut T;

/// A bound for whatever needs no other: some thirty years as seconds, so that no sum of times overflows.
const MANY: u64 = 1_000_000_000;
/// See [`super::MAX_LINE_BYTES`].
const LONGEST_LINE: u64 = super::MAX_LINE_BYTES as u64;
/// Sizes are written with `G` at most, and a machine of 32 bits has no more.
pub(super) const MOST_MEMORY: u64 = if cfg!(target_pointer_width = "64") { 1024 << 30 } else { 2 << 30 };
/// The largest `TCP_KEEPIDLE` that Linux takes.
const LONGEST_KEEPALIVE: u64 = 32767;

/// The largest of permissions.
pub(super) const MOST_MODE: u32 = 0o777;

/// The options that are always there, in the order in which help lists them.
pub(super) const FLAGS: &[Flag] = &[
    Flag {
        short: "l",
        long: "listen",
        value: Value::Address(|options| &mut options.listen),
        help: "Listen on ADDR, which is HOST:PORT, with an IPv6 address in brackets, or unix:PATH for a Unix socket. \
               Port 0 picks a free one, which is logged. A name is bound on all of its addresses. A socket file that a \
               dead server has left is taken over. With the parts for it built in, tls:HOST:PORT speaks TLS, \
               http:HOST:PORT and https:HOST:PORT serve the page and WebSocket, metrics:HOST:PORT serves Prometheus. \
               With proxy+ before any but the last, each connection must begin with a PROXY header. May be given \
               several times.",
    },
    Flag {
        short: "",
        long: "max-clients",
        value: Value::Count(1..=MANY, |options| &mut options.max_clients),
        help: "Serve at most N clients at once. One more is told `Too many clients` and closed.",
    },
    Flag {
        short: "",
        long: "max-clients-per-ip",
        value: Value::Count(0..=MANY, |options| &mut options.max_clients_per_ip),
        help: "Serve at most N clients at once from one address: an IPv4 address, or a /64 of IPv6. Unix sockets do \
               not count. 0 sets no such limit.",
    },
    Flag {
        short: "",
        long: "rate",
        value: Value::Count(0..=MANY, |options| &mut options.rate),
        help: "Carry out at most N requests a second for one client in the long run; twice as many may come in a \
               burst. A client that sends faster is read more slowly and loses nothing. 0 sets no limit.",
    },
    Flag {
        short: "",
        long: "max-line",
        value: Value::Bytes(1..=LONGEST_LINE, |options| &mut options.max_line),
        help: "Accept request lines of at most BYTES, the line end not counted. A longer one is answered with \
               `Line too long` and skipped.",
    },
    Flag {
        short: "",
        long: "max-rooms",
        value: Value::Count(1..=MANY, |options| &mut options.max_rooms),
        help: "Let one client be in at most N rooms.",
    },
    Flag {
        short: "",
        long: "max-pending",
        value: Value::Bytes(1..=MOST_MEMORY, |options| &mut options.max_pending),
        help: "Let at most BYTES of other clients' messages wait for one client. One that falls further behind is \
               disconnected with `Too slow`; one line alone always fits. One that does not read its own replies is \
               merely read from no further.",
    },
    Flag {
        short: "",
        long: "max-memory",
        value: Value::Bytes(1..=MOST_MEMORY, |options| &mut options.max_memory),
        help: "Use at most BYTES for all input and output buffers together. Past it the client for which most waits \
               is disconnected with `Out of memory`, again and again until the rest fits.",
    },
    Flag {
        short: "",
        long: "members-only",
        value: Value::Switch(|options| &mut options.members_only),
        help: "Carry out SEND MESSAGE only for clients that have joined the room. Without this option anyone may \
               send to a room that exists.",
    },
    Flag {
        short: "",
        long: "idle-timeout",
        value: Value::Seconds(0..=MANY, |options| &mut options.idle_timeout),
        help: "Close a client from which nothing has come for SECONDS. One that the server does not read from, \
               because it is too fast or does not read its replies, is not idle. 0 closes none.",
    },
    Flag {
        short: "",
        long: "keepalive",
        value: Value::Seconds(0..=LONGEST_KEEPALIVE, |options| &mut options.keepalive),
        help: "Probe silent TCP clients, so that one that has vanished without a word is found out after about \
               SECONDS and its nickname is free again. A client that does not read while its output waits in the \
               server is given ten times as long; one that takes nothing for SECONDS of what is under way to it \
               counts as vanished. 0 turns probing off.",
    },
    Flag {
        short: "",
        long: "drain",
        value: Value::Seconds(0..=MANY, |options| &mut options.drain),
        help: "On SIGTERM or SIGINT, go on for at most SECONDS to flush what waits for clients before exit. \
               0 does not wait for slow clients at all.",
    },
    Flag {
        short: "",
        long: "unix-mode",
        value: Value::Mode(|options| &mut options.unix_mode),
        help: "Give the files of Unix sockets these permissions, as in 660. Without this option the umask decides.",
    },
    Flag {
        short: "",
        long: "stats",
        value: Value::Seconds(0..=MANY, |options| &mut options.stats),
        help: "Log a line of counters every SECONDS. 0 logs none.",
    },
    Flag {
        short: "",
        long: "log",
        value: Value::Level(|options| &mut options.log),
        help: "Log what is at least as severe as LEVEL, to standard error: error, warn, info, debug or trace; \
               off logs nothing.",
    },
    Flag { short: "h", long: "help", value: Value::Ask, help: "Print this help and exit." },
    Flag {
        short: "V",
        long: "version",
        value: Value::Ask,
        help: "Print the version and the optional parts that are built in, and exit.",
    },
    Flag { short: "", long: "man", value: Value::Ask, help: "Print the manual page and exit." },
    Flag {
        short: "",
        long: "completions",
        value: Value::Shell,
        help: "Print the completions for SHELL and exit: bash, zsh or fish.",
    },
];

/// The options of each part, there only where that is built in. Without it they are known to be refused.
pub(super) const OPTIONAL: &[(Part, &[Flag])] = &[
    (
        Part::Web,
        &[Flag {
            short: "",
            long: "host",
            value: Value::Host(|options| &mut options.hosts),
            help: "Let browsers reach the page and WebSocket under NAME, or NAME:PORT for that port alone. localhost \
                   and IP addresses need no such option. May be given several times.",
        }],
    ),
    (
        Part::Tls,
        &[
            Flag {
                short: "",
                long: "tls-cert",
                value: Value::File(|options| &mut options.tls_cert),
                help: "Read the certificate chain from FILE, in PEM. tls: and https: need it. SIGHUP reads it again.",
            },
            Flag {
                short: "",
                long: "tls-key",
                value: Value::File(|options| &mut options.tls_key),
                help: "Read the private key from FILE, in PEM. tls: and https: need it. SIGHUP reads it again.",
            },
            Flag {
                short: "",
                long: "tls-client-ca",
                value: Value::File(|options| &mut options.tls_client_ca),
                help: "Let in only TLS clients that show a certificate signed by one of those in FILE, in PEM.",
            },
        ],
    ),
    (
        Part::Cluster,
        &[
            Flag {
                short: "",
                long: "cluster",
                value: Value::Url(|options| &mut options.cluster),
                help: "Be one of several nodes that are joined by the Redis or Valkey at URL, which is \
                       redis://[USER][:PASSWORD@]HOST[:PORT][/DB] or redis+unix:PATH.",
            },
            Flag {
                short: "",
                long: "cluster-prefix",
                value: Value::Text(|options| &mut options.cluster_prefix),
                help: "Begin every key and channel there with TEXT.",
            },
            Flag {
                short: "",
                long: "cluster-password-file",
                value: Value::File(|options| &mut options.cluster_password_file),
                help: "Read the password from FILE, for one in the URL can be seen with ps.",
            },
        ],
    ),
];

/// Every option that this program has.
pub(super) fn built_in() -> impl Iterator<Item = &'static Flag> {
    let optional = OPTIONAL.iter().filter(|(part, _)| part.is_built_in());
    FLAGS.iter().chain(optional.flat_map(|(_, flags)| *flags))
}

/// Every option that there is, with the part that it needs.
pub(super) fn all() -> impl Iterator<Item = (&'static Flag, Option<Part>)> {
    let optional = OPTIONAL.iter().flat_map(|(part, flags)| flags.iter().map(|flag| (flag, Some(*part))));
    FLAGS.iter().map(|flag| (flag, None)).chain(optional)
}

impl Flag {
    /// What is typed: the long form, and a placeholder for the value.
    pub fn usage(&self) -> String {
        let name = self.value.name();
        format!("--{}{}{name}", self.long, if name.is_empty() { "" } else { " " })
    }

    /// Its range and its default, in full sentences; nothing where it has no default.
    pub fn limits(&self) -> String {
        let Some(default) = self.value.default() else { return String::new() };
        let range = self.value.range().map(|(least, most)| format!("From {least} to {most}. "));
        format!("{}The default is {default}.", range.unwrap_or_default())
    }
}

impl Value {
    /// Sets the field in `options` to what `text` says, or tells why it cannot. Does nothing for what is no field, or a switch.
    pub(super) fn read(&self, text: &str, options: &mut Options) -> Result<(), String> {
        match self {
            Value::Ask | Value::Shell | Value::Switch(_) => {}
            Value::Count(range, field) => *field(options) = self.number(range, count(text))?,
            Value::Bytes(range, field) => {
                let number = self.number(range, size(text)).map_err(|why| why + &hint_for_size(text));
                *field(options) = number?;
            }
            Value::Seconds(range, field) => {
                *field(options) = Duration::from_secs(self.number(range, count(text))?)
            }
            Value::Address(field) => field(options).push(text.parse()?),
            Value::Host(field) => field(options).push(text.parse()?),
            Value::Mode(field) => {
                let mode = octal(text).filter(|mode| *mode <= MOST_MODE);
                *field(options) = Some(mode.ok_or("must be an octal number from 0 to 777, as in 660")?);
            }
            Value::Level(field) => {
                *field(options) =
                    text.parse().map_err(|_| "must be error, warn, info, debug, trace or off".to_string())?;
            }
            Value::File(field) if !text.is_empty() => *field(options) = Some(text.into()),
            Value::File(_) => return Err("the path is missing".into()),
            Value::Url(field) => {
                let rest = ["redis://", "redis+unix:"].iter().find_map(|scheme| text.strip_prefix(scheme));
                if rest.is_none_or(str::is_empty) {
                    return Err("neither redis://HOST[:PORT][/DB] nor redis+unix:PATH".into());
                }
                *field(options) = Some(text.to_owned());
            }
            Value::Text(field) => *field(options) = text.to_owned(),
        }
        Ok(())
    }

    /// `number` in the type of its field, if it is one and within `range`.
    fn number<T: TryFrom<u64>>(&self, range: &RangeInclusive<u64>, number: Option<u64>) -> Result<T, String> {
        let Some(number) = number else {
            return Err(match self {
                Value::Bytes(..) => "must be a whole number of bytes, which K, M or G may follow".into(),
                Value::Seconds(..) => "must be a whole number of seconds".into(),
                _ => "must be a whole number".into(),
            });
        };
        if !range.contains(&number) {
            return Err(format!("must be from {} to {}", self.show(*range.start()), self.show(*range.end())));
        }
        // Every range fits into its field.
        T::try_from(number).map_err(|_| "more than this machine can count".into())
    }

    /// `number` as one would type it.
    fn show(&self, number: u64) -> String {
        if matches!(self, Value::Bytes(..)) { show_size(number) } else { number.to_string() }
    }

    /// What the help calls the value.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Value::Ask | Value::Switch(_) => "",
            Value::Shell => "SHELL",
            Value::Count(..) => "N",
            Value::Bytes(..) => "BYTES",
            Value::Seconds(..) => "SECONDS",
            Value::Address(_) => "ADDR",
            Value::Host(_) => "NAME",
            Value::Mode(_) => "OCTAL",
            Value::Level(_) => "LEVEL",
            Value::File(_) => "FILE",
            Value::Url(_) => "URL",
            Value::Text(_) => "TEXT",
        }
    }

    /// The default as one would type it, for kinds that have one.
    pub(super) fn default(&self) -> Option<String> {
        let mut options = Options::default();
        Some(match self {
            Value::Ask | Value::Shell | Value::Switch(_) => return None,
            Value::Host(_) | Value::Mode(_) | Value::File(_) | Value::Url(_) => return None,
            Value::Count(_, field) | Value::Bytes(_, field) => self.show(*field(&mut options) as u64),
            Value::Seconds(_, field) => self.show(field(&mut options).as_secs()),
            Value::Address(field) => {
                field(&mut options).iter().map(Listen::to_string).collect::<Vec<_>>().join(" ")
            }
            Value::Level(field) => field(&mut options).as_str().to_lowercase(),
            Value::Text(field) => field(&mut options).clone(),
        })
    }

    /// The smallest and the largest value as one would type them, for kinds that have them.
    pub(super) fn range(&self) -> Option<(String, String)> {
        match self {
            Value::Count(range, _) | Value::Bytes(range, _) | Value::Seconds(range, _) => {
                Some((self.show(*range.start()), self.show(*range.end())))
            }
            _ => None,
        }
    }
}
