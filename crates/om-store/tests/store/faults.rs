//! When the disk refuses, nothing changes; or, past the record, the next
//! recovery completes what was recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use om_store::disk::{Disk, RealDisk};
use om_store::{CommitError, Scope};
use rustix::io::Errno;

use crate::hooked::{Fate, Hooked};
use crate::shapes::{Shape, assert_swept, tree};

type Trees = Vec<Vec<(PathBuf, String)>>;

fn trees(shape: Shape, ops: &Path) -> Trees {
    shape
        .scopes()
        .iter()
        .map(|name| tree(&ops.join(name)))
        .collect()
}

/// What an undisturbed run leaves.
fn completed(shape: Shape) -> Trees {
    let folder = tempfile::tempdir().expect("a folder");
    shape.prepare(folder.path());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    shape.run(folder.path(), &disk).expect("committed");
    trees(shape, folder.path())
}

/// Runs `shape` with its `at`-th operation failing; whether there is one.
fn refused(shape: Shape, complete: &Trees, at: usize, fate: Fate) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = folder.path();
    shape.prepare(ops);
    let before = trees(shape, ops);
    let hooked = Arc::new(Hooked::new(
        move |position| if position == at { fate } else { Fate::Go },
    ));
    let disk = Arc::clone(&hooked) as Arc<dyn Disk>;
    let result = shape.run(ops, &disk);
    if hooked.count() <= at {
        return false;
    }
    // Each member of a group is on its own.
    let is_alone = shape != Shape::Group;
    let is_recorded = matches!(result, Ok(()) | Err(CommitError::ApplyIncomplete { .. }));
    if is_alone && !is_recorded {
        assert_eq!(trees(shape, ops), before, "{shape:?} at {at}: {result:?}");
    }
    for name in shape.scopes() {
        Scope::open(ops.join(name))
            .expect("opened")
            .recover()
            .expect("recovered");
        assert_swept(&ops.join(name));
    }
    for (position, found) in trees(shape, ops).iter().enumerate() {
        let is_complete = *found == complete[position];
        let is_unchanged = *found == before[position];
        let expected = if is_alone {
            if is_recorded {
                is_complete
            } else {
                is_unchanged
            }
        } else {
            is_complete || is_unchanged
        };
        assert!(expected, "{shape:?} at {at}: {result:?} left {found:#?}");
    }
    true
}

#[test]
fn a_refused_operation_leaves_the_state_before_or_is_completed_later() {
    let try_all = |shape: Shape| {
        let complete = completed(shape);
        for fate in [Fate::Fail(Errno::IO), Fate::FailHalfway(Errno::NOSPC)] {
            let mut at = 0;
            while refused(shape, &complete, at, fate) {
                at += 1;
            }
        }
    };
    thread::scope(|threads| {
        for shape in Shape::ALL {
            threads.spawn(move || try_all(shape));
        }
    });
}

#[test]
fn a_disk_that_became_read_only_is_reported_and_nothing_changes() {
    for shape in Shape::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        shape.prepare(folder.path());
        let before = tree(folder.path());
        let disk: Arc<dyn Disk> = Arc::new(Hooked::new(|_| Fate::Fail(Errno::ROFS)));
        let error = shape.run(folder.path(), &disk).expect_err("read-only");
        assert!(
            matches!(error, CommitError::Io { .. }),
            "{shape:?}: {error}"
        );
        assert!(
            error.to_string().contains("Read-only file system"),
            "{error}"
        );
        assert_eq!(tree(folder.path()), before, "{shape:?}");
    }
}
