//! Whole documents and rows, and the order of their members.

use insta::assert_snapshot;
use om_model::json;
use serde_json::{Value, json};

use crate::support::{Fleet, critical, executed};

/// A governed fleet with a bit of everything.
fn fleet() -> Fleet {
    let mut fleet = Fleet::auto(json!([
        {
            "loopId": "orchid", "status": "failed", "healthStatus": "critical", "traceId": "tr-9-orchid",
            "runId": "run-1", "timestamp": "2031-05-06T07:08:00Z", "healthReasonCodes": ["transport_unreachable"],
        },
        {"loopId": "fern", "status": "success", "healthStatus": "degraded", "traceId": "tr-9-fern"},
        {"loopId": "gorse", "status": "success", "healthStatus": "healthy"},
    ]));
    fleet.window = None;
    fleet.policy.autonomous.safety.max_actions_per_run = 1;
    fleet
        .policy
        .suppressions
        .insert("fern".to_owned(), json!(["health_degraded"]));
    fleet.handoff = vec![executed(60, 3, 1, 0)];
    fleet
}

#[test]
fn the_policy_state() {
    assert_snapshot!("policy_state", json::pretty(&fleet().state()));
}

#[test]
fn the_rows() {
    let evaluation = fleet().evaluation();
    assert_snapshot!("history_rows", json::pretty(&evaluation.history));
    assert_snapshot!("telemetry_row", json::pretty(&evaluation.row));
    assert_snapshot!("governance_rows", json::pretty(&evaluation.audit));
}

#[test]
fn the_history_row_of_the_contract() {
    let mut fleet = Fleet::auto(json!([critical("orchid")]));
    fleet.policy.autonomous.rollout.canary_percent = 9;
    let row = json::compact(&fleet.evaluation().history[0]);
    assert_eq!(
        row,
        r#"{"timestamp":"2031-05-06T07:08:09Z","category":"fleet_policy_candidate","fleetId":"north","traceId":"tr-9","mode":"guarded_auto","candidateId":"orchid:health_critical","loopId":"orchid","candidateCategory":"health_critical","severity":"critical","confidence":"high","recommendedIntent":"cancel","suppressed":false,"autonomousEligible":true,"autonomousManualOnly":false,"autonomousReasons":[],"autonomousRolloutInScope":true,"autonomousRolloutInCohort":true,"autonomousRolloutBucket":8,"autonomousRolloutPauseReasons":[],"autonomousAutoPauseReasons":[]}"#
    );
}

#[test]
fn switches_that_are_off_are_not_in_a_history_row() {
    let mut fleet = Fleet::auto(json!([critical("orchid")]));
    fleet.policy.autonomous.rollout.scope.loop_ids = vec!["other".to_owned()];
    let members = |fleet: &Fleet| {
        let row = json::to_value(&fleet.evaluation().history[0]);
        [
            "autonomousRolloutInScope",
            "autonomousRolloutInCohort",
            "autonomousRolloutPauseActive",
            "autonomousAutoPauseActive",
        ]
        .map(|member| row.get(member).cloned())
    };
    assert_eq!(members(&fleet), [None, None, None, None]);
    fleet.policy.autonomous.rollout.scope.loop_ids.clear();
    fleet.handoff = vec![executed(5, 3, 3, 0)];
    assert_eq!(members(&fleet), [const { Some(Value::Bool(true)) }; 4]);
}

#[test]
fn the_telemetry_row_repeats_the_state() {
    let evaluation = fleet().evaluation();
    let (state, row) = (
        json::to_value(&evaluation.state),
        json::to_value(&evaluation.row),
    );
    let members: Vec<&String> = row["summary"]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    assert_eq!(
        members,
        [
            "candidateCount",
            "unsuppressedCount",
            "suppressedCount",
            "cooldownSuppressedCount",
            "autoEligibleCount",
            "manualOnlyCount",
            "reasonCodes",
            "summary",
            "noiseControls",
            "autonomous",
        ]
    );
    for member in members {
        assert_eq!(row["summary"][member], state[member], "{member}");
    }
}

#[test]
fn authority_is_present_when_all_five_texts_are_or_nobody_needs_it() {
    let present = |fleet: &Fleet| {
        fleet
            .state()
            .autonomous
            .governance
            .authority_context_present
    };
    let whole = fleet();
    assert!(present(&whole));
    let mut lacking = fleet();
    lacking.policy.autonomous.governance.rationale = None;
    assert!(!present(&lacking));
    assert!(present(&Fleet::advisory(json!([]))));
}

#[test]
fn the_controls_are_the_registrys_members_verbatim() {
    let fleet = fleet();
    let state = json::to_value(&fleet.state());
    assert_eq!(
        state["autonomous"]["controls"],
        json::to_value(&fleet.policy.autonomous)
    );
    assert_eq!(
        state["suppressionState"]["suppressions"],
        json!({"fern": ["health_degraded"]})
    );
}
