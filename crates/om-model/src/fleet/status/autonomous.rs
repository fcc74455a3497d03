//! What autonomy may do, and what keeps it from it (chapter 05 §3.5.4).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Autonomy as policy and handoff left it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutonomousStatus {
    /// `advisory` or `guarded_auto`.
    pub mode: Value,
    /// Whether that is `guarded_auto`.
    pub enabled: bool,
    /// Of the policy evaluation.
    pub policy_reason_codes: Value,
    /// Of the handoff.
    pub handoff_reason_codes: Value,
    /// Candidates that may be acted on without a person.
    pub eligible_candidate_count: Value,
    /// Candidates that may not.
    pub manual_only_candidate_count: Value,
    /// What was attempted, and what is left for people.
    pub outcome_rollup: OutcomeRollup,
    /// Who allowed it, and until when; omitted without a policy evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance: Option<GovernanceStatus>,
    /// What kept candidates from being acted on.
    pub safety_gate_decisions: SafetyGateDecisions,
    /// How far it is rolled out; omitted without a policy evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// What became of the intents; omitted without a handoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<AutonomousHandoff>,
}

/// What autonomy attempted, and what is left for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the names are the outcomes")]
pub struct OutcomeRollup {
    pub attempted: Value,
    pub executed: Value,
    pub ambiguous: Value,
    pub failed: Value,
    /// Intents, or candidates, that wait for a person.
    pub manual_backlog: Value,
}

/// Who allowed autonomy, and until when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GovernanceStatus {
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<Value>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Value>,
    /// On whose approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_ref: Option<Value>,
    /// For what reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Value>,
    /// Deadline of the review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Value>,
    /// Whole days from change to deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_window_days: Option<Value>,
    /// Whether all of that is known.
    pub authority_context_present: bool,
    /// `not_required`, `authority_missing`, `review_deadline_missing`,
    /// `review_expired`, `review_due_soon` or `active`.
    pub posture: String,
    /// Distinct codes, sorted.
    pub reason_codes: Vec<String>,
    /// Whether there are any in `guarded_auto`.
    pub blocks_autonomous: bool,
}

/// What kept candidates from being acted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SafetyGateDecisions {
    /// Every reason of the policy evaluation with its count.
    pub by_reason: Map<String, Value>,
    /// The reasons, sorted by what they come from.
    pub by_path: SuppressionPaths,
    /// Which of the paths blocked something; sorted.
    pub suppression_reason_codes: Vec<String>,
    /// Reasons that are safety decisions rather than classifications.
    pub blocked_count: Value,
    /// Whether the kill switch is on.
    pub kill_switch_active: bool,
}

/// Reasons by what they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SuppressionPaths {
    /// Allow lists, thresholds, caps, guards.
    pub policy_gated: GatedReasons,
    /// Scope, cohort, pauses, freezes.
    pub rollout_gated: GatedReasons,
    /// Authority and review.
    pub governance_gated: GovernanceGate,
    /// Sprites, and a registry that could not be read at dispatch time.
    pub transport_gated: GatedReasons,
}

/// Reasons of one path; each may count one candidate several times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GatedReasons {
    /// Sum of the counts.
    pub blocked_count: Value,
    /// Counts.
    pub by_reason: Map<String, Value>,
}

/// What governance blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GovernanceGate {
    /// Candidates.
    pub blocked_count: Value,
    /// Distinct codes, sorted.
    pub reason_codes: Vec<String>,
}

/// How far autonomy is rolled out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Percent of the loops in scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_percent: Option<Value>,
    /// Loops in scope; empty for all.
    pub scope_loop_ids: Value,
    /// What the cohort is drawn with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector_salt: Option<Value>,
    /// Candidates by cohort.
    pub candidate_buckets: CandidateBuckets,
    /// Whether it is paused, and by what.
    pub state: RolloutState,
    /// The automatic pause.
    pub autopause: AutopauseStatus,
    /// Both pauses.
    pub pause: PauseStatus,
}

/// Candidates by cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the policy state")]
pub struct CandidateBuckets {
    pub in_scope_count: Value,
    pub in_cohort_count: Value,
    pub out_of_cohort_count: Value,
}

/// Whether the rollout is paused, and by what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the policy state")]
pub struct RolloutState {
    pub active: Value,
    pub manual_pause_active: Value,
    pub auto_pause_active: Value,
    pub reason_codes: Value,
}

/// The automatic pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the policy state")]
pub struct AutopauseStatus {
    pub enabled: Value,
    pub active: Value,
    pub reasons: Value,
    pub lookback_executions: Option<Value>,
    pub min_sample_size: Option<Value>,
    pub ambiguity_rate_threshold: Option<Value>,
    pub failure_rate_threshold: Option<Value>,
    pub metrics: Value,
}

/// Both pauses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "as in the policy state")]
pub struct PauseStatus {
    pub active: Value,
    pub reasons: Value,
    pub manual: Value,
    pub auto: AutopauseStatus,
}

/// What became of the intents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the handoff state")]
pub struct AutonomousHandoff {
    pub auto_eligible_intent_count: Value,
    pub manual_only_intent_count: Value,
    pub pending_manual_only_count: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_mode: Option<Value>,
    pub executed_count: Value,
    pub ambiguous_count: Value,
    pub failed_count: Value,
    pub outcome_rollup: OutcomeRollup,
    pub outcome_reason_codes: Map<String, Value>,
}
