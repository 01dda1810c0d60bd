//! The client and a node that loses the engine that joins it to others. Passed over where there is no `redis-server`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::process::Client;
use crate::redis::{Engine, has_engine, until};
use crate::running::Running;
use crate::terminal::Terminal;

const JOIN: &str = r#"{"action":"JOIN ROOM","room_id":"ops"}"#;

/// Somebody in the room `ops`, as soon as the node serves anybody.
fn come(address: &str) -> Client {
    let mut client = Client::connect(address);
    until("the node serves its clients", || {
        client = Client::connect(address);
        client.ask(JOIN) == "OK"
    });
    client
}

/// Says something, and waits for the reply. What is heard before it is passed over.
fn say(client: &mut Client, text: &str) {
    client.send(&format!(r#"{{"action":"SEND MESSAGE","room_id":"ops","text":"{text}"}}"#));
    while !client.line().expect("a reply, not the end").ends_with(r#","message":"OK"}"#) {}
}

fn hear(client: &mut Client, author: &str, text: &str) {
    let wanted = format!(r#"{{"action":"GET MESSAGE","room_id":"ops","author":"{author}","text":"{text}"}}"#);
    while client.line().expect("a message, not the end") != wanted {}
}

#[test]
fn the_screen_comes_back_when_the_node_has_its_engine_again() {
    if !has_engine() {
        return;
    }
    let mut engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let mut terminal = Terminal::start(&one.1, (80, 24), &["ops"]);
    terminal.see("joined");
    let mut bob = come(&two.1);
    say(&mut bob, "before");
    terminal.see("before");
    terminal.press("half a line");

    engine.kill();
    terminal.see("connection lost: Cluster link lost");
    terminal.see("next try in");
    terminal.press("\r");
    terminal.see("not connected; the line is kept");
    engine.revive();
    terminal.see("joined again; messages may be missing here");
    terminal.see("tester · ");
    // However often it was turned away.
    assert_eq!(terminal.contents().matches("connection lost: ").count(), 1, "{}", terminal.contents());

    let mut bob = come(&two.1);
    say(&mut bob, "after");
    terminal.see("after");
    terminal.press("\r");
    hear(&mut bob, "tester", "half a line");
    terminal.see("tester: half a line");
}

/// As that of any other lost connection.
#[test]
fn the_filter_ends_with_the_reason() {
    if !has_engine() {
        return;
    }
    let mut engine = Engine::start(&[]);
    let (_node, address) = engine.node(&[]);
    let mut other = come(&address);
    let mut listener = Running::start(&address, &["--listen", "ops"]);
    until("it is in the room", || {
        say(&mut other, "are you there?");
        listener.line_within(std::time::Duration::from_millis(20)).is_some()
    });
    engine.kill();
    let ended = listener.ended();
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors, [format!("parlor-chat: connection to {address} lost: Cluster link lost")]);
}

/// A server that takes a connection only to end it is not come back to at the shortest pause, again and again.
#[test]
fn whoever_is_turned_away_waits_longer_each_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            if number == 0 {
                // The first time the client is served: it is asked for a nickname and a room.
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"{\"action\":\"RESPONSE\",\"message\":\"OK\"}\n");
            }
            let last = b"{\"action\":\"ERROR\",\"request\":null,\"message\":\"Cluster link lost\"}\n";
            let _ = stream.write_all(last);
        }
    });
    let mut terminal = Terminal::start(&address, (80, 24), &["ops"]);
    // The first pause is one second at most, the fourth is between four and eight.
    terminal.wait("a longer pause", |screen| {
        let contents = screen.contents();
        ["4", "5", "6", "7", "8"].iter().any(|seconds| contents.contains(&format!("next try in {seconds} s")))
    });
}
