//! Threshold-profile drift over several passes (02 §2.4 step 11, §5, §6).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, healthy};

/// A healthy loop with a history of this many healthy passes.
fn with_history(passes: usize) -> Repo {
    let repo = healthy();
    let row = r#"{"status":"success","healthStatus":"healthy","healthReasonCodes":[],"durationSeconds":1}"#;
    repo.put(
        "telemetry/reconcile.jsonl",
        &format!("{row}\n").repeat(passes),
    );
    repo
}

/// Status and streak of one more pass.
fn drift(repo: &Repo, arguments: &[&str]) -> Value {
    repo.reconcile(arguments).ok()["drift"].clone()
}

fn drift_escalations(repo: &Repo) -> Vec<Value> {
    let rows = repo.rows("escalations.jsonl").into_iter();
    rows.filter(|row| row["category"] == "profile_drift_detected")
        .collect()
}

#[test]
fn a_young_loop_has_a_recommendation_without_confidence() {
    let repo = healthy();
    let state = repo.reconcile(&["--trace-id", "t1"]).ok();
    let expected = json!({
        "schemaVersion": "v1", "updatedAt": "<now>", "loopId": "l",
        "status": "insufficient_confidence",
        "appliedProfile": "balanced", "recommendedProfile": "strict",
        "recommendationConfidence": "low", "minimumConfidence": "medium",
        "recommendationRank": 1, "minimumRank": 2, "requiredStreak": 3, "summaryWindow": 200,
        "mismatch": true, "confidenceOk": false, "eligibleMismatch": false,
        "mismatchStreak": 0, "driftActive": false,
        "transitioned": {"toActive": false, "toResolved": false},
        "rationale": "Observed stable healthy runs; tighten thresholds for faster detection",
        "action": "collect_more_confident_telemetry",
    });
    let document = repo.scrub(&repo.manager_json("profile-drift.json"));
    assert_eq!(document, expected);
    assert_eq!(
        repo.scrub(&repo.only_row("telemetry/profile-drift.jsonl")),
        json!({
            "timestamp": "<now>", "loopId": "l",
            "category": "profile_drift_evaluation", "drift": expected,
        })
    );
    let mut traced = expected;
    traced["traceId"] = json!("t1");
    assert_eq!(
        repo.scrub(&state["drift"]),
        traced,
        "the state's copy is traced"
    );
}

#[test]
fn confidence_grows_with_the_passes_in_the_window() {
    for (history, window, confidence) in [
        (28, "200", "low"),
        (29, "200", "medium"),
        (98, "200", "medium"),
        (99, "200", "high"),
        (150, "50", "medium"),
        (150, "10", "low"),
    ] {
        let repo = with_history(history);
        let drift = drift(&repo, &["--drift-summary-window", window]);
        assert_eq!(
            drift["recommendationConfidence"], confidence,
            "{history} {window}"
        );
    }
}

#[test]
fn a_lasting_mismatch_becomes_drift_escalates_once_and_resolves() {
    let repo = with_history(100);
    for (streak, status, action) in [
        (1, "mismatch_pending", "monitor_additional_windows"),
        (2, "mismatch_pending", "monitor_additional_windows"),
        (3, "drift_active", "review_threshold_profile"),
        (4, "drift_active", "review_threshold_profile"),
    ] {
        let drift = drift(&repo, &["--trace-id", &format!("t{streak}")]);
        assert_eq!(
            (&drift["mismatchStreak"], &drift["status"], &drift["action"]),
            (&json!(streak), &json!(status), &json!(action))
        );
        assert_eq!(drift["driftActive"], json!(streak >= 3));
        assert_eq!(drift.get("reasonCode").is_some(), streak >= 3);
        assert_eq!(
            drift["transitioned"],
            json!({"toActive": streak == 3, "toResolved": false})
        );
        assert_eq!(drift_escalations(&repo).len(), usize::from(streak >= 3));
    }
    assert_eq!(
        repo.scrub(&drift_escalations(&repo)[0]),
        json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t3",
            "category": "profile_drift_detected", "transport": "local",
            "stateFile": "<repo>/.superloop/ops-manager/l/state.json",
            "driftStateFile": "<repo>/.superloop/ops-manager/l/profile-drift.json",
            "driftHistoryFile": "<repo>/.superloop/ops-manager/l/telemetry/profile-drift.jsonl",
            "reasonCode": "profile_drift_detected",
            "drift": {
                "status": "drift_active", "appliedProfile": "balanced",
                "recommendedProfile": "strict", "recommendationConfidence": "high",
                "action": "review_threshold_profile",
                "rationale":
                    "Observed stable healthy runs; tighten thresholds for faster detection",
                "mismatchStreak": 3, "requiredStreak": 3,
            },
        })
    );
    let resolved = drift(&repo, &["--threshold-profile", "strict"]);
    assert_eq!(resolved["status"], "aligned");
    assert_eq!(
        resolved["transitioned"],
        json!({"toActive": false, "toResolved": true})
    );
    assert_eq!(resolved["mismatchStreak"], 0);
    assert!(resolved.get("reasonCode").is_none() && resolved.get("action").is_none());
    let quiet = drift(&repo, &["--threshold-profile", "strict"]);
    assert_eq!(
        quiet["transitioned"],
        json!({"toActive": false, "toResolved": false})
    );
    assert_eq!(drift_escalations(&repo).len(), 1, "resolution is silent");
    assert_eq!(repo.rows("telemetry/profile-drift.jsonl").len(), 6);
}

#[test]
fn drift_is_no_health_reason() {
    let repo = with_history(100);
    let state = repo.reconcile(&["--drift-required-streak", "1"]).ok();
    assert_eq!(state["drift"]["status"], "drift_active");
    assert_eq!(state["health"]["reasonCodes"], json!([]));
}

#[test]
fn an_unconfident_evaluation_resets_the_streak() {
    let repo = with_history(100);
    drift(&repo, &[]);
    assert_eq!(drift(&repo, &[])["mismatchStreak"], 2);
    let reset = drift(&repo, &["--drift-summary-window", "10"]);
    assert_eq!(
        (&reset["status"], &reset["mismatchStreak"]),
        (&json!("insufficient_confidence"), &json!(0))
    );
    assert_eq!(drift(&repo, &[])["mismatchStreak"], 1);
}

#[test]
fn a_higher_required_streak_resolves_an_active_drift() {
    let repo = with_history(100);
    drift(&repo, &["--drift-required-streak", "1"]);
    let drift = drift(&repo, &["--drift-required-streak", "9"]);
    assert_eq!(
        (&drift["status"], &drift["mismatchStreak"]),
        (&json!("mismatch_pending"), &json!(2))
    );
    assert_eq!(drift["transitioned"]["toResolved"], json!(true));
}

#[test]
fn drift_settings_come_from_the_flag_else_the_environment() {
    let mut repo = with_history(40);
    repo.env("OPS_MANAGER_DRIFT_MIN_CONFIDENCE", "high");
    repo.env("OPS_MANAGER_DRIFT_REQUIRED_STREAK", "7");
    repo.env("OPS_MANAGER_DRIFT_SUMMARY_WINDOW", "35");
    let from_environment = drift(&repo, &[]);
    let settings = |drift: &Value| {
        ["minimumConfidence", "requiredStreak", "summaryWindow"].map(|member| drift[member].clone())
    };
    assert_eq!(
        settings(&from_environment),
        [json!("high"), json!(7), json!(35)]
    );
    assert_eq!(from_environment["status"], "insufficient_confidence");
    let flags = [
        ["--drift-min-confidence", "low"],
        ["--drift-required-streak", "1"],
        ["--drift-summary-window", "36"],
    ];
    let from_flags = drift(&repo, &flags.concat());
    assert_eq!(settings(&from_flags), [json!("low"), json!(1), json!(36)]);
    assert_eq!(from_flags["status"], "drift_active");
}

#[test]
fn failed_passes_are_evaluated_too() {
    let repo = with_history(100);
    fs::remove_file(repo.events()).expect("removed");
    // 3 failures of 103 are too many for strict, too few for relaxed.
    for streak in [1, 2, 0] {
        assert_eq!(repo.reconcile(&[]).code, 1);
        assert_eq!(
            repo.manager_json("profile-drift.json")["mismatchStreak"],
            streak
        );
    }
    let rows = repo.rows("telemetry/profile-drift.jsonl");
    let recommended: Vec<&Value> = rows
        .iter()
        .map(|row| &row["drift"]["recommendedProfile"])
        .collect();
    assert_eq!(recommended, ["strict", "strict", "balanced"]);
}

#[test]
fn a_catalog_without_the_recommended_profile_aborts_after_the_telemetry_row() {
    let repo = healthy();
    let catalog = json!({
        "schemaVersion": "v1", "defaultProfile": "balanced",
        "profiles": {"balanced": {
            "degradedIngestLagSeconds": 300, "criticalIngestLagSeconds": 900,
            "degradedTransportFailureStreak": 2, "criticalTransportFailureStreak": 4,
        }},
    });
    fs::write(repo.outside("own.json"), catalog.to_string()).expect("catalog");
    for passes in 1..=2 {
        let run = repo.reconcile(&["--thresholds-file", "own.json", "--trace-id", "t"]);
        assert!(
            run.error().contains("unknown recommended profile: strict"),
            "{}",
            run.stderr
        );
        let rows = repo.rows("telemetry/reconcile.jsonl");
        assert_eq!(rows.len(), passes);
        assert_eq!(rows[passes - 1]["status"], "success");
    }
    let state = repo.manager_json("state.json");
    assert_eq!(state["health"], repo.manager_json("health.json"));
    assert_eq!(state["trace"]["reconcileTraceId"], "t");
    assert_eq!(state["sequence"], repo.manager_json("sequence-state.json"));
    assert!(state.get("drift").is_none() && state.get("tuning").is_none());
    assert_eq!(repo.manager_json("cursor.json")["eventLineOffset"], 2);
    for file in ["profile-drift.json", "telemetry/profile-drift.jsonl"] {
        assert!(!repo.manager(file).exists(), "{file}");
    }
}

#[test]
fn a_broken_drift_state_aborts_after_the_telemetry_row() {
    for broken in ["{", "[]", "7"] {
        let repo = healthy();
        repo.put("profile-drift.json", broken);
        let run = repo.reconcile(&[]);
        assert!(
            run.error().contains("profile-drift.json"),
            "{broken}: {}",
            run.stderr
        );
        assert_eq!(repo.rows("telemetry/reconcile.jsonl").len(), 1);
        assert!(!repo.manager("telemetry/profile-drift.jsonl").exists());
        let kept = fs::read_to_string(repo.manager("profile-drift.json")).expect("kept");
        assert_eq!(kept, broken);
    }
    let repo = healthy();
    repo.put("profile-drift.json", "");
    assert_eq!(
        drift(&repo, &[])["mismatchStreak"],
        0,
        "an empty one has no values"
    );
}
