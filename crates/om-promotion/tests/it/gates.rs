//! The gates as a command.

use om_model::promotion::gates::GatesDocument;
use om_promotion::gates::{GatesRequest, run};
use om_promotion::{Overrides, Printed, PromotionError, ThresholdTexts};
use serde_json::json;

use crate::place::Place;

fn gates(place: &Place) -> Result<Printed<GatesDocument>, PromotionError> {
    place.with(|pipeline| run(&request(place), pipeline))
}

fn request(place: &Place) -> GatesRequest {
    GatesRequest {
        repo: place.repo(),
        ..GatesRequest::default()
    }
}

fn refused(place: &Place, request: &GatesRequest) -> String {
    let before = place.tree();
    let error = place
        .with(|pipeline| run(request, pipeline))
        .expect_err("is refused");
    assert_eq!(place.tree(), before, "nothing is written");
    assert_eq!(error.exit_code(), 1);
    error.to_string()
}

#[test]
fn the_document_is_printed_kept_and_appended() {
    let place = Place::promotable();
    let printed = gates(&place).expect("runs");
    let document = om_model::json::to_value(&printed.document);
    assert_eq!(document["summary"]["decision"], "promote", "{document}");
    assert_eq!(place.json("promotion-state.json"), document);
    let rows = place.rows("telemetry/promotion.jsonl");
    assert_eq!(rows, std::slice::from_ref(&document));
    gates(&place).expect("runs again");
    assert_eq!(place.rows("telemetry/promotion.jsonl").len(), 2);
    assert_eq!(document["source"]["fleetStatusSource"], "generated");
    assert_eq!(document["traceId"], "trace-new");
}

#[test]
fn a_hold_is_kept_and_may_fail_the_command() {
    let place = Place::promotable();
    place.status.replace(json!({}));
    assert_eq!(gates(&place).expect("runs").exit_code, 0);
    let request = GatesRequest {
        fail_on_hold: true,
        ..request(&place)
    };
    let printed = place
        .with(|pipeline| run(&request, pipeline))
        .expect("runs");
    assert_eq!(printed.exit_code, 2);
    assert_eq!(
        place.json("promotion-state.json")["summary"]["decision"],
        "hold"
    );
}

#[test]
fn a_status_file_replaces_the_stage() {
    let place = Place::promotable();
    let file = place.outside("status.json");
    std::fs::write(&file, "{}").expect("written");
    let request = GatesRequest {
        overrides: Overrides {
            fleet_status_file: Some(file.display().to_string()),
            ..Overrides::default()
        },
        ..request(&place)
    };
    let printed = place
        .with(|pipeline| run(&request, pipeline))
        .expect("runs");
    let source = &printed.document.source;
    assert_eq!(source.fleet_status_file, Some(file.display().to_string()));
    assert!(!printed.document.summary.promote);
    std::fs::remove_file(&file).expect("removed");
    let message = refused(&place, &request);
    assert_eq!(
        message,
        format!("fleet status file not found: {}", file.display())
    );
    std::fs::write(&file, "{").expect("written");
    let message = refused(&place, &request);
    assert!(message.starts_with(&format!("invalid fleet status JSON: {}", file.display())));
}

#[test]
fn wrong_types_are_errors_and_leave_the_earlier_state_alone() {
    let place = Place::promotable();
    gates(&place).expect("runs");
    place.status.replace(json!({ "autonomous": [] }));
    assert_eq!(
        refused(&place, &request(&place)),
        "fleet status output was not valid JSON: autonomous is an array, expected an object"
    );
    place.status.replace(json!({}));
    place.put("drills/promotion.v1.json", r#"{"drills":"x"}"#);
    let message = refused(&place, &request(&place));
    assert!(
        message.contains("drills is a string, expected an array"),
        "{message}"
    );
}

#[test]
fn missing_and_broken_evidence_holds() {
    let place = Place::promotable();
    place.put("telemetry/handoff.jsonl", "{}\n{\n");
    place.put("drills/promotion.v1.json", "{");
    let document = gates(&place).expect("runs").document;
    let reasons: Vec<String> = document
        .summary
        .reason_codes
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        reasons,
        [
            "promotion_autonomous_sample_insufficient",
            "promotion_drill_state_invalid",
            "promotion_handoff_telemetry_invalid",
        ]
    );
    let error = document
        .gates
        .outcome_reliability
        .telemetry_error
        .expect("is told");
    assert!(error.contains("handoff.jsonl: line 2: "), "{error}");
}

#[test]
fn the_status_hook_gets_the_repository_and_its_failure_is_told() {
    let mut place = Place::promotable();
    let arguments = place.outside("argv");
    place.hooks.fleet_status = Some(place.hook(
        "OPS_MANAGER_FLEET_STATUS_SCRIPT",
        &format!(
            "printf '%s|' \"$@\" > '{}'; echo '{{}}'",
            arguments.display()
        ),
    ));
    gates(&place).expect("runs");
    let told = std::fs::read_to_string(&arguments).expect("told");
    assert_eq!(told, format!("--repo|{}|", place.repo().display()));
    place.hooks.fleet_status = Some(place.hook(
        "OPS_MANAGER_FLEET_STATUS_SCRIPT",
        "echo 'error: no fleet' >&2; exit 3",
    ));
    assert_eq!(
        refused(&place, &request(&place)),
        "failed to read fleet status via OPS_MANAGER_FLEET_STATUS_SCRIPT: no fleet"
    );
    place.hooks.fleet_status = Some(place.hook("OPS_MANAGER_FLEET_STATUS_SCRIPT", "echo oops"));
    let message = refused(&place, &request(&place));
    assert!(
        message.starts_with("fleet status output was not valid JSON"),
        "{message}"
    );
}

#[test]
fn a_wrong_threshold_is_refused_before_anything_is_read() {
    let place = Place::promotable();
    let request = GatesRequest {
        overrides: Overrides {
            fleet_status_file: Some("/nowhere".into()),
            thresholds: ThresholdTexts {
                min_sample_size: Some("0".into()),
                ..ThresholdTexts::default()
            },
            ..Overrides::default()
        },
        ..request(&place)
    };
    assert_eq!(
        refused(&place, &request),
        "--min-sample-size must be an integer >= 1"
    );
}
