//! Chapter 01 §6.

use om_model::drift::Confidence;
use om_model::state::{DivergenceFlags, Projection};
use om_model::{Artifact, json};
use om_reconcile::projection::{ProjectionError, ProjectionInputs, WORK_EVENTS, evaluate};
use serde_json::{Value, json};

use crate::support::{artifact, blank, event, malformed, now, snapshot, source, with};

struct Case {
    snapshot: Value,
    last_event: Option<Value>,
    previous: Artifact,
    replay: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            snapshot: snapshot(),
            last_event: None,
            previous: Artifact::Absent,
            replay: false,
        }
    }
}

impl Case {
    fn project(&self) -> Result<Projection, ProjectionError> {
        evaluate(
            &ProjectionInputs {
                source: &source(),
                snapshot: &self.snapshot,
                last_event: self.last_event.as_ref(),
                previous: &self.previous,
                previous_file: "/ops/state.json",
                snapshot_file: "/tmp/snapshot.json".to_owned(),
                events_file: Some("/tmp/events.ndjson".to_owned()),
                replay: self.replay,
            },
            now(),
        )
    }

    fn flags(&self) -> DivergenceFlags {
        let divergence = self.project().expect("a projection").divergence;
        let DivergenceFlags {
            active_mismatch,
            approval_completion_conflict,
            cursor_regression,
        } = divergence.flags;
        let any = active_mismatch || approval_completion_conflict || cursor_regression;
        assert_eq!(divergence.any, any);
        divergence.flags
    }
}

#[test]
fn the_projection_of_a_running_loop() {
    let case = Case {
        last_event: Some(event("role_start", 15)),
        previous: artifact(json!({
            "transition": {"currentState": "idle"},
            "cursor": {"eventLineOffset": 12},
        })),
        ..Case::default()
    };
    insta::assert_snapshot!(json::pretty(&case.project().expect("a projection")));
}

#[test]
fn an_empty_snapshot_envelope_projects_to_defaults() {
    let case = Case {
        snapshot: json!({
            "schemaVersion": "v1",
            "envelopeType": "loop_run_snapshot",
            "source": {"loopId": "nightly-7"},
        }),
        ..Case::default()
    };
    insta::assert_snapshot!(json::pretty(&case.project().expect("a projection")));
}

#[test]
fn an_inactive_loop_does_no_work() {
    let inactive = with(snapshot(), "runtime.superloopState.active", json!(false));
    for (name, mismatch) in WORK_EVENTS
        .into_iter()
        .map(|name| (name, true))
        .chain([("loop_stop", false), ("approval_decision", false)])
    {
        let case = Case {
            snapshot: inactive.clone(),
            last_event: Some(event(name, 15)),
            ..Case::default()
        };
        assert_eq!(case.flags().active_mismatch, mismatch, "{name}");
    }
}

#[test]
fn the_snapshots_own_last_event_is_no_substitute_for_an_event() {
    let case = Case {
        snapshot: with(snapshot(), "runtime.superloopState", json!(null)),
        ..Case::default()
    };
    assert!(!case.flags().active_mismatch);
}

#[test]
fn an_active_loop_may_be_spelled_as_text() {
    for (active, mismatch) in [
        (json!(true), false),
        (json!("true"), false),
        (json!("yes"), true),
        (json!(1), true),
        (json!(null), true),
    ] {
        let case = Case {
            snapshot: with(snapshot(), "runtime.superloopState.active", active.clone()),
            last_event: Some(event("role_end", 15)),
            ..Case::default()
        };
        assert_eq!(case.flags().active_mismatch, mismatch, "{active}");
    }
}

#[test]
fn completion_contradicts_a_pending_approval() {
    for (approval, completion, conflict) in [
        (json!({"status": "pending"}), json!(true), true),
        (json!({"status": "pending"}), json!("true"), true),
        (json!({"status": "pending"}), json!(1), false),
        (json!({"status": "pending"}), json!("false"), false),
        (json!({"status": "approved"}), json!(true), false),
        (json!({}), json!(true), false),
        (json!(null), json!(true), false),
    ] {
        let snapshot = with(snapshot(), "runtime.approval", approval.clone());
        let case = Case {
            snapshot: with(snapshot, "run.summary.completion_ok", completion.clone()),
            ..Case::default()
        };
        let found = case.flags().approval_completion_conflict;
        assert_eq!(found, conflict, "{approval} {completion}");
    }
}

#[test]
fn a_position_that_moves_back_is_a_regression_unless_replayed() {
    for (previous, current, replay, regression) in [
        (json!(16), json!(15), false, true),
        (json!("16"), json!("15"), false, true),
        (json!(15), json!(15), false, false),
        (json!(14), json!(15), false, false),
        (json!(-1), json!(-2), false, false),
        (json!(16.5), json!(15), false, false),
        (json!("many"), json!(15), false, false),
        (json!(16), json!(15), true, false),
    ] {
        let case = Case {
            snapshot: with(snapshot(), "cursor.eventLineOffset", current.clone()),
            previous: artifact(json!({"cursor": {"eventLineOffset": previous}})),
            replay,
            ..Case::default()
        };
        let found = case.flags().cursor_regression;
        assert_eq!(found, regression, "{previous} to {current}");
    }
}

#[test]
fn confidence_needs_an_event_and_no_divergence() {
    let inactive = with(snapshot(), "runtime.superloopState.active", json!(null));
    for (snapshot, last_event, confidence) in [
        (snapshot(), Some(event("role_start", 15)), Confidence::High),
        (snapshot(), None, Confidence::Medium),
        (inactive, Some(event("role_start", 15)), Confidence::Low),
    ] {
        let case = Case {
            snapshot,
            last_event,
            ..Case::default()
        };
        let transition = case.project().expect("a projection").transition;
        assert_eq!(transition.confidence, confidence);
    }
}

#[test]
fn the_previous_state_has_a_name_for_every_kind_of_file() {
    let several = Artifact::parse(b"{} {}");
    for (previous, name) in [
        (Artifact::Absent, "none"),
        (malformed(), "none"),
        (several, "none"),
        (blank(), ""),
        (artifact(json!(null)), "none"),
        (artifact(json!({})), "none"),
        (
            artifact(json!({"transition": {"currentState": false}})),
            "none",
        ),
        (
            artifact(json!({"transition": {"currentState": "idle"}})),
            "idle",
        ),
        (artifact(json!({"transition": {"currentState": 7}})), "7"),
    ] {
        let case = Case {
            previous,
            ..Case::default()
        };
        let projection = case.project().expect("a projection");
        assert_eq!(projection.transition.previous_state, name);
    }
}

#[test]
fn a_previous_state_of_the_wrong_type_fails_by_member() {
    for (previous, cause) in [
        (json!([]), "document is an array, expected an object"),
        (json!("x"), "document is a string, expected an object"),
        (
            json!({"transition": 1}),
            "transition is a number, expected an object",
        ),
        (
            json!({"cursor": []}),
            "cursor is an array, expected an object",
        ),
    ] {
        let case = Case {
            previous: artifact(previous),
            ..Case::default()
        };
        let error = case.project().expect_err("a wrong type").to_string();
        let expected = format!("invalid state JSON: /ops/state.json: {cause}");
        assert!(error.starts_with(&expected), "{error:?}");
    }
}

#[test]
fn only_a_snapshot_envelope_of_this_loop_is_projected() {
    let fragment = "snapshot envelope is invalid or loop id mismatch";
    for wrong in [
        json!(null),
        json!([]),
        json!({}),
        with(snapshot(), "schemaVersion", json!("v2")),
        with(snapshot(), "envelopeType", json!("loop_run_event")),
        with(snapshot(), "source.loopId", json!("other")),
        with(snapshot(), "source", json!("nightly-7")),
    ] {
        let case = Case {
            snapshot: wrong,
            ..Case::default()
        };
        let error = case.project().expect_err("not an envelope").to_string();
        assert!(error.starts_with(fragment), "{error:?}");
    }
}

#[test]
fn only_a_named_event_envelope_of_this_loop_counts() {
    let fragment = "event envelope is invalid or loop id mismatch";
    for wrong in [
        json!(null),
        json!(7),
        with(event("x", 1), "schemaVersion", json!(1)),
        with(event("x", 1), "envelopeType", json!("loop_run_snapshot")),
        with(event("x", 1), "source.loopId", json!("other")),
        with(event("x", 1), "event.name", json!("")),
        with(event("x", 1), "event.name", json!(false)),
        with(event("x", 1), "event", json!("x")),
        with(event("x", 1), "event", json!(null)),
    ] {
        let case = Case {
            last_event: Some(wrong),
            ..Case::default()
        };
        let error = case.project().expect_err("not an envelope").to_string();
        assert!(error.starts_with(fragment), "{error:?}");
    }
}

#[test]
fn members_of_the_wrong_type_fail_by_name() {
    for (path, value, member) in [
        ("run", json!("x"), "run is a string"),
        ("run.summary", json!([]), "run.summary is an array"),
        (
            "run.summary.completion_ok",
            json!("maybe"),
            "run.summary.completion_ok",
        ),
        (
            "runtime.approval",
            json!("pending"),
            "runtime.approval is a string",
        ),
        ("cursor", json!(3), "cursor is a number"),
        (
            "cursor.eventLineOffset",
            json!("many"),
            "cursor.eventLineOffset",
        ),
        ("cursor.eventLineCount", json!({}), "cursor.eventLineCount"),
        ("health", json!(true), "health is a boolean"),
    ] {
        let case = Case {
            snapshot: with(snapshot(), path, value),
            ..Case::default()
        };
        let error = case.project().expect_err("a wrong type").to_string();
        assert!(error.contains(member), "{error:?} names {member:?}");
    }
}

#[test]
fn false_is_absent_and_text_numbers_are_numbers() {
    let mut odd = snapshot();
    for (path, value) in [
        ("run.iteration", json!("7")),
        ("run.runId", json!(12)),
        ("run.status", json!(false)),
        ("run.summary.completion_ok", json!(0)),
        ("cursor.eventLineOffset", json!(" 9 ")),
        ("cursor.eventLineCount", json!(false)),
        ("runtime.superloopState.active", json!(false)),
        ("health.gates", json!(false)),
        ("health.lastEventName", json!("")),
    ] {
        odd = with(odd, path, value);
    }
    let case = Case {
        snapshot: odd,
        ..Case::default()
    };
    let projection = json::to_value(&case.project().expect("a projection"));
    for (pointer, value) in [
        ("/run/iteration", json!(7)),
        ("/run/runId", json!("12")),
        ("/transition/currentState", json!("unknown")),
        (
            "/transition/triggeringSignal",
            json!("snapshot_status:unknown"),
        ),
        ("/projection/completionOk", json!(0)),
        ("/cursor/eventLineOffset", json!(9)),
        ("/cursor/eventLineCount", json!(0)),
        ("/projection/active", json!(null)),
        ("/projection/gates", json!(null)),
        ("/projection/lastEventName", json!("")),
    ] {
        assert_eq!(projection.pointer(pointer), Some(&value), "{pointer}");
    }
}
