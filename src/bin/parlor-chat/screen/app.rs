//! What the screen shows and what keys and messages do to it. Knows nothing of the terminal nor of sockets.

use std::time::{Duration, Instant};

use parlor::client::{Client, Event, Heard, Request, Room};

use super::clock::Clock;
use super::command::Command;
use super::input::InputLine;
use super::keys::Key;
use super::pane::Pane;
use super::words;
use crate::options::Options;
use crate::{escape, filter, nickname};

/// More pasted lines than these are sent only after a question.
const MAX_UNASKED_LINES: usize = 5;
/// A wheel's click moves so many rows.
const WHEEL_ROWS: usize = 3;
/// So long after a nickname was in use it is tried again.
const NICKNAME_PAUSE: Duration = Duration::from_secs(10);

/// The state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    Connecting,
    Connected,
    /// It is tried again at this time.
    Lost {
        next_try: Instant,
    },
}

/// Everything that is shown.
pub struct App {
    pub client: Client,
    pub server: String,
    pub connection: Connection,
    /// The server's first, then the rooms.
    pub panes: Vec<Pane>,
    pub current: usize,
    pub input: InputLine,
    /// The help is shown, from this row on.
    pub help: Option<usize>,
    /// Pasted lines, of which it is not sure that they are meant to be sent.
    pub question: Option<Vec<String>>,
    /// How large the part for messages is; known after it has been drawn.
    pub window: (usize, usize),
    pub has_quit: bool,
    /// The whole screen is to be drawn anew.
    pub wants_redraw: bool,
    /// When to ask once more for a nickname that was in use.
    pub nickname_again: Option<Instant>,
    /// The connection was lost, and since then the server has said nothing but last words, if there was one at all.
    pub is_turned_away: bool,
    /// Somebody else has the nickname that this client had before the connection was lost.
    pub is_nickname_taken: bool,
    was_login_answered: bool,
    given_nickname: Option<String>,
    last_words: Option<String>,
    was_connected: bool,
    was_strange: bool,
    clock: Clock,
}

impl App {
    pub fn new(options: &Options) -> App {
        let mut panes = vec![Pane::new(None)];
        panes.extend(options.rooms.iter().cloned().map(|room| Pane::new(Some(room))));
        App {
            client: Client::new(),
            server: escape::screen_line(&options.server.to_string()),
            connection: Connection::Connecting,
            current: panes.len().min(2) - 1,
            panes,
            input: InputLine::default(),
            help: None,
            question: None,
            window: (80, 20),
            has_quit: false,
            wants_redraw: false,
            nickname_again: None,
            is_turned_away: false,
            is_nickname_taken: false,
            was_login_answered: false,
            given_nickname: options.nickname.clone(),
            last_words: None,
            was_connected: false,
            was_strange: false,
            clock: Clock::new(),
        }
    }

    /// The pane on the screen.
    pub fn pane(&self) -> &Pane {
        // There is always the server's; `current` is kept within bounds where panes are removed.
        &self.panes[self.current.min(self.panes.len() - 1)]
    }

    fn pane_mut(&mut self) -> &mut Pane {
        let current = self.current.min(self.panes.len() - 1);
        &mut self.panes[current]
    }

    fn find(&self, room: &Room) -> Option<usize> {
        self.panes.iter().position(|pane| pane.room.as_ref() == Some(room))
    }

    /// Says something on the pane that is on the screen.
    pub fn notice(&mut self, text: &str) {
        let time = self.clock.now();
        self.pane_mut().notice(&time, text);
    }

    fn notice_in(&mut self, room: &Room, text: &str) {
        let time = self.clock.now();
        let current = self.current;
        let at = self.find(room).unwrap_or(current);
        if let Some(pane) = self.panes.get_mut(at) {
            pane.notice(&time, text);
        }
    }

    fn notice_of_server(&mut self, text: &str) {
        let time = self.clock.now();
        self.panes.iter_mut().take(1).for_each(|pane| pane.notice(&time, text));
    }

    // The connection

    /// There is a connection.
    pub fn connected(&mut self) {
        self.connection = Connection::Connected;
        self.last_words = None;
        self.was_strange = false;
        self.notice_of_server(&format!("connected to {}", self.server));
        if !std::mem::replace(&mut self.was_connected, true) {
            match nickname::to_ask_for(self.given_nickname.as_deref()) {
                Ok(nickname) => _ = self.client.request(Request::Login { nickname }),
                Err(why) => self.notice(&why),
            }
            let rooms: Vec<Room> = self.panes.iter().filter_map(|pane| pane.room.clone()).collect();
            for room in rooms {
                self.client.request(Request::Join { room });
            }
            if self.panes.len() == 1 {
                self.notice("/join ROOM to begin, /help for help");
            }
        } else {
            self.client.again();
        }
    }

    /// There is no connection; it is tried again after this pause.
    pub fn ended(&mut self, why: &str, pause: Duration) {
        let was_connected = self.connection == Connection::Connected;
        self.connection = Connection::Lost { next_try: Instant::now() + pause };
        self.nickname_again = None;
        let why = self.last_words.take().unwrap_or_else(|| escape::screen_line(why));
        self.notice_of_server(&format!("no connection to {}: {why}", self.server));
        if !was_connected {
            return;
        }
        let time = self.clock.now();
        // Who was turned away was in no room: the gap is marked already.
        let is_marked = std::mem::replace(&mut self.is_turned_away, true);
        let in_rooms = self.panes.iter_mut().filter(|pane| !is_marked && pane.room.is_some());
        in_rooms.for_each(|pane| pane.gap(&time, &format!("connection lost: {why}")));
        for request in self.client.lost() {
            if let Request::Send { room, text } = request {
                let text = escape::screen(&text);
                self.notice_in(&room, &format!("whether this was sent is not known: {text}"));
            }
        }
    }

    /// The time for a nickname that was in use has come.
    pub fn ask_for_nickname_again(&mut self) {
        self.nickname_again = None;
        if let Some(nickname) = self.client.wanted_nickname().map(str::to_owned) {
            self.client.request(Request::Login { nickname });
        }
    }

    /// The server has said something.
    pub fn hear(&mut self, heard: Heard) {
        self.is_turned_away &= matches!(heard.event, Event::LastWords(_) | Event::Strange(_));
        match heard.event {
            Event::Message { room, author, text, own } => self.message(&room, &author, &text, own),
            Event::Done { request, .. } => self.done(request),
            Event::Refused { request, why, .. } => self.refused(request, &escape::screen_line(&why)),
            Event::LastWords(why) => self.last_words = Some(escape::screen_line(&why)),
            Event::Strange(strange) => {
                if !std::mem::replace(&mut self.was_strange, true) {
                    self.notice_of_server(&filter::strange_words(strange, &heard.line));
                }
            }
        }
    }

    fn message(&mut self, room: &Room, author: &str, text: &str, own: bool) {
        let Some(at) = self.find(room) else {
            let room = room.to_string();
            return self.notice_of_server(&escape::screen_line(&format!("[{room}] {author}: {text}")));
        };
        let names = [self.client.nickname(), self.client.wanted_nickname()];
        let mentions_me = !own && names.iter().flatten().any(|name| words::mentions(text, name));
        let time = self.clock.now();
        let is_current = at == self.current;
        let Some(pane) = self.panes.get_mut(at) else { return };
        pane.message(&time, author, text, own, mentions_me);
        if !is_current {
            pane.unread += 1;
            pane.is_called |= mentions_me;
        }
    }

    fn done(&mut self, request: Request) {
        match request {
            Request::Login { nickname } => {
                self.was_login_answered = true;
                self.is_nickname_taken = false;
                self.notice(&format!("you are {}", escape::screen_line(&nickname)));
            }
            Request::Join { room } => self.joined(&room),
            Request::Leave { room } => {
                let Some(at) = self.find(&room) else { return };
                self.panes.remove(at);
                if self.current >= at {
                    self.go_to(self.current - 1);
                }
            }
            Request::Send { room, text } => {
                // In a room that was joined it comes back as a message.
                if !self.client.is_in(&room) {
                    let text = escape::screen_line(&format!("sent to {room}: {text}"));
                    self.notice_in(&room, &text);
                }
            }
        }
    }

    fn joined(&mut self, room: &Room) {
        let time = self.clock.now();
        let Some(at) = self.find(room) else {
            let mut pane = Pane::new(Some(room.clone()));
            pane.notice(&time, "joined");
            pane.is_joined_before = true;
            self.panes.push(pane);
            return self.go_to(self.panes.len() - 1);
        };
        let Some(pane) = self.panes.get_mut(at) else { return };
        if pane.is_joined_before {
            pane.gap(&time, "joined again; messages may be missing here");
        } else {
            pane.notice(&time, "joined");
        }
        pane.is_joined_before = true;
    }

    fn refused(&mut self, request: Request, why: &str) {
        match request {
            Request::Login { nickname } => self.nickname_refused(&nickname, why),
            Request::Join { room } => {
                self.notice_in(&room, &escape::screen_line(&format!("cannot join {room}: {why}")));
            }
            Request::Leave { room } => {
                self.notice_in(&room, &escape::screen_line(&format!("cannot leave {room}: {why}")));
            }
            Request::Send { room, text } => {
                let begin: String = text.chars().take(60).collect();
                self.notice_in(&room, &escape::screen_line(&format!("not sent to {room}: {why}: {begin}")));
            }
        }
    }

    fn nickname_refused(&mut self, nickname: &str, why: &str) {
        let is_first = !std::mem::replace(&mut self.was_login_answered, true);
        let name = escape::screen_line(nickname);
        let was_ours = self.client.wanted_nickname() == Some(nickname);
        if was_ours && self.client.nickname() != Some(nickname) && why.starts_with("Nickname already in use")
        {
            self.nickname_again = Some(Instant::now() + NICKNAME_PAUSE);
            if !std::mem::replace(&mut self.is_nickname_taken, true) {
                self.notice(&format!("nickname {name:?}: {why}; a guest until it is free"));
            }
        } else if is_first && self.given_nickname.is_none() {
            self.notice(&nickname::stays_a_guest(&name, why));
        } else {
            self.notice(&format!("nickname {name:?}: {why}"));
        }
    }

    // Keys

    /// A key was pressed.
    pub fn press(&mut self, key: Key) {
        if self.question.is_some() {
            return self.answer(&key);
        }
        let (_, height) = self.window;
        match key {
            Key::Ctrl('c') => self.has_quit = true,
            Key::Ctrl('d') if self.input.text().is_empty() => self.has_quit = true,
            Key::Ctrl('l') => self.wants_redraw = true,
            Key::Ctrl('n') => self.go_to((self.current + 1) % self.panes.len()),
            Key::Ctrl('p') => self.go_to((self.current + self.panes.len() - 1) % self.panes.len()),
            Key::Alt(digit @ '0'..='9') => {
                let at = usize::from(digit as u8 - b'0');
                if at < self.panes.len() {
                    self.go_to(at);
                }
            }
            Key::PageUp => self.scroll(height.saturating_sub(1).max(1), true),
            Key::PageDown => self.scroll(height.saturating_sub(1).max(1), false),
            Key::WheelUp => self.scroll(WHEEL_ROWS, true),
            Key::WheelDown => self.scroll(WHEEL_ROWS, false),
            Key::Help => self.help = if self.help.is_some() { None } else { Some(0) },
            Key::Escape if self.help.is_some() => self.help = None,
            Key::Escape => self.pane_mut().scroll_to_end(),
            Key::Tab => self.complete(false),
            Key::BackTab => self.complete(true),
            Key::Enter => self.enter(),
            Key::Paste(text) => self.paste(&text),
            key => _ = self.input.edit(&key),
        }
    }

    /// Shows another pane.
    fn go_to(&mut self, at: usize) {
        self.current = at.min(self.panes.len().saturating_sub(1));
        self.help = None;
        let pane = self.pane_mut();
        pane.unread = 0;
        pane.is_called = false;
    }

    fn scroll(&mut self, rows: usize, back: bool) {
        let window = self.window;
        match &mut self.help {
            // How far it can go is known where it is drawn.
            Some(row) => *row = if back { row.saturating_sub(rows) } else { row.saturating_add(rows) },
            None => self.pane_mut().scroll(rows, back, window),
        }
    }

    fn enter(&mut self) {
        // Whatever comes of it is to be seen.
        self.help = None;
        if self.input.text().is_empty() {
            if let Connection::Lost { next_try } = &mut self.connection {
                *next_try = Instant::now();
            }
            return;
        }
        let command = match Command::parse(self.input.text()) {
            Ok(command) => command,
            Err(why) => return self.notice(&escape::screen_line(&why)),
        };
        let needs_server = !matches!(command, Command::Help | Command::Quit);
        if needs_server && self.connection != Connection::Connected {
            return self.notice("not connected; the line is kept");
        }
        if matches!(command, Command::Say(_)) && self.pane().room.is_none() {
            return self.notice("this is no room; /join ROOM, or go to one with Ctrl-N");
        }
        self.input.take();
        self.carry_out(command);
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Say(text) => self.say(text),
            Command::Join(room) => match self.find(&room) {
                Some(at) if self.client.is_in(&room) => self.go_to(at),
                _ => _ = self.client.request(Request::Join { room }),
            },
            Command::Leave(room) => match room.or_else(|| self.pane().room.clone()) {
                Some(room) if !self.client.is_in(&room) && self.find(&room).is_some() => {
                    // The server knows nothing of it: it has refused the room.
                    self.done(Request::Leave { room });
                }
                Some(room) => _ = self.client.request(Request::Leave { room }),
                None => self.notice("this is no room; /leave ROOM"),
            },
            Command::Nick(nickname) => {
                self.nickname_again = None;
                self.is_nickname_taken = false;
                self.client.request(Request::Login { nickname });
            }
            Command::Message(room, text) => _ = self.client.request(Request::Send { room, text }),
            Command::Help => self.help = Some(0),
            Command::Quit => self.has_quit = true,
        }
    }

    fn say(&mut self, text: String) {
        self.pane_mut().scroll_to_end();
        if let Some(room) = self.pane().room.clone() {
            self.client.request(Request::Send { room, text });
        }
    }

    /// One line goes to the line that is typed; several are sent, what was typed before the first one.
    fn paste(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if !text.contains('\n') {
            return self.input.insert(text);
        }
        if self.pane().room.is_none() || self.connection != Connection::Connected {
            return self.notice("several lines cannot be pasted here: there is no room, or no connection");
        }
        let typed = self.input.text().to_owned();
        self.input.set(String::new());
        let lines: Vec<String> = format!("{typed}{text}").split('\n').map(str::to_owned).collect();
        if lines.len() > MAX_UNASKED_LINES {
            self.question = Some(lines);
        } else {
            lines.into_iter().for_each(|line| self.say(line));
        }
    }

    /// The answer to whether pasted lines are meant to be sent.
    fn answer(&mut self, key: &Key) {
        match key {
            Key::Char('y' | 'Y') => {
                let lines = self.question.take().unwrap_or_default();
                if self.connection == Connection::Connected {
                    lines.into_iter().for_each(|line| self.say(line));
                } else {
                    self.notice("not connected; the pasted lines were not sent");
                }
            }
            Key::Char('n' | 'N') | Key::Escape => {
                self.question = None;
                self.notice("the pasted lines were not sent");
            }
            Key::Ctrl('c') => self.has_quit = true,
            _ => {}
        }
    }

    fn complete(&mut self, backwards: bool) {
        let (panes, current) = (&self.panes, self.current);
        self.input.complete(backwards, |before| words::choices(panes, current, before));
    }
}
