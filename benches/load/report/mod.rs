//! What people get to see: a table, JSON, and a page with plots. All of them show the same summary.

pub mod html;
pub mod json;
pub mod plot;
pub mod table;

use crate::measure::{Better, Latency};
use crate::run::{Chapter, Series};
use crate::servers::Kind;

/// A figure over all rounds.
pub struct Summary {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub median: f64,
    /// The distance from the least to the most, as a share of the median.
    pub spread: f64,
}

/// All that is to be said of one server in one scenario.
pub struct Row {
    pub kind: Kind,
    /// Empty if no round came through.
    pub figures: Vec<Summary>,
    /// The first figure, as a multiple of that of the first server.
    pub ratio: Option<f64>,
    pub faults: Vec<String>,
    pub notes: Vec<String>,
}

/// The rows of a chapter, in the order of its servers.
pub fn rows(chapter: &Chapter) -> Vec<Row> {
    let mut rows: Vec<Row> = chapter.series.iter().map(row).collect();
    let reference =
        rows.first().and_then(|row| row.figures.first()).map(|figure| (figure.name, figure.median));
    if let Some((name, reference)) = reference.filter(|(_, median)| *median != 0.0) {
        for row in &mut rows {
            row.ratio = row
                .figures
                .first()
                .filter(|figure| figure.name == name)
                .map(|figure| figure.median / reference);
        }
    }
    rows
}

fn row(series: &Series) -> Row {
    let outcomes: Vec<_> = series.rounds.iter().flatten().collect();
    let figures = outcomes.first().map_or(&[][..], |outcome| &outcome.figures);
    let figures = figures.iter().map(|figure| {
        let named = |other: &&crate::measure::Figure| other.name == figure.name;
        let mut values: Vec<f64> =
            outcomes.iter().filter_map(|outcome| Some(outcome.figures.iter().find(named)?.value)).collect();
        values.sort_by(f64::total_cmp);
        let median = median(&values);
        let distance = values.last().unwrap_or(&0.0) - values.first().unwrap_or(&0.0);
        let spread = if median == 0.0 { 0.0 } else { distance / median.abs() };
        Summary { name: figure.name, unit: figure.unit, better: figure.better, median, spread }
    });
    let mut notes: Vec<String> = outcomes.iter().flat_map(|outcome| outcome.notes.clone()).collect();
    notes.sort();
    notes.dedup_by_key(|note| note.split(':').next().unwrap_or_default().to_owned());
    let faults = series.rounds.iter().filter_map(|round| Some(round.as_ref().err()?.to_string())).collect();
    Row { kind: series.kind, figures: figures.collect(), ratio: None, faults, notes }
}

/// The notes of a chapter: which servers, and what is to be said of them. Those that differ only in what follows a
/// colon are one.
pub fn notes(rows: &[Row]) -> Vec<(String, String)> {
    let key = |note: &str| note.split(':').next().unwrap_or_default().to_owned();
    let mut notes: Vec<(String, String)> = Vec::new();
    for row in rows {
        for note in &row.notes {
            match notes.iter_mut().find(|(_, other)| key(other) == key(note)) {
                Some((servers, _)) => servers.extend([", ", row.kind.name()]),
                None => notes.push((row.kind.name().to_owned(), note.clone())),
            }
        }
    }
    notes
}

/// Of values in order.
fn median(values: &[f64]) -> f64 {
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

/// A number with about three significant digits, and with commas where it is large.
pub fn show(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 99.95 => commas(value.round() as i64),
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
