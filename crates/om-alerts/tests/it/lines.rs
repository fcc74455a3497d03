//! What becomes of each line of the escalations (chapter 04 §3.4.1, §3.4.2,
//! §3.5.2).

use std::fs;

use om_alerts::{DispatchError, Environment, Resolver, RetryMode};
use om_model::alerts::DispatchStatus;
use om_model::json;
use om_store::LoopFile;
use serde_json::{Value, json};

use crate::receiver::{Receiver, Reply};
use crate::support::{World, config, each, row, webhook};

fn world(reply: Reply) -> (World, Receiver) {
    let receiver = Receiver::saying(reply);
    let url = receiver.url("/");
    let environment = Environment::fixed([("URL", url.as_str())]);
    (
        World::new(&config(json!({"relay": webhook("URL")})), environment),
        receiver,
    )
}

fn gated(severity: &str) -> String {
    json!({"category": "c", "severity": severity, "timestamp": "2031-05-02T08:00:01Z"}).to_string()
}

#[test]
fn every_kind_of_line_has_its_row_and_its_counter() {
    let (world, receiver) = world(Reply::ok());
    world.escalate(&[
        "  ".to_owned(),
        "{\"half\":".to_owned(),
        json!({"loopId": "x"}).to_string(),
        "null".to_owned(),
        gated("high"),
        gated("info"),
        gated("critical"),
    ]);
    let state = world.run("t-run");
    assert_eq!(receiver.count(), 1);
    assert_eq!(state.status, DispatchStatus::Partial);
    insta::assert_snapshot!(world.portrait(&state));
    let rows: Vec<String> = world.rows().iter().map(json::pretty).collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn what_the_counters_say_of_each_kind_alone() {
    let (critical, low) = (gated("critical"), gated("info"));
    for (line, reply, counts, codes, status) in [
        ("", Reply::ok(), [1, 0, 1, 0], json!([]), "success"),
        (
            "x",
            Reply::ok(),
            [1, 0, 0, 1],
            json!(["invalid_escalation_json"]),
            "failed",
        ),
        (
            "{}",
            Reply::ok(),
            [1, 0, 0, 1],
            json!(["missing_escalation_category"]),
            "failed",
        ),
        (&low, Reply::ok(), [1, 0, 1, 0], json!([]), "success"),
        (&critical, Reply::ok(), [1, 1, 0, 0], json!([]), "success"),
        (
            &critical,
            Reply::Say(500, String::new()),
            [1, 0, 0, 1],
            json!(["http_error"]),
            "failed",
        ),
    ] {
        let (world, _receiver) = world(reply);
        world.escalate(&[line.to_owned()]);
        let state = json::to_value(&world.run("t-run"));
        let members = [
            "processedCount",
            "dispatchedCount",
            "skippedCount",
            "failedCount",
        ];
        let found = members.map(|member| state[member].as_u64().expect("a count"));
        assert_eq!(found, counts, "{line}");
        assert_eq!(state["failureReasonCodes"], codes, "{line}");
        assert_eq!(state["status"], status, "{line}");
        assert_eq!(state["escalationsLineOffset"], 1, "{line}");
        assert_eq!(world.state(), state, "{line}");
    }
}

#[test]
fn no_enabled_sink_is_a_skip() {
    let mut config = config(json!({"relay": webhook("URL")}));
    config["sinks"]["relay"]["enabled"] = json!(false);
    let world = World::new(&config, Environment::fixed([]));
    world.escalate(&[row("c", "t").to_string()]);
    let state = world.run("t-run");
    assert_eq!(state.skipped_count, 1);
    assert_eq!(world.rows()[0]["reasonCode"], "no_dispatchable_sinks");
}

#[test]
fn a_missing_secret_fails_its_own_sink_only() {
    let receiver = Receiver::saying(Reply::ok());
    let url = receiver.url("/");
    let sinks = json!({"here": webhook("URL"), "gone": webhook("UNSET")});
    let world = World::new(&config(sinks), Environment::fixed([("URL", url.as_str())]));
    world.escalate(&[row("c", "t").to_string()]);
    let state = json::to_value(&world.run("t-run"));
    assert_eq!(state["failureReasonCodes"], json!(["missing_secret"]));
    assert_eq!(state["status"], "partial");
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_configuration_that_cannot_be_used_fails_every_row() {
    let (mut world, receiver) = world(Reply::ok());
    world.resolver = Resolver::Broken("error: alert sink config file\nnot found: x\n".to_owned());
    world.escalate(&[row("c", "t").to_string()]);
    let state = world.run("t-run");
    assert_eq!((state.failed_count, state.pending_count), (1, 1));
    let recorded = &world.rows()[0];
    assert_eq!(recorded["reasonCode"], "route_resolution_failed");
    assert_eq!(
        recorded["message"],
        "error: alert sink config file not found: x"
    );
    assert_eq!(receiver.count(), 0);
}

#[test]
fn without_a_file_there_is_no_source() {
    let (world, _receiver) = world(Reply::ok());
    let state = world.run("t-run");
    assert_eq!(state.status, DispatchStatus::NoSource);
    assert!(
        world
            .path(LoopFile::AlertRows)
            .parent()
            .expect("a folder")
            .is_dir()
    );
    assert!(!world.path(LoopFile::AlertRows).exists());
    world.write_state("{\"escalationsLineOffset\":7}");
    let state = world.run("t-run");
    assert_eq!(
        (state.escalations_line_offset, state.escalations_line_count),
        (7, 7)
    );
}

#[test]
fn lines_are_sent_once() {
    let (world, receiver) = world(Reply::ok());
    world.escalate(&[row("a", "t").to_string(), row("b", "t").to_string()]);
    assert_eq!(world.run("t-1").dispatched_count, 2);
    let state = world.run("t-2");
    assert_eq!(state.status, DispatchStatus::NoNewEscalations);
    assert_eq!(
        (state.processed_count, state.escalations_line_offset),
        (0, 2)
    );
    world.escalate(&[row("c", "t").to_string()]);
    assert_eq!(world.run("t-3").dispatched_count, 1);
    let categories: Vec<Value> = receiver
        .received()
        .iter()
        .map(|request| request.json()["event"]["category"].clone())
        .collect();
    assert_eq!(categories, ["a", "b", "c"]);
}

#[test]
fn a_limit_is_about_lines_of_any_kind() {
    let (mut world, receiver) = world(Reply::ok());
    let lines = [
        "",
        "x",
        &row("a", "t").to_string(),
        &row("b", "t").to_string(),
    ];
    world.escalate(&lines.map(str::to_owned));
    world.max_escalations = 3;
    let state = world.run("t-1");
    assert_eq!(
        (state.processed_count, state.escalations_line_offset),
        (3, 3)
    );
    assert_eq!(receiver.count(), 1);
    assert_eq!(world.run("t-2").processed_count, 1);
}

#[test]
fn a_line_without_its_newline_is_not_there_yet() {
    let (world, receiver) = world(Reply::ok());
    let path = world.path(LoopFile::Escalations);
    fs::write(&path, "{\"category\":\"a\"}\n{\"category\":").expect("written");
    let state = world.run("t-1");
    assert_eq!(
        (state.escalations_line_offset, state.escalations_line_count),
        (1, 1)
    );
    fs::write(&path, "{\"category\":\"a\"}\n{\"category\":\"b\"}\n").expect("written");
    assert_eq!(world.run("t-2").dispatched_count, 1);
    assert_eq!(receiver.count(), 2);
}

#[test]
fn a_cursor_beyond_the_log_is_an_error_and_changes_nothing() {
    let (world, receiver) = world(Reply::ok());
    world.escalate(&[row("a", "t").to_string()]);
    world.write_state("{\"escalationsLineOffset\":2}");
    let error = world
        .try_run("t-1", RetryMode::All)
        .expect_err("is refused");
    assert!(matches!(error, DispatchError::Ahead { .. }));
    assert_eq!(
        error.to_string(),
        "dispatch state offset is ahead of escalation file: 2 > 1"
    );
    assert_eq!(world.state(), json!({"escalationsLineOffset": 2}));
    assert_eq!((world.rows().len(), receiver.count()), (0, 0));
}

#[test]
fn rows_carry_the_loop_they_are_about() {
    let (world, _receiver) = world(Reply::ok());
    let other = json!({"category": "c", "loopId": "other", "traceId": "t-77"});
    let low = json!({"category": "c", "loopId": "other", "severity": "info"});
    world.escalate(&[other.to_string(), low.to_string()]);
    world.run("t-run");
    let rows = world.rows();
    assert_eq!(each(&rows, "loopId"), ["other", "nightly-7"]);
    assert_eq!(each(&rows, "traceId"), ["t-run", "t-run"]);
    assert_eq!(each(&rows, "escalationTraceId"), ["t-77", "t-run"]);
}

#[test]
fn a_row_of_any_size_is_sent_and_recorded() {
    let (world, receiver) = world(Reply::ok());
    let large = json!({"category": "c", "log": "x".repeat(1 << 20)});
    world.escalate(&[large.to_string()]);
    assert_eq!(world.run("t-run").dispatched_count, 1);
    assert_eq!(receiver.received()[0].json()["escalation"], large);
    assert_eq!(world.rows()[0]["escalation"], large);
}

#[test]
fn the_cursor_can_be_set_back_by_hand() {
    let (world, receiver) = world(Reply::ok());
    world.escalate(&["a", "b", "c"].map(|category| row(category, "t").to_string()));
    let state = world.run("t-1");
    assert_eq!(state.last_consumed_line.map(|last| last.line), Some(3));
    let mut edited = world.state();
    edited["escalationsLineOffset"] = json!(1);
    world.write_state(&edited.to_string());
    assert_eq!(world.run("t-2").dispatched_count, 2);
    assert_eq!(receiver.count(), 5);
}

#[test]
fn a_log_that_was_replaced_is_counted_again() {
    let (world, receiver) = world(Reply::ok());
    world.escalate(&["a", "b"].map(|category| row(category, "t").to_string()));
    world.run("t-1");
    let path = world.path(LoopFile::Escalations);
    let lines = ["x", "y", "z"].map(|category| row(category, "longer").to_string() + "\n");
    fs::write(&path, lines.concat()).expect("written");
    let state = world.run("t-2");
    assert_eq!(
        (state.processed_count, state.escalations_line_count),
        (1, 3)
    );
    assert_eq!(receiver.received()[2].json()["event"]["category"], "z");
}

#[test]
fn a_byte_order_mark_and_a_bare_nan_do_not_break_a_row() {
    let (world, receiver) = world(Reply::Say(503, "down".to_owned()));
    let mark = "\u{feff}";
    world.escalate(&[
        format!(r#"{mark}{{"category":"a","x":NaN}}"#),
        format!(r#"{mark}{{"category":"b"}}"#),
    ]);
    world.run("t-1");
    let rows = world.rows();
    assert_eq!(rows[0]["escalationCategory"], "a");
    assert_eq!(rows[1]["reasonCode"], "invalid_escalation_json");
    // The row is recognised when it is tried again.
    world.run("t-2");
    let sent = receiver.received();
    assert_eq!(sent.len(), 2);
    for request in sent {
        assert_eq!(
            request.json()["escalation"],
            json!({"category": "a", "x": null})
        );
    }
}
