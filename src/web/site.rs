//! What is served over HTTP: a request's bytes become a response, or the upgrade to a WebSocket. A pure function of the
//! bytes and of what the operator has set: it knows no socket and no clock.
//!
//! Faults are told in the order of the protocol: 400 or 431, 405, 404, 421, 403, 426.

use sha1::{Digest, Sha1};

use super::base64;
use super::hosts::{Authority, may_come_from};
use super::request::{Method, Request, Unreadable, has_element};
use super::response::{Response, Status};
use crate::options::HostName;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `http:` and `https:`: the page, WebSocket, `/healthz`.
    Page,
    /// `metrics:`: `/metrics` and `/healthz`.
    Metrics,
    /// Nothing: the connection came to `https:` without TLS, and is told so in the clear.
    OnlyTls,
}

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is found.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// The page's files, and under which names they are served.
#[derive(Debug)]
pub struct Site {
    /// With its tag, by which a browser learns that it has the same already.
    files: Vec<(File, String)>,
    /// The values of `--host`.
    hosts: Vec<HostName>,
    is_stopping: bool,
    is_unlinked: bool,
}

/// What to do with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Wait for more of the head.
    Incomplete,
    /// Send this and close.
    Response(Response),
    /// Send the metrics and close; after HEAD only their head.
    Metrics {
        /// After HEAD.
        head_only: bool,
    },
    /// Send this; what stands behind the head, which has so many bytes, are the first frames of a client.
    Upgrade {
        /// The 101.
        response: Vec<u8>,
        /// The length of the request's head.
        head_bytes: usize,
    },
}

/// What is appended to a key before it is hashed. RFC 6455, 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

impl Site {
    /// A site of these files for browsers that come under one of these names, beside the addresses and `localhost`.
    pub fn new(files: &[File], hosts: Vec<HostName>) -> Site {
        Site {
            files: files.iter().map(|&file| (file, tag(file.bytes))).collect(),
            hosts,
            is_stopping: false,
            is_unlinked: false,
        }
    }

    /// From now on `/healthz` says that the server stops, and but for the metrics nothing else is served.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Whether this is a node that has lost its engine: `/healthz` says so.
    pub fn set_unlinked(&mut self, is_unlinked: bool) {
        self.is_unlinked = is_unlinked;
    }

    /// The answer to what has come on a connection until now.
    pub fn answer(&self, service: Service, bytes: &[u8]) -> Answer {
        if service == Service::OnlyTls {
            return Answer::Response(Response::plain(Status::BadRequest, "", "This port speaks HTTPS."));
        }
        let request = match Request::read(bytes) {
            Ok(Some(request)) => request,
            Ok(None) => return Answer::Incomplete,
            Err(Unreadable::Malformed(why)) => {
                return Answer::Response(Response::plain(Status::BadRequest, "", &sentence(why)));
            }
            Err(Unreadable::TooLarge) => {
                let why = "At most 8 KB and 64 fields are taken.";
                return Answer::Response(Response::plain(Status::HeaderFieldsTooLarge, "", why));
            }
        };
        let answer = self.answer_request(service, &request).unwrap_or_else(Answer::Response);
        match (answer, request.method) {
            (Answer::Response(response), Method::Head) => Answer::Response(response.without_body()),
            (answer, _) => answer,
        }
    }

    /// The answer to a whole head. What is refused is an `Err`, so that the checks stand in their order.
    fn answer_request(&self, service: Service, request: &Request) -> Result<Answer, Response> {
        let is_for_machines = match service {
            Service::Page | Service::OnlyTls => request.path == "/healthz",
            Service::Metrics => matches!(request.path, "/healthz" | "/metrics"),
        };
        if !is_for_machines && (!request.is_1_1 || request.host.is_none()) {
            let why = "HTTP/1.1 with a Host is needed here.";
            return Err(Response::plain(Status::BadRequest, "", why));
        }
        if self.is_stopping && !(is_for_machines && request.path == "/metrics") {
            return Err(Response::plain(Status::ServiceUnavailable, "", "The server is stopping."));
        }
        let is_socket = service == Service::Page && request.path == "/ws";
        if request.method == Method::Other || is_socket && request.method == Method::Head {
            let (allow, why) = match is_socket {
                true => ("Allow: GET\r\n", "Only GET is served here."),
                false => ("Allow: GET, HEAD\r\n", "Only GET and HEAD are served here."),
            };
            return Err(Response::plain(Status::MethodNotAllowed, allow, why));
        }
        let file = self.files.iter().find(|(file, _)| service == Service::Page && file.path == request.path);
        if !is_for_machines && !is_socket && file.is_none() {
            return Err(Response::plain(Status::NotFound, "", "There is nothing of that name here."));
        }
        if is_for_machines {
            without_body(request)?;
            let head_only = request.method == Method::Head;
            return Ok(match request.path {
                "/metrics" => Answer::Metrics { head_only },
                _ if self.is_unlinked => {
                    let why = "The link to the engine is lost.";
                    Answer::Response(Response::plain(Status::ServiceUnavailable, "", why))
                }
                _ => Answer::Response(Response::text(Status::Ok, "", b"ok")),
            });
        }
        let host = self.check_names(request)?;
        match file {
            Some((file, tag)) => {
                without_body(request)?;
                Ok(Answer::Response(send_file(file, tag, request, &host)))
            }
            None => handshake(request),
        }
    }

    /// Keeps out whom a browser has been lured into talking for. Who the server is for the client.
    fn check_names(&self, request: &Request) -> Result<Authority, Response> {
        let host = request.host.and_then(|host| std::str::from_utf8(host).ok()?.parse::<Authority>().ok());
        let Some(host) = host.filter(|host| host.may_be_ours(&self.hosts)) else {
            let why = "The server is not known by this name. It answers to its addresses, to localhost, and to what \
                       is given with --host.";
            return Err(Response::plain(Status::MisdirectedRequest, "", why));
        };
        let may_come = |origin: &&[u8]| {
            std::str::from_utf8(origin).is_ok_and(|origin| may_come_from(origin, &host, &self.hosts))
        };
        if request.origins.len() > 1 || !request.origins.iter().all(may_come) {
            let why = "The Origin is another site. A proxy has to pass Host on, or its name must be given with --host.";
            return Err(Response::plain(Status::Forbidden, "", why));
        }
        Ok(host)
    }
}

/// The way from HTTP to WebSocket.
fn handshake(request: &Request) -> Result<Answer, Response> {
    let required = |why| {
        let fields = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        Err(Response::plain(Status::UpgradeRequired, fields, why))
    };
    if !has_element(&request.upgrade, "websocket") || !has_element(&request.connection, "upgrade") {
        return required("This is the address of a WebSocket.");
    }
    if request.versions.as_slice() != [b"13"] {
        return required("Sec-WebSocket-Version must be 13.");
    }
    let &[key] = request.keys.as_slice() else {
        return required("One Sec-WebSocket-Key is needed.");
    };
    if !base64::is_16_bytes(key) {
        return required("Sec-WebSocket-Key must be 16 bytes in base64.");
    }
    without_body(request)?;
    let mut response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: "
        .to_vec();
    base64::encode(&Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize(), &mut response);
    response.extend_from_slice(b"\r\n\r\n");
    Ok(Answer::Upgrade { response, head_bytes: request.head_bytes })
}

/// A body would be taken for what follows the request.
fn without_body(request: &Request) -> Result<(), Response> {
    if request.has_body {
        return Err(Response::plain(Status::ContentTooLarge, "", "A request has no body here."));
    }
    Ok(())
}

fn send_file(file: &File, tag: &str, request: &Request, host: &Authority) -> Response {
    let mut fields = format!(
        "ETag: {tag}\r\nCache-Control: no-cache\r\nContent-Security-Policy: {}\r\n\
         X-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n",
        policy(host)
    );
    let is_known = |known: &str| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag;
    let mut known = request.known_tags.iter().flat_map(|tags| tags.split(|&byte| byte == b','));
    if known.any(|known| std::str::from_utf8(known.trim_ascii()).is_ok_and(is_known)) {
        return Response::new(Status::NotModified, fields, 0, &[]);
    }
    fields.push_str(&format!("Content-Type: {}\r\n", file.content_type));
    let mut response = Response::new(Status::Ok, fields, file.bytes.len(), &[]);
    response.file = file.bytes;
    response
}

/// The metrics.
pub fn metrics_response(content_type: &str, metrics: &str) -> Response {
    let fields = format!("Content-Type: {content_type}\r\nCache-Control: no-store\r\n");
    Response::new(Status::Ok, fields, metrics.len(), metrics.as_bytes())
}

/// What the page may load and where it may connect to: to nothing but its own host, and nobody may put it into a frame.
/// Safari takes `'self'` for the page's own scheme alone, so the host is named for WebSocket. IPv6 addresses cannot be
/// named in a policy.
fn policy(host: &Authority) -> String {
    let sockets = if host.fits_into_policy() { format!(" ws://{host} wss://{host}") } else { String::new() };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{sockets}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// A tag that changes with the contents.
fn tag(bytes: &[u8]) -> String {
    let mut tag = vec![b'"'];
    base64::encode(Sha1::digest(bytes).get(..12).unwrap_or_default(), &mut tag);
    tag.push(b'"');
    String::from_utf8_lossy(&tag).into_owned()
}

/// "this is so" becomes "This is so."
fn sentence(words: &str) -> String {
    let (first, rest) = words.split_at_checked(1).unwrap_or_default();
    format!("{}{rest}.", first.to_ascii_uppercase())
}

#[cfg(test)]
mod tests;
