//! The shell of a pass: gather → evaluate → commit, hooks as barriers.
//!
//! Without hooks a pass is one commit, followed by the alert stage. When a
//! stage is replaced by a hook, everything decided so far is committed first,
//! the hook runs on the real files, and the pass goes on with what it
//! printed (contract chapter 02 §2.4, §2.7; decision D7).

mod drift;
mod gather;
mod hooks;

use std::path::{Path, PathBuf};

use om_model::envelope::Source;
use om_model::json;
use om_model::{Artifact, Timestamp, TraceId};
use om_stage::Hook;
use om_store::{Commit, CommitError, Expect, LockError, ReadError, Scope, read_bytes};
use om_transport::Observe;
use serde_json::Value;

use crate::pass::{self, Closed, HardAbort, PassContext, PassInputs, PassPaths, PassSettings};

use self::gather::Gathered;

/// How often a pass starts over because somebody edited a document between
/// reading and writing it.
const ATTEMPTS: u32 = 5;

/// Everything that a pass needs to know before it looks at the loop.
#[derive(Clone, Debug)]
pub struct PassPlan {
    /// Which loop.
    pub source: Source,
    /// Where its artifacts are.
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

/// The alert dispatch stage.
#[derive(Clone, Debug, Default)]
pub struct AlertStage {
    /// `OPS_MANAGER_ALERT_DISPATCH_SCRIPT`, if alerts are enabled.
    pub hook: Option<Hook>,
    /// Passed on as `--alert-config-file`.
    pub config_file: Option<String>,
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
    let mut attempt = 1;
    loop {
        match attempt_pass(plan, scope, transport, started_at, &clock).await {
            Err(PassError::Commit(CommitError::Changed { path })) if attempt < ATTEMPTS => {
                tracing::info!(path = %path.display(), attempt, "changed meanwhile, starting over");
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn attempt_pass<T: Observe>(
    plan: &PassPlan,
    scope: &Scope,
    transport: &mut T,
    started_at: Timestamp,
    clock: &impl Fn() -> Timestamp,
) -> Result<PassOutcome, PassError> {
    let Gathered { inputs, read } = gather::gather(plan, transport, clock()).await?;
    let context = PassContext {
        started_at,
        now: clock(),
        trace_id: plan.trace_id.clone(),
    };
    let mut ledger = Ledger { scope, read };
    let closed = evaluate(plan, &inputs, &context, &mut ledger)?;
    ledger.commit(closed.commit)?;
    if let Some(row) = hooks::alert_dispatch(plan, &inputs, &context) {
        let row = Commit::new().row(&plan.paths.alert_rows, json::compact(&row));
        ledger.commit(row)?;
    }
    Ok(PassOutcome {
        document: closed.stdout,
        success: closed.success,
    })
}

/// Steps 3 to 12; commits only where a hook needs the files.
fn evaluate(
    plan: &PassPlan,
    inputs: &PassInputs,
    context: &PassContext,
    ledger: &mut Ledger<'_>,
) -> Result<Closed, PassError> {
    let mut observed = pass::observe(inputs, context)?;
    let health = match &plan.hooks.health {
        None => pass::health(inputs, &observed, context)?,
        Some(hook) => {
            ledger.commit(std::mem::take(&mut observed.commit))?;
            hooks::health(hook, inputs, &observed, context)?
        }
    };
    let mut recorded = pass::record(inputs, observed, health, context)?;
    let summary = match &plan.hooks.telemetry_summary {
        None => drift::summarize(inputs, &recorded, context)?,
        Some(hook) => {
            ledger.commit(std::mem::take(&mut recorded.commit))?;
            hooks::telemetry_summary(hook, inputs)?
        }
    };
    let outcome = match (
        &plan.hooks.profile_drift,
        pass::drift_request(&recorded, summary.as_ref()),
    ) {
        (_, Err(abort)) => Err(abort.into()),
        (None, Ok(request)) => drift::evaluate(plan, inputs, &request, context, ledger),
        (Some(hook), Ok(request)) => {
            ledger.commit(std::mem::take(&mut recorded.commit))?;
            hooks::profile_drift(hook, plan, inputs, &request)
        }
    };
    match outcome {
        Ok(outcome) => Ok(pass::close(
            inputs,
            recorded,
            summary.as_ref(),
            outcome,
            context,
        )),
        Err(error) => {
            // What the pass found out so far is kept (decision D7).
            ledger.commit(recorded.commit)?;
            Err(error)
        }
    }
}

/// Commits what a pass has decided, one part per barrier.
struct Ledger<'a> {
    scope: &'a Scope,
    /// What was read where documents will be written; checked by the first
    /// commit only, since hooks may write the same documents afterwards.
    read: Vec<(PathBuf, Expect)>,
}

impl Ledger<'_> {
    /// Reads a document that this pass is about to replace.
    fn read(&mut self, path: &Path) -> Result<Artifact, ReadError> {
        let bytes = read_bytes(path)?;
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
        Ok(())
    }
}
