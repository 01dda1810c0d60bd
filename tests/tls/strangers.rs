//! Clients that others have written: `openssl s_client`, Python's `ssl`, Node's `tls`, and curl, Node's `https` and `ws`
//! for `https:`.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::common::{TestServer, is_error, join, response};
use crate::files::Authority;
use crate::process::{Directory, PATIENCE};
use crate::{SHARED, serve, tls_of};

/// Whether a program is there. Where all have to be, one that is missing is a failure.
pub fn has(program: &str, argument: &str) -> bool {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let is_there = output.is_ok_and(|output| output.status.success());
    let is_demanded = std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_some();
    assert!(is_there || !is_demanded, "{program} is missing");
    if !is_there {
        println!("passed over: there is no {program}");
    }
    is_there
}

fn authority() -> String {
    SHARED.directory.file("authority.crt").display().to_string()
}

/// `openssl s_client`, which prints what it gets, and nothing else with `-quiet`.
struct OpenSsl {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
}

impl OpenSsl {
    fn connect(server: &TestServer, arguments: &[&str]) -> OpenSsl {
        let address = tls_of(server).to_string();
        let authority = authority();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address, "-servername", "localhost", "-CAfile", &authority]);
        command.args(["-verify_return_error", "-nocommands"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        OpenSsl { input: child.stdin.take(), child, output: lines_of(lines) }
    }

    fn send(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The next line that is one of the server's, or `wanted`. Nothing at the end.
    fn line(&self, wanted: &str) -> Option<String> {
        loop {
            let line = self.output.recv_timeout(PATIENCE);
            match line {
                Ok(line) if line.starts_with('{') || wanted != "{" && line.contains(wanted) => {
                    return Some(line);
                }
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(error) => panic!("openssl says nothing: {error}"),
            }
        }
    }

    /// At the end of its input it says close_notify and is gone.
    fn end(mut self) {
        drop(self.input.take());
        assert_eq!(self.line("{"), None);
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(reader: BufReader<ChildStdout>) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

#[test]
fn openssl_talks_in_both_versions() {
    if !has("openssl", "version") {
        return;
    }
    let server = serve(|_| {});
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let mut client = OpenSsl::connect(&server, &[option]);
        let line = client.line(", Cipher is ").unwrap();
        assert!(line.contains(version), "{line}");
        client.send(&format!("{}\n", join("room")));
        assert_eq!(client.line("{").unwrap(), response(&join("room")));
        client.send("[]\n");
        assert!(is_error(&client.line("{").unwrap(), "[]", "Not a JSON object"));
        client.end();
    }
}

#[test]
fn openssl_resumes_a_session() {
    if !has("openssl", "version") {
        return;
    }
    let server = serve(|_| {});
    for option in ["-tls1_2", "-tls1_3"] {
        let directory = Directory::new();
        let session = directory.file("session").display().to_string();
        let mut first = OpenSsl::connect(&server, &[option, "-sess_out", &session]);
        assert!(first.line(", Cipher is ").unwrap().starts_with("New"));
        first.send("[]\n");
        first.line("{").unwrap();
        first.end();
        let mut second = OpenSsl::connect(&server, &[option, "-sess_in", &session]);
        assert!(second.line(", Cipher is ").unwrap().starts_with("Reused"), "{option}");
        second.send("[]\n");
        second.line("{").unwrap();
    }
}

#[test]
fn openssl_needs_a_certificate_where_one_is_wanted() {
    if !has("openssl", "version") {
        return;
    }
    let (clients, directory) = (Authority::new(), Directory::new());
    std::fs::write(directory.file("clients.crt"), clients.pem()).unwrap();
    clients.sign_client().write(&directory, "known");
    Authority::new().sign_client().write(&directory, "stranger");
    let server = serve(|options| options.tls_client_ca = Some(directory.file("clients.crt")));
    for version in ["-tls1_2", "-tls1_3"] {
        for name in ["", "stranger", "known"] {
            let [cert, key] =
                ["crt", "key"].map(|end| directory.file(&format!("{name}.{end}")).display().to_string());
            let shown: &[&str] = if name.is_empty() { &[] } else { &["-cert", &cert, "-key", &key] };
            let mut client = OpenSsl::connect(&server, &[&["-quiet", version], shown].concat());
            // It may be gone already.
            let _ = client.input.as_mut().unwrap().write_all(b"[]\n");
            let is_in = client.line("{").is_some_and(|line| line.contains("Not a JSON object"));
            assert_eq!(is_in, name == "known", "{version} {name}");
        }
    }
}

/// Runs a script with Python; it is given the address and the authority. It has to end with `ok`.
fn python(server: &TestServer, script: &str) {
    let head = "import socket, ssl, sys, json\nhost, port = sys.argv[1].rsplit(':', 1)\n\
                def connect(version):\n    context = ssl.create_default_context(cafile=sys.argv[2])\n    \
                context.minimum_version = context.maximum_version = version\n    \
                return context.wrap_socket(socket.create_connection((host, int(port)), timeout=30), \
                server_hostname='localhost', suppress_ragged_eofs=False)\n\
                for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):\n";
    let script: String = script.lines().map(|line| format!("    {line}\n")).collect();
    let mut command = Command::new("python3");
    command.args(["-c", &format!("{head}{script}print('ok')\n"), &tls_of(server).to_string(), &authority()]);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success() && stdout.ends_with(b"ok\n"), "{status}: {stderr}");
}

#[test]
fn python_talks_and_says_goodbye() {
    if !has("python3", "--version") {
        return;
    }
    let server = serve(|_| {});
    python(
        &server,
        r#"
connection = connect(version)
lines = connection.makefile('r', encoding='utf-8')
def ask(**request):
    connection.sendall(json.dumps(request).encode() + b'\n')
    return json.loads(lines.readline())
assert ask(action='JOIN ROOM', room_id=1)['message'] == 'OK'
text = 'x' * 40000
assert ask(action='SEND MESSAGE', room_id=1, text=text)['message'] == 'OK'
assert json.loads(lines.readline())['text'] == text
connection.sendall(b'[]')
try:
    plain = connection.unwrap()
    rest = b''
except ssl.SSLError as error:
    # What came before the server's goodbye has not been read: an old trait of OpenSSL.
    assert 'APPLICATION_DATA_AFTER_CLOSE_NOTIFY' in str(error), error
"#,
    );
}

/// Its reader tells a proper end from a cut one.
#[test]
fn python_is_told_properly_that_the_server_ends() {
    if !has("python3", "--version") {
        return;
    }
    let server = serve(|options| options.idle_timeout = std::time::Duration::from_secs(1));
    python(
        &server,
        r#"
connection = connect(version)
received = b''
while more := connection.recv(1000):
    received += more
assert json.loads(received)['message'] == 'Idle too long', received
"#,
    );
}

#[test]
fn openssl_on_a_plain_listener_is_answered() {
    if !has("openssl", "version") {
        return;
    }
    let server = serve(|_| {});
    let plain = server.addresses()[1].to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &plain, "-msg"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(String::from_utf8_lossy(&said).contains("(NONE)"));
}

/// Runs a script with Node; it gets the address and the authority, and has to end with `ok`.
fn node(address: &str, needs: &str, script: &str) {
    if !has("node", "--version") {
        return;
    }
    if !Command::new("node").args(["-e", needs]).stderr(Stdio::null()).status().unwrap().success() {
        assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "{needs:?} fails with node");
        return println!("passed over: {needs:?} fails with node");
    }
    let head = "const fs = require('fs'), tls = require('tls');\n\
                const [port, ca] = [process.argv[1].split(':').pop(), fs.readFileSync(process.argv[2])];\n\
                setTimeout(() => { console.log('too late'); process.exit(1); }, 60000).unref();\n";
    let mut command = Command::new("node");
    command.args(["-e", &format!("{head}{script}"), address, &authority()]).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(status.success() && stdout.ends_with("ok\n"), "{status}: {stdout}{stderr}");
}

/// It talks, says goodbye with much still to come, gets it, and resumes its session.
#[test]
fn nodes_tls() {
    let server = serve(|_| {});
    node(
        &tls_of(&server).to_string(),
        "",
        r#"
const text = 'é🦀'.repeat(2000);
async function talk(version, session) {
  const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ca, session,
    minVersion: version, maxVersion: version });
  const sessions = [];
  socket.on('session', (session) => sessions.push(session));
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  if (!socket.authorized || socket.getProtocol() !== version) throw new Error(socket.authorizationError);
  if (socket.isSessionReused() !== Boolean(session)) throw new Error('resumed: ' + socket.isSessionReused());
  const say = (request) => JSON.stringify(request) + '\n';
  socket.write(say({ action: 'JOIN ROOM', room_id: 'node ' + version }));
  for (let number = 0; number < 20; number += 1) {
    socket.write(say({ action: 'SEND MESSAGE', room_id: 'node ' + version, text }));
  }
  // close_notify, behind a last line without its end.
  socket.end('{"action":"LEFT ROOM","room_id":"node ' + version + '"}');
  let heard = '';
  socket.setEncoding('utf8').on('data', (data) => { heard += data; });
  await new Promise((resolve, reject) => socket.once('end', resolve).once('error', reject));
  const lines = heard.trim().split('\n').map((line) => JSON.parse(line));
  if (lines.filter((line) => line.message === 'OK').length !== 22) throw new Error(heard);
  if (lines.filter((line) => line.text === text).length !== 20) throw new Error(heard);
  return sessions.pop();
}
(async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3']) await talk(version, await talk(version));
  console.log('ok');
})();
"#,
    );
}

#[cfg(feature = "web")]
fn serve_https() -> (TestServer, String) {
    let server = serve(|options| options.listen = vec![crate::listen("https:127.0.0.1:0")]);
    let address = tls_of(&server).to_string();
    (server, address)
}

#[test]
#[cfg(feature = "web")]
fn curl_gets_the_page() {
    if !has("curl", "--version") {
        return;
    }
    let (_server, address) = serve_https();
    let (_, port) = address.rsplit_once(':').unwrap();
    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"], &["--http2"], &["--http1.0"]] {
        let get = |path: &str| {
            let mut command = Command::new("curl");
            command
                .args(["-sS", "--max-time", "60", "--noproxy", "*", "--cacert", &authority()])
                .args(version);
            command.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
            command.args(["-w", "%{http_code} %{http_version} %{ssl_verify_result}"]);
            let output = command.arg(format!("https://localhost:{port}{path}")).output().unwrap();
            assert!(output.status.success(), "{version:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        // The page is for HTTP/1.1, `/healthz` for anybody.
        assert!(get("/healthz").starts_with("ok"), "{version:?}");
        if !version.contains(&"--http1.0") {
            let page = get("/");
            assert!(page.contains("</html>") && page.ends_with("200 1.1 0"), "{version:?}: {page:.100}");
        }
    }
}

/// `npm install ws`, and NODE_PATH where that is not found by itself.
#[test]
#[cfg(feature = "web")]
fn nodes_https_and_ws() {
    let (_server, address) = serve_https();
    node(
        &address,
        "require('ws')",
        r#"
const https = require('https'), WebSocket = require('ws');
async function talk(version) {
  const options = { ca, host: '127.0.0.1', port, servername: 'localhost', minVersion: version, maxVersion: version };
  const page = await new Promise((resolve, reject) => https.get({ ...options, path: '/' }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (data) => { body += data; }).on('error', reject)
      .on('end', () => resolve([response.statusCode, response.httpVersion, body, response.complete]));
  }).on('error', reject));
  if (page[0] !== 200 || page[1] !== '1.1' || !page[2].includes('</html>') || !page[3]) throw new Error(page);
  const text = 'é🦀'.repeat(2000), got = [];
  const socket = new WebSocket('wss://127.0.0.1:' + port + '/ws', options);
  const send = (request) => socket.send(JSON.stringify(request));
  socket.on('open', () => {
    send({ action: 'JOIN ROOM', room_id: 1 });
    send({ action: 'SEND MESSAGE', room_id: 1, text });
  });
  socket.on('message', (message) => { if (got.push(JSON.parse(message)) === 3) socket.ping('hello'); });
  socket.on('pong', () => socket.close(4000));
  const code = await new Promise((resolve, reject) => socket.on('close', resolve).on('error', reject));
  if (code !== 4000 || got[1].message !== 'OK' || got[2].text !== text) throw new Error(JSON.stringify(got));
}
(async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3']) await talk(version);
  console.log('ok');
})();
"#,
    );
}
