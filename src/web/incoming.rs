//! What a WebSocket client sends becomes lines: each text message one line that ends in `\n`. Knows nothing of sockets.
//!
//! The bytes are worked on where they lie, in the buffer into which the socket was read: payloads are unmasked there
//! and moved together, without their heads, as the lines that [`Lines`](crate::lines::Lines) takes. What is kept from
//! one read to the next is 32 bytes for each client: a head whose end has not come, how much of a payload is
//! still to come, a character that has begun. Only the payload of a control frame that is cut by the end of a read takes a
//! block of its own, until the rest of it comes, and so does what came behind the request for the upgrade.
//!
//! # A message is one line
//!
//! Within a message `\n` and `\r` are written as `\t`. All three are white space between the tokens of JSON, and an error
//! within a string, so the JSON value is the same, or there was none before and is none now. It makes a message one
//! line, whatever is in it, of exactly as many bytes, and one of JSON's white space alone is one of spaces and tabs, which
//! gets no reply.

use std::ops::Range;

use super::frames::{CONTROL_BYTES_MAX, Fault, HEAD_BYTES_MAX, Head, Opcode, unmask};
use super::utf8::{NotUtf8, Utf8};
use crate::batch::{Counted, Memory};

/// What is known of a client's input between two reads.
#[derive(Debug, Default)]
pub struct Incoming {
    stage: Stage,
    /// The text message under way.
    utf8: Utf8,
    /// A fragmented message is under way.
    in_message: bool,
    /// The end has been told.
    end_is_told: bool,
    /// What has come and cannot be used yet; mostly there is none of it.
    held: Option<Box<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// The payload of the Ping or Close that is under way.
    control: Control,
    begun: Option<Begun>,
}

/// What came behind the request for the upgrade.
#[derive(Debug)]
struct Begun {
    bytes: Vec<u8>,
    counted: Counted,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// A head, of which so many bytes have come.
    Head { begun: [u8; HEAD_BYTES_MAX - 1], len: u8 },
    /// A payload.
    Payload {
        kind: Kind,
        /// For its next byte.
        mask: [u8; 4],
        /// Bytes of it that are still to come.
        left: u64,
    },
    /// Nothing: there was a Close or a fault.
    Ended(End),
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A part of a text message that is not its last.
    Fragment,
    /// The last part of a text message, or all of it.
    LastFragment,
    Ping,
    Pong,
    Close,
}

impl Default for Stage {
    fn default() -> Self {
        Stage::Head { begun: [0; HEAD_BYTES_MAX - 1], len: 0 }
    }
}

impl Kind {
    fn is_text(self) -> bool {
        matches!(self, Kind::Fragment | Kind::LastFragment)
    }
}

/// The payload of a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    bytes: [u8; CONTROL_BYTES_MAX],
    len: u8,
}

impl Default for Control {
    fn default() -> Self {
        Control { bytes: [0; CONTROL_BYTES_MAX], len: 0 }
    }
}

impl Control {
    /// The payload: at most 125 bytes.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Appends what still fits.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let free = self.bytes.get_mut(usize::from(self.len)..).unwrap_or_default();
        debug_assert!(bytes.len() <= free.len(), "a head says that more than 125 bytes come");
        for (free, &byte) in free.iter_mut().zip(bytes) {
            *free = byte;
        }
        self.len = self.len.saturating_add(bytes.len().min(CONTROL_BYTES_MAX) as u8);
    }
}

/// Why nothing more is read from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A Close frame, with its code if it had one. It is to be answered with the same.
    Closed(Option<u16>),
    /// The rules were broken.
    Fault(Fault),
}

impl End {
    /// The code of the Close frame that is to be sent.
    pub fn code(self) -> Option<u16> {
        match self {
            End::Closed(code) => code,
            End::Fault(fault) => Some(fault.code()),
        }
    }
}

/// What a read has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// So many bytes of lines stand at the beginning of the buffer. Where a message has not come to its end, the last of
    /// them has no `\n` yet.
    pub bytes: usize,
    /// The latest Ping that is to be answered.
    pub ping: Option<Control>,
    /// The end, if it has come. Whole messages before it stand in the buffer; the beginning of one that has no end
    /// is nothing that may be carried out.
    pub end: Option<End>,
}

impl Incoming {
    /// Where in the buffer a read must begin. A line can be longer than what came of its message in this read by its
    /// `\n`: then the head of its frame came before.
    pub const READ_FROM: usize = 1;

    /// Turns the bytes that were read into `buffer` at `fresh` into lines at its beginning. `fresh` must begin at
    /// [`Incoming::READ_FROM`] or after. After the end nothing has a meaning any more, and nothing is found.
    pub fn decode(&mut self, buffer: &mut [u8], fresh: Range<usize>) -> Decoded {
        debug_assert!(fresh.start >= Self::READ_FROM && fresh.end <= buffer.len());
        let mut decoded = Decoded::default();
        let mut next = fresh.start;
        while next < fresh.end {
            let step = match self.stage {
                Stage::Head { .. } => self.take_head(buffer.get(next..fresh.end).unwrap_or_default()),
                Stage::Payload { kind, .. } if kind.is_text() => self
                    .take_text(buffer, next..fresh.end, decoded.bytes)
                    .inspect(|taken| decoded.bytes += taken),
                Stage::Payload { .. } => {
                    Ok(self.take_control(buffer.get_mut(next..fresh.end).unwrap_or_default()))
                }
                Stage::Ended(_) => break,
            };
            let end = match step {
                Ok(taken) => {
                    next += taken;
                    self.finish_payload(buffer, &mut decoded).err()
                }
                Err(fault) => Some(End::Fault(fault)),
            };
            if let Some(end) = end {
                decoded.end = Some(end);
                self.stage = Stage::Ended(end);
                self.held = None;
            }
        }
        decoded
    }

    /// The end, if it has come.
    pub fn end(&self) -> Option<End> {
        match self.stage {
            Stage::Ended(end) => Some(end),
            Stage::Head { .. } | Stage::Payload { .. } => None,
        }
    }

    /// Whether the end has come; true once.
    pub fn tell_end(&mut self) -> bool {
        self.end().is_some() && !std::mem::replace(&mut self.end_is_told, true)
    }

    /// Keeps what came behind the request for the upgrade. It counts as memory until it is taken.
    pub fn hold(&mut self, bytes: Vec<u8>, memory: &Memory) {
        if !bytes.is_empty() {
            let mut counted = Counted::new(memory);
            counted.set(bytes.capacity());
            self.held.get_or_insert_default().begun = Some(Begun { bytes, counted });
        }
    }

    /// Bytes allocated for what was kept so.
    pub fn held_bytes(&self) -> usize {
        let begun = self.held.as_ref().and_then(|held| held.begun.as_ref());
        begun.map_or(0, |begun| begun.counted.get())
    }

    /// Copies some of that into `buffer`, and forgets it. How many bytes, if there were any.
    pub fn take_held(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let held = self.held.as_mut()?;
        let bytes = &mut held.begun.as_mut()?.bytes;
        let count = bytes.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(bytes.drain(..count)) {
            *place = byte;
        }
        if bytes.is_empty() {
            held.begun = None;
            self.let_go();
        }
        Some(count)
    }

    /// Gives back what holds nothing.
    fn let_go(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.begun.is_none() && held.control.len == 0) {
            self.held = None;
        }
    }

    /// The payload of a control frame that is whole.
    fn take_payload(&mut self) -> Control {
        let control = self.held.as_mut().map(|held| std::mem::take(&mut held.control));
        self.let_go();
        control.unwrap_or_default()
    }

    /// Whether a message has begun, and not ended: an end of the input is no clean one then.
    pub fn is_amid_message(&self) -> bool {
        self.in_message || matches!(self.stage, Stage::Payload { kind, .. } if kind.is_text())
    }

    /// Bytes allocated beside this.
    pub fn allocated_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |_| size_of::<Held>()) + self.held_bytes()
    }

    /// Takes the head of a frame, or what has come of it. How many bytes that took.
    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Stage::Head { begun, len } = &mut self.stage else { return Ok(0) };
        if *len == 0
            && let Some((head, taken)) = Head::parse(bytes, self.in_message)?
        {
            self.begin(head);
            return Ok(taken);
        }
        let mut whole = [0; HEAD_BYTES_MAX];
        whole[..begun.len()].copy_from_slice(begun);
        for (taken, &byte) in bytes.iter().enumerate() {
            if let Some(place) = whole.get_mut(usize::from(*len)) {
                *place = byte;
            }
            *len += 1;
            let head = whole.get(..usize::from(*len)).unwrap_or_default();
            if let Some((head, _)) = Head::parse(head, self.in_message)? {
                self.begin(head);
                return Ok(taken + 1);
            }
        }
        // It is not whole: at least its last byte is missing.
        begun.copy_from_slice(&whole[..HEAD_BYTES_MAX - 1]);
        Ok(bytes.len())
    }

    fn begin(&mut self, head: Head) {
        let kind = match head.opcode {
            Opcode::Continuation | Opcode::Text | Opcode::Binary if head.fin => Kind::LastFragment,
            Opcode::Continuation | Opcode::Text | Opcode::Binary => Kind::Fragment,
            Opcode::Ping => Kind::Ping,
            Opcode::Pong => Kind::Pong,
            Opcode::Close => Kind::Close,
        };
        if kind.is_text() {
            self.in_message = kind == Kind::Fragment;
        }
        self.stage = Stage::Payload { kind, mask: head.mask, left: head.payload };
    }

    /// Moves what has come of a text to `out`, unmasked. How many bytes that were.
    fn take_text(&mut self, buffer: &mut [u8], fresh: Range<usize>, out: usize) -> Result<usize, Fault> {
        let Stage::Payload { mask, left, .. } = &mut self.stage else { return Ok(0) };
        let taken = bounded(*left, fresh.len());
        buffer.copy_within(fresh.start..fresh.start + taken, out);
        let text = buffer.get_mut(out..out + taken).unwrap_or_default();
        unmask(text, mask);
        self.utf8.feed(text).map_err(|NotUtf8| Fault::NotUtf8)?;
        for byte in text {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b'\t';
            }
        }
        *left -= taken as u64;
        Ok(taken)
    }

    /// Takes what has come of a control frame's payload. How many bytes that were.
    fn take_control(&mut self, bytes: &mut [u8]) -> usize {
        let Stage::Payload { kind, mask, left } = &mut self.stage else { return 0 };
        let taken = bounded(*left, bytes.len());
        let payload = bytes.get_mut(..taken).unwrap_or_default();
        unmask(payload, mask);
        *left -= taken as u64;
        // What a Pong says is of no interest.
        if *kind != Kind::Pong {
            self.held.get_or_insert_default().control.push(payload);
        }
        taken
    }

    /// Does what there is to do when a payload is whole.
    fn finish_payload(&mut self, buffer: &mut [u8], decoded: &mut Decoded) -> Result<(), End> {
        let Stage::Payload { kind, left: 0, .. } = self.stage else { return Ok(()) };
        self.stage = Stage::default();
        match kind {
            Kind::Fragment | Kind::Pong => {}
            Kind::LastFragment if !self.utf8.is_whole() => return Err(End::Fault(Fault::NotUtf8)),
            Kind::LastFragment => {
                if let Some(place) = buffer.get_mut(decoded.bytes) {
                    *place = b'\n';
                    decoded.bytes += 1;
                }
            }
            Kind::Ping => decoded.ping = Some(self.take_payload()),
            Kind::Close => return Err(closed(self.take_payload().payload())),
        }
        Ok(())
    }
}

/// What a Close frame with this payload means.
fn closed(payload: &[u8]) -> End {
    let Some((&code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { End::Closed(None) } else { End::Fault(Fault::Protocol) };
    };
    match u16::from_be_bytes(code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => match std::str::from_utf8(reason) {
            Ok(_) => End::Closed(Some(code)),
            Err(_) => End::Fault(Fault::NotUtf8),
        },
        _ => End::Fault(Fault::Protocol),
    }
}

/// So many as are left, at most as many as there are.
fn bounded(left: u64, there: usize) -> usize {
    usize::try_from(left).map_or(there, |left| left.min(there))
}

#[cfg(test)]
mod tests;
