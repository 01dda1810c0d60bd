//! Tests of the command line: what is taken, what is refused and in which words, and what help says of it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::flags::{FLAGS, MOST_MEMORY};
use super::parts::Part;
use super::values::show_size;
use super::*;

/// The options that these arguments give, which must be right.
fn options(arguments: &[&str]) -> Options {
    match parse(arguments) {
        Ok(Invocation::Serve(options)) => *options,
        other => panic!("{arguments:?} gives {other:?}"),
    }
}

/// The error that these arguments give, which must be wrong.
fn error(arguments: &[&str]) -> String {
    let error = parse(arguments).expect_err(&format!("{arguments:?} must be refused")).to_string();
    assert!(!error.contains(char::is_control), "{error:?} is more than a line");
    error
}

#[test]
fn nothing_given_is_the_default() {
    assert_eq!(options(&[]), Options::default());
}

#[test]
fn every_option_sets_its_own_field_and_no_other() {
    type Change = fn(&mut Options);
    let cases: [(&str, &str, Change); 15] = [
        ("--listen", "[::1]:0", |o| o.listen = vec![Listen::tcp("[::1]:0")]),
        ("--max-clients", "7", |o| o.max_clients = 7),
        ("--max-clients-per-ip", "7", |o| o.max_clients_per_ip = 7),
        ("--rate", "7", |o| o.rate = 7),
        ("--max-line", "7", |o| o.max_line = 7),
        ("--max-rooms", "7", |o| o.max_rooms = 7),
        ("--max-pending", "7", |o| o.max_pending = 7),
        ("--max-memory", "7", |o| o.max_memory = 7),
        ("--members-only", "", |o| o.members_only = true),
        ("--idle-timeout", "7", |o| o.idle_timeout = Duration::from_secs(7)),
        ("--keepalive", "7", |o| o.keepalive = Duration::from_secs(7)),
        ("--drain", "7", |o| o.drain = Duration::from_secs(7)),
        ("--unix-mode", "660", |o| o.unix_mode = Some(0o660)),
        ("--stats", "7", |o| o.stats = Duration::from_secs(7)),
        ("--log", "debug", |o| o.log = log::LevelFilter::Debug),
    ];
    for (name, value, set) in cases {
        let mut expected = Options::default();
        set(&mut expected);
        if value.is_empty() {
            assert_eq!(options(&[name]), expected);
        } else {
            assert_eq!(options(&[name, value]), expected);
            assert_eq!(options(&[&format!("{name}={value}")]), expected);
        }
    }
    let asking = ["--help", "--version", "--man", "--completions"];
    assert_eq!(cases.len() + asking.len(), FLAGS.len(), "a row of the table is not tested");
}

#[test]
fn listen_may_be_given_several_times_and_replaces_the_default() {
    let several = options(&["-l", "a:1", "--listen=unix:/x", "-lb:2", "--listen", "[::]:0"]).listen;
    assert_eq!(several, [Listen::tcp("a:1"), Listen::unix("/x"), Listen::tcp("b:2"), Listen::tcp("[::]:0")]);
}

#[test]
fn help_and_version_win_over_values_that_are_wrong() {
    for arguments in [&["-h"][..], &["--help"], &["--rate", "x", "--help"], &["stray", "-h"], &["-hV"]] {
        assert_eq!(parse(arguments), Ok(Invocation::Help), "{arguments:?}");
    }
    for arguments in [&["-V"][..], &["--version"], &["--max-line=0", "-V"]] {
        assert_eq!(parse(arguments), Ok(Invocation::Version), "{arguments:?}");
    }
}

#[test]
fn errors_name_option_value_and_reason() {
    let cases: [(&[&str], &str); 31] = [
        (&["--max-clients", "0"], r#"--max-clients "0": must be from 1 to 1000000000"#),
        (&["--max-line", "0K"], r#"--max-line "0K": must be from 1 to 1G"#),
        (&["--max-line", "1073741825"], r#"--max-line "1073741825": must be from 1 to 1G"#),
        (&["--max-rooms", "0"], r#"--max-rooms "0": must be from 1 to 1000000000"#),
        (&["--max-pending", "0"], r#"--max-pending "0": must be from 1 to 1024G"#),
        (&["--max-memory=0"], r#"--max-memory "0": must be from 1 to 1024G"#),
        (&["--keepalive", "32768"], r#"--keepalive "32768": must be from 0 to 32767"#),
        (
            &["--max-line", "64KB"],
            r#"--max-line "64KB": must be a whole number of bytes, which K, M or G may follow; did you mean 64K?"#,
        ),
        (&["--unix-mode", "1000"], r#"--unix-mode "1000": must be an octal number from 0 to 777, as in 660"#),
        (&["--unix-mode", "rw"], r#"--unix-mode "rw": must be an octal number from 0 to 777, as in 660"#),
        (&["--completions", "tcsh"], r#"--completions "tcsh": must be bash, zsh or fish"#),
        (&["--max-clients", "10K"], r#"--max-clients "10K": must be a whole number"#),
        (&["--rate", "-1"], r#"--rate "-1": must be a whole number"#),
        (&["--rate", "+1"], r#"--rate "+1": must be a whole number"#),
        (&["--rate="], r#"--rate "": must be a whole number"#),
        (&["--drain", "1.5"], r#"--drain "1.5": must be a whole number of seconds"#),
        (&["--drain", "5s"], r#"--drain "5s": must be a whole number of seconds"#),
        (&["--log", "loud"], r#"--log "loud": must be error, warn, info, debug, trace or off"#),
        (
            &["--listen", "7878"],
            r#"--listen "7878": neither HOST:PORT nor unix:PATH; did you mean 127.0.0.1:7878?"#,
        ),
        (
            &["--listen", "0.0.0.0"],
            r#"--listen "0.0.0.0": neither HOST:PORT nor unix:PATH; did you mean 0.0.0.0:7878?"#,
        ),
        (&["--listen", "./socket"], r#"--listen "./socket": neither HOST:PORT nor unix:PATH"#),
        (
            &["--listen", "htp:[::]:80"],
            r#"--listen "htp:[::]:80": nothing is spoken as htp:; there are tls:, http:, https:, metrics: and unix:"#,
        ),
        (
            &["--listen", "::1:80"],
            r#"--listen "::1:80": an IPv6 address must stand in brackets, as in [::1]:7878"#,
        ),
        (&["--listen", "a:1", "-l", ""], r#"--listen "": neither HOST:PORT nor unix:PATH"#),
        (&["--rate", "1", "--rate", "1"], "--rate: given more than once"),
        (&["--members-only", "--members-only"], "--members-only: given more than once"),
        (&["--members-only=yes"], "--members-only: it takes no value"),
        (&["--nonsense"], "--nonsense: there is no such option"),
        (&["-x"], "-x: there is no such option"),
        (&["--stats"], "--stats: its value is missing"),
        (&["--rate", "1", "stray"], r#""stray": belongs to no option"#),
    ];
    for (arguments, expected) in cases {
        assert_eq!(error(arguments), on_this_machine(expected), "{arguments:?}");
    }
}

/// The bounds of sizes are smaller where there are 32 bits.
fn on_this_machine(text: &str) -> String {
    let (line, memory) = (show_size(MAX_LINE_BYTES as u64), show_size(MOST_MEMORY));
    text.replace("rom 1 to 1G", &format!("rom 1 to {line}")).replace("1024G", &memory)
}

#[test]
fn errors_stay_one_line_whatever_the_arguments_hold() {
    for arguments in [
        &["a\nb"][..],
        &["--a\nb"],
        &["-\n"],
        &["--rate", "1\r\n2"],
        &["--listen", "a\n:1"],
        &["--log=\u{1b}"],
    ] {
        error(arguments);
    }
}

#[test]
fn arguments_that_are_not_utf_8_are_refused() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    for arguments in
        [vec![bytes(b"--li\xff=x")], vec![bytes(b"--listen"), bytes(b"unix:/\xff")], vec![bytes(b"\xff")]]
    {
        let error = parse(&arguments).unwrap_err().to_string();
        assert!(error.contains(r"\xFF") && error.ends_with("not valid UTF-8"), "{error}");
    }
}

#[test]
fn sizes_take_suffixes_in_either_case() {
    for (text, bytes) in
        [("1", 1), ("1k", 1 << 10), ("64K", 64 << 10), ("1m", 1 << 20), ("3M", 3 << 20), ("1g", 1 << 30)]
    {
        assert_eq!(options(&["--max-memory", text]).max_memory, bytes, "{text}");
    }
    for text in ["", "K", "1KK", "1 K", " 1", "1T", "0x10", "1_000", "-1K", "+1K", "1.5M", "١"] {
        assert!(error(&["--max-memory", text]).contains("whole number of bytes"), "{text:?}");
    }
}

#[test]
fn numbers_past_64_bits_are_out_of_range_and_do_not_wrap() {
    // The last two wrap to 1 and to 0 where the multiplication is not checked.
    for text in [
        "18446744073709551615",
        "18446744073709551617",
        "17179869185G",
        "17179869184G",
        "99999999999999999999G",
    ] {
        let error = error(&["--max-memory", text]);
        assert!(error.ends_with(&on_this_machine("must be from 1 to 1024G")), "{text}");
    }
    assert!(error(&["--stats", "18446744073709551616"]).ends_with("must be from 0 to 1000000000"));
}

#[test]
fn zero_is_allowed_where_it_means_something() {
    for name in ["--max-clients-per-ip", "--rate", "--idle-timeout", "--keepalive", "--drain", "--stats"] {
        options(&[name, "0"]);
    }
}

#[test]
fn addresses_are_checked_for_their_form() {
    for text in [
        "127.0.0.1:7878",
        "localhost:0",
        "chat.example.org:65535",
        "[::1]:80",
        "[::]:0",
        "[fe80::1%2]:80",
        "unix:/run/parlor.sock",
        "unix:relative",
        "unix:with space:80",
        "unix:./@name",
        "[fe80::1%eth0]:80",
        "[2001:db8::1]:80",
        "proxy+127.0.0.1:0",
        "proxy+unix:/run/parlor.sock",
    ] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), text, "must come back as it was");
    }
    for (text, why) in [
        ("", "neither"),
        ("7878", "neither"),
        ("localhost", "neither"),
        ("/run/parlor.sock", "neither"),
        ("localhost:", "port"),
        ("localhost:65536", "port"),
        ("localhost:+80", "port"),
        ("localhost:http", "port"),
        ("localhost: 80", "port"),
        (":80", "host is missing"),
        ("::1:80", "brackets"),
        ("[::1]", "port"),
        ("[localhost]:80", "not an IPv6 address"),
        ("[::1]x:80", "not an IPv6 address"),
        ("[]:80", "not an IPv6 address"),
        ("two hosts:80", "white space"),
        ("line\nfeed:80", "white space"),
        ("unix:", "path is missing"),
        ("unix:@name", "unix:./@name"),
        ("proxy+unix:@name", "unix:./@name"),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
        ("[::ffff:7f00:1]:80", "127.0.0.1:80"),
        ("[fe80::1]:80", "[fe80::1%eth0]:80"),
        ("[fe80::1%]:80", "zone"),
        ("[fe80::1%0]:80", "[fe80::1%eth0]:80"),
        ("[fe80::1%a b]:80", "zone"),
        ("proxy+metrics:127.0.0.1:80", "proxy+metrics:"),
        ("proxy+proxy+127.0.0.1:80", "once"),
        ("tls:proxy+127.0.0.1:80", "before all else"),
        ("http:proxy+127.0.0.1:80", "before all else"),
        ("tls:tls:127.0.0.1:80", "only one"),
        ("https:http:127.0.0.1:80", "only one"),
        ("tls:unix:/run/x", "only plain lines"),
        ("http:unix:/run/x", "only plain lines"),
        ("https:unix:/run/x", "only plain lines"),
        ("metrics:unix:/run/x", "only plain lines"),
        ("proxy+", "neither"),
    ] {
        let error = text.parse::<Listen>().unwrap_err().to_string();
        assert!(error.contains(why), "{text:?} gives {error:?}");
    }
}

#[test]
fn help_describes_every_option_within_its_width() {
    let help = usage();
    for line in help.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
        assert_eq!(line, line.trim_end());
    }
    let mut names = HashSet::new();
    for flag in FLAGS {
        assert!(
            names.insert(flag.long) && (flag.short.is_empty() || names.insert(flag.short)),
            "{}",
            flag.long
        );
        let head = flag.usage();
        assert_eq!(help.lines().filter(|line| line.ends_with(&head)).count(), 1, "{head}");
        assert!(flag.help.ends_with('.'), "--{}: not in full sentences", flag.long);
        if flag.value.range().is_some_and(|(least, _)| least == "0") {
            assert!(flag.help.contains(" 0 "), "--{}: what does 0 mean?", flag.long);
        }
    }
    assert!(help.contains(&on_this_machine("From 1 to 1G. The default is 16K.")));
}

#[test]
fn the_defaults_and_the_bounds_that_help_shows_are_what_the_parser_takes() {
    for flag in FLAGS {
        if let Some(default) = flag.value.default() {
            assert_eq!(
                options(&[&format!("--{}", flag.long), &default]),
                Options::default(),
                "--{}",
                flag.long
            );
        }
        if let Some((least, most)) = flag.value.range() {
            for bound in [least, most] {
                options(&[&format!("--{}", flag.long), &bound]);
            }
        }
    }
}

#[test]
fn the_examples_in_help_are_right() {
    let help = usage();
    let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  parlor ")).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let arguments: Vec<_> = example.split(' ').map(|argument| argument.trim_matches('\'')).collect();
        options(&arguments);
    }
    assert!(help.contains(&format!("it serves on {}.", Options::default().listen[0])));
}

#[test]
fn a_listener_is_what_its_address_says() {
    let listen: Listen = "proxy+unix:/run/x".parse().unwrap();
    assert_eq!((listen.is_behind_proxy(), listen.spoken()), (true, Spoken::Lines));
    assert_eq!(listen.place(), &Place::Unix("/run/x".into()));
    let listen = Listen::tcp("localhost:1");
    assert_eq!((listen.is_behind_proxy(), listen.spoken()), (false, Spoken::Lines));
    assert_eq!(listen.place(), &Place::Tcp("localhost:1".into()));
    // Never an abstract socket, whoever asks for it.
    for (path, written) in [("@x", "unix:./@x"), ("", "unix:./"), ("x", "unix:x")] {
        assert_eq!(Listen::unix(path).to_string(), written);
    }
}

/// An address for each prefix, and the options that it cannot do without.
const SPOKEN: [(&str, &[Part], &str); 4] = [
    ("tls:127.0.0.1:0", &[Part::Tls], "tls"),
    ("http:127.0.0.1:0", &[Part::Web], "web"),
    ("https:127.0.0.1:0", &[Part::Web, Part::Tls], "web and tls"),
    ("metrics:127.0.0.1:0", &[Part::Web], "web"),
];

#[test]
fn an_address_is_taken_with_its_parts_and_refused_by_the_name_of_the_feature_without() {
    for (text, parts, features) in SPOKEN {
        let is_built_in = parts.iter().all(|part| part.is_built_in());
        match text.parse::<Listen>() {
            Ok(listen) => {
                assert!(is_built_in, "{text}");
                assert_eq!(listen.to_string(), text);
                assert_eq!(format!("{}127.0.0.1:0", listen.spoken().prefix()), text);
            }
            Err(error) => {
                assert!(!is_built_in, "{text}: {error}");
                assert!(error.to_string().ends_with(features), "{error}");
            }
        }
    }
}

#[test]
fn an_option_is_taken_with_its_part_and_refused_by_the_name_of_the_feature_without() {
    type IsSet = fn(&Options) -> bool;
    let cases: [(&[&str], Part, IsSet); 6] = [
        (&["--host", "Chat.example.org:443", "--host=b"], Part::Web, |o| {
            o.hosts.iter().map(HostName::to_string).collect::<Vec<_>>() == ["chat.example.org:443", "b"]
        }),
        (&["--tls-cert", "a", "--tls-key", "b"], Part::Tls, |o| {
            (o.tls_cert.as_deref(), o.tls_key.as_deref()) == (Some("a".as_ref()), Some("b".as_ref()))
        }),
        (&["--tls-client-ca", "a", "--tls-cert", "a", "--tls-key", "b"], Part::Tls, |o| {
            o.tls_client_ca.as_deref() == Some("a".as_ref())
        }),
        (&["--cluster", "redis://localhost"], Part::Cluster, |o| {
            o.cluster.as_deref() == Some("redis://localhost")
        }),
        (&["--cluster-prefix", "x"], Part::Cluster, |o| o.cluster_prefix == "x"),
        (&["--cluster-password-file", "x"], Part::Cluster, |o| {
            o.cluster_password_file.as_deref() == Some("x".as_ref())
        }),
    ];
    for (arguments, part, is_set) in cases {
        if part.is_built_in() {
            assert!(is_set(&options(arguments)), "{arguments:?}");
            assert!(usage().contains(arguments[0]) && manual().contains("the part"));
        } else {
            let why = format!("not built in; it needs the cargo feature {}", part.name());
            assert!(error(arguments).ends_with(&why), "{arguments:?}");
            assert!(error(&arguments[..1]).ends_with(&why), "without its value too");
            assert!(!usage().contains(arguments[0]));
        }
    }
}

#[test]
#[cfg(feature = "tls")]
fn tls_needs_a_certificate_and_its_key() {
    for arguments in [&["-l", "tls:a:1"][..], &["-l", "tls:a:1", "--tls-cert", "x"], &["--tls-key", "x"]] {
        assert!(error(arguments).contains("--tls-cert and --tls-key"), "{arguments:?}");
    }
    assert!(error(&["--tls-client-ca", "x"]).contains("--tls-cert and --tls-key"));
    options(&["-l", "tls:a:1", "--tls-cert", "x", "--tls-key", "y"]);
}

#[test]
fn names_for_browsers_are_checked_for_their_form() {
    for (text, name, port) in [
        ("Chat.Example.org", "chat.example.org", None),
        ("a-b:8080", "a-b", Some(8080)),
        ("x:1", "x", Some(1)),
    ] {
        let host: HostName = text.parse().unwrap();
        assert_eq!((host.name(), host.port()), (name, port));
    }
    for text in ["", ":80", "http://a", "a/", "a b", "a..b", "a:0", "a:65536", "a:+1", "a:", ".a", "a."] {
        assert!(text.parse::<HostName>().is_err(), "{text:?}");
    }
}

#[test]
fn a_size_written_as_elsewhere_is_told_how_it_is_written_here() {
    for (text, meant) in [("64KB", "64K"), ("1MiB", "1M"), ("100 B", "100"), ("2gb", "2G"), ("1 k", "1K")] {
        let error = error(&["--max-memory", text]);
        assert!(error.ends_with(&format!("; did you mean {meant}?")), "{error}");
    }
    for text in ["KB", "1TB", "x", "", "1.5MB"] {
        assert!(!error(&["--max-memory", text]).contains("did you mean"), "{text}");
    }
}

#[test]
fn help_version_and_the_others_are_asked_for() {
    assert_eq!(parse(["--man"]), Ok(Invocation::Manual));
    assert_eq!(parse(["--completions", "fish"]), Ok(Invocation::Completions(Shell::Fish)));
    assert_eq!(parse(["--completions=x", "--man", "-V"]), Ok(Invocation::Version));
    let parts = Part::ALL.iter().filter(|part| part.is_built_in()).map(|part| part.name());
    let parts = parts.collect::<Vec<_>>().join(" ");
    let parts = if parts.is_empty() { parts } else { format!(" ({parts})") };
    assert_eq!(version(), format!("parlor {}{parts}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_manual_page_and_the_completions_know_every_option() {
    let page = manual();
    for flag in flags::built_in() {
        let name = flag.long.replace('-', "\\-");
        assert!(page.contains(&format!("\\fB\\-\\-{name}\\fR")), "{name}");
        for (shell, option) in [
            (Shell::Bash, format!("--{}", flag.long)),
            (Shell::Zsh, format!("--{}[", flag.long)),
            (Shell::Fish, format!(" -l {} ", flag.long)),
        ] {
            assert!(completions(shell).contains(&option), "{shell:?} {option}");
        }
    }
    // A line that begins with a dot is a command, and here only those that were meant.
    let commands = [".TH ", ".SH ", ".SS ", ".TP", ".B ", ".PP"];
    let is_meant = |line: &&str| commands.iter().any(|command| line.starts_with(command));
    assert!(page.lines().filter(|line| line.starts_with(['.', '\''])).all(|line| is_meant(&line)));
}

proptest! {
    #[test]
    fn a_size_is_digits_times_unit_or_out_of_range(number: u64, unit in 0_usize..=3, upper: bool) {
        let letter = ["", "k", "m", "g"][unit];
        let text = format!("{number}{}", if upper { letter.to_uppercase() } else { letter.into() });
        let bytes = u128::from(number) << (10 * unit);
        match parse(["--max-memory", &text]) {
            Ok(Invocation::Serve(options)) => prop_assert_eq!(options.max_memory as u128, bytes),
            _ => prop_assert!(bytes == 0 || bytes > u128::from(MOST_MEMORY)),
        }
    }

    #[test]
    fn no_arguments_make_it_panic_or_the_error_more_than_a_line(arguments: Vec<(String, bool)>) {
        let arguments = arguments.iter().map(|(text, dashes)| format!("{}{text}", if *dashes { "--" } else { "" }));
        if let Err(error) = parse(arguments.collect::<Vec<_>>()) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn an_address_that_is_taken_comes_back_as_it_was(text in "(proxy\\+)?(unix:|tls:|http:)?[@a-c:.\\[\\]0-9%/ ]{0,20}") {
        if let Ok(address) = text.parse::<Listen>() {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}
