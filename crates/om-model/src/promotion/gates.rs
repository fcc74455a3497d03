//! The promotion decision and the evidence behind it (chapter 07 §1.5).

mod reason;

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::{Decision, Rate};
use crate::envelope::SchemaVersion;
use crate::{Timestamp, TraceId};

pub use reason::{Drill, DrillTrouble, Gate, GateReason};

/// `promotion-state.json`, a row of `telemetry/promotion.jsonl`, and what
/// `ops-manager-promotion-gates` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GatesDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the gates were evaluated, after all evidence was read.
    pub generated_at: Timestamp,
    /// Links what follows from it.
    pub trace_id: TraceId,
    /// Where the evidence came from.
    pub source: GatesSource,
    /// What it was measured against.
    pub thresholds: GateThresholds,
    /// The decision.
    pub summary: GatesSummary,
    /// Each gate with the evidence that it used.
    pub gates: Gates,
}

/// Where the evidence came from; paths as used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GatesSource {
    /// The resolved repository.
    pub repo_path: String,
    /// Whether the fleet's status was read or made.
    pub fleet_status_source: FleetStatusSource,
    /// As given; null when made.
    pub fleet_status_file: Option<String>,
    /// Executions by handoff.
    pub handoff_telemetry_file: String,
    /// Incident drills.
    pub drill_state_file: String,
    /// Where this document is kept.
    pub promotion_state_file: String,
    /// Where it is appended.
    pub promotion_telemetry_file: String,
}

/// Whether the fleet's status was read or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FleetStatusSource {
    /// Read from the file that was named.
    File,
    /// Made by the fleet status stage.
    Generated,
}

/// What the evidence is measured against.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GateThresholds {
    /// Most runs that are looked at, the latest; at least 1.
    pub window_executions: u64,
    /// Fewest runs that prove anything; at least 1.
    pub min_sample_size: u64,
    /// Highest passing share of ambiguous outcomes.
    pub max_ambiguity_rate: Rate,
    /// Highest passing share of failures.
    pub max_failure_rate: Rate,
    /// Most intents that may wait for people.
    pub max_manual_backlog: u64,
    /// Hours after which a drill proves nothing; at least 1.
    pub max_drill_age_hours: u64,
    /// Additive: hours after which a run proves nothing (decision D19);
    /// omitted unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sample_age_hours: Option<u64>,
}

impl Default for GateThresholds {
    /// The contract's limits for dogfood fleets (chapter 07 §1.2).
    fn default() -> Self {
        Self {
            window_executions: 20,
            min_sample_size: 20,
            max_ambiguity_rate: Rate::percent(20),
            max_failure_rate: Rate::percent(20),
            max_manual_backlog: 5,
            max_drill_age_hours: 168,
            max_sample_age_hours: None,
        }
    }
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GatesSummary {
    /// `promote` iff every gate passes.
    pub decision: Decision,
    /// The same as a boolean.
    pub promote: bool,
    /// 0 to 5.
    pub gate_pass_count: usize,
    /// 0 to 5.
    pub gate_fail_count: usize,
    /// In the order of the gates.
    pub failed_gates: Vec<Gate>,
    /// Of all gates, sorted.
    pub reason_codes: Vec<GateReason>,
}

/// Whether a gate passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    /// No reason against it.
    Pass,
    /// At least one.
    Fail,
}

/// What every gate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Passes iff there is no reason against it.
    pub status: GateStatus,
    /// Why not, in the order of the contract's tables.
    pub reasons: Vec<GateReason>,
}

impl From<Vec<GateReason>> for Verdict {
    fn from(reasons: Vec<GateReason>) -> Self {
        let status = if reasons.is_empty() {
            GateStatus::Pass
        } else {
            GateStatus::Fail
        };
        Self { status, reasons }
    }
}

/// Each gate with the evidence that it used.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    /// Somebody answers for the autonomy.
    pub governance: GovernanceGate,
    /// Autonomous runs do what they should.
    pub outcome_reliability: OutcomeReliabilityGate,
    /// People keep up.
    pub manual_backlog: ManualBacklogGate,
    /// Nothing is paused by trouble.
    pub safety_suppression: SafetySuppressionGate,
    /// The safety nets were tried lately.
    pub drill_recency: DrillRecencyGate,
}

impl Gates {
    /// Every gate's verdict, in order.
    pub fn verdicts(&self) -> [(Gate, &Verdict); 5] {
        [
            (Gate::Governance, &self.governance.verdict),
            (Gate::OutcomeReliability, &self.outcome_reliability.verdict),
            (Gate::ManualBacklog, &self.manual_backlog.verdict),
            (Gate::SafetySuppression, &self.safety_suppression.verdict),
            (Gate::DrillRecency, &self.drill_recency.verdict),
        ]
    }
}

/// Gate 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GovernanceGate {
    /// Pass or fail, and why.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// As found, default null.
    pub posture: Value,
    /// As found, default false.
    pub blocks_autonomous: Value,
    /// Of the fleet's governance, sorted; what is no text, as JSON.
    pub reason_codes: Vec<String>,
}

/// Gate 2.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OutcomeReliabilityGate {
    /// Pass or fail, and why.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Runs in the window.
    pub sample_runs: usize,
    /// Intents asked for by them.
    pub attempted: u64,
    /// Of those, executed.
    pub executed: u64,
    /// Of those, ambiguous.
    pub ambiguous: u64,
    /// Of those, failed.
    pub failed: u64,
    /// `ambiguous` / `attempted`; 0 without attempts.
    pub ambiguity_rate: Number,
    /// `failed` / `attempted`; 0 without attempts.
    pub failure_rate: Number,
    /// Additive: stamp of the first run of the window (decision D19).
    pub sample_oldest_at: Option<String>,
    /// Additive: stamp of its last run.
    pub sample_newest_at: Option<String>,
    /// Additive: which line could not be read and why (decision D9); omitted
    /// when all could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_error: Option<String>,
}

/// Gate 3.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ManualBacklogGate {
    /// Pass or fail, and why.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// As found, default null.
    pub manual_backlog: Value,
    /// Additive: where the number of intents waiting for people goes over the
    /// latest plans; null with fewer than two (decision D19).
    pub backlog_trend: Option<BacklogTrend>,
}

/// Where the backlog goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BacklogTrend {
    /// The later half of the plans had more waiting than the earlier one.
    Rising,
    /// As many.
    Steady,
    /// Fewer.
    Falling,
}

/// Gate 4.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SafetySuppressionGate {
    /// Pass or fail, and why.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether trouble has paused autonomy.
    pub autopause_active: bool,
    /// Paths without an account, in required order.
    pub missing_paths: Vec<SuppressionPath>,
    /// As found; null if it is not an object.
    pub by_path: Option<Map<String, Value>>,
}

/// A path on which a candidate is kept from autonomy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum SuppressionPath {
    /// By the policy.
    PolicyGated,
    /// By the rollout.
    RolloutGated,
    /// By governance.
    GovernanceGated,
    /// By its transport.
    TransportGated,
}

impl SuppressionPath {
    /// Every path that has to be accounted for, in order.
    pub const REQUIRED: [Self; 4] = [
        Self::PolicyGated,
        Self::RolloutGated,
        Self::GovernanceGated,
        Self::TransportGated,
    ];

    /// The member in the fleet's status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PolicyGated => "policyGated",
            Self::RolloutGated => "rolloutGated",
            Self::GovernanceGated => "governanceGated",
            Self::TransportGated => "transportGated",
        }
    }
}

/// Gate 5.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DrillRecencyGate {
    /// Pass or fail, and why.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// In required order.
    pub required_drills: Vec<Drill>,
    /// As found: an array or an object; `[]` without evidence.
    pub drills: Value,
}
