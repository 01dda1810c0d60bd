//! What the server counts, in the text format of Prometheus. Knows nothing of where the numbers come from.
//!
//! Names and units are those of Prometheus' conventions: base units, `_total` behind what only grows.

use std::fmt::{self, Write};
use std::time::Duration;

/// The media type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is to tell, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// Of the server.
    pub version: &'a str,
    /// The optional parts that are built in, with commas.
    pub features: &'a str,
    /// Connected clients.
    pub clients: u64,
    /// `--max-clients`.
    pub clients_max: u64,
    /// Rooms that somebody is in.
    pub rooms: u64,
    /// Connections that are no clients any more and are kept for their last words.
    pub lingering: u64,
    /// HTTP connections that are no clients.
    pub http_connections: u64,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Of them, those that were not let in, by reason.
    pub refused: &'a [(&'a str, u64)],
    /// Clients that the server has ended, by reason.
    pub ended: &'a [(&'a str, u64)],
    /// Requests by action and outcome.
    pub requests: &'a [(&'a str, &'a str, u64)],
    /// Messages sent to rooms.
    pub messages: u64,
    /// Messages times the members of their rooms.
    pub deliveries: u64,
    /// Bytes read from clients.
    pub received_bytes: u64,
    /// Bytes written to clients.
    pub sent_bytes: u64,
    /// Calls of `read`.
    pub reads: u64,
    /// Calls of `write`.
    pub writes: u64,
    /// Bytes that wait to be written to clients; those that wait for many count for each.
    pub waiting_bytes: u64,
    /// Bytes allocated for input and output.
    pub memory_bytes: u64,
    /// `--max-memory`.
    pub memory_max_bytes: u64,
    /// `--max-pending`.
    pub pending_max_bytes: u64,
    /// When the certificate of `--tls-cert` expires, in seconds since 1970, if there is one.
    pub certificate_expires_at: Option<u64>,
    /// How long the turns of the loop took.
    pub turns: &'a Durations,
}

/// The upper bounds of the buckets of a histogram, in nanoseconds. As text they are in seconds.
const BUCKETS: [(u64, &str); 14] = [
    (10_000, "0.00001"),
    (25_000, "0.000025"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (1_000_000_000, "1"),
];

/// A histogram of durations. To add one takes a few nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many were not longer than the bound of each bucket, and longer than that of the one before.
    counts: [u64; BUCKETS.len()],
    longer: u64,
    sum: Duration,
}

impl Durations {
    /// Counts a duration.
    pub fn add(&mut self, duration: Duration) {
        let bucket = BUCKETS.partition_point(|&(bound_ns, _)| duration > Duration::from_nanos(bound_ns));
        *self.counts.get_mut(bucket).unwrap_or(&mut self.longer) += 1;
        self.sum = self.sum.saturating_add(duration);
    }
}

impl fmt::Display for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        head(f, "parlor_build_info", "gauge", "What is running; always 1.")?;
        let (version, features) = (Quoted(self.version), Quoted(self.features));
        writeln!(f, "parlor_build_info{{version={version},features={features}}} 1")?;
        for (name, help, value) in self.gauges() {
            head(f, name, "gauge", help)?;
            writeln!(f, "{name} {value}")?;
        }
        if let Some(expires_at) = self.certificate_expires_at {
            let name = "parlor_certificate_expiry_timestamp_seconds";
            head(f, name, "gauge", "When the certificate of TLS listeners expires, in seconds since 1970.")?;
            writeln!(f, "{name} {expires_at}")?;
        }
        for (name, help, value) in self.counters() {
            head(f, name, "counter", help)?;
            writeln!(f, "{name} {value}")?;
        }
        let name = "parlor_connections_refused_total";
        by_reason(f, name, "Connections that were not let in.", self.refused)?;
        by_reason(f, "parlor_clients_ended_total", "Clients that the server has ended.", self.ended)?;
        head(f, "parlor_requests_total", "counter", "Requests that got a reply.")?;
        for &(action, outcome, count) in self.requests {
            let (action, outcome) = (Label(action), Label(outcome));
            writeln!(f, "parlor_requests_total{{action=\"{action}\",outcome=\"{outcome}\"}} {count}")?;
        }
        self.turns.write(
            f,
            "parlor_turn_duration_seconds",
            "How long turns of the loop took, waiting not counted.",
        )
    }
}

impl Snapshot<'_> {
    fn gauges(&self) -> [(&'static str, &'static str, u64); 9] {
        [
            ("parlor_clients", "Connected clients.", self.clients),
            ("parlor_clients_max", "The limit of --max-clients.", self.clients_max),
            ("parlor_rooms", "Rooms that somebody is in.", self.rooms),
            ("parlor_lingering_connections", "Connections kept for their last words.", self.lingering),
            ("parlor_http_connections", "HTTP connections that are no clients.", self.http_connections),
            ("parlor_waiting_bytes", "Bytes that wait to be written, for each client.", self.waiting_bytes),
            (
                "parlor_waiting_max_bytes",
                "The limit of --max-pending for one client.",
                self.pending_max_bytes,
            ),
            ("parlor_memory_bytes", "Bytes allocated for input and output.", self.memory_bytes),
            ("parlor_memory_max_bytes", "The limit of --max-memory.", self.memory_max_bytes),
        ]
    }

    fn counters(&self) -> [(&'static str, &'static str, u64); 7] {
        [
            ("parlor_connections_accepted_total", "Connections accepted.", self.accepted),
            ("parlor_messages_total", "Messages sent to rooms.", self.messages),
            ("parlor_deliveries_total", "Messages times the members of their rooms.", self.deliveries),
            ("parlor_received_bytes_total", "Bytes read from clients.", self.received_bytes),
            ("parlor_sent_bytes_total", "Bytes written to clients.", self.sent_bytes),
            ("parlor_reads_total", "Calls of read.", self.reads),
            ("parlor_writes_total", "Calls of write.", self.writes),
        ]
    }
}

impl Durations {
    fn write(&self, f: &mut fmt::Formatter, name: &str, help: &str) -> fmt::Result {
        head(f, name, "histogram", help)?;
        let mut count = 0;
        for ((_, bound), more) in BUCKETS.iter().zip(self.counts) {
            count += more;
            writeln!(f, "{name}_bucket{{le=\"{bound}\"}} {count}")?;
        }
        count += self.longer;
        writeln!(f, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(f, "{name}_sum {}.{:09}", self.sum.as_secs(), self.sum.subsec_nanos())?;
        writeln!(f, "{name}_count {count}")
    }
}

fn head(f: &mut fmt::Formatter, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn by_reason(f: &mut fmt::Formatter, name: &str, help: &str, counts: &[(&str, u64)]) -> fmt::Result {
    head(f, name, "counter", help)?;
    for &(reason, count) in counts {
        writeln!(f, "{name}{{reason=\"{}\"}} {count}", Label(reason))?;
    }
    Ok(())
}

/// The protocol's words as a label: `Too many clients` is `too_many_clients`.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            f.write_char(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        })
    }
}

/// A text as the value of a label.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn text() -> String {
        let mut turns = Durations::default();
        for micros in [0, 10, 11, 3_000, 5_000_000] {
            turns.add(Duration::from_micros(micros));
        }
        let snapshot = Snapshot {
            version: "0.2.0",
            features: "tls,\"web\"\\",
            clients: 3,
            clients_max: 10_000,
            rooms: 2,
            lingering: 1,
            http_connections: 0,
            accepted: 7,
            refused: &[("Too many clients", 4)],
            ended: &[("Too slow", 1), ("Idle too long", 2)],
            requests: &[("LOGIN NICK", "OK", 5), ("JOIN ROOM", "Too many rooms", 1)],
            messages: 11,
            deliveries: 22,
            received_bytes: 33,
            sent_bytes: 44,
            reads: 55,
            writes: 66,
            waiting_bytes: 77,
            memory_bytes: 88,
            memory_max_bytes: 99,
            pending_max_bytes: u64::MAX,
            certificate_expires_at: Some(1_795_564_800),
            turns: &turns,
        };
        snapshot.to_string()
    }

    #[test]
    fn what_is_told() {
        let text = text();
        for line in [
            r#"parlor_build_info{version="0.2.0",features="tls,\"web\"\\"} 1"#,
            "parlor_clients 3",
            r#"parlor_connections_refused_total{reason="too_many_clients"} 4"#,
            r#"parlor_clients_ended_total{reason="idle_too_long"} 2"#,
            r#"parlor_requests_total{action="login_nick",outcome="ok"} 5"#,
            r#"parlor_requests_total{action="join_room",outcome="too_many_rooms"} 1"#,
            "parlor_waiting_max_bytes 18446744073709551615",
            r#"parlor_turn_duration_seconds_bucket{le="0.00001"} 2"#,
            r#"parlor_turn_duration_seconds_bucket{le="0.000025"} 3"#,
            r#"parlor_turn_duration_seconds_bucket{le="0.0025"} 3"#,
            r#"parlor_turn_duration_seconds_bucket{le="0.005"} 4"#,
            r#"parlor_turn_duration_seconds_bucket{le="1"} 4"#,
            r#"parlor_turn_duration_seconds_bucket{le="+Inf"} 5"#,
            "parlor_turn_duration_seconds_sum 5.003021000",
            "parlor_turn_duration_seconds_count 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_bounds_are_written_as_they_are_compared() {
        for (bound_ns, bound) in BUCKETS {
            assert_eq!((bound.parse::<f64>().unwrap() * 1e9).round() as u64, bound_ns);
        }
        assert!(BUCKETS.is_sorted());
    }

    /// Prometheus' own check has nothing to say. Passed over where it is not installed (Debian's `prometheus`), unless
    /// PARLOR_DEMAND_PROGRAMS is set.
    #[test]
    fn promtool_has_nothing_to_say() {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]).stdin(Stdio::piped());
        let child = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "promtool is not installed");
            return eprintln!("passed over: promtool is not installed");
        };
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}
