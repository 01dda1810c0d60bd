//! The table of errors: each row, their order, and that an error changes nothing.

use crate::common::random::Random;
use crate::common::{TestServer, join, left, login, response};

// Each row

#[test]
fn a_line_over_the_limit_is_too_long_and_one_at_the_limit_is_not() {
    let server = TestServer::with(|options| options.max_line = 500);
    let mut client = server.connect();
    client.join("room");
    for room in ["room", "é"] {
        let at_limit = format!("{:<width$}", join(room), width = 500 - room.len() + room.chars().count());
        assert_eq!(at_limit.len(), 500);
        assert_eq!(client.ask(&at_limit), response(&join(room)));
        client.expect_refused(at_limit + " ", "Line too long");
    }
    client.nothing_more();
}

#[test]
fn the_limit_is_16384_bytes_unless_another_is_given() {
    let server = TestServer::start();
    let mut client = server.connect();
    let at_limit = join("room") + &" ".repeat(16_384 - join("room").len());
    assert_eq!(client.ask(&at_limit), response(&join("room")));
    client.expect_refused(at_limit + " ", "Line too long");
}

#[test]
fn a_line_is_too_long_whatever_it_holds() {
    let server = TestServer::with(|options| options.max_line = 500);
    let mut client = server.connect();
    for filler in [b" ", b"\t", b"x", b"[", b"\0", b"\xff", b"\r", b"\"", b"1"] {
        client.expect_refused(filler.repeat(502), "Line too long");
        client.expect_refused([join("room").as_bytes(), &filler.repeat(500)].concat(), "Line too long");
    }
    client.nothing_more();
}

#[test]
fn the_rest_of_a_line_too_long_is_skipped_and_the_connection_goes_on() {
    let server = TestServer::with(|options| options.max_line = 500);
    let mut client = server.connect();
    for length in [501, 1000, 1001, 65_536, 10_000_000] {
        client.send(vec![b'x'; length]);
        // What follows in the same line is no request.
        client.send(format!("{}\n{}\n", join("no"), join("yes")));
        assert!(client.recv_line().contains(r#""request":null,"message":"Line too long"#));
        assert_eq!(client.recv_line(), response(&join("yes")));
        client.expect_error(left("no"), "Room not found");
    }
    // In small pieces, too.
    for _ in 0..100 {
        client.send([b'x'; 10]);
    }
    client.send("\n");
    assert!(client.recv_line().contains(r#""request":null,"message":"Line too long"#));
    client.nothing_more();
}

#[test]
fn a_missing_parameter_is_named() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.join(7);
    for (request, name) in [
        (r#"{}"#, "action"),
        (r#"{"Action":"JOIN ROOM","room_id":7}"#, "action"),
        (r#"{"x":{"action":"JOIN ROOM"}}"#, "action"),
        (r#"{"action":"LOGIN NICK"}"#, "nickname"),
        (r#"{"action":"LOGIN NICK","nick":"Alice"}"#, "nickname"),
        (r#"{"action":"JOIN ROOM"}"#, "room_id"),
        (r#"{"action":"JOIN ROOM","room":7}"#, "room_id"),
        (r#"{"action":"LEFT ROOM","text":"x"}"#, "room_id"),
        (r#"{"action":"SEND MESSAGE","text":"x"}"#, "room_id"),
        (r#"{"action":"SEND MESSAGE","room_id":7}"#, "text"),
    ] {
        let line = client.ask(request);
        let message =
            format!(r#"{{"action":"ERROR","request":{request},"message":"Missing parameter: {name}"}}"#);
        assert_eq!(line, message);
    }
}

#[test]
fn an_action_that_is_none_of_the_four_is_unknown() {
    let server = TestServer::start();
    let mut client = server.connect();
    for action in [
        "",
        "JOIN",
        "join room",
        "JOIN ROOM ",
        " JOIN ROOM",
        "JOIN  ROOM",
        "JOIN\u{a0}ROOM",
        "GET MESSAGE",
        "RESPONSE",
        "LEAVE ROOM",
        "JOIN ROOM\0",
    ] {
        client.expect_error(
            format!(r#"{{"action":{},"room_id":7}}"#, serde_json::Value::from(action)),
            "Unknown action",
        );
    }
    client.expect_error(left(7), "Room not found");
}

#[test]
fn a_parameter_of_the_wrong_type_is_invalid_and_is_named() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.join(7);
    for wrong in ["null", "true", "false", "1.5", "{}", "[]", r#"["x"]"#] {
        client.expect_error(format!(r#"{{"action":{wrong}}}"#), "Invalid parameter: action");
        client.expect_error(
            format!(r#"{{"action":"LOGIN NICK","nickname":{wrong}}}"#),
            "Invalid parameter: nickname",
        );
        client.expect_error(
            format!(r#"{{"action":"JOIN ROOM","room_id":{wrong}}}"#),
            "Invalid parameter: room_id",
        );
        client.expect_error(
            format!(r#"{{"action":"LEFT ROOM","room_id":{wrong}}}"#),
            "Invalid parameter: room_id",
        );
        let room = format!(r#"{{"action":"SEND MESSAGE","room_id":{wrong},"text":"x"}}"#);
        client.expect_error(room, "Invalid parameter: room_id");
        client.expect_error(
            format!(r#"{{"action":"SEND MESSAGE","room_id":7,"text":{wrong}}}"#),
            "Invalid parameter: text",
        );
    }
    // What is right for a room is not for the others.
    client.expect_error(r#"{"action":7}"#, "Invalid parameter: action");
    client.expect_error(r#"{"action":"LOGIN NICK","nickname":7}"#, "Invalid parameter: nickname");
    client.expect_error(r#"{"action":"SEND MESSAGE","room_id":7,"text":7}"#, "Invalid parameter: text");
    client.nothing_more();
}

#[test]
fn a_detail_says_what_to_do() {
    let server = TestServer::start();
    let mut client = server.connect();
    let message = |line: String| {
        let reply: serde_json::Value = serde_json::from_str(&line).unwrap();
        reply["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        message(client.ask("hello")),
        r#"Invalid JSON: send one JSON object a line, as in {"action":"JOIN ROOM","room_id":"hall"}"#
    );
    assert_eq!(
        message(client.ask(r#"{"action":"SAY"}"#)),
        "Unknown action: the actions are LOGIN NICK, JOIN ROOM, LEFT ROOM and SEND MESSAGE"
    );
    for (room, detail) in [
        ("18446744073709551616", "64 bits"),
        ("-9223372036854775809", "64 bits"),
        ("1.5", "without fraction or exponent"),
        ("1e3", "without fraction or exponent"),
        ("1E+99", "without fraction or exponent"),
        ("null", "must be an integer or a string"),
    ] {
        let said = message(client.ask(format!(r#"{{"action":"JOIN ROOM","room_id":{room}}}"#)));
        assert!(said.starts_with("Invalid parameter: room_id ") && said.contains(detail), "{room}: {said}");
    }
    for (nickname, detail) in [
        ("", "empty"),
        (" a", "white space"),
        ("a\u{7}", "control character"),
        ("a\u{200b}", "invisible character"),
        (&"a".repeat(65), "more than 64 bytes"),
    ] {
        let said = message(client.ask(login(nickname)));
        assert!(said.starts_with("Invalid nickname: ") && said.contains(detail), "{nickname:?}: {said}");
    }
    client.nothing_more();
}

#[test]
fn joining_past_the_limit_of_rooms_is_an_error() {
    let server = TestServer::with(|options| options.max_rooms = 3);
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    for room in [1, 2, 3] {
        alice.join(room);
    }
    alice.expect_error(join(4), "Too many rooms");
    // Again is not past the limit; and the failed one did not create the room.
    alice.join(3);
    bob.expect_error(left(4), "Room not found");
    // The limit is for each client, and one that leaves may join again.
    bob.join(4);
    alice.expect_error(join(4), "Too many rooms");
    alice.leave(1);
    alice.join(4);
    alice.expect_error(join(1), "Too many rooms");
}

#[test]
fn the_limit_is_128_rooms_unless_another_is_given() {
    let server = TestServer::start();
    let mut client = server.connect();
    (0..128).for_each(|room| client.join(room));
    client.expect_error(join(128), "Too many rooms");
}

// Their order

#[test]
fn where_several_errors_apply_the_first_of_the_table_is_sent() {
    let server = TestServer::with(|options| {
        options.max_line = 500;
        options.max_rooms = 1;
        options.members_only = true;
    });
    let [mut client, mut other] = [server.connect(), server.connect()];
    other.login("Alice");
    other.join("theirs");
    client.join("mine");
    // The line before JSON, JSON before the object, the object before the rest.
    client.expect_refused([0xff; 501], "Line too long");
    client.expect_refused("[1,]", "Invalid JSON");
    client.expect_refused(r#"{"action":"x","action":"x","text":"\ud800"}"#, "Invalid JSON");
    client.expect_refused(r#"{"action":1} {"#, "Invalid JSON");
    client.expect_error(r#"["action","action"]"#, "Not a JSON object");
    let rows = [
        // A name given twice before the action.
        (r#"{"text":1,"text":1}"#, "Invalid parameter: text"),
        (r#"{"action":"x","room_id":1,"room_id":1}"#, "Invalid parameter: room_id"),
        (r#"{"action":1,"nickname":1,"nickname":1}"#, "Invalid parameter: nickname"),
        (r#"{"action":"JOIN ROOM","text":1,"text":1}"#, "Invalid parameter: text"),
        (r#"{"action":"LOGIN NICK","nickname":"","nickname":"Alice"}"#, "Invalid parameter: nickname"),
        // The action before its parameters.
        (r#"{"room_id":1.5,"nickname":1}"#, "Missing parameter: action"),
        (r#"{"action":null,"room_id":1.5}"#, "Invalid parameter: action"),
        (r#"{"action":"x","room_id":1.5}"#, "Unknown action"),
        // The parameters in the order of the table: missing, then invalid, each before the next one.
        (r#"{"action":"SEND MESSAGE"}"#, "Missing parameter: room_id"),
        (r#"{"action":"SEND MESSAGE","text":1}"#, "Missing parameter: room_id"),
        (r#"{"text":1,"action":"SEND MESSAGE"}"#, "Missing parameter: room_id"),
        (r#"{"action":"SEND MESSAGE","room_id":null}"#, "Invalid parameter: room_id"),
        (r#"{"text":1,"room_id":1.0,"action":"SEND MESSAGE"}"#, "Invalid parameter: room_id"),
        // And all of them before the state of the server.
        (r#"{"action":"SEND MESSAGE","room_id":"none"}"#, "Missing parameter: text"),
        (r#"{"action":"SEND MESSAGE","room_id":"none","text":1}"#, "Invalid parameter: text"),
        (r#"{"action":"SEND MESSAGE","room_id":"theirs","text":1}"#, "Invalid parameter: text"),
        (r#"{"action":"SEND MESSAGE","room_id":"none","text":"x"}"#, "Room not found"),
        (r#"{"action":"SEND MESSAGE","room_id":"theirs","text":"x"}"#, "Not in this room"),
        (r#"{"action":"LEFT ROOM","room_id":"none"}"#, "Room not found"),
        (r#"{"action":"LEFT ROOM","room_id":"theirs"}"#, "Not in this room"),
        (r#"{"action":"JOIN ROOM","room_id":1.0}"#, "Invalid parameter: room_id"),
        (r#"{"action":"JOIN ROOM","room_id":"theirs"}"#, "Too many rooms"),
        (r#"{"action":"LOGIN NICK","nickname":" Alice"}"#, "Invalid nickname"),
        (r#"{"action":"LOGIN NICK","nickname":"Alice"}"#, "Nickname already in use"),
    ];
    for (request, words) in rows {
        client.expect_error(request, words);
    }
    client.nothing_more();
    other.nothing_more();
}

// Their effect: none

#[test]
fn after_an_error_nothing_has_changed() {
    let server = TestServer::with(|options| options.max_rooms = 2);
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    alice.login("Alice");
    bob.login("Bob");
    alice.join("a");
    alice.join("b");
    bob.join("b");
    let failing = [
        login("Bob"),
        login(""),
        r#"{"action":"LOGIN NICK","nickname":"Carol","text":1,"text":2}"#.into(),
        join("c"),
        r#"{"action":"LEFT ROOM","room_id":"a","room_id":"b"}"#.into(),
        left("c"),
        left("A"),
        r#"{"action":"SEND MESSAGE","room_id":"b","text":null}"#.into(),
        r#"{"action":"SEND MESSAGE","room_id":"b","text":"x","text":"x"}"#.into(),
        r#"{"action":"SEND MESSAGE","room_id":"b","text":"\udfff"}"#.into(),
    ];
    for request in failing {
        assert!(alice.ask(request).starts_with(r#"{"action":"ERROR","#));
        bob.nothing_more();
        bob.say("b", "both hear");
        bob.expect_message("b", "Bob", "both hear");
        alice.expect_message("b", "Bob", "both hear");
        bob.say("a", "Alice hears");
        alice.expect_message("a", "Bob", "Alice hears");
        bob.expect_error(login("Alice"), "Nickname already in use");
        bob.expect_error(left("c"), "Room not found");
        alice.say("b", "with her old name");
        alice.expect_message("b", "Alice", "with her old name");
        bob.expect_message("b", "Alice", "with her old name");
    }
}

#[test]
fn no_input_however_wrong_ends_the_server_or_touches_another_client() {
    let server = TestServer::start();
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    alice.login("Alice");
    bob.join("room");
    let mut random = Random::from_environment();
    for _ in 0..100 {
        let mut wrong = server.connect();
        // Not by chance the beginning of another protocol.
        let mut bytes = vec![b'?'];
        bytes.extend((0..random.below(20_000)).map(|_| random.number() as u8));
        bytes.push(b'\n');
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let replies = lines.filter(|line| line.iter().any(|byte| !b" \t".contains(byte))).count();
        wrong.send(&bytes);
        // Random bytes are no request: an error each, nothing more.
        for _ in 0..replies {
            assert!(wrong.recv_line().starts_with(r#"{"action":"ERROR","request":"#));
        }
        match random.below(3) {
            0 => wrong.reset(),
            1 => wrong.nothing_more(),
            _ => {
                wrong.finish_sending();
                wrong.expect_end();
            }
        }
        alice.say("room", "still here");
        bob.expect_message("room", "Alice", "still here");
    }
    bob.nothing_more();
}
