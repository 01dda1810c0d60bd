//! Lines, order, and the end of the stream.

use std::collections::HashSet;

use parlor::options::Listen;

use crate::common::{self, Client, TestServer, join, left, login, response, say};

/// A conversation that shows every kind of line, and what it looks like from the client.
fn talk(client: &mut Client) -> Vec<String> {
    let requests = [
        login("Alice"),
        join("a room"),
        join(7),
        left("a room"),
        "no JSON".into(),
        "[1.0]".into(),
        say(7, "hello"),
    ];
    let mut lines: Vec<String> = requests.iter().map(|request| client.ask(request)).collect();
    lines.push(client.recv_line());
    client.nothing_more();
    lines
}

#[test]
fn tcp_over_ipv4_and_ipv6_and_a_unix_socket_speak_alike() {
    let path = common::socket_path();
    let mut listen = vec![Listen::tcp("127.0.0.1:0"), Listen::unix(path.clone())];
    // A host may have no IPv6 at all.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        listen.push(Listen::tcp("[::1]:0"));
    }
    let count = listen.len();
    let server = TestServer::with(|options| options.listen = listen);
    assert_eq!(server.addresses().len(), count);
    assert_eq!(server.addresses()[1].path(), Some(&*path));
    let talks: Vec<Vec<String>> = server
        .addresses()
        .iter()
        .map(|address| {
            let mut client = Client::connect(address);
            let lines = talk(&mut client);
            client.finish_sending();
            client.expect_end();
            lines
        })
        .collect();
    assert!(talks[0][7].starts_with(r#"{"action":"GET MESSAGE","#));
    assert!(talks.iter().all(|lines| *lines == talks[0]), "{talks:#?}");
}

#[test]
fn clients_of_all_listeners_share_rooms_and_nicknames() {
    let path = common::socket_path();
    let listen = vec![Listen::tcp("127.0.0.1:0"), Listen::unix(path)];
    let server = TestServer::with(|options| options.listen = listen);
    let mut tcp = Client::connect(&server.addresses()[0]);
    let mut unix = Client::connect(&server.addresses()[1]);
    assert_ne!(tcp.nickname(), unix.nickname());
    tcp.login("Alice");
    unix.expect_error(login("Alice"), "Nickname already in use");
    unix.join("room");
    tcp.say("room", "over");
    unix.expect_message("room", "Alice", "over");
}

#[test]
fn a_carriage_return_before_the_line_end_is_ignored() {
    let server = TestServer::start();
    let mut client = server.connect();
    let request = join("room");
    client.send(format!("{request}\r\n\r\n \r\n{request}\n"));
    assert_eq!(client.recv_line(), response(&request));
    assert_eq!(client.recv_line(), response(&request));
    client.nothing_more();
}

#[test]
fn the_carriage_return_does_not_count_for_the_limit() {
    let server = TestServer::with(|options| options.max_line = 100);
    let mut client = server.connect();
    let request = format!("{:<100}", join("room"));
    client.send(format!("{request}\r\n"));
    assert_eq!(client.recv_line(), response(&join("room")));
    client.nothing_more();
}

#[test]
fn a_carriage_return_before_the_end_of_the_input_is_ignored_and_not_counted() {
    let server = TestServer::with(|options| options.max_line = 100);
    let request = format!("{:<100}", join("room"));
    for (last, reply) in [
        (request.clone(), response(&join("room"))),
        (request.clone() + "\r", response(&join("room"))),
        (request.clone() + "\r\r", error("null", "Line too long")),
        (request + " ", error("null", "Line too long")),
    ] {
        let mut client = server.connect();
        client.send(last);
        client.finish_sending();
        assert_eq!(client.recv_line(), reply);
        client.expect_end();
    }
    for blank in ["\r", " \t\r", " "] {
        let mut client = server.connect();
        client.send(blank);
        client.finish_sending();
        client.expect_end();
    }
}

#[test]
fn empty_and_blank_lines_get_no_reply() {
    let server = TestServer::with(|options| options.max_line = 100);
    let mut client = server.connect();
    client.send("\n\n \n\t\n \t \t\n\r\n \t\r\n");
    client.send(" ".repeat(100) + "\r\n");
    client.nothing_more();
    // But over the limit it is too long, whatever it holds; and only one carriage return is ignored.
    client.expect_refused(" ".repeat(101), "Line too long");
    client.expect_refused(" \r\r", "Invalid JSON");
    // Other white space is none here.
    for line in ["\u{a0}", "\u{b}", "\u{c}", "\u{2028}", "\0"] {
        client.expect_refused(line, "Invalid JSON");
    }
}

#[test]
fn the_server_says_nothing_when_a_client_connects() {
    let server = TestServer::start();
    server.connect().nothing_more();
    // Not even to one that never asks for anything.
    let mut silent = server.connect();
    silent.finish_sending();
    silent.expect_end();
}

#[test]
fn a_new_client_has_a_guest_nickname_and_may_join_and_talk_at_once() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.join("room");
    client.say("room", "hello");
    let message = client.recv_json();
    let author = message["author"].as_str().unwrap();
    let number = author.strip_prefix("guest-").unwrap();
    assert!(!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()), "{author}");
    assert_eq!(message["text"], "hello");
}

#[test]
fn guest_nicknames_are_unique() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    let nicknames: HashSet<String> = clients.iter_mut().map(Client::nickname).collect();
    assert_eq!(nicknames.len(), 100);
    // Also when some have gone and others come, and when one of that form was taken by login.
    clients.truncate(50);
    let number = |name: &String| name["guest-".len()..].parse::<u64>().unwrap();
    let highest = nicknames.iter().map(number).max().unwrap();
    clients[0].login(&format!("guest-{}", highest + 1));
    clients[1].login(&format!("guest-{}", highest + 3));
    clients.extend((0..60).map(|_| server.connect()));
    let nicknames: HashSet<String> = clients.iter_mut().map(Client::nickname).collect();
    assert_eq!(nicknames.len(), 110);
}

#[test]
fn each_request_gets_exactly_one_reply_in_the_order_of_the_requests() {
    let server = TestServer::start();
    let mut client = server.connect();
    let requests: Vec<(String, String)> = (0..2000)
        .map(|number| match number % 5 {
            0 => {
                let request =
                    format!(r#"{{"action":"JOIN ROOM","room_id":"{}","id":{number}}}"#, number % 100);
                (request.clone(), response(&request))
            }
            1 => {
                let request = format!(r#"{{"action":"LEFT ROOM","room_id":"none","id":{number}}}"#);
                (request.clone(), error(&request, "Room not found"))
            }
            2 => (format!("{{\"id\":{number}"), error("null", "Invalid JSON")),
            3 => (format!("[{number}]"), error(&format!("[{number}]"), "Not a JSON object")),
            _ => (" ".into(), String::new()),
        })
        .collect();
    let all: String = requests.iter().map(|(request, _)| format!("{request}\n")).collect();
    client.send(all);
    for (request, reply) in requests.iter().filter(|(_, reply)| !reply.is_empty()) {
        let line = client.recv_line();
        let begin = reply.trim_end_matches("\"}");
        assert!(line.starts_with(begin), "{reply} expected for {request}, not {line}");
    }
    client.nothing_more();
}

fn error(request: &str, words: &str) -> String {
    format!(r#"{{"action":"ERROR","request":{request},"message":"{words}"}}"#)
}

#[test]
fn requests_are_carried_out_in_the_order_in_which_they_arrive() {
    let server = TestServer::start();
    let mut client = server.connect();
    // Each request succeeds only if all before it were carried out.
    let mut all = String::new();
    for number in 0..500 {
        all += &[login(&format!("n{number}")), join(number), say(number, "x"), left(number), String::new()]
            .join("\n");
    }
    client.send(all);
    for number in 0..500 {
        for request in [login(&format!("n{number}")), join(number), say(number, "x")] {
            assert_eq!(client.recv_line(), response(&request));
        }
        client.expect_message(number, &format!("n{number}"), "x");
        assert_eq!(client.recv_line(), response(&left(number)));
    }
    client.nothing_more();
}

#[test]
fn a_line_may_come_in_any_pieces() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.login("Zoë");
    client.join("café");
    let request = format!("{}\r\n", say("café", "a 🦀"));
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.recv_line(), response(request.trim_end()));
    client.expect_message("café", "Zoë", "a 🦀");
    // One write with the end of one line, a whole one, and the beginning of a third.
    client.send(&request[..20]);
    client.send([&request[20..], &request, &request[..31]].concat());
    client.send(&request[31..]);
    for _ in 0..3 {
        assert_eq!(client.recv_line(), response(request.trim_end()));
        client.expect_message("café", "Zoë", "a 🦀");
    }
    client.nothing_more();
}

#[test]
fn the_reply_is_written_before_the_messages_that_the_request_causes() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.login("Alice");
    client.join("room");
    let requests: Vec<String> = (0..300).map(|number| say("room", &number.to_string())).collect();
    client.send(requests.join("\n") + "\n");
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(client.recv_line(), response(request));
        client.expect_message("room", "Alice", &number.to_string());
    }
    client.nothing_more();
}

#[test]
fn what_one_client_gets_comes_in_the_order_in_which_the_server_caused_it() {
    let server = TestServer::start();
    let [mut alice, mut bob, mut reader] = [(); 3].map(|()| server.connect());
    alice.login("Alice");
    bob.login("Bob");
    reader.join("a");
    reader.join("b");
    // Who says it, and where, changes; each waits for the other's reply, so the order is known.
    for number in 0..100 {
        let room = if number % 3 == 0 { "a" } else { "b" };
        let speaker = if number % 2 == 0 { &mut alice } else { &mut bob };
        speaker.say(room, &number.to_string());
    }
    reader.nothing_more_after(100, |number, message| {
        assert_eq!(message["text"], number.to_string());
        assert_eq!(message["room_id"], if number % 3 == 0 { "a" } else { "b" });
        assert_eq!(message["author"], if number % 2 == 0 { "Alice" } else { "Bob" });
    });
}

#[test]
fn what_was_sent_before_the_end_of_stream_is_still_carried_out() {
    let server = TestServer::start();
    let [mut reader, mut client] = [(); 2].map(|()| server.connect());
    reader.join("room");
    client.login("Alice");
    let requests: Vec<String> = (0..500).map(|number| say("room", &number.to_string())).collect();
    client.send(requests.join("\n") + "\n");
    client.finish_sending();
    for request in &requests {
        assert_eq!(client.recv_line(), response(request));
    }
    client.expect_end();
    reader.nothing_more_after(500, |number, message| assert_eq!(message["text"], number.to_string()));
}

#[test]
fn a_last_line_without_its_line_end_is_carried_out() {
    let server = TestServer::with(|options| options.max_line = 1000);
    let mut reader = server.connect();
    reader.join("room");
    let last_lines = [
        (say("room", "last"), Some(response(&say("room", "last")))),
        (say("room", "last") + "\r", Some(response(&say("room", "last")))),
        ("{\"action".into(), Some(error("null", "Invalid JSON"))),
        ("x".repeat(1001), Some(error("null", "Line too long"))),
        (" \t".into(), None),
    ];
    for (last, reply) in last_lines {
        let mut client = server.connect();
        client.send(format!("{}\n{last}", join("room")));
        client.finish_sending();
        assert_eq!(client.recv_line(), response(&join("room")));
        if let Some(reply) = &reply {
            let line = client.recv_line();
            assert!(line.starts_with(reply.trim_end_matches("\"}")), "{line}");
        }
        if reply.is_some_and(|reply| reply.contains("RESPONSE")) {
            assert_eq!(client.recv_json()["text"], "last");
            assert_eq!(reader.recv_json()["text"], "last");
        }
        client.expect_end();
    }
    reader.nothing_more();
}

#[test]
fn a_client_may_send_and_close_at_once() {
    // Over a Unix socket: TCP itself drops what is under way when replies come to a socket that is closed.
    let server = TestServer::with(|options| options.listen = vec![Listen::unix(common::socket_path())]);
    let mut reader = server.connect();
    reader.join("room");
    for _ in 0..10 {
        let mut bot = server.connect();
        let requests: Vec<String> = (0..3000).map(|number| say("room", &number.to_string())).collect();
        bot.send(requests.join("\n") + "\n");
        drop(bot);
        reader.nothing_more_after(3000, |number, message| assert_eq!(message["text"], number.to_string()));
    }
}

#[test]
fn after_the_end_of_stream_all_that_waits_is_flushed_before_the_connection_is_closed() {
    let server = TestServer::with(|_| ());
    let mut client = Client::connect_narrow(&server.addresses()[0]);
    client.join("room");
    // Far more than the sockets take in: most of it waits in the server when the stream ends.
    let text = "x".repeat(15_000);
    let request = say("room", &text);
    let sender = {
        let socket = client.socket().try_clone().unwrap();
        let all = format!("{request}\n").repeat(700);
        std::thread::spawn(move || {
            std::io::Write::write_all(&mut &socket, all.as_bytes()).unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
        })
    };
    for _ in 0..700 {
        assert_eq!(client.recv_line(), response(&request));
        assert_eq!(client.recv_json()["text"].as_str(), Some(text.as_str()));
    }
    client.expect_end();
    sender.join().unwrap();
}

#[test]
fn messages_of_others_that_wait_at_the_end_of_stream_are_flushed_too() {
    let server = TestServer::with(|options| options.max_pending = 64 << 20);
    let mut reader = Client::connect_narrow(&server.addresses()[0]);
    let mut speaker = server.connect();
    reader.join("room");
    let text = "x".repeat(15_000);
    (0..700).for_each(|_| speaker.say("room", &text));
    reader.finish_sending();
    for _ in 0..700 {
        assert_eq!(reader.recv_json()["text"].as_str(), Some(text.as_str()));
    }
    reader.expect_end();
}
