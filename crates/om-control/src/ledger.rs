//! Recording intents and outcomes: the commits of a control run.

use std::time::Duration;

use om_model::Timestamp;
use om_model::control::{IntentRow, PendingIntent};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, LoopFile, LoopLayout, RunLock, Scope, read_bytes,
};

use crate::clock::Clock;
use crate::error::ControlError;
use crate::outcome::Outcome;
use crate::pending::PendingDocument;
use crate::rows::{Author, Rows};
use crate::run::Record;

/// How often a commit is tried while somebody else edits the pending list.
const ATTEMPTS: u32 = 20;

/// Before each further attempt to record an outcome.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

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
    pub(crate) fn begin(
        &self,
        entry: &PendingIntent,
        record: &dyn Record,
    ) -> Result<(), ControlError> {
        self.edit(|pending| {
            pending.add(entry);
            record.begun(entry).map(Some).ok_or(ControlError::Withheld)
        })
    }

    /// Commits the outcome: three rows, what belongs to them, and the intent
    /// is no longer pending.
    pub(crate) fn finish(
        &self,
        entry: &PendingIntent,
        rows: &Rows,
        record: &dyn Record,
    ) -> Result<(), ControlError> {
        self.edit(|pending| {
            pending.remove(&entry.control_id);
            let commit = rows.append_to(Commit::new(), self.files);
            Ok(Some(commit.merge(record.ended(&rows.intent))))
        })
    }

    /// [`Ledger::finish`], tried again for about two seconds. If it cannot be,
    /// the entry says that nobody works on it any more, so that the next
    /// command of any process records it as ambiguous: this process may live
    /// on for long.
    pub(crate) fn finish_in_the_end(
        &self,
        entry: &PendingIntent,
        rows: &Rows,
        record: &dyn Record,
        clock: &dyn Clock,
    ) -> Result<(), ControlError> {
        let mut result = self.finish(entry, rows, record);
        for pause in PAUSES {
            let error = match &result {
                Ok(()) => return Ok(()),
                // A lock is waited for long enough as it is.
                Err(ControlError::Lock(_)) => break,
                Err(error) => error,
            };
            tracing::warn!(%error, ?pause, "the outcome is not recorded; trying again");
            clock.sleep(pause);
            result = if is_recorded(error) {
                // What is left is to apply it; committed again, it would be
                // there twice.
                match self.scope.recover() {
                    Ok(_) => Ok(()),
                    Err(_) => continue,
                }
            } else {
                self.finish(entry, rows, record)
            };
        }
        if result.as_ref().is_err_and(|error| !is_recorded(error)) {
            let marked = self.edit(|pending| {
                pending.mark_ended(&entry.control_id);
                Ok(Some(Commit::new()))
            });
            if let Err(error) = marked {
                // Then it is noticed when this process has ended.
                tracing::error!(%error, "the intent stays pending");
            }
        }
        result
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
        self.edit(|pending| {
            let gone = gone(pending, now, is_alive);
            let rows = gone.iter().map(|entry| {
                pending.remove(&entry.control_id);
                Rows::new(entry, &Outcome::unknown(), now, Author::Recovery)
            });
            let rows: Vec<Rows> = rows.collect();
            recovered = rows.iter().map(|rows| rows.intent.clone()).collect();
            let append = |commit, rows: &Rows| rows.append_to(commit, self.files);
            let commit = rows.iter().fold(Commit::new(), append);
            Ok((!rows.is_empty()).then_some(commit))
        })?;
        Ok(recovered)
    }

    /// Commits the pending list as `edit` leaves it, and the rest that `edit`
    /// returns; `None` if there is nothing to commit after all.
    fn edit(
        &self,
        mut edit: impl FnMut(&mut PendingDocument) -> Result<Option<Commit>, ControlError>,
    ) -> Result<(), ControlError> {
        // Several controls of one loop may run at once; only this short
        // read-and-commit is done one after the other.
        let _turn = self.turn()?;
        let path = self.files.path(LoopFile::ControlPending);
        let mut attempt = 1;
        loop {
            let (mut pending, expect) = self.read()?;
            let Some(commit) = edit(&mut pending)? else {
                return Ok(());
            };
            let options = DocumentOptions {
                expect,
                ..DocumentOptions::default()
            };
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

/// Whether a commit that failed is recorded all the same.
fn is_recorded(error: &ControlError) -> bool {
    matches!(
        error,
        ControlError::Commit(CommitError::ApplyIncomplete { .. })
    )
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
