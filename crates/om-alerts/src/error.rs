//! Why a run of the dispatcher did not end.

use std::io;
use std::path::{Path, PathBuf};

use om_store::{CommitError, LockError, ReadError};

/// Why a run did not end. Failed deliveries are no reason.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The state cannot be used; it is left as it is.
    #[error("invalid dispatch state JSON: {}: {cause}", path.display())]
    State {
        /// The state document.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The log has fewer lines than were consumed.
    #[error("dispatch state offset is ahead of escalation file: {offset} > {line_count}")]
    Ahead {
        /// Lines consumed.
        offset: u64,
        /// Lines present.
        line_count: u64,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody edited the state during the run. What was sent is recorded in
    /// the telemetry; the state is as they left it.
    #[error(
        "{} was changed by someone else while alerts were sent; what was sent is recorded, \
         the cursor is as they left it, run the command again",
        .0.display()
    )]
    StateChanged(PathBuf),
    /// An alert went out, but nothing says so.
    #[error(
        "an alert was sent, but that could not be recorded: {0}; the next run sends it once more"
    )]
    Unrecorded(CommitError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another run is under way.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Nothing can be recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl DispatchError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
