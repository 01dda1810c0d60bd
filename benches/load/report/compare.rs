//! Two results beside each other: what has a change changed?
//!
//! A verdict is given only where the rounds allow one. Of both results the median over the rounds counts, and half the
//! distance between the least and the most is how far it may be off; both together (as the root of their squares) are
//! how far the ratio may be off. Two figures are told apart if the ratio is further from 1 than that and no round of
//! the one lies among those of the other. Knows nothing of servers; it reads what [`super::json`] writes.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use serde_json::Value;

use super::{median, show};

/// Fewer rounds tell nothing of how much they differ.
const FEWEST_ROUNDS: usize = 3;

/// What `--json` wrote, as far as it is compared.
pub struct Results {
    /// Where they come from, for people.
    pub name: String,
    date: String,
    /// What the figures depend on beside the program: CPU, kernel, and so on.
    host: Vec<(String, String)>,
    scenarios: Vec<Scenario>,
}

struct Scenario {
    name: String,
    about: String,
    servers: Vec<Server>,
}

struct Server {
    name: String,
    quiet: bool,
    figures: Vec<Measured>,
}

/// One figure, in each round.
struct Measured {
    name: String,
    unit: String,
    better: String,
    values: Vec<f64>,
}

/// Facts whose difference makes a comparison worthless.
const MUST_AGREE: [&str; 5] = ["CPU", "CPUs", "kernel", "pinned", "parlor via"];

impl Results {
    pub fn read(file: &Path) -> io::Result<Results> {
        let named = |what: String| io::Error::other(format!("{}: {what}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
        let value = serde_json::from_str(&text).map_err(|error| named(format!("no JSON: {error}")))?;
        let results = Results::from_json(&value).map_err(named)?;
        Ok(Results { name: file.display().to_string(), ..results })
    }

    pub fn from_json(value: &Value) -> Result<Results, String> {
        let scenarios = value["scenarios"].as_array().ok_or("these are no results of the load bench")?;
        let host = value["host"].as_object().into_iter().flatten();
        let host = host.map(|(name, value)| (name.clone(), text(value)));
        Ok(Results {
            name: "this run".to_owned(),
            date: text(&value["date"]),
            host: host.collect(),
            scenarios: scenarios.iter().map(Scenario::from_json).collect(),
        })
    }

    fn fact(&self, name: &str) -> &str {
        self.host.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

impl Scenario {
    fn from_json(value: &Value) -> Scenario {
        let servers = value["servers"].as_array().into_iter().flatten();
        Scenario {
            name: text(&value["scenario"]),
            about: text(&value["about"]),
            servers: servers.map(Server::from_json).collect(),
        }
    }
}

impl Server {
    fn from_json(value: &Value) -> Server {
        let rounds: Vec<&Value> = value["rounds"].as_array().into_iter().flatten().collect();
        let figures = value["figures"].as_array().into_iter().flatten().map(|figure| {
            let name = text(&figure["name"]);
            let values = rounds.iter().filter_map(|round| round["figures"][&name].as_f64());
            let mut values: Vec<f64> = values.collect();
            values.sort_by(f64::total_cmp);
            Measured { unit: text(&figure["unit"]), better: text(&figure["better"]), name, values }
        });
        Server {
            name: text(&value["server"]),
            quiet: value["not_quiet"].is_null(),
            figures: figures.collect(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What has become of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Better,
    Worse,
    /// The rounds do not tell the two apart.
    None,
    /// There are too few rounds, or the host was not quiet.
    Unknown,
}

/// One figure, before and after.
pub struct Line {
    pub scenario: String,
    pub server: String,
    pub figure: String,
    pub unit: String,
    pub before: f64,
    pub after: f64,
    pub change: Change,
    /// As in `1.06 ± 0.02 slower`.
    pub verdict: String,
}

pub struct Comparison {
    /// With what, and when that was.
    pub with: String,
    /// What makes the comparison doubtful.
    pub warnings: Vec<String>,
    pub lines: Vec<Line>,
}

/// Everything that both results have, in the order of `after`.
pub fn compare(before: &Results, after: &Results) -> Comparison {
    let mut comparison = Comparison {
        with: format!("{} compared with {}, {}", after.name, before.name, before.date),
        warnings: Vec::new(),
        lines: Vec::new(),
    };
    for fact in MUST_AGREE {
        let (old, new) = (before.fact(fact), after.fact(fact));
        if old != new {
            comparison.warnings.push(format!("{fact} was {old:?} before and is {new:?} now"));
        }
    }
    for new in &after.scenarios {
        let Some(old) = before.scenarios.iter().find(|old| old.name == new.name) else { continue };
        if old.about != new.about {
            comparison.warnings.push(format!("{} was another one before: {}", new.name, old.about));
            continue;
        }
        for server in &new.servers {
            if let Some(earlier) = old.servers.iter().find(|earlier| earlier.name == server.name) {
                comparison.lines.extend(lines(&new.name, earlier, server));
            }
        }
    }
    if comparison.lines.is_empty() {
        comparison.warnings.push("the two have nothing in common".to_owned());
    }
    comparison
}

fn lines(scenario: &str, before: &Server, after: &Server) -> Vec<Line> {
    let quiet = before.quiet && after.quiet;
    let line = |new: &Measured| {
        let old = before.figures.iter().find(|old| old.name == new.name)?;
        if new.better == "neither" || old.values.is_empty() || new.values.is_empty() {
            return None;
        }
        let (change, verdict) = verdict(old, new, quiet);
        Some(Line {
            scenario: scenario.to_owned(),
            server: after.name.clone(),
            figure: new.name.clone(),
            unit: new.unit.clone(),
            before: median(&old.values),
            after: median(&new.values),
            change,
            verdict,
        })
    };
    after.figures.iter().filter_map(line).collect()
}

fn verdict(old: &Measured, new: &Measured, quiet: bool) -> (Change, String) {
    let (before, after) = (median(&old.values), median(&new.values));
    if before == 0.0 || after == 0.0 {
        let change = if before == after { Change::None } else { Change::Unknown };
        return (change, if before == after { "equal" } else { "no ratio" }.to_owned());
    }
    let ratio = after / before;
    if !quiet {
        return (Change::Unknown, format!("{ratio:.2}: the host was not quiet"));
    }
    if old.values.len().min(new.values.len()) < FEWEST_ROUNDS {
        return (Change::Unknown, format!("{ratio:.2}: give --rounds {FEWEST_ROUNDS} or more to both"));
    }
    let margin = ratio * off(&old.values).hypot(off(&new.values));
    let apart = new.values.first() > old.values.last() || new.values.last() < old.values.first();
    let shown = format!("{ratio:.2} ± {margin:.2}");
    if !apart || (ratio - 1.0).abs() <= margin {
        return (Change::None, format!("{shown} not told apart"));
    }
    let better = (new.better == "more") == (ratio > 1.0);
    let change = if better { Change::Better } else { Change::Worse };
    (change, format!("{shown} {}", in_words(&new.unit, ratio > 1.0, better)))
}

/// How far the median may be off, as a share of it. The values are in order.
fn off(values: &[f64]) -> f64 {
    let (least, most) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    let middle = median(values).abs();
    if middle == 0.0 { 0.0 } else { (most - least) / 2.0 / middle }
}

fn in_words(unit: &str, grown: bool, better: bool) -> &'static str {
    match (unit, grown, better) {
        ("B" | "KiB" | "MiB", true, _) => "larger",
        ("B" | "KiB" | "MiB", false, _) => "smaller",
        (_, _, true) => "faster",
        (_, _, false) => "slower",
    }
}

/// For a terminal.
fn text_of(comparison: &Comparison) -> String {
    let mut text = format!("\n{}\n", comparison.with);
    for warning in &comparison.warnings {
        let _ = writeln!(text, "  note: {warning}");
    }
    let mut lines = vec![["scenario", "server", "figure", "before", "after", "verdict"].map(str::to_owned)];
    for line in &comparison.lines {
        lines.push([
            line.scenario.clone(),
            line.server.clone(),
            line.figure.clone(),
            format!("{} {}", show(line.before, &line.unit), line.unit),
            format!("{} {}", show(line.after, &line.unit), line.unit),
            line.verdict.clone(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    for [scenario, server, figure, before, after, verdict] in &lines {
        let [a, b, c, d, e, _] = widths[..] else { break };
        let _ = writeln!(
            text,
            "  {scenario:<a$}  {server:<b$}  {figure:<c$}  {before:>d$}  {after:>e$}  {verdict}"
        );
    }
    text
}

/// Both, compared, for a terminal.
pub fn print(before: &Results, after: &Results) -> String {
    text_of(&compare(before, after))
}
