//! What a status report makes of absent, broken and foreign artifacts, and of
//! last rows (03 §3.5.3; decisions D8 and D9).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, healthy};
use crate::hooks::{SUMMARY, hook};

/// Documents that a report reads, and their names in messages.
const DOCUMENTS: [(&str, &str); 7] = [
    ("state.json", "state"),
    ("cursor.json", "cursor"),
    ("health.json", "health"),
    ("heartbeat.json", "heartbeat state"),
    ("sequence-state.json", "sequence state"),
    ("profile-drift.json", "drift"),
    ("alert-dispatch-state.json", "alert dispatch state"),
];

/// Journals of which a report reads the last row.
const JOURNALS: [&str; 7] = [
    "intents.jsonl",
    "telemetry/control.jsonl",
    "telemetry/reconcile.jsonl",
    "telemetry/heartbeat.jsonl",
    "telemetry/sequence.jsonl",
    "telemetry/control-invocations.jsonl",
    "telemetry/alerts.jsonl",
];

fn with_health() -> Repo {
    let repo = Repo::empty("l");
    repo.put("health.json", r#"{"status":"healthy"}"#);
    repo
}

/// A report without the moment of its making.
fn report(repo: &Repo) -> Value {
    let mut report = repo.status(&[]).ok();
    report["generatedAt"] = json!("<now>");
    report
}

#[test]
fn nothing_is_known_without_a_state_and_a_health_file() {
    let repo = Repo::empty("l");
    repo.put("cursor.json", "{}");
    repo.put("telemetry/reconcile.jsonl", "{}\n");
    let message = "no status artifacts found for loop: l";
    assert_eq!(repo.status(&[]).error(), message);
    fs::create_dir(repo.manager("state.json")).expect("a folder in its place");
    assert_eq!(repo.status(&[]).error(), message);
    repo.put("cursor.json", "{");
    assert_eq!(
        repo.status(&[]).error(),
        message,
        "before anything is parsed"
    );
}

#[test]
fn a_document_that_is_not_json_is_an_error_by_name_and_path() {
    for (file, name) in DOCUMENTS {
        for content in ["nope", "{\"a\":", "", "  \n", "{} {}"] {
            let repo = with_health();
            repo.put(file, content);
            let expected = format!("invalid {name} JSON: {}", repo.shown(file));
            let run = repo.status(&[]);
            let message = run.error();
            assert!(message.starts_with(&expected), "{content:?}: {message}");
        }
    }
}

#[test]
fn a_document_of_the_wrong_type_is_an_error_but_drift_is_passed_through() {
    for (file, name) in DOCUMENTS {
        for content in ["[1]", "\"text\"", "7", "true"] {
            let repo = with_health();
            repo.put(file, content);
            if file == "profile-drift.json" {
                let expected: Value = serde_json::from_str(content).expect("JSON");
                assert_eq!(report(&repo)["drift"], expected);
                continue;
            }
            let expected = format!("invalid {name} JSON: {}", repo.shown(file));
            let run = repo.status(&[]);
            assert!(
                run.error().starts_with(&expected),
                "{content}: {}",
                run.stderr
            );
        }
    }
}

#[test]
fn a_member_of_the_wrong_type_on_the_way_is_an_error() {
    for (file, content) in [
        ("state.json", r#"{"transition":"running"}"#),
        ("state.json", r#"{"run":[1]}"#),
        ("state.json", r#"{"health":{"thresholds":"strict"}}"#),
        ("health.json", r#"{"details":7}"#),
        ("sequence-state.json", r#"{"snapshot":[]}"#),
    ] {
        let repo = with_health();
        repo.put(file, content);
        let run = repo.status(&[]);
        assert!(
            run.error().contains(&repo.shown(file)),
            "{content}: {}",
            run.stderr
        );
    }
}

#[test]
fn null_documents_are_like_none() {
    let absent = report(&with_health());
    for (file, _) in DOCUMENTS.iter().filter(|(file, _)| *file != "health.json") {
        let repo = with_health();
        repo.put(file, "null");
        assert_eq!(repo.scrub(&report(&repo)), repo_free(&absent), "{file}");
    }
    let repo = Repo::empty("l");
    repo.put("health.json", "null");
    assert!(
        report(&repo).get("health").is_none(),
        "a null health is omitted"
    );
    repo.put("state.json", "{}");
    fs::remove_file(repo.manager("health.json")).expect("removed");
    assert_eq!(
        report(&repo)["health"],
        json!({}),
        "but none at all is an empty one"
    );
}

/// A report whose repository is replaced, to be compared with another one's.
fn repo_free(report: &Value) -> Value {
    let path = report["source"]["repoPath"].as_str().expect("a path");
    crate::scrub::scrub(report, path.as_ref())
}

#[test]
fn folders_in_the_place_of_documents_and_journals_are_absent() {
    let absent = report(&with_health());
    let others = DOCUMENTS
        .iter()
        .map(|(file, _)| *file)
        .filter(|file| *file != "health.json");
    for file in others.chain(JOURNALS) {
        let repo = with_health();
        fs::create_dir_all(repo.manager(file)).expect("folder");
        assert_eq!(repo.scrub(&report(&repo)), repo_free(&absent), "{file}");
    }
}

#[test]
fn a_blank_null_or_missing_last_row_is_no_row_without_a_word() {
    let absent = repo_free(&report(&with_health()));
    for file in JOURNALS {
        for content in [
            "",
            "null\n",
            "{\"traceId\":\"old\"}\n\n",
            "{\"traceId\":\"old\"}\n  \n",
        ] {
            let repo = with_health();
            repo.put(file, content);
            let mut report = repo_free(&report(&repo));
            if file == "telemetry/reconcile.jsonl" {
                // The file exists, so that there is a summary of it.
                report["tuning"] = absent["tuning"].clone();
            }
            assert_eq!(report, absent, "{file} {content:?}");
        }
    }
}

#[test]
fn a_last_row_that_is_not_json_is_no_row_and_a_warning() {
    for file in JOURNALS {
        let repo = with_health();
        repo.put(file, "{\"traceId\":\"old\"}\n{\"traceId\":\n");
        let report = report(&repo);
        assert_eq!(
            report["visibility"]["trace"],
            json!({}),
            "{file}: no earlier row"
        );
        let warnings = report["warnings"].as_array().expect("warnings");
        let about: Vec<_> = warnings
            .iter()
            .map(|warning| (&warning["file"], &warning["line"]))
            .collect();
        let expected = (&json!(repo.shown(file)), &json!(2));
        assert!(
            about.iter().all(|place| *place == expected),
            "{file}: {about:?}"
        );
        assert!(!about.is_empty(), "{file}");
        let has_message = |warning: &Value| warning["message"].is_string();
        assert!(warnings.iter().all(has_message), "{warnings:?}");
    }
}

#[test]
fn a_last_row_of_several_documents_or_the_wrong_type_is_an_error() {
    for file in JOURNALS {
        for content in ["{} {}\n", "[1]\n", "7\n"] {
            let repo = with_health();
            repo.put(file, content);
            let run = repo.status(&[]);
            assert!(
                run.error().contains(&repo.shown(file)),
                "{content}: {}",
                run.stderr
            );
        }
    }
}

#[test]
fn a_half_written_last_row_is_not_there_yet() {
    let repo = with_health();
    repo.put(
        "intents.jsonl",
        "{\"traceId\":\"whole\"}\n{\"traceId\":\"hal",
    );
    let report = report(&repo);
    assert_eq!(report["control"]["lastTraceId"], "whole");
    assert!(report.get("warnings").is_none(), "{report}");
}

#[test]
fn a_corrupt_row_in_the_window_costs_the_summary_and_is_named() {
    let repo = healthy();
    repo.reconcile(&[]).ok();
    let file = repo.manager("telemetry/reconcile.jsonl");
    let row = fs::read_to_string(&file).expect("a row");
    fs::write(&file, format!("{row}{{broken\n{row}")).expect("written");
    let report = report(&repo);
    assert_eq!(report["tuning"]["telemetrySummary"], json!(null));
    assert_eq!(report["reconcile"]["lastStatus"], "success");
    let warning = &report["warnings"][0];
    assert_eq!(warning["file"], repo.shown("telemetry/reconcile.jsonl"));
    assert_eq!(warning["line"], 2);
    let narrow = repo.status(&["--summary-window", "1"]).ok();
    assert!(narrow.get("warnings").is_none());
    assert_eq!(narrow["tuning"]["summaryWindow"], 1);
    assert_eq!(
        narrow["tuning"]["telemetrySummary"]["observed"]["reconcileAttempts"],
        1
    );
}

#[test]
fn a_summary_hook_is_asked_only_if_there_is_telemetry() {
    let mut repo = with_health();
    let summary = json!({
        "recommendedProfile": "relaxed", "confidence": "high", "rationale": "because",
        "observed": {"o": 1}, "source": {"s": 2}, "more": true,
    });
    let recorder = hook(
        &mut repo,
        SUMMARY,
        &format!("echo '{summary}'; echo noise >&2"),
    );
    assert_eq!(report(&repo)["tuning"]["telemetrySummary"], json!(null));
    assert!(!recorder.ran());
    repo.put("telemetry/reconcile.jsonl", "{}\n");
    let report = repo.status(&["--summary-window", "7"]).ok();
    assert_eq!(
        report["tuning"],
        json!({
            "summaryWindow": 7, "appliedProfile": null, "recommendedProfile": "relaxed",
            "confidence": "high", "rationale": "because",
            "telemetrySummary": {"observed": {"o": 1}, "source": {"s": 2}},
        })
    );
    let repository = repo.path().display().to_string();
    let (reconcile, control) = (
        repo.shown("telemetry/reconcile.jsonl"),
        repo.shown("telemetry/control.jsonl"),
    );
    let expected = [
        ["--repo", &repository],
        ["--loop", "l"],
        ["--reconcile-telemetry-file", &reconcile],
        ["--control-telemetry-file", &control],
        ["--window", "7"],
    ];
    assert_eq!(recorder.argv(), expected.concat());
    assert_eq!(recorder.recorded("stdin").as_deref(), Some(""));
}

#[test]
fn a_summary_hook_that_fails_is_no_summary_but_silence_is_an_error() {
    for (body, fatal) in [
        ("echo '{\"confidence\":\"high\"}'; exit 1", false),
        ("echo nonsense", false),
        ("echo null", false),
        ("true", true),
    ] {
        let mut repo = with_health();
        repo.put("telemetry/reconcile.jsonl", "{}\n");
        hook(&mut repo, SUMMARY, body);
        let run = repo.status(&[]);
        if fatal {
            assert!(run.error().contains(SUMMARY), "{body}: {}", run.stderr);
        } else {
            assert_eq!(
                run.ok()["tuning"]["telemetrySummary"],
                json!(null),
                "{body}"
            );
        }
    }
}

#[test]
fn a_report_writes_nothing_at_all() {
    let repo = healthy();
    repo.reconcile(&[]).ok();
    let store = repo.manager(".store");
    let listing = || -> Vec<_> {
        let entries = fs::read_dir(&store).expect("store").flatten();
        let mut all: Vec<_> = entries
            .map(|entry| (entry.file_name(), fs::read(entry.path()).expect("readable")))
            .collect();
        all.sort();
        all
    };
    let before = (repo.tree(), listing());
    repo.status(&[]).ok();
    assert_eq!((repo.tree(), listing()), before);
    let foreign = with_health();
    foreign.status(&[]).ok();
    assert!(!foreign.manager(".store").exists(), "also no locks");
}
