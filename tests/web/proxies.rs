//! Behind proxies that end TLS, set up as the README's recipes have it. A proxy that is not installed (Debian: `nginx`,
//! `libnginx-mod-stream`, `haproxy`, `caddy`; and `openssl`, and Python's `websockets` as a client) is passed over, unless
//! PARLOR_DEMAND_PROGRAMS is set.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::{Client, TestServer, eventually};

/// A proxy that runs, with its files. Both are gone when it is dropped.
struct Proxy {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SIGTERM first: nginx has workers that would stay.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Whether these programs are here.
fn are_installed(programs: &[&[&str]]) -> bool {
    let is_installed = |program: &&&[&str]| {
        Command::new(program[0]).args(&program[1..]).output().is_ok_and(|output| output.status.success())
    };
    let Some(missing) = programs.iter().find(|program| !is_installed(program)) else { return true };
    assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "{missing:?} fails");
    eprintln!("passed over: {missing:?} fails");
    false
}

const CLIENT: &[&[&str]] = &[
    &["openssl", "version"],
    &["curl", "--version"],
    &["python3", "-c", "import asyncio, websockets; asyncio.timeout"],
];

impl Proxy {
    /// Starts a proxy with a recipe: the ports, the names of files and the host's name in it are exchanged for those of
    /// this test, and `extra` is put in front.
    fn start(server: &TestServer, recipe: &str, extra: &str, command: impl Fn(&str) -> Command) -> Proxy {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("parlor-proxy-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = |name: &str| directory.join(name).display().to_string();
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=chat.example.org",
            ])
            .args(["-keyout", &file("chat.key"), "-out", &file("chat.pem")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
        std::fs::write(file("chat.both"), read("chat.pem") + &read("chat.key")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let back = server.addresses()[0].socket_address().unwrap();
        let recipe = recipe
            .replace("127.0.0.1:8080", &back.to_string())
            .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
            .replace("bind :443", &format!("bind 127.0.0.1:{port}"))
            .replace(
                "chat.example.org {",
                &format!("chat.example.org:{port} {{\n    tls {} {}", file("chat.pem"), file("chat.key")),
            )
            .replace("/etc/ssl", &directory.display().to_string());
        let config = file("config");
        std::fs::write(&config, extra.replace("DIRECTORY", &directory.display().to_string()) + &recipe)
            .unwrap();
        let mut command = command(&config);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut proxy = Proxy { child, directory, port };
        eventually("the proxy listens", || {
            assert!(proxy.child.try_wait().unwrap().is_none(), "the proxy has ended: {recipe}");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        proxy
    }

    /// Somebody opens the page and talks through the proxy.
    fn talk(&self) {
        let script = r#"
import asyncio, json, ssl, subprocess, sys, websockets

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
port = sys.argv[1]
site = f"chat.example.org:{port}"
curl = ["curl", "-sSik", "--max-time", "30", "--resolve", f"{site}:127.0.0.1", f"https://{site}/"]
page = subprocess.run(curl, check=True, capture_output=True, text=True).stdout
assert " 200" in page.split("\n")[0] and "</html>" in page and f"wss://{site}" in page, page

async def main():
    async with asyncio.timeout(60):
        async with websockets.connect(f"wss://{site}/ws", ssl=context, origin=f"https://{site}", host="127.0.0.1", port=port) as socket:
            await socket.send(json.dumps({"action": "JOIN ROOM", "room_id": 1}))
            assert json.loads(await socket.recv())["message"] == "OK"
            # The server asks for signs of life, so no proxy takes this for an idle connection.
            await asyncio.sleep(5)
            await socket.send(json.dumps({"action": "SEND MESSAGE", "room_id": 1, "text": "x" * 10000}))
            assert json.loads(await socket.recv())["message"] == "OK"
            assert len(json.loads(await socket.recv())["text"]) == 10000
            await socket.close(4000)
            assert socket.close_code == 4000
        print("good")

asyncio.run(main())
"#;
        let output = Command::new("python3").args(["-c", script, &self.port.to_string()]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.trim() == "good",
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The addresses of those who come are their own: each may have one client.
    fn tells_addresses(&self) {
        let script = r#"
import asyncio, json, ssl, sys, websockets

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
port = sys.argv[1]
site = f"chat.example.org:{port}"

async def answer(source, keep):
    socket = await websockets.connect(f"wss://{site}/ws", ssl=context, origin=f"https://{site}", host="127.0.0.1",
        port=port, local_addr=(source, 0))
    keep.append(socket)
    try:
        await socket.send(json.dumps({"action": "JOIN ROOM", "room_id": 1}))
    except websockets.ConnectionClosed:
        pass # It has been told why.
    return json.loads(await socket.recv())["message"]

async def main():
    keep = []
    async with asyncio.timeout(60):
        assert await answer("127.0.0.2", keep) == "OK"
        assert (await answer("127.0.0.2", keep)).startswith("Too many clients: your address")
        assert await answer("127.0.0.3", keep) == "OK"
        for socket in keep:
            await socket.close()
    print("good")

asyncio.run(main())
"#;
        let output = Command::new("python3").args(["-c", script, &self.port.to_string()]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.trim() == "good", "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A server for one proxy, whose address for browsers comes first.
fn server(listen: &str) -> TestServer {
    TestServer::with(|options| {
        options.listen.insert(0, listen.parse().unwrap());
        options.hosts = vec!["chat.example.org".parse().unwrap()];
        options.keepalive = std::time::Duration::from_secs(4);
        options.max_clients_per_ip = 1;
    })
}

/// The room is empty again: who closed through the proxy has left, and the limit of its address is free.
fn everybody_has_left(server: &TestServer) {
    let mut witness = Client::connect(&server.addresses()[1]);
    eventually("the room is gone", || witness.ask(crate::common::say(1, "x")).contains("Room not found"));
}

const NGINX: &str = "daemon off; pid DIRECTORY/pid; error_log DIRECTORY/log; events {}\n";

fn nginx(config: &str) -> Command {
    let mut command = Command::new("nginx");
    command.args(["-c", config]);
    command
}

#[test]
fn nginx_as_a_web_server() {
    if !are_installed(&[CLIENT, &[&["nginx", "-v"]]].concat()) {
        return;
    }
    let server = server("http:127.0.0.1:0");
    // Two time-outs are shortened, or it would take a minute to see that they do not matter.
    let recipe = include_str!("recipes/nginx.conf")
        .replace("location / {", "location / { proxy_read_timeout 4s; proxy_send_timeout 4s;")
        .replace("http {", "http { access_log off;");
    let proxy = Proxy::start(&server, &recipe, NGINX, nginx);
    proxy.talk();
    everybody_has_left(&server);
}

#[test]
fn nginx_as_a_stream() {
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    if !are_installed(&[CLIENT, &[&["nginx", "-v"], &["test", "-e", module]]].concat()) {
        return;
    }
    let server = server("proxy+http:127.0.0.1:0");
    let extra = format!("load_module {module}; {NGINX}");
    let proxy = Proxy::start(&server, include_str!("recipes/nginx-stream.conf"), &extra, nginx);
    proxy.talk();
    proxy.tells_addresses();
    everybody_has_left(&server);
}

#[test]
fn haproxy() {
    if !are_installed(&[CLIENT, &[&["haproxy", "-v"]]].concat()) {
        return;
    }
    let server = server("proxy+http:127.0.0.1:0");
    let proxy = Proxy::start(&server, include_str!("recipes/haproxy.cfg"), "", |config| {
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f", config]);
        command
    });
    proxy.talk();
    proxy.tells_addresses();
    everybody_has_left(&server);
}

#[test]
fn caddy() {
    if !are_installed(&[CLIENT, &[&["caddy", "version"]]].concat()) {
        return;
    }
    let server = server("http:127.0.0.1:0");
    let extra = "{\n    admin off\n    auto_https off\n}\n";
    let proxy = Proxy::start(&server, include_str!("recipes/Caddyfile"), extra, |config| {
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config", config]);
        command
    });
    proxy.talk();
    everybody_has_left(&server);
}
