//! Binding a Unix socket, so that of several servers that are started on one path exactly one has it, whatever the
//! moment.
//!
//! What a crashed server has left is known by nobody answering there. But nobody answers either where a server has bound
//! the path and does not listen yet; and between seeing that a file is stale and removing it, another server can have
//! put its own there. So whoever looks, removes, binds and listens holds a lock meanwhile, on a file beside the socket's
//! that is there for no longer. The lock ends with its process; a file that is left with nobody holding it, by a server
//! that was killed in just that moment, is taken and removed by the next.
//!
//! At the end the file goes while the socket still listens, so that nobody can take it for stale and have its own
//! removed.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;

/// How long another server may take between looking and listening, and how often it is asked. It is a matter of
/// microseconds, unless that process has been stopped.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_ASKED_EVERY: Duration = Duration::from_millis(5);

/// Binds `path` and listens. The file has the permissions `mode`, if they are given, before anybody can connect.
///
/// # Errors
/// A path that cannot be bound; one with another server behind it; a file that is no socket. It is left alone.
pub fn bind(path: &Path, mode: Option<u32>) -> io::Result<(SocketFile, UnixListener)> {
    let address = SockAddr::unix(path)?;
    let _lock = Lock::take(path)?;
    let mut socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Some(mode) = mode {
        socket = with_permissions(socket, mode);
    }
    if let Err(error) = socket.bind(&address) {
        if error.kind() != ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(path, &address)?;
        socket.bind(&address)?;
    }
    // From here on the file goes whatever fails.
    let file = SocketFile { path: path.into(), identity: identity(path) };
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((file, socket.into()))
}

/// Linux makes the file with no more permissions than the socket has, less the umask; so the file is never open wider
/// than is wanted, not even before it listens. Elsewhere this is refused, and the file has its permissions before it
/// listens.
fn with_permissions(socket: Socket, mode: u32) -> Socket {
    let file = File::from(OwnedFd::from(socket));
    let _refused_elsewhere = file.set_permissions(Permissions::from_mode(mode));
    OwnedFd::from(file).into()
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the file exists and is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
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

/// The file of a Unix socket, removed when this is dropped, if it is still the same file.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // There is nobody left to be told that it cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Held by the one server that may look at a path and bind it. Its file is removed when this is dropped.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    /// Holds the lock until it is closed. Dropped after the file has been removed.
    _held: File,
}

impl Lock {
    /// Waits for the lock that belongs to the socket at `socket_path`.
    fn take(socket_path: &Path) -> io::Result<Lock> {
        let mut path = socket_path.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            if let Some(held) = try_to_lock(&path)? {
                return Ok(Lock { path, _held: held });
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(ErrorKind::AddrInUse, "another server is being started there"));
            }
            thread::sleep(LOCK_ASKED_EVERY);
        }
    }
}

/// One try; nothing if another has it, or has just removed the file that was opened here.
fn try_to_lock(path: &Path) -> io::Result<Option<File>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = match open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // The other server has just removed the file, or there is no place for one.
            let has_directory = directory_of(path).is_dir();
            let missing = io::Error::new(ErrorKind::NotFound, "its directory does not exist");
            return if has_directory { Ok(None) } else { Err(missing) };
        }
        other => other.map_err(named)?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // A file system without locks. Two starts in the same moment are rarer than such a one.
        Err(TryLockError::Error(error)) => log::warn!("{}: cannot be locked: {error}", path.display()),
    }
    let metadata = file.metadata()?;
    Ok(Some(file).filter(|_| identity(path) == Some((metadata.dev(), metadata.ino()))))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens the file of a lock, and makes it where it is not there. It follows no link that a stranger has put there, and
/// does not wait at a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        other => return other,
    }
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the file exists and is no lock"));
    }
    options.open(path)
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
