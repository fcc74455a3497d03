//! Reading a scope while others commit: no locks, no recovery, no new files.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use om_model::Artifact;

use crate::chain::{REDO, chain};
use crate::disk::{Disk, RealDisk};
use crate::documents::{read_bytes, resolve};
use crate::error::{Failure, ReadError};
use crate::fold::{Fold, fold_over};
use crate::journal::{self, Row, Tail, open_regular, split_rows, tail_lines};
use crate::log::{Found, Log};
use crate::replay::{Content, Replay};
use crate::rows::Region;
use crate::scope::STORE_DIR;

/// Reads of a set of files that no commit may come between.
const ATTEMPTS: usize = 3;

/// A scope as it is, or as its next recovery will leave it: reads see through
/// a commit that is recorded but not applied.
#[derive(Debug)]
pub struct View {
    scope_dir: PathBuf,
    position: Position,
    /// Files that are not yet what they should be.
    overlay: BTreeMap<PathBuf, Seen>,
}

/// What a reader sees in the place of a file.
#[derive(Debug)]
enum Seen {
    Nothing,
    /// Another file, whose rename is not done.
    File(PathBuf),
    /// The file up to `keep`, then these bytes.
    Bytes(Region),
}

/// Where a scope's history stood when a view was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// No history that can be read.
    None,
    /// After this commit of this log.
    At { log_id: u128, sequence: u64 },
    /// Not recovered since the last reboot.
    Unrecovered { log_id: u128 },
}

impl View {
    /// A view of `scope_dir`, which need not exist.
    pub fn open(scope_dir: impl Into<PathBuf>) -> Result<Self, ReadError> {
        let scope_dir = scope_dir.into();
        let scope_dir =
            std::path::absolute(&scope_dir).map_err(|source| ReadError::new(&scope_dir, source))?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let Some((log, found)) = open_log(&disk, &scope_dir)? else {
            return Ok(Self {
                scope_dir,
                position: Position::None,
                overlay: BTreeMap::new(),
            });
        };
        let position = position(&log, &found);
        let chain = chain(&disk, &scope_dir, &log, found)?;
        let replay = Replay::run(&*disk, &scope_dir, &chain)?;
        Ok(Self {
            scope_dir,
            position,
            overlay: overlay(replay),
        })
    }

    /// The folder.
    pub fn scope_dir(&self) -> &Path {
        &self.scope_dir
    }

    /// The bytes of a document; `None` if there is no regular file.
    pub fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(seen) = self.seen(path)? else {
            return read_bytes(path);
        };
        match seen {
            Seen::Nothing => Ok(None),
            Seen::File(other) => read_bytes(other),
            Seen::Bytes(region) => {
                let mut bytes = Vec::new();
                let read = spliced(path, 0, region.keep, &region.bytes)
                    .and_then(|mut source| source.read_to_end(&mut bytes));
                read.map_err(|source| ReadError::new(path, source))?;
                Ok(Some(bytes))
            }
        }
    }

    /// A document, parsed.
    pub fn artifact(&self, path: &Path) -> Result<Artifact, ReadError> {
        Ok(self
            .bytes(path)?
            .map_or(Artifact::Absent, |bytes| Artifact::parse(&bytes)))
    }

    /// The last complete line of a journal.
    pub fn last_row(&self, path: &Path) -> Result<Option<Row>, ReadError> {
        Ok(self.last_rows(path, 1)?.pop())
    }

    /// The last `n` complete lines of a journal, see [`crate::last_rows`].
    pub fn last_rows(&self, path: &Path, n: usize) -> Result<Vec<Row>, ReadError> {
        match self.seen(path)? {
            None => journal::last_rows(path, n),
            Some(Seen::Nothing) => Ok(Vec::new()),
            Some(Seen::File(other)) => journal::last_rows(other, n),
            Some(Seen::Bytes(region)) => {
                let failed = |source| ReadError::new(path, source);
                let complete = memchr::memrchr(b'\n', &region.bytes).map_or(0, |at| at + 1);
                let new = Tail {
                    bytes: region.bytes[..complete].to_vec(),
                    start: region.keep,
                };
                let new = split_rows(&new, n);
                let mut rows = Vec::new();
                let old = if region.keep == 0 {
                    None
                } else {
                    open_regular(path).map_err(failed)?
                };
                if let Some(mut file) = old {
                    let left = n - new.len();
                    rows = split_rows(
                        &tail_lines(&mut file, region.keep, left).map_err(failed)?,
                        left,
                    );
                }
                rows.extend(new);
                Ok(rows)
            }
        }
    }

    /// The fold `F` over a journal, see [`crate::read_fold`]; nothing is
    /// saved.
    pub fn fold<F: Fold>(&self, path: &Path) -> Result<F, ReadError> {
        match self.seen(path)? {
            None => fold_over(path, &self.scope_dir, u64::MAX, &[]),
            Some(Seen::Nothing) => Ok(F::default()),
            Some(Seen::File(other)) => fold_over(other, &self.scope_dir, u64::MAX, &[]),
            Some(Seen::Bytes(region)) => {
                fold_over(path, &self.scope_dir, region.keep, &region.bytes)
            }
        }
    }

    /// Runs `read`, again if a commit happened meanwhile (at most 3 times in
    /// all), so that the files it reads belong together.
    pub fn consistent<T, E: From<ReadError>>(
        mut self,
        mut read: impl FnMut(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        for _ in 1..ATTEMPTS {
            let result = read(&self);
            if self.is_current()? {
                return result;
            }
            self = Self::open(self.scope_dir)?;
        }
        read(&self)
    }

    /// Whether no commit happened since the view was opened.
    pub fn is_current(&self) -> Result<bool, ReadError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let opened = open_log(&disk, &self.scope_dir)?;
        let now = opened.map_or(Position::None, |(log, found)| position(&log, &found));
        Ok(now == self.position)
    }

    fn seen(&self, path: &Path) -> Result<Option<&Seen>, ReadError> {
        if self.overlay.is_empty() {
            return Ok(None);
        }
        let target = resolve(path).map_err(|source| ReadError::new(path, source))?;
        Ok(self.overlay.get(&target))
    }
}

/// A scope's log; `None` if there is none, or none that we may read.
fn open_log(disk: &Arc<dyn Disk>, scope_dir: &Path) -> Result<Option<(Log, Found)>, ReadError> {
    match Log::open(disk, &scope_dir.join(STORE_DIR), REDO) {
        // Another user's: their documents and rows are still whole.
        Err(Failure { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        result => Ok(result?),
    }
}

fn position(log: &Log, found: &Found) -> Position {
    let head = log.head();
    match found {
        Found::Clean | Found::Damaged => Position::At {
            log_id: head.log_id,
            sequence: head.sequence,
        },
        Found::Unapplied(_) => Position::At {
            log_id: head.log_id,
            sequence: head.sequence + 1,
        },
        Found::Unknown => Position::Unrecovered {
            log_id: head.log_id,
        },
    }
}

fn overlay(replay: Replay) -> BTreeMap<PathBuf, Seen> {
    let mut overlay = BTreeMap::new();
    for (from, to) in replay.moves {
        // Of several renames in a row only the first name exists yet.
        let source = match overlay.remove(&from) {
            Some(Seen::File(earlier)) => earlier,
            _ => from.clone(),
        };
        overlay.insert(from, Seen::Nothing);
        overlay.insert(to, Seen::File(source));
    }
    for (path, file) in replay.files {
        if file.now == file.on_disk {
            continue;
        }
        match file.now {
            Content::Absent => overlay.insert(path, Seen::Nothing),
            Content::Bytes(region) => overlay.insert(path, Seen::Bytes(region)),
            Content::Opaque => None,
        };
    }
    overlay
}

/// The file from `from` up to `keep`, which is not less, and the new bytes
/// behind it.
pub(crate) fn spliced<'a>(
    path: &Path,
    from: u64,
    keep: u64,
    new: &'a [u8],
) -> io::Result<impl Read + use<'a>> {
    let old = if keep == from {
        None
    } else {
        open_regular(path)?
    };
    let old: Box<dyn Read> = match old {
        Some(mut file) => {
            file.seek(SeekFrom::Start(from))?;
            Box::new(file.take(keep - from))
        }
        None => Box::new(io::empty()),
    };
    Ok(old.chain(Cursor::new(new)))
}
