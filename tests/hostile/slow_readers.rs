//! Clients that do not read what their rooms send them, among others that do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parlor::Listen;

use crate::common::{Client, TestServer, eventually, is_error, join, response, socket_path};
use crate::{Host, MIB};

/// So long that a few hundred are more than any kernel takes in for a client.
fn text(number: usize) -> String {
    format!("{number:06}").repeat(3_000)
}

/// Says numbers in the room, each after the reply to the one before.
fn speak(speaker: &mut Client, count: usize) {
    (0..count).for_each(|number| speaker.say("room", &text(number)));
}

#[test]
fn slow_readers_are_cut_off_and_the_others_get_every_message_in_order() {
    let path = socket_path();
    let server = TestServer::with(|options| {
        options.max_pending = 64 << 10;
        options.listen.push(Listen::unix(path));
    });
    let [tcp, unix] = server.addresses() else { panic!("two addresses") };
    let mut slow: Vec<Client> = [tcp, unix, unix, unix, unix].map(Client::connect_narrow).into();
    let mut fast: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in slow.iter_mut().chain(&mut fast) {
        client.join("room");
    }
    let mut speaker = server.connect();
    speaker.login("Alice");
    let count = 500;
    let heard: Vec<AtomicUsize> = fast.iter().map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for (client, heard) in fast.iter_mut().zip(&heard) {
            scope.spawn(move || {
                for number in 0..count {
                    client.expect_message("room", "Alice", &text(number));
                    heard.store(number + 1, Ordering::Release);
                }
                client.nothing_more();
            });
        }
        for number in 0..count {
            speaker.say("room", &text(number));
            // The fast ones have to keep up: no more than two messages of 18 KB may wait for them.
            eventually("the fast ones read", || {
                heard.iter().all(|heard| heard.load(Ordering::Acquire) + 1 >= number)
            });
        }
    });
    for client in &mut slow {
        for number in 0.. {
            let line = client.recv_line();
            if !line.contains(&text(number)) {
                assert!(number < count && is_error(&line, "null", "Too slow"), "{line:.100}");
                break;
            }
        }
        client.expect_end();
    }
    drop((slow, fast, speaker));
    assert_eq!(server.stop().disconnected[1], 5);
}

#[test]
#[cfg(target_os = "linux")]
fn what_many_slow_readers_wait_for_is_in_memory_once() {
    let host = Host::serve(&["--max-pending", "64M"]);
    let mut speaker = host.connect();
    let mut slow: Vec<Client> = (0..24)
        .map(|number| Client::connect_narrow(if number < 3 { &host.tcp } else { &host.unix }))
        .collect();
    slow.iter_mut().for_each(|client| client.join("room"));
    speaker.nothing_more();
    let before = host.parlor.peak_resident_bytes();
    let count = 500;
    speak(&mut speaker, count);
    // For each of them up to 9 MB wait, some 200 MB if each had its own.
    let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown > 7 * MIB, "they do not wait: {grown} bytes");
    assert!(grown < 30 * MIB, "{grown} bytes more");
    for client in &mut slow {
        (0..count).for_each(|number| assert!(client.recv_line().contains(&text(number))));
        client.nothing_more();
    }
}

#[test]
fn whoever_reads_again_before_the_limit_has_missed_nothing() {
    let server = TestServer::with(|options| options.max_pending = 8 << 20);
    let mut reader = Client::connect_narrow(&server.addresses()[0]);
    let mut speaker = server.connect();
    reader.join("room");
    speaker.login("Alice");
    // Each time more waits than the kernel holds, and a request of its own stands amid the messages.
    for _ in 0..3 {
        speak(&mut speaker, 350);
        reader.send_line(join("other"));
        (0..350).for_each(|number| reader.expect_message("room", "Alice", &text(number)));
        assert_eq!(reader.recv_line(), response(&join("other")));
    }
}
