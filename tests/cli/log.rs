//! The log: which levels are written, what a level holds, and that a standard error that fails is no reason to end.

use std::fs::File;
use std::io::pipe;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Client, Directory, Parlor, unix};

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
        env!("CARGO_BIN_EXE_parlor"),
        "--log",
        "trace",
        "--listen",
        &address,
    ]);
    assert_serves_on(Parlor::spawn(command.stderr(Stdio::null())), &address);
}
