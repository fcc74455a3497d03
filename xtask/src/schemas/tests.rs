use om_model::LoopId;
use om_model::envelope::{
    ArtifactRef, ArtifactRefs, EnvelopeType, EventBody, EventEnvelope, EventRun, LineCursor,
    RunStatus, RuntimeDocuments, SchemaVersion, Sequence, SnapshotEnvelope, SnapshotHealth,
    SnapshotRun, Source,
};
use om_model::json::to_value;
use om_model::{Timestamp, TraceId};

use super::*;
use crate::config::violations;

fn source() -> Source {
    Source {
        repo_path: "/srv/app".to_owned(),
        loop_id: LoopId::new("ingest-docs").unwrap(),
    }
}

fn snapshot() -> Value {
    let artifact = || ArtifactRef {
        path: ".superloop/state.json".to_owned(),
        ..ArtifactRef::default()
    };
    to_value(&SnapshotEnvelope {
        schema_version: SchemaVersion::V1,
        envelope_type: EnvelopeType::LoopRunSnapshot,
        emitted_at: Timestamp::EPOCH,
        trace_id: None,
        source: source(),
        run: SnapshotRun {
            run_id: "2033-01-05T09:00:00Z".to_owned(),
            iteration: 3.into(),
            status: RunStatus::Running,
            summary: Some(json!({ "iteration": 3 })),
        },
        runtime: RuntimeDocuments::default(),
        artifacts: ArtifactRefs {
            events: artifact(),
            run_summary: artifact(),
            state: artifact(),
            active_run: artifact(),
            approval: artifact(),
            heartbeat: artifact(),
        },
        sequence: Sequence::line(71),
        cursor: LineCursor::default(),
        health: SnapshotHealth {
            event_count: 71,
            last_event_at: None,
            last_event_name: Some("iteration_end".to_owned()),
            last_summary_at: None,
            has_pending_approval: false,
            gates: Some(json!({
                "tests": "ok", "validation": "ok", "prerequisites": "ok", "checklist": "ok",
                "evidence": "ok", "lifecycle": "ok", "approval": "skipped",
            })),
            stuck: Some(json!({ "streak": 0, "threshold": 3 })),
        },
    })
}

fn event() -> Value {
    to_value(&EventEnvelope {
        schema_version: SchemaVersion::V1,
        envelope_type: EnvelopeType::LoopRunEvent,
        emitted_at: Timestamp::EPOCH,
        trace_id: TraceId::new("tr-77"),
        source: source(),
        sequence: Sequence::line(71),
        cursor: LineCursor::default(),
        run: EventRun {
            run_id: "unknown".to_owned(),
            iteration: 0.into(),
        },
        event: EventBody {
            timestamp: "2033-01-05T09:09:41Z".to_owned(),
            name: "iteration_start".to_owned(),
            role: None,
            status: None,
            message: None,
            payload: None,
            raw: json!({ "event": "iteration_start" }),
        },
    })
}

/// `document` with the value at `pointer` replaced, or added below its parent.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[name] = value;
    document
}

/// `document` without the member at `pointer`.
fn without(mut document: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let members = document.pointer_mut(parent).unwrap();
    members.as_object_mut().unwrap().remove(name).unwrap();
    document
}

fn accepted(instance: &Value) -> bool {
    violations(&contract::schema(), instance).is_empty()
}

#[test]
fn the_contract_accepts_what_the_envelope_types_write() {
    assert_eq!(violations(&contract::schema(), &snapshot()), [""; 0]);
    assert_eq!(violations(&contract::schema(), &event()), [""; 0]);
}

#[test]
fn the_contract_has_its_published_identity() {
    let schema = contract::schema();
    assert_eq!(
        schema["$id"],
        "https://superloop.sh/schemas/ops-manager-contract-v1.json"
    );
    assert_eq!(schema["title"], "OpsManagerContractV1");
    assert_eq!(schema["$schema"], shape::DRAFT);
}

#[test]
fn every_reference_of_the_contract_has_its_definition() {
    let mut schema = contract::schema();
    let definitions = schema["$defs"].clone();
    shape::visit(&mut schema, &mut |members| {
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let name = reference.strip_prefix("#/$defs/").unwrap();
            assert!(definitions.get(name).is_some(), "{reference}");
        }
    });
}

#[test]
fn members_that_older_writers_lack_are_optional() {
    for (document, pointer) in [
        (snapshot(), "/traceId"),
        (snapshot(), "/runtime/heartbeat"),
        (snapshot(), "/artifacts/heartbeat"),
        (snapshot(), "/health/gates/lifecycle"),
        (event(), "/traceId"),
    ] {
        assert!(accepted(&without(document, pointer)), "without {pointer}");
    }
}

#[test]
fn every_other_member_is_required() {
    for (document, pointers) in [
        (
            snapshot(),
            "/schemaVersion /envelopeType /emittedAt /source /source/repoPath /sequence/value \
             /run /run/summary /runtime/approval /artifacts/events /artifacts/state/sha256 \
             /cursor/eventLineCount /health/gates /health/gates/approval /health/stuck/streak \
             /health/lastEventAt",
        ),
        (
            event(),
            "/schemaVersion /sequence /cursor /run/runId /event /event/role /event/payload \
             /event/raw",
        ),
    ] {
        for pointer in pointers.split_whitespace() {
            let document = without(document.clone(), pointer);
            assert!(!accepted(&document), "without {pointer}");
        }
    }
}

#[test]
fn values_that_the_contract_promises_are_checked() {
    for (document, pointer, value) in [
        (snapshot(), "/schemaVersion", json!("v2")),
        (snapshot(), "/envelopeType", json!("loop_run_event")),
        (snapshot(), "/emittedAt", json!("yesterday")),
        (snapshot(), "/source/repoPath", json!("")),
        (snapshot(), "/source/loopId", json!("")),
        (snapshot(), "/run/runId", json!("")),
        (snapshot(), "/run/iteration", json!(-1)),
        (snapshot(), "/run/iteration", json!(1.5)),
        (snapshot(), "/run/status", json!("asleep")),
        (snapshot(), "/run/summary", json!("text")),
        (snapshot(), "/runtime/activeRun", json!(7)),
        (snapshot(), "/sequence/value", json!(-1)),
        (snapshot(), "/health/gates/tests", json!(true)),
        (snapshot(), "/health/stuck/streak", json!(-1)),
        (event(), "/event/timestamp", json!("")),
        (event(), "/event/name", json!("")),
        (event(), "/event/payload", json!([1])),
        (event(), "/event/raw", json!(null)),
        (event(), "/run/iteration", json!("3")),
    ] {
        let changed = with(document, pointer, value.clone());
        assert!(!accepted(&changed), "{pointer} = {value}");
    }
}

#[test]
fn only_what_is_passed_through_may_have_unnamed_members() {
    for (document, pointer, open) in [
        (snapshot(), "/extra", false),
        (snapshot(), "/source/extra", false),
        (snapshot(), "/run/extra", false),
        (snapshot(), "/run/summary/extra", true),
        (snapshot(), "/runtime/extra", false),
        (snapshot(), "/artifacts/events/extra", false),
        (snapshot(), "/health/gates/extra", false),
        (event(), "/event/extra", false),
        (event(), "/event/raw/extra", true),
    ] {
        let extended = with(document, pointer, json!("x"));
        assert_eq!(accepted(&extended), open, "{pointer}");
    }
}

#[test]
fn every_schema_is_a_valid_schema() {
    for (name, text) in files() {
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert_eq!(schema["$schema"], shape::DRAFT, "{name}");
        assert!(schema["description"].is_string(), "{name}");
    }
}

#[test]
fn the_api_is_described_for_people_too() {
    let api = service_api();
    assert_eq!(api["openapi"], "3.1.0");
    let text = api.to_string();
    assert!(!text.contains("[`"), "no links of Rust");
    assert!(!text.contains("uint64"), "no types of Rust");
}

#[test]
fn generating_twice_gives_the_same_bytes() {
    assert_eq!(files(), files());
}
