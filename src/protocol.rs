//! The wire: a line becomes a [`Request`], and what the server has to say becomes lines.
//!
//! Knows nothing of sockets, clients or rooms. Nothing here recurses and nothing allocates on the usual path: what a
//! client wrote is checked once, and then copied as it was written, into the echo of a RESPONSE and into the text of a
//! GET MESSAGE.
//!
//! Names (of rooms, of clients) leave this module in their **canonical spelling**: the one way in which the server
//! writes that name as JSON. Two names are equal after unescaping exactly if their canonical spellings are equal byte
//! for byte, so the tables compare and store plain strings, and a message is put together by copying.

mod parameters;
mod plain;
mod reply;
mod request;
mod text;

pub use reply::{Farewell, error, farewell, get_message, response};
pub use request::{Parsed, Request, parse};

/// Why a request was not carried out. Nothing has changed, and the client is told with an ERROR line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The line is longer than the limit, whatever it holds.
    LineTooLong,
    /// The line is not one valid UTF-8 JSON value.
    InvalidJson,
    /// It is, but not an object.
    NotAnObject,
    /// A parameter that the server knows is given twice.
    Twice(Parameter),
    /// A parameter that the action needs is not there.
    Missing(Parameter),
    /// A parameter has a type or a range that it may not have.
    Invalid(Parameter),
    /// `action` is a string but none of the four.
    UnknownAction,
    /// Not 1 to 64 bytes, a control character, or white space at an end.
    InvalidNickname,
    /// Another client has this nickname.
    NicknameInUse,
    /// No such room.
    RoomNotFound,
    /// The client is not in that room.
    NotInThisRoom,
    /// The client is in as many rooms as it may be.
    TooManyRooms,
}

/// The parameters of a request that the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `action`: what to do.
    Action,
    /// `nickname`, of LOGIN NICK.
    Nickname,
    /// `room_id`, of JOIN ROOM, LEFT ROOM and SEND MESSAGE.
    RoomId,
    /// `text`, of SEND MESSAGE.
    Text,
}

impl Error {
    /// The text of `message`: it begins with the words that the protocol fixes; a detail may follow after `: `.
    pub fn text(self) -> &'static str {
        use Parameter::{Action, Nickname, RoomId, Text};
        match self {
            Error::LineTooLong => "Line too long",
            Error::InvalidJson => "Invalid JSON",
            Error::NotAnObject => "Not a JSON object",
            Error::Twice(Action) => "Invalid parameter: action is given twice",
            Error::Twice(Nickname) => "Invalid parameter: nickname is given twice",
            Error::Twice(RoomId) => "Invalid parameter: room_id is given twice",
            Error::Twice(Text) => "Invalid parameter: text is given twice",
            Error::Missing(Action) => "Missing parameter: action",
            Error::Missing(Nickname) => "Missing parameter: nickname",
            Error::Missing(RoomId) => "Missing parameter: room_id",
            Error::Missing(Text) => "Missing parameter: text",
            Error::Invalid(Action) => "Invalid parameter: action must be a string",
            Error::Invalid(Nickname) => "Invalid parameter: nickname must be a string",
            Error::Invalid(RoomId) => "Invalid parameter: room_id must be an integer or a string",
            Error::Invalid(Text) => "Invalid parameter: text must be a string",
            Error::UnknownAction => "Unknown action",
            Error::InvalidNickname => {
                "Invalid nickname: 1 to 64 bytes, no control characters, no white space at either end"
            }
            Error::NicknameInUse => "Nickname already in use",
            Error::RoomNotFound => "Room not found",
            Error::NotInThisRoom => "Not in this room",
            Error::TooManyRooms => "Too many rooms",
        }
    }
}
