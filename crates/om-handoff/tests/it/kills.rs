//! A handoff that is killed loses no outcome and repeats no action (decision
//! D7).

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use om_control::SystemClock;
use om_handoff::{Action, Progress, run};
use om_model::fleet::handoff::ExecutionMode::{self, Autonomous, Manual};
use om_store::{FleetFile, LoopFile};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};

use crate::support::{Fleet, column, handoff_in, hooked, name, order};

/// What the child does: the moment it dies at, how often that has to come,
/// the mode, then the scratch folder.
const CHILD: &str = "OM_HANDOFF_CHILD";

/// Where children run; nothing happens here in the parent.
#[test]
fn child_of_the_kill_tests() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let parts: Vec<&str> = task.split('|').collect();
    let [moment, count, mode, repo] = parts[..] else {
        panic!("four parts")
    };
    let mode = if mode == "manual" { Manual } else { Autonomous };
    let mut left: u32 = count.parse().expect("a number");
    let handoff = handoff_in(Path::new(repo), order(mode, &[]));
    let mut told = |progress: Progress<'_>| {
        left -= u32::from(name(&progress) == moment);
        if left == 0 {
            kill_process(getpid(), Signal::KILL).expect("killed");
        }
    };
    run(&handoff, &SystemClock::default(), &|| false, &mut told).expect("ends well");
}

/// Runs a handoff that dies at the `count`-th `moment`.
fn killed(fleet: &Fleet, mode: ExecutionMode, moment: &str, count: u32) {
    let repo = fleet.repo();
    let status = Command::new(std::env::current_exe().expect("own path"))
        .args([
            "--exact",
            "kills::child_of_the_kill_tests",
            "--test-threads=1",
        ])
        .env(
            CHILD,
            format!("{moment}|{count}|{}|{}", mode.as_str(), repo.display()),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("runs");
    assert_eq!(status.signal(), Some(9), "{moment}: {status}");
}

/// A runtime that counts how often it is called.
const COUNTS: &str = r#"echo x >> "$repo/calls""#;

fn fleet() -> Fleet {
    let fleet = Fleet::new(&["a", "b"]);
    fleet.runtime(COUNTS);
    // The children's clock is the real one.
    let mut registry = fleet.read(FleetFile::Registry);
    registry["policy"]["autonomous"]["governance"]["changedAt"] = json!("2001-01-01T00:00:00Z");
    registry["policy"]["autonomous"]["governance"]["reviewBy"] = json!("2999-01-01T00:00:00Z");
    fleet.write(FleetFile::Registry, &registry);
    fleet
}

/// Every dispatch has its two rows.
fn paired(fleet: &Fleet) -> Vec<Value> {
    let rows = fleet.rows(FleetFile::HandoffDispatch);
    let outcomes: Vec<Value> = rows
        .iter()
        .filter(|row| row["phase"] == "outcome")
        .cloned()
        .collect();
    assert_eq!(outcomes.len() * 2, rows.len(), "{rows:?}");
    for outcome in &outcomes {
        let same = rows
            .iter()
            .filter(|row| row["dispatchId"] == outcome["dispatchId"]);
        assert_eq!(same.count(), 2);
    }
    outcomes
}

#[test]
fn whenever_it_dies_the_next_run_records_what_was_done_and_repeats_nothing() {
    for mode in [Autonomous, Manual] {
        // Moment and its count; calls so far; what the first run's results
        // are found to be.
        for (moment, count, calls, results) in [
            ("planned", 1, 0, &[][..]),
            ("dispatching", 1, 0, &["ambiguous"]),
            ("controlled", 1, 1, &["executed"]),
            ("journaled", 1, 1, &["executed"]),
            ("dispatching", 2, 1, &["executed", "ambiguous"]),
            ("controlled", 2, 2, &["executed", "executed"]),
            ("decided", 1, 2, &["executed", "executed"]),
        ] {
            let case = format!("{mode:?} {moment} {count}");
            let fleet = fleet();
            killed(&fleet, mode, moment, count);
            assert_eq!(fleet.calls().len(), calls, "{case}");
            assert!(fleet.path(FleetFile::HandoffPending).exists(), "{case}");
            assert!(
                fleet.telemetry("fleet_handoff_execute").is_empty(),
                "{case}"
            );

            let state = fleet.plan();
            assert!(!fleet.path(FleetFile::HandoffPending).exists(), "{case}");
            assert_eq!(fleet.calls().len(), calls, "{case}: a plan repeats nothing");
            assert_eq!(paired(&fleet).len(), results.len(), "{case}");
            let executions = fleet.telemetry("fleet_handoff_execute");
            assert_eq!(executions.len(), usize::from(!results.is_empty()), "{case}");
            if let Some(row) = executions.first() {
                let execution = &row["execution"];
                assert_eq!(*execution, state["execution"], "{case}");
                assert_eq!(execution["recovered"], true, "{case}");
                assert_eq!(execution["mode"], mode.as_str(), "{case}");
                assert_eq!(column(&execution["results"], "status"), results, "{case}");
                assert_eq!(execution["executedIntentCount"], results.len(), "{case}");
            }
            let guarded = results
                .iter()
                .filter(|status| **status == "ambiguous")
                .count();
            assert_eq!(
                state["retryGuard"].as_array().expect("a list").len(),
                guarded,
                "{case}"
            );

            // Nobody acts again on what was done or is unknown.
            fleet.execute(Autonomous);
            let left = 2 - results.len();
            assert_eq!(fleet.calls().len(), calls + left, "{case}");
            assert_eq!(paired(&fleet).len(), results.len() + left, "{case}");
        }
    }
}

#[test]
fn a_run_that_dies_while_control_runs_finds_controls_own_word() {
    let fleet = fleet();
    // The runtime kills the handoff that started it.
    fleet.runtime(&format!("{COUNTS}; kill -9 $PPID"));
    killed(&fleet, Autonomous, "never", 1);
    fleet.runtime(COUNTS);
    let state = fleet.plan();
    let execution = &state["execution"];
    assert_eq!(column(&execution["results"], "status"), ["ambiguous"]);
    let control = &execution["results"][0]["control"];
    assert_eq!(
        control["recovered"], true,
        "control recorded it as ambiguous"
    );
    assert_eq!(
        fleet.loop_rows("a", LoopFile::Intents),
        std::slice::from_ref(control)
    );
    assert_eq!(column(&state["retryGuard"], "loopId"), ["a"]);
    assert_eq!(fleet.calls().len(), 1);
}

#[test]
fn a_failure_that_control_recorded_is_found_and_guarded() {
    let fleet = fleet();
    fleet.runtime(&format!("{COUNTS}; exit 5"));
    killed(&fleet, Autonomous, "controlled", 1);
    let state = fleet.plan();
    let result = &state["execution"]["results"][0];
    assert_eq!(result["status"], "failed");
    assert_eq!(result["recovered"], true);
    assert_eq!(result["control"]["exitCode"], 5);
    assert_eq!(
        column(&state["retryGuard"], "reasonCode"),
        ["autonomous_retry_guard_failed"]
    );
}

#[test]
fn a_hook_that_leaves_no_word_is_ambiguous() {
    let fleet = fleet();
    let handoff = hooked(&fleet, Action::Plan, "exit 0");
    killed(&fleet, Autonomous, "dispatching", 1);
    let state = fleet.run_with(&handoff).expect("is planned");
    let execution = state.execution.expect("an execution");
    assert_eq!(
        column(&execution["results"], "reasonCode"),
        ["control_ambiguous"]
    );
    assert_eq!(column(&execution["results"], "controlExitCode"), [2]);
}

#[test]
fn a_run_that_is_refused_afterwards_has_recorded_it_all_the_same() {
    let fleet = fleet();
    killed(&fleet, Autonomous, "controlled", 1);
    let refused = fleet.run(order(Manual, &["x"]));
    assert!(refused.is_err());
    assert_eq!(fleet.telemetry("fleet_handoff_execute").len(), 1);
    let state = fleet.read(FleetFile::HandoffState);
    assert_eq!(
        column(&state["intents"], "status"),
        ["executed", "pending_operator_confirmation"]
    );
}

#[test]
fn files_that_cannot_be_written_any_more_are_named_with_what_to_do() {
    let fleet = fleet();
    killed(&fleet, Manual, "journaled", 1);
    let path = fleet.path(FleetFile::HandoffPending);
    let left = fleet.read(FleetFile::HandoffPending);
    let mut broken = left.clone();
    let in_a_file = fleet.path(FleetFile::Registry).join("x");
    broken["handoffStateFile"] = json!(in_a_file);
    fleet.write(FleetFile::HandoffPending, &broken);
    for action in [Action::Plan, order(Manual, &[])] {
        let refused = fleet.run(action).expect_err("is refused").to_string();
        for part in [
            path.display().to_string(),
            in_a_file.display().to_string(),
            "correct handoffStateFile and handoffTelemetryFile".to_owned(),
        ] {
            assert!(refused.contains(&part), "{refused}");
        }
        assert_eq!(fleet.calls().len(), 1);
    }
    // Done as told, nothing is lost.
    fleet.write(FleetFile::HandoffPending, &left);
    let state = fleet.plan();
    assert_eq!(state["execution"]["recovered"], true);
    assert_eq!(state["execution"]["executedCount"], 1);
}
