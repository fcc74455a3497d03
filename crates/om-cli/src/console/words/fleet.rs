//! Reason codes of the fleet, of policy and of handoff, in words.

/// What a person needs to know about one code.
#[derive(Clone, Copy, Debug)]
pub struct FleetExplanation {
    /// The code on the wire.
    pub code: &'static str,
    /// What it means, as a clause.
    pub meaning: &'static str,
    /// What to do, as a sentence.
    pub advice: &'static str,
}

const fn explanation(
    code: &'static str,
    meaning: &'static str,
    advice: &'static str,
) -> FleetExplanation {
    FleetExplanation {
        code,
        meaning,
        advice,
    }
}

/// Every code of fan-out, policy and handoff that is not a health reason.
pub const EXPLANATIONS: &[FleetExplanation] = &[
    // Why a loop has no result (chapter 05 §2.4).
    explanation(
        "loop_disabled",
        "disabled in the registry",
        "Set enabled to true in the registry to observe it again.",
    ),
    explanation(
        "reconcile_timeout",
        "its pass took too long",
        "See whether its service answers; --loop-timeout-seconds sets the limit.",
    ),
    explanation(
        "missing_runtime_artifacts",
        "the runtime has left no files",
        "Check the loop's id and repository; has it ever run here?",
    ),
    explanation(
        "missing_service_base_url",
        "no service address in the registry",
        "Set service.baseUrl of the loop in the registry.",
    ),
    explanation(
        "missing_service_token_env",
        "the variable with its token is not set",
        "Set the environment variable that service.tokenEnv names.",
    ),
    // What a fan-out comes to.
    explanation(
        "fleet_health_critical",
        "a loop is critical",
        "Start with the first loop of the list.",
    ),
    explanation(
        "fleet_health_degraded",
        "a loop is degraded",
        "Start with the first loop of the list.",
    ),
    explanation(
        "fleet_loop_skipped",
        "a loop is disabled",
        "Nothing, if that is intended.",
    ),
    explanation(
        "fleet_partial_failure",
        "some loops could not be observed",
        "Start with those that failed: nothing is known about them.",
    ),
    explanation(
        "fleet_reconcile_failed",
        "no loop could be observed",
        "Look for a common cause: network, service, disk.",
    ),
    // Why something does not happen by itself (chapter 06 §1.4.5).
    explanation(
        "policy_mode_not_guarded_auto",
        "mode is advisory: people confirm everything",
        "Approve it by hand.",
    ),
    explanation(
        "autonomous_governance_review_expired",
        "the governance review has expired",
        "Review the policy and renew --review-by; until then approve by hand.",
    ),
    explanation(
        "candidate_suppressed",
        "suppressed",
        "Lift the suppression if it hides something.",
    ),
    explanation(
        "category_not_allowlisted",
        "its category is not allowed to act by itself",
        "Approve it by hand.",
    ),
    explanation(
        "no_recommended_intent",
        "there is no action for it",
        "Look at the loop.",
    ),
    explanation(
        "intent_not_allowlisted",
        "its action is not allowed by itself",
        "Approve it by hand.",
    ),
    explanation(
        "severity_below_threshold",
        "not severe enough to act by itself",
        "Approve it by hand if it has to be.",
    ),
    explanation(
        "confidence_below_threshold",
        "not certain enough to act by itself",
        "Look at the evidence, then decide.",
    ),
    explanation(
        "autonomous_loop_divergence",
        "state and events of the loop contradict each other",
        "Compare state and events before you act; reconcile with --from-start.",
    ),
    explanation(
        "autonomous_loop_frozen",
        "somebody froze the loop",
        "Unfreeze it when the incident is over: fleet policy set freeze <loop> off.",
    ),
    explanation(
        "autonomous_rollout_scope_excluded",
        "outside of the rollout's scope",
        "Approve it by hand.",
    ),
    explanation(
        "autonomous_rollout_canary_excluded",
        "not in the canary cohort",
        "Approve it by hand.",
    ),
    explanation(
        "autonomous_rollout_paused_manual",
        "somebody paused the rollout",
        "Resume when the incident is over: fleet policy set pause off.",
    ),
    explanation(
        "autonomous_rollout_paused_auto",
        "bad outcomes paused the rollout",
        "Find out why, then: fleet policy set autopause clear.",
    ),
    explanation(
        "autonomous_autopause_ambiguous_spike",
        "too many outcomes are unknown",
        "See what became of the last dispatches.",
    ),
    explanation(
        "autonomous_autopause_failure_spike",
        "too many dispatches failed",
        "See why the last dispatches failed.",
    ),
    explanation(
        "autonomous_kill_switch_enabled",
        "the kill switch is on",
        "Turn it off when it is safe: fleet policy set kill-switch off.",
    ),
    explanation(
        "autonomous_cooldown_active",
        "it was eligible a moment ago",
        "Wait for the cooldown, or approve it by hand.",
    ),
    explanation(
        "autonomous_max_actions_per_run_exceeded",
        "the actions of this run are used up",
        "The next run takes the next ones.",
    ),
    explanation(
        "autonomous_max_actions_per_loop_exceeded",
        "the loop's actions of this run are used up",
        "The next run takes the next ones.",
    ),
    explanation(
        "autonomous_retry_guard_ambiguous",
        "its last outcome is unknown",
        "See what was executed before you repeat it.",
    ),
    explanation(
        "autonomous_retry_guard_failed",
        "its last attempt failed",
        "Fix the cause before you repeat it.",
    ),
    explanation(
        "autonomous_already_executed",
        "it was executed already",
        "Look again after the next evaluation.",
    ),
    explanation(
        "autonomous_run_changed",
        "the loop is in another run now",
        "Evaluate again: what was judged is over.",
    ),
    explanation(
        "registry_unavailable",
        "the registry cannot be read",
        "Run fleet-registry, which names every mistake.",
    ),
    explanation(
        "loop_not_in_registry",
        "the registry does not name the loop any more",
        "Nothing, if that is intended.",
    ),
    explanation(
        "registry_policy_suppression",
        "suppressed in the registry",
        "Lift it if it hides something: fleet policy set suppress … off.",
    ),
    explanation(
        "advisory_cooldown_active",
        "it was reported a moment ago",
        "It is the same finding as before; it can be approved by hand.",
    ),
    // What an evaluation comes to (chapter 06 §1.7).
    explanation(
        "fleet_action_required",
        "something is to be done",
        "See what waits for a person.",
    ),
    explanation(
        "fleet_actions_deduped",
        "some findings were reported a moment ago",
        "Nothing.",
    ),
    explanation(
        "fleet_actions_policy_suppressed",
        "the registry suppresses some findings",
        "Check that scope and review of the suppression are documented.",
    ),
    explanation(
        "fleet_actions_suppressed",
        "some findings are suppressed",
        "Nothing, if that is intended.",
    ),
    explanation(
        "fleet_auto_candidates_autopause_triggered",
        "bad outcomes paused the rollout",
        "Find out why, then: fleet policy set autopause clear.",
    ),
    explanation(
        "fleet_auto_candidates_blocked",
        "nothing may be done by itself",
        "See what waits for a person.",
    ),
    explanation(
        "fleet_auto_candidates_eligible",
        "something may be done by itself",
        "Nothing: the next run does it.",
    ),
    explanation(
        "fleet_auto_candidates_paused",
        "the rollout is paused",
        "Resume when it is safe.",
    ),
    explanation(
        "fleet_auto_candidates_rollout_gated",
        "some loops are outside of the rollout",
        "Approve those by hand.",
    ),
    explanation(
        "fleet_auto_candidates_safety_blocked",
        "cooldown or caps hold something back",
        "The next runs take it.",
    ),
    explanation(
        "fleet_auto_kill_switch_enabled",
        "the kill switch is on",
        "Turn it off when it is safe: fleet policy set kill-switch off.",
    ),
    explanation("no_action_required", "nothing is to be done", "Nothing."),
    // What a plan comes to (chapter 06 §2.7).
    explanation(
        "fleet_handoff_action_required",
        "something is to be done",
        "See what waits for a person.",
    ),
    explanation(
        "fleet_handoff_auto_eligible_intents",
        "something may be done by itself",
        "Nothing: the next run does it.",
    ),
    explanation(
        "fleet_handoff_confirmation_pending",
        "something waits for a person",
        "Approve it: ops-manager fleet handoff approve.",
    ),
    explanation(
        "fleet_handoff_executed",
        "something was executed",
        "Reconcile, to see the effect.",
    ),
    explanation(
        "fleet_handoff_execution_ambiguous",
        "an outcome is unknown",
        "See what was executed before you repeat it.",
    ),
    explanation(
        "fleet_handoff_execution_failed",
        "an execution failed",
        "Fix the cause before you repeat it.",
    ),
    explanation(
        "fleet_handoff_no_action",
        "nothing is to be done",
        "Nothing.",
    ),
    explanation(
        "fleet_handoff_partial_mapping",
        "some findings have no action",
        "Look at those loops.",
    ),
    explanation(
        "fleet_handoff_retry_guarded",
        "something is guarded against repetition",
        "Resolve it: approve it by hand once the cause is known.",
    ),
    explanation(
        "fleet_handoff_unmapped_candidates",
        "no finding has an action",
        "Look at those loops.",
    ),
    explanation("control_confirmed", "done", "Reconcile, to see the effect."),
    // Where governance stands (chapter 05 §3.4).
    explanation(
        "not_required",
        "people confirm everything, no review needed",
        "Nothing.",
    ),
    explanation(
        "authority_missing",
        "nobody is named who allowed autonomy",
        "Name actor, approval, rationale and review date in the registry.",
    ),
    explanation(
        "review_deadline_missing",
        "autonomy has no review date",
        "Set --review-by.",
    ),
    explanation(
        "review_expired",
        "the governance review has expired",
        "Review the policy and renew --review-by; until then approve by hand.",
    ),
    explanation(
        "review_due_soon",
        "the governance review is due soon",
        "Plan the review.",
    ),
    explanation("active", "reviewed", "Nothing."),
];

/// The explanation of `code`, if it has one.
pub fn explain(code: &str) -> Option<&'static FleetExplanation> {
    EXPLANATIONS
        .iter()
        .find(|explanation| explanation.code == code)
}

/// What `code` means, whichever plane it comes from; itself if nobody knows.
pub fn meaning(code: &str) -> &str {
    let of_loop = || super::explain(code).map(|known| known.meaning);
    let of_fleet = explain(code).map(|known| known.meaning);
    of_fleet.or_else(of_loop).unwrap_or(code)
}

/// What to do about `code`, whichever plane it comes from.
pub fn advice(code: &str) -> Option<&'static str> {
    let of_loop = || super::explain(code).map(|known| known.advice);
    explain(code).map(|known| known.advice).or_else(of_loop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use om_model::fleet::handoff::{HandoffReason, OutcomeReason};
    use om_model::fleet::policy::{AutonomyReason, PolicyReasonCode, SuppressionScope};
    use om_model::fleet::state::FleetReasonCode;
    use om_model::json;

    #[test]
    fn every_code_of_fleet_policy_and_handoff_is_explained() {
        let mut codes: Vec<String> = Vec::new();
        codes.extend(AutonomyReason::ALL.iter().map(|c| c.as_str().to_owned()));
        codes.extend(FleetReasonCode::ALL.map(|c| c.as_str().to_owned()));
        codes.extend(SuppressionScope::ALL.map(|s| text(&s.reason())));
        codes.extend(POLICY.map(|c| text(&c)));
        codes.extend(HANDOFF.map(|c| text(&c)));
        codes.extend(OUTCOMES.map(|c| c.as_str().to_owned()));
        for code in codes {
            assert_ne!(meaning(&code), code);
            assert!(advice(&code).is_some(), "{code}");
        }
    }

    fn text<T: serde::Serialize>(code: &T) -> String {
        json::text(&json::to_value(code))
    }

    #[test]
    fn every_code_is_explained_once() {
        let mut codes: Vec<&str> = EXPLANATIONS.iter().map(|e| e.code).collect();
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    const POLICY: [PolicyReasonCode; 12] = [
        PolicyReasonCode::FleetActionRequired,
        PolicyReasonCode::FleetActionsDeduped,
        PolicyReasonCode::FleetActionsPolicySuppressed,
        PolicyReasonCode::FleetActionsSuppressed,
        PolicyReasonCode::FleetAutoCandidatesAutopauseTriggered,
        PolicyReasonCode::FleetAutoCandidatesBlocked,
        PolicyReasonCode::FleetAutoCandidatesEligible,
        PolicyReasonCode::FleetAutoCandidatesPaused,
        PolicyReasonCode::FleetAutoCandidatesRolloutGated,
        PolicyReasonCode::FleetAutoCandidatesSafetyBlocked,
        PolicyReasonCode::FleetAutoKillSwitchEnabled,
        PolicyReasonCode::NoActionRequired,
    ];

    const HANDOFF: [HandoffReason; 10] = [
        HandoffReason::FleetHandoffActionRequired,
        HandoffReason::FleetHandoffAutoEligibleIntents,
        HandoffReason::FleetHandoffConfirmationPending,
        HandoffReason::FleetHandoffExecuted,
        HandoffReason::FleetHandoffExecutionAmbiguous,
        HandoffReason::FleetHandoffExecutionFailed,
        HandoffReason::FleetHandoffNoAction,
        HandoffReason::FleetHandoffPartialMapping,
        HandoffReason::FleetHandoffRetryGuarded,
        HandoffReason::FleetHandoffUnmappedCandidates,
    ];

    const OUTCOMES: [OutcomeReason; 4] = [
        OutcomeReason::ControlConfirmed,
        OutcomeReason::ControlAmbiguous,
        OutcomeReason::ControlFailedCommand,
        OutcomeReason::MissingServiceBaseUrl,
    ];
}
