//! Dispatches whose run died before their outcome was journaled (decision
//! D7): what became of them, as far as anybody knows. Nothing is executed.

use om_model::control::IntentRow;
use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, HandoffExecuteRow, HandoffPending, HandoffState, RetryGuard,
};
use om_model::{Timestamp, json};

use crate::execution::{Outcomes, Record, executed};
use crate::outcome::{UNKNOWN_EXIT_CODE, by_exit_code, result};

/// The outcome row of a dispatch that has none.
///
/// `recorded` are rows of the loop's `intents.jsonl`, oldest first. The last
/// one of this dispatch tells what control did; without one it is ambiguous.
pub fn outcome(intent: &DispatchRow, recorded: &[IntentRow], now: Timestamp) -> DispatchRow {
    let found = recorded.iter().rev().find(|row| is_of(row, intent));
    let exit_code = found.map_or(UNKNOWN_EXIT_CODE, |row| i64::from(row.status.exit_code()));
    let (status, reason_code) = by_exit_code(exit_code);
    DispatchRow {
        timestamp: found.map_or(now, |row| row.timestamp),
        phase: DispatchPhase::Outcome,
        status: Some(status),
        reason_code: Some(reason_code),
        control_exit_code: Some(exit_code),
        control: found.map(json::to_value),
        recovered: true,
        ..intent.clone()
    }
}

/// Whether control wrote `row` for this dispatch. Keys may be used again, so
/// it is not older either.
fn is_of(row: &IntentRow, intent: &DispatchRow) -> bool {
    row.idempotency_key == intent.idempotency_key
        && row.trace_id == intent.trace_id
        && row.loop_id.as_str() == intent.loop_id
        && row.timestamp >= intent.timestamp
}

/// What the run that died would have recorded, had it stopped after these
/// dispatches: their outcome rows, in the order of execution.
///
/// `None` if it did not dispatch anything.
pub fn recovered(
    pending: &HandoffPending,
    outcomes: &[DispatchRow],
) -> Option<(HandoffState, HandoffExecuteRow)> {
    let completed_at = outcomes.iter().map(|row| row.timestamp).max()?;
    let outcomes = Outcomes {
        results: outcomes.iter().map(result).collect(),
        ..Outcomes::default()
    };
    let record = Record {
        handoff_id: pending.handoff_id.clone(),
        completed_at,
        recovered: true,
    };
    Some(executed(&pending.plan, &pending.request, outcomes, record))
}

/// The guard of a dispatch that belongs to no run that anybody knows of;
/// `None` if it needs none.
pub fn guard(outcome: &DispatchRow) -> Option<RetryGuard> {
    let reason_code = outcome.status?.intent_status().guard()?;
    let candidate_id = outcome
        .intent_id
        .strip_suffix(&format!(":{}", outcome.intent));
    Some(RetryGuard {
        intent_id: outcome.intent_id.clone(),
        candidate_id: candidate_id.unwrap_or(&outcome.intent_id).to_owned(),
        loop_id: outcome.loop_id.clone(),
        reason_code,
        since: outcome.timestamp,
        last_executed_at: Some(outcome.timestamp),
        execution_mode: Some(outcome.mode),
        policy_trace_id: None,
    })
}
