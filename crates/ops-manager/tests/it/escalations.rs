//! What is escalated, when, and what each row says (02 §2.4.3, §2.6.8).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, ago, event, healthy};

fn categories(repo: &Repo) -> Vec<String> {
    let rows = repo.rows("escalations.jsonl");
    let category = |row: &Value| row["category"].as_str().expect("a category").to_owned();
    rows.iter().map(category).collect()
}

/// A pass over a log that cannot be read, and the log's content.
fn failing_pass(repo: &Repo) -> Vec<u8> {
    let log = fs::read(repo.events()).expect("log");
    fs::remove_file(repo.events()).expect("removed");
    let run = repo.reconcile(&["--trace-id", "t"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    log
}

#[test]
fn a_failed_pass_escalates_its_health_with_the_failure_code() {
    let repo = healthy();
    failing_pass(&repo);
    assert_eq!(
        repo.scrub(&repo.only_row("escalations.jsonl")),
        json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t",
            "category": "health_degraded", "transport": "local",
            "ingestStatus": "failed", "failureCode": "snapshot_unavailable",
            "stateFile": "<repo>/.superloop/ops-manager/l/state.json",
            "cursorFile": "<repo>/.superloop/ops-manager/l/cursor.json",
            "healthFile": "<repo>/.superloop/ops-manager/l/health.json",
            "healthStatus": "degraded", "reasonCodes": ["transport_unreachable"],
            "reasons": [{
                "code": "transport_unreachable", "severity": "degraded",
                "metric": "ingestStatus", "observed": "failed", "threshold": "success",
            }],
        })
    );
    assert!(
        !repo.manager("state.json").exists(),
        "named, though it is not there"
    );
}

#[test]
fn a_successful_pass_escalates_its_health_without_a_failure_code() {
    let repo = Repo::with_events(&[&event("loop_start", &ago(1_000))]);
    repo.reconcile(&["--trace-id", "t"]).ok();
    assert_eq!(
        repo.scrub(&repo.only_row("escalations.jsonl")),
        json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t",
            "category": "health_critical", "transport": "local", "ingestStatus": "success",
            "stateFile": "<repo>/.superloop/ops-manager/l/state.json",
            "cursorFile": "<repo>/.superloop/ops-manager/l/cursor.json",
            "healthFile": "<repo>/.superloop/ops-manager/l/health.json",
            "healthStatus": "critical", "reasonCodes": ["ingest_stale"],
            "reasons": [{
                "code": "ingest_stale", "severity": "critical",
                "metric": "ingestLagSeconds", "observed": "<lag>", "threshold": "900",
            }],
        })
    );
}

#[test]
fn health_escalates_on_change_and_recovery_is_silent() {
    let repo = healthy();
    repo.reconcile(&[]).ok();
    let log = failing_pass(&repo);
    let fail = |times: usize| {
        for _ in 0..times {
            assert_eq!(repo.reconcile(&[]).code, 1);
        }
    };
    fail(2);
    assert_eq!(
        categories(&repo),
        ["health_degraded"],
        "streaks 1 to 3 are one finding"
    );
    fail(1);
    assert_eq!(categories(&repo), ["health_degraded", "health_critical"]);
    let reason = &repo.last_row("escalations.jsonl")["reasons"][0];
    assert_eq!(
        *reason,
        json!({
            "code": "transport_unreachable", "severity": "critical",
            "metric": "transportFailureStreak", "observed": "4", "threshold": "4",
        })
    );
    fail(1);
    assert_eq!(categories(&repo).len(), 2, "streak 5 is the same finding");
    fs::write(repo.events(), log).expect("back again");
    assert_eq!(repo.reconcile(&[]).ok()["health"]["status"], "healthy");
    assert_eq!(categories(&repo).len(), 2, "recovery is silent");
    failing_pass(&repo);
    assert_eq!(
        categories(&repo).len(),
        3,
        "after recovery it is news again"
    );
}

#[test]
fn other_reasons_of_the_same_status_are_a_change() {
    let repo = healthy();
    repo.put("intents.jsonl", "{\"status\":\"ambiguous\"}\n");
    repo.reconcile(&[]).ok();
    repo.reconcile(&[]).ok();
    repo.put("intents.jsonl", "{\"status\":\"failed_command\"}\n");
    repo.reconcile(&[]).ok();
    let codes: Vec<Value> = repo
        .rows("escalations.jsonl")
        .iter()
        .map(|row| row["reasonCodes"].clone())
        .collect();
    assert_eq!(
        codes,
        [
            json!(["control_ambiguous"]),
            json!(["control_failed_command"])
        ]
    );
}

#[test]
fn a_blank_previous_health_escalates_whatever_is_not_healthy() {
    let repo = healthy();
    repo.put("intents.jsonl", "{\"status\":\"ambiguous\"}\n");
    repo.reconcile(&[]).ok();
    repo.put("health.json", "");
    repo.reconcile(&[]).ok();
    assert_eq!(categories(&repo), ["health_degraded", "health_degraded"]);
}

#[test]
fn divergence_escalates_on_every_diverging_pass() {
    let repo = Repo::with_events(&[&event("iteration_start", &ago(0))]);
    let state = repo.reconcile(&["--trace-id", "t"]).ok();
    assert_eq!(
        state["divergence"],
        json!({
            "any": true,
            "flags": {
                "activeMismatch": true, "approvalCompletionConflict": false,
                "cursorRegression": false,
            },
        })
    );
    assert_eq!(state["transition"]["confidence"], "low");
    let row = repo.rows("escalations.jsonl").remove(0);
    assert_eq!(
        repo.scrub(&row),
        repo.scrub(&json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t",
            "category": "divergence_detected", "transport": "local",
            "stateFile": repo.shown("state.json"), "cursorFile": repo.shown("cursor.json"),
            "divergenceFlags": state["divergence"]["flags"],
            "state": {
                "transition": state["transition"],
                "projection": state["projection"],
                "cursor": state["cursor"],
            },
        }))
    );
    repo.append_events(&(event("role_start", &ago(0)) + "\n"));
    repo.reconcile(&[]).ok();
    let expected = [
        "divergence_detected",
        "health_degraded",
        "divergence_detected",
    ];
    assert_eq!(categories(&repo), expected, "health only once");
}

#[test]
fn a_lost_cursor_is_an_order_drift_that_escalates_once_and_recovers() {
    let repo = healthy();
    repo.reconcile(&[]).ok();
    let lose_cursor = || fs::remove_file(repo.manager("cursor.json")).expect("removed");
    lose_cursor();
    let state = repo.reconcile(&["--trace-id", "t"]).ok();
    assert_eq!(
        state["sequence"]["violations"],
        json!(["event_sequence_regression"])
    );
    assert_eq!(state["sequence"]["reasonCode"], "ordering_drift_detected");
    assert_eq!(
        state["health"]["reasonCodes"],
        json!(["ordering_drift_detected"])
    );
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["sequenceStatus"], "ordering_drift_detected");
    assert_eq!(row["sequenceReasonCode"], "ordering_drift_detected");
    let sequence = &state["sequence"];
    assert_eq!(
        repo.scrub(&repo.rows("escalations.jsonl")[0]),
        repo.scrub(&json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t",
            "category": "ordering_drift_detected", "transport": "local",
            "reasonCode": "ordering_drift_detected",
            "stateFile": repo.shown("state.json"),
            "sequenceStateFile": repo.shown("sequence-state.json"),
            "sequenceTelemetryFile": repo.shown("telemetry/sequence.jsonl"),
            "sequence": {
                "status": sequence["status"], "driftActive": sequence["driftActive"],
                "violations": sequence["violations"], "snapshot": sequence["snapshot"],
                "events": sequence["events"],
            },
        }))
    );
    assert_eq!(
        categories(&repo),
        ["ordering_drift_detected", "health_degraded"]
    );
    lose_cursor();
    let still = repo.reconcile(&[]).ok();
    assert_eq!(
        still["sequence"]["transition"],
        json!({
            "previousDriftActive": true, "transitionedToDrift": false,
            "recoveredFromDrift": false,
        })
    );
    assert_eq!(categories(&repo).len(), 2, "no transition, no row");
    let recovered = repo.reconcile(&[]).ok();
    assert_eq!(
        recovered["sequence"]["transition"]["recoveredFromDrift"],
        json!(true)
    );
    assert_eq!(recovered["health"]["status"], "healthy");
    assert_eq!(categories(&repo).len(), 2, "recovery is silent");
}
