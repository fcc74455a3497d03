//! The pages as a person sees them at 80 columns.

use om_model::TraceId;
use om_model::promotion::gates::{FleetStatusSource, GatesSource};
use om_policy::Execution;
use om_promotion::gates::{
    DrillEvidence, GatesContext, GatesInputs, HandoffEvidence, HandoffSample, StatusEvidence,
    evaluate,
};
use serde_json::json;

use super::super::diff::differences;
use super::super::status::{Recorded, missing};
use super::*;

fn now() -> Timestamp {
    Timestamp::parse("2031-05-06T07:08:09Z").expect("a time")
}

fn decided(status: &Value, runs: usize, drills: DrillEvidence) -> GatesDocument {
    let run = Execution {
        timestamp: "2031-05-06T06:08:09Z".into(),
        attempted: 2,
        requested: 2,
        executed: 2,
        ..Execution::default()
    };
    let inputs = GatesInputs {
        status: StatusEvidence::read(status).expect("a status"),
        handoff: HandoffEvidence::Read(HandoffSample {
            runs: vec![run; runs],
            backlog: vec![1, 2],
        }),
        drills,
    };
    let path = |name: &str| format!("/srv/app/.superloop/ops-manager/fleet/{name}");
    let context = GatesContext {
        now: now(),
        trace_id: TraceId::new("t-1").expect("an id"),
        source: GatesSource {
            repo_path: "/srv/app".into(),
            fleet_status_source: FleetStatusSource::Generated,
            fleet_status_file: None,
            handoff_telemetry_file: path("telemetry/handoff.jsonl"),
            drill_state_file: path("drills/promotion.v1.json"),
            promotion_state_file: path("promotion-state.json"),
            promotion_telemetry_file: path("telemetry/promotion.jsonl"),
        },
        thresholds: GateThresholds::default(),
    };
    evaluate(&inputs, &context)
}

fn good_status(is_paused: bool) -> Value {
    let paths =
        json!({"policyGated": 0, "rolloutGated": 0, "governanceGated": 0, "transportGated": 0});
    json!({"autonomous": {
        "enabled": true,
        "governance": {"posture": "active", "blocksAutonomous": false, "reasonCodes": []},
        "outcomeRollup": {"manual_backlog": 3},
        "rollout": {"autopause": {"active": is_paused}},
        "safetyGateDecisions": {"byPath": paths},
    }})
}

fn drills(ids: &[&str]) -> DrillEvidence {
    let drill =
        |id: &&str| json!({"id": id, "status": "pass", "completedAt": "2031-05-04T07:08:09Z"});
    DrillEvidence::Read(ids.iter().map(drill).collect())
}

fn report(decided: GatesDocument, last_change: Option<Entry>) -> Report {
    Report {
        rollout: Rollout {
            mode: "guarded_auto",
            canary_percent: 25,
            manual_pause: false,
            kill_switch: false,
            review_by: Some("2031-06-01T00:00:00Z".into()),
        },
        recorded_decision: Some(Recorded {
            decision: "promote".into(),
            generated_at: Some("2031-05-06T04:08:09Z".into()),
        }),
        last_change,
        missing: missing(&decided),
        decided,
    }
}

fn entry() -> Entry {
    let posture = |percent: u64, paused: bool| {
        Some(Posture {
            canary_percent: percent.into(),
            manual_pause: paused.into(),
        })
    };
    let text = |text: &str| Some(text.to_owned());
    Entry {
        timestamp: "2031-05-05T07:08:09Z".into(),
        kind: EntryKind::Change,
        what: "expand".into(),
        by_controller: false,
        decision: text("promote"),
        actor: text("kim"),
        approval_ref: text("CHG-7"),
        rationale: text("a calm week"),
        review_by: text("2031-06-01T00:00:00Z"),
        before: posture(10, true),
        after: posture(35, false),
        reason_codes: Vec::new(),
        trace_id: text("t-9"),
        idempotency_key: None,
    }
}

#[test]
fn a_held_promotion_says_what_is_missing_and_how_to_provide_it() {
    let drills = drills(&["kill_switch", "ambiguous_retry_guard"]);
    let decided = decided(&good_status(true), 12, drills);
    insta::assert_snapshot!(
        "promotion_hold",
        status(&report(decided, Some(entry())), Look::PLAIN)
    );
}

#[test]
fn a_fleet_in_which_people_decide_everything_is_told_the_first_steps() {
    let advisory = json!({"autonomous": null});
    let decided = decided(&advisory, 0, DrillEvidence::Missing);
    let mut report = report(decided, None);
    report.recorded_decision = None;
    insta::assert_snapshot!("promotion_advisory", status(&report, Look::PLAIN));
}

#[test]
fn a_promotion_that_may_go_on_ends_with_the_next_commands() {
    let all = drills(&[
        "kill_switch",
        "sprite_service_outage",
        "ambiguous_retry_guard",
    ]);
    let decided = decided(&good_status(false), 20, all);
    insta::assert_snapshot!(
        "promotion_promote",
        status(&report(decided, Some(entry())), Look::PLAIN)
    );
}

#[test]
fn the_next_step_is_what_is_left_to_do() {
    let all = drills(&[
        "kill_switch",
        "sprite_service_outage",
        "ambiguous_retry_guard",
    ]);
    let decided = decided(&good_status(false), 20, all);
    for (percent, paused, step) in [
        (25, false, "promotion apply expand"),
        (25, true, "promotion apply resume"),
        (100, true, "promotion apply resume"),
        (100, false, "every loop in scope already"),
    ] {
        let mut report = report(decided.clone(), None);
        report.rollout.canary_percent = percent;
        report.rollout.manual_pause = paused;
        let page = status(&report, Look::PLAIN);
        assert!(page.contains(step), "{percent} {paused}: {page}");
    }
}

#[test]
fn the_history_says_who_when_why_what_and_until() {
    let run = Entry {
        kind: EntryKind::ControllerRun,
        what: "hold".into(),
        reason_codes: vec!["controller_budget_cooldown_active".into()],
        actor: None,
        approval_ref: None,
        rationale: None,
        review_by: None,
        before: None,
        after: None,
        ..entry()
    };
    let by_controller = Entry {
        by_controller: true,
        rationale: Some("\u{1b}[2Jclears the screen".into()),
        ..entry()
    };
    let found = History {
        entries: vec![run, by_controller, entry()],
        warnings: Vec::new(),
    };
    insta::assert_snapshot!("promotion_history", history(&found, now(), Look::PLAIN));
    let never = history(&History::default(), now(), Look::PLAIN);
    assert_eq!(
        never,
        "The rollout was never changed, and the controller never ran.\n"
    );
}

#[test]
fn a_preview_shows_each_member_before_and_after() {
    let before = json!({"policy": {"autonomous": {"rollout": {"canaryPercent": 10}}}});
    let after = json!({"policy": {"autonomous": {
        "rollout": {"canaryPercent": 35, "pause": {"manual": false}},
    }}});
    let shown = Shown {
        intent: "expand".into(),
        decision: "promote".into(),
        registry_file: "/srv/app/registry.v1.json".into(),
        changes: differences(&before, &after),
    };
    insta::assert_snapshot!("promotion_preview", preview(&shown, Look::PLAIN));
}

#[test]
fn what_was_done_is_told_with_its_proof() {
    let record = json!({
        "intent": "rollback", "traceId": "t-1",
        "rollout": {"after": {"canaryPercent": 35, "manualPause": true}},
        "files": {"applyTelemetryFile": "/srv/app/promotion-apply.jsonl"},
    });
    insta::assert_snapshot!("promotion_applied", applied(&record, Look::PLAIN));
    let mut replayed = record;
    replayed["replayed"] = json!(true);
    assert!(applied(&replayed, Look::PLAIN).contains("nothing was changed"));
}
