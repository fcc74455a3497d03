//! The producer of heartbeats (decision D26).

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use om_model::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Repo, Run, finished, healthy};

fn heartbeat(repo: &Repo, arguments: &[&str]) -> Run {
    let repository = repo.path().display().to_string();
    let target = ["heartbeat", "--repo", &repository, "--loop", &repo.loop_id];
    repo.run_plain("ops-manager", &[&target[..], arguments].concat())
}

fn written(repo: &Repo) -> Value {
    let content = fs::read(repo.runtime_dir().join("heartbeat.v1.json")).expect("heartbeat");
    serde_json::from_slice(&content).expect("one document")
}

/// A process that lives until its stdin is closed.
fn runtime() -> Child {
    let mut command = Command::new("cat");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("cat runs")
}

#[test]
fn one_heartbeat_is_written_and_printed() {
    let repo = healthy();
    let printed = heartbeat(&repo, &[]).ok();
    assert_eq!(printed, written(&repo));
    assert!(
        printed["timestamp"]
            .as_str()
            .and_then(Timestamp::parse)
            .is_some()
    );
    assert!(printed["host"].is_string());
    assert_eq!(
        repo.scrub(&printed),
        json!({
            "schemaVersion": "v1", "loopId": "l", "timestamp": "<now>", "runId": "r1",
            "host": "<host>", "source": "ops-manager", "sequence": 1,
        })
    );
    let others = fs::read_dir(repo.runtime_dir()).expect("folder").flatten();
    assert_eq!(
        others.count(),
        2,
        "the log, the heartbeat and no temporary file"
    );
}

#[test]
fn everything_about_a_heartbeat_can_be_given() {
    let repo = healthy();
    let arguments = [
        ["--pid", "4711"],
        ["--run-id", "own run"],
        ["--source", "sprite"],
        ["--details", r#"{"stage":"implementer","n":1}"#],
    ];
    let printed = heartbeat(&repo, &arguments.concat()).ok();
    assert_eq!(printed["pid"], 4711);
    assert_eq!(printed["runId"], "own run");
    assert_eq!(printed["source"], "sprite");
    assert_eq!(printed["details"], json!({"stage": "implementer", "n": 1}));
}

#[test]
fn the_sequence_counts_the_heartbeats_of_one_producer() {
    let repo = healthy();
    for (pid, sequence) in [("7", 1), ("7", 2), ("7", 3), ("8", 1), ("8", 2)] {
        let printed = heartbeat(&repo, &["--pid", pid]).ok();
        assert_eq!(printed["sequence"], sequence, "{pid}");
    }
}

#[test]
fn a_pass_sees_the_heartbeat_as_fresh() {
    let repo = healthy();
    heartbeat(&repo, &["--details", r#"{"stage":"x"}"#]).ok();
    repo.reconcile(&[]).ok();
    let seen = repo.manager_json("heartbeat.json");
    assert_eq!(seen["freshnessStatus"], "fresh");
    assert_eq!(seen["heartbeat"], written(&repo));
}

#[test]
fn without_the_loops_folder_there_is_no_heartbeat() {
    let repo = Repo::empty("l");
    let run = heartbeat(&repo, &[]);
    assert!(
        run.error()
            .contains(&repo.runtime_dir().display().to_string()),
        "{}",
        run.stderr
    );
    assert!(
        !repo.path().join(".superloop").exists(),
        "nothing is created"
    );
}

#[test]
fn heartbeats_go_on_for_as_long_as_the_process_lives() {
    let repo = healthy();
    let mut runtime = runtime();
    let pid = runtime.id().to_string();
    let repository = repo.path().display().to_string();
    let mut command = repo.command("ops-manager");
    command.args(["heartbeat", "--repo", &repository, "--loop", "l"]);
    command.args(["--every", "1s", "--pid", &pid]);
    let streams = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut follower = streams.spawn().expect("starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    for sequence in [1, 2] {
        let line = lines.next().expect("a heartbeat").expect("UTF-8");
        let beat: Value = serde_json::from_str(&line).expect("one document");
        assert_eq!(beat["sequence"], sequence);
        assert_eq!(beat["pid"].to_string(), pid);
    }
    drop(runtime.stdin.take());
    runtime.wait().expect("the runtime ends");
    let end = finished(follower.wait_with_output().expect("the follower ends"));
    assert_eq!((end.code, end.stderr.as_str()), (0, ""));
    assert_eq!(
        written(&repo)["pid"].to_string(),
        pid,
        "the last word stays"
    );
}

#[test]
fn a_process_that_is_not_there_cannot_be_followed() {
    let repo = healthy();
    let mut gone = runtime();
    drop(gone.stdin.take());
    gone.wait().expect("it ends");
    let pid = gone.id().to_string();
    let run = heartbeat(&repo, &["--every", "1s", "--pid", &pid]);
    assert!(run.error().contains(&pid), "{}", run.stderr);
    assert!(!repo.runtime_dir().join("heartbeat.v1.json").exists());
}

#[test]
fn mistakes_are_reported_by_flag() {
    let repo = healthy();
    for (arguments, fragment) in [
        (&["--every", "30s"][..], "--pid"),
        (&["--every", "often", "--pid", "1"], "--every often"),
        (&["--every", "0s", "--pid", "1"], "--every 0s"),
        (&["--pid", "0"], "--pid must be an integer >= 1"),
        (&["--pid", "x"], "--pid must be an integer >= 1"),
        (&["--details", "[1]"], "--details"),
        (&["--details", "{"], "--details"),
    ] {
        let run = heartbeat(&repo, arguments);
        assert!(
            run.error().contains(fragment),
            "{arguments:?}: {}",
            run.stderr
        );
    }
    let run = repo.run_plain("ops-manager", &["heartbeat"]);
    assert_eq!(run.error(), "--repo is required");
    assert!(!repo.runtime_dir().join("heartbeat.v1.json").exists());
}

#[test]
fn a_broken_earlier_heartbeat_is_replaced() {
    for broken in ["", "{", "[]", "7"] {
        let repo = healthy();
        repo.put_runtime("heartbeat.v1.json", broken);
        assert_eq!(heartbeat(&repo, &[]).ok()["sequence"], 1, "{broken:?}");
        assert_eq!(written(&repo)["loopId"], "l");
    }
}
