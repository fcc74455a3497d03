//! What a pass makes of the runtime's heartbeat (02 §2.4.1, §2.6.5; decision
//! D25).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, ago, healthy};

fn with_heartbeat(heartbeat: &Value) -> Repo {
    let repo = healthy();
    repo.put_runtime("heartbeat.v1.json", &heartbeat.to_string());
    repo
}

fn heartbeat_reason(health: &Value) -> Option<&Value> {
    let reasons = health["reasons"].as_array().expect("reasons");
    reasons
        .iter()
        .find(|reason| reason["code"] == "runtime_heartbeat_stale")
}

#[test]
fn a_heartbeat_is_fresh_degraded_or_critical_by_its_age() {
    for (age, status, severity) in [
        (0, "fresh", None),
        (100, "fresh", None),
        (-500, "fresh", None),
        (120, "degraded", Some("degraded")),
        (250, "degraded", Some("degraded")),
        (300, "critical", Some("critical")),
        (999, "critical", Some("critical")),
    ] {
        let at = ago(age);
        let repo = with_heartbeat(&json!({"timestamp": at, "stage": "implementer"}));
        let state = repo.reconcile(&["--trace-id", "t"]).ok();
        let mut document = json!({
            "schemaVersion": "v1", "updatedAt": "<now>",
            "loopId": "l", "traceId": "t", "transport": "local",
            "lastHeartbeatAt": "<now>", "heartbeatLagSeconds": "<lag>",
            "freshnessStatus": status,
            "thresholds": {
                "degradedHeartbeatLagSeconds": 120, "criticalHeartbeatLagSeconds": 300,
            },
            "heartbeat": {"timestamp": "<now>", "stage": "implementer"},
        });
        let mut row = json!({
            "timestamp": "<now>", "loopId": "l", "traceId": "t", "transport": "local",
            "category": "runtime_heartbeat", "status": status,
            "heartbeatAt": "<now>", "heartbeatLagSeconds": "<lag>",
            "heartbeat": {"timestamp": "<now>", "stage": "implementer"},
        });
        if severity.is_some() {
            document["reasonCode"] = json!("runtime_heartbeat_stale");
            row["reasonCode"] = json!("runtime_heartbeat_stale");
        }
        let written = repo.manager_json("heartbeat.json");
        assert_eq!(repo.scrub(&written), document, "age {age}");
        assert_eq!(
            repo.scrub(&repo.only_row("telemetry/heartbeat.jsonl")),
            row,
            "age {age}"
        );
        assert_eq!(written["lastHeartbeatAt"], at.as_str());
        let lag = written["heartbeatLagSeconds"].as_i64().expect("a lag");
        assert!(lag >= age.max(0) && lag < age.max(0) + 100, "{lag}");
        let found = heartbeat_reason(&state["health"]).map(|reason| &reason["severity"]);
        assert_eq!(
            found,
            severity.map(|text| json!(text)).as_ref(),
            "age {age}"
        );
        assert_eq!(state["health"]["evidence"]["lastHeartbeatAt"], at.as_str());
    }
}

#[test]
fn a_heartbeat_without_a_usable_time_is_recorded_and_changes_nothing_else() {
    let missing = "missing_heartbeat_timestamp";
    let invalid = "invalid_heartbeat_timestamp";
    let now = ago(0);
    for (heartbeat, reason, at) in [
        (json!({"stage": "x"}), missing, None),
        (json!({}), missing, None),
        (
            json!({"timestamp": null, "updatedAt": false}),
            missing,
            None,
        ),
        (json!({"timestamp": "soon"}), invalid, Some(json!("soon"))),
        (
            json!({"timestamp": "soon", "updatedAt": now}),
            invalid,
            Some(json!("soon")),
        ),
        (
            json!({"timestamp": 1_795_160_175}),
            invalid,
            Some(json!("1795160175")),
        ),
        (
            json!({"timestamp": "2026-11-20T08:00:00.5Z"}),
            invalid,
            None,
        ),
        (
            json!({"timestamp": "2026-11-20T08:00:00+00:00"}),
            invalid,
            None,
        ),
    ] {
        let repo = with_heartbeat(&heartbeat);
        let state = repo.reconcile(&["--trace-id", "t"]).ok();
        let row = repo.only_row("telemetry/heartbeat.jsonl");
        let mut expected = json!({
            "timestamp": row["timestamp"], "loopId": "l", "traceId": "t", "transport": "local",
            "category": "runtime_heartbeat", "status": "failed", "reasonCode": reason,
            "heartbeat": heartbeat,
        });
        if reason == invalid {
            let text = at.unwrap_or_else(|| heartbeat["timestamp"].clone());
            expected["heartbeatAt"] = text;
        }
        assert_eq!(row, expected);
        assert!(!repo.manager("heartbeat.json").exists(), "{heartbeat}");
        assert_eq!(state["health"]["status"], "healthy");
    }
}

#[test]
fn updated_at_stands_in_for_a_missing_timestamp() {
    let at = ago(0);
    for timestamp in [json!(null), json!(false)] {
        let repo = with_heartbeat(&json!({"timestamp": timestamp, "updatedAt": at}));
        repo.reconcile(&[]).ok();
        let document = repo.manager_json("heartbeat.json");
        assert_eq!(document["lastHeartbeatAt"], at.as_str());
    }
}

#[test]
fn no_heartbeat_leaves_no_trace() {
    for absent in [json!(null), json!(false)] {
        let repo = with_heartbeat(&absent);
        let state = repo.reconcile(&[]).ok();
        assert!(!repo.manager("heartbeat.json").exists());
        assert!(!repo.manager("telemetry/heartbeat.jsonl").exists());
        assert_eq!(
            state["health"]["metrics"]["heartbeatLagSeconds"],
            json!(null)
        );
        assert_eq!(state["health"]["status"], "healthy");
    }
}

#[test]
fn a_heartbeat_that_vanished_grows_old() {
    let repo = with_heartbeat(&json!({"timestamp": ago(0)}));
    repo.reconcile(&[]).ok();
    fs::remove_file(repo.runtime_dir().join("heartbeat.v1.json")).expect("removed");
    // As if that pass had been a while ago.
    let mut document = repo.manager_json("heartbeat.json");
    document["lastHeartbeatAt"] = json!(ago(1_000));
    repo.put("heartbeat.json", &document.to_string());
    let before = fs::read(repo.manager("heartbeat.json")).expect("exists");
    let health = repo.reconcile(&[]).ok()["health"].clone();
    let reason = heartbeat_reason(&health).expect("it is stale");
    assert_eq!(reason["severity"], "critical");
    let lag = health["metrics"]["heartbeatLagSeconds"]
        .as_i64()
        .expect("a lag");
    assert!((1_000..2_000).contains(&lag), "aged against now: {lag}");
    assert_eq!(
        fs::read(repo.manager("heartbeat.json")).expect("exists"),
        before
    );
    assert_eq!(repo.rows("telemetry/heartbeat.jsonl").len(), 1);
    fs::remove_file(repo.events()).expect("removed");
    let health = repo.reconcile(&[]).json();
    assert!(
        heartbeat_reason(&health).is_some(),
        "in a failed pass as well"
    );
}

#[test]
fn heartbeat_thresholds_are_flags_and_never_from_a_profile() {
    let repo = with_heartbeat(&json!({"timestamp": ago(60)}));
    let state = repo.reconcile(&["--threshold-profile", "strict"]).ok();
    assert!(heartbeat_reason(&state["health"]).is_none());
    let state = repo
        .reconcile(&["--degraded-heartbeat-lag-seconds", "60"])
        .ok();
    let reason = heartbeat_reason(&state["health"]).expect("it is stale");
    assert_eq!(
        (&reason["severity"], &reason["threshold"]),
        (&json!("degraded"), &json!("60"))
    );
    assert_eq!(
        repo.manager_json("heartbeat.json")["thresholds"]["degradedHeartbeatLagSeconds"],
        60
    );
}
