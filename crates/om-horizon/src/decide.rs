//! Carrying out what a person decided: the decision is committed before
//! control is called, its outcome after (decision D7).
//!
//! An entry is ambiguous from the moment its execution begins. If the process
//! dies, the entry stays so until the next decision looks into the loop's
//! intents; nothing is ever executed again by itself.

use std::path::{Path, PathBuf};

use om_control::owner::Owner;
use om_control::{Clock, ControlError, ControlOutcome, recover_pending};
use om_model::control::IntentRow;
use om_model::fleet::handoff::{OutcomeReason, OutcomeStatus};
use om_model::horizon::{EntryExecution, EntryStatus, ExecutionPhase, OperatorAction, OperatorRow};
use om_model::{Timestamp, TraceId, json};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, LoopFile, RepoLayout, Row, Scope, View,
    last_rows, read_bytes,
};
use serde_json::Value;

use crate::decision::{
    Author, Entry, Outcome, Wanted, check, completed, entries, execution_row, find, rejection,
    update,
};
use crate::error::HorizonError;
use crate::previous::PreviousQueue;
use crate::run::parsed;

/// How often a commit is tried while others edit the queue.
const ATTEMPTS: u32 = 20;

/// Rows of a loop's intents that are read at first; four times as many each
/// time they are too few.
const FIRST_ROWS: usize = 64;

/// Where the queue is, and who decides.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The repository.
    pub layout: RepoLayout,
    /// The queue.
    pub queue_file: PathBuf,
    /// The journal.
    pub telemetry_file: PathBuf,
    /// Who decides.
    pub author: Author,
    /// Links what is recorded; by default the envelope's.
    pub trace_id: Option<TraceId>,
}

/// What control is called with.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Links the rows.
    pub trace_id: &'a TraceId,
    /// Makes a repetition recognisable.
    pub idempotency_key: &'a str,
}

/// Calls control.
pub type Act<'a> = &'a mut dyn FnMut(Call<'_>) -> Result<ControlOutcome, ControlError>;

/// How an approval ended.
#[derive(Debug)]
pub struct Approval {
    /// The row in the bridge's journal.
    pub row: OperatorRow,
    /// What control returned.
    pub control: Result<ControlOutcome, ControlError>,
}

/// Who records an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorder {
    /// The process that executed it.
    Actor,
    /// Another one, because that died.
    Recovery,
}

/// The queue as it is, for readers: no lock, no recovery.
pub fn read_queue(layout: &RepoLayout, queue_file: &Path) -> Result<Value, HorizonError> {
    let view = View::open(layout.fleet_scope_dir())?;
    let bytes = view.bytes(queue_file)?;
    Ok(parse(queue_file, bytes.as_deref())?.0)
}

impl Desk {
    /// Marks an entry as unwanted.
    pub fn reject(&self, wanted: &str, clock: &dyn Clock) -> Result<OperatorRow, HorizonError> {
        let scope = self.open()?;
        self.settle(&scope, clock)?;
        self.edit(&scope, |queue| {
            let now = clock.now();
            let entry = self.decidable(queue, wanted, OperatorAction::Reject, false, now)?;
            let status = EntryStatus::RejectedByOperator.as_str();
            update(queue, &entry.key, status, None, now);
            let row = rejection(&entry, &self.author, self.trace_id(&entry), now);
            Ok((row.clone(), vec![row]))
        })
    }

    /// Executes an entry: records that it begins, calls control, records what
    /// came of it. An error means that nothing was executed, but for
    /// [`HorizonError::Unrecorded`].
    pub fn approve(
        &self,
        wanted: &str,
        todo: &Wanted,
        again: bool,
        clock: &dyn Clock,
        act: Act<'_>,
    ) -> Result<Approval, HorizonError> {
        let scope = self.open()?;
        self.settle(&scope, clock)?;
        let (entry, begun) = self.edit(&scope, |queue| {
            let now = clock.now();
            let entry = self.decidable(queue, wanted, OperatorAction::Approve, again, now)?;
            let begun = self.begun(&entry, todo, now);
            let status = EntryStatus::ExecutionAmbiguous.as_str();
            update(queue, &entry.key, status, Some(&begun), now);
            Ok(((entry, begun), Vec::new()))
        })?;
        let control = act(Call {
            trace_id: &begun.trace_id,
            idempotency_key: &begun.idempotency_key,
        });
        let outcome = match &control {
            Ok(ended) => Outcome::of(&ended.row.status, ended.row.confirmed),
            Err(ControlError::Unrecorded { row, .. }) => Outcome::of(&row.status, row.confirmed),
            Err(_) => Outcome::nothing_done(),
        };
        match self.record(
            &scope,
            &entry,
            &begun,
            &outcome,
            Recorder::Actor,
            clock.now(),
        ) {
            Ok(row) => Ok(Approval { row, control }),
            Err(cause) => Err(HorizonError::Unrecorded {
                key: entry.key,
                status: EntryStatus::from(outcome.status).as_str(),
                cause: Box::new(cause),
            }),
        }
    }

    fn open(&self) -> Result<Scope, HorizonError> {
        let scope = Scope::open(self.layout.fleet_scope_dir())?;
        scope.recover()?;
        Ok(scope)
    }

    fn trace_id(&self, entry: &Entry) -> TraceId {
        let own = || TraceId::new(entry.trace_id.clone());
        let trace_id = self.trace_id.clone().or_else(own);
        trace_id.unwrap_or_else(|| unreachable!("an entry has a trace id"))
    }

    /// The entry that is meant, if it may be decided about.
    fn decidable(
        &self,
        queue: &Value,
        wanted: &str,
        action: OperatorAction,
        again: bool,
        now: Timestamp,
    ) -> Result<Entry, HorizonError> {
        let entry = find(queue, wanted, &self.queue_file)?;
        if let Some(execution) = entry.execution.as_ref().filter(|_| entry.is_begun())
            && may_be_at_work(execution, now)
        {
            return Err(HorizonError::Busy {
                key: entry.key.clone(),
                pid: execution.pid,
                host: execution.host.clone(),
            });
        }
        check(&entry, action, again)?;
        Ok(entry)
    }

    fn begun(&self, entry: &Entry, todo: &Wanted, now: Timestamp) -> EntryExecution {
        let owner = Owner::current();
        let earlier = entry.execution.as_ref();
        EntryExecution {
            phase: ExecutionPhase::Begun,
            attempts: earlier.map_or(0, |earlier| earlier.attempts) + 1,
            started_at: now,
            completed_at: None,
            requested_by: self.author.requested_by.clone(),
            note: self.author.note.clone(),
            loop_id: todo.loop_id.clone(),
            intent: todo.intent,
            transport: todo.transport,
            trace_id: self.trace_id(entry),
            idempotency_key: entry.idempotency_key(),
            status: OutcomeStatus::Ambiguous,
            reason_code: OutcomeReason::ControlAmbiguous,
            host: owner.host.clone(),
            boot_id: owner.boot_id.clone(),
            pid: owner.pid,
            process_start: owner.process_start,
        }
    }

    /// Commits the outcome of an execution and its row. An entry whose status
    /// somebody changed meanwhile keeps theirs. Of several that recover the
    /// same execution, one writes its row.
    fn record(
        &self,
        scope: &Scope,
        entry: &Entry,
        begun: &EntryExecution,
        outcome: &Outcome,
        author: Recorder,
        now: Timestamp,
    ) -> Result<OperatorRow, HorizonError> {
        let is_recovered = author == Recorder::Recovery;
        let row = execution_row(entry, begun, outcome, is_recovered, now);
        self.edit(scope, |queue| {
            let is_same =
                |found: &Entry| found.key == entry.key && found.execution.as_ref() == Some(begun);
            let found = entries(queue).find(is_same);
            let is_told = found.is_some() || !is_recovered;
            if let Some(found) = found {
                let execution = completed(begun, outcome, now);
                let is_ours = found.known_status() == Some(EntryStatus::ExecutionAmbiguous);
                let status = if is_ours {
                    EntryStatus::from(outcome.status).as_str()
                } else {
                    &found.status
                };
                update(queue, &entry.key, status, Some(&execution), now);
            }
            Ok((
                row.clone(),
                is_told.then(|| row.clone()).into_iter().collect(),
            ))
        })
    }

    /// Records what became of executions whose process died.
    fn settle(&self, scope: &Scope, clock: &dyn Clock) -> Result<(), HorizonError> {
        let queue = self.read()?.0;
        for entry in entries(&queue).filter(Entry::is_begun) {
            let now = clock.now();
            let Some(begun) = entry.execution.clone() else {
                continue;
            };
            if may_be_at_work(&begun, now) {
                continue;
            }
            let outcome = match recorded(&self.layout, &begun, now) {
                Some(row) => Outcome::of(&row.status, row.confirmed),
                None => Outcome::unknown(),
            };
            self.record(scope, &entry, &begun, &outcome, Recorder::Recovery, now)?;
        }
        Ok(())
    }

    /// Edits the queue and appends rows in one commit, again if somebody else
    /// changed it meanwhile.
    fn edit<T>(
        &self,
        scope: &Scope,
        mut edit: impl FnMut(&mut Value) -> Result<(T, Vec<OperatorRow>), HorizonError>,
    ) -> Result<T, HorizonError> {
        let mut attempt = 1;
        loop {
            let (mut queue, expect) = self.read()?;
            let before = queue.clone();
            let (result, rows) = edit(&mut queue)?;
            let mut commit = rows.iter().fold(Commit::new(), |commit, row| {
                commit.row(&self.telemetry_file, json::compact(row))
            });
            if queue != before {
                let options = DocumentOptions {
                    expect,
                    ..DocumentOptions::default()
                };
                let bytes = json::compact(&queue) + "\n";
                commit = commit.document_with(&self.queue_file, bytes, options);
            }
            match scope.commit(commit) {
                Ok(_) => return Ok(result),
                Err(CommitError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&self) -> Result<(Value, Expect), HorizonError> {
        let bytes = read_bytes(&self.queue_file)?;
        parse(&self.queue_file, bytes.as_deref())
    }
}

/// A queue that can be decided about; no file is an empty one.
fn parse(path: &Path, bytes: Option<&[u8]>) -> Result<(Value, Expect), HorizonError> {
    let (artifact, expect) = parsed(bytes);
    let document = artifact.document().cloned().unwrap_or_default();
    PreviousQueue::read(artifact).map_err(|cause| HorizonError::Queue {
        path: path.to_owned(),
        cause,
    })?;
    Ok((document, expect))
}

/// Whether the process of an execution may still record its outcome.
fn may_be_at_work(execution: &EntryExecution, now: Timestamp) -> bool {
    let owner = Owner {
        host: execution.host.clone(),
        boot_id: execution.boot_id.clone(),
        pid: execution.pid,
        process_start: execution.process_start,
    };
    owner.may_be_at_work(execution.started_at, now)
}

/// What the loop's record says about an execution; what control itself left
/// behind is recorded first.
fn recorded(layout: &RepoLayout, begun: &EntryExecution, now: Timestamp) -> Option<IntentRow> {
    let files = layout.loop_files(&begun.loop_id);
    if !files.scope_dir().is_dir() {
        return None;
    }
    let recovered = Scope::open(files.scope_dir())
        .and_then(|scope| scope.recover().map(|_| scope))
        .map_err(ControlError::from)
        .and_then(|scope| recover_pending(&scope, &files, now, &om_control::owner::is_alive));
    if let Err(error) = recovered {
        tracing::warn!(%error, loop_id = %begun.loop_id, "what control left behind cannot be recovered");
    }
    let read = |row: &Row| serde_json::from_slice::<IntentRow>(&row.bytes).ok();
    let path = files.path(LoopFile::Intents);
    let mut wanted = FIRST_ROWS;
    loop {
        let found = last_rows(&path, wanted).ok()?;
        let rows: Vec<IntentRow> = found.iter().filter_map(read).collect();
        let is_it = |row: &&IntentRow| {
            row.idempotency_key == begun.idempotency_key && row.timestamp >= begun.started_at
        };
        if let Some(row) = rows.iter().rev().find(is_it) {
            return Some(row.clone());
        }
        if found.len() < wanted || rows.iter().any(|row| row.timestamp < begun.started_at) {
            return None;
        }
        wanted = wanted.saturating_mul(4);
    }
}
