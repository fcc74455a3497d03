//! Whether envelopes arrive in order (chapter 02 §2.4.2, §2.6.6; decision
//! D24).

use om_model::envelope::SchemaVersion;
use om_model::health::TransportMode;
use om_model::json::{self, Lookup, WrongType};
use om_model::observation::{
    EventOrder, SequenceDocument, SequenceFold, SequenceRow, SequenceStatus, SequenceTransition,
    SequenceViolation, SnapshotOrder, TelemetryCategory,
};
use om_model::{Artifact, LoopId, Timestamp, TraceId};
use serde_json::Value;

use crate::read::or_null;

/// What order is judged by.
#[derive(Clone, Debug)]
pub struct SequenceInputs<'a> {
    /// The loop.
    pub loop_id: &'a LoopId,
    /// The pass.
    pub trace_id: &'a TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// The snapshot envelope.
    pub snapshot: &'a Value,
    /// The batch of events.
    pub events: &'a SequenceFold,
    /// What the last evaluation left behind.
    pub previous: PreviousSequence,
    /// A [declared replay](is_declared_replay): a batch that starts before the
    /// end of the last one is no violation.
    pub replay: bool,
}

/// What the last evaluation left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreviousSequence {
    /// Sequence of the last snapshot.
    pub snapshot: Option<u64>,
    /// Last sequence of the last batch; an empty batch leaves none.
    pub events: Option<u64>,
    /// Whether order was broken.
    pub drift_active: bool,
}

/// The previous sequence state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid sequence state JSON: {file}: {cause}; repair it, or use --from-start")]
pub struct SequenceError {
    /// Path of the sequence state.
    pub file: String,
    /// The member and what stands there.
    #[source]
    pub cause: WrongType,
}

impl PreviousSequence {
    /// Reads the previous state; absent, blank and malformed files are none.
    ///
    /// A state of the wrong type is an error, unless the pass is a replay
    /// `from_start`, which never needs it (decision D24).
    pub fn read(artifact: &Artifact, file: &str, from_start: bool) -> Result<Self, SequenceError> {
        match Self::lookup(Lookup::new(or_null(artifact))) {
            Ok(previous) => Ok(previous),
            Err(_) if from_start => Ok(Self::default()),
            Err(cause) => Err(SequenceError {
                file: file.to_owned(),
                cause,
            }),
        }
    }

    fn lookup(document: Lookup<'_>) -> Result<Self, WrongType> {
        Ok(Self {
            snapshot: number(document, "snapshot.current")?,
            events: number(document, "events.last")?,
            drift_active: json::is_true(document.raw("driftActive")?),
        })
    }

    /// Whether the log is shorter than at the last snapshot.
    fn shrunk(&self, current: Option<u64>) -> bool {
        matches!((current, self.snapshot), (Some(current), Some(previous)) if current < previous)
    }
}

/// A previous value: `None` if it takes no part in comparisons.
fn number(document: Lookup<'_>, path: &str) -> Result<Option<u64>, WrongType> {
    let Some(value) = document.get(path)? else {
        return Ok(None);
    };
    let numeric = match value {
        Value::Number(_) => true,
        Value::String(text) => json::decimal(text).is_some(),
        _ => false,
    };
    if !numeric {
        return Err(WrongType {
            member: path.to_owned(),
            found: json::type_name(value),
            expected: "a number",
        });
    }
    Ok(json::digits(value))
}

/// The snapshot's sequence; `None` is *missing*.
pub fn snapshot_sequence(snapshot: &Value) -> Option<u64> {
    let sequence = snapshot.get("sequence")?;
    json::digits(sequence.get("value")?)
}

/// The sequence of one event envelope, for [`SequenceFold::push`].
pub fn event_sequence(event: &Value) -> Option<u64> {
    // Snapshots and events carry it at the same place.
    snapshot_sequence(event)
}

/// Whether going back to the start is declared and harmless: asked for, over
/// a log that has not shrunk (decision D24).
///
/// The last snapshot's sequence tells; where there is none, the position
/// that the previous state recorded.
pub fn is_declared_replay(
    from_start: bool,
    previous: &PreviousSequence,
    previous_state: &Artifact,
    snapshot: &Value,
) -> bool {
    let current = snapshot_sequence(snapshot);
    let known = previous.snapshot.or_else(|| {
        let offset = Lookup::new(or_null(previous_state)).get("cursor.eventLineOffset");
        offset.ok().flatten().and_then(json::digits)
    });
    let last = PreviousSequence {
        snapshot: known,
        ..*previous
    };
    from_start && !last.shrunk(current)
}

/// Judges the order of one snapshot and one batch.
pub fn evaluate(inputs: &SequenceInputs<'_>, now: Timestamp) -> SequenceDocument {
    let snapshot = snapshot_order(inputs);
    let events = event_order(inputs);
    let violations: Vec<SequenceViolation> = VIOLATIONS
        .into_iter()
        .filter(|(_, broken)| broken(&snapshot, &events))
        .map(|(violation, _)| violation)
        .collect();
    let drift_active = !violations.is_empty();
    let previously = inputs.previous.drift_active;
    SequenceDocument {
        schema_version: SchemaVersion::V1,
        updated_at: now,
        loop_id: inputs.loop_id.clone(),
        trace_id: inputs.trace_id.clone(),
        transport: inputs.transport,
        status: if drift_active {
            SequenceStatus::OrderingDriftDetected
        } else {
            SequenceStatus::Ok
        },
        reason_code: drift_active.then_some(SequenceStatus::OrderingDriftDetected),
        drift_active,
        violations,
        snapshot,
        events,
        transition: SequenceTransition {
            previous_drift_active: previously,
            transitioned_to_drift: drift_active && !previously,
            recovered_from_drift: previously && !drift_active,
        },
    }
}

type Condition = fn(&SnapshotOrder, &EventOrder) -> bool;

/// Every violation with its condition, in the order they are reported.
const VIOLATIONS: [(SequenceViolation, Condition); 5] = [
    (SequenceViolation::EventSequenceMissing, |_, events| {
        events.missing
    }),
    (SequenceViolation::EventSequenceNonMonotonic, |_, events| {
        !events.monotonic_within_batch
    }),
    (SequenceViolation::EventSequenceRegression, |_, events| {
        !events.monotonic_across_batches
    }),
    (SequenceViolation::SnapshotSequenceMissing, |snapshot, _| {
        snapshot.missing
    }),
    (
        SequenceViolation::SnapshotSequenceRegression,
        |snapshot, _| snapshot.regressed,
    ),
];

fn snapshot_order(inputs: &SequenceInputs<'_>) -> SnapshotOrder {
    let current = snapshot_sequence(inputs.snapshot);
    let regressed = inputs.previous.shrunk(current);
    SnapshotOrder {
        previous: inputs.previous.snapshot,
        current,
        monotonic: current.is_some() && !regressed,
        regressed,
        missing: current.is_none(),
    }
}

fn event_order(inputs: &SequenceInputs<'_>) -> EventOrder {
    let batch = inputs.events;
    let went_back = matches!(
        (batch.first, inputs.previous.events),
        (Some(first), Some(last)) if first < last
    );
    let across = inputs.replay || !went_back;
    EventOrder {
        ingested_count: batch.count,
        previous_last: inputs.previous.events,
        first: batch.first,
        last: batch.last,
        monotonic_within_batch: !batch.non_monotonic,
        monotonic_across_batches: across,
        regressed: batch.non_monotonic || !across,
        missing: batch.missing,
    }
}

/// The row for `sequence.jsonl` about `document`.
pub fn row(document: &SequenceDocument) -> SequenceRow {
    let document = document.clone();
    SequenceRow {
        timestamp: document.updated_at,
        loop_id: document.loop_id,
        trace_id: document.trace_id,
        transport: document.transport,
        category: TelemetryCategory::EnvelopeSequence,
        status: document.status,
        reason_code: document.reason_code,
        drift_active: document.drift_active,
        violations: document.violations,
        snapshot: document.snapshot,
        events: document.events,
        transition: document.transition,
    }
}
