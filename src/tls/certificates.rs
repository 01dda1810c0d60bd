//! The files of `--tls-cert`, `--tls-key` and `--tls-client-ca`, read at the start and again on SIGHUP. Every fault is told
//! in one line that names the option and the file.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use super::Tls;
use super::expiry::{Moment, not_after};
use crate::batch::Memory;
use crate::options::Options;

/// No file of certificates is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// So long before a certificate expires it is told.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl Files {
    /// What the options name, if they name a certificate and its key.
    pub fn of(options: &Options) -> Option<Files> {
        let (cert, key) = (options.tls_cert.clone()?, options.tls_key.clone()?);
        Some(Files { cert, key, client_ca: options.tls_client_ca.clone() })
    }
}

/// What new connections get to see. One that has begun keeps what it began with.
#[derive(Debug)]
pub struct Acceptor {
    lines: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    cert: PathBuf,
    expires_at: Option<Moment>,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// The fault in one line.
    pub fn load(files: &Files) -> Result<Acceptor, String> {
        let provider = Arc::new(ring::default_provider());
        let certified_key = certified_key(files, &provider)?;
        let expires_at = certified_key.cert.first().and_then(|certificate| not_after(certificate));
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(client_roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let fault = |error| fault("tls-client-ca", path, error);
                builder.with_client_cert_verifier(verifier.map_err(fault)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified_key)));
        // The keys of tickets are new each time. So a ticket of somebody whose certificate was signed by one that
        // `--tls-client-ca` no longer names is worth nothing.
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let mut http = config.clone();
        // Whoever asks for HTTP/1.0 gets as far as without TLS.
        http.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        let (lines, http) = (Arc::new(config), Arc::new(http));
        warn_of_permissions(&files.key);
        Ok(Acceptor { lines, http, cert: files.cert.clone(), expires_at })
    }

    /// Begins a connection: its handshake is to follow. `is_http` is for `https:`. Its buffers are counted in `memory`.
    ///
    /// # Errors
    /// rustls's, if the host has no random numbers.
    pub fn begin<T>(&self, inner: T, is_http: bool, memory: &Memory) -> Result<Tls<T>, rustls::Error> {
        let config = if is_http { &self.http } else { &self.lines };
        Tls::new(inner, config.clone(), memory)
    }

    /// When the server's certificate expires. `None` if it has no date that can be read.
    pub fn expires_at(&self) -> Option<Moment> {
        self.expires_at
    }

    /// What is to be told of the certificate's age, if anything is.
    pub fn complaint(&self, now: Moment) -> Option<String> {
        let (expires_at, cert) = (self.expires_at?, self.cert.display());
        let Some(left) = now.until(expires_at) else {
            return Some(format!("the certificate in {cert} has expired on {expires_at}"));
        };
        let days = left.as_secs() / (24 * 60 * 60);
        (left <= EXPIRES_SOON)
            .then(|| format!("the certificate in {cert} expires on {expires_at}, in {days} days"))
    }
}

fn fault(option: &str, path: &Path, why: impl Display) -> String {
    format!("--{option} {}: {why}", path.display())
}

/// The server's chain with its key, which fit each other.
fn certified_key(files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = certificates("tls-cert", &files.cert)?;
    let fault = |why: &str| fault("tls-key", &files.key, why);
    let text = read("tls-key", &files.key)?;
    // Of PKCS#8, and as older programs write it.
    if contains(&text, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(&text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(fault("the key is encrypted; the server has nobody to ask for its passphrase"));
    }
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => fault("there is no private key in PEM in it"),
        error => fault(why_no_pem(&error)),
    })?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| {
        fault(
            "the key is none that can be used: RSA of 2048 to 4096 bits, ECDSA with P-256 or P-384, Ed25519",
        )
    })?;
    let fits = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match().is_ok()
    };
    match chain.iter().position(fits) {
        Some(0) => Ok(CertifiedKey::new(chain, key)),
        Some(_) => {
            Err(fault("the key fits a later certificate of the chain; the server's own must come first"))
        }
        None => Err(fault(&format!("the key does not fit the certificate in {}", files.cert.display()))),
    }
}

/// Who signs the certificates of clients.
fn client_roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates("tls-client-ca", path)?.into_iter().enumerate() {
        let why = |error| fault("tls-client-ca", path, format!("certificate {}: {error}", number + 1));
        roots.add(certificate).map_err(why)?;
    }
    Ok(roots)
}

/// All certificates in a file, at least one.
fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(option, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| fault(option, path, why_no_pem(&error)))?;
    if found.is_empty() {
        // What DER begins with.
        let is_der = text.starts_with(&[0x30, 0x82]);
        let why =
            if is_der { "this is DER, but it has to be PEM" } else { "there is no certificate in PEM in it" };
        return Err(fault(option, path, why));
    }
    for (number, certificate) in found.iter().enumerate() {
        ParsedCertificate::try_from(certificate).map_err(|error| {
            fault(option, path, format!("certificate {} cannot be read: {error}", number + 1))
        })?;
    }
    Ok(found)
}

/// What a file holds. It has to be an ordinary one: others can make the reader wait.
fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        if !fs::metadata(path)?.is_file() {
            return Ok(Err("it is no regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(if bytes.len() as u64 > FILE_BYTES_MAX { Err("it is larger than 1M") } else { Ok(bytes) })
    };
    read()
        .map_err(|error: std::io::Error| fault(option, path, error))?
        .map_err(|why| fault(option, path, why))
}

/// The errors of the parser hold parts of the file, which may be those of a key.
fn why_no_pem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section of PEM in it has no end",
        pem::Error::IllegalSectionStart { .. } => "a section of PEM in it has no proper beginning",
        pem::Error::Base64Decode(_) => "a section of PEM in it is no base64",
        _ => "it is no PEM",
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fn warn_of_permissions(key: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode());
    // A group that may read it has been given that on purpose: distributions have one for keys.
    if mode & 0o007 != 0 {
        let mode = mode & 0o777;
        log::warn!(
            "--tls-key {}: others may use it (its permissions are {mode:o}); try chmod o=",
            key.display()
        );
    }
}
