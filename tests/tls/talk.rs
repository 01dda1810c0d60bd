//! Clients over TLS talk like all others.

use crate::client::{Client, connect, usual};
use crate::common::{self, join, say};
use crate::process::{PATIENCE, run};
use crate::{SHARED, VERSIONS, serve, tls_of};

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Instant;

#[test]
fn clients_of_all_listeners_meet() {
    let server = serve(|_| {});
    let mut plain = common::Client::connect(&server.addresses()[1]);
    let mut encrypted = VERSIONS.map(|version| Client::connect(tls_of(&server), &usual(version)));
    plain.join("room");
    for client in &mut encrypted {
        client.expect_ok(join("room"));
    }
    plain.say("room", "from plain");
    plain.expect_message("room", "guest-1", "from plain");
    for client in &mut encrypted {
        assert!(client.line().contains(r#""author":"guest-1","text":"from plain""#));
    }
    for number in [0, 1] {
        let text = format!("from version {number}");
        encrypted[number].expect_ok(say("room", &text));
        encrypted.iter_mut().for_each(|client| assert!(client.line().contains(&text)));
        plain.expect_message("room", &format!("guest-{}", number + 2), &text);
    }
}

/// More than a record holds, in both directions, and more than a socket takes at once.
#[test]
fn long_lines_and_many_lines_come_through_whole() {
    let server = serve(|options| options.max_line = 300_000);
    for version in VERSIONS {
        let mut client = Client::connect(tls_of(&server), &usual(version));
        client.expect_ok(join(1));
        for length in [1, 16_000, 16_384, 16_400, 32_768, 250_000] {
            let text = "x".repeat(length);
            client.expect_ok(say(1, &text));
            assert!(client.line().ends_with(&format!("\"text\":\"{text}\"}}")));
        }
        client.send("[]\n".repeat(2000));
        for _ in 0..2000 {
            assert!(client.line().contains("Not a JSON object"));
        }
        client.assert_served();
    }
}

#[test]
fn a_handshake_and_its_lines_may_come_byte_by_byte() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let mut client = Client::begin(connect(tls_of(&server)), &usual(version));
        while client.tls.is_handshaking() {
            client.trickle();
            if client.tls.is_handshaking() {
                client.tls.read_tls(&mut client.socket).unwrap();
                client.tls.process_new_packets().unwrap();
            }
        }
        client.trickle();
        client.send_in_bytes("[]\n[]\n");
        assert!(client.line().contains("Not a JSON object"));
        assert!(client.line().contains("Not a JSON object"));
        client.assert_served();
    }
}

/// The lines come with the last words of the handshake, in one packet.
#[test]
fn what_comes_with_the_handshake_is_not_lost() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let mut client = Client::begin(connect(tls_of(&server)), &usual(version));
        // rustls keeps these until they may go out.
        client.tls.writer().write_all(b"[]\n[]\n").unwrap();
        client.complete().unwrap();
        for _ in 0..2 {
            assert!(client.line().contains("Not a JSON object"));
        }
        client.assert_served();
    }
}

#[test]
fn behind_a_proxy_the_header_comes_before_the_handshake() {
    let server = serve(|options| options.max_clients_per_ip = 1);
    let address = server.addresses()[2].socket_address().unwrap();
    let connect_as = |source: Ipv4Addr| {
        let mut socket = connect(address);
        let header = format!("PROXY TCP4 {source} 127.0.0.1 5000 7879\r\n");
        // In one packet with the first of the handshake.
        let mut client = Client::begin(connect(address), &usual(VERSIONS[1]));
        let mut bytes = header.into_bytes();
        client.tls.write_tls(&mut bytes).unwrap();
        socket.write_all(&bytes).unwrap();
        client.socket = socket;
        client.complete().unwrap();
        client
    };
    let mut first = connect_as(Ipv4Addr::new(192, 0, 2, 1));
    let mut second = connect_as(Ipv4Addr::new(192, 0, 2, 2));
    first.assert_served();
    second.assert_served();
    connect_as(Ipv4Addr::new(192, 0, 2, 1)).expect_farewell("Too many clients: your address");
    first.assert_served();
}

/// What a client causes itself holds it back; what others cause and it does not read ends it. Neither lets the memory
/// grow, nor touches anybody else.
#[test]
fn clients_that_do_not_read() {
    let server = serve(|options| options.max_pending = 100_000);
    for version in VERSIONS {
        let mut slow = Client::connect(tls_of(&server), &usual(version));
        slow.expect_ok(join(1));
        let mut talker = Client::connect(tls_of(&server), &usual(version));
        let request = say(1, &"x".repeat(15_000));
        let deadline = Instant::now() + PATIENCE;
        loop {
            talker.send(format!("{request}\n"));
            if talker.line().contains("Room not found") {
                break;
            }
            assert!(Instant::now() < deadline, "a client that does not read is never ended");
        }
        let mut last = String::new();
        while let Some(line) = slow.next_line().unwrap() {
            last = line;
        }
        assert!(last.contains("Too slow"), "{last}");
        talker.assert_served();
    }
}

#[test]
fn an_address_is_logged_with_its_prefix_and_needs_its_files() {
    let (mut parlor, address) = crate::binary(&SHARED.directory, &["--listen", "proxy+tls:127.0.0.1:0"]);
    assert!(parlor.address().starts_with("proxy+tls:127.0.0.1:"));
    let mut client = Client::connect(address, &usual(VERSIONS[1]));
    client.assert_served();
    assert_eq!(parlor.stop().code, Some(0));
    client.expect_farewell("Server shutting down");
    let ended = run(&["--listen", "tls:127.0.0.1:0"]);
    assert_eq!((ended.code, ended.log.len()), (Some(2), 1), "{ended:?}");
}
