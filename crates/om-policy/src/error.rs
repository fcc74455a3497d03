//! Why a fleet was not judged.

use om_registry::StageFailure;
use om_store::{CommitError, LockError, ReadError};

use crate::audit::PreviousError;
use crate::fleet::FleetStateError;

/// Why an evaluation ended without a result; nothing was written. Texts are
/// those of chapter 06 §1.2, with more detail behind them.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// There is nothing to judge.
    #[error("fleet state file not found: {0}")]
    FleetStateMissing(String),
    /// The registry stage failed: its text is that of its command.
    #[error(transparent)]
    Registry(#[from] StageFailure),
    /// The fleet state is not one, or a result that yields a candidate has no
    /// loop.
    #[error("invalid fleet state JSON: {path}: {cause}")]
    FleetStateInvalid {
        /// As it was named.
        path: String,
        /// What is wrong with it, and where.
        cause: FleetStateError,
    },
    /// The registry hook has a mode of its own.
    #[error("unsupported policy mode: {0}")]
    UnsupportedMode(String),
    /// The window is not a number.
    #[error("--dedupe-window-seconds must be a non-negative integer")]
    DedupeWindow,
    /// The state that is to be replaced cannot be compared with.
    #[error("invalid existing policy state JSON: {path}: {cause}; repair the file or move it away")]
    PreviousInvalid {
        /// As it was named.
        path: String,
        /// What is wrong with it.
        cause: PreviousError,
    },
    /// A row of a journal cannot be used.
    #[error("invalid {journal} JSONL: {path}: line {line}: {what}")]
    BadRow {
        /// `policy history` or `handoff telemetry`.
        journal: &'static str,
        /// As it was named.
        path: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another evaluation runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The result could not be recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}
