//! Nodes that are processes, and a real `redis-server`, which is started by each test on a socket of its own.

mod figures;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use parlor::cluster::resp;
use serde_json::{Value, json};

use crate::process::{Client, Directory, PATIENCE, Parlor};

/// Says so and returns `false` where there is no engine to test with.
fn has_engine() -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "no redis-server");
    if !found {
        println!("passed over: no redis-server");
    }
    found
}

/// A running engine.
struct Engine {
    child: Child,
    arguments: Vec<String>,
    directory: Directory,
}

impl Engine {
    fn start(arguments: &[&str]) -> Engine {
        let directory = Directory::new();
        let path = directory.file("engine").display().to_string();
        let place = directory.file("").display().to_string();
        let mut all =
            vec!["--port", "0", "--unixsocket", &path, "--save", "", "--appendonly", "no", "--dir", &place];
        all.extend(arguments);
        let arguments: Vec<String> = all.into_iter().map(String::from).collect();
        let child = Engine::spawn(&arguments);
        let engine = Engine { child, arguments, directory };
        engine.wait();
        engine
    }

    fn spawn(arguments: &[String]) -> Child {
        Command::new("redis-server")
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn wait(&self) {
        until("the engine answers", || {
            UnixStream::connect(self.directory.file("engine")).is_ok()
                && !self.ask(&["PING"]).contains("LOADING")
        });
    }

    fn url(&self) -> String {
        format!("redis+unix:{}", self.directory.file("engine").display())
    }

    /// Sends a command, and returns what comes first.
    fn ask(&self, arguments: &[&str]) -> String {
        let mut stream = UnixStream::connect(self.directory.file("engine")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Vec::new();
        resp::command(
            &mut command,
            &arguments.iter().map(|argument| argument.as_bytes()).collect::<Vec<_>>(),
        );
        stream.write_all(&command).unwrap();
        let mut answer = vec![0; 64 << 10];
        let count = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Ends it, and starts it anew with empty memory.
    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Engine::spawn(&self.arguments);
        self.wait();
    }

    /// A node that is joined by it, and the address of its listener.
    fn node(&self, arguments: &[&str]) -> (Parlor, String) {
        Parlor::serve(&[&["--cluster", &self.url()], arguments].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: u32, name: &str) {
    let command = format!("kill -{name} {process}");
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn join(room: &str) -> String {
    json!({"action": "JOIN ROOM", "room_id": room}).to_string()
}

fn leave(room: &str) -> String {
    json!({"action": "LEFT ROOM", "room_id": room}).to_string()
}

fn login(name: &str) -> String {
    json!({"action": "LOGIN NICK", "nickname": name}).to_string()
}

fn send(room: &str, text: &str) -> String {
    json!({"action": "SEND MESSAGE", "room_id": room, "text": text}).to_string()
}

/// The next line, which must be a message: its author and its text.
fn heard(client: &mut Client) -> (String, String) {
    let line: Value = serde_json::from_str(&client.line().expect("a message, not the end")).unwrap();
    assert_eq!(line["action"], "GET MESSAGE", "{line}");
    (line["author"].as_str().unwrap().into(), line["text"].as_str().unwrap().into())
}

/// The last line before the end.
fn last_words(client: &mut Client) -> String {
    let mut last = None;
    while let Some(line) = client.line() {
        last = Some(line);
    }
    let line: Value = serde_json::from_str(&last.expect("last words")).unwrap();
    assert_eq!(line["request"], Value::Null);
    line["message"].as_str().unwrap().into()
}

/// A client who comes as soon as the node serves clients (again), and is in this room then.
fn come(address: &str, room: &str) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::connect(address);
        client.send(&join(room));
        let reply = client.message();
        if reply == "OK" {
            return client;
        }
        assert_eq!(reply, "Cluster link lost");
        assert!(Instant::now() < deadline, "the link does not come back");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Takes a nickname as soon as it is free.
fn take(client: &mut Client, name: &str) {
    until("the nickname is free", || match &*client.ask(&login(name)) {
        "OK" => true,
        "Nickname already in use" => false,
        other => panic!("{other}"),
    });
}

#[test]
fn rooms_span_nodes_and_nicknames_are_unique() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let nodes = [engine.node(&[]), engine.node(&[]), engine.node(&[])];
    let [mut ann, mut bob, mut cem] = nodes.each_ref().map(|(_, address)| Client::connect(address));
    assert_eq!(cem.ask(&send("hall", "hello?")), "Room not found");
    assert_eq!(cem.ask(&leave("hall")), "Room not found");
    assert_eq!(ann.ask(&join("hall")), "OK");
    assert_eq!(bob.ask(&join("hall")), "OK");
    assert_eq!(ann.ask(&login("Ann")), "OK");
    assert_eq!(bob.ask(&login("Ann")), "Nickname already in use");
    assert_eq!(cem.ask(&leave("hall")), "Not in this room");
    assert_eq!(cem.ask(&send("hall", "from outside")), "OK");
    let outside = heard(&mut ann);
    assert_eq!((&*outside.1, outside.0.starts_with("guest-")), ("from outside", true));
    assert_eq!(heard(&mut bob), outside);
    assert_eq!(ann.ask(&login("Anna")), "OK");
    assert_eq!(bob.ask(&login("Ann")), "OK");
    assert_eq!(cem.ask(&login(&outside.0)), "OK", "a guest's name is its own");
    assert_eq!(bob.ask(&login(&outside.0)), "Nickname already in use");
    assert_eq!(cem.ask(&login("Cem")), "OK");
    assert_eq!(cem.ask(&login(&outside.0)), "OK");
    assert_eq!(bob.ask(&login("Cem")), "OK");
    assert_eq!(ann.ask(&leave("hall")), "OK");
    assert_eq!(ann.ask(&send("hall", "bye")), "OK");
    assert_eq!(heard(&mut bob), ("Anna".into(), "bye".into()));
    assert_eq!(bob.ask(&leave("hall")), "OK");
    assert_eq!(ann.ask(&send("hall", "nobody")), "Room not found");
}

#[test]
fn members_only_holds_over_all_nodes() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&["--members-only"]), engine.node(&["--members-only"]));
    let (mut ann, mut bob) = (Client::connect(&one.1), Client::connect(&two.1));
    assert_eq!(bob.ask(&send("hall", "x")), "Room not found");
    assert_eq!(ann.ask(&join("hall")), "OK");
    assert_eq!(bob.ask(&send("hall", "x")), "Not in this room");
    assert_eq!(ann.ask(&send("hall", "y")), "OK");
    assert_eq!(heard(&mut ann).1, "y");
}

/// Every message reaches every member once, in one order, with pipelined requests.
#[test]
fn many_talk_on_three_nodes_and_all_hear_the_same() {
    if !has_engine() {
        return;
    }
    const EACH: usize = 50;
    let engine = Engine::start(&[]);
    let nodes = [engine.node(&[]), engine.node(&[]), engine.node(&[])];
    let mut clients: Vec<Client> = (0..12).map(|index| Client::connect(&nodes[index % 3].1)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.ask(&join("hall")), "OK"));
    for (index, client) in clients.iter_mut().enumerate() {
        (0..EACH).for_each(|number| client.send(&send("hall", &format!("{index}.{number}"))));
    }
    let wanted = clients.len() * EACH;
    let orders = clients.iter_mut().map(|client| {
        let (mut replies, mut order) = (0, Vec::new());
        while replies < EACH || order.len() < wanted {
            let line: Value = serde_json::from_str(&client.line().expect("more")).unwrap();
            match line["action"].as_str() {
                Some("RESPONSE") => replies += 1,
                Some("GET MESSAGE") => order.push(line["text"].as_str().unwrap().to_owned()),
                _ => panic!("{line}"),
            }
        }
        order
    });
    let orders: Vec<Vec<String>> = orders.collect();
    orders.iter().for_each(|order| assert_eq!(*order, orders[0]));
}

#[test]
fn a_killed_node_frees_its_nicknames_and_a_stopped_one_at_once() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (mut one, two, three) = (engine.node(&[]), engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob, mut cem) = (come(&one.1, "a"), come(&two.1, "b"), come(&three.1, "c"));
    assert_eq!((ann.ask(&login("Ann")), bob.ask(&login("Bob"))), ("OK".into(), "OK".into()));
    one.0.signal("KILL");
    until("it is dead", || !one.0.is_running());
    take(&mut cem, "Ann");
    let ended = two.0.stop();
    assert_eq!(ended.code, Some(0), "{:?}", ended.log);
    assert_eq!(last_words(&mut bob), "Server shutting down");
    assert_eq!(cem.ask(&login("Bob")), "OK", "the lease is deleted before the process ends");
    assert_eq!(cem.ask(&send("b", "x")), "Room not found");
}

#[test]
fn an_engine_that_stands_still_is_a_lost_link() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let mut ann = come(&node.1, "hall");
    engine.signal("STOP");
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut Client::connect(&node.1)), "Cluster link lost");
    engine.signal("CONT");
    let mut ann = come(&node.1, "hall");
    assert_eq!(ann.ask(&login("Ann")), "OK");
}

/// It does not know that it stood still until it looks at the clock, and then ends its clients before all else.
#[test]
fn a_node_that_stood_still_beyond_its_lease_ends_its_clients() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    one.0.signal("STOP");
    take(&mut bob, "Ann");
    assert_eq!(bob.ask(&send("hall", "I am Ann")), "OK");
    assert_eq!(heard(&mut bob).0, "Ann");
    one.0.signal("CONT");
    assert_eq!(
        ann.line().as_deref(),
        Some(r#"{"action":"ERROR","request":null,"message":"Cluster link lost"}"#)
    );
    assert_eq!(come(&one.1, "hall").ask(&login("Ann")), "Nickname already in use");
}

#[test]
fn a_link_that_the_engine_cuts_comes_back() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    engine.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut bob), "Cluster link lost");
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    // The node has deleted its old lease.
    assert_eq!(bob.ask(&login("Ann")), "OK");
    assert_eq!(ann.ask(&send("hall", "again")), "OK");
    assert_eq!((heard(&mut ann).1, heard(&mut bob).1), ("again".into(), "again".into()));
}

#[test]
fn an_engine_that_starts_anew_with_empty_memory_is_joined_again() {
    if !has_engine() {
        return;
    }
    let mut engine = Engine::start(&[]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(ann.ask(&login("Ann")), "OK");
    engine.restart();
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut bob), "Cluster link lost");
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    assert_eq!(bob.ask(&login("Ann")), "OK");
    assert_eq!(bob.ask(&send("hall", "again")), "OK");
    assert_eq!(heard(&mut ann), ("Ann".into(), "again".into()));
}

/// An engine that forgets is noticed by the next renewal.
#[test]
fn a_lease_that_has_gone_is_a_lost_link() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let mut ann = come(&node.1, "hall");
    engine.ask(&["FLUSHALL"]);
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    come(&node.1, "hall");
}

/// A node that does not read is cut by the engine; who is connected to the others misses nothing.
#[test]
fn a_node_too_slow_for_the_engine_tells_its_clients() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&["--client-output-buffer-limit", "pubsub 300kb 0 0"]);
    let (one, two) = (engine.node(&[]), engine.node(&[]));
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    one.0.signal("STOP");
    let text = "x".repeat(8000);
    for number in 0..200 {
        assert_eq!(bob.ask(&send("hall", &format!("{number} {text}"))), "OK");
        assert_eq!(heard(&mut bob).1, format!("{number} {text}"));
    }
    one.0.signal("CONT");
    let mut next = 0;
    loop {
        let line: Value = serde_json::from_str(&ann.line().expect("last words")).unwrap();
        if line["action"] == "ERROR" {
            assert_eq!(line["message"], "Cluster link lost");
            break;
        }
        assert!(line["text"].as_str().unwrap().starts_with(&format!("{next} ")), "no gap");
        next += 1;
    }
    come(&one.1, "hall");
}

#[test]
fn memory_that_the_engine_has_not_is_a_lost_link_until_it_has() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&[]);
    let node = engine.node(&[]);
    let mut ann = come(&node.1, "hall");
    engine.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(last_words(&mut ann), "Cluster link lost");
    assert_eq!(last_words(&mut Client::connect(&node.1)), "Cluster link lost");
    engine.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    come(&node.1, "hall");
}

/// How a node that cannot join ends: with status 1, and one line.
fn refusal(arguments: &[&str]) -> String {
    let ended = crate::process::run(&[&["--listen", "127.0.0.1:0"], arguments].concat());
    assert_eq!(ended.code, Some(1), "{:?}", ended.log);
    assert_eq!(ended.log.len(), 1, "{:?}", ended.log);
    assert!(ended.log[0].starts_with("parlor: cannot join the cluster at "), "{:?}", ended.log);
    ended.log[0].clone()
}

#[test]
fn what_is_no_engine_for_nodes_is_refused_at_the_start() {
    if !has_engine() {
        return;
    }
    let refused = |engine: &Engine, why: &str| {
        let line = refusal(&["--cluster", &engine.url()]);
        assert!(line.contains(why), "{line}");
    };
    refused(&Engine::start(&["--cluster-enabled", "yes"]), "not standalone");
    refused(&Engine::start(&["--replicaof", "127.0.0.1", "1"]), "no primary");
    refused(&Engine::start(&["--maxmemory-policy", "allkeys-lru"]), "noeviction");
    let engine = Engine::start(&[]);
    engine.ask(&["ACL", "SETUSER", "default", "resetchannels"]);
    refused(&engine, "NOPERM");
    engine.ask(&["ACL", "SETUSER", "default", "allchannels", "-eval"]);
    refused(&engine, "EVAL");
    let line = refusal(&["--cluster", "redis+unix:/nowhere"]);
    assert!(line.contains("redis+unix:/nowhere"), "{line}");
    let line = refusal(&["--cluster", "redis://127.0.0.1:1"]);
    assert!(line.contains("redis://127.0.0.1:1"), "{line}");
}

#[test]
fn passwords_and_users() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&["--requirepass", "secret"]);
    let line = refusal(&["--cluster", &engine.url()]);
    assert!(line.contains("NOAUTH"), "{line}");
    let file = engine.directory.file("password");
    let file = file.to_str().unwrap();
    fs::write(file, "wrong\n").unwrap();
    let line = refusal(&["--cluster", &engine.url(), "--cluster-password-file", file]);
    assert!(line.contains("WRONGPASS") && !line.contains("wrong\n"), "{line}");
    fs::write(file, "secret\n").unwrap();
    let (_node, address) = engine.node(&["--cluster-password-file", file]);
    come(&address, "hall");
}

/// Over TCP, with a user who may do no more than a node has to, in a database of its own.
#[test]
fn a_user_with_few_rights_over_tcp() {
    if !has_engine() {
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let engine = Engine::start(&["--port", &port, "--bind", "127.0.0.1"]);
    let rights = ["+hello", "+select", "+set", "+del", "+get", "+exists", "+expire", "+eval", "+publish"];
    let more = ["+subscribe", "+unsubscribe", "+pubsub|numsub", "~chat:*", "&chat:*", "on", ">p@ss"];
    engine.ask(&[&["ACL", "SETUSER", "node"], &rights[..], &more[..]].concat());
    let url = format!("redis://node:p%40ss@127.0.0.1:{port}/3");
    let arguments = ["--cluster", &url, "--cluster-prefix", "chat:"];
    let (one, two) = (Parlor::serve(&arguments), Parlor::serve(&arguments));
    let other =
        Parlor::serve(&["--cluster", &format!("redis://127.0.0.1:{port}/4"), "--cluster-prefix", "chat:"]);
    let (mut ann, mut bob) = (come(&one.1, "hall"), come(&two.1, "hall"));
    let mut stranger = come(&other.1, "hall");
    assert_eq!((ann.ask(&login("Ann")), stranger.ask(&login("Ann"))), ("OK".into(), "OK".into()));
    assert_eq!(ann.ask(&send("hall", "hi")), "OK");
    assert_eq!(heard(&mut bob), ("Ann".into(), "hi".into()));
    assert_eq!(stranger.ask(&send("hall", "ho")), "OK");
    assert_eq!(heard(&mut stranger).1, "ho", "another database is another cluster");
    assert!(one.0.stop().log.iter().all(|line| !line.contains("p@ss") && !line.contains("p%40ss")));
}
