//! Hints for arguments that are no options: what may have been meant.

use super::Listen;
use super::flags;

/// How many letters may be wrong in a name for it to be a slip of the hand.
const SLIPS_MAX: usize = 2;

/// What to add to the refusal of an option that there is not, given without its dashes; nothing if no other is like it.
pub(super) fn for_option(name: &str) -> String {
    // A letter alone is near to everything.
    if name.chars().count() < 3 {
        return String::new();
    }
    let names = || flags::built_in().map(|flag| flag.long);
    let slip = names().map(|known| (distance(name, known), known)).min();
    let nearest = slip.filter(|(slips, _)| *slips <= SLIPS_MAX).map(|(_, known)| known);
    let meant = nearest.or_else(|| names().find(|known| known.contains(name)));
    meant.map_or(String::new(), |known| format!("; did you mean --{known}?"))
}

/// What to add to the refusal of an argument that belongs to no option.
pub(super) fn for_stray(argument: &str) -> String {
    if argument.parse::<Listen>().is_ok() {
        "; did you mean --listen before it?".into()
    } else {
        String::new()
    }
}

/// How many letters have to be put in, left out or changed to make one of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // The distances of what has been read of the one to each beginning of the other.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, letter) in one.chars().enumerate() {
        let mut last = read + 1;
        let mut next = vec![last];
        for (known, pair) in other.iter().zip(row.windows(2)) {
            let [without_both, without_other] = [pair[0], pair[1]];
            last = (without_both + usize::from(*known != letter)).min(without_other + 1).min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters() {
        for (one, other, letters) in [
            ("", "", 0),
            ("", "abc", 3),
            ("rate", "rate", 0),
            ("rete", "rate", 1),
            ("listn", "listen", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
            assert_eq!(distance(other, one), letters, "{other} {one}");
        }
    }

    #[test]
    fn a_slip_and_a_part_of_a_name_are_understood_and_nonsense_is_not() {
        for (name, hint) in [
            ("listn", "; did you mean --listen?"),
            ("max-client", "; did you mean --max-clients?"),
            ("keep-alive", "; did you mean --keepalive?"),
            ("timeout", "; did you mean --idle-timeout?"),
            ("nonsense", ""),
            ("x", ""),
            ("", ""),
        ] {
            assert_eq!(for_option(name), hint, "{name}");
        }
        assert_eq!(for_stray("127.0.0.1:7878"), "; did you mean --listen before it?");
        assert_eq!(for_stray("stray"), "");
    }
}
