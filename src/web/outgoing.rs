//! The hub's lines become text frames, on their way to the socket. Knows nothing of what is in a line, nor who else
//! gets it.
//!
//! Lines are taken as they lie in the hub's shared chunks; a frame is its head and the line without its `\n`. Frames are
//! put together in one [`Scratch`] for all clients, and nothing of them is kept for a client that the kernel takes
//! only a part from: the rest of the line is still the hub's, and [`Outgoing`] remembers how much of it belongs to
//! the frame that has begun. So a client that does not read holds the same shared bytes as one over TCP, and at most a dozen
//! bytes of its own: the rest of a head.
//!
//! Control frames go between two text frames. Of several pongs that wait only the newest is sent.

use std::io::{self, BufRead, ErrorKind, Write};

use super::frames::{Opcode, own_head_bytes, push_own_head};
use super::incoming::Control;

/// About how many bytes are framed for one call of `write`.
const FRAMED_BYTES: usize = 64 << 10;

/// What is known of a client's output between two writes.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Bytes of the line under way that belong to a frame whose head is out.
    left: usize,
    /// What waits beside the lines; mostly there is none of it.
    waiting: Option<Box<Waiting>>,
    /// The Close has been put behind everything else.
    closed: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    /// To be written before all else: the rest of a head, or of control frames.
    begun: Vec<u8>,
    pong: Option<Box<Control>>,
    ping: bool,
    close: Option<Option<u16>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.pong.is_none() && !self.ping && self.close.is_none()
    }
}

/// What a call of [`Outgoing::write`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of the lines that were taken. They must not be given again.
    pub taken: usize,
    /// Bytes that the socket took, framing and control frames included.
    pub bytes: usize,
    /// Calls of the socket's `write`, the one included that was told `WouldBlock`.
    pub calls: usize,
    /// The socket takes no more now.
    pub is_full: bool,
}

impl Outgoing {
    /// Answers a Ping, in the place of one that still waits for its answer.
    pub fn pong(&mut self, ping: Box<Control>) {
        if !self.closed {
            self.waiting.get_or_insert_default().pong = Some(ping);
        }
    }

    /// Sends a Ping without payload.
    pub fn ping(&mut self) {
        if !self.closed {
            self.waiting.get_or_insert_default().ping = true;
        }
    }

    /// Sends a Close, and nothing after it. The lines must have been taken, all of them, or be given up, but for the rest
    /// of one that has begun to go out.
    pub fn close(&mut self, code: Option<u16>) {
        if !self.closed {
            self.closed = true;
            self.waiting.get_or_insert_default().close = Some(code);
        }
    }

    /// Whether something waits here that no line carries: it has to be flushed when the socket has room.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether a line has begun to go out whose rest must be given next.
    pub fn is_mid_line(&self) -> bool {
        self.left > 0
    }

    /// Bytes allocated beside this.
    pub fn allocated_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| {
            let pong = waiting.pong.as_ref().map_or(0, |_| size_of::<Control>());
            size_of::<Waiting>() + waiting.begun.capacity() + pong
        })
    }

    /// Writes what waits here and then lines, until all are out or the socket takes no more. `lines` are whole lines, but
    /// for the beginning of the first, as far as it was taken before; none to write only what waits here.
    ///
    /// # Errors
    /// The socket's.
    pub fn write(
        &mut self,
        lines: &[u8],
        scratch: &mut Scratch,
        socket: &mut impl Write,
    ) -> io::Result<Sent> {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\n"));
        let mut sent = Sent::default();
        loop {
            if !self.flush(&mut sent, socket)? {
                return Ok(sent);
            }
            let rest = lines.get(sent.taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(sent);
            }
            debug_assert!(!self.closed || self.left > 0, "nothing follows a Close");
            let frames = scratch.frames(rest, self.left);
            if frames.is_empty() {
                return Ok(sent);
            }
            let written = write_once(frames, &mut sent, socket)?;
            sent.taken += self.account(rest, written);
        }
    }

    /// Writes what goes before the next line. Whether all of it is out.
    fn flush(&mut self, sent: &mut Sent, socket: &mut impl Write) -> io::Result<bool> {
        while !sent.is_full
            && let Some(waiting) = &mut self.waiting
        {
            if waiting.begun.is_empty() {
                if self.left > 0 {
                    // Control frames do not go into a frame.
                    break;
                }
                waiting.begin_controls();
            }
            let written = write_once(&waiting.begun, sent, socket)?;
            waiting.begun.drain(..written);
            if waiting.is_empty() {
                self.waiting = None;
            }
        }
        Ok(!sent.is_full)
    }

    /// Notes that the socket took `written` bytes of the frames for `lines`. How many bytes of the lines these stand for.
    fn account(&mut self, lines: &[u8], mut written: usize) -> usize {
        let mut taken = 0;
        if self.left > 0 {
            let more = self.left.min(written);
            self.left -= more;
            written -= more;
            taken = if self.left == 0 { more + 1 } else { more };
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
                let begun = &mut self.waiting.get_or_insert_default().begun;
                let mut frame = Vec::with_capacity(head_bytes + 1);
                push_own_head(&mut frame, Opcode::Text, line.len());
                frame.extend(line.first());
                begun.extend_from_slice(frame.get(written..).unwrap_or_default());
                1.min(line.len())
            }
        };
        self.left = line.len() - taken;
        // With the last byte of a line goes its end.
        if self.left == 0 { taken + 1 } else { taken }
    }
}

impl Waiting {
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

/// How much the socket takes at once; 0 and a note when it takes nothing now.
fn write_once(bytes: &[u8], sent: &mut Sent, socket: &mut impl Write) -> io::Result<usize> {
    loop {
        sent.calls += 1;
        match socket.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                sent.bytes += written;
                return Ok(written);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sent.is_full = true;
                return Ok(0);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where frames are put together, for one write; one for all clients.
///
/// Members of a room mostly get the same lines, one after the other. So what was framed last is kept with its lines: to
/// compare them takes a small part of what framing them once more would.
#[derive(Debug, Default)]
pub struct Scratch {
    frames: Vec<u8>,
    /// What `frames` was made of, whole lines.
    lines: Vec<u8>,
}

impl Scratch {
    /// The frames for as many of `lines` as one write should have, the first of which begins after the head where `left`
    /// is not 0: so much of it is left. Ends amid a line only where that is longer than a write should be.
    fn frames(&mut self, lines: &[u8], left: usize) -> &[u8] {
        if left == 0 && self.lines == lines {
            return &self.frames;
        }
        self.frames.clear();
        self.lines.clear();
        let mut next = 0;
        if left > 0 {
            self.push_part(lines.get(..left).unwrap_or_default());
            next = left + 1;
        }
        while self.frames.len() < FRAMED_BYTES
            && let Some(line) = first_line(lines.get(next..).unwrap_or_default())
        {
            push_own_head(&mut self.frames, Opcode::Text, line.len());
            self.push_part(line);
            next += line.len() + 1;
        }
        if left == 0 && next == lines.len() && lines.len() <= FRAMED_BYTES {
            self.lines.extend_from_slice(lines);
        }
        &self.frames
    }

    /// Appends a payload, or as much of it as still fits into a write.
    fn push_part(&mut self, payload: &[u8]) {
        let most = (2 * FRAMED_BYTES).saturating_sub(self.frames.len());
        self.frames.extend_from_slice(payload.get(..most).unwrap_or(payload));
    }
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
