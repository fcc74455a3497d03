//! The operator's report on a fleet (chapter 05 §3.5; decisions D1, D9, D14,
//! D15, D16, D27).
//!
//! Values are passed through from the artifacts as found, so members that are
//! texts or numbers in practice are any JSON value here.

mod autonomous;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Timestamp;
use crate::envelope::SchemaVersion;
use crate::status::StatusWarning;

pub use autonomous::{
    AutonomousHandoff, AutonomousStatus, AutopauseStatus, CandidateBuckets, GatedReasons,
    GovernanceGate, GovernanceStatus, OutcomeRollup, PauseStatus, RolloutState, RolloutStatus,
    SafetyGateDecisions, SuppressionPaths,
};

/// What `ops-manager-fleet-status` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetStatusReport {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was made.
    pub generated_at: Timestamp,
    /// Which fleet.
    pub source: FleetSource,
    /// The last fan-out.
    pub fleet: FleetSummary,
    /// Loops by health.
    pub health_rollup: HealthRollup,
    /// Loops that somebody has to look at.
    pub exceptions: FleetExceptions,
    /// The last policy evaluation; `null` if there is none.
    pub policy: Option<PolicySummary>,
    /// The last handoff; `null` if there is none.
    pub handoff: Option<HandoffStatus>,
    /// What autonomy may do and what keeps it from it; `null` if there is
    /// neither a policy evaluation nor a handoff.
    pub autonomous: Option<AutonomousStatus>,
    /// One per result of the last fan-out, in its order.
    pub loops: Vec<LoopPointer>,
    /// Trace ids of the planes.
    pub trace_linkage: FleetTraceLinkage,
    /// The last row of the reconcile telemetry; `null` if there is none.
    pub latest_telemetry: Option<LatestTelemetry>,
    /// The last row of the handoff telemetry; `null` if there is none.
    pub latest_handoff_telemetry: Option<LatestHandoffTelemetry>,
    /// Where everything lies.
    pub files: FleetStatusFiles,
    /// Additive: rows that were passed over (decision D9), and a governance
    /// review that the registry has let lapse (decision D14); omitted when
    /// there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StatusWarning>,
}

/// Which fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetSource {
    /// The repository.
    pub repo_path: String,
    /// From the fleet state, else from the registry, else `default`.
    pub fleet_id: Value,
}

/// The last fan-out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetSummary {
    /// As stored, or `unknown`.
    pub status: Value,
    /// As stored, and what the results add; distinct, sorted.
    pub reason_codes: Vec<String>,
    /// Results.
    pub loop_count: Value,
    /// Results that are `success`.
    pub success_count: Value,
    /// Results that are `failed`.
    pub failed_count: Value,
    /// Results that are `skipped`.
    pub skipped_count: Value,
    /// Start.
    pub started_at: Option<Value>,
    /// End.
    pub updated_at: Option<Value>,
    /// Seconds.
    pub duration_seconds: Option<Value>,
    /// Its trace.
    pub trace_id: Option<Value>,
    /// Whether the stored counts say that some loops failed, others not.
    pub partial_failure: bool,
    /// Additive: seconds since `updatedAt`; omitted if that is no timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
}

/// Loops by health; other texts are counted nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the names are the statuses")]
pub struct HealthRollup {
    pub healthy: usize,
    pub degraded: usize,
    pub critical: usize,
    pub unknown: usize,
}

/// Loops that somebody has to look at, each list distinct and sorted; `null`
/// stands for results without a loop id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetExceptions {
    /// Could not be observed.
    pub reconcile_failures: Vec<Value>,
    /// Critical.
    pub critical_loops: Vec<Value>,
    /// Degraded.
    pub degraded_loops: Vec<Value>,
    /// Disabled.
    pub skipped_loops: Vec<Value>,
}

/// The last policy evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// `advisory` or `guarded_auto`.
    pub mode: Value,
    /// Candidates.
    pub candidate_count: Value,
    /// Those that are not suppressed.
    pub unsuppressed_count: Value,
    /// Those that are.
    pub suppressed_count: Value,
    /// As stored.
    pub reason_codes: Value,
    /// The five worst, complete.
    pub top_candidates: Vec<Value>,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Value>,
}

/// The last handoff.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffStatus {
    /// Mode of the policy that it was planned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Value>,
    /// As stored.
    pub reason_codes: Value,
    /// Intents by outcome.
    pub summary: HandoffSummary,
    /// The last execution; zeros if there was none.
    pub execution: HandoffExecutionStatus,
    /// Reasons of all intents.
    pub by_autonomy_reason: Map<String, Value>,
    /// Intents that wait for a person.
    pub pending_manual_only_count: usize,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Value>,
    /// Additive: candidates whose earlier outcome nobody has resolved
    /// (decision D16); omitted if the handoff does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_guard_count: Option<usize>,
}

/// Intents by outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the handoff state")]
pub struct HandoffSummary {
    pub intent_count: Value,
    pub auto_eligible_intent_count: Value,
    pub manual_only_intent_count: Value,
    pub pending_confirmation_count: Value,
    pub executed_count: Value,
    pub ambiguous_count: Value,
    pub failed_count: Value,
    /// What autonomy attempted, and what is left for people.
    pub autonomous_outcome_rollup: OutcomeRollup,
}

/// The last execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the handoff state")]
pub struct HandoffExecutionStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Value>,
    pub requested_intent_count: Value,
    pub executed_intent_count: Value,
    pub executed_count: Value,
    pub ambiguous_count: Value,
    pub failed_count: Value,
    /// Outcomes by reason, in the order of their first occurrence.
    pub by_reason_code: Map<String, Value>,
    /// Additive: intents that a last look held back (decision D15); omitted
    /// if the execution does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld_count: Option<Value>,
    /// Additive: which and why; omitted if the execution does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Value>,
}

/// Where to look for more about one loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the fleet state")]
pub struct LoopPointer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loop_id: Option<Value>,
    pub status: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconcile_status: Option<Value>,
    pub health_status: Value,
    pub health_reason_codes: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition_state: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
    pub transport: Value,
    pub sprite: Value,
    pub artifacts: LoopArtifacts,
    /// Additive: the run that was observed (decision D23).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Value>,
    /// Additive: seconds since the result's timestamp; omitted if it has
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
}

/// The evidence of one loop; `null` where the result does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the documents' own")]
pub struct LoopArtifacts {
    pub state_file: Option<Value>,
    pub health_file: Option<Value>,
    pub cursor_file: Option<Value>,
    pub reconcile_telemetry_file: Option<Value>,
}

/// Trace ids of the planes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetTraceLinkage {
    /// Of the fan-out.
    pub fleet_trace_id: Option<Value>,
    /// Of the policy evaluation.
    pub policy_trace_id: Option<Value>,
    /// Of the loops; distinct, sorted.
    pub loop_trace_ids: Vec<Value>,
    /// The one that all of them have.
    pub shared_trace_id: Option<Value>,
}

/// The last row of the reconcile telemetry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the row")]
pub struct LatestTelemetry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    pub reason_codes: Value,
}

/// The last row of the handoff telemetry, planned or executed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the row")]
pub struct LatestHandoffTelemetry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Value>,
    /// Members of the row's execution that are there.
    pub execution: Map<String, Value>,
    /// Members of the row's summary that are there.
    pub summary: Map<String, Value>,
    pub autonomous_outcome_rollup: OutcomeRollup,
    pub reason_codes: Value,
}

/// Effective paths, whether or not the files exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the documents' own")]
pub struct FleetStatusFiles {
    pub registry_file: String,
    pub fleet_state_file: String,
    pub policy_state_file: String,
    pub fleet_telemetry_file: String,
    pub handoff_state_file: String,
    pub handoff_telemetry_file: String,
}
