//! The rules of the protocol about what is written, each as a pattern: nicknames, and lines of other protocols. The
//! properties of characters come from the tables of the `regex` crate.

use std::sync::LazyLock;

use regex::{Regex, bytes};

/// What nobody sees.
const INVISIBLE: &str = r"\p{Default_Ignorable_Code_Point}\u{2028}\u{2029}\u{FFF9}-\u{FFFB}\u{2800}";

/// May a client be called so?
pub fn is_nickname(name: &str) -> bool {
    static CHARACTERS: LazyLock<Regex> = LazyLock::new(|| {
        let symbol = format!(
            r"[[\u{{203C}}-\u{{2BFF}}\u{{1F000}}-\u{{1FAFF}}]--[\p{{White_Space}}{INVISIBLE}]]\u{{FE0F}}?"
        );
        let other = format!(r"[^\p{{Cc}}{INVISIBLE}]");
        Regex::new(&format!(r"\A(?:{symbol}(?:\u{{200D}}{symbol})*|{other})*\z")).unwrap()
    });
    static WHITE_SPACE_AT_AN_END: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\A\p{White_Space}|\p{White_Space}\z").unwrap());
    (1..=64).contains(&name.len()) && CHARACTERS.is_match(name) && !WHITE_SPACE_AT_AN_END.is_match(name)
}

/// Is this, as the first line that is not blank, one of HTTP?
pub fn is_http(line: &[u8], max_line: usize) -> bool {
    static REQUEST: LazyLock<bytes::Regex> = LazyLock::new(|| {
        bytes::Regex::new(r"(?-u)\A[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ ]+ HTTP/[0-9]+(\.[0-9]+)?\z").unwrap()
    });
    static METHOD: LazyLock<bytes::Regex> = LazyLock::new(|| bytes::Regex::new(r"(?-u)\A[A-Z]+ ").unwrap());
    // A line that is too long is answered when so much of it is there.
    if line.len() > max_line { METHOD.is_match(&line[..=max_line]) } else { REQUEST.is_match(line) }
}

/// What a connection's first bytes can say of another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// They may still become one.
    Undecided,
    Foreign,
    Lines,
}

/// Judges the first bytes of a connection.
pub fn first_bytes(bytes: &[u8]) -> FirstBytes {
    let signatures: [&[u8]; 3] = [b"\x16\x03", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];
    if signatures.iter().any(|signature| bytes.starts_with(signature)) {
        FirstBytes::Foreign
    } else if signatures.iter().any(|signature| signature.starts_with(bytes)) {
        FirstBytes::Undecided
    } else {
        FirstBytes::Lines
    }
}

/// A character that never stands raw in GET MESSAGE.
pub fn is_always_escaped(char: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&char) || char == '\u{2028}' || char == '\u{2029}'
}
