//! What a service manager such as systemd is told: a datagram to the socket that the environment names. Nothing where it
//! names none.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// All addresses accept connections.
pub const READY: &str = "READY=1";

/// The server has begun to stop.
pub const STOPPING: &str = "STOPPING=1";

/// Tells the service manager, if there is one that wants to know. That it cannot be told is a warning.
pub fn notify(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(state, &socket) {
        log::warn!("cannot tell {state} to the service manager at NOTIFY_SOCKET {socket:?}: {error}");
    }
}

fn send(state: &str, socket: &OsStr) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not make the server wait.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address(socket)?)?;
    Ok(())
}

/// A path, or with `@` in front the name of an abstract socket.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}
