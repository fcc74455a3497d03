//! Reading everything that a pass decides from, once.

use std::path::Path;

use om_model::{Artifact, Timestamp};
use om_store::last_row;
use om_transport::cursor;
use om_transport::{
    EventsRequest, Observe, ObserveError, ObserveStage, ObservedEvents, PollStart, SnapshotContext,
    SnapshotRequest,
};

use super::{Ledger, PassError, PassPlan};
use crate::pass::{IngestFailure, Observation, PassInputs, Prior};

/// Reads the manager's artifacts, then observes the loop.
pub(super) async fn gather<T: Observe>(
    plan: &PassPlan,
    transport: &mut T,
    now: Timestamp,
    ledger: &mut Ledger<'_>,
) -> Result<PassInputs, PassError> {
    let paths = &plan.paths;
    let health = ledger.read(&paths.health)?;
    let cursor = ledger.read(&paths.cursor)?;
    let prior = Prior {
        health,
        state: ledger.read(&paths.state)?,
        transport_health: ledger.read(&paths.transport_health)?,
        sequence: ledger.read(&paths.sequence_state)?,
        heartbeat: ledger.read(&paths.heartbeat_state)?,
        last_intent: last_row(&paths.intents)?.map(|row| row.bytes),
        cursor_offset: offset(&cursor, &paths.cursor),
    };
    let ingest = observe(plan, transport, cursor, now).await;
    Ok(PassInputs {
        source: plan.source.clone(),
        paths: paths.clone(),
        evidence_dir: plan.evidence_dir.clone(),
        settings: plan.settings.clone(),
        prior,
        ingest,
    })
}

/// The offset for the record; an unusable cursor counts as 0 here.
fn offset(cursor: &Artifact, path: &Path) -> u64 {
    cursor::evaluate(cursor, path).map_or(0, |start| start.offset)
}

/// Step 2: snapshot, then events.
async fn observe<T: Observe>(
    plan: &PassPlan,
    transport: &mut T,
    cursor: Artifact,
    now: Timestamp,
) -> Result<Observation, IngestFailure> {
    let trace_id = Some(plan.trace_id.clone());
    let from_start = plan.settings.from_start;
    let request = SnapshotRequest {
        context: SnapshotContext {
            now,
            trace_id: trace_id.clone(),
            run_id: None,
        },
        known: cursor::known_position(&cursor),
    };
    let snapshot = transport.snapshot(&request).await;
    let snapshot = snapshot.map_err(|error| failure(ObserveStage::Snapshot, &error, 0))?;
    let start = if from_start {
        PollStart::Beginning
    } else {
        PollStart::Cursor {
            artifact: cursor,
            path: plan.paths.cursor.clone(),
        }
    };
    let request = EventsRequest {
        now,
        trace_id,
        start,
        max_events: plan.settings.max_events,
    };
    let events = transport.events(&request).await;
    let ObservedEvents { batch, cursor } = events
        .map_err(|failed| failure(ObserveStage::Events, &failed.error, failed.events_ingested))?;
    Ok(Observation {
        snapshot,
        batch,
        cursor,
    })
}

/// The message as a stage of its own would have printed it.
fn failure(stage: ObserveStage, error: &ObserveError, events_ingested: u64) -> IngestFailure {
    IngestFailure {
        code: error.failure_code(stage),
        message: error.failure_message(),
        events_ingested,
    }
}
