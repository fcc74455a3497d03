//! What can go wrong on disk, told to an operator.

use std::io;
use std::path::{Path, PathBuf};

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

impl ReadError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// A single file could not be replaced.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A directory stands where the document belongs.
    #[error("{} is a directory, a document belongs there; move it away", .0.display())]
    Directory(PathBuf),
    /// A device, FIFO or socket stands where the document belongs.
    #[error("{} is not a regular file; nothing was written, move it away", .0.display())]
    NotAFile(PathBuf),
    /// A file operation failed; the document is as it was.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The document.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock and kept it for the whole waiting time.
    #[error("{what} is busy (pid {})", pid.map_or_else(|| "unknown".to_owned(), |p| p.to_string()))]
    Busy {
        /// What is locked: `<command> for <scope name>`, or a path.
        what: String,
        /// The process holding it, as it recorded itself.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A commit did not happen, or not completely.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A document is not what the evaluation read; nothing was written.
    #[error("{} was changed by someone else meanwhile; nothing was written, run the command again", path.display())]
    Changed {
        /// The document.
        path: PathBuf,
    },
    /// Something that is not a regular file stands where one belongs.
    #[error("{} is not a regular file; nothing was written, move it away", path.display())]
    NotAFile {
        /// What was found.
        path: PathBuf,
    },
    /// One commit names a path in two incompatible ways.
    #[error("{} is named twice in one commit; nothing was written", path.display())]
    Conflict {
        /// The path.
        path: PathBuf,
    },
    /// A row contains a newline, so it would be several.
    #[error("a row for {} contains a newline; nothing was written", path.display())]
    RowWithNewline {
        /// The journal.
        path: PathBuf,
    },
    /// More members than one group may have.
    #[error(
        "a group of {found} commits is too large, at most {} are allowed",
        crate::MAX_GROUP
    )]
    GroupTooLarge {
        /// Members given.
        found: usize,
    },
    /// What kept the whole group from being recorded; carries that error.
    #[error("{0}")]
    Group(String),
    /// The store lock was not to be had; nothing was written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file operation failed before the commit was recorded: nothing changed.
    #[error("cannot {action} {}: {source}; nothing was written", path.display())]
    Io {
        /// What was tried, e.g. `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An earlier commit is recorded and can still not be completed; nothing
    /// of this one was written.
    #[error("an earlier commit is recorded but cannot be completed: {}: {source}; nothing of this one was written; fix the file and run the command again", path.display())]
    RecoveryBlocked {
        /// The file that is in the way.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The commit is recorded but not wholly applied; the next command that
    /// writes here completes it.
    #[error("cannot {action} {}: {source}; the pass is recorded, the next command completes it", path.display())]
    ApplyIncomplete {
        /// What was tried, e.g. `append to`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// One file operation that failed; becomes [`CommitError::Io`],
/// [`CommitError::RecoveryBlocked`] or [`CommitError::ApplyIncomplete`]
/// depending on when it happened.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl Failure {
    /// Adapter for `map_err`: what was tried on which path.
    pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The failure while an earlier commit was being completed.
    pub(crate) fn in_recovery(self) -> CommitError {
        CommitError::RecoveryBlocked {
            path: self.path,
            source: self.source,
        }
    }

    /// The failure after the commit was recorded.
    pub(crate) fn after_record(self) -> CommitError {
        let Self {
            action,
            path,
            source,
        } = self;
        CommitError::ApplyIncomplete {
            action,
            path,
            source,
        }
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        let Failure {
            action,
            path,
            source,
        } = failure;
        Self::Io {
            action,
            path,
            source,
        }
    }
}

impl From<Failure> for LockError {
    fn from(failure: Failure) -> Self {
        Self::Io {
            path: failure.path,
            source: failure.source,
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self {
            path: failure.path,
            source: failure.source,
        }
    }
}
