//! The others come to their turn whatever one client sends: with a made-up socket that never runs dry, which no real
//! client can be sure of.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use parlor::Options;
use parlor::hub::{Event, Hub};
use parlor::protocol::DisconnectReason;
use parlor::transport::{Peer, Received, Sent, Transport, receive_from, send_to};

/// Its input has no end: the same bytes again and again. It takes all output, and counts it.
struct Endless {
    input: Vec<u8>,
    at: usize,
    /// Reads that still find something.
    reads: usize,
    written: Rc<Cell<usize>>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.reads -= 1;
        if self.reads == 0 {
            // The last one is short.
            buffer[..self.input.len()].copy_from_slice(&self.input);
            return Ok(self.input.len());
        }
        for byte in buffer.iter_mut() {
            *byte = self.input[self.at];
            self.at = (self.at + 1) % self.input.len();
        }
        Ok(buffer.len())
    }
}

impl Write for Endless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.set(self.written.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Endless {
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

const NOW: Duration = Duration::from_secs(1);

/// A client that sends this; what it has got is counted.
fn connect(hub: &mut Hub<Endless>, input: &str, reads: usize) -> Rc<Cell<usize>> {
    let written = Rc::new(Cell::new(0));
    let socket = Endless { input: input.into(), at: 0, reads, written: written.clone() };
    let client = hub.connect(socket, Peer::Unix, NOW);
    hub.event(client, Event { readable: true, writable: false, ..Event::default() }, NOW);
    written
}

#[test]
fn a_flood_of_lines_of_any_size_keeps_nobody_waiting_for_more_than_a_few_turns() {
    let join = "{\"action\":\"JOIN ROOM\",\"room_id\":1}\n";
    let say = |length: usize| {
        format!("{{\"action\":\"SEND MESSAGE\",\"room_id\":1,\"text\":\"{}\"}}\n", "x".repeat(length))
    };
    let value = |length: usize| format!("\"{}\"\n", "x".repeat(length));
    let mut floods = vec![
        "\n".to_owned(),
        "0\n".into(),
        "x".into(),
        say(0),
        say(100),
        say(30_000),
        say(40_000),
        say(65_000),
        value(30_000),
        value(60_000),
        value(65_500),
        value(65_530),
        value(65_533),
        value(100_000),
    ];
    // Whatever number of lines fills a turn, or is somebody's share of it.
    floods.extend((0..60).map(value));
    let filling = say((64 << 10) - 1023 - say(0).len());
    floods.push(format!("{}{filling}", "\n".repeat(1023)));
    for flood in floods {
        for flooders in 1..4 {
            let mut hub = Hub::new(&Options { max_line: 64 << 10, ..Options::default() });
            // The room is there when the flood begins.
            let joined = connect(&mut hub, join, 1);
            hub.turn(NOW);
            assert!(joined.get() > 0);
            (0..flooders).for_each(|_| drop(connect(&mut hub, &flood, usize::MAX)));
            let others: Vec<_> = (0..3).map(|_| connect(&mut hub, join, 1)).collect();
            (0..5).for_each(|_| hub.turn(NOW));
            for written in &others {
                assert!(
                    written.get() > 0,
                    "no answer in five turns, with {flooders} floods of {} bytes {flood:.60}",
                    flood.len()
                );
            }
        }
    }
}

/// Where what comes has to be decrypted first: a read takes far more than its bytes would. It counts how often it was
/// read from.
struct Laborious(Rc<Cell<usize>>);

impl Transport for Laborious {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        self.0.set(self.0.get() + 1);
        buffer[0] = b' ';
        Ok(Received::Bytes { count: 1, drained: false })
    }

    fn receive_ns(&self) -> u64 {
        400_000
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        Ok(Sent::Bytes(bytes.len()))
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

#[test]
fn what_it_takes_to_decrypt_counts_for_the_length_of_a_turn() {
    let mut hub = Hub::new(&Options::default());
    let reads = Rc::new(Cell::new(0));
    for _ in 0..2000 {
        let client = hub.connect(Laborious(reads.clone()), Peer::Unix, NOW);
        hub.event(client, Event { readable: true, ..Event::default() }, NOW);
    }
    for _ in 0..20 {
        let before = reads.get();
        hub.turn(NOW);
        // 100 ms hold 250 of them.
        let in_turn = reads.get() - before;
        assert!((1..250).contains(&in_turn), "{in_turn} reads");
    }
}
