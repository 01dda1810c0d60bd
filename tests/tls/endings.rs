//! How connections over TLS end: close_notify in both directions, truncation, last words, and other protocols.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::client::{Client, connect, usual};
use crate::common::random::Random;
use crate::common::{self, join, response};
use crate::{VERSIONS, serve, tls_of};

/// What was sent is carried out, a last line without its end too, what waits goes out, and then the server says the same.
#[test]
fn close_notify_ends_the_input_and_not_the_output() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let mut client = Client::connect(tls_of(&server), &usual(version));
        client.send(format!("[]\n{}", join("last")));
        client.say_goodbye();
        assert!(client.line().contains("Not a JSON object"));
        assert_eq!(client.line(), response(&join("last")));
        client.expect_end();

        // Much of what waits is still to be sent when the goodbye is read.
        let mut client = Client::connect(tls_of(&server), &usual(version));
        let long = format!(r#"{{"action":"x","filler":"{}"}}"#, "x".repeat(10_000));
        client.send(format!("{long}\n").repeat(50));
        client.say_goodbye();
        for _ in 0..50 {
            assert!(client.line().contains("Unknown action"));
        }
        client.expect_end();
    }
}

/// Somebody in between can cut a connection anywhere; what came whole counts, what did not does not.
#[test]
fn after_a_truncation_an_unfinished_line_is_dropped() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let mut watcher = common::Client::connect(&server.addresses()[1]);
        watcher.join("watched");
        let mut client = Client::connect(tls_of(&server), &usual(version));
        let whole = common::say("watched", "whole");
        let unfinished = common::say("watched", "unfinished");
        client.send(format!("{whole}\n{unfinished}"));
        client.cut();
        assert_eq!(client.line(), response(&whole));
        client.expect_end();
        assert_eq!(watcher.recv_json()["text"], "whole");
        watcher.nothing_more();
    }
}

#[test]
fn last_words_come_through() {
    let server = serve(|options| options.max_clients = 1);
    for version in VERSIONS {
        let mut first = common::Client::connect(&server.addresses()[1]);
        first.nothing_more();
        Client::connect(tls_of(&server), &usual(version)).expect_farewell("Too many clients");
        first.finish_sending();
        first.expect_end();
    }
    let mut last = loop {
        let mut client = Client::connect(tls_of(&server), &usual(VERSIONS[1]));
        client.send("[]\n");
        if client.line().contains("Not a JSON object") {
            break client;
        }
    };
    server.begin_to_stop();
    last.expect_farewell("Server shutting down");
}

#[test]
fn whatever_is_no_tls_is_told_so_in_the_clear() {
    let server = serve(|_| {});
    for address in [&server.addresses()[0], &server.addresses()[2]] {
        let header: &[u8] =
            if address.is_behind_proxy() { b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n" } else { b"" };
        for foreign in [
            &b"{\"action\":\"JOIN ROOM\",\"room_id\":1}\n"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\n",
            b"\x80\x2e\x01",
        ] {
            let mut client = common::Client::connect(address);
            client.send([header, foreign].concat());
            client.expect_farewell("Wrong protocol");
        }
    }
    let mut client = common::Client::connect(&server.addresses()[0]);
    client.send("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n");
    client.expect_farewell("Wrong protocol");
    let counters = server.stop();
    assert_eq!(counters.requests, 0);
}

#[test]
fn within_tls_other_protocols_are_told_so_as_elsewhere() {
    let server = serve(|_| {});
    for foreign in ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "PROXY UNKNOWN\r\n"] {
        for version in VERSIONS {
            let mut client = Client::connect(tls_of(&server), &usual(version));
            client.send(foreign);
            client.expect_farewell("Wrong protocol");
        }
    }
    // And TLS where plain lines are spoken.
    let mut client = common::Client::connect(&server.addresses()[1]);
    let mut hello = Vec::new();
    let socket = connect(server.addresses()[1].socket_address().unwrap());
    Client::begin(socket, &usual(VERSIONS[1])).tls.write_tls(&mut hello).unwrap();
    client.send(hello);
    client.expect_farewell("Wrong protocol");
}

/// Reads until the server has closed.
fn until_closed(mut socket: &TcpStream) {
    let mut buffer = [0; 4096];
    while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

/// Records that were changed on their way end their connection and nothing else; nothing of them is carried out.
#[test]
fn broken_records_touch_nobody_else() {
    let server = serve(|_| {});
    let mut random = Random::from_environment();
    let mut other = Client::connect(tls_of(&server), &usual(VERSIONS[1]));
    for round in 0..40 {
        let version = VERSIONS[round % 2];
        let mut client = Client::connect(tls_of(&server), &usual(version));
        client.assert_served();
        let mut records = Vec::new();
        client.tls.writer().write_all(join("broken").as_bytes()).unwrap();
        client.tls.writer().write_all(b"\n").unwrap();
        client.tls.write_tls(&mut records).unwrap();
        let at = random.below(records.len());
        records[at] ^= 1 << random.below(8);
        // It may be waiting for more then, as the length is among what was changed.
        let _ = client.socket.write_all(&records);
        let _ = client.socket.write_all(&[0x17; 20_000]);
        client.cut();
        until_closed(&client.socket);
        other.send(format!("{}\n", common::left("broken")));
        assert!(other.line().contains("Room not found"), "{round}");
    }
}
