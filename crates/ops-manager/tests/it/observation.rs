//! Snapshot, events and projection on artifacts of every shape (01 §4–§6;
//! decision D8).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, event};

const AT: &str = "2026-11-20T07:00:00Z";

/// A loop whose log is exactly this.
fn with_log(content: &str) -> Repo {
    let repo = Repo::with_events(&[]);
    repo.write_events(content);
    repo
}

fn snapshot(repo: &Repo) -> Value {
    repo.run("ops-manager-loop-run-snapshot", &[]).ok()
}

/// Envelopes printed by a poll that succeeds.
fn poll(repo: &Repo, arguments: &[&str]) -> Vec<Value> {
    let run = repo.run("ops-manager-poll-events", arguments);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    let lines = run.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an envelope"))
        .collect()
}

fn stored_offset(repo: &Repo) -> Value {
    let path = repo.runtime_dir().join("ops-manager.cursor.json");
    let cursor: Value = serde_json::from_slice(&fs::read(path).expect("cursor")).expect("JSON");
    cursor["eventLineOffset"].clone()
}

#[test]
fn the_status_of_a_run_is_the_first_rule_that_matches() {
    let pending = ("approval.json", r#"{"status":"pending"}"#);
    let complete = (
        "run-summary.json",
        r#"{"entries":[{"completion_ok":true}]}"#,
    );
    let incomplete = (
        "run-summary.json",
        r#"{"entries":[{"completion_ok":false}]}"#,
    );
    let running = (
        "../../state.json",
        r#"{"active":true,"current_loop_id":"l"}"#,
    );
    let elsewhere = (
        "../../state.json",
        r#"{"active":true,"current_loop_id":"m"}"#,
    );
    let inactive = ("../../state.json", r#"{"active":false}"#);
    let text = (
        "../../state.json",
        r#"{"active":"true","current_loop_id":"l"}"#,
    );
    let stop = event("loop_stop", AT);
    let timeout = event("role_timeout", AT).replace('}', r#","status":"timeout"}"#);
    let plain = event("role_end", AT);
    for (log, files, status) in [
        (
            &stop,
            &[pending, complete, running][..],
            "awaiting_approval",
        ),
        (&stop, &[complete, running], "complete"),
        (&stop, &[incomplete, running], "running"),
        (&stop, &[incomplete, elsewhere], "stopped"),
        (&timeout, &[incomplete, inactive], "failed"),
        (&plain, &[incomplete, inactive], "idle"),
        (&plain, &[incomplete], "unknown"),
        (&plain, &[inactive], "unknown"),
        (&plain, &[incomplete, elsewhere], "unknown"),
        (&plain, &[incomplete, text], "unknown"),
        (
            &plain,
            &[("approval.json", "{}"), incomplete, inactive],
            "idle",
        ),
        (
            &plain,
            &[("approval.json", r#"{"status":"approved"}"#)],
            "unknown",
        ),
    ] {
        let repo = with_log(&format!("{log}\n"));
        for (file, content) in files {
            repo.put_runtime(file, content);
        }
        assert_eq!(snapshot(&repo)["run"]["status"], status, "{log} {files:?}");
    }
}

#[test]
fn the_run_is_named_by_flag_summary_event_unknown() {
    let summary = r#"{"entries":[{"run_id":"r0","iteration":3}]}"#;
    let repo = with_log(&(event("loop_start", AT) + "\n"));
    let run = |arguments: &[&str]| {
        let snapshot = repo.run("ops-manager-loop-run-snapshot", arguments).ok();
        (
            snapshot["run"]["runId"].clone(),
            snapshot["run"]["iteration"].clone(),
        )
    };
    assert_eq!(run(&[]), (json!("r1"), json!(1)), "from the event");
    repo.put_runtime("run-summary.json", summary);
    assert_eq!(run(&[]), (json!("r0"), json!(3)), "the summary wins");
    assert_eq!(
        run(&["--run-id", "own"]),
        (json!("own"), json!(3)),
        "the flag wins"
    );
    let bare = with_log("{\"event\":\"x\",\"timestamp\":\"t\"}\n");
    assert_eq!(snapshot(&bare)["run"]["runId"], "unknown");
    assert_eq!(snapshot(&bare)["run"]["iteration"], 0);
}

#[test]
fn an_empty_log_has_no_last_event() {
    for log in ["", "{\"event\":\"x\",\"timestamp\":\"t\"}", "null\n"] {
        let health = snapshot(&with_log(log))["health"].clone();
        assert_eq!(health["lastEventName"], json!(null), "{log:?}");
        assert_eq!(health["lastEventAt"], json!(null), "{log:?}");
        assert_eq!(health["eventCount"], log.matches('\n').count(), "{log:?}");
    }
}

#[test]
fn an_unusable_last_line_fails_the_snapshot() {
    let good = event("loop_start", AT);
    for bad in ["{", "", "  ", "{} {}", "7", "\"text\"", "true", "[1]"] {
        let repo = with_log(&format!("{good}\n{bad}\n"));
        let run = repo.run("ops-manager-loop-run-snapshot", &[]);
        let path = repo.events().display().to_string();
        assert!(run.error().contains(&path), "{bad:?}: {}", run.stderr);
    }
    let repo = with_log(&format!("{good}\n{{\n"));
    let run = repo.run("ops-manager-loop-run-snapshot", &[]);
    assert!(
        run.error()
            .starts_with("invalid JSON in final events line: ")
    );
}

#[test]
fn artifacts_are_described_by_size_lines_and_digest() {
    let repo = with_log("");
    repo.put_runtime("approval.json", "{\n}\n");
    let artifacts = snapshot(&repo)["artifacts"].clone();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let mut expected = json!({
        "path": ".superloop/loops/l/events.jsonl", "exists": true, "sizeBytes": 0,
        "lineCount": 0, "sha256": empty, "mtimeEpoch": "<mtime>",
    });
    assert_eq!(
        repo.scrub(&artifacts["events"]),
        expected,
        "an empty file has a digest"
    );
    assert_eq!(artifacts["approval"]["sizeBytes"], 4);
    assert_eq!(artifacts["approval"]["lineCount"], 2);
    expected = json!({
        "path": ".superloop/active-run.json", "exists": false, "sizeBytes": 0,
        "lineCount": 0, "sha256": null, "mtimeEpoch": null,
    });
    assert_eq!(artifacts["activeRun"], expected);
}

#[test]
fn event_members_are_read_tolerantly() {
    for (line, member, expected) in [
        (r#"{"type":"t","timestamp":"x"}"#, "/event/name", json!("t")),
        (
            r#"{"event":false,"type":"t","timestamp":"x"}"#,
            "/event/name",
            json!("t"),
        ),
        (r#"{"event":7,"timestamp":"x"}"#, "/event/name", json!("7")),
        (
            r#"{"event":"e","timestamp":5}"#,
            "/event/timestamp",
            json!("5"),
        ),
        (
            r#"{"event":"e","timestamp":"x"}"#,
            "/run/runId",
            json!("unknown"),
        ),
        (
            r#"{"event":"e","timestamp":"x","run_id":""}"#,
            "/run/runId",
            json!(""),
        ),
        (
            r#"{"event":"e","timestamp":"x"}"#,
            "/run/iteration",
            json!(0),
        ),
        (
            r#"{"event":"e","timestamp":"x","iteration":" 4 "}"#,
            "/run/iteration",
            json!(4),
        ),
        (
            r#"{"event":"e","timestamp":"x","iteration":"0x10"}"#,
            "/run/iteration",
            json!(0),
        ),
        (
            r#"{"event":"e","timestamp":"x","iteration":true}"#,
            "/run/iteration",
            json!(0),
        ),
        (
            r#"{"event":"e","timestamp":"x","role":""}"#,
            "/event/role",
            json!(null),
        ),
        (
            r#"{"event":"e","timestamp":"x","status":3}"#,
            "/event/status",
            json!("3"),
        ),
        (
            r#"{"event":"e","timestamp":"x","data":false}"#,
            "/event/payload",
            json!(null),
        ),
        (
            r#"{"event":"e","timestamp":"x","data":0}"#,
            "/event/payload",
            json!(0),
        ),
    ] {
        let repo = with_log(&format!("{line}\r\n"));
        let envelopes = poll(&repo, &[]);
        assert_eq!(envelopes[0].pointer(member), Some(&expected), "{line}");
        let raw: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(envelopes[0]["event"]["raw"], raw);
    }
}

#[test]
fn empty_lines_are_skipped_but_count() {
    let good = event("role_start", AT);
    let repo = with_log(&format!("\n{good}\n\n\n{good}\n\n"));
    let envelopes = poll(&repo, &[]);
    let numbers: Vec<&Value> = envelopes.iter().map(|e| &e["sequence"]["value"]).collect();
    assert_eq!(numbers, [2, 5]);
    assert_eq!(envelopes[0]["cursor"]["eventLineCount"], 6);
    assert_eq!(
        stored_offset(&repo),
        5,
        "empty lines at the end do not advance it"
    );
}

#[test]
fn lines_before_the_cursor_are_not_looked_at() {
    let repo = with_log(&format!("nonsense\n{}\n", event("role_start", AT)));
    repo.put_runtime("ops-manager.cursor.json", r#"{"eventLineOffset":1}"#);
    assert_eq!(poll(&repo, &[]).len(), 1);
}

#[test]
fn a_cursor_offset_may_be_spelled_in_many_ways() {
    let log = format!("{}\n", event("role_start", AT)).repeat(9);
    for (cursor, left) in [
        ("null", 9),
        ("{}", 9),
        (r#"{"eventLineOffset":null}"#, 9),
        (r#"{"eventLineOffset":false}"#, 9),
        (r#"{"eventLineOffset":7}"#, 2),
        (r#"{"eventLineOffset":7.0}"#, 2),
        (r#"{"eventLineOffset":7e0}"#, 2),
        (r#"{"eventLineOffset":"7"}"#, 2),
        (
            r#"{"eventLineOffset":7,"loopId":"other","schemaVersion":"v9"}"#,
            2,
        ),
    ] {
        let repo = with_log(&log);
        repo.put_runtime("ops-manager.cursor.json", cursor);
        assert_eq!(poll(&repo, &[]).len(), left, "{cursor}");
        assert_eq!(stored_offset(&repo), 9);
    }
}

#[test]
fn a_poll_without_events_still_writes_its_cursor() {
    let repo = with_log("");
    repo.put_runtime("ops-manager.cursor.json", "broken");
    assert!(poll(&repo, &["--from-start"]).is_empty());
    assert_eq!(
        stored_offset(&repo),
        0,
        "a replay does not even read the old one"
    );
}

#[test]
fn an_unterminated_event_waits_for_its_newline() {
    let line = event("role_start", AT);
    let repo = with_log(&format!("{line}\n{line}"));
    assert_eq!(poll(&repo, &[]).len(), 1);
    assert_eq!(snapshot(&repo)["health"]["eventCount"], 1);
    repo.append_events("\n");
    let late = poll(&repo, &[]);
    assert_eq!((late.len(), &late[0]["sequence"]["value"]), (1, &json!(2)));
}

#[test]
fn a_projection_starts_from_what_the_state_file_said() {
    for (previous, state) in [
        (None, "none"),
        (
            Some(r#"{"transition":{"currentState":"stopped"}}"#),
            "stopped",
        ),
        (Some("{}"), "none"),
        (Some("null"), "none"),
        (Some("nonsense"), "none"),
        (Some("  \n"), ""),
        (Some(""), ""),
        (Some(r#"{"transition":{"currentState":false}}"#), "none"),
    ] {
        let repo = Repo::sample("running");
        if let Some(previous) = previous {
            repo.put("state.json", previous);
        }
        let projected = repo.run("ops-manager-project-state", &[]).ok();
        assert_eq!(
            projected["transition"]["previousState"], state,
            "{previous:?}"
        );
        assert_eq!(repo.manager_json("state.json"), projected);
    }
    for wrong in ["[]", "7", r#"{"transition":"x"}"#, r#"{"cursor":[1]}"#] {
        let repo = Repo::sample("running");
        repo.put("state.json", wrong);
        let run = repo.run("ops-manager-project-state", &[]);
        assert!(
            run.error().contains("state.json"),
            "{wrong}: {}",
            run.stderr
        );
        assert_eq!(
            fs::read_to_string(repo.manager("state.json")).expect("kept"),
            wrong
        );
    }
}

#[test]
fn a_projection_notices_that_the_log_went_back() {
    let repo = Repo::sample("running");
    repo.put("state.json", r#"{"cursor":{"eventLineOffset":4}}"#);
    let projected = repo.run("ops-manager-project-state", &["--pretty"]).ok();
    assert_eq!(
        projected["divergence"]["flags"]["cursorRegression"],
        json!(true)
    );
    assert_eq!(projected["transition"]["confidence"], "low");
    let written = fs::read_to_string(repo.manager("state.json")).expect("state");
    assert!(
        written.starts_with("{\n  \""),
        "--pretty affects the file as well"
    );
}

#[test]
fn a_pending_approval_of_a_complete_run_is_a_conflict() {
    let repo = with_log(&(event("loop_complete", AT) + "\n"));
    repo.put_runtime("approval.json", r#"{"status":"pending"}"#);
    repo.put_runtime(
        "run-summary.json",
        r#"{"entries":[{"completion_ok":true}]}"#,
    );
    let projected = repo.run("ops-manager-project-state", &[]).ok();
    assert_eq!(
        projected["divergence"],
        json!({
            "any": true,
            "flags": {
                "activeMismatch": false, "approvalCompletionConflict": true,
                "cursorRegression": false,
            },
        })
    );
}
