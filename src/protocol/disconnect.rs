//! Why the server ends a connection. Its last line says so.

use super::Foreign;

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// A limit of connections is reached.
    TooManyClients(ClientLimit),
    /// More of others' messages waited for this client than `--max-pending` allows.
    TooSlow,
    /// `--max-memory` was reached, and most waited for this client.
    OutOfMemory,
    /// Nothing came for `--idle-timeout`.
    IdleTooLong,
    /// The server stops.
    ShuttingDown,
    /// The connection began with another protocol.
    WrongProtocol(Foreign),
    /// This node has lost its engine and cannot tell what it has missed.
    #[cfg(feature = "cluster")]
    ClusterLinkLost,
}

/// Which limit of connections is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLimit {
    /// `--max-clients`, that of the server.
    Server,
    /// `--max-clients-per-ip`, that of the client's address.
    Address,
}

impl DisconnectReason {
    /// The words that the protocol fixes, one for each kind of reason, in the order of [`DisconnectReason::kind`].
    pub const WORDS: &[&str] = &[
        "Too many clients",
        "Too slow",
        "Out of memory",
        "Idle too long",
        "Server shutting down",
        "Wrong protocol",
        #[cfg(feature = "cluster")]
        "Cluster link lost",
    ];

    /// The place of this kind of reason, whatever the detail, in [`DisconnectReason::WORDS`], and so in any table with
    /// an entry for each kind.
    pub fn kind(self) -> usize {
        match self {
            DisconnectReason::TooManyClients(_) => 0,
            DisconnectReason::TooSlow => 1,
            DisconnectReason::OutOfMemory => 2,
            DisconnectReason::IdleTooLong => 3,
            DisconnectReason::ShuttingDown => 4,
            DisconnectReason::WrongProtocol(_) => 5,
            #[cfg(feature = "cluster")]
            DisconnectReason::ClusterLinkLost => 6,
        }
    }

    /// The words of this kind of reason.
    pub fn words(self) -> &'static str {
        Self::WORDS.get(self.kind()).copied().unwrap_or_default()
    }

    /// The text of `message`: the words that the protocol fixes; a detail may follow after `: `.
    pub fn text(self) -> &'static str {
        match self {
            DisconnectReason::TooManyClients(ClientLimit::Server) => "Too many clients: the server is full",
            DisconnectReason::TooManyClients(ClientLimit::Address) => {
                "Too many clients: your address has as many connections as one address may have"
            }
            DisconnectReason::TooSlow => "Too slow",
            DisconnectReason::OutOfMemory => "Out of memory",
            DisconnectReason::IdleTooLong => "Idle too long",
            DisconnectReason::ShuttingDown => "Server shutting down",
            DisconnectReason::WrongProtocol(Foreign::Http) => {
                "Wrong protocol: this is HTTP, but this listener speaks JSON lines"
            }
            DisconnectReason::WrongProtocol(Foreign::Tls) => {
                "Wrong protocol: this is a TLS handshake, but this listener speaks JSON lines"
            }
            DisconnectReason::WrongProtocol(Foreign::ProxyHeader) => {
                "Wrong protocol: this is a PROXY header, but this listener speaks JSON lines"
            }
            DisconnectReason::WrongProtocol(Foreign::NoTls) => {
                "Wrong protocol: this is no TLS handshake, but this listener speaks JSON lines over TLS"
            }
            #[cfg(feature = "cluster")]
            DisconnectReason::ClusterLinkLost => "Cluster link lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_begins_with_the_words_of_its_kind() {
        use DisconnectReason::*;
        let mut reasons = vec![TooSlow, OutOfMemory, IdleTooLong, ShuttingDown];
        reasons.extend([ClientLimit::Server, ClientLimit::Address].map(TooManyClients));
        reasons
            .extend([Foreign::Http, Foreign::Tls, Foreign::ProxyHeader, Foreign::NoTls].map(WrongProtocol));
        #[cfg(feature = "cluster")]
        reasons.push(ClusterLinkLost);
        let mut seen = vec![false; DisconnectReason::WORDS.len()];
        for reason in reasons {
            seen[reason.kind()] = true;
            let detail = reason.text().strip_prefix(reason.words()).unwrap();
            assert!(detail.is_empty() || detail.starts_with(": "), "{}", reason.text());
        }
        assert!(seen.iter().all(|&seen| seen));
    }
}
