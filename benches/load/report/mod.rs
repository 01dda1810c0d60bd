//! What people get to see: tables, JSON, a page with plots, and what has changed since earlier results. All of them show
//! the same summary.

pub mod compare;
pub mod html;
pub mod json;
pub mod plot;
pub mod table;
pub mod words;

use crate::measure::{Better, Figure, Latency, Outcome};
use crate::run::{Chapter, Series};
use crate::servers::Kind;

/// What a terminal can do.
#[derive(Clone, Copy)]
pub struct Paper {
    pub color: bool,
}

/// A figure over all rounds.
pub struct Summary {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub rounds: usize,
}

impl Summary {
    /// The distance from the least to the most, as a share of the median.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.most - self.least) / self.median.abs() }
    }
}

/// The first figure of a server as a multiple of that of the first server; each round's by itself, for in a round the
/// servers took turns.
#[derive(Clone, Copy)]
pub struct Ratio {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub rounds: usize,
    /// Whether the host was quiet for both; if not, nothing is to be concluded.
    pub sure: bool,
}

/// All that is to be said of one server in one scenario.
pub struct Row {
    pub kind: Kind,
    /// Empty if no round came through.
    pub figures: Vec<Summary>,
    pub ratio: Option<Ratio>,
    pub faults: Vec<String>,
    pub notes: Vec<String>,
    /// How the host was not quiet.
    pub noise: Option<String>,
}

impl Row {
    /// The floor is out of the competition.
    pub fn competes(&self) -> bool {
        !matches!(self.kind, Kind::Floor | Kind::FloorShort)
    }

    pub fn figure(&self, name: &str) -> Option<&Summary> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

/// The rows of a chapter, in the order of its servers.
pub fn rows(chapter: &Chapter) -> Vec<Row> {
    let mut rows: Vec<Row> = chapter.series.iter().map(row).collect();
    let Some(first) = chapter.series.first() else { return rows };
    let quiet = rows[0].noise.is_none();
    for (row, series) in rows.iter_mut().zip(&chapter.series) {
        row.ratio = ratio(series, first).map(|ratio| Ratio { sure: quiet && row.noise.is_none(), ..ratio });
    }
    rows
}

/// The row with the most figures, after which a table has its columns. Those of several nodes have some more than others.
pub fn pattern(rows: &[Row]) -> Option<&Row> {
    let most = rows.iter().map(|row| row.figures.len()).max().filter(|most| *most > 0)?;
    rows.iter().find(|row| row.figures.len() == most)
}

fn row(series: &Series) -> Row {
    let outcomes: Vec<&Outcome> = series.rounds.iter().flatten().collect();
    let figures = outcomes.first().map_or(&[][..], |outcome| &outcome.figures);
    let mut notes: Vec<String> = outcomes.iter().flat_map(|outcome| outcome.notes.clone()).collect();
    notes.sort();
    notes.dedup_by_key(|note| key(note));
    let faults = faults(series);
    Row {
        kind: series.kind,
        figures: figures.iter().map(|figure| summary(figure, &outcomes)).collect(),
        ratio: None,
        faults,
        notes,
        noise: outcomes.iter().find_map(|outcome| outcome.disturbed.clone()),
    }
}

/// What went wrong; of faults of the same kind the first, and in how many rounds.
fn faults(series: &Series) -> Vec<String> {
    let mut faults: Vec<(String, usize)> = Vec::new();
    for fault in series.rounds.iter().filter_map(|round| Some(round.as_ref().err()?.to_string())) {
        match faults.iter_mut().find(|(other, _)| key(other) == key(&fault)) {
            Some((_, times)) => *times += 1,
            None => faults.push((fault, 1)),
        }
    }
    let rounds = series.rounds.len();
    let told = |(fault, times)| match times {
        1 if rounds == 1 => fault,
        _ => format!("{fault} (in {times} of {rounds} rounds)"),
    };
    faults.into_iter().map(told).collect()
}

fn summary(figure: &Figure, outcomes: &[&Outcome]) -> Summary {
    let same = || outcomes.iter().filter_map(|outcome| named(outcome, figure.name));
    let mut values: Vec<f64> = same().map(|figure| figure.value).collect();
    values.sort_by(f64::total_cmp);
    // A figure that tells nothing about the server in one of the rounds tells nothing in all of them.
    let better =
        if same().all(|other| other.better == figure.better) { figure.better } else { Better::Neither };
    Summary {
        name: figure.name,
        unit: figure.unit,
        better,
        median: median(&values),
        least: values.first().copied().unwrap_or_default(),
        most: values.last().copied().unwrap_or_default(),
        rounds: values.len(),
    }
}

fn ratio(series: &Series, reference: &Series) -> Option<Ratio> {
    let name = reference.rounds.iter().flatten().next()?.figures.first()?.name;
    let pairs = series.rounds.iter().zip(&reference.rounds);
    let ratios = pairs.filter_map(|(own, other)| {
        let (own, other) = (named(own.as_ref().ok()?, name)?, named(other.as_ref().ok()?, name)?);
        (other.value != 0.0).then(|| own.value / other.value)
    });
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (*ratios.first()?, *ratios.last()?);
    Some(Ratio { median: median(&ratios), least, most, rounds: ratios.len(), sure: true })
}

fn named<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a Figure> {
    outcome.figures.iter().find(|figure| figure.name == name)
}

/// Whether this is the best figure of its name, by more than the rounds differ. With a single round nobody knows by how
/// much they would, and where the host was not quiet nobody has won.
pub fn is_best(own: &Row, figure: &Summary, rows: &[Row]) -> bool {
    let rivals = || {
        rows.iter().filter(|row| row.competes() && row.kind != own.kind && row.figure(figure.name).is_some())
    };
    let beats = |rival: &Row| {
        rival.figure(figure.name).is_none_or(|other| {
            other.rounds > 1
                && match figure.better {
                    Better::Less => figure.most < other.least,
                    Better::More => figure.least > other.most,
                    Better::Neither => false,
                }
        })
    };
    let noisy = rows.iter().any(|row| row.noise.is_some());
    own.competes() && !noisy && figure.rounds > 1 && rivals().next().is_some() && rivals().all(beats)
}

/// The notes of a chapter: which servers, and what is to be said of them. Those that differ only in what follows a
/// colon are one.
pub fn notes(rows: &[Row]) -> Vec<(String, String)> {
    let mut notes: Vec<(String, String)> = Vec::new();
    for row in rows {
        for note in row.notes.iter().chain(&row.noise) {
            match notes.iter_mut().find(|(_, other)| key(other) == key(note)) {
                Some((servers, _)) => servers.extend([", ", row.kind.name()]),
                None => notes.push((row.kind.name().to_owned(), note.clone())),
            }
        }
    }
    notes
}

fn key(note: &str) -> String {
    note.split(':').next().unwrap_or_default().to_owned()
}

/// Of values in order.
pub fn median(values: &[f64]) -> f64 {
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    match values {
        [] => 0.0,
        _ if odd => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}

/// The latencies of all rounds together.
pub fn latency(series: &Series) -> Option<Latency> {
    let mut all = crate::measure::latency();
    for latency in series.rounds.iter().flatten().filter_map(|outcome| outcome.latency.as_ref()) {
        all.add(latency).expect("all have the same bounds");
    }
    (!all.is_empty()).then_some(all)
}

/// A number with about three significant digits, and with commas where it is large. What is counted is whole.
pub fn show(value: f64, unit: &str) -> String {
    let size = value.abs();
    match size {
        _ if size >= 99.95 || unit == crate::measure::COUNT || unit == "B" => commas(value.round() as i64),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.9995 => format!("{value:.2}"),
        _ if size == 0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

fn commas(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut shown = if value < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
