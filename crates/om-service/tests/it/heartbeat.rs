//! Heartbeats of a runtime that lives (decision D26).

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use om_model::Timestamp;
use serde_json::{Value, json};

use crate::support::{Repo, Server, wait_until};

fn heartbeat(repo: &Repo) -> Option<Value> {
    let text = fs::read_to_string(repo.runtime("heartbeat.v1.json")).ok()?;
    serde_json::from_str(&text).ok()
}

fn beating(repo: &Repo) -> Server {
    Server::with(repo, |config| {
        config.heartbeat_interval = Some(Duration::from_millis(5));
    })
}

/// A process that lives until it is killed.
struct Runtime(Child);

impl Runtime {
    fn start(repo: &Repo, loop_id: Option<&str>) -> Self {
        let child = Command::new("sleep").arg("600").spawn().expect("started");
        let active_run = json!({
            "pid": child.id(), "loop_id": loop_id, "stage": "loop_start",
            "updated_at": Timestamp::MAX.to_string(),
        });
        let path = repo.file(".superloop/active-run.json");
        fs::write(path, active_run.to_string()).expect("written");
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

#[test]
fn heartbeats_come_while_the_runtime_lives() {
    let repo = Repo::new();
    let runtime = Runtime::start(&repo, Some("nightly"));
    let _server = beating(&repo);
    wait_until("there are several", || {
        heartbeat(&repo).is_some_and(|beat| beat["sequence"].as_u64() > Some(2))
    });
    let beat = heartbeat(&repo).expect("there");
    assert_eq!(
        (&beat["schemaVersion"], &beat["loopId"]),
        (&json!("v1"), &json!("nightly"))
    );
    assert_eq!(
        (&beat["pid"], &beat["runId"]),
        (&json!(runtime.0.id()), &json!("r1"))
    );
    assert_eq!(beat["source"], "ops-manager-sprite-service");
    runtime.kill();
    wait_until("they stop", || {
        let before = heartbeat(&repo);
        std::thread::sleep(Duration::from_millis(50));
        heartbeat(&repo) == before
    });
}

#[test]
fn before_the_first_loop_begins_the_state_names_it() {
    let repo = Repo::new();
    let state = json!({"active": true, "current_loop_id": "nightly"});
    fs::write(repo.file(".superloop/state.json"), state.to_string()).expect("written");
    let runtime = Runtime::start(&repo, None);
    let _server = beating(&repo);
    wait_until("there is one", || heartbeat(&repo).is_some());
    runtime.kill();
}

#[test]
fn nothing_is_written_for_a_runtime_that_is_gone_or_another_process() {
    let repo = Repo::new();
    let runtime = Runtime::start(&repo, Some("nightly"));
    let pid = std::process::id();
    runtime.kill();
    let server = beating(&repo);
    for _ in 0..20 {
        assert_eq!(server.get("/healthz").status, 200);
        std::thread::sleep(Duration::from_millis(5));
    }
    // A live process that started long after this was written.
    let reused = json!({"pid": pid, "loop_id": "nightly", "updated_at": "2001-01-01T00:00:00Z"});
    let path = repo.file(".superloop/active-run.json");
    fs::write(path, reused.to_string()).expect("written");
    for _ in 0..20 {
        assert_eq!(server.get("/healthz").status, 200);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(heartbeat(&repo), None);
}
