//! The operator's report on one loop (chapter 03 §3.5).

mod alerts;
mod sources;
mod traces;
mod visibility;

use om_model::envelope::{SchemaVersion, Source};
use om_model::json::{Lookup, WrongType};
use om_model::status::{
    StatusControl, StatusCursor, StatusFiles, StatusLifecycle, StatusReconcile, StatusReport,
    StatusTuning, StatusWarning, SummaryExcerpt,
};
use om_model::{Artifact, LoopId, Timestamp};
use om_store::Row;
use serde_json::{Value, json};

use sources::Sources;
use traces::Traces;

/// What a report is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusInputs {
    /// Which loop of which repository.
    pub source: Source,
    /// Effective paths, reported and used in messages.
    pub files: StatusFiles,
    /// Path of `control-pending.json`, which is not reported.
    pub control_pending_file: String,
    /// Whole documents.
    pub documents: StatusDocuments,
    /// Last rows.
    pub rows: StatusRows,
    /// Lines behind the recommendation, at least 1, echoed.
    pub summary_window: u64,
    /// The telemetry summary; `None` if there is none or its stage failed.
    pub summary: Option<Value>,
    /// Troubles met while gathering, e.g. the row that spoiled the summary.
    pub warnings: Vec<StatusWarning>,
}

/// The documents behind a report, as found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusDocuments {
    /// `state.json`
    pub state: Artifact,
    /// `cursor.json`
    pub cursor: Artifact,
    /// `health.json`
    pub health: Artifact,
    /// `heartbeat.json`
    pub heartbeat: Artifact,
    /// `sequence-state.json`
    pub sequence: Artifact,
    /// `profile-drift.json`
    pub drift: Artifact,
    /// `alert-dispatch-state.json`
    pub alert_dispatch: Artifact,
    /// `control-pending.json`
    pub control_pending: Artifact,
}

/// The last complete rows behind a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRows {
    /// Of `intents.jsonl`.
    pub intents: Option<LastRow>,
    /// Of `telemetry/control.jsonl`.
    pub control: Option<LastRow>,
    /// Of `telemetry/reconcile.jsonl`.
    pub reconcile: Option<LastRow>,
    /// Of `telemetry/heartbeat.jsonl`.
    pub heartbeat: Option<LastRow>,
    /// Of `telemetry/sequence.jsonl`.
    pub sequence: Option<LastRow>,
    /// Of `telemetry/control-invocations.jsonl`.
    pub invocation: Option<LastRow>,
    /// Of `telemetry/alerts.jsonl`.
    pub alert: Option<LastRow>,
}

/// The last complete line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRow {
    /// The line.
    pub row: Row,
    /// Its number, counted from 1. Only messages need it, so a caller may
    /// find it out just for rows that [need it](Self::needs_line).
    pub line: Option<u64>,
}

impl LastRow {
    /// A row whose line number is not known yet.
    pub fn new(row: Row) -> Self {
        Self { row, line: None }
    }

    /// Whether a message will be about this row, so that finding out its
    /// line number is worth a scan of the journal.
    pub fn needs_line(&self) -> bool {
        sources::is_troubled(&self.row.bytes)
    }
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Neither a state nor a health file.
    #[error("no status artifacts found for loop: {0}")]
    NoArtifacts(LoopId),
    /// A document is not JSON, or not of a type that can be used.
    #[error("invalid {name} JSON: {file}: {cause}; repair or remove the file")]
    Document {
        /// Which one, e.g. `heartbeat state`.
        name: &'static str,
        /// Its path.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A last row is JSON of a type that cannot be used.
    #[error(
        "invalid row in {file}{}: {cause}; repair or remove the row",
        .line.map_or_else(String::new, |line| format!(" line {line}"))
    )]
    Row {
        /// The journal.
        file: String,
        /// The line, if known.
        line: Option<u64>,
        /// What is wrong with it.
        cause: String,
    },
    /// The summary stage printed something that is no summary.
    #[error("telemetry summary stage printed an unusable document: {0}")]
    Summary(WrongType),
}

/// Makes the report.
pub fn evaluate(inputs: &StatusInputs, now: Timestamp) -> Result<StatusReport, StatusError> {
    let documents = &inputs.documents;
    if documents.state.is_absent() && documents.health.is_absent() {
        return Err(StatusError::NoArtifacts(inputs.source.loop_id.clone()));
    }
    let sources = Sources::open(inputs)?;
    let traces = Traces::gather(&sources)?;
    Ok(StatusReport {
        schema_version: SchemaVersion::V1,
        generated_at: now,
        source: inputs.source.clone(),
        lifecycle: lifecycle(&sources)?,
        health: health(&sources)?,
        cursor: StatusCursor {
            event_line_offset: position(&sources, "eventLineOffset")?,
            event_line_count: position(&sources, "eventLineCount")?,
        },
        control: control(&sources, &traces)?,
        reconcile: reconcile(&sources, &traces)?,
        visibility: visibility::build(&sources, &traces)?,
        tuning: tuning(inputs, &sources)?,
        drift: drift(&sources)?,
        alerts: alerts::build(&sources)?,
        trace_linkage: traces.linkage(),
        files: inputs.files.clone(),
        warnings: sources.warnings,
    })
}

fn lifecycle(sources: &Sources<'_>) -> Result<StatusLifecycle, StatusError> {
    let state = &sources.state;
    let name = state.first(&["transition.currentState", "projection.status"])?;
    Ok(StatusLifecycle {
        state: name.unwrap_or_else(|| json!("unknown")),
        confidence: state.get("transition.confidence")?,
        run_id: state.get("run.runId")?,
        iteration: state.get("run.iteration")?,
    })
}

/// The state's own health wins over the file, even if it is older.
fn health(sources: &Sources<'_>) -> Result<Option<Value>, StatusError> {
    let embedded = sources.state.get("health")?;
    Ok(embedded.or_else(|| match sources.health_document {
        None => Some(json!({})),
        Some(Value::Null) => None,
        Some(document) => Some(document.clone()),
    }))
}

fn position(sources: &Sources<'_>, member: &str) -> Result<Value, StatusError> {
    let found = match sources.cursor.get(member)? {
        Some(found) => Some(found),
        None => sources.state.get(&format!("cursor.{member}"))?,
    };
    Ok(found.unwrap_or_else(|| json!(0)))
}

fn control(sources: &Sources<'_>, traces: &Traces) -> Result<StatusControl, StatusError> {
    let intent = &sources.intents;
    Ok(StatusControl {
        last_intent: intent.get("intent")?,
        last_status: intent.get("status")?,
        last_requested_by: intent.get("requestedBy")?,
        last_timestamp: intent.get("timestamp")?,
        last_trace_id: traces.control.clone(),
        pending: sources.pending.clone(),
    })
}

fn reconcile(sources: &Sources<'_>, traces: &Traces) -> Result<StatusReconcile, StatusError> {
    let row = &sources.reconcile;
    Ok(StatusReconcile {
        last_status: row.get("status")?,
        last_timestamp: row.get("timestamp")?,
        last_transport: row.get("transport")?,
        last_failure_code: row.get("failureCode")?,
        last_duration_seconds: row.get("durationSeconds")?,
        last_trace_id: traces.reconcile.clone(),
    })
}

fn tuning(inputs: &StatusInputs, sources: &Sources<'_>) -> Result<StatusTuning, StatusError> {
    let applied = match sources.state.get("health.thresholds.profile")? {
        Some(profile) => Some(profile),
        None => sources.health.get("thresholds.profile")?,
    };
    let mut tuning = StatusTuning {
        summary_window: inputs.summary_window,
        applied_profile: applied,
        recommended_profile: None,
        confidence: None,
        rationale: None,
        telemetry_summary: None,
    };
    if let Some(summary) = inputs.summary.as_ref().filter(|summary| !summary.is_null()) {
        let lookup = Lookup::new(summary);
        let get = |member: &str| -> Result<Option<Value>, StatusError> {
            let found = lookup.get(member).map_err(StatusError::Summary)?;
            Ok(found.cloned())
        };
        tuning.recommended_profile = get("recommendedProfile")?;
        tuning.confidence = get("confidence")?;
        tuning.rationale = get("rationale")?;
        tuning.telemetry_summary = Some(SummaryExcerpt {
            observed: get("observed")?.unwrap_or_else(|| json!({})),
            source: get("source")?.unwrap_or_else(|| json!({})),
        });
    }
    Ok(tuning)
}

/// The drift file, passed through whole; else what the state says.
fn drift(sources: &Sources<'_>) -> Result<Option<Value>, StatusError> {
    match sources.drift_document {
        Some(document) if !document.is_null() => Ok(Some(document.clone())),
        _ => sources.state.get("drift"),
    }
}
