//! The orchestration as a command.

use std::fs;

use om_model::promotion::orchestrate::OrchestrateDocument;
use om_promotion::orchestrate::{OrchestrateRequest, run};
use om_promotion::{Printed, PromotionError};
use serde_json::{Value, json};

use crate::place::{Place, governance};

fn request(place: &Place, mode: &str) -> OrchestrateRequest {
    OrchestrateRequest {
        repo: place.repo(),
        mode: Some(mode.to_owned()),
        governance: governance(),
        ..OrchestrateRequest::default()
    }
}

fn orchestrate(
    place: &Place,
    request: &OrchestrateRequest,
) -> Result<Printed<OrchestrateDocument>, PromotionError> {
    place.with(|pipeline| run(request, pipeline))
}

fn document(place: &Place, request: &OrchestrateRequest) -> Value {
    let printed = orchestrate(place, request).expect("runs");
    om_model::json::to_value(&printed.document)
}

#[test]
fn a_dry_run_previews_and_changes_nothing() {
    let place = Place::promotable();
    let registry = place.text("registry.v1.json");
    let found = document(&place, &request(&place, "dry_run"));
    assert_eq!(found["status"], "preview");
    assert_eq!(found["decision"], "promote");
    assert_eq!(found["traceId"], Value::Null);
    assert_eq!(found["apply"]["executed"], false);
    assert_eq!(place.json("promotion-orchestrate-result.json"), found);
    assert_eq!(place.text("registry.v1.json"), registry);
    assert!(!place.exists("promotion-apply-state.json"));
}

#[test]
fn an_application_carries_the_record_and_two_summaries() {
    let place = Place::promotable();
    place.has_step_summary.set(true);
    let request = OrchestrateRequest {
        expand_step: Some("5".into()),
        idempotency_key: Some("k".into()),
        ..request(&place, "apply")
    };
    let found = document(&place, &request);
    assert_eq!(found["status"], "applied");
    assert_eq!(
        found["apply"]["record"],
        place.json("promotion-apply-state.json")
    );
    assert_eq!(
        found["apply"]["record"]["rollout"]["after"]["canaryPercent"],
        15
    );
    assert_eq!(found["traceId"], found["apply"]["record"]["traceId"]);
    let state = &found["apply"]["record"]["files"]["promotionStateFile"];
    assert_eq!(state, &json!(place.fleet("promotion-ci-result.json")));
    let summaries = fs::read_to_string(place.outside("step-summary.md")).expect("appended");
    let (check, own) = (
        place.text("promotion-ci-summary.md"),
        place.text("promotion-orchestrate-summary.md"),
    );
    assert_eq!(summaries, check + &own);
    // The same key again: nothing changes, and that is said.
    let again = document(&place, &request);
    assert_eq!(again["apply"]["record"]["replayed"], true);
    assert_eq!(place.canary(), 15);
}

#[test]
fn a_hold_refuses_to_apply_and_writes_no_result() {
    let place = Place::promotable();
    place.status.replace(json!({}));
    let error = orchestrate(&place, &request(&place, "apply")).expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "intent expand requires promotion decision promote (found: hold)"
    );
    assert!(!place.exists("promotion-orchestrate-result.json"));
    assert_eq!(place.canary(), 10);
}

#[test]
fn fail_on_hold_stops_everything_but_a_rollback() {
    let place = Place::promotable();
    place.status.replace(json!({}));
    let failing = |mode: &str| OrchestrateRequest {
        fail_on_hold: true,
        ..request(&place, mode)
    };
    for mode in ["dry_run", "apply"] {
        let error = orchestrate(&place, &failing(mode)).expect_err("is refused");
        assert_eq!(error.exit_code(), 2, "{mode}");
    }
    let found = document(&place, &failing("rollback"));
    assert_eq!(
        (&found["status"], &found["decision"]),
        (&json!("rolled_back"), &json!("hold"))
    );
    assert_eq!(found["promotionCiFailure"]["exitCode"], 2);
    assert_eq!(
        found["apply"]["record"]["rollout"]["after"]["manualPause"],
        true
    );
}

#[test]
fn a_rollback_goes_on_without_a_check() {
    let mut place = Place::promotable();
    place.hooks.ci = Some(place.hook("OPS_MANAGER_PROMOTION_CI_SCRIPT", "echo no >&2; exit 7"));
    let error = orchestrate(&place, &request(&place, "dry_run")).expect_err("is refused");
    assert_eq!((error.exit_code(), error.to_string().as_str()), (7, "no"));
    let found = document(&place, &request(&place, "rollback"));
    assert_eq!(found["decision"], "unknown");
    assert_eq!(
        found["promotionCiFailure"],
        json!({ "exitCode": 7, "message": "no" })
    );
    assert_eq!(
        place.rows("telemetry/promotion-apply.jsonl")[0]["decision"],
        "unknown"
    );
}

/// A check that says that it went well and wrote nothing, and what the one
/// before wrote.
fn with_an_older_result() -> Place {
    let mut place = Place::promotable();
    place.put(
        "promotion-ci-result.json",
        r#"{"summary":{"decision":"promote"}}"#,
    );
    place.hooks.ci = Some(place.hook("OPS_MANAGER_PROMOTION_CI_SCRIPT", "exit 0"));
    place
}

#[test]
fn an_older_result_decides_on_nothing_and_is_not_shown() {
    let place = with_an_older_result();
    let path = place.fleet_text("promotion-ci-result.json");
    for mode in ["dry_run", "apply"] {
        let error = orchestrate(&place, &request(&place, mode)).expect_err("is refused");
        assert_eq!(
            error.to_string(),
            format!("promotion CI result file not found: {path}: it was not written by this run"),
            "{mode}"
        );
        assert!(!place.exists("promotion-orchestrate-result.json"));
    }
    assert_eq!(place.canary(), 10);
}

#[test]
fn a_rollback_goes_on_without_an_older_result() {
    let place = with_an_older_result();
    let found = document(&place, &request(&place, "rollback"));
    assert_eq!(
        (&found["status"], &found["decision"]),
        (&json!("rolled_back"), &json!("unknown"))
    );
    assert_eq!(found["promotionCiFailure"]["exitCode"], 1);
    assert_eq!(found["apply"]["record"]["decision"], "unknown");
}

#[test]
fn documents_that_cannot_be_written_are_found_before_anything_is_changed() {
    let place = Place::promotable();
    let folder = place.outside("folder");
    fs::create_dir(&folder).expect("made");
    let below_a_file = place.fleet_text("registry.v1.json/result.json");
    let fine = place.outside("fine").display().to_string();
    let folder = folder.display().to_string();
    for (result, summary, fragment) in [
        (&folder, &fine, "is not a regular file; nothing was written"),
        (&fine, &folder, "is not a regular file; nothing was written"),
        (&below_a_file, &fine, "; nothing was written"),
    ] {
        for mode in ["apply", "rollback"] {
            let before = place.tree();
            let request = OrchestrateRequest {
                result_file: Some(result.clone()),
                summary_file: Some(summary.clone()),
                ..request(&place, mode)
            };
            let error = orchestrate(&place, &request).expect_err("is refused");
            assert!(error.to_string().contains(fragment), "{error}");
            assert!(place.tree() == before, "{mode}: {error}");
        }
    }
}

#[test]
fn a_change_whose_documents_get_lost_is_told_as_made() {
    let mut place = Place::promotable();
    let result = place.fleet_text("promotion-orchestrate-result.json");
    let body = format!("mkdir '{result}'; echo '{{}}'");
    place.hooks.apply = Some(place.hook("OPS_MANAGER_PROMOTION_APPLY_SCRIPT", &body));
    let error = orchestrate(&place, &request(&place, "apply")).expect_err("is not told");
    let changes = place.fleet_text("telemetry/promotion-apply.jsonl");
    let message = format!("the rollout was changed, see {changes}; only the documents of this run");
    assert!(error.to_string().starts_with(&message), "{error}");
}

#[test]
fn the_checks_result_has_to_be_a_result() {
    let mut place = Place::promotable();
    let path = place.fleet_text("promotion-ci-result.json");
    for (content, message) in [
        ("{", format!("invalid promotion CI result JSON: {path}: ")),
        (
            "",
            format!("invalid promotion CI result JSON: {path}: it is empty"),
        ),
        (
            "[]",
            format!("invalid promotion CI result JSON: {path}: document is an array"),
        ),
    ] {
        let body = format!("printf '%s' '{content}' > \"$4\"");
        place.hooks.ci = Some(place.hook("OPS_MANAGER_PROMOTION_CI_SCRIPT", &body));
        let error = orchestrate(&place, &request(&place, "dry_run")).expect_err("is refused");
        assert!(error.to_string().starts_with(&message), "{error}");
    }
    let body = "echo null > \"$4\"";
    place.hooks.ci = Some(place.hook("OPS_MANAGER_PROMOTION_CI_SCRIPT", body));
    assert_eq!(
        document(&place, &request(&place, "dry_run"))["decision"],
        "unknown"
    );
}

#[test]
fn the_hooks_get_whole_words_in_the_contracts_order() {
    let mut place = Place::promotable();
    let (ci, apply) = (place.outside("ci"), place.outside("apply"));
    place.hooks.ci = Some(place.hook(
        "OPS_MANAGER_PROMOTION_CI_SCRIPT",
        &format!(
            "printf '%s|' \"$@\" > '{}'; echo '{{}}' > \"$4\"; echo noise >&2",
            ci.display()
        ),
    ));
    place.hooks.apply = Some(place.hook(
        "OPS_MANAGER_PROMOTION_APPLY_SCRIPT",
        &format!(
            "printf '%s|' \"$@\" > '{}'; echo a warning >&2; echo '{{\"intent\":\"resume\"}}'",
            apply.display()
        ),
    ));
    let request = OrchestrateRequest {
        apply_intent: Some("resume".into()),
        skip_on_missing_evidence: true,
        fail_on_hold: true,
        trace_id: Some("t".into()),
        loop_id: Some("l".into()),
        horizon_ref: Some("h".into()),
        idempotency_key: Some("k".into()),
        evidence_refs: vec!["e 1\ne2".into(), String::new()],
        ..request(&place, "apply")
    };
    let found = document(&place, &request);
    assert_eq!(found["apply"]["intent"], "resume");
    let (repo, result) = (place.repo(), place.fleet_text("promotion-ci-result.json"));
    let repo = repo.display();
    let summary = place.fleet_text("promotion-ci-summary.md");
    assert_eq!(
        fs::read_to_string(ci).expect("told"),
        format!(
            "--repo|{repo}|--result-file|{result}|--summary-file|{summary}|\
             --skip-on-missing-evidence|--fail-on-hold|--trace-id|t|"
        )
    );
    assert_eq!(
        fs::read_to_string(apply).expect("told"),
        format!(
            "--repo|{repo}|--promotion-state-file|{result}|--intent|resume|--by|kim|\
             --approval-ref|CHG-88|--rationale|wider, in \"steps\" of 25|--review-by|\
             2030-05-01T00:00:00Z|--idempotency-key|k|--trace-id|t|--loop-id|l|--horizon-ref|h|\
             --evidence-ref|e 1|--evidence-ref|e2|"
        )
    );
}

#[test]
fn a_change_that_does_not_print_a_record_is_an_error() {
    let mut place = Place::promotable();
    for (body, message) in [
        ("echo done", "promotion apply output was not valid JSON"),
        (
            "echo '[]'",
            "promotion apply output was not valid JSON: document is an array",
        ),
        (
            "true",
            "promotion apply output was not valid JSON: it is empty",
        ),
        (
            "echo 'error: registry locked' >&2; exit 12",
            "registry locked",
        ),
    ] {
        place.hooks.apply = Some(place.hook("OPS_MANAGER_PROMOTION_APPLY_SCRIPT", body));
        let error = orchestrate(&place, &request(&place, "apply")).expect_err("is refused");
        assert!(error.to_string().starts_with(message), "{error}");
        assert!(!place.exists("promotion-orchestrate-result.json"));
    }
}
