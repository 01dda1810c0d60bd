//! redis publish/subscribe in RESP3, where a connection that has subscribed may go on publishing.

use std::io::Write;

use super::{Dialect, Frame, Parsed, line, strange};
use crate::names::Name;

pub struct Redis;

const FULL: &[u8] = b"-ERR max number of clients reached";
const DELIVERY: &[u8] = b">3\r\n$7\r\nmessage\r\n";

impl Dialect for Redis {
    fn login(&self, client: Name, out: &mut Vec<u8>) {
        command(&[b"HELLO", b"3", b"SETNAME", &self.author_name(client)], out);
    }

    fn join(&self, room: Name, out: &mut Vec<u8>) {
        command(&[b"SUBSCRIBE", &self.room_name(room)], out);
    }

    fn leave(&self, room: Name, out: &mut Vec<u8>) {
        command(&[b"UNSUBSCRIBE", &self.room_name(room)], out);
    }

    fn send(&self, _client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        command(&[b"PUBLISH", &self.room_name(room), text], out);
    }

    /// A publication that nobody has subscribed to: one line comes back, where parlor writes two.
    fn request(&self, client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        self.send(client, room, text, out);
    }

    fn parse<'a>(&self, input: &'a [u8]) -> Parsed<'a> {
        if let Some(rest) = input.strip_prefix(DELIVERY) {
            return delivery(rest, input.len());
        }
        let Some(end) = value(input)? else { return Ok(None) };
        let frame = match input[0] {
            b'-' if input.starts_with(FULL) => Frame::Full(input[1..end].trim_ascii_end()),
            b'-' => return Err(strange(&input[..end])),
            _ => Frame::Done(None),
        };
        Ok(Some((end, frame)))
    }

    fn room_name(&self, room: Name) -> Vec<u8> {
        room.bytes()
    }

    fn answers_sends(&self) -> bool {
        true
    }
}

/// A command as an array of bulk strings, as every redis client sends it.
fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn delivery(rest: &[u8], whole: usize) -> Parsed<'_> {
    let Some((room, rest)) = bulk(rest)? else { return Ok(None) };
    let Some((text, rest)) = bulk(rest)? else { return Ok(None) };
    Ok(Some((whole - rest.len(), Frame::Delivery { room, author: None, text })))
}

type Bulk<'a> = Option<(&'a [u8], &'a [u8])>;

/// A bulk string, and what follows it.
fn bulk(input: &[u8]) -> Result<Bulk<'_>, String> {
    let Some((head, start)) = line(input) else { return Ok(None) };
    let length = head.strip_prefix(b"$").and_then(number).ok_or_else(|| strange(head))?;
    let Some(body) = input.get(start..start + length + 2) else { return Ok(None) };
    match body.strip_suffix(b"\r\n") {
        Some(text) => Ok(Some((text, &input[start + length + 2..]))),
        None => Err(strange(body)),
    }
}

/// Where the first RESP3 value of the input ends.
fn value(input: &[u8]) -> Result<Option<usize>, String> {
    let Some((head, mut end)) = line(input) else { return Ok(None) };
    let (kind, rest) = head.split_first().ok_or_else(|| strange(head))?;
    let count = number(rest);
    let members = match (kind, count) {
        (b'+' | b'-' | b':' | b'_' | b',' | b'#', _) => 0,
        (b'$', Some(length)) => {
            end += length + 2;
            0
        }
        (b'*' | b'>' | b'~', Some(count)) => count,
        (b'%', Some(count)) => 2 * count,
        _ => return Err(strange(head)),
    };
    for _ in 0..members {
        let Some(length) = value(input.get(end..).unwrap_or_default())? else { return Ok(None) };
        end += length;
    }
    Ok((end <= input.len()).then_some(end))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
