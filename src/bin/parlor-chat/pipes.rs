//! Standard input and output as the loop needs them: reading and writing that never waits, although the descriptors
//! are blocking ones. They are shared with other programs, which would be surprised if they became anything else.
//!
//! One read after a readable event does not wait, nor does one write of at most a page after a writable event. To be
//! told again, the descriptor is registered anew. What no poll takes, such as a file, never waits for long anyway.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, event};
use parlor::lines::{Found, Lines};

/// A pipe takes at least so many bytes when it is writable.
const ONE_WRITE: usize = 4096;
/// The longest line of input. The server has a limit too, mostly a lower one.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// A descriptor that may be registered for one kind of event.
pub struct Pollable {
    file: File,
    token: Token,
    interest: Interest,
    /// No poll takes it: it is always ready.
    is_file: bool,
    ready: bool,
}

impl Pollable {
    /// Registers it.
    pub fn new(fd: impl AsFd, registry: &Registry, token: Token, interest: Interest) -> io::Result<Pollable> {
        let file = File::from(fd.as_fd().try_clone_to_owned()?);
        let is_file = match registry.register(&mut SourceFd(&file.as_raw_fd()), token, interest) {
            Ok(()) => false,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => true,
            Err(error) => return Err(error),
        };
        Ok(Pollable { file, token, interest, is_file, ready: is_file })
    }

    /// There was an event.
    pub fn note(&mut self) {
        self.ready = true;
    }

    /// Reads once if that does not wait; how many bytes, 0 at the end.
    pub fn read(&mut self, registry: &Registry, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.ready {
            return Ok(None);
        }
        let count = match self.file.read(buffer) {
            Ok(count) => Some(count),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => None,
            Err(error) => return Err(error),
        };
        if count != Some(0) {
            self.used(registry)?;
        }
        Ok(count)
    }

    /// It has been read from or written to: only a new event tells whether that can be done again.
    fn used(&mut self, registry: &Registry) -> io::Result<()> {
        if self.is_file {
            return Ok(());
        }
        self.ready = false;
        registry.reregister(&mut SourceFd(&self.file.as_raw_fd()), self.token, self.interest)
    }
}

/// Standard input, line by line.
pub struct Input {
    source: Pollable,
    lines: Lines,
    ended: bool,
    number: u64,
}

/// A line of the input.
#[derive(Debug)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What it says; nothing if it is too long.
    pub text: Option<String>,
}

impl Input {
    /// Registers it.
    pub fn new(fd: impl AsFd, registry: &Registry, token: Token) -> io::Result<Input> {
        let source = Pollable::new(fd, registry, token, Interest::READABLE)?;
        Ok(Input { source, lines: Lines::default(), ended: false, number: 0 })
    }

    /// There was an event.
    pub fn note(&mut self) {
        self.source.note();
    }

    /// Whether there may be something to read now.
    pub fn is_ready(&self) -> bool {
        if self.ended { !self.lines.is_idle() } else { self.source.ready || self.lines.has_unsearched() }
    }

    /// Whether there will be no more lines.
    pub fn is_at_end(&self) -> bool {
        self.ended && self.lines.is_idle()
    }

    /// Reads once, and hands out lines as long as they are wanted. What is not wanted is kept for the next time.
    pub fn read(&mut self, registry: &Registry, mut wanted: impl FnMut(Line) -> bool) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let mut count = 0;
        if !self.lines.has_unsearched() && !self.ended {
            match self.source.read(registry, &mut buffer)? {
                Some(0) => self.ended = true,
                Some(bytes) => count = bytes,
                None => {}
            }
        }
        let mut received = buffer.get(..count).unwrap_or_default();
        let mut more = true;
        while more && let Some(found) = self.lines.next(&mut received, MAX_LINE_BYTES) {
            self.number += 1;
            more = wanted(Line { number: self.number, text: text(found) });
        }
        self.lines.hold(received);
        if more
            && self.ended
            && let Some(found) = self.lines.finish(MAX_LINE_BYTES)
        {
            self.number += 1;
            wanted(Line { number: self.number, text: text(found) });
        }
        if self.ended && more {
            self.lines.clear();
        }
        Ok(())
    }
}

fn text(found: Found) -> Option<String> {
    match found {
        Found::Line(line) => Some(String::from_utf8_lossy(line).into_owned()),
        Found::TooLong(_) => None,
    }
}

/// Standard output.
pub struct Output {
    sink: Pollable,
    waiting: Vec<u8>,
}

impl Output {
    /// Registers it.
    pub fn new(fd: impl AsFd, registry: &Registry, token: Token) -> io::Result<Output> {
        Ok(Output { sink: Pollable::new(fd, registry, token, Interest::WRITABLE)?, waiting: Vec::new() })
    }

    /// There was an event. An error if it says that nobody reads any more.
    pub fn note(&mut self, event: &event::Event) -> io::Result<()> {
        self.sink.ready = true;
        if event.is_error() { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Puts a line behind what waits.
    pub fn push(&mut self, line: &[u8]) {
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
    }

    /// Forgets what waits.
    pub fn discard(&mut self) {
        self.waiting.clear();
    }

    /// How many bytes wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes what can be written without waiting.
    pub fn write(&mut self, registry: &Registry) -> io::Result<()> {
        let mut written = 0;
        while self.sink.ready && written < self.waiting.len() {
            let piece = self.waiting.get(written..).unwrap_or_default();
            let piece = if self.sink.is_file { piece } else { piece.get(..ONE_WRITE).unwrap_or(piece) };
            match self.sink.file.write(piece) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    self.sink.used(registry)?;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                    self.sink.used(registry)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.waiting.drain(..written);
        Ok(())
    }
}
