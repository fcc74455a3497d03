//! Reading `escalations.jsonl`: how many lines there are, the new ones, and
//! those that pending deliveries are about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use om_model::alerts::ConsumedLine;
use om_store::{Line, LineReader, digest};

use crate::ledger::Previous;

/// What some editors put at a file's start; no part of its first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes read at a time when newlines are counted.
const BLOCK: u64 = 128 * 1024;

/// The complete lines of an escalations file, as they were when it was
/// opened. A last line without its newline is not there yet (decision D8).
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    /// Complete lines.
    pub(crate) line_count: u64,
    /// The last line that was consumed.
    pub(crate) last_line: Option<ConsumedLine>,
    /// Line number → line, for pending deliveries.
    wanted: BTreeMap<u64, Vec<u8>>,
}

impl Source {
    /// Looks at the file: counts its lines, finds where those not consumed
    /// start, and keeps the lines `wanted`. `None` if there is no regular
    /// file.
    ///
    /// If the last line consumed is where it was and nothing older is wanted,
    /// this costs what is new.
    pub(crate) fn open(
        path: &Path,
        previous: &Previous,
        wanted: &BTreeSet<u64>,
    ) -> io::Result<Option<Self>> {
        // Looked at before it is opened: opening a FIFO would wait.
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let file = File::open(path)?;
        let mut source = Self {
            path: path.to_owned(),
            line_count: 0,
            last_line: None,
            wanted: BTreeMap::new(),
        };
        let last = previous.last_line.as_ref();
        let mut looked_at = 0;
        match last {
            Some(last) if wanted.is_empty() && is_there(&file, last)? => {
                source.line_count = last.line;
                source.last_line = Some(last.clone());
                looked_at = last.end;
            }
            _ => {
                let newest = wanted.last().copied().unwrap_or(0);
                let mut lines = LineReader::new(&file, 0, 0);
                while lines.lines() < newest.max(previous.offset) {
                    let Some(line) = lines.next_line()? else {
                        break;
                    };
                    source.look_at(line, previous.offset, wanted);
                    looked_at = line.end;
                }
            }
        }
        source.line_count += count_newlines(&file, looked_at)?;
        Ok(Some(source))
    }

    fn look_at(&mut self, line: Line<'_>, offset: u64, wanted: &BTreeSet<u64>) {
        self.line_count = line.number;
        if line.number == offset {
            self.last_line = Some(consumed(line));
        }
        if wanted.contains(&line.number) {
            self.wanted.insert(line.number, line.bytes.to_vec());
        }
    }

    /// The line of a pending delivery if it still is the one that was seen.
    pub(crate) fn unchanged(&self, number: u64, sha256: &str) -> Option<&[u8]> {
        let line = self.wanted.get(&number)?;
        let same = digest(line).to_string().eq_ignore_ascii_case(sha256);
        same.then_some(line.as_slice())
    }

    /// The lines that were not consumed yet, in file order.
    pub(crate) fn new_lines(&self) -> io::Result<NewLines> {
        let (line, start) = match &self.last_line {
            Some(last) => (last.line, last.end),
            None => (0, 0),
        };
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(NewLines {
            reader: LineReader::new(file, start, line),
            last: self.line_count,
        })
    }
}

/// What `line` number `number` says.
pub(crate) fn content(number: u64, line: &[u8]) -> &[u8] {
    match line.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) if number == 1 => rest,
        _ => line,
    }
}

/// Streams lines; those that appeared after the count are left for later.
pub(crate) struct NewLines {
    reader: LineReader<File>,
    last: u64,
}

impl NewLines {
    /// The next line and where it is; `None` after the last.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<(ConsumedLine, Vec<u8>)>> {
        if self.reader.lines() >= self.last {
            return Ok(None);
        }
        let line = self.reader.next_line()?;
        Ok(line.map(|line| (consumed(line), line.bytes.to_vec())))
    }
}

fn consumed(line: Line<'_>) -> ConsumedLine {
    ConsumedLine {
        line: line.number,
        start: line.start,
        end: line.end,
        sha256: digest(line.bytes).to_string(),
    }
}

/// Whether the line is still that line: after a newline, before one, and
/// with the same content.
fn is_there(file: &File, line: &ConsumedLine) -> io::Result<bool> {
    let from = line.start.saturating_sub(1);
    if line.end <= line.start || file.metadata()?.len() < line.end {
        return Ok(false);
    }
    let length = usize::try_from(line.end - from).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, from)?;
    Ok(match (line.start, bytes.as_slice()) {
        (0, [content @ .., b'\n']) | (_, [b'\n', content @ .., b'\n']) => {
            digest(content).to_string() == line.sha256
        }
        _ => false,
    })
}

fn count_newlines(mut file: &File, from: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(from))?;
    let mut block = Vec::new();
    let mut newlines = 0;
    loop {
        block.clear();
        if file.take(BLOCK).read_to_end(&mut block)? == 0 {
            return Ok(newlines);
        }
        newlines += memchr::memchr_iter(b'\n', &block).count() as u64;
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(offset: u64, last_line: Option<ConsumedLine>) -> Previous {
        Previous {
            offset,
            last_line,
            ..Previous::default()
        }
    }

    fn open(path: &Path, previous: &Previous, wanted: &[u64]) -> Source {
        let wanted = wanted.iter().copied().collect();
        let source = Source::open(path, previous, &wanted);
        source.expect("reads").expect("is there")
    }

    fn numbers(source: &Source) -> Vec<u64> {
        let mut lines = source.new_lines().expect("opens");
        let next = || lines.next_line().expect("reads");
        std::iter::from_fn(next)
            .map(|(line, _)| line.line)
            .collect()
    }

    #[test]
    fn a_file_is_counted_and_read_from_the_cursor() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("escalations.jsonl");
        std::fs::write(&path, "a\nb\n\nd\ntail").expect("written");
        for (offset, new) in [(0, vec![1, 2, 3, 4]), (3, vec![4]), (4, vec![])] {
            let source = open(&path, &after(offset, None), &[]);
            assert_eq!(source.line_count, 4, "from {offset}");
            assert_eq!(numbers(&source), new, "from {offset}");
        }
        assert_eq!(open(&path, &after(9, None), &[]).line_count, 4);
    }

    #[test]
    fn the_last_line_consumed_saves_counting_unless_it_was_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("escalations.jsonl");
        std::fs::write(&path, "a\nbb\nc\n").expect("written");
        let known = open(&path, &after(2, None), &[]).last_line;
        assert_eq!(
            known.as_ref().map(|last| (last.start, last.end)),
            Some((2, 5))
        );
        for (text, line_count, first_new) in [
            ("a\nbb\nc\nd\n", 4, vec![3, 4]),
            // Counted from the start.
            ("a\nxx\nc\nd\n", 4, vec![3, 4]),
            ("abbb\nc\nd\n", 3, vec![3]),
            ("a\nbbc\nd\n", 3, vec![3]),
            ("a\n", 1, vec![]),
        ] {
            std::fs::write(&path, text).expect("written");
            let source = open(&path, &after(2, known.clone()), &[]);
            assert_eq!(source.line_count, line_count, "{text:?}");
            if line_count >= 2 {
                assert_eq!(numbers(&source), first_new, "{text:?}");
            }
        }
    }

    #[test]
    fn lines_of_pending_deliveries_are_recognised_by_their_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("escalations.jsonl");
        std::fs::write(&path, "a\nb\nc\n").expect("written");
        let source = open(&path, &after(1, None), &[2, 7]);
        let sha256 = digest(b"b").to_string();
        assert_eq!(source.unchanged(2, &sha256), Some(&b"b"[..]));
        assert_eq!(source.unchanged(2, &digest(b"x").to_string()), None);
        assert_eq!(source.unchanged(7, &sha256), None);
        assert_eq!((source.line_count, numbers(&source)), (3, vec![2, 3]));
    }

    #[test]
    fn anything_but_a_regular_file_is_no_source() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        for path in [folder.path(), &missing, &missing.join("below")] {
            let source = Source::open(path, &Previous::default(), &BTreeSet::new());
            assert!(source.expect("is fine").is_none());
        }
    }
}
