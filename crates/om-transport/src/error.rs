//! Why an observation failed, in the contract's words (chapter 01 §4.2, §5.2).

use std::io;
use std::path::PathBuf;

use crate::cursor::CursorError;
use crate::event::LineError;
use crate::snapshot::SnapshotError;

/// Why a loop could not be observed. Nothing partial is ever returned with it.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The loop has no runtime directory.
    #[error("required artifact root missing: {}", path.display())]
    RootMissing {
        /// `<repo>/.superloop/loops/<loop>`.
        path: PathBuf,
    },
    /// The event log is not a regular file.
    #[error("required artifact missing: {}", path.display())]
    ArtifactMissing {
        /// The event log.
        path: PathBuf,
    },
    /// A file is there but cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// The artifacts were read, but do not make a snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The cursor is not usable.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The cursor stands behind the end of the log.
    #[error(
        "cursor offset ({offset}) exceeds available events ({available}); \
         reset cursor or use --from-start"
    )]
    CursorAhead {
        /// Lines that the cursor says were consumed.
        offset: u64,
        /// Complete lines in the log.
        available: u64,
    },
    /// The log is not the one that the cursor was made from (decision D25).
    #[error("event log was replaced; reset cursor or use --from-start")]
    LogReplaced,
    /// A line of the log is not an event.
    #[error("{}", error.at(*line, path))]
    Line {
        /// The event log.
        path: PathBuf,
        /// Line number, counted from 1.
        line: u64,
        /// What is wrong with it.
        error: LineError,
    },
    /// The receiver of polled events failed; the cursor must stay.
    #[error("cannot write events: {0}")]
    Output(#[source] io::Error),
}

/// Why a poll for events failed, and how far it had come.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct EventsError {
    /// What went wrong.
    #[source]
    pub error: ObserveError,
    /// Good events before the failure; the cursor is not moved past them.
    pub events_ingested: u64,
}

impl From<ObserveError> for EventsError {
    fn from(error: ObserveError) -> Self {
        Self {
            error,
            events_ingested: 0,
        }
    }
}
