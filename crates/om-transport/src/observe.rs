//! The interface between a pass and the ways of reaching a loop.

use std::future::Future;
use std::path::PathBuf;

use om_model::envelope::{CursorDocument, LogPosition};
use om_model::observation::EventBatch;
use om_model::{Artifact, Timestamp, TraceId};
use serde_json::Value;

use crate::cursor::{self, CursorError, StartPoint};
use crate::error::{EventsError, ObserveError};
use crate::snapshot::SnapshotContext;

/// One way of observing a loop.
///
/// Asynchronous because a transport over the network is; the local one never
/// awaits.
pub trait Observe {
    /// The loop at this moment, as a `loop_run_snapshot` envelope.
    fn snapshot(
        &mut self,
        request: &SnapshotRequest,
    ) -> impl Future<Output = Result<Value, ObserveError>> + Send;

    /// The events after the cursor, reduced to what a pass needs.
    fn events(
        &mut self,
        request: &EventsRequest,
    ) -> impl Future<Output = Result<ObservedEvents, EventsError>> + Send;
}

/// What a snapshot needs from its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Clock, trace and run id.
    pub context: SnapshotContext,
    /// Where an earlier observation left the log
    /// ([`cursor::known_position`]): saves hashing the old part. Never
    /// changes the result; `None` is always right.
    pub known: Option<LogPosition>,
}

/// What a poll needs from its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsRequest {
    /// When the poll is made.
    pub now: Timestamp,
    /// The trace that asked for it.
    pub trace_id: Option<TraceId>,
    /// Where to start.
    pub start: PollStart,
    /// Most envelopes to emit; 0 is unlimited.
    pub max_events: u64,
}

/// Where a poll starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollStart {
    /// At the first line. The old cursor is not looked at, and neither is the
    /// identity of the log (decisions D24, D25).
    Beginning,
    /// After the lines that the stored cursor has consumed.
    Cursor {
        /// What stands in the cursor file.
        artifact: Artifact,
        /// The cursor file, for messages.
        path: PathBuf,
    },
}

impl PollStart {
    /// The start point, or why the cursor is unusable.
    pub fn point(&self) -> Result<StartPoint, CursorError> {
        match self {
            Self::Beginning => Ok(StartPoint::default()),
            Self::Cursor { artifact, path } => cursor::evaluate(artifact, path),
        }
    }
}

/// Events as a pass sees them, and the cursor behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedEvents {
    /// Count, order, and the last envelope.
    pub batch: EventBatch,
    /// For the caller to store, together with what it made of the events.
    pub cursor: CursorDocument,
}
