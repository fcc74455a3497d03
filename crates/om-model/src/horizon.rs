//! The Horizon bridge: envelopes, queue and audit rows (chapter 08 part I).

mod queue;
mod rows;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::envelope::SchemaVersion;
use crate::{Timestamp, TraceId};

pub use queue::{
    EntryAutonomy, EntryExecution, EntryStatus, ExecutionPhase, HorizonQueue, ManualReason,
    QueueEntry, QueueReason, QueueSource, QueueSummary, Recipient,
};
pub use rows::{
    BridgeRow, ContractCode, FileCategory, FileRow, FileStatus, FileSummary, InvalidLine,
    OperatorAction, OperatorCategory, OperatorControl, OperatorRow, RowFiles, RunCategory, RunRow,
};

/// The contract that envelopes follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Contract {
    /// Version 1, the only one.
    #[default]
    #[serde(rename = "horizon-envelope-contract-v1")]
    V1,
}

/// `horizon-bridge-state.json`, and what the bridge prints (§2.5.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BridgeState {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// Start of the run.
    pub generated_at: Timestamp,
    /// Start of the run.
    pub updated_at: Timestamp,
    /// Of the run.
    pub trace_id: TraceId,
    /// How the run ended.
    pub status: BridgeStatus,
    /// What envelopes were checked against.
    pub contract: Contract,
    /// Where files came from and went to.
    pub source: StateSource,
    /// The files of this run.
    pub files: StateFiles,
    /// This run, counted.
    pub summary: BridgeSummary,
    /// Envelopes that are known.
    pub dedupe: Dedupe,
    /// What the run did, sorted.
    pub reason_codes: Vec<BridgeReason>,
    /// The state before it.
    pub observed: Observed,
    /// Additive: files of the last hour that are looked at again, in case
    /// somebody still had them open when they were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<WatchedClaim>,
}

/// How a run of the bridge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BridgeStatus {
    /// No file was rejected.
    Ok,
    /// At least one file was.
    FailedContractValidation,
}

/// Where files came from and went to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StateSource {
    /// Absolute.
    pub outbox_dir: String,
    /// Absolute.
    pub claims_dir: String,
}

/// The files of a run; claims are named relative to the folder of their kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StateFiles {
    /// Absolute.
    pub queue_file: String,
    /// Absolute.
    pub state_file: String,
    /// Absolute.
    pub telemetry_file: String,
    /// Every file that was taken, in order.
    pub claimed: Vec<String>,
    /// Those whose envelopes are all valid.
    pub processed: Vec<String>,
    /// The others.
    pub rejected: Vec<String>,
    /// Additive: files left for later, because somebody may still be writing
    /// their last line (decision D8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<String>,
}

/// A run, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BridgeSummary {
    /// Files taken.
    pub claimed_file_count: u64,
    /// Files whose envelopes are all valid.
    pub processed_file_count: u64,
    /// The others.
    pub rejected_file_count: u64,
    /// New entries of the queue.
    pub queued_envelope_count: u64,
    /// Known envelopes in processed files.
    pub duplicate_envelope_count: u64,
    /// Invalid lines.
    pub invalid_envelope_count: u64,
    /// Entries of the whole queue that wait for a person.
    pub pending_confirmation_count: u64,
}

/// Envelopes that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Dedupe {
    /// Length of `keys`.
    pub key_count: u64,
    /// `<packetId>::<traceId>`, sorted; never shrinks.
    pub keys: Vec<String>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BridgeReason {
    /// A file was taken.
    #[serde(rename = "horizon_bridge_claimed_files")]
    ClaimedFiles,
    /// A file was rejected.
    #[serde(rename = "horizon_bridge_contract_validation_failed")]
    ContractValidationFailed,
    /// Known envelopes came again.
    #[serde(rename = "horizon_bridge_duplicates_skipped")]
    DuplicatesSkipped,
    /// No file was taken.
    #[serde(rename = "horizon_bridge_no_outbox_files")]
    NoOutboxFiles,
    /// The queue has new entries.
    #[serde(rename = "horizon_bridge_queue_updated")]
    QueueUpdated,
}

/// The state before a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Whether there was one.
    pub had_previous_state: bool,
    /// Its status as it was; `null` without one.
    pub previous_status: Value,
    /// Its time as it was; `null` without one.
    pub previous_updated_at: Value,
}

/// A file that was taken not long ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WatchedClaim {
    /// Relative to the claims folder.
    pub file: String,
    /// How much of it has been read.
    pub bytes: u64,
    /// When it was taken.
    pub since: Timestamp,
}
