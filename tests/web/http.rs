//! Requests over HTTP that are no WebSockets.

use std::net::Shutdown;
use std::time::Instant;

use crate::client::{Browser, handshake};
use crate::common::{Client, DEADLINE, TestServer, eventually};
use crate::{HTTP, LINES, METRICS, server};

/// Sends this and gets all that comes, up to an end in good order.
fn ask(server: &TestServer, listener: usize, request: impl AsRef<[u8]>) -> String {
    let mut browser = Browser::silent_at(server, listener);
    browser.send(request);
    browser.read_to_end()
}

fn status(response: &str) -> &str {
    response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or(response)
}

#[test]
fn the_page_and_its_files() {
    let server = server(|_| ());
    let page = ask(&server, HTTP, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.trim_end().ends_with("</html>"));
    let tag = page.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
    let again =
        ask(&server, HTTP, format!("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n"));
    assert!(again.starts_with("HTTP/1.1 304 ") && again.ends_with("\r\n\r\n"));
    for part in page.split("src=\"").skip(1) {
        let file = part.split('"').next().unwrap();
        let response = ask(&server, HTTP, format!("GET /{file} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(
            response.starts_with("HTTP/1.1 200 OK\r\n")
                && response.contains("\r\nContent-Type: text/javascript")
        );
    }
}

#[test]
fn the_names_under_which_it_is_served() {
    let server = server(|options| options.hosts = vec!["chat.example".parse().unwrap()]);
    for (host, expected) in [
        ("localhost", "200"),
        ("127.0.0.1:80", "200"),
        ("[::1]:8080", "200"),
        ("CHAT.example:443", "200"),
        ("evil.example", "421"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&ask(&server, HTTP, request)), expected, "{host}");
    }
    let foreign = handshake("localhost").replace("\r\n\r\n", "\r\nOrigin: http://evil.example\r\n\r\n");
    assert_eq!(status(&ask(&server, HTTP, foreign)), "403");
}

#[test]
fn health_and_what_is_not_there() {
    let server = server(|_| ());
    for listener in [HTTP, METRICS] {
        let health = ask(&server, listener, "GET /healthz HTTP/1.0\r\n\r\n");
        assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nok"), "{health}");
        assert_eq!(status(&ask(&server, listener, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")), "404");
        assert_eq!(status(&ask(&server, listener, "\x16\x03\x01\x02\x00\x01\x00\x01\x0c")), "400");
        assert_eq!(status(&ask(&server, listener, "{\"action\":\"JOIN ROOM\",\"room_id\":1}\n")), "400");
        assert_eq!(status(&ask(&server, listener, [b'x'; 8192])), "431");
    }
    assert_eq!(status(&ask(&server, METRICS, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")), "404");
    assert_eq!(status(&ask(&server, HTTP, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")), "404");
}

#[test]
fn a_body_that_nobody_reads_does_not_destroy_the_response() {
    let server = server(|_| ());
    for _ in 0..20 {
        let mut browser = Browser::silent(&server);
        browser.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
        // The server may be quicker than this and close.
        let _ = browser.try_send("x".repeat(100_000));
        assert_eq!(status(&browser.read_to_end()), "405");
    }
}

#[test]
fn who_does_not_get_a_request_out_is_told_so() {
    let server = server(|_| ());
    let started = Instant::now();
    let mut slow: Vec<Browser> = (0..3).map(|_| Browser::silent(&server)).collect();
    slow[1].send("GET / HTTP/1.1\r\n");
    for browser in &mut slow {
        browser.stream().set_read_timeout(Some(3 * DEADLINE)).unwrap();
        assert_eq!(status(&browser.read_to_end()), "408");
    }
    assert!(started.elapsed().as_secs() >= 9, "they have ten seconds");
}

#[test]
fn the_oldest_visitor_goes_when_there_are_too_many() {
    let server = server(|_| ());
    let mut oldest = Browser::silent(&server);
    oldest.send("GET / HTTP/1.1\r\n");
    let mut others = Vec::new();
    eventually("the oldest goes", || {
        others.push(Browser::silent(&server));
        oldest.stream().set_nonblocking(true).unwrap();
        let gone = !matches!(oldest.try_get(), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        oldest.stream().set_nonblocking(false).unwrap();
        gone
    });
    assert!(others.len() >= 250, "{}", others.len());
    let mut last = others.pop().unwrap();
    last.send("GET /healthz HTTP/1.1\r\n\r\n");
    assert_eq!(status(&last.read_to_end()), "200");
    // And no client was touched by it.
    Client::connect(&server.addresses()[LINES]).nothing_more();
}

#[test]
fn it_answers_until_the_server_has_ended_and_does_not_prolong_that() {
    let server = server(|options| options.max_pending = 64 << 20);
    // Somebody who does not take what waits keeps the server for the time of `--drain`.
    let mut slow = Client::connect_narrow(&server.addresses()[LINES]);
    slow.join("room");
    let mut talker = Client::connect(&server.addresses()[LINES]);
    for _ in 0..100 {
        talker.say("room", &"x".repeat(20_000));
    }
    let mut open = Browser::silent(&server);
    server.begin_to_stop();
    eventually("it says that it stops", || {
        ask(&server, HTTP, "GET /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503 ")
    });
    assert_eq!(status(&ask(&server, HTTP, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")), "503");
    assert_eq!(status(&ask(&server, HTTP, handshake("localhost"))), "503");
    assert_eq!(status(&ask(&server, METRICS, "GET /metrics HTTP/1.1\r\n\r\n")), "200");
    open.send("GET /healthz HTTP/1.1\r\n\r\n");
    open.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&open.read_to_end()), "503");
    let _forgotten = Browser::silent(&server);
    drop(slow);
    server.stop();
}
