//! The registry file while it is being edited (decision D20).

use std::path::{Path, PathBuf};

use om_model::Timestamp;
use om_store::{Commit, CommitError, DocumentOptions, Expect, Scope, read_bytes};

use crate::edit::{EditError, Text};
use crate::error::Rejection;
use crate::evaluate::{Evaluation, evaluate};

/// The fleet's run lock that every edit of the registry holds.
pub const EDIT_LOCK: &str = "fleet-registry-edit";

/// The registry file as it was read, and as it shall be.
#[derive(Clone, Debug)]
pub struct RegistryFile {
    path: PathBuf,
    name: String,
    found: Vec<u8>,
    /// The text that is edited.
    pub text: Text,
}

/// Why an edit was not written. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else edited the file meanwhile.
    #[error("fleet registry changed while it was being edited: {file}")]
    Changed {
        /// The path as given.
        file: String,
    },
    /// The commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl RegistryFile {
    /// Reads the file; `name` is its path as given.
    pub fn read(name: &str) -> Result<Self, Rejection> {
        let path = Path::new(name);
        let Some(found) = read_bytes(path)? else {
            let file = name.to_owned();
            return Err(Rejection::NotFound { file });
        };
        let text = Text::parse(found.clone()).map_err(|error| match error {
            EditError::Malformed(cause) => Rejection::Malformed {
                file: name.to_owned(),
                cause,
            },
            // Parsing knows no other error.
            other => Rejection::Malformed {
                file: name.to_owned(),
                cause: om_model::json::ParseError::Malformed(other.to_string()),
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            name: name.to_owned(),
            found,
            text,
        })
    }

    /// The path as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes as they were read.
    pub fn found(&self) -> &[u8] {
        &self.found
    }

    /// Whether the text differs from what was read.
    pub fn is_changed(&self) -> bool {
        self.text.bytes() != self.found
    }

    /// Judges the file as it was read.
    pub fn before(&self, now: Timestamp) -> Result<Evaluation, Rejection> {
        evaluate(&self.found, &self.name, now)
    }

    /// Judges the text as it is now.
    pub fn after(&self, now: Timestamp) -> Result<Evaluation, Rejection> {
        evaluate(self.text.bytes(), &self.name, now)
    }

    /// `commit` with this edit in it.
    #[must_use]
    pub fn add_to(&self, commit: Commit) -> Commit {
        let options = DocumentOptions {
            expect: Expect::found(Some(&self.found)),
            ..DocumentOptions::default()
        };
        commit.document_with(self.target(), self.text.bytes(), options)
    }

    /// Commits a commit that has this edit in it. The caller holds
    /// [`EDIT_LOCK`]; whoever edits without it is found out by the digest of
    /// what was read.
    pub fn commit(&self, scope: &Scope, commit: Commit) -> Result<(), WriteError> {
        match scope.commit(commit) {
            Ok(_) => Ok(()),
            Err(CommitError::Changed { path }) if path == self.target() => {
                Err(WriteError::Changed {
                    file: self.name.clone(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The path in a commit.
    fn target(&self) -> PathBuf {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }
}
