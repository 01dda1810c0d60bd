//! A response: its head, and the bytes that follow. Knows nothing of what was asked.

use std::fmt::Display;
use std::io::Write;

/// A status that the server can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    Ok,
    NotModified,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    MisdirectedRequest,
    UpgradeRequired,
    HeaderFieldsTooLarge,
    ServiceUnavailable,
}

impl Status {
    /// The three digits and the words.
    pub const fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::NotModified => "304 Not Modified",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::MisdirectedRequest => "421 Misdirected Request",
            Status::UpgradeRequired => "426 Upgrade Required",
            Status::HeaderFieldsTooLarge => "431 Request Header Fields Too Large",
            Status::ServiceUnavailable => "503 Service Unavailable",
        }
    }
}

/// A whole response, after which the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The head, and a body that was made for it.
    pub bytes: Vec<u8>,
    /// A body that is always there, behind these.
    pub file: &'static [u8],
}

impl Response {
    /// A response that says its status and, in a sentence for people, why. `fields` are whole lines of the head.
    pub fn plain(status: Status, fields: &str, why: &str) -> Response {
        let body = format!("{}\n{why}\n", status.line());
        Response::text(status, fields, body.as_bytes())
    }

    /// A response with a short text that nobody keeps.
    pub fn text(status: Status, fields: &str, body: &[u8]) -> Response {
        let fields =
            format!("Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n{fields}");
        Response::new(status, &fields, body.len(), body)
    }

    /// A response whose head says `length` and goes with `body`.
    pub fn new(status: Status, fields: impl Display, length: usize, body: &[u8]) -> Response {
        let mut bytes = Vec::with_capacity(512 + body.len());
        // Writing to a vector does not fail.
        let _ = write!(bytes, "HTTP/1.1 {}\r\nConnection: ", status.line());
        // Whoever names another protocol in `Upgrade` must say so here.
        let _ = bytes.write_all(if status == Status::UpgradeRequired { b"Upgrade, close" } else { b"close" });
        if status != Status::NotModified {
            let _ = write!(bytes, "\r\nContent-Length: {length}");
        }
        let _ = write!(bytes, "\r\nX-Content-Type-Options: nosniff\r\n{fields}\r\n");
        bytes.extend_from_slice(body);
        Response { bytes, file: &[] }
    }

    /// The same for HEAD: its head alone.
    pub fn without_body(mut self) -> Response {
        let head = self.bytes.windows(4).position(|end| end == b"\r\n\r\n");
        self.bytes.truncate(head.map_or(self.bytes.len(), |at| at + 4));
        self.file = &[];
        self
    }
}
