//! The table of options, how their values are read, and the help that is made from it.
//!
//! A row says how an option is called, what kind of value it takes, within which range, where the value goes, and what
//! it is for. The default stands in [`Options::default`] alone: help reads it from there, through the same row.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

use log::LevelFilter;

use super::{Listen, Options};

/// One option of the command line.
pub(super) struct Flag {
    /// The letter of the short form, or nothing.
    pub short: &'static str,
    /// The long form without its dashes.
    pub long: &'static str,
    /// What value it takes, and which field it sets.
    pub value: Value,
    /// What it does, in full sentences. Range and default are added by [`usage`].
    pub help: &'static str,
}

/// The kinds of values, each with the range of what is allowed and the field of [`Options`] it is for.
pub(super) enum Value {
    /// None: it asks for a text instead of a server.
    Ask,
    /// None: the option is there or not.
    Switch(Field<bool>),
    /// A plain number.
    Count(RangeInclusive<u64>, Field<usize>),
    /// A plain number in a field that is narrower.
    Rate(RangeInclusive<u64>, Field<u32>),
    /// A size in bytes.
    Bytes(RangeInclusive<u64>, Field<usize>),
    /// A time in whole seconds.
    Seconds(RangeInclusive<u64>, Field<Duration>),
    /// An address; the only kind that may be given several times.
    Address(Field<Vec<Listen>>),
    /// The name of a log level.
    Level(Field<LevelFilter>),
}

/// How to get at a field: for writing what was given, and for reading the default.
type Field<T> = fn(&mut Options) -> &mut T;

/// A bound for whatever needs no other: some thirty years as seconds, so that no sum of times overflows.
const MANY: u64 = 1_000_000_000;
/// See [`super::MAX_LINE_BYTES`].
const LONGEST_LINE: u64 = super::MAX_LINE_BYTES as u64;
/// Sizes are written with `G` at most.
const MOST_MEMORY: u64 = 1024 << 30;
/// The largest `TCP_KEEPIDLE` that Linux takes.
const LONGEST_KEEPALIVE: u64 = 32767;

/// Every option, in the order in which help lists them.
pub(super) const FLAGS: &[Flag] = &[
    Flag {
        short: "l",
        long: "listen",
        value: Value::Address(|options| &mut options.listen),
        help: "Listen on ADDR, which is HOST:PORT, with an IPv6 address in brackets, or unix:PATH for a Unix socket. \
               Port 0 picks a free one, which is logged. A socket file that a dead server has left is taken over. \
               May be given several times.",
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
        help: "Serve at most N clients at once from one IP address. Unix sockets do not count. 0 sets no such limit.",
    },
    Flag {
        short: "",
        long: "rate",
        value: Value::Rate(0..=MANY, |options| &mut options.rate),
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
    Flag { short: "V", long: "version", value: Value::Ask, help: "Print the version and exit." },
];

impl Value {
    /// Sets the field in `options` to what `text` says, or tells why it cannot. Does nothing for a switch.
    pub(super) fn read(&self, text: &str, options: &mut Options) -> Result<(), String> {
        match self {
            Value::Ask | Value::Switch(_) => {}
            Value::Count(range, field) => *field(options) = self.number(range, count(text))?,
            Value::Rate(range, field) => *field(options) = self.number(range, count(text))?,
            Value::Bytes(range, field) => *field(options) = self.number(range, size(text))?,
            Value::Seconds(range, field) => {
                *field(options) = Duration::from_secs(self.number(range, count(text))?)
            }
            Value::Address(field) => {
                let address = text.parse::<Listen>().map_err(|error| error.to_string())?;
                field(options).push(address);
            }
            Value::Level(field) => {
                *field(options) =
                    text.parse().map_err(|_| "must be error, warn, info, debug, trace or off".to_string())?;
            }
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
        // Only a size on a machine of 32 bits can fail here.
        T::try_from(number).map_err(|_| "more than this machine can address".into())
    }

    /// `number` as one would type it.
    fn show(&self, number: u64) -> String {
        let is_size = matches!(self, Value::Bytes(..)) && number != 0;
        let unit = UNITS.iter().find(|(_, unit)| is_size && number.is_multiple_of(*unit));
        unit.map_or(number.to_string(), |(letter, unit)| format!("{}{letter}", number / unit))
    }

    /// What the help calls the value.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Value::Ask | Value::Switch(_) => "",
            Value::Count(..) | Value::Rate(..) => "N",
            Value::Bytes(..) => "BYTES",
            Value::Seconds(..) => "SECONDS",
            Value::Address(_) => "ADDR",
            Value::Level(_) => "LEVEL",
        }
    }

    /// The default as one would type it, for kinds that take a value.
    pub(super) fn default(&self) -> Option<String> {
        let mut options = Options::default();
        Some(match self {
            Value::Ask | Value::Switch(_) => return None,
            Value::Count(_, field) | Value::Bytes(_, field) => self.show(*field(&mut options) as u64),
            Value::Rate(_, field) => self.show(u64::from(*field(&mut options))),
            Value::Seconds(_, field) => self.show(field(&mut options).as_secs()),
            Value::Address(field) => {
                field(&mut options).iter().map(Listen::to_string).collect::<Vec<_>>().join(" ")
            }
            Value::Level(field) => field(&mut options).as_str().to_lowercase(),
        })
    }

    /// The smallest and the largest value as one would type them, for kinds that have them.
    pub(super) fn range(&self) -> Option<(String, String)> {
        match self {
            Value::Count(range, _)
            | Value::Rate(range, _)
            | Value::Bytes(range, _)
            | Value::Seconds(range, _) => Some((self.show(*range.start()), self.show(*range.end()))),
            _ => None,
        }
    }
}

/// The letters that may end a size, the largest first.
const UNITS: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

/// A number in plain digits: no sign, no blank. One past 64 bits becomes the largest, which is out of every range.
fn count(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// A number of bytes, with or without one of [`UNITS`]. One past 64 bits becomes the largest, likewise.
fn size(text: &str) -> Option<u64> {
    for (letter, unit) in UNITS {
        if let Some(digits) = text.strip_suffix([letter, letter.to_ascii_lowercase()]) {
            return count(digits).map(|number| number.saturating_mul(unit));
        }
    }
    count(text)
}

/// Columns of the help, and how far the texts are indented.
const WIDTH: usize = 98;
const INDENT: usize = 10;

/// What `--help` prints.
pub fn usage() -> String {
    let mut help = String::from(HEAD);
    for flag in FLAGS {
        let short = if flag.short.is_empty() { "    ".into() } else { format!("-{}, ", flag.short) };
        let blank = if flag.value.name().is_empty() { "" } else { " " };
        let _ = writeln!(help, "  {short}--{}{blank}{}", flag.long, flag.value.name());
        wrap(flag.help, &mut help);
        let range = flag.value.range().map(|(least, most)| format!("From {least} to {most}. "));
        if let Some(default) = flag.value.default() {
            wrap(&format!("{}The default is {default}.", range.unwrap_or_default()), &mut help);
        }
    }
    help.push_str(TAIL);
    help
}

/// Adds `text` to `help` as lines that are indented and not too wide.
fn wrap(text: &str, help: &mut String) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() <= WIDTH {
            help.push(' ');
            column += 1 + word.len();
        } else {
            if column > 0 {
                help.push('\n');
            }
            help.extend(std::iter::repeat_n(' ', INDENT));
            column = INDENT + word.len();
        }
        help.push_str(word);
    }
    help.push('\n');
}

/// What stands before the options.
const HEAD: &str = "\
parlor, a small chat server: one JSON object a line, over TCP or Unix sockets.

Usage: parlor [OPTION]...

With no option at all it serves on 127.0.0.1:7878. A size is a number of bytes, or one followed by
K, M or G (powers of 1024, in either case). Seconds are whole. --option=VALUE works as well.

Options:
";

/// What stands behind the options.
const TAIL: &str = "
Signals:
  SIGTERM, SIGINT
          Stop: flush what waits (see --drain), then exit with status 0. A second one ends the
          server at once, with 128 plus the signal's number.
  SIGUSR1
          Log the counters of --stats now, and the ten clients for which most waits.

Exit status: 0 after a stop, 1 if the server cannot start or go on, 2 for a mistake on the command
line.

Examples:
  parlor --listen 0.0.0.0:7878 --listen unix:/run/parlor/parlor.sock
          Serve the network over IPv4, and programs of this host through a Unix socket.
  parlor --listen '[::]:7878' --max-clients 200 --max-memory 16M --idle-timeout 3600
          Serve IPv6 on a machine with little memory, and drop clients that are silent for an hour.
";
