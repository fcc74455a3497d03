//! Gates, and why they fail (chapter 07 §1.4).

use std::fmt;

use serde::{Serialize, Serializer};

/// A gate, in the order in which trouble is best fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Somebody answers for the autonomy, for a limited time.
    Governance,
    /// Autonomous runs do what they should.
    OutcomeReliability,
    /// People keep up with what is left to them.
    ManualBacklog,
    /// Nothing is paused by trouble, and every suppression is explained.
    SafetySuppression,
    /// The safety nets were tried lately.
    DrillRecency,
}

impl Gate {
    /// Every gate, in order.
    pub const ALL: [Self; 5] = [
        Self::Governance,
        Self::OutcomeReliability,
        Self::ManualBacklog,
        Self::SafetySuppression,
        Self::DrillRecency,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::OutcomeReliability => "outcome_reliability",
            Self::ManualBacklog => "manual_backlog",
            Self::SafetySuppression => "safety_suppression",
            Self::DrillRecency => "drill_recency",
        }
    }
}

/// A drill that has to have been passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Drill {
    /// The kill switch stops autonomous execution.
    KillSwitch,
    /// A transport outage pauses autonomy.
    SpriteServiceOutage,
    /// An ambiguous outcome is not tried again.
    AmbiguousRetryGuard,
}

impl Drill {
    /// Every drill, in the order in which they are required.
    pub const REQUIRED: [Self; 3] = [
        Self::KillSwitch,
        Self::SpriteServiceOutage,
        Self::AmbiguousRetryGuard,
    ];

    /// The id in the evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KillSwitch => "kill_switch",
            Self::SpriteServiceOutage => "sprite_service_outage",
            Self::AmbiguousRetryGuard => "ambiguous_retry_guard",
        }
    }
}

/// What is wrong with the evidence of one drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DrillTrouble {
    /// There is none.
    Missing,
    /// The drill was not passed.
    NotPassed,
    /// It does not say when, or says a time to come (decision D19).
    TimestampInvalid,
    /// It is too long ago.
    Stale,
}

impl DrillTrouble {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotPassed => "not_passed",
            Self::TimestampInvalid => "timestamp_invalid",
            Self::Stale => "stale",
        }
    }
}

/// Why a gate fails (chapter 07 §1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GateReason {
    /// Autonomy is not enabled.
    PolicyModeNotGuardedAuto,
    /// The governance posture is not `active`.
    GovernancePostureNotActive,
    /// Governance blocks autonomy.
    GovernanceBlocksAutonomous,
    /// Nobody answers for it.
    GovernanceAuthorityMissing,
    /// There is no date of review.
    GovernanceReviewDeadlineMissing,
    /// That date has passed.
    GovernanceReviewExpired,
    /// There is no record of runs.
    HandoffTelemetryMissing,
    /// It cannot be read.
    HandoffTelemetryInvalid,
    /// Too few runs.
    AutonomousSampleInsufficient,
    /// Additive: too few because of the age of the others (decision D19).
    AutonomousSampleStale,
    /// Enough runs, none of which did anything.
    AutonomousAttemptsZero,
    /// Too many ambiguous outcomes.
    AutonomousAmbiguityRateExceeded,
    /// Too many failures.
    AutonomousFailureRateExceeded,
    /// The backlog is not known.
    ManualBacklogUnavailable,
    /// Too many intents wait for people.
    ManualBacklogExceeded,
    /// Auto-pause is active.
    AutopauseActive,
    /// Suppressions are not explained by path.
    SuppressionPathsMissing,
    /// There is no evidence of drills.
    DrillStateMissing,
    /// It cannot be read.
    DrillStateInvalid,
    /// Something is wrong with one drill.
    Drill(DrillTrouble, Drill),
}

impl GateReason {
    /// The name on the wire but for the drill's id.
    fn stem(self) -> &'static str {
        match self {
            Self::PolicyModeNotGuardedAuto => "policy_mode_not_guarded_auto",
            Self::GovernancePostureNotActive => "governance_posture_not_active",
            Self::GovernanceBlocksAutonomous => "governance_blocks_autonomous",
            Self::GovernanceAuthorityMissing => "governance_authority_missing",
            Self::GovernanceReviewDeadlineMissing => "governance_review_deadline_missing",
            Self::GovernanceReviewExpired => "governance_review_expired",
            Self::HandoffTelemetryMissing => "handoff_telemetry_missing",
            Self::HandoffTelemetryInvalid => "handoff_telemetry_invalid",
            Self::AutonomousSampleInsufficient => "autonomous_sample_insufficient",
            Self::AutonomousSampleStale => "autonomous_sample_stale",
            Self::AutonomousAttemptsZero => "autonomous_attempts_zero",
            Self::AutonomousAmbiguityRateExceeded => "autonomous_ambiguity_rate_exceeded",
            Self::AutonomousFailureRateExceeded => "autonomous_failure_rate_exceeded",
            Self::ManualBacklogUnavailable => "manual_backlog_unavailable",
            Self::ManualBacklogExceeded => "manual_backlog_exceeded",
            Self::AutopauseActive => "autopause_active",
            Self::SuppressionPathsMissing => "suppression_paths_missing",
            Self::DrillStateMissing => "drill_state_missing",
            Self::DrillStateInvalid => "drill_state_invalid",
            Self::Drill(..) => "drill",
        }
    }
}

impl fmt::Display for GateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promotion_{}", self.stem())?;
        match self {
            Self::Drill(trouble, drill) => write!(f, "_{}_{}", trouble.as_str(), drill.as_str()),
            _ => Ok(()),
        }
    }
}

impl Serialize for GateReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for GateReason {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GateReason".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^promotion_[a-z_]+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drills_reason_names_the_drill() {
        let reason = GateReason::Drill(DrillTrouble::TimestampInvalid, Drill::KillSwitch);
        assert_eq!(
            reason.to_string(),
            "promotion_drill_timestamp_invalid_kill_switch"
        );
        assert_eq!(
            GateReason::DrillStateMissing.to_string(),
            "promotion_drill_state_missing"
        );
    }

    #[test]
    fn names_on_the_wire_are_those_of_the_types() {
        for gate in Gate::ALL {
            assert_eq!(serde_json::to_value(gate).ok(), Some(gate.as_str().into()));
        }
        for drill in Drill::REQUIRED {
            assert_eq!(
                serde_json::to_value(drill).ok(),
                Some(drill.as_str().into())
            );
        }
    }
}
