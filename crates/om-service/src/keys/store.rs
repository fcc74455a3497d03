//! The record of keys on disk: looking up, and commits.

use std::path::PathBuf;

use om_model::control::Intent;
use om_model::service::ControlResponse;
use om_model::{LoopId, Timestamp, TraceId};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, LoopFile, ReadError, RepoLayout, Scope,
    read_bytes,
};

use super::document::{DocumentError, Found, Keys};

/// Answers may carry what runtimes print.
const MODE: u32 = 0o600;

/// How often a commit is tried while others change the record.
const ATTEMPTS: u32 = 20;

/// Why the record cannot be used. Nothing was executed because of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// It is not what it should be.
    #[error("invalid idempotency store: {}: {cause}; nothing was executed, repair the file or move it away", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: DocumentError,
    },
    /// It cannot be read.
    #[error("{0}; nothing was executed")]
    Unreadable(#[from] ReadError),
    /// It cannot be written.
    #[error("cannot record the idempotency key: {0}; nothing was executed")]
    Unwritable(#[from] CommitError),
}

/// The record of one loop.
#[derive(Clone, Debug)]
pub(crate) struct KeyStore {
    scope_dir: PathBuf,
    path: PathBuf,
}

impl KeyStore {
    pub(crate) fn new(layout: &RepoLayout, loop_id: &LoopId) -> Self {
        let files = layout.loop_files(loop_id);
        Self {
            path: files.path(LoopFile::ServiceIdempotency),
            scope_dir: files.scope_dir(),
        }
    }

    /// What is known of `key`.
    pub(crate) fn look_up(&self, key: &str) -> Result<Found, StoreError> {
        if self.scope_dir.is_dir() {
            self.open()?;
        }
        Ok(self.read()?.0.find(key))
    }

    /// Part of a commit: `key` is in progress, in a control whose rows have
    /// `control_key`. `None` if something is known of the key already.
    pub(crate) fn beginning(
        &self,
        key: &str,
        intent: Intent,
        trace_id: &TraceId,
        control_key: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Commit>, StoreError> {
        let (mut keys, expect) = self.read()?;
        if keys.find(key) != Found::Free {
            return Ok(None);
        }
        keys.begin(key, intent, trace_id, control_key, now);
        Ok(Some(self.write(&keys, expect)))
    }

    /// Commits [`KeyStore::beginning`] by itself; `false` if something is
    /// known of the key already.
    pub(crate) fn begin(
        &self,
        key: &str,
        intent: Intent,
        trace_id: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let scope = self.open()?;
        let mut attempt = 1;
        while let Some(commit) = self.beginning(key, intent, trace_id, None, now)? {
            match scope.commit(commit) {
                Ok(_) => return Ok(true),
                Err(CommitError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Part of a commit: the answer of `key`. Nothing if the record became
    /// unusable meanwhile: what happened is in the control's rows, and those
    /// have to be written.
    pub(crate) fn answer(
        &self,
        key: &str,
        intent: Intent,
        answer: &ControlResponse,
        now: Timestamp,
    ) -> Commit {
        match self.read() {
            Ok((mut keys, expect)) => self.write(keys.finish(key, intent, answer, now), expect),
            Err(error) => {
                tracing::error!(%error, key, "the answer is not stored");
                Commit::new()
            }
        }
    }

    /// Commits the answer of `key` by itself.
    pub(crate) fn finish(
        &self,
        key: &str,
        intent: Intent,
        answer: &ControlResponse,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.edit(|keys| {
            keys.finish(key, intent, answer, now);
        })
    }

    /// [`KeyStore::finish`], unless `key` has an answer after all.
    pub(crate) fn finish_begun(
        &self,
        key: &str,
        intent: Intent,
        answer: &ControlResponse,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.edit(|keys| {
            if matches!(keys.find(key), Found::Begun(_)) {
                keys.finish(key, intent, answer, now);
            }
        })
    }

    fn edit(&self, edit: impl Fn(&mut Keys)) -> Result<(), StoreError> {
        let scope = self.open()?;
        let mut attempt = 1;
        loop {
            let (mut keys, expect) = self.read()?;
            edit(&mut keys);
            match scope.commit(self.write(&keys, expect)) {
                Ok(_) => return Ok(()),
                Err(CommitError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The scope, with what a killed process left unfinished completed.
    fn open(&self) -> Result<Scope, StoreError> {
        let scope = Scope::open(&self.scope_dir)?;
        scope.recover()?;
        Ok(scope)
    }

    /// The record, and what a commit may replace.
    fn read(&self) -> Result<(Keys, Expect), StoreError> {
        let bytes = read_bytes(&self.path)?;
        let expect = Expect::found(bytes.as_deref());
        match Keys::parse(bytes.as_deref()) {
            Ok(keys) => Ok((keys, expect)),
            Err(cause) => Err(StoreError::Invalid {
                path: self.path.clone(),
                cause,
            }),
        }
    }

    fn write(&self, keys: &Keys, expect: Expect) -> Commit {
        let options = DocumentOptions {
            expect,
            mode: Some(MODE),
            last: false,
        };
        Commit::new().document_with(&self.path, keys.to_bytes(), options)
    }
}
