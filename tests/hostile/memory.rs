//! `--max-memory` holds for everything that clients can make the server keep, and what is not needed any more is given
//! back.

#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::common::{Client, is_error, join, left, say};
use crate::{Host, MIB, assert_memory_is_given_back, until_it_rests};

/// Has the server told this client `Out of memory`? Otherwise it still answers.
fn is_out(client: &mut Client) -> bool {
    let _ = client.try_send("\n[\"still there\"]\n");
    loop {
        let line = client.recv_line();
        if is_error(&line, "null", "Out of memory") {
            client.expect_end();
            return true;
        }
        if is_error(&line, "[\"still there\"]", "Not a JSON object") {
            return false;
        }
    }
}

/// Clients over both transports.
fn clients(host: &Host, count: usize) -> Vec<Client> {
    (0..count).map(|number| Client::connect_narrow(&host.addresses()[number % 2])).collect()
}

#[test]
fn half_open_lines_held_at_once_stay_within_the_limit() {
    let mut host = Host::serve(&["--max-memory", "4M"]);
    let mut witness = host.connect();
    witness.join("room");
    let mut greedy = clients(&host, 150);
    greedy.iter_mut().for_each(|client| client.join("room"));
    let before = host.parlor.peak_resident_bytes();
    for client in &mut greedy {
        // Together 9 MB. Nobody is told before his turn.
        let _ = client.try_send(vec![b'x'; 60_000]);
    }
    until_it_rests(|| host.counters().split_once("waiting").unwrap().1.to_owned());
    let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes more");
    greedy.retain_mut(|client| !is_out(client));
    let out = 150 - greedy.len();
    // What is held for a client has between once and twice the size of its line.
    assert!((80..=120).contains(&out), "{out} of 150 had to go");
    host.eventually_counts(151 - out, 1, 0);
    witness.nothing_more();
}

#[test]
fn names_of_rooms_stay_within_the_limit() {
    let mut host = Host::serve(&["--max-memory", "4M"]);
    let mut witness = host.connect();
    witness.join("room");
    let before = host.parlor.peak_resident_bytes();
    let mut greedy = clients(&host, 10);
    for (index, client) in greedy.iter_mut().enumerate() {
        // Together 77 MB of names.
        for number in 0..128 {
            let request = join(format!("{index} {number} {}", "x".repeat(60_000)));
            if client.try_send(request + "\n").is_err() {
                break;
            }
            let line = client.recv_line();
            if is_error(&line, "null", "Out of memory") {
                break;
            }
            assert!(line.contains("RESPONSE"), "{line:.100}");
        }
    }
    let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 10 * MIB, "{grown} bytes more");
    assert!(host.counters().contains("\"Out of memory\" 10"), "{}", host.counters());
    drop(greedy);
    host.eventually_counts(1, 1, 0);
    witness.nothing_more();
}

#[test]
fn output_that_waits_stays_within_the_limit_and_who_waits_for_least_is_spared() {
    let mut host = Host::serve(&["--max-memory", "8M", "--max-pending", "1G"]);
    let mut speaker = host.connect();
    speaker.login("Alice");
    let mut modest = clients(&host, 4);
    modest.iter_mut().for_each(|client| client.join("small"));
    let mut deaf = clients(&host, 12);
    for (number, client) in deaf.iter_mut().enumerate() {
        client.join(number);
    }
    let text = "x".repeat(50_000);
    speaker.say("small", &text);
    let before = host.parlor.peak_resident_bytes();
    // Until all of them have gone.
    for number in 0..deaf.len() {
        let request = say(number, &text);
        while speaker.ask(&request).contains("RESPONSE") {}
    }
    let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes more");
    for client in &mut modest {
        client.expect_message("small", "Alice", &text);
        client.nothing_more();
    }
    for client in &mut deaf {
        let _ = client.try_send("\n");
    }
    drop(deaf);
    host.eventually_counts(5, 1, 0);
}

/// Of what waited nothing is kept but the rest of one short line, not the bytes around it.
#[test]
fn last_words_take_little_memory() {
    let mut host = Host::serve(&["--max-pending", "64K"]);
    let mut speaker = host.connect();
    let mut deaf: Vec<Client> = (0..30).map(|_| Client::connect_narrow(&host.tcp)).collect();
    deaf.iter_mut().enumerate().for_each(|(number, client)| client.join(number));
    for number in 0..deaf.len() {
        // Many short lines at once, until it is cut off in the middle of one of them.
        let requests = (say(number, &"x".repeat(150)) + "\n").repeat(250);
        let mut there = true;
        while there {
            speaker.send(&requests);
            for _ in 0..250 {
                there &= speaker.recv_line().contains("RESPONSE");
            }
        }
    }
    let counters = host.counters();
    let (_, ending) = counters.split_once("ending ").unwrap();
    let (ending, waiting) = ending.split_once(", waiting ").unwrap();
    let (ending, waiting): (usize, usize) =
        (ending.parse().unwrap(), waiting.split_once(' ').unwrap().0.parse().unwrap());
    println!("{counters}");
    assert!(ending > 0 && waiting < 2_000 * ending, "{counters}");
}

/// What a turn has to remember of who gets what has a bound, however many messages of how many rooms go to how many.
#[test]
fn rooms_that_take_turns_in_talking_to_many_take_no_memory() {
    let host = Host::serve(&[]);
    let crowd = (descriptors() / 4).min(1_500);
    let mut members: Vec<Client> = (0..crowd).map(|_| Client::connect(&host.unix)).collect();
    let requests = [join(1), join(2)].join("\n") + "\n";
    members.iter_mut().for_each(|client| client.send(&requests));
    members.iter_mut().for_each(|client| (0..2).for_each(|_| drop(client.recv_line())));
    let before = host.parlor.peak_resident_bytes();
    let mut speaker = host.connect();
    let requests = [say(1, ""), say(2, ""), join(1), left(1)].join("\n") + "\n";
    speaker.send(requests.repeat(150));
    (0..150 * 4).for_each(|_| drop(speaker.recv_line()));
    members.iter_mut().for_each(|client| (0..300).for_each(|_| drop(client.recv_line())));
    // Without a bound that is 20 bytes for each of 300 messages and each member.
    let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes more for {crowd} clients");
}

#[test]
fn after_a_storm_of_connections_memory_is_given_back() {
    assert_memory_is_given_back(2 * MIB, storms);
}

fn storms() -> usize {
    let mut host = Host::serve(&["--max-clients", "6000"]);
    let mut witness = host.connect();
    witness.join("room");
    let storm = |host: &Host, count: usize| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..count).map(|_| host.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send_line(join(format!("room {number}")));
            client.send_line(say(format!("room {number}"), "hello"));
            client.send("{");
        }
        clients.iter_mut().for_each(|client| (0..3).for_each(|_| drop(client.recv_line())));
        clients
    };
    storm(&host, 50).into_iter().for_each(Client::reset);
    host.eventually_counts(1, 1, 0);
    let before = host.parlor.resident_bytes();
    // As many at once as this process may open; it runs other tests at the same time.
    let at_once = (descriptors() / 4).min(2_500);
    for _ in 0..5_000 / at_once {
        storm(&host, at_once).into_iter().for_each(Client::reset);
        host.eventually_counts(1, 1, 0);
    }
    let after = host.parlor.resident_bytes();
    assert!(host.counters().contains("waiting 0 bytes"));
    witness.nothing_more();
    after.saturating_sub(before)
}

/// They come one by one, so that what the server keeps meanwhile lies among them.
#[test]
fn after_long_names_of_rooms_memory_is_given_back() {
    assert_memory_is_given_back(8 * MIB, long_names);
}

fn long_names() -> usize {
    let mut host = Host::serve(&[]);
    host.connect().join("room");
    host.eventually_counts(0, 0, 0);
    let before = host.parlor.resident_bytes();
    let mut clients: Vec<Client> = Vec::new();
    for index in 0..20 {
        let mut client = host.connect();
        for number in 0..128 {
            client.join(format!("{index} {number} {}", "x".repeat(60_000)));
        }
        clients.push(client);
    }
    let during = host.parlor.resident_bytes();
    assert!(during > before + 140 * MIB, "{before} bytes before, {during} during");
    drop(clients);
    host.eventually_counts(0, 0, 0);
    let after = host.parlor.resident_bytes();
    after.saturating_sub(before)
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(20_000)
}

/// In whatever order the clients read: memory comes back, and what one burst has taken serves the next.
#[test]
fn after_a_burst_of_output_memory_is_given_back() {
    assert_memory_is_given_back(16 * MIB, bursts_of_output);
}

/// The most that stays after one of three bursts.
fn bursts_of_output() -> usize {
    let mut host = Host::serve(&["--max-pending", "64M"]);
    let mut speaker = host.connect();
    let mut slow = clients(&host, 8);
    for (number, client) in slow.iter_mut().enumerate() {
        client.join(number);
    }
    let before = host.parlor.resident_bytes();
    let text = "x".repeat(20_000);
    let (mut first, mut stays) = (0, 0);
    for _ in 0..3 {
        for number in 0..slow.len() {
            (0..300).for_each(|_| speaker.say(number, &text));
        }
        let during = host.parlor.resident_bytes();
        assert!(during > before + 20 * MIB, "they do not wait: {before} bytes before, {during} during");
        first = if first == 0 { during } else { first };
        for client in &mut slow {
            (0..300).for_each(|_| assert!(client.recv_line().contains("GET MESSAGE")));
            client.nothing_more();
        }
        assert!(host.counters().contains("waiting 0 bytes"));
        let after = host.parlor.resident_bytes();
        stays = stays.max(after.saturating_sub(before));
        slow.reverse();
    }
    let peak = host.parlor.peak_resident_bytes();
    assert!(peak < first + 8 * MIB, "{first} bytes in the first burst, {peak} at most");
    stays
}

#[test]
fn with_the_smallest_limit_whoever_has_something_waiting_goes_and_the_server_serves_on() {
    let mut host = Host::serve(&["--max-memory", "1", "--max-pending", "1"]);
    let mut witness = host.connect();
    witness.join("room");
    for address in host.addresses() {
        for bytes in ["{", "{\"action\":\"JOIN"] {
            let mut client = Client::connect(&address);
            client.join("room");
            client.send(bytes);
            client.expect_farewell("Out of memory");
        }
        let mut client = Client::connect(&address);
        client
            .send_line(join("a name that is longer than what is taken as part of the fixed cost of a room"));
        assert!(client.recv_line().contains("RESPONSE"));
        client.expect_farewell("Out of memory");
    }
    witness.say("room", "hello");
    assert_eq!(witness.recv_json()["text"], "hello");
    host.eventually_counts(1, 1, 0);
    let before = host.parlor.processor_time();
    std::thread::sleep(Duration::from_millis(500));
    assert!(host.parlor.processor_time() - before < Duration::from_millis(100));
}
