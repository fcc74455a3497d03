//! Threshold profiles: how late is late (chapter 02 §4).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::envelope::SchemaVersion;

/// The catalog `config/ops-manager-threshold-profiles.v1.json`.
///
/// Profiles stay unparsed here: one broken profile does not spoil the others
/// (chapter 02 §4.6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ThresholdCatalog {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// The profile that is used when none is named.
    pub default_profile: Option<String>,
    /// Name → [`ThresholdProfile`].
    #[cfg_attr(
        feature = "schema",
        schemars(with = "std::collections::BTreeMap<String, ThresholdProfile>")
    )]
    pub profiles: Map<String, Value>,
}

/// One profile of the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ThresholdProfile {
    /// The four values.
    #[serde(flatten)]
    pub values: ThresholdValues,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Value>,
}

/// The four values of a profile, as written in the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ThresholdValues {
    /// Seconds since the last event from which a loop is degraded.
    pub degraded_ingest_lag_seconds: Number,
    /// Seconds since the last event from which a loop is critical.
    pub critical_ingest_lag_seconds: Number,
    /// Failed passes in a row from which a loop is degraded.
    pub degraded_transport_failure_streak: Number,
    /// Failed passes in a row from which a loop is critical.
    pub critical_transport_failure_streak: Number,
}

/// What `ops-manager-threshold-profile` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ResolvedProfile {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// The catalog that was read.
    pub source_file: String,
    /// The profile's name.
    pub profile: String,
    /// Its values.
    pub values: ThresholdValues,
    /// For people; omitted when the catalog has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Value>,
}

/// The six thresholds that a health evaluation compares against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthThresholds {
    /// Label of the profile they came from, if any.
    pub profile: Option<String>,
    /// Seconds.
    pub degraded_ingest_lag_seconds: u64,
    /// Seconds, at least the degraded value.
    pub critical_ingest_lag_seconds: u64,
    /// Seconds.
    pub degraded_heartbeat_lag_seconds: u64,
    /// Seconds, at least the degraded value.
    pub critical_heartbeat_lag_seconds: u64,
    /// Failed passes in a row.
    pub degraded_transport_failure_streak: u64,
    /// Failed passes in a row, at least the degraded value.
    pub critical_transport_failure_streak: u64,
}

impl Default for HealthThresholds {
    /// The defaults of `ops-manager-health` (chapter 02 §3.2).
    fn default() -> Self {
        Self {
            profile: None,
            degraded_ingest_lag_seconds: 300,
            critical_ingest_lag_seconds: 900,
            degraded_heartbeat_lag_seconds: 120,
            critical_heartbeat_lag_seconds: 300,
            degraded_transport_failure_streak: 2,
            critical_transport_failure_streak: 4,
        }
    }
}
