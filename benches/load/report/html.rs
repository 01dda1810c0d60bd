//! The report: one page that needs nothing else, with what came out in words, the host's facts, and a table and plots
//! for each scenario.

use std::fmt::Write;

use plotters::style::RGBColor;

use super::compare::{Change, Comparison};
use super::plot::{self, Line, Tint};
use super::{Ratio, Row, is_best, latency, notes, pattern, rows, show, words};
use crate::date;
use crate::host::Facts;
use crate::measure::{Better, Curve, Sample};
use crate::run::{Chapter, Series};
use crate::servers::{ALL, Kind};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn html(chapters: &[Chapter], facts: &Facts, command: &str, comparison: Option<&Comparison>) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>parlor load report</title><style>{STYLE}{}</style></head><body><main>\n\
         <header><h1>parlor <span>load report</span></h1>\
         <p class=\"command\"><time>{}</time> <code>{}</code></p></header>\n",
        colors(),
        date::now(),
        escape(command)
    );
    page.push_str(&summary(chapters));
    if let Some(comparison) = comparison {
        page.push_str(&compared(comparison));
    }
    page.push_str(&contents(chapters));
    for chapter in chapters {
        page.push_str(&section(chapter));
    }
    page.push_str(&facts_list(facts));
    page.push_str(LEGEND);
    page.push_str("</main></body></html>\n");
    page
}

const LEGEND: &str = "<footer><p>Every delivery was checked: each message once, in order, for each receiver. \
    CPU time is that of the server's process, user and system; \
    of several nodes that of all of them and of the engine that joins them. Latency counts from when a message was sent, in paced and \
    slow from when it was due. Figures are medians over the rounds; the spread is the distance between the least and the \
    most, as a share of the median. A ratio is the median of those of the rounds. The best figure of a column is marked \
    where it means something and is ahead by more than the rounds differ; with a single round none is. \
    The generator is busy when it is not waiting for the server.</p></footer>";

/// The colours as variables, so that a dark page has its own; the plots name those of a light one.
fn colors() -> String {
    let all: Vec<(String, Tint)> = ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), plot::color(*kind)))
        .chain([("generator".to_owned(), plot::GENERATOR)])
        .collect();
    let (mut light, mut dark, mut plots) = (String::new(), String::new(), String::new());
    for (name, color) in &all {
        let _ = write!(light, "--{name}:{};", css(color.light));
        let _ = write!(dark, "--{name}:{};", css(color.dark));
        let drawn = css(color.light).to_uppercase();
        let _ = write!(
            plots,
            "svg [stroke=\"{drawn}\"]{{stroke:var(--{name})}}svg [fill=\"{drawn}\"]{{fill:var(--{name})}}"
        );
    }
    for (drawn, variable) in [(plot::INK, "soft"), (plot::GRID, "line")] {
        let drawn = css(drawn).to_uppercase();
        let _ = write!(
            plots,
            "svg [stroke=\"{drawn}\"]{{stroke:var(--{variable})}}svg [fill=\"{drawn}\"]{{fill:var(--{variable})}}"
        );
    }
    format!(":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}{plots}")
}

/// What came out, in words.
fn summary(chapters: &[Chapter]) -> String {
    let mut items = String::new();
    for chapter in chapters {
        let rows = rows(chapter);
        let name = chapter.plan.name;
        let failed = rows.first().is_some_and(|row| row.figures.is_empty());
        let sentence =
            if failed { Some("parlor did not get through".to_owned()) } else { words::sentence(&rows) };
        if let Some(sentence) = sentence {
            let _ = write!(items, "<li><a href=\"#{name}\">{name}</a> {}</li>", escape(&sentence));
        }
    }
    let single = chapters.iter().flat_map(|chapter| &chapter.series).all(|series| series.rounds.len() < 2);
    let doubt = "<p>One round each: by how much rounds differ is not known. --rounds 5 tells it.</p>";
    let doubt = if single { doubt } else { "" };
    format!("<section class=\"summary\"><h2>In short</h2><ul>{items}</ul>{doubt}</section>\n")
}

/// What has changed since earlier results.
fn compared(comparison: &Comparison) -> String {
    let mut text = format!("<section><h2>What has changed</h2><p>{}</p>\n", escape(&comparison.with));
    for warning in &comparison.warnings {
        let _ = writeln!(text, "<p class=\"note\">{}</p>", escape(warning));
    }
    let mut body = String::new();
    for line in &comparison.lines {
        let class = match line.change {
            Change::Better => "best",
            Change::Worse => "worse",
            Change::None | Change::Unknown => "unsure",
        };
        let cell = |value: f64| format!("<td>{} {}</td>", show(value, &line.unit), line.unit);
        let _ = writeln!(
            body,
            "<tr><th>{}</th><td>{}</td><td>{}</td>{}{}<td class=\"{class}\">{}</td></tr>",
            escape(&line.scenario),
            escape(&line.server),
            escape(&line.figure),
            cell(line.before),
            cell(line.after),
            escape(&line.verdict)
        );
    }
    let head = ["scenario", "server", "figure", "before", "after", "after / before"];
    let head: String = head.iter().map(|name| format!("<th>{name}</th>")).collect();
    text + &format!(
        "<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>\n"
    )
}

fn facts_list(facts: &Facts) -> String {
    let items: String = facts
        .0
        .iter()
        .map(|(name, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value)))
        .collect();
    format!("<section><h2>The host</h2><dl class=\"facts\">{items}</dl></section>\n")
}

fn contents(chapters: &[Chapter]) -> String {
    let link = |chapter: &Chapter| format!("<a href=\"#{0}\">{0}</a>", chapter.plan.name);
    format!("<nav>{}</nav>\n", chapters.iter().map(link).collect::<String>())
}

fn section(chapter: &Chapter) -> String {
    let (name, rows) = (chapter.plan.name, rows(chapter));
    let mut text = format!(
        "<section id=\"{name}\"><h2>{name}</h2><p class=\"meaning\">{}</p><p>{}</p>\n",
        escape(chapter.plan.meaning),
        escape(&chapter.plan.about)
    );
    text.push_str(&table(&rows));
    for row in &rows {
        let (class, failed) =
            if row.kind == Kind::Parlor { ("fault", "failed") } else { ("note", "did not get through") };
        for fault in &row.faults {
            let _ = writeln!(
                text,
                "<p class=\"{class}\"><b>{} {failed}</b> {}</p>",
                row.kind.name(),
                escape(fault)
            );
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

fn table(rows: &[Row]) -> String {
    let Some(pattern) = pattern(rows) else { return String::new() };
    let rounds = rows.iter().flat_map(|row| &row.figures).map(|figure| figure.rounds).max().unwrap_or(0);
    let several = rows.len() > 1;
    let mut head = "<th>server</th>".to_owned();
    for (place, figure) in pattern.figures.iter().enumerate() {
        let better = match figure.better {
            Better::Less => "lower is better",
            Better::More => "higher is better",
            Better::Neither => "",
        };
        let _ = write!(
            head,
            "<th>{}<small>{}</small><small>{better}</small></th>",
            escape(figure.name),
            figure.unit
        );
        if place == 0 && several {
            let _ = write!(head, "<th class=\"ratio\">× {}</th>", rows[0].kind.name());
        }
        if place == 0 && rounds > 1 {
            head.push_str("<th>spread</th>");
        }
    }
    let scale = rows.iter().filter_map(|row| row.ratio).fold(1.0, |most: f64, ratio| {
        if ratio.median > 0.0 { most.max(ratio.median.ln().abs()) } else { most }
    });
    let mut body = String::new();
    for row in rows.iter().filter(|row| !row.figures.is_empty()) {
        let name = row.kind.name();
        let _ = write!(body, "<tr><th><i style=\"background:var(--{name})\"></i>{name}</th>");
        for (place, figure) in pattern.figures.iter().enumerate() {
            let own = row.figure(figure.name);
            let best = own.is_some_and(|own| is_best(row, own, rows));
            let class =
                if best { " class=\"best\" title=\"the best, by more than the rounds differ\"" } else { "" };
            let _ = write!(
                body,
                "<td{class}>{}</td>",
                own.map_or("–".to_owned(), |own| show(own.median, own.unit))
            );
            if place == 0 && several {
                body.push_str(&ratio(row, scale));
            }
            if place == 0 && rounds > 1 {
                let spread = own.map_or("–".to_owned(), |own| format!("{:.0} %", own.spread() * 100.0));
                let _ = write!(body, "<td>{spread}</td>");
            }
        }
        body.push_str("</tr>\n");
    }
    format!(
        "<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
    )
}

/// The ratio and a bar: to the right of the middle for more than the first server, to the left for less, on a log scale
/// that has room for all. `scale` is the largest logarithm.
fn ratio(row: &Row, scale: f64) -> String {
    let Some(Ratio { median, sure, .. }) = row.ratio else {
        return "<td class=\"ratio\">–</td>".to_owned();
    };
    let length = if median > 0.0 { (median.ln() / scale * 50.0).clamp(-50.0, 50.0) } else { 0.0 };
    let (left, width) = if length < 0.0 { (50.0 + length, -length) } else { (50.0, length) };
    let why = row.noise.as_deref().unwrap_or("the host was not quiet");
    let (class, title) = match sure {
        true => ("ratio", String::new()),
        false => ("ratio unsure", format!(" title=\"{}\"", escape(why))),
    };
    format!(
        "<td class=\"{class}\"{title}>{median:.2}<span class=\"bar\"><span style=\"left:{left:.1}%;\
         width:{width:.1}%;background:var(--{})\"></span></span></td>",
        row.kind.name()
    )
}

/// What there is to draw of a chapter.
fn plots(chapter: &Chapter) -> Vec<String> {
    let mut plots = Vec::new();
    let latencies = lines(chapter, |series| Some(plot::by_percentile(&latency(series)?)));
    if !latencies.is_empty() {
        plots.push(figure(
            "Latency by percentile, lower is better",
            &latencies,
            plot::percentiles(&latencies),
        ));
    }
    let throughput = lines(chapter, |series| Some(plot::throughput(sampled(series)?)));
    if !throughput.is_empty() {
        let svg = plot::lines(&throughput, "seconds", "per second", None);
        plots.push(figure("Throughput over time", &throughput, svg));
        let cpu = cpu(chapter);
        plots.push(figure("CPU over time", &cpu, plot::lines(&cpu, "seconds", "% of one CPU", None)));
    }
    plots.extend(curves(chapter));
    plots
}

/// A plot with its title and its legend.
fn figure(title: &str, lines: &[Line], svg: String) -> String {
    let entry = |line: &Line| format!("<span><i style=\"background:var(--{0})\"></i>{0}</span>", line.label);
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
        figure(&format!("{}; dashed: the bound", pattern.title), &lines, svg)
    };
    patterns.iter().map(plot).collect()
}

fn css(color: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", color.0, color.1, color.2)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
