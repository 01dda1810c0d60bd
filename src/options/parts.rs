//! The optional parts of the server: which are built in, and what is said of one that is not.

/// A part that is built in only with the cargo feature of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Several nodes as one server.
    Cluster,
    /// TLS.
    Tls,
    /// The page, WebSocket and metrics.
    Web,
}

impl Part {
    /// All of them, in the order in which `--version` names them.
    pub const ALL: [Part; 3] = [Part::Cluster, Part::Tls, Part::Web];

    /// The name of the cargo feature.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Cluster => "cluster",
            Part::Tls => "tls",
            Part::Web => "web",
        }
    }

    /// Whether this program has it.
    pub const fn is_built_in(self) -> bool {
        match self {
            Part::Cluster => cfg!(feature = "cluster"),
            Part::Tls => cfg!(feature = "tls"),
            Part::Web => cfg!(feature = "web"),
        }
    }
}

/// What is said if one of these is not built in.
pub(super) fn missing(needed: &[Part]) -> Option<String> {
    if needed.iter().all(|part| part.is_built_in()) {
        return None;
    }
    let names: Vec<&str> = needed.iter().map(|part| part.name()).collect();
    let features = if names.len() == 1 { "feature" } else { "features" };
    Some(format!("not built in; it needs the cargo {features} {}", names.join(" and ")))
}

/// The optional parts that are built in, with spaces between them.
pub fn built_in() -> String {
    let parts: Vec<&str> =
        Part::ALL.iter().filter(|part| part.is_built_in()).map(|part| part.name()).collect();
    parts.join(" ")
}

/// What `--version` prints: name, version, and the optional parts that are built in.
pub fn version() -> String {
    let parts = built_in();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({parts})") };
    format!("parlor {}{parts}\n", env!("CARGO_PKG_VERSION"))
}
