//! A run with nothing to deliver, as part of somebody else's commit.

use std::fs;
use std::time::Duration;

use om_alerts::{Environment, RetryMode, quiet};
use om_store::{Commit, CommitError, LoopFile, RunLock, Scope};
use serde_json::json;

use crate::receiver::{Receiver, Reply};
use crate::support::{World, config, row, webhook};

fn world(reply: Reply) -> (World, Receiver) {
    let receiver = Receiver::saying(reply);
    let url = receiver.url("/");
    let environment = Environment::fixed([("URL", url.as_str())]);
    let world = World::new(&config(json!({"relay": webhook("URL")})), environment);
    (world, receiver)
}

fn scope(world: &World) -> Scope {
    let state = world.path(LoopFile::AlertDispatchState);
    Scope::open(state.parent().expect("a folder")).expect("a scope")
}

/// Whether a run is quiet now; if so, its state is committed.
fn is_quiet(world: &World) -> bool {
    let scope = scope(world);
    let request = world.request("t-quiet", RetryMode::Due);
    let Some(quiet) = quiet(&request, &scope, world.now()) else {
        return false;
    };
    scope
        .commit(quiet.record(Commit::new()))
        .expect("committed");
    true
}

#[test]
fn the_state_is_what_a_run_would_have_written() {
    let (world, receiver) = world(Reply::ok());
    let telemetry = world.path(LoopFile::AlertRows);
    fs::create_dir_all(telemetry.parent().expect("a folder")).expect("made");
    // Without a source, with one that is consumed, and a minute later.
    for rows in [0, 0, 2] {
        if rows > 0 {
            world.escalate(&[row("a", "t").to_string(), String::new()]);
            assert!(!is_quiet(&world), "there is something to send");
            world.pass("t-run");
        }
        world.later(60);
        assert!(is_quiet(&world));
        let by_quiet = world.state();
        world.pass("t-quiet");
        assert_eq!(world.state(), by_quiet);
    }
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_delivery_that_is_due_is_not_quiet() {
    let (world, _receiver) = world(Reply::Say(500, String::new()));
    world.escalate(&[row("a", "t").to_string()]);
    world.pass("t-run");
    assert!(is_quiet(&world), "it waits");
    assert_eq!(world.state()["pendingCount"], 1);
    world.later(31);
    assert!(!is_quiet(&world));
}

#[test]
fn what_a_run_complains_about_is_not_quiet() {
    let (world, _receiver) = world(Reply::ok());
    world.escalate(&[row("a", "t").to_string()]);
    world.pass("t-run");
    for state in ["{", "[]", "{\"escalationsLineOffset\":7}"] {
        world.write_state(state);
        assert!(!is_quiet(&world), "{state}");
    }
}

#[test]
fn a_run_by_somebody_else_is_not_disturbed() {
    let (world, _receiver) = world(Reply::ok());
    world.escalate(&[row("a", "t").to_string()]);
    world.pass("t-run");
    let scope = scope(&world);
    let other = RunLock::acquire(scope.dir(), "alert-dispatch", Duration::ZERO).expect("free");
    assert!(!is_quiet(&world));
    drop(other);
    let request = world.request("t-quiet", RetryMode::Due);
    let quiet = quiet(&request, &scope, world.now()).expect("quiet");
    world.write_state("{}");
    let refused = scope.commit(quiet.record(Commit::new()));
    assert!(matches!(refused, Err(CommitError::Changed { .. })));
}

#[test]
fn a_state_that_cannot_be_replaced_is_not_quiet() {
    let (world, _receiver) = world(Reply::ok());
    world.pass("t-run");
    assert!(is_quiet(&world));
    let state = world.path(LoopFile::AlertDispatchState);
    fs::remove_file(&state).expect("removed");
    fs::create_dir(&state).expect("a folder");
    assert!(!is_quiet(&world));
}
