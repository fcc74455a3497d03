//! Which intents a plan has (chapter 06 §2.4.1).

use om_handoff::plan::{MissingLoopId, PlanInputs, plan};
use om_handoff::policy_view::PolicyView;
use om_handoff::previous::Previous;
use om_model::json::to_value;
use serde_json::{Value, json};

use crate::support::{
    candidate, column, evaluation, fresh, guarded_auto, normalised, plan_context, planned,
    planned_with, registry, with,
};

/// The intents of a plan of one candidate.
fn intents(candidate: Value) -> Value {
    to_value(&fresh(&[candidate]).intents)
}

#[test]
fn what_is_suppressed_is_not_planned_unless_only_by_the_cooldown() {
    let cooldown = json!({"suppressed": true, "suppressionReason": "advisory_cooldown_active"});
    for (members, planned) in [
        (json!({}), true),
        (json!({"suppressed": null}), true),
        (json!({"suppressed": true}), false),
        (
            json!({"suppressed": true, "suppressionReason": "registry_policy_suppression"}),
            false,
        ),
        (cooldown, true),
    ] {
        let candidate = with(candidate("a", "health_critical"), members.clone());
        let count = intents(candidate).as_array().expect("a list").len();
        assert_eq!(count == 1, planned, "{members}");
    }
}

#[test]
fn a_candidate_in_its_cooldown_is_left_to_people() {
    let members = json!({
        "suppressed": true, "suppressionReason": "advisory_cooldown_active",
        "autonomous": {"eligible": true, "manualOnly": false, "reasons": ["candidate_suppressed"]},
    });
    let plan = fresh(&[with(candidate("a", "health_critical"), members)]);
    let autonomous = &plan.intents[0].autonomous;
    assert_eq!((autonomous.eligible, autonomous.manual_only), (false, true));
    assert_eq!(
        autonomous.reasons,
        ["advisory_cooldown_active", "candidate_suppressed"]
    );
    let summary = to_value(&plan.summary);
    assert_eq!(summary["candidateCount"], 1);
    assert_eq!(summary["unsuppressedCandidateCount"], 0);
    assert_eq!(summary["intentCount"], 1);
    assert_eq!(summary["pendingManualOnlyCount"], 1);
}

#[test]
fn the_intent_is_the_candidates_own_or_what_its_category_calls_for() {
    for (members, intent, recommended) in [
        (
            json!({"recommendedIntent": "cancel"}),
            Some("cancel"),
            json!("cancel"),
        ),
        (
            json!({"recommendedIntent": "reboot"}),
            Some("reboot"),
            json!("reboot"),
        ),
        (
            json!({"recommendedIntent": null}),
            Some("cancel"),
            Value::Null,
        ),
        (
            json!({"recommendedIntent": false}),
            Some("cancel"),
            Value::Null,
        ),
        (
            json!({"recommendedIntent": null, "category": "reconcile_failed"}),
            Some("cancel"),
            Value::Null,
        ),
        (
            json!({"recommendedIntent": null, "category": "health_degraded"}),
            Some("cancel"),
            Value::Null,
        ),
        (
            json!({"recommendedIntent": null, "category": "bad_mood"}),
            None,
            Value::Null,
        ),
        (
            json!({"recommendedIntent": null, "category": null}),
            None,
            Value::Null,
        ),
        (
            json!({"recommendedIntent": "cancel", "category": null}),
            Some("cancel"),
            json!("cancel"),
        ),
    ] {
        let intents = intents(with(candidate("a", "health_critical"), members.clone()));
        let planned = intents
            .get(0)
            .map(|planned| planned["intent"].as_str().expect("a text"));
        assert_eq!(planned, intent, "{members}");
        if planned.is_some() {
            assert_eq!(intents[0]["recommendedIntent"], recommended, "{members}");
        }
    }
}

#[test]
fn ids_are_made_from_what_there_is() {
    for (members, candidate_id, intent_id) in [
        (json!({}), "a:health_critical", "a:health_critical:cancel"),
        (json!({"candidateId": "own"}), "own", "own:cancel"),
        (
            json!({"candidateId": null}),
            "a:health_critical",
            "a:health_critical:cancel",
        ),
        (
            json!({"candidateId": null, "category": null}),
            "a:unknown",
            "a:unknown:cancel",
        ),
    ] {
        let intents = intents(with(candidate("a", "health_critical"), members));
        assert_eq!(intents[0]["candidateId"], candidate_id);
        assert_eq!(intents[0]["intentId"], intent_id);
    }
}

#[test]
fn autonomy_is_what_the_candidate_says_and_needs_a_person_in_doubt() {
    for (autonomous, eligible, manual_only, reasons) in [
        (json!(null), false, true, json!([])),
        (json!({}), false, true, json!([])),
        (json!({"eligible": true}), true, false, json!([])),
        (json!({"eligible": false}), false, true, json!([])),
        (json!({"eligible": "true"}), false, true, json!([])),
        (
            json!({"eligible": true, "manualOnly": true}),
            true,
            true,
            json!([]),
        ),
        (
            json!({"eligible": false, "manualOnly": false}),
            false,
            true,
            json!([]),
        ),
        (
            json!({"reasons": ["z", "a"]}),
            false,
            true,
            json!(["z", "a"]),
        ),
    ] {
        let candidate = with(
            candidate("a", "health_critical"),
            json!({"autonomous": autonomous}),
        );
        let expected = json!({"eligible": eligible, "manualOnly": manual_only, "reasons": reasons});
        assert_eq!(
            intents(candidate)[0]["autonomous"],
            expected,
            "{autonomous}"
        );
    }
}

#[test]
fn the_way_to_a_loop_is_the_registrys() {
    let registry = normalised(&with(
        registry(&[]),
        json!({"loops": [
            {"loopId": "a", "transport": "sprite_service", "metadata": {"team": "x"},
             "service": {"baseUrl": "http://s", "tokenEnv": "T-1", "retryAttempts": 5,
                         "retryBackoffSeconds": 0}},
            {"loopId": "b"},
        ]}),
    ));
    let candidates = ["a", "b", "gone"].map(|id| candidate(id, "health_critical"));
    let plan = planned_with(&guarded_auto(&candidates), &Value::Null, &registry);
    let intents = to_value(&plan.intents);
    assert_eq!(
        column(&intents, "transport"),
        ["sprite_service", "local", "local"]
    );
    let usual = json!({"retryAttempts": 3, "retryBackoffSeconds": 1});
    assert_eq!(
        column(&intents, "service"),
        [
            &json!({"baseUrl": "http://s", "tokenEnv": "T-1", "retryAttempts": 5,
                    "retryBackoffSeconds": 0}),
            &usual,
            &usual
        ]
    );
    assert_eq!(
        column(&intents, "metadata"),
        [&json!({"team": "x"}), &json!({}), &json!({})]
    );
}

#[test]
fn intents_are_in_the_order_of_loop_category_and_intent() {
    let unnamed = |id: &str, intent: &str| {
        let members = json!({"category": null, "recommendedIntent": intent, "candidateId": null});
        with(candidate(id, "health_critical"), members)
    };
    let plan = fresh(&[
        candidate("b", "reconcile_failed"),
        candidate("b", "health_critical"),
        unnamed("b", "x"),
        unnamed("b", "c"),
        candidate("a", "reconcile_failed"),
        candidate("Z", "health_degraded"),
        candidate("é", "health_critical"),
    ]);
    let ids: Vec<&str> = plan.intents.iter().map(|i| i.intent_id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "Z:health_degraded:cancel",
            "a:reconcile_failed:cancel",
            "b:unknown:c",
            "b:unknown:x",
            "b:health_critical:cancel",
            "b:reconcile_failed:cancel",
            "é:health_critical:cancel",
        ]
    );
}

#[test]
fn the_fleets_name_is_the_policys_else_the_registrys() {
    for (policy, expected) in [
        (json!({}), "north"),
        (json!({"fleetId": "p"}), "p"),
        (json!({"fleetId": ""}), ""),
        (json!({"fleetId": null}), "north"),
        (json!({"fleetId": false}), "north"),
    ] {
        assert_eq!(
            planned(&policy, &Value::Null, &["a"]).fleet_id,
            expected,
            "{policy}"
        );
    }
}

#[test]
fn the_policys_trace_is_this_runs_if_it_has_none() {
    for (policy, expected) in [
        (json!({"traceId": "p-1"}), "p-1"),
        (json!({"traceId": 17}), "17"),
        (json!({"traceId": null}), "tr-9"),
        (json!({"traceId": ""}), "tr-9"),
    ] {
        let plan = planned(&policy, &Value::Null, &["a"]);
        assert_eq!(plan.policy_trace_id.as_str(), expected);
        assert_eq!(plan.trace_id.as_str(), "tr-9");
    }
}

#[test]
fn run_and_rank_of_a_candidate_are_kept() {
    let rank = json!([0, 0, 12, "a"]);
    let members = json!({"runId": "r-1", "rank": rank});
    let intents = intents(with(candidate("a", "health_critical"), members));
    assert_eq!(intents[0]["runId"], "r-1");
    assert_eq!(intents[0]["rank"], rank);
}

#[test]
fn an_intent_without_a_loop_is_refused() {
    let nameless = with(candidate("a", "health_critical"), json!({"loopId": null}));
    let hopeless = json!({"category": "bad_mood"});
    let policy = guarded_auto(&[hopeless, nameless]);
    let (policy, _) = PolicyView::read(&policy).expect("is readable");
    let inputs = PlanInputs {
        policy: &policy,
        evaluation: &evaluation(),
        registry: &normalised(&registry(&["a"])),
        previous: &Previous::default(),
    };
    let refused = plan(&inputs, &plan_context()).expect_err("is refused");
    assert_eq!(refused, MissingLoopId { index: 1 });
}
