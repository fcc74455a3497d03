//! What the intents of a plan come to (chapter 06 §2.5.1, §2.7).

use om_model::fleet::handoff::{HandoffIntent, HandoffReason, HandoffSummary, IntentStatus};

/// Begins the reasons of both guards.
const RETRY_GUARD: &str = "autonomous_retry_guard_";

/// Counts the intents and says what that means. The counts of candidates are
/// those of `counted`; `gap`: some unsuppressed candidate has no intent.
pub fn evaluate(
    counted: &HandoffSummary,
    gap: bool,
    intents: &[HandoffIntent],
) -> (HandoffSummary, Vec<HandoffReason>) {
    let summary = count(counted, intents);
    let facts = Facts {
        summary: &summary,
        gap,
        guarded: intents.iter().any(is_guarded),
    };
    let reasons = TABLE.iter().filter(|(_, holds)| holds(&facts));
    let mut codes: Vec<HandoffReason> = reasons.map(|(code, _)| *code).collect();
    codes.sort_unstable();
    (summary, codes)
}

struct Facts<'a> {
    summary: &'a HandoffSummary,
    gap: bool,
    guarded: bool,
}

type Condition = fn(&Facts<'_>) -> bool;

/// Every code, and when it is raised.
const TABLE: [(HandoffReason, Condition); 10] = [
    (HandoffReason::FleetHandoffActionRequired, |f| {
        f.summary.intent_count > 0
    }),
    (HandoffReason::FleetHandoffNoAction, |f| {
        f.summary.intent_count == 0
    }),
    (HandoffReason::FleetHandoffConfirmationPending, |f| {
        f.summary.pending_confirmation_count > 0
    }),
    (HandoffReason::FleetHandoffExecuted, |f| {
        f.summary.executed_count > 0
    }),
    (HandoffReason::FleetHandoffExecutionAmbiguous, |f| {
        f.summary.ambiguous_count > 0
    }),
    (HandoffReason::FleetHandoffExecutionFailed, |f| {
        f.summary.failed_count > 0
    }),
    (HandoffReason::FleetHandoffPartialMapping, |f| f.gap),
    (HandoffReason::FleetHandoffUnmappedCandidates, |f| {
        f.summary.unsuppressed_candidate_count > 0 && f.summary.intent_count == 0
    }),
    (HandoffReason::FleetHandoffRetryGuarded, |f| f.guarded),
    (HandoffReason::FleetHandoffAutoEligibleIntents, |f| {
        f.summary.auto_eligible_intent_count > 0
    }),
];

fn is_guarded(intent: &HandoffIntent) -> bool {
    let reasons = &intent.autonomous.reasons;
    reasons.iter().any(|reason| reason.starts_with(RETRY_GUARD))
}

fn count(counted: &HandoffSummary, intents: &[HandoffIntent]) -> HandoffSummary {
    let mut summary = HandoffSummary {
        candidate_count: counted.candidate_count,
        unsuppressed_candidate_count: counted.unsuppressed_candidate_count,
        intent_count: intents.len() as u64,
        ..HandoffSummary::default()
    };
    for intent in intents {
        let pending = intent.status == IntentStatus::PendingOperatorConfirmation;
        let manual_only = intent.autonomous.manual_only;
        summary.auto_eligible_intent_count += u64::from(intent.autonomous.eligible);
        summary.manual_only_intent_count += u64::from(manual_only);
        summary.pending_manual_only_count += u64::from(pending && manual_only);
        let by_status = match intent.status {
            IntentStatus::PendingOperatorConfirmation => &mut summary.pending_confirmation_count,
            IntentStatus::Executed => &mut summary.executed_count,
            IntentStatus::ExecutionAmbiguous => &mut summary.ambiguous_count,
            IntentStatus::ExecutionFailed => &mut summary.failed_count,
        };
        *by_status += 1;
    }
    summary
}
