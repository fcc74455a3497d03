//! Handoff: the plan of control intents, and its place in the telemetry
//! (chapter 06 §2.5; decisions D15–D17, D23, D28, D30).

mod dispatch;
mod execution;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::envelope::SchemaVersion;
use crate::fleet::policy::AutonomyReason;
use crate::fleet::registry::PolicyMode;
use crate::health::TransportMode;
use crate::{Timestamp, TraceId};

pub use dispatch::{DispatchPhase, DispatchRow, HandoffPending, HandoffRequest};
pub use execution::{
    Execution, ExecutionMode, IntentExecution, OutcomeReason, OutcomeStatus, ResultRow, Withheld,
};

/// `handoff-state.json`: the latest plan, with what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffState {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the plan was made.
    pub generated_at: Timestamp,
    /// The same, or when its execution was over.
    pub updated_at: Timestamp,
    /// Which fleet.
    pub fleet_id: String,
    /// Links all that this run recorded.
    pub trace_id: TraceId,
    /// The policy evaluation's; this run's if that has none.
    pub policy_trace_id: TraceId,
    /// The policy evaluation's.
    pub mode: PolicyMode,
    /// What the plan was made from.
    pub source: HandoffSource,
    /// How intents are controlled.
    pub control: HandoffControl,
    /// What could be done, by loop, category and intent.
    pub intents: Vec<HandoffIntent>,
    /// The intents, counted.
    pub summary: HandoffSummary,
    /// What the counts come to, sorted.
    pub reason_codes: Vec<HandoffReason>,
    /// The last execution; omitted if there was none. A plan keeps the
    /// previous one as it is (decision D17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Execution>"))]
    pub execution: Option<Value>,
    /// Additive: intents that are not dispatched by themselves until somebody
    /// resolves them, sorted by intent (decision D16).
    #[serde(default)]
    pub retry_guard: Vec<RetryGuard>,
    /// Additive: which policy evaluation the plan is of (decision D17).
    #[serde(default)]
    pub evaluation: EvaluationIdentity,
}

/// What a plan was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffSource {
    /// As used.
    pub registry_file: String,
    /// As used.
    pub policy_state_file: String,
}

/// How intents are controlled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffControl {
    /// As given.
    pub idempotency_prefix: String,
    /// Always `true`.
    pub requires_operator_confirmation: bool,
}

/// A policy evaluation, recognisable: its trace id and time, or, where either
/// is missing, the digest of the document (decision D17).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EvaluationIdentity {
    /// `traceId` of the policy state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// `updatedAt` of the policy state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// SHA-256 of the policy state file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// One control intent, made from one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffIntent {
    /// `<candidateId>:<intent>`.
    pub intent_id: String,
    /// The candidate's, else `<loopId>:<category>`.
    pub candidate_id: String,
    /// The loop, as the candidate has it.
    pub loop_id: String,
    /// As the candidate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// As the candidate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// As the candidate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<String>,
    /// As the candidate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// As the candidate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// What would be done.
    pub intent: String,
    /// The candidate's own; omitted if the intent follows from its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended_intent: Option<String>,
    /// Where it stands.
    pub status: IntentStatus,
    /// Always `true`.
    pub requires_operator_confirmation: bool,
    /// This run's.
    pub fleet_trace_id: TraceId,
    /// The policy evaluation's.
    pub policy_trace_id: TraceId,
    /// The candidate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_trace_id: Option<String>,
    /// Whether it may be dispatched without a person.
    pub autonomous: IntentAutonomy,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
    /// How the loop is reached.
    pub transport: TransportMode,
    /// Where its service is.
    pub service: IntentService,
    /// The registry's words about the loop.
    pub metadata: Map<String, Value>,
    /// What came of it; only if it was executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<IntentExecution>,
    /// Additive: the run that the candidate was judged in (decision D23).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Additive: the candidate's rank (decision D30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<Value>,
}

/// Whether an intent may be dispatched without a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IntentAutonomy {
    /// It may.
    pub eligible: bool,
    /// It needs a person.
    pub manual_only: bool,
    /// Why it needs one; sorted where something was added.
    pub reasons: Vec<String>,
}

impl IntentAutonomy {
    /// Takes autonomy away, for a reason.
    pub fn deny(&mut self, reason: AutonomyReason) {
        self.deny_all(&[reason]);
    }

    /// Takes autonomy away if there is any reason.
    pub fn deny_all(&mut self, reasons: &[AutonomyReason]) {
        if reasons.is_empty() {
            return;
        }
        let reasons = reasons.iter().map(|reason| reason.as_str());
        self.deny_named(reasons);
    }

    /// [`Self::deny_all`] by the names on the wire.
    pub fn deny_named<'a>(&mut self, reasons: impl IntoIterator<Item = &'a str>) {
        self.eligible = false;
        self.manual_only = true;
        self.reasons.extend(reasons.into_iter().map(str::to_owned));
        self.reasons.sort_unstable();
        self.reasons.dedup();
    }
}

/// Where a loop's service is; the retry settings are there for local loops
/// too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IntentService {
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Name of the variable with its token; never the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// Requests per call.
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub retry_attempts: Number,
    /// Seconds between them.
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub retry_backoff_seconds: Number,
}

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// Nobody has acted on it in this plan.
    PendingOperatorConfirmation,
    /// It was executed.
    Executed,
    /// It was executed or not: nobody knows.
    ExecutionAmbiguous,
    /// Its execution failed.
    ExecutionFailed,
}

impl IntentStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [
        Self::PendingOperatorConfirmation,
        Self::Executed,
        Self::ExecutionAmbiguous,
        Self::ExecutionFailed,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingOperatorConfirmation => "pending_operator_confirmation",
            Self::Executed => "executed",
            Self::ExecutionAmbiguous => "execution_ambiguous",
            Self::ExecutionFailed => "execution_failed",
        }
    }

    /// The guard that an intent gets that was left like this (decision D16).
    pub fn guard(self) -> Option<AutonomyReason> {
        match self {
            Self::ExecutionAmbiguous => Some(AutonomyReason::RetryGuardAmbiguous),
            Self::ExecutionFailed => Some(AutonomyReason::RetryGuardFailed),
            Self::PendingOperatorConfirmation | Self::Executed => None,
        }
    }
}

/// An intent whose last outcome was ambiguous or a failure: it is not
/// dispatched by itself until a person executes it, or its candidate is gone
/// (decision D16).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RetryGuard {
    /// The intent.
    pub intent_id: String,
    /// Its candidate.
    pub candidate_id: String,
    /// Its loop.
    pub loop_id: String,
    /// Whether the outcome was ambiguous or a failure.
    pub reason_code: AutonomyReason,
    /// Since when it is guarded.
    pub since: Timestamp,
    /// When it was executed last; `null` if a state of another tool does not
    /// say.
    pub last_executed_at: Option<Timestamp>,
    /// How it was executed last; `null` as above.
    pub execution_mode: Option<ExecutionMode>,
    /// The policy evaluation it was executed in; `null` as above.
    pub policy_trace_id: Option<String>,
}

/// The intents of a plan, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffSummary {
    /// Candidates of the policy state.
    pub candidate_count: u64,
    /// Those that are not suppressed.
    pub unsuppressed_candidate_count: u64,
    /// Intents.
    pub intent_count: u64,
    /// Those that may be dispatched without a person.
    pub auto_eligible_intent_count: u64,
    /// Those that need a person.
    pub manual_only_intent_count: u64,
    /// Nobody has acted on them.
    pub pending_confirmation_count: u64,
    /// Executed.
    pub executed_count: u64,
    /// Nobody knows.
    pub ambiguous_count: u64,
    /// Failed.
    pub failed_count: u64,
    /// Additive: pending ones that need a person (decision D30).
    #[serde(default)]
    pub pending_manual_only_count: u64,
}

/// What a plan comes to (chapter 06 §2.7), in order of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HandoffReason {
    /// There is an intent.
    FleetHandoffActionRequired,
    /// Some intent may be dispatched without a person.
    FleetHandoffAutoEligibleIntents,
    /// Some intent waits for a person.
    FleetHandoffConfirmationPending,
    /// Some intent was executed.
    FleetHandoffExecuted,
    /// Of some intent nobody knows.
    FleetHandoffExecutionAmbiguous,
    /// Some intent failed.
    FleetHandoffExecutionFailed,
    /// There is no intent.
    FleetHandoffNoAction,
    /// Some candidate has no intent.
    FleetHandoffPartialMapping,
    /// Some intent is guarded against repetition.
    FleetHandoffRetryGuarded,
    /// No candidate has an intent.
    FleetHandoffUnmappedCandidates,
}

/// A row of `telemetry/handoff.jsonl`: every run's plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffPlanRow {
    /// When the plan was made.
    pub timestamp: Timestamp,
    /// `fleet_handoff_plan`.
    pub category: PlanCategory,
    /// Which fleet.
    pub fleet_id: String,
    /// This run's.
    pub trace_id: TraceId,
    /// The policy evaluation's.
    pub mode: PolicyMode,
    /// The plan before anything was executed.
    pub summary: PlanRowSummary,
}

/// Tells plan rows from the others of their journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PlanCategory {
    /// The only one.
    #[default]
    #[serde(rename = "fleet_handoff_plan")]
    Plan,
}

/// The plan in its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanRowSummary {
    /// The counts.
    pub summary: HandoffSummary,
    /// What they come to.
    pub reason_codes: Vec<HandoffReason>,
    /// The policy evaluation's.
    pub policy_trace_id: TraceId,
}

/// A row of `telemetry/handoff.jsonl`: one execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffExecuteRow {
    /// When it was over.
    pub timestamp: Timestamp,
    /// `fleet_handoff_execute`.
    pub category: ExecuteCategory,
    /// Which fleet.
    pub fleet_id: String,
    /// The run's.
    pub trace_id: TraceId,
    /// All that was executed.
    pub execution: Execution,
    /// The plan after it.
    pub summary: ExecuteRowSummary,
}

/// Tells execute rows from the others of their journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ExecuteCategory {
    /// The only one.
    #[default]
    #[serde(rename = "fleet_handoff_execute")]
    Execute,
}

/// The plan after an execution, in its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExecuteRowSummary {
    /// The counts.
    pub summary: HandoffSummary,
    /// What they come to.
    pub reason_codes: Vec<HandoffReason>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn every_status_is_written_by_its_name() {
        for status in IntentStatus::ALL {
            assert_eq!(json::to_value(&status), status.as_str());
        }
    }

    #[test]
    fn autonomy_that_is_taken_away_says_why_once() {
        let mut autonomy = IntentAutonomy {
            eligible: true,
            manual_only: false,
            reasons: vec!["z".to_owned(), "a".to_owned()],
        };
        autonomy.deny_all(&[]);
        assert!(autonomy.eligible);
        assert_eq!(autonomy.reasons, ["z", "a"]);
        autonomy.deny(AutonomyReason::LoopFrozen);
        autonomy.deny(AutonomyReason::LoopFrozen);
        assert_eq!((autonomy.eligible, autonomy.manual_only), (false, true));
        assert_eq!(autonomy.reasons, ["a", "autonomous_loop_frozen", "z"]);
    }
}
