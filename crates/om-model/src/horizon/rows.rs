//! Rows of `telemetry/horizon-bridge.jsonl` (§2.5.3).

use serde::{Deserialize, Serialize};

use crate::control::{ControlStatus, Intent};
use crate::fleet::handoff::OutcomeReason;
use crate::health::TransportMode;
use crate::horizon::{BridgeReason, BridgeStatus, BridgeSummary, Contract, EntryStatus};
use crate::{LoopId, Timestamp, TraceId};

/// One row of the bridge's journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum BridgeRow {
    /// A file.
    File(FileRow),
    /// A run.
    Run(RunRow),
    /// A decision of a person.
    Operator(Box<OperatorRow>),
}

/// Declares a `category` of one value.
macro_rules! category {
    ($name:ident, $wire:literal) => {
        /// Tells the rows of the journal apart.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            /// The only one.
            #[default]
            #[serde(rename = $wire)]
            Only,
        }
    };
}

category!(FileCategory, "horizon_bridge_file");
category!(RunCategory, "horizon_bridge_run");
category!(OperatorCategory, "horizon_bridge_operator");

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FileRow {
    /// Start of the run.
    pub timestamp: Timestamp,
    /// `horizon_bridge_file`.
    pub category: FileCategory,
    /// Of the run.
    pub trace_id: TraceId,
    /// What became of it.
    pub status: FileStatus,
    /// The claim.
    pub source_file: String,
    /// Where it is now, relative to the claims folder.
    pub claim_target: String,
    /// Its lines, counted.
    pub summary: FileSummary,
    /// Why it was rejected: that of the last invalid line.
    pub reason_codes: Vec<ContractCode>,
    /// Additive: its first invalid lines, at most a hundred (decision D9).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_lines: Vec<InvalidLine>,
}

/// A line that breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InvalidLine {
    /// Counted from 1.
    pub line: u64,
    /// Why.
    pub reason_code: ContractCode,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// All its envelopes are valid.
    Processed,
    /// A line is not; nothing of it was queued.
    RejectedContract,
}

/// The lines of a file, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FileSummary {
    /// All, blank ones included.
    pub line_count: u64,
    /// Valid and new; of rejected files too.
    pub queued_count: u64,
    /// Valid and known; of rejected files too.
    pub duplicate_count: u64,
    /// Not valid.
    pub invalid_count: u64,
}

/// Why a line breaks the contract (§2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ContractCode {
    /// It is not JSON.
    #[serde(rename = "contract_invalid_json")]
    InvalidJson,
    /// A required member is missing.
    #[serde(rename = "contract_required_field_missing")]
    RequiredFieldMissing,
    /// Another version.
    #[serde(rename = "contract_schema_version_unsupported")]
    SchemaVersionUnsupported,
    /// `evidenceRefs` is not an array.
    #[serde(rename = "contract_evidence_refs_not_array")]
    EvidenceRefsNotArray,
}

/// One run of the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RunRow {
    /// Start of the run.
    pub timestamp: Timestamp,
    /// `horizon_bridge_run`.
    pub category: RunCategory,
    /// Of the run.
    pub trace_id: TraceId,
    /// As in the state.
    pub status: BridgeStatus,
    /// What envelopes were checked against.
    pub contract: Contract,
    /// What the run wrote.
    pub files: RowFiles,
    /// As in the state.
    pub summary: BridgeSummary,
    /// As in the state.
    pub reason_codes: Vec<BridgeReason>,
}

/// What a run wrote; absolute paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RowFiles {
    /// The state.
    pub state_file: String,
    /// The queue.
    pub queue_file: String,
    /// This journal.
    pub telemetry_file: String,
}

/// What a person decided about an entry of the queue (additive).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OperatorRow {
    /// When the row was made, after the execution.
    pub timestamp: Timestamp,
    /// `horizon_bridge_operator`.
    pub category: OperatorCategory,
    /// Links this row with those of control.
    pub trace_id: TraceId,
    /// What was decided.
    pub action: OperatorAction,
    /// The status that the entry has now.
    pub status: EntryStatus,
    /// The status that it had before.
    pub previous_status: String,
    /// Which entry.
    pub intent_id: String,
    /// Which entry.
    pub packet_id: String,
    /// Which entry: the trace id of its envelope.
    pub envelope_trace_id: String,
    /// Who decided; may be empty.
    pub requested_by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was executed; omitted for a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<OperatorControl>,
    /// The process that executed it died before it could record the outcome.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperatorAction {
    /// Execute it.
    Approve,
    /// Never execute it.
    Reject,
}

/// What was executed for an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OperatorControl {
    /// The loop.
    pub loop_id: LoopId,
    /// What was done to it.
    pub intent: Intent,
    /// How it was reached.
    pub transport: TransportMode,
    /// Before control was called.
    pub started_at: Timestamp,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
    /// Why the entry has its status.
    pub reason_code: OutcomeReason,
    /// What control said; omitted if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ControlStatus>,
    /// Of control; omitted if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// Whether the effect was seen.
    pub confirmed: bool,
}
