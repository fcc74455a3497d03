//! What came of a dispatch (chapter 06 §2.4.5).

use om_model::Timestamp;
use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, ExecutionMode, IntentExecution, OutcomeReason, OutcomeStatus,
    ResultRow,
};
use om_model::json;
use serde_json::Value;

/// How control ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Controlled {
    /// Its exit code; 1 if it was not called.
    pub exit_code: i64,
    /// What it printed, if it is one document.
    pub control: Option<Value>,
    /// What the exit code does not say.
    pub special: Option<Special>,
}

/// What an exit code does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Control was not called: there is no address to call.
    MissingServiceBaseUrl,
    /// It was ended for taking too long: nobody knows what it did.
    TimedOut,
}

impl Controlled {
    /// Control was not called, or failed before it did anything.
    pub fn failed() -> Self {
        Self {
            exit_code: 1,
            control: None,
            special: None,
        }
    }

    /// What a control hook left behind. Its output counts if it is exactly one
    /// JSON document other than `null`.
    pub fn by_hook(exit_code: i32, output: &[u8], timed_out: bool) -> Self {
        Self {
            exit_code: i64::from(exit_code),
            control: json::parse(output).ok().filter(|value| !value.is_null()),
            special: timed_out.then_some(Special::TimedOut),
        }
    }

    /// The outcome, and why.
    pub fn verdict(&self) -> (OutcomeStatus, OutcomeReason) {
        match (self.special, self.exit_code) {
            (Some(Special::MissingServiceBaseUrl), _) => {
                (OutcomeStatus::Failed, OutcomeReason::MissingServiceBaseUrl)
            }
            (Some(Special::TimedOut), _) => {
                (OutcomeStatus::Ambiguous, OutcomeReason::ControlAmbiguous)
            }
            (None, code) => by_exit_code(code),
        }
    }

    /// The row after the dispatch `intent`.
    pub fn row(self, intent: &DispatchRow, now: Timestamp) -> DispatchRow {
        let (status, reason) = self.verdict();
        DispatchRow {
            timestamp: now,
            phase: DispatchPhase::Outcome,
            status: Some(status),
            reason_code: Some(reason),
            control_exit_code: Some(self.exit_code),
            control: self.control,
            ..intent.clone()
        }
    }
}

/// What an exit code of control means.
pub fn by_exit_code(code: i64) -> (OutcomeStatus, OutcomeReason) {
    match code {
        0 => (OutcomeStatus::Executed, OutcomeReason::ControlConfirmed),
        2 => (OutcomeStatus::Ambiguous, OutcomeReason::ControlAmbiguous),
        _ => (OutcomeStatus::Failed, OutcomeReason::ControlFailedCommand),
    }
}

/// The result that an outcome row tells of. A row without an outcome is an
/// outcome that nobody knows.
pub fn result(row: &DispatchRow) -> ResultRow {
    ResultRow {
        intent_id: row.intent_id.clone(),
        loop_id: row.loop_id.clone(),
        intent: row.intent.clone(),
        trace_id: row.trace_id.clone(),
        idempotency_key: row.idempotency_key.clone(),
        requested_by: row.requested_by.clone(),
        executed_at: row.timestamp,
        status: row.status.unwrap_or(OutcomeStatus::Ambiguous),
        reason_code: row.reason_code.unwrap_or(OutcomeReason::ControlAmbiguous),
        execution_mode: row.mode,
        autonomous_eligible: row.autonomous_eligible,
        control_exit_code: row.control_exit_code.unwrap_or(UNKNOWN_EXIT_CODE),
        control: row.control.clone(),
        dispatch_id: row.dispatch_id.clone(),
        recovered: row.recovered,
    }
}

/// The exit code of a control that nobody saw end: that of an ambiguous one.
pub(crate) const UNKNOWN_EXIT_CODE: i64 = 2;

/// A result in the place of its intent.
pub fn intent_execution(result: &ResultRow) -> IntentExecution {
    let control = |name: &str| json::present(result.control.as_ref()?.get(name));
    IntentExecution {
        mode: result.execution_mode,
        executed_at: result.executed_at,
        requested_by: result.requested_by.clone(),
        status: result.status,
        reason_code: result.reason_code,
        trace_id: result.trace_id.clone(),
        idempotency_key: result.idempotency_key.clone(),
        autonomous_eligible: result.autonomous_eligible,
        control_exit_code: result.control_exit_code,
        control_status: control("status").map(json::text),
        confirmed: control("confirmed") == Some(&Value::Bool(true)),
    }
}

/// Whether this result ends the guard of its intent (decision D16).
pub fn resolves(result: &ResultRow) -> bool {
    result.execution_mode == ExecutionMode::Manual && result.status == OutcomeStatus::Executed
}
