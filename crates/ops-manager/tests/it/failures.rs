//! Passes that could not observe the loop: what they record, what they keep,
//! and how the next pass goes on (02 §2.5; decisions D7 and D24).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, ago, event, healthy};

fn remove_log(repo: &Repo) -> Vec<u8> {
    let log = fs::read(repo.events()).expect("log");
    fs::remove_file(repo.events()).expect("removed");
    log
}

#[test]
fn a_failed_pass_prints_its_health_and_exits_1() {
    let repo = healthy();
    remove_log(&repo);
    let run = repo.reconcile(&["--trace-id", "t1"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let health = run.json();
    assert_eq!(health, repo.manager_json("health.json"));
    assert_eq!(
        health["transport"],
        json!({
            "mode": "local", "ingestStatus": "failed",
            "failureCode": "snapshot_unavailable", "lastFailureCode": "snapshot_unavailable",
        })
    );
    assert_eq!(health["metrics"]["lifecycleState"], "unknown");
}

#[test]
fn the_reconcile_row_of_a_failure_has_these_members_and_no_others() {
    let repo = healthy();
    remove_log(&repo);
    repo.reconcile(&["--trace-id", "t1"]);
    let row = repo.only_row("telemetry/reconcile.jsonl");
    let message = row["failureMessage"]
        .as_str()
        .expect("a message")
        .to_owned();
    assert!(
        message.starts_with("error: required artifact missing: "),
        "{message}"
    );
    assert_eq!(
        repo.scrub(&row),
        json!({
            "timestamp": "<now>", "startedAt": "<now>",
            "loopId": "l", "traceId": "t1", "transport": "local", "status": "failed",
            "failureCode": "snapshot_unavailable",
            "failureMessage": repo.scrub(&json!(message)),
            "cursorOffsetBefore": 0, "cursorOffsetAfter": 0, "eventsIngested": 0,
            "maxEvents": 0, "fromStart": false,
            "retryAttempts": 3, "retryBackoffSeconds": 1,
            "thresholdProfile": "balanced", "durationSeconds": "<seconds>",
            "transportFailureStreak": 1, "sequenceStatus": "skipped_ingest_failed",
            "healthStatus": "degraded", "healthReasonCodes": ["transport_unreachable"],
        })
    );
}

#[test]
fn a_first_failed_pass_writes_the_tail_and_nothing_that_it_has_not_seen() {
    let repo = healthy();
    remove_log(&repo);
    repo.reconcile(&[]);
    for file in [
        "health.json",
        "escalations.jsonl",
        "profile-drift.json",
        "telemetry/transport-health.json",
        "telemetry/reconcile.jsonl",
        "telemetry/profile-drift.jsonl",
    ] {
        assert!(repo.manager(file).is_file(), "{file}");
    }
    for file in [
        "state.json",
        "cursor.json",
        "sequence-state.json",
        "telemetry/sequence.jsonl",
    ] {
        assert!(!repo.manager(file).exists(), "{file}");
    }
    let drift = repo.manager_json("profile-drift.json");
    assert_eq!(drift["recommendedProfile"], "relaxed");
}

#[test]
fn a_failed_pass_refreshes_an_existing_state_and_keeps_everything_else_in_it() {
    let repo = healthy();
    let mut state = repo.reconcile(&["--trace-id", "t1"]).ok();
    state["generatedAt"] = json!("2026-01-02T03:04:05Z");
    state["trace"]["operator"] = json!({"ticket": 42});
    state["annotation"] = json!([1, {"b": 2, "a": 1}]);
    repo.put("state.json", &state.to_string());
    remove_log(&repo);
    let run = repo.reconcile(&["--trace-id", "t2"]);
    assert_eq!(run.code, 1);
    let kept = repo.manager_json("state.json");
    assert_eq!(kept["health"], run.json());
    assert_eq!(
        kept["trace"],
        json!({"reconcileTraceId": "t2", "operator": {"ticket": 42}})
    );
    assert_eq!(kept["drift"]["traceId"], "t2");
    assert_eq!(
        kept["tuning"]["telemetrySummary"]["observed"]["reconcileAttempts"],
        2
    );
    let refreshed = ["health", "trace", "drift", "tuning"];
    let others = |document: &Value| -> Vec<(String, Value)> {
        let members = document.as_object().expect("an object").iter();
        members
            .filter(|(name, _)| !refreshed.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    assert_eq!(
        others(&kept),
        others(&state),
        "unknown members, old sequence, order"
    );
    let order = |document: &Value| -> Vec<String> {
        document
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(order(&kept), order(&state));
}

#[test]
fn what_an_earlier_pass_saw_stays_in_the_files_of_a_failed_one() {
    let repo = healthy();
    repo.put_runtime(
        "heartbeat.v1.json",
        &format!(r#"{{"timestamp":"{}"}}"#, ago(0)),
    );
    repo.reconcile(&[]).ok();
    let content = |file: &str| fs::read(repo.manager(file)).expect("exists");
    let files = [
        "cursor.json",
        "heartbeat.json",
        "sequence-state.json",
        "telemetry/heartbeat.jsonl",
        "telemetry/sequence.jsonl",
    ];
    let before = files.map(content);
    remove_log(&repo);
    assert_eq!(repo.reconcile(&[]).code, 1);
    assert_eq!(files.map(content), before);
    assert_eq!(
        repo.last_row("telemetry/reconcile.jsonl")["cursorOffsetAfter"],
        2
    );
}

#[test]
fn a_recovered_loop_goes_on_where_it_stood() {
    let repo = healthy();
    repo.reconcile(&[]).ok();
    let mut log = remove_log(&repo);
    for streak in 1..=3 {
        assert_eq!(repo.reconcile(&[]).code, 1);
        let row = repo.last_row("telemetry/reconcile.jsonl");
        assert_eq!(row["transportFailureStreak"], streak);
    }
    log.extend((event("role_start", &ago(0)) + "\n").into_bytes());
    fs::write(repo.events(), log).expect("back again");
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["health"]["reasonCodes"], json!([]));
    assert_eq!(state["sequence"]["status"], "ok");
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["transportFailureStreak"], 0);
    assert_eq!(
        (&row["cursorOffsetBefore"], &row["cursorOffsetAfter"]),
        (&json!(2), &json!(3))
    );
}

/// Makes the projection fail: completion is neither yes nor no.
const UNUSABLE_SUMMARY: &str = r#"{"entries":[{"run_id":"r1","completion_ok":"maybe"}]}"#;

#[test]
fn a_failed_projection_consumes_nothing() {
    let repo = healthy();
    repo.put_runtime("run-summary.json", UNUSABLE_SUMMARY);
    let run = repo.reconcile(&[]);
    assert_eq!(run.json()["transport"]["failureCode"], "projection_failed");
    assert_eq!(run.json()["reasonCodes"], json!(["projection_failed"]));
    assert!(!repo.manager("cursor.json").exists(), "the cursor stays");
    assert!(!repo.manager("state.json").exists());
    let row = repo.only_row("telemetry/reconcile.jsonl");
    assert_eq!(row["eventsIngested"], 2, "seen, then rejected");
    assert_eq!(
        (&row["cursorOffsetBefore"], &row["cursorOffsetAfter"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(row["transportFailureStreak"], 1, "every failure counts");
    repo.put_runtime("run-summary.json", "{}");
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["cursor"]["eventLineOffset"], 2);
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["eventsIngested"], 2, "the same events come again");
}

#[test]
fn repeated_projection_failures_also_report_an_unreachable_transport() {
    let repo = healthy();
    repo.put_runtime("run-summary.json", UNUSABLE_SUMMARY);
    repo.reconcile(&[]);
    let health = repo.reconcile(&[]).json();
    assert_eq!(
        health["reasonCodes"],
        json!(["projection_failed", "transport_unreachable"])
    );
}

#[test]
fn a_failed_pass_still_sees_the_drift_and_divergence_of_the_last_good_one() {
    let repo = Repo::with_events(&[&event("iteration_start", &ago(0))]);
    repo.reconcile(&[]).ok();
    fs::remove_file(repo.manager("cursor.json")).expect("removed");
    repo.append_events(&(event("role_start", &ago(0)) + "\n"));
    repo.reconcile(&[]).ok();
    fs::remove_file(repo.manager("cursor.json")).expect("removed");
    let drifting = repo.reconcile(&[]).ok();
    let codes = ["divergence_detected", "ordering_drift_detected"];
    assert_eq!(drifting["health"]["reasonCodes"], json!(codes));
    remove_log(&repo);
    let health = repo.reconcile(&[]).json();
    let all = [&codes[..], &["transport_unreachable"]].concat();
    assert_eq!(health["reasonCodes"], json!(all));
}

#[test]
fn a_broken_row_in_the_window_costs_the_summary_but_not_the_pass() {
    let repo = healthy();
    let first = repo.reconcile(&[]).ok();
    let path = repo.manager("telemetry/reconcile.jsonl");
    let mut rows = fs::read_to_string(&path).expect("rows");
    rows.push_str("{broken\n");
    fs::write(&path, rows).expect("written");
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["drift"]["status"], "no_recommendation");
    assert_eq!(state["drift"]["recommendationConfidence"], "low");
    assert!(state["drift"].get("recommendedProfile").is_none());
    assert_eq!(first["drift"]["recommendedProfile"], "strict");
    let run = repo.run("ops-manager-telemetry-summary", &[]);
    assert!(run.error().contains("Bad JSON"), "{}", run.stderr);
    assert!(run.error().contains("reconcile.jsonl"), "{}", run.stderr);
    let narrow = repo.reconcile(&["--drift-summary-window", "2"]).ok();
    assert_eq!(
        narrow["tuning"]["confidence"], "low",
        "it has left this window"
    );
}
