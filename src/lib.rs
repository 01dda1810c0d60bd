//! parlor: a chat server in one thread and one poll loop.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod chat;
pub mod connection;
pub mod directory;
pub mod hub;
pub mod lines;
pub mod logging;
pub mod options;
pub mod outbox;
pub mod protocol;
pub mod server;
pub mod timers;
pub mod turn;

pub use hub::Counters;
pub use options::{Listen, Options};
pub use server::{Address, Ended, Server, Stopper};
