//! Reading the state of the run before, and keeping it (chapter 04 §3.3).

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use om_alerts::{Courier, DispatchError, Environment, RetryMode, dispatch};
use om_model::alerts::DispatchStatus;
use om_store::{LoopFile, Scope};
use serde_json::json;

use crate::receiver::{Receiver, Reply};
use crate::support::{World, block_on, config, now, row, webhook};

fn world() -> (World, Receiver) {
    let receiver = Receiver::saying(Reply::ok());
    let url = receiver.url("/");
    let environment = Environment::fixed([("URL", url.as_str())]);
    let world = World::new(&config(json!({"relay": webhook("URL")})), environment);
    let rows = ["a", "b", "c"].map(|category| row(category, "t").to_string());
    world.escalate(&rows);
    (world, receiver)
}

#[test]
fn where_a_run_goes_on() {
    for (state, sent) in [
        ("", 3),
        (" \n", 3),
        ("null", 3),
        ("{}", 3),
        ("{\"escalationsLineOffset\":2}", 1),
        ("{\"escalationsLineOffset\":2.0}", 1),
        ("{\"escalationsLineOffset\":\"2\"}", 1),
        ("{\"escalationsLineOffset\":\"002\"}", 1),
        ("{\"escalationsLineOffset\":-1}", 3),
        ("{\"escalationsLineOffset\":1.5}", 3),
        ("{\"escalationsLineOffset\":\"x\"}", 3),
        ("{\"escalationsLineOffset\":true}", 3),
        ("{\"escalationsLineOffset\":[2]}", 3),
        ("{\"escalationsLineOffset\":3}", 0),
        (
            "{\"escalationsLineOffset\":2,\"pendingDeliveries\":null}",
            1,
        ),
    ] {
        let (world, receiver) = world();
        world.write_state(state);
        world.run("t-run");
        assert_eq!(receiver.count(), sent, "{state}");
    }
}

#[test]
fn a_state_that_cannot_be_used_is_left_as_it_is() {
    for state in [
        "{",
        "{} {}",
        "[]",
        "7",
        "\"x\"",
        "{\"pendingDeliveries\":{}}",
        "{\"pendingDeliveries\":[{\"line\":1}]}",
        "{\"pendingDeliveries\":[7]}",
    ] {
        let (world, receiver) = world();
        world.write_state(state);
        let error = world.try_run("t-run", RetryMode::All).expect_err("refused");
        let path = world.path(LoopFile::AlertDispatchState);
        let fragment = format!("invalid dispatch state JSON: {}", path.display());
        assert!(error.to_string().starts_with(&fragment), "{error}");
        assert_eq!(fs::read_to_string(path).expect("is there"), state);
        assert_eq!((receiver.count(), world.rows().len()), (0, 0));
    }
}

#[test]
fn an_edit_during_a_run_is_not_overwritten_and_what_was_sent_is_recorded() {
    let state_file: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let edited = Arc::clone(&state_file);
    let receiver = Receiver::scripted(move |request| {
        let state = edited.lock().expect("not poisoned").clone();
        if let (Some(path), true) = (state, request.json()["event"]["category"] == "b") {
            fs::write(path, "{\"escalationsLineOffset\":0}").expect("edited");
        }
        Reply::ok()
    });
    let url = receiver.url("/");
    let environment = Environment::fixed([("URL", url.as_str())]);
    let world = World::new(&config(json!({"relay": webhook("URL")})), environment);
    *state_file.lock().expect("not poisoned") = Some(world.path(LoopFile::AlertDispatchState));
    world.escalate(&["a", "b", "c"].map(|category| row(category, "t").to_string()));
    let error = world.try_run("t-1", RetryMode::All).expect_err("stops");
    assert!(matches!(error, DispatchError::StateChanged(_)), "{error}");
    assert_eq!(world.rows().len(), 2);
    assert_eq!(world.state(), json!({"escalationsLineOffset": 0}));
}

#[test]
fn files_may_lie_anywhere() {
    let (world, receiver) = world();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut request = world.request("t-run", RetryMode::All);
    request.paths.state = elsewhere.path().join("deep/er/state.json");
    request.paths.telemetry = elsewhere.path().join("rows/alerts.jsonl");
    let state = world.run_request(&request).expect("a run");
    assert_eq!(state.status, DispatchStatus::Success);
    assert_eq!(receiver.count(), 3);
    let rows = fs::read_to_string(&request.paths.telemetry).expect("rows");
    assert_eq!(rows.lines().count(), 3);
    assert!(!world.path(LoopFile::AlertDispatchState).exists());
    assert_eq!(
        state.dispatch_telemetry_file,
        request.paths.telemetry.display().to_string()
    );
}

#[test]
fn two_runs_at_the_same_time_send_every_row_once() {
    let (world, receiver) = world();
    let request = world.request("t-run", RetryMode::All);
    let scope_dir = world.path(LoopFile::State);
    let scope_dir = scope_dir.parent().expect("a folder");
    let (resolver, environment) = (&world.resolver, world.courier.environment());
    let run = || {
        let scope = Scope::open(scope_dir).expect("a scope");
        let courier = Courier::new(environment.clone());
        block_on(dispatch(&request, &scope, resolver, &courier, now)).expect("a run")
    };
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(run);
        }
    });
    assert_eq!(receiver.count(), 3);
}

#[test]
fn nothing_is_sent_that_could_not_be_recorded() {
    for file in [LoopFile::AlertRows, LoopFile::AlertDispatchState] {
        let (world, receiver) = world();
        fs::create_dir_all(world.path(file)).expect("in the way");
        for _ in 0..2 {
            world.try_run("t-run", RetryMode::All).expect_err("stops");
        }
        assert_eq!(receiver.count(), 0, "{file:?}");
        assert_eq!(world.rows().len(), 0);
    }
}

#[test]
fn looking_whether_rows_can_be_written_leaves_nothing_behind() {
    let (world, receiver) = world();
    fs::create_dir_all(world.path(LoopFile::AlertDispatchState)).expect("in the way");
    world.try_run("t-run", RetryMode::All).expect_err("stops");
    let rows = world.path(LoopFile::AlertRows);
    let folder = rows.parent().expect("a folder");
    assert_eq!(fs::read_dir(folder).expect("is there").count(), 0);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn who_cannot_record_what_was_sent_says_that_it_was_sent() {
    let in_the_way: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let path = Arc::clone(&in_the_way);
    let receiver = Receiver::scripted(move |_| {
        if let Some(path) = path.lock().expect("not poisoned").clone() {
            fs::create_dir_all(path).expect("in the way");
        }
        Reply::ok()
    });
    let url = receiver.url("/");
    let environment = Environment::fixed([("URL", url.as_str())]);
    let world = World::new(&config(json!({"relay": webhook("URL")})), environment);
    *in_the_way.lock().expect("not poisoned") = Some(world.path(LoopFile::AlertRows));
    world.escalate(&[row("a", "t").to_string()]);
    let error = world.try_run("t-1", RetryMode::All).expect_err("stops");
    assert_eq!(receiver.count(), 1);
    let text = error.to_string();
    assert!(text.starts_with("an alert was sent, but"), "{text}");
    assert!(text.contains("alerts.jsonl"), "{text}");
}

#[test]
fn a_cursor_beyond_all_numbers_is_ahead_of_the_file() {
    for offset in [
        "1e30",
        "99999999999999999999999",
        "\"99999999999999999999999\"",
    ] {
        let (world, receiver) = world();
        world.write_state(&format!("{{\"escalationsLineOffset\":{offset}}}"));
        let error = world.try_run("t-run", RetryMode::All).expect_err("ahead");
        assert_eq!(
            error.to_string(),
            "dispatch state offset is ahead of escalation file: 9223372036854775807 > 3"
        );
        assert_eq!(receiver.count(), 0);
    }
}
