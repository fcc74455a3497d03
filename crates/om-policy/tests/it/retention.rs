//! Rows that are not needed may go: evaluations come to the same.

use std::collections::BTreeSet;

use om_policy::retention::{HandoffRetention, HistoryRetention, KEPT_EXECUTIONS};
use om_policy::{HandoffFold, HistoryFold};
use om_store::Fold;
use proptest::prelude::*;
use serde_json::json;

fn folded<F: Fold>(rows: &[String], kept: impl Fn(u64) -> bool) -> F {
    let mut fold = F::default();
    for (offset, row) in (0..).zip(rows) {
        if kept(offset) {
            fold.add(row.as_bytes(), offset);
        }
    }
    fold
}

fn history_row() -> impl Strategy<Value = String> {
    (0..4_u8, 0..6_u8, any::<bool>(), any::<bool>()).prop_map(|(id, at, suppressed, eligible)| {
        let timestamp = match at {
            5 => "yesterday".to_owned(),
            at => format!("2031-01-0{}T00:00:00Z", at + 1),
        };
        json!({"candidateId": format!("c{id}"), "timestamp": timestamp,
            "suppressed": suppressed, "autonomousEligible": eligible})
        .to_string()
    })
}

proptest! {
    #[test]
    fn the_needed_rows_of_the_history_give_the_same_fold(
        rows in prop::collection::vec(history_row(), 0..60),
        also in prop::collection::btree_set(0..60_u64, 0..20),
    ) {
        let mut retention = HistoryRetention::default();
        for (offset, row) in (0..).zip(&rows) {
            retention.see(row.as_bytes(), offset).expect("a row");
        }
        let needed: BTreeSet<u64> = retention.needed();
        prop_assert!(needed.len() <= 8);
        let whole: HistoryFold = folded(&rows, |_| true);
        let kept = folded(&rows, |at| needed.contains(&at) || also.contains(&at));
        prop_assert_eq!(whole, kept);
    }
}

fn handoff_row(second: u64) -> String {
    let category = match second % 3 {
        0 => "fleet_handoff_plan",
        _ => "fleet_handoff_execute",
    };
    // Clocks jump backwards.
    let shown = (second * 7_919) % 100_000;
    json!({"category": category, "timestamp": format!("2031-01-01T{shown:06}Z"),
        "execution": {"mode": "autonomous", "requestedIntentCount": 1, "failedCount": second % 2},
        "summary": {"summary": {"pendingConfirmationCount": second}}})
    .to_string()
}

#[test]
fn the_needed_rows_of_handoff_give_the_same_windows() {
    let rows: Vec<String> = (0..8_000).map(handoff_row).collect();
    let mut retention = HandoffRetention::new(10);
    for (offset, row) in (0..).zip(&rows) {
        retention.see(row.as_bytes(), offset).expect("a row");
    }
    let needed = retention.needed();
    assert!(needed.len() < 3 * 1_024 + 1, "{}", needed.len());
    let whole: HandoffFold = folded(&rows, |_| true);
    let kept: HandoffFold = folded(&rows, |at| needed.contains(&at));
    let latest = |fold: &HandoffFold, count: usize| {
        let mut all = fold.executions().to_vec();
        all.sort_by(|a, b| b.timestamp.cmp(&a.timestamp));
        all.truncate(count);
        all
    };
    for count in [1, 10, 256] {
        assert_eq!(whole.last(count), kept.last(count), "by file");
        let count = usize::try_from(count).expect("small");
        assert_eq!(latest(&whole, count), latest(&kept, count), "by time");
    }
    assert_eq!(whole.backlog(), kept.backlog());
    const { assert!(KEPT_EXECUTIONS >= 1_024) };
}

#[test]
fn a_longer_look_back_keeps_more() {
    let rows: Vec<String> = (0..3_000).map(|n| handoff_row(3 * n + 1)).collect();
    let needed = |lookback| {
        let mut retention = HandoffRetention::new(lookback);
        for (offset, row) in (0..).zip(&rows) {
            retention.see(row.as_bytes(), offset).expect("a row");
        }
        retention.needed().len()
    };
    assert!(needed(2) < 3_000);
    assert_eq!(needed(3_000), 3_000);
}

#[test]
fn a_row_that_cannot_be_read_is_told() {
    HistoryRetention::default()
        .see(b"{", 0)
        .expect_err("is told");
    HandoffRetention::new(1).see(b"5", 0).expect_err("is told");
}
