//! A client that has shaken hands as it should, and then sends whatever records a test makes up.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    ClientConfig, ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use crate::client::{Client, connect, usual};

/// Never answers, and never says goodbye.
pub struct Forger {
    pub socket: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    pub fn connect(address: SocketAddr, version: &'static SupportedProtocolVersion) -> Forger {
        let mut config = ClientConfig::clone(&usual(version));
        config.enable_secret_extraction = true;
        let mut client = Client::begin(connect(address), &Arc::new(config));
        client.complete().expect("the handshake");
        client.assert_served();
        let suite = client.tls.negotiated_cipher_suite().unwrap();
        let Client { tls, socket, .. } = client;
        let (sequence, keys) = tls.dangerous_extract_secrets().unwrap().tx;
        let (key, iv) = match keys {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            other => panic!("{:?}", std::mem::discriminant(&other)),
        };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = iv.as_ref().split_at(4);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        Forger { socket, encrypter, sequence }
    }

    /// The next record, encrypted.
    pub fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        self.sequence += 1;
        self.encrypter.encrypt(message, self.sequence - 1).unwrap().encode()
    }

    /// Sends so many records. The server may have had enough before they are all out.
    pub fn send(&mut self, typ: ContentType, payload: &[u8], times: usize) {
        let records: Vec<u8> = (0..times).flat_map(|_| self.record(typ, payload)).collect();
        let _ = self.socket.write_all(&records);
    }

    pub fn say(&mut self, text: impl AsRef<[u8]>) {
        self.send(ContentType::ApplicationData, text.as_ref(), 1);
    }
}
