//! The head of a request, as far as the server takes an interest in it. Knows nothing of what is served.

use httparse::{EMPTY_HEADER, Error, Header, Status};

/// The longest head, its empty line counted.
pub const HEAD_BYTES_MAX: usize = 8 << 10;

/// The most fields that a head may have.
pub const FIELDS_MAX: usize = 64;

/// Bytes of empty lines that are passed over before a request. Old clients send some.
const EMPTY_LINES_MAX: usize = 4;

/// Why the bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// 400, and why.
    Malformed(&'static str),
    /// 431: more than is taken.
    TooLarge,
}

/// A method that the server tells from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Asks for something.
    Get,
    /// Asks only for the head of the response.
    Head,
    /// Anything else.
    Other,
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// How long the head is, its empty line counted.
    pub head_bytes: usize,
    /// What to do.
    pub method: Method,
    /// HTTP/1.1, not 1.0.
    pub is_1_1: bool,
    /// The target without its query, as it was written.
    pub path: &'a str,
    /// Who the server is for the client: the value of `Host`, or what the target says where that is a whole URL. `None`
    /// where there is no `Host`.
    pub host: Option<&'a [u8]>,
    /// All values of `Origin`.
    pub origins: Vec<&'a [u8]>,
    /// Values of `If-None-Match`.
    pub known_tags: Vec<&'a [u8]>,
    /// A body was announced.
    pub has_body: bool,
    /// Values of `Upgrade`.
    pub upgrade: Vec<&'a [u8]>,
    /// Values of `Connection`.
    pub connection: Vec<&'a [u8]>,
    /// Values of `Sec-WebSocket-Version`.
    pub versions: Vec<&'a [u8]>,
    /// Values of `Sec-WebSocket-Key`.
    pub keys: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads the head that `bytes` begin with. `None` as long as it is not whole.
    ///
    /// # Errors
    /// As soon as it cannot become a head any more.
    pub fn read(bytes: &'a [u8]) -> Result<Option<Request<'a>>, Unreadable> {
        let malformed = |why| Err(Unreadable::Malformed(why));
        let blank = bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        if blank > EMPTY_LINES_MAX {
            return malformed("empty lines");
        }
        let within = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Request::new(&mut fields);
        let head_bytes = match head.parse(within) {
            Ok(Status::Complete(head_bytes)) => head_bytes,
            Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(Status::Partial) | Err(Error::TooManyHeaders) => return Err(Unreadable::TooLarge),
            Err(Error::Version) => return malformed("this is not HTTP/1.1"),
            Err(_) => return malformed("this is not HTTP"),
        };
        let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
            return malformed("this is not HTTP");
        };
        let values = |name: &str| -> Vec<&'a [u8]> {
            let fields: &[Header<'a>] = head.headers;
            fields
                .iter()
                .filter(|field| field.name.eq_ignore_ascii_case(name))
                .map(|field| field.value)
                .collect()
        };
        let hosts = values("Host");
        if hosts.len() > 1 {
            return malformed("more than one Host");
        }
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        };
        let (authority, path) = split_target(target);
        // Other methods have other targets; that they are not served is told another way.
        if method != Method::Other && !path.starts_with('/') {
            return malformed("the target must begin with /");
        }
        Ok(Some(Request {
            head_bytes,
            method,
            is_1_1: version == 1,
            path,
            host: hosts.first().map(|&host| authority.map_or(host, str::as_bytes)),
            origins: values("Origin"),
            known_tags: values("If-None-Match"),
            has_body: !values("Transfer-Encoding").is_empty()
                || values("Content-Length").iter().any(|length| length.trim_ascii() != b"0"),
            upgrade: values("Upgrade"),
            connection: values("Connection"),
            versions: values("Sec-WebSocket-Version"),
            keys: values("Sec-WebSocket-Key"),
        }))
    }
}

/// The host of a target that is a whole URL, and the path without its query.
fn split_target(target: &str) -> (Option<&str>, &str) {
    let (authority, rest) = match target.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(authority), rest)
        }
        _ => (None, target),
    };
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    (authority, if authority.is_some() && path.is_empty() { "/" } else { path })
}

/// Whether one of the values, each a list with commas, has this element, whatever its case.
pub fn has_element(values: &[&[u8]], element: &str) -> bool {
    let mut elements = values.iter().flat_map(|value| value.split(|&byte| byte == b','));
    elements.any(|found| found.trim_ascii().eq_ignore_ascii_case(element.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Request<'_> {
        Request::read(head.as_bytes()).expect("a request").expect("a whole head")
    }

    #[test]
    fn what_a_request_says() {
        let head = "GET /ws?x=/y HTTP/1.1\r\nhOST: a:1 \r\nUpgrade: x\r\nupgrade: websocket\r\n\r\nrest";
        let request = read(head);
        assert_eq!((request.method, request.is_1_1, request.path), (Method::Get, true, "/ws"));
        assert_eq!((request.host, request.head_bytes), (Some(&b"a:1"[..]), head.len() - 4));
        assert_eq!(request.upgrade, [&b"x"[..], b"websocket"]);
        assert!(!request.has_body);
        for (target, path, host) in [
            ("/", "/", "a"),
            ("/?", "/", "a"),
            ("//evil/ws", "//evil/ws", "a"),
            ("http://b:2/ws?q", "/ws", "b:2"),
            ("HTTPS://b", "/", "b"),
            ("http://b?q", "/", "b"),
            ("/http://b/", "/http://b/", "a"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let request = read(&head);
            assert_eq!((request.path, request.host), (path, Some(host.as_bytes())), "{target}");
        }
        assert_eq!(read("OPTIONS * HTTP/1.1\r\n\r\n").method, Method::Other);
        assert_eq!(read("CONNECT a:80 HTTP/1.1\r\n\r\n").method, Method::Other);
        for (fields, has_body) in [
            ("Content-Length: 0\r\n", false),
            ("Content-Length: 1\r\n", true),
            ("Content-Length: 0\r\nContent-Length: 5\r\n", true),
            ("Transfer-Encoding: chunked\r\n", true),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(read(&head).has_body, has_body, "{fields}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_at_once() {
        for bytes in [
            &b"\x16\x03\x01"[..],
            b"{\"action\"",
            b"\r\n\r\n\n",
            b"GET / HTTP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"\r\n\r\n\0\r\nQUIT\n",
            b"GET /\r\n",
            b"GET / HTTP/1.1\r\n folded: x\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n",
            b"GET / HTTP/1.1\r\nHost: a\0\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
            b"GET x HTTP/1.1\r\n\r\n",
        ] {
            let read = Request::read(bytes);
            assert!(
                matches!(read, Err(Unreadable::Malformed(_))),
                "{:?}: {read:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn a_head_has_8_kilobytes_and_64_fields() {
        let fields = |count: usize| {
            let fields: String = (0..count).map(|at| format!("a{at}: b\r\n")).collect();
            format!("GET / HTTP/1.1\r\n{fields}\r\n")
        };
        assert!(Request::read(fields(64).as_bytes()).is_ok_and(|request| request.is_some()));
        assert_eq!(Request::read(fields(65).as_bytes()), Err(Unreadable::TooLarge));
        let long = |bytes: usize| {
            let rest = "GET / HTTP/1.1\r\na: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(bytes - rest))
        };
        assert!(Request::read(long(HEAD_BYTES_MAX).as_bytes()).is_ok_and(|request| request.is_some()));
        let too_long = long(HEAD_BYTES_MAX + 1);
        assert_eq!(Request::read(too_long.as_bytes()), Err(Unreadable::TooLarge));
        assert_eq!(Request::read(&too_long.as_bytes()[..HEAD_BYTES_MAX - 1]), Ok(None));
    }

    #[test]
    fn elements_of_lists() {
        let values = [&b"keep-alive, UPGRADE"[..], b"x"];
        assert!(
            has_element(&values, "upgrade") && has_element(&values, "X") && !has_element(&values, "grade")
        );
        assert!(!has_element(&[], "x"));
    }
}
