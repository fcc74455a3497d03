//! Every reason, what brings it about, and that nothing is widened.

use om_model::fleet::registry::Policy;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: i64 = 1_935_655_200;

fn now() -> Timestamp {
    Timestamp::from_epoch_seconds(NOW)
}

/// A registry that says no more than it must, with `policy` in it.
fn registry(policy: &Value) -> Value {
    json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}, {"loopId": "b"}], "policy": policy})
}

fn look(document: &Value, evaluated: &Autonomous) -> Result<Limits, Withheld> {
    let written = Written::from_file(Some(json::compact(document).as_bytes()), now());
    let loop_id = LoopId::new("a").expect("an id");
    let subject = Subject {
        loop_id: &loop_id,
        category: Category::HealthCritical,
        intent: Intent::Cancel,
        severity: Severity::Warning,
        confidence: Confidence::Medium,
    };
    last_look(&written, evaluated, &subject, now())
}

/// The verdict on a registry whose autonomy says `autonomous`.
fn verdict(autonomous: &Value) -> Option<Withheld> {
    let document = registry(&json!({"autonomous": autonomous}));
    look(&document, &Autonomous::default()).err()
}

#[test]
fn a_registry_that_says_nothing_changes_nothing() {
    let evaluated = Autonomous::default();
    for policy in [
        json!(null),
        json!({}),
        json!({"autonomous": {"safety": null, "rollout": {}}}),
    ] {
        let limits = look(&registry(&policy), &evaluated).expect("nothing is in the way");
        let expected = Limits {
            auto_pause: vec![evaluated.rollout.auto_pause.clone()],
            max_actions_per_run: 1,
            max_actions_per_loop: 1,
        };
        assert_eq!(limits, expected);
    }
}

#[test]
fn what_is_written_withholds_with_its_reason() {
    let rollout = |value: Value| json!({"rollout": value});
    let bucket = cohort_bucket("a", "fleet-autonomous-rollout-v1");
    for (autonomous, reason) in [
        (
            json!({"safety": {"killSwitch": true}}),
            Some(Withheld::KillSwitch),
        ),
        (json!({"safety": {"killSwitch": false}}), None),
        (
            rollout(json!({"pause": {"manual": true}})),
            Some(Withheld::ManualPause),
        ),
        (rollout(json!({"pause": {"manual": false}})), None),
        (
            rollout(json!({"frozenLoopIds": ["b", "a"]})),
            Some(Withheld::Frozen),
        ),
        (rollout(json!({"frozenLoopIds": ["b"]})), None),
        (
            rollout(json!({"scope": {"loopIds": ["b"]}})),
            Some(Withheld::ScopeExcluded),
        ),
        (rollout(json!({"scope": {"loopIds": ["b", "a"]}})), None),
        (rollout(json!({"scope": {"loopIds": []}})), None),
        (
            rollout(json!({"canaryPercent": 0})),
            Some(Withheld::CanaryExcluded),
        ),
        (
            rollout(json!({"canaryPercent": bucket})),
            Some(Withheld::CanaryExcluded),
        ),
        (rollout(json!({"canaryPercent": bucket + 1})), None),
        (
            json!({"allow": {"categories": []}}),
            Some(Withheld::CategoryNotAllowed),
        ),
        (json!({"allow": {"categories": ["health_critical"]}}), None),
        (
            json!({"allow": {"intents": []}}),
            Some(Withheld::IntentNotAllowed),
        ),
        (json!({"allow": {"intents": ["cancel"]}}), None),
        (
            json!({"thresholds": {"minSeverity": "critical"}}),
            Some(Withheld::SeverityBelow),
        ),
        (json!({"thresholds": {"minSeverity": "warning"}}), None),
        (
            json!({"thresholds": {"minConfidence": "high"}}),
            Some(Withheld::ConfidenceBelow),
        ),
        (json!({"thresholds": {"minConfidence": "medium"}}), None),
    ] {
        assert_eq!(verdict(&autonomous), reason, "{autonomous}");
    }
}

#[test]
fn the_loop_has_to_be_there_and_enabled() {
    let registry = |entry: Value| json!({"schemaVersion": "v1", "loops": [entry, {"loopId": "b"}]});
    for (entry, reason) in [
        (json!({"loopId": "A"}), Some(Withheld::LoopNotInRegistry)),
        (
            json!({"loopId": "a", "enabled": false}),
            Some(Withheld::LoopDisabled),
        ),
        (json!({"loopId": "a", "enabled": true}), None),
        (json!({"loopId": "a", "enabled": null}), None),
    ] {
        let verdict = look(&registry(entry.clone()), &Autonomous::default()).err();
        assert_eq!(verdict, reason, "{entry}");
    }
}

#[test]
fn a_registry_that_cannot_be_had_or_breaks_a_rule_withholds_everything() {
    let evaluated = Autonomous::default();
    let broken = registry(&json!({"autonomous": {"rollout": {"canaryPercent": 101}}}));
    assert_eq!(
        look(&broken, &evaluated),
        Err(Withheld::RegistryUnavailable)
    );
    for bytes in [None, Some(&b""[..]), Some(b"{"), Some(b"[]"), Some(b"null")] {
        assert_eq!(Written::from_file(bytes, now()), Written(None), "{bytes:?}");
    }
    assert_eq!(Written::from_hook(Some(json!([]))), Written(None));
    assert_eq!(Written::from_hook(None), Written(None));
}

#[test]
fn the_mode_withholds_only_if_it_is_written() {
    let evaluated = Autonomous::default();
    let advisory = registry(&json!({"mode": "advisory"}));
    assert_eq!(look(&advisory, &evaluated), Err(Withheld::NotGuardedAuto));
    assert!(look(&registry(&json!({"mode": null})), &evaluated).is_ok());
}

#[test]
fn a_review_lapses_by_the_clock_as_written_or_as_evaluated() {
    let at = |seconds: i64| Timestamp::from_epoch_seconds(NOW + seconds).to_string();
    let evaluated = |deadline: Option<String>| {
        let mut evaluated = Autonomous::default();
        evaluated.governance.review_by = deadline;
        evaluated
    };
    let written = |deadline: Value| {
        registry(
            &json!({"mode": "guarded_auto", "autonomous": {"governance": {
                "actor": "kim", "approvalRef": "X", "rationale": "y",
                "changedAt": "2020-01-01T00:00:00Z", "reviewBy": deadline,
            }}}),
        )
    };
    let lapsed = Err(Withheld::ReviewExpired);
    assert!(look(&written(json!(at(1))), &evaluated(None)).is_ok());
    assert_eq!(
        look(&written(json!(at(0))), &evaluated(Some(at(9)))),
        lapsed
    );
    let silent = registry(&json!({}));
    assert_eq!(look(&silent, &evaluated(Some(at(0)))), lapsed);
    assert!(look(&silent, &evaluated(Some(at(1)))).is_ok());
}

#[test]
fn suppressions_of_the_loop_and_of_all_withhold() {
    for (key, category, withheld) in [
        ("a", "health_critical", true),
        ("*", "health_critical", true),
        ("b", "health_critical", false),
        ("a", "health_degraded", false),
    ] {
        let document = registry(&json!({"suppressions": {key: [category]}}));
        let verdict = look(&document, &Autonomous::default()).err();
        assert_eq!(
            verdict,
            withheld.then_some(Withheld::Suppressed),
            "{document}"
        );
    }
}

#[test]
fn another_salt_chooses_other_loops() {
    let mut evaluated = Autonomous::default();
    evaluated.rollout.canary_percent = 50;
    let salt = |wanted: bool| {
        let mut salts = (0..).map(|n| format!("s{n}"));
        salts
            .find(|salt| (cohort_bucket("a", salt) < 50) == wanted)
            .expect("half of them")
    };
    let document =
        |salt: &str| registry(&json!({"autonomous": {"rollout": {"selector": {"salt": salt}}}}));
    assert!(look(&document(&salt(true)), &evaluated).is_ok());
    let out = look(&document(&salt(false)), &evaluated);
    assert_eq!(out, Err(Withheld::CanaryExcluded));
}

#[test]
fn caps_are_the_smaller_ones_and_the_auto_pause_is_judged_by_both_settings() {
    let document = registry(&json!({"autonomous": {
        "safety": {"maxActionsPerRun": 9, "maxActionsPerLoop": 0},
        "rollout": {"autoPause": {"enabled": false, "lookbackExecutions": 2}},
    }}));
    let mut evaluated = Autonomous::default();
    evaluated.safety.max_actions_per_run = 3;
    evaluated.rollout.auto_pause.min_sample_size = 7;
    let limits = look(&document, &evaluated).expect("nothing is in the way");
    assert_eq!(
        (limits.max_actions_per_run, limits.max_actions_per_loop),
        (3, 0)
    );
    let written = AutoPause {
        enabled: false,
        lookback_executions: 2,
        ..evaluated.rollout.auto_pause.clone()
    };
    assert_eq!(limits.auto_pause, [evaluated.rollout.auto_pause, written]);
}

#[test]
fn the_first_reason_is_the_one_that_is_told() {
    let everything = json!({
        "mode": "advisory",
        "suppressions": {"*": ["health_critical"]},
        "autonomous": {
            "safety": {"killSwitch": true},
            "allow": {"categories": [], "intents": []},
            "rollout": {"pause": {"manual": true}, "canaryPercent": 0, "frozenLoopIds": ["a"]},
        },
    });
    let verdict = look(&registry(&everything), &Autonomous::default());
    assert_eq!(verdict, Err(Withheld::NotGuardedAuto));
    let reasons: Vec<Withheld> = CHECKS.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, Withheld::ALL[1..]);
}

#[test]
fn a_hooks_odd_switches_withhold() {
    let hook = |document: Value| {
        let loop_id = LoopId::new("a").expect("an id");
        let subject = Subject {
            loop_id: &loop_id,
            category: Category::HealthCritical,
            intent: Intent::Cancel,
            severity: Severity::Critical,
            confidence: Confidence::High,
        };
        let evaluated = Policy::default().autonomous;
        last_look(
            &Written::from_hook(Some(document)),
            &evaluated,
            &subject,
            now(),
        )
        .err()
    };
    let kill = json!({"loops": [{"loopId": "a"}], "policy": {"autonomous": {"safety": {"killSwitch": "yes"}}}});
    assert_eq!(hook(kill), Some(Withheld::KillSwitch));
    let enabled = json!({"loops": [{"loopId": "a", "enabled": "no"}]});
    assert_eq!(hook(enabled), Some(Withheld::LoopDisabled));
}

proptest! {
    #[test]
    fn caps_never_grow(run in 0u64..9, per_loop in 0u64..9, written_run in 0u64..9, written_loop in 0u64..9) {
        let document = registry(&json!({"autonomous": {"safety": {
            "maxActionsPerRun": written_run, "maxActionsPerLoop": written_loop,
        }}}));
        let mut evaluated = Autonomous::default();
        evaluated.safety.max_actions_per_run = run;
        evaluated.safety.max_actions_per_loop = per_loop;
        let limits = look(&document, &evaluated).expect("nothing is in the way");
        prop_assert_eq!(limits.max_actions_per_run, run.min(written_run));
        prop_assert_eq!(limits.max_actions_per_loop, per_loop.min(written_loop));
    }
}
