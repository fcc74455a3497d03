//! One candidate of the policy state (chapter 06 §1.5.1).

use std::sync::Arc;

use serde::Serialize;

use super::{AutonomyReason, Pause, SuppressionReason, SuppressionScope};
use crate::Timestamp;
use crate::alerts::Severity;
use crate::control::Intent;
use crate::drift::Confidence;
use crate::envelope::SchemaVersion;
use crate::fleet::registry::{Category, PolicyMode};

/// Something wrong with a loop, and what could be done about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The loop, as the fleet state names it: not necessarily one of the
    /// registry, nor a safe path component.
    pub loop_id: String,
    /// What is wrong.
    pub category: Category,
    /// What shows it.
    pub signal: Signal,
    /// Trace of the loop's pass.
    pub trace_id: Option<String>,
    /// `<loopId>:<category>`
    pub candidate_id: String,
    /// How bad.
    pub severity: Severity,
    /// How certain.
    pub confidence: Confidence,
    /// In words.
    pub rationale: &'static str,
    /// `v1`.
    pub taxonomy_version: SchemaVersion,
    /// What to do about it.
    pub recommended_intent: Option<Intent>,
    /// Where its suppression comes from.
    pub suppression_scope: Option<SuppressionScope>,
    /// Whether it is suppressed.
    pub suppressed: bool,
    /// Why.
    pub suppression_reason: Option<SuppressionReason>,
    /// By which setting.
    pub suppression_source: Option<&'static str>,
    /// Whether it was shown a moment ago.
    pub cooldown: DedupeCooldown,
    /// Whether the manager may act by itself.
    pub autonomous: CandidateAutonomy,
    /// Additive (decision D30): 1 is to be looked at first.
    pub rank: u64,
    /// Additive (decision D23): the run that was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Additive: when the loop was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_at: Option<Timestamp>,
}

/// What shows that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The loop's pass failed.
    StatusFailed,
    /// The loop is critical.
    HealthCritical,
    /// The loop is degraded.
    HealthDegraded,
}

/// The window in which a candidate is shown once (§1.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DedupeCooldown {
    /// Whether there is one.
    pub enabled: bool,
    /// How long.
    pub window_seconds: u64,
    /// Whether it runs.
    pub active: bool,
    /// How long yet.
    pub remaining_seconds: u64,
    /// When it began.
    pub last_unsuppressed_at: Option<Timestamp>,
}

/// Whether the manager may act by itself, and why not (§1.4.5).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CandidateAutonomy {
    /// The run's mode.
    pub mode: PolicyMode,
    /// It may.
    pub eligible: bool,
    /// It may not.
    pub manual_only: bool,
    /// Why not, sorted.
    pub reasons: Vec<AutonomyReason>,
    /// Of these, those of the gates.
    pub gating_reasons: Vec<AutonomyReason>,
    /// What it would do.
    pub recommended_intent: Option<Intent>,
    /// The gates.
    pub gates: Gates,
    /// The safety rails.
    pub safety: CandidateSafety,
    /// The rollout.
    pub rollout: CandidateRollout,
}

/// The gates, open where `true`, but for [`Self::suppressed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    /// Autonomy is on.
    pub mode_guarded_auto: bool,
    /// The candidate is suppressed: `true` is bad.
    pub suppressed: bool,
    /// Its category is allowed.
    pub category_allowed: bool,
    /// Its intent is allowed.
    pub intent_allowed: bool,
    /// It is severe enough.
    pub severity_meets_threshold: bool,
    /// It is certain enough.
    pub confidence_meets_threshold: bool,
    /// Its loop is in scope.
    pub rollout_scope_allowed: bool,
    /// Its loop is selected by the canary percentage, in scope or not.
    pub rollout_canary_selected: bool,
    /// Additive (decision D14): the governance review is not past its
    /// deadline.
    pub governance_review_current: bool,
    /// Additive (decision D27): state and events of the loop agree.
    pub loop_converged: bool,
    /// Additive (decision D27): nobody froze the loop.
    pub loop_not_frozen: bool,
}

/// The safety rails as they stand for one candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CandidateSafety {
    /// Actions that a run may take.
    pub max_actions_per_run: u64,
    /// Actions that one loop may get in a run.
    pub max_actions_per_loop: u64,
    /// Seconds between two times of being eligible.
    pub cooldown_seconds: u64,
    /// The switch, as configured.
    pub kill_switch: bool,
    /// The cooldown.
    pub cooldown: AutonomousCooldown,
    /// The switch, where autonomy is on.
    pub kill_switch_active: bool,
    /// Held back by the run's cap.
    pub run_cap_blocked: bool,
    /// Held back by the loop's cap.
    pub loop_cap_blocked: bool,
}

/// The time between two times of being eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutonomousCooldown {
    /// Whether it runs.
    pub active: bool,
    /// How long yet, in seconds.
    pub remaining_seconds: u64,
    /// When the candidate was eligible last.
    pub last_eligible_at: Option<Timestamp>,
}

/// The rollout as it stands for one candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CandidateRollout {
    /// Percentage of the loops in scope, 0 to 100.
    pub canary_percent: u8,
    /// Loops in scope; none listed: all.
    pub scope_loop_ids: Arc<Vec<String>>,
    /// The loop's place in it.
    pub selector: Selector,
    /// The run's pause.
    pub pause: Arc<Pause>,
}

/// A loop's place in the rollout (§1.4.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Goes into the hash.
    pub salt: Arc<String>,
    /// What comes out of it, 0 to 99.
    pub bucket: u8,
    /// The loop is in scope.
    pub in_scope: bool,
    /// The bucket is below the percentage.
    pub canary_selected: bool,
    /// Both.
    pub in_cohort: bool,
}
