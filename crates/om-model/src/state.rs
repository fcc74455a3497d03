//! The loop's canonical state (chapter 01 §6.5, chapter 02 §2.6.1) and the
//! rows that a reconcile pass appends (chapter 02 §2.6.4, §2.6.7, §2.6.8).

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::drift::Confidence;
use crate::envelope::{SchemaVersion, Source};
use crate::health::{IngestStatus, TransportMode};
use crate::observation::{SequenceStatus, TelemetryCategory};
use crate::{LoopId, Timestamp, TraceId};

/// What `ops-manager-project-state` writes and prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Projection {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was projected.
    pub generated_at: Timestamp,
    /// Which loop.
    pub source: Source,
    /// Which run.
    pub run: ProjectedRun,
    /// From where to where, and how sure.
    pub transition: Transition,
    /// The state itself.
    pub projection: ProjectedState,
    /// The snapshot's position in the event log.
    pub cursor: ProjectedCursor,
    /// Whether the artifacts contradict each other.
    pub divergence: Divergence,
    /// What it was projected from.
    pub evidence: ProjectionEvidence,
}

/// Run identity of a projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectedRun {
    /// From the snapshot, `unknown` when missing.
    pub run_id: String,
    /// From the snapshot, 0 when missing.
    pub iteration: Number,
}

/// The step from the previous state to this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// `none` at the first projection, empty if the file was blank.
    pub previous_state: String,
    /// `event:<name>` or `snapshot_status:<status>`.
    pub triggering_signal: String,
    /// The snapshot's status.
    pub current_state: String,
    /// Low with divergence, medium without a new event.
    pub confidence: Confidence,
}

/// The projected state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectedState {
    /// The snapshot's status.
    pub status: String,
    /// Whether an approval request is pending.
    pub has_pending_approval: bool,
    /// Whether the last summary entry completed (normally a boolean).
    pub completion_ok: Value,
    /// Gates, verbatim.
    pub gates: Option<Value>,
    /// Stuck counters, verbatim.
    pub stuck: Option<Value>,
    /// `true` or `null`.
    pub active: Option<Value>,
    /// Name of the last event.
    pub last_event_name: Option<Value>,
    /// Time of the last event.
    pub last_event_at: Option<Value>,
}

/// Position in the event log; numbers as the snapshot has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectedCursor {
    /// Lines consumed.
    pub event_line_offset: Number,
    /// Lines present.
    pub event_line_count: Number,
}

/// Contradictions between artifacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Divergence {
    /// Any of the flags.
    pub any: bool,
    /// Which.
    pub flags: DivergenceFlags,
}

/// Which contradictions were found (chapter 01 §6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DivergenceFlags {
    /// Work events without an active state.
    pub active_mismatch: bool,
    /// Complete, and an approval still pending.
    pub approval_completion_conflict: bool,
    /// The position moved backwards.
    pub cursor_regression: bool,
}

/// What a projection was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectionEvidence {
    /// The snapshot's file; volatile.
    pub snapshot_file: String,
    /// The events' file; volatile.
    pub events_file: Option<String>,
    /// The snapshot at a glance.
    pub snapshot_envelope: SnapshotEvidence,
    /// The last event, whole.
    pub last_event_envelope: Option<Value>,
}

/// A snapshot at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SnapshotEvidence {
    /// Its status.
    pub run_status: String,
    /// Its last event.
    pub last_event_name: Option<Value>,
    /// Whether an approval request is pending.
    pub has_pending_approval: bool,
}

/// One row of `telemetry/reconcile.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReconcileRow {
    /// When the pass was recorded.
    pub timestamp: Timestamp,
    /// When it started.
    pub started_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The pass.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// Outcome.
    pub status: IngestStatus,
    /// Omitted on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<FailureCode>,
    /// Omitted when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
    /// Line offset before the pass.
    pub cursor_offset_before: u64,
    /// Line offset after it.
    pub cursor_offset_after: u64,
    /// Envelopes, counted on failure too.
    pub events_ingested: u64,
    /// The flag; 0 is unlimited.
    pub max_events: u64,
    /// The flag.
    pub from_start: bool,
    /// The flag.
    pub retry_attempts: u64,
    /// The flag, in seconds.
    pub retry_backoff_seconds: u64,
    /// Omitted when a replaced profile stage names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_profile: Option<String>,
    /// Whole seconds up to this row.
    pub duration_seconds: u64,
    /// Failed passes in a row.
    pub transport_failure_streak: u64,
    /// Order diagnostics.
    pub sequence_status: SequenceStatus,
    /// Omitted when ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_reason_code: Option<SequenceStatus>,
    /// Of the health document.
    pub health_status: Value,
    /// Of the health document.
    pub health_reason_codes: Value,
}

/// Why a pass could not observe or project a loop (chapter 02 §2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The local snapshot failed.
    SnapshotUnavailable,
    /// The local event poll failed.
    EventsUnavailable,
    /// The HTTP client failed.
    ServiceRequestFailed,
    /// The service's answer has the wrong shape.
    ServiceResponseInvalid,
    /// The snapshot could not be projected.
    ProjectionFailed,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 5] = [
        Self::SnapshotUnavailable,
        Self::EventsUnavailable,
        Self::ServiceRequestFailed,
        Self::ServiceResponseInvalid,
        Self::ProjectionFailed,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SnapshotUnavailable => "snapshot_unavailable",
            Self::EventsUnavailable => "events_unavailable",
            Self::ServiceRequestFailed => "service_request_failed",
            Self::ServiceResponseInvalid => "service_response_invalid",
            Self::ProjectionFailed => "projection_failed",
        }
    }
}

/// The row for an alert stage that failed (chapter 02 §2.6.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AlertStageFailureRow {
    /// When.
    pub timestamp: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The pass.
    pub trace_id: TraceId,
    /// `alert_dispatch`.
    pub category: TelemetryCategory,
    /// `failed_command`.
    pub status: String,
    /// `alert_dispatch_failed`.
    pub reason_code: String,
    /// The stage's last lines; omitted when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What every row of `escalations.jsonl` starts with; the category decides
/// what follows (chapter 02 §2.6.8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EscalationRow {
    /// When.
    pub timestamp: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The pass.
    pub trace_id: TraceId,
    /// `divergence_detected`, `ordering_drift_detected`, `health_<status>`
    /// or `profile_drift_detected`.
    pub category: String,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// The evidence of the category.
    #[serde(flatten)]
    pub detail: serde_json::Map<String, Value>,
}
