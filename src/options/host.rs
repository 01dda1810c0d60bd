//! A name under which browsers reach the server: the value of `--host`.

use std::fmt;
use std::str::FromStr;

use super::UsageError;

/// `NAME`, for any port, or `NAME:PORT`, for that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    name: String,
    port: Option<u16>,
}

impl HostName {
    /// The name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The only port for which it holds, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for HostName {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let wrong = |why: &str| Err(UsageError(why.into()));
        let (name, port) = text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !name.split('.').all(is_part) {
            return wrong(
                "a name has letters, digits, hyphens and dots, and no scheme before it nor path behind it",
            );
        }
        let port = match port {
            None => None,
            // `u16::from_str` alone would let a sign through.
            Some(port) => match port.parse() {
                Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(number),
                _ => return wrong("the port must be a number from 1 to 65535"),
            },
        };
        Ok(HostName { name: name.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
