//! What changed since the previous evaluation (§1.5.4, decision D29).

use om_model::json;
use om_policy::audit::Previous;
use serde_json::{Value, json};

use crate::support::{Fleet, critical};

/// The policy state that `fleet` leaves behind.
fn state_of(fleet: &Fleet) -> Value {
    json::to_value(&fleet.state())
}

fn rows(fleet: &Fleet, previous: Option<Value>) -> Vec<Value> {
    let mut fleet = fleet.clone();
    fleet.previous = previous;
    fleet
        .evaluation()
        .audit
        .iter()
        .map(json::to_value)
        .collect()
}

fn events(fleet: &Fleet, previous: Option<Value>) -> Vec<String> {
    let rows = rows(fleet, previous);
    rows.iter()
        .map(|row| json::text(&row["eventType"]))
        .collect()
}

#[test]
fn which_event_is_recorded() {
    let fleet = Fleet::auto(json!([critical("l")]));
    let same = state_of(&fleet);
    let changed = |pointer: &str, value: Value| {
        let mut state = same.clone();
        *state.pointer_mut(pointer).expect("is there") = value;
        Some(state)
    };
    let cases: [(&str, Option<Value>, &[&str]); 12] = [
        (
            "no previous state",
            None,
            &["autonomous_policy_initialized"],
        ),
        (
            "null",
            Some(json!(null)),
            &["autonomous_policy_initialized"],
        ),
        ("the same", Some(same.clone()), &[]),
        (
            "mode",
            changed("/mode", json!("advisory")),
            &["autonomous_mode_toggled"],
        ),
        (
            "mode missing",
            changed("/mode", json!(null)),
            &["autonomous_mode_toggled"],
        ),
        (
            "controls",
            changed("/autonomous/controls/safety/killSwitch", json!(true)),
            &["autonomous_policy_mutated"],
        ),
        (
            "no controls",
            changed("/autonomous/controls", json!(null)),
            &["autonomous_policy_mutated"],
        ),
        (
            "governance",
            changed("/autonomous/governance/actor", json!("lee")),
            &["autonomous_policy_mutated"],
        ),
        (
            "neither",
            changed("/autonomous", json!({})),
            &["autonomous_policy_mutated"],
        ),
        ("fleet", changed("/fleetId", json!("south")), &[]),
        (
            "window",
            changed("/noiseControls/dedupeWindowSeconds", json!(9)),
            &[],
        ),
        (
            "suppressions and mode",
            changed("/mode", json!("advisory")).map(|mut state| {
                state["suppressionState"]["suppressions"] = json!({"l": ["health_critical"]});
                state
            }),
            &["autonomous_mode_toggled", "policy_suppressions_changed"],
        ),
    ];
    for (what, previous, expected) in cases {
        assert_eq!(events(&fleet, previous), expected, "{what}");
    }
}

#[test]
fn an_empty_previous_state_was_advisory() {
    let mut fleet = Fleet::advisory(json!([]));
    assert_eq!(
        events(&fleet, Some(json!({}))),
        ["autonomous_policy_mutated"]
    );
    fleet = Fleet::auto(json!([]));
    let row = rows(&fleet, Some(json!({}))).remove(0);
    assert_eq!(
        (
            &row["eventType"],
            &row["previousMode"],
            &row["previousControls"],
            &row["previousGovernance"]
        ),
        (
            &json!("autonomous_mode_toggled"),
            &json!("advisory"),
            &json!({}),
            &json!({})
        )
    );
}

#[test]
fn equality_is_of_values_not_of_texts() {
    let fleet = Fleet::auto(json!([]));
    let state = json::compact(&state_of(&fleet));
    let other_numbers = state
        .replace("\"canaryPercent\":100", "\"canaryPercent\":1e2")
        .replace("0.4", "0.40");
    assert_ne!(other_numbers, state);
    let previous = json::parse(other_numbers.as_bytes()).expect("is JSON");
    assert_eq!(events(&fleet, Some(previous)), Vec::<String>::new());

    let mut reordered = state_of(&fleet);
    let controls = reordered["autonomous"]["controls"]
        .as_object()
        .expect("an object");
    let backwards = controls.clone().into_iter().rev().collect();
    reordered["autonomous"]["controls"] = Value::Object(backwards);
    assert_eq!(events(&fleet, Some(reordered)), Vec::<String>::new());
}

#[test]
fn an_initialisation_has_no_previous_members() {
    let row = rows(&Fleet::advisory(json!([])), None).remove(0);
    let members: Vec<&String> = row.as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        [
            "timestamp",
            "category",
            "eventType",
            "fleetId",
            "traceId",
            "mode",
            "governance",
            "controls",
            "source"
        ]
    );
    assert_eq!(
        row["source"],
        json!({
            "registryFile": "F/registry.v1.json",
            "policyStateFile": "F/policy-state.json",
            "governanceAuditFile": "F/telemetry/policy-governance.jsonl",
        })
    );
}

#[test]
fn a_change_of_suppressions_names_scopes_and_who_is_behind_it() {
    let mut fleet = Fleet::advisory(json!([]));
    fleet.policy.suppressions = json!({"a": ["health_critical"], "*": ["health_degraded"]})
        .as_object()
        .expect("an object")
        .clone();
    let before = state_of(&fleet);
    fleet.policy.suppressions = json!({"a": ["health_critical"], "b": ["reconcile_failed"]})
        .as_object()
        .expect("an object")
        .clone();
    let who = json!({"actor": "kim", "ref": "CHG-9", "rationale": "noise", "reviewBy": "2031-07-01T00:00:00Z"});
    fleet.policy.suppression_governance = json!({"b": who, "a": {"actor": "lee"}})
        .as_object()
        .expect("an object")
        .clone();
    let mut rows = rows(&fleet, Some(before));
    assert_eq!(rows.len(), 1);
    let row = rows.remove(0);
    assert_eq!(
        row,
        json!({
            "timestamp": "2031-05-06T07:08:09Z", "category": "fleet_policy_governance",
            "eventType": "policy_suppressions_changed", "fleetId": "north", "traceId": "tr-9",
            "mode": "advisory", "changedScopes": ["*", "b"],
            "before": {"a": ["health_critical"], "*": ["health_degraded"]},
            "after": {"a": ["health_critical"], "b": ["reconcile_failed"]},
            "suppressionGovernance": {"b": who},
            "source": {
                "registryFile": "F/registry.v1.json",
                "policyStateFile": "F/policy-state.json",
                "governanceAuditFile": "F/telemetry/policy-governance.jsonl",
            },
        })
    );
}

#[test]
fn suppressions_of_a_first_evaluation_or_an_older_state() {
    let mut fleet = Fleet::advisory(json!([]));
    fleet
        .policy
        .suppressions
        .insert("a".to_owned(), json!(["health_critical"]));
    assert_eq!(events(&fleet, None), ["autonomous_policy_initialized"]);
    let mut older = state_of(&fleet);
    older["suppressionState"] = json!(null);
    let row = rows(&fleet, Some(older)).remove(0);
    assert_eq!(
        (&row["eventType"], &row["before"]),
        (&json!("policy_suppressions_changed"), &json!({}))
    );
}

#[test]
fn a_previous_state_that_is_none_is_refused() {
    let read = |bytes: &[u8]| Previous::read(Some(bytes)).map_err(|e| e.to_string());
    for (bytes, message) in [
        (&b""[..], "it is empty"),
        (b"{} {}", "more than one JSON document (line 1 column 4)"),
        (b"[]", "document is an array, expected an object"),
        (b"5", "document is a number, expected an object"),
        (
            br#"{"autonomous":[]}"#,
            "autonomous is an array, expected an object",
        ),
    ] {
        assert_eq!(read(bytes), Err(message.to_owned()));
    }
    assert_eq!(Previous::read(None), Ok(None));
    assert_eq!(read(b"null"), Ok(None));
}

#[test]
fn a_state_with_repeated_members_is_read_like_any_other() {
    let plain = br#"{"mode":"guarded_auto","autonomous":{"controls":{"a":1}}}"#;
    let repeated =
        br#"{"mode":"advisory","autonomous":{"controls":{}},"mode":"guarded_auto","autonomous":{"controls":{"a":1.0}}}"#;
    assert_eq!(
        Previous::read(Some(plain)).expect("is read"),
        Previous::read(Some(repeated)).expect("is read")
    );
}
