//! What happens inside a turn, in the order in which it happens: what the hub reads and writes, which the made-up sockets
//! note here, and what it does with it, which it says in its log at level trace. One list for each thread, so that
//! simulations can run side by side.

use std::cell::RefCell;

use log::{Level, LevelFilter, Log, Metadata, Record};
use parlor::chat::ClientId;

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
    ReadEnd(Who),
    ReadFailed(Who),
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

/// Begins to listen to the log.
pub fn listen() {
    if log::set_logger(&Listener).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
    take();
}

struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("parlor")
    }

    fn log(&self, record: &Record) {
        // The lines of other levels are put together too: that must not fail either.
        let line = record.args().to_string();
        if record.level() != Level::Trace {
            return;
        }
        let Some((client, what)) = line.strip_prefix("client ").and_then(|line| line.split_once(": ")) else {
            return;
        };
        let client = client.parse().unwrap();
        if what.starts_with("request") {
            note(Entry::Request(client));
        } else if what.starts_with("gone") {
            note(Entry::Gone(client));
        }
    }

    fn flush(&self) {}
}
