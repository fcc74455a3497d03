//! What only a process of its own shows.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use serde_json::json;

use super::harness::{Repo, Service};

#[test]
fn the_repository_is_a_physical_path() {
    let repo = Repo::new();
    let elsewhere = Repo::empty();
    let link = elsewhere.file("link");
    symlink(repo.path(), &link).expect("linked");
    let link = link.display().to_string();
    let service = Service::start(&elsewhere, &["--repo", &link]);
    let (_, snapshot) = service.get("/ops/snapshot?loopId=nightly", "");
    let physical = repo.path().canonicalize().expect("there");
    assert_eq!(snapshot["source"]["repoPath"], json!(physical));
}

#[test]
fn the_environment_names_the_actor_and_the_trace() {
    let repo = Repo::new();
    let control = json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true});
    for (user, by) in [
        (Some("dana"), "dana"),
        (Some(""), ""),
        (None, "ops-service"),
    ] {
        let service = Service::start_with(&repo, &[], |command| {
            command.env("OPS_MANAGER_TRACE_ID", "t-env");
            if let Some(user) = user {
                command.env("USER", user);
            }
        });
        let (status, answer) = service.post(&control);
        assert_eq!((status, &answer["traceId"]), (200, &json!("t-env")));
        assert_eq!(answer["result"]["requestedBy"], by);
    }
}

#[test]
fn every_answer_leaves_a_line_on_stderr_and_no_secret() {
    let repo = Repo::new();
    let mut service = Service::start_with(&repo, &["--token", "s3cret"], |command| {
        command.env("RUST_LOG", "trace").stderr(Stdio::piped());
    });
    let authorized = "X-Ops-Token: s3cret\r\nX-Trace-Id: t-7\r\n";
    assert_eq!(
        service.get("/ops/snapshot?loopId=nightly", authorized).0,
        200
    );
    assert_eq!(
        service
            .get("/nowhere", "Authorization: Bearer s3cret\r\n")
            .0,
        404
    );
    let stderr = service.take_stderr();
    service.signal(rustix::process::Signal::TERM);
    let lines: Vec<String> = BufReader::new(stderr)
        .lines()
        .map(|line| line.expect("text"))
        .collect();
    assert_eq!(service.wait().code(), Some(0));
    let answers: Vec<&String> = lines
        .iter()
        .filter(|l| l.starts_with("127.0.0.1 - - ["))
        .collect();
    assert_eq!(answers.len(), 2, "{lines:?}");
    assert!(answers[0].contains("\"GET /ops/snapshot?loopId=nightly HTTP/1.0\" 200 "));
    assert!(answers[0].ends_with(" trace=t-7"));
    assert!(answers[1].contains("\"GET /nowhere HTTP/1.0\" 404 "));
    assert!(!lines.concat().contains("s3cret"));
}

#[test]
fn nobody_has_to_read_its_stderr() {
    let repo = Repo::new();
    let service = Service::start_with(&repo, &[], |command| {
        command.stderr(Stdio::piped());
    });
    // Far more lines than a pipe holds.
    let target = format!("/healthz?{}", "x".repeat(4_000));
    for _ in 0..100 {
        assert_eq!(service.get(&target, "").0, 200);
    }
}

#[test]
fn heartbeats_are_written_for_a_runtime_that_lives() {
    let repo = Repo::new();
    let active_run = json!({"pid": std::process::id(), "loop_id": "nightly"});
    std::fs::write(
        repo.file(".superloop/active-run.json"),
        active_run.to_string(),
    )
    .expect("written");
    let _service = Service::start(&repo, &["--heartbeat-interval-seconds", "1"]);
    let path = repo.file(".superloop/loops/nightly/heartbeat.v1.json");
    super::harness::wait_until("there is one", || path.exists());
}
