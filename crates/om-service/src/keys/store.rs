//! The record of keys on disk: looking up, and commits.

use std::path::PathBuf;

use om_model::control::Intent;
use om_model::service::ControlResponse;
use om_model::{LoopId, Timestamp, TraceId};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, ReadError, RepoLayout, Scope, read_bytes,
};

use super::document::{DocumentError, Found, Keys};

/// The file's name in the scope of a loop.
const FILE: &str = "service-idempotency.json";

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
        let scope_dir = layout.loop_files(loop_id).scope_dir();
        Self {
            path: scope_dir.join(FILE),
            scope_dir,
        }
    }

    /// What is known of `key`.
    pub(crate) fn look_up(&self, key: &str) -> Result<Found, StoreError> {
        if self.scope_dir.is_dir() {
            self.open()?;
        }
        Ok(self.read()?.0.find(key))
    }

    /// Commits `key` as in progress if nothing is known of it, and returns
    /// what was.
    pub(crate) fn begin(
        &self,
        key: &str,
        intent: Intent,
        trace_id: &TraceId,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        let scope = self.open()?;
        let mut attempt = 1;
        loop {
            let (mut keys, expect) = self.read()?;
            let found = keys.find(key);
            if found != Found::Free {
                return Ok(found);
            }
            keys.begin(key, intent, trace_id, now);
            match scope.commit(self.write(&keys, expect)) {
                Ok(_) => return Ok(Found::Free),
                Err(CommitError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
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

    /// Forgets `key`: nothing was executed.
    pub(crate) fn forget(&self, key: &str) -> Result<(), StoreError> {
        self.edit(|keys| {
            keys.forget(key);
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
