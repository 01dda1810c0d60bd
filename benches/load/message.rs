//! The text of a message: who says it and the how-manieth it is, so that every delivery can be checked.
//!
//! A text is `SSSSSSSSNNNNNNNN` (sender and number, eight hex digits each) and then as much of one fixed alphabet as
//! the wanted length asks for. There is nothing in it that a protocol would escape. Since all of it is known
//! beforehand, a single wrong byte is found.

/// The shortest text: sender and number.
pub const SHORTEST: usize = 16;
/// The longest text: what fits into one line of every protocol (IRC allows 512 bytes for all of a line).
pub const LONGEST: usize = 4096;

const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Message number `number` of the client `sender`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub sender: u32,
    pub number: u32,
}

/// Builds and takes apart texts of one length.
pub struct Texts {
    text: Vec<u8>,
}

impl Texts {
    /// `length` is in bytes, from [`SHORTEST`] to [`LONGEST`].
    pub fn new(length: usize) -> Texts {
        let length = length.clamp(SHORTEST, LONGEST);
        let filler = ALPHABET.iter().cycle().take(length - SHORTEST);
        Texts { text: b"0000000000000000".iter().chain(filler).copied().collect() }
    }

    /// The text of `message`.
    pub fn write(&mut self, message: Message) -> &[u8] {
        write_hex(&mut self.text[..8], message.sender);
        write_hex(&mut self.text[8..16], message.number);
        &self.text
    }

    /// The message whose text this is; `None` if a single byte is not as it was written.
    pub fn read(&self, text: &[u8]) -> Option<Message> {
        if text.len() != self.text.len() || text[SHORTEST..] != self.text[SHORTEST..] {
            return None;
        }
        Some(Message { sender: read_hex(&text[..8])?, number: read_hex(&text[8..16])? })
    }
}

fn write_hex(to: &mut [u8], mut value: u32) {
    for digit in to.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// Lower case only: another spelling of the same number is not what was sent.
pub fn read_hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Some(value << 4 | u32::from(digit - b'0')),
        b'a'..=b'f' => Some(value << 4 | u32::from(digit - b'a' + 10)),
        _ => None,
    })
}
