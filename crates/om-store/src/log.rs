//! The recycled log that makes commits durable.
//!
//! `<name>.log` holds a first sector with the log's random identity, then the
//! records since the last checkpoint, one behind the other. Overwriting
//! allocated blocks is much cheaper than growing a file, so the log grows in
//! chunks and starts again at the front after a checkpoint.
//!
//! `<name>.head` says where the log stands ([`Head`]). It is never synced for
//! a commit: within one boot the page cache keeps it, after a reboot the
//! records themselves are read.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, SyncKind};
use crate::error::Failure;
use crate::frame::{self, HEADER, Head, Header, SECTOR};

/// The log grows by at least this many bytes.
const CHUNK: u64 = 64 * 1024;

/// A log that is longer than this is cut after a checkpoint, if what was
/// written since the one before took but a small part of it.
const ROOMY: u64 = 16 * 1024 * 1024;
/// What counts as a small part: one in this many bytes.
const SMALL_PART: u64 = 4;

/// One record as read from a log.
#[derive(Clone, Debug)]
pub(crate) struct StoredRecord {
    pub(crate) header: Header,
    pub(crate) index: Vec<u8>,
    /// Empty if only the index was asked for.
    pub(crate) body: Vec<u8>,
    /// Where it begins in the log.
    pub(crate) at: u64,
}

/// What a log holds that may have to be applied.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing: the head is of this boot and has no record after it.
    Clean,
    /// One record that was appended in this boot but not marked as applied.
    Unapplied(StoredRecord),
    /// One record that was completely written in this boot and not marked as
    /// applied, but it is not whole any more.
    Damaged,
    /// It has to be read as a whole: another boot, or no head.
    Unknown,
}

/// The records of a log.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The whole ones, in order.
    pub(crate) whole: Vec<StoredRecord>,
    /// From the first to the last one, if any, that the head says was written
    /// but that is not whole.
    pub(crate) damaged: Option<Range<u64>>,
}

/// How much of each record to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    IndexOnly,
}

/// One log, opened.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    head_path: PathBuf,
    /// Current length of the file.
    length: u64,
    head: Head,
    /// Padded length of the record appended last, until marked as applied.
    appended: u64,
    /// How far records reached before the last checkpoint of this process.
    used: u64,
}

impl Log {
    /// Opens `<folder>/<name>.log`; `None` if there is no usable one yet.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        name: &str,
    ) -> Result<Option<(Self, Found)>, Failure> {
        let path = folder.join(format!("{name}.log"));
        let Some(info) = disk.info(&path).map_err(Failure::at("look at", &path))? else {
            return Ok(None);
        };
        let length = info.identity.length;
        let first = disk
            .read_range(&path, 0, SECTOR)
            .map_err(Failure::at("read", &path))?;
        let Some(log_id) = frame::parse_log_id(&first) else {
            // Records only follow once the first sector is durable.
            return if length <= SECTOR {
                Ok(None)
            } else {
                Err(damaged(&path))
            };
        };
        let mut log = Self {
            disk: Arc::clone(disk),
            head_path: folder.join(format!("{name}.head")),
            path,
            length,
            head: fresh_head(&**disk, log_id),
            appended: 0,
            used: SECTOR,
        };
        let found = log.locate()?;
        Ok(Some((log, found)))
    }

    /// Makes a new log, replacing one that was never completely made. Not
    /// durable until [`Self::path`] and the folders above it are synced.
    pub(crate) fn create(disk: &Arc<dyn Disk>, folder: &Path, name: &str) -> Result<Self, Failure> {
        let path = folder.join(format!("{name}.log"));
        let log_id = disk.random_id();
        let sector = frame::encode_log_id(log_id);
        match disk.create(&path, &sector, 0o600) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                disk.write_at(&path, 0, &sector)
            }
            result => result,
        }
        .map_err(Failure::at("write", &path))?;
        let head_path = folder.join(format!("{name}.head"));
        Ok(Self {
            disk: Arc::clone(disk),
            path,
            head_path,
            length: SECTOR,
            head: fresh_head(&**disk, log_id),
            appended: 0,
            used: SECTOR,
        })
    }

    /// Reads the head and looks for a record after it.
    fn locate(&mut self) -> Result<Found, Failure> {
        let Some(head) = self.read_head()? else {
            return Ok(Found::Unknown);
        };
        self.head = head;
        if head.boot == 0 || Some(head.boot) != self.disk.boot_id() {
            return Ok(Found::Unknown);
        }
        let next = self.read_record(
            head.tail,
            |header| (header.generation, header.sequence) == (head.generation, head.sequence + 1),
            Extent::Whole,
        )?;
        Ok(match next {
            Some(record) => Found::Unapplied(record),
            None if head.recorded > head.tail => Found::Damaged,
            None => Found::Clean,
        })
    }

    fn read_head(&self) -> Result<Option<Head>, Failure> {
        let bytes = match self.disk.read(&self.head_path) {
            Err(error) if crate::journal::is_absence(&error) => return Ok(None),
            result => result.map_err(Failure::at("read", &self.head_path))?,
        };
        Ok(Head::parse(&bytes).filter(|head| head.log_id == self.head.log_id))
    }

    /// The log's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The head's file.
    pub(crate) fn head_path(&self) -> &Path {
        &self.head_path
    }

    /// Where the log stands.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Whether the log should start again at its front before it takes
    /// another record: it is past `least` bytes and 16 times its greatest
    /// record (at most 64 times `least`).
    pub(crate) fn is_full(&self, least: u64) -> bool {
        self.head.tail
            > self
                .head
                .largest
                .saturating_mul(16)
                .clamp(least, least.saturating_mul(64))
    }

    /// Every whole record from the front up to the first that is not, in
    /// order.
    pub(crate) fn records(&self, extent: Extent) -> Result<Vec<StoredRecord>, Failure> {
        Ok(self.scan(extent, SECTOR)?.whole)
    }

    /// Every whole record, also behind damaged ones: where the head says that
    /// records were written, the next whole one is searched for.
    pub(crate) fn all_records(&self, extent: Extent) -> Result<Records, Failure> {
        self.scan(extent, self.head.recorded)
    }

    /// [`Self::all_records`], searching up to the offset `written`.
    fn scan(&self, extent: Extent, mut written: u64) -> Result<Records, Failure> {
        let mut records = Records::default();
        let mut at = SECTOR;
        loop {
            let last = records.whole.last().map(|record| record.header);
            let gap = records.damaged.is_some();
            let expected = |header: &Header| match last {
                Some(last) if gap => {
                    header.generation == last.generation && header.sequence > last.sequence
                }
                Some(last) => {
                    (header.generation, header.sequence) == (last.generation, last.sequence + 1)
                }
                None => !gap || header.generation == self.head.generation,
            };
            match self.read_record(at, expected, extent)? {
                Some(record) => {
                    if record.header.generation != self.head.generation {
                        // The head is about other records than these.
                        written = SECTOR;
                    }
                    at += record.header.padded_length();
                    records.whole.push(record);
                }
                None if at < written => {
                    at += SECTOR;
                    let damaged = records.damaged.get_or_insert(at - SECTOR..at);
                    damaged.end = at.max(damaged.end);
                }
                None => return Ok(records),
            }
        }
    }

    /// The whole record at `at`, if there is one and its header is as
    /// expected.
    fn read_record(
        &self,
        at: u64,
        expected: impl FnOnce(&Header) -> bool,
        extent: Extent,
    ) -> Result<Option<StoredRecord>, Failure> {
        let read = |at, length| {
            self.disk
                .read_range(&self.path, at, length)
                .map_err(Failure::at("read", &self.path))
        };
        let head = read(at, HEADER as u64)?;
        let Some(header) = Header::parse(&head) else {
            return Ok(None);
        };
        if !expected(&header) || header.record_length() > self.length.saturating_sub(at) {
            return Ok(None);
        }
        let wanted = match extent {
            Extent::Whole => header.index_length + header.body_length,
            Extent::IndexOnly => header.index_length,
        };
        let mut index = read(at + HEADER as u64, wanted)?;
        let body = index.split_off(
            index
                .len()
                .min(usize::try_from(header.index_length).unwrap_or(usize::MAX)),
        );
        let whole = frame::verify_index(&head, &index)
            && (extent == Extent::IndexOnly || frame::verify_body(&header, &body));
        Ok(whole.then_some(StoredRecord {
            header,
            index,
            body,
            at,
        }))
    }

    /// Bytes of a record's body, for those read as index only.
    pub(crate) fn read_body(
        &self,
        record: &StoredRecord,
        start: usize,
        length: usize,
    ) -> Result<Vec<u8>, Failure> {
        let body = record.at + HEADER as u64 + record.header.index_length;
        self.disk
            .read_range(&self.path, body + start as u64, length as u64)
            .map_err(Failure::at("read", &self.path))
    }

    /// Any bytes of the log.
    pub(crate) fn read_bytes(&self, range: &Range<u64>) -> Result<Vec<u8>, Failure> {
        self.disk
            .read_range(&self.path, range.start, range.end - range.start)
            .map_err(Failure::at("read", &self.path))
    }

    /// The sequence of the next record.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.head.sequence + 1
    }

    /// The next record as bytes.
    pub(crate) fn encode_next(&self, index: &[u8], body: &[u8]) -> Vec<u8> {
        frame::encode(
            self.head.generation,
            self.next_sequence(),
            self.head.base,
            index,
            body,
        )
    }

    /// Writes the record made by [`Self::encode_next`]. On failure it is
    /// taken back, see [`Self::retract`].
    pub(crate) fn append(&mut self, mut record: Vec<u8>, durably: bool) -> Result<(), AppendError> {
        let padded = (record.len() as u64).next_multiple_of(SECTOR);
        let end = self.head.tail + padded;
        let mut length = padded;
        if end > self.length && durably {
            // Zeros behind the record: the following ones overwrite them.
            length += end.next_multiple_of(CHUNK) + CHUNK - end;
        }
        record.resize(usize::try_from(length).unwrap_or(record.len()), 0);
        let written = self.disk.write_at(&self.path, self.head.tail, &record);
        let written = written.and_then(|()| if durably { self.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => {
                self.length = self.length.max(self.head.tail + length);
                self.appended = padded;
                Ok(())
            }
            Err(source) => {
                let failure = Failure {
                    action: "write",
                    path: self.path.clone(),
                    source,
                };
                Err(if self.retract() {
                    AppendError::Undone(failure)
                } else {
                    AppendError::InDoubt(failure)
                })
            }
        }
    }

    /// Makes what was appended durable.
    pub(crate) fn sync_data(&self) -> std::io::Result<()> {
        self.disk.sync(&self.path, SyncKind::Data)
    }

    /// Takes back the record at the end; whether it is gone for certain.
    pub(crate) fn retract(&mut self) -> bool {
        self.appended = 0;
        let zeros = [0; HEADER];
        let erased = self
            .disk
            .write_at(&self.path, self.head.tail, &zeros)
            .is_ok();
        let header = || {
            self.disk
                .read_range(&self.path, self.head.tail, HEADER as u64)
        };
        erased || header().is_ok_and(|bytes| Header::parse(&bytes).is_none())
    }

    /// Notes that the record appended last is completely written: should it
    /// not be whole later on, it was not a kill that tore it.
    pub(crate) fn mark_recorded(&mut self) {
        self.head.recorded = self.head.tail + self.appended;
        self.write_hint();
    }

    /// Forgets about a [`Found::Damaged`] record.
    pub(crate) fn forget_damaged(&mut self) {
        self.head.recorded = self.head.tail;
        self.write_hint();
    }

    /// Marks the record appended last as applied.
    pub(crate) fn mark_applied(&mut self) {
        self.head.tail += self.appended;
        self.head.recorded = self.head.tail;
        self.head.largest = self.head.largest.max(self.appended);
        self.head.sequence += 1;
        self.appended = 0;
        self.write_hint();
    }

    /// Marks a [`Found::Unapplied`] record of that length as applied.
    pub(crate) fn mark_found_applied(&mut self, padded_length: u64) {
        self.appended = padded_length;
        self.mark_applied();
    }

    /// After a checkpoint: nothing up to `sequence` is needed any more, the
    /// next record goes to the front. Sync the head's file to make it last.
    pub(crate) fn recycle(&mut self, sequence: u64) -> Result<(), Failure> {
        self.used = self.head.tail;
        self.head = Head {
            sequence,
            base: sequence,
            ..fresh_head(&*self.disk, self.head.log_id)
        };
        self.write_head()
    }

    /// After [`Self::recycle`], once the head is durable: gives back the space
    /// of records much larger than those since.
    pub(crate) fn shrink(&mut self) {
        let wanted = self.used.next_multiple_of(CHUNK);
        if self.length <= ROOMY || wanted > self.length / SMALL_PART {
            return;
        }
        match self.disk.truncate(&self.path, wanted) {
            Ok(()) => self.length = wanted,
            // It only takes more space than it needs.
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "log not cut"),
        }
    }

    /// Writes the head where a loss only costs time: without it, recorded
    /// commits are examined again.
    fn write_hint(&mut self) {
        if let Err(failure) = self.write_head() {
            tracing::warn!(path = %failure.path.display(), error = %failure.source, "commit position not saved");
        }
    }

    /// Writes the head.
    pub(crate) fn write_head(&mut self) -> Result<(), Failure> {
        self.head.boot = self.disk.boot_id().unwrap_or(0);
        let bytes = self.head.encode();
        match self.disk.write_at(&self.head_path, 0, &bytes) {
            Err(error) if crate::journal::is_absence(&error) => {
                self.disk.create(&self.head_path, &bytes, 0o600)
            }
            result => result,
        }
        .map_err(Failure::at("write", &self.head_path))
    }
}

/// A record could not be written.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// It is not in the log.
    Undone(Failure),
    /// It may be in the log.
    InDoubt(Failure),
}

/// The head of a log without records.
fn fresh_head(disk: &dyn Disk, log_id: u128) -> Head {
    Head {
        log_id,
        boot: 0,
        generation: disk.random_id(),
        tail: SECTOR,
        recorded: SECTOR,
        sequence: 0,
        base: 0,
        largest: 0,
    }
}

fn damaged(path: &Path) -> Failure {
    let what = "its first sector is damaged; move the file away to start a new one";
    Failure {
        action: "use",
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, what),
    }
}
