//! Chapter 02 §2.4.2 and §2.6.6; decision D24.

use om_model::health::TransportMode;
use om_model::observation::{SequenceDocument, SequenceFold, SequenceViolation as V};
use om_model::{Artifact, json};
use om_reconcile::sequence::{
    PreviousSequence, SequenceInputs, evaluate, is_declared_replay, row, snapshot_sequence,
};
use serde_json::{Value, json};

use crate::support::{artifact, blank, fold, loop_id, malformed, now, trace};

fn judge(
    snapshot: &Value,
    events: &SequenceFold,
    previous: PreviousSequence,
    replay: bool,
) -> SequenceDocument {
    evaluate(
        &SequenceInputs {
            loop_id: &loop_id(),
            trace_id: &trace(),
            transport: TransportMode::Local,
            snapshot,
            events,
            previous,
            replay,
        },
        now(),
    )
}

fn previous(snapshot: u64, events: u64) -> PreviousSequence {
    PreviousSequence {
        snapshot: Some(snapshot),
        events: Some(events),
        drift_active: false,
    }
}

fn snapshot(value: u64) -> Value {
    json!({"sequence": {"value": value}})
}

#[test]
fn every_violation_has_its_condition() {
    use V::*;
    let none = PreviousSequence::default();
    let missing = json!({});
    for (snapshot, events, previous, violations) in [
        (snapshot(5), vec![Some(4), Some(5)], previous(3, 3), vec![]),
        (snapshot(5), vec![Some(5), Some(5)], previous(5, 5), vec![]),
        (snapshot(5), vec![], previous(5, 9), vec![]),
        (snapshot(5), vec![Some(1), Some(5)], none, vec![]),
        (
            snapshot(5),
            vec![Some(4), None],
            none,
            vec![EventSequenceMissing],
        ),
        (
            snapshot(5),
            vec![Some(5), Some(4)],
            none,
            vec![EventSequenceNonMonotonic],
        ),
        (
            snapshot(5),
            vec![Some(3)],
            previous(5, 4),
            vec![EventSequenceRegression],
        ),
        (
            missing.clone(),
            vec![],
            previous(5, 4),
            vec![SnapshotSequenceMissing],
        ),
        (
            snapshot(4),
            vec![],
            previous(5, 4),
            vec![SnapshotSequenceRegression],
        ),
        (
            snapshot(4),
            vec![None, Some(3), Some(2)],
            previous(5, 4),
            vec![
                EventSequenceMissing,
                EventSequenceNonMonotonic,
                EventSequenceRegression,
                SnapshotSequenceRegression,
            ],
        ),
    ] {
        let document = judge(&snapshot, &fold(&events), previous, false);
        assert_eq!(document.violations, violations, "{snapshot} {events:?}");
        assert_eq!(document.drift_active, !violations.is_empty());
        let regressed = violations.contains(&EventSequenceNonMonotonic)
            || violations.contains(&EventSequenceRegression);
        assert_eq!(document.events.regressed, regressed);
    }
}

#[test]
fn a_snapshot_sequence_is_digits_or_missing() {
    for (sequence, value) in [
        (json!({"value": 7}), Some(7)),
        (json!({"value": "7"}), Some(7)),
        (json!({"value": -7}), None),
        (json!({"value": 7.5}), None),
        (json!({"value": "seven"}), None),
        (json!({"value": null}), None),
        (json!({}), None),
        (json!(7), None),
    ] {
        let found = snapshot_sequence(&json!({"sequence": sequence}));
        assert_eq!(found, value, "{sequence}");
    }
}

#[test]
fn a_missing_snapshot_sequence_is_neither_monotonic_nor_regressed() {
    let order = judge(&json!({}), &fold(&[]), previous(5, 5), false).snapshot;
    assert!(order.missing && !order.monotonic && !order.regressed);
}

#[test]
fn an_empty_batch_forgets_the_last_event() {
    let document = judge(&snapshot(5), &fold(&[]), previous(5, 5), false);
    assert_eq!(document.events.last, None);
    let stored = artifact(json::to_value(&document));
    let next = PreviousSequence::read(&stored, "f", false).expect("own document");
    assert_eq!(next.events, None);
    assert_eq!(next.snapshot, Some(5));
}

#[test]
fn transitions_compare_with_the_last_evaluation() {
    for (was, is, to_drift, recovered) in [
        (false, false, false, false),
        (false, true, true, false),
        (true, true, false, false),
        (true, false, false, true),
    ] {
        let previous = PreviousSequence {
            drift_active: was,
            ..PreviousSequence::default()
        };
        let events = if is { fold(&[None]) } else { fold(&[]) };
        let transition = judge(&snapshot(5), &events, previous, false).transition;
        assert_eq!(transition.previous_drift_active, was);
        assert_eq!(transition.transitioned_to_drift, to_drift);
        assert_eq!(transition.recovered_from_drift, recovered);
    }
}

#[test]
fn files_without_a_document_are_no_previous_state() {
    for nothing in [
        Artifact::Absent,
        blank(),
        malformed(),
        artifact(json!(null)),
    ] {
        let found = PreviousSequence::read(&nothing, "f", false);
        assert_eq!(found, Ok(PreviousSequence::default()));
    }
}

#[test]
fn previous_numbers_that_are_not_digits_are_not_compared() {
    let state =
        json!({"snapshot": {"current": -3}, "events": {"last": "1.5"}, "driftActive": "true"});
    let found = PreviousSequence::read(&artifact(state), "f", false).expect("numbers");
    assert_eq!(
        found,
        PreviousSequence {
            drift_active: true,
            ..PreviousSequence::default()
        }
    );
}

#[test]
fn an_unusable_previous_state_is_an_error_except_from_the_start() {
    for unusable in [
        json!([]),
        json!({"snapshot": 4}),
        json!({"snapshot": {"current": "many"}}),
        json!({"events": {"last": true}}),
    ] {
        let unusable = artifact(unusable);
        let error = PreviousSequence::read(&unusable, "/ops/sequence-state.json", false)
            .expect_err("a wrong type")
            .to_string();
        assert!(error.starts_with("invalid sequence state JSON: /ops/sequence-state.json: "));
        let replayed = PreviousSequence::read(&unusable, "f", true);
        assert_eq!(replayed, Ok(PreviousSequence::default()));
    }
}

#[test]
fn a_replay_is_declared_only_over_a_log_that_has_not_shrunk() {
    let state = |offset: u64| artifact(json!({"cursor": {"eventLineOffset": offset}}));
    let unknown = PreviousSequence::default();
    for (from_start, previous, state, current, declared) in [
        (true, previous(5, 5), Artifact::Absent, snapshot(5), true),
        (true, previous(5, 5), Artifact::Absent, snapshot(9), true),
        (true, previous(5, 5), Artifact::Absent, snapshot(4), false),
        (false, previous(5, 5), Artifact::Absent, snapshot(5), false),
        (true, unknown, Artifact::Absent, snapshot(1), true),
        (true, unknown, state(5), snapshot(4), false),
        (true, unknown, state(5), snapshot(5), true),
        // The order diagnostics know better than the projected position.
        (true, previous(3, 3), state(5), snapshot(4), true),
        (true, previous(5, 5), Artifact::Absent, json!({}), true),
    ] {
        let found = is_declared_replay(from_start, &previous, &state, &current);
        assert_eq!(found, declared, "{previous:?} {current}");
    }
}

#[test]
fn a_declared_replay_is_no_event_regression_but_nothing_else_is_excused() {
    let document = judge(
        &snapshot(5),
        &fold(&[Some(1), Some(5)]),
        previous(5, 5),
        true,
    );
    assert_eq!(document.violations, []);
    assert!(document.events.monotonic_across_batches);
    assert_eq!(document.events.previous_last, Some(5));

    let document = judge(
        &snapshot(5),
        &fold(&[None, Some(3), Some(2)]),
        previous(5, 5),
        true,
    );
    assert_eq!(
        document.violations,
        [V::EventSequenceMissing, V::EventSequenceNonMonotonic]
    );
}

#[test]
fn the_documents_of_order_and_disorder() {
    let ok = judge(
        &snapshot(15),
        &fold(&[Some(14), Some(15)]),
        previous(13, 13),
        false,
    );
    insta::assert_snapshot!("sequence_ok", json::pretty(&ok));
    let broken = judge(
        &snapshot(4),
        &fold(&[Some(3), None]),
        previous(13, 13),
        false,
    );
    insta::assert_snapshot!("sequence_drift", json::pretty(&broken));
    insta::assert_snapshot!("sequence_drift_row", json::pretty(&row(&broken)));
}
