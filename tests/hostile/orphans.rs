//! What the kernel keeps to be sent on connections that the server has closed. It counts as nobody's memory, and nobody
//! but the server can bound it.

use std::fs;

use crate::common::{Client, eventually, say};
use crate::{Host, until_it_rests};

/// Bytes that the kernel holds to be sent from this port, of connections open or closed.
fn unsent_bytes(port: u16) -> usize {
    // Address and port, those of the peer, state, and `unsent:unread`, all in hexadecimal digits.
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let connections = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = connections.filter(|words| words[1].ends_with(&format!(":{port:04X}")) && words[3] != "0A");
    ours.map(|words| usize::from_str_radix(words[4].split(':').next().unwrap(), 16).unwrap()).sum()
}

/// Left to itself it would keep all of it for a time that depends on this option, which is longer than any test waits.
const KEEPALIVE: [&str; 2] = ["--keepalive", "3600"];

#[test]
fn of_a_client_that_was_too_slow_to_the_end_the_kernel_keeps_nothing() {
    let mut host = Host::serve(&[&KEEPALIVE[..], &["--max-pending", "64K"]].concat());
    let port = host.tcp.socket_address().unwrap().port();
    let mut deaf: Vec<Client> = (0..10).map(|_| Client::connect_narrow(&host.tcp)).collect();
    deaf.iter_mut().for_each(|client| client.join("room"));
    let mut speaker = Client::connect(&host.unix);
    // Some of these are refused: the room ends with its last member.
    (0..60).for_each(|_| drop(speaker.ask(say("room", &"x".repeat(15_000)))));
    host.eventually_counts(1, 0, 0);
    eventually("the kernel lets go of it", || unsent_bytes(port) == 0);
}

#[test]
fn of_a_client_that_has_closed_its_side_and_does_not_read_the_kernel_keeps_nothing_for_long() {
    let mut host = Host::serve(&KEEPALIVE);
    let port = host.tcp.socket_address().unwrap().port();
    let deaf: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = Client::connect_narrow(&host.tcp);
            // The replies fit into the kernel, and not into the client's socket.
            client.send((say("none", &"x".repeat(10_000)) + "\n").repeat(3));
            client.finish_sending();
            client
        })
        .collect();
    host.eventually_counts(0, 0, 0);
    eventually("the kernel lets go of it", || unsent_bytes(port) == 0);
    drop(deaf);
}

/// It is not cut off for being slow: here it begins to read when the server knows of it no more.
#[test]
fn a_client_that_has_closed_its_side_gets_all_that_the_kernel_keeps() {
    let mut host = Host::serve(&KEEPALIVE);
    let port = host.tcp.socket_address().unwrap().port();
    let line = say("none", &"x".repeat(10_000));
    let mut client = Client::connect_narrow(&host.tcp);
    client.send((line.clone() + "\n").repeat(3));
    client.finish_sending();
    host.eventually_counts(0, 0, 0);
    assert!(until_it_rests(|| unsent_bytes(port)) > 0, "it has all come already");
    for _ in 0..3 {
        assert!(client.recv_line().contains(&line));
    }
    client.expect_end();
}
