//! Rooms and messages over several nodes, while all goes well.

use std::net::TcpListener;

use serde_json::Value;

use super::{come, heard, join, leave, login, send};
use crate::process::{Client, Parlor};
use crate::redis::{Engine, has_engine, until};

#[test]
fn rooms_span_nodes_and_nicknames_are_unique() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let nodes = [engine.node(&[]), engine.node(&[]), engine.node(&[])];
    let [mut ann, mut bob, mut cem] = nodes.each_ref().map(|(_, address)| Client::connect(address));
    assert_eq!(cem.ask(&send("hall", "hello?")), "Room not found");
    assert_eq!(cem.ask(&leave("hall")), "Room not found");
    assert_eq!(ann.ask(&join("hall")), "OK");
    assert_eq!(bob.ask(&join("hall")), "OK");
    assert_eq!(ann.ask(&login("Ann")), "OK");
    assert_eq!(bob.ask(&login("Ann")), "Nickname already in use");
    assert_eq!(cem.ask(&leave("hall")), "Not in this room");
    assert_eq!(cem.ask(&send("hall", "from outside")), "OK");
    let outside = heard(&mut ann);
    assert_eq!((&*outside.1, outside.0.starts_with("guest-")), ("from outside", true));
    assert_eq!(heard(&mut bob), outside);
    assert_eq!(ann.ask(&login("Anna")), "OK");
    assert_eq!(bob.ask(&login("Ann")), "OK");
    assert_eq!(cem.ask(&login(&outside.0)), "OK", "a guest's name is its own");
    assert_eq!(bob.ask(&login(&outside.0)), "Nickname already in use");
    assert_eq!(cem.ask(&login("Cem")), "OK");
    assert_eq!(cem.ask(&login(&outside.0)), "OK");
    assert_eq!(bob.ask(&login("Cem")), "OK");
    assert_eq!(ann.ask(&leave("hall")), "OK");
    assert_eq!(ann.ask(&send("hall", "bye")), "OK");
    assert_eq!(heard(&mut bob), ("Anna".into(), "bye".into()));
    assert_eq!(bob.ask(&leave("hall")), "OK");
    assert_eq!(ann.ask(&send("hall", "nobody")), "Room not found");
}

#[test]
fn members_only_holds_over_all_nodes() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&["--members-only"]), engine.node(&["--members-only"]));
    let (mut ann, mut bob) = (Client::connect(&one.1), Client::connect(&two.1));
    assert_eq!(bob.ask(&send("hall", "x")), "Room not found");
    assert_eq!(ann.ask(&join("hall")), "OK");
    assert_eq!(bob.ask(&send("hall", "x")), "Not in this room");
    assert_eq!(ann.ask(&send("hall", "y")), "OK");
    assert_eq!(heard(&mut ann).1, "y");
}

/// Every message reaches every member once, in one order, with pipelined requests.
#[test]
fn many_talk_on_three_nodes_and_all_hear_the_same() {
    if !has_engine() {
        return;
    }
    const EACH: usize = 50;
    let engine = Engine::start(&[]);
    let nodes = [engine.node(&[]), engine.node(&[]), engine.node(&[])];
    let mut clients: Vec<Client> = (0..12).map(|index| Client::connect(&nodes[index % 3].1)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.ask(&join("hall")), "OK"));
    for (index, client) in clients.iter_mut().enumerate() {
        (0..EACH).for_each(|number| client.send(&send("hall", &format!("{index}.{number}"))));
    }
    let wanted = clients.len() * EACH;
    let orders = clients.iter_mut().map(|client| {
        let (mut replies, mut order) = (0, Vec::new());
        while replies < EACH || order.len() < wanted {
            let line: Value = serde_json::from_str(&client.line().expect("more")).unwrap();
            match line["action"].as_str() {
                Some("RESPONSE") => replies += 1,
                Some("GET MESSAGE") => order.push(line["text"].as_str().unwrap().to_owned()),
                _ => panic!("{line}"),
            }
        }
        order
    });
    let orders: Vec<Vec<String>> = orders.collect();
    orders.iter().for_each(|order| assert_eq!(*order, orders[0]));
}

/// Over TCP, with a user who may do no more than a node has to, in a database of its own.
#[test]
fn a_user_with_few_rights_over_tcp() {
    if !has_engine() {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let engine = Engine::start(&["--port", &port, "--bind", "127.0.0.1"]);
    let rights = ["+hello", "+select", "+set", "+del", "+get", "+exists", "+expire", "+eval", "+publish"];
    let more = ["+subscribe", "+unsubscribe", "+pubsub|numsub", "~chat:*", "&chat:*", "on", ">p@ss"];
    engine.ask(&[&["ACL", "SETUSER", "node"], &rights[..], &more[..]].concat());
    let url = format!("redis://node:p%40ss@127.0.0.1:{port}/3");
    let arguments = ["--cluster", &url, "--cluster-prefix", "chat:"];
    let (one, two) = (Parlor::serve(&arguments), Parlor::serve(&arguments));
    let other =
        Parlor::serve(&["--cluster", &format!("redis://127.0.0.1:{port}/4"), "--cluster-prefix", "chat:"]);
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    let mut stranger = come(&other.1, "hall");
    assert_eq!((ann.ask(&login("Ann")), stranger.ask(&login("Ann"))), ("OK".into(), "OK".into()));
    assert_eq!(ann.ask(&send("hall", "hi")), "OK");
    assert_eq!(heard(&mut bob), ("Ann".into(), "hi".into()));
    assert_eq!(stranger.ask(&send("hall", "ho")), "OK");
    assert_eq!(heard(&mut stranger).1, "ho", "another database is another cluster");
    assert!(one.0.stop().log.iter().all(|line| !line.contains("p@ss") && !line.contains("p%40ss")));
}

/// Nodes with another prefix know nothing of these.
#[test]
fn another_prefix_is_another_cluster() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, other) = (engine.node(&[]), engine.node(&["--cluster-prefix", "other:"]));
    let (mut ann, mut stranger) = (come(&one.1, "hall"), Client::connect(&other.1));
    assert_eq!((ann.ask(&login("Ann")), stranger.ask(&login("Ann"))), ("OK".into(), "OK".into()));
    assert_eq!(stranger.ask(&send("hall", "hi")), "Room not found");
    assert_eq!(engine.number(&["EXISTS", "parlor:nick:Ann", "other:nick:Ann"]), 2);
}

/// What a node may have is its own affair.
#[test]
fn a_node_that_is_full_leaves_the_others_alone() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&["--max-clients", "1"]), engine.node(&["--max-clients", "2"]));
    let _ann = come(&one.1, "hall");
    assert!(Client::connect(&one.1).message().starts_with("Too many clients"));
    let (_bob, _cem) = (come(&two.1, "hall"), come(&two.1, "hall"));
    assert!(Client::connect(&two.1).message().starts_with("Too many clients"));
}

/// So the manual says not to use one.
#[test]
fn a_pattern_subscriber_counts_as_a_member() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let mut ann = Client::connect(&node.1);
    assert_eq!(ann.ask(&send("hall", "hi")), "Room not found");
    let spy = engine.tell(&["PSUBSCRIBE", "parlor:*"]);
    until("the engine counts it", || engine.number(&["PUBSUB", "NUMPAT"]) == 1);
    assert_eq!(ann.ask(&send("hall", "hi")), "OK");
    drop(spy);
}

/// A line that becomes three times as long on its way, in a room whose name does, is the longest publication that there
/// is.
#[test]
fn long_lines_go_from_node_to_node_and_longer_ones_are_refused() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let arguments = ["--max-line", "1M", "--max-pending", "4M"];
    let (mut one, two) = (engine.node(&arguments), engine.node(&arguments));
    let capped =
        one.0.log_so_far().iter().any(|line| line.contains("--max-line is 131072 bytes in a cluster"));
    assert!(capped, "{:?}", one.0.log);
    // Two bytes of a control character become an escape of six.
    let (room, text) = ("\u{85}".repeat(30 << 10), "\u{85}".repeat(30 << 10));
    let (mut ann, mut bob) = (come(&one.1, &room), come(&two.1, &room));
    assert_eq!(ann.ask(&send(&room, &text)), "OK");
    assert_eq!(heard(&mut ann).1, text);
    assert_eq!(heard(&mut bob).1, text);
    assert!(ann.ask(&send("hall", &"x".repeat(132 << 10))).starts_with("Line too long"));
    assert_eq!(ann.ask(&send(&room, "still here")), "OK");
    assert_eq!((heard(&mut ann).1, heard(&mut bob).1), ("still here".into(), "still here".into()));
}

/// The engine stands still: whoever asks it waits, with all that it asks behind that, and nobody else does.
#[test]
fn only_those_wait_who_ask_the_engine() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let (mut ann, mut bob) = (come(&node.1, "hall"), come(&node.1, "hall"));
    assert_eq!(bob.ask(&login("Bob")), "OK");
    engine.signal("STOP");
    ann.send(&send("hall", "first"));
    ann.send(&join("hall"));
    // A room that one is in and one's own nickname need no engine.
    assert_eq!((bob.ask(&join("hall")), bob.ask(&login("Bob"))), ("OK".into(), "OK".into()));
    engine.signal("CONT");
    let request = |line: Option<String>| {
        let line: Value = serde_json::from_str(&line.expect("a reply")).unwrap();
        assert!(line["message"] == "OK" || line["message"] == Value::Null, "{line}");
        line["request"]["action"].as_str().or(line["action"].as_str()).unwrap().to_owned()
    };
    let said: Vec<String> = (0..3).map(|_| request(ann.line())).collect();
    assert_eq!(said, ["SEND MESSAGE", "GET MESSAGE", "JOIN ROOM"]);
    assert_eq!(heard(&mut bob).1, "first");
}
