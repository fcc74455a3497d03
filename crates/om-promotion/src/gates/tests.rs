//! The decision over all gates.

use om_model::promotion::gates::{FleetStatusSource, GatesSource};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_900_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_seconds(NOW + seconds)
}

fn context() -> GatesContext {
    GatesContext {
        now: at(0),
        trace_id: TraceId::new("trace-1").expect("is not empty"),
        source: GatesSource {
            repo_path: "/r".into(),
            fleet_status_source: FleetStatusSource::Generated,
            fleet_status_file: None,
            handoff_telemetry_file: "/r/handoff.jsonl".into(),
            drill_state_file: "/r/drills.json".into(),
            promotion_state_file: "/r/state.json".into(),
            promotion_telemetry_file: "/r/rows.jsonl".into(),
        },
        thresholds: GateThresholds::default(),
    }
}

fn status() -> Value {
    json!({ "autonomous": {
        "enabled": true,
        "governance": { "posture": "active", "blocksAutonomous": false, "reasonCodes": [] },
        "outcomeRollup": { "manual_backlog": 2 },
        "rollout": { "autopause": { "active": false } },
        "safetyGateDecisions": { "byPath": {
            "policyGated": { "blockedCount": 1 }, "rolloutGated": {},
            "governanceGated": {}, "transportGated": {},
        } },
    } })
}

fn runs(count: usize) -> HandoffEvidence {
    let run = |index: usize| Execution {
        timestamp: at(-60 * (100 - i64::try_from(index).expect("is small"))).to_string(),
        attempted: 2,
        requested: 2,
        executed: 2,
        ambiguous: 0,
        failed: 0,
    };
    HandoffEvidence::Read(HandoffSample {
        runs: (0..count).map(run).collect(),
        backlog: vec![3, 2],
    })
}

fn drills() -> DrillEvidence {
    let ids = [
        "kill_switch",
        "sprite_service_outage",
        "ambiguous_retry_guard",
    ];
    let entry = |id| json!({ "id": id, "status": "pass", "completedAt": at(-3600) });
    DrillEvidence::Read(ids.map(entry).into_iter().collect())
}

fn good() -> GatesInputs {
    GatesInputs {
        status: StatusEvidence::read(&status()).expect("is read"),
        handoff: runs(20),
        drills: drills(),
    }
}

#[test]
fn good_evidence_promotes() {
    insta::assert_snapshot!(om_model::json::pretty(&evaluate(&good(), &context())));
}

#[test]
fn without_evidence_every_gate_fails_and_says_why() {
    let inputs = GatesInputs {
        status: StatusEvidence::read(&json!(null)).expect("is read"),
        handoff: HandoffEvidence::Missing,
        drills: DrillEvidence::Missing,
    };
    insta::assert_snapshot!(om_model::json::pretty(&evaluate(&inputs, &context())));
}

#[test]
fn reason_codes_are_sorted_and_gates_keep_their_order() {
    let inputs = GatesInputs {
        status: StatusEvidence::read(&json!({})).expect("is read"),
        ..good()
    };
    let summary = evaluate(&inputs, &context()).summary;
    let codes: Vec<String> = summary
        .reason_codes
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(codes.is_sorted(), "{codes:?}");
    let gates: Vec<&str> = summary
        .failed_gates
        .iter()
        .map(|gate| gate.as_str())
        .collect();
    assert_eq!(
        gates,
        ["governance", "manual_backlog", "safety_suppression"]
    );
}

prop_compose! {
    fn any_inputs()(
        enabled in any::<bool>(),
        posture in prop_oneof![Just(json!("active")), Just(json!(null)), Just(json!("x"))],
        backlog in prop_oneof![Just(json!(null)), (0u64..9).prop_map(Value::from)],
        autopause_active in any::<bool>(),
        paths in 0usize..5,
        count in 0usize..25,
        failed in 0u64..3,
        drill in 0u8..3,
    ) -> GatesInputs {
        let mut inputs = good();
        inputs.status.enabled = enabled;
        inputs.status.posture = posture;
        inputs.status.manual_backlog = backlog;
        inputs.status.autopause_active = autopause_active;
        if let Some(by_path) = &mut inputs.status.by_path {
            let keys: Vec<String> = by_path.keys().skip(paths).cloned().collect();
            by_path.retain(|key, _| !keys.contains(key));
        }
        inputs.handoff = runs(count);
        if let HandoffEvidence::Read(sample) = &mut inputs.handoff {
            sample.runs.iter_mut().for_each(|run| run.failed = failed);
        }
        match drill {
            0 => inputs.drills = DrillEvidence::Missing,
            1 => inputs.drills = DrillEvidence::Invalid,
            _ => {}
        }
        inputs
    }
}

proptest! {
    #[test]
    fn only_without_any_reason_is_anything_promoted(inputs in any_inputs()) {
        let document = evaluate(&inputs, &context());
        let verdicts = document.gates.verdicts();
        let is_clean = verdicts.iter().all(|(_, verdict)| verdict.reasons.is_empty());
        prop_assert_eq!(document.summary.promote, is_clean);
        prop_assert_eq!(document.summary.decision == Decision::Promote, is_clean);
        prop_assert_eq!(document.summary.reason_codes.is_empty(), is_clean);
        prop_assert_eq!(document.summary.gate_pass_count + document.summary.gate_fail_count, 5);
    }

    #[test]
    fn the_same_evidence_gives_the_same_bytes(inputs in any_inputs()) {
        let bytes = || om_model::json::compact(&evaluate(&inputs, &context()));
        prop_assert_eq!(bytes(), bytes());
    }
}
