//! The client without a screen: lines in, lines out, `--send` and `--listen`.
//!
//! The way of it: connect; take the nickname; join the rooms; send what there is to send, never more ahead of the replies
//! than a little; when the input has ended and everything is answered and printed, end. A connection that is lost is
//! the end too: a filter that went on would have lost lines without a word.

mod talk;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use parlor::client::{Client, Request};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
pub use talk::strange_words;
use talk::{Talk, say};

use crate::link::{Change, Link};
use crate::options::{Options, Server, Task};
use crate::pipes::{Input, Line, MAX_LINE_BYTES, Output};
use crate::signals;

const LINK: Token = Token(0);
const WAKER: Token = Token(1);
const SIGNALS: Token = Token(2);
const INPUT: Token = Token(3);
const OUTPUT: Token = Token(4);

/// No more input is read while so many bytes wait for the server.
const MAX_AHEAD_BYTES: usize = 64 << 10;
/// Likewise for requests without a reply.
const MAX_AHEAD_REQUESTS: usize = 1024;
/// The server is not read from while so many bytes wait for standard output.
const MAX_UNPRINTED_BYTES: usize = 1 << 20;
/// After a signal, how long to wait for a reader of standard output who does not read.
const INTERRUPTED_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait, at the end, for messages of one's own to come back.
const OWN_MESSAGES_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs until the end. `Ok(false)` if a request was refused, which was said on standard error; an error is a line that
/// is still to be said.
pub fn run(options: &Options, is_terminal: bool) -> Result<bool, String> {
    let mut filter = Filter::new(options, is_terminal).map_err(|error| error.to_string())?;
    match filter.run() {
        Ok(()) => Ok(!filter.talk.failed),
        Err(End::NobodyReads) => match filter.talk.unconfirmed(&filter.client) {
            Some(what) => Err(format!("nobody reads standard output: {what}")),
            None => Ok(!filter.talk.failed),
        },
        Err(End::Because(why)) => Err(why),
    }
}

/// An end before the end.
enum End {
    /// Standard output is closed: whoever read it has enough.
    NobodyReads,
    Because(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Because(error.to_string())
    }
}

struct Filter {
    poll: Poll,
    signals: Signals,
    server: Server,
    link: Link,
    client: Client,
    input: Option<Input>,
    output: Output,
    task: Task,
    talk: Talk,
    /// Everything is answered; since then own messages are waited for.
    answered_at: Option<Instant>,
}

impl Filter {
    fn new(options: &Options, is_terminal: bool) -> io::Result<Filter> {
        let poll = Poll::new()?;
        let mut signals = signals::catch(&[SIGINT, SIGTERM])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut link = Link::new(options, poll.registry(), LINK, waker)?;
        link.connect();
        let input = match options.task {
            Task::Talk => Some(Input::new(io::stdin(), poll.registry(), INPUT)?),
            _ => None,
        };
        let output = Output::new(io::stdout(), poll.registry(), OUTPUT)?;
        Ok(Filter {
            poll,
            signals,
            server: options.server.clone(),
            link,
            client: Client::new(),
            input,
            output,
            task: options.task.clone(),
            talk: Talk::new(options, is_terminal),
            answered_at: None,
        })
    }

    fn run(&mut self) -> Result<(), End> {
        let mut events = Events::with_capacity(16);
        let mut connected = false;
        let mut is_prepared = false;
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            self.note(&events)?;
            while let Some(change) = self.turn_link() {
                match change {
                    Change::Connected => self.talk.prepare(&mut self.client),
                    Change::Ended(why) => return self.ended(&why, connected),
                }
                connected = true;
            }
            if let Some(why) = self.talk.fatal.take() {
                self.print_the_rest(None)?;
                return Err(End::Because(why));
            }
            if connected && self.talk.preparing == 0 {
                if !is_prepared {
                    is_prepared = true;
                    self.send_texts();
                }
                self.send_lines()?;
                self.link.write(&mut self.client);
            }
            self.write()?;
            if self.interrupted() {
                return self.end_by_signal();
            }
            if is_prepared && self.is_done() {
                return Ok(());
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let reads = self.reads_link();
        let sends = self.talk.preparing == 0 && self.has_room_ahead();
        if self.link.is_ready() && reads || sends && self.input.as_ref().is_some_and(Input::is_ready) {
            return Some(Duration::ZERO);
        }
        let patience = self.answered_at.map(|at| at + OWN_MESSAGES_TIMEOUT);
        let deadline = self.link.deadline().into_iter().chain(patience).min();
        deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn note(&mut self, events: &Events) -> Result<(), End> {
        for event in events {
            match event.token() {
                LINK => self.link.note(event),
                INPUT => self.input.iter_mut().for_each(Input::note),
                OUTPUT => {
                    let is_closed = self.output.note(event).is_err();
                    if is_closed && !matches!(self.task, Task::Send(_)) {
                        return Err(End::NobodyReads);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn reads_link(&self) -> bool {
        self.output.waiting() < MAX_UNPRINTED_BYTES
    }

    fn turn_link(&mut self) -> Option<Change> {
        if !self.reads_link() {
            return None;
        }
        let (talk, output) = (&mut self.talk, &mut self.output);
        self.link.turn(&mut self.client, |heard| talk.hear(heard, output))
    }

    fn has_room_ahead(&self) -> bool {
        self.client.output().len() < MAX_AHEAD_BYTES && self.client.unanswered() < MAX_AHEAD_REQUESTS
    }

    /// Says what `--send` has to say.
    fn send_texts(&mut self) {
        let Task::Send(texts) = &self.task else { return };
        for text in texts {
            for room in &self.talk.rooms {
                self.client.request(Request::Send { room: room.clone(), text: text.clone() });
            }
        }
    }

    /// Says what standard input has to say, as far as there is room.
    fn send_lines(&mut self) -> Result<(), End> {
        if !self.has_room_ahead() {
            return Ok(());
        }
        let (Some(input), Some(room)) = (&mut self.input, self.talk.rooms.first()) else { return Ok(()) };
        let (client, lines, failed) = (&mut self.client, &mut self.talk.lines, &mut self.talk.failed);
        let wanted = |line: Line| {
            match line.text {
                Some(text) => {
                    let number = client.request(Request::Send { room: room.clone(), text });
                    lines.push_back((number, line.number));
                }
                None => {
                    say(&format!("line {}: longer than {} MiB", line.number, MAX_LINE_BYTES >> 20));
                    *failed = true;
                }
            }
            client.output().len() < MAX_AHEAD_BYTES && client.unanswered() < MAX_AHEAD_REQUESTS
        };
        if input.is_ready() {
            let read = input.read(self.poll.registry(), wanted);
            read.map_err(|error| End::Because(format!("standard input: {error}")))?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), End> {
        let written = self.output.write(self.poll.registry()).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => End::NobodyReads,
            _ => End::Because(format!("standard output: {error}")),
        });
        match written {
            // What is to be sent is sent all the same.
            Err(End::NobodyReads) if matches!(self.task, Task::Send(_)) => {
                self.output.discard();
                Ok(())
            }
            written => written,
        }
    }

    /// Prints what was heard before the end; until then, if there is a deadline.
    fn print_the_rest(&mut self, deadline: Option<Instant>) -> Result<(), End> {
        let mut events = Events::with_capacity(16);
        loop {
            self.write()?;
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if self.output.waiting() == 0 || left == Some(Duration::ZERO) || self.interrupted() {
                return Ok(());
            }
            match self.poll.poll(&mut events, left) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => self.note(&events)?,
            }
        }
    }

    fn interrupted(&mut self) -> bool {
        self.signals.pending().next().is_some()
    }

    /// Whether all that there was to do is done.
    fn is_done(&mut self) -> bool {
        let nothing_to_say = match self.task {
            Task::Listen => false,
            Task::Send(_) => true,
            Task::Talk => self.input.as_ref().is_none_or(Input::is_at_end),
        };
        if !nothing_to_say || self.client.unanswered() > 0 {
            return false;
        }
        let since = *self.answered_at.get_or_insert_with(Instant::now);
        let has_all = !self.client.expects_own_messages() || since.elapsed() >= OWN_MESSAGES_TIMEOUT;
        has_all && self.output.waiting() == 0
    }

    fn end_by_signal(&mut self) -> Result<(), End> {
        self.print_the_rest(Some(Instant::now() + INTERRUPTED_TIMEOUT))?;
        match self.talk.unconfirmed(&self.client) {
            Some(what) => Err(End::Because(format!("interrupted: {what}"))),
            None => Ok(()),
        }
    }

    /// The connection is gone, or never was.
    fn ended(&mut self, why: &str, connected: bool) -> Result<(), End> {
        self.print_the_rest(None)?;
        let server = &self.server;
        if !connected {
            return Err(End::Because(format!("cannot connect to {server}: {why}")));
        }
        let why = self.talk.last_words.as_deref().unwrap_or(why);
        let rest = self.talk.unconfirmed(&self.client).map(|what| format!("; {what}")).unwrap_or_default();
        Err(End::Because(format!("connection to {server} lost: {why}{rest}")))
    }
}
