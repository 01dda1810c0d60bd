//! Certificates and their keys, made for a test.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::process::Directory;

/// Somebody who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "An authority of tests");
        Authority(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// For a server on this host.
    pub fn sign_server(&self) -> Identity {
        self.sign_server_with(|_| {}, &PKCS_ECDSA_P256_SHA256)
    }

    pub fn sign_server_with(
        &self,
        change: impl FnOnce(&mut CertificateParams),
        algorithm: &'static SignatureAlgorithm,
    ) -> Identity {
        let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, change, algorithm)
    }

    /// For a server on this host that has its key already. The certificate, in PEM.
    pub fn sign_key(&self, key: &KeyPair) -> String {
        let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
        CertificateParams::new(names).unwrap().signed_by(key, &self.0).unwrap().pem()
    }

    /// Another authority, whose certificate is signed by this one.
    pub fn sign_authority(&self) -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "An authority in between");
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::signed_by(parameters, key, &self.0).unwrap())
    }

    /// For a client.
    pub fn sign_client(&self) -> Identity {
        let names = vec!["client.example".to_string()];
        self.sign(names, ExtendedKeyUsagePurpose::ClientAuth, |_| {}, &PKCS_ECDSA_P256_SHA256)
    }

    fn sign(
        &self,
        names: Vec<String>,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
        algorithm: &'static SignatureAlgorithm,
    ) -> Identity {
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.extended_key_usages.push(purpose);
        change(&mut parameters);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// Writes it to `NAME.crt` and `NAME.key`.
    pub fn write(&self, directory: &Directory, name: &str) {
        let key = directory.file(&format!("{name}.key"));
        fs::write(&key, &self.key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(directory.file(&format!("{name}.crt")), &self.certificate).unwrap();
    }

    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()]
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}
