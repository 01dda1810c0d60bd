//! The client's side of WebSocket (RFC 6455), as far as a chat needs it: a line of the dialect is a text message.
//!
//! Strict, for it measures servers: frames of the server that are masked, have reserved bits, an unknown opcode or a
//! length that is not in its shortest form are wrong. Knows nothing of sockets.

use std::hash::{BuildHasher, RandomState};

use super::{Ending, Layer};

/// RFC 6455 wants a new key for each connection, so that no cache answers in the server's place. There is none between
/// a load generator and its server; so all use the key of the RFC's example, whose answer is known.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What a server may send in its response before the first frame.
const LONGEST_HEAD: usize = 16 << 10;
const LONGEST_FRAME: u64 = 16 << 20;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One connection.
pub struct WebSocket {
    host: String,
    open: bool,
    /// The beginning of a response or of a frame whose rest has not come yet.
    held: Vec<u8>,
    /// A text message has begun whose last fragment has not come yet.
    in_message: bool,
    masks: Masks,
}

impl WebSocket {
    /// `host` is what the request names as its host.
    pub fn new(host: &str) -> WebSocket {
        let (open, held, in_message) = (false, Vec::new(), false);
        WebSocket { host: host.to_owned(), open, held, in_message, masks: Masks::new() }
    }

    /// The response to the handshake: its length, once it is all there.
    fn response(&mut self, input: &[u8]) -> Result<Option<usize>, Ending> {
        const BEGINS: &[u8] = b"HTTP/1.1 ";
        let begun = &input[..input.len().min(BEGINS.len())];
        if !BEGINS.starts_with(begun) {
            let said = String::from_utf8_lossy(input.split(|byte| *byte == b'\n').next().unwrap_or_default());
            let said: String = said.chars().take(200).collect();
            return Err(Ending::Refused(format!("no WebSocket, but {}", said.escape_debug())));
        }
        let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
            return match input.len() {
                ..LONGEST_HEAD => Ok(None),
                _ => Err(Ending::Wrong("the response to the handshake does not end".to_owned())),
            };
        };
        let head = String::from_utf8_lossy(&input[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            return Err(Ending::Refused(format!("no WebSocket at /ws: {}", status.escape_debug())));
        }
        let fields: Vec<(&str, &str)> =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
        let has = |name: &str, wanted: &dyn Fn(&str) -> bool| {
            fields.iter().any(|(other, value)| other.eq_ignore_ascii_case(name) && wanted(value))
        };
        let upgrade =
            |value: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
        let good = has("Upgrade", &|value| value.eq_ignore_ascii_case("websocket"))
            && has("Connection", &upgrade)
            && has("Sec-WebSocket-Accept", &|value| value == ACCEPT)
            && !has("Sec-WebSocket-Extensions", &|_| true);
        if !good {
            return Err(Ending::Wrong(format!("not the response to a handshake: {}", head.escape_debug())));
        }
        self.open = true;
        Ok(Some(end + 4))
    }

    /// Takes the next frame, if it is all there, and says how long it was.
    fn frame(
        &mut self,
        input: &[u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Option<usize>, Ending> {
        let Some(frame) = Frame::parse(input).map_err(Ending::Wrong)? else { return Ok(None) };
        let begins = frame.opcode == TEXT;
        match frame.opcode {
            TEXT | CONTINUATION => {
                if begins == self.in_message {
                    return Err(Ending::Wrong("a message within a message, or the rest of none".to_owned()));
                }
                if memchr::memchr(b'\n', frame.payload).is_some() {
                    return Err(Ending::Wrong("a line end within a message".to_owned()));
                }
                plain.extend_from_slice(frame.payload);
                self.in_message = !frame.last;
                if frame.last {
                    plain.push(b'\n');
                }
            }
            PING => append(PONG, frame.payload, self.masks.next(), wire),
            PONG => {}
            CLOSE => {
                let code = frame.payload.get(..2).unwrap_or_default();
                append(CLOSE, code, self.masks.next(), wire);
                let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default());
                let code =
                    code.try_into().map_or("no code".to_owned(), |code| u16::from_be_bytes(code).to_string());
                return Err(Ending::Closed(format!("Close {code} {reason}").trim_end().to_owned()));
            }
            BINARY => return Err(Ending::Wrong("a binary message".to_owned())),
            other => return Err(Ending::Wrong(format!("a frame of the unknown opcode {other}"))),
        }
        Ok(Some(frame.length))
    }
}

impl Layer for WebSocket {
    fn open(&mut self, wire: &mut Vec<u8>) {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.host
        );
        wire.extend_from_slice(request.as_bytes());
    }

    fn is_open(&self) -> bool {
        self.open
    }

    fn receive(&mut self, input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Ending> {
        let mut held = std::mem::take(&mut self.held);
        let input = if held.is_empty() {
            input
        } else {
            held.extend_from_slice(input);
            &held
        };
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            match if self.open { self.frame(rest, plain, wire) } else { self.response(rest) }? {
                Some(length) => used += length,
                None => break,
            }
        }
        self.held = input[used..].to_vec();
        Ok(())
    }

    fn send(&mut self, plain: &mut Vec<u8>, wire: &mut Vec<u8>) {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', plain) {
            append(TEXT, &plain[begin..end], self.masks.next(), wire);
            begin = end + 1;
        }
        debug_assert_eq!(begin, plain.len(), "dialects that are carried over WebSocket write whole lines");
        plain.clear();
    }

    fn close(&mut self, wire: &mut Vec<u8>) {
        if self.open {
            append(CLOSE, &1000u16.to_be_bytes(), self.masks.next(), wire);
        }
    }
}

/// A frame of the server.
struct Frame<'a> {
    opcode: u8,
    last: bool,
    payload: &'a [u8],
    /// Of all of it, in bytes.
    length: usize,
}

impl Frame<'_> {
    /// `None` while it is not all there.
    fn parse(input: &[u8]) -> Result<Option<Frame<'_>>, String> {
        let &[first, second, ref rest @ ..] = input else { return Ok(None) };
        let (opcode, last) = (first & 0x0f, first & FIN != 0);
        if first & RESERVED != 0 || second & MASKED != 0 {
            return Err("a frame of the server has reserved bits or a mask".to_owned());
        }
        let (payload, rest) = match second {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        let shortest = match second {
            126 => payload > 125,
            127 => payload > 0xffff,
            _ => true,
        };
        let control = opcode >= CLOSE;
        if !shortest || payload > LONGEST_FRAME || control && (!last || payload > 125) {
            return Err(format!(
                "a frame of opcode {opcode} with a length of {payload}, wrong or not in its form"
            ));
        }
        let Some(payload) = rest.get(..payload as usize) else { return Ok(None) };
        let length = input.len() - rest.len() + payload.len();
        Ok(Some(Frame { opcode, last, payload, length }))
    }
}

/// Appends a frame of the client.
fn append(opcode: u8, payload: &[u8], mask: [u8; 4], wire: &mut Vec<u8>) {
    wire.push(FIN | opcode);
    match payload.len() {
        length @ ..126 => wire.push(MASKED | length as u8),
        length @ ..0x1_0000 => {
            wire.push(MASKED | 126);
            wire.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            wire.push(MASKED | 127);
            wire.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    wire.extend_from_slice(&mask);
    let begin = wire.len();
    wire.extend_from_slice(payload);
    cover(&mut wire[begin..], mask);
}

/// Puts the mask on; eight bytes at a time, so that the generator is not what is measured.
fn cover(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    if let [_, _, _, _, rest @ ..] = rest {
        for (byte, mask) in rest.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

/// Masks that differ from frame to frame. They protect caches from pages that a browser runs; nobody attacks here, so
/// they need not be hard to guess.
struct Masks(u64);

impl Masks {
    fn new() -> Masks {
        Masks(RandomState::new().hash_one(0) | 1)
    }

    fn next(&mut self) -> [u8; 4] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) as u32).to_ne_bytes()
    }
}
