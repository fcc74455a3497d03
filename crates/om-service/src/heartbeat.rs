//! Heartbeats for loops whose runtime process lives (decision D26).

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use om_control::owner;
use om_model::{Artifact, LoopId, Timestamp, json};
use om_store::{RepoLayout, read_artifact};
use om_transport::heartbeat::{Alive, write_heartbeat};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;

/// Who writes them.
const SOURCE: &str = "ops-manager-sprite-service";

/// Seconds by which clocks and roundings may make a process look younger than
/// what it wrote.
const CLOCK_SLACK: u64 = 5;

/// Clock ticks per second in `/proc`, the same on every Linux system.
const TICKS_PER_SECOND: u64 = 100;

/// Writes heartbeats, again and again.
pub(crate) async fn beat(app: Arc<App>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if app.read(|app| beat_once(&app.layout)).await.is_err() {
            tracing::warn!("no heartbeat this time: too much to do");
        }
    }
}

fn beat_once(layout: &RepoLayout) {
    let Some((loop_id, pid)) = running(layout) else {
        return;
    };
    let alive = Alive {
        pid: Some(pid),
        run_id: None,
        source: SOURCE.to_owned(),
        details: None,
    };
    let runtime = layout.runtime(&loop_id);
    if let Err(error) = write_heartbeat(&runtime, &loop_id, &alive, App::now()) {
        tracing::warn!(%error, %loop_id, "no heartbeat");
    }
}

/// The loop that runs, and its live process.
fn running(layout: &RepoLayout) -> Option<(LoopId, u32)> {
    // The files that all loops share have a place under any loop's layout.
    let shared = layout.runtime(&LoopId::new("-").ok()?);
    let active_run = document(read_artifact(&shared.active_run()))?;
    let pid = u32::try_from(json::digits(active_run.get("pid")?)?).ok()?;
    let written = active_run.get("updated_at").and_then(Value::as_str);
    if pid == 0 || !is_alive(pid, written.and_then(Timestamp::parse)) {
        return None;
    }
    // Before the first loop begins, only the state names it.
    let loop_id = json::non_empty_text(active_run.get("loop_id")).or_else(|| {
        let state = document(read_artifact(&shared.state()))?;
        json::non_empty_text(state.get("current_loop_id"))
    });
    Some((LoopId::new(loop_id?).ok()?, pid))
}

fn document<E>(read: Result<Artifact, E>) -> Option<Value> {
    match read.ok()? {
        Artifact::Document(value) => Some(value),
        Artifact::Absent | Artifact::Broken(_) => None,
    }
}

/// Whether `pid` lives and is the process that wrote of itself at `written`:
/// one that started later has only inherited the number.
fn is_alive(pid: u32, written: Option<Timestamp>) -> bool {
    if !owner::process_lives(pid, None) {
        return false;
    }
    match (started(pid), written) {
        (Some(started), Some(written)) => started.seconds_since(written) <= CLOCK_SLACK,
        _ => true,
    }
}

/// When a process started; `None` where the system does not tell.
fn started(pid: u32) -> Option<Timestamp> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name in field 2 may contain anything; the rest follows its last ")".
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let boot: u64 = boot.trim().parse().ok()?;
    let seconds = i64::try_from(boot + ticks / TICKS_PER_SECOND).ok()?;
    Some(Timestamp::from_epoch_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_started_after_it_was_named_is_another_one() {
        let pid = std::process::id();
        assert!(is_alive(pid, None));
        assert!(is_alive(pid, Some(Timestamp::MAX)));
        assert!(is_alive(pid, Some(App::now())));
        assert!(!is_alive(pid, Some(Timestamp::EPOCH)));
    }

    #[test]
    fn the_start_of_a_process_is_not_ahead_of_the_clock() {
        let started = started(std::process::id()).expect("the system tells");
        assert!(started.seconds_since(App::now()) <= CLOCK_SLACK);
    }
}
