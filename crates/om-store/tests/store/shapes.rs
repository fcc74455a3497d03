//! The kinds of commits that are interrupted at every operation.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use om_store::disk::Disk;
use om_store::{Commit, DocumentOptions, Scope, commit_group};

/// A commit and what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Documents, one of them new, in a folder that does not exist yet.
    Documents,
    /// Rows for two journals, one of them new.
    Rows,
    /// Rows, documents, and `state.json` last.
    Mixed,
    /// Rows for a journal that ends in the middle of a line.
    TornTail,
    /// A file renamed over another, two removed.
    MovesAndRemovals,
    /// Two loops in one group.
    Group,
    /// The log is full: a checkpoint comes first.
    Checkpoint,
    /// The first commit of a scope.
    First,
    /// Rows of a journal go to a file of their own.
    Archive,
}

impl Shape {
    pub(crate) const ALL: [Self; 9] = [
        Self::Documents,
        Self::Rows,
        Self::Mixed,
        Self::TornTail,
        Self::MovesAndRemovals,
        Self::Group,
        Self::Checkpoint,
        Self::First,
        Self::Archive,
    ];

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|shape| shape.name() == name)
            .expect("a shape")
    }

    /// Scopes that the commit is about, below the folder of all scopes.
    pub(crate) fn scopes(self) -> &'static [&'static str] {
        if self == Self::Group {
            &["one", "two"]
        } else {
            &["one"]
        }
    }

    /// From this many bytes on a checkpoint is made.
    pub(crate) fn checkpoint_bytes(self) -> u64 {
        if self == Self::Checkpoint { 1 } else { 1 << 20 }
    }

    /// What is there before.
    pub(crate) fn prepare(self, ops: &Path) {
        for name in self.scopes() {
            let dir = ops.join(name);
            fs::create_dir_all(&dir).expect("made");
            for (file, content) in [
                ("a.json", "a before"),
                ("state.json", "state before"),
                ("rows.jsonl", "row before\n"),
                ("moved.json", "moved"),
                ("target.json", "target before"),
                ("gone.json", "gone before"),
            ] {
                fs::write(dir.join(file), content).expect("written");
            }
            if self != Self::First {
                let earlier = Commit::new()
                    .document(dir.join("b.json"), "b before")
                    .row(dir.join("rows.jsonl"), "early");
                Scope::open(dir)
                    .expect("opened")
                    .commit(earlier)
                    .expect("committed");
            }
        }
        if self == Self::TornTail {
            let journal = ops.join("one/rows.jsonl");
            let mut content = fs::read(&journal).expect("readable");
            content.extend_from_slice(b"unfinish");
            fs::write(journal, content).expect("written");
        }
    }

    /// The commit of one scope.
    pub(crate) fn commit(self, dir: &Path) -> Commit {
        let rows = |commit: Commit| {
            let journal = dir.join("rows.jsonl");
            commit
                .row(&journal, "r1")
                .row(dir.join("new/rows.jsonl"), "n1")
                .row(&journal, "r2")
        };
        let documents = |commit: Commit| {
            let last = DocumentOptions {
                last: true,
                ..DocumentOptions::default()
            };
            commit
                .document_with(dir.join("state.json"), "state after", last)
                .document(dir.join("a.json"), "a after")
                .document(dir.join("deep/er/c.json"), "c after")
        };
        match self {
            Self::Documents => documents(Commit::new()),
            Self::Rows => rows(Commit::new()),
            Self::Archive => Commit::new(),
            Self::TornTail => Commit::new().row(dir.join("rows.jsonl"), "r1"),
            Self::MovesAndRemovals => Commit::new()
                .rename(dir.join("moved.json"), dir.join("target.json"))
                .removal(dir.join("gone.json"))
                .removal(dir.join("never-there.json")),
            Self::Mixed | Self::Group | Self::Checkpoint | Self::First => {
                documents(rows(Commit::new()))
            }
        }
    }

    /// Runs it on `disk`.
    pub(crate) fn run(self, ops: &Path, disk: &Arc<dyn Disk>) -> Result<(), om_store::CommitError> {
        let open =
            |name: &str| Scope::open_on(ops.join(name), Arc::clone(disk), self.checkpoint_bytes());
        if self == Self::Archive {
            let journal = ops.join("one/rows.jsonl");
            let archive = ops.join("one/rows.archive.jsonl");
            let until = fs::metadata(&journal).expect("is there").len();
            let mut goes = |line: &om_store::Line<'_>| line.bytes == b"row before";
            let moved = open("one")?.archive_rows(&journal, &archive, until, &mut goes);
            return moved.map(|_| ());
        }
        if self != Self::Group {
            return open("one")?
                .commit(self.commit(&ops.join("one")))
                .map(|_| ());
        }
        let mut members = Vec::new();
        for name in self.scopes() {
            members.push((open(name)?, self.commit(&ops.join(name))));
        }
        commit_group(&open("fleet")?, members)
            .into_iter()
            .try_for_each(|result| result.map(|_| ()))
    }
}

/// Every file of a scope that is not the store's own, with its content.
pub(crate) fn tree(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                if !path.ends_with(".store") {
                    folders.push(path);
                }
            } else {
                // A dangling link counts as an empty file.
                let content = fs::read(&path).unwrap_or_default();
                let name = path.strip_prefix(dir).expect("below").to_owned();
                files.push((name, String::from_utf8_lossy(&content).into_owned()));
            }
        }
    }
    files.sort();
    files
}

/// No temporaries are left, here or beside the documents.
pub(crate) fn assert_swept(dir: &Path) {
    for entry in fs::read_dir(dir.join(".store")).expect("readable") {
        let name = entry
            .expect("readable")
            .file_name()
            .to_string_lossy()
            .into_owned();
        assert!(
            !name.starts_with("tmp-"),
            "{name} was left in {}",
            dir.display()
        );
    }
}
