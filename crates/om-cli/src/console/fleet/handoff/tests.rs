use super::*;
use om_handoff::targets::Filters;
use om_model::fleet::handoff::ExecutionMode;
use serde_json::{Value, json};

fn plan() -> HandoffState {
    let intent = |id: &str, loop_id: &str, status: &str, reasons: Value| {
        json!({"intentId": id, "candidateId": "c", "loopId": loop_id, "category": "health_critical",
            "severity": "critical", "confidence": "high", "rationale": "Loop health is critical",
            "signal": "health_critical", "intent": "cancel", "status": status,
            "requiresOperatorConfirmation": true, "fleetTraceId": "tr-1", "policyTraceId": "tr-1",
            "autonomous": {"eligible": reasons == json!([]), "manualOnly": reasons != json!([]),
                "reasons": reasons},
            "idempotencyKey": "fleet-handoff-tr-1-cancel", "transport": "local",
            "service": {"retryAttempts": 3, "retryBackoffSeconds": 1}, "metadata": {}})
    };
    let pending = "pending_operator_confirmation";
    let plan = json!({"schemaVersion": "v1", "generatedAt": "2031-05-04T12:00:00Z",
        "updatedAt": "2031-05-04T12:00:00Z", "fleetId": "north", "traceId": "tr-1",
        "policyTraceId": "tr-1", "mode": "guarded_auto",
        "source": {"registryFile": "r", "policyStateFile": "p"},
        "control": {"idempotencyPrefix": "fleet-handoff", "requiresOperatorConfirmation": true},
        "intents": [
            intent("a:health_critical:cancel", "a", pending,
                json!(["autonomous_kill_switch_enabled"])),
            intent("b:health_critical:cancel", "b", pending, json!([])),
            intent("c:health_critical:cancel", "c", "executed",
                json!(["autonomous_already_executed"])),
        ],
        "summary": {"candidateCount": 3, "unsuppressedCandidateCount": 3, "intentCount": 3,
            "autoEligibleIntentCount": 1, "manualOnlyIntentCount": 2,
            "pendingConfirmationCount": 2, "executedCount": 1, "ambiguousCount": 0,
            "failedCount": 0, "pendingManualOnlyCount": 1},
        "reasonCodes": []});
    serde_json::from_value(plan).expect("a plan")
}

fn order() -> Order {
    Order {
        mode: ExecutionMode::Manual,
        filters: Filters::default(),
        requested_by: "dana".to_owned(),
        note: Some("incident-7".to_owned()),
    }
}

#[test]
fn a_plan_says_what_waits_and_how_to_approve_it() {
    insta::assert_snapshot!(table(&plan(), "/srv/app", Look::PLAIN));
}

#[test]
fn what_will_run_is_shown_exactly() {
    let target = Target {
        intent: plan().intents[0].clone(),
        runs: "/srv/app/superloop.sh cancel --repo /srv/app".to_owned(),
        idempotency_key: "fleet-handoff-tr-1-cancel-r1".to_owned(),
    };
    insta::assert_snapshot!(announcement(&[target], &order(), Look::PLAIN));
}

#[test]
fn every_outcome_is_a_sentence_with_its_evidence() {
    let result = |id: &str, status: &str, reason: &str, code: i64, control: Value| {
        json!({"intentId": format!("{id}:health_critical:cancel"), "loopId": id, "intent": "cancel",
            "traceId": "tr-1", "idempotencyKey": "k", "requestedBy": "dana",
            "executedAt": "2031-05-04T12:00:01Z", "status": status, "reasonCode": reason,
            "executionMode": "manual", "autonomousEligible": false, "controlExitCode": code,
            "control": control})
    };
    let execution = json!({"mode": "manual", "requestedBy": "dana",
    "requestedAt": "2031-05-04T12:00:00Z", "completedAt": "2031-05-04T12:00:02Z",
    "note": null, "requestedIntentCount": 4, "executedIntentCount": 4, "executedCount": 2,
    "ambiguousCount": 1, "failedCount": 1, "handoffId": "h-1",
    "notAttempted": ["e:health_critical:cancel"],
    "results": [
        result("a", "executed", "control_confirmed", 0, json!({"status": "confirmed"})),
        result("b", "executed", "control_confirmed", 0, json!({"status": "executed"})),
        result("c", "ambiguous", "control_ambiguous", 2, json!(null)),
        result("d", "failed", "control_failed_command", 1, json!(null)),
    ]});
    let execution: Execution = serde_json::from_value(execution).expect("an execution");
    let layout = RepoLayout::new("/srv/app".into());
    insta::assert_snapshot!(conclusion(&execution, &layout, Look::PLAIN));
}
