//! Chapter 02 §2.4 and §2.6: passes that observe their loop, and what a pass
//! writes.

use om_model::drift::Confidence;
use om_model::json;
use om_reconcile::drift::DriftError;
use om_reconcile::pass::{
    Closed, Commit, DriftOutcome, DriftRequest, HardAbort, PassInputs, alert_failure_row, close,
    drift, drift_request, health, observe, record,
};
use serde_json::{Value, json};

use crate::support::{
    appended, artifact, catalog, context, event, loop_id, observation, pass_inputs, pass_over,
    snapshot, with, written,
};

pub(crate) fn summary() -> Value {
    json!({
        "recommendedProfile": "strict", "confidence": "high", "rationale": "stable",
        "source": {"window": 200}, "observed": {"reconcileAttempts": 120},
    })
}

/// All stages, built in, without a summary.
pub(crate) fn run(inputs: &PassInputs) -> Closed {
    run_with(inputs, None)
}

pub(crate) fn run_with(inputs: &PassInputs, summary: Option<&Value>) -> Closed {
    let context = context();
    let observed = observe(inputs, &context).expect("observed");
    let document = health(inputs, &observed, &context).expect("healthy or not");
    let recorded = record(inputs, observed, document, &context).expect("recorded");
    let request = drift_request(&recorded, summary).expect("a request");
    let previous = om_model::Artifact::Absent;
    let outcome = drift(inputs, &request, &catalog(), &previous, &context).expect("drift");
    close(inputs, recorded, summary, outcome, &context)
}

fn names(commit: &Commit) -> Vec<String> {
    let base = |path: &std::path::Path| {
        let name = path
            .strip_prefix("/srv/app/ops")
            .expect("below the ops directory");
        name.display().to_string()
    };
    let documents = commit.documents.iter().map(|write| base(&write.path));
    documents
        .chain(commit.rows.iter().map(|row| base(&row.path)))
        .collect()
}

#[test]
fn a_pass_without_hooks_is_one_commit_of_everything() {
    let closed = run_with(&pass_inputs(), Some(&summary()));
    assert!(closed.success);
    assert_eq!(
        names(&closed.commit),
        [
            "cursor.json",
            "telemetry/transport-health.json",
            "heartbeat.json",
            "sequence-state.json",
            "state.json",
            "health.json",
            "profile-drift.json",
            "telemetry/heartbeat.jsonl",
            "telemetry/sequence.jsonl",
            "telemetry/reconcile.jsonl",
            "telemetry/profile-drift.jsonl",
        ]
    );
}

#[test]
fn the_state_is_applied_last_and_is_what_is_printed() {
    let closed = run_with(&pass_inputs(), Some(&summary()));
    assert_eq!(
        written(&closed.commit, "state.json"),
        Some(closed.stdout.clone())
    );
    let last: Vec<_> = closed
        .commit
        .documents
        .iter()
        .filter(|write| write.options.last)
        .collect();
    assert_eq!(last.len(), 1);
    assert!(last[0].path.ends_with("state.json"));
    insta::assert_snapshot!(json::pretty(&closed.stdout));
}

#[test]
fn the_state_carries_the_documents_that_are_written_beside_it() {
    let closed = run(&pass_inputs());
    let state = &closed.stdout;
    assert_eq!(
        written(&closed.commit, "health.json").as_ref(),
        state.get("health")
    );
    assert_eq!(
        written(&closed.commit, "sequence-state.json").as_ref(),
        state.get("sequence")
    );
    let drift = written(&closed.commit, "profile-drift.json").expect("a drift document");
    assert_eq!(
        Some(&with(drift, "traceId", json!("tr-41"))),
        state.get("drift")
    );
}

#[test]
fn the_cursor_is_indented_and_private() {
    let closed = run(&pass_inputs());
    let cursor = &closed.commit.documents[0];
    assert_eq!(cursor.options.mode, Some(0o600));
    insta::assert_snapshot!(String::from_utf8_lossy(&cursor.bytes));
}

#[test]
fn the_row_of_a_healthy_pass() {
    let closed = run(&pass_inputs());
    let rows = appended(&closed.commit, "telemetry/reconcile.jsonl");
    insta::assert_snapshot!(json::pretty(&rows));
}

#[test]
fn a_pass_from_the_start_counts_from_zero() {
    let mut inputs = pass_inputs();
    inputs.settings.from_start = true;
    let rows = appended(&run(&inputs).commit, "telemetry/reconcile.jsonl");
    assert_eq!(rows[0]["cursorOffsetBefore"], json!(0));
    assert_eq!(rows[0]["cursorOffsetAfter"], json!(15));
    assert_eq!(rows[0]["fromStart"], json!(true));
}

#[test]
fn a_loop_without_a_heartbeat_writes_no_heartbeat_files() {
    let inputs = pass_over(with(snapshot(), "runtime.heartbeat", json!(null)));
    let closed = run(&inputs);
    assert_eq!(written(&closed.commit, "heartbeat.json"), None);
    assert!(appended(&closed.commit, "telemetry/heartbeat.jsonl").is_empty());
}

#[test]
fn an_unreadable_heartbeat_leaves_a_row_and_ages_the_last_good_one() {
    let mut inputs = pass_over(with(
        snapshot(),
        "runtime.heartbeat",
        json!({"timestamp": "x"}),
    ));
    inputs.prior.heartbeat = artifact(json!({
        "lastHeartbeatAt": "2031-05-02T07:50:04Z", "heartbeatLagSeconds": 1,
    }));
    let closed = run(&inputs);
    assert_eq!(written(&closed.commit, "heartbeat.json"), None);
    assert_eq!(
        appended(&closed.commit, "telemetry/heartbeat.jsonl").len(),
        1
    );
    assert_eq!(
        closed.stdout["health"]["metrics"]["heartbeatLagSeconds"],
        json!(600)
    );
    assert_eq!(closed.stdout["health"]["status"], json!("critical"));
}

#[test]
fn a_heartbeat_that_vanished_is_aged() {
    let mut inputs = pass_over(with(snapshot(), "runtime.heartbeat", json!(null)));
    inputs.prior.heartbeat = artifact(json!({
        "lastHeartbeatAt": "2031-05-02T07:58:04Z", "heartbeatLagSeconds": 1,
    }));
    let closed = run(&inputs);
    assert_eq!(
        closed.stdout["health"]["metrics"]["heartbeatLagSeconds"],
        json!(120)
    );
    assert_eq!(
        closed.stdout["health"]["reasonCodes"],
        json!(["runtime_heartbeat_stale"])
    );
}

#[test]
fn a_declared_replay_neither_regresses_nor_diverges() {
    let mut inputs = pass_inputs();
    inputs.settings.from_start = true;
    observation(&mut inputs).batch = crate::support::batch(&[event("role_start", 1)]);
    inputs.prior.sequence = artifact(json!({"snapshot": {"current": 15}, "events": {"last": 15}}));
    let closed = run(&inputs);
    assert_eq!(closed.stdout["sequence"]["violations"], json!([]));
    assert_eq!(closed.stdout["divergence"]["any"], json!(false));
    assert!(appended(&closed.commit, "escalations.jsonl").is_empty());
}

#[test]
fn a_replay_over_a_log_that_shrunk_raises_everything() {
    let mut inputs = pass_inputs();
    inputs.settings.from_start = true;
    observation(&mut inputs).batch = crate::support::batch(&[event("role_start", 1)]);
    inputs.prior.sequence = artifact(json!({"snapshot": {"current": 20}, "events": {"last": 20}}));
    inputs.prior.state = artifact(json!({"cursor": {"eventLineOffset": 20}}));
    let closed = run(&inputs);
    assert_eq!(
        closed.stdout["sequence"]["violations"],
        json!(["event_sequence_regression", "snapshot_sequence_regression"])
    );
    assert_eq!(
        closed.stdout["divergence"]["flags"]["cursorRegression"],
        json!(true)
    );
    let rows = appended(&closed.commit, "escalations.jsonl");
    let categories: Vec<&Value> = rows.iter().map(|row| &row["category"]).collect();
    assert_eq!(
        json!(categories),
        json!([
            "divergence_detected",
            "ordering_drift_detected",
            "health_degraded"
        ])
    );
}

#[test]
fn an_unusable_sequence_state_is_replaced_from_the_start() {
    let mut inputs = pass_inputs();
    inputs.settings.from_start = true;
    inputs.prior.sequence = artifact(json!(["broken"]));
    assert!(run(&inputs).success);
}

#[test]
fn a_health_hook_gets_a_state_without_health_and_is_believed() {
    let (inputs, context) = (pass_inputs(), context());
    let mut observed = observe(&inputs, &context).expect("observed");
    let barrier = std::mem::take(&mut observed.commit);
    let state = written(&barrier, "state.json").expect("a projected state");
    assert_eq!(state.get("health"), None);

    let printed = json!({"status": "on_fire", "reasonCodes": false, "extra": 1});
    let recorded = record(&inputs, observed, printed.clone(), &context).expect("recorded");
    assert_eq!(
        written(&recorded.commit, "health.json"),
        Some(printed.clone())
    );
    assert_eq!(written(&recorded.commit, "cursor.json"), None);
    let state = written(&recorded.commit, "state.json").expect("the merged state");
    assert_eq!(state.get("health"), Some(&printed));
    let escalations = appended(&recorded.commit, "escalations.jsonl");
    assert_eq!(escalations[0]["category"], json!("health_on_fire"));
    let rows = appended(&recorded.commit, "telemetry/reconcile.jsonl");
    assert_eq!(rows[0]["healthStatus"], json!("on_fire"));
    assert_eq!(rows[0]["healthReasonCodes"], json!([]));
}

#[test]
fn a_health_hook_that_prints_no_object_aborts() {
    let (inputs, context) = (pass_inputs(), context());
    for printed in [json!([]), json!("healthy"), json!(true)] {
        let observed = observe(&inputs, &context).expect("observed");
        let aborted = record(&inputs, observed, printed, &context);
        assert!(matches!(aborted, Err(HardAbort::HealthStage(_))));
    }
}

/// A pass up to its drift stage, with the given health.
fn recorded(inputs: &PassInputs, health: Value) -> om_reconcile::pass::Recorded {
    let observed = observe(inputs, &context()).expect("observed");
    record(inputs, observed, health, &context()).expect("recorded")
}

#[test]
fn drift_is_asked_about_the_applied_profile_and_the_summary() {
    let inputs = pass_inputs();
    let found = drift_request(&recorded(&inputs, json!({})), Some(&summary()));
    assert_eq!(
        found.expect("a request"),
        DriftRequest {
            applied: "balanced".to_owned(),
            recommended: "strict".to_owned(),
            confidence: "high".to_owned(),
            rationale: "stable".to_owned(),
        }
    );
    for nothing in [None, Some(&json!({})), Some(&json!(null))] {
        let found = drift_request(&recorded(&inputs, json!({})), nothing).expect("a request");
        assert_eq!(found.recommended, "");
        assert_eq!(found.confidence, "low");
        assert_eq!(found.rationale, "");
    }
}

#[test]
fn without_a_resolved_profile_health_names_the_applied_one() {
    let mut inputs = pass_inputs();
    inputs.settings.thresholds.profile = None;
    let health = json!({"thresholds": {"profile": "relaxed"}});
    let found = drift_request(&recorded(&inputs, health), None).expect("a request");
    assert_eq!(found.applied, "relaxed");
    let found = drift_request(&recorded(&inputs, json!({})), None).expect("a request");
    assert_eq!(found.applied, "");
}

#[test]
fn a_summary_that_is_no_object_aborts() {
    let found = drift_request(&recorded(&pass_inputs(), json!({})), Some(&json!([])));
    assert!(matches!(found, Err(HardAbort::SummaryStage(_))));
}

#[test]
fn a_recommendation_that_the_catalog_lacks_aborts_after_the_row() {
    let inputs = pass_inputs();
    let recorded = recorded(&inputs, json!({}));
    let request = DriftRequest {
        recommended: "loose".to_owned(),
        confidence: "low".to_owned(),
        ..DriftRequest::default()
    };
    let absent = om_model::Artifact::Absent;
    let aborted = drift(&inputs, &request, &catalog(), &absent, &context());
    assert_eq!(
        aborted.expect_err("an unknown profile").to_string(),
        "unknown recommended profile: loose"
    );
    assert_eq!(
        appended(&recorded.commit, "telemetry/reconcile.jsonl").len(),
        1
    );
    assert!(written(&recorded.commit, "health.json").is_some());
    assert!(
        written(&recorded.commit, "state.json")
            .expect("a state")
            .get("drift")
            .is_none()
    );
}

#[test]
fn a_confidence_that_is_no_level_aborts() {
    let request = DriftRequest {
        confidence: "very".to_owned(),
        ..DriftRequest::default()
    };
    let absent = om_model::Artifact::Absent;
    let aborted = drift(&pass_inputs(), &request, &catalog(), &absent, &context());
    assert!(matches!(
        aborted,
        Err(HardAbort::Drift(
            DriftError::RecommendationConfidence { .. }
        ))
    ));
}

#[test]
fn tuning_comes_with_a_summary_only() {
    assert_eq!(run(&pass_inputs()).stdout.get("tuning"), None);
    let closed = run_with(&pass_inputs(), Some(&json!({})));
    assert_eq!(
        closed.stdout["tuning"],
        json!({
            "appliedProfile": "balanced",
            "recommendedProfile": null,
            "confidence": null,
            "rationale": null,
            "summaryWindow": null,
            "telemetrySummary": {"observed": {}, "source": {}},
        })
    );
}

#[test]
fn a_drift_hook_wrote_its_own_files() {
    let inputs = pass_inputs();
    let printed = json!({"status": "custom", "transitioned": {"toActive": true}});
    let outcome = DriftOutcome::hooked(printed).expect("an object");
    let closed = close(
        &inputs,
        recorded(&inputs, json!({})),
        None,
        outcome,
        &context(),
    );
    assert_eq!(written(&closed.commit, "profile-drift.json"), None);
    assert!(appended(&closed.commit, "telemetry/profile-drift.jsonl").is_empty());
    assert_eq!(
        closed.stdout["drift"],
        json!({"status": "custom", "transitioned": {"toActive": true}, "traceId": "tr-41"})
    );
    let rows = appended(&closed.commit, "escalations.jsonl");
    assert_eq!(rows[0]["category"], json!("profile_drift_detected"));
}

#[test]
fn a_drift_hook_that_prints_null_disables_drift_and_tuning() {
    let inputs = pass_inputs();
    let outcome = DriftOutcome::hooked(json!(null)).expect("disabled");
    let recorded = recorded(&inputs, json!({}));
    let before = written(&recorded.commit, "state.json");
    let closed = close(&inputs, recorded, Some(&summary()), outcome, &context());
    assert_eq!(Some(closed.stdout), before);
    assert_eq!(written(&closed.commit, "state.json"), before);
}

#[test]
fn a_drift_hook_that_prints_something_else_aborts() {
    for printed in [json!([]), json!("x"), json!(7), json!(false)] {
        let aborted = DriftOutcome::hooked(printed);
        assert!(matches!(aborted, Err(HardAbort::DriftStage(_))));
    }
}

#[test]
fn drift_that_becomes_active_is_escalated_in_the_same_commit() {
    let mut inputs = pass_inputs();
    inputs.settings.drift_required_streak = 1;
    inputs.settings.drift_min_confidence = Confidence::Low;
    let closed = run_with(&inputs, Some(&summary()));
    let rows = appended(&closed.commit, "escalations.jsonl");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["category"], json!("profile_drift_detected"));
    assert_eq!(closed.stdout["drift"]["driftActive"], json!(true));
}

#[test]
fn the_row_of_a_failed_alert_stage() {
    let row = alert_failure_row(&loop_id(), &context(), b"error: no sink\r\n");
    insta::assert_snapshot!(json::pretty(&row));
    let silent = alert_failure_row(&loop_id(), &context(), b"\n");
    assert_eq!(silent.message, None);
}
