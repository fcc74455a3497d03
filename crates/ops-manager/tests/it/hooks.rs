//! Stages replaced by executables: what they are given, when they run, and
//! what is used of their output (02 §2.7; contract README, "Hooks").

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Repo, healthy};

pub(crate) const PROFILE: &str = "OPS_MANAGER_THRESHOLD_PROFILE_SCRIPT";
pub(crate) const HEALTH: &str = "OPS_MANAGER_HEALTH_SCRIPT";
pub(crate) const SUMMARY: &str = "OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT";
pub(crate) const DRIFT: &str = "OPS_MANAGER_PROFILE_DRIFT_SCRIPT";
pub(crate) const ALERTS: &str = "OPS_MANAGER_ALERT_DISPATCH_SCRIPT";

/// An executable that records how it was started, then does `body`.
pub(crate) struct Recorder {
    pub(crate) path: PathBuf,
}

impl Recorder {
    pub(crate) fn new(repo: &Repo, name: &str, body: &str) -> Self {
        let record = format!(
            "for word in \"$@\"; do printf '%s\\n' \"$word\"; done > '{0}.argv'\n\
             cat > '{0}.stdin'; env > '{0}.env'; pwd > '{0}.pwd'\n{body}",
            repo.outside(name).display()
        );
        Self {
            path: repo.script(name, &record),
        }
    }

    pub(crate) fn recorded(&self, what: &str) -> Option<String> {
        fs::read_to_string(self.path.with_extension(what)).ok()
    }

    /// The words that it was started with.
    pub(crate) fn argv(&self) -> Vec<String> {
        let words = self.recorded("argv").expect("the hook has run");
        words.lines().map(str::to_owned).collect()
    }

    pub(crate) fn ran(&self) -> bool {
        self.recorded("argv").is_some()
    }
}

/// Sets a hook that does `body`.
pub(crate) fn hook(repo: &mut Repo, variable: &str, body: &str) -> Recorder {
    let recorder = Recorder::new(repo, "hook", body);
    repo.env(variable, &recorder.path);
    recorder
}

/// `flag value` pairs as words.
fn words(pairs: &[(&str, &str)]) -> Vec<String> {
    let words = pairs.iter().flat_map(|(flag, value)| [*flag, *value]);
    words.map(str::to_owned).collect()
}

const SHIPPED_CATALOG: &str =
    include_str!("../../../../config/ops-manager-threshold-profiles.v1.json");

/// A threshold stage that knows one profile.
pub(crate) const PROFILE_OUTPUT: &str = r#"echo '{"profile":"relaxed","values":{"degradedIngestLagSeconds":1000,"criticalIngestLagSeconds":2000,"degradedTransportFailureStreak":5,"criticalTransportFailureStreak":6}}'"#;

#[test]
fn a_threshold_hook_is_given_the_catalog_and_the_name_if_one_was_selected() {
    let mut repo = healthy();
    let recorder = hook(&mut repo, PROFILE, PROFILE_OUTPUT);
    fs::write(repo.outside("own.json"), SHIPPED_CATALOG).expect("catalog");
    repo.reconcile(&["--thresholds-file", "own.json"]).ok();
    assert_eq!(recorder.argv(), ["--profiles-file", "own.json"]);
    repo.reconcile(&[
        "--thresholds-file",
        "own.json",
        "--threshold-profile",
        "a b",
    ])
    .ok();
    assert_eq!(
        recorder.argv(),
        ["--profiles-file", "own.json", "--profile", "a b"]
    );
}

#[test]
fn a_threshold_hook_is_given_the_built_in_catalog_as_a_file() {
    let mut repo = healthy();
    let body = format!("cp \"$2\" \"$(dirname \"$0\")/copy\"; {PROFILE_OUTPUT}");
    hook(&mut repo, PROFILE, &body);
    repo.reconcile(&[]).ok();
    let copy = fs::read_to_string(repo.outside("copy")).expect("copied");
    let copy: Value = serde_json::from_str(&copy).expect("a catalog");
    assert_eq!(copy["defaultProfile"], "balanced");
}

#[test]
fn a_threshold_hooks_values_are_applied() {
    let mut repo = healthy();
    hook(&mut repo, PROFILE, PROFILE_OUTPUT);
    let state = repo
        .reconcile(&["--critical-ingest-lag-seconds", "3000"])
        .ok();
    assert_eq!(
        state["health"]["thresholds"],
        json!({
            "profile": "relaxed",
            "degradedIngestLagSeconds": 1000, "criticalIngestLagSeconds": 3000,
            "degradedHeartbeatLagSeconds": 120, "criticalHeartbeatLagSeconds": 300,
            "degradedTransportFailureStreak": 5, "criticalTransportFailureStreak": 6,
        })
    );
}

#[test]
fn a_threshold_hook_may_leave_the_profile_unnamed() {
    let mut repo = healthy();
    hook(
        &mut repo,
        PROFILE,
        &PROFILE_OUTPUT.replace("\"relaxed\"", "false"),
    );
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["health"]["thresholds"]["profile"], json!(null));
    let row = repo.only_row("telemetry/reconcile.jsonl");
    assert!(row.get("thresholdProfile").is_none());
    assert!(state["drift"].get("appliedProfile").is_none());
    assert_eq!(state["drift"]["status"], "aligned");
}

#[test]
fn a_health_hook_is_given_all_files_and_thresholds() {
    let mut repo = healthy();
    let recorder = hook(&mut repo, HEALTH, r#"echo '{"status":"healthy"}'"#);
    repo.reconcile(&["--trace-id", "t", "--critical-ingest-lag-seconds", "1000"])
        .ok();
    let at = repo.only_row("telemetry/reconcile.jsonl")["timestamp"].clone();
    let file = |name: &str| repo.shown(name);
    let expected = words(&[
        ("--state-file", &file("state.json")),
        ("--heartbeat-state-file", &file("heartbeat.json")),
        ("--sequence-state-file", &file("sequence-state.json")),
        (
            "--transport-health-file",
            &file("telemetry/transport-health.json"),
        ),
        ("--intents-file", &file("intents.jsonl")),
        ("--trace-id", "t"),
        ("--transport", "local"),
        ("--threshold-profile", "balanced"),
        ("--ingest-status", "success"),
        ("--failure-code", ""),
        ("--degraded-ingest-lag-seconds", "300"),
        ("--critical-ingest-lag-seconds", "1000"),
        ("--degraded-heartbeat-lag-seconds", "120"),
        ("--critical-heartbeat-lag-seconds", "300"),
        ("--degraded-transport-failure-streak", "2"),
        ("--critical-transport-failure-streak", "4"),
        ("--now", at.as_str().expect("a time")),
    ]);
    assert_eq!(recorder.argv(), expected);
}

#[test]
fn a_health_hook_of_a_failed_pass_is_told_the_code() {
    let mut repo = healthy();
    fs::remove_file(repo.events()).expect("removed");
    let recorder = hook(&mut repo, HEALTH, r#"echo '{"status":"odd","extra":[1]}'"#);
    let run = repo.reconcile(&[]);
    assert_eq!(
        (run.code, run.json()),
        (1, json!({"status": "odd", "extra": [1]}))
    );
    let argv = recorder.argv();
    let at = argv
        .iter()
        .position(|word| word == "--ingest-status")
        .expect("given");
    let told = [
        "--ingest-status",
        "failed",
        "--failure-code",
        "snapshot_unavailable",
    ];
    assert_eq!(argv[at..at + 4], told);
}

#[test]
fn a_health_hooks_document_is_stored_whole_and_escalated_by_its_own_status() {
    let mut repo = healthy();
    let document = json!({"status": "odd", "reasonCodes": ["a", "b"], "own": {"x": 1.50}});
    hook(
        &mut repo,
        HEALTH,
        &format!("echo '{document}'; echo noise >&2"),
    );
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["health"], document);
    assert_eq!(repo.manager_json("health.json"), document);
    let row = repo.only_row("telemetry/reconcile.jsonl");
    assert_eq!(
        (&row["healthStatus"], &row["healthReasonCodes"]),
        (&json!("odd"), &json!(["a", "b"]))
    );
    let escalation = repo.only_row("escalations.jsonl");
    assert_eq!(escalation["category"], "health_odd");
    assert_eq!(escalation["reasonCodes"], json!(["a", "b"]));
    assert_eq!(escalation["reasons"], json!([]));
}

#[test]
fn a_health_hook_without_a_status_means_healthy() {
    let mut repo = healthy();
    hook(&mut repo, HEALTH, "echo '{}'");
    repo.reconcile(&[]).ok();
    let row = repo.only_row("telemetry/reconcile.jsonl");
    assert_eq!(
        (&row["healthStatus"], &row["healthReasonCodes"]),
        (&json!("healthy"), &json!([]))
    );
    assert!(!repo.manager("escalations.jsonl").exists());
}

#[test]
fn a_summary_hook_is_given_the_telemetry_and_the_window() {
    let mut repo = healthy();
    let recorder = hook(&mut repo, SUMMARY, "echo '{}'; echo noise >&2");
    let state = repo.reconcile(&["--drift-summary-window", "70"]).ok();
    let expected = words(&[
        ("--repo", &repo.path().display().to_string()),
        ("--loop", "l"),
        (
            "--reconcile-telemetry-file",
            &repo.shown("telemetry/reconcile.jsonl"),
        ),
        (
            "--control-telemetry-file",
            &repo.shown("telemetry/control.jsonl"),
        ),
        ("--window", "70"),
    ]);
    assert_eq!(recorder.argv(), expected);
    assert_eq!(
        state["tuning"],
        json!({
            "appliedProfile": "balanced", "recommendedProfile": null, "confidence": null,
            "rationale": null, "summaryWindow": null,
            "telemetrySummary": {"observed": {}, "source": {}},
        })
    );
    assert_eq!(state["drift"]["status"], "no_recommendation");
}

#[test]
fn a_summary_hooks_recommendation_is_what_drift_is_measured_by() {
    let mut repo = healthy();
    let summary = json!({
        "recommendedProfile": "relaxed", "confidence": "high", "rationale": "because",
        "observed": {"o": 1}, "source": {"window": 5}, "more": true,
    });
    hook(&mut repo, SUMMARY, &format!("echo '{summary}'"));
    let state = repo.reconcile(&[]).ok();
    assert_eq!(
        state["tuning"],
        json!({
            "appliedProfile": "balanced", "recommendedProfile": "relaxed", "confidence": "high",
            "rationale": "because", "summaryWindow": 5,
            "telemetrySummary": {"observed": {"o": 1}, "source": {"window": 5}},
        })
    );
    assert_eq!(state["drift"]["status"], "mismatch_pending");
    assert_eq!(state["drift"]["rationale"], "because");
}

#[test]
fn a_drift_hook_is_given_the_two_profiles_and_the_settings() {
    let mut repo = healthy();
    let recorder = hook(&mut repo, DRIFT, r#"echo '{"status":"aligned"}'"#);
    let arguments = [
        "--thresholds-file",
        "own.json",
        "--drift-min-confidence",
        "high",
    ];
    fs::write(repo.outside("own.json"), SHIPPED_CATALOG).expect("catalog");
    repo.reconcile(&arguments).ok();
    let repository = repo.path().display().to_string();
    let (state, history) = (
        repo.shown("profile-drift.json"),
        repo.shown("telemetry/profile-drift.jsonl"),
    );
    let rationale = "Observed stable healthy runs; tighten thresholds for faster detection";
    let mut expected = [
        ("--repo", repository.as_str()),
        ("--loop", "l"),
        ("--applied-profile", "balanced"),
        ("--recommended-profile", "strict"),
        ("--thresholds-file", "own.json"),
        ("--recommendation-confidence", "low"),
        ("--min-confidence", "high"),
        ("--required-streak", "3"),
        ("--summary-window", "200"),
        ("--drift-state-file", &state),
        ("--drift-history-file", &history),
        ("--rationale", rationale),
    ];
    assert_eq!(recorder.argv(), words(&expected));
    let summary = repo.script("no-summary", "exit 3");
    repo.env(SUMMARY, &summary);
    repo.reconcile(&arguments).ok();
    expected[3].1 = "";
    assert_eq!(
        recorder.argv(),
        words(&expected[..11]),
        "no rationale without a summary"
    );
}

#[test]
fn a_drift_hooks_document_is_stored_with_the_trace_and_escalated() {
    let mut repo = healthy();
    let document =
        json!({"status": "own", "transitioned": {"toActive": true}, "mismatchStreak": 4});
    hook(&mut repo, DRIFT, &format!("echo '{document}'"));
    let state = repo.reconcile(&["--trace-id", "t"]).ok();
    let mut traced = document;
    traced["traceId"] = json!("t");
    assert_eq!(state["drift"], traced);
    assert_eq!(repo.manager_json("state.json"), state);
    assert!(
        !repo.manager("profile-drift.json").exists(),
        "the hook writes its own files"
    );
    let escalation = repo.only_row("escalations.jsonl");
    assert_eq!(escalation["reasonCode"], "profile_drift_detected");
    assert_eq!(
        escalation["drift"],
        json!({
            "status": "own", "appliedProfile": null, "recommendedProfile": null,
            "recommendationConfidence": null, "action": null, "rationale": null,
            "mismatchStreak": 4, "requiredStreak": 0,
        })
    );
}

#[test]
fn a_drift_hook_that_prints_null_leaves_the_state_alone() {
    let mut repo = healthy();
    hook(&mut repo, DRIFT, "echo null");
    let state = repo.reconcile(&[]).ok();
    assert!(state.get("drift").is_none() && state.get("tuning").is_none());
    assert_eq!(repo.manager_json("state.json"), state);
    assert!(!repo.manager("escalations.jsonl").exists());
}

#[test]
fn an_alert_hook_is_given_the_escalations_and_its_own_files() {
    let mut repo = healthy();
    let recorder = hook(&mut repo, ALERTS, "echo ignored; echo ignored >&2");
    repo.reconcile(&["--trace-id", "t"]).ok();
    let mut expected = words(&[
        ("--repo", &repo.path().display().to_string()),
        ("--loop", "l"),
        ("--trace-id", "t"),
        ("--escalations-file", &repo.shown("escalations.jsonl")),
        (
            "--dispatch-state-file",
            &repo.shown("alert-dispatch-state.json"),
        ),
        (
            "--dispatch-telemetry-file",
            &repo.shown("telemetry/alerts.jsonl"),
        ),
    ]);
    assert_eq!(recorder.argv(), expected);
    assert!(
        !repo.manager("telemetry/alerts.jsonl").exists(),
        "success is not recorded"
    );
    repo.env("OPS_MANAGER_ALERT_SINKS_FILE", "sinks of environment.json");
    repo.reconcile(&["--trace-id", "t"]).ok();
    let with = |file: &str| [&expected[..], &words(&[("--alert-config-file", file)])].concat();
    assert_eq!(recorder.argv(), with("sinks of environment.json"));
    repo.reconcile(&["--trace-id", "t", "--alert-config-file", "sinks.json"])
        .ok();
    assert_eq!(recorder.argv(), with("sinks.json"), "the flag wins");
    let flags = [
        "--alert-dispatch-state-file",
        "s",
        "--alert-dispatch-telemetry-file",
        "a",
    ];
    repo.env("OPS_MANAGER_ALERT_SINKS_FILE", "");
    repo.reconcile(&[&flags[..], &["--trace-id", "t"]].concat())
        .ok();
    expected[9] = "s".to_owned();
    expected[11] = "a".to_owned();
    assert_eq!(recorder.argv(), expected);
}

#[test]
fn alerts_are_dispatched_only_if_enabled() {
    for (arguments, variable, runs) in [
        (&[][..], None, true),
        (&[], Some("true"), true),
        (&[], Some(""), true),
        (&[], Some("false"), false),
        (&[], Some("TRUE"), false),
        (&[], Some("yes"), false),
        (&["--alerts-enabled", "false"], Some("true"), false),
        (&["--alerts-enabled", "true"], Some("false"), true),
    ] {
        let mut repo = healthy();
        let recorder = hook(&mut repo, ALERTS, "exit 1");
        if let Some(value) = variable {
            repo.env("OPS_MANAGER_ALERTS_ENABLED", value);
        }
        repo.reconcile(arguments).ok();
        assert_eq!(recorder.ran(), runs, "{arguments:?} {variable:?}");
        assert_eq!(repo.manager("telemetry/alerts.jsonl").exists(), runs);
    }
}
