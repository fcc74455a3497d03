//! What opens the way for the manager to act by itself (§1.4.5 A).

use std::collections::BTreeSet;

use om_model::alerts::Severity;
use om_model::drift::Confidence;
use om_model::fleet::policy::AutonomyReason;
use om_model::fleet::registry::{Category, PolicyMode};
use om_model::json;
use om_policy::gates::GATES;
use serde_json::{Value, json};

use crate::support::{Fleet, NOW, ago, critical, executed};

/// What closes a gate, and the gate.
type Closed = (&'static str, fn(&mut Fleet), &'static [&'static str]);

const CLOSED: [Closed; 17] = [
    (
        "advisory mode",
        |fleet| fleet.policy.mode = PolicyMode::Advisory,
        &["policy_mode_not_guarded_auto"],
    ),
    (
        "review past its deadline",
        |fleet| review_by(fleet, "2031-05-06T07:08:08Z"),
        &["autonomous_governance_review_expired"],
    ),
    (
        "review at its deadline",
        |fleet| review_by(fleet, NOW),
        &["autonomous_governance_review_expired"],
    ),
    (
        "suppressed by the registry",
        |fleet| {
            let suppressions = &mut fleet.policy.suppressions;
            suppressions.insert("*".to_owned(), json!(["health_critical"]));
        },
        &["candidate_suppressed"],
    ),
    (
        "suppressed by the cooldown",
        |fleet| {
            fleet.window = Some(300);
            fleet.history =
                vec![json!({"candidateId": "orchid:health_critical", "timestamp": NOW})];
        },
        &["candidate_suppressed"],
    ),
    (
        "category not allowed",
        |fleet| fleet.policy.autonomous.allow.categories = vec![Category::ReconcileFailed],
        &["category_not_allowlisted"],
    ),
    (
        "intent not allowed",
        |fleet| fleet.policy.autonomous.allow.intents = Vec::new(),
        &["intent_not_allowlisted"],
    ),
    (
        "not severe enough",
        |fleet| {
            fleet.state["results"][0]["healthStatus"] = "degraded".into();
            fleet.policy.autonomous.allow.categories = Category::ALL.to_vec();
            fleet.policy.autonomous.thresholds.min_confidence = Confidence::Medium;
        },
        &["severity_below_threshold"],
    ),
    (
        "not certain enough",
        |fleet| {
            fleet.state["results"][0]["healthStatus"] = "degraded".into();
            fleet.policy.autonomous.allow.categories = Category::ALL.to_vec();
            fleet.policy.autonomous.thresholds.min_severity = Severity::Warning;
        },
        &["confidence_below_threshold"],
    ),
    (
        "state and events disagree",
        |fleet| {
            let codes = json!(["ingest_stale", "divergence_detected"]);
            fleet.state["results"][0]["healthReasonCodes"] = codes;
        },
        &["autonomous_loop_divergence"],
    ),
    (
        "frozen by a person",
        |fleet| fleet.policy.autonomous.rollout.frozen_loop_ids = vec!["orchid".to_owned()],
        &["autonomous_loop_frozen"],
    ),
    (
        "out of scope",
        |fleet| fleet.policy.autonomous.rollout.scope.loop_ids = vec!["other".to_owned()],
        &["autonomous_rollout_scope_excluded"],
    ),
    (
        "not selected by the canary percentage",
        |fleet| fleet.policy.autonomous.rollout.canary_percent = 8,
        &["autonomous_rollout_canary_excluded"],
    ),
    (
        "out of scope and not selected: only the scope is judged",
        |fleet| {
            fleet.policy.autonomous.rollout.scope.loop_ids = vec!["other".to_owned()];
            fleet.policy.autonomous.rollout.canary_percent = 0;
        },
        &["autonomous_rollout_scope_excluded"],
    ),
    (
        "paused by a person",
        |fleet| fleet.policy.autonomous.rollout.pause.manual = true,
        &["autonomous_rollout_paused_manual"],
    ),
    (
        "paused by ambiguous outcomes",
        |fleet| fleet.handoff = vec![executed(5, 3, 3, 0)],
        &[
            "autonomous_autopause_ambiguous_spike",
            "autonomous_rollout_paused_auto",
        ],
    ),
    (
        "paused by both kinds of outcomes",
        |fleet| fleet.handoff = vec![executed(5, 4, 2, 2)],
        &[
            "autonomous_autopause_ambiguous_spike",
            "autonomous_autopause_failure_spike",
            "autonomous_rollout_paused_auto",
        ],
    ),
];

fn review_by(fleet: &mut Fleet, deadline: &str) {
    fleet.policy.autonomous.governance.review_by = Some(deadline.to_owned());
}

fn open() -> Fleet {
    Fleet::auto(json!([critical("orchid")]))
}

#[test]
fn with_every_gate_open_it_is_eligible() {
    let candidate = open().state().candidates.remove(0);
    assert!(candidate.autonomous.eligible && !candidate.autonomous.manual_only);
    assert!(candidate.autonomous.reasons.is_empty());
    let gates = json::to_value(&candidate.autonomous.gates);
    for (gate, state) in gates.as_object().expect("an object") {
        assert_eq!(*state, Value::Bool(gate != "suppressed"), "{gate}");
    }
}

#[test]
fn each_closed_gate_gives_its_reason_and_no_other() {
    for (what, close, reasons) in CLOSED {
        let mut fleet = open();
        close(&mut fleet);
        assert_eq!(fleet.only_reasons(), reasons, "{what}");
        let candidate = fleet.state().candidates.remove(0);
        assert!(
            !candidate.autonomous.eligible && candidate.autonomous.manual_only,
            "{what}"
        );
        assert_eq!(
            candidate.autonomous.gating_reasons, candidate.autonomous.reasons,
            "{what}"
        );
    }
}

#[test]
fn every_gate_is_tried_by_the_table_above() {
    let tried: BTreeSet<&str> = CLOSED
        .iter()
        .flat_map(|(_, _, reasons)| *reasons)
        .copied()
        .collect();
    for gate in &GATES {
        // Every category has an intent.
        let untried = gate.reason == AutonomyReason::NoRecommendedIntent;
        assert_eq!(
            tried.contains(gate.reason.as_str()),
            !untried,
            "{}",
            gate.reason.as_str()
        );
    }
}

#[test]
fn the_document_says_which_gate_is_closed() {
    for (what, close, gate) in [
        ("mode", CLOSED[0].1, "modeGuardedAuto"),
        ("review", CLOSED[1].1, "governanceReviewCurrent"),
        ("suppression", CLOSED[3].1, "suppressed"),
        ("category", CLOSED[5].1, "categoryAllowed"),
        ("intent", CLOSED[6].1, "intentAllowed"),
        ("severity", CLOSED[7].1, "severityMeetsThreshold"),
        ("confidence", CLOSED[8].1, "confidenceMeetsThreshold"),
        ("divergence", CLOSED[9].1, "loopConverged"),
        ("freeze", CLOSED[10].1, "loopNotFrozen"),
        ("scope", CLOSED[11].1, "rolloutScopeAllowed"),
        ("canary", CLOSED[12].1, "rolloutCanarySelected"),
    ] {
        let mut fleet = open();
        close(&mut fleet);
        let gates = json::to_value(&fleet.state().candidates[0].autonomous.gates);
        for (name, state) in gates.as_object().expect("an object") {
            let is_bad = *state == Value::Bool(name == "suppressed");
            assert_eq!(is_bad, name == gate, "{what}: {name}");
        }
    }
}

#[test]
fn all_gates_are_judged_and_their_reasons_sorted() {
    let mut fleet = open();
    for (_, close, _) in [&CLOSED[0], &CLOSED[3], &CLOSED[5], &CLOSED[14]] {
        close(&mut fleet);
    }
    assert_eq!(
        fleet.only_reasons(),
        [
            "autonomous_rollout_paused_manual",
            "candidate_suppressed",
            "category_not_allowlisted",
            "policy_mode_not_guarded_auto",
        ]
    );
}

#[test]
fn in_advisory_mode_nobody_asks_for_a_review() {
    let mut fleet = open();
    fleet.policy.mode = PolicyMode::Advisory;
    review_by(&mut fleet, &ago(1000).to_string());
    assert_eq!(fleet.only_reasons(), ["policy_mode_not_guarded_auto"]);
}

#[test]
fn thresholds_let_through_what_meets_them() {
    let degraded = |fleet: &mut Fleet| {
        fleet.state["results"][0]["healthStatus"] = "degraded".into();
        fleet.policy.autonomous.allow.categories = Category::ALL.to_vec();
    };
    for (severity, confidence, reasons) in [
        (
            Severity::Critical,
            Confidence::High,
            &["confidence_below_threshold", "severity_below_threshold"][..],
        ),
        (Severity::Warning, Confidence::Medium, &[]),
        (Severity::Info, Confidence::Low, &[]),
        (
            Severity::Warning,
            Confidence::High,
            &["confidence_below_threshold"],
        ),
    ] {
        let mut fleet = open();
        degraded(&mut fleet);
        fleet.policy.autonomous.thresholds.min_severity = severity;
        fleet.policy.autonomous.thresholds.min_confidence = confidence;
        assert_eq!(fleet.only_reasons(), reasons, "{severity:?} {confidence:?}");
    }
}
