//! Clients that come, say thousands of random things, right and wrong, and go: every line that anyone gets is compared
//! with the model. One request is under way at a time, so there is only one right answer.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Shutdown;

use parlor::options::{Listen, Options};

use crate::common::random::Random;
use crate::common::requests::Speech;
use crate::common::{self, Client, TestServer, eventually, join, left, login, response, say};
use crate::model::{Expected, Id, Model, author};

const STEPS: usize = 10_000;
const CLIENTS_MAX: usize = 8;

struct Conversation {
    model: Model,
    clients: BTreeMap<Id, Client>,
    /// Dropped after the clients: it would wait for them to close.
    server: TestServer,
    random: Random,
    speech: Speech,
    next: Id,
}

#[test]
fn every_line_of_a_random_conversation_is_what_the_model_says() {
    let random = Random::from_environment();
    Conversation::begin(random, |options| options.max_rooms = 4).go_on();
}

#[test]
fn every_line_of_a_random_conversation_among_members_only_is_what_the_model_says() {
    let random = Random::from_environment();
    Conversation::begin(random, |options| options.members_only = true).go_on();
}

#[test]
fn a_stream_of_random_lines_cut_anywhere_gives_what_the_model_says() {
    let mut random = Random::from_environment();
    let server = TestServer::with(|options| options.max_line = 1000);
    let speech = Speech::new(1000);
    for _ in 0..20 {
        let mut model = Model::new(&Options { max_line: 1000, ..Options::default() });
        model.connect(0);
        let lines: Vec<Vec<u8>> = (0..500).map(|_| speech.line(&mut random)).collect();
        let mut client = server.connect();
        let mut socket = client.socket().try_clone().unwrap();
        let stream = lines.join(&b'\n');
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut rest = &stream[..];
                while !rest.is_empty() {
                    let length = if random.once_in(3) { 5000 } else { 50 };
                    let (piece, others) = rest.split_at(rest.len().min(random.below(length) + 1));
                    socket.write_all(piece).unwrap();
                    rest = others;
                }
                // The last line has no line end.
                socket.shutdown(Shutdown::Write).unwrap();
            });
            for (line, (_, expected)) in
                lines.iter().flat_map(|line| model.line(0, line).into_iter().map(move |e| (line, e)))
            {
                let came = client.recv_line();
                expected.check(came.as_bytes()).unwrap_or_else(|why| panic!("{why}\nafter {}", show(line)));
            }
        });
        client.expect_end();
    }
}

impl Conversation {
    fn begin(random: Random, change: impl FnOnce(&mut Options)) -> Conversation {
        let listen = vec![Listen::tcp("127.0.0.1:0"), Listen::unix(common::socket_path())];
        let mut options = Options { listen, max_line: 1000, ..Options::default() };
        change(&mut options);
        let mut speech = Speech::new(options.max_line);
        speech.nicknames.extend((1..6).map(|number| format!("guest-{number}")));
        let model = Model::new(&options);
        let server = TestServer::with(|o| *o = options);
        Conversation { server, model, clients: BTreeMap::new(), random, speech, next: 0 }
    }

    fn go_on(mut self) {
        for _ in 0..STEPS {
            if self.clients.is_empty() || self.clients.len() < CLIENTS_MAX && self.random.once_in(20) {
                self.someone_comes();
            } else if self.random.once_in(40) {
                self.someone_goes();
            } else {
                let id = self.anyone();
                let line = self.speech.line(&mut self.random);
                self.exchange(id, &line);
            }
        }
        // Nobody has got more than the model said.
        self.clients.values_mut().for_each(Client::nothing_more);
    }

    fn anyone(&mut self) -> Id {
        let at = self.random.below(self.clients.len());
        *self.clients.keys().nth(at).unwrap()
    }

    /// Sends the line, and reads from everyone what the model says that they get.
    fn exchange(&mut self, id: Id, line: &[u8]) {
        self.clients.get_mut(&id).unwrap().send_line(line);
        for (to, expected) in self.model.line(id, line) {
            let came = self.clients.get_mut(&to).unwrap().next_line();
            let came =
                came.unwrap_or_else(|error| panic!("{error} instead of {expected:?} for {}", show(line)));
            let came = came.unwrap_or_else(|| panic!("the end instead of {expected:?} for {}", show(line)));
            expected
                .check(&came)
                .unwrap_or_else(|why| panic!("{why}\nto {to}, after {id} wrote {}", show(line)));
            if let Expected::Message { sender, .. } = expected {
                self.model.learn(sender, &author(&came).unwrap()).unwrap();
            }
        }
    }

    /// A new client says something to itself first, so that the model knows its guest name.
    fn someone_comes(&mut self) -> Id {
        let id = self.next;
        self.next += 1;
        let which = self.random.below(self.server.addresses().len());
        self.clients.insert(id, Client::connect(&self.server.addresses()[which]));
        self.model.connect(id);
        let room = format!("the hall of {id}");
        for request in [join(room.as_str()), say(room.as_str(), "who am I?"), left(room)] {
            self.exchange(id, request.as_bytes());
        }
        assert!(self.model.nickname(id).is_some());
        id
    }

    fn someone_goes(&mut self) {
        let id = self.anyone();
        let nickname = self.model.nickname(id).unwrap().to_owned();
        let mut client = self.clients.remove(&id).unwrap();
        self.model.disconnect(id);
        match self.random.below(4) {
            0 => {
                client.finish_sending();
                client.expect_end();
                return;
            }
            1 => client.reset(),
            2 => {
                client.send("half a line");
                drop(client);
            }
            _ => drop(client),
        }
        // The server notices in its own time; the nickname tells when it has.
        let witness = if self.clients.is_empty() { self.someone_comes() } else { self.anyone() };
        let request = login(&nickname);
        let client = self.clients.get_mut(&witness).unwrap();
        eventually("the nickname is free", || {
            let reply = client.ask(&request);
            let free = reply == response(&request);
            assert!(free || common::is_error(&reply, &request, "Nickname already in use"), "{reply}");
            free
        });
        self.model.line(witness, request.as_bytes());
    }
}

fn show(line: &[u8]) -> String {
    format!("{:.500}", String::from_utf8_lossy(line))
}
