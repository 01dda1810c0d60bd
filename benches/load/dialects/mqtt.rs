//! MQTT 3.1.1, messages at QoS 0 as a chat would send them.

use super::{Dialect, Frame, Parsed, strange};
use crate::names::Name;

pub struct Mqtt;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBLISH_QOS_1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const UNSUBSCRIBE: u8 = 0xa2;
const UNSUBACK: u8 = 0xb0;

impl Dialect for Mqtt {
    fn login(&self, client: Name, out: &mut Vec<u8>) {
        const CLEAN_SESSION: u8 = 2;
        let mut body = string(b"MQTT");
        body.extend_from_slice(&[4, CLEAN_SESSION, 0, 0]); // protocol level 3.1.1; no keep-alive
        body.extend(string(&self.author_name(client)));
        packet(CONNECT, &body, out);
    }

    fn join(&self, room: Name, out: &mut Vec<u8>) {
        let mut body = vec![0, 1]; // the packet's id
        body.extend(string(&self.room_name(room)));
        body.push(0); // at most QoS 0
        packet(SUBSCRIBE, &body, out);
    }

    fn leave(&self, room: Name, out: &mut Vec<u8>) {
        let mut body = vec![0, 1];
        body.extend(string(&self.room_name(room)));
        packet(UNSUBSCRIBE, &body, out);
    }

    fn send(&self, _client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        let mut body = string(&self.room_name(room));
        body.extend_from_slice(text);
        packet(PUBLISH, &body, out);
    }

    /// A publication at QoS 1 that nobody has subscribed to: the server acknowledges it.
    fn request(&self, _client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        let mut body = string(&self.room_name(room));
        body.extend_from_slice(&[0, 1]);
        body.extend_from_slice(text);
        packet(PUBLISH_QOS_1, &body, out);
    }

    fn parse<'a>(&self, input: &'a [u8]) -> Parsed<'a> {
        let Some((start, end)) = extent(input)? else { return Ok(None) };
        let body = &input[start..end];
        let frame = match (input[0], body) {
            (PUBLISH, _) => delivery(body).ok_or_else(|| strange(&input[..end]))?,
            (CONNACK, [_, 3]) => Frame::Full(b"the server is unavailable"),
            (CONNACK, [_, 0]) | (SUBACK, [_, _, 0]) | (UNSUBACK | PUBACK, [_, _]) => Frame::Done(None),
            _ => return Err(strange(&input[..end])),
        };
        Ok(Some((end, frame)))
    }

    fn room_name(&self, room: Name) -> Vec<u8> {
        room.bytes()
    }

    fn answers_sends(&self) -> bool {
        false
    }
}

/// A string with its length before it.
fn string(text: &[u8]) -> Vec<u8> {
    let mut string = (text.len() as u16).to_be_bytes().to_vec();
    string.extend_from_slice(text);
    string
}

/// A packet: its kind, its length in groups of seven bits, its body.
fn packet(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    let mut length = body.len();
    while length > 127 {
        out.push(length as u8 & 127 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(body);
}

/// Where the first packet's body begins and ends.
fn extent(input: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut length = 0;
    for (place, byte) in input.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 127) << (7 * place);
        if byte & 128 == 0 {
            let start = place + 2;
            return Ok((start + length <= input.len()).then_some((start, start + length)));
        }
    }
    if input.len() > 4 { Err(strange(&input[..5])) } else { Ok(None) }
}

fn delivery(body: &[u8]) -> Option<Frame<'_>> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    let (room, text) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some(Frame::Delivery { room, author: None, text })
}
