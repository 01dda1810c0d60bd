//! The full-screen chat: one loop around the socket, the keys, the signals and the time. It knows when things happen;
//! `screen/app.rs` knows what they mean, and `screen/view.rs` what they look like.

mod app;
mod clock;
mod command;
mod help;
mod input;
mod keys;
mod pane;
mod terminal;
mod view;
mod words;
mod wrap;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use app::{App, Connection};
use keys::Keys;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook_mio::v1_0::Signals;
use terminal::Screen;
use view::Look;

use crate::link::{Change, Link};
use crate::options::Options;
use crate::pipes::Pollable;
use crate::signals;

const LINK: Token = Token(0);
const WAKER: Token = Token(1);
const SIGNALS: Token = Token(2);
const KEYS: Token = Token(3);

/// The screen is not drawn more often.
const DRAW_PAUSE: Duration = Duration::from_millis(16);
/// If nothing follows an Escape for so long, it is the key of that name.
const ESCAPE_PAUSE: Duration = Duration::from_millis(50);
/// If nothing follows within a paste for so long, its end will not come.
const PASTE_PAUSE: Duration = Duration::from_secs(1);
/// How often the seconds to the next try are drawn.
const COUNTDOWN_PAUSE: Duration = Duration::from_millis(500);
/// The pause before the first try to connect again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long to wait, at the end, for replies to what was just said.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs until the user has enough. An error is a line that is still to be said.
pub fn run(options: &Options) -> Result<(), String> {
    let mut chat = Chat::new(options).map_err(|error| error.to_string())?;
    match chat.run() {
        Ok(()) => Ok(()),
        Err(End::Unreachable(why)) => Err(format!("cannot connect to {}: {why}", options.server)),
        Err(End::Terminal(error)) => Err(format!("the terminal is lost: {error}")),
    }
}

/// An end that the user has not asked for.
enum End {
    /// The first try to connect has failed.
    Unreachable(String),
    Terminal(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Terminal(error)
    }
}

struct Chat {
    poll: Poll,
    signals: Signals,
    link: Link,
    app: App,
    look: Look,
    /// There is none before the first connection.
    screen: Option<Screen>,
    keyboard: Option<Keyboard>,
    is_dirty: bool,
    drawn_at: Option<Instant>,
    /// How often connecting has failed since it worked.
    failures: u32,
    quit_at: Option<Instant>,
}

struct Keyboard {
    source: Pollable,
    keys: Keys,
    /// When the last bytes came.
    read_at: Instant,
}

impl Chat {
    fn new(options: &Options) -> io::Result<Chat> {
        let poll = Poll::new()?;
        let mut signals = signals::catch(&[SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut link = Link::new(options, poll.registry(), LINK, waker)?;
        link.connect();
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Chat {
            poll,
            signals,
            link,
            app: App::new(options),
            look: Look { has_colours },
            screen: None,
            keyboard: None,
            is_dirty: true,
            drawn_at: None,
            failures: 0,
            quit_at: None,
        })
    }

    fn run(&mut self) -> Result<(), End> {
        let mut events = Events::with_capacity(16);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LINK => self.link.note(event),
                    KEYS => self.keyboard.iter_mut().for_each(|keyboard| keyboard.source.note()),
                    _ => {}
                }
            }
            if self.take_signals()? {
                return Ok(());
            }
            self.read_keys()?;
            self.turn_link()?;
            self.keep_time();
            if self.has_ended() {
                return Ok(());
            }
            self.draw()?;
        }
    }

    /// When something has to be done although nothing happens.
    fn timeout(&self) -> Option<Duration> {
        if self.link.is_ready() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let keys = self.keyboard.as_ref().and_then(Keyboard::deadline);
        let draw = self.is_dirty.then(|| self.drawn_at.map_or(now, |at| at + DRAW_PAUSE));
        let retry = match self.app.connection {
            // The seconds that are left are on the screen.
            Connection::Lost { next_try } => {
                let countdown = self.drawn_at.map_or(now, |at| at + COUNTDOWN_PAUSE);
                Some(next_try.min(countdown))
            }
            _ => None,
        };
        let quit = self.quit_at.map(|at| at + QUIT_TIMEOUT);
        let deadlines = [keys, draw, retry, quit, self.app.nickname_again, self.link.deadline()];
        deadlines.into_iter().flatten().min().map(|at| at.saturating_duration_since(now))
    }

    /// Whether one of the signals that have come ends it.
    fn take_signals(&mut self) -> Result<bool, End> {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in pending {
            match signal {
                SIGWINCH => {
                    // Whatever the size is: what was on its way meanwhile may have gone anywhere.
                    self.is_dirty = true;
                    self.app.wants_redraw = true;
                }
                SIGTSTP => self.suspend()?,
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    fn suspend(&mut self) -> Result<(), End> {
        self.is_dirty = true;
        match &mut self.screen {
            Some(screen) => Ok(screen.suspend()?),
            None => Ok(signal_hook::low_level::emulate_default_handler(SIGTSTP)?),
        }
    }

    fn read_keys(&mut self) -> Result<(), End> {
        let Some(keyboard) = &mut self.keyboard else { return Ok(()) };
        for key in keyboard.read(self.poll.registry())? {
            self.is_dirty = true;
            if key == keys::Key::Ctrl('z') {
                self.suspend()?;
            } else {
                self.app.press(key);
            }
        }
        Ok(())
    }

    fn turn_link(&mut self) -> Result<(), End> {
        let (app, is_dirty) = (&mut self.app, &mut self.is_dirty);
        let mut heard = Vec::new();
        // The app has the client, so it hears what was said after the turn.
        let change = self.link.turn(&mut app.client, |event| heard.push(event));
        *is_dirty |= !heard.is_empty() || change.is_some();
        heard.into_iter().for_each(|heard| app.hear(heard));
        if !app.is_turned_away {
            // A server that lets one in only to turn one away is tried again with pauses that grow, too.
            self.failures = 0;
        }
        match change {
            Some(Change::Connected) => {
                self.app.connected();
                if self.screen.is_none() {
                    self.open()?;
                }
            }
            Some(Change::Ended(why)) if self.screen.is_none() => return Err(End::Unreachable(why)),
            Some(Change::Ended(why)) => {
                let pause = pause(self.failures);
                self.failures = self.failures.saturating_add(1);
                self.app.ended(&why, pause);
            }
            None => {}
        }
        self.link.write(&mut self.app.client);
        Ok(())
    }

    /// The first connection stands: now there is something to see.
    fn open(&mut self) -> Result<(), End> {
        self.screen = Some(Screen::enter()?);
        let source = Pollable::new(io::stdin(), self.poll.registry(), KEYS, Interest::READABLE)?;
        self.keyboard = Some(Keyboard { source, keys: Keys::default(), read_at: Instant::now() });
        Ok(())
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        if let Connection::Lost { next_try } = self.app.connection {
            self.is_dirty |= self.drawn_at.is_none_or(|at| now >= at + COUNTDOWN_PAUSE);
            if now >= next_try {
                self.app.connection = Connection::Connecting;
                self.link.connect();
            }
        }
        if self.app.nickname_again.is_some_and(|at| now >= at) {
            self.app.ask_for_nickname_again();
            self.link.write(&mut self.app.client);
        }
    }

    /// Whether the user has quit, and what was said before is answered or will not be.
    fn has_ended(&mut self) -> bool {
        if !self.app.has_quit {
            return false;
        }
        let since = *self.quit_at.get_or_insert_with(Instant::now);
        let is_answered = self.app.client.unanswered() == 0 || self.app.connection != Connection::Connected;
        is_answered || since.elapsed() >= QUIT_TIMEOUT
    }

    fn draw(&mut self) -> Result<(), End> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        if !self.is_dirty || self.drawn_at.is_some_and(|at| at.elapsed() < DRAW_PAUSE) {
            return Ok(());
        }
        if std::mem::take(&mut self.app.wants_redraw) {
            screen.clear()?;
        }
        let (app, look) = (&mut self.app, self.look);
        screen.canvas.draw(|frame| view::draw(frame, app, look))?;
        self.is_dirty = false;
        self.drawn_at = Some(Instant::now());
        Ok(())
    }
}

impl Keyboard {
    fn read(&mut self, registry: &mio::Registry) -> io::Result<Vec<keys::Key>> {
        let mut buffer = [0; 4096];
        match self.source.read(registry, &mut buffer)? {
            Some(0) => Err(ErrorKind::UnexpectedEof.into()),
            Some(count) => {
                self.read_at = Instant::now();
                Ok(self.keys.read(buffer.get(..count).unwrap_or_default()))
            }
            None if self.deadline().is_some_and(|at| Instant::now() >= at) => Ok(self.keys.time_out()),
            None => Ok(Vec::new()),
        }
    }

    /// When what has begun is over.
    fn deadline(&self) -> Option<Instant> {
        let pause = if self.keys.is_pasting() { PASTE_PAUSE } else { ESCAPE_PAUSE };
        self.keys.is_pending().then(|| self.read_at + pause)
    }
}

/// How long to wait before the next try: twice as long after each failure, and by chance up to half of that less, so
/// that the clients of a server that comes back do not all come at once.
fn pause(failures: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    // The standard library's hasher begins at chance.
    let chance = RandomState::new().build_hasher().finish() % 1000;
    longest - longest / 2 * u32::try_from(chance).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests;
