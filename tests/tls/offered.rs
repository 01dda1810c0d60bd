//! What is offered and what is not, as scanners of TLS look at it: with `openssl s_client`, which is told to offer one
//! thing at a time, and with the weak ones that it would not offer by itself.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use crate::common::TestServer;
#[cfg(feature = "web")]
use crate::listen;
use crate::process::Directory;
use crate::strangers::has;
use crate::{SHARED, serve, tls_of};

/// Suites of TLS 1.2 that are offered for a key of each kind, and those of 1.3.
const ECDSA: [&str; 3] =
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];
const RSA: [&str; 3] =
    ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"];
const TLS13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// What `openssl s_client` says of a server when nothing is typed.
fn scan(server: &TestServer, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &tls_of(server).to_string(), "-servername", "localhost"]);
    let Output { stdout, stderr, .. } = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
}

/// The suite that was agreed on, if one was.
fn suite(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once(", Cipher is ")?;
    rest.lines().next().filter(|&suite| suite != "(NONE)")
}

/// A server whose key is of openssl's making.
fn serve_with_rsa() -> TestServer {
    let directory = Directory::new();
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "RSA"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    std::fs::write(directory.file("key"), &key).unwrap();
    let certificate = SHARED.authority.sign_key(&rcgen::KeyPair::from_pem(&key).unwrap());
    std::fs::write(directory.file("crt"), certificate).unwrap();
    serve(|options| {
        options.tls_cert = Some(directory.file("crt"));
        options.tls_key = Some(directory.file("key"));
    })
}

#[test]
fn of_all_suites_that_there_are_only_the_good_ones() {
    if !has("openssl", "version") {
        return;
    }
    let list = Command::new("openssl").args(["ciphers", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let old: Vec<&str> = list.trim().split(':').filter(|suite| !suite.starts_with("TLS_")).collect();
    assert!(old.len() > 60 && old.contains(&"AES128-SHA"), "{old:?}");
    for (server, wanted) in [(serve(|_| {}), ECDSA), (serve_with_rsa(), RSA)] {
        // Whichever it takes is not offered again, until it takes none.
        let (mut left, mut taken) = (old.clone(), BTreeSet::new());
        loop {
            let said = scan(&server, &["-tls1_2", "-cipher", &format!("{}:@SECLEVEL=0", left.join(":"))]);
            let Some(suite) = self::suite(&said) else {
                break assert!(said.contains("alert handshake failure"), "{said}");
            };
            left.retain(|&other| other != suite);
            taken.insert(suite.to_owned());
        }
        assert_eq!(taken, BTreeSet::from(wanted.map(String::from)));
        for suite in [&TLS13[..], &["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"]].concat() {
            let said = scan(&server, &["-tls1_3", "-ciphersuites", suite]);
            assert_eq!(self::suite(&said), TLS13.contains(&suite).then_some(suite));
        }
    }
}

#[test]
fn what_is_agreed_on_and_what_is_refused() {
    if !has("openssl", "version") {
        return;
    }
    let server = serve(|_| {});
    const ALL: &str = "ALL:@SECLEVEL=0";
    for (arguments, words) in [
        // Versions.
        (&["-tls1", "-cipher", ALL][..], "alert"),
        (&["-tls1_1", "-cipher", ALL], "alert"),
        (&["-no_tls1_3", "-no_tls1_2", "-cipher", ALL], "alert"),
        (&["-tls1_2"], "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"),
        (&["-tls1_3"], "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"),
        (&[], "New, TLSv1.3"),
        // Key exchange: with forward secrecy, and over these curves alone.
        (&["-tls1_2", "-groups", "X25519:P-256"], "Server Temp Key: X25519"),
        (&["-tls1_3", "-groups", "X25519"], "Server Temp Key: X25519"),
        (&["-tls1_2", "-groups", "P-256"], "Server Temp Key: ECDH, prime256v1"),
        (&["-tls1_3", "-groups", "P-384"], "Server Temp Key: ECDH, secp384r1"),
        (&["-tls1_3", "-groups", "P-521:X25519"], "Server Temp Key: X25519"),
        (&["-tls1_3", "-groups", "P-521"], "alert handshake failure"),
        (&["-tls1_3", "-groups", "ffdhe2048"], "alert handshake failure"),
        (&["-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"], "alert handshake failure"),
        (&["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"], "alert handshake failure"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"], "alert handshake failure"),
        (&["-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"], "alert handshake failure"),
        // Signatures.
        (&["-tls1_2", "-sigalgs", "ECDSA+SHA256"], "Peer signing digest: SHA256"),
        (&["-tls1_2", "-cipher", ALL, "-sigalgs", "ECDSA+SHA1"], "alert handshake failure"),
        (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], "alert handshake failure"),
        // The rest.
        (&["-tls1_2", "-comp"], "Compression: NONE"),
        (&["-tls1_3"], "Early data was not sent"),
        (&["-tls1_2"], "Secure Renegotiation IS supported"),
        (&["-tls1_2"], "Extended master secret: yes"),
        (&["-tls1_3", "-alpn", "http/1.1"], "No ALPN negotiated"),
        (&["-tls1_2", "-nextprotoneg", "http/1.1"], "No ALPN negotiated"),
        (&["-tls1_3", "-status"], "OCSP response: no response sent"),
    ] {
        let said = scan(&server, arguments);
        assert!(said.contains(words), "{arguments:?}: {words:?} expected\n{said}");
    }
}

#[test]
fn tickets_of_1_3_allow_no_early_data_and_renegotiation_is_refused() {
    if !has("openssl", "version") {
        return;
    }
    let server = serve(|_| {});
    let said = talk(&server, &["-tls1_3", "-nocommands"], "[]\n");
    assert!(said.contains("Max Early Data: 0"), "{said}");
    let said = talk(&server, &["-tls1_2"], "R\n");
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
}

/// As [`scan`], with something typed. It is over when the server has said something, or has gone.
fn talk(server: &TestServer, arguments: &[&str], typed: &str) -> String {
    let mut command = Command::new("timeout");
    command.args([
        "60",
        "openssl",
        "s_client",
        "-connect",
        &tls_of(server).to_string(),
        "-servername",
        "localhost",
    ]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The input stays open: its end would be the end.
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, typed.as_bytes()).unwrap();
    let mut said = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    while std::io::BufRead::read_line(&mut output, &mut said).unwrap() > 0 && !said.contains("\n{\"action\"")
    {
    }
    drop(input);
    std::io::Read::read_to_string(&mut output, &mut said).unwrap();
    let rest = child.wait_with_output().unwrap();
    said + &String::from_utf8_lossy(&rest.stderr)
}

#[test]
#[cfg(feature = "web")]
fn https_agrees_on_http_1_1() {
    if !has("openssl", "version") {
        return;
    }
    let server = serve(|options| options.listen = vec![listen("https:127.0.0.1:0")]);
    for (arguments, words) in [
        (&["-alpn", "h2,http/1.1"][..], "ALPN protocol: http/1.1"),
        (&["-tls1_2", "-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
        (&[], "No ALPN negotiated"),
        (&["-alpn", "h2,http/1.0"], "ALPN protocol: http/1.0"),
        (&["-alpn", "h2"], "alert no application protocol"),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "alert"),
    ] {
        let said = scan(&server, arguments);
        assert!(said.contains(words), "{arguments:?}: {words:?} expected\n{said}");
    }
}
