//! What a failed pass had to say, in one line (chapter 05 §2.4).

/// Longest excerpt in bytes.
pub const EXCERPT_BYTES: usize = 600;

/// `text` and a newline, every run of white space as one blank, cut after
/// [`EXCERPT_BYTES`]; a character that is cut in two becomes U+FFFD.
pub fn excerpt(text: &[u8]) -> String {
    let mut line = Vec::with_capacity(text.len().min(EXCERPT_BYTES) + 1);
    let mut in_blank = false;
    for byte in text.iter().copied().chain([b'\n']) {
        let blank = byte.is_ascii_whitespace() || byte == b'\x0b';
        if !blank {
            line.push(byte);
        } else if !in_blank {
            line.push(b' ');
        }
        in_blank = blank;
        if line.len() > EXCERPT_BYTES {
            break;
        }
    }
    line.truncate(EXCERPT_BYTES);
    String::from_utf8_lossy(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_line_of_at_most_600_bytes() {
        for (text, expected) in [
            ("", " "),
            ("\n\n", " "),
            ("error: no\n", "error: no "),
            ("a\n\n  b\t\rc", "a b c "),
            (" lead", " lead "),
        ] {
            assert_eq!(excerpt(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(excerpt("x".repeat(599).as_bytes()).len(), 600);
        assert_eq!(excerpt("x".repeat(9000).as_bytes()), "x".repeat(600));
    }

    #[test]
    fn a_character_that_is_cut_in_two_is_replaced() {
        let text = format!("{}é", "x".repeat(599));
        let cut = excerpt(text.as_bytes());
        assert_eq!(cut, format!("{}\u{fffd}", "x".repeat(599)));
    }
}
