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

use om_alerts::{Courier, Resolver};
use om_control::ControlError;
use om_model::envelope::Source;
use om_model::json;
use om_model::{Artifact, Timestamp, TraceId};
use om_stage::Hook;
use om_store::{Commit, CommitError, Expect, LockError, LoopLayout, ReadError, Scope, read_bytes};
use om_transport::Observe;
use serde_json::Value;

use crate::pass::{
    self, DriftOutcome, DriftRequest, HardAbort, PassContext, PassInputs, PassPaths, PassSettings,
    Recorded,
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
        /// What decides where alerts go.
        resolver: Resolver,
        /// What delivers them.
        courier: Courier,
    },
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PassOutcome {
    /// The state on success, the health document if ingest failed.
    pub document: Value,
    /// Whether the loop could be observed and projected.
    pub success: bool,
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
    scope.recover()?;
    let started_at = clock();
    om_control::recover_pending(scope, &plan.files, started_at, &om_control::owner::is_alive)?;
    let mut attempt = 1;
    loop {
        let mut ledger = Ledger::new(scope);
        match attempt_pass(plan, transport, started_at, &clock, &mut ledger).await {
            // Once a part is committed, the pass must not be done twice.
            Err(PassError::Commit(CommitError::Changed { path }))
                if attempt < ATTEMPTS && !ledger.flushed =>
            {
                tracing::info!(path = %path.display(), attempt, "changed meanwhile, starting over");
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn attempt_pass<T: Observe>(
    plan: &PassPlan,
    transport: &mut T,
    started_at: Timestamp,
    clock: &impl Fn() -> Timestamp,
    ledger: &mut Ledger<'_>,
) -> Result<PassOutcome, PassError> {
    let inputs = gather::gather(plan, transport, clock(), ledger).await?;
    let context = PassContext {
        started_at,
        now: clock(),
        trace_id: plan.trace_id.clone(),
    };
    let mut pass = Pass {
        plan,
        inputs: &inputs,
        context: &context,
        ledger: &mut *ledger,
    };
    let outcome = pass.run()?;
    if let Some(output) = alerts::dispatch(plan, ledger.scope, clock).await {
        let row = pass::alert_failure_row(&inputs.source.loop_id, &context, &output);
        ledger.commit(Commit::new().row(&plan.paths.alert_rows, json::compact(&row)))?;
    }
    Ok(outcome)
}

/// Steps 3 to 12 over gathered inputs; commits before every hook and at the
/// end.
struct Pass<'a, 'l> {
    plan: &'a PassPlan,
    inputs: &'a PassInputs,
    context: &'a PassContext,
    ledger: &'a mut Ledger<'l>,
}

impl Pass<'_, '_> {
    fn run(&mut self) -> Result<PassOutcome, PassError> {
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
            None => drift::summarize(inputs, &recorded, context)?,
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

    /// Merges drift and tuning into the state and commits the rest.
    ///
    /// After a hook the pass cannot start over any more, so a document that
    /// somebody edits just now is read and merged into again.
    fn close(
        &mut self,
        mut recorded: Recorded,
        summary: Option<&Value>,
        mut drift: DriftOutcome,
    ) -> Result<PassOutcome, PassError> {
        let mut attempt = 1;
        loop {
            let (inputs, context) = (self.inputs, self.context);
            let closed = pass::close(inputs, recorded.clone(), summary, drift.clone(), context);
            match self.ledger.commit(closed.commit) {
                Ok(()) => {
                    return Ok(PassOutcome {
                        document: closed.stdout,
                        success: closed.success,
                    });
                }
                Err(CommitError::Changed { .. }) if self.ledger.flushed && attempt < ATTEMPTS => {
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
    fn commit(&mut self, mut commit: Commit) -> Result<(), CommitError> {
        if commit.is_empty() {
            return Ok(());
        }
        for document in &mut commit.documents {
            let read = self.read.iter().find(|(path, _)| *path == document.path);
            if let Some((_, expect)) = read {
                document.options.expect = *expect;
            }
        }
        self.read.clear();
        self.scope.commit(commit)?;
        self.flushed = true;
        Ok(())
    }
}
