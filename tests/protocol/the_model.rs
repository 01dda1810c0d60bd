//! The reference model itself: its judgement of JSON against independent ones, and the examples of the protocol's page.

use proptest::prelude::*;
use serde_json::Value;

use crate::common::random::Random;
use crate::common::requests::Speech;
use crate::model::{Expected, Id, Model, Room, Rules, author, json, words};

const RULES: Rules = Rules { max_line: 1000, max_rooms: 2, members_only: false };

/// Three guests whose names are known.
fn three_guests(rules: Rules) -> Model {
    let mut model = Model::new(rules);
    for id in [1, 2, 3] {
        model.connect(id);
        model.learn(id, &format!("guest-{id}")).unwrap();
    }
    model
}

/// The model says that exactly these lines come, in this order.
#[track_caller]
fn says(model: &mut Model, id: Id, line: &str, lines: &[(Id, &str)]) {
    let expected = model.line(id, line.as_bytes());
    assert_eq!(expected.len(), lines.len(), "{line}: {expected:?}");
    for ((to, expected), (who, line)) in expected.iter().zip(lines) {
        assert_eq!(to, who);
        expected.check(line.as_bytes()).unwrap();
    }
}

/// The model says that the line fails with these words.
#[track_caller]
fn fails(model: &mut Model, id: Id, line: impl AsRef<[u8]>, words: &str) {
    let replies = model.line(id, line.as_ref());
    let [(to, Expected::Error { words: said, .. })] = &replies[..] else { panic!("no error: {replies:?}") };
    assert_eq!((*to, *said), (id, words), "{}", String::from_utf8_lossy(line.as_ref()));
}

#[test]
fn the_examples_of_the_page() {
    let mut model = three_guests(RULES);
    let join = r#"{"action": "JOIN ROOM", "room_id": "secret"}"#;
    let joined =
        r#"{"action":"RESPONSE","request":{"action": "JOIN ROOM", "room_id": "secret"},"message":"OK"}"#;
    says(&mut model, 1, join, &[(1, joined)]);
    let login = r#"{"action": "LOGIN NICK", "nickname": "Bob"}"#;
    let logged_in =
        r#"{"action":"RESPONSE","request":{"action": "LOGIN NICK", "nickname": "Bob"},"message":"OK"}"#;
    let in_use = r#"{"action":"ERROR","request":{"action": "LOGIN NICK", "nickname": "Bob"},"message":"Nickname already in use"}"#;
    says(&mut model, 1, login, &[(1, logged_in)]);
    says(&mut model, 2, login, &[(2, in_use)]);
    let say = r#"{"action":"SEND MESSAGE","room_id":"secret","text":"What I've done?"}"#;
    let said = format!(r#"{{"action":"RESPONSE","request":{say},"message":"OK"}}"#);
    let message = r#"{"action":"GET MESSAGE","room_id":"secret","author":"Bob","text":"What I've done?"}"#;
    says(&mut model, 1, say, &[(1, &said), (1, message)]);
    model.disconnect(1);
    says(&mut model, 2, login, &[(2, logged_in)]);
    fails(&mut model, 2, say, "Room not found");
}

#[test]
fn what_stands_first_in_the_order_of_errors_is_said() {
    let mut model = three_guests(RULES);
    fails(&mut model, 1, [b' '; 1001], "Line too long");
    fails(&mut model, 1, b"\xff", "Invalid JSON");
    fails(&mut model, 1, "\u{feff}{}", "Invalid JSON");
    fails(&mut model, 1, r#"{"x":"\ud800"}"#, "Invalid JSON");
    fails(&mut model, 1, r#"{"action":1,"action":2"#, "Invalid JSON");
    fails(&mut model, 1, "[]", "Not a JSON object");
    fails(&mut model, 1, r#"{"\u0074ext":1,"text":2}"#, "Invalid parameter");
    fails(&mut model, 1, "{}", "Missing parameter");
    fails(&mut model, 1, r#"{"action":1}"#, "Invalid parameter");
    fails(&mut model, 1, r#"{"action":"x"}"#, "Unknown action");
    fails(&mut model, 1, r#"{"action":"SEND MESSAGE","text":1}"#, "Missing parameter");
    fails(&mut model, 1, r#"{"action":"SEND MESSAGE","room_id":1.0}"#, "Invalid parameter");
    fails(&mut model, 1, r#"{"action":"SEND MESSAGE","room_id":1}"#, "Missing parameter");
    fails(&mut model, 1, r#"{"action":"SEND MESSAGE","room_id":1,"text":"x"}"#, "Room not found");
    assert!(model.line(1, b" \t").is_empty());
}

#[test]
fn other_protocols_are_told_so_and_are_clients_no_more() {
    let lines = |lines: &[&[u8]]| {
        let mut model = three_guests(RULES);
        let mut said: Vec<_> = lines.iter().flat_map(|line| model.line(1, line)).collect();
        if model.is_connected(1) {
            said.extend(model.end_of_input(1));
        }
        let words = said.into_iter().map(|(_, line)| match line {
            Expected::Error { words, .. } => words,
            other => panic!("{other:?}"),
        });
        (words.collect::<Vec<_>>(), model.is_connected(1))
    };
    let long = [b"POST ".to_vec(), vec![b'x'; 1000]].concat();
    let foreign: [&[&[u8]]; 7] = [
        &[b"\x16\x03\x01"],
        &[b"PROXY UNKNOWN\r"],
        &[b"\r", b"\r", b"\0\r", b"QUIT"],
        &[b"GET / HTTP/1.1\r"],
        &[b"", b" \t", b"\r", b"get x HTTP/2\r"],
        &[b"X! x HTTP/0.9"],
        &[&long],
    ];
    for foreign in foreign {
        assert_eq!(lines(foreign), (vec!["Wrong protocol"], false), "{foreign:?}");
    }
    let small = [b"post ".to_vec(), vec![b'x'; 1000]].concat();
    let own: [(&[&[u8]], &[&str]); 6] = [
        (&[b"PROXY"], &["Invalid JSON"]),
        (&[b"{}", b"GET / HTTP/1.1"], &["Missing parameter", "Invalid JSON"]),
        (&[b"GET /", b"GET / HTTP/1.1"], &["Invalid JSON", "Invalid JSON"]),
        (&[b"\r", b"\r", b"\0\r", b"{}"], &["Invalid JSON", "Missing parameter"]),
        (&[b"\r", b"\r", b"\0\r"], &["Invalid JSON"]),
        (&[&small, &long], &["Line too long", "Line too long"]),
    ];
    for (own, said) in own {
        assert_eq!(lines(own), (said.to_vec(), true), "{own:?}");
    }
}

#[test]
fn nicknames_are_judged_as_the_page_says() {
    for good in ["Bob", "a\u{3000}b", "❤\u{fe0f}\u{200d}🔥", &"é".repeat(32)] {
        assert!(words::is_nickname(good), "{good:?}");
    }
    for bad in [
        "",
        "Bob\u{200b}",
        "\u{202e}boB",
        "\u{3164}",
        "\u{2800}",
        "a\u{9b}",
        " a",
        "1\u{fe0f}",
        "❤\u{200d}a",
        &"é".repeat(33),
    ] {
        assert!(!words::is_nickname(bad), "{bad:?}");
    }
}

#[test]
fn rooms_are_told_apart_and_found_again() {
    let mut model = three_guests(Rules { members_only: true, ..RULES });
    says(
        &mut model,
        1,
        r#"{"action":"JOIN ROOM","room_id":7}"#,
        &[(1, r#"{"action":"RESPONSE","request":{"action":"JOIN ROOM","room_id":7},"message":"OK"}"#)],
    );
    fails(&mut model, 2, r#"{"action":"LEFT ROOM","room_id":"7"}"#, "Room not found");
    fails(&mut model, 2, r#"{"action":"SEND MESSAGE","room_id":7,"text":""}"#, "Not in this room");
    assert_eq!(model.line(1, br#"{"action":"JOIN ROOM","room_id":-0}"#).len(), 1);
    fails(&mut model, 1, r#"{"action":"JOIN ROOM","room_id":"caf\u00e9"}"#, "Too many rooms");
    let message = Expected::Message {
        room: Room::Integer(0),
        sender: 1,
        author: Some("guest-1".into()),
        text: "".into(),
    };
    let replies = model.line(1, br#"{"action":"SEND MESSAGE","room_id":-0,"text":""}"#);
    assert_eq!(replies[1], (1, message.clone()));
    message.check(br#"{"action":"GET MESSAGE","room_id":0,"author":"guest-1","text":""}"#).unwrap();
    message.check(br#"{"action":"GET MESSAGE","room_id":-0,"author":"guest-1","text":""}"#).unwrap_err();
    message.check(br#"{"action":"GET MESSAGE","room_id":"0","author":"guest-1","text":""}"#).unwrap_err();
}

#[test]
fn it_learns_names_and_notices_wrong_ones() {
    let mut model = Model::new(RULES);
    model.connect(1);
    model.connect(2);
    assert_eq!(model.nickname(1), None);
    model.learn(1, "Alice").unwrap_err();
    model.learn(1, "guest-").unwrap_err();
    model.learn(1, "guest-4").unwrap();
    model.learn(1, "guest-5").unwrap_err();
    model.learn(2, "guest-4").unwrap_err();
    assert_eq!(model.nickname(1), Some("guest-4"));
}

#[test]
fn it_notices_lines_that_are_not_quite_what_was_expected() {
    let response = Expected::Response { request: r#"{"x": 1.0}"#.into() };
    response.check(br#"{"action":"RESPONSE","request":{"x": 1.0},"message":"OK"}"#).unwrap();
    response.check(br#"{"action":"RESPONSE","request":{"x": 1},"message":"OK"}"#).unwrap_err();
    response.check(br#"{"action":"RESPONSE","request":{"x": 1.0},"message":"OK"} "#).unwrap_err();

    let error = |words, members: &[&'static str]| Expected::Error {
        request: "{}".into(),
        words,
        members: members.into(),
    };
    let line =
        |message: &str| format!(r#"{{"action":"ERROR","request":{{}},"message":"{message}"}}"#).into_bytes();
    let missing = error("Missing parameter", &["action"]);
    missing.check(&line("Missing parameter: action")).unwrap();
    missing.check(&line("Missing parameter")).unwrap_err();
    missing.check(&line("Missing parameter: text")).unwrap_err();
    let twice = error("Invalid parameter", &["text", "room_id"]);
    twice.check(&line("Invalid parameter: room_id is given twice")).unwrap();
    twice.check(&line("Invalid parameter: texts")).unwrap_err();
    twice.check(&line("Invalid parameters: text")).unwrap_err();

    let text = |text: &str| Expected::Message {
        room: Room::Text("é".into()),
        sender: 1,
        author: None,
        text: text.into(),
    };
    let line = |room: &str, text: &str| {
        format!(r#"{{"action":"GET MESSAGE","room_id":{room},"author":"\u0041","text":"{text}"}}"#)
            .into_bytes()
    };
    text("\u{2028}").check(&line(r#""\u00e9""#, r"\u2028")).unwrap();
    text("\u{2028}").check(&line(r#""é""#, "\u{2028}")).unwrap_err();
    text("\u{9b}").check(&line(r#""é""#, r"\u009B")).unwrap();
    text("\u{9b}").check(&line(r#""é""#, "\u{9b}")).unwrap_err();
    text("x").check(&line(r#""e""#, "x")).unwrap_err();
    text("x").check(&line(r#""é""#, "y")).unwrap_err();
    assert_eq!(author(&line("1", "x")).as_deref(), Some("A"));
    assert_eq!(author(&error("Unknown action", &[]).check(b"x").unwrap_err().into_bytes()), None);
}

#[test]
fn the_json_test_suite_is_judged_as_its_names_say() {
    for (name, text) in crate::common::corpora::json_test_suite() {
        let accepted = json::value(&text).is_some();
        match name.as_bytes()[0] {
            b'y' => assert!(accepted, "{name}"),
            b'n' => assert!(!accepted, "{name}"),
            // Left open by the suite, but not by the protocol.
            _ => assert_eq!(accepted, name.starts_with("i_number") || name.contains("500_nested"), "{name}"),
        }
    }
}

#[test]
fn nesting_has_no_limit() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(json::value(&deep).is_some());
    assert!(json::value(&deep[1..]).is_none());
    assert!(json::value(&deep[..199_999]).is_none());
}

#[test]
fn members_are_taken_apart_as_they_were_written() {
    let members = json::members(r#"{"a" : 1.0 ,"\u0061":[ {} ], "":"}"}"#).unwrap();
    assert_eq!(members, [("a".into(), "1.0"), ("a".into(), "[ {} ]"), (String::new(), r#""}""#)]);
    assert_eq!(json::members("{ }"), Some(vec![]));
    assert_eq!(json::members("[]"), None);
}

/// Is a number in it that `serde_json` refuses only because it does not fit into a float?
fn holds_a_huge_number(line: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(line).err().map(|error| error.to_string());
    error.is_some_and(|error| error.starts_with("number out of range"))
}

#[test]
fn random_lines_are_judged_as_serde_json_judges_them() {
    let mut random = Random::from_environment();
    let speech = Speech::new(1000);
    for _ in 0..20_000 {
        let line = speech.line(&mut random);
        let accepted = serde_json::from_slice::<Value>(&line).is_ok()
            || holds_a_huge_number(&line) && json::value(&line).is_some();
        assert_eq!(json::value(&line).is_some(), accepted, "{}", String::from_utf8_lossy(&line));
    }
}

proptest! {
    #[test]
    fn near_json_is_judged_as_serde_json_judges_it(line in r#"([\[\]{},: ]|"[a\\"u0]{0,6}"|[-+.eE01]{1,5}|"a":|null|true){0,12}"#) {
        prop_assume!(!holds_a_huge_number(line.as_bytes()));
        let accepted = serde_json::from_str::<Value>(&line).is_ok();
        prop_assert_eq!(json::value(line.as_bytes()).is_some(), accepted);
    }
}
