//! Streams that never come to a line's end, or to any end.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use parlor::Options;
use parlor::hub::{Event, Hub};
use parlor::protocol::DisconnectReason;
use parlor::transport::{Peer, Received, Sent, Transport, receive_from, send_to};

/// Gives so many bytes that are no line, in pieces of this size, then some more, then nothing. Takes everything.
struct Flood {
    bytes: usize,
    piece: usize,
    then: &'static [u8],
    /// Shared with the test, which sees what came of it.
    seen: std::rc::Rc<std::cell::RefCell<Seen>>,
}

#[derive(Default)]
struct Seen {
    written: Vec<u8>,
    read: usize,
    gone: bool,
}

impl Read for Flood {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = if self.bytes > 0 {
            let length = buffer.len().min(self.piece).min(self.bytes);
            buffer[..length].fill(b'x');
            self.bytes -= length;
            length
        } else if self.then.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        } else {
            self.then.read(buffer)?
        };
        self.seen.borrow_mut().read += length;
        Ok(length)
    }
}

impl Write for Flood {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.seen.borrow_mut().written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Flood {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        receive_from(self, buffer, true)
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        send_to(self, bytes)
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.seen.borrow_mut().gone = true;
    }
}

/// Lets the hub read all of a flood. What the client has got, and the most memory that was held.
fn pour(options: &Options, bytes: usize, piece: usize, then: &'static [u8]) -> (Seen, usize) {
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Seen::default()));
    let mut hub = Hub::new(options);
    let now = Duration::ZERO;
    let client = hub.connect(Flood { bytes, piece, then, seen: seen.clone() }, Peer::Unix, now);
    let mut memory = 0;
    loop {
        let before = seen.borrow().read;
        hub.event(client, Event { readable: true, writable: true, ..Event::default() }, now);
        hub.turn(now);
        memory = memory.max(hub.memory_bytes());
        if seen.borrow().read == before {
            break;
        }
    }
    hub.abandon(client);
    hub.turn(now);
    assert_eq!(hub.memory_bytes(), 0);
    drop(hub);
    (seen.take(), memory)
}

fn replies(seen: &Seen) -> Vec<String> {
    let messages = seen.written.split_inclusive(|&byte| byte == b'\n');
    let message = |line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["message"].take();
    messages.map(|line| message(line).as_str().unwrap().to_string()).collect()
}

#[test]
fn a_line_without_end_costs_one_error_and_no_memory() {
    const BYTES: usize = 256 << 20;
    let (seen, memory) = pour(&Options::default(), BYTES, usize::MAX, b"\n{}\n");
    assert_eq!(replies(&seen), ["Line too long", "Missing parameter: action"]);
    assert_eq!(seen.read, BYTES + 4);
    // The first read alone may still be a line that fits.
    assert!(memory < 2 * Options::default().max_line, "{memory} bytes held");
}

#[test]
fn a_line_that_drips_costs_its_length() {
    let options = Options::default();
    let (seen, memory) = pour(&options, options.max_line + 5000, 1, b"\n{}\n");
    assert_eq!(replies(&seen), ["Line too long", "Missing parameter: action"]);
    assert!(memory < 3 * options.max_line, "{memory} bytes held");
}

#[test]
fn whoever_goes_on_sending_after_the_last_words_is_given_up() {
    let options = Options { max_clients: 0, ..Options::default() };
    let (seen, _) = pour(&options, usize::MAX, usize::MAX, b"");
    assert_eq!(replies(&seen), ["Too many clients: the server is full"]);
    assert!(seen.gone && (16 << 20..17 << 20).contains(&seen.read), "{} bytes were read", seen.read);
}
