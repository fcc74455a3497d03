//! Moving old rows of journals to archives beside them.
//!
//! What a window needs stays, however old it is, so that policy, gates,
//! auto-pause, cooldowns and idempotency keys come to the same afterwards.
//! Left alone are journals whose every row counts: the audit of the policy,
//! changes of the rollout (replayed by key), decisions of the promotion
//! controller (budget), what people decided about envelopes; and those that
//! others read by position: events, escalations, intents.

mod sort;

use std::io;
use std::path::{Path, PathBuf};

use om_model::{LoopId, Timestamp};
use om_policy::retention::{HandoffRetention, HistoryRetention};
use om_store::{
    CommitError, FleetFile, LockError, LoopFile, ReadError, RepoLayout, RunLock, Scope,
};
use serde::Serialize;

use crate::dispatch_fold::DispatchRetention;
use crate::run::RUN_LOCK as HANDOFF_LOCK;
use sort::{Sorted, Window, sort};

/// Only one prune of a fleet at a time.
const RUN_LOCK: &str = "fleet-prune";

/// Rows of a loop's telemetry that stay whatever their age: five times the
/// default window of its summary.
const KEPT_ROWS: usize = 1_000;

/// What to prune.
#[derive(Clone, Debug)]
pub struct Prune {
    /// The repository.
    pub layout: RepoLayout,
    /// Loops whose telemetry is pruned too.
    pub loops: Vec<LoopId>,
    /// Rows from before this time are old.
    pub before: Timestamp,
    /// Names the archives: `<journal>.archive-<label>.jsonl`.
    pub label: String,
    /// Executions that auto-pause looks back on.
    pub lookback: u64,
    /// Changes nothing.
    pub dry_run: bool,
}

/// What became of one journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// The journal.
    pub journal: PathBuf,
    /// Complete lines before.
    pub rows: u64,
    /// Of these, archived.
    pub archived: u64,
    /// Old ones that stay, because a window needs them.
    pub needed: u64,
    /// Where the archived ones are; none if there are none, and the place
    /// where they would be if nothing was to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<PathBuf>,
    /// Why the journal was left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// Somebody else prunes.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The fleet's folder cannot be used.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why one journal is left alone.
#[derive(Debug, thiserror::Error)]
enum JournalError {
    /// A row is none: nobody may lose the message about it.
    #[error("line {line}: {what}; left alone")]
    BadRow {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    #[error("a handoff that died is not recorded yet; run ops-manager fleet handoff first")]
    Pending,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// One kind of journal.
struct Kind {
    place: Place,
    /// The last rows stay whatever their age.
    least: usize,
    window: fn(&Prune) -> Window,
}

enum Place {
    Fleet(FleetFile),
    Loop(LoopFile),
}

const KINDS: [Kind; 12] = [
    fleet(FleetFile::ReconcileRows, |_| Window::None),
    fleet(FleetFile::PolicyRows, |_| Window::None),
    fleet(FleetFile::PolicyHistory, |_| {
        Window::History(HistoryRetention::default())
    }),
    fleet(FleetFile::HandoffRows, |prune| {
        Window::Handoff(HandoffRetention::new(prune.lookback))
    }),
    fleet(FleetFile::HandoffDispatch, |_| {
        Window::Dispatch(DispatchRetention::default())
    }),
    fleet(FleetFile::PromotionRows, |_| Window::None),
    of_loop(LoopFile::ReconcileRows),
    of_loop(LoopFile::ControlRows),
    of_loop(LoopFile::HeartbeatRows),
    of_loop(LoopFile::SequenceRows),
    of_loop(LoopFile::ProfileDriftRows),
    of_loop(LoopFile::AlertRows),
];

const fn fleet(file: FleetFile, window: fn(&Prune) -> Window) -> Kind {
    Kind {
        place: Place::Fleet(file),
        // The last row is what status shows.
        least: 1,
        window,
    }
}

const fn of_loop(file: LoopFile) -> Kind {
    Kind {
        place: Place::Loop(file),
        least: KEPT_ROWS,
        window: |_| Window::None,
    }
}

/// Prunes journal after journal. One that cannot be pruned is left alone and
/// said so; the others go on. Journals that are not there are passed over.
pub fn prune(prune: &Prune, told: &mut dyn FnMut(&Pruned)) -> Result<Vec<Pruned>, PruneError> {
    let fleet = Scope::open(prune.layout.fleet_scope_dir())?;
    let _turn = fleet.run_lock(RUN_LOCK)?;
    let mut all = Vec::new();
    let mut take = |pruned: Option<Pruned>| {
        if let Some(pruned) = pruned {
            told(&pruned);
            all.push(pruned);
        }
    };
    for kind in &KINDS {
        if let Place::Fleet(file) = kind.place {
            let journal = prune.layout.fleet_files().path(file);
            take(prune.journal(kind, &journal, &fleet));
        }
    }
    for id in &prune.loops {
        let files = prune.layout.loop_files(id);
        for kind in &KINDS {
            if let Place::Loop(file) = kind.place {
                take(prune.journal_of_loop(kind, &files.path(file), &files.scope_dir()));
            }
        }
    }
    Ok(all)
}

impl Prune {
    fn journal_of_loop(&self, kind: &Kind, journal: &Path, scope_dir: &Path) -> Option<Pruned> {
        if !journal.exists() {
            return None;
        }
        match Scope::open(scope_dir) {
            Ok(scope) => self.journal(kind, journal, &scope),
            Err(error) => Some(left_alone(journal, &error.into())),
        }
    }

    /// `None` if there is no such journal.
    fn journal(&self, kind: &Kind, journal: &Path, scope: &Scope) -> Option<Pruned> {
        if !journal.exists() {
            return None;
        }
        let pruned = self.try_journal(kind, journal, scope);
        Some(pruned.unwrap_or_else(|error| left_alone(journal, &error)))
    }

    fn try_journal(
        &self,
        kind: &Kind,
        journal: &Path,
        scope: &Scope,
    ) -> Result<Pruned, JournalError> {
        if !self.dry_run {
            scope.recover()?;
        }
        let _quiet = self.quiet(kind, scope)?;
        let sorted = sort(journal, self.before, kind.least, (kind.window)(self))?;
        let archive = self.archive(journal);
        if sorted.goes.is_empty() || self.dry_run {
            return Ok(sorted.told(journal, archive));
        }
        let mut goes = |line: &om_store::Line<'_>| sorted.goes(line.start);
        scope.archive_rows(journal, &archive, sorted.until, &mut goes)?;
        Ok(sorted.told(journal, archive))
    }

    /// While dispatches are sorted none is on its way, and none is to be
    /// found out about.
    fn quiet(&self, kind: &Kind, scope: &Scope) -> Result<Option<RunLock>, JournalError> {
        let Place::Fleet(FleetFile::HandoffDispatch) = kind.place else {
            return Ok(None);
        };
        let held = scope.run_lock(HANDOFF_LOCK)?;
        let pending = self.layout.fleet_files().path(FleetFile::HandoffPending);
        if pending.exists() {
            return Err(JournalError::Pending);
        }
        Ok(Some(held))
    }

    /// A name that is free.
    fn archive(&self, journal: &Path) -> PathBuf {
        let name = journal.file_name().unwrap_or_default().to_string_lossy();
        let named = |label: &str| journal.with_file_name(format!("{name}.archive-{label}.jsonl"));
        let mut path = named(&self.label);
        for number in 2.. {
            if !path.exists() {
                break;
            }
            path = named(&format!("{}-{number}", self.label));
        }
        path
    }
}

impl Sorted {
    fn told(&self, journal: &Path, archive: PathBuf) -> Pruned {
        Pruned {
            journal: journal.to_owned(),
            rows: self.rows,
            archived: self.goes.len() as u64,
            needed: self.needed,
            archive: (!self.goes.is_empty()).then_some(archive),
            error: None,
        }
    }
}

fn left_alone(journal: &Path, error: &JournalError) -> Pruned {
    Pruned {
        journal: journal.to_owned(),
        rows: 0,
        archived: 0,
        needed: 0,
        archive: None,
        error: Some(error.to_string()),
    }
}

/// A journal could not be read.
fn unreadable(journal: &Path, source: io::Error) -> ReadError {
    ReadError {
        path: journal.to_owned(),
        source,
    }
}
