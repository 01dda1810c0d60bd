//! What the server says, each as one line with its `\n`, appended to a buffer of the caller. Knows nothing of who gets
//! it.

use super::{Error, text};

/// Why the server ends a connection; its last line says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The server, or the client's address, is at its limit of connections.
    TooManyClients,
    /// More of others' messages waited for this client than may.
    TooSlow,
    /// The server is at its limit of memory, and most waited for this client.
    OutOfMemory,
    /// Nothing came for too long.
    IdleTooLong,
    /// The server stops.
    ShuttingDown,
}

impl Farewell {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Farewell; 5] = [
        Farewell::TooManyClients,
        Farewell::TooSlow,
        Farewell::OutOfMemory,
        Farewell::IdleTooLong,
        Farewell::ShuttingDown,
    ];

    /// The text of `message`.
    pub fn text(self) -> &'static str {
        match self {
            Farewell::TooManyClients => "Too many clients",
            Farewell::TooSlow => "Too slow",
            Farewell::OutOfMemory => "Out of memory",
            Farewell::IdleTooLong => "Idle too long",
            Farewell::ShuttingDown => "Server shutting down",
        }
    }
}

/// Appends the RESPONSE to a request that was carried out. `echo` is the request as the client wrote it.
pub fn response(out: &mut Vec<u8>, echo: &str) {
    append(out, &[br#"{"action":"RESPONSE","request":"#, echo.as_bytes(), b",\"message\":\"OK\"}\n"]);
}

/// Appends the ERROR for a request that was not carried out.
pub fn error(out: &mut Vec<u8>, echo: &str, error: Error) {
    error_line(out, echo, error.text());
}

/// Appends the last line of a connection that the server ends.
pub fn farewell(out: &mut Vec<u8>, farewell: Farewell) {
    error_line(out, "null", farewell.text());
}

/// Appends a GET MESSAGE. `room` and `author` are canonical spellings as the tables keep them, the author's without
/// quotes; `raw_text` is the text as the sender wrote it, with its quotes.
pub fn get_message(out: &mut Vec<u8>, room: &[u8], author: &[u8], raw_text: &str) {
    let text = text::escape_line_ends(raw_text);
    append(
        out,
        &[
            br#"{"action":"GET MESSAGE","room_id":"#,
            room,
            br#","author":""#,
            author,
            br#"","text":"#,
            text.as_bytes(),
            b"}\n",
        ],
    );
}

fn error_line(out: &mut Vec<u8>, echo: &str, message: &'static str) {
    let (echo, message) = (echo.as_bytes(), message.as_bytes());
    append(out, &[br#"{"action":"ERROR","request":"#, echo, br#","message":""#, message, b"\"}\n"]);
}

/// Appends the parts with one check of the capacity for all of them.
fn append(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.reserve(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_stand_in_the_order_of_the_protocol() {
        assert_eq!(
            written(|out| response(out, r#"{"action": "JOIN ROOM", "room_id": "secret"}"#)),
            "{\"action\":\"RESPONSE\",\"request\":{\"action\": \"JOIN ROOM\", \"room_id\": \"secret\"},\"message\":\"OK\"}\n"
        );
        assert_eq!(
            written(|out| error(out, "null", Error::InvalidJson)),
            "{\"action\":\"ERROR\",\"request\":null,\"message\":\"Invalid JSON\"}\n"
        );
        assert_eq!(
            written(|out| get_message(out, b"\"secret\"", b"Alice", "\"What I've done?\"")),
            "{\"action\":\"GET MESSAGE\",\"room_id\":\"secret\",\"author\":\"Alice\",\"text\":\"What I've done?\"}\n"
        );
        assert_eq!(
            written(|out| farewell(out, Farewell::TooSlow)),
            "{\"action\":\"ERROR\",\"request\":null,\"message\":\"Too slow\"}\n"
        );
    }

    #[test]
    fn farewells_are_numbered_in_the_order_of_the_list() {
        for (index, farewell) in Farewell::ALL.into_iter().enumerate() {
            assert_eq!(farewell as usize, index);
        }
    }

    #[test]
    fn every_error_is_a_json_string_as_it_stands() {
        use super::super::Parameter::*;
        let mut errors =
            vec![Error::LineTooLong, Error::InvalidJson, Error::NotAnObject, Error::UnknownAction];
        errors.extend([Error::InvalidNickname, Error::NicknameInUse, Error::RoomNotFound]);
        errors.extend([Error::NotInThisRoom, Error::TooManyRooms]);
        for member in [Action, Nickname, RoomId, Text] {
            errors.extend([Error::Twice(member), Error::Missing(member), Error::Invalid(member)]);
        }
        for error in errors {
            let line = written(|out| super::error(out, "[1.0]", error));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["message"], error.text());
        }
    }
}
