//! Handshakes: whoever cannot or does not finish his touches nobody else.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::client::{Client, config, connect, usual};
use crate::common::{random::Random, say};
use crate::files::Authority;
use crate::process::Directory;
use crate::{SHARED, VERSIONS, binary, serve, tls_of};

/// The most handshakes that may be unfinished.
const UNFINISHED_MAX: usize = 256;

fn hello(address: SocketAddr) -> Vec<u8> {
    let mut hello = Vec::new();
    Client::begin(connect(address), &usual(VERSIONS[1])).tls.write_tls(&mut hello).unwrap();
    hello
}

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

#[test]
fn sessions_are_resumed_in_both_versions() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let config = usual(version);
        let mut first = Client::connect(tls_of(&server), &config);
        // The tickets come behind the handshake.
        first.assert_served();
        assert!(!first.is_resumed());
        let mut second = Client::connect(tls_of(&server), &config);
        second.assert_served();
        assert!(second.is_resumed());
    }
}

#[test]
fn only_whoever_shows_a_certificate_of_the_authority_gets_in() {
    let clients = Authority::new();
    let directory = Directory::new();
    std::fs::write(directory.file("clients.crt"), clients.pem()).unwrap();
    let server = serve(|options| options.tls_client_ca = Some(directory.file("clients.crt")));
    let (known, stranger) = (clients.sign_client(), Authority::new().sign_client());
    for version in VERSIONS {
        let connect = |identity| {
            let socket = connect(tls_of(&server));
            let mut client = Client::begin(socket, &config(&[version], &SHARED.authority, identity));
            // Of 1.3 the client learns only afterwards what the server thinks of its certificate.
            let _ = client.complete();
            let _ = client.try_send("[]\n");
            client
        };
        for identity in [None, Some(&stranger)] {
            let error = connect(identity).next_line().expect_err("it does not get in");
            assert!(error.to_string().contains("received fatal alert"), "{error}");
        }
        let mut client = connect(Some(&known));
        assert!(client.line().contains("Not a JSON object"));
        client.assert_served();
    }
    let counters = server.stop();
    assert_eq!(counters.accepted, 2, "the others were no clients");
}

#[test]
fn one_more_than_may_be_unfinished_and_the_oldest_goes() {
    let server = serve(|_| {});
    let address = tls_of(&server);
    let mut unfinished: Vec<TcpStream> = (0..UNFINISHED_MAX + 20).map(|_| connect(address)).collect();
    for (number, socket) in unfinished.drain(..20).enumerate() {
        assert!(is_closed(&socket), "number {number}");
    }
    // All others can still finish.
    for socket in unfinished {
        let mut client = Client::begin(socket, &usual(VERSIONS[1]));
        client.complete().unwrap();
        client.assert_served();
    }
}

/// Ten seconds, and the log says so.
#[test]
fn whoever_takes_too_long_is_closed() {
    let (mut parlor, address) = binary(&SHARED.directory, &[]);
    let garbage = connect(address);
    (&garbage).write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    assert!(is_closed(&garbage));
    parlor.line("why", |line| line.contains("closed: its TLS handshake failed: "));
    let silent = connect(address);
    let mut begun = connect(address);
    begun.write_all(&hello(address)).unwrap();
    for socket in [&silent, &begun] {
        assert!(is_closed(socket));
    }
    parlor.line("why", |line| line.ends_with("closed: its TLS handshake took too long"));
    Client::connect(address, &usual(VERSIONS[1])).assert_served();
    assert_eq!(parlor.stop().code, Some(0));
}

/// Handshakes that are finished, begun and left, broken, and never begun, as fast as they go: those who talk go on
/// talking, and whoever comes gets in.
#[test]
fn a_flood_of_handshakes_leaves_the_others_alive() {
    let server = serve(|_| {});
    let address = tls_of(&server);
    let hello = hello(address);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let (over, hello) = (&over, &hello);
            scope.spawn(move || {
                let mut random = Random::from_seed(seed);
                let mut open = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let mut socket = connect(address);
                    let mut hello = hello.clone();
                    match random.below(4) {
                        0 => {}
                        1 => drop(socket.write_all(&hello)),
                        2 => {
                            let at = random.below(hello.len());
                            hello[at] ^= 0xff;
                            drop(socket.write_all(&hello));
                        }
                        _ => {
                            // It may have to go for others, as there are so many.
                            let mut client = Client::begin(socket.try_clone().unwrap(), &usual(VERSIONS[0]));
                            let _ = client.complete();
                        }
                    }
                    open.push(socket);
                    if open.len() == 200 {
                        open.clear();
                    }
                }
            });
        }
        let mut talkers = VERSIONS.map(|version| Client::connect(address, &usual(version)));
        for talker in &mut talkers {
            talker.expect_ok(crate::common::join("talk"));
        }
        for number in 0..200 {
            let text = format!("number {number}");
            talkers[number % 2].expect_ok(say("talk", &text));
            talkers.iter_mut().for_each(|talker| assert!(talker.line().contains(&text)));
        }
        over.store(true, Ordering::Relaxed);
    });
    Client::connect(address, &usual(VERSIONS[1])).assert_served();
}
