//! Listeners over TLS, on real sockets, with rustls as the client, and with strangers: `openssl s_client`, curl, Node, Python's
//! `ssl`. Where such a program is missing its part is passed over, unless PARLOR_DEMAND_PROGRAMS is set.

#![cfg(feature = "tls")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
#[allow(dead_code)]
mod process;

mod certificates;
mod client;
mod conversations;
mod endings;
mod files;
mod forger;
mod handshakes;
mod hostile;
#[cfg(feature = "web")]
mod https;
mod offered;
mod recipes;
mod strangers;
mod talk;

use std::net::SocketAddr;
use std::sync::LazyLock;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use common::TestServer;
use files::Authority;
use parlor::options::{Listen, Options};
use process::{Directory, Parlor};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// What all tests share: an authority, and the files of a server that it has signed.
struct Shared {
    authority: Authority,
    directory: Directory,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let (authority, directory) = (Authority::new(), Directory::new());
    authority.sign_server().write(&directory, "server");
    std::fs::write(directory.file("authority.crt"), authority.pem()).unwrap();
    Shared { authority, directory }
});

fn listen(text: &str) -> Listen {
    text.parse().unwrap()
}

/// A server within the test, at `tls:`, plain TCP and `proxy+tls:`.
fn serve(change: impl FnOnce(&mut Options)) -> TestServer {
    TestServer::with(|options| {
        options.listen = ["tls:127.0.0.1:0", "127.0.0.1:0", "proxy+tls:127.0.0.1:0"].map(listen).to_vec();
        options.tls_cert = Some(SHARED.directory.file("server.crt"));
        options.tls_key = Some(SHARED.directory.file("server.key"));
        change(options);
    })
}

/// Where a server speaks TLS.
fn tls_of(server: &TestServer) -> SocketAddr {
    server.addresses()[0].socket_address().unwrap()
}

/// The binary, with the files `server.crt` and `server.key` of a directory.
fn binary(directory: &Directory, arguments: &[&str]) -> (Parlor, SocketAddr) {
    let [cert, key] = ["server.crt", "server.key"].map(|name| directory.file(name).display().to_string());
    let own = ["--listen", "tls:127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let mut parlor = Parlor::start(&[&own, arguments].concat());
    let address = parlor.address();
    (parlor, address.strip_prefix("tls:").expect("the prefix as given").parse().unwrap())
}
