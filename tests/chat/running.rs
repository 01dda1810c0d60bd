//! The client with pipes. Every wait has a deadline, and no process outlives its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::PATIENCE;

/// The client for this server, as a user called `tester`.
pub fn command(server: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor-chat"));
    command.args(["--server", server]).args(arguments).env("USER", "tester");
    command
}

/// A running client.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
}

/// How it ended, with what it printed that was not looked at before.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub output: Vec<String>,
    pub errors: Vec<String>,
}

impl Running {
    pub fn start(server: &str, arguments: &[&str]) -> Running {
        Running::spawn(&mut command(server, arguments))
    }

    pub fn spawn(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Running { input: child.stdin.take(), child, lines: lines(output), errors: lines(errors) }
    }

    /// Writes to its standard input.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.input.as_mut().expect("open").write_all(bytes.as_ref()).unwrap();
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => String::from_utf8(line).unwrap(),
            Err(why) => panic!("no line ({why}); standard error: {:?}", strings(self.errors.try_iter())),
        }
    }

    /// The next line, if it comes within this time.
    pub fn line_within(&mut self, time: Duration) -> Option<String> {
        let line = self.lines.recv_timeout(time).ok()?;
        Some(String::from_utf8(line).unwrap())
    }

    /// Closes its standard output, once it has printed another line.
    pub fn stop_reading(&mut self) {
        self.lines = mpsc::channel().1;
    }

    /// The next line of standard error.
    pub fn error(&mut self) -> String {
        String::from_utf8(self.errors.recv_timeout(PATIENCE).expect("an error")).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Waits for the end. Standard input is ended first.
    pub fn ended(mut self) -> Ended {
        self.end_input();
        let code = wait(&mut self.child).code();
        let output = strings(self.lines.iter());
        Ended { code, output, errors: strings(self.errors.iter()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it with this input to its end.
pub fn run(server: &str, arguments: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let mut running = Running::start(server, arguments);
    // It may end before it has read all.
    let _ = running.input.as_mut().unwrap().write_all(input.as_ref());
    running.ended()
}

/// Waits for the end of a process.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the client is still running");
        thread::sleep(Duration::from_millis(2));
    }
}

fn strings(lines: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
    lines.map(|line| String::from_utf8(line).unwrap()).collect()
}

fn lines(source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let mut source = BufReader::new(source);
    thread::spawn(move || {
        loop {
            let mut line = Vec::new();
            match source.read_until(b'\n', &mut line) {
                Ok(1..) => assert_eq!(line.pop(), Some(b'\n'), "a line without its end"),
                _ => break,
            }
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
