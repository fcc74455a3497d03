//! Reason codes of policy, and what they are about (chapter 06 §1.4.2,
//! §1.4.5, §1.7; decisions D14–D17, D23, D27).

use serde::{Deserialize, Serialize};

/// Which of fleet status's suppression paths a reason belongs to (chapter 05
/// §3.4, decision D27).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonPath {
    /// Policy itself: mode, allow lists, thresholds, safety rails, guards.
    Policy,
    /// The rollout: scope, canary, freeze, pauses.
    Rollout,
    /// Governance: the review.
    Governance,
    /// The way to the loop.
    Transport,
}

/// Declares [`AutonomyReason`] with name on the wire and path, so that no
/// reason is forgotten in one of the tables.
macro_rules! autonomy_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $path:ident;)+) => {
        /// Why a candidate may not be acted on without a person.
        ///
        /// The order is that of the gates; on the wire reasons are sorted by
        /// name, see [`AutonomyReason::sorted`].
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum AutonomyReason {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl AutonomyReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Which suppression path of fleet status counts it.
            pub fn path(self) -> ReasonPath {
                match self {
                    $(Self::$variant => ReasonPath::$path,)+
                }
            }
        }
    };
}

autonomy_reasons! {
    /// Autonomy is off.
    PolicyModeNotGuardedAuto = "policy_mode_not_guarded_auto", Policy;
    /// The governance review is past its deadline (decision D14).
    GovernanceReviewExpired = "autonomous_governance_review_expired", Governance;
    /// The candidate is suppressed.
    CandidateSuppressed = "candidate_suppressed", Policy;
    /// Its category is not allowed.
    CategoryNotAllowlisted = "category_not_allowlisted", Policy;
    /// There is nothing to do about it.
    NoRecommendedIntent = "no_recommended_intent", Policy;
    /// Its intent is not allowed.
    IntentNotAllowlisted = "intent_not_allowlisted", Policy;
    /// It is not severe enough.
    SeverityBelowThreshold = "severity_below_threshold", Policy;
    /// It is not certain enough.
    ConfidenceBelowThreshold = "confidence_below_threshold", Policy;
    /// State and events of the loop disagree (decision D27).
    LoopDivergence = "autonomous_loop_divergence", Policy;
    /// Somebody froze the loop (decision D27).
    LoopFrozen = "autonomous_loop_frozen", Rollout;
    /// The loop is outside of the rollout's scope.
    RolloutScopeExcluded = "autonomous_rollout_scope_excluded", Rollout;
    /// The loop is not in the canary cohort.
    RolloutCanaryExcluded = "autonomous_rollout_canary_excluded", Rollout;
    /// Somebody paused the rollout.
    RolloutPausedManual = "autonomous_rollout_paused_manual", Rollout;
    /// Earlier outcomes paused the rollout.
    RolloutPausedAuto = "autonomous_rollout_paused_auto", Rollout;
    /// Too many of them were ambiguous.
    AutopauseAmbiguousSpike = "autonomous_autopause_ambiguous_spike", Rollout;
    /// Too many of them were failures.
    AutopauseFailureSpike = "autonomous_autopause_failure_spike", Rollout;
    /// The kill switch is on.
    KillSwitchEnabled = "autonomous_kill_switch_enabled", Policy;
    /// It was eligible a moment ago.
    CooldownActive = "autonomous_cooldown_active", Policy;
    /// As many actions as one run may take are taken.
    MaxActionsPerRunExceeded = "autonomous_max_actions_per_run_exceeded", Policy;
    /// As many actions as one loop may get in a run are taken.
    MaxActionsPerLoopExceeded = "autonomous_max_actions_per_loop_exceeded", Policy;
    /// Its last outcome is unknown (decision D16).
    RetryGuardAmbiguous = "autonomous_retry_guard_ambiguous", Policy;
    /// Its last outcome was a failure (decision D16).
    RetryGuardFailed = "autonomous_retry_guard_failed", Policy;
    /// It was executed in this evaluation (decision D17).
    AlreadyExecuted = "autonomous_already_executed", Policy;
    /// The loop's run is not the one that was judged (decision D23).
    RunChanged = "autonomous_run_changed", Policy;
    /// The registry cannot be read any more (decision D15).
    RegistryUnavailable = "registry_unavailable", Transport;
    /// The registry does not name the loop any more (decision D15).
    LoopNotInRegistry = "loop_not_in_registry", Policy;
    /// The registry disables the loop (decision D15).
    LoopDisabled = "loop_disabled", Policy;
}

impl AutonomyReason {
    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|reason| reason.as_str() == text)
    }

    /// Without duplicates, ascending by name: the form on the wire.
    pub fn sorted(reasons: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut sorted: Vec<Self> = reasons.into_iter().collect();
        sorted.sort_unstable_by_key(|reason| reason.as_str());
        sorted.dedup();
        sorted
    }
}

/// Where a suppression comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SuppressionScope {
    /// Registry, for this loop.
    Loop,
    /// Registry, for every loop.
    Global,
    /// The same candidate was shown a moment ago.
    Cooldown,
}

impl SuppressionScope {
    /// Every scope, in order of precedence.
    pub const ALL: [Self; 3] = [Self::Loop, Self::Global, Self::Cooldown];

    /// Why.
    pub fn reason(self) -> SuppressionReason {
        match self {
            Self::Loop | Self::Global => SuppressionReason::RegistryPolicySuppression,
            Self::Cooldown => SuppressionReason::AdvisoryCooldownActive,
        }
    }

    /// The setting behind it, literally.
    pub fn source(self) -> &'static str {
        match self {
            Self::Loop => "policy.suppressions.<loopId>",
            Self::Global => "policy.suppressions.*",
            Self::Cooldown => "policy.noiseControls.dedupeWindowSeconds",
        }
    }
}

/// Why a candidate is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    /// The registry says so.
    RegistryPolicySuppression,
    /// The advisory cooldown runs.
    AdvisoryCooldownActive,
}

/// What an evaluation comes to (chapter 06 §1.7), in order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PolicyReasonCode {
    /// Some candidate is not suppressed.
    FleetActionRequired,
    /// Some candidate was shown a moment ago.
    FleetActionsDeduped,
    /// Some candidate is suppressed by the registry.
    FleetActionsPolicySuppressed,
    /// Some candidate is suppressed.
    FleetActionsSuppressed,
    /// Auto-pause is on.
    FleetAutoCandidatesAutopauseTriggered,
    /// Nothing of what is to be done may be done without a person.
    FleetAutoCandidatesBlocked,
    /// Something may be done without a person.
    FleetAutoCandidatesEligible,
    /// The rollout is paused.
    FleetAutoCandidatesPaused,
    /// Some candidate is outside of the rollout.
    FleetAutoCandidatesRolloutGated,
    /// Some candidate is held back by cooldown or caps.
    FleetAutoCandidatesSafetyBlocked,
    /// Some candidate is held back by the kill switch.
    FleetAutoKillSwitchEnabled,
    /// Every candidate is suppressed, or there is none.
    NoActionRequired,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn every_reason_is_written_by_its_name_and_read_back() {
        for reason in AutonomyReason::ALL {
            assert_eq!(AutonomyReason::parse(reason.as_str()), Some(*reason));
            assert_eq!(json::to_value(reason), reason.as_str());
        }
    }

    #[test]
    fn reasons_are_a_set_sorted_by_name() {
        let reasons = AutonomyReason::ALL.iter().chain(AutonomyReason::ALL);
        let sorted = AutonomyReason::sorted(reasons.copied());
        assert_eq!(sorted.len(), AutonomyReason::ALL.len());
        assert!(sorted.windows(2).all(|w| w[0].as_str() < w[1].as_str()));
    }

    #[test]
    fn every_reason_of_fleet_status_is_in_its_path() {
        let paths = [
            (
                ReasonPath::Policy,
                "policy_mode_not_guarded_auto candidate_suppressed category_not_allowlisted \
                 intent_not_allowlisted no_recommended_intent severity_below_threshold \
                 confidence_below_threshold autonomous_kill_switch_enabled \
                 autonomous_cooldown_active autonomous_max_actions_per_run_exceeded \
                 autonomous_max_actions_per_loop_exceeded loop_disabled loop_not_in_registry \
                 autonomous_already_executed autonomous_retry_guard_ambiguous \
                 autonomous_retry_guard_failed autonomous_loop_divergence autonomous_run_changed",
            ),
            (
                ReasonPath::Rollout,
                "autonomous_rollout_scope_excluded autonomous_rollout_canary_excluded \
                 autonomous_rollout_paused_manual autonomous_rollout_paused_auto \
                 autonomous_autopause_ambiguous_spike autonomous_autopause_failure_spike \
                 autonomous_loop_frozen",
            ),
            (
                ReasonPath::Governance,
                "autonomous_governance_review_expired",
            ),
            (ReasonPath::Transport, "registry_unavailable"),
        ];
        let mut seen = 0;
        for (path, names) in paths {
            for name in names.split_ascii_whitespace() {
                let reason = AutonomyReason::parse(name).expect("is a reason");
                assert_eq!(reason.path(), path, "{name}");
                seen += 1;
            }
        }
        assert_eq!(seen, AutonomyReason::ALL.len());
    }
}
