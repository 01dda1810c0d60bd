//! The limits: that each option of the command line has the effect that its text promises. The hard cases of each limit
//! are tested where a server runs inside the test.

use std::time::{Duration, Instant};

use crate::process::{Client, Directory, Parlor, unix};

/// A request line of exactly so many bytes, its line end not counted.
fn request_of(bytes: usize) -> String {
    let request = r#"{"action":"no such thing","filler":""}"#;
    request.replace(r#""}"#, &format!(r#"{}"}}"#, "x".repeat(bytes - request.len())))
}

#[test]
fn max_line_is_counted_without_the_line_end() {
    for (option, bytes) in [("--max-line=100", 100), ("--max-line=1K", 1024), ("--max-line=2k", 2048)] {
        let (_parlor, address) = Parlor::serve(&[option]);
        let mut client = Client::connect(&address);
        assert!(client.ask(&request_of(bytes)).starts_with("Unknown action"), "{option}");
        let with_return = format!("{}\r", request_of(bytes));
        assert!(client.ask(&with_return).starts_with("Unknown action"), "{option}");
        assert!(client.ask(&request_of(bytes + 1)).starts_with("Line too long"), "{option}");
        client.assert_served();
    }
}

#[test]
fn max_line_is_16k_by_default() {
    let (_parlor, address) = Parlor::serve(&[]);
    let mut client = Client::connect(&address);
    assert!(client.ask(&request_of(16384)).starts_with("Unknown action"));
    assert!(client.ask(&request_of(16385)).starts_with("Line too long"));
}

#[test]
fn max_rooms_is_for_each_client() {
    let (_parlor, address) = Parlor::serve(&["--max-rooms", "2"]);
    for _ in 0..2 {
        let mut client = Client::connect(&address);
        client.join(1);
        client.join(2);
        client.join(1);
        assert!(client.ask(r#"{"action":"JOIN ROOM","room_id":3}"#).starts_with("Too many rooms"));
        assert_eq!(client.ask(r#"{"action":"LEFT ROOM","room_id":1}"#), "OK");
        client.join(3);
    }
}

#[test]
fn max_clients_tells_one_more_and_closes_it() {
    let directory = Directory::new();
    let socket = unix(&directory.file("socket"));
    let (_parlor, address) = Parlor::serve(&["--max-clients", "2", "--listen", &socket]);
    let mut first = Client::connect(&address);
    let mut second = Client::connect_when_ready(&socket);
    first.assert_served();
    second.assert_served();
    for address in [&address, &socket] {
        let mut third = Client::connect(address);
        assert_eq!(third.message(), "Too many clients: the server is full");
        assert_eq!(third.line(), None);
    }
    first.assert_served();
    drop(first);
    // A place is free as soon as the server has seen the end of the first.
    let deadline = Instant::now() + crate::process::PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the place of a client that left is not free");
        if Client::connect(&address).ask("{}") != "Too many clients: the server is full" {
            break;
        }
    }
    second.assert_served();
}

#[test]
fn max_clients_per_ip_does_not_count_unix_sockets() {
    let directory = Directory::new();
    let socket = unix(&directory.file("socket"));
    let (_parlor, address) = Parlor::serve(&["--max-clients-per-ip", "1", "--listen", &socket]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect_when_ready(&socket)).collect();
    clients.push(Client::connect(&address));
    clients.iter_mut().for_each(Client::assert_served);
    let mut second = Client::connect(&address);
    assert!(second.message().starts_with("Too many clients: your address"));
    assert_eq!(second.line(), None);
    clients.iter_mut().for_each(Client::assert_served);
}

#[test]
fn max_clients_per_ip_0_is_no_limit() {
    let (_parlor, address) = Parlor::serve(&["--max-clients-per-ip", "0"]);
    let mut clients: Vec<_> = (0..50).map(|_| Client::connect(&address)).collect();
    clients.iter_mut().for_each(Client::assert_served);
}

#[test]
fn rate_slows_a_client_down_after_a_burst_of_twice_as_many_and_loses_nothing() {
    let (_parlor, address) = Parlor::serve(&["--rate", "10"]);
    let mut client = Client::connect(&address);
    let mut other = Client::connect(&address);
    let start = Instant::now();
    for _ in 0..40 {
        client.send(r#"{"action":"no such thing"}"#);
    }
    for _ in 0..20 {
        assert!(client.message().starts_with("Unknown action"));
    }
    assert!(start.elapsed() < Duration::from_secs(2), "the burst took {:?}", start.elapsed());
    other.assert_served();
    for _ in 20..40 {
        assert!(client.message().starts_with("Unknown action"));
    }
    let taken = start.elapsed();
    assert!(
        (Duration::from_millis(1800)..Duration::from_secs(6)).contains(&taken),
        "20 past the burst took {taken:?}"
    );
}

#[test]
fn rate_0_is_no_limit() {
    let (_parlor, address) = Parlor::serve(&["--rate", "0"]);
    let mut client = Client::connect(&address);
    (0..5000).for_each(|_| client.assert_served());
}

/// Sends to room 1 until the server says that nobody is in it, which is when the one who does not read has gone.
fn send_until_the_room_is_gone(sender: &mut Client) {
    let request = format!(r#"{{"action":"SEND MESSAGE","room_id":1,"text":"{}"}}"#, "x".repeat(15_000));
    let deadline = Instant::now() + crate::process::PATIENCE;
    while sender.ask(&request) == "OK" {
        assert!(Instant::now() < deadline, "a client that does not read is never disconnected");
    }
}

/// A client that does not read is disconnected with these as its last words; the log says who, from where, and why.
fn assert_not_reading_ends_with(words: &str, arguments: &[&str]) {
    let (mut parlor, address) = Parlor::serve(arguments);
    let mut slow = Client::connect(&address);
    slow.join(1);
    let mut sender = Client::connect(&address);
    send_until_the_room_is_gone(&mut sender);
    let mut last = String::new();
    while let Some(line) = slow.line() {
        last = line;
    }
    assert!(last.contains(words), "{last:.100}");
    let line = parlor.line("disconnection", |line| line.contains(words));
    assert!(line.contains("guest-1") && line.contains("127.0.0.1:"), "{line}");
    sender.assert_served();
}

#[test]
fn max_pending_disconnects_a_client_that_does_not_read() {
    assert_not_reading_ends_with("Too slow", &["--max-pending", "100K"]);
}

#[test]
fn max_memory_disconnects_the_client_for_which_most_waits() {
    assert_not_reading_ends_with("Out of memory", &["--max-memory", "2M", "--max-pending", "1G"]);
}

#[test]
fn members_only_refuses_who_has_not_joined() {
    let request = r#"{"action":"SEND MESSAGE","room_id":1,"text":"hello"}"#;
    for (arguments, expected) in [(&[][..], "OK"), (&["--members-only"], "Not in this room")] {
        let (_parlor, address) = Parlor::serve(arguments);
        let mut member = Client::connect(&address);
        member.join(1);
        let mut stranger = Client::connect(&address);
        assert_eq!(stranger.ask(request), expected, "{arguments:?}");
        stranger.join(1);
        assert_eq!(stranger.ask(request), "OK");
    }
}

#[test]
fn idle_timeout_closes_who_says_nothing_and_keeps_who_does() {
    let (mut parlor, address) = Parlor::serve(&["--idle-timeout", "2"]);
    let mut idle = Client::connect(&address);
    idle.assert_served();
    let start = Instant::now();
    let mut busy = Client::connect(&address);
    let closed = std::thread::spawn(move || {
        assert_eq!(idle.message(), "Idle too long");
        let after = start.elapsed();
        assert_eq!(idle.line(), None);
        after
    });
    while !closed.is_finished() {
        busy.assert_served();
        std::thread::sleep(Duration::from_millis(50));
    }
    let after = closed.join().unwrap();
    assert!((Duration::from_millis(1900)..Duration::from_secs(6)).contains(&after), "closed after {after:?}");
    busy.assert_served();
    let line = parlor.line("disconnection", |line| line.to_lowercase().contains("idle too long"));
    assert!(line.contains("guest-1") && line.contains("127.0.0.1:"), "{line}");
}

#[test]
fn disconnections_of_one_kind_are_logged_once_a_second_with_a_count_of_those_left_out() {
    let (mut parlor, address) = Parlor::serve(&["--max-clients", "1"]);
    let mut first = Client::connect(&address);
    first.assert_served();
    let start = Instant::now();
    let mut refused = 0;
    while start.elapsed() < Duration::from_millis(1500) {
        assert_eq!(Client::connect(&address).message(), "Too many clients: the server is full");
        refused += 1;
    }
    first.assert_served();
    let (mut lines, mut told) = (0, 0);
    while told < refused {
        let line = parlor.line("disconnection", |line| line.contains("disconnected"));
        // Either a line of its own for those left out, or one for the last with their number.
        let number = |text: &str| text.rsplit_once(' ').and_then(|(_, number)| number.parse::<u64>().ok());
        let left_out = line.split_once(" more").map_or(0, |(before, _)| number(before).unwrap());
        told += left_out + u64::from(line.contains("disconnected: "));
        lines += 1;
    }
    assert_eq!(told, refused, "{:#?}", parlor.log);
    let seconds = start.elapsed().as_secs() + 1;
    assert!(lines <= seconds, "{lines} lines in {seconds} seconds: {:#?}", parlor.log);
}

/// The smallest and the largest value that the command line takes and a client can be served with.
#[rustfmt::skip]
const BOUNDS: &[(&str, [&str; 2])] = &[
    ("--max-clients", ["1", "1000000000"]),
    ("--max-clients-per-ip", ["1", "1000000000"]),
    ("--rate", ["1", "1000000000"]),
    ("--max-line", ["100", "1G"]),
    ("--max-rooms", ["1", "1000000000"]),
    ("--max-pending", ["1", "1024G"]),
    ("--max-memory", ["1", "1024G"]),
    ("--idle-timeout", ["1", "1000000000"]),
    ("--drain", ["0", "1000000000"]),
    ("--stats", ["1", "1000000000"]),
];

#[test]
fn every_option_works_at_its_bounds() {
    for (option, values) in BOUNDS {
        for value in values {
            let (parlor, address) = Parlor::serve(&[option, value]);
            let mut client = Client::connect(&address);
            client.join(1);
            drop(client);
            let ended = parlor.stop();
            assert_eq!(ended.code, Some(0), "{option} {value}: {ended:#?}");
        }
    }
}

#[test]
fn every_keepalive_that_the_command_line_takes_is_taken_by_the_kernel() {
    for seconds in ["0", "1", "2", "3", "60", "32767"] {
        let (parlor, address) = Parlor::serve(&["--max-clients", "10", "--keepalive", seconds]);
        Client::connect(&address).assert_served();
        let ended = parlor.stop();
        assert_eq!(ended.code, Some(0), "--keepalive {seconds}: {ended:#?}");
        let faults =
            ended.log.iter().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
        assert_eq!(faults, 0, "--keepalive {seconds}: {:#?}", ended.log);
    }
}
