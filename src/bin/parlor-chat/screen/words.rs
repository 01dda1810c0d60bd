//! Words in a line: those that completion offers, and one's own name.

use parlor::client::Room;

use super::command;
use super::pane::Pane;

/// What can stand in the place of the last word before the cursor: commands, rooms, names.
pub fn choices(panes: &[Pane], current: usize, before: &str) -> (usize, Vec<String>) {
    let begins = |text: &str, with: &str| text.to_lowercase().starts_with(&with.to_lowercase());
    if before.starts_with('/') && !before.contains(' ') {
        let names = command::NAMES.iter().filter(|name| begins(name, before));
        return (0, names.map(|name| name.to_string()).collect());
    }
    let rooms = || panes.iter().filter_map(|pane| pane.room.as_ref().map(Room::to_string));
    for (command, end) in [("/join ", ""), ("/leave ", ""), ("/msg ", " ")] {
        let Some(word) = before.strip_prefix(command) else { continue };
        if end.is_empty() || !word.contains(' ') {
            let rooms = rooms().filter(|room| begins(room, word));
            return (command.len(), rooms.map(|room| format!("{room}{end}")).collect());
        }
    }
    let kept = before.rfind(' ').map_or(0, |space| space + 1);
    let word = before.get(kept..).unwrap_or_default();
    let end = if kept == 0 { ": " } else { " " };
    let names = panes.get(current).into_iter().flat_map(Pane::names);
    let names = names.filter(|name| begins(name, word)).map(|name| format!("{name}{end}"));
    (kept, names.collect())
}

/// Whether the text has the name in it as a word, in whatever case.
pub fn mentions(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    !name.is_empty()
        && text.match_indices(&name).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + name.len()..).and_then(|text| text.chars().next());
            !before.into_iter().chain(after).any(char::is_alphanumeric)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_called_only_as_a_word() {
        for (text, expected) in [
            ("Bob: hi", true),
            ("hi, bob!", true),
            ("BOB", true),
            ("bobby", false),
            ("the bobs and bob", true),
            ("nobob", false),
            ("", false),
        ] {
            assert_eq!(mentions(text, "Bob"), expected, "{text}");
        }
        assert!(mentions("ask zoë smith", "Zoë Smith"));
        assert!(!mentions("anything", ""));
    }

    #[test]
    fn completion_offers_what_can_stand_there() {
        let mut ops = Pane::new(Some("ops".into()));
        ops.message("12:00", "Alice", "hi", false, false);
        ops.message("12:00", "alan", "hi", false, false);
        let panes = [Pane::new(None), ops, Pane::new(Some(Room::Number(7)))];
        for (before, kept, expected) in [
            ("/j", 0, &["/join "][..]),
            ("/join ", 6, &["ops", "7"]),
            ("/msg o", 5, &["ops "]),
            ("/msg ops al", 9, &["alan ", "Alice "]),
            ("al", 0, &["alan: ", "Alice: "]),
            ("hi Al", 3, &["alan ", "Alice "]),
            ("nobody", 0, &[]),
        ] {
            assert_eq!(choices(&panes, 1, before), (kept, expected.iter().map(|s| s.to_string()).collect()));
        }
    }
}
