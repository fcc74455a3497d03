//! The report (chapter 05 §3.5).

use om_fleet::status::{FleetStatusInputs, evaluate};
use om_model::fleet::status::FleetStatusReport;
use om_model::{Artifact, json};
use serde_json::{Value, json};

use crate::support::{at, inputs, last};

pub(crate) const NOW: &str = "2031-05-04T12:00:00Z";

pub(crate) fn report(inputs: &FleetStatusInputs) -> FleetStatusReport {
    evaluate(inputs, at(NOW)).expect("a report")
}

pub(crate) fn shown(inputs: &FleetStatusInputs) -> Value {
    json::to_value(&report(inputs))
}

fn fleet() -> Value {
    json!({"schemaVersion": "v1", "updatedAt": "2031-05-04T11:59:00Z",
    "startedAt": "2031-05-04T11:58:50Z", "fleetId": "south", "traceId": "f1",
    "status": "partial_failure", "reasonCodes": ["fleet_partial_failure"],
    "loopCount": 3, "successCount": 1, "failedCount": 1, "skippedCount": 1,
    "durationSeconds": 10,
    "results": [
        {"timestamp": "2031-05-04T11:58:55Z", "startedAt": "2031-05-04T11:58:50Z",
         "loopId": "render", "transport": "sprite_service", "enabled": true,
         "status": "failed", "reasonCode": "transport_unreachable",
         "reconcileStatus": "failed", "healthStatus": "critical",
         "healthReasonCodes": ["transport_unreachable"], "durationSeconds": 5,
         "traceId": "f1-render", "outputExcerpt": "x ", "sprite": {"id": "s1"},
         "metadata": {"team": "a"}, "files": {"stateFile": "/s", "healthFile": "/h",
         "cursorFile": "/c", "reconcileTelemetryFile": "/t"}, "runId": "r9"},
        {"timestamp": "2031-05-04T11:58:56Z", "loopId": "nightly", "status": "success",
         "reconcileStatus": "success", "healthStatus": "degraded",
         "healthReasonCodes": ["ingest_stale"], "transitionState": "running",
         "durationSeconds": 1, "traceId": "f1-nightly", "transport": "local"},
        {"loopId": "off", "status": "skipped", "reasonCode": "loop_disabled"},
    ]})
}

fn policy() -> Value {
    json!({"mode": "guarded_auto", "candidateCount": 3, "unsuppressedCount": 2,
        "suppressedCount": 1, "autoEligibleCount": 1, "manualOnlyCount": 1,
        "traceId": "p1", "updatedAt": "2031-05-04T11:59:10Z",
        "reasonCodes": ["fleet_action_required"],
        "candidates": [
            {"candidateId": "nightly:health_degraded", "severity": "warning", "rank": 2},
            {"candidateId": "render:reconcile_failed", "severity": "critical", "rank": 1,
             "traceId": null},
        ],
        "summary": {"byAutonomyReason": {"severity_below_threshold": 1}},
        "autonomous": {
            "governance": {"actor": "kim", "approvalRef": "CHG-88", "rationale": "pilot",
                "changedAt": "2031-04-01T00:00:00Z", "reviewBy": "2031-05-09T00:00:00Z",
                "reviewWindowDays": 38, "requiredForGuardedAuto": true,
                "authorityContextPresent": true},
            "controls": {"safety": {"killSwitch": false}},
            "rollout": {"canaryPercent": 50, "scopeLoopIds": ["render"], "selectorSalt": "s",
                "candidateBuckets": {"inScopeCount": 1, "inCohortCount": 1, "outOfCohortCount": 0},
                "pause": {"active": true, "reasons": ["autonomous_rollout_paused_auto"],
                    "manual": false,
                    "auto": {"enabled": false, "active": true, "reasons": ["x"],
                        "lookbackExecutions": 5, "minSampleSize": 3,
                        "ambiguityRateThreshold": 0.4, "failureRateThreshold": 0.4,
                        "metrics": {"attemptedCount": 4}}}}}})
}

fn handoff() -> Value {
    json!({"mode": "guarded_auto", "traceId": "h1", "updatedAt": "2031-05-04T11:59:20Z",
        "reasonCodes": ["fleet_handoff_executed"],
        "intents": [
            {"intentId": "render:reconcile_failed:cancel", "transport": "sprite_service",
             "candidateId": "render:reconcile_failed", "status": "execution_ambiguous",
             "autonomous": {"eligible": true, "manualOnly": false, "reasons": []}},
            {"intentId": "nightly:health_degraded:cancel", "transport": "local",
             "candidateId": "nightly:health_degraded", "status": "pending_operator_confirmation",
             "autonomous": {"eligible": false, "manualOnly": true,
                "reasons": ["severity_below_threshold"]}},
        ],
        "summary": {"intentCount": 2, "autoEligibleIntentCount": 1, "manualOnlyIntentCount": 1,
            "pendingConfirmationCount": 1, "executedCount": 0, "ambiguousCount": 1,
            "failedCount": 0},
        "execution": {"mode": "autonomous", "requestedBy": "night-duty",
            "requestedAt": "2031-05-04T11:59:15Z", "completedAt": "2031-05-04T11:59:19Z",
            "note": null, "requestedIntentCount": 1, "executedIntentCount": 1,
            "executedCount": 0, "ambiguousCount": 1, "failedCount": 0, "withheldCount": 0,
            "withheld": [],
            "results": [{"intentId": "render:reconcile_failed:cancel", "status": "ambiguous",
                "reasonCode": "control_ambiguous"}]},
        "retryGuard": [{"intentId": "render:reconcile_failed:cancel"}]})
}

pub(crate) fn everything() -> FleetStatusInputs {
    let row = json!({"timestamp": "2031-05-04T11:59:00Z", "status": "partial_failure",
        "reasonCodes": ["fleet_partial_failure"], "results": [{"loopId": "render"}]});
    let handoff_row = json!({"timestamp": "2031-05-04T11:59:19Z",
        "category": "fleet_handoff_execute", "fleetId": "south", "traceId": "h1",
        "execution": {"mode": "autonomous", "requestedIntentCount": 1, "executedCount": 0,
            "ambiguousCount": 1, "failedCount": 0, "results": []},
        "summary": {"summary": {"intentCount": 2, "pendingManualOnlyCount": 0},
            "reasonCodes": ["fleet_handoff_executed"]}});
    FleetStatusInputs {
        policy: Artifact::Document(policy()),
        handoff: Artifact::Document(handoff()),
        fleet_row: Some(last(row.to_string())),
        handoff_row: Some(last(handoff_row.to_string())),
        ..inputs(fleet())
    }
}

#[test]
fn a_fleet_with_everything() {
    insta::assert_snapshot!(json::pretty(&report(&everything())));
}

#[test]
fn a_fleet_with_nothing_but_an_empty_state() {
    insta::assert_snapshot!(json::pretty(&report(&inputs(json!(null)))));
}

#[test]
fn the_fleet_id_comes_from_the_state_then_the_registry() {
    for (state, registry, expected) in [
        (json!({"fleetId": "a"}), json!("b"), "a"),
        (json!({"fleetId": null}), json!("b"), "b"),
        (json!({"fleetId": false}), json!(null), "default"),
        (json!({"fleetId": ""}), json!("b"), ""),
    ] {
        let mut inputs = inputs(state);
        inputs.registry_fleet_id = Some(registry);
        assert_eq!(shown(&inputs)["source"]["fleetId"], expected);
    }
}

#[test]
fn counts_default_to_those_of_the_results_but_partial_failure_does_not() {
    let results = json!([{"status": "failed"}, {"status": "success"}, {"status": "skipped"},
        {"status": "odd"}, null]);
    let fleet = &shown(&inputs(json!({"results": results})))["fleet"];
    let counts = ["loopCount", "successCount", "failedCount", "skippedCount"];
    assert_eq!(
        counts.map(|name| fleet[name].clone()),
        [5, 1, 1, 1].map(Value::from)
    );
    assert_eq!(fleet["reasonCodes"], json!(["fleet_partial_failure"]));
    assert_eq!(fleet["partialFailure"], false);
    let fleet = &shown(&inputs(json!({"failedCount": 1, "successCount": "2"})))["fleet"];
    assert_eq!(fleet["partialFailure"], true);
    assert_eq!(fleet["successCount"], "2");
}

#[test]
fn reason_codes_are_added_and_never_removed() {
    for (health, stored, expected) in [
        (
            vec!["critical", "degraded"],
            json!(["z", "a"]),
            json!(["a", "fleet_health_critical", "z"]),
        ),
        (
            vec!["degraded"],
            json!(null),
            json!(["fleet_health_degraded"]),
        ),
        (
            vec!["healthy"],
            json!(["fleet_health_critical", "fleet_health_critical"]),
            json!(["fleet_health_critical"]),
        ),
    ] {
        let results: Vec<Value> = health.iter().map(|h| json!({"healthStatus": h})).collect();
        let state = json!({"results": results, "reasonCodes": stored});
        assert_eq!(shown(&inputs(state))["fleet"]["reasonCodes"], expected);
    }
}

#[test]
fn every_health_has_its_bucket_and_others_have_none() {
    let results = json!([{"healthStatus": "healthy"}, {"healthStatus": "degraded"},
        {"healthStatus": "critical"}, {"healthStatus": "unknown"}, {}, null,
        {"healthStatus": false}, {"healthStatus": "purple"}]);
    assert_eq!(
        shown(&inputs(json!({"results": results})))["healthRollup"],
        json!({"healthy": 1, "degraded": 1, "critical": 1, "unknown": 4})
    );
}

#[test]
fn exceptions_are_sorted_sets_and_a_loop_may_be_in_several() {
    let results = json!([
        {"loopId": "b", "status": "failed", "healthStatus": "critical"},
        {"loopId": "a", "status": "failed", "healthStatus": "degraded"},
        {"loopId": "b", "status": "failed"},
        {"status": "failed"},
        {"loopId": "c", "status": "skipped"},
    ]);
    assert_eq!(
        shown(&inputs(json!({"results": results})))["exceptions"],
        json!({"reconcileFailures": [null, "a", "b"], "criticalLoops": ["b"],
            "degradedLoops": ["a"], "skippedLoops": ["c"]})
    );
}

#[test]
fn the_five_worst_candidates_are_shown_whole_in_their_order() {
    let candidates = json!([
        {"id": 1, "severity": "info"}, {"id": 2, "severity": "warning"}, {"id": 3},
        {"id": 4, "severity": "critical", "suppressed": true, "x": null},
        {"id": 5, "severity": "warning"}, {"id": 6, "severity": "critical"},
    ]);
    let mut inputs = inputs(json!({}));
    inputs.policy = Artifact::Document(json!({"candidates": candidates}));
    let top = shown(&inputs)["policy"]["topCandidates"].clone();
    let ids: Vec<Value> = top
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| c["id"].clone())
        .collect();
    assert_eq!(ids, [4, 6, 2, 5, 1].map(Value::from));
    assert_eq!(top[0], candidates[3]);
}

#[test]
fn a_shared_trace_needs_one_loop_trace_and_a_fleet_that_agrees() {
    for (fleet, loops, shared) in [
        (json!("t"), json!(["t", "t"]), json!("t")),
        (json!(null), json!(["t"]), json!("t")),
        (json!(""), json!(["t", null, false]), json!("t")),
        (json!("x"), json!(["t"]), json!(null)),
        (json!("t"), json!(["t", "u"]), json!(null)),
        (json!(null), json!([""]), json!(null)),
        (json!("t"), json!([]), json!(null)),
    ] {
        let loops = loops.as_array().expect("a list").iter();
        let results: Vec<Value> = loops.map(|t| json!({"traceId": t})).collect();
        let state = json!({"traceId": fleet, "results": results});
        let linkage = shown(&inputs(state))["traceLinkage"].clone();
        assert_eq!(linkage["sharedTraceId"], shared, "{linkage}");
    }
}

#[test]
fn the_outcome_rollup_counts_autonomous_executions_only() {
    let execution = |mode: &str| {
        json!({"mode": mode, "requestedIntentCount": 4, "executedCount": 2, "ambiguousCount": 1,
            "failedCount": 1})
    };
    let policy = json!({"manualOnlyCount": 7});
    let zeros = json!({"attempted": 0, "executed": 0, "ambiguous": 0, "failed": 0});
    let counted = json!({"attempted": 4, "executed": 2, "ambiguous": 1, "failed": 1});
    for (policy, handoff, expected, backlog) in [
        (
            json!(null),
            json!({"execution": execution("autonomous")}),
            &counted,
            0,
        ),
        (
            policy.clone(),
            json!({"execution": execution("manual")}),
            &zeros,
            0,
        ),
        (policy.clone(), json!({"execution": false}), &zeros, 0),
        (policy, json!(null), &zeros, 7),
    ] {
        let mut inputs = inputs(json!({}));
        inputs.policy = Artifact::Document(policy);
        inputs.handoff = Artifact::Document(handoff);
        let mut rollup = shown(&inputs)["autonomous"]["outcomeRollup"].clone();
        let found = rollup
            .as_object_mut()
            .and_then(|r| r.remove("manual_backlog"));
        assert_eq!((&rollup, found), (expected, Some(json!(backlog))));
    }
}

#[test]
fn intents_wait_for_a_person_if_they_are_pending_and_manual_only() {
    let intents = json!([
        {"status": "pending_operator_confirmation", "autonomous": {"manualOnly": true}},
        {"status": "pending_operator_confirmation", "autonomous": {"manualOnly": false}},
        {"status": "executed", "autonomous": {"manualOnly": true}},
        {"status": "pending_operator_confirmation"}, null,
    ]);
    let mut inputs = inputs(json!({}));
    inputs.handoff = Artifact::Document(json!({"intents": intents}));
    let shown = shown(&inputs);
    assert_eq!(shown["handoff"]["pendingManualOnlyCount"], 1);
    assert_eq!(shown["handoff"]["summary"]["intentCount"], 5);
    assert_eq!(shown["handoff"]["execution"]["requestedIntentCount"], 0);
    assert_eq!(shown["autonomous"]["mode"], "advisory");
    assert_eq!(shown["autonomous"].get("governance"), None);
    assert_eq!(shown["autonomous"].get("rollout"), None);
}

#[test]
fn reasons_and_outcomes_are_counted_in_the_order_of_their_first_occurrence() {
    let mut inputs = inputs(json!({}));
    inputs.handoff = Artifact::Document(json!({
        "intents": [{"autonomous": {"reasons": ["z", "a", 7]}}, {"autonomous": {"reasons": ["a"]}},
            {"autonomous": {"reasons": "not a list"}}],
        "execution": {"results": [{"intentId": "1", "reasonCode": "y"},
            {"intentId": "2", "reasonCode": "b"}, {"intentId": "3", "reasonCode": "y"},
            {"intentId": "4", "reasonCode": null}]}}));
    let handoff = shown(&inputs)["handoff"].clone();
    assert_eq!(handoff["byAutonomyReason"].to_string(), r#"{"z":1,"a":2}"#);
    let outcomes = &handoff["execution"]["byReasonCode"];
    assert_eq!(outcomes.to_string(), r#"{"y":2,"b":1}"#);
}

#[test]
fn switches_that_are_off_are_told() {
    let mut inputs = everything();
    assert_eq!(
        shown(&inputs)["autonomous"]["rollout"]["autopause"]["enabled"],
        false
    );
    inputs.policy = Artifact::Document(json!({"mode": "advisory"}));
    let rollout = shown(&inputs)["autonomous"]["rollout"].clone();
    assert_eq!(rollout["autopause"]["enabled"], true);
    assert_eq!(rollout["pause"]["auto"], rollout["autopause"]);
}

#[test]
fn a_review_that_the_registry_let_lapse_is_told() {
    let mut inputs = inputs(json!({}));
    inputs.review_lapsed = Some("2031-05-01T00:00:00Z".to_owned());
    let warning = shown(&inputs)["warnings"][0].clone();
    let message = warning["message"].as_str().expect("a text");
    assert!(message.starts_with("governance review expired (2031-05-01T00:00:00Z)"));
    assert_eq!(warning["file"], inputs.files.registry_file);
}
