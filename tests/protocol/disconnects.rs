//! The last words of the server: why it ends a connection. Here `expect_farewell` says that they were the last line and
//! that the stream then ended in good order, not with a reset.

use std::time::{Duration, Instant};

use parlor::options::Listen;

use crate::common::{self, Client, TestServer, eventually, is_error, join, left, login, response, say};

// Too many clients

#[test]
fn one_client_more_than_the_limit_is_told_too_many_clients() {
    let server = TestServer::with(|options| options.max_clients = 2);
    let [mut alice, mut bob] = [(); 2].map(|()| server.connect());
    alice.nothing_more();
    bob.nothing_more();
    for _ in 0..10 {
        server.connect().expect_farewell("Too many clients");
    }
    // Those that are there go on; and where one goes, another may come.
    alice.nothing_more();
    bob.finish_sending();
    bob.expect_end();
    let mut carol = server.connect();
    carol.nothing_more();
    server.connect().expect_farewell("Too many clients");
}

#[test]
fn for_a_client_too_many_nothing_else_is_carried_out_and_what_it_sent_does_not_lose_its_last_line() {
    let server = TestServer::with(|options| options.max_clients = 1);
    let mut alice = server.connect();
    alice.join("room");
    for _ in 0..20 {
        let mut other = server.connect();
        // The server may be quicker than this and close before all is sent; that is no fault.
        let _ = other.try_send(format!("{}\n", say("room", "x")).repeat(2000));
        other.expect_farewell("Too many clients");
    }
    alice.nothing_more();
}

#[test]
fn the_limit_for_one_address_counts_each_address_and_no_unix_socket() {
    let path = common::socket_path();
    let server = TestServer::with(|options| {
        options.max_clients_per_ip = 2;
        options.listen = vec![Listen::tcp("127.0.0.1:0"), Listen::unix(path)];
    });
    let mut first: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    first.iter_mut().for_each(Client::nothing_more);
    server.connect().expect_farewell("Too many clients");
    let mut by_path: Vec<Client> = (0..4).map(|_| Client::connect(&server.addresses()[1])).collect();
    by_path.iter_mut().for_each(Client::nothing_more);
    // Every address of 127/8 is this host, on Linux without asking for it.
    if cfg!(target_os = "linux") {
        let from = |address: [u8; 4]| {
            let address = std::net::SocketAddr::from((address, 0));
            Client::connect_with(&server.addresses()[0], |socket| socket.bind(&address.into()).unwrap())
        };
        let mut others: Vec<Client> = (0..2).map(|_| from([127, 0, 0, 2])).collect();
        others.iter_mut().for_each(Client::nothing_more);
        from([127, 0, 0, 2]).expect_farewell("Too many clients");
    }
    first[0].finish_sending();
    first[0].expect_end();
    server.connect().nothing_more();
}

#[test]
fn too_many_clients_says_which_limit_it_was() {
    let of_the_server = TestServer::with(|options| options.max_clients = 1);
    let of_the_address = TestServer::with(|options| options.max_clients_per_ip = 1);
    for (server, detail) in [(of_the_server, "the server"), (of_the_address, "your address")] {
        let mut first = server.connect();
        first.nothing_more();
        server.connect().expect_farewell(&format!("Too many clients: {detail}"));
    }
}

// Too slow

/// Says numbers in the room until nobody has this nickname any more, and how many it said.
fn say_until_free(speaker: &mut Client, nickname: &str, room: &str) -> usize {
    for number in 1.. {
        speaker.say(room, &numbered(number - 1));
        if speaker.ask(login(nickname)) == response(&login(nickname)) {
            speaker.login("Speaker");
            return number;
        }
        assert!(number < 10_000, "200 MB wait for {nickname}");
    }
    unreachable!()
}

fn numbered(number: usize) -> String {
    format!("{number:05}").repeat(3_000)
}

/// Reads numbers without a gap from the first one; how many, and the line that is none.
fn read_numbers(client: &mut Client) -> (usize, String) {
    for number in 0.. {
        let line = client.recv_line();
        let text = numbered(number);
        if !line.ends_with(&format!(r#""text":"{text}"}}"#)) {
            return (number, line);
        }
    }
    unreachable!()
}

#[test]
fn a_client_that_does_not_read_its_rooms_is_told_too_slow_after_whole_lines_without_a_gap() {
    let server = TestServer::with(|options| options.max_pending = 100_000);
    let mut slow = Client::connect_narrow(&server.addresses()[0]);
    slow.login("Slow");
    slow.join("room");
    slow.join("its own room");
    let [mut speaker, mut witness] = [(); 2].map(|()| server.connect());
    witness.join("room");
    // The witness reads all the time: it gets everything.
    let sent = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut numbers = 0;
            loop {
                let line = witness.recv_line();
                if line.ends_with("\"the end\"}") {
                    return numbers;
                }
                assert!(line.ends_with(&format!("{}\"}}", numbered(numbers))), "number {numbers} is missing");
                numbers += 1;
            }
        });
        let sent = say_until_free(&mut speaker, "Slow", "room");
        speaker.say("room", "the end");
        assert_eq!(reader.join().unwrap(), sent);
        sent
    });
    // From that moment it has left its rooms, although it has not read a word yet.
    speaker.expect_error(say("its own room", "x"), "Room not found");
    let (count, last) = read_numbers(&mut slow);
    assert!(is_error(&last, "null", "Too slow"), "{last:.200}");
    slow.expect_end();
    assert!((1..sent).contains(&count), "{count} of {sent} lines came");
}

#[test]
fn the_last_line_is_not_lost_where_unread_input_is_left_in_the_socket() {
    let server = TestServer::with(|options| options.max_pending = 100_000);
    let mut slow = Client::connect_narrow(&server.addresses()[0]);
    slow.login("Slow");
    slow.join("room");
    let request = join("x".repeat(10_000));
    let all = format!("{request}\n").repeat(10_000);
    let sent = slow.send_until_stuck(all.as_bytes());
    assert!(sent < all.len());
    let mut speaker = server.connect();
    say_until_free(&mut speaker, "Slow", "room");
    let mut replies = 0;
    let last = loop {
        let line = slow.recv_line();
        if line != response(&request) {
            break line;
        }
        replies += 1;
    };
    assert!(is_error(&last, "null", "Too slow"), "after {replies} replies: {last:.200}");
    slow.expect_end();
    assert!(replies < sent / request.len());
}

#[test]
fn out_of_memory_ends_the_client_for_which_most_waits() {
    let server = TestServer::with(|options| {
        // The kernel holds little for a Unix socket, and always as much: what is not read waits in the server.
        options.listen = vec![Listen::unix(common::socket_path())];
        options.max_memory = 8 << 20;
        options.max_pending = 1 << 30;
    });
    let [mut more, mut less, mut speaker] = [(); 3].map(|()| server.connect());
    more.login("More");
    more.join("room");
    less.login("Less");
    less.join("small room");
    speaker.login("Speaker");
    let little = 100;
    (0..little).for_each(|number| speaker.say("small room", &numbered(number)));
    let sent = say_until_free(&mut speaker, "More", "room");
    assert!(sent > little);
    let (count, last) = read_numbers(&mut more);
    assert!(is_error(&last, "null", "Out of memory"), "{last:.200}");
    more.expect_end();
    assert!((1..sent).contains(&count), "{count} of {sent} lines came");
    // The other had to wait for less.
    less.nothing_more_after(little, |number, message| assert_eq!(message["text"], numbered(number)));
}

// Idle too long

#[test]
fn a_client_from_which_nothing_comes_is_told_idle_too_long() {
    let timeout = Duration::from_secs(2);
    let server = TestServer::with(|options| options.idle_timeout = timeout);
    loop {
        let mut talker = server.connect();
        let begin = Instant::now();
        let mut never_said_a_word = server.connect();
        let mut idle = server.connect();
        idle.login("Idle");
        idle.join("room");
        // Meanwhile one sends now and then, though no whole request: it is not idle.
        let (mut sent_at, mut longest_pause) = (begin, Duration::ZERO);
        idle.until_something_comes(Duration::from_millis(100), || {
            let _ = talker.try_send(" ");
            longest_pause = longest_pause.max(sent_at.elapsed());
            sent_at = Instant::now();
        });
        idle.expect_farewell("Idle too long");
        assert!(begin.elapsed() >= timeout, "after {:?}", begin.elapsed());
        never_said_a_word.expect_farewell("Idle too long");
        // On a busy machine this thread can stand still for so long that the talker was idle, too.
        if longest_pause.max(sent_at.elapsed()) < timeout / 2 {
            talker.expect_error(say("room", "x"), "Room not found");
            talker.login("Idle");
            return;
        }
    }
}

#[test]
fn what_waits_for_an_idle_client_goes_out_first() {
    let server = TestServer::with(|options| {
        options.idle_timeout = Duration::from_secs(2);
        options.max_pending = 64 << 20;
    });
    let mut idle = Client::connect_narrow(&server.addresses()[0]);
    idle.login("Idle");
    idle.join("room");
    let mut speaker = server.connect();
    // On a busy machine its time may be over before all is said. Then the room is gone with it.
    let requests = (0..600).map(|number| say("room", &numbered(number)));
    let count = requests.take_while(|request| speaker.ask(request) == response(request)).count();
    eventually("the server gives it up", || {
        is_error(&speaker.ask(left("room")), &left("room"), "Room not found")
    });
    let (came, last) = read_numbers(&mut idle);
    assert!(is_error(&last, "null", "Idle too long"), "{last:.200}");
    assert_eq!(came, count);
    idle.expect_end();
}

#[test]
fn a_client_that_is_not_read_from_is_not_idle() {
    let server = TestServer::with(|options| options.idle_timeout = Duration::from_secs(2));
    let mut stuck = Client::connect_narrow(&server.addresses()[0]);
    let request = join("x".repeat(10_000));
    let all = format!("{request}\n").repeat(10_000);
    let sent = stuck.send_until_stuck(all.as_bytes());
    assert!(sent < all.len());
    // Twice the time, as told by others that are idle.
    for _ in 0..2 {
        server.connect().expect_farewell("Idle too long");
    }
    for _ in 0..sent / (request.len() + 1) {
        assert_eq!(stuck.recv_line(), response(&request));
    }
}

// Server shutting down

#[test]
fn when_the_server_stops_everyone_is_told_and_what_waits_goes_out_first() {
    let server = TestServer::with(|options| options.max_pending = 64 << 20);
    let mut slow = Client::connect_narrow(&server.addresses()[0]);
    let [mut speaker, mut idle] = [(); 2].map(|()| server.connect());
    slow.join("room");
    idle.nothing_more();
    let count = 600;
    (0..count).for_each(|number| speaker.say("room", &numbered(number)));
    server.begin_to_stop();
    idle.expect_farewell("Server shutting down");
    speaker.expect_farewell("Server shutting down");
    let (came, last) = read_numbers(&mut slow);
    assert!(is_error(&last, "null", "Server shutting down"), "{last:.200}");
    assert_eq!(came, count, "what was answered OK has arrived");
    slow.expect_end();
}

#[test]
fn when_the_server_stops_amid_traffic_all_that_was_answered_has_arrived() {
    let server = TestServer::start();
    let mut reader = server.connect();
    reader.join("room");
    let mut speaker = server.connect();
    speaker.login("Alice");
    let request = say("room", "x");
    let (mut answered, mut heard) = (0, 0);
    std::thread::scope(|scope| {
        let socket = speaker.socket().try_clone().unwrap();
        let all = format!("{request}\n").repeat(100);
        // Until the server reads no further; what is then unread must cost neither its last line.
        scope.spawn(move || while std::io::Write::write_all(&mut &socket, all.as_bytes()).is_ok() {});
        let speaker = scope.spawn(|| {
            loop {
                let line = speaker.recv_line();
                if line != response(&request) {
                    assert!(is_error(&line, "null", "Server shutting down"), "{line}");
                    speaker.expect_end();
                    // The writer may still wait for room.
                    let _ = speaker.socket().shutdown(std::net::Shutdown::Both);
                    return;
                }
                answered += 1;
            }
        });
        let mut last = reader.recv_line();
        while last == r#"{"action":"GET MESSAGE","room_id":"room","author":"Alice","text":"x"}"# {
            heard += 1;
            if heard == 1000 {
                server.begin_to_stop();
            }
            last = reader.recv_line();
        }
        assert!(is_error(&last, "null", "Server shutting down"), "{last}");
        reader.expect_end();
        speaker.join().unwrap();
    });
    assert_eq!(answered, heard);
}

#[test]
fn the_server_waits_for_those_that_do_not_read_no_longer_than_drain() {
    let server = TestServer::with(|options| {
        options.max_pending = 64 << 20;
        options.drain = Duration::from_secs(1);
    });
    let mut stuck = Client::connect_narrow(&server.addresses()[0]);
    stuck.join("room");
    let mut speaker = server.connect();
    (0..600).for_each(|number| speaker.say("room", &numbered(number)));
    let begin = Instant::now();
    server.stop();
    let took = begin.elapsed();
    // `stop` itself would not wait much longer.
    assert!(took >= Duration::from_millis(900), "it took {took:?}");
}

#[test]
fn a_connection_is_closed_at_once_when_its_last_words_are_out_and_the_peer_has_closed() {
    let server = TestServer::with(|options| options.drain = Duration::from_secs(3600));
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(Client::nothing_more);
    server.begin_to_stop();
    clients.iter_mut().for_each(|client| client.expect_farewell("Server shutting down"));
    drop(clients);
    server.stop();
}

#[test]
fn when_the_server_stops_nobody_waits_for_a_client_that_only_does_not_close() {
    let server = TestServer::with(|options| options.drain = Duration::from_secs(3600));
    let mut idle: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(Client::nothing_more);
    // They keep their side open. `stop` waits for an end, though for no hour.
    server.stop();
    idle.iter_mut().for_each(|client| client.expect_farewell("Server shutting down"));
}

#[test]
fn drain_0_waits_for_nobody() {
    let server = TestServer::with(|options| {
        options.max_pending = 64 << 20;
        options.drain = Duration::ZERO;
    });
    let mut stuck = Client::connect_narrow(&server.addresses()[0]);
    stuck.join("room");
    let mut speaker = server.connect();
    (0..600).for_each(|number| speaker.say("room", &numbered(number)));
    server.stop();
}

#[test]
fn a_connection_is_kept_for_its_last_words_for_a_few_seconds_only() {
    let server = TestServer::with(|options| options.max_clients = 1);
    let mut alice = server.connect();
    alice.nothing_more();
    let mut refused = server.connect();
    refused.expect_farewell("Too many clients");
    // It does not close. What it sends is discarded, until the server has enough of it.
    eventually("the server closes", || refused.try_send(" ").is_err());
    alice.nothing_more();
}

#[test]
fn a_connection_with_its_last_words_counts_no_longer_as_a_client() {
    let server = TestServer::with(|options| {
        options.max_clients = 1;
        options.idle_timeout = Duration::from_secs(2);
    });
    let mut idle = server.connect();
    idle.login("Idle");
    let _last_line = idle.recv_line();
    // It has not closed, and may not even know; another may come, and take its name.
    let mut next = server.connect();
    next.login("Idle");
    idle.expect_end();
}
