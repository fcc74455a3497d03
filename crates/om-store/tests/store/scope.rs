//! Single commits: what is written, what is refused, what is left alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use om_store::disk::Disk;
use om_store::{Commit, CommitError, DocumentOptions, Expect, Scope, digest};

use crate::hooked::{Fate, Hooked};
use crate::shapes::tree;

struct Place {
    _folder: tempfile::TempDir,
    dir: PathBuf,
    scope: Scope,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let scope = Scope::open(&dir).expect("opened");
    Place {
        _folder: folder,
        dir,
        scope,
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("exists").permissions().mode() & 0o7777
}

fn expecting(expect: Expect) -> DocumentOptions {
    DocumentOptions {
        expect,
        ..DocumentOptions::default()
    }
}

#[test]
fn a_violated_precondition_refuses_the_whole_commit() {
    let place = place();
    let path = place.dir.join("a.json");
    let cases = [
        (None, Expect::Absent, true),
        (None, Expect::Content(digest(b"1")), false),
        (Some("1"), Expect::Absent, false),
        (Some("1"), Expect::Content(digest(b"1")), true),
        (Some("2"), Expect::Content(digest(b"1")), false),
        (Some("2"), Expect::Any, true),
    ];
    for (content, expect, allowed) in cases {
        let _ = fs::remove_file(&path);
        if let Some(content) = content {
            fs::write(&path, content).expect("written");
        }
        let before = tree(&place.dir);
        let commit = Commit::new()
            .row(place.dir.join("rows.jsonl"), "row")
            .document(place.dir.join("b.json"), "b")
            .document_with(&path, "new", expecting(expect));
        let result = place.scope.commit(commit);
        assert_eq!(result.is_ok(), allowed, "{content:?} {expect:?}");
        if !allowed {
            assert!(matches!(result, Err(CommitError::Changed { .. })));
            assert_eq!(tree(&place.dir), before);
        }
    }
}

#[test]
fn what_cannot_be_one_commit_is_refused_before_anything_is_written() {
    let place = place();
    let path = |name: &str| place.dir.join(name);
    fs::create_dir(path("folder.json")).expect("made");
    symlink("a.json", path("link.json")).expect("linked");
    let before = tree(&place.dir);
    for (commit, fragment) in [
        (
            Commit::new().row(path("rows.jsonl"), "a\nb"),
            "contains a newline",
        ),
        (
            Commit::new().document(path("folder.json"), "x"),
            "is not a regular file",
        ),
        (
            Commit::new()
                .document(path("a.json"), "x")
                .row(path("a.json"), "x"),
            "is named twice",
        ),
        (
            Commit::new()
                .document(path("a.json"), "x")
                .document(path("link.json"), "y"),
            "is named twice",
        ),
        (
            Commit::new().rename(path("missing"), path("b.json")),
            "was changed by someone else",
        ),
    ] {
        let checked = place.scope.check(&commit).expect_err(fragment);
        let error = place.scope.commit(commit).expect_err(fragment);
        assert!(error.to_string().contains(fragment), "{error}");
        assert_eq!(checked.to_string(), error.to_string());
        assert_eq!(tree(&place.dir), before);
    }
}

#[test]
fn checking_a_commit_changes_nothing() {
    let place = place();
    let path = |name: &str| place.dir.join(name);
    let commit = Commit::new()
        .document(path("a.json"), "new")
        .document(path("b.json"), "new")
        .row(path("rows.jsonl"), "row")
        .removal(path("c.json"));
    fs::write(path("c.json"), "c").expect("written");
    let before = tree(&place.dir);
    place.scope.check(&commit).expect("could be made");
    assert_eq!(tree(&place.dir), before);
    place.scope.commit(commit).expect("is made");
    assert_ne!(tree(&place.dir), before);
}

#[test]
fn modes_and_links_survive() {
    let place = place();
    let (link, target) = (place.dir.join("link.json"), place.dir.join("target.json"));
    fs::write(&target, "old").expect("written");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).expect("set");
    symlink("target.json", &link).expect("linked");
    place
        .scope
        .commit(
            Commit::new()
                .document(&link, "new")
                .document(place.dir.join("n.json"), "n"),
        )
        .expect("committed");
    assert!(fs::symlink_metadata(&link).expect("exists").is_symlink());
    assert_eq!(fs::read(&target).expect("readable"), b"new");
    assert_eq!(mode_of(&target), 0o640);
    assert_eq!(mode_of(&place.dir.join("n.json")), 0o644);
    let private = DocumentOptions {
        mode: Some(0o600),
        ..DocumentOptions::default()
    };
    place
        .scope
        .commit(Commit::new().document_with(&target, "x", private))
        .expect("committed");
    assert_eq!(mode_of(&target), 0o600);
}

#[test]
fn the_store_is_private_and_follows_no_links() {
    let place = place();
    place
        .scope
        .commit(Commit::new().document(place.dir.join("a.json"), "a"))
        .expect("committed");
    let store = place.dir.join(".store");
    assert_eq!(mode_of(&store), 0o700);
    for entry in fs::read_dir(&store).expect("readable") {
        let path = entry.expect("readable").path();
        assert_eq!(mode_of(&path), 0o600, "{}", path.display());
    }
    fs::rename(store.join("redo.log"), place.dir.join("elsewhere")).expect("moved");
    symlink(place.dir.join("elsewhere"), store.join("redo.log")).expect("linked");
    place
        .scope
        .commit(Commit::new().document(place.dir.join("a.json"), "b"))
        .expect_err("a link");
    assert_eq!(fs::read(place.dir.join("a.json")).expect("readable"), b"a");
}

#[test]
fn files_of_operators_beside_ours_are_never_touched() {
    let place = place();
    for name in [
        "state.json.tmp",
        "state.backup.json",
        "tmp-0",
        ".state.json.swp",
    ] {
        fs::write(place.dir.join(name), name).expect("written");
    }
    for number in 0..3 {
        place
            .scope
            .commit(Commit::new().document(place.dir.join("state.json"), number.to_string()))
            .expect("committed");
    }
    for name in [
        "state.json.tmp",
        "state.backup.json",
        "tmp-0",
        ".state.json.swp",
    ] {
        assert_eq!(
            fs::read_to_string(place.dir.join(name)).expect("still there"),
            name
        );
    }
}

#[test]
fn a_file_that_is_not_what_was_read_is_not_removed() {
    let place = place();
    let path = place.dir.join("a.json");
    fs::write(&path, "2").expect("written");
    let removal = |read: &[u8]| {
        Commit::new()
            .row(place.dir.join("rows.jsonl"), "row")
            .removal_of(&path, Expect::found(Some(read)))
    };
    let before = tree(&place.dir);
    let error = place.scope.commit(removal(b"1")).expect_err("refused");
    assert!(
        matches!(&error, CommitError::Changed { path: named } if *named == path),
        "{error}"
    );
    assert_eq!(tree(&place.dir), before);
    place.scope.commit(removal(b"2")).expect("committed");
    assert!(!path.exists());
}

#[test]
fn a_torn_tail_is_kept_in_a_file_of_its_own() {
    let place = place();
    let journal = place.dir.join("rows.jsonl");
    for (content, tail) in [("a\nunfinished", "unfinished"), ("alone", "alone")] {
        fs::write(&journal, content).expect("written");
        place
            .scope
            .commit(Commit::new().row(&journal, "row"))
            .expect("committed");
        let expected = content.strip_suffix(tail).expect("its end");
        assert_eq!(
            fs::read_to_string(&journal).expect("readable"),
            format!("{expected}row\n")
        );
    }
    let torn = fs::read_to_string(place.dir.join("rows.jsonl.torn")).expect("readable");
    assert_eq!(torn, "unfinished\nalone\n");
}

#[test]
fn a_warm_commit_syncs_once() {
    let place = place();
    let commit = || {
        let document =
            |commit: Commit, n: usize| commit.document(place.dir.join(format!("{n}.json")), "x");
        (0..7).fold(
            Commit::new().row(place.dir.join("rows.jsonl"), "row"),
            document,
        )
    };
    place.scope.commit(commit()).expect("committed");
    let syncs = Arc::new(Mutex::new(0));
    let disk: Arc<dyn Disk> =
        Arc::new(Hooked::new(|_| Fate::Go).counting_syncs(Arc::clone(&syncs)));
    let scope = Scope::open_on(&place.dir, disk, 1 << 20).expect("opened");
    scope.commit(commit()).expect("committed");
    assert_eq!(*syncs.lock().expect("not poisoned"), 1);
}

#[test]
fn an_edit_between_check_and_replacement_stays_and_is_reported() {
    let place = place();
    let path = place.dir.join("a.json");
    fs::write(&path, "old").expect("written");
    place
        .scope
        .commit(Commit::new().row(place.dir.join("rows.jsonl"), "early"))
        .expect("committed");
    // At each operation once: before the record it is a refusal or is seen.
    for at in 0.. {
        fs::write(&path, "old").expect("written");
        let edited = path.clone();
        let hooked = Arc::new(Hooked::new(move |position| {
            if position == at {
                fs::write(&edited, "edited").expect("written");
            }
            Fate::Go
        }));
        let disk = Arc::clone(&hooked) as Arc<dyn Disk>;
        let scope = Scope::open_on(&place.dir, disk, 1 << 20).expect("opened");
        let receipt = scope
            .commit(Commit::new().document(&path, "new"))
            .expect("committed");
        if hooked.count() <= at {
            break;
        }
        let content = fs::read_to_string(&path).expect("readable");
        let reported = receipt.foreign.iter().any(|edit| edit.path == path);
        // The removal of the old version comes after the replacement.
        let after_the_replacement =
            content == "edited" && !reported && at + 1 >= hooked.count() - 1;
        assert!(
            reported && content == "edited" || after_the_replacement,
            "at {at}: {content}, {:?}",
            receipt.foreign
        );
    }
}

#[test]
fn a_repository_that_was_moved_still_recovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = |repo: &str| folder.path().join(repo).join(".superloop/ops-manager/one");
    let dir = ops("r1");
    let journal = dir.join("rows.jsonl");
    Scope::open(&dir)
        .expect("opened")
        .commit(Commit::new().row(&journal, "first"))
        .expect("committed");
    // Fails at the last operation that matters: the row is recorded only.
    let counter = Arc::new(Hooked::new(|_| Fate::Go));
    let run = |hooked: Arc<Hooked>| {
        let scope = Scope::open_on(&dir, hooked as Arc<dyn Disk>, 1 << 20).expect("opened");
        scope.commit(Commit::new().row(&journal, "second"))
    };
    run(Arc::clone(&counter)).expect("committed");
    let append = counter.count() - 2;
    let failing = Hooked::new(move |at| {
        if at == append {
            Fate::Fail(rustix::io::Errno::IO)
        } else {
            Fate::Go
        }
    });
    let error = run(Arc::new(failing)).expect_err("refused");
    assert!(
        matches!(error, CommitError::ApplyIncomplete { .. }),
        "{error}"
    );
    fs::rename(folder.path().join("r1"), folder.path().join("r2")).expect("moved");
    Scope::open(ops("r2"))
        .expect("opened")
        .recover()
        .expect("recovered");
    let rows = fs::read_to_string(ops("r2").join("rows.jsonl")).expect("readable");
    assert_eq!(rows, "first\nsecond\nsecond\n");
    assert!(!folder.path().join("r1").exists());
}

#[test]
fn a_large_document_and_many_small_commits_share_one_log() {
    let place = place();
    let large = "x".repeat(3_000_000);
    place
        .scope
        .commit(Commit::new().document(place.dir.join("large.json"), large.clone()))
        .expect("committed");
    let scope =
        Scope::open_on(&place.dir, Arc::new(om_store::disk::RealDisk), 4096).expect("opened");
    for number in 0..40 {
        scope
            .commit(Commit::new().row(place.dir.join("rows.jsonl"), number.to_string()))
            .expect("committed");
    }
    let rows = fs::read_to_string(place.dir.join("rows.jsonl")).expect("readable");
    assert_eq!(rows.lines().count(), 40);
    assert_eq!(
        fs::read_to_string(place.dir.join("large.json")).expect("readable"),
        large
    );
}
