//! Peers that want to keep the server busy, or full: the others do not notice.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Browser, Got, frame, handshake};
use crate::common::random::Random;
use crate::common::{Client, eventually, join, left, login, say};
use crate::{HTTP, LINES, server};

#[test]
fn a_flood_of_pings_is_answered_by_the_latest_and_holds_up_nobody() {
    let server = server(|_| ());
    let mut flooder = Browser::connect(&server);
    let mut other = Client::connect(&server.addresses()[LINES]);
    let pings: Vec<u8> = (0..20_000u32).flat_map(|number| frame(0x89, number.to_be_bytes())).collect();
    flooder.send(&pings);
    other.nothing_more();
    flooder.text(left("x"));
    // Numbers only grow, the last is answered, and it is answered before the request that came behind it.
    let mut last = None;
    loop {
        match flooder.got() {
            Got::Pong(payload) => {
                assert!(last < Some(payload.clone()));
                last = Some(payload);
            }
            Got::Text(_) => break,
            other => panic!("{other:?}"),
        }
    }
    flooder.send(frame(0x89, "after"));
    while let Got::Pong(payload) = flooder.got() {
        if payload == b"after" {
            return;
        }
        last = Some(payload);
    }
    panic!("no pong for the last ping, but {last:?}");
}

#[test]
fn pings_whose_pongs_are_not_read_take_no_memory() {
    let server = server(|options| options.max_memory = 200_000);
    let mut flooder = Browser::connect(&server);
    flooder.stream().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let pings = frame(0x89, [7; 125]).repeat(1000);
    for _ in 0..300 {
        if flooder.try_send(&pings).is_err() {
            break;
        }
    }
    Client::connect(&server.addresses()[LINES]).nothing_more();
}

#[test]
fn frames_of_one_byte_and_empty_ones() {
    let server = server(|_| ());
    let mut browser = Browser::connect(&server);
    let request = left("x");
    let mut stream = Vec::new();
    for _ in 0..200 {
        stream.extend(frame(0x01, ""));
        stream.extend(request.bytes().flat_map(|byte| [frame(0x00, [byte]), frame(0x00, "")].concat()));
        stream.extend(frame(0x80, ""));
        stream.extend(frame(0x81, "").repeat(50));
    }
    browser.send(&stream);
    for _ in 0..200 {
        assert!(browser.recv().contains("Room not found"));
    }
}

#[test]
fn a_frame_without_end_takes_no_memory() {
    let server = server(|options| options.max_memory = 300_000);
    let mut endless = Browser::connect(&server);
    endless.send([&[0x81, 0xff][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat());
    let mut other = Client::connect(&server.addresses()[LINES]);
    for _ in 0..100 {
        endless.send([b'x'; 100_000]);
    }
    other.nothing_more();
    assert!(endless.recv().contains("Line too long"));
}

#[test]
fn handshakes_and_vanishing_again_and_again() {
    let server = server(|options| options.max_clients = 50);
    for round in 0..500 {
        let mut browser = Browser::silent(&server);
        let whole = handshake("localhost");
        let part = whole.len() * (round % 7) / 6;
        browser.send(&whole[..part]);
        if round % 2 == 0 {
            socket2::SockRef::from(browser.stream()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    let mut clients: Vec<Browser> = Vec::new();
    eventually("there is room for 50", || {
        clients.clear();
        clients.extend((0..50).map(|_| Browser::connect(&server)));
        clients.iter_mut().all(|client| client.ask(left("x")).contains("Room not found"))
    });
}

#[test]
fn a_peer_that_takes_a_byte_at_a_time() {
    let server = server(|_| ());
    let mut slow = Browser::connect(&server);
    socket2::SockRef::from(slow.stream()).set_recv_buffer_size(2048).unwrap();
    let mut expected = Vec::new();
    for number in 0..300 {
        let request =
            format!("{{\"action\":\"LEFT ROOM\",\"room_id\":{number},\"x\":\"{}\"}}", "y".repeat(1000));
        slow.text(&request);
        expected.push(request);
    }
    for request in expected {
        let reply: serde_json::Value = slow.recv_json();
        assert_eq!(reply["request"], serde_json::from_str::<serde_json::Value>(&request).unwrap());
    }
}

/// So long that a few hundred are more than any kernel takes in for a client.
fn text(number: usize) -> String {
    format!("{number:06}").repeat(3_000)
}

/// Whoever was too slow has whole messages in order up to some moment, and then the reason and its code.
fn expect_too_slow(slow: &mut Browser, said: usize) {
    for number in 0..=said {
        let message = slow.recv_json();
        if message["action"] == "ERROR" {
            assert_eq!((&message["request"], &message["message"]), (&Value::Null, &json!("Too slow")));
            return slow.expect_close(Some(1008));
        }
        assert_eq!(message["text"], text(number));
    }
    panic!("it has got everything");
}

#[test]
fn slow_readers_are_cut_off_and_the_others_get_every_message_in_order() {
    let server = server(|options| options.max_pending = 64 << 10);
    let member = |number: usize| {
        let mut browser = Browser::connect(&server);
        browser.expect_ok(login(&format!("member {number}")));
        browser.expect_ok(join("room"));
        browser
    };
    let mut slow: Vec<(usize, Browser)> = (0..4).map(|number| (number, member(number))).collect();
    let mut fast: Vec<Browser> = (4..8).map(member).collect();
    let mut lines = Client::connect(&server.addresses()[LINES]);
    lines.join("room");
    let mut speaker = Browser::connect(&server);
    for said in 1.. {
        assert!(said < 10_000, "nobody was too slow");
        speaker.expect_ok(say("room", &text(said - 1)));
        for browser in &mut fast {
            assert_eq!(browser.recv_json()["text"], text(said - 1));
        }
        assert_eq!(lines.recv_json()["text"], text(said - 1));
        // Whoever was cut off has a few seconds to get the last words; the name is free at once.
        slow.retain_mut(|(number, browser)| {
            let is_cut = lines.ask(login(&format!("member {number}"))).contains("OK");
            if is_cut {
                expect_too_slow(browser, said);
            }
            !is_cut
        });
        if slow.is_empty() {
            break;
        }
    }
    drop((fast, lines, speaker));
    assert_eq!(server.stop().disconnected[1], 4);
}

#[test]
fn a_message_without_end_takes_no_memory_however_many_frames_it_has() {
    let server = server(|options| options.max_memory = 300_000);
    let mut endless = Browser::connect(&server);
    let mut other = Browser::connect(&server);
    endless.send(frame(0x01, "{"));
    let (long, short) = (frame(0x00, "x".repeat(100_000)), frame(0x00, "y").repeat(1000));
    for number in 0..100u8 {
        endless.send(&long);
        endless.send(&short);
        endless.send(frame(0x89, [number]));
        other.expect_error(&left("x"), "Room not found");
    }
    endless.send(frame(0x80, "}"));
    // It is told as soon as it is too long; its pings are answered all the same, in order.
    let (mut pongs, mut told) = (Vec::new(), 0);
    while told == 0 || pongs.last() != Some(&99) {
        match endless.got() {
            Got::Pong(payload) => pongs.extend(payload),
            Got::Text(line) if line.contains("Line too long") => told += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(told == 1 && pongs.is_sorted(), "{told}, {pongs:?}");
    endless.expect_error(&left("x"), "Room not found");
}

/// One life over WebSocket: a few things in any order, not all of them whole, and then it is gone. Many are half-open.
fn live_and_vanish(mut browser: Browser, name: &str, random: &mut Random) {
    browser.text(login(name));
    for _ in 0..random.below(8) {
        let bytes = match random.below(7) {
            0 => frame(0x81, join("crowd")),
            1 => frame(0x81, say("crowd", &"x".repeat(random.below(20_000)))),
            2 => frame(0x81, say("crowd", "x")).repeat(1 + random.below(200)),
            3 => frame(0x89, [7; 125]).repeat(random.below(100)),
            4 => [frame(0x01, "{\"action\":"), frame(0x00, " ".repeat(random.below(100_000)))].concat(),
            5 => frame(0x88, 1000u16.to_be_bytes()),
            _ => vec![random.number() as u8; random.below(50)],
        };
        // Sometimes only the beginning of it.
        let end = if random.once_in(5) { random.below(bytes.len() + 1) } else { bytes.len() };
        if browser.try_send(&bytes[..end]).is_err() {
            break;
        }
    }
    if random.once_in(2) {
        socket2::SockRef::from(browser.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn peers_that_vanish_in_the_middle_of_anything_take_nothing_from_two_who_talk() {
    let mut random = Random::from_environment();
    let server = server(|options| options.max_pending = 1 << 20);
    let mut alice = Browser::connect(&server);
    let mut bob = Client::connect(&server.addresses()[LINES]);
    alice.expect_ok(login("Alice"));
    bob.login("Bob");
    alice.expect_ok(join("room"));
    bob.join("room");
    for round in 0..200 {
        let victim = Browser::connect(&server);
        // A server that has ended it may not take all that it has to say.
        victim.stream().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        live_and_vanish(victim, &format!("victim {}", round % 10), &mut random);
        alice.expect_ok(say("room", &round.to_string()));
        assert_eq!(alice.recv_json()["text"], round.to_string());
        bob.expect_message("room", "Alice", &round.to_string());
    }
    // Nobody of them has left anything behind.
    for number in 0..10 {
        eventually("the name is free", || bob.ask(login(&format!("victim {number}"))).contains("OK"));
    }
    eventually("their room is gone", || alice.ask(say("crowd", "x")).contains("Room not found"));
}

#[test]
fn a_thousand_idle_doors_keep_nobody_out() {
    let server = server(|_| ());
    let mut alice = Browser::connect(&server);
    alice.expect_ok(join("room"));
    let head = handshake("localhost");
    let mut idle = VecDeque::new();
    for number in 0..1000 {
        let mut browser = Browser::silent(&server);
        // Some say nothing, some the beginning of a request.
        let _ = browser.try_send(&head[..[0, 1, 50, head.len() - 1][number % 4]]);
        idle.push_back(browser);
        // The server has let go of the oldest long ago.
        if idle.len() > 300 {
            idle.pop_front();
        }
        if number % 50 == 0 {
            let mut bob = Browser::connect(&server);
            bob.expect_ok(say("room", &number.to_string()));
            assert_eq!(alice.recv_json()["text"], number.to_string());
            let mut visitor = Browser::silent_at(&server, HTTP);
            visitor.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert!(visitor.read_to_end().starts_with("HTTP/1.1 200 OK\r\n"));
        }
    }
    Client::connect(&server.addresses()[LINES]).nothing_more();
}
