//! Where log lines go: to standard error through `simple_logger`, behind a guard. Knows nothing of what is logged.
//!
//! The guard is there because `simple_logger` writes with `eprintln!`, and that macro panics when the write fails: when
//! the program that read our standard error is gone, when the log file's disk is full, when the terminal was closed. A
//! chat must not end over a line that nobody could have read. So the logger here catches that panic and drops the line;
//! the next one is tried afresh, and is written if there is room on the disk again.
//!
//! Before a panic unwinds, the panic hook prints its report, to the very same standard error. On a disk that is almost
//! full some of those reports would fit, one for each lost line. So [`init`] also puts a hook in front of the one that
//! is installed, which is silent while this thread is within the logger, and hands every other panic on.
//!
//! A standard error that was closed before the start needs no guard: the standard library opens `/dev/null` in its
//! place.

mod limiter;
mod quoted;

pub use limiter::Limiter;
pub use quoted::{Quoted, quoted};

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use simple_logger::SimpleLogger;

thread_local! {
    /// Whether this thread is within [`Guarded::log`].
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Makes everything logged from now on go to standard error, one line each with the time in UTC, if it is at least as
/// severe as `level`. [`LevelFilter::Off`] logs nothing.
///
/// Also puts a panic hook in front of the one that is installed; see the module's description.
///
/// # Errors
///
/// If the process has a logger already.
pub fn init(level: LevelFilter) -> Result<(), SetLoggerError> {
    let logger = SimpleLogger::new().with_level(level).with_utc_timestamps();
    log::set_boxed_logger(Box::new(Guarded(logger)))?;
    log::set_max_level(level);
    keep_quiet_about_lost_lines();
    Ok(())
}

/// Puts a panic hook in front of the one that is installed, for which panics within the logger do not exist.
fn keep_quiet_about_lost_lines() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !LOGGING.get() {
            report(panic);
        }
    }));
}

/// A logger that survives the panics of the one within.
struct Guarded<L>(L);

impl<L: Log> Log for Guarded<L> {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        LOGGING.set(true);
        // Nothing of ours can be left half changed by the unwinding: the logger has no state, and the lock around
        // standard error is released by it.
        let _whether_lost = panic::catch_unwind(AssertUnwindSafe(|| self.0.log(record)));
        LOGGING.set(false);
    }

    fn flush(&self) {
        self.0.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Panics on every line, as `eprintln!` does without a reader, but keeps the line `works`.
    #[derive(Default)]
    struct Broken(Mutex<Vec<String>>);

    impl Log for Broken {
        fn enabled(&self, _: &Metadata) -> bool {
            true
        }
        fn log(&self, record: &Record) {
            let line = record.args().to_string();
            assert_eq!(line, "works");
            self.0.lock().unwrap().push(line);
        }
        fn flush(&self) {}
    }

    fn log(logger: &Guarded<Broken>, line: &str) {
        logger.log(&Record::builder().args(format_args!("{line}")).build());
    }

    #[test]
    fn a_line_that_cannot_be_written_is_dropped_and_the_next_one_is_tried() {
        let logger = Guarded(Broken::default());
        for line in ["fails", "works", "fails", "works"] {
            log(&logger, line);
        }
        assert_eq!(*logger.0.0.lock().unwrap(), ["works", "works"]);
    }

    #[test]
    fn a_lost_line_is_not_reported_and_other_panics_are() {
        // For each thread, since other tests may panic at the same time.
        thread_local!(static REPORTS: Cell<u32> = const { Cell::new(0) });
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            REPORTS.set(REPORTS.get() + 1);
            report(panic);
        }));
        keep_quiet_about_lost_lines();

        log(&Guarded(Broken::default()), "fails");
        assert_eq!(REPORTS.get(), 0);
        assert!(panic::catch_unwind(|| panic!("meant to be reported")).is_err());
        assert_eq!(REPORTS.get(), 1);
    }
}
