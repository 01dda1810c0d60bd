//! What the [`crate::floor`] server understands: a line whose first byte says what to do and whose next eight are the
//! room.
//!
//! The same bytes come back that were sent. So that it can be compared with parlor at equal bytes, lines can be padded
//! with dots to the length of the lines that parlor would send back.

use std::io::Write;

use super::parlor::Parlor;
use super::{Dialect, Frame, Parsed, line, strange};
use crate::message::read_hex;
use crate::names::Name;

pub struct Floor {
    /// Whether lines are made as long as parlor's.
    pub as_long_as_parlor: bool,
}

/// Bytes before the text: the verb and the room.
pub const HEADER: usize = 9;

impl Floor {
    /// A line of the server's, `verb` and `room` and `text`, and as many dots as parlor's lines would be longer.
    fn line(&self, verb: char, room: u32, text: &[u8], parlors: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let _ = write!(out, "{verb}{room:08x}");
        out.extend_from_slice(text);
        if self.as_long_as_parlor {
            let line = (parlors - 1).max(HEADER + text.len());
            out.resize(start + line, b'.');
        }
        out.push(b'\n');
    }

    /// The length of parlor's RESPONSE to a request. The request is written behind `out` and taken off again, so that
    /// nothing is allocated.
    fn response(&self, out: &mut Vec<u8>, request: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = out.len();
        request(out);
        let line = out.len() - start;
        out.truncate(start);
        line + r#"{"action":"RESPONSE","request":,"message":"OK"}"#.len()
    }

    /// The length of parlor's GET MESSAGE.
    fn delivery(&self, client: Name, room: Name, text: &[u8]) -> usize {
        let around = "{\"action\":\"GET MESSAGE\",\"room_id\":\"\",\"author\":\"\",\"text\":\"\"}\n";
        around.len() + room.length() + client.length() + text.len()
    }
}

impl Dialect for Floor {
    fn login(&self, client: Name, out: &mut Vec<u8>) {
        let length = self.response(out, |out| Parlor.login(client, out));
        self.line('L', 0, b"", length, out);
    }

    fn join(&self, room: Name, out: &mut Vec<u8>) {
        let length = self.response(out, |out| Parlor.join(room, out));
        self.line('J', room.number, b"", length, out);
    }

    fn leave(&self, room: Name, out: &mut Vec<u8>) {
        let length = self.response(out, |out| Parlor.leave(room, out));
        self.line('Q', room.number, b"", length, out);
    }

    fn send(&self, client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        self.line('S', room.number, text, self.delivery(client, room, text), out);
    }

    /// A line that goes back to whom it came from, as long as the two lines together that parlor sends back.
    fn request(&self, client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        let response = self.response(out, |out| Parlor.send(client, room, text, out));
        self.line('E', room.number, text, response + self.delivery(client, room, text), out);
    }

    fn parse<'a>(&self, input: &'a [u8]) -> Parsed<'a> {
        let Some((line, length)) = line(input) else { return Ok(None) };
        // No text has a dot in it. The dots are looked at without a branch, so that the compiler can take many at once.
        let text_end = memchr::memchr(b'.', line).unwrap_or(line.len());
        let is_padded_well = line[text_end..].iter().fold(true, |all, byte| all & (*byte == b'.'));
        if text_end < HEADER || read_hex(&line[1..HEADER]).is_none() || !is_padded_well {
            return Err(strange(line));
        }
        let (room, text) = (&line[1..HEADER], &line[HEADER..text_end]);
        let frame = match line[0] {
            b'S' => Frame::Delivery { room, author: None, text },
            b'E' => Frame::Done(Some(text)),
            b'L' | b'J' | b'Q' => Frame::Done(None),
            _ => return Err(strange(line)),
        };
        Ok(Some((length, frame)))
    }

    fn room_name(&self, room: Name) -> Vec<u8> {
        format!("{:08x}", room.number).into_bytes()
    }

    fn answers_sends(&self) -> bool {
        false
    }
}
