//! Stopping in full traffic, whatever the clients do.

use std::io::Write;
use std::thread;

use parlor::Listen;

use crate::Host;
use crate::common::{Client, DEADLINE, is_error, join, response, say};

/// Talks without a pause; how many messages were answered OK before the last line came.
fn talk_to_the_end(address: &Listen, room: &str) -> usize {
    let mut client = Client::connect(address);
    let request = say(room, "hello");
    let socket = client.socket().try_clone().unwrap();
    let lines = format!("{request}\n").repeat(50);
    thread::scope(|scope| {
        scope.spawn(move || while (&socket).write_all(lines.as_bytes()).is_ok() {});
        for answered in 0.. {
            let line = client.recv_line();
            if line != response(&request) {
                assert!(is_error(&line, "null", "Server shutting down"), "{line:.100}");
                client.expect_end();
                // The writer may still wait for room.
                let _ = client.socket().shutdown(std::net::Shutdown::Both);
                return answered;
            }
        }
        unreachable!()
    })
}

/// Listens to the end; how many messages came before the last line. Each of them is told to `heard`.
fn listen_to_the_end(client: &mut Client, mut heard: impl FnMut(usize)) -> usize {
    for count in 0.. {
        let line = client.recv_line();
        if !line.contains("GET MESSAGE") {
            assert!(is_error(&line, "null", "Server shutting down"), "{line:.100}");
            client.expect_end();
            return count;
        }
        heard(count);
    }
    unreachable!()
}

/// Clients of every kind that gives no sign of life, or none that helps.
fn deaf_clients(address: &Listen, number: usize) -> Client {
    let mut client = Client::connect_narrow(address);
    match number % 5 {
        0 => client.send_line(join("a")),
        1 => client.send("{\"action\":"),
        2 => {
            client.send_until_stuck((join("x".repeat(10_000)) + "\n").repeat(300).as_bytes());
        }
        3 => {
            client.send_line(join("b"));
            client.finish_sending();
        }
        _ => {}
    }
    client
}

#[test]
fn in_full_traffic_nothing_that_was_answered_is_lost_and_nobody_holds_up_the_end() {
    let host = Host::serve(&["--drain", "10", "--max-pending", "64M"]);
    let rooms = ["a", "b"];
    let addresses = host.addresses();
    // They stay to the end, and never read.
    let _deaf: Vec<Client> = (0..20).map(|number| deaf_clients(&addresses[number / 5 % 2], number)).collect();
    let mut listeners: Vec<Client> = addresses.iter().map(Client::connect).collect();
    for listener in &mut listeners {
        rooms.iter().for_each(|room| listener.join(*room));
    }
    let (answered, heard) = thread::scope(|scope| {
        let speakers: Vec<_> = (0..4)
            .map(|number| {
                let (address, room) = (&addresses[number / 2], rooms[number % 2]);
                scope.spawn(move || talk_to_the_end(address, room))
            })
            .collect();
        let (tell, told) = std::sync::mpsc::channel();
        let listeners: Vec<_> = listeners
            .iter_mut()
            .enumerate()
            .map(|(index, listener)| {
                let tell = tell.clone();
                scope.spawn(move || {
                    listen_to_the_end(listener, |count| {
                        if index == 0 && count == 20_000 {
                            tell.send(()).unwrap();
                        }
                    })
                })
            })
            .collect();
        told.recv_timeout(DEADLINE).expect("they talk");
        host.parlor.signal("TERM");
        let answered: usize = speakers.into_iter().map(|speaker| speaker.join().unwrap()).sum();
        let heard: Vec<usize> = listeners.into_iter().map(|listener| listener.join().unwrap()).collect();
        (answered, heard)
    });
    assert!(answered >= 20_000);
    assert_eq!(heard, [answered; 2], "what was answered has arrived");
    // It waits for the deaf no longer than it may.
    let path = host.unix.path().expect("a Unix socket");
    let ended = host.parlor.ended();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.log);
    assert!(!path.exists(), "the socket's file is left behind");
}

#[test]
fn a_second_signal_ends_it_at_once_in_full_traffic_too() {
    let host = Host::serve(&["--drain", "1000", "--max-pending", "64M"]);
    let address = host.tcp.clone();
    let _deaf: Vec<Client> = (0..10).map(|number| deaf_clients(&address, number)).collect();
    let mut listener = host.connect();
    listener.join("a");
    let mut speaker = host.connect();
    speaker.send((say("a", "hello") + "\n").repeat(500));
    let mut told = false;
    listen_to_the_end(&mut listener, |_| {
        if !std::mem::replace(&mut told, true) {
            host.parlor.signal("TERM");
        }
    });
    host.parlor.signal("INT");
    assert_eq!(host.parlor.ended().code, Some(130));
}

/// Whatever it has to say to whom, the last line comes: here to those that were in the middle of sending.
#[test]
fn the_last_line_survives_unread_input_of_any_size() {
    let host = Host::serve(&["--drain", "5"]);
    let mut clients: Vec<Client> =
        (0..20).map(|number| Client::connect(&host.addresses()[number % 2])).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.nothing_more();
        let _ = client.try_send(vec![b'x'; number * 10_000]);
    }
    host.parlor.signal("TERM");
    for client in &mut clients {
        // More of it comes while the server says goodbye.
        let _ = client.try_send([b'x'; 100_000]);
    }
    for client in &mut clients {
        let mut line = client.recv_line();
        if line.contains("Line too long") {
            line = client.recv_line();
        }
        assert!(is_error(&line, "null", "Server shutting down"), "{line:.100}");
        client.expect_end();
    }
    drop(clients);
    assert_eq!(host.parlor.ended().code, Some(0));
}
