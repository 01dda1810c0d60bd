//! Runs the server under strace, which delays or refuses calls of the system. Where there is no strace, or it may not
//! trace, its tests say so and are passed over, unless `PARLOR_DEMAND_PROGRAMS` is set.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::Parlor;

/// Whether there is an strace that works.
pub fn is_there() -> bool {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        assert!(env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "strace is demanded and does not work here");
        eprintln!("left out: there is no strace here, or it may not trace");
    }
    works
}

/// Starts the server under strace with these options, which writes what it traces to `trace`. The process is the
/// server's own: strace stands beside it.
pub fn start(options: &[&str], trace: &Path, arguments: &[&str]) -> Parlor {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o"]).arg(trace).args(options);
    command.arg(crate::process::binary()).args(arguments);
    Parlor::spawn_and_listen(&mut command)
}
