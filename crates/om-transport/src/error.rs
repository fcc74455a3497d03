//! Why an observation failed, in the contract's words (chapter 01 §4.2, §5.2;
//! chapter 02 §2.4 step 2, §2.8).

use std::io;
use std::path::PathBuf;

use om_model::identity::EnvelopeError;
use om_model::state::FailureCode;

use crate::cursor::CursorError;
use crate::event::LineError;
use crate::service_client::ServiceError;
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
    /// The sprite service gave no usable answer.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The service's snapshot is not a JSON object (decision D25); carries
    /// what it is.
    #[error("service /ops/snapshot response shape invalid: {0}")]
    SnapshotShape(String),
    /// The service's answer is not a list of events and a cursor.
    #[error("service /ops/events response shape invalid")]
    EventsShape,
    /// The service's cursor has no usable line numbers.
    #[error("service cursor values are invalid")]
    CursorValues,
    /// One of the service's events is no event envelope of this loop; carries
    /// the member and what stands there.
    #[error("event envelope is invalid or loop id mismatch: {0}")]
    Envelope(EnvelopeError),
}

/// Which of the two questions was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObserveStage {
    /// [`Observe::snapshot`](crate::Observe::snapshot).
    Snapshot,
    /// [`Observe::events`](crate::Observe::events).
    Events,
}

impl ObserveError {
    /// The code under which a pass records the failure of `stage` (chapter 02
    /// §2.8).
    pub fn failure_code(&self, stage: ObserveStage) -> FailureCode {
        match self {
            Self::Service(_) => FailureCode::ServiceRequestFailed,
            Self::SnapshotShape(_) | Self::EventsShape | Self::CursorValues => {
                FailureCode::ServiceResponseInvalid
            }
            Self::Envelope(_) => FailureCode::ProjectionFailed,
            Self::RootMissing { .. }
            | Self::ArtifactMissing { .. }
            | Self::Unreadable { .. }
            | Self::Snapshot(_)
            | Self::Cursor(_)
            | Self::CursorAhead { .. }
            | Self::LogReplaced
            | Self::Line { .. }
            | Self::Output(_) => match stage {
                ObserveStage::Snapshot => FailureCode::SnapshotUnavailable,
                ObserveStage::Events => FailureCode::EventsUnavailable,
            },
        }
    }

    /// The failure as the stage's own command would have printed it: what a
    /// pass records as `failureMessage`.
    pub fn failure_message(&self) -> String {
        match self {
            Self::Service(error) => error.printed(),
            Self::SnapshotShape(_) | Self::EventsShape | Self::CursorValues => self.to_string(),
            _ => format!("error: {self}"),
        }
    }
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
