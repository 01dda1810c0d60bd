//! What happens inside a turn, in the order in which it happens: what the hub reads and writes, which the made-up sockets
//! note here, and what it does with it, which it tells its observer. One list for each thread, so that simulations can
//! run side by side.

use std::cell::RefCell;

use parlor::chat::ClientId;
use parlor::hub::Notice;
use parlor::transport::End;

/// How the simulation tells connections apart: in the order in which they came. The hub's own numbers are used again.
pub type Who = usize;

#[derive(Clone, Debug)]
pub enum Entry {
    /// The hub has carried out the next line of a client that is no blank line.
    Request(ClientId),
    /// A client has left: from here on it is in no room and its nickname is free.
    Gone(ClientId),
    Read(Who, Vec<u8>),
    /// The hub has read the end of the stream.
    ReadEnd(Who, End),
    ReadFailed(Who),
    /// Something has come over WebSocket, for the hub or not.
    #[cfg(feature = "web")]
    Alive(Who),
    /// The hub has asked for a sign of life.
    #[cfg(feature = "web")]
    Pinged(Who),
    Wrote(Who, Vec<u8>),
    WriteFailed(Who),
    /// The kernel takes no more.
    Full(Who),
    ShutDownFailed(Who),
    /// The hub has let go of the socket.
    Closed(Who),
}

thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

pub fn note(entry: Entry) {
    ENTRIES.with_borrow_mut(|entries| entries.push(entry));
}

/// What has been noted since the last time.
pub fn take() -> Vec<Entry> {
    ENTRIES.take()
}

/// What a hub tells its observer.
pub fn observe(notice: Notice) {
    note(match notice {
        Notice::Executed(client) => Entry::Request(client),
        Notice::Left(client) => Entry::Gone(client),
    });
}
