//! Listeners behind a proxy: connections that begin with a PROXY header, and those that do not. The header itself is
//! tested beside its parser; here, over real sockets, what the server makes of it.

#[path = "common/mod.rs"]
mod common;
#[path = "common/process.rs"]
#[allow(dead_code)]
mod process;

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use common::{Client, TestServer, join, socket_path};
use parlor::options::{Listen, Options};
use process::{PATIENCE, Parlor};

/// The most connections that wait for their header.
const WAITING_MAX: usize = 256;

/// What a header of version 2 begins with.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A server with a listener behind a proxy over TCP, one over a Unix socket, and a plain one.
fn serve(change: impl FnOnce(&mut Options)) -> TestServer {
    TestServer::with(|options| {
        let unix = format!("proxy+unix:{}", socket_path().display());
        options.listen = vec![listen("proxy+127.0.0.1:0"), listen(&unix), listen("127.0.0.1:0")];
        change(options);
    })
}

fn listen(text: &str) -> Listen {
    text.parse().unwrap()
}

fn v1(source: &str, port: u16) -> Vec<u8> {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    let destination = if source.contains(':') { "::1" } else { "127.0.0.1" };
    format!("PROXY {family} {source} {destination} {port} 7878\r\n").into_bytes()
}

/// Of version 2, with something behind the addresses that is to be skipped.
fn v2(source: &str, port: u16) -> Vec<u8> {
    let ports = [port, 7878].map(u16::to_be_bytes).concat();
    let tlv = [4, 0, 3, 1, 2, 3];
    let (family, addresses) = match source.parse::<Ipv4Addr>() {
        Ok(source) => (0x11, [source.octets(), [127, 0, 0, 1]].concat()),
        Err(_) => {
            let source: Ipv6Addr = source.parse().unwrap();
            (0x21, [source.octets(), Ipv6Addr::LOCALHOST.octets()].concat())
        }
    };
    v2_of(0x21, family, &[&addresses[..], &ports, &tlv].concat())
}

fn v2_of(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, block].concat()
}

fn connect_as(address: &Listen, header: &[u8]) -> Client {
    let mut client = Client::connect(address);
    client.send(header);
    client
}

/// Waits until the server closes the connection, and checks that it has not said a word.
fn assert_closed_without_a_word(client: &Client, what: &str) {
    client.socket().set_read_timeout(Some(PATIENCE)).unwrap();
    let mut socket = client.socket();
    match socket.read(&mut [0; 100]) {
        Ok(0) => {}
        // What it has sent was not read.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn whoever_begins_with_a_header_is_served() {
    let server = serve(|_| {});
    assert!(server.addresses()[0].to_string().starts_with("proxy+127.0.0.1:"));
    assert!(server.addresses()[1].to_string().starts_with("proxy+unix:"));
    for address in &server.addresses()[..2] {
        for header in [
            v1("192.0.2.7", 4711),
            v1("2001:db8::7", 4711),
            v2("192.0.2.7", 4711),
            v2("2001:db8::7", 4711),
            v2_of(0x20, 0, b""),
            v2_of(0x21, 0x31, &[b'x'; 216]),
            v2_of(0x21, 0x11, &[0; 4080]),
            b"PROXY UNKNOWN\r\n".to_vec(),
        ] {
            // The lines later, in the same packet, and cut off within the header's last bytes.
            let mut client = connect_as(address, &header);
            client.nothing_more();
            let request = join("room");
            let mut client = connect_as(address, &[&header[..], request.as_bytes(), b"\n"].concat());
            assert_eq!(client.recv_line(), common::response(&request));
            let mut client = connect_as(address, &header[..header.len() - 1]);
            client.send([&header[header.len() - 1..], b"[]\n[]"].concat());
            client.finish_sending();
            for _ in 0..2 {
                assert!(client.recv_line().contains("Not a JSON object"));
            }
            client.expect_end();
        }
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let server = serve(|_| {});
    for address in &server.addresses()[..2] {
        for header in [v1("192.0.2.7", 4711), v2("2001:db8::7", 4711)] {
            let mut client = Client::connect(address);
            for byte in [&header[..], b"[]\n"].concat() {
                client.send([byte]);
                std::thread::park_timeout(Duration::from_millis(2));
            }
            assert!(client.recv_line().contains("Not a JSON object"));
            client.nothing_more();
        }
    }
}

/// More than is read for the header at once, in one piece with it.
#[test]
fn nothing_behind_a_header_is_lost() {
    let server = serve(|_| {});
    for address in &server.addresses()[..2] {
        let mut client = connect_as(address, &[v1("192.0.2.7", 1), b"[]\n".repeat(20_000)].concat());
        for _ in 0..20_000 {
            assert!(client.recv_line().contains("Not a JSON object"));
        }
        client.nothing_more();
    }
}

#[test]
fn the_address_in_the_header_counts_for_the_limit() {
    let server = serve(|options| options.max_clients_per_ip = 1);
    let [tcp, unix, plain] = [0, 1, 2].map(|at| server.addresses()[at].clone());
    let mut first: Vec<Client> = [
        (&tcp, v1("192.0.2.1", 1)),
        (&unix, v1("192.0.2.2", 1)),
        (&unix, v2("::ffff:192.0.2.3", 1)),
        (&tcp, v2("2001:db8::1", 1)),
    ]
    .iter()
    .map(|(address, header)| connect_as(address, header))
    .collect();
    first.iter_mut().for_each(Client::nothing_more);
    // The proxy's own address, where the header gives none; over a Unix socket there is none.
    let mut local = connect_as(&tcp, b"PROXY UNKNOWN\r\n");
    local.nothing_more();
    let mut locals: Vec<Client> = (0..3)
        .map(|_| connect_as(&unix, &v2_of(0x20, 0x11, &[1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4])))
        .collect();
    locals.iter_mut().for_each(Client::nothing_more);

    for (address, header) in [
        (&tcp, v2("192.0.2.1", 2)),
        (&unix, v1("192.0.2.1", 2)),
        (&tcp, v1("::ffff:192.0.2.2", 2)),
        (&tcp, v1("192.0.2.3", 2)),
        // Of IPv6, a /64 is one address.
        (&tcp, v1("2001:db8::ffff", 2)),
        (&tcp, v2_of(0x20, 0, b"")),
        (&plain, Vec::new()),
    ] {
        let mut second = connect_as(address, &header);
        second.expect_farewell("Too many clients: your address");
    }
    first.iter_mut().for_each(Client::nothing_more);
}

#[test]
fn whoever_begins_otherwise_is_closed_without_a_word() {
    let server = serve(|_| {});
    let long = [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat();
    let cases: &[&[u8]] = &[
        b"{\"action\":\"JOIN ROOM\",\"room_id\":1}\n",
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY UNKNOWN\n",
        b"proxy UNKNOWN\r\n",
        &long,
        &v2_of(0x22, 0x11, &[0; 12]),
        &v2_of(0x21, 0x11, &[0; 11]),
        &v2_of(0x21, 0x11, &[0; 4081]),
    ];
    for address in &server.addresses()[..2] {
        for case in cases {
            let client = connect_as(address, case);
            assert_closed_without_a_word(&client, &String::from_utf8_lossy(case));
        }
        for begun in [&b""[..], b"PROXY UNKN", V2] {
            let mut client = connect_as(address, begun);
            client.finish_sending();
            assert_closed_without_a_word(&client, "an end within the header");
        }
    }
    let counters = server.stop();
    assert_eq!((counters.accepted, counters.requests), (0, 0), "they were no clients");
}

#[test]
fn behind_the_header_other_protocols_are_told_so() {
    let server = serve(|_| {});
    for address in &server.addresses()[..2] {
        for foreign in ["GET / HTTP/1.1\r\n\r\n", "PROXY UNKNOWN\r\n"] {
            let mut client = connect_as(address, &[&v1("192.0.2.1", 1)[..], foreign.as_bytes()].concat());
            client.expect_farewell("Wrong protocol");
        }
    }
}

#[test]
fn one_more_than_may_wait_and_the_oldest_goes() {
    let server = serve(|_| {});
    let address = &server.addresses()[0];
    let mut waiting: Vec<Client> = (0..WAITING_MAX + 40).map(|_| Client::connect(address)).collect();
    for (number, client) in waiting.drain(..40).enumerate() {
        assert_closed_without_a_word(&client, &format!("number {number}"));
    }
    // All others are still there, and so are those who came by another way.
    for client in &mut waiting {
        client.send(v1("192.0.2.1", 1));
        client.nothing_more();
    }
    let mut another: Vec<Client> = (0..WAITING_MAX).map(|_| Client::connect(address)).collect();
    waiting.iter_mut().for_each(Client::nothing_more);
    another[0].send(v2("192.0.2.2", 1));
    another[0].nothing_more();
    let counters = server.stop();
    assert_eq!(counters.accepted as usize, WAITING_MAX + 1);
    for client in &another[1..] {
        assert_closed_without_a_word(client, "the server has stopped");
    }
}

fn binary(arguments: &[&str]) -> (Parlor, Listen) {
    let mut parlor = Parlor::start(&[&["--listen", "proxy+127.0.0.1:0"], arguments].concat());
    let address = parlor.address();
    let address = address.strip_prefix("proxy+").expect("the prefix as given");
    (parlor, address.parse().unwrap())
}

/// Ten seconds for the header, but not counted while the process stands still: here it is stopped for longer, and the
/// rest of one header comes meanwhile.
#[test]
fn whoever_is_too_slow_is_closed_unless_it_was_the_server() {
    let (mut parlor, address) = binary(&[]);
    let header = v1("192.0.2.1", 4711);
    let (begin, rest) = header.split_at(9);
    let slow = connect_as(&address, begin);
    let mut stopped_over = connect_as(&address, begin);
    // It has read these, for it answers somebody who came later.
    connect_as(&address, &header).nothing_more();
    parlor.signal("STOP");
    std::thread::sleep(Duration::from_secs(12));
    stopped_over.send(rest);
    parlor.signal("CONT");
    stopped_over.nothing_more();
    assert_closed_without_a_word(&slow, "too slow");
    parlor.line("why", |line| line.ends_with("closed: no PROXY header came in time"));
    stopped_over.nothing_more();
    drop(stopped_over);
    assert_eq!(parlor.stop().code, Some(0));
}

#[test]
fn the_log_names_the_address_that_the_header_gives() {
    let (mut parlor, address) = binary(&["--max-clients-per-ip", "1"]);
    let mut first = connect_as(&address, &v2("::ffff:203.0.113.7", 4711));
    first.nothing_more();
    connect_as(&address, &v1("203.0.113.7", 4712)).expect_farewell("Too many clients");
    parlor.line("who was refused", |line| {
        line.contains("203.0.113.7:4712: disconnected: Too many clients") && !line.contains("127.0.0.1")
    });
    let stranger = connect_as(&address, b"hello\n");
    assert_closed_without_a_word(&stranger, "hello");
    let from = stranger.local_address().unwrap();
    parlor.line("who was closed", |line| {
        line.ends_with(&format!("{from}: closed: it began with no PROXY header"))
    });
}

/// Those who have not said who they are make room for those who have.
#[test]
#[cfg(target_os = "linux")]
fn when_descriptors_are_short_those_who_wait_go_first() {
    let mut parlor =
        Parlor::start_with_descriptors(64, &["--listen", "proxy+127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let [behind_proxy, plain] = [parlor.address(), parlor.address()];
    let behind_proxy = behind_proxy.strip_prefix("proxy+").unwrap().parse().unwrap();
    let plain = plain.parse().unwrap();
    let silent: Vec<Client> = (0..80).map(|_| Client::connect(&behind_proxy)).collect();
    let mut client = Client::connect(&plain);
    client.send_line("[]");
    let deadline = Instant::now() + PATIENCE;
    while !client.hears_within(Duration::from_millis(100)) {
        assert!(Instant::now() < deadline, "it does not get in: {:#?}", parlor.log_so_far());
    }
    client.recv_line();
    client.nothing_more();
    drop(silent);
    drop(client);
    assert_eq!(parlor.stop().code, Some(0));
}
