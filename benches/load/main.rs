//! The load bench: an end-to-end load generator for chat servers, itself one thread and one `mio` loop.
//!
//! `cargo bench --bench load -- --help` says what it can do. How it does it, in reading order:
//!
//! - [`options`] and [`plan`]: what was asked for, and which scenarios there are with which numbers;
//! - [`run`]: scenario by scenario and round by round, the servers taking turns;
//! - [`servers`] and [`process`]: starting a server as a child process, its CPU time and memory; [`floor`] is one of them;
//! - [`scenarios`]: what the clients do;
//! - [`swarm`]: the clients' connections, and the loop;
//! - [`dialects`]: what each protocol looks like on the wire;
//! - [`ledger`] and [`message`]: the check of every single delivery;
//! - [`measure`], [`host`] and [`report`]: figures, and how they are shown.

mod dialects;
mod floor;
mod host;
mod ledger;
mod measure;
mod message;
mod options;
mod plan;
mod process;
mod report;
mod run;
mod scenarios;
mod servers;
mod swarm;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use options::{Call, Options, Target};
use plan::Plan;
use process::Cpus;
use run::{Chapter, Place};
use servers::Kind;

fn main() -> ExitCode {
    match options::parse(std::env::args().skip(1)) {
        Ok(Call::Help(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Call::Floor(address)) => complain(floor::serve(address).map(|()| true), ExitCode::FAILURE),
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

/// Runs what was asked for and reports it. Whether every delivery was as it should be.
fn bench(options: &Options) -> io::Result<bool> {
    let cpus = if options.pin { Cpus::choose().filter(|cpus| cpus.pin_self()) } else { None };
    let parlor_runs_already = matches!(options.target, Target::Running(..));
    let place = Place { cpus, descriptors: process::raise_descriptors(), parlor_runs_already };
    let plans: Vec<Plan> =
        options.scenarios.iter().map(|name| Plan::new(name, &options.sizes, place.descriptors)).collect();
    let kinds = installed(&options.against);
    if options.smoke {
        eprintln!("a smoke run: it shows that everything works, its figures mean nothing");
    }
    let chapters = run::run(options, &plans, &kinds, &place);
    report(options, &chapters, &host::facts(&kinds, &place))?;
    Ok(chapters
        .iter()
        .flat_map(|chapter| &chapter.series)
        .flat_map(|series| &series.rounds)
        .all(Result::is_ok))
}

/// parlor, and those of the others that are there.
fn installed(against: &[Kind]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Parlor];
    for kind in against {
        match kind.program() {
            Ok(_) => kinds.push(*kind),
            Err(how_to_install) => eprintln!("{how_to_install}"),
        }
    }
    kinds
}

fn report(options: &Options, chapters: &[Chapter], facts: &host::Facts) -> io::Result<()> {
    let to_file = |file: &Path, text: String| {
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", file.display()));
        fs::write(file, text).map_err(named)
    };
    let json_to_stdout = options.json.as_deref() == Some(Path::new("-"));
    if let Some(file) = &options.json {
        let text = format!("{:#}\n", report::json::json(chapters, facts));
        if json_to_stdout { io::stdout().write_all(text.as_bytes())? } else { to_file(file, text)? }
    }
    if let Some(file) = &options.html {
        let arguments: Vec<String> =
            std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let command = format!("cargo bench --bench load -- {}", arguments.join(" "));
        to_file(file, report::html::html(chapters, facts, command.trim_end_matches([' ', '-'])))?;
    }
    if !json_to_stdout {
        io::stdout().write_all(report::table::table(chapters, facts).as_bytes())?;
    }
    Ok(())
}
