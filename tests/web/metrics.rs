//! What Prometheus gets.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::client::Browser;
use crate::common::{Client, TestServer, eventually, join, left};
use crate::{LINES, METRICS, server};

fn scrape(server: &TestServer) -> String {
    let mut browser = Browser::silent_at(server, METRICS);
    browser.send("GET /metrics HTTP/1.1\r\nHost: anything\r\n\r\n");
    let response = browser.read_to_end();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())));
    body.into()
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn it_counts_what_happens() {
    let server = server(|options| options.max_clients = 3);
    let mut lines = Client::connect(&server.addresses()[LINES]);
    let mut browsers = [Browser::connect(&server), Browser::connect(&server)];
    lines.join(1);
    for browser in &mut browsers {
        browser.expect_ok(join(1));
    }
    lines.say(1, "to three");
    for browser in &mut browsers {
        browser.recv();
    }
    lines.recv_line();
    lines.expect_error(left(2), "Room not found");
    Browser::connect(&server).expect_farewell("Too many clients", 1013);
    eventually("the last one has gone", || value(&scrape(&server), "parlor_lingering_connections") == 0.0);
    let metrics = scrape(&server);
    for (name, expected) in [
        ("parlor_clients", 3.0),
        ("parlor_clients_max", 3.0),
        ("parlor_rooms", 1.0),
        ("parlor_connections_accepted_total", 4.0),
        ("parlor_connections_refused_total{reason=\"too_many_clients\"}", 1.0),
        ("parlor_requests_total{action=\"join_room\",outcome=\"ok\"}", 3.0),
        ("parlor_requests_total{action=\"left_room\",outcome=\"error\"}", 1.0),
        ("parlor_requests_total{action=\"send_message\",outcome=\"ok\"}", 1.0),
        ("parlor_messages_total", 1.0),
        ("parlor_deliveries_total", 3.0),
        ("parlor_waiting_bytes", 0.0),
    ] {
        assert_eq!(value(&metrics, name), expected, "{name}");
    }
    assert!(value(&metrics, "parlor_turn_duration_seconds_count") > 4.0);
    assert!(value(&metrics, "parlor_sent_bytes_total") > 300.0);
}

/// Prometheus' own check has nothing to say of a real scrape. Passed over where it is not installed (Debian's
/// `prometheus`), unless PARLOR_DEMAND_PROGRAMS is set.
#[test]
fn promtool_has_nothing_to_say() {
    let server = server(|_| ());
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = promtool.spawn() else {
        assert!(std::env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "promtool is not installed");
        return eprintln!("passed over: promtool is not installed");
    };
    child.stdin.take().unwrap().write_all(scrape(&server).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
