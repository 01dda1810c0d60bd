//! Who checks the checker? The load bench claims to notice every delivery that is lost, doubled, out of order or
//! garbled, to take a server's words for what they are, and to speak over several transports. Here it drives stand-ins
//! for servers, written in the plainest way, which misbehave or refuse on purpose; and the real one.

#![allow(dead_code)] // The bench has more than is needed here.

#[path = "../../benches/load/certificate.rs"]
mod certificate;
#[path = "../../benches/load/cluster.rs"]
mod cluster;
#[path = "../../benches/load/date.rs"]
mod date;
#[path = "../../benches/load/dialects/mod.rs"]
mod dialects;
#[path = "../../benches/load/fault.rs"]
mod fault;
#[path = "../../benches/load/floor.rs"]
mod floor;
#[path = "../../benches/load/host.rs"]
mod host;
#[path = "../../benches/load/ledger.rs"]
mod ledger;
#[path = "../../benches/load/measure.rs"]
mod measure;
#[path = "../../benches/load/message.rs"]
mod message;
#[path = "../../benches/load/names.rs"]
mod names;
#[path = "../../benches/load/options.rs"]
mod options;
#[path = "../../benches/load/plan.rs"]
mod plan;
#[path = "../../benches/load/process.rs"]
mod process;
#[path = "../../benches/load/progress.rs"]
mod progress;
#[path = "../../benches/load/proxies.rs"]
mod proxies;
#[path = "../../benches/load/report/mod.rs"]
mod report;
#[path = "../../benches/load/run.rs"]
mod run;
#[path = "../../benches/load/scenarios/mod.rs"]
mod scenarios;
#[path = "../../benches/load/servers.rs"]
mod servers;
#[path = "../../benches/load/swarm.rs"]
mod swarm;
#[path = "../../benches/load/transport/mod.rs"]
mod transport;

mod answers;
mod checks;
mod command_line;
mod frames;
mod reports;
mod stand_in;
#[cfg(feature = "tls")]
mod tls;
mod transports;
mod wire;

use std::time::Duration;

use scenarios::Site;
use transport::{Address, Endpoint, Sources, Via};

/// The longest that anything may take; what is waited for comes much sooner.
const DEADLINE: Duration = Duration::from_secs(60);

/// A site for as long as the test's process lives.
fn site(address: Address, via: Via, sources: Sources, duration: Duration) -> Site<'static> {
    let address: &'static Address = Box::leak(Box::new(address));
    let endpoint = Endpoint { address, others: &[], via, sources: Box::leak(Box::new(sources)) };
    let dialect = &dialects::parlor::Parlor;
    let watched = Box::leak(Box::default());
    Site { dialect, endpoint, watched, duration, patience: DEADLINE, text: 64, progress: &|_| {} }
}

/// The value of the figure `name`.
fn figure(outcome: &measure::Outcome, name: &str) -> f64 {
    let figure = outcome.figures.iter().find(|figure| figure.name == name);
    figure.unwrap_or_else(|| panic!("no figure {name} in {outcome:?}")).value
}

/// One over TCP, from wherever the bench would connect from.
fn usual(address: std::net::SocketAddr, duration: Duration) -> Site<'static> {
    let address = Address::Tcp(address);
    let sources = Sources::towards(&address, &[]);
    site(address, Via::Tcp, sources, duration)
}
