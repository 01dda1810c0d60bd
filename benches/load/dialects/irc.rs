//! IRC, as ngircd speaks it. A channel's message does not go back to its sender.

use std::io::Write;

use super::{Dialect, Frame, Parsed, cut, line, strange};
use crate::names::Name;

pub struct Irc;

impl Dialect for Irc {
    fn login(&self, client: Name, out: &mut Vec<u8>) {
        let _ = write!(out, "NICK {client}\r\nUSER u 0 * :u\r\n");
    }

    fn join(&self, room: Name, out: &mut Vec<u8>) {
        let _ = write!(out, "JOIN #{room}\r\n");
    }

    /// The server tells all members who leaves; the PONG is what only the leaver gets.
    fn leave(&self, room: Name, out: &mut Vec<u8>) {
        let _ = write!(out, "PART #{room}\r\nPING :x\r\n");
    }

    fn send(&self, _client: Name, room: Name, text: &[u8], out: &mut Vec<u8>) {
        let _ = write!(out, "PRIVMSG #{room} :");
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }

    /// A message to oneself.
    fn request(&self, client: Name, _room: Name, text: &[u8], out: &mut Vec<u8>) {
        let _ = write!(out, "PRIVMSG {client} :");
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }

    fn parse<'a>(&self, input: &'a [u8]) -> Parsed<'a> {
        let Some((line, length)) = line(input) else { return Ok(None) };
        let frame = frame(line).ok_or_else(|| strange(line))?;
        Ok(Some((length, frame)))
    }

    fn room_name(&self, room: Name) -> Vec<u8> {
        format!("#{room}").into_bytes()
    }

    fn answers_sends(&self) -> bool {
        false
    }

    fn echoes(&self) -> bool {
        false
    }

    /// ngircd's queue holds ten; whoever comes then has to try again a second later.
    fn connect_at_once(&self) -> usize {
        8
    }

    /// There would be one, but since senders do not see their own messages it cannot be compared.
    fn one_order(&self) -> bool {
        false
    }
}

/// `:ORIGIN COMMAND REST`
fn frame(line: &[u8]) -> Option<Frame<'_>> {
    const END_OF_MOTD: &[u8] = b"376";
    const NO_MOTD: &[u8] = b"422";
    const END_OF_NAMES: &[u8] = b"366";
    if let Some(why) = line.strip_prefix(b"ERROR :") {
        let full = ["Too many connections", "maximum number of"].iter().any(|words| contains(why, words));
        return Some(if full { Frame::Full(why) } else { Frame::Farewell(why) });
    }
    let (origin, rest) = cut(line.strip_prefix(b":")?, b" ")?;
    let (command, rest) = cut(rest, b" ")?;
    match command {
        b"PRIVMSG" => {
            let (author, _) = cut(origin, b"!")?;
            let (room, text) = cut(rest, b" :")?;
            match room.first()? {
                b'#' => Some(Frame::Delivery { room, author: Some(author), text }),
                _ => Some(Frame::Done(Some(text))),
            }
        }
        END_OF_MOTD | NO_MOTD | END_OF_NAMES | b"PONG" => Some(Frame::Done(None)),
        b"JOIN" | b"PART" | b"QUIT" | b"MODE" | b"NOTICE" => Some(Frame::Other),
        // Numeric replies; from 400 on they are errors.
        [b'0' | b'2' | b'3', _, _] => Some(Frame::Other),
        _ => None,
    }
}

fn contains(text: &[u8], words: &str) -> bool {
    memchr::memmem::find(text, words.as_bytes()).is_some()
}
