//! As much base64 as a handshake needs.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes` in base64, with padding.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) as usize & 63;
            out.push(if at > group.len() { b'=' } else { ALPHABET.get(index).copied().unwrap_or_default() });
        }
    }
}

/// Whether `text` is 16 bytes in base64.
pub fn is_16_bytes(text: &[u8]) -> bool {
    text.len() == 24
        && text.strip_suffix(b"==").is_some_and(|text| text.iter().all(|byte| ALPHABET.contains(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
        let mut out = Vec::new();
        encode(&[0xfb, 0xff, 0xbf], &mut out);
        assert_eq!(out, b"+/+/");
    }

    #[test]
    fn a_key_has_16_bytes() {
        assert!(is_16_bytes(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for wrong in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQ==\n",
            b"dGhlIHNhbXBsZSBub25jZSE=",
            b"dGhlIHNhbXBsZSBub25j",
            b"dGhlIHNhbXBsZSBub2-jZQ==",
            b"dGhlIHNhbXBsZSBub25=ZQ==",
        ] {
            assert!(!is_16_bytes(wrong), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
