//! Why a handoff ends without a state to show.

use std::path::PathBuf;

use om_registry::StageFailure;
use om_store::{CommitError, LockError, ReadError};

use crate::plan::MissingLoopId;
use crate::policy_view::PolicyViewError;
use crate::previous::PreviousError;
use crate::targets::TargetError;

/// Why a handoff ends without a state to show. The texts are those of chapter
/// 06 §2.2, without the `error: ` before them.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    /// There is no policy state.
    #[error("policy state file not found: {0}")]
    PolicyStateNotFound(String),
    /// The registry cannot be used; its stage has said why.
    #[error(transparent)]
    Registry(StageFailure),
    /// The policy state cannot be used.
    #[error("invalid policy state JSON: {file}: {cause}")]
    PolicyState {
        /// As given.
        file: String,
        /// What is wrong with it.
        cause: DocumentError,
    },
    /// The previous handoff state cannot be used.
    #[error("invalid existing handoff state JSON: {file}: {cause}")]
    HandoffState {
        /// As given.
        file: String,
        /// What is wrong with it.
        cause: DocumentError,
    },
    /// The policy state has a mode that is none.
    #[error("unsupported policy mode: {0}")]
    UnsupportedMode(String),
    /// Autonomy is off.
    #[error("--autonomous-execute requires policy mode guarded_auto")]
    NotGuardedAuto,
    /// The review of autonomy is past its deadline (decision D14).
    #[error("--autonomous-execute refused: governance review expired ({0})")]
    ReviewExpired(String),
    /// It is not the evaluation that somebody looked at.
    #[error("policy was evaluated again meanwhile; nothing was done, look again")]
    EvaluationChanged,
    /// The filters name something that is not there.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// The dispatch journal has a row that is none. Nothing is executed: it
    /// may be one that must not be repeated.
    #[error("invalid handoff dispatch JSONL: {}: line {line}: {cause}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// Telemetry has a row that cannot be used: whether autonomy is paused
    /// cannot be judged.
    #[error("invalid handoff telemetry JSONL: {file}: line {line}: {cause}")]
    Telemetry {
        /// As given.
        file: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// What a handoff that died left behind cannot be read. Nothing is
    /// executed: it may have to be recorded first.
    #[error("invalid handoff pending JSON: {}: {cause}; repair the file or move it away", path.display())]
    Pending {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// What a handoff that died did cannot be recorded where it wanted it.
    /// Nothing is executed, and its outcomes stay in the dispatch journal.
    #[error(
        "the handoff that {pending} tells of ended before it was recorded, and cannot be recorded \
         in {state} and {telemetry}: {cause}; make these files writable, or correct \
         handoffStateFile and handoffTelemetryFile in {pending}, and run this again; nothing was \
         dispatched now",
        pending = path.display()
    )]
    Unrecovered {
        /// Which tells of it.
        path: PathBuf,
        /// Its `handoffStateFile`.
        state: String,
        /// Its `handoffTelemetryFile`.
        telemetry: String,
        /// What went wrong.
        cause: Box<CommitError>,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another handoff runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A commit did not happen; what was dispatched so far is recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Something was dispatched and its outcome could not be recorded.
    #[error(
        "{dispatched} of {targets} targets were dispatched, but the outcome could not be recorded: \
         {cause}; the next handoff records it, nothing is repeated"
    )]
    Unrecorded {
        /// Targets that control was called for.
        dispatched: usize,
        /// Targets in all.
        targets: usize,
        /// What went wrong.
        cause: CommitError,
    },
}

impl HandoffError {
    /// The exit code of the command, 1 to 255.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Registry(failure) => failure.exit_code,
            _ => 1,
        }
    }
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The policy state cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyViewError),
    /// A candidate has no loop.
    #[error(transparent)]
    MissingLoopId(#[from] MissingLoopId),
    /// The previous state cannot be used.
    #[error(transparent)]
    Previous(#[from] PreviousError),
}
