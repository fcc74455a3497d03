//! Diagnostics of a stage as a message for an artifact.

/// Lines of a failing stage's diagnostics that are kept (chapter 02 §2.4).
pub const FAILURE_TAIL_LINES: usize = 40;

/// The last `count` lines of `output`: one trailing carriage return per line
/// and all trailing line breaks removed, NUL bytes dropped, invalid UTF-8
/// replaced. Blank lines count.
pub fn last_lines(output: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(output).replace('\0', "");
    let body = text.strip_suffix('\n').unwrap_or(&text);
    let lines: Vec<&str> = body.split('\n').collect();
    let tail = &lines[lines.len().saturating_sub(count)..];
    let stripped: Vec<&str> = tail
        .iter()
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .collect();
    stripped
        .join("\n")
        .trim_end_matches(['\n', '\r'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_lines_and_drops_line_noise() {
        for (output, count, expected) in [
            (&b"one\ntwo\nthree\n"[..], 2, "two\nthree"),
            (b"one\r\ntwo\r\n", 40, "one\ntwo"),
            (b"one\n\n\n", 40, "one"),
            (b"one\n\n", 1, ""),
            (b"a\0b", 40, "ab"),
            (b"\xff", 40, "\u{fffd}"),
            (b"", 40, ""),
        ] {
            assert_eq!(last_lines(output, count), expected, "{output:?}");
        }
    }
}
