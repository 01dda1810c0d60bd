//! What the README shows is what happens: its tables of options are `--help`, its conversation gives its lines, its
//! clients in Python and in Node converse.

#[path = "common/process.rs"]
#[allow(dead_code)]
mod process;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use process::{Directory, PATIENCE, Parlor};
use serde_json::json;

const README: &str = include_str!("../README.md");

/// The indented lines after the comment of this name, without the indentation.
fn block(name: &str) -> Vec<&'static str> {
    let marker = format!("<!-- {name} -->\n\n");
    let (_, rest) = README.split_once(marker.as_str()).expect("the README has it");
    let lines = rest.lines().map_while(|line| line.strip_prefix("    ").or(line.is_empty().then_some("")));
    let mut lines: Vec<_> = lines.collect();
    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
    lines
}

/// A table of options, made from the lines of help under one heading.
fn options_table(options: &str) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in options.lines() {
        match line.strip_prefix("          ") {
            Some(text) => {
                let (_, help) = rows.last_mut().expect("an option before its text");
                *help += if help.is_empty() { "" } else { " " };
                *help += text;
            }
            None => rows.push((line.trim().to_owned(), String::new())),
        }
    }
    let mut table = String::from("| option | what it does | default |\n| --- | --- | --- |\n");
    for (option, help) in rows {
        let option = option.replace(", ", "`, `");
        let (help, default) = match help.rsplit_once(" The default is ") {
            Some((help, default)) => (help.to_owned(), format!("`{}`", default.trim_end_matches('.'))),
            None => (help, String::new()),
        };
        table += &format!("| `{option}` | {help} | {default} |\n").replace("  |", " |");
    }
    table
}

#[test]
fn the_tables_of_options_are_the_help() {
    let usage = parlor::options::usage();
    let sections =
        usage.split("\n\n").filter_map(|section| section.strip_prefix("Options")?.split_once(":\n"));
    let mut found = 0;
    for (part, options) in sections {
        let table = options_table(options);
        assert!(README.contains(&table), "the README's table of options{part} should be:\n\n{table}");
        found += 1;
    }
    assert!(found >= 1, "the help has options");
}

#[test]
fn the_conversation_gives_the_lines_that_are_shown() {
    let (_parlor, address) = Parlor::serve(&[]);
    let mut terminals: Vec<(&str, BufReader<TcpStream>)> = Vec::new();
    let parts: Vec<(&str, &str)> = README
        .split("<!-- conversation: ")
        .skip(1)
        .map(|part| part.split_once(" -->\n\n").expect("the comment ends"))
        .collect();
    let mut lines = 0;
    for (terminal, text) in parts {
        for line in text.lines().map_while(|line| line.strip_prefix("    ")) {
            let at = terminals.iter().position(|(name, _)| *name == terminal);
            if line == "$ nc 127.0.0.1 7878" {
                terminals.push((terminal, connect(&address)));
                continue;
            }
            let (_, stream) = &mut terminals[at.expect("the terminal has been opened")];
            // What is typed has a space after its first colon; what the server says has none.
            if line.starts_with("{\"action\": ") {
                writeln!(stream.get_mut(), "{line}").unwrap();
            } else {
                assert_eq!(next_line(stream), line);
                lines += 1;
            }
        }
    }
    assert_eq!((terminals.len(), lines), (2, 10), "both log in, join, talk, and hear each other");
}

/// The tests run these, so that what is copied from here works.
#[test]
fn the_recipes_for_proxies_are_those_that_are_tested() {
    for recipe in [
        include_str!("tls/recipes/haproxy.cfg"),
        include_str!("tls/recipes/nginx.conf"),
        include_str!("tls/recipes/stunnel.conf"),
        include_str!("web/recipes/Caddyfile"),
        include_str!("web/recipes/haproxy.cfg"),
        include_str!("web/recipes/nginx.conf"),
        include_str!("web/recipes/nginx-stream.conf"),
    ] {
        let lines = recipe.trim_end().lines();
        let indented = lines.map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") });
        let indented: String = indented.collect();
        assert!(README.contains(&indented), "the README should have this:\n\n{indented}");
    }
}

#[test]
fn the_client_in_python_converses() {
    converses("client in Python", "python3", "chat.py");
}

#[test]
fn the_client_in_node_converses() {
    converses("client in Node", "node", "chat.mjs");
}

/// Tries a client: its file is called with a room and a nickname.
fn converses(name: &str, interpreter: &str, file: &str) {
    let lines = block(name);
    let long = lines.iter().filter(|line| !line.is_empty()).count();
    assert!(long <= 30, "thirty lines: {long}");
    let is_there = Command::new(interpreter).arg("--version").stdout(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "{interpreter} is demanded");
        eprintln!("left out: there is no {interpreter} here");
        return;
    }
    let (_parlor, address) = Parlor::serve(&[]);
    let (_, port) = address.rsplit_once(':').expect("a port");
    let directory = Directory::new();
    let program = directory.file(file);
    std::fs::write(&program, lines.join("\n").replace("7878", port)).unwrap();
    let start = |nickname| Client::start(Command::new(interpreter).arg(&program).args(["hall", nickname]));

    let mut alice = connect(&address);
    for request in [r#""LOGIN NICK","nickname":"Alice""#, r#""JOIN ROOM","room_id":"hall""#] {
        writeln!(alice.get_mut(), r#"{{"action":{request}}}"#).unwrap();
        assert!(next_line(&mut alice).contains("RESPONSE"));
    }

    // They talk and hear each other.
    let mut carol = start("Carol");
    carol.types("hello, é");
    let heard: serde_json::Value = serde_json::from_str(&next_line(&mut alice)).unwrap();
    let said = json!({"action": "GET MESSAGE", "room_id": "hall", "author": "Carol", "text": "hello, é"});
    assert_eq!(heard, said);
    assert_eq!(carol.prints(), "Carol: hello, é");
    for text in ["hi", "and \\\"welcome\\\""] {
        writeln!(alice.get_mut(), r#"{{"action":"SEND MESSAGE","room_id":"hall","text":"{text}"}}"#).unwrap();
    }
    assert_eq!(carol.prints(), "Alice: hi");
    assert_eq!(carol.prints(), "Alice: and \"welcome\"");

    // A nickname that is taken.
    let (code, errors) = start("Carol").ended();
    assert_eq!((code, errors.trim()), (Some(1), "(Nickname already in use)"));

    // Ctrl-C.
    if !interrupts_are_ignored() {
        let id = carol.child.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -INT $0", &id]).status().unwrap().success());
        let (_, errors) = carol.ended();
        assert_eq!(errors, "", "it ends without a word");
    }

    // The end of what is typed: all of it is said first.
    let mut dan = start("Dan");
    dan.types("good bye");
    dan.child.stdin = None;
    assert_eq!(dan.prints(), "Dan: good bye");
    assert_eq!(dan.ended(), (Some(0), String::new()));
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("it serves");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

/// The next line, without its end.
fn next_line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("the server says something");
    line.trim_end().to_owned()
}

/// Whether this process was told to ignore Ctrl-C, as its children are then: a shell does that to what it runs in the
/// background.
fn interrupts_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 2 != 0)
}

/// A chat client that runs. Killed when it is dropped.
struct Client {
    child: Child,
    printed: std::sync::mpsc::Receiver<String>,
}

impl Client {
    fn start(command: &mut Command) -> Client {
        let mut child = command
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it is there");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, printed) = std::sync::mpsc::channel();
        // Ends with the process, which closes the pipe.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Client { child, printed }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("open"), "{line}").expect("it reads");
    }

    fn prints(&self) -> String {
        self.printed.recv_timeout(PATIENCE).expect("it prints a line")
    }

    /// Waits for its end: the exit status, and what it has said of errors.
    fn ended(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it has not ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let mut errors = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut errors).unwrap();
        (status.code(), errors)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
