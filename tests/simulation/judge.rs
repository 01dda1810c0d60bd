//! What must hold after every turn, whatever has happened.
//!
//! - The tables and sums of the hub agree with each other (`Hub::check`).
//! - The model is told what the hub has done, in the order in which it did it. What each client was written is what the
//!   model says, byte for byte but for the wording of details; nobody who can be written to waits for anything.
//! - Nobody starves: when the hub would wait, nobody has anything that it should have read or carried out.
//! - Who is ended is ended for a reason, is told it with the last line, and keeps none but the rest of a line that had
//!   begun when what waited was dropped. Connections are not kept longer than they may be.
//! - What is kept in memory has its bounds.

use std::rc::Rc;
use std::time::Duration;

use parlor::transport::End;

use crate::client::{Client, Gone};
use crate::model::Expected;
use crate::run::Simulation;
use crate::trace::{self, Entry, Who};
use crate::wanted::Wanted;

const LINGER: Duration = Duration::from_secs(5);
const CLOSE_AFTER_STOP: Duration = Duration::from_secs(1);
const FINISH_WITHOUT_PROGRESS: Duration = Duration::from_secs(60);

/// Of more than so many that are kept for their last words, the oldest are not.
const LINGERING_MAX: usize = 1024;

/// What a client may hold in memory although the limit is reached: its last words, behind the rest of a line.
const LAST_WORDS_BYTES: usize = 10 << 10;

/// What is counted for a client from which the rest of a line that was too long is skipped: it holds nothing.
const RECORD_BYTES: usize = 160;

/// What one turn writes before it goes out, and what one read takes.
const TURN_BYTES: usize = 64 << 10;

/// What a turn carries out for one client, and a last line without its line end.
const REQUESTS_PER_TURN: usize = 1024 + 1;

/// An ERROR's detail is shorter.
const DETAIL_BYTES: usize = 250;

impl Simulation {
    /// Tells the model what the hub has done since the last time.
    pub fn replay(&mut self) {
        let mut closed = false;
        for entry in trace::take() {
            let closes = matches!(entry, Entry::Closed(_));
            assert!(closes || !closed, "a slot was freed before the turn was over");
            closed = closes;
            if self.verbose {
                self.print(&entry);
            }
            match entry {
                Entry::Request(slot) => self.replay_request(self.by_slot[&slot]),
                Entry::Gone(slot) => self.replay_gone(self.by_slot[&slot]),
                Entry::Read(who, bytes) => self.replay_read(who, &bytes),
                Entry::ReadEnd(who, end) => {
                    let client = &mut self.clients[who];
                    client.input_ended = true;
                    client.said_goodbye = matches!(end, End::Goodbye | End::Broken);
                    client.truncated |= matches!(end, End::Truncated | End::Broken);
                }
                #[cfg(feature = "web")]
                Entry::Alive(who) => {
                    let client = &mut self.clients[who];
                    (client.alive_at, client.pinged_at) = (self.now, None);
                }
                #[cfg(feature = "web")]
                Entry::Pinged(who) => self.replay_ping(who),
                Entry::ReadFailed(who) => self.clients[who].read_failed = true,
                Entry::Wrote(who, bytes) => self.clients[who].write(&bytes, self.now),
                Entry::WriteFailed(who) => {
                    // What was written before has to be right.
                    self.compare(who);
                    self.clients[who].write_failed = true;
                    self.clients[who].wanted.clear();
                }
                Entry::Full(who) => self.clients[who].was_blocked = true,
                Entry::ShutDownFailed(who) => self.clients[who].write_failed = true,
                Entry::Closed(who) => {
                    self.clients[who].closed = true;
                    self.by_slot.remove(&self.clients[who].slot);
                }
            }
        }
    }

    fn replay_read(&mut self, who: Who, bytes: &[u8]) {
        self.compare(who);
        let (max_line, own_bytes_max) = (self.options.max_line, self.own_bytes_max());
        let client = &mut self.clients[who];
        if client.gone.is_none() {
            assert!(!client.has_line(max_line), "client {who} is read from although it has lines that wait");
            let (own_bytes, _) = client.waiting(true);
            assert!(
                own_bytes <= own_bytes_max,
                "client {who} is read from although {own_bytes} own bytes wait"
            );
        }
        client.read(bytes, self.now);
    }

    #[cfg(feature = "web")]
    fn replay_ping(&mut self, who: Who) {
        let keepalive = self.options.keepalive;
        let client = &mut self.clients[who];
        let is_time = self.now >= client.alive_at + keepalive / 2 && !keepalive.is_zero();
        assert!(is_time, "client {who} is pinged, and was heard of at {:?}", client.alive_at);
        let before = client.pinged_at.replace(self.now);
        assert_eq!(before, None, "client {who} is pinged twice");
    }

    fn replay_request(&mut self, who: Who) {
        let client = &mut self.clients[who];
        assert!(client.gone.is_none(), "client {who} has left, and something was carried out for it");
        let line = client.next_line(self.options.max_line);
        let Some(line) = line else { panic!("client {who}: a request was carried out that has not come") };
        self.requests += 1;
        client.requests_in_turn += 1;
        client.earn(self.options.rate, self.now);
        // The hub counts whole nanoseconds: at 3000 a second a request costs a little less than one.
        let nanoseconds = 1_000_000_000_usize.checked_div(self.options.rate).unwrap_or(0);
        client.allowance -= (nanoseconds as f64) * (self.options.rate as f64) / 1e9;
        let may = self.options.rate == 0 || client.allowance > -0.001;
        assert!(may, "client {who}: more requests than --rate allows");
        let mut message: Option<Rc<Wanted>> = None;
        for (to, expected) in self.model.line(who, &line) {
            let wanted = if let Expected::Message { .. } = expected {
                // All members get the same.
                message.get_or_insert_with(|| Rc::new(Wanted::new(expected, who, &line))).clone()
            } else {
                Rc::new(Wanted::new(expected, who, &line))
            };
            let to = &mut self.clients[to];
            if !to.write_failed {
                to.wanted.push_back(wanted);
            }
        }
    }

    fn replay_gone(&mut self, who: Who) {
        let max_line = self.options.max_line;
        self.compare(who);
        let client = &mut self.clients[who];
        let finished = client.input_ended && !client.has_line(max_line);
        let gone = Gone {
            at: self.now,
            finished,
            written: client.written(),
            heard_at: client.heard_at,
            mute: client.write_failed,
            own_bytes: client.waiting(true).0,
        };
        assert!(client.gone.replace(gone).is_none(), "client {who} left twice");
        if !client.refused {
            self.model.disconnect(who);
        }
    }

    /// Checks everything, after a turn.
    pub fn judge_turn(&mut self) {
        self.replay();
        self.compare_all();
        self.hub.check();
        let wait = self.hub.wait(self.now);
        let mut lingering = 0;
        let lingered = self.open.iter().filter(|&&who| self.clients[who].lingers()).count();
        for who in self.open.clone() {
            self.judge_share(who);
            self.judge_output(who).unwrap_or_else(|why| panic!("client {who}: {why}"));
            self.judge_close(who).unwrap_or_else(|why| panic!("client {who}: {why}"));
            if self.clients[who].closed {
                self.judge_end(who, lingered);
            } else {
                lingering += usize::from(self.clients[who].gone.is_some());
                self.judge_input(who, wait);
                self.judge_deadline(who, wait);
                self.judge_pings(who, wait);
            }
        }
        let clients = &self.clients;
        self.open.retain(|&who| !clients[who].closed);
        assert_eq!(self.hub.connections_len(), self.open.len());
        let bound = self.options.max_memory + lingering * LAST_WORDS_BYTES + self.open.len() * RECORD_BYTES;
        let memory = self.hub.memory_bytes();
        let held: usize = self.open.iter().map(|&who| self.held(who)).sum();
        assert!(held <= memory, "{held} bytes are held by transports, and {memory} are counted");
        assert!(memory <= bound, "{memory} bytes of memory, and {lingering} linger: more than {bound}");
        // Blank lines may be held, where there is no time or no allowance to look at them.
        let looks_at_all = wait != Some(Duration::ZERO) && self.options.rate == 0;
        if looks_at_all && self.open.iter().all(|&who| self.clients[who].is_idle()) {
            let names = self.hub.chat().long_name_bytes();
            assert_eq!(memory, names, "nobody waits for anything, and memory is held");
        }
        if self.random.once_in(64) {
            self.compare_tables();
        }
    }

    /// What the transport of a client holds. Of the goodbye of one that has left nobody takes account.
    fn held(&self, who: Who) -> usize {
        let client = &self.clients[who];
        if client.gone.is_some() || client.write_failed { 0 } else { client.socket().holds() }
    }

    fn compare_tables(&self) {
        let clients: Vec<Who> = self.model.clients().collect();
        assert_eq!(clients.len(), self.hub.chat().clients_len());
        for who in clients {
            let nickname = self.hub.chat().nickname(self.clients[who].slot);
            let nickname: String = serde_json::from_slice(&[b"\"", nickname, b"\""].concat()).unwrap();
            assert_eq!(self.model.nickname(who), Some(nickname.as_str()));
        }
    }

    /// Compares what everybody was written with what the model says.
    pub fn compare_all(&mut self) {
        for who in self.open.clone() {
            self.compare(who);
        }
    }

    fn compare(&mut self, who: Who) {
        let had_last_words = self.clients[who].last_words.is_some();
        let mut result = self.clients[who].compare();
        let client = &self.clients[who];
        if let Some(words) = client.last_words.filter(|_| !had_last_words) {
            result = result.and_then(|()| self.judge_last_words(client, words));
            self.clients[who].wanted.clear();
        }
        result.unwrap_or_else(|why| panic!("client {who}: {why}"));
    }

    /// Nobody gets more than its share of a turn.
    fn judge_share(&mut self, who: Who) {
        let client = &mut self.clients[who];
        let share = (std::mem::take(&mut client.reads_in_turn), std::mem::take(&mut client.requests_in_turn));
        assert!(share.0 <= 1 && share.1 <= REQUESTS_PER_TURN, "client {who}: reads and requests {share:?}");
    }

    fn judge_output(&self, who: Who) -> Result<(), String> {
        let client = &self.clients[who];
        if client.closed || client.write_failed {
            return Ok(());
        }
        let socket = client.socket();
        let waits = !client.wanted.is_empty() || !client.unfinished.is_empty() || socket.holds() > 0;
        let waits = waits || socket.goodbye_waits;
        let lingers = client.lingers();
        if !socket.blocked {
            if waits {
                return Err(format!("its socket has room, and {:?} is not written", client.wanted.front()));
            }
            if lingers && client.last_words.is_none() {
                return Err("it was ended, its socket has room, and it is not told why".into());
            }
        }
        // One that has closed its side may have been ended for want of memory, and then its last words wait too.
        let may_be_ended = client.gone.is_some() && self.has_little_memory();
        if socket.stalled != waits && !lingers && !may_be_ended {
            return Err(format!("whether it stalls was told wrongly: {}", socket.stalled));
        }
        if client.gone.is_none() && waits {
            let (bytes, lines) = client.waiting(false);
            if bytes > self.options.max_pending && lines > 1 {
                return Err(format!("it is too slow and still here: {bytes} bytes wait in {lines} lines"));
            }
            let bound = self.own_bytes_max() + TURN_BYTES + 4 * self.options.max_line + 1000;
            let (bytes, _) = client.waiting(true);
            if bytes > bound {
                return Err(format!("{bytes} bytes wait that it has caused itself: more than {bound}"));
            }
        }
        Ok(())
    }

    /// Whether the limit of memory can be reached at all.
    pub fn has_little_memory(&self) -> bool {
        self.options.max_memory < 1 << 20
    }

    /// Until when a connection may be kept for its last words. When the server stops, it is kept for at most `--drain`
    /// while something waits to be written, and a second more for the peer to close.
    fn latest_end(&self, gone: Gone) -> Duration {
        let own = gone.at + LINGER;
        let Some(stopped_at) = self.stopped_at else { return own };
        let drain = self.options.drain;
        let end = stopped_at + drain + if drain.is_zero() { Duration::ZERO } else { CLOSE_AFTER_STOP };
        if gone.at < stopped_at { own.min(end) } else { end }
    }

    fn own_bytes_max(&self) -> usize {
        TURN_BYTES.min(self.options.max_pending)
    }

    fn judge_last_words(&self, client: &Client, words: &str) -> Result<(), String> {
        let gone = client.gone.ok_or("it got a last line and has not left")?;
        let cut = matches!(words, "Too slow" | "Out of memory");
        let right = match words {
            "Too many clients" => client.refused,
            "Too slow" => {
                let (bytes, lines) = client.others_dropped(gone);
                if bytes <= self.options.max_pending || lines < 2 {
                    return Err(format!(
                        "it is not too slow: {bytes} bytes of others waited in {lines} lines"
                    ));
                }
                true
            }
            "Out of memory" => self.has_little_memory(),
            "Idle too long" => {
                let timeout = self.options.idle_timeout;
                let has_back_pressure = gone.own_bytes > self.own_bytes_max();
                !timeout.is_zero() && gone.at - gone.heard_at >= timeout && !has_back_pressure
            }
            "Wrong protocol" => client.begins_with_another_protocol(self.options.max_line),
            _ => self.stopped_at.is_some(),
        };
        if !right || client.refused != (words == "Too many clients") {
            return Err(format!("{words:?} is not why: {}", client.describe()));
        }
        if cut && !gone.finished && !client.was_cut_at_once(gone) {
            return Err(format!("{words:?}: what waited was not dropped: {gone:?}"));
        }
        if !cut && !client.wanted.is_empty() {
            return Err(format!("{words:?}: {} lines were dropped", client.wanted.len()));
        }
        Ok(())
    }

    /// When the hub would wait, nothing may be left to be read or carried out, unless there is a reason.
    fn judge_input(&mut self, who: Who, wait: Option<Duration>) {
        let max_line = self.options.max_line;
        let own_bytes_max = self.own_bytes_max();
        let client = &mut self.clients[who];
        if wait == Some(Duration::ZERO) || client.socket().edge {
            return;
        }
        let is_client = client.gone.is_none();
        let has_line = is_client && client.has_line(max_line);
        // Behind a Close of the peer, or a fault, nothing is read before the answer to it is out.
        let is_over = client.is_web && client.said_goodbye && !client.socket().shut_down;
        let unread = !is_over && {
            let socket = client.socket();
            !socket.arrived.is_empty()
                || socket.has_end_to_tell()
                || (socket.reset && !client.read_failed)
                || (socket.closed && !client.input_ended && !socket.reset)
        };
        if !has_line && !unread {
            return;
        }
        let (bytes, lines) = client.waiting(true);
        if is_client && client.socket().blocked && bytes + lines * DETAIL_BYTES > own_bytes_max {
            return;
        }
        client.earn(self.options.rate, self.now);
        let is_throttled = is_client && self.options.rate > 0 && client.allowance < 1.0;
        let slot = client.slot;
        if !is_throttled {
            println!("slot {slot} {}", self.hub.describe(slot));
        }
        let client = &mut self.clients[who];
        assert!(
            is_throttled,
            "client {who} starves: a line {has_line}, unread input {unread}, {bytes} own bytes wait for it, {:?}",
            client.gone
        );
        let until = Duration::from_secs_f64((1.0 - client.allowance) / (self.options.rate as f64));
        let woken = wait.is_some_and(|wait| wait <= until + Duration::from_millis(1));
        assert!(woken, "client {who} may go on in {until:?}, and the hub waits for {wait:?}");
    }

    /// Nobody is kept longer than they may be, and the hub wakes up in time for it.
    fn judge_deadline(&self, who: Who, wait: Option<Duration>) {
        let client = &self.clients[who];
        let deadline = match client.gone {
            Some(gone @ Gone { finished: false, .. }) => {
                let socket = client.socket();
                let is_over = client.last_words.is_some()
                    && client.input_ended
                    && !client.said_goodbye
                    && socket.holds() == 0
                    && !socket.blocked
                    && !socket.edge;
                assert!(!is_over, "client {who} has got its last words and has closed its side");
                self.latest_end(gone)
            }
            Some(Gone { .. }) if client.said_goodbye && client.wanted.is_empty() => return,
            Some(Gone { at, .. }) => {
                let is_over =
                    client.wanted.is_empty() && client.socket().holds() == 0 && !client.socket().blocked;
                let is_over = is_over && !self.has_little_memory();
                assert!(!is_over, "client {who} has got all and has closed its side");
                // At the last moment it can still be ended for want of memory, without a byte of it having gone out.
                let last_words = if self.has_little_memory() { LINGER } else { Duration::ZERO };
                let without_progress = client.written_at.max(at) + FINISH_WITHOUT_PROGRESS;
                if self.now >= without_progress && self.now < without_progress + last_words {
                    return;
                }
                self.stopped_at.map_or(without_progress, |at| at + self.options.drain)
            }
            None if self.options.idle_timeout.is_zero() || self.options.rate > 0 || client.was_blocked => {
                return;
            }
            None => client.heard_at + self.options.idle_timeout,
        };
        // One look at its socket comes before the end.
        let is_looked_at = client.gone.is_none() && wait == Some(Duration::ZERO);
        assert!(
            self.now < deadline || is_looked_at,
            "client {who} should have been closed by now: {:?} {}",
            client.gone,
            self.hub.describe(client.slot)
        );
        let woken = wait.is_some_and(|wait| self.now + wait <= deadline);
        assert!(
            woken || is_looked_at,
            "client {who} has time until {deadline:?}, it is {:?} and the hub waits {wait:?}: {}",
            self.now,
            self.hub.describe(client.slot)
        );
    }

    /// A Close of the server has the code that belongs to what it ends.
    fn judge_close(&self, who: Who) -> Result<(), String> {
        let client = &self.clients[who];
        let socket = client.socket();
        let Some((peer, code)) = socket.peer.as_ref().and_then(|peer| Some((peer, peer.closed?))) else {
            return Ok(());
        };
        let expected = match client.last_words {
            Some("Server shutting down") => Some(1001),
            Some("Too slow" | "Idle too long") => Some(1008),
            Some("Too many clients" | "Out of memory") => Some(1013),
            Some(words) => return Err(format!("{words:?} over WebSocket")),
            None => peer.ending.filter(|_| peer.end_is_told).and_then(|ending| ending.code),
        };
        let is_whole = client.unfinished.is_empty() && client.wanted.is_empty();
        if code != expected || !is_whole {
            return Err(format!("a Close with {code:?}, not {expected:?}; all else is said: {is_whole}"));
        }
        Ok(())
    }

    /// When a peer that says nothing is to be pinged, or given up: not before, and, if nothing hinders it, not later.
    fn ping_deadline(&self, client: &Client) -> Option<Duration> {
        let keepalive = self.options.keepalive;
        if !client.is_web || keepalive.is_zero() {
            return None;
        }
        // Also where the server itself stood still it has time to answer.
        Some(match client.pinged_at {
            None => client.alive_at + keepalive / 2,
            Some(at) => (client.alive_at + keepalive).max(at + keepalive / 2),
        })
    }

    fn judge_pings(&self, who: Who, wait: Option<Duration>) {
        let client = &self.clients[who];
        if client.gone.is_some()
            || client.was_blocked
            || self.options.rate > 0
            || wait == Some(Duration::ZERO)
        {
            return;
        }
        if let Some(deadline) = self.ping_deadline(client) {
            let woken = wait.is_some_and(|wait| self.now + wait <= deadline);
            assert!(
                self.now < deadline && woken,
                "client {who} is pinged or given up at {deadline:?}, it is {:?} and the hub waits {wait:?}: {}",
                self.now,
                self.hub.describe(client.slot)
            );
        }
    }

    /// Whether it was right to close a connection without a word, because nothing at all comes from its peer.
    fn has_vanished(&self, client: &Client, gone: Gone) -> bool {
        let socket = client.socket();
        let more = if socket.blocked { self.options.keepalive * 9 } else { Duration::ZERO };
        let deadline = self.ping_deadline(client).filter(|_| client.pinged_at.is_some());
        deadline.is_some_and(|at| gone.at >= at && gone.at >= client.alive_at + self.options.keepalive + more)
            && !socket.is_readable()
            && client.last_words.is_none()
    }

    /// The hub has closed the connection. Was it right?
    fn judge_end(&mut self, who: Who, lingered: usize) {
        let client = &self.clients[who];
        let gone = client.gone.expect("whoever is closed has left");
        let passed = |since: Duration, wait| self.now >= since + wait;
        let stop_is_over = self.stopped_at.is_some_and(|at| passed(at, self.options.drain));
        if gone.mute && !gone.finished && !client.read_failed && !client.abandoned {
            let idle = self.options.idle_timeout;
            let is_idle = !idle.is_zero() && gone.at - gone.heard_at >= idle;
            // Nor is it kept to be carried out bit by bit.
            let is_throttled = self.options.rate > 0 && client.allowance < 1.0;
            let may = is_idle || is_throttled || self.stopped_at.is_some() || self.has_little_memory();
            assert!(may, "client {who} cannot be written to, and what it had sent was not carried out");
        }
        if client.abandoned || client.read_failed || client.write_failed || stop_is_over {
            return;
        }
        if passed(client.written_at, FINISH_WITHOUT_PROGRESS) && gone.finished {
            return;
        }
        let got_all = client.wanted.is_empty() && client.unfinished.is_empty();
        if gone.finished {
            // Nothing says when such a client is ended for want of memory, but its last line, if it gets that.
            let may_be_ended = self.has_little_memory();
            assert!(got_all || may_be_ended, "client {who} was closed before it had got all");
            return;
        }
        if lingered > LINGERING_MAX {
            return;
        }
        // There is no room for what remains of a long line.
        if self.has_vanished(client, gone) {
            self.vanished += 1;
            return;
        }
        if self.has_little_memory() && (!client.unfinished.is_empty() || client.socket().holds() > 0) {
            return;
        }
        let is_told = client.last_words.is_some();
        let stop_is_over =
            self.stopped_at.is_some() && is_told && passed(client.written_at, CLOSE_AFTER_STOP);
        assert!(
            (is_told && client.input_ended && !client.said_goodbye)
                || passed(gone.at, LINGER)
                || stop_is_over,
            "client {who} was closed and not told why, or not waited for: {:?}",
            client.last_words
        );
    }

    fn print(&self, entry: &Entry) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(300).collect::<String>();
        match entry {
            Entry::Read(who, bytes) => println!("  {who} read {}: {:?}", bytes.len(), text(bytes)),
            Entry::Wrote(who, bytes) => println!("  {who} wrote {}: {:?}", bytes.len(), text(bytes)),
            other => println!("  {other:?}"),
        }
    }
}
