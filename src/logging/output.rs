//! Standard error: whether it has room for a line, and who reads it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::terminal;

/// What is known of standard error.
pub struct Output {
    /// Asked before each line. None where standard error cannot be polled, as a file, which takes what it gets at once.
    room: Option<Room>,
    /// Standard error, if it is a terminal: written to without waiting.
    pub terminal: Option<File>,
    /// Lines that could not be written and have not been told.
    pub lost: u64,
    /// The last write failed, and may have left the beginning of a line.
    pub is_torn: bool,
}

struct Room {
    poll: Poll,
    events: Events,
}

impl Output {
    pub fn new() -> Output {
        Output { room: Room::new().ok(), terminal: terminal::open(), lost: 0, is_torn: false }
    }

    /// One that is never asked.
    #[cfg(test)]
    pub fn unasked() -> Output {
        Output { room: None, terminal: None, lost: 0, is_torn: false }
    }

    /// Writes what is no line of the log.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.terminal {
            Some(terminal) => (&*terminal).write_all(bytes),
            None => io::stderr().write_all(bytes),
        }
    }

    /// Whether a line can be written without waiting.
    pub fn has_room(&mut self) -> bool {
        self.has_room_within(Duration::ZERO)
    }

    /// Whether it can be within that time. Returns as soon as it can.
    pub fn has_room_within(&mut self, wait: Duration) -> bool {
        self.room.as_mut().is_none_or(|room| room.is_there(wait).unwrap_or(false))
    }
}

impl Room {
    fn new() -> io::Result<Room> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&stderr()), Token(0), Interest::WRITABLE)?;
        Ok(Room { poll, events: Events::with_capacity(1) })
    }

    /// mio's polls say a thing once; registering anew makes this one say it again.
    fn is_there(&mut self, wait: Duration) -> io::Result<bool> {
        self.poll.registry().reregister(&mut SourceFd(&stderr()), Token(0), Interest::WRITABLE)?;
        self.poll.poll(&mut self.events, Some(wait))?;
        // Where the reader has gone there is an error as well, and nothing to be written.
        Ok(self.events.iter().any(|event| event.is_writable() && !event.is_error()))
    }
}

fn stderr() -> i32 {
    io::stderr().as_raw_fd()
}

/// Whether the systemd journal reads standard error. The environment tells which file it is: it is inherited by
/// processes whose standard error goes elsewhere.
pub fn is_journal() -> bool {
    let told = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let Some((device, inode)) = told.split_once(':') else { return false };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    File::from(stderr)
        .metadata()
        .is_ok_and(|is| device.parse() == Ok(is.dev()) && inode.parse() == Ok(is.ino()))
}
