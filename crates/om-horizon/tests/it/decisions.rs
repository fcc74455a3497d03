//! People deciding about entries: control really runs, the decision is
//! committed before it and the outcome after.

use std::cell::RefCell;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use om_control::{ControlRequest, LocalControl, SystemClock, Transport};
use om_horizon::HorizonError;
use om_horizon::decide::{Approval, Call, Desk, read_queue};
use om_horizon::decision::{Author, Wanted};
use om_model::LoopId;
use om_model::control::{ControlRequestSettings, Intent};
use om_model::health::TransportMode;
use om_store::RepoLayout;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};

use crate::support::{Place, envelope, lines, trace};

/// The child's repository and the moment at which it dies.
const CHILD: &str = "OM_HORIZON_APPROVAL";

fn place() -> Place {
    let place = Place::new();
    place.send("a.jsonl", &lines(&[envelope("p", "1"), envelope("q", "1")]));
    place.run();
    place
}

/// A runtime that counts its calls and exits with `code`.
fn runtime(place: &Place, code: u8) {
    let path = place.repo().join("superloop.sh");
    let body = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\nexit {code}\n",
        calls_file(place)
    );
    let mut writer = Command::new("sh")
        .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh");
    std::io::Write::write_all(&mut writer.stdin.take().expect("a pipe"), body.as_bytes())
        .expect("written");
    assert!(writer.wait().expect("sh ends").success());
}

fn calls_file(place: &Place) -> String {
    place.repo().join("calls").display().to_string()
}

fn calls(place: &Place) -> usize {
    let text = fs::read_to_string(calls_file(place)).unwrap_or_default();
    text.lines().count()
}

fn desk(layout: RepoLayout) -> Desk {
    let bridge = om_horizon::Bridge::new(layout.clone(), trace("unused"));
    Desk {
        layout,
        queue_file: bridge.queue_file,
        telemetry_file: bridge.telemetry_file,
        author: Author {
            requested_by: "dana".to_owned(),
            note: Some("agreed by phone".to_owned()),
        },
        trace_id: None,
    }
}

fn wanted() -> Wanted {
    Wanted {
        loop_id: LoopId::new("nightly").expect("an id"),
        intent: Intent::Cancel,
        transport: TransportMode::Local,
    }
}

/// Calls the real control, without looking for the effect.
fn control(
    layout: &RepoLayout,
    call: Call<'_>,
) -> Result<om_control::ControlOutcome, om_control::ControlError> {
    let todo = wanted();
    let request = ControlRequest {
        layout: layout.clone(),
        loop_id: todo.loop_id,
        intent: todo.intent,
        requested_by: "dana".to_owned(),
        note: None,
        trace_id: call.trace_id.clone(),
        idempotency_key: Some(call.idempotency_key.to_owned()),
        settings: ControlRequestSettings {
            do_confirm: false,
            timeout_seconds: 0,
            interval_seconds: 0,
            retry_attempts: 1,
            retry_backoff_seconds: 0,
            runtime_timeout_seconds: Some(20),
            force_target: false,
        },
    };
    let local = LocalControl::from_env(layout);
    om_control::run(
        &request,
        Transport::Local(&local),
        &SystemClock::default(),
        &mut |_| {},
    )
}

fn approve(place: &Place, entry: &str, again: bool) -> Result<Approval, HorizonError> {
    let layout = place.layout();
    let desk = desk(layout.clone());
    desk.approve(
        entry,
        &wanted(),
        again,
        &SystemClock::default(),
        &mut |call| control(&layout, call),
    )
}

fn reject(place: &Place, entry: &str) -> Result<Value, HorizonError> {
    let row = desk(place.layout()).reject(entry, &SystemClock::default())?;
    Ok(om_model::json::to_value(&row))
}

fn entry(place: &Place, packet: &str) -> Value {
    let queue = place.queue();
    let entries = queue["intents"].as_array().expect("a list");
    let found = entries.iter().find(|entry| entry["packetId"] == packet);
    found.expect("is there").clone()
}

/// What differs from run to run, as constants.
fn scrubbed(mut value: Value) -> Value {
    let constant = |value: &mut Value| {
        if !value.is_null() {
            *value = json!("…");
        }
    };
    for path in [
        "/timestamp",
        "/updatedAt",
        "/createdAt",
        "/sourceFile",
        "/control/startedAt",
        "/execution/startedAt",
        "/execution/completedAt",
        "/execution/host",
        "/execution/bootId",
        "/execution/pid",
        "/execution/processStart",
    ] {
        if let Some(found) = value.pointer_mut(path) {
            constant(found);
        }
    }
    value
}

#[test]
fn an_approval_runs_control_and_records_what_came_of_it() {
    let place = place();
    runtime(&place, 0);
    let approval = approve(&place, "p", false).expect("approved");
    assert_eq!(calls(&place), 1);
    insta::assert_snapshot!(
        "approved_entry",
        om_model::json::pretty(&scrubbed(entry(&place, "p")))
    );
    let rows = place.rows_of("horizon_bridge_operator");
    assert_eq!(rows, [om_model::json::to_value(&approval.row)]);
    insta::assert_snapshot!(
        "approved_row",
        om_model::json::pretty(&scrubbed(rows[0].clone()))
    );
    let row = approval.control.expect("control ran").row;
    assert_eq!(
        (row.idempotency_key.as_str(), row.trace_id.as_str()),
        ("horizon-p-1", "1")
    );
    assert_eq!(
        entry(&place, "q")["status"],
        "pending_operator_confirmation"
    );
    assert_eq!(
        place.queue()["summary"],
        json!({"intentCount": 2, "pendingConfirmationCount": 1})
    );
    let again = approve(&place, "p", true)
        .expect_err("is refused")
        .to_string();
    assert!(again.starts_with("entry \"p::1\" is executed; "), "{again}");
    assert_eq!(calls(&place), 1);
}

#[test]
fn a_rejection_is_recorded_and_final() {
    let place = place();
    let row = reject(&place, "p::1").expect("rejected");
    insta::assert_snapshot!(
        "rejected_row",
        om_model::json::pretty(&scrubbed(row.clone()))
    );
    assert_eq!(place.rows_of("horizon_bridge_operator"), [row]);
    assert_eq!(entry(&place, "p")["status"], "rejected_by_operator");
    reject(&place, "q").expect("rejected");
    assert_eq!(
        place.queue()["reasonCodes"],
        json!(["horizon_bridge_queue_empty"])
    );
    let again = reject(&place, "p").expect_err("is refused").to_string();
    assert!(again.contains("is rejected_by_operator"), "{again}");
    // The bridge keeps what was decided.
    place.send("b.jsonl", &lines(&[envelope("p", "1")]));
    place.run();
    assert_eq!(entry(&place, "p")["status"], "rejected_by_operator");
}

#[test]
fn what_failed_is_executed_again_only_on_request_and_with_another_key() {
    let place = place();
    runtime(&place, 3);
    approve(&place, "p", false).expect("recorded");
    assert_eq!(entry(&place, "p")["status"], "execution_failed");
    let refused = approve(&place, "p", false)
        .expect_err("is refused")
        .to_string();
    assert!(refused.contains("add --again"), "{refused}");
    assert_eq!(calls(&place), 1);
    runtime(&place, 0);
    let approval = approve(&place, "p", true).expect("recorded");
    let control = approval.row.control.expect("was executed");
    assert_eq!(control.idempotency_key, "horizon-p-1-r1");
    assert_eq!(entry(&place, "p")["execution"]["attempts"], 2);
    assert_eq!(entry(&place, "p")["status"], "executed");
}

#[test]
fn a_control_that_did_nothing_is_a_failure() {
    let place = place();
    crate::support::put(
        &place
            .layout()
            .loop_files(&wanted().loop_id)
            .path(om_store::LoopFile::ControlPending),
        "not JSON",
    );
    let approval = approve(&place, "p", false).expect("recorded");
    assert!(approval.control.is_err());
    assert_eq!(entry(&place, "p")["status"], "execution_failed");
    let rows = place.rows_of("horizon_bridge_operator");
    assert_eq!(rows[0]["control"]["reasonCode"], "control_failed_command");
    assert_eq!(rows[0]["control"].get("exitCode"), None);
}

#[test]
fn edits_of_the_queue_while_control_runs_stay() {
    let place = place();
    runtime(&place, 0);
    let layout = place.layout();
    let seen = RefCell::new(Value::Null);
    let edited = |call: Call<'_>| {
        *seen.borrow_mut() = entry(&place, "p");
        let mut queue = place.queue();
        queue["intents"][1]["status"] = json!("on_hold");
        queue["owner"] = json!("dana");
        place.put_queue(&queue);
        place.send("b.jsonl", &lines(&[envelope("late", "1")]));
        place.run();
        control(&layout, call)
    };
    let mut act = edited;
    desk(place.layout())
        .approve("p", &wanted(), false, &SystemClock::default(), &mut act)
        .expect("approved");
    assert_eq!(seen.borrow()["status"], "execution_ambiguous");
    assert_eq!(seen.borrow()["execution"]["phase"], "begun");
    assert_eq!(entry(&place, "p")["status"], "executed");
    assert_eq!(entry(&place, "q")["status"], "on_hold");
    assert_eq!(
        entry(&place, "late")["status"],
        "pending_operator_confirmation"
    );
}

#[test]
fn an_entry_that_is_being_executed_is_nobody_elses() {
    let place = place();
    runtime(&place, 0);
    let layout = place.layout();
    let mut act = |call: Call<'_>| {
        for refused in [
            approve(&place, "p", true).map(|_| ()),
            reject(&place, "p").map(|_| ()),
        ] {
            let error = refused.expect_err("is refused").to_string();
            assert!(
                error.starts_with("entry \"p::1\" is being executed by process "),
                "{error}"
            );
        }
        // Others go on meanwhile.
        reject(&place, "q").expect("rejected");
        control(&layout, call)
    };
    desk(place.layout())
        .approve("p", &wanted(), false, &SystemClock::default(), &mut act)
        .expect("approved");
    assert_eq!(calls(&place), 1);
    assert_eq!(entry(&place, "p")["status"], "executed");
}

/// Where children run; nothing happens here in the parent.
#[test]
fn child_of_the_approval_tests() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let (moment, repo) = task.split_once('|').expect("two parts");
    let layout = RepoLayout::new(Path::new(repo).to_owned());
    let die = || kill_process(getpid(), Signal::KILL).expect("killed");
    let mut act = |call: Call<'_>| {
        if moment == "before" {
            die();
        }
        let outcome = control(&layout, call);
        die();
        outcome
    };
    let _ = desk(layout.clone()).approve("p", &wanted(), false, &SystemClock::default(), &mut act);
}

#[test]
fn an_approval_that_dies_leaves_the_entry_ambiguous_and_is_never_repeated() {
    for (moment, called, status) in [
        ("before", 0, "execution_ambiguous"),
        ("after", 1, "executed"),
    ] {
        let place = place();
        runtime(&place, 0);
        let died = Command::new(std::env::current_exe().expect("own path"))
            .args([
                "--exact",
                "decisions::child_of_the_approval_tests",
                "--test-threads=1",
            ])
            .env(CHILD, format!("{moment}|{}", place.repo().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("runs");
        assert_eq!(died.signal(), Some(9), "{moment}");
        assert_eq!(calls(&place), called, "{moment}");
        assert_eq!(
            entry(&place, "p")["status"],
            "execution_ambiguous",
            "{moment}"
        );
        assert_eq!(
            place.rows_of("horizon_bridge_operator"),
            Vec::<Value>::new()
        );
        let shown = read_queue(&place.layout(), &place.bridge().queue_file).expect("readable");
        assert_eq!(shown, place.queue());

        // The next decision, about whatever entry, says what became of it.
        reject(&place, "q").expect("rejected");
        let rows = place.rows_of("horizon_bridge_operator");
        assert_eq!(rows.len(), 2, "{moment}: {rows:?}");
        assert_eq!(
            (&rows[0]["packetId"], &rows[0]["recovered"]),
            (&json!("p"), &json!(true))
        );
        assert_eq!(rows[0]["status"], status, "{moment}");
        assert_eq!(entry(&place, "p")["status"], status, "{moment}");
        let refused = approve(&place, "p", false)
            .expect_err("is refused")
            .to_string();
        assert!(refused.starts_with("entry \"p::1\" "), "{refused}");
        assert_eq!(calls(&place), called, "{moment}");
        assert_eq!(place.rows_of("horizon_bridge_operator").len(), 2);
    }
}
