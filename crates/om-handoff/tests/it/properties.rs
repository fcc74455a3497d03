//! What holds for any fleet.

use std::collections::{BTreeMap, BTreeSet};

use om_handoff::dispatch_fold::DispatchFold;
use om_handoff::execution::{Outcomes, Record, executed};
use om_handoff::look::{evaluated, limits_look, registry_look};
use om_handoff::outcome::{Controlled, result};
use om_handoff::targets::{Filters, select};
use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, ExecutionMode, HandoffRequest, HandoffState, IntentStatus,
    OutcomeStatus, Withheld,
};
use om_model::json::{compact, to_value};
use om_registry::last_look::Written;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    NOW, at, candidate, evaluation, guarded_auto, normalised, planned_with, registry, trace, with,
};

const LOOPS: [&str; 4] = ["a", "b", "c", "d"];
const CATEGORIES: [&str; 3] = ["health_critical", "health_degraded", "reconcile_failed"];

/// A candidate of any kind.
fn any_candidate() -> impl Strategy<Value = Value> {
    let suppression = prop_oneof![
        4 => Just(json!({})),
        1 => Just(json!({"suppressed": true, "suppressionReason": "registry_policy_suppression"})),
        1 => Just(json!({"suppressed": true, "suppressionReason": "advisory_cooldown_active"})),
    ];
    let loops = prop::sample::select(&LOOPS[..]);
    let categories = prop::sample::select(&CATEGORIES[..]);
    (loops, categories, suppression, any::<bool>()).prop_map(|(id, category, members, eligible)| {
        let autonomous =
            json!({"eligible": eligible, "reasons": if eligible { vec![] } else { vec!["x"] }});
        with(
            with(candidate(id, category), members),
            json!({"autonomous": autonomous}),
        )
    })
}

/// A previous state of any kind about such candidates.
fn any_previous() -> impl Strategy<Value = Value> {
    let statuses = [
        "executed",
        "execution_failed",
        "execution_ambiguous",
        "pending_operator_confirmation",
    ];
    let intent = (
        prop::sample::select(&LOOPS[..]),
        prop::sample::select(&CATEGORIES[..]),
        prop::sample::select(statuses.to_vec()),
    );
    let intents = prop::collection::vec(intent, 0..6).prop_map(|intents| {
        let intents = intents.into_iter().map(|(id, category, status)| {
            json!({"intentId": format!("{id}:{category}:cancel"), "status": status})
        });
        intents.collect::<Vec<_>>()
    });
    (intents, any::<bool>()).prop_map(|(intents, same)| {
        let trace = if same { "tr-9" } else { "tr-8" };
        json!({"intents": intents, "policyTraceId": trace, "generatedAt": NOW})
    })
}

/// A registry that narrows something, or nothing.
fn any_registry() -> impl Strategy<Value = Value> {
    let narrowing = prop_oneof![
        Just(json!({})),
        Just(json!({"safety": {"killSwitch": true}})),
        (0u64..4, 0u64..3).prop_map(|(run, one)| {
            json!({"safety": {"maxActionsPerRun": run, "maxActionsPerLoop": one}})
        }),
        (0u64..=100).prop_map(|percent| json!({"rollout": {"canaryPercent": percent}})),
        Just(json!({"rollout": {"scope": {"loopIds": ["a", "c"]}}})),
        Just(json!({"rollout": {"pause": {"manual": true}}})),
        Just(json!({"rollout": {"frozenLoopIds": ["b"]}})),
        Just(json!({"allow": {"categories": ["reconcile_failed"]}})),
    ];
    narrowing.prop_map(|narrowing| {
        let mut registry = registry(&LOOPS);
        for (name, value) in narrowing.as_object().expect("an object") {
            registry["policy"]["autonomous"][name] = value.clone();
        }
        registry
    })
}

/// An autonomous execution as the shell does it, with these exit codes.
fn simulate(plan: &HandoffState, controls: &Value, written: &Value, exits: &[i32]) -> HandoffState {
    let written = Written::from_file(Some(compact(written).as_bytes()), at(NOW));
    let evaluated = evaluated(controls, at(NOW));
    let targets = select(plan, ExecutionMode::Autonomous, &Filters::default()).expect("no filters");
    let mut outcomes = Outcomes::default();
    let mut taken = Vec::new();
    for index in targets {
        let intent = &plan.intents[index];
        let look = registry_look(&written, &evaluated, intent, at(NOW));
        let objection = match &look {
            Err(reason) => Some(*reason),
            Ok(limits) => limits_look(limits, &[], &taken, &intent.loop_id, at(NOW)),
        };
        if let Some(reason_code) = objection {
            outcomes.withheld.push(Withheld {
                intent_id: intent.intent_id.clone(),
                loop_id: intent.loop_id.clone(),
                reason_code,
            });
            continue;
        }
        let exit = exits[taken.len() % exits.len()];
        let row = dispatch(&intent.intent_id, &intent.loop_id, taken.len());
        outcomes.results.push(result(
            &Controlled::by_hook(exit, b"", false).row(&row, at(NOW)),
        ));
        taken.push(intent.loop_id.clone());
    }
    let request = HandoffRequest {
        mode: ExecutionMode::Autonomous,
        requested_by: "dana".to_owned(),
        requested_at: at(NOW),
        note: None,
    };
    let record = Record {
        handoff_id: "h".to_owned(),
        completed_at: at(NOW),
        recovered: false,
    };
    executed(plan, &request, outcomes, record).0
}

fn dispatch(intent_id: &str, loop_id: &str, number: usize) -> DispatchRow {
    DispatchRow {
        timestamp: at(NOW),
        dispatch_id: format!("d-{number}"),
        handoff_id: "h".to_owned(),
        phase: DispatchPhase::Intent,
        mode: ExecutionMode::Autonomous,
        intent_id: intent_id.to_owned(),
        loop_id: loop_id.to_owned(),
        intent: "cancel".to_owned(),
        idempotency_key: format!("k-{intent_id}"),
        attempt: 1,
        trace_id: trace("tr-9"),
        requested_by: "dana".to_owned(),
        autonomous_eligible: true,
        status: None,
        reason_code: None,
        control_exit_code: None,
        control: None,
        recovered: false,
        evaluation: Some(evaluation()),
    }
}

fn policy_with(candidates: &[Value], run: u64, one: u64) -> Value {
    let controls = json!({"safety": {"maxActionsPerRun": run, "maxActionsPerLoop": one}});
    with(
        guarded_auto(candidates),
        json!({"autonomous": {"controls": controls}}),
    )
}

proptest! {
    #[test]
    fn only_what_may_be_dispatched_is_and_what_is_held_back_says_why(
        candidates in prop::collection::vec(any_candidate(), 0..10),
        previous in any_previous(),
        written in any_registry(),
        caps in (0u64..4, 0u64..3),
        exits in prop::collection::vec(prop::sample::select(vec![0, 1, 2]), 1..4),
    ) {
        let policy = policy_with(&candidates, caps.0, caps.1);
        let normal = normalised(&registry(&LOOPS));
        let plan = planned_with(&policy, &previous, &normal);
        let state = simulate(&plan, &policy["autonomous"]["controls"], &written, &exits);
        let execution = state.execution.clone().expect("an execution");
        let results = execution["results"].as_array().expect("a list");

        // Caps, the policy's and the registry's.
        let safety = &written["policy"]["autonomous"]["safety"];
        let cap = |name: &str, own: u64| safety[name].as_u64().map_or(own, |other| other.min(own));
        prop_assert!(results.len() as u64 <= cap("maxActionsPerRun", caps.0));
        let mut per_loop: BTreeMap<&str, u64> = BTreeMap::new();
        for result in results {
            *per_loop.entry(result["loopId"].as_str().unwrap()).or_default() += 1;
        }
        prop_assert!(per_loop.values().all(|count| *count <= cap("maxActionsPerLoop", caps.1)));

        // Nothing suppressed, guarded, done or ineligible.
        let of_plan: BTreeMap<&str, _> =
            plan.intents.iter().map(|intent| (intent.intent_id.as_str(), intent)).collect();
        let guarded: BTreeSet<&str> =
            plan.retry_guard.iter().map(|guard| guard.intent_id.as_str()).collect();
        for result in results {
            let id = result["intentId"].as_str().unwrap();
            let intent = of_plan[id];
            prop_assert!(!guarded.contains(id));
            prop_assert_eq!(intent.status, IntentStatus::PendingOperatorConfirmation);
            let fit = candidates.iter().any(|candidate| {
                format!("{}:cancel", candidate["candidateId"].as_str().unwrap()) == id
                    && candidate["suppressed"] == false
                    && candidate["autonomous"]["eligible"] == true
            });
            prop_assert!(fit, "{}", id);
        }
        if safety["killSwitch"] == true {
            prop_assert!(results.is_empty());
        }

        // Targets are dispatched or withheld, and every withheld one says why.
        let targets = select(&plan, ExecutionMode::Autonomous, &Filters::default()).unwrap();
        let withheld = execution["withheld"].as_array().expect("a list");
        prop_assert_eq!(results.len() + withheld.len(), targets.len());
        for entry in withheld {
            let intent = state.intents.iter()
                .filter(|intent| entry["intentId"] == intent.intent_id)
                .find(|intent| intent.status == IntentStatus::PendingOperatorConfirmation);
            if let Some(intent) = intent {
                let reason = entry["reasonCode"].as_str().unwrap().to_owned();
                prop_assert!(intent.autonomous.reasons.contains(&reason));
                prop_assert!(intent.autonomous.manual_only && !intent.autonomous.eligible);
            }
        }

        // Counts add up.
        let summary = to_value(&state.summary);
        let count = |name: &str| summary[name].as_u64().unwrap();
        prop_assert_eq!(
            count("pendingConfirmationCount") + count("executedCount") + count("ambiguousCount")
                + count("failedCount"),
            count("intentCount")
        );

        // What went wrong is in no target pool of the next plan.
        let next = planned_with(&policy, &to_value(&state), &normal);
        let pool = select(&next, ExecutionMode::Autonomous, &Filters::default()).unwrap();
        for index in pool {
            let id = &next.intents[index].intent_id;
            prop_assert!(results.iter().all(|result| result["intentId"] != *id), "{}", id);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(
        candidates in prop::collection::vec(any_candidate(), 0..10),
        previous in any_previous(),
    ) {
        let policy = guarded_auto(&candidates);
        let normal = normalised(&registry(&LOOPS));
        let bytes = || compact(&planned_with(&policy, &previous, &normal));
        prop_assert_eq!(bytes(), bytes());
    }

    #[test]
    fn a_state_is_read_back_as_it_was_written(
        candidates in prop::collection::vec(any_candidate(), 0..6),
        previous in any_previous(),
    ) {
        let normal = normalised(&registry(&LOOPS));
        let plan = planned_with(&guarded_auto(&candidates), &previous, &normal);
        let read: HandoffState = serde_json::from_str(&compact(&plan)).expect("is read");
        prop_assert_eq!(read, plan);
    }

    #[test]
    fn a_fold_over_part_and_rest_is_the_fold_over_all(
        steps in prop::collection::vec((0usize..4, any::<bool>()), 0..30),
        cut in 0usize..30,
    ) {
        use om_store::Fold as _;
        let rows: Vec<String> = steps.iter().enumerate().map(|(number, (of, outcome))| {
            let mut row = dispatch(&format!("i-{of}"), "a", number - usize::from(*outcome && number > 0));
            if *outcome {
                row.phase = DispatchPhase::Outcome;
                row.status = (number % 2 == 0).then_some(OutcomeStatus::Executed);
            }
            compact(&row)
        }).collect();
        let mut whole = DispatchFold::default();
        let mut part = DispatchFold::default();
        for (number, row) in rows.iter().enumerate() {
            whole.add(row.as_bytes(), 0);
            if number == cut {
                part = serde_json::from_str(&compact(&part)).expect("is read");
            }
            part.add(row.as_bytes(), 0);
        }
        prop_assert_eq!(&part, &whole);
        for of in 0..4 {
            let id = format!("i-{of}");
            let begun = steps.iter().filter(|(at, outcome)| *at == of && !outcome).count();
            prop_assert_eq!(whole.attempts(&id, &format!("k-{id}")), begun as u64);
        }
    }
}
