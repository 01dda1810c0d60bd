//! What `--max-clients-per-ip` takes for one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address, as limits for each address count: an IPv4 address, or a /64 of IPv6, which is the least that a network
/// gives to one host. An IPv4 address written as IPv6 counts as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpKey {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6Net([u8; 8]),
}

impl From<IpAddr> for IpKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => IpKey::V4(address),
            IpAddr::V6(address) => {
                let [net @ .., _, _, _, _, _, _, _, _] = address.octets();
                IpKey::V6Net(net)
            }
        }
    }
}

impl fmt::Display for IpKey {
    /// As in `192.0.2.1` and `2001:db8::/64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IpKey::V4(address) => address.fmt(f),
            IpKey::V6Net(net) => {
                let bits = u128::from(u64::from_be_bytes(*net)) << 64;
                write!(f, "{}/64", Ipv6Addr::from_bits(bits))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> IpKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn what_counts_as_one_address() {
        for (a, b, one) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("::1", "0.0.0.1", false),
        ] {
            assert_eq!(key(a) == key(b), one, "{a} and {b}");
        }
    }

    #[test]
    fn as_it_is_written() {
        for (address, written) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(key(address).to_string(), written);
        }
    }
}
