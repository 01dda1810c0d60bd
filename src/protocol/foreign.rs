//! Connections that begin with another protocol: HTTP, TLS, or a PROXY header. Nothing of theirs is carried out.
//!
//! A web page can make a visitor's browser post to any port. Without this, a request body with JSON lines in it would be
//! carried out. And a client that was pointed at the wrong port learns it at once.
//!
//! Does no I/O and holds no bytes. Each connection that speaks lines has one [`Beginning`], and the hub asks it in two
//! steps:
//!
//! 1. **The first bytes**, before they are given to [`Lines`](crate::lines::Lines). While
//!    [`wants_bytes`](Beginning::wants_bytes), what is read goes to [`first_bytes`](Beginning::first_bytes).
//!    [`Undecided`](FirstBytes::Undecided) uses the bytes up: they are the beginning of a known signature, so the state
//!    knows them, and nothing has to be held. [`Lines`](FirstBytes::Lines) gives them back, to be put in front of what
//!    was read last with [`Lines::hold`](crate::lines::Lines::hold). At the end of the input
//!    [`end_of_input`](Beginning::end_of_input) gives them back likewise.
//! 2. **The first line that is not blank**: each line that is found goes to
//!    [`first_line`](Beginning::first_line) before it is carried out, until [`is_over`](Beginning::is_over). That is true
//!    for good then: one comparison of a byte.

use crate::lines::{self, Found};

/// What a connection began with instead of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// An HTTP request.
    Http,
    /// A TLS handshake.
    Tls,
    /// The header of the PROXY protocol, version 1 or 2.
    ProxyHeader,
    /// Anything but TLS, on a listener that speaks TLS. Not found here, but by the transport.
    NoTls,
}

/// What [`Beginning::first_bytes`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// The bytes may still become another protocol. They are used up; nothing is to be answered yet.
    Undecided,
    /// These are lines. The bytes here came in earlier calls, and belong in front of those of this one.
    Lines(&'static [u8]),
    /// This is another protocol.
    Foreign(Foreign),
}

/// How far the beginning of one connection has been judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning(State);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    #[default]
    Start,
    /// So many bytes of the signature with this index have come, and nothing else.
    Within {
        signature: u8,
        seen: u8,
    },
    /// Lines, of which none was other than blank yet.
    BlankLines,
    Over,
}

/// What the protocols begin with that are recognised by their first bytes. No two begin with the same byte.
const SIGNATURES: [(&[u8], Foreign); 3] = [
    // A TLS record of the kind handshake, of any version from SSL 3 on.
    (b"\x16\x03", Foreign::Tls),
    (b"PROXY ", Foreign::ProxyHeader),
    (b"\r\n\r\n\0\r\nQUIT\n", Foreign::ProxyHeader),
];

impl Beginning {
    /// Of a connection that is known to speak this protocol.
    pub fn over() -> Self {
        Beginning(State::Over)
    }

    /// Whether what is read has to be given to [`Beginning::first_bytes`].
    pub fn wants_bytes(&self) -> bool {
        matches!(self.0, State::Start | State::Within { .. })
    }

    /// Whether nothing is left to be judged; until then, what is found has to be given to [`Beginning::first_line`].
    pub fn is_over(&self) -> bool {
        self.0 == State::Over
    }

    /// Judges the connection's first bytes; all those that have come since the last call. After an answer other than
    /// `Undecided` it must not be called again.
    pub fn first_bytes(&mut self, bytes: &[u8]) -> FirstBytes {
        debug_assert!(self.wants_bytes());
        let Some(&first) = bytes.first() else { return FirstBytes::Undecided };
        let (index, seen) = match self.0 {
            State::Within { signature, seen } => (usize::from(signature), usize::from(seen)),
            _ => match SIGNATURES.iter().position(|(signature, _)| signature.first() == Some(&first)) {
                Some(index) => (index, 0),
                None => return self.lines(&[]),
            },
        };
        let Some(&(signature, foreign)) = SIGNATURES.get(index) else { return self.lines(&[]) };
        let (earlier, wanted) = signature.split_at_checked(seen).unwrap_or_default();
        if bytes.starts_with(wanted) {
            self.0 = State::Over;
            FirstBytes::Foreign(foreign)
        } else if wanted.starts_with(bytes) {
            // A signature has at most twelve bytes.
            self.0 = State::Within { signature: index as u8, seen: (seen + bytes.len()) as u8 };
            FirstBytes::Undecided
        } else {
            self.lines(earlier)
        }
    }

    /// The input has ended. Undecided bytes are lines; they are given back.
    pub fn end_of_input(&mut self) -> &'static [u8] {
        let State::Within { signature, seen } = self.0 else { return &[] };
        self.0 = State::BlankLines;
        let signature = SIGNATURES.get(usize::from(signature)).map_or(&[][..], |&(signature, _)| signature);
        signature.get(..usize::from(seen)).unwrap_or_default()
    }

    /// Judges a line of the connection: the other protocol that it is, if it is the first that is not blank and no line
    /// of this protocol.
    pub fn first_line(&mut self, found: &Found) -> Option<Foreign> {
        debug_assert!(!self.is_over());
        let is_http = match found {
            Found::Line(line) if lines::is_blank(line) => return None,
            Found::Line(line) => is_http_request(line),
            Found::TooLong(begin) => begins_with_a_method(begin),
        };
        self.0 = State::Over;
        is_http.then_some(Foreign::Http)
    }

    fn lines(&mut self, earlier: &'static [u8]) -> FirstBytes {
        self.0 = State::BlankLines;
        FirstBytes::Lines(earlier)
    }
}

/// `TOKEN target HTTP/n` or `TOKEN target HTTP/n.n`.
fn is_http_request(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    let Some(version) = version.strip_prefix(b"HTTP/") else { return false };
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    !method.is_empty()
        && method.iter().all(|&byte| is_token_byte(byte))
        && !target.is_empty()
        && version.splitn(2, |&byte| byte == b'.').all(is_number)
}

/// Of what a token of HTTP consists (RFC 9110, 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A word of capital letters and a space.
fn begins_with_a_method(line: &[u8]) -> bool {
    let letters = line.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    letters > 0 && line.get(letters) == Some(&b' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::Lines;

    const LIMIT: usize = 40;

    /// What is known of a connection that sent this, in pieces, and then ended: the lines that would be carried out, or
    /// what else it was.
    fn judge(stream: &[u8], sizes: &[usize]) -> Result<Vec<Vec<u8>>, Foreign> {
        let mut beginning = Beginning::default();
        let mut lines = Lines::default();
        let mut said = Vec::new();
        let mut note = |beginning: &mut Beginning, found: Found| {
            if !beginning.is_over()
                && let Some(foreign) = beginning.first_line(&found)
            {
                return Err(foreign);
            }
            said.push(match found {
                Found::Line(line) => line.to_vec(),
                Found::TooLong(_) => b"too long".to_vec(),
            });
            Ok(())
        };
        let mut rest = stream;
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let (mut fresh, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            rest = later;
            if beginning.wants_bytes() {
                match beginning.first_bytes(fresh) {
                    FirstBytes::Undecided => continue,
                    FirstBytes::Lines(earlier) => lines.hold(earlier),
                    FirstBytes::Foreign(foreign) => return Err(foreign),
                }
            }
            while let Some(found) = lines.next(&mut fresh, LIMIT) {
                note(&mut beginning, found)?;
            }
        }
        lines.hold(beginning.end_of_input());
        while let Some(found) = lines.next(&mut &[][..], LIMIT) {
            note(&mut beginning, found)?;
        }
        if let Some(found) = lines.finish(LIMIT) {
            note(&mut beginning, found)?;
        }
        assert!(!beginning.wants_bytes() || stream.is_empty());
        Ok(said)
    }

    const FOREIGN: &[(&[u8], Foreign)] = &[
        (b"\x16\x03", Foreign::Tls),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", Foreign::Tls),
        (b"PROXY ", Foreign::ProxyHeader),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{}\n", Foreign::ProxyHeader),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Foreign::ProxyHeader),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n{}\n", Foreign::Http),
        (b"GET / HTTP/1.0", Foreign::Http),
        (b"PRI * HTTP/2.0\r\n", Foreign::Http),
        (b"get /\xff HTTP/3\n", Foreign::Http),
        (b"\n \t\r\n\r\nX-a!1 x HTTP/1.1\n", Foreign::Http),
        (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n", Foreign::Http),
        (b"POST /a-target-that-is-longer-than-the-limit-of-a-line HTTP/1.1\n", Foreign::Http),
        (b"G                                                      ", Foreign::Http),
        (b"PROPFIND /a-target-that-is-longer-than-the-limit-of-a-line", Foreign::Http),
    ];

    const LINES: &[&[u8]] = &[
        b"",
        b"\x16",
        b"\x16\x02\n",
        b"\x16\n\x03",
        b"PROXY\n",
        b"PROXy \n",
        b"PRO",
        b"\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\r\n",
        b"\r\n\r\n{}\n",
        b"\n\x16\x03\n",
        b"{}\nPOST / HTTP/1.1\n",
        b"hello\nGET / HTTP/1.1\n",
        b"GET /\n",
        b"GET / HTTP/\n",
        b"GET / HTTP/1.\n",
        b"GET / HTTP/.1\n",
        b"GET / HTTP/1.1.1\n",
        b"GET / HTTP/1x\n",
        b"GET / http/1.1\n",
        b"GET  HTTP/1.1\n",
        b" / HTTP/1.1\n",
        b"G@T / HTTP/1.1\n",
        b"{\"action\":\"GET\" HTTP/1.1\n",
        b"GET a b HTTP/1.1\n",
        b"post /a-target-that-is-longer-than-the-limit-of-a-line HTTP/1.1\n",
        b" POST /a-target-that-is-longer-than-the-limit-of-a-line HTTP/1.1\n",
        b"POST\t/a-target-that-is-longer-than-the-limit-of-a-line HTTP/1.1\n",
        b"AWORDOFCAPITALLETTERSTHATISLONGERTHANTHELIMITOFALINE x\n",
    ];

    #[test]
    fn every_cut_of_another_protocol_and_of_lines() {
        for size in 1..60 {
            for (stream, foreign) in FOREIGN {
                let text = String::from_utf8_lossy(stream);
                assert_eq!(judge(stream, &[size]), Err(*foreign), "{text:?} by {size}");
                assert_eq!(judge(stream, &[size, 1]), Err(*foreign), "{text:?} by {size} and 1");
            }
            for stream in LINES {
                let text = String::from_utf8_lossy(stream);
                let whole = judge(stream, &[usize::MAX]);
                assert!(whole.is_ok(), "{text:?}: {whole:?}");
                assert_eq!(judge(stream, &[size]), whole, "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn nothing_is_decided_while_the_bytes_may_still_become_a_signature() {
        for (signature, foreign) in SIGNATURES {
            for length in 0..signature.len() {
                let mut beginning = Beginning::default();
                assert_eq!(beginning.first_bytes(&signature[..length]), FirstBytes::Undecided);
                let mut other = beginning;
                let mut ended = beginning;
                assert_eq!(beginning.first_bytes(&signature[length..]), FirstBytes::Foreign(foreign));
                assert_eq!(other.first_bytes(b"?"), FirstBytes::Lines(&signature[..length]));
                assert_eq!(ended.end_of_input(), &signature[..length]);
                assert!(beginning.is_over() && !other.wants_bytes() && !other.is_over());
            }
        }
    }

    #[test]
    fn it_costs_a_connection_next_to_nothing() {
        assert!(size_of::<Beginning>() <= 4);
    }

    proptest! {
        /// What is no other protocol comes through as it is, however it is cut.
        #[test]
        fn no_byte_is_lost(
            stream in "(\r\n|\r\n\r\n\x00|\x16|PRO|PROXY|QUIT|GET |\\{\\}|\n|[ -~]){0,12}",
            sizes in proptest::collection::vec(1usize..8, 1..6),
        ) {
            let stream = stream.as_bytes();
            let whole = judge(stream, &[usize::MAX]);
            prop_assert_eq!(&judge(stream, &sizes), &whole);
            if let Ok(lines) = whole {
                let (mut all, mut wanted) = (Vec::new(), Lines::default());
                let mut fresh = stream;
                while let Some(Found::Line(line)) = wanted.next(&mut fresh, LIMIT) {
                    all.push(line.to_vec());
                }
                if let Some(Found::Line(line)) = wanted.finish(LIMIT) {
                    all.push(line.to_vec());
                }
                prop_assume!(stream.len() <= LIMIT);
                prop_assert_eq!(lines, all);
            }
        }
    }
}
