//! A control that is killed: its intent is seen as pending, one pass makes it
//! ambiguous, and nothing is ever executed twice (decision D7).

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Repo, finished, healthy};

/// Where the rows of an intent are.
const JOURNALS: [&str; 3] = [
    "intents.jsonl",
    "telemetry/control.jsonl",
    "telemetry/control-invocations.jsonl",
];

/// A runtime that records each call, and one that also waits until it is
/// released or its scratch folder is gone.
const COUNTS: &str = r#"echo "$OPS_MANAGER_TRACE_ID" >> "$(dirname "$0")/calls""#;
const WAITS: &str = r#"folder="$(dirname "$0")"; echo "$OPS_MANAGER_TRACE_ID" >> "$folder/calls"
while [ -e "$folder/calls" ] && [ ! -e "$folder/go" ]; do sleep 0.02; done
echo ended >> "$folder/ended""#;

/// A loop that runs well, and a runtime for it.
fn with_runtime(body: &str) -> Repo {
    let mut repo = healthy();
    let runtime = repo.script("superloop", body);
    repo.env("SUPERLOOP_BIN", &runtime);
    repo
}

fn control(repo: &Repo, trace_id: &str) -> Child {
    let path = repo.path().display().to_string();
    repo.command("ops-manager-control")
        .args(["--repo", &path, "--loop", &repo.loop_id])
        .args(["--intent", "cancel", "--by", "dana", "--note", "runs wild"])
        .args(["--trace-id", trace_id, "--no-confirm"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts")
}

/// Trace ids of the runtime's calls.
fn calls(repo: &Repo) -> Vec<String> {
    let calls = fs::read_to_string(repo.outside("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

fn pending(repo: &Repo) -> Vec<Value> {
    let status = repo.status(&[]).ok();
    let pending = status["control"].get("pending").cloned();
    let pending = pending.unwrap_or_else(|| json!([]));
    pending.as_array().expect("a list").clone()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn kill(mut control: Child) {
    control.kill().expect("killed");
    control.wait().expect("gone");
}

#[test]
fn an_intent_whose_control_was_killed_is_pending_and_the_next_pass_calls_it_ambiguous() {
    let repo = with_runtime(WAITS);
    repo.reconcile(&[]).ok();
    let running = control(&repo, "tr-1");
    until("the runtime is called", || calls(&repo) == ["tr-1"]);
    assert!(repo.manager("control-pending.json").exists());

    // While it lives its intent is nobody else's business.
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["health"]["reasonCodes"], json!([]));
    assert_eq!(pending(&repo)[0]["traceId"], "tr-1");

    kill(running);
    let shown = pending(&repo);
    assert_eq!(shown.len(), 1, "{shown:?}");
    for (member, value) in [
        ("intent", "cancel"),
        ("traceId", "tr-1"),
        ("requestedBy", "dana"),
        ("note", "runs wild"),
        ("transport", "local"),
    ] {
        assert_eq!(shown[0][member], value, "{member}");
    }
    for journal in JOURNALS {
        assert_eq!(repo.rows(journal), [json!(null); 0], "{journal}");
    }

    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["health"]["reasonCodes"], json!(["control_ambiguous"]));
    assert_eq!(pending(&repo), [json!(null); 0]);
    let key = &shown[0]["idempotencyKey"];
    for journal in JOURNALS {
        let row = repo.only_row(journal);
        assert_eq!(row["recovered"], true, "{journal}");
        assert_eq!(row["traceId"], "tr-1", "{journal}");
        assert_eq!(&row["idempotencyKey"], key, "{journal}");
    }
    assert_eq!(repo.only_row(JOURNALS[0])["status"], "ambiguous");
    let row = repo.only_row(JOURNALS[1]);
    assert_eq!(row["status"], "ambiguous");
    assert_eq!(row["reasonCode"], "control_ambiguous");
    let row = repo.only_row(JOURNALS[2]);
    assert_eq!(row["outcome"]["status"], "ambiguous");
    assert_eq!(row["outcome"]["reasonCode"], "control_ambiguous");

    repo.reconcile(&[]).ok();
    for journal in JOURNALS {
        assert_eq!(repo.rows(journal).len(), 1, "{journal}: recovered once");
    }
    fs::write(repo.outside("go"), "").expect("released");
    assert_eq!(calls(&repo), ["tr-1"], "nothing was executed again");
}

#[test]
fn a_control_recovers_what_an_earlier_one_left_before_it_acts() {
    let repo = with_runtime(WAITS);
    let running = control(&repo, "tr-1");
    until("the runtime is called", || calls(&repo) == ["tr-1"]);
    kill(running);
    fs::write(repo.outside("go"), "").expect("released");
    let next = control(&repo, "tr-2").wait_with_output().expect("ends");
    assert_eq!(finished(next).code, 0);
    let rows = repo.rows("intents.jsonl");
    let outcome = |row: &Value| (row["traceId"].clone(), row["status"].clone());
    assert_eq!(
        rows.iter().map(outcome).collect::<Vec<_>>(),
        [
            (json!("tr-1"), json!("ambiguous")),
            (json!("tr-2"), json!("executed_unconfirmed")),
        ]
    );
    assert_eq!(calls(&repo), ["tr-1", "tr-2"]);
}

#[test]
fn killed_at_any_moment_an_intent_leaves_all_of_its_rows_or_was_never_begun() {
    const KILLS: u32 = 80;
    let repo = with_runtime(COUNTS);
    let started = Instant::now();
    control(&repo, "whole").wait().expect("ends");
    // Twice as long, in case the machine is busier later.
    let spread = (started.elapsed() * 2).min(Duration::from_millis(60));
    for number in 0..KILLS {
        let control = control(&repo, &format!("tr-{number}"));
        // Spins: a pause would be rounded up to the scheduler's tick.
        let until = Instant::now() + spread * number / KILLS;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        kill(control);
    }
    repo.reconcile(&[]).ok();
    assert_eq!(
        repo.manager_json("control-pending.json")["pending"],
        json!([])
    );
    let traces = JOURNALS.map(|journal| {
        let mut traces: BTreeMap<String, usize> = BTreeMap::new();
        for row in repo.rows(journal) {
            let trace = row["traceId"].as_str().expect("a trace").to_owned();
            *traces.entry(trace).or_default() += 1;
        }
        traces
    });
    assert_eq!(traces[0], traces[1]);
    assert_eq!(traces[0], traces[2]);
    assert!(traces[0].values().all(|rows| *rows == 1), "{:?}", traces[0]);
    let mut calls = calls(&repo);
    for trace in &calls {
        assert!(traces[0].contains_key(trace), "{trace} was executed");
    }
    let recovered = repo.rows(JOURNALS[0]);
    let recovered = recovered.iter().filter(|row| row["recovered"] == true);
    assert!(recovered.count() > 0, "some were killed while they acted");
    let before = calls.len();
    calls.sort();
    calls.dedup();
    assert_eq!(calls.len(), before, "nothing was executed twice");
}
