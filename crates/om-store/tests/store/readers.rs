//! Readers see whole documents and whole rows, and look through a commit that
//! is recorded but not applied.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use om_store::disk::Disk;
use om_store::{Commit, ReadError, Scope, View, last_row, read_bytes};
use rustix::io::Errno;

use crate::hooked::{Fate, Hooked};
use crate::shapes::{Shape, tree};

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.unwrap_or_default()).expect("text")
}

/// The tree of a scope as a view shows it.
fn seen(view: &View, names: &[&str]) -> Vec<(String, String)> {
    let read = |name: &&str| {
        let path = view.scope_dir().join(name);
        (name.to_string(), text(view.bytes(&path).expect("readable")))
    };
    names.iter().map(read).collect()
}

#[test]
fn a_view_shows_a_recorded_commit_before_it_is_applied() {
    const NAMES: [&str; 9] = [
        "a.json",
        "state.json",
        "rows.jsonl",
        "new/rows.jsonl",
        "deep/er/c.json",
        "moved.json",
        "target.json",
        "gone.json",
        "rows.jsonl.torn",
    ];
    for shape in Shape::ALL
        .into_iter()
        .filter(|shape| *shape != Shape::Group)
    {
        let mut looked_through = 0;
        for at in 0.. {
            let folder = tempfile::tempdir().expect("a folder");
            let dir = folder.path().join("one");
            shape.prepare(folder.path());
            let view = View::open(&dir).expect("readable");
            let before = seen(&view, &NAMES);
            let hooked = Arc::new(Hooked::new(move |p| {
                if p >= at {
                    Fate::Fail(Errno::IO)
                } else {
                    Fate::Go
                }
            }));
            let disk: Arc<dyn Disk> = Arc::clone(&hooked) as Arc<dyn Disk>;
            let result = shape.run(folder.path(), &disk);
            let on_disk = tree(folder.path());
            let view = View::open(&dir).expect("readable");
            let shown = seen(&view, &NAMES);
            let last = view
                .last_row(&dir.join("rows.jsonl"))
                .expect("readable")
                .map(|row| row.bytes);
            assert_eq!(tree(folder.path()), on_disk, "a reader writes nothing");
            Scope::open(&dir)
                .expect("opened")
                .recover()
                .expect("recovered");
            let view = View::open(&dir).expect("readable");
            assert_eq!(
                shown,
                seen(&view, &NAMES),
                "{shape:?} at {at}: what is shown is what recovery makes"
            );
            let recovered = last_row(&dir.join("rows.jsonl"))
                .expect("readable")
                .map(|row| row.bytes);
            assert_eq!(last, recovered, "{shape:?} at {at}");
            looked_through += usize::from(shown != before && result.is_err());
            if result.is_ok() {
                break;
            }
        }
        assert!(looked_through > 0, "{shape:?} was never seen through");
    }
}

#[test]
fn a_view_of_nothing_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let view = View::open(folder.path().join("one")).expect("no error");
    assert_eq!(
        view.last_rows(&folder.path().join("one/rows.jsonl"), 3)
            .expect("no error"),
        []
    );
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
}

/// Documents that belong together carry the same number.
fn numbered(dir: &Path, number: usize) -> Commit {
    let document = |name: &str| {
        format!(
            "{{\"name\":\"{name}\",\"number\":{number},\"pad\":\"{}\"}}",
            "x".repeat(3000)
        )
    };
    Commit::new()
        .document(dir.join("a.json"), document("a"))
        .document(dir.join("b.json"), document("b"))
        .row(dir.join("rows.jsonl"), document("row"))
}

fn number_in(bytes: &[u8]) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(bytes).expect("a whole document");
    value["number"].as_u64().expect("a number")
}

#[test]
fn readers_never_see_half_a_document_or_row_while_others_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let scope = Scope::open(&dir).expect("opened");
    scope.commit(numbered(&dir, 0)).expect("committed");
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            (1..150)
                .for_each(|number| drop(scope.commit(numbered(&dir, number)).expect("committed")));
            done.store(true, Ordering::SeqCst);
        });
        let mut newest = 0;
        while !done.load(Ordering::SeqCst) {
            number_in(
                &read_bytes(&dir.join("a.json"))
                    .expect("readable")
                    .expect("there"),
            );
            number_in(
                &last_row(&dir.join("rows.jsonl"))
                    .expect("readable")
                    .expect("there")
                    .bytes,
            );
            let view = View::open(&dir).expect("readable");
            let number = number_in(
                &view
                    .bytes(&dir.join("b.json"))
                    .expect("readable")
                    .expect("there"),
            );
            assert!(number >= newest, "{number} after {newest}");
            newest = number;
        }
    });
}

#[test]
fn a_consistent_read_is_repeated_when_a_commit_came_between() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let scope = Scope::open(&dir).expect("opened");
    scope.commit(numbered(&dir, 0)).expect("committed");
    let mut attempts = 0;
    let numbers = View::open(&dir).expect("readable").consistent(|view| {
        let a = number_in(&view.bytes(&dir.join("a.json"))?.expect("there"));
        attempts += 1;
        if attempts == 1 {
            scope.commit(numbered(&dir, 1)).expect("committed");
        }
        let b = number_in(&view.bytes(&dir.join("b.json"))?.expect("there"));
        Ok::<_, ReadError>((a, b))
    });
    assert_eq!((numbers.expect("readable"), attempts), ((1, 1), 2));
}
