//! The reason codes of a plan, and of the state after its execution (chapter
//! 06 §2.7).

use om_handoff::summary::evaluate;
use om_model::fleet::handoff::{HandoffIntent, HandoffSummary, IntentStatus};
use om_model::json::to_value;
use serde_json::json;

use crate::support::{candidate, fresh, with};

fn intent(status: IntentStatus, eligible: bool) -> HandoffIntent {
    let members = json!({"autonomous": {"eligible": eligible}});
    let plan = fresh(&[with(candidate("a", "health_critical"), members)]);
    let mut intent = plan.intents[0].clone();
    intent.status = status;
    intent
}

#[test]
fn every_code_has_its_condition() {
    let pending = || intent(IntentStatus::PendingOperatorConfirmation, false);
    let mut guarded = intent(IntentStatus::Executed, false);
    guarded.autonomous.reasons = vec!["autonomous_retry_guard_failed".to_owned()];
    let table: [(u64, bool, Vec<HandoffIntent>, &str); 9] = [
        (0, false, vec![], "no_action"),
        (
            1,
            true,
            vec![],
            "no_action partial_mapping unmapped_candidates",
        ),
        (
            1,
            false,
            vec![pending()],
            "action_required confirmation_pending",
        ),
        (
            2,
            true,
            vec![pending()],
            "action_required confirmation_pending partial_mapping",
        ),
        (
            0,
            false,
            vec![intent(IntentStatus::Executed, false)],
            "action_required executed",
        ),
        (
            1,
            false,
            vec![intent(IntentStatus::ExecutionAmbiguous, false)],
            "action_required execution_ambiguous",
        ),
        (
            1,
            false,
            vec![intent(IntentStatus::ExecutionFailed, false)],
            "action_required execution_failed",
        ),
        (
            1,
            false,
            vec![guarded],
            "action_required executed retry_guarded",
        ),
        (
            1,
            false,
            vec![intent(IntentStatus::PendingOperatorConfirmation, true)],
            "action_required auto_eligible_intents confirmation_pending",
        ),
    ];
    for (unsuppressed, gap, intents, expected) in table {
        let counted = HandoffSummary {
            unsuppressed_candidate_count: unsuppressed,
            ..HandoffSummary::default()
        };
        let (_, codes) = evaluate(&counted, gap, &intents);
        let expected: Vec<String> = expected
            .split(' ')
            .map(|code| format!("fleet_handoff_{code}"))
            .collect();
        assert_eq!(to_value(&codes), json!(expected));
    }
}

#[test]
fn intents_are_counted_by_status_and_by_who_may_act() {
    let mut both = intent(IntentStatus::PendingOperatorConfirmation, true);
    both.autonomous.manual_only = true;
    let intents = [
        both,
        intent(IntentStatus::PendingOperatorConfirmation, true),
        intent(IntentStatus::PendingOperatorConfirmation, false),
        intent(IntentStatus::Executed, true),
        intent(IntentStatus::ExecutionAmbiguous, false),
        intent(IntentStatus::ExecutionFailed, false),
    ];
    let (summary, _) = evaluate(&HandoffSummary::default(), false, &intents);
    assert_eq!(
        to_value(&summary),
        json!({
            "candidateCount": 0, "unsuppressedCandidateCount": 0, "intentCount": 6,
            "autoEligibleIntentCount": 3, "manualOnlyIntentCount": 4,
            "pendingConfirmationCount": 3, "executedCount": 1, "ambiguousCount": 1,
            "failedCount": 1, "pendingManualOnlyCount": 2,
        })
    );
}

#[test]
fn a_gap_is_seen_even_if_cooldowns_fill_up_the_count() {
    let cooldown = json!({"suppressed": true, "suppressionReason": "advisory_cooldown_active"});
    let plan = fresh(&[
        json!({"loopId": "b", "category": "bad_mood"}),
        with(candidate("a", "health_critical"), cooldown),
    ]);
    assert_eq!(plan.summary.intent_count, 1);
    assert_eq!(plan.summary.unsuppressed_candidate_count, 1);
    assert_eq!(
        to_value(&plan.reason_codes),
        json!([
            "fleet_handoff_action_required",
            "fleet_handoff_confirmation_pending",
            "fleet_handoff_partial_mapping",
        ])
    );
}
