//! parlor: a chat server in one thread and one poll loop.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod chat;
pub mod directory;
pub mod lines;
pub mod options;
pub mod protocol;
