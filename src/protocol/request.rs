//! A line becomes a request, or the first error that applies, in the order that the protocol gives. Knows nothing of
//! who asks, nor whether it can be granted.

use std::borrow::Cow;

use super::parameters::Parameters;
use super::{Error, Parameter, nickname, text};
use crate::lines;

/// What a client asks for. Names are in their canonical spelling, see [the module](super).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// LOGIN NICK.
    Login {
        /// The canonical spelling, without its quotes.
        nickname: Cow<'a, str>,
    },
    /// JOIN ROOM.
    Join {
        /// The canonical spelling: digits, or a string with its quotes. So 7 and "7" are two rooms.
        room: Cow<'a, str>,
    },
    /// LEFT ROOM.
    Leave {
        /// As in [`Request::Join`].
        room: Cow<'a, str>,
    },
    /// SEND MESSAGE.
    Send {
        /// As in [`Request::Join`].
        room: Cow<'a, str>,
        /// The text as the client wrote it: a valid JSON string with its quotes.
        text: &'a str,
    },
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// What goes back as `request`: the value as it was written, or `null` for a line that is no JSON.
    pub echo: &'a str,
    /// What to do, or why not.
    pub request: Result<Request<'a>, Error>,
}

/// Reads one line, given without its line end. `None` for a line of spaces and tabs alone, which gets no reply.
pub fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    if lines::is_blank(line) {
        return None;
    }
    let invalid = Parsed { echo: "null", request: Err(Error::InvalidJson) };
    let Ok(line) = std::str::from_utf8(line) else {
        return Some(invalid);
    };
    // The white space of JSON; `\n` cannot occur.
    let echo = line.trim_matches([' ', '\t', '\r']);
    Some(match Parameters::read(echo) {
        Ok(parameters) => Parsed { echo, request: parameters.request() },
        Err(Error::InvalidJson) => invalid,
        Err(error) => Parsed { echo, request: Err(error) },
    })
}

impl<'a> Parameters<'a> {
    /// Checks the parameters in the protocol's order: duplicates, action, then the action's parameters one after the other.
    fn request(&self) -> Result<Request<'a>, Error> {
        if let Some(parameter) = self.duplicate {
            return Err(Error::Duplicate(parameter));
        }
        let action = self.action.ok_or(Error::Missing(Parameter::Action))?;
        if !action.starts_with('"') {
            return Err(Error::Invalid(Parameter::Action));
        }
        match text::unescape(action).as_ref() {
            "SEND MESSAGE" => Ok(Request::Send { room: self.room()?, text: self.text()? }),
            "JOIN ROOM" => Ok(Request::Join { room: self.room()? }),
            "LEFT ROOM" => Ok(Request::Leave { room: self.room()? }),
            "LOGIN NICK" => Ok(Request::Login { nickname: self.nickname()? }),
            _ => Err(Error::UnknownAction),
        }
    }

    fn nickname(&self) -> Result<Cow<'a, str>, Error> {
        let raw = self.nickname.ok_or(Error::Missing(Parameter::Nickname))?;
        if !raw.starts_with('"') {
            return Err(Error::Invalid(Parameter::Nickname));
        }
        nickname::check(&text::unescape(raw)).map_err(Error::InvalidNickname)?;
        Ok(match text::canonical(raw) {
            Cow::Borrowed(spelling) => Cow::Borrowed(text::without_quotes(spelling)),
            Cow::Owned(spelling) => Cow::Owned(text::without_quotes(&spelling).to_owned()),
        })
    }

    fn room(&self) -> Result<Cow<'a, str>, Error> {
        let raw = self.room_id.ok_or(Error::Missing(Parameter::RoomId))?;
        match raw.as_bytes().first() {
            Some(b'"') => Ok(text::canonical(raw)),
            Some(b'-' | b'0'..=b'9') => integer(raw).map(Cow::Borrowed),
            _ => Err(Error::Invalid(Parameter::RoomId)),
        }
    }

    fn text(&self) -> Result<&'a str, Error> {
        let raw = self.text.ok_or(Error::Missing(Parameter::Text))?;
        if raw.starts_with('"') { Ok(raw) } else { Err(Error::Invalid(Parameter::Text)) }
    }
}

/// The canonical spelling of an integer in the signed or unsigned 64-bit range. Without fraction and exponent, JSON has
/// but one way to write each integer except for zero.
fn integer(raw: &str) -> Result<&str, Error> {
    match (raw.parse::<i64>(), raw.parse::<u64>()) {
        (Err(_), Err(_)) if raw.contains(['.', 'e', 'E']) => Err(Error::RoomIdNotWhole),
        (Err(_), Err(_)) => Err(Error::RoomIdOutOfRange),
        (Ok(0), _) => Ok("0"),
        _ => Ok(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::NicknameFault;

    fn request(line: &str) -> Result<Request<'_>, Error> {
        parse(line.as_bytes()).expect("not a blank line").request
    }

    #[test]
    fn the_four_actions() {
        assert_eq!(
            request(r#"{"action": "LOGIN NICK", "nickname": "Bob"}"#),
            Ok(Request::Login { nickname: "Bob".into() })
        );
        assert_eq!(
            request(r#"{"room_id": "secret", "action": "JOIN ROOM"}"#),
            Ok(Request::Join { room: r#""secret""#.into() })
        );
        assert_eq!(request(r#"{"action":"LEFT ROOM","room_id":7}"#), Ok(Request::Leave { room: "7".into() }));
        assert_eq!(
            request(r#"{"action":"SEND MESSAGE","room_id":7,"text":"a\nb","id":[{}]}"#),
            Ok(Request::Send { room: "7".into(), text: r#""a\nb""# })
        );
    }

    #[test]
    fn names_are_compared_after_unescaping() {
        let plain = request(r#"{"action":"JOIN ROOM","room_id":"café/"}"#);
        assert_eq!(plain, request(r#"{"\u0061ction":"JOIN\u0020ROOM","room_id":"caf\u00e9\/"}"#));
        assert_eq!(plain, Ok(Request::Join { room: "\"café/\"".into() }));
    }

    #[test]
    fn integers_have_one_spelling() {
        let room = |id: &str| {
            request(&format!(r#"{{"action":"JOIN ROOM","room_id":{id}}}"#)).map(|request| {
                let Request::Join { room } = request else { panic!("a JOIN") };
                room.into_owned()
            })
        };
        for good in ["0", "-1", "18446744073709551615", "-9223372036854775808"] {
            assert_eq!(room(good), Ok(good.into()));
        }
        assert_eq!(room("-0"), Ok("0".into()));
        for bad in ["18446744073709551616", "-9223372036854775809", &"1".repeat(1000)] {
            assert_eq!(room(bad), Err(Error::RoomIdOutOfRange), "{bad}");
        }
        for bad in ["1.0", "1e2", "1E-2", "-0.0", "18446744073709551616.5"] {
            assert_eq!(room(bad), Err(Error::RoomIdNotWhole), "{bad}");
        }
        for bad in ["null", "[1]", "{}", "true"] {
            assert_eq!(room(bad), Err(Error::Invalid(Parameter::RoomId)), "{bad}");
        }
        for no_json in ["01", "+1", "1.", "", "NaN", "0x1"] {
            assert_eq!(room(no_json), Err(Error::InvalidJson), "{no_json}");
        }
    }

    #[test]
    fn the_first_error_in_the_protocols_order_is_told() {
        use Parameter::*;
        for (line, error) in [
            (r#"{"text":1,"text":2,"action":"#, Error::InvalidJson),
            (r#"[1] x"#, Error::InvalidJson),
            (r#"[1]"#, Error::NotAnObject),
            (r#"{"text":1,"text":2}"#, Error::Duplicate(Text)),
            (r#"{"action":"LOGIN NICK","nickname":"","nickname":""}"#, Error::Duplicate(Nickname)),
            (r#"{"room_id":[]}"#, Error::Missing(Action)),
            (r#"{"action":null,"room_id":[]}"#, Error::Invalid(Action)),
            (r#"{"action":"join room"}"#, Error::UnknownAction),
            (r#"{"action":"SEND MESSAGE"}"#, Error::Missing(RoomId)),
            (r#"{"action":"SEND MESSAGE","room_id":[]}"#, Error::Invalid(RoomId)),
            (r#"{"action":"SEND MESSAGE","room_id":1}"#, Error::Missing(Text)),
            (r#"{"action":"SEND MESSAGE","room_id":1,"text":null}"#, Error::Invalid(Text)),
            (r#"{"action":"LOGIN NICK"}"#, Error::Missing(Nickname)),
            (r#"{"action":"LOGIN NICK","nickname":7}"#, Error::Invalid(Nickname)),
            (r#"{"action":"LOGIN NICK","nickname":""}"#, Error::InvalidNickname(NicknameFault::Empty)),
        ] {
            assert_eq!(request(line), Err(error), "{line}");
        }
    }

    #[test]
    fn nicknames_are_judged_after_unescaping() {
        let nick =
            |name: &str| request(&format!(r#"{{"action":"LOGIN NICK","nickname":"{name}"}}"#)).map(|_| ());
        for good in ["Bob", r"\u0042ob", &r"\u0061".repeat(64), "❤\u{fe0f}\u{200d}🔥"] {
            assert_eq!(nick(good), Ok(()), "{good:?}");
        }
        for (bad, fault) in [
            ("", NicknameFault::Empty),
            (r"Bob\u200b", NicknameFault::Invisible),
            (r"Bob\t", NicknameFault::Control),
            (r"\u0020Bob", NicknameFault::WhiteSpace),
            (&r"\u00e9".repeat(33), NicknameFault::TooLong),
        ] {
            assert_eq!(nick(bad), Err(Error::InvalidNickname(fault)), "{bad:?}");
        }
    }

    #[test]
    fn the_echo_is_the_value_as_it_was_written() {
        for (line, echo) in [
            (" {\"id\": 1.0,  \"n\":18446744073709551616} \r", "{\"id\": 1.0,  \"n\":18446744073709551616}"),
            ("\t\"x\"", "\"x\""),
            ("nope", "null"),
            ("\u{feff}{}", "null"),
        ] {
            assert_eq!(parse(line.as_bytes()).map(|line| line.echo), Some(echo));
        }
        assert_eq!(parse(b"{\"a\":\"\xff\"}").map(|line| line.echo), Some("null"));
        assert_eq!(parse(b" \t "), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn lone_surrogates_are_no_json_wherever_they_stand() {
        for line in [r#"{"x":"\ud800"}"#, r#"{"\udc00":1}"#, r#""\ud800A""#, r#"[{"a":["\uDBFF\u0041"]}]"#] {
            assert_eq!(request(line), Err(Error::InvalidJson), "{line}");
        }
        assert_eq!(request(r#"{"x":"\ud83e\udd80"}"#), Err(Error::Missing(Parameter::Action)));
    }

    #[test]
    fn nesting_has_no_limit_but_the_lines() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(request(&deep), Err(Error::NotAnObject));
        assert_eq!(request(&format!(r#"{{"x":{deep}}}"#)), Err(Error::Missing(Parameter::Action)));
        assert_eq!(request(&deep[1..]), Err(Error::InvalidJson));
    }
}
