//! Where log lines go: to standard error through `simple_logger`, behind a guard. Knows nothing of what is logged.
//!
//! A chat must neither end nor wait over a line that nobody reads. Standard error can be a pipe that is full, whose reader
//! has stopped or gone; a file on a full disk, or at its limit of size; a terminal that was closed. So:
//!
//! - Before a line, a poll of the logger's own is asked whether standard error has room. A pipe or a socket that has
//!   room takes 4096 bytes without making the writer wait, so no line is longer. A file cannot be polled; it does not
//!   make anybody wait either. A terminal that has room may not have enough, see `logging/terminal.rs`.
//! - `simple_logger` writes with `eprintln!`, which panics when a write fails. The panic is caught, and no report of it
//!   is printed to the very same standard error; other panics are reported as ever.
//! - A line that is lost is counted, and the next that can be written is preceded by one that says how many were.
//!
//! A standard error that was closed before the start needs no guard: the standard library opens `/dev/null` in its
//! place. That a file at its limit of size does not kill is a matter of signals, see [`server`](crate::server).
//!
//! What clients choose can stand in a line, in the form of [`quoted`]; and what they cause again and again is told as
//! often as a [`Limiter`] allows.

mod limiter;
mod output;
mod quoted;
mod terminal;

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use simple_logger::SimpleLogger;

pub use limiter::Limiter;
use output::Output;
pub use quoted::{Quoted, quoted};

/// The longest line, its end included: what a pipe that has room takes at once (`PIPE_BUF` of Linux).
const LINE_BYTES_MAX: usize = 4096;

/// What `simple_logger` puts around the target and the text: time, level, brackets, blanks and the line's end; and what
/// may have to end the line before.
const FRAME_BYTES: usize = "\n2000-01-01T00:00:00.000Z ERROR [] \n".len();

/// How long a program that ends waits for somebody to read why.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread is within the logger.
    static LOGGING: Cell<bool> = const { Cell::new(false) };
    /// What is known of standard error: for each thread, so that there is no lock.
    static OUTPUT: RefCell<Output> = RefCell::new(Output::new());
}

/// Makes everything logged from now on go to standard error, one line each, if it is at least as severe as `level`.
/// [`LevelFilter::Off`] logs nothing. Lines begin with the time in UTC, unless the systemd journal reads them, which
/// knows the time.
///
/// Also puts a panic hook in front of the one that is installed; see the module's description.
///
/// # Errors
///
/// If the process has a logger already.
pub fn init(level: LevelFilter) -> Result<(), SetLoggerError> {
    let logger = SimpleLogger::new().with_level(level);
    let logger =
        if output::is_journal() { logger.without_timestamps() } else { logger.with_utc_timestamps() };
    log::set_boxed_logger(Box::new(Guarded(logger)))?;
    log::set_max_level(level);
    keep_quiet_about_lost_lines();
    Ok(())
}

/// Writes a line to standard error that is no line of the log: why a program ends. If that has no room it waits for a
/// moment, and then does without.
pub fn say_last(line: &str) {
    // Written at once, for what is not at hand in one piece can be torn.
    let line = format!("{line}\n");
    let say =
        |output: &mut Output| output.has_room_within(LAST_PATIENCE) && output.write(line.as_bytes()).is_ok();
    let _nobody_is_left_to_be_told = alone(|| OUTPUT.with_borrow_mut(say));
}

/// Does something in which this thread's own lines are not logged: mio logs what is done with a poll, and a value can log
/// while it is formatted. Nothing if it is being done already.
fn alone<T>(act: impl FnOnce() -> T) -> Option<T> {
    if LOGGING.replace(true) {
        return None;
    }
    let outcome = act();
    LOGGING.set(false);
    Some(outcome)
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

/// A logger that survives the panics of the one within, and does not make anybody wait.
struct Guarded<L>(L);

impl<L: Log> Log for Guarded<L> {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        if self.0.enabled(record.metadata()) {
            let tell = || OUTPUT.with_borrow_mut(|output| self.tell(record, output));
            // Nothing of ours is left half changed by the unwinding: the logger has no state, and what is known of
            // standard error says at each point what is true if it ends there.
            alone(|| panic::catch_unwind(AssertUnwindSafe(tell)));
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl<L: Log> Guarded<L> {
    /// Writes the record, and before it how many were lost. Where there is room for neither, one more is lost.
    fn tell(&self, record: &Record, output: &mut Output) {
        let lost = output.lost;
        // This one too, until it is written.
        output.lost += 1;
        if lost > 0 {
            let lines = if lost == 1 { "line was" } else { "lines were" };
            let text = format!("{lost} {lines} lost: standard error took no more");
            let metadata = Metadata::builder().level(record.level()).target(module_path!()).build();
            if !self.write(&metadata, &text, output) {
                return;
            }
            output.lost = 1;
        }
        let room = LINE_BYTES_MAX.saturating_sub(FRAME_BYTES + record.target().len());
        let mut text = Text { text: String::new(), room };
        // It fails at the end of the room, and where a value cannot be formatted; what is there is logged.
        let _ = text.write_fmt(*record.args());
        if self.write(record.metadata(), &text.text, output) {
            output.lost = 0;
        }
    }

    /// Hands a line on, if there is room for one. Whether it was written; it panics where the logger does.
    fn write(&self, metadata: &Metadata, text: &str, output: &mut Output) -> bool {
        if !output.has_room() {
            return false;
        }
        // Torn until all is written; and what was written of a torn line before has no end yet.
        if std::mem::replace(&mut output.is_torn, true) && output.write(b"\n").is_err() {
            return false;
        }
        output.is_torn = match &output.terminal {
            Some(terminal) => !terminal::write(terminal, metadata, text),
            None => {
                let mut record = Record::builder();
                self.0.log(&record.metadata(metadata.clone()).args(format_args!("{text}")).build());
                false
            }
        };
        !output.is_torn
    }
}

/// The text of one line: control characters are escaped, and what is too much is cut off.
struct Text {
    text: String,
    room: usize,
}

impl Text {
    fn push(&mut self, c: char) -> fmt::Result {
        self.room = self.room.checked_sub(c.len_utf8()).ok_or(fmt::Error)?;
        self.text.push(c);
        Ok(())
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() {
                c.escape_default().try_for_each(|c| self.push(c))?;
            } else {
                self.push(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Panics on every line, as `eprintln!` does without a reader, but keeps the lines that begin with `works` and what
    /// is said of those that were lost.
    #[derive(Default)]
    struct Broken(Mutex<Vec<String>>);

    impl Log for Broken {
        fn enabled(&self, _: &Metadata) -> bool {
            true
        }
        fn log(&self, record: &Record) {
            let line = record.args().to_string();
            if !line.starts_with("works") && !line.contains(" lost: ") {
                panic!("meant to fail");
            }
            self.0.lock().unwrap().push(line);
        }
        fn flush(&self) {}
    }

    /// One that does not ask whether the standard error of the tests has room, and begins with nothing lost.
    fn broken() -> Guarded<Broken> {
        OUTPUT.set(Output::unasked());
        Guarded(Broken::default())
    }

    fn log(logger: &Guarded<Broken>, line: &str) {
        logger.log(&Record::builder().args(format_args!("{line}")).build());
    }

    #[test]
    fn a_line_that_cannot_be_written_is_dropped_and_the_next_says_so() {
        let logger = broken();
        for line in ["fails", "works 1", "fails", "fails", "works 2", "works 3"] {
            log(&logger, line);
        }
        // This one refuses some lines and not others, so that of the second loss is told by the third.
        let lost = "1 line was lost: standard error took no more";
        assert_eq!(*logger.0.0.lock().unwrap(), [lost, "works 1", lost, lost, "works 2", "works 3"]);
    }

    #[test]
    fn a_line_is_cut_at_its_limit_and_is_one_line() {
        let logger = broken();
        for long in ["works ".to_owned() + &"x".repeat(5000), "works ".to_owned() + &"é".repeat(5000)] {
            log(&logger, &long);
        }
        log(&logger, "works\n\r\u{1b}[2J\u{85}");
        let lines = logger.0.0.into_inner().unwrap();
        let most = LINE_BYTES_MAX - FRAME_BYTES;
        assert_eq!(lines[0].len(), most);
        assert!((most - 1..=most).contains(&lines[1].len()));
        assert_eq!(lines[2], r"works\n\r\u{1b}[2J\u{85}");
    }

    #[test]
    fn a_value_that_logs_while_it_is_logged_does_no_harm() {
        struct Chatty<'a>(&'a Guarded<Broken>);
        impl fmt::Display for Chatty<'_> {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                log(self.0, "works from within");
                f.write_str("works")
            }
        }
        let logger = broken();
        logger.log(&Record::builder().args(format_args!("{}", Chatty(&logger))).build());
        assert_eq!(*logger.0.0.lock().unwrap(), ["works"]);
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

        log(&broken(), "fails");
        assert_eq!(REPORTS.get(), 0);
        assert!(panic::catch_unwind(|| panic!("meant to be reported")).is_err());
        assert_eq!(REPORTS.get(), 1);
    }
}
