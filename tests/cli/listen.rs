//! Where the server listens: what it logs of it, what it takes over, what it leaves alone, and what makes it give up.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Client, Directory, Ended, PATIENCE, Parlor, run, unix};
use crate::strace;

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

/// What each of two servers that were started on one path came to: exactly one must serve, the other must have ended
/// with a reason.
fn assert_one_serves(mut servers: [Parlor; 2], path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    let gone = loop {
        let gone = [servers[0].is_running(), servers[1].is_running()].iter().position(|running| !running);
        match gone {
            Some(gone) => break gone,
            None => assert!(Instant::now() < deadline, "both of them live"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    let [first, second] = servers;
    let (gone, mut left) = if gone == 0 { (first, second) } else { (second, first) };
    assert_refused(&gone.ended(), &[&unix(path)]);
    assert_eq!(left.address(), unix(path));
    Client::connect(&unix(path)).assert_served();
    assert!(left.is_running());
    assert_eq!(left.stop().code, Some(0));
    let directory = path.parent().unwrap();
    let rest: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(rest.iter().all(|name| name == "trace"), "left over: {rest:?}");
}

#[test]
fn of_two_that_are_started_at_once_on_a_path_exactly_one_serves() {
    for round in 0..40 {
        let directory = Directory::new();
        let path = directory.file("socket");
        if round % 2 == 1 {
            drop(UnixListener::bind(&path).unwrap());
        }
        let servers = [(); 2].map(|()| Parlor::start(&["--listen", &unix(&path)]));
        assert_one_serves(servers, &path);
    }
}

#[test]
fn exactly_one_serves_whatever_the_moment_in_which_the_other_is_started() {
    if !strace::is_there() {
        return;
    }
    // Each call of the system between looking and listening takes long for the first server.
    for call in ["bind", "connect", "unlink,unlinkat", "listen", "flock", "openat", "chmod,fchmodat"] {
        for is_stale in [false, true] {
            let directory = Directory::new();
            let path = directory.file("socket");
            if is_stale {
                drop(UnixListener::bind(&path).unwrap());
            }
            let trace = directory.file("trace");
            // Of files only the last that are opened: the first are the program's own.
            let when = if call == "openat" { ":when=3+" } else { "" };
            let (traced, delayed) =
                (format!("trace={call}"), format!("inject={call}:delay_enter=300000{when}"));
            let options = ["-e", &traced, "-e", &delayed];
            let arguments = ["--unix-mode", "660", "--listen", &unix(&path)];
            let first = strace::start(&options, &trace, &arguments);
            // About as long as the first needs to come to the call; whenever it is, the outcome is the same.
            thread::sleep(Duration::from_millis(100));
            let second = Parlor::start(&arguments);
            assert_one_serves([first, second], &path);
        }
    }
}

#[test]
fn a_lock_that_a_killed_server_has_left_is_taken_and_removed() {
    let directory = Directory::new();
    let path = directory.file("socket");
    fs::write(directory.file("socket.lock"), "").unwrap();
    let mut parlor = Parlor::start(&["--listen", &unix(&path)]);
    parlor.address();
    Client::connect(&unix(&path)).assert_served();
    assert!(!directory.file("socket.lock").exists());
}

#[test]
fn what_is_no_lock_is_left_alone() {
    let directory = Directory::new();
    let (path, lock) = (directory.file("socket"), directory.file("socket.lock"));
    let victim = directory.file("victim");
    std::os::unix::fs::symlink(&victim, &lock).unwrap();
    assert_refused(&run(&["--listen", &unix(&path)]), &[&unix(&path), "socket.lock"]);
    assert!(!victim.exists(), "it has followed a link");
    assert!(!path.exists());
}

/// Starts it with this umask.
fn start_with_umask(umask: &str, arguments: &[&str]) -> Parlor {
    let script = format!(r#"umask {umask} && exec "$0" "$@""#);
    let mut command = Command::new("sh");
    command.args(["-c", &script, &crate::process::binary()]).args(arguments);
    Parlor::spawn_and_listen(&mut command)
}

fn mode(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|file| file.mode() & 0o7777)
}

#[test]
fn unix_mode_sets_the_permissions_whatever_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        for wanted in ["660", "0600", "777", "0"] {
            let directory = Directory::new();
            let path = directory.file("socket");
            let mut parlor = start_with_umask(umask, &["--unix-mode", wanted, "--listen", &unix(&path)]);
            parlor.address();
            assert_eq!(mode(&path), u32::from_str_radix(wanted, 8).ok(), "umask {umask}");
        }
    }
    for (umask, left) in [("022", 0o755), ("077", 0o700)] {
        let directory = Directory::new();
        let path = directory.file("socket");
        let mut parlor = start_with_umask(umask, &["--listen", &unix(&path)]);
        parlor.address();
        assert_eq!(mode(&path), Some(left), "without the option the umask decides");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn at_no_moment_has_the_file_more_permissions_than_wanted() {
    if !strace::is_there() {
        return;
    }
    let directory = Directory::new();
    let (path, trace) = (directory.file("socket"), directory.file("trace"));
    let options =
        ["-e", "trace=chmod,fchmodat,listen", "-e", "inject=chmod,fchmodat,listen:delay_enter=300000"];
    let mut parlor = strace::start(&options, &trace, &["--unix-mode", "600", "--listen", &unix(&path)]);
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !parlor.log_so_far().iter().any(|line| line.contains("listening on")) {
        assert!(Instant::now() < deadline, "it does not start: {:#?}", parlor.log);
        if let Some(mode) = mode(&path) {
            assert_eq!(mode & !0o600, 0, "{mode:o}");
            seen.push(mode);
        }
    }
    assert!(!seen.is_empty(), "the file was there before the line");
}

#[test]
fn a_socket_option_that_the_system_refuses_is_a_warning_that_names_it() {
    if !strace::is_there() {
        return;
    }
    let mut refused = Vec::new();
    for call in 1.. {
        let directory = Directory::new();
        let trace = directory.file("trace");
        let inject = format!("inject=setsockopt:error=ENOPROTOOPT:when={call}");
        let options = ["-e", "trace=setsockopt", "-e", &inject];
        let mut parlor = strace::start(&options, &trace, &["-l", "127.0.0.1:0", "--log", "info"]);
        let address = parlor.address();
        Client::connect(&address).assert_served();
        let ended = parlor.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let calls = fs::read_to_string(&trace).unwrap();
        // Those of the listener come first. What a connection refuses is not told, for one that does is broken.
        let of_the_listener = |line: &&str| line.split(',').next() == calls.split(',').next();
        let Some(line) = calls.lines().filter(of_the_listener).find(|line| line.contains("(INJECTED)"))
        else {
            break;
        };
        // `setsockopt(5, SOL_TCP, TCP_NODELAY, [1], 4) = …`
        let option = line.split(", ").nth(2).unwrap().to_owned();
        let warned = ended.log.iter().filter(|line| line.contains(" WARN ") && line.contains(&option));
        assert_eq!(warned.count(), 1, "{option}: {:#?}", ended.log);
        refused.push(option);
    }
    for option in ["SO_REUSEADDR", "TCP_NODELAY", "SO_KEEPALIVE", "SO_RCVBUF", "SO_SNDBUF"] {
        assert!(refused.iter().any(|refused| refused == option), "{option} is not set: {refused:?}");
    }
}

#[test]
fn a_zone_is_the_name_or_the_number_of_an_interface() {
    // The loopback interface has no link-local address, so it is the address that fails, and the zone is known.
    for zone in ["no-such-zone", "%", "1"] {
        let address = format!("[fe80::1%{zone}]:0");
        let ended = run(&["--listen", &address]);
        assert_ne!(ended.code, Some(0));
        if zone == "no-such-zone" {
            assert_refused(&ended, &[&address, "no network interface"]);
        }
    }
}

#[test]
fn a_name_is_bound_on_all_its_addresses_with_one_port() {
    use std::net::ToSocketAddrs;
    let mut expected: Vec<_> =
        ("localhost", 0).to_socket_addrs().unwrap().map(|address| address.ip()).collect();
    expected.dedup();
    expected.retain(|&ip| TcpListener::bind((ip, 0)).is_ok());
    let mut parlor = Parlor::start(&["--listen", "localhost:0"]);
    let bound: Vec<std::net::SocketAddr> =
        expected.iter().map(|_| parlor.address().parse().unwrap()).collect();
    assert_eq!(bound.iter().map(|address| address.ip()).collect::<Vec<_>>(), expected);
    for address in &bound {
        assert_eq!(address.port(), bound[0].port());
        Client::connect(&address.to_string()).assert_served();
    }
    assert_refused(&run(&["--listen", &format!("localhost:{}", bound[0].port())]), &["localhost", "in use"]);
}
