//! The heads of RFC 6455's frames, and the mask. Knows nothing of messages' text, nor of connections.
//!
//! ```text
//! byte 0   FIN, three reserved bits, the opcode (4 bits)
//! byte 1   MASK, the length (7 bits): up to 125, or 126: the next 2 bytes have it, or 127: the next 8
//! then     the mask (4 bytes), only from client to server; then the payload
//! ```

/// The longest payload of a control frame.
pub const CONTROL_BYTES_MAX: usize = 125;

/// The longest head of a frame that a client sends.
pub const HEAD_BYTES_MAX: usize = 14;

/// The longest head of a frame that the server sends: it does not mask.
pub const OWN_HEAD_BYTES_MAX: usize = 10;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that is under way.
    Continuation,
    /// The beginning of a text message.
    Text,
    /// The beginning of a binary message.
    Binary,
    /// The end of what the peer sends.
    Close,
    /// Asks for a [`Opcode::Pong`].
    Ping,
    /// Answers a [`Opcode::Ping`], or comes unasked.
    Pong,
}

impl Opcode {
    /// The four bits that stand for it.
    pub const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    const fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether this is a control frame: short, whole, and allowed amid a fragmented message.
    pub const fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// How a peer broke the rules. It is told so with a Close frame of that code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// RFC 6455 was broken.
    Protocol,
    /// A binary message: there is no meaning for one here.
    Binary,
    /// A text message or the reason of a Close that is not UTF-8.
    NotUtf8,
}

impl Fault {
    /// The code for the Close frame.
    pub const fn code(self) -> u16 {
        match self {
            Fault::Protocol => 1002,
            Fault::Binary => 1003,
            Fault::NotUtf8 => 1007,
        }
    }
}

/// The head of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What its payload is masked with.
    pub mask: [u8; 4],
    /// The length of its payload in bytes.
    pub payload: u64,
}

impl Head {
    /// The head that `bytes` begin with and its length, or `None` as long as more bytes are needed to know it.
    /// `in_message`: a fragmented message is under way.
    ///
    /// # Errors
    /// The first fault that the bytes show, even where the head is not yet whole. That a frame is binary is told last,
    /// so that a frame with another fault is never called a mere binary one.
    pub fn parse(bytes: &[u8], in_message: bool) -> Result<Option<(Head, usize)>, Fault> {
        let Some((&first, bytes)) = bytes.split_first() else { return Ok(None) };
        let fin = first & FIN != 0;
        let opcode = Opcode::from_bits(first & OPCODE).ok_or(Fault::Protocol)?;
        let has_its_place = match opcode {
            Opcode::Continuation => in_message,
            Opcode::Text | Opcode::Binary => !in_message,
            Opcode::Close | Opcode::Ping | Opcode::Pong => fin,
        };
        if first & RESERVED != 0 || !has_its_place {
            return Err(Fault::Protocol);
        }
        let Some((&second, bytes)) = bytes.split_first() else { return Ok(None) };
        let short = second & LENGTH;
        // A Close has a code of two bytes or nothing.
        let fits = match opcode {
            Opcode::Close => usize::from(short) <= CONTROL_BYTES_MAX && short != 1,
            Opcode::Ping | Opcode::Pong => usize::from(short) <= CONTROL_BYTES_MAX,
            Opcode::Continuation | Opcode::Text | Opcode::Binary => true,
        };
        if second & MASKED == 0 || !fits {
            return Err(Fault::Protocol);
        }
        let Some((payload, length_bytes)) = length(short, bytes)? else { return Ok(None) };
        let Some(&mask) = bytes.get(length_bytes..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        if opcode == Opcode::Binary {
            return Err(Fault::Binary);
        }
        Ok(Some((Head { fin, opcode, mask, payload }, 2 + length_bytes + mask.len())))
    }
}

/// The length of a payload, and how many bytes after the first two tell it. `None`: they have not all come.
fn length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let (length, length_bytes, least) = match short {
        126 => match bytes.first_chunk() {
            Some(&length) => (u16::from_be_bytes(length).into(), 2, 126),
            None => return Ok(None),
        },
        127 => match bytes.first_chunk() {
            Some(&length) => (u64::from_be_bytes(length), 8, 1 << 16),
            None => return Ok(None),
        },
        _ => (short.into(), 0, 0),
    };
    // It must be told in the shortest way, and the highest bit must be 0.
    if length < least || length >> 63 != 0 { Err(Fault::Protocol) } else { Ok(Some((length, length_bytes))) }
}

/// The length of the head that the server writes before a payload of so many bytes.
pub const fn own_head_bytes(payload: usize) -> usize {
    match payload {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => OWN_HEAD_BYTES_MAX,
    }
}

/// Appends the head of a whole message or of a control frame of the server.
#[inline]
pub fn push_own_head(out: &mut Vec<u8>, opcode: Opcode, payload: usize) {
    let first = FIN | opcode.bits();
    // Each cast is of a number that fits.
    match payload {
        0..126 => out.extend_from_slice(&[first, payload as u8]),
        126..0x1_0000 => {
            let [high, low] = (payload as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

/// Takes the mask off `bytes`, or puts it on: it is the same. The mask is turned for the bytes that follow these.
pub fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ twice).to_ne_bytes();
    }
    let turned = rest.len() % 4;
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(turned);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
        Head::parse(bytes, false)
    }

    #[test]
    fn lengths_are_told_in_the_shortest_way() {
        let mask = [1, 2, 3, 4];
        let with = |length: &[u8]| [&[0x81], length, &mask].concat();
        for (length, payload) in [
            (&[0x80][..], 0),
            (&[0x80 | 125], 125),
            (&[0xfe, 0, 126], 126),
            (&[0xfe, 0xff, 0xff], 65_535),
            (&[0xff, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
            (&[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX as u64),
        ] {
            let head = Head { fin: true, opcode: Opcode::Text, mask, payload };
            let bytes = with(length);
            assert_eq!(parse(&bytes), Ok(Some((head, bytes.len()))), "{length:?}");
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{length:?} cut at {cut}");
            }
        }
        for length in [
            &[0xfe, 0, 125][..],
            &[0xfe, 0, 0],
            &[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0xff, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            // It is told as soon as the length is known: the mask need not have come.
            assert_eq!(parse(&[&[0x81], length].concat()), Err(Fault::Protocol), "{length:?}");
        }
    }

    #[test]
    fn the_servers_heads_are_those_of_the_rfc() {
        for (payload, head) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            push_own_head(&mut out, Opcode::Text, payload);
            assert_eq!(out, head);
            assert_eq!(own_head_bytes(payload), head.len());
        }
    }

    proptest! {
        /// However the payload is cut, each byte meets its byte of the mask.
        #[test]
        fn the_mask_goes_on_over_cuts(payload in proptest::collection::vec(any::<u8>(), 0..100), mask: [u8; 4], cut in 0usize..100) {
            let expected: Vec<u8> = payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            let mut bytes = payload.clone();
            let mut turning = mask;
            let (one, two) = bytes.split_at_mut(cut.min(payload.len()));
            unmask(one, &mut turning);
            unmask(two, &mut turning);
            prop_assert_eq!(bytes, expected);
        }
    }
}
