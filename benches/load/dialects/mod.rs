//! What the load generator has to know of a protocol: how to log in, join, leave and send, and how to recognise what
//! comes back. One small file for each; a new server beside parlor is one more [`Dialect`].
//!
//! Clients and rooms come with a [`Name`]; what a protocol puts around it is the dialect's affair.

pub mod floor;
pub mod irc;
pub mod mqtt;
pub mod nats;
pub mod parlor;
pub mod redis;

use crate::names::Name;

/// One thing that the server says, as far as it matters here. Everything borrows from the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The reply to a login, a join, a leave, a request, and, where [`Dialect::answers_sends`], to a send; with the
    /// text that it quotes, where it quotes one.
    Done(Option<&'a [u8]>),
    /// A message of a room. The room and the author as the wire names them; not every protocol tells the author.
    Delivery { room: &'a [u8], author: Option<&'a [u8]>, text: &'a [u8] },
    /// The server wants to know whether the client is alive; the generator answers with [`Dialect::pong`] by itself.
    Ping,
    /// The server does not let this client in, for it has as many as it wants; its words.
    Full(&'a [u8]),
    /// The server ends the connection, and says why.
    Farewell(&'a [u8]),
    /// What the protocol says besides and no scenario waits for.
    Other,
}

/// The first frame of the input and its length in bytes; `None` while it is not complete; or why it is none.
pub type Parsed<'a> = Result<Option<(usize, Frame<'a>)>, String>;

/// A client's side of a chat protocol. All that it writes is appended to `out`.
pub trait Dialect: Sync {
    /// Logs the client in. Exactly one [`Frame::Done`] comes of it.
    fn login(&self, client: Name, out: &mut Vec<u8>);

    /// Joins the room. Exactly one [`Frame::Done`] comes of it.
    fn join(&self, room: Name, out: &mut Vec<u8>);

    /// Leaves the room. Exactly one [`Frame::Done`] comes of it.
    fn leave(&self, room: Name, out: &mut Vec<u8>);

    /// Sends a message to all who are in the room.
    fn send(&self, client: Name, room: Name, text: &[u8], out: &mut Vec<u8>);

    /// A request that carries a text and reaches nobody else. Exactly one [`Frame::Done`] comes of it, the last of
    /// what it causes.
    fn request(&self, client: Name, room: Name, text: &[u8], out: &mut Vec<u8>);

    /// The answer to [`Frame::Ping`].
    fn pong(&self, _out: &mut Vec<u8>) {}

    /// Takes the next frame from what has come. Strict: what is not exactly what the server should say is an error.
    fn parse<'a>(&self, input: &'a [u8]) -> Parsed<'a>;

    /// What the wire calls the room, as in [`Frame::Delivery`].
    fn room_name(&self, room: Name) -> Vec<u8>;

    /// What the wire calls the author of a delivery.
    fn author_name(&self, client: Name) -> Vec<u8> {
        client.bytes()
    }

    /// Whether each send gets a reply of its own.
    fn answers_sends(&self) -> bool;

    /// Whether the sender, where it is in the room, gets its own message.
    fn echoes(&self) -> bool {
        true
    }

    /// Whether all members of a room are promised one and the same order, or only each sender's own order.
    fn one_order(&self) -> bool {
        true
    }

    /// How many clients may connect at once: not more than the server's queue of connections holds.
    fn connect_at_once(&self) -> usize {
        200
    }

    /// Whether [`Dialect::request`] needs its client to be in the room.
    fn requests_need_room(&self) -> bool {
        false
    }
}

/// The first line of the input without its line end, and its length with it.
fn line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', input)?;
    let line = &input[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// `input` up to `mark`, and what follows the mark. The marks of all dialects stand behind a short name, so the search
/// for their first byte ends at once; `memmem` took a fifth of the generator's time to prepare itself.
fn cut<'a>(input: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memchr_iter(*mark.first()?, input).find(|&at| input[at..].starts_with(mark))?;
    Some((&input[..at], &input[at + mark.len()..]))
}

/// An unexpected line, for people to read.
fn strange(line: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&line[..line.len().min(300)]);
    format!("not understood: {}", shown.escape_debug())
}
