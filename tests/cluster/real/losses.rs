//! Each way in which the link to the engine is lost: everybody is told, nobody misses anything without knowing it, and
//! the link comes back.

use super::{come, heard, heard_until_lost, last_words, login, send, take};
use crate::process::Client;
use crate::redis::{Engine, has_engine, until};

#[test]
fn an_engine_that_stands_still_is_a_lost_link() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let mut ann = come(&node.1, "hall");
    engine.signal("STOP");
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut Client::connect(&node.1)), "Cluster link lost");
    engine.signal("CONT");
    let mut ann = come(&node.1, "hall");
    assert_eq!(ann.ask(&login("Ann")), "OK");
}

/// It does not know that it stood still until it looks at the clock, and then ends its clients before all else.
#[test]
fn a_node_that_stood_still_beyond_its_lease_ends_its_clients() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    one.0.signal("STOP");
    take(&mut bob, "Ann");
    assert_eq!(bob.ask(&send("hall", "I am Ann")), "OK");
    assert_eq!(heard(&mut bob).0, "Ann");
    one.0.signal("CONT");
    assert_eq!(
        ann.line().as_deref(),
        Some(r#"{"action":"ERROR","request":null,"message":"Cluster link lost"}"#)
    );
    assert_eq!(come(&one.1, "hall").ask(&login("Ann")), "Nickname already in use");
}

#[test]
fn a_link_that_the_engine_cuts_comes_back() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    engine.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut bob), "Cluster link lost");
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    // The node has deleted its old lease.
    assert_eq!(bob.ask(&login("Ann")), "OK");
    assert_eq!(ann.ask(&send("hall", "again")), "OK");
    assert_eq!((heard(&mut ann).1, heard(&mut bob).1), ("again".into(), "again".into()));
}

#[test]
fn an_engine_that_starts_anew_with_empty_memory_is_joined_again() {
    if !has_engine() {
        return;
    }
    let mut engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    engine.kill();
    engine.revive();
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut bob), "Cluster link lost");
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(bob.ask(&login("Ann")), "OK");
    assert_eq!(bob.ask(&send("hall", "again")), "OK");
    assert_eq!(heard(&mut ann), ("Ann".into(), "again".into()));
}

/// An engine that forgets is noticed by the next renewal.
#[test]
fn a_lease_that_has_gone_is_a_lost_link() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let mut ann = come(&node.1, "hall");
    engine.ask(&["FLUSHALL"]);
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    come(&node.1, "hall");
}

/// A node that does not read is cut by the engine; who is connected to the others misses nothing.
#[test]
fn a_node_too_slow_for_the_engine_tells_its_clients() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&["--client-output-buffer-limit", "pubsub 300kb 0 0"]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    one.0.signal("STOP");
    let text = "x".repeat(8000);
    for number in 0..200 {
        assert_eq!(bob.ask(&send("hall", &format!("{number} {text}"))), "OK");
        assert_eq!(heard(&mut bob).1, format!("{number} {text}"));
    }
    one.0.signal("CONT");
    for (number, text) in heard_until_lost(&mut ann).iter().enumerate() {
        assert!(text.starts_with(&format!("{number} ")), "a gap before {text:.10}");
    }
    come(&one.1, "hall");
}

#[test]
fn memory_that_the_engine_has_not_is_a_lost_link_until_it_has() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let mut ann = come(&node.1, "hall");
    engine.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut Client::connect(&node.1)), "Cluster link lost");
    engine.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    come(&node.1, "hall");
}

/// However often it was tried in between.
#[test]
fn an_episode_is_one_line_in_the_log_and_its_end_another() {
    if !has_engine() {
        return;
    }
    let mut engine = Engine::start(&[]);
    let mut node = engine.node(&[]);
    for episode in 1..=2 {
        let mut ann = come(&node.1, "hall");
        engine.kill();
        assert_eq!(last_words(&mut ann), "Cluster link lost");
        engine.revive();
        come(&node.1, "hall");
        let log = node.0.log_so_far();
        let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
        assert_eq!(count("cluster link lost: "), episode, "{log:#?}");
        assert_eq!(count("the cluster's link stands again, after "), episode, "{log:#?}");
    }
}

/// Whoever balances the load knows from it where not to send anybody.
#[cfg(feature = "web")]
#[test]
fn a_node_without_its_engine_is_not_healthy() {
    use std::io::{Read, Write};

    if !has_engine() {
        return;
    }
    let mut engine = Engine::start(&[]);
    let mut node = engine.node(&["--listen", "http:127.0.0.1:0"]);
    let address = node.0.address();
    let address = address.strip_prefix("http:").unwrap_or(&address).to_owned();
    let health = || {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(health().starts_with("HTTP/1.1 200 "), "{}", health());
    engine.kill();
    until("it is not healthy", || health().starts_with("HTTP/1.1 503 "));
    engine.revive();
    until("it is healthy", || health().starts_with("HTTP/1.1 200 "));
}

/// The server is asked to stop while the engine stands still: the answer is waited for, and given.
#[test]
fn who_stops_waits_for_what_was_asked() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (mut one, two) = (engine.node(&["--drain", "60"]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    engine.signal("STOP");
    ann.send(&send("hall", "the last"));
    // It is read before the signal comes: the next line is a reply to it already.
    let mut cem = Client::connect(&one.1);
    cem.assert_served();
    one.0.signal("TERM");
    one.0.line("a line that tells of the signal", |line| {
        line.contains("SIGTERM") || line.contains("stopping")
    });
    engine.signal("CONT");
    assert_eq!(ann.message(), "OK");
    assert_eq!(heard(&mut ann).1, "the last");
    assert_eq!(last_words(&mut ann), "Server shutting down");
    assert_eq!(heard(&mut bob).1, "the last");
    let ended = one.0.ended();
    assert_eq!(ended.code, Some(0), "{:?}", ended.log);
}
