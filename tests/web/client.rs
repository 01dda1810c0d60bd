//! A WebSocket client that sends whatever it is told to, and looks closely at what it gets. Every wait has a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::HTTP;
use crate::common::{DEADLINE, TestServer, is_error, response};

/// The head of a good handshake, for this `Host`.
pub fn handshake(host: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// What the server has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    End,
}

pub struct Browser {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A frame as a client sends it. `first` is its first byte.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
    let payload = payload.as_ref();
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

impl Browser {
    /// A connection on which nothing was said.
    pub fn silent(server: &TestServer) -> Browser {
        Browser::silent_at(server, HTTP)
    }

    pub fn silent_at(server: &TestServer, listener: usize) -> Browser {
        let stream = TcpStream::connect(server.addresses()[listener].socket_address().unwrap()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Browser { stream, received: Vec::new() }
    }

    /// A client, its handshake done.
    pub fn connect(server: &TestServer) -> Browser {
        Browser::connect_with(server, b"")
    }

    /// A client that sends these bytes right behind its handshake.
    pub fn connect_with(server: &TestServer, behind: &[u8]) -> Browser {
        let mut browser = Browser::silent(server);
        browser.send([handshake("localhost").as_bytes(), behind].concat());
        let head = browser.read_head();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        browser
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// As [`Browser::send`], to a server that may have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    pub fn text(&mut self, text: impl AsRef<[u8]>) {
        self.send(frame(0x81, text));
    }

    pub fn close(&mut self, code: u16) {
        self.send(frame(0x88, code.to_be_bytes()));
    }

    /// Reads up to the empty line behind a head.
    pub fn read_head(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(4).position(|end| end == b"\r\n\r\n") {
                return String::from_utf8(self.received.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.receive_more().unwrap() > 0, "the end within a head");
        }
    }

    /// Reads up to the end, which must be no reset.
    pub fn read_to_end(&mut self) -> String {
        while self.receive_more().unwrap() > 0 {}
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    fn receive_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        let count = self.stream.read(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// The next thing that the server sends. It must be whole, unmasked, not fragmented, and in its shortest form.
    pub fn got(&mut self) -> Got {
        self.try_get().expect("the server goes on or ends in good order")
    }

    /// As [`Browser::got`]; a reset is an error.
    pub fn try_get(&mut self) -> io::Result<Got> {
        loop {
            if let Some((got, length)) = read_frame(&self.received) {
                self.received.drain(..length);
                return Ok(got);
            }
            if self.receive_more()? == 0 {
                assert!(self.received.is_empty(), "the end amid a frame: {:x?}", self.received);
                return Ok(Got::End);
            }
        }
    }

    /// Whether something comes in this time.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        if !self.received.is_empty() {
            return true;
        }
        self.stream.set_read_timeout(Some(time)).unwrap();
        let heard = match self.receive_more() {
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => panic!("cannot receive: {error}"),
        };
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        heard
    }

    /// The next text message; pings are answered.
    pub fn recv(&mut self) -> String {
        loop {
            match self.got() {
                Got::Text(text) => return text,
                Got::Ping(payload) => self.send(frame(0x8a, payload)),
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    pub fn recv_json(&mut self) -> Value {
        serde_json::from_str(&self.recv()).unwrap()
    }

    /// Sends the message and gets the next one.
    pub fn ask(&mut self, text: impl AsRef<[u8]>) -> String {
        self.text(text);
        self.recv()
    }

    pub fn expect_ok(&mut self, request: impl AsRef<str>) {
        let request = request.as_ref();
        assert_eq!(self.ask(request), response(request));
    }

    pub fn expect_error(&mut self, request: &str, words: &str) {
        let reply = self.ask(request);
        assert!(is_error(&reply, request, words), "{words} expected, not {reply}");
    }

    /// The server says this as its last words, then Close with this code, and the connection ends in good order.
    pub fn expect_farewell(&mut self, words: &str, code: u16) {
        let last = self.recv();
        assert!(is_error(&last, "null", words), "{words} expected, not {last}");
        self.expect_close(Some(code));
    }

    /// The server closes with this code, and the connection ends in good order.
    pub fn expect_close(&mut self, code: Option<u16>) {
        assert_eq!(self.got(), Got::Close(code));
        assert_eq!(self.got(), Got::End);
    }
}

/// The frame that the bytes begin with, and its length.
fn read_frame(bytes: &[u8]) -> Option<(Got, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, at) = match second {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize, 10),
        short => (usize::from(short), 2),
    };
    assert!(second < 0x80, "a server does not mask");
    assert!(at == 2 || length >= if at == 4 { 126 } else { 65_536 }, "the shortest form");
    let payload = bytes.get(at..at + length)?.to_vec();
    let got = match first {
        0x81 => Got::Text(String::from_utf8(payload).expect("UTF-8")),
        0x88 => Got::Close(payload.first_chunk().map(|&code| u16::from_be_bytes(code))),
        0x89 => Got::Ping(payload),
        0x8a => Got::Pong(payload),
        other => panic!("a frame that begins with {other:#x}"),
    };
    Some((got, at + length))
}
