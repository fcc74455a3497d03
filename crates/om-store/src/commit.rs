//! What an evaluation wants changed, as a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::digest::Sha256Digest;
use crate::error::CommitError;

/// Most members of one group (architecture, "The commit").
pub const MAX_GROUP: usize = 256;

/// What the evaluation read where a document is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// It does not matter.
    #[default]
    Any,
    /// No file.
    Absent,
    /// A file with this content.
    Content(Sha256Digest),
}

impl Expect {
    /// What [`crate::read_bytes`] found.
    pub fn found(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::Absent, |bytes| Self::Content(crate::digest(bytes)))
    }
}

/// How a document is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DocumentOptions {
    /// Precondition; if it does not hold, the whole commit is refused.
    pub expect: Expect,
    /// Permission bits; by default those of the existing file, else 0644.
    pub mode: Option<u32>,
    /// Applied after everything else, so that whoever sees it sees the rest
    /// (`state.json`).
    pub last: bool,
}

/// One whole-file document to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentWrite {
    /// Where; a symlink is kept and its target replaced.
    pub path: PathBuf,
    /// The new content.
    pub bytes: Vec<u8>,
    /// How.
    pub options: DocumentOptions,
}

/// One row to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowAppend {
    /// The journal.
    pub path: PathBuf,
    /// The row without its newline.
    pub bytes: Vec<u8>,
}

/// One file to rename within its file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMove {
    /// The existing file.
    pub from: PathBuf,
    /// Its new name; a file there is replaced.
    pub to: PathBuf,
}

/// A set of changes that happens wholly or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Documents to replace.
    pub documents: Vec<DocumentWrite>,
    /// Rows to append, in this order per journal.
    pub rows: Vec<RowAppend>,
    /// Files to rename.
    pub moves: Vec<FileMove>,
    /// Files to remove; missing ones are fine.
    pub removals: Vec<PathBuf>,
    /// Preconditions on files in `removals`; if one does not hold, the whole
    /// commit is refused.
    pub removal_expects: BTreeMap<PathBuf, Expect>,
}

impl Commit {
    /// A commit that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
            && self.rows.is_empty()
            && self.moves.is_empty()
            && self.removals.is_empty()
    }

    /// Replaces a document, whatever is there.
    #[must_use]
    pub fn document(self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.document_with(path, bytes, DocumentOptions::default())
    }

    /// Replaces a document. A later write of the same document replaces an
    /// earlier one of this commit, whose precondition stays.
    #[must_use]
    pub fn document_with(
        mut self,
        path: impl Into<PathBuf>,
        bytes: impl Into<Vec<u8>>,
        options: DocumentOptions,
    ) -> Self {
        self.write(DocumentWrite {
            path: path.into(),
            bytes: bytes.into(),
            options,
        });
        self
    }

    /// Appends a row, given without its newline.
    #[must_use]
    pub fn row(mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.rows.push(RowAppend {
            path: path.into(),
            bytes: bytes.into(),
        });
        self
    }

    /// Renames a file.
    #[must_use]
    pub fn rename(mut self, from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        self.moves.push(FileMove {
            from: from.into(),
            to: to.into(),
        });
        self
    }

    /// Removes a file, and forgets an earlier write of it in this commit.
    #[must_use]
    pub fn removal(mut self, path: impl Into<PathBuf>) -> Self {
        self.remove(path.into());
        self
    }

    /// [`Self::removal`] of a file that has to be what was read.
    #[must_use]
    pub fn removal_of(mut self, path: impl Into<PathBuf>, expect: Expect) -> Self {
        let path = path.into();
        self.removal_expects.insert(path.clone(), expect);
        self.remove(path);
        self
    }

    /// Both commits as one, `later` winning where both write or remove a
    /// document; rows keep their order.
    #[must_use]
    pub fn merge(mut self, later: Self) -> Self {
        for document in later.documents {
            self.write(document);
        }
        self.rows.extend(later.rows);
        self.moves.extend(later.moves);
        for path in later.removals {
            self.remove(path);
        }
        for (path, expect) in later.removal_expects {
            self.removal_expects.entry(path).or_insert(expect);
        }
        self
    }

    fn write(&mut self, mut document: DocumentWrite) {
        if self.removals.contains(&document.path) {
            // Its precondition was about the state after the removal.
            self.removals.retain(|path| *path != document.path);
            document.options.expect = Expect::Any;
        }
        match self
            .documents
            .iter_mut()
            .find(|earlier| earlier.path == document.path)
        {
            Some(earlier) => {
                document.options.expect = earlier.options.expect;
                document.options.mode = document.options.mode.or(earlier.options.mode);
                *earlier = document;
            }
            None => self.documents.push(document),
        }
    }

    fn remove(&mut self, path: PathBuf) {
        self.documents.retain(|document| document.path != path);
        if !self.removals.contains(&path) {
            self.removals.push(path);
        }
    }
}

/// An edit by someone else that recovery or a commit met and left alone; also
/// a record of ours that someone or something damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignEdit {
    /// The file.
    pub path: PathBuf,
    /// What was found and what that means, for an operator.
    pub what: &'static str,
}

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Recorded commits that were examined.
    pub examined: usize,
    /// Edits by others, left alone, and damaged records, kept as evidence.
    pub foreign: Vec<ForeignEdit>,
}

/// What a commit did beyond what it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What [`Recovery::foreign`] says, before or during the commit.
    pub foreign: Vec<ForeignEdit>,
}

/// The outcome of one member of a group.
pub type GroupResult = Result<Receipt, CommitError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_write_of_a_document_wins_but_the_first_precondition_stays() {
        let options = DocumentOptions {
            expect: Expect::Absent,
            mode: Some(0o600),
            last: false,
        };
        let first = Commit::new()
            .document_with("a", "1", options)
            .row("j", "r1");
        let second = DocumentOptions {
            expect: Expect::Any,
            mode: None,
            last: true,
        };
        let later = Commit::new().document_with("a", "2", second).row("j", "r2");
        let merged = first.merge(later);
        assert_eq!(merged.documents.len(), 1);
        assert_eq!(merged.documents[0].bytes, b"2");
        let expected = DocumentOptions {
            expect: Expect::Absent,
            mode: Some(0o600),
            last: true,
        };
        assert_eq!(merged.documents[0].options, expected);
        let rows: Vec<_> = merged.rows.iter().map(|row| row.bytes.as_slice()).collect();
        assert_eq!(rows, [b"r1", b"r2"]);
    }

    #[test]
    fn of_a_write_and_a_removal_the_later_one_counts() {
        let removed = Commit::new()
            .document("a", "1")
            .merge(Commit::new().removal("a"));
        assert_eq!((removed.documents.len(), removed.removals.len()), (0, 1));
        let options = DocumentOptions {
            expect: Expect::Absent,
            ..DocumentOptions::default()
        };
        let written = removed.merge(Commit::new().document_with("a", "2", options));
        assert_eq!((written.documents.len(), written.removals.len()), (1, 0));
        assert_eq!(written.documents[0].options.expect, Expect::Any);
    }

    #[test]
    fn an_empty_commit_is_empty() {
        assert!(Commit::new().is_empty());
        assert!(!Commit::new().removal("a").is_empty());
    }
}
