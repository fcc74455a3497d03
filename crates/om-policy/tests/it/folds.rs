//! Folds answer as a scan of the whole journal would.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use om_model::json;
use om_policy::{Execution, HandoffFold, HistoryFold, RING, read_handoff};
use om_store::{Fold, Scope, read_fold};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{executed, fold};

/// A journal in a scope of its own.
struct Journal {
    _folder: TempDir,
    scope: Scope,
    path: PathBuf,
}

impl Journal {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let scope = Scope::open(folder.path().join("fleet")).expect("a scope");
        let path = folder.path().join("rows.jsonl");
        Self {
            _folder: folder,
            scope,
            path,
        }
    }

    fn append(&self, rows: &[Value]) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .expect("opened");
        let text: String = rows.iter().map(|row| json::compact(row) + "\n").collect();
        file.write_all(text.as_bytes()).expect("written");
    }

    fn fold<F: Fold>(&self) -> F {
        read_fold(&self.path, &self.scope).expect("readable")
    }
}

fn history_row(candidate: u8, second: u32, suppressed: bool, eligible: bool) -> Value {
    json!({
        "timestamp": format!("2031-05-06T07:{:02}:{:02}Z", second / 60, second % 60),
        "candidateId": format!("l{candidate}:health_critical"),
        "suppressed": suppressed, "autonomousEligible": eligible,
        "padding": "x".repeat(200),
    })
}

fn handoff_row(second: u32, attempted: u64, failed: u64) -> Value {
    let mut row = executed(0, attempted, 0, failed);
    row["timestamp"] = format!("2031-05-06T07:{:02}:{:02}Z", second / 60, second % 60).into();
    row
}

/// What a scan without any memory finds, in the order of the file.
fn all_of(rows: &[Value]) -> Vec<Execution> {
    let count = |row: &Value, name: &str| row["execution"][name].as_u64().expect("a count");
    let attempted = |row: &&Value| count(row, "executedIntentCount") > 0;
    let execution = |row: &Value| Execution {
        timestamp: json::text(&row["timestamp"]),
        attempted: count(row, "executedIntentCount"),
        requested: count(row, "requestedIntentCount"),
        executed: count(row, "executedCount"),
        ambiguous: count(row, "ambiguousCount"),
        failed: count(row, "failedCount"),
    };
    rows.iter().filter(attempted).map(execution).collect()
}

/// The latest of these by time, oldest first.
fn latest(rows: &[Value], n: usize) -> Vec<Execution> {
    let mut all = all_of(rows);
    all.sort_by(|a, b| a.timestamp.cmp(&b.timestamp));
    all.split_off(all.len().saturating_sub(n))
}

fn latest_of(fold: &HandoffFold, n: usize) -> Vec<Execution> {
    let mut all = fold.executions().to_vec();
    all.sort_by(|a, b| a.timestamp.cmp(&b.timestamp));
    all.split_off(all.len().saturating_sub(n))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_history_read_in_parts_is_the_history_read_at_once(
        rows in prop::collection::vec((0u8..4, 0u32..3600, any::<bool>(), any::<bool>()), 0..300),
        split in 0usize..300,
    ) {
        let rows: Vec<Value> = rows.into_iter().map(|(c, s, x, e)| history_row(c, s, x, e)).collect();
        let journal = Journal::new();
        let split = split.min(rows.len());
        journal.append(&rows[..split]);
        let _: HistoryFold = journal.fold();
        journal.append(&rows[split..]);
        prop_assert_eq!(journal.fold::<HistoryFold>(), fold::<HistoryFold>(&rows));
    }

    #[test]
    fn executions_read_in_parts_are_the_executions_read_at_once(
        rows in prop::collection::vec((0u32..3600, 0u64..3, 0u64..3), 0..2500),
        splits in prop::collection::vec(0usize..2500, 0..3),
        wanted in 1usize..256,
    ) {
        let rows: Vec<Value> = rows.into_iter().map(|(s, a, f)| handoff_row(s, a, f)).collect();
        let journal = Journal::new();
        let mut splits: Vec<usize> = splits.into_iter().map(|at| at.min(rows.len())).collect();
        splits.sort_unstable();
        let mut from = 0;
        for to in splits.into_iter().chain([rows.len()]) {
            journal.append(&rows[from..to]);
            let _: HandoffFold = journal.fold();
            from = to;
        }
        let read: HandoffFold = journal.fold();
        prop_assert_eq!(&read, &fold::<HandoffFold>(&rows));
        prop_assert_eq!(latest_of(&read, wanted), latest(&rows, wanted));
        let in_file = all_of(&rows);
        let n = u64::try_from(wanted).expect("small");
        prop_assert_eq!(read.last(n), &in_file[in_file.len().saturating_sub(wanted)..]);
    }
}

#[test]
fn a_fold_does_not_grow_with_the_journal() {
    let small = json::compact(&fold::<HandoffFold>(&vec![executed(0, 1, 0, 0); 2_000]));
    let large = json::compact(&fold::<HandoffFold>(&vec![executed(0, 1, 0, 0); 20_000]));
    assert!(
        large.len() <= small.len() * 2 && large.len() < 300_000,
        "{}",
        large.len()
    );
    let rows = vec![history_row(1, 1, false, true); 20_000];
    assert!(json::compact(&fold::<HistoryFold>(&rows)).len() < 200);
}

#[test]
fn a_longer_look_back_than_the_fold_remembers_is_answered_by_a_scan() {
    let journal = Journal::new();
    let rows: Vec<Value> = (0..3_000)
        .map(|n| handoff_row(n, u64::from(n) + 1, 0))
        .collect();
    journal.append(&rows);
    for (wanted, known) in [(1, true), (RING, true), (RING + 1, false), (2_999, false)] {
        let saved: HandoffFold = journal.fold();
        assert_eq!(saved.covers(wanted), known, "{wanted}");
        let fold = read_handoff(&journal.path, &journal.scope, wanted).expect("readable");
        let wanted = usize::try_from(wanted).expect("small");
        assert_eq!(latest_of(&fold, wanted), latest(&rows, wanted), "{wanted}");
    }
    let all = read_handoff(&journal.path, &journal.scope, u64::MAX).expect("readable");
    assert_eq!(all.executions().len(), 3_000);
}

#[test]
fn a_short_journal_answers_any_look_back() {
    let journal = Journal::new();
    assert!(
        read_handoff(&journal.path, &journal.scope, u64::MAX)
            .expect("readable")
            .executions()
            .is_empty()
    );
    journal.append(&[executed(1, 1, 0, 0)]);
    let fold = read_handoff(&journal.path, &journal.scope, u64::MAX).expect("readable");
    assert!(fold.covers(u64::MAX));
    assert_eq!(fold.last(u64::MAX).len(), 1);
}

#[test]
fn plans_tell_what_they_left_to_people() {
    let plan = |summary: Value| json!({"category": "fleet_handoff_plan", "timestamp": "t", "summary": summary});
    let fold: HandoffFold = fold(&[
        plan(json!({"summary": {"pendingConfirmationCount": 4}})),
        plan(json!({"summary": {"pendingConfirmationCount": 3, "pendingManualOnlyCount": 2}})),
        plan(json!(null)),
        plan(json!("odd")),
        executed(1, 1, 0, 0),
    ]);
    let told: Vec<_> = fold
        .backlog()
        .iter()
        .map(|b| (b.pending, b.pending_manual_only))
        .collect();
    assert_eq!(told, [(4, None), (3, Some(2)), (0, None), (0, None)]);
}

#[test]
fn only_the_latest_plans_are_kept() {
    let plans: Vec<Value> = (0..2_000)
        .map(|n| json!({"category": "fleet_handoff_plan", "summary": {"summary": {"pendingConfirmationCount": n}}}))
        .collect();
    let fold: HandoffFold = fold(&plans);
    let pending: Vec<u64> = fold.backlog().iter().map(|b| b.pending).collect();
    assert_eq!(pending, (2_000 - RING..2_000).collect::<Vec<_>>());
}

#[test]
fn a_count_of_another_type_makes_the_row_bad() {
    for (count, what) in [
        (
            json!("3"),
            "execution.failedCount is a string, expected a number",
        ),
        (
            json!([3]),
            "execution.failedCount is an array, expected a number",
        ),
        (
            json!(1.5),
            "execution.failedCount is 1.5, expected a whole number",
        ),
        (
            json!(-1),
            "execution.failedCount is -1, expected a whole number",
        ),
    ] {
        let mut row = executed(1, 3, 0, 0);
        row["execution"]["failedCount"] = count;
        let fold: HandoffFold = fold(&[row]);
        assert_eq!(fold.bad_row().map(|bad| bad.what.as_str()), Some(what));
    }
    for execution in [json!([]), json!(["autonomous", 3, 3]), json!("x"), json!(7)] {
        let row = json!({"category": "fleet_handoff_execute", "execution": execution});
        assert!(
            fold::<HandoffFold>(&[row]).bad_row().is_some(),
            "{execution}"
        );
    }
    let manual = json!({"category": "fleet_handoff_execute", "execution": {"mode": "manual", "failedCount": "3"}});
    assert_eq!(
        fold::<HandoffFold>(&[manual]).bad_row(),
        None,
        "nobody counts it"
    );
}

#[test]
fn a_repair_of_a_bad_row_is_noticed_even_if_the_length_stays() {
    let journal = Journal::new();
    let rows: Vec<Value> = (0..200).map(|n| history_row(1, n, false, true)).collect();
    journal.append(&rows);
    let sound = fs::read_to_string(&journal.path).expect("readable");
    let damaged = sound.replacen("{\"timestamp\"", "[\"timestamp\"", 1);
    fs::write(&journal.path, &damaged).expect("written");
    let fold: HistoryFold = journal.fold();
    assert_eq!(fold.bad_row().map(|bad| bad.offset), Some(0));
    fs::write(&journal.path, sound).expect("repaired");
    assert_eq!(journal.fold::<HistoryFold>().bad_row(), None);
}
