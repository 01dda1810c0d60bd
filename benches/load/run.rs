//! Runs what was planned: scenario by scenario and round by round, the servers taking turns, so that whatever changes on
//! the host meets them all alike.

use std::cell::Cell;

use indicatif::{ProgressBar, ProgressStyle};

use crate::ledger::Fault;
use crate::measure::Outcome;
use crate::options::{Options, Target};
use crate::plan::{Plan, start};
use crate::process::{Cpus, Process};
use crate::scenarios::Site;
use crate::servers::{Kind, Server};

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

/// What everything ran on.
pub struct Place {
    pub cpus: Option<Cpus>,
    pub descriptors: usize,
    pub parlor_runs_already: bool,
}

/// Runs everything. `kinds` are those that are there, the one to compare with first.
pub fn run(options: &Options, plans: &[Plan], kinds: &[Kind], place: &Place) -> Vec<Chapter> {
    let bar = progress_bar(options, plans, kinds.len());
    let mut chapters = Vec::new();
    for plan in plans {
        let mut series: Vec<Series> =
            kinds.iter().map(|kind| Series { kind: *kind, rounds: Vec::new() }).collect();
        for round in 0..options.rounds {
            for series in &mut series {
                let what = format!("{} · {}", plan.name, series.kind.name());
                let what = if options.rounds > 1 { format!("{what} · round {}", round + 1) } else { what };
                if bar.is_hidden() {
                    eprintln!("{what}");
                }
                bar.set_message(what);
                let begin = bar.position();
                let whole = (options.duration.as_secs_f64() * plan.weight() * 1e3) as u64;
                let furthest = Cell::new(begin);
                let progress = |seconds: f64| {
                    let position = begin + ((seconds * 1e3) as u64).min(whole);
                    if position > furthest.get() + 100 {
                        furthest.set(position);
                        bar.set_position(position);
                    }
                };
                let outcome = once(options, plan, series.kind, place, &progress);
                if let Err(fault) = &outcome {
                    bar.suspend(|| eprintln!("{} · {}: {fault}", plan.name, series.kind.name()));
                }
                series.rounds.push(outcome);
                bar.set_position(begin + whole);
            }
        }
        chapters.push(Chapter { plan: plan.clone(), series });
    }
    bar.finish_and_clear();
    chapters
}

/// One scenario, one server, one round.
fn once(
    options: &Options,
    plan: &Plan,
    kind: Kind,
    place: &Place,
    progress: &dyn Fn(f64),
) -> Result<Outcome, Fault> {
    if !plan.needs_server() {
        return start(kind, place.descriptors, &options.parlor);
    }
    let broken = |error: std::io::Error| Fault::Broken(error.to_string());
    let running = match (&options.target, kind) {
        (Target::Running(address, pid), Kind::Parlor) => Some((*address, pid.map(Process))),
        _ => None,
    };
    let server = match running {
        Some(_) => None,
        None => Some(Server::start(kind, place.cpus, place.descriptors, &options.parlor).map_err(broken)?),
    };
    let own = server.as_ref().map(|server| (server.address, Some(server.process())));
    let (address, process) = running.or(own).expect("one of the two");
    let dialect = kind.dialect();
    let text = plan.text.min(kind.longest_text());
    let (duration, patience) = (options.duration, options.patience);
    let site = Site { dialect: &*dialect, address, process, duration, patience, text, progress };
    let mut outcome = plan.run(&site)?;
    if text < plan.text {
        outcome.notes.push(format!("{}: only {text} bytes of text fit a message", kind.name()));
    }
    Ok(outcome)
}

/// Shown on a terminal only. Its unit is a millisecond of load.
fn progress_bar(options: &Options, plans: &[Plan], kinds: usize) -> ProgressBar {
    let seconds: f64 = plans.iter().map(|plan| plan.weight() * options.duration.as_secs_f64()).sum();
    let bar = ProgressBar::new((seconds * 1e3) as u64 * (kinds * options.rounds) as u64);
    let style =
        ProgressStyle::with_template("{bar:32.cyan/dim} {percent:>3} %  {elapsed} gone, {eta} to go  {msg}");
    bar.set_style(style.expect("the template is valid").progress_chars("━━─"));
    bar
}
