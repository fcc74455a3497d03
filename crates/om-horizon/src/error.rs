//! Why the bridge or a decision came to nothing.

use std::io;
use std::path::PathBuf;

use om_model::json::{ParseError, WrongType};
use om_store::{CommitError, LockError, ReadError};

use crate::envelope::LineFault;

/// What is wrong with a document that exists.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not one JSON document.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A member cannot be used.
    #[error(transparent)]
    WrongType(#[from] WrongType),
}

/// Why the bridge, or a decision about its queue, came to nothing. Nothing
/// was queued or executed, but for [`CommitError::ApplyIncomplete`].
#[derive(Debug, thiserror::Error)]
pub enum HorizonError {
    /// The queue cannot be used; nothing was taken.
    #[error("invalid bridge queue JSON: {}: {cause}", path.display())]
    Queue {
        /// The queue.
        path: PathBuf,
        /// What is wrong.
        cause: DocumentError,
    },
    /// The state cannot be used; nothing was taken.
    #[error("invalid bridge state JSON: {}: {cause}", path.display())]
    State {
        /// The state.
        path: PathBuf,
        /// What is wrong.
        cause: DocumentError,
    },
    /// A line of an outbox file is JSON, but can be no envelope. Its file was
    /// set aside, the others are where they were.
    #[error(
        "{}:{line}: {fault}; nothing was queued, the file is now {}, the next run decides about it",
        path.display(), claim.display()
    )]
    Line {
        /// The outbox file.
        path: PathBuf,
        /// Where it is now.
        claim: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong.
        fault: LineFault,
    },
    /// A folder cannot be made.
    #[error("cannot create {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The outbox or the claims cannot be looked through.
    #[error("cannot look through {}: {source}", path.display())]
    Scan {
        /// A file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No entry of the queue is meant.
    #[error("no entry {wanted:?} in the queue {}; `ops-manager horizon queue --all` lists them", path.display())]
    NoEntry {
        /// What was asked for.
        wanted: String,
        /// The queue.
        path: PathBuf,
    },
    /// Several entries of the queue could be meant.
    #[error("{wanted:?} is not one entry but {}; name one of them: {}", keys.len(), keys.join(", "))]
    SeveralEntries {
        /// What was asked for.
        wanted: String,
        /// Those that it could be.
        keys: Vec<String>,
    },
    /// The entry has been decided about.
    #[error("entry {key:?} is {status}; only entries that wait for a person are decided about")]
    NotPending {
        /// Which entry.
        key: String,
        /// Its status.
        status: String,
    },
    /// The entry was executed, and not well.
    #[error(
        "entry {key:?} was executed already and is {status}; look at the loop, then add --again to execute it once more"
    )]
    NeedsAgain {
        /// Which entry.
        key: String,
        /// Its status.
        status: String,
    },
    /// The entry is being executed.
    #[error("entry {key:?} is being executed by process {pid} on {host}")]
    Busy {
        /// Which entry.
        key: String,
        /// The process.
        pid: u32,
        /// Its machine.
        host: String,
    },
    /// Control ended, and the queue could not be told.
    #[error(
        "entry {key:?} was executed and is {status}, but that could not be recorded: {cause}; it stays ambiguous until the next decision looks into the loop's intents"
    )]
    Unrecorded {
        /// Which entry.
        key: String,
        /// What it should be.
        status: &'static str,
        /// What went wrong.
        cause: Box<HorizonError>,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another run takes too long.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}
