//! Groups: many loops, one durable write, each on its own.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use om_store::disk::{Disk, RealDisk};
use om_store::{Commit, CommitError, DocumentOptions, Expect, MAX_GROUP, Scope, commit_group};

use crate::hooked::{Fate, Hooked};

fn scope(ops: &Path, name: &str) -> Scope {
    Scope::open(ops.join(name)).expect("opened")
}

fn member(ops: &Path, name: &str, expect: Expect) -> (Scope, Commit) {
    let options = DocumentOptions {
        expect,
        ..DocumentOptions::default()
    };
    let commit = Commit::new().document_with(ops.join(name).join("a.json"), name, options);
    (scope(ops, name), commit)
}

#[test]
fn a_member_whose_precondition_does_not_hold_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = folder.path();
    let wrong = Expect::Content(om_store::digest(b"something"));
    let members = vec![
        member(ops, "b", Expect::Absent),
        member(ops, "c", wrong),
        member(ops, "a", Expect::Any),
    ];
    let results = commit_group(&scope(ops, "fleet"), members);
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(
        matches!(&results[1], Err(CommitError::Changed { path }) if path.ends_with("c/a.json"))
    );
    assert_eq!(fs::read(ops.join("b/a.json")).expect("readable"), b"b");
    assert!(!ops.join("c/a.json").exists());
}

#[test]
fn a_scope_named_twice_in_a_group_is_refused_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = folder.path();
    let members = vec![member(ops, "a", Expect::Any), member(ops, "a", Expect::Any)];
    let results = commit_group(&scope(ops, "fleet"), members);
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(CommitError::Conflict { .. })));
}

#[test]
fn a_group_that_is_too_large_is_refused_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = folder.path();
    let one = scope(ops, "a");
    let members = (0..=MAX_GROUP)
        .map(|_| (one.clone(), Commit::new()))
        .collect();
    let results = commit_group(&scope(ops, "fleet"), members);
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(CommitError::GroupTooLarge { found: 257 })))
    );
}

#[test]
fn a_warm_group_syncs_once_whatever_its_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = folder.path();
    let run = |disk: &Arc<dyn Disk>| {
        let open =
            |name: &str| Scope::open_on(ops.join(name), Arc::clone(disk), 1 << 20).expect("opened");
        let members = (0..20).map(|n| {
            let name = format!("loop-{n}");
            (
                open(&name),
                Commit::new().row(ops.join(&name).join("rows.jsonl"), "row"),
            )
        });
        for result in commit_group(&open("fleet"), members.collect()) {
            result.expect("committed");
        }
    };
    let real: Arc<dyn Disk> = Arc::new(RealDisk);
    run(&real);
    let syncs = Arc::new(Mutex::new(0));
    let hooked = Hooked::new(|_| Fate::Go).counting_syncs(Arc::clone(&syncs));
    let disk: Arc<dyn Disk> = Arc::new(hooked);
    run(&disk);
    assert_eq!(*syncs.lock().expect("not poisoned"), 1);
}

#[test]
fn a_loop_whose_store_was_removed_is_not_brought_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = folder.path();
    let fleet = scope(ops, "fleet");
    for result in commit_group(
        &fleet,
        vec![member(ops, "a", Expect::Any), member(ops, "b", Expect::Any)],
    ) {
        result.expect("committed");
    }
    fs::remove_dir_all(ops.join("a")).expect("removed");
    // As after a reboot, when everything in the group log is examined.
    fs::remove_file(ops.join("fleet/.store/group.head")).expect("removed");
    for result in commit_group(&fleet, vec![member(ops, "b", Expect::Any)]) {
        result.expect("committed");
    }
    assert!(!ops.join("a").exists());
}
