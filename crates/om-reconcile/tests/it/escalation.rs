//! Chapter 02 §2.4.3 and §2.6.8.

use om_model::health::TransportMode;
use om_model::observation::SequenceDocument;
use om_model::state::FailureCode;
use om_model::{Artifact, json};
use om_reconcile::escalation::{EscalationInputs, EscalationStamp, drift, first_part};
use om_reconcile::health::HealthOutcome;
use om_reconcile::sequence::{PreviousSequence, SequenceInputs, evaluate};
use serde_json::{Map, Value, json};

use crate::support::{blank, fold, loop_id, now, paths, trace};

struct Case {
    failure: Option<FailureCode>,
    state: Option<Value>,
    sequence: Option<SequenceDocument>,
    previous: HealthOutcome,
    health: Value,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            failure: None,
            state: Some(json!({"divergence": {"any": false}})),
            sequence: Some(sequence(false, false)),
            previous: HealthOutcome::previous(&Artifact::Absent).expect("no document"),
            health: json!({"status": "healthy"}),
        }
    }
}

impl Case {
    fn rows(&self) -> Vec<Value> {
        let (loop_id, trace_id, paths) = (loop_id(), trace(), paths());
        let rows = first_part(&EscalationInputs {
            stamp: EscalationStamp {
                now: now(),
                loop_id: &loop_id,
                trace_id: &trace_id,
                transport: TransportMode::Local,
                paths: &paths,
            },
            failure: self.failure,
            state: self.state.as_ref(),
            sequence: self.sequence.as_ref(),
            previous_health: &self.previous,
            health: &outcome(&self.health),
        });
        rows.iter().map(json::to_value).collect()
    }

    fn categories(&self) -> Vec<String> {
        let rows = self.rows();
        rows.iter()
            .map(|row| json::text(&row["category"]))
            .collect()
    }
}

fn outcome(health: &Value) -> HealthOutcome {
    HealthOutcome::read(health).expect("an object")
}

/// Order diagnostics with the given drift before and now.
fn sequence(before: bool, now_active: bool) -> SequenceDocument {
    evaluate(
        &SequenceInputs {
            loop_id: &loop_id(),
            trace_id: &trace(),
            transport: TransportMode::Local,
            snapshot: &json!({"sequence": {"value": 9}}),
            events: &if now_active {
                fold(&[Some(8), None])
            } else {
                fold(&[Some(9)])
            },
            previous: PreviousSequence {
                drift_active: before,
                ..PreviousSequence::default()
            },
            replay: false,
        },
        now(),
    )
}

#[test]
fn a_healthy_pass_raises_nothing() {
    assert!(Case::default().rows().is_empty());
}

#[test]
fn divergence_is_raised_by_every_diverging_pass() {
    for any in [json!(true), json!("true")] {
        let case = Case {
            state: Some(json!({"divergence": {"any": any}})),
            ..Case::default()
        };
        assert_eq!(case.categories(), ["divergence_detected"]);
    }
}

#[test]
fn disorder_is_raised_when_it_begins() {
    for (before, active, raised) in [
        (false, false, false),
        (false, true, true),
        (true, true, false),
        (true, false, false),
    ] {
        let case = Case {
            sequence: Some(sequence(before, active)),
            ..Case::default()
        };
        assert_eq!(!case.rows().is_empty(), raised, "{before} then {active}");
    }
}

#[test]
fn health_is_raised_when_status_or_codes_change() {
    let degraded = |codes: Value| json!({"status": "degraded", "reasonCodes": codes});
    let critical = json!({"status": "critical", "reasonCodes": ["a"]});
    for (previous, health, category) in [
        (json!({}), degraded(json!(["a"])), Some("health_degraded")),
        (degraded(json!(["a"])), degraded(json!(["a"])), None),
        (
            degraded(json!(["a"])),
            degraded(json!(["a", "b"])),
            Some("health_degraded"),
        ),
        (
            degraded(json!(["b", "a"])),
            degraded(json!(["a", "b"])),
            Some("health_degraded"),
        ),
        (
            degraded(json!(["a"])),
            critical.clone(),
            Some("health_critical"),
        ),
        (
            critical.clone(),
            degraded(json!(["a"])),
            Some("health_degraded"),
        ),
        (critical, json!({"status": "healthy"}), None),
        (
            json!({}),
            json!({"status": "healthy", "reasonCodes": ["odd"]}),
            None,
        ),
        (
            json!({}),
            json!({"status": "on_fire"}),
            Some("health_on_fire"),
        ),
        // Evidence alone is no change.
        (
            json!({"status": "degraded", "reasonCodes": ["a"], "reasons": [1]}),
            json!({"status": "degraded", "reasonCodes": ["a"], "reasons": [2]}),
            None,
        ),
    ] {
        let case = Case {
            previous: outcome(&previous),
            health: health.clone(),
            ..Case::default()
        };
        let expected: Vec<&str> = category.into_iter().collect();
        assert_eq!(case.categories(), expected, "{previous} then {health}");
    }
}

#[test]
fn after_a_blank_health_file_everything_unhealthy_is_a_change() {
    let case = Case {
        previous: HealthOutcome::previous(&blank()).expect("tolerated"),
        health: json!({"status": "degraded"}),
        ..Case::default()
    };
    assert_eq!(case.categories(), ["health_degraded"]);
}

#[test]
fn a_failed_pass_raises_only_health() {
    let case = Case {
        failure: Some(FailureCode::SnapshotUnavailable),
        state: None,
        sequence: None,
        health: json!({"status": "degraded"}),
        ..Case::default()
    };
    assert_eq!(case.categories(), ["health_degraded"]);
}

#[test]
fn the_rows_in_their_order() {
    let case = Case {
        failure: None,
        state: Some(json!({
            "transition": {"currentState": "idle"},
            "projection": {"status": "idle"},
            "cursor": {"eventLineOffset": 9},
            "divergence": {"any": true, "flags": {"activeMismatch": true}},
        })),
        sequence: Some(sequence(false, true)),
        health: json!({
            "status": "degraded", "reasonCodes": ["divergence_detected"],
            "reasons": [{"code": "divergence_detected"}],
        }),
        ..Case::default()
    };
    insta::assert_snapshot!(json::pretty(&case.rows()));
}

#[test]
fn a_failed_pass_names_its_code() {
    let case = Case {
        failure: Some(FailureCode::SnapshotUnavailable),
        state: None,
        sequence: None,
        health: json!({"status": "critical", "reasonCodes": ["x"]}),
        ..Case::default()
    };
    insta::assert_snapshot!(json::pretty(&case.rows()));
}

fn drift_row(document: &Value) -> Option<Value> {
    let (loop_id, trace_id, paths) = (loop_id(), trace(), paths());
    let stamp = EscalationStamp {
        now: now(),
        loop_id: &loop_id,
        trace_id: &trace_id,
        transport: TransportMode::Local,
        paths: &paths,
    };
    let members: Map<String, Value> = document.as_object().expect("an object").clone();
    drift(stamp, &members).map(|row| json::to_value(&row))
}

#[test]
fn drift_is_raised_when_it_becomes_active() {
    for quiet in [
        json!({}),
        json!({"driftActive": true, "transitioned": {"toActive": false}}),
        json!({"transitioned": {"toResolved": true}}),
        json!({"transitioned": "toActive"}),
    ] {
        assert_eq!(drift_row(&quiet), None, "{quiet}");
    }
    let full = json!({
        "status": "drift_active", "reasonCode": "profile_drift_detected",
        "appliedProfile": "strict", "recommendedProfile": "relaxed",
        "recommendationConfidence": "high", "action": "review_threshold_profile",
        "rationale": "why", "mismatchStreak": 3, "requiredStreak": 3,
        "transitioned": {"toActive": true, "toResolved": false},
    });
    insta::assert_snapshot!("escalation_drift", json::pretty(&drift_row(&full)));
    let bare = json!({"transitioned": {"toActive": true}});
    insta::assert_snapshot!("escalation_drift_bare", json::pretty(&drift_row(&bare)));
}
