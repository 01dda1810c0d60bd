//! Whatever a socket takes of what it is given, the frames come out whole and in order.

use super::*;
use crate::protocol::DisconnectReason;
use crate::transport::Received;
use crate::web::frames::Fault;
use proptest::prelude::*;

/// Takes so many bytes a call; 0 is that it takes nothing now.
struct Socket {
    taken: Vec<u8>,
    appetite: Vec<usize>,
    calls: usize,
}

impl Socket {
    fn new(appetite: &[usize]) -> Socket {
        Socket { taken: Vec::new(), appetite: appetite.to_vec(), calls: 0 }
    }
}

impl Transport for Socket {
    fn receive(&mut self, _: &mut [u8]) -> io::Result<Received> {
        Ok(Received::Nothing)
    }

    fn send(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> io::Result<Sent> {
        assert!(!bytes.is_empty());
        let most = self.appetite[self.calls % self.appetite.len()];
        self.calls += 1;
        if most == 0 {
            return Ok(Sent::Blocked);
        }
        let taken = most.min(bytes.len());
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(Sent::Bytes(taken))
    }

    fn finish(&mut self, _: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

/// The frames that a client gets: their first byte and their payload. It must be all of the bytes.
fn read_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, ..] = *bytes {
        let (length, at) = match second {
            126 => (u16::from_be_bytes(bytes[2..4].try_into().unwrap()).into(), 4),
            127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize, 10),
            short => (short.into(), 2),
        };
        frames.push((first, bytes[at..at + length].to_vec()));
        bytes = &bytes[at + length..];
    }
    assert!(bytes.is_empty());
    frames
}

fn ping(payload: &[u8]) -> Control {
    let mut control = Control::default();
    control.push(payload);
    control
}

/// One call. How many bytes of the lines were taken; `None` when there is no room.
fn send(outgoing: &mut Outgoing, lines: &[u8], scratch: &mut Vec<u8>, socket: &mut Socket) -> Option<usize> {
    match outgoing.send(lines, scratch, socket).unwrap() {
        Sent::Blocked => None,
        Sent::Bytes(taken) => {
            assert!(taken > 0 && taken <= lines.len());
            // Of a frame nothing is kept but the rest of its head and the first byte, and a pong.
            assert!(outgoing.held() <= 11 + 2 * 127);
            Some(taken)
        }
    }
}

/// Writes all, however often that takes.
fn send_all(outgoing: &mut Outgoing, mut lines: &[u8], scratch: &mut Vec<u8>, socket: &mut Socket) {
    while !lines.is_empty() {
        lines = &lines[send(outgoing, lines, scratch, socket).unwrap_or_default()..];
    }
    while !outgoing.flush(socket).unwrap() {}
    assert!(
        !outgoing.is_mid_line() && outgoing.held() == 0 && (outgoing.0.is_none() || outgoing.is_closed())
    );
}

fn texts(lines: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let lines = lines.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n');
    lines.map(|line| (0x81, line.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// Any appetite gives the same frames.
    #[test]
    fn short_writes_do_not_matter(
        lengths in proptest::collection::vec(prop_oneof![4 => 0usize..5, 4 => 100usize..140, 1 => 65_530usize..65_540], 1..8),
        appetite in proptest::collection::vec(prop_oneof![0usize..4, 0usize..300, Just(100_000)], 1..8),
    ) {
        // Small bites are for small lines, or it would take long.
        let bite = if lengths.iter().sum::<usize>() < 1000 { 3 } else { 100_000 };
        let appetite = [&appetite[..], &[bite]].concat();
        let lines: Vec<u8> = lengths.iter().flat_map(|&length| [&vec![b'x'; length][..], b"\n"].concat()).collect();
        let mut socket = Socket::new(&appetite);
        send_all(&mut Outgoing::default(), &lines, &mut Vec::new(), &mut socket);
        prop_assert!(read_frames(&socket.taken) == texts(&lines));
    }

    /// Pongs, pings and the Close stand between text frames, wherever they were asked for; the lines are all there, and
    /// the last pong is.
    #[test]
    fn control_frames_stand_between_text_frames(
        appetite in proptest::collection::vec(0usize..9, 1..8),
        pings in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let appetite = [&appetite[..], &[5, 0]].concat();
        let lines = b"{\"a\":1}\n\n[]\n{\"action\":\"GET MESSAGE\"}\n";
        let (mut outgoing, mut scratch, mut socket) = (Outgoing::default(), Vec::new(), Socket::new(&appetite));
        let mut rest = &lines[..];
        let mut last = None;
        for (at, &also) in pings.iter().enumerate() {
            if also {
                outgoing.pong(ping(&[at as u8]));
                last = Some(vec![at as u8]);
            }
            if rest.is_empty() {
                let _ = outgoing.flush(&mut socket).unwrap();
            } else {
                rest = &rest[send(&mut outgoing, rest, &mut scratch, &mut socket).unwrap_or_default()..];
            }
        }
        send_all(&mut outgoing, rest, &mut scratch, &mut socket);
        outgoing.close(Some(Fault::Protocol.code()));
        outgoing.pong(ping(b"too late"));
        outgoing.ping();
        send_all(&mut outgoing, b"", &mut scratch, &mut socket);
        let mut frames = read_frames(&socket.taken);
        prop_assert_eq!(frames.pop(), Some((0x88, 1002u16.to_be_bytes().to_vec())));
        let (pongs, others): (Vec<_>, Vec<_>) = frames.into_iter().partition(|(first, _)| *first == 0x8a);
        prop_assert_eq!(others, texts(lines));
        prop_assert_eq!(pongs.last().map(|(_, payload)| payload), last.as_ref());
    }
}

#[test]
fn of_several_pongs_only_the_newest_goes_out() {
    let mut outgoing = Outgoing::default();
    let mut socket = Socket::new(&[100]);
    outgoing.ping();
    for payload in [&b"one"[..], b"two", b"three"] {
        outgoing.pong(ping(payload));
    }
    assert!(outgoing.flush(&mut socket).unwrap());
    assert_eq!(read_frames(&socket.taken), [(0x8a, b"three".to_vec()), (0x89, vec![])]);
}

#[test]
fn a_line_has_begun_as_soon_as_anything_of_its_frame_is_out() {
    let lines = b"first line\nsecond line\n";
    for most in 1..12 {
        let (mut outgoing, mut scratch) = (Outgoing::default(), Vec::new());
        let mut socket = Socket::new(&[most, 0]);
        let taken = send(&mut outgoing, lines, &mut scratch, &mut socket).unwrap();
        assert_eq!(outgoing.is_mid_line(), taken < 11);
        // The second line is given up.
        socket.appetite = vec![100];
        let rest = &lines[taken..11];
        outgoing.close(Some(1008));
        send_all(&mut outgoing, rest, &mut scratch, &mut socket);
        let close = (0x88, 1008u16.to_be_bytes().to_vec());
        assert_eq!(read_frames(&socket.taken), [(0x81, b"first line".to_vec()), close]);
    }
}

#[test]
fn a_long_line_is_framed_in_parts_and_takes_no_memory_of_its_own() {
    let lines = [&vec![b'x'; 3 << 20][..], b"\nshort\n"].concat();
    let (mut outgoing, mut scratch) = (Outgoing::default(), Vec::new());
    let mut socket = Socket::new(&[70_000, 1, 0]);
    let mut rest = &lines[..];
    while !rest.is_empty() {
        rest = &rest[send(&mut outgoing, rest, &mut scratch, &mut socket).unwrap_or_default()..];
        assert!(scratch.capacity() <= 6 * FRAMED_BYTES);
    }
    assert!(outgoing.flush(&mut socket).unwrap());
    assert!(read_frames(&socket.taken) == texts(&lines));
}

#[test]
fn what_was_framed_last_is_used_only_for_the_same_lines() {
    let all = ["a\n\n", &"x".repeat(125), "\n", &"y".repeat(126), "\n", &"z".repeat(65_000), "\n"].concat();
    let many: Vec<&[u8]> = vec![
        all.as_bytes(),
        b"one\ntwo\n",
        b"one\ntwo\n",
        b"two\n",
        b"one\n",
        b"xone\ntwo\n",
        all.as_bytes(),
        &all.as_bytes()[2..],
        b"one\n",
        b"one\none\n",
        b"\n",
        b"\n\n",
    ];
    let mut scratch = Vec::new();
    for lines in many {
        let known = framed(lines, &scratch);
        let frames = frame(lines, 0, &mut scratch).0.to_vec();
        assert!(read_frames(&frames) == texts(lines));
        assert!(known.is_none_or(|known| known == frames.len()));
        assert_eq!(framed(lines, &scratch), Some(frames.len()), "they are known the next time");
        // The rest of a line that looks like a line of its own is not.
        if let Some(length) = lines.iter().position(|&byte| byte == b'\n').filter(|&length| length > 0) {
            assert!(frame(lines, length, &mut scratch).0.starts_with(&lines[..length]));
            assert_eq!(framed(lines, &scratch), None);
        }
    }
}

#[test]
fn an_idle_client_takes_few_bytes() {
    assert!(size_of::<Outgoing>() <= 8);
}
