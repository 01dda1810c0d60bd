//! Clients that keep to TLS as little as they can, or less: floods, oddities and nonsense within open connections. They
//! harm nobody else, and nothing of what they send is carried out that should not be.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::ContentType;

use crate::client::{Client, usual};
use crate::common::{self, TestServer, join, response, say};
use crate::forger::Forger;
use crate::process::PATIENCE;
use crate::{SHARED, VERSIONS, binary, serve, tls_of};

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const HANDSHAKE_FAILURE: u8 = 40;
const USER_CANCELED: u8 = 90;
const NO_RENEGOTIATION: u8 = 100;

/// KeyUpdate, which asks for one in return, and does not.
const KEY_UPDATE: [&[u8]; 2] = [&[24, 0, 0, 1, 1], &[24, 0, 0, 1, 0]];

/// What begins a handshake: as much of it as is looked at before it is refused.
const CLIENT_HELLO: &[u8] = &[
    1, 0, 0, 43, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
    24, 25, 26, 27, 28, 29, 30, 31, 0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0,
];

/// Whether the server has closed this connection; waits for it.
fn is_closed(mut socket: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// A server, and somebody on plain TCP who hears what is carried out.
fn watched() -> (TestServer, common::Client) {
    let server = serve(|_| {});
    let mut watcher = common::Client::connect(&server.addresses()[1]);
    watcher.join("watched");
    (server, watcher)
}

/// What is to become of a client that sends these records, after a line and before another.
#[track_caller]
fn assert_fate(server: &TestServer, watcher: &mut common::Client, fate: Fate<'_>) {
    let Fate { version, name, typ, payload, times, is_ended } = fate;
    let mut forger = Forger::connect(tls_of(server), VERSIONS[version]);
    forger.say(say("watched", "before") + "\n");
    forger.send(typ, payload, times);
    forger.say(say("watched", "after") + "\n");
    let said = |watcher: &mut common::Client| watcher.recv_json()["text"].as_str().unwrap().to_owned();
    assert_eq!(said(watcher), "before", "{name}");
    if is_ended {
        assert!(is_closed(&forger.socket), "{name}");
        watcher.nothing_more();
    } else {
        assert_eq!(said(watcher), "after", "{name}");
    }
}

struct Fate<'a> {
    /// 0 is 1.2.
    version: usize,
    name: &'a str,
    typ: ContentType,
    payload: &'a [u8],
    times: usize,
    is_ended: bool,
}

#[test]
fn records_that_have_no_place_end_their_connection() {
    let (server, mut watcher) = watched();
    let fate = |is_ended| {
        move |name, version, typ, payload, times| Fate { version, name, typ, payload, times, is_ended }
    };
    let (goes_on, ends) = (fate(false), fate(true));
    use ContentType::{Alert, ApplicationData, ChangeCipherSpec, Handshake, Heartbeat};
    for fate in [
        goes_on("nothing, a few times", 0, ApplicationData, &[], 10),
        goes_on("nothing, a few times", 1, ApplicationData, &[], 10),
        ends("nothing, for ever", 0, ApplicationData, &[], 100),
        ends("nothing, for ever", 1, ApplicationData, &[], 100),
        goes_on("a warning", 0, Alert, &[WARNING, USER_CANCELED], 1),
        goes_on("a warning", 1, Alert, &[WARNING, USER_CANCELED], 1),
        ends("warnings", 0, Alert, &[WARNING, NO_RENEGOTIATION], 10),
        ends("warnings", 1, Alert, &[WARNING, USER_CANCELED], 10),
        ends("a warning that 1.3 does not have", 1, Alert, &[WARNING, NO_RENEGOTIATION], 1),
        ends("an alert", 0, Alert, &[FATAL, HANDSHAKE_FAILURE], 1),
        ends("an alert", 1, Alert, &[FATAL, HANDSHAKE_FAILURE], 1),
        ends("a goodbye", 0, Alert, &[WARNING, CLOSE_NOTIFY], 1),
        ends("a goodbye", 1, Alert, &[WARNING, CLOSE_NOTIFY], 1),
        ends("half an alert", 0, Alert, &[WARNING], 1),
        ends("half an alert", 1, Alert, &[WARNING], 1),
        ends("an alert of no level", 1, Alert, &[7, CLOSE_NOTIFY + 1], 1),
        goes_on("renegotiation", 0, Handshake, CLIENT_HELLO, 1),
        ends("renegotiation, again", 0, Handshake, CLIENT_HELLO, 2),
        ends("renegotiation in 1.3", 1, Handshake, CLIENT_HELLO, 1),
        ends("KeyUpdate in 1.2", 0, Handshake, KEY_UPDATE[0], 1),
        ends("a message amid another", 1, Handshake, &[24, 0, 0, 200, 1], 1),
        ends("a message amid another", 0, Handshake, &[1, 0, 1, 0], 1),
        ends("a message that is too long", 1, Handshake, &[24, 255, 255, 255, 1], 1),
        ends("two messages under one key", 1, Handshake, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0], 1),
        ends("KeyUpdate that asks for something else", 1, Handshake, &[24, 0, 0, 1, 7], 1),
        ends("a message of no type", 1, Handshake, &[200, 0, 0, 1, 0], 1),
        ends("ChangeCipherSpec", 0, ChangeCipherSpec, &[1], 1),
        ends("ChangeCipherSpec", 1, ChangeCipherSpec, &[1], 1),
        ends("a record of another type", 0, Heartbeat, &[1, 0, 100, 1], 1),
        ends("a record of another type", 1, Heartbeat, &[1, 0, 100, 1], 1),
        ends("a record of no type", 1, ContentType::Unknown(99), b"x", 1),
    ] {
        println!("{} {}", ["1.2", "1.3"][fate.version], fate.name);
        assert_fate(&server, &mut watcher, fate);
    }
    watcher.nothing_more();
}

/// Keys are changed as often as a client likes, as long as it says something under each. It need not listen.
#[test]
fn floods_of_new_keys() {
    let server = serve(|_| {});
    let mut client = Client::connect(tls_of(&server), &usual(VERSIONS[1]));
    for _ in 0..300 {
        client.tls.refresh_traffic_keys().unwrap();
        client.send("[]\n");
    }
    for _ in 0..300 {
        assert!(client.line().contains("Not a JSON object"));
    }
    client.assert_served();
    // Nothing but new keys.
    let mut other = Client::connect(tls_of(&server), &usual(VERSIONS[1]));
    for _ in 0..100 {
        other.tls.refresh_traffic_keys().unwrap();
        let _ = other.try_send("");
    }
    assert!(other.next_line().is_err(), "it was not told to go");
    client.assert_served();
}

/// A handshake's messages and those behind it, each byte in a record of its own.
#[test]
fn one_byte_a_record() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let mut client = Client::connect(tls_of(&server), &usual(version));
        client.expect_ok(join("room"));
        let request = say("room", "byte by byte");
        for byte in format!("{request}\n").repeat(20).bytes() {
            client.send([byte]);
        }
        for _ in 0..20 {
            assert_eq!(client.line(), response(&request));
            assert!(client.line().contains("byte by byte"));
        }
        client.assert_served();
    }
    let mut forger = Forger::connect(tls_of(&server), VERSIONS[1]);
    let (last, parts) = KEY_UPDATE[1].split_last().unwrap();
    parts.iter().for_each(|&part| forger.send(ContentType::Handshake, &[part], 1));
    let held = forger.record(ContentType::Handshake, &[*last]);
    Client::connect(tls_of(&server), &usual(VERSIONS[1])).assert_served();
    forger.socket.write_all(&held).unwrap();
    // Under the old key this is nonsense now.
    forger.say("[]\n");
    assert!(is_closed(&forger.socket));
}

/// A first message that comes in as many records as it has bytes, and one that never ends.
#[test]
fn a_handshake_in_crumbs() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let mut client = Client::begin(crate::client::connect(tls_of(&server)), &usual(version));
        let mut hello = Vec::new();
        client.tls.write_tls(&mut hello).unwrap();
        let crumbs = hello[5..].iter().flat_map(|&byte| [0x16, 3, 1, 0, 1, byte]);
        client.socket.write_all(&crumbs.collect::<Vec<u8>>()).unwrap();
        client.complete().unwrap();
        client.assert_served();
    }
    let mut endless = crate::client::connect(tls_of(&server));
    endless.write_all(&[0x16, 3, 1, 0, 4, 1, 0, 255, 255]).unwrap();
    let _ = endless.write_all(&[0x16, 3, 1, 0, 1, 0].repeat(20_000));
    assert!(is_closed(&endless));
    Client::connect(tls_of(&server), &usual(VERSIONS[1])).assert_served();
}

/// Input without an end of a line is thrown away as it comes. What that takes does not grow.
#[test]
#[cfg(target_os = "linux")]
fn endless_lines_and_floods_of_small_records_take_no_memory() {
    let (parlor, address) = binary(&SHARED.directory, &["--log", "info"]);
    let mut before = 0;
    for round in 0..4 {
        for version in VERSIONS {
            let mut client = Client::connect(address, &usual(version));
            for _ in 0..100 {
                client.send(vec![b'x'; 16 << 10]);
            }
            client.send("\n");
            assert!(client.line().contains("Line too long"));
            let mut forger = Forger::connect(address, version);
            for _ in 0..20 {
                forger.send(ContentType::ApplicationData, b" ", 1000);
            }
            forger.say("\n");
            client.assert_served();
        }
        if round == 0 {
            before = parlor.peak_resident_bytes();
        }
    }
    let grown = parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes");
    assert_eq!(parlor.stop().code, Some(0));
}

/// What is begun of a record counts as memory. Who is ended for it gives it back at once, so that nobody else has to go.
#[test]
fn records_that_do_not_end_cost_nobody_else_his_place() {
    let server = serve(|options| options.max_memory = 1 << 20);
    let mut typing: Vec<common::Client> = (0..10)
        .map(|_| {
            let mut client = common::Client::connect(&server.addresses()[1]);
            client.join("room");
            client.send("{\"action\":");
            client
        })
        .collect();
    let greedy: Vec<Forger> = (0..100)
        .map(|_| {
            let mut forger = Forger::connect(tls_of(&server), VERSIONS[1]);
            let record = forger.record(ContentType::ApplicationData, &[b'x'; 16_000]);
            let _ = forger.socket.write_all(&record[..record.len() - 1]);
            forger
        })
        .collect();
    for client in &mut typing {
        client.send("\"LEFT ROOM\",\"room_id\":\"room\"}\n");
        assert!(client.recv_line().contains("\"OK\""));
    }
    drop(greedy);
}

/// Who has said goodbye and does not close, and reads slowly, gets all that waits for it, however much that is.
#[test]
fn much_waits_for_somebody_who_has_said_goodbye_early() {
    let server = serve(|options| options.max_pending = 32 << 20);
    for version in VERSIONS {
        let mut reader = Client::connect(tls_of(&server), &usual(version));
        reader.expect_ok(join("room"));
        let mut talker = Client::connect(tls_of(&server), &usual(version));
        // More than the kernel holds.
        let text = "x".repeat(15_000);
        for _ in 0..1000 {
            talker.expect_ok(say("room", &text));
        }
        reader.send(join("last"));
        reader.say_goodbye();
        talker.expect_ok(join("other"));
        for _ in 0..1000 {
            assert!(reader.line().contains(&text));
        }
        assert_eq!(reader.line(), response(&join("last")));
        reader.expect_end();
    }
}

/// What comes behind a goodbye means nothing, and what waits goes out all the same.
#[test]
fn words_behind_the_last_word() {
    let (server, mut watcher) = watched();
    for version in VERSIONS {
        let mut forger = Forger::connect(tls_of(&server), version);
        forger.say(say("watched", "before") + "\n");
        forger.send(ContentType::Alert, &[WARNING, CLOSE_NOTIFY], 1);
        assert_eq!(watcher.recv_json()["text"], "before");
        forger.say(say("watched", "after") + "\n");
        let _ = forger.socket.write_all(&[0xff; 1000]);
        assert!(is_closed(&forger.socket));
        watcher.nothing_more();
    }
}

/// Peers that close their side in the middle of a handshake, or say nothing at all, are let go of.
#[test]
fn half_open_peers() {
    let server = serve(|_| {});
    let mut hello = Vec::new();
    let config = usual(VERSIONS[1]);
    Client::begin(crate::client::connect(tls_of(&server)), &config).tls.write_tls(&mut hello).unwrap();
    for sent in [0, 1, 5, 6, hello.len() - 1, hello.len()] {
        let mut socket = crate::client::connect(tls_of(&server));
        socket.write_all(&hello[..sent]).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_closed(&socket), "{sent}");
    }
    // An open one that vanishes is found out as on plain TCP; one that has said goodbye and keeps its side open is let go
    // of when all is said.
    let mut polite = Client::connect(tls_of(&server), &config);
    polite.say_goodbye();
    polite.expect_end();
    let deadline = std::time::Instant::now() + PATIENCE;
    while polite.socket.write_all(&[0]).is_ok() {
        assert!(std::time::Instant::now() < deadline, "it is kept for ever");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
}
