//! More connections than there may be, and more than the host has descriptors for.

use std::thread;
use std::time::Duration;

use crate::Host;
use crate::common::{Client, TestServer, eventually, join};

#[test]
fn in_a_storm_far_over_the_limit_everyone_gets_the_last_line() {
    let mut host = Host::serve(&["--max-clients", "8"]);
    let mut members: Vec<Client> =
        (0..8).map(|number| Client::connect(&host.addresses()[number % 2])).collect();
    members.iter_mut().for_each(|client| client.join("room"));
    let each = 500;
    thread::scope(|scope| {
        for address in host.addresses().into_iter().cycle().take(4) {
            scope.spawn(move || {
                for round in 0..each / 50 {
                    let mut refused: Vec<Client> = (0..50).map(|_| Client::connect(&address)).collect();
                    for (number, client) in refused.iter_mut().enumerate() {
                        // Some speak first, some say more than is read at once, some are done before they begin.
                        match (round + number) % 4 {
                            0 => drop(client.try_send(join("room") + "\n")),
                            1 => drop(client.try_send([b'x'; 100_000])),
                            2 => client.finish_sending_if_open(),
                            _ => {}
                        }
                    }
                    refused.iter_mut().for_each(|client| client.expect_farewell("Too many clients"));
                }
            });
        }
        for _ in 0..50 {
            members.iter_mut().for_each(Client::nothing_more);
        }
    });
    let counters = host.counters();
    assert!(counters.contains(&format!("\"Too many clients\" {}", 4 * each)), "{counters}");
    host.eventually_counts(8, 1, 0);
}

#[test]
fn those_that_do_not_go_when_they_are_told_are_no_trouble_to_those_that_come_after() {
    let mut host = Host::serve(&["--max-clients", "1"]);
    let mut member = host.connect();
    member.join("room");
    let mut staying: Vec<Client> =
        (0..200).map(|number| Client::connect(&host.addresses()[number % 2])).collect();
    for client in staying.iter_mut().rev() {
        assert!(client.recv_line().contains("Too many clients"));
    }
    host.connect().expect_farewell("Too many clients");
    let before = host.parlor.processor_time();
    thread::sleep(Duration::from_millis(500));
    let spent = host.parlor.processor_time() - before;
    assert!(
        spent < Duration::from_millis(100),
        "{spent:?} of processor time for connections that do nothing"
    );
    drop(staying);
    host.eventually_counts(1, 1, 0);
}

/// Connections wait in the kernel until there is a descriptor for them; the server neither spins nor fills its log.
#[test]
#[cfg(target_os = "linux")]
fn without_descriptors_those_that_are_there_go_on_and_the_others_come_in_when_somebody_leaves() {
    let mut host = Host::with_descriptors(64, &[]);
    let enough_for = "the limit of 64 open files is too low for --max-clients 10000";
    assert!(
        host.parlor.log.iter().any(|line| line.contains("WARN") && line.contains(enough_for)),
        "{:?}",
        host.parlor.log
    );
    for episode in 1..=2 {
        let mut clients: Vec<Client> = Vec::new();
        // One after the other, until one is not accepted any more.
        let told =
            |log: &[String]| log.iter().filter(|line| line.contains("cannot accept connections")).count();
        while told(host.parlor.log_so_far()) < episode {
            assert!(clients.len() < 64);
            let mut client = host.connect();
            client.send_line("[]");
            eventually("an answer, or a line about it", || {
                client.hears_within(Duration::from_millis(10)) || told(host.parlor.log_so_far()) == episode
            });
            clients.push(client);
        }
        let served = clients.len() - 1;
        clients[..served].iter_mut().for_each(|client| drop(client.recv_line()));
        // And more of them, over both.
        for _ in 0..10 {
            clients.extend(host.addresses().iter().map(Client::connect));
        }
        let waiting = clients.len() - served;

        let before = host.parlor.processor_time();
        for _ in 0..10 {
            clients[..served].iter_mut().for_each(Client::nothing_more);
            thread::sleep(Duration::from_millis(100));
        }
        let spent = host.parlor.processor_time() - before;
        assert!(spent < Duration::from_millis(400), "{spent:?} of processor time in a second");
        assert_eq!(told(host.parlor.log_so_far()), episode, "one line for each episode");

        // Whoever leaves makes room for one that waits.
        let leaving: Vec<Client> = clients.drain(..waiting).collect();
        drop(leaving);
        drop(clients[served - waiting].recv_line());
        clients.iter_mut().for_each(Client::nothing_more);
        host.parlor.line("the end of it", |line| line.contains("accepting connections again, after"));
        drop(clients);
        // A line a second at most.
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(host.parlor.stop().code, Some(0));
}

/// A crowd at one address does not keep those out who come to the other.
#[test]
#[cfg(target_os = "linux")]
fn without_descriptors_each_address_has_its_turn() {
    let mut host = Host::with_descriptors(64, &[]);
    let addresses = host.addresses();
    let mut crowd: Vec<Client> = (0..120).map(|_| Client::connect(&addresses[0])).collect();
    host.parlor.line("that it is full", |line| line.contains("cannot accept connections"));
    let mut others: Vec<Client> = (0..5).map(|_| Client::connect(&addresses[1])).collect();
    others.iter_mut().for_each(|client| client.send_line("[]"));
    // Each that leaves makes room for one that waits: more of the crowd wait than leave.
    crowd.drain(..30);
    others.iter_mut().for_each(|client| assert!(client.recv_line().contains("Not a JSON object")));
}

#[test]
fn places_are_not_lost_however_clients_go() {
    let server = TestServer::with(|options| {
        options.max_clients = 5;
        options.max_clients_per_ip = 5;
    });
    for round in 0..40 {
        // As one may be told while another's end has not been seen yet, each waits for its place.
        let mut clients: Vec<Client> = Vec::new();
        eventually("all five come in", || {
            let mut client = server.connect();
            client.send_line("[]");
            if client.recv_line().contains("Not a JSON object") {
                clients.push(client);
            }
            clients.len() == 5
        });
        for (number, mut client) in clients.into_iter().enumerate() {
            match (round + number) % 4 {
                0 => client.reset(),
                1 => {
                    client.send("{\"action\":");
                    client.reset();
                }
                2 => {
                    client.finish_sending();
                    client.expect_end();
                }
                _ => drop(client),
            }
        }
    }
}
