//! One run of the dispatcher (chapter 04 §3).
//!
//! Each row is one step: its sinks are tried, and what became of it (the
//! telemetry row, the cursor, the deliveries to try again) is one commit. A
//! run that is killed sends at most the row in flight once more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use om_model::alerts::{
    AlertReason, AlertRow, ConsumedLine, DispatchState, PendingDelivery, SinkResult,
};
use om_model::json;
use om_model::{Artifact, LoopId, Timestamp, TraceId};
use om_store::{
    Commit, CommitError, DirLock, DocumentOptions, Expect, LoopFile, LoopLayout, RUN_LOCK_WAIT,
    RunLock, Scope, digest, read_bytes,
};

use crate::courier::Courier;
use crate::error::DispatchError;
use crate::escalation::{Escalation, EscalationLine};
use crate::ledger::{Batch, Ledger, Outcome, Previous, RetryOutcome, RunIdentity};
use crate::payload::Alert;
use crate::probe;
use crate::resolver::{Answer, Resolver, Routing};
use crate::retry::RetryMode;
use crate::rows::{Rows, loop_of, trace_of};
use crate::sink::Sink;
use crate::source::{Source, content};

/// What is to be dispatched.
#[derive(Clone, Debug)]
pub struct DispatchRequest {
    /// Absolute; the sinks are told.
    pub repo_path: String,
    /// The loop.
    pub loop_id: LoopId,
    /// The run.
    pub trace_id: TraceId,
    /// The files.
    pub paths: DispatchPaths,
    /// Most new lines to look at; 0 is unlimited.
    pub max_escalations: u64,
    /// Which failed deliveries are tried again.
    pub retry: RetryMode,
}

/// The files of one run; they may lie anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchPaths {
    /// Read.
    pub escalations: PathBuf,
    /// Replaced.
    pub state: PathBuf,
    /// Appended to.
    pub telemetry: PathBuf,
}

impl RunIdentity {
    /// The identity of the run that `request` asks for.
    pub(crate) fn of(request: &DispatchRequest) -> Self {
        Self {
            loop_id: request.loop_id.clone(),
            trace_id: request.trace_id.clone(),
            escalations_file: request.paths.escalations.display().to_string(),
            telemetry_file: request.paths.telemetry.display().to_string(),
        }
    }
}

impl DispatchPaths {
    /// Where they are unless somebody says otherwise.
    pub fn of(files: &LoopLayout) -> Self {
        Self {
            escalations: files.path(LoopFile::Escalations),
            state: files.path(LoopFile::AlertDispatchState),
            telemetry: files.path(LoopFile::AlertRows),
        }
    }
}

/// Delivers the escalations that were not seen yet and tries failed
/// deliveries again. Returns the state document as it was written.
///
/// Runs of one loop take turns ([`RUN_LOCK_WAIT`]). Needs a Tokio runtime
/// with I/O and time.
pub async fn dispatch(
    request: &DispatchRequest,
    scope: &Scope,
    resolver: &Resolver,
    courier: &Courier,
    clock: impl Fn() -> Timestamp,
) -> Result<DispatchState, DispatchError> {
    let paths = &request.paths;
    for file in [&paths.state, &paths.telemetry] {
        if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(DispatchError::io("create", folder))?;
        }
    }
    let _turn = Turn::take(scope, &paths.state, RUN_LOCK_WAIT)?;
    scope.recover()?;
    let bytes = read_bytes(&paths.state)?;
    let state = bytes.as_deref().map_or(Artifact::Absent, Artifact::parse);
    let mut previous = Previous::read(&state).map_err(|cause| DispatchError::State {
        path: paths.state.clone(),
        cause,
    })?;
    let started_at = clock();
    let wanted = previous.wanted(request.retry, started_at);
    let source = open_source(&paths.escalations, &mut previous, &wanted)?;
    let run = RunIdentity::of(request);
    let line_count = source.as_ref().map(|source| source.line_count);
    let run = Run {
        request,
        scope,
        resolver,
        courier,
        clock,
        ledger: Ledger::new(run, previous, line_count),
        expect: Expect::found(bytes.as_deref()),
        written: None,
        unreachable: BTreeSet::new(),
        is_prepared: false,
        has_sent: false,
    };
    run.finish(source.as_ref(), started_at).await
}

/// One run at a time on one state document.
#[derive(Debug)]
pub(crate) struct Turn {
    _run: RunLock,
    _folder: Option<DirLock>,
}

impl Turn {
    /// A state document that lies elsewhere could be another loop's as well:
    /// its folder is locked too.
    pub(crate) fn take(scope: &Scope, state: &Path, wait: Duration) -> Result<Self, DispatchError> {
        let run = RunLock::acquire(scope.dir(), "alert-dispatch", wait)?;
        let absolute = std::path::absolute(state).map_err(DispatchError::io("find", state))?;
        let elsewhere = absolute.parent().filter(|folder| *folder != scope.dir());
        Ok(Self {
            _run: run,
            _folder: elsewhere
                .map(|folder| DirLock::acquire(folder, wait))
                .transpose()?,
        })
    }
}

fn open_source(
    path: &Path,
    previous: &mut Previous,
    wanted: &BTreeSet<u64>,
) -> Result<Option<Source>, DispatchError> {
    let source = Source::open(path, previous, wanted).map_err(DispatchError::io("read", path))?;
    let Some(source) = source else {
        return Ok(None);
    };
    if previous.offset > source.line_count {
        return Err(DispatchError::Ahead {
            offset: previous.offset,
            line_count: source.line_count,
        });
    }
    previous.last_line.clone_from(&source.last_line);
    Ok(Some(source))
}

struct Run<'a, C> {
    request: &'a DispatchRequest,
    scope: &'a Scope,
    resolver: &'a Resolver,
    courier: &'a Courier,
    clock: C,
    ledger: Ledger,
    /// What the state document is, unless somebody edits it.
    expect: Expect,
    /// The state document as last written, if that is what it should be.
    written: Option<DispatchState>,
    /// Sinks that did not answer in this run.
    unreachable: BTreeSet<String>,
    /// It is known that what is sent can be recorded.
    is_prepared: bool,
    /// Something was sent since the last commit.
    has_sent: bool,
}

impl<C: Fn() -> Timestamp> Run<'_, C> {
    async fn finish(
        mut self,
        source: Option<&Source>,
        started_at: Timestamp,
    ) -> Result<DispatchState, DispatchError> {
        self.try_again(source, started_at).await?;
        if let Some(source) = source {
            self.go_on(source).await?;
        }
        match self.written.take() {
            Some(document) => Ok(document),
            None => self.commit(&[]),
        }
    }

    /// Pending deliveries, before anything new. They are decided about at the
    /// time for which the source has their lines.
    async fn try_again(
        &mut self,
        source: Option<&Source>,
        started_at: Timestamp,
    ) -> Result<(), DispatchError> {
        let plan = self.ledger.plan_retries(self.request.retry, started_at);
        let row_of = |pending: &PendingDelivery| -> Option<Escalation> {
            let line = source?.unchanged(pending.line, &pending.row_sha256)?;
            escalation(content(pending.line, line))
        };
        if !plan.ended.is_empty() {
            let rows = self.rows();
            let ended = plan.ended.iter();
            let ended: Vec<AlertRow> = ended
                .map(|ended| rows.ended(ended, row_of(&ended.delivery).as_ref()))
                .collect();
            self.commit(&ended)?;
        }
        for batch in &plan.batches {
            let Some(batch) = self.still_worth_it(batch) else {
                continue;
            };
            let escalation = row_of(&batch.deliveries[0]);
            self.try_batch(&batch, escalation.as_ref()).await?;
        }
        Ok(())
    }

    /// What is tried of a batch: as a stage, deliveries to a sink that could
    /// not be reached a moment ago are left as they are for the next pass, or
    /// one dead sink would hold up everything for one time limit each.
    fn still_worth_it(&self, batch: &Batch) -> Option<Batch> {
        let mut batch = batch.clone();
        if self.request.retry == RetryMode::Due {
            let lost = |sink_id: &Option<String>| {
                let id = sink_id.as_deref();
                id.is_some_and(|id| self.unreachable.contains(id))
            };
            batch.deliveries.retain(|d| !lost(&d.sink_id));
        }
        (!batch.deliveries.is_empty()).then_some(batch)
    }

    async fn try_batch(
        &mut self,
        batch: &Batch,
        escalation: Option<&Escalation>,
    ) -> Result<(), DispatchError> {
        let Some(escalation) = escalation else {
            return self.enter_retry(batch, &RetryOutcome::SourceMissing, None, Vec::new());
        };
        let environment = self.courier.environment();
        let answer = match self.resolver.resolve(escalation, environment) {
            Routing::Answered(answer) => answer,
            Routing::Failed { reason, message } => {
                let row =
                    self.rows()
                        .unrouted(escalation, &reason, message.as_ref(), batch.attempt);
                let outcome = RetryOutcome::Unrouted(reason);
                return self.enter_retry(batch, &outcome, Some(escalation), vec![row]);
            }
        };
        let (sinks, removed) = self.sinks_of(batch, &answer);
        let is_lost = |sink: &Sink| self.unreachable.contains(&sink.id);
        if self.request.retry == RetryMode::Due && sinks.iter().any(is_lost) {
            // Only a row that had not been routed yet gets here.
            return Ok(());
        }
        if let (Some(reason), true) = (&answer.skipped, batch.is_unrouted()) {
            let row = self
                .rows()
                .skipped(escalation, &answer, reason, Some(batch.attempt));
            return self.enter_retry(batch, &RetryOutcome::Skipped, None, vec![row]);
        }
        let results = self.deliver(escalation, &answer, &sinks).await?;
        let mut rows = Vec::new();
        if !results.is_empty() {
            rows.push(
                self.rows()
                    .delivered(escalation, &answer, &results, batch.attempt),
            );
        }
        let outcome = RetryOutcome::Delivered { results, removed };
        self.enter_retry(batch, &outcome, Some(escalation), rows)
    }

    /// The sinks that a batch is for, and the deliveries whose sink is gone.
    fn sinks_of(&self, batch: &Batch, answer: &Answer) -> (Vec<Sink>, Vec<PendingDelivery>) {
        if batch.is_unrouted() {
            return (answer.sinks.clone(), Vec::new());
        }
        let (mut sinks, mut removed) = (Vec::new(), Vec::new());
        for delivery in &batch.deliveries {
            let id = delivery.sink_id.as_deref().unwrap_or_default();
            match self.resolver.sink(id, answer) {
                Some(sink) => sinks.push(sink),
                None => removed.push(delivery.clone()),
            }
        }
        (sinks, removed)
    }

    fn enter_retry(
        &mut self,
        batch: &Batch,
        outcome: &RetryOutcome,
        escalation: Option<&Escalation>,
        mut rows: Vec<AlertRow>,
    ) -> Result<(), DispatchError> {
        let ended = self.ledger.retry(batch, outcome, (self.clock)());
        let of_run = self.rows();
        rows.extend(ended.iter().map(|ended| of_run.ended(ended, escalation)));
        self.commit(&rows).map(drop)
    }

    /// New lines, in file order.
    async fn go_on(&mut self, source: &Source) -> Result<(), DispatchError> {
        let path = &self.request.paths.escalations;
        let mut lines = source
            .new_lines()
            .map_err(DispatchError::io("read", path))?;
        let mut left = match self.request.max_escalations {
            0 => u64::MAX,
            limit => limit,
        };
        while left > 0 {
            let next = lines.next_line().map_err(DispatchError::io("read", path))?;
            let Some((place, line)) = next else { break };
            self.take_line(&place, &line).await?;
            left -= 1;
        }
        Ok(())
    }

    async fn take_line(&mut self, place: &ConsumedLine, line: &[u8]) -> Result<(), DispatchError> {
        let (outcome, row) = match EscalationLine::read(content(place.line, line)) {
            EscalationLine::Blank => (Outcome::Skipped, None),
            EscalationLine::Broken(text) => {
                let row = self.rows().broken(&text);
                (
                    Outcome::Unreadable(AlertReason::InvalidEscalationJson),
                    Some(row),
                )
            }
            EscalationLine::Uncategorised(value) => {
                let row = self.rows().uncategorised(&value);
                (
                    Outcome::Unreadable(AlertReason::MissingEscalationCategory),
                    Some(row),
                )
            }
            EscalationLine::Row(escalation) => {
                let (outcome, row) = self.send(&escalation).await?;
                (outcome, Some(row))
            }
        };
        self.ledger.consume(place, &outcome, (self.clock)());
        if let Some(row) = row {
            return self.commit(&[row]).map(drop);
        }
        // The cursor moves with the next row, or at the end.
        self.written = None;
        Ok(())
    }

    /// Routes and delivers a new row.
    async fn send(
        &mut self,
        escalation: &Escalation,
    ) -> Result<(Outcome, AlertRow), DispatchError> {
        let environment = self.courier.environment();
        let answer = match self.resolver.resolve(escalation, environment) {
            Routing::Answered(answer) => answer,
            Routing::Failed { reason, message } => {
                let row = self
                    .rows()
                    .unrouted(escalation, &reason, message.as_ref(), 1);
                return Ok((Outcome::Unrouted(reason), row));
            }
        };
        if let Some(reason) = &answer.skipped {
            let row = self.rows().skipped(escalation, &answer, reason, None);
            return Ok((Outcome::Skipped, row));
        }
        let results = self.deliver(escalation, &answer, &answer.sinks).await?;
        let row = self.rows().delivered(escalation, &answer, &results, 1);
        Ok((Outcome::Delivered(results), row))
    }

    async fn deliver(
        &mut self,
        escalation: &Escalation,
        answer: &Answer,
        sinks: &[Sink],
    ) -> Result<Vec<SinkResult>, DispatchError> {
        self.prepare_to_send()?;
        let alert = Alert {
            repo_path: self.request.repo_path.clone(),
            loop_id: loop_of(escalation, &self.request.loop_id),
            trace_id: trace_of(escalation, &self.request.trace_id),
            category: escalation.category.clone(),
            severity: answer.severity,
            timestamp: escalation.timestamp.clone(),
            escalation: escalation.row.clone(),
        };
        let results = self.courier.deliver(sinks, &alert, (self.clock)()).await;
        self.has_sent |= !results.is_empty();
        let silent = results.iter().filter(|result| is_silent(result));
        self.unreachable
            .extend(silent.map(|result| result.id.clone()));
        Ok(results)
    }

    /// What cannot be recorded is not sent: the next run would send it again,
    /// and so on.
    fn prepare_to_send(&mut self) -> Result<(), DispatchError> {
        if self.is_prepared {
            return Ok(());
        }
        self.is_prepared = true;
        probe::appendable(&self.request.paths.telemetry)?;
        self.commit(&[]).map(drop)
    }

    /// Rows that are appended now.
    fn rows(&self) -> Rows<'_> {
        Rows {
            loop_id: &self.request.loop_id,
            trace_id: &self.request.trace_id,
            now: (self.clock)(),
        }
    }

    /// Records `rows` and where the run stands, as one.
    fn commit(&mut self, rows: &[AlertRow]) -> Result<DispatchState, DispatchError> {
        let paths = &self.request.paths;
        let document = self.ledger.document((self.clock)());
        let bytes = json::compact(&document) + "\n";
        let written = Expect::Content(digest(bytes.as_bytes()));
        let append =
            |commit: Commit, row: &AlertRow| commit.row(&paths.telemetry, json::compact(row));
        let recorded = rows.iter().fold(Commit::new(), append);
        let options = DocumentOptions {
            expect: self.expect,
            ..DocumentOptions::default()
        };
        let whole = recorded.clone().document_with(&paths.state, bytes, options);
        match self.scope.commit(whole) {
            Ok(_) => {}
            Err(CommitError::Changed { .. }) => {
                self.scope.commit(recorded)?;
                return Err(DispatchError::StateChanged(paths.state.clone()));
            }
            Err(error) if self.has_sent => return Err(DispatchError::Unrecorded(error)),
            Err(error) => return Err(error.into()),
        }
        self.has_sent = false;
        self.expect = written;
        self.written = Some(document.clone());
        Ok(document)
    }
}

/// Whether a sink did not answer at all.
fn is_silent(result: &SinkResult) -> bool {
    result.http_status.is_none() && result.reason_code == Some(AlertReason::RequestFailed)
}

/// The row of a pending delivery; it had a category when it failed.
fn escalation(line: &[u8]) -> Option<Escalation> {
    match EscalationLine::read(line) {
        EscalationLine::Row(escalation) => Some(escalation),
        _ => None,
    }
}
