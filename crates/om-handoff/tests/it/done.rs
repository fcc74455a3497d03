//! Done is done, within one policy evaluation (decision D17).

use om_model::fleet::handoff::ExecutionMode;
use om_model::json::to_value;
use om_store::FleetFile;
use serde_json::{Value, json};

use crate::support::{
    EVALUATED, Fleet, NOW, candidate, column, guarded_auto, order, planned, with,
};

const ID: &str = "a:health_critical:cancel";

fn policy() -> Value {
    guarded_auto(&[candidate("a", "health_critical")])
}

/// A state in which the intent was executed.
fn executed(members: &Value) -> Value {
    let execution = json!({
        "mode": "manual", "executedAt": NOW, "requestedBy": "dana", "status": "executed",
        "reasonCode": "control_confirmed", "traceId": "tr-9", "idempotencyKey": "k",
        "controlExitCode": 0, "controlStatus": "confirmed", "confirmed": true,
    });
    let mut state = json!({
        "generatedAt": NOW, "policyTraceId": "tr-9", "retryGuard": [],
        "evaluation": {"traceId": "tr-9", "updatedAt": EVALUATED},
        "intents": [{"intentId": ID, "status": "executed", "execution": execution}],
        "execution": {"mode": "manual", "odd": [1, null]},
    });
    for (name, value) in members.as_object().expect("an object") {
        state[name] = value.clone();
    }
    state
}

#[test]
fn an_executed_intent_stays_executed_in_later_plans_of_the_evaluation() {
    let previous = executed(&json!({}));
    let plan = to_value(&planned(&policy(), &previous, &["a"]));
    let intent = &plan["intents"][0];
    assert_eq!(intent["status"], "executed");
    assert_eq!(intent["execution"], previous["intents"][0]["execution"]);
    assert_eq!(
        intent["autonomous"],
        json!({"eligible": false, "manualOnly": true, "reasons": ["autonomous_already_executed"]})
    );
    let summary = &plan["summary"];
    assert_eq!(summary["executedCount"], 1);
    assert_eq!(summary["pendingConfirmationCount"], 0);
    assert_eq!(summary["pendingManualOnlyCount"], 0);
    assert_eq!(
        plan["reasonCodes"],
        json!(["fleet_handoff_action_required", "fleet_handoff_executed"])
    );
}

#[test]
fn another_evaluation_begins_anew() {
    for (members, same) in [
        (json!({}), true),
        (
            json!({"evaluation": {"traceId": "tr-9", "updatedAt": NOW}}),
            false,
        ),
        (
            json!({"evaluation": {"traceId": "tr-8", "updatedAt": EVALUATED}}),
            false,
        ),
        (json!({"evaluation": {"sha256": "00"}}), false),
        // A state of the scripts, planned after this evaluation or before it.
        (json!({"evaluation": null}), true),
        (
            json!({"evaluation": null, "generatedAt": "2031-05-06T07:00:00Z"}),
            false,
        ),
        (json!({"evaluation": null, "policyTraceId": "tr-8"}), false),
    ] {
        let plan = planned(&policy(), &executed(&members), &["a"]);
        assert_eq!(plan.summary.executed_count == 1, same, "{members}");
        assert_eq!(plan.intents[0].autonomous.eligible, !same, "{members}");
    }
}

#[test]
fn the_last_execution_is_carried_over_as_it_stands() {
    for members in [json!({}), json!({"evaluation": {"sha256": "00"}})] {
        let previous = executed(&members);
        let plan = to_value(&planned(&policy(), &previous, &["a"]));
        assert_eq!(plan["execution"], previous["execution"]);
    }
    let none = to_value(&planned(&policy(), &Value::Null, &["a"]));
    assert!(none.get("execution").is_none());
}

#[test]
fn an_intent_may_be_done_and_guarded() {
    let guard = json!([{
        "intentId": ID, "candidateId": "a:health_critical", "loopId": "a",
        "reasonCode": "autonomous_retry_guard_ambiguous", "since": NOW,
        "lastExecutedAt": null, "executionMode": null, "policyTraceId": null,
    }]);
    let plan = planned(&policy(), &executed(&json!({"retryGuard": guard})), &["a"]);
    assert_eq!(
        plan.intents[0].autonomous.reasons,
        [
            "autonomous_already_executed",
            "autonomous_retry_guard_ambiguous"
        ]
    );
    assert_eq!(to_value(&plan.retry_guard), guard);
}

#[test]
fn what_was_executed_is_remembered_whatever_became_of_the_state() {
    type Happens = fn(&Fleet);
    let happenings: [(&str, Happens); 2] = [
        ("moved away", |fleet| {
            std::fs::remove_file(fleet.path(FleetFile::HandoffState)).expect("removed");
        }),
        ("another evaluation was planned", |fleet| {
            let policy = fleet.read(FleetFile::PolicyState);
            let other = with(policy.clone(), json!({"traceId": "tr-other"}));
            fleet.write(FleetFile::PolicyState, &other);
            assert_eq!(fleet.plan()["summary"]["executedCount"], 0);
            fleet.write(FleetFile::PolicyState, &policy);
        }),
    ];
    for (what, happens) in happenings {
        let fleet = Fleet::new(&["a", "b"]);
        fleet.runtime(r#"echo x >> "$repo/calls""#);
        let before = fleet.execute(ExecutionMode::Autonomous);
        assert_eq!(fleet.calls().len(), 2);
        happens(&fleet);
        let plan = fleet.plan();
        for name in ["status", "execution", "autonomous.reasons"] {
            let seen = column(&plan["intents"], name);
            match name {
                "autonomous.reasons" => {
                    assert_eq!(seen, [&json!(["autonomous_already_executed"]); 2], "{what}");
                }
                _ => assert_eq!(seen, column(&before["intents"], name), "{what}"),
            }
        }
        for mode in [ExecutionMode::Autonomous, ExecutionMode::Manual] {
            happens(&fleet);
            fleet.execute(mode);
        }
        assert_eq!(fleet.calls().len(), 2, "{what}");
        let asked = fleet.run(order(ExecutionMode::Manual, &[ID]));
        let refused = asked.expect_err("is done").to_string();
        assert!(refused.contains("already executed"), "{refused}");
    }
}
