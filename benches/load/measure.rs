//! Samples taken while a scenario runs, and the figures that come of them.

use hdrhistogram::Histogram;

use crate::process::{Process, Watched, host_cpu};

/// Latencies in nanoseconds, to three digits, up to two minutes.
pub type Latency = Histogram<u64>;

pub fn latency() -> Latency {
    Histogram::new_with_bounds(100, 120_000_000_000, 3).expect("the bounds are valid")
}

const SAMPLE_EVERY: u64 = 100_000_000;

/// The state of affairs at one moment. All are totals since the start, times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub at: u64,
    /// Deliveries, requests or cycles so far.
    pub units: u64,
    /// Messages that have reached all, where deliveries are counted.
    pub messages: u64,
    /// CPU time of the server, if it can be seen; of several nodes that of all of them and of their engine.
    pub server_cpu: Option<u64>,
    /// The engine's part of it, if there is one.
    pub engine_cpu: Option<u64>,
    /// The generator's own CPU time.
    pub own_cpu: Option<u64>,
    /// CPU time of everything on this host but the server and the generator.
    pub others_cpu: Option<u64>,
    /// How long the generator has waited for the server.
    pub waited: u64,
    /// Memory of the server that is resident now, in bytes.
    pub resident: u64,
}

/// Takes a sample every tenth of a second. What comes before the warm-up is over does not count.
pub struct Meter {
    watched: Watched,
    warm_until: u64,
    counts_from: Option<Sample>,
    next: u64,
    pub samples: Vec<Sample>,
    pub latency: Latency,
    units: u64,
    messages: u64,
}

impl Meter {
    /// `now` and `warm_up` in nanoseconds.
    pub fn new(watched: &Watched, now: u64, warm_up: u64) -> Meter {
        Meter {
            watched: watched.clone(),
            warm_until: now + warm_up,
            counts_from: None,
            next: 0,
            samples: Vec::new(),
            latency: latency(),
            units: 0,
            messages: 0,
        }
    }

    /// One more unit is done, which took so many nanoseconds.
    pub fn count(&mut self, nanoseconds: u64) {
        self.units += 1;
        self.latency.saturating_record(nanoseconds);
    }

    /// One more message has reached all.
    pub fn complete(&mut self) {
        self.messages += 1;
    }

    /// To be called in every turn of the loop. Whether it took a sample.
    pub fn tick(&mut self, now: u64, waited: u64) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + SAMPLE_EVERY;
        let sample = self.sample(now, waited);
        self.samples.push(sample);
        if self.counts_from.is_none() && now >= self.warm_until {
            self.counts_from = Some(sample);
            self.latency.reset();
        }
        true
    }

    /// All units so far.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Units a second, over the last second or so.
    pub fn rate(&self) -> f64 {
        let Some(last) = self.samples.last() else { return 0.0 };
        let since = &self.samples[self.samples.len().saturating_sub(11)];
        (last.units - since.units) as f64 / ((last.at - since.at).max(1) as f64 / 1e9)
    }

    /// In milliseconds, since the warm-up.
    pub fn p99(&self) -> f64 {
        self.latency.value_at_quantile(0.99) as f64 / 1e6
    }

    /// Takes the last sample and says what was measured. To be called before the load ebbs away.
    pub fn stop(&mut self, now: u64, waited: u64) -> Measured {
        let end = self.sample(now, waited);
        self.samples.push(end);
        let begin = self.counts_from.or(self.samples.first().copied()).unwrap_or_default();
        let nanoseconds = (end.at - begin.at).max(1) as f64;
        let spent = |end: Option<u64>, begin: Option<u64>| Some(end?.saturating_sub(begin?) as f64);
        let cpu = spent(end.server_cpu, begin.server_cpu);
        Measured {
            seconds: nanoseconds / 1e9,
            units: end.units - begin.units,
            messages: end.messages - begin.messages,
            server_cpu: cpu.map(|cpu| cpu / 1e9),
            engine_cpu: spent(end.engine_cpu, begin.engine_cpu).map(|cpu| cpu / 1e9),
            server_busy: cpu.map(|cpu| cpu / nanoseconds),
            others: others(&begin, &end),
            generator_busy: generator_busy(&begin, &end),
        }
    }

    fn sample(&self, at: u64, waited: u64) -> Sample {
        let server_cpu = self.watched.cpu();
        let engine_cpu = self.watched.engine.and_then(Process::cpu);
        let own_cpu = Process(std::process::id()).cpu();
        // Of a server on this host whose process is not known, nobody can tell whether it is the one that is busy.
        let known = host_cpu().zip(own_cpu).zip(server_cpu.filter(|_| !self.watched.has_unseen));
        let others_cpu = known.map(|((all, own), server)| all.saturating_sub(own + server));
        let resident = self.watched.memory().map_or(0, |memory| memory.resident);
        let (units, messages) = (self.units, self.messages);
        Sample { at, units, messages, server_cpu, engine_cpu, own_cpu, others_cpu, waited, resident }
    }
}

/// What everything else on the host took of a CPU between two samples. The kernel counts in hundredths of a second, so of
/// a short time nothing can be said.
fn others(begin: &Sample, end: &Sample) -> Option<f64> {
    const SHORTEST: u64 = 200_000_000;
    let nanoseconds = end.at.saturating_sub(begin.at);
    let (end, begin) = end.others_cpu.zip(begin.others_cpu).filter(|_| nanoseconds >= SHORTEST)?;
    Some(end.saturating_sub(begin) as f64 / nanoseconds as f64)
}

/// Which share of the time between two samples the generator has worked: it was not waiting for the server, and it
/// really had a CPU.
pub fn generator_busy(begin: &Sample, end: &Sample) -> f64 {
    let nanoseconds = (end.at - begin.at).max(1);
    let awake = nanoseconds.saturating_sub(end.waited - begin.waited);
    let ran = end.own_cpu.zip(begin.own_cpu).map_or(awake, |(end, begin)| end.saturating_sub(begin));
    awake.min(ran) as f64 / nanoseconds as f64
}

/// What happened between warm-up and end.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub seconds: f64,
    pub units: u64,
    /// Those that have reached all, where deliveries are counted.
    pub messages: u64,
    /// Seconds of CPU time; of several nodes that of all of them and of their engine.
    pub server_cpu: Option<f64>,
    /// The engine's part of it.
    pub engine_cpu: Option<f64>,
    /// Shares of one CPU.
    pub server_busy: Option<f64>,
    pub generator_busy: f64,
    /// What everything else on the host took of its CPUs.
    pub others: Option<f64>,
}

impl Measured {
    /// Whether it was the generator that set the pace: it had hardly a moment's rest, and the server had one.
    pub fn generator_was_the_bottleneck(&self) -> bool {
        self.generator_busy > 0.9 && self.server_busy.is_none_or(|server| server < self.generator_busy - 0.02)
    }

    /// What to say if the host was busy with something else meanwhile.
    pub fn disturbance(&self) -> Option<String> {
        let others = self.others.filter(|others| *others > 0.15)? * 100.0;
        Some(format!("the host was not quiet: other programs took {others:.0} % of a CPU"))
    }
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Less,
    More,
    /// It only tells of the circumstances.
    Neither,
}

/// One measured number.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub value: f64,
    pub better: Better,
}

impl Figure {
    pub fn less(name: &'static str, unit: &'static str, value: f64) -> Figure {
        Figure { name, unit, value, better: Better::Less }
    }

    pub fn more(name: &'static str, unit: &'static str, value: f64) -> Figure {
        Figure { name, unit, value, better: Better::More }
    }

    pub fn neither(name: &'static str, unit: &'static str, value: f64) -> Figure {
        Figure { name, unit, value, better: Better::Neither }
    }
}

/// Latency, or whatever it is, against load.
#[derive(Clone, Debug)]
pub struct Curve {
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// The bound that y was not to pass.
    pub bound: f64,
    pub points: Vec<(f64, f64)>,
}

/// All that one run of one scenario against one server has given. The first figure is the one that servers are
/// compared by.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub figures: Vec<Figure>,
    pub latency: Option<Latency>,
    pub samples: Vec<Sample>,
    pub curves: Vec<Curve>,
    /// What the reader should know besides.
    pub notes: Vec<String>,
    /// How the host was not quiet, if it was not: then the figures are not to be compared.
    pub disturbed: Option<String>,
}

impl Outcome {
    /// The usual figures of a load: first the CPU time for each `unit`, then how many, then how long they took.
    pub fn of_load(unit: Unit, measured: &Measured, meter: Meter) -> Outcome {
        let mut outcome = Outcome::default();
        let units = measured.units.max(1) as f64;
        if let Some(cpu) = measured.server_cpu {
            outcome.figures.push(Figure::less(unit.cpu, "µs", cpu / units * 1e6));
        }
        outcome.figures.extend(nodes_and_engine(measured));
        outcome.figures.push(Figure::more(unit.rate, "/s", measured.units as f64 / measured.seconds));
        outcome.figures.extend(latency_figures(&meter.latency));
        outcome.figures.extend(circumstances(&meter.watched, measured));
        if measured.generator_was_the_bottleneck() {
            // How much it carries and how long that takes is then the generator's affair; CPU time is the server's.
            let others = outcome.figures.iter_mut().filter(|figure| figure.unit != "µs");
            others.filter(|figure| figure.unit != "MiB").for_each(|figure| figure.better = Better::Neither);
            let busy = measured.generator_busy * 100.0;
            outcome
                .notes
                .push(format!("the generator was the bottleneck: it was busy for {busy:.0} % of the time"));
        }
        outcome.disturbed = measured.disturbance();
        outcome.latency = Some(meter.latency);
        outcome.samples = meter.samples;
        outcome
    }

    /// With one more note, if there is one.
    pub fn noting(mut self, note: Option<String>) -> Outcome {
        self.notes.extend(note);
        self
    }

    /// For loads in which servers cannot be compared by how long a unit takes.
    pub fn with_latency_for_information(mut self) -> Outcome {
        let latencies = self.figures.iter_mut().filter(|figure| figure.unit == "ms");
        latencies.for_each(|figure| figure.better = Better::Neither);
        self
    }

    /// For loads whose pace is fixed: servers are compared by the figure `name`, and not by how much they carry.
    pub fn led_by(mut self, name: &str) -> Outcome {
        let pace = self.figures.iter_mut().filter(|figure| figure.name == DELIVERY.rate);
        pace.for_each(|figure| figure.better = Better::Neither);
        if let Some(at) = self.figures.iter().position(|figure| figure.name == name) {
            self.figures[..=at].rotate_right(1);
        }
        self
    }
}

/// The unit of what is counted.
pub const COUNT: &str = "";

/// How a unit of load is called in figures.
#[derive(Clone, Copy)]
pub struct Unit {
    pub cpu: &'static str,
    pub rate: &'static str,
}

pub const DELIVERY: Unit = Unit { cpu: "CPU/delivery", rate: "deliveries" };
pub const REQUEST: Unit = Unit { cpu: "CPU/request", rate: "requests" };
pub const CYCLE: Unit = Unit { cpu: "CPU/cycle", rate: "cycles" };

/// Percentiles in milliseconds.
pub fn latency_figures(latency: &Latency) -> [Figure; 4] {
    let milliseconds = |quantile| latency.value_at_quantile(quantile) as f64 / 1e6;
    [
        Figure::less("p50", "ms", milliseconds(0.5)),
        Figure::less("p99", "ms", milliseconds(0.99)),
        Figure::less("p99.9", "ms", milliseconds(0.999)),
        // One delivery out of millions: it tells of the host as much as of the server.
        Figure::neither("max", "ms", latency.max() as f64 / 1e6),
    ]
}

/// Of several nodes, what they and their engine take by themselves for a delivery and for a message.
fn nodes_and_engine(measured: &Measured) -> Vec<Figure> {
    let Some((all, engine)) = measured.server_cpu.zip(measured.engine_cpu) else { return Vec::new() };
    let each = |cpu: f64, count: u64| cpu / count.max(1) as f64 * 1e6;
    let (units, messages) = (measured.units, measured.messages);
    vec![
        Figure::less("nodes/delivery", "µs", each(all - engine, units)),
        Figure::less("engine/delivery", "µs", each(engine, units)),
        Figure::less("nodes/message", "µs", each(all - engine, messages)),
        Figure::less("engine/message", "µs", each(engine, messages)),
        Figure::more("messages", "/s", messages as f64 / measured.seconds),
    ]
}

/// The server's memory and how busy both sides were.
pub fn circumstances(watched: &Watched, measured: &Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(memory) = watched.memory() {
        figures.push(Figure::less("peak memory", "MiB", memory.peak as f64 / f64::from(1 << 20)));
    }
    if let Some(busy) = measured.server_busy {
        figures.push(Figure::neither("server", "%", busy * 100.0));
    }
    figures.push(Figure::neither("generator", "%", measured.generator_busy * 100.0));
    figures
}
