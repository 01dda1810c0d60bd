//! The door before the hub: connections that speak HTTP and are not WebSockets, or not yet. It knows what is served from
//! [`Site`]; of clients, rooms and the poll it knows nothing.
//!
//! A visitor sends one request and gets one response, then the connection is closed; or it gets a 101 and is handed to
//! the hub, with what came behind its request. Nobody can hold on to much: there are at most [`VISITORS_MAX`], each has
//! [`VISIT`] in total and 8 KB of memory at most for its head, and no more is read from it than that, until it has its response. Then
//! what it still sends is thrown away for a moment: unread, it would turn the end of the connection into a reset, and
//! that can destroy the response on its way.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use slab::Slab;

use super::request::HEAD_BYTES_MAX;
use super::response::{Response, Status};
use super::site::{Answer, Service, Site};
use super::{metrics, site};
use crate::transport::{Event, Peer, Received, Sent, Transport};

/// The most visitors. One more, and the one whose time is over first has to go: the oldest.
pub const VISITORS_MAX: usize = 256;

/// How long a visit may take, from the connection to its end.
pub const VISIT: Duration = Duration::from_secs(10);

/// How long a visitor may take to read that it was too slow.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long and how much a visitor may go on sending when it has its response.
const LINGER: Duration = Duration::from_secs(2);
const DISCARDED_BYTES_MAX: usize = 256 << 10;

/// A request can be judged by its first bytes, and else only where a line has ended.
const FIRST_BYTES: usize = 32;

/// The visitors. Their numbers are used again: an event that comes for one that has gone does no harm to the next.
#[derive(Debug)]
pub struct Door<T> {
    site: Site,
    visitors: Slab<Visitor<T>>,
    /// By when each has to be gone.
    deadlines: BTreeSet<(Duration, usize)>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Visitor<T> {
    transport: T,
    peer: Peer,
    service: Service,
    deadline: Duration,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// What has come of the head.
    Reading(Vec<u8>),
    /// So much of the response is out.
    Responding { response: Response, sent: usize, then: Then },
    /// The response is out, the end of the connection is not.
    Finishing,
    /// So much was thrown away.
    Discarding(usize),
}

#[derive(Debug)]
enum Then {
    Finish,
    /// It becomes a client; this came behind its request.
    Enter(Vec<u8>),
}

/// What becomes of a visitor after it was looked at.
enum Next {
    /// It waits for an event.
    Wait,
    /// Another stage has begun, and can go on.
    Go,
    /// The visit is over.
    Gone,
    /// It has become a client.
    Enter,
}

/// Somebody who has become a client: its 101 is out.
#[derive(Debug)]
pub struct Entrant<T> {
    /// Who it is.
    pub peer: Peer,
    /// The connection. There may be input that no event will tell of any more.
    pub transport: T,
    /// What came behind its request: the beginning of its frames.
    pub begun: Vec<u8>,
}

impl<T: Transport> Door<T> {
    /// A door to this site.
    pub fn new(site: Site) -> Door<T> {
        let buffer = vec![0; HEAD_BYTES_MAX];
        Door { site, visitors: Slab::new(), deadlines: BTreeSet::new(), buffer, scratch: Vec::new() }
    }

    /// A new connection. Its number, for its events.
    pub fn enter(&mut self, transport: T, peer: Peer, service: Service, now: Duration) -> usize {
        while self.visitors.len() >= VISITORS_MAX
            && let Some(&(_, oldest)) = self.deadlines.first()
        {
            self.remove(oldest);
        }
        let deadline = now + VISIT;
        let stage = Stage::Reading(Vec::new());
        let visitor = self.visitors.insert(Visitor { transport, peer, service, deadline, stage });
        self.deadlines.insert((deadline, visitor));
        visitor
    }

    /// The connection of a visitor, to be registered for events.
    pub fn transport_mut(&mut self, visitor: usize) -> Option<&mut T> {
        self.visitors.get_mut(visitor).map(|visitor| &mut visitor.transport)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.visitors.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.visitors.is_empty()
    }

    /// The server stops; see [`Site::stop`].
    pub fn stop(&mut self) {
        self.site.stop();
    }

    /// See [`Site::set_unlinked`].
    #[cfg(feature = "cluster")]
    pub fn set_unlinked(&mut self, is_unlinked: bool) {
        self.site.set_unlinked(is_unlinked);
    }

    /// Ends a visit without a word.
    pub fn remove(&mut self, visitor: usize) -> Option<T> {
        let visitor_there = self.visitors.try_remove(visitor)?;
        self.deadlines.remove(&(visitor_there.deadline, visitor));
        Some(visitor_there.transport)
    }

    /// A visitor's connection has become ready for something, or has just come. `scrape` makes the metrics. Who is
    /// returned has become a client, and is a visitor no more.
    pub fn event(
        &mut self,
        visitor: usize,
        event: Event,
        now: Duration,
        scrape: &mut dyn FnMut() -> String,
    ) -> Option<Entrant<T>> {
        self.visitors.get_mut(visitor)?.transport.ready(event);
        self.go_on(visitor, now, scrape)
    }

    /// When somebody's time is over.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Ends the visits whose time is over. Who has not got its request out by then is told so.
    pub fn expire(&mut self, now: Duration) {
        while let Some(&(deadline, key)) = self.deadlines.first()
            && deadline <= now
        {
            let visitor = self.visitors.get_mut(key);
            let Some(visitor) = visitor.filter(|visitor| matches!(visitor.stage, Stage::Reading(_))) else {
                self.deadlines.remove(&(deadline, key));
                self.visitors.try_remove(key);
                continue;
            };
            let why = "A request has to come within 10 seconds.";
            visitor.respond(Response::plain(Status::RequestTimeout, "", why), Then::Finish);
            self.set_deadline(key, now + LAST_WORDS);
            self.go_on(key, now, &mut String::new);
        }
    }

    fn set_deadline(&mut self, key: usize, deadline: Duration) {
        let Some(visitor) = self.visitors.get_mut(key) else { return };
        self.deadlines.remove(&(visitor.deadline, key));
        visitor.deadline = deadline;
        self.deadlines.insert((deadline, key));
    }

    /// Does what can be done now for a visitor.
    fn go_on(&mut self, key: usize, now: Duration, scrape: &mut dyn FnMut() -> String) -> Option<Entrant<T>> {
        loop {
            let visitor = self.visitors.get_mut(key)?;
            let next = match visitor.stage {
                Stage::Reading(_) => visitor.read(&self.site, &mut self.buffer, scrape),
                Stage::Responding { .. } => visitor.send(&mut self.scratch),
                Stage::Finishing => visitor.finish(),
                Stage::Discarding(_) => visitor.discard(&mut self.buffer),
            };
            // An error is the end of a visit like any other.
            match next.unwrap_or(Next::Gone) {
                Next::Wait => return None,
                Next::Go => {
                    if let Stage::Discarding(0) = visitor.stage {
                        let deadline = visitor.deadline.min(now + LINGER);
                        self.set_deadline(key, deadline);
                    }
                }
                Next::Gone => {
                    self.remove(key);
                    return None;
                }
                Next::Enter => {
                    let visitor = self.visitors.try_remove(key)?;
                    self.deadlines.remove(&(visitor.deadline, key));
                    let begun = match visitor.stage {
                        Stage::Responding { then: Then::Enter(begun), .. } => begun,
                        _ => Vec::new(),
                    };
                    return Some(Entrant { peer: visitor.peer, transport: visitor.transport, begun });
                }
            }
        }
    }
}

impl<T: Transport> Visitor<T> {
    fn respond(&mut self, response: Response, then: Then) {
        self.stage = Stage::Responding { response, sent: 0, then };
    }

    /// Reads until the head is whole or cannot become one.
    fn read(
        &mut self,
        site: &Site,
        buffer: &mut [u8],
        scrape: &mut dyn FnMut() -> String,
    ) -> io::Result<Next> {
        loop {
            let Stage::Reading(head) = &mut self.stage else { return Ok(Next::Go) };
            if self.service == Service::OnlyTls
                && let Answer::Response(response) = site.answer(self.service, &[])
            {
                self.respond(response, Then::Finish);
                return Ok(Next::Go);
            }
            // No more than a head may have: what is behind it is not for the door.
            let room = HEAD_BYTES_MAX.saturating_sub(head.len());
            let room = buffer.get_mut(..room).unwrap_or_default();
            debug_assert!(!room.is_empty());
            let (count, drained) = match self.transport.receive(room)? {
                Received::Bytes { count, drained } => (count, drained),
                Received::Nothing => return Ok(Next::Wait),
                Received::End(_) if head.is_empty() => return Ok(Next::Gone),
                Received::End(_) => {
                    let response = Response::plain(Status::BadRequest, "", "The request has no end.");
                    self.respond(response, Then::Finish);
                    return Ok(Next::Go);
                }
            };
            let fresh = room.get(..count).unwrap_or_default();
            head.extend_from_slice(fresh);
            let may_tell =
                fresh.contains(&b'\n') || head.len() <= FIRST_BYTES || head.len() >= HEAD_BYTES_MAX;
            if may_tell && self.answer(site, scrape) {
                return Ok(Next::Go);
            }
            if drained {
                return Ok(Next::Wait);
            }
        }
    }

    /// Looks whether what has come can be answered.
    fn answer(&mut self, site: &Site, scrape: &mut dyn FnMut() -> String) -> bool {
        let Stage::Reading(head) = &self.stage else { return false };
        let (response, then) = match site.answer(self.service, head) {
            Answer::Incomplete => return false,
            Answer::Response(response) => (response, Then::Finish),
            Answer::Metrics { head_only } => {
                let response = site::metrics_response(metrics::CONTENT_TYPE, &scrape());
                (if head_only { response.without_body() } else { response }, Then::Finish)
            }
            Answer::Upgrade { response, head_bytes } => {
                let begun = head.get(head_bytes..).unwrap_or_default().to_vec();
                (Response { bytes: response, file: &[] }, Then::Enter(begun))
            }
        };
        self.respond(response, then);
        true
    }

    fn send(&mut self, scratch: &mut Vec<u8>) -> io::Result<Next> {
        let Stage::Responding { response, sent, then } = &mut self.stage else { return Ok(Next::Go) };
        loop {
            let parts = [&response.bytes[..], response.file];
            let behind_head = sent.saturating_sub(response.bytes.len());
            let rest = parts[0].get(*sent..).filter(|rest| !rest.is_empty());
            let rest = rest.or(parts[1].get(behind_head..)).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match self.transport.send(rest, scratch)? {
                Sent::Bytes(more) => *sent += more,
                Sent::Blocked => return Ok(Next::Wait),
            }
        }
        if let Then::Enter(_) = then {
            return Ok(Next::Enter);
        }
        self.stage = Stage::Finishing;
        Ok(Next::Go)
    }

    fn finish(&mut self) -> io::Result<Next> {
        if !self.transport.flush()? || !self.transport.finish(None)? {
            return Ok(Next::Wait);
        }
        self.stage = Stage::Discarding(0);
        Ok(Next::Go)
    }

    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<Next> {
        let Stage::Discarding(discarded) = &mut self.stage else { return Ok(Next::Go) };
        while *discarded < DISCARDED_BYTES_MAX {
            match self.transport.receive(buffer)? {
                Received::Bytes { count, drained } => {
                    *discarded += count;
                    if drained {
                        return Ok(Next::Wait);
                    }
                }
                Received::Nothing => return Ok(Next::Wait),
                Received::End(_) => break,
            }
        }
        Ok(Next::Gone)
    }
}

#[cfg(test)]
mod tests;
