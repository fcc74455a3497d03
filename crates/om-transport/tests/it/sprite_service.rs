//! A loop observed through its sprite service (chapter 02 §2.4 step 2,
//! decision D25).

use std::path::PathBuf;

use om_model::envelope::CursorDocument;
use om_model::state::FailureCode;
use om_model::{Artifact, LoopId, TraceId, json};
use om_store::RepoLayout;
use om_transport::{
    EventsError, EventsRequest, Observe, ObserveStage, ObservedEvents, PollStart, SnapshotContext,
    SnapshotRequest, SpriteServiceTransport,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::server::{Reply, Server, refusing};
use crate::service_client::{client, settings, wait};
use crate::support::{loop_id, now};

fn transport(base_url: &str, loop_id: &LoopId) -> SpriteServiceTransport {
    let layout = RepoLayout::new(PathBuf::from("/srv/manager"));
    SpriteServiceTransport::new(client(settings(base_url)), &layout, loop_id)
}

fn snapshot_request() -> SnapshotRequest {
    SnapshotRequest {
        context: SnapshotContext {
            now: now(),
            trace_id: TraceId::new("tr-1"),
            run_id: None,
        },
        known: None,
    }
}

fn events_request(start: PollStart) -> EventsRequest {
    EventsRequest {
        now: now(),
        trace_id: TraceId::new("tr-1"),
        start,
        max_events: 0,
    }
}

/// A poll that is answered with `body`, from the beginning.
fn events(body: impl AsRef<[u8]>) -> Result<ObservedEvents, EventsError> {
    let server = Server::start([Reply::status(200, body)]);
    let mut transport = transport(&server.base_url(), &loop_id("nightly"));
    wait(Observe::events(
        &mut transport,
        &events_request(PollStart::Beginning),
    ))
}

/// Code, message and number of events of a failed poll.
fn failure(body: impl AsRef<[u8]>) -> (FailureCode, String, u64) {
    let failed = events(body).expect_err("fails");
    let code = failed.error.failure_code(ObserveStage::Events);
    (code, failed.error.failure_message(), failed.events_ingested)
}

fn envelope(line: u64) -> Value {
    json!({
        "schemaVersion": "v1",
        "envelopeType": "loop_run_event",
        "source": {"repoPath": "/srv/app", "loopId": "nightly"},
        "sequence": {"source": "cursor_event_line_offset", "value": line},
        "event": {"name": "iteration_start", "timestamp": "2031-04-02T10:00:00Z"},
    })
}

fn answer(events: &Value) -> Value {
    json!({
        "ok": true,
        "schemaVersion": "v1",
        "events": events,
        "cursor": {"eventLineOffset": 12, "eventLineCount": 15, "updatedAt": "x"},
    })
}

fn after(offset: &Value) -> PollStart {
    PollStart::Cursor {
        artifact: Artifact::Document(json!({ "eventLineOffset": offset })),
        path: PathBuf::from("cursor.json"),
    }
}

#[test]
fn a_snapshot_is_what_the_service_says() {
    let server = Server::start([Reply::status(200, r#"{"run":{"iteration":3.0},"new":1}"#)]);
    let mut transport = transport(&server.base_url(), &loop_id("nightly"));
    let snapshot = wait(transport.snapshot(&snapshot_request())).expect("observed");
    assert_eq!(snapshot, json!({"run": {"iteration": 3}, "new": 1}));
    let received = &server.received()[0];
    assert_eq!(
        received.head[0],
        "GET /ops/snapshot?loopId=nightly HTTP/1.1"
    );
    assert_eq!(received.header("x-trace-id"), ["tr-1"]);
}

#[test]
fn a_snapshot_that_is_no_object_is_a_soft_failure() {
    for (body, detail) in [
        ("[]", "it is an array, expected an object"),
        ("null", "it is null, expected an object"),
        ("", "it is empty"),
        ("{} {}", "more than one JSON document (line 1 column 4)"),
        ("<html>", "expected value at line 1 column 1"),
    ] {
        let server = Server::start([Reply::status(200, body)]);
        let mut transport = transport(&server.base_url(), &loop_id("nightly"));
        let error = wait(transport.snapshot(&snapshot_request())).expect_err("refused");
        assert_eq!(
            (
                error.failure_code(ObserveStage::Snapshot),
                error.failure_message()
            ),
            (
                FailureCode::ServiceResponseInvalid,
                format!("service /ops/snapshot response shape invalid: {detail}")
            )
        );
    }
}

#[test]
fn a_poll_always_asks_with_all_three_parameters() {
    for (id, start, max_events, query) in [
        (
            "nightly",
            PollStart::Beginning,
            0,
            "loopId=nightly&cursor=0&maxEvents=0",
        ),
        (
            "nightly",
            after(&json!(12)),
            7,
            "loopId=nightly&cursor=12&maxEvents=7",
        ),
        (
            "nightly",
            after(&json!("12")),
            0,
            "loopId=nightly&cursor=12&maxEvents=0",
        ),
        (
            "a&b=c d#e?%2f+ü",
            PollStart::Beginning,
            0,
            "loopId=a%26b%3Dc%20d%23e%3F%252f%2B%C3%BC&cursor=0&maxEvents=0",
        ),
        (
            "A-z_0.9~",
            PollStart::Beginning,
            0,
            "loopId=A-z_0.9~&cursor=0&maxEvents=0",
        ),
    ] {
        let server = Server::start([Reply::status(200, answer(&json!([])).to_string())]);
        let request = EventsRequest {
            max_events,
            ..events_request(start)
        };
        let mut transport = transport(&server.base_url(), &loop_id(id));
        wait(Observe::events(&mut transport, &request)).expect("observed");
        let expected = format!("GET /ops/events?{query} HTTP/1.1");
        assert_eq!(server.received()[0].head[0], expected);
    }
}

#[test]
fn snapshot_and_events_travel_over_one_connection() {
    let server = Server::start([
        Reply::status(200, "{}"),
        Reply::status(200, answer(&json!([])).to_string()),
    ]);
    let mut transport = transport(&server.base_url(), &loop_id("nightly"));
    wait(async {
        let seen = transport.snapshot(&snapshot_request()).await;
        seen.expect("observed");
        let polled = Observe::events(&mut transport, &events_request(PollStart::Beginning)).await;
        polled.expect("observed");
    });
    let connections: Vec<usize> = server.received().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0]);
}

#[test]
fn events_are_folded_and_the_last_one_is_kept_whole() {
    let mut last = envelope(12);
    last["event"]["raw"] = json!({"deep": [1, 2.5, "x"]});
    let observed = events(answer(&json!([envelope(10), envelope(11), last])).to_string());
    let observed = observed.expect("observed");
    let sequence = &observed.batch.sequence;
    assert_eq!(
        (sequence.count, sequence.first, sequence.last),
        (3, Some(10), Some(12))
    );
    assert!(!sequence.missing && !sequence.non_monotonic);
    assert_eq!(observed.batch.last, Some(last));
    let expected = CursorDocument {
        schema_version: om_model::envelope::SchemaVersion::V1,
        repo_path: "/srv/manager".to_owned(),
        loop_id: loop_id("nightly"),
        events_file: ".superloop/loops/nightly/events.jsonl".to_owned(),
        event_line_offset: 12,
        event_line_count: 15,
        updated_at: now(),
        log: None,
    };
    assert_eq!(observed.cursor, expected);
}

#[test]
fn a_sequence_is_read_from_a_number_or_a_text_of_digits() {
    for (value, read) in [
        (json!(5), Some(5)),
        (json!("5"), Some(5)),
        (json!("5x"), None),
        (json!(-5), None),
        (json!(null), None),
    ] {
        let mut event = envelope(1);
        event["sequence"]["value"] = value.clone();
        let observed = events(answer(&json!([event])).to_string()).expect("observed");
        assert_eq!(observed.batch.sequence.last, read, "{value}");
        assert_eq!(observed.batch.sequence.missing, read.is_none(), "{value}");
    }
}

#[test]
fn an_answer_of_another_shape_is_refused() {
    let changed = |member: &str, value: Value| {
        let mut document = answer(&json!([envelope(1)]));
        document[member] = value;
        document.to_string()
    };
    for body in [
        "[]".to_owned(),
        "null".to_owned(),
        "7".to_owned(),
        "<html>".to_owned(),
        "{}".to_owned(),
        "{} {}".to_owned(),
        format!("{} trailing", answer(&json!([]))),
        answer(&json!([])).to_string().replace("[]", "[}"),
        changed("ok", json!(false)),
        changed("ok", json!("true")),
        changed("ok", json!(1)),
        changed("ok", json!(null)),
        changed("events", json!({})),
        changed("events", json!("[]")),
        changed("events", json!(null)),
        changed("events", json!(3)),
        changed("cursor", json!([])),
        changed("cursor", json!(12)),
        changed("cursor", json!(null)),
    ] {
        assert_eq!(
            failure(&body),
            (
                FailureCode::ServiceResponseInvalid,
                "service /ops/events response shape invalid".to_owned(),
                0
            ),
            "{body}"
        );
    }
}

#[test]
fn a_cursor_without_line_numbers_is_refused_and_the_events_are_counted() {
    for (offset, count, usable) in [
        (json!(12), json!(15), true),
        (json!("12"), json!("15"), true),
        (json!(null), json!(false), true),
        (json!(12.0), json!(15), true),
        (json!(-1), json!(15), false),
        (json!(12), json!("fifteen"), false),
        (json!(12), json!([]), false),
        (json!(1.5), json!(15), false),
        (json!(""), json!(15), false),
    ] {
        let mut document = answer(&json!([envelope(11), envelope(12)]));
        document["cursor"] = json!({"eventLineOffset": offset, "eventLineCount": count});
        let body = document.to_string();
        if usable {
            events(&body).expect(&body);
        } else {
            assert_eq!(
                failure(&body),
                (
                    FailureCode::ServiceResponseInvalid,
                    "service cursor values are invalid".to_owned(),
                    2
                ),
                "{body}"
            );
        }
    }
}

#[test]
fn an_empty_answer_has_no_cursor() {
    for body in ["", " \n"] {
        let expected = "service cursor values are invalid".to_owned();
        assert_eq!(
            failure(body),
            (FailureCode::ServiceResponseInvalid, expected, 0)
        );
    }
}

#[test]
fn one_event_that_is_no_envelope_of_the_loop_fails_the_projection() {
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut event = envelope(11);
        change(&mut event);
        event
    };
    for (event, detail) in [
        (
            wrong(&|e| e["schemaVersion"] = json!("v2")),
            r#"schemaVersion is "v2", expected "v1""#,
        ),
        (
            wrong(&|e| e["envelopeType"] = json!("loop_run_snapshot")),
            r#"envelopeType is "loop_run_snapshot", expected "loop_run_event""#,
        ),
        (
            wrong(&|e| e["source"]["loopId"] = json!("other")),
            r#"source.loopId is "other", expected "nightly""#,
        ),
        (
            wrong(&|e| e["source"] = json!(7)),
            "source is a number, expected an object",
        ),
        (
            wrong(&|e| e["event"]["name"] = json!("")),
            "event.name is empty",
        ),
        (
            wrong(&|e| e["event"]["name"] = json!(null)),
            "event.name is missing",
        ),
        (json!({}), r#"schemaVersion is missing, expected "v1""#),
        (json!("text"), "document is a string, expected an object"),
    ] {
        for events in [json!([event, envelope(12)]), json!([envelope(10), event])] {
            assert_eq!(
                failure(answer(&events).to_string()),
                (
                    FailureCode::ProjectionFailed,
                    format!("error: event envelope is invalid or loop id mismatch: {detail}"),
                    2
                )
            );
        }
    }
}

#[test]
fn a_broken_cursor_fails_the_poll_before_the_service_is_asked() {
    let server = Server::start([Reply::status(200, answer(&json!([])).to_string())]);
    let mut transport = transport(&server.base_url(), &loop_id("nightly"));
    for artifact in [
        Artifact::parse(b"{"),
        Artifact::parse(b""),
        Artifact::Document(json!({"eventLineOffset": "x"})),
        Artifact::Document(json!([])),
    ] {
        let start = PollStart::Cursor {
            artifact,
            path: PathBuf::from("cursor.json"),
        };
        let failed = wait(Observe::events(&mut transport, &events_request(start)));
        let error = failed.expect_err("refused").error;
        let code = error.failure_code(ObserveStage::Events);
        assert_eq!(code, FailureCode::EventsUnavailable);
        assert!(error.failure_message().contains("cursor.json"), "{error}");
    }
    assert!(server.received().is_empty());
}

#[test]
fn an_unreachable_service_has_one_code_for_both_questions() {
    let base = format!("http://{}", refusing());
    let mut transport = transport(&base, &loop_id("nightly"));
    let error = wait(transport.snapshot(&snapshot_request())).expect_err("refused");
    let expected = format!("error: service request failed (method=GET url={base}/ops/snapshot");
    assert!(error.failure_message().starts_with(&expected), "{error}");
    let code = error.failure_code(ObserveStage::Snapshot);
    assert_eq!(code, FailureCode::ServiceRequestFailed);
    let failed = wait(Observe::events(
        &mut transport,
        &events_request(PollStart::Beginning),
    ));
    let failed = failed.expect_err("refused");
    let code = failed.error.failure_code(ObserveStage::Events);
    assert_eq!(
        (code, failed.events_ingested),
        (FailureCode::ServiceRequestFailed, 0)
    );
}

#[test]
fn members_may_come_in_any_order_and_the_last_of_a_name_counts() {
    let body = format!(
        r#"{{"cursor":7,"ok":false,"events":[{0},{0}],"x":[1e999],"ok":true,"cursor":{{"eventLineOffset":1,"eventLineCount":1}},"events":[{0}]}}"#,
        json::compact(&envelope(1))
    );
    let observed = events(body).expect("observed");
    assert_eq!(observed.batch.sequence.count, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_answer_breaks_the_client(body in "[\\[\\]{}\",:a-z0-9 okeventscursor]{0,80}") {
        // Whatever it is, it is a value or a failure with a code.
        let _ = events(body);
    }
}
