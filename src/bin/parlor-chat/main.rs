//! A chat client for people with a terminal, and for scripts.
//!
//! `options` reads the command line. `filter` is the client without a screen, `screen` the one with. Both are one poll
//! loop around a `link`, which moves bytes between the socket and [`parlor::client`], which knows the protocol.
//! `escape` stands between the network and every terminal.

#![forbid(unsafe_code)]

mod escape;
mod filter;
mod link;
mod nickname;
mod options;
mod pipes;
mod screen;
mod signals;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use options::{Invocation, Options, Task};

/// What `--version` prints.
const VERSION: &str = if cfg!(feature = "tls") {
    concat!("parlor-chat ", env!("CARGO_PKG_VERSION"), " (tls)\n")
} else {
    concat!("parlor-chat ", env!("CARGO_PKG_VERSION"), "\n")
};

fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Chat(options)) => chat(&options),
        Ok(Invocation::Help) => print(options::HELP),
        Ok(Invocation::Version) => print(VERSION),
        Err(error) => complain(&error, 2),
    }
}

fn chat(options: &Options) -> ExitCode {
    let is_terminal = io::stdout().is_terminal();
    if options.task == Task::Talk && !options.json && is_terminal && io::stdin().is_terminal() {
        return match screen::run(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => complain(&why, 1),
        };
    }
    if options.rooms.is_empty() {
        return complain("which ROOM? At least one is needed where there is no screen", 2);
    }
    match filter::run(options, is_terminal) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => complain(&why, 1),
    }
}

/// Prints `text` to standard output. That nobody reads it (`parlor-chat --help | head -1`) is no failure.
fn print(text: &str) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(&error.to_string(), 1),
        _ => ExitCode::SUCCESS,
    }
}

/// Says in one line on standard error why the program ends, if that can still be said, and returns `status`.
fn complain(why: &str, status: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "parlor-chat: {}", escape::line(why));
    ExitCode::from(status)
}
