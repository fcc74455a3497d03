//! What one redo record says: everything needed to apply a commit again.
//!
//! A record is an index (JSON) and a body (raw bytes) that the index points
//! into, so documents are stored as they are.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::disk::Identity;

/// A range of a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// One commit as recorded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pass {
    pub(crate) documents: Vec<DocumentEntry>,
    pub(crate) journals: Vec<JournalEntry>,
    pub(crate) moves: Vec<MoveEntry>,
    pub(crate) removals: Vec<RemovalEntry>,
    #[serde(skip)]
    pub(crate) body: Vec<u8>,
}

/// A document to replace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DocumentEntry {
    pub(crate) path: StoredPath,
    /// Digest of what it replaces, `None` for no file.
    pub(crate) before: Option<Sha256Digest>,
    pub(crate) after: Sha256Digest,
    pub(crate) mode: u32,
    pub(crate) last: bool,
    pub(crate) content: Span,
}

/// Rows to append to one journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JournalEntry {
    pub(crate) path: StoredPath,
    /// Where the rows belong: the length once a torn tail is cut off.
    pub(crate) length: u64,
    /// The rows, each with its newline.
    pub(crate) rows: Span,
    pub(crate) torn: Option<TornEntry>,
}

/// An unterminated tail to move to `<journal>.torn` first (decision D8).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TornEntry {
    /// The tail, with a newline added.
    pub(crate) row: Span,
    /// Length of the `.torn` file at the time.
    pub(crate) length: u64,
}

/// A file to rename.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MoveEntry {
    pub(crate) from: StoredPath,
    pub(crate) to: StoredPath,
    pub(crate) identity: Identity,
    /// What stood at `to`.
    pub(crate) replaced: Option<Identity>,
}

/// A file to remove.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RemovalEntry {
    pub(crate) path: StoredPath,
    pub(crate) before: Sha256Digest,
}

impl Pass {
    /// Adds bytes to the body.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Span {
        let span = Span {
            start: self.body.len(),
            length: bytes.len(),
        };
        self.body.extend_from_slice(bytes);
        span
    }

    /// The bytes of a span; empty if it lies outside of the body, which a
    /// record with a valid checksum never has.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let end = span.start.saturating_add(span.length);
        self.body.get(span.start..end).unwrap_or_default()
    }

    /// The index as stored.
    pub(crate) fn index(&self) -> Vec<u8> {
        // Only strings, numbers and lists: serialising cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The pass of a stored index and body.
    pub(crate) fn parse(index: &[u8], body: Vec<u8>) -> Option<Self> {
        let mut pass: Self = serde_json::from_slice(index).ok()?;
        pass.body = body;
        Some(pass)
    }

    /// Every file whose content or name the pass changes, and their folders:
    /// what has to be durable before the record may go.
    pub(crate) fn touched(&self, scope_dir: &Path) -> Vec<PathBuf> {
        let documents = self.documents.iter().map(|entry| &entry.path);
        let moves = self.moves.iter().flat_map(|entry| [&entry.from, &entry.to]);
        let removals = self.removals.iter().map(|entry| &entry.path);
        let journals = self.journals.iter().map(|entry| &entry.path);
        let plain = documents.chain(moves).chain(removals).chain(journals);
        let torn = self.journals.iter().filter(|entry| entry.torn.is_some());
        let files = plain
            .map(|path| path.under(scope_dir))
            .chain(torn.map(|entry| torn_path(&entry.path.under(scope_dir))));
        let mut all = Vec::new();
        for file in files {
            // Folders may be new, so their own entries count too.
            all.extend(file.ancestors().skip(1).take(4).map(Path::to_owned));
            all.push(file);
        }
        all
    }
}

/// Where the unterminated tail of a journal goes.
pub(crate) fn torn_path(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(".torn");
    PathBuf::from(name)
}

/// A path as recorded: relative to the scope where the file is in the same
/// repository, so that a repository that was moved still recovers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredPath(#[serde(with = "path_text")] PathBuf);

impl StoredPath {
    /// Records the absolute `path`.
    pub(crate) fn new(scope_dir: &Path, path: &Path) -> Self {
        // <repo>/.superloop/ops-manager/<scope>: three levels below the repo.
        for (levels, ancestor) in scope_dir.ancestors().take(4).enumerate() {
            if ancestor.parent().is_none() {
                break;
            }
            if let Ok(rest) = path.strip_prefix(ancestor) {
                let up = std::iter::repeat_n(Component::ParentDir, levels);
                return Self(up.collect::<PathBuf>().join(rest));
            }
        }
        Self(path.to_owned())
    }

    /// The absolute path, seen from the scope.
    pub(crate) fn under(&self, scope_dir: &Path) -> PathBuf {
        // Lexically, as it was made: `..` must not go through symlinks.
        let mut base = scope_dir;
        let mut rest = self.0.as_path();
        while let Ok(shorter) = rest.strip_prefix(Component::ParentDir) {
            base = base.parent().unwrap_or(base);
            rest = shorter;
        }
        base.join(rest)
    }
}

/// Paths as JSON text; those that are not UTF-8 as NUL and hexadecimal
/// digits (a path cannot contain NUL).
mod path_text {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::digest::{from_hex, to_hex};

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&format!("\0{}", to_hex(path.as_os_str().as_bytes()))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(source)?;
        let Some(hex) = text.strip_prefix('\0') else {
            return Ok(PathBuf::from(text));
        };
        let bytes = from_hex(hex).ok_or_else(|| serde::de::Error::custom("not a path"))?;
        Ok(PathBuf::from(OsString::from_vec(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_recorded_path_follows_the_repository_when_it_moves() {
        let scope = Path::new("/r/.superloop/ops-manager/a");
        let moved = Path::new("/elsewhere/r2/.superloop/ops-manager/a");
        for (path, after) in [
            (
                "/r/.superloop/ops-manager/a/state.json",
                "/elsewhere/r2/.superloop/ops-manager/a/state.json",
            ),
            (
                "/r/.superloop/loops/a/cursor",
                "/elsewhere/r2/.superloop/loops/a/cursor",
            ),
            ("/r/config/x.json", "/elsewhere/r2/config/x.json"),
            ("/tmp/x.json", "/tmp/x.json"),
        ] {
            let stored = StoredPath::new(scope, Path::new(path));
            assert_eq!(stored.under(scope), Path::new(path));
            assert_eq!(stored.under(moved), Path::new(after));
        }
    }

    #[test]
    fn a_path_that_is_no_text_survives_the_record() {
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/x/\xff.json"));
        let stored = StoredPath::new(Path::new("/r/s"), path);
        let json = serde_json::to_string(&stored).expect("serialises");
        let back: StoredPath = serde_json::from_str(&json).expect("parses");
        assert_eq!(back.under(Path::new("/r/s")), path);
    }
}
