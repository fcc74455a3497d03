//! The two observation envelopes: a snapshot of one loop, and one event.
//!
//! Contract: chapter 01 §4.5, §5.5, §7. Members without a value are written
//! as `null`, never omitted.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::{LoopId, Timestamp, TraceId};

/// The version of every document and envelope of this contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SchemaVersion {
    /// Version 1, the only one.
    #[default]
    V1,
}

/// What an envelope carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EnvelopeType {
    /// A point-in-time view of one loop.
    LoopRunSnapshot,
    /// One record of the event log.
    LoopRunEvent,
}

impl EnvelopeType {
    /// The name in the `envelopeType` member.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoopRunSnapshot => "loop_run_snapshot",
            Self::LoopRunEvent => "loop_run_event",
        }
    }
}

/// Lifecycle of a loop run (chapter 01 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// A pending approval blocks completion.
    AwaitingApproval,
    /// Completion is recorded in the run summary.
    Complete,
    /// The runtime says that this loop is executing.
    Running,
    /// The last event is a deliberate stop.
    Stopped,
    /// The last event has an error-like status.
    Failed,
    /// Artifacts exist, nothing executes, no completion.
    Idle,
    /// No trustworthy signal.
    Unknown,
}

impl RunStatus {
    /// Every status, in the order of the decision table.
    pub const ALL: [Self; 7] = [
        Self::AwaitingApproval,
        Self::Complete,
        Self::Running,
        Self::Stopped,
        Self::Failed,
        Self::Idle,
        Self::Unknown,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Complete => "complete",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
        }
    }
}

/// Which loop of which repository an artifact is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Absolute path of the repository, symlinks kept.
    pub repo_path: String,
    /// The loop.
    pub loop_id: LoopId,
}

/// Where a sequence value comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SequenceSource {
    /// The line number in the event log.
    #[default]
    CursorEventLineOffset,
}

/// A position that grows monotonically with the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sequence {
    /// Always the line offset.
    pub source: SequenceSource,
    /// Line number, counted from 1; 0 for an empty log.
    pub value: u64,
}

impl Sequence {
    /// The sequence of line `value`.
    pub fn line(value: u64) -> Self {
        Self {
            source: SequenceSource::default(),
            value,
        }
    }
}

/// Lines consumed and lines present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LineCursor {
    /// Lines consumed so far.
    pub event_line_offset: u64,
    /// Complete lines in the log.
    pub event_line_count: u64,
}

/// One loop at one moment, as the runtime left its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SnapshotEnvelope {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// `loop_run_snapshot`.
    pub envelope_type: EnvelopeType,
    /// When the envelope was made.
    pub emitted_at: Timestamp,
    /// The trace that asked for it.
    pub trace_id: Option<TraceId>,
    /// Which loop.
    pub source: Source,
    /// Run identity and lifecycle.
    pub run: SnapshotRun,
    /// The runtime's documents, verbatim.
    pub runtime: RuntimeDocuments,
    /// Evidence: the files that were read.
    pub artifacts: ArtifactRefs,
    /// Lines in the event log.
    pub sequence: Sequence,
    /// The same, as a cursor at the end.
    pub cursor: LineCursor,
    /// What the log and the summary say at a glance.
    pub health: SnapshotHealth,
}

/// Run identity and lifecycle of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRun {
    /// Start time of the run in ISO form, or `unknown`.
    pub run_id: String,
    /// The last *finished* iteration where a summary exists.
    pub iteration: Number,
    /// Lifecycle by the decision table of chapter 01 §4.4.
    pub status: RunStatus,
    /// The last entry of the run summary, verbatim.
    pub summary: Option<Value>,
}

/// The runtime's documents as found, `null` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RuntimeDocuments {
    /// `.superloop/state.json`, even if it is about another loop.
    pub superloop_state: Option<Value>,
    /// `.superloop/active-run.json`.
    pub active_run: Option<Value>,
    /// The loop's `approval.json`.
    pub approval: Option<Value>,
    /// The loop's `heartbeat.v1.json`.
    pub heartbeat: Option<Value>,
}

/// References to the six runtime files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ArtifactRefs {
    /// `events.jsonl`.
    pub events: ArtifactRef,
    /// `run-summary.json`.
    pub run_summary: ArtifactRef,
    /// `state.json`.
    pub state: ArtifactRef,
    /// `active-run.json`.
    pub active_run: ArtifactRef,
    /// `approval.json`.
    pub approval: ArtifactRef,
    /// `heartbeat.v1.json`.
    pub heartbeat: ArtifactRef,
}

/// One file as evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ArtifactRef {
    /// Path relative to the repository.
    pub path: String,
    /// Whether a regular file is there.
    pub exists: bool,
    /// Bytes; 0 when absent.
    pub size_bytes: u64,
    /// Newline characters; 0 when absent.
    pub line_count: u64,
    /// Lower-case hex; `null` when absent.
    pub sha256: Option<String>,
    /// Modification time in whole seconds since the epoch.
    pub mtime_epoch: Option<i64>,
}

/// What the log and the summary say at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SnapshotHealth {
    /// Complete lines in the event log.
    pub event_count: u64,
    /// Time of the last event as written, not checked.
    pub last_event_at: Option<String>,
    /// Name of the last event.
    pub last_event_name: Option<String>,
    /// When the run summary was last extended.
    pub last_summary_at: Option<String>,
    /// Whether an approval request is pending.
    pub has_pending_approval: bool,
    /// Gates of the last summary entry, verbatim.
    pub gates: Option<Value>,
    /// Stuck counters of the last summary entry, verbatim.
    pub stuck: Option<Value>,
}

/// One record of the event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventEnvelope {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// `loop_run_event`.
    pub envelope_type: EnvelopeType,
    /// When the envelope was made.
    pub emitted_at: Timestamp,
    /// The trace that asked for it.
    pub trace_id: Option<TraceId>,
    /// Which loop.
    pub source: Source,
    /// Line number of the record.
    pub sequence: Sequence,
    /// The same line number beside the length of the log.
    pub cursor: LineCursor,
    /// Run identity.
    pub run: EventRun,
    /// The record.
    pub event: EventBody,
}

/// Run identity of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventRun {
    /// As in the record, `unknown` when missing.
    pub run_id: String,
    /// As in the record, 0 when missing.
    pub iteration: Number,
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventBody {
    /// As written, not empty, not checked to be a date.
    pub timestamp: String,
    /// `event`, else `type`; not empty.
    pub name: String,
    /// Role, if any.
    pub role: Option<String>,
    /// Status, if any.
    pub status: Option<String>,
    /// Message, if any.
    pub message: Option<String>,
    /// `data`, verbatim.
    pub payload: Option<Value>,
    /// The whole record.
    pub raw: Value,
}

/// The loop's position in its event log: `cursor.json` (chapter 01 §5.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CursorDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// Absolute path of the repository.
    pub repo_path: String,
    /// The loop.
    pub loop_id: LoopId,
    /// The event log, relative to the repository.
    pub events_file: String,
    /// Line number of the last event that was consumed.
    pub event_line_offset: u64,
    /// Complete lines in the log at that time.
    pub event_line_count: u64,
    /// When the cursor moved.
    pub updated_at: Timestamp,
    /// Additive: where to seek, and how to recognise the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogPosition>,
}

/// A seekable position in an append-only log, and the log's identity.
///
/// Valid only for the line offset it names: a cursor that somebody edited
/// falls back to counting lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LogPosition {
    /// The line offset that `byteOffset` belongs to.
    pub line_offset: u64,
    /// Bytes up to and including that line.
    pub byte_offset: u64,
    /// Device number of the log.
    pub device: u64,
    /// Inode number of the log.
    pub inode: u64,
    /// Bytes covered by the digests: all complete lines that were seen.
    pub length: u64,
    /// Complete lines within `length`.
    pub line_count: u64,
    /// SHA-256 of the first bytes (up to 4,096) within `length`.
    pub head_sha256: String,
    /// SHA-256 of the last bytes (up to 4,096) within `length`.
    pub tail_sha256: String,
    /// Saved SHA-256 state over `length` bytes, so that hashing continues.
    pub digest_state: String,
}
