//! Listeners `https:`: what `http:` serves, over TLS.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::client::{Client, connect, usual};
use crate::common::{self, TestServer, join, response, say};
use crate::{VERSIONS, listen, serve};

fn serve_https() -> (TestServer, SocketAddr) {
    let server = serve(|options| {
        options.listen = ["https:127.0.0.1:0", "127.0.0.1:0", "metrics:127.0.0.1:0"].map(listen).to_vec();
    });
    let address = server.addresses()[0].socket_address().unwrap();
    (server, address)
}

/// As a browser is: it offers HTTP/2, too.
fn browser(version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&usual(version));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Reads at least so many decrypted bytes, or up to the end.
fn read(client: &mut Client, least: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while all.len() < least {
        match client.tls.reader().read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                client.tls.read_tls(&mut client.socket)?;
                client.tls.process_new_packets().map_err(io::Error::other)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// One text message in one frame; those of clients are masked, here with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let head: &[u8] = if length < 126 { &[0x81, 0x80 | length as u8] } else { &[0x81, 0x80 | 126] };
    let longer: &[u8] = if length < 126 { &[] } else { &length.to_be_bytes() };
    [head, longer, &[0; 4], text.as_bytes()].concat()
}

/// The next text message of the server.
fn message(client: &mut Client) -> String {
    let head = read_exactly(client, 2);
    assert_eq!(head[0], 0x81, "a text message");
    let length = match head[1] {
        126 => u16::from_be_bytes(read_exactly(client, 2).try_into().unwrap()).into(),
        length => usize::from(length),
    };
    String::from_utf8(read_exactly(client, length)).unwrap()
}

fn read_exactly(client: &mut Client, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let mut buffer = vec![0; count - bytes.len()];
        match client.tls.reader().read(&mut buffer) {
            Ok(read) => {
                assert_ne!(read, 0, "not the end");
                bytes.extend_from_slice(&buffer[..read]);
            }
            Err(_) => {
                client.tls.read_tls(&mut client.socket).unwrap();
                client.tls.process_new_packets().unwrap();
            }
        }
    }
    bytes
}

#[test]
fn the_page_comes_over_http_1_1() {
    let (_server, address) = serve_https();
    for version in VERSIONS {
        let mut client = Client::connect(address, &browser(version));
        assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // Up to close_notify: an end without it is an error.
        let page = read(&mut client, usize::MAX).unwrap();
        assert!(page.starts_with(b"HTTP/1.1 200 "), "{:.100}", String::from_utf8_lossy(&page));
        assert!(page.ends_with(b"</html>\n") || page.ends_with(b"</html>"));
    }
}

#[test]
fn web_sockets_talk_with_plain_clients() {
    let (server, address) = serve_https();
    let mut plain = common::Client::connect(&server.addresses()[1]);
    plain.join("room");
    for version in VERSIONS {
        let mut client = Client::connect(address, &browser(version));
        client.send(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(read_exactly(&mut client, 1));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        client.send(frame(&join("room")));
        assert_eq!(message(&mut client), response(&join("room")));
        let long = say("room", &"x".repeat(15_000));
        // Two messages in one record, and one in two.
        client.send([frame("[]"), frame(&long)].concat());
        assert!(message(&mut client).contains("Not a JSON object"));
        assert_eq!(message(&mut client), response(&long));
        assert!(message(&mut client).contains("GET MESSAGE"));
        assert_eq!(plain.recv_json()["text"].as_str().unwrap().len(), 15_000);
        plain.say("room", "to the browser");
        assert!(message(&mut client).contains("to the browser"));
        assert_eq!(plain.recv_json()["text"], "to the browser");
        // Close with 1000, which is answered, and then close_notify.
        client.send([0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]);
        assert_eq!(read_exactly(&mut client, 4), [0x88, 2, 3, 0xe8]);
        assert!(read(&mut client, 1).unwrap().is_empty());
    }
    plain.nothing_more();
}

#[test]
fn http_in_the_clear_gets_a_400() {
    let (_server, address) = serve_https();
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "{}\n"] {
        let mut socket = connect(address);
        io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn metrics_tell_when_the_certificate_expires() {
    let (server, _) = serve_https();
    let mut socket = connect(server.addresses()[2].socket_address().unwrap());
    io::Write::write_all(&mut socket, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    // What the authority of the tests gives by default: the first of January 4096.
    assert!(answer.contains("\nparlor_certificate_expiry_timestamp_seconds 67090118400\n"), "{answer}");
}
