//! The parameters of a request, each as it was written. Knows nothing of what they mean.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Error, Parameter, plain, text};

/// What the server wants to know of a request, unchecked. Values are kept as they were written: reading over a value
/// takes no recursion whatever its nesting, and a value that is only copied need not be decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    pub action: Option<&'a str>,
    pub nickname: Option<&'a str>,
    pub room_id: Option<&'a str>,
    pub text: Option<&'a str>,
    /// The first that was given a second time.
    pub duplicate: Option<Parameter>,
}

impl<'a> Parameters<'a> {
    /// Reads a line that has no white space around it.
    ///
    /// # Errors
    /// `InvalidJson`, or `NotAnObject`.
    pub fn read(line: &'a str) -> Result<Self, Error> {
        plain::parameters(line).map_or_else(|| Self::read_closely(line), Ok)
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

    /// Notes a parameter. That one is given twice is remembered, not refused at once: what follows may still show that
    /// the line is no JSON.
    pub fn note(&mut self, parameter: Parameter, value: &'a str) {
        let place = match parameter {
            Parameter::Action => &mut self.action,
            Parameter::Nickname => &mut self.nickname,
            Parameter::RoomId => &mut self.room_id,
            Parameter::Text => &mut self.text,
        };
        if place.replace(value).is_some() {
            self.duplicate.get_or_insert(parameter);
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Parameters<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParametersVisitor)
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = Parameters<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters<'de>, A::Error> {
        let mut parameters = Parameters::default();
        while let Some(ParameterName(name)) = map.next_key()? {
            match name {
                Some(parameter) => parameters.note(parameter, map.next_value::<&RawValue>()?.get()),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(parameters)
    }
}

/// The name of a parameter, compared after unescaping; `None` for one that the server does not know.
struct ParameterName(Option<Parameter>);

impl<'de> Deserialize<'de> for ParameterName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = ParameterName;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the name of a parameter")
            }
            fn visit_str<E>(self, name: &str) -> Result<ParameterName, E> {
                Ok(ParameterName(match name {
                    "action" => Some(Parameter::Action),
                    "nickname" => Some(Parameter::Nickname),
                    "room_id" => Some(Parameter::RoomId),
                    "text" => Some(Parameter::Text),
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
            r#"{"action":  "JOIN ROOM",  "room_id":  7}"#,
            r#"{"nickname":"a b"}"#,
            r#"{"text":"слово 🦀","action":"SEND MESSAGE","room_id":"a room of more than sixteen bytes"}"#,
            r#"{"action":"JOIN ROOM","action":"JOIN ROOM","nickname":0,"nickname":"0"}"#,
        ] {
            assert!(plain::parameters(line).is_some(), "{line}");
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
        /// A line that both can read says the same to both.
        #[test]
        fn what_is_plain_is_read_as_serde_json_reads_it(line in prop_oneof![pieces(), nearly_plain()]) {
            if let Some(parameters) = plain::parameters(&line) {
                prop_assert_eq!(Parameters::read_closely(&line), Ok(parameters));
            }
        }
    }
}
