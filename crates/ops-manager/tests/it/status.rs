//! The members of a status report, and what each is read from
//! (03 §3.5.4–3.5.9).

use serde_json::{Value, json};

use crate::harness::{Repo, healthy};

/// A loop with these manager files; journals get one row.
fn with_files(files: &[(&str, Value)]) -> Repo {
    let repo = Repo::empty("l");
    for (file, content) in files {
        repo.put(file, &format!("{content}\n"));
    }
    repo
}

fn report(files: &[(&str, Value)]) -> Value {
    with_files(files).status(&[]).ok()
}

fn health_only() -> (&'static str, Value) {
    (
        "health.json",
        json!({"status": "degraded", "reasonCodes": ["transport_unreachable"]}),
    )
}

#[test]
fn a_loop_with_only_a_health_file_has_the_minimal_report() {
    let repo = with_files(&[health_only()]);
    let file = |name: &str| format!("<repo>/.superloop/ops-manager/l/{name}");
    assert_eq!(
        repo.scrub(&repo.status(&[]).ok()),
        json!({
            "schemaVersion": "v1", "generatedAt": "<now>",
            "source": {"repoPath": "<repo>", "loopId": "l"},
            "lifecycle": {"state": "unknown", "confidence": null, "runId": null, "iteration": null},
            "health": {"status": "degraded", "reasonCodes": ["transport_unreachable"]},
            "cursor": {"eventLineOffset": 0, "eventLineCount": 0},
            "control": {
                "lastIntent": null, "lastStatus": null, "lastRequestedBy": null,
                "lastTimestamp": null, "lastTraceId": null,
            },
            "reconcile": {
                "lastStatus": null, "lastTimestamp": null, "lastTransport": null,
                "lastFailureCode": null, "lastDurationSeconds": null, "lastTraceId": null,
            },
            "visibility": {"trace": {}},
            "tuning": {
                "summaryWindow": 200, "appliedProfile": null, "recommendedProfile": null,
                "confidence": null, "rationale": null, "telemetrySummary": null,
            },
            "traceLinkage": {
                "controlTraceId": null, "controlInvocationTraceId": null,
                "reconcileTraceId": null, "heartbeatTraceId": null, "sequenceTraceId": null,
                "alertTraceId": null, "sharedTraceId": null,
            },
            "files": {
                "stateFile": file("state.json"),
                "cursorFile": file("cursor.json"),
                "healthFile": file("health.json"),
                "intentsFile": file("intents.jsonl"),
                "heartbeatStateFile": file("heartbeat.json"),
                "heartbeatTelemetryFile": file("telemetry/heartbeat.jsonl"),
                "sequenceStateFile": file("sequence-state.json"),
                "sequenceTelemetryFile": file("telemetry/sequence.jsonl"),
                "controlInvocationsFile": file("telemetry/control-invocations.jsonl"),
                "driftStateFile": file("profile-drift.json"),
                "driftHistoryFile": file("telemetry/profile-drift.jsonl"),
                "alertDispatchStateFile": file("alert-dispatch-state.json"),
                "alertDispatchTelemetryFile": file("telemetry/alerts.jsonl"),
                "reconcileTelemetryFile": file("telemetry/reconcile.jsonl"),
                "controlTelemetryFile": file("telemetry/control.jsonl"),
            },
        })
    );
}

#[test]
fn lifecycle_falls_back_member_by_member() {
    for (state, expected) in [
        (json!({}), json!(["unknown", null, null, null])),
        (
            json!({"transition": {"currentState": false}, "projection": {"status": "idle"}}),
            json!(["idle", null, null, null]),
        ),
        (
            json!({
                "transition": {"currentState": "running", "confidence": "high"},
                "projection": {"status": "idle"}, "run": {"runId": "r", "iteration": 0},
            }),
            json!(["running", "high", "r", 0]),
        ),
    ] {
        let report = report(&[("state.json", state)]);
        let members = ["state", "confidence", "runId", "iteration"];
        let found: Value = members
            .iter()
            .map(|name| report["lifecycle"][name].clone())
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn the_states_own_health_hides_the_health_file() {
    let own = json!({"status": "healthy", "thresholds": {"profile": "strict"}});
    let file = json!({"status": "critical", "thresholds": {"profile": "relaxed"}});
    let both = report(&[
        ("state.json", json!({"health": own})),
        ("health.json", file.clone()),
    ]);
    assert_eq!(both["health"], own);
    assert_eq!(both["tuning"]["appliedProfile"], "strict");
    for absent in [json!({}), json!({"health": null})] {
        let report = report(&[("state.json", absent), ("health.json", file.clone())]);
        assert_eq!(report["health"], file);
        assert_eq!(report["tuning"]["appliedProfile"], "relaxed");
    }
}

#[test]
fn each_cursor_member_falls_back_on_its_own() {
    let report = report(&[
        (
            "state.json",
            json!({"cursor": {"eventLineOffset": 7, "eventLineCount": 9}}),
        ),
        ("cursor.json", json!({"eventLineOffset": 0})),
    ]);
    assert_eq!(
        report["cursor"],
        json!({"eventLineOffset": 0, "eventLineCount": 9})
    );
}

#[test]
fn control_is_the_last_intent_and_only_its_trace_falls_back() {
    let intent = json!({
        "intent": "cancel", "status": "confirmed", "requestedBy": "maria",
        "timestamp": "2026-11-20T07:00:00Z", "traceId": "i",
    });
    let row = json!({"intent": "approve", "status": "ambiguous", "traceId": "k"});
    let both = report(&[
        health_only(),
        ("intents.jsonl", intent),
        ("telemetry/control.jsonl", row.clone()),
    ]);
    assert_eq!(
        both["control"],
        json!({
            "lastIntent": "cancel", "lastStatus": "confirmed", "lastRequestedBy": "maria",
            "lastTimestamp": "2026-11-20T07:00:00Z", "lastTraceId": "i",
        })
    );
    let only_row = report(&[health_only(), ("telemetry/control.jsonl", row)]);
    assert_eq!(only_row["control"]["lastIntent"], json!(null));
    assert_eq!(only_row["control"]["lastTraceId"], "k");
}

#[test]
fn intents_without_an_outcome_are_shown() {
    let entry = json!({"controlId": "c1", "intent": "cancel", "pid": 4, "note": null});
    let pending = json!({"pending": [entry]});
    let report = report(&[health_only(), ("control-pending.json", pending)]);
    assert_eq!(report["control"]["pending"], json!([entry]));
    for broken in ["{", "", r#"{"pending":7}"#] {
        let repo = with_files(&[health_only()]);
        repo.put("control-pending.json", broken);
        let report = repo.status(&[]).ok();
        assert!(report["control"].get("pending").is_none(), "{broken}");
        let file = &report["warnings"][0]["file"];
        assert_eq!(*file, repo.shown("control-pending.json"), "{broken}");
    }
}

#[test]
fn reconcile_is_the_last_pass() {
    let row = json!({
        "status": "failed", "timestamp": "2026-11-20T07:00:00Z", "transport": "local",
        "failureCode": "events_unavailable", "durationSeconds": 0, "traceId": "r",
    });
    let report = report(&[health_only(), ("telemetry/reconcile.jsonl", row)]);
    assert_eq!(
        report["reconcile"],
        json!({
            "lastStatus": "failed", "lastTimestamp": "2026-11-20T07:00:00Z",
            "lastTransport": "local", "lastFailureCode": "events_unavailable",
            "lastDurationSeconds": 0, "lastTraceId": "r",
        })
    );
}

#[test]
fn heartbeat_visibility_falls_back_member_by_member() {
    let row = json!({
        "status": "critical", "reasonCode": "row", "heartbeatAt": "row", "timestamp": "row",
        "heartbeatLagSeconds": 9, "transport": "row", "traceId": "row",
    });
    let only_row = report(&[health_only(), ("telemetry/heartbeat.jsonl", row.clone())]);
    assert_eq!(
        only_row["visibility"]["heartbeat"],
        json!({
            "reasonCode": "row", "lastHeartbeatAt": "row", "heartbeatLagSeconds": 9,
            "updatedAt": "row", "transport": "row", "traceId": "row",
        })
    );
    let partial = json!({"freshnessStatus": "fresh", "heartbeatLagSeconds": 0, "traceId": "own"});
    let both = report(&[
        health_only(),
        ("heartbeat.json", partial),
        ("telemetry/heartbeat.jsonl", row),
    ]);
    assert_eq!(
        both["visibility"]["heartbeat"],
        json!({
            "freshnessStatus": "fresh", "reasonCode": "row", "lastHeartbeatAt": "row",
            "heartbeatLagSeconds": 0, "updatedAt": "row", "transport": "row", "traceId": "own",
        })
    );
    let details = json!({"details": {
        "lastHeartbeatAt": "h", "heartbeatLagSeconds": 3, "heartbeatFreshnessStatus": "fresh",
    }});
    let foreign = report(&[("health.json", details)]);
    assert_eq!(
        foreign["visibility"]["heartbeat"],
        json!({"freshnessStatus": "fresh", "lastHeartbeatAt": "h", "heartbeatLagSeconds": 3})
    );
}

#[test]
fn sequence_visibility_falls_back_member_by_member_and_never_says_false() {
    let row = json!({
        "status": "row", "reasonCode": "row", "driftActive": true, "violations": ["v"],
        "snapshot": {"current": 4}, "events": {"last": 3}, "timestamp": "row",
        "transport": "row", "traceId": "row",
    });
    let document = json!({
        "status": "ok", "driftActive": false, "violations": [], "snapshot": {"current": 0},
        "events": {"last": null}, "updatedAt": "own",
    });
    let only = report(&[health_only(), ("sequence-state.json", document.clone())]);
    assert_eq!(
        only["visibility"]["sequence"],
        json!({"status": "ok", "violations": [], "snapshotCurrent": 0, "updatedAt": "own"})
    );
    let both = report(&[
        health_only(),
        ("sequence-state.json", document),
        ("telemetry/sequence.jsonl", row),
    ]);
    assert_eq!(
        both["visibility"]["sequence"],
        json!({
            "status": "ok", "reasonCode": "row", "driftActive": true, "violations": [],
            "snapshotCurrent": 0, "eventsLast": 3, "updatedAt": "own",
            "transport": "row", "traceId": "row",
        })
    );
    let details = json!({"details": {"sequenceStatus": "s", "sequenceUpdatedAt": "u"}});
    let foreign = report(&[("health.json", details)]);
    assert_eq!(
        foreign["visibility"]["sequence"],
        json!({"status": "s", "updatedAt": "u"})
    );
}

#[test]
fn the_invocation_audit_is_the_last_invocation() {
    let row = |replayed: bool| {
        json!({
            "timestamp": "t", "intent": "cancel", "transport": "local", "idempotencyKey": "k",
            "execution": {"status": "succeeded", "replayed": replayed},
            "confirmation": {"status": "confirmed"}, "outcome": {"status": "confirmed"},
            "traceId": "v",
        })
    };
    let mut expected = json!({
        "timestamp": "t", "intent": "cancel", "transport": "local", "idempotencyKey": "k",
        "executionStatus": "succeeded", "confirmationStatus": "confirmed",
        "outcomeStatus": "confirmed", "traceId": "v",
    });
    let journal = "telemetry/control-invocations.jsonl";
    let fresh = report(&[health_only(), (journal, row(false))]);
    assert_eq!(fresh["visibility"]["invocationAudit"], expected);
    expected["replayed"] = json!(true);
    let replayed = report(&[health_only(), (journal, row(true))]);
    assert_eq!(replayed["visibility"]["invocationAudit"], expected);
    assert_eq!(
        replayed["visibility"]["trace"],
        json!({"controlInvocationTraceId": "v"})
    );
}

#[test]
fn trace_ids_are_shared_by_two_different_rules() {
    // ct, rt, at, ht, st; shared by visibility.trace, by traceLinkage.
    let table = [
        (
            [None, Some("A"), None, Some("A"), Some("A")],
            Some("A"),
            None,
        ),
        (
            [Some("A"), Some("A"), Some("A"), Some("B"), Some("A")],
            None,
            Some("A"),
        ),
        (
            [None, Some("A"), Some("A"), None, None],
            Some("A"),
            Some("A"),
        ),
        (
            [Some("B"), Some("A"), Some("A"), Some("A"), Some("A")],
            None,
            None,
        ),
        ([Some("A"), None, None, None, None], Some("A"), None),
        ([None, None, None, None, None], None, None),
        ([None, Some("A"), Some("B"), None, None], None, None),
    ];
    let journals = [
        "intents.jsonl",
        "telemetry/reconcile.jsonl",
        "telemetry/alerts.jsonl",
        "telemetry/heartbeat.jsonl",
        "telemetry/sequence.jsonl",
    ];
    for (traces, visible, linked) in table {
        let rows = journals.iter().zip(traces);
        let rows = rows.filter_map(|(file, id)| id.map(|id| (*file, json!({"traceId": id}))));
        let invocation = (
            "telemetry/control-invocations.jsonl",
            json!({"traceId": "C"}),
        );
        let files: Vec<_> = rows.chain([health_only(), invocation]).collect();
        let report = report(&files);
        let shared = report["visibility"]["trace"].get("sharedTraceId");
        assert_eq!(shared.and_then(Value::as_str), visible, "{traces:?}");
        let [control, reconcile, alert, heartbeat, sequence] = traces;
        let expected = json!({
            "controlTraceId": control, "controlInvocationTraceId": "C",
            "reconcileTraceId": reconcile, "heartbeatTraceId": heartbeat,
            "sequenceTraceId": sequence, "alertTraceId": alert, "sharedTraceId": linked,
        });
        assert_eq!(report["traceLinkage"], expected, "{traces:?}");
    }
}

#[test]
fn trace_ids_fall_back_to_the_second_source_of_their_plane() {
    let traced = |id: &str| json!({"traceId": id});
    let report = report(&[
        health_only(),
        ("telemetry/control.jsonl", traced("k")),
        ("alert-dispatch-state.json", traced("as")),
        ("heartbeat.json", traced("hb")),
        ("telemetry/heartbeat.jsonl", traced("row")),
        ("sequence-state.json", json!({"traceId": null})),
        ("telemetry/sequence.jsonl", traced("sq")),
    ]);
    assert_eq!(
        report["visibility"]["trace"],
        json!({
            "controlTraceId": "k", "heartbeatTraceId": "hb",
            "sequenceTraceId": "sq", "alertTraceId": "as",
        })
    );
}

#[test]
fn alerts_show_the_dispatch_and_the_last_delivery() {
    let dispatch = json!({
        "status": "success", "updatedAt": "u", "processedCount": 3, "dispatchedCount": 2,
        "skippedCount": 1, "failedCount": 0, "failureReasonCodes": ["x"],
        "escalationsLineOffset": 5, "escalationsLineCount": 6, "traceId": "as", "other": 1,
    });
    let delivery = json!({
        "timestamp": "t", "status": "dispatched", "reasonCode": null,
        "escalationCategory": "health_critical", "eventSeverity": "critical",
        "sinkCount": 2, "dispatchedSinkCount": 2, "failedSinkCount": 0,
        "traceId": "al", "escalationTraceId": "e", "other": 1,
    });
    let alerts = report(&[
        health_only(),
        ("alert-dispatch-state.json", dispatch),
        ("telemetry/alerts.jsonl", delivery),
    ])["alerts"]
        .clone();
    assert_eq!(
        alerts,
        json!({
            "dispatch": {
                "status": "success", "updatedAt": "u", "processedCount": 3,
                "dispatchedCount": 2, "skippedCount": 1, "failedCount": 0,
                "failureReasonCodes": ["x"], "escalationsLineOffset": 5,
                "escalationsLineCount": 6, "lastTraceId": "as",
            },
            "lastDelivery": {
                "timestamp": "t", "status": "dispatched",
                "escalationCategory": "health_critical", "eventSeverity": "critical",
                "sinkCount": 2, "dispatchedSinkCount": 2, "failedSinkCount": 0,
                "traceId": "al", "escalationTraceId": "e",
            },
        })
    );
}

#[test]
fn empty_alert_sources_have_defaults_and_absent_ones_are_omitted() {
    let empty = report(&[health_only(), ("alert-dispatch-state.json", json!({}))]);
    assert_eq!(
        empty["alerts"],
        json!({"dispatch": {
            "processedCount": 0, "dispatchedCount": 0, "skippedCount": 0, "failedCount": 0,
            "failureReasonCodes": [], "escalationsLineOffset": 0, "escalationsLineCount": 0,
        }})
    );
    let row = report(&[health_only(), ("telemetry/alerts.jsonl", json!({}))]);
    assert_eq!(row["alerts"], json!({"lastDelivery": {}}));
    assert!(report(&[health_only()]).get("alerts").is_none());
}

#[test]
fn drift_is_the_drift_file_else_the_states_copy() {
    let state = json!({"drift": {"status": "aligned", "traceId": "t"}});
    let own = report(&[("state.json", state.clone())]);
    assert_eq!(own["drift"], json!({"status": "aligned", "traceId": "t"}));
    let file = json!({"status": "drift_active", "odd": 1});
    let both = report(&[("state.json", state), ("profile-drift.json", file.clone())]);
    assert_eq!(both["drift"], file, "whole, without a trace");
    assert!(report(&[health_only()]).get("drift").is_none());
}

#[test]
fn paths_given_by_flag_are_read_and_reported_as_written() {
    let repo = healthy();
    let flags = [
        ("--state-file", "stateFile"),
        ("--cursor-file", "cursorFile"),
        ("--health-file", "healthFile"),
        ("--intents-file", "intentsFile"),
        ("--heartbeat-state-file", "heartbeatStateFile"),
        ("--heartbeat-telemetry-file", "heartbeatTelemetryFile"),
        ("--sequence-state-file", "sequenceStateFile"),
        ("--sequence-telemetry-file", "sequenceTelemetryFile"),
        ("--control-invocations-file", "controlInvocationsFile"),
        ("--drift-state-file", "driftStateFile"),
        ("--drift-history-file", "driftHistoryFile"),
        ("--alert-dispatch-state-file", "alertDispatchStateFile"),
        (
            "--alert-dispatch-telemetry-file",
            "alertDispatchTelemetryFile",
        ),
    ];
    for (flag, _) in flags {
        std::fs::write(repo.outside(flag), format!("{{\"traceId\":\"{flag}\"}}\n")).expect("file");
    }
    let arguments: Vec<&str> = flags.iter().flat_map(|(flag, _)| [*flag, *flag]).collect();
    let report = repo.status(&arguments).ok();
    for (flag, member) in flags {
        assert_eq!(report["files"][member], flag);
    }
    assert_eq!(
        report["visibility"]["trace"],
        json!({
            "controlTraceId": "--intents-file",
            "controlInvocationTraceId": "--control-invocations-file",
            "heartbeatTraceId": "--heartbeat-state-file",
            "sequenceTraceId": "--sequence-state-file",
            "alertTraceId": "--alert-dispatch-telemetry-file",
        })
    );
    assert_eq!(report["health"]["traceId"], "--health-file");
}
