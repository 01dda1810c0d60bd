//! The report: one page that needs nothing else, with the host's facts, a table and plots for each scenario.

use std::fmt::Write;

use plotters::style::RGBColor;

use super::plot::{self, Line};
use super::{Row, Summary, latency, notes, rows, show};
use crate::host::Facts;
use crate::measure::{Better, Curve, Sample};
use crate::run::{Chapter, Series};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn html(chapters: &[Chapter], facts: &Facts, command: &str) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>parlor: load report</title><style>{STYLE}</style></head><body><main>\n\
         <header><h1>parlor <span>load report</span></h1><p class=\"command\"><code>{}</code></p></header>\n",
        escape(command)
    );
    page.push_str(&facts_list(facts));
    page.push_str(&contents(chapters));
    for chapter in chapters {
        page.push_str(&section(chapter));
    }
    page.push_str(LEGEND);
    page.push_str("</main></body></html>\n");
    page
}

const LEGEND: &str = "<footer><p>Every delivery was checked: each message once, in order, for each receiver. \
    CPU time is that of the server's process, user and system. Latency counts from when a message was sent, in paced and \
    slow from when it was due. Figures are medians over the rounds; the spread is the distance between the least and the most, \
    as a share of the median. The generator is busy when it is not waiting for the server.</p></footer>";

fn facts_list(facts: &Facts) -> String {
    let items: String = facts
        .0
        .iter()
        .map(|(name, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value)))
        .collect();
    format!("<dl class=\"facts\">{items}</dl>\n")
}

fn contents(chapters: &[Chapter]) -> String {
    let link = |chapter: &Chapter| format!("<a href=\"#{0}\">{0}</a>", chapter.plan.name);
    format!("<nav>{}</nav>\n", chapters.iter().map(link).collect::<String>())
}

fn section(chapter: &Chapter) -> String {
    let (name, rows) = (&chapter.plan.name, rows(chapter));
    let mut text = format!("<section id=\"{name}\"><h2>{name}</h2><p>{}</p>\n", escape(&chapter.plan.about));
    text.push_str(&table(&rows, chapter.series[0].rounds.len()));
    for row in &rows {
        let server = row.kind.name();
        for fault in &row.faults {
            let _ = writeln!(text, "<p class=\"fault\"><b>{server} failed</b> {}</p>", escape(fault));
        }
    }
    for (servers, note) in notes(&rows) {
        let _ = writeln!(text, "<p class=\"note\"><b>{servers}</b> {}</p>", escape(&note));
    }
    let plots: String = plots(chapter).concat();
    if !plots.is_empty() {
        let _ = writeln!(text, "<div class=\"plots\">{plots}</div>");
    }
    text + "</section>\n"
}

fn table(rows: &[Row], rounds: usize) -> String {
    let Some(pattern) = rows.iter().find(|row| !row.figures.is_empty()) else { return String::new() };
    let mut head = "<th>server</th>".to_owned();
    for (place, figure) in pattern.figures.iter().enumerate() {
        let _ = write!(head, "<th>{}<small>{}</small></th>", escape(figure.name), figure.unit);
        if place == 0 && rows.len() > 1 {
            let _ = write!(head, "<th class=\"ratio\">× {}</th>", rows[0].kind.name());
        }
        if place == 0 && rounds > 1 {
            head.push_str("<th>spread</th>");
        }
    }
    // One that is far behind would leave no room to see how the others differ.
    const LONGEST_BAR: f64 = 5.0;
    let most = rows.iter().filter_map(|row| row.ratio).fold(1.0, f64::max).min(LONGEST_BAR);
    let mut body = String::new();
    for row in rows.iter().filter(|row| !row.figures.is_empty()) {
        let (name, color) = (row.kind.name(), css(plot::color(row.kind)));
        let _ = write!(body, "<tr><th><i style=\"background:{color}\"></i>{name}</th>");
        for (place, figure) in pattern.figures.iter().enumerate() {
            let own = row.figures.iter().find(|own| own.name == figure.name);
            let best = own.is_some_and(|own| rows.len() > 1 && competes(row) && is_best(own, rows));
            let class = if best { " class=\"best\"" } else { "" };
            let _ = write!(body, "<td{class}>{}</td>", own.map_or("–".to_owned(), |own| show(own.median)));
            if place == 0 && rows.len() > 1 {
                let ratio = row.ratio.unwrap_or(0.0);
                let width = (ratio / most * 100.0).min(100.0);
                let bar =
                    format!("<span class=\"bar\" style=\"width:{width:.1}%;background:{color}\"></span>");
                let _ = write!(body, "<td class=\"ratio\">{ratio:.2}{bar}</td>");
            }
            if place == 0 && rounds > 1 {
                let spread = own.map_or("–".to_owned(), |own| format!("{:.0} %", own.spread * 100.0));
                let _ = write!(body, "<td>{spread}</td>");
            }
        }
        body.push_str("</tr>\n");
    }
    format!(
        "<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
    )
}

/// The floor is out of the competition.
fn competes(row: &Row) -> bool {
    !row.kind.name().starts_with("floor")
}

/// Whether no server has a better figure of this name.
fn is_best(figure: &Summary, rows: &[Row]) -> bool {
    let others = rows.iter().filter(|row| competes(row)).flat_map(|row| &row.figures);
    let mut others = others.filter(|other| other.name == figure.name);
    match figure.better {
        Better::Less => others.all(|other| figure.median <= other.median),
        Better::More => others.all(|other| figure.median >= other.median),
        Better::Neither => false,
    }
}

/// What there is to draw of a chapter.
fn plots(chapter: &Chapter) -> Vec<String> {
    let mut plots = Vec::new();
    let latencies = lines(chapter, |series| Some(plot::by_percentile(&latency(series)?)));
    if !latencies.is_empty() {
        plots.push(figure("Latency by percentile", &latencies, plot::percentiles(&latencies)));
    }
    let throughput = lines(chapter, |series| Some(plot::throughput(sampled(series)?)));
    if !throughput.is_empty() {
        let svg = plot::lines(&throughput, "seconds", "a second", None);
        plots.push(figure("Throughput over time", &throughput, svg));
        let cpu = cpu(chapter);
        plots.push(figure("CPU over time", &cpu, plot::lines(&cpu, "seconds", "% of one CPU", None)));
    }
    plots.extend(curves(chapter));
    plots
}

/// A plot with its title and its legend.
fn figure(title: &str, lines: &[Line], svg: String) -> String {
    let entry =
        |line: &Line| format!("<span><i style=\"background:{}\"></i>{}</span>", css(line.color), line.label);
    let legend: String = lines.iter().map(entry).collect();
    format!("<figure><figcaption><b>{title}</b>{legend}</figcaption>{svg}</figure>\n")
}

/// One line for each server that has points.
fn lines(chapter: &Chapter, points: impl Fn(&Series) -> Option<Vec<(f64, f64)>>) -> Vec<Line> {
    let line = |series: &Series| {
        let (label, color) = (series.kind.name().to_owned(), plot::color(series.kind));
        Some(Line { label, color, points: points(series)? })
    };
    chapter.series.iter().filter_map(line).collect()
}

/// The CPU of the servers; of a single one beside that of the generator.
fn cpu(chapter: &Chapter) -> Vec<Line> {
    let mut cpu = lines(chapter, |series| Some(plot::server_cpu(sampled(series)?)));
    if let [series] = &chapter.series[..] {
        let points = sampled(series).map_or(Vec::new(), plot::generator_cpu);
        cpu.push(Line { label: "generator".to_owned(), color: plot::GENERATOR, points });
    }
    cpu
}

/// The samples of the last round that came through and has some.
fn sampled(series: &Series) -> Option<&[Sample]> {
    let outcome = series.rounds.iter().flatten().rfind(|outcome| outcome.samples.len() > 2)?;
    Some(&outcome.samples)
}

/// The curves of the last round of each server, those of the same title in one plot.
fn curves(chapter: &Chapter) -> Vec<String> {
    let last =
        |series: &'_ Series| series.rounds.iter().flatten().last().map(|outcome| outcome.curves.clone());
    let Some(patterns) = chapter.series.iter().find_map(last) else { return Vec::new() };
    let plot = |pattern: &Curve| {
        let same = |series: &Series| last(series)?.into_iter().find(|own| own.title == pattern.title);
        let lines = lines(chapter, |series| Some(plot::curve(&same(series)?)));
        let svg = plot::lines(&lines, pattern.x, pattern.y, Some(pattern.bound));
        figure(&format!("Capacity: {}", pattern.title), &lines, svg)
    };
    patterns.iter().map(plot).collect()
}

fn css(color: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", color.0, color.1, color.2)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
