//! Signals: how the server stops, what it still does for its clients, and how a second signal cuts that short.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{Client, Parlor};

/// Signals that stop the server, with their numbers.
const STOPPING: [(&str, i32); 2] = [("TERM", 15), ("INT", 2)];

/// A room's worth of output that no kernel buffer takes: 1000 messages, 16 MB together.
const MESSAGES: usize = 1000;

/// Lets one client join a room without reading from then on, and another fill the room.
fn with_output_pending(address: &str) -> Client {
    let mut reader = Client::connect(address);
    reader.join(1);
    let mut sender = Client::connect(address);
    for number in 0..MESSAGES {
        let text = format!("{number} {}", "x".repeat(16_000));
        let request = format!(r#"{{"action":"SEND MESSAGE","room_id":1,"text":"{text}"}}"#);
        assert_eq!(sender.ask(&request), "OK");
    }
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
fn usr1_logs_counters_and_the_clients_for_which_most_waits() {
    let (mut parlor, address) = Parlor::serve(&["--max-pending", "64M"]);
    let _reader = with_output_pending(&address);
    let before = parlor.log.len();
    parlor.signal("USR1");
    parlor.line("the client for which most waits", |line| line.contains("guest-1"));
    assert!(parlor.log.len() > before + 1, "no counters: {:#?}", parlor.log);
    Client::connect(&address).assert_served();
    // Again and again, and it stays up.
    parlor.signal("USR1");
    parlor.line("the client for which most waits", |line| line.contains("guest-1"));
    assert!(parlor.is_running());
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
