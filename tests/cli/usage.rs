//! Command lines that do not serve: help, version, and mistakes. That each option's value is read and checked rightly is
//! tested where it is done; here it is about what the process says, where it says it, and its exit status.

use std::ffi::OsStr;
use std::fs::File;
use std::io::pipe;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

use crate::process::{Parlor, run};

/// What the binary prints for these arguments.
fn output<A: AsRef<OsStr>>(arguments: &[A]) -> Output {
    Command::new(crate::process::binary()).args(arguments).output().unwrap()
}

#[test]
fn help_goes_to_standard_output() {
    for arguments in [&["--help"][..], &["-h"], &["--rate", "x", "-h"]] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), parlor::options::usage());
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn version_goes_to_standard_output() {
    for argument in ["--version", "-V"] {
        let output = output(&[argument]);
        assert_eq!(output.status.code(), Some(0), "{argument}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), parlor::options::version());
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn the_manual_page_and_the_completions_go_to_standard_output() {
    for (arguments, beginning) in [
        (&["--man"][..], ".TH PARLOR 8"),
        (&["--completions", "bash"], "# For bash"),
        (&["--completions=zsh"], "#compdef parlor"),
        (&["--completions", "fish"], "# For fish"),
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(beginning), "{arguments:?}");
        assert!(output.stderr.is_empty());
    }
}

/// Options and addresses of parts that may not be built in, with the name of the feature.
const OF_PARTS: &[(&[&str], &str)] = &[
    (&["--host", "chat.example.org"], "web"),
    (&["--listen", "http:127.0.0.1:0"], "web"),
    (&["--listen", "metrics:127.0.0.1:0"], "web"),
    (&["--tls-cert", "x"], "tls"),
    (&["--tls-key", "x"], "tls"),
    (&["--tls-client-ca", "x"], "tls"),
    (&["--listen", "tls:127.0.0.1:0"], "tls"),
    (&["--listen", "proxy+tls:127.0.0.1:0"], "tls"),
    (&["--listen", "https:127.0.0.1:0"], "web"),
    (&["--cluster", "redis://localhost"], "cluster"),
    (&["--cluster-prefix", "x"], "cluster"),
    (&["--cluster-password-file", "x"], "cluster"),
];

#[test]
fn what_is_not_built_in_is_refused_by_the_name_of_the_cargo_feature() {
    let built_in = parlor::options::version();
    for (arguments, feature) in OF_PARTS.iter().filter(|(_, feature)| !built_in.contains(feature)) {
        let output = output(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
        assert!(error.contains(arguments[0]) && error.contains("cargo feature"), "{error}");
        assert!(error.contains(feature), "{error}");
    }
}

#[test]
fn help_and_version_do_not_mind_that_nobody_reads() {
    for argument in ["--help", "--version"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = Command::new(crate::process::binary()).arg(argument).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{argument}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_written_is_an_error() {
    let full = File::create("/dev/full").unwrap();
    let output = Command::new(crate::process::binary()).arg("--help").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}

/// One mistake for each kind of option, and what one line must name.
const MISTAKES: &[(&[&str], &[&str])] = &[
    (&["--nonsense"], &["--nonsense"]),
    (&["-x"], &["-x"]),
    (&["stray"], &["stray"]),
    (&["--", "--help"], &["--help"]),
    (&["--listen"], &["--listen", "missing"]),
    (&["--listen", "7878"], &["--listen", "7878", "HOST:PORT"]),
    (&["--listen", "localhost:65536"], &["--listen", "localhost:65536", "65535"]),
    (&["--listen", "::1:7878"], &["--listen", "::1:7878", "brackets"]),
    (&["--listen", "unix:"], &["--listen", "unix:", "path"]),
    (&["--max-clients", "0"], &["--max-clients", "0", "from 1"]),
    (&["--max-clients", "many"], &["--max-clients", "many", "number"]),
    (&["--max-clients-per-ip", "-1"], &["--max-clients-per-ip", "-1", "number"]),
    (&["--rate", "1.5"], &["--rate", "1.5", "number"]),
    (&["--max-line", "0"], &["--max-line", "0", "from 1 to 1G"]),
    (&["--max-line", "2G"], &["--max-line", "2G", "from 1 to 1G"]),
    (&["--max-line", "64KB"], &["--max-line", "64KB", "number of bytes", "64K?"]),
    (&["--max-lines", "64K"], &["--max-lines", "no such option", "--max-line?", "--help"]),
    (&["127.0.0.1:7878"], &["127.0.0.1:7878", "--listen"]),
    (&["--unix-mode", "888"], &["--unix-mode", "888", "octal"]),
    (&["--completions", "csh"], &["--completions", "csh", "fish"]),
    (&["--listen", "[::ffff:127.0.0.1]:0"], &["[::ffff:127.0.0.1]:0", "127.0.0.1:0"]),
    (&["--listen", "[fe80::1]:0"], &["[fe80::1]:0", "zone"]),
    (&["--listen", "unix:@parlor"], &["unix:@parlor", "unix:./@parlor"]),
    (&["--listen", "proxy+metrics:127.0.0.1:0"], &["proxy+metrics:"]),
    (&["--listen", "proxy+proxy+127.0.0.1:0"], &["proxy+"]),
    (&["--listen", "tls:proxy+127.0.0.1:0"], &["proxy+"]),
    (&["--listen", "tls:unix:/x"], &["tls:unix:/x", "Unix socket"]),
    (&["--listen", "http:unix:/x"], &["http:unix:/x", "Unix socket"]),
    (&["--max-rooms", "0"], &["--max-rooms", "0", "from 1"]),
    (&["--max-pending", "0"], &["--max-pending", "0", "from 1"]),
    (&["--max-memory", "0"], &["--max-memory", "0", "from 1"]),
    (&["--max-memory", "99999999999G"], &["--max-memory", "99999999999G", "from 1"]),
    (&["--members-only=yes"], &["--members-only", "no value"]),
    (&["--idle-timeout", "1m"], &["--idle-timeout", "1m", "seconds"]),
    (&["--keepalive", "99999999"], &["--keepalive", "99999999", "from 0"]),
    (&["--drain", ""], &["--drain", "seconds"]),
    (&["--stats", " 1"], &["--stats", " 1", "seconds"]),
    (&["--log", "loud"], &["--log", "loud", "debug"]),
    (&["--rate", "1", "--rate=1"], &["--rate", "more than once"]),
    (&["--members-only", "--members-only"], &["--members-only", "more than once"]),
];

#[test]
fn a_mistake_is_one_line_on_standard_error_and_status_2() {
    for (arguments, named) in MISTAKES {
        let output = output(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with("parlor: ") && error.ends_with('\n'), "{error:?}");
        for word in *named {
            assert!(error.contains(word), "{arguments:?} gives {error:?}, which does not name {word:?}");
        }
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_argument_that_is_not_utf_8_is_a_mistake_like_any_other() {
    for arguments in [&[&b"\xff"[..]][..], &[b"--listen", b"unix:/\xff"], &[b"--rate\xff=1"]] {
        let arguments: Vec<_> = arguments.iter().map(|bytes| OsStr::from_bytes(bytes)).collect();
        let output = output(&arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(r"\xFF") && error.contains("UTF-8"), "{error}");
    }
}

#[test]
fn a_mistake_does_not_need_a_standard_error() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    assert_eq!(Parlor::start_with_stderr(&["--nonsense"], writer).ended().code, Some(2));
}

#[test]
fn a_mistake_in_one_option_starts_nothing() {
    let ended = run(&["--listen", "127.0.0.1:0", "--rate", "x"]);
    assert_eq!((ended.code, ended.log.len()), (Some(2), 1), "{ended:?}");
}
