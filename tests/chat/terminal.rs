//! A pseudo-terminal with the client in it, and an emulator that knows what is on the screen.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty};

use crate::process::PATIENCE;

/// The client on a terminal. Killed when it is dropped.
pub struct Terminal {
    pty: Option<Arc<Pty>>,
    child: Child,
    emulator: vt100::Parser,
    output: Receiver<Vec<u8>>,
}

impl Terminal {
    /// Starts the client on a terminal of so many columns and rows, as a user called `tester`.
    pub fn start(server: &str, (columns, rows): (u16, u16), arguments: &[&str]) -> Terminal {
        let client = Command::new(env!("CARGO_BIN_EXE_parlor-chat"));
        Terminal::spawn(client.args(["--server", server]).args(arguments), (columns, rows))
    }

    /// Likewise in a shell, which then tells the exit status and the state of the terminal.
    pub fn start_in_shell(server: &str, arguments: &[&str]) -> Terminal {
        let script = r#""$0" "$@"; echo "status $?"; stty -a; echo done; sleep 60"#;
        let shell = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_parlor-chat")]);
        Terminal::spawn(shell.args(["--server", server]).args(arguments), (80, 24))
    }

    pub fn spawn(command: Command, (columns, rows): (u16, u16)) -> Terminal {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let command = command.env("USER", "tester").env("TERM", "xterm-256color").env("TZ", "UTC");
        let child = command.spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let (sender, output) = mpsc::channel();
        let source = Arc::downgrade(&pty);
        thread::spawn(move || {
            let mut buffer = [0; 64 << 10];
            // The terminal is there as long as somebody but this thread holds it, but for one read.
            while let Some(pty) = source.upgrade()
                && let Ok(count @ 1..) = (&*pty).read(&mut buffer)
            {
                drop(pty);
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let emulator = vt100::Parser::new(size(rows), size(columns), 0);
        Terminal { pty: Some(pty), child, emulator, output }
    }

    /// Types these bytes.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        (&**self.pty.as_ref().unwrap()).write_all(keys.as_ref()).unwrap();
    }

    /// Types a line and Enter.
    pub fn enter(&mut self, line: &str) {
        self.press(format!("{line}\r"));
    }

    /// Makes the terminal another size.
    pub fn resize(&mut self, (columns, rows): (u16, u16)) {
        self.emulator.screen_mut().set_size(size(rows), size(columns));
        self.pty.as_ref().unwrap().resize(Size::new(rows, columns)).unwrap();
    }

    /// Waits until the screen is as wanted.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.emulator.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.emulator.process(&bytes),
                Err(why) => panic!("in vain ({why}): {what}\n{}", self.contents()),
            }
        }
    }

    /// Waits until this text is on the screen.
    pub fn see(&mut self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    /// Waits until this text is no more on the screen.
    pub fn see_no_more(&mut self, text: &str) {
        self.wait(&format!("no {text}"), |screen| !screen.contents().contains(text));
    }

    /// What is on the screen.
    pub fn contents(&self) -> String {
        self.emulator.screen().contents()
    }

    pub fn screen(&self) -> &vt100::Screen {
        self.emulator.screen()
    }

    /// Takes what comes in this time.
    pub fn look_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.emulator.process(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    /// Takes the terminal away, as a closed window does.
    pub fn hang_up(&mut self) {
        self.pty = None;
        // The reading thread still has it; what it waits for is the client's next word.
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the client; its exit status, if it was not killed.
    pub fn ended(&mut self) -> Option<i32> {
        let status = crate::running::wait(&mut self.child);
        self.look_for(Duration::from_millis(50));
        status.code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}
