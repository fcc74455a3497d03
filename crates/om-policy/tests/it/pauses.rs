//! Whether autonomy is paused (§1.4.4, decisions D1 and D18).

use om_model::fleet::policy::Pause;
use om_model::fleet::registry::Rollout;
use om_model::json;
use om_policy::HandoffFold;
use om_policy::pause::pause;
use serde_json::{Number, Value, json};

use crate::support::{Fleet, NOW, ago, at, executed, fold, names};

fn judged(rollout: &Rollout, rows: &[Value]) -> Pause {
    let fold: HandoffFold = fold(rows);
    pause(rollout, fold.executions(), at(NOW))
}

fn threshold(value: f64) -> Number {
    Number::from_f64(value).expect("finite")
}

#[test]
fn which_spikes_pause() {
    const AMBIGUOUS: &str = "autonomous_autopause_ambiguous_spike";
    const FAILED: &str = "autonomous_autopause_failure_spike";
    // Attempts, ambiguous, failed; minimum 3, thresholds 0.4.
    for (attempted, ambiguous, failed, spikes) in [
        (0, 0, 0, &[][..]),
        (2, 2, 2, &[]),
        (3, 0, 0, &[]),
        (3, 1, 1, &[]),
        (3, 2, 0, &[AMBIGUOUS]),
        (3, 0, 2, &[FAILED]),
        (5, 2, 1, &[AMBIGUOUS]),
        (5, 1, 2, &[FAILED]),
        (5, 2, 2, &[AMBIGUOUS, FAILED]),
    ] {
        let pause = judged(
            &Rollout::default(),
            &[executed(5, attempted, ambiguous, failed)],
        );
        let case = (attempted, ambiguous, failed);
        assert_eq!(names(&pause.auto.reasons), spikes, "{case:?}");
        assert_eq!(pause.auto.active, !spikes.is_empty(), "{case:?}");
        assert_eq!(pause.active, pause.auto.active, "{case:?}");
    }
}

#[test]
fn a_threshold_of_zero_fires_once_the_sample_is_large_enough() {
    let mut rollout = Rollout::default();
    rollout.auto_pause.failure_rate_threshold = threshold(0.0);
    assert!(!judged(&rollout, &[executed(5, 2, 0, 0)]).active);
    assert!(judged(&rollout, &[executed(5, 3, 0, 0)]).active);
}

#[test]
fn a_rate_is_a_double_in_its_shortest_form() {
    for (attempted, failed, text) in [
        (3, 1, "0.3333333333333333"),
        (3, 2, "0.6666666666666666"),
        (3, 3, "1"),
        (3, 0, "0"),
        (0, 0, "0"),
        (10, 4, "0.4"),
    ] {
        let rows = [executed(5, attempted, 0, failed)];
        let metrics = judged(&Rollout::default(), &rows).auto.metrics;
        assert_eq!(json::compact(&metrics.failure_rate), text);
    }
}

#[test]
fn a_person_and_the_outcomes_pause_independently() {
    let bad = [executed(5, 3, 0, 3)];
    for (manual, rows, reasons) in [
        (false, &[][..], &[][..]),
        (true, &[], &["autonomous_rollout_paused_manual"]),
        (false, &bad, &["autonomous_rollout_paused_auto"]),
        (
            true,
            &bad,
            &[
                "autonomous_rollout_paused_auto",
                "autonomous_rollout_paused_manual",
            ],
        ),
    ] {
        let mut rollout = Rollout::default();
        rollout.pause.manual = manual;
        let pause = judged(&rollout, rows);
        assert_eq!(names(&pause.reasons), reasons);
        assert_eq!((pause.active, pause.manual), (!reasons.is_empty(), manual));
    }
}

#[test]
fn a_disabled_auto_pause_counts_but_never_pauses() {
    let mut rollout = Rollout::default();
    rollout.auto_pause.enabled = false;
    let pause = judged(&rollout, &[executed(5, 3, 0, 3)]);
    assert!(!pause.active && !pause.auto.active && !pause.auto.enabled);
    assert_eq!(pause.auto.metrics.failed_count, 3);
}

#[test]
fn only_autonomous_executions_count() {
    for (member, value) in [
        ("/category", json!("fleet_handoff_plan")),
        ("/category", json!(null)),
        ("/execution/mode", json!("manual")),
        ("/execution/mode", json!(null)),
        ("/execution", json!(null)),
    ] {
        let mut row = executed(5, 3, 0, 3);
        *row.pointer_mut(member).expect("is there") = value.clone();
        let pause = judged(&Rollout::default(), &[row]);
        assert_eq!(
            pause.auto.metrics.window_execution_count, 0,
            "{member} {value}"
        );
    }
}

#[test]
fn how_attempts_are_counted() {
    for (executed_count, requested, attempted) in [
        (json!(4), json!(9), 4),
        (json!(null), json!(9), 9),
        (json!(false), json!(9), 9),
        (json!(0), json!(9), 0),
        (json!(4.0), json!(null), 4),
        (json!(null), json!(null), 0),
    ] {
        let mut row = executed(5, 1, 0, 0);
        row["execution"]["executedIntentCount"] = executed_count.clone();
        row["execution"]["requestedIntentCount"] = requested.clone();
        let metrics = judged(&Rollout::default(), &[row]).auto.metrics;
        assert_eq!(
            metrics.attempted_count, attempted,
            "{executed_count} {requested}"
        );
    }
}

#[test]
fn the_window_is_the_latest_by_time_whatever_their_order() {
    let rollout = Rollout::default();
    let mut rows: Vec<Value> = (1..=5).map(|n| executed(n, 1, 0, 0)).collect();
    rows.push(executed(900, 10, 0, 10));
    let metrics = judged(&rollout, &rows).auto.metrics;
    assert_eq!(
        (metrics.window_execution_count, metrics.failed_count),
        (5, 0)
    );

    rows.remove(0);
    assert_eq!(judged(&rollout, &rows).auto.metrics.failed_count, 10);
}

#[test]
fn of_equal_times_the_last_in_the_file_count_and_none_is_the_oldest() {
    let mut rollout = Rollout::default();
    rollout.auto_pause.lookback_executions = 2;
    let rows = [
        executed(5, 1, 0, 1),
        executed(5, 1, 0, 0),
        executed(5, 1, 0, 0),
    ];
    assert_eq!(judged(&rollout, &rows).auto.metrics.failed_count, 0);
    for timestamp in [json!(null), json!(5)] {
        let mut timeless = executed(5, 9, 0, 9);
        timeless["timestamp"] = timestamp;
        let rows = [executed(5, 1, 0, 0), executed(5, 1, 0, 0), timeless];
        assert_eq!(judged(&rollout, &rows).auto.metrics.failed_count, 0);
    }
}

#[test]
fn executions_that_attempted_nothing_do_not_push_others_out() {
    let mut rows = vec![executed(100, 3, 0, 3)];
    rows.extend((0..10).map(|n| executed(10 - n, 0, 0, 0)));
    let pause = judged(&Rollout::default(), &rows);
    assert!(pause.auto.active);
    assert_eq!(pause.auto.metrics.window_execution_count, 1);
}

#[test]
fn a_clearance_lets_earlier_executions_go() {
    let bad = [executed(100, 3, 0, 3)];
    for (cleared, active) in [
        (None, true),
        (Some(101), true),
        (Some(100), true),
        (Some(99), false),
        (Some(0), false),
        // Dated ahead: not yet.
        (Some(-60), true),
    ] {
        let mut rollout = Rollout::default();
        rollout.auto_pause.cleared_at = cleared.map(ago);
        assert_eq!(judged(&rollout, &bad).auto.active, active, "{cleared:?}");
    }
    let mut rollout = Rollout::default();
    rollout.auto_pause.cleared_at = Some(ago(50));
    let rows = [executed(100, 3, 0, 3), executed(10, 3, 0, 3)];
    assert_eq!(
        judged(&rollout, &rows).auto.metrics.attempted_count,
        3,
        "a new spike pauses again"
    );
}

#[test]
fn the_pause_is_told_in_every_mode_and_without_candidates() {
    for mut fleet in [Fleet::advisory(json!([])), Fleet::auto(json!([]))] {
        fleet.policy.autonomous.rollout.pause.manual = true;
        fleet.handoff = vec![executed(5, 3, 3, 0)];
        let pause = fleet.state().autonomous.rollout.pause;
        assert!(pause.active && pause.manual && pause.auto.active);
        assert_eq!(pause.auto.metrics.ambiguous_count, 3);
    }
}
