//! What a successful pass leaves behind: every file, every row, every member
//! (02 §2.6), and how passes follow one another.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Repo, ago, event, healthy};

/// A pass with a known trace id.
fn pass(repo: &Repo, trace_id: &str) -> Value {
    repo.reconcile(&["--trace-id", trace_id]).ok()
}

/// Names of the manager's files, sorted.
fn files(repo: &Repo) -> Vec<String> {
    let root = repo.manager("");
    let tree = repo.tree();
    let ours = tree
        .iter()
        .filter_map(|(path, _)| path.strip_prefix(&root).ok());
    ours.map(|path| path.display().to_string()).collect()
}

#[test]
fn a_healthy_pass_writes_exactly_these_files() {
    let repo = healthy();
    pass(&repo, "t1");
    let expected = [
        "alert-dispatch-state.json",
        "cursor.json",
        "health.json",
        "profile-drift.json",
        "sequence-state.json",
        "state.json",
        "telemetry/profile-drift.jsonl",
        "telemetry/reconcile.jsonl",
        "telemetry/sequence.jsonl",
        "telemetry/transport-health.json",
    ];
    assert_eq!(files(&repo), expected);
    let cursor = fs::metadata(repo.manager("cursor.json")).expect("cursor");
    assert_eq!(cursor.permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_file_but_the_cursor_is_compact_whatever_pretty_says() {
    let repo = healthy();
    repo.reconcile(&["--pretty"]).ok();
    for file in files(&repo) {
        let content = fs::read_to_string(repo.manager(&file)).expect("UTF-8");
        if file == "cursor.json" {
            assert!(
                content.starts_with("{\n  \"schemaVersion\": \"v1\",\n"),
                "{content}"
            );
        } else {
            assert_eq!(content.matches('\n').count(), 1, "{file}");
        }
        assert!(content.ends_with("}\n"), "{file}");
    }
}

#[test]
fn the_state_is_what_stdout_says() {
    let repo = healthy();
    let run = repo.reconcile(&[]);
    let written = fs::read_to_string(repo.manager("state.json")).expect("state");
    assert_eq!(run.stdout, written);
    let state = run.ok();
    assert_eq!(state["health"], repo.manager_json("health.json"));
    assert_eq!(state["sequence"], repo.manager_json("sequence-state.json"));
    let mut drift = repo.manager_json("profile-drift.json");
    drift["traceId"] = state["trace"]["reconcileTraceId"].clone();
    assert_eq!(state["drift"], drift);
}

#[test]
fn the_reconcile_row_of_a_success_has_these_members_and_no_others() {
    let repo = healthy();
    let arguments = ["--trace-id", "t1", "--retry-attempts", "5"];
    let more = ["--retry-backoff-seconds", "0", "--max-events", "9"];
    repo.reconcile(&[&arguments[..], &more].concat()).ok();
    assert_eq!(
        repo.scrub(&repo.only_row("telemetry/reconcile.jsonl")),
        json!({
            "timestamp": "<now>", "startedAt": "<now>",
            "loopId": "l", "traceId": "t1", "transport": "local", "status": "success",
            "cursorOffsetBefore": 0, "cursorOffsetAfter": 2, "eventsIngested": 2,
            "maxEvents": 9, "fromStart": false,
            "retryAttempts": 5, "retryBackoffSeconds": 0,
            "thresholdProfile": "balanced", "durationSeconds": "<seconds>",
            "transportFailureStreak": 0, "sequenceStatus": "ok",
            "healthStatus": "healthy", "healthReasonCodes": [],
        })
    );
}

#[test]
fn the_cursor_names_the_log_and_the_position_in_it() {
    let repo = healthy();
    pass(&repo, "t1");
    let mut cursor = repo.scrub(&repo.manager_json("cursor.json"));
    cursor.as_object_mut().expect("an object").remove("log");
    assert_eq!(
        cursor,
        json!({
            "schemaVersion": "v1", "repoPath": "<repo>", "loopId": "l",
            "eventsFile": ".superloop/loops/l/events.jsonl",
            "eventLineOffset": 2, "eventLineCount": 2, "updatedAt": "<now>",
        })
    );
}

#[test]
fn transport_health_counts_failures_and_remembers_both_times() {
    let repo = healthy();
    let document = || repo.scrub(&repo.manager_json("telemetry/transport-health.json"));
    pass(&repo, "t1");
    let success = json!({
        "schemaVersion": "v1", "updatedAt": "<now>", "traceId": "t1", "transport": "local",
        "lastResult": "success", "failureStreak": 0, "lastSuccessAt": "<now>",
    });
    assert_eq!(document(), success);
    let log = fs::read(repo.events()).expect("log");
    fs::remove_file(repo.events()).expect("removed");
    repo.reconcile(&["--trace-id", "t2"]);
    let failed = json!({
        "schemaVersion": "v1", "updatedAt": "<now>", "traceId": "t2", "transport": "local",
        "lastResult": "failed", "failureStreak": 1, "lastFailureCode": "snapshot_unavailable",
        "lastSuccessAt": "<now>", "lastFailureAt": "<now>",
    });
    assert_eq!(document(), failed);
    fs::write(repo.events(), log).expect("back again");
    pass(&repo, "t3");
    let recovered = json!({
        "schemaVersion": "v1", "updatedAt": "<now>", "traceId": "t3", "transport": "local",
        "lastResult": "success", "failureStreak": 0,
        "lastSuccessAt": "<now>", "lastFailureAt": "<now>",
    });
    assert_eq!(
        document(),
        recovered,
        "the failure code is not carried over"
    );
}

#[test]
fn the_sequence_document_and_its_row_say_the_same() {
    let repo = healthy();
    pass(&repo, "t1");
    repo.append_events(&(event("role_start", &ago(0)) + "\n"));
    pass(&repo, "t2");
    let shared = json!({
        "loopId": "l", "traceId": "t2", "transport": "local", "status": "ok",
        "driftActive": false, "violations": [],
        "snapshot": {
            "previous": 2, "current": 3,
            "monotonic": true, "regressed": false, "missing": false,
        },
        "events": {
            "ingestedCount": 1, "previousLast": 2, "first": 3, "last": 3,
            "monotonicWithinBatch": true, "monotonicAcrossBatches": true,
            "regressed": false, "missing": false,
        },
        "transition": {
            "previousDriftActive": false, "transitionedToDrift": false,
            "recoveredFromDrift": false,
        },
    });
    let with = |additions: &[(&str, &str)]| {
        let mut whole = shared.clone();
        for (name, value) in additions {
            whole[name] = json!(value);
        }
        whole
    };
    assert_eq!(
        repo.scrub(&repo.manager_json("sequence-state.json")),
        with(&[("schemaVersion", "v1"), ("updatedAt", "<now>")])
    );
    assert_eq!(
        repo.scrub(&repo.last_row("telemetry/sequence.jsonl")),
        with(&[("timestamp", "<now>"), ("category", "envelope_sequence")])
    );
}

#[test]
fn a_health_document_has_all_its_members_also_when_there_is_nothing_to_say() {
    let repo = healthy();
    pass(&repo, "t1");
    assert_eq!(
        repo.scrub(&repo.manager_json("health.json")),
        json!({
            "schemaVersion": "v1", "updatedAt": "<now>", "traceId": "t1",
            "status": "healthy", "reasonCodes": [], "reasons": [],
            "metrics": {
                "ingestLagSeconds": "<lag>", "heartbeatLagSeconds": null,
                "transportFailureStreak": 0, "lastControlStatus": null,
                "sequenceStatus": "ok", "lifecycleState": "running",
            },
            "thresholds": {
                "profile": "balanced",
                "degradedIngestLagSeconds": 300, "criticalIngestLagSeconds": 900,
                "degradedHeartbeatLagSeconds": 120, "criticalHeartbeatLagSeconds": 300,
                "degradedTransportFailureStreak": 2, "criticalTransportFailureStreak": 4,
            },
            "transport": {
                "mode": "local", "ingestStatus": "success",
                "failureCode": null, "lastFailureCode": null,
            },
            "evidence": {
                "lastEventAt": "<now>", "lastHeartbeatAt": null, "sequenceUpdatedAt": "<now>",
            },
        })
    );
}

#[test]
fn the_tuning_of_a_first_healthy_pass_recommends_strict_without_confidence() {
    let repo = healthy();
    let state = pass(&repo, "t1");
    assert_eq!(
        repo.scrub(&state["tuning"]),
        json!({
            "appliedProfile": "balanced", "recommendedProfile": "strict", "confidence": "low",
            "rationale": "Observed stable healthy runs; tighten thresholds for faster detection",
            "summaryWindow": 200,
            "telemetrySummary": {
                "observed": {
                    "reconcileAttempts": 1, "reconcileSuccessCount": 1, "reconcileFailedCount": 0,
                    "health": {
                        "degradedCount": 0, "criticalCount": 0,
                        "degradedRate": 0, "criticalRate": 0, "reasonCodeFrequency": [],
                    },
                    "control": { "ambiguousCount": 0 },
                    "durationSeconds": { "p50": "<seconds>", "p95": "<seconds>", "max": "<seconds>" },
                },
                "source": {
                    "repoPath": "<repo>", "loopId": "l",
                    "reconcileTelemetryFile":
                        "<repo>/.superloop/ops-manager/l/telemetry/reconcile.jsonl",
                    "controlTelemetryFile":
                        "<repo>/.superloop/ops-manager/l/telemetry/control.jsonl",
                    "window": 200,
                },
            },
        })
    );
}

#[test]
fn a_pass_without_news_keeps_the_position_and_falls_back_to_the_snapshot() {
    let repo = healthy();
    let first = pass(&repo, "t1");
    assert_eq!(first["transition"]["previousState"], "none");
    assert_eq!(
        first["transition"]["triggeringSignal"],
        "event:iteration_start"
    );
    assert_eq!(first["transition"]["confidence"], "high");
    let second = pass(&repo, "t2");
    assert_eq!(
        second["transition"],
        json!({
            "previousState": "running", "triggeringSignal": "snapshot_status:running",
            "currentState": "running", "confidence": "medium",
        })
    );
    assert_eq!(second["evidence"]["lastEventEnvelope"], json!(null));
    assert_eq!(second["sequence"]["events"]["last"], json!(null));
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["eventsIngested"], 0);
    assert_eq!(
        (&row["cursorOffsetBefore"], &row["cursorOffsetAfter"]),
        (&json!(2), &json!(2))
    );
}

#[test]
fn max_events_takes_a_log_in_batches() {
    let lines: Vec<String> = (0..5).map(|_| event("loop_start", &ago(0))).collect();
    let repo = Repo::with_events(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for (after, ingested, signal) in [
        (2, 2, "event:loop_start"),
        (4, 2, "event:loop_start"),
        (5, 1, "event:loop_start"),
        (5, 0, "snapshot_status:unknown"),
    ] {
        let state = repo.reconcile(&["--max-events", "2"]).ok();
        assert_eq!(state["transition"]["triggeringSignal"], signal);
        let row = repo.last_row("telemetry/reconcile.jsonl");
        assert_eq!(row["eventsIngested"], ingested);
        assert_eq!(row["cursorOffsetAfter"], after);
        let cursor = repo.manager_json("cursor.json");
        assert_eq!(
            (&cursor["eventLineOffset"], &cursor["eventLineCount"]),
            (&json!(after), &json!(5))
        );
        assert_eq!(state["sequence"]["violations"], json!([]));
    }
}

#[test]
fn a_declared_replay_is_no_drift_and_no_regression() {
    let repo = healthy();
    pass(&repo, "t1");
    let state = repo.reconcile(&["--from-start"]).ok();
    assert_eq!(state["sequence"]["violations"], json!([]));
    assert_eq!(
        state["divergence"]["flags"]["cursorRegression"],
        json!(false)
    );
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["fromStart"], json!(true));
    assert_eq!(
        (&row["cursorOffsetBefore"], &row["eventsIngested"]),
        (&json!(0), &json!(2))
    );
    let batch = repo.reconcile(&["--from-start", "--max-events", "1"]).ok();
    assert_eq!(batch["sequence"]["violations"], json!([]));
    assert_eq!(
        batch["divergence"]["flags"]["cursorRegression"],
        json!(false)
    );
    assert_eq!(repo.manager_json("cursor.json")["eventLineOffset"], 1);
    assert!(!repo.manager("escalations.jsonl").exists());
}

#[test]
fn a_declared_replay_needs_no_old_sequence_state() {
    for broken in ["7", "{", "[]", r#"{"snapshot":{"current":"x"}}"#] {
        let repo = healthy();
        repo.put("sequence-state.json", broken);
        let state = repo.reconcile(&["--from-start"]).ok();
        assert_eq!(state["sequence"]["status"], "ok", "{broken}");
        assert_eq!(repo.manager_json("sequence-state.json"), state["sequence"]);
    }
}

#[test]
fn custom_paths_are_used_created_and_reported() {
    let repo = healthy();
    repo.put_runtime(
        "heartbeat.v1.json",
        &format!(r#"{{"timestamp":"{}"}}"#, ago(1_000)),
    );
    let flags = [
        ("--cursor-file", "a/cursor.json"),
        ("--state-file", "b/state.json"),
        ("--drift-state-file", "c/drift.json"),
        ("--drift-history-file", "d/drift.jsonl"),
        ("--sequence-state-file", "e/sequence.json"),
        ("--sequence-telemetry-file", "f/sequence.jsonl"),
        ("--heartbeat-state-file", "g/heartbeat.json"),
        ("--heartbeat-telemetry-file", "h/heartbeat.jsonl"),
        ("--alert-dispatch-state-file", "i/dispatch.json"),
        ("--alert-dispatch-telemetry-file", "j/alerts.jsonl"),
    ];
    let arguments: Vec<&str> = flags
        .iter()
        .flat_map(|(flag, path)| [*flag, path])
        .collect();
    repo.reconcile(&arguments).ok();
    for (flag, path) in flags {
        assert!(repo.outside(path).is_file(), "{flag} {path}");
    }
    let expected = [
        "escalations.jsonl",
        "health.json",
        "telemetry/reconcile.jsonl",
        "telemetry/transport-health.json",
    ];
    assert_eq!(files(&repo), expected, "only what has no flag is left here");
    let escalation = repo.only_row("escalations.jsonl");
    assert_eq!(escalation["stateFile"], "b/state.json", "as written");
    assert_eq!(escalation["cursorFile"], "a/cursor.json");
    repo.append_events(&(event("role_start", &ago(0)) + "\n"));
    let second = repo.reconcile(&arguments).ok();
    assert_eq!(second["cursor"]["eventLineOffset"], 3, "and read again");
    assert_eq!(second["sequence"]["snapshot"]["previous"], 2);
    assert_eq!(second["transition"]["previousState"], "running");
}

/// The dispatch state after a pass, without what names files.
fn dispatched(repo: &Repo, trace_id: &str) -> Value {
    pass(repo, trace_id);
    let mut state = repo.scrub(&repo.manager_json("alert-dispatch-state.json"));
    let members = state.as_object_mut().expect("an object");
    let file = |name: &str| format!("<repo>/.superloop/ops-manager/l/{name}").into();
    for (member, name) in [
        ("escalationsFile", "escalations.jsonl"),
        ("dispatchTelemetryFile", "telemetry/alerts.jsonl"),
    ] {
        assert_eq!(members.remove(member), Some(file(name)));
    }
    // What the next run recognises the log by.
    members.remove("lastConsumedLine");
    state
}

#[test]
fn a_pass_ends_with_the_built_in_alert_stage() {
    let repo = healthy();
    let nothing = json!({
        "schemaVersion": "v1", "updatedAt": "<now>", "loopId": "l", "traceId": "t1",
        "status": "no_source",
        "processedCount": 0, "dispatchedCount": 0, "skippedCount": 0, "failedCount": 0,
        "failureReasonCodes": [], "escalationsLineOffset": 0, "escalationsLineCount": 0,
        "retriedCount": 0, "pendingCount": 0, "pendingDeliveries": [],
    });
    assert_eq!(dispatched(&repo, "t1"), nothing);
    assert!(!repo.manager("telemetry/alerts.jsonl").exists());
    repo.put_runtime(
        "heartbeat.v1.json",
        &format!(r#"{{"timestamp":"{}"}}"#, ago(1_000)),
    );
    let mut one = nothing;
    for (member, value) in [
        ("traceId", json!("t2")),
        ("status", json!("success")),
        ("processedCount", json!(1)),
        ("skippedCount", json!(1)),
        ("escalationsLineOffset", json!(1)),
        ("escalationsLineCount", json!(1)),
    ] {
        one[member] = value;
    }
    assert_eq!(dispatched(&repo, "t2"), one);
    let row = repo.only_row("telemetry/alerts.jsonl");
    assert_eq!(row["reasonCode"], "no_dispatchable_sinks", "all disabled");
    assert_eq!(row["traceId"], "t2");
    assert_eq!(row["escalation"], repo.only_row("escalations.jsonl"));
    let seen = dispatched(&repo, "t3");
    assert_eq!(seen["status"], "no_new_escalations");
    assert_eq!(seen["escalationsLineOffset"], 1);
    assert_eq!(repo.rows("telemetry/alerts.jsonl").len(), 1);
}

#[test]
fn a_pass_that_could_not_observe_the_loop_dispatches_too() {
    let repo = healthy();
    fs::remove_file(repo.events()).expect("removed");
    for streak in 1..=4 {
        assert_eq!(repo.reconcile(&[]).code, 1, "{streak}");
    }
    let escalated: Vec<Value> = repo.rows("escalations.jsonl");
    assert!(!escalated.is_empty());
    let told = repo.rows("telemetry/alerts.jsonl");
    let told: Vec<&Value> = told.iter().map(|row| &row["escalation"]).collect();
    assert_eq!(told, escalated.iter().collect::<Vec<_>>());
}

#[test]
fn disabled_alerts_leave_no_trace() {
    let repo = healthy();
    repo.reconcile(&["--alerts-enabled", "false"]).ok();
    assert!(!files(&repo).contains(&"alert-dispatch-state.json".to_owned()));
}

#[test]
fn a_broken_alert_stage_is_recorded_and_changes_nothing_else() {
    let repo = healthy();
    repo.put("alert-dispatch-state.json", "{");
    let state = pass(&repo, "t1");
    assert_eq!(state["health"]["status"], "healthy");
    let row = repo.scrub(&repo.only_row("telemetry/alerts.jsonl"));
    assert_eq!(
        row,
        json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t1", "category": "alert_dispatch",
            "status": "failed_command", "reasonCode": "alert_dispatch_failed",
            "message": "error: invalid dispatch state JSON: \
                <repo>/.superloop/ops-manager/l/alert-dispatch-state.json: \
                EOF while parsing an object at line 1 column 1",
        })
    );
    let left = fs::read_to_string(repo.manager("alert-dispatch-state.json")).expect("left");
    assert_eq!(left, "{");
}
