//! The controller with hooks for its stages.

use std::fs;

use om_promotion::controller::ControllerRequest;
use om_promotion::{Overrides, ThresholdTexts};
use serde_json::{Value, json};

use crate::controller::{control, document, guarded, refused};
use crate::place::{Place, at};

/// An orchestration hook: `body` with `$mode`, `$result` and `$check` set.
fn orchestrate(place: &mut Place, body: &str) {
    let script = format!(
        "all=\"$*\"\nwhile [ $# -gt 0 ]; do case \"$1\" in\n\
         --mode) mode=$2;; --result-file) result=$2;; --promotion-ci-result-file) check=$2;;\n\
         esac; shift; done\n{body}"
    );
    place.hooks.orchestrate = Some(place.hook("OPS_MANAGER_PROMOTION_ORCHESTRATE_SCRIPT", &script));
}

/// A check hook: `body` with `$result` set.
fn ci(place: &mut Place, body: &str) {
    let script = format!(
        "while [ $# -gt 0 ]; do case \"$1\" in --result-file) result=$2;; esac; shift; done\n{body}"
    );
    place.hooks.ci = Some(place.hook("OPS_MANAGER_PROMOTION_CI_SCRIPT", &script));
}

/// What an orchestration does that promotes: `made` is the check's stamp.
fn promoting(made: &str) -> String {
    format!(
        "case $mode in dry_run)\n\
         echo '{{\"decision\":\"promote\"}}' > \"$result\"\n\
         echo '{{\"generatedAt\":\"{made}\"}}' > \"$check\";;\n\
         *) echo '{{}}' > \"$result\";; esac"
    )
}

const PROMOTE: &str = "echo '{\"summary\":{\"decision\":\"promote\"}}' > \"$result\"";

fn outcome(place: &Place) -> (Value, Value) {
    let found = document(place, &guarded(place));
    (
        found["status"].clone(),
        found["decision"]["reasonCodes"].clone(),
    )
}

#[test]
fn hooks_that_keep_to_the_contract_are_applied() {
    let mut place = Place::promotable();
    orchestrate(&mut place, &promoting(&at(0).to_string()));
    ci(&mut place, PROMOTE);
    assert_eq!(outcome(&place), (json!("applied"), json!([])));
}

#[test]
fn a_stale_or_undated_decision_holds() {
    for (made, reason) in [
        (at(-3601).to_string(), "controller_decision_stale"),
        (at(301).to_string(), "controller_decision_timestamp_invalid"),
        ("today".to_owned(), "controller_decision_timestamp_invalid"),
    ] {
        let mut place = Place::promotable();
        orchestrate(&mut place, &promoting(&made));
        assert_eq!(outcome(&place), (json!("hold"), json!([reason])), "{made}");
    }
}

#[test]
fn files_of_an_earlier_run_decide_on_nothing() {
    let mut place = Place::promotable();
    let check = json!({ "generatedAt": at(0) }).to_string();
    place.put(
        "promotion-controller-preview-result.json",
        r#"{"decision":"promote"}"#,
    );
    place.put("promotion-controller-ci-result.json", &check);
    orchestrate(&mut place, "exit 0");
    let message = refused(&place, &guarded(&place));
    assert!(
        message.starts_with("preview result file not found: "),
        "{message}"
    );
    orchestrate(
        &mut place,
        "echo '{\"decision\":\"promote\"}' > \"$result\"",
    );
    let message = refused(&place, &guarded(&place));
    assert!(
        message.starts_with("evaluate promotion CI result file not found: "),
        "{message}"
    );
}

#[test]
fn a_preview_of_another_type_is_an_error() {
    let mut place = Place::promotable();
    for (preview, check, message) in [
        ("[]", "{}", "invalid preview JSON: "),
        ("{", "{}", "invalid preview JSON: "),
        ("", "{}", "invalid preview JSON: "),
        ("{\"summary\":1}", "{}", "invalid preview JSON: "),
        ("{}", "[]", "invalid evaluate promotion CI JSON: "),
        ("{}", "{", "invalid evaluate promotion CI JSON: "),
    ] {
        let body =
            format!("printf '%s' '{preview}' > \"$result\"; printf '%s' '{check}' > \"$check\"");
        orchestrate(&mut place, &body);
        let found = refused(&place, &guarded(&place));
        assert!(found.starts_with(message), "{preview} {check}: {found}");
    }
}

#[test]
fn an_empty_check_does_not_say_when_it_was_made() {
    let mut place = Place::promotable();
    orchestrate(&mut place, "echo null > \"$result\"; : > \"$check\"");
    let found = document(&place, &guarded(&place));
    assert_eq!(found["decision"]["promotionDecision"], "unknown");
    assert_eq!(
        found["decision"]["reasonCodes"],
        json!([
            "controller_decision_not_promote",
            "controller_decision_timestamp_invalid"
        ])
    );
}

#[test]
fn an_apply_without_a_result_is_undone() {
    for (written, reason) in [
        ("true", "controller_verification_result_missing"),
        (
            "echo '{' > \"$result\"",
            "controller_verification_result_invalid",
        ),
    ] {
        let mut place = Place::promotable();
        place.put("promotion-controller-apply-result.json", "{}");
        let body = format!(
            "if [ $mode = apply ]; then {written}; else {}; fi",
            promoting(&at(0).to_string())
        );
        orchestrate(&mut place, &body);
        assert_eq!(
            outcome(&place),
            (
                json!("rolled_back"),
                json!(["controller_rollback_triggered", reason])
            )
        );
    }
}

#[test]
fn a_verification_has_to_be_of_this_run() {
    for (body, reason) in [
        ("exit 3", "controller_verification_command_failed"),
        ("exit 0", "controller_verification_result_missing"),
        (
            "echo '{' > \"$result\"",
            "controller_verification_result_invalid",
        ),
        (
            "echo '[]' > \"$result\"",
            "controller_verification_result_invalid",
        ),
        ("echo '{}' > \"$result\"", "controller_verification_failed"),
    ] {
        let mut place = Place::promotable();
        let old = json!({ "summary": { "decision": "promote" } }).to_string();
        place.put("promotion-controller-verify-ci-result.json", &old);
        orchestrate(&mut place, &promoting(&at(0).to_string()));
        ci(&mut place, body);
        let reasons = json!(["controller_rollback_triggered", reason]);
        assert_eq!(outcome(&place), (json!("rolled_back"), reasons), "{body}");
    }
}

#[test]
fn a_rollback_that_fails_is_a_failed_run() {
    for (body, code, text) in [
        (
            "echo locked; echo 'very much' >&2; exit 12",
            12,
            "locked\nvery much",
        ),
        (
            "exit 0",
            1,
            "error: rollback orchestration result file not found: ",
        ),
    ] {
        let mut place = Place::promotable();
        place.put("promotion-controller-rollback-result.json", "{}");
        let body = format!(
            "if [ $mode = rollback ]; then {body}; fi\n{}",
            promoting(&at(0).to_string()).replace("*)", "apply)")
        );
        orchestrate(&mut place, &body);
        ci(&mut place, "exit 1");
        let printed = control(&place, &guarded(&place)).expect("runs");
        assert_eq!(printed.exit_code, code);
        let found = om_model::json::to_value(&printed.document);
        assert_eq!(found["error"]["stage"], "rollback");
        let said = found["error"]["stderr"].as_str().expect("a text");
        assert!(said.starts_with(text), "{said}");
        assert_eq!(
            found["decision"]["reasonCodes"],
            json!([
                "controller_rollback_command_failed",
                "controller_verification_command_failed"
            ])
        );
        assert_eq!(found["execution"]["action"], "apply");
    }
}

#[test]
fn an_evaluation_that_fails_passes_its_code_and_text_on() {
    let mut place = Place::promotable();
    orchestrate(&mut place, "echo out; echo err >&2; exit 5");
    let printed = control(&place, &guarded(&place)).expect("runs");
    assert_eq!(printed.exit_code, 5);
    assert_eq!(printed.diagnostics.as_deref(), Some("out\nerr\n"));
    let found = om_model::json::to_value(&printed.document);
    assert_eq!(found["decision"]["promotionDecision"], "unknown");
    assert_eq!(found["execution"]["plannedAction"], "propose");
}

#[test]
fn the_stages_get_whole_words_in_the_contracts_order() {
    let mut place = Place::promotable();
    let told = place.outside("told");
    let script = format!(
        "printf '%s|' \"$@\" >> '{0}'; echo >> '{0}'\nwhile [ $# -gt 0 ]; do case \"$1\" in\n\
         --mode) mode=$2;; --result-file) result=$2;; --promotion-ci-result-file) check=$2;;\n\
         esac; shift; done\n{1}",
        told.display(),
        promoting(&at(0).to_string()),
    );
    place.hooks.orchestrate = Some(place.hook("OPS_MANAGER_PROMOTION_ORCHESTRATE_SCRIPT", &script));
    let check = format!(
        "printf '%s|' \"$@\" >> '{0}'; echo >> '{0}'; exit 1",
        told.display()
    );
    place.hooks.ci = Some(place.hook("OPS_MANAGER_PROMOTION_CI_SCRIPT", &check));
    let request = ControllerRequest {
        apply_intent: Some("resume".into()),
        expand_step: Some("007".into()),
        overrides: Overrides {
            drill_state_file: Some("d e".into()),
            thresholds: ThresholdTexts {
                min_sample_size: Some("3".into()),
                ..ThresholdTexts::default()
            },
            ..Overrides::default()
        },
        skip_on_missing_evidence: true,
        idempotency_key: Some("k".into()),
        loop_id: Some("l".into()),
        evidence_refs: vec!["e\nf".into(), String::new()],
        ..guarded(&place)
    };
    assert_eq!(document(&place, &request)["status"], "rolled_back");
    let told = fs::read_to_string(&told).expect("told");
    let file = |name: &str| place.fleet_text(&format!("promotion-controller-{name}"));
    let repo = place.repo().display().to_string();
    let checks = format!(
        "--promotion-ci-result-file|{}|--promotion-ci-summary-file|{}",
        file("ci-result.json"),
        file("ci-summary.md")
    );
    let results = |name: &str| {
        format!(
            "--result-file|{}|--summary-file|{}",
            file(&format!("{name}-result.json")),
            file(&format!("{name}-summary.md"))
        )
    };
    let governance = "--by|kim|--approval-ref|CHG-88|--rationale|wider, in \"steps\" of 25|\
                      --review-by|2030-05-01T00:00:00Z";
    let overrides = "--drill-state-file|d e|--min-sample-size|3|--skip-on-missing-evidence";
    let context =
        "--trace-id|trace-new|--loop-id|l|--evidence-ref|e|--evidence-ref|f|--evidence-ref|";
    let expected = [
        format!(
            "--repo|{repo}|--mode|dry_run|{checks}|{}|{overrides}|{context}|",
            results("preview")
        ),
        format!(
            "--repo|{repo}|--mode|apply|--apply-intent|resume|--expand-step|007|{checks}|{}|\
             {governance}|--idempotency-key|k|{overrides}|{context}|",
            results("apply")
        ),
        format!(
            "--repo|{repo}|--result-file|{}|--summary-file|{}|{overrides}|--trace-id|trace-new|",
            file("verify-ci-result.json"),
            file("verify-ci-summary.md")
        ),
        format!(
            "--repo|{repo}|--mode|rollback|{checks}|{}|{governance}|{overrides}|{context}|",
            results("rollback")
        ),
    ];
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told, expected);
}
