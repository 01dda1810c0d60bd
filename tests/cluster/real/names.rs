//! Nicknames, which are unique on all nodes together.

use super::{come, last_words, login, send, take};
use crate::process::Client;
use crate::redis::{Engine, has_engine, until};

#[test]
fn a_killed_node_frees_its_nicknames_and_a_stopped_one_at_once() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (mut one, two, three) = (engine.node(&[]), engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob, mut cem) = (come(&one.1, "a"), come(&two.1, "b"), come(&three.1, "c"));
    assert_eq!((ann.ask(&login("Ann")), bob.ask(&login("Bob"))), ("OK".into(), "OK".into()));
    one.0.signal("KILL");
    until("it is dead", || !one.0.is_running());
    take(&mut cem, "Ann");
    // Its rooms, too, have gone with its connection.
    assert_eq!(cem.ask(&send("a", "x")), "Room not found");
    let ended = two.0.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.log);
    assert_eq!(last_words(&mut bob), "Server shutting down");
    assert_eq!(cem.ask(&login("Bob")), "OK", "the lease is deleted before the process ends");
    assert_eq!(cem.ask(&send("b", "x")), "Room not found");
}

/// On the same node and on others, all at once, again and again.
#[test]
fn of_many_who_want_a_nickname_at_once_one_gets_it() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let nodes = [engine.node(&[]), engine.node(&[]), engine.node(&[])];
    let mut clients: Vec<Client> = (0..12).map(|index| Client::connect(&nodes[index % 3].1)).collect();
    for round in 0..20 {
        let name = format!("name {round}");
        clients.iter_mut().for_each(|client| client.send(&login(&name)));
        let replies: Vec<String> = clients.iter_mut().map(Client::message).collect();
        assert_eq!(replies.iter().filter(|reply| *reply == "OK").count(), 1, "{replies:?}");
        assert_eq!(replies.iter().filter(|reply| *reply == "Nickname already in use").count(), 11);
    }
}

#[test]
fn a_nickname_is_free_when_its_client_has_gone() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (Client::connect(&one.1), Client::connect(&two.1));
    assert_eq!(
        (ann.ask(&login("Ann")), bob.ask(&login("Ann"))),
        ("OK".into(), "Nickname already in use".into())
    );
    drop(ann);
    take(&mut bob, "Ann");
}

/// In the engine a nickname lives for a day and a node's lease for ten seconds; both are renewed.
#[test]
fn nicknames_and_leases_expire_unless_they_are_renewed() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let mut ann = Client::connect(&one.1);
    assert_eq!(ann.ask(&login("Ann")), "OK");
    let life = || engine.number(&["TTL", "parlor:nick:Ann"]);
    assert!((86_000..=86_400).contains(&life()), "{}", life());
    assert_eq!(engine.number(&["EXPIRE", "parlor:nick:Ann", "1000"]), 1);
    until("it is renewed", || life() > 1000);
    let keys = engine.ask(&["KEYS", "parlor:node:*"]);
    let leases: Vec<&str> = keys.lines().filter(|line| line.starts_with("parlor:node:")).collect();
    assert_eq!(leases.len(), 2, "{keys}");
    for lease in leases {
        let left = engine.number(&["PTTL", lease]);
        assert!((1..=10_000).contains(&left), "{left}");
    }
    assert_eq!(two.0.stop().code, Some(0));
    assert_eq!(engine.ask(&["KEYS", "parlor:node:*"]).matches("parlor:node:").count(), 1);
}
