//! TLS, for the listeners `tls:` and `https:` (cargo feature `tls`). Knows nothing of sockets, lines and rooms.
//!
//! [`Acceptor`] is what the files of `--tls-cert`, `--tls-key` and `--tls-client-ca` have become; it begins connections.
//! Each is a [`Tls`] around the transport below it: first it is in its handshake, outside of the hub, then it is a
//! transport like the others.
//!
//! The work is done by `rustls` with `ring`. Its safe defaults are kept: TLS 1.2 and 1.3, no renegotiation, no
//! compression, no early data, nothing with SHA-1 or CBC. Sessions are resumed by tickets, so that nothing is kept here
//! for clients that have gone.

pub mod certificates;
pub mod expiry;
pub mod transport;

pub use certificates::{Acceptor, Files};
pub use transport::{Progress, Tls};
