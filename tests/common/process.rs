//! The binary as a process, and a client to talk to it: for tests of what only a whole process has, such as signals,
//! standard error and an exit status. Every wait has a deadline, and no process outlives its test.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// How long a test waits before it fails. Nothing that works takes nearly as long, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. Killed when it is dropped.
pub struct Parlor {
    child: Child,
    lines: Option<Receiver<String>>,
    /// Every line of standard error that was waited for or passed over so far.
    pub log: Vec<String>,
}

/// How a server ended, and all that it had written to standard error.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None` after a signal that was not handled.
    pub code: Option<i32>,
    /// The lines of standard error.
    pub log: Vec<String>,
}

/// The binary that is tested: the one that was built with the tests, or another, built for another machine, say, at the
/// path that the environment variable `PARLOR_TESTED_BINARY` gives.
pub fn binary() -> String {
    std::env::var("PARLOR_TESTED_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_parlor").into())
}

impl Parlor {
    /// Starts the binary. What it writes to standard error can be waited for.
    pub fn start<A: AsRef<str>>(arguments: &[A]) -> Parlor {
        let mut command = Command::new(binary());
        command.args(arguments.iter().map(AsRef::as_ref));
        Parlor::spawn_and_listen(&mut command)
    }

    /// Starts it by way of a command that ends up as its process. What it writes to standard error can be waited for.
    #[allow(dead_code)]
    pub fn spawn_and_listen(command: &mut Command) -> Parlor {
        let mut parlor = Parlor::spawn(command.stderr(Stdio::piped()));
        let stderr = BufReader::new(parlor.child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Ends with the process, which closes the pipe.
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        parlor.lines = Some(lines);
        parlor
    }

    /// Starts the binary with a standard error that the test does not see.
    pub fn start_with_stderr<A: AsRef<str>>(arguments: &[A], stderr: impl Into<Stdio>) -> Parlor {
        let mut command = Command::new(binary());
        command.args(arguments.iter().map(AsRef::as_ref));
        Parlor::spawn(command.stderr(stderr))
    }

    /// Starts the binary by way of a command that ends up as its process.
    pub fn spawn(command: &mut Command) -> Parlor {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Parlor { child, lines: None, log: Vec::new() }
    }

    /// Starts the binary on a free port of 127.0.0.1, and returns the address when it accepts connections there.
    pub fn serve(arguments: &[&str]) -> (Parlor, String) {
        let mut parlor = Parlor::start(&[&["--listen", "127.0.0.1:0"], arguments].concat());
        let address = parlor.address();
        (parlor, address)
    }

    /// Waits for the next line that tells of a listener, and returns its address.
    pub fn address(&mut self) -> String {
        let line =
            self.line("a line that ends in `listening on ADDR`", |line| line.contains("listening on "));
        line.rsplit_once("listening on ").unwrap().1.to_string()
    }

    /// Waits for the next line of standard error that is `wanted`, passing over others.
    pub fn line(&mut self, description: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let lines = self.lines.as_ref().expect("standard error is not read");
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(why) => panic!("no {description} ({why}); standard error: {:#?}", self.log),
            }
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without `SIG`. The shell's own `kill` is there on every Unix.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end of the process.
    pub fn ended(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "still running; standard error: {:#?}", self.log);
            thread::sleep(Duration::from_millis(5));
        }
        if let Some(lines) = self.lines.take() {
            loop {
                match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(line) => self.log.push(line),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => panic!("standard error stays open"),
                }
            }
        }
        Ended { code: self.child.wait().unwrap().code(), log: std::mem::take(&mut self.log) }
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(self) -> Ended {
        self.signal("TERM");
        self.ended()
    }
}

/// What is asked of a process under attack; not by each program of tests.
#[allow(dead_code)]
impl Parlor {
    /// Starts the binary where so many descriptors may be open at once.
    pub fn start_with_descriptors(descriptors: usize, arguments: &[&str]) -> Parlor {
        let mut command = Command::new("sh");
        let script = format!(r#"ulimit -n {descriptors} && exec "$0" "$@""#);
        command.args(["-c", &script, &binary()]).args(arguments);
        Parlor::spawn_and_listen(&mut command)
    }

    /// The lines of standard error that have come and were not waited for, too.
    pub fn log_so_far(&mut self) -> &[String] {
        self.log.extend(self.lines.iter().flat_map(|lines| lines.try_iter()));
        &self.log
    }

    /// What the process has in memory now, in bytes.
    #[cfg(target_os = "linux")]
    pub fn resident_bytes(&self) -> usize {
        self.status("VmRSS:") << 10
    }

    /// The most that it ever had in memory, in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_resident_bytes(&self) -> usize {
        self.status("VmHWM:") << 10
    }

    #[cfg(target_os = "linux")]
    fn status(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is running");
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The time for which the process has had a processor.
    #[cfg(target_os = "linux")]
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the program stands in parentheses; the times are the 12th and 13th fields behind it, in
        // hundredths of a second on every Linux that there is.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }
}

impl Drop for Parlor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end, for command lines that do not serve.
pub fn run<A: AsRef<str>>(arguments: &[A]) -> Ended {
    Parlor::start(arguments).ended()
}

/// A connection to a server.
pub struct Client {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
}

impl Client {
    /// Connects to an address as the server logs it.
    pub fn connect(address: &str) -> Client {
        Client::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Likewise, where it may fail.
    pub fn try_connect(address: &str) -> std::io::Result<Client> {
        if let Some(path) = address.strip_prefix("unix:") {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            return Ok(Client {
                reader: BufReader::new(Box::new(stream.try_clone()?)),
                writer: Box::new(stream),
            });
        }
        let address: SocketAddr = address.parse().map_err(|_| ErrorKind::InvalidInput)?;
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { reader: BufReader::new(Box::new(stream.try_clone()?)), writer: Box::new(stream) })
    }

    /// Connects when the server is ready, for servers whose log the test does not see.
    pub fn connect_when_ready(address: &str) -> Client {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Client::try_connect(address) {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends one line.
    pub fn send(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line without its end; nothing at the end of the stream.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.strip_suffix('\n').expect("a line cut short").to_string()),
            Err(error) => panic!("no line: {error}"),
        }
    }

    /// Sends a request and returns the `message` of its reply.
    pub fn ask(&mut self, request: &str) -> String {
        self.send(request);
        self.message()
    }

    /// The `message` of the next line, which must be a reply.
    pub fn message(&mut self) -> String {
        let line = self.line().expect("a reply, not the end");
        let reply: serde_json::Value = serde_json::from_str(&line).unwrap();
        reply["message"].as_str().unwrap_or_else(|| panic!("not a reply: {line}")).to_string()
    }

    /// Joins a room that is an integer.
    pub fn join(&mut self, room: u64) {
        assert_eq!(self.ask(&format!(r#"{{"action":"JOIN ROOM","room_id":{room}}}"#)), "OK");
    }

    /// Checks that the server answers.
    pub fn assert_served(&mut self) {
        let message = self.ask(r#"{"action":"no such thing"}"#);
        assert!(message.starts_with("Unknown action"), "{message}");
    }
}

/// An empty directory with a short name, for sockets; removed when dropped.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one.
    pub fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("parlor-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    /// The path of a file in it, which need not exist.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A path as the option `--listen` takes it.
pub fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}
