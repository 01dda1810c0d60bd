//! The recipes for those who have a proxy, with the proxies themselves: `haproxy`, `nginx` with its module for streams
//! (Debian: `libnginx-mod-stream`) and `stunnel`. Where one is missing its part is passed over, unless
//! PARLOR_DEMAND_PROGRAMS is set. The README shows the same recipes.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, usual};
use crate::common::{self, TestServer, join, response};
use crate::process::{Directory, PATIENCE};
use crate::strangers::has;
use crate::{SHARED, VERSIONS, listen};

/// A proxy in front of a server. Both end with it.
struct Proxy {
    child: Child,
    address: SocketAddr,
    server: TestServer,
    _directory: Directory,
}

impl Proxy {
    /// Starts a program with a recipe, in which addresses and files are those of the test.
    fn start(recipe: &str, start: impl FnOnce(&str) -> Command) -> Proxy {
        let server = TestServer::with(|options| {
            options.listen = ["proxy+127.0.0.1:0", "127.0.0.1:0"].map(listen).to_vec();
            options.max_clients_per_ip = 3;
        });
        let directory = Directory::new();
        let file = |name: &str| SHARED.directory.file(name);
        let both = [file("server.crt"), file("server.key")].map(|path| fs::read_to_string(path).unwrap());
        fs::write(directory.file("both.pem"), both.concat()).unwrap();
        // Somebody else can take it in between, but hardly will.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let recipe = recipe
            .replace("0.0.0.0:7879", &address.to_string())
            .replace("127.0.0.1:7880", &server.addresses()[0].socket_address().unwrap().to_string())
            .replace("DIRECTORY", directory.file("").to_str().unwrap())
            .replace("/etc/ssl/chat.pem", file("server.crt").to_str().unwrap())
            .replace("/etc/ssl/chat.key", file("server.key").to_str().unwrap())
            .replace("/etc/haproxy/chat.pem", directory.file("both.pem").to_str().unwrap())
            .replace("/etc/stunnel/chat.crt", file("server.crt").to_str().unwrap())
            .replace("/etc/stunnel/chat.key", file("server.key").to_str().unwrap());
        fs::write(directory.file("recipe"), recipe).unwrap();
        let mut command = start(directory.file("recipe").to_str().unwrap());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the proxy does not listen");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Proxy { child, address, server, _directory: directory }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines go through in both directions, a goodbye too; and the client's address counts.
fn assert_works(proxy: &Proxy) {
    let mut plain = common::Client::connect(&proxy.server.addresses()[1]);
    plain.join("room");
    for version in VERSIONS {
        let mut client = Client::connect(proxy.address, &usual(version));
        client.expect_ok(join("room"));
        plain.say("room", "through the proxy");
        assert!(client.line().contains("through the proxy"));
        assert_eq!(plain.recv_json()["text"], "through the proxy");
        client.assert_served();
        // Its goodbye is the end of its input, what it has sent last is carried out, and it gets the reply.
        let last = common::say("room", "last");
        client.send(&last);
        client.say_goodbye();
        assert_eq!(client.line(), response(&last));
        assert!(client.line().contains("last"));
        // nginx says no goodbye at the end.
        let end = client.next_line();
        assert!(
            end.as_ref().map_or_else(|error| error.kind() == ErrorKind::UnexpectedEof, Option::is_none),
            "{end:?}"
        );
        let message = plain.recv_json();
        assert_eq!((&message["text"], &message["action"]), (&"last".into(), &"GET MESSAGE".into()));
    }
    plain.nothing_more();
    // One address may have three clients, and these have one.
    let mut clients: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(proxy.address, &usual(VERSIONS[1]));
            // The places of those who left are free a moment later.
            common::eventually("it gets in", || {
                client.send(format!("{}\n", join(1)));
                let line = client.line();
                let is_in = line == response(&join(1));
                if !is_in {
                    client = Client::connect(proxy.address, &usual(VERSIONS[1]));
                }
                is_in
            });
            client
        })
        .collect();
    let mut one_more = Client::connect(proxy.address, &usual(VERSIONS[1]));
    assert!(one_more.line().contains("Too many clients: your address"));
    clients.iter_mut().for_each(Client::assert_served);
}

#[test]
fn haproxy() {
    if has("haproxy", "-v") {
        assert_works(&Proxy::start(include_str!("recipes/haproxy.cfg"), |recipe| {
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", recipe]);
            command
        }));
    }
}

#[test]
fn nginx() {
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let is_there = std::path::Path::new(module).exists();
    if has("nginx", "-v") && is_there {
        let head = format!(
            "load_module {module}; daemon off; master_process off; pid DIRECTORY/pid; error_log DIRECTORY/log;\n\
             events {{ }}\n"
        );
        assert_works(&Proxy::start(&(head + include_str!("recipes/nginx.conf")), |recipe| {
            let mut command = Command::new("nginx");
            command.args(["-c", recipe]);
            command
        }));
    } else {
        let is_demanded = std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_some();
        assert!(is_there || !is_demanded, "{module} is missing");
    }
}

#[test]
fn stunnel() {
    if has("stunnel", "-version") {
        assert_works(&Proxy::start(include_str!("recipes/stunnel.conf"), |recipe| {
            let mut command = Command::new("stunnel");
            command.arg(recipe);
            command
        }));
    }
}
