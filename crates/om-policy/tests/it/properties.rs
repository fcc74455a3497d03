//! What holds for every fleet.

use std::collections::BTreeMap;

use om_model::alerts::Severity;
use om_model::drift::Confidence;
use om_model::fleet::policy::Candidate;
use om_model::fleet::registry::{Category, PolicyMode};
use om_model::json;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Fleet, ago, executed};

const LOOPS: [&str; 6] = ["a", "b", "orchid", "Ünit", "z", "*"];

fn results() -> impl Strategy<Value = Value> {
    let result = (
        prop::sample::select(&LOOPS[..]),
        prop::sample::select(&["failed", "success", "skipped"][..]),
        prop::sample::select(&["critical", "degraded", "healthy"][..]),
        prop::bool::weighted(0.1),
    );
    let result = result.prop_map(|(loop_id, status, health, diverged)| {
        let codes = if diverged { json!(["divergence_detected"]) } else { json!([]) };
        json!({"loopId": loop_id, "status": status, "healthStatus": health, "healthReasonCodes": codes})
    });
    prop::collection::vec(result, 0..12).prop_map(Value::Array)
}

fn history() -> impl Strategy<Value = Vec<Value>> {
    let row = (
        prop::sample::select(&LOOPS[..]),
        prop::sample::select(&Category::ALL[..]),
        -100i64..500,
        any::<bool>(),
        any::<bool>(),
    );
    let row = row.prop_map(|(loop_id, category, age, suppressed, eligible)| {
        json!({
            "candidateId": format!("{loop_id}:{}", category.as_str()), "timestamp": ago(age),
            "suppressed": suppressed, "autonomousEligible": eligible,
        })
    });
    prop::collection::vec(row, 0..6)
}

fn handoff() -> impl Strategy<Value = Vec<Value>> {
    let row = (0i64..100, 0u64..4, 0u64..3, 0u64..3);
    prop::collection::vec(row.prop_map(|(age, n, x, f)| executed(age, n, x, f)), 0..4)
}

prop_compose! {
    fn policy()(
        (auto, killed, paused) in (prop::bool::weighted(0.9), prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
        (lapsed, auto_pause) in (prop::bool::weighted(0.1), any::<bool>()),
        (per_run, per_loop, cooldown) in (0u64..5, 0u64..3, prop::sample::select(&[0u64, 300][..])),
        percent in prop::sample::select(&[0u8, 20, 60, 100, 100][..]),
        scope in prop::collection::vec(prop::sample::select(&LOOPS[..]), 0..3),
        frozen in prop::collection::vec(prop::sample::select(&LOOPS[..]), 0..2),
        suppressed in prop::collection::vec((prop::sample::select(&LOOPS[..]), prop::sample::select(&Category::ALL[..])), 0..3),
        window in prop::sample::select(&[0u64, 0, 300][..]),
        everything in any::<bool>(),
    ) -> Fleet {
        let mut fleet = Fleet::auto(json!([]));
        let policy = &mut fleet.policy;
        if !auto {
            policy.mode = PolicyMode::Advisory;
        }
        let texts = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        if lapsed {
            policy.autonomous.governance.review_by = Some(ago(1).to_string());
        }
        if everything {
            policy.autonomous.allow.categories = Category::ALL.to_vec();
            policy.autonomous.thresholds.min_severity = Severity::Info;
            policy.autonomous.thresholds.min_confidence = Confidence::Low;
        }
        let safety = &mut policy.autonomous.safety;
        safety.kill_switch = killed;
        safety.max_actions_per_run = per_run;
        safety.max_actions_per_loop = per_loop;
        safety.cooldown_seconds = cooldown;
        let rollout = &mut policy.autonomous.rollout;
        rollout.pause.manual = paused;
        rollout.auto_pause.enabled = auto_pause;
        rollout.canary_percent = percent;
        rollout.scope.loop_ids = texts(&scope);
        rollout.frozen_loop_ids = texts(&frozen);
        for (loop_id, category) in suppressed {
            policy.suppressions.insert(loop_id.to_owned(), json!([category.as_str()]));
        }
        fleet.window = Some(window);
        fleet
    }
}

prop_compose! {
    fn fleets()(fleet in policy(), results in results(), history in history(), handoff in handoff()) -> Fleet {
        let mut fleet = fleet;
        fleet.state["results"] = results;
        fleet.history = history;
        fleet.handoff = handoff;
        fleet
    }
}

fn eligible(candidates: &[Candidate]) -> impl Iterator<Item = &Candidate> {
    candidates.iter().filter(|c| c.autonomous.eligible)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn never_more_is_eligible_than_the_caps_allow(fleet in fleets()) {
        let state = fleet.state();
        let safety = &fleet.policy.autonomous.safety;
        let mut of_loop = BTreeMap::<&str, u64>::new();
        for candidate in eligible(&state.candidates) {
            *of_loop.entry(&candidate.loop_id).or_default() += 1;
        }
        prop_assert!(of_loop.values().sum::<u64>() <= safety.max_actions_per_run);
        prop_assert!(of_loop.values().all(|n| *n <= safety.max_actions_per_loop));
    }

    #[test]
    fn nothing_is_eligible_that_anything_forbids(fleet in fleets()) {
        let state = fleet.state();
        let policy = &fleet.policy;
        let rollout = &policy.autonomous.rollout;
        for candidate in eligible(&state.candidates) {
            let autonomous = &candidate.autonomous;
            prop_assert_eq!(policy.mode, PolicyMode::GuardedAuto);
            prop_assert!(policy.autonomous.governance.lapsed(fleet.now).is_none());
            prop_assert!(!policy.autonomous.safety.kill_switch);
            prop_assert!(!candidate.suppressed && !candidate.cooldown.active);
            prop_assert!(!autonomous.safety.cooldown.active);
            prop_assert!(!state.autonomous.rollout.pause.active);
            prop_assert!(policy.autonomous.allow.categories.contains(&candidate.category));
            prop_assert!(rollout.scope.contains(&candidate.loop_id));
            prop_assert!(autonomous.rollout.selector.bucket < rollout.canary_percent);
            prop_assert!(!rollout.frozen_loop_ids.contains(&candidate.loop_id));
            prop_assert!(autonomous.gates.loop_converged);
        }
    }

    #[test]
    fn every_blocked_candidate_has_a_reason_and_every_eligible_one_none(fleet in fleets()) {
        for candidate in fleet.state().candidates {
            let autonomous = &candidate.autonomous;
            prop_assert_eq!(autonomous.eligible, autonomous.reasons.is_empty());
            prop_assert_eq!(autonomous.manual_only, !autonomous.eligible);
            prop_assert!(autonomous.reasons.is_sorted_by_key(|reason| reason.as_str()));
            prop_assert!(autonomous.gating_reasons.iter().all(|r| autonomous.reasons.contains(r)));
            prop_assert_eq!(candidate.suppressed, candidate.suppression_reason.is_some());
            prop_assert_eq!(candidate.suppressed, candidate.suppression_source.is_some());
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(fleet in fleets()) {
        let (once, again) = (fleet.evaluation(), fleet.evaluation());
        prop_assert_eq!(json::compact(&once.state), json::compact(&again.state));
        prop_assert_eq!(once, again);
    }

    #[test]
    fn the_order_of_results_does_not_matter_where_every_loop_stands_once(fleet in fleets()) {
        let mut fleet = fleet;
        let mut results = fleet.state["results"].as_array().cloned().unwrap_or_default();
        results.sort_by_key(|result| json::text(&result["loopId"]));
        results.dedup_by_key(|result| json::text(&result["loopId"]));
        fleet.state["results"] = Value::Array(results.clone());
        let forwards = fleet.evaluation();
        results.reverse();
        fleet.state["results"] = Value::Array(results);
        prop_assert_eq!(forwards, fleet.evaluation());
    }

    #[test]
    fn the_counters_add_up(fleet in fleets()) {
        let evaluation = fleet.evaluation();
        let state = &evaluation.state;
        let counters = state.counters;
        prop_assert_eq!(state.candidate_count, counters.unsuppressed_count + counters.suppressed_count);
        prop_assert_eq!(counters.unsuppressed_count, counters.auto_eligible_count + counters.manual_only_count);
        prop_assert!(counters.cooldown_suppressed_count <= counters.suppressed_count);
        let by_severity = state.summary.by_severity;
        prop_assert_eq!(state.candidate_count, by_severity.critical + by_severity.warning + by_severity.info);
        let buckets = state.autonomous.rollout.candidate_buckets;
        prop_assert_eq!(buckets.in_scope_count, buckets.in_cohort_count + buckets.out_of_cohort_count);
        prop_assert_eq!(evaluation.history.len() as u64, state.candidate_count);
        prop_assert!(state.reason_codes.is_sorted());
        let mut ranks: Vec<u64> = state.candidates.iter().map(|c| c.rank).collect();
        ranks.sort_unstable();
        prop_assert_eq!(ranks, (1..=state.candidate_count).collect::<Vec<_>>());
    }

    #[test]
    fn candidates_are_sorted_and_named_once(fleet in fleets()) {
        let state = fleet.state();
        let keys = state.candidates.iter().map(|c| (&c.loop_id, c.category.as_str()));
        let keys: Vec<_> = keys.collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_evaluation_of_nothing_new_changes_nothing_that_is_audited(fleet in fleets()) {
        let mut fleet = fleet;
        fleet.previous = Some(json::to_value(&fleet.state()));
        prop_assert!(fleet.evaluation().audit.is_empty());
    }

    #[test]
    fn no_document_makes_reading_panic(text in "\\PC*") {
        let _ = om_policy::audit::Previous::read(Some(text.as_bytes()));
        let _ = om_policy::fleet::FleetView::read(text.as_bytes());
    }
}
