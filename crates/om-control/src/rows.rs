//! The three rows that record an intent (chapter 03 §3.1.5).

use om_model::control::{
    ControlInvocationRow, ControlRow, IntentRow, InvocationConfirmation, InvocationExecution,
    InvocationOutcome, PendingIntent,
};
use om_model::envelope::SchemaVersion;
use om_model::{Timestamp, json};
use om_store::{Commit, LoopFile, LoopLayout};

use crate::outcome::Outcome;

/// One row for each of the three journals.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// `intents.jsonl`; also what the command prints.
    pub intent: IntentRow,
    /// `telemetry/control.jsonl`
    pub control: ControlRow,
    /// `telemetry/control-invocations.jsonl`
    pub invocation: ControlInvocationRow,
}

/// Who writes the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The process that acted.
    Actor,
    /// Another one, after the actor died (decision D7).
    Recovery,
}

impl Rows {
    /// The rows of `entry`, which ended in `outcome` at `at`.
    pub fn new(entry: &PendingIntent, outcome: &Outcome, at: Timestamp, author: Author) -> Self {
        let recovered = author == Author::Recovery;
        let reason_code = outcome.reason_code();
        let duration_seconds = at.seconds_since(entry.started_at);
        let output = Some(outcome.output.clone()).filter(|text| !text.is_empty());
        Self {
            intent: IntentRow {
                timestamp: at,
                loop_id: entry.loop_id.clone(),
                intent: entry.intent,
                trace_id: entry.trace_id.clone(),
                requested_by: entry.requested_by.clone(),
                note: entry.note.clone(),
                transport: entry.transport,
                status: outcome.status.clone(),
                reason_code: outcome.reason,
                command: entry.command.clone(),
                idempotency_key: entry.idempotency_key.clone(),
                exit_code: outcome.exit_code,
                confirm_exit_code: outcome.confirm_exit_code,
                confirmed: outcome.confirmed,
                command_output: output.clone(),
                confirm: outcome.confirm.clone(),
                forced_target: outcome.forced_target,
                recovered,
            },
            control: ControlRow {
                timestamp: at,
                started_at: entry.started_at,
                loop_id: entry.loop_id.clone(),
                intent: entry.intent,
                trace_id: entry.trace_id.clone(),
                transport: entry.transport,
                status: outcome.status.clone(),
                reason_code,
                idempotency_key: entry.idempotency_key.clone(),
                requested_by: entry.requested_by.clone(),
                exit_code: outcome.exit_code,
                confirm_exit_code: outcome.confirm_exit_code,
                confirmed: outcome.confirmed,
                duration_seconds,
                retry_attempts: entry.request.retry_attempts,
                retry_backoff_seconds: entry.request.retry_backoff_seconds,
                recovered,
            },
            invocation: ControlInvocationRow {
                schema_version: SchemaVersion::V1,
                timestamp: at,
                started_at: entry.started_at,
                loop_id: entry.loop_id.clone(),
                intent: entry.intent,
                trace_id: entry.trace_id.clone(),
                transport: entry.transport,
                requested_by: entry.requested_by.clone(),
                note: entry.note.clone(),
                idempotency_key: entry.idempotency_key.clone(),
                request: entry.request.clone(),
                execution: InvocationExecution {
                    status: outcome.execution,
                    exit_code: outcome.exit_code,
                    command: entry.command.clone(),
                    output,
                    replayed: outcome.replayed,
                },
                confirmation: InvocationConfirmation {
                    attempted: outcome.attempted,
                    status: outcome.confirmation,
                    exit_code: outcome.confirm_exit_code,
                    outcome: outcome.confirm.clone(),
                },
                outcome: InvocationOutcome {
                    status: outcome.status.clone(),
                    confirmed: outcome.confirmed,
                    reason_code,
                    duration_seconds,
                },
                recovered,
            },
        }
    }

    /// `commit` with the rows appended, in the contract's order.
    #[must_use]
    pub fn append_to(&self, commit: Commit, files: &LoopLayout) -> Commit {
        commit
            .row(files.path(LoopFile::Intents), json::compact(&self.intent))
            .row(
                files.path(LoopFile::ControlRows),
                json::compact(&self.control),
            )
            .row(
                files.path(LoopFile::ControlInvocations),
                json::compact(&self.invocation),
            )
    }
}
