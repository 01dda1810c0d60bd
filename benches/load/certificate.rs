//! A certificate for the servers that speak TLS: one that signs itself, with a key on the curve P-256, as most have today.
//! All of them get the same kind, so that their handshakes are the same work.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertifiedKey, generate_simple_self_signed};

/// Its files, in PEM.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Both in one.
    pub both: PathBuf,
}

/// Makes a new one, with files in this folder.
pub fn write(folder: &Path) -> io::Result<Files> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).map_err(|error| io::Error::other(error.to_string()))?;
    let file = |name: &str, text: &str| -> io::Result<PathBuf> {
        let path = folder.join(name);
        // Nobody else may read the key.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    };
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    Ok(Files {
        certificate: file("certificate.pem", &certificate)?,
        key: file("key.pem", &key)?,
        both: file("both.pem", &(certificate + &key))?,
    })
}
