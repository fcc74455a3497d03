//! What the controller does about a run that was interrupted after it had
//! applied.

use std::fs;

use om_promotion::controller::{ControllerRequest, FileTexts};
use serde_json::{Value, json};

use crate::controller::{apply_as, control, document, guarded, interrupt, request};
use crate::place::Place;

const PENDING: &str = "promotion-controller-pending.json";

/// A run that was killed after it had applied; its telemetry is `telemetry`.
fn killed_with(telemetry: &str) -> Place {
    let mut place = Place::promotable();
    let mut pending = interrupt(&mut place);
    pending["files"]["telemetryFile"] = json!(telemetry);
    place.put(PENDING, &pending.to_string());
    apply_as(&place, &pending);
    place
}

fn intents(place: &Place) -> Vec<Value> {
    let rows = place.rows("telemetry/promotion-apply.jsonl");
    rows.iter().map(|row| row["intent"].clone()).collect()
}

#[test]
fn an_interrupted_run_counts_wherever_it_would_have_been_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other.jsonl");
    for (telemetry, is_told_there) in [(other.as_path(), true), (folder.path(), false)] {
        let place = killed_with(&telemetry.display().to_string());
        let found = document(&place, &guarded(&place));
        assert_eq!(
            found["decision"]["reasonCodes"],
            json!(["controller_budget_cooldown_active"])
        );
        assert_eq!(intents(&place), ["expand", "rollback"]);
        let rows = place.rows("telemetry/promotion-controller.jsonl");
        assert_eq!((rows.len(), &rows[0]["recovered"]), (2, &json!(true)));
        if is_told_there {
            let told = fs::read_to_string(telemetry).expect("told");
            assert_eq!(told.lines().count(), 1);
        }
        assert!(!place.exists(PENDING));
    }
}

#[test]
fn what_could_not_be_undone_is_undone_by_a_later_run() {
    let mut place = killed_with("");
    place.hooks.apply = Some(place.hook("OPS_MANAGER_PROMOTION_APPLY_SCRIPT", "exit 12"));
    let printed = control(&place, &guarded(&place)).expect("runs");
    assert_eq!(printed.exit_code, 12);
    assert!(place.exists(PENDING));
    place.hooks.apply = None;
    document(&place, &request(&place, "propose_only"));
    assert_eq!(intents(&place), ["expand", "rollback"]);
    assert!(!place.exists(PENDING));
}

#[test]
fn what_somebody_undid_meanwhile_is_not_undone_again() {
    let place = killed_with("");
    for intent in ["rollback", "resume"] {
        let request = place.apply(intent);
        place
            .with(|pipeline| om_promotion::apply::run(&request, pipeline))
            .expect("is applied");
    }
    document(&place, &request(&place, "propose_only"));
    assert_eq!(intents(&place), ["expand", "rollback", "resume"]);
    let rows = place.rows("telemetry/promotion-controller.jsonl");
    assert_eq!(rows[0]["status"], "rolled_back");
    assert!(!place.exists(PENDING));
}

#[test]
fn an_interrupted_run_waits_for_documents_that_can_be_written() {
    let place = killed_with("");
    let folder = place.outside("folder");
    fs::create_dir(&folder).expect("made");
    let unusable = ControllerRequest {
        files: FileTexts {
            rollback_result: Some(folder.display().to_string()),
            ..FileTexts::default()
        },
        ..request(&place, "propose_only")
    };
    control(&place, &unusable).expect_err("is refused");
    assert_eq!(intents(&place), ["expand"]);
    assert!(place.exists(PENDING));
}
