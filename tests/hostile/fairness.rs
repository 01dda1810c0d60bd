//! One client sends as fast as it can; the others hardly notice.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{Client, TestServer, say};

/// Sends the line again and again and throws away what comes, until it is enough.
fn flood(client: &Client, line: &str, enough: &AtomicBool) {
    let lines = format!("{line}\n").repeat((64 << 10) / line.len());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                client.socket().try_clone().unwrap().write_all(lines.as_bytes()).unwrap();
            }
            client.socket().shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut replies = [0; 64 << 10];
        while client.socket().try_clone().unwrap().read(&mut replies).unwrap() > 0 {}
    });
}

/// Asks something and counts the lines that come before the answer: what the server did for others after it had
/// everything for this client sent out, and before it came to its request.
fn lines_before_the_answer(witness: &mut Client) -> usize {
    witness.skip_what_has_come();
    witness.send_line("[\"witness\"]");
    let mut lines = 0;
    while !witness.recv_line().contains("[\"witness\"]") {
        lines += 1;
    }
    lines
}

#[test]
fn between_a_request_and_its_answer_a_flood_gets_no_more_than_its_share() {
    let server = TestServer::with(|options| options.max_pending = 1 << 30);
    let mut witness = server.connect();
    witness.join("room");
    let enough = AtomicBool::new(false);
    let floods: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for client in &floods {
            scope.spawn(|| flood(client, &say("room", ""), &enough));
        }
        // The flood is under way.
        (0..10_000).for_each(|_| drop(witness.recv_line()));
        let mut counts: Vec<usize> = (0..25).map(|_| lines_before_the_answer(&mut witness)).collect();
        enough.store(true, Ordering::Relaxed);
        counts.sort_unstable();
        // A share is some 1000 requests for each of them and turn. Half of the answers may take as long as they like:
        // this machine may have other things to do.
        let median = counts[counts.len() / 2];
        assert!(median < 20_000, "so many requests of others came first: {counts:?}");
        println!("requests of others between a request and its answer: {counts:?}");
    });
}
