//! What the load bench's command line takes, and what it refuses.

use crate::cluster::without_password;
use crate::options::{Call, Options, Target, parse};
use crate::plan::SCENARIOS;
use crate::servers::Kind;
use crate::transport::{Address, Via};

fn call(line: &str) -> Result<Call, String> {
    parse(line.split_whitespace().map(str::to_owned))
}

fn options(line: &str) -> Options {
    match call(line) {
        Ok(Call::Run(options)) => *options,
        Ok(_) => panic!("{line}: not a run"),
        Err(what) => panic!("{line}: {what}"),
    }
}

fn refusal(line: &str) -> String {
    call(line).err().unwrap_or_else(|| panic!("{line} was not refused"))
}

#[test]
fn an_option_that_nothing_chosen_makes_use_of_is_refused() {
    for (line, user) in [
        ("fanout --rooms 5", "rooms-many"),
        ("rooms --clients 5", "fanout"),
        ("churn --window 5", "requests"),
        ("idle --text 100", "fanout"),
        ("fanout --slow 5", "slow"),
        ("paced --flood 5", "flood"),
        ("paced --bound 5", "capacity"),
        ("start --seconds 5", "fanout"),
        ("capacity --rate 5", "paced"),
    ] {
        let what = refusal(line);
        assert!(what.contains("is not used") && what.contains(user), "{line}: {what}");
    }
    // One of them makes use of it.
    assert_eq!(options("fanout rooms --rooms 5").sizes.rooms, Some(5));
    assert_eq!(options("--bench --rooms 5").sizes.rooms, Some(5));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    for (line, reason) in [
        ("--pid 5", "--connect"),
        ("--connect 127.0.0.1:1 --parlor=--stats", "--connect"),
        ("start --connect 127.0.0.1:1", "exclude"),
        ("--connect unix:/x --via tcp", "does not fit"),
        ("--connect http:127.0.0.1:1 --via tcp", "does not fit"),
        (
            "--connect tls:127.0.0.1:1 --via tcp",
            if cfg!(feature = "tls") { "does not fit" } else { "--features tls" },
        ),
        ("--connect unix:/x --source 127.0.0.1", "not for Unix"),
        ("--engine redis://127.0.0.1", "--nodes"),
        ("--nodes 2 --connect 127.0.0.1:1", "--connect"),
        ("--nodes 2 --pid 7", "--engine"),
        ("--nodes 0", "from 1 to 8"),
        ("--nodes 1,9", "from 1 to 8"),
        ("--nodes two", "from 1 to 8"),
        ("--nodes 2,4,2", "twice"),
        ("churn --nodes 2", "churn is not for --nodes"),
        ("--compare a --compare b --nodes 2", "nothing is run"),
        ("--against nodes-2", "nodes-2"),
        ("--source here", "no IP address"),
        ("--via pigeon", "pigeon"),
        ("--text 15", "16"),
        ("--text 4097", "4096"),
        ("--clients 0", "at least 1"),
        ("--rounds 0", "at least 1"),
        ("--seconds 0", "0.05"),
        ("--against postgres", "postgres"),
        ("--against before", "before"),
        ("--against haproxy", "--via tls"),
        ("--against plain", "another --via"),
        ("--compare a --compare b --rounds 3", "nothing is run"),
        ("--compare a --compare b --compare c", "two"),
        ("fan-out", "there is no scenario fan-out"),
        ("--colour", "--help"),
    ] {
        let what = refusal(line);
        assert!(what.contains(reason), "{line}: {what}");
    }
}

#[test]
fn where_to_connect_says_what_is_spoken() {
    for (line, via) in [
        ("--connect 127.0.0.1:1", Via::Tcp),
        ("--connect 127.0.0.1:1 --via ws", Via::Ws),
        ("--connect http:127.0.0.1:1", Via::Ws),
        ("--connect unix:/run/parlor", Via::Unix),
        ("--via unix", Via::Unix),
        ("--smoke", Via::Tcp),
    ] {
        assert_eq!(options(line).via, via, "{line}");
    }
    for (line, via) in [
        ("--via tls", Via::Tls),
        ("--via tls-resumed", Via::TlsResumed),
        ("--connect tls:127.0.0.1:1", Via::Tls),
        ("--connect tls:127.0.0.1:1 --via tls-resumed", Via::TlsResumed),
        ("--connect 127.0.0.1:1 --via tls", Via::Tls),
    ] {
        match cfg!(feature = "tls") {
            true => assert_eq!(options(line).via, via, "{line}"),
            // It says how to build it.
            false => {
                assert!(refusal(line).contains("cargo bench --features tls --bench load -- --via"), "{line}")
            }
        }
    }
    let target = options("--connect unix:/run/parlor --pid 7").target;
    assert!(matches!(target, Target::Running(Address::Unix(_), Some(7))));
    // What needs a server of one's own is left out.
    let names: Vec<&str> =
        options("--connect 127.0.0.1:1").scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), SCENARIOS.len() - 1);
    assert!(!names.contains(&"start"));
}

#[test]
fn rounds_are_repeated_where_something_is_compared() {
    for (line, rounds) in [("fanout", 1), ("--against redis", 3), ("--compare x", 3), ("--before x", 3)] {
        assert_eq!(options(line).rounds, rounds, "{line}");
    }
}

/// One without an engine is measured in turn with them.
#[test]
fn nodes_are_measured_in_the_scenarios_that_are_for_them() {
    let two = options("--nodes 1,4 --engine redis://127.0.0.1:1 --pid 7 --against redis");
    assert_eq!(two.against, [Kind::Nodes(1), Kind::Nodes(4), Kind::Redis]);
    assert_eq!(two.rounds, 3);
    let names: Vec<&str> = two.scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names, ["fanout", "fanout-single", "paced", "rooms", "rooms-many"]);
    assert_eq!(
        two.engine.map(|engine| (engine.url, engine.process.map(|process| process.0))),
        Some(("redis://127.0.0.1:1".to_owned(), Some(7)))
    );
    let own = options("rooms --nodes 2");
    assert!(own.engine.is_none() && own.against == [Kind::Nodes(2)]);
}

#[test]
fn a_password_is_not_shown() {
    for (url, shown) in [
        ("redis://chat:se@cret@10.0.0.5:6379/3", "redis://10.0.0.5:6379/3"),
        ("redis://10.0.0.5", "redis://10.0.0.5"),
        ("--engine=redis://:secret@[::1]:1", "--engine=redis://[::1]:1"),
        ("redis+unix:/run/a@b", "redis+unix:/run/a@b"),
    ] {
        assert_eq!(without_password(url), shown);
    }
}

/// Servers are started in a folder of their own.
#[test]
fn programs_are_found_from_where_the_bench_was_called() {
    let options = options("--binary target/parlor --before ../parlor");
    assert!(options.binary.is_absolute() && options.before.is_some_and(|before| before.is_absolute()));
}

#[test]
fn help_tells_of_every_scenario() {
    let Ok(Call::Help(text)) = call("--help") else { panic!("no help") };
    for scenario in &SCENARIOS {
        assert!(text.contains(&format!("\n  {} ", scenario.name)), "{}", scenario.name);
    }
    assert!(text.lines().all(|line| line.chars().count() < 125));
}
