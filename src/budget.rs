//! How much work one turn (one iteration of the poll loop) may do, so that signals, new connections and other
//! clients' requests are looked at again soon, whatever the clients do. Knows nothing of clocks: the work is
//! counted, not timed, so that the same input always leads to the same turns.
//!
//! Work is counted in nanoseconds as it takes on a small rented machine, from measurements of the whole
//! server. It need not be exact: half or twice as much still keeps the promise of about 100 ms.
//!
//! Requests and writes have a budget each. The bytes of a message are counted in both, and that is meant:
//! when it is said, so that not more is asked for in one turn than can be written in about one; and when it
//! is written, which can be in another turn.

/// The requests of one turn. The bytes that they cause to be written count here too.
const REQUESTS_NS: u64 = 40_000_000;

/// While clients wait that have more to ask than their share (`ready_again` of the hub is not empty), those
/// in `ready` may together take so much of it: 30 of the 40 ms. The rest is for those that wait.
const FIRST_NS: u64 = 30_000_000;

/// The share of one client in a turn is at least so much. Whatever is left of it, one line is carried out.
const SHARE_NS_MIN: u64 = 10_000;

/// Writing at the end of a turn. What is left goes on in the next turn, in which nobody is read.
const WRITES_NS: u64 = 60_000_000;

/// A request on its own, parsed and answered.
const REQUEST_NS: u64 = 300;

/// Each byte of its line: it is looked at, checked, and comes back with the reply. With escapes it takes up to four times
/// as long.
const LINE_BYTE_NS: u64 = 1;

/// A range of a batch that is queued for a member. More than it takes: this also bounds how many there are, and with
/// that the memory of a turn in which rooms take turns in talking. 66,000 take 1.6 MB.
const PIECE_NS: u64 = 600;

/// A call of `write`, or of `read`.
const CALL_NS: u64 = 5_000;

/// So many bytes are copied into the kernel in a nanosecond.
const BYTES_PER_NS: u64 = 2;

/// What one turn has done so far.
#[derive(Debug, Default)]
pub struct Budget {
    requests_ns: u64,
    writes_ns: u64,
    /// When as much as this has been spent on requests, the client that is being read from has had its share.
    share_ends_ns: u64,
}

impl Budget {
    /// A new turn begins.
    pub fn renew(&mut self) {
        *self = Budget::default();
    }

    /// A request is carried out, whose line has so many bytes.
    pub fn spend_request(&mut self, bytes: usize) {
        self.requests_ns += REQUEST_NS + bytes as u64 * LINE_BYTE_NS;
    }

    /// A client was read from, which took so much beside the call.
    pub fn spend_read(&mut self, ns: u64) {
        self.requests_ns += CALL_NS + ns;
    }

    /// So many bytes will be written, one copy for each who gets them. See [`Budget::spend_write`].
    pub fn spend_bytes(&mut self, bytes: u64) {
        self.requests_ns += bytes / BYTES_PER_NS;
    }

    /// So many ranges of batches were queued.
    pub fn spend_pieces(&mut self, pieces: usize) {
        self.requests_ns += pieces as u64 * PIECE_NS;
    }

    /// A client was written to. The bytes were counted among the requests before, see the head of this
    /// module.
    pub fn spend_write(&mut self, calls: u32, bytes: usize) {
        self.writes_ns += u64::from(calls) * CALL_NS + bytes as u64 / BYTES_PER_NS;
    }

    /// A client is to be read from, one of so many that are ready. It may use an equal share of the turn.
    pub fn begin_share(&mut self, clients: usize) {
        let share = (REQUESTS_NS / clients.max(1) as u64).max(SHARE_NS_MIN);
        self.share_ends_ns = REQUESTS_NS.min(self.requests_ns + share);
    }

    /// The client that is being read from has had its share.
    pub fn share_is_over(&self) -> bool {
        self.requests_ns >= self.share_ends_ns
    }

    /// What is left is for those who have more to ask than their share.
    pub fn first_are_over(&self) -> bool {
        self.requests_ns >= FIRST_NS
    }

    /// No more requests are carried out in this turn.
    pub fn requests_are_over(&self) -> bool {
        self.requests_ns >= REQUESTS_NS
    }

    /// No more is written in this turn.
    pub fn writes_are_over(&self) -> bool {
        self.writes_ns >= WRITES_NS
    }
}
