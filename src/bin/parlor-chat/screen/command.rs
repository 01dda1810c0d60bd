//! What is typed: a command, or text for the room.

use parlor::client::Room;

/// The commands, as completion offers them.
pub const NAMES: &[&str] = &["/help", "/join ", "/leave", "/msg ", "/nick ", "/quit"];

/// A line that was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Text for the room on the screen.
    Say(String),
    Join(Room),
    /// The room on the screen, if none is named.
    Leave(Option<Room>),
    Nick(String),
    Message(Room, String),
    Help,
    Quit,
}

impl Command {
    /// Reads a line. A text that begins with `/` is written with `//`. An error says what is wrong.
    pub fn parse(line: &str) -> Result<Command, String> {
        let Some(command) = line.strip_prefix('/') else { return Ok(Command::Say(line.into())) };
        if command.starts_with('/') {
            return Ok(Command::Say(command.into()));
        }
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "join" if rest.is_empty() => Err("which room? /join ROOM".into()),
            "join" => Ok(Command::Join(Room::from_text(rest))),
            "leave" => Ok(Command::Leave((!rest.is_empty()).then(|| Room::from_text(rest)))),
            "nick" if rest.is_empty() => Err("which name? /nick NAME".into()),
            "nick" => Ok(Command::Nick(rest.into())),
            "msg" => message(rest).ok_or_else(|| "what, and where? /msg ROOM TEXT".into()),
            "help" => Ok(Command::Help),
            "quit" => Ok(Command::Quit),
            _ => Err(format!("there is no /{name}; /help tells what there is, and // begins a text with /")),
        }
    }
}

/// A room, which stands in double quotes if there is a space in it, and a text.
fn message(rest: &str) -> Option<Command> {
    let mut quoted = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    if rest.starts_with('"')
        && let Some(Ok(name)) = quoted.next()
    {
        let text = rest.get(quoted.byte_offset()..).unwrap_or_default().trim_start();
        return (!text.is_empty()).then(|| Command::Message(Room::Name(name), text.into()));
    }
    let (room, text) = rest.split_once(' ')?;
    Some(Command::Message(Room::from_text(room), text.trim_start().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let room = |name: &str| Room::Name(name.into());
        for (line, expected) in [
            ("hello", Command::Say("hello".into())),
            ("//usr", Command::Say("/usr".into())),
            ("/join ops", Command::Join(room("ops"))),
            ("/join two words ", Command::Join(room("two words"))),
            ("/join 7", Command::Join(Room::Number(7))),
            ("/leave", Command::Leave(None)),
            ("/leave \"7\"", Command::Leave(Some(room("7")))),
            ("/nick Bob", Command::Nick("Bob".into())),
            ("/msg ops well done", Command::Message(room("ops"), "well done".into())),
            ("/msg \"two words\" hi", Command::Message(room("two words"), "hi".into())),
            ("/msg \"odd hi", Command::Message(room("\"odd"), "hi".into())),
            ("/help", Command::Help),
            ("/quit", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Ok(expected), "{line}");
        }
        for line in ["/join", "/nick ", "/msg", "/msg ops", "/msg \"a b\"", "/frobnicate", "/"] {
            assert!(Command::parse(line).is_err(), "{line}");
        }
    }
}
