//! What was executed, and what came of it (chapter 06 §2.5.1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::IntentStatus;
use crate::fleet::policy::AutonomyReason;
use crate::{Timestamp, TraceId};

/// Who decides about each target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExecutionMode {
    /// A person did.
    Manual,
    /// The guardrails do.
    Autonomous,
}

impl ExecutionMode {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Autonomous => "autonomous",
        }
    }
}

/// What became of one dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OutcomeStatus {
    /// Control did it.
    Executed,
    /// Nobody knows.
    Ambiguous,
    /// It failed.
    Failed,
}

impl OutcomeStatus {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Executed, Self::Ambiguous, Self::Failed];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Ambiguous => "ambiguous",
            Self::Failed => "failed",
        }
    }

    /// Where it leaves the intent.
    pub fn intent_status(self) -> IntentStatus {
        match self {
            Self::Executed => IntentStatus::Executed,
            Self::Ambiguous => IntentStatus::ExecutionAmbiguous,
            Self::Failed => IntentStatus::ExecutionFailed,
        }
    }
}

/// Why a dispatch has its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutcomeReason {
    /// Control succeeded, confirmed or not.
    ControlConfirmed,
    /// Control does not know, or nobody knows what control did.
    ControlAmbiguous,
    /// Control failed.
    ControlFailedCommand,
    /// There is no service to ask.
    MissingServiceBaseUrl,
}

impl OutcomeReason {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlConfirmed => "control_confirmed",
            Self::ControlAmbiguous => "control_ambiguous",
            Self::ControlFailedCommand => "control_failed_command",
            Self::MissingServiceBaseUrl => "missing_service_base_url",
        }
    }
}

/// One run's execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Who decided.
    pub mode: ExecutionMode,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// Before the first target.
    pub requested_at: Timestamp,
    /// After the last one.
    pub completed_at: Timestamp,
    /// As given; `null` without one.
    pub note: Option<String>,
    /// Dispatches attempted (decision D15).
    pub requested_intent_count: u64,
    /// Dispatches with a result.
    pub executed_intent_count: u64,
    /// Results by status.
    pub executed_count: u64,
    /// Results by status.
    pub ambiguous_count: u64,
    /// Results by status.
    pub failed_count: u64,
    /// In the order of execution.
    pub results: Vec<ResultRow>,
    /// Additive: entries of `withheld`.
    #[serde(default)]
    pub withheld_count: u64,
    /// Additive: targets that the last look kept back (decision D15).
    #[serde(default)]
    pub withheld: Vec<Withheld>,
    /// Additive: names the run in `handoff-dispatch.jsonl`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub handoff_id: String,
    /// Additive: targets that nobody came to, because the run was asked to
    /// end; omitted when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_attempted: Vec<String>,
    /// Additive: the run died, and a later one recorded this from the dispatch
    /// journal; omitted when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// What became of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ResultRow {
    /// The intent.
    pub intent_id: String,
    /// Its loop.
    pub loop_id: String,
    /// What was to be done.
    pub intent: String,
    /// The run's.
    pub trace_id: TraceId,
    /// As used.
    pub idempotency_key: String,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// When control was over.
    pub executed_at: Timestamp,
    /// What became of it.
    pub status: OutcomeStatus,
    /// Why.
    pub reason_code: OutcomeReason,
    /// Who decided.
    pub execution_mode: ExecutionMode,
    /// Whether the intent may be dispatched without a person.
    pub autonomous_eligible: bool,
    /// Control's exit code.
    pub control_exit_code: i64,
    /// What control printed, if it is a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Value>,
    /// Additive: names the dispatch in `handoff-dispatch.jsonl`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dispatch_id: String,
    /// Additive: found out afterwards, because the run that acted died;
    /// omitted when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// A target that the last look kept back (decision D15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Withheld {
    /// The intent.
    pub intent_id: String,
    /// Its loop.
    pub loop_id: String,
    /// The first reason found.
    pub reason_code: AutonomyReason,
}

/// What came of an intent, in its place in the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IntentExecution {
    /// Who decided.
    pub mode: ExecutionMode,
    /// When control was over.
    pub executed_at: Timestamp,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// What became of it.
    pub status: OutcomeStatus,
    /// Why.
    pub reason_code: OutcomeReason,
    /// The run's.
    pub trace_id: TraceId,
    /// As used.
    pub idempotency_key: String,
    /// Omitted when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub autonomous_eligible: bool,
    /// Control's exit code.
    pub control_exit_code: i64,
    /// `control.status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_status: Option<String>,
    /// `control.confirmed`; omitted when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
}
