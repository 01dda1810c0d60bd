//! Requests and what they are answered with, as a table.

use super::*;
use proptest::prelude::*;

const FILES: [File; 2] = [
    File { path: "/", content_type: "text/html; charset=utf-8", bytes: b"<!doctype html>" },
    File { path: "/app.js", content_type: "text/javascript", bytes: b"let x;" },
];

fn site() -> Site {
    Site::new(&FILES, vec!["chat.example".parse().unwrap()])
}

/// The status, and the whole response as text.
fn respond(service: Service, request: &str) -> (u16, String) {
    match site().answer(service, request.as_bytes()) {
        Answer::Response(response) => {
            let text = String::from_utf8([&response.bytes, response.file].concat()).unwrap();
            assert!(
                text.contains("\r\nConnection: close\r\n")
                    || text.contains("\r\nConnection: Upgrade, close\r\n")
            );
            assert!(text.contains("\r\nX-Content-Type-Options: nosniff\r\n"));
            (text["HTTP/1.1 ".len()..][..3].parse().unwrap(), text)
        }
        Answer::Metrics { head_only } => (200, format!("metrics {head_only}")),
        Answer::Upgrade { response, head_bytes } => {
            assert!(head_bytes <= request.len());
            (101, String::from_utf8(response).unwrap())
        }
        Answer::Incomplete => (0, String::new()),
    }
}

fn status(service: Service, request: &str) -> u16 {
    respond(service, request).0
}

/// A good handshake, with one of its fields exchanged, or some added.
fn upgrade(replace: &str, with: &str) -> String {
    let good = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://127.0.0.1:8080\r\n\r\n";
    assert!(good.contains(replace));
    good.replacen(replace, with, 1)
}

#[test]
fn the_example_of_the_rfc() {
    let (status, response) = respond(Service::Page, &upgrade("", ""));
    assert_eq!(status, 101);
    assert_eq!(
        response,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    let request = upgrade("", "") + "frames";
    let Answer::Upgrade { head_bytes, .. } = site().answer(Service::Page, request.as_bytes()) else {
        panic!()
    };
    assert_eq!(&request[head_bytes..], "frames");
}

#[test]
fn handshakes() {
    for (expected, replace, with) in [
        (101, "websocket", "WebSocket"),
        (101, "websocket", "h2c, websocket"),
        (101, "keep-alive, Upgrade", "upgrade"),
        (101, "/ws", "/ws?room=1"),
        (101, "/ws", "http://127.0.0.1:8080/ws"),
        (101, "Origin: http://127.0.0.1:8080\r\n", ""),
        (101, "Origin: http://127.0.0.1:8080", "Origin: https://chat.example"),
        (
            101,
            "Origin",
            "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\nOrigin",
        ),
        (400, "HTTP/1.1", "HTTP/1.0"),
        (400, "HTTP/1.1", "HTTP/2.0"),
        (400, "Host: 127.0.0.1:8080\r\n", ""),
        (400, "Host:", "Host: 127.0.0.1:8080\r\nHost:"),
        (405, "GET", "POST"),
        (405, "GET", "HEAD"),
        (404, "/ws", "/wss"),
        (404, "/ws", "/ws/"),
        (404, "/ws", "/WS"),
        (404, "/ws", "/%77s"),
        (421, "Host: 127.0.0.1:8080", "Host: evil.example"),
        (421, "Host: 127.0.0.1:8080", "Host:"),
        (421, "/ws", "http://evil.example/ws"),
        (403, "Origin: http://127.0.0.1:8080", "Origin: http://127.0.0.1:8081"),
        (403, "Origin: http://127.0.0.1:8080", "Origin: null"),
        (403, "Origin: http://127.0.0.1:8080", "Origin:"),
        (403, "Origin:", "Origin: http://127.0.0.1:8080\r\nOrigin:"),
        (426, "Upgrade: websocket\r\n", ""),
        (426, "websocket", "websockets"),
        (426, "keep-alive, Upgrade", "keep-alive"),
        (426, "Version: 13", "Version: 8"),
        (426, "Version: 13", "Version: 13, 8"),
        (426, "Sec-WebSocket-Version: 13\r\n", ""),
        (426, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        (426, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"),
        (
            426,
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version",
        ),
        (413, "Origin", "Content-Length: 5\r\nOrigin"),
        (413, "Origin", "Transfer-Encoding: chunked\r\nOrigin"),
    ] {
        assert_eq!(status(Service::Page, &upgrade(replace, with)), expected, "{replace:?} -> {with:?}");
    }
    let (_, text) = respond(Service::Page, &upgrade("Version: 13", "Version: 8"));
    assert!(
        text.contains("\r\nUpgrade: websocket\r\n") && text.contains("\r\nSec-WebSocket-Version: 13\r\n")
    );
    let (_, text) = respond(Service::Page, &upgrade("GET", "POST"));
    assert!(text.contains("\r\nAllow: GET\r\n"));
}

/// Of several faults the first in the protocol's order is told.
#[test]
fn the_order_of_faults() {
    let faults = [
        (400, "Host: 127.0.0.1:8080\r\n", "Host: evil.example\r\nHost: b\r\n"),
        (405, "GET", "PUT"),
        (404, "/ws", "/nothing"),
        (421, "Host: 127.0.0.1:8080", "Host: evil.example"),
        (403, "Origin: http://127.0.0.1:8080", "Origin: null"),
        (426, "Version: 13", "Version: 12"),
    ];
    for first in 0..faults.len() {
        let mut request = upgrade("", "");
        for (_, replace, with) in &faults[first..] {
            request = request.replacen(replace, with, 1);
        }
        assert_eq!(status(Service::Page, &request), faults[first].0, "{request}");
    }
}

#[test]
fn the_page() {
    let (status, text) = respond(Service::Page, "GET / HTTP/1.1\r\nHost: LOCALHOST:8080\r\n\r\n");
    assert_eq!(status, 200);
    assert!(text.ends_with("\r\n\r\n<!doctype html>"));
    assert!(
        text.contains("\r\nContent-Length: 15\r\n")
            && text.contains("\r\nContent-Type: text/html; charset=utf-8\r\n")
    );
    let policy = text.lines().find_map(|line| line.strip_prefix("Content-Security-Policy: ")).unwrap();
    assert!(policy.contains("connect-src 'self' ws://localhost:8080 wss://localhost:8080;"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
    // HEAD has the same head.
    let (_, head) = respond(Service::Page, "HEAD /?x HTTP/1.1\r\nHost: LOCALHOST:8080\r\n\r\n");
    assert_eq!(head, text.strip_suffix("<!doctype html>").unwrap());
    // With the tag it is not sent again.
    let tag = text.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
    for (known, expected) in [
        (tag, 304),
        ("*", 304),
        ("\"x\"", 200),
        ("", 200),
        (&format!("\"x\", W/{tag}"), 304),
        (&tag[1..], 200),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {known}\r\n\r\n");
        let (status, text) = respond(Service::Page, &request);
        assert_eq!(status, expected, "{known}");
        assert!(text.contains(&format!("\r\nETag: {tag}\r\n")));
        assert_eq!(text.ends_with("\r\n\r\n"), status == 304);
    }
    let (_, other) = respond(Service::Page, "GET /app.js HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n");
    assert!(other.contains("connect-src 'self';") && !other.contains(tag) && other.ends_with("let x;"));
}

#[test]
fn requests() {
    for (page, metrics, request) in [
        (200, 200, "GET /healthz HTTP/1.1\r\n\r\n"),
        (200, 200, "GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n"),
        (200, 200, "HEAD /healthz HTTP/1.1\r\nHost: x y\r\nOrigin: null\r\n\r\n"),
        (400, 200, "GET /metrics HTTP/1.0\r\n\r\n"),
        (404, 200, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (200, 404, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (426, 404, "GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (404, 404, "GET /nothing HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        (421, 404, "GET /app.js HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        (403, 404, "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n"),
        (400, 400, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"),
        (400, 400, "GET / HTTP/1.1\r\n\r\n"),
        (400, 400, "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (405, 405, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"),
        (405, 405, "POST /healthz HTTP/1.0\r\n\r\n"),
        (405, 405, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (405, 405, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        (413, 413, "GET /healthz HTTP/1.1\r\nContent-Length: 9\r\n\r\n"),
        (400, 400, "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03"),
        (400, 400, "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
        (0, 0, "GET / HTTP/1.1\r\nHost: localhost\r\n"),
    ] {
        assert_eq!(status(Service::Page, request), page, "{request:?}");
        assert_eq!(status(Service::Metrics, request), metrics, "{request:?}");
    }
    assert!(respond(Service::Page, "GET /healthz HTTP/1.1\r\n\r\n").1.ends_with("\r\n\r\nok"));
    assert!(
        respond(Service::Page, "PUT / HTTP/1.1\r\nHost: a\r\n\r\n").1.contains("\r\nAllow: GET, HEAD\r\n")
    );
    assert_eq!(respond(Service::Metrics, "HEAD /metrics HTTP/1.1\r\n\r\n").1, "metrics true");
}

#[test]
fn a_server_that_stops_serves_only_its_metrics() {
    let mut site = site();
    site.stop();
    let status = |service, request: &str| match site.answer(service, request.as_bytes()) {
        Answer::Response(response) => String::from_utf8(response.bytes).unwrap()[9..12].to_owned(),
        other => format!("{other:?}"),
    };
    for service in [Service::Page, Service::Metrics] {
        assert_eq!(status(service, "GET /healthz HTTP/1.0\r\n\r\n"), "503");
        assert_eq!(status(service, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "503");
        assert_eq!(status(service, &upgrade("", "")), "503");
    }
    assert_eq!(status(Service::Metrics, "GET /metrics HTTP/1.0\r\n\r\n"), "Metrics { head_only: false }");
}

proptest! {
    /// A head is waited for until it is whole, and what stands behind it changes nothing.
    #[test]
    fn cuts_do_not_matter(cut in 0usize..400, behind in proptest::collection::vec(any::<u8>(), 0..50)) {
        let whole = upgrade("", "");
        let answer = site().answer(Service::Page, whole.as_bytes());
        prop_assert_eq!(&site().answer(Service::Page, &[whole.as_bytes(), &behind].concat()), &answer);
        let cut = cut % whole.len();
        prop_assert_eq!(site().answer(Service::Page, &whole.as_bytes()[..cut]), Answer::Incomplete);
    }

    /// Whatever comes, there is an answer.
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in "(GET|HEAD|PUT) [ -~é]{0,30} HTTP/1.[01]\r\n([A-Za-z-]{1,9}: [ -~é]{0,30}\r\n){0,4}\r\n") {
        for service in [Service::Page, Service::Metrics] {
            site().answer(service, &bytes);
            site().answer(service, head.as_bytes());
        }
    }
}

/// What a response begins with.
fn status_line(answer: &Answer) -> &[u8] {
    let Answer::Response(response) = answer else { panic!("{answer:?}") };
    &response.bytes[.."HTTP/1.1 200".len()]
}

#[test]
fn a_node_that_has_lost_its_engine_is_not_healthy() {
    let mut site = site();
    for (is_unlinked, wanted) in [(false, "HTTP/1.1 200"), (true, "HTTP/1.1 503"), (false, "HTTP/1.1 200")] {
        site.set_unlinked(is_unlinked);
        let answer = site.answer(Service::Page, b"GET /healthz HTTP/1.0\r\n\r\n");
        assert_eq!(status_line(&answer), wanted.as_bytes());
    }
}

#[test]
fn without_tls_where_tls_is_spoken_everything_is_a_bad_request() {
    assert_eq!(status_line(&site().answer(Service::OnlyTls, b"")), b"HTTP/1.1 400");
}
