//! Files that may not be written: found out before a commit is recorded, and
//! told apart from a commit that is recorded already.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use om_store::disk::Disk;
use om_store::{Commit, CommitError, Scope, commit_group};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

use crate::hooked::{Fate, Hooked};
use crate::shapes::tree;

/// A file that may not be written until this is dropped.
struct Protected(PathBuf);

impl Protected {
    /// By its mode or, for those whom modes do not stop, as immutable; `None`
    /// where neither works.
    fn against_writing(path: &Path) -> Option<Self> {
        fs::set_permissions(path, Permissions::from_mode(0o444)).expect("set");
        let is_refused = OpenOptions::new().append(true).open(path).is_err();
        is_refused
            .then(|| Self(path.to_owned()))
            .or_else(|| Self::flagged(path, IFlags::IMMUTABLE))
    }

    fn flagged(path: &Path, flags: IFlags) -> Option<Self> {
        let file = File::open(path).expect("opened");
        let old = ioctl_getflags(&file).ok()?;
        ioctl_setflags(&file, old | flags).ok()?;
        Some(Self(path.to_owned()))
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        let file = File::open(&self.0).expect("opened");
        if let Ok(flags) = ioctl_getflags(&file) {
            let _ = ioctl_setflags(&file, flags - IFlags::IMMUTABLE - IFlags::APPEND);
        }
        let mode = if self.0.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&self.0, Permissions::from_mode(mode)).expect("set");
    }
}

struct Place {
    _folder: tempfile::TempDir,
    dir: PathBuf,
    journal: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let journal = dir.join("telemetry/rows.jsonl");
    let place = Place {
        _folder: folder,
        dir,
        journal,
    };
    place.open().commit(place.change("0")).expect("committed");
    place
}

impl Place {
    fn open(&self) -> Scope {
        Scope::open(&self.dir).expect("opened")
    }

    fn change(&self, text: &str) -> Commit {
        Commit::new()
            .row(&self.journal, text)
            .document(self.dir.join("a.json"), text)
    }

    /// Commits with the operations that `fate` refuses; how many there were.
    fn commit_on(
        &self,
        text: &str,
        fate: impl Fn(usize) -> Fate + Send + Sync + 'static,
    ) -> (Result<(), CommitError>, usize) {
        let hooked = Arc::new(Hooked::new(fate));
        let disk = Arc::clone(&hooked) as Arc<dyn Disk>;
        let scope = Scope::open_on(&self.dir, disk, 1 << 20).expect("opened");
        let result = scope.commit(self.change(text)).map(|_| ());
        (result, hooked.count())
    }

    /// Leaves a commit that is recorded and not applied.
    fn leave_unapplied(&self, text: &str) {
        let (result, operations) = self.commit_on("0", |_| Fate::Go);
        result.expect("committed");
        // The last ones: rows, exchange, removal of the old, position.
        let rows = operations - 4;
        let refuse = move |at| {
            if at >= rows {
                Fate::Fail(Errno::IO)
            } else {
                Fate::Go
            }
        };
        let error = self.commit_on(text, refuse).0.expect_err("refused");
        assert!(
            matches!(error, CommitError::ApplyIncomplete { .. }),
            "{error}"
        );
    }

    fn rows(&self) -> String {
        fs::read_to_string(&self.journal).expect("readable")
    }
}

/// A commit with `path` protected is refused and changes nothing; afterwards
/// it is as if it had never been tried.
fn refuses(place: &Place, path: &Path, protected: Protected) {
    let before = tree(&place.dir);
    let error = place
        .open()
        .commit(place.change("1"))
        .expect_err("protected");
    assert!(
        matches!(&error, CommitError::Io { path: named, .. } if named == path),
        "{error}"
    );
    assert!(
        error.to_string().ends_with("nothing was written"),
        "{error}"
    );
    let fleet = Scope::open(place.dir.with_file_name("fleet")).expect("opened");
    let results = commit_group(&fleet, vec![(place.open(), place.change("1"))]);
    assert!(
        matches!(&results[..], [Err(CommitError::Io { path: named, .. })] if named == path),
        "{results:?}"
    );
    assert_eq!(tree(&place.dir), before);
    drop(protected);
    assert_eq!(place.open().recover().expect("recovered").examined, 0);
    assert_eq!(tree(&place.dir), before);
    place.open().commit(place.change("1")).expect("committed");
}

#[test]
fn a_journal_that_may_not_be_appended_to_is_found_before_anything_is_recorded() {
    let place = place();
    if let Some(protected) = Protected::against_writing(&place.journal) {
        refuses(&place, &place.journal, protected);
    }
}

#[test]
fn a_torn_file_that_may_not_be_appended_to_is_found_before_anything_is_recorded() {
    let place = place();
    let torn = place.dir.join("telemetry/rows.jsonl.torn");
    fs::write(&place.journal, "0\ntail").expect("written");
    fs::write(&torn, "earlier\n").expect("written");
    if let Some(protected) = Protected::against_writing(&torn) {
        refuses(&place, &torn, protected);
    }
}

#[test]
fn a_document_that_cannot_be_replaced_is_found_before_anything_is_recorded() {
    for flag in [IFlags::IMMUTABLE, IFlags::APPEND] {
        let place = place();
        let document = place.dir.join("a.json");
        if let Some(protected) = Protected::flagged(&document, flag) {
            refuses(&place, &document, protected);
        }
    }
}

#[test]
fn a_folder_in_which_nothing_can_be_replaced_is_found_before_anything_is_recorded() {
    for flag in [IFlags::IMMUTABLE, IFlags::APPEND] {
        let place = place();
        let folder = place.dir.join("telemetry");
        if let Some(protected) = Protected::flagged(&folder, flag) {
            refuses(&place, &folder, protected);
        }
    }
}

#[test]
fn rows_that_are_recorded_go_in_although_the_permission_is_taken_away_meanwhile() {
    let place = place();
    let (_, operations) = place.commit_on("1", |_| Fate::Go);
    let journal = place.journal.clone();
    // Just before the rows: only an open file can still be appended to.
    let rows = operations - 4;
    let (result, _) = place.commit_on("2", move |at| {
        if at == rows {
            fs::set_permissions(&journal, Permissions::from_mode(0o444)).expect("set");
        }
        Fate::Go
    });
    result.expect("committed");
    assert_eq!(place.rows(), "0\n1\n2\n");
}

#[test]
fn rows_go_into_the_file_that_is_at_the_path_when_they_are_written() {
    let place = place();
    let (_, operations) = place.commit_on("1", |_| Fate::Go);
    let (journal, aside) = (place.journal.clone(), place.dir.join("aside"));
    let rows = operations - 4;
    let to = aside.clone();
    let (result, _) = place.commit_on("2", move |at| {
        if at == rows {
            fs::rename(&journal, &to).expect("put aside");
        }
        Fate::Go
    });
    result.expect("committed");
    assert_eq!(fs::read_to_string(aside).expect("readable"), "0\n1\n");
    assert_eq!(place.rows(), "2\n");
}

#[test]
fn an_earlier_commit_that_cannot_be_completed_is_told_apart_from_this_one() {
    let place = place();
    place.leave_unapplied("earlier");
    let Some(protected) = Protected::against_writing(&place.journal) else {
        return;
    };
    let error = place
        .open()
        .commit(place.change("this"))
        .expect_err("blocked");
    assert!(
        matches!(&error, CommitError::RecoveryBlocked { path, .. } if *path == place.journal),
        "{error}"
    );
    let text = error.to_string();
    for fragment in [
        "an earlier commit is recorded but cannot be completed: ",
        &place.journal.display().to_string(),
        "nothing of this one was written; fix the file and run the command again",
    ] {
        assert!(text.contains(fragment), "{text}");
    }
    drop(protected);
    place
        .open()
        .commit(place.change("this"))
        .expect("committed");
    assert_eq!(place.rows(), "0\n0\nearlier\nthis\n");
}

#[test]
fn what_an_error_says_about_this_commit_is_true_wherever_recovery_fails() {
    let mut blocked = 0;
    for at in 0.. {
        let place = place();
        place.leave_unapplied("earlier");
        let (result, operations) = place.commit_on("this", move |position| {
            if position == at {
                Fate::Fail(Errno::IO)
            } else {
                Fate::Go
            }
        });
        if operations <= at {
            break;
        }
        place.open().recover().expect("recovered");
        let is_recorded = matches!(result, Ok(()) | Err(CommitError::ApplyIncomplete { .. }));
        let expected = if is_recorded {
            "0\n0\nearlier\nthis\n"
        } else {
            "0\n0\nearlier\n"
        };
        assert_eq!(place.rows(), expected, "at {at}: {result:?}");
        blocked += usize::from(matches!(result, Err(CommitError::RecoveryBlocked { .. })));
    }
    assert!(blocked > 0, "recovery was never refused anything");
}
