use proptest::prelude::*;

use super::*;

fn heard(client: &mut Client, line: &str) -> Event {
    let line = format!("{line}\n");
    let mut rest = line.as_bytes();
    let heard = client.hear(&mut rest).expect("a whole line");
    assert!(rest.is_empty());
    assert_eq!(heard.line, line.trim_end_matches('\n').as_bytes());
    heard.event
}

fn ok(client: &mut Client) -> Event {
    heard(client, r#"{"action":"RESPONSE","request":{"action":"?"},"message":"OK"}"#)
}

fn error(client: &mut Client, why: &str) -> Event {
    heard(client, &format!(r#"{{"action":"ERROR","request":{{}},"message":"{why}"}}"#))
}

fn message(client: &mut Client, room: &str, author: &str, text: &str) -> Event {
    let line = json!({"action": "GET MESSAGE", "room_id": room, "author": author, "text": text});
    heard(client, &line.to_string())
}

fn is_own(event: Event) -> bool {
    match event {
        Event::Message { own, .. } => own,
        other => panic!("a message expected, not {other:?}"),
    }
}

fn join(room: &str) -> Request {
    Request::Join { room: room.into() }
}

fn say(room: &str, text: &str) -> Request {
    Request::Send { room: room.into(), text: text.into() }
}

fn output(client: &mut Client) -> String {
    let text = String::from_utf8(client.output().to_vec()).unwrap();
    client.sent(client.output().len());
    text
}

#[test]
fn requests_become_lines() {
    let mut client = Client::new();
    client.request(Request::Login { nickname: "Zo\u{eb} \"\n".into() });
    client.request(Request::Join { room: Room::Number(7) });
    client.request(Request::Leave { room: Room::Number(u64::MAX.into()) });
    client.request(say("7", "hi"));
    let expected = [
        "{\"action\":\"LOGIN NICK\",\"nickname\":\"Zo\u{eb} \\\"\\n\"}\n",
        "{\"action\":\"JOIN ROOM\",\"room_id\":7}\n",
        "{\"action\":\"LEFT ROOM\",\"room_id\":18446744073709551615}\n",
        "{\"action\":\"SEND MESSAGE\",\"room_id\":\"7\",\"text\":\"hi\"}\n",
    ];
    assert_eq!(output(&mut client), expected.concat());
    assert_eq!(client.output(), b"");
}

#[test]
fn output_can_be_sent_in_pieces() {
    let mut client = Client::new();
    (0..10).for_each(|_| _ = client.request(join("a room")));
    let whole = client.output().to_vec();
    let mut sent = Vec::new();
    while let Some(byte) = client.output().first() {
        sent.push(*byte);
        client.sent(1);
    }
    assert_eq!(sent, whole);
}

#[test]
fn replies_are_matched_by_their_order() {
    let mut client = Client::new();
    let first = client.request(join("a"));
    let second = client.request(say("b", "hi"));
    let third = client.request(join("c"));
    assert_eq!(client.unanswered(), 3);
    assert_eq!(ok(&mut client), Event::Done { number: first, request: join("a") });
    let refused = Event::Refused { number: second, request: say("b", "hi"), why: "Room not found".into() };
    assert_eq!(error(&mut client, "Room not found"), refused);
    assert_eq!(ok(&mut client), Event::Done { number: third, request: join("c") });
    assert_eq!(client.unanswered(), 0);
    assert_eq!(ok(&mut client), Event::Strange(Strange::NotAsked));
}

#[test]
fn a_line_that_could_not_be_read_is_answered_in_its_place() {
    let mut client = Client::new();
    client.request(say("a", "long"));
    client.request(join("b"));
    let event = heard(&mut client, r#"{"action":"ERROR","request":null,"message":"Line too long"}"#);
    assert!(matches!(event, Event::Refused { request: Request::Send { .. }, .. }), "{event:?}");
    let event = heard(&mut client, r#"{"action":"ERROR","request":null,"message":"Server shutting down"}"#);
    assert_eq!(event, Event::LastWords("Server shutting down".into()));
    assert_eq!(client.unanswered(), 1);
}

#[test]
fn own_messages_are_told_from_those_of_a_namesake() {
    let mut client = Client::new();
    client.request(join("a"));
    ok(&mut client);
    client.request(say("a", "hi"));
    assert!(!is_own(message(&mut client, "a", "guest-1", "hi")), "before its reply it is somebody else's");
    assert_eq!(client.nickname(), None);
    ok(&mut client);
    assert!(client.expects_own_messages());
    assert!(!is_own(message(&mut client, "b", "guest-1", "hi")), "another room");
    assert!(is_own(message(&mut client, "a", "guest-2", "hi")));
    assert_eq!(client.nickname(), Some("guest-2"));
    assert!(!is_own(message(&mut client, "a", "guest-2", "hi")), "it comes back only once");
    client.request(say("elsewhere", "hi"));
    ok(&mut client);
    assert!(!client.expects_own_messages(), "nothing comes back from a room that is not joined");
}

#[test]
fn the_nickname_and_the_rooms_are_asked_for_again() {
    let mut client = Client::new();
    client.request(Request::Login { nickname: "Bob".into() });
    for room in ["a", "b", "c", "d"] {
        client.request(join(room));
    }
    for _ in 0..4 {
        ok(&mut client);
    }
    error(&mut client, "Too many rooms");
    client.request(Request::Leave { room: "b".into() });
    client.request(say("a", "hi"));
    assert!(client.is_in(&"a".into()) && client.is_in(&"b".into()) && !client.is_in(&"d".into()));

    assert_eq!(client.lost(), [Request::Leave { room: "b".into() }, say("a", "hi")]);
    assert!(!client.is_in(&"a".into()));
    assert_eq!((client.output(), client.unanswered(), client.nickname()), (&b""[..], 0, None));
    assert_eq!(client.rooms(), [Room::from("a"), Room::from("c")]);

    client.again();
    let output = output(&mut client);
    let asked: Vec<&str> = output.lines().collect();
    let expected = [
        r#"{"action":"LOGIN NICK","nickname":"Bob"}"#,
        r#"{"action":"JOIN ROOM","room_id":"a"}"#,
        r#"{"action":"JOIN ROOM","room_id":"c"}"#,
    ];
    assert_eq!(asked, expected);
    error(&mut client, "Nickname already in use");
    assert_eq!((client.nickname(), client.wanted_nickname()), (None, Some("Bob")));
}

#[test]
fn what_was_asked_for_and_not_answered_is_asked_for_again_too() {
    let mut client = Client::new();
    client.request(Request::Login { nickname: "Bob".into() });
    client.request(join("a"));
    client.lost();
    client.again();
    assert_eq!(output(&mut client).lines().count(), 2);
}

#[test]
fn the_beginning_of_a_line_does_not_outlive_its_connection() {
    let mut client = Client::new();
    assert_eq!(client.hear(&mut &b"{\"action\":"[..]), None);
    client.lost();
    assert!(!is_own(message(&mut client, "a", "b", "c")));
}

#[test]
fn what_is_not_of_the_protocol_is_strange() {
    for (line, expected) in [
        ("SSH-2.0-OpenSSH_9.2", Strange::NotProtocol),
        ("[]", Strange::NotProtocol),
        ("{}", Strange::NotProtocol),
        (r#"{"action":7}"#, Strange::NotProtocol),
        (r#"{"action":"GREETING"}"#, Strange::NotKnown),
        (r#"{"action":"ERROR","request":{}}"#, Strange::NotKnown),
        (r#"{"action":"GET MESSAGE","room_id":1.5,"author":"a","text":"b"}"#, Strange::NotKnown),
        (r#"{"action":"GET MESSAGE","room_id":"r","author":null,"text":"b"}"#, Strange::NotKnown),
        (r#"{"action":"GET MESSAGE","room_id":"r","author":"a"}"#, Strange::NotKnown),
        (r#"{"action":"ERROR","request":{},"message":"Unknown action"}"#, Strange::NotAsked),
    ] {
        assert_eq!(heard(&mut Client::new(), line), Event::Strange(expected), "{line}");
    }
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut client = Client::new();
    let piece = vec![b'x'; 1 << 20];
    let mut events = Vec::new();
    for _ in 0..40 {
        let mut received = &piece[..];
        while let Some(heard) = client.hear(&mut received) {
            events.push(heard.event);
        }
        assert!(client.lines.allocated_bytes() <= 4 * MAX_LINE_BYTES);
    }
    assert_eq!(events, [Event::Strange(Strange::TooLong)]);
    assert_eq!(client.hear(&mut &b"the rest\n"[..]), None);
    ok(&mut client);
}

#[test]
fn rooms_are_written_as_they_are_read() {
    for (text, room) in [
        ("ops", Room::Name("ops".into())),
        ("7", Room::Number(7)),
        ("-9223372036854775808", Room::Number(i64::MIN.into())),
        ("18446744073709551615", Room::Number(u64::MAX.into())),
        ("18446744073709551616", Room::Name("18446744073709551616".into())),
        ("\"7\"", Room::Name("7".into())),
        ("-0", Room::Name("-0".into())),
        ("+7", Room::Name("+7".into())),
        ("\"", Room::Name("\"".into())),
        (r#""\"7\"""#, Room::Name("\"7\"".into())),
        ("", Room::Name("".into())),
    ] {
        assert_eq!(Room::from_text(text), room, "{text}");
        assert_eq!(room.to_string(), text);
    }
}

proptest! {
    /// Whatever comes, in whatever pieces: no panic, and every room that is heard of can be written and read again.
    #[test]
    fn any_bytes_can_be_heard(
        pieces in proptest::collection::vec(proptest::collection::vec(prop_oneof![
            Just(b'\n'), Just(b'{'), Just(b'"'), Just(b'}'), any::<u8>(),
        ], 0..60), 0..30),
        asked in 0usize..4,
    ) {
        let mut client = Client::new();
        (0..asked).for_each(|_| _ = client.request(join("a")));
        for piece in &pieces {
            let mut rest = &piece[..];
            while client.hear(&mut rest).is_some() {}
            prop_assert!(rest.is_empty());
        }
        client.lost();
        client.again();
    }

    #[test]
    fn every_room_survives_being_written(name in ".*") {
        let room = Room::Name(name);
        prop_assert_eq!(&Room::from_text(&room.to_string()), &room);
    }
}
