//! What a room is called.

use std::fmt;

use serde_json::Value;

/// A room's `room_id`. The number 7 and the string `"7"` are two rooms.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Room {
    /// An integer in the signed or the unsigned 64-bit range.
    Number(i128),
    /// A string.
    Name(String),
}

impl Room {
    /// Reads a room as people write it: an integer in its usual form is that number, a JSON string in double quotes is
    /// that string, and anything else is the string as it stands. So `7` is the number and `"7"` the string.
    ///
    /// ```
    /// use parlor::client::Room;
    ///
    /// assert_eq!(Room::from_text("ops"), Room::Name("ops".into()));
    /// assert_eq!(Room::from_text("7"), Room::Number(7));
    /// assert_eq!(Room::from_text(r#""7""#), Room::Name("7".into()));
    /// assert_eq!(Room::from_text("007"), Room::Name("007".into()));
    /// ```
    pub fn from_text(text: &str) -> Room {
        if let Some(number) = text.parse::<i128>().ok().filter(|number| in_range(*number))
            && number.to_string() == text
        {
            return Room::Number(number);
        }
        if text.starts_with('"')
            && let Ok(name) = serde_json::from_str::<String>(text)
        {
            return Room::Name(name);
        }
        Room::Name(text.into())
    }

    /// The room that this JSON value names, if it can name one.
    pub(super) fn from_json(value: &Value) -> Option<Room> {
        match value {
            Value::String(name) => Some(Room::Name(name.clone())),
            Value::Number(number) => {
                let signed = number.as_i64().map(i128::from);
                signed.or_else(|| number.as_u64().map(i128::from)).map(Room::Number)
            }
            _ => None,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Room::Name(name) => name.as_str().into(),
            Room::Number(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                // No room has such a number; the server says so.
                _ => number.to_string().into(),
            },
        }
    }
}

fn in_range(number: i128) -> bool {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number)
}

impl From<&str> for Room {
    /// The room of that name, whatever it looks like.
    fn from(name: &str) -> Room {
        Room::Name(name.into())
    }
}

impl fmt::Display for Room {
    /// As [`Room::from_text`] reads it. Nothing is escaped but what that takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Room::Number(number) => write!(f, "{number}"),
            Room::Name(name) if Room::from_text(name) == *self => f.write_str(name),
            Room::Name(name) => write!(f, "{}", Value::from(name.as_str())),
        }
    }
}
