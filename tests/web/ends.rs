//! How a connection over WebSocket ends: by the client, by a fault of it, by the server.

use std::time::Duration;

use serde_json::json;

use crate::client::{Browser, Got, frame};
use crate::common::{Client, eventually, join, left, login, response, say};
use crate::{LINES, server};

#[test]
fn a_close_is_answered_when_all_that_came_before_it_is() {
    let server = server(|_| ());
    for (close, code) in [
        (frame(0x88, ""), None),
        (frame(0x88, 1000u16.to_be_bytes()), Some(1000)),
        (frame(0x88, [&4999u16.to_be_bytes()[..], b"bye"].concat()), Some(4999)),
    ] {
        let mut browser = Browser::connect(&server);
        let requests: Vec<String> = (0..100).map(left).collect();
        let mut stream: Vec<u8> = requests.iter().flat_map(|request| frame(0x81, request)).collect();
        stream.extend(close);
        stream.extend(frame(0x81, join("after the end")));
        browser.send(stream);
        for _ in &requests {
            assert!(browser.recv().contains("Room not found"));
        }
        browser.expect_close(code);
    }
}

#[test]
fn who_has_closed_has_left() {
    let server = server(|_| ());
    let mut alice = Browser::connect(&server);
    alice.expect_ok(login("Alice"));
    alice.expect_ok(join("room"));
    alice.close(1000);
    alice.expect_close(Some(1000));
    let mut bob = Browser::connect(&server);
    bob.expect_ok(login("Alice"));
    bob.expect_error(&say("room", "x"), "Room not found");
}

#[test]
fn the_beginning_of_a_message_is_not_carried_out_when_the_end_comes() {
    let server = server(|_| ());
    let mut witness = Browser::connect(&server);
    let request = join("half");
    for how in 0..4 {
        let mut browser = Browser::connect(&server);
        browser.send(frame(if how == 3 { 0x81 } else { 0x01 }, &request));
        match how {
            0 => browser.close(1000),
            1 => browser.stream().shutdown(std::net::Shutdown::Write).unwrap(),
            2 => browser.send([0xff]),
            _ => browser.close(1001),
        }
        if how == 3 {
            // That one was whole.
            assert_eq!(browser.recv(), response(&request));
        }
        match how {
            0 => browser.expect_close(Some(1000)),
            1 => while browser.got() != Got::End {},
            2 => browser.expect_close(Some(1002)),
            _ => browser.expect_close(Some(1001)),
        }
        witness.expect_error(&left("half"), "Room not found");
    }
}

#[test]
fn who_breaks_the_rules_is_told_so_by_a_code() {
    let server = server(|_| ());
    for (what, bytes, code) in [
        ("unmasked", vec![0x81, 1, b'x'], 1002),
        ("a reserved bit", frame(0xc1, "x"), 1002),
        ("a reserved opcode", frame(0x83, "x"), 1002),
        ("a longer length", vec![0x81, 0xfe, 0, 1], 1002),
        ("the top bit of a length", vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        ("a fragmented ping", frame(0x09, "x"), 1002),
        ("a long ping", frame(0x89, "x".repeat(126)), 1002),
        ("a continuation of nothing", frame(0x80, "x"), 1002),
        ("a Close of one byte", frame(0x88, "x"), 1002),
        ("a Close with a code", frame(0x88, 1005u16.to_be_bytes()), 1002),
        ("a Close with a code", frame(0x88, 2999u16.to_be_bytes()), 1002),
        ("a message within another", [frame(0x01, "x"), frame(0x81, "y")].concat(), 1002),
        ("binary", frame(0x82, "x"), 1003),
        ("no UTF-8", frame(0x81, b"\xff".repeat(5000)), 1007),
        ("a reason that is no UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
    ] {
        let mut browser = Browser::connect(&server);
        // What came before is carried out, what comes behind is not, and no reset destroys the code.
        let request = left("before");
        browser.send(frame(0x81, &request));
        browser.send(&bytes);
        let _ = browser.try_send(frame(0x81, left("behind")).repeat(1000));
        assert!(browser.recv().contains("Room not found"), "{what}");
        assert_eq!(browser.got(), Got::Close(Some(code)), "{what}");
        assert_eq!(browser.got(), Got::End, "{what}");
    }
}

#[test]
fn one_too_many_gets_a_handshake_and_then_its_last_words() {
    let server = server(|options| options.max_clients = 1);
    let mut alice = Browser::connect(&server);
    alice.expect_ok(join(1));
    for _ in 0..5 {
        let mut browser = Browser::connect(&server);
        let _ = browser.try_send(frame(0x81, say(1, "x")));
        browser.expect_farewell("Too many clients", 1013);
    }
    // The page is there all the same, and a visitor is no client.
    let mut visitor = Browser::silent(&server);
    visitor.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(visitor.read_to_end().starts_with("HTTP/1.1 200 OK\r\n"));
    alice.expect_error(&left(9), "Room not found");
}

#[test]
fn a_server_that_stops_says_so_and_drops_nothing() {
    let server = server(|_| ());
    let (mut alice, mut bob) = (Browser::connect(&server), Client::connect(&server.addresses()[LINES]));
    alice.expect_ok(join(1));
    for number in 0..100 {
        bob.say(1, &number.to_string());
    }
    server.begin_to_stop();
    for number in 0..100 {
        assert_eq!(alice.recv_json()["text"], number.to_string());
    }
    alice.expect_farewell("Server shutting down", 1001);
    server.stop();
}

#[test]
fn pings_do_not_keep_a_client_from_being_idle() {
    let server = server(|options| options.idle_timeout = Duration::from_secs(1));
    let mut browser = Browser::connect(&server);
    loop {
        let _ = browser.try_send(frame(0x89, "still here"));
        match browser.got() {
            Got::Pong(_) => std::thread::park_timeout(Duration::from_millis(50)),
            Got::Text(text) => {
                assert!(text.contains("Idle too long"), "{text}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    while let Got::Pong(_) = {
        let got = browser.got();
        assert!(matches!(got, Got::Pong(_) | Got::Close(Some(1008))), "{got:?}");
        got
    } {}
}

#[test]
fn a_slow_reader_is_told_so_and_the_others_do_not_wait() {
    let server = server(|options| options.max_pending = 100_000);
    let mut slow = Browser::connect(&server);
    slow.expect_ok(login("slow"));
    slow.expect_ok(join(1));
    let mut talker = Client::connect(&server.addresses()[LINES]);
    talker.login("talker");
    let text = "x".repeat(10_000);
    // The kernel takes some megabytes. When the only member has gone, so has the room.
    let mut said = 0;
    while talker.ask(say(1, &format!("{said} {text}"))).contains("OK") {
        said += 1;
        assert!(said < 10_000, "nobody was too slow");
    }
    talker.login("slow");
    // What had come until then is in order, and whole.
    let mut expected = 0;
    loop {
        match slow.got() {
            Got::Text(line) if line.contains("Too slow") => break,
            Got::Text(line) => {
                let text = format!("{expected} {text}");
                let message =
                    json!({"action": "GET MESSAGE", "room_id": 1, "author": "talker", "text": text});
                assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), message);
                expected += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(expected > 0 && expected < said);
    slow.expect_close(Some(1008));
}

#[test]
fn a_peer_that_answers_pings_stays_and_one_that_does_not_has_vanished() {
    let server = server(|options| options.keepalive = Duration::from_secs(2));
    let mut alive = Browser::connect(&server);
    alive.expect_ok(login("alive"));
    let mut gone = Browser::connect(&server);
    gone.expect_ok(login("gone"));
    let mut witness = Client::connect(&server.addresses()[LINES]);
    let mut pings = 0;
    eventually("the nickname is free", || {
        if alive.hears_within(Duration::from_millis(10)) {
            match alive.got() {
                Got::Ping(payload) => {
                    pings += 1;
                    alive.send(frame(0x8a, payload));
                }
                other => panic!("{other:?}"),
            }
        }
        witness.ask(login("gone")).contains("OK")
    });
    assert!(pings > 0);
    alive.expect_ok(join("still here"));
    // It was pinged, too; then it was closed without a word.
    assert!(matches!(gone.try_get(), Ok(Got::Ping(_))));
    assert!(matches!(gone.try_get(), Ok(Got::End) | Err(_)));
}
