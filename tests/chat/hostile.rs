//! A server that says anything at all. The client stays alive, and nothing that a terminal would obey comes through.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

use crate::random::Random;
use crate::running::Running;
use crate::terminal::Terminal;

/// Listens on a free port, and gives each connection to `talk` in turn.
fn serve(mut talk: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(&mut talk));
    address
}

/// Says OK to so many requests.
fn answer(stream: &TcpStream, count: usize) {
    let requests = BufReader::new(stream.try_clone().unwrap()).lines();
    for request in requests.take(count) {
        let request: Value = serde_json::from_str(&request.unwrap()).unwrap();
        let reply = json!({"action": "RESPONSE", "request": request, "message": "OK"});
        writeln!(&*stream, "{reply}").unwrap();
    }
}

const NASTY: &[&str] = &[
    "\u{1b}[2J",
    "\u{1b}]0;title\u{7}",
    "\u{1b}P",
    "\u{9b}31m",
    "\u{9d}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\r",
    "\n",
    "\t",
    "\u{8}",
    "\0",
    "\u{7f}",
    "\u{2028}",
    "\u{e0041}",
    "👩\u{200d}💻",
    "❤\u{fe0f}",
    "👍🏽",
    "🇩🇪",
    "漢字",
    "e\u{301}\u{301}\u{301}",
    "क्षि",
    "\u{1160}",
    "لا",
    "word ",
    " ",
    "x",
    "/quit",
    "tester",
];

fn text(random: &mut Random) -> String {
    let length = match random.below(30) {
        0 => 20_000,
        1..=3 => 300,
        _ => 8,
    };
    (0..random.below(length)).map(|_| random.one_of(NASTY)).collect()
}

/// One line of whatever may come.
fn line(random: &mut Random) -> Vec<u8> {
    let room = match random.below(4) {
        0 => Value::from(text(random)),
        1 => Value::from(random.number()),
        _ => Value::from("ops"),
    };
    let value = match random.below(12) {
        0 => json!({"action": text(random)}),
        1 => json!({"action": "RESPONSE", "request": text(random), "message": 7}),
        2 => json!({"action": "ERROR", "request": [[[]]], "message": text(random)}),
        3 => json!({"action": "ERROR", "request": null, "message": text(random)}),
        4 => json!({"action": "GET MESSAGE", "room_id": 1.5, "author": [], "text": text(random)}),
        5 => {
            let bytes = 1 + random.below(200);
            return (0..bytes).map(|_| random.number() as u8).collect();
        }
        6 => return "[".repeat(random.below(70_000)).into(),
        7 => return text(random).replace('\n', "").into(),
        _ => {
            json!({"action": "GET MESSAGE", "room_id": room, "author": text(random), "text": text(random)})
        }
    };
    value.to_string().into()
}

/// A server that answers the first two requests, then says so many lines, the last of them a message that one can
/// recognise.
fn hostile_server(seed: u64, count: usize) -> String {
    serve(move |mut stream| {
        answer(&stream, 2);
        let mut random = Random::from_seed(seed);
        for _ in 0..count {
            let mut line = line(&mut random);
            line.push(b'\n');
            // Whole or in two pieces.
            let cut = random.below(line.len());
            stream.write_all(&line[..cut]).unwrap();
            stream.write_all(&line[cut..]).unwrap();
        }
        let last = json!({"action": "GET MESSAGE", "room_id": "ops", "author": "zoe", "text": "the end"});
        writeln!(stream, "{last}").unwrap();
        // Reads until the client goes.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

#[test]
fn the_filter_survives_anything() {
    let mut random = Random::from_environment();
    for _ in 0..8 {
        let address = hostile_server(random.number(), 150);
        let mut running = Running::start(&address, &["--listen", "ops"]);
        loop {
            let line = running.line();
            assert!(
                !line.chars().any(|c| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}')),
                "{line:?}"
            );
            if line == "[ops] zoe: the end" {
                break;
            }
        }
        running.signal("TERM");
        let ended = running.ended();
        assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
        assert!(ended.errors.len() <= 1 && !ended.errors.concat().chars().any(char::is_control));
    }
}

#[test]
fn the_screen_survives_anything() {
    let mut random = Random::from_environment();
    for size in [(80, 24), (20, 10), (1, 1)] {
        for _ in 0..2 {
            let address = hostile_server(random.number(), 150);
            let mut terminal = Terminal::start(&address, size, &["ops"]);
            let mut sizes = [(40, 5), (3, 3), (120, 40), size].into_iter();
            for keys in ["\x1b[5~\x1b[5~", "\x0e\t\t", "hello \t\x1b[A", "\x10\x1b[6~"] {
                terminal.look_for(std::time::Duration::from_millis(20));
                terminal.press(keys);
                terminal.resize(sizes.next().unwrap());
            }
            terminal.press("\x1b");
            terminal.resize((80, 24));
            // Escape is known for what it is once nothing follows.
            terminal.look_for(std::time::Duration::from_millis(100));
            terminal.press("\x1b1\x1b");
            terminal.see("zoe: the end");
            assert!(terminal.is_running());
            assert!(!terminal.contents().chars().any(|c| matches!(c, '\u{202e}' | '\u{200b}' | '\u{feff}')));
            terminal.press("\x03");
            assert_eq!(terminal.ended(), Some(0));
        }
    }
}

#[test]
fn a_server_of_another_kind_is_recognised() {
    let address = serve(|mut stream| {
        writeln!(stream, "SSH-2.0-Server\r").unwrap();
        answer(&stream, 1);
    });
    let mut running = Running::start(&address, &["--send", "hi", "ops"]);
    assert_eq!(running.error(), "parlor-chat: this is no line of a parlor server: SSH-2.0-Server");
    assert_eq!(running.ended().code, Some(1));
}

#[test]
fn replies_that_do_not_come_are_told() {
    let address = serve(|stream| {
        answer(&stream, 4);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    });
    let mut running = Running::start(&address, &["ops"]);
    running.write("one\ntwo\nthree\nfour\n");
    let ended = running.ended();
    assert_eq!(ended.code, Some(1));
    let expected = format!(
        "parlor-chat: connection to {address} lost: the server has closed it; not confirmed from line 3 on"
    );
    assert_eq!(ended.errors, [expected]);
}
