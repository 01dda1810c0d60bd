//! What the server says, each as one line with its `\n`, appended to a buffer of the caller. Knows nothing of who gets
//! it.

use super::{DisconnectReason, Error, text};

/// Appends the RESPONSE to a request that was carried out. `echo` is the request as the client wrote it.
pub fn response(out: &mut Vec<u8>, echo: &str) {
    append(out, &[br#"{"action":"RESPONSE","request":"#, echo.as_bytes(), b",\"message\":\"OK\"}\n"]);
}

/// Appends the ERROR for a request that was not carried out.
pub fn error(out: &mut Vec<u8>, echo: &str, error: Error) {
    error_line(out, echo, error.text());
}

/// Appends the last line of a connection that the server ends.
pub fn disconnect(out: &mut Vec<u8>, reason: DisconnectReason) {
    error_line(out, "null", reason.text());
}

/// Appends a GET MESSAGE. `room` and `author` are canonical spellings as the tables keep them, the author's without
/// quotes; `raw_text` is the text as the sender wrote it, with its quotes.
pub fn get_message(out: &mut Vec<u8>, room: &[u8], author: &[u8], raw_text: &str) {
    let text = text::escape_controls(raw_text);
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
    append(out, &[br#"{"action":"ERROR","request":"#, echo.as_bytes(), br#","message":"#]);
    // A text may have quotes in it. Writing to a vector does not fail.
    let written = serde_json::to_writer(&mut *out, message);
    debug_assert!(written.is_ok());
    append(out, &[b"}\n"]);
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
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Request, parse};

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
            "{\"action\":\"ERROR\",\"request\":null,\"message\":\"Invalid JSON: send one JSON object a line, as in \
             {\\\"action\\\":\\\"JOIN ROOM\\\",\\\"room_id\\\":\\\"hall\\\"}\"}\n"
        );
        assert_eq!(
            written(|out| get_message(out, b"\"secret\"", b"Alice", "\"What I've done?\"")),
            "{\"action\":\"GET MESSAGE\",\"room_id\":\"secret\",\"author\":\"Alice\",\"text\":\"What I've done?\"}\n"
        );
        assert_eq!(
            written(|out| disconnect(out, DisconnectReason::TooSlow)),
            "{\"action\":\"ERROR\",\"request\":null,\"message\":\"Too slow\"}\n"
        );
    }

    fn every_error() -> Vec<Error> {
        use super::super::NicknameFault::*;
        use super::super::Parameter::*;
        let mut errors =
            vec![Error::LineTooLong, Error::InvalidJson, Error::NotAnObject, Error::UnknownAction];
        errors.extend([Error::RoomIdNotWhole, Error::RoomIdOutOfRange, Error::NicknameInUse]);
        errors.extend([Error::RoomNotFound, Error::NotInThisRoom, Error::TooManyRooms]);
        errors.extend([Empty, TooLong, Control, Invisible, WhiteSpace].map(Error::InvalidNickname));
        for member in [Action, Nickname, RoomId, Text] {
            errors.extend([Error::Duplicate(member), Error::Missing(member), Error::Invalid(member)]);
        }
        errors
    }

    #[test]
    fn every_error_is_valid_json_and_leaves_room_within_the_bound_of_a_line() {
        for error in every_error() {
            let line = written(|out| super::error(out, "[1.0]", error));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["message"], error.text());
            assert!(line.len() <= 512, "{line}");
        }
    }

    /// Text as the server could be given it: every character raw or escaped, those most often that grow.
    fn any_string() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            8 => Just("\u{9b}".to_string()), 4 => Just("\u{2028}".into()), 2 => Just(r"\u0000".into()),
            1 => Just(r"\n".into()), 1 => Just("\\\"".into()), 1 => Just(r"\u009B".into()), 2 => "[ a-zé🦀]{0,4}",
        ];
        proptest::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// A line of the server has at most 3 * max_line + 512 bytes: whatever the request, and where a room or a
        /// nickname was named in another spelling than now.
        #[test]
        fn no_line_is_longer_than_three_request_lines_and_512_bytes(
            room in any_string(),
            text in any_string(),
            nickname in "[\"\\\\a]{64}",
        ) {
            let request = format!(r#"{{"action":"SEND MESSAGE","room_id":"{room}","text":"{text}"}}"#);
            let bound = 3 * request.len() + 512;
            prop_assert!(written(|out| response(out, &request)).len() <= bound);
            for error in every_error() {
                prop_assert!(written(|out| super::error(out, &request, error)).len() <= bound);
            }
            let parsed = parse(request.as_bytes()).unwrap();
            let Ok(Request::Send { room, text }) = parsed.request else { panic!("{parsed:?}") };
            let login = serde_json::json!({"action": "LOGIN NICK", "nickname": nickname}).to_string();
            let login = parse(login.as_bytes()).unwrap();
            let Ok(Request::Login { nickname }) = login.request else { panic!("{login:?}") };
            let message = written(|out| get_message(out, room.as_bytes(), nickname.as_bytes(), text));
            prop_assert!(message.len() <= bound, "{} bytes of {}", message.len(), request.len());
            let raw = message.contains(['\u{9b}', '\u{2028}']);
            prop_assert!(!raw, "{}", message);
        }
    }
}
