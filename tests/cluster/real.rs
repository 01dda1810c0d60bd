//! Nodes that are processes, and a real engine (`tests/common/redis.rs`), which is started by each test on a socket of its
//! own. `PARLOR_TEST_REDIS=/path/to/valkey-server cargo test --features cluster --test cluster real` tries another one.
//!
//! - [`talk`]: rooms and messages over several nodes, while all goes well; [`names`]: nicknames;
//! - [`refusals`]: what the engine must be, and what is said at the start where it is not;
//! - [`losses`]: each way in which the link is lost, and that it comes back; [`failover`]: replicas;
//! - [`figures`]: what the README says of times and costs; run on request only.

mod failover;
mod figures;
mod losses;
mod names;
mod refusals;
mod talk;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Client, PATIENCE};
use crate::redis::until;

fn join(room: &str) -> String {
    json!({"action": "JOIN ROOM", "room_id": room}).to_string()
}

fn leave(room: &str) -> String {
    json!({"action": "LEFT ROOM", "room_id": room}).to_string()
}

fn login(name: &str) -> String {
    json!({"action": "LOGIN NICK", "nickname": name}).to_string()
}

fn send(room: &str, text: &str) -> String {
    json!({"action": "SEND MESSAGE", "room_id": room, "text": text}).to_string()
}

/// The next line, which must be a message: its author and its text.
fn heard(client: &mut Client) -> (String, String) {
    let line: Value = serde_json::from_str(&client.line().expect("a message, not the end")).unwrap();
    assert_eq!(line["action"], "GET MESSAGE", "{line}");
    (line["author"].as_str().unwrap().into(), line["text"].as_str().unwrap().into())
}

/// The last line before the end.
fn last_words(client: &mut Client) -> String {
    let mut last = None;
    while let Some(line) = client.line() {
        last = Some(line);
    }
    let line: Value = serde_json::from_str(&last.expect("last words")).unwrap();
    assert_eq!(line["request"], Value::Null);
    line["message"].as_str().unwrap().into()
}

/// The texts of all messages that still come before the link is lost.
fn heard_until_lost(client: &mut Client) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(line) = client.line() {
        let line: Value = serde_json::from_str(&line).unwrap();
        match line["action"].as_str() {
            Some("GET MESSAGE") => texts.push(line["text"].as_str().unwrap().to_owned()),
            Some("RESPONSE") => {}
            _ => {
                assert_eq!((&line["message"], client.line()), (&json!("Cluster link lost"), None));
                return texts;
            }
        }
    }
    panic!("it ended without last words")
}

/// A client who comes as soon as the node serves clients (again), and is in this room then.
fn come(address: &str, room: &str) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::connect(address);
        client.send(&join(room));
        let reply = client.message();
        if reply == "OK" {
            return client;
        }
        assert_eq!(reply, "Cluster link lost");
        assert!(Instant::now() < deadline, "the link does not come back");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Takes a nickname as soon as it is free.
fn take(client: &mut Client, name: &str) {
    until("the nickname is free", || match &*client.ask(&login(name)) {
        "OK" => true,
        "Nickname already in use" => false,
        other => panic!("{other}"),
    });
}
