//! The shell of a pass: gather → evaluate → commit, hooks as barriers.
//!
//! Without hooks a pass is one commit, followed by the alert stage. When a
//! stage is replaced by a hook, everything decided so far is committed first,
//! the hook runs on the real files, and the pass goes on with what it
//! printed (contract chapter 02 §2.4, §2.7; decision D7).

mod alerts;
mod drift;
mod gather;
mod hooks;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use om_alerts::{Courier, Quiet, Resolver};
use om_control::ControlError;
use om_model::envelope::Source;
use om_model::json;
use om_model::{Artifact, Timestamp, TraceId};
use om_stage::Hook;
use om_store::{Commit, CommitError, Expect, LockError, LoopLayout, ReadError, Scope, read_bytes};
use om_transport::Observe;
use serde_json::Value;

use crate::pass::{
    self, Closed, DriftOutcome, DriftRequest, HardAbort, PassContext, PassInputs, PassPaths,
    PassSettings, Recorded,
};
use crate::thresholds::ThresholdOverrides;

/// How often a pass starts over because somebody edited a document between
/// reading and writing it.
const ATTEMPTS: u32 = 5;

/// Everything that a pass needs to know before it looks at the loop.
#[derive(Debug)]
pub struct PassPlan {
    /// Which loop.
    pub source: Source,
    /// The loop's own files.
    pub files: LoopLayout,
    /// Where the artifacts of this pass are; any of them may lie elsewhere.
    pub paths: PassPaths,
    /// Limits and thresholds in force.
    pub settings: PassSettings,
    /// Links everything that the pass writes.
    pub trace_id: TraceId,
    /// Directory that the projection names as its evidence; volatile.
    pub evidence_dir: PathBuf,
    /// The threshold catalog, whose names drift is checked against.
    pub catalog: Artifact,
    /// The threshold catalog as a file, for a drift hook.
    pub catalog_file: String,
    /// Replaced stages.
    pub hooks: PassHooks,
    /// Numbers as they were typed, for the hooks' argv.
    pub typed: TypedNumbers,
    /// What happens after the commit.
    pub alerts: AlertStage,
}

/// Stages of a pass that are replaced by executables.
#[derive(Clone, Debug, Default)]
pub struct PassHooks {
    /// `OPS_MANAGER_HEALTH_SCRIPT`.
    pub health: Option<Hook>,
    /// `OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT`.
    pub telemetry_summary: Option<Hook>,
    /// `OPS_MANAGER_PROFILE_DRIFT_SCRIPT`.
    pub profile_drift: Option<Hook>,
}

/// Numbers as they were typed; a hook gets them unchanged (common rules).
#[derive(Clone, Debug, Default)]
pub struct TypedNumbers {
    /// The threshold flags.
    pub thresholds: ThresholdOverrides,
    /// The required drift streak.
    pub drift_required_streak: Option<String>,
    /// The summary window.
    pub drift_summary_window: Option<String>,
}

/// The alert dispatch stage, after everything else is committed.
#[derive(Debug, Default)]
pub enum AlertStage {
    /// Alerts are disabled: no file is touched.
    #[default]
    Off,
    /// `OPS_MANAGER_ALERT_DISPATCH_SCRIPT`.
    Hook {
        /// The executable.
        hook: Hook,
        /// Passed on as `--alert-config-file`.
        config_file: Option<String>,
    },
    /// [`om_alerts::dispatch()`], with the deliveries that are due again.
    BuiltIn {
        /// What decides where alerts go; read once there is one to send.
        resolver: LazyResolver,
        /// What delivers them.
        courier: Courier,
    },
}

/// A resolver that is made when it is first needed.
pub type LazyResolver = Arc<LazyLock<Resolver, Box<dyn FnOnce() -> Resolver + Send>>>;

/// How a pass ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PassOutcome {
    /// The state on success, the health document if ingest failed.
    pub document: Value,
    /// Whether the loop could be observed and projected.
    pub success: bool,
}

impl PassOutcome {
    fn of(closed: Closed) -> (Self, Commit) {
        let outcome = Self {
            document: closed.stdout,
            success: closed.success,
        };
        (outcome, closed.commit)
    }
}

/// Why a pass did not end.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// An artifact cannot be used. Up to the health stage nothing was
    /// committed, later what came before the failing stage.
    #[error(transparent)]
    Abort(#[from] HardAbort),
    /// A file cannot be read; nothing was committed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tree cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The commit did not happen.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Intents without an outcome cannot be recorded.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A hook failed; everything before it is committed.
    #[error("{variable} failed with exit code {exit_code}: {message}")]
    Hook {
        /// The hook's variable.
        variable: String,
        /// Its exit code.
        exit_code: i32,
        /// Its last words.
        message: String,
    },
    /// A hook printed something else than one JSON document.
    #[error("{variable} did not print one JSON document: {message}")]
    HookOutput {
        /// The hook's variable.
        variable: String,
        /// What is wrong with its output.
        message: String,
    },
}

/// Runs one pass over one loop.
///
/// The caller holds the loop's run lock. `clock` is read when the pass starts
/// and when everything is gathered. An edit of a document by somebody else
/// between reading and committing it makes the pass start over.
pub async fn run<T: Observe>(
    plan: &PassPlan,
    scope: &Scope,
    transport: &mut T,
    clock: impl Fn() -> Timestamp,
) -> Result<PassOutcome, PassError> {
    let started_at = begin(plan, scope, &clock)?;
    let mut attempt = 1;
    loop {
        let prepared = evaluate(plan, scope, transport, started_at, &clock).await?;
        let mut ready = match prepared {
            Prepared::Done(outcome) => return Ok(outcome),
            Prepared::Ready(ready) => ready,
        };
        match scope.commit(ready.take_commit()) {
            Ok(_) => return ready.finish(plan, scope, &clock).await,
            Err(CommitError::Changed { path }) if attempt < ATTEMPTS => {
                tracing::info!(path = %path.display(), attempt, "changed meanwhile, starting over");
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// [`run`] up to its commit, for those that commit many loops as one.
///
/// If the commit then fails because a document was changed, `run` does the
/// pass again.
pub async fn prepare<T: Observe>(
    plan: &PassPlan,
    scope: &Scope,
    transport: &mut T,
    clock: impl Fn() -> Timestamp,
) -> Result<Prepared, PassError> {
    let started_at = begin(plan, scope, &clock)?;
    evaluate(plan, scope, transport, started_at, &clock).await
}

/// A pass that is decided.
#[derive(Debug)]
pub enum Prepared {
    /// Everything that it found out is one commit.
    Ready(Box<ReadyPass>),
    /// It had hooks in it, so it is committed and finished.
    Done(PassOutcome),
}

/// A pass that is to be committed.
#[derive(Debug)]
pub struct ReadyPass {
    commit: Commit,
    outcome: PassOutcome,
    context: PassContext,
    /// The alert stage, if it had nothing to do and is in the commit.
    quiet: Option<Quiet>,
}

impl ReadyPass {
    /// What the pass comes to once it is committed, for those who do not
    /// keep its document until then: [`Self::finish`] gives `null` instead.
    pub fn take_outcome(&mut self) -> PassOutcome {
        PassOutcome {
            success: self.outcome.success,
            document: self.outcome.document.take(),
        }
    }

    /// What is to be committed in the loop's scope; empty when called again.
    pub fn take_commit(&mut self) -> Commit {
        std::mem::take(&mut self.commit)
    }

    /// What comes after the commit: alerts.
    pub async fn finish(
        self,
        plan: &PassPlan,
        scope: &Scope,
        clock: &impl Fn() -> Timestamp,
    ) -> Result<PassOutcome, PassError> {
        if self.quiet.is_none() {
            send_alerts(plan, scope, &self.context, clock).await?;
        }
        Ok(self.outcome)
    }
}

/// Completes what others left unfinished; the time at which the pass starts.
fn begin(
    plan: &PassPlan,
    scope: &Scope,
    clock: &impl Fn() -> Timestamp,
) -> Result<Timestamp, PassError> {
    scope.recover()?;
    let started_at = clock();
    om_control::recover_pending(scope, &plan.files, started_at, &om_control::owner::is_alive)?;
    Ok(started_at)
}

async fn evaluate<T: Observe>(
    plan: &PassPlan,
    scope: &Scope,
    transport: &mut T,
    started_at: Timestamp,
    clock: &impl Fn() -> Timestamp,
) -> Result<Prepared, PassError> {
    let mut ledger = Ledger::new(scope);
    let inputs = gather::gather(plan, transport, clock(), &mut ledger).await?;
    let context = PassContext {
        started_at,
        now: clock(),
        trace_id: plan.trace_id.clone(),
    };
    let mut pass = Pass {
        plan,
        inputs: &inputs,
        context: &context,
        ledger: &mut ledger,
    };
    match pass.run()? {
        Last::Open(outcome, commit) => {
            let quiet = alerts::quiet(plan, scope, &commit, context.now);
            let commit = match &quiet {
                Some(quiet) => quiet.record(commit),
                None => commit,
            };
            Ok(Prepared::Ready(Box::new(ReadyPass {
                commit,
                outcome,
                context,
                quiet,
            })))
        }
        Last::Committed(outcome) => {
            send_alerts(plan, scope, &context, clock).await?;
            Ok(Prepared::Done(outcome))
        }
    }
}

/// The alert stage; its failure is a row and nothing else.
async fn send_alerts(
    plan: &PassPlan,
    scope: &Scope,
    context: &PassContext,
    clock: &impl Fn() -> Timestamp,
) -> Result<(), PassError> {
    if let Some(output) = alerts::dispatch(plan, scope, clock).await {
        let row = pass::alert_failure_row(&plan.source.loop_id, context, &output);
        scope.commit(Commit::new().row(&plan.paths.alert_rows, json::compact(&row)))?;
    }
    Ok(())
}

/// The last part of a pass.
enum Last {
    /// Nothing is committed yet.
    Open(PassOutcome, Commit),
    /// Parts were committed before, for hooks, and now the rest.
    Committed(PassOutcome),
}

/// Steps 3 to 12 over gathered inputs; commits before every hook, and at the
/// end if there was one.
struct Pass<'a, 'l> {
    plan: &'a PassPlan,
    inputs: &'a PassInputs,
    context: &'a PassContext,
    ledger: &'a mut Ledger<'l>,
}

impl Pass<'_, '_> {
    fn run(&mut self) -> Result<Last, PassError> {
        let (inputs, context) = (self.inputs, self.context);
        let mut observed = pass::observe(inputs, context)?;
        let health = match &self.plan.hooks.health {
            None => pass::health(inputs, &observed, context)?,
            Some(hook) => {
                self.ledger.commit(std::mem::take(&mut observed.commit))?;
                hooks::health(hook, self.plan, inputs, &observed, context)?
            }
        };
        let mut recorded = pass::record(inputs, observed, health, context)?;
        let summary = match &self.plan.hooks.telemetry_summary {
            None => drift::summarize(inputs, &recorded, context, self.ledger.scope)?,
            Some(hook) => {
                self.ledger.commit(std::mem::take(&mut recorded.commit))?;
                let summary = hooks::telemetry_summary(hook, self.plan, inputs)?;
                self.refresh_state(&mut recorded)?;
                summary
            }
        };
        match self.drift(&mut recorded, summary.as_ref()) {
            Ok(outcome) => self.close(recorded, summary.as_ref(), outcome),
            Err(error) => {
                // What the pass found out so far is kept (decision D7).
                self.ledger.commit(recorded.commit)?;
                Err(error)
            }
        }
    }

    /// Step 11: by the hook, if there is one, else built in.
    fn drift(
        &mut self,
        recorded: &mut Recorded,
        summary: Option<&Value>,
    ) -> Result<DriftOutcome, PassError> {
        let request = pass::drift_request(recorded, summary)?;
        let Some(hook) = &self.plan.hooks.profile_drift else {
            return self.built_in_drift(&request);
        };
        self.ledger.commit(std::mem::take(&mut recorded.commit))?;
        let outcome = hooks::profile_drift(hook, self.plan, self.inputs, &request)?;
        self.refresh_state(recorded)?;
        Ok(outcome)
    }

    /// Merges drift and tuning into the state, and commits the rest if a
    /// part is committed.
    ///
    /// After a hook the pass cannot start over any more, so a document that
    /// somebody edits just now is read and merged into again.
    fn close(
        &mut self,
        mut recorded: Recorded,
        summary: Option<&Value>,
        mut drift: DriftOutcome,
    ) -> Result<Last, PassError> {
        let (inputs, context) = (self.inputs, self.context);
        if !self.ledger.flushed {
            let closed = pass::close(inputs, recorded, summary, drift, context);
            let (outcome, commit) = PassOutcome::of(closed);
            return Ok(Last::Open(outcome, self.ledger.guarded(commit)));
        }
        let mut attempt = 1;
        loop {
            let closed = pass::close(inputs, recorded.clone(), summary, drift.clone(), context);
            let (outcome, commit) = PassOutcome::of(closed);
            match self.ledger.commit(commit) {
                Ok(()) => return Ok(Last::Committed(outcome)),
                Err(CommitError::Changed { .. }) if attempt < ATTEMPTS => {
                    self.refresh_state(&mut recorded)?;
                    if self.plan.hooks.profile_drift.is_none() {
                        drift = self.built_in_drift(&pass::drift_request(&recorded, summary)?)?;
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn built_in_drift(&mut self, request: &DriftRequest) -> Result<DriftOutcome, PassError> {
        let previous = self.ledger.read(&self.inputs.paths.drift_state)?;
        let catalog = &self.plan.catalog;
        Ok(pass::drift(
            self.inputs,
            request,
            catalog,
            &previous,
            self.context,
        )?)
    }

    fn refresh_state(&mut self, recorded: &mut Recorded) -> Result<(), PassError> {
        let path = &self.inputs.paths.state;
        let state = self.ledger.read(path)?;
        Ok(recorded.refresh_state(&state, &path.display().to_string())?)
    }
}

/// Reads what a pass will replace, and commits what it has decided.
struct Ledger<'a> {
    scope: &'a Scope,
    /// What was read where documents will be written, and must still be
    /// there at the next commit. Forgotten after a commit: hooks may write
    /// the same documents.
    read: Vec<(PathBuf, Expect)>,
    /// Whether a part of the pass is committed.
    flushed: bool,
}

impl<'a> Ledger<'a> {
    fn new(scope: &'a Scope) -> Self {
        Self {
            scope,
            read: Vec::new(),
            flushed: false,
        }
    }

    /// Reads a document that this pass may replace.
    fn read(&mut self, path: &Path) -> Result<Artifact, ReadError> {
        let bytes = read_bytes(path)?;
        self.read.retain(|(other, _)| other != path);
        self.read
            .push((path.to_owned(), Expect::found(bytes.as_deref())));
        Ok(bytes.map_or(Artifact::Absent, |bytes| Artifact::parse(&bytes)))
    }

    /// Commits one part of the pass.
    fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        if commit.is_empty() {
            return Ok(());
        }
        let commit = self.guarded(commit);
        self.scope.commit(commit)?;
        self.flushed = true;
        Ok(())
    }

    /// `commit`, which holds only if what was read is still there.
    fn guarded(&mut self, mut commit: Commit) -> Commit {
        for document in &mut commit.documents {
            let read = self.read.iter().find(|(path, _)| *path == document.path);
            if let Some((_, expect)) = read {
                document.options.expect = *expect;
            }
        }
        self.read.clear();
        commit
    }
}
