//! Reading append-only journals from the end.
//!
//! One document per line. Bytes after the last newline are *not there yet*
//! (decision D8). Blank lines are rows too: callers count them in windows and
//! read a blank last line as "no row" (common rules).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::ReadError;

/// Bytes read at a time when going backwards.
const BLOCK: u64 = 64 * 1024;

/// One complete line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line without its newline; may be empty.
    pub bytes: Vec<u8>,
    /// Byte offset of the line in its file.
    pub offset: u64,
}

/// The last complete line; `None` if there is none or no such file.
pub fn last_row(path: &Path) -> Result<Option<Row>, ReadError> {
    Ok(last_rows(path, 1)?.pop())
}

/// The last `n` complete lines in file order, fewer if there are fewer.
///
/// Reads backwards from the end, so the old part of a file costs nothing.
pub fn last_rows(path: &Path, n: usize) -> Result<Vec<Row>, ReadError> {
    let failed = |source| ReadError::new(path, source);
    match open_regular(path).map_err(failed)? {
        Some(mut file) => {
            let length = file.metadata().map_err(failed)?.len();
            Ok(split_rows(
                &tail_lines(&mut file, length, n).map_err(failed)?,
                n,
            ))
        }
        None => Ok(Vec::new()),
    }
}

/// The number, counted from 1, of the line that starts at byte `offset`.
///
/// Reads the whole file up to there: for error messages only.
pub fn line_number_of(path: &Path, offset: u64) -> Result<u64, ReadError> {
    let failed = |source| ReadError::new(path, source);
    let Some(file) = open_regular(path).map_err(failed)? else {
        return Ok(1);
    };
    let mut source = file.take(offset);
    let mut block = vec![0; 64 * 1024];
    let mut newlines = 0;
    loop {
        match source.read(&mut block).map_err(failed)? {
            0 => return Ok(newlines + 1),
            count => newlines += memchr::memchr_iter(b'\n', &block[..count]).count() as u64,
        }
    }
}

/// The file at `path`, links followed; `None` if it is not a regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    Ok(open_and_look(path)?.map(|(file, _)| file))
}

/// [`open_regular`] with what is known about the open file.
pub(crate) fn open_and_look(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    // And not waited for if it became one since.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path);
    match opened {
        Ok(file) => {
            let found = file.metadata()?;
            Ok(found.is_file().then_some((file, found)))
        }
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the error says that there is nothing at the path.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Bytes from the start of a complete line to the end of the last one.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) bytes: Vec<u8>,
    /// File offset of the first byte.
    pub(crate) start: u64,
}

/// The last `n` complete lines before `length` (possibly more, never fewer
/// unless the file has fewer).
pub(crate) fn tail_lines<S: Read + Seek>(
    source: &mut S,
    length: u64,
    n: usize,
) -> io::Result<Tail> {
    // Blocks are collected back to front: newest first.
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let (mut start, mut newlines) = (length, 0);
    while start > 0 && newlines <= n && n > 0 {
        let size = BLOCK.min(start);
        start -= size;
        source.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        source.by_ref().take(size).read_to_end(&mut block)?;
        newlines += memchr::memchr_iter(b'\n', &block).count();
        blocks.push(block);
    }
    blocks.reverse();
    let mut bytes = blocks.concat();
    bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1));
    if start > 0 {
        // The first line may have begun in a block that was not read.
        let first = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1);
        bytes.drain(..first);
        start += first as u64;
    }
    Ok(Tail { bytes, start })
}

/// The last `n` lines of `tail` as rows.
pub(crate) fn split_rows(tail: &Tail, n: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut end = tail.bytes.len();
    while end > 0 && rows.len() < n {
        let begin = memchr::memrchr(b'\n', &tail.bytes[..end - 1]).map_or(0, |at| at + 1);
        let bytes = tail.bytes[begin..end - 1].to_vec();
        rows.push(Row {
            bytes,
            offset: tail.start + begin as u64,
        });
        end = begin;
    }
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use proptest::prelude::*;

    fn texts(content: &[u8], n: usize) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, content).expect("written");
        let rows = last_rows(&path, n).expect("readable");
        rows.iter()
            .map(|row| String::from_utf8_lossy(&row.bytes).into_owned())
            .collect()
    }

    #[test]
    fn what_counts_as_the_last_rows() {
        for (content, n, expected) in [
            ("", 1, vec![]),
            ("a", 1, vec![]),
            ("a\n", 1, vec!["a"]),
            ("a\nb", 1, vec!["a"]),
            ("a\n\n", 1, vec![""]),
            ("\n", 3, vec![""]),
            ("a\n\nb\n", 2, vec!["", "b"]),
            ("a\nb\nc\n", 2, vec!["b", "c"]),
            ("a\nb\n", 9, vec!["a", "b"]),
            ("a\nb\n", 0, vec![]),
        ] {
            assert_eq!(
                texts(content.as_bytes(), n),
                expected,
                "{content:?} last {n}"
            );
        }
    }

    #[test]
    fn rows_longer_than_a_block_come_whole() {
        let long = "x".repeat(200_000);
        let content = format!("{long}\nshort\n{long}y\ntail");
        assert_eq!(texts(content.as_bytes(), 2), ["short", &format!("{long}y")]);
    }

    #[test]
    fn what_is_not_a_regular_file_has_no_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(last_row(folder.path()).expect("no error"), None);
        assert_eq!(
            last_row(&folder.path().join("missing/rows.jsonl")).expect("no error"),
            None
        );
    }

    #[test]
    fn a_line_number_counts_the_newlines_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "a\n\nbc\n").expect("written");
        for (offset, number) in [(0, 1), (2, 2), (3, 3)] {
            assert_eq!(line_number_of(&path, offset).expect("readable"), number);
        }
    }

    #[test]
    fn the_old_part_of_a_journal_is_not_read() {
        /// Fails on any read below the given offset.
        struct Guarded(Cursor<Vec<u8>>, u64);
        impl Read for Guarded {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                assert!(self.0.position() >= self.1, "read at {}", self.0.position());
                self.0.read(out)
            }
        }
        impl Seek for Guarded {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        let content = b"0123456789\n".repeat(100_000);
        let length = content.len() as u64;
        let mut source = Guarded(Cursor::new(content), length - BLOCK);
        let tail = tail_lines(&mut source, length, 100).expect("readable");
        assert_eq!(split_rows(&tail, 100).len(), 100);
    }

    proptest! {
        #[test]
        fn the_last_rows_are_the_end_of_all_rows(
            content in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'x')], 0..60), n in 0usize..12,
        ) {
            let mut all: Vec<_> = content.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            all.pop();
            let expected = &all[all.len().saturating_sub(n)..];
            let tail = tail_lines(&mut Cursor::new(&content), content.len() as u64, n).expect("readable");
            let rows = split_rows(&tail, n);
            for row in &rows {
                let at = usize::try_from(row.offset).expect("small");
                prop_assert_eq!(&content[at..at + row.bytes.len()], &row.bytes[..]);
            }
            let got: Vec<_> = rows.into_iter().map(|row| row.bytes).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
