//! Others append to our journals at the same time, without any lock and
//! without ending their lines.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use om_store::disk::Disk;
use om_store::{Commit, Scope};

use crate::hooked::{Fate, Hooked};

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("opened");
    file.write_all(bytes).expect("written");
}

/// Each of `rows` is a line of its own exactly once.
fn assert_once(journal: &Path, rows: &[String], what: &str) {
    let content = fs::read_to_string(journal).expect("readable");
    for row in rows {
        let count = content.lines().filter(|line| line == row).count();
        assert_eq!(count, 1, "{what}: {row} in\n{content}");
    }
}

/// As after a reboot: everything in the log is examined again.
fn examine_everything(dir: &Path) {
    fs::remove_file(dir.join(".store/redo.head")).expect("removed");
    let recovery = Scope::open(dir).expect("opened").recover();
    assert!(recovery.expect("recovered").examined > 0);
}

/// A commit of three rows, with `piece` appended before the operations that
/// `when` chooses; how many operations there were.
fn commit_with_pieces(
    what: &str,
    piece: &'static str,
    when: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let journal = dir.join("rows.jsonl");
    Scope::open(&dir)
        .expect("opened")
        .commit(Commit::new().row(&journal, "first"))
        .expect("committed");
    let torn = journal.clone();
    let hooked = Arc::new(Hooked::new(move |position| {
        if when(position) {
            append(&torn, piece.as_bytes());
        }
        Fate::Go
    }));
    let disk = Arc::clone(&hooked) as Arc<dyn Disk>;
    let rows: Vec<String> = ["r1", "r2", "r3"].map(str::to_owned).into();
    let commit = rows.iter().fold(Commit::new(), |commit, row| {
        commit.row(&journal, row.clone())
    });
    let scope = Scope::open_on(&dir, disk, 1 << 20).expect("opened");
    scope.commit(commit).expect("committed");
    assert_once(&journal, &rows, what);
    examine_everything(&dir);
    assert_once(&journal, &rows, what);
    hooked.count()
}

#[test]
fn a_piece_of_a_line_at_any_moment_of_a_commit_leaves_every_row_whole_and_once() {
    for piece in ["torn", "whole\n", "r", "\n"] {
        for at in 0.. {
            let what = format!("{piece:?} at {at}");
            if commit_with_pieces(&what, piece, move |position| position == at) <= at {
                break;
            }
        }
    }
}

#[test]
fn pieces_of_lines_before_every_operation_leave_every_row_whole_and_once() {
    for from in 0..12 {
        commit_with_pieces(&format!("from {from}"), "torn", move |at| at >= from);
    }
}

#[test]
fn a_writer_that_never_ends_its_lines_costs_no_row() {
    const COMMITS: usize = 150;
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let scope = Scope::open(&dir).expect("opened");
    let journal: PathBuf = dir.join("rows.jsonl");
    let done = AtomicBool::new(false);
    let mut rows = Vec::new();
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&journal)
                .expect("opened");
            while !done.load(Ordering::SeqCst) {
                file.write_all(b"~").expect("written");
                // Not at full speed, or there is little but pieces.
                thread::yield_now();
            }
        });
        for number in 0..COMMITS {
            let pair = [format!("{number} a"), format!("{number} b")];
            let commit = pair.iter().fold(Commit::new(), |commit, row| {
                commit.row(&journal, row.clone())
            });
            scope.commit(commit).expect("committed");
            rows.extend(pair);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_once(&journal, &rows, "at the end");
    examine_everything(&dir);
    assert_once(&journal, &rows, "after everything was examined again");
}
