//! The files of certificates: what is wrong with them, what is told of them, and reading them again.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::ClientConfig;
use rustls::crypto::ring;

use crate::client::{Client, config, usual};
use crate::files::Authority;
use crate::process::{Directory, Parlor, run};
use crate::strangers::has;
use crate::{SHARED, VERSIONS, binary, serve, tls_of};

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

/// Runs openssl; what it prints.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Keys as openssl makes them, in all forms in which it writes them, and files with more in them than is wanted.
#[test]
fn keys_and_certificates_of_openssl_serve_in_all_their_forms() {
    if !has("openssl", "version") {
        return;
    }
    for kind in [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "ED25519"],
    ] {
        let directory = Directory::new();
        let file = |name: &str| directory.file(name).display().to_string();
        let pkcs8 = openssl(&[&["genpkey"], kind].concat());
        fs::write(file("pkcs8"), &pkcs8).unwrap();
        let certificate = SHARED.authority.sign_key(&rcgen::KeyPair::from_pem(&pkcs8).unwrap());
        fs::write(file("plain.crt"), &certificate).unwrap();
        let text = openssl(&["x509", "-in", &file("plain.crt"), "-text"]);
        assert!(text.starts_with("Certificate:") && text.contains("-----BEGIN"), "{text}");
        // PKCS#1 of RSA, SEC1 of EC; behind the latter's parameters, which `openssl ecparam -genkey` writes too.
        let traditional = match kind {
            [_, "ED25519"] => pkcs8.clone(),
            _ => openssl(&["pkey", "-in", &file("pkcs8"), "-traditional"]),
        };
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        assert_eq!(traditional.contains("BEGIN PRIVATE KEY"), kind.contains(&"ED25519"));
        let windows = |text: &str| text.replace('\n', "\r\n");
        for (certificate, key) in [
            (certificate.clone(), pkcs8.clone()),
            (certificate.clone(), traditional.clone()),
            (certificate.clone(), [parameters, &traditional].concat()),
            (
                text,
                ["Bag Attributes\n    friendlyName: chat\nKey Attributes: <No Attributes>\n", &pkcs8]
                    .concat(),
            ),
            (windows(&certificate), windows(&pkcs8)),
            ([&*pkcs8, &certificate].concat(), [&*certificate, &traditional].concat()),
        ] {
            fs::write(file("server.crt"), &certificate).unwrap();
            fs::write(file("server.key"), &key).unwrap();
            let server = serve(|options| {
                options.tls_cert = Some(directory.file("server.crt"));
                options.tls_key = Some(directory.file("server.key"));
            });
            for version in VERSIONS {
                Client::connect(tls_of(&server), &usual(version)).assert_served();
            }
        }
    }
}

#[test]
fn keys_that_are_too_weak_or_too_strange_are_refused() {
    if !has("openssl", "version") {
        return;
    }
    let directory = Directory::new();
    let identity = SHARED.authority.sign_server();
    identity.write(&directory, "good");
    for (name, kind) in [
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..]),
        ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
        ("k1", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"]),
        ("ed448", &["-algorithm", "ED448"]),
    ] {
        fs::write(directory.file(name), openssl(&[&["genpkey"], kind].concat())).unwrap();
        assert_refused(
            &directory,
            ["good.crt", name, ""],
            &["--tls-key", name, "none that can be used", "RSA of 2048"],
        );
    }
    let encrypted = openssl(&["genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:secret"]);
    fs::write(directory.file("encrypted"), &encrypted).unwrap();
    assert_refused(&directory, ["good.crt", "encrypted", ""], &["--tls-key", "encrypted", "passphrase"]);
    let old = ["rsa", "-in", &directory.file("encrypted").display().to_string(), "-passin", "pass:secret"]
        .map(String::from);
    let old: Vec<&str> =
        old.iter().map(String::as_str).chain(["-traditional", "-aes256", "-passout", "pass:x"]).collect();
    fs::write(directory.file("encrypted"), openssl(&old)).unwrap();
    assert_refused(&directory, ["good.crt", "encrypted", ""], &["--tls-key", "encrypted", "passphrase"]);
}

/// Who trusts only the root needs all that is in between, and gets it.
#[test]
fn chains_are_sent_whole() {
    let between = SHARED.authority.sign_authority();
    let identity = between.sign_server();
    let directory = Directory::new();
    for is_whole in [true, false] {
        identity.write(&directory, "server");
        if is_whole {
            let chain = [identity.certificate.clone(), between.pem(), SHARED.authority.pem()].concat();
            fs::write(directory.file("server.crt"), chain).unwrap();
        }
        let server = serve(|options| {
            options.tls_cert = Some(directory.file("server.crt"));
            options.tls_key = Some(directory.file("server.key"));
        });
        for version in VERSIONS {
            let mut client = Client::begin(crate::client::connect(tls_of(&server)), &usual(version));
            let is_in = client.complete();
            assert_eq!(is_in.is_ok(), is_whole, "{is_in:?}");
            if is_whole {
                assert_eq!(client.tls.peer_certificates().unwrap().len(), 3);
                client.assert_served();
            }
        }
    }
}

/// Certificates are exchanged again and again, with faults in between, while clients come and talk: nobody is kept out,
/// and nobody who is in notices.
#[test]
fn sighup_under_load() {
    let directory = Directory::new();
    let authorities = [Authority::new(), Authority::new()];
    let identities = [0, 1].map(|index: usize| authorities[index].sign_server());
    identities[0].write(&directory, "server");
    let (mut parlor, address) = binary(&directory, &[]);
    let trusts_both = |version| {
        let mut roots = authorities[0].roots();
        roots.extend(authorities[1].roots().roots);
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
        Arc::new(builder.with_no_client_auth())
    };
    let over = AtomicBool::new(false);
    let (came, met) = thread::scope(|scope| {
        let comers: Vec<_> = VERSIONS
            .map(|version| {
                let (over, config) = (&over, trusts_both(version));
                scope.spawn(move || {
                    let mut old = Client::connect(address, &config);
                    let (mut came, mut met) = (0, Vec::new());
                    while !over.load(Ordering::Relaxed) {
                        let mut client = Client::connect(address, &config);
                        client.assert_served();
                        old.assert_served();
                        if let Some([certificate, ..]) = client.tls.peer_certificates() {
                            met.push(certificate.clone().into_owned());
                        }
                        came += 1;
                    }
                    (came, met)
                })
            })
            .into();
        for round in 1..=20 {
            identities[round % 2].write(&directory, "server");
            let is_good = round % 4 != 3;
            if !is_good {
                fs::write(directory.file("server.key"), ["", "rubbish", &identities[0].key][round % 3])
                    .unwrap();
            }
            parlor.signal("HUP");
            let words = if is_good { "have been read again" } else { "the old certificates stay" };
            parlor.line("what came of it", |line| line.contains("SIGHUP") && line.contains(words));
        }
        over.store(true, Ordering::Relaxed);
        let ends = comers.into_iter().map(|comer| comer.join().expect("they all get in"));
        ends.fold((0, Vec::new()), |(came, met), (more, others)| (came + more, [met, others].concat()))
    });
    println!("{came} came and met {} certificates", met.len());
    assert!(met.iter().all(|met| identities.iter().any(|identity| identity.chain()[0] == *met)));
    assert_eq!(parlor.stop().code, Some(0));
}

/// Clients do not go for those who are none yet, however little memory there is.
#[test]
fn handshakes_that_take_all_memory_go_first() {
    let server = serve(|options| options.max_memory = 1 << 20);
    let mut client = Client::connect(tls_of(&server), &usual(VERSIONS[1]));
    let mut plain = crate::common::Client::connect(&server.addresses()[1]);
    // Something is held for them.
    client.send("[");
    plain.send("[");
    // The beginning of a long message, of which much more has to come.
    let long = [&[0x16, 3, 1, 0x30, 0, 1, 0, 200, 0][..], &[0; 0x2ffc]].concat();
    let mut unfinished: Vec<_> = (0..200)
        .map(|_| {
            let mut socket = crate::client::connect(tls_of(&server));
            socket.write_all(&long).unwrap();
            socket
        })
        .collect();
    plain.send("]\n");
    assert!(plain.recv_line().contains("Not a JSON object"));
    client.send("]\n");
    assert!(client.line().contains("Not a JSON object"));
    unfinished.truncate(1);
    client.assert_served();
    assert_eq!(server.stop().disconnected.iter().take(4).sum::<u64>(), 0);
}
