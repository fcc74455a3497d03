//! Hooks are barriers: what is on disk when they run, and what becomes of a
//! pass whose hook fails (02 §2.5, §2.6.7, §2.7; decision D7).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, healthy};
use crate::hooks::{ALERTS, DRIFT, HEALTH, PROFILE, SUMMARY, hook};

/// Copies the manager's files aside, for a look at what a hook saw.
fn copying(repo: &Repo, then: &str) -> String {
    let (from, to) = (repo.manager(""), repo.outside("seen"));
    format!(
        "rm -rf '{0}'; cp -r '{1}' '{0}'; {then}",
        to.display(),
        from.display()
    )
}

fn seen(repo: &Repo, file: &str) -> Option<Value> {
    let content = fs::read(repo.outside("seen").join(file)).ok()?;
    Some(serde_json::from_slice(&content).expect("a whole document"))
}

fn seen_rows(repo: &Repo, file: &str) -> usize {
    let content = fs::read_to_string(repo.outside("seen").join(file));
    content.unwrap_or_default().lines().count()
}

#[test]
fn a_health_hook_sees_everything_that_was_observed() {
    let mut repo = healthy();
    let body = copying(&repo, "echo '{}'");
    hook(&mut repo, HEALTH, &body);
    repo.reconcile(&["--trace-id", "t"]).ok();
    let state = seen(&repo, "state.json").expect("the projection is committed");
    assert_eq!(state["projection"]["status"], "running");
    assert!(state.get("health").is_none());
    assert_eq!(
        seen(&repo, "cursor.json").expect("committed")["eventLineOffset"],
        2
    );
    assert_eq!(
        seen(&repo, "sequence-state.json").expect("committed")["traceId"],
        "t"
    );
    let transport = seen(&repo, "telemetry/transport-health.json").expect("committed");
    assert_eq!(transport["lastResult"], "success");
    assert_eq!(seen_rows(&repo, "telemetry/sequence.jsonl"), 1);
    assert!(seen(&repo, "health.json").is_none());
    assert_eq!(seen_rows(&repo, "telemetry/reconcile.jsonl"), 0);
}

#[test]
fn a_summary_hook_sees_the_row_of_its_own_pass() {
    let mut repo = healthy();
    let body = copying(&repo, "echo '{}'");
    hook(&mut repo, SUMMARY, &body);
    repo.reconcile(&["--trace-id", "t"]).ok();
    assert_eq!(seen_rows(&repo, "telemetry/reconcile.jsonl"), 1);
    let state = seen(&repo, "state.json").expect("committed");
    assert_eq!(
        state["health"],
        seen(&repo, "health.json").expect("committed")
    );
    assert_eq!(state["trace"]["reconcileTraceId"], "t");
    assert!(state.get("drift").is_none());
}

#[test]
fn a_drift_hook_sees_health_and_telemetry() {
    let mut repo = healthy();
    let body = copying(&repo, "echo '{}'");
    hook(&mut repo, DRIFT, &body);
    repo.reconcile(&[]).ok();
    assert_eq!(seen_rows(&repo, "telemetry/reconcile.jsonl"), 1);
    assert_eq!(
        seen(&repo, "health.json").expect("committed")["status"],
        "healthy"
    );
    assert!(
        seen(&repo, "state.json")
            .expect("committed")
            .get("health")
            .is_some()
    );
}

#[test]
fn an_alert_hook_sees_the_finished_pass_also_when_it_failed() {
    let mut repo = healthy();
    let body = copying(&repo, "");
    hook(&mut repo, ALERTS, &body);
    let state = repo.reconcile(&[]).ok();
    assert_eq!(seen(&repo, "state.json"), Some(state));
    assert_eq!(seen_rows(&repo, "telemetry/profile-drift.jsonl"), 1);
    fs::remove_file(repo.events()).expect("removed");
    let run = repo.reconcile(&[]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert_eq!(seen(&repo, "health.json"), Some(run.json()));
    assert_eq!(seen_rows(&repo, "escalations.jsonl"), 1);
}

#[test]
fn a_failing_threshold_hook_ends_the_pass_with_its_own_exit_code() {
    let mut repo = healthy();
    hook(
        &mut repo,
        PROFILE,
        "echo 'error: no such profile today' >&2; exit 7",
    );
    let before = repo.tree();
    let run = repo.reconcile(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (7, ""));
    assert_eq!(run.stderr, "error: no such profile today\n");
    assert_eq!(repo.tree(), before);
}

#[test]
fn a_threshold_hook_with_unusable_values_ends_the_pass() {
    for (output, message) in [
        (
            r#"{"profile":"p"}"#,
            "degraded-ingest-lag-seconds must be a non-negative integer",
        ),
        (
            r#"{"values":{"degradedIngestLagSeconds":1,"criticalIngestLagSeconds":"x"}}"#,
            "critical-ingest-lag-seconds must be a non-negative integer",
        ),
    ] {
        let mut repo = healthy();
        hook(&mut repo, PROFILE, &format!("echo '{output}'"));
        let before = repo.tree();
        assert_eq!(repo.reconcile(&[]).error(), message);
        assert_eq!(repo.tree(), before);
    }
    for output in ["", "nonsense"] {
        let mut repo = healthy();
        hook(&mut repo, PROFILE, &format!("echo '{output}'"));
        assert!(repo.reconcile(&[]).error().contains(PROFILE), "{output:?}");
    }
}

#[test]
fn a_failing_health_hook_keeps_what_was_observed_and_writes_no_row() {
    for body in [
        "echo broken >&2; exit 3",
        "echo nonsense",
        "true",
        "exit 0; echo '{}'",
    ] {
        let mut repo = healthy();
        repo.put("health.json", r#"{"status":"healthy","old":true}"#);
        hook(&mut repo, HEALTH, body);
        let run = repo.reconcile(&[]);
        assert!(run.error().contains(HEALTH), "{body}: {}", run.stderr);
        let state = repo.manager_json("state.json");
        assert_eq!(state["cursor"]["eventLineOffset"], 2);
        assert!(state.get("health").is_none(), "{body}");
        assert_eq!(repo.manager_json("cursor.json")["eventLineOffset"], 2);
        assert_eq!(
            repo.manager_json("health.json")["old"],
            json!(true),
            "{body}"
        );
        assert!(
            !repo.manager("telemetry/reconcile.jsonl").exists(),
            "{body}"
        );
        assert!(!repo.manager("profile-drift.json").exists(), "{body}");
    }
}

#[test]
fn a_failing_summary_hook_only_costs_the_summary() {
    for body in ["echo '{}'; exit 3", "echo nonsense", "echo '{} {}'"] {
        let mut repo = healthy();
        let first = repo.reconcile(&[]).ok();
        hook(&mut repo, SUMMARY, body);
        let state = repo.reconcile(&[]).ok();
        assert_eq!(state["drift"]["status"], "no_recommendation", "{body}");
        assert!(first.get("tuning").is_some());
        assert!(
            state.get("tuning").is_none(),
            "a fresh projection has no old tuning"
        );
        fs::remove_file(repo.events()).expect("removed");
        assert_eq!(repo.reconcile(&[]).code, 1);
    }
}

#[test]
fn an_existing_tuning_is_left_alone_when_a_failed_pass_has_no_summary() {
    let mut repo = healthy();
    let first = repo.reconcile(&[]).ok();
    hook(&mut repo, SUMMARY, "exit 1");
    fs::remove_file(repo.events()).expect("removed");
    assert_eq!(repo.reconcile(&[]).code, 1);
    let state = repo.manager_json("state.json");
    assert_eq!(state["tuning"], first["tuning"]);
    assert_eq!(state["drift"]["status"], "no_recommendation");
}

#[test]
fn a_summary_hook_that_succeeds_without_output_ends_the_pass_after_its_row() {
    let mut repo = healthy();
    hook(&mut repo, SUMMARY, "true");
    assert!(repo.reconcile(&[]).error().contains(SUMMARY));
    assert_eq!(repo.rows("telemetry/reconcile.jsonl").len(), 1);
    assert!(!repo.manager("profile-drift.json").exists());
}

#[test]
fn a_failing_drift_hook_ends_the_pass_after_its_row() {
    for body in ["echo broken >&2; exit 3", "echo nonsense", "true"] {
        let mut repo = healthy();
        let alerts = repo.script("alerts", "echo ran > alerts.ran");
        repo.env(ALERTS, &alerts);
        hook(&mut repo, DRIFT, body);
        let run = repo.reconcile(&[]);
        assert!(run.error().contains(DRIFT), "{body}: {}", run.stderr);
        assert_eq!(
            repo.only_row("telemetry/reconcile.jsonl")["status"],
            "success"
        );
        let state = repo.manager_json("state.json");
        assert_eq!(state["health"], repo.manager_json("health.json"), "{body}");
        assert!(state.get("drift").is_none() && state.get("tuning").is_none());
        assert!(
            !repo.outside("alerts.ran").exists(),
            "no alerts after an abort"
        );
    }
}

#[test]
fn a_failing_alert_hook_is_a_row_and_changes_nothing_else() {
    let mut repo = healthy();
    hook(
        &mut repo,
        ALERTS,
        "echo out; printf 'err\\r\\n' >&2; exit 9",
    );
    let state = repo.reconcile(&["--trace-id", "t"]).ok();
    assert_eq!(repo.manager_json("state.json"), state);
    assert_eq!(
        repo.scrub(&repo.only_row("telemetry/alerts.jsonl")),
        json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t",
            "category": "alert_dispatch", "status": "failed_command",
            "reasonCode": "alert_dispatch_failed", "message": "out\nerr",
        })
    );
}

#[test]
fn the_message_of_a_failing_alert_hook_is_its_last_40_lines() {
    let mut repo = healthy();
    hook(&mut repo, ALERTS, "seq 1 100; exit 1");
    repo.reconcile(&[]).ok();
    let row = repo.only_row("telemetry/alerts.jsonl");
    let expected: Vec<String> = (61..=100).map(|n: u8| n.to_string()).collect();
    assert_eq!(row["message"], expected.join("\n"));
    hook(&mut repo, ALERTS, "exit 1");
    repo.reconcile(&[]).ok();
    assert!(
        repo.last_row("telemetry/alerts.jsonl")
            .get("message")
            .is_none()
    );
}

#[test]
fn the_row_of_a_failing_alert_hook_goes_where_the_flag_says() {
    let mut repo = healthy();
    hook(&mut repo, ALERTS, "exit 1");
    repo.reconcile(&["--alert-dispatch-telemetry-file", "new/folder/alerts.jsonl"])
        .ok();
    assert!(repo.outside("new/folder/alerts.jsonl").is_file());
    assert!(!repo.manager("telemetry/alerts.jsonl").exists());
}

#[test]
fn a_failing_alert_hook_does_not_hide_that_the_pass_failed() {
    let mut repo = healthy();
    fs::remove_file(repo.events()).expect("removed");
    hook(&mut repo, ALERTS, "exit 1");
    let run = repo.reconcile(&[]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert_eq!(run.json()["status"], "degraded");
    assert_eq!(repo.rows("telemetry/alerts.jsonl").len(), 1);
}

#[test]
fn a_hook_that_does_not_exist_is_a_stage_that_fails() {
    let missing = "/nowhere/at/all";
    let set = |variable: &str| {
        let mut repo = healthy();
        repo.env(variable, missing);
        repo
    };
    let run = set(PROFILE).reconcile(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (127, ""), "{}", run.stderr);
    for variable in [HEALTH, DRIFT] {
        let run = set(variable).reconcile(&[]);
        assert!(run.error().contains(variable), "{}", run.stderr);
        assert!(run.error().contains(missing), "{}", run.stderr);
    }
    let state = set(SUMMARY).reconcile(&[]).ok();
    assert_eq!(state["drift"]["status"], "no_recommendation");
    let repo = set(ALERTS);
    repo.reconcile(&[]).ok();
    let row = repo.only_row("telemetry/alerts.jsonl");
    assert!(
        row["message"]
            .as_str()
            .is_some_and(|text| text.contains(missing)),
        "{row}"
    );
}
