//! The hub's lines become text frames, on their way to the socket. Knows nothing of what is in a line, nor who else
//! gets it.
//!
//! Lines are taken as they lie in the hub's shared batches; a frame is its head and the line without its `\n`. Frames are
//! put together in one scratch buffer for all clients, and nothing of them is kept for a client that the kernel takes
//! only a part from: the rest of the line is still the hub's, and [`Outgoing`] remembers how much of it belongs to
//! the frame that has begun. So a client that does not read holds the same shared bytes as one over TCP, and at most a dozen
//! bytes of its own: the rest of a head.
//!
//! Control frames go between two text frames. Of several pongs that wait only the newest is sent.

use std::io::{self, BufRead};

use super::frames::{OWN_HEAD_BYTES_MAX, Opcode, own_head_bytes, push_own_head};
use super::incoming::Control;
use crate::transport::{Sent, Transport};

/// About how many bytes are framed for one call of `send`.
const FRAMED_BYTES: usize = 64 << 10;

/// What is known of a client's output between two writes: as a rule nothing.
#[derive(Debug, Default)]
pub struct Outgoing(Option<Box<Rest>>);

#[derive(Debug, Default)]
struct Rest {
    /// To be written before all else: the rest of a head, or of control frames.
    begun: Vec<u8>,
    /// Bytes of the line under way that belong to a frame whose head is out. Lines are shorter than 4 GB.
    left: u32,
    pong: Option<Control>,
    ping: bool,
    close: Option<Option<u16>>,
    /// The Close is out, or will be behind all else that is here.
    closed: bool,
}

impl Outgoing {
    /// Answers a Ping, in the place of one that still waits for its answer.
    pub fn pong(&mut self, ping: Control) {
        if !self.is_closed() {
            self.rest().pong = Some(ping);
        }
    }

    /// Sends a Ping without payload.
    pub fn ping(&mut self) {
        if !self.is_closed() {
            self.rest().ping = true;
        }
    }

    /// Sends a Close, and nothing after it, if that has not been done. Of the lines nothing may follow but the rest of one
    /// that has begun to go out.
    pub fn close(&mut self, code: Option<u16>) {
        if !self.is_closed() {
            let rest = self.rest();
            rest.closed = true;
            rest.close = Some(code);
        }
    }

    /// Bytes that wait here and are in no line.
    pub fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |rest| rest.held())
    }

    /// Whether a line has begun to go out whose rest must be given next.
    pub fn is_mid_line(&self) -> bool {
        self.left() > 0
    }

    fn is_closed(&self) -> bool {
        self.0.as_ref().is_some_and(|rest| rest.closed)
    }

    fn left(&self) -> usize {
        self.0.as_ref().map_or(0, |rest| rest.left as usize)
    }

    fn rest(&mut self) -> &mut Rest {
        self.0.get_or_insert_default()
    }

    /// Gives back what holds nothing.
    fn let_go(&mut self) {
        if self.0.as_ref().is_some_and(|rest| rest.held() == 0 && rest.left == 0 && !rest.closed) {
            self.0 = None;
        }
    }

    /// Sends what waits here, and then takes some of `lines`: at least a byte of them, unless there is no room. They are
    /// whole lines, but that the first begins where the last call stopped.
    ///
    /// # Errors
    /// The transport's.
    pub fn send(
        &mut self,
        lines: &[u8],
        scratch: &mut Vec<u8>,
        transport: &mut impl Transport,
    ) -> io::Result<Sent> {
        debug_assert!(lines.ends_with(b"\n"));
        if !self.send_waiting(transport)? {
            return Ok(Sent::Blocked);
        }
        debug_assert!(!self.is_closed() || self.is_mid_line(), "nothing follows a Close");
        let (frames, whole) = frame(lines, self.left(), scratch);
        let taken = match (transport.send(frames, &mut Vec::new())?, whole) {
            (Sent::Bytes(written), Some(taken)) if written == frames.len() => {
                if let Some(rest) = &mut self.0 {
                    rest.left = 0;
                }
                taken
            }
            (Sent::Bytes(written), _) => self.account(lines, written),
            (Sent::Blocked, _) => return Ok(Sent::Blocked),
        };
        self.let_go();
        Ok(Sent::Bytes(taken))
    }

    /// Sends what waits here. Whether all of it is out; what goes behind the rest of a line is not, before that is.
    ///
    /// # Errors
    /// The transport's.
    pub fn flush(&mut self, transport: &mut impl Transport) -> io::Result<bool> {
        Ok(self.send_waiting(transport)? && self.held() == 0)
    }

    /// Sends what may go before the next byte of a line. Whether the transport may take more.
    fn send_waiting(&mut self, transport: &mut impl Transport) -> io::Result<bool> {
        while let Some(rest) = &mut self.0
            && rest.held() > 0
        {
            if rest.begun.is_empty() {
                if rest.left > 0 {
                    // Control frames do not go into a frame.
                    return Ok(true);
                }
                rest.begin_controls();
            }
            match transport.send(&rest.begun, &mut Vec::new())? {
                Sent::Bytes(written) => drop(rest.begun.drain(..written)),
                Sent::Blocked => return Ok(false),
            }
        }
        self.let_go();
        Ok(true)
    }

    /// Notes that the transport took `written` bytes of the frames for `lines`. How many bytes of the lines these stand for.
    fn account(&mut self, lines: &[u8], mut written: usize) -> usize {
        let mut taken = 0;
        if let Some(rest) = &mut self.0
            && rest.left > 0
        {
            let more = written.min(rest.left as usize);
            rest.left -= more as u32;
            written -= more;
            taken = if rest.left == 0 { more + 1 } else { more };
        }
        while written > 0
            && let Some(line) = first_line(lines.get(taken..).unwrap_or_default())
        {
            let head_bytes = own_head_bytes(line.len());
            if written >= head_bytes + line.len() {
                written -= head_bytes + line.len();
                taken += line.len() + 1;
                continue;
            }
            taken += self.begin_line(line, head_bytes, written);
            written = 0;
        }
        debug_assert!(taken <= lines.len() && written == 0);
        taken
    }

    /// Notes that of a frame only the first `written` bytes went out. How many bytes of its line count as taken: at least
    /// one, so that whoever gives up lines knows that this one has begun.
    fn begin_line(&mut self, line: &[u8], head_bytes: usize, written: usize) -> usize {
        let taken = match written.checked_sub(head_bytes) {
            Some(taken) if taken > 0 => taken,
            _ => {
                let begun = &mut self.rest().begun;
                let mut frame = Vec::with_capacity(OWN_HEAD_BYTES_MAX + 1);
                push_own_head(&mut frame, Opcode::Text, line.len());
                frame.extend(line.first());
                begun.extend_from_slice(frame.get(written..).unwrap_or_default());
                1.min(line.len())
            }
        };
        self.rest().left = (line.len() - taken) as u32;
        // With the last byte of a line goes its end.
        if taken == line.len() { taken + 1 } else { taken }
    }
}

impl Rest {
    /// How many bytes of frames this is.
    fn held(&self) -> usize {
        let pong = self.pong.as_ref().map_or(0, |pong| 2 + pong.payload().len());
        let ping = if self.ping { 2 } else { 0 };
        self.begun.len() + pong + ping + self.close.map_or(0, |code| code.map_or(2, |_| 4))
    }

    /// Puts the control frames that wait where they are written from.
    fn begin_controls(&mut self) {
        if let Some(pong) = self.pong.take() {
            push_control(&mut self.begun, Opcode::Pong, pong.payload());
        }
        if std::mem::take(&mut self.ping) {
            push_control(&mut self.begun, Opcode::Ping, &[]);
        }
        if let Some(code) = self.close.take() {
            let code = code.map(u16::to_be_bytes);
            push_control(&mut self.begun, Opcode::Close, code.as_ref().map_or(&[], |code| &code[..]));
        }
    }
}

fn push_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    push_own_head(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// The frames for as many of `lines` as one write should have, put together in `scratch`, and how many bytes of the lines
/// they stand for. The first line begins after its head where `left` is not 0: so much of it is left. Where a line is longer
/// than a write should be, the frames end amid it, and for how much they stand has to be counted.
///
/// Members of a room mostly get the same lines, one after the other. So the lines are kept behind their frames, and
/// compared first. `scratch` is used by nobody but this.
fn frame<'a>(lines: &[u8], left: usize, scratch: &'a mut Vec<u8>) -> (&'a [u8], Option<usize>) {
    let known = if left == 0 { framed(lines, scratch) } else { None };
    let (frames, whole) = match known {
        Some(frames) => (frames, Some(lines.len())),
        None => put_together(lines, left, scratch),
    };
    (scratch.get(..frames).unwrap_or_default(), whole)
}

/// The length of the frames in `scratch`, if they are of these lines, all of them.
fn framed(lines: &[u8], scratch: &[u8]) -> Option<usize> {
    let (rest, length) = scratch.split_last_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    (rest.get(length..)? == lines).then_some(length)
}

/// Puts frames together, and behind them what [`framed`] goes by: the lines and the length of the frames, or a length that
/// none have where this is not about all the lines. That length, and for how much of the lines they stand.
fn put_together(lines: &[u8], left: usize, out: &mut Vec<u8>) -> (usize, Option<usize>) {
    out.clear();
    let mut next = 0;
    let mut is_whole = true;
    if left > 0 {
        is_whole = push_part(lines.get(..left).unwrap_or_default(), out);
        next = left + 1;
    }
    while out.len() < FRAMED_BYTES
        && let Some(line) = first_line(lines.get(next..).unwrap_or_default())
    {
        push_own_head(out, Opcode::Text, line.len());
        is_whole = push_part(line, out);
        next += line.len() + 1;
    }
    let frames = out.len();
    let mut length = u64::MAX;
    if left == 0 && is_whole && next == lines.len() {
        out.extend_from_slice(lines);
        length = frames as u64;
    }
    out.extend_from_slice(&length.to_le_bytes());
    (frames, is_whole.then_some(next))
}

/// Appends a payload, or as much of it as still fits into a write. Whether that is all.
fn push_part(payload: &[u8], out: &mut Vec<u8>) -> bool {
    let most = (2 * FRAMED_BYTES).saturating_sub(out.len());
    out.extend_from_slice(payload.get(..most).unwrap_or(payload));
    payload.len() <= most
}

/// The first line without its end; `None` when there is none.
#[inline]
fn first_line(lines: &[u8]) -> Option<&[u8]> {
    let mut rest = lines;
    // The one fast search for a byte that the standard library has to offer for a slice. It cannot fail.
    let length = rest.skip_until(b'\n').unwrap_or_default();
    lines.get(..length)?.strip_suffix(b"\n")
}

#[cfg(test)]
mod tests;
