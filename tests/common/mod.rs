//! What the tests share: a server inside the test's own process, and a client that waits for nothing without end.

// Each test program uses another part of this.
#![allow(dead_code)]

pub mod corpora;
pub mod random;
pub mod requests;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parlor::options::{Listen, Options};
use parlor::{Counters, Ended, Server, Stopper};
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

/// No wait takes longer. Far more than anything here needs: a test that gets there has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A server in a thread of this process. Stopped, and its thread joined, when it is dropped.
pub struct TestServer {
    addresses: Vec<Listen>,
    stopper: Stopper,
    thread: Option<JoinHandle<io::Result<Ended>>>,
}

impl TestServer {
    /// With the default options, on a free port.
    pub fn start() -> TestServer {
        TestServer::with(|options| options.max_line = Options::default().max_line)
    }

    /// On a free port of 127.0.0.1, and with longer lines than by default, which fill buffers, unless the options are
    /// made to say something else.
    pub fn with(change: impl FnOnce(&mut Options)) -> TestServer {
        let listen = vec![Listen::tcp("127.0.0.1:0")];
        let mut options = Options { listen, max_line: 64 << 10, ..Options::default() };
        change(&mut options);
        // `PARLOR_TEST_CLUSTER=redis://…`: every server is a node, each of a cluster of its own.
        #[cfg(feature = "cluster")]
        if let Ok(url) = std::env::var("PARLOR_TEST_CLUSTER") {
            options.cluster_prefix = format!("{}:", socket_path().display());
            options.cluster = Some(url);
        }
        let (told, tell) = std::sync::mpsc::channel();
        // A server stays in the thread that has made it.
        let run = move || {
            let server = Server::bind(&options).expect("the server binds");
            told.send((server.addresses(), server.stopper())).expect("the test waits");
            server.run()
        };
        let thread = std::thread::Builder::new().name("server".into()).spawn(run).unwrap();
        let (addresses, stopper) = tell.recv_timeout(DEADLINE).expect("the server binds");
        TestServer { addresses, stopper, thread: Some(thread) }
    }

    pub fn addresses(&self) -> &[Listen] {
        &self.addresses
    }

    /// A new client at the first address.
    pub fn connect(&self) -> Client {
        Client::connect(&self.addresses[0])
    }

    /// Asks the server to stop, as SIGTERM would, and does not wait.
    pub fn begin_to_stop(&self) {
        self.stopper.stop();
    }

    /// Stops the server and waits until it is done.
    pub fn stop(mut self) -> Counters {
        self.begin_to_stop();
        let thread = self.thread.take().expect("stopped only once");
        eventually("the server ends", || thread.is_finished());
        thread.join().expect("the server does not panic").expect("the server ends well").counters
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stopper.stop();
        let Some(thread) = self.thread.take() else { return };
        let end = thread.join();
        if !std::thread::panicking() {
            end.expect("the server does not panic").expect("the server ends well");
        }
    }
}

/// A path for a Unix socket that no other test uses.
pub fn socket_path() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("parlor-test-{}-{number}.sock", std::process::id()))
}

/// Tries again and again, a moment apart, for what the server does in its own time.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// One end of a conversation. Every wait has a deadline; whatever was not expected panics and says what came.
pub struct Client {
    socket: Socket,
    received: Vec<u8>,
    /// How much of `received` was handed out.
    read: usize,
}

impl Client {
    pub fn connect(address: &Listen) -> Client {
        Client::connect_with(address, |_| ())
    }

    /// As [`Client::connect`], with a socket prepared before it connects.
    pub fn connect_with(address: &Listen, prepare: impl FnOnce(&Socket)) -> Client {
        let address = match address.path() {
            Some(path) => SockAddr::unix(path).unwrap(),
            None => address.socket_address().expect("an address in numbers").into(),
        };
        let domain = address.domain();
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        prepare(&socket);
        // On a loaded machine the queue of a Unix socket can be full for a moment.
        eventually("connect", || match socket.connect(&address) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("cannot connect: {error}"),
        });
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        if domain != Domain::UNIX {
            socket.set_tcp_nodelay(true).unwrap();
        }
        Client { socket, received: Vec::new(), read: 0 }
    }

    /// As [`Client::connect`], but little fits into its socket: what it does not read soon waits in the server.
    pub fn connect_narrow(address: &Listen) -> Client {
        Client::connect_with(address, |socket| socket.set_recv_buffer_size(4096).unwrap())
    }

    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The address at which the server sees this client.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().unwrap().as_socket()
    }

    // Sending

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Sends what is taken at once, to a server that may have closed.
    pub fn send_without_waiting(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_nonblocking(true)?;
        let sent = self.socket.write(bytes);
        self.socket.set_nonblocking(false)?;
        sent
    }

    /// As [`Client::send`], to a server that may have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Sends until nothing more was taken for a while, or until all of it was; how much was taken.
    pub fn send_until_stuck(&mut self, bytes: &[u8]) -> usize {
        self.socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("cannot send: {error}"),
            }
        }
        self.socket.set_write_timeout(Some(DEADLINE)).unwrap();
        sent
    }

    pub fn send_line(&mut self, line: impl AsRef<[u8]>) {
        self.send([line.as_ref(), b"\n"].concat());
    }

    /// Closes the sending side: the server sees the end of the stream.
    pub fn finish_sending(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// As [`Client::finish_sending`], to a server that may have closed.
    pub fn finish_sending_if_open(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Vanishes with a reset instead of an orderly end.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    // Receiving

    /// The next line without its `\n`, as bytes; `None` at the end of the stream.
    pub fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + DEADLINE;
        let mut searched = self.read;
        loop {
            if let Some(length) = self.received[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.received[self.read..searched + length].to_vec();
                self.read = searched + length + 1;
                return Ok(Some(line));
            }
            searched = self.received.len();
            if self.receive_more(deadline)? == 0 {
                return match self.received.len() - self.read {
                    0 => Ok(None),
                    rest => Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        format!("{rest} bytes without a line end"),
                    )),
                };
            }
            // What was handed out is forgotten once it is most of what is kept.
            if self.read > self.received.len() / 2 {
                searched -= self.read;
                self.received.drain(..self.read);
                self.read = 0;
            }
        }
    }

    fn receive_more(&mut self, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "nothing came in time"));
        }
        self.socket.set_read_timeout(Some(left))?;
        let mut buffer = [0; 64 << 10];
        let count = self.socket.read(&mut buffer).map_err(|error| match error.kind() {
            // This is how a read timeout is told on Unix.
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "nothing came in time"),
            _ => error,
        })?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Whether the next line comes in this time. It is not handed out.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        self.try_hear_within(time).unwrap_or_else(|error| panic!("cannot receive: {error}"))
    }

    /// As [`Client::hears_within`], from a server that may have closed.
    pub fn try_hear_within(&mut self, time: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + time;
        while !self.received[self.read..].contains(&b'\n') {
            match self.receive_more(deadline) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Throws away the lines that have come until now, but for one that has only begun. Does not wait.
    pub fn skip_what_has_come(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64 << 10];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                // A broken connection shows when a line is wanted.
                Err(_) => break,
            }
            let line_end = self.received.iter().rposition(|byte| *byte == b'\n');
            self.received.drain(..line_end.map_or(0, |at| at + 1));
            self.read = 0;
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    /// Waits for the next bytes, and does something at every beat meanwhile.
    pub fn until_something_comes(&mut self, beat: Duration, mut meanwhile: impl FnMut()) {
        let deadline = Instant::now() + DEADLINE;
        while self.read == self.received.len() && Instant::now() < deadline {
            match self.receive_more(Instant::now() + beat) {
                Ok(_) => return,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    meanwhile()
                }
                Err(error) => panic!("cannot receive: {error}"),
            }
        }
    }

    /// The next line, which must come.
    pub fn recv_line(&mut self) -> String {
        let line = self.next_line().unwrap_or_else(|error| panic!("instead of a line: {error}"));
        String::from_utf8(line.expect("a line, not the end of the stream")).expect("the server writes UTF-8")
    }

    /// The next line as JSON.
    pub fn recv_json(&mut self) -> Value {
        let line = self.recv_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON: {error}: {line}"))
    }

    // Talking

    /// Sends the line and gets the next one.
    pub fn ask(&mut self, line: impl AsRef<[u8]>) -> String {
        self.send_line(line);
        self.recv_line()
    }

    /// Sends the request, which must be carried out.
    pub fn expect_ok(&mut self, request: impl AsRef<str>) {
        let request = request.as_ref();
        assert_eq!(self.ask(request), response(request));
    }

    /// Sends the request, which must fail with a message that begins with these words.
    pub fn expect_error(&mut self, request: impl AsRef<str>, words: &str) {
        let request = request.as_ref();
        let line = self.ask(request);
        assert!(is_error(&line, request, words), "{words} for {request} expected, not {line}");
    }

    /// Sends bytes that are no request, which must fail with these words, and `null` for the request.
    pub fn expect_refused(&mut self, line: impl AsRef<[u8]>, words: &str) {
        let reply = self.ask(&line);
        let line = String::from_utf8_lossy(line.as_ref());
        assert!(is_error(&reply, "null", words), "{words} for {line:.200} expected, not {reply}");
    }

    /// The next line is this message.
    pub fn expect_message(&mut self, room: impl Into<Value>, author: &str, text: &str) {
        let message =
            json!({"action": "GET MESSAGE", "room_id": room.into(), "author": author, "text": text});
        assert_eq!(self.recv_json(), message);
    }

    /// The server ends the connection: with these words, in order, and without a reset.
    pub fn expect_farewell(&mut self, words: &str) {
        let line = self.recv_line();
        assert!(is_error(&line, "null", words), "{words} expected, not {line}");
        self.expect_end();
    }

    /// The stream ends here.
    pub fn expect_end(&mut self) {
        match self.next_line() {
            Ok(None) => {}
            Ok(Some(line)) => panic!("the end was expected, not {}", String::from_utf8_lossy(&line)),
            Err(error) => panic!("the end was expected, not {error}"),
        }
    }

    /// Proves that nothing else waits for this client: what it gets next is the reply to a request of its own.
    pub fn nothing_more(&mut self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let room = format!("nothing more {}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.expect_error(left(room), "Room not found");
    }

    /// Proves that so many messages wait for this client, and nothing else; each is looked at.
    pub fn nothing_more_after(&mut self, count: usize, mut look: impl FnMut(usize, Value)) {
        (0..count).for_each(|number| look(number, self.recv_json()));
        self.nothing_more();
    }

    // Requests that are carried out

    pub fn login(&mut self, nickname: &str) {
        self.expect_ok(login(nickname));
    }

    pub fn join(&mut self, room: impl Into<Value>) {
        self.expect_ok(join(room));
    }

    pub fn leave(&mut self, room: impl Into<Value>) {
        self.expect_ok(left(room));
    }

    pub fn say(&mut self, room: impl Into<Value>, text: &str) {
        self.expect_ok(say(room, text));
    }

    /// Says something to itself in a room of its own, to see what it is called.
    pub fn nickname(&mut self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let room = format!("who am I {}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.join(room.as_str());
        self.say(room.as_str(), "I am");
        let message = self.recv_json();
        self.leave(room);
        message["author"].as_str().expect("a message has an author").into()
    }
}

// Lines, as the tests write and as the server writes them

pub fn login(nickname: &str) -> String {
    json!({"action": "LOGIN NICK", "nickname": nickname}).to_string()
}

pub fn join(room: impl Into<Value>) -> String {
    json!({"action": "JOIN ROOM", "room_id": room.into()}).to_string()
}

pub fn left(room: impl Into<Value>) -> String {
    json!({"action": "LEFT ROOM", "room_id": room.into()}).to_string()
}

pub fn say(room: impl Into<Value>, text: &str) -> String {
    json!({"action": "SEND MESSAGE", "room_id": room.into(), "text": text}).to_string()
}

/// The reply to a request that was carried out.
pub fn response(request: &str) -> String {
    format!(r#"{{"action":"RESPONSE","request":{request},"message":"OK"}}"#)
}

/// Is the line an ERROR for this request (as written), with a message that begins with these words?
pub fn is_error(line: &str, request: &str, words: &str) -> bool {
    let begin = format!(r#"{{"action":"ERROR","request":{request},"message":"{words}"#);
    let Some(rest) = line.strip_prefix(&begin) else { return false };
    // Words that name a member already may go on as they like; others end here, or a detail follows.
    let detail = rest.starts_with(if words.contains(": ") { " " } else { ": " });
    rest == "\"}" || detail && rest.ends_with("\"}")
}
