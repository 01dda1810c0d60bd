//! The client over TLS, against a made-up server.
//!
//! `tls/certificate.pem` and its key are for these tests alone. They were made with
//! `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost`,
//! for the name `localhost`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::process::Parlor;
use crate::running::{Running, run};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chat/tls/certificate.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chat/tls/key.pem");

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A server that carries out everything and sends everything back, up to so many requests. Then it goes, with or
/// without a goodbye. Returns the port.
fn serve(requests: usize, says_goodbye: bool) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let certificates = vec![CertificateDer::from_pem_file(CERTIFICATE).unwrap()];
    let key = PrivateKeyDer::from_pem_file(KEY).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(session, socket));
            // A client that goes is no failure here; what it says of it is looked at.
            let _ = talk(&mut stream, requests);
            if says_goodbye {
                stream.get_mut().conn.send_close_notify();
                let _ = stream.get_mut().flush();
            }
        }
    });
    port
}

fn talk(stream: &mut BufReader<Stream>, requests: usize) -> std::io::Result<()> {
    for _ in 0..requests {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            break;
        }
        let request: Value = serde_json::from_str(&line).unwrap();
        let mut reply = json!({"action": "RESPONSE", "request": request, "message": "OK"}).to_string();
        if let Some(text) = request.get("text") {
            let room = &request["room_id"];
            let message = json!({"action": "GET MESSAGE", "room_id": room, "author": "tester", "text": text});
            reply = format!("{reply}\n{message}");
        }
        stream.get_mut().write_all(format!("{reply}\n").as_bytes())?;
    }
    Ok(())
}

fn address(port: u16) -> String {
    format!("tls:localhost:{port}")
}

#[test]
fn lines_go_out_and_messages_come_in() {
    let port = serve(usize::MAX, true);
    // More than fits into the buffers on the way.
    let line = "x".repeat(1000);
    let input: String = (0..3000).map(|number| format!("{number} {line}\n")).collect();
    let ended = run(&address(port), &["--ca", CERTIFICATE, "ops"], input);
    assert_eq!((ended.code, ended.errors), (Some(0), vec![]));
    assert_eq!(ended.output.len(), 3000);
    for (number, printed) in ended.output.iter().enumerate() {
        assert_eq!(*printed, format!("[ops] tester: {number} {line}"));
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused() {
    let port = serve(usize::MAX, true);
    let ended = run(&address(port), &["--send", "hi", "ops"], "");
    assert_eq!((ended.code, ended.errors.len()), (Some(1), 1), "{:?}", ended.errors);
    assert!(ended.errors[0].contains("certificate"), "{:?}", ended.errors);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let port = serve(usize::MAX, true);
    let server = format!("tls:127.0.0.1:{port}");
    let ended = run(&server, &["--ca", CERTIFICATE, "--send", "hi", "ops"], "");
    assert_eq!((ended.code, ended.errors.len()), (Some(1), 1), "{:?}", ended.errors);
    assert!(ended.errors[0].contains("not valid for name"), "{:?}", ended.errors);
}

#[test]
fn a_file_without_certificates_is_told() {
    for (file, word) in [("/nonexistent.pem", "/nonexistent.pem"), (KEY, "no certificates to trust")] {
        let ended = run("tls:localhost:1", &["--ca", file, "--send", "hi", "ops"], "");
        assert_eq!((ended.code, ended.errors.len()), (Some(1), 1), "{:?}", ended.errors);
        assert!(ended.errors[0].contains(word), "{:?}", ended.errors);
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told() {
    let (_server, plain) = Parlor::serve(&[]);
    let port = plain.rsplit_once(':').unwrap().1;
    let ended = run(&format!("tls:localhost:{port}"), &["--ca", CERTIFICATE, "--send", "hi", "ops"], "");
    assert_eq!((ended.code, ended.errors.len()), (Some(1), 1), "{:?}", ended.errors);
    assert!(ended.errors[0].contains("cannot connect"), "{:?}", ended.errors);
}

#[test]
fn the_end_is_seen_with_and_without_a_goodbye() {
    for says_goodbye in [true, false] {
        let port = serve(2, says_goodbye);
        let running = Running::start(&address(port), &["--ca", CERTIFICATE, "--listen", "ops"]);
        let ended = running.ended();
        assert_eq!(ended.code, Some(1));
        let expected = format!("parlor-chat: connection to {} lost: the server has closed it", address(port));
        assert_eq!(ended.errors, [expected], "with a goodbye: {says_goodbye}");
    }
}
