//! Rows in the end of a journal, in memory: are they there, and if not,
//! what would the file be with them.

use crate::perform::is_torn_version;

/// The bytes of a file from offset `keep` to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) keep: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What [`Region::insert_rows`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// Offset after the last of the rows, the next rows come after it.
    pub(crate) end: u64,
    /// Someone's unterminated line that was taken out of the way.
    pub(crate) unterminated: Option<Vec<u8>>,
}

impl Region {
    /// Offset of the end of the file.
    pub(crate) fn end(&self) -> u64 {
        self.keep + self.bytes.len() as u64
    }

    /// Index of a file offset, `None` outside of the region.
    fn index(&self, offset: u64) -> Option<usize> {
        let index = usize::try_from(offset.checked_sub(self.keep)?).ok()?;
        (index <= self.bytes.len()).then_some(index)
    }

    /// Cuts the file at `length` if what follows is (the beginning of) `tail`.
    pub(crate) fn cut(&mut self, length: u64, tail: &[u8]) {
        if let Some(at) = self.index(length)
            && tail.starts_with(&self.bytes[at..])
        {
            self.bytes.truncate(at);
        }
    }

    /// Makes sure that `rows` (lines with their newlines) are there, at or
    /// after `length` and after `matched`, where earlier rows end.
    ///
    /// The beginning of the rows at the very end is completed, and with
    /// `lossy` also lost (zero) bytes in them; rows found as lines stay where
    /// they are; missing ones are added at the end.
    pub(crate) fn insert_rows(
        &mut self,
        length: u64,
        matched: u64,
        rows: &[u8],
        lossy: bool,
    ) -> Inserted {
        if let Some(at) = self.index(length)
            && length >= matched
            && self.complete_in_place(at, rows, lossy)
        {
            return Inserted {
                end: length + rows.len() as u64,
                unterminated: None,
            };
        }
        let from = if length <= self.end() {
            length.max(matched)
        } else {
            matched
        };
        self.add_missing(self.index(from).unwrap_or(0), rows)
    }

    /// The rows are exactly here, or what is here is all that is left of
    /// them.
    fn complete_in_place(&mut self, at: usize, rows: &[u8], lossy: bool) -> bool {
        let found = &self.bytes[at..];
        let shared = found.len().min(rows.len());
        let exact = found[..shared] == rows[..shared];
        let torn = lossy && is_torn_version(&found[..shared], &rows[..shared]);
        if !exact && !torn {
            return false;
        }
        self.bytes.splice(at..at + shared, rows.iter().copied());
        true
    }

    /// Adds those of `rows` that are not lines, in order, from `from` on.
    fn add_missing(&mut self, from: usize, rows: &[u8]) -> Inserted {
        let mut missing = Vec::new();
        let mut position = from;
        for row in rows.split_inclusive(|byte| *byte == b'\n') {
            match find_line(&self.bytes, position, row) {
                Some(end) => position = end,
                None => missing.extend_from_slice(row),
            }
        }
        if missing.is_empty() {
            return Inserted {
                end: self.keep + position as u64,
                unterminated: None,
            };
        }
        let complete = memchr::memrchr(b'\n', &self.bytes).map_or(0, |at| at + 1);
        // In a region that begins inside a file its first byte begins a line.
        let tail = self.bytes.split_off(complete);
        self.bytes.extend_from_slice(&missing);
        Inserted {
            end: self.end(),
            unterminated: (!tail.is_empty()).then_some(tail),
        }
    }
}

/// The end of the first line at or after `from` that is `row`.
fn find_line(bytes: &[u8], from: usize, row: &[u8]) -> Option<usize> {
    let mut begin = from;
    while let Some(length) = memchr::memchr(b'\n', bytes.get(begin..)?) {
        let end = begin + length + 1;
        if bytes[begin..end] == *row {
            return Some(end);
        }
        begin = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file after inserting `rows` at 4, and what was taken out.
    fn inserted(file: &str, rows: &str, lossy: bool) -> (String, Option<String>) {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut region = Region {
            keep: 0,
            bytes: file.as_bytes().to_vec(),
        };
        let outcome = region.insert_rows(4, 0, rows.as_bytes(), lossy);
        (text(region.bytes), outcome.unterminated.map(text))
    }

    #[test]
    fn every_row_is_there_exactly_once_whatever_was_found() {
        for (what, file, after, aside) in [
            ("not written", "old\n", "old\na\nb\n", None),
            ("written", "old\na\nb\n", "old\na\nb\n", None),
            ("half written", "old\na", "old\na\nb\n", None),
            ("one row written", "old\na\n", "old\na\nb\n", None),
            (
                "written, others after it",
                "old\na\nb\nx\n",
                "old\na\nb\nx\n",
                None,
            ),
            ("others before it", "old\nx\na\nb\n", "old\nx\na\nb\n", None),
            (
                "others in between",
                "old\na\nx\nb\n",
                "old\na\nx\nb\n",
                None,
            ),
            ("only others", "old\nx\n", "old\nx\na\nb\n", None),
            ("torn, then others", "old\nax\n", "old\nax\na\nb\n", None),
            (
                "an unterminated line of others",
                "old\nx",
                "old\na\nb\n",
                Some("x"),
            ),
            ("shortened by others", "o\n", "o\na\nb\n", None),
            ("gone", "", "a\nb\n", None),
        ] {
            let expected = (after.to_owned(), aside.map(str::to_owned));
            assert_eq!(inserted(file, "a\nb\n", false), expected, "{what}");
        }
    }

    #[test]
    fn bytes_lost_to_a_power_failure_are_filled_in() {
        for file in [
            "old\n\0\0\0\0",
            "old\n\0\nb\n",
            "old\na\n\0",
            "old\n\0\0\0\0x\n",
        ] {
            let rest = file.get(8..).unwrap_or("");
            assert_eq!(
                inserted(file, "a\nb\n", true),
                (format!("old\na\nb\n{rest}"), None),
                "{file:?}"
            );
        }
    }

    #[test]
    fn equal_rows_of_two_commits_are_two_rows() {
        let mut region = Region {
            keep: 0,
            bytes: b"a\n".to_vec(),
        };
        let first = region.insert_rows(0, 0, b"a\n", false);
        let second = region.insert_rows(2, first.end, b"a\n", false);
        assert_eq!((region.bytes.as_slice(), second.end), (&b"a\na\n"[..], 4));
    }
}
