//! Where to listen, and what is spoken there: the value of `--listen`.
//!
//! A [`Listen`] can only be made by reading its text or by a constructor that allows no more, so one that exists is of a
//! form that this program serves: nothing further down has to refuse a part that is not built in, a PROXY header on a metrics listener or an abstract socket.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::UsageError;
use super::parts::{self, Part};

/// One address to listen on.
///
/// Read and written as on the command line; it comes back as it was given.
///
/// ```
/// use parlor::Listen;
/// use parlor::options::Spoken;
///
/// let listen: Listen = "proxy+unix:/run/parlor.sock".parse()?;
/// assert!(listen.is_behind_proxy() && listen.spoken() == Spoken::Lines);
/// assert_eq!(listen.to_string(), "proxy+unix:/run/parlor.sock");
/// assert!("unix:@abstract".parse::<Listen>().is_err());
/// # Ok::<(), parlor::options::UsageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    proxy: bool,
    spoken: Spoken,
    place: Place,
}

/// What is spoken on a listener, once a PROXY header has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// JSON lines.
    Lines,
    /// JSON lines over TLS.
    Tls,
    /// HTTP: the page, WebSocket and `/healthz`.
    Http,
    /// The same over TLS.
    Https,
    /// HTTP: `/metrics` and `/healthz`.
    Metrics,
}

/// What is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `HOST:PORT`, not yet resolved. An IPv6 address stands in brackets and may have a zone.
    Tcp(String),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
}

/// The prefix of a listener behind a proxy. It stands before the others.
const PROXY: &str = "proxy+";
const UNIX: &str = "unix:";
/// An address that begins with one of these speaks something else than plain lines.
const PREFIXES: [(&str, Spoken); 4] = [
    ("tls:", Spoken::Tls),
    ("http:", Spoken::Http),
    ("https:", Spoken::Https),
    ("metrics:", Spoken::Metrics),
];

impl Spoken {
    /// What an address begins with for this to be spoken there; nothing for plain lines.
    pub fn prefix(self) -> &'static str {
        PREFIXES.iter().find(|(_, spoken)| *spoken == self).map_or("", |(prefix, _)| prefix)
    }

    /// Whether it is spoken over TLS.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Spoken::Tls | Spoken::Https)
    }

    /// The optional parts without which it cannot be spoken.
    fn needs(self) -> &'static [Part] {
        match self {
            Spoken::Lines => &[],
            Spoken::Tls => &[Part::Tls],
            Spoken::Http | Spoken::Metrics => &[Part::Web],
            Spoken::Https => &[Part::Web, Part::Tls],
        }
    }
}

impl Listen {
    /// JSON lines over TCP, for an address that stands in the program's text: `HOST:PORT`, where port 0 picks a free
    /// one. Addresses from outside are read with [`str::parse`].
    ///
    /// # Panics
    /// If it has not that form.
    pub fn tcp(address: &'static str) -> Listen {
        match check_host_and_port(address) {
            Ok(()) => Listen { proxy: false, spoken: Spoken::Lines, place: Place::Tcp(address.into()) },
            Err(error) => panic!("{address:?}: {error}"),
        }
    }

    /// JSON lines over a Unix socket. The path is always that of a file: one that is empty or begins with `@` gets `./`
    /// in front.
    pub fn unix(path: impl Into<PathBuf>) -> Listen {
        let mut path = path.into();
        let first = path.as_os_str().as_encoded_bytes().first();
        if matches!(first, None | Some(b'@' | 0)) {
            path = Path::new(".").join(path);
        }
        Listen { proxy: false, spoken: Spoken::Lines, place: Place::Unix(path) }
    }

    /// Whether each connection must begin with a PROXY header.
    pub fn is_behind_proxy(&self) -> bool {
        self.proxy
    }

    /// What is spoken there.
    pub fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// What is bound.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Address and port, if it is TCP and they are given in numbers: those of a [`Server`](crate::Server) are.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Tcp(address) => address.parse().ok(),
            Place::Unix(_) => None,
        }
    }

    /// The path, if it is a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Tcp(_) => None,
            Place::Unix(path) => Some(path),
        }
    }

    /// The same on an address that it stands for.
    pub(crate) fn at(&self, address: SocketAddr) -> Listen {
        Listen { place: Place::Tcp(address.to_string()), ..*self }
    }
}

impl FromStr for Listen {
    type Err = UsageError;

    /// Checks the form, and that the parts that it needs are built in. Whether a host name exists or a path is free
    /// shows when the server binds.
    fn from_str(text: &str) -> Result<Self, UsageError> {
        let (proxy, rest) = cut_prefix(text, PROXY);
        let (spoken, rest) = PREFIXES
            .iter()
            .find_map(|(prefix, spoken)| Some((*spoken, rest.strip_prefix(prefix)?)))
            .unwrap_or((Spoken::Lines, rest));
        if proxy && spoken == Spoken::Metrics {
            return Err(wrong("metrics are read from this host or its network: there is no proxy+metrics:"));
        }
        if rest.starts_with(PROXY) {
            return Err(wrong("proxy+ is given once, before all else"));
        }
        if PREFIXES.iter().any(|(prefix, _)| rest.starts_with(prefix)) {
            return Err(wrong("only one of tls:, http:, https: and metrics: can be spoken"));
        }
        if spoken != Spoken::Lines && rest.starts_with(UNIX) {
            return Err(wrong("only plain lines are spoken over a Unix socket"));
        }
        if let Some(why) = parts::missing(spoken.needs()) {
            return Err(UsageError(why));
        }
        let place = match rest.strip_prefix(UNIX) {
            Some(path) => Place::Unix(checked_path(path)?),
            None => {
                check_host_and_port(rest)?;
                Place::Tcp(rest.into())
            }
        };
        Ok(Listen { proxy, spoken, place })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.proxy { PROXY } else { "" })?;
        f.write_str(self.spoken.prefix())?;
        match &self.place {
            Place::Tcp(address) => f.write_str(address),
            Place::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

fn wrong(why: &str) -> UsageError {
    UsageError(why.into())
}

/// Whether `text` begins with `prefix`, and what is left.
fn cut_prefix<'a>(text: &'a str, prefix: &str) -> (bool, &'a str) {
    text.strip_prefix(prefix).map_or((false, text), |rest| (true, rest))
}

fn checked_path(path: &str) -> Result<PathBuf, UsageError> {
    if path.is_empty() {
        return Err(wrong("the path is missing"));
    }
    if path.starts_with('@') {
        let hint = format!("abstract sockets have no permissions; a file of that name is unix:./{path}");
        return Err(UsageError(hint));
    }
    Ok(path.into())
}

fn check_host_and_port(text: &str) -> Result<(), UsageError> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(UsageError(format!("neither HOST:PORT nor unix:PATH{}", guess(text))));
    };
    if let Some((prefix, _)) = host.split_once(':').filter(|(prefix, _)| is_word(prefix)) {
        return Err(UsageError(format!(
            "nothing is spoken as {prefix}:; there are tls:, http:, https:, metrics: and unix:"
        )));
    }
    // `u16::from_str` alone would let a sign through.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return Err(wrong("the port must be a number from 0 to 65535"));
    }
    if host.is_empty() {
        return Err(wrong("the host is missing; 0.0.0.0 is every IPv4 address and [::] every IPv6 address"));
    }
    if let Some(inner) = host.strip_prefix('[') {
        return check_ipv6(inner.strip_suffix(']'), port);
    }
    if host.contains(':') {
        return Err(wrong("an IPv6 address must stand in brackets, as in [::1]:7878"));
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong("a host has no white space"));
    }
    Ok(())
}

/// What one may have meant who has left out the host or the port.
fn guess(text: &str) -> String {
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-.[]".contains(c);
    match text.parse::<u16>() {
        Ok(port) => format!("; did you mean 127.0.0.1:{port}?"),
        Err(_) if !text.is_empty() && text.chars().all(is_host) => format!("; did you mean {text}:7878?"),
        Err(_) => String::new(),
    }
}

/// Whether this is a word, and no part of an IPv6 address.
fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric()) && text.contains(|c: char| !c.is_ascii_hexdigit())
}

/// Checks what stands between brackets: an address, and perhaps the zone for which it holds.
fn check_ipv6(inner: Option<&str>, port: &str) -> Result<(), UsageError> {
    let (address, zone) = inner.map_or(("", None), |inner| match inner.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (inner, None),
    });
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return Err(wrong("what stands in the brackets is not an IPv6 address"));
    };
    if let Some(address) = address.to_ipv4_mapped() {
        return Err(UsageError(format!("this is an IPv4 address; write it as {address}:{port}")));
    }
    let is_name =
        |zone: &str| !zone.contains(|c: char| c.is_whitespace() || c.is_control() || "%[]/".contains(c));
    if zone.is_some_and(|zone| zone.is_empty() || !is_name(zone)) {
        return Err(wrong("the zone behind % must be the name or the number of a network interface"));
    }
    // Number 0 stands for no zone.
    let has_zone = zone.is_some_and(|zone| zone.bytes().any(|byte| byte != b'0'));
    if address.is_unicast_link_local() && !has_zone {
        return Err(UsageError(format!(
            "a link-local address needs its zone, the network interface: [{address}%eth0]:{port}"
        )));
    }
    Ok(())
}
