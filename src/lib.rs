//! parlor: a chat server in one thread and one poll loop.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod logging;
pub mod options;
