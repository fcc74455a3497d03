//! The normalised registry, the texts of what is refused, and warnings.

use om_model::fleet::registry::Category;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: i64 = 1_935_655_200;

fn judged(text: &str) -> Evaluation {
    let now = Timestamp::from_epoch_seconds(NOW);
    evaluate(text.as_bytes(), "reg.json", now).expect("is JSON")
}

fn normalised(document: &Value) -> Value {
    let found = judged(&json::compact(document));
    json::to_value(&found.registry.expect("is valid"))
}

#[test]
fn the_smallest_registry_has_every_default() {
    let document = json!({"schemaVersion": "v1", "loops": [{"loopId": "nightly"}]});
    let registry = judged(&json::compact(&document))
        .registry
        .expect("is valid");
    insta::assert_snapshot!(json::pretty(&registry));
}

#[test]
fn everything_that_is_given_is_kept_and_what_nobody_reads_is_not() {
    let document = json!({
        "schemaVersion": "v1", "fleetId": "", "x": 1,
        "loops": [{
            "loopId": "a b", "enabled": false, "transport": "sprite_service", "x": 1,
            "sprite": {"id": "s", "assignment": {"x": [1]}, "serviceBaseUrl": "http://sprite", "x": 1},
            "service": {"tokenEnv": "T", "retryAttempts": 1.5, "retryBackoffSeconds": 0},
            "metadata": {"x": null},
        }, {"loopId": "b", "service": {"baseUrl": 7}}],
        "policy": {
            "mode": "guarded_auto",
            "suppressions": {"*": ["health_degraded", "health_degraded"], "b": []},
            "suppressionGovernance": {"*": {"actor": "kim", "x": 1}},
            "noiseControls": {"dedupeWindowSeconds": 0},
            "autonomous": {
                "enabled": false,
                "allow": {"categories": [], "intents": []},
                "thresholds": {"minSeverity": "info", "minConfidence": "low"},
                "safety": {"maxActionsPerRun": 0, "maxActionsPerLoop": 2.0, "cooldownSeconds": 1e20, "killSwitch": true},
                "governance": {
                    "actor": "kim", "approvalRef": "X-1", "rationale": "why", "reviewWindowDays": 99,
                    "changedAt": "2031-5-1T0:0:0Z", "reviewBy": "2031-05-08T23:59:59Z",
                },
                "rollout": {
                    "canaryPercent": 0, "scope": {"loopIds": ["b"]}, "selector": {"salt": "s"},
                    "pause": {"manual": true}, "frozenLoopIds": ["a b"],
                    "autoPause": {
                        "enabled": false, "lookbackExecutions": 9, "minSampleSize": 1,
                        "ambiguityRateThreshold": 0, "failureRateThreshold": 1.0,
                        "clearedAt": "2031-05-04T09:00:00Z",
                    },
                },
            },
        },
    });
    let registry = judged(&json::compact(&document))
        .registry
        .expect("is valid");
    insta::assert_snapshot!(json::pretty(&registry));
}

#[test]
fn absent_like_values_mean_the_default() {
    let smallest = json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}]});
    let padded = json!({
        "schemaVersion": "v1", "fleetId": false,
        "loops": [{"loopId": "a", "enabled": null, "transport": false, "metadata": false,
            "sprite": {"id": null, "assignment": false}, "service": {"tokenEnv": false, "retryAttempts": null}}],
        "policy": {"mode": false, "suppressions": null, "autonomous": {
            "allow": {"categories": false}, "safety": {"killSwitch": null},
            "rollout": {"canaryPercent": false, "selector": {"salt": null}, "autoPause": {"enabled": null}},
        }},
    });
    assert_eq!(normalised(&padded), normalised(&smallest));
}

#[test]
fn the_urls_of_service_and_sprite_stand_in_for_each_other() {
    for (service, sprite, expected) in [
        (json!("x"), json!(null), (json!("x"), json!("x"))),
        (json!(false), json!("y"), (json!("y"), json!("y"))),
        (json!("x"), json!("y"), (json!("x"), json!("y"))),
        (json!(null), json!(false), (json!(null), json!(null))),
    ] {
        let document = json!({"schemaVersion": "v1", "loops": [
            {"loopId": "a", "service": {"baseUrl": service}, "sprite": {"serviceBaseUrl": sprite}},
        ]});
        let entry = &normalised(&document)["loops"][0];
        let found = (
            entry["service"]["baseUrl"].clone(),
            entry["sprite"]["serviceBaseUrl"].clone(),
        );
        assert_eq!(found, expected, "{document}");
    }
}

#[test]
fn a_moment_that_is_still_to_come_clears_nothing() {
    let cleared = |seconds: i64| {
        let at = Timestamp::from_epoch_seconds(NOW + seconds).to_string();
        let policy = json!({"autonomous": {"rollout": {"autoPause": {"clearedAt": at}}}});
        let found = judged(&json::compact(
            &json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}], "policy": policy}),
        ));
        let registry = found.registry.expect("is valid");
        (
            registry
                .policy
                .autonomous
                .rollout
                .auto_pause
                .cleared_at
                .is_some(),
            found.warnings.len(),
        )
    };
    assert_eq!(cleared(-1), (true, 0));
    assert_eq!(cleared(300), (true, 0));
    assert_eq!(cleared(301), (false, 1));
}

#[test]
fn violations_name_the_line_of_the_member_or_of_what_should_contain_it() {
    let found = judged(
        "\u{feff}{\n \"loops\": [\n  {\"loopId\": \"a\"},\n  {},\n  {\"loopId\": \"a\"}],\n \"policy\":\n  {\"mode\":\n   1}}",
    );
    let rejection = found.accepted().expect_err("is refused");
    assert_eq!(
        rejection.to_string(),
        "invalid fleet registry: reg.json\n \
         - schemaVersion must be \"v1\"\n \
         - loopId values must be unique (line 5: \"a\")\n \
         - loops[1]: loopId must be a non-empty string (line 4)\n \
         - policy.mode must be advisory or guarded_auto (line 7)"
    );
}

#[test]
fn a_name_cannot_add_lines_to_a_message() {
    let found = judged(
        r#"{"schemaVersion":"v1","loops":[{"loopId":"a"}],"policy":{"suppressions":{"x\n - y\u001b":[]}}}"#,
    );
    let shown = found.violations[0].to_string();
    let expected =
        r"policy.suppressions.x\n - y\u{1b} key must reference a declared loopId or * (line 1)";
    assert_eq!(shown, expected);
}

#[test]
fn what_is_not_one_document_is_refused_with_its_place() {
    let now = Timestamp::from_epoch_seconds(NOW);
    for (text, message) in [
        ("", "invalid fleet registry JSON: f: it is empty"),
        (" \n", "invalid fleet registry JSON: f: it is empty"),
        (
            "{}\n{}",
            "invalid fleet registry JSON: f: more than one JSON document (line 2 column 1)",
        ),
        (
            "{} x",
            "invalid fleet registry JSON: f: trailing characters at line 1 column 4",
        ),
    ] {
        let error = evaluate(text.as_bytes(), "f", now).expect_err("is refused");
        assert_eq!(error.to_string(), message, "{text:?}");
    }
}

#[test]
fn a_lapsed_review_is_a_posture_that_only_one_command_refuses() {
    let governance = json!({
        "actor": "kim", "approvalRef": "X", "rationale": "y",
        "changedAt": "2031-05-01T00:00:00Z", "reviewBy": "2031-05-02T00:00:00Z",
    });
    let text = |mode: &str, more: &Value| {
        json::compact(
            &json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}], "fleetId": more,
            "policy": {"mode": mode, "autonomous": {"governance": governance}}}),
        )
    };
    let lapsed = judged(&text("guarded_auto", &json!("x")));
    assert_eq!(
        lapsed.review_lapsed.as_deref(),
        Some("2031-05-02T00:00:00Z")
    );
    assert!(lapsed.clone().accepted().is_ok());
    let refused = lapsed.valid().expect_err("is refused").to_string();
    let rule = "policy.autonomous.governance.reviewBy must be in the future when policy.mode is guarded_auto";
    assert_eq!(
        refused,
        format!("invalid fleet registry: reg.json\n - {rule} (line 1)")
    );
    let advisory = judged(&text("advisory", &json!("x")));
    assert_eq!(advisory.review_lapsed, None);
    assert!(advisory.valid().is_ok());
    let broken = judged(&text("guarded_auto", &json!(1)));
    let refused = broken.accepted().expect_err("is refused").to_string();
    assert_eq!(refused.lines().count(), 3, "{refused}");
}

#[test]
fn unknown_members_are_warned_about_with_what_was_probably_meant() {
    let found = judged(
        r#"{"schemaVersion":"v1","fleetid":"x","sourceFile":"f","loopCount":1,
        "loops":[{"loopId":"a","Enabled":false,"owner":"kim","metadata":{"anything":1},
          "service":{"base_url":"x"}}],
        "policy":{"autonomous":{"enabled":true,"safety":{"killswitch":true,"kill_switch":true,"killSwich":true},
          "governance":{"reviewWindowDays":3},
          "rollout":{"canary":5,"pause":{"manuel":true},"frozenLoopIds":[]}},
          "suppressionGovernance":{"a":{"reviewby":"x"}}}}"#,
    );
    let told: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    assert!(found.violations.is_empty());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn false_that_means_a_default_is_warned_about() {
    let found = judged(
        r#"{"schemaVersion":"v1","loops":[{"loopId":"a","enabled":false,"transport":false}],
        "policy":{"autonomous":{"rollout":{"canaryPercent":false,"pause":{"manual":false}}}}}"#,
    );
    let told: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "loops[0].transport is false, which means its default (line 1)",
        "policy.autonomous.rollout.canaryPercent is false, which means its default (line 2)",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_filter_keeps_one_loop_and_counts_it() {
    let document = json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}, {"loopId": "b"}]});
    let registry = judged(&json::compact(&document))
        .registry
        .expect("is valid");
    let one = registry.clone().only("b").expect("is there");
    assert_eq!((one.loop_count, one.loops[0].loop_id.as_str()), (1, "b"));
    assert_eq!(registry.only("B"), None);
}

fn any_registry() -> impl Strategy<Value = Value> {
    let ids = prop::collection::btree_set("[a-c]{1,2}", 1..5);
    let flag = prop::option::of(any::<bool>());
    let list = prop::collection::vec(
        prop::sample::select(Category::ALL.map(Category::as_str).to_vec()),
        0..3,
    );
    (ids, flag.clone(), flag, prop::option::of(0u8..=100), list, prop::option::of(0.0..=1.0))
        .prop_map(|(ids, enabled, kill, percent, categories, rate)| {
            let loops: Vec<Value> = ids.iter().map(|id| json!({"loopId": id, "enabled": enabled, "sprite": {"serviceBaseUrl": id}})).collect();
            let first = ids.first().cloned().unwrap_or_default();
            json!({
                "schemaVersion": "v1", "loops": loops,
                "policy": {
                    "suppressions": {first.clone(): categories},
                    "autonomous": {
                        "safety": {"killSwitch": kill},
                        "rollout": {"canaryPercent": percent, "frozenLoopIds": [first],
                            "autoPause": {"enabled": enabled, "failureRateThreshold": rate}},
                    },
                },
            })
        })
}

proptest! {
    #[test]
    fn the_normalised_registry_is_its_own_normal_form(document in any_registry()) {
        let once = normalised(&document);
        prop_assert_eq!(normalised(&once), once);
    }
}
