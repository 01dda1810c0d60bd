//! What a shell completes for `parlor`, made from the table of options.

use std::fmt::Write;
use std::str::FromStr;

use super::flags::{self, Flag, Value};

/// A shell for which there are completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish.
    Fish,
}

const SHELLS: [(&str, Shell); 3] = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];
const LEVELS: &str = "error warn info debug trace off";
/// How an address to listen on can begin.
const ADDRESSES: &str = "127.0.0.1: 0.0.0.0: [::]: localhost: unix:";

impl FromStr for Shell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shell = SHELLS.iter().find(|(name, _)| *name == text).map(|(_, shell)| *shell);
        shell.ok_or_else(|| "must be bash, zsh or fish".into())
    }
}

/// The script that makes `shell` complete the options and their values. `parlor --completions` says where it belongs.
pub fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// What can stand as the value of an option.
enum Words {
    Any,
    File,
    These(String),
}

fn words(flag: &Flag) -> Words {
    match flag.value {
        Value::Level(_) => Words::These(LEVELS.into()),
        Value::Shell => Words::These(SHELLS.map(|(name, _)| name).join(" ")),
        Value::Address(_) => Words::These(ADDRESSES.into()),
        Value::File(_) => Words::File,
        _ => Words::Any,
    }
}

fn names(flag: &Flag) -> Vec<String> {
    let short = (!flag.short.is_empty()).then(|| format!("-{}", flag.short));
    short.into_iter().chain([format!("--{}", flag.long)]).collect()
}

fn bash() -> String {
    let mut cases = String::new();
    let mut all = Vec::new();
    for flag in flags::built_in() {
        let names = names(flag);
        let reply = match words(flag) {
            Words::These(words) => format!("COMPREPLY=($(compgen -W '{words}' -- \"$word\"))"),
            Words::File => "COMPREPLY=($(compgen -f -- \"$word\"))".into(),
            Words::Any => "COMPREPLY=()".into(),
        };
        if !flag.value.name().is_empty() {
            let _ = writeln!(cases, "        {}) {reply}; return ;;", names.join("|"));
        }
        all.extend(names);
    }
    format!(
        "# For bash: parlor --completions bash > /usr/share/bash-completion/completions/parlor\n\
         _parlor() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         case $before in\n{cases}    esac\n    \
         COMPREPLY=($(compgen -W '{}' -- \"$word\"))\n}}\ncomplete -F _parlor parlor\n",
        all.join(" ")
    )
}

fn zsh() -> String {
    let mut script = String::from(
        "#compdef parlor\n# For zsh: parlor --completions zsh > /usr/share/zsh/vendor-completions/_parlor\n_arguments",
    );
    for flag in flags::built_in() {
        let (name, text) = (flag.value.name(), one_sentence(flag).replace('[', "\\[").replace(']', "\\]"));
        let value = match words(flag) {
            _ if name.is_empty() => String::new(),
            Words::These(words) => format!(":{name}:({})", words.replace(':', "\\:")),
            Words::File => format!(":{name}:_files"),
            Words::Any => format!(":{name}: "),
        };
        for option in names(flag) {
            let again = if matches!(flag.value, Value::Address(_) | Value::Host(_)) { "*" } else { "" };
            let _ = write!(script, " \\\n    {}", quoted(&format!("{again}{option}[{text}]{value}")));
        }
    }
    script.push('\n');
    script
}

fn fish() -> String {
    let mut script = String::from(
        "# For fish: parlor --completions fish > /usr/share/fish/vendor_completions.d/parlor.fish\ncomplete -c parlor -f\n",
    );
    for flag in flags::built_in() {
        let short = if flag.short.is_empty() { String::new() } else { format!(" -s {}", flag.short) };
        let value = match words(flag) {
            _ if flag.value.name().is_empty() => String::new(),
            Words::These(words) => format!(" -x -a {}", quoted(&words)),
            Words::File => " -r -F".into(),
            Words::Any => " -x".into(),
        };
        let text = quoted(one_sentence(flag));
        let _ = writeln!(script, "complete -c parlor -l {}{short}{value} -d {text}", flag.long);
    }
    script
}

/// The first sentence of what an option does, without its full stop.
fn one_sentence(flag: &Flag) -> &'static str {
    flag.help.split_once(". ").map_or(flag.help.trim_end_matches('.'), |(first, _)| first)
}

/// `text` in single quotes. The texts of options have no single quote or backslash, so fish and zsh agree on it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
