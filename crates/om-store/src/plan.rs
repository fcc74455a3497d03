//! From a [`Commit`] to a record: everything that can fail fails here, while
//! nothing has been decided.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::commit::{Commit, DocumentWrite, Expect, FileMove};
use crate::digest::digest;
use crate::disk::{Disk, FileInfo, FileKind, OpenJournal, SyncKind};
use crate::documents::DEFAULT_MODE;
use crate::error::{CommitError, Failure};
use crate::perform::{Before, Temporaries, make_folders};
use crate::record::{
    DocumentEntry, JournalEntry, MoveEntry, Pass, RemovalEntry, StoredPath, TornEntry, torn_path,
};

/// Journals grow by whole blocks of this size; within a block no space needs
/// to be reserved.
const DISK_BLOCK: u64 = 4096;

/// A commit ready to be recorded and applied.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pass: Pass,
    /// One per journal of the pass, in its order.
    pub(crate) journals: Vec<OpenJournal>,
    /// One per document of the pass, in its order.
    pub(crate) documents: Vec<Planned>,
    /// One per removal of the pass, in its order.
    pub(crate) removals: Vec<Planned>,
}

/// What the record does not need to know.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) target: PathBuf,
    /// Where its new content waits; empty for a removal.
    pub(crate) temporary: PathBuf,
    pub(crate) before: Option<Before>,
}

/// Checks `commit` against what is on disk and writes its temporaries. Up to
/// `open_journals` journals stay open, so that nobody can take away the
/// permission to append to them between the record and the rows.
pub(crate) fn plan(
    disk: &dyn Disk,
    scope_dir: &Path,
    commit: &Commit,
    temporaries: &mut Temporaries<'_>,
    open_journals: usize,
) -> Result<Plan, CommitError> {
    let mut planner = Planner {
        disk,
        scope_dir,
        open_journals,
        plan: Plan {
            pass: Pass::default(),
            journals: Vec::new(),
            documents: Vec::new(),
            removals: Vec::new(),
        },
        used: BTreeSet::new(),
        folders: BTreeSet::new(),
    };
    let documents = commit.documents.iter().map(|document| document.bytes.len());
    let rows = commit.rows.iter().map(|row| row.bytes.len() + 1);
    planner
        .plan
        .pass
        .body
        .reserve_exact(documents.chain(rows).sum());
    planner.documents(&commit.documents)?;
    planner.journals(commit)?;
    for file_move in &commit.moves {
        planner.rename(file_move)?;
    }
    for path in &commit.removals {
        let expect = commit.removal_expects.get(path).copied();
        planner.removal(path, expect.unwrap_or_default())?;
    }
    planner.temporaries(temporaries)?;
    Ok(planner.plan)
}

/// Whether a file is what the evaluation read.
fn holds(expect: Expect, before: Option<&Before>) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => before.is_none(),
        Expect::Content(digest) => before.is_some_and(|before| before.digest == digest),
    }
}

struct Planner<'a> {
    disk: &'a dyn Disk,
    scope_dir: &'a Path,
    open_journals: usize,
    plan: Plan,
    used: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Planner<'_> {
    fn documents(&mut self, documents: &[DocumentWrite]) -> Result<(), CommitError> {
        for document in documents {
            let (target, found) = self.replaceable(&document.path)?;
            let before = self.before(&target, found)?;
            if !holds(document.options.expect, before.as_ref()) {
                return Err(CommitError::Changed {
                    path: document.path.clone(),
                });
            }
            let mode = document.options.mode.or(found.map(|found| found.mode));
            let content = self.plan.pass.store(&document.bytes);
            self.plan.pass.documents.push(DocumentEntry {
                path: StoredPath::new(self.scope_dir, &target),
                before: before.map(|before| before.digest),
                after: digest(&document.bytes),
                mode: mode.unwrap_or(DEFAULT_MODE),
                last: document.options.last,
                content,
            });
            self.plan.documents.push(Planned {
                target,
                temporary: PathBuf::new(),
                before,
            });
        }
        Ok(())
    }

    fn journals(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let mut journals: Vec<(&Path, Vec<u8>)> = Vec::new();
        let mut positions: BTreeMap<&Path, usize> = BTreeMap::new();
        for row in &commit.rows {
            if row.bytes.contains(&b'\n') {
                return Err(CommitError::RowWithNewline {
                    path: row.path.clone(),
                });
            }
            let position = *positions.entry(&row.path).or_insert_with(|| {
                journals.push((&row.path, Vec::new()));
                journals.len() - 1
            });
            let rows = &mut journals[position].1;
            rows.extend_from_slice(&row.bytes);
            rows.push(b'\n');
        }
        journals
            .into_iter()
            .try_for_each(|(path, rows)| self.journal(path, &rows))
    }

    fn journal(&mut self, path: &Path, rows: &[u8]) -> Result<(), CommitError> {
        let (target, found) = self.target(path)?;
        let file_length = found.map_or(0, |found| found.identity.length);
        let tail = match file_length {
            0 => Vec::new(),
            _ => self.unterminated_tail(&target, file_length)?,
        };
        let length = file_length - tail.len() as u64;
        let torn = if tail.is_empty() {
            None
        } else {
            // Append-only files cannot be cut.
            self.check_replaceable(&target)?;
            Some(self.torn(&target, &tail)?)
        };
        if found.is_some() {
            let end = length + rows.len() as u64;
            if length.div_ceil(DISK_BLOCK) < end.div_ceil(DISK_BLOCK) {
                self.disk
                    .reserve(&target, length, rows.len() as u64)
                    .map_err(Failure::at("reserve space in", &target))?;
            }
        }
        let mut opened = OpenJournal::at(&target);
        if found.is_some() {
            let checked = self.appendable(&target)?;
            if self.plan.journals.len() < self.open_journals {
                opened = checked;
            }
        }
        self.plan.journals.push(opened);
        let rows = self.plan.pass.store(rows);
        let path = StoredPath::new(self.scope_dir, &target);
        self.plan.pass.journals.push(JournalEntry {
            path,
            length,
            rows,
            torn,
        });
        Ok(())
    }

    /// What follows the last newline of a journal.
    fn unterminated_tail(&self, path: &Path, length: u64) -> Result<Vec<u8>, Failure> {
        let mut size = 1;
        loop {
            let from = length.saturating_sub(size);
            let end = self.disk.read_range(path, from, length - from);
            let end = end.map_err(Failure::at("read", path))?;
            match memchr::memrchr(b'\n', &end) {
                Some(at) => return Ok(end[at + 1..].to_vec()),
                None if from == 0 => return Ok(end),
                None => size *= 64,
            }
        }
    }

    fn torn(&mut self, journal: &Path, tail: &[u8]) -> Result<TornEntry, CommitError> {
        let (target, found) = self.target(&torn_path(journal))?;
        if found.is_some() {
            self.appendable(&target)?;
        }
        let row = self.plan.pass.store(&[tail, b"\n"].concat());
        Ok(TornEntry {
            row,
            length: found.map_or(0, |found| found.identity.length),
        })
    }

    /// Opens a journal: afterwards it is certain that it can be appended to.
    fn appendable(&self, path: &Path) -> Result<OpenJournal, Failure> {
        self.disk
            .open_journal(path)
            .map_err(Failure::at("append to", path))
    }

    fn rename(&mut self, file_move: &FileMove) -> Result<(), CommitError> {
        let (from, found) = self.replaceable(&file_move.from)?;
        let (to, replaced) = self.replaceable(&file_move.to)?;
        let Some(found) = found else {
            return Err(CommitError::Changed {
                path: file_move.from.clone(),
            });
        };
        // Recovery knows the file by its inode, so that has to be durable.
        let folder = from.parent().unwrap_or(Path::new("/"));
        for path in [&from, folder] {
            self.disk
                .sync(path, SyncKind::Everything)
                .map_err(Failure::at("sync", path))?;
        }
        self.plan.pass.moves.push(MoveEntry {
            from: StoredPath::new(self.scope_dir, &from),
            to: StoredPath::new(self.scope_dir, &to),
            identity: found.identity,
            replaced: replaced.map(|replaced| replaced.identity),
        });
        Ok(())
    }

    fn removal(&mut self, path: &Path, expect: Expect) -> Result<(), CommitError> {
        let (target, found) = self.replaceable(path)?;
        let before = self.before(&target, found)?;
        if !holds(expect, before.as_ref()) {
            return Err(CommitError::Changed {
                path: path.to_owned(),
            });
        }
        if let Some(before) = before {
            let path = StoredPath::new(self.scope_dir, &target);
            self.plan.pass.removals.push(RemovalEntry {
                path,
                before: before.digest,
            });
            self.plan.removals.push(Planned {
                target,
                temporary: PathBuf::new(),
                before: Some(before),
            });
        }
        Ok(())
    }

    /// Last, so that a refused commit has not written anything.
    fn temporaries(&mut self, temporaries: &mut Temporaries<'_>) -> Result<(), Failure> {
        for (entry, planned) in self
            .plan
            .pass
            .documents
            .iter()
            .zip(&mut self.plan.documents)
        {
            let bytes = self.plan.pass.bytes(entry.content);
            planned.temporary = temporaries.create(&planned.target, bytes, entry.mode)?;
        }
        Ok(())
    }

    /// [`Self::target`] of something that is replaced or goes away.
    fn replaceable(&mut self, path: &Path) -> Result<(PathBuf, Option<FileInfo>), CommitError> {
        let (target, found) = self.target(path)?;
        if found.is_some() {
            self.check_replaceable(&target)?;
        }
        Ok((target, found))
    }

    fn check_replaceable(&self, path: &Path) -> Result<(), Failure> {
        self.disk
            .check_replaceable(path)
            .map_err(Failure::at("replace", path))
    }

    /// Resolves a path that the commit names, once, and looks at it. Its
    /// folder exists afterwards and can be written to.
    fn target(&mut self, path: &Path) -> Result<(PathBuf, Option<FileInfo>), CommitError> {
        let look = |path: &Path| self.disk.info(path).map_err(Failure::at("look at", path));
        let mut target = std::path::absolute(path).map_err(Failure::at("find", path))?;
        let mut found = look(&target)?;
        if found.is_some_and(|found| found.kind == FileKind::Other) {
            target = self
                .disk
                .resolve(path)
                .map_err(Failure::at("follow", path))?;
            found = look(&target)?;
        }
        if found.is_some_and(|found| found.kind != FileKind::Regular) {
            return Err(CommitError::NotAFile {
                path: path.to_owned(),
            });
        }
        if !self.used.insert(target.clone()) {
            return Err(CommitError::Conflict {
                path: path.to_owned(),
            });
        }
        let folder = target.parent().unwrap_or(Path::new("/"));
        if !self.folders.contains(folder) {
            make_folders(self.disk, folder)?;
            self.disk
                .check_writable(folder)
                .map_err(Failure::at("write to", folder))?;
            self.folders.insert(folder.to_owned());
        }
        Ok((target, found))
    }

    fn before(&self, target: &Path, found: Option<FileInfo>) -> Result<Option<Before>, Failure> {
        let Some(found) = found else {
            return Ok(None);
        };
        let bytes = self
            .disk
            .read_range(target, 0, found.identity.length)
            .map_err(Failure::at("read", target))?;
        Ok(Some(Before {
            digest: digest(&bytes),
            identity: Some(found.identity),
        }))
    }
}
