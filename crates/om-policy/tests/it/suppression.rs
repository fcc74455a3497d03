//! What nobody wants to hear of (§1.4.2).

use om_model::json;
use om_policy::suppression::dedupe;
use serde_json::{Value, json};

use crate::support::{Fleet, NOW, ago, at, critical};

const LOOP: &[&str] = &[
    "loop",
    "registry_policy_suppression",
    "policy.suppressions.<loopId>",
];
const GLOBAL: &[&str] = &[
    "global",
    "registry_policy_suppression",
    "policy.suppressions.*",
];
const COOLDOWN: &[&str] = &[
    "cooldown",
    "advisory_cooldown_active",
    "policy.noiseControls.dedupeWindowSeconds",
];

fn suppression(suppressions: Value, shown: bool) -> Value {
    let mut fleet = Fleet::advisory(json!([critical("l")]));
    let suppressions = suppressions.as_object().expect("an object");
    fleet.policy.suppressions.clone_from(suppressions);
    if shown {
        fleet.history = vec![json!({"candidateId": "l:health_critical", "timestamp": ago(10)})];
    }
    let candidate = json::to_value(&fleet.state().candidates[0]);
    json!([
        candidate["suppressionScope"],
        candidate["suppressionReason"],
        candidate["suppressionSource"],
        candidate["suppressed"],
    ])
}

#[test]
fn the_loop_goes_before_every_loop_and_both_before_the_cooldown() {
    for (suppressions, shown, expected) in [
        (json!({}), false, None),
        (json!({}), true, Some(COOLDOWN)),
        (json!({"*": ["health_critical"]}), false, Some(GLOBAL)),
        (json!({"*": ["health_critical"]}), true, Some(GLOBAL)),
        (json!({"l": ["health_critical"]}), true, Some(LOOP)),
        (
            json!({"l": ["health_critical"], "*": ["health_critical"]}),
            true,
            Some(LOOP),
        ),
        (
            json!({"l": ["reconcile_failed"], "*": ["health_degraded"]}),
            false,
            None,
        ),
        (json!({"m": ["health_critical"]}), false, None),
        (json!({"l": "health_critical"}), false, None),
    ] {
        let expected = match expected {
            Some([scope, reason, source]) => json!([scope, reason, source, true]),
            _ => json!([null, null, null, false]),
        };
        assert_eq!(
            suppression(suppressions.clone(), shown),
            expected,
            "{suppressions} {shown}"
        );
    }
}

#[test]
fn the_window_counts_from_the_last_time_it_was_shown() {
    let cases: [(u64, Option<i64>, Value); 8] = [
        (0, Some(1), json!([false, 0, false, 0, null])),
        (300, None, json!([true, 300, false, 0, null])),
        (300, Some(0), json!([true, 300, true, 300, ago(0)])),
        (300, Some(299), json!([true, 300, true, 1, ago(299)])),
        (300, Some(300), json!([true, 300, false, 0, ago(300)])),
        (300, Some(301), json!([true, 300, false, 0, ago(301)])),
        (300, Some(-60), json!([true, 300, true, 360, ago(-60)])),
        (
            u64::MAX,
            Some(1),
            json!([true, u64::MAX, true, u64::MAX - 1, ago(1)]),
        ),
    ];
    for (window, shown, expected) in cases {
        let cooldown = json::to_value(&dedupe(window, shown.map(ago), at(NOW)));
        let members: Vec<Value> = [
            "enabled",
            "windowSeconds",
            "active",
            "remainingSeconds",
            "lastUnsuppressedAt",
        ]
        .iter()
        .map(|member| cooldown[member].clone())
        .collect();
        assert_eq!(Value::Array(members), expected, "{window} {shown:?}");
    }
}

#[test]
fn the_cooldown_is_told_of_suppressed_candidates_too() {
    let mut fleet = Fleet::advisory(json!([critical("l")]));
    fleet
        .policy
        .suppressions
        .insert("*".to_owned(), json!(["health_critical"]));
    fleet.history = vec![json!({"candidateId": "l:health_critical", "timestamp": ago(10)})];
    assert_eq!(fleet.state().candidates[0].cooldown.remaining_seconds, 290);
}

#[test]
fn the_flag_wins_over_the_registry_even_if_it_is_zero() {
    let mut fleet = Fleet::advisory(json!([critical("l")]));
    fleet.history = vec![json!({"candidateId": "l:health_critical", "timestamp": ago(10)})];
    for (flag, suppressed, window) in [(None, true, 300), (Some(0), false, 0), (Some(5), false, 5)]
    {
        fleet.window = flag;
        let state = fleet.state();
        assert_eq!(state.candidates[0].suppressed, suppressed, "{flag:?}");
        assert_eq!(state.noise_controls.dedupe_window_seconds, window);
    }
}

#[test]
fn a_suppressed_occurrence_does_not_extend_the_window() {
    let mut fleet = Fleet::advisory(json!([critical("l")]));
    for _ in 0..4 {
        let evaluation = fleet.evaluation();
        fleet
            .history
            .extend(evaluation.history.iter().map(json::to_value));
        fleet.now = at(&ago(-100 * i64::try_from(fleet.history.len()).expect("few")).to_string());
    }
    let shown: Vec<_> = fleet
        .history
        .iter()
        .map(|row| row["suppressed"] == false)
        .collect();
    assert_eq!(
        shown,
        [true, false, false, true],
        "at 0, 100, 200 and 300 seconds"
    );
}

#[test]
fn ten_thousand_suppressions_are_looked_up_not_searched() {
    let mut fleet = Fleet::advisory(json!([critical("loop-9999"), critical("loop-10001")]));
    for n in 0..10_000 {
        let scope = format!("loop-{n}");
        fleet
            .policy
            .suppressions
            .insert(scope, json!(["health_critical"]));
    }
    let suppressed: Vec<_> = fleet
        .state()
        .candidates
        .iter()
        .map(|c| c.suppressed)
        .collect();
    assert_eq!(suppressed, [false, true]);
}
