//! The operator's report on one loop (chapter 03 §3.5.4–§3.5.8).
//!
//! Values are passed through from the artifacts as found, so members that
//! are texts or numbers in practice are any JSON value here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;
use crate::envelope::{SchemaVersion, Source};

/// What `ops-manager-status` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was made.
    pub generated_at: Timestamp,
    /// Which loop.
    pub source: Source,
    /// Where the run stands.
    pub lifecycle: StatusLifecycle,
    /// The health document; omitted when its file is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Value>,
    /// Position in the event log.
    pub cursor: StatusCursor,
    /// The last control intent.
    pub control: StatusControl,
    /// The last reconcile pass.
    pub reconcile: StatusReconcile,
    /// Heartbeat, order, audit, traces.
    pub visibility: StatusVisibility,
    /// Which thresholds are applied and which would fit.
    pub tuning: StatusTuning,
    /// The drift document; omitted when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Value>,
    /// Alert delivery; omitted when nothing was dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<StatusAlerts>,
    /// Trace ids, one per plane.
    pub trace_linkage: TraceLinkage,
    /// Where everything lies.
    pub files: StatusFiles,
    /// Additive: complete but unreadable rows and documents that were passed
    /// over (decision D9); omitted when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StatusWarning>,
}

/// Where the run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusLifecycle {
    /// Lifecycle state.
    pub state: Value,
    /// How sure.
    pub confidence: Option<Value>,
    /// Run id.
    pub run_id: Option<Value>,
    /// Iteration.
    pub iteration: Option<Value>,
}

/// Position in the event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusCursor {
    /// Lines consumed.
    pub event_line_offset: Value,
    /// Lines present.
    pub event_line_count: Value,
}

/// The last control intent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusControl {
    /// `cancel`, `approve` or `reject`.
    pub last_intent: Option<Value>,
    /// Its status.
    pub last_status: Option<Value>,
    /// Who asked.
    pub last_requested_by: Option<Value>,
    /// When.
    pub last_timestamp: Option<Value>,
    /// Its trace.
    pub last_trace_id: Option<Value>,
    /// Additive: intents without an outcome (decision D7); omitted when
    /// there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Value>,
}

/// The last reconcile pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusReconcile {
    /// Outcome.
    pub last_status: Option<Value>,
    /// When.
    pub last_timestamp: Option<Value>,
    /// How the loop was reached.
    pub last_transport: Option<Value>,
    /// Why it failed.
    pub last_failure_code: Option<Value>,
    /// Seconds.
    pub last_duration_seconds: Option<Value>,
    /// Its trace.
    pub last_trace_id: Option<Value>,
}

/// Heartbeat, order, audit, traces; a block without a source is omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusVisibility {
    /// The last heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<HeartbeatVisibility>,
    /// Order diagnostics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<SequenceVisibility>,
    /// The last control invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_audit: Option<InvocationVisibility>,
    /// Trace ids.
    pub trace: TraceVisibility,
}

/// The last heartbeat; members without a value are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatVisibility {
    /// `fresh`, `degraded` or `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness_status: Option<Value>,
    /// Why it is not fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<Value>,
    /// When the loop last gave a sign of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_at: Option<Value>,
    /// Seconds, as stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_lag_seconds: Option<Value>,
    /// When it was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Value>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Value>,
    /// By which pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
}

/// Order diagnostics; members without a value are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct SequenceVisibility {
    /// `ok` or `ordering_drift_detected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    /// Why it is not ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<Value>,
    /// `true` or omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_active: Option<Value>,
    /// Shown even when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<Value>,
    /// Last snapshot sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_current: Option<Value>,
    /// Last event sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_last: Option<Value>,
    /// When it was evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Value>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Value>,
    /// By which pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
}

/// The last control invocation; members without a value are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct InvocationVisibility {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Value>,
    /// What.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Value>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Value>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Value>,
    /// Whether the command ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_status: Option<Value>,
    /// Whether its effect was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation_status: Option<Value>,
    /// Result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome_status: Option<Value>,
    /// `true` or omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Value>,
    /// Its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
}

/// Trace ids as far as known; members without a value are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TraceVisibility {
    /// Of the last control intent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_trace_id: Option<Value>,
    /// Of the last control invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_invocation_trace_id: Option<Value>,
    /// Of the last pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile_trace_id: Option<Value>,
    /// Of the last heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_trace_id: Option<Value>,
    /// Of the last order diagnostics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_trace_id: Option<Value>,
    /// Of the last alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_trace_id: Option<Value>,
    /// One value for all known ones but the invocation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_trace_id: Option<Value>,
}

/// Which thresholds are applied and which would fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusTuning {
    /// Lines behind the recommendation.
    pub summary_window: u64,
    /// In force.
    pub applied_profile: Option<Value>,
    /// Fitting.
    pub recommended_profile: Option<Value>,
    /// How sure.
    pub confidence: Option<Value>,
    /// Why.
    pub rationale: Option<Value>,
    /// The summary's own evidence.
    pub telemetry_summary: Option<SummaryExcerpt>,
}

/// Two members of a telemetry summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SummaryExcerpt {
    /// What was seen.
    pub observed: Value,
    /// What was read.
    pub source: Value,
}

/// Alert delivery; a block without a source is omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct StatusAlerts {
    /// The last dispatch run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<AlertDispatchStatus>,
    /// The last delivery row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<AlertDeliveryStatus>,
}

/// The last dispatch run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AlertDispatchStatus {
    /// Outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Value>,
    /// Rows looked at.
    pub processed_count: Value,
    /// Rows delivered.
    pub dispatched_count: Value,
    /// Rows without a route or below the severity.
    pub skipped_count: Value,
    /// Rows that failed.
    pub failed_count: Value,
    /// Why.
    pub failure_reason_codes: Value,
    /// Lines consumed.
    pub escalations_line_offset: Value,
    /// Lines present.
    pub escalations_line_count: Value,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trace_id: Option<Value>,
}

/// The last delivery row; members without a value are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AlertDeliveryStatus {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Value>,
    /// Outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<Value>,
    /// What was escalated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_category: Option<Value>,
    /// How bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_severity: Option<Value>,
    /// Sinks routed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink_count: Option<Value>,
    /// Sinks reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatched_sink_count: Option<Value>,
    /// Sinks missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_sink_count: Option<Value>,
    /// Trace of the dispatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
    /// Trace of the escalation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_trace_id: Option<Value>,
}

/// Trace ids, one per plane; `null` where unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TraceLinkage {
    /// Of the last control intent.
    pub control_trace_id: Option<Value>,
    /// Of the last control invocation.
    pub control_invocation_trace_id: Option<Value>,
    /// Of the last pass.
    pub reconcile_trace_id: Option<Value>,
    /// Of the last heartbeat.
    pub heartbeat_trace_id: Option<Value>,
    /// Of the last order diagnostics.
    pub sequence_trace_id: Option<Value>,
    /// Of the last alert.
    pub alert_trace_id: Option<Value>,
    /// Pass and alert agree, and control with them if known.
    pub shared_trace_id: Option<Value>,
}

/// Effective paths, whether or not the files exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the documents' own")]
pub struct StatusFiles {
    pub state_file: String,
    pub cursor_file: String,
    pub health_file: String,
    pub intents_file: String,
    pub heartbeat_state_file: String,
    pub heartbeat_telemetry_file: String,
    pub sequence_state_file: String,
    pub sequence_telemetry_file: String,
    pub control_invocations_file: String,
    pub drift_state_file: String,
    pub drift_history_file: String,
    pub alert_dispatch_state_file: String,
    pub alert_dispatch_telemetry_file: String,
    pub reconcile_telemetry_file: String,
    pub control_telemetry_file: String,
}

/// A complete row or document that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatusWarning {
    /// The file.
    pub file: String,
    /// The line, counted from 1; omitted for whole documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
}
