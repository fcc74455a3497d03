//! How a loop is doing, with reason codes (chapter 02 §3).

mod facts;
mod outcome;
mod rules;

use om_model::envelope::SchemaVersion;
use om_model::health::{
    HealthDocument, HealthReason, HealthReasonCode, HealthStatus, HealthTransport, IngestStatus,
    Severity, TransportMode,
};
use om_model::json::WrongType;
use om_model::thresholds::HealthThresholds;
use om_model::{Artifact, Timestamp, TraceId};

pub use outcome::HealthOutcome;
pub use rules::FAILURE_REASONS;

/// How a stored heartbeat lag is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatFreshness {
    /// The stored lag is current: this pass observed it, or the caller wants
    /// what the file says (`ops-manager-health`).
    #[default]
    AsStored,
    /// This pass observed no heartbeat, so the time of the last one is aged
    /// against now (decision D25).
    NotObserved,
}

/// What health is evaluated from.
#[derive(Clone, Debug)]
pub struct HealthInputs<'a> {
    /// `state.json`.
    pub state: &'a Artifact,
    /// Its path, for messages.
    pub state_file: &'a str,
    /// `heartbeat.json`.
    pub heartbeat: &'a Artifact,
    /// Its path, for messages.
    pub heartbeat_file: &'a str,
    /// `sequence-state.json`.
    pub sequence: &'a Artifact,
    /// Its path, for messages.
    pub sequence_file: &'a str,
    /// `telemetry/transport-health.json`.
    pub transport_health: &'a Artifact,
    /// Its path, for messages.
    pub transport_health_file: &'a str,
    /// The last line of `intents.jsonl`.
    pub last_intent: Option<&'a [u8]>,
    /// The pass.
    pub trace_id: Option<TraceId>,
    /// How the loop was reached; a label.
    pub transport: TransportMode,
    /// What is late.
    pub thresholds: HealthThresholds,
    /// Whether this pass could observe the loop.
    pub ingest_status: IngestStatus,
    /// Why not; any text. Empty counts as none.
    pub failure_code: Option<String>,
    /// How to read the stored heartbeat lag.
    pub heartbeat_observed: HeartbeatFreshness,
    /// What to write as `updatedAt`: `--now` verbatim, or the clock.
    pub updated_at: String,
    /// What lags are measured against.
    pub now: Timestamp,
}

/// Why health cannot be evaluated (chapter 02 §3.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// A file is not one JSON document.
    #[error("invalid {source_name} JSON: {file}: {cause}; repair or remove the file")]
    Malformed {
        /// Which document, e.g. `heartbeat state`.
        source_name: HealthSource,
        /// Its path.
        file: String,
        /// The parser's message.
        cause: String,
    },
    /// A file is JSON, with a type that cannot be used.
    #[error("invalid {source_name} JSON: {file}: {cause}; repair or remove the file")]
    WrongType {
        /// Which document.
        source_name: HealthSource,
        /// Its path.
        file: String,
        /// The member and what stands there.
        cause: WrongType,
    },
}

/// The documents behind health, in the order they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthSource {
    /// `state.json`.
    State,
    /// `heartbeat.json`.
    Heartbeat,
    /// `sequence-state.json`.
    Sequence,
    /// `telemetry/transport-health.json`.
    TransportHealth,
}

impl std::fmt::Display for HealthSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::State => "state",
            Self::Heartbeat => "heartbeat state",
            Self::Sequence => "sequence state",
            Self::TransportHealth => "transport health",
        })
    }
}

/// Evaluates the reason table of §3.4 over the facts.
pub fn evaluate(inputs: &HealthInputs<'_>) -> Result<HealthDocument, HealthError> {
    let facts = facts::gather(inputs)?;
    let reasons = distinct(rules::apply(&facts, &inputs.thresholds));
    Ok(HealthDocument {
        schema_version: SchemaVersion::V1,
        updated_at: inputs.updated_at.clone(),
        trace_id: inputs.trace_id.clone(),
        status: overall(&reasons),
        reason_codes: codes(&reasons),
        reasons,
        metrics: facts.metrics,
        thresholds: inputs.thresholds.clone(),
        transport: HealthTransport {
            mode: inputs.transport,
            ingest_status: inputs.ingest_status,
            failure_code: facts.failure_code,
            last_failure_code: facts.last_failure_code,
        },
        evidence: facts.evidence,
    })
}

/// The first reason of every `code:severity`, sorted by that key.
fn distinct(reasons: Vec<HealthReason>) -> Vec<HealthReason> {
    let mut keyed: Vec<(String, HealthReason)> = Vec::with_capacity(reasons.len());
    for reason in reasons {
        let key = format!("{}:{}", reason.code, reason.severity.as_str());
        if keyed.iter().all(|(known, _)| *known != key) {
            keyed.push((key, reason));
        }
    }
    keyed.sort_by(|(left, _), (right, _)| left.cmp(right));
    keyed.into_iter().map(|(_, reason)| reason).collect()
}

fn codes(reasons: &[HealthReason]) -> Vec<HealthReasonCode> {
    let mut codes: Vec<HealthReasonCode> = reasons.iter().map(|r| r.code.clone()).collect();
    codes.sort_by(|left, right| left.as_str().cmp(right.as_str()));
    codes.dedup();
    codes
}

fn overall(reasons: &[HealthReason]) -> HealthStatus {
    match reasons.iter().map(|reason| reason.severity).max() {
        Some(Severity::Critical) => HealthStatus::Critical,
        Some(Severity::Degraded) => HealthStatus::Degraded,
        None => HealthStatus::Healthy,
    }
}
