//! How long a turn takes, on a machine that has other things to do too.

use std::fs::File;
use std::io::Read;
use std::time::Instant;

/// Measures the time that passes, less the time for which this thread was ready to run and did not get a processor.
pub struct Stopwatch {
    /// Linux tells that time here. Elsewhere the figures have to be taken on a machine that is idle.
    schedstat: Option<File>,
}

impl Stopwatch {
    pub fn new() -> Self {
        Stopwatch { schedstat: File::open("/proc/thread-self/schedstat").ok() }
    }

    /// Runs the task; how long it took, in nanoseconds.
    pub fn time(&mut self, task: impl FnOnce()) -> f64 {
        let waited_ns = self.waited_ns();
        let start = Instant::now();
        task();
        let passed_ns = start.elapsed().as_nanos() as f64;
        passed_ns - (self.waited_ns() - waited_ns)
    }

    /// How long this thread has waited for a processor since it began.
    fn waited_ns(&mut self) -> f64 {
        let mut text = [0; 64];
        let Some(file) = &mut self.schedstat else { return 0.0 };
        let read = std::io::Seek::rewind(file).and_then(|()| file.read(&mut text)).unwrap_or(0);
        let text = std::str::from_utf8(&text[..read]).unwrap_or_default();
        text.split(' ').nth(1).and_then(|waited| waited.parse().ok()).unwrap_or(0.0)
    }
}

/// The rounds of one kind of work: what each took for each thing done in it, and the longest turn.
#[derive(Default)]
pub struct Rounds {
    for_each_ns: Vec<f64>,
    longest_ns: f64,
}

impl Rounds {
    /// Of one round: the times of its turns, and how many things were done in them together.
    pub fn add(&mut self, turns_ns: &[f64], count: usize) {
        self.for_each_ns.push(turns_ns.iter().sum::<f64>() / count as f64);
        self.longest_ns = turns_ns.iter().copied().fold(self.longest_ns, f64::max);
    }

    /// For each thing done: the median of the rounds.
    pub fn median_ns(&self) -> f64 {
        median(self.for_each_ns.clone())
    }

    /// The longest turn of all.
    pub fn longest_ns(&self) -> f64 {
        self.longest_ns
    }
}

/// The middle one of the values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
