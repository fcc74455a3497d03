//! One handoff from beginning to end: gather, plan, and on request act on one
//! target after the other (chapter 06 §2).

use std::path::{Path, PathBuf};

use om_control::Clock;
use om_model::TraceId;
use om_model::envelope::SchemaVersion;
use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, EvaluationIdentity, ExecutionMode, HandoffIntent, HandoffPending,
    HandoffRequest, HandoffState, Withheld,
};
use om_model::fleet::policy::AutonomyReason;
use om_model::{Timestamp, json};
use om_registry::RegistryStage;
use om_store::{Commit, CommitError, RepoLayout, Scope, View};

use crate::control::{Call, ControlStage};
use crate::dispatch_fold::DispatchFold;
use crate::error::HandoffError;
use crate::execution::{Outcomes, Record, executed};
use crate::gather::Gathered;
use crate::journal::{Journal, document};
use crate::key::call_key;
use crate::look::Looker;
use crate::outcome::result;
use crate::plan::{PlanContext, plan_row};
use crate::targets::{Filters, select};

/// Only one handoff of a fleet runs at a time.
pub(crate) const RUN_LOCK: &str = "fleet-handoff";

/// What somebody wants of a handoff.
#[derive(Clone, Debug)]
pub struct Handoff {
    /// The repository.
    pub layout: RepoLayout,
    /// Where the registry comes from.
    pub registry: RegistryStage,
    /// The files, as given.
    pub files: HandoffFiles,
    /// `--trace-id`
    pub trace_id: Option<TraceId>,
    /// Used if neither that nor the policy state has one.
    pub fallback_trace_id: TraceId,
    /// Of idempotency keys; not empty.
    pub idempotency_prefix: String,
    /// What to do.
    pub action: Action,
    /// How targets are controlled.
    pub control: ControlStage,
    /// The only policy evaluation to act on, if somebody looked at one: with
    /// another one nothing is planned.
    pub evaluation: Option<EvaluationIdentity>,
}

/// The files of a handoff, as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffFiles {
    /// Read.
    pub policy_state: String,
    /// Read and replaced.
    pub handoff_state: String,
    /// Appended to; read for auto-pause.
    pub handoff_telemetry: String,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Plan.
    Plan,
    /// Plan and execute.
    Execute(Order),
}

/// What to execute, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who decides about each target.
    pub mode: ExecutionMode,
    /// What it is limited to.
    pub filters: Filters,
    /// Who asks; may be empty.
    pub requested_by: String,
    /// Why; `None` rather than empty.
    pub note: Option<String>,
}

impl Handoff {
    fn is_about_another(&self, evaluation: &EvaluationIdentity) -> bool {
        let wanted = self.evaluation.as_ref();
        wanted.is_some_and(|wanted| wanted != evaluation)
    }

    /// The idempotency key of the next manual dispatch of `intent` (decision
    /// D28).
    pub fn next_key(&self, intent: &HandoffIntent, journal: &DispatchFold) -> String {
        let key = |attempts| {
            let (own, prefix) = (&intent.idempotency_key, &self.idempotency_prefix);
            call_key(own, prefix, &intent.loop_id, &intent.intent, attempts)
        };
        key(journal.attempts(&intent.intent_id, &key(0)))
    }

    /// What `order` would run for `intent`: a command line, a request, or the
    /// hook.
    pub fn preview(&self, order: &Order, intent: &HandoffIntent) -> String {
        let (by, note) = (&order.requested_by, order.note_for(intent));
        self.control.preview(&self.layout, intent, by, &note)
    }
}

impl Order {
    /// What control is told about the reason.
    fn note_for(&self, intent: &HandoffIntent) -> String {
        let own = format!("fleet_handoff:{}:{}", self.mode.as_str(), intent.intent_id);
        match self.note.as_deref().filter(|note| !note.is_empty()) {
            Some(note) => format!("{note} | {own}"),
            None => own,
        }
    }
}

/// How far a handoff has come.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A registry hook said this on stderr.
    RegistrySaid(&'a str),
    /// A run that had died was recorded.
    Recovered,
    /// The plan is made and its row is recorded; these are the targets.
    Planned {
        /// The plan.
        plan: &'a HandoffState,
        /// Targets in all; 0 if nothing is to be executed.
        targets: usize,
    },
    /// The last look kept a target back.
    Withheld(&'a Withheld),
    /// The dispatch is journaled; control is called next.
    Dispatching(&'a DispatchRow),
    /// Control has ended; its outcome is journaled next.
    Controlled(&'a DispatchRow),
    /// The outcome is journaled.
    Journaled(&'a DispatchRow),
    /// Nothing is left but to record the execution.
    Decided,
}

/// Runs a handoff.
///
/// Blocks until every target is over; `stop` is asked before each, and what
/// was done until then is recorded. Whatever control does is an outcome. An
/// error means that nothing was dispatched, but for
/// [`HandoffError::Unrecorded`] and errors of a commit on the way, after which
/// the next handoff records what was dispatched.
pub fn run(
    handoff: &Handoff,
    clock: &dyn Clock,
    stop: &dyn Fn() -> bool,
    told: &mut dyn FnMut(Progress<'_>),
) -> Result<HandoffState, HandoffError> {
    let scope_dir = handoff.layout.fleet_scope_dir();
    let policy_state = Path::new(&handoff.files.policy_state);
    if View::open(&scope_dir)?.bytes(policy_state)?.is_none() {
        let file = handoff.files.policy_state.clone();
        return Err(HandoffError::PolicyStateNotFound(file));
    }
    let scope = Scope::open(scope_dir)?;
    let _turn = scope.run_lock(RUN_LOCK)?;
    scope.recover()?;
    let mut gathered = Gathered::read(handoff, clock.now(), told)?;
    let mut journal = Journal::open(&handoff.layout, &scope)?;
    if journal.recover(clock)? {
        told(Progress::Recovered);
        gathered.read_previous(handoff)?;
    }
    if handoff.is_about_another(&gathered.evaluation) {
        return Err(HandoffError::EvaluationChanged);
    }
    gathered.recall(&journal);
    let context = context(handoff, &gathered, clock.now());
    let plan = gathered.plan(&context)?;
    let opening = Commit::new().row(
        &handoff.files.handoff_telemetry,
        json::compact(&plan_row(&plan)),
    );
    match &handoff.action {
        Action::Plan => {
            let commit = opening.document(&handoff.files.handoff_state, document(&plan));
            scope.commit(journal.with_orphans(commit))?;
            told(Progress::Planned {
                plan: &plan,
                targets: 0,
            });
            Ok(plan)
        }
        Action::Execute(order) => {
            let targets = match select(&plan, order.mode, &order.filters) {
                Ok(targets) => targets,
                Err(error) => {
                    scope.commit(opening)?;
                    return Err(error.into());
                }
            };
            let looker = Looker::new(handoff, &gathered.policy.controls, &scope);
            if order.mode == ExecutionMode::Autonomous {
                looker.check()?;
            }
            let mut executor = Executor {
                handoff,
                order,
                scope: &scope,
                journal,
                looker,
                gathered: &gathered,
                plan: &plan,
                clock,
                told,
                handoff_id: uuid::Uuid::new_v4().to_string(),
                outcomes: Outcomes::default(),
            };
            executor.execute(opening, &targets, stop)
        }
    }
}

fn context(handoff: &Handoff, gathered: &Gathered, now: Timestamp) -> PlanContext {
    let own = gathered.policy.trace_id.as_deref().and_then(TraceId::new);
    let trace_id = handoff.trace_id.clone().or(own);
    PlanContext {
        now,
        trace_id: trace_id.unwrap_or_else(|| handoff.fallback_trace_id.clone()),
        idempotency_prefix: handoff.idempotency_prefix.clone(),
        registry_file: handoff.registry.file.clone(),
        policy_state_file: handoff.files.policy_state.clone(),
    }
}

/// An execution on its way.
struct Executor<'a> {
    handoff: &'a Handoff,
    order: &'a Order,
    scope: &'a Scope,
    journal: Journal<'a>,
    looker: Looker<'a>,
    gathered: &'a Gathered,
    plan: &'a HandoffState,
    clock: &'a dyn Clock,
    told: &'a mut dyn FnMut(Progress<'_>),
    handoff_id: String,
    outcomes: Outcomes,
}

impl Executor<'_> {
    /// Says that it begins, acts on the targets, and records what came of it.
    fn execute(
        &mut self,
        opening: Commit,
        targets: &[usize],
        stop: &dyn Fn() -> bool,
    ) -> Result<HandoffState, HandoffError> {
        let request = HandoffRequest {
            mode: self.order.mode,
            requested_by: self.order.requested_by.clone(),
            requested_at: self.clock.now(),
            note: self.order.note.clone(),
        };
        let opening = opening.document(self.journal.pending_path(), self.pending(&request));
        self.check_recordable(&opening)?;
        self.scope.commit(self.journal.with_orphans(opening))?;
        (self.told)(Progress::Planned {
            plan: self.plan,
            targets: targets.len(),
        });
        for (place, index) in targets.iter().enumerate() {
            if stop() {
                let left = targets[place..].iter().map(|index| self.id(*index));
                self.outcomes.not_attempted = left.collect();
                break;
            }
            let intent = &self.plan.intents[*index];
            match self.objection(intent) {
                Some(reason) => self.withhold(intent, reason),
                None => self.dispatch(intent, targets.len())?,
            }
        }
        (self.told)(Progress::Decided);
        self.record(&request, targets.len())
    }

    /// Fails if what will be done could not be recorded: nothing is done yet.
    fn check_recordable(&self, opening: &Commit) -> Result<(), CommitError> {
        let state = &self.handoff.files.handoff_state;
        let recording = opening.clone().document(state, document(self.plan));
        self.scope.check(&self.journal.with_row(recording))
    }

    fn id(&self, index: usize) -> String {
        self.plan.intents[index].intent_id.clone()
    }

    /// What a later run needs to know if this one dies.
    fn pending(&self, request: &HandoffRequest) -> Vec<u8> {
        let absolute = |file: &str| {
            let path = std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
            path.to_string_lossy().into_owned()
        };
        document(&HandoffPending {
            schema_version: SchemaVersion::V1,
            handoff_id: self.handoff_id.clone(),
            request: request.clone(),
            handoff_state_file: absolute(&self.handoff.files.handoff_state),
            handoff_telemetry_file: absolute(&self.handoff.files.handoff_telemetry),
            plan: self.plan.clone(),
        })
    }

    /// Why this target is kept back just now; a person's order never is.
    fn objection(&mut self, intent: &HandoffIntent) -> Option<AutonomyReason> {
        match self.order.mode {
            ExecutionMode::Manual => None,
            ExecutionMode::Autonomous => self.looker.objection(intent, self.clock),
        }
    }

    fn withhold(&mut self, intent: &HandoffIntent, reason_code: AutonomyReason) {
        let withheld = Withheld {
            intent_id: intent.intent_id.clone(),
            loop_id: intent.loop_id.clone(),
            reason_code,
        };
        (self.told)(Progress::Withheld(&withheld));
        self.outcomes.withheld.push(withheld);
    }

    /// Journals the dispatch, calls control, journals its outcome.
    fn dispatch(&mut self, intent: &HandoffIntent, targets: usize) -> Result<(), HandoffError> {
        let row = self.dispatch_row(intent);
        self.journal.record(&row)?;
        (self.told)(Progress::Dispatching(&row));
        let call = Call {
            stage: &self.handoff.control,
            layout: &self.handoff.layout,
            intent,
            dispatch: &row,
            note: &self.order.note_for(intent),
        };
        let controlled = call.run(self.clock);
        let outcome = controlled.row(&row, self.clock.now());
        (self.told)(Progress::Controlled(&outcome));
        self.looker.took(&intent.loop_id);
        self.outcomes.results.push(result(&outcome));
        let recorded = self.journal.record(&outcome);
        recorded.map_err(|cause| self.unrecorded(targets, cause))?;
        (self.told)(Progress::Journaled(&outcome));
        Ok(())
    }

    fn dispatch_row(&self, intent: &HandoffIntent) -> DispatchRow {
        let prefix = &self.handoff.idempotency_prefix;
        let key = |attempts| {
            let own = &intent.idempotency_key;
            call_key(own, prefix, &intent.loop_id, &intent.intent, attempts)
        };
        let base = key(0);
        let attempts = self.journal.attempts(&intent.intent_id, &base);
        let elsewhere = self.gathered.previous.keys.get(&intent.intent_id) == Some(&base);
        let attempts = attempts.max(u64::from(elsewhere));
        DispatchRow {
            timestamp: self.clock.now(),
            dispatch_id: uuid::Uuid::new_v4().to_string(),
            handoff_id: self.handoff_id.clone(),
            phase: DispatchPhase::Intent,
            mode: self.order.mode,
            intent_id: intent.intent_id.clone(),
            loop_id: intent.loop_id.clone(),
            intent: intent.intent.clone(),
            idempotency_key: match self.order.mode {
                // A stored failure must not answer for a new attempt (D28).
                ExecutionMode::Manual => key(attempts),
                ExecutionMode::Autonomous => base,
            },
            attempt: attempts + 1,
            trace_id: self.plan.trace_id.clone(),
            requested_by: self.order.requested_by.clone(),
            autonomous_eligible: intent.autonomous.eligible,
            status: None,
            reason_code: None,
            control_exit_code: None,
            control: None,
            recovered: false,
            evaluation: Some(self.plan.evaluation.clone()),
        }
    }

    fn unrecorded(&self, targets: usize, cause: CommitError) -> HandoffError {
        HandoffError::Unrecorded {
            dispatched: self.outcomes.results.len(),
            targets,
            cause,
        }
    }

    fn record(
        &mut self,
        request: &HandoffRequest,
        targets: usize,
    ) -> Result<HandoffState, HandoffError> {
        let record = Record {
            handoff_id: self.handoff_id.clone(),
            completed_at: self.clock.now(),
            recovered: false,
        };
        let (state, row) = executed(self.plan, request, self.outcomes.clone(), record);
        let files = &self.handoff.files;
        let commit = Commit::new()
            .row(&files.handoff_telemetry, json::compact(&row))
            .document(&files.handoff_state, document(&state))
            .removal(self.journal.pending_path());
        let committed = self.scope.commit(commit);
        committed.map_err(|cause| self.unrecorded(targets, cause))?;
        Ok(state)
    }
}

/// Whether an execution is what `--fail-on` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// Some target did not end well.
    Partial,
    /// No target ended well, and there was one.
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

    /// Whether an execution with so many attempts, of which so many were
    /// executed, is one to fail on.
    pub fn applies(self, attempted: u64, executed: u64) -> bool {
        match self {
            Self::Partial => executed < attempted,
            Self::Failed => executed == 0 && attempted > 0,
        }
    }
}
