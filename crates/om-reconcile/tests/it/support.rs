//! Fixed clock, ids and documents.

use om_model::drift::Confidence;
use om_model::envelope::{CursorDocument, SchemaVersion, Source};
use om_model::health::TransportMode;
use om_model::observation::{EventBatch, SequenceFold};
use om_model::state::FailureCode;
use om_model::thresholds::HealthThresholds;
use om_model::{Artifact, LoopId, Timestamp, TraceId, json};
use om_reconcile::pass::{
    Commit, IngestFailure, Observation, PassContext, PassInputs, PassPaths, PassSettings, Prior,
};
use om_reconcile::sequence::event_sequence;
use serde_json::{Map, Value, json};

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a fixed timestamp")
}

pub(crate) fn now() -> Timestamp {
    at("2031-05-02T08:00:04Z")
}

pub(crate) fn loop_id() -> LoopId {
    LoopId::new("nightly-7").expect("a fixed loop id")
}

pub(crate) fn trace() -> TraceId {
    TraceId::new("tr-41").expect("a fixed trace id")
}

pub(crate) fn source() -> Source {
    Source {
        repo_path: "/srv/app".to_owned(),
        loop_id: loop_id(),
    }
}

/// `document` as the artifact that its bytes would be read as.
pub(crate) fn artifact(document: Value) -> Artifact {
    Artifact::Document(document)
}

pub(crate) fn blank() -> Artifact {
    Artifact::parse(b"\n")
}

pub(crate) fn malformed() -> Artifact {
    Artifact::parse(b"{\"a\":")
}

/// `document` with the member at the dotted `path` replaced or added.
pub(crate) fn with(mut document: Value, path: &str, value: Value) -> Value {
    let mut place = &mut document;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let members = place.as_object_mut().expect("an object by now");
        place = members.entry(name).or_insert(Value::Null);
    }
    *place = value;
    document
}

pub(crate) fn snapshot() -> Value {
    json!({
        "schemaVersion": "v1",
        "envelopeType": "loop_run_snapshot",
        "emittedAt": "2031-05-02T08:00:02Z",
        "traceId": "tr-41",
        "source": {"repoPath": "/srv/app", "loopId": "nightly-7"},
        "run": {
            "runId": "2031-05-02T07:00:00Z",
            "iteration": 3,
            "status": "running",
            "summary": {"iteration": 3, "completion_ok": false},
        },
        "runtime": {
            "superloopState": {"active": true, "current_loop_id": "nightly-7"},
            "activeRun": null,
            "approval": null,
            "heartbeat": {"timestamp": "2031-05-02T07:59:54Z", "pid": 77},
        },
        "sequence": {"source": "cursor_event_line_offset", "value": 15},
        "cursor": {"eventLineOffset": 15, "eventLineCount": 15},
        "health": {
            "eventCount": 15,
            "lastEventAt": "2031-05-02T07:59:44Z",
            "lastEventName": "role_start",
            "hasPendingApproval": false,
            "gates": {"tests": "ok"},
            "stuck": null,
        },
    })
}

pub(crate) fn event(name: &str, line: u64) -> Value {
    json!({
        "schemaVersion": "v1",
        "envelopeType": "loop_run_event",
        "emittedAt": "2031-05-02T08:00:02Z",
        "traceId": "tr-41",
        "source": {"repoPath": "/srv/app", "loopId": "nightly-7"},
        "sequence": {"source": "cursor_event_line_offset", "value": line},
        "cursor": {"eventLineOffset": line, "eventLineCount": 15},
        "run": {"runId": "2031-05-02T07:00:00Z", "iteration": 4},
        "event": {"timestamp": "2031-05-02T07:59:44Z", "name": name},
    })
}

pub(crate) fn fold(sequences: &[Option<u64>]) -> SequenceFold {
    let mut fold = SequenceFold::default();
    for sequence in sequences {
        fold.push(*sequence);
    }
    fold
}

pub(crate) fn batch(events: &[Value]) -> EventBatch {
    let sequences: Vec<Option<u64>> = events.iter().map(event_sequence).collect();
    EventBatch {
        sequence: fold(&sequences),
        last: events.last().cloned(),
    }
}

pub(crate) fn thresholds() -> HealthThresholds {
    HealthThresholds {
        profile: Some("balanced".to_owned()),
        ..HealthThresholds::default()
    }
}

pub(crate) fn catalog() -> Artifact {
    artifact(json!({
        "schemaVersion": "v1",
        "defaultProfile": "balanced",
        "profiles": {
            "strict": {
                "degradedIngestLagSeconds": 120, "criticalIngestLagSeconds": 300,
                "degradedTransportFailureStreak": 1, "criticalTransportFailureStreak": 2,
                "description": "fast",
            },
            "balanced": {
                "degradedIngestLagSeconds": 300, "criticalIngestLagSeconds": 900,
                "degradedTransportFailureStreak": 2, "criticalTransportFailureStreak": 4,
            },
            "relaxed": {
                "degradedIngestLagSeconds": 600, "criticalIngestLagSeconds": 1800,
                "degradedTransportFailureStreak": 3, "criticalTransportFailureStreak": 6,
            },
        },
    }))
}

pub(crate) fn paths() -> PassPaths {
    let ops = |name: &str| format!("/srv/app/ops/{name}").into();
    PassPaths {
        state: ops("state.json"),
        cursor: ops("cursor.json"),
        health: ops("health.json"),
        intents: ops("intents.jsonl"),
        heartbeat_state: ops("heartbeat.json"),
        heartbeat_rows: ops("telemetry/heartbeat.jsonl"),
        sequence_state: ops("sequence-state.json"),
        sequence_rows: ops("telemetry/sequence.jsonl"),
        escalations: ops("escalations.jsonl"),
        reconcile_rows: ops("telemetry/reconcile.jsonl"),
        control_rows: ops("telemetry/control.jsonl"),
        transport_health: ops("telemetry/transport-health.json"),
        drift_state: ops("profile-drift.json"),
        drift_history: ops("telemetry/profile-drift.jsonl"),
        alert_dispatch_state: ops("alert-dispatch-state.json"),
        alert_rows: ops("telemetry/alerts.jsonl"),
    }
}

pub(crate) fn context() -> PassContext {
    PassContext {
        started_at: at("2031-05-02T08:00:02Z"),
        now: now(),
        trace_id: trace(),
    }
}

/// A pass over [`snapshot`] and two events, after twelve older ones.
pub(crate) fn pass_inputs() -> PassInputs {
    PassInputs {
        source: source(),
        paths: paths(),
        evidence_dir: "/tmp/pass".into(),
        settings: PassSettings {
            transport: TransportMode::Local,
            max_events: 0,
            from_start: false,
            retry_attempts: 3,
            retry_backoff_seconds: 1,
            thresholds: thresholds(),
            drift_min_confidence: Confidence::Medium,
            drift_required_streak: 3,
            drift_summary_window: 200,
            thresholds_file: "builtin:profiles".to_owned(),
        },
        prior: Prior {
            cursor_offset: 13,
            ..Prior::default()
        },
        ingest: Ok(Observation {
            snapshot: snapshot(),
            batch: batch(&[event("iteration_start", 14), event("role_start", 15)]),
            cursor: cursor(15),
        }),
    }
}

pub(crate) fn cursor(offset: u64) -> CursorDocument {
    CursorDocument {
        schema_version: SchemaVersion::V1,
        repo_path: "/srv/app".to_owned(),
        loop_id: loop_id(),
        events_file: ".superloop/loops/nightly-7/events.jsonl".to_owned(),
        event_line_offset: offset,
        event_line_count: 15,
        updated_at: now(),
        log: None,
    }
}

/// [`pass_inputs`] over another snapshot.
pub(crate) fn pass_over(snapshot: Value) -> PassInputs {
    let mut inputs = pass_inputs();
    observation(&mut inputs).snapshot = snapshot;
    inputs
}

pub(crate) fn observation(inputs: &mut PassInputs) -> &mut Observation {
    inputs.ingest.as_mut().expect("a successful ingest")
}

/// [`pass_inputs`] that could not observe the loop.
pub(crate) fn failed_pass(code: FailureCode) -> PassInputs {
    PassInputs {
        ingest: Err(IngestFailure {
            code,
            message: "error: first\r\nsecond\n\n".to_owned(),
            events_ingested: 2,
        }),
        ..pass_inputs()
    }
}

/// What `commit` writes to the document `name`, as JSON.
pub(crate) fn written(commit: &Commit, name: &str) -> Option<Value> {
    let path = paths().state.with_file_name(name);
    let mut found = commit.documents.iter().filter(|write| write.path == path);
    let write = found.next()?;
    assert!(found.next().is_none(), "{name} is written once");
    assert_eq!(write.bytes.last(), Some(&b'\n'), "{name} ends its line");
    Some(json::parse(&write.bytes).expect("a document is JSON"))
}

/// The rows that `commit` appends to `name`, as JSON.
pub(crate) fn appended(commit: &Commit, name: &str) -> Vec<Value> {
    let path = paths().state.with_file_name(name);
    let rows = commit.rows.iter().filter(|row| row.path == path);
    rows.map(|row| {
        assert!(!row.bytes.contains(&b'\n'), "a row is one line");
        json::parse(&row.bytes).expect("a row is JSON")
    })
    .collect()
}
