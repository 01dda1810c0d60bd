//! The plots, as SVG that stands inside the page. Colours are those of a light page; the page's style changes them for a
//! dark one.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::measure::{Curve, Latency, Sample, generator_busy};
use crate::servers::Kind;

const SIZE: (u32, u32) = (380, 250);
/// Text and axes.
pub const INK: RGBColor = RGBColor(0x33, 0x3d, 0x4d);
/// Lines behind the plot.
pub const GRID: RGBColor = RGBColor(0xe3, 0xe7, 0xee);

/// The generator's own colour.
pub const GENERATOR: Tint = Tint { light: RGBColor(0xd9, 0x77, 0x06), dark: RGBColor(0xf5, 0x9e, 0x0b) };

/// One colour on a light page and on a dark one.
#[derive(Clone, Copy)]
pub struct Tint {
    pub light: RGBColor,
    pub dark: RGBColor,
}

/// One line of a plot.
pub struct Line {
    pub label: String,
    pub color: Tint,
    pub points: Vec<(f64, f64)>,
}

type Rgb = (u8, u8, u8);

/// Each server has its colour, in all plots.
pub fn color(kind: Kind) -> Tint {
    let (light, dark) = match kind {
        Kind::Parlor => ((0x1d, 0x5f, 0xd6), (0x6d, 0xa2, 0xff)),
        Kind::Before => ((0x0e, 0x8f, 0xa8), (0x2f, 0xc7, 0xe0)),
        Kind::Nodes(count) => NODES[(count - 1) % NODES.len()],
        Kind::Floor => ((0x85, 0x74, 0x57), (0xc2, 0xb2, 0x94)),
        Kind::FloorShort => ((0xa6, 0xaf, 0xbd), (0x6b, 0x76, 0x88)),
        Kind::Redis => ((0xd6, 0x2f, 0x2f), (0xff, 0x6b, 0x6b)),
        Kind::Nats => ((0x14, 0x93, 0x55), (0x3d, 0xcb, 0x86)),
        Kind::Mosquitto => ((0x8b, 0x3f, 0xd1), (0xbd, 0x8a, 0xf5)),
        Kind::Ngircd => ((0xb4, 0x5f, 0x06), (0xf0, 0xa5, 0x4a)),
        Kind::Ws => ((0xc4, 0x2f, 0x8e), (0xf4, 0x7c, 0xc4)),
        Kind::Plain => ((0x64, 0x70, 0x82), (0x9a, 0xa6, 0xb8)),
        Kind::Nginx => ((0x14, 0x93, 0x55), (0x3d, 0xcb, 0x86)),
        Kind::Haproxy => ((0xb4, 0x5f, 0x06), (0xf0, 0xa5, 0x4a)),
    };
    let rgb = |(red, green, blue)| RGBColor(red, green, blue);
    Tint { light: rgb(light), dark: rgb(dark) }
}

/// The colours of clusters, by how many nodes they have: as different as those of other servers, for they stand beside
/// each other.
const NODES: [(Rgb, Rgb); 4] = [
    ((0x0e, 0x8f, 0xa8), (0x2f, 0xc7, 0xe0)),
    ((0x14, 0x93, 0x55), (0x3d, 0xcb, 0x86)),
    ((0x8b, 0x3f, 0xd1), (0xbd, 0x8a, 0xf5)),
    ((0xc4, 0x2f, 0x8e), (0xf4, 0x7c, 0xc4)),
];

/// How the axes are called and marked.
struct Axes<'a> {
    x: &'a str,
    y: &'a str,
    x_label: &'a dyn Fn(&f64) -> String,
    bound: Option<f64>,
    dots: bool,
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
    let x = 1.0..extent(lines, |point| point.0).end.max(100.0);
    let y = decades(&extent(lines, |point| point.1));
    let x_label = |one_in: &f64| match one_in.log10().round() as i32 {
        0 => "min".to_owned(),
        1 => "p90".to_owned(),
        2 => "p99".to_owned(),
        nines => format!("p99.{}", "9".repeat((nines - 2) as usize)),
    };
    let axes = Axes { x: "", y: "latency, ms", x_label: &x_label, bound: None, dots: false };
    draw(|root| paint(root, x.log_scale(), y.log_scale(), &axes, lines))
}

/// Anything against time or load. An axis whose values span decades is on a log scale; another one begins at zero.
pub fn lines(lines: &[Line], x: &str, y: &str, bound: Option<f64>) -> String {
    let (xs, mut ys) = (extent(lines, |point| point.0), extent(lines, |point| point.1));
    ys.end = ys.end.max(bound.unwrap_or(0.0));
    // What is told against time is told from its begin.
    let (log_x, log_y) = (bound.is_some() && spans_decades(&xs), spans_decades(&ys));
    let axes = Axes { x, y, x_label: &plain, bound, dots: bound.is_some() };
    let from_zero = |range: &Range<f64>, room: f64| 0.0..if range.end > 0.0 { range.end * room } else { 1.0 };
    let (x, y) = (from_zero(&xs, 1.02), from_zero(&ys, 1.12));
    let cropped: Vec<Line> = lines.iter().map(|line| above_zero(line, log_y)).collect();
    draw(|root| match (log_x, log_y) {
        (false, false) => paint(root, x.clone(), y.clone(), &axes, lines),
        (false, true) => paint(root, x.clone(), decades(&ys).log_scale(), &axes, &cropped),
        (true, false) => paint(root, decades(&xs).log_scale(), y.clone(), &axes, lines),
        (true, true) => paint(root, decades(&xs).log_scale(), decades(&ys).log_scale(), &axes, &cropped),
    })
}

/// On a log scale there is no zero.
fn above_zero(line: &Line, only: bool) -> Line {
    let points = line.points.iter().copied().filter(|point| !only || point.1 > 0.0).collect();
    Line { label: line.label.clone(), color: line.color, points }
}

/// Whether the least value would be lost at the foot of a linear axis.
fn spans_decades(range: &Range<f64>) -> bool {
    range.start > 0.0 && range.end / range.start >= 30.0
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn paint<X, Y>(root: &Root<'_>, x: X, y: Y, axes: &Axes<'_>, lines: &[Line]) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut builder = ChartBuilder::on(root);
    builder.margin(6).margin_right(34).x_label_area_size(if axes.x.is_empty() { 26 } else { 42 });
    let mut chart = builder.y_label_area_size(60).build_cartesian_2d(x, y)?;
    let ends = chart.x_range();
    let font = ("sans-serif", 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(axes.x_label)
        .y_label_formatter(&plain)
        .x_desc(axes.x)
        .y_desc(axes.y)
        .light_line_style(WHITE.mix(0.0))
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(font.clone())
        .axis_desc_style(font)
        .draw()?;
    if let Some(bound) = axes.bound {
        let across = [(ends.start, bound), (ends.end, bound)];
        chart.draw_series(DashedLineSeries::new(across, 5, 4, INK.stroke_width(1)))?;
    }
    for line in lines {
        let points = line.points.iter().copied();
        chart.draw_series(LineSeries::new(points, line.color.light.stroke_width(2)))?;
        if axes.dots {
            let dot = |point: &(f64, f64)| Circle::new(*point, 3, line.color.light.filled());
            chart.draw_series(line.points.iter().map(dot))?;
        }
    }
    Ok(())
}

fn draw(paint: impl FnOnce(&Root<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let drawn = paint(&root);
    drop(root);
    drawn.map_or_else(|error| format!("<p>this plot could not be drawn: {error}</p>"), |()| svg)
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

/// Points of a capacity curve. Where the bound was passed, the last point may be far up; the plot ends at ten times the
/// bound.
pub fn curve(curve: &Curve) -> Vec<(f64, f64)> {
    curve.points.iter().map(|(x, y)| (*x, y.min(curve.bound * 10.0))).collect()
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

fn extent(lines: &[Line], of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
    let values = || lines.iter().flat_map(|line| &line.points).map(&of);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    if least < most { least..most } else { 0.0..most.max(1.0) }
}

/// Whole decades around all values.
fn decades(range: &Range<f64>) -> Range<f64> {
    10f64.powf(range.start.max(1e-3).log10().floor())..10f64.powf(range.end.max(1e-2).log10().ceil())
}

fn plain(value: &f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{} M", (value / 1e5).round() / 10.0),
        size if size >= 1e4 => format!("{} k", (value / 1e2).round() / 10.0),
        size if size >= 100.0 => format!("{value:.0}"),
        _ => format!("{}", (value * 1e3).round() / 1e3),
    }
}
