//! A process that is killed at any operation leaves the state from before or
//! after its commit, once the next writer has recovered.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use om_store::disk::{Disk, RealDisk};
use om_store::{Commit, Scope};

use crate::hooked::{Fate, Hooked};
use crate::model::{Model, Unique, document_paths, journal_paths};
use crate::random::Random;
use crate::shapes::{Shape, assert_swept, tree};

/// Tells a child what to run: `<what>|<operation>|<half>|<folder>`, where
/// `<what>` is the name of a shape or the number of a random commit.
const CHILD: &str = "OM_STORE_TEST_CHILD";

/// Where children run; nothing happens here in the parent.
#[test]
fn child_of_the_kill_tests() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = task.splitn(4, '|');
    let mut next = || parts.next().expect("a part").to_owned();
    let (what, at, half) = (
        next(),
        next().parse::<usize>().expect("a number"),
        next() == "half",
    );
    let folder = next();
    let fatal = if half { Fate::DieHalfway } else { Fate::Die };
    let disk: Arc<dyn Disk> = Arc::new(Hooked::new(
        move |position| if position == at { fatal } else { Fate::Go },
    ));
    match what.parse::<u64>() {
        Ok(first) => commit_until_killed(&disk, Path::new(&folder), first),
        Err(_) => Shape::named(&what)
            .run(Path::new(&folder), &disk)
            .expect("committed"),
    }
}

/// Runs `what` in a child that dies at operation `at`; whether it did.
fn dies(what: &str, folder: &Path, at: usize, half: bool) -> bool {
    let half = if half { "half" } else { "whole" };
    let status = Command::new(std::env::current_exe().expect("own path"))
        .args([
            "--exact",
            "kills::child_of_the_kill_tests",
            "--test-threads=1",
        ])
        .env(CHILD, format!("{what}|{at}|{half}|{}", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("started");
    assert!(
        status.success() || status.signal() == Some(9),
        "{what} at {at}: {status}"
    );
    !status.success()
}

type Trees = Vec<Vec<(PathBuf, String)>>;

fn trees(shape: Shape, ops: &Path) -> Trees {
    shape
        .scopes()
        .iter()
        .map(|name| tree(&ops.join(name)))
        .collect()
}

/// The trees before and after an undisturbed run.
fn before_and_after(shape: Shape) -> (Trees, Trees) {
    let folder = tempfile::tempdir().expect("a folder");
    shape.prepare(folder.path());
    let before = trees(shape, folder.path());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    shape.run(folder.path(), &disk).expect("committed");
    (before, trees(shape, folder.path()))
}

/// Kills `shape` at every operation, until it comes to its end.
fn killed_at_every_operation(shape: Shape, half: bool) {
    let (before, after) = before_and_after(shape);
    assert_ne!(before, after);
    for at in 0.. {
        let folder = tempfile::tempdir().expect("a folder");
        let ops = folder.path();
        shape.prepare(ops);
        let died = dies(&shape.name(), ops, at, half);
        for (position, name) in shape.scopes().iter().enumerate() {
            let dir = ops.join(name);
            let scope = Scope::open(&dir).expect("opened");
            let recovery = scope.recover().expect("recovered");
            assert_eq!(recovery.foreign, [], "{shape:?} killed at {at}");
            assert_swept(&dir);
            let found = tree(&dir);
            let whole = found == before[position] || found == after[position];
            assert!(
                whole,
                "{shape:?} killed at {at}, half {half}: {name} is {found:#?}"
            );
            scope
                .commit(Commit::new().document(dir.join("a.json"), "later"))
                .expect("committed");
            assert_eq!(fs::read(dir.join("a.json")).expect("readable"), b"later");
        }
        if !died {
            return;
        }
    }
}

#[test]
fn documents_are_all_old_or_all_new_after_a_kill() {
    killed_at_every_operation(Shape::Documents, false);
    killed_at_every_operation(Shape::Documents, true);
}

#[test]
fn rows_are_there_once_or_not_at_all_after_a_kill() {
    killed_at_every_operation(Shape::Rows, false);
    killed_at_every_operation(Shape::Rows, true);
}

#[test]
fn rows_and_documents_go_together_after_a_kill() {
    killed_at_every_operation(Shape::Mixed, false);
    killed_at_every_operation(Shape::Mixed, true);
}

#[test]
fn a_torn_tail_is_moved_aside_exactly_once_after_a_kill() {
    killed_at_every_operation(Shape::TornTail, false);
    killed_at_every_operation(Shape::TornTail, true);
}

#[test]
fn renames_and_removals_go_together_after_a_kill() {
    killed_at_every_operation(Shape::MovesAndRemovals, false);
}

#[test]
fn each_member_of_a_group_is_whole_after_a_kill() {
    killed_at_every_operation(Shape::Group, false);
    killed_at_every_operation(Shape::Group, true);
}

#[test]
fn a_kill_during_a_checkpoint_loses_nothing() {
    killed_at_every_operation(Shape::Checkpoint, false);
    killed_at_every_operation(Shape::Checkpoint, true);
}

#[test]
fn every_row_is_in_its_journal_or_in_the_archive_after_a_kill() {
    killed_at_every_operation(Shape::Archive, false);
    killed_at_every_operation(Shape::Archive, true);
}

#[test]
fn a_kill_during_the_first_commit_of_a_scope_leaves_a_usable_one() {
    killed_at_every_operation(Shape::First, false);
    killed_at_every_operation(Shape::First, true);
}

/// Commits killed in the random histories, each at one random operation.
const KILLS: usize = 1000;
/// Histories that share them, side by side.
const HISTORIES: usize = 2;
/// A child is killed at an operation below this: a commit has about as many.
const OPERATIONS: usize = 40;
/// Small, so that checkpoints happen too.
const CHECKPOINT_BYTES: u64 = 32 * 1024;

/// The commit of that number, given what is there.
fn random_commit(model: &Model, dir: &Path, number: u64) -> (Commit, Model) {
    model.random_commit(
        dir,
        &mut Random::new(number),
        &mut Unique::from(number * 1000),
    )
}

fn observe(dir: &Path) -> Model {
    Model::observe(dir, |path| fs::read(path).ok())
}

/// In the child: one commit after the other, from what is there, up to the
/// one in which it is killed.
fn commit_until_killed(disk: &Arc<dyn Disk>, dir: &Path, first: u64) {
    let scope = Scope::open_on(dir, Arc::clone(disk), CHECKPOINT_BYTES).expect("opened");
    let mut model = observe(dir);
    for number in first.. {
        let (commit, after) = random_commit(&model, dir, number);
        scope.commit(commit).expect("committed");
        model = after;
    }
}

/// What someone else did while a killed commit was unfinished.
#[derive(Debug, Default)]
struct Edits {
    documents: Vec<(PathBuf, String)>,
    rows: Vec<(PathBuf, String)>,
    tails: Vec<(PathBuf, String)>,
}

impl Edits {
    /// Edits with `mv`, in place, and with `>>`.
    fn make(dir: &Path, random: &mut Random, unique: &mut Unique) -> Self {
        let mut edits = Self::default();
        let text = unique.text("edit", random);
        let document = random.choose(&document_paths(dir)).clone();
        let journal = random.choose(&journal_paths(dir)).clone();
        match random.below(6) {
            0 if document.exists() => {
                fs::write(document.with_extension("tmp"), &text).expect("written");
                fs::rename(document.with_extension("tmp"), &document).expect("renamed");
                edits.documents.push((document, text));
            }
            1 if document.exists() => {
                fs::write(&document, &text).expect("written");
                edits.documents.push((document, text));
            }
            2 if journal.exists() => {
                append(&journal, &format!("{text}\n"));
                edits.rows.push((journal, text));
            }
            3 if journal.exists() => {
                append(&journal, &text);
                edits.tails.push((journal, text));
            }
            _ => {}
        }
        edits
    }

    /// `model` with these edits, less the rows, whose place is not known.
    fn over(&self, mut model: Model) -> Model {
        model.documents.extend(self.documents.iter().cloned());
        model
    }

    /// Takes the rows out of what was found; each has to be there once.
    fn take_out(&self, mut found: Model) -> Model {
        for (path, row) in &self.rows {
            let rows = found.journals.entry(path.clone()).or_default();
            let count = rows.len();
            rows.retain(|other| other != row);
            // Behind a row torn by the kill it is part of that line.
            assert!(
                rows.len() + 1 == count || rows.iter().any(|other| other.ends_with(row)),
                "{row} in {}",
                path.display()
            );
            rows.retain(|other| !other.ends_with(row.as_str()));
        }
        found
    }
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(path)
        .expect("opened");
    file.write_all(text.as_bytes()).expect("written");
}

/// A history of `kills` killed commits, with foreign edits in between.
fn history(kills: usize, seed: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join(".superloop/ops-manager/one");
    let mut random = Random::new(seed);
    // Far from the numbers of the commits.
    let mut unique = Unique::from(1 << 40);
    let scope = Scope::open(&dir).expect("opened");
    let mut model = Model::default();
    let mut number = seed << 20;
    for _ in 0..kills {
        let (at, half) = (random.below(OPERATIONS), random.below(2) == 0);
        assert!(
            dies(&number.to_string(), &dir, at, half),
            "{number} at {at}"
        );
        let edits = Edits::make(&dir, &mut random, &mut unique);
        scope.recover().expect("recovered");
        let found = edits.take_out(observe(&dir));
        // The commits that returned, and perhaps the one that did not: each
        // takes an operation at least.
        let latest = number + at as u64 + 1;
        while edits.over(model.clone()) != found {
            assert!(
                number < latest,
                "after {edits:?} no history leads to\n{found:?}"
            );
            model = random_commit(&model, &dir, number).1;
            number += 1;
        }
        // Its number is not used again, whether it happened or not.
        number += 1;
        model = observe(&dir);
        commit_behind_tails(&scope, &edits);
        if !edits.tails.is_empty() {
            model = observe(&dir);
        }
    }
}

/// What was left without its newline goes to a file of its own, once.
fn commit_behind_tails(scope: &Scope, edits: &Edits) {
    for (journal, tail) in &edits.tails {
        scope
            .commit(Commit::new().row(journal, "after a tail"))
            .expect("committed");
        let torn = fs::read_to_string(journal.with_extension("jsonl.torn")).expect("readable");
        assert_eq!(
            torn.lines().filter(|line| line.ends_with(tail)).count(),
            1,
            "{tail} in {torn}"
        );
    }
}

#[test]
fn a_thousand_killed_commits_and_foreign_edits_lose_and_double_nothing() {
    thread::scope(|threads| {
        for seed in 0..HISTORIES {
            threads.spawn(move || history(KILLS / HISTORIES, seed as u64 + 7));
        }
    });
}
