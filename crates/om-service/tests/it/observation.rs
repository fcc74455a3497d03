//! Snapshots and events over HTTP are those of the local transport.

use std::fs;

use om_model::service::EventsResponse;
use om_model::{LoopId, Timestamp, TraceId, json};
use om_store::RepoLayout;
use om_transport::{LocalTransport, SnapshotContext, SnapshotRequest};
use serde_json::{Value, json};

use crate::support::{Repo, Server, event};

/// What the local transport says, as the service would.
fn local_snapshot(repo: &Repo, trace_id: Option<&str>) -> Value {
    let physical = repo.path().canonicalize().expect("there");
    let layout = RepoLayout::new(physical);
    let loop_id = LoopId::new("nightly").expect("good");
    let request = SnapshotRequest {
        context: SnapshotContext {
            now: Timestamp::EPOCH,
            trace_id: trace_id.and_then(TraceId::new),
            run_id: None,
        },
        known: None,
    };
    let snapshot = LocalTransport::new(&layout, &loop_id).snapshot(&request);
    json::to_value(&snapshot.expect("observed"))
}

fn without_time(mut snapshot: Value) -> Value {
    assert!(snapshot["emittedAt"].is_string());
    snapshot["emittedAt"] = json!("1970-01-01T00:00:00Z");
    snapshot
}

#[test]
fn a_snapshot_is_the_local_one() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for round in 0..3 {
        fs::write(
            repo.runtime("approval.json"),
            json!({"status": round}).to_string(),
        )
        .expect("written");
        let answer = server.get("/ops/snapshot?loopId=nightly");
        assert_eq!(answer.status, 200);
        assert_eq!(without_time(answer.json()), local_snapshot(&repo, None));
    }
}

#[test]
fn a_snapshot_carries_the_trace_of_its_request() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for trace_id in ["t-1", "t-2"] {
        let header = format!("X-Trace-Id:  {trace_id} ");
        let answer = server.send("GET", "/ops/snapshot?loopId=nightly", &[&header], b"");
        let expected = local_snapshot(&repo, Some(trace_id));
        assert_eq!(without_time(answer.json()), expected);
    }
}

#[test]
fn what_is_not_ascii_is_escaped_and_keeps_its_value() {
    let repo = Repo::new();
    let state = json!({"active": false, "note": "grüße 🦀 \u{7f}"});
    fs::write(repo.file(".superloop/state.json"), state.to_string()).expect("written");
    let server = Server::start(&repo);
    let answer = server.get("/ops/snapshot?loopId=nightly");
    assert!(answer.body.is_ascii());
    assert_eq!(answer.json()["runtime"]["superloopState"], state);
}

#[test]
fn events_come_in_pages() {
    let repo = Repo::new();
    repo.write_log(1..=200);
    let server = Server::start(&repo);
    let mut cursor = 0;
    let mut seen = Vec::new();
    loop {
        let target = format!("/ops/events?loopId=nightly&cursor={cursor}&maxEvents=33");
        let answer = server.get(&target);
        let page: EventsResponse = serde_json::from_slice(&answer.body).expect("a page");
        assert_eq!(page.cursor.event_line_count, 200);
        assert!(page.cursor.event_line_offset <= cursor + 33);
        if page.events.is_empty() {
            break;
        }
        cursor = page.cursor.event_line_offset;
        seen.extend(page.events.iter().map(|event| event.sequence.value));
    }
    assert_eq!((cursor, seen), (200, (1..=200).collect()));
}

#[test]
fn a_poll_names_its_source_and_its_trace() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let target = "/ops/events?loopId=nightly&cursor=2";
    let body = server.send("GET", target, &["X-Trace-Id: t"], b"").json();
    let physical = repo.path().canonicalize().expect("there");
    assert_eq!(
        body["source"],
        json!({"repoPath": physical, "loopId": "nightly"})
    );
    assert_eq!(
        (&body["ok"], &body["schemaVersion"]),
        (&json!(true), &json!("v1"))
    );
    assert_eq!(
        (&body["traceId"], &body["events"][0]["traceId"]),
        (&json!("t"), &json!("t"))
    );
    let body = server.get(target).json();
    assert_eq!(body.get("traceId"), None);
    assert_eq!(body["events"][0]["traceId"], Value::Null);
    assert_eq!(
        body["events"][0]["event"]["raw"],
        serde_json::from_str::<Value>(&event(3)).expect("JSON")
    );
}

#[test]
fn a_line_without_its_newline_is_not_there_yet() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    repo.append_log(&event(4));
    let body = server.get("/ops/events?loopId=nightly&cursor=3").json();
    assert_eq!(
        (&body["events"], &body["cursor"]["eventLineCount"]),
        (&json!([]), &json!(3))
    );
    repo.append_log("\n");
    let body = server.get("/ops/events?loopId=nightly&cursor=3").json();
    assert_eq!(body["cursor"]["eventLineOffset"], 4);
}

#[test]
fn what_cannot_be_observed_is_told_in_the_stages_words() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let physical = repo.path().canonicalize().expect("there");
    let at = |name: &str| {
        physical
            .join(".superloop/loops")
            .join(name)
            .display()
            .to_string()
    };
    for (target, message) in [
        (
            "/ops/snapshot?loopId=other",
            format!("error: required artifact root missing: {}", at("other")),
        ),
        (
            "/ops/events?loopId=other",
            format!("error: required artifact root missing: {}", at("other")),
        ),
        (
            "/ops/events?loopId=nightly&cursor=4",
            "error: cursor offset (4) exceeds available events (3); reset cursor or use \
             --from-start"
                .to_owned(),
        ),
    ] {
        let answer = server.get(target);
        assert_eq!(answer.error(), (502, "runtime_error".into()), "{target}");
        assert_eq!(answer.message(), message);
    }
    repo.append_log("{\"no\":\"event\"}\n");
    let answer = server.get("/ops/events?loopId=nightly&cursor=1");
    assert_eq!(answer.status, 502);
    let expected = format!(
        "error: missing event name at line 4 in {}",
        at("nightly/events.jsonl")
    );
    assert_eq!(answer.message(), expected);
    let empty = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(empty.path().join("x")).expect("created");
    fs::remove_file(repo.runtime("events.jsonl")).expect("removed");
    let expected = format!(
        "error: required artifact missing: {}",
        at("nightly/events.jsonl")
    );
    for target in ["/ops/snapshot?loopId=nightly", "/ops/events?loopId=nightly"] {
        assert_eq!(server.get(target).message(), expected);
    }
}

#[test]
fn reading_leaves_nothing_behind() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    server.get("/ops/snapshot?loopId=nightly");
    server.get("/ops/events?loopId=nightly");
    assert!(!repo.file(".superloop/ops-manager").exists());
    let names: Vec<_> = fs::read_dir(repo.runtime(""))
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["events.jsonl"]);
}

#[test]
fn a_repository_may_be_empty() {
    let repo = Repo::new();
    fs::remove_dir_all(repo.file(".superloop")).expect("removed");
    let server = Server::start(&repo);
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.get("/ops/snapshot?loopId=nightly").status, 502);
}
