//! Telemetry summary and threshold-profile drift (chapter 02 §5, §6).

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::envelope::SchemaVersion;
use crate::observation::TelemetryCategory;
use crate::{LoopId, Timestamp};

/// How much telemetry stands behind a recommendation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Fewer than 30 passes.
    #[default]
    Low,
    /// 30 passes or more.
    Medium,
    /// 100 passes or more.
    High,
}

impl Confidence {
    /// Every level, lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }

    /// 1 (low) to 3 (high).
    pub fn rank(self) -> u64 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 3,
        }
    }
}

/// What `ops-manager-telemetry-summary` prints. No key is ever omitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TelemetrySummary {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was made.
    pub generated_at: Timestamp,
    /// What was read.
    pub source: SummarySource,
    /// What was seen.
    pub observed: SummaryObserved,
    /// The profile that fits.
    pub recommended_profile: String,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, in a sentence.
    pub rationale: String,
}

/// The files behind a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SummarySource {
    /// Absolute path of the repository.
    pub repo_path: String,
    /// The loop.
    pub loop_id: LoopId,
    /// Reconcile rows.
    pub reconcile_telemetry_file: String,
    /// Control rows.
    pub control_telemetry_file: String,
    /// Lines asked for.
    pub window: u64,
}

/// What a summary saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SummaryObserved {
    /// Reconcile rows in the window.
    pub reconcile_attempts: u64,
    /// Of these, successes.
    pub reconcile_success_count: u64,
    /// Of these, failures.
    pub reconcile_failed_count: u64,
    /// Health over the window.
    pub health: SummaryHealth,
    /// Control over the window.
    pub control: SummaryControl,
    /// How long passes took.
    pub duration_seconds: SummaryDurations,
}

/// Health over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SummaryHealth {
    /// Degraded passes.
    pub degraded_count: u64,
    /// Critical passes.
    pub critical_count: u64,
    /// Degraded ÷ attempts, 0 to 1.
    pub degraded_rate: Number,
    /// Critical ÷ attempts, 0 to 1.
    pub critical_rate: Number,
    /// Most frequent first, ties by code descending.
    pub reason_code_frequency: Vec<ReasonCount>,
}

/// How often one reason code occurred.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReasonCount {
    /// The code, normally text.
    pub code: serde_json::Value,
    /// Occurrences.
    pub count: u64,
}

/// Control over a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SummaryControl {
    /// Intents with an unknown outcome.
    pub ambiguous_count: u64,
}

/// Durations in seconds, `null` without any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SummaryDurations {
    /// Median (the lower middle).
    pub p50: Option<Number>,
    /// 95th percentile.
    pub p95: Option<Number>,
    /// Greatest.
    pub max: Option<Number>,
}

/// Result of a drift evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DriftStatus {
    /// Nothing is recommended.
    NoRecommendation,
    /// The recommended profile is applied.
    Aligned,
    /// Another profile is recommended, without enough confidence.
    InsufficientConfidence,
    /// The mismatch has lasted long enough.
    DriftActive,
    /// A mismatch that has not lasted yet.
    MismatchPending,
}

/// What a person should do about drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DriftAction {
    /// Wait for more passes.
    CollectMoreConfidentTelemetry,
    /// Change the profile.
    ReviewThresholdProfile,
    /// Wait for the streak.
    MonitorAdditionalWindows,
}

/// The one reason code of drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DriftReasonCode {
    /// Drift is active.
    ProfileDriftDetected,
}

/// `profile-drift.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DriftDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was evaluated.
    pub updated_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// Result.
    pub status: DriftStatus,
    /// Omitted unless drift is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<DriftReasonCode>,
    /// Omitted when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_profile: Option<String>,
    /// Omitted when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended_profile: Option<String>,
    /// Of the recommendation.
    pub recommendation_confidence: Confidence,
    /// Required.
    pub minimum_confidence: Confidence,
    /// 1 to 3.
    pub recommendation_rank: u64,
    /// 1 to 3.
    pub minimum_rank: u64,
    /// Mismatches in a row before drift is active, at least 1.
    pub required_streak: u64,
    /// Lines behind the recommendation, echoed.
    pub summary_window: u64,
    /// The two profiles are known and differ.
    pub mismatch: bool,
    /// The recommendation is confident enough.
    pub confidence_ok: bool,
    /// Both of the above.
    pub eligible_mismatch: bool,
    /// Eligible mismatches in a row.
    pub mismatch_streak: u64,
    /// The streak has reached the requirement.
    pub drift_active: bool,
    /// Compared with the last evaluation.
    pub transitioned: DriftTransition,
    /// Of the recommendation; omitted when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// Omitted when there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<DriftAction>,
}

/// Drift now and before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DriftTransition {
    /// It starts now.
    pub to_active: bool,
    /// It ends now.
    pub to_resolved: bool,
}

/// One row of `telemetry/profile-drift.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DriftRow {
    /// When it was evaluated.
    pub timestamp: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// `profile_drift_evaluation`.
    pub category: TelemetryCategory,
    /// The document.
    pub drift: DriftDocument,
}
