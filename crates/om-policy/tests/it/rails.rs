//! What holds the manager back where every gate is open (§1.4.5 B, §1.8).

use om_model::fleet::policy::AutonomyReason;
use om_model::fleet::registry::{Category, Safety};
use om_model::json;
use om_policy::rails::{Caps, cooldown};
use serde_json::{Value, json};

use crate::support::{Fleet, NOW, ago, at, critical};

const RUN: &str = "autonomous_max_actions_per_run_exceeded";
const LOOP: &str = "autonomous_max_actions_per_loop_exceeded";
const COOLDOWN: &str = "autonomous_cooldown_active";
const KILLED: &str = "autonomous_kill_switch_enabled";

/// The fleet of the worked example.
fn worked() -> Fleet {
    let mut fleet = Fleet::auto(json!([
        {"loopId": "heath", "healthStatus": "critical"},
        {"loopId": "gorse", "healthStatus": "critical"},
        {"loopId": "fern", "status": "failed", "healthStatus": "critical"},
    ]));
    fleet.policy.autonomous.safety.max_actions_per_run = 2;
    fleet.policy.autonomous.safety.max_actions_per_loop = 1;
    fleet
}

#[test]
fn the_worked_example() {
    let mut fleet = worked();
    let expect = |expected: [(&str, &[&'static str]); 4]| {
        expected.map(|(id, reasons)| (id.to_owned(), reasons.to_vec()))
    };
    assert_eq!(
        fleet.reasons(),
        expect([
            ("fern:health_critical", &[]),
            ("fern:reconcile_failed", &[LOOP]),
            ("gorse:health_critical", &[]),
            ("heath:health_critical", &[RUN]),
        ])
    );
    // A second run inside of the cooldown frees the slots for the others.
    fleet.history = fleet
        .evaluation()
        .history
        .iter()
        .map(json::to_value)
        .collect();
    assert_eq!(
        fleet.reasons(),
        expect([
            ("fern:health_critical", &[COOLDOWN]),
            ("fern:reconcile_failed", &[]),
            ("gorse:health_critical", &[COOLDOWN]),
            ("heath:health_critical", &[]),
        ])
    );
}

#[test]
fn the_first_rail_that_holds_back_is_the_only_reason() {
    let held_back = |kill: bool, cooling: bool, run: u64, of_loop: u64| {
        let mut fleet = Fleet::auto(json!([critical("l")]));
        let safety = &mut fleet.policy.autonomous.safety;
        safety.kill_switch = kill;
        safety.max_actions_per_run = run;
        safety.max_actions_per_loop = of_loop;
        if cooling {
            fleet.history = vec![json!({
                "candidateId": "l:health_critical", "timestamp": ago(299),
                "autonomousEligible": true,
            })];
        }
        fleet.only_reasons()
    };
    assert_eq!(held_back(true, true, 0, 0), [KILLED]);
    assert_eq!(held_back(false, true, 0, 0), [COOLDOWN]);
    assert_eq!(held_back(false, false, 0, 0), [RUN]);
    assert_eq!(held_back(false, false, 1, 0), [LOOP]);
    assert_eq!(held_back(false, false, 1, 1), Vec::<&str>::new());
}

#[test]
fn blocked_candidates_take_no_slot() {
    let mut fleet = Fleet::auto(json!([critical("a"), critical("b"), critical("c")]));
    fleet.policy.autonomous.safety.max_actions_per_run = 1;
    fleet
        .policy
        .suppressions
        .insert("a".to_owned(), json!(["health_critical"]));
    let reasons: Vec<_> = fleet
        .reasons()
        .into_iter()
        .map(|(_, reasons)| reasons)
        .collect();
    assert_eq!(reasons, [vec!["candidate_suppressed"], vec![], vec![RUN]]);
}

#[test]
fn rails_are_not_asked_where_a_gate_is_closed() {
    let mut fleet = Fleet::auto(json!([critical("l")]));
    fleet.policy.autonomous.safety.kill_switch = true;
    fleet.policy.autonomous.rollout.pause.manual = true;
    assert_eq!(fleet.only_reasons(), ["autonomous_rollout_paused_manual"]);
    let safety = &fleet.state().candidates[0].autonomous.safety;
    assert!(
        safety.kill_switch && safety.kill_switch_active,
        "told independently of the gates"
    );
}

#[test]
fn the_documents_rails_say_what_is_configured_and_what_blocks() {
    let mut fleet = worked();
    fleet.policy.autonomous.safety.cooldown_seconds = 60;
    let state = json::to_value(&fleet.state());
    let safety = |at: usize| state["candidates"][at]["autonomous"]["safety"].clone();
    let expected = |run: bool, of_loop: bool| {
        json!({
            "maxActionsPerRun": 2, "maxActionsPerLoop": 1, "cooldownSeconds": 60,
            "killSwitch": false,
            "cooldown": {"active": false, "remainingSeconds": 0, "lastEligibleAt": null},
            "killSwitchActive": false, "runCapBlocked": run, "loopCapBlocked": of_loop,
        })
    };
    assert_eq!(safety(0), expected(false, false));
    assert_eq!(safety(1), expected(false, true));
    assert_eq!(safety(3), expected(true, false));
}

#[test]
fn the_cooldown_is_armed_by_having_been_eligible() {
    let cases: [(u64, Option<i64>, Value); 6] = [
        (300, None, json!([false, 0, null])),
        (300, Some(0), json!([true, 300, ago(0)])),
        (300, Some(299), json!([true, 1, ago(299)])),
        (300, Some(300), json!([false, 0, ago(300)])),
        (0, Some(1), json!([false, 0, ago(1)])),
        (300, Some(-10), json!([true, 310, ago(-10)])),
    ];
    for (seconds, eligible, expected) in cases {
        let cooldown = json::to_value(&cooldown(seconds, eligible.map(ago), at(NOW)));
        let members = ["active", "remainingSeconds", "lastEligibleAt"].map(|m| cooldown[m].clone());
        assert_eq!(json!(members), expected, "{seconds} {eligible:?}");
    }
}

#[test]
fn in_advisory_mode_the_cooldown_is_told_but_blocks_nothing() {
    let mut fleet = Fleet::advisory(json!([critical("l")]));
    fleet.window = Some(0);
    fleet.policy.autonomous.safety.kill_switch = true;
    fleet.history = vec![json!({
        "candidateId": "l:health_critical", "timestamp": ago(10), "autonomousEligible": true,
    })];
    assert_eq!(fleet.only_reasons(), ["policy_mode_not_guarded_auto"]);
    let safety = &fleet.state().candidates[0].autonomous.safety;
    assert!(safety.cooldown.active && safety.kill_switch && !safety.kill_switch_active);
}

#[test]
fn caps_count_what_is_taken() {
    let mut caps = Caps::new(&Safety {
        max_actions_per_run: 3,
        max_actions_per_loop: 2,
        ..Safety::default()
    });
    let blocks = |caps: &Caps, id| caps.blocks(id).map(AutonomyReason::as_str);
    caps.take("a");
    assert_eq!(blocks(&caps, "a"), None);
    caps.take("a");
    assert_eq!(blocks(&caps, "a"), Some(LOOP));
    assert_eq!(blocks(&caps, "b"), None);
    caps.take("b");
    assert_eq!(blocks(&caps, "b"), Some(RUN));
}

#[test]
fn the_category_order_decides_who_takes_the_slot() {
    let mut fleet = Fleet::auto(json!([
        {"loopId": "l", "status": "failed", "healthStatus": "degraded"},
    ]));
    fleet.policy.autonomous.allow.categories = Category::ALL.to_vec();
    fleet.policy.autonomous.thresholds.min_severity = om_model::alerts::Severity::Info;
    fleet.policy.autonomous.thresholds.min_confidence = om_model::drift::Confidence::Low;
    fleet.policy.autonomous.safety.max_actions_per_loop = 1;
    let reasons: Vec<_> = fleet
        .reasons()
        .into_iter()
        .map(|(_, reasons)| reasons)
        .collect();
    assert_eq!(reasons, [vec![], vec![LOOP]]);
}
