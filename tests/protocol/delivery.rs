//! What is promised about delivery.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Client, DEADLINE, TestServer, is_error, join, left, login, response, say};

#[test]
fn all_subscribers_get_a_rooms_messages_in_the_same_order() {
    let server = TestServer::start();
    let (speakers, each) = (4, 500);
    let mut subscribers: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    subscribers.iter_mut().for_each(|subscriber| subscriber.join("room"));
    // All at once, and each as fast as it can.
    std::thread::scope(|scope| {
        for speaker in 0..speakers {
            let mut client = server.connect();
            scope.spawn(move || {
                client.login(&speaker.to_string());
                let requests: Vec<String> =
                    (0..each).map(|number| say("room", &number.to_string())).collect();
                client.send(requests.join("\n") + "\n");
                requests.iter().for_each(|request| assert_eq!(client.recv_line(), response(request)));
            });
        }
    });
    let got: Vec<Vec<String>> = subscribers
        .iter_mut()
        .map(|subscriber| {
            let lines = (0..speakers * each).map(|_| subscriber.recv_line()).collect();
            subscriber.nothing_more();
            lines
        })
        .collect();
    assert!(got.iter().all(|lines| *lines == got[0]), "not one order");
    // And within it each speaker's own.
    for speaker in 0..speakers {
        let own: Vec<&String> =
            got[0].iter().filter(|line| line.contains(&format!(r#""author":"{speaker}""#))).collect();
        assert_eq!(own.len(), each);
        for (number, line) in own.iter().enumerate() {
            assert!(line.ends_with(&format!(r#""text":"{number}"}}"#)), "{line} is not number {number}");
        }
    }
}

/// Sets the flag when it is dropped.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_subscriber_gets_every_message_from_join_to_left_and_none_other() {
    let server = TestServer::start();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut speaker = server.connect();
        speaker.join("room");
        let mut listener = server.connect();
        let finished = &finished;
        scope.spawn(move || {
            // Numbers, a hundred at a time, until the listener has heard enough.
            let mut next = 0;
            while !finished.load(Ordering::Relaxed) {
                let requests: Vec<String> =
                    (next..next + 100).map(|number| say("room", &number.to_string())).collect();
                next += 100;
                speaker.send(requests.join("\n") + "\n");
                for request in requests {
                    assert_eq!(speaker.recv_line(), response(&request));
                    speaker.recv_line();
                }
            }
        });
        // Also where the test fails: the scope waits for the speaker.
        let _finish = Finish(finished);
        let mut last: Option<u64> = None;
        for round in 0..30 {
            listener.join("room");
            let mut first = true;
            let mut hear = |line: &str| {
                let message: serde_json::Value = serde_json::from_str(line).unwrap();
                let number: u64 = message["text"].as_str().expect("a message").parse().unwrap();
                // Later than all before this subscription, and then without a gap.
                let fits = last.is_none_or(|last| if first { number > last } else { number == last + 1 });
                assert!(fits, "{number} came after {last:?}");
                (first, last) = (false, Some(number));
            };
            (0..round * 10).for_each(|_| hear(&listener.recv_line()));
            let request = left("room");
            listener.send_line(&request);
            loop {
                let line = listener.recv_line();
                if line == response(&request) {
                    break;
                }
                hear(&line);
            }
            listener.nothing_more();
        }
    });
}

#[test]
fn nothing_is_stored() {
    let server = TestServer::start();
    let [mut alice, mut bob, mut carol] = [(); 3].map(|()| server.connect());
    alice.login("Alice");
    bob.join("room");
    alice.say("room", "before");
    carol.join("room");
    carol.nothing_more();
    alice.say("room", "after");
    bob.expect_message("room", "Alice", "before");
    bob.expect_message("room", "Alice", "after");
    carol.expect_message("room", "Alice", "after");
    // Nor kept for one that comes back.
    bob.leave("room");
    alice.say("room", "meanwhile");
    bob.join("room");
    bob.nothing_more();
}

#[test]
fn the_others_never_wait_for_one_that_does_not_read() {
    let server = TestServer::with(|options| options.max_pending = 64 << 20);
    let mut slow = Client::connect_narrow(&server.addresses()[0]);
    let [mut speaker, mut reader] = [(); 2].map(|()| server.connect());
    slow.join("room");
    reader.join("room");
    speaker.login("Alice");
    let text = |number: usize| format!("{number:05}").repeat(3_000);
    let count = 500;
    // Each has arrived with the reader before the next is sent, while all of them wait for the slow one.
    for number in 0..count {
        speaker.say("room", &text(number));
        reader.expect_message("room", "Alice", &text(number));
    }
    // And as the limit was not reached, the server drops nothing.
    for number in 0..count {
        slow.expect_message("room", "Alice", &text(number));
    }
    slow.nothing_more();
}

#[test]
fn a_client_that_does_not_read_its_replies_is_not_read_from_until_it_does() {
    let server = TestServer::start();
    let mut client = Client::connect_narrow(&server.addresses()[0]);
    let request = join("x".repeat(10_000));
    let all = format!("{request}\n").repeat(10_000);
    let sent = client.send_until_stuck(all.as_bytes());
    assert!(sent < all.len(), "the server has read {} bytes while none of its replies was read", all.len());
    // It goes on where it stopped: nothing is lost.
    let (rest, lines) = (&all.as_bytes()[sent..], sent.div_ceil(request.len() + 1));
    let rest = &rest[..lines * (request.len() + 1) - sent];
    let socket = client.socket().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut &socket, rest).unwrap());
        (0..lines).for_each(|_| assert_eq!(client.recv_line(), response(&request)));
    });
    client.nothing_more();
}

#[test]
fn requests_that_were_read_before_the_replies_got_stuck_are_carried_out_too() {
    let server = TestServer::with(|options| options.max_pending = 64 << 20);
    let mut client = Client::connect_narrow(&server.addresses()[0]);
    let mut other = server.connect();
    other.login("Bob");
    client.join("room");
    // First the client's socket is filled with what another says, so that all of its own replies wait.
    let (text, count) = ("x".repeat(15_000), 600);
    (0..count).for_each(|_| other.say("room", &text));
    // Little enough to be read at once, but with replies that are too many to go on.
    let requests: Vec<String> = (0..1500).map(join).collect();
    client.send(requests.join("\n") + "\n");
    other.nothing_more();
    (0..count).for_each(|_| client.expect_message("room", "Bob", &text));
    for (number, request) in requests.iter().enumerate() {
        let line = client.recv_line();
        let is_reply =
            line == response(request) || number >= 127 && is_error(&line, request, "Too many rooms");
        assert!(is_reply, "{line} came for {request}");
    }
    client.nothing_more();
}

#[test]
fn what_a_client_causes_itself_never_makes_it_too_slow() {
    let server = TestServer::with(|options| options.max_pending = 1000);
    let mut client = Client::connect_narrow(&server.addresses()[0]);
    let mut other = server.connect();
    client.login("Alice");
    other.login("Bob");
    client.join("room");
    let text = "x".repeat(10_000);
    let request = say("room", &text);
    let all = format!("{request}\n").repeat(10_000);
    let sent = client.send_until_stuck(all.as_bytes());
    assert!(sent < all.len(), "the server has read {} bytes while no line was read", all.len());
    // Much of its own waits now, and then a little of another's, which is within the limit.
    (0..3).for_each(|number| other.say("room", &number.to_string()));
    let (mut replies, mut own, mut others) = (0, 0, 0);
    let count = sent / (request.len() + 1);
    while own < count || others < 3 {
        let line = client.recv_line();
        if line == response(&request) {
            replies += 1;
        } else if line.contains(r#""author":"Alice""#) {
            own += 1;
            assert_eq!(own, replies, "each right after its reply");
        } else {
            assert!(line.ends_with(&format!(r#""author":"Bob","text":"{others}"}}"#)), "{line}");
            others += 1;
        }
    }
}

#[test]
fn one_line_alone_always_fits_however_long() {
    let server = TestServer::with(|options| {
        options.max_pending = 1;
        options.max_line = 32 << 20;
    });
    let mut reader = Client::connect_narrow(&server.addresses()[0]);
    let mut speaker = server.connect();
    speaker.login("Alice");
    reader.join("room");
    // More than the kernel takes in for a client that does not read.
    let text = "x".repeat(16 << 20);
    speaker.say("room", &text);
    reader.expect_message("room", "Alice", &text);
    speaker.say("room", "again");
    reader.expect_message("room", "Alice", "again");
    reader.nothing_more();
}

#[test]
fn with_a_rate_a_client_that_sends_faster_is_read_more_slowly_and_loses_nothing() {
    let server = TestServer::with(|options| options.rate = 300);
    let [mut fast, mut other] = [(); 2].map(|()| server.connect());
    let begin = std::time::Instant::now();
    let count = 900;
    let requests: Vec<String> = (0..count).map(|number| login(&format!("fast {number}"))).collect();
    fast.send(requests.join("\n") + "\n");
    other.nothing_more();
    requests.iter().for_each(|request| assert_eq!(fast.recv_line(), response(request)));
    // Twice the rate may come at once; what is more has to wait its turn.
    let least = std::time::Duration::from_millis((count - 2 * 300) * 1000 / 300);
    assert!(begin.elapsed() >= least.mul_f32(0.9), "{count} requests took only {:?}", begin.elapsed());
    assert!(begin.elapsed() < DEADLINE);
}
