//! Links, FIFOs, sockets and folders where the store works with files.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use om_store::disk::Disk;
use om_store::{
    Commit, CommitError, Fold, RunLock, Scope, View, WriteError, commit_group, read_fold,
    replace_document,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde::{Deserialize, Serialize};

use crate::hooked::{Fate, Hooked};

/// What may stand in the place of a file.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    Fifo,
    Socket,
    Folder,
    /// A link to a regular file.
    Link,
}

impl Stranger {
    const ALL: [Self; 4] = [Self::Fifo, Self::Socket, Self::Folder, Self::Link];

    /// Takes the place of what is at `path`.
    fn put(self, path: &Path) {
        let _ = fs::remove_file(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        match self {
            Self::Fifo => make_fifo(path),
            // The name stays when the listener is dropped.
            Self::Socket => drop(UnixListener::bind(path).expect("bound")),
            Self::Folder => fs::create_dir(path).expect("made"),
            Self::Link => {
                let target = path.with_extension("elsewhere");
                fs::write(&target, "").expect("written");
                symlink(target, path).expect("linked");
            }
        }
    }
}

fn make_fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
}

struct Place {
    _folder: tempfile::TempDir,
    ops: PathBuf,
    dir: PathBuf,
}

/// A loop and the fleet, each with a commit.
fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = folder.path().to_owned();
    let dir = ops.join("one");
    let place = Place {
        _folder: folder,
        ops,
        dir,
    };
    place.commit("before").expect("committed");
    place.commit_group("before").expect("committed");
    place
}

impl Place {
    fn change(&self, text: &str) -> Commit {
        Commit::new()
            .document(self.dir.join("a.json"), text)
            .row(self.dir.join("rows.jsonl"), text)
    }

    fn commit(&self, text: &str) -> Result<(), CommitError> {
        Scope::open(&self.dir)?
            .commit(self.change(text))
            .map(|_| ())
    }

    fn commit_group(&self, text: &str) -> Result<(), CommitError> {
        let fleet = Scope::open(self.ops.join("fleet"))?;
        let member = Scope::open(&self.dir)?;
        let results = commit_group(&fleet, vec![(member, self.change(text))]);
        results
            .into_iter()
            .try_for_each(|result| result.map(|_| ()))
    }
}

/// The error names the file and says what is wrong with it.
fn assert_names(error: &dyn std::error::Error, path: &Path, what: &str) {
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{what}: {text}");
    assert!(text.contains("not a regular file"), "{what}: {text}");
    assert!(text.contains("move it away"), "{what}: {text}");
}

#[test]
fn what_is_not_a_file_in_the_place_of_the_stores_own_is_refused_by_name() {
    for stranger in Stranger::ALL {
        for name in ["redo.log", "redo.head", "store.lock"] {
            let place = place();
            let path = place.dir.join(".store").join(name);
            stranger.put(&path);
            let error = place.commit("after").expect_err(name);
            assert_names(&error, &path, &format!("{stranger:?} {name}"));
            if name != "store.lock" {
                let error = View::open(&place.dir).expect_err(name);
                assert_names(&error, &path, &format!("{stranger:?} {name}"));
            }
            let document = fs::read(place.dir.join("a.json")).expect("readable");
            assert_eq!(document, b"before");
        }
        for name in ["group.log", "group.head", "store.lock"] {
            let place = place();
            let path = place.ops.join("fleet/.store").join(name);
            stranger.put(&path);
            let error = place.commit_group("after").expect_err(name);
            assert_names(&error, &path, &format!("{stranger:?} {name}"));
        }
    }
}

#[test]
fn what_is_not_a_file_in_the_place_of_a_run_lock_is_refused_by_name() {
    for stranger in Stranger::ALL {
        let place = place();
        let path = place.dir.join(".store/run-control.lock");
        stranger.put(&path);
        let error = RunLock::acquire(&place.dir, "control", Duration::ZERO).expect_err("refused");
        assert_names(&error, &path, &format!("{stranger:?}"));
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Count(u64);

impl Fold for Count {
    const NAME: &'static str = "count";
    const VERSION: u32 = 1;
    fn add(&mut self, _: &[u8], _: u64) {
        self.0 += 1;
    }
}

#[test]
fn what_is_not_a_file_in_the_place_of_a_saved_fold_is_refused_by_name() {
    for stranger in Stranger::ALL {
        let place = place();
        let path = place.dir.join(".store/folds/rows.jsonl.count.json");
        stranger.put(&path);
        let journal = place.dir.join("rows.jsonl");
        let scope = Scope::open(&place.dir).expect("opened");
        let error = read_fold::<Count>(&journal, &scope).expect_err("refused");
        assert_names(&error, &path, &format!("{stranger:?}"));
        let view = View::open(&place.dir).expect("readable");
        let error = view.fold::<Count>(&journal).expect_err("refused");
        assert_names(&error, &path, &format!("{stranger:?}"));
    }
}

#[test]
fn what_is_not_a_file_in_the_place_of_a_journal_is_refused_by_name() {
    for stranger in [Stranger::Fifo, Stranger::Socket, Stranger::Folder] {
        for name in ["rows.jsonl", "rows.jsonl.torn"] {
            let place = place();
            // A tail that has to go to the `.torn` file.
            fs::write(place.dir.join("rows.jsonl"), "a\ntail").expect("written");
            let path = place.dir.join(name);
            stranger.put(&path);
            let error = place.commit("after").expect_err(name);
            assert_names(&error, &path, &format!("{stranger:?} {name}"));
            let document = fs::read(place.dir.join("a.json")).expect("readable");
            assert_eq!(document, b"before");
        }
    }
}

#[test]
fn a_fifo_that_takes_a_journals_place_during_a_commit_is_not_waited_for() {
    let mut refused = 0;
    for at in 0.. {
        let place = place();
        let (journal, aside) = (place.dir.join("rows.jsonl"), place.dir.join("aside"));
        let (from, to) = (journal.clone(), aside.clone());
        let hooked = Arc::new(Hooked::new(move |position| {
            if position == at {
                fs::rename(&from, &to).expect("renamed");
                make_fifo(&from);
            }
            Fate::Go
        }));
        let disk = Arc::clone(&hooked) as Arc<dyn Disk>;
        let scope = Scope::open_on(&place.dir, disk, 1 << 20).expect("opened");
        let result = scope.commit(Commit::new().row(&journal, "after"));
        if hooked.count() <= at {
            break;
        }
        assert!(fs::metadata(&journal).expect("there").file_type().is_fifo());
        fs::rename(&aside, &journal).expect("renamed back");
        let rows = fs::read_to_string(&journal).expect("readable");
        assert_eq!(rows.lines().filter(|row| *row == "after").count(), {
            usize::from(result.is_ok())
        });
        if let Err(error) = result {
            assert_names(&error, &journal, &format!("at {at}"));
            refused += 1;
        }
    }
    assert!(refused > 0, "it was never in the way");
}

#[test]
fn a_single_document_replaces_regular_files_only() {
    let folder = tempfile::tempdir().expect("a folder");
    for stranger in [Stranger::Fifo, Stranger::Socket] {
        let path = folder.path().join(format!("{stranger:?}.json"));
        stranger.put(&path);
        let link = folder.path().join(format!("{stranger:?}-link.json"));
        symlink(&path, &link).expect("linked");
        for name in [&path, &link] {
            let error = replace_document(name, b"{}", None).expect_err("refused");
            assert!(matches!(&error, WriteError::NotAFile(found) if found == name));
            assert_names(&error, name, &format!("{stranger:?}"));
            assert!(error.to_string().contains("nothing was written"));
            assert!(!fs::metadata(&path).expect("still there").is_file());
        }
    }
    let names = fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(names, 4, "nothing was left behind");
}

#[test]
fn a_repository_may_be_reached_through_links() {
    // The part of the path that is a link to where it really is.
    for linked in ["repo", "repo/.superloop", "repo/.superloop/ops-manager"] {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join(linked);
        let real = folder.path().join("elsewhere/real");
        fs::create_dir_all(&real).expect("made");
        fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        symlink(&real, &link).expect("linked");
        let ops = folder.path().join("repo/.superloop/ops-manager");
        // So small that the second commit makes a checkpoint.
        let open = |name: &str| Scope::open_on(ops.join(name), real_disk(), 1).expect("opened");
        let document = ops.join("one/a.json");
        let change = |text: &str| {
            Commit::new()
                .document(&document, text)
                .row(ops.join("one/telemetry/rows.jsonl"), text)
        };
        for text in ["1", "2"] {
            open("one").commit(change(text)).expect(linked);
        }
        for text in ["3", "4"] {
            for result in commit_group(&open("fleet"), vec![(open("one"), change(text))]) {
                result.expect(linked);
            }
        }
        assert_eq!(fs::read(&document).expect("readable"), b"4");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    }
}

#[test]
fn a_file_that_became_a_link_since_is_no_obstacle_to_a_checkpoint() {
    let place = place();
    let (document, moved) = (place.dir.join("a.json"), place.ops.join("moved.json"));
    fs::rename(&document, &moved).expect("moved");
    symlink(&moved, &document).expect("linked");
    let scope = Scope::open_on(&place.dir, real_disk(), 1).expect("opened");
    scope.commit(place.change("after")).expect("committed");
    assert_eq!(fs::read(&moved).expect("readable"), b"after");
}

fn real_disk() -> Arc<dyn Disk> {
    Arc::new(om_store::disk::RealDisk)
}
