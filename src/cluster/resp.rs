//! RESP3, the protocol of Redis and Valkey: bytes become values, and commands become bytes. No I/O, no clock; knows
//! nothing of what the values mean.
//!
//! Only what an engine sends to us is read here, which is all of RESP3 but its streamed types; no engine sends those.
//! A value is borrowed from the input: a publication is copied once, into the batch of its room.
//!
//! The crates that do this (`redis-protocol`, `resp-async` and others) bring their own byte buffers and parser
//! combinators, a dozen packages for what is 200 lines here.

use std::io::Write;

/// The longest value that is accepted, in bytes. A publication stays under 1 MB.
const VALUE_BYTES_MAX: usize = 4 << 20;

/// How deep values may be nested. A list of maps of lists is what engines send.
const DEPTH_MAX: usize = 8;

/// A buffer that has become larger than this is given back when it is empty.
const KEPT_BYTES: usize = 128 << 10;

/// The input is not RESP3, or longer or deeper than anything that is expected. There is no way on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A simple, blob or verbatim string, a double or a big number, as it was written.
    Text(&'a [u8]),
    /// An error: its text, which begins with a word in capital letters.
    Error(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// Nothing.
    Null,
    /// An array or a set.
    List(Vec<Value<'a>>),
    /// Keys and values in turn.
    Map(Vec<Value<'a>>),
    /// What is sent without having been asked for, and the answers to SUBSCRIBE and UNSUBSCRIBE.
    Push(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// The bytes of a text.
    pub fn text(&self) -> Option<&'a [u8]> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// What stands under `key` in a map.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Map(entries) = self else { return None };
        let (pairs, _) = entries.as_chunks::<2>();
        pairs.iter().find(|[name, _]| name.text() == Some(key.as_bytes())).map(|[_, value]| value)
    }
}

/// Input that has not been used up.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    start: usize,
    /// As long as there are fewer bytes than this, the value that comes next is not whole.
    wanted: usize,
}

/// How reading a value ended, if not with a value.
enum Stop {
    /// It needs so many bytes from its beginning on, at least.
    Incomplete(usize),
    Malformed,
}

impl Decoder {
    /// Appends input.
    pub fn fill(&mut self, bytes: &[u8]) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a value may be whole. It need not be: only [`Decoder::value`] knows.
    pub fn may_have_value(&self) -> bool {
        self.len() >= self.wanted.max(1)
    }

    /// The next value, if it is whole.
    ///
    /// # Errors
    /// The input cannot be read any further.
    pub fn value(&mut self) -> Result<Option<Value<'_>>, Malformed> {
        if !self.may_have_value() {
            return Ok(None);
        }
        let mut reader = Reader { bytes: self.bytes.get(self.start..).unwrap_or_default(), at: 0 };
        match reader.value(0) {
            Ok(value) => {
                self.start += reader.at;
                self.wanted = 0;
                Ok(Some(value))
            }
            Err(Stop::Incomplete(wanted)) if wanted <= VALUE_BYTES_MAX => {
                self.wanted = wanted;
                Ok(None)
            }
            Err(_) => Err(Malformed),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Malformed);
        }
        let line = self.line()?;
        let (&kind, rest) = line.split_first().ok_or(Stop::Malformed)?;
        Ok(match kind {
            b'+' | b',' | b'(' => Value::Text(rest),
            b'-' => Value::Error(rest),
            b':' => Value::Integer(number(rest)?),
            b'#' => match rest {
                b"t" => Value::Boolean(true),
                b"f" => Value::Boolean(false),
                _ => return Err(Stop::Malformed),
            },
            b'_' => Value::Null,
            // A length of -1 is RESP2's way to say nothing.
            b'$' | b'*' if rest == b"-1" => Value::Null,
            b'$' => Value::Text(self.blob(rest)?),
            b'!' => Value::Error(self.blob(rest)?),
            // Three characters of a format, and a colon.
            b'=' => Value::Text(self.blob(rest)?.get(4..).ok_or(Stop::Malformed)?),
            b'*' | b'~' => Value::List(self.values(rest, 1, depth)?),
            b'>' => Value::Push(self.values(rest, 1, depth)?),
            b'%' => Value::Map(self.values(rest, 2, depth)?),
            b'|' => {
                self.values(rest, 2, depth)?;
                self.value(depth + 1)?
            }
            _ => return Err(Stop::Malformed),
        })
    }

    /// `times` as many values as `count` says.
    fn values(&mut self, count: &[u8], times: usize, depth: usize) -> Result<Vec<Value<'a>>, Stop> {
        let count = length(count)?.checked_mul(times).ok_or(Stop::Malformed)?;
        // Nothing is allocated for values that do not fit into what there is: each takes three bytes.
        let mut values = Vec::with_capacity(count.min((self.bytes.len() - self.at) / 3));
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    /// Up to the next line end, which is passed over.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|&byte| byte == b'\r') else {
            return Err(Stop::Incomplete(self.bytes.len() + 1));
        };
        match rest.get(length + 1) {
            Some(b'\n') => {
                self.at += length + 2;
                Ok(rest.get(..length).unwrap_or_default())
            }
            Some(_) => Err(Stop::Malformed),
            None => Err(Stop::Incomplete(self.bytes.len() + 1)),
        }
    }

    /// As many bytes as `count` says, and a line end.
    fn blob(&mut self, count: &[u8]) -> Result<&'a [u8], Stop> {
        let count = length(count)?;
        let end = self.at + count;
        match self.bytes.get(end..end + 2) {
            Some(b"\r\n") => {
                let blob = self.bytes.get(self.at..end).unwrap_or_default();
                self.at = end + 2;
                Ok(blob)
            }
            Some(_) => Err(Stop::Malformed),
            None => Err(Stop::Incomplete(end + 2)),
        }
    }
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Result<T, Stop> {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Stop::Malformed)
}

fn length(digits: &[u8]) -> Result<usize, Stop> {
    number(digits).ok().filter(|&length| length <= VALUE_BYTES_MAX).ok_or(Stop::Malformed)
}

/// Appends a command of these arguments.
pub fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    begin(out, arguments.len());
    for argument in arguments {
        blob(out, &[argument]);
    }
}

/// Begins a command of so many arguments, each of which is to follow as a [`blob`].
pub fn begin(out: &mut Vec<u8>, arguments: usize) {
    // Writing to a vector does not fail.
    let _ = write!(out, "*{arguments}\r\n");
}

/// Appends an argument, which is given in parts.
pub fn blob(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let _ = write!(out, "${length}\r\n");
    out.reserve(length + 2);
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value that owns its bytes.
    #[derive(Clone, Debug)]
    enum Owned {
        Simple(String),
        Blob(Vec<u8>),
        Verbatim(Vec<u8>),
        Double(f64),
        Error(String),
        BlobError(Vec<u8>),
        Integer(i64),
        Boolean(bool),
        Null,
        NullBlob,
        List(Vec<Owned>),
        Set(Vec<Owned>),
        Push(Vec<Owned>),
        Map(Vec<(Owned, Owned)>),
        Attributed(Box<Owned>),
    }

    fn any_value() -> impl Strategy<Value = Owned> {
        let bytes = || proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..20);
        let leaf = prop_oneof![
            "[A-Z a-z]{0,9}".prop_map(Owned::Simple),
            bytes().prop_map(Owned::Blob),
            bytes().prop_map(Owned::Verbatim),
            any::<f64>().prop_map(Owned::Double),
            "[A-Z]{2,5} [a-z]{0,9}".prop_map(Owned::Error),
            bytes().prop_map(Owned::BlobError),
            any::<i64>().prop_map(Owned::Integer),
            any::<bool>().prop_map(Owned::Boolean),
            Just(Owned::Null),
            Just(Owned::NullBlob),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let some = || proptest::collection::vec(inner.clone(), 0..4);
            prop_oneof![
                some().prop_map(Owned::List),
                some().prop_map(Owned::Set),
                some().prop_map(Owned::Push),
                proptest::collection::vec((inner.clone(), inner.clone()), 0..3).prop_map(Owned::Map),
                inner.clone().prop_map(|value| Owned::Attributed(value.into())),
            ]
        })
    }

    fn write(value: &Owned, out: &mut Vec<u8>) {
        let mut line = |kind: char, text: &str| out.extend(format!("{kind}{text}\r\n").bytes());
        let (kind, bytes) = match value {
            Owned::Simple(text) => return line('+', text),
            Owned::Double(double) => return line(',', &double.to_string()),
            Owned::Error(text) => return line('-', text),
            Owned::Integer(integer) => return line(':', &integer.to_string()),
            Owned::Boolean(boolean) => return line('#', if *boolean { "t" } else { "f" }),
            Owned::Null => return line('_', ""),
            Owned::NullBlob => return line('$', "-1"),
            Owned::Blob(bytes) => ('$', bytes.clone()),
            Owned::Verbatim(bytes) => ('=', [b"txt:".to_vec(), bytes.clone()].concat()),
            Owned::BlobError(bytes) => ('!', bytes.clone()),
            Owned::List(values) => return write_all('*', values, out),
            Owned::Set(values) => return write_all('~', values, out),
            Owned::Push(values) => return write_all('>', values, out),
            Owned::Map(entries) => {
                line('%', &entries.len().to_string());
                return entries.iter().flat_map(|(key, value)| [key, value]).for_each(|it| write(it, out));
            }
            Owned::Attributed(value) => {
                out.extend(b"|1\r\n+popularity\r\n,0.5\r\n");
                return write(value, out);
            }
        };
        line(kind, &bytes.len().to_string());
        out.extend(bytes);
        out.extend(b"\r\n");
    }

    fn write_all(kind: char, values: &[Owned], out: &mut Vec<u8>) {
        out.extend(format!("{kind}{}\r\n", values.len()).bytes());
        values.iter().for_each(|value| write(value, out));
    }

    fn is_same(value: &Value, owned: &Owned) -> bool {
        let all = |values: &[Value], owned: &[&Owned]| {
            values.len() == owned.len()
                && values.iter().zip(owned).all(|(value, owned)| is_same(value, owned))
        };
        match (value, owned) {
            (value, Owned::Attributed(owned)) => is_same(value, owned),
            (Value::Text(text), Owned::Simple(owned)) => *text == owned.as_bytes(),
            (Value::Text(text), Owned::Double(double)) => *text == double.to_string().as_bytes(),
            (Value::Text(text), Owned::Blob(owned) | Owned::Verbatim(owned)) => text == owned,
            (Value::Error(text), Owned::Error(owned)) => *text == owned.as_bytes(),
            (Value::Error(text), Owned::BlobError(owned)) => text == owned,
            (Value::Integer(integer), Owned::Integer(owned)) => integer == owned,
            (Value::Boolean(boolean), Owned::Boolean(owned)) => boolean == owned,
            (Value::Null, Owned::Null | Owned::NullBlob) => true,
            (Value::List(values), Owned::List(owned) | Owned::Set(owned))
            | (Value::Push(values), Owned::Push(owned)) => all(values, &owned.iter().collect::<Vec<_>>()),
            (Value::Map(values), Owned::Map(owned)) => {
                all(values, &owned.iter().flat_map(|(key, value)| [key, value]).collect::<Vec<_>>())
            }
            _ => false,
        }
    }

    proptest! {
        /// Whatever the pieces in which it comes, the same values come out.
        #[test]
        fn values_come_back_however_the_input_is_cut(
            values in proptest::collection::vec(any_value(), 1..6),
            cuts in proptest::collection::vec(1_usize..12, 1..20),
        ) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| write(value, &mut bytes));
            let mut decoder = Decoder::default();
            let (mut found, mut rest, mut cuts) = (0, &bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                decoder.fill(piece);
                rest = after;
                while let Some(value) = decoder.value().unwrap() {
                    prop_assert!(is_same(&value, &values[found]), "{:?}, not {:?}", value, values[found]);
                    found += 1;
                }
            }
            prop_assert_eq!(found, values.len());
            prop_assert!(decoder.is_empty());
        }

        /// Every cut in two, byte by byte: nothing before the value is whole, and the value then.
        #[test]
        fn a_value_comes_when_it_is_whole_and_not_before(value in any_value()) {
            let mut bytes = Vec::new();
            write(&value, &mut bytes);
            for cut in 0..bytes.len() {
                let mut decoder = Decoder::default();
                decoder.fill(&bytes[..cut]);
                prop_assert_eq!(decoder.value(), Ok(None));
                decoder.fill(&bytes[cut..]);
                prop_assert!(decoder.value().unwrap().is_some_and(|found| is_same(&found, &value)));
            }
        }

        /// No input, however wrong, panics or is read for ever.
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'*'), Just(b'$'), Just(b'%')], 0..60,
        )) {
            let mut decoder = Decoder::default();
            decoder.fill(&bytes);
            for _ in 0..=bytes.len() {
                if !matches!(decoder.value(), Ok(Some(_))) {
                    return Ok(());
                }
            }
            prop_assert!(false, "more values than bytes");
        }
    }

    #[test]
    fn a_long_blob_is_not_looked_at_before_it_is_whole() {
        let mut decoder = Decoder::default();
        decoder.fill(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$100000\r\n");
        assert_eq!(decoder.value(), Ok(None));
        for _ in 0..1000 {
            decoder.fill(&[b'x'; 100]);
            assert!(!decoder.may_have_value());
        }
        decoder.fill(b"\r\n:1\r\n");
        assert!(matches!(decoder.value(), Ok(Some(Value::Push(values))) if values.len() == 3));
        assert_eq!(decoder.value(), Ok(Some(Value::Integer(1))));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let deep = "*1\r\n".repeat(20);
        for bad in
            ["?\r\n", "\r\n", ":x\r\n", "$9999999999\r\n", "*9999999999\r\n", "$-2\r\n", "+a\rb", &deep]
        {
            let mut decoder = Decoder::default();
            decoder.fill(bad.as_bytes());
            assert_eq!(decoder.value(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_blobs() {
        let mut out = Vec::new();
        command(&mut out, &[b"PUBLISH", b"c", b"a\r\n"]);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$3\r\na\r\n\r\n");
    }
}
