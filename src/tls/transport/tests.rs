//! The transport over a pair of pipes in memory, which take and give as little as a test wants.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::rc::Rc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;

/// What is on its way, and how much may be at once in the direction of the client.
#[derive(Debug, Default)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    room: usize,
    /// The most that one call gives or takes.
    piece: usize,
    is_cut: bool,
    is_finished: bool,
}

/// The server's end.
#[derive(Clone, Debug)]
struct Below(Rc<RefCell<Wire>>);

impl Transport for Below {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut wire = self.0.borrow_mut();
        let count = wire.to_server.len().min(buffer.len()).min(wire.piece);
        if count == 0 {
            return Ok(if wire.is_cut { Received::End(End::Closed) } else { Received::Nothing });
        }
        for (place, byte) in buffer.iter_mut().zip(wire.to_server.drain(..count)) {
            *place = byte;
        }
        Ok(Received::Bytes { count, drained: false })
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        let mut wire = self.0.borrow_mut();
        let count = bytes.len().min(wire.room - wire.to_client.len()).min(wire.piece);
        wire.to_client.extend(&bytes[..count]);
        Ok(if count == 0 { Sent::Blocked } else { Sent::Bytes(count) })
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        self.0.borrow_mut().is_finished = true;
        Ok(true)
    }
}

struct Pair {
    server: Tls<Below>,
    client: ClientConnection,
    wire: Rc<RefCell<Wire>>,
    memory: Memory,
}

impl Pair {
    /// Both ends of a connection whose handshake is done.
    fn open(version: &'static SupportedProtocolVersion, piece: usize) -> Pair {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client =
            ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap()).unwrap();
        let wire = Rc::new(RefCell::new(Wire { room: 1 << 20, piece, ..Wire::default() }));
        let memory = Memory::default();
        let server = Tls::new(Below(wire.clone()), Arc::new(config), &memory).unwrap();
        let mut pair = Pair { server, client, wire, memory };
        loop {
            pair.turn_client();
            match pair.server.handshake() {
                Progress::Done => break,
                Progress::Wait | Progress::GoOn => {}
                other => panic!("{other:?}"),
            }
        }
        pair.turn_client();
        pair
    }

    /// The client sends and takes what there is.
    fn turn_client(&mut self) {
        let mut wire = self.wire.borrow_mut();
        let mut sent = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut sent).unwrap();
        }
        wire.to_server.extend(sent);
        while !wire.to_client.is_empty() && self.client.read_tls(&mut wire.to_client).unwrap() > 0 {
            self.client.process_new_packets().unwrap();
        }
    }

    fn client_says(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(16 << 10) {
            self.client.writer().write_all(part).unwrap();
            self.turn_client();
        }
    }

    /// What the client has got.
    fn client_hears(&mut self) -> Vec<u8> {
        let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            self.turn_client();
            match self.client.reader().read(&mut buffer) {
                Ok(count) if count > 0 => heard.extend_from_slice(&buffer[..count]),
                _ => return heard,
            }
        }
    }

    /// What the server gets in buffers of this size, and how the input ended, if it did.
    fn server_hears(&mut self, buffer_bytes: usize) -> (Vec<u8>, Option<End>) {
        let (mut heard, mut buffer) = (Vec::new(), vec![0; buffer_bytes]);
        loop {
            match self.server.receive(&mut buffer).unwrap() {
                Received::Bytes { count, .. } => heard.extend_from_slice(&buffer[..count]),
                Received::Nothing => return (heard, None),
                Received::End(end) => return (heard, Some(end)),
            }
        }
    }
}

#[test]
fn all_comes_through_however_small_the_pieces_and_an_idle_connection_holds_nothing() {
    for version in [&TLS12, &TLS13] {
        for (piece, buffer_bytes) in
            [(usize::MAX, 64 << 10), (usize::MAX, 10), (7, 64 << 10), (1000, 1), (20_000, 3000)]
        {
            let mut pair = Pair::open(version, piece);
            assert_eq!((pair.memory.bytes(), pair.server.held()), (0, 0));
            let text: Vec<u8> = (0..40_000_u32).map(|number| (number % 251) as u8).collect();
            pair.client_says(&text);
            assert_eq!(pair.server_hears(buffer_bytes), (text.clone(), None));
            assert_eq!(pair.memory.bytes(), 0, "all was taken");

            let (mut sent, mut scratch) = (0, Vec::new());
            let mut heard = Vec::new();
            while sent < text.len() || pair.server.held() > 0 {
                if sent < text.len()
                    && let Sent::Bytes(count) = pair.server.send(&text[sent..], &mut scratch).unwrap()
                {
                    sent += count;
                }
                pair.server.flush().unwrap();
                heard.extend(pair.client_hears());
            }
            assert_eq!(heard, text);
            assert_eq!(pair.server.held(), 0);
        }
    }
}

/// One record is encrypted ahead of what the socket takes, and no more.
#[test]
fn what_the_socket_does_not_take_stays_unencrypted() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::open(version, usize::MAX);
        pair.wire.borrow_mut().room = 100;
        let (text, mut scratch) = (vec![b'x'; 100_000], Vec::new());
        assert_eq!(pair.server.send(&text, &mut scratch).unwrap(), Sent::Bytes(RECORD_BYTES));
        let held = pair.server.held();
        assert!((RECORD_BYTES - 100..RECORD_BYTES + OVERHEAD_BYTES).contains(&held), "{held}");
        assert_eq!(pair.server.send(&text, &mut scratch).unwrap(), Sent::Blocked);
        assert!(!pair.server.finish(None).unwrap(), "the goodbye stands behind it");
        pair.wire.borrow_mut().room = 1 << 20;
        assert!(pair.server.finish(None).unwrap());
        assert!(pair.wire.borrow().is_finished);
        assert_eq!(pair.client_hears(), vec![b'x'; RECORD_BYTES]);
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn the_output_outlives_the_input() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::open(version, usize::MAX);
        pair.client_says(b"unfinished");
        pair.client.send_close_notify();
        pair.turn_client();
        assert_eq!(pair.server_hears(4096), (b"unfinished".to_vec(), Some(End::Goodbye)));
        assert_eq!(pair.server.send(b"an answer\n", &mut Vec::new()).unwrap(), Sent::Bytes(10));
        assert!(pair.server.finish(None).unwrap());
        assert_eq!(pair.client_hears(), b"an answer\n");
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
        // What comes behind means nothing, until the peer has closed.
        pair.wire.borrow_mut().to_server.extend(b"whatever");
        pair.wire.borrow_mut().is_cut = true;
        assert_eq!(pair.server_hears(4096).1, Some(End::Closed));
    }
}

#[test]
fn an_end_without_a_goodbye_is_a_truncation() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::open(version, usize::MAX);
        pair.client_says(b"unfinished");
        // A record that was cut, too.
        pair.wire.borrow_mut().to_server.extend([0x17, 3, 3, 0, 100, 1, 2, 3]);
        assert_eq!(pair.server_hears(4096), (b"unfinished".to_vec(), None));
        assert!(pair.memory.bytes() >= 8, "the beginning of a record is counted");
        assert_eq!(pair.server.input_bytes(), pair.memory.bytes());
        pair.wire.borrow_mut().is_cut = true;
        assert_eq!(pair.server_hears(4096), (Vec::new(), Some(End::Truncated)));
        assert_eq!(pair.memory.bytes(), 0);
        assert_eq!(pair.server.send(b"an answer\n", &mut Vec::new()).unwrap(), Sent::Bytes(10));
        assert!(pair.server.finish(None).unwrap());
        assert_eq!(pair.client_hears(), b"an answer\n");
    }
}

/// Neither before nor after the server's own goodbye does anything that comes panic, or mean anything.
#[test]
fn records_that_are_none() {
    for version in [&TLS12, &TLS13] {
        for bytes in [
            &[0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20][..],
            &[0x17, 3, 3, 0xff, 0xff, 1, 2, 3],
            &[0x16, 3, 3, 0, 4, 1, 2, 3, 4],
            &[0x15, 3, 3, 0, 2, 2, 40],
            &[0x14, 3, 3, 0, 1, 1],
            &[0xff; 100],
        ] {
            for is_finished in [false, true] {
                let mut pair = Pair::open(version, usize::MAX);
                pair.client_says(b"before");
                pair.wire.borrow_mut().to_server.extend(bytes);
                if is_finished {
                    assert!(pair.server.finish(None).unwrap());
                    pair.wire.borrow_mut().is_cut = true;
                    assert_eq!(pair.server_hears(4096).1, Some(End::Closed));
                } else {
                    let (heard, end) = pair.server_hears(4096);
                    assert_eq!((&heard[..], end), (&b"before"[..], Some(End::Truncated)), "{bytes:x?}");
                    assert!(pair.server.send(b"x\n", &mut Vec::new()).is_err());
                    assert!(pair.server.finish(None).unwrap());
                }
                assert_eq!((pair.memory.bytes(), pair.server.held()), (0, 0));
            }
        }
    }
}

#[test]
fn what_begins_otherwise_is_no_tls() {
    let pair = Pair::open(&TLS13, usize::MAX);
    let config = {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    };
    for byte in 0..=255 {
        pair.wire.borrow_mut().to_server.clear();
        pair.wire.borrow_mut().to_server.push_back(byte);
        let mut server = Tls::new(Below(pair.wire.clone()), Arc::new(config.clone()), &pair.memory).unwrap();
        let progress = server.handshake();
        if byte == HANDSHAKE {
            assert!(matches!(progress, Progress::GoOn), "{progress:?}");
        } else {
            assert!(matches!(progress, Progress::NoTls), "{byte}: {progress:?}");
        }
    }
}

/// Hundreds of records can come with one read, and the budget is told of them.
#[test]
fn small_records_are_more_work_than_their_bytes() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::open(version, usize::MAX);
        let mut buffer = vec![0; 64 << 10];
        pair.client_says(&[b' '; 1000]);
        assert!(matches!(pair.server.receive(&mut buffer).unwrap(), Received::Bytes { count: 1000, .. }));
        assert_eq!(pair.server.receive_ns(), RECORD_NS);
        (0..100).for_each(|_| pair.client_says(b" "));
        assert!(matches!(pair.server.receive(&mut buffer).unwrap(), Received::Bytes { count: 100, .. }));
        assert_eq!(pair.server.receive_ns(), 100 * RECORD_NS);
        assert_eq!(pair.server.receive(&mut buffer).unwrap(), Received::Nothing);
        assert_eq!(pair.server.receive_ns(), 0);
    }
    // New keys are still more.
    let mut pair = Pair::open(&TLS13, usize::MAX);
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..100 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.client_says(b" ");
    }
    assert!(matches!(pair.server.receive(&mut buffer).unwrap(), Received::Bytes { count: 100, .. }));
    assert_eq!(pair.server.receive_ns(), 100 * (RECORD_NS + OTHER_RECORD_NS));
}
