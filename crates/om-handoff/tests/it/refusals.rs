//! What a handoff refuses, in which order, and what it leaves behind (chapter
//! 06 §2.2, decision D14).

use om_handoff::{Action, Handoff, HandoffError};
use om_model::fleet::handoff::EvaluationIdentity;
use om_model::fleet::handoff::ExecutionMode::{Autonomous, Manual};
use om_store::FleetFile;
use serde_json::json;

use crate::support::{Fleet, TestClock, guarded_auto, order};

/// The message, with the repository's path cut out.
fn message(fleet: &Fleet, action: Action) -> String {
    let refused = fleet.run(action).expect_err("is refused");
    assert_eq!(refused.exit_code(), 1);
    let base = fleet.path(FleetFile::State).display().to_string();
    let base = base
        .strip_suffix("state.json")
        .expect("a folder")
        .to_owned();
    refused.to_string().replace(&base, "")
}

#[test]
fn checks_come_in_the_contracts_order_and_write_nothing() {
    let fleet = Fleet::new(&["a"]);
    let registry = fleet.read(FleetFile::Registry);
    // Every line repairs what the one before it was refused for.
    std::fs::remove_file(fleet.path(FleetFile::PolicyState)).expect("removed");
    fleet.write_text(FleetFile::HandoffState, "{");
    fleet.write_text(FleetFile::Registry, "{");
    let autonomous = || message(&fleet, order(Autonomous, &[]));
    assert_eq!(
        autonomous(),
        "policy state file not found: policy-state.json"
    );
    fleet.write_text(FleetFile::PolicyState, "{");
    let unusable = autonomous();
    assert!(
        unusable.starts_with("error: invalid fleet registry JSON: registry.v1.json"),
        "{unusable}"
    );
    fleet.write(FleetFile::Registry, &registry);
    let unusable = autonomous();
    assert!(
        unusable.starts_with("invalid policy state JSON: policy-state.json: "),
        "{unusable}"
    );
    fleet.write(FleetFile::PolicyState, &json!({"mode": "auto"}));
    let unusable = autonomous();
    assert!(
        unusable.starts_with("invalid existing handoff state JSON: handoff-state.json: "),
        "{unusable}"
    );
    fleet.write_text(FleetFile::HandoffState, "null");
    assert_eq!(autonomous(), "unsupported policy mode: auto");
    fleet.write(FleetFile::PolicyState, &json!({"mode": "advisory"}));
    assert_eq!(
        autonomous(),
        "--autonomous-execute requires policy mode guarded_auto"
    );
    let mut lapsed = registry;
    lapsed["policy"]["autonomous"]["governance"]["reviewBy"] = json!("2031-05-02T00:00:00Z");
    fleet.write(FleetFile::Registry, &lapsed);
    fleet.write(FleetFile::PolicyState, &guarded_auto(&[]));
    assert_eq!(
        autonomous(),
        "--autonomous-execute refused: governance review expired (2031-05-02T00:00:00Z)"
    );
    assert!(
        fleet.rows(FleetFile::HandoffRows).is_empty(),
        "nothing was written"
    );
    assert!(fleet.run(Action::Plan).is_ok(), "a plan is not refused");
}

#[test]
fn documents_that_cannot_be_used_are_told_apart() {
    for (file, text, expected) in [
        (FleetFile::PolicyState, "", "unsupported policy mode: "),
        (FleetFile::PolicyState, " \n", "unsupported policy mode: "),
        (
            FleetFile::PolicyState,
            "[]",
            "invalid policy state JSON: policy-state.json: document is an array, expected an object",
        ),
        (
            FleetFile::PolicyState,
            "{} {}",
            "invalid policy state JSON: policy-state.json: more than one JSON document (line 1 column 4)",
        ),
        (
            FleetFile::PolicyState,
            r#"{"candidates":[{"category":"health_critical"}]}"#,
            "invalid policy state JSON: policy-state.json: candidates[0]: loopId is missing",
        ),
        (
            FleetFile::HandoffState,
            "",
            "invalid existing handoff state JSON: handoff-state.json: it is empty",
        ),
        (
            FleetFile::HandoffState,
            "7",
            "invalid existing handoff state JSON: handoff-state.json: document is a number, expected an object",
        ),
    ] {
        let fleet = Fleet::new(&["a"]);
        fleet.write_text(file, text);
        assert_eq!(message(&fleet, Action::Plan), expected, "{text:?}");
        assert!(fleet.rows(FleetFile::HandoffRows).is_empty());
    }
}

#[test]
fn a_policy_state_that_is_null_has_no_candidates() {
    let fleet = Fleet::new(&["a"]);
    fleet.write_text(FleetFile::PolicyState, "null");
    let state = fleet.plan();
    assert_eq!(state["mode"], "advisory");
    assert_eq!(state["intents"], json!([]));
}

#[test]
fn an_unknown_filter_leaves_the_plan_row_and_nothing_else() {
    let fleet = Fleet::new(&["a"]);
    fleet.plan();
    let before = fleet.read(FleetFile::HandoffState);
    assert_eq!(
        message(&fleet, order(Manual, &["x"])),
        "intent filter not found in manual execution intents: x"
    );
    assert_eq!(fleet.rows(FleetFile::HandoffRows).len(), 2);
    assert_eq!(fleet.telemetry("fleet_handoff_plan").len(), 2);
    assert_eq!(fleet.read(FleetFile::HandoffState), before);
    assert!(!fleet.path(FleetFile::HandoffPending).exists());
}

#[test]
fn an_executed_intent_that_is_asked_for_is_refused() {
    let fleet = Fleet::new(&["a", "b"]);
    let id = "a:health_critical:cancel";
    fleet.run(order(Manual, &[id])).expect("is executed");
    assert_eq!(
        message(&fleet, order(Manual, &[id])),
        format!("intent already executed in this policy evaluation: {id}")
    );
}

#[test]
fn a_damaged_dispatch_journal_stops_everything_with_file_and_line() {
    let fleet = Fleet::new(&["a"]);
    fleet.execute(Manual);
    let path = fleet.path(FleetFile::HandoffDispatch);
    let rows = std::fs::read_to_string(&path).expect("rows");
    std::fs::write(&path, format!("{rows}oops\n")).expect("written");
    for action in [Action::Plan, order(Autonomous, &[])] {
        let refused = message(&fleet, action);
        let expected = "invalid handoff dispatch JSONL: handoff-dispatch.jsonl: line 3: ";
        assert!(refused.starts_with(expected), "{refused}");
    }
    // Repaired, it is read again.
    std::fs::write(&path, rows).expect("written");
    fleet.plan();
}

#[test]
fn telemetry_that_cannot_be_judged_stops_autonomy_only() {
    let fleet = Fleet::new(&["a"]);
    fleet.write_text(FleetFile::HandoffRows, "{}\noops\n");
    let refused = message(&fleet, order(Autonomous, &[]));
    let expected = "invalid handoff telemetry JSONL: telemetry/handoff.jsonl: line 2: ";
    assert!(refused.starts_with(expected), "{refused}");
    // People can always act.
    let handoff = fleet.handoff(order(Manual, &[]));
    let ended = om_handoff::run(&handoff, &TestClock::default(), &|| false, &mut |_| {});
    assert!(ended.is_ok(), "{ended:?}");
}

#[test]
fn a_stage_that_fails_says_so_itself() {
    let fleet = Fleet::new(&["a"]);
    let script = fleet.script(
        "registry-hook",
        "echo 'error: no registry today' >&2; exit 7",
    );
    let mut handoff = fleet.handoff(Action::Plan);
    handoff.registry.hook = Some(om_stage::Hook::exact("H", script));
    let refused = fleet.run_with(&handoff).expect_err("is refused");
    assert_eq!(refused.to_string(), "error: no registry today");
    assert_eq!(refused.exit_code(), 7);
    let silent = fleet.script("registry-hook", "exit 0");
    handoff.registry.hook = Some(om_stage::Hook::exact("H", silent));
    let refused = fleet.run_with(&handoff).expect_err("is refused");
    assert!(matches!(refused, HandoffError::Registry(_)));
}

#[test]
fn another_evaluation_than_the_one_looked_at_is_not_acted_on() {
    let fleet = Fleet::new(&["a"]);
    let mut handoff = crate::support::handoff_in(&fleet.repo(), order(Manual, &[]));
    let looked_at = EvaluationIdentity {
        trace_id: Some("tr-8".to_owned()),
        ..crate::support::evaluation()
    };
    handoff.evaluation = Some(looked_at);
    let clock = TestClock::default();
    let refused = om_handoff::run(&handoff, &clock, &|| false, &mut |_| ());
    let refused = refused.expect_err("is refused");
    assert_eq!(
        refused.to_string(),
        "policy was evaluated again meanwhile; nothing was done, look again"
    );
    assert!(!fleet.path(FleetFile::HandoffState).exists());
    handoff.evaluation = Some(crate::support::evaluation());
    handoff.action = Action::Plan;
    om_handoff::run(&handoff, &clock, &|| false, &mut |_| ()).expect("planned");
}

#[test]
fn files_that_cannot_be_written_are_found_out_before_anything_is_dispatched() {
    type Choose = fn(&mut Handoff, String);
    let choices: [Choose; 2] = [
        |handoff, file| handoff.files.handoff_state = file,
        |handoff, file| handoff.files.handoff_telemetry = file,
    ];
    for mode in [Autonomous, Manual] {
        for choose in choices {
            let fleet = Fleet::new(&["a", "b"]);
            fleet.runtime(r#"echo x >> "$repo/calls""#);
            let in_a_file = fleet.root().join("file/x");
            std::fs::write(fleet.root().join("file"), "").expect("written");
            let mut handoff = fleet.handoff(order(mode, &[]));
            choose(&mut handoff, in_a_file.display().to_string());
            fleet.run_with(&handoff).expect_err("is refused");
            assert!(fleet.calls().is_empty());
            for file in [FleetFile::HandoffDispatch, FleetFile::HandoffRows] {
                assert!(fleet.rows(file).is_empty(), "{file:?}");
            }
            assert!(!fleet.path(FleetFile::HandoffPending).exists());
            // The next one is as if nothing had been.
            assert_eq!(fleet.execute(mode)["execution"]["executedCount"], 2);
        }
    }
}
