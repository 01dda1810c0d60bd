//! What the filter does with what it hears: it prints, counts replies, and tells what was refused.

use std::collections::VecDeque;
use std::io::{self, Write};

use parlor::client::{Client, Event, Heard, Request, Room, Strange};

use crate::options::{Options, Task};
use crate::pipes::Output;
use crate::{escape, nickname};

/// What the filter does with what it hears.
pub struct Talk {
    nickname: Option<String>,
    pub rooms: Vec<Room>,
    json: bool,
    is_terminal: bool,
    is_sending: bool,
    /// Replies to come until there is a nickname and all rooms are joined.
    pub preparing: usize,
    /// The lines of input whose requests are not answered, in order.
    pub lines: VecDeque<(u64, u64)>,
    pub last_words: Option<String>,
    was_strange: bool,
    pub failed: bool,
    /// A refusal after which nothing makes sense any more.
    pub fatal: Option<String>,
}

impl Talk {
    /// Nothing was said yet.
    pub fn new(options: &Options, is_terminal: bool) -> Talk {
        Talk {
            nickname: options.nickname.clone(),
            rooms: options.rooms.clone(),
            json: options.json,
            is_terminal,
            is_sending: matches!(options.task, Task::Send(_)),
            preparing: 0,
            lines: VecDeque::new(),
            last_words: None,
            was_strange: false,
            failed: false,
            fatal: None,
        }
    }

    /// The connection stands: asks for the nickname and the rooms.
    pub fn prepare(&mut self, client: &mut Client) {
        match nickname::to_ask_for(self.nickname.as_deref()) {
            Ok(nickname) => _ = client.request(Request::Login { nickname }),
            Err(why) => say(&why),
        }
        if !self.is_sending {
            for room in self.rooms.clone() {
                client.request(Request::Join { room });
            }
        }
        self.preparing = client.unanswered();
    }

    pub fn hear(&mut self, heard: Heard, output: &mut Output) {
        match heard.event {
            Event::Done { number, request } => {
                self.answered(number, &request);
                self.print_reply(&heard.line, output);
            }
            Event::Refused { number, request, why } => {
                self.refused(number, &request, &why);
                self.print_reply(&heard.line, output);
            }
            Event::Message { room, author, text, .. } => {
                if self.json {
                    self.print_json(&heard.line, output);
                } else {
                    let line = format!("[{room}] {author}: {text}");
                    output.push(escape::line(&line).as_bytes());
                }
            }
            Event::LastWords(why) => self.last_words = Some(escape::line(&why)),
            Event::Strange(strange) => self.strange(strange, &heard.line),
        }
    }

    fn print_reply(&self, line: &[u8], output: &mut Output) {
        if self.json && self.is_sending {
            self.print_json(line, output);
        }
    }

    fn print_json(&self, line: &[u8], output: &mut Output) {
        if self.is_terminal {
            output.push(escape::json(&String::from_utf8_lossy(line)).as_bytes());
        } else {
            output.push(line);
        }
    }

    /// Takes note of a reply; the line of input that it belongs to, if it does.
    fn answered(&mut self, number: u64, request: &Request) -> Option<u64> {
        if !matches!(request, Request::Send { .. }) {
            self.preparing = self.preparing.saturating_sub(1);
        }
        match self.lines.front() {
            Some((first, line)) if *first == number => {
                let line = *line;
                self.lines.pop_front();
                Some(line)
            }
            _ => None,
        }
    }

    fn refused(&mut self, number: u64, request: &Request, why: &str) {
        let line = self.answered(number, request);
        let why = escape::line(why);
        match request {
            Request::Login { nickname } if self.nickname.is_none() => {
                say(&nickname::stays_a_guest(nickname, &why));
            }
            Request::Login { nickname } => self.fatal = Some(format!("nickname {nickname:?}: {why}")),
            Request::Join { room } | Request::Leave { room } => {
                self.fatal = Some(escape::line(&format!("cannot join {room}: {why}")));
            }
            Request::Send { room, .. } => {
                self.failed = true;
                match line {
                    Some(line) => say(&format!("line {line}: {why}")),
                    None => say(&escape::line(&format!("{room}: {why}"))),
                }
            }
        }
    }

    fn strange(&mut self, strange: Strange, line: &[u8]) {
        // Once is enough; a server that speaks something else may do so at length.
        if !std::mem::replace(&mut self.was_strange, true) {
            say(&strange_words(strange, line));
        }
    }

    /// What is not known to have been carried out.
    pub fn unconfirmed(&self, client: &Client) -> Option<String> {
        match (client.unanswered(), self.lines.front()) {
            (0, _) => None,
            (_, Some((_, line))) => Some(format!("not confirmed from line {line} on")),
            (count, None) => Some(format!("{count} requests not confirmed")),
        }
    }
}

/// What to say of a line that is not of the protocol.
pub fn strange_words(strange: Strange, line: &[u8]) -> String {
    let begin: String = String::from_utf8_lossy(line).chars().take(60).collect();
    let what = match strange {
        Strange::NotProtocol => "this is no line of a parlor server",
        Strange::NotKnown => "the server said what this client does not know",
        Strange::NotAsked => "the server answered what was not asked",
        Strange::TooLong => return "the server sent a line that is too long to be true".into(),
    };
    format!("{what}: {}", escape::line(&begin))
}

/// A line on standard error. That nobody reads it is no failure.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "parlor-chat: {text}");
}
