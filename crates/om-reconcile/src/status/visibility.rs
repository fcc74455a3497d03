//! What is visible of heartbeat, order and control (chapter 03 §3.5.5). The
//! fallback is member by member.

use om_model::json;
use om_model::status::{
    HeartbeatVisibility, InvocationVisibility, SequenceVisibility, StatusVisibility,
};
use serde_json::Value;

use super::StatusError;
use super::sources::{Document, Sources, first_of};
use super::traces::Traces;

pub(super) fn build(
    sources: &Sources<'_>,
    traces: &Traces,
) -> Result<StatusVisibility, StatusError> {
    Ok(StatusVisibility {
        heartbeat: heartbeat(sources, traces)?,
        sequence: sequence(sources, traces)?,
        invocation_audit: invocation(sources, traces)?,
        trace: traces.visibility(),
    })
}

fn heartbeat(
    sources: &Sources<'_>,
    traces: &Traces,
) -> Result<Option<HeartbeatVisibility>, StatusError> {
    let (state, row, health) = (&sources.heartbeat, &sources.heartbeat_row, &sources.health);
    let foreign = health.first(&[
        "details.lastHeartbeatAt",
        "details.heartbeatLagSeconds",
        "details.heartbeatFreshnessStatus",
    ])?;
    if state.is_null() && row.is_null() && foreign.is_none() {
        return Ok(None);
    }
    Ok(Some(HeartbeatVisibility {
        freshness_status: first_of(&[
            (state, "freshnessStatus"),
            (health, "details.heartbeatFreshnessStatus"),
        ])?,
        reason_code: first_of(&[(state, "reasonCode"), (row, "reasonCode")])?,
        last_heartbeat_at: first_of(&[
            (state, "lastHeartbeatAt"),
            (health, "details.lastHeartbeatAt"),
            (row, "heartbeatAt"),
        ])?,
        heartbeat_lag_seconds: first_of(&[
            (state, "heartbeatLagSeconds"),
            (health, "details.heartbeatLagSeconds"),
            (row, "heartbeatLagSeconds"),
        ])?,
        updated_at: first_of(&[(state, "updatedAt"), (row, "timestamp")])?,
        transport: first_of(&[(state, "transport"), (row, "transport")])?,
        trace_id: traces.heartbeat.clone(),
    }))
}

fn sequence(
    sources: &Sources<'_>,
    traces: &Traces,
) -> Result<Option<SequenceVisibility>, StatusError> {
    let (state, row, health) = (&sources.sequence, &sources.sequence_row, &sources.health);
    let foreign = health.get("details.sequenceStatus")?;
    if state.is_null() && row.is_null() && foreign.is_none() {
        return Ok(None);
    }
    let active = |document: &Document<'_>| -> Result<bool, StatusError> {
        Ok(json::is_true(document.get("driftActive")?.as_ref()))
    };
    Ok(Some(SequenceVisibility {
        status: first_of(&[
            (state, "status"),
            (health, "details.sequenceStatus"),
            (row, "status"),
        ])?,
        reason_code: first_of(&[(state, "reasonCode"), (row, "reasonCode")])?,
        drift_active: (active(state)? || active(row)?).then_some(Value::Bool(true)),
        violations: first_of(&[(state, "violations"), (row, "violations")])?,
        snapshot_current: first_of(&[(state, "snapshot.current"), (row, "snapshot.current")])?,
        events_last: first_of(&[(state, "events.last"), (row, "events.last")])?,
        updated_at: first_of(&[
            (state, "updatedAt"),
            (health, "details.sequenceUpdatedAt"),
            (row, "timestamp"),
        ])?,
        transport: first_of(&[(state, "transport"), (row, "transport")])?,
        trace_id: traces.sequence.clone(),
    }))
}

fn invocation(
    sources: &Sources<'_>,
    traces: &Traces,
) -> Result<Option<InvocationVisibility>, StatusError> {
    let row = &sources.invocation;
    if row.is_null() {
        return Ok(None);
    }
    Ok(Some(InvocationVisibility {
        timestamp: row.get("timestamp")?,
        intent: row.get("intent")?,
        transport: row.get("transport")?,
        idempotency_key: row.get("idempotencyKey")?,
        execution_status: row.get("execution.status")?,
        confirmation_status: row.get("confirmation.status")?,
        outcome_status: row.get("outcome.status")?,
        replayed: row.get("execution.replayed")?,
        trace_id: traces.invocation.clone(),
    }))
}
