//! What the README shows is what happens: its table of options is `--help`, its conversation gives its lines, its client
//! runs.

#[path = "common/process.rs"]
#[allow(dead_code)]
mod process;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use process::Parlor;

const README: &str = include_str!("../README.md");

/// The indented lines after each comment of this name, without the indentation.
fn blocks(name: &str) -> Vec<Vec<&'static str>> {
    let marker = format!("<!-- {name} -->\n\n");
    let blocks = README.split(marker.as_str()).skip(1);
    blocks
        .map(|rest| {
            rest.lines()
                .map_while(|line| line.strip_prefix("    ").or(line.is_empty().then_some("")))
                .collect()
        })
        .collect()
}

/// The table of options, made from the help.
fn options_table() -> String {
    let usage = parlor::options::usage();
    let (_, options) = usage.split_once("Options:\n").expect("the help has options");
    let (options, _) = options.split_once("\n\n").expect("something follows them");
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
fn the_table_of_options_is_the_help() {
    let table = options_table();
    assert!(README.contains(&table), "the README's table of options should be:\n\n{table}");
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
                let stream = TcpStream::connect(&address).expect("it serves");
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                terminals.push((terminal, BufReader::new(stream)));
                continue;
            }
            let (_, stream) = &mut terminals[at.expect("the terminal has been opened")];
            // What is typed has a space after its first colon; what the server says has none.
            if line.starts_with("{\"action\": ") {
                writeln!(stream.get_mut(), "{line}").unwrap();
            } else {
                let mut said = String::new();
                stream.read_line(&mut said).expect("the server says something");
                assert_eq!(said.trim_end(), line);
                lines += 1;
            }
        }
    }
    assert_eq!((terminals.len(), lines), (2, 5));
}

#[test]
fn the_client_in_python_sends_and_prints() {
    let [client] = &blocks("client")[..] else { panic!("one client") };
    let lines = client.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    assert!(lines <= 12, "ten lines, and two blank ones: {lines}");
    let (_parlor, address) = Parlor::serve(&[]);
    let (_, port) = address.rsplit_once(':').expect("a port");
    let program = client.join("\n").replace("7878", port);
    let python = Command::new("python3")
        .args(["-u", "-c", &program, "secret", "Carol", "hello, all"])
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        eprintln!("left out: there is no python3 here");
        return;
    };
    let mut printed = BufReader::new(python.stdout.take().expect("piped")).lines();
    let mut next = || printed.next().expect("a line").expect("text");
    assert!((0..3).all(|_| next().contains("'message': 'OK'")));
    assert_eq!(
        next(),
        "{'action': 'GET MESSAGE', 'room_id': 'secret', 'author': 'Carol', 'text': 'hello, all'}"
    );
    python.kill().expect("it goes on until it is ended");
    python.wait().expect("it ends");
}
