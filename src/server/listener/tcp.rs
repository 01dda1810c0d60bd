//! Binding TCP: every address of a name with one port, and the options that connections inherit.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Socket, TcpKeepalive, Type};

use super::BACKLOG;

/// How much may lie unsent in the kernel for one client; left to itself it takes up to 4 MB for each. What is on its
/// way to a client that reads is not unsent, so this slows nobody down.
pub const UNSENT_BYTES: u32 = 64 << 10;

/// How much the kernel may keep for one client in each direction; left to itself it takes megabytes where it has seen a
/// client send or read fast. Linux doubles both numbers and counts its own overhead against them; what it really
/// takes is at most 32 KiB of input, and 64 KiB of output and one segment more. That is enough for every client nearby,
/// and for one that is 100 ms away 570 KB a second to it and 180 KB a second from it.
pub const RECEIVE_BUFFER_BYTES: usize = 16 << 10;
/// See [`RECEIVE_BUFFER_BYTES`].
pub const SEND_BUFFER_BYTES: usize = 32 << 10;

/// Probes of TCP keep-alive that may go unanswered.
pub const KEEPALIVE_PROBES: u32 = 3;

/// The shortest time that keep-alive can be given.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// How often a free port is looked for that is free on all addresses of a name.
const PORT_TRIES: usize = 16;

/// The error of a host that lacks a family of addresses; the standard library has no name for it.
const EAFNOSUPPORT: i32 = if cfg!(not(any(target_os = "linux", target_os = "android"))) {
    47
} else if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    124
} else {
    97
};

/// All addresses of `HOST:PORT`, each once. An IPv6 address may have a zone, by name or by number.
///
/// # Errors
/// A name that has none, a network interface that there is not.
pub fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let mut addresses = Vec::new();
    for found in look_up(address)? {
        if !addresses.contains(&found) {
            addresses.push(found);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

fn look_up(address: &str) -> io::Result<impl Iterator<Item = SocketAddr>> {
    // The standard library knows zones by their number only; the system's resolver knows their names.
    let zoned = address.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    if let Some((host, port)) = zoned
        && let Ok(port) = port.parse::<u16>()
    {
        let zone = host.split_once('%').map_or("", |(_, zone)| zone);
        return (host, port).to_socket_addrs().map_err(|_| {
            io::Error::new(
                ErrorKind::NotFound,
                format!("the zone {zone} is no network interface of this host"),
            )
        });
    }
    address.to_socket_addrs()
}

/// Binds and listens on all of these, which get the same port. A family that the host lacks is passed over with a
/// warning, as long as there is another.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind_all(addresses: &[SocketAddr], keepalive: Duration) -> io::Result<Vec<TcpListener>> {
    let picks = addresses.len() > 1 && addresses.iter().all(|address| address.port() == 0);
    for _ in 1..PORT_TRIES {
        match bind_each(addresses, keepalive) {
            // The port that was free on the first address is taken on another.
            Err(error) if picks && error.kind() == ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
    bind_each(addresses, keepalive)
}

fn bind_each(addresses: &[SocketAddr], keepalive: Duration) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut passed_over = Vec::new();
    for &address in addresses {
        let mut address = address;
        if let Some(first) = listeners.first() {
            address.set_port(first.local_addr()?.port());
        }
        match listen(address, keepalive) {
            Ok(listener) => listeners.push(listener),
            Err(error) if addresses.len() == 1 => return Err(error),
            Err(error) if is_lacking(&error) => passed_over.push((address, error)),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
        }
    }
    for (address, error) in passed_over {
        if listeners.is_empty() {
            return Err(io::Error::new(error.kind(), format!("{address}: {error}")));
        }
        log::warn!("not listening on {address}, which this host does not have: {error}");
    }
    Ok(listeners)
}

/// Whether the host has not got this address, or its whole family.
fn is_lacking(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// On Linux a connection inherits its listener's options, so they are set here once and cost nothing for each client.
fn listen(address: SocketAddr, keepalive: Duration) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    let warn_if_refused = |option: &str, outcome: io::Result<()>| {
        if let Err(error) = outcome {
            log::warn!("the system refuses the socket option {option} for {address}: {error}");
        }
    };
    if address.is_ipv6() {
        // `[::]` is all of IPv6 and no more, so that it can stand beside `0.0.0.0`, and one address has one form.
        warn_if_refused("IPV6_V6ONLY", socket.set_only_v6(true));
    }
    warn_if_refused("SO_REUSEADDR", socket.set_reuse_address(true));
    // Lines are short and written once a turn: waiting for more of them would only delay them.
    warn_if_refused("TCP_NODELAY", socket.set_tcp_nodelay(true));
    if !keepalive.is_zero() {
        // Silence for half of the time, then probes over the other half. One call for each, so that one that is
        // refused keeps no other from being set; each also turns keep-alive on.
        let time = (keepalive / 2).max(KEEPALIVE_MIN);
        let interval = (keepalive / 2 / KEEPALIVE_PROBES).max(KEEPALIVE_MIN);
        for (options, part) in [
            ("SO_KEEPALIVE or TCP_KEEPIDLE", TcpKeepalive::new().with_time(time)),
            ("SO_KEEPALIVE or TCP_KEEPINTVL", TcpKeepalive::new().with_interval(interval)),
            ("SO_KEEPALIVE or TCP_KEEPCNT", TcpKeepalive::new().with_retries(KEEPALIVE_PROBES)),
        ] {
            warn_if_refused(options, socket.set_tcp_keepalive(&part));
        }
        // While data is under way keep-alive does not run; the system would try again for a quarter of an hour.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        warn_if_refused("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(Some(keepalive)));
    }
    // Before it listens: connections agree on their window when they are made.
    warn_if_refused("SO_RCVBUF", socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES));
    warn_if_refused("SO_SNDBUF", socket.set_send_buffer_size(SEND_BUFFER_BYTES));
    // What a client does not take should wait here, where it is counted, bounded and shared, not in the kernel.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    warn_if_refused("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(UNSENT_BYTES));
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn bind(addresses: &[(IpAddr, u16)]) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| (*address).into()).collect();
        let listeners = bind_all(&addresses, Duration::from_secs(60))?;
        Ok(listeners.iter().map(|listener| listener.local_addr().unwrap()).collect())
    }

    fn has_ipv6() -> bool {
        TcpListener::bind((V6, 0)).is_ok()
    }

    #[test]
    fn all_addresses_of_a_name_get_one_port() {
        let also = if has_ipv6() { V6 } else { IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)) };
        for _ in 0..50 {
            let bound = bind(&[(V4, 0), (also, 0)]).unwrap();
            assert_eq!(bound.len(), 2);
            assert_eq!(bound[0].port(), bound[1].port());
            assert_eq!((bound[0].ip(), bound[1].ip()), (V4, also));
        }
    }

    #[test]
    fn one_of_several_that_is_in_use_is_an_error() {
        let taken = TcpListener::bind((V4, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        for first in [true, false] {
            let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
            let both = if first { [(V4, port), (other, port)] } else { [(other, port), (V4, port)] };
            let error = bind(&both).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        }
    }

    #[test]
    fn an_address_that_the_host_has_not_is_passed_over_beside_one_that_it_has() {
        // Set apart for documentation: no host has it.
        let nowhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        for both in [[(nowhere, 0), (V4, 0)], [(V4, 0), (nowhere, 0)]] {
            let bound = bind(&both).unwrap();
            assert_eq!(bound.iter().map(SocketAddr::ip).collect::<Vec<_>>(), [V4]);
        }
        assert_eq!(bind(&[(nowhere, 0)]).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        let error = bind(&[(nowhere, 0), (nowhere, 1)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn zones_are_known_by_name_and_by_number() {
        assert_eq!(resolve("[fe80::1%7]:80").unwrap(), ["[fe80::1%7]:80".parse().unwrap()]);
        let error = resolve("[fe80::1%no-such-zone]:80").unwrap_err();
        assert!(error.to_string().contains("no-such-zone"), "{error}");
        let Ok(index) = std::fs::read_to_string("/sys/class/net/lo/ifindex") else { return };
        let expected = format!("[fe80::1%{}]:80", index.trim());
        assert_eq!(resolve("[fe80::1%lo]:80").unwrap(), [expected.parse().unwrap()]);
    }
}
