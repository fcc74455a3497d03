//! The document of a run, ending by ending.

use om_model::TraceId;
use om_model::json;
use serde_json::{Value, json};

use super::super::budget::{Wish, budget};
use super::super::freshness::freshness;
use super::super::history::Usage;
use super::super::request::Limits;
use super::super::verification;
use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_seconds(1_900_000_000 + seconds)
}

fn facts(mode: ControllerMode) -> Facts {
    let path = |name: &str| format!("/r/{name}");
    Facts {
        started_at: at(0),
        mode,
        intent: ControllerIntent::Expand,
        step: 25,
        idempotency_key: Some("k".into()),
        governance: ControllerGovernance {
            actor: Some("kim".into()),
            approval_ref: Some("CHG-1".into()),
            rationale: Some("two words".into()),
            review_by: Some("2031-05-01T00:00:00Z".into()),
        },
        context: ControllerContext {
            trace_id: TraceId::new("t").expect("is not empty"),
            loop_id: None,
            horizon_ref: Some("h".into()),
            evidence_refs: vec!["b".into(), String::new(), "b".into()],
        },
        files: ControllerFiles {
            state_file: path("state.json"),
            telemetry_file: path("rows.jsonl"),
            promotion_ci_result_file: path("ci.json"),
            promotion_ci_summary_file: path("ci.md"),
            verify_result_file: path("verify.json"),
            verify_summary_file: path("verify.md"),
            preview_result_file: path("preview.json"),
            preview_summary_file: path("preview.md"),
            apply_result_file: path("apply.json"),
            apply_summary_file: path("apply.md"),
            rollback_result_file: path("rollback.json"),
            rollback_summary_file: path("rollback.md"),
        },
        observed: ControllerObserved::default(),
        recovered: false,
    }
}

fn findings(decision: &str) -> Findings {
    let limits = Limits {
        decision_ttl_minutes: 60,
        budget_window_hours: 24,
        max_applies_per_window: 1,
        max_expand_step_per_window: 25,
        cooldown_minutes: 60,
    };
    let wish = Wish {
        intent: ControllerIntent::Expand,
        step: 25,
    };
    let made = json!(at(1));
    Findings {
        promotion: PendingDecision {
            promotion_decision: decision.to_owned(),
            promotion_reason_codes: Vec::new(),
            failed_gates: Vec::new(),
        },
        freshness: Some(freshness(Some(&made), 60, at(0), at(2))),
        budget: Some(budget(&limits, &Usage::default(), Vec::new(), wish, at(0))),
        verification: verification::skipped(),
    }
}

fn failure(stage: ControllerStage) -> Ending {
    Ending::Failed(Failure {
        stage,
        exit_code: 12,
        text: "registry locked\n\n".to_owned(),
    })
}

const GUARDED: ControllerMode = ControllerMode::GuardedAutoApply;

#[test]
fn a_proposal() {
    let facts = facts(ControllerMode::ProposeOnly);
    let document = facts.document(&findings("hold"), &Ending::Proposed);
    insta::assert_snapshot!(json::pretty(&document));
}

#[test]
fn an_apply_that_failed() {
    let document = facts(GUARDED).document(&findings("promote"), &failure(ControllerStage::Apply));
    insta::assert_snapshot!(json::pretty(&document));
}

#[test]
fn a_change_that_was_undone() {
    let findings = Findings {
        verification: verification::failed(ControllerReason::ControllerVerificationFailed),
        ..findings("promote")
    };
    let document = facts(GUARDED).document(&findings, &Ending::RolledBack);
    insta::assert_snapshot!(json::pretty(&document));
}

/// `plannedAction`, `action`, `applyExecuted`, `rollbackExecuted`,
/// `applyIntent`, `expandStep`, `status`.
fn row(document: &ControllerDocument) -> Value {
    let execution = json::to_value(&document.execution);
    let names = [
        "plannedAction",
        "action",
        "applyExecuted",
        "rollbackExecuted",
        "applyIntent",
        "expandStep",
    ];
    let mut row: Vec<Value> = names.iter().map(|name| execution[name].clone()).collect();
    row.push(json::to_value(&document.status));
    Value::Array(row)
}

#[test]
fn the_table_of_outcomes() {
    let rolled_back = json!(["apply", "rollback", true, true, "expand", 25, "rolled_back"]);
    for (ending, expected) in [
        (
            Ending::Proposed,
            json!(["propose", "propose", false, false, null, null, "proposed"]),
        ),
        (
            Ending::Held,
            json!(["hold", "hold", false, false, null, null, "hold"]),
        ),
        (
            Ending::Applied,
            json!(["apply", "apply", true, false, "expand", 25, "applied"]),
        ),
        (Ending::RolledBack, rolled_back),
        (
            failure(ControllerStage::Evaluate),
            json!(["propose", "propose", false, false, null, null, "failed"]),
        ),
        (
            failure(ControllerStage::Apply),
            json!(["apply", "apply", false, false, null, null, "failed"]),
        ),
        (
            failure(ControllerStage::Rollback),
            json!(["apply", "apply", true, false, "expand", 25, "failed"]),
        ),
    ] {
        let document = facts(GUARDED).document(&findings("promote"), &ending);
        assert_eq!(row(&document), expected, "{ending:?}");
        let code = if matches!(ending, Ending::Failed(_)) {
            12
        } else {
            0
        };
        assert_eq!(ending.exit_code(), code, "{ending:?}");
    }
}

#[test]
fn a_resume_has_no_step() {
    let facts = Facts {
        intent: ControllerIntent::Resume,
        ..facts(GUARDED)
    };
    let document = facts.document(&findings("promote"), &Ending::Applied);
    assert_eq!(
        document.execution.apply_intent,
        Some(ControllerIntent::Resume)
    );
    assert_eq!(document.execution.expand_step, None);
}

#[test]
fn a_decision_against_it_is_a_reason_only_for_whoever_would_apply() {
    for (mode, ending, expected) in [
        (ControllerMode::ProposeOnly, Ending::Proposed, vec![]),
        (
            GUARDED,
            Ending::Held,
            vec![ControllerReason::ControllerDecisionNotPromote],
        ),
        (
            GUARDED,
            failure(ControllerStage::Evaluate),
            vec![ControllerReason::ControllerEvaluateCommandFailed],
        ),
    ] {
        let document = facts(mode).document(&findings("hold"), &ending);
        assert_eq!(document.decision.reason_codes, expected, "{ending:?}");
    }
}

#[test]
fn the_text_of_a_failed_stage_is_cut_by_characters() {
    let failed = |text: String| {
        let failure = Failure {
            stage: ControllerStage::Apply,
            exit_code: 1,
            text,
        };
        failure.shown().stderr
    };
    assert_eq!(failed("\n\n".into()), None);
    assert_eq!(failed("a\nb\n\n".into()), Some("a\nb".into()));
    let long = failed("ü".repeat(4001)).expect("a text");
    assert_eq!(long.chars().count(), 4000);
}
