//! Accepting: who counts as one address, how that is told, and what happens where accepting is forbidden.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::process::{Client, PATIENCE, Parlor};
#[cfg(target_os = "linux")]
use crate::{process::Directory, strace};

/// A client that a proxy has told of.
fn behind_proxy(proxy: &str, address: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let family = if address.contains(':') { "TCP6" } else { "TCP4" };
    let to = if address.contains(':') { "::1" } else { "127.0.0.1" };
    write!(stream, "PROXY {family} {address} {to} 50000 7878\r\n{{\"action\":\"x\"}}\n").unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    (stream, line)
}

#[test]
fn a_64_of_ipv6_is_one_address_and_is_listed_as_one() {
    let mut parlor = Parlor::start(&["--listen", "proxy+127.0.0.1:0", "--max-clients-per-ip", "3"]);
    let address = parlor.address();
    let proxy = address.strip_prefix("proxy+").unwrap();
    let mut all = Vec::new();
    for host in 0..50 {
        let (stream, line) = behind_proxy(proxy, &format!("2001:db8:1:2:{host:x}::{host:x}"));
        let expected = if host < 3 { "Unknown action" } else { "Too many clients: " };
        assert!(line.contains(expected), "{host}: {line}");
        all.push(stream);
    }
    for other in ["2001:db8:1:3::1", "192.0.2.1", "192.0.2.1"] {
        let (stream, line) = behind_proxy(proxy, other);
        assert!(line.contains("Unknown action"), "{other}: {line}");
        all.push(stream);
    }
    parlor.signal("USR1");
    parlor.line("that they are silent", |line| line.contains("nothing waits for any client"));
    parlor.line("the address with most", |line| line.ends_with("2001:db8:1:2::/64: 3 clients"));
    parlor.line("the next", |line| line.ends_with("192.0.2.1: 2 clients"));
    parlor.line("the last", |line| line.ends_with("2001:db8:1:3::/64: 1 client"));
}

/// A policy that forbids to accept: the connection waits, and no event tells when to try again.
#[test]
#[cfg(target_os = "linux")]
fn accepting_that_is_forbidden_is_logged_once_and_tried_again_now_and_then() {
    if !strace::is_there() {
        return;
    }
    for error in ["EPERM", "EACCES"] {
        let directory = Directory::new();
        let trace = directory.file("trace");
        let inject = format!("inject=accept4:error={error}");
        let options = ["-e", "trace=accept4,epoll_wait", "-e", &inject];
        let mut parlor = strace::start(&options, &trace, &["--listen", "127.0.0.1:0"]);
        let address = parlor.address();
        let _waiting = Client::connect(&address);
        parlor.line("what is wrong", |line| {
            line.contains("WARN") && line.contains("cannot accept connections")
        });
        let calls = |trace: &std::path::Path| std::fs::read_to_string(trace).unwrap().lines().count();
        let before = calls(&trace);
        let start = std::time::Instant::now();
        std::thread::sleep(std::time::Duration::from_secs(2));
        let more = calls(&trace) - before;
        // Twice a second, with a few attempts each; spinning makes tens of thousands.
        let seconds = start.elapsed().as_secs() as usize + 1;
        assert!(more < 200 * seconds, "{more} calls in {seconds} s");
        let log = parlor.stop().log;
        let told = log.iter().filter(|line| line.contains("cannot accept connections")).count();
        assert_eq!(told, 1, "{log:#?}");
    }
}
