//! The documents and rows as they are written.

use om_handoff::execution::{Outcomes, Record, executed};
use om_handoff::outcome::{Controlled, result};
use om_handoff::plan::plan_row;
use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, ExecutionMode, HandoffRequest, Withheld,
};
use om_model::fleet::policy::AutonomyReason;
use om_model::json::pretty;
use serde_json::json;

use crate::support::{at, candidate, fresh, trace, with};

#[test]
fn a_plan() {
    let plan = fresh(&[
        with(
            candidate("b", "health_critical"),
            json!({"runId": "r-1", "rank": 1}),
        ),
        json!({"loopId": "a", "category": "health_degraded"}),
    ]);
    insta::assert_snapshot!("plan", pretty(&plan));
    insta::assert_snapshot!("plan_row", pretty(&plan_row(&plan)));
}

#[test]
fn an_execution() {
    let plan = fresh(&[
        candidate("a", "health_critical"),
        candidate("b", "health_critical"),
        candidate("c", "health_critical"),
    ]);
    let dispatch = DispatchRow {
        timestamp: at("2031-05-06T07:10:01Z"),
        dispatch_id: "d-1".to_owned(),
        handoff_id: "h-1".to_owned(),
        phase: DispatchPhase::Intent,
        mode: ExecutionMode::Autonomous,
        intent_id: plan.intents[0].intent_id.clone(),
        loop_id: "a".to_owned(),
        intent: "cancel".to_owned(),
        idempotency_key: plan.intents[0].idempotency_key.clone(),
        attempt: 1,
        trace_id: trace("tr-9"),
        requested_by: "night-duty".to_owned(),
        autonomous_eligible: true,
        status: None,
        reason_code: None,
        control_exit_code: None,
        control: None,
        recovered: false,
        evaluation: Some(plan.evaluation.clone()),
    };
    let output = br#"{"status":"ambiguous","confirmed":false}"#;
    let outcome = Controlled::by_hook(2, output, false).row(&dispatch, at("2031-05-06T07:10:31Z"));
    let outcomes = Outcomes {
        results: vec![result(&outcome)],
        withheld: vec![Withheld {
            intent_id: plan.intents[1].intent_id.clone(),
            loop_id: "b".to_owned(),
            reason_code: AutonomyReason::KillSwitchEnabled,
        }],
        not_attempted: vec![plan.intents[2].intent_id.clone()],
    };
    let request = HandoffRequest {
        mode: ExecutionMode::Autonomous,
        requested_by: "night-duty".to_owned(),
        requested_at: at("2031-05-06T07:10:00Z"),
        note: None,
    };
    let record = Record {
        handoff_id: "h-1".to_owned(),
        completed_at: at("2031-05-06T07:10:32Z"),
        recovered: false,
    };
    let (state, row) = executed(&plan, &request, outcomes, record);
    insta::assert_snapshot!("dispatch_rows", pretty(&[&dispatch, &outcome]));
    insta::assert_snapshot!("executed", pretty(&state));
    insta::assert_snapshot!("execute_row", pretty(&row));
}
