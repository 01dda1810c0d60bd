//! Lines without end, in crumbs, and full of what breaks parsers.

use std::time::Instant;

use parlor::lines::{Found, Lines};

use crate::common::{Client, DEADLINE, TestServer, is_error, join, response};
use crate::{Host, MIB};

#[test]
#[cfg(target_os = "linux")]
fn a_line_without_end_costs_one_error_and_no_memory() {
    let host = Host::serve(&[]);
    let mut witness = host.connect();
    witness.nothing_more();
    for address in host.addresses() {
        let mut client = Client::connect(&address);
        client.nothing_more();
        let before = host.parlor.peak_resident_bytes();
        let piece = vec![b'x'; MIB];
        (0..200).for_each(|_| client.send(&piece));
        // It is told as soon as it is known; the rest is skipped, and the connection goes on.
        client.expect_refused("", "Line too long");
        client.nothing_more();
        let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
        assert!(grown < 2 * MIB, "{address}: {grown} bytes more");
    }
    witness.nothing_more();
}

#[test]
#[cfg(target_os = "linux")]
fn lines_too_long_one_after_another_cost_an_error_each_and_no_memory() {
    let host = Host::serve(&["--max-line", "4K"]);
    let mut client = host.connect();
    client.nothing_more();
    let before = host.parlor.peak_resident_bytes();
    // Of every length around the limit and around what is read at once.
    let lengths: Vec<usize> =
        [4096, 8192, 65_536, 131_072].iter().flat_map(|&near| near - 5..near + 5).collect();
    for &length in &lengths {
        client.send_line(vec![b'['; length]);
    }
    for &length in &lengths {
        let line = client.recv_line();
        let words = if length > 4096 { "Line too long" } else { "Invalid JSON" };
        assert!(is_error(&line, "null", words), "{length} bytes: {line}");
    }
    client.nothing_more();
    let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes more");
}

#[test]
fn a_line_that_comes_byte_by_byte_is_a_line() {
    let server = TestServer::with(|_| ());
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    let request = join("x".repeat(20_000));
    for at in 0..request.len() {
        for client in &mut clients {
            client.send(&request[at..=at]);
        }
    }
    for client in &mut clients {
        client.send("\n");
        assert_eq!(client.recv_line(), response(&request));
    }
}

/// With a cost that grows with the square of the length this would take hours.
#[test]
fn a_line_that_comes_byte_by_byte_costs_linear_time() {
    let length = 8 * MIB;
    let mut lines = Lines::default();
    let begin = Instant::now();
    for number in 0..length {
        assert_eq!(lines.next(&mut &b"x"[..], length), None);
        assert!(
            number % 10_000 > 0 || begin.elapsed() < DEADLINE,
            "{number} bytes took {:?}",
            begin.elapsed()
        );
    }
    assert_eq!(lines.next(&mut &b"\n"[..], length), Some(Found::Line(&vec![b'x'; length])));
}

/// Each of these with the reply to it; `None` stands for RESPONSE.
fn poison() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let deep = |length: usize| "[".repeat(length) + &"]".repeat(length);
    let members: String = (0..4000).map(|number| format!(r#","m{number}":{number}"#)).collect();
    let same: String = r#","m":1"#.repeat(6000);
    let digits = "9".repeat(50_000);
    let joined = |more: &str| format!(r#"{{"action":"JOIN ROOM","room_id":1{more}}}"#).into_bytes();
    let invalid = Some("Invalid JSON");
    vec![
        (vec![0; 1000], invalid),
        (b"{\"action\":\"JOIN ROOM\",\"room_id\":\"\0\"}".to_vec(), invalid),
        (b"{\"action\":\"JOIN ROOM\",\"room_id\":\"\xc0\x80\"}".to_vec(), invalid),
        (b"\xff\xfe{\0}\0".to_vec(), invalid),
        (b"GET / HTTP/1.1\r".to_vec(), invalid),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), invalid),
        (deep(30_000).into_bytes(), Some("Not a JSON object")),
        ("[".repeat(60_000).into_bytes(), invalid),
        (r#"{"a":"#.repeat(10_000).into_bytes(), invalid),
        (joined(&format!(r#","deep":{}"#, deep(30_000))), None),
        (joined(&members), None),
        (joined(&same), None),
        (
            joined(
                &format!(r#","n":[{digits},-{digits},1e{digits},0.{digits}]"#)
                    .replace(&digits, &digits[..9000]),
            ),
            None,
        ),
        (joined(&format!(r#","n":{digits}"#)), None),
        (joined("").repeat(2), invalid),
        (format!(r#"{{"action":"JOIN ROOM","room_id":{digits}}}"#).into_bytes(), Some("Invalid parameter")),
        (format!(r#"{{"action":"JOIN ROOM","room_id":1e{digits}}}"#).into_bytes(), Some("Invalid parameter")),
        (format!(r#"{{"action":"{}"}}"#, r"\u0000".repeat(10_000)).into_bytes(), Some("Unknown action")),
        (format!(r#""{}"#, "\\".repeat(60_001)).into_bytes(), invalid),
        (format!(r#"{{"x":"{}\ud800"}}"#, r"\ud83e\udd80".repeat(5_000)).into_bytes(), invalid),
    ]
}

#[test]
#[cfg(target_os = "linux")]
fn whatever_breaks_parsers_gets_one_reply_each_and_no_memory() {
    let mut host = Host::serve(&[]);
    let poison = poison();
    let mut clients: Vec<Client> =
        (0..10).map(|number| Client::connect(&host.addresses()[number % 2])).collect();
    clients.iter_mut().for_each(Client::nothing_more);
    let before = host.parlor.peak_resident_bytes();
    for _ in 0..3 {
        for (line, expected) in &poison {
            clients.iter_mut().for_each(|client| client.send_line(line));
            for client in &mut clients {
                let reply = client.recv_line();
                // The words stand at the end, behind the echo.
                let (_, message) = reply.rsplit_once("\"message\":\"").unwrap();
                let beginning = String::from_utf8_lossy(&line[..line.len().min(60)]);
                assert!(message.starts_with(expected.unwrap_or("OK")), "{message} for {beginning}");
            }
        }
    }
    clients.iter_mut().for_each(Client::nothing_more);
    let grown = host.parlor.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes more");
    host.eventually_counts(10, 1, 0);
}
