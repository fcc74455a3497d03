//! What the artifacts say, before it is judged (chapter 02 §3.3, §3.4).

use om_model::health::{HealthEvidence, HealthMetrics, IngestStatus};
use om_model::json::{self, Lookup, WrongType};
use om_model::{Artifact, Timestamp};

use super::{HealthError, HealthInputs, HealthSource, HeartbeatFreshness};
use crate::read::blank_or_null;

/// The status and reason code of sequence drift without a text of its own.
const DEFAULT_DRIFT: &str = "ordering_drift_detected";

/// Everything the reason table looks at, and what is reported beside it.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) metrics: HealthMetrics,
    pub(super) evidence: HealthEvidence,
    pub(super) divergence: bool,
    /// The sequence file's reason code, while drift is active.
    pub(super) drift_code: Option<String>,
    pub(super) ingest_failed: bool,
    pub(super) failure_code: Option<String>,
    pub(super) last_failure_code: Option<String>,
}

/// Reads all four documents and the last intent.
pub(super) fn gather(inputs: &HealthInputs<'_>) -> Result<Facts, HealthError> {
    use HealthSource as S;
    let state = open(S::State, inputs.state, inputs.state_file)?;
    let heartbeat = open(S::Heartbeat, inputs.heartbeat, inputs.heartbeat_file)?;
    let sequence = open(S::Sequence, inputs.sequence, inputs.sequence_file)?;
    let transport = open(
        S::TransportHealth,
        inputs.transport_health,
        inputs.transport_health_file,
    )?;
    let named = |source_name, file: &str| {
        let file = file.to_owned();
        move |cause| HealthError::WrongType {
            source_name,
            file,
            cause,
        }
    };

    let state = StateFacts::read(state, inputs).map_err(named(S::State, inputs.state_file))?;
    let heartbeat = HeartbeatFacts::read(heartbeat, inputs)
        .map_err(named(S::Heartbeat, inputs.heartbeat_file))?;
    let sequence =
        SequenceFacts::read(sequence).map_err(named(S::Sequence, inputs.sequence_file))?;
    let (streak, last_failure_code) = transport_facts(transport)
        .map_err(named(S::TransportHealth, inputs.transport_health_file))?;

    Ok(Facts {
        metrics: HealthMetrics {
            ingest_lag_seconds: state.ingest_lag,
            heartbeat_lag_seconds: heartbeat.lag,
            transport_failure_streak: streak,
            last_control_status: inputs.last_intent.and_then(control_status),
            sequence_status: sequence.status,
            lifecycle_state: state.lifecycle,
        },
        evidence: HealthEvidence {
            last_event_at: state.last_event_at,
            last_heartbeat_at: heartbeat.last_at,
            sequence_updated_at: sequence.updated_at,
        },
        divergence: state.divergence,
        drift_code: sequence.drift_code,
        ingest_failed: inputs.ingest_status == IngestStatus::Failed,
        failure_code: inputs.failure_code.clone().filter(|code| !code.is_empty()),
        last_failure_code,
    })
}

fn open<'a>(
    source_name: HealthSource,
    artifact: &'a Artifact,
    file: &str,
) -> Result<Lookup<'a>, HealthError> {
    match blank_or_null(artifact) {
        Ok(value) => Ok(Lookup::new(value)),
        Err(cause) => Err(HealthError::Malformed {
            source_name,
            file: file.to_owned(),
            cause: cause.to_string(),
        }),
    }
}

struct StateFacts {
    lifecycle: String,
    divergence: bool,
    ingest_lag: Option<u64>,
    last_event_at: Option<String>,
}

impl StateFacts {
    fn read(state: Lookup<'_>, inputs: &HealthInputs<'_>) -> Result<Self, WrongType> {
        let lifecycle = state.first(&["transition.currentState", "projection.status"])?;
        // A blank file names no state, not even an unknown one.
        let fallback = if inputs.state.is_blank() {
            ""
        } else {
            "unknown"
        };
        let last_event_at = json::non_empty_text(state.raw("projection.lastEventAt")?);
        Ok(Self {
            lifecycle: lifecycle.map_or_else(|| fallback.to_owned(), json::text),
            divergence: json::is_true(state.raw("divergence.any")?),
            ingest_lag: lag(last_event_at.as_deref(), inputs.now),
            last_event_at,
        })
    }
}

struct HeartbeatFacts {
    lag: Option<u64>,
    last_at: Option<String>,
}

impl HeartbeatFacts {
    fn read(heartbeat: Lookup<'_>, inputs: &HealthInputs<'_>) -> Result<Self, WrongType> {
        let last = heartbeat.first(&["lastHeartbeatAt", "heartbeat.timestamp"])?;
        let last_at = json::non_empty_text(last);
        let aged = lag(last_at.as_deref(), inputs.now);
        let stored = heartbeat.get("heartbeatLagSeconds")?.and_then(json::digits);
        Ok(Self {
            lag: match inputs.heartbeat_observed {
                HeartbeatFreshness::AsStored => stored.or(aged),
                HeartbeatFreshness::NotObserved => aged.or(stored),
            },
            last_at,
        })
    }
}

struct SequenceFacts {
    status: Option<String>,
    drift_code: Option<String>,
    updated_at: Option<String>,
}

impl SequenceFacts {
    fn read(sequence: Lookup<'_>) -> Result<Self, WrongType> {
        let drift = json::is_true(sequence.raw("driftActive")?);
        let or_default = |text: Option<String>| {
            let default = || drift.then(|| DEFAULT_DRIFT.to_owned());
            text.filter(|text| !text.is_empty()).or_else(default)
        };
        let code = sequence.text("reasonCode")?;
        Ok(Self {
            status: or_default(sequence.text("status")?),
            drift_code: or_default(code).filter(|_| drift),
            updated_at: json::non_empty_text(sequence.raw("updatedAt")?),
        })
    }
}

fn transport_facts(document: Lookup<'_>) -> Result<(u64, Option<String>), WrongType> {
    let streak = document.get("failureStreak")?;
    let code = json::non_empty_text(document.raw("lastFailureCode")?);
    Ok((streak.and_then(json::digits).unwrap_or(0), code))
}

/// The status of the last intent; a row that cannot be read has none.
fn control_status(row: &[u8]) -> Option<String> {
    let row = json::parse(row).ok()?;
    json::non_empty_text(row.as_object().and_then(|row| row.get("status")))
}

/// Whole seconds from `at` to `now`, if `at` is a time.
fn lag(at: Option<&str>, now: Timestamp) -> Option<u64> {
    at.and_then(Timestamp::parse)
        .map(|at| now.seconds_since(at))
}
