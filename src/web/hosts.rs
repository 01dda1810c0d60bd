//! Under which names browsers may come, and from which pages. Knows nothing of the rest of a request.
//!
//! Two attacks are kept out here. A foreign page can let its own name point to this machine (DNS rebinding): then the
//! browser takes the server for a part of that page, but it still says that name in `Host`. And a foreign page can open
//! a WebSocket to any server that its visitor can reach: the browser says the page's name in `Origin`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::options::HostName;

/// A host and perhaps a port: a value of `Host`, or what stands behind the scheme in `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

/// The longest name of a host that DNS knows.
const NAME_BYTES_MAX: usize = 253;

/// The ports that a `Host` without a port can mean: a proxy may have ended TLS.
const PORTS_LEFT_OUT: [u16; 2] = [80, 443];

impl FromStr for Authority {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Authority, &'static str> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (ip, port) = rest.split_once(']').ok_or("the closing bracket is missing")?;
                let ip = ip.parse::<Ipv6Addr>();
                let ip = ip.map_err(|_| "what stands in the brackets is not an IPv6 address")?;
                (Host::Ip(ip.into()), port)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Host::from_name(host)?, port)
            }
        };
        // An empty port is as good as none.
        let port = match port.strip_prefix(':') {
            None | Some("") if port.len() <= 1 => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| "the port must be a number from 0 to 65535")?)
            }
            _ => return Err("neither NAME nor NAME:PORT"),
        };
        Ok(Authority { host, port })
    }
}

impl Host {
    fn from_name(name: &str) -> Result<Host, &'static str> {
        if let Ok(ip) = name.parse::<Ipv4Addr>() {
            return Ok(Host::Ip(ip.into()));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() {
            Err("the name is missing")
        } else if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
            Err("this is not a host's name (names beyond ASCII are written as xn--...)")
        } else {
            Ok(Host::Name(name.to_ascii_lowercase()))
        }
    }

    fn is_named(&self, name: &HostName) -> bool {
        match self {
            Host::Ip(IpAddr::V4(ip)) => name.name() == ip.to_string(),
            Host::Ip(IpAddr::V6(_)) => false,
            Host::Name(own) => name.name() == own,
        }
    }
}

impl fmt::Display for Authority {
    /// As a URL has it. There is no character in it that could end a value of a header or of a policy.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            Host::Name(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Authority {
    /// Whether a browser may reach the page under this `Host`: an address, `localhost`, or one of `names`, the values of
    /// `--host`.
    pub fn may_be_ours(&self, names: &[HostName]) -> bool {
        match &self.host {
            Host::Ip(_) => true,
            Host::Name(name) if name == "localhost" => true,
            Host::Name(_) => names
                .iter()
                .any(|name| self.host.is_named(name) && name.port().is_none_or(|port| self.has_port(port))),
        }
    }

    /// Whether this, as a value of `Host`, can mean that port.
    fn has_port(&self, port: u16) -> bool {
        self.port.map_or(PORTS_LEFT_OUT.contains(&port), |own| own == port)
    }

    /// Whether a policy of a page can name this host: it has no way to write an IPv6 address.
    pub fn fits_into_policy(&self) -> bool {
        !matches!(self.host, Host::Ip(IpAddr::V6(_)))
    }
}

/// Whether a page with this `Origin` may talk to the server as `host`: its own page, or one from a host of `names`.
pub fn may_come_from(origin: &str, host: &Authority, names: &[HostName]) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Ok(mut origin) = authority.parse::<Authority>() else { return false };
    if origin.port.is_none() {
        origin.port = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
    }
    let is_own = origin.host == host.host && origin.port.is_some_and(|port| host.has_port(port));
    let is_named = |name: &HostName| {
        origin.host.is_named(name) && name.port().is_none_or(|port| origin.port == Some(port))
    };
    is_own || names.iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Authority {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn a_host_is_an_address_localhost_or_named() {
        let named =
            ["chat.example", "other.example:8443", "plain.example:80"].map(|name| name.parse().unwrap());
        for (host, is_ours) in [
            ("127.0.0.1", true),
            ("127.0.0.1:8080", true),
            ("192.168.1.7:1", true),
            ("[::1]", true),
            ("[::1]:8080", true),
            ("[2001:DB8::1]:8080", true),
            ("localhost", true),
            ("LocalHost:8080", true),
            ("localhost:", true),
            ("chat.example", true),
            ("CHAT.example:443", true),
            ("chat.example:12345", true),
            ("other.example:8443", true),
            ("other.example:8444", false),
            ("other.example", false),
            ("plain.example", true),
            ("plain.example:80", true),
            ("plain.example:443", false),
            ("evil.example", false),
            ("sub.chat.example", false),
            ("chat.example.evil.example", false),
            ("localhost.evil.example", false),
            ("localhost.", false),
            ("127.1", false),
            ("127.0.0.1.evil.example", false),
        ] {
            assert_eq!(authority(host).may_be_ours(&named), is_ours, "{host}");
        }
    }

    #[test]
    fn what_is_no_host() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a,b",
            "a;b",
            "é.example",
            "a:b",
            "a:80:80",
            "a:+80",
            "a:65536",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]:x",
            "[127.0.0.1]",
            "[fe80::1%eth0]",
            "a:80 ",
            "*",
            "*.example",
        ] {
            assert!(text.parse::<Authority>().is_err(), "{text:?}");
        }
        assert!("a".repeat(253).parse::<Authority>().is_ok());
        assert!("a".repeat(254).parse::<Authority>().is_err());
    }

    #[test]
    fn an_origin_is_the_page_itself_or_named() {
        let named = ["chat.example", "other.example:8443", "192.0.2.7"].map(|name| name.parse().unwrap());
        for (host, origin, may) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("127.0.0.1:8080", "https://127.0.0.1:8080", true),
            ("127.0.0.1:8080", "http://127.0.0.1", false),
            ("127.0.0.1:8080", "http://127.0.0.1:8081", false),
            ("127.0.0.1:8080", "http://localhost:8080", false),
            ("localhost:8080", "HTTP://LOCALHOST:8080", true),
            ("[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080", true),
            // A Host without a port may stand for either, and the scheme stands for one of them.
            ("localhost", "http://localhost", true),
            ("localhost", "https://localhost", true),
            ("localhost", "http://localhost:443", true),
            ("localhost", "http://localhost:8080", false),
            ("localhost:443", "https://localhost", true),
            ("localhost:443", "http://localhost", false),
            ("localhost:80", "http://localhost", true),
            ("127.0.0.1:8080", "https://chat.example", true),
            ("127.0.0.1:8080", "http://chat.example:1", true),
            ("127.0.0.1:8080", "http://192.0.2.7:81", true),
            ("127.0.0.1:8080", "http://192.0.2.8:81", false),
            ("127.0.0.1:8080", "https://other.example:8443", true),
            ("127.0.0.1:8080", "https://other.example", false),
            ("127.0.0.1:8080", "app://chat.example", true),
            ("localhost", "app://localhost", false),
            ("localhost", "null", false),
            ("localhost", "", false),
            ("localhost", "localhost", false),
            ("localhost", "://localhost", false),
            ("localhost", "http://localhost/", false),
            ("localhost", "http://localhost http://evil.example", false),
            ("localhost", "http://user@localhost", false),
            ("localhost", "http://localhost.evil.example", false),
            ("localhost", "file://", false),
        ] {
            assert_eq!(may_come_from(origin, &authority(host), &named), may, "{host} {origin}");
        }
    }

    #[test]
    fn a_host_is_written_as_it_is_compared() {
        for (text, written) in [
            ("LOCALHOST:80", "localhost:80"),
            ("[0::1]:1", "[::1]:1"),
            ("a:", "a"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(authority(text).to_string(), written);
        }
    }
}
