//! Clients that are slow, greedy, broken, malicious or simply too many, and a host that runs short: the server keeps every
//! promise all the same. Over real sockets; where the process itself matters (what it has in memory, how long it
//! computes, which descriptors it may have), against the binary. What a test asserts on is what clients received, and in
//! which order; memory and processor time with generous bounds; never how quickly anything went.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
#[allow(dead_code)]
mod process;

mod back_pressure;
mod broken_lines;
mod crowds;
mod endings;
mod fairness;
mod memory;
#[cfg(target_os = "linux")]
mod orphans;
mod slow_readers;
mod starvation;
mod too_many;
mod vanishing;

use common::{Client, eventually};
use parlor::Listen;
use process::{Directory, Parlor};

/// The binary, which listens on a port of 127.0.0.1 and on a Unix socket.
struct Host {
    parlor: Parlor,
    tcp: Listen,
    unix: Listen,
    _directory: Directory,
}

/// Asserts that after what `burst` does no more memory stays than so many bytes; it returns how many do. Now and then, in
/// one of some ten runs beside much else, the allocator keeps a block at the end of its heap and with it all that lies
/// below, until the next burst: so there are three tries, each with a server of its own.
fn assert_memory_is_given_back(bytes_max: usize, burst: impl Fn() -> usize) {
    let mut stays = Vec::new();
    while stays.len() < 3 {
        match burst() {
            bytes if bytes < bytes_max => return,
            bytes => stays.push(bytes),
        }
    }
    panic!("{stays:?} bytes stay, in each of three tries more than {bytes_max}");
}

impl Host {
    fn serve(arguments: &[&str]) -> Host {
        Host::start(arguments, |arguments| Parlor::start(arguments))
    }

    /// Where the process may have so many descriptors.
    fn with_descriptors(descriptors: usize, arguments: &[&str]) -> Host {
        Host::start(arguments, |arguments| Parlor::start_with_descriptors(descriptors, arguments))
    }

    fn start(arguments: &[&str], start: impl FnOnce(&[&str]) -> Parlor) -> Host {
        let directory = Directory::new();
        let path = directory.file("socket");
        let unix = process::unix(&path);
        let listen = ["--listen", "127.0.0.1:0", "--listen", &unix];
        // Longer than by default, unless the test says otherwise: lines that fill buffers.
        let long: &[&str] = if arguments.contains(&"--max-line") { &[] } else { &["--max-line", "64K"] };
        let mut parlor = start(&[&listen, long, arguments].concat());
        let tcp = parlor.address().parse().unwrap();
        parlor.address();
        Host { parlor, tcp, unix: Listen::unix(path), _directory: directory }
    }

    /// Both addresses, for what has to hold over either.
    fn addresses(&self) -> [Listen; 2] {
        [self.tcp.clone(), self.unix.clone()]
    }

    fn connect(&self) -> Client {
        Client::connect(&self.tcp)
    }

    /// The line of counters, as it is now.
    fn counters(&mut self) -> String {
        self.parlor.signal("USR1");
        self.parlor.line("counters", |line| line.contains("requests "))
    }

    /// Waits until the server knows of no others than so many clients, rooms and connections that are being ended.
    fn eventually_counts(&mut self, clients: usize, rooms: usize, ending: usize) {
        let expected = format!("clients {clients}, rooms {rooms}, ending {ending},");
        let mut last = String::new();
        let deadline = std::time::Instant::now() + common::DEADLINE;
        while !last.contains(&expected) {
            assert!(std::time::Instant::now() < deadline, "{expected} expected, not {last}");
            last = self.counters();
        }
    }
}

/// Waits until something has stayed as it is for a while: for a server to be done with what it was sent, where nothing
/// that it sends can tell.
fn until_it_rests<T: PartialEq>(mut look: impl FnMut() -> T) -> T {
    let mut last = look();
    let mut same = 0;
    eventually("it comes to rest", || {
        let now = look();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        std::thread::park_timeout(std::time::Duration::from_millis(10));
        same == 20
    });
    last
}

const MIB: usize = 1 << 20;
