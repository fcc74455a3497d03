//! What holds for every history of changes.

use om_promotion::apply::{ApplyRequest, run};
use proptest::prelude::*;
use serde_json::Value;

use crate::place::Place;

/// One attempt at a change.
#[derive(Clone, Debug)]
struct Attempt {
    intent: &'static str,
    decision: &'static str,
    step: u64,
    key: Option<u8>,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (
        prop::sample::select(vec!["expand", "resume", "rollback"]),
        prop::sample::select(vec!["promote", "hold", "skipped", "unknown"]),
        1u64..60,
        prop::option::of(0u8..3),
    )
        .prop_map(|(intent, decision, step, key)| Attempt {
            intent,
            decision,
            step,
            key,
        })
}

/// The rollout as it stands: canary, and whether it is paused.
fn posture(place: &Place) -> (u64, bool) {
    let registry = place.json("registry.v1.json");
    let rollout = &registry["policy"]["autonomous"]["rollout"];
    let paused = &rollout["pause"]["manual"];
    (place.canary(), paused == &Value::Bool(true))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_change_has_one_row_and_nothing_widens_without_a_promotion(
        attempts in prop::collection::vec(attempt(), 1..8)
    ) {
        let place = Place::promotable();
        let mut rows = 0;
        for attempt in attempts {
            place.decided(attempt.decision);
            let request = ApplyRequest {
                expand_step: Some(attempt.step.to_string()),
                idempotency_key: attempt.key.map(|key| key.to_string()),
                ..place.apply(attempt.intent)
            };
            let (before, text) = (posture(&place), place.text("registry.v1.json"));
            let result = place.with(|pipeline| run(&request, pipeline));
            let after = posture(&place);
            let has_widened = after.0 > before.0 || (before.1 && !after.1);
            prop_assert!(!has_widened || attempt.decision == "promote", "{:?}", attempt);
            let journal = place.rows("telemetry/promotion-apply.jsonl");
            let is_mutation = result.as_ref().is_ok_and(|printed| printed.document.get("replayed").is_none());
            rows += usize::from(is_mutation);
            prop_assert_eq!(journal.len(), rows);
            if is_mutation {
                let row = journal.last().expect("a row");
                prop_assert_eq!(&row["rollout"]["after"]["canaryPercent"], &Value::from(after.0));
                prop_assert_eq!(&row["rollout"]["after"]["manualPause"], &Value::from(after.1));
            } else {
                prop_assert_eq!(place.text("registry.v1.json"), text);
            }
            if attempt.intent == "rollback" && attempt.key.is_none() {
                prop_assert!(result.is_ok(), "{:?}", result);
                prop_assert!(after.1);
            }
        }
    }
}
