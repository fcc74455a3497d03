//! The fleet registry, normalised (chapter 05 §1.5): which loops there are,
//! and the policy for them, with every default filled in.
//!
//! Serialised, [`Registry`] is what `ops-manager-fleet-registry` prints.
//! `false` is a value (decision D1); the members that the decisions add are
//! written last in their object and only when they are set.

mod cohort;
mod edited;
mod slug;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::control::Intent;
use crate::envelope::SchemaVersion;
use crate::health::TransportMode;
use crate::{LoopId, Timestamp};

pub use crate::alerts::Severity;
pub use crate::drift::Confidence;
pub use cohort::{BUCKETS, cohort_bucket};
pub use edited::{EditEventType, EditGovernance, EditSource, GovernanceCategory, PolicyEditRow};
pub use slug::{trace_slug, trace_slugs};

/// `fleetId` of a registry that does not name its fleet.
pub const DEFAULT_FLEET_ID: &str = "default";
/// `selector.salt` unless the registry has its own.
pub const DEFAULT_SALT: &str = "fleet-autonomous-rollout-v1";

/// A valid registry with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// The path of the file as it was given.
    pub source_file: String,
    /// The fleet's name; may be empty.
    pub fleet_id: String,
    /// In the order of the file.
    pub loops: Vec<FleetLoop>,
    /// What may happen to them, and when.
    pub policy: Policy,
    /// Loops in this document.
    pub loop_count: usize,
}

impl Registry {
    /// The loop `id`.
    pub fn find(&self, id: &str) -> Option<&FleetLoop> {
        self.loops.iter().find(|entry| entry.loop_id.as_str() == id)
    }

    /// This registry with only the loop `id`; `None` if it has no such loop.
    #[must_use]
    pub fn only(mut self, id: &str) -> Option<Self> {
        self.loops.retain(|entry| entry.loop_id.as_str() == id);
        self.loop_count = self.loops.len();
        (self.loop_count > 0).then_some(self)
    }
}

/// One loop of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetLoop {
    /// Its name.
    pub loop_id: LoopId,
    /// Whether passes observe it (decision D1).
    pub enabled: bool,
    /// How it is reached.
    pub transport: TransportMode,
    /// `id`, `assignment`, `serviceBaseUrl` of the machine it runs on, as far
    /// as they are known.
    pub sprite: Map<String, Value>,
    /// The service beside its runtime.
    pub service: LoopService,
    /// Whatever the operator notes about it.
    pub metadata: Map<String, Value>,
}

/// How a loop's service is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoopService {
    /// Verbatim; a non-empty text for every `sprite_service` loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<Value>,
    /// Name of the environment variable that holds the token, literally
    /// (decision D6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// Requests per call, at least 1; fractions are refused where it is used.
    pub retry_attempts: Number,
    /// Seconds between them, at least 0.
    pub retry_backoff_seconds: Number,
}

impl LoopService {
    /// The base URL, if it is a text that is not empty.
    pub fn base_url_text(&self) -> Option<&str> {
        let text = self.base_url.as_ref()?.as_str()?;
        (!text.is_empty()).then_some(text)
    }
}

/// What may happen to the loops of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Whether anything may happen by itself.
    pub mode: PolicyMode,
    /// Loop id or `*` → categories that nobody wants to hear of; verbatim.
    pub suppressions: Map<String, Value>,
    /// How often the same thing is said.
    pub noise_controls: NoiseControls,
    /// What may be done without a person.
    pub autonomous: Autonomous,
    /// Additive: loop id or `*` → who suppressed it and why (decision D29);
    /// verbatim.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub suppression_governance: Map<String, Value>,
}

/// Whether anything may happen without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// A person confirms every action.
    #[default]
    Advisory,
    /// Eligible actions run by themselves, inside the guardrails.
    GuardedAuto,
}

impl PolicyMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Advisory, Self::GuardedAuto];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advisory => "advisory",
            Self::GuardedAuto => "guarded_auto",
        }
    }

    /// Reads the name on the wire, case-sensitively.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What is wrong with a loop, as a kind of candidate. Ordered as the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Its health is critical.
    HealthCritical,
    /// Its health is degraded.
    HealthDegraded,
    /// Its pass failed.
    ReconcileFailed,
}

impl Category {
    /// Every category, in the order of their names.
    pub const ALL: [Self; 3] = [
        Self::HealthCritical,
        Self::HealthDegraded,
        Self::ReconcileFailed,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HealthCritical => "health_critical",
            Self::HealthDegraded => "health_degraded",
            Self::ReconcileFailed => "reconcile_failed",
        }
    }

    /// Reads the name on the wire, case-sensitively.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How often the same thing is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NoiseControls {
    /// Seconds in which a candidate is not repeated; 0 repeats it always.
    pub dedupe_window_seconds: u64,
}

impl Default for NoiseControls {
    fn default() -> Self {
        Self {
            dedupe_window_seconds: 300,
        }
    }
}

/// What may be done without a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Autonomous {
    /// Whether the mode is [`PolicyMode::GuardedAuto`].
    pub enabled: bool,
    /// What is allowed at all.
    pub allow: Allow,
    /// How bad and how sure it has to be.
    pub thresholds: Thresholds,
    /// Rails.
    pub safety: Safety,
    /// Who decided this, and until when.
    pub governance: Governance,
    /// For which loops.
    pub rollout: Rollout,
}

/// What is allowed at all. Duplicates are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Allow {
    /// Reasons to act.
    pub categories: Vec<Category>,
    /// Actions.
    pub intents: Vec<Intent>,
}

impl Default for Allow {
    fn default() -> Self {
        Self {
            categories: vec![Category::ReconcileFailed, Category::HealthCritical],
            intents: vec![Intent::Cancel],
        }
    }
}

/// How bad and how sure a candidate has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    /// Least severity.
    pub min_severity: Severity,
    /// Least confidence.
    pub min_confidence: Confidence,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            min_severity: Severity::Critical,
            min_confidence: Confidence::High,
        }
    }
}

/// Rails of autonomous action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Safety {
    /// Most actions of one run; 0 blocks everything.
    pub max_actions_per_run: u64,
    /// Most actions of one run on one loop; 0 blocks everything.
    pub max_actions_per_loop: u64,
    /// Seconds before the same candidate is eligible again.
    pub cooldown_seconds: u64,
    /// Nothing happens by itself.
    pub kill_switch: bool,
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            max_actions_per_run: 1,
            max_actions_per_loop: 1,
            cooldown_seconds: 300,
            kill_switch: false,
        }
    }
}

/// Who decided on the autonomy, and until when. Texts are verbatim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Governance {
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// On whose approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_ref: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
    /// Whole days between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_window_days: Option<i64>,
}

impl Governance {
    /// The review deadline, if it is a timestamp.
    pub fn review_deadline(&self) -> Option<Timestamp> {
        Timestamp::parse(self.review_by.as_deref()?)
    }

    /// The deadline's text if it has passed: the moment itself counts as
    /// passed (chapter 05 §1.4 rule 30.8).
    pub fn lapsed(&self, now: Timestamp) -> Option<&str> {
        let deadline = self.review_deadline()?;
        self.review_by.as_deref().filter(|_| deadline <= now)
    }
}

/// For which loops autonomy is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Share of the loops in scope, 0 to 100.
    pub canary_percent: u8,
    /// Which loops at all.
    pub scope: Scope,
    /// How the share is chosen.
    pub selector: Selector,
    /// Switched off by a person.
    pub pause: Pause,
    /// Switched off by bad outcomes.
    pub auto_pause: AutoPause,
    /// Additive: loops on which nothing happens by itself (decision D27).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen_loop_ids: Vec<String>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            canary_percent: 100,
            scope: Scope::default(),
            selector: Selector::default(),
            pause: Pause::default(),
            auto_pause: AutoPause::default(),
            frozen_loop_ids: Vec::new(),
        }
    }
}

/// Which loops autonomy is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// These; empty: all.
    pub loop_ids: Vec<String>,
}

impl Scope {
    /// Whether `loop_id` is in it.
    pub fn contains(&self, loop_id: &str) -> bool {
        self.loop_ids.is_empty() || self.loop_ids.iter().any(|id| id == loop_id)
    }
}

/// How the canary share is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Selector {
    /// Another salt chooses other loops.
    pub salt: String,
}

impl Default for Selector {
    fn default() -> Self {
        Self {
            salt: DEFAULT_SALT.to_owned(),
        }
    }
}

/// A pause by a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pause {
    /// Nothing happens by itself.
    pub manual: bool,
}

/// A pause by bad outcomes (chapter 06 §1.4.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutoPause {
    /// Whether it ever pauses (decision D1).
    pub enabled: bool,
    /// Executions that count, at least 1.
    pub lookback_executions: u64,
    /// Least number of attempts in them, at least 1.
    pub min_sample_size: u64,
    /// Share of ambiguous outcomes that pauses, 0 to 1.
    pub ambiguity_rate_threshold: Number,
    /// Share of failures that pauses, 0 to 1.
    pub failure_rate_threshold: Number,
    /// Additive: executions before this moment do not count (decision D18).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Timestamp>,
}

impl AutoPause {
    /// Share of ambiguous outcomes that pauses.
    pub fn ambiguity_rate(&self) -> f64 {
        self.ambiguity_rate_threshold.as_f64().unwrap_or(0.0)
    }

    /// Share of failures that pauses.
    pub fn failure_rate(&self) -> f64 {
        self.failure_rate_threshold.as_f64().unwrap_or(0.0)
    }
}

impl Default for AutoPause {
    fn default() -> Self {
        let rate = || Number::from_f64(0.4).unwrap_or_else(|| Number::from(0));
        Self {
            enabled: true,
            lookback_executions: 5,
            min_sample_size: 3,
            ambiguity_rate_threshold: rate(),
            failure_rate_threshold: rate(),
            cleared_at: None,
        }
    }
}
