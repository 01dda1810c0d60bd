//! The tables, for a terminal.

use std::fmt::Write;

use super::{Paper, Row, is_best, notes, pattern, rows, show};
use crate::host::Facts;
use crate::measure::Better;
use crate::run::Chapter;

/// What it all ran on.
pub fn facts(facts: &Facts) -> String {
    facts.0.iter().fold(String::new(), |text, (name, value)| format!("{text}{name:>12}  {value}\n"))
}

/// One chapter.
pub fn chapter(chapter: &Chapter, paper: Paper) -> String {
    let rows = rows(chapter);
    format!("\n{}: {}\n{}", chapter.plan.name, chapter.plan.about, table(&rows, paper) + &remarks(&rows))
}

/// What the signs in the tables mean.
pub fn legend(chapters: &[Chapter]) -> String {
    let mut text = "\n↓ lower is better, ↑ higher is better; without an arrow: circumstances".to_owned();
    let rows: Vec<Vec<Row>> = chapters.iter().map(rows).collect();
    if rows.iter().any(|rows| rows.len() > 1) {
        text += "\n* the best, by more than the rounds differ";
    }
    let unsure = |row: &Row| row.ratio.is_some_and(|ratio| !ratio.sure);
    if rows.iter().any(|rows| rows.len() > 1 && rows.iter().any(unsure)) {
        text += "\n(1.23) a ratio from which nothing is to be concluded, for the host was not quiet";
    }
    text + "\n"
}

/// How a cell looks.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    Plain,
    Best,
    Unsure,
}

type Cell = (String, Look);

/// One row for each server. The ratio stands behind the figure it belongs to, and the spread where there were rounds.
fn table(rows: &[Row], paper: Paper) -> String {
    let Some(pattern) = pattern(rows) else { return String::new() };
    let plain = |text: String| (text, Look::Plain);
    let several = rows.len() > 1;
    let rounds = rows.iter().flat_map(|row| &row.figures).map(|figure| figure.rounds).max().unwrap_or(0);
    let mut head = vec![plain("server".to_owned())];
    let mut units = vec![plain(String::new())];
    for (place, figure) in pattern.figures.iter().enumerate() {
        head.push(plain(figure.name.to_owned()));
        let arrow = match figure.better {
            Better::Less => "↓",
            Better::More => "↑",
            Better::Neither => "",
        };
        units.push(plain(format!("{} {arrow}", figure.unit).trim().to_owned()));
        if place == 0 && several {
            head.push(plain(format!("× {}", rows[0].kind.name())));
            units.push(plain(String::new()));
        }
        if place == 0 && rounds > 1 {
            head.push(plain("spread".to_owned()));
            units.push(plain(String::new()));
        }
    }
    let mut lines = vec![head, units];
    for row in rows.iter().filter(|row| !row.figures.is_empty()) {
        let mut line = vec![plain(row.kind.name().to_owned())];
        for (place, figure) in pattern.figures.iter().enumerate() {
            let own = row.figure(figure.name);
            let best = own.is_some_and(|own| is_best(row, own, rows));
            let shown = own.map_or("–".to_owned(), |own| show(own.median, own.unit));
            line.push(if best { (format!("{shown}*"), Look::Best) } else { plain(shown) });
            if place == 0 && several {
                line.push(match row.ratio {
                    None => plain("–".to_owned()),
                    Some(ratio) if ratio.sure => plain(format!("{:.2}", ratio.median)),
                    Some(ratio) => (format!("({:.2})", ratio.median), Look::Unsure),
                });
            }
            if place == 0 && rounds > 1 {
                line.push(plain(own.map_or("–".to_owned(), |own| format!("{:.0} %", own.spread() * 100.0))));
            }
        }
        lines.push(line);
    }
    align(&lines, paper)
}

fn align(lines: &[Vec<Cell>], paper: Paper) -> String {
    let columns = lines[0].len();
    let length = |text: &str| text.chars().count();
    let width = |column: usize| lines.iter().map(|line| length(&line[column].0)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut shown = format!("  {:<width$}", line[0].0, width = widths[0]);
        for ((cell, look), width) in line.iter().zip(&widths).skip(1) {
            shown += "  ";
            shown += &" ".repeat(width - length(cell));
            shown += &match look {
                Look::Best if paper.color => format!("\x1b[1;32m{cell}\x1b[0m"),
                Look::Unsure if paper.color => format!("\x1b[2m{cell}\x1b[0m"),
                _ => cell.clone(),
            };
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// What is to be said beside the figures. Only parlor's failure is one of the run.
fn remarks(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let head = if row.kind.is_own() { "FAILED" } else { "did not get through:" };
        for fault in &row.faults {
            let _ = writeln!(text, "  {} {head} {fault}", row.kind.name());
        }
    }
    for (servers, note) in notes(rows) {
        let _ = writeln!(text, "  note, {servers}: {note}");
    }
    text
}
