//! Chapter 03 §3.5; decisions D7 and D9.

use om_model::status::{StatusFiles, StatusReport, StatusWarning};
use om_model::{Artifact, json};
use om_reconcile::status::{
    LastRow, StatusDocuments, StatusError, StatusInputs, StatusRows, evaluate,
};
use om_store::Row;
use serde_json::{Value, json};

use crate::support::{artifact, blank, malformed, now, source};

fn inputs() -> StatusInputs {
    StatusInputs {
        source: source(),
        files: files(),
        control_pending_file: "/ops/control-pending.json".to_owned(),
        documents: StatusDocuments {
            state: artifact(json!({})),
            ..StatusDocuments::default()
        },
        rows: StatusRows::default(),
        summary_window: 200,
        summary: None,
        warnings: Vec::new(),
    }
}

fn files() -> StatusFiles {
    let names = [
        "stateFile",
        "cursorFile",
        "healthFile",
        "intentsFile",
        "heartbeatStateFile",
        "heartbeatTelemetryFile",
        "sequenceStateFile",
        "sequenceTelemetryFile",
        "controlInvocationsFile",
        "driftStateFile",
        "driftHistoryFile",
        "alertDispatchStateFile",
        "alertDispatchTelemetryFile",
        "reconcileTelemetryFile",
        "controlTelemetryFile",
    ];
    let members = names.map(|name| (name.to_owned(), json!(format!("/ops/{name}"))));
    serde_json::from_value(Value::Object(members.into_iter().collect())).expect("all files")
}

#[expect(clippy::unnecessary_wraps, reason = "what the fields take")]
fn last(line: &str) -> Option<LastRow> {
    Some(LastRow {
        row: Row {
            bytes: line.as_bytes().to_vec(),
            offset: 80,
        },
        line: Some(9),
    })
}

fn last_row(row: &Value) -> Option<LastRow> {
    last(&row.to_string())
}

fn report(inputs: &StatusInputs) -> Value {
    let report: StatusReport = evaluate(inputs, now()).expect("a report");
    json::to_value(&report)
}

fn message(inputs: &StatusInputs) -> String {
    evaluate(inputs, now()).expect_err("no report").to_string()
}

#[test]
fn a_loop_with_only_a_health_file() {
    let mut inputs = inputs();
    inputs.documents.state = Artifact::Absent;
    inputs.documents.health = artifact(json!({
        "status": "degraded", "reasonCodes": ["transport_unreachable"],
    }));
    insta::assert_snapshot!(json::pretty(&report(&inputs)));
}

fn full() -> StatusInputs {
    let mut inputs = inputs();
    inputs.documents = StatusDocuments {
        state: artifact(json!({
            "run": {"runId": "r-1", "iteration": 0},
            "transition": {"currentState": "running", "confidence": "high"},
            "health": {"status": "healthy", "thresholds": {"profile": "balanced"}},
            "drift": {"status": "aligned", "traceId": "tr-41"},
        })),
        cursor: artifact(json!({"eventLineOffset": 15, "eventLineCount": 16})),
        health: artifact(json!({"status": "critical", "thresholds": {"profile": "strict"}})),
        heartbeat: artifact(json!({
            "freshnessStatus": "degraded", "reasonCode": "runtime_heartbeat_stale",
            "lastHeartbeatAt": "2031-05-02T07:58:00Z", "heartbeatLagSeconds": 124,
            "updatedAt": "2031-05-02T08:00:04Z", "transport": "local", "traceId": "tr-41",
        })),
        sequence: artifact(json!({
            "status": "ok", "driftActive": false, "violations": [],
            "snapshot": {"current": 15}, "events": {"last": 15},
            "updatedAt": "2031-05-02T08:00:04Z", "transport": "local", "traceId": "tr-41",
        })),
        drift: Artifact::Absent,
        alert_dispatch: artifact(json!({
            "status": "success", "updatedAt": "2031-05-02T08:00:05Z", "processedCount": 2,
            "dispatchedCount": 1, "skippedCount": 1, "failedCount": 0,
            "escalationsLineOffset": 2, "escalationsLineCount": 2, "traceId": "tr-41",
        })),
        control_pending: artifact(json!({"pending": [{"controlId": "c-1"}]})),
    };
    inputs.rows = StatusRows {
        intents: last_row(&json!({
            "intent": "approve", "status": "confirmed", "requestedBy": "kim",
            "timestamp": "2031-05-02T07:00:00Z",
        })),
        control: last_row(&json!({"traceId": "tr-40"})),
        reconcile: last_row(&json!({
            "status": "success", "timestamp": "2031-05-02T08:00:04Z", "transport": "local",
            "durationSeconds": 0, "traceId": "tr-41",
        })),
        heartbeat: last_row(&json!({"status": "degraded", "traceId": "tr-39"})),
        sequence: last_row(&json!({"reasonCode": "stale"})),
        invocation: last_row(&json!({
            "timestamp": "2031-05-02T07:00:00Z", "intent": "approve", "transport": "local",
            "idempotencyKey": "k-1", "execution": {"status": "executed", "replayed": false},
            "confirmation": {"status": "confirmed"}, "outcome": {"status": "confirmed"},
            "traceId": "tr-40",
        })),
        alert: last_row(&json!({
            "timestamp": "2031-05-02T08:00:05Z", "status": "delivered",
            "escalationCategory": "health_degraded", "eventSeverity": "warning",
            "sinkCount": 1, "dispatchedSinkCount": 1, "failedSinkCount": 0,
            "traceId": "tr-41", "escalationTraceId": "tr-41",
        })),
    };
    inputs.summary = Some(json!({
        "recommendedProfile": "strict", "confidence": "low", "rationale": "stable",
        "observed": {"reconcileAttempts": 1}, "source": {"window": 200}, "extra": "dropped",
    }));
    inputs
}

#[test]
fn a_loop_with_everything() {
    insta::assert_snapshot!(json::pretty(&report(&full())));
}

#[test]
fn a_loop_without_state_and_health_has_no_report() {
    let mut inputs = full();
    inputs.documents.state = Artifact::Absent;
    inputs.documents.health = Artifact::Absent;
    inputs.documents.cursor = malformed();
    assert_eq!(
        message(&inputs),
        "no status artifacts found for loop: nightly-7"
    );
}

type Place = fn(&mut StatusDocuments) -> &mut Artifact;

#[test]
fn documents_that_cannot_be_read_are_named() {
    let places: [(Place, &str); 7] = [
        (|d| &mut d.state, "invalid state JSON: /ops/stateFile"),
        (|d| &mut d.cursor, "invalid cursor JSON: /ops/cursorFile"),
        (|d| &mut d.health, "invalid health JSON: /ops/healthFile"),
        (
            |d| &mut d.heartbeat,
            "invalid heartbeat state JSON: /ops/heartbeatStateFile",
        ),
        (
            |d| &mut d.sequence,
            "invalid sequence state JSON: /ops/sequenceStateFile",
        ),
        (|d| &mut d.drift, "invalid drift JSON: /ops/driftStateFile"),
        (
            |d| &mut d.alert_dispatch,
            "invalid alert dispatch state JSON: /ops/alertDispatchStateFile",
        ),
    ];
    for (place, expected) in places {
        for bad in [malformed(), blank(), Artifact::parse(b"{} {}")] {
            let mut inputs = inputs();
            *place(&mut inputs.documents) = bad;
            let message = message(&inputs);
            assert!(message.starts_with(expected), "{message:?}");
        }
        let mut inputs = inputs();
        *place(&mut inputs.documents) = artifact(json!(null));
        assert!(
            evaluate(&inputs, now()).is_ok(),
            "{expected}: null is tolerated"
        );
    }
}

#[test]
fn documents_of_the_wrong_type_are_named_with_the_member() {
    for (state, member) in [
        (json!([]), "it is an array"),
        (json!({"transition": "x"}), "transition is a string"),
        (json!({"run": 7}), "run is a number"),
        (json!({"cursor": []}), "cursor is an array"),
        (
            json!({"health": {"thresholds": "x"}}),
            "health.thresholds is a string",
        ),
    ] {
        let mut inputs = inputs();
        inputs.documents.state = artifact(state);
        let message = message(&inputs);
        assert!(
            message.starts_with("invalid state JSON: /ops/stateFile: "),
            "{message:?}"
        );
        assert!(message.contains(member), "{message:?}");
    }
}

#[test]
fn a_drift_document_is_passed_through_whatever_it_is() {
    for (file, expected) in [
        (Artifact::Absent, json!({"from": "state"})),
        (artifact(json!(null)), json!({"from": "state"})),
        (artifact(json!([1])), json!([1])),
        (artifact(json!(false)), json!(false)),
        (artifact(json!({"from": "file"})), json!({"from": "file"})),
    ] {
        let mut inputs = inputs();
        inputs.documents.state = artifact(json!({"drift": {"from": "state"}}));
        inputs.documents.drift = file;
        assert_eq!(report(&inputs)["drift"], expected);
    }
}

#[test]
fn the_states_own_health_wins_and_null_is_omitted() {
    for (state, health, expected) in [
        (
            json!({"health": {"a": 1}}),
            artifact(json!({"b": 2})),
            Some(json!({"a": 1})),
        ),
        (
            json!({"health": null}),
            artifact(json!({"b": 2})),
            Some(json!({"b": 2})),
        ),
        (json!({}), Artifact::Absent, Some(json!({}))),
        (json!({}), artifact(json!(null)), None),
    ] {
        let mut inputs = inputs();
        inputs.documents.state = artifact(state);
        inputs.documents.health = health;
        assert_eq!(report(&inputs).get("health"), expected.as_ref());
    }
}

#[test]
fn cursor_members_fall_back_on_their_own() {
    let mut inputs = inputs();
    inputs.documents.state = artifact(json!({
        "cursor": {"eventLineOffset": 3, "eventLineCount": 4},
    }));
    inputs.documents.cursor = artifact(json!({"eventLineOffset": 0}));
    let found = report(&inputs)["cursor"].clone();
    assert_eq!(found, json!({"eventLineOffset": 0, "eventLineCount": 4}));
}

#[test]
fn visibility_falls_back_member_by_member() {
    let mut inputs = inputs();
    inputs.documents.health = artifact(json!({"details": {
        "heartbeatFreshnessStatus": "fresh", "heartbeatLagSeconds": 0, "sequenceStatus": "ok",
        "sequenceUpdatedAt": "2031-05-02T07:00:00Z",
    }}));
    inputs.documents.sequence = artifact(json!({"driftActive": false, "violations": []}));
    inputs.rows.heartbeat = last_row(&json!({
        "status": "critical", "heartbeatAt": "2031-05-02T06:00:00Z", "timestamp": "t",
    }));
    inputs.rows.sequence = last_row(&json!({"driftActive": true, "events": {"last": 4}}));
    let visibility = report(&inputs)["visibility"].clone();
    assert_eq!(
        visibility["heartbeat"],
        json!({
            "freshnessStatus": "fresh",
            "lastHeartbeatAt": "2031-05-02T06:00:00Z",
            "heartbeatLagSeconds": 0,
            "updatedAt": "t",
        })
    );
    assert_eq!(
        visibility["sequence"],
        json!({
            "status": "ok",
            "driftActive": true,
            "violations": [],
            "eventsLast": 4,
            "updatedAt": "2031-05-02T07:00:00Z",
        })
    );
}

#[test]
fn an_existing_but_empty_source_is_an_empty_block() {
    let mut inputs = inputs();
    inputs.documents.heartbeat = artifact(json!({}));
    inputs.documents.sequence = artifact(json!({}));
    inputs.documents.alert_dispatch = artifact(json!({}));
    inputs.rows.alert = last_row(&json!({}));
    inputs.rows.invocation = last_row(&json!({}));
    let report = report(&inputs);
    assert_eq!(
        report["visibility"],
        json!({"heartbeat": {}, "sequence": {}, "invocationAudit": {}, "trace": {}})
    );
    assert_eq!(
        report["alerts"],
        json!({
            "dispatch": {
                "processedCount": 0, "dispatchedCount": 0, "skippedCount": 0, "failedCount": 0,
                "failureReasonCodes": [], "escalationsLineOffset": 0, "escalationsLineCount": 0,
            },
            "lastDelivery": {},
        })
    );
}

#[test]
fn the_two_rules_for_a_shared_trace() {
    // control, reconcile, alert, heartbeat, sequence → visibility, linkage
    for (traces, visible, linked) in [
        (["", "A", "", "A", "A"], Some("A"), None),
        (["A", "A", "A", "B", "A"], None, Some("A")),
        (["", "A", "A", "", ""], Some("A"), Some("A")),
        (["B", "A", "A", "A", "A"], None, None),
        (["A", "", "", "", ""], Some("A"), None),
        (["", "", "", "", ""], None, None),
    ] {
        let traced = |trace: &str| json!({"traceId": (!trace.is_empty()).then_some(trace)});
        let [control, reconcile, alert, heartbeat, sequence] = traces.map(traced);
        let mut inputs = inputs();
        inputs.rows.intents = last_row(&control);
        inputs.rows.reconcile = last_row(&reconcile);
        inputs.rows.alert = last_row(&alert);
        inputs.rows.invocation = last_row(&json!({"traceId": "V"}));
        inputs.documents.heartbeat = artifact(heartbeat);
        inputs.documents.sequence = artifact(sequence);
        let report = report(&inputs);
        let found = report["visibility"]["trace"].get("sharedTraceId");
        assert_eq!(found.and_then(Value::as_str), visible, "{traces:?}");
        assert_eq!(
            report["traceLinkage"]["sharedTraceId"],
            json!(linked),
            "{traces:?}"
        );
        assert_eq!(
            report["traceLinkage"]["controlInvocationTraceId"],
            json!("V")
        );
    }
}

#[test]
fn a_last_row_that_is_not_json_is_passed_over_with_a_warning() {
    let mut inputs = inputs();
    inputs.rows.reconcile = last("{\"status\":");
    inputs.rows.intents = last("");
    inputs.rows.control = last("null");
    let report = report(&inputs);
    assert_eq!(report["reconcile"]["lastStatus"], json!(null));
    let warnings = report["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0]["file"], json!("/ops/reconcileTelemetryFile"));
    assert_eq!(warnings[0]["line"], json!(9));
}

#[test]
fn a_last_row_of_the_wrong_type_fails_by_file_and_line() {
    for bad in ["[]", "7", "\"x\"", "{} {}"] {
        let mut inputs = inputs();
        inputs.rows.alert = last(bad);
        let message = message(&inputs);
        let expected = "invalid row in /ops/alertDispatchTelemetryFile line 9: ";
        assert!(message.starts_with(expected), "{message:?}");
    }
}

#[test]
fn only_a_row_that_will_be_mentioned_needs_its_line() {
    for (line, needs) in [
        ("", false),
        (" ", false),
        ("{}", false),
        ("null", false),
        ("{", true),
        ("[]", true),
        ("{} {}", true),
    ] {
        let row = LastRow::new(Row {
            bytes: line.as_bytes().to_vec(),
            offset: 0,
        });
        assert_eq!(row.needs_line(), needs, "{line:?}");
    }
}

#[test]
fn trouble_with_pending_controls_never_costs_the_report() {
    for (pending, expected, warned) in [
        (Artifact::Absent, json!(null), false),
        (artifact(json!({})), json!(null), false),
        (artifact(json!({"pending": []})), json!(null), false),
        (
            artifact(json!({"pending": [{"controlId": "c"}]})),
            json!([{"controlId": "c"}]),
            false,
        ),
        (artifact(json!({"pending": "x"})), json!(null), true),
        (malformed(), json!(null), true),
    ] {
        let mut inputs = inputs();
        inputs.documents.control_pending = pending;
        let report = report(&inputs);
        assert_eq!(report["control"]["pending"], expected);
        assert_eq!(report.get("warnings").is_some(), warned);
    }
}

#[test]
fn warnings_of_the_caller_are_kept() {
    let mut inputs = inputs();
    inputs.warnings.push(StatusWarning {
        file: "/tel/reconcile.jsonl".to_owned(),
        line: Some(3),
        message: "Bad JSON".to_owned(),
    });
    assert_eq!(
        report(&inputs)["warnings"],
        json!([{"file": "/tel/reconcile.jsonl", "line": 3, "message": "Bad JSON"}])
    );
}

#[test]
fn a_summary_is_shown_with_defaults_or_not_at_all() {
    for (summary, expected) in [
        (None, json!(null)),
        (Some(json!(null)), json!(null)),
        (Some(json!({})), json!({"observed": {}, "source": {}})),
    ] {
        let mut inputs = inputs();
        inputs.summary = summary;
        assert_eq!(report(&inputs)["tuning"]["telemetrySummary"], expected);
    }
    let mut inputs = inputs();
    inputs.summary = Some(json!([]));
    assert!(matches!(
        evaluate(&inputs, now()),
        Err(StatusError::Summary(_))
    ));
}
