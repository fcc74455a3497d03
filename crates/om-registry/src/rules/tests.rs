//! Every row of chapter 05 §1.4: what it accepts, and what it says.

use om_model::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::evaluate::evaluate;
use crate::member::Step;

mod rows;

const NOW: &str = "2031-05-04T10:00:00Z";

fn now() -> Timestamp {
    Timestamp::parse(NOW).expect("a timestamp")
}

/// A registry that holds every rule, in `mode`.
fn valid(mode: &str) -> Value {
    json!({
        "schemaVersion": "v1",
        "fleetId": "night",
        "loops": [
            {"loopId": "a"},
            {"loopId": "b", "transport": "sprite_service", "service": {"baseUrl": "http://b"}},
        ],
        "policy": {"mode": mode, "autonomous": {"governance": {
            "actor": "kim", "approvalRef": "CH-1", "rationale": "nights",
            "changedAt": "2031-05-01T00:00:00Z", "reviewBy": "2031-06-01T00:00:00Z",
        }}},
    })
}

/// Makes `value` stand at `path`, or nothing.
fn put(document: &mut Value, path: &MemberPath, value: Option<Value>) {
    let (last, way) = path.steps().split_last().expect("not the root");
    let at = way.iter().fold(document, |at, step| match step {
        Step::Member(name) => {
            if !at[name].is_object() && !at[name].is_array() {
                at[name] = json!({});
            }
            &mut at[name]
        }
        Step::Item(index) => &mut at[*index],
    });
    match (last, value) {
        (Step::Member(name), Some(value)) => at[name] = value,
        (Step::Member(name), None) => {
            at.as_object_mut().expect("an object").remove(name);
        }
        (Step::Item(index), value) => at[*index] = value.unwrap_or_default(),
    }
}

fn messages(document: &Value) -> Vec<String> {
    let found = check(document, now()).into_iter();
    found.map(|violation| violation.message).collect()
}

/// The messages of a valid registry with one value changed.
fn with(mode: &str, path: &MemberPath, value: Option<Value>) -> Vec<String> {
    let mut document = valid(mode);
    put(&mut document, path, value);
    messages(&document)
}

#[test]
fn every_row_accepts_what_is_right_or_missing_and_names_what_is_not() {
    for row in rows::all() {
        let path = &row.member;
        let mut accepted: Vec<Option<Value>> = row.accepted.into_iter().map(Some).collect();
        accepted.extend([None, Some(Value::Null)]);
        accepted.extend(row.false_is_missing.then_some(Some(json!(false))));
        for value in accepted {
            assert_eq!(
                with("advisory", path, value.clone()),
                [""; 0],
                "{path}: {value:?}"
            );
        }
        for (value, message) in row.refused {
            let found = with("advisory", path, Some(value.clone()));
            assert_eq!(found, [message], "{path}: {value}");
        }
    }
}

#[test]
fn the_file_as_a_whole() {
    let (version, list) = ("schemaVersion must be \"v1\"", "loops must be an array");
    for (document, expected) in [
        (json!(null), vec![version, list]),
        (json!({}), vec![version, list]),
        (
            json!({"schemaVersion": 1, "loops": {}}),
            vec![version, list],
        ),
        (
            json!({"schemaVersion": "v1", "loops": []}),
            vec!["loops must include at least one loop entry"],
        ),
        (
            json!([1]),
            vec![
                "the registry must be an object, it is an array",
                version,
                list,
            ],
        ),
        (
            json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}]}),
            vec![],
        ),
    ] {
        assert_eq!(messages(&document), expected, "{document}");
    }
}

#[test]
fn loop_ids_are_there_safe_and_unique() {
    let registry = |ids: Value| {
        let loops: Vec<Value> = ids
            .as_array()
            .expect("ids")
            .iter()
            .map(|id| json!({"loopId": id}))
            .collect();
        messages(&json!({"schemaVersion": "v1", "loops": loops}))
    };
    let (text, safe) = (
        "loopId must be a non-empty string",
        "loopId must be a safe path component",
    );
    assert_eq!(registry(json!(["a", "A", "ä", "a b"])), [""; 0]);
    assert_eq!(
        registry(json!(["a", "a", "a"])),
        ["loopId values must be unique"]
    );
    for (id, message) in [
        (json!(""), text),
        (json!(null), text),
        (json!(false), text),
        (json!(7), text),
        (json!("a/b"), safe),
        (json!("fleet"), safe),
        (json!(".."), safe),
        (json!("x".repeat(129)), safe),
    ] {
        assert_eq!(registry(json!(["a", id])), [format!("loops[1]: {message}")]);
    }
    let missing = json!({"schemaVersion": "v1", "loops": [{}, null, 3]});
    assert_eq!(
        messages(&missing),
        [
            format!("loops[0]: {text}"),
            "loops[1]: entry must be an object".to_owned(),
            format!("loops[1]: {text}"),
            "loops[2]: entry must be an object".to_owned(),
            format!("loops[2]: {text}"),
        ]
    );
}

#[test]
fn a_service_loop_needs_a_url_of_its_service_or_its_sprite() {
    let message = "loops[0]: sprite_service loops require service.baseUrl or sprite.serviceBaseUrl";
    for (transport, service, sprite, fine) in [
        ("sprite_service", json!("http://s"), json!(null), true),
        ("sprite_service", json!(null), json!("http://s"), true),
        ("sprite_service", json!(false), json!("http://s"), true),
        ("sprite_service", json!(""), json!("http://s"), false),
        ("sprite_service", json!(1), json!("http://s"), false),
        ("sprite_service", json!(null), json!(""), false),
        ("sprite_service", json!(null), json!(null), false),
        ("local", json!(7), json!([]), true),
    ] {
        let entry = json!({
            "loopId": "a", "transport": transport,
            "service": {"baseUrl": service}, "sprite": {"serviceBaseUrl": sprite},
        });
        let found = messages(&json!({"schemaVersion": "v1", "loops": [entry]}));
        let expected: &[&str] = if fine { &[] } else { &[message] };
        assert_eq!(found, expected, "{entry}");
    }
}

#[test]
fn guarded_autonomy_needs_governance() {
    let member = |name: &str| MemberPath::dotted("policy.autonomous.governance").then(name);
    let all = "policy.autonomous.governance";
    let guarded = "when policy.mode is guarded_auto";
    assert_eq!(with("guarded_auto", &member("x"), Some(json!(1))), [""; 0]);
    let required = |name: &str| format!("{all}.{name} is required {guarded}");
    for name in ["actor", "approvalRef", "rationale"] {
        assert_eq!(with("guarded_auto", &member(name), None), [required(name)]);
        let text = format!("{all}.{name} must be a non-empty string when present");
        assert_eq!(
            with("guarded_auto", &member(name), Some(json!(""))),
            [text, required(name)]
        );
    }
    let moment = |name: &str| format!("{all}.{name} must be an ISO-8601 timestamp {guarded}");
    for name in ["changedAt", "reviewBy"] {
        assert_eq!(with("guarded_auto", &member(name), None), [moment(name)]);
    }
    let missing = with("guarded_auto", &MemberPath::dotted(all), None);
    let expected = [
        format!("{all} is required {guarded}"),
        required("actor"),
        required("approvalRef"),
        required("rationale"),
        moment("changedAt"),
        moment("reviewBy"),
    ];
    assert_eq!(missing, expected);
    let odd = with("guarded_auto", &MemberPath::dotted(all), Some(json!("me")));
    assert_eq!(odd[0], format!("{all} must be an object when present"));
    assert_eq!(odd[1..], expected[1..]);
}

#[test]
fn a_review_comes_after_the_change_and_after_now() {
    let path = MemberPath::dotted("policy.autonomous.governance.reviewBy");
    let after = format!("{path} must be after policy.autonomous.governance.changedAt");
    let guarded = "when policy.mode is guarded_auto";
    let future = format!("{path} must be in the future {guarded}");
    for (review, expected) in [
        ("2031-05-04T10:00:01Z", vec![]),
        (NOW, vec![future.clone()]),
        ("2031-05-01T00:00:01Z", vec![future.clone()]),
        (
            "2031-05-01T00:00:00Z",
            vec![after.clone(), format!("{after} {guarded}"), future.clone()],
        ),
    ] {
        let found = with("guarded_auto", &path, Some(json!(review)));
        assert_eq!(found, expected, "{review}");
        let advisory = with("advisory", &path, Some(json!(review)));
        let expected: Vec<_> = expected.into_iter().filter(|text| *text == after).collect();
        assert_eq!(advisory, expected, "{review} in advisory mode");
    }
}

#[test]
fn only_the_rule_of_the_review_deadline_is_apart() {
    let mut document = valid("guarded_auto");
    document["policy"]["autonomous"]["governance"]["reviewBy"] = json!(NOW);
    let found = check(&document, now());
    assert_eq!(
        found.iter().filter(|found| found.review_lapsed).count(),
        found.len()
    );
    assert_eq!(found.len(), 1);
    let rules = LOOP_RULES.iter().chain(&POLICY_RULES);
    assert_eq!(rules.filter(|rule| rule.review).count(), 1);
}

#[test]
fn suppressions_are_judged_key_by_key() {
    let path = MemberPath::dotted("policy.suppressions");
    let value = json!({
        "zzz": false,
        "b": null,
        "*": ["health_critical", 1],
        "a": ["health_critical", "x", "health_critical"],
    });
    assert_eq!(
        with("advisory", &path, Some(value)),
        [
            "policy.suppressions.zzz key must reference a declared loopId or *",
            "policy.suppressions.b must be an array",
            "policy.suppressions.* entries must be strings",
            "policy.suppressions.a contains unknown categories",
        ]
    );
}

#[test]
fn who_suppressed_what_is_judged_key_by_key() {
    let path = MemberPath::dotted("policy.suppressionGovernance");
    let right = json!({"actor": "kim", "ref": "X-1", "rationale": "y", "reviewBy": NOW, "n": 1});
    assert_eq!(
        with("advisory", &path, Some(json!({"*": right, "a": {}}))),
        [""; 0]
    );
    let value =
        json!({"x": {}, "a": 1, "*": {"actor": "", "ref": 1, "rationale": [], "reviewBy": "soon"}});
    let here = "policy.suppressionGovernance";
    let text = "must be a non-empty string when present";
    assert_eq!(
        with("advisory", &path, Some(value)),
        [
            format!("{here}.x key must reference a declared loopId or *"),
            format!("{here}.a must be an object"),
            format!("{here}.*.actor {text}"),
            format!("{here}.*.ref {text}"),
            format!("{here}.*.rationale {text}"),
            format!("{here}.*.reviewBy must be an ISO-8601 timestamp when present"),
        ]
    );
}

#[test]
fn references_need_loops_and_an_object_of_them_declares_its_own() {
    let policy = json!({
        "autonomous": {"rollout": {"scope": {"loopIds": ["a"]}}}, "suppressions": {"a": []},
    });
    let undeclared = [
        "loops must be an array",
        "policy.autonomous.rollout.scope.loopIds entries must reference declared loopIds",
        "policy.suppressions.a key must reference a declared loopId or *",
    ];
    for (loops, expected) in [
        (json!("a"), &undeclared[..]),
        (json!({"one": {"loopId": "a"}}), &undeclared[..1]),
        (json!({"one": 1}), &undeclared[..]),
    ] {
        let document = json!({"schemaVersion": "v1", "loops": loops, "policy": policy});
        assert_eq!(messages(&document), expected, "{document}");
    }
}

#[test]
fn all_violations_are_told_in_the_order_of_the_rules() {
    let document = json!({
        "policy": {
            "suppressions": {"x": []},
            "autonomous": {"rollout": {"frozenLoopIds": 1, "canaryPercent": 101}, "safety": 1, "allow": {"intents": 1}},
            "mode": "x",
        },
        "loops": [{"loopId": "a", "enabled": 1}, {"loopId": "a"}],
        "fleetId": 1,
    });
    let found = messages(&document);
    let starts = [
        "schemaVersion",
        "fleetId",
        "loopId values",
        "loops[0]: enabled",
        "policy.mode",
        "policy.autonomous.allow.intents",
        "policy.autonomous.safety must",
        "policy.autonomous.rollout.canaryPercent",
        "policy.suppressions.x",
        "policy.autonomous.rollout.frozenLoopIds",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (message, start) in found.iter().zip(starts) {
        assert!(message.starts_with(start), "{message} / {start}");
    }
}

/// Arbitrary JSON, with the registry's own names often in it.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "schemaVersion",
        "loops",
        "loopId",
        "policy",
        "mode",
        "autonomous",
        "rollout",
        "scope",
        "loopIds",
        "suppressions",
        "governance",
        "reviewBy",
        "service",
        "sprite",
        "safety",
        "*",
        "a",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["v1", "guarded_auto", "a", "", NOW, "cancel"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..8).prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(n, v)| (n.to_owned(), v))
                        .collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_makes_the_rules_panic(document in any_json()) {
        let text = om_model::json::compact(&document);
        let evaluation = evaluate(text.as_bytes(), "f", now()).expect("is JSON");
        let refused = evaluation.violations.iter().any(|found| !found.review_lapsed);
        prop_assert_eq!(evaluation.registry.is_none(), refused);
    }

    #[test]
    fn no_bytes_make_the_rules_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = evaluate(&bytes, "f", now());
    }
}
