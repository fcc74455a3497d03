//! Dispatches as they are journaled before and after each, so that a crash
//! loses no outcome and repeats no action (issue of the fleet; decision D7).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EvaluationIdentity, ExecutionMode, HandoffState, OutcomeReason, OutcomeStatus};
use crate::envelope::SchemaVersion;
use crate::{Timestamp, TraceId};

/// Before or after the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DispatchPhase {
    /// Control is called next.
    Intent,
    /// This came of it.
    Outcome,
}

/// A row of `handoff-dispatch.jsonl`: two per dispatch, with one
/// `dispatchId`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DispatchRow {
    /// When the row was made.
    pub timestamp: Timestamp,
    /// The dispatch.
    pub dispatch_id: String,
    /// The run that it is part of.
    pub handoff_id: String,
    /// Before or after.
    pub phase: DispatchPhase,
    /// Who decided.
    pub mode: ExecutionMode,
    /// The intent.
    pub intent_id: String,
    /// Its loop.
    pub loop_id: String,
    /// What is to be done.
    pub intent: String,
    /// As used in the call.
    pub idempotency_key: String,
    /// Which attempt on the intent with this key it is, from 1.
    pub attempt: u64,
    /// The run's.
    pub trace_id: TraceId,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// Whether the intent may be dispatched without a person.
    pub autonomous_eligible: bool,
    /// Of an outcome: what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<OutcomeStatus>,
    /// Of an outcome: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<OutcomeReason>,
    /// Of an outcome: control's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_exit_code: Option<i64>,
    /// Of an outcome: what control printed, if it is a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Value>,
    /// Of an outcome: found out by a later run; omitted when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// The policy evaluation that the intent is planned from (decision D17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<EvaluationIdentity>,
}

/// What an execution was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffRequest {
    /// Who decides.
    pub mode: ExecutionMode,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// Before the first target.
    pub requested_at: Timestamp,
    /// As given.
    pub note: Option<String>,
}

/// `handoff-pending.json`: an execution that has begun and is not recorded
/// yet. There is none while no handoff runs, unless one died.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandoffPending {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// Names the run in `handoff-dispatch.jsonl`.
    pub handoff_id: String,
    /// What was asked for.
    pub request: HandoffRequest,
    /// Where the outcome belongs, absolute.
    pub handoff_state_file: String,
    /// Where its row belongs, absolute.
    pub handoff_telemetry_file: String,
    /// The plan that is executed.
    pub plan: HandoffState,
}
