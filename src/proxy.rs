//! The header of the PROXY protocol, versions 1 and 2: what a proxy sends first, to tell who its client is.
//!
//! Follows the specification by HAProxy (proxy-protocol.txt, revision of 2020/03/05). Does no I/O and holds no bytes: the
//! caller collects the first bytes of a connection and calls [`parse`] with all of them, again whenever more have come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// No header is longer; a caller that waits for one holds at most as many bytes.
pub const HEADER_BYTES_MAX: usize = 4096;

/// The longest header of version 1, with its line end.
const V1_BYTES_MAX: usize = 107;

/// What a header of version 1 begins with.
const V1_BEGIN: &[u8] = b"PROXY ";

/// What a header of version 2 begins with.
const V2_BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What comes before the addresses in version 2: the signature, version and command, family, and a length.
const V2_FIXED_BYTES: usize = 16;

/// What [`parse`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It may become a header when more has come.
    Incomplete,
    /// The first `length` bytes are a header; what follows is the client's.
    Complete {
        /// Bytes of the header, at most [`HEADER_BYTES_MAX`].
        length: usize,
        /// The client's address. `None` where the header gives none (LOCAL, UNKNOWN, a family other than IPv4 and
        /// IPv6): the address of the proxy stays.
        source: Option<SocketAddr>,
    },
    /// It is no header, whatever may follow.
    Invalid,
}

/// Reads the header that a connection begins with. `bytes` are all that have come.
pub fn parse(bytes: &[u8]) -> Header {
    if bytes.first() == V2_BEGIN.first() { version_2(bytes) } else { version_1(bytes) }
}

/// One line of ASCII that ends in `\r\n`.
fn version_1(bytes: &[u8]) -> Header {
    if !begins_as(bytes, V1_BEGIN) {
        return Header::Invalid;
    }
    let bytes = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if bytes.len() < V1_BYTES_MAX { Header::Incomplete } else { Header::Invalid };
    };
    let (line, line_end) = bytes.split_at_checked(end).unwrap_or_default();
    match line_end {
        b"\r" if bytes.len() < V1_BYTES_MAX => return Header::Incomplete,
        [b'\r', b'\n', ..] => {}
        _ => return Header::Invalid,
    }
    match line.strip_prefix(V1_BEGIN).and_then(version_1_source) {
        Some(source) => Header::Complete { length: end + 2, source },
        None => Header::Invalid,
    }
}

/// Reads what stands between `PROXY ` and the line end. `None` if it is wrong.
fn version_1_source(line: &[u8]) -> Option<Option<SocketAddr>> {
    // What follows UNKNOWN is to be ignored, whatever it is.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            // No leading zeros, as the specification has it.
            "TCP4" => Some(IpAddr::V4(word.parse::<Ipv4Addr>().ok()?)),
            "TCP6" => Some(IpAddr::V6(word.parse::<Ipv6Addr>().ok()?)),
            _ => None,
        }
    };
    let (source, _destination) = (address()?, address()?);
    let (source_port, _destination_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Some(SocketAddr::new(source, source_port)))
}

/// A port in decimal, without sign and leading zeros.
fn port(word: &str) -> Option<u16> {
    let port: u16 = word.parse().ok()?;
    (word == "0" || word.starts_with(|first: char| matches!(first, '1'..='9'))).then_some(port)
}

/// Binary: the signature, two bytes, a length, and so many bytes more. The addresses come first among those; what is
/// behind them (TLVs) is skipped.
fn version_2(bytes: &[u8]) -> Header {
    if !begins_as(bytes, V2_BEGIN) {
        return Header::Invalid;
    }
    // Each byte is judged as soon as it is there.
    let [command, family] = [12, 13].map(|at| bytes.get(at).copied());
    let is_valid = command.is_none_or(|command| matches!(command, 0x20 | 0x21))
        // LOCAL ignores the family.
        && (command == Some(0x20) || family.is_none_or(|family| family >> 4 <= 3 && family & 0xF <= 2));
    if !is_valid {
        return Header::Invalid;
    }
    let (Some(&[high, low]), Some(command), Some(family)) =
        (bytes.get(14..).and_then(<[u8]>::first_chunk), command, family)
    else {
        return Header::Incomplete;
    };
    let length = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES_MAX {
        return Header::Invalid;
    }
    let address_bytes = match family {
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        _ => 0,
    };
    let is_local = command == 0x20;
    if !is_local && length - V2_FIXED_BYTES < address_bytes {
        return Header::Invalid;
    }
    let Some(block) = bytes.get(V2_FIXED_BYTES..length) else { return Header::Incomplete };
    let source = if is_local { None } else { version_2_source(address_bytes, block) };
    Header::Complete { length, source }
}

/// The address in a block: source, destination, source port, destination port, in network byte order.
fn version_2_source(address_bytes: usize, block: &[u8]) -> Option<SocketAddr> {
    let (ip, port_at): (IpAddr, usize) = match address_bytes {
        12 => (Ipv4Addr::from(*block.first_chunk::<4>()?).into(), 8),
        36 => (Ipv6Addr::from(*block.first_chunk::<16>()?).into(), 32),
        _ => return None,
    };
    let port = block.get(port_at..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// Whether `bytes` begin with `wanted`, or are a beginning of it.
fn begins_as(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.iter().zip(wanted).all(|(byte, wanted)| byte == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes behind the header must not matter.
    fn complete(header: &[u8], source: Option<&str>) {
        let source = source.map(|source| source.parse().unwrap());
        let text = String::from_utf8_lossy(header).into_owned();
        let wanted = Header::Complete { length: header.len(), source };
        for behind in [&b""[..], b"{}\n", b"\r\n", b"\0", &[b'x'; 5000]] {
            assert_eq!(parse(&[header, behind].concat()), wanted, "{text:?}");
        }
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Header::Incomplete, "{text:?} cut at {cut}");
        }
    }

    /// Once a beginning is invalid everything is that goes on with it; the beginning before that was incomplete.
    fn invalid(header: &[u8]) {
        let text = String::from_utf8_lossy(header);
        assert_eq!(parse(header), Header::Invalid, "{text:?}");
        let first = (0..=header.len()).find(|&cut| parse(&header[..cut]) != Header::Incomplete).unwrap();
        for cut in first..header.len() {
            assert_eq!(parse(&header[..cut]), Header::Invalid, "{text:?} cut at {cut}");
        }
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_BEGIN, &[command, family], &length, block].concat()
    }

    #[test]
    fn version_1_headers() {
        complete(b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", Some("192.168.0.1:56324"));
        complete(
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Some("255.255.255.255:65535"),
        );
        complete(b"PROXY TCP4 0.0.0.0 1.2.3.4 0 1\r\n", Some("0.0.0.0:0"));
        complete(b"PROXY TCP6 2001:DB8::1 ::1 4124 443\r\n", Some("[2001:db8::1]:4124"));
        complete(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", Some("[::ffff:192.0.2.7]:1"));
        complete(b"PROXY TCP6 ::ffff:c000:207 ::1 1 2\r\n", Some("[::ffff:192.0.2.7]:1"));
        complete(b"PROXY UNKNOWN\r\n", None);
        complete(b"PROXY UNKNOWN \xff\0 any\tthing\r\n", None);
        let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
        assert_eq!(longest.len(), V1_BYTES_MAX);
        complete(longest.as_bytes(), None);
    }

    #[test]
    fn what_is_no_version_1_header() {
        for line in [
            "",
            "TCP4",
            "TCP4 1.2.3.4 1.2.3.4 1",
            "TCP4 1.2.3.4 1.2.3.4 1 2 ",
            "TCP4 1.2.3.4 1.2.3.4 1 2 3",
            "TCP4 1.2.3.4  1.2.3.4 1 2",
            " TCP4 1.2.3.4 1.2.3.4 1 2",
            "TCP4\t1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.04 1.2.3.4 1 2",
            "TCP4 1.2.3 1.2.3.4 1 2",
            "TCP4 1.2.3.256 1.2.3.4 1 2",
            "TCP4 ::1 ::1 1 2",
            "TCP6 1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.4 x 1 2",
            "TCP6 ::1::1 ::1 1 2",
            "TCP6 [::1] ::1 1 2",
            "TCP6 fe80::1%1 ::1 1 2",
            "TCP4 1.2.3.4 1.2.3.4 01 2",
            "TCP4 1.2.3.4 1.2.3.4 +1 2",
            "TCP4 1.2.3.4 1.2.3.4 -1 2",
            "TCP4 1.2.3.4 1.2.3.4 65536 2",
            "TCP4 1.2.3.4 1.2.3.4 1 x",
            "TCP4 1.2.3.4 1.2.3.4  2",
            "tcp4 1.2.3.4 1.2.3.4 1 2",
            "UDP4 1.2.3.4 1.2.3.4 1 2",
            "UNKNOWNS",
            "unknown",
            "TCP4 1.2.3.4 1.2.3.é 1 2",
        ] {
            invalid(format!("PROXY {line}\r\n").as_bytes());
        }
        for line in
            ["PROXY UNKNOWN\n", "PROXY UNKNOWN\rx", "PROXY UNKNOWN\r\r\n", "PROXY\r\n", "PROXY\tUNKNOWN\r\n"]
        {
            invalid(line.as_bytes());
        }
        for line in
            ["proxy UNKNOWN\r\n", "GET / HTTP/1.1\r\n", "{}\n", "\x16\x03", "\n", "\r\n{}", "\r\n\r\n{}"]
        {
            invalid(line.as_bytes());
        }
        for end in ["", "\r\n", "x\r\n"] {
            let line = format!("PROXY UNKNOWN {}{end}", "x".repeat(V1_BYTES_MAX - 14));
            assert!(line.len() >= V1_BYTES_MAX);
            invalid(line.as_bytes());
        }
    }

    #[test]
    fn version_2_headers() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 0, 80];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        v6[32..34].copy_from_slice(&[0x30, 0x39]);
        for family in [0x11, 0x12] {
            complete(&v2(0x21, family, &v4), Some("192.0.2.1:12345"));
        }
        for family in [0x21, 0x22] {
            complete(&v2(0x21, family, &v6), Some("[2001:db8::7]:12345"));
        }
        // TLVs, also such as are none.
        complete(
            &v2(0x21, 0x11, &[&v4[..], b"\x03\0\x04\xfd\x16\xee\x60\x04\0\x01\0\xff"].concat()),
            Some("192.0.2.1:12345"),
        );
        v6[..16].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped().octets());
        complete(&v2(0x21, 0x21, &v6), Some("[::ffff:192.0.2.9]:12345"));
        // Without an address that could be used.
        for family in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30, 0x31, 0x32] {
            complete(&v2(0x21, family, &[7; 216]), None);
            complete(&v2(0x21, family, b""), None);
        }
        for family in [0x00, 0x11, 0x21, 0x31, 0xff] {
            complete(&v2(0x20, family, b""), None);
            complete(&v2(0x20, family, &v4), None);
        }
        complete(&v2(0x21, 0x11, &[&v4[..], &[0; HEADER_BYTES_MAX - 28]].concat()), Some("192.0.2.1:12345"));
    }

    #[test]
    fn what_is_no_version_2_header() {
        let block = [0; 36];
        for command in (0..=255).filter(|command| !matches!(command, 0x20 | 0x21)) {
            invalid(&v2(command, 0x11, &block));
        }
        for family in 0..=255 {
            if family >> 4 > 3 || family & 0xF > 2 {
                invalid(&v2(0x21, family, &block));
            }
        }
        invalid(&v2(0x21, 0x11, &block[..11]));
        invalid(&v2(0x21, 0x21, &block[..35]));
        for command in [0x20, 0x21] {
            invalid(&v2(command, 0, &[0; HEADER_BYTES_MAX - 15]));
        }
        for at in 0..V2_BEGIN.len() {
            let mut header = v2(0x21, 0x11, &block);
            header[at] ^= 1;
            invalid(&header);
        }
    }

    /// A header, and the address it gives.
    fn any_header() -> impl Strategy<Value = (Vec<u8>, Option<SocketAddr>)> {
        let v4 = (any::<Ipv4Addr>(), any::<Ipv4Addr>(), any::<[u16; 2]>());
        let v6 = (any::<Ipv6Addr>(), any::<Ipv6Addr>(), any::<[u16; 2]>());
        let rest = proptest::collection::vec(any::<u8>(), 0..60);
        let source = |ip: IpAddr, port| Some(SocketAddr::new(ip, port));
        let binary = |family: u8, addresses: &[&[u8]], ports: [u16; 2], rest: &[u8]| {
            let ports = ports.map(u16::to_be_bytes).concat();
            v2(0x21, family, &[&addresses.concat(), &ports, rest].concat())
        };
        prop_oneof![
            v4.clone().prop_map(move |(from, to, [a, b])| {
                (format!("PROXY TCP4 {from} {to} {a} {b}\r\n").into_bytes(), source(from.into(), a))
            }),
            v6.clone().prop_map(move |(from, to, [a, b])| {
                (format!("PROXY TCP6 {from} {to} {a} {b}\r\n").into_bytes(), source(from.into(), a))
            }),
            (v4, rest.clone()).prop_map(move |((from, to, ports), rest)| {
                (binary(0x11, &[&from.octets(), &to.octets()], ports, &rest), source(from.into(), ports[0]))
            }),
            (v6, rest).prop_map(move |((from, to, ports), rest)| {
                (binary(0x21, &[&from.octets(), &to.octets()], ports, &rest), source(from.into(), ports[0]))
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn every_cut_of_a_header_is_incomplete((header, source) in any_header(), behind in any::<Vec<u8>>()) {
            for cut in 0..header.len() {
                prop_assert_eq!(parse(&header[..cut]), Header::Incomplete);
            }
            let wanted = Header::Complete { length: header.len(), source };
            prop_assert_eq!(parse(&[header, behind].concat()), wanted);
        }

        /// More bytes never change an answer, and no answer waits for more than the bound.
        #[test]
        fn an_answer_is_final(
            (mut bytes, _) in any_header(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            behind in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for (at, byte) in changes {
                *at.get_mut(&mut bytes) = byte;
            }
            bytes.extend(behind);
            let mut answer = Header::Incomplete;
            for cut in 0..=bytes.len() {
                let now = parse(&bytes[..cut]);
                if answer == Header::Incomplete {
                    answer = now;
                }
                prop_assert_eq!(now, answer);
            }
            bytes.resize(HEADER_BYTES_MAX, b'x');
            prop_assert_ne!(parse(&bytes), Header::Incomplete);
        }
    }
}
