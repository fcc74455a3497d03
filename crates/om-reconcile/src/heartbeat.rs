//! How fresh the loop's sign of life is (chapter 02 §2.4.1, §2.6.5).

use om_model::envelope::SchemaVersion;
use om_model::health::TransportMode;
use om_model::json::{self, WrongType};
use om_model::observation::{
    Freshness, HeartbeatReasonCode, HeartbeatRow, HeartbeatState, HeartbeatThresholds,
    TelemetryCategory,
};
use om_model::{LoopId, Timestamp, TraceId};
use serde_json::Value;

/// What a heartbeat observation is made from.
#[derive(Clone, Debug)]
pub struct HeartbeatInputs<'a> {
    /// The loop.
    pub loop_id: &'a LoopId,
    /// The pass.
    pub trace_id: &'a TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// From which lag on, in seconds, a heartbeat is stale.
    pub thresholds: HeartbeatThresholds,
    /// The snapshot's `runtime.heartbeat`.
    pub heartbeat: Option<&'a Value>,
}

/// A heartbeat that was there.
#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatObservation {
    /// The new `heartbeat.json`; `None` leaves the old one alone, because
    /// this heartbeat has no usable time.
    pub state: Option<HeartbeatState>,
    /// The row for `heartbeat.jsonl`.
    pub row: HeartbeatRow,
}

/// The heartbeat is not an object; the pass cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid heartbeat in the snapshot (heartbeat.v1.json): {0}")]
pub struct HeartbeatError(#[source] pub WrongType);

/// Observes the heartbeat; `None` if there is none.
pub fn evaluate(
    inputs: &HeartbeatInputs<'_>,
    now: Timestamp,
) -> Result<Option<HeartbeatObservation>, HeartbeatError> {
    let Some(heartbeat) = json::present(inputs.heartbeat) else {
        return Ok(None);
    };
    let Value::Object(members) = heartbeat else {
        return Err(HeartbeatError(WrongType {
            member: "runtime.heartbeat".to_owned(),
            found: json::type_name(heartbeat),
            expected: "an object",
        }));
    };
    // A broken `timestamp` is not rescued by a good `updatedAt`.
    let chosen = json::first_present([members.get("timestamp"), members.get("updatedAt")]);
    let Some(chosen) = chosen else {
        let reason = HeartbeatReasonCode::MissingHeartbeatTimestamp;
        return Ok(Some(failed(inputs, heartbeat, reason, None, now)));
    };
    let text = json::text(chosen);
    let Some(at) = Timestamp::parse(&text) else {
        let reason = HeartbeatReasonCode::InvalidHeartbeatTimestamp;
        return Ok(Some(failed(inputs, heartbeat, reason, Some(text), now)));
    };
    let lag = now.seconds_since(at);
    Ok(Some(observed(inputs, heartbeat, chosen, lag, now)))
}

/// How fresh a heartbeat of this age is; thresholds are inclusive.
pub fn freshness(lag_seconds: u64, thresholds: HeartbeatThresholds) -> Freshness {
    if lag_seconds >= thresholds.critical_heartbeat_lag_seconds {
        Freshness::Critical
    } else if lag_seconds >= thresholds.degraded_heartbeat_lag_seconds {
        Freshness::Degraded
    } else {
        Freshness::Fresh
    }
}

fn observed(
    inputs: &HeartbeatInputs<'_>,
    heartbeat: &Value,
    chosen: &Value,
    lag: u64,
    now: Timestamp,
) -> HeartbeatObservation {
    let status = freshness(lag, inputs.thresholds);
    let reason_code =
        (status != Freshness::Fresh).then_some(HeartbeatReasonCode::RuntimeHeartbeatStale);
    HeartbeatObservation {
        row: HeartbeatRow {
            status,
            reason_code,
            heartbeat_at: Some(json::text(chosen)),
            heartbeat_lag_seconds: Some(lag),
            ..row(inputs, heartbeat, now)
        },
        state: Some(HeartbeatState {
            schema_version: SchemaVersion::V1,
            updated_at: now,
            loop_id: inputs.loop_id.clone(),
            trace_id: inputs.trace_id.clone(),
            transport: inputs.transport,
            last_heartbeat_at: chosen.clone(),
            heartbeat_lag_seconds: lag,
            freshness_status: status,
            reason_code,
            thresholds: inputs.thresholds,
            heartbeat: heartbeat.clone(),
        }),
    }
}

fn failed(
    inputs: &HeartbeatInputs<'_>,
    heartbeat: &Value,
    reason: HeartbeatReasonCode,
    heartbeat_at: Option<String>,
    now: Timestamp,
) -> HeartbeatObservation {
    HeartbeatObservation {
        state: None,
        row: HeartbeatRow {
            reason_code: Some(reason),
            heartbeat_at,
            ..row(inputs, heartbeat, now)
        },
    }
}

/// A row about a heartbeat without a usable time.
fn row(inputs: &HeartbeatInputs<'_>, heartbeat: &Value, now: Timestamp) -> HeartbeatRow {
    HeartbeatRow {
        timestamp: now,
        loop_id: inputs.loop_id.clone(),
        trace_id: inputs.trace_id.clone(),
        transport: inputs.transport,
        category: TelemetryCategory::RuntimeHeartbeat,
        status: Freshness::Failed,
        reason_code: None,
        heartbeat_at: None,
        heartbeat_lag_seconds: None,
        heartbeat: heartbeat.clone(),
    }
}
