//! The binary: options → logger → server → exit status; nothing else.

#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use parlor::Server;
use parlor::options::{self, Invocation, Options};

fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Serve(options)) => serve(&options).unwrap_or_else(|error| complain(error, 1)),
        Ok(Invocation::Help) => print(&options::usage()),
        Ok(Invocation::Version) => print(&options::version()),
        Ok(Invocation::Manual) => print(&options::manual()),
        Ok(Invocation::Completions(shell)) => print(&options::completions(shell)),
        Err(error) => complain(format_args!("{error} (try --help)"), 2),
    }
}

/// Runs the server until it is told to stop, and returns the exit status that this deserves.
fn serve(options: &Options) -> io::Result<ExitCode> {
    parlor::logging::init(options.log).map_err(io::Error::other)?;
    let ended = Server::bind_with_signals(options)?.run()?;
    Ok(ended.killed_by.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal)))
}

/// Prints `text` to standard output. That nobody reads it (`parlor --help | head -1`) is no failure.
fn print(text: &str) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(error, 1),
        _ => ExitCode::SUCCESS,
    }
}

/// Says in one line on standard error why the program ends, if that can still be said, and returns `status`.
fn complain(error: impl Display, status: u8) -> ExitCode {
    // A path may hold a line feed; escaped, it leaves the error one line.
    let mut line = String::new();
    for c in error.to_string().chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    parlor::logging::say_last(&format!("parlor: {line}"));
    ExitCode::from(status)
}
