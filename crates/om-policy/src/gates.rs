//! What opens the way for the manager to act by itself (chapter 06 §1.4.5,
//! phase A; decisions D14 and D27).

use om_model::control::Intent;
use om_model::fleet::policy::{AutonomyReason, Gates, Pause, Selector};
use om_model::fleet::registry::{Policy, PolicyMode};

use crate::candidates::Finding;

/// One candidate before the gates.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Whether the governance review is not past its deadline.
    pub review_current: bool,
    /// What is wrong.
    pub finding: &'a Finding<'a>,
    /// Whether it is suppressed.
    pub suppressed: bool,
    /// The loop's place in the rollout.
    pub place: &'a Selector,
    /// Whether somebody froze the loop.
    pub frozen: bool,
    /// The run's pause.
    pub pause: &'a Pause,
}

/// One gate: open, or a reason.
pub struct Gate {
    /// Why nobody gets through while it is closed.
    pub reason: AutonomyReason,
    is_open: fn(&Case<'_>) -> bool,
}

/// All gates in their order. Every one of them is tried.
pub const GATES: [Gate; 14] = [
    Gate {
        reason: AutonomyReason::PolicyModeNotGuardedAuto,
        is_open: |case| case.mode_guarded_auto(),
    },
    Gate {
        reason: AutonomyReason::GovernanceReviewExpired,
        is_open: |case| case.review_current,
    },
    Gate {
        reason: AutonomyReason::CandidateSuppressed,
        is_open: |case| !case.suppressed,
    },
    Gate {
        reason: AutonomyReason::CategoryNotAllowlisted,
        is_open: |case| case.category_allowed(),
    },
    Gate {
        reason: AutonomyReason::NoRecommendedIntent,
        is_open: |case| case.intent().is_some(),
    },
    Gate {
        reason: AutonomyReason::IntentNotAllowlisted,
        is_open: |case| case.intent().is_none() || case.intent_allowed(),
    },
    Gate {
        reason: AutonomyReason::SeverityBelowThreshold,
        is_open: |case| case.severity_meets_threshold(),
    },
    Gate {
        reason: AutonomyReason::ConfidenceBelowThreshold,
        is_open: |case| case.confidence_meets_threshold(),
    },
    Gate {
        reason: AutonomyReason::LoopDivergence,
        is_open: |case| !case.finding.result.diverged,
    },
    Gate {
        reason: AutonomyReason::LoopFrozen,
        is_open: |case| !case.frozen,
    },
    Gate {
        reason: AutonomyReason::RolloutScopeExcluded,
        is_open: |case| case.place.in_scope,
    },
    Gate {
        reason: AutonomyReason::RolloutCanaryExcluded,
        is_open: |case| !case.place.in_scope || case.place.canary_selected,
    },
    Gate {
        reason: AutonomyReason::RolloutPausedManual,
        is_open: |case| !case.pause.manual,
    },
    Gate {
        reason: AutonomyReason::RolloutPausedAuto,
        is_open: |case| !case.pause.auto.active,
    },
];

/// Why the candidate does not get through, sorted; empty if it does. A closed
/// auto-pause gate also says which spikes closed it.
pub fn reasons(case: &Case<'_>) -> Vec<AutonomyReason> {
    let closed = GATES.iter().filter(|gate| !(gate.is_open)(case));
    let spikes = case.pause.auto.reasons.iter().copied();
    AutonomyReason::sorted(closed.map(|gate| gate.reason).chain(spikes))
}

/// How the gates stand, for the document.
pub fn states(case: &Case<'_>) -> Gates {
    Gates {
        mode_guarded_auto: case.mode_guarded_auto(),
        suppressed: case.suppressed,
        category_allowed: case.category_allowed(),
        intent_allowed: case.intent_allowed(),
        severity_meets_threshold: case.severity_meets_threshold(),
        confidence_meets_threshold: case.confidence_meets_threshold(),
        rollout_scope_allowed: case.place.in_scope,
        rollout_canary_selected: case.place.canary_selected,
        governance_review_current: case.review_current,
        loop_converged: !case.finding.result.diverged,
        loop_not_frozen: !case.frozen,
    }
}

impl Case<'_> {
    fn intent(&self) -> Option<Intent> {
        self.finding.kind.intent
    }

    fn mode_guarded_auto(&self) -> bool {
        self.policy.mode == PolicyMode::GuardedAuto
    }

    fn category_allowed(&self) -> bool {
        let allowed = &self.policy.autonomous.allow.categories;
        allowed.contains(&self.finding.kind.category)
    }

    fn intent_allowed(&self) -> bool {
        let allowed = &self.policy.autonomous.allow.intents;
        self.intent()
            .is_some_and(|intent| allowed.contains(&intent))
    }

    fn severity_meets_threshold(&self) -> bool {
        self.finding.kind.severity >= self.policy.autonomous.thresholds.min_severity
    }

    fn confidence_meets_threshold(&self) -> bool {
        self.finding.kind.confidence >= self.policy.autonomous.thresholds.min_confidence
    }
}
