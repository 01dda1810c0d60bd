//! What stands in the engine: the names of keys and channels, the scripts, and the envelope of a publication.
//!
//! ```text
//! parlor:node:NODE         key: a node that lives; expires with its lease
//! parlor:nick:NAME         key: NODE:SERIAL, who holds this nickname
//! parlor:0:room:ROOM       channel: messages of a room, 0 being the number of the database
//! ```

use std::fmt::Write;
use std::rc::Rc;

/// How long a node lives without renewing its lease, in milliseconds.
pub const LEASE_MS: u64 = 10_000;

/// How long a nickname is kept that nobody renews, in seconds: so long it can outlive a node that was not seen to die.
pub const NICKNAME_S: u64 = 24 * 3600;

/// KEYS: the new nickname, then the old one if it was claimed, too. ARGV: who claims (NODE:SERIAL), the node's own key,
/// how keys of nodes begin, the life of a nickname in seconds.
///
/// 1: it is taken, and the old one is free. 0: somebody who lives has it. -1: the claimant's own lease has run out.
pub const CLAIM: &str = "\
if redis.call('EXISTS', ARGV[2]) == 0 then return -1 end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  local node = string.match(holder, '^(%x+):')
  if node and redis.call('EXISTS', ARGV[3] .. node) == 1 then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[4])
if KEYS[2] and redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1";

/// KEYS: a nickname. ARGV: who holds it. It is free then, unless somebody else holds it.
pub const FREE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// How a guest's nickname begins, before the node.
const GUEST: &str = "guest-";

/// The version of the envelope.
const VERSION: &[u8] = b"1";

/// A node's number: 48 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

/// Twelve hexadecimal digits.
impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// How the names of keys and channels are made.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
    db: u32,
}

impl Keys {
    /// All begin with `prefix`; the channels have the number of the database behind it, because there channels belong
    /// to none.
    pub fn new(prefix: &str, db: u32) -> Self {
        Keys { prefix: prefix.into(), db }
    }

    /// How the keys of nodes begin.
    pub fn nodes(&self) -> String {
        format!("{}node:", self.prefix)
    }

    /// The key of a node.
    pub fn node(&self, node: NodeId) -> String {
        format!("{}node:{node}", self.prefix)
    }

    /// The key of a nickname.
    pub fn nickname(&self, name: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"nick:", name].concat()
    }

    /// How the channels of rooms begin.
    pub fn rooms(&self) -> Rc<[u8]> {
        format!("{}{}:room:", self.prefix, self.db).into_bytes().into()
    }

    /// The channel on which a node tries out what it may do.
    pub fn probe(&self, node: NodeId) -> String {
        format!("{}{}:probe:{node}", self.prefix, self.db)
    }
}

/// Who holds a nickname, as it is written in the engine.
pub fn holder(node: NodeId, serial: u64) -> String {
    format!("{node}:{serial}")
}

/// How the nicknames of this node's guests begin.
pub fn guests(node: NodeId) -> String {
    format!("{GUEST}{node}-")
}

/// Whether a nickname has the form of a guest's on some node: such a name is never claimed.
pub fn is_guest_of_a_node(nickname: &str) -> bool {
    let Some((node, number)) = nickname.strip_prefix(GUEST).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let is_node = node.len() == 12 && node.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_node && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a publication says besides its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The node that has published it,
    pub node: NodeId,
    /// the number of the question that this was,
    pub question: u64,
    /// and the client that asked it.
    pub client: u32,
}

/// What a publication turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Publication<'a> {
    /// A message: the whole line of GET MESSAGE.
    Message(Envelope, &'a [u8]),
    /// Something of a version that this one does not know.
    Unknown,
    /// Nothing that a node has written.
    Foreign,
}

impl Envelope {
    /// Appends what stands before the line.
    pub fn write(&self, out: &mut String) {
        // Writing to a string does not fail.
        let _ = write!(out, "1 {} {:x} {:x} ", self.node, self.question, self.client);
    }

    /// Takes the envelope off.
    pub fn read(payload: &[u8]) -> Publication<'_> {
        let mut parts = payload.splitn(5, |&byte| byte == b' ');
        let version = parts.next().unwrap_or_default();
        if version != VERSION {
            let is_number = !version.is_empty() && version.iter().all(u8::is_ascii_digit);
            return if is_number { Publication::Unknown } else { Publication::Foreign };
        }
        let mut number = || u64::from_str_radix(std::str::from_utf8(parts.next()?).ok()?, 16).ok();
        let (Some(node), Some(question), Some(client)) = (number(), number(), number()) else {
            return Publication::Foreign;
        };
        let line = parts.next().unwrap_or_default();
        let is_line = line.iter().position(|&byte| byte == b'\n') == line.len().checked_sub(1);
        match u32::try_from(client) {
            Ok(client) if is_line && !line.is_empty() && std::str::from_utf8(line).is_ok() => {
                Publication::Message(Envelope { node: NodeId(node), question, client }, line)
            }
            _ => Publication::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_comes_back() {
        for (node, question, client) in [(0, 0, 0), (0xabc, 7, 3), ((1 << 48) - 1, u64::MAX, u32::MAX)] {
            let envelope = Envelope { node: NodeId(node), question, client };
            let mut payload = String::new();
            envelope.write(&mut payload);
            payload.push_str("{\"a\": \"b c\"}\n");
            assert_eq!(
                Envelope::read(payload.as_bytes()),
                Publication::Message(envelope, b"{\"a\": \"b c\"}\n")
            );
        }
    }

    #[test]
    fn what_no_node_has_written_and_what_a_later_one_may_have_are_told_apart() {
        for foreign in [
            "",
            "hello",
            "1",
            "1 x 1 1 a\n",
            "1 1 1 1 a",
            "1 1 1 1 ",
            "1 1 1 1 a\nb\n",
            "1 1 1 100000000 a\n",
        ] {
            assert_eq!(Envelope::read(foreign.as_bytes()), Publication::Foreign, "{foreign:?}");
        }
        assert_eq!(Envelope::read(b"1 1 1 1 \xff\n"), Publication::Foreign);
        assert_eq!(Envelope::read(b"2 anything"), Publication::Unknown);
    }

    #[test]
    fn names_of_guests_are_known_by_their_form() {
        let id = NodeId(0x12ab);
        assert!(is_guest_of_a_node(&format!("{}17", guests(id))));
        for other in [
            "guest-7",
            "guest-0000000012ab",
            "guest-0000000012ab-",
            "guest-0000000012AB-1",
            "guest-0000000012ab-1x",
        ] {
            assert!(!is_guest_of_a_node(other), "{other}");
        }
    }

    #[test]
    fn names_of_keys_and_channels() {
        let keys = Keys::new("parlor:", 3);
        assert_eq!(keys.node(NodeId(1)), "parlor:node:000000000001");
        assert_eq!(keys.nickname(b"Bob"), b"parlor:nick:Bob");
        assert_eq!(&*keys.rooms(), b"parlor:3:room:");
        assert_eq!(keys.probe(NodeId(1)), "parlor:3:probe:000000000001");
    }
}
