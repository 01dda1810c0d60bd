//! The terminal: taken over, and given back whatever happens.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, panic};

use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
};
use crossterm::{Command, cursor, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;

/// What is drawn on.
pub type Canvas = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// The terminal while it is ours. It is given back when this is dropped, and when the program panics.
pub struct Screen {
    /// What is drawn on.
    pub canvas: Canvas,
}

impl Screen {
    /// Takes the terminal over.
    pub fn enter() -> io::Result<Screen> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        let canvas = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(16 << 10, io::stdout())))?;
        // From here on it is given back.
        let screen = Screen { canvas };
        take_over()?;
        Ok(screen)
    }

    /// Lets the shell have the terminal until the program is continued.
    pub fn suspend(&mut self) -> io::Result<()> {
        leave();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        take_over()?;
        self.clear()
    }

    /// Makes the next drawing draw everything. Not by [`Terminal::clear`], which asks the terminal where the cursor
    /// is, and reads and waits for the answer itself.
    pub fn clear(&mut self) -> io::Result<()> {
        let size = self.canvas.size()?;
        self.canvas.resize(Rect::new(0, 0, size.width, size.height))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Whether the terminal is ours: it is given back once, also when the program panics and then tidies up.
static IS_OURS: AtomicBool = AtomicBool::new(false);

fn take_over() -> io::Result<()> {
    IS_OURS.store(true, Ordering::Relaxed);
    enable_raw_mode()?;
    let mut output = io::stdout().lock();
    queue!(output, EnterAlternateScreen, Modes(true), SetTitle("parlor-chat"))?;
    output.flush()
}

/// Everything is tried, whatever of it fails.
fn leave() {
    if !IS_OURS.swap(false, Ordering::Relaxed) {
        return;
    }
    let mut output = io::stdout().lock();
    let _ = queue!(output, Modes(false), LeaveAlternateScreen, cursor::Show);
    let _ = output.flush();
    let _ = disable_raw_mode();
}

/// Pasted text in brackets, and of the mouse only the buttons: a wheel is one. crossterm's own command would have the
/// terminal tell of every movement.
struct Modes(bool);

impl Command for Modes {
    fn write_ansi(&self, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(if self.0 {
            "\x1b[?2004h\x1b[?1000h\x1b[?1006h"
        } else {
            "\x1b[?1006l\x1b[?1000l\x1b[?2004l"
        })
    }
}
