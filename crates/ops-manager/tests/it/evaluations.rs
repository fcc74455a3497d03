//! Health, telemetry summary and profile drift as commands of their own
//! (02 §3, §5, §6).

use std::fs;

use serde_json::{Value, json};

use crate::harness::Repo;

const NOW: &str = "2026-11-20T08:00:00Z";

/// The reasons of a health document, as `code:severity:observed:threshold`.
fn reasons(files: &[(&str, &str)], arguments: &[&str]) -> Vec<String> {
    let repo = Repo::empty("l");
    let mut all = vec!["--now", NOW];
    for (flag, content) in files {
        fs::write(repo.outside(flag), content).expect("input");
        all.extend([*flag, *flag]);
    }
    all.extend(arguments);
    let health = repo.run_plain("ops-manager-health", &all).ok();
    let reasons = health["reasons"].as_array().expect("reasons").iter();
    let text = |reason: &Value, member: &str| reason[member].as_str().expect("text").to_owned();
    reasons
        .map(|r| {
            ["code", "severity", "observed", "threshold"]
                .map(|m| text(r, m))
                .join(":")
        })
        .collect()
}

#[test]
fn every_finding_has_its_reason() {
    let state = "--state-file";
    let event_at = |at: &str| format!(r#"{{"projection":{{"lastEventAt":"{at}"}}}}"#);
    let (recent, lagging, silent) = (
        event_at("2026-11-20T07:59:00Z"),
        event_at("2026-11-20T07:55:00Z"),
        event_at("2026-11-20T07:45:00Z"),
    );
    let future = event_at("2026-11-20T09:00:00Z");
    let odd = event_at("yesterday");
    for (files, arguments, expected) in [
        (&[][..], &[][..], &[][..]),
        (&[(state, recent.as_str())], &[], &[]),
        (&[(state, future.as_str())], &[], &[]),
        (&[(state, odd.as_str())], &[], &[]),
        (
            &[(state, lagging.as_str())],
            &[],
            &["ingest_stale:degraded:300:300"],
        ),
        (
            &[(state, silent.as_str())],
            &[],
            &["ingest_stale:critical:900:900"],
        ),
        (
            &[(state, r#"{"divergence":{"any":"true"}}"#)],
            &[],
            &["divergence_detected:degraded:true:false"],
        ),
        (
            &[(
                "--intents-file",
                "{\"status\":\"confirmed\"}\n{\"status\":\"ambiguous\"}\n",
            )],
            &[],
            &["control_ambiguous:degraded:ambiguous:confirmed"],
        ),
        (
            &[("--intents-file", "{\"status\":\"failed_command\"}\n")],
            &[],
            &["control_failed_command:degraded:failed_command:confirmed"],
        ),
        (
            &[("--intents-file", "{\"status\":\"ambiguous\"}\n\n")],
            &[],
            &[],
        ),
        (
            &[("--intents-file", "{\"status\":\"ambiguous\"}\n{bad\n")],
            &[],
            &[],
        ),
        (
            &[(
                "--heartbeat-state-file",
                r#"{"heartbeatLagSeconds":120,"lastHeartbeatAt":"x"}"#,
            )],
            &[],
            &["runtime_heartbeat_stale:degraded:120:120"],
        ),
        (
            &[(
                "--heartbeat-state-file",
                r#"{"lastHeartbeatAt":"2026-11-20T07:55:00Z"}"#,
            )],
            &[],
            &["runtime_heartbeat_stale:critical:300:300"],
        ),
        (
            &[("--transport-health-file", r#"{"failureStreak":"3"}"#)],
            &[],
            &["transport_unreachable:degraded:3:2"],
        ),
        (
            &[(
                "--sequence-state-file",
                r#"{"driftActive":true,"reasonCode":"own"}"#,
            )],
            &[],
            &["own:degraded:ordering_drift_detected:ok"],
        ),
        (
            &[],
            &["--ingest-status", "failed"],
            &["reconcile_failed:degraded:failed:success"],
        ),
        (&[], &["--failure-code", "projection_failed"], &[]),
    ] {
        assert_eq!(
            reasons(files, arguments),
            expected,
            "{files:?} {arguments:?}"
        );
    }
}

#[test]
fn every_failure_code_has_its_reason() {
    for (code, reason) in [
        ("snapshot_unavailable", "transport_unreachable"),
        ("events_unavailable", "transport_unreachable"),
        ("service_request_failed", "transport_unreachable"),
        ("service_response_invalid", "invalid_transport_payload"),
        ("projection_failed", "projection_failed"),
        ("something_else", "something_else"),
    ] {
        let arguments = ["--ingest-status", "failed", "--failure-code", code];
        let expected = format!("{reason}:degraded:failed:success");
        assert_eq!(reasons(&[], &arguments), [expected], "{code}");
    }
}

#[test]
fn one_code_may_have_two_severities_but_each_only_once() {
    let failed = [
        "--ingest-status",
        "failed",
        "--failure-code",
        "events_unavailable",
    ];
    let streak = |n: &str| format!(r#"{{"failureStreak":{n}}}"#);
    let (two, four) = (streak("2"), streak("4"));
    let degraded = reasons(&[("--transport-health-file", &two)], &failed);
    assert_eq!(
        degraded,
        ["transport_unreachable:degraded:2:2"],
        "the first one is kept"
    );
    let critical = reasons(&[("--transport-health-file", &four)], &failed);
    let expected = [
        "transport_unreachable:critical:4:4",
        "transport_unreachable:degraded:failed:success",
    ];
    assert_eq!(critical, expected);
}

#[test]
fn empty_inputs_of_health_are_no_inputs() {
    let repo = Repo::empty("l");
    fs::write(repo.outside("empty"), "").expect("input");
    let files = [
        ["--heartbeat-state-file", "empty"],
        ["--sequence-state-file", "empty"],
        ["--transport-health-file", "empty"],
        ["--intents-file", "empty"],
    ];
    let health = repo.run_plain("ops-manager-health", &files.concat()).ok();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["metrics"]["lifecycleState"], "unknown");
    let health = repo
        .run_plain("ops-manager-health", &["--state-file", "empty"])
        .ok();
    assert_eq!(health["metrics"]["lifecycleState"], "");
}

/// The summary of a loop with these reconcile and control rows.
fn summary(reconcile: &str, control: Option<&str>, arguments: &[&str]) -> Value {
    let repo = Repo::empty("l");
    repo.put("telemetry/reconcile.jsonl", reconcile);
    if let Some(control) = control {
        repo.put("telemetry/control.jsonl", control);
    }
    repo.run("ops-manager-telemetry-summary", arguments).ok()
}

fn row(status: &str, health: &str) -> String {
    format!("{{\"status\":\"{status}\",\"healthStatus\":\"{health}\"}}\n")
}

#[test]
fn a_profile_is_recommended_by_the_rates_of_the_window() {
    let good = row("success", "healthy");
    let degraded = row("success", "degraded");
    let critical = row("success", "critical");
    let failed = row("failed", "healthy");
    let ambiguous = "{\"reasonCode\":\"control_ambiguous\",\"status\":\"ambiguous\"}\n";
    for (rows, control, profile) in [
        (String::new(), None, "balanced"),
        (good.clone(), None, "strict"),
        (good.repeat(8) + &critical.repeat(2), None, "relaxed"),
        (good.repeat(9) + &critical, None, "balanced"),
        (good.repeat(3) + &failed, None, "relaxed"),
        (good.repeat(4) + &failed, None, "balanced"),
        (good.repeat(49) + &failed, None, "strict"),
        (good.repeat(19) + &degraded, None, "strict"),
        (good.repeat(18) + &degraded.repeat(2), None, "balanced"),
        (good.clone(), Some(ambiguous), "balanced"),
    ] {
        let summary = summary(&rows, control, &[]);
        assert_eq!(summary["recommendedProfile"], profile, "{rows}");
    }
    let none = summary("", None, &[]);
    assert_eq!(
        none["rationale"],
        "No telemetry window yet; keep balanced defaults"
    );
    assert_eq!(none["confidence"], "low");
}

#[test]
fn a_summary_counts_rates_reasons_and_durations() {
    let rows = [
        r#"{"status":"success","healthStatus":"degraded","healthReasonCodes":["a","b"],"durationSeconds":4}"#,
        r#"{"status":"failed","healthStatus":"critical","healthReasonCodes":["a"],"durationSeconds":"1.5"}"#,
        r#"{"status":"success","healthReasonCodes":"none","durationSeconds":"soon"}"#,
        "",
        "null",
    ];
    let control =
        "{\"status\":\"ambiguous\",\"reasonCode\":\"control_ambiguous\"}\n{\"status\":\"x\"}\n";
    let summary = summary(&(rows.join("\n") + "\n"), Some(control), &[]);
    assert_eq!(
        summary["observed"],
        json!({
            "reconcileAttempts": 4, "reconcileSuccessCount": 2, "reconcileFailedCount": 1,
            "health": {
                "degradedCount": 1, "criticalCount": 1,
                "degradedRate": 0.25, "criticalRate": 0.25,
                "reasonCodeFrequency": [{"code": "a", "count": 2}, {"code": "b", "count": 1}],
            },
            "control": {"ambiguousCount": 1},
            "durationSeconds": {"p50": 1.5, "p95": 1.5, "max": 4},
        })
    );
    let ties = r#"{"healthReasonCodes":["a","c","b"]}"#.to_owned() + "\n";
    let summary = self::summary(&ties, None, &[]);
    let frequency = summary["observed"]["health"]["reasonCodeFrequency"].as_array();
    let codes: Vec<&Value> = frequency
        .expect("codes")
        .iter()
        .map(|f| &f["code"])
        .collect();
    assert_eq!(codes, ["c", "b", "a"], "ties by code, descending");
}

#[test]
fn a_window_counts_lines_and_bad_rows_outside_it_do_not_matter() {
    let rows = format!(
        "[1]\n{{bad\n{}\n{}",
        row("failed", "x"),
        row("success", "x")
    );
    let summary = summary(&rows, None, &["--window", "3"]);
    assert_eq!(
        summary["observed"]["reconcileAttempts"], 2,
        "the blank line is one of three"
    );
    assert_eq!(summary["source"]["window"], 3);
}

#[test]
fn an_unusable_row_in_the_window_is_named_by_file_and_line() {
    for (file, bad) in [
        ("telemetry/reconcile.jsonl", "{bad"),
        ("telemetry/reconcile.jsonl", "[1]"),
        ("telemetry/control.jsonl", "{bad"),
        ("telemetry/control.jsonl", "7"),
    ] {
        let repo = Repo::empty("l");
        repo.put("telemetry/reconcile.jsonl", &row("success", "healthy"));
        repo.put(file, &format!("{}{bad}\n", row("success", "healthy")));
        let run = repo.run("ops-manager-telemetry-summary", &[]);
        let message = run.error();
        assert!(message.contains(&repo.shown(file)), "{bad}: {message}");
        assert!(message.contains('2'), "its line: {message}");
    }
}

#[test]
fn drift_has_a_status_for_every_combination() {
    let (strict, relaxed) = ("strict", "relaxed");
    for (applied, recommended, confidence, status, action) in [
        (strict, "", "high", "no_recommendation", None),
        (strict, strict, "high", "aligned", None),
        ("", strict, "high", "aligned", None),
        (
            strict,
            relaxed,
            "low",
            "insufficient_confidence",
            Some("collect_more_confident_telemetry"),
        ),
        (
            strict,
            relaxed,
            "medium",
            "mismatch_pending",
            Some("monitor_additional_windows"),
        ),
        (
            strict,
            relaxed,
            "high",
            "drift_active",
            Some("review_threshold_profile"),
        ),
    ] {
        let repo = Repo::empty("l");
        let required = if status == "drift_active" { "1" } else { "2" };
        let arguments = [
            ["--applied-profile", applied],
            ["--recommended-profile", recommended],
            ["--recommendation-confidence", confidence],
            ["--required-streak", required],
            ["--rationale", "because"],
        ];
        let drift = repo
            .run("ops-manager-profile-drift", &arguments.concat())
            .ok();
        assert_eq!(drift["status"], status);
        assert_eq!(
            drift.get("action").and_then(Value::as_str),
            action,
            "{status}"
        );
        assert_eq!(drift.get("reasonCode").is_some(), status == "drift_active");
        assert_eq!(drift.get("appliedProfile").is_some(), !applied.is_empty());
        assert_eq!(
            drift.get("recommendedProfile").is_some(),
            !recommended.is_empty()
        );
        assert_eq!(drift["rationale"], "because");
        assert_eq!(repo.manager_json("profile-drift.json"), drift);
        assert_eq!(
            repo.only_row("telemetry/profile-drift.jsonl")["drift"],
            drift
        );
    }
}

#[test]
fn the_drift_command_counts_its_streak_in_the_file_it_is_given() {
    let repo = Repo::empty("l");
    let arguments = [
        ["--applied-profile", "strict"],
        ["--recommended-profile", "relaxed"],
        ["--recommendation-confidence", "high"],
        ["--drift-state-file", "own/state.json"],
        ["--drift-history-file", "own/more/history.jsonl"],
    ];
    for streak in 1..=3 {
        let drift = repo
            .run("ops-manager-profile-drift", &arguments.concat())
            .ok();
        assert_eq!(drift["mismatchStreak"], streak);
    }
    let history = fs::read_to_string(repo.outside("own/more/history.jsonl")).expect("history");
    assert_eq!(history.lines().count(), 3);
    assert!(!repo.manager("profile-drift.json").exists());
}
