//! Command lines that do not talk to a server: help, version, and mistakes.

use std::io::pipe;
use std::process::{Command, Output, Stdio};

fn output(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor-chat"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn help_and_version_go_to_standard_output() {
    for argument in ["--help", "-h", "--version", "-V"] {
        let output = output(&[argument, "ops"]);
        assert_eq!(output.status.code(), Some(0), "{argument}");
        assert!(output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        let version = concat!("parlor-chat ", env!("CARGO_PKG_VERSION"));
        assert!(text.starts_with("Usage: parlor-chat") || text.starts_with(version), "{text}");
        assert!(text.ends_with('\n'));
    }
}

#[test]
fn help_does_not_mind_that_nobody_reads() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor-chat"));
    let output = command.arg("--help").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn mistakes_end_with_status_2_and_one_line() {
    for (arguments, word) in [
        (&[][..], "ROOM"),
        (&["--listen"], "ROOM"),
        (&["--send", "hi"], "ROOM"),
        (&["--send", "hi", "--listen", "ops"], "--listen"),
        (&["--server", "nonsense", "ops"], "HOST:PORT"),
        (&["--no-such-option"], "--no-such-option"),
        (&["-n", "a", "-n", "b", "ops"], "more than once"),
        (&["--server", "unix:", "a\nb"], "path"),
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("parlor-chat: ") && error.contains(word), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_status_1_and_one_line() {
    for server in ["127.0.0.1:1", "unix:/nonexistent/socket", "no-such-host.invalid:7878"] {
        let output = output(&["--server", server, "--send", "hi", "ops"]);
        assert_eq!(output.status.code(), Some(1), "{server}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(server) && error.lines().count() == 1, "{error}");
    }
}
