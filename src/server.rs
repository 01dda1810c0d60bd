//! The poll loop: mio's poll, the listeners, the signals, the time-outs. Here the connections are polled, and
//! the hub's time is read from a clock; the log and the optional parts have their own. It knows nothing of
//! lines and rooms: what has happened is told to the [`Hub`], which does the work.
//!
//! Everything is registered edge-triggered: listeners and signals for reading, connections for both. A
//! connection that comes to the hub by way of the entrance is registered again, under its new token. An edge
//! comes once; so whoever stops before the kernel has said `WouldBlock` is remembered, the clients by the hub
//! and the listeners here, and the loop does not wait while anybody is.

mod accept;
mod clock;
mod entrance;
mod listener;
mod notify;
mod signals;
mod socket;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "web")]
mod web;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::event::Event as PollEvent;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::chat::ClientId;
#[cfg(feature = "cluster")]
use crate::cluster::Link;
use crate::hub::{Counters, Hub};
use crate::options::{Listen, Options};
use crate::transport::Event;
use accept::BackOff;
use clock::Clock;
use entrance::Entrance;
use listener::Listener;
use signals::{Request, Signals};
use socket::Socket;

/// The most events that are taken from one poll. As long as no work is left over, a turn begins with one
/// poll, so this is also the most clients that are read from before anything is written; otherwise see
/// [`POLLS_PER_TURN_MAX`]. The more there are, the more messages share a write; the fewer, the more of what
/// they need is still in the caches when it is written.
const EVENTS_PER_TURN: usize = 256;

/// While turns leave work over, they are long, and it must be known who else has come before it is decided who is next:
/// so many polls are made before such a turn, as long as each is full. That takes 30 µs for each.
const POLLS_PER_TURN_MAX: usize = 64;

/// Tokens below this are the hub's numbers of connections, which have 32 bits; the listeners count up from it.
const FIRST_LISTENER: usize = usize::MAX / 2;
/// From here on they are those of connections that are no clients yet.
const FIRST_WAITING: usize = FIRST_LISTENER + usize::MAX / 8;
const WAKER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);
#[cfg(feature = "cluster")]
const ENGINE: Token = Token(usize::MAX - 3);

/// A server that is bound, and accepts connections from the moment that it [runs](Server::run).
pub struct Server(Loop);

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What happened in its life.
    pub counters: Counters,
    /// The signal that ended it at once, before all was flushed.
    pub killed_by: Option<u8>,
}

/// Stops a server from any thread, as SIGTERM does.
#[derive(Clone, Debug)]
pub struct Stopper {
    wanted: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Asks the server to stop: it accepts and reads no more, flushes what is pending for at most the time given with
    /// `--drain`, and ends. Asking twice changes nothing.
    pub fn stop(&self) {
        self.wanted.store(true, Ordering::Release);
        // It fails only when the poll is gone, and then the server is.
        let _ = self.waker.wake();
    }
}

impl Server {
    /// Binds all addresses.
    ///
    /// # Errors
    /// An address that cannot be resolved or bound; the text says which, and why.
    pub fn bind(options: &Options) -> io::Result<Server> {
        Loop::new(options, None).map(Server)
    }

    /// As [`Server::bind`], and makes SIGTERM, SIGINT, SIGHUP and SIGUSR1 events of this server's loop, and
    /// tells systemd of its start and stop. For a process that is a server and nothing else. The signals come
    /// first: one that arrives while the addresses are being bound waits for the loop, and ends nothing that
    /// has left a socket file behind.
    ///
    /// # Errors
    /// As for [`Server::bind`], and the system's.
    pub fn bind_with_signals(options: &Options) -> io::Result<Server> {
        Loop::new(options, Some(Signals::new()?)).map(Server)
    }

    /// The addresses in numbers, with the ports that were really bound, in the order of the options; a name may
    /// have several.
    pub fn addresses(&self) -> Vec<Listen> {
        self.0.listeners.iter().map(|listener| listener.address.clone()).collect()
    }

    /// What stops this server.
    pub fn stopper(&self) -> Stopper {
        self.0.stopper.clone()
    }

    /// Serves until told to stop, and then until all is flushed.
    ///
    /// # Errors
    /// The poll's own; nothing that a client does leads to one.
    pub fn run(self) -> io::Result<Ended> {
        for address in self.addresses() {
            log::info!("listening on {address}");
        }
        if self.0.signals.is_some() {
            notify::notify(notify::READY);
        }
        self.0.run()
    }
}

/// What the loop has to do with: the hub, and where events come from.
struct Loop {
    poll: Poll,
    hub: Hub<Socket>,
    listeners: Vec<Listener>,
    back_off: BackOff,
    entrance: Entrance,
    signals: Option<Signals>,
    stopper: Stopper,
    stopping: bool,
    stats: Duration,
    next_stats: Option<Duration>,
    clock: Clock,
    #[cfg(feature = "web")]
    web: web::Web,
    #[cfg(feature = "tls")]
    certificates: Option<tls::Certificates>,
    #[cfg(feature = "cluster")]
    link: Option<Link>,
}

impl Loop {
    fn new(options: &Options, mut signals: Option<Signals>) -> io::Result<Loop> {
        if options.listen.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "no address to listen on"));
        }
        #[cfg(feature = "tls")]
        let certificates = tls::Certificates::load(options)?;
        let poll = Poll::new()?;
        if let Some(signals) = &mut signals {
            poll.registry().register(signals.source(), SIGNALS, Interest::READABLE)?;
        }
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let listeners = listen(options, poll.registry())?;
        let hub = Hub::new(options);
        #[cfg(feature = "cluster")]
        let (hub, link) = join_cluster(hub, options, poll.registry())?;
        accept::compare_descriptors(options.max_clients);
        Ok(Loop {
            poll,
            hub,
            listeners,
            back_off: BackOff::default(),
            entrance: Entrance::default(),
            signals,
            stopper: Stopper { wanted: Arc::default(), waker },
            stopping: false,
            stats: options.stats,
            next_stats: Some(options.stats).filter(|every| !every.is_zero()),
            clock: Clock::start(),
            #[cfg(feature = "web")]
            web: web::Web::new(options),
            #[cfg(feature = "tls")]
            certificates,
            #[cfg(feature = "cluster")]
            link,
        })
    }

    fn run(mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut killed_by = None;
        while killed_by.is_none() && !(self.stopping && self.hub.is_empty()) {
            let wait = Clock::wait(self.wait());
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = self.clock.look(wait);
            killed_by = self.take_events(&events, now);
            let polls = if wait == Some(Duration::ZERO) { POLLS_PER_TURN_MAX } else { 1 };
            for _ in 1..polls {
                // An error comes again with the next turn's poll.
                if killed_by.is_some()
                    || events.iter().count() < EVENTS_PER_TURN
                    || self.poll.poll(&mut events, Some(Duration::ZERO)).is_err()
                {
                    break;
                }
                killed_by = self.take_events(&events, now);
            }
            if self.stopper.wanted.load(Ordering::Acquire) && !self.stopping {
                self.stop("asked to", now);
            }
            self.let_in(now);
            self.accept(now);
            #[cfg(feature = "cluster")]
            self.before_turn();
            self.hub.turn(now);
            #[cfg(feature = "web")]
            self.end_of_turn(now);
            #[cfg(feature = "cluster")]
            self.after_turn();
            self.tell_stats(now);
            #[cfg(feature = "tls")]
            self.look_at_certificates(now);
        }
        log::info!("stopped; {}", self.hub.counters());
        Ok(Ended { counters: self.hub.counters(), killed_by })
    }

    /// Takes what a poll has told. The number of the signal that ends the server at once, if one does.
    fn take_events(&mut self, events: &Events, now: Duration) -> Option<u8> {
        let mut killed_by = None;
        for event in events {
            match event.token() {
                WAKER => {}
                SIGNALS => killed_by = self.take_signals(now),
                #[cfg(feature = "cluster")]
                ENGINE => self.link.iter_mut().for_each(|link| link.event(event)),
                token => self.route(token, event, now),
            }
        }
        killed_by
    }

    fn route(&mut self, token: Token, event: &PollEvent, now: Duration) {
        let hung_up = event.is_read_closed() || event.is_error();
        let (readable, writable) = (event.is_readable(), event.is_writable());
        let event = Event { readable, writable, hung_up, urgent: event.is_priority() };
        #[cfg(feature = "web")]
        if self.visitor_event(token, event, now) {
            return;
        }
        if let Some(waiting) = token.0.checked_sub(FIRST_WAITING) {
            self.entrance.event(waiting, event);
        } else if token.0 < FIRST_LISTENER {
            self.hub.event(token.0 as ClientId, event, now);
        } else if let Some(listener) = self.listeners.iter_mut().find(|listener| listener.token == token) {
            listener.ready = true;
        }
    }

    /// What has come from the engine goes to the hub, before its turn.
    #[cfg(feature = "cluster")]
    fn before_turn(&mut self) {
        if let (Some(link), Some(node)) = (&mut self.link, self.hub.node_mut()) {
            link.before_turn(node, self.poll.registry(), ENGINE);
        }
    }

    /// What the turn has asked goes out to the engine.
    #[cfg(feature = "cluster")]
    fn after_turn(&mut self) {
        #[cfg(feature = "web")]
        self.web.door.set_unlinked(!self.hub.is_linked());
        if let (Some(link), Some(node)) = (&mut self.link, self.hub.node_mut()) {
            link.after_turn(node);
        }
    }

    /// How long the poll may wait.
    fn wait(&self) -> Option<Duration> {
        let now = self.clock.now();
        let hub = self.hub.wait(now);
        let accept = self.next_accept().map(|at| at.saturating_sub(now));
        let stats = self.next_stats.map(|at| at.saturating_sub(now));
        let entrance = self.entrance.wait(now);
        #[cfg(feature = "web")]
        let entrance = [entrance, self.web.wait(now)].into_iter().flatten().min();
        #[cfg(feature = "tls")]
        let stats = [stats, self.next_look_at_certificates().map(|at| at.saturating_sub(now))]
            .into_iter()
            .flatten()
            .min();
        #[cfg(feature = "cluster")]
        let link = self.link.as_ref().and_then(|link| link.wait(self.hub.node()?));
        #[cfg(not(feature = "cluster"))]
        let link = None;
        [hub, accept, entrance, stats, link].into_iter().flatten().min()
    }

    /// Acts on the signals that have come. The number of the one that ends the server at once, if one does.
    fn take_signals(&mut self, now: Duration) -> Option<u8> {
        for request in self.signals.as_mut().map_or(Vec::new(), Signals::take) {
            match request {
                Request::Report => {
                    self.hub.log_counters();
                    self.hub.log_largest();
                }
                #[cfg(feature = "tls")]
                Request::Reload => self.reload_certificates(),
                #[cfg(not(feature = "tls"))]
                Request::Reload => log::info!("SIGHUP: there is nothing to read again"),
                Request::Stop { number, .. } if self.stopping => {
                    log::info!("stopping at once: a second signal");
                    return Some(number);
                }
                Request::Stop { name, .. } => self.stop(name, now),
            }
        }
        None
    }

    /// Begins to stop: nobody is accepted or read from any more. Unix socket files go with their listeners.
    fn stop(&mut self, why: &str, now: Duration) {
        log::info!("stopping: {why}");
        if self.signals.is_some() {
            notify::notify(notify::STOPPING);
        }
        self.stopping = true;
        self.listeners.retain(Listener::answers_to_the_end);
        #[cfg(feature = "web")]
        self.web.door.stop();
        self.entrance.clear(now);
        self.hub.stop(now);
    }

    fn tell_stats(&mut self, now: Duration) {
        if self.next_stats.is_some_and(|at| at <= now) {
            self.hub.log_counters();
            self.next_stats = Some(now + self.stats);
        }
    }
}

/// Binds all addresses, in order.
fn listen(options: &Options, registry: &Registry) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for listen in &options.listen {
        listeners.extend(Listener::bind(listen, options)?);
    }
    for (listener, number) in listeners.iter_mut().zip(FIRST_LISTENER..) {
        let token = Token(number);
        registry.register(listener.source(), token, Interest::READABLE)?;
        listener.token = token;
    }
    Ok(listeners)
}

/// The hub as one of several nodes, if it is to be one, and the link's socket.
#[cfg(feature = "cluster")]
fn join_cluster(
    mut hub: Hub<Socket>,
    options: &Options,
    registry: &Registry,
) -> io::Result<(Hub<Socket>, Option<Link>)> {
    let Some((mut link, node)) = Link::open(options)? else { return Ok((hub, None)) };
    link.register(registry, ENGINE)?;
    hub.join_cluster(node);
    Ok((hub, Some(link)))
}
