//! One line of the server, taken apart. Knows nothing of what was asked.

use serde_json::{Map, Value};

use super::{Room, Strange};

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ServerLine {
    Response,
    Error {
        why: String,
        /// `request` is null: the line that it answers could not be read, or it answers none.
        of_nothing: bool,
    },
    Message {
        room: Room,
        author: String,
        text: String,
    },
}

impl ServerLine {
    pub(super) fn parse(line: &[u8]) -> Result<ServerLine, Strange> {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(line) else {
            return Err(Strange::NotProtocol);
        };
        let Some(action) = take_text(&mut members, "action") else { return Err(Strange::NotProtocol) };
        match action.as_str() {
            "RESPONSE" => Ok(ServerLine::Response),
            "ERROR" => {
                let why = take_text(&mut members, "message").ok_or(Strange::NotKnown)?;
                let of_nothing = members.get("request").is_none_or(Value::is_null);
                Ok(ServerLine::Error { why, of_nothing })
            }
            "GET MESSAGE" => {
                let room = members.get("room_id").and_then(Room::from_json).ok_or(Strange::NotKnown)?;
                let author = take_text(&mut members, "author").ok_or(Strange::NotKnown)?;
                let text = take_text(&mut members, "text").ok_or(Strange::NotKnown)?;
                Ok(ServerLine::Message { room, author, text })
            }
            _ => Err(Strange::NotKnown),
        }
    }
}

fn take_text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
