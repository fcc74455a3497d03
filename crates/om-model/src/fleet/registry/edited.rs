//! The audit row of an edit of the registry (decisions D20, D29).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PolicyMode;
use crate::{Timestamp, TraceId};

/// One row of `policy-governance.jsonl` that `ops-manager fleet policy set`
/// appends, in the same commit as the edit. The first five members are those
/// of every row of the journal (chapter 06 §1.5.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyEditRow {
    /// When.
    pub timestamp: Timestamp,
    /// `fleet_policy_governance`.
    pub category: GovernanceCategory,
    /// `autonomous_policy_edited`.
    pub event_type: EditEventType,
    /// The fleet.
    pub fleet_id: String,
    /// Links the rows of one action.
    pub trace_id: TraceId,
    /// The mode after the edit.
    pub mode: PolicyMode,
    /// Who edited.
    pub actor: String,
    /// The command, as somebody would type it.
    pub command: String,
    /// Whether it only takes autonomy away.
    pub narrowing: bool,
    /// Changed members by path → what the file said; `null`: nothing.
    pub before: Map<String, Value>,
    /// Changed members by path → what the file says now; `null`: nothing.
    pub after: Map<String, Value>,
    /// Who approved it and why, as far as that was told.
    #[serde(default, skip_serializing_if = "EditGovernance::is_empty")]
    pub governance: EditGovernance,
    /// Which files.
    pub source: EditSource,
}

/// The journal's category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GovernanceCategory {
    /// The only one.
    #[default]
    FleetPolicyGovernance,
}

/// What kind of row it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EditEventType {
    /// Somebody edited the registry by command.
    #[default]
    AutonomousPolicyEdited,
}

/// Who approved an edit and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EditGovernance {
    /// On whose approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_ref: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
}

impl EditGovernance {
    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.approval_ref.is_none() && self.rationale.is_none() && self.review_by.is_none()
    }
}

/// The files of an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EditSource {
    /// The registry.
    pub registry_file: String,
    /// The journal of this row.
    pub governance_audit_file: String,
}
