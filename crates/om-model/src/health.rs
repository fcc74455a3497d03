//! The health document: status with reason codes (chapter 02 §3.6).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::TraceId;
use crate::envelope::SchemaVersion;
use crate::thresholds::HealthThresholds;

/// How a loop is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No reason to worry.
    #[default]
    Healthy,
    /// At least one degraded reason, none critical.
    Degraded,
    /// At least one critical reason.
    Critical,
}

impl HealthStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

/// How bad one reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should look.
    Degraded,
    /// Somebody must look now.
    Critical,
}

impl Severity {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

/// Why a loop is not healthy (chapter 02 §3.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HealthReasonCode {
    /// State and events disagree.
    DivergenceDetected,
    /// The last control intent has an unknown outcome.
    ControlAmbiguous,
    /// The last control intent failed.
    ControlFailedCommand,
    /// No event for too long.
    IngestStale,
    /// No heartbeat for too long.
    RuntimeHeartbeatStale,
    /// The loop cannot be observed.
    TransportUnreachable,
    /// Envelopes arrived out of order.
    OrderingDriftDetected,
    /// The service answered with an unusable body.
    InvalidTransportPayload,
    /// The snapshot could not be projected.
    ProjectionFailed,
    /// The pass failed without a code.
    ReconcileFailed,
    /// A code that came from a file or a failure, passed through.
    Other(String),
}

impl HealthReasonCode {
    /// Every code with a meaning of its own.
    pub const KNOWN: [Self; 10] = [
        Self::DivergenceDetected,
        Self::ControlAmbiguous,
        Self::ControlFailedCommand,
        Self::IngestStale,
        Self::RuntimeHeartbeatStale,
        Self::TransportUnreachable,
        Self::OrderingDriftDetected,
        Self::InvalidTransportPayload,
        Self::ProjectionFailed,
        Self::ReconcileFailed,
    ];

    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::DivergenceDetected => "divergence_detected",
            Self::ControlAmbiguous => "control_ambiguous",
            Self::ControlFailedCommand => "control_failed_command",
            Self::IngestStale => "ingest_stale",
            Self::RuntimeHeartbeatStale => "runtime_heartbeat_stale",
            Self::TransportUnreachable => "transport_unreachable",
            Self::OrderingDriftDetected => "ordering_drift_detected",
            Self::InvalidTransportPayload => "invalid_transport_payload",
            Self::ProjectionFailed => "projection_failed",
            Self::ReconcileFailed => "reconcile_failed",
            Self::Other(code) => code,
        }
    }
}

impl From<&str> for HealthReasonCode {
    fn from(code: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|known| known.as_str() == code);
        known.unwrap_or_else(|| Self::Other(code.to_owned()))
    }
}

impl fmt::Display for HealthReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for HealthReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HealthReasonCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for HealthReasonCode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HealthReasonCode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let known = Self::KNOWN.map(|code| code.as_str().to_owned());
        schemars::json_schema!({ "type": "string", "minLength": 1, "examples": known })
    }
}

/// One reason with its evidence; everything is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthReason {
    /// Reason code.
    pub code: HealthReasonCode,
    /// How bad.
    pub severity: Severity,
    /// What was measured, e.g. `ingestLagSeconds`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metric: String,
    /// The value found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    /// The value that it was compared with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub threshold: String,
}

/// `health.json`, and `health` in `state.json`. No key is ever omitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was evaluated; `--now` verbatim if that was given.
    pub updated_at: String,
    /// The trace of the pass.
    pub trace_id: Option<TraceId>,
    /// Overall status.
    pub status: HealthStatus,
    /// Distinct codes, sorted.
    pub reason_codes: Vec<HealthReasonCode>,
    /// Reasons, sorted by `code:severity`.
    pub reasons: Vec<HealthReason>,
    /// What was measured.
    pub metrics: HealthMetrics,
    /// What it was compared with.
    pub thresholds: HealthThresholds,
    /// How the loop was observed.
    pub transport: HealthTransport,
    /// Where the measurements come from.
    pub evidence: HealthEvidence,
}

/// What a health evaluation measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthMetrics {
    /// Seconds since the last event.
    pub ingest_lag_seconds: Option<u64>,
    /// Seconds since the last heartbeat.
    pub heartbeat_lag_seconds: Option<u64>,
    /// Failed passes in a row.
    pub transport_failure_streak: u64,
    /// Status of the last control intent.
    pub last_control_status: Option<String>,
    /// Status of the sequence diagnostics.
    pub sequence_status: Option<String>,
    /// Lifecycle state of the loop.
    pub lifecycle_state: String,
}

/// How the loop was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthTransport {
    /// `local` or `sprite_service`.
    pub mode: TransportMode,
    /// Outcome of this pass.
    pub ingest_status: IngestStatus,
    /// Failure code of this pass.
    pub failure_code: Option<String>,
    /// Failure code in the transport health file.
    pub last_failure_code: Option<String>,
}

/// Where the measurements come from, as found even if unparseable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthEvidence {
    /// Time of the last event.
    pub last_event_at: Option<String>,
    /// Time of the last heartbeat.
    pub last_heartbeat_at: Option<String>,
    /// When the sequence diagnostics last ran.
    pub sequence_updated_at: Option<String>,
}

/// How a loop is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransportMode {
    /// Files on this machine.
    #[default]
    Local,
    /// HTTP to the service beside the runtime.
    SpriteService,
}

impl TransportMode {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::SpriteService => "sprite_service",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Local, Self::SpriteService]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// Whether a pass could observe the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum IngestStatus {
    /// It did.
    #[default]
    Success,
    /// It did not.
    Failed,
}

impl IngestStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Success, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_reason_code_reads_back_as_itself() {
        for code in HealthReasonCode::KNOWN {
            assert_eq!(HealthReasonCode::from(code.as_str()), code);
        }
        assert_eq!(HealthReasonCode::from("x").as_str(), "x");
    }
}
