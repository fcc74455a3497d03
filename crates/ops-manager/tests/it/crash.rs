//! A pass that is killed at any moment leaves the state from before or after
//! it, never a mixture, and loses or doubles nothing (decisions D7 and D8).

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Repo, ago, event, healthy};

/// Kills per test; each comes a little later in the pass than the one before.
const KILLS: u32 = 200;

/// Journals that every pass extends by one row if it observed the loop.
const JOURNALS: [&str; 3] = [
    "telemetry/reconcile.jsonl",
    "telemetry/sequence.jsonl",
    "telemetry/profile-drift.jsonl",
];

/// Adds one event, as the runtime does.
fn append_event(log: &Path) {
    let mut log = OpenOptions::new().append(true).open(log).expect("log");
    let line = event("role_start", &ago(0)) + "\n";
    log.write_all(line.as_bytes()).expect("appended");
}

/// The kills of a test are spread over this long: twice an undisturbed pass,
/// unless the machine is so busy that the test would take forever.
fn spread(repo: &Repo) -> Duration {
    let started = Instant::now();
    repo.reconcile(&[]).ok();
    (started.elapsed() * 2).min(Duration::from_millis(60))
}

/// Starts a pass, lets `delay` go by, and kills it. Spinning instead of
/// sleeping, because the moments lie closer together than a timer's ticks.
fn kill_a_pass_after(repo: &Repo, delay: Duration) {
    let repository = repo.path().display().to_string();
    let mut command = repo.command("ops-manager-reconcile");
    command.args(["--repo", &repository, "--loop", "l"]);
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut pass = silent.spawn().expect("starts");
    append_event(&repo.events());
    while started.elapsed() < delay {
        std::hint::spin_loop();
    }
    pass.kill().expect("killed, or has ended already");
    pass.wait().expect("is gone");
}

/// Every row of a journal; a line that is not a document fails the test.
fn whole_rows(repo: &Repo, journal: &str) -> Vec<Value> {
    let content = fs::read_to_string(repo.manager(journal)).expect("journal");
    assert!(content.ends_with('\n'), "{journal}: no row is cut off");
    content
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{journal}: {e}: {line}")))
        .collect()
}

fn count(row: &Value, member: &str) -> u64 {
    row[member].as_u64().expect("a number")
}

#[test]
fn passes_killed_at_any_moment_lose_and_double_nothing() {
    let repo = healthy();
    let spread = spread(&repo);
    let mut last_seen = 0;
    for kill in 0..KILLS {
        kill_a_pass_after(&repo, spread * kill / KILLS);
        if kill % 10 == 0 {
            // A reader sees one moment, also while nothing is recovered yet.
            let report = repo.status(&[]).ok();
            let offset = count(&report["cursor"], "eventLineOffset");
            assert!(offset >= last_seen, "a reader never goes back");
            last_seen = offset;
        }
    }
    let last = repo.reconcile(&[]).ok();

    let events = u64::try_from(
        fs::read_to_string(repo.events())
            .expect("log")
            .lines()
            .count(),
    )
    .expect("a count");
    let cursor = repo.manager_json("cursor.json");
    assert_eq!(count(&cursor, "eventLineOffset"), events);
    assert_eq!(last["cursor"]["eventLineOffset"], cursor["eventLineOffset"]);
    assert_eq!(repo.manager_json("state.json"), last);
    assert_eq!(repo.manager_json("health.json"), last["health"]);

    let passes = whole_rows(&repo, JOURNALS[0]);
    assert!(
        passes.iter().all(|row| row["status"] == "success"),
        "{passes:?}"
    );
    let ingested: u64 = passes.iter().map(|row| count(row, "eventsIngested")).sum();
    assert_eq!(ingested, events, "every event belongs to one pass");
    let traces: HashSet<&str> = passes
        .iter()
        .map(|row| row["traceId"].as_str().expect("a trace"))
        .collect();
    assert_eq!(traces.len(), passes.len(), "no pass is recorded twice");
    for journal in JOURNALS {
        assert_eq!(whole_rows(&repo, journal).len(), passes.len(), "{journal}");
    }
    let mut reached = 0;
    for pass in &passes {
        assert_eq!(
            count(pass, "cursorOffsetBefore"),
            reached,
            "no gap, no overlap"
        );
        reached = count(pass, "cursorOffsetAfter");
    }
}

#[test]
fn a_killed_pass_leaves_no_files_of_its_own_behind() {
    let mut repo = healthy();
    // What is recommended is applied, so that no drift is ever escalated.
    repo.env("OPS_MANAGER_THRESHOLD_PROFILE", "strict");
    let spread = spread(&repo);
    let names = |repo: &Repo| -> Vec<_> { repo.tree().into_iter().map(|(path, _)| path).collect() };
    let before = names(&repo);
    for kill in 0..KILLS / 4 {
        kill_a_pass_after(&repo, spread * 4 * kill / KILLS);
    }
    repo.reconcile(&[]).ok();
    assert_eq!(names(&repo), before);
}
