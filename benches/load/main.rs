//! The load bench: an end-to-end load generator for chat servers, itself one thread and one `mio` loop.
//!
//! `cargo bench --bench load -- --help` says what it can do. How it does it, in reading order:
//!
//! - [`options`] and [`plan`]: what was asked for, and which scenarios there are with which numbers;
//! - [`run`] and [`progress`]: scenario by scenario and round by round, the servers taking turns;
//! - [`servers`] and [`process`]: starting a server as a child process, its CPU time and memory; [`floor`] is one of them;
//!   [`cluster`]: several that are one; [`certificate`] is for those that speak TLS, [`proxies`] end it
//!   in front of parlor;
//! - [`scenarios`]: what the clients do;
//! - [`swarm`]: the clients' connections, and the loop; [`transport`]: TCP, Unix sockets, WebSocket, TLS below it;
//! - [`dialects`] and [`names`]: what each protocol looks like on the wire;
//! - [`ledger`] and [`message`]: the check of every single delivery; [`fault`]: what can go wrong;
//! - [`measure`], [`host`], [`date`] and [`report`]: figures, and how they are shown and compared.
//!
//! It knows of parlor what is on the wire and on its command line, and uses nothing of its library.

mod certificate;
mod cluster;
mod date;
mod dialects;
mod fault;
mod floor;
mod host;
mod ledger;
mod measure;
mod message;
mod names;
mod options;
mod plan;
mod process;
mod progress;
mod proxies;
mod report;
mod run;
mod scenarios;
mod servers;
mod swarm;
mod transport;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use options::{Call, Options, Target};
use plan::Plan;
use process::Cpus;
use report::Paper;
use report::compare::Results;
use run::{Chapter, Place};
use servers::{Kind, Launch};

fn main() -> ExitCode {
    match options::parse(std::env::args().skip(1)) {
        Ok(Call::Help(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Call::Floor(address)) => complain(floor::serve(address).map(|()| true), ExitCode::FAILURE),
        Ok(Call::Compare(before, after)) => complain(compare(&before, &after), ExitCode::FAILURE),
        Ok(Call::Run(options)) => complain(bench(&options), ExitCode::FAILURE),
        Err(what) => complain(Err(io::Error::other(what)), ExitCode::from(2)),
    }
}

/// Success if there was neither an error nor a fault.
fn complain(result: io::Result<bool>, failure: ExitCode) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            failure
        }
    }
}

/// Lays two files of results beside each other. Whether they have anything in common.
fn compare(before: &Path, after: &Path) -> io::Result<bool> {
    let (before, after) = (Results::read(before)?, Results::read(after)?);
    io::stdout().write_all(report::compare::print(&before, &after).as_bytes())?;
    Ok(!report::compare::compare(&before, &after).lines.is_empty())
}

/// Runs what was asked for and reports it. Whether parlor got through all of it; other servers may fail.
fn bench(options: &Options) -> io::Result<bool> {
    let before = options.compare.as_deref().map(Results::read).transpose()?;
    // A run can take an hour: that its results cannot be written is told before it.
    let json_to_stdout = options.json.as_deref() == Some(Path::new("-"));
    for file in options.html.iter().chain(options.json.iter().filter(|_| !json_to_stdout)) {
        named(file, fs::File::options().append(true).create(true).open(file))?;
    }
    let place = place(options)?;
    let plan =
        |scenario: &&'static plan::Scenario| Plan::new(scenario, &options.sizes, place.launch.descriptors);
    let plans: Vec<Plan> = options.scenarios.iter().map(plan).collect();
    let kinds = installed(options, &place.launch)?;
    if options.smoke {
        eprintln!("a smoke run: it shows that everything works, its figures mean nothing");
    }
    let facts = host::facts(&kinds, &place);
    // Standard output belongs to the results, if they are to go there.
    let paper = Paper {
        color: !json_to_stdout && io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let say = |text: &str| match json_to_stdout {
        true => eprint!("{text}"),
        // Who reads it may have seen enough; the run is not over for that.
        false => drop(io::stdout().write_all(text.as_bytes())),
    };
    say(&report::table::facts(&facts));
    let tell = |chapter: &Chapter| say(&report::table::chapter(chapter, paper));
    let chapters = run::run(options, &plans, &kinds, &place, &tell).map_err(io::Error::other)?;
    say(&report::table::legend(&chapters));

    let results = report::json::json(&chapters, &facts);
    let now = Results::from_json(&results).map_err(io::Error::other)?;
    if let Some(before) = &before {
        say(&report::compare::print(before, &now));
    }
    match &options.json {
        Some(_) if json_to_stdout => io::stdout().write_all(format!("{results:#}\n").as_bytes())?,
        Some(file) => to_file(file, format!("{results:#}\n"))?,
        None => {}
    }
    if let Some(file) = &options.html {
        let comparison = before.as_ref().map(|before| report::compare::compare(before, &now));
        to_file(file, report::html::html(&chapters, &facts, &command(), comparison.as_ref()))?;
        say(&format!("\nthe report is in {}\n", file.display()));
    }
    Ok(run::parlor_came_through(&chapters))
}

/// What everything runs on. An error if there is nobody at the address that was given.
fn place(options: &Options) -> io::Result<Place> {
    if let Target::Running(address, _) = &options.target {
        let named = |error| io::Error::other(format!("cannot connect to {address}: {error}"));
        address.answers().map_err(named)?;
    }
    for source in &options.sources {
        let named = |error| io::Error::other(format!("--source {source}: {error}"));
        TcpListener::bind((*source, 0)).map_err(named)?;
    }
    let launch = Launch {
        cpus: if options.pin { Cpus::choose().filter(|cpus| cpus.pin_self()) } else { None },
        descriptors: process::raise_descriptors(),
        via: options.via,
        binary: options.binary.clone(),
        before: options.before.clone(),
        extra: options.parlor.clone(),
        engine: options.engine.clone(),
    };
    Ok(Place { launch, parlor_runs_already: matches!(options.target, Target::Running(..)) })
}

/// parlor, and those of the others that are there.
fn installed(options: &Options, launch: &Launch) -> io::Result<Vec<Kind>> {
    if matches!(options.target, Target::Own) {
        Kind::Parlor
            .is_there(launch)
            .map_err(|what| io::Error::other(format!("{what}; give --binary or --connect")))?;
    }
    let mut kinds = vec![Kind::Parlor];
    for kind in &options.against {
        match kind.is_there(launch) {
            Ok(()) => kinds.push(*kind),
            Err(what) if matches!(kind, Kind::Before | Kind::Nodes(_)) => return Err(io::Error::other(what)),
            Err(how_to_install) => eprintln!("{how_to_install}"),
        }
    }
    Ok(kinds)
}

/// What this run was called with, as one would type it.
fn command() -> String {
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let arguments: Vec<String> = arguments.map(|argument| cluster::without_password(&argument)).collect();
    let nodes = arguments.iter().any(|argument| argument.starts_with("--nodes"));
    let features = if nodes { "--features cluster " } else { "" };
    format!("cargo bench {features}--bench load -- {}", arguments.join(" "))
        .trim_end_matches([' ', '-'])
        .to_owned()
}

fn to_file(file: &Path, text: String) -> io::Result<()> {
    named(file, fs::write(file, text))
}

/// An error with the name of the file.
fn named<T>(file: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
}
