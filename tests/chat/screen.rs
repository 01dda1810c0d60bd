//! The full screen, as a user sees it.

use serde_json::json;

use crate::process::{Client, Directory, Parlor, unix};
use crate::terminal::Terminal;

const USUAL: (u16, u16) = (80, 24);

/// Somebody else in a room.
struct Other(Client);

impl Other {
    fn join(address: &str, nickname: &str, room: &str) -> Other {
        let mut client = Client::connect(address);
        assert_eq!(client.ask(&json!({"action": "LOGIN NICK", "nickname": nickname}).to_string()), "OK");
        assert_eq!(client.ask(&json!({"action": "JOIN ROOM", "room_id": room}).to_string()), "OK");
        Other(client)
    }

    /// Says something in a room that it has joined.
    fn say(&mut self, room: &str, text: &str) {
        self.0.send(&json!({"action": "SEND MESSAGE", "room_id": room, "text": text}).to_string());
        self.hear(text);
    }

    /// Waits until it hears this text.
    fn hear(&mut self, text: &str) {
        loop {
            let line: serde_json::Value = serde_json::from_str(&self.0.line().unwrap()).unwrap();
            if line["action"] == "GET MESSAGE" && line["text"] == text {
                break;
            }
        }
    }
}

#[test]
fn messages_are_seen_with_author_and_time() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    let mut terminal = Terminal::start(&address, USUAL, &["ops"]);
    terminal.see("joined");
    terminal.see(&format!("tester · {address} · connected"));
    bob.say("ops", "hello 漢字 e\u{301}");
    terminal.see("bob: hello 漢字 e\u{301}");
    terminal.enter("hello bob");
    bob.hear("hello bob");
    terminal.see("tester: hello bob");
    let contents = terminal.contents();
    let line = contents.lines().find(|line| line.contains("tester: hello")).unwrap();
    let time = line.split_once('│').unwrap().1;
    assert!(time.as_bytes()[2] == b':' && time.as_bytes()[5] == b' ', "{line}");
}

#[test]
fn nothing_from_the_network_reaches_the_terminal_unescaped() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    let mut terminal = Terminal::start(&address, USUAL, &["ops"]);
    terminal.see("joined");
    bob.say("ops", "a\u{1b}[2J\u{9b}31m\u{202e}b\u{200b}\u{7}c");
    terminal.see("a\\u{1b}[2J\\u{9b}31m\\u{202e}b\\u{200b}\\u{7}c");
    bob.say("ops", "x\n00:00 tester: y");
    terminal.see("      00:00 tester: y");
}

#[test]
fn long_lines_are_wrapped() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    let mut terminal = Terminal::start(&address, (40, 12), &["ops"]);
    terminal.see("joined");
    bob.say("ops", "one two three four five six seven eight nine ten");
    terminal.see("bob: one two three four five six\n      seven eight nine ten\n");
}

#[test]
fn rooms_show_what_is_unread_and_who_is_called() {
    let (_server, address) = Parlor::serve(&[]);
    let mut ops = Other::join(&address, "bob", "ops");
    let mut dev = Other::join(&address, "carol", "dev");
    let mut terminal = Terminal::start(&address, USUAL, &["ops", "dev"]);
    terminal.see("2 dev");
    terminal.see("joined");
    terminal.press("\x1b2");
    terminal.wait("the second room is shown, and joined", |screen| {
        screen.cell(2, 0).unwrap().inverse() && screen.contents().contains("joined")
    });
    terminal.press("\x1b1");
    dev.say("dev", "one");
    dev.say("dev", "a contester is not called");
    terminal.see("2 dev          2│");
    dev.say("dev", "Tester, look");
    terminal.see("2 dev         3!│");
    terminal.press("\x0e");
    terminal.see("carol: Tester, look");
    terminal.see("2 dev           │");
    ops.say("ops", "hi");
    terminal.see("1 ops          1│");
    terminal.press("\x10");
    terminal.see("bob: hi");
}

#[test]
fn it_works_at_any_size() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    let mut terminal = Terminal::start(&address, (20, 10), &["ops", "a room with a long name"]);
    terminal.see("1 ops");
    terminal.see("connected tester");
    bob.say("ops", "a text for a narrow screen");
    terminal.see("bob: a text for a\n  narrow screen");
    for size in [(1, 1), (2, 1), (1, 2), (3, 3), (7, 4), (200, 50), (1, 50), (300, 1), (20, 10)] {
        terminal.resize(size);
        bob.say("ops", "漢字 and more");
        terminal.press("x\x1b[5~");
    }
    terminal.press("\x15\x1b");
    bob.say("ops", "still here");
    terminal.see("bob: still here");
    terminal.resize((200, 50));
    terminal.see(&format!("tester · {address} · connected"));
    terminal.see("bob: a text for a narrow screen\n");
}

#[test]
fn one_can_scroll_back_while_others_talk() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    let mut terminal = Terminal::start(&address, USUAL, &["ops"]);
    terminal.see("joined");
    (0..60).for_each(|number| bob.say("ops", &format!("number {number} of many")));
    terminal.see("number 59 of many");
    terminal.press("\x1b[5~");
    terminal.see("number 20 of many");
    terminal.see_no_more("number 59 of many");
    bob.say("ops", "one more");
    terminal.see("↓ 22 more");
    assert!(terminal.contents().contains("number 20 of many"));
    // The wheel, three rows forth.
    terminal.press("\x1b[<65;1;1M");
    terminal.see("↓ 19 more");
    terminal.press("\x1b");
    terminal.see("one more");
}

#[test]
fn the_line_can_be_edited_recalled_and_completed() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "Bob Smith", "ops");
    let mut terminal = Terminal::start(&address, USUAL, &["ops"]);
    terminal.see("joined");
    bob.say("ops", "hi");
    terminal.see("Bob Smith: hi");
    terminal.press("bo\tthere\x01say: \x05!");
    terminal.see("> say: Bob Smith: there!");
    terminal.press("\r");
    bob.hear("say: Bob Smith: there!");
    terminal.press("\x1b[A\x17\x17x\x1bbmy ");
    terminal.see("> say: Bob my x");
    terminal.press("\x15\x0b/jo\tdev\r");
    terminal.see("2 dev");
    terminal.press("/leave o\t");
    terminal.see("> /leave ops");
    terminal.press("\r");
    terminal.see_no_more("ops");
    terminal.enter("/nick tester2");
    terminal.see("tester2 · ");
    terminal.enter("/frobnicate");
    terminal.see("there is no /frobnicate");
    terminal.press("\x15");
    terminal.enter("/msg ops far away");
    bob.hear("far away");
    terminal.see("sent to ops: far away");
    terminal.enter("/help");
    terminal.see("/msg ROOM TEXT     says something in a room");
    terminal.press("\x1b");
    terminal.see_no_more("/msg ROOM TEXT");
}

#[test]
fn several_lines_can_be_pasted_and_many_only_after_a_question() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    let mut terminal = Terminal::start(&address, USUAL, &["ops"]);
    terminal.see("joined");
    terminal.press("see: \x1b[200~one\r\n/quit\nthree\x1b[201~");
    ["see: one", "/quit", "three"].iter().for_each(|text| bob.hear(text));
    terminal.press("\x1b[200~1\n2\n3\n4\n5\n6\n\x1b[201~");
    terminal.see("send 6 lines to ops? y/n");
    terminal.press("n");
    terminal.see("the pasted lines were not sent");
    terminal.press("\x1b[200~1\n2\n3\n4\n5\n6\n\x1b[201~y");
    ["1", "2", "6"].iter().for_each(|text| bob.hear(text));
    terminal.press("\x1b[200~a single \tline\n\x1b[201~");
    terminal.see("> a single  line");
}

#[test]
fn a_lost_connection_comes_back_and_the_gap_is_marked() {
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let mut server = Parlor::start(&["--listen", &address]);
    server.address();
    let mut terminal = Terminal::start(&address, USUAL, &["ops", "dev"]);
    terminal.see("joined");
    terminal.press("half a line");
    server.stop();
    terminal.see("connection lost: Server shutting down");
    terminal.see("next try in");
    terminal.press("\r");
    terminal.see("not connected; the line is kept");
    let mut server = Parlor::start(&["--listen", &address]);
    server.address();
    // Somebody is quicker; if not, this client has its name again and the other one none.
    let mut thief = Client::connect(&address);
    let stolen = thief.ask(r#"{"action":"LOGIN NICK","nickname":"tester"}"#) == "OK";
    terminal.see("joined again; messages may be missing here");
    if stolen {
        terminal.see("guest (tester is in use)");
        drop(thief);
        terminal.wait("the name is had again", |screen| screen.contents().contains(" tester · unix:"));
    }
    assert!(terminal.contents().contains("> half a line"));
    terminal.press("\x1b2");
    terminal.see("joined again; messages may be missing here");
    let mut bob = Other::join(&address, "bob", "ops");
    terminal.press("\x1b1\r");
    bob.hear("half a line");
}

#[test]
fn the_users_name_need_not_be_had() {
    let (_server, address) = Parlor::serve(&[]);
    let _other = Other::join(&address, "tester", "ops");
    let mut terminal = Terminal::start(&address, USUAL, &["ops"]);
    terminal.see("Nickname already in use");
    terminal.enter("who am I?");
    terminal.see("guest-");
}

/// Whether the terminal is as a shell wants it.
fn assert_restored(terminal: &mut Terminal, status: i32) {
    terminal.see(&format!("status {status}\n"));
    terminal.see("\ndone");
    let contents = terminal.contents();
    let settings: Vec<&str> = contents.split_whitespace().collect();
    for setting in ["icanon", "echo", "isig", "opost"] {
        assert!(settings.contains(&setting), "{setting}: {contents}");
    }
    let screen = terminal.screen();
    assert!(!screen.alternate_screen() && !screen.bracketed_paste() && !screen.hide_cursor());
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
}

#[test]
fn the_terminal_is_restored_at_the_end() {
    let (_server, address) = Parlor::serve(&[]);
    for keys in ["\x03", "\x04", "/quit\r"] {
        let mut terminal = Terminal::start_in_shell(&address, &["ops"]);
        terminal.see("joined");
        assert!(terminal.screen().alternate_screen() && terminal.screen().bracketed_paste());
        terminal.press(keys);
        assert_restored(&mut terminal, 0);
    }
}

#[test]
fn the_terminal_is_restored_after_a_signal() {
    let (_server, address) = Parlor::serve(&[]);
    for signal in ["TERM", "INT", "HUP"] {
        let mut terminal = Terminal::start_in_shell(&address, &["ops"]);
        terminal.see("joined");
        // The shell's only child.
        let script = format!("kill -{signal} $(ps -o pid= --ppid {})", terminal.id());
        let killed = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(killed.success());
        assert_restored(&mut terminal, 0);
    }
}

#[test]
fn a_lost_terminal_ends_it() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    let mut terminal = Terminal::start(&address, USUAL, &["ops"]);
    terminal.see("joined");
    terminal.hang_up();
    // The thread that reads the terminal lets go of it after its next read.
    bob.say("ops", "hi");
    terminal.ended();
}

#[test]
fn a_server_that_is_not_there_leaves_the_terminal_alone() {
    let mut terminal = Terminal::start_in_shell("127.0.0.1:1", &["ops"]);
    terminal.see("parlor-chat: cannot connect to 127.0.0.1:1: Connection refused");
    assert_restored(&mut terminal, 1);
}

#[test]
fn there_are_no_colours_where_they_are_not_wanted() {
    let (_server, address) = Parlor::serve(&[]);
    let mut bob = Other::join(&address, "bob", "ops");
    for (no_color, wanted) in [("", true), ("1", false)] {
        let client = pty_process::blocking::Command::new(env!("CARGO_BIN_EXE_parlor-chat"));
        let client = client.args(["--server", &address, "-n", &format!("a{wanted}"), "ops"]);
        let mut terminal = Terminal::spawn(client.env("NO_COLOR", no_color), USUAL);
        terminal.see("joined");
        bob.say("ops", "hi");
        terminal.see("bob: hi");
        let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
        let screen = terminal.screen();
        let has_colours = cells
            .filter_map(|(row, column)| screen.cell(row, column))
            .any(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default);
        assert_eq!(has_colours, wanted, "NO_COLOR={no_color}");
    }
}
