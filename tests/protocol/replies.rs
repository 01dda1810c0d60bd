//! What the server writes: RESPONSE, ERROR, GET MESSAGE.

use serde_json::Value;

use crate::common::{TestServer, join, login, response, say};

#[test]
fn the_lines_of_the_page_are_written_as_they_stand_there() {
    let server = TestServer::start();
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    alice.login("Alice");
    let secret = r#"{"action": "JOIN ROOM", "room_id": "secret"}"#;
    assert_eq!(
        alice.ask(secret),
        r#"{"action":"RESPONSE","request":{"action": "JOIN ROOM", "room_id": "secret"},"message":"OK"}"#
    );
    alice.expect_ok(r#"{"action": "SEND MESSAGE", "room_id": "secret", "text": "What I've done?"}"#);
    let message = alice.recv_line();
    assert_eq!(
        message,
        r#"{"action":"GET MESSAGE","room_id":"secret","author":"Alice","text":"What I've done?"}"#
    );
    bob.expect_ok(r#"{"action": "LOGIN NICK", "nickname": "Bob"}"#);
    assert_eq!(
        alice.ask(r#"{"action": "LOGIN NICK", "nickname": "Bob"}"#),
        r#"{"action":"ERROR","request":{"action": "LOGIN NICK", "nickname": "Bob"},"message":"Nickname already in use"}"#
    );
}

#[test]
fn the_request_is_echoed_as_the_client_wrote_it() {
    let server = TestServer::start();
    let mut client = server.connect();
    let values = [
        // Numbers keep their form and every digit.
        "0",
        "-0",
        "1.0",
        "1.50",
        "-0.0",
        "1e5",
        "1E+05",
        "1e-7",
        "12345678901234567890",
        "123456789012345678901234567890.0",
        "0.1000000000000000055511151231257827",
        "1e400",
        "-1E-400",
        // Strings keep their escapes.
        r#""\u0041\/\b\f\n\r\t\"\\""#,
        r#""\ud83e\udd80 🦀 \uD83E\uDD80""#,
        r#""\u0000\u001f\u007f\u0080\u2028""#,
        "\"\u{7f}\u{85}\u{a0}\u{2028}\u{feff}\u{fffe}\u{10ffff}\"",
        // White space within, order, doubles.
        "[ ]",
        "{ }",
        "[ 1 ,\t2 ]",
        "{ \"b\" : 1 , \"a\" : 2 , \"b\" : 3 }",
        "\t[\t{\t}\t]\t",
        "true",
        "false",
        "null",
    ];
    for value in values {
        client.expect_ok(format!(r#"{{"x":{value},"action":"JOIN ROOM","room_id":1}}"#));
        client.expect_ok(format!(r#"{{ "action": "JOIN ROOM", "room_id":1 , "\u0078": [{value}] }}"#));
        client.expect_error(format!(r#"{{"action":"x","x" :{value}}}"#), "Unknown action");
        client.expect_error(format!("[{value}]"), "Not a JSON object");
    }
}

#[test]
fn white_space_round_the_request_is_no_part_of_it() {
    let server = TestServer::start();
    let mut client = server.connect();
    for (before, after) in [(" ", ""), ("", " "), ("\t  ", " \t\r"), ("\r\r", "\r\r\r")] {
        assert_eq!(client.ask(format!("{before}{}{after}", join("room"))), response(&join("room")));
    }
}

#[test]
fn for_valid_json_that_is_no_object_the_request_is_that_value() {
    let server = TestServer::start();
    let mut client = server.connect();
    for value in
        ["1", "-1.0e5", "null", "true", r#""text""#, r#""""#, "[]", r#"[{"action":"JOIN ROOM"}]"#, "0"]
    {
        client.expect_error(value, "Not a JSON object");
    }
}

#[test]
fn for_a_line_that_is_no_valid_json_or_too_long_the_request_is_null() {
    let server = TestServer::with(|options| options.max_line = 1000);
    let mut client = server.connect();
    client.expect_refused("{", "Invalid JSON");
    client.expect_refused(join("room") + "}", "Invalid JSON");
    client.expect_refused(b"{\"action\":\"\xff\"}", "Invalid JSON");
    client.expect_refused(say("room", &"x".repeat(1000)), "Line too long");
    client.nothing_more();
}

#[test]
fn the_room_id_of_a_message_has_the_type_it_was_joined_under() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.login("Alice");
    for (room, written) in [("7", "7"), (r#""7""#, r#""7""#), (r#""\u0037a""#, r#""7a""#), ("-5", "-5")] {
        client.expect_ok(format!(r#"{{"action":"JOIN ROOM","room_id":{room}}}"#));
        client.expect_ok(format!(r#"{{"action":"SEND MESSAGE","room_id":{room},"text":"x"}}"#));
        let message =
            format!(r#"{{"action":"GET MESSAGE","room_id":{written},"author":"Alice","text":"x"}}"#);
        assert_eq!(client.recv_line(), message);
    }
}

#[test]
fn the_author_is_the_senders_nickname_at_the_moment_of_sending() {
    let server = TestServer::start();
    let [mut alice, mut reader] = [server.connect(), server.connect()];
    reader.join("room");
    let guest = alice.nickname();
    alice.say("room", "as guest");
    alice.login("Alice");
    alice.say("room", "as Alice");
    alice.send([login("Carol"), say("room", "as Carol"), login("Dave"), String::new()].join("\n"));
    drop(alice);
    reader.expect_message("room", &guest, "as guest");
    reader.expect_message("room", "Alice", "as Alice");
    reader.expect_message("room", "Carol", "as Carol");
    reader.nothing_more();
}

/// What some line readers take for a line end, and `\n` itself.
const LINE_ENDS: [char; 6] = ['\n', '\r', '\u{b}', '\u{85}', '\u{2028}', '\u{2029}'];

#[test]
fn in_messages_nothing_stands_raw_that_a_line_reader_may_split_at_or_a_terminal_takes_for_a_command() {
    let server = TestServer::start();
    let [mut alice, mut reader] = [server.connect(), server.connect()];
    alice.login("Alice");
    for wrong in LINE_ENDS.into_iter().chain('\u{80}'..='\u{9f}') {
        let text = format!("one{wrong}two é{wrong}{wrong}🦀");
        let room = format!("a{wrong}");
        let escaped = |text: &str| text.replace(wrong, &format!("\\u{:04X}", wrong as u32));
        let join_escaped = format!(r#"{{"action":"JOIN ROOM","room_id":"{}"}}"#, escaped(&room));
        let say_escaped = format!(
            r#"{{"action":"SEND MESSAGE","room_id":"{}","text":"{}"}}"#,
            escaped(&room),
            escaped(&text)
        );
        // However sender and reader have written them, it is one room.
        for join in [join(room.as_str()), join_escaped] {
            reader.expect_ok(&join);
            for request in [&say(room.as_str(), &text), &say_escaped] {
                alice.expect_ok(request);
                let line = reader.recv_line();
                assert!(!line.contains(|c| c == wrong || LINE_ENDS.contains(&c)), "{line:?}");
                let message: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(message["room_id"], room);
                assert_eq!(message["text"], text);
            }
            reader.leave(room.as_str());
        }
    }
    reader.nothing_more();
}

#[test]
fn the_echo_keeps_what_messages_escape() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.expect_ok("{\"action\":\"JOIN ROOM\",\"room_id\":\"\u{9b}31m\u{85}\u{2028}\"}");
    client.expect_error("{\"action\":\"\u{9b}\"}", "Unknown action");
    client.expect_error("[\"\u{9b}\u{2029}\"]", "Not a JSON object");
}

#[test]
fn a_line_of_the_server_is_at_most_three_times_the_limit_and_512_bytes_long() {
    let max_line = 1000;
    let server = TestServer::with(|options| options.max_line = max_line);
    let [mut alice, mut reader] = [server.connect(), server.connect()];
    // The longest author, and what grows most: two bytes become six.
    alice.login(&"\"".repeat(64));
    let long = "\u{9b}".repeat((max_line - join("").len()) / 2);
    reader.join(long.as_str());
    reader.join("");
    let text = "\u{9b}".repeat((max_line - say("", "").len()) / 2);
    let longer = format!("{}{}", "\u{9b}".repeat(200), "x".repeat(500));
    reader.join(longer.as_str());
    let requests = [
        say("", &text),
        say(&*"\u{9b}".repeat((max_line - say("", "").len()) / 2 - 10), "x"),
        say(longer.as_str(), ""),
        say("", &"\u{2028}".repeat(300)),
        login(&"x".repeat(900)),
        format!(r#"{{"action":"{}"}}"#, "x".repeat(980)),
        format!("[{}]", "1,".repeat(400) + "1"),
        "x".repeat(1000),
        "x".repeat(10_000),
    ];
    let mut longest = 0;
    for request in requests {
        assert!(request.len() <= max_line || request.starts_with('x'), "{}", request.len());
        longest = longest.max(alice.ask(&request).len() + 1);
    }
    for _ in 0..3 {
        longest = longest.max(reader.recv_line().len() + 1);
    }
    reader.nothing_more();
    assert!((2 * max_line..=3 * max_line + 512).contains(&longest), "{longest} bytes");
}
