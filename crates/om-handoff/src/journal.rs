//! The dispatch journal and what belongs to it: reading what a run that died
//! left behind, and recording what became of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use om_control::{Clock, owner, recover_pending};
use om_model::control::IntentRow;
use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, EvaluationIdentity, HandoffPending, IntentExecution,
};
use om_model::{LoopId, Timestamp, json};
use om_store::{
    Commit, FleetFile, LoopFile, RepoLayout, Row, Scope, last_rows, line_number_of, read_bytes,
    read_fold,
};
use serde::Serialize;

use crate::dispatch_fold::DispatchFold;
use crate::error::HandoffError;
use crate::resolve;

/// Rows read backwards at first; four times as many each time they are too
/// few.
const FIRST_ROWS: usize = 64;

/// The dispatches of a fleet.
pub(crate) struct Journal<'a> {
    layout: &'a RepoLayout,
    scope: &'a Scope,
    path: PathBuf,
    fold: DispatchFold,
    /// Outcomes that are found out and not committed yet: those of
    /// dispatches that belong to no known run.
    orphans: Vec<DispatchRow>,
}

impl<'a> Journal<'a> {
    /// Opens the journal; `scope`, the fleet's, is recovered.
    pub(crate) fn open(layout: &'a RepoLayout, scope: &'a Scope) -> Result<Self, HandoffError> {
        let path = layout.fleet_files().path(FleetFile::HandoffDispatch);
        let fold: DispatchFold = read_fold(&path, scope)?;
        if let Some(bad) = fold.bad_row() {
            return Err(HandoffError::Journal {
                line: line_number_of(&path, bad.offset)?,
                cause: bad.what.clone(),
                path,
            });
        }
        Ok(Self {
            layout,
            scope,
            path,
            fold,
            orphans: Vec::new(),
        })
    }

    /// Attempts on an intent that are recorded with this key.
    pub(crate) fn attempts(&self, intent_id: &str, key: &str) -> u64 {
        self.fold.attempts(intent_id, key)
    }

    /// Outcomes of dispatches of no known run; committed with
    /// [`Self::with_orphans`].
    pub(crate) fn orphans(&self) -> &[DispatchRow] {
        &self.orphans
    }

    /// `commit`, and the outcomes of the orphans.
    pub(crate) fn with_orphans(&mut self, commit: Commit) -> Commit {
        let path = &self.path;
        let orphans = std::mem::take(&mut self.orphans);
        orphans
            .iter()
            .fold(commit, |commit, row| commit.row(path, json::compact(row)))
    }

    /// `commit`, and a row of this journal, whatever it says.
    pub(crate) fn with_row(&self, commit: Commit) -> Commit {
        commit.row(&self.path, "{}")
    }

    /// What was executed in `evaluation`, by intent.
    pub(crate) fn executed(
        &self,
        evaluation: &EvaluationIdentity,
    ) -> BTreeMap<String, IntentExecution> {
        let mut late = DispatchFold::default();
        for row in &self.orphans {
            late.take(row.clone());
        }
        let mut executed = self.fold.executed(evaluation);
        executed.extend(late.executed(evaluation));
        executed
    }

    /// Commits a row of a dispatch.
    pub(crate) fn record(&mut self, row: &DispatchRow) -> Result<(), om_store::CommitError> {
        let commit = Commit::new().row(&self.path, json::compact(row));
        self.scope.commit(commit)?;
        self.fold.take(row.clone());
        Ok(())
    }

    /// Resolves every dispatch without an outcome, and records the run that
    /// died. Returns whether something was recorded.
    pub(crate) fn recover(&mut self, clock: &dyn Clock) -> Result<bool, HandoffError> {
        let pending = self.pending()?;
        let now = clock.now();
        let open = self.fold.open();
        let resolved = open.iter().map(|intent| {
            let recorded = recorded_intents(self.layout, intent, now);
            resolve::outcome(intent, &recorded, now)
        });
        let resolved: Vec<DispatchRow> = resolved.collect();
        let Some(pending) = pending else {
            self.orphans = resolved;
            return Ok(false);
        };
        let of_run = |row: &DispatchRow| row.handoff_id == pending.handoff_id;
        let (own, orphans): (Vec<_>, Vec<_>) = resolved.into_iter().partition(of_run);
        let mut outcomes = self.outcomes_of(&pending.handoff_id)?;
        outcomes.extend(own.iter().cloned());
        let path = &self.path;
        let mut commit = own.iter().fold(Commit::new(), |commit, row| {
            commit.row(path, json::compact(row))
        });
        if let Some((state, row)) = resolve::recovered(&pending, &outcomes) {
            commit = commit
                .row(&pending.handoff_telemetry_file, json::compact(&row))
                .document(&pending.handoff_state_file, document(&state));
        }
        let committed = self.scope.commit(commit.removal(self.pending_path()));
        committed.map_err(|cause| HandoffError::Unrecovered {
            path: self.pending_path(),
            state: pending.handoff_state_file.clone(),
            telemetry: pending.handoff_telemetry_file.clone(),
            cause: Box::new(cause),
        })?;
        for row in own {
            self.fold.take(row);
        }
        self.orphans = orphans;
        Ok(true)
    }

    /// Where a run says that it has begun.
    pub(crate) fn pending_path(&self) -> PathBuf {
        self.layout.fleet_files().path(FleetFile::HandoffPending)
    }

    fn pending(&self) -> Result<Option<HandoffPending>, HandoffError> {
        let path = self.pending_path();
        let Some(bytes) = read_bytes(&path)? else {
            return Ok(None);
        };
        let parsed = serde_json::from_slice(&bytes);
        let parsed = parsed.map_err(|error| HandoffError::Pending {
            path,
            cause: error.to_string(),
        })?;
        Ok(Some(parsed))
    }

    /// Outcomes that a run has journaled, in order. No other run has
    /// journaled anything since.
    fn outcomes_of(&self, handoff_id: &str) -> Result<Vec<DispatchRow>, HandoffError> {
        let read = |row: &Row| serde_json::from_slice::<DispatchRow>(&row.bytes).ok();
        let rows = backwards(&self.path, |row| {
            read(row).is_some_and(|row| row.handoff_id != handoff_id)
        })?;
        let rows = rows.iter().filter_map(read);
        Ok(rows
            .filter(|row| row.handoff_id == handoff_id && row.phase == DispatchPhase::Outcome)
            .collect())
    }
}

/// A document as it is stored: one line.
pub(crate) fn document<T: Serialize>(document: &T) -> Vec<u8> {
    (json::compact(document) + "\n").into_bytes()
}

/// What control has recorded on the loop since the dispatch was begun; an
/// intent that control itself left behind is recorded first. What cannot be
/// read tells nothing.
fn recorded_intents(layout: &RepoLayout, dispatch: &DispatchRow, now: Timestamp) -> Vec<IntentRow> {
    let Ok(loop_id) = LoopId::new(dispatch.loop_id.clone()) else {
        return Vec::new();
    };
    let files = layout.loop_files(&loop_id);
    if !files.scope_dir().is_dir() {
        return Vec::new();
    }
    let recovered = Scope::open(files.scope_dir())
        .and_then(|scope| scope.recover().map(|_| scope))
        .map_err(om_control::ControlError::from)
        .and_then(|scope| recover_pending(&scope, &files, now, &owner::is_alive));
    if let Err(error) = recovered {
        tracing::warn!(%error, %loop_id, "what control left behind cannot be recovered");
    }
    let read = |row: &Row| serde_json::from_slice::<IntentRow>(&row.bytes).ok();
    let older = |row: &Row| read(row).is_some_and(|row| row.timestamp < dispatch.timestamp);
    let rows = backwards(&files.path(LoopFile::Intents), older).unwrap_or_else(|error| {
        tracing::warn!(%error, "what control recorded cannot be read");
        Vec::new()
    });
    rows.iter().filter_map(read).collect()
}

/// The last rows of a journal, at least back to one that is `enough`.
fn backwards(path: &Path, enough: impl Fn(&Row) -> bool) -> Result<Vec<Row>, om_store::ReadError> {
    let mut wanted = FIRST_ROWS;
    loop {
        let rows = last_rows(path, wanted)?;
        if rows.len() < wanted || rows.iter().any(&enough) {
            return Ok(rows);
        }
        wanted = wanted.saturating_mul(4);
    }
}
