//! What can go wrong in a run, and whose affair it is.

use std::fmt;

/// Why a run has failed. What a server did wrong is told from what it refused, and both from what the generator's host
/// could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A message was left out, or others came before their turn.
    Gap(String),
    /// A message came twice.
    Repeated(String),
    /// Something came that nobody sent, or not as it was sent.
    Garbled(String),
    /// What was waited for did not come in time.
    Missing(String),
    /// The server lets in no more clients; its words.
    Full(String),
    /// The server has ended a connection and said why.
    Ended(String),
    /// A connection could not be made, or has ended without a word.
    Lost(String),
    /// The generator has no local port left towards the server.
    OutOfPorts(String),
    /// The generator's host could not do it, or a server did not start.
    Host(String),
}

impl Fault {
    /// Whether the server has broken its promise about deliveries: then nothing that was measured counts.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Fault::Gap(_) | Fault::Repeated(_) | Fault::Garbled(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, what) = match self {
            Fault::Gap(what) => ("lost or out of order: ", what),
            Fault::Repeated(what) => ("delivered twice: ", what),
            Fault::Garbled(what) => ("garbled: ", what),
            Fault::Missing(what) => ("never came: ", what),
            Fault::Full(what) => ("the server lets in no more clients: ", what),
            Fault::Ended(what) => ("the server has ended a connection: ", what),
            Fault::Lost(what) => ("connection lost: ", what),
            Fault::OutOfPorts(what) => ("", what),
            Fault::Host(what) => ("could not be run: ", what),
        };
        write!(f, "{kind}{what}")
    }
}
