//! The queue of envelopes that wait for a person (§2.5.1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::Intent;
use crate::envelope::SchemaVersion;
use crate::fleet::handoff::{OutcomeReason, OutcomeStatus};
use crate::health::TransportMode;
use crate::horizon::{Contract, StateSource};
use crate::{LoopId, Timestamp, TraceId};

/// `horizon-bridge-queue.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HorizonQueue {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// Start of the bridge's last run.
    pub generated_at: Timestamp,
    /// The same, or when a person decided something since.
    pub updated_at: Timestamp,
    /// Of the bridge's last run.
    pub trace_id: TraceId,
    /// Where entries come from.
    pub source: QueueSource,
    /// By `createdAt`, packet and trace. Earlier ones are kept as they are,
    /// with what people and other tools added.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<QueueEntry>"))]
    pub intents: Vec<Value>,
    /// The entries, counted.
    pub summary: QueueSummary,
    /// Exactly one.
    pub reason_codes: [QueueReason; 1],
}

/// Where entries come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct QueueSource {
    /// The folders.
    #[serde(flatten)]
    pub folders: StateSource,
    /// What envelopes were checked against.
    pub contract: Contract,
}

/// One envelope, as an intent that a person has to confirm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct QueueEntry {
    /// `horizon-bridge:<packetId>:<slug of the intent>`; not unique if a
    /// packet is sent again under another trace id.
    pub intent_id: String,
    /// Of the packet.
    pub packet_id: String,
    /// Of the envelope.
    pub trace_id: String,
    /// For whom the packet is.
    pub recipient: Recipient,
    /// What is wanted, in the sender's words.
    pub intent: String,
    /// `pending_operator_confirmation` until a person decides; people and
    /// other tools may write anything.
    pub status: String,
    /// Always.
    pub requires_operator_confirmation: bool,
    /// Never.
    pub autonomous: EntryAutonomy,
    /// `horizon_outbox_contract_v1`.
    pub source: String,
    /// The claim that it came in.
    pub source_file: String,
    /// As sent.
    pub evidence_refs: Vec<Value>,
    /// Start of the run that queued it.
    pub created_at: Timestamp,
    /// The same, or when a person decided something.
    pub updated_at: Timestamp,
    /// Additive: what a person decided, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<EntryExecution>,
}

/// Where an entry stands: the words of a handoff, and one of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// Nobody has decided.
    PendingOperatorConfirmation,
    /// It was executed.
    Executed,
    /// It was executed or not: nobody knows.
    ExecutionAmbiguous,
    /// Its execution failed.
    ExecutionFailed,
    /// A person does not want it.
    RejectedByOperator,
}

impl EntryStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::PendingOperatorConfirmation,
        Self::Executed,
        Self::ExecutionAmbiguous,
        Self::ExecutionFailed,
        Self::RejectedByOperator,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingOperatorConfirmation => "pending_operator_confirmation",
            Self::Executed => "executed",
            Self::ExecutionAmbiguous => "execution_ambiguous",
            Self::ExecutionFailed => "execution_failed",
            Self::RejectedByOperator => "rejected_by_operator",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl From<OutcomeStatus> for EntryStatus {
    fn from(outcome: OutcomeStatus) -> Self {
        match outcome {
            OutcomeStatus::Executed => Self::Executed,
            OutcomeStatus::Ambiguous => Self::ExecutionAmbiguous,
            OutcomeStatus::Failed => Self::ExecutionFailed,
        }
    }
}

/// For whom a packet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recipient {
    /// E.g. `team`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Among those of its type.
    pub id: String,
}

/// Whether an entry may run by itself: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EntryAutonomy {
    /// `false`.
    pub eligible: bool,
    /// `true`.
    pub manual_only: bool,
    /// Why.
    pub reasons: [ManualReason; 1],
}

impl Default for EntryAutonomy {
    fn default() -> Self {
        Self {
            eligible: false,
            manual_only: true,
            reasons: [ManualReason::ManualConfirmationRequired],
        }
    }
}

/// Why an entry may not run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ManualReason {
    /// It came from outside.
    #[serde(rename = "horizon_bridge_manual_confirmation_required")]
    ManualConfirmationRequired,
}

/// The entries, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct QueueSummary {
    /// All.
    pub intent_count: u64,
    /// Those that wait for a person.
    pub pending_confirmation_count: u64,
}

/// What the queue comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum QueueReason {
    /// An entry waits for a person.
    #[serde(rename = "horizon_bridge_confirmation_pending")]
    ConfirmationPending,
    /// None does.
    #[serde(rename = "horizon_bridge_queue_empty")]
    QueueEmpty,
}

/// What a person decided about an entry (additive).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EntryExecution {
    /// How far it has come.
    pub phase: ExecutionPhase,
    /// How often this entry was executed, this time included.
    pub attempts: u64,
    /// Before control was called.
    pub started_at: Timestamp,
    /// After it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Who decided; may be empty.
    pub requested_by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The loop that is controlled.
    pub loop_id: LoopId,
    /// What is done to it.
    pub intent: Intent,
    /// How it is reached.
    pub transport: TransportMode,
    /// Links the rows of control.
    pub trace_id: TraceId,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
    /// What came of it; ambiguous until that is known.
    pub status: OutcomeStatus,
    /// Why.
    pub reason_code: OutcomeReason,
    /// The process that executes it: machine, boot, id and start.
    pub host: String,
    /// Its boot; empty where the system does not tell.
    pub boot_id: String,
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start: Option<u64>,
}

/// How far an execution has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutionPhase {
    /// Control is called; its outcome is not recorded.
    Begun,
    /// The outcome is recorded.
    Completed,
}
