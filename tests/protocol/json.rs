//! What is JSON, and that every text comes through.

use serde_json::Value;

use crate::common::corpora::{json_test_suite, naughty_strings};
use crate::common::{TestServer, left, login, response};
use crate::model;

/// The suite's files that can be sent as one line each.
fn suite_lines() -> Vec<(String, Vec<u8>)> {
    let mut files = json_test_suite();
    for (_, text) in &mut files {
        if text.ends_with(b"\n") {
            text.pop();
        }
    }
    files.retain(|(_, text)| !text.contains(&b'\n'));
    assert!(files.len() > 300, "nearly all of the suite");
    files
}

#[test]
fn the_json_test_suite_is_accepted_and_refused_as_its_names_say() {
    let server = TestServer::with(|options| options.max_line = 1 << 20);
    let mut client = server.connect();
    for (name, text) in suite_lines() {
        // The suite leaves `i_` open; the protocol does not: any number, any depth, but UTF-8 without lone surrogates.
        let valid = match name.as_bytes()[0] {
            b'y' => true,
            b'n' => false,
            _ => name.starts_with("i_number") || name.contains("500_nested_arrays"),
        };
        if text.iter().all(|byte| b" \t".contains(byte)) {
            assert!(!valid);
            client.send_line(text);
            client.nothing_more();
        } else if !valid {
            client.expect_refused(text, "Invalid JSON");
        } else {
            let text = String::from_utf8(text).unwrap();
            let value = text.trim_matches([' ', '\t', '\r']);
            let words =
                if value.starts_with('{') { "Missing parameter: action" } else { "Not a JSON object" };
            let reply = client.ask(&text);
            assert!(crate::common::is_error(&reply, value, words), "{name}: {reply}");
        }
    }
    client.nothing_more();
}

#[test]
fn a_member_of_no_interest_must_be_valid_json_too() {
    let server = TestServer::with(|options| options.max_line = 1 << 20);
    let mut client = server.connect();
    for (name, text) in suite_lines() {
        let line = [br#"{"action":"JOIN ROOM","room_id":1,"x":["#, &text[..], b"]}"].concat();
        match name.as_bytes()[0] {
            b'y' => client.expect_ok(String::from_utf8(line).unwrap()),
            // A few files that are no JSON become some between brackets.
            b'n' if model::json::value(&line).is_none() => client.expect_refused(line, "Invalid JSON"),
            _ => match model::json::value(&line) {
                Some(valid) => client.expect_ok(valid),
                None => client.expect_refused(line, "Invalid JSON"),
            },
        }
    }
    client.nothing_more();
}

#[test]
fn the_line_must_be_one_value_in_utf8_without_a_byte_order_mark() {
    let server = TestServer::start();
    let mut client = server.connect();
    let object = br#"{"action":"JOIN ROOM","room_id":1}"#;
    let wrap = |before: &[u8], after: &[u8]| [before, object, after].concat();
    client.expect_ok(std::str::from_utf8(object).unwrap());
    client.expect_refused(wrap(b"\xef\xbb\xbf", b""), "Invalid JSON");
    client.expect_refused(wrap(b"", b"\xef\xbb\xbf"), "Invalid JSON");
    client.expect_refused(wrap(b"\xfe\xff", b""), "Invalid JSON");
    client.expect_refused(wrap(b"", b"{}"), "Invalid JSON");
    client.expect_refused(wrap(b"", b" 1"), "Invalid JSON");
    client.expect_refused(wrap(b"", b","), "Invalid JSON");
    client.expect_refused(wrap(b"", b"\0"), "Invalid JSON");
    client.expect_refused(wrap(b"", b" //"), "Invalid JSON");
    client.expect_refused(wrap(b"\x0c", b""), "Invalid JSON");
    client.expect_refused(wrap(b"", "\u{a0}".as_bytes()), "Invalid JSON");
    // UTF-8 that is not: lone continuation, overlong, surrogates, beyond Unicode, cut short; in a string and outside of any.
    for wrong in [
        &b"\x80"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xff",
    ] {
        client.expect_refused(wrong, "Invalid JSON");
        client.expect_refused(wrap(b"", wrong), "Invalid JSON");
        for name in [&b"x"[..], b"room_id", b"text", b"nickname", b"action"] {
            let value = [b"{\"", name, b"\":\"a", wrong, b"b\"}"].concat();
            client.expect_refused(value, "Invalid JSON");
        }
        client.expect_refused([b"{\"", wrong, b"\":1}"].concat(), "Invalid JSON");
        client.expect_refused([b"[\"", wrong, b"\"]"].concat(), "Invalid JSON");
    }
    client.nothing_more();
}

#[test]
fn lone_surrogate_escapes_are_invalid_json_wherever_they_stand() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.join("room");
    let lone = [
        r"\ud800",
        r"\uDBFF",
        r"\udc00",
        r"\uDFFF",
        r"\ud800\ud800",
        r"\udc00\ud800",
        r"\ud800x",
        r"\ud800\n",
        r"\ud800\u0041",
    ];
    for lone in lone {
        for string in [format!("\"{lone}\""), format!("\"a{lone}\""), format!("\"{lone}b\"")] {
            let lines = [
                string.clone(),
                format!("[{string}]"),
                format!("{{{string}:1}}"),
                format!(r#"{{"action":{string}}}"#),
                format!(r#"{{"action":"JOIN ROOM","room_id":{string}}}"#),
                format!(r#"{{"action":"LOGIN NICK","nickname":{string}}}"#),
                format!(r#"{{"action":"SEND MESSAGE","room_id":"room","text":{string}}}"#),
                format!(r#"{{"action":"JOIN ROOM","room_id":1,"x":{string}}}"#),
                format!(r#"{{"action":"JOIN ROOM","room_id":1,{string}:1}}"#),
                format!(r#"{{"action":"JOIN ROOM","room_id":1,"x":[{{"y":[{string}]}}]}}"#),
                format!(r#"{{"action":"JOIN ROOM","room_id":1,"x":[{{{string}:[]}}]}}"#),
            ];
            for line in lines {
                client.expect_refused(line, "Invalid JSON");
            }
        }
    }
    client.nothing_more();
}

#[test]
fn strings_and_numbers_follow_the_grammar_wherever_they_stand() {
    let server = TestServer::start();
    let mut client = server.connect();
    let wrong = [
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x1",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
        "--1",
        "1.2.3",
        "1e5.0",
        "-01",
        "\"a\tb\"",
        "\"a\0b\"",
        "\"\u{1f}\"",
        r#""\x41""#,
        r#""\u12""#,
        r#""\u{41}""#,
        r#""\U0041""#,
        r#""\a""#,
        r#""\'""#,
        "'a'",
        "\"a",
        "True",
        "nul",
        "nulll",
        "undefined",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "{\"a\":1,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "[}",
        "{]",
        "",
        "1//",
        "/**/1",
    ];
    for wrong in wrong {
        client.expect_refused(format!(r#"{{"action":"JOIN ROOM","room_id":1,"x":{wrong}}}"#), "Invalid JSON");
        client.expect_refused(
            format!(r#"{{"x":[0,{wrong}],"action":"JOIN ROOM","room_id":1}}"#),
            "Invalid JSON",
        );
        client.expect_refused(format!(r#"{{"action":"JOIN ROOM","room_id":{wrong}}}"#), "Invalid JSON");
        client.expect_refused(format!(r#"{{"action":"LOGIN NICK","nickname":{wrong}}}"#), "Invalid JSON");
        client.expect_refused(format!(r#"{{"action":{wrong},"text":{wrong}}}"#), "Invalid JSON");
    }
    client.nothing_more();
}

#[test]
fn there_is_no_limit_to_nesting_but_that_of_the_line() {
    let limit = 1 << 20;
    let server = TestServer::with(|options| options.max_line = limit);
    let mut client = server.connect();
    let frame = |value: &str| format!(r#"{{"action":"JOIN ROOM","room_id":1,"x":{value}}}"#);
    let room = limit - frame("").len();
    let arrays = "[".repeat(room / 2) + &"]".repeat(room / 2);
    let objects = r#"{"":"#.repeat(room / 5 - 1) + "0" + &"}".repeat(room / 5 - 1);
    let mixed = r#"[{"":"#.repeat(room / 7 - 1) + "[]" + &"}]".repeat(room / 7 - 1);
    for deep in [&arrays, &objects, &mixed] {
        client.expect_ok(frame(deep));
        // The same where a string or an integer has to be.
        client.expect_error(
            format!(r#"{{"action":"JOIN ROOM","room_id":{deep}}}"#),
            "Invalid parameter: room_id",
        );
        client.expect_error(
            format!(r#"{{"action":"LOGIN NICK","nickname":{deep}}}"#),
            "Invalid parameter: nickname",
        );
        client.expect_error(format!(r#"{{"action":{deep}}}"#), "Invalid parameter: action");
        client.expect_error(format!("[{deep}]"), "Not a JSON object");
        // And what is not closed, or closed once too often, or wrong at the bottom.
        client.expect_refused(frame(&deep[1..]), "Invalid JSON");
        client.expect_refused(frame(&deep[..deep.len() - 1]), "Invalid JSON");
        client.expect_refused(frame(&deep[..deep.len() / 2]), "Invalid JSON");
    }
    client.expect_error(&objects, "Missing parameter: action");
    client.expect_refused("[".repeat(limit), "Invalid JSON");
    client.expect_refused(r#"{"a":"#.repeat(limit / 5), "Invalid JSON");
    client.expect_refused("[{\"x\":".repeat(limit / 6), "Invalid JSON");
    client.nothing_more();
}

#[test]
fn a_request_may_have_thousands_of_members() {
    let server = TestServer::with(|options| options.max_line = 1 << 20);
    let mut client = server.connect();
    client.login("Alice");
    let different: String = (0..50_000).map(|number| format!(r#""m{number}":{number},"#)).collect();
    let same = r#""x":1,"#.repeat(100_000);
    for members in [different, same] {
        client.expect_ok(format!(r#"{{{members}"action":"JOIN ROOM","room_id":1}}"#));
        client.expect_ok(format!(r#"{{"action":"SEND MESSAGE","room_id":1,{members}"text":"x"}}"#));
        client.expect_message(1, "Alice", "x");
        client.expect_error(
            format!(r#"{{"action":"JOIN ROOM",{members}"room_id":1,"room_id":1}}"#),
            "Invalid parameter",
        );
    }
    client.nothing_more();
}

#[test]
fn naughty_strings_come_through_as_texts() {
    let server = TestServer::start();
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    alice.login("Alice");
    bob.join("room");
    for text in naughty_strings() {
        for spelled in spellings(&text) {
            let request = format!(r#"{{"action":"SEND MESSAGE","room_id":"room","text":{spelled}}}"#);
            alice.expect_ok(request);
            bob.expect_message("room", "Alice", &text);
        }
    }
    bob.nothing_more();
}

#[test]
fn naughty_strings_come_through_as_rooms() {
    let server = TestServer::start();
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    alice.login("Alice");
    for room in naughty_strings() {
        for spelled in spellings(&room) {
            bob.expect_ok(format!(r#"{{"action":"JOIN ROOM","room_id":{spelled}}}"#));
            alice.say(room.as_str(), "x");
            bob.expect_message(room.as_str(), "Alice", "x");
            bob.leave(room.as_str());
            alice.expect_error(left(room.as_str()), "Room not found");
        }
    }
    bob.nothing_more();
}

#[test]
fn naughty_strings_come_through_as_nicknames_where_they_are_allowed() {
    let server = TestServer::start();
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    bob.join("room");
    let mut allowed = 0;
    for nickname in naughty_strings() {
        let valid = model::words::is_nickname(&nickname);
        for spelled in spellings(&nickname) {
            let request = format!(r#"{{"action":"LOGIN NICK","nickname":{spelled}}}"#);
            if !valid {
                alice.expect_error(request, "Invalid nickname");
                continue;
            }
            allowed += 1;
            alice.expect_ok(request);
            alice.say("room", "x");
            bob.expect_message("room", &nickname, "x");
            bob.expect_error(login(&nickname), "Nickname already in use");
        }
    }
    assert!(allowed > 400, "most of them are allowed: {allowed}");
    bob.nothing_more();
}

/// A JSON string as short as can be, and one with everything escaped.
fn spellings(text: &str) -> [String; 2] {
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    [Value::from(text).to_string(), format!("\"{escaped}\"")]
}

#[test]
fn no_text_may_pass_for_a_line_of_its_own() {
    let server = TestServer::start();
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    let (nickname, room) = ("\"},{\"action\":\"ERROR", "\"}\n{\"action\":\"GET MESSAGE\"}");
    alice.login(nickname);
    bob.join(room);
    let text = response("{}") + "\n" + &response("{}") + "\r\n\0";
    alice.say(room, &text);
    bob.expect_message(room, nickname, &text);
    bob.nothing_more();
}
