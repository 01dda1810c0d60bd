//! What made-up clients are like, and what they say.

use crate::common::random::Random;
use crate::common::requests::Speech;

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    pub reads: Reads,
    /// Lines that it says at once, at most.
    pub lines_at_once: usize,
    /// What it sends arrives in pieces of so many bytes at most.
    pub piece: usize,
    /// Bytes that the kernel takes for it before it reads.
    pub capacity: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// All that there is, whenever it can.
    Eagerly,
    /// A little now and then.
    Slowly,
    Never,
}

impl Nature {
    pub fn random(random: &mut Random) -> Nature {
        let reads = match random.below(10) {
            0..6 => Reads::Eagerly,
            6..9 => Reads::Slowly,
            _ => Reads::Never,
        };
        Nature {
            reads,
            lines_at_once: *random.one_of(&[&1, &1, &3, &20]),
            piece: *random.one_of(&[&1, &7, &100, &5000, &usize::MAX, &usize::MAX]),
            capacity: *random.one_of(&[&1, &90, &700, &5000, &5000, &100_000]),
        }
    }
}

/// Puts lines together.
pub struct Script {
    speech: Speech,
    /// Texts are long: a few of them fill a turn.
    pub heavy: bool,
    numbers: u64,
}

impl Script {
    pub fn new(max_line: usize) -> Script {
        Script { speech: Speech::new(max_line), heavy: false, numbers: 0 }
    }

    /// Some lines with their line ends.
    pub fn lines(&mut self, count: usize, random: &mut Random) -> Vec<u8> {
        let mut lines = Vec::new();
        for _ in 0..=random.below(count) {
            match random.below(400) {
                0 => lines.extend(self.burst(random)),
                1 => lines.extend(b"\n".repeat(random.below(3000))),
                2 => lines.extend(nested(random)),
                3..200 => lines.extend(self.request(random).into_bytes()),
                _ => lines.extend(self.speech.line(random)),
            }
            lines.extend(if random.once_in(9) { &b"\r\n"[..] } else { b"\n" });
        }
        lines
    }

    /// The room and the text are like no others, so that a message that is lost or moved is missed.
    fn request(&mut self, random: &mut Random) -> String {
        let rooms = &self.speech.rooms;
        let room = &rooms[random.below(rooms.len())];
        self.numbers += 1;
        let number = self.numbers;
        match random.below(12) {
            0 => format!(r#"{{"action":"LEFT ROOM","room_id":{room},"id":{number}}}"#),
            1..3 => format!(r#"{{"action":"JOIN ROOM","room_id":{room},"id":{number}}}"#),
            3 => format!(r#"{{"action":"LOGIN NICK","nickname":"n{}"}}"#, random.below(20)),
            _ => {
                let lengths = if self.heavy { [0, 100, 2000, 8000, 30_000] } else { [0, 0, 10, 100, 2000] };
                let length = lengths[random.below(lengths.len())];
                let more = "x".repeat(random.below(length + 1));
                format!(r#"{{"action":"SEND MESSAGE","room_id":{room},"text":"{number} {more}"}}"#)
            }
        }
    }

    /// Many small lines: a client's share of a turn does not suffice for them.
    fn burst(&mut self, random: &mut Random) -> Vec<u8> {
        let line: &[u8] = match random.below(5) {
            0 => b"{\"action\":\"SEND MESSAGE\",\"room_id\":7,\"text\":\"\"}\n",
            1 => b"{\"action\":\"JOIN ROOM\",\"room_id\":7}\n{\"action\":\"LEFT ROOM\",\"room_id\":7}\n",
            _ => b"1\n",
        };
        line.repeat(random.below(if line.len() > 2 { 200 } else { 2500 }))
    }
}

/// What a connection may begin with instead of lines; or nearly so, and then they are lines.
pub fn another_protocol(random: &mut Random) -> &'static [u8] {
    random.one_of(&[
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\n \nPOST /x HTTP/1.0\r\n\r\n{\"action\":\"JOIN ROOM\",\"room_id\":7}\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n!",
        b"PROX",
        b"\r\n\r\n\0\r\n",
        b"\x16",
    ])
}

fn nested(random: &mut Random) -> Vec<u8> {
    let depth = random.below(20_000);
    let mut line = b"[".repeat(depth);
    line.extend(b"]".repeat(depth));
    line
}
