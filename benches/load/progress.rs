//! What people see while it runs: how far it is, what happens just now, and about how long it will still take.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::show;
use crate::scenarios::Live;

/// How long each part of the run takes: first by rule of thumb, and once a server has been through a scenario as it was
/// then. Shared between all rounds.
pub struct Estimate {
    /// For each scenario and server the seconds of one round.
    seconds: Vec<Vec<f64>>,
    rounds: usize,
    /// Seconds that are expected for all that is over, and that it took.
    expected: f64,
    taken: f64,
}

impl Estimate {
    /// `usual`: the seconds for each scenario.
    pub fn new(usual: &[f64], servers: usize, rounds: usize) -> Estimate {
        let seconds = usual.iter().map(|seconds| vec![*seconds; servers]).collect();
        Estimate { seconds, rounds, expected: 0.0, taken: 0.0 }
    }

    /// One round of one server in one scenario is over.
    pub fn learn(&mut self, scenario: usize, server: usize, round: usize, seconds: f64) {
        let expected = &mut self.seconds[scenario][server];
        if round == 0 {
            self.expected += *expected;
            self.taken += seconds;
        }
        *expected = seconds;
    }

    /// Seconds that are still to come when this round of this server begins.
    pub fn left(&self, scenario: usize, server: usize, round: usize) -> f64 {
        // What has not been measured yet takes longer or shorter by as much as what has.
        let correction = if self.expected > 0.0 { self.taken / self.expected } else { 1.0 };
        let mut left = 0.0;
        for (number, servers) in self.seconds.iter().enumerate().skip(scenario) {
            let this = number == scenario;
            for (place, seconds) in servers.iter().enumerate() {
                let done = if this { round + usize::from(place < server) } else { 0 };
                let known = this && done > 0;
                left += seconds * (self.rounds - done) as f64 * if known { 1.0 } else { correction };
            }
        }
        left
    }
}

/// The bar on a terminal; elsewhere one line for each part.
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
    /// Seconds since the begin when the current part began, and that were still to come then.
    part: Cell<(f64, f64)>,
    what: RefCell<String>,
    told: Cell<Instant>,
}

impl Progress {
    pub fn new() -> Progress {
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(10));
        let style =
            ProgressStyle::with_template("{spinner:.cyan} {bar:24.cyan/dim} {elapsed_precise}  {msg}");
        bar.set_style(style.expect("the template is valid").progress_chars("━━─"));
        // It goes on ticking when nothing happens.
        bar.enable_steady_tick(Duration::from_millis(200));
        let now = Instant::now();
        let (part, what, told) = (Cell::new((0.0, 0.0)), RefCell::new(String::new()), Cell::new(now));
        Progress { bar, begin: now, part, what, told }
    }

    /// A part begins, when `left` seconds are expected to be still to come.
    pub fn begin(&self, what: String, left: f64) {
        if self.bar.is_hidden() {
            eprintln!("{what}");
        }
        self.part.set((self.begin.elapsed().as_secs_f64(), left));
        *self.what.borrow_mut() = what;
        self.draw("");
    }

    /// How things stand in this part.
    pub fn live(&self, live: Live) {
        if self.told.get().elapsed() < Duration::from_millis(200) {
            return;
        }
        self.told.set(Instant::now());
        self.draw(&match live {
            Live::Gathering { there, all } => {
                format!("{} of {} clients", show(there as f64, ""), show(all as f64, ""))
            }
            Live::Load { rate, p99 } => format!("{}/s, p99 {} ms", show(rate, "/s"), show(p99, "ms")),
            Live::Silence => String::new(),
        });
    }

    fn draw(&self, live: &str) {
        let now = self.begin.elapsed().as_secs_f64();
        let (begun, left) = self.part.get();
        let left = left - (now - begun);
        // A part that takes longer than expected does not stop the bar; it only crawls.
        let share = now / (now + left.max(0.02 * now + 1.0));
        self.bar.set_position((share * 1000.0) as u64);
        let mut message = format!("{}{}", in_words(left), self.what.borrow());
        if !live.is_empty() {
            message = format!("{message} · {live}");
        }
        self.bar.set_message(message);
    }

    /// Prints something above the bar.
    pub fn above(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// An estimate is rough, and says so; one that has turned out too short is not shown at all.
fn in_words(seconds: f64) -> String {
    match seconds {
        ..=0.0 => String::new(),
        _ if seconds < 55.0 => format!("about {:.0} s to go, ", (seconds / 5.0).ceil() * 5.0),
        _ if seconds < 90.0 => "about 1 min to go, ".to_owned(),
        _ => format!("about {:.0} min to go, ", seconds / 60.0),
    }
}
