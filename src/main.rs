//! The binary: options, logger, server, exit status; nothing else.

#![forbid(unsafe_code)]

fn main() {}
