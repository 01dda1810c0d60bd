//! What clients and rooms are called on the wire. Each swarm has names of its own, so that neither connections that the
//! server has not forgotten yet, nor a second generator at the same server, nor people's rooms stand in the way.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Letters that tell processes apart: 60 million of them with five.
const TAG: usize = 5;
/// A tag, and the swarm's number in base 36.
const LONGEST: usize = TAG + 7;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The names of one swarm: they begin with the process's tag and the swarm's number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: [u8; LONGEST],
    length: usize,
}

impl Names {
    /// Names that no other swarm has, neither of this process nor, but for a freak chance, of another.
    pub fn unique() -> Names {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static SWARMS: AtomicU32 = AtomicU32::new(0);
        // The seed of the standard library's hash maps is random; the process's number is mixed in.
        let process = *PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        Names::new(process, SWARMS.fetch_add(1, Ordering::Relaxed))
    }

    /// Those of the swarm of this number in the process that has this number for a tag.
    pub fn new(process: u64, swarm: u32) -> Names {
        let mut names = Names { prefix: [0; LONGEST], length: 0 };
        let mut rest = process;
        for _ in 0..TAG {
            names.push((rest % 36) as usize);
            rest /= 36;
        }
        let highest = (0..).take_while(|power| 36u64.pow(*power) <= u64::from(swarm)).last().unwrap_or(0);
        for power in (0..=highest).rev() {
            names.push((u64::from(swarm) / 36u64.pow(power) % 36) as usize);
        }
        names
    }

    fn push(&mut self, digit: usize) {
        self.prefix[self.length] = DIGITS[digit];
        self.length += 1;
    }

    /// The client of this number.
    pub fn client(self, number: u32) -> Name {
        Name { initial: b'u', names: self, number }
    }

    /// The room of this number.
    pub fn room(self, number: u32) -> Name {
        Name { initial: b'r', names: self, number }
    }
}

/// A client's or a room's name, as in `u3kx9q0-17`: at most 24 bytes, letters, digits and a hyphen; with less than ten
/// million clients and 1296 swarms at most 16, as IRC wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    initial: u8,
    names: Names,
    /// Its number in its swarm.
    pub number: u32,
}

impl Name {
    pub fn append_to(self, out: &mut Vec<u8>) {
        out.push(self.initial);
        out.extend_from_slice(&self.names.prefix[..self.names.length]);
        out.push(b'-');
        let mut digits = [0; 10];
        let mut first = digits.len();
        let mut rest = self.number;
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[first..]);
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        self.append_to(&mut bytes);
        bytes
    }

    /// Its length in bytes.
    pub fn length(self) -> usize {
        self.names.length + 2 + self.number.checked_ilog10().unwrap_or_default() as usize + 1
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}
