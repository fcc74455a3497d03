//! `ops-manager-horizon-bridge` on real trees (chapter 08 part I).

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Repo, Run};

const COMMAND: &str = "ops-manager-horizon-bridge";

fn envelope(packet: &str, trace: &str) -> Value {
    json!({
        "schemaVersion": "v1", "traceId": trace, "evidenceRefs": ["run/7"],
        "packet": {
            "packetId": packet, "intent": "Stop the migration",
            "recipient": {"type": "team", "id": "sre"},
        },
    })
}

/// A repository with these outbox files.
pub(crate) fn repo(files: &[(&str, &str)]) -> Repo {
    let repo = Repo::empty("fleet");
    for (file, content) in files {
        send(&repo, file, content);
    }
    repo
}

fn send(repo: &Repo, file: &str, content: &str) {
    let path = outbox(repo).join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, content).expect("written");
}

fn outbox(repo: &Repo) -> PathBuf {
    repo.path().join(".superloop/horizons/outbox")
}

pub(crate) fn line(packet: &str, trace: &str) -> String {
    format!("{}\n", envelope(packet, trace))
}

pub(crate) fn bridge(repo: &Repo, arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    repo.run_plain(COMMAND, &[&["--repo", path.as_str()], arguments].concat())
}

pub(crate) fn entries(repo: &Repo) -> Vec<Value> {
    let queue = repo.manager_json("horizon-bridge-queue.json");
    queue["intents"].as_array().expect("a list").clone()
}

pub(crate) fn rows(repo: &Repo, category: &str) -> Vec<Value> {
    let mut rows = repo.rows("telemetry/horizon-bridge.jsonl");
    rows.retain(|row| row["category"] == category);
    rows
}

#[test]
fn the_bridge_queues_and_prints_the_state_that_it_stores() {
    let repo = repo(&[("team/sre.jsonl", &line("pk-1", "t-1")), ("b.jsonl", "")]);
    let state = bridge(&repo, &["--trace-id", "run-1"]).ok();
    assert_eq!(state, repo.manager_json("horizon-bridge-state.json"));
    assert_eq!(state["traceId"], "run-1");
    assert_eq!(
        state["summary"],
        json!({
            "claimedFileCount": 2, "processedFileCount": 2, "rejectedFileCount": 0,
            "queuedEnvelopeCount": 1, "duplicateEnvelopeCount": 0, "invalidEnvelopeCount": 0,
            "pendingConfirmationCount": 1,
        })
    );
    assert_eq!(
        entries(&repo)[0]["intentId"],
        "horizon-bridge:pk-1:stop-the-migration"
    );
    for claim in state["files"]["processed"].as_array().expect("a list") {
        let name = claim.as_str().expect("a name");
        assert!(
            repo.manager("horizon-bridge-claims/processed")
                .join(name)
                .is_file()
        );
    }
    assert_eq!(rows(&repo, "horizon_bridge_file").len(), 2);
    assert_eq!(
        rows(&repo, "horizon_bridge_run")[0]["summary"],
        state["summary"]
    );
    let again = bridge(&repo, &["--pretty"]);
    assert!(
        again
            .stdout
            .starts_with("{\n  \"schemaVersion\": \"v1\",\n")
    );
    assert_eq!(
        again.ok()["reasonCodes"],
        json!(["horizon_bridge_no_outbox_files"])
    );
}

#[test]
fn a_broken_contract_is_exit_code_2_with_the_document() {
    let repo = repo(&[("a.jsonl", &(line("p", "1") + "{\n"))]);
    let run = bridge(&repo, &[]);
    assert_eq!((run.code, run.stderr.as_str()), (2, ""));
    assert_eq!(run.json()["status"], "failed_contract_validation");
    assert_eq!(run.json()["summary"]["invalidEnvelopeCount"], 1);
    assert_eq!(entries(&repo), Vec::<Value>::new());
}

#[test]
fn flags_are_checked_in_the_contracts_order() {
    let repo = repo(&[("a.jsonl", &line("p", "1"))]);
    let path = repo.path().display().to_string();
    for (arguments, expected) in [
        (&["--max-files", "x"][..], "--repo is required"),
        (&["--repo", "", "--max-files", "x"], "--repo is required"),
        (
            &["--repo", "/nowhere", "--max-files", "-1"],
            "--max-files must be an integer >= 0",
        ),
        (
            &["--repo", "/nowhere", "--max-files", ""],
            "--max-files must be an integer >= 0",
        ),
        (
            &["--repo", "/nowhere", "--max-files", "1"],
            "--repo /nowhere: No such file or directory",
        ),
    ] {
        assert_eq!(
            repo.run_plain(COMMAND, arguments).error(),
            expected,
            "{arguments:?}"
        );
    }
    for (arguments, expected) in [
        (&["--bogus"][..], "unknown argument: --bogus"),
        (&["stray"], "unknown argument: stray"),
        (&["--outbox-dir"], "--outbox-dir requires a value"),
    ] {
        let run = repo.run_plain(COMMAND, &[&["--repo", path.as_str()], arguments].concat());
        assert_eq!((run.code, run.stdout.as_str()), (1, ""));
        let expected = format!("error: {expected}\nUsage: {COMMAND} ");
        assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
    }
    assert!(outbox(&repo).join("a.jsonl").exists());
    let help = repo.run_plain(COMMAND, &["--help"]);
    assert_eq!((help.code, help.stdout.starts_with("Usage:\n")), (0, true));
}

#[test]
fn a_queue_or_state_that_cannot_be_used_is_named_and_nothing_is_taken() {
    for (file, content, message) in [
        (
            "horizon-bridge-queue.json",
            "{",
            "invalid bridge queue JSON: ",
        ),
        (
            "horizon-bridge-queue.json",
            "",
            "invalid bridge queue JSON: ",
        ),
        (
            "horizon-bridge-queue.json",
            "[]",
            "invalid bridge queue JSON: ",
        ),
        (
            "horizon-bridge-state.json",
            "nope",
            "invalid bridge state JSON: ",
        ),
        (
            "horizon-bridge-state.json",
            "3",
            "invalid bridge state JSON: ",
        ),
    ] {
        let repo = repo(&[("a.jsonl", &line("p", "1"))]);
        repo.put(file, content);
        let expected = format!("{message}{}", repo.shown(file));
        let run = bridge(&repo, &[]);
        assert!(run.error().starts_with(&expected), "{}", run.stderr);
        assert!(outbox(&repo).join("a.jsonl").exists());
        assert_eq!(
            repo.rows("telemetry/horizon-bridge.jsonl"),
            Vec::<Value>::new()
        );
    }
}

#[test]
fn a_line_that_can_be_no_envelope_is_named_with_its_file_and_member() {
    let repo = repo(&[("a.jsonl", &(line("p", "1") + "{\"packet\":7}\n"))]);
    let file = outbox(&repo).join("a.jsonl");
    let expected = format!(
        "{}:2: packet is a number, expected an object; ",
        file.display()
    );
    let run = bridge(&repo, &[]);
    assert!(run.error().starts_with(&expected), "{}", run.stderr);
    assert!(!file.exists() && !repo.manager("horizon-bridge-queue.json").exists());
    assert_eq!(bridge(&repo, &[]).code, 2);
}

#[test]
fn paths_are_relative_to_the_working_directory_and_reported_absolute() {
    let repo = repo(&[]);
    let other = repo.outside("out");
    fs::create_dir_all(other.join("team")).expect("made");
    fs::write(other.join("team/a.jsonl"), line("p", "1")).expect("written");
    let state = bridge(
        &repo,
        &[
            "--outbox-dir",
            "out/",
            "--claims-dir",
            "claims",
            "--queue-file",
            "./q/queue.json",
            "--state-file=s.json",
            "--telemetry-file",
            "t/rows.jsonl",
            "--max-files",
            "0007",
        ],
    )
    .ok();
    let shown = |name: &str| repo.outside(name).display().to_string();
    assert_eq!(
        state["source"],
        json!({"outboxDir": shown("out"), "claimsDir": shown("claims")})
    );
    assert_eq!(state["files"]["queueFile"], shown("q/queue.json"));
    assert_eq!(state["files"]["stateFile"], shown("s.json"));
    assert_eq!(state["files"]["telemetryFile"], shown("t/rows.jsonl"));
    let claim = state["files"]["claimed"][0].as_str().expect("a name");
    assert!(claim.starts_with("team/a.jsonl.claim."), "{claim}");
    assert!(repo.outside("claims/processed").join(claim).is_file());
    assert!(repo.outside("t/rows.jsonl").is_file());
}

#[test]
fn the_trace_id_comes_from_the_flag_then_the_environment() {
    let mut repo = repo(&[]);
    let random = bridge(&repo, &[]).ok()["traceId"].clone();
    assert_eq!(random.as_str().map(str::len), Some(36));
    repo.env("OPS_MANAGER_TRACE_ID", "from-env");
    assert_eq!(
        bridge(&repo, &["--trace-id", ""]).ok()["traceId"],
        "from-env"
    );
    assert_eq!(
        bridge(&repo, &["--trace-id", "flag"]).ok()["traceId"],
        "flag"
    );
}

#[test]
fn the_umbrella_runs_the_same_command() {
    let repo = repo(&[("a.jsonl", &line("p", "1"))]);
    let path = repo.path().display().to_string();
    let state = repo
        .run_plain("ops-manager", &["horizon-bridge", "--repo", &path])
        .ok();
    assert_eq!(state["summary"]["queuedEnvelopeCount"], 1);
}

#[test]
fn bridges_killed_at_any_time_queue_every_envelope_once() {
    const KILLS: u32 = 60;
    let repo = repo(&[("warm.jsonl", &line("warm", "t"))]);
    let path = repo.path().display().to_string();
    let begun = Instant::now();
    bridge(&repo, &[]).ok();
    let usual = begun.elapsed().max(Duration::from_millis(1));
    let mut expected = vec!["warm".to_owned()];
    for number in 0..KILLS {
        let packet = format!("p{number:03}");
        send(&repo, &format!("{packet}.jsonl"), &line(&packet, "t"));
        expected.push(packet);
        let mut command = repo.command(COMMAND);
        command
            .args(["--repo", &path])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("started");
        let until = Instant::now() + usual * number / KILLS;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    bridge(&repo, &[]).ok();
    let found = entries(&repo).into_iter();
    let mut found: Vec<String> = found
        .map(|entry| entry["packetId"].as_str().expect("a text").to_owned())
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(rows(&repo, "horizon_bridge_file").len(), expected.len());
}
