//! Moving rows of a journal to a file of their own.
//!
//! Both parts are written beside each other first, as large as they are, and
//! then put in place by one commit of two renames: whatever happens, every row
//! is in exactly one of the two files, once.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::apply::apply_plan;
use crate::commit::{Commit, Receipt};
use crate::disk::{Disk, FileInfo, FileKind, OpenJournal, ignore_absence};
use crate::error::{CommitError, Failure};
use crate::lines::{Line, LineReader};
use crate::perform::Temporaries;
use crate::plan::plan;
use crate::scope::{Scope, Session, settle};

/// Names of the parts while they are written: this and a number.
const STAGED: &str = "archive-";
/// Bytes read and written at a time.
const BLOCK: u64 = 1024 * 1024;
/// This many bytes before the end of what is sorted tell whether the journal
/// is still the one that was.
const FINGERPRINT: u64 = 4096;

impl Scope {
    /// Moves those complete rows among the first `until` bytes of `journal` to
    /// the new file `archive` that `goes` says yes to; the others, and whatever
    /// was appended since, stay in their order.
    ///
    /// The caller holds a run lock, so that only one process moves rows of
    /// this scope. Fails with [`CommitError::Changed`], nothing changed, if the
    /// journal was replaced or cut meanwhile; rows that are appended meanwhile
    /// are no change.
    pub fn archive_rows(
        &self,
        journal: &Path,
        archive: &Path,
        until: u64,
        goes: &mut dyn FnMut(&Line<'_>) -> bool,
    ) -> Result<Receipt, CommitError> {
        let disk = &*self.disk;
        self.remove_leftovers()?;
        let found = self.archivable(journal, archive)?;
        let staged = Staged::new(disk, &self.store_dir(), found.mode);
        let sorted = Sorted {
            journal,
            until,
            inode: found.identity.inode,
            end: end_of(disk, journal, until)?,
        };
        let written = staged.write(journal, until, goes);
        let put = written.and_then(|()| self.put(&staged, &sorted, archive));
        if let Err(error) = &put
            && !matches!(error, CommitError::ApplyIncomplete { .. })
        {
            // What cannot be removed now is removed by the next one.
            staged.discard();
        }
        put
    }

    /// The journal is a file, on the file system of the scope, and the archive
    /// is not there yet.
    fn archivable(&self, journal: &Path, archive: &Path) -> Result<FileInfo, CommitError> {
        let look = |path: &Path| self.disk.info(path).map_err(Failure::at("look at", path));
        let found = look(journal)?.filter(|found| found.kind == FileKind::Regular);
        let found = found.ok_or_else(|| CommitError::NotAFile {
            path: journal.to_owned(),
        })?;
        let refuse = |kind: io::ErrorKind| Failure::at("write", archive)(kind.into());
        if look(archive)?.is_some() {
            return Err(refuse(io::ErrorKind::AlreadyExists).into());
        }
        let store = look(&self.store_dir())?.map(|store| store.device);
        if store != Some(found.device) {
            return Err(refuse(io::ErrorKind::CrossesDevices).into());
        }
        Ok(found)
    }

    /// Puts both parts in their places.
    fn put(
        &self,
        staged: &Staged<'_>,
        sorted: &Sorted<'_>,
        archive: &Path,
    ) -> Result<Receipt, CommitError> {
        let (disk, journal) = (&*self.disk, sorted.journal);
        let mut session = Session::open(self)?;
        // Recovery must not look for rows in a journal that has fewer now.
        session.plan_checkpoint()?;
        settle(&mut [&mut session])?;
        let length = sorted.length_now(disk)?;
        staged.copy(journal, sorted.until, length)?;
        let late = Late::watch(journal, length);
        let commit = Commit::new()
            .rename(&staged.archived, archive)
            .rename(&staged.kept, journal);
        let store_dir = self.store_dir();
        let mut temporaries = Temporaries::new(disk, &store_dir);
        let plan = plan(disk, self.dir(), &commit, &mut temporaries, 0)?;
        let record = session.log.encode_next(&plan.pass.index(), &plan.pass.body);
        session.log.append(record, true)?;
        session.log.mark_recorded();
        let foreign = apply_plan(disk, self.dir(), &plan).map_err(Failure::after_record)?;
        session.foreign.extend(foreign);
        session.log.mark_applied();
        late.append(disk, journal).map_err(Failure::after_record)?;
        let checkpoint = session.plan_checkpoint();
        let checkpoint = checkpoint.and_then(|()| settle(&mut [&mut session]));
        checkpoint.map_err(after_record)?;
        Ok(Receipt {
            foreign: session.foreign,
        })
    }

    /// What a killed process left; recovered, so that nothing refers to it.
    fn remove_leftovers(&self) -> Result<(), CommitError> {
        self.recover()?;
        let (disk, store_dir) = (&*self.disk, self.store_dir());
        let names = disk
            .list(&store_dir)
            .map_err(Failure::at("list", &store_dir))?;
        for name in names {
            if name.to_string_lossy().starts_with(STAGED) {
                let path = store_dir.join(name);
                ignore_absence(disk.remove(&path)).map_err(Failure::at("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// The same failure, once everything is in its place.
fn after_record(error: CommitError) -> CommitError {
    match error {
        CommitError::Io {
            action,
            path,
            source,
        } => CommitError::ApplyIncomplete {
            action,
            path,
            source,
        },
        other => other,
    }
}

/// A journal as it was sorted.
struct Sorted<'a> {
    journal: &'a Path,
    until: u64,
    inode: u64,
    /// The last bytes before `until`.
    end: Vec<u8>,
}

impl Sorted<'_> {
    /// Its length, if it is still the same but for what was appended.
    fn length_now(&self, disk: &dyn Disk) -> Result<u64, CommitError> {
        let now = disk.info(self.journal);
        let now = now.map_err(Failure::at("look at", self.journal))?;
        let now = now.filter(|now| now.kind == FileKind::Regular);
        let now = now.map(|now| now.identity);
        match now.filter(|now| now.inode == self.inode && now.length >= self.until) {
            Some(now) if end_of(disk, self.journal, self.until)? == self.end => Ok(now.length),
            _ => Err(CommitError::Changed {
                path: self.journal.to_owned(),
            }),
        }
    }
}

fn end_of(disk: &dyn Disk, journal: &Path, until: u64) -> Result<Vec<u8>, CommitError> {
    let size = until.min(FINGERPRINT);
    let bytes = disk.read_range(journal, until - size, size);
    Ok(bytes.map_err(Failure::at("read", journal))?)
}

/// Both parts of a journal, on their way.
struct Staged<'a> {
    disk: &'a dyn Disk,
    archived: PathBuf,
    kept: PathBuf,
    mode: u32,
}

impl<'a> Staged<'a> {
    fn new(disk: &'a dyn Disk, store_dir: &Path, mode: u32) -> Self {
        let name = disk.random_id();
        Self {
            disk,
            archived: store_dir.join(format!("{STAGED}{name:032x}-rows")),
            kept: store_dir.join(format!("{STAGED}{name:032x}-kept")),
            mode,
        }
    }

    /// Sorts the rows before `until`.
    fn write(
        &self,
        journal: &Path,
        until: u64,
        goes: &mut dyn FnMut(&Line<'_>) -> bool,
    ) -> Result<(), CommitError> {
        let mut archived = self.part(&self.archived)?;
        let mut kept = self.part(&self.kept)?;
        let source = Range {
            disk: self.disk,
            path: journal,
            at: 0,
            until,
        };
        let mut lines = LineReader::new(source, 0, 0);
        let failed = || Failure::at("read", journal);
        while let Some(line) = lines.next_line().map_err(failed())? {
            let part = if goes(&line) {
                &mut archived
            } else {
                &mut kept
            };
            part.add(line.bytes)?;
            part.add(b"\n")?;
        }
        let rest = lines.remaining().to_vec();
        kept.add(&rest)?;
        archived.end()?;
        kept.end()
    }

    /// What was appended since is kept, up to the last byte.
    fn copy(&self, journal: &Path, from: u64, until: u64) -> Result<(), CommitError> {
        let mut kept = Part::of(self.disk, &self.kept, self.mode);
        let mut at = from;
        while at < until {
            let bytes = self
                .disk
                .read_range(journal, at, BLOCK.min(until - at))
                .map_err(Failure::at("read", journal))?;
            if bytes.is_empty() {
                return Err(CommitError::Changed {
                    path: journal.to_owned(),
                });
            }
            at += bytes.len() as u64;
            kept.add(&bytes)?;
        }
        kept.end()
    }

    fn part<'p>(&'p self, path: &'p Path) -> Result<Part<'p>, CommitError> {
        let made = self.disk.create(path, b"", self.mode);
        made.map_err(Failure::at("write", path))?;
        Ok(Part::of(self.disk, path, self.mode))
    }

    fn discard(&self) {
        for path in [&self.archived, &self.kept] {
            let _ = self.disk.remove(path);
        }
    }
}

/// A file that grows by blocks.
struct Part<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    mode: u32,
    block: Vec<u8>,
}

impl<'a> Part<'a> {
    fn of(disk: &'a dyn Disk, path: &'a Path, mode: u32) -> Self {
        Self {
            disk,
            path,
            mode,
            block: Vec::new(),
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), CommitError> {
        self.block.extend_from_slice(bytes);
        if self.block.len() as u64 >= BLOCK {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CommitError> {
        let file = OpenJournal::at(self.path);
        let written = self.disk.append(&file, &self.block, self.mode);
        written.map_err(Failure::at("write", self.path))?;
        self.block.clear();
        Ok(())
    }

    fn end(mut self) -> Result<(), CommitError> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.flush()
    }
}

/// A part of a file, read in blocks.
struct Range<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    at: u64,
    until: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = (out.len() as u64).min(self.until.saturating_sub(self.at));
        if wanted == 0 {
            return Ok(0);
        }
        let bytes = self.disk.read_range(self.path, self.at, wanted)?;
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

/// Notices what somebody appends, without any lock, between the last look and
/// the renames: those bytes are in the file that has no name any more.
struct Late {
    /// The journal as it was; none on a disk that is no real one.
    file: Option<File>,
    length: u64,
}

impl Late {
    fn watch(journal: &Path, length: u64) -> Self {
        Self {
            file: File::open(journal).ok(),
            length,
        }
    }

    fn append(self, disk: &dyn Disk, journal: &Path) -> Result<(), Failure> {
        let Some(mut file) = self.file else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.length))
            .and_then(|_| file.read_to_end(&mut bytes))
            .map_err(Failure::at("read", journal))?;
        if bytes.is_empty() {
            return Ok(());
        }
        let mode = crate::documents::DEFAULT_MODE;
        let appended = disk.append(&OpenJournal::at(journal), &bytes, mode);
        appended
            .map(|_| ())
            .map_err(Failure::at("append to", journal))
    }
}
