//! The table at the end, for a terminal.

use std::fmt::Write;

use super::{Row, Summary, notes, rows, show};
use crate::host::Facts;
use crate::run::Chapter;

/// All chapters as text.
pub fn table(chapters: &[Chapter], facts: &Facts) -> String {
    let mut text = String::new();
    for (name, value) in &facts.0 {
        let _ = writeln!(text, "{name:>12}  {value}");
    }
    for chapter in chapters {
        let _ = writeln!(text, "\n{}: {}", chapter.plan.name, chapter.plan.about);
        text.push_str(&chapter_table(&rows(chapter), chapter.series[0].rounds.len()));
    }
    text
}

/// One row for each server. The ratio stands behind the figure it belongs to, and the spread where there were rounds.
fn chapter_table(rows: &[Row], rounds: usize) -> String {
    let Some(pattern) = rows.iter().find(|row| !row.figures.is_empty()) else { return faults(rows) };
    let mut head = vec!["server".to_owned()];
    let mut units = vec![String::new()];
    for (place, figure) in pattern.figures.iter().enumerate() {
        head.push(figure.name.to_owned());
        units.push(figure.unit.to_owned());
        if place == 0 && rows.len() > 1 {
            head.push(format!("× {}", rows[0].kind.name()));
            units.push(String::new());
        }
        if place == 0 && rounds > 1 {
            head.push("spread".to_owned());
            units.push(String::new());
        }
    }
    let mut lines = vec![head, units];
    for row in rows.iter().filter(|row| !row.figures.is_empty()) {
        let mut line = vec![row.kind.name().to_owned()];
        for (place, figure) in pattern.figures.iter().enumerate() {
            let own: Option<&Summary> = row.figures.iter().find(|own| own.name == figure.name);
            line.push(own.map_or("–".to_owned(), |own| show(own.median)));
            if place == 0 && rows.len() > 1 {
                line.push(row.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")));
            }
            if place == 0 && rounds > 1 {
                line.push(own.map_or("–".to_owned(), |own| format!("{:.0} %", own.spread * 100.0)));
            }
        }
        lines.push(line);
    }
    align(&lines) + &faults(rows)
}

fn align(lines: &[Vec<String>]) -> String {
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut shown = format!("  {:<width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            let _ = write!(shown, "  {cell:>width$}");
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

fn faults(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        for fault in &row.faults {
            let _ = writeln!(text, "  FAILED {}: {fault}", row.kind.name());
        }
    }
    for (servers, note) in notes(rows) {
        let _ = writeln!(text, "  note, {servers}: {note}");
    }
    text
}
