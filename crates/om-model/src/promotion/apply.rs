//! One change of the rollout, for the audit trail (chapter 07 §3.5).

use serde::Serialize;
use serde_json::Value;

use super::ApplyIntent;
use crate::envelope::SchemaVersion;
use crate::{Timestamp, TraceId};

/// `promotion-apply-state.json`, a row of `telemetry/promotion-apply.jsonl`,
/// and what `ops-manager-promotion-apply` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApplyRecord {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the registry was changed.
    pub timestamp: Timestamp,
    /// `promotion_apply`.
    pub category: ApplyCategory,
    /// The registry's.
    pub fleet_id: String,
    /// Links what belongs together.
    pub trace_id: TraceId,
    /// As given: what it is about.
    pub loop_id: Option<String>,
    /// As given: what asked for it.
    pub horizon_ref: Option<String>,
    /// Sorted; the promotion state is always among them.
    pub evidence_refs: Vec<String>,
    /// As given.
    pub idempotency_key: Option<String>,
    /// `applied`.
    pub status: ApplyStatus,
    /// What was done.
    pub intent: ApplyIntent,
    /// The promotion decision that was found.
    pub decision: String,
    /// Who, why, until when.
    pub governance: ApplyGovernance,
    /// Before and after.
    pub rollout: RolloutChange,
    /// Paths as used.
    pub files: ApplyFiles,
    /// Always empty.
    pub reason_codes: [Value; 0],
    /// Only on the answer to a key that was used before: this is its record.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// The kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApplyCategory {
    /// The only one.
    PromotionApply,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApplyStatus {
    /// The only one: what was not applied has no record.
    Applied,
}

/// Who changed the rollout, why, and until when that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApplyGovernance {
    /// Who.
    pub actor: String,
    /// By which approval.
    pub approval_ref: String,
    /// Why.
    pub rationale: String,
    /// When.
    pub changed_at: Timestamp,
    /// When it is to be reviewed; as given.
    pub review_by: String,
}

/// The rollout before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutChange {
    /// Before.
    pub before: RolloutPosture,
    /// After.
    pub after: RolloutPosture,
    /// What differs.
    pub changed: RolloutChanged,
}

/// How far autonomy reaches.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutPosture {
    /// Share of loops that may be acted on, in percent.
    pub canary_percent: u8,
    /// Whether people have paused it.
    pub manual_pause: bool,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutChanged {
    /// The share of loops.
    pub canary_percent: bool,
    /// The pause.
    pub manual_pause: bool,
}

/// Paths as used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApplyFiles {
    /// What was changed.
    pub registry_file: String,
    /// The decision behind it.
    pub promotion_state_file: String,
    /// The latest record.
    pub apply_state_file: String,
    /// All of them.
    pub apply_telemetry_file: String,
}

impl RolloutChange {
    /// What differs between `before` and `after`.
    pub fn new(before: RolloutPosture, after: RolloutPosture) -> Self {
        let changed = RolloutChanged {
            canary_percent: before.canary_percent != after.canary_percent,
            manual_pause: before.manual_pause != after.manual_pause,
        };
        Self {
            before,
            after,
            changed,
        }
    }
}
