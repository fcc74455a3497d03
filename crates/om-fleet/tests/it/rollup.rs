//! What results make of the fleet (chapter 05 §2.4 *Rollup*, §2.5).

use om_fleet::{FanOut, rollup};
use om_model::fleet::state::{
    FleetExecution, FleetInterruption, FleetReconcileRow, FleetState, LoopResult, LoopStatus,
};
use om_model::json;
use serde_json::{Value, json};

use crate::support::{at, id, result, trace};

pub(crate) fn fan_out() -> FanOut {
    FanOut {
        fleet_id: "north".to_owned(),
        trace_id: trace("t"),
        started_at: at("2031-05-04T10:00:05Z"),
        ended_at: at("2031-05-04T10:00:09Z"),
        execution: FleetExecution {
            max_parallel: 2,
            deterministic_order: true,
            from_start: false,
            max_events: 0,
        },
        interrupted: None,
    }
}

fn rolled(results: Vec<LoopResult>) -> FleetState {
    rollup(fan_out(), results)
}

/// Status and health of every loop.
type Found<'a> = &'a [(LoopStatus, &'a str)];

#[test]
fn status_and_codes_follow_from_the_results() {
    use LoopStatus::{Failed, Skipped, Success};
    let cases: [(Found<'_>, &str, &[&str]); 10] = [
        (&[], "success", &[]),
        (&[(Success, "healthy")], "success", &[]),
        (
            &[(Skipped, "unknown"), (Skipped, "unknown")],
            "success",
            &["fleet_loop_skipped"],
        ),
        (
            &[(Success, "healthy"), (Failed, "unknown")],
            "partial_failure",
            &["fleet_partial_failure"],
        ),
        (
            &[(Failed, "unknown")],
            "failed",
            &["fleet_reconcile_failed"],
        ),
        (
            &[(Failed, "unknown"), (Skipped, "unknown")],
            "failed",
            &["fleet_loop_skipped", "fleet_reconcile_failed"],
        ),
        (
            &[(Success, "degraded")],
            "success",
            &["fleet_health_degraded"],
        ),
        (
            &[(Success, "degraded"), (Success, "critical")],
            "success",
            &["fleet_health_critical"],
        ),
        (
            &[
                (Success, "healthy"),
                (Failed, "critical"),
                (Skipped, "unknown"),
            ],
            "partial_failure",
            &[
                "fleet_health_critical",
                "fleet_loop_skipped",
                "fleet_partial_failure",
            ],
        ),
        (&[(Success, "weird")], "success", &[]),
    ];
    for (found, status, codes) in cases {
        let results = found.iter().enumerate();
        let results =
            results.map(|(n, (status, health))| result(&format!("l{n}"), *status, health));
        let state = rolled(results.collect());
        assert_eq!(state.status.as_str(), status, "{found:?}");
        let written: Vec<&str> = state
            .reason_codes
            .iter()
            .map(|code| code.as_str())
            .collect();
        assert_eq!(written, codes, "{found:?}");
        let sum = state.success_count + state.failed_count + state.skipped_count;
        assert_eq!((state.loop_count, sum), (found.len(), found.len()));
    }
}

#[test]
fn the_whole_state() {
    let mut failed = result("render", LoopStatus::Failed, "degraded");
    failed.reason_code = Some("transport_unreachable".to_owned());
    failed.health_reason_codes = vec!["transport_unreachable".to_owned()];
    failed.output_excerpt = Some("error: no ".to_owned());
    failed.run_id = Some("r1".to_owned());
    let mut success = result("nightly", LoopStatus::Success, "healthy");
    success.transition_state = Some("running".to_owned());
    insta::assert_snapshot!(json::pretty(&rolled(vec![failed, success])));
}

#[test]
fn the_row_repeats_the_state_but_for_how_it_was_run() {
    let state = rolled(vec![result("a", LoopStatus::Success, "healthy")]);
    let mut expected = json::to_value(&state);
    let row = json::to_value(&FleetReconcileRow::from(state));
    let members = expected.as_object_mut().expect("an object");
    for gone in ["schemaVersion", "startedAt", "execution"] {
        members.remove(gone);
    }
    let ended = members.remove("updatedAt").expect("there");
    members.insert("timestamp".to_owned(), ended);
    members.insert("category".to_owned(), json!("fleet_reconcile"));
    assert_eq!(row, expected);
    let names: Vec<&String> = row.as_object().expect("an object").keys().collect();
    assert_eq!(names[..4], ["timestamp", "category", "fleetId", "traceId"]);
}

#[test]
fn an_interrupted_fan_out_says_what_it_did_not_get_to() {
    let mut interrupted = fan_out();
    interrupted.interrupted = Some(FleetInterruption {
        signal: "SIGINT".to_owned(),
        not_passed: vec![id("b")],
    });
    let state = rollup(
        interrupted,
        vec![result("a", LoopStatus::Success, "healthy")],
    );
    let written: Value = json::to_value(&state);
    assert_eq!(
        written["interrupted"],
        json!({"signal": "SIGINT", "notPassed": ["b"]})
    );
    assert_eq!(json::to_value(&rolled(vec![])).get("interrupted"), None);
}
