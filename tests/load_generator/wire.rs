//! What each protocol looks like on the wire.

use std::collections::HashSet;

use crate::dialects::{Dialect, Frame};
use crate::dialects::{floor::Floor, irc::Irc, mqtt::Mqtt, nats::Nats, parlor::Parlor, redis::Redis};
use crate::ledger::Ledger;
use crate::message::{Message, Texts};
use crate::names::Names;

/// Some names that are the same in each run.
fn names() -> Names {
    Names::new(17, 0)
}

/// What a server of each kind says when the first message of client 3 comes to a member of room 5.
fn samples() -> Vec<(Box<dyn Dialect>, Vec<u8>)> {
    let text = Texts::new(20).write(FIRST).to_vec();
    let text = String::from_utf8(text).unwrap();
    let (room, author) = (names().room(5), names().client(3));
    let json = format!(
        "{{\"action\":\"GET MESSAGE\",\"room_id\":\"{room}\",\"author\":\"{author}\",\"text\":\"{text}\"}}\n"
    );
    let length = room.length();
    vec![
        (Box::new(Parlor), json.into_bytes()),
        (Box::new(Floor { as_long_as_parlor: true }), format!("S00000005{text}....\n").into_bytes()),
        (
            Box::new(Redis),
            format!(">3\r\n$7\r\nmessage\r\n${length}\r\n{room}\r\n$20\r\n{text}\r\n").into_bytes(),
        ),
        (Box::new(Nats), format!("MSG {room} 5 20\r\n{text}\r\n").into_bytes()),
        (
            Box::new(Mqtt),
            format!("\x30{}\0{}{room}{text}", (22 + length) as u8 as char, length as u8 as char).into_bytes(),
        ),
        (Box::new(Irc), format!(":{author}!~u@host PRIVMSG #{room} :{text}\r\n").into_bytes()),
    ]
}

const FIRST: Message = Message { sender: 3, number: 0 };

#[test]
fn every_dialect_waits_for_the_whole_frame_and_takes_it_apart() {
    for (dialect, bytes) in samples() {
        for end in 0..bytes.len() {
            let parsed = dialect.parse(&bytes[..end]);
            assert_eq!(parsed, Ok(None), "after {end} bytes of {:?}", String::from_utf8_lossy(&bytes));
        }
        let (length, frame) = dialect.parse(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let Frame::Delivery { room, author, text } = frame else { panic!("no delivery: {frame:?}") };
        assert_eq!(room, dialect.room_name(names().room(5)));
        assert!(author.is_none_or(|author| author == dialect.author_name(names().client(3))));
        assert_eq!(Texts::new(20).read(text), Some(FIRST));
    }
}

/// Whether these bytes pass for the delivery of the first message of client 3 to client 1.
fn passes(dialect: &dyn Dialect, bytes: &[u8]) -> bool {
    let mut books = Ledger::new(dialect, names(), 20);
    (0..4).for_each(|client| books.enter(5, client != 3));
    books.send(3, 0);
    match dialect.parse(bytes) {
        Ok(Some((_, frame @ Frame::Delivery { .. }))) => books.delivered(dialect, 1, &frame, bytes).is_ok(),
        _ => false,
    }
}

#[test]
fn every_dialect_notices_any_wrong_byte() {
    for (dialect, bytes) in samples() {
        assert!(passes(&*dialect, &bytes), "{:?}", String::from_utf8_lossy(&bytes));
        for place in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[place] ^= 1;
            // Which user and host IRC names behind the nickname, the generator cannot know.
            let unknown = bytes.starts_with(b":u") && (11..18).contains(&place);
            assert!(
                unknown || !passes(&*dialect, &wrong),
                "byte {place}: {:?}",
                String::from_utf8_lossy(&wrong)
            );
        }
    }
}

#[test]
fn the_floor_writes_lines_as_long_as_parlors() {
    let floor = Floor { as_long_as_parlor: true };
    let text = Texts::new(64).write(Message { sender: 1, number: 2 }).to_vec();
    let length = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = b"before".to_vec();
        write(&mut out);
        assert!(out.starts_with(b"before") && floor.parse(&out[6..]).unwrap().is_some());
        out.len() - "before".len()
    };
    for (client, room) in [(0, 0), (9, 10), (10, 9), (99, 100), (100, 99), (12_345, 1_000_000)] {
        let (client, room) = (names().client(client), names().room(room));
        let response = |request: &dyn Fn(&mut Vec<u8>)| {
            let mut echo = Vec::new();
            request(&mut echo);
            let echo = String::from_utf8(echo).unwrap();
            let echo = echo.trim_end();
            format!("{{\"action\":\"RESPONSE\",\"request\":{echo},\"message\":\"OK\"}}\n").len()
        };
        let said = String::from_utf8_lossy(&text);
        let message = format!(
            "{{\"action\":\"GET MESSAGE\",\"room_id\":\"{room}\",\"author\":\"{client}\",\"text\":\"{said}\"}}\n"
        );
        assert_eq!(length(&|out| floor.send(client, room, &text, out)), message.len());
        assert_eq!(length(&|out| floor.login(client, out)), response(&|out| Parlor.login(client, out)));
        assert_eq!(length(&|out| floor.join(room, out)), response(&|out| Parlor.join(room, out)));
        assert_eq!(length(&|out| floor.leave(room, out)), response(&|out| Parlor.leave(room, out)));
        let both = response(&|out| Parlor.send(client, room, &text, out)) + message.len();
        assert_eq!(length(&|out| floor.request(client, room, &text, out)), both);
    }
}

#[test]
fn a_known_last_line_is_never_garbled() {
    let line =
        |message: &str| format!("{{\"action\":\"ERROR\",\"request\":null,\"message\":\"{message}\"}}\n");
    let known = [
        "Too many clients",
        "Too slow",
        "Out of memory",
        "Idle too long",
        "Server shutting down",
        "Wrong protocol",
        "Cluster link lost",
    ];
    for words in known {
        for said in [words.to_owned(), format!("{words}: and a detail, with \\\"quotes\\\"")] {
            let line = line(&said);
            let why = said.as_bytes();
            let frame = if words == "Too many clients" { Frame::Full(why) } else { Frame::Farewell(why) };
            assert_eq!(Parlor.parse(line.as_bytes()), Ok(Some((line.len(), frame))));
        }
    }
    for words in
        ["Invalid JSON", "Invalid JSON: expected a value", "Line too long", "Too slowly", "Too slow, sorry"]
    {
        assert!(Parlor.parse(line(words).as_bytes()).is_err(), "{words}");
    }
    let kind = |dialect: &dyn Dialect, said: &[u8]| match dialect.parse(said) {
        Ok(Some((length, Frame::Full(_)))) if length == said.len() => "full",
        Ok(Some((length, Frame::Farewell(_)))) if length == said.len() => "farewell",
        Ok(_) => "something else",
        Err(_) => "garbled",
    };
    assert_eq!(kind(&Nats, b"-ERR 'Slow Consumer'\r\n"), "farewell");
    assert_eq!(kind(&Nats, b"-ERR 'maximum connections exceeded'\r\n"), "full");
    assert_eq!(kind(&Nats, b"-ERR 'Unknown Protocol Operation'\r\n"), "garbled");
    assert_eq!(kind(&Redis, b"-ERR max number of clients reached\r\n"), "full");
    assert_eq!(kind(&Redis, b"-ERR unknown command\r\n"), "garbled");
    assert_eq!(kind(&Irc, b"ERROR :Too many connections from your IP address!\r\n"), "full");
    assert_eq!(kind(&Irc, b"ERROR :Ping timeout\r\n"), "farewell");
    assert_eq!(kind(&Mqtt, &[0x20, 2, 0, 3]), "full");
}

#[test]
fn no_two_swarms_share_a_name() {
    let all: HashSet<Vec<u8>> =
        (0..2000).flat_map(|swarm| [1, 11, 111].map(|n| Names::new(77, swarm).client(n).bytes())).collect();
    assert_eq!(all.len(), 6000);
    assert_ne!(Names::unique(), Names::unique());
    assert_ne!(Names::new(1, 0).client(1), Names::new(2, 0).client(1));
}

#[test]
fn a_name_is_as_long_as_it_says() {
    for (swarm, number) in [(0, 0), (35, 9), (36, 10), (1295, 9_999_999), (u32::MAX, u32::MAX)] {
        let name = Names::new(u64::MAX, swarm).client(number);
        assert_eq!(name.length(), name.bytes().len());
        assert!(name.to_string().ends_with(&format!("-{number}")) && name.length() <= 24, "{name}");
    }
    assert!(Names::new(u64::MAX, 1295).client(9_999_999).length() <= 16);
}
