//! The figures of the README. Nothing is asserted here but that everything arrives; run it on a quiet machine:
//!
//!     cargo test --release --features cluster --test cluster figures -- --ignored --nocapture --test-threads 1

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use parlor::cluster::resp;

use super::{join, login, send};
use crate::process::{Client, Parlor};
use crate::redis::Engine;

/// Clients that each have one message under way.
const TALKERS: usize = 64;
const ROUNDS: usize = 2000;
const CROWD: usize = 10_000;

/// The time for which a process has had a processor.
fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn each(spent: Duration, count: usize) -> f64 {
    spent.as_secs_f64() * 1e6 / count as f64
}

/// Everybody talks in a room of its own, all at once, again and again.
fn talk(clients: &mut [Client], rounds: usize) {
    for round in 0..rounds {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(&send(
                &format!("room {index}"),
                &format!("message {round} with some text, 64 bytes long or so"),
            ));
        }
        for client in &mut *clients {
            assert!(client.line().unwrap().starts_with(r#"{"action":"RESPONSE""#));
            assert!(client.line().unwrap().starts_with(r#"{"action":"GET MESSAGE""#));
        }
    }
}

fn talkers(address: &str) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..TALKERS).map(|_| Client::connect(address)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.ask(&join(&format!("room {index}"))), "OK");
    }
    clients
}

/// What an engine takes for the same messages when its clients are publishers and subscribers of its own protocol.
fn engine_alone() -> f64 {
    let engine = Engine::start(&[]);
    let connect = || UnixStream::connect(engine.directory.file("engine")).unwrap();
    let mut talkers: Vec<[UnixStream; 2]> = (0..TALKERS).map(|_| [connect(), connect()]).collect();
    let mut buffer = [0; 1024];
    for (index, [_, subscriber]) in talkers.iter_mut().enumerate() {
        let mut command = Vec::new();
        resp::command(&mut command, &[b"SUBSCRIBE", format!("room {index}").as_bytes()]);
        subscriber.write_all(&command).unwrap();
        assert!(subscriber.read(&mut buffer).unwrap() > 0);
    }
    let line = r#"{"action":"GET MESSAGE","room_id":"room 17","author":"guest-17","text":"message 1000 with some text, 64 bytes long or so"}"#;
    let before = cpu(engine.child.id());
    for _ in 0..ROUNDS {
        for (index, [publisher, _]) in talkers.iter_mut().enumerate() {
            let mut command = Vec::new();
            resp::command(&mut command, &[b"PUBLISH", format!("room {index}").as_bytes(), line.as_bytes()]);
            publisher.write_all(&command).unwrap();
        }
        for [publisher, subscriber] in &mut talkers {
            assert!(publisher.read(&mut buffer).unwrap() > 0 && subscriber.read(&mut buffer).unwrap() > 0);
        }
    }
    each(cpu(engine.child.id()) - before, TALKERS * ROUNDS)
}

#[test]
#[ignore = "it measures"]
fn figures_of_a_message_to_one_member() {
    let plain = Parlor::serve(&[]);
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let (mut alone, mut joined) = (talkers(&plain.1), talkers(&node.1));
    talk(&mut alone, ROUNDS / 10);
    talk(&mut joined, ROUNDS / 10);
    let before = [plain.0.id(), node.0.id(), engine.child.id()].map(cpu);
    talk(&mut alone, ROUNDS);
    talk(&mut joined, ROUNDS);
    let after = [plain.0.id(), node.0.id(), engine.child.id()].map(cpu);
    let [plain, node, engine] = [0, 1, 2].map(|index| each(after[index] - before[index], TALKERS * ROUNDS));
    let redis = engine_alone();
    println!("CPU a message to one member, {TALKERS} under way, in µs:");
    println!(
        "  parlor without --cluster {plain:.2}, redis with one subscriber {redis:.2}, together {:.2}",
        plain + redis
    );
    println!("  node {node:.2}, its engine {engine:.2}, together {:.2}", node + engine);
    println!("  ratio {:.2}", (node + engine) / (plain + redis));
}

#[test]
#[ignore = "it measures"]
fn figures_of_requests_without_the_engine() {
    let engine = Engine::start(&[]);
    let servers = [Parlor::serve(&[]), engine.node(&[])];
    let mut clients = servers.each_ref().map(|(_, address)| {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(format!("{}\n", join("hall")).as_bytes()).unwrap();
        reader.read_line(&mut String::new()).unwrap();
        (stream, reader)
    });
    let many = format!("{}\n", join("hall")).repeat(500);
    let mut best = [f64::MAX; 2];
    for _ in 0..7 {
        for (index, (stream, reader)) in clients.iter_mut().enumerate() {
            let before = cpu(servers[index].0.id());
            for _ in 0..200 {
                stream.write_all(many.as_bytes()).unwrap();
                let mut line = String::new();
                for _ in 0..500 {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                }
            }
            best[index] = best[index].min(1000.0 * each(cpu(servers[index].0.id()) - before, 500 * 200));
        }
    }
    println!(
        "CPU a JOIN ROOM that changes nothing: {:.0} ns without --cluster, {:.0} ns with it",
        best[0], best[1]
    );
}

/// As many clients as a node has by default come, take a name each and join a room each; then the link breaks.
#[test]
#[ignore = "it measures"]
fn figures_of_a_crowd() {
    let engine = Engine::start(&[]);
    let path = engine.directory.file("node");
    let address = format!("unix:{}", path.display());
    let mut node = Parlor::start(&["--listen", &address, "--cluster", &engine.url()]);
    node.address();
    let mut clients: Vec<UnixStream> = Vec::new();
    while clients.len() < CROWD {
        if let Ok(client) = UnixStream::connect(&path) {
            clients.push(client);
        }
    }
    let start = Instant::now();
    for (index, client) in clients.iter_mut().enumerate() {
        let (name, room) = (format!("client {index}"), format!("room {}", index % 1000));
        client.write_all(format!("{}\n{}\n", login(&name), join(&room)).as_bytes()).unwrap();
    }
    let mut readers: Vec<_> =
        clients.into_iter().map(|client| BufReader::with_capacity(256, client)).collect();
    let mut line = String::new();
    for reader in &mut readers {
        for _ in 0..2 {
            line.clear();
            reader.read_line(&mut line).unwrap();
            assert!(line.contains(r#""message":"OK""#), "{line}");
        }
    }
    println!("{CROWD} clients have logged in and joined after {:.2?}", start.elapsed());
    engine.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let start = Instant::now();
    for reader in &mut readers {
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("Cluster link lost"), "{line}");
    }
    println!("all {CROWD} have been told of a lost link after {:.2?}", start.elapsed());
}

#[test]
#[ignore = "it measures"]
fn figures_of_a_killed_node() {
    let engine = Engine::start(&[]);
    let (mut one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (Client::connect(&one.1), Client::connect(&two.1));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    one.0.signal("KILL");
    while one.0.is_running() {}
    let start = Instant::now();
    while bob.ask(&login("Ann")) != "OK" {}
    println!("a killed node's nickname was free after {:.1?}", start.elapsed());
}
