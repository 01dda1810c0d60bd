//! TLS over the socket of a link: who is trusted, and a stream that shakes hands, reads and writes without waiting.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Whose certificates are trusted.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Those in the file, or those of the system.
    pub fn new(ca: Option<&Path>) -> io::Result<Trust> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(path) => add_file(&mut roots, path)?,
            None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        }
        if roots.is_empty() {
            let what = ca.map_or("the system has".into(), |path| format!("{} holds", path.display()));
            return Err(io::Error::other(format!("{what} no certificates to trust")));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        Ok(Trust(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
    }

    /// TLS over this socket, to the server of this `HOST:PORT`.
    pub fn stream(&self, socket: TcpStream, address: &str) -> io::Result<TlsStream> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // No certificate has the zone of a link-local address.
        let host = host.split_once('%').map_or(host, |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)?;
        Ok(TlsStream { socket, session })
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> io::Result<()> {
    let wrong = |why: &dyn std::fmt::Display| io::Error::other(format!("--ca {}: {why}", path.display()));
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    Ok(())
}

/// A connection with TLS.
pub struct TlsStream {
    socket: TcpStream,
    session: ClientConnection,
}

impl TlsStream {
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Goes on with the handshake; whether it is done.
    pub fn shake_hands(&mut self) -> io::Result<bool> {
        while self.session.is_handshaking() {
            match self.flush().and_then(|()| self.receive()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether something that was taken is not in the socket yet.
    pub fn holds_output(&self) -> bool {
        self.session.wants_write()
    }

    /// Sends close_notify, if the socket takes it.
    pub fn say_goodbye(&mut self) {
        self.session.send_close_notify();
        let _ = self.flush();
    }

    /// Takes what the socket has, and decrypts it. The end of the stream is an error only during the handshake; after
    /// that the reader tells whether it was an orderly one.
    fn receive(&mut self) -> io::Result<()> {
        if self.session.read_tls(&mut self.socket)? == 0 && self.session.is_handshaking() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.session.process_new_packets().map(drop).map_err(|error| {
            // The server is told why.
            let _ = self.session.write_tls(&mut self.socket);
            io::Error::new(ErrorKind::InvalidData, explain(error))
        })
    }
}

/// What is wrong with the server's certificate, in words.
fn explain(error: rustls::Error) -> String {
    use rustls::{CertificateError as Fault, Error};
    let Error::InvalidCertificate(fault) = error else { return error.to_string() };
    let why = match &fault {
        Fault::UnknownIssuer => {
            "nobody that is trusted has signed it; --ca FILE trusts whoever is in FILE".to_owned()
        }
        Fault::Expired | Fault::ExpiredContext { .. } => "it has expired".to_owned(),
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => fault.to_string(),
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "it is an authority's; make one with -addext basicConstraints=critical,CA:FALSE".to_owned()
        }
        other => format!("{other}; --ca FILE trusts whoever is in FILE"),
    };
    format!("the server's certificate is not accepted: {why}")
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.receive()?,
                outcome => return outcome,
            }
        }
    }
}

impl Write for TlsStream {
    /// Takes what fits into the session's buffer; [`Write::flush`] gives it to the socket.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}
