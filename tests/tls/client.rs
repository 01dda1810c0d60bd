//! A client over TLS. Every wait has a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, SupportedProtocolVersion};

use crate::SHARED;
use crate::files::{Authority, Identity};
use crate::process::PATIENCE;

pub struct Client {
    pub tls: ClientConnection,
    pub socket: TcpStream,
    received: Vec<u8>,
}

/// How a client may be configured.
pub fn config(
    versions: &[&'static SupportedProtocolVersion],
    authority: &Authority,
    identity: Option<&Identity>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(authority.roots());
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.private_key()).unwrap(),
    })
}

/// One that trusts the tests' authority.
pub fn usual(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    config(&[version], &SHARED.authority, None)
}

impl Client {
    /// Connects, with the handshake.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
        let mut client = Client::begin(connect(address), config);
        client.complete().expect("the handshake");
        client
    }

    /// A connection whose handshake is still to be done.
    pub fn begin(socket: TcpStream, config: &Arc<ClientConfig>) -> Client {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(config.clone(), name).unwrap();
        Client { tls, socket, received: Vec::new() }
    }

    /// Does the handshake.
    pub fn complete(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket)?;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        for part in bytes.as_ref().chunks(16 << 10) {
            self.tls.writer().write_all(part)?;
            self.flush()?;
        }
        Ok(())
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server reads");
    }

    /// Sends what is encrypted byte by byte.
    pub fn send_in_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.tls.writer().write_all(bytes.as_ref()).unwrap();
        self.trickle();
    }

    /// Sends what waits byte by byte.
    pub fn trickle(&mut self) {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        for byte in records {
            self.socket.write_all(&[byte]).unwrap();
        }
    }

    /// Says that no more will come, and goes on reading.
    pub fn say_goodbye(&mut self) {
        self.tls.send_close_notify();
        self.flush().unwrap();
    }

    /// Ends what is sent without a word.
    pub fn cut(&mut self) {
        // The server may have been quicker.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// The next line without its `\n`; `None` if the server has said that it is done.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut searched = 0;
        loop {
            if let Some(length) = self.received[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.received.split_off(searched + length + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.pop();
                return Ok(Some(String::from_utf8(line).expect("the server writes UTF-8")));
            }
            searched = self.received.len();
            let mut buffer = [0; 16 << 10];
            match self.tls.reader().read(&mut buffer) {
                Ok(0) if self.received.is_empty() => return Ok(None),
                Ok(0) => return Err(ErrorKind::InvalidData.into()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.tls.read_tls(&mut self.socket)?;
                    let processed = self.tls.process_new_packets();
                    self.flush()?;
                    processed.map_err(io::Error::other)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub fn line(&mut self) -> String {
        self.next_line().expect("a line").expect("a line, not the end")
    }

    /// Sends a request, which must be carried out.
    pub fn expect_ok(&mut self, request: impl AsRef<str>) {
        self.send(format!("{}\n", request.as_ref()));
        assert_eq!(self.line(), crate::common::response(request.as_ref()));
    }

    /// It is served, and nothing else waits for it.
    pub fn assert_served(&mut self) {
        self.send("[]\n");
        let line = self.line();
        assert!(line.contains("Not a JSON object"), "{line}");
    }

    /// The server has said that it is done, and closes.
    pub fn expect_end(&mut self) {
        let line = self.next_line().expect("close_notify");
        assert_eq!(line, None);
        assert_eq!(self.socket.read(&mut [0]).unwrap_or(0), 0, "nothing comes behind close_notify");
    }

    pub fn expect_farewell(&mut self, words: &str) {
        let line = self.line();
        assert!(crate::common::is_error(&line, "null", words), "{words} expected, not {line}");
        self.expect_end();
    }

    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}
