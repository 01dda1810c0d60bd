//! Facts about the host, without which no figure means anything.

use std::fs;

use serde_json::{Value, json};

use crate::cluster;
use crate::process::Cpus;
use crate::run::Place;
use crate::servers::Kind;
use crate::transport::Via;

/// Name and value, for people to read and for JSON.
pub struct Facts(pub Vec<(&'static str, String)>);

/// What this host is, and which versions of the servers were measured.
pub fn facts(kinds: &[Kind], place: &Place) -> Facts {
    let mut facts = vec![("CPU", cpu()), ("CPUs", cpus())];
    let memory =
        field("/proc/meminfo", "MemTotal:").and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok());
    facts.push((
        "memory",
        memory.map_or(unknown(), |kilobytes| format!("{:.1} GiB", kilobytes / 1024.0 / 1024.0)),
    ));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    facts.push(("kernel", format!("{} {}", std::env::consts::OS, release.trim())));
    facts.push(("descriptors", place.launch.descriptors.to_string()));
    facts.push(("pinned", pinned(place)));
    if place.launch.via != Via::Tcp {
        facts.push(("parlor via", place.launch.via.name().to_owned()));
    }
    if kinds.iter().any(|kind| matches!(kind, Kind::Nodes(_))) {
        facts.extend(cluster::engine_in_words(&place.launch).map(|engine| ("engine", engine)));
    }
    for kind in kinds {
        facts.extend(kind.version(&place.launch).map(|version| (kind.name(), version)));
    }
    Facts(facts)
}

impl Facts {
    pub fn to_json(&self) -> Value {
        let members = self.0.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
        Value::Object(members.collect())
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn cpu() -> String {
    field("/proc/cpuinfo", "model name")
        .map_or(unknown(), |text| text.trim_start_matches([':', ' ', '\t']).to_owned())
}

/// Those of the host, not only those that this process is pinned to.
fn cpus() -> String {
    let listed = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    match listed.lines().filter(|line| line.starts_with("processor")).count() {
        0 => unknown(),
        count => count.to_string(),
    }
}

fn pinned(place: &Place) -> String {
    match place.launch.cpus {
        None => "no".to_owned(),
        Some(Cpus { generator, .. }) if place.parlor_runs_already => format!("generator on CPU {generator}"),
        Some(Cpus { generator, server }) if generator == server => {
            format!("both on CPU {server}: they share it")
        }
        Some(Cpus { generator, server }) => format!("server on CPU {server}, generator on CPU {generator}"),
    }
}

/// The rest of the first line of the file that begins with `name`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}
