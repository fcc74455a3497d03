//! Records that are damaged after they were written, and a log that once was
//! large.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use om_store::disk::{Disk, RealDisk, SyncKind};
use om_store::{Commit, CommitError, Recovery, Scope};
use rustix::io::Errno;

use crate::hooked::{Fate, Hooked};
use crate::random::Random;
use crate::simulated::Simulated;

const SECTOR: usize = 512;

/// Offsets of the records in a log.
fn records(log: &[u8]) -> Vec<usize> {
    (SECTOR..log.len())
        .step_by(SECTOR)
        .filter(|at| log[*at..].starts_with(b"omredo1\n"))
        .collect()
}

fn names_log(recovery: &Recovery, log: &Path) -> bool {
    recovery
        .foreign
        .iter()
        .any(|edit| edit.path == log && edit.what.contains("damaged"))
}

/// A scope with a commit that is recorded, and whose rows were refused.
fn unapplied(dir: &Path) -> Scope {
    let commit = |text: &str| Commit::new().row(dir.join("rows.jsonl"), text);
    let scope = Scope::open(dir).expect("opened");
    scope.commit(commit("first")).expect("committed");
    let counter = Arc::new(Hooked::new(|_| Fate::Go));
    let run = |hooked: &Arc<Hooked>, text: &str| {
        let disk = Arc::clone(hooked) as Arc<dyn Disk>;
        let scope = Scope::open_on(dir, disk, 1 << 20).expect("opened");
        scope.commit(commit(text))
    };
    run(&counter, "second").expect("committed");
    // The last operations: rows, position.
    let rows = counter.count() - 2;
    let failing = Arc::new(Hooked::new(move |at| {
        if at == rows {
            Fate::Fail(Errno::IO)
        } else {
            Fate::Go
        }
    }));
    let error = run(&failing, "third").expect_err("refused");
    assert!(
        matches!(error, CommitError::ApplyIncomplete { .. }),
        "{error}"
    );
    scope
}

#[test]
fn a_record_that_is_damaged_before_it_was_applied_is_reported_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let log = dir.join(".store/redo.log");
    // Somewhere in its header, and in its rows.
    for (number, place) in [(1, 30), (2, 88)] {
        let scope = unapplied(&dir);
        let mut bytes = fs::read(&log).expect("readable");
        let at = records(&bytes).into_iter().next_back().expect("a record");
        bytes[at + place] ^= 1;
        fs::write(&log, &bytes).expect("damaged");
        let recovery = scope.recover().expect("recovered");
        assert!(names_log(&recovery, &log), "{recovery:?}");
        let kept = fs::read(dir.join(format!(".store/damaged-{number}"))).expect("kept");
        assert_eq!(kept, bytes[at..at + kept.len()]);
        assert!(kept.len() >= SECTOR);
        assert_eq!(scope.recover().expect("recovered"), Recovery::default());
        let row = format!("later {number}");
        scope
            .commit(Commit::new().row(dir.join("rows.jsonl"), &*row))
            .expect("committed");
    }
    let rows = fs::read_to_string(dir.join("rows.jsonl")).expect("readable");
    assert_eq!(rows, "first\nsecond\nlater 1\nfirst\nsecond\nlater 2\n");
}

#[test]
fn the_receipt_of_the_next_commit_reports_a_damaged_record_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let log = dir.join(".store/redo.log");
    let scope = unapplied(&dir);
    let mut bytes = fs::read(&log).expect("readable");
    let at = records(&bytes).into_iter().next_back().expect("a record");
    bytes[at] = 0;
    fs::write(&log, &bytes).expect("damaged");
    let receipt = scope
        .commit(Commit::new().row(dir.join("rows.jsonl"), "later"))
        .expect("committed");
    assert!(receipt.foreign.iter().any(|edit| edit.path == log));
}

#[test]
fn commits_behind_a_damaged_record_survive_a_power_loss() {
    let dir = PathBuf::from("/repo/.superloop/ops-manager/one");
    let (journal, log) = (dir.join("rows.jsonl"), dir.join(".store/redo.log"));
    for seed in 0..20 {
        let disk = Arc::new(Simulated::new());
        let open = || {
            let disk = Arc::clone(&disk) as Arc<dyn Disk>;
            Scope::open_on(&dir, disk, 1 << 20).expect("opened")
        };
        for text in ["first", "second", "third", "fourth"] {
            let commit = Commit::new()
                .row(&journal, text)
                .document(dir.join("a.json"), text);
            open().commit(commit).expect("committed");
        }
        let bytes = disk.content(&log).expect("there");
        let all = records(&bytes);
        let second = all[1] as u64;
        disk.write_at(&log, second + 40, b"damage")
            .expect("written");
        // The position survives, or nobody could know about the record.
        for path in [&log, &dir.join(".store/redo.head"), &dir.join(".store")] {
            disk.sync(path, SyncKind::Everything).expect("synced");
        }
        disk.reboot(&mut Random::new(seed));
        let recovery = open().recover().expect("recovered");
        assert!(names_log(&recovery, &log), "seed {seed}: {recovery:?}");
        assert!(disk.content(&dir.join(".store/damaged-1")).is_some());
        let rows = disk.content(&journal).expect("there");
        let rows = String::from_utf8(rows).expect("text");
        for text in ["first", "third", "fourth"] {
            let count = rows.lines().filter(|row| *row == text).count();
            assert_eq!(count, 1, "seed {seed}: {text} in {rows}");
        }
        let document = disk.content(&dir.join("a.json"));
        assert_eq!(document.as_deref(), Some(&b"fourth"[..]), "seed {seed}");
        assert_eq!(open().recover().expect("recovered"), Recovery::default());
    }
}

#[test]
fn a_damaged_record_is_reported_when_a_checkpoint_meets_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let log = dir.join(".store/redo.log");
    let commit = |text: &str| Commit::new().row(dir.join("rows.jsonl"), text);
    let scope = Scope::open(&dir).expect("opened");
    for text in ["first", "second"] {
        scope.commit(commit(text)).expect("committed");
    }
    let mut bytes = fs::read(&log).expect("readable");
    let at = records(&bytes)[0];
    bytes[at] = 0;
    fs::write(&log, &bytes).expect("damaged");
    let tiny = Scope::open_on(&dir, Arc::new(RealDisk), 1).expect("opened");
    let receipt = tiny.commit(commit("third")).expect("committed");
    assert!(receipt.foreign.iter().any(|edit| edit.path == log));
    let receipt = tiny.commit(commit("fourth")).expect("committed");
    assert_eq!(receipt.foreign, []);
}

#[test]
fn a_log_gives_back_the_space_of_a_large_record_at_a_later_checkpoint() {
    const LARGE: u64 = 20 * 1024 * 1024;
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let log = dir.join(".store/redo.log");
    let scope = Scope::open_on(&dir, Arc::new(RealDisk), 4096).expect("opened");
    let commit = |number: usize| Commit::new().row(dir.join("rows.jsonl"), number.to_string());
    scope.commit(commit(0)).expect("committed");
    // As a large record leaves it.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .expect("opened");
    file.set_len(LARGE).expect("set");
    for number in 1..40 {
        scope.commit(commit(number)).expect("committed");
    }
    let length = fs::metadata(&log).expect("there").len();
    assert!(length <= LARGE / 16, "{length}");
    let rows = fs::read_to_string(dir.join("rows.jsonl")).expect("readable");
    assert_eq!(rows.lines().count(), 40);
}
