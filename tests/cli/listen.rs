//! Where the server listens: what it logs of it, what it takes over, what it leaves alone, and what makes it give up.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::process::{Client, Directory, Ended, Parlor, run, unix};

/// Checks that a start failed with one line that names all of these.
fn assert_refused(ended: &Ended, named: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let errors: Vec<_> = ended.log.iter().filter(|line| line.starts_with("parlor: ")).collect();
    assert_eq!(errors.len(), 1, "{ended:?}");
    assert!(
        !ended.log.iter().any(|line| line.contains("panicked") || line.contains("backtrace")),
        "{ended:?}"
    );
    for word in named {
        assert!(errors[0].contains(word), "{errors:?} does not name {word:?}");
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket())
}

#[test]
fn without_options_it_listens_on_port_7878_of_127_0_0_1() {
    // Someone else on this machine may have that port; then the error must name it.
    let holder = TcpListener::bind("127.0.0.1:7878");
    let none: [&str; 0] = [];
    if holder.is_ok() {
        drop(holder);
        let mut parlor = Parlor::start(&none);
        assert_eq!(parlor.address(), "127.0.0.1:7878");
        Client::connect("127.0.0.1:7878").assert_served();
        assert_eq!(parlor.stop().code, Some(0));
    } else {
        assert_refused(&run(&none), &["127.0.0.1:7878", "in use"]);
    }
}

#[test]
fn port_0_picks_a_free_port_and_logs_it() {
    let (parlor, address) = Parlor::serve(&[]);
    let port = address.strip_prefix("127.0.0.1:").unwrap().parse::<u16>().unwrap();
    assert_ne!(port, 0);
    Client::connect(&address).assert_served();
    assert_eq!(parlor.stop().code, Some(0));
}

#[test]
fn the_line_that_tells_of_a_listener_is_at_level_info() {
    let (mut parlor, address) = Parlor::serve(&["--log", "info"]);
    let line = parlor.log.pop().unwrap();
    assert!(line.contains(" INFO ") && line.ends_with(&format!("listening on {address}")), "{line}");
}

#[test]
fn every_listener_gets_its_line_and_its_clients_meet() {
    let directory = Directory::new();
    let socket = unix(&directory.file("socket"));
    let mut parlor = Parlor::start(&["-l", "127.0.0.1:0", "--listen=127.0.0.1:0", "--listen", &socket]);
    let addresses: Vec<_> = (0..3).map(|_| parlor.address()).collect();
    assert!(addresses[..2].iter().all(|address| address.starts_with("127.0.0.1:")), "{addresses:?}");
    assert_ne!(addresses[0], addresses[1]);
    assert_eq!(addresses[2], socket);

    let mut clients: Vec<_> = addresses.iter().map(|address| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.join(7));
    clients[0].send(r#"{"action":"SEND MESSAGE","room_id":7,"text":"to all"}"#);
    clients[0].message();
    for client in &mut clients {
        let line = client.line().unwrap();
        assert!(line.contains("GET MESSAGE") && line.contains("to all"), "{line}");
    }
    drop(clients);
    assert_eq!(parlor.stop().code, Some(0));
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        // A host without IPv6, as containers often are.
        return assert_refused(&run(&["--listen", "[::1]:0"]), &["[::1]:0"]);
    }
    let mut parlor = Parlor::start(&["--listen", "[::1]:0"]);
    let address = parlor.address();
    assert!(address.starts_with("[::1]:") && !address.ends_with(":0"), "{address}");
    Client::connect(&address).assert_served();
}

#[test]
fn a_host_name_is_resolved() {
    let mut parlor = Parlor::start(&["--listen", "localhost:0"]);
    let address = parlor.address();
    assert!(address.starts_with("127.0.0.1:") || address.starts_with("[::1]:"), "{address}");
    Client::connect(&address).assert_served();
}

#[test]
fn a_host_that_cannot_be_resolved_is_an_error() {
    // Longer than a name may be, so it is refused without asking anybody on the network.
    let host = format!("{}.invalid:7878", "x".repeat(64));
    assert_refused(&run(&["--listen", &host]), &[&host]);
}

#[test]
fn an_address_in_use_is_an_error() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    assert_refused(&run(&["--listen", &address]), &[&address, "in use"]);
}

#[test]
fn an_address_of_another_host_is_an_error() {
    // Set aside for documentation: no host has it.
    assert_refused(&run(&["--listen", "192.0.2.1:7878"]), &["192.0.2.1:7878"]);
}

#[test]
fn one_listener_that_fails_ends_all_of_them() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let directory = Directory::new();
    let path = directory.file("socket");
    let ended = run(&["--listen", &unix(&path), "--listen", &address]);
    assert_refused(&ended, &[&address]);
    assert!(!path.exists(), "the socket file that it had made is left over");
}

#[test]
fn an_error_is_told_with_the_log_off_too() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let ended = run(&["--log", "off", "--listen", &address]);
    assert_refused(&ended, &[&address]);
    assert_eq!(ended.log.len(), 1, "{ended:?}");
}

#[test]
fn a_port_can_be_taken_again_at_once_after_a_stop() {
    let (parlor, address) = Parlor::serve(&[]);
    // The server closes first, so the connection lingers in the kernel on its side.
    let mut client = Client::connect(&address);
    client.assert_served();
    parlor.signal("TERM");
    while client.line().is_some() {}
    drop(client);
    assert_eq!(parlor.ended().code, Some(0));

    let mut parlor = Parlor::start(&["--listen", &address]);
    assert_eq!(parlor.address(), address);
}

#[test]
fn a_unix_socket_serves_and_its_file_is_removed_at_the_end() {
    for signal in ["TERM", "INT"] {
        let directory = Directory::new();
        let path = directory.file("socket");
        let mut parlor = Parlor::start(&["--listen", &unix(&path)]);
        assert_eq!(parlor.address(), unix(&path));
        assert!(is_socket(&path));
        Client::connect(&unix(&path)).assert_served();
        parlor.signal(signal);
        assert_eq!(parlor.ended().code, Some(0));
        assert!(!path.exists(), "left over after {signal}");
    }
}

#[test]
fn the_socket_file_of_a_dead_server_is_taken_over() {
    let directory = Directory::new();
    let path = directory.file("socket");
    // The standard library leaves the file where it is.
    drop(UnixListener::bind(&path).unwrap());
    assert!(is_socket(&path));
    let mut parlor = Parlor::start(&["--listen", &unix(&path)]);
    parlor.address();
    Client::connect(&unix(&path)).assert_served();
}

#[test]
fn the_socket_file_of_a_server_that_was_killed_is_taken_over() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let mut killed = Parlor::start(&["--listen", &unix(&path)]);
    killed.address();
    killed.signal("KILL");
    assert_eq!(killed.ended().code, None);
    assert!(is_socket(&path));
    let mut parlor = Parlor::start(&["--listen", &unix(&path)]);
    parlor.address();
    Client::connect(&unix(&path)).assert_served();
}

#[test]
fn the_socket_of_a_live_server_is_left_alone() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let mut first = Parlor::start(&["--listen", &unix(&path)]);
    first.address();
    assert_refused(&run(&["--listen", &unix(&path)]), &[&unix(&path), "listening"]);
    Client::connect(&unix(&path)).assert_served();
    assert!(first.is_running());
}

#[test]
fn a_socket_whose_server_does_not_accept_is_live_all_the_same() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    assert_refused(&run(&["--listen", &unix(&path)]), &[&unix(&path), "listening"]);
    assert!(is_socket(&path));
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = Directory::new();
    let path = directory.file("notes");
    fs::write(&path, "precious").unwrap();
    assert_refused(&run(&["--listen", &unix(&path)]), &[&unix(&path)]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let folder = directory.file("folder");
    fs::create_dir(&folder).unwrap();
    assert_refused(&run(&["--listen", &unix(&folder)]), &[&unix(&folder)]);
    assert!(folder.is_dir());
}

#[test]
fn a_file_that_took_the_place_of_the_socket_is_not_removed() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let mut parlor = Parlor::start(&["--listen", &unix(&path)]);
    parlor.address();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(parlor.stop().code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_an_error() {
    let directory = Directory::new();
    let path = directory.file(&"x".repeat(200));
    assert_refused(&run(&["--listen", &unix(&path)]), &[&unix(&path)]);
}

#[test]
fn a_path_in_no_directory_is_an_error() {
    let directory = Directory::new();
    let path = directory.file("missing").join("socket");
    assert_refused(&run(&["--listen", &unix(&path)]), &[&unix(&path)]);
}

#[test]
fn a_path_with_a_line_feed_leaves_the_error_one_line() {
    let directory = Directory::new();
    let path = directory.file("two\nlines").join("socket");
    let ended = run(&["--log", "off", "--listen", &unix(&path)]);
    assert_eq!((ended.code, ended.log.len()), (Some(1), 1), "{ended:?}");
    assert!(ended.log[0].contains(r"two\nlines"), "{ended:?}");
}

#[test]
fn it_accepts_as_soon_as_the_line_is_logged() {
    for _ in 0..5 {
        let (_parlor, address) = Parlor::serve(&[]);
        TcpStream::connect(&address).unwrap();
    }
}
