//! The files of certificates: what is wrong with them, what is told of them, and reading them again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use crate::client::{Client, config, usual};
use crate::files::Authority;
use crate::process::{Directory, Parlor, run};
use crate::{SHARED, VERSIONS, binary};

/// The binary with these files; it ends with one line that names all of `words`.
fn assert_refused(directory: &Directory, [cert, key, ca]: [&str; 3], words: &[&str]) {
    let path = |name: &str| directory.file(name).display().to_string();
    let [cert, key, ca] = [path(cert), path(key), if ca.is_empty() { String::new() } else { path(ca) }];
    let mut arguments =
        vec!["--log", "off", "--listen", "tls:127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    if !ca.is_empty() {
        arguments.extend(["--tls-client-ca", &ca]);
    }
    let ended = run(&arguments);
    assert_eq!((ended.code, ended.log.len()), (Some(1), 1), "{words:?}: {ended:?}");
    for word in words {
        assert!(ended.log[0].contains(word), "{word:?}: {ended:?}");
    }
}

#[test]
fn each_fault_has_its_line() {
    let directory = Directory::new();
    let authority = Authority::new();
    let (identity, other) = (authority.sign_server(), authority.sign_server());
    identity.write(&directory, "good");
    other.write(&directory, "other");
    let write = |name: &str, bytes: &[u8]| fs::write(directory.file(name), bytes).unwrap();
    write("empty", b"");
    write("der", identity.chain()[0].as_ref());
    write("cut", &identity.certificate.as_bytes()[..identity.certificate.len() - 10]);
    write("cut.key", &identity.key.as_bytes()[..identity.key.len() - 10]);
    write("no base64", identity.certificate.replace('A', "?").as_bytes());
    write("no certificate", identity.certificate.replace("MII", "MIA").as_bytes());
    write("reversed", [authority.pem(), identity.certificate.clone()].concat().as_bytes());
    write("encrypted.key", identity.key.replace("PRIVATE", "ENCRYPTED PRIVATE").as_bytes());
    write("odd.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    write("large", &vec![b'\n'; (1 << 20) + 1]);
    fs::create_dir(directory.file("directory")).unwrap();
    for (files, words) in [
        (["missing", "good.key", ""], &["--tls-cert", "missing", "No such file"][..]),
        (["good.crt", "missing", ""], &["--tls-key", "missing", "No such file"]),
        (["good.crt", "good.key", "missing"], &["--tls-client-ca", "missing", "No such file"]),
        (["directory", "good.key", ""], &["--tls-cert", "no regular file"]),
        (["large", "good.key", ""], &["--tls-cert", "larger than 1M"]),
        (["empty", "good.key", ""], &["--tls-cert", "empty", "no certificate in PEM"]),
        (["good.key", "good.key", ""], &["--tls-cert", "good.key", "no certificate in PEM"]),
        (["der", "good.key", ""], &["--tls-cert", "DER", "PEM"]),
        (["cut", "good.key", ""], &["--tls-cert", "cut", "no end"]),
        (["no base64", "good.key", ""], &["--tls-cert", "base64"]),
        (["no certificate", "good.key", ""], &["--tls-cert", "certificate 1 cannot be read"]),
        (["reversed", "good.key", ""], &["--tls-key", "must come first"]),
        (["good.crt", "good.crt", ""], &["--tls-key", "good.crt", "no private key in PEM"]),
        (["good.crt", "cut.key", ""], &["--tls-key", "cut.key", "no end"]),
        (["good.crt", "encrypted.key", ""], &["--tls-key", "encrypted"]),
        (["good.crt", "odd.key", ""], &["--tls-key", "none that can be used"]),
        (["good.crt", "other.key", ""], &["--tls-key", "other.key", "does not fit", "good.crt"]),
        (["good.crt", "good.key", "empty"], &["--tls-client-ca", "no certificate in PEM"]),
        (["good.crt", "good.key", "no certificate"], &["--tls-client-ca", "certificate 1"]),
    ] {
        assert_refused(&directory, files, words);
    }
}

#[test]
fn keys_of_all_usual_kinds_serve() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let directory = Directory::new();
        SHARED.authority.sign_server_with(|_| {}, algorithm).write(&directory, "server");
        let (_parlor, address) = binary(&directory, &[]);
        for version in VERSIONS {
            Client::connect(address, &usual(version)).assert_served();
        }
    }
}

/// What it has logged until it listens, and a moment behind.
fn log_of(directory: &Directory) -> Vec<String> {
    let (parlor, address) = binary(directory, &[]);
    Client::connect(address, &usual(VERSIONS[1])).assert_served();
    parlor.stop().log
}

fn is_told(log: &[String], words: &str) -> bool {
    log.iter().any(|line| line.contains(" WARN ") && line.contains(words))
}

#[test]
fn a_key_that_others_may_read_is_warned_of() {
    let directory = Directory::new();
    SHARED.authority.sign_server().write(&directory, "server");
    for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        fs::set_permissions(directory.file("server.key"), Permissions::from_mode(mode)).unwrap();
        let log = log_of(&directory);
        assert_eq!(
            is_told(&log, &format!("others may use it (its permissions are {mode:o})")),
            warned,
            "{log:#?}"
        );
    }
}

#[test]
fn a_certificate_that_expires_soon_is_warned_of() {
    let in_days = |days: i64| {
        let directory = Directory::new();
        let until =
            std::time::SystemTime::now() + std::time::Duration::from_secs(days as u64 * 86_400 - 3600);
        let change = |parameters: &mut rcgen::CertificateParams| parameters.not_after = until.into();
        SHARED.authority.sign_server_with(change, &PKCS_ECDSA_P256_SHA256).write(&directory, "server");
        log_of(&directory)
    };
    assert!(!is_told(&in_days(16), "expires on"));
    let log = in_days(14);
    assert!(is_told(&log, ", in 13 days"), "{log:#?}");
    let log = in_days(1);
    assert!(is_told(&log, ", in 0 days"), "{log:#?}");
}

#[test]
fn an_expired_certificate_is_warned_of() {
    let directory = Directory::new();
    let change =
        |parameters: &mut rcgen::CertificateParams| parameters.not_after = rcgen::date_time_ymd(2020, 2, 29);
    SHARED.authority.sign_server_with(change, &PKCS_ECDSA_P256_SHA256).write(&directory, "server");
    let (mut parlor, _) = binary(&directory, &[]);
    parlor.line("a warning", |line| line.contains(" WARN ") && line.ends_with("has expired on 2020-02-29"));
}

/// New connections get the new certificate and those that are there go on; a fault changes nothing; whoever was let in
/// with a ticket of before does not get in with it.
#[test]
fn sighup_reads_the_files_again() {
    let directory = Directory::new();
    let (before, after) = (Authority::new(), Authority::new());
    before.sign_server().write(&directory, "server");
    let (mut parlor, address) = binary(&directory, &[]);
    let [trusts_before, trusts_after] =
        [&before, &after].map(|authority| config(&[VERSIONS[1]], authority, None));
    let mut old = Client::connect(address, &trusts_before);
    old.assert_served();

    let told_after = |parlor: &mut Parlor, words: &str| {
        parlor.signal("HUP");
        parlor.line("what came of it", |line| line.contains("SIGHUP") && line.contains(words));
    };
    for fault in ["", "-----BEGIN CERTIFICATE-----\nAA\n"] {
        fs::write(directory.file("server.crt"), fault).unwrap();
        told_after(&mut parlor, "the old certificates stay: --tls-cert");
        Client::connect(address, &trusts_before).assert_served();
    }
    fs::write(directory.file("server.crt"), after.sign_server().certificate).unwrap();
    told_after(&mut parlor, "the old certificates stay: --tls-key");

    after.sign_server().write(&directory, "server");
    told_after(&mut parlor, "have been read again");
    let mut new = Client::connect(address, &trusts_after);
    new.assert_served();
    old.assert_served();
    let mut again = Client::connect(address, &trusts_after);
    assert!(again.is_resumed());
    again.assert_served();
    told_after(&mut parlor, "have been read again");
    assert!(!Client::connect(address, &trusts_after).is_resumed(), "a ticket of before is worth nothing");
    let mut stranger = Client::begin(crate::client::connect(address), &trusts_before);
    assert!(stranger.complete().is_err(), "it does not know the new one");
    old.assert_served();
    assert_eq!(parlor.stop().code, Some(0));
}
