//! Control intents: what was asked, what was executed, what was confirmed
//! (chapter 03 §3.1.5, §3.2.5; decisions D7, D13, D23).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::envelope::SchemaVersion;
use crate::health::TransportMode;
use crate::{LoopId, Timestamp, TraceId};

/// What an operator wants of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// Stop it.
    Cancel,
    /// Approve the pending candidate.
    Approve,
    /// Reject the pending candidate.
    Reject,
}

impl Intent {
    /// Every intent.
    pub const ALL: [Self; 3] = [Self::Cancel, Self::Approve, Self::Reject];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    /// Reads the name on the wire, case-sensitively.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.as_str() == text)
    }
}

/// Final status of an intent. A service may report others, which are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControlStatus {
    /// Executed, and its effect was seen.
    Confirmed,
    /// Executed; nobody asked for its effect.
    ExecutedUnconfirmed,
    /// Executed or not, and no effect was seen.
    Ambiguous,
    /// The command failed.
    FailedCommand,
    /// What a service said, verbatim.
    #[serde(untagged)]
    Other(String),
}

impl ControlStatus {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Confirmed => "confirmed",
            Self::ExecutedUnconfirmed => "executed_unconfirmed",
            Self::Ambiguous => "ambiguous",
            Self::FailedCommand => "failed_command",
            Self::Other(text) => text,
        }
    }

    /// Reads the name on the wire.
    pub fn read(text: &str) -> Self {
        let known = [
            Self::Confirmed,
            Self::ExecutedUnconfirmed,
            Self::Ambiguous,
            Self::FailedCommand,
        ];
        let found = known.into_iter().find(|status| status.as_str() == text);
        found.unwrap_or_else(|| Self::Other(text.to_owned()))
    }

    /// The exit code of the control command: 0, 2 for ambiguous, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Confirmed | Self::ExecutedUnconfirmed => 0,
            Self::Ambiguous => 2,
            Self::FailedCommand | Self::Other(_) => 1,
        }
    }
}

/// Why an intent was not confirmed, or should not be trusted blindly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ControlReasonCode {
    /// The outcome is unknown.
    ControlAmbiguous,
    /// The command failed.
    ControlFailedCommand,
    /// The command would have hit another loop (decision D23).
    ControlTargetMismatch,
}

/// Whether the command ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    /// It ran and reported success.
    Succeeded,
    /// It failed.
    FailedCommand,
    /// It may have run: the manager died before it knew (decision D7), or
    /// ended it for exceeding its time limit (decision D13).
    Unknown,
}

/// Whether the effect was looked for and seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConfirmationStatus {
    /// It was seen.
    Confirmed,
    /// It was looked for and not seen.
    Ambiguous,
    /// Nobody asked.
    Skipped,
    /// There was nothing to look for.
    NotAttempted,
    /// A service looked, with a result that it did not name.
    AttemptedUnknown,
}

/// One row of `intents.jsonl`, and what the control command prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IntentRow {
    /// When the row was made, after execution and confirmation.
    pub timestamp: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// What was asked.
    pub intent: Intent,
    /// Links the rows of one intent.
    pub trace_id: TraceId,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// Final status.
    pub status: ControlStatus,
    /// Additive: [`ControlReasonCode::ControlTargetMismatch`] only; the others
    /// follow from the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<ControlReasonCode>,
    /// The command line or request, for people.
    pub command: String,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
    /// Of the command.
    pub exit_code: i64,
    /// Of the confirmation, 0 without one.
    pub confirm_exit_code: i64,
    /// Whether the effect was seen.
    pub confirmed: bool,
    /// The last lines of the command's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_output: Option<String>,
    /// The confirmation's verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Value>,
    /// Additive: a target check was overridden (decision D23).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced_target: bool,
    /// Additive: made from an entry without an outcome (decision D7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// One row of `telemetry/control.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControlRow {
    /// Completion.
    pub timestamp: Timestamp,
    /// Start.
    pub started_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// What was asked.
    pub intent: Intent,
    /// Links the rows of one intent.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// Final status.
    pub status: ControlStatus,
    /// Omitted unless ambiguous or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<ControlReasonCode>,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// Of the command.
    pub exit_code: i64,
    /// Of the confirmation.
    pub confirm_exit_code: i64,
    /// Whether the effect was seen.
    pub confirmed: bool,
    /// Whole seconds.
    pub duration_seconds: u64,
    /// As configured, for both transports.
    pub retry_attempts: u64,
    /// As configured, in seconds.
    pub retry_backoff_seconds: u64,
    /// Additive: made from an entry without an outcome (decision D7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// One row of `telemetry/control-invocations.jsonl`: the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControlInvocationRow {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// Completion.
    pub timestamp: Timestamp,
    /// Start.
    pub started_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// What was asked.
    pub intent: Intent,
    /// Links the rows of one intent.
    pub trace_id: TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// Who asked; may be empty.
    pub requested_by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
    /// What was configured.
    pub request: ControlRequestSettings,
    /// What was executed.
    pub execution: InvocationExecution,
    /// What was confirmed.
    pub confirmation: InvocationConfirmation,
    /// How it ended.
    pub outcome: InvocationOutcome,
    /// Additive: made from an entry without an outcome (decision D7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// Configuration of one control invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControlRequestSettings {
    /// Whether the effect is looked for.
    pub do_confirm: bool,
    /// How long, in seconds.
    pub timeout_seconds: u64,
    /// How often, in seconds.
    pub interval_seconds: u64,
    /// Requests per service call.
    pub retry_attempts: u64,
    /// Seconds between them.
    pub retry_backoff_seconds: u64,
    /// Additive: how long the runtime's command may take, in seconds; 0 is
    /// unlimited (decision D13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_timeout_seconds: Option<u64>,
    /// Additive: act even if the command would hit another loop (decision
    /// D23).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force_target: bool,
}

/// What was executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InvocationExecution {
    /// Result.
    pub status: ExecutionStatus,
    /// Of the command.
    pub exit_code: i64,
    /// The command line or request.
    pub command: String,
    /// The last lines of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// A service answered from its store.
    pub replayed: bool,
}

/// What was confirmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InvocationConfirmation {
    /// Whether the effect was looked for.
    pub attempted: bool,
    /// Result.
    pub status: ConfirmationStatus,
    /// Of the confirmation.
    pub exit_code: i64,
    /// Its verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Value>,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InvocationOutcome {
    /// Final status.
    pub status: ControlStatus,
    /// Whether the effect was seen.
    pub confirmed: bool,
    /// Omitted unless ambiguous or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<ControlReasonCode>,
    /// Whole seconds.
    pub duration_seconds: u64,
}

/// `control-pending.json`: intents that were begun (decision D7).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControlPending {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// One entry per intent without an outcome.
    #[serde(default)]
    pub pending: Vec<PendingIntent>,
}

/// An intent that was begun and whose outcome is not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingIntent {
    /// Unique id of this execution.
    pub control_id: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// What was asked.
    pub intent: Intent,
    /// How the loop was to be reached.
    pub transport: TransportMode,
    /// Links the rows of one intent.
    pub trace_id: TraceId,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was configured.
    pub request: ControlRequestSettings,
    /// The command line or request.
    pub command: String,
    /// The machine of the process that began it.
    pub host: String,
    /// Its boot; empty where the system does not tell.
    pub boot_id: String,
    /// Its id.
    pub pid: u32,
    /// Additive: when it started, in clock ticks since boot, so that a reused
    /// id is not taken for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start: Option<u64>,
    /// Additive: it was executed, but its outcome could not be recorded, and
    /// its process has given up: nobody works on it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

/// Why a confirmation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConfirmReason {
    /// The loop is neither active nor running.
    InactiveNotRunning,
    /// The loop completed.
    CompletionObserved,
    /// The rejection is recorded.
    RejectionObserved,
    /// Nothing was seen in time.
    Timeout,
}

/// What `ops-manager-confirm-intent` prints. Nulls are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConfirmVerdict {
    /// What was asked.
    pub intent: Intent,
    /// Whether its effect was seen.
    pub confirmed: bool,
    /// Why the confirmation ended.
    pub reason: ConfirmReason,
    /// Snapshots tried, failed ones included; at least 1.
    pub attempts: u64,
    /// As configured.
    pub timeout_seconds: u64,
    /// Last seen, else `unknown`.
    pub observed_status: String,
    /// Last seen.
    pub observed_last_event: Option<String>,
    /// Last seen.
    pub observed_approval_status: Option<String>,
    /// Last seen.
    pub observed_active: bool,
    /// When the verdict was made.
    pub observed_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_status_of_a_service_is_kept_verbatim() {
        for text in [
            "confirmed",
            "executed_unconfirmed",
            "ambiguous",
            "failed_command",
            "odd",
        ] {
            let status = ControlStatus::read(text);
            assert_eq!(status.as_str(), text);
            let written = serde_json::to_value(&status).expect("serialises");
            assert_eq!(written, Value::from(text));
            let read: ControlStatus = serde_json::from_value(written).expect("reads back");
            assert_eq!(read, status);
        }
    }

    #[test]
    fn exit_codes_follow_the_status() {
        for (text, code) in [
            ("confirmed", 0),
            ("executed_unconfirmed", 0),
            ("ambiguous", 2),
            ("failed_command", 1),
            ("executed", 1),
        ] {
            assert_eq!(ControlStatus::read(text).exit_code(), code, "{text}");
        }
    }
}
