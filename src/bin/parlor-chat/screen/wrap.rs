//! Text is cut into rows of a width. Knows nothing of colours.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The rows of a text, as ranges of its bytes. Rows after the first have `indent` columns less. A row ends at a space
/// where it can; that space, and a line end, belong to no row.
pub fn rows(text: &str, width: usize, indent: usize) -> Vec<Range<usize>> {
    let graphemes: Vec<(usize, &str)> = text.grapheme_indices(true).collect();
    let mut rows = Vec::new();
    let (mut start, mut used, mut next) = (0, 0, 0);
    // The last space of this row: where it is, and the number of the grapheme behind it.
    let mut space: Option<(usize, usize)> = None;
    while let Some((at, grapheme)) = graphemes.get(next).copied() {
        let limit = if rows.is_empty() { width } else { width.saturating_sub(indent) };
        let columns = grapheme.width();
        next += 1;
        if grapheme == "\n" {
            rows.push(start..at);
            (start, used, space) = (at + 1, 0, None);
        } else if used + columns > limit && at > start {
            let (end, behind) = match space {
                _ if grapheme == " " => (at, next),
                Some(space) => space,
                None => (at, next - 1),
            };
            rows.push(start..end);
            next = behind;
            start = graphemes.get(next).map_or(text.len(), |(at, _)| *at);
            (used, space) = (0, None);
        } else {
            if grapheme == " " && at > start {
                space = Some((at, next));
            }
            used += columns;
        }
    }
    rows.push(start..text.len());
    rows
}

/// As much of the text as fits, with `…` if that is not all.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let mut fitted = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used >= width {
            break;
        }
        fitted.push_str(grapheme);
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrapped(text: &str, width: usize, indent: usize) -> Vec<&str> {
        rows(text, width, indent).into_iter().map(|row| &text[row]).collect()
    }

    #[test]
    fn rows_end_at_spaces() {
        assert_eq!(wrapped("the quick brown fox", 10, 0), ["the quick", "brown fox"]);
        assert_eq!(wrapped("the quick brown fox", 10, 5), ["the quick", "brown", "fox"]);
        assert_eq!(wrapped("", 10, 2), [""]);
        assert_eq!(wrapped("a\n\nb", 10, 2), ["a", "", "b"]);
        assert_eq!(wrapped("abcdefghijkl", 5, 2), ["abcde", "fgh", "ijk", "l"]);
        assert_eq!(wrapped("a bcdefgh", 8, 3), ["a", "bcdef", "gh"]);
    }

    #[test]
    fn wide_characters_and_marks_are_measured() {
        assert_eq!(wrapped("漢字漢字", 5, 0), ["漢字", "漢字"]);
        assert_eq!(wrapped("e\u{301}e\u{301}e\u{301}", 2, 0), ["e\u{301}e\u{301}", "e\u{301}"]);
        assert_eq!(wrapped("漢字", 1, 0), ["漢", "字"]);
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(fit("a long name", 6), "a lon…");
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("漢字漢字", 4), "漢…");
        assert_eq!(fit("x", 0), "");
    }

    proptest! {
        /// Nothing is lost but spaces and line ends, and no row is wider than it may be.
        #[test]
        fn every_character_is_in_a_row(text in "[a-z 漢é\n]{0,80}", width in 2usize..20, indent in 0usize..3) {
            let rows = rows(&text, width, indent);
            let kept: String = rows.iter().map(|row| &text[row.clone()]).collect();
            let letters = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(letters(&kept), letters(&text));
            for (number, row) in rows.iter().enumerate() {
                let limit = if number == 0 { width } else { width.saturating_sub(indent) };
                prop_assert!(text[row.clone()].width() <= limit.max(2));
            }
        }
    }
}
