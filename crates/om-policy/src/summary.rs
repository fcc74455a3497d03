//! Counters and reason codes (chapter 06 §1.4.6, §1.7).

use om_model::alerts::Severity;
use om_model::drift::Confidence;
use om_model::fleet::policy::{
    AutonomyCounts, AutonomyReason, Candidate, CandidateBuckets, Counters, Pause, PolicyReasonCode,
    PolicySummary, SuppressionReason,
};
use om_model::fleet::registry::PolicyMode;

/// How many candidates of which kind.
pub fn counters(candidates: &[Candidate]) -> Counters {
    let count = |counts: fn(&Candidate) -> bool| -> u64 {
        candidates.iter().map(|c| u64::from(counts(c))).sum()
    };
    let deduped = SuppressionReason::AdvisoryCooldownActive;
    Counters {
        unsuppressed_count: count(|c| !c.suppressed),
        suppressed_count: count(|c| c.suppressed),
        cooldown_suppressed_count: candidates
            .iter()
            .map(|c| u64::from(c.suppression_reason == Some(deduped)))
            .sum(),
        auto_eligible_count: count(|c| !c.suppressed && c.autonomous.eligible),
        manual_only_count: count(|c| !c.suppressed && c.autonomous.manual_only),
    }
}

/// Counts by this and that.
pub fn summarize(candidates: &[Candidate], counters: &Counters) -> PolicySummary {
    let mut summary = PolicySummary {
        by_autonomy: AutonomyCounts {
            eligible: counters.auto_eligible_count,
            manual_only: counters.manual_only_count,
        },
        ..PolicySummary::default()
    };
    for candidate in candidates {
        let by_severity = &mut summary.by_severity;
        *match candidate.severity {
            Severity::Critical => &mut by_severity.critical,
            Severity::Warning => &mut by_severity.warning,
            Severity::Info => &mut by_severity.info,
        } += 1;
        let by_confidence = &mut summary.by_confidence;
        *match candidate.confidence {
            Confidence::High => &mut by_confidence.high,
            Confidence::Medium => &mut by_confidence.medium,
            Confidence::Low => &mut by_confidence.low,
        } += 1;
        summary.by_category.add(candidate.category);
        let suppression = candidate.suppression_reason;
        summary.by_suppression_reason.extend(suppression);
        if !candidate.suppressed {
            let reasons = candidate.autonomous.reasons.iter().copied();
            summary.by_autonomy_reason.extend(reasons);
        }
    }
    summary
}

/// Candidates, suppressed ones too, in and out of the rollout.
pub fn buckets(candidates: &[Candidate]) -> CandidateBuckets {
    let mut buckets = CandidateBuckets::default();
    for selector in candidates.iter().map(|c| &c.autonomous.rollout.selector) {
        buckets.in_scope_count += u64::from(selector.in_scope);
        buckets.in_cohort_count += u64::from(selector.in_cohort);
        buckets.out_of_cohort_count += u64::from(selector.in_scope && !selector.in_cohort);
    }
    buckets
}

/// What the reason codes of an evaluation follow from.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The run's mode.
    pub mode: PolicyMode,
    /// How many candidates of which kind.
    pub counters: &'a Counters,
    /// Further counts.
    pub summary: &'a PolicySummary,
    /// The run's pause.
    pub pause: &'a Pause,
}

/// One reason code, and when it is given.
type Rule = (PolicyReasonCode, fn(&Outcome<'_>) -> bool);

/// When each code is given, in the order of the chapter's table.
const RULES: [Rule; 12] = [
    (PolicyReasonCode::FleetActionRequired, |o| {
        o.counters.unsuppressed_count > 0
    }),
    (PolicyReasonCode::NoActionRequired, |o| {
        o.counters.unsuppressed_count == 0
    }),
    (PolicyReasonCode::FleetActionsSuppressed, |o| {
        o.counters.suppressed_count > 0
    }),
    (PolicyReasonCode::FleetActionsPolicySuppressed, |o| {
        let by_reason = &o.summary.by_suppression_reason;
        by_reason.count(&SuppressionReason::RegistryPolicySuppression) > 0
    }),
    (PolicyReasonCode::FleetActionsDeduped, |o| {
        o.counters.cooldown_suppressed_count > 0
    }),
    (PolicyReasonCode::FleetAutoCandidatesEligible, |o| {
        o.is_auto() && o.counters.auto_eligible_count > 0
    }),
    (PolicyReasonCode::FleetAutoCandidatesBlocked, |o| {
        o.is_auto() && o.counters.unsuppressed_count > 0 && o.counters.auto_eligible_count == 0
    }),
    (PolicyReasonCode::FleetAutoCandidatesRolloutGated, |o| {
        o.is_auto()
            && o.is_blocked_by(&[
                AutonomyReason::RolloutScopeExcluded,
                AutonomyReason::RolloutCanaryExcluded,
            ])
    }),
    // These two follow the pause, candidates or not (decision D18).
    (PolicyReasonCode::FleetAutoCandidatesPaused, |o| {
        o.is_auto() && o.pause.active
    }),
    (
        PolicyReasonCode::FleetAutoCandidatesAutopauseTriggered,
        |o| o.is_auto() && o.pause.auto.active,
    ),
    (PolicyReasonCode::FleetAutoKillSwitchEnabled, |o| {
        o.is_auto() && o.is_blocked_by(&[AutonomyReason::KillSwitchEnabled])
    }),
    (PolicyReasonCode::FleetAutoCandidatesSafetyBlocked, |o| {
        o.is_auto()
            && o.is_blocked_by(&[
                AutonomyReason::CooldownActive,
                AutonomyReason::MaxActionsPerRunExceeded,
                AutonomyReason::MaxActionsPerLoopExceeded,
            ])
    }),
];

/// What the evaluation comes to, sorted.
pub fn reason_codes(outcome: &Outcome<'_>) -> Vec<PolicyReasonCode> {
    let given = RULES.iter().filter(|(_, applies)| applies(outcome));
    let mut codes: Vec<_> = given.map(|(code, _)| *code).collect();
    codes.sort_unstable();
    codes
}

impl Outcome<'_> {
    fn is_auto(&self) -> bool {
        self.mode == PolicyMode::GuardedAuto
    }

    fn is_blocked_by(&self, reasons: &[AutonomyReason]) -> bool {
        self.summary.by_autonomy_reason.has_any(reasons)
    }
}
