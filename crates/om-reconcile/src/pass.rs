//! One supervision pass of one loop, step by step (chapter 02 §2.4).
//!
//! Each stage is a pure function whose result carries the [`Commit`] of what
//! was decided so far. A hook is a barrier: before it runs, the caller takes
//! that commit and applies it. Without hooks the commits add up to one.
//!
//! ```text
//! observe → health → record → (summary) → drift → close → alert dispatch
//!           hook?             hook?       hook?
//! ```

mod abort;
mod close;
mod observe;
mod record;
mod writes;

use std::path::PathBuf;

use om_model::drift::Confidence;
use om_model::envelope::{CursorDocument, Source};
use om_model::health::TransportMode;
use om_model::observation::{EventBatch, TelemetryCategory};
use om_model::state::{AlertStageFailureRow, FailureCode};
use om_model::thresholds::HealthThresholds;
use om_model::{Artifact, LoopId, Timestamp, TraceId};
use om_stage::{FAILURE_TAIL_LINES, last_lines};
use serde_json::Value;

#[doc(no_inline)]
pub use om_store::Commit;

pub use abort::HardAbort;
pub use close::{Closed, DriftOutcome, DriftRequest, close, drift, drift_request};
pub use observe::{Observed, health, observe};
pub use record::{Recorded, record};

/// The files of a pass, reported verbatim and written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassPaths {
    /// `state.json`
    pub state: PathBuf,
    /// `cursor.json`
    pub cursor: PathBuf,
    /// `health.json`
    pub health: PathBuf,
    /// `intents.jsonl`, read only.
    pub intents: PathBuf,
    /// `heartbeat.json`
    pub heartbeat_state: PathBuf,
    /// `telemetry/heartbeat.jsonl`
    pub heartbeat_rows: PathBuf,
    /// `sequence-state.json`
    pub sequence_state: PathBuf,
    /// `telemetry/sequence.jsonl`
    pub sequence_rows: PathBuf,
    /// `escalations.jsonl`
    pub escalations: PathBuf,
    /// `telemetry/reconcile.jsonl`
    pub reconcile_rows: PathBuf,
    /// `telemetry/control.jsonl`, read only.
    pub control_rows: PathBuf,
    /// `telemetry/transport-health.json`
    pub transport_health: PathBuf,
    /// `profile-drift.json`
    pub drift_state: PathBuf,
    /// `telemetry/profile-drift.jsonl`
    pub drift_history: PathBuf,
    /// `alert-dispatch-state.json`, for the dispatch stage.
    pub alert_dispatch_state: PathBuf,
    /// `telemetry/alerts.jsonl`, for the dispatch stage and its failure row.
    pub alert_rows: PathBuf,
}

/// What the operator asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassSettings {
    /// How the loop is reached.
    pub transport: TransportMode,
    /// Most events of one pass; 0 is unlimited.
    pub max_events: u64,
    /// Start at the beginning of the event log.
    pub from_start: bool,
    /// Attempts per HTTP request, at least 1; recorded on both transports.
    pub retry_attempts: u64,
    /// Seconds between attempts; recorded on both transports.
    pub retry_backoff_seconds: u64,
    /// What is late, and under which profile's name.
    pub thresholds: HealthThresholds,
    /// How sure a recommendation has to be.
    pub drift_min_confidence: Confidence,
    /// Eligible mismatches in a row before drift is active, at least 1.
    pub drift_required_streak: u64,
    /// Lines behind a recommendation, at least 1.
    pub drift_summary_window: u64,
    /// The catalog, as it is reported.
    pub thresholds_file: String,
}

/// Who runs the pass, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassContext {
    /// When the pass started.
    pub started_at: Timestamp,
    /// Now; a caller may read the clock again for every stage.
    pub now: Timestamp,
    /// The pass.
    pub trace_id: TraceId,
}

/// What earlier passes left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prior {
    /// `health.json`
    pub health: Artifact,
    /// `state.json`
    pub state: Artifact,
    /// `telemetry/transport-health.json`
    pub transport_health: Artifact,
    /// `sequence-state.json`
    pub sequence: Artifact,
    /// `heartbeat.json`
    pub heartbeat: Artifact,
    /// The last complete line of `intents.jsonl`.
    pub last_intent: Option<Vec<u8>>,
    /// Line offset in `cursor.json`; 0 if absent or unusable.
    pub cursor_offset: u64,
}

/// What the transport delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The snapshot envelope.
    pub snapshot: Value,
    /// The events since the cursor, reduced.
    pub batch: EventBatch,
    /// The cursor behind them.
    pub cursor: CursorDocument,
}

/// Why the transport delivered nothing usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestFailure {
    /// Which stage failed, and how.
    pub code: FailureCode,
    /// Its diagnostics, as its command would have printed them.
    pub message: String,
    /// Envelopes seen before it failed.
    pub events_ingested: u64,
}

/// Everything a pass is decided from.
#[derive(Clone, Debug, PartialEq)]
pub struct PassInputs {
    /// Which loop of which repository.
    pub source: Source,
    /// Where results go.
    pub paths: PassPaths,
    /// The directory that the projection names as its evidence: base names
    /// `snapshot.json` and `events.ndjson`. Volatile.
    pub evidence_dir: PathBuf,
    /// What the operator asked for.
    pub settings: PassSettings,
    /// What earlier passes left behind.
    pub prior: Prior,
    /// What was observed, or why nothing was.
    pub ingest: Result<Observation, IngestFailure>,
}

/// The row for an alert dispatch stage that exited non-zero after printing
/// `output` (chapter 02 §2.6.7). It goes to [`PassPaths::alert_rows`].
pub fn alert_failure_row(
    loop_id: &LoopId,
    context: &PassContext,
    output: &[u8],
) -> AlertStageFailureRow {
    AlertStageFailureRow {
        timestamp: context.now,
        loop_id: loop_id.clone(),
        trace_id: context.trace_id.clone(),
        category: TelemetryCategory::AlertDispatch,
        status: "failed_command".to_owned(),
        reason_code: "alert_dispatch_failed".to_owned(),
        message: Some(last_lines(output, FAILURE_TAIL_LINES)).filter(|message| !message.is_empty()),
    }
}
