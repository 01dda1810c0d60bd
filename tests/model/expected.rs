//! A line that the model says a client gets, and whether one that came is it.

use super::{Id, json, words};

/// Integer or string: 7 and "7" are two rooms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    Integer(i128),
    Text(String),
}

/// What PROTOCOL.md says of one line from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The request, as it was written.
    Response { request: String },
    /// The words the message begins with. Where the detail must name a member, one of `members`.
    Error { request: String, words: &'static str, members: Vec<&'static str> },
    /// The author is `None` as long as the model was not told which guest name the sender has.
    Message { room: Room, sender: Id, author: Option<String>, text: String },
}

impl Expected {
    /// The last line of a connection that the server ends.
    pub fn last_line(words: &'static str) -> Expected {
        Expected::Error { request: "null".into(), words, members: vec![] }
    }

    /// Is this line (without its `\n`) the one that was expected? If not: why.
    pub fn check(&self, line: &[u8]) -> Result<(), String> {
        let valid = json::value(line).filter(|value| value.len() == line.len());
        valid
            .ok_or_else(|| "the line is not one JSON value".into())
            .and_then(|line| match self {
                Expected::Response { request } => check_response(line, request),
                Expected::Error { request, words, members } => check_error(line, request, words, members),
                Expected::Message { room, author, text, .. } => {
                    check_message(line, room, author.as_deref(), text)
                }
            })
            .map_err(|why| format!("{why}\n expected {self:?}\n      got {}", String::from_utf8_lossy(line)))
    }
}

/// Whose message it is; `None` for a line that is no GET MESSAGE.
pub fn author(line: &[u8]) -> Option<String> {
    let members = json::members(json::value(line)?)?;
    json::string(members.iter().find(|(name, _)| name == "author")?.1)
}

fn check_response(line: &str, request: &str) -> Result<(), String> {
    let whole = format!(r#"{{"action":"RESPONSE","request":{request},"message":"OK"}}"#);
    (line == whole).then_some(()).ok_or("not the RESPONSE to this request".into())
}

fn check_error(line: &str, request: &str, words: &str, members: &[&str]) -> Result<(), String> {
    let message = line
        .strip_prefix(&format!(r#"{{"action":"ERROR","request":{request},"message":"#))
        .and_then(|rest| json::string(rest.strip_suffix('}')?))
        .ok_or("not an ERROR for this request")?;
    let detail = message.strip_prefix(words).ok_or("another error")?;
    if !detail.is_empty() && !detail.starts_with(": ") {
        return Err("the error's words go on without a colon".into());
    }
    let mut named = detail.split(|c: char| c != '_' && !c.is_alphanumeric());
    if !members.is_empty() && !named.any(|word| members.contains(&word)) {
        return Err("the detail does not name the member".into());
    }
    if words == "Missing parameter" && !members.iter().any(|member| detail == format!(": {member}")) {
        return Err("the detail is not the missing member's name".into());
    }
    Ok(())
}

fn check_message(line: &str, room: &Room, author: Option<&str>, text: &str) -> Result<(), String> {
    if line.contains(words::is_always_escaped) {
        return Err("a line end or a control character is not escaped".into());
    }
    let members = json::members(line).ok_or("no object")?;
    let [(a, _), (b, room_is), (c, author_is), (d, text_is)] = &members[..] else {
        return Err("not the four members of GET MESSAGE".into());
    };
    if [a, b, c, d] != ["action", "room_id", "author", "text"] {
        return Err("not the members of GET MESSAGE in their order".into());
    }
    let whole =
        format!(r#"{{"action":"GET MESSAGE","room_id":{room_is},"author":{author_is},"text":{text_is}}}"#);
    if line != whole {
        return Err("no GET MESSAGE, or white space between its members".into());
    }
    let room_right = match room {
        Room::Integer(integer) => *room_is == integer.to_string(),
        Room::Text(text) => json::string(room_is).as_ref() == Some(text),
    };
    let author_is = json::string(author_is).ok_or("the author is no string")?;
    match (
        room_right,
        author.is_none_or(|author| author == author_is),
        json::string(text_is).as_deref() == Some(text),
    ) {
        (false, ..) => Err("another room".into()),
        (_, false, _) => Err("another author".into()),
        (.., false) => Err("another text".into()),
        _ => Ok(()),
    }
}
