//! An engine with replicas, and a failover behind an address that stays: a name in the file system that leads to the
//! socket of the one or of the other, as an IP address is taken over.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use super::refusals::refusal;
use super::{come, heard, heard_until_lost, last_words, login, send};
use crate::process::{Client, Directory, Parlor};
use crate::redis::{Engine, has_engine, until};

/// A primary, and a replica that has all that it has.
struct Pair {
    primary: Engine,
    replica: Engine,
    directory: Directory,
}

impl Pair {
    fn start(arguments: &[&str]) -> Pair {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let primary = Engine::start(&[&["--port", &port, "--bind", "127.0.0.1"], arguments].concat());
        let replica = Engine::start(&["--replicaof", "127.0.0.1", &port]);
        until("the replica has all", || {
            replica.ask(&["INFO", "replication"]).contains("master_link_status:up")
        });
        let pair = Pair { primary, replica, directory: Directory::new() };
        pair.lead_to(&pair.primary);
        pair
    }

    /// The address leads to this one from now on.
    fn lead_to(&self, engine: &Engine) {
        let next = self.directory.file("next");
        symlink(engine.directory.file("engine"), &next).unwrap();
        fs::rename(&next, self.directory.file("address")).unwrap();
    }

    fn url(&self) -> String {
        format!("redis+unix:{}", self.directory.file("address").display())
    }

    fn node(&self) -> (Parlor, String) {
        Parlor::serve(&["--cluster", &self.url()])
    }
}

/// Both hear what both say, in one order.
fn talk(ann: &mut Client, bob: &mut Client) {
    for number in 0..10 {
        let text = format!("after it {number}");
        assert_eq!(ann.ask(&send("hall", &text)), "OK");
        assert_eq!((heard(ann).1, heard(bob).1), (text.clone(), text.clone()));
        assert_eq!(bob.ask(&send("hall", &text)), "OK");
        assert_eq!(heard(ann), heard(bob));
    }
}

/// The primary gets this signal while a message follows the other, and its replica takes its place.
fn fail_over(signal: &str) {
    if !has_engine() {
        return;
    }
    let pair = Pair::start(&[]);
    let (one, two) = (pair.node(), pair.node());
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    assert_eq!(bob.ask(&send("hall", "0")), "OK");
    assert_eq!((heard(&mut ann).1, heard(&mut bob).1), ("0".into(), "0".into()));
    (1..2000).for_each(|number| bob.send(&send("hall", &number.to_string())));
    assert_eq!(heard(&mut ann).1, "1", "they are under way");
    pair.primary.signal(signal);

    // Whoever may have missed something is told, and has missed nothing before.
    for (client, first) in [(&mut ann, 2), (&mut bob, 1)] {
        let texts = heard_until_lost(client);
        let wanted: Vec<String> = (first..first + texts.len()).map(|number| number.to_string()).collect();
        assert_eq!(texts, wanted);
    }

    // A replica is no engine before it is promoted, wherever the address leads.
    pair.lead_to(&pair.replica);
    let tries = |count: usize| {
        let said = pair.replica.ask(&["INFO", "commandstats"]);
        let calls = said.split_once("cmdstat_hello:calls=").map_or("0", |(_, rest)| rest);
        calls.split(',').next().unwrap().parse::<usize>().unwrap() >= count
    };
    until("the nodes have tried it", || tries(3));
    for address in [&one.1, &two.1] {
        assert_eq!(last_words(&mut Client::connect(address)), "Cluster link lost");
    }
    assert!(pair.replica.ask(&["REPLICAOF", "NO", "ONE"]).starts_with("+OK"));

    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    // Whatever the replica had of the old lease, its node has given it up.
    assert_eq!(bob.ask(&login("Ann")), "OK");
    assert_eq!(ann.ask(&login("Ann")), "Nickname already in use");
    talk(&mut ann, &mut bob);
    if signal == "STOP" {
        // What the old primary still had to say is heard by nobody.
        pair.primary.signal("CONT");
        until("it has no nodes", || pair.primary.ask(&["PUBSUB", "CHANNELS"]).starts_with("*0"));
        talk(&mut ann, &mut bob);
    }
}

#[test]
fn a_replica_takes_the_place_of_a_primary_that_was_killed() {
    fail_over("KILL");
}

#[test]
fn a_replica_takes_the_place_of_a_primary_that_stands_still() {
    fail_over("STOP");
}

/// Its connections stay as they are; a node knows of it by its next renewal.
#[test]
fn a_primary_that_becomes_a_replica_is_a_lost_link() {
    if !has_engine() {
        return;
    }
    let pair = Pair::start(&[]);
    let node = pair.node();
    let mut ann = come(&node.1, "hall");
    assert!(pair.primary.ask(&["REPLICAOF", "127.0.0.1", "1"]).starts_with("+OK"));
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut Client::connect(&node.1)), "Cluster link lost");
    assert!(pair.primary.ask(&["REPLICAOF", "NO", "ONE"]).starts_with("+OK"));
    come(&node.1, "hall");
}

/// With `min-replicas-to-write`, a primary that is cut off from its replicas has no nodes for long.
#[test]
fn a_primary_without_its_replicas_has_no_nodes() {
    if !has_engine() {
        return;
    }
    let alone = Engine::start(&["--min-replicas-to-write", "1"]);
    let line = refusal(&["--cluster", &alone.url()]);
    assert!(line.contains("NOREPLICAS"), "{line}");
    let mut pair = Pair::start(&["--min-replicas-to-write", "1"]);
    until("the replica counts", || pair.primary.ask(&["SET", "x", "1"]).starts_with("+OK"));
    let node = pair.node();
    let mut ann = come(&node.1, "hall");
    assert_eq!(ann.ask(&login("Ann")), "OK");
    pair.replica.kill();
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    pair.replica.revive();
    come(&node.1, "hall");
}
