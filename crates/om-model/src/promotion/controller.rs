//! One run of the promotion controller (chapter 07 §5.5, decision D19).

mod reason;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::envelope::SchemaVersion;
use crate::{Timestamp, TraceId};

pub use reason::ControllerReason;

/// What the controller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControllerMode {
    /// Say what it would do.
    ProposeOnly,
    /// Do it, verify it, undo it if need be.
    GuardedAutoApply,
}

impl ControllerMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::ProposeOnly, Self::GuardedAutoApply];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProposeOnly => "propose_only",
            Self::GuardedAutoApply => "guarded_auto_apply",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What the controller applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControllerIntent {
    /// Widen the canary.
    Expand,
    /// Lift the pause.
    Resume,
}

impl ControllerIntent {
    /// Every intent.
    pub const ALL: [Self; 2] = [Self::Expand, Self::Resume];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Resume => "resume",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.as_str() == text)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControllerStatus {
    /// It said what it would do.
    Proposed,
    /// It did nothing, for reasons.
    Hold,
    /// It applied, and that was verified.
    Applied,
    /// It applied, which could not be verified, and rolled back.
    RolledBack,
    /// A stage failed.
    Failed,
}

/// What was planned, and what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControllerAction {
    /// Say what would be done.
    Propose,
    /// Do nothing.
    Hold,
    /// Apply.
    Apply,
    /// Undo.
    Rollback,
}

/// A stage that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControllerStage {
    /// Orchestrate without a change.
    Evaluate,
    /// Orchestrate with one.
    Apply,
    /// Undo it.
    Rollback,
}

impl ControllerStage {
    /// What its failure is called.
    pub fn reason(self) -> ControllerReason {
        match self {
            Self::Evaluate => ControllerReason::ControllerEvaluateCommandFailed,
            Self::Apply => ControllerReason::ControllerApplyCommandFailed,
            Self::Rollback => ControllerReason::ControllerRollbackCommandFailed,
        }
    }
}

/// `promotion-controller-state.json`, a row of
/// `telemetry/promotion-controller.jsonl`, and what
/// `ops-manager-promotion-controller` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the run began.
    pub timestamp: Timestamp,
    /// `promotion_controller_run`.
    pub category: ControllerCategory,
    /// What it was allowed to do.
    pub mode: ControllerMode,
    /// How it ended.
    pub status: ControllerStatus,
    /// What it decided on.
    pub decision: ControllerDecision,
    /// What it did.
    pub execution: ControllerExecution,
    /// Whether that was right.
    pub verification: Verification,
    /// What it is about.
    pub context: ControllerContext,
    /// Paths as used, whether or not there is a file.
    pub files: ControllerFiles,
    /// The run before.
    pub observed: ControllerObserved,
    /// The stage that failed; omitted unless one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ControllerError>,
    /// Additive: written by a later run for one that was killed (decision
    /// D19).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// The kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControllerCategory {
    /// The only one.
    PromotionControllerRun,
}

/// What the controller decided on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerDecision {
    /// Of the gates; `unknown` before they were evaluated.
    pub promotion_decision: String,
    /// Of the gates, as found.
    pub promotion_reason_codes: Vec<Value>,
    /// Of the gates, as found.
    pub failed_gates: Vec<Value>,
    /// How old the decision is; omitted when a stage failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// What may still be done; omitted when a stage failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Why nothing more was done; sorted.
    pub reason_codes: Vec<ControllerReason>,
}

/// How old the decision is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Freshness {
    /// Whether it is young enough.
    pub pass: bool,
    /// As given.
    pub ttl_minutes: u64,
    /// At the start of the run; null if it does not say.
    pub age_seconds: Option<u64>,
    /// At most one.
    pub reasons: Vec<ControllerReason>,
}

/// What may still be done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// As given.
    pub window_hours: u64,
    /// As given.
    pub max_applies_per_window: u64,
    /// As given, in percent points.
    pub max_expand_step_per_window: u64,
    /// As given.
    pub cooldown_minutes: u64,
    /// Before this run.
    pub apply_count_in_window: u64,
    /// Before this run, in percent points.
    pub expand_step_in_window: Number,
    /// 0 when it is over.
    pub cooldown_remaining_seconds: u64,
    /// Whether nothing is promoted now.
    pub freeze_window_active: bool,
    /// Which windows say so, in file order.
    pub freeze_windows_matched: Vec<MatchedFreezeWindow>,
    /// Sorted.
    pub reasons: Vec<ControllerReason>,
}

/// A freeze window that is active; values as found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MatchedFreezeWindow {
    /// From.
    pub start: Value,
    /// To, inclusive.
    pub end: Value,
    /// Why.
    pub reason: Value,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerExecution {
    /// What it was going to do.
    pub planned_action: ControllerAction,
    /// What it did in the end.
    pub action: ControllerAction,
    /// Whether it applied.
    pub apply_executed: bool,
    /// Whether it undid that.
    pub rollback_executed: bool,
    /// What was applied; null if nothing was.
    pub apply_intent: Option<ControllerIntent>,
    /// By how much the canary was to be widened; null if it was not.
    pub expand_step: Option<u64>,
    /// As given.
    pub idempotency_key: Option<String>,
    /// As given.
    pub governance: ControllerGovernance,
}

/// Who answers for a run, as given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerGovernance {
    /// Who.
    pub actor: Option<String>,
    /// By which approval.
    pub approval_ref: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// When it is to be reviewed.
    pub review_by: Option<String>,
}

/// Whether what was done was right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Whether there was something to verify.
    pub ran: bool,
    /// Result.
    pub status: VerificationStatus,
    /// Of the gates after the change.
    pub decision: Option<String>,
    /// At most one.
    pub reason_codes: Vec<ControllerReason>,
}

/// Result of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerificationStatus {
    /// There was nothing to verify.
    Skipped,
    /// The gates still say `promote`.
    Pass,
    /// They do not, or it is not known.
    Fail,
}

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerContext {
    /// Links what belongs together.
    pub trace_id: TraceId,
    /// As given.
    pub loop_id: Option<String>,
    /// As given.
    pub horizon_ref: Option<String>,
    /// As given, in that order.
    pub evidence_refs: Vec<String>,
}

/// Paths as used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerFiles {
    /// The latest run.
    pub state_file: String,
    /// All runs.
    pub telemetry_file: String,
    /// Of the evaluate and apply stages.
    pub promotion_ci_result_file: String,
    /// The same for people.
    pub promotion_ci_summary_file: String,
    /// Of the verify stage.
    pub verify_result_file: String,
    /// The same for people.
    pub verify_summary_file: String,
    /// Of the evaluate stage.
    pub preview_result_file: String,
    /// The same for people.
    pub preview_summary_file: String,
    /// Of the apply stage.
    pub apply_result_file: String,
    /// The same for people.
    pub apply_summary_file: String,
    /// Of the rollback stage.
    pub rollback_result_file: String,
    /// The same for people.
    pub rollback_summary_file: String,
}

/// The run before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerObserved {
    /// Whether there is one.
    pub has_previous_state: bool,
    /// How it ended, as found.
    pub previous_status: Value,
    /// When it began, as found.
    pub previous_timestamp: Value,
}

/// The stage that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerError {
    /// Which.
    pub stage: ControllerStage,
    /// The same as a reason.
    pub reason_code: ControllerReason,
    /// Of the stage.
    pub exit_code: i32,
    /// The first 4000 characters of what it printed; null if nothing.
    pub stderr: Option<String>,
}

/// `promotion-controller-pending.json`: a run that is about to apply
/// (decision D19).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControllerPending {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the run began.
    pub started_at: Timestamp,
    /// What it was allowed to do.
    pub mode: ControllerMode,
    /// What it decided on.
    pub decision: PendingDecision,
    /// What it was about to apply.
    pub apply_intent: ControllerIntent,
    /// By how much, in percent points.
    pub expand_step: u64,
    /// As given.
    pub idempotency_key: Option<String>,
    /// As given.
    pub governance: ControllerGovernance,
    /// What it is about.
    pub context: ControllerContext,
    /// Paths as used.
    pub files: ControllerFiles,
    /// Bytes of the audit trail of changes before this one: its row, if there
    /// is one, comes after them.
    pub apply_telemetry_bytes: u64,
}

/// The decision that a pending run is based on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingDecision {
    /// Of the gates.
    pub promotion_decision: String,
    /// Of the gates, as found.
    pub promotion_reason_codes: Vec<Value>,
    /// Of the gates, as found.
    pub failed_gates: Vec<Value>,
}
