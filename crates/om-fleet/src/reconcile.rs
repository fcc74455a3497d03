//! One fan-out over a fleet (chapter 05 §2): every loop passed, what became
//! of them rolled up, and that committed.

mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use om_model::fleet::registry::{FleetLoop, trace_slugs};
use om_model::fleet::state::{
    FleetExecution, FleetInterruption, FleetReconcileRow, FleetState, FleetStatus, LoopResult,
};
use om_model::{LoopId, Timestamp, TraceId, json};
use om_store::{Commit, CommitError, DocumentOptions, LockError, RepoLayout, Scope};

use crate::fanout::{Limits, fan_out};
use crate::pass::{BuiltIn, Stage};
use crate::rollup::{FanOut, rollup};
use work::LoopWork;

/// Everything that a fan-out needs to know.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// The repository.
    pub layout: RepoLayout,
    /// The fleet's name.
    pub fleet_id: String,
    /// Its loops, in the order of the registry; at least one.
    pub loops: Vec<FleetLoop>,
    /// The trace of the fan-out, and the beginning of its loops' traces.
    pub trace_id: TraceId,
    /// The fleet state, as given.
    pub state_file: PathBuf,
    /// The telemetry, as given.
    pub telemetry_file: PathBuf,
    /// How it is run; recorded.
    pub execution: FleetExecution,
    /// Longest time of one loop (decision D11).
    pub loop_timeout: Duration,
    /// Most files that this process may have open.
    pub open_files: u64,
}

/// What a fan-out came to; its loops' artifacts are committed, and so is its
/// own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetRun {
    /// The state as one compact line without its newline. It is what stands
    /// in the state file, unless the fan-out was interrupted.
    pub state: String,
    /// Its status.
    pub status: FleetStatus,
    /// What the fan-out did not get to.
    pub interrupted: Option<FleetInterruption>,
}

/// Why there is no state. The loops' artifacts may be committed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// There is no loop to pass.
    #[error("fleet reconcile produced no loop results")]
    NoLoops,
    /// Another fan-out over this fleet runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The state cannot be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Passes every loop of `plan`.
///
/// `environment` looks a variable up; `stop` resolves to the name of what
/// asks the fan-out to end. What is decided by then is committed and
/// recorded as a telemetry row; the fleet state, from which policy is
/// evaluated, stays that of the last complete fan-out.
pub async fn run<B: BuiltIn>(
    plan: FleetPlan,
    stage: Stage<B>,
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    stop: impl Future<Output = String>,
) -> Result<FleetRun, FleetError> {
    if plan.loops.is_empty() {
        return Err(FleetError::NoLoops);
    }
    let scope = Scope::open(plan.layout.fleet_scope_dir())?;
    let _turn = scope.run_lock("fleet-reconcile")?;
    scope.recover()?;
    let loops = in_order(plan.loops, plan.execution.deterministic_order);
    let ids: Vec<LoopId> = loops.iter().map(|entry| entry.loop_id.clone()).collect();
    let traces = loop_traces(&plan.trace_id, &ids);
    let clock = Arc::new(clock);
    let started_at = clock();
    let work = Arc::new(LoopWork {
        layout: plan.layout,
        loops: loops.into_iter().zip(traces).collect(),
        stage,
        environment: Box::new(environment),
        clock: clock.clone(),
    });
    let max_parallel = usize::try_from(plan.execution.max_parallel).unwrap_or(usize::MAX);
    let limits = Limits::new(max_parallel, plan.loop_timeout, plan.open_files);
    let mut signal = None;
    let stopped = async { signal = Some(stop.await) };
    let results = fan_out(work, ids.len(), limits, &scope, stopped).await;
    let (results, not_passed) = split(results, ids);
    let interrupted = signal.filter(|_| !not_passed.is_empty());
    let fan_out = FanOut {
        fleet_id: plan.fleet_id,
        trace_id: plan.trace_id,
        started_at,
        ended_at: clock(),
        execution: plan.execution,
        interrupted: interrupted.map(|signal| FleetInterruption { signal, not_passed }),
    };
    let files = (plan.state_file, plan.telemetry_file);
    Ok(record(rollup(fan_out, results), files, &scope)?)
}

/// The order of start: that of the registry, or that of the ids.
fn in_order(mut loops: Vec<FleetLoop>, deterministic: bool) -> Vec<FleetLoop> {
    if deterministic {
        loops.sort_by(|a, b| a.loop_id.cmp(&b.loop_id));
    }
    loops
}

/// One trace per loop: the fleet's, and the loop's slug (decision D4).
fn loop_traces(fleet: &TraceId, ids: &[LoopId]) -> Vec<TraceId> {
    let slugs = trace_slugs(ids.iter().map(LoopId::as_str));
    let traces = slugs.into_iter().map(|slug| format!("{fleet}-{slug}"));
    // It begins with a trace id, so it is not empty.
    traces.filter_map(TraceId::new).collect()
}

/// Results, and the loops without one.
fn split(results: Vec<Option<LoopResult>>, ids: Vec<LoopId>) -> (Vec<LoopResult>, Vec<LoopId>) {
    let mut found = Vec::with_capacity(results.len());
    let mut missing = Vec::new();
    for (result, id) in results.into_iter().zip(ids) {
        match result {
            Some(result) => found.push(result),
            None => missing.push(id),
        }
    }
    (found, missing)
}

/// One commit: the state of a complete fan-out, and the row of every one.
fn record(
    state: FleetState,
    (state_file, telemetry_file): (PathBuf, PathBuf),
    scope: &Scope,
) -> Result<FleetRun, CommitError> {
    let run = FleetRun {
        state: json::compact(&state),
        status: state.status,
        interrupted: state.interrupted.clone(),
    };
    let row = json::compact(&FleetReconcileRow::from(state));
    let mut commit = Commit::new().row(telemetry_file, row);
    if run.interrupted.is_none() {
        let last = DocumentOptions {
            last: true,
            ..DocumentOptions::default()
        };
        commit = commit.document_with(state_file, format!("{}\n", run.state), last);
    }
    scope.commit(commit)?;
    Ok(run)
}

/// From which status on a fan-out is a failure of its command (`--fail-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// Some loop failed.
    Partial,
    /// Some loop failed, and none succeeded.
    Failed,
}

impl FailOn {
    /// Reads the value of the flag.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "partial" => Some(Self::Partial),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }

    /// Whether a fan-out with `status` is one to fail on.
    pub fn applies(self, status: FleetStatus) -> bool {
        match status {
            FleetStatus::Success => false,
            FleetStatus::PartialFailure => self == Self::Partial,
            FleetStatus::Failed => true,
        }
    }
}
