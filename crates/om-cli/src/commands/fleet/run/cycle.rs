//! One cycle, step by step, in this process.

use std::time::Instant;

use om_control::SystemClock;
use om_handoff::targets::Filters;
use om_handoff::{Action, HandoffError, Order};
use om_model::TraceId;
use om_model::envelope::SchemaVersion;
use om_model::fleet::handoff::{EvaluationIdentity, Execution, ExecutionMode, HandoffState};
use om_model::fleet::policy::{AutonomyReason, PolicyState};
use om_model::fleet::registry::PolicyMode;
use om_model::fleet::state::{FleetState, LoopResult, LoopStatus};
use om_model::fleet::status::FleetStatusReport;
use om_store::RepoLayout;
use serde::Deserialize;

use crate::command::now;
use crate::commands::fleet_handoff::{FleetHandoff, refused, tell};
use crate::commands::fleet_policy::FleetPolicy;
use crate::commands::fleet_reconcile::FleetReconcile;
use crate::commands::fleet_status::FleetStatus;
use crate::console::fleet::cycle::{
    Candidates, CycleReport, Dispatched, Interruption, Loops, Pending, Step, Steps, WorstLoop,
};
use crate::error::CliError;
use crate::stop::StopRequest;

/// Loops that a report names.
const WORST: usize = 5;

/// What a cycle needs to know.
pub(super) struct Cycle<'a> {
    /// Counted from 1.
    pub(super) number: u64,
    /// Of everything that it records.
    pub(super) trace_id: TraceId,
    /// The fan-out.
    pub(super) reconcile: FleetReconcile,
    /// Who acts.
    pub(super) requested_by: String,
    /// Why.
    pub(super) note: Option<String>,
    pub(super) layout: &'a RepoLayout,
    /// Asked between the steps, and by those that can be cut.
    pub(super) stop: &'a StopRequest,
}

impl Cycle<'_> {
    /// Does as much as can be done.
    pub(super) fn run(&self) -> CycleReport {
        let begun = Instant::now();
        let mut report = self.nothing_yet();
        let fleet = self.observe(&mut report);
        let policy = fleet.and_then(|()| self.judge(&mut report));
        let plan = policy.and_then(|policy| self.plan(&policy, &mut report));
        if let Some((policy, plan)) = plan {
            self.act(&policy, &plan, &mut report);
        }
        self.report(&mut report);
        if self.stop.is_made() {
            let not_done = report.steps.not_done();
            if !not_done.is_empty() {
                let interruption = report.interrupted.get_or_insert_default();
                self.stop.signal_name().clone_into(&mut interruption.signal);
                interruption.not_done = not_done;
            }
        }
        report.completed_at = now();
        report.duration_milliseconds =
            u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        report
    }

    fn nothing_yet(&self) -> CycleReport {
        let at = now();
        CycleReport {
            schema_version: SchemaVersion::V1,
            cycle: self.number,
            started_at: at,
            completed_at: at,
            duration_milliseconds: 0,
            fleet_id: None,
            trace_id: self.trace_id.clone(),
            steps: Steps::default(),
            mode: None,
            loops: None,
            worst: Vec::new(),
            candidates: None,
            dispatch: None,
            pending: None,
            interrupted: None,
        }
    }

    fn repo(&self) -> String {
        self.layout.repo().display().to_string()
    }

    /// Whether nobody has asked for the end.
    fn goes_on(&self) -> bool {
        !self.stop.is_made()
    }

    /// The step's result; a failure is told in the report, and so is that it
    /// was not tried.
    fn step<T>(&self, step: &mut Step, work: impl FnOnce() -> Result<T, CliError>) -> Option<T> {
        if !self.goes_on() {
            *step = Step::interrupted();
            return None;
        }
        match work() {
            Ok(result) => {
                *step = Step::done();
                Some(result)
            }
            Err(error) => {
                *step = Step::failed(&error);
                None
            }
        }
    }

    /// Passes every loop; nothing if the fan-out is not complete.
    fn observe(&self, report: &mut CycleReport) -> Option<()> {
        let mut pass = self.reconcile.clone();
        pass.trace_id = Some(self.trace_id.to_string());
        let run = self.step(&mut report.steps.reconcile, || {
            let run = pass.pass(self.stop)?;
            Ok(serde_json::from_str::<FleetState>(&run.state)?)
        });
        let state = run?;
        report.fleet_id = Some(state.fleet_id.clone());
        report.loops = Some(Loops {
            total: state.loop_count,
            success: state.success_count,
            failed: state.failed_count,
            skipped: state.skipped_count,
        });
        report.worst = worst(&state.results);
        let Some(interrupted) = state.interrupted else {
            return Some(());
        };
        report.steps.reconcile = Step::interrupted();
        report.interrupted = Some(Interruption {
            signal: interrupted.signal,
            not_passed: interrupted.not_passed,
            not_done: Vec::new(),
        });
        None
    }

    fn judge(&self, report: &mut CycleReport) -> Option<PolicyState> {
        let mut policy = FleetPolicy::of(self.repo());
        policy
            .registry_file
            .clone_from(&self.reconcile.registry_file);
        policy.trace_id = Some(self.trace_id.to_string());
        let evaluation = self.step(&mut report.steps.policy, || policy.evaluate())?;
        let state = evaluation.state;
        report.mode = Some(state.mode);
        report.candidates = Some(Candidates {
            total: state.candidate_count,
            unsuppressed: state.counters.unsuppressed_count,
            eligible: state.counters.auto_eligible_count,
        });
        Some(state)
    }

    fn plan(
        &self,
        policy: &PolicyState,
        report: &mut CycleReport,
    ) -> Option<(EvaluationIdentity, HandoffState)> {
        let evaluation = EvaluationIdentity {
            trace_id: Some(policy.trace_id.to_string()),
            updated_at: Some(policy.updated_at.to_string()),
            sha256: None,
        };
        let plan = self.step(&mut report.steps.handoff, || {
            self.handoff(Action::Plan, &evaluation).map_err(refused)
        })?;
        report.pending = Some(Pending::of(&plan));
        Some((evaluation, plan))
    }

    /// Dispatches what is eligible, if the mode of this evaluation allows it.
    fn act(&self, evaluation: &EvaluationIdentity, plan: &HandoffState, report: &mut CycleReport) {
        let reason = match plan.mode {
            PolicyMode::Advisory => Some("mode is advisory"),
            PolicyMode::GuardedAuto if lapsed(plan) => Some("governance review expired"),
            PolicyMode::GuardedAuto if plan.summary.auto_eligible_intent_count == 0 => {
                Some("nothing is eligible")
            }
            PolicyMode::GuardedAuto => None,
        };
        if let Some(reason) = reason {
            report.steps.dispatch = Step::not_needed(reason);
            return;
        }
        let order = Action::Execute(Order {
            mode: ExecutionMode::Autonomous,
            filters: Filters::default(),
            requested_by: self.requested_by.clone(),
            note: self.note.clone(),
        });
        let state = self.step(&mut report.steps.dispatch, || {
            match self.handoff(order, evaluation) {
                Err(error @ (HandoffError::ReviewExpired(_) | HandoffError::EvaluationChanged)) => {
                    Ok(Err(error))
                }
                other => other.map(Ok).map_err(refused),
            }
        });
        match state {
            Some(Ok(state)) => record(&state, report),
            // Guardrails that were closed meanwhile are no failure.
            Some(Err(error)) => report.steps.dispatch = Step::not_needed(&error.to_string()),
            None => {}
        }
    }

    fn handoff(
        &self,
        action: Action,
        evaluation: &EvaluationIdentity,
    ) -> Result<HandoffState, HandoffError> {
        let mut command = FleetHandoff::of(self.repo());
        command
            .registry_file
            .clone_from(&self.reconcile.registry_file);
        command.trace_id = Some(self.trace_id.to_string());
        let mut handoff = command.about_repo(self.layout.clone(), action);
        handoff.evaluation = Some(evaluation.clone());
        let stopped = || self.stop.is_made();
        om_handoff::run(&handoff, &SystemClock::default(), &stopped, &mut tell)
    }

    /// Whether the fleet's status can be told.
    fn report(&self, report: &mut CycleReport) {
        let mut status = FleetStatus::of(self.repo());
        status
            .registry_file
            .clone_from(&self.reconcile.registry_file);
        let found: Option<FleetStatusReport> =
            self.step(&mut report.steps.status, || status.report());
        if let Some(found) = found
            && report.fleet_id.is_none()
        {
            report.fleet_id = Some(om_model::json::text(&found.source.fleet_id));
        }
    }
}

/// Whether governance keeps everything from being dispatched.
fn lapsed(plan: &HandoffState) -> bool {
    let expired = AutonomyReason::GovernanceReviewExpired.as_str();
    let reasons = plan.intents.iter().flat_map(|i| &i.autonomous.reasons);
    reasons.into_iter().any(|reason| reason == expired)
}

fn record(state: &HandoffState, report: &mut CycleReport) {
    report.pending = Some(Pending::of(state));
    let execution = state.execution.as_ref();
    let Some(Ok(execution)) = execution.map(Execution::deserialize) else {
        return;
    };
    if !execution.not_attempted.is_empty() {
        report.steps.dispatch = Step::interrupted();
    }
    report.dispatch = Some(Dispatched {
        attempted: execution.requested_intent_count,
        executed: execution.executed_count,
        ambiguous: execution.ambiguous_count,
        failed: execution.failed_count,
        withheld: execution.withheld,
        not_attempted: execution.not_attempted,
    });
}

/// The loops that need somebody most, worst first.
fn worst(results: &[LoopResult]) -> Vec<WorstLoop> {
    let severity = |result: &LoopResult| match (result.status, result.health_status.as_str()) {
        (LoopStatus::Failed, _) => Some(0),
        (LoopStatus::Success, "critical") => Some(1),
        (LoopStatus::Success, "degraded") => Some(2),
        (LoopStatus::Skipped, _) | (LoopStatus::Success, "healthy") => None,
        (LoopStatus::Success, _) => Some(3),
    };
    let mut exceptions: Vec<(u8, &LoopResult)> = results
        .iter()
        .filter_map(|result| Some((severity(result)?, result)))
        .collect();
    exceptions.sort_by_key(|(severity, result)| (*severity, result.loop_id.clone()));
    let named = exceptions.into_iter().take(WORST).map(|(_, result)| {
        let reason = result.health_reason_codes.first().cloned();
        WorstLoop {
            loop_id: result.loop_id.clone(),
            status: result.status,
            health_status: result.health_status.clone(),
            reason_code: match result.status {
                LoopStatus::Failed => result.reason_code.clone(),
                _ => reason,
            },
        }
    });
    named.collect()
}
