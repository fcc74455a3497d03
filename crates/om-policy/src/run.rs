//! Gathers what an evaluation looks at, and commits what it comes to.

use std::path::Path;

use om_model::json;
use om_model::{Timestamp, TraceId};
use om_registry::{Loaded, RegistryStage};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, RepoLayout, Scope, View, line_number_of,
    read_bytes, read_fold,
};
use serde_json::{Map, Value};

use crate::audit::Previous;
use crate::error::PolicyError;
use crate::evaluate::{PolicyContext, PolicyEvaluation, PolicyInputs, PolicyPaths, evaluate};
use crate::fleet::{FleetStateError, FleetView};
use crate::handoff_fold::{HandoffFold, read_handoff};
use crate::history_fold::HistoryFold;
use crate::row::BadRow;

/// The run lock's name: two evaluations of a fleet take turns.
const COMMAND: &str = "fleet-policy";

/// Evaluations of one run, if somebody edits the policy state meanwhile.
const ATTEMPTS: usize = 3;

/// What is to be judged.
#[derive(Clone, Debug)]
pub struct PolicyRequest {
    /// The repository.
    pub layout: RepoLayout,
    /// Where the registry comes from.
    pub registry: RegistryStage,
    /// The files.
    pub paths: PolicyPaths,
    /// `--dedupe-window-seconds` as typed.
    pub dedupe_window_seconds: Option<String>,
    /// `--trace-id`.
    pub trace_id: Option<TraceId>,
    /// The trace if neither the flag nor the fleet state has one.
    pub fallback_trace_id: TraceId,
}

/// Judges a fleet and records the result: policy state, history, telemetry
/// and governance audit in one commit.
///
/// What a registry hook prints on stderr is handed to `diagnostics` at once.
pub fn run(
    request: &PolicyRequest,
    clock: &dyn Fn() -> Timestamp,
    diagnostics: &mut dyn FnMut(&str),
) -> Result<PolicyEvaluation, PolicyError> {
    request.check_fleet_state()?;
    let scope = Scope::open(request.layout.fleet_scope_dir())?;
    scope.recover()?;
    let _lock = scope.run_lock(COMMAND)?;
    let loaded = request.registry.load(clock())?;
    if !loaded.diagnostics.is_empty() {
        diagnostics(&loaded.diagnostics);
    }
    let fleet = request.fleet()?;
    let window = request.window(&loaded)?;
    for _ in 1..ATTEMPTS {
        match request.attempt(&scope, &loaded, &fleet, window, clock) {
            Err(PolicyError::Commit(CommitError::Changed { .. })) => {}
            result => return result,
        }
    }
    request.attempt(&scope, &loaded, &fleet, window, clock)
}

impl PolicyRequest {
    /// Told before anything is made or locked.
    fn check_fleet_state(&self) -> Result<(), PolicyError> {
        let path = Path::new(&self.paths.fleet_state);
        // A first state may be recorded and not yet be a file.
        let recorded = || View::open(self.layout.fleet_scope_dir())?.bytes(path);
        if path.is_file() || recorded()?.is_some() {
            return Ok(());
        }
        let path = self.paths.fleet_state.clone();
        Err(PolicyError::FleetStateMissing(path))
    }

    fn fleet(&self) -> Result<FleetView, PolicyError> {
        let path = &self.paths.fleet_state;
        let bytes = read_bytes(Path::new(path))?
            .ok_or_else(|| PolicyError::FleetStateMissing(path.clone()))?;
        FleetView::read(&bytes).map_err(|cause| self.invalid(cause))
    }

    fn invalid(&self, cause: FleetStateError) -> PolicyError {
        let path = self.paths.fleet_state.clone();
        PolicyError::FleetStateInvalid { path, cause }
    }

    /// The window of the flag, after the mode was looked at.
    fn window(&self, loaded: &Loaded) -> Result<Option<u64>, PolicyError> {
        if let Some(mode) = &loaded.unsupported_mode {
            return Err(PolicyError::UnsupportedMode(mode.clone()));
        }
        let seconds = |text: &String| json::digits_text(text).ok_or(PolicyError::DedupeWindow);
        self.dedupe_window_seconds.as_ref().map(seconds).transpose()
    }

    /// Reads what is committed together, evaluates and commits.
    fn attempt(
        &self,
        scope: &Scope,
        loaded: &Loaded,
        fleet: &FleetView,
        window: Option<u64>,
        clock: &dyn Fn() -> Timestamp,
    ) -> Result<PolicyEvaluation, PolicyError> {
        let policy = &loaded.registry.policy;
        let bytes = read_bytes(Path::new(&self.paths.policy_state))?;
        let previous =
            Previous::read(bytes.as_deref()).map_err(|cause| PolicyError::PreviousInvalid {
                path: self.paths.policy_state.clone(),
                cause,
            })?;
        let history = self.history(scope)?;
        let lookback = policy.autonomous.rollout.auto_pause.lookback_executions;
        let handoff = self.handoff(scope, lookback)?;
        let inputs = PolicyInputs {
            fleet,
            policy,
            controls: &controls(&loaded.document),
            dedupe_window_seconds: window,
            previous: previous.as_ref(),
            history: &history,
            executions: handoff.executions(),
        };
        let context = PolicyContext {
            now: clock(),
            trace_id: self.trace_id(fleet),
            paths: self.paths.clone(),
        };
        let evaluation = evaluate(&inputs, &context).map_err(|cause| self.invalid(cause.into()))?;
        scope.commit(self.commit(&evaluation, bytes.as_deref()))?;
        Ok(evaluation)
    }

    /// The flag, else the fan-out's trace, else the fallback.
    fn trace_id(&self, fleet: &FleetView) -> TraceId {
        let of_fleet = fleet.trace_id.clone().and_then(TraceId::new);
        let named = self.trace_id.clone().or(of_fleet);
        named.unwrap_or_else(|| self.fallback_trace_id.clone())
    }

    fn history(&self, scope: &Scope) -> Result<HistoryFold, PolicyError> {
        let path = &self.paths.policy_history;
        let fold: HistoryFold = read_fold(Path::new(path), scope)?;
        sound("policy history", path, fold.bad_row())?;
        Ok(fold)
    }

    fn handoff(&self, scope: &Scope, lookback: u64) -> Result<HandoffFold, PolicyError> {
        let path = &self.paths.handoff_telemetry;
        let fold = read_handoff(Path::new(path), scope, lookback)?;
        sound("handoff telemetry", path, fold.bad_row())?;
        Ok(fold)
    }

    /// The evaluation as one commit, if the policy state is still what it was
    /// compared with.
    fn commit(&self, evaluation: &PolicyEvaluation, previous: Option<&[u8]>) -> Commit {
        let paths = &self.paths;
        let mut commit = Commit::new().document_with(
            &paths.policy_state,
            json::compact(&evaluation.state) + "\n",
            DocumentOptions {
                expect: Expect::found(previous),
                ..DocumentOptions::default()
            },
        );
        for row in &evaluation.audit {
            commit = commit.row(&paths.governance_audit, json::compact(row));
        }
        for row in &evaluation.history {
            commit = commit.row(&paths.policy_history, json::compact(row));
        }
        commit = commit.row(&paths.policy_telemetry, json::compact(&evaluation.row));
        if evaluation.audit.is_empty() {
            commit = made(commit, Path::new(&paths.governance_audit));
        }
        if evaluation.history.is_empty() {
            commit = made(commit, Path::new(&paths.policy_history));
        }
        commit
    }
}

/// The journal exists afterwards, even without a row.
fn made(commit: Commit, journal: &Path) -> Commit {
    if journal.exists() {
        return commit;
    }
    let options = DocumentOptions {
        expect: Expect::Absent,
        ..DocumentOptions::default()
    };
    commit.document_with(journal, Vec::new(), options)
}

/// The registry's `policy.autonomous`, verbatim.
fn controls(document: &Value) -> Value {
    let mut controls = document
        .pointer("/policy/autonomous")
        .cloned()
        .unwrap_or_else(|| Value::Object(Map::new()));
    json::normalize(&mut controls);
    controls
}

fn sound(journal: &'static str, path: &str, bad: Option<&BadRow>) -> Result<(), PolicyError> {
    let Some(bad) = bad else { return Ok(()) };
    Err(PolicyError::BadRow {
        journal,
        path: path.to_owned(),
        line: line_number_of(Path::new(path), bad.offset)?,
        what: bad.what.clone(),
    })
}
