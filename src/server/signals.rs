//! Signals as events of the loop, and what each means.

use std::fs;
use std::io::{self, IsTerminal};

use mio::event::Source;
use signal_hook_mio::v1_0::Signals as Pending;

// POSIX has fixed the first three; the others differ between systems. The crates that name them are not ours to use.
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGUSR1: i32 = if cfg!(not(any(target_os = "linux", target_os = "android"))) {
    30
} else if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    16
} else {
    10
};
const SIGXFSZ: i32 =
    if cfg!(all(target_os = "linux", any(target_arch = "mips", target_arch = "mips64"))) { 31 } else { 25 };

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To stop; or, if that has been asked for before, to end at once with 128 and this number as the exit status.
    Stop {
        /// What the signal is called.
        name: &'static str,
        /// Its number.
        number: u8,
    },
    /// To log what goes on.
    Report,
    /// To read again what was read from files.
    Reload,
}

/// The signals that this process does not leave to the system.
pub struct Signals {
    pending: Pending,
    hangup_stops: bool,
}

impl Signals {
    /// Takes them over, for this process.
    ///
    /// SIGHUP tells that the terminal has gone if standard error was one; else it is a request to read files again. A
    /// SIGHUP that was ignored at the start (`nohup`) stays ignored. SIGXFSZ, which comes when the log is at its limit
    /// of size, is taken so that it does not kill; the write then fails, and the logger drops the line.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Signals> {
        let hangup_stops = io::stderr().is_terminal();
        let mut numbers = vec![SIGTERM, SIGINT, SIGUSR1, SIGXFSZ];
        if !is_ignored(SIGHUP) {
            numbers.push(SIGHUP);
        }
        Ok(Signals { pending: Pending::new(numbers)?, hangup_stops })
    }

    /// What the poll registers.
    pub fn source(&mut self) -> &mut dyn Source {
        &mut self.pending
    }

    /// What has been asked for since the last time. Several signals of one kind can count as one.
    pub fn take(&mut self) -> Vec<Request> {
        let request = |signal| match signal {
            SIGHUP if self.hangup_stops => Some(stop("SIGHUP", SIGHUP)),
            SIGHUP => Some(Request::Reload),
            SIGINT => Some(stop("SIGINT", SIGINT)),
            SIGTERM => Some(stop("SIGTERM", SIGTERM)),
            SIGUSR1 => Some(Request::Report),
            _ => None,
        };
        self.pending.pending().filter_map(request).collect()
    }
}

fn stop(name: &'static str, signal: i32) -> Request {
    Request::Stop { name, number: signal as u8 }
}

/// Whether the process was started with this signal ignored. Where the system does not tell, it was not.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u128::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
