//! The nats text protocol, `verbose` off: nothing is acknowledged by itself, so a PING after what wants a reply makes a
//! PONG its reply.

use std::io::Write;

use super::{Dialect, Frame, Parsed, line, strange};
use crate::names::Name;

pub struct Nats;

impl Dialect for Nats {
    fn login(&self, client: Name, out: &mut Vec<u8>) {
        let options = r#""verbose":false,"pedantic":false,"lang":"rust","version":"1","protocol":1"#;
        let _ = write!(out, "CONNECT {{{options},\"name\":\"{client}\"}}\r\nPING\r\n");
    }

    /// The subscription's id is the room's number, so that all members get the same bytes.
    fn join(&self, room: Name, out: &mut Vec<u8>) {
        let _ = write!(out, "SUB {room} {}\r\nPING\r\n", room.number);
    }

    fn leave(&self, room: Name, out: &mut Vec<u8>) {
        let _ = write!(out, "UNSUB {}\r\nPING\r\n", room.number);
    }

    fn send(&self, _client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        let _ = write!(out, "PUB {room} {}\r\n", text.len());
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }

    /// A publication that nobody has subscribed to, and the PING that confirms it.
    fn request(&self, client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        self.send(client, room, text, out);
        out.extend_from_slice(b"PING\r\n");
    }

    fn pong(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PONG\r\n");
    }

    fn parse<'a>(&self, input: &'a [u8]) -> Parsed<'a> {
        let Some((head, length)) = line(input) else { return Ok(None) };
        if let Some(rest) = head.strip_prefix(b"MSG ") {
            return delivery(rest, input, length).ok_or_else(|| strange(head));
        }
        let frame = match head {
            b"PONG" => Frame::Done(None),
            b"PING" => Frame::Ping,
            b"-ERR 'maximum connections exceeded'" => Frame::Full(head),
            b"-ERR 'Slow Consumer'" => Frame::Farewell(head),
            _ if head.starts_with(b"INFO ") => Frame::Other,
            _ => return Err(strange(head)),
        };
        Ok(Some((length, frame)))
    }

    fn room_name(&self, room: Name) -> Vec<u8> {
        room.bytes()
    }

    fn answers_sends(&self) -> bool {
        false
    }

    /// Only the messages of one publisher are promised to keep their order.
    fn one_order(&self) -> bool {
        false
    }
}

/// `rest` is `SUBJECT SID LENGTH`; the text follows in the next line. The inner `None`: it is not all there yet.
#[allow(clippy::option_option)]
fn delivery<'a>(rest: &'a [u8], input: &'a [u8], start: usize) -> Option<Option<(usize, Frame<'a>)>> {
    let mut words = rest.split(|byte| *byte == b' ');
    let (room, id, length) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || room.rsplit(|byte| *byte == b'-').next() != Some(id) {
        return None;
    }
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let Some(body) = input.get(start..start + length + 2) else { return Some(None) };
    let frame = Frame::Delivery { room, author: None, text: body.strip_suffix(b"\r\n")? };
    Some(Some((start + length + 2, frame)))
}
