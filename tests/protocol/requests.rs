//! What a client may ask for, and what it then means.

use crate::common::{Client, TestServer, eventually, join, left, login, response, say};

fn two_clients(server: &TestServer) -> [Client; 2] {
    let [mut alice, mut bob] = [server.connect(), server.connect()];
    alice.login("Alice");
    bob.login("Bob");
    [alice, bob]
}

// Members

#[test]
fn the_order_of_members_is_free() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.login("Alice");
    client.join(7);
    let [a, r, t] = [r#""action":"SEND MESSAGE""#, r#""room_id":7"#, r#""text":"hello""#];
    for [x, y, z] in [[a, r, t], [a, t, r], [r, a, t], [r, t, a], [t, a, r], [t, r, a]] {
        client.expect_ok(format!("{{{x},{y},{z}}}"));
        client.expect_message(7, "Alice", "hello");
    }
}

#[test]
fn unknown_members_are_allowed_and_echoed() {
    let server = TestServer::start();
    let mut client = server.connect();
    client
        .expect_ok(r#"{"id":1,"action":"JOIN ROOM","room_id":7,"":null,"Action":"x"," text":{"action":[]}}"#);
    client.expect_error(r#"{"id":"α","action":"LEFT ROOM","room_id":8,"x":[1.0]}"#, "Room not found");
    client.expect_error(r#"{"id":2,"actio":"JOIN ROOM"}"#, "Missing parameter: action");
}

#[test]
fn of_members_that_the_action_does_not_know_the_server_takes_no_notice() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.expect_ok(r#"{"action":"JOIN ROOM","room_id":7,"text":5,"nickname":{}}"#);
    client.expect_ok(r#"{"action":"LOGIN NICK","nickname":"Alice","room_id":1.5,"text":null}"#);
    client.expect_ok(r#"{"action":"SEND MESSAGE","room_id":7,"text":"x","nickname":" "}"#);
    client.expect_message(7, "Alice", "x");
    client.expect_ok(r#"{"action":"LEFT ROOM","room_id":7,"text":["x"]}"#);
    // Given twice, too, and within them every name.
    let inner = r#"{"action":1,"action":2,"text":[{"room_id":1,"room_id":1}]}"#;
    client.expect_ok(format!(r#"{{"x":{inner},"action":"JOIN ROOM","x":{inner},"room_id":7}}"#));
}

#[test]
fn a_name_given_twice_is_an_error_whichever_the_action() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.join(7);
    let requests = [
        r#""action":"LOGIN NICK","nickname":"Alice""#,
        r#""action":"JOIN ROOM","room_id":7"#,
        r#""action":"LEFT ROOM","room_id":7"#,
        r#""action":"SEND MESSAGE","room_id":7,"text":"x""#,
        r#""action":"unknown""#,
    ];
    let names = [
        ("action", r"\u0061ction"),
        ("nickname", r"nick\u006eame"),
        ("room_id", r"room\u005fid"),
        ("text", r"tex\u0074"),
    ];
    for request in requests {
        for (name, escaped) in names {
            let once = if request.contains(&format!("{name}\"")) {
                String::new()
            } else {
                format!(r#","{name}":1"#)
            };
            for again in [name, escaped] {
                let twice = format!(r#"{{{request}{once},"{again}":1}}"#);
                client.expect_error(&twice, "Invalid parameter");
                let before = format!(r#"{{"{again}":"JOIN ROOM"{once},{request}}}"#);
                let line = client.ask(&before);
                assert!(line.contains("\"message\":\"Invalid parameter: "), "{line}");
                let detail = line.rsplit("Invalid parameter: ").next().unwrap();
                assert!(detail.contains(name), "the detail names the member: {line}");
            }
        }
    }
    // Nothing of them was carried out.
    client.expect_ok(left(7));
    assert!(client.nickname().starts_with("guest-"));
}

#[test]
fn names_are_compared_after_unescaping() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.expect_ok(r#"{"\u0061ction":"JOIN\u0020ROOM","room\u005Fid":"r"}"#);
    client.expect_ok(r#"{"actio\u006e":"\u0053END MESSAGE","room_id":"\u0072","te\u0078t":"\u0078"}"#);
    assert_eq!(client.recv_json()["text"], "x");
    client.expect_ok(r#"{"action":"LOGIN NICK","nick\u006eame":"Alice"}"#);
    assert_eq!(client.nickname(), "Alice");
}

// LOGIN NICK

#[test]
fn a_nickname_is_unique_among_connected_clients() {
    let server = TestServer::start();
    let [_alice, mut bob] = two_clients(&server);
    bob.expect_error(login("Alice"), "Nickname already in use");
    assert_eq!(bob.nickname(), "Bob");
    // Exactly compared: case, composed and decomposed, and what looks alike are others.
    for nickname in ["alice", "ALICE", "Zo\u{eb}", "Zoe\u{308}", "А", "A", "guest-01"] {
        let mut other = server.connect();
        other.login(nickname);
        assert_eq!(other.nickname(), nickname);
        bob.expect_error(login(nickname), "Nickname already in use");
    }
}

#[test]
fn nicknames_are_compared_after_unescaping() {
    let server = TestServer::start();
    let [_alice, mut bob] = two_clients(&server);
    bob.expect_error(r#"{"action":"LOGIN NICK","nickname":"\u0041lice"}"#, "Nickname already in use");
    bob.expect_ok(r#"{"action":"LOGIN NICK","nickname":"\ud83e\udd80\/"}"#);
    assert_eq!(bob.nickname(), "🦀/");
}

#[test]
fn the_old_nickname_is_free_at_once() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.login("Carol");
    bob.login("Alice");
    alice.expect_error(login("Alice"), "Nickname already in use");
    alice.login("Bob");
    let mut guest = server.connect();
    let nickname = guest.nickname();
    guest.login("Dave");
    alice.login(&nickname);
    assert_eq!(alice.nickname(), nickname);
}

#[test]
fn the_nickname_one_already_has_may_be_taken_again() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.login("Alice");
    alice.expect_ok(r#"{"action":"LOGIN NICK","nickname":"\u0041lice"}"#);
    bob.expect_error(login("Alice"), "Nickname already in use");
    let mut guest = server.connect();
    let nickname = guest.nickname();
    guest.login(&nickname);
    assert_eq!(guest.nickname(), nickname);
}

#[test]
fn a_nickname_of_the_guest_form_may_be_taken_while_nobody_has_it() {
    let server = TestServer::start();
    let mut guest = server.connect();
    let nickname = guest.nickname();
    let mut other = server.connect();
    other.expect_error(login(&nickname), "Nickname already in use");
    for free in ["guest-999999", "guest-00", "guest-", "guest-99999999999999999999999999"] {
        other.login(free);
        assert_eq!(other.nickname(), free);
    }
    guest.login("Alice");
    other.login(&nickname);
    assert_eq!(other.nickname(), nickname);
}

#[test]
fn a_nickname_is_1_to_64_bytes_of_utf8() {
    let server = TestServer::start();
    let mut client = server.connect();
    for valid in ["a", "é", "🦀", &"a".repeat(64), &"é".repeat(32), &"🦀".repeat(16)] {
        client.login(valid);
        assert_eq!(client.nickname(), valid);
    }
    for invalid in ["", &"a".repeat(65), &("a".repeat(63) + "é"), &"é".repeat(33), &"a".repeat(10_000)] {
        client.expect_error(login(invalid), "Invalid nickname");
    }
    // The bytes count, not how they are written.
    client.expect_ok(format!(r#"{{"action":"LOGIN NICK","nickname":"{}"}}"#, r"\u0061".repeat(64)));
    client.expect_error(
        format!(r#"{{"action":"LOGIN NICK","nickname":"{}"}}"#, r"\u00e9".repeat(33)),
        "Invalid nickname",
    );
}

#[test]
fn a_nickname_has_no_control_character() {
    let server = TestServer::start();
    let mut client = server.connect();
    for control in ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}') {
        for nickname in [format!("a{control}b"), format!("a{control}"), control.to_string()] {
            client.expect_error(login(&nickname), "Invalid nickname");
        }
    }
}

#[test]
fn a_nickname_has_no_invisible_character() {
    let server = TestServer::start();
    let mut client = server.connect();
    let invisible = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{180b}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{202a}\u{202e}\
                     \u{2060}\u{2065}\u{2069}\u{206f}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\u{fff8}\u{1bca0}\u{1d173}\
                     \u{e0000}\u{e0001}\u{e0041}\u{e0100}\u{e0fff}\u{2028}\u{2029}\u{fff9}\u{fffa}\u{fffb}\u{2800}";
    for char in invisible.chars() {
        for nickname in [format!("Bob{char}"), format!("{char}Bob"), format!("B{char}ob"), char.to_string()] {
            client.expect_error(login(&nickname), "Invalid nickname");
        }
        let escaped: String =
            char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
        client.expect_error(
            format!(r#"{{"action":"LOGIN NICK","nickname":"Bob{escaped}"}}"#),
            "Invalid nickname",
        );
    }
    // Beside them, and other format characters.
    for char in ['\u{ac}', '\u{ae}', '\u{600}', '\u{180a}', '\u{2010}', '\u{fffc}', '\u{fffd}', '\u{e1000}'] {
        client.login(&format!("B{char}b"));
    }
}

#[test]
fn most_emoji_stay_whole_in_a_nickname() {
    let server = TestServer::start();
    let mut client = server.connect();
    for valid in [
        "🦀",
        "❤\u{fe0f}",
        "Bob ❤\u{fe0f} Eve",
        "👩\u{200d}🚀",
        "👩🏽\u{200d}🚀",
        "❤\u{fe0f}\u{200d}🔥",
        "👁\u{fe0f}\u{200d}🗨\u{fe0f}",
        "👩\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}👨",
        "🏳\u{fe0f}\u{200d}🌈",
        "🤷🏽\u{200d}♂\u{fe0f}",
        "🇩🇪",
        "\u{203c}\u{fe0f}\u{2bff}\u{fe0f}\u{1f000}\u{fe0f}\u{1faff}\u{fe0f}",
    ] {
        client.login(valid);
        assert_eq!(client.nickname(), valid);
    }
    for invalid in [
        // Not behind a symbol, or twice.
        "\u{fe0f}",
        "a\u{fe0f}",
        "❤\u{fe0f}\u{fe0f}",
        "❤\u{fe0e}",
        "❤ \u{fe0f}",
        "©\u{fe0f}",
        "\u{203b}\u{fe0f}",
        "\u{2c00}\u{fe0f}",
        "\u{1efff}\u{fe0f}",
        "\u{1fb00}\u{fe0f}",
        "a\u{205f}\u{fe0f}b",
        // Not between two symbols.
        "\u{200d}",
        "❤\u{200d}",
        "\u{200d}❤",
        "a\u{200d}❤",
        "❤\u{200d}a",
        "❤\u{200d}\u{200d}❤",
        "❤\u{200d}\u{fe0f}❤",
        "❤\u{200d}\u{fe0f}",
        "❤\u{200d} ❤",
        "a\u{200d}b",
        // Keycaps and tag flags.
        "1\u{fe0f}\u{20e3}",
        "#\u{fe0f}\u{20e3}",
        "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    ] {
        client.expect_error(login(invalid), "Invalid nickname");
    }
}

#[test]
fn a_nickname_neither_begins_nor_ends_with_white_space() {
    let server = TestServer::start();
    let mut client = server.connect();
    let spaces = " \u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\
                  \u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
    for space in spaces.chars() {
        for nickname in [format!("{space}a"), format!("a{space}"), space.to_string()] {
            client.expect_error(login(&nickname), "Invalid nickname");
        }
        // The two separators count as invisible.
        if space != '\u{2028}' && space != '\u{2029}' {
            client.login(&format!("a{space}b"));
            assert_eq!(client.nickname(), format!("a{space}b"));
        }
    }
}

// Rooms

#[test]
fn joining_creates_the_room_and_subscribes_to_its_new_messages() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    bob.expect_error(say("room", "nobody hears"), "Room not found");
    alice.join("room");
    bob.say("room", "hello");
    alice.expect_message("room", "Bob", "hello");
    bob.nothing_more();
}

#[test]
fn leaving_unsubscribes_and_a_room_left_empty_is_removed() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.join("room");
    bob.join("room");
    alice.leave("room");
    bob.say("room", "hello");
    bob.expect_message("room", "Bob", "hello");
    alice.nothing_more();
    bob.leave("room");
    for request in [left("room"), say("room", "x")] {
        alice.expect_error(&request, "Room not found");
        bob.expect_error(&request, "Room not found");
    }
    // It can be there again.
    alice.join("room");
    bob.say("room", "again");
    alice.expect_message("room", "Bob", "again");
}

#[test]
fn every_subscriber_gets_the_message() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.join("room"));
    let mut speaker = server.connect();
    speaker.login("Alice");
    speaker.say("room", "hello");
    for client in &mut clients {
        client.expect_message("room", "Alice", "hello");
        client.nothing_more();
    }
    speaker.nothing_more();
}

#[test]
fn a_message_goes_to_its_room_alone() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.join("a");
    bob.join("b");
    alice.say("b", "for b");
    bob.expect_message("b", "Alice", "for b");
    alice.nothing_more();
    bob.nothing_more();
}

#[test]
fn room_7_and_room_string_7_are_two_rooms() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.join(7);
    bob.expect_error(say("7", "x"), "Room not found");
    bob.expect_error(left("7"), "Room not found");
    bob.join("7");
    alice.say("7", "for the string");
    bob.expect_message("7", "Alice", "for the string");
    alice.nothing_more();
    bob.say(7, "for the integer");
    alice.expect_message(7, "Bob", "for the integer");
    bob.nothing_more();
}

#[test]
fn an_integer_is_anything_in_the_signed_or_unsigned_64_bit_range() {
    let server = TestServer::start();
    let mut client = server.connect();
    let integers = [
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "-9223372036854775808",
    ];
    for integer in integers {
        client.expect_ok(format!(r#"{{"action":"JOIN ROOM","room_id":{integer}}}"#));
        client.expect_ok(format!(r#"{{"action":"SEND MESSAGE","room_id":{integer},"text":"{integer}"}}"#));
        let message = client.recv_line();
        assert!(message.contains(&format!(r#""room_id":{integer},"#)), "{message}");
        assert!(message.contains(&format!(r#""text":"{integer}""#)), "{message}");
    }
    // They are all different rooms.
    for integer in integers {
        client.expect_ok(format!(r#"{{"action":"LEFT ROOM","room_id":{integer}}}"#));
    }
    client.nothing_more();
}

#[test]
fn any_other_room_id_that_is_no_string_is_an_error() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.join(1);
    client.join("1.0");
    let wrong = [
        "1.0",
        "1e0",
        "1E0",
        "10e-1",
        "-0.0",
        "0e0",
        "18446744073709551616",
        "-9223372036854775809",
        "1e999",
        "-1e-999",
        "123456789012345678901234567890123456789012345678901234567890",
        "null",
        "true",
        "false",
        "[]",
        "[1]",
        "{}",
        r#"{"room_id":1}"#,
    ];
    for room in wrong {
        client.expect_error(
            format!(r#"{{"action":"JOIN ROOM","room_id":{room}}}"#),
            "Invalid parameter: room_id",
        );
        client.expect_error(
            format!(r#"{{"action":"LEFT ROOM","room_id":{room}}}"#),
            "Invalid parameter: room_id",
        );
        let say = format!(r#"{{"action":"SEND MESSAGE","room_id":{room},"text":"x"}}"#);
        client.expect_error(say, "Invalid parameter: room_id");
    }
    client.nothing_more();
}

#[test]
fn minus_zero_is_zero_and_is_sent_as_zero() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.login("Alice");
    client.expect_ok(r#"{"action":"JOIN ROOM","room_id":-0}"#);
    client.join(0);
    client.expect_ok(r#"{"action":"SEND MESSAGE","room_id":-0,"text":"x"}"#);
    assert_eq!(client.recv_line(), r#"{"action":"GET MESSAGE","room_id":0,"author":"Alice","text":"x"}"#);
    client.leave(0);
    client.expect_error(r#"{"action":"LEFT ROOM","room_id":-0}"#, "Room not found");
}

#[test]
fn room_strings_are_compared_after_unescaping() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    let spellings = [
        ("café", r#""caf\u00e9""#),
        ("café", r#""\u0063\u0061\u0066\u00E9""#),
        ("a/b", r#""a\/b""#),
        ("🦀", r#""\ud83E\uDD80""#),
        ("\u{8}\u{c}\n\r\t\"\\", r#""\b\f\n\r\t\u0022\u005c""#),
        ("\u{7f}\u{0}", "\"\u{7f}\\u0000\""),
        ("\u{9b}31m\u{2028}", r#""\u009B31m\u2028""#),
        ("", r#""""#),
    ];
    for (room, spelled) in spellings {
        alice.join(room);
        bob.expect_ok(format!(r#"{{"action":"SEND MESSAGE","room_id":{spelled},"text":"x"}}"#));
        alice.expect_message(room, "Bob", "x");
        alice.expect_ok(format!(r#"{{"action":"LEFT ROOM","room_id":{spelled}}}"#));
        bob.expect_error(left(room), "Room not found");
    }
    // Not normalised beyond that.
    alice.join("caf\u{e9}");
    bob.expect_error(left("cafe\u{301}"), "Room not found");
    bob.expect_error(left("Caf\u{e9}"), "Room not found");
    bob.expect_error(left("caf\u{e9} "), "Room not found");
}

#[test]
fn joining_again_is_ok_and_no_message_arrives_twice() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    for room in [r#""room""#, r#""r\u006fom""#, r#""room""#] {
        alice.expect_ok(format!(r#"{{"action":"JOIN ROOM","room_id":{room}}}"#));
    }
    bob.say("room", "once");
    alice.expect_message("room", "Bob", "once");
    alice.nothing_more();
    // One LEFT ROOM is enough.
    alice.leave("room");
    bob.expect_error(say("room", "x"), "Room not found");
}

#[test]
fn leaving_a_room_not_joined_is_an_error() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.expect_error(left("room"), "Room not found");
    bob.join("room");
    alice.expect_error(left("room"), "Not in this room");
    alice.join("room");
    alice.leave("room");
    alice.expect_error(left("room"), "Not in this room");
    // And changes nothing for those who are in it.
    alice.say("room", "x");
    bob.expect_message("room", "Alice", "x");
}

#[test]
fn sending_needs_an_existing_room_not_membership() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.expect_error(say("room", "x"), "Room not found");
    bob.join("room");
    alice.say("room", "from outside");
    bob.expect_message("room", "Alice", "from outside");
    alice.nothing_more();
}

#[test]
fn with_members_only_sending_without_having_joined_is_an_error() {
    let server = TestServer::with(|options| options.members_only = true);
    let [mut alice, mut bob] = two_clients(&server);
    alice.expect_error(say("room", "x"), "Room not found");
    bob.join("room");
    alice.expect_error(say("room", "x"), "Not in this room");
    alice.join("room");
    alice.say("room", "inside");
    alice.expect_message("room", "Alice", "inside");
    bob.expect_message("room", "Alice", "inside");
    alice.leave("room");
    alice.expect_error(say("room", "x"), "Not in this room");
    bob.nothing_more();
}

#[test]
fn the_sender_gets_its_own_message_like_everyone_else() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.join("room");
    bob.join("room");
    alice.say("room", "hello");
    let own = alice.recv_line();
    assert_eq!(own, bob.recv_line());
    alice.nothing_more();
    bob.nothing_more();
}

#[test]
fn a_text_may_be_empty_and_as_long_as_the_line_allows() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.join("room");
    let longest = "x".repeat((16 << 10) - say("room", "").len());
    for text in ["", " ", &longest] {
        bob.say("room", text);
        alice.expect_message("room", "Bob", text);
    }
    bob.expect_refused(say("room", &(longest + "x")), "Line too long");
}

// Disconnecting

/// However the client goes, it has left its rooms and its nickname is free.
fn a_client_is_gone_after(go: impl Fn(Client)) {
    let server = TestServer::start();
    let [alice, mut bob] = two_clients(&server);
    let mut alice = alice;
    for _ in 0..20 {
        alice.join("alone");
        alice.join("shared");
        bob.join("shared");
        go(alice);
        eventually("the nickname is free", || bob.ask(login("Alice")) == response(&login("Alice")));
        // The nickname was hers until she had left all rooms, so now there is nothing to wait for.
        bob.expect_error(say("alone", "x"), "Room not found");
        bob.expect_error(left("alone"), "Room not found");
        bob.say("shared", "still here");
        bob.expect_message("shared", "Alice", "still here");
        bob.leave("shared");
        bob.expect_error(say("shared", "x"), "Room not found");
        bob.login("Bob");
        alice = server.connect();
        alice.login("Alice");
        alice.expect_error(left("alone"), "Room not found");
    }
}

#[test]
fn a_client_that_closes_has_left_its_rooms_and_its_nickname_is_free() {
    a_client_is_gone_after(drop);
}

#[test]
fn a_client_that_resets_has_left_its_rooms_and_its_nickname_is_free() {
    a_client_is_gone_after(Client::reset);
}

#[test]
fn a_client_that_goes_with_half_a_line_and_unread_replies_has_left_too() {
    a_client_is_gone_after(|mut client| {
        client.send(format!("{}\n", join("more")).repeat(50) + "{\"action\":");
    });
}

/// Asks for much, and reads nothing, until the server reads no further.
fn get_stuck(client: &mut Client) {
    let all = format!("{}\n", join("x".repeat(10_000))).repeat(5_000);
    assert!(client.send_until_stuck(all.as_bytes()) < all.len());
}

#[test]
fn a_client_that_resets_while_it_is_not_read_from_has_left_too() {
    let server = TestServer::start();
    for narrow in [Client::connect, Client::connect_narrow] {
        let [mut stuck, mut other] = [narrow(&server.addresses()[0]), server.connect()];
        stuck.login("Alice");
        stuck.join("room");
        get_stuck(&mut stuck);
        other.expect_error(login("Alice"), "Nickname already in use");
        stuck.reset();
        eventually("the nickname is free", || other.ask(login("Alice")) == response(&login("Alice")));
        other.expect_error(left("room"), "Room not found");
    }
}

#[test]
fn a_client_that_closes_without_having_read_its_replies_has_left_too() {
    let server = TestServer::start();
    let [mut stuck, mut other] = [(); 2].map(|()| server.connect());
    stuck.login("Alice");
    stuck.join("room");
    get_stuck(&mut stuck);
    drop(stuck);
    eventually("the nickname is free", || other.ask(login("Alice")) == response(&login("Alice")));
    other.expect_error(left("room"), "Room not found");
}

#[test]
fn a_client_that_ends_its_stream_has_left_by_the_time_the_server_closes() {
    let server = TestServer::start();
    let [mut alice, mut bob] = two_clients(&server);
    alice.join("room");
    alice.finish_sending();
    alice.expect_end();
    bob.expect_error(say("room", "x"), "Room not found");
    bob.login("Alice");
}

#[test]
fn a_guest_that_goes_frees_its_nickname_too() {
    let server = TestServer::start();
    let mut guest = server.connect();
    let nickname = guest.nickname();
    let mut other = server.connect();
    drop(guest);
    eventually("the nickname is free", || other.ask(login(&nickname)) == response(&login(&nickname)));
    assert_eq!(other.nickname(), nickname);
}
