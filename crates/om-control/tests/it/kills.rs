//! A control that is killed never acts twice and always ends with its three
//! rows (decision D7).

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use om_control::runtime::Runtime;
use om_control::{Progress, SystemClock, Transport, run};
use om_model::control::Intent;
use om_store::{LoopFile, RepoLayout};
use rustix::process::{Signal, getpid, kill_process};

use crate::support::{Repo, local, loop_id, settings};

/// What the child does: the moment it dies at, then the scratch folder.
const CHILD: &str = "OM_CONTROL_CHILD";

fn name(progress: &Progress<'_>) -> &'static str {
    match progress {
        Progress::Recovered(_) => "recovered",
        Progress::Begun { .. } => "begun",
        Progress::Executed => "executed",
        Progress::Looked { .. } => "looked",
        Progress::Decided => "decided",
    }
}

/// Where children run; nothing happens here in the parent.
#[test]
fn child_of_the_kill_tests() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let (moment, folder) = task.split_once('|').expect("two parts");
    let folder = Path::new(folder);
    let repo = folder.join("repo");
    let runtime = folder.join("runtime");
    let local = local(Runtime::find(Some(runtime.as_os_str()), &repo, None));
    let mut request = om_control::ControlRequest {
        layout: RepoLayout::new(repo),
        loop_id: loop_id(),
        intent: Intent::Cancel,
        requested_by: "dana".to_owned(),
        note: None,
        trace_id: om_model::TraceId::new("tr-77").expect("not empty"),
        idempotency_key: None,
        settings: settings(),
    };
    request.settings.do_confirm = true;
    run(
        &request,
        Transport::Local(&local),
        &SystemClock::default(),
        &mut |progress| {
            if name(&progress) == moment {
                kill_process(getpid(), Signal::KILL).expect("killed");
            }
        },
    )
    .expect("an outcome");
}

fn child(repo: &Repo, moment: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command
        .args([
            "--exact",
            "kills::child_of_the_kill_tests",
            "--test-threads=1",
        ])
        .env(CHILD, format!("{moment}|{}", repo.root().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A runtime that counts how often it is called, and cancels.
const COUNTS: &str = r#"echo x >> "$repo/calls"; rm -f "$repo/.superloop/state.json""#;

fn calls(repo: &Repo) -> usize {
    let text = fs::read_to_string(repo.path().join("calls")).unwrap_or_default();
    text.lines().count()
}

/// What the next control finds and does; its own runtime does nothing.
fn recovered_by_the_next_control(repo: &Repo) -> usize {
    let local = repo.runtime("exit 0");
    let mut recovered = 0;
    let request = repo.request(Intent::Approve);
    run(
        &request,
        Transport::Local(&local),
        &SystemClock::default(),
        &mut |progress| {
            if let Progress::Recovered(rows) = progress {
                recovered += rows.len();
            }
        },
    )
    .expect("an outcome");
    recovered
}

#[test]
fn killed_at_any_moment_it_ends_with_three_rows_and_one_action_at_most() {
    for (moment, called, recovered) in [
        ("begun", 0, 1),
        ("executed", 1, 1),
        ("looked", 1, 1),
        ("decided", 1, 1),
        ("never", 1, 0),
    ] {
        let repo = Repo::new();
        repo.runtime(COUNTS);
        let status = child(&repo, moment).status().expect("runs");
        let killed = recovered == 1;
        assert_eq!(status.signal() == Some(9), killed, "{moment}: {status}");
        assert_eq!(repo.pending().len(), recovered, "{moment}");
        assert_eq!(recovered_by_the_next_control(&repo), recovered, "{moment}");
        assert_eq!(calls(&repo), called, "{moment}");
        assert_eq!(repo.pending().len(), 0, "{moment}");
        for rows in repo.all_rows() {
            assert_eq!(rows.len(), 2, "{moment}");
            assert_eq!(rows[0]["intent"], "cancel", "{moment}");
            assert_eq!(rows[0]["recovered"] == true, killed, "{moment}");
        }
    }
}

#[test]
fn killed_while_the_runtime_runs_it_is_ambiguous_and_never_repeated() {
    let repo = Repo::new();
    let waits = r#"echo x >> "$repo/calls"; while [ ! -e "$repo/go" ]; do sleep 0.02; done; echo x >> "$repo/ended""#;
    repo.runtime(waits);
    let mut control = child(&repo, "never").spawn().expect("starts");
    until("the runtime is called", || calls(&repo) == 1);
    // While it lives its intent is nobody else's business.
    assert_eq!(recovered_by_the_next_control(&repo), 0);
    assert_eq!(repo.pending().len(), 1);
    control.kill().expect("killed");
    control.wait().expect("gone");
    assert_eq!(recovered_by_the_next_control(&repo), 1);
    fs::write(repo.path().join("go"), "").expect("released");
    until("the runtime ends", || repo.path().join("ended").exists());
    assert_eq!(calls(&repo), 1);
    let rows = repo.rows(LoopFile::Intents);
    let recovered: Vec<_> = rows.iter().filter(|row| row["recovered"] == true).collect();
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0]["status"], "ambiguous");
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
