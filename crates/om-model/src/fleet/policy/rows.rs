//! What policy appends: history, telemetry, governance (chapter 06
//! §1.5.2–§1.5.4, decision D29).

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    AutonomousState, AutonomyReason, Counters, GovernanceState, NoiseControlState,
    PolicyReasonCode, PolicySummary, SuppressionReason, SuppressionScope,
};
use crate::alerts::Severity;
use crate::control::Intent;
use crate::drift::Confidence;
use crate::fleet::registry::{Category, GovernanceCategory, PolicyMode};
use crate::{Timestamp, TraceId};

/// `fleet_policy_candidate`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HistoryCategory {
    /// The only one.
    #[default]
    FleetPolicyCandidate,
}

/// One row of `policy-history.jsonl`: one candidate of one evaluation.
/// Switches are written only where they are on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HistoryRow {
    /// When it was evaluated.
    pub timestamp: Timestamp,
    /// `fleet_policy_candidate`
    pub category: HistoryCategory,
    /// The fleet.
    pub fleet_id: String,
    /// The evaluation's trace.
    pub trace_id: TraceId,
    /// The run's mode.
    pub mode: PolicyMode,
    /// `<loopId>:<category>`
    pub candidate_id: String,
    /// The loop.
    pub loop_id: String,
    /// What is wrong.
    pub candidate_category: Category,
    /// How bad.
    pub severity: Severity,
    /// How certain.
    pub confidence: Confidence,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_intent: Option<Intent>,
    /// Whether it is suppressed.
    pub suppressed: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppression_reason: Option<SuppressionReason>,
    /// Where that comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppression_scope: Option<SuppressionScope>,
    /// By which setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppression_source: Option<&'static str>,
    /// The manager may act by itself.
    pub autonomous_eligible: bool,
    /// It may not.
    pub autonomous_manual_only: bool,
    /// Why not.
    pub autonomous_reasons: Vec<AutonomyReason>,
    /// The loop is in scope.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub autonomous_rollout_in_scope: bool,
    /// The loop is in scope and selected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub autonomous_rollout_in_cohort: bool,
    /// The loop's bucket, 0 to 99.
    pub autonomous_rollout_bucket: u8,
    /// The rollout is paused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub autonomous_rollout_pause_active: bool,
    /// By whom.
    pub autonomous_rollout_pause_reasons: Vec<AutonomyReason>,
    /// Earlier outcomes pause it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub autonomous_auto_pause_active: bool,
    /// Which.
    pub autonomous_auto_pause_reasons: Vec<AutonomyReason>,
}

/// `fleet_policy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PolicyCategory {
    /// The only one.
    #[default]
    FleetPolicy,
}

/// One row of `policy.jsonl`: one evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyRow {
    /// When it was evaluated.
    pub timestamp: Timestamp,
    /// `fleet_policy`
    pub category: PolicyCategory,
    /// The fleet.
    pub fleet_id: String,
    /// The evaluation's trace.
    pub trace_id: TraceId,
    /// The run's mode.
    pub mode: PolicyMode,
    /// Parts of the state.
    pub summary: PolicyRowSummary,
}

/// The parts of the policy state that a telemetry row repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyRowSummary {
    /// All candidates.
    pub candidate_count: u64,
    /// How many of which kind.
    #[serde(flatten)]
    pub counters: Counters,
    /// What it comes to.
    pub reason_codes: Vec<PolicyReasonCode>,
    /// Further counts.
    pub summary: PolicySummary,
    /// Effective noise control.
    pub noise_controls: NoiseControlState,
    /// Effective autonomy.
    pub autonomous: AutonomousState,
}

/// What changed since the previous evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GovernanceEvent {
    /// There was none.
    AutonomousPolicyInitialized,
    /// The mode.
    AutonomousModeToggled,
    /// The controls or the governance.
    AutonomousPolicyMutated,
}

/// One row of `policy-governance.jsonl`: autonomy is not what it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GovernanceRow {
    /// When it was noticed.
    pub timestamp: Timestamp,
    /// `fleet_policy_governance`
    pub category: GovernanceCategory,
    /// What changed.
    pub event_type: GovernanceEvent,
    /// The fleet.
    pub fleet_id: String,
    /// The evaluation's trace.
    pub trace_id: TraceId,
    /// The mode now.
    pub mode: PolicyMode,
    /// The mode before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_mode: Option<Value>,
    /// Who allows it now.
    pub governance: GovernanceState,
    /// Who allowed it before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_governance: Option<Value>,
    /// The controls now.
    pub controls: Value,
    /// The controls before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_controls: Option<Value>,
    /// Files behind it.
    pub source: GovernanceSource,
}

/// Files behind a governance row, as they were named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GovernanceSource {
    /// The registry.
    pub registry_file: String,
    /// The policy state.
    pub policy_state_file: String,
    /// The journal of the row.
    pub governance_audit_file: String,
}

/// `policy_suppressions_changed`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SuppressionsEvent {
    /// The only one.
    #[default]
    PolicySuppressionsChanged,
}

/// One row of `policy-governance.jsonl`: suppressions are not what they were
/// (decision D29).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SuppressionsRow {
    /// When it was noticed.
    pub timestamp: Timestamp,
    /// `fleet_policy_governance`
    pub category: GovernanceCategory,
    /// `policy_suppressions_changed`
    pub event_type: SuppressionsEvent,
    /// The fleet.
    pub fleet_id: String,
    /// The evaluation's trace.
    pub trace_id: TraceId,
    /// The mode now.
    pub mode: PolicyMode,
    /// Loop ids and `*` whose suppressions changed, sorted.
    pub changed_scopes: Vec<String>,
    /// All suppressions before.
    pub before: Value,
    /// All suppressions now.
    pub after: Map<String, Value>,
    /// The registry's `policy.suppressionGovernance` of the changed scopes:
    /// actor, ref, rationale, reviewBy; omitted if there is none.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub suppression_governance: Map<String, Value>,
    /// Files behind it.
    pub source: GovernanceSource,
}
