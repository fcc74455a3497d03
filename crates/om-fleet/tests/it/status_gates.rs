//! Governance and suppression paths (chapter 05 §3.4; decision D27).

use om_fleet::status::FleetStatusInputs;
use om_model::Artifact;
use serde_json::{Value, json};

use crate::status::shown;
use crate::support::inputs;

fn with(policy: Value, handoff: Value) -> Value {
    let inputs = FleetStatusInputs {
        policy: Artifact::Document(policy),
        handoff: Artifact::Document(handoff),
        ..inputs(json!({}))
    };
    shown(&inputs)["autonomous"].clone()
}

fn decisions(policy: Value, handoff: Value) -> Value {
    with(policy, handoff)["safetyGateDecisions"].clone()
}

fn complete(review_by: &str) -> Value {
    json!({"actor": "k", "approvalRef": "c", "rationale": "r", "changedAt": "x",
        "reviewBy": review_by})
}

#[test]
fn governance_has_one_posture_and_its_codes() {
    const MISSING: &str = "autonomous_governance_authority_missing";
    const NO_DEADLINE: &str = "autonomous_governance_review_deadline_missing";
    const DUE: &str = "autonomous_governance_review_due_soon";
    const EXPIRED: &str = "autonomous_governance_review_expired";
    let stated = |present: Value, review_by: Value| json!({"authorityContextPresent": present, "reviewBy": review_by});
    let far = "2031-06-01T00:00:00Z";
    let cases: [(&str, Value, &str, &[&str]); 14] = [
        ("advisory", json!({}), "not_required", &[]),
        (
            "guarded_auto",
            json!({}),
            "authority_missing",
            &[MISSING, NO_DEADLINE],
        ),
        (
            "guarded_auto",
            json!(null),
            "authority_missing",
            &[MISSING, NO_DEADLINE],
        ),
        (
            "guarded_auto",
            json!(false),
            "authority_missing",
            &[MISSING, NO_DEADLINE],
        ),
        ("guarded_auto", complete(far), "active", &[]),
        ("guarded_auto", complete(""), "active", &[]),
        ("guarded_auto", complete("tomorrow"), "active", &[]),
        (
            "guarded_auto",
            complete("2031-05-04T12:00:00Z"),
            "review_expired",
            &[EXPIRED],
        ),
        (
            "guarded_auto",
            complete("2031-05-04T12:00:01Z"),
            "review_due_soon",
            &[DUE],
        ),
        (
            "guarded_auto",
            complete("2031-05-11T12:00:00Z"),
            "review_due_soon",
            &[DUE],
        ),
        (
            "guarded_auto",
            complete("2031-05-11T12:00:01Z"),
            "active",
            &[],
        ),
        (
            "guarded_auto",
            stated(json!(null), json!(far)),
            "authority_missing",
            &[MISSING],
        ),
        (
            "guarded_auto",
            stated(json!("true"), json!("2031-05-01T00:00:00Z")),
            "authority_missing",
            &[MISSING, EXPIRED],
        ),
        (
            "guarded_auto",
            stated(json!(true), json!(null)),
            "review_deadline_missing",
            &[NO_DEADLINE],
        ),
    ];
    for (mode, governance, posture, codes) in cases {
        let policy = json!({"mode": mode, "unsuppressedCount": 2,
            "autonomous": {"governance": governance}});
        let shown = with(policy, json!(null));
        let found = &shown["governance"];
        assert_eq!(found["posture"], posture, "{mode} {governance}");
        assert_eq!(found["reasonCodes"], json!(codes), "{mode} {governance}");
        let blocks = !codes.is_empty();
        assert_eq!(found["blocksAutonomous"], blocks);
        let gate = &shown["safetyGateDecisions"]["byPath"]["governanceGated"];
        let blocked = if blocks { 2 } else { 0 };
        assert_eq!(
            *gate,
            json!({"blockedCount": blocked, "reasonCodes": codes})
        );
    }
}

#[test]
fn every_reason_belongs_to_at_most_one_path() {
    const POLICY: [&str; 18] = [
        "policy_mode_not_guarded_auto",
        "candidate_suppressed",
        "category_not_allowlisted",
        "intent_not_allowlisted",
        "no_recommended_intent",
        "severity_below_threshold",
        "confidence_below_threshold",
        "autonomous_kill_switch_enabled",
        "autonomous_cooldown_active",
        "autonomous_max_actions_per_run_exceeded",
        "autonomous_max_actions_per_loop_exceeded",
        "autonomous_retry_guard_ambiguous",
        "autonomous_retry_guard_failed",
        "autonomous_already_executed",
        "autonomous_run_changed",
        "autonomous_loop_divergence",
        "loop_not_in_registry",
        "loop_disabled",
    ];
    const ROLLOUT: [&str; 7] = [
        "autonomous_rollout_scope_excluded",
        "autonomous_rollout_canary_excluded",
        "autonomous_rollout_paused_manual",
        "autonomous_rollout_paused_auto",
        "autonomous_autopause_ambiguous_spike",
        "autonomous_autopause_failure_spike",
        "autonomous_loop_frozen",
    ];
    let paths = [
        ("policyGated", &POLICY[..]),
        ("rolloutGated", &ROLLOUT[..]),
        ("governanceGated", &["autonomous_governance_review_expired"]),
        ("transportGated", &["registry_unavailable"]),
        ("", &["anything_else"]),
    ];
    for (expected, codes) in paths {
        for code in codes {
            let policy = json!({"summary": {"byAutonomyReason": {*code: 3}}});
            let found = decisions(policy, json!(null));
            for (path, _) in &paths[..4] {
                let blocked = if *path == expected { 3 } else { 0 };
                assert_eq!(
                    found["byPath"][path]["blockedCount"], blocked,
                    "{code} {path}"
                );
            }
            assert_eq!(found["byReason"], json!({*code: 3}));
        }
    }
}

#[test]
fn a_path_shows_its_part_of_the_reasons_with_zeros_and_counts_safety_decisions() {
    let reasons = json!({"severity_below_threshold": 4, "autonomous_rollout_paused_manual": 2,
        "strange": 9, "autonomous_kill_switch_enabled": 1, "candidate_suppressed": 0,
        "autonomous_cooldown_active": 1.5});
    let found = decisions(
        json!({"summary": {"byAutonomyReason": reasons}}),
        json!(null),
    );
    assert_eq!(
        found["byPath"]["policyGated"]["byReason"].to_string(),
        r#"{"severity_below_threshold":4,"autonomous_kill_switch_enabled":1,"candidate_suppressed":0,"autonomous_cooldown_active":1.5}"#
    );
    assert_eq!(found["byPath"]["policyGated"]["blockedCount"], 6.5);
    assert_eq!(found["byPath"]["rolloutGated"]["blockedCount"], 2);
    assert_eq!(found["blockedCount"], 4.5);
    assert_eq!(
        found["suppressionReasonCodes"],
        json!([
            "autonomous_suppression_policy_gated",
            "autonomous_suppression_rollout_gated"
        ])
    );
    assert_eq!(found["killSwitchActive"], false);
}

#[test]
fn the_kill_switch_is_on_only_by_true() {
    for (value, expected) in [
        (json!(true), true),
        (json!("true"), false),
        (json!(1), false),
    ] {
        let policy = json!({"autonomous": {"controls": {"safety": {"killSwitch": value}}}});
        assert_eq!(decisions(policy, json!(null))["killSwitchActive"], expected);
    }
}

#[test]
fn outcomes_on_sprites_are_gated_by_transport() {
    let result = |id: &str, status: &str, reason: Value| json!({"intentId": id, "status": status, "reasonCode": reason});
    let handoff = json!({
        "intents": [{"intentId": "s", "transport": "local"},
            {"intentId": "s", "transport": "sprite_service"},
            {"intentId": "l", "transport": "local"}, {"intentId": "d"}],
        "execution": {"mode": "manual", "results": [
            result("s", "failed", json!("control_failed_command")),
            result("s", "ambiguous", json!(null)),
            result("s", "executed", json!("control_confirmed")),
            result("l", "failed", json!("x")),
            result("d", "failed", json!("x")),
            result("unknown", "failed", json!("x")),
            result("s", "failed", json!("control_failed_command"))]}});
    let found = decisions(json!(null), handoff);
    assert_eq!(
        found["byPath"]["transportGated"].to_string(),
        r#"{"blockedCount":3,"byReason":{"control_failed_command":2,"transport_execution_blocked":1}}"#
    );
    assert_eq!(
        found["suppressionReasonCodes"],
        json!(["autonomous_suppression_transport_gated"])
    );
}

#[test]
fn what_a_handoff_adds_to_its_intents_counts_too() {
    let policy = json!({"summary": {"byAutonomyReason": {"autonomous_kill_switch_enabled": 1}},
        "candidates": [
            {"candidateId": "a", "autonomous": {"reasons": ["autonomous_kill_switch_enabled"]}},
            {"candidateId": "b", "autonomous": {"reasons": []}},
            {"candidateId": "c", "autonomous": {"reasons": ["loop_disabled"]}}]});
    let intent = |id: &str, reasons: Value| {
        json!({"intentId": format!("{id}:cancel"), "candidateId": id,
            "autonomous": {"reasons": reasons}})
    };
    let withheld = |id: &str, code: &str| json!({"intentId": id, "reasonCode": code});
    let handoff = json!({
        "intents": [
            intent("a", json!(["autonomous_kill_switch_enabled"])),
            intent("b", json!(["autonomous_kill_switch_enabled", "autonomous_retry_guard_failed"])),
            intent("c", json!(["loop_disabled", "registry_unavailable", "severity_below_threshold"])),
        ],
        "execution": {"withheld": [withheld("b:cancel", "autonomous_kill_switch_enabled"),
            withheld("c:cancel", "registry_unavailable")]}});
    let found = decisions(policy, handoff);
    assert_eq!(
        found["byPath"]["policyGated"].to_string(),
        r#"{"blockedCount":3,"byReason":{"autonomous_kill_switch_enabled":2,"autonomous_retry_guard_failed":1}}"#
    );
    assert_eq!(
        found["byPath"]["transportGated"],
        json!({"blockedCount": 1, "byReason": {"registry_unavailable": 1}})
    );
    assert_eq!(
        found["byReason"],
        json!({"autonomous_kill_switch_enabled": 1})
    );
    assert_eq!(found["blockedCount"], 2);
}

#[test]
fn an_expired_review_blocks_what_the_policy_counted() {
    let reasons = json!({"autonomous_governance_review_expired": 4});
    let policy = json!({"mode": "advisory", "unsuppressedCount": 9,
        "summary": {"byAutonomyReason": reasons}});
    assert_eq!(
        decisions(policy, json!(null))["byPath"]["governanceGated"],
        json!({"blockedCount": 4, "reasonCodes": ["autonomous_governance_review_expired"]})
    );
}
