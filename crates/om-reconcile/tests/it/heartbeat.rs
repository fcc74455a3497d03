//! Chapter 02 §2.4.1 and §2.6.5.

use om_model::health::TransportMode;
use om_model::json;
use om_model::observation::{Freshness, HeartbeatThresholds};
use om_reconcile::heartbeat::{
    HeartbeatError, HeartbeatInputs, HeartbeatObservation, evaluate, freshness,
};
use serde_json::{Value, json};

use crate::support::{loop_id, now, trace};

const THRESHOLDS: HeartbeatThresholds = HeartbeatThresholds {
    degraded_heartbeat_lag_seconds: 120,
    critical_heartbeat_lag_seconds: 300,
};

fn observe(heartbeat: &Value) -> Result<Option<HeartbeatObservation>, HeartbeatError> {
    evaluate(
        &HeartbeatInputs {
            loop_id: &loop_id(),
            trace_id: &trace(),
            transport: TransportMode::Local,
            thresholds: THRESHOLDS,
            heartbeat: Some(heartbeat),
        },
        now(),
    )
}

fn seen(heartbeat: &Value) -> HeartbeatObservation {
    observe(heartbeat)
        .expect("a heartbeat of the right type")
        .expect("a heartbeat")
}

#[test]
fn no_heartbeat_leaves_no_trace() {
    for nothing in [json!(null), json!(false)] {
        assert_eq!(observe(&nothing), Ok(None));
    }
}

#[test]
fn a_heartbeat_that_is_no_object_is_an_error() {
    for wrong in [json!("alive"), json!(true), json!([]), json!(0)] {
        let error = observe(&wrong).expect_err("a wrong type").to_string();
        assert!(error.contains("runtime.heartbeat"), "{error:?}");
    }
}

#[test]
fn thresholds_are_inclusive() {
    for (lag, status) in [
        (0, Freshness::Fresh),
        (119, Freshness::Fresh),
        (120, Freshness::Degraded),
        (299, Freshness::Degraded),
        (300, Freshness::Critical),
        (u64::MAX, Freshness::Critical),
    ] {
        assert_eq!(freshness(lag, THRESHOLDS), status, "{lag}");
    }
}

#[test]
fn a_fresh_heartbeat_is_recorded_without_a_reason() {
    let seen = seen(&json!({"timestamp": "2031-05-02T07:59:54Z", "pid": 77}));
    insta::assert_snapshot!("heartbeat_fresh_state", json::pretty(&seen.state));
    insta::assert_snapshot!("heartbeat_fresh_row", json::pretty(&seen.row));
}

#[test]
fn a_stale_heartbeat_has_a_reason() {
    let seen = seen(&json!({"timestamp": "2031-05-02T07:58:04Z"}));
    insta::assert_snapshot!("heartbeat_stale_state", json::pretty(&seen.state));
    insta::assert_snapshot!("heartbeat_stale_row", json::pretty(&seen.row));
}

#[test]
fn a_heartbeat_from_the_future_is_fresh() {
    let seen = seen(&json!({"timestamp": "2031-05-02T09:00:00Z"}));
    assert_eq!(seen.row.heartbeat_lag_seconds, Some(0));
    assert_eq!(seen.row.status, Freshness::Fresh);
}

#[test]
fn updated_at_stands_in_for_a_missing_timestamp_only() {
    let good = "2031-05-02T08:00:00Z";
    for (heartbeat, reason, heartbeat_at) in [
        (json!({"updatedAt": good}), None, Some(good)),
        (
            json!({"timestamp": null, "updatedAt": good}),
            None,
            Some(good),
        ),
        (
            json!({"timestamp": false, "updatedAt": good}),
            None,
            Some(good),
        ),
        (
            json!({"timestamp": "soon", "updatedAt": good}),
            Some("invalid_heartbeat_timestamp"),
            Some("soon"),
        ),
        (
            json!({"timestamp": 1_935_648_000, "updatedAt": good}),
            Some("invalid_heartbeat_timestamp"),
            Some("1935648000"),
        ),
        (
            json!({"timestamp": ""}),
            Some("invalid_heartbeat_timestamp"),
            Some(""),
        ),
        (json!({}), Some("missing_heartbeat_timestamp"), None),
        (
            json!({"timestamp": false, "updatedAt": null}),
            Some("missing_heartbeat_timestamp"),
            None,
        ),
    ] {
        let seen = seen(&heartbeat);
        let row = json::to_value(&seen.row);
        assert_eq!(
            row.get("reasonCode").and_then(Value::as_str),
            reason,
            "{heartbeat}"
        );
        assert_eq!(
            seen.row.heartbeat_at.as_deref(),
            heartbeat_at,
            "{heartbeat}"
        );
        assert_eq!(seen.state.is_some(), reason.is_none(), "{heartbeat}");
        if reason.is_some() {
            assert_eq!(seen.row.status, Freshness::Failed);
            assert_eq!(seen.row.heartbeat_lag_seconds, None);
        }
    }
}

#[test]
fn the_chosen_time_is_kept_verbatim() {
    let state = seen(&json!({"timestamp": " 2031-5-2T8:0:4Z"}))
        .state
        .expect("a state");
    assert_eq!(state.last_heartbeat_at, json!(" 2031-5-2T8:0:4Z"));
}
