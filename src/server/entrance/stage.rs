//! What a connection has to do before it is a client, stage by stage, and how each is gone on with. Knows nothing of the
//! others that wait, nor of the poll.

use super::Entrant;
use crate::options::Spoken;
#[cfg(feature = "tls")]
use crate::protocol::{DisconnectReason, Foreign};
use crate::proxy::{self, Header};
#[cfg(feature = "tls")]
use crate::server::socket::Socket;
#[cfg(feature = "tls")]
use crate::tls::Progress;
use crate::transport::{Peer, Received, Transport};

/// What a connection has to do before it is a client.
#[derive(Debug)]
pub enum Stage {
    /// Send the PROXY header, of which so much has come.
    Proxy(Vec<u8>),
    /// Do its part of the handshake.
    #[cfg(feature = "tls")]
    Handshake,
    /// Go: its handshake has failed. It is told so, and so much of what it still sends has been thrown away: unread, it
    /// would turn the end of the connection into a reset, and that can destroy the alert.
    #[cfg(feature = "tls")]
    Leaving(usize),
}

/// How many kinds of [`Stage`] there are.
pub const STAGES: usize = 3;

/// One that is leaving may send so much.
#[cfg(feature = "tls")]
const DISCARDED_BYTES_MAX: usize = 64 << 10;

/// What became of a connection that was looked at.
#[derive(Debug)]
pub enum Step {
    /// It waits for an event.
    Wait,
    /// There may be more to do now.
    #[cfg(feature = "tls")]
    GoOn,
    /// The stage is done.
    Done,
    /// It is to be told why it cannot stay, and closed.
    #[cfg(feature = "tls")]
    Refuse,
    /// It is leaving, for a reason that is worth a line in the log.
    #[cfg(feature = "tls")]
    Leave(String),
    /// It is to be closed, for a reason that is worth a line in the log.
    Close(&'static str),
    /// It has gone without having said anything.
    Gone,
}

impl Stage {
    /// The first that a connection has to go through, if there is one.
    pub fn first(behind_proxy: bool, spoken: Spoken) -> Option<Stage> {
        if behind_proxy { Some(Stage::Proxy(Vec::new())) } else { Stage::after_proxy(spoken) }
    }

    /// The next one.
    pub fn next(&self, spoken: Spoken) -> Option<Stage> {
        match self {
            Stage::Proxy(_) => Stage::after_proxy(spoken),
            #[cfg(feature = "tls")]
            Stage::Handshake | Stage::Leaving(_) => None,
        }
    }

    fn after_proxy(spoken: Spoken) -> Option<Stage> {
        #[cfg(feature = "tls")]
        if spoken.is_encrypted() {
            return Some(Stage::Handshake);
        }
        let _ = spoken;
        None
    }

    /// Its place in a table of [`STAGES`].
    pub fn kind(&self) -> usize {
        match self {
            Stage::Proxy(_) => 0,
            #[cfg(feature = "tls")]
            Stage::Handshake => 1,
            #[cfg(feature = "tls")]
            Stage::Leaving(_) => 2,
        }
    }

    /// What is said of one that takes too long, and of one that has to go for others.
    pub fn complaint(&self) -> [Option<&'static str>; 2] {
        match self {
            Stage::Proxy(_) => {
                [Some("no PROXY header came in time"), Some("too many wait for their PROXY header")]
            }
            #[cfg(feature = "tls")]
            Stage::Handshake => {
                [Some("its TLS handshake took too long"), Some("too many are in their TLS handshake")]
            }
            #[cfg(feature = "tls")]
            Stage::Leaving(_) => [None, None],
        }
    }

    /// Whether a step of it is so much work that a turn does few of them.
    pub fn is_work(&self) -> bool {
        match self {
            Stage::Proxy(_) => false,
            #[cfg(feature = "tls")]
            Stage::Handshake => true,
            #[cfg(feature = "tls")]
            Stage::Leaving(_) => false,
        }
    }

    /// Goes on with it as far as it goes now. `buffer` is for what is read.
    pub fn step(&mut self, entrant: &mut Entrant, buffer: &mut [u8]) -> Step {
        match self {
            Stage::Proxy(header) => read_header(header, entrant, buffer),
            #[cfg(feature = "tls")]
            Stage::Handshake => shake_hands(entrant),
            #[cfg(feature = "tls")]
            Stage::Leaving(discarded) => leave(discarded, &mut entrant.socket, buffer),
        }
    }
}

#[cfg(feature = "tls")]
fn shake_hands(entrant: &mut Entrant) -> Step {
    let Socket::Tls(tls) = &mut entrant.socket else { return Step::Gone };
    match tls.handshake() {
        Progress::Wait => Step::Wait,
        Progress::GoOn => Step::GoOn,
        Progress::Done => Step::Done,
        Progress::NoTls => {
            entrant.reason = Some(DisconnectReason::WrongProtocol(Foreign::NoTls));
            Step::Refuse
        }
        Progress::Gone => Step::Gone,
        Progress::Failed(why) => Step::Leave(format!("its TLS handshake failed: {why}")),
    }
}

/// Sends what is held and closes the sending side, then reads to the end.
#[cfg(feature = "tls")]
fn leave(discarded: &mut usize, socket: &mut Socket, buffer: &mut [u8]) -> Step {
    match socket.finish(None) {
        Ok(true) => {}
        Ok(false) => return Step::Wait,
        Err(_) => return Step::Gone,
    }
    while *discarded < DISCARDED_BYTES_MAX {
        match socket.receive(buffer) {
            Ok(Received::Bytes { drained: true, .. } | Received::Nothing) => return Step::Wait,
            Ok(Received::Bytes { count, .. }) => *discarded += count,
            Ok(Received::End(_)) | Err(_) => break,
        }
    }
    Step::Gone
}

/// Reads until the header is whole or cannot become one. What came behind it is put back.
fn read_header(header: &mut Vec<u8>, entrant: &mut Entrant, buffer: &mut [u8]) -> Step {
    loop {
        // No more than a header may have: what is behind it is not for this stage.
        let room = proxy::HEADER_BYTES_MAX.saturating_sub(header.len());
        let room = buffer.get_mut(..room).unwrap_or_default();
        debug_assert!(!room.is_empty(), "so much is a header, or is none");
        let (count, drained) = match entrant.socket.plain_mut().receive(room) {
            Ok(Received::Bytes { count, drained }) => (count, drained),
            Ok(Received::Nothing) => return Step::Wait,
            Ok(Received::End(_)) if header.is_empty() => return Step::Gone,
            Ok(Received::End(_)) => return Step::Close("it ended within its PROXY header"),
            Err(_) => return Step::Gone,
        };
        header.extend_from_slice(room.get(..count).unwrap_or_default());
        match proxy::parse(header) {
            Header::Complete { length, source } => {
                entrant.socket.put_back(header.get(length..).unwrap_or_default());
                entrant.peer = source.map_or(entrant.peer, Peer::from);
                return Step::Done;
            }
            Header::Invalid => return Step::Close("it began with no PROXY header"),
            Header::Incomplete if drained => return Step::Wait,
            Header::Incomplete => {}
        }
    }
}
