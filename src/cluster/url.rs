//! Where the engine is, and who we are to it: the value of `--cluster`. Knows nothing of sockets.

use std::fmt;
use std::path::PathBuf;

/// The port of Redis and Valkey.
const PORT: u16 = 6379;

/// What [`Url::parse`] reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Where to connect to.
    pub place: Place,
    /// The user; that of the engine's configuration where there is none.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The number of the database.
    pub db: u32,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `HOST:PORT`, not yet resolved. An IPv6 address stands in brackets.
    Tcp(String),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
}

impl Url {
    /// Reads `redis://[USER][:PASSWORD@]HOST[:PORT][/DB]` or `redis+unix:PATH`. In user and password, `%` and two
    /// hexadecimal digits stand for a byte.
    ///
    /// # Errors
    /// What is wrong with it, in a few words that do not repeat the password.
    pub fn parse(text: &str) -> Result<Url, String> {
        if let Some(path) = text.strip_prefix("redis+unix:").filter(|path| !path.is_empty()) {
            return Ok(Url { place: Place::Unix(path.into()), user: None, password: None, db: 0 });
        }
        let rest =
            text.strip_prefix("redis://").ok_or("neither redis://HOST[:PORT][/DB] nor redis+unix:PATH")?;
        // A password may hold what else ends a part; the last `@` is the one that counts.
        let (who, rest) = rest.rsplit_once('@').map_or((None, rest), |(who, rest)| (Some(who), rest));
        let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
            Some((user, password)) => (unescape(user)?, unescape(password)?),
            None => (None, None),
        };
        let (host, db) = rest.split_once('/').unwrap_or((rest, ""));
        let db = if db.is_empty() { Ok(0) } else { db.parse() };
        let db = db.map_err(|_| "the DB after the / must be a number")?;
        let place = Place::Tcp(with_port(host)?);
        Ok(Url { place, user, password, db })
    }
}

/// `host` with the usual port, if it has none.
fn with_port(host: &str) -> Result<String, String> {
    let (name, port) = match host.rsplit_once(':') {
        // The colon of an IPv6 address in brackets.
        Some((_, after)) if after.contains(']') => (host, None),
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let is_bracketed = name.starts_with('[') && name.ends_with(']');
    if name.is_empty() || name.contains(':') && !is_bracketed {
        return Err("the host is missing, or is an IPv6 address without brackets".into());
    }
    let port = port.map_or(Ok(PORT), str::parse).ok().filter(|&port| port > 0);
    let port = port.ok_or("the port must be a number from 1 to 65535")?;
    Ok(format!("{name}:{port}"))
}

/// A part of a URL with its escapes undone; `None` for an empty one.
fn unescape(part: &str) -> Result<Option<String>, String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(
                        "a % in the user or the password is not followed by two hexadecimal digits".into()
                    );
                };
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| "the user or the password is not valid UTF-8")?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// As it can stand in the log: without user and password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.place {
            Place::Tcp(address) if self.db == 0 => write!(f, "redis://{address}"),
            Place::Tcp(address) => write!(f, "redis://{address}/{}", self.db),
            Place::Unix(path) => write!(f, "redis+unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_can_be_left_out() {
        let parts = |text: &str| {
            let Url { place, user, password, db } = Url::parse(text).unwrap();
            let Place::Tcp(address) = place else { panic!("{text}") };
            (address, user.unwrap_or_default(), password.unwrap_or_default(), db)
        };
        let whole = |address: &str, user: &str, password: &str, db| {
            (address.into(), user.into(), password.into(), db)
        };
        assert_eq!(parts("redis://h"), whole("h:6379", "", "", 0));
        assert_eq!(parts("redis://h/"), whole("h:6379", "", "", 0));
        assert_eq!(parts("redis://[::1]/3"), whole("[::1]:6379", "", "", 3));
        assert_eq!(parts("redis://[::1]:7"), whole("[::1]:7", "", "", 0));
        assert_eq!(parts("redis://u@h"), whole("h:6379", "u", "", 0));
        assert_eq!(parts("redis://:p@h:1/2"), whole("h:1", "", "p", 2));
        assert_eq!(parts("redis://u:p%40:/@b@h:1"), whole("h:1", "u", "p@:/@b", 0));
    }

    #[test]
    fn a_path_is_taken_as_it_is_and_no_password_is_shown() {
        let url = Url::parse("redis+unix:/run/r@dis.sock").unwrap();
        assert_eq!(url.place, Place::Unix("/run/r@dis.sock".into()));
        assert_eq!(url.to_string(), "redis+unix:/run/r@dis.sock");
        let url = Url::parse("redis://bob:secret@h/4").unwrap();
        assert_eq!(
            (url.to_string(), format!("{url:?}")),
            ("redis://h:6379/4".into(), "redis://h:6379/4".into())
        );
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for bad in [
            "",
            "h",
            "redis://",
            "redis+unix:",
            "redis://:p@",
            "redis://h:",
            "redis://h:0",
            "redis://h:65536",
            "redis://::1",
            "redis://h/x",
            "redis://%4@h",
            "redis://%ff@h",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
