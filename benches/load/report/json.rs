//! All results as one JSON object, for other programs and for `--compare`.

use serde_json::{Value, json};

use super::rows;
use crate::date;
use crate::host::Facts;
use crate::measure::{Better, Latency, Outcome};
use crate::run::Chapter;

/// Times are in the units that stand beside them; those of `samples` in seconds.
pub fn json(chapters: &[Chapter], facts: &Facts) -> Value {
    json!({
        "date": date::now(),
        "host": facts.to_json(),
        "scenarios": chapters.iter().map(chapter).collect::<Vec<_>>(),
    })
}

/// How `better` is written.
pub fn better(better: Better) -> &'static str {
    match better {
        Better::Less => "less",
        Better::More => "more",
        Better::Neither => "neither",
    }
}

fn chapter(chapter: &Chapter) -> Value {
    let servers = rows(chapter).into_iter().zip(&chapter.series).map(|(row, series)| {
        let figures = row.figures.iter().map(|figure| {
            json!({
                "name": figure.name,
                "unit": figure.unit,
                "better": better(figure.better),
                "median": figure.median,
                "spread": figure.spread(),
            })
        });
        let rounds = series.rounds.iter().map(|round| match round {
            Ok(outcome) => round_of(outcome),
            Err(fault) => json!({ "error": fault.to_string() }),
        });
        json!({
            "server": row.kind.name(),
            "ratio": row.ratio.map(|ratio| ratio.median),
            "figures": figures.collect::<Vec<_>>(),
            "notes": row.notes,
            "not_quiet": row.noise,
            "rounds": rounds.collect::<Vec<_>>(),
        })
    });
    let servers: Vec<Value> = servers.collect();
    json!({ "scenario": chapter.plan.name, "about": chapter.plan.about, "servers": servers })
}

fn round_of(outcome: &Outcome) -> Value {
    let figures = outcome.figures.iter().map(|figure| (figure.name.to_owned(), json!(figure.value)));
    let samples = outcome.samples.iter().map(|sample| {
        let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
        json!({
            "at": seconds(sample.at),
            "count": sample.units,
            "messages": sample.messages,
            "server_cpu": sample.server_cpu.map(seconds),
            "engine_cpu": sample.engine_cpu.map(seconds),
            "generator_waited": seconds(sample.waited),
            "resident_bytes": sample.resident,
        })
    });
    let curves = outcome.curves.iter().map(
        |curve| json!({ "title": curve.title, "x": curve.x, "y": curve.y, "bound": curve.bound, "points": curve.points }),
    );
    json!({
        "figures": Value::Object(figures.collect()),
        "latency_ms": outcome.latency.as_ref().map(percentiles),
        "samples": samples.collect::<Vec<_>>(),
        "curves": curves.collect::<Vec<_>>(),
        "not_quiet": outcome.disturbed,
    })
}

fn percentiles(latency: &Latency) -> Value {
    let quantiles = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 0.99999, 1.0];
    let points = quantiles.iter().map(|quantile| {
        let milliseconds = latency.value_at_quantile(*quantile) as f64 / 1e6;
        json!({ "quantile": quantile, "ms": milliseconds })
    });
    points.collect()
}
