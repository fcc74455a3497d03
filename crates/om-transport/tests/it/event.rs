//! Which lines are events, and the envelopes they make (chapter 01 §5.4–§5.5).

use om_model::envelope::{EventEnvelope, Source};
use om_model::{TraceId, json as text};
use om_transport::event::{EnvelopeContext, LineError, check, envelope};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{loop_id, now};

fn read(line: &[u8]) -> Result<EventEnvelope, LineError> {
    let source = Source {
        repo_path: "/srv/app".into(),
        loop_id: loop_id("ingest-docs"),
    };
    let context = EnvelopeContext {
        source: &source,
        trace_id: None,
        emitted_at: now(),
        line_count: 74,
    };
    envelope(line, 71, context)
}

fn name_of(line: &str) -> Option<String> {
    read(line.as_bytes()).ok().map(|e| e.event.name)
}

#[test]
fn the_envelope_of_the_chapters_example() {
    let line = r#"{"timestamp":"2033-01-05T09:09:41Z","event":"iteration_start","loop_id":"ingest-docs","run_id":"2033-01-05T09:00:00Z","iteration":4,"data":{"started_at":"2033-01-05T09:09:41Z"}}"#;
    let written = text::compact(&read(line.as_bytes()).expect("an event"));
    insta::assert_snapshot!(written);
}

#[test]
fn the_trace_id_is_copied() {
    let source = Source {
        repo_path: "/srv/app".into(),
        loop_id: loop_id("a"),
    };
    let trace = TraceId::new("tr-1");
    let context = EnvelopeContext {
        source: &source,
        trace_id: trace.as_ref(),
        emitted_at: now(),
        line_count: 1,
    };
    let envelope = envelope(br#"{"event":"x","timestamp":"t"}"#, 1, context);
    assert_eq!(envelope.expect("an event").trace_id, trace);
}

#[test]
fn the_name_is_event_or_else_type() {
    for (line, name) in [
        (r#"{"event":"a","type":"b","timestamp":"t"}"#, Some("a")),
        (r#"{"type":"b","timestamp":"t"}"#, Some("b")),
        (r#"{"event":null,"type":"b","timestamp":"t"}"#, Some("b")),
        (r#"{"event":false,"type":"b","timestamp":"t"}"#, Some("b")),
        (r#"{"event":"","type":"b","timestamp":"t"}"#, None),
        (r#"{"event":"a\n","timestamp":"t"}"#, Some("a")),
        (r#"{"event":0,"timestamp":"t"}"#, Some("0")),
        (r#"{"event":true,"timestamp":"t"}"#, Some("true")),
        (r#"{"event":["a"],"timestamp":"t"}"#, Some("[\"a\"]")),
        (r#"{"event":"a","event":"b","timestamp":"t"}"#, Some("b")),
        ("{\"event\":\"a\",\"timestamp\":\"t\"}\r", Some("a")),
        (" {\"event\":\"a\",\"timestamp\":\"t\"} ", Some("a")),
    ] {
        assert_eq!(name_of(line).as_deref(), name, "{line}");
        assert_eq!(check(line.as_bytes()).is_ok(), name.is_some(), "{line}");
    }
}

#[test]
fn what_is_not_an_event_and_why() {
    let malformed = |line: &[u8]| matches!(read(line), Err(LineError::Malformed(_)));
    for line in [
        &b"{"[..],
        b"{} x",
        b"nope",
        b"\0",
        b"{}{}",
        b"{\"event\":\"a\",\"timestamp\":\"t\"} {}",
        b"{\"event\":\"a\",\"timestamp\":\"t\",\"data\":\"\\ud800\"}",
    ] {
        assert!(malformed(line), "{}", line.escape_ascii());
    }
    for (line, error) in [
        (&b" "[..], LineError::MissingName),
        (b"\r", LineError::MissingName),
        (b"null", LineError::MissingName),
        (b"{}", LineError::MissingName),
        (br#"{"timestamp":"t"}"#, LineError::MissingName),
        (br#"{"event":"\n","timestamp":"t"}"#, LineError::MissingName),
        (br#"{"event":""}"#, LineError::MissingName),
        (br#"{"event":"a"}"#, LineError::MissingTimestamp),
        (
            br#"{"event":"a","timestamp":""}"#,
            LineError::MissingTimestamp,
        ),
        (
            br#"{"event":"a","timestamp":false}"#,
            LineError::MissingTimestamp,
        ),
        (b"[]", LineError::NotAnObject("an array")),
        (b"7", LineError::NotAnObject("a number")),
        (b"\"x\"", LineError::NotAnObject("a string")),
        (b"true", LineError::NotAnObject("a boolean")),
    ] {
        assert_eq!(
            read(line).err(),
            Some(error.clone()),
            "{}",
            line.escape_ascii()
        );
        assert_eq!(check(line), Err(error), "{}", line.escape_ascii());
    }
}

/// The members of an envelope that come from members of the record.
#[test]
fn every_member_of_the_record_finds_its_place() {
    for (member, value, place, expected) in [
        ("run_id", json!("r"), "/run/runId", json!("r")),
        ("run_id", json!(null), "/run/runId", json!("unknown")),
        ("run_id", json!(false), "/run/runId", json!("unknown")),
        ("run_id", json!(""), "/run/runId", json!("")),
        ("run_id", json!(12), "/run/runId", json!("12")),
        ("iteration", json!(4), "/run/iteration", json!(4)),
        ("iteration", json!("4"), "/run/iteration", json!(4)),
        ("iteration", json!(-1.5), "/run/iteration", json!(-1.5)),
        ("iteration", json!("0x10"), "/run/iteration", json!(0)),
        ("iteration", json!(true), "/run/iteration", json!(0)),
        ("iteration", json!({}), "/run/iteration", json!(0)),
        ("role", json!("coder"), "/event/role", json!("coder")),
        ("role", json!(""), "/event/role", json!(null)),
        ("role", json!(false), "/event/role", json!(null)),
        ("role", json!(1), "/event/role", json!("1")),
        ("status", json!("error"), "/event/status", json!("error")),
        ("status", json!(null), "/event/status", json!(null)),
        ("message", json!("m\n"), "/event/message", json!("m")),
        ("message", json!(["m"]), "/event/message", json!("[\"m\"]")),
        (
            "data",
            json!({"a": null}),
            "/event/payload",
            json!({"a": null}),
        ),
        ("data", json!(0), "/event/payload", json!(0)),
        ("data", json!(""), "/event/payload", json!("")),
        ("data", json!(null), "/event/payload", json!(null)),
        ("data", json!(false), "/event/payload", json!(null)),
        ("timestamp", json!(12), "/event/timestamp", json!("12")),
        (
            "timestamp",
            json!("not a date"),
            "/event/timestamp",
            json!("not a date"),
        ),
    ] {
        let mut record = json!({"event": "x", "timestamp": "t"});
        record[member] = value.clone();
        let envelope = read(text::compact(&record).as_bytes()).expect("an event");
        let written = text::to_value(&envelope);
        assert_eq!(written.pointer(place), Some(&expected), "{member}: {value}");
        assert_eq!(written.pointer("/event/raw"), Some(&record));
    }
}

#[test]
fn an_absent_member_reads_as_documented() {
    let envelope = read(br#"{"event":"x","timestamp":"t"}"#).expect("an event");
    assert_eq!(envelope.run.run_id, "unknown");
    assert_eq!(envelope.run.iteration.to_string(), "0");
    let event = envelope.event;
    assert_eq!(
        (event.role, event.status, event.message),
        (None, None, None)
    );
    assert_eq!(event.payload, None);
}

#[test]
fn both_speeds_agree_on_deep_nesting() {
    for depth in 1..300 {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let line = format!(r#"{{"event":"x","timestamp":"t","data":{nested}}}"#);
        let full = read(line.as_bytes()).is_ok();
        assert_eq!(check(line.as_bytes()).is_ok(), full, "depth {depth}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        "[\n\t\u{7f}\"\\\\u]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let name = prop_oneof![
            Just("$serde_json::private::Number".to_owned()),
            "[a-z]{1,3}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// An almost valid line: members in any order, repeated, of any type, then
/// bytes replaced.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => prop::sample::select(vec!["event", "type", "timestamp"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["ev\\u0065nt", "type\\n", "$serde_json::private::RawValue"])
            .prop_map(str::to_owned),
        1 => "[a-z]{1,3}",
    ];
    let value = prop_oneof![
        any_json().prop_map(|v| v.to_string()),
        prop::sample::select(vec![
            "\"x\"",
            "1e999",
            "01",
            "1.",
            "-",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\x\"",
            "nul",
            "",
        ])
        .prop_map(str::to_owned),
    ];
    let members = prop::collection::vec((name, value), 0..6);
    let noise = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (members, noise, any::<bool>()).prop_map(|(members, noise, noisy)| {
        let members: Vec<String> = members
            .iter()
            .map(|(n, v)| format!("\"{n}\":{v}"))
            .collect();
        let mut line = format!("{{{}}}", members.join(",")).into_bytes();
        if noisy {
            for (at, byte) in noise {
                let at = at.index(line.len());
                line[at] = byte;
            }
        }
        line
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn both_speeds_accept_the_same_lines(line in line()) {
        prop_assert_eq!(check(&line).err(), read(&line).err());
    }

    #[test]
    fn both_speeds_agree_on_any_bytes(line in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(check(&line).err(), read(&line).err());
    }
}
