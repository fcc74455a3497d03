//! What happens around a hook: it ends with the pass, and edits made while it
//! runs are kept.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Repo, event};

const AT: &str = "2026-11-20T07:00:00Z";

/// Polls until `condition` holds; a test that waits in vain fails.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_hook_ends_with_the_pass_that_started_it() {
    let mut repo = Repo::with_events(&[&event("loop_start", AT)]);
    let pid_file = repo.outside("pid");
    let hook = repo.script(
        "hook",
        &format!(
            "echo $$ > {}.new && mv {0}.new {0}; exec sleep 600",
            pid_file.display()
        ),
    );
    repo.env("OPS_MANAGER_HEALTH_SCRIPT", &hook);
    let repository = repo.path().display().to_string();
    let mut pass = repo
        .command("ops-manager-reconcile")
        .args(["--repo", &repository, "--loop", "l"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    eventually("the hook starts", || pid_file.exists());
    let hook_pid = fs::read_to_string(&pid_file)
        .expect("pid")
        .trim()
        .to_owned();
    let killed = Command::new("kill")
        .arg(pass.id().to_string())
        .status()
        .expect("kill runs");
    assert!(killed.success());
    assert!(!pass.wait().expect("ends").success());
    eventually("the hook ends", || {
        !Path::new("/proc").join(&hook_pid).exists()
    });
}

#[test]
fn an_edit_of_the_state_while_a_drift_hook_runs_is_kept() {
    let mut repo = Repo::with_events(&[&event("loop_start", AT)]);
    repo.reconcile(&[]).ok();
    let state = repo.manager("state.json").display().to_string();
    let hook = repo.script(
        "hook",
        &format!("sed -i 's/^{{/{{\"note\":\"by hand\",/' {state}; echo '{{\"status\":\"x\"}}'"),
    );
    repo.env("OPS_MANAGER_PROFILE_DRIFT_SCRIPT", &hook);
    let printed = repo.reconcile(&[]).ok();
    let state = repo.manager_json("state.json");
    assert_eq!(state["note"], "by hand");
    assert_eq!(state["drift"]["status"], "x");
    assert_eq!(printed, state);
    assert_eq!(
        repo.rows("telemetry/reconcile.jsonl").len(),
        2,
        "no pass is done twice"
    );
}

#[test]
fn a_state_that_a_drift_hook_removes_stays_removed() {
    let mut repo = Repo::with_events(&[&event("loop_start", AT)]);
    let state = repo.manager("state.json").display().to_string();
    let hook = repo.script("hook", &format!("rm {state}; echo '{{\"status\":\"x\"}}'"));
    repo.env("OPS_MANAGER_PROFILE_DRIFT_SCRIPT", &hook);
    assert_eq!(repo.reconcile(&[]).code, 0);
    assert!(!repo.manager("state.json").exists());
}

#[test]
fn a_record_nested_deeper_than_most_parsers_like_is_read_and_read_again() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let line = format!(r#"{{"timestamp":"{AT}","event":"deep","data":{deep}}}"#);
    let repo = Repo::with_events(&[&line]);
    repo.reconcile(&[]).ok();
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["transition"]["previousState"], "unknown");
    repo.status(&[]).ok();
    let too_deep = line.replace(&deep, &format!("{}{}", "[".repeat(300), "]".repeat(300)));
    repo.append_events(&format!("{too_deep}\n"));
    let run = repo.reconcile(&[]);
    assert_eq!(
        (run.code, run.json()["transport"]["failureCode"].clone()),
        (1, json!("snapshot_unavailable"))
    );
    let row = repo.rows("telemetry/reconcile.jsonl").pop().expect("a row");
    assert!(
        row["failureMessage"]
            .as_str()
            .is_some_and(|m| m.contains("nested deeper than 256 levels"))
    );
}
