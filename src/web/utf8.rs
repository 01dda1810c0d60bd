//! Whether bytes are UTF-8, told while they still come. Knows nothing of frames.

/// What is known of a text that has come so far. The bytes themselves are not kept, but for those of a character whose
/// end has not come yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    begun: [u8; 3],
    begun_bytes: u8,
}

/// The bytes are no UTF-8, and nothing that follows can make them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

impl Utf8 {
    /// Looks at the next bytes of the text.
    ///
    /// # Errors
    /// At the first byte after which the text cannot become UTF-8 any more.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NotUtf8> {
        while self.begun_bytes > 0 {
            let Some((&next, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            let [a, b, c] = self.begun;
            let character = match self.begun_bytes {
                1 => &[a, next][..],
                2 => &[a, b, next],
                _ => &[a, b, c, next],
            };
            self.begun_bytes = 0;
            self.look_at(character)?;
        }
        self.look_at(bytes)
    }

    /// Whether the text may end here.
    pub fn is_whole(&self) -> bool {
        self.begun_bytes == 0
    }

    fn look_at(&mut self, bytes: &[u8]) -> Result<(), NotUtf8> {
        let Err(error) = std::str::from_utf8(bytes) else { return Ok(()) };
        // No length: the bytes end amid a character that is right so far.
        let (None, Some(begun)) = (error.error_len(), bytes.get(error.valid_up_to()..)) else {
            return Err(NotUtf8);
        };
        for (place, &byte) in self.begun.iter_mut().zip(begun) {
            *place = byte;
        }
        debug_assert!(begun.len() <= self.begun.len());
        self.begun_bytes = begun.len().min(self.begun.len()) as u8;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// After how many bytes the text is known to be wrong, when it comes byte by byte.
    fn wrong_after(text: &[u8]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        text.iter().position(|&byte| utf8.feed(&[byte]).is_err()).map(|at| at + 1)
    }

    #[test]
    fn it_is_told_at_the_first_byte_that_cannot_stand() {
        for (text, after) in [
            (&b"\x80"[..], 1),
            (b"\xc0", 1),
            (b"\xc1", 1),
            (b"\xf5", 1),
            (b"\xff", 1),
            (b"\xc3(", 2),
            (b"\xe0\x9f", 2),
            (b"\xed\xa0", 2),
            (b"\xf0\x8f", 2),
            (b"\xf4\x90", 2),
            (b"\xe2\x82(", 3),
            (b"\xf0\x9f\xa6(", 4),
            (b"caf\xc3\xa9\xff", 6),
        ] {
            assert_eq!(wrong_after(text), Some(after), "{text:x?}");
        }
    }

    #[test]
    fn a_text_may_not_end_amid_a_character() {
        for text in ["é", "€", "🦀", "\u{10ffff}"] {
            for end in 0..=text.len() {
                let mut utf8 = Utf8::default();
                assert_eq!(utf8.feed(&text.as_bytes()[..end]), Ok(()));
                assert_eq!(utf8.is_whole(), end == 0 || end == text.len());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// However the text is cut, it is what the standard library takes it for.
        #[test]
        fn cuts_do_not_matter(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xe2), Just(0x82), Just(0xac), Just(0xf0), Just(0x9f), Just(b'a')], 0..12),
            cut in 0usize..12,
        ) {
            let (one, two) = text.split_at(cut.min(text.len()));
            let mut utf8 = Utf8::default();
            let taken = utf8.feed(one).and_then(|()| utf8.feed(two));
            prop_assert_eq!(taken.is_ok() && utf8.is_whole(), std::str::from_utf8(&text).is_ok());
            let expected = std::str::from_utf8(&text).err().and_then(|error| error.error_len());
            prop_assert_eq!(taken.is_err(), expected.is_some());
        }
    }
}
