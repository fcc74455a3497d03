//! The policy state and its rows (chapter 06 §1).

mod candidate;
mod reasons;
mod rows;
mod tally;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Number, Value};

pub use candidate::{
    AutonomousCooldown, Candidate, CandidateAutonomy, CandidateRollout, CandidateSafety,
    DedupeCooldown, Gates, Selector, Signal,
};
pub use reasons::{
    AutonomyReason, PolicyReasonCode, ReasonPath, SuppressionReason, SuppressionScope,
};
pub use rows::{
    GovernanceEvent, GovernanceRow, GovernanceSource, HistoryCategory, HistoryRow, PolicyCategory,
    PolicyRow, PolicyRowSummary, SuppressionsEvent, SuppressionsRow,
};
pub use tally::Tally;

use super::registry::{Category, Governance, PolicyMode};
use crate::alerts::Severity;
use crate::drift::Confidence;
use crate::envelope::SchemaVersion;
use crate::{Timestamp, TraceId};

/// `policy-state.json`, and what the policy command prints (§1.5.1).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyState {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was evaluated.
    pub updated_at: Timestamp,
    /// The fleet, as the fleet state names it.
    pub fleet_id: String,
    /// Links everything that this evaluation wrote.
    pub trace_id: TraceId,
    /// Whether autonomy is on.
    pub mode: PolicyMode,
    /// Status of the fan-out that was judged; `unknown` if it has none.
    pub fleet_status: String,
    /// What was judged, by what.
    pub source: PolicySource,
    /// What candidates there can be.
    pub taxonomy: Taxonomy,
    /// Effective noise control.
    pub noise_controls: NoiseControlState,
    /// Effective autonomy.
    pub autonomous: AutonomousState,
    /// Results of the fan-out.
    pub evaluated_loop_count: u64,
    /// All candidates.
    pub candidate_count: u64,
    /// How many of which kind.
    #[serde(flatten)]
    pub counters: Counters,
    /// By loop id and category.
    pub candidates: Vec<Candidate>,
    /// Further counts.
    pub summary: PolicySummary,
    /// The registry's suppressions.
    pub suppression_state: SuppressionState,
    /// What it comes to, sorted.
    pub reason_codes: Vec<PolicyReasonCode>,
}

/// Files behind an evaluation, as they were named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicySource {
    /// The fleet state.
    pub fleet_state_file: String,
    /// The registry.
    pub registry_file: String,
}

/// What candidates there can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Taxonomy {
    /// `v1`.
    pub version: SchemaVersion,
    /// Every category.
    pub categories: Vec<TaxonomyEntry>,
}

/// One category, and how its candidates are graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaxonomyEntry {
    /// The category.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// How certain.
    pub confidence: Confidence,
}

/// Effective noise control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NoiseControlState {
    /// Seconds in which a candidate is shown once; 0: always.
    pub dedupe_window_seconds: u64,
    /// What was shown when.
    pub policy_history_file: String,
    /// What was done when.
    pub handoff_telemetry_file: String,
}

/// Effective autonomy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutonomousState {
    /// Whether the mode is `guarded_auto`.
    pub enabled: bool,
    /// Where changes are recorded.
    pub governance_audit_file: String,
    /// Who allowed it, until when.
    pub governance: GovernanceState,
    /// The registry's `policy.autonomous`, verbatim.
    pub controls: Value,
    /// How far it reaches.
    pub rollout: RolloutState,
}

/// Who allowed autonomy, why, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GovernanceState {
    /// What the registry says.
    #[serde(flatten)]
    pub named: Governance,
    /// `true`: its five texts are needed for autonomy.
    pub required_for_guarded_auto: bool,
    /// Whether they are there, or not needed.
    pub authority_context_present: bool,
}

/// How far autonomy reaches.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutState {
    /// Percentage of the loops in scope, 0 to 100.
    pub canary_percent: u8,
    /// Loops in scope; none listed: all.
    pub scope_loop_ids: Arc<Vec<String>>,
    /// Goes into the cohort's hash.
    pub selector_salt: Arc<String>,
    /// Candidates in and out.
    pub candidate_buckets: CandidateBuckets,
    /// Whether it is paused.
    pub pause: Arc<Pause>,
}

/// Candidates, suppressed ones too, in and out of the rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CandidateBuckets {
    /// Of loops in scope.
    pub in_scope_count: u64,
    /// Of these, selected by the canary percentage.
    pub in_cohort_count: u64,
    /// Of these, not selected.
    pub out_of_cohort_count: u64,
}

/// Whether autonomy is paused, by whom, why (§1.4.4).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pause {
    /// Whether there is any reason.
    pub active: bool,
    /// `autonomous_rollout_paused_auto`, `…_manual`.
    pub reasons: Vec<AutonomyReason>,
    /// Whether somebody paused it.
    pub manual: bool,
    /// Whether earlier outcomes paused it.
    pub auto: AutoPause,
}

/// Whether earlier outcomes pause autonomy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutoPause {
    /// Whether it can (decision D1).
    pub enabled: bool,
    /// Whether they do.
    pub active: bool,
    /// Which spikes there are.
    pub reasons: Vec<AutonomyReason>,
    /// Executions that count, the latest ones.
    pub lookback_executions: u64,
    /// Attempts that it takes to judge.
    pub min_sample_size: u64,
    /// Share of ambiguous outcomes from which on it pauses, 0 to 1.
    pub ambiguity_rate_threshold: Number,
    /// Share of failures from which on it pauses, 0 to 1.
    pub failure_rate_threshold: Number,
    /// Additive (decision D18): executions before this time do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Timestamp>,
    /// What was counted.
    pub metrics: AutoPauseMetrics,
}

/// What the latest autonomous executions came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutoPauseMetrics {
    /// Executions.
    pub window_execution_count: u64,
    /// Actions.
    pub attempted_count: u64,
    /// Of these, done.
    pub executed_count: u64,
    /// Of these, with an unknown outcome.
    pub ambiguous_count: u64,
    /// Of these, failed.
    pub failed_count: u64,
    /// Ambiguous per attempted, 0 without attempts.
    pub ambiguity_rate: Number,
    /// Failed per attempted, 0 without attempts.
    pub failure_rate: Number,
}

/// How many candidates of which kind (§1.4.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// To be acted on.
    pub unsuppressed_count: u64,
    /// Not to be acted on.
    pub suppressed_count: u64,
    /// Of these, because they were shown a moment ago.
    pub cooldown_suppressed_count: u64,
    /// To be acted on, by itself.
    pub auto_eligible_count: u64,
    /// To be acted on, by a person.
    pub manual_only_count: u64,
}

/// Counts of candidates by this and that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// By severity.
    pub by_severity: SeverityCounts,
    /// By confidence.
    pub by_confidence: ConfidenceCounts,
    /// By category.
    pub by_category: Tally<Category>,
    /// By reason of suppression.
    pub by_suppression_reason: Tally<SuppressionReason>,
    /// By who may act; suppressed ones do not count.
    pub by_autonomy: AutonomyCounts,
    /// By reason for not acting by itself; suppressed ones do not count.
    pub by_autonomy_reason: Tally<AutonomyReason>,
}

/// Candidates by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeverityCounts {
    /// `critical`
    pub critical: u64,
    /// `warning`
    pub warning: u64,
    /// `info`
    pub info: u64,
}

/// Candidates by confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfidenceCounts {
    /// `high`
    pub high: u64,
    /// `medium`
    pub medium: u64,
    /// `low`
    pub low: u64,
}

/// Candidates by who may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutonomyCounts {
    /// The manager by itself.
    pub eligible: u64,
    /// A person.
    pub manual_only: u64,
}

/// The registry's suppressions, and how they are applied.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SuppressionState {
    /// Loop id or `*` → categories, verbatim.
    pub suppressions: Map<String, Value>,
    /// The first that applies decides.
    pub precedence: [SuppressionScope; 3],
    /// What can be suppressed.
    pub allowed_categories: Vec<Category>,
}
