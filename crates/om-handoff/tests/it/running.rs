//! Whole handoffs on a real tree, with a real process as the loop runtime.

use om_handoff::Action;
use om_model::fleet::handoff::ExecutionMode::{Autonomous, Manual};
use om_store::{FleetFile, LoopFile};
use serde_json::{Value, json};

use crate::support::{
    EVALUATED, Fleet, NOW, TestClock, candidate, column, guarded_auto, hooked, order, trace, with,
};

const A: &str = "a:health_critical:cancel";
const B: &str = "b:health_critical:cancel";

#[test]
fn a_plan_leaves_a_state_and_a_row() {
    let fleet = Fleet::new(&["a", "b"]);
    let state = fleet.plan();
    assert_eq!(column(&state["intents"], "intentId"), [A, B]);
    assert_eq!(
        state["evaluation"],
        json!({"traceId": "tr-9", "updatedAt": EVALUATED})
    );
    let rows = fleet.rows(FleetFile::HandoffRows);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["category"], "fleet_handoff_plan");
    assert_eq!(rows[0]["summary"]["summary"], state["summary"]);
    assert!(fleet.rows(FleetFile::HandoffDispatch).is_empty());
}

#[test]
fn an_autonomous_execution_acts_on_every_eligible_intent() {
    let fleet = Fleet::new(&["a", "b"]);
    fleet.runtime(r#"echo "$@" >> "$repo/calls""#);
    let state = fleet.execute(Autonomous);
    let repo = fleet.repo().display().to_string();
    assert_eq!(fleet.calls(), vec![format!("cancel --repo {repo}"); 2]);
    let execution = &state["execution"];
    assert_eq!(execution["requestedIntentCount"], 2);
    assert_eq!(execution["executedCount"], 2);
    assert_eq!(execution["withheld"], json!([]));
    assert_eq!(execution["note"], Value::Null);
    assert_eq!(
        column(&state["intents"], "status"),
        ["executed", "executed"]
    );
    assert_eq!(
        column(&state["intents"], "execution.controlStatus"),
        ["executed_unconfirmed", "executed_unconfirmed"]
    );
    let rows = fleet.rows(FleetFile::HandoffRows);
    assert_eq!(
        rows.iter()
            .map(|row| row["category"].clone())
            .collect::<Vec<_>>(),
        ["fleet_handoff_plan", "fleet_handoff_execute"]
    );
    assert_eq!(rows[1]["execution"], *execution);
    assert!(!fleet.path(FleetFile::HandoffPending).exists());
}

#[test]
fn control_records_the_traces_key_and_note_of_the_handoff() {
    let fleet = Fleet::new(&["a"]);
    let state = fleet.execute(Manual);
    let intents = fleet.loop_rows("a", LoopFile::Intents);
    assert_eq!(intents.len(), 1);
    let row = &intents[0];
    assert_eq!(row["traceId"], "tr-9");
    assert_eq!(
        row["idempotencyKey"],
        "fleet-handoff-tr-9-a-health_critical-cancel"
    );
    assert_eq!(row["requestedBy"], "dana");
    assert_eq!(row["note"], format!("fleet_handoff:manual:{A}"));
    assert_eq!(state["execution"]["results"][0]["control"], *row);
}

#[test]
fn every_dispatch_is_journaled_before_and_after() {
    let fleet = Fleet::new(&["a", "b"]);
    fleet.runtime(
        r#"wc -l < "$repo/.superloop/ops-manager/fleet/handoff-dispatch.jsonl" >> "$repo/calls""#,
    );
    let state = fleet.execute(Autonomous);
    let lines: Vec<String> = fleet
        .calls()
        .iter()
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(lines, ["1", "3"], "rows while the runtime ran");
    let rows = fleet.rows(FleetFile::HandoffDispatch);
    assert_eq!(
        rows.iter()
            .map(|row| row["phase"].clone())
            .collect::<Vec<_>>(),
        ["intent", "outcome", "intent", "outcome"]
    );
    for pair in rows.chunks(2) {
        assert_eq!(pair[0]["dispatchId"], pair[1]["dispatchId"]);
        assert_eq!(pair[0].get("status"), None);
        assert_eq!(pair[1]["status"], "executed");
        assert_eq!(pair[1]["reasonCode"], "control_confirmed");
        assert_eq!(pair[0]["handoffId"], state["execution"]["handoffId"]);
    }
    assert_eq!(
        column(&state["execution"]["results"], "dispatchId"),
        [&rows[0]["dispatchId"], &rows[2]["dispatchId"]]
    );
}

#[test]
fn a_failure_is_an_outcome_and_guarded() {
    let fleet = Fleet::new(&["a"]);
    fleet.runtime("echo broken; exit 3");
    let state = fleet.execute(Autonomous);
    assert_eq!(state["intents"][0]["status"], "execution_failed");
    let result = &state["execution"]["results"][0];
    assert_eq!(result["reasonCode"], "control_failed_command");
    assert_eq!(result["controlExitCode"], 1);
    assert_eq!(result["control"]["commandOutput"], "broken");
    assert_eq!(column(&state["retryGuard"], "intentId"), [A]);
    // And is not tried again, however often somebody plans in between.
    fleet.runtime(r#"echo "$@" >> "$repo/calls""#);
    fleet.plan();
    fleet.plan();
    let again = fleet.execute(Autonomous);
    assert_eq!(again["execution"]["requestedIntentCount"], 0);
    assert_eq!(fleet.calls(), Vec::<String>::new());
}

#[test]
fn an_effect_that_is_not_seen_is_ambiguous() {
    let fleet = Fleet::new(&["a"]);
    let mut handoff = fleet.handoff(order(Autonomous, &[]));
    handoff.control.confirm = true;
    std::fs::create_dir_all(fleet.repo().join(".superloop/loops/a")).expect("folder");
    let events = fleet.repo().join(".superloop/loops/a/events.jsonl");
    std::fs::write(events, "{\"event\":\"iteration_start\"}\n").expect("written");
    let state = fleet.repo().join(".superloop/state.json");
    std::fs::write(state, r#"{"active":true,"current_loop_id":"a"}"#).expect("written");
    let state = fleet.run_with(&handoff).expect("is executed");
    let execution = state.execution.expect("an execution");
    assert_eq!(execution["results"][0]["reasonCode"], "control_ambiguous");
    assert_eq!(execution["results"][0]["controlExitCode"], 2);
    assert_eq!(execution["ambiguousCount"], 1);
}

#[test]
fn what_is_done_is_not_done_again_in_one_evaluation() {
    let fleet = Fleet::new(&["a"]);
    fleet.runtime(r#"echo "$@" >> "$repo/calls""#);
    fleet.execute(Autonomous);
    let execution = fleet.read(FleetFile::HandoffState)["execution"].clone();
    assert_eq!(fleet.plan()["execution"], execution, "carried over");
    fleet.execute(Autonomous);
    fleet.execute(Manual);
    assert_eq!(fleet.calls().len(), 1);
    // The next evaluation is another matter.
    let next = with(
        guarded_auto(&[candidate("a", "health_critical")]),
        json!({"updatedAt": NOW}),
    );
    fleet.write(FleetFile::PolicyState, &next);
    fleet.execute(Autonomous);
    assert_eq!(fleet.calls().len(), 2);
}

#[test]
fn a_policy_state_without_a_time_is_recognised_by_its_bytes() {
    let fleet = Fleet::new(&["a"]);
    fleet.runtime(r#"echo "$@" >> "$repo/calls""#);
    let policy = with(
        guarded_auto(&[candidate("a", "health_critical")]),
        json!({"updatedAt": null}),
    );
    fleet.write(FleetFile::PolicyState, &policy);
    let state = fleet.execute(Autonomous);
    let digest = state["evaluation"]["sha256"].as_str().expect("a digest");
    assert_eq!(digest.len(), 64);
    fleet.execute(Autonomous);
    assert_eq!(fleet.calls().len(), 1);
    fleet.write(FleetFile::PolicyState, &with(policy, json!({"note": 1})));
    fleet.execute(Autonomous);
    assert_eq!(fleet.calls().len(), 2);
}

#[test]
fn a_person_repeats_with_a_fresh_key() {
    let fleet = Fleet::new(&["a"]);
    fleet.runtime("exit 1");
    let key = |state: &Value| state["execution"]["results"][0]["idempotencyKey"].clone();
    let own = "fleet-handoff-tr-9-a-health_critical-cancel";
    assert_eq!(key(&fleet.execute(Autonomous)), own);
    assert_eq!(key(&fleet.execute(Manual)), format!("{own}-r1"));
    fleet.plan();
    assert_eq!(key(&fleet.execute(Manual)), format!("{own}-r2"));
    fleet.runtime("exit 0");
    let resolved = fleet.execute(Manual);
    assert_eq!(key(&resolved), format!("{own}-r3"));
    assert_eq!(resolved["retryGuard"], json!([]));
    // Another trace has keys of its own.
    let next = with(
        guarded_auto(&[candidate("a", "health_critical")]),
        json!({"traceId": "tr-10"}),
    );
    fleet.write(FleetFile::PolicyState, &next);
    let other = "fleet-handoff-tr-10-a-health_critical-cancel";
    assert_eq!(key(&fleet.execute(Manual)), other);
}

#[test]
fn a_key_that_another_tool_used_is_not_used_again() {
    let fleet = Fleet::new(&["a"]);
    let own = "fleet-handoff-tr-9-a-health_critical-cancel";
    let state = json!({"intents": [{
        "intentId": A, "status": "execution_failed", "execution": {"idempotencyKey": own},
    }]});
    fleet.write(FleetFile::HandoffState, &state);
    let state = fleet.execute(Manual);
    assert_eq!(
        state["execution"]["results"][0]["idempotencyKey"],
        format!("{own}-r1")
    );
}

#[test]
fn a_manual_execution_needs_neither_eligibility_nor_a_current_review() {
    let fleet = Fleet::new(&["a"]);
    let denied = json!({"autonomous": {"eligible": false, "reasons": ["x"]}});
    let policy = guarded_auto(&[with(candidate("a", "health_critical"), denied)]);
    fleet.write(
        FleetFile::PolicyState,
        &with(policy, json!({"mode": "advisory"})),
    );
    let mut registry = fleet.read(FleetFile::Registry);
    registry["policy"]["autonomous"]["governance"]["reviewBy"] = json!("2031-05-02T00:00:00Z");
    registry["policy"]["autonomous"]["safety"] = json!({"killSwitch": true});
    fleet.write(FleetFile::Registry, &registry);
    let state = fleet.execute(Manual);
    assert_eq!(state["intents"][0]["status"], "executed");
    assert_eq!(
        state["execution"]["results"][0]["autonomousEligible"],
        false
    );
}

#[test]
fn nothing_to_do_is_an_execution_all_the_same() {
    let fleet = Fleet::new(&["a"]);
    fleet.write(FleetFile::PolicyState, &guarded_auto(&[]));
    let state = fleet.execute(Manual);
    assert_eq!(state["execution"]["requestedIntentCount"], 0);
    assert_eq!(state["execution"]["results"], json!([]));
    assert_eq!(state["reasonCodes"], json!(["fleet_handoff_no_action"]));
    assert_eq!(fleet.telemetry("fleet_handoff_execute").len(), 1);
}

#[test]
fn a_loop_that_cannot_be_one_reaches_no_file() {
    let fleet = Fleet::new(&["a"]);
    let policy = guarded_auto(&[candidate("../../evil", "health_critical")]);
    fleet.write(FleetFile::PolicyState, &policy);
    let handoff = hooked(&fleet, order(Manual, &[]), r#"echo "$@" >> "$repo/calls""#);
    let state = fleet.run_with(&handoff).expect("is executed");
    let result = &state.execution.expect("an execution")["results"][0];
    assert_eq!(result["reasonCode"], "control_failed_command");
    assert_eq!(result["controlExitCode"], 1);
    assert_eq!(fleet.calls(), Vec::<String>::new());
    assert!(!fleet.repo().join(".superloop/evil").exists());
}

#[test]
fn an_intent_that_is_none_of_controls_fails() {
    let fleet = Fleet::new(&["a"]);
    let members = json!({"recommendedIntent": "reboot"});
    let policy = guarded_auto(&[with(candidate("a", "health_critical"), members)]);
    fleet.write(FleetFile::PolicyState, &policy);
    let state = fleet.execute(Manual);
    assert_eq!(
        state["execution"]["results"][0]["reasonCode"],
        "control_failed_command"
    );
}

#[test]
fn two_intents_of_one_id_both_show_the_last_result() {
    let fleet = Fleet::new(&["a"]);
    let twice = [
        candidate("a", "health_critical"),
        with(
            candidate("a", "reconcile_failed"),
            json!({"candidateId": "a:health_critical"}),
        ),
    ];
    fleet.write(FleetFile::PolicyState, &guarded_auto(&twice));
    // Fails at first, and then not.
    fleet.runtime(r#"[ -e "$repo/calls" ] || { echo x >> "$repo/calls"; exit 1; }"#);
    let state = fleet.execute(Manual);
    assert_eq!(
        column(&state["execution"]["results"], "status"),
        ["failed", "executed"]
    );
    assert_eq!(
        column(&state["intents"], "status"),
        ["executed", "executed"]
    );
    assert_eq!(state["retryGuard"], json!([]));
}

#[test]
fn the_trace_is_the_flags_else_the_policys_else_the_callers() {
    let fleet = Fleet::new(&["a"]);
    let policy = |members| {
        let policy = guarded_auto(&[candidate("a", "health_critical")]);
        fleet.write(FleetFile::PolicyState, &with(policy, members));
    };
    let mut handoff = fleet.handoff(Action::Plan);
    let trace_of = |handoff: &_| fleet.run_with(handoff).expect("is planned").trace_id;
    assert_eq!(trace_of(&handoff).as_str(), "tr-9");
    policy(json!({"traceId": null}));
    assert_eq!(trace_of(&handoff).as_str(), "made-up");
    policy(json!({"traceId": 12}));
    assert_eq!(trace_of(&handoff).as_str(), "12");
    handoff.trace_id = Some(trace("mine"));
    let state = fleet.run_with(&handoff).expect("is planned");
    assert_eq!(
        (state.trace_id.as_str(), state.policy_trace_id.as_str()),
        ("mine", "12")
    );
}

#[test]
fn two_handoffs_at_once_act_once() {
    let fleet = Fleet::new(&["a", "b"]);
    fleet.runtime(r#"echo x >> "$repo/calls"; sleep 0.05"#);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let handoff = fleet.handoff(order(Autonomous, &[]));
            scope.spawn(move || {
                let ended =
                    om_handoff::run(&handoff, &TestClock::default(), &|| false, &mut |_| {});
                ended.expect("ends well");
            });
        }
    });
    assert_eq!(fleet.calls().len(), 2);
    assert_eq!(fleet.telemetry("fleet_handoff_execute").len(), 3);
}
