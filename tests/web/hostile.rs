//! Peers that want to keep the server busy, or full: the others do not notice.

use std::time::Duration;

use crate::client::{Browser, Got, frame, handshake};
use crate::common::{Client, left};
use crate::{LINES, server};

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
    crate::common::eventually("there is room for 50", || {
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
