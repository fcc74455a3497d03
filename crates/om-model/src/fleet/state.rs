//! What a fan-out over the fleet found: the fleet state and its telemetry
//! row (chapter 05 §2.5; decisions D1, D11, D23).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::envelope::SchemaVersion;
use crate::health::TransportMode;
use crate::{LoopId, Timestamp, TraceId};

/// `fleet/state.json`, and what `ops-manager-fleet-reconcile` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetState {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When every loop had been passed.
    pub updated_at: Timestamp,
    /// Just before the first loop was started.
    pub started_at: Timestamp,
    /// From the registry.
    pub fleet_id: String,
    /// Links everything that this fan-out wrote.
    pub trace_id: TraceId,
    /// Outcome of the fan-out.
    pub status: FleetStatus,
    /// Distinct codes, sorted.
    pub reason_codes: Vec<FleetReasonCode>,
    /// Results.
    pub loop_count: usize,
    /// Results that are `success`.
    pub success_count: usize,
    /// Results that are `failed`.
    pub failed_count: usize,
    /// Results that are `skipped`.
    pub skipped_count: usize,
    /// Whole seconds from start to end.
    pub duration_seconds: u64,
    /// How the fan-out was run.
    pub execution: FleetExecution,
    /// One per loop, in the order of start.
    pub results: Vec<LoopResult>,
    /// Additive: which loops were not passed because the fan-out was asked
    /// to end; omitted when it went to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<FleetInterruption>,
}

/// Outcome of a fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FleetStatus {
    /// No loop failed.
    Success,
    /// Some loops failed, others did not.
    PartialFailure,
    /// Some loops failed, and none succeeded.
    Failed,
}

impl FleetStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::PartialFailure => "partial_failure",
            Self::Failed => "failed",
        }
    }
}

/// What a fan-out has to say about the fleet. Declared in the order of the
/// names, which is the order in documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FleetReasonCode {
    /// A loop is critical.
    FleetHealthCritical,
    /// A loop is degraded, and none is critical.
    FleetHealthDegraded,
    /// A loop is disabled.
    FleetLoopSkipped,
    /// Some loops failed, others did not.
    FleetPartialFailure,
    /// Some loops failed, and none succeeded.
    FleetReconcileFailed,
}

impl FleetReasonCode {
    /// Every code, sorted by name.
    pub const ALL: [Self; 5] = [
        Self::FleetHealthCritical,
        Self::FleetHealthDegraded,
        Self::FleetLoopSkipped,
        Self::FleetPartialFailure,
        Self::FleetReconcileFailed,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FleetHealthCritical => "fleet_health_critical",
            Self::FleetHealthDegraded => "fleet_health_degraded",
            Self::FleetLoopSkipped => "fleet_loop_skipped",
            Self::FleetPartialFailure => "fleet_partial_failure",
            Self::FleetReconcileFailed => "fleet_reconcile_failed",
        }
    }
}

/// How a fan-out was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetExecution {
    /// Most loops passed at the same time, at least 1.
    pub max_parallel: u64,
    /// Whether loops were sorted by id.
    pub deterministic_order: bool,
    /// Whether every event log was replayed.
    pub from_start: bool,
    /// Most events per loop; 0 is unlimited.
    pub max_events: u64,
}

/// What became of one loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LoopStatus {
    /// It was observed.
    Success,
    /// It was not.
    Failed,
    /// It is disabled, so nobody tried.
    Skipped,
}

impl LoopStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// The outcome of one loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoopResult {
    /// When it ended.
    pub timestamp: Timestamp,
    /// When it started.
    pub started_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// How it is reached.
    pub transport: TransportMode,
    /// Whether the registry has it enabled.
    pub enabled: bool,
    /// Outcome.
    pub status: LoopStatus,
    /// Why it is not a success; omitted if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The same as `status`.
    pub reconcile_status: LoopStatus,
    /// `healthy`, `degraded` or `critical` as reported, or `unknown`.
    pub health_status: String,
    /// As reported.
    pub health_reason_codes: Vec<String>,
    /// Lifecycle state; only of a success, and only if reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition_state: Option<String>,
    /// Whole seconds from start to end.
    pub duration_seconds: u64,
    /// The trace of this loop's pass.
    pub trace_id: TraceId,
    /// What the pass printed, at most 600 bytes; omitted on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_excerpt: Option<String>,
    /// From the registry.
    pub sprite: Map<String, Value>,
    /// From the registry.
    pub metadata: Map<String, Value>,
    /// Where the evidence lies, whether or not the files exist.
    pub files: LoopResultFiles,
    /// Additive: the run that was observed, or the last one known of a loop
    /// that could not be observed (decision D23); omitted if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// Where the evidence of one loop lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the documents' own")]
pub struct LoopResultFiles {
    pub state_file: String,
    pub health_file: String,
    pub cursor_file: String,
    pub reconcile_telemetry_file: String,
}

/// A fan-out that was asked to end before every loop was passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetInterruption {
    /// What asked for it, e.g. `SIGINT`.
    pub signal: String,
    /// Loops without a result, in the order in which they would have started.
    pub not_passed: Vec<LoopId>,
}

/// `fleet_reconcile`, the only category of `telemetry/reconcile.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FleetReconcileCategory {
    /// A fan-out.
    FleetReconcile,
}

/// One row of `fleet/telemetry/reconcile.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in FleetState")]
pub struct FleetReconcileRow {
    /// `updatedAt` of the state.
    pub timestamp: Timestamp,
    /// `fleet_reconcile`.
    pub category: FleetReconcileCategory,
    pub fleet_id: String,
    pub trace_id: TraceId,
    pub status: FleetStatus,
    pub reason_codes: Vec<FleetReasonCode>,
    pub loop_count: usize,
    pub success_count: usize,
    pub failed_count: usize,
    pub skipped_count: usize,
    pub duration_seconds: u64,
    pub results: Vec<LoopResult>,
    /// As in [`FleetState::interrupted`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<FleetInterruption>,
}

impl From<FleetState> for FleetReconcileRow {
    fn from(state: FleetState) -> Self {
        Self {
            timestamp: state.updated_at,
            category: FleetReconcileCategory::FleetReconcile,
            fleet_id: state.fleet_id,
            trace_id: state.trace_id,
            status: state.status,
            reason_codes: state.reason_codes,
            loop_count: state.loop_count,
            success_count: state.success_count,
            failed_count: state.failed_count,
            skipped_count: state.skipped_count,
            duration_seconds: state.duration_seconds,
            results: state.results,
            interrupted: state.interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn the_order_of_the_reason_codes_is_that_of_their_names() {
        let names = FleetReasonCode::ALL.map(FleetReasonCode::as_str);
        assert!(names.is_sorted());
        assert!(FleetReasonCode::ALL.is_sorted());
    }

    #[test]
    fn every_name_is_what_is_written() {
        for code in FleetReasonCode::ALL {
            assert_eq!(json::to_value(&code), Value::from(code.as_str()));
        }
        for status in [
            FleetStatus::Success,
            FleetStatus::PartialFailure,
            FleetStatus::Failed,
        ] {
            assert_eq!(json::to_value(&status), Value::from(status.as_str()));
        }
        for status in [LoopStatus::Success, LoopStatus::Failed, LoopStatus::Skipped] {
            assert_eq!(json::to_value(&status), Value::from(status.as_str()));
        }
    }
}
