//! The peer of a client over WebSocket. What it says is put in frames, by chance in all ways that RFC 6455 allows and in
//! some that it does not; what it gets is taken out of its frames and compared, byte for byte, with the lines that the
//! transport has taken from the hub.
#![cfg_attr(not(feature = "web"), allow(dead_code))]

use std::collections::VecDeque;

use crate::common::random::Random;

/// What waits in a transport beside what a socket holds: the rest of a head with one byte, a pong in its frame and
/// another that waits, a ping and a Close.
const HELD_BYTES_MAX: usize = 11 + 2 * 127 + 2 + 4;

/// How the frames of this peer end: by a Close, or by a fault.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// It cannot be known before so many bytes have been read, and has to be when so many have.
    earliest: u64,
    latest: u64,
    /// The code that the server answers with.
    pub code: Option<u16>,
}

/// Where in a frame of the server the next byte stands.
#[derive(Debug)]
enum Place {
    Head(Vec<u8>),
    Text { left: usize },
    Control { first: u8, payload: Vec<u8>, left: usize },
}

/// What has happened to peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Pings that were answered.
    pub pongs_of_the_server: u64,
    pub pongs_of_clients: u64,
    /// A Close was answered, a fault was told, the server has sent a Close of its own; one that did not answer a ping was
    /// given up.
    pub closes: u64,
    pub faults: u64,
    pub farewells: u64,
    pub vanished: u64,
}

impl Tally {
    pub fn all(&self) -> [u64; 6] {
        let Tally { pongs_of_the_server, pongs_of_clients, closes, faults, farewells, vanished } = *self;
        [pongs_of_the_server, pongs_of_clients, closes, faults, farewells, vanished]
    }
}

pub struct WebPeer {
    random: Random,
    answers_pings: bool,
    /// Bytes that it has sent; those behind the request for the upgrade, which the transport is given first; and whether
    /// anything has been read.
    sent: u64,
    pub begun: Vec<u8>,
    has_been_read: bool,
    /// The lines in its frames that the hub has not read, and how much of them is whole.
    coming: VecDeque<u8>,
    whole: usize,
    reads_end_with_line: bool,
    /// Its pings: how much is sent with them, and their number.
    pings: VecDeque<(u64, u32)>,
    pings_sent: u32,
    newest_ping_read: u32,
    reads_with_pings: u32,
    /// When it has sent its ending, it says nothing more.
    pub ending: Option<Ending>,
    pub end_is_told: bool,

    /// Bytes that have gone out to it.
    pub wire: Vec<u8>,
    place: Place,
    /// What the transport has taken and has not gone out.
    taken: VecDeque<u8>,
    pongs: u32,
    newest_pong: u32,
    owes_pong: bool,
    pongs_sent: u64,
    /// The server has sent a Close: its code.
    pub closed: Option<Option<u16>>,
}

impl WebPeer {
    pub fn new(mut random: Random) -> WebPeer {
        WebPeer {
            answers_pings: !random.once_in(4),
            random,
            sent: 0,
            begun: Vec::new(),
            has_been_read: false,
            coming: VecDeque::new(),
            whole: 0,
            reads_end_with_line: true,
            pings: VecDeque::new(),
            pings_sent: 0,
            newest_ping_read: 0,
            reads_with_pings: 0,
            ending: None,
            end_is_told: false,
            wire: Vec::new(),
            place: Place::Head(Vec::new()),
            taken: VecDeque::new(),
            pongs: 0,
            newest_pong: 0,
            owes_pong: false,
            pongs_sent: 0,
            closed: None,
        }
    }

    /// Says these lines: each is a message.
    pub fn say(&mut self, lines: &[u8], out: &mut VecDeque<u8>) {
        let Some(lines) = lines.strip_suffix(b"\n") else { return };
        for line in lines.split(|&byte| byte == b'\n') {
            if self.ending.is_some() {
                return;
            }
            let mut text = String::from_utf8_lossy(line).into_owned();
            match self.random.below(100) {
                0 => text.insert(0, '\n'),
                1 => text.push_str("\r\n"),
                // A length that takes eight bytes.
                2 if self.random.once_in(10) => text.push_str(&" ".repeat(65_536)),
                _ => {}
            }
            self.message(text.as_bytes(), out);
        }
    }

    fn message(&mut self, text: &[u8], out: &mut VecDeque<u8>) {
        let parts = match self.random.below(40) {
            0 => text.len().min(300) + 1,
            1..10 => 1 + self.random.below(4),
            _ => 1,
        };
        let mut rest = text;
        for part in 0..parts {
            let is_last = part + 1 == parts;
            let length = match parts {
                _ if is_last => rest.len(),
                5.. => 1,
                _ => self.random.below(rest.len() + 1),
            };
            let (payload, later) = rest.split_at(length);
            rest = later;
            self.between_frames(out);
            let fin = if is_last { 0x80 } else { 0 };
            self.frame(fin | u8::from(part == 0), payload, out);
            self.comes(payload);
        }
        self.coming.push_back(b'\n');
        self.whole = self.coming.len();
    }

    /// What of a message the hub is to read.
    fn comes(&mut self, payload: &[u8]) {
        let as_read = |&byte: &u8| if matches!(byte, b'\n' | b'\r') { b'\t' } else { byte };
        self.coming.extend(payload.iter().map(as_read));
    }

    /// Control frames stand between all others.
    fn between_frames(&mut self, out: &mut VecDeque<u8>) {
        match self.random.below(40) {
            0..4 => {
                for _ in 0..=self.random.below(3) {
                    self.ping(out);
                }
            }
            4 => {
                let payload = vec![0xfe; self.random.below(126)];
                self.frame(0x8a, &payload, out);
            }
            _ => {}
        }
    }

    fn ping(&mut self, out: &mut VecDeque<u8>) {
        self.pings_sent += 1;
        let mut payload = self.pings_sent.to_be_bytes().to_vec();
        let lengths = [0, 3, 121];
        payload.resize(4 + lengths[self.random.below(3)], 0xff);
        self.frame(0x89, &payload, out);
        self.pings.push_back((self.sent, self.pings_sent));
    }

    /// A masked frame.
    fn frame(&mut self, first: u8, payload: &[u8], out: &mut VecDeque<u8>) {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(0x80 | length as u8),
            length @ 126..65_536 => {
                bytes.push(0xfe);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0xff);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        let mask = if self.random.once_in(10) { [0; 4] } else { (self.random.number() as u32).to_be_bytes() };
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.put(&bytes, out);
    }

    fn put(&mut self, bytes: &[u8], out: &mut VecDeque<u8>) {
        self.sent += bytes.len() as u64;
        out.extend(bytes);
    }

    /// Ends what it says, in good order or not, and sends something behind that.
    pub fn end(&mut self, out: &mut VecDeque<u8>) {
        if self.ending.is_some() {
            return;
        }
        if self.random.once_in(2) {
            // Amid a message, in the first part of which nothing is wrong.
            let half = "{\"action\":\"JOIN ROOM\",\"room_id\":7} é".as_bytes();
            self.frame(0x01, half, out);
            self.comes(half);
            self.fault_or_close(true, out);
        } else {
            self.fault_or_close(false, out);
        }
        let behind = self.random.below(3) * self.random.below(400);
        for _ in 0..behind {
            let byte = self.random.number() as u8;
            self.put(&[byte], out);
        }
    }

    fn fault_or_close(&mut self, amid_message: bool, out: &mut VecDeque<u8>) {
        let before = self.sent;
        let text = u8::from(!amid_message);
        let code = match self.random.below(16) {
            0 => {
                self.frame(0x80 | text, b"\xed\xa0\x80", out);
                // The first byte of it may still become a character.
                self.comes(b"\xed");
                Some(1007)
            }
            1 => {
                // The end of the message comes amid a character.
                self.frame(0x80 | text, b"\xe2\x82", out);
                self.comes(b"\xe2\x82");
                Some(1007)
            }
            2 if !amid_message => {
                self.frame(0x82, b"binary", out);
                Some(1003)
            }
            3 => {
                let faults: [&[u8]; 6] = [
                    // Not masked; a reserved bit; a reserved opcode; a longer length than need be; a long ping; a ping in parts.
                    &[0x81, 0x01, b'x'],
                    &[0xc1, 0x80, 0, 0, 0, 0],
                    &[0x83, 0x80, 0, 0, 0, 0],
                    &[0x80 | text, 0xfe, 0, 1, 0, 0, 0, 0],
                    &[0x89, 0xfe, 0, 126, 0, 0, 0, 0],
                    &[0x09, 0x80, 0, 0, 0, 0],
                ];
                let fault = faults[self.random.below(faults.len())];
                self.put(fault, out);
                Some(1002)
            }
            4 => {
                // A message within another, or a continuation of nothing.
                self.frame(u8::from(amid_message), b"x", out);
                Some(1002)
            }
            5 => {
                self.frame(0x88, &1005_u16.to_be_bytes(), out);
                Some(1002)
            }
            6 => {
                self.frame(0x88, b"\x03\xe8\xff", out);
                Some(1007)
            }
            7..10 => return self.close(None, b"", out),
            _ => {
                let code = 3000 + self.random.below(2000) as u16;
                return self.close(Some(code), b"so long", out);
            }
        };
        self.ending = Some(Ending { earliest: before + 1, latest: self.sent, code });
    }

    fn close(&mut self, code: Option<u16>, reason: &[u8], out: &mut VecDeque<u8>) {
        let payload = code.map_or(vec![], |code| [&code.to_be_bytes(), reason].concat());
        self.frame(0x88, &payload, out);
        self.ending = Some(Ending { earliest: self.sent, latest: self.sent, code });
    }

    /// Counts what it has gone through.
    pub fn count(&self, tally: &mut Tally) {
        tally.pongs_of_the_server += u64::from(self.pongs);
        tally.pongs_of_clients += self.pongs_sent;
        let ending = self.ending.filter(|_| self.end_is_told);
        let kind = match (self.closed, ending.and_then(|ending| ending.code)) {
            (None, _) => return,
            (Some(code), ended) if ending.is_none() || ended != code => &mut tally.farewells,
            (Some(Some(1002..=1007)), _) => &mut tally.faults,
            _ => &mut tally.closes,
        };
        *kind += 1;
    }

    /// It has read what there was.
    pub fn answer(&mut self, out: &mut VecDeque<u8>) {
        if std::mem::take(&mut self.owes_pong) && self.answers_pings && self.ending.is_none() {
            self.frame(0x8a, b"", out);
            self.pongs_sent += 1;
        }
        // Whoever gets a Close sends one back; some do not.
        if self.closed.is_some() && self.ending.is_none() && self.random.once_in(2) {
            let code = self.closed.flatten();
            self.close(code, b"", out);
        }
    }

    /// Of what it sends, so much was there before the first read.
    pub fn begin_with(&mut self, out: &mut VecDeque<u8>, bytes: usize) {
        self.begun = out.drain(..bytes.min(out.len())).collect();
    }

    /// Whether the transport has not been read from, and has something all the same.
    pub fn begins(&self) -> bool {
        !self.begun.is_empty() && !self.has_been_read
    }

    /// Whether the transport must tell an end now, so many bytes of the socket having been read.
    pub fn has_ended_by(&self, read: u64) -> bool {
        let read = self.position(read);
        !self.end_is_told && self.ending.is_some_and(|ending| ending.latest <= read)
    }

    fn position(&self, read: u64) -> u64 {
        if self.has_been_read { self.begun.len() as u64 + read } else { 0 }
    }

    /// The hub has read these lines; so many bytes of the socket have been read by now.
    pub fn was_read(&mut self, lines: &[u8], read: u64) -> Result<(), String> {
        self.has_been_read = true;
        if let Some(&last) = lines.last() {
            self.reads_end_with_line = last == b'\n';
        }
        if lines.len() > self.coming.len() || !self.coming.drain(..lines.len()).eq(lines.iter().copied()) {
            return Err(format!("what was read is not what was sent: {}", String::from_utf8_lossy(lines)));
        }
        self.whole = self.whole.saturating_sub(lines.len());
        let position = self.position(read);
        let before = self.newest_ping_read;
        while let Some(&(at, number)) = self.pings.front().filter(|(at, _)| *at <= position) {
            debug_assert!(at > 0);
            self.newest_ping_read = number;
            self.pings.pop_front();
        }
        self.reads_with_pings += u32::from(self.newest_ping_read > before);
        Ok(())
    }

    /// The transport has told that the peer has ended or broken the rules.
    pub fn has_ended(&mut self, read: u64) -> Result<(), String> {
        let position = self.position(read);
        if self.end_is_told || self.ending.is_none_or(|ending| position < ending.earliest) {
            return Err("an end was told that has not come, or that was told before".into());
        }
        self.end_is_told = true;
        if self.whole > 0 {
            return Err(format!("{} bytes of whole messages were not read before the end", self.whole));
        }
        Ok(())
    }

    /// The socket has ended, and the transport says that this was not amid a message.
    pub fn has_closed(&self) -> Result<(), String> {
        match self.reads_end_with_line || self.end_is_told {
            true => Ok(()),
            false => Err("the beginning of a message would be taken for a line".into()),
        }
    }

    /// What it has said and was not read: bytes of lines, and pings.
    pub fn unread(&self) -> Option<(usize, usize)> {
        let unread = (self.coming.len(), self.pings.len());
        (unread != (0, 0)).then_some(unread)
    }

    /// The transport has taken these lines from the hub. They need not be out.
    pub fn took(&mut self, lines: &[u8]) {
        self.taken.extend(lines);
    }

    /// Looks at what has gone out. The transport holds so many bytes beside what the socket holds.
    pub fn look(&mut self, held: usize) -> Result<(), String> {
        let wire = std::mem::take(&mut self.wire);
        let mut rest = &wire[..];
        while !rest.is_empty() {
            rest = self.look_at(rest)?;
        }
        if held > HELD_BYTES_MAX {
            return Err(format!("{held} bytes are held"));
        }
        if held > 0 || self.closed.is_some() {
            return Ok(());
        }
        let is_within_control = match &self.place {
            Place::Head(head) => !head.is_empty(),
            Place::Text { .. } => false,
            Place::Control { .. } => true,
        };
        if is_within_control || !self.taken.is_empty() {
            return Err(format!("{:?}, {} bytes were taken, and none is held", self.place, self.taken.len()));
        }
        match self.place {
            Place::Head(_) if self.newest_pong != self.newest_ping_read => {
                Err(format!("ping {} is not answered, and nothing is held", self.newest_ping_read))
            }
            _ => Ok(()),
        }
    }

    /// Looks at the next bytes of one place. What is behind them.
    fn look_at<'a>(&mut self, wire: &'a [u8]) -> Result<&'a [u8], String> {
        match &mut self.place {
            Place::Head(head) => {
                head.push(wire[0]);
                if let Some((first, length)) = server_head(head)? {
                    self.begin_frame(first, length)?;
                }
                Ok(&wire[1..])
            }
            Place::Text { left } => {
                let count = wire.len().min(*left);
                *left -= count;
                let is_over = *left == 0;
                let is_right =
                    count <= self.taken.len() && self.taken.drain(..count).eq(wire[..count].iter().copied());
                if !is_right {
                    let text = String::from_utf8_lossy(&wire[..count]);
                    return Err(format!("this went out and is not what was taken: {text}"));
                }
                if is_over {
                    self.end_text()?;
                }
                Ok(&wire[count..])
            }
            Place::Control { payload, left, .. } => {
                let count = wire.len().min(*left);
                payload.extend(&wire[..count]);
                *left -= count;
                if *left == 0 {
                    self.end_control()?;
                }
                Ok(&wire[count..])
            }
        }
    }

    fn begin_frame(&mut self, first: u8, length: usize) -> Result<(), String> {
        if self.closed.is_some() {
            return Err(format!("a frame, {first:#x}, behind the Close"));
        }
        self.place = match first {
            0x81 => Place::Text { left: length },
            0x88..=0x8a if length < 126 => Place::Control { first, payload: Vec::new(), left: length },
            _ => return Err(format!("a frame of {length} bytes that begins with {first:#x}")),
        };
        match self.place {
            Place::Text { left: 0 } => Err("an empty message".into()),
            Place::Control { left: 0, .. } => self.end_control(),
            _ => Ok(()),
        }
    }

    fn end_text(&mut self) -> Result<(), String> {
        self.place = Place::Head(Vec::new());
        match self.taken.pop_front() {
            Some(b'\n') => Ok(()),
            other => Err(format!("a message has ended, and its line has not: {other:?}")),
        }
    }

    fn end_control(&mut self) -> Result<(), String> {
        let place = std::mem::replace(&mut self.place, Place::Head(Vec::new()));
        let Place::Control { first, payload, .. } = place else { unreachable!() };
        match first {
            0x88 => {
                let code = payload.first_chunk().map(|&code| u16::from_be_bytes(code));
                if !matches!(payload.len(), 0 | 2) {
                    return Err(format!("a Close with {payload:?}"));
                }
                self.closed = Some(code);
            }
            0x89 => self.owes_pong = true,
            _ => {
                let number = payload.first_chunk().map_or(0, |&number| u32::from_be_bytes(number));
                self.pongs += 1;
                let is_newer = number > self.newest_pong && number <= self.newest_ping_read;
                if !is_newer || self.pongs > self.reads_with_pings {
                    return Err(format!(
                        "pong {number} behind pong {}, the {}th of {} reads with pings, the newest of which was {}",
                        self.newest_pong, self.pongs, self.reads_with_pings, self.newest_ping_read
                    ));
                }
                self.newest_pong = number;
            }
        }
        Ok(())
    }
}

/// The first byte and the length of a frame of the server, if its head is whole. It is not masked, and its length is told
/// in the shortest way.
fn server_head(head: &[u8]) -> Result<Option<(u8, usize)>, String> {
    let [first, second, length @ ..] = head else { return Ok(None) };
    let (length, least) = match (second, length.len()) {
        (0..126, _) => (u64::from(*second), 0),
        (126, 2) => (u64::from(u16::from_be_bytes(length.try_into().unwrap())), 126),
        (127, 8) => (u64::from_be_bytes(length.try_into().unwrap()), 65_536),
        (126..=127, _) => return Ok(None),
        _ => return Err(format!("a masked frame: {head:x?}")),
    };
    if length < least {
        return Err(format!("{length} could be told in a shorter way: {head:x?}"));
    }
    Ok(Some((*first, length as usize)))
}
