//! A real engine that joins nodes, as a process: `redis-server`, or `valkey-server` where that is what is installed, or
//! the program that the environment variable `PARLOR_TEST_REDIS` names. Each test starts its own, on a socket of its own.
//! Every wait has a deadline, and no process outlives its test.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::process::{Directory, PATIENCE, Parlor};

/// The program, if there is one.
fn program() -> Option<String> {
    if let Ok(named) = env::var("PARLOR_TEST_REDIS") {
        return Some(named);
    }
    let runs = |name: &&str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    ["redis-server", "valkey-server"].into_iter().find(runs).map(String::from)
}

/// Says so and returns `false` where there is no engine to test with.
pub fn has_engine() -> bool {
    let found = program().is_some();
    assert!(found || env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "no redis-server");
    if !found {
        println!("passed over: no redis-server");
    }
    found
}

/// A running engine.
pub struct Engine {
    pub child: Child,
    arguments: Vec<String>,
    pub directory: Directory,
}

impl Engine {
    /// Starts one that keeps nothing on a disk, with these arguments more, and waits until it answers.
    pub fn start(arguments: &[&str]) -> Engine {
        let directory = Directory::new();
        let path = directory.file("engine").display().to_string();
        let place = directory.file("").display().to_string();
        let mut all =
            vec!["--port", "0", "--unixsocket", &path, "--save", "", "--appendonly", "no", "--dir", &place];
        all.extend(arguments);
        let arguments: Vec<String> = all.into_iter().map(String::from).collect();
        let child = Engine::spawn(&arguments);
        let engine = Engine { child, arguments, directory };
        engine.wait();
        engine
    }

    fn spawn(arguments: &[String]) -> Child {
        let mut command = Command::new(program().expect("there is an engine"));
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn wait(&self) {
        until("the engine answers", || {
            UnixStream::connect(self.directory.file("engine")).is_ok()
                && !self.ask(&["PING"]).contains("LOADING")
        });
    }

    /// For `--cluster`.
    pub fn url(&self) -> String {
        format!("redis+unix:{}", self.directory.file("engine").display())
    }

    /// Sends a command on a connection of its own, which stays open as long as it is kept.
    pub fn tell(&self, arguments: &[&str]) -> UnixStream {
        let mut stream = UnixStream::connect(self.directory.file("engine")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = format!("*{}\r\n", arguments.len());
        for argument in arguments {
            command += &format!("${}\r\n{argument}\r\n", argument.len());
        }
        stream.write_all(command.as_bytes()).unwrap();
        stream
    }

    /// Sends a command, and returns what comes first.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let mut answer = vec![0; 64 << 10];
        let count = self.tell(arguments).read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }

    /// The integer that is the answer to a command.
    pub fn number(&self, arguments: &[&str]) -> i64 {
        let answer = self.ask(arguments);
        let number = answer.strip_prefix(':').and_then(|rest| rest.trim_end().parse().ok());
        number.unwrap_or_else(|| panic!("{arguments:?}: {answer}"))
    }

    /// Sends its process a signal.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew, with empty memory, after [`Engine::kill`].
    pub fn revive(&mut self) {
        self.child = Engine::spawn(&self.arguments);
        self.wait();
    }

    /// A node that is joined by it, and the address of its listener.
    pub fn node(&self, arguments: &[&str]) -> (Parlor, String) {
        Parlor::serve(&[&["--cluster", &self.url()], arguments].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it is so.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
