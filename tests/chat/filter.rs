//! The client in pipes, against a real server.

use std::io::{Read, Write, pipe};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Client, Directory, Parlor, unix};
use crate::running::{Running, command, run, wait};

/// Somebody in the room.
fn member(address: &str, room: &str) -> Client {
    let mut client = Client::connect(address);
    assert_eq!(client.ask(&json!({"action": "JOIN ROOM", "room_id": room}).to_string()), "OK");
    client
}

fn say(client: &mut Client, room: &str, text: &str) {
    client.send(&json!({"action": "SEND MESSAGE", "room_id": room, "text": text}).to_string());
}

/// The next message: its author and text.
fn heard(client: &mut Client) -> (String, String) {
    let line: Value = serde_json::from_str(&client.line().unwrap()).unwrap();
    assert_eq!(line["action"], "GET MESSAGE", "{line}");
    (line["author"].as_str().unwrap().into(), line["text"].as_str().unwrap().into())
}

fn pair(author: &str, text: &str) -> (String, String) {
    (author.into(), text.into())
}

const GREETING: &str = "are you there?";

/// Starts a client, and returns when it has joined its room.
fn start_and_join(address: &str, arguments: &[&str], room: &str) -> (Running, Client) {
    let mut other = member(address, room);
    let mut running = Running::start(address, arguments);
    // Who is in the room hears what is said there; so the client is told until it has heard something.
    while running.line_within(Duration::from_millis(20)).is_none() {
        say(&mut other, room, GREETING);
        other.line();
        other.line();
    }
    (running, other)
}

/// The first line that the client prints beside what made sure that it listens.
fn line_after_greetings(running: &mut Running) -> String {
    loop {
        let line = running.line();
        if !line.contains(GREETING) {
            return line;
        }
    }
}

#[test]
fn a_text_is_sent_to_each_room() {
    let (_server, address) = Parlor::serve(&[]);
    let (mut ops, mut dev) = (member(&address, "ops"), member(&address, "dev"));
    let ended = run(&address, &["--send", "backup done", "--send=next", "ops", "dev"], "not read");
    assert_eq!((ended.code, ended.output, ended.errors), (Some(0), vec![], vec![]));
    for room in [&mut ops, &mut dev] {
        assert_eq!(heard(room), pair("tester", "backup done"));
        assert_eq!(heard(room), pair("tester", "next"));
    }
}

#[test]
fn a_room_with_nobody_in_it_refuses_a_text() {
    let (_server, address) = Parlor::serve(&[]);
    let mut ops = member(&address, "ops");
    let ended = run(&address, &["--send", "hi", "nobody", "ops"], "");
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors, ["parlor-chat: nobody: Room not found"]);
    assert_eq!(heard(&mut ops).1, "hi", "the other room gets it");
}

#[test]
fn replies_can_be_had_as_json() {
    let (_server, address) = Parlor::serve(&[]);
    let _ops = member(&address, "ops");
    let ended = run(&address, &["--json", "--send", "hi", "ops"], "");
    let replies: Vec<Value> = ended.output.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), 2, "{replies:?}");
    assert!(replies.iter().all(|reply| reply["action"] == "RESPONSE"));
    assert_eq!(replies[1]["request"]["text"], "hi");
}

#[test]
fn lines_go_out_and_messages_come_in() {
    let (_server, address) = Parlor::serve(&[]);
    let mut ops = member(&address, "ops");
    let input = b"one\ntwo \xff\r\n\nlast without end";
    let ended = run(&address, &["-n", "bob", "ops", "dev"], input);
    let texts = ["one", "two \u{fffd}", "", "last without end"];
    assert_eq!((ended.code, ended.errors), (Some(0), vec![]));
    assert_eq!(ended.output, texts.map(|text| format!("[ops] bob: {text}")));
    texts.iter().for_each(|text| assert_eq!(heard(&mut ops), pair("bob", text)));
}

#[test]
fn no_input_is_no_message() {
    let (_server, address) = Parlor::serve(&[]);
    let ended = run(&address, &["ops"], "");
    assert_eq!((ended.code, ended.output, ended.errors), (Some(0), vec![], vec![]));
}

#[test]
fn a_file_is_sent_like_a_pipe() {
    let (_server, address) = Parlor::serve(&[]);
    let directory = Directory::new();
    let (input, output) = (directory.file("input"), directory.file("output"));
    std::fs::write(&input, "a\nb\n").unwrap();
    let mut command = command(&address, &["ops"]);
    command.stdin(std::fs::File::open(&input).unwrap()).stdout(std::fs::File::create(&output).unwrap());
    assert_eq!(wait(&mut command.spawn().unwrap()).code(), Some(0));
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "[ops] tester: a\n[ops] tester: b\n");
}

#[test]
fn what_is_heard_is_printed_at_once_and_escaped() {
    let (_server, address) = Parlor::serve(&[]);
    let (mut listener, mut other) = start_and_join(&address, &["--listen", "ops"], "ops");
    assert_eq!(other.ask(r#"{"action":"LOGIN NICK","nickname":"eve"}"#), "OK");
    say(&mut other, "ops", "a\u{1b}[31m\u{202e}\u{200b}\nb\u{7f} 漢");
    assert_eq!(
        line_after_greetings(&mut listener),
        "[ops] eve: a\\u{1b}[31m\\u{202e}\\u{200b}\\nb\\u{7f} 漢"
    );
    listener.signal("INT");
    let ended = listener.ended();
    assert_eq!((ended.code, ended.errors), (Some(0), vec![]));
}

#[test]
fn messages_can_be_had_as_json() {
    let (_server, address) = Parlor::serve(&[]);
    let (mut listener, mut other) = start_and_join(&address, &["--listen", "--json", "7", "\"7\""], "7");
    say(&mut other, "7", "\u{202e}\u{1b}");
    let expected = loop {
        let line = other.line().unwrap();
        if line.contains("GET MESSAGE") {
            break line;
        }
    };
    assert_eq!(line_after_greetings(&mut listener), expected, "as the server sent it");
    listener.signal("TERM");
    assert_eq!(listener.ended().code, Some(0));
}

#[test]
fn a_line_that_is_refused_is_told_by_its_number_and_the_next_ones_are_sent() {
    let (_server, address) = Parlor::serve(&["--max-line", "1000"]);
    let mut ops = member(&address, "ops");
    let input = format!("short\n{}\n\nagain\n", "x".repeat(2000));
    let ended = run(&address, &["ops"], input);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors, ["parlor-chat: line 2: Line too long"]);
    ["short", "", "again"].iter().for_each(|text| assert_eq!(heard(&mut ops).1, *text));
}

#[test]
fn a_line_that_is_too_long_for_any_server_takes_no_memory() {
    let (_server, address) = Parlor::serve(&[]);
    let mut running = Running::start(&address, &["ops"]);
    running.write("before\n");
    (0..40).for_each(|_| running.write(vec![b'x'; 1 << 20]));
    running.write("\nafter\n");
    assert_eq!(running.line(), "[ops] tester: before");
    assert_eq!(running.error(), "parlor-chat: line 2: longer than 16 MiB");
    assert_eq!(running.line(), "[ops] tester: after");
    assert_eq!(running.ended().code, Some(1));
}

#[test]
fn a_fast_pipe_waits_for_a_slow_server() {
    let (_server, address) = Parlor::serve(&["--rate", "2000"]);
    let input: String = (0..8000).map(|number| format!("{number}\n")).collect();
    let ended = run(&address, &["ops"], input);
    assert_eq!((ended.code, ended.errors), (Some(0), vec![]));
    assert_eq!(ended.output.len(), 8000);
    for (number, line) in ended.output.iter().enumerate() {
        assert_eq!(*line, format!("[ops] tester: {number}"));
    }
}

#[test]
fn a_room_that_cannot_be_joined_is_the_end() {
    let (_server, address) = Parlor::serve(&["--max-rooms", "1"]);
    let ended = run(&address, &["ops", "dev"], "hi\n");
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors, ["parlor-chat: cannot join dev: Too many rooms"]);
}

#[test]
fn a_nickname_that_was_asked_for_must_be_had() {
    let (_server, address) = Parlor::serve(&[]);
    let mut ops = member(&address, "ops");
    assert_eq!(ops.ask(r#"{"action":"LOGIN NICK","nickname":"tester"}"#), "OK");
    for arguments in [&["-n", "tester", "ops"][..], &["-n", "tester", "--send", "hi", "ops"]] {
        let ended = run(&address, arguments, "hi\n");
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert_eq!(ended.errors, [r#"parlor-chat: nickname "tester": Nickname already in use"#]);
    }
    say(&mut ops, "ops", "first");
    assert_eq!(ops.message(), "OK");
    assert_eq!(heard(&mut ops).1, "first", "nothing was sent");
}

#[test]
fn the_users_name_need_not_be_had() {
    let (_server, address) = Parlor::serve(&[]);
    let mut ops = member(&address, "ops");
    assert_eq!(ops.ask(r#"{"action":"LOGIN NICK","nickname":"tester"}"#), "OK");
    let send = |change: &dyn Fn(&mut Command)| {
        let mut command = command(&address, &["--send", "hi", "ops"]);
        change(&mut command);
        let ended = Running::spawn(&mut command).ended();
        assert_eq!((ended.code, ended.errors.len()), (Some(0), 1), "{:?}", ended.errors);
        ended.errors[0].clone()
    };
    assert!(send(&|_| ()).contains("Nickname already in use"));
    assert!(send(&|command| _ = command.env_remove("USER")).contains("USER is not set"));
    assert!(send(&|command| _ = command.env("USER", "\u{1b}")).contains("Invalid nickname"));
    (0..3).for_each(|_| assert!(heard(&mut ops).0.starts_with("guest-")));
}

#[test]
fn a_lost_connection_is_told_with_its_reason() {
    let (server, address) = Parlor::serve(&[]);
    let (listener, _other) = start_and_join(&address, &["--listen", "ops"], "ops");
    assert_eq!(server.stop().code, Some(0));
    let ended = listener.ended();
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors, [format!("parlor-chat: connection to {address} lost: Server shutting down")]);
}

#[test]
fn a_server_that_is_full_says_so() {
    let (_server, address) = Parlor::serve(&["--max-clients", "1"]);
    let _ops = member(&address, "ops");
    let ended = run(&address, &["--send", "hi", "ops"], "");
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors[0].contains("Too many clients"), "{:?}", ended.errors);
    assert_eq!(ended.errors.len(), 1);
}

#[test]
fn a_reader_that_has_enough_ends_it() {
    let (_server, address) = Parlor::serve(&[]);
    let mut other = member(&address, "ops");
    let (mut reader, writer) = pipe().unwrap();
    let mut command = command(&address, &["--listen", "ops"]);
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    // The command keeps an end of the pipe for another child.
    drop(command);
    let first = thread::spawn(move || reader.read_exact(&mut [0; 6]).map(|()| drop(reader)));
    while !first.is_finished() {
        say(&mut other, "ops", "hi");
        other.line();
        other.line();
        thread::sleep(Duration::from_millis(5));
    }
    first.join().unwrap().unwrap();
    // Nothing more is said: that nobody reads is noticed all the same.
    assert_eq!(wait(&mut child).code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
}

#[test]
fn a_text_is_sent_though_nobody_reads_the_replies() {
    let (_server, address) = Parlor::serve(&[]);
    let mut ops = member(&address, "ops");
    for arguments in [&["--send", "hi", "ops"][..], &["--json", "--send", "hi", "ops"]] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = command(&address, arguments);
        let child = command.stdin(Stdio::null()).stdout(writer).spawn();
        assert_eq!(wait(&mut child.unwrap()).code(), Some(0), "{arguments:?}");
        assert_eq!(heard(&mut ops).1, "hi");
    }
}

#[test]
fn lines_that_are_not_sent_because_nobody_reads_are_told() {
    // Slow enough for most of the lines to wait when the first one has come back.
    let (_server, address) = Parlor::serve(&["--rate", "1"]);
    let mut running = Running::start(&address, &["ops"]);
    running.write("line\n".repeat(50));
    assert_eq!(running.line(), "[ops] tester: line");
    running.stop_reading();
    let ended = running.ended();
    assert_eq!((ended.code, ended.errors.len()), (Some(1), 1), "{:?}", ended.errors);
    assert!(ended.errors[0].contains("not confirmed from line"), "{:?}", ended.errors);
}

#[test]
fn a_signal_ends_it_though_nobody_reads() {
    let (_server, address) = Parlor::serve(&["--max-pending", "1G", "--max-memory", "1G"]);
    let (reader, writer) = pipe().unwrap();
    let mut command = command(&address, &["ops"]);
    command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut ops = member(&address, "ops");
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"begin\n").unwrap();
    assert_eq!(heard(&mut ops).1, "begin");
    // Much more than a pipe holds.
    let text = "x".repeat(10_000);
    for _ in 0..100 {
        say(&mut ops, "ops", &text);
        assert_eq!(ops.message(), "OK");
        assert_eq!(heard(&mut ops).1, text);
    }
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(wait(&mut child).code(), Some(0));
    drop(reader);
}

// Elsewhere nothing tells what is ignored.
#[cfg(target_os = "linux")]
#[test]
fn what_was_ignored_stays_ignored() {
    let (_server, address) = Parlor::serve(&[]);
    let mut ops = member(&address, "ops");
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' INT; exec "$0" "$@""#, env!("CARGO_BIN_EXE_parlor-chat")]);
    command.args(["-s", &address, "ops"]).env("USER", "tester");
    let mut running = Running::spawn(&mut command);
    running.write("begin\n");
    assert_eq!(heard(&mut ops).1, "begin");
    running.signal("INT");
    running.write("still here\n");
    assert_eq!(heard(&mut ops).1, "still here");
    assert_eq!(running.ended().code, Some(0));
}

#[test]
fn a_unix_socket_will_do() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let mut server = Parlor::start(&["--listen", &address]);
    assert_eq!(server.address(), address);
    let ended = run(&address, &["ops"], "hi\n");
    assert_eq!((ended.code, ended.output), (Some(0), vec!["[ops] tester: hi".to_string()]));
}
