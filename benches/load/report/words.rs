//! The results in words: how parlor stands to each of the others, scenario by scenario.

use super::{Ratio, Row, Summary, show};
use crate::measure::Better;

/// One sentence on a chapter; `None` if there is nothing to say.
pub fn sentence(rows: &[Row]) -> Option<String> {
    let first = rows.first()?;
    let lead = first.figures.first()?;
    let others: Vec<(&Row, Ratio)> = rows
        .iter()
        .skip(1)
        .filter_map(|row| Some((row, row.ratio.filter(|ratio| ratio.median > 0.0)?)))
        .collect();
    if others.is_empty() {
        let doubt = if first.noise.is_some() { ", but the host was not quiet" } else { "" };
        return Some(alone(first, lead) + doubt);
    }
    if others.iter().any(|(_, ratio)| !ratio.sure) {
        return Some("not compared, for the host was not quiet".to_owned());
    }
    let more = lead.better == Better::More;
    let parts: Vec<String> = others.iter().map(|(row, ratio)| part(row, *ratio, more)).collect();
    let (last, before) = parts.split_last()?;
    let list = if before.is_empty() { last.clone() } else { format!("{} and {last}", before.join(", ")) };
    let verb = if more { "carries" } else { "needs" };
    Some(format!("{} {verb} {list} {}", first.kind.name(), noun(lead)))
}

/// As in `0.42 of redis'`, with the least and the most of the rounds where they differ.
fn part(row: &Row, ratio: Ratio, more: bool) -> String {
    let name = row.kind.name();
    let possessive = if name.ends_with('s') { format!("{name}'") } else { format!("{name}'s") };
    // The rows have the others as a multiple of parlor; here parlor is a multiple of them.
    let (median, least, most) = (1.0 / ratio.median, 1.0 / ratio.most, 1.0 / ratio.least);
    let (least, most) = (format!("{least:.2}"), format!("{most:.2}"));
    let apart = ratio.least > 1.0 || ratio.most < 1.0;
    let range = match ratio.rounds {
        0 | 1 => String::new(),
        _ if !apart => format!(" ({least} to {most}: not told apart)"),
        _ if least == most => String::new(),
        _ => format!(" ({least} to {most})"),
    };
    let of = if more { "times" } else { "of" };
    format!("{median:.2}{range} {of} {possessive}")
}

fn alone(row: &Row, lead: &Summary) -> String {
    let verb = if lead.better == Better::More { "carries" } else { "needs" };
    let amount = format!("{} {}", show(lead.median, lead.unit), lead.unit.trim_start_matches('/'));
    match lead.unit {
        "/s" => format!("{} {verb} {} {}", row.kind.name(), show(lead.median, lead.unit), noun(lead)),
        _ => format!("{} {verb} {amount} {}", row.kind.name(), of(noun(lead))),
    }
}

/// "CPU for a delivery" as in "0.12 µs of CPU for a delivery"; a time needs no "of".
fn of(noun: &str) -> String {
    match noun.strip_prefix("time ") {
        Some(rest) => rest.to_owned(),
        None => format!("of {noun}"),
    }
}

/// What the first figure is an amount of.
fn noun(figure: &Summary) -> &'static str {
    match figure.name {
        "CPU/delivery" => "CPU for a delivery",
        "CPU/request" => "CPU for a request",
        "CPU/cycle" => "CPU for a visit",
        "p99" => "time until 99 of 100 deliveries are there",
        "memory/client" => "memory for a silent client",
        "deliveries held" | "deliveries" => "deliveries a second",
        "requests" => "requests a second",
        "cycles" => "visits a second",
        "listens after" => "time until it can be connected to",
        _ => "of what the first column says",
    }
}
