//! `cancel` hits its target or nothing (decision D23).

use om_control::Transport;
use om_control::target::mismatch;
use om_model::control::{ControlReasonCode, ControlStatus, Intent};
use om_model::{Artifact, json};
use om_store::LoopFile;
use serde_json::json;

use crate::support::{Repo, loop_id};

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
        ("[]", absent, None),
        ("{", absent, None),
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
    ] {
        let artifact = |text: &str| {
            if text.is_empty() {
                Artifact::Absent
            } else {
                Artifact::parse(text.as_bytes())
            }
        };
        let found = mismatch(&loop_id(), &artifact(active_run), &artifact(state));
        let file = found
            .as_ref()
            .map(|found| found.file.trim_start_matches(".superloop/"));
        assert_eq!(file, other, "{active_run} {state}");
    }
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
    assert!(
        said.contains("\"other\"") && said.contains("--force-target"),
        "{said}"
    );
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
