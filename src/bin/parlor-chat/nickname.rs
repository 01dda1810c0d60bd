//! The nickname to ask for: the one that was given, or else the user's name.

use std::env;

/// The nickname that was given, or `$USER`; an error says why there is none to ask for.
pub fn to_ask_for(given: Option<&str>) -> Result<String, String> {
    match given {
        Some(nickname) => Ok(nickname.into()),
        None => match env::var("USER") {
            Ok(name) if !name.is_empty() => Ok(name),
            _ => Err("USER is not set; taking part as a guest (see --nickname)".into()),
        },
    }
}

/// What to say when `$USER` was refused, for this reason.
pub fn stays_a_guest(nickname: &str, why: &str) -> String {
    format!("nickname {nickname:?}: {why}; taking part as a guest")
}
