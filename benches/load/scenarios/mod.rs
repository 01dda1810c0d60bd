//! The scenarios: what the clients do, and what is measured meanwhile.
//!
//! Each is a function from a [`Site`] (which server, for how long) and its own numbers to an
//! [`Outcome`](crate::measure::Outcome), or to the [`Fault`](crate::ledger::Fault) that was found. They share
//! [`gather`], which brings clients into rooms, and [`talk`], which lets them say numbered messages.

pub mod capacity;
pub mod chat;
pub mod churn;
pub mod gather;
pub mod idle;
pub mod requests;
pub mod slow;
pub mod talk;

use std::net::SocketAddr;
use std::time::Duration;

use crate::dialects::Dialect;
use crate::process::Process;

/// The server that a scenario runs against, and what holds for every scenario.
pub struct Site<'a> {
    pub dialect: &'a dyn Dialect,
    pub address: SocketAddr,
    /// The server's process, if it runs on this host and is known.
    pub process: Option<Process>,
    /// How long the load lasts, the warm-up (a sixth of it) included.
    pub duration: Duration,
    /// How long to wait for what does not come before it counts as lost.
    pub patience: Duration,
    /// Bytes of text in a message.
    pub text: usize,
    /// Told now and then how many seconds of the load are over.
    pub progress: &'a dyn Fn(f64),
}

impl Site<'_> {
    /// In nanoseconds.
    fn duration(&self) -> u64 {
        self.duration.as_nanos() as u64
    }

    /// In nanoseconds.
    fn patience(&self) -> u64 {
        self.patience.as_nanos() as u64
    }

    /// In nanoseconds.
    fn warm_up(&self) -> u64 {
        self.duration() / 6
    }
}
