//! Rows in the end of a journal, in memory: are they there, and if not,
//! what would the file be with them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::perform::is_torn_version;

/// The bytes of a file from offset `keep` to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) keep: u64,
    pub(crate) bytes: Vec<u8>,
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
    /// after `length`; `claimed` are the offsets of lines that are rows of
    /// earlier commits, to which these are added.
    ///
    /// The beginning of the rows at the very end is completed, and with
    /// `lossy` also lost (zero) bytes in them; rows found as lines stay where
    /// they are, in whatever order; missing ones are added at the end. Then
    /// someone's unterminated line that was in the way is returned.
    pub(crate) fn insert_rows(
        &mut self,
        length: u64,
        claimed: &mut BTreeSet<u64>,
        rows: &[u8],
        lossy: bool,
    ) -> Option<Vec<u8>> {
        let end = length + rows.len() as u64;
        if let Some(at) = self.index(length)
            && claimed.range(length..end).next().is_none()
            && self.complete_in_place(at, rows, lossy)
        {
            claim_all(claimed, length, rows);
            return None;
        }
        self.add_missing(self.index(length).unwrap_or(0), claimed, rows)
    }

    /// The rows are exactly here, or what is here is all that is left of
    /// them.
    fn complete_in_place(&mut self, at: usize, rows: &[u8], lossy: bool) -> bool {
        // Behind bytes that were lost, or cut differently by someone, they
        // are not lines of their own.
        if at
            .checked_sub(1)
            .is_some_and(|last| self.bytes[last] != b'\n')
        {
            return false;
        }
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

    /// Adds those of `rows` that are not lines from `from` on.
    fn add_missing(
        &mut self,
        from: usize,
        claimed: &mut BTreeSet<u64>,
        rows: &[u8],
    ) -> Option<Vec<u8>> {
        let mut free = self.free_lines(from, claimed);
        let mut missing = Vec::new();
        for row in rows.split_inclusive(|byte| *byte == b'\n') {
            match free.get_mut(row).and_then(VecDeque::pop_front) {
                Some(start) => {
                    claimed.insert(start);
                }
                None => missing.extend_from_slice(row),
            }
        }
        if missing.is_empty() {
            return None;
        }
        // In a region that begins inside a file its first byte begins a line.
        let complete = memchr::memrchr(b'\n', &self.bytes).map_or(0, |at| at + 1);
        let tail = self.bytes.split_off(complete);
        claim_all(claimed, self.end(), &missing);
        self.bytes.extend_from_slice(&missing);
        (!tail.is_empty()).then_some(tail)
    }

    /// The offsets of the lines from `from` on that nobody claimed, by line.
    fn free_lines(&self, from: usize, claimed: &BTreeSet<u64>) -> BTreeMap<&[u8], VecDeque<u64>> {
        let mut free: BTreeMap<&[u8], VecDeque<u64>> = BTreeMap::new();
        let mut start = self.keep + from as u64;
        for line in self.bytes[from..].split_inclusive(|byte| *byte == b'\n') {
            if !claimed.contains(&start) {
                free.entry(line).or_default().push_back(start);
            }
            start += line.len() as u64;
        }
        free
    }
}

/// Claims `rows`, which begin at `start`.
fn claim_all(claimed: &mut BTreeSet<u64>, mut start: u64, rows: &[u8]) {
    for row in rows.split_inclusive(|byte| *byte == b'\n') {
        claimed.insert(start);
        start += row.len() as u64;
    }
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
        let unterminated = region.insert_rows(4, &mut BTreeSet::new(), rows.as_bytes(), lossy);
        (text(region.bytes), unterminated.map(text))
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
            ("in another order", "old\nb\na\n", "old\nb\na\n", None),
            (
                "the first stuck to others, and again",
                "old\nxa\nb\na\n",
                "old\nxa\nb\na\n",
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
        let mut claimed = BTreeSet::new();
        region.insert_rows(0, &mut claimed, b"a\n", false);
        region.insert_rows(2, &mut claimed, b"a\n", false);
        assert_eq!(region.bytes, b"a\na\n");
        // The second is the one behind, also if it is all that is left.
        let mut region = Region {
            keep: 0,
            bytes: b"x\na\n".to_vec(),
        };
        let mut claimed = BTreeSet::new();
        region.insert_rows(0, &mut claimed, b"a\n", false);
        region.insert_rows(2, &mut claimed, b"a\n", false);
        assert_eq!(region.bytes, b"x\na\na\n");
    }
}
