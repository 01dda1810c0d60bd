//! Clients that send without reading their replies.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::common::{Client, TestServer, eventually, is_error, response, say};
use crate::{Host, MIB};

/// A request of about 250 bytes, with its number.
fn numbered(number: usize) -> String {
    format!(r#"{{"action":"LOGIN NICK","nickname":"me","id":"{number:06}","filler":"{}"}}"#, "x".repeat(180))
}

/// Sends so many requests without reading, until the server takes no more; then reads all replies while the rest goes
/// out. `stuck` is called in between.
fn pipeline(client: &mut Client, requests: usize, stuck: impl FnOnce()) {
    let all: Vec<u8> = (0..requests).flat_map(|number| (numbered(number) + "\n").into_bytes()).collect();
    let sent = client.send_until_stuck(&all);
    assert!(sent < all.len(), "the server has read {sent} bytes while no reply was read");
    stuck();
    let socket = client.socket().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (&socket).write_all(&all[sent..]).unwrap());
        for number in 0..requests {
            assert_eq!(client.recv_line(), response(&numbered(number)));
        }
    });
    client.nothing_more();
}

#[test]
#[cfg(target_os = "linux")]
fn of_100000_pipelined_requests_nothing_is_lost_and_the_servers_memory_stays_flat() {
    let host = Host::serve(&[]);
    let mut witness = host.connect();
    witness.nothing_more();
    for address in host.addresses() {
        let before = host.parlor.peak_resident_bytes();
        pipeline(&mut Client::connect_narrow(&address), 100_000, || witness.nothing_more());
        // All replies together are 30 MB.
        let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MIB, "{address}: {grown} bytes more");
    }
}

#[test]
fn with_the_smallest_limits_nothing_is_lost_either() {
    let server = TestServer::with(|options| options.max_pending = 1);
    pipeline(&mut Client::connect_narrow(&server.addresses()[0]), 100_000, || ());
}

#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_has_finished_and_does_not_read_holds_no_nickname_and_costs_no_time() {
    let mut host = Host::serve(&["--max-pending", "64M"]);
    let mut speaker = host.connect();
    let mut deaf: Vec<Client> = host.addresses().iter().map(Client::connect_narrow).collect();
    for (number, client) in deaf.iter_mut().enumerate() {
        client.login(&format!("deaf {number}"));
        client.join("room");
    }
    let text = "x".repeat(20_000);
    let messages = 400;
    (0..messages).for_each(|_| speaker.say("room", &text));
    deaf.iter_mut().for_each(Client::finish_sending);
    eventually("they have left", || {
        is_error(&speaker.ask(say("room", "x")), &say("room", "x"), "Room not found")
    });
    speaker.login("deaf 0");
    speaker.login("deaf 1");
    // They count as clients until they have got all.
    host.eventually_counts(3, 0, 0);
    let before = host.parlor.processor_time();
    thread::sleep(Duration::from_secs(1));
    let spent = host.parlor.processor_time() - before;
    assert!(
        spent < Duration::from_millis(200),
        "{spent:?} of processor time in a second in which nothing happens"
    );
    for client in &mut deaf {
        (0..messages).for_each(|_| assert_eq!(client.recv_json()["text"], text));
        client.expect_end();
    }
    host.eventually_counts(1, 0, 0);
}
