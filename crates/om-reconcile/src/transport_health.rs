//! Whether a loop can be reached: `telemetry/transport-health.json`
//! (chapter 02 §2.6.3).

use om_model::envelope::SchemaVersion;
use om_model::health::{IngestStatus, TransportMode};
use om_model::json::{self, Lookup, MAX_INTEGER, WrongType};
use om_model::observation::TransportHealth;
use om_model::state::FailureCode;
use om_model::{Artifact, Timestamp, TraceId};

use crate::read::or_null;

/// What the transport's health is derived from.
#[derive(Clone, Debug)]
pub struct TransportHealthInputs<'a> {
    /// The previous document; broken ones count as absent.
    pub previous: &'a Artifact,
    /// Its path, for messages.
    pub previous_file: &'a str,
    /// The pass.
    pub trace_id: &'a TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// Why the pass failed, if it did. Every code counts, on both transports.
    pub failure: Option<FailureCode>,
}

/// The previous document has a type that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid transport health JSON: {file}: {cause}; repair or remove the file")]
pub struct TransportHealthError {
    /// Path of the document.
    pub file: String,
    /// The member and what stands there.
    #[source]
    pub cause: WrongType,
}

/// The document after this pass: a success ends the streak, a failure
/// extends it, and the time of the other outcome is carried over.
pub fn evaluate(
    inputs: &TransportHealthInputs<'_>,
    now: Timestamp,
) -> Result<TransportHealth, TransportHealthError> {
    let previous = Previous::read(inputs.previous).map_err(|cause| TransportHealthError {
        file: inputs.previous_file.to_owned(),
        cause,
    })?;
    let at = Some(now.to_string());
    let document = TransportHealth {
        schema_version: SchemaVersion::V1,
        updated_at: now,
        trace_id: inputs.trace_id.clone(),
        transport: inputs.transport,
        last_result: IngestStatus::Success,
        failure_streak: 0,
        last_failure_code: None,
        last_success_at: previous.success_at,
        last_failure_at: previous.failure_at,
    };
    Ok(match inputs.failure {
        None => TransportHealth {
            last_success_at: at,
            ..document
        },
        Some(code) => TransportHealth {
            last_result: IngestStatus::Failed,
            failure_streak: previous.streak.saturating_add(1).min(MAX_INTEGER),
            last_failure_code: Some(code.as_str().to_owned()),
            last_failure_at: at,
            ..document
        },
    })
}

struct Previous {
    streak: u64,
    success_at: Option<String>,
    failure_at: Option<String>,
}

impl Previous {
    fn read(artifact: &Artifact) -> Result<Self, WrongType> {
        let document = Lookup::new(or_null(artifact));
        let streak = document.get("failureStreak")?;
        Ok(Self {
            streak: streak.and_then(json::digits).unwrap_or(0),
            success_at: document.text("lastSuccessAt")?,
            failure_at: document.text("lastFailureAt")?,
        })
    }
}
