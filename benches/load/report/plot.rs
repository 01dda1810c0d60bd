//! The plots, as SVG that stands inside the page.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::measure::{Curve, Latency, Sample, generator_busy};
use crate::servers::Kind;

const SIZE: (u32, u32) = (400, 250);
const INK: RGBColor = RGBColor(0x33, 0x3d, 0x4d);
const GRID: RGBColor = RGBColor(0xe3, 0xe7, 0xee);

/// The generator's own colour.
pub const GENERATOR: RGBColor = RGBColor(0xd9, 0x77, 0x06);

/// One line of a plot.
pub struct Line {
    pub label: String,
    pub color: RGBColor,
    pub points: Vec<(f64, f64)>,
}

/// Each server has its colour, in all plots.
pub fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::Parlor => RGBColor(0x1d, 0x5f, 0xd6),
        Kind::Floor => RGBColor(0x64, 0x70, 0x82),
        Kind::FloorShort => RGBColor(0xa6, 0xaf, 0xbd),
        Kind::Redis => RGBColor(0xd6, 0x2f, 0x2f),
        Kind::Nats => RGBColor(0x14, 0x93, 0x55),
        Kind::Mosquitto => RGBColor(0x8b, 0x3f, 0xd1),
        Kind::Ngircd => RGBColor(0xd9, 0x77, 0x06),
    }
}

/// Points for [`percentiles`].
pub fn by_percentile(latency: &Latency) -> Vec<(f64, f64)> {
    let last = (latency.len() as f64).min(1e5).log10();
    let steps = 0..=(last * 20.0).floor() as u32;
    let point = |step| {
        let one_in = 10f64.powf(f64::from(step) / 20.0);
        (one_in, latency.value_at_quantile(1.0 - 1.0 / one_in) as f64 / 1e6)
    };
    steps.map(point).collect()
}

/// Latency in milliseconds by percentile: x is one in so many deliveries, on a log scale, so that each further nine has
/// the same room; y is on a log scale too.
pub fn percentiles(lines: &[Line]) -> String {
    let (x, y) = (1.0..extent(lines, |point| point.0).end.max(100.0), log_extent(lines));
    let label_x = |one_in: &f64| match one_in.log10().round() as i32 {
        0 => "min".to_owned(),
        1 => "p90".to_owned(),
        2 => "p99".to_owned(),
        nines => format!("p99.{}", "9".repeat((nines - 2) as usize)),
    };
    draw(|root| {
        let mut chart = builder(root).build_cartesian_2d(x.log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .x_label_formatter(&label_x)
            .y_label_formatter(&plain)
            .y_desc("latency, ms")
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(font())
            .draw()?;
        for line in lines {
            chart.draw_series(LineSeries::new(line.points.iter().copied(), line.color.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Anything against time or load, from zero.
pub fn lines(lines: &[Line], x_label: &str, y_label: &str, bound: Option<f64>) -> String {
    let x = extent(lines, |point| point.0);
    let top = extent(lines, |point| point.1).end.max(bound.unwrap_or(0.0));
    let y = 0.0..if top > 0.0 { top * 1.12 } else { 1.0 };
    let x = if bound.is_some() { 0.0..x.end * 1.02 } else { x };
    draw(|root| {
        let mut chart = builder(root).build_cartesian_2d(x.clone(), y)?;
        chart
            .configure_mesh()
            .x_label_formatter(&plain)
            .y_label_formatter(&plain)
            .x_desc(x_label)
            .y_desc(y_label)
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(font())
            .draw()?;
        if let Some(bound) = bound {
            chart.draw_series(DashedLineSeries::new(
                [(x.start, bound), (x.end, bound)],
                5,
                4,
                INK.stroke_width(1),
            ))?;
        }
        for line in lines {
            chart.draw_series(LineSeries::new(line.points.iter().copied(), line.color.stroke_width(2)))?;
            if bound.is_some() {
                let dots = line.points.iter().map(|point| Circle::new(*point, 3, line.color.filled()));
                chart.draw_series(dots)?;
            }
        }
        Ok(())
    })
}

/// Units a second over time.
pub fn throughput(samples: &[Sample]) -> Vec<(f64, f64)> {
    rates(samples, |from, to| (to.units - from.units) as f64)
}

/// The server's CPU in per cent over time.
pub fn server_cpu(samples: &[Sample]) -> Vec<(f64, f64)> {
    rates(samples, |from, to| {
        let used = to.server_cpu.zip(from.server_cpu).map_or(0, |(to, from)| to.saturating_sub(from));
        used as f64 / 1e7
    })
}

/// The generator's own in per cent over time.
pub fn generator_cpu(samples: &[Sample]) -> Vec<(f64, f64)> {
    rates(samples, |from, to| generator_busy(from, to) * (to.at - from.at) as f64 / 1e7)
}

/// Points of a capacity curve. Where the bound was passed, the last point may be far up; the plot ends at twice the bound.
pub fn curve(curve: &Curve) -> Vec<(f64, f64)> {
    curve.points.iter().map(|(x, y)| (*x, y.min(curve.bound * 2.0))).collect()
}

/// What `gained` says for each second, with the seconds since the first sample.
fn rates(samples: &[Sample], gained: impl Fn(&Sample, &Sample) -> f64) -> Vec<(f64, f64)> {
    let Some(first) = samples.first() else { return Vec::new() };
    let pairs = samples.windows(2).filter(|pair| pair[1].at > pair[0].at + 20_000_000);
    let rate = |pair: &[Sample]| {
        let seconds = (pair[1].at - pair[0].at) as f64 / 1e9;
        ((pair[1].at - first.at) as f64 / 1e9, gained(&pair[0], &pair[1]) / seconds)
    };
    pairs.map(rate).collect()
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(paint: impl FnOnce(&Root<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let drawn = paint(&root);
    drop(root);
    drawn.map_or_else(|error| format!("<p>this plot could not be drawn: {error}</p>"), |()| svg)
}

fn builder<'a, 'b>(root: &'a Root<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(root);
    builder.margin(8).margin_right(16).x_label_area_size(38).y_label_area_size(58);
    builder
}

fn font() -> TextStyle<'static> {
    ("sans-serif", 12).into_font().color(&INK)
}

fn extent(lines: &[Line], of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
    let values = || lines.iter().flat_map(|line| &line.points).map(&of);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    if least < most { least..most } else { 0.0..most.max(1.0) }
}

/// Whole decades around all values.
fn log_extent(lines: &[Line]) -> Range<f64> {
    let all = extent(lines, |point| point.1);
    10f64.powf(all.start.max(1e-3).log10().floor())..10f64.powf(all.end.max(1e-2).log10().ceil())
}

fn plain(value: &f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{} M", (value / 1e5).round() / 10.0),
        size if size >= 1e4 => format!("{} k", (value / 1e2).round() / 10.0),
        size if size >= 100.0 => format!("{value:.0}"),
        _ => format!("{}", (value * 1e3).round() / 1e3),
    }
}
