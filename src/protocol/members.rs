//! The members of a request, each as it was written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Error, Member, plain, text};

/// What the server wants to know of a request, unchecked. Values are kept as they were written: reading over a value
/// takes no recursion whatever its nesting, and a value that is only copied need not be decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Members<'a> {
    pub action: Option<&'a str>,
    pub nickname: Option<&'a str>,
    pub room_id: Option<&'a str>,
    pub text: Option<&'a str>,
    /// One that stands there twice.
    pub twice: Option<Member>,
}

impl<'a> Members<'a> {
    /// Reads a line without white space around it.
    ///
    /// # Errors
    /// `InvalidJson`, or `NotAnObject`.
    pub fn read(line: &'a str) -> Result<Self, Error> {
        plain::members(line).map_or_else(|| Self::read_closely(line), Ok)
    }

    /// Reads any line, with serde_json.
    fn read_closely(line: &'a str) -> Result<Self, Error> {
        // serde_json reads over the values that nobody asks for without looking at what their escapes mean.
        if !text::surrogates_are_paired(line) {
            return Err(Error::InvalidJson);
        }
        if !line.starts_with('{') {
            let read = serde_json::from_str::<IgnoredAny>(line);
            return Err(read.map_or(Error::InvalidJson, |_| Error::NotAnObject));
        }
        serde_json::from_str(line).map_err(|_| Error::InvalidJson)
    }

    /// Notes a member. That it stands there twice is remembered, not refused at once: what follows may still show that
    /// the line is no JSON.
    pub fn note(&mut self, member: Member, value: &'a str) {
        let place = match member {
            Member::Action => &mut self.action,
            Member::Nickname => &mut self.nickname,
            Member::RoomId => &mut self.room_id,
            Member::Text => &mut self.text,
        };
        if place.replace(value).is_some() {
            self.twice.get_or_insert(member);
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(MemberName(name)) = map.next_key()? {
            match name {
                Some(member) => members.note(member, map.next_value::<&RawValue>()?.get()),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

/// The name of a member, compared after unescaping; `None` for one that the server does not know.
struct MemberName(Option<Member>);

impl<'de> Deserialize<'de> for MemberName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = MemberName;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the name of a member")
            }
            fn visit_str<E>(self, name: &str) -> Result<MemberName, E> {
                Ok(MemberName(match name {
                    "action" => Some(Member::Action),
                    "nickname" => Some(Member::Nickname),
                    "room_id" => Some(Member::RoomId),
                    "text" => Some(Member::Text),
                    _ => None,
                }))
            }
        }
        deserializer.deserialize_identifier(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_lines_are_plain() {
        for line in [
            r#"{"action":"LOGIN NICK","nickname":"Bob"}"#,
            r#"{"action": "JOIN ROOM", "room_id": 7}"#,
            r#"{ "id" : 12 , "action" : "LEFT ROOM" , "room_id" : "" }"#,
            r#"{"text":"слово 🦀","action":"SEND MESSAGE","room_id":"a room of more than sixteen bytes"}"#,
            r#"{"action":"JOIN ROOM","action":"JOIN ROOM","nickname":0,"nickname":"0"}"#,
        ] {
            assert!(plain::members(line).is_some(), "{line}");
        }
    }

    /// Pieces of JSON, and what is nearly JSON.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => Just("{"), 4 => Just("}"), 8 => Just(":"), 8 => Just(","), 4 => Just(" "), 2 => Just("\""),
            6 => Just(r#""action""#), 4 => Just(r#""room_id""#), 3 => Just(r#""text""#), 2 => Just(r#""nickname""#),
            3 => Just(r#""id""#), 3 => Just(r#""SEND MESSAGE""#), 3 => Just(r#""""#), 1 => Just(r#""\u0061ction""#),
            3 => Just("7"), 1 => Just("0"), 1 => Just("-"), 1 => Just("."), 1 => Just("e"), 1 => Just("18446744073709551616"),
            1 => Just("\t"), 1 => Just("\\"), 1 => Just("\u{1}"), 1 => Just("\u{7f}é🦀"), 1 => Just("null"), 1 => Just("[]"),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    /// An object that is usually plain, with one of its characters exchanged.
    fn nearly_plain() -> impl Strategy<Value = String> {
        let name = prop_oneof!["action", "room_id", "text", "nickname", "id", "[a-z]{0,20}"];
        let value =
            prop_oneof!["\"[ -~é\u{1}]{0,40}\"", "\"[a-z ]{0,40}\"", "-?[0-9]{1,22}", "[0-9.eE]{1,4}"];
        let member = (name, value, " {0,2}")
            .prop_map(|(name, value, gap)| format!("{gap}\"{name}\"{gap}:{gap}{value}{gap}"));
        let object =
            proptest::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")));
        (object, any::<prop::sample::Index>(), proptest::option::of("[{}:,\" \\\\\u{0}-\u{ff}]")).prop_map(
            |(object, at, other)| {
                let mut chars: Vec<char> = object.chars().collect();
                if let Some(other) = other.and_then(|other| other.chars().next()) {
                    *at.get_mut(&mut chars) = other;
                }
                chars.into_iter().collect()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        /// Whoever reads a line, it says the same.
        #[test]
        fn what_is_plain_is_read_as_serde_json_reads_it(line in prop_oneof![pieces(), nearly_plain()]) {
            if let Some(members) = plain::members(&line) {
                prop_assert_eq!(Members::read_closely(&line), Ok(members));
            }
        }
    }
}
