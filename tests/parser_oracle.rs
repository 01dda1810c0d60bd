//! The parser of requests against an independent judge: `serde_json::Value`. It must accept exactly the same documents, and
//! echo the same value. Where that judge gives up itself (a nesting of more than 128, a number that does not fit into a
//! float) the reference model's own reading of JSON takes its place.

#[path = "common/mod.rs"]
mod common;
#[allow(unused_imports)]
#[path = "model/mod.rs"]
mod model;

use common::random::Random;
use common::requests::Speech;
use common::{corpora, random};
use model::{json, words};
use parlor::protocol::{self, Error, Request};
use proptest::prelude::*;
use serde_json::Value;

/// What is said about a line by the judge.
enum Verdict {
    /// A document, with its value.
    Value(Value),
    /// A document that is too much for `Value`.
    Document,
    Invalid,
}

fn judge(line: &[u8]) -> Verdict {
    let error = match serde_json::from_slice(line) {
        Ok(value) => return Verdict::Value(value),
        Err(error) => error.to_string(),
    };
    let gives_up = error.starts_with("recursion limit exceeded") || error.starts_with("number out of range");
    if gives_up && json::value(line).is_some() { Verdict::Document } else { Verdict::Invalid }
}

/// The longest line that the server may make of one of this length.
fn bound(line: &[u8]) -> usize {
    3 * line.len() + 512
}

/// Compares parser and judge about one line, and the lines that the server makes of it with the line.
fn check(line: &[u8]) {
    let text = String::from_utf8_lossy(line);
    let Some(parsed) = protocol::parse(line) else {
        assert!(line.iter().all(|byte| matches!(byte, b' ' | b'\t')), "no blank line: {text:?}");
        return;
    };
    let accepted = parsed.request != Err(Error::InvalidJson);
    let verdict = judge(line);
    assert_eq!(accepted, !matches!(verdict, Verdict::Invalid), "{text:?}");
    if !accepted {
        assert_eq!(parsed.echo, "null");
        return;
    }
    assert_eq!(Some(parsed.echo), json::value(line), "the echo is not the value as it was written");
    let mut reply = Vec::new();
    match &parsed.request {
        Ok(_) => protocol::response(&mut reply, parsed.echo),
        Err(error) => protocol::error(&mut reply, parsed.echo, *error),
    }
    assert!(reply.ends_with(b"\n") && !reply[..reply.len() - 1].contains(&b'\n'), "not one line");
    assert!(reply.len() <= bound(line), "too long");
    let Verdict::Value(value) = verdict else { return };
    assert_eq!(value.is_object(), parsed.request != Err(Error::NotAnObject));
    // What encloses the value must not be too much for the judge.
    if let Verdict::Value(reply) = judge(&reply) {
        assert_eq!(reply["request"], value, "{text:?}");
    }
    if value["action"] == "LOGIN NICK"
        && let Some(nickname) = value["nickname"].as_str()
        && !matches!(parsed.request, Err(Error::Duplicate(_)))
    {
        assert_eq!(parsed.request.is_ok(), words::is_nickname(nickname), "{nickname:?}");
    }
    if let Ok(Request::Send { room, text }) = parsed.request {
        let mut message = Vec::new();
        protocol::get_message(&mut message, room.as_bytes(), b"Alice", text);
        assert!(message.len() <= bound(line), "too long: {text:?}");
        let raw = std::str::from_utf8(&message).unwrap().find(words::is_always_escaped);
        assert_eq!(raw, None, "not escaped: {text:?}");
        let message: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!(message["text"], value["text"]);
        // `-0` is 0.
        let room = if value["room_id"].as_f64() == Some(0.0) { &Value::from(0) } else { &value["room_id"] };
        assert_eq!(message["room_id"], *room);
    }
}

/// A file of the corpus as a line.
fn line(mut document: Vec<u8>) -> Vec<u8> {
    document.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    document
}

/// Some bytes changed, lost, doubled, or exchanged with a piece of another document.
fn mutated(document: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\"\\{}[],:.-+eEu019 \t\rntf\0\x7f\x80\xc2\xe2\xed\xf0\xff/";
    let mut line = document.to_vec();
    for _ in 0..random.below(4) + 1 {
        let at = random.below(line.len() + 1);
        let end = (at + random.below(4) + 1).min(line.len());
        match random.below(6) {
            0 => line.insert(at, TELLING[random.below(TELLING.len())]),
            1 => drop(line.drain(at..end)),
            2 if at < line.len() => line[at] = random.number() as u8,
            3 if at < line.len() => line[at] = TELLING[random.below(TELLING.len())],
            4 => drop(line.splice(at..at, line[at..end].to_vec())),
            _ if !other.is_empty() => {
                let begin = random.below(other.len());
                let piece = &other[begin..(begin + random.below(20)).min(other.len())];
                drop(line.splice(at..end, piece.to_vec()));
            }
            _ => {}
        }
    }
    self::line(line)
}

#[test]
fn the_corpus_and_what_is_nearly_it() {
    let mut random = random::Random::from_environment();
    let mut documents: Vec<Vec<u8>> =
        corpora::json_test_suite().into_iter().map(|(_, document)| line(document)).collect();
    for string in corpora::naughty_strings() {
        documents.push(line(string.clone().into_bytes()));
        documents.push(serde_json::to_vec(&string).unwrap());
    }
    for document in &documents {
        check(document);
    }
    // Two of them are long; the others are looked at more often.
    documents.retain(|document| document.len() < 2000);
    for document in &documents {
        for _ in 0..100 {
            let other = &documents[random.below(documents.len())];
            check(&mutated(document, other, &mut random));
        }
    }
}

#[test]
fn requests_and_what_is_nearly_one() {
    let mut random = random::Random::from_environment();
    let speech = Speech::new(1000);
    let mut last = Vec::new();
    for _ in 0..50_000 {
        let line = speech.line(&mut random);
        check(&line);
        check(&mutated(&line, &last, &mut random));
        last = line;
    }
}

/// Any JSON value, with the members that the server knows among the names.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("action".to_string()),
        Just("room_id".to_string()),
        Just("text".to_string()),
        Just("nickname".to_string()),
        any::<String>(),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_value_is_accepted(value in any_value()) {
        let line = serde_json::to_vec(&value).unwrap();
        prop_assert_ne!(protocol::parse(&line).unwrap().request, Err(Error::InvalidJson));
        check(&line);
    }

    #[test]
    fn nicknames(name in "[ a1❤\u{1f468}\u{1f3fd}\u{fe0f}\u{200d}\u{200b}\u{2800}\u{ad}\u{9b}\u{3000}]{0,8}|.{0,30}") {
        check(serde_json::json!({"action": "LOGIN NICK", "nickname": name}).to_string().as_bytes());
    }

    #[test]
    fn texts_and_rooms_that_grow(
        room in "[\u{7f}-\u{a0}\u{2027}-\u{202a}a\"\\\\]{0,30}",
        text in "[\u{7f}-\u{a0}\u{2027}-\u{202a}a\"\\\\]{0,100}",
    ) {
        check(serde_json::json!({"action": "SEND MESSAGE", "room_id": room, "text": text}).to_string().as_bytes());
    }

    #[test]
    fn what_looks_like_json(line in r#"([\[\]{},: \t\r]|"[a\\"u0dD8]{0,8}"|[-+.eE01]{1,5}|"(action|text)":|null|true){0,14}"#) {
        check(line.as_bytes());
    }

    #[test]
    fn any_bytes(line in proptest::collection::vec(any::<u8>(), 0..40)) {
        check(&self::line(line));
    }
}
