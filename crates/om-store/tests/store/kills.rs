//! A process that is killed at any operation leaves the state from before or
//! after its commit, once the next writer has recovered.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use om_store::disk::{Disk, RealDisk};
use om_store::{Commit, Scope};

use crate::hooked::{Fate, Hooked};
use crate::shapes::{Shape, assert_swept, tree};

/// Tells a child what to run: `<shape>|<operation>|<half>|<folder>`.
const CHILD: &str = "OM_STORE_TEST_CHILD";

/// Where children run; nothing happens here in the parent.
#[test]
fn child_of_the_kill_tests() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = task.splitn(4, '|');
    let mut next = || parts.next().expect("a part").to_owned();
    let (shape, at, half) = (
        next(),
        next().parse::<usize>().expect("a number"),
        next() == "half",
    );
    let ops = next();
    let fatal = if half { Fate::DieHalfway } else { Fate::Die };
    let disk: Arc<dyn Disk> = Arc::new(Hooked::new(
        move |position| if position == at { fatal } else { Fate::Go },
    ));
    Shape::named(&shape)
        .run(Path::new(&ops), &disk)
        .expect("committed");
}

/// Runs `shape` in a child that dies at operation `at`; whether it did.
fn dies(shape: Shape, ops: &Path, at: usize, half: bool) -> bool {
    let half = if half { "half" } else { "whole" };
    let status = Command::new(std::env::current_exe().expect("own path"))
        .args([
            "--exact",
            "kills::child_of_the_kill_tests",
            "--test-threads=1",
        ])
        .env(
            CHILD,
            format!("{}|{at}|{half}|{}", shape.name(), ops.display()),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("started");
    assert!(
        status.success() || status.signal() == Some(9),
        "{shape:?} at {at}: {status}"
    );
    !status.success()
}

type Trees = Vec<Vec<(std::path::PathBuf, String)>>;

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
        let died = dies(shape, ops, at, half);
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
fn a_kill_during_the_first_commit_of_a_scope_leaves_a_usable_one() {
    killed_at_every_operation(Shape::First, false);
    killed_at_every_operation(Shape::First, true);
}
