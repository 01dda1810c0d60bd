//! One client sends as fast as it can; the others hardly notice.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common::{Client, TestServer, say};

/// Sends the line again and again and counts the bytes of what comes, until it is enough.
fn flood(client: &Client, line: &str, enough: &AtomicBool, received: &AtomicUsize) {
    let lines = format!("{line}\n").repeat((64 << 10) / line.len());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                client.socket().try_clone().unwrap().write_all(lines.as_bytes()).unwrap();
            }
            client.socket().shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut replies = [0; 64 << 10];
        loop {
            match client.socket().try_clone().unwrap().read(&mut replies).unwrap() {
                0 => break,
                count => drop(received.fetch_add(count, Ordering::Relaxed)),
            }
        }
    });
}

/// Sets it when it is dropped, so that a test that fails ends the flood too.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn between_a_request_and_its_answer_a_flood_gets_no_more_than_its_share() {
    let server = TestServer::start();
    let mut witness = server.connect();
    let mut floods: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    floods.iter_mut().for_each(|client| client.join("room"));
    let (enough, received) = (AtomicBool::new(false), AtomicUsize::new(0));
    // They write into a room that is not there, for a reply each: nobody has to keep up with them.
    let line = say("nowhere", "");
    thread::scope(|scope| {
        let _enough = Enough(&enough);
        for client in &floods {
            scope.spawn(|| flood(client, &line, &enough, &received));
        }
        let mut counts = Vec::new();
        while counts.len() < 25 {
            let before = received.load(Ordering::Relaxed);
            assert!(witness.ask("[\"witness\"]").contains("Not a JSON object"));
            if before > 0 {
                counts.push((received.load(Ordering::Relaxed) - before) / line.len());
            }
        }
        counts.sort_unstable();
        // A share is some 1000 requests for each of them and turn. Half of the answers may take as long as they like:
        // this machine may have other things to do.
        let median = counts[counts.len() / 2];
        println!("requests of others between a request and its answer: {counts:?}");
        assert!(median < 20_000, "so many requests of others came first: {counts:?}");
    });
}
