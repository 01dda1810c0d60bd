//! A node that is told the time, and whose engine is written down here, command by command.

use super::life::{PAUSE_MAX, PAUSE_MIN};
use super::*;
use crate::cluster::question::{Answered, Heard, Question};
use crate::dispatch::Action;

/// What an engine says to the greeting, up to the number, and after it.
const HELLO: &str = "%3\r\n+role\r\n+master\r\n+mode\r\n+standalone\r\n+version\r\n+8.1.0\r\n";
const POLICY: &str = "%1\r\n+maxmemory-policy\r\n+noeviction\r\n+OK\r\n";
const PROBES: &str = ">3\r\n+subscribe\r\n+c\r\n:1\r\n:1\r\n>3\r\n+message\r\n+c\r\n+probe\r\n*2\r\n+c\r\n:1\r\n\
                      >3\r\n+unsubscribe\r\n+c\r\n:0\r\n:1\r\n:1\r\n:1\r\n";

fn at(milliseconds: u64) -> Moment {
    Duration::from_millis(milliseconds).into()
}

fn new_node() -> Node {
    let keys = Keys::new("parlor:", 0);
    let mut node = Node::new(Config { keys, db: 0, user: None, password: None, window_bytes: 2000 }, 17);
    node.set_now(at(0));
    assert!(node.wants_to_connect());
    node.connected();
    node
}

/// The engine says this. Every answer of clients, or why the link is lost.
fn say(node: &mut Node, text: &str) -> Result<Vec<(Option<ClientId>, Answered)>, String> {
    node.receive(text.as_bytes(), true);
    let count = node.output().len();
    node.sent(count);
    let mut input = node.take_input();
    let mut answers = Vec::new();
    while let Some(value) = input.value().expect("RESP") {
        match node.hear(&value) {
            Ok(Heard::Answer(answer) | Heard::Message { answer: Some(answer), .. }) => {
                answers.push((answer.client, answer.outcome));
            }
            Ok(_) => {}
            Err(why) => {
                node.lose(&*why);
                return Err(why);
            }
        }
    }
    node.put_back(input);
    node.check();
    Ok(answers)
}

fn linked() -> Node {
    let mut node = new_node();
    [HELLO, POLICY, PROBES].iter().for_each(|text| assert_eq!(say(&mut node, text), Ok(vec![])));
    assert!(node.is_up());
    node.admit(0, b"guest-1");
    node.admit(1, b"guest-2");
    node
}

fn room() -> Rc<[u8]> {
    b"\"hall\"".as_slice().into()
}

fn ask(node: &mut Node, client: ClientId, question: Question) {
    node.ask(client, b"Ann", Action::Send, "{}", question);
    assert!(node.is_asking(client));
}

#[test]
fn the_engine_is_looked_at_before_the_link_stands() {
    let refused = |texts: &[&str]| {
        let mut node = new_node();
        let mut outcomes = texts.iter().map(|text| say(&mut node, text));
        outcomes.find_map(Result::err).expect("a refusal")
    };
    assert!(refused(&["-ERR unknown command 'HELLO'\r\n"]).contains("HELLO"));
    assert!(refused(&[&HELLO.replace("master", "replica")]).contains("no primary"));
    assert!(refused(&[&HELLO.replace("standalone", "cluster")]).contains("not standalone"));
    assert!(refused(&[&HELLO.replace("8.1.0", "6.2.14")]).contains("6.2.14"));
    assert!(refused(&[HELLO, &POLICY.replace("noeviction", "allkeys-lru")]).contains("allkeys-lru"));
    assert!(refused(&[HELLO, POLICY, "-NOPERM channels\r\n"]).contains("SUBSCRIBE: NOPERM"));
    // Neither CONFIG nor INFO may be read.
    let mut node = new_node();
    let unread = format!("{HELLO}-NOPERM config\r\n+OK\r\n");
    assert_eq!(say(&mut node, &unread), Ok(vec![]));
    assert_eq!(say(&mut node, &format!("-NOPERM info\r\n{PROBES}")), Ok(vec![]));
    assert!(node.is_up());
}

#[test]
fn a_number_that_is_taken_is_not_taken_twice() {
    let mut node = new_node();
    let taken = POLICY.replace("+OK", "_");
    assert_eq!(say(&mut node, &format!("{HELLO}{taken}")), Ok(vec![]));
    assert!(node.output().starts_with(b"*6\r\n$3\r\nSET\r\n"));
    assert_eq!(say(&mut node, &format!("+OK\r\n{PROBES}")), Ok(vec![]));
    assert!(node.is_up());
}

#[test]
fn an_answer_may_take_five_seconds() {
    let mut node = linked();
    ask(&mut node, 0, Question::Find(room()));
    for (time, lost) in [(1999, false), (4999, false), (5000, true)] {
        node.set_now(at(time));
        node.check_lease();
        node.check_time();
        assert_eq!(node.take_lost(at(time)), lost, "after {time} ms");
    }
    assert!(!node.has_connection() && !node.is_asking(0));
}

/// However often in vain, and so that not all nodes come back at once.
#[test]
fn a_lost_link_is_tried_again_for_ever_after_pauses_that_grow_and_are_random() {
    let pauses = |seed| {
        let mut node = Node::new(new_node().config, seed);
        let pauses = (0..1000u64).map(|attempt| {
            let now = at(10_000 * attempt);
            node.set_now(now);
            assert!(node.wants_to_connect(), "attempt {attempt}");
            node.lose("refused");
            node.deadline().unwrap().since(now)
        });
        pauses.collect::<Vec<Duration>>()
    };
    let (one, other) = (pauses(1), pauses(2));
    for (attempt, pause) in one.iter().enumerate() {
        let longest = (PAUSE_MIN * (1 << attempt.min(6))).min(PAUSE_MAX);
        assert!(*pause >= longest / 2 && *pause < longest, "attempt {attempt}: {pause:?}");
    }
    assert!(one.iter().zip(&other).all(|(one, other)| one != other));
}

/// The process stood still meanwhile: what has come counts before the time is looked at.
#[test]
fn an_answer_that_has_come_is_in_time() {
    let mut node = linked();
    ask(&mut node, 0, Question::Find(room()));
    node.set_now(at(9000));
    node.check_lease();
    node.receive(b"*2\r\n+c\r\n", false);
    node.check_time();
    assert_eq!(say(&mut node, ":0\r\n"), Ok(vec![(Some(0), Answered::RoomNotFound)]));
    node.set_now(at(10_000));
    node.check_lease();
    assert!(node.take_lost(at(10_000)), "the lease has run out, whatever waits to be read");
}

#[test]
fn a_lease_counts_from_the_sending_of_what_was_granted() {
    let mut node = linked();
    node.set_now(at(2000));
    node.check_time();
    node.set_now(at(6900));
    assert_eq!(say(&mut node, "+OK\r\n"), Ok(vec![]));
    node.set_now(at(11_999));
    node.check_lease();
    assert!(node.is_up());
    node.set_now(at(12_000));
    node.check_lease();
    assert!(!node.is_up());
    let mut node = linked();
    node.set_now(at(2000));
    node.check_time();
    assert_eq!(say(&mut node, "_\r\n"), Err("the engine has lost this node's lease".into()));
}

/// Before or after the number: the versions differ.
#[test]
fn a_message_is_answered_once_by_what_comes_first() {
    for number_first in [true, false] {
        let mut node = linked();
        ask(&mut node, 1, Question::Send { room: "7".into(), text: "\"hi\"", subscribed: true });
        let envelope = String::from_utf8(node.output().to_vec()).unwrap();
        let at = envelope.rfind("\r\n1 ").unwrap() + 2;
        let payload = envelope[at..].strip_suffix("\r\n").unwrap().to_owned();
        let message = format!(">3\r\n+message\r\n+parlor:0:room:7\r\n${}\r\n{payload}\r\n", payload.len());
        let (first, second) = if number_first { (":1\r\n", &*message) } else { (&*message, ":1\r\n") };
        assert_eq!(say(&mut node, first), Ok(vec![(Some(1), Answered::Sent)]));
        assert_eq!(say(&mut node, second), Ok(vec![]));
    }
}

#[test]
fn what_cannot_be_is_a_lost_link() {
    let lost = |subscribed, text: &str| {
        let mut node = linked();
        ask(&mut node, 0, Question::Send { room: "7".into(), text: "\"hi\"", subscribed });
        say(&mut node, text)
    };
    assert_eq!(lost(false, ":0\r\n"), Ok(vec![(Some(0), Answered::RoomNotFound)]));
    for text in [
        ":0\r\n",
        "+OK\r\n",
        "-OOM no memory\r\n",
        ":1\r\n:1\r\n",
        ">3\r\n+unsubscribe\r\n+c\r\n:0\r\n",
        ">2\r\n+invalidate\r\n_\r\n",
        ">3\r\n+message\r\n+parlor:0:room:7\r\n+2 later\r\n",
    ] {
        assert!(lost(true, text).is_err(), "{text:?}");
    }
    let others = ">3\r\n+message\r\n+parlor:0:room:7\r\n+whoever wrote this\r\n:1\r\n";
    assert!(lost(true, others).is_ok(), "what no node has written is nothing");
}

/// Past the window clients wait here, and those who go are told first.
#[test]
fn little_waits_for_the_engine_and_the_rest_waits_in_order() {
    let mut node = linked();
    let text = format!("\"{}\"", "x".repeat(3000));
    ask(&mut node, 0, Question::Send { room: "7".into(), text: &text, subscribed: false });
    let waits = node.output().len();
    ask(&mut node, 1, Question::Find(room()));
    node.desert(b"8");
    assert_eq!((node.output().len(), node.take_parked()), (waits, None));
    assert_eq!(say(&mut node, ":2\r\n"), Ok(vec![(Some(0), Answered::Sent)]));
    node.check_time();
    assert!(String::from_utf8_lossy(node.output()).contains("UNSUBSCRIBE"));
    assert_eq!(node.take_parked(), Some((1, b"{}".to_vec())));
    assert!(node.is_asking(1), "until it has got its reply");
}

#[test]
fn who_goes_while_it_asks_is_forgotten_and_what_it_asked_for_is_freed() {
    let mut node = linked();
    let name: Rc<[u8]> = b"Ann".as_slice().into();
    ask(&mut node, 0, Question::Claim(name.clone()));
    node.depart(0);
    node.admit(0, b"guest-3");
    let output = String::from_utf8_lossy(node.output()).into_owned();
    assert!(output.rfind("parlor:nick:Ann") > output.rfind("'EXISTS'"), "the claim, then the freeing");
    assert_eq!(say(&mut node, ":1\r\n"), Ok(vec![(None, Answered::Named(name))]));
    assert_eq!(say(&mut node, ":1\r\n"), Ok(vec![]));
    assert_eq!(node.asking_len(), 0);
}

#[test]
fn the_last_commands_are_waited_for() {
    let mut node = linked();
    node.leave();
    assert!(node.is_leaving_cluster());
    let two = ">3\r\n+unsubscribe\r\n+a\r\n:1\r\n>3\r\n+unsubscribe\r\n+b\r\n:0\r\n";
    assert_eq!(say(&mut node, two), Ok(vec![]));
    assert!(node.is_leaving_cluster());
    assert_eq!(say(&mut node, ":1\r\n"), Ok(vec![]));
    assert!(!node.is_leaving_cluster());
}
