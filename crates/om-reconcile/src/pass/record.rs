//! Steps 8 to 10: health and state are recorded, changes are escalated, and
//! the pass gets its row.

use om_model::Artifact;
use om_model::health::IngestStatus;
use om_model::json;
use om_model::observation::SequenceStatus;
use om_model::state::{FailureCode, ReconcileRow};
use serde_json::{Map, Value};

use super::observe::{Failure, View, cursor_before};
use super::writes::PassWrites;
use super::{Commit, HardAbort, Observed, PassContext, PassInputs};
use crate::escalation::{self, EscalationInputs, EscalationStamp};
use crate::health::HealthOutcome;

/// A pass up to its drift stage.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What was decided so far. Take it before a summary or drift hook runs;
    /// apply it if the drift stage fails.
    pub commit: Commit,
    /// The row that this pass adds to `reconcile.jsonl`. It counts in the
    /// pass's own drift window.
    pub row: ReconcileRow,
    pub(super) health: Value,
    pub(super) outcome: HealthOutcome,
    /// `state.json` after this step; `None` if there is none to write.
    pub(super) state: Option<Map<String, Value>>,
    pub(super) success: bool,
}

impl Recorded {
    /// The health document of this pass.
    pub fn health(&self) -> &Value {
        &self.health
    }

    /// Goes on with `state.json` as it is now: while a hook ran, the hook or
    /// somebody else may have edited or removed it. `file` is for messages.
    pub fn refresh_state(&mut self, now: &Artifact, file: &str) -> Result<(), HardAbort> {
        self.state = state_members(now, file)?;
        Ok(())
    }
}

/// Steps 8 to 10. `health` is the built-in document or what a hook printed.
pub fn record(
    inputs: &PassInputs,
    observed: Observed,
    health: Value,
    context: &PassContext,
) -> Result<Recorded, HardAbort> {
    let outcome = HealthOutcome::read(&health).map_err(HardAbort::HealthStage)?;
    let row = row(inputs, &observed, &outcome, context);
    let escalations =
        escalation::first_part(&escalation_inputs(inputs, &observed, &outcome, context));
    let success = observed.view.is_ok();
    let state = merge_state(inputs, observed.view, &health, context)?;

    let paths = &inputs.paths;
    let mut commit = observed.commit.put(&paths.health, &health);
    if let Some(state) = &state {
        commit = commit.put_state(&paths.state, state);
    }
    for escalation in &escalations {
        commit = commit.append(&paths.escalations, escalation);
    }
    commit = commit.append(&paths.reconcile_rows, &row);
    Ok(Recorded {
        commit,
        row,
        health,
        outcome,
        state,
        success,
    })
}

/// Step 8. A projected state gains health, trace and sequence; after a
/// failure an existing one is refreshed, and none is created.
fn merge_state(
    inputs: &PassInputs,
    view: Result<View, Failure>,
    health: &Value,
    context: &PassContext,
) -> Result<Option<Map<String, Value>>, HardAbort> {
    let (mut state, sequence) = match view {
        Ok(view) => match view.state {
            Value::Object(state) => (state, Some(json::to_value(&view.sequence))),
            // A projection is an object.
            _ => return Ok(None),
        },
        Err(_) => match existing_state(inputs)? {
            Some(state) => (state, None),
            None => return Ok(None),
        },
    };
    state.insert("health".to_owned(), health.clone());
    trace(inputs, &mut state, context)?;
    if let Some(sequence) = sequence {
        state.insert("sequence".to_owned(), sequence);
    }
    Ok(Some(state))
}

/// The members of the previous `state.json`; `None` if there is no file, or
/// a blank one, which stays blank.
fn existing_state(inputs: &PassInputs) -> Result<Option<Map<String, Value>>, HardAbort> {
    state_members(
        &inputs.prior.state,
        &inputs.paths.state.display().to_string(),
    )
}

fn state_members(state: &Artifact, file: &str) -> Result<Option<Map<String, Value>>, HardAbort> {
    let abort = |cause: String| HardAbort::State {
        file: file.to_owned(),
        cause,
    };
    match state {
        Artifact::Absent => Ok(None),
        blank if blank.is_blank() => Ok(None),
        Artifact::Broken(cause) => Err(abort(cause.to_string())),
        Artifact::Document(document) => match json::root_object(document) {
            Ok(members) => Ok(Some(members.into_owned())),
            Err(wrong) => Err(abort(wrong.to_string())),
        },
    }
}

/// Names the pass in `trace`, beside whatever else is traced there.
fn trace(
    inputs: &PassInputs,
    state: &mut Map<String, Value>,
    context: &PassContext,
) -> Result<(), HardAbort> {
    let trace = state
        .entry("trace")
        .or_insert_with(|| Value::Object(Map::new()));
    if json::present(Some(trace)).is_none() {
        *trace = Value::Object(Map::new());
    }
    let Value::Object(members) = trace else {
        let found = json::type_name(trace);
        let cause = format!("trace is {found}, expected an object");
        return Err(state_abort(inputs, cause));
    };
    let id = Value::String(context.trace_id.as_str().to_owned());
    members.insert("reconcileTraceId".to_owned(), id);
    Ok(())
}

fn state_abort(inputs: &PassInputs, cause: String) -> HardAbort {
    HardAbort::State {
        file: inputs.paths.state.display().to_string(),
        cause,
    }
}

fn escalation_inputs<'a>(
    inputs: &'a PassInputs,
    observed: &'a Observed,
    outcome: &'a HealthOutcome,
    context: &'a PassContext,
) -> EscalationInputs<'a> {
    let view = observed.view.as_ref().ok();
    EscalationInputs {
        stamp: stamp(inputs, context),
        failure: observed.failure_code(),
        state: view.map(|view| &view.state),
        sequence: view.map(|view| &view.sequence),
        previous_health: &observed.previous_health,
        health: outcome,
    }
}

pub(super) fn stamp<'a>(inputs: &'a PassInputs, context: &'a PassContext) -> EscalationStamp<'a> {
    EscalationStamp {
        now: context.now,
        loop_id: &inputs.source.loop_id,
        trace_id: &context.trace_id,
        transport: inputs.settings.transport,
        paths: &inputs.paths,
    }
}

/// Step 10 (§2.6.4).
fn row(
    inputs: &PassInputs,
    observed: &Observed,
    outcome: &HealthOutcome,
    context: &PassContext,
) -> ReconcileRow {
    let settings = &inputs.settings;
    let failure = observed.view.as_ref().err();
    let (sequence_status, sequence_reason_code) = match &observed.view {
        Ok(view) => (view.sequence.status, view.sequence.reason_code),
        Err(_) => (SequenceStatus::SkippedIngestFailed, None),
    };
    let message = |failure: &Failure| Some(failure.message.clone()).filter(|m| !m.is_empty());
    let failure_code: Option<FailureCode> = observed.failure_code();
    ReconcileRow {
        timestamp: context.now,
        started_at: context.started_at,
        loop_id: inputs.source.loop_id.clone(),
        trace_id: context.trace_id.clone(),
        transport: settings.transport,
        status: match failure {
            None => IngestStatus::Success,
            Some(_) => IngestStatus::Failed,
        },
        failure_code,
        failure_message: failure.and_then(message),
        cursor_offset_before: cursor_before(inputs),
        cursor_offset_after: observed.cursor_offset_after,
        events_ingested: observed.events_ingested,
        max_events: settings.max_events,
        from_start: settings.from_start,
        retry_attempts: settings.retry_attempts,
        retry_backoff_seconds: settings.retry_backoff_seconds,
        threshold_profile: settings.thresholds.profile.clone(),
        duration_seconds: context.now.seconds_since(context.started_at),
        transport_failure_streak: observed.transport_health.failure_streak,
        sequence_status,
        sequence_reason_code,
        health_status: Value::String(outcome.status.clone()),
        health_reason_codes: outcome.reason_codes.clone(),
    }
}
