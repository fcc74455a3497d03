//! What bad input gets: one `error:` line and nothing committed for bad flags,
//! config and manager state; the chapter's failure code for bad runtime
//! artifacts.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::harness::{Repo, Run, event, finished};

const AT: &str = "2026-11-20T07:00:00Z";

fn two_events() -> Repo {
    Repo::with_events(&[&event("loop_start", AT), &event("iteration_start", AT)])
}

/// A failed pass: exit 1, health on stdout, the failure recorded.
fn failed(repo: &Repo, run: &Run, code: &str, fragment: &str) {
    assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{}", run.stdout);
    assert_eq!(run.json()["transport"]["failureCode"], code);
    let row = repo
        .rows("telemetry/reconcile.jsonl")
        .pop()
        .expect("the pass is recorded");
    assert_eq!(
        (&row["status"], &row["failureCode"]),
        (&json!("failed"), &json!(code))
    );
    let message = row["failureMessage"].as_str().expect("a message");
    assert!(
        message.contains(fragment),
        "{message:?} contains {fragment:?}"
    );
}

#[test]
fn a_missing_repository_is_refused_by_every_command() {
    let repo = Repo::empty("l");
    for command in COMMANDS_WITH_A_REPO {
        let run = repo.run_plain(command, &["--repo", "/nowhere/at-all", "--loop", "l"]);
        assert_eq!(
            run.error(),
            "--repo /nowhere/at-all: No such file or directory",
            "{command}"
        );
        let file = repo.outside("file");
        fs::write(&file, "").expect("file");
        let file = file.display().to_string();
        let run = repo.run_plain(command, &["--repo", &file, "--loop", "l"]);
        assert_eq!(
            run.error(),
            format!("--repo {file}: No such file or directory (it is not a directory)"),
            "{command}"
        );
    }
}

#[test]
fn repo_and_loop_are_required() {
    let repo = Repo::empty("l");
    let path = repo.path().display().to_string();
    for command in COMMANDS_WITH_A_REPO {
        assert_eq!(
            repo.run_plain(command, &[]).error(),
            "--repo is required",
            "{command}"
        );
        let run = repo.run_plain(command, &["--repo", "", "--loop", "l"]);
        assert_eq!(run.error(), "--repo is required", "{command}");
        let run = repo.run_plain(command, &["--repo", &path]);
        assert_eq!(run.error(), "--loop is required", "{command}");
    }
}

#[test]
fn an_unsafe_loop_id_is_refused_and_touches_nothing() {
    for id in ["a/b", "..", ".", "*", "fleet", "a\\b", "a\nb", "../../etc"] {
        let mut repo = two_events();
        repo.loop_id = id.to_owned();
        for command in COMMANDS_WITH_A_REPO {
            let run = repo.run(command, &[]);
            assert!(
                run.error().starts_with("invalid loop id: "),
                "{command} {id:?}"
            );
        }
        assert!(!repo.path().join(".superloop/ops-manager").exists());
    }
}

const COMMANDS_WITH_A_REPO: [&str; 7] = [
    "ops-manager-loop-run-snapshot",
    "ops-manager-poll-events",
    "ops-manager-project-state",
    "ops-manager-reconcile",
    "ops-manager-telemetry-summary",
    "ops-manager-profile-drift",
    "ops-manager-status",
];

#[test]
fn what_the_runtime_has_not_written_yet_is_a_recorded_failure() {
    let repo = Repo::empty("l");
    let run = repo.reconcile(&[]);
    failed(
        &repo,
        &run,
        "snapshot_unavailable",
        "required artifact root missing: ",
    );
    fs::create_dir_all(repo.runtime_dir()).expect("loop folder");
    failed(
        &repo,
        &repo.reconcile(&[]),
        "snapshot_unavailable",
        "required artifact missing: ",
    );
    fs::create_dir(repo.events()).expect("a folder in the log's place");
    failed(
        &repo,
        &repo.reconcile(&[]),
        "snapshot_unavailable",
        "required artifact missing: ",
    );
    assert!(
        !repo.manager("state.json").exists(),
        "nothing was ever projected"
    );
    for command in ["ops-manager-loop-run-snapshot", "ops-manager-poll-events"] {
        assert!(
            repo.run(command, &[])
                .error()
                .starts_with("required artifact missing: ")
        );
    }
}

#[test]
fn every_broken_runtime_document_fails_the_pass_by_name() {
    let contents: [(&[u8], &str); 7] = [
        (b"", "empty"),
        (b"   \n", "empty"),
        (b"{\"a\":", ""),
        (b"{} {}", ""),
        (b"{\"a\":\x00}", ""),
        (b"\"\\ud800\"", ""),
        (b"[", ""),
    ];
    for file in ["state.json", "active-run.json"] {
        for (content, fragment) in contents {
            let repo = two_events();
            fs::write(repo.path().join(".superloop").join(file), content).expect("written");
            let run = repo.reconcile(&[]);
            failed(&repo, &run, "snapshot_unavailable", file);
            failed(
                &repo,
                &repo.reconcile(&[]),
                "snapshot_unavailable",
                fragment,
            );
            let run = repo.run("ops-manager-loop-run-snapshot", &[]);
            assert!(run.error().contains(file));
        }
    }
    for file in ["approval.json", "run-summary.json", "heartbeat.v1.json"] {
        for (content, _) in contents {
            let repo = two_events();
            fs::write(repo.runtime_dir().join(file), content).expect("written");
            failed(&repo, &repo.reconcile(&[]), "snapshot_unavailable", file);
        }
    }
}

#[test]
fn wrong_types_in_runtime_documents_name_file_and_member() {
    for (file, content, fragment) in [
        ("run-summary.json", "[1]", "run-summary.json"),
        ("run-summary.json", r#"{"entries":"x"}"#, "entries"),
        ("run-summary.json", r#"{"entries":[7]}"#, "entries"),
        ("approval.json", "\"pending\"", "approval.json"),
    ] {
        let repo = two_events();
        fs::write(repo.runtime_dir().join(file), content).expect("written");
        failed(
            &repo,
            &repo.reconcile(&[]),
            "snapshot_unavailable",
            fragment,
        );
    }
    let repo = two_events();
    fs::write(repo.path().join(".superloop/state.json"), "[]").expect("written");
    failed(
        &repo,
        &repo.reconcile(&[]),
        "snapshot_unavailable",
        "state.json",
    );
}

#[test]
fn an_invalid_utf8_byte_in_an_event_is_read_as_the_replacement_character() {
    let repo = two_events();
    let mut line = event("iteration_end", AT).into_bytes();
    let at = line.len() - 1;
    line.splice(at..at, *b",\"message\":\"a\xffb\"");
    line.push(b'\n');
    let mut all = fs::read(repo.events()).expect("events");
    all.extend(line);
    fs::write(repo.events(), all).expect("written");
    let state = repo.reconcile(&[]).ok();
    let message = &state["evidence"]["lastEventEnvelope"]["event"]["message"];
    assert_eq!(message, "a\u{fffd}b");
}

#[test]
fn a_broken_event_line_fails_at_its_number_and_loses_nothing() {
    for (line, fragment) in [
        ("{\"event\":", "invalid JSON event at line 2 in "),
        ("null", "missing event name at line 2 in "),
        ("   ", "missing event name at line 2 in "),
        (r#"{"timestamp":"t"}"#, "missing event name at line 2 in "),
        (r#"{"event":"x"}"#, "missing event timestamp at line 2 in "),
        ("\0", "invalid JSON event at line 2 in "),
    ] {
        let good = event("loop_start", AT);
        let repo = Repo::with_events(&[&good, line, &good]);
        let run = repo.reconcile(&[]);
        failed(&repo, &run, "events_unavailable", fragment);
        let row = &repo.rows("telemetry/reconcile.jsonl")[0];
        assert_eq!(
            row["eventsIngested"], 1,
            "the event before the bad line is counted"
        );
        assert!(!repo.manager("cursor.json").exists(), "the cursor stays");
        let polled = repo.run("ops-manager-poll-events", &[]);
        assert_eq!((polled.code, polled.stdout.lines().count()), (1, 1));
        assert!(
            polled.stderr.starts_with(&format!("error: {fragment}")),
            "{}",
            polled.stderr
        );
    }
}

#[test]
fn a_half_written_last_line_is_not_there_yet() {
    let repo = two_events();
    repo.append_events(r#"{"timestamp":"2026-11-20T07:00:01Z","event":"role_st"#);
    let state = repo.reconcile(&[]).ok();
    assert_eq!(
        state["cursor"],
        json!({"eventLineOffset": 2, "eventLineCount": 2})
    );
    assert_eq!(state["projection"]["lastEventName"], "iteration_start");
    repo.append_events("art\",\"loop_id\":\"l\",\"run_id\":\"r1\",\"iteration\":1}\n");
    let state = repo.reconcile(&[]).ok();
    assert_eq!(
        state["cursor"],
        json!({"eventLineOffset": 3, "eventLineCount": 3})
    );
    assert_eq!(state["transition"]["triggeringSignal"], "event:role_start");
}

#[test]
fn a_log_that_shrank_needs_a_declared_replay() {
    let repo = two_events();
    repo.reconcile(&[]).ok();
    repo.write_events(&format!("{}\n", event("loop_start", AT)));
    let fragment =
        "cursor offset (2) exceeds available events (1); reset cursor or use --from-start";
    failed(&repo, &repo.reconcile(&[]), "events_unavailable", fragment);
    let state = repo.reconcile(&["--from-start"]).ok();
    assert_eq!(state["cursor"]["eventLineOffset"], 1);
    let violations = &state["sequence"]["violations"];
    assert_eq!(
        violations,
        &json!(["event_sequence_regression", "snapshot_sequence_regression"])
    );
}

#[test]
fn a_log_that_was_replaced_is_noticed() {
    let repo = two_events();
    repo.reconcile(&[]).ok();
    let other = [
        event("loop_start", AT),
        event("loop_stop", AT),
        event("loop_start", AT),
    ];
    repo.write_events(&other.map(|line| line + "\n").concat());
    let fragment = "event log was replaced; reset cursor or use --from-start";
    let run = repo.reconcile(&[]);
    failed(&repo, &run, "events_unavailable", fragment);
    assert_eq!(
        repo.manager_json("cursor.json")["eventLineOffset"],
        2,
        "the cursor stays"
    );
    let state = repo.reconcile(&["--from-start"]).ok();
    assert_eq!(state["cursor"]["eventLineOffset"], 3);
    assert_eq!(
        state["sequence"]["violations"],
        json!([]),
        "a declared replay is no drift"
    );
}

#[test]
fn a_restored_log_with_the_same_content_is_the_same_log() {
    let repo = two_events();
    repo.reconcile(&[]).ok();
    let copy = repo.runtime_dir().join("copy");
    fs::copy(repo.events(), &copy).expect("copied");
    fs::rename(copy, repo.events()).expect("renamed");
    repo.append_events(&(event("iteration_end", AT) + "\n"));
    assert_eq!(repo.reconcile(&[]).ok()["cursor"]["eventLineOffset"], 3);
}

#[test]
fn a_broken_cursor_fails_the_pass_and_a_declared_replay_replaces_it() {
    for (content, fragment) in [
        ("nope", "invalid JSON in cursor file: "),
        ("", "invalid cursor offset in "),
        (r#"{"eventLineOffset":-1}"#, "invalid cursor offset in "),
        (r#"{"eventLineOffset":1.5}"#, "invalid cursor offset in "),
        (
            r#"{"eventLineOffset":99}"#,
            "cursor offset (99) exceeds available events (2)",
        ),
        ("[1]", "cursor.json"),
    ] {
        let repo = two_events();
        repo.put("cursor.json", content);
        failed(&repo, &repo.reconcile(&[]), "events_unavailable", fragment);
        let kept = fs::read_to_string(repo.manager("cursor.json")).expect("cursor");
        assert_eq!(kept, content, "a broken cursor is evidence");
        repo.reconcile(&["--from-start"]).ok();
        assert_eq!(repo.manager_json("cursor.json")["eventLineOffset"], 2);
    }
}

#[test]
fn broken_manager_state_is_an_error_that_names_the_file_and_commits_nothing() {
    for (file, content) in [
        ("health.json", "[]"),
        ("telemetry/transport-health.json", "\"x\""),
        ("state.json", "[1]"),
        ("sequence-state.json", "7"),
        ("heartbeat.json", "[]"),
        ("heartbeat.json", "{"),
    ] {
        let repo = two_events();
        repo.put(file, content);
        let before = repo.tree();
        let run = repo.reconcile(&[]);
        let name = file.rsplit('/').next().expect("a name");
        assert!(
            run.error().contains(name),
            "{file} {content}: {}",
            run.stderr
        );
        assert_eq!(
            repo.tree(),
            before,
            "{file} {content}: nothing is committed"
        );
    }
}

#[test]
fn a_heartbeat_that_is_not_an_object_commits_nothing() {
    let repo = two_events();
    fs::write(repo.runtime_dir().join("heartbeat.v1.json"), "7").expect("written");
    let before = repo.tree();
    assert!(repo.reconcile(&[]).error().contains("heartbeat"));
    assert_eq!(repo.tree(), before);
}

#[test]
fn a_symlinked_log_is_followed_and_a_symlinked_document_stays_a_link() {
    let repo = two_events();
    let elsewhere = repo.outside("elsewhere.jsonl");
    fs::rename(repo.events(), &elsewhere).expect("moved");
    symlink(&elsewhere, repo.events()).expect("linked");
    let target = repo.outside("state-elsewhere.json");
    fs::write(&target, "{}").expect("written");
    fs::create_dir_all(repo.manager("")).expect("folder");
    symlink(&target, repo.manager("state.json")).expect("linked");
    repo.reconcile(&[]).ok();
    let link = fs::symlink_metadata(repo.manager("state.json")).expect("exists");
    assert!(link.file_type().is_symlink());
    assert!(
        fs::read_to_string(target)
            .expect("target")
            .contains("iteration_start")
    );
}

#[test]
fn a_huge_line_is_an_event_like_any_other() {
    let repo = two_events();
    let filler = "x".repeat(100 << 20);
    let line = event("iteration_end", AT);
    let line = format!(
        "{},\"data\":{{\"filler\":\"{filler}\"}}}}\n",
        line.trim_end_matches('}')
    );
    repo.append_events(&line);
    repo.append_events(&(event("loop_stop", AT) + "\n"));
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["cursor"]["eventLineOffset"], 4);
    assert_eq!(state["projection"]["status"], "stopped");
}

#[test]
fn a_full_disk_leaves_the_state_from_before() {
    let repo = two_events();
    repo.reconcile(&[]).ok();
    repo.append_events(&(event("iteration_end", AT) + "\n"));
    let before = repo.tree();
    let repository = repo.path().display().to_string();
    // A limit on file sizes makes every write beyond it fail, as a full disk
    // does; the ignored signal turns the default death into an error.
    let command = repo.command("ops-manager-reconcile");
    let program = command.get_program().to_owned();
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""])
        .arg(program);
    limited.args(["--repo", &repository, "--loop", &repo.loop_id]);
    let run = finished(limited.stdin(Stdio::null()).output().expect("sh runs"));
    assert!(!run.error().is_empty());
    assert_eq!(repo.tree(), before);
    assert_eq!(
        repo.reconcile(&[]).ok()["cursor"]["eventLineOffset"],
        3,
        "and nothing is lost"
    );
}

#[test]
fn two_passes_at_once_take_turns_and_nothing_is_lost_or_doubled() {
    let repo = two_events();
    let repository = repo.path().display().to_string();
    let start = |_| -> Child {
        let mut command = repo.command("ops-manager-reconcile");
        command.args(["--repo", &repository, "--loop", &repo.loop_id]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts")
    };
    let running: Vec<Child> = (0..6).map(start).collect();
    for child in running {
        finished(child.wait_with_output().expect("ends")).ok();
    }
    let rows = repo.rows("telemetry/reconcile.jsonl");
    assert_eq!(rows.len(), 6);
    let ingested: u64 = rows
        .iter()
        .filter_map(|row| row["eventsIngested"].as_u64())
        .sum();
    assert_eq!(ingested, 2, "every event is consumed by one pass");
    assert_eq!(repo.rows("telemetry/sequence.jsonl").len(), 6);
    assert_eq!(repo.rows("telemetry/profile-drift.jsonl").len(), 6);
}
