use super::*;
use om_fleet::status::{FleetStatusInputs, evaluate};
use om_model::fleet::status::FleetStatusFiles;
use om_model::{Artifact, Timestamp};
use serde_json::json;

const NOW: &str = "2031-05-04T12:00:00Z";

fn now() -> Timestamp {
    Timestamp::parse(NOW).expect("a time")
}

fn registry(policy: &Value) -> Registry {
    let document = json!({
        "schemaVersion": "v1", "fleetId": "north",
        "loops": [
            {"loopId": "nightly"},
            {"loopId": "render", "transport": "sprite_service",
             "service": {"baseUrl": "http://render.example:8787", "tokenEnv": "RENDER_TOKEN"}},
            {"loopId": "archive", "enabled": false},
            {"loopId": "it's odd"},
            {"loopId": "well"},
        ],
        "policy": policy,
    });
    let bytes = document.to_string();
    let evaluation = om_registry::evaluate(bytes.as_bytes(), "registry.v1.json", now());
    let accepted = evaluation.expect("is JSON").accepted();
    accepted.unwrap_or_else(|error| panic!("{error}"))
}

fn guarded(controls: &Value) -> Value {
    let mut autonomous = json!({"governance": {
        "actor": "dana", "approvalRef": "CAB-7", "rationale": "night shift",
        "changedAt": "2031-05-01T00:00:00Z", "reviewBy": "2031-06-01T00:00:00Z"}});
    for (name, value) in controls.as_object().expect("members") {
        autonomous[name] = value.clone();
    }
    json!({"mode": "guarded_auto", "autonomous": autonomous})
}

fn result(id: &str, status: &str, health: &str, reasons: &[&str]) -> Value {
    json!({"loopId": id, "status": status, "healthStatus": health, "healthReasonCodes": reasons,
        "timestamp": "2031-05-04T11:58:00Z", "transport": "local", "transitionState": "running",
        "files": {"stateFile": format!("/srv/app/{id}/state.json")}})
}

fn fleet() -> Value {
    let mut failed = result("render", "failed", "unknown", &["transport_unreachable"]);
    failed["reasonCode"] = json!("transport_unreachable");
    let mut skipped = result("archive", "skipped", "unknown", &[]);
    skipped["reasonCode"] = json!("loop_disabled");
    json!({"fleetId": "north", "status": "partial_failure", "loopCount": 5, "successCount": 3,
    "failedCount": 1, "skippedCount": 1, "durationSeconds": 3, "traceId": "tr-1",
    "updatedAt": "2031-05-04T11:58:00Z", "reasonCodes": ["fleet_partial_failure"],
    "results": [
        result("well", "success", "healthy", &[]),
        skipped,
        result("nightly", "success", "critical", &["runtime_heartbeat_stale", "control_ambiguous"]),
        result("it's odd", "success", "degraded", &["ingest_stale"]),
        failed,
    ]})
}

fn policy() -> Value {
    json!({"mode": "guarded_auto", "traceId": "tr-1", "updatedAt": "2031-05-04T11:58:10Z",
        "candidateCount": 3, "unsuppressedCount": 2, "suppressedCount": 1,
        "autoEligibleCount": 1, "manualOnlyCount": 1, "reasonCodes": [], "candidates": [],
        "summary": {},
        "autonomous": {
            "governance": {"actor": "dana", "approvalRef": "CAB-7", "rationale": "night shift",
                "changedAt": "2031-05-01T00:00:00Z", "reviewBy": "2031-06-01T00:00:00Z"},
            "controls": {"safety": {"killSwitch": false}},
            "rollout": {"canaryPercent": 100, "scopeLoopIds": [], "pause": {"active": false,
                "reasons": [], "manual": false, "auto": {"active": false, "reasons": []}}}}})
}

fn handoff() -> Value {
    json!({"mode": "guarded_auto", "traceId": "tr-1", "updatedAt": "2031-05-04T11:58:20Z",
        "reasonCodes": [],
        "intents": [
            {"intentId": "nightly:health_critical:cancel", "loopId": "nightly", "intent": "cancel",
             "severity": "critical", "confidence": "high", "rationale": "Loop health is critical",
             "status": "pending_operator_confirmation",
             "autonomous": {"eligible": false, "manualOnly": true,
                "reasons": ["autonomous_retry_guard_ambiguous", "autonomous_loop_frozen"]}},
            {"intentId": "it's odd:health_degraded:cancel", "loopId": "it's odd",
             "intent": "cancel", "severity": "warning", "confidence": "medium",
             "rationale": "Loop health is degraded", "status": "pending_operator_confirmation",
             "autonomous": {"eligible": true, "manualOnly": false, "reasons": []}},
            {"intentId": "render:reconcile_failed:cancel", "loopId": "render", "intent": "cancel",
             "status": "executed", "autonomous": {"eligible": false, "manualOnly": true,
                "reasons": ["autonomous_already_executed"]}},
        ],
        "summary": {"intentCount": 3, "pendingConfirmationCount": 2},
        "execution": {"mode": "autonomous", "requestedBy": "night-duty",
            "requestedAt": "2031-05-04T11:58:15Z", "completedAt": "2031-05-04T11:58:20Z",
            "requestedIntentCount": 1, "executedIntentCount": 1, "executedCount": 1,
            "ambiguousCount": 0, "failedCount": 0, "withheldCount": 1,
            "withheld": [{"intentId": "it's odd:health_degraded:cancel", "loopId": "it's odd",
                "reasonCode": "autonomous_max_actions_per_run_exceeded"}],
            "results": []},
        "retryGuard": [{"intentId": "nightly:health_critical:cancel", "loopId": "nightly",
            "reasonCode": "autonomous_retry_guard_ambiguous", "since": "2031-05-04T11:00:00Z"}]})
}

fn files() -> FleetStatusFiles {
    let path = |name: &str| format!("/srv/app/.superloop/ops-manager/fleet/{name}");
    FleetStatusFiles {
        registry_file: path("registry.v1.json"),
        fleet_state_file: path("state.json"),
        policy_state_file: path("policy-state.json"),
        fleet_telemetry_file: path("telemetry/reconcile.jsonl"),
        handoff_state_file: path("handoff-state.json"),
        handoff_telemetry_file: path("telemetry/handoff.jsonl"),
    }
}

fn inputs(fleet: Value, policy: &Value, handoff: Value, registry: Registry) -> PageInputs {
    let present = |document: &Value| match document {
        Value::Null => Artifact::Absent,
        document => Artifact::Document(document.clone()),
    };
    let report = evaluate(
        &FleetStatusInputs {
            repo_path: "/srv/app".to_owned(),
            files: files(),
            registry_fleet_id: Some(json!("north")),
            review_lapsed: None,
            fleet: Artifact::Document(fleet),
            policy: present(policy),
            handoff: present(&handoff),
            fleet_row: None,
            handoff_row: None,
            execution_row: None,
        },
        now(),
    );
    PageInputs {
        report: report.expect("a report"),
        handoff,
        registry,
    }
}

#[test]
fn a_fleet_in_trouble_is_told_worst_first_with_what_to_do() {
    let registry = registry(&guarded(
        &json!({"rollout": {"frozenLoopIds": ["nightly"], "canaryPercent": 25}}),
    ));
    let inputs = inputs(fleet(), &policy(), handoff(), registry);
    insta::assert_snapshot!(render(&inputs, false, Look::PLAIN));
}

#[test]
fn a_calm_fleet_is_told_in_a_few_lines() {
    let results = json!([result("well", "success", "healthy", &[])]);
    let fleet = json!({"status": "success", "loopCount": 1, "successCount": 1, "failedCount": 0,
        "skippedCount": 0, "updatedAt": NOW, "results": results});
    let registry = registry(&json!({"mode": "advisory"}));
    let inputs = inputs(fleet, &Value::Null, Value::Null, registry);
    insta::assert_snapshot!(render(&inputs, false, Look::PLAIN));
}

#[test]
fn switches_that_were_turned_after_the_evaluation_are_told() {
    let registry = registry(&guarded(&json!({
        "safety": {"killSwitch": true}, "rollout": {"pause": {"manual": true}}})));
    let page = render(
        &inputs(fleet(), &policy(), handoff(), registry),
        false,
        Look::PLAIN,
    );
    assert!(page.contains("kill switch ON"), "{page}");
    assert!(
        page.contains("changed since the last evaluation: kill switch, pause"),
        "{page}"
    );
}

#[test]
fn an_expired_review_is_told() {
    let mut registry = registry(&guarded(&json!({})));
    let governance = &mut registry.policy.autonomous.governance;
    governance.review_by = Some("2031-05-04T10:00:00Z".to_owned());
    let inputs = inputs(fleet(), &policy(), handoff(), registry);
    let page = render(&inputs, false, Look::PLAIN);
    assert!(
        page.contains("review EXPIRED 2 h ago (2031-05-04T10:00:00Z)"),
        "{page}"
    );
}

#[test]
fn long_lists_are_cut_unless_somebody_wants_them() {
    let results: Vec<Value> = (0..60)
        .map(|n| result(&format!("loop-{n:02}"), "success", "degraded", &[]))
        .collect();
    let fleet = json!({"status": "success", "results": results});
    let registry = registry(&json!({"mode": "advisory"}));
    let inputs = inputs(fleet, &Value::Null, Value::Null, registry);
    let page = render(&inputs, false, Look::PLAIN);
    assert!(
        page.contains("loop-39") && !page.contains("loop-40"),
        "{page}"
    );
    assert!(
        page.contains("and 20 more: ops-manager fleet status --all"),
        "{page}"
    );
    assert!(render(&inputs, true, Look::PLAIN).contains("loop-59"));
}

#[test]
fn no_line_but_a_command_is_wider_than_the_terminal() {
    let inputs = inputs(
        fleet(),
        &policy(),
        handoff(),
        registry(&guarded(
            &json!({"rollout": {"frozenLoopIds": ["nightly"]}}),
        )),
    );
    for width in [60, 80, 120] {
        let look = Look {
            width,
            unicode: true,
            ..Look::PLAIN
        };
        for line in render(&inputs, false, look).lines() {
            let text = line.trim_start();
            let is_command = ["ops-manager", "OPS_MANAGER", "tail", "and "]
                .iter()
                .any(|start| text.starts_with(start));
            let fits = line.chars().count() <= width;
            assert!(fits || is_command, "{width}: {line}");
        }
    }
}

#[test]
fn colours_and_symbols_are_used_where_they_may_be() {
    let inputs = inputs(
        fleet(),
        &policy(),
        handoff(),
        registry(&guarded(&json!({}))),
    );
    let look = Look {
        color: true,
        unicode: true,
        width: 80,
    };
    let page = render(&inputs, false, look);
    assert!(page.contains("✖") && page.contains("\u{1b}["), "{page}");
    let plain = render(&inputs, false, Look::PLAIN);
    assert!(plain.is_ascii() && !plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn texts_of_others_cannot_drive_the_terminal() {
    let mut state = fleet();
    state["fleetId"] = json!("no\u{1b}[2Jrth");
    let mut plan = handoff();
    plan["intents"][0]["rationale"] = json!("a\u{202e}b");
    let inputs = inputs(state, &policy(), plan, registry(&guarded(&json!({}))));
    let page = render(&inputs, false, Look::PLAIN);
    assert!(
        !page.contains('\u{1b}') && !page.contains('\u{202e}'),
        "{page}"
    );
}
