//! Signals as events of the loop.

use std::{fs, io};

use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook_mio::v1_0::Signals;

/// Catches these signals, but for SIGINT and SIGHUP where whoever started the program has them ignored: `nohup`, and
/// a shell's background jobs.
pub fn catch(signals: &[i32]) -> io::Result<Signals> {
    let ignored = ignored();
    let is_wanted =
        |signal: &&i32| !(matches!(**signal, SIGINT | SIGHUP) && ignored >> (**signal - 1) & 1 == 1);
    Signals::new(signals.iter().filter(is_wanted))
}

/// The signals that are ignored, a bit for each. Linux tells; elsewhere none is known.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
