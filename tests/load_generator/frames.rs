//! The client's side of WebSocket, byte by byte.

use crate::transport::{Address, Ending, Layer, Via};

fn layer() -> Box<dyn Layer> {
    Via::Ws.layer(&Address::parse("127.0.0.1:80").unwrap()).unwrap()
}

/// A WebSocket that has been let in.
fn web_socket() -> Box<dyn Layer> {
    let mut layer = layer();
    let mut request = Vec::new();
    layer.open(&mut request);
    assert!(request.starts_with(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"));
    assert!(!layer.is_open());
    assert_eq!(received(&mut *layer, RESPONSE.as_bytes()), (Vec::new(), Vec::new(), Ok(())));
    assert!(layer.is_open());
    layer
}

const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn received(layer: &mut dyn Layer, bytes: &[u8]) -> (Vec<u8>, Vec<u8>, Result<(), Ending>) {
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    let result = layer.receive(bytes, &mut plain, &mut wire);
    (plain, wire, result)
}

/// A frame of a server.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(length as u8),
        length @ ..0x1_0000 => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn frames_of_every_length_arrive_however_they_are_cut() {
    let lengths = [0, 1, 7, 8, 125, 126, 127, 65_535, 65_536, 70_000];
    let messages: Vec<Vec<u8>> = lengths.iter().map(|length| vec![b'x'; *length]).collect();
    let mut bytes = RESPONSE.as_bytes().to_vec();
    messages.iter().for_each(|message| bytes.extend(frame(0x81, message)));
    let expected: Vec<u8> = messages.iter().flat_map(|message| [message, &b"\n"[..]].concat()).collect();
    for size in [1, 2, 3, 1000, 4096, bytes.len()] {
        // Byte by byte the long ones would be looked at some 200,000 times.
        let all = if size < 1000 { 2000 } else { bytes.len() };
        let mut layer = layer();
        let mut plain = Vec::new();
        for part in bytes[..all].chunks(size) {
            let (more, wire, result) = received(&mut *layer, part);
            assert_eq!((wire, result), (Vec::new(), Ok(())));
            plain.extend(more);
        }
        assert!(!plain.is_empty() && expected.starts_with(&plain), "in parts of {size}");
        assert!(all < bytes.len() || plain == expected, "in parts of {size}");
    }
}

#[test]
fn what_is_sent_is_masked_and_comes_out_as_it_went_in() {
    let mut layer = web_socket();
    for length in [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 125, 126, 65_535, 65_536] {
        let payload: Vec<u8> = (0..length).map(|place| b'a' + (place % 26) as u8).collect();
        let mut wire = Vec::new();
        layer.send(&mut [&payload, &b"\n"[..]].concat(), &mut wire);
        let head =
            [(126, 2), (0x1_0000, 4)].iter().find(|(end, _)| length < *end).map_or(10, |(_, head)| *head);
        assert_eq!(wire[0], 0x81);
        assert_eq!(wire[1] & 0x80, 0x80, "masked");
        assert_eq!(wire.len(), head + 4 + length);
        let (mask, covered) = wire[head..].split_at(4);
        let uncovered: Vec<u8> =
            covered.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert!(uncovered == payload, "{length} bytes");
    }
}

#[test]
fn fragments_and_pings_between_them_are_put_in_order() {
    let mut layer = web_socket();
    let bytes =
        [frame(0x01, b"one "), frame(0x89, b"there?"), frame(0x00, b"two "), frame(0x80, b"three")].concat();
    let (plain, wire, result) = received(&mut *layer, &bytes);
    assert_eq!((plain, result), (b"one two three\n".to_vec(), Ok(())));
    // The pong: masked, with the ping's payload.
    assert_eq!((wire[0], wire[1]), (0x8a, 0x80 | 6));
    let uncovered: Vec<u8> =
        wire[6..].iter().zip(wire[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    assert_eq!(uncovered, b"there?");
}

#[test]
fn what_comes_before_a_close_counts() {
    let mut layer = web_socket();
    let close = frame(0x88, &[&1013u16.to_be_bytes()[..], b"full"].concat());
    let (plain, wire, result) = received(&mut *layer, &[frame(0x81, b"last words"), close].concat());
    assert_eq!(plain, b"last words\n");
    assert_eq!(result, Err(Ending::Closed("Close 1013 full".to_owned())));
    assert_eq!((wire[0], wire[1]), (0x88, 0x82));
}

#[test]
fn a_server_that_breaks_the_rules_of_frames_is_found_out() {
    let mut masked = frame(0x81, b"1234abcd");
    masked[1] |= 0x80;
    let wrong = [
        ("a mask", masked),
        ("a reserved bit", frame(0xc1, b"text")),
        ("binary", frame(0x82, b"text")),
        ("an unknown opcode", frame(0x83, b"text")),
        ("the rest of nothing", frame(0x80, b"text")),
        ("a message within another", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
        ("a fragmented ping", frame(0x09, b"ping")),
        ("a long ping", frame(0x89, &[b'x'; 126])),
        ("two bytes for a short length", vec![0x81, 126, 0, 2, b'a', b'b']),
        ("eight bytes for a short length", vec![0x81, 127, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b']),
        ("an endless length", vec![0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("two lines in a message", frame(0x81, b"a\nb")),
    ];
    for (what, bytes) in wrong {
        let (_, _, result) = received(&mut *web_socket(), &bytes);
        assert!(matches!(result, Err(Ending::Wrong(_))), "{what}: {result:?}");
    }
}

#[test]
fn a_handshake_that_fails_is_not_taken_for_one_that_does_not() {
    let response = |from: &str, to: &str| received(&mut *layer(), RESPONSE.replace(from, to).as_bytes()).2;
    assert_eq!(response("101", "101"), Ok(()));
    assert!(matches!(response("101 Switching Protocols", "404 Not Found"), Err(Ending::Refused(_))));
    for (from, to) in [
        ("s3pP", "x3pP"),
        ("upgrade: WebSocket", "upgrade: h2c"),
        ("keep-alive, Upgrade", "keep-alive"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    ] {
        assert!(matches!(response(from, to), Err(Ending::Wrong(_))), "{to}");
    }
}
