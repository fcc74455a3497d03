//! Moving rows of a journal to a file of their own.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use om_store::disk::Disk;
use om_store::{Commit, CommitError, Fold, Line, Scope, read_fold};
use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::simulated::Simulated;

struct Place {
    _folder: tempfile::TempDir,
    scope: Scope,
    journal: PathBuf,
    archive: PathBuf,
}

fn place(rows: &str) -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let scope = Scope::open(folder.path().join("a")).expect("opened");
    let journal = scope.dir().join("rows.jsonl");
    fs::write(&journal, rows).expect("written");
    Place {
        archive: scope.dir().join("rows.jsonl.archive-1.jsonl"),
        _folder: folder,
        scope,
        journal,
    }
}

impl Place {
    fn archive(&self, goes: &str) -> Result<(), CommitError> {
        let until = fs::metadata(&self.journal).expect("is there").len();
        let mut goes = |line: &Line<'_>| goes.as_bytes().contains(&line.bytes[0]);
        let moved = self
            .scope
            .archive_rows(&self.journal, &self.archive, until, &mut goes);
        moved.map(|_| ())
    }

    fn texts(&self) -> (String, String) {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        (text(&self.journal), text(&self.archive))
    }
}

#[test]
fn every_row_is_in_one_of_both_files_in_its_order() {
    let place = place("a\nb\nc\na\nd");
    place.archive("ab").expect("moved");
    let expected = ("c\nd".to_owned(), "a\nb\na\n".to_owned());
    assert_eq!(place.texts(), expected);
}

#[test]
fn rows_that_are_appended_meanwhile_stay() {
    let place = place("a\nb\n");
    let append = |text: &str| {
        let mut file = OpenOptions::new().append(true).open(&place.journal);
        let file = file.as_mut().expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    };
    let mut goes = |line: &Line<'_>| {
        append("late\n");
        line.bytes == b"a"
    };
    let moved = place
        .scope
        .archive_rows(&place.journal, &place.archive, 4, &mut goes);
    moved.expect("moved");
    let expected = ("b\nlate\nlate\n".to_owned(), "a\n".to_owned());
    assert_eq!(place.texts(), expected);
}

#[test]
fn a_journal_that_is_replaced_meanwhile_is_left_alone() {
    let place = place("a\nb\n");
    let mut goes = |_: &Line<'_>| {
        fs::remove_file(&place.journal).expect("removed");
        fs::write(&place.journal, "x\ny\nz\n").expect("written");
        true
    };
    // The first row only: the file is another one from then on.
    let moved = place
        .scope
        .archive_rows(&place.journal, &place.archive, 2, &mut goes);
    assert!(
        matches!(moved, Err(CommitError::Changed { .. })),
        "{moved:?}"
    );
    assert_eq!(place.texts(), ("x\ny\nz\n".to_owned(), String::new()));
}

#[test]
fn an_archive_that_exists_and_a_journal_that_is_a_link_are_refused() {
    let place = place("a\n");
    fs::write(&place.archive, "mine").expect("written");
    place.archive("a").expect_err("is there");
    assert_eq!(place.texts(), ("a\n".to_owned(), "mine".to_owned()));
    fs::remove_file(&place.archive).expect("removed");
    let link = place.scope.dir().join("link.jsonl");
    std::os::unix::fs::symlink(&place.journal, &link).expect("linked");
    let moved = place
        .scope
        .archive_rows(&link, &place.archive, 2, &mut |_| true);
    assert!(
        matches!(moved, Err(CommitError::NotAFile { .. })),
        "{moved:?}"
    );
}

#[test]
fn commits_go_on_in_the_shorter_journal() {
    let place = place("");
    let commit = |text: &str| {
        let commit = Commit::new().row(&place.journal, text);
        place.scope.commit(commit).expect("committed");
    };
    commit("a");
    commit("b");
    place.archive("a").expect("moved");
    commit("c");
    assert_eq!(place.texts(), ("b\nc\n".to_owned(), "a\n".to_owned()));
}

/// Rows in all.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count(u64);

impl Fold for Count {
    const NAME: &'static str = "count";
    const VERSION: u32 = 1;
    fn add(&mut self, _: &[u8], _: u64) {
        self.0 += 1;
    }
}

#[test]
fn a_saved_fold_is_made_anew() {
    let place = place(&"a row that is to go\nb row that is to stay\n".repeat(1_000));
    let count = || read_fold::<Count>(&place.journal, &place.scope).expect("read");
    assert_eq!(count(), Count(2_000));
    place.archive("a").expect("moved");
    assert_eq!(count(), Count(1_000));
}

/// A simulated disk on which `a` and `b` are rows, and `a` was being archived
/// when the power went, at operation `at` or after the next commit.
struct World {
    disk: Arc<Simulated>,
    journal: PathBuf,
    archive: PathBuf,
}

impl World {
    fn new() -> Self {
        let dir = Path::new(DIR);
        let world = Self {
            disk: Arc::new(Simulated::new()),
            journal: dir.join("rows.jsonl"),
            archive: dir.join("rows.archive.jsonl"),
        };
        world.commit("a").expect("committed");
        world.commit("b").expect("committed");
        world
    }

    fn open(&self) -> Result<Scope, CommitError> {
        Scope::open_on(DIR, Arc::clone(&self.disk) as Arc<dyn Disk>, 1 << 20)
    }

    fn commit(&self, text: &str) -> Result<(), CommitError> {
        let commit = Commit::new().row(&self.journal, text);
        self.open()?.commit(commit).map(|_| ())
    }

    fn archive(&self) -> Result<(), CommitError> {
        let mut goes = |line: &Line<'_>| line.bytes == b"a";
        let scope = self.open()?;
        let moved = scope.archive_rows(&self.journal, &self.archive, 4, &mut goes);
        moved.map(|_| ())
    }

    /// Both files after a power loss and recovery.
    fn after_reboot(&self, seed: u64) -> (String, String) {
        self.disk.reboot(&mut Random::new(seed));
        let recovered = self.open().and_then(|scope| scope.recover());
        recovered.expect("recovered");
        let text = |path: &Path| {
            let bytes = self.disk.content(path).unwrap_or_default();
            String::from_utf8(bytes).expect("text")
        };
        (text(&self.journal), text(&self.archive))
    }
}

const DIR: &str = "/repo/.superloop/ops-manager/a";

#[test]
fn archived_rows_do_not_come_back_after_a_power_loss() {
    for seed in 0..200 {
        let world = World::new();
        world.archive().expect("moved");
        world.commit("c").expect("committed");
        let expected = ("b\nc\n".to_owned(), "a\n".to_owned());
        assert_eq!(world.after_reboot(seed), expected, "seed {seed}");
    }
}

#[test]
fn a_power_loss_on_the_way_leaves_every_row_in_one_of_both_files() {
    let before = ("a\nb\n".to_owned(), String::new());
    let after = ("b\n".to_owned(), "a\n".to_owned());
    for at in 0.. {
        let mut has_failed = true;
        for seed in 0..20 {
            let world = World::new();
            world.disk.fail_after(at);
            let moved = world.archive();
            has_failed = !world.disk.has_power();
            let found = world.after_reboot(seed);
            assert!(
                found == after || (moved.is_err() && found == before),
                "{at}, seed {seed}: {moved:?} left {found:?}"
            );
        }
        if !has_failed {
            return;
        }
    }
}
