//! Several writers in one scope.

use std::fs;
use std::thread;

use om_store::{Commit, CommitError, DocumentOptions, Expect, Scope, commit_group, read_bytes};

const WRITERS: usize = 4;
const COMMITS: usize = 25;

#[test]
fn writers_of_one_scope_lose_and_double_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("one");
    let (counter, journal) = (dir.join("counter.json"), dir.join("rows.jsonl"));
    // Each raises a counter by read, check and write, and says so in a row.
    let raise = |writer: usize, scope: &Scope| {
        loop {
            let found = read_bytes(&counter).expect("readable");
            let value: usize = found.as_deref().map_or(0, |bytes| {
                String::from_utf8_lossy(bytes).parse().expect("a number")
            });
            let options = DocumentOptions {
                expect: Expect::found(found.as_deref()),
                ..DocumentOptions::default()
            };
            let next = value + 1;
            let commit = Commit::new()
                .document_with(&counter, next.to_string(), options)
                .row(&journal, format!("{next} by {writer}"));
            match scope.commit(commit) {
                Ok(_) => return,
                Err(CommitError::Changed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    thread::scope(|threads| {
        for writer in 0..WRITERS {
            let (dir, raise) = (&dir, &raise);
            threads.spawn(move || {
                let scope = Scope::open(dir).expect("opened");
                (0..COMMITS).for_each(|_| raise(writer, &scope));
            });
        }
    });
    assert_eq!(
        fs::read_to_string(&counter).expect("readable"),
        (WRITERS * COMMITS).to_string()
    );
    let rows = fs::read_to_string(&journal).expect("readable");
    let numbers: Vec<usize> = rows
        .lines()
        .map(|row| {
            row.split(' ')
                .next()
                .expect("a word")
                .parse()
                .expect("a number")
        })
        .collect();
    assert_eq!(numbers, (1..=WRITERS * COMMITS).collect::<Vec<_>>());
}

#[test]
fn groups_and_single_commits_of_the_same_loops_do_not_get_stuck() {
    let folder = tempfile::tempdir().expect("a folder");
    let dirs: Vec<_> = (0..3).map(|n| folder.path().join(n.to_string())).collect();
    let commit = |n: usize| {
        Commit::new()
            .row(dirs[n].join("rows.jsonl"), "row")
            .document(dirs[n].join("a.json"), "x")
    };
    thread::scope(|threads| {
        for order in [[0, 1, 2], [2, 0, 1]] {
            let (dirs, commit, folder) = (&dirs, &commit, &folder);
            threads.spawn(move || {
                let fleet = Scope::open(folder.path().join("fleet")).expect("opened");
                for _ in 0..10 {
                    let member = |n: usize| (Scope::open(&dirs[n]).expect("opened"), commit(n));
                    for result in commit_group(&fleet, order.map(member).into()) {
                        result.expect("committed");
                    }
                }
            });
        }
        for (n, dir) in dirs.iter().enumerate() {
            let commit = &commit;
            threads.spawn(move || {
                let scope = Scope::open(dir).expect("opened");
                (0..10).for_each(|_| drop(scope.commit(commit(n)).expect("committed")));
            });
        }
    });
    for dir in &dirs {
        assert_eq!(
            fs::read_to_string(dir.join("rows.jsonl"))
                .expect("readable")
                .lines()
                .count(),
            30
        );
    }
}
