//! RFC 6455 case by case, and every cut of a stream against a decoder that sees all of it at once.
//!
//! The numbers are those of the Autobahn suite, which sends what the case says and looks at what comes back. Where that
//! suite expects its message echoed, the message is a line here, or, where it is binary, the fault of code 1003. Each case is
//! looked at in one read and byte by byte; that is also what the suite calls "chopped". Not here: 12 and 13, which are about an
//! extension that is not negotiated.
//!
//! | cases | what | RFC 6455 | test |
//! | --- | --- | --- | --- |
//! | 1.1, 1.2 | lengths of every class, text and binary | 5.2, 5.6 | `section_1_framing` |
//! | 2 | Ping and Pong | 5.5.2, 5.5.3 | `section_2_pings_and_pongs` |
//! | 3 | reserved bits | 5.2 | `section_3_reserved_bits` |
//! | 4.1, 4.2 | reserved opcodes | 5.2 | `section_4_opcodes` |
//! | 5 | fragmentation | 5.4 | `section_5_fragmentation` |
//! | 6.1 to 6.3 | UTF-8 over fragments | 5.6, 8.1 | `section_6_utf8_over_fragments` |
//! | 6.4 | not UTF-8 is told at once | 8.1 | `section_6_4_not_utf8_is_told_at_once` |
//! | 6.5 to 6.23 | what is UTF-8, and what is not | 8.1 | `section_6_what_is_utf8`, `section_6_what_is_not_utf8` |
//! | 7.1, 7.3, 7.5, 7.7, 7.9, 7.13 | Close and its codes | 5.5.1, 7.4 | `section_7_close` |
//! | 9 | large messages | 5.4 | `section_9_large_messages` |
//! | 10 | a message in fragments of a packet | 5.4 | `section_10_fragments_of_a_packet` |
//! | (none) | the mask must be there | 5.1 | `a_frame_without_a_mask_is_a_fault` |

use super::*;
use proptest::prelude::*;

/// What a stream means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Meaning {
    /// Whole messages, one a line.
    lines: Vec<u8>,
    /// The payloads of pings, of those that were answered at once only the last.
    pings: Vec<Vec<u8>>,
    end: Option<End>,
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it. `first` is its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    bytes
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(0x81, payload)
}

/// What the decoder says when the stream comes in reads of these sizes.
fn decode(stream: &[u8], sizes: &[usize]) -> Meaning {
    let mut incoming = Incoming::default();
    let mut meaning = Meaning::default();
    let mut lines = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rest = later;
        // No byte more than there must be.
        let mut buffer = vec![0xee; Incoming::READ_FROM];
        buffer.extend_from_slice(piece);
        let end = buffer.len();
        let decoded = incoming.decode(&mut buffer, Incoming::READ_FROM..end);
        lines.extend_from_slice(&buffer[..decoded.bytes]);
        meaning.pings.extend(decoded.ping.map(|ping| ping.payload().to_vec()));
        if decoded.end.is_some() {
            assert_eq!(meaning.end, None, "there is one end");
            meaning.end = decoded.end;
        }
        assert!(incoming.allocated_bytes() <= 176);
    }
    if meaning.end.is_none() && !lines.is_empty() && !lines.ends_with(b"\n") {
        assert!(incoming.is_amid_message());
    }
    // A message that has no end is dropped.
    let whole = lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    lines.truncate(whole);
    meaning.lines = lines;
    meaning
}

fn whole(stream: &[u8]) -> Meaning {
    decode(stream, &[usize::MAX])
}

fn says(lines: &[&str], pings: &[&[u8]], end: Option<End>) -> Meaning {
    let lines = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    Meaning { lines, pings: pings.iter().map(|ping| ping.to_vec()).collect(), end }
}

const PROTOCOL: Option<End> = Some(End::Fault(Fault::Protocol));
const NOT_UTF8: Option<End> = Some(End::Fault(Fault::NotUtf8));

/// Looks at a case in one read and byte by byte.
fn check(case: &str, stream: &[u8], expected: &Meaning) {
    let found = whole(stream);
    // In one read only the latest Ping is answered.
    let one = Meaning { pings: expected.pings.last().cloned().into_iter().collect(), ..expected.clone() };
    assert_eq!(found, one, "case {case} at once");
    assert_eq!(decode(stream, &[1]), *expected, "case {case} byte by byte");
}

#[test]
fn section_1_framing() {
    for (case, length) in [
        ("1.1.1", 0),
        ("1.1.2", 125),
        ("1.1.3", 126),
        ("1.1.4", 127),
        ("1.1.5", 128),
        ("1.1.6", 65_535),
        ("1.1.7, 1.1.8", 65_536),
    ] {
        let payload = "*".repeat(length);
        check(case, &text(payload.as_bytes()), &says(&[&payload], &[], None));
    }
    // 1.2: binary messages mean nothing here.
    for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
        check(
            "1.2.1 to 1.2.8",
            &frame(0x82, &vec![0xfe; length]),
            &says(&[], &[], Some(End::Fault(Fault::Binary))),
        );
    }
}

#[test]
fn section_2_pings_and_pongs() {
    let binary = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    check("2.1", &frame(0x89, b""), &says(&[], &[b""], None));
    check("2.2", &frame(0x89, b"Hello, world!"), &says(&[], &[b"Hello, world!"], None));
    check("2.3", &frame(0x89, &binary), &says(&[], &[&binary], None));
    check("2.4, 2.6", &frame(0x89, &[0xfe; 125]), &says(&[], &[&[0xfe; 125]], None));
    check("2.5", &frame(0x89, &[0xfe; 126]), &says(&[], &[], PROTOCOL));
    check("2.7", &frame(0x8a, b""), &says(&[], &[], None));
    check("2.8", &frame(0x8a, b"unsolicited"), &says(&[], &[], None));
    check("2.9", &[frame(0x8a, b"x"), frame(0x89, b"p")].concat(), &says(&[], &[b"p"], None));
    let ten: Vec<u8> = (0..10u8).flat_map(|at| frame(0x89, &[at])).collect();
    let payloads: Vec<[u8; 1]> = (0..10).map(|at| [at]).collect();
    let pings: Vec<&[u8]> = payloads.iter().map(|ping| &ping[..]).collect();
    check("2.10, 2.11", &ten, &says(&[], &pings, None));
}

#[test]
fn section_3_reserved_bits() {
    let good = text(b"good");
    for (case, first) in [
        ("3.1", 0x91),
        ("3.2", 0xa1),
        ("3.3", 0xb1),
        ("3.4", 0xc1),
        ("3.5", 0xd2),
        ("3.6", 0xe9),
        ("3.7", 0xf8),
    ] {
        // What came before is still a message.
        let stream = [good.clone(), frame(first, b"bad"), frame(0x89, b"")].concat();
        check(case, &stream, &says(&["good"], &[], PROTOCOL));
    }
}

#[test]
fn section_4_opcodes() {
    for (case, opcode) in [
        ("4.1.1", 3),
        ("4.1.3", 5),
        ("4.1.4", 6),
        ("4.1.5", 7),
        ("4.1.2", 4),
        ("4.2.1", 11),
        ("4.2.2", 12),
        ("4.2.3", 13),
        ("4.2.4", 14),
        ("4.2.5", 15),
    ] {
        for payload in [&b""[..], b"reserved"] {
            check(
                case,
                &[text(b"good"), frame(0x80 | opcode, payload)].concat(),
                &says(&["good"], &[], PROTOCOL),
            );
        }
    }
}

#[test]
fn section_5_fragmentation() {
    let (one, two) = (frame(0x01, b"frag"), frame(0x80, b"ment"));
    let ping = frame(0x89, b"ping");
    for (case, frames, expected) in [
        ("5.1", vec![frame(0x09, b"frag"), frame(0x80, b"ment")], says(&[], &[], PROTOCOL)),
        ("5.2", vec![frame(0x0a, b"frag"), frame(0x80, b"ment")], says(&[], &[], PROTOCOL)),
        ("5.3 to 5.5", vec![one.clone(), two.clone()], says(&["fragment"], &[], None)),
        ("5.6 to 5.8", vec![one.clone(), ping.clone(), two.clone()], says(&["fragment"], &[b"ping"], None)),
        ("5.9 to 5.11", vec![frame(0x80, b"none"), text(b"x")], says(&[], &[], PROTOCOL)),
        ("5.12 to 5.14", vec![frame(0x00, b"none"), text(b"x")], says(&[], &[], PROTOCOL)),
        (
            "5.15",
            vec![one.clone(), two.clone(), frame(0x00, b"none"), frame(0x01, b"x"), frame(0x80, b"y")],
            says(&["fragment"], &[], PROTOCOL),
        ),
        ("5.16", vec![frame(0x00, b"none"), frame(0x01, b"a"), frame(0x80, b"b")], says(&[], &[], PROTOCOL)),
        ("5.17", vec![frame(0x80, b"none"), frame(0x01, b"a"), frame(0x80, b"b")], says(&[], &[], PROTOCOL)),
        ("5.18", vec![one.clone(), text(b"within")], says(&[], &[], PROTOCOL)),
        ("5.18, binary", vec![one.clone(), frame(0x82, b"within")], says(&[], &[], PROTOCOL)),
        (
            "5.19, 5.20",
            vec![
                frame(0x01, b"1"),
                frame(0x00, b"2"),
                frame(0x89, b"p1"),
                frame(0x00, b"3"),
                frame(0x00, b"4"),
                frame(0x89, b"p2"),
                frame(0x80, b"5"),
            ],
            says(&["12345"], &[b"p1", b"p2"], None),
        ),
        (
            "empty fragments",
            vec![frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")],
            says(&[""], &[], None),
        ),
    ] {
        check(case, &frames.concat(), &expected);
    }
}

#[test]
fn section_6_utf8_over_fragments() {
    let good = "Hello-µ@ßöäüàá-UTF-8!!";
    let fragments = |parts: &[&[u8]]| -> Vec<u8> {
        let last = parts.len() - 1;
        let first = |at: usize| if at == 0 { 0x01 } else { 0x00 } | if at == last { 0x80 } else { 0 };
        parts.iter().enumerate().flat_map(|(at, part)| frame(first(at), part)).collect()
    };
    check("6.1.1", &text(b""), &says(&[""], &[], None));
    check("6.1.2", &fragments(&[b"", b"", b""]), &says(&[""], &[], None));
    check("6.1.3", &fragments(&[b"", b"middle", b""]), &says(&["middle"], &[], None));
    check("6.2.1", &text(good.as_bytes()), &says(&[good], &[], None));
    let (one, two) = good.as_bytes().split_at("Hello-µ@ßöä".len());
    check("6.2.2", &fragments(&[one, two]), &says(&[good], &[], None));
    let each: Vec<&[u8]> = good.as_bytes().chunks(1).collect();
    check("6.2.3", &fragments(&each), &says(&[good], &[], None));
    let kosme = "κόσμε";
    let each: Vec<&[u8]> = kosme.as_bytes().chunks(1).collect();
    check("6.2.4", &fragments(&each), &says(&[kosme], &[], None));
    let surrogate = [kosme.as_bytes(), b"\xed\xa0\x80edited"].concat();
    check("6.3.1", &text(&surrogate), &says(&[], &[], NOT_UTF8));
    let each: Vec<&[u8]> = surrogate.chunks(1).collect();
    check("6.3.2", &fragments(&each), &says(&[], &[], NOT_UTF8));
}

/// 6.5, 6.7, 6.9, 6.11, 6.22 and 6.23, and of 6.6 what ends with a character.
#[test]
fn section_6_what_is_utf8() {
    for (case, good) in [
        ("6.5.1", "hello$world"),
        ("6.5.2", "hello¢world"),
        ("6.5.3", "hello€world"),
        ("6.5.4", "hello\u{24b62}world"),
        ("6.5.5", "κόσμε"),
        ("6.6.2", "κ"),
        ("6.6.5", "κό"),
        ("6.6.7", "κόσ"),
        ("6.6.9", "κόσμ"),
        ("6.6.11", "κόσμε"),
        ("6.7.1", "\u{0}"),
        ("6.7.2", "\u{80}"),
        ("6.7.3", "\u{800}"),
        ("6.7.4", "\u{10000}"),
        ("6.9.1", "\u{7f}"),
        ("6.9.2", "\u{7ff}"),
        ("6.9.3", "\u{ffff}"),
        ("6.9.4", "\u{10ffff}"),
        ("6.11.1", "\u{d7ff}"),
        ("6.11.2", "\u{e000}"),
        ("6.11.3", "\u{fffd}"),
        ("6.11.4", "\u{10ffff}"),
    ] {
        check(case, &text(good.as_bytes()), &says(&[good], &[], None));
    }
    // 6.22: the last two code points of each plane are no characters, and may be sent.
    let of_planes = (0..=16).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    // 6.23: what stands for something else.
    for code_point in of_planes.chain(0xfff9..=0xffff) {
        let good = char::from_u32(code_point).unwrap().to_string();
        check("6.22, 6.23", &text(good.as_bytes()), &says(&[&good], &[], None));
    }
}

/// 6.6, 6.8, 6.10 to 6.21, but for what [`section_6_what_is_utf8`] has.
#[test]
fn section_6_what_is_not_utf8() {
    for (case, bad) in [
        ("6.6.1", &[&b"\xce"[..]][..]),
        ("6.6.3, 6.6.4", &[b"\xce\xba\xe1", b"\xce\xba\xe1\xbd"]),
        ("6.6.6", &[b"\xce\xba\xe1\xbd\xb9\xcf"]),
        ("6.6.8", &[b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce"]),
        ("6.6.10", &[b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce"]),
        // Sequences of five and of six bytes: the first possible, the last possible, and that behind the last of four.
        ("6.8.1, 6.8.2", &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        ("6.10.1 to 6.10.3", &[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        ("6.11.5", &[b"\xf4\x90\x80\x80"]),
        // Continuations of nothing: one, the last of them, two to seven, and all of them.
        ("6.12.1, 6.12.2", &[b"\x80", b"\xbf"]),
        (
            "6.12.3 to 6.12.7",
            &[b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf", b"\x80\xbf\x80\xbf\x80\xbf\x80"],
        ),
        ("6.12.8", &[&CONTINUATIONS]),
        // Beginnings of two, three, four, five and six bytes, and a space.
        ("6.13.1 to 6.13.5", &[b"\xc2 \xdf ", b"\xe0 \xef ", b"\xf0 \xf4 ", b"\xf8 \xfb ", b"\xfc \xfd "]),
        // Sequences whose last byte is missing, the first and the last of each length; and all of them together.
        ("6.14.1, 6.14.6", &[b"\xc0", b"\xdf"]),
        ("6.14.2, 6.14.7", &[b"\xe0\x80", b"\xef\xbf"]),
        ("6.14.3, 6.14.8", &[b"\xf0\x80\x80", b"\xf7\xbf\xbf"]),
        ("6.14.4, 6.14.9", &[b"\xf8\x80\x80\x80", b"\xfb\xbf\xbf\xbf"]),
        ("6.14.5, 6.14.10", &[b"\xfc\x80\x80\x80\x80", b"\xfd\xbf\xbf\xbf\xbf"]),
        ("6.15.1", &[b"\xc0\xe0\x80\xf0\x80\x80\xdf\xef\xbf\xf7\xbf\xbf"]),
        ("6.16.1 to 6.16.3", &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        // A slash, the last of a shorter length, and NUL, in more bytes than need be.
        ("6.17.1 to 6.17.3", &[b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"]),
        ("6.17.4, 6.17.5", &[b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"]),
        ("6.18.1 to 6.18.3", &[b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"]),
        ("6.18.4, 6.18.5", &[b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"]),
        ("6.19.1 to 6.19.3", &[b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80"]),
        ("6.19.4, 6.19.5", &[b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"]),
        // Surrogates, alone and in pairs.
        ("6.20.1 to 6.20.4", &[b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"]),
        ("6.20.5 to 6.20.7", &[b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"]),
        ("6.21.1, 6.21.2", &[b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xa0\x80\xed\xbf\xbf"]),
        ("6.21.3, 6.21.4", &[b"\xed\xad\xbf\xed\xb0\x80", b"\xed\xad\xbf\xed\xbf\xbf"]),
        ("6.21.5, 6.21.6", &[b"\xed\xae\x80\xed\xb0\x80", b"\xed\xae\x80\xed\xbf\xbf"]),
        ("6.21.7, 6.21.8", &[b"\xed\xaf\xbf\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"]),
    ] {
        for bad in bad {
            check(case, &text(bad), &says(&[], &[], NOT_UTF8));
        }
    }
}

/// The bytes that can only continue a character.
const CONTINUATIONS: [u8; 64] = {
    let mut all = [0; 64];
    let mut at = 0;
    while at < all.len() {
        all[at] = 0x80 + at as u8;
        at += 1;
    }
    all
};

/// 6.4: a text that cannot become UTF-8 any more ends the connection before its frame or its message has.
#[test]
fn section_6_4_not_utf8_is_told_at_once() {
    let kosme = "κόσμε".as_bytes();
    let bad = [kosme, b"\xf4\x90"].concat();
    // 6.4.1, 6.4.2: in the second of three fragments.
    let fragments = [frame(0x01, kosme), frame(0x00, b"\xf4\x90")].concat();
    assert_eq!(whole(&fragments).end, NOT_UTF8);
    // 6.4.3, 6.4.4: within one frame whose end has not come.
    let mut one = text(&[&bad, &b"\x80\x80edited"[..]].concat());
    one.truncate(one.len() - 8);
    assert_eq!(whole(&one).end, NOT_UTF8);
    one.pop();
    assert_eq!(whole(&one).end, None, "this may still become a character");
}

#[test]
fn section_7_close() {
    let close = |code: u16, reason: &[u8]| frame(0x88, &[&code.to_be_bytes(), reason].concat());
    let none = Some(End::Closed(None));
    check("7.1.1", &[text(b"x"), frame(0x88, b"")].concat(), &says(&["x"], &[], none));
    check("7.1.2", &[frame(0x88, b""), frame(0x88, b"")].concat(), &says(&[], &[], none));
    check("7.1.3", &[frame(0x88, b""), frame(0x89, b"")].concat(), &says(&[], &[], none));
    check("7.1.4", &[frame(0x88, b""), text(b"x")].concat(), &says(&[], &[], none));
    check("7.1.5", &[frame(0x01, b"a"), frame(0x88, b""), frame(0x80, b"b")].concat(), &says(&[], &[], none));
    let long = "x".repeat(256 << 10);
    check(
        "7.1.6",
        &[text(long.as_bytes()), close(1000, b""), frame(0x89, b"")].concat(),
        &says(&[&long], &[], Some(End::Closed(Some(1000)))),
    );
    check("7.3.1", &frame(0x88, b""), &says(&[], &[], none));
    check("7.3.2", &frame(0x88, b"x"), &says(&[], &[], PROTOCOL));
    check("7.3.3", &close(1000, b""), &says(&[], &[], Some(End::Closed(Some(1000)))));
    check("7.3.4", &close(1000, b"Hello World!"), &says(&[], &[], Some(End::Closed(Some(1000)))));
    check("7.3.5", &close(1000, &[b'*'; 123]), &says(&[], &[], Some(End::Closed(Some(1000)))));
    check("7.3.6", &close(1000, &[b'*'; 124]), &says(&[], &[], PROTOCOL));
    check("7.5.1", &close(1000, b"\xce\xba\xed\xa0\x80"), &says(&[], &[], NOT_UTF8));
    // 7.7: 1012 to 1014 were registered after the RFC.
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        check("7.7", &close(code, b""), &says(&[], &[], Some(End::Closed(Some(code)))));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999] {
        check("7.9", &close(code, b""), &says(&[], &[], PROTOCOL));
    }
    for code in [5000, 65_535] {
        check("7.13", &close(code, b""), &says(&[], &[], PROTOCOL));
    }
}

/// 9.1, 9.3, 9.5 and 9.7: large messages, in one frame and in many, in pieces of any size. (Those of 9.2, 9.4, 9.6 and 9.8 are
/// binary: 1.2. Over a real socket they are longer than `--max-line`: `Line too long`.)
#[test]
fn section_9_large_messages() {
    let message = "Aß🦀*".repeat(1 << 17);
    for (case, read) in [("9.1", 65_535), ("9.5.1", 64), ("9.5.3", 256), ("9.5.5", 1024)] {
        assert_eq!(decode(&text(message.as_bytes()), &[read]).lines.len(), message.len() + 1, "case {case}");
    }
    for (case, size) in
        [("9.3.1", 64), ("9.3.2", 256), ("9.3.3", 1 << 10), ("9.3.4", 4 << 10), ("9.3.8", 1 << 20)]
    {
        let mut stream = frame(0x01, b"");
        stream.extend(message.as_bytes().chunks(size).flat_map(|part| frame(0x00, part)));
        stream.extend(frame(0x80, b""));
        let found = decode(&stream, &[65_535]);
        assert!(found.lines.strip_suffix(b"\n") == Some(message.as_bytes()), "case {case}");
    }
    // 9.7: a thousand messages, one after the other.
    for length in [0, 16, 64, 256, 1024, 4096] {
        let (one, payload) = (text(&vec![b'*'; length]), [vec![b'*'; length], b"\n".to_vec()].concat());
        assert!(
            decode(&one.repeat(1000), &[65_535]).lines == payload.repeat(1000),
            "case 9.7, {length} bytes"
        );
    }
}

/// 10.1.1: a message in frames of 1300 bytes.
#[test]
fn section_10_fragments_of_a_packet() {
    let message = "*".repeat(65_536);
    let parts: Vec<&[u8]> = message.as_bytes().chunks(1300).collect();
    let stream: Vec<u8> = parts
        .iter()
        .enumerate()
        .flat_map(|(at, part)| {
            frame(if at == 0 { 1 } else { 0 } | if at + 1 == parts.len() { 0x80 } else { 0 }, part)
        })
        .collect();
    check("10.1.1", &stream, &says(&[&message], &[], None));
}

#[test]
fn a_frame_without_a_mask_is_a_fault() {
    check("unmasked", &[0x81, 0x05, b'H', b'e', b'l', b'l', b'o'], &says(&[], &[], PROTOCOL));
    check("unmasked Close", &[0x88, 0x00], &says(&[], &[], PROTOCOL));
    check("unmasked binary", &[0x82, 0x01, b'x'], &says(&[], &[], PROTOCOL));
}

#[test]
fn a_message_is_one_line_whatever_is_in_it() {
    check("pretty", &text(b"{\n  \"a\": 1\r\n}\r"), &says(&["{\t  \"a\": 1\t\t}\t"], &[], None));
    check("white space", &text(b" \t\r\n\n"), &says(&[" \t\t\t\t"], &[], None));
}

#[test]
fn an_idle_client_takes_few_bytes() {
    assert!(size_of::<Incoming>() <= 32, "{}", size_of::<Incoming>());
}

/// A plain reading of RFC 6455 of a stream that is there as a whole: the frames one after the other, then what they mean.
fn plain_reading(mut stream: &[u8]) -> Meaning {
    let mut meaning = Meaning::default();
    let mut message: Option<Vec<u8>> = None;
    // What is not UTF-8 is told within a frame; so the text is looked at byte by byte.
    let cannot_be_text =
        |bytes: &[u8]| std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some());
    let fault = |mut meaning: Meaning, fault| {
        meaning.end = Some(End::Fault(fault));
        meaning
    };
    loop {
        let Some(&first) = stream.first() else { return meaning };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let misplaced = match opcode {
            0 => message.is_none(),
            1 | 2 => message.is_some(),
            8..=10 => !fin,
            _ => true,
        };
        if first & 0x70 != 0 || misplaced {
            return fault(meaning, Fault::Protocol);
        }
        let Some(&second) = stream.get(1) else { return meaning };
        if second & 0x80 == 0 || opcode >= 8 && (second & 0x7f > 125 || opcode == 8 && second == 0x81) {
            return fault(meaning, Fault::Protocol);
        }
        let (length, at) = match second & 0x7f {
            126 if stream.len() < 4 => return meaning,
            127 if stream.len() < 10 => return meaning,
            126 => (u64::from(u16::from_be_bytes(stream[2..4].try_into().unwrap())), 4),
            127 => (u64::from_be_bytes(stream[2..10].try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        if at == 4 && length < 126 || at == 10 && (length < 65_536 || length > i64::MAX as u64) {
            return fault(meaning, Fault::Protocol);
        }
        if stream.len() < at + 4 {
            return meaning;
        }
        if opcode == 2 {
            return fault(meaning, Fault::Binary);
        }
        let mask = &stream[at..at + 4];
        let there = &stream[at + 4..];
        let there = &there[..there.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        let payload: Vec<u8> =
            there.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let is_whole = payload.len() as u64 == length;
        if opcode < 8 {
            let mut text = message.take().unwrap_or_default();
            text.extend_from_slice(&payload);
            if cannot_be_text(&text) {
                return fault(meaning, Fault::NotUtf8);
            }
            if is_whole && fin {
                if std::str::from_utf8(&text).is_err() {
                    return fault(meaning, Fault::NotUtf8);
                }
                meaning
                    .lines
                    .extend(text.iter().map(|byte| if b"\r\n".contains(byte) { b'\t' } else { *byte }));
                meaning.lines.push(b'\n');
            } else {
                message = Some(text);
            }
        }
        if !is_whole {
            return meaning;
        }
        if opcode == 9 {
            meaning.pings.push(payload.clone());
        }
        if opcode == 8 {
            let code = payload.first_chunk().map(|&code| u16::from_be_bytes(code));
            let may_be_sent = |code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if code.is_some_and(|code| !may_be_sent(code)) {
                return fault(meaning, Fault::Protocol);
            }
            if std::str::from_utf8(payload.get(2..).unwrap_or_default()).is_err() {
                return fault(meaning, Fault::NotUtf8);
            }
            meaning.end = Some(End::Closed(code));
            return meaning;
        }
        stream = &stream[at + 4 + payload.len()..];
    }
}

/// Frames that are mostly right.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just(0x81), 4 => Just(0x01), 4 => Just(0x00), 4 => Just(0x80), 3 => Just(0x89), 2 => Just(0x8a), 1 => Just(0x88), 1 => any::<u8>(),
    ];
    let text = prop_oneof![
        6 => "[a-c \r\n\té🦀\u{800}]{0,20}".prop_map(String::into_bytes),
        1 => "[a-z]{120,140}".prop_map(String::into_bytes),
        2 => Just("🦀".as_bytes()[..2].to_vec()),
        2 => Just("🦀".as_bytes()[2..].to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..5),
        1 => (990u16..5010).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let whole = (first, text).prop_map(|(first, text)| frame(first, &text));
    let odd = proptest::collection::vec(any::<u8>(), 0..12);
    proptest::collection::vec(prop_oneof![20 => whole, 1 => odd], 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    /// However the stream is cut, it means what it means as a whole. Pings that came in one read count as their last.
    #[test]
    fn cuts_do_not_matter(stream in frames(), sizes in proptest::collection::vec(1usize..40, 1..8)) {
        let expected = plain_reading(&stream);
        prop_assert_eq!(&decode(&stream, &[1]), &expected);
        let found = decode(&stream, &sizes);
        prop_assert_eq!(&found.lines, &expected.lines);
        prop_assert_eq!(found.end, expected.end);
        prop_assert_eq!(found.pings.last(), expected.pings.last());
    }
}

#[test]
fn every_cut_in_two() {
    let stream = [
        text("{\"text\":\"né🦀\"}".as_bytes()),
        frame(0x01, b"a\n"),
        frame(0x89, b"ping"),
        frame(0x80, b"\r"),
        text(&[b'y'; 130]),
        frame(0x88, &1001u16.to_be_bytes()),
        text(b"after the end"),
    ]
    .concat();
    let expected = plain_reading(&stream);
    assert_eq!(expected.end, Some(End::Closed(Some(1001))));
    for cut in 1..stream.len() {
        assert_eq!(decode(&stream, &[cut, usize::MAX]), expected, "cut at {cut}");
    }
}
