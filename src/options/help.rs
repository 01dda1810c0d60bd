//! The help and the manual page, made from the table of options.

use std::fmt::Write;

use super::flags::{FLAGS, Flag, OPTIONAL};

/// Columns of the help, and how far the texts are indented.
const WIDTH: usize = 98;
const INDENT: usize = 10;

const NAME: &str = "parlor, a small chat server: one JSON object a line, over TCP or Unix sockets.";

const INTRODUCTION: &str = "\
With no option at all it serves on 127.0.0.1:7878. A size is a number of bytes, or one followed by
K, M or G (powers of 1024, in either case). Seconds are whole. --option=VALUE works as well.";

/// Headings, each with what stands under it: an item and its text.
const SECTIONS: [(&str, &[(&str, &str)]); 3] = [
    (
        "Signals",
        &[
            (
                "SIGTERM, SIGINT",
                "Stop: flush what waits (see --drain), then exit with status 0. A second one ends the server at once, \
                 with 128 plus the signal's number.",
            ),
            (
                "SIGHUP",
                "If standard error was a terminal at the start, as SIGTERM. Else read the certificates again, where \
                 there are some. One that was ignored at the start (nohup) stays ignored.",
            ),
            (
                "SIGUSR1",
                "Log the counters of --stats now, the ten clients for which most waits, and the ten addresses with \
                 most clients.",
            ),
        ],
    ),
    (
        "Exit status",
        &[
            ("0", "After a stop."),
            ("1", "The server cannot start or go on."),
            ("2", "A mistake on the command line."),
        ],
    ),
    (
        "Examples",
        &[
            (
                "parlor --listen 0.0.0.0:7878 --listen unix:/run/parlor/parlor.sock",
                "Serve the network over IPv4, and programs of this host through a Unix socket.",
            ),
            (
                "parlor --listen '[::]:7878' --max-clients 200 --max-memory 16M --idle-timeout 3600",
                "Serve IPv6 on a machine with little memory, and drop clients that are silent for an hour.",
            ),
        ],
    ),
];

/// What `--help` prints.
pub fn usage() -> String {
    let mut help = format!("{NAME}\n\nUsage: parlor [OPTION]...\n\n{INTRODUCTION}\n\nOptions:\n");
    FLAGS.iter().for_each(|flag| describe(flag, &mut help));
    for (part, flags) in OPTIONAL.iter().filter(|(part, _)| part.is_built_in()) {
        let _ = writeln!(help, "\nOptions of the part {}:", part.name());
        flags.iter().for_each(|flag| describe(flag, &mut help));
    }
    for (heading, items) in SECTIONS {
        let _ = writeln!(help, "\n{heading}:");
        for (item, text) in items {
            let _ = writeln!(help, "  {item}");
            wrap(text, &mut help);
        }
    }
    help
}

fn describe(flag: &Flag, help: &mut String) {
    let short = if flag.short.is_empty() { "    ".into() } else { format!("-{}, ", flag.short) };
    let _ = writeln!(help, "  {short}{}", flag.usage());
    wrap(flag.help, help);
    if !flag.limits().is_empty() {
        wrap(&flag.limits(), help);
    }
}

/// Adds `text` to `help` as lines that are indented and not too wide.
fn wrap(text: &str, help: &mut String) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() <= WIDTH {
            help.push(' ');
            column += 1 + word.len();
        } else {
            if column > 0 {
                help.push('\n');
            }
            help.extend(std::iter::repeat_n(' ', INDENT));
            column = INDENT + word.len();
        }
        help.push_str(word);
    }
    help.push('\n');
}

/// What `--man` prints: the manual page, for `man -l`.
pub fn manual() -> String {
    let mut page = format!(
        ".TH PARLOR 8 \"\" \"parlor {}\" \"System Administration\"\n.SH NAME\nparlor \\- a small chat server\n\
         .SH SYNOPSIS\n.B parlor\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n{}\n.PP\n{}\n.SH OPTIONS\n",
        env!("CARGO_PKG_VERSION"),
        roff(NAME),
        roff(INTRODUCTION)
    );
    FLAGS.iter().for_each(|flag| describe_in_roff(flag, &mut page));
    for (part, flags) in OPTIONAL.iter().filter(|(part, _)| part.is_built_in()) {
        let _ = writeln!(page, ".SS Options of the part {}", part.name());
        flags.iter().for_each(|flag| describe_in_roff(flag, &mut page));
    }
    for (heading, items) in SECTIONS {
        let _ = writeln!(page, ".SH {}", heading.to_uppercase());
        for (item, text) in items {
            let _ = writeln!(page, ".TP\n.B {}\n{}", roff(item), roff(text));
        }
    }
    page
}

fn describe_in_roff(flag: &Flag, page: &mut String) {
    let short = if flag.short.is_empty() { String::new() } else { format!("\\fB\\-{}\\fR, ", flag.short) };
    let value = flag.value.name();
    let value = if value.is_empty() { String::new() } else { format!(" \\fI{value}\\fR") };
    let (long, help) = (roff(flag.long), format!("{} {}", flag.help, flag.limits()));
    let _ = writeln!(page, ".TP\n{short}\\fB\\-\\-{long}\\fR{value}\n{}", roff(help.trim_end()));
}

/// `text` as roff takes it: nothing of it is a command, and its hyphens can be copied as such.
fn roff(text: &str) -> String {
    let mut escaped = String::new();
    for line in text.lines() {
        if !escaped.is_empty() {
            escaped.push('\n');
        }
        if line.starts_with(['.', '\'']) {
            escaped.push_str("\\&");
        }
        for c in line.chars() {
            match c {
                '\\' => escaped.push_str("\\e"),
                '-' => escaped.push_str("\\-"),
                '\'' => escaped.push_str("\\(aq"),
                '`' => escaped.push_str("\\(ga"),
                c => escaped.push(c),
            }
        }
    }
    escaped
}
