//! Dispatches without an outcome that belong to no run anybody knows of:
//! somebody has removed `handoff-pending.json`.

use om_handoff::Action;
use om_handoff::resolve;
use om_model::control::IntentRow;
use om_model::fleet::handoff::{DispatchRow, ExecutionMode};
use om_model::json::to_value;
use om_store::FleetFile;
use serde_json::{Value, json};

use crate::support::{Fleet, NOW, at, column, order};

const BEGUN: &str = "2031-05-06T07:09:30Z";

fn dispatch() -> Value {
    json!({
        "timestamp": BEGUN, "dispatchId": "d-1", "handoffId": "h-1", "phase": "intent",
        "mode": "autonomous", "intentId": "a:health_critical:cancel", "loopId": "a",
        "intent": "cancel", "idempotencyKey": "k", "attempt": 1, "traceId": "tr-9",
        "requestedBy": "dana", "autonomousEligible": true,
    })
}

fn recorded(members: &Value) -> IntentRow {
    let mut row = json!({
        "timestamp": "2031-05-06T07:09:40Z", "loopId": "a", "intent": "cancel", "traceId": "tr-9",
        "requestedBy": "dana", "transport": "local", "status": "confirmed", "command": "c",
        "idempotencyKey": "k", "exitCode": 0, "confirmExitCode": 0, "confirmed": true,
    });
    for (name, value) in members.as_object().expect("an object") {
        row[name] = value.clone();
    }
    serde_json::from_value(row).expect("a row")
}

#[test]
fn controls_record_of_the_same_dispatch_tells() {
    let intent: DispatchRow = serde_json::from_value(dispatch()).expect("a row");
    for (members, status, exit_code) in [
        (json!({}), "executed", 0),
        (json!({"status": "executed_unconfirmed"}), "executed", 0),
        (json!({"status": "ambiguous"}), "ambiguous", 2),
        (json!({"status": "failed_command"}), "failed", 1),
        (json!({"status": "odd"}), "failed", 1),
        (json!({"timestamp": BEGUN}), "executed", 0),
        // Not of this dispatch.
        (json!({"idempotencyKey": "other"}), "ambiguous", 2),
        (json!({"traceId": "other"}), "ambiguous", 2),
        (json!({"loopId": "b"}), "ambiguous", 2),
        (json!({"timestamp": "2031-05-06T07:09:29Z"}), "ambiguous", 2),
    ] {
        let row = recorded(&members);
        let outcome = to_value(&resolve::outcome(&intent, &[row], at(NOW)));
        assert_eq!(outcome["status"], status, "{members}");
        assert_eq!(outcome["controlExitCode"], exit_code, "{members}");
        assert_eq!(outcome["recovered"], true);
        assert_eq!(outcome["phase"], "outcome");
    }
    let rows = [
        recorded(&json!({"status": "failed_command"})),
        recorded(&json!({})),
    ];
    let outcome = to_value(&resolve::outcome(&intent, &rows, at(NOW)));
    assert_eq!(outcome["status"], "executed", "the last one counts");
    assert_eq!(outcome["timestamp"], "2031-05-06T07:09:40Z");
}

#[test]
fn it_is_resolved_and_guarded_by_the_next_plan() {
    let fleet = Fleet::new(&["a"]);
    fleet.runtime(r#"echo x >> "$repo/calls""#);
    fleet.write(FleetFile::HandoffDispatch, &dispatch());
    let state = fleet.plan();
    let rows = fleet.rows(FleetFile::HandoffDispatch);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["status"], "ambiguous");
    assert_eq!(rows[1]["recovered"], true);
    assert_eq!(
        column(&state["retryGuard"], "reasonCode"),
        ["autonomous_retry_guard_ambiguous"]
    );
    assert_eq!(
        column(&state["retryGuard"], "candidateId"),
        ["a:health_critical"]
    );
    fleet.execute(ExecutionMode::Autonomous);
    assert!(fleet.calls().is_empty());
    assert_eq!(fleet.rows(FleetFile::HandoffDispatch).len(), 2);
}

#[test]
fn an_execution_that_finds_it_does_not_repeat_it_either() {
    let fleet = Fleet::new(&["a", "b"]);
    fleet.runtime(r#"echo x >> "$repo/calls""#);
    fleet.write(FleetFile::HandoffDispatch, &dispatch());
    let state = fleet.execute(ExecutionMode::Autonomous);
    assert_eq!(column(&state["execution"]["results"], "loopId"), ["b"]);
    assert_eq!(fleet.calls().len(), 1);
}

#[test]
fn a_run_that_is_refused_leaves_it_to_the_next_one() {
    let fleet = Fleet::new(&["a"]);
    fleet.write(FleetFile::HandoffDispatch, &dispatch());
    assert!(fleet.run(order(ExecutionMode::Manual, &["x"])).is_err());
    assert_eq!(fleet.rows(FleetFile::HandoffDispatch).len(), 1);
    let state = to_value(&fleet.run(Action::Plan).expect("is planned"));
    assert_eq!(column(&state["retryGuard"], "loopId"), ["a"]);
}
