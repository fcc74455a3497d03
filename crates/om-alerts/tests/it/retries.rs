//! Failed deliveries are tried again (decision D10).

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use om_alerts::{Environment, Resolver};
use om_model::alerts::DispatchStatus;
use om_model::json;
use om_store::LoopFile;
use serde_json::{Value, json};

use crate::receiver::{Receiver, Reply};
use crate::support::{World, built_in, config, each, row, webhook};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Two webhooks that fail with 503 until they are up.
struct Outage {
    world: World,
    receiver: Receiver,
    up: Arc<AtomicBool>,
}

fn outage() -> Outage {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let receiver = Receiver::scripted(move |_| {
        if is_up.load(Ordering::SeqCst) {
            Reply::ok()
        } else {
            Reply::Say(503, "down".to_owned())
        }
    });
    let url = receiver.url("/");
    let environment = Environment::fixed([("URL", url.as_str())]);
    let sinks = json!({"a": webhook("URL"), "b": webhook("URL")});
    let world = World::new(&config(sinks), environment);
    Outage {
        world,
        receiver,
        up,
    }
}

impl Outage {
    fn is_over(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    fn reasons(&self) -> Vec<Value> {
        let rows = self.world.rows();
        each(&rows, "reasonCode").into_iter().cloned().collect()
    }

    fn escalate(&self, categories: &[&str]) {
        let rows: Vec<String> = categories.iter().map(|c| row(c, "t").to_string()).collect();
        self.world.escalate(&rows);
    }
}

#[test]
fn a_failed_delivery_is_remembered() {
    let outage = outage();
    outage.escalate(&["x"]);
    let state = outage.world.run("t-1");
    assert_eq!(state.status, DispatchStatus::Failed);
    insta::assert_snapshot!(outage.world.portrait(&state));
}

#[test]
fn a_run_by_hand_replays_all_failures_at_once() {
    let outage = outage();
    outage.escalate(&["x", "y"]);
    outage.world.run("t-1");
    outage.is_over();
    outage.escalate(&["z"]);
    let state = outage.world.run("t-2");
    assert_eq!(state.status, DispatchStatus::Success);
    assert_eq!(
        (
            state.processed_count,
            state.retried_count,
            state.pending_count
        ),
        (1, 4, 0)
    );
    let rows = outage.world.rows();
    let told: Vec<_> = rows[2..]
        .iter()
        .map(|row| (&row["escalationCategory"], &row["status"], &row["attempt"]))
        .map(|(category, status, attempt)| json!([category, status, attempt]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["x", "dispatched", 2]),
            json!(["y", "dispatched", 2]),
            json!(["z", "dispatched", 1])
        ]
    );
}

#[test]
fn only_the_sinks_that_failed_are_told_again() {
    let outage = outage();
    let good = Receiver::saying(Reply::ok());
    let (bad_url, good_url) = (outage.receiver.url("/"), good.url("/"));
    let environment = Environment::fixed([("BAD", bad_url.as_str()), ("GOOD", good_url.as_str())]);
    let sinks = json!({"a": webhook("GOOD"), "b": webhook("BAD")});
    let world = World::new(&config(sinks), environment);
    world.escalate(&[row("x", "t").to_string()]);
    assert_eq!(world.run("t-1").status, DispatchStatus::Partial);
    outage.is_over();
    world.run("t-2");
    let retried = &world.rows()[1];
    assert_eq!(retried["status"], "dispatched");
    assert_eq!(
        (&retried["sinkCount"], &retried["sinks"][0]["id"]),
        (&json!(1), &json!("b"))
    );
    assert_eq!((good.count(), outage.receiver.count()), (1, 2));
}

#[test]
fn reconcile_waits_for_the_pauses() {
    let outage = outage();
    outage.escalate(&["x"]);
    outage.world.pass("t-1");
    let mut attempts = 1;
    for pause in [30, 60, 120, 240, 480, 960, 1_920, 3_600] {
        outage.world.later(pause - 1);
        assert_eq!(outage.world.pass("early").retried_count, 0, "after {pause}");
        outage.world.later(1);
        assert_eq!(outage.world.pass("due").retried_count, 2, "after {pause}");
        attempts += 1;
        let state = outage.world.state();
        assert_eq!(state["pendingDeliveries"][0]["attempts"], attempts);
    }
}

#[test]
fn after_ten_attempts_only_a_person_tries_again() {
    let outage = outage();
    outage.escalate(&["x"]);
    outage.world.pass("t-1");
    for _ in 2..=10 {
        outage.world.later(HOUR);
        outage.world.pass("t-n");
    }
    let state = outage.world.state();
    assert_eq!(
        state["pendingDeliveries"][0]["reasonCode"],
        "delivery_abandoned"
    );
    let rows = outage.world.rows();
    let last = &rows[rows.len() - 1];
    insta::assert_snapshot!(json::pretty(last));
    outage.world.later(2 * HOUR);
    assert_eq!(outage.world.pass("t-n").retried_count, 0);
    let by_hand = outage.world.run("t-hand");
    assert_eq!((by_hand.retried_count, by_hand.pending_count), (2, 2));
    // Said once per delivery, not with every further attempt.
    let abandoned = outage
        .reasons()
        .iter()
        .filter(|r| **r == "delivery_abandoned")
        .count();
    assert_eq!(abandoned, 2);
    outage.is_over();
    assert_eq!(outage.world.run("t-hand").pending_count, 0);
}

#[test]
fn after_a_day_only_a_person_tries_again() {
    let outage = outage();
    outage.escalate(&["x"]);
    outage.world.pass("t-1");
    outage.world.later(DAY);
    let state = outage.world.pass("t-2");
    assert_eq!((state.retried_count, state.pending_count), (0, 2));
    assert_eq!(outage.receiver.count(), 2);
    assert_eq!(
        outage.reasons()[1..],
        ["delivery_abandoned", "delivery_abandoned"]
    );
    outage.is_over();
    assert_eq!(outage.world.run("t-3").pending_count, 0);
}

#[test]
fn after_a_week_a_delivery_is_forgotten_with_a_row() {
    let outage = outage();
    outage.escalate(&["x"]);
    outage.world.pass("t-1");
    outage.world.later(7 * DAY + 1);
    let state = outage.world.run("t-2");
    assert_eq!((state.retried_count, state.pending_count), (0, 0));
    let rows = outage.world.rows();
    assert_eq!(
        outage.reasons()[1..],
        ["delivery_dropped", "delivery_dropped"]
    );
    assert_eq!(each(&rows[1..], "sinkId"), ["a", "b"]);
    assert_eq!(each(&rows[1..], "escalationCategory"), ["x", "x"]);
    assert_eq!(outage.receiver.count(), 2);
}

#[test]
fn a_sink_that_is_removed_or_disabled_ends_its_deliveries() {
    for (member, value) in [
        ("/sinks/a", Value::Null),
        ("/sinks/a/enabled", json!(false)),
    ] {
        let mut outage = outage();
        outage.escalate(&["x"]);
        outage.world.run("t-1");
        outage.is_over();
        let mut changed = config(json!({"a": webhook("URL"), "b": webhook("URL")}));
        changed["routing"]["defaultSinks"] = json!(["b"]);
        if value.is_null() {
            changed["sinks"].as_object_mut().expect("sinks").remove("a");
        } else {
            *changed.pointer_mut(member).expect("a member") = value;
        }
        outage.world.resolver = built_in(&changed);
        let state = outage.world.run("t-2");
        assert_eq!(
            (state.retried_count, state.pending_count),
            (1, 0),
            "{member}"
        );
        let rows = outage.world.rows();
        assert_eq!(rows[1]["status"], "dispatched", "{member}");
        assert_eq!(rows[1]["sinks"][0]["id"], "b", "{member}");
        assert_eq!(rows[2]["reasonCode"], "delivery_sink_removed", "{member}");
        assert_eq!(rows[2]["sinkId"], "a", "{member}");
    }
}

#[test]
fn a_sink_that_is_no_longer_routed_to_still_gets_what_it_missed() {
    let mut outage = outage();
    outage.escalate(&["x"]);
    outage.world.run("t-1");
    outage.is_over();
    let mut changed = config(json!({"a": webhook("URL"), "b": webhook("URL")}));
    changed["routing"]["defaultSinks"] = json!([]);
    outage.world.resolver = built_in(&changed);
    assert_eq!(outage.world.run("t-2").pending_count, 0);
    assert_eq!(outage.world.rows()[1]["dispatchedSinkCount"], 2);
}

#[test]
fn a_row_that_was_changed_is_not_sent_as_something_else() {
    let outage = outage();
    outage.escalate(&["x"]);
    outage.world.run("t-1");
    outage.is_over();
    let other = row("other", "t").to_string() + "\n";
    fs::write(outage.world.path(LoopFile::Escalations), other).expect("written");
    let state = outage.world.run("t-2");
    assert_eq!((state.retried_count, state.pending_count), (0, 0));
    assert_eq!(outage.receiver.count(), 2);
    let missing = ["delivery_source_missing", "delivery_source_missing"];
    assert_eq!(outage.reasons()[1..], missing);
}

#[test]
fn without_the_escalations_nothing_is_tried_and_nothing_forgotten() {
    let outage = outage();
    outage.escalate(&["x"]);
    outage.world.run("t-1");
    fs::remove_file(outage.world.path(LoopFile::Escalations)).expect("removed");
    let state = outage.world.run("t-2");
    assert_eq!(state.status, DispatchStatus::NoSource);
    assert_eq!((state.retried_count, state.pending_count), (0, 2));
}

#[test]
fn a_row_that_could_not_be_routed_is_routed_later() {
    let mut outage = outage();
    outage.is_over();
    let good = std::mem::replace(
        &mut outage.world.resolver,
        Resolver::Broken("error: x".into()),
    );
    outage.escalate(&["x"]);
    assert_eq!(outage.world.pass("t-1").pending_count, 1);
    outage.world.later(30);
    outage.world.pass("t-2");
    let rows = outage.world.rows();
    assert_eq!(each(&rows, "attempt"), [1, 2]);
    assert_eq!(
        outage.reasons(),
        ["route_resolution_failed", "route_resolution_failed"]
    );
    outage.world.resolver = good;
    let state = outage.world.run("t-3");
    assert_eq!((state.retried_count, state.pending_count), (1, 0));
    let rows = outage.world.rows();
    assert_eq!(
        (&rows[2]["status"], &rows[2]["attempt"]),
        (&json!("dispatched"), &json!(3))
    );
}

#[test]
fn a_row_that_is_routed_late_keeps_its_age_for_each_sink_that_fails() {
    let mut outage = outage();
    let good = std::mem::replace(
        &mut outage.world.resolver,
        Resolver::Broken("error: x".into()),
    );
    outage.escalate(&["x"]);
    let first = outage.world.pass("t-1").updated_at;
    outage.world.later(HOUR);
    outage.world.resolver = good;
    let state = outage.world.pass("t-2");
    let found: Vec<_> = state
        .pending_deliveries
        .iter()
        .map(|d| (d.sink_id.as_deref(), d.attempts, d.first_failed_at))
        .collect();
    assert_eq!(found, [(Some("a"), 2, first), (Some("b"), 2, first)]);
}

#[test]
fn due_deliveries_go_first_and_the_limit_is_about_new_lines() {
    let mut outage = outage();
    outage.escalate(&["x", "y"]);
    outage.world.run("t-1");
    outage.is_over();
    outage.escalate(&["z", "w"]);
    outage.world.max_escalations = 1;
    let state = outage.world.run("t-2");
    assert_eq!((state.retried_count, state.processed_count), (4, 1));
    let rows = outage.world.rows();
    assert_eq!(each(&rows[2..], "escalationCategory"), ["x", "y", "z"]);
}

#[test]
fn a_state_written_by_the_scripts_retries_nothing() {
    let outage = outage();
    outage.escalate(&["x"]);
    outage
        .world
        .write_state("{\"escalationsLineOffset\":1,\"failedCount\":1}");
    let state = outage.world.run("t-1");
    assert_eq!((state.retried_count, state.pending_count), (0, 0));
}

#[test]
fn a_pass_gives_up_on_a_sink_that_does_not_answer_and_leaves_its_retries_as_they_are() {
    let hangs = Arc::new(AtomicBool::new(false));
    let does_hang = Arc::clone(&hangs);
    let receiver = Receiver::scripted(move |_| {
        if does_hang.load(Ordering::SeqCst) {
            Reply::Hang
        } else {
            Reply::Say(503, "down".to_owned())
        }
    });
    let is_up = Arc::clone(&hangs);
    let good = Receiver::scripted(move |_| {
        if is_up.load(Ordering::SeqCst) {
            Reply::ok()
        } else {
            Reply::Say(503, "down".to_owned())
        }
    });
    let (bad_url, good_url) = (receiver.url("/"), good.url("/"));
    let environment = Environment::fixed([("BAD", bad_url.as_str()), ("GOOD", good_url.as_str())]);
    let mut hurried = webhook("BAD");
    hurried["timeoutSeconds"] = json!(1);
    let sinks = json!({"bad": hurried, "good": webhook("GOOD")});
    let world = World::new(&config(sinks), environment);
    world.escalate(&["a", "b", "c"].map(|category| row(category, "t").to_string()));
    world.pass("t-1");
    hangs.store(true, Ordering::SeqCst);
    let before = (receiver.count(), good.count());
    world.later(60);
    world.escalate(&[row("new", "t").to_string()]);
    let state = world.pass("t-2");
    // One retry and the new row; the other sink gets all of its own.
    assert_eq!(receiver.count() - before.0, 2);
    assert_eq!(good.count() - before.1, 4);
    let attempts: Vec<_> = state
        .pending_deliveries
        .iter()
        .map(|pending| (pending.line, pending.attempts, pending.trace_id.as_str()))
        .collect();
    assert_eq!(
        attempts,
        [(1, 2, "t-2"), (2, 1, "t-1"), (3, 1, "t-1"), (4, 1, "t-2")]
    );
    assert_eq!(state.retried_count, 4);
    // By hand all of them are tried.
    let before = receiver.count();
    world.run("t-3");
    assert_eq!(receiver.count() - before, 4);
}
