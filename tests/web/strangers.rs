//! Clients that others have written: what the server takes for WebSocket, they do too.

use std::net::TcpStream;
use std::process::Command;

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::common::{DEADLINE, TestServer, join, response, say};
use crate::{HTTP, server};

fn ask(socket: &mut WebSocket<TcpStream>, request: &str) {
    socket.send(Message::text(request)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text(response(request)));
}

#[test]
fn tungstenite() {
    let server = server(|_| ());
    let address = server.addresses()[HTTP].socket_address().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).unwrap();
    ask(&mut socket, &join("room"));
    for length in [0, 10, 200, 14_000] {
        let text = "é🦀x".repeat(length / 7);
        ask(&mut socket, &say("room", &text));
        let message: serde_json::Value =
            serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(message["text"], text);
    }
    socket.send(Message::Ping("hello".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("hello".into()));
    let close = CloseFrame { code: CloseCode::Library(3999), reason: "enough".into() };
    socket.close(Some(close)).unwrap();
    let answer = socket.read().unwrap();
    assert!(matches!(&answer, Message::Close(Some(close)) if u16::from(close.code) == 3999), "{answer:?}");
}

/// Runs a script that gets the address as its argument, and says `good` when all was as it should be. Where the program
/// or its library is not installed (`needs` fails) it is passed over, unless PARLOR_DEMAND_PROGRAMS is set.
fn run(server: &TestServer, program: &[&str], needs: &str, script: &str) {
    let command = |script: &str| {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(script);
        command
    };
    if !command(needs).output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "{needs:?} fails with {program:?}");
        return eprintln!("passed over: {needs:?} fails with {program:?}");
    }
    let address = server.addresses()[HTTP].socket_address().unwrap();
    let output = command(script).arg(format!("ws://{address}/ws")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.trim() == "good",
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `pip install websockets`.
#[test]
fn pythons_websockets() {
    let script = r#"
import asyncio, json, sys, websockets

async def main():
    async with asyncio.timeout(30):
        async with websockets.connect(sys.argv[1]) as socket:
            await socket.send(json.dumps({"action": "JOIN ROOM", "room_id": 1}, indent=2))
            assert json.loads(await socket.recv())["message"] == "OK"
            for text in ["", "é🦀" * 20, "x" * 14000]:
                await socket.send(json.dumps({"action": "SEND MESSAGE", "room_id": 1, "text": text}, ensure_ascii=False))
                assert json.loads(await socket.recv())["message"] == "OK"
                assert json.loads(await socket.recv())["text"] == text
            await socket.send(["{\"action\":", "\"LEFT ROOM\",", "\"room_id\":1}"])
            assert json.loads(await socket.recv())["message"] == "OK"
            await (await socket.ping())
            await socket.close(4000, "enough")
            assert socket.close_code == 4000
        async with websockets.connect(sys.argv[1]) as socket:
            await socket.send(b"binary")
            try:
                await socket.recv()
            except websockets.ConnectionClosed:
                assert socket.close_code == 1003
    print("good")

asyncio.run(main())
"#;
    run(&server(|_| ()), &["python3", "-c"], "import asyncio, websockets; asyncio.timeout", script);
}

/// `npm install ws`, and NODE_PATH where that is not found by itself.
#[test]
fn nodes_ws() {
    let script = r#"
const WebSocket = require('ws');
const socket = new WebSocket(process.argv[1]);
const text = 'é🦀'.repeat(2000);
const send = (request) => socket.send(JSON.stringify(request));
const got = [];
setTimeout(() => process.exit(1), 30000).unref();
socket.on('open', () => {
  send({ action: 'JOIN ROOM', room_id: 1 });
  send({ action: 'SEND MESSAGE', room_id: 1, text });
});
socket.on('message', (message, isBinary) => {
  got.push(JSON.parse(message));
  if (isBinary) process.exit(2);
  if (got.length === 3) socket.ping('hello');
});
socket.on('pong', (payload) => payload.toString() === 'hello' && socket.close(4000));
socket.on('close', (code) => {
  if (code === 4000 && got[1].message === 'OK' && got[2].text === text) console.log('good');
});
"#;
    run(&server(|_| ()), &["node", "-e"], "require('ws')", script);
}
