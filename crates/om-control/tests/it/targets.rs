//! `cancel` hits its target or nothing (decision D23).

use std::time::Duration;

use om_control::target::{Found, Objection, mismatch};
use om_control::{Transport, run};
use om_model::control::{ControlReasonCode, ControlStatus, Intent};
use om_model::json;
use om_store::LoopFile;
use serde_json::json;

use crate::support::{Repo, TestClock, loop_id};

#[test]
fn another_loop_is_whatever_the_runtimes_documents_name() {
    let absent = "";
    for (active_run, state, other) in [
        (absent, absent, None),
        (r#"{"loop_id":"nightly"}"#, absent, None),
        (r#"{"loop_id":"other"}"#, absent, Some("active-run.json")),
        (r#"{"loop_id":7}"#, absent, Some("active-run.json")),
        (r#"{"loop_id":null}"#, absent, None),
        (r#"{"loop_id":""}"#, absent, None),
        (
            absent,
            r#"{"active":true,"current_loop_id":"nightly"}"#,
            None,
        ),
        (
            absent,
            r#"{"active":true,"current_loop_id":"other"}"#,
            Some("state.json"),
        ),
        (
            absent,
            r#"{"active":false,"current_loop_id":"other"}"#,
            None,
        ),
        (absent, r#"{"current_loop_id":"other"}"#, None),
        (absent, r#"{"active":true,"current_loop_id":""}"#, None),
        (
            r#"{"loop_id":"nightly"}"#,
            r#"{"active":true,"current_loop_id":"other"}"#,
            Some("state.json"),
        ),
        (
            absent,
            r#"{"active":"true","current_loop_id":"other"}"#,
            Some("state.json"),
        ),
        (
            absent,
            r#"{"active":"false","current_loop_id":"other"}"#,
            None,
        ),
    ] {
        let found = mismatch(&loop_id(), &found(active_run), &found(state));
        let file = found
            .as_ref()
            .map(|found| found.file.trim_start_matches(".superloop/"));
        assert_eq!(file, other, "{active_run} {state}");
    }
}

fn found(text: &str) -> Found {
    match json::parse(text.as_bytes()) {
        Ok(document) => Found::Document(document),
        Err(_) if text.is_empty() => Found::Absent,
        Err(cause) => Found::Unreadable(cause.to_string()),
    }
}

#[test]
fn a_document_that_cannot_be_read_may_name_any_loop() {
    let here = r#"{"loop_id":"nightly"}"#;
    let other = r#"{"active":true,"current_loop_id":"other"}"#;
    for (active_run, state, file) in [
        ("{", "", "active-run.json"),
        ("[]", "", "active-run.json"),
        ("null", "", "active-run.json"),
        (here, " ", "state.json"),
        (here, "{} {}", "state.json"),
        ("{", "{", "active-run.json"),
    ] {
        let found = mismatch(&loop_id(), &found(active_run), &found(state)).expect("objects");
        assert!(found.file.ends_with(file), "{found}");
        assert!(
            matches!(found.objection, Objection::Unreadable(_)),
            "{found}"
        );
    }
    // Whoever can be named is named.
    let found = mismatch(&loop_id(), &found("{"), &found(other)).expect("objects");
    assert_eq!(found.objection, Objection::OtherLoop("other".to_owned()));
}

/// A runtime that tells by a file that it was started.
const STARTED: &str = "touch \"$repo/started\"";

fn repo_with_another_loop() -> Repo {
    let repo = Repo::new();
    repo.superloop("active-run.json", r#"{"pid":1,"loop_id":"other"}"#);
    repo
}

#[test]
fn a_cancel_that_would_hit_another_loop_is_refused_and_recorded() {
    let repo = repo_with_another_loop();
    let outcome = repo.control(Intent::Cancel, &repo.runtime(STARTED));
    assert!(!repo.path().join("started").exists());
    assert_eq!(outcome.exit_code(), 1);
    assert_eq!(outcome.row.status, ControlStatus::FailedCommand);
    assert_eq!(
        outcome.row.reason_code,
        Some(ControlReasonCode::ControlTargetMismatch)
    );
    let said = outcome.row.command_output.expect("says why");
    for part in ["\"other\"", "\"nightly\"", "--force-target"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("LoopId"), "{said}");
    let control = repo.rows(LoopFile::ControlRows).pop().expect("a row");
    assert_eq!(control["reasonCode"], "control_target_mismatch");
    let invocation = repo
        .rows(LoopFile::ControlInvocations)
        .pop()
        .expect("a row");
    assert_eq!(
        invocation["outcome"]["reasonCode"],
        "control_target_mismatch"
    );
    assert_eq!(
        invocation["confirmation"],
        json!({"attempted": false, "status": "not_attempted", "exitCode": 0})
    );
}

#[test]
fn a_cancel_is_refused_while_a_file_of_the_runtime_cannot_be_read() {
    for (file, content, why) in [
        ("active-run.json", "", "it is empty"),
        ("active-run.json", r#"{"pid":1,"loop_id":"oth"#, "EOF"),
        ("state.json", "{", "EOF"),
        ("state.json", "[]", "an array"),
    ] {
        let repo = Repo::new();
        repo.superloop(file, content);
        let mut request = repo.request(Intent::Cancel);
        let local = repo.runtime(STARTED);
        let outcome = repo.run(&request, Transport::Local(&local));
        assert!(!repo.path().join("started").exists());
        assert_eq!(
            outcome.row.reason_code,
            Some(ControlReasonCode::ControlTargetMismatch)
        );
        let said = outcome.row.command_output.expect("says why");
        for part in [file, why, "\"nightly\"", "--force-target"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        request.settings.force_target = true;
        let outcome = repo.run(&request, Transport::Local(&local));
        assert_eq!(outcome.row.status, ControlStatus::ExecutedUnconfirmed);
        assert!(outcome.row.forced_target);
    }
}

#[test]
fn a_folder_in_the_place_of_a_file_is_no_answer_either() {
    let repo = Repo::new();
    repo.superloop("active-run.json/x", "");
    let outcome = repo.control(Intent::Cancel, &repo.runtime(STARTED));
    let said = outcome.row.command_output.expect("says why");
    assert!(said.contains("not a regular file"), "{said}");
}

#[test]
fn a_file_that_is_just_being_written_is_read_again() {
    for (written, status) in [
        ("nightly", ControlStatus::ExecutedUnconfirmed),
        ("other", ControlStatus::FailedCommand),
    ] {
        let repo = Repo::new();
        repo.superloop("active-run.json", "");
        let path = repo.path().join(".superloop/active-run.json");
        let clock = TestClock::with(move |passed| {
            if passed >= Duration::from_millis(160) {
                let whole = format!(r#"{{"pid":1,"loop_id":"{written}"}}"#);
                std::fs::write(&path, whole).expect("written");
            }
        });
        let local = repo.runtime(STARTED);
        let request = repo.request(Intent::Cancel);
        let outcome = run(&request, Transport::Local(&local), &clock, &mut |_| {});
        assert_eq!(outcome.expect("an outcome").row.status, status, "{written}");
    }
}

#[test]
fn force_target_overrides_the_refusal_and_is_recorded() {
    let repo = repo_with_another_loop();
    let mut request = repo.request(Intent::Cancel);
    request.settings.force_target = true;
    let outcome = repo.run(&request, Transport::Local(&repo.runtime(STARTED)));
    assert!(repo.path().join("started").exists());
    assert_eq!(outcome.row.status, ControlStatus::ExecutedUnconfirmed);
    assert_eq!(json::to_value(&outcome.row)["forcedTarget"], true);
    let invocation = repo
        .rows(LoopFile::ControlInvocations)
        .pop()
        .expect("a row");
    assert_eq!(invocation["request"]["forceTarget"], true);
}

#[test]
fn a_decision_names_its_loop_and_needs_no_check() {
    let repo = repo_with_another_loop();
    let outcome = repo.control(Intent::Approve, &repo.runtime(STARTED));
    assert_eq!(outcome.row.status, ControlStatus::ExecutedUnconfirmed);
}
