//! Old rows go to archives, and everything is decided as before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use om_handoff::dispatch_fold::DispatchFold;
use om_handoff::prune::{Prune, Pruned, prune};
use om_model::{LoopId, Timestamp};
use om_policy::{HandoffFold, HistoryFold};
use om_store::{FleetFile, Fold, LoopFile, RepoLayout, Scope, read_fold};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::at;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn layout(&self) -> RepoLayout {
        RepoLayout::new(self.folder.path().to_owned())
    }

    fn fleet(&self, file: FleetFile) -> PathBuf {
        self.layout().fleet_files().path(file)
    }

    fn of_loop(&self, file: LoopFile) -> PathBuf {
        let id = LoopId::new("nightly").expect("an id");
        self.layout().loop_files(&id).path(file)
    }

    fn work(&self, before: &str) -> Prune {
        Prune {
            layout: self.layout(),
            loops: vec![LoopId::new("nightly").expect("an id")],
            before: at(before),
            label: "1".to_owned(),
            lookback: 10,
            dry_run: false,
        }
    }

    fn prune(&self, before: &str) -> BTreeMap<String, Pruned> {
        by_name(prune(&self.work(before), &mut |_| ()).expect("pruned"))
    }

    fn fold<F: Fold>(&self, file: FleetFile) -> F {
        let scope = Scope::open(self.layout().fleet_scope_dir()).expect("opened");
        read_fold(&self.fleet(file), &scope).expect("read")
    }
}

fn by_name(all: Vec<Pruned>) -> BTreeMap<String, Pruned> {
    let name = |pruned: &Pruned| {
        let name = pruned.journal.file_name().expect("a name");
        name.to_string_lossy().into_owned()
    };
    all.into_iter()
        .map(|pruned| (name(&pruned), pruned))
        .collect()
}

fn write(path: &Path, rows: &[Value]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    let text = rows.join("\n") + "\n";
    fs::write(path, text).expect("written");
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The rows of a journal and of its archive, sorted.
fn all_rows(journal: &Path) -> Vec<String> {
    let archive = format!("{}.archive-1.jsonl", journal.display());
    let mut rows = lines(journal);
    rows.extend(lines(Path::new(&archive)));
    rows.sort();
    rows
}

/// Day 1, 2, … of a month.
fn day(day: i64) -> String {
    let first = at("2031-05-01T00:00:00Z").epoch_seconds();
    Timestamp::from_epoch_seconds(first + (day - 1) * 86_400).to_string()
}

#[test]
fn old_rows_go_and_the_last_one_stays() {
    let place = Place::new();
    let journal = place.fleet(FleetFile::ReconcileRows);
    let rows: Vec<Value> = (1..=4).map(|n| json!({"timestamp": day(n)})).collect();
    write(&journal, &rows);
    let before = all_rows(&journal);
    let pruned = &place.prune(&day(3))["reconcile.jsonl"];
    assert_eq!((pruned.rows, pruned.archived, pruned.needed), (4, 2, 0));
    assert_eq!(lines(&journal).len(), 2);
    assert_eq!(all_rows(&journal), before, "every row is there once");
    let again = &place.prune(&day(99))["reconcile.jsonl"];
    assert_eq!((again.archived, again.needed), (1, 1), "the last one stays");
    let second = format!("{}.archive-1-2.jsonl", journal.display());
    assert_eq!(again.archive.as_deref(), Some(Path::new(&second)));
    assert_eq!(lines(&journal).len(), 1);
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let place = Place::new();
    let journal = place.fleet(FleetFile::PolicyRows);
    let rows: Vec<Value> = (1..=4).map(|n| json!({"timestamp": day(n)})).collect();
    write(&journal, &rows);
    let work = Prune {
        dry_run: true,
        ..place.work(&day(3))
    };
    let tried = by_name(prune(&work, &mut |_| ()).expect("pruned"));
    assert_eq!(lines(&journal).len(), 4);
    assert_eq!(tried, place.prune(&day(3)));
    assert_eq!(lines(&journal).len(), 2);
}

#[test]
fn cooldowns_auto_pause_and_keys_are_as_before() {
    let place = Place::new();
    let history: Vec<Value> = (1..=300)
        .map(|n| {
            json!({"timestamp": day(n), "candidateId": format!("c{}", n * n % 7),
                "suppressed": n % 3 == 0, "autonomousEligible": n % 5 == 0})
        })
        .collect();
    write(&place.fleet(FleetFile::PolicyHistory), &history);
    let handoff: Vec<Value> = (1..=6_000)
        .map(|n| {
            let category = if n % 2 == 0 { "fleet_handoff_plan" } else { "fleet_handoff_execute" };
            json!({"timestamp": day(n % 300 + 1), "category": category,
                "execution": {"mode": "autonomous", "requestedIntentCount": 2, "failedCount": n % 2},
                "summary": {"summary": {"pendingConfirmationCount": n}}})
        })
        .collect();
    write(&place.fleet(FleetFile::HandoffRows), &handoff);
    let rows: Vec<Value> = (1..=60).flat_map(dispatch).collect();
    write(&place.fleet(FleetFile::HandoffDispatch), &rows);
    let files = [
        FleetFile::PolicyHistory,
        FleetFile::HandoffRows,
        FleetFile::HandoffDispatch,
    ];
    let rows = files.map(|file| all_rows(&place.fleet(file)));
    let seen: HistoryFold = place.fold(FleetFile::PolicyHistory);
    let executed: HandoffFold = place.fold(FleetFile::HandoffRows);
    let dispatched: DispatchFold = place.fold(FleetFile::HandoffDispatch);

    let pruned = place.prune(&day(999));
    for name in [
        "policy-history.jsonl",
        "handoff.jsonl",
        "handoff-dispatch.jsonl",
    ] {
        assert!(
            pruned[name].archived > 0 && pruned[name].needed > 0,
            "{name}"
        );
    }
    assert_eq!(files.map(|file| all_rows(&place.fleet(file))), rows);
    assert_eq!(place.fold::<HistoryFold>(FleetFile::PolicyHistory), seen);
    assert_eq!(
        place.fold::<DispatchFold>(FleetFile::HandoffDispatch),
        dispatched
    );
    let now: HandoffFold = place.fold(FleetFile::HandoffRows);
    assert_eq!(now.last(256), executed.last(256));
    assert_eq!(now.backlog(), executed.backlog());
}

/// A dispatch with its outcome; each intent has more keys than are remembered.
fn dispatch(number: i64) -> Vec<Value> {
    let row = |phase: &str| {
        json!({"timestamp": day(number), "dispatchId": format!("d{number}"), "handoffId": "h",
            "phase": phase, "mode": "manual", "intentId": format!("i{}", number % 3),
            "loopId": "nightly", "intent": "cancel", "idempotencyKey": format!("k{}", number / 6),
            "attempt": 1, "traceId": "t", "requestedBy": "dana", "autonomousEligible": false,
            "evaluation": {"sha256": format!("{}", number / 3)},
            "status": if phase == "outcome" && number < 13 { json!("executed") } else { json!(null) }})
    };
    match number {
        // Its outcome is unknown yet.
        1 => vec![row("intent")],
        _ => vec![row("intent"), row("outcome")],
    }
}

#[test]
fn a_loop_keeps_a_thousand_rows() {
    let place = Place::new();
    let journal = place.of_loop(LoopFile::HeartbeatRows);
    let rows: Vec<Value> = (1..=1_200)
        .map(|n| json!({"timestamp": day(1), "n": n}))
        .collect();
    write(&journal, &rows);
    let pruned = &place.prune(&day(9))["heartbeat.jsonl"];
    assert_eq!((pruned.archived, pruned.needed), (200, 1_000));
    assert!(lines(&journal)[0].contains("\"n\":201"));
}

#[test]
fn rows_without_a_time_stay_and_a_row_that_is_none_keeps_everything() {
    let place = Place::new();
    let journal = place.fleet(FleetFile::PromotionRows);
    write(
        &journal,
        &[
            json!({}),
            json!({"timestamp": "soon"}),
            json!({"timestamp": day(1)}),
            json!({}),
        ],
    );
    let pruned = &place.prune(&day(9))["promotion.jsonl"];
    assert_eq!(pruned.archived, 1);
    fs::write(
        &journal,
        format!("{{\"timestamp\":\"{}\"}}\n{{\n{{}}\n", day(1)),
    )
    .expect("written");
    let pruned = &place.prune(&day(9))["promotion.jsonl"];
    let error = pruned.error.as_deref().expect("is left alone");
    assert!(error.starts_with("line 2: "), "{error}");
    assert_eq!(lines(&journal).len(), 3);
}

#[test]
fn dispatches_of_a_run_that_died_are_not_touched() {
    let place = Place::new();
    let journal = place.fleet(FleetFile::HandoffDispatch);
    write(&journal, &dispatch(2));
    fs::write(place.fleet(FleetFile::HandoffPending), "{}").expect("written");
    let pruned = &place.prune(&day(9))["handoff-dispatch.jsonl"];
    let error = pruned.error.as_deref().expect("is left alone");
    assert!(
        error.starts_with("a handoff that died is not recorded yet"),
        "{error}"
    );
    assert_eq!(lines(&journal).len(), 2);
}

#[test]
fn journals_of_which_every_row_counts_are_left_alone() {
    let place = Place::new();
    let files = [
        place.fleet(FleetFile::PolicyGovernance),
        place.fleet(FleetFile::PromotionApplyRows),
        place.fleet(FleetFile::PromotionControllerRows),
        place.fleet(FleetFile::HorizonRows),
        place.of_loop(LoopFile::Escalations),
        place.of_loop(LoopFile::Intents),
        place.of_loop(LoopFile::ControlInvocations),
    ];
    let rows = [json!({"timestamp": day(1)}), json!({"timestamp": day(1)})];
    for file in &files {
        write(file, &rows);
    }
    assert!(place.prune(&day(9)).is_empty());
    for file in &files {
        assert_eq!(lines(file).len(), 2, "{}", file.display());
    }
}
