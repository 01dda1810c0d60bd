//! Runs what was planned: scenario by scenario and round by round, the servers taking turns, so that whatever changes on
//! the host meets them all alike.

use std::time::Instant;

use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::measure::Outcome;
use crate::options::{Options, Target};
use crate::plan::{Plan, start};
use crate::process::{Process, Watched};
use crate::progress::{Estimate, Progress};
use crate::proxies::Proxied;
use crate::scenarios::{Live, Site};
use crate::servers::{Kind, Launch, Server};
use crate::transport::{Endpoint, Sources, Via};

/// One scenario, one server, all rounds.
pub struct Series {
    pub kind: Kind,
    pub rounds: Vec<Result<Outcome, Fault>>,
}

/// One scenario, all servers; the first is the one that the others are compared with.
pub struct Chapter {
    pub plan: Plan,
    pub series: Vec<Series>,
}

/// What everything runs on.
pub struct Place {
    pub launch: Launch,
    pub parlor_runs_already: bool,
}

/// Runs everything. `kinds` are those that are there, the one to compare with first. Each chapter is handed to `tell`
/// when it is over. An error is a host that was not quiet, where that was asked for.
pub fn run(
    options: &Options,
    plans: &[Plan],
    kinds: &[Kind],
    place: &Place,
    tell: &dyn Fn(&Chapter),
) -> Result<Vec<Chapter>, String> {
    let progress = Progress::new();
    let seconds = options.duration.as_secs_f64();
    let usual: Vec<f64> = plans.iter().map(|plan| plan.usual_seconds(seconds)).collect();
    let mut estimate = Estimate::new(&usual, kinds.len(), options.rounds);
    let mut chapters = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let series = kinds.iter().map(|kind| Series { kind: *kind, rounds: Vec::new() });
        let mut chapter = Chapter { plan: plan.clone(), series: series.collect() };
        for round in 0..options.rounds {
            for (server, series) in chapter.series.iter_mut().enumerate() {
                let mut what = format!("{} · {}", plan.name, series.kind.name());
                if options.rounds > 1 {
                    what += &format!(" · round {} of {}", round + 1, options.rounds);
                }
                progress.begin(what, estimate.left(number, server, round));
                let begin = Instant::now();
                let outcome = once(options, plan, series.kind, place, &|live| progress.live(live));
                estimate.learn(number, server, round, begin.elapsed().as_secs_f64());
                let noise = outcome.as_ref().ok().and_then(|outcome| outcome.disturbed.clone());
                if let Err(fault) = &outcome {
                    progress.above(|| eprintln!("{} · {}: {fault}", plan.name, series.kind.name()));
                }
                series.rounds.push(outcome);
                if let Some(noise) = noise.filter(|_| options.strict) {
                    progress.end();
                    tell(&chapter);
                    return Err(format!("{}: {noise} (--strict)", plan.name));
                }
            }
        }
        progress.above(|| tell(&chapter));
        chapters.push(chapter);
    }
    progress.end();
    Ok(chapters)
}

/// Whether parlor got through everything. That another server did not is no failure of the run.
pub fn parlor_came_through(chapters: &[Chapter]) -> bool {
    let all = chapters.iter().flat_map(|chapter| &chapter.series);
    all.filter(|series| series.kind.is_own()).flat_map(|series| &series.rounds).all(Result::is_ok)
}

/// One scenario, one server, one round.
fn once(
    options: &Options,
    plan: &Plan,
    kind: Kind,
    place: &Place,
    progress: &dyn Fn(Live),
) -> Result<Outcome, Fault> {
    if !plan.needs_server() {
        return start(kind, &place.launch);
    }
    match (&options.target, kind) {
        (Target::Running(address, pid), Kind::Parlor) => {
            // From everywhere that the user allows.
            let sources = Sources::towards(address, &options.sources);
            let endpoint = Endpoint { address, others: &[], via: place.launch.via, sources: &sources };
            drive(options, plan, kind, endpoint, &Watched::one(pid.map(Process)), progress)
        }
        (_, Kind::Nodes(count)) => {
            let started = Cluster::start(count, &place.launch);
            let nodes = started.map_err(|error| Fault::Host(error.to_string()))?;
            let Some((address, others)) = nodes.addresses.split_first() else {
                return Err(Fault::Host("there is no node".to_owned()));
            };
            let sources = Sources::towards(address, &options.sources);
            let endpoint = Endpoint { address, others, via: place.launch.via, sources: &sources };
            let outcome = drive(options, plan, kind, endpoint, &nodes.watched, progress)?;
            Ok(outcome.noting(nodes.note()))
        }
        _ if kind.is_proxy() => {
            let started = Proxied::start(kind, &place.launch);
            let Proxied { proxy, watched, .. } = &started.map_err(|error| Fault::Host(error.to_string()))?;
            let (address, sources) = (&proxy.address, Sources::towards(&proxy.address, &[]));
            let via = kind.via(place.launch.via);
            drive(
                options,
                plan,
                kind,
                Endpoint { address, others: &[], via, sources: &sources },
                watched,
                progress,
            )
        }
        _ => {
            let started = Server::start(kind, &place.launch);
            let server = started.map_err(|error| Fault::Host(error.to_string()))?;
            let sources = Sources::towards(&server.address, &[]);
            let via: Via = kind.via(place.launch.via);
            let endpoint = Endpoint { address: &server.address, others: &[], via, sources: &sources };
            drive(options, plan, kind, endpoint, &Watched::one(Some(server.process())), progress)
        }
    }
}

/// The same against a server that is there.
fn drive(
    options: &Options,
    plan: &Plan,
    kind: Kind,
    endpoint: Endpoint<'_>,
    watched: &Watched,
    progress: &dyn Fn(Live),
) -> Result<Outcome, Fault> {
    let dialect = kind.dialect();
    let text = plan.text.min(kind.longest_text());
    let (duration, patience) = (options.duration, options.patience);
    let site = Site { dialect: &*dialect, endpoint, watched, duration, patience, text, progress };
    let outcome = plan.run(&site)?;
    let shorter = format!("only {text} bytes of text fit a message");
    Ok(outcome.noting((text < plan.text).then_some(shorter)))
}
