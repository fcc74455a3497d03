//! The controller as a command, with the built-in stages.

use std::fs;
use std::path::Path;

use om_model::promotion::controller::ControllerDocument;
use om_promotion::controller::{ControllerRequest, FileTexts, LimitTexts, run};
use om_promotion::{Pipeline, Printed, PromotionError};
use serde_json::{Value, json};

use crate::place::{NOW, Place, at, good_status, governance};

pub(crate) fn request(place: &Place, mode: &str) -> ControllerRequest {
    ControllerRequest {
        repo: place.repo(),
        mode: Some(mode.to_owned()),
        governance: governance(),
        ..ControllerRequest::default()
    }
}

pub(crate) fn guarded(place: &Place) -> ControllerRequest {
    request(place, "guarded_auto_apply")
}

pub(crate) fn control(
    place: &Place,
    request: &ControllerRequest,
) -> Result<Printed<ControllerDocument>, PromotionError> {
    place.with(|pipeline| run(request, pipeline))
}

pub(crate) fn document(place: &Place, request: &ControllerRequest) -> Value {
    let printed = control(place, request).expect("runs");
    om_model::json::to_value(&printed.document)
}

pub(crate) fn refused(place: &Place, request: &ControllerRequest) -> String {
    let error = control(place, request).expect_err("is refused");
    assert!(
        !place.exists("telemetry/promotion-controller.jsonl"),
        "no row is written"
    );
    assert_eq!(place.canary(), 10, "nothing is applied");
    error.to_string()
}

/// The fleet looks bad as soon as it is wider.
fn with_bad_outcome<T>(place: &Place, command: impl FnOnce(&Pipeline<'_>) -> T) -> T {
    let fleet_status = |_: &Path| {
        let mut status = good_status();
        if place.canary() > 10 {
            status["autonomous"]["rollout"]["autopause"]["active"] = json!(true);
        }
        om_stage::StageOutput {
            stdout: status.to_string().into_bytes(),
            ..om_stage::StageOutput::default()
        }
    };
    place.with(|pipeline| {
        command(&Pipeline {
            fleet_status: &fleet_status,
            ..pipeline.clone()
        })
    })
}

#[test]
fn a_proposal_changes_nothing() {
    let place = Place::promotable();
    let found = document(&place, &request(&place, "propose_only"));
    assert_eq!(found["status"], "proposed");
    assert_eq!(found["decision"]["promotionDecision"], "promote");
    assert_eq!(found["decision"]["freshness"]["ageSeconds"], 0);
    assert_eq!(place.json("promotion-controller-state.json"), found);
    assert_eq!(place.rows("telemetry/promotion-controller.jsonl"), [found]);
    assert_eq!(place.canary(), 10);
    assert!(!place.exists("promotion-controller-pending.json"));
}

#[test]
fn a_verified_change_stays() {
    let place = Place::promotable();
    let found = document(&place, &guarded(&place));
    assert_eq!(found["status"], "applied");
    assert_eq!(found["verification"]["status"], "pass");
    assert_eq!(found["execution"]["expandStep"], 25);
    assert_eq!(place.canary(), 35);
    assert!(!place.exists("promotion-controller-pending.json"));
    let trace = &found["context"]["traceId"];
    assert_eq!(
        &place.rows("telemetry/promotion-apply.jsonl")[0]["traceId"],
        trace
    );
    for name in [
        "promotion-controller-ci-result.json",
        "promotion-controller-verify-ci-result.json",
        "promotion-controller-preview-result.json",
        "promotion-controller-apply-result.json",
    ] {
        assert!(place.exists(name), "{name}");
    }
}

#[test]
fn a_change_that_is_not_verified_is_undone() {
    let place = Place::promotable();
    let request = guarded(&place);
    let printed = with_bad_outcome(&place, |pipeline| run(&request, pipeline)).expect("runs");
    assert_eq!(printed.exit_code, 0);
    let found = om_model::json::to_value(&printed.document);
    assert_eq!(found["status"], "rolled_back");
    assert_eq!(found["verification"]["decision"], "hold");
    assert_eq!(
        found["decision"]["reasonCodes"],
        json!([
            "controller_rollback_triggered",
            "controller_verification_failed"
        ])
    );
    let rows = place.rows("telemetry/promotion-apply.jsonl");
    let intents: Vec<&Value> = rows.iter().map(|row| &row["intent"]).collect();
    assert_eq!(intents, ["expand", "rollback"]);
    let pause = &place.json("registry.v1.json")["policy"]["autonomous"]["rollout"]["pause"];
    assert_eq!(pause, &json!({ "manual": true }));
}

#[test]
fn what_cannot_be_written_is_found_before_anything_is_applied() {
    let place = Place::promotable();
    let folder = place.outside("folder");
    fs::create_dir(&folder).expect("made");
    let text = |path: &Path| Some(path.display().to_string());
    let (folder, one) = (text(&folder), text(&place.outside("one")));
    let usual = FileTexts::default;
    let before = place.tree();
    for files in [
        FileTexts {
            state: folder.clone(),
            ..usual()
        },
        FileTexts {
            telemetry: folder.clone(),
            ..usual()
        },
        FileTexts {
            state: one.clone(),
            telemetry: one,
            ..usual()
        },
        FileTexts {
            apply_result: folder.clone(),
            ..usual()
        },
        FileTexts {
            apply_summary: folder.clone(),
            ..usual()
        },
        FileTexts {
            verify_result: folder.clone(),
            ..usual()
        },
        FileTexts {
            rollback_result: folder,
            ..usual()
        },
    ] {
        let request = ControllerRequest {
            files: files.clone(),
            ..guarded(&place)
        };
        let message = refused(&place, &request);
        assert!(
            message.ends_with("; nothing was written")
                || message.ends_with("; nothing was written, move it away"),
            "{message}"
        );
        assert!(place.tree() == before, "{files:?}");
    }
}

#[test]
fn a_hold_of_the_gates_is_a_hold_of_the_controller() {
    let place = Place::promotable();
    place.status.replace(json!({}));
    let found = document(&place, &guarded(&place));
    assert_eq!(found["status"], "hold");
    assert_eq!(
        found["decision"]["reasonCodes"],
        json!(["controller_decision_not_promote"])
    );
    assert_eq!(found["decision"]["failedGates"][0], "governance");
    assert_eq!(place.canary(), 10);
}

#[test]
fn the_budget_is_what_earlier_runs_left() {
    let place = Place::promotable();
    document(&place, &guarded(&place));
    let found = document(&place, &guarded(&place));
    assert_eq!(found["status"], "hold");
    assert_eq!(
        found["decision"]["reasonCodes"],
        json!([
            "controller_budget_apply_count_exceeded",
            "controller_budget_cooldown_active",
            "controller_budget_expand_step_exceeded",
        ])
    );
    assert_eq!(found["observed"]["previousStatus"], "applied");
    assert_eq!(place.canary(), 35);
    // The day after.
    place.now.set(NOW + 86_401);
    let found = document(&place, &guarded(&place));
    assert_eq!(
        (found["status"].clone(), place.canary()),
        (json!("applied"), 60)
    );
}

#[test]
fn nothing_is_applied_in_a_freeze_window() {
    let place = Place::promotable();
    let file = place.outside("freeze.json");
    let window = json!({ "start": at(-60), "end": at(60), "reason": "quarter-close" });
    fs::write(&file, json!({ "windows": [window] }).to_string()).expect("written");
    let request = ControllerRequest {
        freeze_windows_file: Some(file.display().to_string()),
        ..guarded(&place)
    };
    let found = document(&place, &request);
    assert_eq!(
        found["decision"]["budget"]["freezeWindowsMatched"],
        json!([window])
    );
    assert_eq!(
        found["decision"]["reasonCodes"],
        json!(["controller_budget_freeze_window_active"])
    );
    assert_eq!(
        (found["status"].clone(), place.canary()),
        (json!("hold"), 10)
    );
}

#[test]
fn what_the_controller_cannot_read_stops_it_before_anything_is_applied() {
    let place = Place::promotable();
    let file = place.outside("freeze.json");
    let path = file.display().to_string();
    let frozen = ControllerRequest {
        freeze_windows_file: Some(path.clone()),
        ..guarded(&place)
    };
    assert_eq!(
        refused(&place, &frozen),
        format!("freeze windows file not found: {path}")
    );
    for (content, message) in [
        ("{", format!("invalid freeze windows JSON: {path}: ")),
        (
            "",
            format!("invalid freeze windows JSON: {path}: it is empty"),
        ),
        (
            "[]",
            format!("invalid freeze windows JSON: {path}: document is an array"),
        ),
        (
            r#"{"windows":[{"start":"soon","end":"2031-01-01T00:00:00Z"}]}"#,
            format!("freeze windows file contains invalid window entries: {path}: windows[0]: "),
        ),
    ] {
        fs::write(&file, content).expect("written");
        let found = refused(&place, &frozen);
        assert!(found.starts_with(&message), "{found}");
    }
    for state in ["", "{", "[]", "\"x\""] {
        place.put("promotion-controller-state.json", state);
        let found = refused(&place, &guarded(&place));
        assert!(
            found.starts_with("invalid prior controller state JSON: "),
            "{found}"
        );
    }
    place.put("promotion-controller-state.json", "null");
    place.put("promotion-controller-pending.json", "{}");
    let found = refused(&place, &guarded(&place));
    assert!(
        found.starts_with("invalid promotion controller pending JSON: "),
        "{found}"
    );
}

#[test]
fn a_damaged_history_stops_a_proposal_too() {
    let place = Place::promotable();
    for row in ["{", "\"x\""] {
        place.put(
            "telemetry/promotion-controller.jsonl",
            &format!("null\n{row}\n"),
        );
        for mode in ["propose_only", "guarded_auto_apply"] {
            let error = control(&place, &request(&place, mode)).expect_err("is refused");
            let text = error.to_string();
            assert!(
                text.starts_with("invalid controller telemetry JSONL: "),
                "{text}"
            );
            assert!(text.contains("line 2"), "{text}");
        }
    }
    assert_eq!(place.canary(), 10);
}

#[test]
fn a_stage_that_fails_is_a_run_that_failed() {
    let place = Place::promotable();
    let request = ControllerRequest {
        limits: LimitTexts {
            max_applies_per_window: Some("9".into()),
            ..LimitTexts::default()
        },
        governance: om_promotion::apply::Governance {
            review_by: Some("never".into()),
            ..governance()
        },
        ..guarded(&place)
    };
    let printed = control(&place, &request).expect("runs");
    assert_eq!(printed.exit_code, 1);
    let message = "error: --review-by must be an ISO-8601 timestamp";
    assert_eq!(
        printed.diagnostics.as_deref(),
        Some(format!("{message}\n").as_str())
    );
    let found = om_model::json::to_value(&printed.document);
    assert_eq!(
        found["error"],
        json!({
            "stage": "apply", "reasonCode": "controller_apply_command_failed",
            "exitCode": 1, "stderr": message,
        })
    );
    assert_eq!(found["decision"].get("budget"), None);
    assert_eq!(place.rows("telemetry/promotion-controller.jsonl"), [found]);
    assert!(!place.exists("promotion-controller-pending.json"));
    assert_eq!(place.canary(), 10);
}

/// Leaves what a run leaves that is killed just before it applies.
pub(crate) fn interrupt(place: &mut Place) -> Value {
    let (pending, copy) = (
        place.fleet_text("promotion-controller-pending.json"),
        place.outside("pending-copy.json"),
    );
    let body = format!("cp '{pending}' '{}'; exit 1", copy.display());
    place.hooks.apply = Some(place.hook("OPS_MANAGER_PROMOTION_APPLY_SCRIPT", &body));
    place.now.set(NOW - 30);
    assert_eq!(document(place, &guarded(place))["status"], "failed");
    place.hooks.apply = None;
    place.now.set(NOW);
    let copy = fs::read_to_string(&copy).expect("was pending");
    fs::remove_file(place.fleet("telemetry/promotion-controller.jsonl")).expect("removed");
    fs::remove_file(place.fleet("promotion-controller-state.json")).expect("removed");
    place.put("promotion-controller-pending.json", &copy);
    om_model::json::parse(copy.as_bytes()).expect("JSON")
}

/// What the killed run had applied already.
pub(crate) fn apply_as(place: &Place, pending: &Value) {
    place.decided("promote");
    let request = om_promotion::apply::ApplyRequest {
        trace_id: pending["context"]["traceId"].as_str().map(str::to_owned),
        ..place.apply("expand")
    };
    place
        .with(|pipeline| om_promotion::apply::run(&request, pipeline))
        .expect("is applied");
    assert_eq!(place.canary(), 35);
}

#[test]
fn a_run_that_was_killed_before_it_applied_has_failed_and_counts() {
    let mut place = Place::promotable();
    let pending = interrupt(&mut place);
    assert_eq!(pending["startedAt"], json!(at(-30)));
    let found = document(&place, &guarded(&place));
    let rows = place.rows("telemetry/promotion-controller.jsonl");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["status"], "failed");
    assert_eq!(rows[0]["error"]["stage"], "apply");
    assert_eq!(rows[0]["recovered"], true);
    assert_eq!(
        rows[0]["decision"]["reasonCodes"],
        json!([
            "controller_apply_command_failed",
            "controller_run_interrupted"
        ])
    );
    assert_eq!(rows[1], found);
    assert_eq!(
        found["decision"]["reasonCodes"],
        json!([
            "controller_budget_apply_count_exceeded",
            "controller_budget_cooldown_active"
        ])
    );
    assert_eq!(found["observed"]["previousStatus"], "failed");
    assert!(!place.exists("promotion-controller-pending.json"));
    assert_eq!(place.canary(), 10);
}

#[test]
fn what_a_killed_run_had_applied_is_undone_by_the_next() {
    let mut place = Place::promotable();
    let pending = interrupt(&mut place);
    apply_as(&place, &pending);
    let found = document(&place, &request(&place, "propose_only"));
    assert_eq!(found["status"], "proposed");
    assert_eq!(
        found["decision"]["budget"]["reasons"],
        json!(["controller_budget_cooldown_active"])
    );
    let rows = place.rows("telemetry/promotion-controller.jsonl");
    assert_eq!(rows[0]["status"], "rolled_back");
    assert_eq!(rows[0]["execution"]["action"], "rollback");
    assert_eq!(rows[0]["execution"]["expandStep"], 25);
    assert_eq!(
        rows[0]["decision"]["reasonCodes"],
        json!([
            "controller_rollback_triggered",
            "controller_run_interrupted"
        ])
    );
    let changes = place.rows("telemetry/promotion-apply.jsonl");
    assert_eq!(changes.last().expect("a row")["intent"], "rollback");
    assert!(!place.exists("promotion-controller-pending.json"));
}

#[test]
fn nothing_is_added_to_what_could_not_be_undone() {
    let mut place = Place::promotable();
    let pending = interrupt(&mut place);
    apply_as(&place, &pending);
    place.hooks.apply = Some(place.hook(
        "OPS_MANAGER_PROMOTION_APPLY_SCRIPT",
        "echo locked >&2; exit 12",
    ));
    let printed = control(&place, &guarded(&place)).expect("runs");
    assert_eq!(printed.exit_code, 12);
    let rows = place.rows("telemetry/promotion-controller.jsonl");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["error"]["stage"], "rollback");
    assert_eq!(rows[0]["execution"]["applyExecuted"], true);
}

#[test]
fn a_change_whose_stage_failed_after_it_is_undone() {
    let place = Place::promotable();
    place.has_step_summary.set(true);
    let request = guarded(&place);
    // The check's summary is appended, the orchestration's no more: after
    // the registry was changed.
    let summary = place.outside("step-summary.md");
    let clock = || {
        if place.canary() > 10 && summary.is_file() {
            fs::remove_file(&summary).expect("removed");
            fs::create_dir(&summary).expect("a folder");
        }
        at(0)
    };
    let printed = place.with(|pipeline| {
        run(
            &request,
            &Pipeline {
                clock: &clock,
                ..pipeline.clone()
            },
        )
    });
    let found = om_model::json::to_value(&printed.expect("runs").document);
    assert_eq!(found["error"]["stage"], "rollback", "{found}");
    assert_eq!(
        found["verification"]["reasonCodes"],
        json!(["controller_verification_result_missing"])
    );
    let changes = place.rows("telemetry/promotion-apply.jsonl");
    assert_eq!(changes.last().expect("a row")["intent"], "rollback");
}
