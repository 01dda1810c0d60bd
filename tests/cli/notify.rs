//! What systemd, or whoever else the environment names, is told of the start and the stop.

use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::process::{Client, Directory, PATIENCE, Parlor, unix};

fn next(manager: &UnixDatagram) -> String {
    let mut state = [0; 100];
    let length = manager.recv(&mut state).expect("a state");
    String::from_utf8(state[..length].to_vec()).unwrap()
}

fn start(manager: &OsStr, arguments: &[&str]) -> Parlor {
    let mut command = Command::new(crate::process::binary());
    Parlor::spawn_and_listen(command.args(arguments).env("NOTIFY_SOCKET", manager))
}

/// It says that it is ready when every address accepts, and that it stops when it begins to, not when it has.
fn assert_told(manager: &UnixDatagram, name: &OsStr) {
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let directory = Directory::new();
    let address = unix(&directory.file("socket"));
    let parlor = start(name, &["--listen", "127.0.0.1:0", "--listen", &address, "--drain", "1000"]);
    assert_eq!(next(manager), "READY=1");
    let mut client = Client::connect(&address);
    client.assert_served();
    parlor.signal("TERM");
    assert_eq!(next(manager), "STOPPING=1");
    assert_eq!(client.message(), "Server shutting down");
    drop(client);
    assert_eq!(parlor.ended().code, Some(0));
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0]).is_err(), "it was told more");
}

#[test]
fn a_manager_at_a_path_is_told() {
    let directory = Directory::new();
    let path = directory.file("notify");
    assert_told(&UnixDatagram::bind(&path).unwrap(), path.as_os_str());
}

#[test]
#[cfg(target_os = "linux")]
fn a_manager_at_an_abstract_address_is_told() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("parlor-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    assert_told(&UnixDatagram::bind_addr(&address).unwrap(), OsStr::new(&format!("@{name}")));
}

#[test]
fn nothing_is_told_when_it_cannot_start() {
    let directory = Directory::new();
    let path = directory.file("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let missing = unix(&directory.file("missing").join("socket"));
    let ended = start(path.as_os_str(), &["--listen", "127.0.0.1:0", "--listen", &missing]).ended();
    assert_eq!(ended.code, Some(1));
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 100]).is_err(), "it was told that a server is ready");
}

#[test]
fn a_manager_that_is_not_there_is_a_warning() {
    let directory = Directory::new();
    let path = directory.file("nobody");
    let mut parlor = start(path.as_os_str(), &["--listen", "127.0.0.1:0"]);
    let address = parlor.address();
    let line = parlor.line("warning", |line| line.contains("NOTIFY_SOCKET"));
    assert!(line.contains(" WARN ") && line.contains("READY=1"), "{line}");
    Client::connect(&address).assert_served();
    assert_eq!(parlor.stop().code, Some(0));
}
