//! Signals: how the server stops, what it still does for its clients, and how a second signal cuts that short.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Client, Directory, Parlor, unix};

/// Signals that stop the server, with their numbers.
const STOPPING: [(&str, i32); 2] = [("TERM", 15), ("INT", 2)];

/// How many messages of 16 KB no buffer of the kernel takes.
const MESSAGES: usize = 1000;

/// Sends so many messages of 16 KB, which begin with their number.
fn fill(sender: &mut Client, room: u64, messages: usize) {
    for number in 0..messages {
        let text = format!("{number} {}", "x".repeat(16_000));
        let request = format!(r#"{{"action":"SEND MESSAGE","room_id":{room},"text":"{text}"}}"#);
        assert_eq!(sender.ask(&request), "OK");
    }
}

/// Lets one client join a room without reading from then on, and another fill the room.
fn with_output_pending(address: &str) -> Client {
    let mut reader = Client::connect(address);
    reader.join(1);
    fill(&mut Client::connect(address), 1, MESSAGES);
    reader
}

#[test]
fn an_idle_server_stops_with_status_0() {
    for (signal, _) in STOPPING {
        let (parlor, _) = Parlor::serve(&[]);
        parlor.signal(signal);
        assert_eq!(parlor.ended().code, Some(0), "{signal}");
    }
}

#[test]
fn clients_are_told_and_closed_with_status_0() {
    for (signal, _) in STOPPING {
        let (parlor, address) = Parlor::serve(&[]);
        let mut clients: Vec<_> = (0..5).map(|_| Client::connect(&address)).collect();
        clients.iter_mut().for_each(Client::assert_served);
        parlor.signal(signal);
        for mut client in clients {
            assert_eq!(
                client.line().unwrap(),
                r#"{"action":"ERROR","request":null,"message":"Server shutting down"}"#
            );
            assert_eq!(client.line(), None);
        }
        assert_eq!(parlor.ended().code, Some(0), "{signal}");
    }
}

#[test]
fn what_waits_is_flushed_before_the_end() {
    let (parlor, address) = Parlor::serve(&["--max-pending", "64M", "--drain", "30"]);
    let mut reader = with_output_pending(&address);
    parlor.signal("TERM");
    for number in 0..MESSAGES {
        let line = reader.line().unwrap();
        assert!(
            line.contains(&format!(r#""text":"{number} x"#)),
            "message {number} is missing: {:.80}",
            line
        );
    }
    assert_eq!(reader.message(), "Server shutting down");
    assert_eq!(reader.line(), None);
    drop(reader);
    assert_eq!(parlor.ended().code, Some(0));
}

#[test]
fn a_client_that_does_not_read_is_waited_for_no_longer_than_drain() {
    let (parlor, address) = Parlor::serve(&["--max-pending", "64M", "--drain", "2"]);
    let _reader = with_output_pending(&address);
    let start = Instant::now();
    parlor.signal("TERM");
    assert_eq!(parlor.ended().code, Some(0));
    let taken = start.elapsed();
    assert!(taken > Duration::from_millis(1900), "the client was given only {taken:?}");
    assert!(taken < Duration::from_secs(10), "the client was waited for {taken:?}");
}

#[test]
fn drain_0_waits_for_nobody() {
    let (parlor, address) = Parlor::serve(&["--max-pending", "64M", "--drain", "0"]);
    let _reader = with_output_pending(&address);
    let start = Instant::now();
    parlor.signal("TERM");
    assert_eq!(parlor.ended().code, Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once_with_128_and_its_number() {
    for (first, _) in STOPPING {
        for (second, number) in STOPPING {
            let (parlor, address) = Parlor::serve(&["--drain", "1000"]);
            // It does not close its side, so there is something left to wait for.
            let mut client = Client::connect(&address);
            client.assert_served();
            parlor.signal(first);
            assert_eq!(client.message(), "Server shutting down");
            parlor.signal(second);
            assert_eq!(parlor.ended().code, Some(128 + number), "{first}, then {second}");
        }
    }
}

#[test]
fn a_second_signal_drops_output_that_waits() {
    let (mut parlor, address) = Parlor::serve(&["--max-pending", "64M", "--drain", "1000"]);
    let _reader = with_output_pending(&address);
    let mut witness = Client::connect(&address);
    witness.assert_served();
    parlor.signal("TERM");
    assert_eq!(witness.message(), "Server shutting down");
    assert!(parlor.is_running());
    parlor.signal("TERM");
    assert_eq!(parlor.ended().code, Some(143));
}

#[test]
fn nothing_is_accepted_or_read_after_the_first_signal() {
    let (parlor, address) = Parlor::serve(&["--drain", "1000"]);
    let mut client = Client::connect(&address);
    client.assert_served();
    parlor.signal("TERM");
    assert_eq!(client.message(), "Server shutting down");

    assert!(TcpStream::connect(&address).is_err(), "a connection was accepted");
    client.send(r#"{"action":"JOIN ROOM","room_id":1}"#);
    assert_eq!(client.line(), None, "a request was carried out");
    drop(client);
    assert_eq!(parlor.ended().code, Some(0));
}

#[test]
fn a_stop_is_logged() {
    let (parlor, _) = Parlor::serve(&[]);
    let before = parlor.log.len();
    let ended = parlor.stop();
    assert!(ended.log.len() > before, "nothing is logged of the stop: {:#?}", ended.log);
}

#[test]
fn usr1_logs_counters_and_that_nothing_waits() {
    let (mut parlor, address) = Parlor::serve(&[]);
    let mut client = Client::connect(&address);
    for _ in 0..3 {
        client.assert_served();
        parlor.signal("USR1");
        let counters = parlor.line("counters", |line| line.contains("requests "));
        assert!(counters.contains("clients 1,"), "{counters}");
        parlor.line("list of clients", |line| line.contains("nothing waits"));
    }
}

#[test]
fn usr1_logs_the_ten_clients_for_which_most_waits() {
    let directory = Directory::new();
    let socket = unix(&directory.file("socket"));
    let mut parlor = Parlor::start(&["--max-pending", "64M", "--listen", &socket]);
    parlor.address();
    // Nobody of them reads: twelve are in room 1, the last two of them also in room 2.
    let mut readers: Vec<_> = (0..12).map(|_| Client::connect(&socket)).collect();
    readers.iter_mut().for_each(|reader| reader.join(1));
    readers[10..].iter_mut().for_each(|reader| reader.join(2));
    let mut sender = Client::connect(&socket);
    fill(&mut sender, 1, 100);
    fill(&mut sender, 2, 50);

    parlor.signal("USR1");
    let counters = parlor.line("counters", |line| line.contains("requests "));
    assert!(counters.contains("clients 13,") && counters.contains("messages 150,"), "{counters}");
    let listed: Vec<_> =
        (0..10).map(|_| parlor.line("client", |line| line.contains("bytes wait,"))).collect();
    assert!(
        listed[..2].iter().all(|line| line.contains("guest-11") || line.contains("guest-12")),
        "{listed:#?}"
    );
    assert!(
        !listed.iter().any(|line| line.contains("guest-13")),
        "nothing waits for the sender: {listed:#?}"
    );

    parlor.signal("USR1");
    parlor.line("counters", |line| line.contains("requests "));
    let lines = parlor.log.iter().filter(|line| line.contains("bytes wait,")).count();
    assert_eq!(lines, 10, "{:#?}", parlor.log);
}

#[test]
fn signals_that_come_with_the_very_first_client_are_not_lost() {
    for _ in 0..10 {
        let (parlor, address) = Parlor::serve(&[]);
        let client = TcpStream::connect(&address).unwrap();
        parlor.signal("TERM");
        drop(client);
        assert_eq!(parlor.ended().code, Some(0));
    }
}

#[test]
fn a_stop_is_orderly_from_the_moment_that_the_socket_file_is_there() {
    for _ in 0..20 {
        let directory = Directory::new();
        let path = directory.file("socket");
        let parlor = Parlor::start(&["--listen", &unix(&path)]);
        // The shell looks again and again, and is quicker than the server's log.
        let watch = r#"until test -S "$0"; do kill -0 "$1" || exit; done; kill -TERM "$1""#;
        let watched = Command::new("sh").args(["-c", watch]).arg(&path).arg(parlor.id().to_string()).status();
        assert!(watched.unwrap().success());
        let ended = parlor.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!path.exists(), "the socket file is left over");
    }
}

#[test]
fn a_hangup_without_a_terminal_is_a_request_to_read_files_again() {
    if ignores_hangups() {
        return;
    }
    let (mut parlor, address) = Parlor::serve(&[]);
    let mut client = Client::connect(&address);
    for _ in 0..3 {
        parlor.signal("HUP");
        let line = parlor.line("answer", |line| line.contains("SIGHUP"));
        assert!(line.contains("nothing to read again"), "{line}");
        client.assert_served();
    }
    drop(client);
    assert_eq!(parlor.stop().code, Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let mut command = Command::new("sh");
    let script = r#"trap '' HUP; exec "$0" "$@""#;
    command.args(["-c", script, &crate::process::binary(), "--listen", "127.0.0.1:0"]);
    let mut parlor = Parlor::spawn_and_listen(&mut command);
    let address = parlor.address();
    parlor.signal("HUP");
    Client::connect(&address).assert_served();
    let ended = parlor.stop();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.log.iter().any(|line| line.contains("SIGHUP")), "{:#?}", ended.log);
}

/// Whether this process ignores SIGHUP, as under nohup: then what it starts does too.
#[cfg(target_os = "linux")]
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignores = u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1;
    if ignores {
        eprintln!("left out: hangups are ignored here");
    }
    ignores
}

#[cfg(not(target_os = "linux"))]
fn ignores_hangups() -> bool {
    false
}

/// Runs the server with a terminal as its standard error, which `script` makes; its process is told in a file. Nothing
/// where there is no such program.
fn with_terminal(directory: &Directory, drain: &str) -> Option<(std::process::Child, String, String)> {
    let (socket, pid) = (directory.file("socket"), directory.file("pid"));
    let program = crate::process::binary();
    let shell =
        format!("echo $$ > {}; exec {program} --drain {drain} --listen {}", pid.display(), unix(&socket));
    let script = Command::new("script")
        .args(["-q", "-e", "-c", &shell, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn();
    let Ok(script) = script else {
        assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "the program script is demanded");
        eprintln!("left out: there is no program called script here");
        return None;
    };
    // It listens, so the number has been written.
    Client::connect_when_ready(&unix(&socket)).assert_served();
    let pid = std::fs::read_to_string(pid).unwrap().trim().to_owned();
    Some((script, unix(&socket), pid))
}

fn hang_up(pid: &str) {
    let kill = Command::new("sh").args(["-c", "kill -HUP $0", pid]).status();
    assert!(kill.unwrap().success());
}

#[test]
#[cfg(target_os = "linux")]
fn it_serves_and_stops_when_its_terminal_is_not_read() {
    let directory = Directory::new();
    let Some((mut script, address, pid)) = with_terminal(&directory, "5") else { return };
    let kill = |signal: &str, pid: &str| {
        let kill = Command::new("sh").args(["-c", "kill -$0 $1", signal, pid]).status();
        assert!(kill.unwrap().success());
    };
    // The one that reads the terminal stands still. A terminal holds some 8 KB.
    kill("STOP", &script.id().to_string());
    let mut client = Client::connect(&address);
    for _ in 0..300 {
        kill("USR1", &pid);
        client.assert_served();
    }
    kill("TERM", &pid);
    assert_eq!(client.message(), "Server shutting down");
    drop(client);
    kill("CONT", &script.id().to_string());
    assert_eq!(script.wait().unwrap().code(), Some(0));
}

#[test]
fn a_hangup_of_the_terminal_is_a_stop() {
    if ignores_hangups() {
        return;
    }
    let directory = Directory::new();
    let Some((mut script, address, pid)) = with_terminal(&directory, "5") else { return };
    let mut client = Client::connect(&address);
    client.assert_served();
    hang_up(&pid);
    assert_eq!(client.message(), "Server shutting down");
    drop(client);
    assert_eq!(script.wait().unwrap().code(), Some(0));
    assert!(!directory.file("socket").exists(), "the socket file is left over");
}

#[test]
fn a_second_hangup_of_the_terminal_ends_it_at_once() {
    if ignores_hangups() {
        return;
    }
    let directory = Directory::new();
    let Some((mut script, address, pid)) = with_terminal(&directory, "1000") else { return };
    let mut client = Client::connect(&address);
    client.assert_served();
    hang_up(&pid);
    assert_eq!(client.message(), "Server shutting down");
    hang_up(&pid);
    assert_eq!(script.wait().unwrap().code(), Some(129));
}
