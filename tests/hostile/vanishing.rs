//! Clients that are gone from one moment to the next, in the middle of anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Host;
use crate::common::random::Random;
use crate::common::{Client, TestServer, eventually, join, left, login, response, say};

/// One client's life: a few things in any order, not all of them whole, and then it is gone.
fn live_and_vanish(mut client: Client, random: &mut Random) {
    for _ in 0..random.below(8) {
        let line = match random.below(8) {
            0 => login(&format!("victim {}", random.below(30))),
            1 | 2 => join("crowd"),
            3 => left("crowd"),
            4 => say("crowd", &"x".repeat(random.below(20_000))),
            5 => join(random.below(5)),
            6 => say("crowd", "x").repeat(1 + random.below(200)).replace("}{", "}\n{"),
            _ => "\0".repeat(random.below(100_000)),
        };
        let line = line + "\n";
        // Sometimes only the beginning of it.
        let end = if random.once_in(5) { random.below(line.len()) } else { line.len() };
        let _ = client.send_without_waiting(&line.as_bytes()[..end]);
        match random.below(6) {
            0 => client.skip_what_has_come(),
            // The server is given a moment to be in the middle of it.
            1 | 2 => drop(client.try_hear_within(Duration::from_millis(10))),
            _ => {}
        }
        if random.once_in(10) {
            client.finish_sending_if_open();
        }
    }
    if random.once_in(5) { drop(client) } else { client.reset() }
}

/// Two who talk while others come and go: each hears every word of the other.
fn chat(alice: &mut Client, bob: &mut Client, room: &str, number: usize) {
    let text = number.to_string();
    alice.send_line(say(room, &text));
    bob.send_line(say(room, &text));
    for client in [alice, bob] {
        let (mut own, mut heard) = (0, Vec::new());
        while own < 1 || heard.len() < 2 {
            let line = client.recv_line();
            if line == response(&say(room, &text)) {
                own += 1;
            } else {
                let message: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!((&message["room_id"], &message["text"]), (&room.into(), &text.as_str().into()));
                heard.push(message["author"].clone());
            }
        }
        heard.sort_by_key(|author| author.to_string());
        assert_eq!(heard, ["Alice", "Bob"]);
    }
}

#[test]
fn clients_that_are_reset_in_the_middle_of_anything_take_nothing_from_two_who_talk() {
    let mut random = Random::from_environment();
    let mut host = Host::serve(&["--max-pending", "256K"]);
    let [mut alice, mut bob] = host.addresses().map(|address| Client::connect(&address));
    alice.login("Alice");
    bob.login("Bob");
    alice.join("talk");
    bob.join("talk");
    let running = AtomicBool::new(true);
    let talked = thread::scope(|scope| {
        let victims: Vec<_> = host
            .addresses()
            .into_iter()
            .cycle()
            .take(6)
            .map(|address| {
                let mut random = Random::from_seed(random.number());
                scope.spawn(move || {
                    for _ in 0..150 {
                        live_and_vanish(Client::connect(&address), &mut random);
                    }
                })
            })
            .collect();
        let talkers = scope.spawn(|| {
            let mut number = 0;
            while running.load(Ordering::Relaxed) || number < 100 {
                chat(&mut alice, &mut bob, "talk", number);
                number += 1;
            }
            number
        });
        let ends: Vec<_> = victims.into_iter().map(|victim| victim.join()).collect();
        running.store(false, Ordering::Relaxed);
        let talked = talkers.join().unwrap();
        ends.into_iter().for_each(|end| end.unwrap());
        talked
    });
    println!("{talked} rounds of talk");
    alice.nothing_more();
    bob.nothing_more();
    // Nothing is left of all of them, and no nickname is held.
    host.eventually_counts(2, 1, 0);
    for number in 0..30 {
        alice.login(&format!("victim {number}"));
    }
    assert!(host.counters().contains("waiting 0 bytes"));
}

#[test]
fn the_nickname_of_a_client_that_was_reset_is_free_whatever_it_was_in_the_middle_of() {
    let server = TestServer::with(|options| options.max_pending = 64 << 20);
    let mut witness = server.connect();
    let address = &server.addresses()[0];
    let text = "x".repeat(20_000);
    type GetThere<'a> = &'a dyn Fn(&mut Client);
    let middles: [(&str, GetThere); 6] = [
        ("silence", &|_| ()),
        ("a line", &|client| client.send(&text[..100])),
        ("a line too long", &|client| (0..10).for_each(|_| client.send(&text))),
        ("requests without end", &|client| {
            client.send_until_stuck((join("x".repeat(5_000)) + "\n").repeat(2_000).as_bytes());
        }),
        ("messages that it does not read", &|client| {
            let mut speaker = Client::connect(address);
            (0..500).for_each(|_| speaker.say("room", &text));
            client.send("\n");
        }),
        ("its own messages, not read", &|client| {
            client.send_until_stuck((say("room", &text) + "\n").repeat(500).as_bytes());
        }),
    ];
    for (middle, get_there) in middles {
        let mut client = Client::connect_narrow(address);
        client.login("Victim");
        client.join("room");
        get_there(&mut client);
        client.reset();
        eventually(&format!("the nickname is free after a reset amid {middle}"), || {
            witness.ask(login("Victim")) == response(&login("Victim"))
        });
        witness.expect_error(say("room", "x"), "Room not found");
        witness.login("Witness");
    }
}

/// A peer that is alive and reads nothing is not one that has vanished, and may take longer than `--keepalive`.
#[test]
#[cfg(target_os = "linux")]
fn a_live_client_that_does_not_read_for_longer_than_keepalive_is_kept() {
    let server = TestServer::with(|options| {
        options.keepalive = Duration::from_secs(1);
        options.max_pending = 64 << 20;
    });
    let mut silent = server.connect();
    let mut reader = Client::connect_narrow(&server.addresses()[0]);
    reader.join("room");
    let mut speaker = server.connect();
    speaker.login("Alice");
    let text = "x".repeat(20_000);
    (0..500).for_each(|_| speaker.say("room", &text));
    thread::sleep(Duration::from_millis(3_500));
    (0..500).for_each(|_| reader.expect_message("room", "Alice", &text));
    reader.nothing_more();
    silent.nothing_more();
}
