//! HTTP in the loop: visitors come in through the [`Door`], and those that become clients go to the hub.

use std::io;
use std::time::Duration;

use mio::Token;

use super::Loop;
use super::entrance::{Entrant, interest};
use super::socket::Socket;
use crate::dispatch::Action;
use crate::hub::Hub;
use crate::options::{self, Options, Spoken};
use crate::protocol::{ClientLimit, DisconnectReason};
use crate::transport::Event;
use crate::web::door::{self, Door};
use crate::web::metrics::{Durations, Snapshot};
use crate::web::page;
use crate::web::site::{Service, Site};
use crate::web::socket::WebSocket;

/// Tokens from this on are visitors' numbers; the listeners stay far below.
const FIRST_VISITOR: usize = usize::MAX / 4 * 3;

/// What the loop has for HTTP.
pub(super) struct Web {
    pub(super) door: Door<Socket>,
    /// How long the turns took, if somebody may ask.
    turns: Option<Durations>,
    limits: Limits,
}

/// What the metrics tell of the options.
struct Limits {
    clients: u64,
    pending_bytes: u64,
    memory_bytes: u64,
}

impl Web {
    pub(super) fn new(options: &Options) -> Web {
        let counts = options.listen.iter().any(|listen| listen.spoken() == Spoken::Metrics);
        let limits = Limits {
            clients: options.max_clients as u64,
            pending_bytes: options.max_pending as u64,
            memory_bytes: options.max_memory as u64,
        };
        let door = Door::new(Site::new(page::FILES, options.hosts.clone()));
        Web { door, turns: counts.then(Durations::default), limits }
    }

    /// How long the poll may wait for visitors' sake.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        self.door.next_deadline().map(|deadline| deadline.saturating_sub(now))
    }
}

impl Loop {
    /// Takes a connection of an HTTP listener in. `again`: the poll knows it by another token until now, and of what has
    /// come no event tells again.
    ///
    /// # Errors
    /// The poll's; the connection is closed then.
    pub(super) fn visit(&mut self, entrant: Entrant, again: bool, now: Duration) -> io::Result<()> {
        let Entrant { socket, peer, spoken, reason } = entrant;
        let service = match spoken {
            Spoken::Metrics => Service::Metrics,
            _ if reason.is_some() => Service::OnlyTls,
            _ => Service::Page,
        };
        let visitor = self.web.door.enter(socket, peer, service, now);
        let Some(socket) = self.web.door.transport_mut(visitor) else { return Ok(()) };
        let (registry, token) = (self.poll.registry(), Token(FIRST_VISITOR.saturating_add(visitor)));
        let registered = if again {
            registry.reregister(socket.source(), token, interest())
        } else {
            registry.register(socket.source(), token, interest())
        };
        if registered.is_err() {
            self.web.door.remove(visitor);
        } else if again {
            self.visitor_event(token, Event { readable: true, ..Event::default() }, now);
        }
        registered
    }

    /// Something has happened on a visitor's connection. Whether it is one.
    pub(super) fn visitor_event(&mut self, token: Token, event: Event, now: Duration) -> bool {
        let Some(visitor) = token.0.checked_sub(FIRST_VISITOR) else { return false };
        #[cfg(feature = "tls")]
        let expires_at = self.certificates.as_ref().and_then(|certificates| certificates.expires_at());
        #[cfg(feature = "tls")]
        let expires_at = expires_at.map(|moment| moment.0);
        #[cfg(not(feature = "tls"))]
        let expires_at = None;
        let Loop { web: Web { door, turns, limits }, hub, .. } = self;
        let visitors = door.len() as u64;
        let mut scrape = || scrape(hub, limits, turns.as_ref(), visitors, expires_at);
        if let Some(entrant) = door.event(visitor, event, now, &mut scrape) {
            let door::Entrant { peer, transport, begun } = entrant;
            let socket = Socket::Web(Box::new(WebSocket::new(transport, begun, hub.memory())));
            // One that cannot be registered again is closed, and that is all.
            let _ = self.connect(socket, peer, true, now);
        }
        true
    }

    /// Ends visits whose time is over, and notes how long the turn took.
    pub(super) fn end_of_turn(&mut self, now: Duration) {
        self.web.door.expire(now);
        if let Some(turns) = &mut self.web.turns {
            turns.add(self.clock.in_turn());
        }
    }
}

/// The metrics as they are now.
fn scrape(
    hub: &Hub<Socket>,
    limits: &Limits,
    turns: Option<&Durations>,
    visitors: u64,
    certificate_expires_at: Option<u64>,
) -> String {
    let counters = hub.counters();
    let words = DisconnectReason::WORDS.iter().copied();
    let (refused, ended): (Vec<_>, Vec<_>) = words
        .zip(counters.disconnected)
        .partition(|&(words, _)| words == DisconnectReason::TooManyClients(ClientLimit::Server).words());
    let mut requests = Vec::new();
    let actions = Action::ALL.map(|action| action.to_string());
    for (action, [executed, refused]) in actions.iter().zip(counters.by_action) {
        requests.extend([(action.as_str(), "ok", executed), (action, "error", refused)]);
    }
    let none = Durations::default();
    Snapshot {
        version: env!("CARGO_PKG_VERSION"),
        features: &options::built_in(),
        clients: hub.clients_len() as u64,
        clients_max: limits.clients,
        rooms: hub.chat().rooms_len() as u64,
        lingering: hub.lingering_len() as u64,
        http_connections: visitors,
        accepted: counters.accepted,
        refused: &refused,
        ended: &ended,
        requests: &requests,
        messages: counters.messages,
        deliveries: counters.deliveries,
        received_bytes: counters.bytes_read,
        sent_bytes: counters.bytes_written,
        reads: counters.reads,
        writes: counters.writes,
        waiting_bytes: hub.all_output_bytes() as u64,
        memory_bytes: hub.memory_bytes() as u64,
        memory_max_bytes: limits.memory_bytes,
        pending_max_bytes: limits.pending_bytes,
        certificate_expires_at,
        turns: turns.unwrap_or(&none),
    }
    .to_string()
}
