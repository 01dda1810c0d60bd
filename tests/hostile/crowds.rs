//! What a crowd does while the server cannot look: everything is there at once when it looks again.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{IoSlice, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, MsgHdr, SockAddr, Socket, Type};

use crate::common::{Client, eventually, join, login, response, say};
use crate::{Host, MIB, assert_memory_is_given_back};

const LINE: &str = "{\"action\":\"x\"}\n";

impl Host {
    /// Stops the process, does something, and lets it go on: it sees all of it at once.
    fn while_it_stands_still<R>(&self, act: impl FnOnce() -> R) -> R {
        self.parlor.signal("STOP");
        let stat = format!("/proc/{}/stat", self.parlor.id());
        eventually("the process stands still", || fs::read_to_string(&stat).unwrap().contains(") T "));
        let result = act();
        self.parlor.signal("CONT");
        result
    }

    fn messages_so_far(&mut self) -> usize {
        let counters = self.counters();
        let (_, rest) = counters.split_once("messages ").unwrap();
        rest.split_once(',').unwrap().0.parse().unwrap()
    }
}

/// Reads from all of them and throws it away, until it is enough.
fn read_on(clients: &mut [Client], enough: &AtomicBool) {
    let mut buffer = vec![0; 256 << 10];
    while !enough.load(Ordering::Relaxed) {
        for client in clients.iter_mut() {
            let mut socket = client.socket();
            while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
    }
}

/// Fifty clients alternate between two large rooms, so that each of their lines has to be told to everybody by itself.
/// They have all sent a lot when the server comes to look; somebody else has asked for a little.
#[test]
fn whoever_asks_for_little_does_not_wait_for_those_who_ask_for_much() {
    for transport in 0..2 {
        let mut host = Host::serve(&["--max-pending", "1G"]);
        let address = host.addresses()[transport].clone();
        let mut members: Vec<Client> = (0..400).map(|_| Client::connect(&address)).collect();
        for member in &mut members {
            member.join("one");
            member.join("two");
        }
        let mut outsider = Client::connect(&address);
        outsider.nothing_more();
        let much = format!("{}\n{}\n", say("one", ""), say("two", "")).repeat(200);
        host.while_it_stands_still(|| {
            for member in &mut members[..50] {
                member.send(&much);
            }
            outsider.send(LINE);
        });
        members.iter().for_each(|member| member.socket().set_nonblocking(true).unwrap());
        let enough = AtomicBool::new(false);
        let before = thread::scope(|scope| {
            scope.spawn(|| read_on(&mut members, &enough));
            let mut before = Vec::new();
            for _ in 0..3 {
                assert!(outsider.recv_line().contains("Unknown action"));
                before.push(host.messages_so_far());
                outsider.send(LINE);
            }
            enough.store(true, Ordering::Relaxed);
            before
        });
        println!("messages of the crowd before the answers: {before:?}");
        assert!(before[0] < 2_000, "of 20,000 messages these came first: {before:?}");
    }
}

#[test]
fn nobody_is_idle_while_the_server_stands_still() {
    let mut host = Host::serve(&["--idle-timeout", "5"]);
    let mut clients: Vec<Client> = (0..300).map(|_| host.connect()).collect();
    clients.iter_mut().for_each(Client::nothing_more);
    host.while_it_stands_still(|| {
        thread::sleep(Duration::from_secs(6));
        clients.iter_mut().for_each(|client| client.send(LINE));
    });
    for client in &mut clients {
        assert!(client.recv_line().contains("Unknown action"));
    }
    assert!(host.counters().contains("\"Idle too long\" 0"));
}

/// A read stops at the mark of urgent data, with more behind it.
#[test]
fn what_is_behind_urgent_data_is_read_without_another_event() {
    let mut host = Host::serve(&[]);
    let (tcp, addresses) = (host.tcp.clone(), host.addresses().len());
    assert_eq!(addresses, 2);
    for known in [true, false] {
        for marks in 1..4 {
            let mut client = if known { Some(Client::connect(&tcp)) } else { None };
            client.iter_mut().for_each(Client::nothing_more);
            let mut client = host.while_it_stands_still(|| {
                let mut client = client.unwrap_or_else(|| Client::connect(&tcp));
                client.send(LINE);
                for _ in 0..marks {
                    client.socket().send_out_of_band(b"!").unwrap();
                    client.send(LINE);
                }
                client
            });
            for number in 0..=marks {
                let line = client.recv_line();
                // Of several marks only the last is one; the bytes at the others are part of what is sent.
                let is_reply =
                    line.contains("Unknown action") || number < marks && line.contains("Invalid JSON");
                assert!(is_reply, "{marks} marks, line {number}: {line}");
            }
            client.nothing_more();
        }
    }
    assert!(host.parlor.is_running());
}

/// A read from a Unix socket stops where a descriptor was sent along.
#[test]
#[cfg(all(target_endian = "little", target_pointer_width = "64"))]
fn what_is_behind_a_descriptor_is_read_without_another_event() {
    let host = Host::serve(&[]);
    let path = host.unix.path().unwrap();
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.connect(&SockAddr::unix(path).unwrap()).unwrap();
    socket.set_read_timeout(Some(crate::common::DEADLINE)).unwrap();
    // The length of the header and of one descriptor; SOL_SOCKET and SCM_RIGHTS; the descriptor; up to a multiple of 8.
    let mut control = Vec::new();
    control.extend(20_u64.to_le_bytes());
    [1_u32, 1, 0, 0].iter().for_each(|number| control.extend(number.to_le_bytes()));
    host.while_it_stands_still(|| {
        for _ in 0..5 {
            let lines = [IoSlice::new(LINE.as_bytes())];
            let message = MsgHdr::new().with_buffers(&lines).with_control(&control);
            assert_eq!(socket.sendmsg(&message, 0).unwrap(), LINE.len());
        }
    });
    let mut received = Vec::new();
    while received.iter().filter(|byte| **byte == b'\n').count() < 5 {
        let mut buffer = [0; 4096];
        let count = (&socket).read(&mut buffer).expect("all lines are answered");
        assert!(count > 0);
        received.extend_from_slice(&buffer[..count]);
    }
    let descriptors = fs::read_dir(format!("/proc/{}/fd", host.parlor.id())).unwrap().count();
    assert!(descriptors < 16, "{descriptors} descriptors are open");
}

/// Connections that have been told to go and do not go make room for others.
#[test]
fn those_that_linger_keep_no_descriptor_from_others() {
    let host = Host::with_descriptors(128, &["--max-clients", "90", "--max-clients-per-ip", "1"]);
    let staying: Vec<Client> = (0..1000).map(|_| host.connect()).collect();
    let local: std::net::SocketAddr = "127.0.0.2:0".parse().unwrap();
    let mut other = Client::connect_with(&host.tcp, |socket| socket.bind(&local.into()).unwrap());
    // Behind all of them: at twenty in five seconds it would wait for minutes.
    let request = login("another");
    assert_eq!(other.ask(&request), response(&request));
    drop(staying);
}

#[test]
fn after_a_burst_of_long_names_memory_is_given_back() {
    for leaving in [true, false] {
        assert_memory_is_given_back(16 * MIB, || {
            let mut host = Host::serve(&[]);
            let mut witness = host.connect();
            witness.join("room");
            let mut clients: Vec<Client> = (0..5).map(|_| host.connect()).collect();
            clients.iter_mut().for_each(Client::nothing_more);
            let before = host.parlor.resident_bytes();
            let name = |client: usize, number: usize| format!("{client} {number} {}", "x".repeat(64_000));
            for number in 0..128 {
                for (client, connection) in clients.iter_mut().enumerate() {
                    connection.join(name(client, number));
                }
            }
            let during = host.parlor.resident_bytes();
            assert!(during > before + 35 * MIB, "{before} bytes before, {during} during");
            for (client, connection) in clients.iter_mut().enumerate() {
                (0..if leaving { 128 } else { 0 }).for_each(|number| connection.leave(name(client, number)));
            }
            if !leaving {
                drop(clients);
            }
            host.eventually_counts(if leaving { 6 } else { 1 }, 1, 0);
            let after = host.parlor.resident_bytes();
            witness.nothing_more();
            after.saturating_sub(before)
        });
    }
}

/// Where one client may be in very many rooms, its end does not take the square of their number.
#[test]
fn a_client_that_leaves_many_rooms_at_once_costs_little() {
    const ROOMS: usize = 100_000;
    let mut host = Host::serve(&["--max-rooms", "1000000"]);
    let mut client = host.connect();
    for some in (0..ROOMS).collect::<Vec<_>>().chunks(1000) {
        let requests: String = some.iter().map(|room| join(room.to_string()) + "\n").collect();
        client.send(requests);
        for _ in some {
            client.recv_line();
        }
    }
    let before = host.parlor.processor_time();
    drop(client);
    host.eventually_counts(0, 0, 0);
    let spent = host.parlor.processor_time() - before;
    // Some tens of milliseconds; it were many seconds.
    assert!(spent < Duration::from_secs(1), "{spent:?}");
}
