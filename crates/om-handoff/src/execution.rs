//! The state after an execution (chapter 06 §2.5, decisions D15 and D16).

use std::collections::BTreeMap;

use om_model::fleet::handoff::{
    ExecuteCategory, ExecuteRowSummary, Execution, HandoffExecuteRow, HandoffReason,
    HandoffRequest, HandoffState, IntentStatus, OutcomeStatus, ResultRow, RetryGuard, Withheld,
};
use om_model::fleet::policy::AutonomyReason;
use om_model::{Timestamp, json};

use crate::outcome::{intent_execution, resolves};
use crate::summary;

/// What an execution came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// In the order of execution.
    pub results: Vec<ResultRow>,
    /// Kept back by the last look, in order.
    pub withheld: Vec<Withheld>,
    /// Intents that nobody came to, in order.
    pub not_attempted: Vec<String>,
}

/// Who recorded an execution, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Names the run in the dispatch journal.
    pub handoff_id: String,
    /// When the last target was over.
    pub completed_at: Timestamp,
    /// The run died, and another one recorded it.
    pub recovered: bool,
}

/// The plan after its execution, and the execution's row.
pub fn executed(
    plan: &HandoffState,
    request: &HandoffRequest,
    outcomes: Outcomes,
    record: Record,
) -> (HandoffState, HandoffExecuteRow) {
    let mut state = plan.clone();
    record_results(&mut state, &outcomes.results);
    withhold(&mut state, &outcomes.withheld);
    state.retry_guard = guard_after(plan, &outcomes.results);
    let gap = plan
        .reason_codes
        .contains(&HandoffReason::FleetHandoffPartialMapping);
    let (summary, reason_codes) = summary::evaluate(&plan.summary, gap, &state.intents);
    let execution = execution(request, outcomes, record);
    let row = HandoffExecuteRow {
        timestamp: execution.completed_at,
        category: ExecuteCategory::Execute,
        fleet_id: plan.fleet_id.clone(),
        trace_id: plan.trace_id.clone(),
        summary: ExecuteRowSummary {
            summary: summary.clone(),
            reason_codes: reason_codes.clone(),
        },
        execution,
    };
    let state = HandoffState {
        updated_at: row.timestamp,
        summary,
        reason_codes,
        execution: Some(json::to_value(&row.execution)),
        ..state
    };
    (state, row)
}

/// Intents show the last result of their id.
fn record_results(state: &mut HandoffState, results: &[ResultRow]) {
    let last: BTreeMap<&str, &ResultRow> = results
        .iter()
        .map(|result| (result.intent_id.as_str(), result))
        .collect();
    for intent in &mut state.intents {
        if let Some(result) = last.get(intent.intent_id.as_str()) {
            intent.status = result.status.intent_status();
            intent.execution = Some(intent_execution(result));
        }
    }
}

/// What was kept back waits for a person, and says why (decision D15).
fn withhold(state: &mut HandoffState, withheld: &[Withheld]) {
    let reasons: BTreeMap<&str, AutonomyReason> = withheld
        .iter()
        .map(|entry| (entry.intent_id.as_str(), entry.reason_code))
        .collect();
    for intent in &mut state.intents {
        let pending = intent.status == IntentStatus::PendingOperatorConfirmation;
        let reason = reasons.get(intent.intent_id.as_str());
        if let Some(reason) = reason.filter(|_| pending) {
            intent.autonomous.deny(*reason);
        }
    }
}

/// The guards of the plan, less those that a person has resolved, and those
/// of what went wrong now (decision D16).
fn guard_after(plan: &HandoffState, results: &[ResultRow]) -> Vec<RetryGuard> {
    let mut guard: BTreeMap<String, RetryGuard> = plan
        .retry_guard
        .iter()
        .map(|entry| (entry.intent_id.clone(), entry.clone()))
        .collect();
    for result in results {
        if resolves(result) {
            guard.remove(&result.intent_id);
        }
        let Some(reason_code) = result.status.intent_status().guard() else {
            continue;
        };
        let known = guard.get(&result.intent_id);
        let since = known.map_or(result.executed_at, |entry| entry.since);
        let intent = plan
            .intents
            .iter()
            .find(|i| i.intent_id == result.intent_id);
        let entry = RetryGuard {
            intent_id: result.intent_id.clone(),
            candidate_id: intent.map_or_else(String::new, |intent| intent.candidate_id.clone()),
            loop_id: result.loop_id.clone(),
            reason_code,
            since,
            last_executed_at: Some(result.executed_at),
            execution_mode: Some(result.execution_mode),
            policy_trace_id: Some(plan.policy_trace_id.to_string()),
        };
        guard.insert(result.intent_id.clone(), entry);
    }
    guard.into_values().collect()
}

fn execution(request: &HandoffRequest, outcomes: Outcomes, record: Record) -> Execution {
    let Outcomes {
        results,
        withheld,
        not_attempted,
    } = outcomes;
    let with = |status: OutcomeStatus| {
        let matching = results.iter().filter(|result| result.status == status);
        matching.count() as u64
    };
    Execution {
        mode: request.mode,
        requested_by: request.requested_by.clone(),
        requested_at: request.requested_at,
        completed_at: record.completed_at,
        note: request.note.clone(),
        requested_intent_count: results.len() as u64,
        executed_intent_count: results.len() as u64,
        executed_count: with(OutcomeStatus::Executed),
        ambiguous_count: with(OutcomeStatus::Ambiguous),
        failed_count: with(OutcomeStatus::Failed),
        withheld_count: withheld.len() as u64,
        results,
        withheld,
        handoff_id: record.handoff_id,
        not_attempted,
        recovered: record.recovered,
    }
}
