//! What a scope should contain, kept beside the real thing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use om_store::{Commit, DocumentOptions};

use crate::random::Random;

const DOCUMENTS: [&str; 4] = ["state.json", "a.json", "b.json", "telemetry/c.json"];
const JOURNALS: [&str; 3] = ["rows.jsonl", "telemetry/one.jsonl", "telemetry/two.jsonl"];

/// The content of a scope.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) documents: BTreeMap<PathBuf, String>,
    /// Complete lines.
    pub(crate) journals: BTreeMap<PathBuf, Vec<String>>,
}

impl fmt::Debug for Model {
    /// Names and what makes the texts unique, without their padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = |text: &String| {
            text.split(',')
                .next()
                .unwrap_or_default()
                .replace(['{', '"'], "")
        };
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        for (path, text) in &self.documents {
            writeln!(f, "{} = {}", name(path), brief(text))?;
        }
        for (path, rows) in &self.journals {
            let rows: Vec<_> = rows.iter().map(brief).collect();
            writeln!(f, "{}: {}", name(path), rows.join(" "))?;
        }
        Ok(())
    }
}

/// Makes texts that occur once in a test.
#[derive(Debug, Default)]
pub(crate) struct Unique(u64);

impl From<u64> for Unique {
    /// Counts from there.
    fn from(start: u64) -> Self {
        Self(start)
    }
}

impl Unique {
    pub(crate) fn text(&mut self, what: &str, random: &mut Random) -> String {
        self.0 += 1;
        // Some are longer than a sector, so that they can be torn.
        let padding = "x".repeat(random.below(4) * random.below(400));
        format!("{{\"{what}\":{},\"padding\":\"{padding}\"}}", self.0)
    }
}

/// Documents of the scope at `dir`, one of them outside of it.
pub(crate) fn document_paths(dir: &Path) -> Vec<PathBuf> {
    let ops = dir.parent().expect("a folder");
    let name = dir.file_name().expect("a name");
    let outside = ops.with_file_name("loops").join(name).join("d.json");
    DOCUMENTS
        .iter()
        .map(|name| dir.join(name))
        .chain([outside])
        .collect()
}

/// Journals of the scope at `dir`.
pub(crate) fn journal_paths(dir: &Path) -> Vec<PathBuf> {
    JOURNALS.iter().map(|name| dir.join(name)).collect()
}

impl Model {
    /// A random commit of the scope at `dir` and the model after it. It has
    /// one row at least, by which one sees whether it happened.
    pub(crate) fn random_commit(
        &self,
        dir: &Path,
        random: &mut Random,
        unique: &mut Unique,
    ) -> (Commit, Self) {
        let mut after = self.clone();
        let mut commit = Commit::new();
        for _ in 0..=random.below(4) {
            let journal = random.choose(&journal_paths(dir)).clone();
            // Equal rows are rows of their own.
            let row = match random.below(4) {
                0 => "{\"row\":\"again\"}".to_owned(),
                _ => unique.text("row", random),
            };
            commit = commit.row(&journal, row.clone());
            after.journals.entry(journal).or_default().push(row);
        }
        for path in document_paths(dir) {
            match random.below(5) {
                0 | 1 => {}
                2 if self.documents.contains_key(&path) => {
                    after.documents.remove(&path);
                    commit = commit.removal(path);
                }
                _ => {
                    // Some contents come back, as those of real documents do.
                    let text = match random.below(3) {
                        0 => format!("{{\"again\":{}}}", random.below(2)),
                        _ => unique.text("document", random),
                    };
                    let options = DocumentOptions {
                        last: path.ends_with("state.json"),
                        ..DocumentOptions::default()
                    };
                    commit = commit.document_with(&path, text.clone(), options);
                    after.documents.insert(path, text);
                }
            }
        }
        (commit, after)
    }

    /// What `read` finds in the scope at `dir`.
    pub(crate) fn observe(dir: &Path, read: impl Fn(&Path) -> Option<Vec<u8>>) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut model = Self::default();
        for path in document_paths(dir) {
            if let Some(bytes) = read(&path) {
                model.documents.insert(path, text(bytes));
            }
        }
        for path in journal_paths(dir) {
            let content = read(&path).map(text).unwrap_or_default();
            let lines: Vec<_> = content
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'))
                .collect();
            if !lines.is_empty() {
                model
                    .journals
                    .insert(path, lines.into_iter().map(str::to_owned).collect());
            }
        }
        model
    }
}
