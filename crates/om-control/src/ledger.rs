//! Recording intents and outcomes: the commits of a control run.

use om_model::Timestamp;
use om_model::control::{IntentRow, PendingIntent};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, LoopFile, LoopLayout, RunLock, Scope, read_bytes,
};

use crate::error::ControlError;
use crate::outcome::Outcome;
use crate::pending::PendingDocument;
use crate::rows::{Author, Rows};
use crate::run::Alongside;

/// How often a commit is tried while somebody else edits the pending list.
const ATTEMPTS: u32 = 20;

/// For commits that are about the intent alone.
const NOTHING_MORE: Alongside<'static> = &|_| Commit::new();

/// Whether the process of an entry may still end it, at a time.
pub(crate) type IsAlive<'a> = &'a dyn Fn(&PendingIntent, Timestamp) -> bool;

/// The record of one loop's intents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) files: &'a LoopLayout,
}

impl Ledger<'_> {
    /// Commits the intent before anything is done about it.
    pub(crate) fn begin(&self, entry: &PendingIntent) -> Result<(), ControlError> {
        self.edit(NOTHING_MORE, |pending| {
            pending.add(entry);
            Some(Vec::new())
        })
    }

    /// Commits the outcome: three rows, what belongs to them, and the intent
    /// is no longer pending.
    pub(crate) fn finish(
        &self,
        entry: &PendingIntent,
        rows: &Rows,
        alongside: Alongside<'_>,
    ) -> Result<(), ControlError> {
        self.edit(alongside, |pending| {
            pending.remove(&entry.control_id);
            Some(vec![rows.clone()])
        })
    }

    /// Gives every intent whose process is gone its three rows.
    pub(crate) fn recover(
        &self,
        now: Timestamp,
        is_alive: IsAlive<'_>,
    ) -> Result<Vec<IntentRow>, ControlError> {
        // Nearly always nothing is pending, and then nothing is locked.
        if gone(&self.read()?.0, now, is_alive).is_empty() {
            return Ok(Vec::new());
        }
        let mut recovered = Vec::new();
        self.edit(NOTHING_MORE, |pending| {
            let gone = gone(pending, now, is_alive);
            let rows = gone.iter().map(|entry| {
                pending.remove(&entry.control_id);
                Rows::new(entry, &Outcome::unknown(), now, Author::Recovery)
            });
            let rows: Vec<Rows> = rows.collect();
            recovered = rows.iter().map(|rows| rows.intent.clone()).collect();
            (!rows.is_empty()).then_some(rows)
        })?;
        Ok(recovered)
    }

    /// Edits the pending list and appends rows in one commit, with what
    /// `alongside` makes of each. `edit` returns `None` if there is nothing to
    /// commit after all.
    fn edit(
        &self,
        alongside: Alongside<'_>,
        mut edit: impl FnMut(&mut PendingDocument) -> Option<Vec<Rows>>,
    ) -> Result<(), ControlError> {
        // Several controls of one loop may run at once; only this short
        // read-and-commit is done one after the other.
        let _turn = self.turn()?;
        let path = self.files.path(LoopFile::ControlPending);
        let mut attempt = 1;
        loop {
            let (mut pending, expect) = self.read()?;
            let Some(rows) = edit(&mut pending) else {
                return Ok(());
            };
            let options = DocumentOptions {
                expect,
                ..DocumentOptions::default()
            };
            let commit = rows.iter().fold(Commit::new(), |commit, rows| {
                let commit = rows.append_to(commit, self.files);
                commit.merge(alongside(&rows.intent))
            });
            let commit = commit.document_with(&path, pending.to_bytes(), options);
            match self.scope.commit(commit) {
                Ok(_) => return Ok(()),
                Err(CommitError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn turn(&self) -> Result<RunLock, ControlError> {
        Ok(self.scope.run_lock("control-record")?)
    }

    /// The pending list as it stands, and what a commit may replace.
    fn read(&self) -> Result<(PendingDocument, Expect), ControlError> {
        let path = self.files.path(LoopFile::ControlPending);
        let bytes = read_bytes(&path)?;
        let expect = Expect::found(bytes.as_deref());
        match PendingDocument::parse(bytes.as_deref()) {
            Ok(pending) => Ok((pending, expect)),
            Err(cause) => Err(ControlError::PendingInvalid { path, cause }),
        }
    }
}

/// The entries whose process is gone.
fn gone(pending: &PendingDocument, now: Timestamp, is_alive: IsAlive<'_>) -> Vec<PendingIntent> {
    let mut entries = pending.entries();
    entries.retain(|entry| !is_alive(entry, now));
    entries
}

/// Turns intents whose process is gone into their three rows: ambiguous, with
/// `recovered: true`, in one commit (decision D7). Nothing is executed.
///
/// Called by every control run and by every reconcile, with
/// [`crate::owner::is_alive`]. Costs one read of a small file when nothing is
/// pending. `scope` is that of `files`; the caller has recovered it
/// ([`Scope::recover`]), so that what is read is true. Returns the rows of
/// `intents.jsonl`.
pub fn recover_pending(
    scope: &Scope,
    files: &LoopLayout,
    now: Timestamp,
    is_alive: &dyn Fn(&PendingIntent, Timestamp) -> bool,
) -> Result<Vec<IntentRow>, ControlError> {
    Ledger { scope, files }.recover(now, is_alive)
}
