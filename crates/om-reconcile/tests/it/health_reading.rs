//! Chapter 02 §3.3 and §3.6: how health reads its documents; decision D25.

use om_model::{Artifact, json};
use om_reconcile::health::{HealthOutcome, HeartbeatFreshness};
use serde_json::{Value, json};

use crate::health::{Case, intent};
use crate::support::{artifact, blank, malformed};

#[test]
fn a_stored_lag_is_current_unless_no_heartbeat_was_observed() {
    use HeartbeatFreshness::{AsStored, NotObserved};

    let stored = json!({"lastHeartbeatAt": "2031-05-02T07:58:04Z", "heartbeatLagSeconds": 3});
    let unreadable = json!({"lastHeartbeatAt": "soon", "heartbeatLagSeconds": 3});
    let nested = json!({"heartbeat": {"timestamp": "2031-05-02T07:58:04Z"}});
    for (heartbeat, freshness, lag) in [
        (stored.clone(), AsStored, Some(3)),
        (stored, NotObserved, Some(120)),
        (unreadable.clone(), AsStored, Some(3)),
        (unreadable, NotObserved, Some(3)),
        (nested.clone(), AsStored, Some(120)),
        (nested, NotObserved, Some(120)),
        (json!({"heartbeatLagSeconds": "17"}), AsStored, Some(17)),
        (json!({"heartbeatLagSeconds": 1.5}), AsStored, None),
        (json!({}), NotObserved, None),
    ] {
        let case = Case {
            heartbeat: artifact(heartbeat.clone()),
            freshness,
            ..Case::default()
        };
        let found = case.document().metrics.heartbeat_lag_seconds;
        assert_eq!(found, lag, "{heartbeat} {freshness:?}");
    }
}

#[test]
fn the_lifecycle_has_a_name_for_every_kind_of_state() {
    for (state, name) in [
        (Artifact::Absent, "unknown"),
        (blank(), ""),
        (artifact(json!(null)), "unknown"),
        (artifact(json!({"projection": {"status": "idle"}})), "idle"),
        (
            artifact(json!({
                "transition": {"currentState": "running"}, "projection": {"status": "idle"},
            })),
            "running",
        ),
    ] {
        let case = Case {
            state,
            ..Case::default()
        };
        assert_eq!(case.document().metrics.lifecycle_state, name);
    }
}

#[test]
fn an_intent_that_cannot_be_read_has_no_status() {
    for row in [
        "",
        "nonsense",
        "[1]",
        "{}",
        r#"{"status":null}"#,
        r#"{"status":false}"#,
    ] {
        let case = Case {
            intent: Some(row.as_bytes().to_vec()),
            ..Case::default()
        };
        assert_eq!(case.document().metrics.last_control_status, None, "{row}");
    }
    let case = Case {
        intent: Some(intent("confirmed")),
        ..Case::default()
    };
    assert_eq!(
        case.document().metrics.last_control_status.as_deref(),
        Some("confirmed")
    );
}

#[test]
fn unreadable_times_are_shown_but_not_measured() {
    let case = Case {
        state: artifact(json!({"projection": {"lastEventAt": "yesterday"}})),
        heartbeat: artifact(json!({"lastHeartbeatAt": 12})),
        sequence: artifact(json!({"updatedAt": "just now", "status": "ok"})),
        ..Case::default()
    };
    let document = case.document();
    assert_eq!(document.metrics.ingest_lag_seconds, None);
    assert_eq!(document.metrics.heartbeat_lag_seconds, None);
    assert_eq!(
        document.evidence.last_event_at.as_deref(),
        Some("yesterday")
    );
    assert_eq!(document.evidence.last_heartbeat_at.as_deref(), Some("12"));
    assert_eq!(
        document.evidence.sequence_updated_at.as_deref(),
        Some("just now")
    );
}

type Place = fn(&mut Case) -> &mut Artifact;

const PLACES: [(Place, &str); 4] = [
    (
        |case| &mut case.state,
        "invalid state JSON: /ops/state.json",
    ),
    (
        |case| &mut case.heartbeat,
        "invalid heartbeat state JSON: /ops/heartbeat.json",
    ),
    (
        |case| &mut case.sequence,
        "invalid sequence state JSON: /ops/sequence-state.json",
    ),
    (
        |case| &mut case.transport,
        "invalid transport health JSON: /tel/transport-health.json",
    ),
];

#[test]
fn files_that_are_not_json_are_named_in_order() {
    for first in 0..PLACES.len() {
        let mut case = Case::default();
        for (place, _) in &PLACES[first..] {
            *place(&mut case) = malformed();
        }
        let error = case.evaluate().expect_err("a malformed file").to_string();
        assert!(error.starts_with(PLACES[first].1), "{error:?}");
    }
}

#[test]
fn files_of_the_wrong_type_are_named_with_the_member() {
    for (place, message) in PLACES {
        let mut case = Case::default();
        *place(&mut case) = artifact(json!("x"));
        let error = case.evaluate().expect_err("a wrong type").to_string();
        let expected = format!("{message}: document is a string, expected an object");
        assert!(error.starts_with(&expected), "{error:?}");
    }
    let case = Case {
        state: artifact(json!({"projection": {"status": "idle"}, "transition": 3})),
        ..Case::default()
    };
    let error = case.evaluate().expect_err("a wrong type").to_string();
    assert!(error.contains("transition is a number"), "{error:?}");
}

#[test]
fn blank_files_count_as_absent_but_for_the_state() {
    for (place, _) in &PLACES[1..] {
        let mut case = Case::default();
        *place(&mut case) = blank();
        assert_eq!(case.document(), Case::default().document());
    }
}

#[test]
fn the_whole_document() {
    let case = Case {
        state: artifact(json!({
            "transition": {"currentState": "running"},
            "projection": {"lastEventAt": "2031-05-02T07:53:14Z"},
        })),
        sequence: artifact(json!({"status": "ok", "updatedAt": "2031-05-02T08:00:02Z"})),
        transport: artifact(json!({"failureStreak": 0})),
        ..Case::default()
    };
    insta::assert_snapshot!(json::pretty(&case.document()));
}

#[test]
fn a_foreign_health_document_is_read_with_defaults() {
    for (document, status, codes) in [
        (json!({}), "healthy", json!([])),
        (json!(null), "healthy", json!([])),
        (
            json!({"status": false, "reasonCodes": null}),
            "healthy",
            json!([]),
        ),
        (
            json!({"status": "on_fire", "reasonCodes": ["hot"]}),
            "on_fire",
            json!(["hot"]),
        ),
    ] {
        let outcome = HealthOutcome::read(&document).expect("an object");
        assert_eq!(outcome.status, status);
        assert_eq!(outcome.reason_codes, codes);
    }
    assert!(HealthOutcome::read(&json!([])).is_err());
    assert!(HealthOutcome::read(&Value::String("healthy".into())).is_err());
}

#[test]
fn a_blank_previous_health_equals_nothing() {
    let previous = HealthOutcome::previous(&blank()).expect("tolerated");
    let now = HealthOutcome::read(&json!({"status": "degraded"})).expect("an object");
    assert!(!now.same_verdict(&previous));
    for absent in [Artifact::Absent, malformed()] {
        assert!(
            HealthOutcome::previous(&absent)
                .expect("tolerated")
                .is_healthy()
        );
    }
}
