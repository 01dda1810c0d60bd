//! The lists of a turn: what is new in each room, and what each client gets. Knows nothing of what is done with them.
//!
//! A list is a chain through one vector that all of them share, so that a turn allocates nothing for them and forgets
//! them all at once.

/// The end of a list.
pub const NONE: u32 = u32::MAX;

/// An entry in the list of a room or of a client: a range of the messages or, for a client, a reply.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub next: u32,
    /// The moment. For a range of messages, that is where it begins.
    pub at: u32,
    /// Where the range ends. For a reply: where the client's own message ends that came right after it; `at` if there
    /// is none, or if it is a part of the reply.
    pub end: u32,
    /// Where the reply stands, among the replies, with the message that is a part of it; empty for what comes from a room.
    pub reply_start: u32,
    pub reply_end: u32,
}

impl Piece {
    pub fn is_reply(&self) -> bool {
        self.reply_start < self.reply_end
    }
}

/// The ends of such a list.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    pub first: u32,
    pub last: u32,
}

pub const EMPTY: Chain = Chain { first: NONE, last: NONE };

/// Appends a piece to one of the lists in `pieces`.
pub fn append(chain: &mut Chain, pieces: &mut Vec<Piece>, piece: Piece) {
    let index = pieces.len() as u32;
    pieces.push(piece);
    match pieces.get_mut(chain.last as usize) {
        Some(last) => last.next = index,
        None => chain.first = index,
    }
    chain.last = index;
}
