//! Black-box tests of the binary: the command line, where it listens, its signals, its log and its limits.

#[path = "../common/process.rs"]
mod process;

mod accept;
mod limits;
mod listen;
mod log;
mod notify;
mod signals;
mod strace;
mod usage;
