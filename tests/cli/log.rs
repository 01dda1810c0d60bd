//! The log: which levels are written, what a level holds, and that a standard error that fails is no reason to end.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Client, Directory, PATIENCE, Parlor, unix};

/// Lets a client say something a few hundred times, to itself.
fn chat(client: &mut Client) {
    client.join(1);
    for _ in 0..200 {
        client.send(r#"{"action":"SEND MESSAGE","room_id":1,"text":"hello"}"#);
        assert_eq!(client.message(), "OK");
        assert!(client.line().unwrap().contains("GET MESSAGE"));
    }
}

/// All that a server with these options logs in a short life with one client.
fn log_of(arguments: &[&str]) -> Vec<String> {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    // So few that no limit of open files is too low, of which there would be a warning.
    let parlor = Parlor::start(&[arguments, &["--max-clients", "10", "--listen", &address]].concat());
    chat(&mut Client::connect_when_ready(&address));
    let ended = parlor.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.log
}

/// How many of the lines are of this level.
fn count(log: &[String], level: &str) -> usize {
    log.iter().filter(|line| line.contains(&format!(" {level:<5} ["))).count()
}

#[test]
fn lines_carry_the_time_in_utc_the_level_and_the_module() {
    for line in log_of(&[]) {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == "2000-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{line}");
        assert!(rest.starts_with("INFO  [parlor"), "{line}");
    }
}

#[test]
fn info_is_the_default_and_has_no_line_for_each_message() {
    for arguments in [&[][..], &["--log", "info"]] {
        let log = log_of(arguments);
        assert_eq!(count(&log, "INFO"), log.len(), "{log:#?}");
        assert!((2..20).contains(&log.len()), "{log:#?}");
    }
}

#[test]
fn quieter_levels_leave_out_what_is_less_severe() {
    for level in ["error", "warn", "off"] {
        assert_eq!(log_of(&["--log", level]), [""; 0], "--log {level}");
    }
}

#[test]
fn louder_levels_hold_all_of_info_too() {
    for level in ["debug", "trace"] {
        let log = log_of(&["--log", level]);
        assert!(count(&log, "INFO") >= 2, "{log:#?}");
    }
}

/// Whether a line holds counters. The line that tells of the stop holds some too.
fn has_counters(line: &str) -> bool {
    ["clients ", "rooms ", "requests ", "messages "].iter().all(|counter| line.contains(counter))
}

#[test]
fn stats_logs_counters_again_and_again() {
    let start = Instant::now();
    let (mut parlor, address) = Parlor::serve(&["--stats", "1"]);
    let mut client = Client::connect(&address);
    chat(&mut client);
    for _ in 0..2 {
        parlor.line("counters", has_counters);
    }
    let taken = start.elapsed();
    assert!(
        (Duration::from_millis(1900)..Duration::from_secs(10)).contains(&taken),
        "two lines took {taken:?}"
    );
    let last = parlor.log.last().unwrap();
    assert!(
        ["clients 1,", "rooms 1,", "requests 201,", "messages 200,"].iter().all(|count| last.contains(count)),
        "{last}"
    );
}

#[test]
fn without_stats_there_are_no_counters() {
    for arguments in [&[][..], &["--stats", "0"]] {
        let (mut parlor, address) = Parlor::serve(arguments);
        let mut client = Client::connect(&address);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1200) {
            client.assert_served();
        }
        parlor.signal("TERM");
        parlor.line("stop", |line| line.contains("stopping"));
        assert!(!parlor.log.iter().any(|line| has_counters(line)), "{:#?}", parlor.log);
    }
}

/// Serves a client while the log is written again and again to a standard error that fails, then stops.
fn assert_serves_on(parlor: Parlor, address: &str) {
    let mut client = Client::connect_when_ready(address);
    client.assert_served();
    for _ in 0..5 {
        parlor.signal("USR1");
        client.assert_served();
    }
    chat(&mut client);
    drop(client);
    let ended = parlor.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn it_serves_on_when_the_reader_of_standard_error_has_gone() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    assert_serves_on(Parlor::start_with_stderr(&["--log", "trace", "--listen", &address], writer), &address);
}

#[test]
#[cfg(target_os = "linux")]
fn it_serves_on_when_the_disk_of_standard_error_is_full() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let full = File::create("/dev/full").unwrap();
    assert_serves_on(Parlor::start_with_stderr(&["--log", "trace", "--listen", &address], full), &address);
}

#[test]
fn it_serves_on_when_standard_error_is_closed_from_the_start() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"exec "$0" "$@" 2>&-"#,
        &crate::process::binary(),
        "--log",
        "trace",
        "--listen",
        &address,
    ]);
    assert_serves_on(Parlor::spawn(command.stderr(Stdio::null())), &address);
}

/// Makes the server log far more than a pipe or a socket holds, and checks that it serves meanwhile.
fn fill_the_log(parlor: &Parlor, address: &str) {
    let mut client = Client::connect_when_ready(address);
    let script = "i=0; while [ $i -lt 20 ]; do kill -USR1 $0 && i=$((i + 1)); done";
    for _ in 0..50 {
        let kill = Command::new("sh").args(["-c", script, &parlor.id().to_string()]).status();
        assert!(kill.unwrap().success());
        client.assert_served();
        Client::connect(address).assert_served();
    }
    // Signals of one kind that wait count as one: as many again, each for itself.
    for _ in 0..500 {
        parlor.signal("USR1");
        client.assert_served();
    }
}

#[test]
fn it_serves_and_stops_when_nobody_reads_standard_error() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let (_reader, writer) = pipe().unwrap();
    let parlor = Parlor::start_with_stderr(&["--listen", &address], writer);
    fill_the_log(&parlor, &address);
    assert_eq!(parlor.stop().code, Some(0));

    let (_reader, writer) = UnixStream::pair().unwrap();
    let parlor = Parlor::start_with_stderr(&["--drain", "1000", "--listen", &address], OwnedFd::from(writer));
    fill_the_log(&parlor, &address);
    let mut client = Client::connect(&address);
    client.assert_served();
    parlor.signal("TERM");
    assert_eq!(client.message(), "Server shutting down");
    parlor.signal("TERM");
    assert_eq!(parlor.ended().code, Some(143));
}

#[test]
fn it_ends_with_an_error_that_nobody_reads() {
    let (_reader, writer) = pipe().unwrap();
    let copy = writer.try_clone().unwrap();
    // Blocks when the pipe is full, and ends with it.
    std::thread::spawn(move || while std::io::Write::write(&mut &copy, b"x").is_ok() {});
    // A second is more than this takes; if it did not, the error would be written, and the end would be the same.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(Parlor::start_with_stderr(&["--nonsense"], writer).ended().code, Some(2));
}

#[test]
fn the_first_line_that_can_be_written_again_says_how_many_were_lost() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let (reader, writer) = pipe().unwrap();
    let parlor = Parlor::start_with_stderr(&["--listen", &address], writer);
    fill_the_log(&parlor, &address);
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(reader).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let next = || lines.recv_timeout(PATIENCE).expect("a line");
    let mut seen: Vec<String> = Vec::new();
    while !seen.last().is_some_and(|line| line.contains(" lost: ")) {
        if seen.len().is_multiple_of(100) {
            parlor.signal("USR1");
        }
        seen.push(next());
    }
    // A line that has begun is whole: each begins with its time, and only the last tells of those that are lost.
    let is_whole = |line: &String| line.starts_with("20") && line.contains(" INFO  [parlor");
    assert!(seen.iter().all(is_whole), "{seen:#?}");
    let lost = seen.last().unwrap();
    let (number, _) = lost.split_once(" lines were lost").unwrap_or_else(|| panic!("{lost}"));
    let number: usize = number.rsplit_once(' ').unwrap().1.parse().unwrap();
    // 500 times two lines, of which a pipe holds a part.
    assert!(number + seen.len() > 1000, "{number} lost of {}", seen.len());
    parlor.signal("USR1");
    assert!((0..100).any(|_| has_counters(&next())), "it goes on logging");
    assert_eq!(parlor.stop().code, Some(0));
}

/// Starts it with standard error appended to a file that may have only so many blocks.
fn start_with_limited_file(blocks: u32, file: &std::path::Path, arguments: &[&str]) -> Parlor {
    let log = OpenOptions::new().create(true).append(true).open(file).unwrap();
    let script = format!(r#"ulimit -f {blocks} && exec "$0" "$@""#);
    let mut command = Command::new("sh");
    command.args(["-c", &script, &crate::process::binary()]).args(arguments).stderr(log);
    Parlor::spawn(&mut command)
}

#[test]
fn it_serves_on_when_the_file_of_standard_error_is_at_its_limit() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let file = directory.file("log");
    // Blocks of 512 or of 1024 bytes, as the shell likes.
    let parlor = start_with_limited_file(4, &file, &["--listen", &address]);
    let mut client = Client::connect_when_ready(&address);
    for _ in 0..50 {
        parlor.signal("USR1");
        client.assert_served();
    }
    let full = fs::read_to_string(&file).unwrap();
    assert!((1000..=4096).contains(&full.len()), "{}", full.len());
    // The operator makes room, and the log goes on.
    fs::write(&file, "").unwrap();
    let deadline = Instant::now() + PATIENCE;
    let log = loop {
        parlor.signal("USR1");
        client.assert_served();
        let log = fs::read_to_string(&file).unwrap();
        if log.contains(" lost: ") {
            break log;
        }
        assert!(Instant::now() < deadline, "nothing is logged any more: {log}");
    };
    let first = log.lines().find(|line| !line.is_empty()).unwrap();
    assert!(first.contains(" lines were lost"), "{log}");
    assert!(log.lines().all(|line| line.is_empty() || line.starts_with("20")), "{log}");
    assert_eq!(parlor.stop().code, Some(0));
}

/// The first line that it logs when the environment says that the journal reads this.
fn first_line_with_journal(stream: impl Fn(&std::fs::Metadata) -> String) -> String {
    let (reader, writer) = pipe().unwrap();
    let metadata = File::from(OwnedFd::from(writer.try_clone().unwrap())).metadata().unwrap();
    let mut command = Command::new(crate::process::binary());
    command.args(["--listen", "127.0.0.1:0"]).env("JOURNAL_STREAM", stream(&metadata)).stderr(writer);
    let parlor = Parlor::spawn(&mut command);
    drop(command);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    parlor.signal("TERM");
    line
}

#[test]
fn the_journal_dates_its_lines_itself() {
    let line = first_line_with_journal(|is| format!("{}:{}", is.dev(), is.ino()));
    assert!(line.starts_with("INFO  [parlor") || line.starts_with("WARN  [parlor"), "{line}");
    // Inherited from somebody whose standard error is the journal, where this one's is not.
    for other in ["1:1", "", "x", ":"] {
        let line = first_line_with_journal(|_| other.into());
        assert!(line.starts_with("20"), "{line}");
    }
}
