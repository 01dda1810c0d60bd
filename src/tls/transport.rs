//! A connection over TLS: around a transport of bytes, and a transport of bytes itself.
//!
//! `rustls` is used without its own buffers. What it is given and what it makes lies here: an idle connection owns no
//! buffer but the keys, and all that is allocated beyond is counted. On the way out at most one record is encrypted
//! ahead of what the socket takes; lines wait unencrypted, where they are shared.
//!
//! The end of the input is what the peer says it is: close_notify. After that the other direction goes on until the
//! server says the same. A connection that ends without it was cut, by whomever.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use crate::batch::{Counted, Memory};
use crate::protocol::DisconnectReason;
use crate::transport::{End, Event, Received, Sent, Transport};

/// The most that is encrypted at once: what a record may hold.
const RECORD_BYTES: usize = 16 << 10;

/// What a record is longer than what it holds, and room for an answer to a change of keys in front of it.
const OVERHEAD_BYTES: usize = 256;

/// What is read at once: a full record with all that may be around it.
const READ_BYTES: usize = RECORD_BYTES + 2048 + 5;

/// What it takes to decrypt a record, besides what its bytes take: in nanoseconds, on the machine of the
/// [budget](crate::budget). A read can hold hundreds.
const RECORD_NS: u64 = 500;

/// Likewise a record that brings nothing for the hub. It can be a change of keys, for which others have to be derived.
const OTHER_RECORD_NS: u64 = 5_000;

/// The most that may have come without being a whole record, or within the handshake a whole message.
const INCOMING_BYTES_MAX: usize = READ_BYTES;
const HANDSHAKE_BYTES_MAX: usize = 64 << 10;

/// What a TLS handshake begins with.
const HANDSHAKE: u8 = 0x16;

/// A connection over TLS.
pub struct Tls<T> {
    inner: T,
    session: UnbufferedServerConnection,
    /// Records that have not come to their end.
    incoming: Vec<u8>,
    /// What was decrypted and did not fit into the hub's buffer.
    decrypted: Vec<u8>,
    /// Records that have not gone out.
    outgoing: Vec<u8>,
    stage: Stage,
    /// The peer has broken the rules: nothing can be encrypted any more.
    is_broken: bool,
    /// close_notify has been made.
    is_finished: bool,
    /// Whole records that the last read has brought or completed, and how many of them had something for the hub.
    records: u16,
    useful_records: u16,
    counted: Counted,
}

/// Where a connection is in its life, as far as its input goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has come.
    New,
    /// It is in its handshake, or open.
    Begun,
    /// The input has ended, and the hub has still to be told.
    Ended(End),
    /// It has been told. What comes means nothing.
    Over(End),
}

/// How far a handshake has come.
#[derive(Debug)]
pub enum Progress {
    /// It waits for an event.
    Wait,
    /// There may be more now.
    GoOn,
    /// It is done: from here on this is a transport.
    Done,
    /// It began with something else.
    NoTls,
    /// The peer has gone without having said anything.
    Gone,
    /// It has failed. An alert may be held that tells the peer why.
    Failed(String),
}

/// What rustls has made of what came.
enum Outcome {
    /// It needs more, or is open.
    Waiting,
    /// The peer has said that it is done.
    PeerClosed,
    /// The peer has broken the rules.
    Failed(rustls::Error),
}

impl<T> Tls<T> {
    /// A connection that has just begun.
    pub(super) fn new(inner: T, config: Arc<ServerConfig>, memory: &Memory) -> Result<Tls<T>, rustls::Error> {
        let session = UnbufferedServerConnection::new(config)?;
        let (incoming, decrypted, outgoing) = (Vec::new(), Vec::new(), Vec::new());
        let counted = Counted::new(memory);
        Ok(Tls {
            inner,
            session,
            incoming,
            decrypted,
            outgoing,
            stage: Stage::New,
            is_broken: false,
            is_finished: false,
            records: 0,
            useful_records: 0,
            counted,
        })
    }

    /// What is underneath, for the poll to register.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// What was underneath.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Gives back what is not used, and tells what is allocated for input. What is held the hub counts.
    fn settle(&mut self) {
        for buffer in [&mut self.incoming, &mut self.decrypted, &mut self.outgoing] {
            buffer.shrink_to_fit();
        }
        self.counted.set(self.incoming.capacity() + self.decrypted.capacity());
    }

    /// Lets rustls work on what has come. What it decrypts goes to `buffer` behind the first `filled` bytes, of which
    /// there are more then; what does not fit is kept.
    fn process(&mut self, buffer: &mut [u8], filled: &mut usize) -> Outcome {
        let mut done = 0;
        let mut outcome = Outcome::Waiting;
        loop {
            let incoming = self.incoming.get_mut(done..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state, .. } = self.session.process_tls_records(incoming);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        self.useful_records = self.useful_records.saturating_add(1);
                        discard += record.discard;
                        let room = buffer.get_mut(*filled..).unwrap_or_default();
                        let count = room.len().min(record.payload.len());
                        let (fits, rest) = record.payload.split_at_checked(count).unwrap_or_default();
                        room.iter_mut().zip(fits).for_each(|(place, byte)| *place = *byte);
                        *filled += count;
                        self.decrypted.extend_from_slice(rest);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    append(&mut self.outgoing, 0, |place| match record.encode(place) {
                        Ok(count) => Ok(count),
                        Err(EncodeError::InsufficientSize(size)) => Err(size.required_size),
                        Err(EncodeError::AlreadyEncoded) => Ok(0),
                    });
                    true
                }
                // It goes out with what is held.
                Ok(ConnectionState::TransmitTlsData(records)) => {
                    records.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    outcome = Outcome::PeerClosed;
                    true
                }
                Ok(_) => false,
                // Asked again it would look at the same bytes again; but for the alert that is made.
                Err(error) => {
                    outcome = Outcome::Failed(error);
                    self.session.wants_write()
                }
            };
            done += discard;
            let has_failed = matches!(outcome, Outcome::Failed(_));
            if !goes_on || has_failed && !self.session.wants_write() {
                break;
            }
        }
        self.incoming.drain(..done.min(self.incoming.len()));
        outcome
    }
}

/// How many whole records there are, by the lengths that stand in front of them.
fn count_records(mut bytes: &[u8]) -> u16 {
    let mut count: u16 = 0;
    while let [_, _, _, high, low, rest @ ..] = bytes
        && let Some(next) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)
    {
        bytes = next;
        count = count.saturating_add(1);
    }
    count
}

/// Appends to `buffer` what `write` writes, which says how much that was, or how much room it needs.
fn append(buffer: &mut Vec<u8>, room: usize, mut write: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
    let before = buffer.len();
    buffer.resize(before + room, 0);
    loop {
        match write(buffer.get_mut(before..).unwrap_or_default()) {
            Ok(count) => return buffer.truncate(before + count),
            Err(needed) => buffer.resize(before + needed, 0),
        }
    }
}

impl<T: Transport> Tls<T> {
    /// Goes on with the handshake as far as it goes now, with one read at most.
    pub fn handshake(&mut self) -> Progress {
        let progress = self.shake_hands();
        self.settle();
        progress
    }

    fn shake_hands(&mut self) -> Progress {
        match self.flush() {
            Ok(true) => {}
            Ok(false) => return Progress::Wait,
            Err(_) => return Progress::Gone,
        }
        let drained = match self.read() {
            Ok(Received::Bytes { drained, .. }) => drained,
            Ok(Received::Nothing) => return Progress::Wait,
            Ok(Received::End(_)) | Err(_) if self.stage == Stage::New => return Progress::Gone,
            Ok(Received::End(_)) => return Progress::Failed("it ended within its handshake".into()),
            Err(_) => return Progress::Gone,
        };
        if self.stage == Stage::New && self.incoming.first().is_some_and(|&first| first != HANDSHAKE) {
            return Progress::NoTls;
        }
        self.stage = Stage::Begun;
        match self.process(&mut [], &mut 0) {
            Outcome::Failed(error) => return self.fail(error.to_string()),
            // Before the handshake is over that is no goodbye.
            Outcome::PeerClosed => self.stage = Stage::Ended(End::Goodbye),
            Outcome::Waiting => {}
        }
        if self.incoming.len() > HANDSHAKE_BYTES_MAX {
            return self.fail("it is too long".into());
        }
        if self.flush().is_err() {
            return Progress::Gone;
        }
        match (self.session.is_handshaking(), drained) {
            (false, _) => Progress::Done,
            (true, true) => Progress::Wait,
            (true, false) => Progress::GoOn,
        }
    }

    fn fail(&mut self, why: String) -> Progress {
        self.stage = Stage::Over(End::Truncated);
        self.is_broken = true;
        self.incoming.clear();
        Progress::Failed(why)
    }

    /// Reads records, behind what has come before.
    fn read(&mut self) -> io::Result<Received> {
        let before = self.incoming.len();
        self.incoming.resize(before + READ_BYTES, 0);
        let received = self.inner.receive(self.incoming.get_mut(before..).unwrap_or_default());
        let count = if let Ok(Received::Bytes { count, .. }) = received { count } else { 0 };
        self.incoming.truncate(before + count);
        self.records = count_records(&self.incoming);
        received
    }

    fn receive_decrypted(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        if !self.decrypted.is_empty() {
            let count = self.decrypted.len().min(buffer.len());
            for (place, byte) in buffer.iter_mut().zip(self.decrypted.drain(..count)) {
                *place = byte;
            }
            return Ok(Received::Bytes { count, drained: false });
        }
        match self.stage {
            // After its own goodbye rustls does not stand what breaks the rules.
            Stage::New | Stage::Begun if self.is_finished => return self.discard(buffer),
            Stage::New | Stage::Begun => {}
            Stage::Ended(end) => {
                self.stage = Stage::Over(end);
                return Ok(Received::End(end));
            }
            Stage::Over(_) => return self.discard(buffer),
        }
        let drained = match self.read()? {
            Received::Bytes { drained, .. } => drained,
            Received::Nothing => return Ok(Received::Nothing),
            Received::End(_) => {
                self.incoming.clear();
                self.stage = Stage::Over(End::Truncated);
                return Ok(Received::End(End::Truncated));
            }
        };
        let mut count = 0;
        match self.process(buffer, &mut count) {
            Outcome::Waiting if self.incoming.len() <= INCOMING_BYTES_MAX => {}
            Outcome::PeerClosed => self.stage = Stage::Ended(End::Goodbye),
            Outcome::Waiting | Outcome::Failed(_) => {
                self.stage = Stage::Ended(End::Truncated);
                self.is_broken = true;
                // The alert; nothing else will be sent any more.
                let _ = self.flush();
            }
        }
        if let Stage::Ended(end) = self.stage {
            self.incoming.clear();
            if count == 0 && self.decrypted.is_empty() {
                self.stage = Stage::Over(end);
                return Ok(Received::End(end));
            }
            return Ok(Received::Bytes { count, drained: false });
        }
        Ok(Received::Bytes { count, drained: drained && self.decrypted.is_empty() })
    }

    /// The input is over: what comes is for nobody.
    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        Ok(match self.inner.receive(buffer)? {
            Received::End(_) => Received::End(End::Closed),
            other => other,
        })
    }

    /// Appends to `buffer` what `write` makes of the open session.
    fn encrypt(
        &mut self,
        buffer: &mut Vec<u8>,
        room: usize,
        mut write: impl FnMut(
            &mut rustls::unbuffered::WriteTraffic<'_, Data>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        let mut traffic = match self.session.process_tls_records(&mut self.incoming).state {
            Ok(ConnectionState::WriteTraffic(traffic)) => traffic,
            _ => return Err(io::ErrorKind::NotConnected.into()),
        };
        let mut exhausted = false;
        append(buffer, room, |place| match write(&mut traffic, place) {
            Ok(count) => Ok(count),
            Err(EncryptError::InsufficientSize(size)) => Err(size.required_size),
            Err(EncryptError::EncryptExhausted) => {
                exhausted = true;
                Ok(0)
            }
        });
        if exhausted { Err(io::Error::other("the keys are used up")) } else { Ok(()) }
    }
}

/// What rustls knows a server's session by.
type Data = rustls::server::ServerConnectionData;

impl<T: Transport> Transport for Tls<T> {
    fn ready(&mut self, event: Event) {
        self.inner.ready(event);
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        (self.records, self.useful_records) = (0, 0);
        let received = self.receive_decrypted(buffer);
        self.settle();
        received
    }

    fn send(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> io::Result<Sent> {
        if !self.flush()? {
            return Ok(Sent::Blocked);
        }
        if self.is_broken {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let bytes = bytes.get(..RECORD_BYTES).unwrap_or(bytes);
        scratch.clear();
        self.encrypt(scratch, bytes.len() + OVERHEAD_BYTES, |traffic, place| traffic.encrypt(bytes, place))?;
        let sent = match self.inner.send(scratch, &mut Vec::new())? {
            Sent::Bytes(sent) => sent,
            Sent::Blocked => 0,
        };
        self.outgoing.extend_from_slice(scratch.get(sent..).unwrap_or_default());
        self.settle();
        Ok(Sent::Bytes(bytes.len()))
    }

    fn held(&self) -> usize {
        self.outgoing.len() + self.inner.held()
    }

    fn input_bytes(&self) -> usize {
        self.counted.get() + self.inner.input_bytes()
    }

    fn give_up_input(&mut self) {
        (self.incoming, self.decrypted) = (Vec::new(), Vec::new());
        // From here on what comes is no longer decrypted, for its beginning is missing.
        let (Stage::Ended(end) | Stage::Over(end)) = self.stage else {
            self.stage = Stage::Over(End::Truncated);
            return self.settle();
        };
        self.stage = Stage::Over(end);
        self.settle();
    }

    fn receive_ns(&self) -> u64 {
        let others = self.records.saturating_sub(self.useful_records);
        let records = u64::from(self.useful_records) * RECORD_NS + u64::from(others) * OTHER_RECORD_NS;
        records + self.inner.receive_ns()
    }

    fn flush(&mut self) -> io::Result<bool> {
        while !self.outgoing.is_empty() {
            match self.inner.send(&self.outgoing, &mut Vec::new())? {
                Sent::Bytes(sent) => drop(self.outgoing.drain(..sent.min(self.outgoing.len()))),
                Sent::Blocked => return Ok(false),
            }
        }
        self.settle();
        self.inner.flush()
    }

    fn finish(&mut self, reason: Option<DisconnectReason>) -> io::Result<bool> {
        if !self.is_finished && !self.is_broken {
            let mut goodbye = std::mem::take(&mut self.outgoing);
            let said = self
                .encrypt(&mut goodbye, OVERHEAD_BYTES, |traffic, place| traffic.queue_close_notify(place));
            self.outgoing = goodbye;
            said?;
        }
        self.is_finished = true;
        Ok(self.flush()? && self.inner.finish(reason)?)
    }

    fn set_stalled(&mut self, stalled: bool) {
        self.inner.set_stalled(stalled);
    }
}

impl<T: fmt::Debug> fmt::Debug for Tls<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Tls").field("inner", &self.inner).field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
