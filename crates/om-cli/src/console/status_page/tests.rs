use super::*;
use serde_json::json;

const NOW: &str = "2031-05-02T08:00:00Z";

/// A report with the parts that matter to the page.
fn report(parts: Value) -> StatusReport {
    let files: serde_json::Map<String, Value> = [
        ("stateFile", "state.json"),
        ("cursorFile", "cursor.json"),
        ("healthFile", "health.json"),
        ("intentsFile", "intents.jsonl"),
        ("heartbeatStateFile", "heartbeat.json"),
        ("heartbeatTelemetryFile", "telemetry/heartbeat.jsonl"),
        ("sequenceStateFile", "sequence-state.json"),
        ("sequenceTelemetryFile", "telemetry/sequence.jsonl"),
        (
            "controlInvocationsFile",
            "telemetry/control-invocations.jsonl",
        ),
        ("driftStateFile", "profile-drift.json"),
        ("driftHistoryFile", "telemetry/profile-drift.jsonl"),
        ("alertDispatchStateFile", "alert-dispatch-state.json"),
        ("alertDispatchTelemetryFile", "telemetry/alerts.jsonl"),
        ("reconcileTelemetryFile", "telemetry/reconcile.jsonl"),
        ("controlTelemetryFile", "telemetry/control.jsonl"),
    ]
    .map(|(name, file)| {
        (
            name.to_owned(),
            json!(format!("/srv/app/.superloop/ops-manager/nightly-7/{file}")),
        )
    })
    .into_iter()
    .collect();
    let mut document = json!({
        "schemaVersion": "v1",
        "generatedAt": NOW,
        "source": {"repoPath": "/srv/app", "loopId": "nightly-7"},
        "lifecycle": {"state": "unknown"},
        "cursor": {"eventLineOffset": 0, "eventLineCount": 0},
        "control": {},
        "reconcile": {},
        "visibility": {"trace": {}},
        "tuning": {"summaryWindow": 200},
        "traceLinkage": {},
        "files": files,
    });
    if let (Some(document), Value::Object(parts)) = (document.as_object_mut(), parts) {
        document.extend(parts);
    }
    serde_json::from_value(document).expect("a report")
}

#[test]
fn a_healthy_loop_is_told_in_a_few_lines() {
    let report = report(json!({
        "lifecycle": {"state": "running", "confidence": "high", "runId": "2031-05-02T07:00:00Z", "iteration": 3},
        "health": {"status": "healthy", "reasonCodes": [], "reasons": [],
            "evidence": {"lastEventAt": "2031-05-02T07:59:30Z"}},
        "cursor": {"eventLineOffset": 71, "eventLineCount": 71},
        "reconcile": {"lastStatus": "success", "lastTimestamp": "2031-05-02T07:59:58Z",
            "lastTransport": "local", "lastTraceId": "tr-41"},
        "visibility": {"heartbeat": {"freshnessStatus": "fresh",
            "lastHeartbeatAt": "2031-05-02T07:59:45Z"}, "trace": {}},
        "tuning": {"summaryWindow": 200, "appliedProfile": "balanced", "recommendedProfile": "strict",
            "confidence": "low"},
        "drift": {"status": "insufficient_confidence"},
    }));
    insta::assert_snapshot!(render(&report, Look::PLAIN));
}

#[test]
fn every_reason_is_told_in_words_with_its_measure_and_what_to_do() {
    let reason = |code: &str, severity: &str, metric: &str, observed: &str, threshold: &str| {
        json!({"code": code, "severity": severity, "metric": metric, "observed": observed,
            "threshold": threshold})
    };
    let report = report(json!({
        "lifecycle": {"state": "failed", "confidence": "low", "runId": "r", "iteration": 0},
        "health": {"status": "critical",
            "reasonCodes": ["control_ambiguous", "custom_code", "ingest_stale", "transport_unreachable"],
            "reasons": [
                reason("control_ambiguous", "degraded", "control.status", "ambiguous", "confirmed"),
                reason("custom_code", "degraded", "ingestStatus", "failed", "success"),
                reason("ingest_stale", "critical", "ingestLagSeconds", "5400", "900"),
                reason("transport_unreachable", "critical", "transportFailureStreak", "7", "4"),
            ],
            "evidence": {"lastEventAt": "2031-05-02T06:30:00Z"}},
        "control": {"lastIntent": "cancel", "lastStatus": "ambiguous", "lastRequestedBy": "maria",
            "lastTimestamp": "2031-05-02T07:00:00Z",
            "pending": [{"intent": "approve", "startedAt": "2031-05-02T07:58:00Z"}]},
        "reconcile": {"lastStatus": "failed", "lastTimestamp": "2031-05-02T07:59:58Z",
            "lastTransport": "local", "lastFailureCode": "events_unavailable", "lastTraceId": "tr-42"},
        "alerts": {"lastDelivery": {"status": "failed", "escalationCategory": "health_critical",
            "timestamp": "2031-05-02T07:59:00Z"}},
        "tuning": {"summaryWindow": 200, "appliedProfile": "strict", "recommendedProfile": "relaxed",
            "confidence": "high"},
        "drift": {"status": "drift_active"},
        "warnings": [{"file": "/srv/app/.superloop/ops-manager/nightly-7/telemetry/reconcile.jsonl",
            "line": 12, "message": "EOF while parsing"}],
    }));
    insta::assert_snapshot!(render(&report, Look::PLAIN));
}

#[test]
fn a_finished_run_may_be_silent() {
    let report = report(json!({
        "lifecycle": {"state": "complete"},
        "health": {"status": "critical", "reasonCodes": ["ingest_stale"], "reasons": []},
    }));
    let page = render(&report, Look::PLAIN);
    assert!(
        page.contains("The run is complete, so a silent log is expected."),
        "{page}"
    );
}

#[test]
fn a_pending_approval_comes_with_the_command_that_decides_it() {
    let page = render(
        &report(json!({"lifecycle": {"state": "awaiting_approval"}})),
        Look::PLAIN,
    );
    assert!(
        page.contains(
            "ops-manager control --repo /srv/app --loop nightly-7 --intent approve --by <you>"
        ),
        "{page}"
    );
}

#[test]
fn paths_that_a_shell_would_split_are_quoted() {
    assert_eq!(quoted("/srv/app"), "/srv/app");
    assert_eq!(quoted("/srv/my app"), "'/srv/my app'");
    assert_eq!(quoted("it's"), "'it'\\''s'");
}

#[test]
fn nothing_that_a_loop_writes_can_drive_the_terminal() {
    let report = report(json!({
        "lifecycle": {"state": "running\u{1b}[2J", "runId": "r\u{7}\u{9b}31m\r\nHealth \u{202e}"},
        "health": {"status": "healthy\u{1b}]0;x\u{7}", "reasonCodes": ["\u{1b}c"]},
        "warnings": [{"file": "f\u{1b}[1A", "message": "m\u{8}"}],
    }));
    let page = render(&report, Look::PLAIN);
    assert!(
        page.chars().all(|c| c == '\n' || !c.is_control()),
        "{page:?}"
    );
    assert!(
        !page.contains('\u{202e}') && page.contains("\\u{1b}[2J"),
        "{page:?}"
    );
}

#[test]
fn colours_appear_only_where_they_are_wanted() {
    let colorful = Look {
        color: true,
        ..Look::PLAIN
    };
    let report = report(json!({"health": {"status": "healthy"}}));
    assert!(render(&report, colorful).contains('\u{1b}'));
    assert!(!render(&report, Look::PLAIN).contains('\u{1b}'));
}
