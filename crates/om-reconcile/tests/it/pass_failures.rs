//! Chapter 02 §2.5, with decision D7: what a pass leaves behind when it
//! fails softly, and that it leaves nothing when it aborts.

use om_model::state::FailureCode;
use om_model::{Artifact, json};
use om_reconcile::pass::{HardAbort, PassInputs, health, observe, record};
use serde_json::{Value, json};

use crate::pass::{run, run_with, summary};
use crate::support::{
    appended, artifact, blank, context, failed_pass, malformed, pass_inputs, pass_over, snapshot,
    with, written,
};

/// Runs up to the health stage, where an abort commits nothing.
fn aborted(inputs: &PassInputs) -> HardAbort {
    let context = context();
    match observe(inputs, &context) {
        Err(abort) => abort,
        Ok(observed) => health(inputs, &observed, &context).expect_err("an abort"),
    }
}

#[test]
fn every_soft_failure_leaves_the_full_tail_and_nothing_observed() {
    for code in FailureCode::ALL {
        let mut inputs = failed_pass(code);
        inputs.prior.state = artifact(json!({"projection": {"status": "idle"}}));
        let closed = run(&inputs);
        assert!(!closed.success);
        for untouched in ["cursor.json", "heartbeat.json", "sequence-state.json"] {
            assert_eq!(
                written(&closed.commit, untouched),
                None,
                "{code:?} {untouched}"
            );
        }
        for untouched in ["telemetry/heartbeat.jsonl", "telemetry/sequence.jsonl"] {
            assert!(
                appended(&closed.commit, untouched).is_empty(),
                "{code:?} {untouched}"
            );
        }
        for tail in [
            "health.json",
            "state.json",
            "telemetry/transport-health.json",
            "profile-drift.json",
        ] {
            assert!(written(&closed.commit, tail).is_some(), "{code:?} {tail}");
        }
        for tail in [
            "escalations.jsonl",
            "telemetry/reconcile.jsonl",
            "telemetry/profile-drift.jsonl",
        ] {
            assert_eq!(appended(&closed.commit, tail).len(), 1, "{code:?} {tail}");
        }
        assert_eq!(Some(closed.stdout), written(&closed.commit, "health.json"));
    }
}

#[test]
fn the_row_of_a_failed_pass() {
    let mut inputs = failed_pass(FailureCode::EventsUnavailable);
    inputs.prior.transport_health = artifact(json!({"failureStreak": 1}));
    let closed = run(&inputs);
    let rows = appended(&closed.commit, "telemetry/reconcile.jsonl");
    insta::assert_snapshot!(json::pretty(&rows));
}

#[test]
fn a_failed_pass_keeps_what_it_does_not_know_in_the_state() {
    let mut inputs = failed_pass(FailureCode::SnapshotUnavailable);
    inputs.prior.state = artifact(json!({
        "note": "by a person",
        "health": {"old": true},
        "sequence": {"status": "ok"},
        "trace": {"other": "t-1"},
        "tuning": {"old": true},
        "generatedAt": "2031-05-01T00:00:00Z",
    }));
    let closed = run(&inputs);
    let state = written(&closed.commit, "state.json").expect("a refreshed state");
    let members: Vec<&String> = state.as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        [
            "note",
            "health",
            "sequence",
            "trace",
            "tuning",
            "generatedAt",
            "drift"
        ]
    );
    assert_eq!(
        state["trace"],
        json!({"other": "t-1", "reconcileTraceId": "tr-41"})
    );
    assert_eq!(state["sequence"], json!({"status": "ok"}));
    // Without a summary an earlier tuning is left alone; with one it is not.
    assert_eq!(state["tuning"], json!({"old": true}));
    let closed = run_with(&inputs, Some(&summary()));
    let state = written(&closed.commit, "state.json").expect("a refreshed state");
    assert_eq!(state["tuning"]["recommendedProfile"], json!("strict"));
}

#[test]
fn a_failed_pass_never_creates_a_state() {
    for nothing in [Artifact::Absent, blank()] {
        let mut inputs = failed_pass(FailureCode::SnapshotUnavailable);
        inputs.prior.state = nothing;
        let closed = run(&inputs);
        assert_eq!(written(&closed.commit, "state.json"), None);
        assert_eq!(written(&closed.commit, "health.json"), Some(closed.stdout));
    }
}

#[test]
fn a_null_trace_is_replaced_and_a_wrong_one_aborts() {
    for trace in [json!(null), json!(false)] {
        let mut inputs = failed_pass(FailureCode::SnapshotUnavailable);
        inputs.prior.state = artifact(json!({"trace": trace}));
        let state = written(&run(&inputs).commit, "state.json").expect("a refreshed state");
        assert_eq!(state["trace"], json!({"reconcileTraceId": "tr-41"}));
    }
    let mut inputs = failed_pass(FailureCode::SnapshotUnavailable);
    inputs.prior.state = artifact(json!({"trace": "t-1"}));
    let observed = observe(&inputs, &context()).expect("observed");
    let abort = record(&inputs, observed, json!({}), &context()).expect_err("an abort");
    assert!(abort.to_string().contains("trace is a string"), "{abort}");
}

#[test]
fn a_failed_projection_keeps_the_cursor_and_says_so() {
    let inputs = pass_over(with(snapshot(), "source.loopId", json!("other")));
    let closed = run(&inputs);
    assert!(!closed.success);
    assert_eq!(written(&closed.commit, "cursor.json"), None);
    let row = &appended(&closed.commit, "telemetry/reconcile.jsonl")[0];
    assert_eq!(row["failureCode"], json!("projection_failed"));
    assert_eq!(row["cursorOffsetBefore"], json!(13));
    assert_eq!(row["cursorOffsetAfter"], json!(13));
    assert_eq!(row["eventsIngested"], json!(2));
    let message = json::text(&row["failureMessage"]);
    let expected = "error: snapshot envelope is invalid or loop id mismatch";
    assert!(message.starts_with(expected), "{message:?}");
    assert_eq!(closed.stdout["reasonCodes"], json!(["projection_failed"]));
}

#[test]
fn a_failed_replay_does_not_claim_that_the_cursor_moved() {
    for (code, after) in [
        (FailureCode::ProjectionFailed, 0),
        (FailureCode::EventsUnavailable, 13),
    ] {
        let mut inputs = failed_pass(code);
        inputs.settings.from_start = true;
        let row = &appended(&run(&inputs).commit, "telemetry/reconcile.jsonl")[0];
        assert_eq!(row["cursorOffsetBefore"], json!(0), "{code:?}");
        assert_eq!(row["cursorOffsetAfter"], json!(after), "{code:?}");
    }
}

#[test]
fn a_failed_pass_ages_the_last_heartbeat() {
    let mut inputs = failed_pass(FailureCode::SnapshotUnavailable);
    inputs.prior.heartbeat = artifact(json!({
        "lastHeartbeatAt": "2031-05-02T07:00:04Z", "heartbeatLagSeconds": 2,
    }));
    assert_eq!(
        run(&inputs).stdout["metrics"]["heartbeatLagSeconds"],
        json!(3600)
    );
}

#[test]
fn old_documents_that_cannot_be_used_abort_a_failed_pass() {
    type Spoil = fn(&mut PassInputs, Artifact);
    let places: [(Spoil, &str); 3] = [
        (|inputs, bad| inputs.prior.state = bad, "invalid state JSON"),
        (
            |inputs, bad| inputs.prior.heartbeat = bad,
            "invalid heartbeat state JSON",
        ),
        (
            |inputs, bad| inputs.prior.sequence = bad,
            "invalid sequence state JSON",
        ),
    ];
    for (spoil, message) in places {
        for bad in [malformed(), artifact(json!([]))] {
            let mut inputs = failed_pass(FailureCode::SnapshotUnavailable);
            spoil(&mut inputs, bad);
            let abort = aborted(&inputs).to_string();
            assert!(abort.starts_with(message), "{abort:?}");
        }
    }
}

#[test]
fn a_failed_replay_does_not_need_the_old_sequence_state() {
    for broken in [malformed(), artifact(json!([]))] {
        let mut inputs = failed_pass(FailureCode::SnapshotUnavailable);
        inputs.settings.from_start = true;
        inputs.prior.sequence = broken;
        assert!(!run(&inputs).success);
    }
}

#[test]
fn documents_that_cannot_be_used_abort_before_anything_is_written() {
    type Spoil = fn(&mut PassInputs, Value);
    let places: [(Spoil, &str); 4] = [
        (
            |inputs, bad| inputs.prior.health = Artifact::Document(bad),
            "invalid health JSON",
        ),
        (
            |inputs, bad| inputs.prior.transport_health = Artifact::Document(bad),
            "invalid transport health JSON",
        ),
        (
            |inputs, bad| inputs.prior.sequence = Artifact::Document(bad),
            "invalid sequence state JSON",
        ),
        (
            |inputs, bad| {
                *inputs = pass_over(with(snapshot(), "runtime.heartbeat", bad));
            },
            "invalid heartbeat in the snapshot",
        ),
    ];
    for (spoil, message) in places {
        for bad in [json!([1]), json!("x"), json!(7)] {
            let mut inputs = pass_inputs();
            spoil(&mut inputs, bad);
            let abort = aborted(&inputs).to_string();
            assert!(abort.starts_with(message), "{abort:?}");
        }
    }
}

#[test]
fn an_unusable_state_of_a_loop_that_can_be_observed_aborts_in_health() {
    // Projection fails on it softly, then health cannot read it either.
    let mut inputs = pass_inputs();
    inputs.prior.state = artifact(json!([]));
    assert!(matches!(aborted(&inputs), HardAbort::Health(_)));
}

#[test]
fn broken_documents_of_earlier_passes_are_replaced_by_a_success() {
    let mut inputs = pass_inputs();
    for broken in [malformed(), blank()] {
        inputs.prior.state = broken.clone();
        inputs.prior.health = broken.clone();
        inputs.prior.heartbeat = broken.clone();
        inputs.prior.sequence = broken.clone();
        inputs.prior.transport_health = broken;
        assert!(run(&inputs).success);
    }
}
