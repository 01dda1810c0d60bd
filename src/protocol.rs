//! The wire: a line becomes a [`Request`], and what the server has to say becomes lines.
//!
//! Knows nothing of sockets, clients or rooms. Nothing here recurses and nothing allocates on the usual path: what a
//! client wrote is checked once, and then copied as it was written, into the echo of a RESPONSE and into the text of a
//! GET MESSAGE.
//!
//! Names (of rooms, of clients) leave this module in their **canonical spelling**: the one way in which the server
//! writes that name as JSON. Two names are equal after unescaping exactly if their canonical spellings are equal byte
//! for byte, so the tables compare and store plain strings, and a message is put together by copying.

mod disconnect;
mod foreign;
mod nickname;
mod parameters;
mod plain;
mod reply;
mod request;
mod text;

pub use disconnect::{ClientLimit, DisconnectReason};
pub use foreign::{Beginning, FirstBytes, Foreign};
pub use nickname::NicknameFault;
pub(crate) use nickname::is_invisible;
pub use reply::{disconnect, error, get_message, response};
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
    Duplicate(Parameter),
    /// A parameter that the action needs is not there.
    Missing(Parameter),
    /// A parameter has a type that it may not have.
    Invalid(Parameter),
    /// `room_id` is a number with a fraction or an exponent.
    RoomIdNotWhole,
    /// `room_id` is an integer beyond the signed and the unsigned 64-bit range.
    RoomIdOutOfRange,
    /// `action` is a string but none of the four.
    UnknownAction,
    /// The nickname breaks a rule.
    InvalidNickname(NicknameFault),
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
            Error::InvalidJson => {
                r#"Invalid JSON: send one JSON object a line, as in {"action":"JOIN ROOM","room_id":"hall"}"#
            }
            Error::NotAnObject => "Not a JSON object",
            Error::Duplicate(Action) => "Invalid parameter: action is given twice",
            Error::Duplicate(Nickname) => "Invalid parameter: nickname is given twice",
            Error::Duplicate(RoomId) => "Invalid parameter: room_id is given twice",
            Error::Duplicate(Text) => "Invalid parameter: text is given twice",
            Error::Missing(Action) => "Missing parameter: action",
            Error::Missing(Nickname) => "Missing parameter: nickname",
            Error::Missing(RoomId) => "Missing parameter: room_id",
            Error::Missing(Text) => "Missing parameter: text",
            Error::Invalid(Action) => "Invalid parameter: action must be a string",
            Error::Invalid(Nickname) => "Invalid parameter: nickname must be a string",
            Error::Invalid(RoomId) => "Invalid parameter: room_id must be an integer or a string",
            Error::Invalid(Text) => "Invalid parameter: text must be a string",
            Error::RoomIdNotWhole => {
                "Invalid parameter: room_id must be an integer, without fraction or exponent, or a string"
            }
            Error::RoomIdOutOfRange => {
                "Invalid parameter: room_id does not fit into 64 bits; a string may name such a room"
            }
            Error::UnknownAction => {
                "Unknown action: the actions are LOGIN NICK, JOIN ROOM, LEFT ROOM and SEND MESSAGE"
            }
            Error::InvalidNickname(fault) => fault.text(),
            Error::NicknameInUse => "Nickname already in use",
            Error::RoomNotFound => "Room not found",
            Error::NotInThisRoom => "Not in this room",
            Error::TooManyRooms => "Too many rooms",
        }
    }
}

impl NicknameFault {
    fn text(self) -> &'static str {
        match self {
            NicknameFault::Empty => "Invalid nickname: it is empty",
            NicknameFault::TooLong => "Invalid nickname: it has more than 64 bytes",
            NicknameFault::Control => "Invalid nickname: it has a control character",
            NicknameFault::Invisible => "Invalid nickname: it has an invisible character",
            NicknameFault::WhiteSpace => "Invalid nickname: it begins or ends with white space",
        }
    }
}
