//! Why an intent has no outcome to show.

use std::path::PathBuf;

use om_model::control::IntentRow;
use om_store::{CommitError, LockError, ReadError};

use crate::pending::PendingError;

/// Why a control run ended without a row to show.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The list of pending intents cannot be used; nothing was executed.
    #[error("invalid control pending JSON: {}: {cause}; nothing was executed, repair the file or move it away", path.display())]
    PendingInvalid {
        /// `control-pending.json`
        path: PathBuf,
        /// What is wrong with it.
        cause: PendingError,
    },
    /// A file of the loop cannot be read; nothing was executed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another process keeps the record busy; nothing was executed.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The intent could not be recorded; nothing was executed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Whoever records more with the intent withheld it; nothing was executed
    /// ([`Record::begun`](crate::Record::begun)).
    #[error("the intent was withheld; nothing was executed")]
    Withheld,
    /// The intent was executed, but its outcome could not be recorded.
    #[error(
        "the intent was executed and ended {} (exit code {}, trace {}), but its rows could not be \
         written: {cause}; the next control or reconcile records it as ambiguous",
        row.status.as_str(), row.exit_code, row.trace_id
    )]
    Unrecorded {
        /// The row that is missing.
        row: Box<IntentRow>,
        /// What went wrong.
        cause: Box<ControlError>,
    },
}
