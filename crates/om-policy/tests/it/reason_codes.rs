//! Counters and reason codes (§1.4.6, §1.7, decision D18).

use om_model::fleet::registry::PolicyMode;
use om_model::json;
use serde_json::{Value, json};

use crate::support::{Fleet, NOW, critical, executed};

fn codes(fleet: &Fleet) -> Vec<String> {
    let codes = json::to_value(&fleet.state().reason_codes);
    serde_json::from_value(codes).expect("texts")
}

/// What happens to a fleet, the codes in `guarded_auto`, those in `advisory`.
type Row = (
    &'static str,
    fn(&mut Fleet),
    &'static [&'static str],
    &'static [&'static str],
);

const ROWS: [Row; 11] = [
    (
        "nothing",
        |_| {},
        &["fleet_action_required", "fleet_auto_candidates_eligible"],
        &["fleet_action_required"],
    ),
    (
        "no candidate",
        |f| f.state["results"] = json!([]),
        &["no_action_required"],
        &["no_action_required"],
    ),
    (
        "suppressed by the registry",
        |f| suppress(f, "l"),
        &[
            "fleet_actions_policy_suppressed",
            "fleet_actions_suppressed",
            "no_action_required",
        ],
        &[
            "fleet_actions_policy_suppressed",
            "fleet_actions_suppressed",
            "no_action_required",
        ],
    ),
    (
        "shown a moment ago",
        |f| {
            f.window = Some(300);
            f.history = vec![json!({"candidateId": "l:health_critical", "timestamp": NOW})];
        },
        &[
            "fleet_actions_deduped",
            "fleet_actions_suppressed",
            "no_action_required",
        ],
        &[
            "fleet_actions_deduped",
            "fleet_actions_suppressed",
            "no_action_required",
        ],
    ),
    (
        "out of scope",
        |f| f.policy.autonomous.rollout.scope.loop_ids = vec!["x".to_owned()],
        &[
            "fleet_action_required",
            "fleet_auto_candidates_blocked",
            "fleet_auto_candidates_rollout_gated",
        ],
        &["fleet_action_required"],
    ),
    (
        "not selected",
        |f| f.policy.autonomous.rollout.canary_percent = 0,
        &[
            "fleet_action_required",
            "fleet_auto_candidates_blocked",
            "fleet_auto_candidates_rollout_gated",
        ],
        &["fleet_action_required"],
    ),
    (
        "paused by a person",
        |f| f.policy.autonomous.rollout.pause.manual = true,
        &[
            "fleet_action_required",
            "fleet_auto_candidates_blocked",
            "fleet_auto_candidates_paused",
        ],
        &["fleet_action_required"],
    ),
    (
        "paused by outcomes, nothing to do",
        |f| {
            f.handoff = vec![executed(5, 3, 3, 0)];
            f.state["results"] = json!([]);
        },
        &[
            "fleet_auto_candidates_autopause_triggered",
            "fleet_auto_candidates_paused",
            "no_action_required",
        ],
        &["no_action_required"],
    ),
    (
        "killed",
        |f| f.policy.autonomous.safety.kill_switch = true,
        &[
            "fleet_action_required",
            "fleet_auto_candidates_blocked",
            "fleet_auto_kill_switch_enabled",
        ],
        &["fleet_action_required"],
    ),
    (
        "killed, but nothing gets so far",
        |f| {
            f.policy.autonomous.safety.kill_switch = true;
            f.policy.autonomous.allow.intents.clear();
        },
        &["fleet_action_required", "fleet_auto_candidates_blocked"],
        &["fleet_action_required"],
    ),
    (
        "a cap of zero",
        |f| f.policy.autonomous.safety.max_actions_per_run = 0,
        &[
            "fleet_action_required",
            "fleet_auto_candidates_blocked",
            "fleet_auto_candidates_safety_blocked",
        ],
        &["fleet_action_required"],
    ),
];

fn suppress(fleet: &mut Fleet, loop_id: &str) {
    let suppressions = &mut fleet.policy.suppressions;
    suppressions.insert(loop_id.to_owned(), json!(["health_critical"]));
}

#[test]
fn what_an_evaluation_comes_to() {
    for (what, change, auto, advisory) in ROWS {
        let mut fleet = Fleet::auto(json!([critical("l")]));
        change(&mut fleet);
        assert_eq!(codes(&fleet), auto, "{what}, guarded_auto");
        fleet.policy.mode = PolicyMode::Advisory;
        assert_eq!(codes(&fleet), advisory, "{what}, advisory");
    }
}

#[test]
fn eligible_and_blocked_exclude_each_other() {
    let mut fleet = Fleet::auto(json!([critical("a"), critical("b")]));
    fleet.policy.autonomous.safety.max_actions_per_run = 1;
    assert_eq!(
        codes(&fleet),
        [
            "fleet_action_required",
            "fleet_auto_candidates_eligible",
            "fleet_auto_candidates_safety_blocked"
        ]
    );
}

#[test]
fn a_suppressed_candidate_is_in_neither_autonomy_count_nor_in_their_reasons() {
    let mut fleet = Fleet::auto(json!([critical("a"), critical("b"), critical("c")]));
    suppress(&mut fleet, "a");
    fleet.policy.autonomous.safety.max_actions_per_run = 1;
    let state = json::to_value(&fleet.state());
    let counted = [
        "candidateCount",
        "unsuppressedCount",
        "suppressedCount",
        "cooldownSuppressedCount",
        "autoEligibleCount",
        "manualOnlyCount",
    ]
    .map(|member| state[member].clone());
    assert_eq!(json!(counted), json!([3, 2, 1, 0, 1, 1]));
    assert_eq!(
        state["summary"],
        json!({
            "bySeverity": {"critical": 3, "warning": 0, "info": 0},
            "byConfidence": {"high": 3, "medium": 0, "low": 0},
            "byCategory": {"health_critical": 3},
            "bySuppressionReason": {"registry_policy_suppression": 1},
            "byAutonomy": {"eligible": 1, "manualOnly": 1},
            "byAutonomyReason": {"autonomous_max_actions_per_run_exceeded": 1},
        })
    );
}

#[test]
fn reasons_are_counted_once_per_candidate_in_order_of_occurrence() {
    let mut fleet = Fleet::auto(json!([
        critical("a"),
        {"loopId": "b", "healthStatus": "degraded"},
        critical("c"),
    ]));
    fleet.policy.autonomous.rollout.pause.manual = true;
    let by_reason = json::to_value(&fleet.state().summary.by_autonomy_reason);
    let counts: Vec<(String, Value)> = by_reason
        .as_object()
        .expect("an object")
        .clone()
        .into_iter()
        .collect();
    assert_eq!(
        counts,
        [
            ("autonomous_rollout_paused_manual".to_owned(), json!(3)),
            ("category_not_allowlisted".to_owned(), json!(1)),
            ("confidence_below_threshold".to_owned(), json!(1)),
            ("severity_below_threshold".to_owned(), json!(1)),
        ]
    );
}
