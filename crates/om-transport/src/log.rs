//! The opened event log: how far it reaches, what it hashes to, and whether
//! it is the log that a cursor was made from.
//!
//! The extent is fixed when the log is opened, so that everything said about
//! it in one observation agrees, whatever is appended meanwhile. Only
//! complete lines count: an unterminated tail is not there yet (decision D8).

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use memchr::{memchr_iter, memrchr};
use om_model::envelope::{ArtifactRef, LogPosition};
use om_store::{LineReader, ResumableSha256, Sha256Digest, digest};

use crate::error::ObserveError;
use crate::runtime_file::{open_regular, unreadable};

/// Bytes at each end of the log that serve to recognise it.
const IDENTITY_BYTES: u64 = 4096;

/// Bytes of the first step backwards: most lines fit in, and since steps
/// double, a huge one is crossed in few.
const FIRST_STEP_BYTES: u64 = 4096;

/// Bytes read at a time while hashing.
const BLOCK_BYTES: usize = 256 * 1024;

/// An event log at a fixed extent.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
    size: u64,
    device: u64,
    inode: u64,
    mtime: i64,
}

/// A prefix of the log that need not be read again.
#[derive(Clone, Default)]
pub struct Prefix {
    length: u64,
    line_count: u64,
    digest: ResumableSha256,
}

/// Whether the log is the one that a position was taken from.
pub enum Recognition {
    /// It is; reading can go on behind this prefix.
    Same(Prefix),
    /// It is another log, or an earlier part was changed.
    Replaced,
    /// The position is damaged and says nothing: lines have to be counted.
    Unknown,
}

/// The whole log, measured.
pub struct LogScan {
    /// Bytes of all complete lines.
    pub length: u64,
    /// Complete lines.
    pub line_count: u64,
    /// SHA-256 of the file, the unterminated tail included.
    pub sha256: Sha256Digest,
    /// Where the last complete line is, without its newline.
    pub last_line: Option<Range<u64>>,
    /// State of the digest over `length` bytes.
    digest: ResumableSha256,
}

impl EventLog {
    /// Opens the log at `path` and fixes its extent.
    pub fn open(path: &Path) -> Result<Self, ObserveError> {
        let Some(file) = open_regular(path)? else {
            return Err(ObserveError::ArtifactMissing {
                path: path.to_owned(),
            });
        };
        let metadata = file.metadata().map_err(|cause| unreadable(path, cause))?;
        Ok(Self {
            path: path.to_owned(),
            size: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            mtime: metadata.mtime(),
            file,
        })
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Decides whether this is the log that `position` was taken from.
    ///
    /// Reads the first and last bytes that the position covers; the whole of
    /// it only if the log is another file with the same ends (a copied or
    /// restored repository).
    pub fn recognise(
        &self,
        position: &LogPosition,
        progress: &mut Progress<'_>,
    ) -> Result<Recognition, ObserveError> {
        let digest = ResumableSha256::restore(&position.digest_state)
            .filter(|digest| digest.len() == position.length);
        let Some(digest) = digest else {
            return Ok(Recognition::Unknown);
        };
        if self.size < position.length || self.ends(position.length)? != ends_of(position) {
            return Ok(Recognition::Replaced);
        }
        let same_file = (self.device, self.inode) == (position.device, position.inode);
        if !same_file && self.prefix_digest(position.length, progress)? != digest.finish() {
            return Ok(Recognition::Replaced);
        }
        if !self.is_line_end(position.byte_offset)? {
            return Ok(Recognition::Unknown);
        }
        Ok(Recognition::Same(Prefix {
            length: position.length,
            line_count: position.line_count,
            digest,
        }))
    }

    /// Measures the log behind `prefix`.
    pub fn scan(
        &self,
        prefix: Prefix,
        progress: &mut Progress<'_>,
    ) -> Result<LogScan, ObserveError> {
        let Prefix {
            length: known,
            mut line_count,
            mut digest,
        } = prefix;
        let length = self
            .last_newline(known..self.size)?
            .map_or(known, |at| at + 1);
        self.read_blocks(known..length, progress, |block| {
            digest.update(block);
            line_count += memchr_iter(b'\n', block).count() as u64;
        })?;
        let mut whole = digest.clone();
        self.read_blocks(length..self.size, progress, |block| whole.update(block))?;
        Ok(LogScan {
            length,
            line_count,
            sha256: whole.finish(),
            last_line: self.last_line(length)?,
            digest,
        })
    }

    /// The lines from `position` (a line end) to the end of the scan.
    pub fn lines<'a, 'p>(
        &'a self,
        scan: &LogScan,
        position: LinePosition,
        progress: &'a mut Progress<'p>,
    ) -> LineReader<Section<'a, 'p>> {
        let section = self.section(position.byte_offset..scan.length, progress);
        LineReader::new(section, position.byte_offset, position.line)
    }

    /// The bytes in `range`.
    pub fn bytes(&self, range: Range<u64>) -> Result<Vec<u8>, ObserveError> {
        let length = usize::try_from(range.end.saturating_sub(range.start));
        let length = length.map_err(|_| self.unreadable(io::ErrorKind::OutOfMemory.into()))?;
        let mut bytes = vec![0; length];
        self.section(range, &mut Progress::silent())
            .read_exact(&mut bytes)
            .map_err(|cause| self.unreadable(cause))?;
        Ok(bytes)
    }

    /// `at` as a position to come back to, with the identity of the log.
    pub fn position(&self, scan: &LogScan, at: LinePosition) -> Result<LogPosition, ObserveError> {
        let [head_sha256, tail_sha256] = self.ends(scan.length)?;
        Ok(LogPosition {
            line_offset: at.line,
            byte_offset: at.byte_offset,
            device: self.device,
            inode: self.inode,
            length: scan.length,
            line_count: scan.line_count,
            head_sha256,
            tail_sha256,
            digest_state: scan.digest.save(),
        })
    }

    /// The log as evidence in an envelope, named `relative`.
    pub fn reference(&self, scan: &LogScan, relative: String) -> ArtifactRef {
        ArtifactRef {
            path: relative,
            exists: true,
            size_bytes: self.size,
            line_count: scan.line_count,
            sha256: Some(scan.sha256.to_string()),
            mtime_epoch: Some(self.mtime),
        }
    }

    /// Digests of the first and the last bytes within `length`.
    fn ends(&self, length: u64) -> Result<[String; 2], ObserveError> {
        let width = length.min(IDENTITY_BYTES);
        let head = self.bytes(0..width)?;
        let tail = self.bytes(length - width..length)?;
        Ok([head, tail].map(|bytes| digest(&bytes).to_string()))
    }

    fn prefix_digest(
        &self,
        length: u64,
        progress: &mut Progress<'_>,
    ) -> Result<Sha256Digest, ObserveError> {
        let mut digest = ResumableSha256::new();
        self.read_blocks(0..length, progress, |block| digest.update(block))?;
        Ok(digest.finish())
    }

    /// Whether a line ends right before `offset`.
    fn is_line_end(&self, offset: u64) -> Result<bool, ObserveError> {
        match offset.checked_sub(1) {
            None => Ok(true),
            Some(before) => Ok(self.bytes(before..offset)? == b"\n"),
        }
    }

    fn last_line(&self, length: u64) -> Result<Option<Range<u64>>, ObserveError> {
        let Some(end) = length.checked_sub(1) else {
            return Ok(None);
        };
        let start = self.last_newline(0..end)?.map_or(0, |at| at + 1);
        Ok(Some(start..end))
    }

    /// Where the last newline of `range` is, reading backwards from its end.
    fn last_newline(&self, range: Range<u64>) -> Result<Option<u64>, ObserveError> {
        let mut end = range.end;
        let mut step = FIRST_STEP_BYTES;
        while end > range.start {
            let start = end.saturating_sub(step).max(range.start);
            let block = self.bytes(start..end)?;
            if let Some(at) = memrchr(b'\n', &block) {
                return Ok(Some(start + at as u64));
            }
            end = start;
            step = (step * 2).min(BLOCK_BYTES as u64);
        }
        Ok(None)
    }

    fn read_blocks(
        &self,
        range: Range<u64>,
        progress: &mut Progress<'_>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), ObserveError> {
        let length = range.end - range.start;
        let capacity = usize::try_from(length).map_or(BLOCK_BYTES, |n| n.min(BLOCK_BYTES));
        let mut buffer = vec![0; capacity];
        let mut section = self.section(range, progress);
        loop {
            match section.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => each(&buffer[..n]),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.unreadable(cause)),
            }
        }
    }

    fn section<'a, 'p>(
        &'a self,
        range: Range<u64>,
        progress: &'a mut Progress<'p>,
    ) -> Section<'a, 'p> {
        Section {
            file: &self.file,
            at: range.start,
            end: range.end,
            total: self.size,
            progress,
        }
    }

    pub(crate) fn unreadable(&self, cause: io::Error) -> ObserveError {
        unreadable(&self.path, cause)
    }
}

fn ends_of(position: &LogPosition) -> [String; 2] {
    [position.head_sha256.clone(), position.tail_sha256.clone()]
}

/// A line end: so many lines, so many bytes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinePosition {
    /// Lines before it.
    pub line: u64,
    /// Bytes before it.
    pub byte_offset: u64,
}

/// A part of the log as a stream of bytes.
///
/// Ends with an error, not with a shorter stream, if the log has shrunk since
/// it was opened.
pub struct Section<'a, 'p> {
    file: &'a File,
    at: u64,
    end: u64,
    total: u64,
    progress: &'a mut Progress<'p>,
}

impl Read for Section<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end - self.at;
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it shrank while it was being read; try again",
            ));
        }
        self.at += read as u64;
        self.progress.advance(read as u64, self.at, self.total);
        Ok(read)
    }
}

/// Receives (bytes done, bytes in all) of one pass over the log.
pub type ProgressCallback<'p> = &'p mut (dyn FnMut(u64, u64) + Send);

/// Tells somebody how far reading has come, at most once per MiB.
#[derive(Default)]
pub struct Progress<'p> {
    callback: Option<ProgressCallback<'p>>,
    /// Bytes read since the last report.
    unreported: u64,
}

impl<'p> Progress<'p> {
    const STEP_BYTES: u64 = 1024 * 1024;

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Tells `callback`. A log may be passed over more than once: `done`
    /// then starts again.
    pub fn to(callback: ProgressCallback<'p>) -> Self {
        Self {
            callback: Some(callback),
            unreported: 0,
        }
    }

    fn advance(&mut self, read: u64, done: u64, total: u64) {
        let Some(callback) = &mut self.callback else {
            return;
        };
        self.unreported += read;
        if self.unreported >= Self::STEP_BYTES {
            self.unreported = 0;
            callback(done, total);
        }
    }
}
