//! The change as a command.

use std::fs;

use om_promotion::PromotionError;
use om_promotion::apply::{ApplyRequest, prepare, run, run_as_seen};
use serde_json::{Value, json};

use crate::place::{NOW, Place, REGISTRY, governance};

fn apply(place: &Place, request: &ApplyRequest) -> Result<Value, PromotionError> {
    place
        .with(|pipeline| run(request, pipeline))
        .map(|printed| printed.document)
}

fn refused(place: &Place, request: &ApplyRequest) -> String {
    let before = place.tree();
    let error = apply(place, request).expect_err("is refused");
    assert_eq!(place.tree(), before, "nothing is written");
    error.to_string()
}

fn keyed(place: &Place, intent: &str) -> ApplyRequest {
    ApplyRequest {
        idempotency_key: Some("k".into()),
        ..place.apply(intent)
    }
}

#[test]
fn an_expansion_changes_these_values_and_no_other_byte() {
    let place = Place::promotable();
    place.decided("promote");
    apply(&place, &place.apply("expand")).expect("is applied");
    let expected = REGISTRY
        .replace("\"canaryPercent\": 10", "\"canaryPercent\": 35")
        .replace(
            "\"enabled\": false} }",
            "\"enabled\": false}, \"pause\": {\"manual\": false} }",
        )
        .replace("\"ada\"", "\"kim\"")
        .replace("\"CHG-0\"", "\"CHG-88\"")
        .replace("\"pilot\"", r#""wider, in \"steps\" of 25""#)
        .replace("2030-03-01T00:00:00Z", "2030-03-17T17:46:40Z")
        .replace("2030-04-01T00:00:00Z", "2030-05-01T00:00:00Z");
    assert_eq!(place.text("registry.v1.json"), expected);
}

#[test]
fn the_record_is_printed_kept_and_appended() {
    let place = Place::promotable();
    place.decided("promote");
    let request = ApplyRequest {
        loop_id: Some("a".into()),
        evidence_refs: vec!["z\nb".into()],
        trace_id: Some("t".into()),
        ..keyed(&place, "expand")
    };
    let record = apply(&place, &request).expect("is applied");
    assert_eq!(place.json("promotion-apply-state.json"), record);
    let rows = place.rows("telemetry/promotion-apply.jsonl");
    assert_eq!(rows, std::slice::from_ref(&record));
    let state_file = place.fleet_text("promotion-state.json");
    assert_eq!(
        record,
        json!({
            "schemaVersion": "v1",
            "timestamp": "2030-03-17T17:46:40Z",
            "category": "promotion_apply",
            "fleetId": "default",
            "traceId": "t",
            "loopId": "a",
            "horizonRef": null,
            "evidenceRefs": [state_file, "b", "z"],
            "idempotencyKey": "k",
            "status": "applied",
            "intent": "expand",
            "decision": "promote",
            "governance": {
                "actor": "kim", "approvalRef": "CHG-88",
                "rationale": "wider, in \"steps\" of 25",
                "changedAt": "2030-03-17T17:46:40Z", "reviewBy": "2030-05-01T00:00:00Z",
            },
            "rollout": {
                "before": { "canaryPercent": 10, "manualPause": false },
                "after": { "canaryPercent": 35, "manualPause": false },
                "changed": { "canaryPercent": true, "manualPause": false },
            },
            "files": {
                "registryFile": place.fleet_text("registry.v1.json"),
                "promotionStateFile": state_file,
                "applyStateFile": place.fleet_text("promotion-apply-state.json"),
                "applyTelemetryFile": place.fleet_text("telemetry/promotion-apply.jsonl"),
            },
            "reasonCodes": [],
        })
    );
}

#[test]
fn rollback_pauses_and_resume_lifts_the_pause() {
    let place = Place::promotable();
    place.decided("hold");
    let record = apply(&place, &place.apply("rollback")).expect("is applied");
    assert_eq!(
        record["rollout"]["after"],
        json!({ "canaryPercent": 10, "manualPause": true })
    );
    assert_eq!(record["decision"], "hold");
    place.decided("promote");
    let record = apply(&place, &place.apply("resume")).expect("is applied");
    assert_eq!(
        record["rollout"]["changed"],
        json!({ "canaryPercent": false, "manualPause": true })
    );
    assert_eq!(place.canary(), 10);
}

#[test]
fn a_used_key_answers_with_its_record_before_anything_else_is_asked() {
    let place = Place::promotable();
    place.decided("promote");
    let first = apply(&place, &keyed(&place, "expand")).expect("is applied");
    let registry = place.text("registry.v1.json");
    // Neither the decision nor the deadline would allow it now.
    place.decided("hold");
    let request = ApplyRequest {
        governance: om_promotion::apply::Governance {
            review_by: Some("never".into()),
            ..governance()
        },
        ..keyed(&place, "expand")
    };
    let again = apply(&place, &request).expect("is answered");
    let mut expected = first;
    expected["replayed"] = json!(true);
    assert_eq!(again, expected);
    assert_eq!(place.json("promotion-apply-state.json"), expected);
    assert_eq!(place.rows("telemetry/promotion-apply.jsonl").len(), 1);
    assert_eq!(place.text("registry.v1.json"), registry);
    assert_eq!(
        refused(&place, &keyed(&place, "rollback")),
        "idempotency key already used for intent expand: k"
    );
}

#[test]
fn a_damaged_audit_trail_stops_what_widens_and_no_rollback() {
    let place = Place::promotable();
    place.decided("promote");
    place.put("telemetry/promotion-apply.jsonl", "{\n");
    for intent in ["expand", "resume"] {
        for request in [keyed(&place, intent), place.apply(intent)] {
            let message = refused(&place, &request);
            assert!(
                message.starts_with("invalid promotion apply telemetry JSONL: "),
                "{message}"
            );
        }
    }
    for request in [keyed(&place, "rollback"), place.apply("rollback")] {
        apply(&place, &request).expect("is applied");
    }
}

#[test]
fn only_a_promotion_widens() {
    let place = Place::promotable();
    let message = refused(&place, &place.apply("expand"));
    let path = place.fleet_text("promotion-state.json");
    assert_eq!(message, format!("promotion state file not found: {path}"));
    for decision in ["hold", "skipped"] {
        place.decided(decision);
        let expected =
            format!("intent resume requires promotion decision promote (found: {decision})");
        assert_eq!(refused(&place, &place.apply("resume")), expected);
    }
}

#[test]
fn a_rollback_is_possible_whatever_evidence_is_broken() {
    for state in [None, Some(""), Some("{"), Some("[]"), Some("{}")] {
        let place = Place::promotable();
        if let Some(state) = state {
            place.put("promotion-state.json", state);
        }
        place.put("telemetry/handoff.jsonl", "{");
        let record = apply(&place, &place.apply("rollback")).expect("is applied");
        assert_eq!(record["decision"], "unknown", "{state:?}");
        assert_eq!(record["rollout"]["after"]["manualPause"], true);
    }
}

#[test]
fn the_deadline_has_to_be_a_time_to_come() {
    let place = Place::promotable();
    place.decided("promote");
    for (review_by, message) in [
        ("soon", "--review-by must be an ISO-8601 timestamp"),
        ("2030-03-17T17:46:40Z", "--review-by must be in the future"),
    ] {
        for intent in ["expand", "rollback"] {
            let mut request = place.apply(intent);
            request.governance.review_by = Some(review_by.into());
            assert_eq!(refused(&place, &request), message);
        }
    }
}

#[test]
fn a_lapsed_review_lets_nobody_widen_but_anybody_roll_back() {
    let place = Place::promotable();
    place.decided("promote");
    place.now.set(NOW + 30 * 86_400);
    for intent in ["expand", "resume"] {
        let message = refused(&place, &place.apply(intent));
        assert!(
            message.starts_with("failed to read/validate fleet registry: "),
            "{message}"
        );
        assert!(
            message.contains("reviewBy must be in the future"),
            "{message}"
        );
    }
    let record = apply(&place, &place.apply("rollback")).expect("is applied");
    assert_eq!(record["rollout"]["after"]["manualPause"], true);
}

#[test]
fn a_registry_that_is_missing_broken_or_advisory_is_left_alone() {
    let place = Place::promotable();
    place.decided("promote");
    let invalid = REGISTRY.replace("\"canaryPercent\": 10", "\"canaryPercent\": 101");
    for (registry, message) in [
        (
            "{",
            "failed to read/validate fleet registry: invalid fleet registry JSON: ",
        ),
        (
            invalid.as_str(),
            "failed to read/validate fleet registry: invalid fleet registry: ",
        ),
        (
            r#"{"schemaVersion":"v1","loops":[{"loopId":"a"}]}"#,
            "promotion apply requires policy.mode guarded_auto",
        ),
    ] {
        place.put("registry.v1.json", registry);
        for intent in ["expand", "rollback"] {
            let found = refused(&place, &place.apply(intent));
            assert!(found.starts_with(message), "{found}");
        }
    }
    fs::remove_file(place.fleet("registry.v1.json")).expect("removed");
    let found = refused(&place, &place.apply("rollback"));
    assert!(found.contains("fleet registry file not found: "), "{found}");
}

#[test]
fn an_edit_by_somebody_else_meanwhile_is_never_overwritten() {
    let mut place = Place::promotable();
    place.decided("promote");
    let registry = place.fleet_text("registry.v1.json");
    // The hook validates, and somebody saves the file in between.
    place.hooks.registry = Some(place.hook(
        "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
        &format!("echo >> '{registry}'; cat '{registry}'"),
    ));
    // The first edit happens before the file is read, the second after.
    let error = apply(&place, &place.apply("expand")).expect_err("is refused");
    assert_eq!(
        error.to_string(),
        format!("fleet registry changed while it was being edited: {registry}")
    );
    assert_eq!(place.text("registry.v1.json"), format!("{REGISTRY}\n\n"));
    assert!(!place.exists("promotion-apply-state.json"));
    assert!(!place.exists("telemetry/promotion-apply.jsonl"));
}

#[test]
fn the_registry_hook_judges_the_file_and_then_the_edited_text() {
    let mut place = Place::promotable();
    place.decided("promote");
    let calls = place.outside("calls");
    place.hooks.registry = Some(place.hook(
        "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
        &format!(
            "printf '%s|' \"$1\" \"$2\" \"$3\" >> '{}'; cat \"$4\"",
            calls.display()
        ),
    ));
    let record = apply(&place, &place.apply("expand")).expect("is applied");
    assert_eq!(record["rollout"]["after"]["canaryPercent"], 35);
    let called = fs::read_to_string(&calls).expect("called");
    let once = format!("--repo|{}|--registry-file|", place.repo().display());
    assert_eq!(called, once.repeat(2));
    assert!(
        place
            .text("registry.v1.json")
            .contains("\"x-owner\": \"platform\"")
    );
    place.hooks.registry = Some(place.hook(
        "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
        "case \"$4\" in *registry.v1.json) cat \"$4\";; *) echo 'error: not like this' >&2; exit 4;; esac",
    ));
    let message = refused(&place, &place.apply("rollback"));
    assert_eq!(message, "mutated registry failed validation: not like this");
}

#[test]
fn a_limit_of_age_makes_a_decision_prove_its_own() {
    let place = Place::promotable();
    place.decided("promote");
    let limited = |intent: &str| ApplyRequest {
        max_decision_age_minutes: Some("60".into()),
        ..place.apply(intent)
    };
    let message = refused(&place, &limited("expand"));
    assert!(
        message.starts_with("the promotion decision is not younger than 60 minutes"),
        "{message}"
    );
    apply(&place, &limited("rollback")).expect("is applied");
    let state =
        json!({ "generatedAt": "2030-03-17T17:00:00Z", "summary": { "decision": "promote" } });
    place.put("promotion-state.json", &state.to_string());
    apply(&place, &limited("expand")).expect("is applied");
}

#[test]
fn what_somebody_agreed_to_is_made_or_nothing() {
    let place = Place::promotable();
    place.decided("promote");
    let request = place.apply("expand");
    let seen = place
        .with(|pipeline| prepare(&request, pipeline))
        .expect("allowed");
    place.put("registry.v1.json", &REGISTRY.replace("10,", "40,"));
    let refused = place.with(|pipeline| run_as_seen(&request, &seen, pipeline));
    assert_eq!(
        refused.expect_err("is refused").to_string(),
        format!(
            "fleet registry changed while it was being edited: {}",
            place.fleet_text("registry.v1.json")
        )
    );
    assert_eq!(place.canary(), 40);
    assert!(!place.exists("telemetry/promotion-apply.jsonl"));
    let seen = place
        .with(|pipeline| prepare(&request, pipeline))
        .expect("allowed");
    place
        .with(|pipeline| run_as_seen(&request, &seen, pipeline))
        .expect("as seen");
    assert_eq!(place.canary(), 65);
}
