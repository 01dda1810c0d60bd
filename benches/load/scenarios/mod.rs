//! The scenarios: what the clients do, and what is measured meanwhile.
//!
//! Each is a function from a [`Site`] (which server, for how long) and its own numbers to an
//! [`Outcome`](crate::measure::Outcome), or to the [`Fault`](crate::fault::Fault) that was found. They share
//! [`gather`], which brings clients into rooms, and [`talk`], which lets them say numbered messages.
//!
//! That a server lets in no more clients is no fault but an answer: what can be measured with those that are in is
//! measured, and a note tells it.

pub mod capacity;
pub mod chat;
pub mod churn;
pub mod flood;
pub mod gather;
pub mod idle;
pub mod requests;
pub mod slow;
pub mod talk;

use std::time::Duration;

use crate::dialects::Dialect;
use crate::fault::Fault;
use crate::measure::Meter;
use crate::process::Watched;
use crate::swarm::Swarm;
use crate::transport::Endpoint;

/// The server that a scenario runs against, and what holds for every scenario.
pub struct Site<'a> {
    pub dialect: &'a dyn Dialect,
    pub endpoint: Endpoint<'a>,
    /// The server's processes, as far as they run on this host and are known.
    pub watched: &'a Watched,
    /// How long the load lasts, the warm-up (a sixth of it) included.
    pub duration: Duration,
    /// How long to wait for what does not come before it counts as lost.
    pub patience: Duration,
    /// Bytes of text in a message.
    pub text: usize,
    /// Told some times a second how things stand.
    pub progress: &'a dyn Fn(Live),
}

/// How things stand while a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Live {
    /// So many clients of so many are in.
    Gathering { there: usize, all: usize },
    /// Units (deliveries, requests, cycles) in the last second or so, and their p99 so far in milliseconds.
    Load { rate: f64, p99: f64 },
    /// Nothing is to be seen.
    Silence,
}

impl<'a> Site<'a> {
    fn swarm(&self) -> Result<Swarm<'a>, Fault> {
        Swarm::new(self.dialect, self.endpoint)
    }

    /// Takes a sample if it is time, and says how things stand.
    fn tick(&self, meter: &mut Meter, swarm: &Swarm<'_>) {
        if meter.tick(swarm.now(), swarm.waited()) {
            (self.progress)(Live::Load { rate: meter.rate(), p99: meter.p99() });
        }
    }

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
