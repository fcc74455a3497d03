//! A real command in the place of the runtime, for each way it can end.

use std::fs;
use std::path::Path;

use om_control::Transport;
use om_control::runtime::Runtime;
use om_model::control::{ControlStatus, Intent};
use om_store::LoopFile;
use serde_json::{Value, json};

use crate::support::{Repo, local};

/// Writes its argv, one word per line, and its trace.
const TELLS: &str = r#"printf '%s\n' "$@"; echo "trace $OPS_MANAGER_TRACE_ID""#;

fn said(repo: &Repo, body: &str, intent: Intent) -> String {
    let outcome = repo.control(intent, &repo.runtime(body));
    outcome.row.command_output.unwrap_or_default()
}

#[test]
fn each_intent_has_its_argv() {
    let repo = Repo::new();
    let path = repo.path().display().to_string();
    for (intent, note, words) in [
        (
            Intent::Cancel,
            Some("why"),
            format!("cancel\n--repo\n{path}"),
        ),
        (
            Intent::Approve,
            None,
            format!("approve\n--repo\n{path}\n--loop\nnightly\n--by\ndana"),
        ),
        (
            Intent::Reject,
            Some("not yet"),
            format!(
                "approve\n--repo\n{path}\n--loop\nnightly\n--by\ndana\n--reject\n--note\nnot yet"
            ),
        ),
    ] {
        let mut request = repo.request(intent);
        request.note = note.map(str::to_owned);
        let outcome = repo.run(&request, Transport::Local(&repo.runtime(TELLS)));
        let expected = format!("{words}\ntrace tr-77");
        assert_eq!(
            outcome.row.command_output.as_deref(),
            Some(expected.as_str())
        );
        assert_eq!(outcome.row.note.as_deref(), note);
    }
}

#[test]
fn an_empty_actor_is_kept() {
    let repo = Repo::new();
    let mut request = repo.request(Intent::Approve);
    request.requested_by = String::new();
    let outcome = repo.run(&request, Transport::Local(&repo.runtime(TELLS)));
    assert!(
        outcome
            .row
            .command_output
            .expect("words")
            .contains("--by\n\ntrace")
    );
    assert!(
        outcome.row.command.ends_with("--loop nightly --by ''"),
        "{}",
        outcome.row.command
    );
    assert_eq!(outcome.row.requested_by, "");
}

#[test]
fn success_without_confirmation_is_unconfirmed() {
    let repo = Repo::new();
    let outcome = repo.control(
        Intent::Reject,
        &repo.runtime("echo decision stored; echo and more >&2"),
    );
    assert_eq!(outcome.exit_code(), 0);
    assert_eq!(outcome.row.status, ControlStatus::ExecutedUnconfirmed);
    assert_eq!(
        outcome.row.command_output.as_deref(),
        Some("decision stored\nand more")
    );
}

#[test]
fn an_effect_that_is_seen_confirms_the_intent() {
    let repo = Repo::new();
    let mut request = repo.request(Intent::Cancel);
    request.settings.do_confirm = true;
    let local = repo.runtime(r#"rm "$repo/.superloop/state.json""#);
    let outcome = repo.run(&request, Transport::Local(&local));
    assert_eq!((outcome.exit_code(), outcome.row.confirmed), (0, true));
    assert_eq!(outcome.row.status, ControlStatus::Confirmed);
    let verdict = outcome.row.confirm.expect("a verdict");
    assert_eq!(verdict["reason"], "inactive_not_running");
    assert_eq!(verdict["attempts"], 1);
}

#[test]
fn a_command_without_effect_is_ambiguous() {
    let repo = Repo::new();
    let mut request = repo.request(Intent::Cancel);
    request.settings.do_confirm = true;
    let outcome = repo.run(
        &request,
        Transport::Local(&repo.runtime("echo Cancelled loop state.")),
    );
    assert_eq!(outcome.exit_code(), 2);
    assert_eq!(outcome.row.status, ControlStatus::Ambiguous);
    assert_eq!(
        (outcome.row.exit_code, outcome.row.confirm_exit_code),
        (0, 1)
    );
    let verdict = outcome.row.confirm.expect("a verdict");
    assert_eq!(verdict["observedStatus"], "running");
    let control = repo.rows(LoopFile::ControlRows).pop().expect("a row");
    assert_eq!(control["reasonCode"], "control_ambiguous");
    assert_eq!(control["durationSeconds"], 30);
}

#[test]
fn a_command_that_fails_is_not_confirmed() {
    let repo = Repo::new();
    let mut request = repo.request(Intent::Approve);
    request.settings.do_confirm = true;
    let local = repo.runtime("echo 'error: no approval request found'; exit 3");
    let outcome = repo.run(&request, Transport::Local(&local));
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (1, 3));
    assert_eq!(outcome.row.status, ControlStatus::FailedCommand);
    let invocation = repo
        .rows(LoopFile::ControlInvocations)
        .pop()
        .expect("a row");
    assert_eq!(invocation["execution"]["status"], "failed_command");
    assert_eq!(invocation["confirmation"]["status"], "not_attempted");
}

#[test]
fn a_command_that_is_killed_has_the_signals_exit_code() {
    let repo = Repo::new();
    let outcome = repo.control(Intent::Cancel, &repo.runtime("kill -9 $$"));
    assert_eq!(outcome.row.exit_code, 137);
}

/// A request with a time limit of one second.
fn hurried(repo: &Repo, do_confirm: bool) -> om_control::ControlRequest {
    let mut request = repo.request(Intent::Cancel);
    request.settings.runtime_timeout_seconds = Some(1);
    request.settings.do_confirm = do_confirm;
    request.settings.timeout_seconds = 0;
    request
}

#[test]
fn a_command_that_hangs_is_ended_and_confirmation_decides() {
    let repo = Repo::new();
    let hangs = "echo begun; sleep 600";
    let outcome = repo.run(
        &hurried(&repo, true),
        Transport::Local(&repo.runtime(hangs)),
    );
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (2, 124));
    assert_eq!(outcome.row.status, ControlStatus::Ambiguous);
    assert_eq!(outcome.row.command_output.as_deref(), Some("begun"));
    let invocation = repo
        .rows(LoopFile::ControlInvocations)
        .pop()
        .expect("a row");
    assert_eq!(invocation["execution"]["status"], "unknown");
}

#[test]
fn a_command_that_acts_and_then_hangs_is_confirmed() {
    let repo = Repo::new();
    let acts = r#"rm "$repo/.superloop/state.json"; sleep 600"#;
    let outcome = repo.run(&hurried(&repo, true), Transport::Local(&repo.runtime(acts)));
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (0, 124));
    assert_eq!(outcome.row.status, ControlStatus::Confirmed);
}

#[test]
fn a_command_that_ignores_term_is_killed_with_its_children() {
    let repo = Repo::new();
    let deaf = r#"trap '' TERM; (trap '' TERM; echo child; while :; do sleep 1; done) & echo $! > "$repo/child"; while :; do sleep 1; done"#;
    let outcome = repo.run(
        &hurried(&repo, false),
        Transport::Local(&repo.runtime(deaf)),
    );
    assert_eq!(outcome.row.exit_code, 124);
    assert_eq!(outcome.row.status, ControlStatus::Ambiguous);
    let child = fs::read_to_string(repo.path().join("child")).expect("its id");
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    assert!(
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")),
        "it is gone"
    );
}

#[test]
fn a_run_that_the_command_leaves_behind_is_neither_waited_for_nor_ended() {
    let repo = Repo::new();
    let body = r#"sleep 600 & echo $! > "$repo/left"; echo approved"#;
    let outcome = repo.control(Intent::Approve, &repo.runtime(body));
    assert_eq!(outcome.row.status, ControlStatus::ExecutedUnconfirmed);
    assert_eq!(outcome.row.command_output.as_deref(), Some("approved"));
    let left = fs::read_to_string(repo.path().join("left")).expect("its id");
    assert!(Path::new(&format!("/proc/{}", left.trim())).exists());
    std::process::Command::new("kill")
        .arg(left.trim())
        .status()
        .expect("killed");
}

#[test]
fn the_command_reads_nothing() {
    assert_eq!(said(&Repo::new(), "wc -c", Intent::Cancel), "0");
}

#[test]
fn garbage_becomes_text() {
    let repo = Repo::new();
    assert_eq!(
        said(
            &repo,
            r"printf 'a\000b\377c\r\nd\r\r\n\n\n'",
            Intent::Cancel
        ),
        "ab\u{fffd}c\nd"
    );
    let long = said(&repo, "seq 1 200; echo; echo end", Intent::Cancel);
    let lines: Vec<&str> = long.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[39]), (40, "163", "end"));
}

#[test]
fn megabytes_of_output_are_bounded_and_keep_their_end() {
    let repo = Repo::new();
    let text = said(
        &repo,
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end",
        Intent::Cancel,
    );
    assert!(text.ends_with("x\nend"));
    assert!(text.len() <= 1 << 20, "{}", text.len());
}

#[test]
fn a_runtime_that_is_not_there_is_a_row_that_names_what_was_tried() {
    let repo = Repo::new();
    let nowhere = repo.root().join("nowhere/superloop");
    let empty = repo.root().join("empty");
    for (named, fragments) in [
        (
            Some(nowhere.as_os_str()),
            vec![
                "nowhere/superloop: No such file or directory",
                "SUPERLOOP_BIN",
            ],
        ),
        (
            Some("no-such-runtime".as_ref()),
            vec!["no-such-runtime: command not found", "SUPERLOOP_BIN"],
        ),
        (
            None,
            vec![
                "SUPERLOOP_BIN is not set",
                "repo/superloop.sh: No such file or directory",
                "superloop.sh: command not found",
                "superloop: command not found",
            ],
        ),
    ] {
        let runtime = Runtime::find(named, &repo.path(), Some(empty.as_os_str()));
        let outcome = repo.control(Intent::Cancel, &local(runtime));
        assert_eq!((outcome.exit_code(), outcome.row.exit_code), (1, 127));
        let said = outcome.row.command_output.expect("says what is missing");
        for fragment in fragments {
            assert!(said.contains(fragment), "{said}");
        }
    }
}

#[test]
fn the_audit_row_has_everything_that_was_configured() {
    let repo = Repo::new();
    repo.control(Intent::Cancel, &repo.runtime("exit 0"));
    let invocation: Value = repo
        .rows(LoopFile::ControlInvocations)
        .pop()
        .expect("a row");
    assert_eq!(
        invocation["request"],
        json!({
            "doConfirm": false, "timeoutSeconds": 30, "intervalSeconds": 2, "retryAttempts": 3,
            "retryBackoffSeconds": 1, "runtimeTimeoutSeconds": 120
        })
    );
}
