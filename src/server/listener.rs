//! Listening sockets: bound, taken over from a dead server, accepted from, removed at the end.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, SockAddr, Socket as RawSocket, TcpKeepalive, Type};

use super::socket::Socket;
use crate::options::{Listen, Options};

/// Connections that may wait to be accepted; the system may allow fewer. mio's own choice is too few for a storm.
const BACKLOG: i32 = 4096;

/// How much may lie unsent in the kernel for one client; left to itself it takes up to 4 MB for each. What is on its
/// way to a client that reads is not unsent, so this slows nobody down.
const UNSENT_BYTES: u32 = 64 << 10;

/// Probes of TCP keep-alive that may go unanswered.
const KEEPALIVE_PROBES: u32 = 3;

/// An address that is really listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// With the port that was bound.
    Tcp(SocketAddr),
    /// The path of the socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A listening socket. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    /// An edge-triggered poll says once that somebody waits: this is remembered until nobody does.
    pub ready: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp { listener: TcpListener, user_timeout_s: u32 },
    Unix { listener: UnixListener, file: SocketFile },
}

/// The file of a Unix socket, removed when this is dropped, if it is still the same file.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Listener {
    /// Binds, and listens.
    ///
    /// # Errors
    /// A name that cannot be resolved, an address that cannot be bound. The error says which, and why.
    pub fn bind(listen: &Listen, options: &Options) -> io::Result<Listener> {
        let bound = match listen {
            Listen::Tcp(address) => bind_tcp(address, options),
            Listen::Unix(path) => bind_unix(path),
        };
        match bound {
            Ok(kind) => Ok(Listener { kind, ready: false }),
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))),
        }
    }

    /// What the poll registers.
    pub fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp { listener, .. } => listener,
            Kind::Unix { listener, .. } => listener,
        }
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        match &self.kind {
            Kind::Tcp { listener, .. } => listener.local_addr().map(Address::Tcp),
            Kind::Unix { file, .. } => Ok(Address::Unix(file.path.clone())),
        }
    }

    /// The next connection, and for TCP where it comes from.
    ///
    /// # Errors
    /// `WouldBlock` when nobody waits; others as the system says.
    pub fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match &self.kind {
            Kind::Tcp { listener, user_timeout_s } => {
                let (stream, from) = listener.accept()?;
                // Elsewhere than on Linux, what was set for the listener need not hold for what it accepts.
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                let _ = stream.set_nodelay(true);
                let user_timeout_s = *user_timeout_s;
                Ok((Socket::Tcp { stream, user_timeout_s }, Some(from.ip().to_canonical())))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept()?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}

/// A name may have several addresses; the first that can be bound is taken.
fn bind_tcp(address: &str, options: &Options) -> io::Result<Kind> {
    let mut result = Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in address.to_socket_addrs()? {
        result = listen_tcp(address, options.keepalive);
        if result.is_ok() {
            break;
        }
    }
    let user_timeout_s = u32::try_from(options.keepalive.as_secs()).unwrap_or(u32::MAX);
    Ok(Kind::Tcp { listener: result?, user_timeout_s })
}

/// On Linux a connection inherits its listener's options, so they are set here once and cost nothing for each client.
fn listen_tcp(address: SocketAddr, keepalive: Duration) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // `[::]` is all of IPv6 and no more, so that it can stand beside `0.0.0.0`, and one address has one form.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // Lines are short and written once a turn: waiting for more of them would only delay them.
    socket.set_tcp_nodelay(true)?;
    if !keepalive.is_zero() {
        let second = Duration::from_secs(1);
        // Silence for half of the time, then probes over the other half.
        let probes = TcpKeepalive::new()
            .with_time((keepalive / 2).max(second))
            .with_interval((keepalive / 2 / KEEPALIVE_PROBES).max(second))
            .with_retries(KEEPALIVE_PROBES);
        socket.set_tcp_keepalive(&probes)?;
        // While data is under way keep-alive does not run; the system would try again for a quarter of an hour.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(keepalive))?;
    }
    // What a client does not take should wait here, where it is counted, bounded and shared, not in the kernel.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn bind_unix(path: &Path) -> io::Result<Kind> {
    let address = SockAddr::unix(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(path, &address)?;
        socket.bind(&address)?;
    }
    let identity = identity(path);
    let file = SocketFile { path: path.into(), identity };
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(Kind::Unix { listener: UnixListener::from_std(socket.into()), file })
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the file exists and is no socket"));
    }
    let probe = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    // A live server whose queue is full must not make this one wait.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::Error::new(ErrorKind::AddrInUse, "another server is listening there")),
    }
}

/// Which file this is, whatever its name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // There is nobody left to be told that it cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    /// The listener sets them once, and nothing is set for each connection: if that stopped to hold, every connection
    /// would be slow to answer and would never be found dead.
    #[test]
    #[cfg(target_os = "linux")]
    fn connections_inherit_the_options_of_their_listener() {
        let options = Options { keepalive: Duration::from_secs(60), ..Options::default() };
        let listener = Listener::bind(&Listen::Tcp("127.0.0.1:0".into()), &options).unwrap();
        let Address::Tcp(address) = listener.address().unwrap() else { panic!("a TCP listener") };
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let Socket::Tcp { stream, .. } = socket else { panic!("a TCP stream") };
        let options = SockRef::from(&stream);
        assert!(options.tcp_nodelay().unwrap());
        assert!(options.keepalive().unwrap());
        assert_eq!(options.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(options.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
        assert_eq!(options.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
    }
}
