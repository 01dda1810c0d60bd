//! The client's side of TLS, by rustls. Only in builds with the cargo feature `tls`.
//!
//! Whatever certificate a server shows is taken: nothing here is secret, and checking it would be work that has nothing to
//! do with the server. Each handshake is a full one, but for [`Via::TlsResumed`](super::Via::TlsResumed): then a client
//! shows a ticket that an earlier one was given.

use std::io::{BufRead, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme};

use super::{Address, Ending, Layer};

/// Tickets are kept for each name of a server, a few for each. So that many clients at once find one, each server has many
/// names.
const NAMES: usize = 64;

/// So many servers have their tickets kept.
const SERVERS: usize = 4;

/// Tickets that are kept for one name, as rustls counts them.
const TICKETS: usize = 8;

static FULL: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(Resumption::disabled()));
static RESUMED: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let tickets = Arc::new(ClientSessionMemoryCache::new(SERVERS * NAMES * TICKETS));
    config(Resumption::store(tickets))
});

fn config(resumption: Resumption) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.resumption = resumption;
    Arc::new(config)
}

/// One connection.
pub struct Tls(ClientConnection);

impl Tls {
    /// A connection to the server at this address. `resumes`: it shows a ticket, if there is one.
    pub fn new(address: &Address, resumes: bool) -> Tls {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (config, number) = match resumes {
            true => (&*RESUMED, NEXT.fetch_add(1, Ordering::Relaxed) % NAMES),
            false => (&*FULL, 0),
        };
        let port = if let Address::Tcp(address) = address { address.port() } else { 0 };
        let name = format!("name-{number}.server-{port}.invalid");
        let name = ServerName::try_from(name).expect("it is a name");
        let mut session = ClientConnection::new(config.clone(), name).expect("this host has random numbers");
        // What waits is bounded by what a scenario has under way.
        session.set_buffer_limit(None);
        Tls(session)
    }

    /// Appends the records that are ready to go.
    fn write(&mut self, wire: &mut Vec<u8>) {
        while self.0.wants_write() {
            self.0.write_tls(wire).expect("there is no end to a vector");
        }
    }

    /// Takes what rustls has decrypted.
    fn read(&mut self, plain: &mut Vec<u8>) {
        let mut reader = self.0.reader();
        // An error is the end, or that there is nothing now.
        while let Ok(bytes) = reader.fill_buf() {
            if bytes.is_empty() {
                break;
            }
            plain.extend_from_slice(bytes);
            let count = bytes.len();
            reader.consume(count);
        }
    }
}

impl Layer for Tls {
    fn open(&mut self, wire: &mut Vec<u8>) {
        self.write(wire);
    }

    fn is_open(&self) -> bool {
        !self.0.is_handshaking()
    }

    fn is_resumed(&self) -> bool {
        self.0.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn receive(&mut self, mut input: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Ending> {
        while !input.is_empty() {
            let was_open = self.is_open();
            let read = self.0.read_tls(&mut input as &mut dyn Read);
            read.map_err(|error| Ending::Wrong(format!("TLS: {error}")))?;
            let processed = self.0.process_new_packets();
            self.read(plain);
            self.write(wire);
            let state = processed.map_err(|error| match was_open {
                true => Ending::Wrong(format!("TLS: {error}")),
                false => Ending::Refused(format!("no TLS: {error}")),
            })?;
            if state.peer_has_closed() {
                return Err(Ending::Closed("close_notify".to_owned()));
            }
        }
        Ok(())
    }

    fn send(&mut self, plain: &mut Vec<u8>, wire: &mut Vec<u8>) {
        self.0.writer().write_all(plain).expect("it takes what it is given");
        plain.clear();
        self.write(wire);
    }

    fn close(&mut self, wire: &mut Vec<u8>) {
        if self.is_open() {
            self.0.send_close_notify();
            self.write(wire);
        }
    }
}

/// Says yes to every certificate and every signature.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
