//! parlor's own protocol: a JSON object a line.
//!
//! The lines are compared byte by byte with what the server must write (its members stand in a fixed order), so the
//! generator needs no JSON parser for each of some million deliveries a second.

use std::io::Write;

use super::{Dialect, Frame, Parsed, cut, line, strange};
use crate::names::Name;

pub struct Parlor;

const DELIVERY: &[u8] = br#"{"action":"GET MESSAGE","room_id":""#;
const RESPONSE: &[u8] = br#"{"action":"RESPONSE","request":"#;
const FAREWELL: &[u8] = br#"{"action":"ERROR","request":null,"message":""#;
const OK: &[u8] = br#","message":"OK"}"#;
const SEND: &[u8] = br#"{"action":"SEND MESSAGE","room_id":""#;
/// A connection's last line begins with one of these; a detail may follow after a colon.
const LAST_WORDS: [&[u8]; 7] = [
    FULL,
    b"Too slow",
    b"Out of memory",
    b"Idle too long",
    b"Server shutting down",
    b"Wrong protocol",
    b"Cluster link lost",
];
const FULL: &[u8] = b"Too many clients";

impl Dialect for Parlor {
    fn login(&self, client: Name, out: &mut Vec<u8>) {
        let _ = writeln!(out, r#"{{"action":"LOGIN NICK","nickname":"{client}"}}"#);
    }

    fn join(&self, room: Name, out: &mut Vec<u8>) {
        let _ = writeln!(out, r#"{{"action":"JOIN ROOM","room_id":"{room}"}}"#);
    }

    fn leave(&self, room: Name, out: &mut Vec<u8>) {
        let _ = writeln!(out, r#"{{"action":"LEFT ROOM","room_id":"{room}"}}"#);
    }

    fn send(&self, _client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(SEND);
        room.append_to(out);
        out.extend_from_slice(br#"","text":""#);
        out.extend_from_slice(text);
        out.extend_from_slice(b"\"}\n");
    }

    /// A message to a room where nobody else is: the RESPONSE comes first, then the message itself. It is the RESPONSE
    /// that counts as the reply; the message is checked as a delivery.
    fn request(&self, client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        self.send(client, room, text, out);
    }

    fn parse<'a>(&self, input: &'a [u8]) -> Parsed<'a> {
        let Some((line, length)) = line(input) else { return Ok(None) };
        let frame = match line.strip_prefix(DELIVERY) {
            Some(rest) => delivery(rest),
            None => response(line).or_else(|| farewell(line)),
        };
        frame.map(|frame| Some((length, frame))).ok_or_else(|| strange(line))
    }

    fn room_name(&self, room: Name) -> Vec<u8> {
        room.bytes()
    }

    fn answers_sends(&self) -> bool {
        true
    }

    fn requests_need_room(&self) -> bool {
        true
    }
}

fn delivery(rest: &[u8]) -> Option<Frame<'_>> {
    let (room, rest) = cut(rest, br#"","author":""#)?;
    let (author, rest) = cut(rest, br#"","text":""#)?;
    Some(Frame::Delivery { room, author: Some(author), text: rest.strip_suffix(br#""}"#)? })
}

fn farewell(line: &[u8]) -> Option<Frame<'_>> {
    let why = line.strip_prefix(FAREWELL)?.strip_suffix(br#""}"#)?;
    let says = |words: &[u8]| {
        let detail = why.strip_prefix(words);
        detail.is_some_and(|detail| detail.is_empty() || detail.starts_with(b": "))
    };
    LAST_WORDS.into_iter().find(|words| says(words)).map(|words| match words {
        FULL => Frame::Full(why),
        _ => Frame::Farewell(why),
    })
}

fn response(line: &[u8]) -> Option<Frame<'_>> {
    let request = line.strip_prefix(RESPONSE)?.strip_suffix(OK)?;
    match request.strip_prefix(SEND) {
        Some(rest) => Some(Frame::Done(Some(cut(rest, br#"","text":""#)?.1.strip_suffix(br#""}"#)?))),
        None => Some(Frame::Done(None)),
    }
}
