//! What holds for any fleet.

use om_fleet::outcome::{EXCERPT_BYTES, StageEnd, classify};
use om_fleet::rollup;
use om_fleet::status::{FleetStatusInputs, evaluate};
use om_http::Secrets;
use om_model::fleet::state::{FleetReasonCode, FleetStatus, LoopResult, LoopStatus};
use om_model::{Artifact, json};
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::rollup::fan_out;
use crate::support::{at, inputs, last, result};

fn results() -> impl Strategy<Value = Vec<LoopResult>> {
    let status = prop_oneof![
        Just(LoopStatus::Success),
        Just(LoopStatus::Failed),
        Just(LoopStatus::Skipped)
    ];
    let health = prop_oneof!["healthy", "degraded", "critical", "unknown", "[a-z]{0,4}"];
    let one = ("[a-e]", status, health);
    let one = one.prop_map(|(id, status, health)| result(&id, status, &health));
    prop::collection::vec(one, 0..12)
}

/// Any JSON, with names that mean something here and there.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..9).prop_map(Value::from),
        prop_oneof![
            "failed",
            "success",
            "critical",
            "guarded_auto",
            "autonomous",
            "[a-c]{0,2}"
        ]
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        "results",
        "intents",
        "execution",
        "summary",
        "autonomous",
        "governance",
        "rollout",
        "pause",
        "auto",
        "candidates",
        "reasonCodes",
        "status",
        "mode",
        "traceId",
        "loopId",
        "byAutonomyReason",
        "reviewBy",
        "files",
        "reasons",
        "intentId",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

proptest! {
    #[test]
    fn counts_add_up_and_status_follows_from_them(results in results()) {
        let state = rollup(fan_out(), results.clone());
        prop_assert_eq!(state.loop_count, results.len());
        prop_assert_eq!(
            state.success_count + state.failed_count + state.skipped_count,
            results.len()
        );
        prop_assert_eq!(state.status == FleetStatus::Success, state.failed_count == 0);
        prop_assert!(state.reason_codes.is_sorted());
        let has = |code| state.reason_codes.contains(&code);
        prop_assert!(
            !(has(FleetReasonCode::FleetHealthCritical) && has(FleetReasonCode::FleetHealthDegraded))
        );
        prop_assert_eq!(has(FleetReasonCode::FleetLoopSkipped), state.skipped_count > 0);
        prop_assert_eq!(state.results, results);
    }

    #[test]
    fn the_order_of_results_changes_nothing_but_their_order(
        results in results(), by in 0usize..12,
    ) {
        let mut turned = results.clone();
        if !turned.is_empty() {
            let by = by % turned.len();
            turned.rotate_left(by);
        }
        let mut one = rollup(fan_out(), results);
        let mut other = rollup(fan_out(), turned);
        one.results.clear();
        other.results.clear();
        prop_assert_eq!(one, other);
    }

    #[test]
    fn whatever_a_stage_prints_there_is_an_outcome(
        code in 0i32..3, text in prop::collection::vec(any::<u8>(), 0..900),
    ) {
        let outcome = classify(&StageEnd::text(code, text), &Secrets::default());
        prop_assert_eq!(outcome.reason_code.is_none(), outcome.status == LoopStatus::Success);
        let longest = EXCERPT_BYTES + '\u{fffd}'.len_utf8() * EXCERPT_BYTES;
        prop_assert!(outcome.output_excerpt.unwrap_or_default().len() <= longest);
    }

    #[test]
    fn whatever_stands_in_the_documents_there_is_a_report_or_an_error(
        fleet in any_json(), policy in any_json(), handoff in any_json(), row in any_json(),
    ) {
        let now = at("2031-05-04T12:00:00Z");
        let inputs = FleetStatusInputs {
            policy: Artifact::Document(policy),
            handoff: Artifact::Document(handoff),
            fleet_row: Some(last(row.to_string())),
            handoff_row: Some(last(row.to_string())),
            ..inputs(fleet)
        };
        let once = evaluate(&inputs, now).map(|report| json::compact(&report));
        let again = evaluate(&inputs, now).map(|report| json::compact(&report));
        prop_assert_eq!(once, again);
    }
}
