//! The snapshot's decisions, row by row (chapter 01 §4.3–§4.5).

use std::path::Path;

use om_model::Artifact;
use om_model::envelope::RunStatus::{
    self, AwaitingApproval, Complete, Failed, Idle, Running, Stopped, Unknown,
};
use om_model::envelope::{ArtifactRef, SnapshotEnvelope, Source};
use om_model::json as text;
use om_transport::snapshot::{
    EventsFile, FAILURE_STATUSES, RuntimeFile, STOP_EVENTS, SnapshotError, SnapshotInputs, evaluate,
};
use serde_json::{Value, json};

use crate::support::{loop_id, snapshot_request};

fn runtime_file(path: &str) -> RuntimeFile {
    RuntimeFile {
        path: Path::new("/r").join(path),
        reference: ArtifactRef {
            path: path.to_owned(),
            ..ArtifactRef::default()
        },
        artifact: Artifact::Absent,
    }
}

/// A loop of which nothing is known.
fn nothing() -> SnapshotInputs {
    SnapshotInputs {
        source: Source {
            repo_path: "/r".into(),
            loop_id: loop_id("a"),
        },
        events: EventsFile {
            path: "/r/events.jsonl".into(),
            reference: ArtifactRef::default(),
            last_line: None,
        },
        state: runtime_file("state.json"),
        active_run: runtime_file("active-run.json"),
        approval: runtime_file("approval.json"),
        run_summary: runtime_file("run-summary.json"),
        heartbeat: runtime_file("heartbeat.v1.json"),
    }
}

const LAST_LINE: u64 = 7;

fn with_last_line(line: &str) -> SnapshotInputs {
    let mut inputs = nothing();
    inputs.events.reference.line_count = LAST_LINE;
    inputs.events.last_line = Some(line.as_bytes().to_vec());
    inputs
}

/// `state`, `approval`, last summary `entry` and last `event`; null: absent.
fn inputs(state: Value, approval: Value, entry: &Value, event: &Value) -> SnapshotInputs {
    let mut inputs = with_last_line(&event.to_string());
    inputs.state.artifact = Artifact::Document(state);
    inputs.approval.artifact = Artifact::Document(approval);
    inputs.run_summary.artifact = Artifact::Document(json!({"entries": [entry]}));
    inputs
}

fn snapshot(inputs: &SnapshotInputs) -> Result<SnapshotEnvelope, SnapshotError> {
    evaluate(inputs, &snapshot_request(None).context)
}

fn status(inputs: &SnapshotInputs) -> RunStatus {
    snapshot(inputs).expect("a snapshot").run.status
}

fn failure(inputs: &SnapshotInputs) -> String {
    snapshot(inputs).expect_err("no snapshot").to_string()
}

/// What is known of the loop, and the status that follows: row of the table
/// and why, state, approval, last summary entry, last event, status.
#[rustfmt::skip]
const STATUS_TABLE: [(&str, &str, &str, &str, &str, RunStatus); 24] = [
    ("1: outranks all", ACTIVE, PENDING, DONE, STOP, AwaitingApproval),
    ("1: exactly this status", ACTIVE, r#"{"status":"PENDING"}"#, "null", "null", Running),
    ("1: already decided", "null", r#"{"status":"approved"}"#, "null", "null", Unknown),
    ("1: without a status", "null", "{}", "null", "null", Unknown),
    ("1: not a text", "null", r#"{"status":["pending"]}"#, "null", "null", Unknown),
    ("2: outranks running", ACTIVE, "null", DONE, STOP, Complete),
    ("2: the boolean only", ACTIVE, "null", r#"{"completion_ok":"true"}"#, "null", Running),
    ("3: outranks stopped", ACTIVE, "null", UNDONE, STOP, Running),
    ("3: another loop, stopped", ACTIVE_OTHER, "null", UNDONE, STOP, Stopped),
    ("3: another loop is never idle", ACTIVE_OTHER, "null", UNDONE, "null", Unknown),
    ("3: a text is neither 3 nor 6", r#"{"active":"true","current_loop_id":"a"}"#, "null", UNDONE, "null", Unknown),
    ("4: outranks failed", INACTIVE, "null", UNDONE, r#"{"event":"no_progress_stop","status":"blocked"}"#, Stopped),
    ("4: by type", INACTIVE, "null", UNDONE, r#"{"type":"rate_limit_stop"}"#, Stopped),
    ("4: an empty event hides type", "null", "null", "null", r#"{"event":"","type":"loop_stop"}"#, Unknown),
    ("5: outranks idle", INACTIVE, "null", UNDONE, ERROR, Failed),
    ("5: without a state", "null", "null", "null", ERROR, Failed),
    ("6: inactive", INACTIVE, "null", UNDONE, "null", Idle),
    ("6: active is missing", "{}", "null", UNDONE, "null", Idle),
    ("6: active is null", r#"{"active":null}"#, "null", UNDONE, "null", Idle),
    ("6: another loop's state counts", r#"{"active":false,"current_loop_id":"b"}"#, "null", UNDONE, "null", Idle),
    ("6: after a decision", INACTIVE, "null", UNDONE, r#"{"event":"approval_decision","status":"approved"}"#, Idle),
    ("7: no summary", INACTIVE, "null", "null", "null", Unknown),
    ("7: no state is never idle", "null", "null", UNDONE, "null", Unknown),
    ("7: nothing", "null", "null", "null", "null", Unknown),
];

const ACTIVE: &str = r#"{"active":true,"current_loop_id":"a"}"#;
const ACTIVE_OTHER: &str = r#"{"active":true,"current_loop_id":"b"}"#;
const INACTIVE: &str = r#"{"active":false,"current_loop_id":"a"}"#;
const PENDING: &str = r#"{"status":"pending"}"#;
const DONE: &str = r#"{"completion_ok":true}"#;
const UNDONE: &str = r#"{"completion_ok":false}"#;
const STOP: &str = r#"{"event":"loop_stop"}"#;
const ERROR: &str = r#"{"event":"role_end","status":"error"}"#;

#[test]
fn the_status_table_row_by_row() {
    for (row, state, approval, entry, event, expected) in STATUS_TABLE {
        let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let inputs = inputs(value(state), value(approval), &value(entry), &value(event));
        let envelope = snapshot(&inputs).expect("a snapshot");
        assert_eq!(envelope.run.status, expected, "{row}");
        let pending = envelope.health.has_pending_approval;
        assert_eq!(pending, expected == AwaitingApproval, "{row}");
    }
}

#[test]
fn every_stop_event_stops_and_every_failure_status_fails() {
    for name in STOP_EVENTS {
        let event = json!({"event": name});
        assert_eq!(
            status(&with_last_line(&event.to_string())),
            Stopped,
            "{name}"
        );
    }
    for name in FAILURE_STATUSES {
        let event = json!({"event": "x", "status": name});
        assert_eq!(
            status(&with_last_line(&event.to_string())),
            Failed,
            "{name}"
        );
    }
    for name in ["approved", "rejected", "ok", "Error"] {
        let event = json!({"event": "x", "status": name});
        assert_eq!(
            status(&with_last_line(&event.to_string())),
            Unknown,
            "{name}"
        );
    }
}

#[test]
fn the_run_id_is_the_first_that_says_something() {
    for (entry, event, expected) in [
        (json!("e"), json!("l"), "e"),
        (json!(null), json!("l"), "l"),
        (json!(false), json!("l"), "l"),
        (json!(""), json!("l"), "l"),
        (json!(0), json!("l"), "l"),
        (json!([]), json!("l"), "l"),
        (json!({}), json!("l"), "l"),
        (json!(12), json!("l"), "12"),
        (json!(["x"]), json!("l"), "[\"x\"]"),
        (json!(null), json!(null), "unknown"),
        (json!(""), json!(""), "unknown"),
    ] {
        let inputs = inputs(
            json!(null),
            json!(null),
            &json!({"run_id": entry}),
            &json!({"run_id": event}),
        );
        let run_id = snapshot(&inputs).expect("a snapshot").run.run_id;
        assert_eq!(run_id, expected, "{entry} {event}");
    }
}

#[test]
fn a_given_run_id_overrides_unless_it_is_empty() {
    let inputs = inputs(
        json!(null),
        json!(null),
        &json!({"run_id": "e"}),
        &json!(null),
    );
    for (given, expected) in [("mine", "mine"), ("", "e")] {
        let mut context = snapshot_request(None).context;
        context.run_id = Some(given.to_owned());
        let envelope = evaluate(&inputs, &context).expect("a snapshot");
        assert_eq!(envelope.run.run_id, expected);
    }
}

#[test]
fn a_run_id_that_is_true_fails() {
    let entry = inputs(
        json!(null),
        json!(null),
        &json!({"run_id": true}),
        &json!(null),
    );
    assert_eq!(
        failure(&entry),
        "/r/run-summary.json: run_id of the last entry is a boolean, expected a string"
    );
    let event = with_last_line(r#"{"run_id":true}"#);
    assert_eq!(
        failure(&event),
        "/r/events.jsonl: run_id of the last line is a boolean, expected a string"
    );
}

#[test]
fn the_iteration_is_the_summarys_then_the_events_then_the_states() {
    for (entry, event, state, expected) in [
        (json!(3), json!(4), json!(5), "3"),
        (json!(0), json!(4), json!(5), "0"),
        (json!(null), json!(4), json!(5), "4"),
        (json!(false), json!(null), json!(5), "5"),
        (json!(null), json!(null), json!(null), "0"),
        (json!("7"), json!(4), json!(5), "7"),
        (json!(" -2.5e1 "), json!(4), json!(5), "-25"),
        (json!("x"), json!(4), json!(5), "0"),
        (json!(1.5), json!(4), json!(5), "1.5"),
        (json!(true), json!(4), json!(5), "0"),
        (json!({}), json!(4), json!(5), "0"),
        (json!("0x10"), json!(4), json!(5), "0"),
    ] {
        let inputs = inputs(
            json!({"iteration": state}),
            json!(null),
            &json!({"iteration": entry}),
            &json!({"iteration": event}),
        );
        let iteration = snapshot(&inputs).expect("a snapshot").run.iteration;
        assert_eq!(iteration.to_string(), expected, "{entry} {event} {state}");
    }
}

#[test]
fn the_last_line_decides_or_fails() {
    for line in ["null", r#"{"event":"x"}"#, " {} "] {
        assert!(snapshot(&with_last_line(line)).is_ok(), "{line}");
    }
    for line in ["{", "nope", "", " ", "\r", "{} {}", "1 2", "\0"] {
        let said = failure(&with_last_line(line));
        let expected = "invalid JSON in final events line: /r/events.jsonl: line 7: ";
        assert!(said.starts_with(expected), "{line:?}: {said}");
    }
    for (line, found) in [
        ("7", "a number"),
        ("\"x\"", "a string"),
        ("true", "a boolean"),
        ("[]", "an array"),
    ] {
        let expected = format!("/r/events.jsonl: line 7 is {found}, expected an object");
        assert_eq!(failure(&with_last_line(line)), expected);
    }
}

type Slot = fn(&mut SnapshotInputs) -> &mut RuntimeFile;

/// The five documents in the order in which they are checked, and whether
/// another type than an object fails.
const DOCUMENTS: [(&str, Slot, bool); 5] = [
    ("state.json", |i| &mut i.state, true),
    ("active-run.json", |i| &mut i.active_run, false),
    ("approval.json", |i| &mut i.approval, true),
    ("run-summary.json", |i| &mut i.run_summary, true),
    ("heartbeat.v1.json", |i| &mut i.heartbeat, false),
];

#[test]
fn each_document_in_each_condition() {
    for (name, slot, object_only) in DOCUMENTS {
        let with = |content: &str| {
            let mut inputs = nothing();
            slot(&mut inputs).artifact = Artifact::parse(content.as_bytes());
            inputs
        };
        for good in ["null", "{}"] {
            assert!(snapshot(&with(good)).is_ok(), "{name} {good}");
        }
        for (bad, detail) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{} {}", "more than one JSON document (line 1 column 4)"),
        ] {
            let expected = format!("invalid JSON in /r/{name}: {detail}");
            assert_eq!(failure(&with(bad)), expected);
        }
        for (other, found) in [
            ("[]", "an array"),
            ("7", "a number"),
            ("false", "a boolean"),
            ("\"x\"", "a string"),
        ] {
            if object_only {
                let expected = format!("/r/{name}: document is {found}, expected an object");
                assert_eq!(failure(&with(other)), expected);
            } else {
                assert!(snapshot(&with(other)).is_ok(), "{name} {other}");
            }
        }
    }
}

#[test]
fn the_first_broken_document_in_the_chapters_order_is_reported() {
    let mut inputs = with_last_line("{");
    for (_, slot, _) in DOCUMENTS {
        slot(&mut inputs).artifact = Artifact::parse(b"{");
    }
    assert!(failure(&inputs).contains("final events line"));
    inputs.events.last_line = None;
    for (name, slot, _) in DOCUMENTS {
        assert!(failure(&inputs).contains(name), "{name}");
        slot(&mut inputs).artifact = Artifact::Absent;
    }
    assert!(snapshot(&inputs).is_ok());
}

#[test]
fn broken_json_is_reported_before_a_wrong_type() {
    let mut inputs = nothing();
    inputs.approval.artifact = Artifact::parse(b"[]");
    inputs.heartbeat.artifact = Artifact::parse(b"{");
    assert!(failure(&inputs).contains("heartbeat.v1.json"));
}

#[test]
fn a_state_of_another_type_is_copied_when_nothing_needs_it() {
    for (approval, entry) in [
        (json!({"status": "pending"}), json!({"iteration": 1})),
        (json!(null), json!({"iteration": 1, "completion_ok": true})),
    ] {
        let inputs = inputs(json!("odd"), approval, &entry, &json!(null));
        let envelope = snapshot(&inputs).expect("a snapshot");
        assert_eq!(envelope.runtime.superloop_state, Some(json!("odd")));
    }
    let without_iteration = inputs(
        json!("odd"),
        json!({"status": "pending"}),
        &json!({}),
        &json!({}),
    );
    assert_eq!(
        failure(&without_iteration),
        "/r/state.json: document is a string, expected an object"
    );
}

#[test]
fn the_entry_is_the_last_element_of_entries() {
    let summary = |document: Value| {
        let mut inputs = nothing();
        inputs.run_summary.artifact = Artifact::Document(document);
        inputs
    };
    for (document, expected) in [
        (json!(null), None),
        (json!({}), None),
        (json!({"entries": null}), None),
        (json!({"entries": []}), None),
        (json!({"entries": [{"n": 1}, null]}), None),
        (json!({"entries": [{"n": 1}, false]}), None),
        (
            json!({"entries": [{"n": 1}, {"n": 2}]}),
            Some(json!({"n": 2})),
        ),
    ] {
        let envelope = snapshot(&summary(document.clone())).expect("a snapshot");
        assert_eq!(envelope.run.summary, expected, "{document}");
    }
    for (document, detail) in [
        (
            json!({"entries": {}}),
            "entries is an object, expected an array",
        ),
        (
            json!({"entries": "x"}),
            "entries is a string, expected an array",
        ),
        (
            json!({"entries": 1}),
            "entries is a number, expected an array",
        ),
        (
            json!({"entries": false}),
            "entries is a boolean, expected an array",
        ),
        (
            json!({"entries": [1, "x"]}),
            "entries[1] is a string, expected an object",
        ),
        (
            json!({"entries": [7]}),
            "entries[0] is a number, expected an object",
        ),
        (
            json!({"entries": [true]}),
            "entries[0] is a boolean, expected an object",
        ),
    ] {
        let expected = format!("/r/run-summary.json: {detail}");
        assert_eq!(failure(&summary(document)), expected);
    }
}

#[test]
fn health_repeats_the_log_and_the_summary() {
    let entry = json!({"gates": {"tests": "ok"}, "stuck": {"streak": 1}, "ended_at": "e"});
    let event = json!({"event": "x", "timestamp": "not a date"});
    let mut full = inputs(json!(null), json!(null), &entry, &event);
    let health = snapshot(&full).expect("a snapshot").health;
    assert_eq!(health.event_count, LAST_LINE);
    assert_eq!(health.last_event_at.as_deref(), Some("not a date"));
    assert_eq!(health.last_event_name.as_deref(), Some("x"));
    assert_eq!(health.last_summary_at.as_deref(), Some("e"));
    assert_eq!(health.gates, Some(json!({"tests": "ok"})));
    assert_eq!(health.stuck, Some(json!({"streak": 1})));

    let document = json!({"updated_at": "u", "entries": [entry]});
    full.run_summary.artifact = Artifact::Document(document);
    let health = snapshot(&full).expect("a snapshot").health;
    assert_eq!(health.last_summary_at.as_deref(), Some("u"));
}

#[test]
fn health_members_without_a_value_are_null() {
    for record in [
        json!({}),
        json!({"gates": false, "stuck": null, "ended_at": "", "event": "", "timestamp": false}),
    ] {
        let inputs = inputs(json!(null), json!(null), &record, &record);
        let health = text::to_value(&snapshot(&inputs).expect("a snapshot").health);
        for member in [
            "lastEventAt",
            "lastEventName",
            "lastSummaryAt",
            "gates",
            "stuck",
        ] {
            assert_eq!(
                health.get(member),
                Some(&json!(null)),
                "{member} of {record}"
            );
        }
    }
}

#[test]
fn unknown_runtime_members_are_copied_in_their_order() {
    let mut inputs = nothing();
    inputs.active_run.artifact = Artifact::parse(br#"{"z":1.0,"a":[2],"z2":null}"#);
    let envelope = snapshot(&inputs).expect("a snapshot");
    let written = text::compact(&envelope.runtime.active_run);
    assert_eq!(written, r#"{"z":1,"a":[2],"z2":null}"#);
}

#[test]
fn the_smallest_snapshot_has_every_member() {
    let written = text::pretty(&snapshot(&nothing()).expect("a snapshot"));
    insta::assert_snapshot!(written);
}
