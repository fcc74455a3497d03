//! The retry guard holds until somebody resolves it (decision D16).

use om_handoff::execution::{Outcomes, Record, executed};
use om_handoff::outcome::by_exit_code;
use om_model::fleet::handoff::{ExecutionMode, HandoffRequest, HandoffState, ResultRow};
use om_model::json::to_value;
use serde_json::{Value, json};

use crate::support::{at, candidate, guarded_auto, planned, trace, with};

const ID: &str = "a:health_critical:cancel";

fn policy(members: Value) -> Value {
    guarded_auto(&[with(candidate("a", "health_critical"), members)])
}

/// The plan after `previous` for a fleet with this candidate.
fn after(previous: &HandoffState, members: Value) -> HandoffState {
    planned(&policy(members), &to_value(previous), &["a"])
}

fn result(mode: ExecutionMode, exit_code: i64, time: &str) -> ResultRow {
    let (status, reason_code) = by_exit_code(exit_code);
    ResultRow {
        intent_id: ID.to_owned(),
        loop_id: "a".to_owned(),
        intent: "cancel".to_owned(),
        trace_id: trace("tr-9"),
        idempotency_key: "k".to_owned(),
        requested_by: "dana".to_owned(),
        executed_at: at(time),
        status,
        reason_code,
        execution_mode: mode,
        autonomous_eligible: true,
        control_exit_code: exit_code,
        control: None,
        dispatch_id: "d".to_owned(),
        recovered: false,
    }
}

/// The state after one result of a plan.
fn execute(plan: &HandoffState, mode: ExecutionMode, exit_code: i64, time: &str) -> HandoffState {
    let request = HandoffRequest {
        mode,
        requested_by: "dana".to_owned(),
        requested_at: at(time),
        note: None,
    };
    let outcomes = Outcomes {
        results: vec![result(mode, exit_code, time)],
        ..Outcomes::default()
    };
    let record = Record {
        handoff_id: "h".to_owned(),
        completed_at: at(time),
        recovered: false,
    };
    executed(plan, &request, outcomes, record).0
}

fn first_plan() -> HandoffState {
    planned(&policy(json!({})), &Value::Null, &["a"])
}

const T1: &str = "2031-05-06T07:10:10Z";
const T2: &str = "2031-05-06T07:20:20Z";

#[test]
fn what_went_wrong_is_guarded_in_every_later_plan() {
    for (exit_code, reason) in [
        (2, "autonomous_retry_guard_ambiguous"),
        (1, "autonomous_retry_guard_failed"),
        (127, "autonomous_retry_guard_failed"),
    ] {
        for mode in [ExecutionMode::Autonomous, ExecutionMode::Manual] {
            let mut state = execute(&first_plan(), mode, exit_code, T1);
            let guard = json!([{
                "intentId": ID, "candidateId": "a:health_critical", "loopId": "a",
                "reasonCode": reason, "since": T1, "lastExecutedAt": T1,
                "executionMode": mode.as_str(), "policyTraceId": "tr-9",
            }]);
            // In the original it was forgotten by the second plan.
            for _ in 0..3 {
                assert_eq!(to_value(&state.retry_guard), guard);
                state = after(&state, json!({}));
                let intent = to_value(&state.intents[0]);
                assert_eq!(
                    intent["autonomous"],
                    json!({"eligible": false, "manualOnly": true, "reasons": [reason]})
                );
                assert_eq!(intent["status"], "pending_operator_confirmation");
                let codes = to_value(&state.reason_codes);
                let codes = codes.as_array().expect("a list");
                assert!(codes.contains(&json!("fleet_handoff_retry_guarded")));
            }
        }
    }
}

#[test]
fn an_execution_that_succeeds_guards_nothing() {
    let state = execute(&first_plan(), ExecutionMode::Autonomous, 0, T1);
    assert!(state.retry_guard.is_empty());
}

#[test]
fn only_a_person_who_executes_it_ends_a_guard() {
    let guarded = execute(&first_plan(), ExecutionMode::Autonomous, 2, T1);
    let plan = after(&guarded, json!({}));
    for (mode, exit_code, guard) in [
        (ExecutionMode::Manual, 0, None),
        (
            ExecutionMode::Manual,
            2,
            Some("autonomous_retry_guard_ambiguous"),
        ),
        (
            ExecutionMode::Manual,
            1,
            Some("autonomous_retry_guard_failed"),
        ),
        (
            ExecutionMode::Autonomous,
            0,
            Some("autonomous_retry_guard_ambiguous"),
        ),
    ] {
        let state = execute(&plan, mode, exit_code, T2);
        let found = state
            .retry_guard
            .first()
            .map(|guard| guard.reason_code.as_str());
        assert_eq!(found, guard, "{mode:?} {exit_code}");
    }
}

#[test]
fn a_guard_remembers_since_when_it_stands() {
    let guarded = execute(&first_plan(), ExecutionMode::Autonomous, 2, T1);
    let again = execute(&after(&guarded, json!({})), ExecutionMode::Manual, 1, T2);
    let guard = to_value(&again.retry_guard[0]);
    assert_eq!(
        (&guard["since"], &guard["lastExecutedAt"]),
        (&json!(T1), &json!(T2))
    );
}

#[test]
fn a_guard_goes_with_its_candidate_and_not_with_a_suppression() {
    let guarded = execute(&first_plan(), ExecutionMode::Autonomous, 1, T1);
    for (members, stands) in [
        (json!({}), true),
        (
            json!({"suppressed": true, "suppressionReason": "registry_policy_suppression"}),
            true,
        ),
        (
            json!({"suppressed": true, "suppressionReason": "advisory_cooldown_active"}),
            true,
        ),
        (json!({"candidateId": null}), true),
        (json!({"recommendedIntent": "approve"}), true),
        (json!({"candidateId": "a:other"}), false),
        (
            json!({"candidateId": null, "category": "health_degraded"}),
            false,
        ),
    ] {
        let plan = after(&guarded, members.clone());
        assert_eq!(plan.retry_guard.len() == 1, stands, "{members}");
    }
    let nothing = planned(&guarded_auto(&[]), &to_value(&guarded), &["a"]);
    assert!(nothing.retry_guard.is_empty());
}

#[test]
fn guards_are_sorted_by_intent() {
    let statuses = ["c", "a", "b"].map(|id| {
        json!({"intentId": format!("{id}:health_critical:cancel"), "status": "execution_failed"})
    });
    let candidates = ["b", "c", "a"].map(|id| candidate(id, "health_critical"));
    let plan = planned(
        &guarded_auto(&candidates),
        &json!({"intents": statuses}),
        &["a", "b", "c"],
    );
    let loops: Vec<&str> = plan
        .retry_guard
        .iter()
        .map(|g| g.loop_id.as_str())
        .collect();
    assert_eq!(loops, ["a", "b", "c"]);
}

#[test]
fn reasons_are_sorted_only_where_a_guard_was_added() {
    let members = json!({"autonomous": {"eligible": false, "reasons": ["z", "m"]}});
    let plain = planned(&policy(members.clone()), &Value::Null, &["a"]);
    assert_eq!(plain.intents[0].autonomous.reasons, ["z", "m"]);
    let previous = json!({"intents": [{"intentId": ID, "status": "execution_failed"}]});
    let guarded = planned(&policy(members), &previous, &["a"]);
    assert_eq!(
        guarded.intents[0].autonomous.reasons,
        ["autonomous_retry_guard_failed", "m", "z"]
    );
}
