//! A line that the model says a client gets, shared by all that get it.

use std::cell::{OnceCell, RefCell};

use crate::model::{Expected, Room, json, words};
use crate::trace::Who;

#[derive(Debug)]
pub struct Wanted {
    pub expected: Expected,
    /// Whose request has caused it.
    pub by: Who,
    request: Vec<u8>,
    /// As it came, for the first that got it; so that not everyone has to look into it.
    seen: RefCell<Vec<u8>>,
    length: OnceCell<usize>,
}

impl Wanted {
    pub fn new(expected: Expected, by: Who, request: &[u8]) -> Wanted {
        let request =
            if matches!(expected, Expected::Message { .. }) { request.to_vec() } else { Vec::new() };
        Wanted { expected, by, request, seen: RefCell::default(), length: OnceCell::new() }
    }

    /// Is this line (without its `\n`) the one?
    pub fn check(&self, line: &[u8]) -> Result<(), String> {
        if self.seen.borrow().as_slice() == line {
            return Ok(());
        }
        self.expected.check(line)?;
        *self.seen.borrow_mut() = line.to_vec();
        Ok(())
    }

    /// Its length, `\n` included; of an ERROR, whose detail the protocol leaves open, the least.
    pub fn length(&self) -> usize {
        *self.length.get_or_init(|| match &self.expected {
            Expected::Response { request } => {
                r#"{"action":"RESPONSE","request":,"message":"OK"}"#.len() + request.len() + 1
            }
            Expected::Error { request, words, .. } => {
                r#"{"action":"ERROR","request":,"message":""}"#.len() + request.len() + words.len() + 1
            }
            Expected::Message { room, author, .. } => {
                let room = match room {
                    Room::Integer(integer) => integer.to_string(),
                    Room::Text(text) => spelled(text),
                };
                let author = spelled(author.as_deref().unwrap_or_default());
                let words = r#"{"action":"GET MESSAGE","room_id":,"author":,"text":}"#.len();
                words + room.len() + author.len() + self.text().len() + 1
            }
        })
    }

    /// The text as the sender wrote it, but for the characters that are always escaped.
    fn text(&self) -> String {
        let members = json::value(&self.request).and_then(json::members).unwrap_or_default();
        let text = members.iter().find(|(name, _)| name == "text").map_or("", |(_, value)| value);
        controls_escaped(text)
    }
}

fn spelled(text: &str) -> String {
    controls_escaped(&serde_json::to_string(text).unwrap())
}

fn controls_escaped(text: &str) -> String {
    let escaped = |char: char| match char {
        _ if words::is_always_escaped(char) => format!("\\u{:04x}", char as u32),
        _ => char.into(),
    };
    text.chars().map(escaped).collect()
}
