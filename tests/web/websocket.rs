//! The protocol over WebSocket: one message is one line, in both directions.

use serde_json::{Value, json};

use crate::client::{Browser, Got, frame};
use crate::common::{Client, join, left, login, response, say};
use crate::{LINES, server};

#[test]
fn browsers_and_clients_over_tcp_are_in_the_same_rooms() {
    let server = server(|_| ());
    let (mut alice, mut bob) = (Browser::connect(&server), Client::connect(&server.addresses()[LINES]));
    alice.expect_ok(login("Alice"));
    bob.login("Bob");
    alice.expect_ok(join("room"));
    bob.join("room");
    // The reply first, then one's own message.
    let request = say("room", "hello from a browser");
    alice.text(&request);
    assert_eq!(alice.recv(), response(&request));
    let hello = json!({"action": "GET MESSAGE", "room_id": "room", "author": "Alice", "text": "hello from a browser"});
    assert_eq!(alice.recv_json(), hello);
    bob.expect_message("room", "Alice", "hello from a browser");
    bob.say("room", "né\u{2028}🦀");
    bob.expect_message("room", "Bob", "né\u{2028}🦀");
    let from_bob = alice.recv_json();
    assert_eq!((&from_bob["author"], &from_bob["text"]), (&json!("Bob"), &json!("né\u{2028}🦀")));
    alice.expect_error(&login("Bob"), "Nickname already in use");
}

#[test]
fn replies_come_in_order_however_the_bytes_are_cut() {
    let server = server(|_| ());
    let mut browser = Browser::connect(&server);
    let requests: Vec<String> = (0..50).map(left).collect();
    let stream: Vec<u8> = requests.iter().flat_map(|request| frame(0x81, request)).collect();
    for size in [1, 7, 4096] {
        for piece in stream.chunks(size) {
            browser.send(piece);
        }
        for request in &requests {
            let reply: Value = browser.recv_json();
            assert_eq!(reply["request"], serde_json::from_str::<Value>(request).unwrap());
            assert_eq!(reply["message"], "Room not found");
        }
    }
}

#[test]
fn messages_of_every_length_class() {
    let server = server(|_| ());
    let mut browser = Browser::connect(&server);
    browser.expect_ok(join(1));
    for length in [0, 1, 30, 60, 70, 80, 90, 100, 125, 126, 1000, 16_000, 21_000, 22_000, 65_400] {
        let text = "x".repeat(length);
        browser.expect_ok(say(1, &text));
        assert_eq!(browser.recv_json()["text"], text);
    }
}

#[test]
fn frames_behind_the_handshake_are_the_first() {
    let server = server(|_| ());
    let request = join("room");
    for cut in [0, 1, 5, 6, 20] {
        let frames = frame(0x81, &request);
        let mut browser = Browser::connect_with(&server, &frames[..cut]);
        browser.send(&frames[cut..]);
        assert_eq!(browser.recv(), response(&request));
    }
    let many: Vec<u8> = (0..500).flat_map(|_| frame(0x81, &request)).collect();
    let mut browser = Browser::connect_with(&server, &many);
    for _ in 0..500 {
        assert_eq!(browser.recv(), response(&request));
    }
}

#[test]
fn a_line_end_within_a_message_is_white_space() {
    let server = server(|_| ());
    let mut browser = Browser::connect(&server);
    let pretty = "\n{\r\n  \"action\": \"JOIN ROOM\",\n  \"room_id\": 1,\n  \"n\": 1.0\n}\r\n";
    browser.text(pretty);
    let reply = browser.recv();
    assert_eq!(
        serde_json::from_str::<Value>(&reply).unwrap()["request"],
        serde_json::from_str::<Value>(pretty).unwrap()
    );
    assert!(reply.contains("1.0") && reply.contains("\"OK\""), "{reply}");
    // Within a string it is an error, and one alone.
    for bad in ["{\"action\":\"JOIN ROOM\",\"room_id\":\"a\nb\"}", "{\"action\":\"LOGIN\nNICK\"}", "{}\n{}"] {
        let reply = browser.ask(bad);
        assert!(reply.contains("\"request\":null,\"message\":\"Invalid JSON"), "{reply}");
    }
    // White space alone gets no reply, and so does nothing.
    for blank in ["", " ", "\n", " \r\n\t \n\n"] {
        browser.text(blank);
    }
    browser.expect_error(&left(9), "Room not found");
}

#[test]
fn what_looks_like_another_protocol_is_only_bad_json_here() {
    let server = server(|_| ());
    for bad in ["GET / HTTP/1.1", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2", "\u{16}\u{3}"] {
        let mut browser = Browser::connect(&server);
        let reply = browser.ask(bad);
        assert!(reply.contains("Invalid JSON"), "{reply}");
        browser.expect_error(&left(9), "Room not found");
    }
}

#[test]
fn a_message_over_the_limit_is_skipped_however_many_fragments_it_has() {
    let server = server(|options| options.max_line = 100);
    let mut browser = Browser::connect(&server);
    let exactly = say(1, &"x".repeat(100 - say(1, "").len()));
    assert_eq!(exactly.len(), 100);
    browser.expect_error(&exactly, "Room not found");
    let too_long =
        |reply: String| assert!(reply.contains("\"request\":null,\"message\":\"Line too long"), "{reply}");
    // White space and line ends of its own count, too.
    for longer in
        [exactly.clone() + " ", exactly.clone() + "\r", exactly.clone() + "\r\n", "x".repeat(200_000)]
    {
        too_long(browser.ask(&longer));
    }
    browser.send(frame(0x01, "x".repeat(60)));
    for _ in 0..1000 {
        browser.send(frame(0x00, "né".repeat(50)));
    }
    browser.send(frame(0x89, "amid"));
    browser.send(frame(0x80, ""));
    too_long(browser.recv());
    assert_eq!(browser.got(), Got::Pong(b"amid".to_vec()));
    browser.expect_error(&left(9), "Room not found");
    // It still has to be UTF-8.
    browser.send(frame(0x01, "x".repeat(200)));
    browser.send(frame(0x00, b"\xff"));
    too_long(browser.recv());
    browser.expect_close(Some(1007));
}

#[test]
fn a_ping_is_answered_amid_a_fragmented_message() {
    let server = server(|_| ());
    let mut browser = Browser::connect(&server);
    let request = left("room");
    let (one, two) = request.split_at(10);
    browser.send(frame(0x01, one));
    for payload in [&b""[..], b"ping", &[0xff; 125]] {
        browser.send(frame(0x89, payload));
        assert_eq!(browser.got(), Got::Pong(payload.to_vec()));
    }
    browser.send(frame(0x8a, "unasked"));
    browser.send(frame(0x80, two));
    assert!(browser.recv().contains("Room not found"));
}
