//! The command line of the client. Knows nothing of sockets: an address is only checked for its form here.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddrV6;
use std::path::PathBuf;

use parlor::client::Room;

/// What `--help` prints.
pub const HELP: &str = "\
Usage: parlor-chat [OPTION]... [ROOM]...

Talks in the rooms of a parlor server. On a terminal it is a full-screen chat; /help there tells
the commands and keys. Otherwise it is a filter: it joins every ROOM, sends each line of standard
input to the first, and prints each message as a line `[ROOM] AUTHOR: TEXT`, with everything that
is not printable escaped. At the end of the input it waits for the replies and ends.

A ROOM that is written as an integer is the room of that number; \"7\" in double quotes (which the
shell has to be kept from taking away) is the room whose name is that text.

Options:
  -s, --server ADDR    Connect to ADDR: HOST:PORT, unix:PATH, or tls:HOST:PORT.
                       The default is 127.0.0.1:7878.
  -n, --nickname NAME  Take this nickname; it is an error if that is refused. Without this option
                       $USER is tried, and a guest's name will do where that is not to be had.
      --send TEXT      Send TEXT to each ROOM without joining it, wait for the replies and end.
                       A room with nobody in it refuses it. May be given several times.
      --listen         Only print what comes, until interrupted. Standard input is not read.
      --json           Print messages, and with --send replies, as the lines of JSON that the
                       server sent. On a terminal, what is not printable is escaped in them.
      --ca FILE        Trust the certificates in FILE (PEM) instead of the system's, for tls:.
  -h, --help           Print this text.
  -V, --version        Print the version.

A line that the server refuses, for example because it is too long, is reported with its number,
and the next ones are sent. Bytes that are no UTF-8 are sent as U+FFFD.

The exit status is 0 if all went well, 1 if a request was refused or the connection was lost, and
2 if the command line is wrong. One line on standard error says why.
";

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// `HOST:PORT`, not yet resolved.
    Tcp(String),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
    /// `HOST:PORT` as for TCP, with TLS. Only with the feature `tls`.
    Tls(String),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Tcp(address) => f.write_str(address),
            Server::Unix(path) => write!(f, "unix:{}", path.display()),
            Server::Tls(address) => write!(f, "tls:{address}"),
        }
    }
}

/// What to do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Send these texts and end.
    Send(Vec<String>),
    /// Print what comes.
    Listen,
    /// Both, as a screen or as a filter.
    Talk,
}

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the server is.
    pub server: Server,
    /// Whose certificates are trusted, if not those of the system.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    pub ca: Option<PathBuf>,
    /// The nickname that was asked for.
    pub nickname: Option<String>,
    /// What to do.
    pub task: Task,
    /// Print lines of JSON.
    pub json: bool,
    /// The rooms, each once.
    pub rooms: Vec<Room>,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Talk to a server.
    Chat(Options),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// Reads the arguments of the program, its own name not among them. An error is one line.
pub fn parse(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<Invocation, String> {
    let mut texts = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref();
        texts.push(argument.to_str().ok_or_else(|| format!("{argument:?}: not valid UTF-8"))?.to_owned());
    }
    let matches = parser().parse(texts).map_err(explain)?;
    if matches.opt_present("help") {
        return Ok(Invocation::Help);
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Version);
    }
    let server = match matches.opt_str("server") {
        Some(text) => server(&text).map_err(|why| format!("--server {text:?}: {why}"))?,
        None => Server::Tcp("127.0.0.1:7878".into()),
    };
    let ca = matches.opt_str("ca").map(PathBuf::from);
    if ca.is_some() && cfg!(not(feature = "tls")) {
        return Err("--ca is for tls:, which is not built in; it needs the cargo feature `tls`".into());
    }
    if ca.is_some() && !matches!(server, Server::Tls(_)) {
        return Err("--ca: the server's address does not begin with tls:".into());
    }
    let texts = matches.opt_strs("send");
    let task = match (texts.is_empty(), matches.opt_present("listen")) {
        (false, true) => return Err("--send and --listen exclude each other".into()),
        (false, false) => Task::Send(texts),
        (true, true) => Task::Listen,
        (true, false) => Task::Talk,
    };
    let mut rooms = Vec::new();
    for room in matches.free.iter().map(|text| Room::from_text(text)) {
        if !rooms.contains(&room) {
            rooms.push(room);
        }
    }
    let nickname = matches.opt_str("nickname");
    Ok(Invocation::Chat(Options { server, ca, nickname, task, json: matches.opt_present("json"), rooms }))
}

fn parser() -> getopts::Options {
    let mut parser = getopts::Options::new();
    parser.optopt("s", "server", "", "");
    parser.optopt("n", "nickname", "", "");
    parser.optmulti("", "send", "", "");
    parser.optflag("", "listen", "");
    parser.optflag("", "json", "");
    parser.optopt("", "ca", "", "");
    parser.optflag("h", "help", "");
    parser.optflag("V", "version", "");
    parser
}

fn server(text: &str) -> Result<Server, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err("the path is missing".into())
        } else {
            Ok(Server::Unix(path.into()))
        };
    }
    if let Some(address) = text.strip_prefix("tls:") {
        if cfg!(not(feature = "tls")) {
            return Err("TLS is not built in; it needs the cargo feature `tls`".into());
        }
        return match self::server(address)? {
            Server::Tcp(address) => Ok(Server::Tls(address)),
            _ => Err("tls: takes HOST:PORT".into()),
        };
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("neither HOST:PORT nor unix:PATH".into());
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    if !is_port || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err("the port must be a number from 1 to 65535".into());
    }
    if host.is_empty() {
        return Err("the host is missing".into());
    }
    if host.starts_with('[') {
        if text.parse::<SocketAddrV6>().is_err() {
            return Err("what stands in the brackets is not an IPv6 address".into());
        }
    } else if host.contains(':') {
        return Err("an IPv6 address must stand in brackets, as in [::1]:7878".into());
    } else if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a host has no white space".into());
    }
    Ok(Server::Tcp(text.into()))
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
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        match parse(line.split_whitespace()) {
            Ok(Invocation::Chat(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn without_options_it_talks_to_the_server_of_this_host() {
        let expected = Options {
            server: Server::Tcp("127.0.0.1:7878".into()),
            ca: None,
            nickname: None,
            task: Task::Talk,
            json: false,
            rooms: Vec::new(),
        };
        assert_eq!(options(""), expected);
    }

    #[test]
    fn every_option_is_read() {
        let read =
            options("-s unix:/run/p.sock --nickname=Bob --send a --send=b --json ops 7 \"7\" ops -- -x");
        assert_eq!(read.server, Server::Unix("/run/p.sock".into()));
        assert_eq!(read.nickname.as_deref(), Some("Bob"));
        assert_eq!(read.task, Task::Send(vec!["a".into(), "b".into()]));
        assert!(read.json);
        assert_eq!(read.rooms, ["ops".into(), Room::Number(7), "7".into(), "-x".into()]);
        assert_eq!(options("--listen ops").task, Task::Listen);
        assert_eq!(options("-s [::1]:7878").server, Server::Tcp("[::1]:7878".into()));
        assert_eq!(options("-s chat.example:1").server.to_string(), "chat.example:1");
    }

    #[test]
    #[cfg(feature = "tls")]
    fn tls_is_an_address_of_its_own() {
        let read = options("-s tls:[::1]:7879 --ca ca.pem");
        assert_eq!((read.server, read.ca), (Server::Tls("[::1]:7879".into()), Some("ca.pem".into())));
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn tls_that_is_not_built_in_is_refused() {
        for line in ["-s tls:localhost:7879", "-s tls:localhost:7879 --ca ca.pem"] {
            assert!(parse(line.split_whitespace()).expect_err(line).contains("cargo feature `tls`"));
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        for (line, word) in [
            ("--rate 3", "--rate"),
            ("-s", "value"),
            ("-s a:1 -s b:1", "more than once"),
            ("-s 7878", "HOST:PORT"),
            ("-s host:0", "65535"),
            ("-s host:+1", "65535"),
            ("-s ::1:7878", "brackets"),
            ("-s [x]:7878", "IPv6"),
            ("-s :7878", "host"),
            ("-s unix:", "path"),
            ("--ca file", "tls"),
            ("-s tls:localhost", if cfg!(feature = "tls") { "HOST:PORT" } else { "`tls`" }),
            ("-s tls:unix:/x", if cfg!(feature = "tls") { "HOST:PORT" } else { "`tls`" }),
            ("--send x --listen ops", "exclude"),
        ] {
            let error = parse(line.split_whitespace()).expect_err(line);
            assert!(error.contains(word) && !error.contains('\n'), "{line}: {error}");
        }
    }

    #[test]
    fn help_and_version_are_asked_for() {
        assert_eq!(parse(["-h"]), Ok(Invocation::Help));
        assert_eq!(parse(["--version", "ops"]), Ok(Invocation::Version));
    }

    #[test]
    fn the_help_names_every_option() {
        let usage = parser().usage("");
        let names = usage.split_whitespace().filter(|word| word.starts_with("--"));
        assert_eq!(names.map(|name| assert!(HELP.contains(name), "{name}")).count(), 8);
        assert!(HELP.lines().all(|line| line.len() <= 100));
    }
}
