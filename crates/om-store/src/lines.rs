//! Forward streaming over the complete lines of a file.

use std::io::{self, Read};

/// Initial buffer and read size in bytes.
const BLOCK: usize = 128 * 1024;

/// One complete line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line without its newline.
    pub bytes: &'a [u8],
    /// Byte offset of its first byte in the file.
    pub start: u64,
    /// Byte offset just after its newline.
    pub end: u64,
    /// Line number, counted from 1 (plus what the reader was started with).
    pub number: u64,
}

/// Reads complete lines one after the other through one reused buffer.
///
/// Bytes after the last newline are *not there yet* (decision D8): they are
/// never a line, only counted by [`Self::tail_len`]. Memory is bounded by
/// 128 KiB or twice the longest line.
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// Unconsumed bytes are `buffer[from..to]`.
    from: usize,
    to: usize,
    /// File offset of `buffer[from]`.
    offset: u64,
    lines: u64,
}

impl<R: Read> LineReader<R> {
    /// Reads `source`, which stands at byte `offset` of the file, after
    /// `lines` complete lines.
    pub fn new(source: R, offset: u64, lines: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            from: 0,
            to: 0,
            offset,
            lines,
        }
    }

    /// The next complete line, `None` when there is no further newline.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let length = loop {
            match memchr::memchr(b'\n', &self.buffer[self.from + searched..self.to]) {
                Some(at) => break searched + at,
                None => searched = self.to - self.from,
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        };
        let (begin, start) = (self.from, self.offset);
        self.from += length + 1;
        self.offset += length as u64 + 1;
        self.lines += 1;
        let bytes = &self.buffer[begin..begin + length];
        Ok(Some(Line {
            bytes,
            start,
            end: self.offset,
            number: self.lines,
        }))
    }

    /// Bytes read but not part of a complete line; final once
    /// [`Self::next_line`] has returned `None`.
    pub fn tail_len(&self) -> u64 {
        (self.to - self.from) as u64
    }

    /// The bytes counted by [`Self::tail_len`].
    pub fn remaining(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Complete lines so far, those before the start included.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Byte offset after the last complete line.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads another block behind what is there; returns bytes read.
    fn fill(&mut self) -> io::Result<usize> {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        if self.to == self.buffer.len() {
            let larger = (self.buffer.len() * 2).max(BLOCK);
            self.buffer.resize(larger, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.to..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.to += count;
                    return Ok(count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out its bytes in pieces of the given size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(out.len());
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    /// A line with its start, end and number.
    type OwnedLine = (Vec<u8>, u64, u64, u64);

    fn read_all(bytes: &[u8], piece: usize) -> (Vec<OwnedLine>, Vec<u8>) {
        let mut reader = LineReader::new(Pieces(bytes, piece), 0, 0);
        let mut out = Vec::new();
        while let Some(line) = reader.next_line().expect("readable") {
            out.push((line.bytes.to_vec(), line.start, line.end, line.number));
        }
        assert_eq!(reader.tail_len(), reader.remaining().len() as u64);
        (out, reader.remaining().to_vec())
    }

    #[test]
    fn an_unterminated_tail_is_not_a_line() {
        let (lines, tail) = read_all(b"a\n\nbc", 2);
        assert_eq!(lines, [(b"a".to_vec(), 0, 2, 1), (b"".to_vec(), 2, 3, 2)]);
        assert_eq!(tail, b"bc");
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_one_line() {
        let mut bytes = vec![b'x'; 3 * BLOCK];
        bytes.push(b'\n');
        let (lines, tail) = read_all(&bytes, usize::MAX);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].0.len(), 3 * BLOCK);
        assert!(tail.is_empty());
    }

    #[test]
    fn reading_continues_where_an_earlier_reader_stopped() {
        let bytes = b"one\ntwo\nthree\n";
        let mut reader = LineReader::new(&bytes[4..], 4, 1);
        let line = reader.next_line().expect("readable").expect("a line");
        assert_eq!(
            (line.bytes, line.start, line.end, line.number),
            (&b"two"[..], 4, 8, 2)
        );
        assert_eq!((reader.offset(), reader.lines()), (8, 2));
    }

    proptest! {
        #[test]
        fn lines_and_tail_put_together_are_the_file(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            piece in 1usize..40,
        ) {
            let (lines, tail) = read_all(&bytes, piece);
            let mut whole = Vec::new();
            for (line, start, end, _) in lines {
                prop_assert_eq!(start, whole.len() as u64);
                whole.extend_from_slice(&line);
                whole.push(b'\n');
                prop_assert_eq!(end, whole.len() as u64);
            }
            whole.extend_from_slice(&tail);
            prop_assert_eq!(whole, bytes);
        }
    }
}
