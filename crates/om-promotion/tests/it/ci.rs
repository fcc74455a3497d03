//! The check as a command.

use std::fs;

use om_promotion::ci::{CiRequest, run};
use om_promotion::{Overrides, Printed, PromotionError, ThresholdTexts};
use serde_json::{Value, json};

use crate::place::Place;

fn request(place: &Place) -> CiRequest {
    CiRequest {
        repo: place.repo(),
        ..CiRequest::default()
    }
}

fn check(place: &Place, request: &CiRequest) -> Result<Printed<Value>, PromotionError> {
    place.with(|pipeline| run(request, pipeline))
}

fn step_summary(place: &Place) -> String {
    fs::read_to_string(place.outside("step-summary.md")).expect("is appended")
}

#[test]
fn the_decision_is_a_file_with_a_summary_beside_it() {
    let place = Place::promotable();
    place.has_step_summary.set(true);
    fs::write(place.outside("step-summary.md"), "before\n").expect("written");
    let printed = check(&place, &request(&place)).expect("runs");
    assert_eq!(printed.exit_code, 0);
    assert_eq!(place.json("promotion-ci-result.json"), printed.document);
    assert_eq!(place.json("promotion-state.json"), printed.document);
    let summary = place.text("promotion-ci-summary.md");
    assert!(summary.contains("Decision: `promote`"), "{summary}");
    let result = place.fleet_text("promotion-ci-result.json");
    assert!(
        summary.contains(&format!("Result JSON: `{result}`\n")),
        "{summary}"
    );
    assert_eq!(step_summary(&place), format!("before\n{summary}"));
}

#[test]
fn a_hold_may_fail_the_check_after_everything_is_written() {
    let place = Place::promotable();
    place.status.replace(json!({}));
    let request = CiRequest {
        fail_on_hold: true,
        ..request(&place)
    };
    let printed = check(&place, &request).expect("runs");
    assert_eq!(printed.exit_code, 2);
    assert_eq!(
        place.json("promotion-ci-result.json")["summary"]["decision"],
        "hold"
    );
    assert!(
        place
            .text("promotion-ci-summary.md")
            .contains("Decision: `hold`")
    );
}

#[test]
fn missing_evidence_is_skipped_in_order_if_wanted() {
    let place = Place::promotable();
    for name in [
        "state.json",
        "registry.v1.json",
        "telemetry/handoff.jsonl",
        "drills/promotion.v1.json",
    ] {
        fs::remove_file(place.fleet(name)).expect("removed");
    }
    let request = CiRequest {
        skip_on_missing_evidence: true,
        fail_on_hold: true,
        ..request(&place)
    };
    let printed = check(&place, &request).expect("runs");
    assert_eq!(printed.exit_code, 0);
    let missing = [
        place.fleet_text("state.json"),
        place.fleet_text("registry.v1.json"),
        place.fleet_text("telemetry/handoff.jsonl"),
        place.fleet_text("drills/promotion.v1.json"),
    ];
    assert_eq!(
        printed.document,
        json!({
            "schemaVersion": "v1",
            "generatedAt": "2030-03-17T17:46:40Z",
            "source": { "repoPath": place.repo() },
            "summary": {
                "decision": "skipped",
                "promote": false,
                "reasonCodes": ["promotion_ci_missing_evidence"],
                "missingEvidencePaths": missing,
            },
        })
    );
    assert!(
        !place.exists("promotion-state.json"),
        "the gates did not run"
    );
    let summary = place.text("promotion-ci-summary.md");
    assert!(
        summary.ends_with(&format!("- `{}`\n", missing[3])),
        "{summary}"
    );
}

#[test]
fn with_a_status_file_neither_state_nor_registry_is_evidence() {
    let place = Place::promotable();
    for name in ["state.json", "registry.v1.json"] {
        fs::remove_file(place.fleet(name)).expect("removed");
    }
    let file = place.outside("status.json");
    let request = CiRequest {
        skip_on_missing_evidence: true,
        overrides: Overrides {
            fleet_status_file: Some(file.display().to_string()),
            ..Overrides::default()
        },
        ..request(&place)
    };
    let printed = check(&place, &request).expect("runs");
    let missing = &printed.document["summary"]["missingEvidencePaths"];
    assert_eq!(missing, &json!([file]));
    fs::write(&file, place.status.borrow().to_string()).expect("written");
    let printed = check(&place, &request).expect("runs");
    assert_eq!(printed.document["summary"]["decision"], "promote");
}

#[test]
fn a_failure_of_the_gates_is_the_checks_own() {
    let place = Place::promotable();
    let request = CiRequest {
        overrides: Overrides {
            thresholds: ThresholdTexts {
                max_failure_rate: Some("2".into()),
                ..ThresholdTexts::default()
            },
            ..Overrides::default()
        },
        ..request(&place)
    };
    let error = check(&place, &request).expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "--max-failure-rate must be a number between 0 and 1"
    );
    assert!(!place.exists("promotion-ci-result.json"));
}

#[test]
fn the_gates_hook_gets_whole_words_in_the_contracts_order() {
    let mut place = Place::promotable();
    let argv = place.outside("argv");
    place.hooks.gates = Some(place.hook(
        "OPS_MANAGER_PROMOTION_GATES_SCRIPT",
        &format!(
            "printf '%s\\n' \"$@\" > '{}'; echo noise >&2; echo '{{\"summary\":{{\"decision\":\"hold\"}}}}'; exit 2",
            argv.display()
        ),
    ));
    let request = CiRequest {
        overrides: Overrides {
            fleet_status_file: Some("status file.json".into()),
            thresholds: ThresholdTexts {
                window_executions: Some("007".into()),
                ..ThresholdTexts::default()
            },
            ..Overrides::default()
        },
        trace_id: Some("t 1".into()),
        pretty: true,
        fail_on_hold: true,
        ..request(&place)
    };
    let printed = check(&place, &request).expect("runs");
    assert_eq!(printed.exit_code, 2);
    let told = fs::read_to_string(&argv).expect("told");
    let repo = place.repo().display().to_string();
    let expected = [
        "--repo",
        &repo,
        "--handoff-telemetry-file",
        &place.fleet_text("telemetry/handoff.jsonl"),
        "--drill-state-file",
        &place.fleet_text("drills/promotion.v1.json"),
        "--promotion-state-file",
        &place.fleet_text("promotion-state.json"),
        "--promotion-telemetry-file",
        &place.fleet_text("telemetry/promotion.jsonl"),
        "--fleet-status-file",
        "status file.json",
        "--window-executions",
        "007",
        "--trace-id",
        "t 1",
        "--pretty",
        "--fail-on-hold",
        "",
    ]
    .join("\n");
    assert_eq!(told, expected);
}

#[test]
fn whatever_is_not_a_decision_is_no_success_and_no_result() {
    let mut place = Place::promotable();
    for (body, code) in [
        ("echo promoted; exit 0", 1),
        ("exit 0", 1),
        ("echo '{\"summary\":1}'", 1),
        ("echo '{\"summary\":{\"failedGates\":\"x\"}}'", 1),
        ("echo broken >&2; exit 9", 9),
    ] {
        place.hooks.gates = Some(place.hook("OPS_MANAGER_PROMOTION_GATES_SCRIPT", body));
        let error = check(&place, &request(&place)).expect_err("is refused");
        assert_eq!(error.exit_code(), code, "{body}: {error}");
        assert!(!place.exists("promotion-ci-result.json"), "{body}");
        assert!(!place.exists("promotion-ci-summary.md"), "{body}");
    }
}

#[test]
fn a_summary_that_cannot_be_appended_fails_with_the_result_in_place() {
    let place = Place::promotable();
    place.has_step_summary.set(true);
    fs::create_dir(place.outside("step-summary.md")).expect("a folder");
    let error = check(&place, &request(&place)).expect_err("is refused");
    assert_eq!(error.exit_code(), 1);
    assert!(place.exists("promotion-ci-result.json"));
}
