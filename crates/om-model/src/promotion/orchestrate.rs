//! Check, then preview, apply or roll back (chapter 07 §4.5).

use serde::Serialize;
use serde_json::Value;

use crate::Timestamp;
use crate::envelope::SchemaVersion;

/// What an orchestration is to do after the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrchestrateMode {
    /// Nothing.
    DryRun,
    /// Expand or resume.
    Apply,
    /// Roll back.
    Rollback,
}

impl OrchestrateMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::DryRun, Self::Apply, Self::Rollback];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// How an orchestration in this mode ends if it does not fail.
    pub fn status(self) -> OrchestrateStatus {
        match self {
            Self::DryRun => OrchestrateStatus::Preview,
            Self::Apply => OrchestrateStatus::Applied,
            Self::Rollback => OrchestrateStatus::RolledBack,
        }
    }
}

/// How an orchestration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrchestrateStatus {
    /// Nothing was changed.
    Preview,
    /// Expanded or resumed.
    Applied,
    /// Rolled back.
    RolledBack,
}

impl OrchestrateStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Applied => "applied",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// `promotion-orchestrate-result.json`, and what
/// `ops-manager-promotion-orchestrate` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrchestrateDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// After all stages.
    pub timestamp: Timestamp,
    /// What was to be done.
    pub mode: OrchestrateMode,
    /// What was done.
    pub status: OrchestrateStatus,
    /// Of the check; `unknown` without one.
    pub decision: String,
    /// As given, else that of the apply record.
    pub trace_id: Option<String>,
    /// As given, else that of the apply record.
    pub loop_id: Option<String>,
    /// As given, else that of the apply record.
    pub horizon_ref: Option<String>,
    /// Sorted.
    pub evidence_refs: Vec<String>,
    /// What the check found.
    pub summary: OrchestrateSummary,
    /// What was changed.
    pub apply: OrchestrateApply,
    /// Paths as used.
    pub files: OrchestrateFiles,
    /// Additive: a rollback went on without the check, which failed (decision
    /// D20); omitted otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion_ci_failure: Option<StageFailureNote>,
}

/// What the check found, as found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrchestrateSummary {
    /// In the order of the gates.
    pub failed_gates: Vec<Value>,
    /// Sorted.
    pub reason_codes: Vec<Value>,
}

/// What was changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrchestrateApply {
    /// Whether anything was to be changed.
    pub executed: bool,
    /// The record's intent.
    pub intent: Option<String>,
    /// As given.
    pub idempotency_key: Option<String>,
    /// The whole record; null when nothing was to be changed.
    pub record: Option<Value>,
}

/// Paths as used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrchestrateFiles {
    /// This document.
    pub result_file: String,
    /// The same for people.
    pub summary_file: String,
    /// The check's result.
    pub promotion_ci_result_file: String,
    /// The same for people.
    pub promotion_ci_summary_file: String,
}

/// How a stage failed that was not needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StageFailureNote {
    /// Its exit code.
    pub exit_code: i32,
    /// What it said.
    pub message: String,
}
