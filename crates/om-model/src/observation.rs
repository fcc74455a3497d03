//! What a reconcile pass records about how it observed a loop: transport
//! health, heartbeat and sequence documents and their rows
//! (chapter 02 §2.6.3, §2.6.5, §2.6.6; decision D26).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::envelope::SchemaVersion;
use crate::health::{IngestStatus, TransportMode};
use crate::{LoopId, Timestamp, TraceId};

/// `telemetry/transport-health.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TransportHealth {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the pass ended its ingest.
    pub updated_at: Timestamp,
    /// The pass.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// Outcome of this pass.
    pub last_result: IngestStatus,
    /// Failed passes in a row, 0 after a success.
    pub failure_streak: u64,
    /// This pass's failure code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_code: Option<String>,
    /// When a pass last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<String>,
    /// When a pass last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_at: Option<String>,
}

/// A runtime's sign of life: `heartbeat.v1.json` (decision D26).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RuntimeHeartbeat {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// The loop that is alive.
    pub loop_id: LoopId,
    /// When it was alive.
    pub timestamp: Timestamp,
    /// The run, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The runtime's process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Counts the heartbeats of one producer, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Free additions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
}

/// How fresh a heartbeat is; `failed` only in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// Within the degraded threshold.
    Fresh,
    /// At or past the degraded threshold.
    Degraded,
    /// At or past the critical threshold.
    Critical,
    /// There is a heartbeat, but no usable time in it.
    Failed,
}

/// What is wrong with a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HeartbeatReasonCode {
    /// Too old.
    RuntimeHeartbeatStale,
    /// Neither `timestamp` nor `updatedAt`.
    MissingHeartbeatTimestamp,
    /// The chosen time cannot be read.
    InvalidHeartbeatTimestamp,
}

/// The heartbeat thresholds that were in force, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatThresholds {
    /// Seconds.
    pub degraded_heartbeat_lag_seconds: u64,
    /// Seconds.
    pub critical_heartbeat_lag_seconds: u64,
}

/// `heartbeat.json`: the last readable heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatState {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was observed.
    pub updated_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The pass.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// The chosen time, verbatim.
    pub last_heartbeat_at: Value,
    /// Seconds between the two.
    pub heartbeat_lag_seconds: u64,
    /// Freshness by the thresholds below.
    pub freshness_status: Freshness,
    /// Omitted when fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<HeartbeatReasonCode>,
    /// In force.
    pub thresholds: HeartbeatThresholds,
    /// As received.
    pub heartbeat: Value,
}

/// One row of `telemetry/heartbeat.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatRow {
    /// When it was observed.
    pub timestamp: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The pass.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// `runtime_heartbeat`.
    pub category: TelemetryCategory,
    /// Freshness.
    pub status: Freshness,
    /// Omitted when fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<HeartbeatReasonCode>,
    /// The chosen time as text; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_at: Option<String>,
    /// Absent when the time could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_lag_seconds: Option<u64>,
    /// As received.
    pub heartbeat: Value,
}

/// What a telemetry row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TelemetryCategory {
    /// A heartbeat observation.
    RuntimeHeartbeat,
    /// Envelope order diagnostics.
    EnvelopeSequence,
    /// A threshold-profile drift evaluation.
    ProfileDriftEvaluation,
    /// A failed alert dispatch stage.
    AlertDispatch,
}

/// Whether envelopes arrive in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SequenceStatus {
    /// They do.
    Ok,
    /// At least one violation.
    OrderingDriftDetected,
    /// Not looked at, because ingest failed; only in reconcile rows.
    SkippedIngestFailed,
}

/// One way of being out of order; declared in sorted order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SequenceViolation {
    /// An event without a sequence number.
    EventSequenceMissing,
    /// Events of one batch go backwards.
    EventSequenceNonMonotonic,
    /// A batch starts before the end of the last one.
    EventSequenceRegression,
    /// A snapshot without a sequence number.
    SnapshotSequenceMissing,
    /// A snapshot with fewer lines than the last one.
    SnapshotSequenceRegression,
}

/// `sequence-state.json`, and `sequence` in `state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SequenceDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was evaluated.
    pub updated_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The pass.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// `ok` or `ordering_drift_detected`.
    pub status: SequenceStatus,
    /// Omitted when ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<SequenceStatus>,
    /// Whether there is any violation.
    pub drift_active: bool,
    /// Sorted, distinct.
    pub violations: Vec<SequenceViolation>,
    /// Snapshot order.
    pub snapshot: SnapshotOrder,
    /// Event order.
    pub events: EventOrder,
    /// Compared with the last evaluation.
    pub transition: SequenceTransition,
}

/// Order of snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotOrder {
    /// Sequence of the previous snapshot.
    pub previous: Option<u64>,
    /// Sequence of this one.
    pub current: Option<u64>,
    /// Neither missing nor regressed.
    pub monotonic: bool,
    /// Fewer lines than before.
    pub regressed: bool,
    /// No sequence number.
    pub missing: bool,
}

/// Order of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventOrder {
    /// Envelopes in the batch.
    pub ingested_count: u64,
    /// Last sequence of the previous batch.
    pub previous_last: Option<u64>,
    /// First valid sequence of this batch.
    pub first: Option<u64>,
    /// Last valid sequence of this batch.
    pub last: Option<u64>,
    /// Nothing goes backwards inside the batch.
    pub monotonic_within_batch: bool,
    /// The batch does not start before the end of the last one.
    pub monotonic_across_batches: bool,
    /// Either of the two fails.
    pub regressed: bool,
    /// An event without a sequence number.
    pub missing: bool,
}

/// Drift now and before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SequenceTransition {
    /// Drift at the last evaluation.
    pub previous_drift_active: bool,
    /// It starts now.
    pub transitioned_to_drift: bool,
    /// It ends now.
    pub recovered_from_drift: bool,
}

/// One row of `telemetry/sequence.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SequenceRow {
    /// When it was evaluated.
    pub timestamp: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The pass.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// `envelope_sequence`.
    pub category: TelemetryCategory,
    /// As in the document.
    pub status: SequenceStatus,
    /// As in the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<SequenceStatus>,
    /// As in the document.
    pub drift_active: bool,
    /// As in the document.
    pub violations: Vec<SequenceViolation>,
    /// As in the document.
    pub snapshot: SnapshotOrder,
    /// As in the document.
    pub events: EventOrder,
    /// As in the document.
    pub transition: SequenceTransition,
}

/// What a batch of events says about order, folded event by event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceFold {
    /// Events seen.
    pub count: u64,
    /// First valid sequence.
    pub first: Option<u64>,
    /// Last valid sequence.
    pub last: Option<u64>,
    /// At least one event had none.
    pub missing: bool,
    /// At least one went backwards.
    pub non_monotonic: bool,
}

impl SequenceFold {
    /// Adds the next event; `None` if it has no usable sequence.
    pub fn push(&mut self, sequence: Option<u64>) {
        self.count += 1;
        match sequence {
            None => self.missing = true,
            Some(value) => {
                self.non_monotonic |= self.last.is_some_and(|last| value < last);
                self.first.get_or_insert(value);
                self.last = Some(value);
            }
        }
    }
}

/// A batch of observed events, reduced to what a pass needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventBatch {
    /// Count and order.
    pub sequence: SequenceFold,
    /// The last envelope, in full.
    pub last: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_sees_gaps_in_order_but_not_in_numbers() {
        let mut fold = SequenceFold::default();
        for sequence in [Some(3), Some(5), Some(5)] {
            fold.push(sequence);
        }
        assert!(!fold.non_monotonic && !fold.missing);
        fold.push(None);
        fold.push(Some(4));
        assert_eq!((fold.first, fold.last, fold.count), (Some(3), Some(4), 5));
        assert!(fold.non_monotonic && fold.missing);
    }
}
