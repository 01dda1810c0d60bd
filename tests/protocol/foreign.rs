//! Connections that begin with another protocol: nothing of them is carried out, and their last line says so.

use parlor::options::Listen;

use crate::common::{self, Client, TestServer, is_error, join, response, say};

/// Over TCP and over a Unix socket, with a limit that is soon passed.
fn server() -> TestServer {
    TestServer::with(|options| {
        options.max_line = 200;
        options.listen = vec![Listen::tcp("127.0.0.1:0"), Listen::unix(common::socket_path())];
    })
}

#[test]
fn a_browser_that_posts_to_the_port_reaches_nobody() {
    let server = server();
    let mut reader = server.connect();
    reader.join("room");
    for address in server.addresses() {
        for method in ["POST", "PUT", "GET", "OPTIONS", "x-Custom"] {
            let mut browser = Client::connect(address);
            let body = format!("{}\n{}\n", join("room"), say("room", "from a web page"));
            let head =
                format!("{method} / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = browser.try_send(head + &body);
            browser.expect_farewell("Wrong protocol");
        }
    }
    reader.nothing_more();
}

/// What begins so is no connection of lines.
fn foreign() -> Vec<(&'static str, Vec<u8>)> {
    let long = |begin: &str| [begin.as_bytes(), &[b'x'; 300]].concat();
    vec![
        ("HTTP", b"GET / HTTP/1.1\r\n".to_vec()),
        ("HTTP", b"GET / HTTP/1.0\n".to_vec()),
        ("HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP", b"get /x HTTP/3\n".to_vec()),
        ("HTTP", b"\n\r\n \t\nGET / HTTP/1.1\r\n".to_vec()),
        ("HTTP", long("GET /")),
        ("HTTP", long("\r\nPOST ")),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("TLS", b"\x16\x03".to_vec()),
        ("PROXY", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec()),
        ("PROXY", b"PROXY ".to_vec()),
        ("PROXY", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec()),
        ("PROXY", b"\r\n\r\n\0\r\nQUIT\n".to_vec()),
    ]
}

#[test]
fn the_last_line_says_what_came_and_what_is_spoken_here() {
    let server = server();
    for address in server.addresses() {
        for (name, begin) in foreign() {
            let mut client = Client::connect(address);
            client.send(&begin);
            let line = client.recv_line();
            let text = String::from_utf8_lossy(&begin);
            assert!(is_error(&line, "null", "Wrong protocol"), "{text:?}: {line}");
            assert!(line.contains(name) && line.contains("JSON lines"), "{text:?}: {line}");
            client.expect_end();
        }
    }
}

#[test]
fn it_does_not_matter_how_the_beginning_is_cut() {
    let server = server();
    for (_, begin) in foreign() {
        let mut client = server.connect();
        for byte in &begin {
            // It may end the connection before all is sent.
            let _ = client.try_send([*byte]);
        }
        client.expect_farewell("Wrong protocol");
    }
}

#[test]
fn nothing_of_it_is_carried_out_and_its_last_line_is_not_lost_to_unread_input() {
    let server = server();
    let mut reader = server.connect();
    reader.join("room");
    for (_, begin) in foreign() {
        let mut client = server.connect();
        let more = format!("\n{}\n", say("room", "x")).repeat(1000);
        let _ = client.try_send([begin, more.into_bytes()].concat());
        client.expect_farewell("Wrong protocol");
    }
    reader.nothing_more();
}

#[test]
fn what_only_begins_alike_is_lines() {
    let server = server();
    for (begin, replies) in [
        (&b"\x16\n"[..], vec!["Invalid JSON"]),
        (b"\x16\x02\n", vec!["Invalid JSON"]),
        (b"PROXY\n", vec!["Invalid JSON"]),
        (b"PROXx \n", vec!["Invalid JSON"]),
        (b"\r\n\r\n\0\r\nQUIT\r\n", vec!["Invalid JSON", "Invalid JSON"]),
        (b"\r\n\r\n\r\n", vec![]),
        (b"GET /\n", vec!["Invalid JSON"]),
        (b"GET / HTTP\n", vec!["Invalid JSON"]),
        (b"GET / http/1.1\n", vec!["Invalid JSON"]),
        (b"G@T / HTTP/1.1\n", vec!["Invalid JSON"]),
        // Only the first line that is not blank is judged, and only the first bytes.
        (b"x\nGET / HTTP/1.1\n", vec!["Invalid JSON", "Invalid JSON"]),
        (b"x\n\x16\x03\nPROXY UNKNOWN\n", vec!["Invalid JSON", "Invalid JSON", "Invalid JSON"]),
        (b"\n\x16\x03\n", vec!["Invalid JSON"]),
        (&[&b"get /"[..], &[b'x'; 300], b"\n"].concat(), vec!["Line too long"]),
        (&[&b" GET /"[..], &[b'x'; 300], b"\n"].concat(), vec!["Line too long"]),
        (&[&b"{}\nGET /"[..], &[b'x'; 300], b"\n"].concat(), vec!["", "Line too long"]),
    ] {
        for bytewise in [false, true] {
            let mut client = server.connect();
            if bytewise {
                begin.iter().for_each(|byte| client.send([*byte]));
            } else {
                client.send(begin);
            }
            for words in &replies {
                let line = client.recv_line();
                assert!(line.contains(&format!(r#""message":"{words}"#)), "{words}: {line}");
            }
            client.nothing_more();
            assert_eq!(client.ask(join("room")), response(&join("room")));
        }
    }
}

#[test]
fn what_is_undecided_at_the_end_of_the_input_is_lines() {
    let server = server();
    for begin in [&b"\x16"[..], b"PRO", b"PROXY", b"\r\n\r\n\0", b"\r\n\r\n\0\r\nQUIT"] {
        let mut client = server.connect();
        client.send(begin);
        client.finish_sending();
        while let Some(line) = client.next_line().unwrap() {
            assert!(is_error(std::str::from_utf8(&line).unwrap(), "null", "Invalid JSON"));
        }
    }
    // An HTTP request needs no line end to be one.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1");
    client.finish_sending();
    client.expect_farewell("Wrong protocol");
}

#[test]
fn a_client_that_speaks_another_protocol_is_none_any_more() {
    let server = TestServer::with(|options| options.max_clients = 1);
    for _ in 0..3 {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\n\r\n");
        let line = client.recv_line();
        assert!(is_error(&line, "null", "Wrong protocol"), "{line}");
        // It has not closed, and holds no place.
        let mut next = server.connect();
        next.nothing_more();
        next.finish_sending();
        next.expect_end();
    }
}
