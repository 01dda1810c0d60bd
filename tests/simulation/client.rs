//! What the simulation knows of one client: what it has sent, what it is to get, and what it has got.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use parlor::chat::ClientId;

use crate::peer::WebPeer;
use crate::script::Nature;
use crate::socket::Socket;
use crate::trace::Who;
use crate::wanted::Wanted;

/// The words of a last line.
const LAST_WORDS: [&str; 6] = [
    "Too many clients",
    "Too slow",
    "Out of memory",
    "Idle too long",
    "Server shutting down",
    "Wrong protocol",
];

/// What other protocols begin with.
const SIGNATURES: [&[u8]; 3] = [b"\x16\x03", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// How a client has left.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    pub at: Duration,
    /// By closing its side, with everything carried out.
    pub finished: bool,
    /// What had been written to it by then.
    pub written: usize,
    /// When something had last come from it.
    pub heard_at: Duration,
    /// Writing had failed before.
    pub mute: bool,
    /// How much waited that it had caused itself.
    pub own_bytes: usize,
}

pub struct Client {
    pub who: Who,
    pub slot: ClientId,
    pub address: Option<IpAddr>,
    pub nature: Nature,
    socket: Rc<RefCell<Socket>>,

    /// What the hub has read, and where the next line begins that it has not carried out.
    input: Vec<u8>,
    read_bytes: usize,
    start: usize,
    searched: usize,
    skipping: bool,
    pub input_ended: bool,
    /// It has said goodbye, and the end of its socket has not been read.
    pub said_goodbye: bool,
    /// Its input has ended where it should not.
    pub truncated: bool,
    pub heard_at: Duration,
    /// It comes over WebSocket. When anything came last, and when it has been pinged since.
    pub is_web: bool,
    pub alive_at: Duration,
    pub pinged_at: Option<Duration>,

    /// What it is to get.
    pub wanted: VecDeque<Rc<Wanted>>,
    /// What it has got: an unfinished line, and where in the stream that and the line before it begin.
    pub unfinished: Vec<u8>,
    line_start: usize,
    line_before_start: usize,
    pub written_at: Duration,
    last_was_own: bool,
    pub last_words: Option<&'static str>,
    /// Where the line before the last_words begins, and where it ends.
    last_words_behind: [usize; 2],

    /// Refused when it came: it never was a client.
    pub refused: bool,
    pub gone: Option<Gone>,
    pub read_failed: bool,
    pub write_failed: bool,
    /// Given up by the simulation itself.
    pub abandoned: bool,
    pub closed: bool,
    /// For `--rate`: requests that may still come at once.
    pub allowance: f64,
    pub allowance_at: Duration,
    pub was_blocked: bool,
    pub reads_in_turn: usize,
    pub requests_in_turn: usize,
}

impl Client {
    pub fn new(
        who: Who,
        socket: Rc<RefCell<Socket>>,
        nature: Nature,
        address: Option<IpAddr>,
        slot: ClientId,
        now: Duration,
    ) -> Self {
        let is_web = socket.borrow().peer.is_some();
        Client {
            who,
            slot,
            address,
            nature,
            socket,
            input: Vec::new(),
            read_bytes: 0,
            start: 0,
            searched: 0,
            skipping: false,
            input_ended: false,
            said_goodbye: false,
            truncated: false,
            heard_at: now,
            is_web,
            alive_at: now,
            pinged_at: None,
            wanted: VecDeque::new(),
            unfinished: Vec::new(),
            line_start: 0,
            line_before_start: 0,
            written_at: now,
            last_was_own: false,
            last_words: None,
            last_words_behind: [0; 2],
            refused: false,
            gone: None,
            read_failed: false,
            write_failed: false,
            abandoned: false,
            closed: false,
            allowance: 0.0,
            allowance_at: now,
            was_blocked: false,
            reads_in_turn: 0,
            requests_in_turn: 0,
        }
    }

    pub fn socket(&self) -> RefMut<'_, Socket> {
        self.socket.borrow_mut()
    }

    /// What the hub has read. Of a client that has left it is nothing any more.
    pub fn read(&mut self, bytes: &[u8], now: Duration) {
        self.heard_at = now;
        self.reads_in_turn += 1;
        if self.gone.is_none() {
            self.input.extend_from_slice(bytes);
            self.read_bytes += bytes.len();
        }
    }

    /// What has been written to it.
    pub fn write(&mut self, bytes: &[u8], now: Duration) {
        self.written_at = now;
        self.unfinished.extend_from_slice(bytes);
    }

    /// Whether the server has ended it, and keeps it for its last words.
    pub fn lingers(&self) -> bool {
        self.gone.is_some_and(|gone| !gone.finished)
    }

    /// Whether it has closed its side, and what waits for it still goes out.
    pub fn is_finishing(&self) -> bool {
        let socket = self.socket();
        let waits = socket.holds() > 0 || socket.goodbye_waits || (socket.blocked && !socket.shut_down);
        let has_output = !self.wanted.is_empty() || waits;
        self.gone.is_some_and(|gone| gone.finished) && has_output && !self.write_failed
    }

    /// Whether it counts for the limits of clients. One that has closed its side does until it has got everything.
    pub fn counts(&self) -> bool {
        self.gone.is_none() || self.is_finishing()
    }

    /// For `--rate`: what it may send grows with time, up to two seconds' worth.
    pub fn earn(&mut self, rate: usize, now: Duration) {
        let earned = (now - self.allowance_at).as_secs_f64() * (rate as f64);
        self.allowance = (self.allowance + earned).min(2.0 * (rate as f64));
        self.allowance_at = now;
    }

    /// The next line of what has been read that gets a reply: blank ones are passed over.
    pub fn next_line(&mut self, max_line: usize) -> Option<Vec<u8>> {
        let line = self.find_line(max_line)?;
        let line = self.input[line].to_vec();
        if self.start == self.input.len() {
            self.input.clear();
            (self.start, self.searched) = (0, 0);
        }
        Some(line)
    }

    /// Whether the hub has read a line that it has not carried out.
    pub fn has_line(&mut self, max_line: usize) -> bool {
        if self.is_undecided() {
            return false;
        }
        let before = (self.start, self.searched, self.skipping);
        let has_line = self.find_line(max_line).is_some();
        if has_line {
            (self.start, self.searched, self.skipping) = before;
        }
        has_line
    }

    /// Whether there is nothing that the hub would have to keep for it.
    pub fn is_idle(&self) -> bool {
        let has_input = self.gone.is_none() && (self.start < self.input.len() || self.skipping);
        let socket = self.socket();
        let begins = socket.peer.as_ref().is_some_and(WebPeer::begins);
        !begins && !has_input && !socket.stalled && socket.holds() == 0
    }

    /// Moves to behind the next line that gets a reply. One that is too long is found before its end has come.
    fn find_line(&mut self, max_line: usize) -> Option<Range<usize>> {
        loop {
            let found = self.input[self.searched..].iter().position(|&byte| byte == b'\n');
            self.searched = found.map_or(self.input.len(), |at| self.searched + at);
            let line = self.start..self.searched;
            let text = &self.input[line.clone()];
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let too_long = text.len() > max_line;
            let ends_so = self.input_ended && !self.truncated;
            let is_whole = found.is_some() || (ends_so && !line.is_empty());
            if !is_whole && !too_long && !self.skipping {
                return None;
            }
            let blank = !too_long && text.iter().all(|byte| matches!(byte, b' ' | b'\t'));
            let was_skipping = std::mem::replace(&mut self.skipping, !is_whole);
            self.searched += usize::from(found.is_some());
            self.start = self.searched;
            if !was_skipping && !blank {
                return Some(line);
            }
            if !is_whole {
                return None;
            }
        }
    }

    /// How much has been written to it.
    pub fn written(&self) -> usize {
        self.line_start + self.unfinished.len()
    }

    /// Compares what has been written with what is wanted.
    pub fn compare(&mut self) -> Result<(), String> {
        let unfinished = std::mem::take(&mut self.unfinished);
        let mut rest = &unfinished[..];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.compare_line(&rest[..end])?;
            self.line_before_start = self.line_start;
            self.line_start += end + 1;
            rest = &rest[end + 1..];
        }
        self.unfinished = rest.to_vec();
        Ok(())
    }

    fn compare_line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = || String::from_utf8_lossy(line).into_owned();
        if let Some(last_words) = self.last_words {
            return Err(format!("after the last line, {last_words:?}, came {}", text()));
        }
        let last_words = LAST_WORDS.into_iter().find(|words| {
            let begin = format!(r#"{{"action":"ERROR","request":null,"message":"{words}"#);
            // A detail may follow.
            line.strip_prefix(begin.as_bytes()).is_some_and(|rest| rest == b"\"}" || rest.starts_with(b": "))
        });
        if let Some(last_words) = last_words {
            self.last_words = Some(last_words);
            self.last_words_behind = [self.line_before_start, self.line_start];
            return Ok(());
        }
        let Some(wanted) = self.wanted.pop_front() else {
            return Err(format!("nothing more was expected, and there came {}", text()));
        };
        self.last_was_own = wanted.by == self.who;
        wanted.check(line)
    }

    /// Whether the last line stands where it has to after what waited was dropped: right behind what had been written
    /// when it was decided, or behind the line that had begun to be.
    pub fn was_cut_at_once(&self, gone: Gone) -> bool {
        let [line_start, last_words_start] = self.last_words_behind;
        last_words_start == gone.written || (line_start < gone.written && gone.written < last_words_start)
    }

    /// What is known of its input, for a message.
    pub fn describe(&self) -> String {
        let input: String = String::from_utf8_lossy(&self.input).chars().take(300).collect();
        format!("from {} of {} bytes read: {input:?}", self.start, self.read_bytes)
    }

    /// Whether nothing of its input has been used up.
    fn is_at_its_beginning(&self) -> bool {
        self.start == 0 && self.input.len() == self.read_bytes
    }

    /// Whether what has come may still become another protocol.
    fn is_undecided(&self) -> bool {
        !self.is_web
            && self.is_at_its_beginning()
            && !self.input_ended
            && SIGNATURES.iter().any(|signature| signature.starts_with(&self.input))
    }

    /// Whether the first line that it sent and that is not blank is none of this protocol. By the shape of what the
    /// script says.
    pub fn begins_with_another_protocol(&self, max_line: usize) -> bool {
        if self.is_web {
            return false;
        }
        let is_blank = |line: &&[u8]| line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let rest = &self.input[self.start..];
        let line = rest.split(|&byte| byte == b'\n').find(|line| !is_blank(line)).unwrap_or_default();
        let letters = line.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        SIGNATURES.iter().any(|signature| self.is_at_its_beginning() && rest.starts_with(signature))
            || line.windows(6).any(|window| window == b" HTTP/")
            || (line.len() > max_line && letters > 0 && line.get(letters) == Some(&b' '))
    }

    /// What of others waited when it was decided to drop it: bytes and lines.
    pub fn others_dropped(&self, gone: Gone) -> (usize, usize) {
        let (bytes, lines) = self.waiting(false);
        match self.last_words_behind[1].saturating_sub(gone.written) {
            begun if begun > 0 && !self.last_was_own => (bytes + begun, lines + 1),
            _ => (bytes, lines),
        }
    }

    /// Of what waits, how much and in how many lines, by whether it has caused it itself. At least.
    pub fn waiting(&self, own: bool) -> (usize, usize) {
        let mut unfinished = self.unfinished.len();
        let (mut bytes, mut lines) = (0, 0);
        for wanted in &self.wanted {
            let length = wanted.length().saturating_sub(std::mem::take(&mut unfinished));
            if (wanted.by == self.who) == own {
                bytes += length;
                lines += 1;
            }
        }
        (bytes, lines)
    }
}
