//! A client over WebSocket, as the hub sees it: a [`Transport`] of lines around one of bytes (TCP, TLS).

use std::io;

use super::incoming::{self, Incoming};
use super::outgoing::Outgoing;
use crate::batch::Memory;
use crate::protocol::DisconnectReason;
use crate::transport::{End, Event, Received, Sent, Transport};

/// The connection behind a 101. Without buffers of its own it takes 40 bytes more than what it is around.
#[derive(Debug)]
pub struct WebSocket<T> {
    inner: T,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl<T: Transport> WebSocket<T> {
    /// A WebSocket over a connection on which the 101 was sent. `begun` came behind the request, and counts in `memory` until
    /// it is read.
    pub fn new(inner: T, begun: Vec<u8>, memory: &Memory) -> Self {
        let mut incoming = Incoming::default();
        incoming.hold(begun, memory);
        WebSocket { inner, incoming, outgoing: Outgoing::default() }
    }

    /// What is underneath, for the poll to register.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Reads bytes into `buffer`: first what came behind the request.
    fn receive_bytes(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match self.incoming.take_held(buffer) {
            Some(count) => Ok(Received::Bytes { count, drained: false }),
            None => self.inner.receive(buffer),
        }
    }
}

impl<T: Transport> Transport for WebSocket<T> {
    fn ready(&mut self, event: Event) {
        self.inner.ready(event);
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        if self.incoming.tell_end() {
            return Ok(Received::End(End::Broken));
        }
        if self.incoming.end().is_some() {
            // These bytes mean nothing any more.
            return self.receive_bytes(buffer);
        }
        let from = Incoming::READ_FROM;
        let (count, drained) = match self.receive_bytes(buffer.get_mut(from..).unwrap_or_default())? {
            Received::Bytes { count, drained } => (count, drained),
            Received::Nothing => return Ok(Received::Nothing),
            Received::End(_) if self.incoming.is_amid_message() => return Ok(Received::End(End::Truncated)),
            Received::End(end) => return Ok(Received::End(end)),
        };
        let decoded = self.incoming.decode(buffer, from..from + count);
        if let Some(ping) = decoded.ping {
            self.outgoing.pong(ping);
        }
        Ok(Received::Bytes { count: decoded.bytes, drained: drained && decoded.end.is_none() })
    }

    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent> {
        self.outgoing.send(bytes, scratch, &mut self.inner)
    }

    fn held(&self) -> usize {
        self.outgoing.held() + self.inner.held()
    }

    fn flush(&mut self) -> io::Result<bool> {
        Ok(self.outgoing.flush(&mut self.inner)? && self.inner.flush()?)
    }

    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool> {
        let code = match reason {
            Some(reason) => Some(code(reason)),
            None => self.incoming.end().and_then(incoming::End::code),
        };
        self.outgoing.close(code);
        Ok(self.flush()? && self.inner.finish(reason)?)
    }

    fn set_stalled(&mut self, stalled: bool) {
        self.inner.set_stalled(stalled);
    }

    fn input_bytes(&self) -> usize {
        self.incoming.held_bytes() + self.inner.input_bytes()
    }

    fn give_up_input(&mut self) {
        self.inner.give_up_input();
    }

    fn receive_ns(&self) -> u64 {
        self.inner.receive_ns()
    }

    fn can_ping(&self) -> bool {
        true
    }

    fn ping(&mut self) {
        self.outgoing.ping();
    }

    fn speaks_lines(&self) -> bool {
        false
    }
}

/// The code for the Close frame when the server ends a connection.
fn code(reason: DisconnectReason) -> u16 {
    match reason {
        DisconnectReason::ShuttingDown => 1001,
        #[cfg(feature = "cluster")]
        DisconnectReason::ClusterLinkLost => 1001,
        DisconnectReason::WrongProtocol(_) => 1002,
        DisconnectReason::TooSlow | DisconnectReason::IdleTooLong => 1008,
        DisconnectReason::TooManyClients(_) | DisconnectReason::OutOfMemory => 1013,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection on which this has come, and that takes so many bytes in all.
    struct Wire {
        coming: Vec<u8>,
        ended: bool,
        sent: Vec<u8>,
        room: usize,
        finished: bool,
    }

    impl Transport for Wire {
        fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
            let count = self.coming.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.coming[..count]);
            self.coming.drain(..count);
            Ok(match (count, self.ended) {
                (0, true) => Received::End(End::Closed),
                (0, false) => Received::Nothing,
                _ => Received::Bytes { count, drained: self.coming.is_empty() && !self.ended },
            })
        }

        fn send(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> io::Result<Sent> {
            assert!(!self.finished);
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.sent.extend_from_slice(&bytes[..count]);
            Ok(if count == 0 { Sent::Blocked } else { Sent::Bytes(count) })
        }

        fn finish(&mut self, _: Option<DisconnectReason>) -> io::Result<bool> {
            self.finished = true;
            Ok(true)
        }
    }

    /// A frame under the mask of zeros.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
    }

    fn socket(frames: &[Vec<u8>], begun: usize) -> WebSocket<Wire> {
        socket_counted(frames, begun, &Memory::default())
    }

    fn socket_counted(frames: &[Vec<u8>], begun: usize, memory: &Memory) -> WebSocket<Wire> {
        let stream = frames.concat();
        let (begun, coming) = stream.split_at(begun.min(stream.len()));
        let inner = Wire {
            coming: coming.to_vec(),
            ended: false,
            sent: Vec::new(),
            room: usize::MAX,
            finished: false,
        };
        WebSocket::new(inner, begun.to_vec(), memory)
    }

    /// Reads with a buffer of so many bytes until nothing more comes: the lines, and the end.
    fn read(socket: &mut WebSocket<Wire>, buffer_bytes: usize) -> (String, Option<End>) {
        let mut lines = Vec::new();
        loop {
            let mut buffer = vec![0xee; buffer_bytes];
            match socket.receive(&mut buffer).unwrap() {
                Received::Bytes { count, drained } => {
                    lines.extend_from_slice(&buffer[..count]);
                    assert!(
                        !drained || socket.inner.coming.is_empty() && socket.incoming.allocated_bytes() == 0
                    );
                }
                Received::Nothing => return (String::from_utf8_lossy(&lines).into_owned(), None),
                Received::End(end) => return (String::from_utf8_lossy(&lines).into_owned(), Some(end)),
            }
        }
    }

    #[test]
    fn frames_behind_the_request_are_the_first() {
        for begun in 0..40 {
            for buffer_bytes in [2, 3, 7, 64] {
                let frames =
                    [frame(0x81, b"one"), frame(0x01, b"tw"), frame(0x80, b"o"), frame(0x81, b"three")];
                let memory = Memory::default();
                let mut socket = socket_counted(&frames, begun, &memory);
                assert_eq!((memory.bytes() > 0, socket.input_bytes()), (begun > 0, memory.bytes()));
                assert_eq!(read(&mut socket, buffer_bytes), ("one\ntwo\nthree\n".into(), None));
                assert_eq!((socket.incoming.allocated_bytes(), socket.held()), (0, 0));
                assert_eq!((socket.input_bytes(), memory.bytes()), (0, 0));
            }
        }
    }

    #[test]
    fn a_close_is_answered_with_its_code_behind_what_waits() {
        let frames =
            [frame(0x81, b"one"), frame(0x89, b"?"), frame(0x88, &[0x0f, 0xa0]), frame(0x81, b"two")];
        let mut socket = socket(&frames, 0);
        assert_eq!(read(&mut socket, 64), ("one\n".into(), Some(End::Broken)));
        assert_eq!(socket.held(), 3, "the pong waits");
        let mut scratch = Vec::new();
        assert!(matches!(socket.send(b"reply\n", &mut scratch).unwrap(), Sent::Bytes(6)));
        assert!(socket.finish(None).unwrap() && socket.inner.finished);
        assert_eq!(socket.inner.sent, b"\x8a\x01?\x81\x05reply\x88\x02\x0f\xa0");
        // What comes now is read and means nothing.
        socket.inner.ended = true;
        assert_eq!(read(&mut socket, 64).1, Some(End::Closed));
    }

    #[test]
    fn ends() {
        for (frames, ended, end, close) in [
            (vec![frame(0x88, b"")], false, End::Broken, &b"\x88\x00"[..]),
            (vec![frame(0x01, b"a"), frame(0x88, b"")], false, End::Broken, b"\x88\x00"),
            (vec![frame(0x82, b"a")], false, End::Broken, b"\x88\x02\x03\xeb"),
            (vec![frame(0x81, b"a\xff")], false, End::Broken, b"\x88\x02\x03\xef"),
            (vec![frame(0x81, b"\xc3")], false, End::Broken, b"\x88\x02\x03\xef"),
            (vec![vec![0x81, 0x01, b'a']], false, End::Broken, b"\x88\x02\x03\xea"),
            (vec![frame(0x01, b"a"), frame(0x81, b"b")], false, End::Broken, b"\x88\x02\x03\xea"),
            (vec![frame(0x81, b"a")], true, End::Closed, b"\x88\x00"),
            (vec![frame(0x01, b"a")], true, End::Truncated, b"\x88\x00"),
            (vec![vec![0x81, 0x85, 0, 0, 0, 0, b'a']], true, End::Truncated, b"\x88\x00"),
        ] {
            let mut socket = socket(&frames, 0);
            socket.inner.ended = ended;
            assert_eq!(read(&mut socket, 64).1, Some(end), "{frames:x?}");
            assert!(socket.finish(None).unwrap());
            assert_eq!(socket.inner.sent, close, "{frames:x?}");
        }
    }

    #[test]
    fn the_goodbye_waits_for_room() {
        let mut socket = socket(&[], 0);
        socket.inner.room = 3;
        let mut scratch = Vec::new();
        assert_eq!(socket.send(b"last words\n", &mut scratch).unwrap(), Sent::Bytes(1));
        assert_eq!(socket.send(b"ast words\n", &mut scratch).unwrap(), Sent::Blocked);
        socket.inner.room = 100;
        assert_eq!(socket.send(b"ast words\n", &mut scratch).unwrap(), Sent::Bytes(10));
        socket.inner.room = 1;
        assert!(!socket.finish(Some(DisconnectReason::IdleTooLong)).unwrap());
        assert_eq!((socket.held(), socket.inner.finished), (3, false));
        socket.inner.room = 100;
        socket.ping();
        assert!(socket.finish(Some(DisconnectReason::IdleTooLong)).unwrap());
        assert_eq!(socket.inner.sent, b"\x81\x0alast words\x88\x02\x03\xf0");
    }

    #[test]
    fn an_idle_client_takes_few_bytes() {
        assert!(size_of::<WebSocket<[u64; 2]>>() <= 56, "{}", size_of::<WebSocket<[u64; 2]>>());
    }
}
